"""The rows of the tape: the newest that pass the filter, wherever they are."""

import polars as pl
import pytest

from kucoin_research.dashboards.formatting import clock
from kucoin_research.dashboards.trade_prints import TAPE_ROWS, TradePrints
from kucoin_research.figures.decimals import Decimals
from kucoin_research.figures.time_axis import Zone
from kucoin_research.model.records import Trade
from kucoin_research.model.size_unit import SizeUnit, Unit, native_unit
from tests.unit.figures.test_figures import at, frame, trade


class Tape:
    """A tape, and the rows of its source."""

    def __init__(self, zone="UTC", unit=None):
        self.rows = frame(Trade, [])
        decimals = Decimals()
        decimals.count = 1
        self.prints = TradePrints(
            lambda: self.rows, Zone(zone), decimals, unit or native_unit("XBTUSDTM")
        )

    def put(self, *sizes, begin=0.0, is_taken=True):
        """Add a trade a second; they may be in the source before the tape takes them."""
        rows = frame(Trade, [trade(begin + n, 100.0, size) for n, size in enumerate(sizes)])
        self.rows = pl.concat((self.rows, rows))
        if is_taken:
            self.prints.take(rows)

    def filter(self, least):
        self.prints.least = least
        self.prints.look()

    @property
    def sizes(self):
        return [row[2] for row in self.prints.texts()["tape"].rows]

    @property
    def counts(self):
        return self.prints.texts()["tape:filter"]


def test_a_print_has_its_time_to_the_millisecond_in_the_zone_of_the_dashboard():
    tape = Tape("Europe/Berlin")

    tape.put(2.0, begin=0.123)

    texts = tape.prints.texts()
    assert texts["tape"].rows == [["01:00:00.123", "100.0", "2", "buy", ""]]
    assert texts["tape:zone"] == "Europe/Berlin"


@pytest.mark.parametrize("ms", [1, 122, 123, 500, 999])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_a_whole_millisecond_is_not_written_as_the_one_before(ms, zone):
    (text,) = clock(
        frame(Trade, [trade(ms / 1e3)])["timestamp"].to_physical().to_numpy(),
        Zone(zone),
        has_ms=True,
    )

    assert text.endswith(f":00.{ms:03d}")


def test_the_tape_is_full_of_trades_that_pass_though_they_are_rare():
    tape = Tape()
    tape.put(*([9.0, *[1.0] * 99] * 60))

    tape.filter(9.0)

    assert tape.sizes == ["9"] * TAPE_ROWS
    assert tape.counts == [9.0, 60, 6_000]


def test_trades_that_come_later_are_filtered_and_counted_too():
    tape = Tape()
    tape.filter(5.0)

    tape.put(1.0, 5.0, 4.9, 7.0)
    tape.put(2.0, 6.0, begin=10.0)

    assert tape.sizes == ["5", "7", "6"]
    assert tape.counts == [5.0, 3, 6]


def test_a_trade_that_is_yet_to_be_taken_is_not_shown_twice():
    tape = Tape()
    tape.put(5.0, 1.0)
    tape.put(8.0, begin=10.0, is_taken=False)

    tape.filter(2.0)
    assert tape.sizes == ["5"]
    tape.prints.take(tape.rows[-1:])

    assert tape.sizes == ["5", "8"]
    assert tape.counts == [2.0, 2, 3]


def test_without_a_filter_all_are_there_again_also_those_of_no_size():
    tape = Tape()
    tape.put(5.0, None, 1.0)

    tape.filter(2.0)
    assert tape.sizes == ["5"]
    tape.filter(0.0)

    assert tape.sizes == ["5", "–", "1"]


def test_the_filter_outlives_a_source_that_is_wound_back():
    tape = Tape()
    tape.filter(3.0)
    tape.put(5.0, 1.0)

    tape.prints.restart()
    tape.put(4.0, 1.0, begin=20.0)

    assert tape.sizes == ["4"]
    assert tape.counts == [3.0, 1, 2]


def test_the_largest_prints_are_marked_and_none_where_all_are_alike():
    alike, mixed = Tape(), Tape()
    alike.put(*[2.0] * 200)
    mixed.put(*[1.0 + n % 5 for n in range(199)], 50.0)

    assert {row[4] for row in alike.prints.texts()["tape"].rows} == {""}
    marked = [row for row in mixed.prints.texts()["tape"].rows if row[4] == "large"]
    assert [row[2] for row in marked] == ["50"]


def test_few_trades_are_no_measure_of_a_large_one():
    tape = Tape()

    tape.put(1.0, 1.0, 90.0)

    assert {row[4] for row in tape.prints.texts()["tape"].rows} == {""}


def test_the_time_of_a_print_is_that_of_the_exchange_not_of_the_arrival():
    tape = Tape()

    tape.put(1.0, begin=7.0)

    assert at(7.0) % 86_400_000_000_000 // 1_000_000_000 == 7
    assert tape.prints.texts()["tape"].rows[0][0] == "00:00:07.000"


def test_sizes_are_in_the_unit_that_is_chosen_and_so_is_the_least_one():
    tape = Tape(unit=SizeUnit(Unit.QUOTE, "USDT", 0.001, 1))  # at a price of 100
    tape.put(1.0, 20.0, 30.0)
    assert tape.sizes == ["0.1", "2", "3"]
    tape.filter(2.0)
    assert tape.sizes == ["2", "3"]
