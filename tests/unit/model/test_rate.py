from kucoin_research.model.rate import RateMeter


def test_the_rate_is_of_the_last_five_seconds():
    meter = RateMeter()
    for second in range(20):
        meter.sample(float(second), 10 * second)

    assert meter.rate(20.0, 200) == 10.0
    assert meter.rate(20.0, 230) == 16.0  # 80 in the five seconds since the sample at 15


def test_without_samples_or_with_old_ones_it_is_zero():
    meter = RateMeter()
    assert meter.rate(0.0, 5) == 0.0

    meter.sample(1.0, 5)
    assert meter.rate(7.0, 9) == 0.0


def test_a_moment_is_not_taken_for_a_rate():
    meter = RateMeter()
    meter.sample(1.0, 0)

    assert meter.rate(1.001, 100) == 400.0  # as over a quarter of a second


def test_samples_that_come_fast_do_not_push_out_the_window():
    meter = RateMeter()
    for tick in range(2_000):
        meter.sample(tick * 0.01, tick)

    assert 95 < meter.rate(20.0, 2_000) < 105


def test_a_count_that_goes_back_has_no_negative_rate():
    meter = RateMeter()
    meter.sample(1.0, 100)

    assert meter.rate(2.0, 10) == 0.0
