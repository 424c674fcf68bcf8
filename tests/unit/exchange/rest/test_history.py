"""History and metadata over REST, through the front door, from the simulated exchange."""

import re
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import requests

import kucoin_research as kr
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.model.records import (
    Candle,
    FundingRate,
    MarkPrice,
    Snapshot,
    Ticker,
    schema_of,
)
from tests.exchanges import simulate
from tests.held_time import adapt

OPEN = datetime(2026, 1, 5, tzinfo=UTC)
FUTURES_REST = ("1min", "5min", "15min", "30min", "1hour", "2hour", "4hour", "8hour", "12hour",
                "1day", "1week")  # fmt: skip
SPOT_REST = (*FUTURES_REST, "3min", "6hour", "1month")


@pytest.fixture(scope="module")
def still():
    """An exchange whose clock stands at its first instant: history only."""
    with simulate(seed=7) as running:
        yield running


@pytest.mark.parametrize(
    ("symbol", "interval"),
    [("XBTUSDTM", each) for each in FUTURES_REST] + [("BTC-USDT", each) for each in SPOT_REST],
)
def test_every_interval_comes_without_holes_and_without_doubles(still, symbol, interval):
    begin = "2025-12-29" if interval.endswith("min") else "2025-12-01"  # several pages of minutes
    frame = kr.candles(symbol, interval, begin, "2026-01-02", venue=still.venue, progress=False)

    assert frame.schema == schema_of(Candle)
    assert frame["interval"].unique().to_list() == [interval]
    opens = frame["timestamp"]
    assert opens.is_sorted()
    assert opens.n_unique() == frame.height
    if interval != "1month":
        steps = opens.diff().drop_nulls().unique().to_list()
        assert len(steps) == 1  # these markets trade every minute
    assert (frame["high"] >= frame.select(pl.max_horizontal("open", "close")).to_series()).all()
    assert (frame["low"] <= frame.select(pl.min_horizontal("open", "close")).to_series()).all()


def test_spot_pages_whether_they_include_their_end_or_not(still):
    span = ("BTC-USDT", "1min", "2025-12-29", "2026-01-02")
    without = kr.candles(*span, venue=still.venue, progress=False)
    with simulate(seed=7, candles_include_end=True) as inclusive:
        frame = kr.candles(*span, venue=inclusive.venue, progress=False)

    assert frame.select("timestamp", "close").equals(without.select("timestamp", "close"))
    assert frame["timestamp"].diff().drop_nulls().n_unique() == 1


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "XBTUSDM", "BTC-USDT", "KCSUSDTM", "ETH-BTC"])
def test_longer_candles_are_made_of_the_shorter_ones(still, symbol):
    span = {"start": "2026-01-02", "end": "2026-01-03T23:59", "venue": still.venue}
    minutes = kr.candles(symbol, "1min", **span, progress=False)
    hours = kr.candles(symbol, "1hour", **span)

    made = minutes.group_by(pl.col("timestamp").dt.truncate("1h"), maintain_order=True).agg(
        pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last(),
        pl.col("volume").sum(), pl.col("turnover").sum(),
    )  # fmt: skip
    assert made.select("timestamp", "open", "high", "low", "close").equals(
        hours.select("timestamp", "open", "high", "low", "close")
    )
    for name in ("volume", "turnover"):
        assert made[name].to_list() == pytest.approx(hours[name].to_list(), rel=1e-9)


@pytest.mark.parametrize(("symbol", "interval"), [("XBTUSDTM", "3min"), ("XBTUSDTM", "6hour")])
def test_an_interval_that_a_market_lacks_is_not_made_up(still, symbol, interval):
    asked = len(still.requests)

    with pytest.raises(kr.ChannelNotOffered, match=f"no {interval} candles over REST"):
        kr.candles(symbol, interval, venue=still.venue)

    assert not any("kline" in path for _, path in still.requests[asked:])


@pytest.mark.parametrize("page", [7, 100, 200, 500])
def test_a_page_of_any_size_costs_no_candle(page):
    minutes = [OPEN - timedelta(minutes=i) for i in range(1_001, 0, -1)]
    span = ("1min", minutes[0], minutes[-1])
    with simulate(seed=7, kline_page=page) as running:
        frame = kr.candles("XBTUSDTM", *span, venue=running.venue, progress=False)
        index = kr.candles(".KXBTUSDT", *span, venue=running.venue, progress=False)

    assert frame["timestamp"].to_list() == minutes
    assert index["timestamp"].to_list() == minutes


def test_history_continues_the_stream(exchange):
    live = kr.stream_to_frame("XBTUSDTM", "candle", minutes=3, venue=exchange.venue, progress=False)
    past = kr.candles("XBTUSDTM", venue=exchange.venue)

    both = pl.concat([past, live])

    assert both.height == past.height + live.height
    assert live["timestamp"].min() in past["timestamp"].to_list()


@pytest.mark.parametrize("symbol", [".KXBTUSDT", ".XBTUSDTMPI"])
def test_an_index_and_a_premium_have_candles(still, symbol):
    frame = kr.candles(symbol, "1hour", "2026-01-01", "2026-01-02", venue=still.venue)

    assert frame.height == 25
    assert frame["symbol"].unique().to_list() == [symbol]


def test_an_index_that_does_not_exist_is_told(still):
    with pytest.raises(kr.NotFound, match="NOPE"):
        kr.candles(".NOPE", venue=still.venue)
    with pytest.raises(kr.UnknownSymbol, match=r"did you mean '\.KXBTUSDT'"):
        kr.index_prices(".KXBTUSD", venue=still.venue)


def test_index_prices_are_every_second_over_several_pages(still):
    start = OPEN - timedelta(seconds=250)
    frame = kr.index_prices("XBTUSDTM", start, OPEN, venue=still.venue, progress=False)
    same = kr.index_prices(".KXBTUSDT", start, OPEN, venue=still.venue, progress=False)

    assert frame.schema == schema_of(MarkPrice)
    assert frame["timestamp"].to_list() == [start + timedelta(seconds=i) for i in range(251)]
    assert frame["mark_price"].is_null().all()
    assert frame["index_price"].equals(same["index_price"])
    assert set(frame["symbol"]) == {"XBTUSDTM"}


def test_the_premium_index_is_every_minute(still):
    start = OPEN - timedelta(minutes=130)
    frame = kr.premium_index("XBTUSDTM", start, OPEN, venue=still.venue, progress=False)
    newest = kr.premium_index("XBTUSDTM", venue=still.venue)

    assert frame["timestamp"].to_list() == [start + timedelta(minutes=i) for i in range(131)]
    assert frame["premium_index"].abs().max() < 0.01
    assert newest.height == 100
    assert newest.drop("local_timestamp").equals(frame.tail(100).drop("local_timestamp"))


def test_funding_follows_from_pages_of_any_size(still):
    frame = kr.funding_rates(
        "XBTUSDTM", "2025-08-01", "2026-01-05", venue=still.venue, progress=False
    )

    assert frame.schema == schema_of(FundingRate)
    assert frame["timestamp"].diff().drop_nulls().unique().to_list() == [timedelta(hours=8)]
    assert frame.height == 157 * 3 + 1


def test_mark_price_is_one_row_of_its_channel(still):
    frame = kr.mark_price("XBTUSDTM", venue=still.venue)

    assert frame.schema == schema_of(MarkPrice)
    assert frame.height == 1
    assert frame["mark_price"][0] == pytest.approx(frame["index_price"][0], rel=0.01)


@pytest.mark.parametrize(
    "ask", [kr.mark_price, kr.index_prices, kr.premium_index, kr.funding_rates]
)  # fmt: skip
def test_what_only_futures_have_is_refused_on_spot(still, ask):
    with pytest.raises(kr.ChannelNotOffered, match="'BTC-USDT' is a spot pair; only futures have"):
        ask("BTC-USDT", venue=still.venue)


@pytest.mark.parametrize("market", ["futures", "spot"])
def test_all_tickers_and_statistics_come_as_frames(still, market):
    tickers = kr.tickers(market, venue=still.venue)
    stats = kr.stats(market=market, venue=still.venue)
    listed = kr.get_active_symbols(market, venue=still.venue)

    assert tickers.schema == schema_of(Ticker)
    assert stats.schema == schema_of(Snapshot)
    assert tickers["symbol"].to_list() == stats["symbol"].to_list() == listed
    assert (tickers["best_bid_price"] < tickers["best_ask_price"]).all()
    assert (stats["low"] <= stats["last_price"]).all()
    assert tickers["side"].is_null().all() == (market == "spot")
    assert stats["timestamp"].is_null().all() == (market == "futures")
    assert stats.drop("timestamp").null_count().sum_horizontal().item() == 0


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
def test_statistics_of_one_symbol_are_those_in_the_list(still, symbol):
    one = kr.stats(symbol, venue=still.venue)
    market = kr.instrument(symbol, venue=still.venue).market
    every = kr.stats(market=market, venue=still.venue)

    assert one.height == 1
    assert one.drop("local_timestamp").equals(
        every.filter(pl.col("symbol") == symbol).drop("local_timestamp")
    )


@pytest.mark.parametrize(("symbol", "depth", "rows"), [
    ("XBTUSDTM", 20, 20), ("XBTUSDTM", 100, 100), ("XBTUSDTM", 500, 500), ("BTC-USDT", 20, 20),
    ("BTC-USDT", 100, 100), ("BTC-USDT", 7, 7),
])  # fmt: skip
def test_the_book_has_the_depth_that_was_asked_for(still, symbol, depth, rows):
    book = kr.order_book(symbol, depth, venue=still.venue)

    assert [book.filter(pl.col("side") == side).height for side in ("buy", "sell")] == [rows] * 2
    assert book.filter(pl.col("side") == "buy")["price"].is_sorted(descending=True)
    assert book.filter(pl.col("side") == "sell")["price"].is_sorted()


def test_a_whole_spot_book_comes_with_a_key(still):
    best = kr.order_book("BTC-USDT", 100, venue=still.venue)
    whole = kr.order_book("BTC-USDT", 100_000, venue=still.venue, credentials=still.credentials)

    for side in ("buy", "sell"):
        deep = whole.filter(pl.col("side") == side).drop("local_timestamp")
        assert deep.height > 100
        assert deep.head(100).equals(best.filter(pl.col("side") == side).drop("local_timestamp"))
    with pytest.raises(kr.CredentialsMissing, match=r"credentials=kr\.Credentials\.from_env\(\)$"):
        kr.order_book("BTC-USDT", 101, venue=still.venue)


@pytest.mark.parametrize("market", ["futures", "spot"])
def test_time_and_status_of_a_market(still, market):
    assert kr.server_time(market, venue=still.venue) == OPEN
    assert kr.exchange_status(market, venue=still.venue) == kr.ExchangeStatus("open", "")


def test_a_long_download_shows_a_bar_and_a_short_one_does_not(still, capfd):
    kr.candles("XBTUSDTM", "1hour", "2026-01-04", venue=still.venue)
    assert capfd.readouterr().err == ""

    kr.candles("XBTUSDTM", "1min", "2026-01-04", venue=still.venue)
    shown = capfd.readouterr().err
    assert "1min candles of XBTUSDTM: 100%" in shown
    assert "1,440 rows" in shown

    kr.candles("XBTUSDTM", "1min", "2026-01-04", venue=still.venue, progress=False)
    assert capfd.readouterr().err == ""


def test_a_long_download_keeps_to_a_small_quota(held_time):
    refused = []

    def note(response, *_arguments, **_options):
        refused.append(response.status_code == 429)

    session = requests.Session()
    session.trust_env = False
    session.hooks["response"].append(note)
    adapt(session)
    day = 86_400 * 10**9
    end = round(OPEN.timestamp()) * 10**9
    with (
        session,
        simulate(seed=7, rate_limit=40, rate_window=0.4) as x,
        Rest(x.venue, session=session) as rest,
    ):
        rows = rest.candles("XBTUSDTM", "1min", end - 4 * day, end)

    assert len(rows) == 4 * 1_440
    assert len(refused) >= 28  # pages of 200, weight 3: more than two quotas
    assert sum(refused) <= 2  # it waits for the next window instead of knocking


# -- downloads that meet trouble -------------------------------------------------------------------

KLINES = "/api/v1/kline/query"
DAYS = {"start": "2026-01-02", "end": "2026-01-04"}  # 15 pages


@pytest.fixture
def days(still):
    yield kr.candles("XBTUSDTM", "1min", **DAYS, venue=still.venue, progress=False)
    still.heal()


def without_arrival(frame):
    return frame.drop("local_timestamp")


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("overload", {"count": 7}),
        ("html_error", {"count": 7}),
        ("truncate", {"count": 7}),
        ("rate_limit", {"count": 2, "delay": 40.0}),
        ("slow_reply", {"count": 2, "delay": 15.0}),
    ],
)
def test_trouble_of_a_minute_costs_a_download_no_page(still, days, fault, options, capfd):
    still.inject(fault, path=KLINES, after=10, **options)

    frame = kr.candles("XBTUSDTM", "1min", **DAYS, venue=still.venue)

    assert without_arrival(frame).equals(without_arrival(days))
    assert "rows, asks again in " in capfd.readouterr().err


@pytest.mark.parametrize("fault", ["overload", "html_error", "slow_reply"])
def test_a_download_that_is_given_up_keeps_what_came_and_says_how_to_go_on(
    still, days, held_time, fault
):
    still.inject(fault, path=KLINES, after=10, count=None, **_for_ever(fault))
    began = held_time.monotonic()
    with pytest.raises(
        (kr.Unreachable, kr.BadReply, kr.RateLimited), match="go on with start="
    ) as caught:
        kr.candles("XBTUSDTM", "1min", **DAYS, venue=still.venue, progress=False)
    assert 60.0 < held_time.monotonic() - began < 160.0
    still.heal()

    part = caught.value.frame
    assert part.height == 2_000
    assert f"{part.height:,} rows before " in str(caught.value)
    start = re.search("start='([^']+)'", str(caught.value))[1]
    rest = kr.candles(
        "XBTUSDTM", "1min", start, DAYS["end"], venue=still.venue, progress=False
    )  # fmt: skip
    assert without_arrival(pl.concat([part, rest])).equals(without_arrival(days))


def _for_ever(fault):
    return {"delay": 1_000.0} if fault == "slow_reply" else {}


def test_a_download_that_does_not_begin_is_given_up_soon(still, held_time):
    still.inject("html_error", path=KLINES, count=None)
    began = held_time.monotonic()
    with pytest.raises(kr.BadReply) as caught:
        kr.candles("XBTUSDTM", "1min", **DAYS, venue=still.venue, progress=False)
    still.heal()

    assert caught.value.frame is None
    assert held_time.monotonic() - began < 10.0


@pytest.mark.parametrize(
    ("path", "fetch"),
    [
        ("/api/v1/index/query", kr.index_prices),
        ("/api/v1/premium/query", kr.premium_index),
    ],
)
def test_the_other_downloads_are_as_patient(still, path, fetch):
    span = {"start": "2026-01-04T12:00", "end": "2026-01-04T17:00"}
    if fetch is kr.index_prices:
        span["end"] = "2026-01-04T12:06"
    whole = fetch("XBTUSDTM", **span, venue=still.venue, progress=False)
    still.inject("overload", path=path, after=2, count=5)
    assert without_arrival(
        fetch("XBTUSDTM", **span, venue=still.venue, progress=False)
    ).equals(without_arrival(whole))  # fmt: skip

    still.inject("overload", path=path, after=2, count=None)
    with pytest.raises(kr.RateLimited) as caught:
        fetch("XBTUSDTM", **span, venue=still.venue, progress=False)
    still.heal()
    assert caught.value.frame.schema == whole.schema
    assert without_arrival(caught.value.frame).equals(
        without_arrival(whole.head(caught.value.frame.height))
    )
    assert not caught.value.frame.is_empty()
