"""The tiles: what they cover is named, and each trade is converted at its own price."""

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.dashboards.formatting import compact
from kucoin_research.dashboards.tile_words import labels, period, tips
from kucoin_research.dashboards.tiles import Tiles
from kucoin_research.figures.time_axis import Zone
from kucoin_research.model.records import Status, Ticker, Trade, schema_of
from kucoin_research.model.size_unit import SizeUnit, Unit
from tests.unit.dashboards.written_market import Market
from tests.unit.figures.test_session_breaks import recording
from tests.unit.rows import NOON

SECOND = 1_000_000_000
START = 1_767_571_200 * SECOND
MINUTE = 60 * SECOND
SYMBOL = "XBTUSDTM"


class Feed:
    """A stream of trades or tickers, which the test sends."""

    name, symbols, state = "feed", (SYMBOL,), "live"

    def __init__(self, channel="trade"):
        self.channels, self.rows, self.statuses = (channel,), [], []
        self.kind = Trade if channel == "trade" else Ticker

    def trade(self, second, price, size=1.0):
        at = START + second * SECOND
        self.rows.append(Trade(at, at, SYMBOL, len(self.rows), "1", "buy", price, size))

    def tick(self, second, price):
        at = START + second * SECOND
        self.rows.append(
            Ticker(at, at, SYMBOL, len(self.rows), price, 1.0, "buy", 99.0, 1.0, 101.0, 1.0)
        )

    def report(self, event, begin, end):
        begin, end = (START + second * SECOND for second in (begin, end))
        self.statuses.append(Status(begin, end, SYMBOL, event, "trade", "lost", None, None))

    def total(self, channel):
        if channel == "status":
            return len(self.statuses)
        return len(self.rows) if channel in self.channels else 0

    def frame(self, channel, symbol=None, last=None):
        if channel == "status":
            return pl.DataFrame(self.statuses, schema=schema_of(Status), orient="row")
        if channel not in self.channels:
            raise KeyError(channel)
        rows = self.rows if last is None else self.rows[-last:]
        return pl.DataFrame(rows, schema=schema_of(self.kind), orient="row")


def tiles_of(feed, window_ns=5 * MINUTE, unit=None):
    found = Tiles(feed, SYMBOL, window_ns, Zone("UTC"), unit)
    found.update()
    return found


def test_the_labels_name_the_time_that_there_is_until_the_window_is_full():
    feed = Feed()
    feed.trade(0, 100.0)
    feed.trade(72, 101.0)
    tiles = tiles_of(feed)

    assert tiles.labels() == {"change": "change 1:12", "volume": "volume 1:12 contracts"}

    feed.trade(300, 102.0)
    tiles.update()
    assert tiles.labels()["change"] == "change 5 min"
    feed.trade(4_000, 102.0)
    tiles.update()
    assert tiles.labels()["change"] == "change 5 min"


def test_without_a_window_they_name_all_the_time():
    feed = Feed()
    for second in (0, 4_000):
        feed.trade(second, 100.0)

    assert tiles_of(feed, None).labels()["change"] == "change 1:06:40"


def test_the_change_of_tickers_names_the_time_since_the_first_of_them():
    feed = Feed("ticker")
    feed.tick(0, 100.0)
    feed.tick(900, 101.0)
    tiles = tiles_of(feed)

    assert tiles.labels()["change"] == "change 15:00"
    assert tiles.tiles()["change"][0] == "+1.00%"


def test_without_a_trade_of_its_own_a_symbol_shows_the_last_price_of_its_tickers():
    tickers, trades = Feed("ticker"), Feed()
    tickers.tick(0, 100.0)
    tickers.tick(900, 101.0)
    market = Market(SYMBOL, "ETHUSDTM", ticker=tickers.frame("ticker"), trade=trades.frame("trade"))
    tiles = tiles_of(market)
    assert tiles.tiles()["last"] == ("101", "")
    assert tiles.tiles()["change"][0] == "+1.00%"
    assert tiles.tiles()["volume"][0] == "–"
    assert tiles.labels()["change"] == "change 15:00"

    trades.trade(901, 50.0, size=2.0)
    trades.trade(902, 51.0)
    market.frames["trade"] = trades.frame("trade")
    tickers.tick(903, 200.0)
    market.frames["ticker"] = tickers.frame("ticker")
    tiles.update()
    assert tiles.tiles()["last"] == ("51", "")
    assert tiles.tiles()["change"][0] == "+2.00%"
    assert tiles.tiles()["volume"][0] == "3"
    assert tiles.labels()["change"] == "change 0:01"


def test_before_there_is_a_row_no_time_is_named():
    assert tiles_of(Feed()).labels() == {"change": "change", "volume": "volume contracts"}


def test_each_trade_is_worth_its_own_price():
    feed = Feed()
    feed.trade(0, 100.0, size=1_000.0)
    feed.trade(1, 200.0, size=1_000.0)

    tiles = tiles_of(feed, unit=SizeUnit(Unit.QUOTE, "USDT", 0.001, power=1))

    assert tiles.tiles()["volume"][0] == "300"
    assert [row[2] for row in tiles.prints.texts()["tape"].rows] == ["100", "200"]
    assert tiles.labels()["volume"] == "volume 0:01 USDT"


def test_what_leaves_the_window_is_taken_out_at_its_own_price():
    feed = Feed()
    feed.trade(0, 100.0, size=1_000.0)
    feed.trade(1, 200.0, size=1_000.0)
    unit = SizeUnit(Unit.QUOTE, "USDT", 0.001, power=1)
    tiles = tiles_of(feed, MINUTE, unit)

    feed.trade(61, 150.0, size=2_000.0)
    tiles.update()

    assert tiles.tiles()["volume"][0] == "500"


def volume(tiles):
    tiles.update()
    return tiles.tiles()["volume"][0]


@pytest.mark.parametrize("window_ns", [MINUTE, None])
def test_the_volume_is_a_lower_bound_while_trades_of_its_period_are_missing(window_ns):
    feed = Feed()
    feed.report("gap", -9, 0)  # before the first trade, so before the period
    feed.trade(0, 100.0)
    tiles = tiles_of(feed, window_ns)
    assert volume(tiles) == "1"

    feed.report("gap", 0, 20)
    assert volume(tiles) == "1"  # the period ends with the newest trade
    feed.trade(21, 100.0)
    assert volume(tiles) == "≥ 2"
    feed.trade(70, 100.0)  # the window begins within the gap
    assert volume(tiles) == ("≥ 2" if window_ns else "≥ 3")
    feed.trade(90, 100.0)
    assert volume(tiles) == ("2" if window_ns else "≥ 4")


def test_a_gap_that_rest_has_filled_leaves_the_volume_whole():
    feed = Feed()
    for second in (0, 21):
        feed.trade(second, 100.0)
    feed.report("gap", 0, 20)
    tiles = tiles_of(feed)
    assert volume(tiles) == "≥ 2"

    feed.report("filled", 0, 20)

    assert volume(tiles) == "2"


def test_the_change_names_its_own_period_while_the_first_prices_of_the_window_are_missing():
    feed = Feed()
    for second in (0, 30, 71, 90):
        feed.trade(second, 100.0 + second)
    tiles = tiles_of(feed, MINUTE)
    assert tiles.labels()["change"] == "change 1 min"  # the window begins in a quiet time

    feed.report("gap", 30, 70)
    feed.trade(100, 200.0)
    tiles.update()
    assert tiles.labels() == {"change": "change 0:29", "volume": "volume 1 min contracts"}
    assert tiles.tiles()["change"][0] == "+16.96%"  # since the trade at 71 s

    feed.trade(132, 200.0)  # the window begins behind the gap
    tiles.update()
    assert tiles.labels()["change"] == "change 1 min"


def test_a_gap_between_two_known_prices_leaves_their_change_as_it_is():
    feed = Feed()
    for second in (0, 20, 25, 60, 70):
        feed.trade(second, 100.0)
    feed.report("gap", 25, 60)

    assert tiles_of(feed, MINUTE).labels()["change"] == "change 1 min"


def test_the_change_names_its_own_period_behind_a_time_that_no_session_recorded(tmp_path):
    def trade(second):
        at = NOON + second * SECOND
        return Trade(at, at, "XBTUSDTM", second + 1, f"t{second}", "buy", 100.0, 2.0)

    spans = [(0, 10), (60, 70)]
    both = kr.load([recording(tmp_path, *each, channel="trade", row=trade) for each in spans])
    with kr.replay(both, speed=None) as replay:
        replay.wait_until_done(60)
        for window, label in ((40, "change 0:10"), (5, "change 5 s")):
            tiles = Tiles(replay, "XBTUSDTM", window * SECOND, Zone())
            tiles.update()
            assert tiles.labels()["change"] == label
            assert tiles.tiles()["volume"][0].startswith("≥") == (window == 40)


def test_every_tile_is_explained():
    told = tips("XBT", "USDT")

    assert set(told) == {"latency", "rate"} | set(tiles_of(Feed()).tiles())
    assert "XBT" in told["volume"]
    assert "USDT" in told["last"]


@pytest.mark.parametrize(
    ("window", "covered", "name"),
    [(60, 60, "1 min"), (3_600, 9_999, "1 h"), (14_400, 14_400, "4 h"), (45, 50, "45 s")],
)
def test_a_full_window_is_named_by_its_length(window, covered, name):
    assert period(window * SECOND, covered * SECOND) == name
    assert labels(name, "BTC")["volume"] == f"volume {name} BTC"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00001234, "0.00001234"), (1.5e-8, "0.000000015"), (1_699.4, "1,699"),
        (251.3, "251.3"), (12_400.0, "12.4k"), (0.5, "0.5"),
    ],
)  # fmt: skip
def test_a_quantity_is_written_in_plain_decimals(value, text):
    assert compact(value) == text
