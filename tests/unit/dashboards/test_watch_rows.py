"""The cards of a watch list."""

from __future__ import annotations

from types import SimpleNamespace

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.dashboards.idle import Idle
from kucoin_research.dashboards.tiles import Tiles
from kucoin_research.dashboards.watch_rows import WatchRows
from kucoin_research.figures.time_axis import Zone
from tests.conftest import wait_until
from tests.exchanges import simulate
from tests.unit.dashboards.written_market import Market

SECOND = 1_000_000_000
START = 1_780_000_000 * SECOND


def stamps(seconds):
    return pl.Series([START + round(each * SECOND) for each in seconds]).cast(
        pl.Datetime("ns", "UTC")
    )


def trades(*rows):
    """Make trades of (second, symbol, price)."""
    seconds, symbols, prices = zip(*rows, strict=True)
    return pl.DataFrame(
        {
            "timestamp": stamps(seconds),
            "local_timestamp": stamps(seconds),
            "symbol": list(symbols),
            "price": [float(each) for each in prices],
            "size": [1.0] * len(rows),
            "side": ["buy"] * len(rows),
        }
    )


def tickers(*rows):
    """Make rows of the ticker of (second, symbol, price)."""
    price, size = pl.col("price"), pl.col("size")
    return trades(*rows).with_columns(
        best_bid_price=price - 1, best_bid_size=size, best_ask_price=price + 1, best_ask_size=size
    )


class Streamed(Market):
    """A market that says which channels of each symbol stream now."""

    def __init__(self, *subscriptions, **frames):
        super().__init__("A", "B", **frames)
        self.stream(*subscriptions)

    def stream(self, *subscriptions):
        self.subscriptions = tuple(
            SimpleNamespace(channel=channel, symbol=symbol) for channel, symbol in subscriptions
        )

    def lags(self, rows):
        return pl.Series([0.0] * rows.height)

    def now_ns(self):
        return START


def cards(watch, *symbols):
    watch.update(symbols)
    return watch.cards()


def test_each_symbol_has_its_last_price_and_its_change_over_the_window():
    market = Market(
        "A", "B", trade=trades((0, "A", 100), (0.5, "B", 7), (1, "A", 110), (2, "B", 7))
    )
    watch = WatchRows(market, 60 * SECOND)

    found = cards(watch, "A", "B", "C")
    assert found["A"] == ("110", "", "+10.00%", "up", "", "")
    assert found["B"] == ("7", "", "+0.00%", "", "", "")
    assert found["C"] == ("–", "", "", "", "", "")

    market.add("trade", trades((3, "A", 105.5)))
    assert cards(watch, "A")["A"][:4] == ("105.5", "down", "+5.50%", "up")


def test_the_window_moves_on():
    market = Market("A", "B", trade=trades((0, "A", 100), (10, "A", 200)))
    watch = WatchRows(market, 5 * SECOND)
    assert cards(watch, "A")["A"].change == "+0.00%"

    market.add("trade", trades((12, "A", 220)))
    assert cards(watch, "A")["A"].change == "+10.00%"


def test_without_a_window_the_change_is_since_the_first_row():
    market = Market("A", "B", trade=trades((0, "A", 100), (10, "A", 200)))
    watch = WatchRows(market, None)
    cards(watch, "A")
    market.add("trade", trades((5_000, "A", 50)))

    assert cards(watch, "A")["A"].change == "-50.00%"


def test_a_source_that_went_back_is_read_again():
    market = Market("A", "B", trade=trades((0, "A", 100), (1, "A", 200), (2, "B", 5)))
    watch = WatchRows(market, None)
    cards(watch, "A")
    market.frames["trade"] = trades((0, "A", 100))

    assert cards(watch, "A", "B") == {
        "A": ("100", "", "+0.00%", "", "", ""),
        "B": ("–", "", "", "", "", ""),
    }


def test_rows_inserted_late_among_those_of_others_are_taken():
    before = [(0, "A", 100), (1, "B", 50), (2, "A", 101)]
    market = Market("A", "B", trade=trades(*before, (10, "A", 102)))
    watch = WatchRows(market, None)
    cards(watch, "A", "B", "C")

    # After an outage of B, C too: their rows are stamped before the newest of A.
    late = [(5, "B", 55), (6, "C", 7), (9, "B", 60)]
    market.frames["trade"] = trades(*before, *late, (10, "A", 102))
    found = cards(watch, "A", "B", "C")
    assert found["B"][:4] == ("60", "up", "+20.00%", "up")
    assert found["C"].last == "7"
    assert found["A"][:3] == ("102", "", "+2.00%")

    market.add("trade", trades((11, "A", 103), (12, "B", 40)))
    found = cards(watch, "A", "B", "C")
    assert (found["A"].last, found["B"].last, found["C"].last) == ("103", "40", "7")


def test_rows_inserted_far_back_are_found():
    others = [(10 + each, "A", 100) for each in range(1_000)]
    market = Market("A", "B", trade=trades((0, "B", 50), *others))
    watch = WatchRows(market, None)
    cards(watch, "A", "B")
    market.frames["trade"] = trades((0, "B", 50), (5, "B", 60), *others)

    assert cards(watch, "A", "B")["B"].last == "60"


def test_each_row_is_taken_once_while_others_come_in_between():
    class Busy(Market):
        """Gets a row between being counted and being read."""

        def frame(self, channel=None, symbol=None, last=None):
            if last != 1:
                self.second = getattr(self, "second", 10) + 1
                self.add("trade", trades((self.second, "A", self.second)))
            return super().frame(channel, symbol, last)

    market = Busy("A", "B", trade=trades((0, "A", 1), (1, "B", 5)))
    watch = WatchRows(market, None)
    taken = []
    for _ in range(20):
        card = cards(watch, "A", "B")["A"]
        taken.append((float(card.last), card.direction))
        assert taken[-1][0] >= market.second - 1

    assert [price for price, _ in taken] == sorted({price for price, _ in taken})
    assert {direction for _, direction in taken[1:]} == {"up"}


def test_a_symbol_that_joins_has_the_rows_of_before():
    market = Market("A", "B", trade=trades((0, "A", 100), (1, "B", 50), (2, "A", 110)))
    watch = WatchRows(market, None)
    assert set(cards(watch, "A")) == {"A"}

    market.add("trade", trades((3, "A", 120), (4, "B", 55)))
    found = cards(watch, "A", "B")
    assert found["A"][:3] == ("120", "up", "+20.00%")
    assert found["B"][:3] == ("55", "", "+10.00%")
    assert set(cards(watch, "B")) == {"B"}


def test_the_prices_of_a_symbol_come_from_a_channel_that_it_streams():
    market = Streamed(
        ("trade", "A"),
        ("ticker", "B"),
        trade=trades((0, "A", 100)),
        ticker=tickers((0, "B", 7), (1, "B", 14)),
    )
    watch = WatchRows(market, 60 * SECOND)
    found = cards(watch, "A", "B")
    assert found["A"].last == "100"
    assert found["B"][:3] == ("14", "", "+100.00%")

    market.stream(("trade", "A"), ("trade", "B"), ("ticker", "B"))
    assert cards(watch, "A", "B")["B"].last == "14"  # no trade came yet
    market.add("trade", trades((5, "B", 20), (6, "B", 22)))
    found = cards(watch, "A", "B")
    assert found["B"][:3] == ("22", "up", "+10.00%")
    assert found["A"][:3] == ("100", "", "+0.00%")


@pytest.mark.parametrize("window_ns", [None, 2 * SECOND, 60 * SECOND])
@pytest.mark.parametrize("channel", ["trade", "ticker"])
def test_a_card_has_the_change_of_the_tile(channel, window_ns):
    names = ["A", "B"]
    rows = [(each * 0.3, names[each % 2], 100 + each * each % 37) for each in range(90)]
    make = trades if channel == "trade" else tickers
    market = Market("A", "B", **{channel: make(*rows[:10])})
    watch = WatchRows(market, window_ns)
    tiles = {each: Tiles(market, each, window_ns, Zone("UTC")) for each in names}
    for end in (10, 11, 25, 26, 60, 90):
        market.frames[channel] = make(*rows[:end])
        found = cards(watch, *names)
        for name, tile in tiles.items():
            tile.update()
            assert found[name].change == tile.tiles()["change"][0]
            assert found[name].last == tile.tiles()["last"][0]


def test_of_an_idle_source_nothing_is_known():
    assert cards(WatchRows(Idle("A"), None), "A")["A"].last == "–"


def test_the_cards_of_a_stream_say_spread_and_age():
    with (
        simulate(seed=5, speed=30.0) as x,
        kr.stream(["XBTUSDTM", "BTC-USDT"], ["ticker", "trade"], venue=x.venue) as s,
    ):
        watch = WatchRows(s, 60 * SECOND)
        names = ["XBTUSDTM", "BTC-USDT"]
        wait_until(lambda: all(card.spread for card in cards(watch, *names).values()))
        assert all(float(each.spread.split()[0]) > 0 for each in cards(watch, *names).values())

        x.inject("stall", symbol="BTC-USDT")
        wait_until(lambda: cards(watch, *names)["BTC-USDT"].age)
        assert cards(watch, *names)["XBTUSDTM"].age == ""


def test_a_channel_without_rows_yet_has_a_card_of_dashes():
    market = Market("A", "B", trade=trades((0, "A", 1))[:0])
    watch = WatchRows(market, None)
    assert cards(watch, "A")["A"].last == "–"

    market.add("trade", trades((1, "A", 5)))
    assert cards(watch, "A")["A"].last == "5"


def test_a_symbol_without_trades_beside_others_with_trades_shows_its_last_prices():
    market = Market("A", "B", trade=trades((0, "B", 50)), ticker=tickers((0, "A", 7), (1, "A", 8)))
    watch = WatchRows(market, 60 * SECOND)
    assert cards(watch, "A", "B")["A"][:4] == ("8", "", "+14.29%", "up")
    market.add("ticker", tickers((2, "A", 6)))
    assert cards(watch, "A", "B")["A"][:4] == ("6", "down", "-14.29%", "down")

    market.add("trade", trades((3, "A", 5), (4, "A", 10)))  # these are the ones to go by
    market.add("ticker", tickers((5, "A", 6)))
    assert cards(watch, "A", "B")["A"][:4] == ("10", "up", "+100.00%", "up")
    market.add("ticker", tickers((6, "A", 7)))
    assert cards(watch, "A", "B")["A"].last == "10"
    assert cards(watch, "A", "B")["B"].last == "50"
