"""The cards of a watch list."""

from __future__ import annotations

import polars as pl

import kucoin_research as kr
from kucoin_research.dashboards.idle import Idle
from kucoin_research.dashboards.watch_rows import WatchRows
from tests.conftest import wait_until

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


class Market:
    """A live source whose rows a test writes."""

    name, state, failures, status = "market", "live", (), None
    symbols = ("A", "B")

    def __init__(self, **frames):
        self.frames = frames

    @property
    def channels(self):
        return tuple(self.frames)

    def frame(self, channel=None, symbol=None, last=None):
        if channel not in self.frames:
            raise kr.UnknownChannel(f"no {channel}")
        found = self.frames[channel]
        return found if last is None else found[-last:]

    def total(self, channel=None):
        return self.frame(channel).height

    def book(self, symbol=None):
        raise kr.BookNotReady("none")

    def add(self, *rows):
        self.frames["trade"] = pl.concat((self.frames["trade"], trades(*rows)))


def cards(watch, *symbols):
    watch.update()
    return watch.cards(list(symbols))


def test_each_symbol_has_its_last_price_and_its_change_over_the_window():
    market = Market(trade=trades((0, "A", 100), (0.5, "B", 7), (1, "A", 110), (2, "B", 7)))
    watch = WatchRows(market, 60 * SECOND)

    found = cards(watch, "A", "B", "C")
    assert found["A"] == ("110", "", "+10.00%", "up", "", "")
    assert found["B"] == ("7", "", "+0.00%", "", "", "")
    assert found["C"] == ("–", "", "", "", "", "")

    market.add((3, "A", 105.5))
    assert cards(watch, "A")["A"][:4] == ("105.5", "down", "+5.50%", "up")


def test_the_window_moves_on():
    market = Market(trade=trades((0, "A", 100), (10, "A", 200)))
    watch = WatchRows(market, 5 * SECOND)
    assert cards(watch, "A")["A"].change == "+0.00%"

    market.add((12, "A", 220))
    assert cards(watch, "A")["A"].change == "+10.00%"


def test_without_a_window_the_change_is_since_the_first_row():
    market = Market(trade=trades((0, "A", 100), (10, "A", 200)))
    watch = WatchRows(market, None)
    cards(watch, "A")
    market.add((5_000, "A", 50))

    assert cards(watch, "A")["A"].change == "-50.00%"


def test_a_source_that_went_back_is_read_again():
    market = Market(trade=trades((0, "A", 100), (1, "A", 200), (2, "B", 5)))
    watch = WatchRows(market, None)
    cards(watch, "A")
    market.frames["trade"] = trades((0, "A", 100))

    assert cards(watch, "A", "B") == {
        "A": ("100", "", "+0.00%", "", "", ""),
        "B": ("–", "", "", "", "", ""),
    }


def test_of_an_idle_source_nothing_is_known():
    assert cards(WatchRows(Idle("A"), None), "A")["A"].last == "–"


def test_the_cards_of_a_stream_say_spread_and_age():
    with (
        kr.simulate(seed=5, speed=30.0) as x,
        kr.stream(["XBTUSDTM", "BTC-USDT"], ["ticker", "trade"], venue=x.venue) as s,
    ):
        watch = WatchRows(s, 60 * SECOND)
        names = ["XBTUSDTM", "BTC-USDT"]
        wait_until(lambda: all(card.spread for card in cards(watch, *names).values()))
        assert all(float(each.spread.split()[0]) > 0 for each in cards(watch, *names).values())

        x.inject("stall", symbol="BTC-USDT")
        wait_until(lambda: cards(watch, *names)["BTC-USDT"].age)
        assert cards(watch, *names)["XBTUSDTM"].age == ""
