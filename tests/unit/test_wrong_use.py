"""Mistakes of users, each with the sentence of its error.

A sentence names the mistake, its subject and the remedy, in one line. A refused call writes,
replaces and starts nothing.
"""

import gc
import inspect
import math
import shutil
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research import cli, figures
from kucoin_research.compat import KuCoinWebSocket
from kucoin_research.dashboards import notebook_dashboard
from kucoin_research.errors import shown
from kucoin_research.sim import Chaos

X = "XBTUSDTM"
DAY = datetime(2026, 1, 4, tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))  # in the year 10000 of UTC
BAD, SYMBOL, CHANNEL = kr.InvalidInput, kr.UnknownSymbol, kr.UnknownChannel
# Wrong values that users pass instead of a number, one of each kind.
WRONG_NUMBERS = ("5", None, math.nan, -1, True, [])


def copy_of(session, folder):
    return Path(shutil.copytree(session, folder))


@pytest.fixture(scope="module")
def w(exchange, tmp_path_factory):
    """The objects to use wrongly: a stream, a stopped one, a session, a replay."""
    root = tmp_path_factory.mktemp("recorded")
    v = exchange.venue
    s = kr.stream([X, "ETHUSDTM"], ["trade", "candle:5min", "level2", "ticker"], venue=v, name="s")
    s.wait("trade", rows=5)
    over = kr.stream(X, ["trade", "level2"], venue=v, name="over")
    over.wait("trade", rows=1)
    over.stop()
    with kr.record(X, ["trade", "level2"], root=root, venue=v, seconds=3, progress=False) as made:
        made.wait()
    session = made.session()
    replay = kr.replay(session, speed=None, paused=True)
    own = kr.stream("*", "order", credentials=exchange.credentials, venue=v, name="own")
    own.wait_until_live()
    there = SimpleNamespace(
        x=exchange,
        v=v,
        s=s,
        over=over,
        own=own,
        session=session,
        p=made.path,
        other=copy_of(made.path, root / "other"),
        replay=replay,
        root=root,
        trades=s.frame("trade"),
        tickers=s.frame("ticker"),
        status=s.frame("status"),
        of_pandas=s.frame("trade").to_pandas(),
        book=over.book(),
        instrument=kr.instrument(X, venue=v),
    )
    yield there
    for each in (s, own, replay):
        each.stop()


@pytest.fixture(autouse=True)
def files(tmp_path):
    """Files that are passed in place of folders, and must stay unchanged."""
    for name in ("afile", "notes.txt"):
        (tmp_path / name).write_text("hello")
    yield
    assert [(tmp_path / name).read_text() for name in ("afile", "notes.txt")] == ["hello"] * 2


@pytest.fixture(autouse=True)
def _no_stream_left_running():
    """Allow the module's streams; each test checks itself that it leaves none running."""


async def co(record):
    """Stand for a user's coroutine."""


def generate(record):
    """Stand for a function with a forgotten yield."""
    yield record


async def generate_later(record):
    """Stand for a coroutine with a forgotten yield."""
    yield record


class Generating:
    """Stand for a callable object."""

    def __call__(self, record):
        yield record


def candles(w, start, **options):
    return kr.candles(X, "1min", start=start, venue=w.v, progress=False, **options)


TIMES = [
    ("NaT of pandas", lambda w: candles(w, pd.NaT), BAD, ["start", "NaT"]),
    ("NaT of numpy", lambda w: candles(w, np.datetime64("NaT")), BAD, ["start must be", "'NaT'"]),
    ("numpy's year 3000", lambda w: candles(w, np.datetime64("3000-01-01")), BAD, ["=3000-01-01"]),
    ("numpy's far years", lambda w: candles(w, np.datetime64(2**40, "Y")), BAD, ["1 to 9999"]),
    ("pandas' far years", lambda w: candles(w, pd.Timestamp(2**40, unit="s")), BAD, ["1 to 9999"]),
    ("the last hour", lambda w: candles(w, LAST), BAD, ["start=10000-01-01 04:59:59", "future"]),
    ("its text", lambda w: candles(w, LAST.isoformat()), BAD, ["start=10000-01-01", "future"]),
    ("a column", lambda w: candles(w, pl.Series([DAY])), BAD, ["a Series of shape", "column[0]"]),
    ("one of pandas", lambda w: candles(w, pd.Series([DAY])), BAD, ["a Series of", "column[0]"]),
    ("an array", lambda w: candles(w, np.array([1_767_484_800])), BAD, ["ndarray", "column[0]"]),
    ("no number", lambda w: candles(w, math.nan), BAD, ["start must be a time", "nan"]),
    ("a truth", lambda w: candles(w, True), BAD, ["start must be a time", "True"]),
    ("a list", lambda w: candles(w, [DAY]), BAD, ["start"]),
    ("a negative time", lambda w: candles(w, -5), BAD, ["start=-5", "1970"]),
    ("a huge time", lambda w: candles(w, 10**30), BAD, ["start", "2262"]),
    ("words", lambda w: candles(w, "soon"), BAD, ["'soon' is no time", "'2026-11-24'"]),
    ("no time", lambda w: candles(w, ""), BAD, ["start=''", "is no time"]),
    ("the future", lambda w: candles(w, datetime(2030, 1, 1)), BAD, ["lies in the future", "UTC"]),
    ("a future of text", lambda w: candles(w, "2030-01-01"), BAD, ["lies in the future"]),
    ("an end before", lambda w: candles(w, "2026-01-04", end="2026-01-01"), BAD, ["lies after"]),
    ("an end that is none", lambda w: candles(w, DAY, end=pd.NaT), BAD, ["end", "NaT"]),
    ("of funding", lambda w: kr.funding_rates(X, pd.NaT, venue=w.v), BAD, ["start", "NaT"]),
    ("funding to come", lambda w: kr.funding_rates(X, "2030-01-01", venue=w.v), BAD, ["future"]),
    ("of an index", lambda w: kr.index_prices(X, "soon", venue=w.v), BAD, ["'soon' is no time"]),
    ("of a premium", lambda w: kr.premium_index(X, -1, venue=w.v), BAD, ["start=-1"]),
    ("a seek to none", lambda w: w.replay.seek(None), BAD, ["seek wants a time"]),
    ("a seek to NaT", lambda w: w.replay.seek(pd.NaT), BAD, ["when must be a time", "NaT"]),
    ("a seek to a clock", lambda w: w.replay.seek("12:00"), BAD, ["'12:00' is no time"]),
    ("a seek before 1970", lambda w: w.replay.seek(-5), BAD, ["when=-5"]),
    ("a seek beyond", lambda w: w.replay.seek("2035-01-01"), BAD, ["is not within", "arrived"]),
    ("a seek to the last hour", lambda w: w.replay.seek(LAST), BAD, ["10000-01-01", "not within"]),
    ("a seek of numpy", lambda w: w.replay.seek(np.datetime64("1500")), BAD, ["1500-01-01", "not"]),
    ("a last hour's exchange", lambda _: kr.simulate(start=LAST), BAD, ["outside of the years"]),
    ("an exchange of 1500", lambda _: kr.simulate(start="1500-01-01"), BAD, ["outside of the"]),
    ("of numpy's 3000", lambda _: kr.simulate(start=np.datetime64("3000-01-01")), BAD, ["3000"]),
    ("of numpy's NaT", lambda _: kr.simulate(start=np.datetime64("NaT")), BAD, ["NaT"]),
    ("of pandas' NaT", lambda _: kr.simulate(start=pd.NaT), BAD, ["no start time NaT"]),
    ("a seek before", lambda w: w.replay.seek(DAY), BAD, ["not within", "local_timestamp"]),
]

INTERVALS = (
    [
        (f"{what} of {value!r}", call, error, parts)
        for value in ("300", "5", 5, "", "five minutes", "7 parsecs", None, np.timedelta64("NaT"))
        for what, call, error, parts in [
            (
                "candles",
                lambda w, i=value: kr.candles(X, i, venue=w.v),
                CHANNEL,
                ["no candle interval", "5min"],
            ),
            (
                "a stream",
                lambda w, i=value: kr.stream(X, f"candle:{i}", venue=w.v),
                CHANNEL,
                ["no candle interval", "5min"],
            ),
            (
                "bars",
                lambda w, i=value: kr.ohlcv(w.trades, i),
                BAD,
                ["every", "is no interval", "'10s'"],
            ),
        ]
    ]
    + [
        (
            f"{place} of {value!r}",
            call,
            error,
            ["may mean minutes or months; write 'min' or 'month'"],
        )
        for value in ("1M", "M", " 15M")
        for place, call, error in [
            ("candles", lambda w, i=value: kr.candles(X, i, venue=w.v), CHANNEL),
            ("a stream", lambda w, i=value: kr.stream(X, f"candle:{i}", venue=w.v), CHANNEL),
            ("bars", lambda w, i=value: kr.ohlcv(w.trades, i), BAD),
            ("bars of mids", lambda w, i=value: kr.mid_bars(w.tickers, i), BAD),
            ("bars of a stream", lambda w, i=value: w.s.bars(i), BAD),
            ("a figure", lambda w, i=value: kr.figures.candles(w.trades, X, every=i), BAD),
            ("a window", lambda w, i=value: kr.figures.price(w.trades, X, window=i), BAD),
        ]
    ]
    + [
        (
            "an endless figure",
            lambda w: kr.figures.candles(w.trades, X, every="999999999d"),
            BAD,
            ["every='999999999d' is longer than the 100 years"],
        ),
    ]
)
# numpy registers it as an Integral, but it is no number.
SPAN = np.timedelta64(5, "m")
SPANS = [
    (f"a span as {name}", call, BAD, [name, "timedelta64(5,'m')"])
    for name, call in [
        ("start", lambda w: candles(w, SPAN)),
        ("when", lambda w: w.replay.seek(SPAN)),
        ("start", lambda _: kr.simulate(start=SPAN)),
        ("speed", lambda _: kr.simulate(speed=SPAN)),
        ("minutes", lambda w: kr.stream_to_frame(X, minutes=SPAN, venue=w.v)),
        ("rows", lambda w: kr.stream_to_frame(X, rows=SPAN, venue=w.v)),
        ("seconds", lambda w: kr.record(X, seconds=SPAN, root="new", venue=w.v)),
        ("rows", lambda w: w.s.wait("trade", rows=SPAN)),
        ("timeout", lambda w: w.s.wait("trade", timeout=SPAN)),
        ("timeout", lambda w: w.over.stop(SPAN)),
        ("last", lambda w: w.s.frame("trade", last=SPAN)),
        ("capacity", lambda w: kr.stream(X, capacity=SPAN, venue=w.v)),
        ("speed", lambda w: kr.replay(w.session, SPAN)),
        ("volume", lambda w: kr.ohlcv(w.trades, volume=SPAN)),
        ("ticks", lambda w: kr.ohlcv(w.trades, ticks=SPAN)),
        ("lifetime", lambda _: kr.Healing(lifetime=SPAN)),
        ("depth", lambda w: kr.order_book(X, SPAN, venue=w.v)),
        ("height", lambda w: kr.figures.price(w.tickers, X, height=SPAN)),
        ("price", lambda w: w.instrument.round_price(SPAN)),
        ("offset_ms", lambda w: kr.figures.lag(w.trades, X, offset_ms=SPAN)),
    ]
]

PATHS = [
    (
        "a root that is a file",
        lambda w: kr.record(X, root="afile", venue=w.v),
        BAD,
        ["root='afile' cannot be a folder", "is a file"],
    ),
    (
        "a root below a file",
        lambda w: kr.record(X, root="afile/b", venue=w.v),
        BAD,
        ["cannot be a folder", "afile is a file"],
    ),
    ("a root that is none", lambda w: kr.record(X, root=5, venue=w.v), BAD, ["root", "path", "5"]),
    (
        "nobody's home",
        lambda w: kr.record(X, root="~nobody_of_here/x", venue=w.v),
        BAD,
        ["root", "is no path"],
    ),
    (
        "a zero in a path",
        lambda w: kr.record(X, root="a\0b", venue=w.v),
        BAD,
        ["is no path", "zero character"],
    ),
    ("a stream's root", lambda w: w.s.record("afile"), BAD, ["root='afile'", "is a file"]),
    ("a replay's root", lambda w: w.replay.record("afile"), BAD, ["root='afile'", "is a file"]),
    ("an archive", lambda w: w.session.to_parquet("afile"), BAD, ["cannot hold an archive"]),
    ("a convert", lambda w: kr.convert(w.session, "afile"), BAD, ["afile is a file"]),
    (
        "a convert onto itself",
        lambda w: kr.convert(w.p, w.p),
        BAD,
        ["folder of a session", "beside"],
    ),
    ("a convert into", lambda w: kr.convert(w.session, w.p / "a/b"), BAD, ["folder of a session"]),
    ("its URL", lambda w: kr.convert(w.p, f"file://{w.p}/new"), BAD, ["folder of a session"]),
    ("an archive into", lambda w: w.session.to_parquet(w.p), BAD, ["folder of a session"]),
    ("another's folder", lambda w: kr.convert(w.session, w.other), BAD, ["folder of a session"]),
    ("a convert's typo", lambda w: kr.convert(w.p, "new", prt="a"), BAD, ["mean part=?"]),
    ("a convert to 5", lambda w: kr.convert(w.session, 5), BAD, ["folder", "path", "5"]),
    ("a convert to bytes", lambda w: kr.convert(w.session, b"x"), BAD, ["folder", "b'x'"]),
    ("a part of 5", lambda w: kr.convert(w.session, "new", part=5), BAD, ["part", "5"]),
    ("a part that leads out", lambda w: kr.convert(w.session, "new", part="../x"), BAD, ["part"]),
    ("a load of a file", lambda w: kr.load("afile"), kr.SessionMissing, ["afile", "it is a file"]),
    ("a load of nothing", lambda w: kr.load("nowhere"), kr.SessionMissing, ["no such folder"]),
    ("a load of ~", lambda w: kr.load("~/nowhere"), kr.SessionMissing, [str(Path.home())]),
    ("a load of 5", lambda w: kr.load(5), BAD, ["5"]),
    ("a load of none", lambda w: kr.load([]), BAD, []),
    (
        "a repair of notes",
        lambda w: kr.repair("notes.txt"),
        kr.SessionMissing,
        ["notes.txt", "it is a file"],
    ),
    ("a verify of a file", lambda w: kr.verify("afile"), kr.SessionMissing, ["it is a file"]),
    ("a replay of nothing", lambda w: kr.replay("nowhere"), kr.SessionMissing, ["nowhere"]),
    ("a serve of nothing", lambda w: kr.serve("nowhere"), kr.SessionMissing, ["nowhere"]),
]

SYMBOLS = [
    (f"the symbol {value!r}", lambda w, s=value: kr.stream(s, venue=w.v), error, parts)
    for value, error, parts in [
        ("BTC/USDT", SYMBOL, ["use 'XBTUSDTM', or 'BTC-USDT' on spot"]),
        ("BTC/USDT:USDT", SYMBOL, ["use 'XBTUSDTM'"]),
        ("ETH/USDT:USDT", SYMBOL, ["use 'ETHUSDTM'"]),
        ("btc-usdt", SYMBOL, ["use 'BTC-USDT'"]),
        ("xbtusdtm", SYMBOL, ["use 'XBTUSDTM'"]),
        (" XBTUSDTM", SYMBOL, ["use 'XBTUSDTM'"]),
        ("BTCUSDT", SYMBOL, ["call Bitcoin XBT", "use 'XBTUSDTM'"]),
        ("BTC_USDT", SYMBOL, ["use 'XBTUSDTM'"]),
        ("BTC/USDT:USDT-260327", SYMBOL, ["no futures symbol", 'kr.symbols(market="futures")']),
        ("BTC/USD:BTC-261225", SYMBOL, ["of BTC in USD that ends in 2026-12"]),
        ("btc/usdt:usdt-260327-50000-c", SYMBOL, ["no futures symbol", "ends in 2026-03"]),
        ("QQQ", SYMBOL, ["no futures symbol 'QQQ'", "kr.symbols"]),
        ("", BAD, ["symbols must not be empty"]),
        ([], BAD, ["symbols must not be empty"]),
        (None, BAD, ["symbols must be a string", "None"]),
        (7, BAD, ["symbols must be a string", "7"]),
        (b"XBTUSDTM", BAD, ["symbols must be a string"]),
        ([X, 7], BAD, ["symbols must be strings", "7"]),
        ("*", BAD, ["'*'", "private channels only"]),
    ]
] + [
    (
        "another market",
        lambda w: kr.stream(X, market="margin", venue=w.v),
        BAD,
        ["'futures' or 'spot'"],
    ),
    ("a market of 5", lambda w: kr.symbols(5, venue=w.v), BAD, ["'futures' or 'spot'"]),
    ("an instrument of none", lambda w: kr.instrument(None, venue=w.v), BAD, ["symbol", "None"]),
    ("a book of 5", lambda w: w.s.book(5), BAD, ["symbol must be a string", "5"]),
    ("a book of a list", lambda w: w.replay.book([X]), BAD, ["symbol must be a string"]),
    (
        "a pair's funding",
        lambda w: kr.funding_rates("BTC-USDT", venue=w.v),
        kr.ChannelNotOffered,
        ["is a spot pair"],
    ),
    (
        "a frame of another",
        lambda w: w.s.frame("trade", "SOLUSDTM"),
        SYMBOL,
        ["it streams: XBTUSDTM"],
    ),
    (
        "a frame of my misspelt",
        lambda w: w.own.frame("order", symbol="BTC/USDT"),
        SYMBOL,
        ["'BTC/USDT'"],
    ),
    ("a replay of 5", lambda w: kr.replay(w.session, symbols=5), BAD, ["symbols must be", "5"]),
    ("a serve of 5", lambda w: kr.serve(w.session, symbols=5), BAD, ["symbols must be", "5"]),
    ("an exchange of 5", lambda w: kr.simulate(symbols=5), BAD, ["symbols must be", "5"]),
    ("a tape of a list", lambda w: w.x.tape([X]), SYMBOL, ["no symbol"]),
]

# All arguments that take names, in every kind of list.
LISTS = {
    "symbols": lambda w, v: kr.stream(v, venue=w.v),
    "channels": lambda w, v: kr.stream(X, v, venue=w.v),
    "symbols of a frame": lambda w, v: kr.stream_to_frame(v, rows=1, venue=w.v),
    "channels of a frame": lambda w, v: kr.stream_to_frame(X, v, rows=1, venue=w.v),
    "symbols of a recording": lambda w, v: kr.record(v, root="new", venue=w.v),
    "symbols of a replay": lambda w, v: kr.replay(w.session, symbols=v),
    "channels of a replay": lambda w, v: kr.replay(w.session, channels=v),
    "symbols of a serve": lambda w, v: kr.serve(w.session, symbols=v),
    "channels of a serve": lambda w, v: kr.serve(w.session, channels=v),
    "channel of an attach": lambda w, v: w.s.attach(print, v),
    "channels of a dashboard": lambda w, v: kr.dashboard(X, channels=v, venue=w.v),
    "channels of the guide": lambda w, v: KuCoinWebSocket(venue=w.v).connect(X, v),
    "symbols of an exchange": lambda _, v: kr.simulate(symbols=v),
    "symbols of a trader": lambda w, v: w.x.start_trader(v),
}
NAMES = [
    (f"{place}, {what}", lambda w, p=place, v=value: LISTS[p](w, v), BAD, [place.split()[0], *said])
    for place in LISTS
    for what, value, said in [
        ("with None", [X, None], ["must be strings, and None is none"]),
        ("a column with null", pl.Series([X, None]), ["must be strings, and None is none"]),
        ("only None", [None], ["must be strings, and None is none"]),
        ("with 0", ["trade", 0], ["must be strings, and 0 is none"]),
        ("a polars frame", pl.DataFrame({"symbol": [X]}), ["a DataFrame of", "frame["]),
        ("a frame of pandas", pd.DataFrame({"symbol": [X]}), ["a DataFrame of", "frame["]),
        ("a lazy frame", pl.LazyFrame({"symbol": [X]}), ["frame.collect()["]),
    ]
]

CHANNELS = [
    (
        "a misspelt channel",
        lambda w: kr.stream(X, "tickr", venue=w.v),
        CHANNEL,
        ["did you mean 'ticker'"],
    ),
    (
        "spaces between",
        lambda w: kr.stream(X, "ticker trade", venue=w.v),
        CHANNEL,
        ["did you mean"],
    ),
    ("the channel 5", lambda w: kr.stream(X, 5, venue=w.v), BAD, ["channels must be", "5"]),
    ("no channel", lambda w: kr.stream(X, [], venue=w.v), BAD, ["channels must not be empty"]),
    ("only status", lambda w: kr.stream(X, "status", venue=w.v), BAD, ["only 'status'"]),
    (
        "an order without a key",
        lambda w: kr.stream(X, "order", venue=w.v),
        kr.CredentialsMissing,
        ["of your own account", "credentials=kr.Credentials.from_env()"],
    ),
    (
        "a key of text",
        lambda w: kr.stream(X, "order", credentials="k", venue=w.v),
        BAD,
        ["kr.Credentials", "not str"],
    ),
    (
        "funding on spot",
        lambda w: kr.stream("BTC-USDT", "funding_rate", venue=w.v),
        kr.ChannelNotOffered,
        ["on spot"],
    ),
    ("a frame of another", lambda w: w.s.frame("depth5"), CHANNEL, ["it streams: trade"]),
    ("a frame of none", lambda w: w.s.frame(), CHANNEL, ["name one of the channels"]),
    ("a frame of 5", lambda w: w.s.frame(5), CHANNEL, ["5"]),
    ("a report of another", lambda w: w.s.report().channel("nope"), CHANNEL, ["no channel 'nope'"]),
    ("a report of many", lambda w: w.s.report().channel("trade"), BAD, ["name the symbol"]),
    (
        "a report of candles",
        lambda w: w.s.report().channel("candle:5min"),
        BAD,
        ["name the symbol"],
    ),
    ("an attach to 5", lambda w: w.s.attach(print, 5), BAD, ["channel must be", "5"]),
    ("an attach to none", lambda w: w.s.attach(print, []), BAD, ["channel must not be empty"]),
    ("a replayed attach", lambda w: w.replay.attach(print, 5), BAD, ["channel must be", "5"]),
    ("a replay of 5", lambda w: kr.replay(w.session, channels=5), BAD, ["channels must be", "5"]),
    ("a serve of 5", lambda w: kr.serve(w.session, channels=5), BAD, ["channels must be", "5"]),
    ("another feed", lambda w: kr.stream(X, feed="fast", venue=w.v), BAD, ["feed", "'fast'"]),
]

NUMBERS = [
    (f"{what} of {value!r}", call, BAD, [name, repr(value)])
    for value in WRONG_NUMBERS
    for what, call, name in [
        ("a capacity", lambda w, n=value: kr.stream(X, capacity=n, venue=w.v), "capacity"),
        ("a wait for rows", lambda w, n=value: w.s.wait("trade", rows=n), "rows"),
        ("a step", lambda w, n=value: w.replay.step(n), "step"),
        ("a depth by REST", lambda w, n=value: kr.order_book(X, n, venue=w.v), "depth"),
        (
            "a figure's height",
            lambda w, n=value: kr.figures.price(w.tickers, X, height=n),
            "height",
        ),
        ("a figure's bins", lambda w, n=value: kr.figures.heatmap(w.s, X, bins=n), "bins"),
        ("a figure's levels", lambda w, n=value: kr.figures.depth(w.book, levels=n), "levels"),
        ("an end", lambda w, n=value: w.over.stop(n), "timeout"),
        ("connects", lambda _, n=value: kr.Healing(connects_per_minute=n), "connects_per_minute"),
        ("a lifetime", lambda _, n=value: kr.Healing(lifetime=n), "lifetime"),
    ]
    if not (value is None and what == "a figure's levels")
] + [
    (f"{what} of {value!r}", call, BAD, [name, repr(value)])
    for value in ("5", math.nan, -1, True, [])
    for what, call, name in [
        ("newest rows", lambda w, n=value: w.s.frame("trade", last=n), "last"),
        ("levels", lambda w, n=value: w.book.depth(n), "n must"),
        ("patience", lambda w, n=value: w.s.wait("trade", timeout=n), "timeout"),
        ("minutes", lambda w, n=value: kr.stream_to_frame(X, minutes=n, venue=w.v), "minutes"),
        ("rows", lambda w, n=value: kr.stream_to_frame(X, rows=n, venue=w.v), "rows"),
        ("seconds", lambda w, n=value: kr.record(X, seconds=n, venue=w.v), "seconds"),
        ("a replay's speed", lambda w, n=value: kr.replay(w.session, n), "speed"),
    ]
]

# Calls of bars and settings with argument names that they do not have.
BARS = {
    "bars": lambda w, *args, **options: w.s.bars(*args, **options),
    "ohlcv": lambda w, *args, **options: kr.ohlcv(w.trades, *args, **options),
}
NAMED = [
    (f"{what} of {place}", lambda w, b=bars, c=call: c(w, b), BAD, parts)
    for place, bars in BARS.items()
    for what, call, parts in [
        (
            "two kinds",
            lambda w, bars: bars(w, "10s", volume=100),
            ["every='10s' and volume= make different bars"],
        ),
        ("a minute, said", lambda w, bars: bars(w, "1m", ticks=9), ["every='1m' and ticks="]),
        ("a span", lambda w, bars: bars(w, timedelta(1), notional=9), ["every=", "notional="]),
        ("three kinds", lambda w, bars: bars(w, volume=1, ticks=1), ["give one of volume"]),
        ("dollars", lambda w, bars: bars(w, dollar=9), [place, "'dollar'", "mean notional=?"]),
        ("a typo", lambda w, bars: bars(w, volum=9), ["'volum'", "mean volume=?", "ticks"]),
        ("what there is not", lambda w, bars: bars(w, colour=9), [place, "'colour'", "volume"]),
        ("too many", lambda w, bars: bars(w, "1m", X, 7), [place, "write its name before it"]),
    ]
] + [
    ("ohlcv of nothing", lambda _: kr.ohlcv(), BAD, ["ohlcv lacks trades"]),
    ("trades twice", lambda w: kr.ohlcv(w.trades, trades=w.trades), BAD, ["trades twice"]),
    ("a vwap's interval", lambda w: kr.vwap(w.trades, interval="1m"), BAD, ["mean every=?"]),
    ("healing's rollover", lambda _: kr.Healing(rollover="yes"), BAD, ["'rollover'", "lifetime"]),
    ("healing's typo", lambda _: kr.Healing(overlp=1.0), BAD, ["did you mean overlap=?"]),
    ("healing of 5", lambda _: kr.Healing(5), BAD, ["what 5 is: write its name before it"]),
    ("a venue of nothing", lambda _: kr.Venue(), BAD, ["Venue lacks futures_url, spot_url"]),
    ("a venue of one", lambda _: kr.Venue("http://x"), BAD, ["Venue lacks spot_url"]),
    ("a venue's url", lambda _: kr.Venue("a", "b", url=1), BAD, ["Venue takes no 'url'"]),
    ("a recorder", lambda w: w.s.record("new", compress="zstd"), BAD, ["mean 'compression'?"]),
    ("a replay's", lambda w: w.replay.record("new", sync=1), BAD, ["mean 'fsync'?"]),
    ("a recorder's", lambda _: kr.Recorder("new", symbol=X), BAD, ["mean symbols=?"]),
    ("a recorder of 5", lambda _: kr.Recorder("new", symbols=5), BAD, ["symbols must be", "5"]),
    ("a replay's typo", lambda w: kr.replay(w.session, sped=2), BAD, ["mean speed=?"]),
    ("a replay that may be", lambda w: kr.replay(w.session, paused="x"), BAD, ["paused", "'x'"]),
    ("a serve's setting", lambda w: kr.serve(w.session, port=1), BAD, ["no setting 'port'"]),
    ("a serve that may be", lambda w: kr.serve(w.session, is_held=5), BAD, ["is_held", "5"]),
    ("an exchange's setting", lambda _: kr.simulate(foo=1), BAD, ["no setting 'foo'"]),
    *(
        (f"{name} of {value!r}", lambda _, o={name: value}: kr.simulate(**o), BAD, [name])
        for name, value in [
            ("ping_interval_ms", "x"),
            ("idle_timeout", "x"),
            ("idle_timeout", math.nan),
            ("rate_limit", -1),
            ("max_topics", "x"),
            ("compression", "x"),
            ("quiet_contracts", "x"),
            ("states", 5),
            ("accounts", 5),
            ("accounts", [5]),
            ("chaos", "x"),
        ]
    ),
    ("chaos' rate", lambda _: Chaos(seed=1, rate="x"), BAD, ["rate must be a number, not 'x'"]),
    ("chaos' faults", lambda _: Chaos(seed=1, faults=5), BAD, ["faults", "5"]),
    ("chaos' fault", lambda _: Chaos(seed=1, faults="drop"), BAD, ["faults must be a list"]),
    *(
        (f"keys of {value!r}", lambda _, v=value: kr.Credentials.from_env(v), BAD, parts)
        for value, parts in [
            (5, ["environ must hold texts by name", "not int", "path="]),
            (".env", ["not str", "path="]),
            (["KUCOIN_API_KEY"], ["not list"]),
            ({"KUCOIN_API_KEY": 5}, ["KUCOIN_API_KEY must be text, not int"]),
            ({"KUCOIN_API_KEY_VERSION": 3}, ["KUCOIN_API_KEY_VERSION must be text, not int"]),
        ]
    ),
    ("no keys", lambda _: kr.Credentials.from_env({1: 2}), kr.CredentialsMissing, ["not set"]),
    (
        "null keys",
        lambda _: kr.Credentials.from_env({"KUCOIN_API_KEY": None}),
        kr.CredentialsMissing,
        ["KUCOIN_API_KEY"],
    ),
    ("keys in 5", lambda _: kr.Credentials.from_env(path=5), BAD, ["path must be", "5"]),
    ("keys at a zero", lambda _: kr.Credentials.from_env(path="a\0b"), BAD, ["path must be"]),
    ("nobody's keys", lambda _: kr.Credentials.from_env(path="~nobody_here/x"), BAD, ["no path"]),
    ("a step of text", lambda w: replace(w.instrument, tick_size="x"), BAD, ["tick_size", "'x'"]),
    ("a worth", lambda w: replace(w.instrument, contract_multiplier="x"), BAD, ["cannot be 'x'"]),
    ("a symbol of 5", lambda w: replace(w.instrument, symbol=5), SYMBOL, ["not int"]),
    ("an instrument", lambda _: kr.Instrument(symbol=X), BAD, ["Instrument lacks market, base"]),
]

OTHERS = [
    ("minutes of 0", lambda w: kr.stream_to_frame(X, minutes=0, venue=w.v), BAD, ["minutes", "0"]),
    (
        "minutes as a span",
        lambda w: kr.stream_to_frame(X, minutes=timedelta(1), venue=w.v),
        BAD,
        ["minutes must be a positive number"],
    ),
    ("half a row", lambda w: kr.stream_to_frame(X, rows=1.5, venue=w.v), BAD, ["whole number"]),
    (
        "an async function",
        lambda w: w.s.attach(co),
        BAD,
        ["co is async", "run_coroutine_threadsafe"],
    ),
    *[
        (
            f"{method} of {whose} to {named}",
            lambda w, whose=whose, method=method, value=value: getattr(getattr(w, whose), method)(
                value
            ),
            BAD,
            [method, *parts],
        )
        for whose in ("s", "replay", "over")
        for method, of_what in (("attach", "record"), ("attach_batches", "rows"))
        for named, value, parts in [
            ("5", 5, [f"function of {of_what}", "5"]),
            ("none", None, [f"function of {of_what}", "None"]),
            ("a list", [print], [f"function of {of_what}"]),
            ("co", co, ["co is async", f"run_coroutine_threadsafe(co({of_what}), loop)"]),
            ("a partial co", partial(co), ["partial is async"]),
            ("a generator", generate, ["generate has a yield in it"]),
            ("a partial one", partial(generate), ["partial has a yield"]),
            ("an async one", generate_later, ["generate_later has a yield"]),
            ("an object", Generating(), ["Generating has a yield"]),
            ("its method", Generating().__call__, ["__call__ has a yield"]),
        ]
    ],
    ("a guide's callback", lambda w: KuCoinWebSocket(on_message=co), BAD, ["on_message", "async"]),
    ("one that is none", lambda w: KuCoinWebSocket(on_message=5), BAD, ["on_message", "5"]),
    ("a second start", lambda w: w.s.start(), kr.StreamError, ["starts once", "start another"]),
    ("a start when stopped", lambda w: w.over.start(), kr.StreamError, ["start another"]),
    (
        "an attach when stopped",
        lambda w: w.over.attach(print),
        kr.StreamStopped,
        ["'over' was stopped", "start another stream"],
    ),
    (
        "batches when stopped",
        lambda w: w.over.attach_batches(print),
        kr.StreamStopped,
        ["'over' was stopped", "start another stream"],
    ),
    ("a record when stopped", lambda w: w.over.record("new"), kr.StreamStopped, ["was stopped"]),
    (
        "a wait when stopped",
        lambda w: w.over.wait("trade", rows=10**6),
        kr.StreamStopped,
        ["is stopped after"],
    ),
    (
        "a wait too short",
        lambda w: w.s.wait("trade", rows=10**9, timeout=0.1),
        kr.StreamTimeout,
        ["1000000000 rows of trade", "within 0.1 s"],
    ),
    (
        "healing of text",
        lambda w: kr.stream(X, healing="hard", venue=w.v),
        BAD,
        ["healing must be kr.Healing(...)", "'hard'"],
    ),
    ("a name of 5", lambda w: kr.stream(X, name=5, venue=w.v), BAD, ["name must be a string", "5"]),
    ("a replay's name", lambda w: kr.replay(w.session, name=[]), BAD, ["name must be a string"]),
    (
        "another venue",
        lambda w: kr.stream(X, venue="dmo"),
        kr.UnknownVenue,
        ["did you mean 'demo'"],
    ),
    ("the venue 5", lambda w: kr.stream(X, venue=5), kr.UnknownVenue, ["int is no venue"]),
    *[
        (
            f"the option {name} of {whose}",
            lambda w, whose=whose, name=name: getattr(w, whose).record("new", **{name: 3}),
            BAD,
            ["record", repr(name), "options:", "compression, fsync, queue_rows"],
        )
        for whose in ("s", "replay")
        for name in ("foo", "gzip", "name", "venue", "market", "on_trouble", "ends_itself")
    ],
    *[
        (
            f"a choice of {name} of {whose}",
            lambda w, whose=whose, name=name: getattr(w, whose).record("new", **{name: [X]}),
            BAD,
            [f"no {name}=", "records all of a stream", "another stream"],
        )
        for whose in ("s", "replay")
        for name in ("symbols", "channels")
    ],
    (
        "a misspelt option",
        lambda w: w.s.record("new", compresion="zstd"),
        BAD,
        ["'compresion'", "did you mean 'compression'?"],
    ),
    ("damage of one's own", lambda w: w.replay.record("new", damage=[]), BAD, ["'damage'"]),
    (
        "an option of Parquet",
        lambda w: w.session.to_parquet("new", compression="x"),
        BAD,
        ["to_parquet has no option 'compression'", "options: part, storage_options"],
    ),
    ("compression", lambda w: w.s.record("new", compression="rar"), BAD, ["compression", "'rar'"]),
    ("fsync", lambda w: w.s.record("new", fsync=5), BAD, ["fsync", "5"]),
    ("pandas to ohlcv", lambda w: kr.ohlcv(w.of_pandas), BAD, ["polars", "pl.from_pandas(frame)"]),
    ("pandas to vwap", lambda w: kr.vwap(w.of_pandas), BAD, ["pl.from_pandas(frame)"]),
    ("pandas to mid_bars", lambda w: kr.mid_bars(w.of_pandas), BAD, ["pl.from_pandas(frame)"]),
    ("pandas to a figure", lambda w: kr.figures.price(w.of_pandas), BAD, ["pl.from_pandas(frame)"]),
    (
        "pandas to mark_filled",
        lambda w: kr.mark_filled(w.of_pandas, w.status),
        BAD,
        ["pl.from_pandas(frame)"],
    ),
    ("text to ohlcv", lambda _: kr.ohlcv("trades"), BAD, ["polars frame"]),
    ("tickers to ohlcv", lambda w: kr.ohlcv(w.tickers.drop("price")), kr.ColumnMissing, ["price"]),
    ("text to a figure", lambda _: kr.figures.price("trades"), BAD, ["polars frame or a stream"]),
    (
        "a status of 5",
        lambda w: kr.figures.price(w.tickers, X, status=5),
        BAD,
        ["status", "polars"],
    ),
    (
        "a status of pandas",
        lambda w: kr.figures.price(w.tickers, X, status=w.of_pandas),
        BAD,
        ["status", "pl.from_pandas(frame)"],
    ),
    (
        "a pink theme",
        lambda w: kr.figures.price(w.tickers, X, theme="pink"),
        BAD,
        ["'light' or 'dark'"],
    ),
    ("a theme of a list", lambda w: kr.figures.price(w.s, X, theme=[]), BAD, ["'light' or 'dark'"]),
    (
        "a zone of Mars",
        lambda w: kr.figures.price(w.tickers, X, tz="Mars"),
        BAD,
        ["no time zone", "'UTC'"],
    ),
    ("a window of words", lambda w: kr.figures.price(w.tickers, X, window="soon"), BAD, ["window"]),
    (
        "a window without end",
        lambda w: kr.figures.price(w.tickers, X, window=math.inf),
        BAD,
        ["window must be seconds", "inf"],
    ),
    ("a figure of two", lambda w: kr.figures.price(w.tickers), BAD, ["symbol", "ETHUSDTM"]),
    (
        "a price rounded up and away",
        lambda w: w.instrument.round_price(1.0, "away"),
        BAD,
        ["direction"],
    ),
    ("a price of nothing", lambda w: w.instrument.round_price(math.nan), BAD, ["price", "nan"]),
    ("what is no scan", lambda w: w.session.collect("trade"), BAD, ["scan()", "'trade'"]),
    ("a seed of text", lambda _: kr.simulate(seed="x"), BAD, ["seed", "'x'"]),
    ("a speed of 0", lambda _: kr.simulate(speed=0), BAD, ["speed"]),
    ("a start of nothing", lambda _: kr.simulate(start=1.5), BAD, ["no start time 1.5"]),
    ("a port beyond", lambda _: kr.simulate(futures_port=70_000), BAD, ["futures_port", "70000"]),
    ("a port of text", lambda _: kr.simulate(spot_port="x"), BAD, ["spot_port", "'x'"]),
    ("a host of 5", lambda _: kr.simulate(host=5), BAD, ["host", "5"]),
    ("a fault there is not", lambda w: w.x.inject("dropp"), BAD, ["no fault 'dropp'"]),
    ("a fault of a list", lambda w: w.x.inject([]), BAD, ["no fault"]),
    ("a fault at words", lambda w: w.x.inject("drop", at="x"), BAD, ["at 'x'", "seconds"]),
    ("a trader of words", lambda w: w.x.start_trader(orders_per_minute="x"), BAD, ["above 0"]),
    ("a trader of nobody", lambda w: w.x.start_trader(account="me"), BAD, ["accounts", "'me'"]),
    (
        "a guide's channel",
        lambda w: KuCoinWebSocket(venue=w.v).connect(X, "tickr"),
        CHANNEL,
        ["did you mean 'ticker'"],
    ),
    (
        "a guide's market",
        lambda w: KuCoinWebSocket(market_type="margin", venue=w.v),
        BAD,
        ["'futures' or 'spot'"],
    ),
    ("a dashboard of 5", lambda w: kr.dashboard(5, venue=w.v), BAD, ["not int"]),
    (
        "a lag of words",
        lambda w: kr.figures.lag(w.trades, X, offset_ms="x"),
        BAD,
        ["offset_ms", "'x'"],
    ),
    (
        "a lag of a list",
        lambda w: kr.figures.lag(w.trades, X, offset_ms=[]),
        BAD,
        ["offset_ms", "[]"],
    ),
    (
        "a lag without end",
        lambda w: kr.figures.lag(w.trades, X, offset_ms=math.inf),
        BAD,
        ["offset_ms", "inf"],
    ),
    ("lags of nothing", lambda w: w.s.lags(None), BAD, ["polars frame", "NoneType"]),
    ("lags of a channel", lambda w: w.s.lags("trade"), BAD, ["polars frame", "str"]),
    ("lags of pandas", lambda w: w.s.lags(w.of_pandas), BAD, ["pl.from_pandas(frame)"]),
    (
        "lags without stamps",
        lambda w: w.s.lags(w.trades.drop("local_timestamp")),
        kr.ColumnMissing,
        ["local_timestamp"],
    ),
    (
        "lags of texts",
        lambda w: w.s.lags(w.trades.with_columns(pl.col("timestamp").cast(str))),
        BAD,
        ["'timestamp' must hold times"],
    ),
    *(
        (
            f"a turnover by {value!r}",
            lambda w, i=value: kr.ohlcv(w.trades, instrument=i),
            BAD,
            ["kr.instrument()", repr(value)],
        )
        for value in (X, [X], {X: 5}, 5, b"x", [None])
    ),
    (
        "a turnover by symbols()",
        lambda w: kr.ohlcv(w.trades, instrument=kr.symbols(venue=w.v)),
        BAD,
        ["kr.instrument()", "a DataFrame of shape"],
    ),
    *(
        (
            f"a guide's channels {value!r}",
            lambda w, c=value: KuCoinWebSocket(venue=w.v).connect(X, c),
            BAD,
            ["channels", repr(value).strip("[]")],
        )
        for value in (None, 5, True, [5])
    ),
    ("a guide's symbol", lambda w: KuCoinWebSocket(venue=w.v).connect(5), BAD, ["symbol", "5"]),
    *(
        (
            f"a dashboard with {name}={value!r}",
            lambda w, n=name, v=value: kr.dashboard(X, **{"venue": w.v, n: v}),
            BAD,
            [name, repr(value).strip("[]")],
        )
        for name, value in [
            ("channels", None),
            ("channels", 5),
            ("channels", True),
            ("channels", [5]),
            ("window", ["5 min"]),
            ("window", 5),
            ("interval", []),
            ("interval", {}),
            ("root", 5),
            ("root", None),
            ("root", "afile"),
            ("root", "afile/below"),
            ("symbol", 5),
            ("symbol", b"x"),
            ("market", "margin"),
            ("feed", "fast"),
            ("feed", []),
            ("capacity", "x"),
            ("capacity", 0),
            ("name", 5),
            ("start", "yes"),
            ("tz", []),
        ]
    ),
    (
        "a dashboard's channel",
        lambda w: kr.dashboard(X, channels="tickr", venue=w.v),
        CHANNEL,
        ["'ticker'"],
    ),
    ("a dashboard's venue", lambda w: kr.dashboard(X, venue="dmo"), kr.UnknownVenue, ["'demo'"]),
    (
        "another book",
        lambda w: kr.figures.depth(w.book, "ETHUSDTM"),
        BAD,
        ["of 'XBTUSDTM'", "'ETHUSDTM'"],
    ),
    ("another ladder", lambda w: kr.figures.ladder(w.book, "ETHUSDTM"), BAD, ["of 'XBTUSDTM'"]),
    (
        "levels of text",
        lambda w: kr.figures.depth(w.book.depth().cast({"bid_price": str})),
        BAD,
        ["'bid_price' must hold numbers"],
    ),
    (
        "a mark that is none",
        lambda w: w.s.frame("trade", mark_filled="x"),
        BAD,
        ["mark_filled", "'x'"],
    ),
    ("a dashboard's zone", lambda w: kr.dashboard(X, tz="Mars", venue=w.v), BAD, ["no time zone"]),
]

TABLE = [
    pytest.param(call, error, parts, id=f"{kind}: {name}")
    for kind, rows in [
        ("time", TIMES),
        ("interval", INTERVALS),
        ("span", SPANS),
        ("path", PATHS),
        ("symbol", SYMBOLS),
        ("names", NAMES),
        ("channel", CHANNELS),
        ("number", NUMBERS),
        ("named", NAMED),
        ("other", OTHERS),
    ]
    for name, call, error, parts in rows
]


def test_the_table_is_a_long_one():
    assert len(TABLE) >= 120


@pytest.mark.parametrize(("call", "error", "parts"), TABLE)
def test_it_gives_a_sentence(w, call, error, parts):
    running = kr.running()

    with pytest.raises(error) as caught:
        call(w)

    said = str(caught.value)
    assert [part for part in parts if part not in said] == [], said
    assert "\n" not in said
    assert said.strip()
    assert kr.running() == running


class _Wordy:
    def __repr__(self):
        return "several\n  lines\n" * 20


class _Mute:
    def __repr__(self):
        raise RuntimeError("nothing to say")


# Values whose own repr does not fit into a sentence.
FRAME = pl.DataFrame({"price": [1.0, 2.0], "size": [3.0, 4.0]})
ODD = {
    "a frame": FRAME,
    "a lazy frame": FRAME.lazy(),
    "a column": FRAME["price"],
    "one of pandas": FRAME.to_pandas(),
    "an array": np.arange(9.0).reshape(3, 3),
    "a list of frames": [FRAME, FRAME],
    "a long text": "XY" * 1_500,
    "a long list": [["XY"] * 500] * 500,
    "lines": "XY\n" * 500,
    "bytes": b"XY" * 1_500,
    "an endless number": 10**5_000,
    "a wordy one": _Wordy(),
    "a mute one": _Mute(),
}
PLACES = {
    "symbols": lambda w, v: kr.stream(v, venue=w.v),
    "channels": lambda w, v: kr.stream(X, v, venue=w.v),
    "frame": lambda w, v: w.s.frame(v),
    "frame of a symbol": lambda w, v: w.s.frame("trade", v),
    "last": lambda w, v: w.s.frame("trade", last=v),
    "mark_filled": lambda w, v: w.s.frame("trade", mark_filled=v),
    "mark_filled of a replay": lambda w, v: w.replay.frame("trade", mark_filled=v),
    "frame of a session": lambda w, v: w.session.frame(v),
    "its symbol": lambda w, v: w.session.frame("trade", v),
    "wait": lambda w, v: w.s.wait(v),
    "bars": lambda w, v: w.s.bars(v),
    "volume": lambda w, v: kr.ohlcv(w.trades, volume=v),
    "ticks": lambda w, v: kr.ohlcv(w.trades, ticks=v),
    "instrument": lambda w, v: kr.ohlcv(w.trades, instrument=v),
    "attach": lambda w, v: w.s.attach(v),
    "market": lambda w, v: kr.symbols(v, venue=w.v),
    "venue": lambda _, v: kr.symbols(venue=v),
    "start": candles,
    "interval": lambda w, v: kr.candles(X, v, venue=w.v),
    "a symbol of REST": lambda w, v: kr.instrument(v, venue=w.v),
    "depth": lambda w, v: kr.order_book(X, v, venue=w.v),
    "healing": lambda w, v: kr.stream(X, healing=v, venue=w.v),
    "feed": lambda w, v: kr.stream(X, feed=v, venue=w.v),
    "compression": lambda w, v: w.s.record("new", compression=v),
    "speed": lambda w, v: kr.replay(w.session, v),
    "timeout": lambda w, v: w.s.wait("trade", timeout=v),
    "rows": lambda w, v: w.s.wait("bbo", rows=v),
    "minutes": lambda w, v: kr.stream_to_frame(X, minutes=v, venue=w.v),
    "seconds": lambda w, v: kr.record(X, seconds=v, root="new", venue=w.v),
    "lifetime": lambda _, v: kr.Healing(lifetime=v),
    "capacity": lambda w, v: kr.stream(X, capacity=v, venue=w.v),
    "offset_ms": lambda w, v: kr.figures.lag(w.trades, X, offset_ms=v),
    "height": lambda w, v: kr.figures.price(w.tickers, X, height=v),
    "lags": lambda w, v: w.s.lags(v),
    "vwap": lambda _, v: kr.vwap(v),
    "a price": lambda w, v: w.instrument.round_price(v),
    "on_error": lambda w, v: w.replay.wait_until_done(0.0, on_error=v),
    "fsync": lambda w, v: w.s.record("new", fsync=v),
    "speed of simulate": lambda _, v: kr.simulate(speed=v),
    "a guide's symbol": lambda w, v: KuCoinWebSocket(venue=w.v).connect(v),
    "a guide's channels": lambda w, v: KuCoinWebSocket(venue=w.v).connect(X, v),
    "a folder": lambda _, v: kr.load(v),
    "a seek": lambda w, v: w.replay.seek(v),
    "theme": lambda w, v: kr.figures.price(w.tickers, X, theme=v),
    "zone": lambda w, v: kr.figures.price(w.tickers, X, tz=v),
    "window": lambda w, v: kr.figures.price(w.tickers, X, window=v),
    "a figure's symbol": lambda w, v: kr.figures.price(w.tickers, v),
    "a dashboard's window": lambda w, v: kr.dashboard(X, window=v, venue=w.v),
    "a dashboard's channels": lambda w, v: kr.dashboard(X, channels=v, venue=w.v),
    "report": lambda w, v: w.s.report().channel(v),
    "fault": lambda w, v: w.x.inject(v),
    "seed": lambda _, v: kr.simulate(seed=v),
    "simulated symbols": lambda _, v: kr.simulate(symbols=v),
    "start of simulate": lambda _, v: kr.simulate(start=v),
}  # fmt: skip
# Arguments for which a huge number is right: a seed, or an upper limit.
RIGHT = {(place, "an endless number") for place in ("seed", "last", "depth", "rows")}


@pytest.mark.parametrize("place", PLACES)
def test_a_wrong_value_is_shown_on_one_line_and_in_short(w, place):
    running = kr.running()
    wrong = {}
    for name, value in ODD.items():
        if (place, name) in RIGHT:
            continue
        try:
            PLACES[place](w, value)
        except kr.KucoinResearchError as error:
            said = str(error)
            if "\n" in said or len(said) > 600 or "XY" * 40 in said:
                wrong[name] = said[:200]
        except Exception as error:  # noqa: BLE001  any other error is wrong
            wrong[name] = error
        else:
            wrong[name] = "it was taken"

    assert wrong == {}
    assert kr.running() == running


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_a_value_is_shown_by_what_it_is(value):
    said = shown(value)

    assert said.splitlines() == [said]
    assert 0 < len(said) <= 70


@pytest.mark.parametrize(
    "value", ["trade", 5, 1.5, None, True, [], ["a"], b"x", DAY, math.nan], ids=repr
)
def test_a_value_that_is_short_is_shown_as_it_is(value):
    assert shown(value) == repr(value)


def test_a_frame_is_shown_by_its_shape():
    assert shown(FRAME) == "a DataFrame of shape (2, 2)"
    assert shown([FRAME["price"]]) == "[a Series of shape (2,)]"


def test_a_guides_connection_outlives_a_call_that_cannot_be_meant(w):
    client = KuCoinWebSocket(venue=w.v)
    client.connect(X, "ticker, trade")
    try:
        with pytest.raises(BAD):
            client.connect(X, None)
        assert client.stream.state is not kr.State.STOPPED
        assert sorted(client.stream.status.rows) == ["status", "ticker", "trade"]
    finally:
        client.close()


def test_a_dashboard_takes_channels_with_commas_as_a_stream_does(w):
    made = kr.dashboard(X, channels="ticker, trade,candle:5min", venue=w.v)
    try:
        assert made.controls.chosen == ["ticker", "trade", "candle"]
    finally:
        made.close()


def test_a_dashboard_that_cannot_be_made_leaves_no_word_of_its_end(w, monkeypatch):
    raised = []
    monkeypatch.setattr(sys, "unraisablehook", raised.append)

    # An error inside, after all checks of arguments have passed.
    monkeypatch.setattr(notebook_dashboard, "Controls", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        kr.dashboard(X, venue=w.v)
    gc.collect()

    assert [str(each.exc_value) for each in raised] == []


COMMANDS = [
    (["recrod", X], ["no command 'recrod'", "did you mean 'record'"]),
    ([X, "--channels", "tickr"], ["did you mean 'ticker'"]),
    ([X, "--channels", "order"], ["KUCOIN_API_KEY", "not set"]),
    ([X, "--timeout", "-1"], ["--timeout", "'-1'"]),
    ([X, "--chanels", "trade"], ["--chanels"]),
    (["BTC/USDT"], ["'BTC-USDT' on spot"]),
    (["record", X, "--root", "afile"], ["afile is a file"]),
    (["replay", "afile"], ["it is a file"]),
    (["replay", "nowhere", "--speed", "fast"], ["--speed", "'fast'"]),
    (["verify", "afile"], ["it is a file"]),
    (["repair", "notes.txt"], ["notes.txt", "it is a file"]),
    (["convert", "nowhere", "new"], ["nowhere"]),
    (["simulate", "--futures-port", "70000"], ["65535"]),
    (["symbols", "--market", "margin"], ["margin"]),
    ([], ["COMMAND"]),
]


@pytest.mark.parametrize(("words", "parts"), COMMANDS, ids=" ".join)
def test_a_command_gives_one_line(w, monkeypatch, capsys, words, parts):
    monkeypatch.setenv("KUCOIN_FUTURES_URL", w.x.futures_url)
    monkeypatch.setenv("KUCOIN_SPOT_URL", w.x.spot_url)

    assert cli.main(words) != cli.DONE

    said = capsys.readouterr().err.strip()
    assert [part for part in parts if part not in said] == [], said
    assert said.count("\n") == 0


@pytest.mark.parametrize(
    "value",
    [
        *("5 minutes", "5m", "5min", "5 min", "5MIN"),
        *(timedelta(minutes=5), np.timedelta64(5, "m"), pd.Timedelta(minutes=5)),
    ],
    ids=repr,
)
def test_five_minutes_are_read_however_they_are_written(w, value):
    assert set(kr.candles(X, value, venue=w.v, progress=False)["interval"]) == {"5min"}
    assert kr.ohlcv(w.trades, value).height > 0
    assert kr.vwap(w.trades, value).height > 0
    assert kr.mid_bars(w.tickers, value).height > 0
    assert w.s.bars(value).height > 0
    assert kr.figures.candles(w.trades, X, every=value).data
    assert kr.figures.price(w.trades, X, window=value).data


def test_bars_of_volume_need_no_interval(w):
    bars = kr.ohlcv(w.trades, volume=100)

    assert bars["interval"][0] == "volume:100"
    assert kr.ohlcv(w.trades, None, volume=100).equals(bars)


def test_what_says_its_arguments_keeps_its_signature():
    assert list(inspect.signature(kr.ohlcv).parameters)[:2] == ["trades", "every"]
    assert list(inspect.signature(kr.Healing).parameters)[:2] == ["lifetime", "overlap"]
    assert "Make candles of trades" in kr.ohlcv.__doc__


def test_a_hundred_years_are_one_bar(w):
    assert kr.ohlcv(w.trades, timedelta(days=36_525)).height == w.trades["symbol"].n_unique()
    assert kr.figures.candles(w.trades, X, every="36525d").data


@pytest.mark.parametrize("every", ["5m", "5min", timedelta(minutes=5), np.timedelta64(5, "m")])
def test_a_figure_finds_a_streams_candles_however_their_interval_is_written(w, monkeypatch, every):
    asked = []
    monkeypatch.setattr(
        figures.front,
        "channels_for",
        lambda kind, source, every=None, symbol="": asked.append(every) or 1 / 0,
    )

    with pytest.raises(ZeroDivisionError):
        kr.figures.candles(w.s, X, every=every)

    assert asked == ["5min"]


@pytest.mark.parametrize(
    "value",
    [
        np.datetime64("2026-01-04"),
        pd.Timestamp("2026-01-04", tz="UTC"),
        DAY,
        date(2026, 1, 4),
        "2026-01-04",
        1_767_484_800,
        1_767_484_800.0,
        1_767_484_800_000,
        pl.Series([DAY])[0],
    ],
    ids=repr,
)
def test_a_time_is_read_however_it_is_written(w, value):
    assert candles(w, value, end="2026-01-04T00:10")["timestamp"][0] == DAY


@pytest.mark.parametrize(
    "value",
    [np.datetime64("2610-07-27"), np.datetime64("3000-01-01"), "3000-01-01", datetime.max, LAST],
    ids=repr,
)
def test_an_end_to_come_is_now(w, value):
    def rows(end):
        return candles(w, "2026-01-04", end=end)["timestamp"]

    until_now, until_then, until_later = rows(None), rows(value), rows(None)

    # In 64 bits of ns, numpy's 2610-07-27 would wrap to 2026-01-05T00:25:26.
    assert until_now[-1] <= until_then[-1] <= until_later[-1]
    settled = kr.funding_rates(X, "2026-01-01", value, venue=w.v, progress=False)
    assert settled.equals(kr.funding_rates(X, "2026-01-01", venue=w.v, progress=False))


@pytest.mark.parametrize(
    "column",
    [pl.Series, pd.Series, np.array, pd.Index, lambda n: pl.Series(n, dtype=pl.Categorical)],
)
def test_a_column_of_a_frame_names_symbols(w, column):
    with kr.stream(column([X, "ETHUSDTM"]), "ticker", venue=w.v) as s:
        assert set(s.instruments) == {X, "ETHUSDTM"}


def test_commas_part_channels_and_symbols(w):
    with kr.stream("XBTUSDTM, ETHUSDTM", "ticker,trade", venue=w.v) as s:
        assert set(s.instruments) == {X, "ETHUSDTM"}
        assert sorted(s.status.rows) == ["status", "ticker", "trade"]
