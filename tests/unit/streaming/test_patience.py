"""When the filling of an outage is given up."""

from kucoin_research.streaming.patience import FillProgress, Patience


def test_the_past_is_given_up_when_nothing_comes_for_a_while():
    patience, waits, asked = Patience(10.0), FillProgress(seen=100.0), FillProgress(seen=100.0)
    assert patience.until(waits) == 110.0
    patience.answered(109.0)  # a book: the exchange is there, and others have their turn
    assert patience.until(waits) == 119.0
    patience.failed(112.0)
    asked.failing = 112.0
    patience.answered(120.0)  # another book
    assert patience.until(waits) == patience.until(asked) == 122.0
    patience.answered(121.0, is_past=True)
    assert patience.until(waits) == 131.0
    assert patience.until(asked) == 122.0


def test_a_window_of_the_quota_is_waited_for_but_not_without_end():
    patience, waits = Patience(10.0), FillProgress(seen=100.0)
    assert patience.refused(101.0, 28.0)
    assert not patience.refused(102.0, 27.0)  # the next thread is refused for the same reason
    assert patience.until(waits) == 139.0
    assert patience.refused(129.0, 30.0)
    assert patience.until(waits) == 101.0 + 31.0 + 10.0
    patience.answered(160.0)
    assert patience.refused(161.0, 20.0)
    assert patience.until(waits) == 191.0
