"""False alarms of a stream: how much longer a silence is tolerated."""

from __future__ import annotations

from kucoin_research.streaming.staleness import FalseAlarms

SECOND = 1_000_000_000


def test_a_stream_that_errs_often_grows_wary_and_forgets_it_in_time():
    false_alarms = FalseAlarms()
    assert false_alarms.factor(0) == 1.0

    for second in range(3):
        false_alarms.was_wrong(second * SECOND)
    assert false_alarms.factor(3 * SECOND) == 1.0  # some are forgiven

    for second in range(3, 15):
        false_alarms.was_wrong(second * SECOND)
    assert 3.5 < false_alarms.factor(15 * SECOND) < 4.0
    assert 1.0 < false_alarms.factor(600 * SECOND) < 2.5
    assert false_alarms.factor(7_200 * SECOND) == 1.0

    for second in range(100):
        false_alarms.was_wrong(second * SECOND)
    assert false_alarms.factor(100 * SECOND) == 8.0
