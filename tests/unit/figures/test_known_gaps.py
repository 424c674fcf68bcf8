"""A gap once reported stays known, however many other status rows come after it."""

import polars as pl
import pytest

from kucoin_research.figures.known_gaps import KnownGaps
from kucoin_research.figures.tail import Tail
from kucoin_research.model.records import Status, schema_of

MANY = 6_000


class Reports:
    """A source of status rows, which keeps the newest ones only."""

    name, symbols, state, channels = "reports", ("XBTUSDTM",), "live", ("status",)

    def __init__(self, capacity=None):
        self.rows, self.count, self.capacity = [], 0, capacity

    def say(self, event, at=None, begin=None, channel=None, detail=None):
        at = self.count if at is None else at
        begin = at if begin is None else begin
        self.rows.append(Status(begin, at, None, event, channel, detail, None, None))
        self.count += 1
        if self.capacity is not None:
            del self.rows[: -self.capacity]

    def notes(self, count=MANY):
        for _ in range(count):
            self.say("note", detail="a note")

    def rewind(self, count):
        self.rows, self.count = self.rows[:count], count

    def total(self, channel):
        if channel != "status":
            raise KeyError(channel)
        return self.count

    def frame(self, channel, symbol=None, last=None):
        self.total(channel)
        rows = self.rows if last is None else self.rows[-last:]
        return pl.DataFrame(rows, schema=schema_of(Status), orient="row")


@pytest.fixture
def source():
    return Reports()


def kinds(gaps):
    return [(gap.kind, gap.begin, gap.end) for gap in gaps]


def test_a_gap_far_behind_the_newest_rows_is_known_also_to_who_comes_late(source):
    source.say("gap", 5, 2, "trade")
    early = KnownGaps(source, ["trade"])
    early.look()
    source.notes()

    assert kinds(early.look()) == [("gap", 2, 5)]
    assert kinds(KnownGaps(source, ["trade"]).look()) == [("gap", 2, 5)]
    assert KnownGaps(source, ["ticker"]).look() == []


def test_it_stays_known_when_its_row_is_no_longer_kept():
    source = Reports(capacity=100)
    source.say("gap", 5, 2, "trade")
    known = KnownGaps(source, ["trade"])
    known.look()
    source.notes()
    assert kinds(known.look()) == [("gap", 2, 5)]

    source.say("gap", 9_000, 8_000, "trade")

    assert kinds(known.look()) == [("gap", 2, 5), ("gap", 8_000, 9_000)]


def test_an_outage_is_closed_and_a_gap_is_filled_after_many_rows(source):
    source.say("disconnected", 1)
    source.say("gap", 5, 2, "trade")
    known = KnownGaps(source, ["trade"])
    assert kinds(known.look()) == [("outage", 1, None), ("gap", 2, 5)]
    source.notes()
    known.look()

    source.say("connected", 7_000)
    source.say("filled", 7_001, 2, "trade")

    assert kinds(known.look()) == [("filled", 1, 7_000), ("filled", 2, 5)]


def test_rows_that_are_read_again_are_no_further_gaps(source):
    known = KnownGaps(source, ["trade"])
    for number in range(1, 4):
        source.say("gap", 10 * number, 10 * number - 5, "trade")
        assert len(known.look()) == number


def test_a_source_that_was_rewound_begins_anew(source):
    source.say("note")
    source.say("gap", 5, 2, "trade")
    known = KnownGaps(source, ["trade"])
    known.look()

    source.rewind(1)
    assert known.look() == []
    source.say("gap", 9, 8, "trade")

    assert kinds(known.look()) == [("gap", 8, 9)]


def test_two_outages_of_which_one_connection_ends_both(source):
    for event, at in (("disconnected", 1), ("connected", 2), ("disconnected", 3)):
        source.say(event, at)
    source.say("disconnected", 4)
    source.say("connected", 5)

    ends = kinds(KnownGaps(source, ["trade"]).look())

    assert ends == [("outage", 1, 2), ("outage", 3, 5), ("outage", 4, 5)]


def test_a_chart_keeps_its_gaps(source):
    source.say("gap", 5, 2, "trade")
    tail = Tail(source, "XBTUSDTM", {"trades": "trade"})
    before = tail.gaps()
    source.notes()

    assert tail.gaps() == (before[0], False)
    assert kinds(before[0]) == [("gap", 2, 5)]
