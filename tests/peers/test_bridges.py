"""What the bridges make, run by the engines it is made for, against numbers that are known."""

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.bridges import hft_events
from kucoin_research.sessions.book_rebuild import BookRebuild
from kucoin_research.sessions.timeline import Timeline

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
SYMBOL = "XBTUSDTM"
MS, SECOND = 1_000_000, 1_000_000_000
# hftbacktest's flags and kinds.
TRADE, BUY, SELL = 2, 1 << 29, 1 << 28
FILLED, EXPIRED = 3, 2


def write(frame, path):
    """Write a frame of ours for a script of another interpreter, with another pandas."""
    names = ["|".join([name] if isinstance(name, str) else name) for name in frame.columns]
    np.savez(
        path,
        names=np.array(names), values=frame.to_numpy(), freq=frame.index.freqstr or "",
        index=frame.index.tz_localize(None).to_numpy().astype(np.int64),
    )  # fmt: skip
    return path


def prices_of(first, behind):
    """List the prices of the sample's trades in some of its seconds, in order."""
    trades = kr.load(SAMPLE).frame("trade").sort("timestamp", maintain_order=True)
    begin = trades["timestamp"].dt.truncate("1m")[0]
    return [
        price
        for when, price in trades.select("timestamp", "price").iter_rows()
        if first <= (when - begin).total_seconds() < behind
    ]


# -- backtesting.py --------------------------------------------------------------------------------


def test_buy_and_hold_in_backtesting_ends_with_the_equity_of_the_arithmetic(engine, tmp_path):
    frame = kr.to_backtesting(SAMPLE, "10s")
    path = write(frame, tmp_path / "candles.npz")
    bought = prices_of(30, 40)[0]  # at the open of the candle behind the one that gave the signal
    last = prices_of(50, 60)[-1]

    found = engine("hold_in_backtesting", path, 1, 3, 1_000_000, 0.001)

    assert len(frame) == 5
    assert found["entries"] == [[3, pytest.approx(bought, rel=1e-12), 2]]
    fee = 3 * bought * 0.001
    assert found["equity"] == pytest.approx(1_000_000 - fee + 3 * (last - bought), rel=1e-12)
    assert found["zone"] == "UTC"
    assert found["start"] == frame.index[0].value
    assert found["calls"] == 4  # from the second candle on, as the engine does
    assert found["page"] > 10_000


# -- vectorbt --------------------------------------------------------------------------------------


def test_signals_in_vectorbt_have_the_equity_and_the_sharpe_ratio_of_the_arithmetic(
    engine, tmp_path
):
    frame = kr.to_vectorbt(SAMPLE, "1s")
    path = write(frame, tmp_path / "candles.npz")
    close = frame["Close"].to_numpy()
    cash, fee, entry, leave = 10_000.0, 0.001, 5, 30

    found = engine("signals_in_vectorbt", path, cash, fee, entry, leave)

    size = cash / (close[entry] * (1 + fee))
    proceeds = size * close[leave] * (1 - fee)
    value = [
        cash if at < entry else size * price if at < leave else proceeds
        for at, price in enumerate(close)
    ]
    assert found["value"] == pytest.approx(value, rel=1e-12)
    returns = np.diff([cash, *value]) / [cash, *value[:-1]]
    a_year = 365 * 86_400
    sharpe = returns.mean() / returns.std(ddof=1) * math.sqrt(a_year)
    assert found["sharpe"] == pytest.approx(sharpe, rel=1e-9)


def test_vectorbt_takes_several_symbols_and_trades_nothing_in_a_gap(engine, tmp_path):
    frame = kr.to_vectorbt({"trade": two_symbols()}, "1s")
    path = write(frame, tmp_path / "candles.npz")
    close = frame["Close"]

    in_gap = engine("signals_in_vectorbt", path, 1_000.0, 0.0, 3, 6)
    around = engine("signals_in_vectorbt", path, 1_000.0, 0.0, 1, 6)

    assert close["XBTUSDTM"].isna().tolist() == [False, False, False, True, True, *[False] * 3]
    assert in_gap["columns"] == ["XBTUSDTM", "ETHUSDTM"]
    assert in_gap["ordered"] == [1, 1]  # only in the other symbol
    assert [row[0] for row in in_gap["value"]] == [1_000.0] * 8
    size = 1_000 / close["XBTUSDTM"].iloc[1]
    assert [row[0] for row in around["value"]][3:5] == pytest.approx(
        [size * close["XBTUSDTM"].iloc[2]] * 2, rel=1e-12
    )
    assert not any(math.isnan(each) for each in around["sharpe"])


def two_symbols():
    """Trades of ten seconds of two symbols; the first one has none in two of them."""
    begin = 1_767_571_200 * SECOND
    rows = [
        (begin + at * SECOND + 1, symbol, price + at * (-1) ** at, 1.0)
        for symbol, price in (("XBTUSDTM", 100.0), ("ETHUSDTM", 50.0))
        for at in range(10)
        if symbol == "ETHUSDTM" or at not in {4, 5}
    ]
    return pl.DataFrame(rows, ["timestamp", "symbol", "price", "size"], orient="row").cast(
        {"timestamp": pl.Datetime("ns", "UTC")}
    )


# -- hftbacktest -----------------------------------------------------------------------------------


def asked(folder, times, orders_at=(), **options):
    path = folder / "questions.json"
    chosen = {
        "tick_size": 0.1, "lot_size": 1.0, "multiplier": 0.001, "latency": 1, "limit": 1e6,
        "times": times, "orders_at": orders_at, **options,
    }  # fmt: skip
    path.write_text(json.dumps(chosen))
    return path


def books_at(session, times):
    """Read the best prices and sizes of a session's book at local times; None when not in step."""
    rebuild = BookRebuild([SYMBOL])
    rows = [row for batch in Timeline(session).batches() for row in batch]
    found, place = [], 0
    for time in times:
        start = place
        while place < len(rows) and rows[place].local_timestamp <= time:
            place += 1
        rebuild.take(rows[start:place])
        try:
            book = rebuild.copy(SYMBOL, session.name)
        except kr.BookNotReady:
            found.append(None)
        else:
            found.append((book.best_bid, book.best_ask, book.best_bid_size, book.best_ask_size))
    return found


def sent(rows):
    """Return exchange times in whole milliseconds, ns."""
    return rows["timestamp"].to_physical() // MS * MS


def test_a_session_with_a_gap_plays_in_hftbacktest_as_in_a_replay(engine, tmp_path):
    session = kr.load(SAMPLE)
    path = tmp_path / "sample.npz"
    with pytest.warns(kr.IncompleteData, match="level2 has 1 gap, 5.6 s"):
        kr.to_hftbacktest(session, path, clock_shift="fit")
    rows, trades = session.frame("level2"), session.frame("trade")
    begin, end = (rows["local_timestamp"].to_physical()[at] for at in (0, -1))
    times = np.linspace(begin + SECOND // 10, end - 1, 400).astype(np.int64).tolist()
    orders = [times[at] for at in (40, 120, 180, 250, 350)]  # the third one in the gap

    found = engine("play_in_hftbacktest", path, asked(tmp_path, times, orders))

    assert found["names"] == ["data"]
    fields = hft_events.EVENT_DTYPE.fields.items()
    assert found["layout"][0] == [[name, str(kind), place] for name, (kind, place) in fields]
    assert found["layout"][1] == [
        hft_events.DEPTH, hft_events.TRADE, hft_events.DEPTH_CLEAR, hft_events.DEPTH_SNAPSHOT,
        hft_events.EXCH_EVENT, hft_events.LOCAL_EVENT, hft_events.BUY, hft_events.SELL,
    ]  # fmt: skip
    assert found["same_order"] == [True, True]
    assert found["rows"][0] == found["rows"][1]
    expected = books_at(session, times)
    assert 30 < sum(book is None for book in expected) < 45  # 5.6 of 60 s
    for book, best, sizes in zip(expected, found["best"], found["sizes"], strict=True):
        if book is None:
            assert best == [None, None]
        else:
            assert best == pytest.approx(book[:2], rel=1e-12)
            assert sizes == list(book[2:])

    played = trades.filter(pl.col("local_timestamp").to_physical() < end)
    flags = {"buy": BUY, "sell": SELL}
    assert [(ev & (TRADE | BUY | SELL), *rest) for ev, *rest in found["trades"]] == [
        (TRADE | flags[side], local, price, size)
        for side, local, price, size in played.select(
            "side", pl.col("local_timestamp").to_physical(), "price", "size"
        ).iter_rows()
    ]

    lags = [(each["local_timestamp"].to_physical() - sent(each)).min() for each in (rows, trades)]
    position = 0
    for number, ((held, price, status), when) in enumerate(
        zip(found["fills"], orders, strict=True)
    ):
        if number == 2:
            assert (held, status) == (position, EXPIRED)
            continue
        position += 1
        asks = {}
        for row in rows.filter(sent(rows) + min(lags) <= when + 1).iter_rows(named=True):
            if row["is_snapshot"] and row["sequence"] != asks.get(None):
                asks = {None: row["sequence"]}
            if row["side"] == "sell":
                asks[row["price"]] = row["size"]
        best = min(each for each, size in asks.items() if each is not None and size)
        assert (held, status) == (position, FILLED)
        assert price == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("channel", ["depth50", "depth5", "bbo"])
def test_snapshots_play_in_hftbacktest_with_the_best_prices_they_show(engine, tmp_path, channel):
    rows, trades = random_rows(channel, seed=3), random_trades(seed=4)
    path = tmp_path / "events.npz"
    events = kr.to_hftbacktest({channel: rows, "trade": trades}, path)
    arrived = rows["local_timestamp"].to_physical().to_list()
    times = [*arrived[::7], arrived[-1]]

    found = engine("play_in_hftbacktest", path, asked(tmp_path, times))

    assert found["same_order"] == [True, True]
    assert len(events) == found["rows"][0]
    assert len(events) > np.count_nonzero(events["ev"] & (1 << 30))  # some are in two rows
    for time, best, sizes in zip(times, found["best"], found["sizes"], strict=True):
        shown = rows.row(arrived.index(time), named=True)
        bid, ask = touch(channel, shown)
        assert best == pytest.approx([bid[0], ask[0]], rel=1e-12)
        assert sizes == [bid[1], ask[1]]


def touch(channel, row):
    if channel == "depth50":
        return [(row[f"{side}_prices"][0], row[f"{side}_sizes"][0]) for side in ("bid", "ask")]
    names = "{}_price_1 {}_size_1" if channel == "depth5" else "best_{}_price best_{}_size"
    return [tuple(row[name.format(side)] for name in names.split()) for side in ("bid", "ask")]


def random_rows(channel, seed, count=400):
    """Make snapshots around a walking mid, with sizes that change and levels that come and go."""
    choose = np.random.default_rng(seed)
    most = {"depth50": 50, "depth5": 5, "bbo": 1}[channel]
    begin = 1_767_571_200 * SECOND
    mid, rows = 1_000, []
    for at in range(count):
        mid += int(choose.integers(-3, 4))
        levels = [
            [
                ((mid + sign * int(tick)) / 10, float(choose.integers(1, 5)))
                for tick in np.sort(choose.choice(np.arange(1, 2 * most + 3), most, replace=False))
            ]
            for sign in (-1, 1)
        ]
        when = begin + at * 100 * MS
        rows.append((when, when + 5 * MS + int(choose.integers(0, 90 * MS)), SYMBOL, None, *levels))
    return pl.DataFrame(
        [_columns(channel, row) for row in rows],
        schema=kr.model.records.schema_of(kr.CHANNELS[channel]), orient="row",
    )  # fmt: skip


def _columns(channel, row):
    *head, bids, asks = row
    prices_and_sizes = [[pair[at] for pair in side] for side in (bids, asks) for at in (0, 1)]
    if channel == "depth50":
        return [*head, *prices_and_sizes]
    return [*head, *(value for values in prices_and_sizes for value in values)]


def random_trades(seed, count=300):
    choose = np.random.default_rng(seed)
    begin = 1_767_571_200 * SECOND
    times = begin + np.sort(choose.integers(0, 40 * SECOND, count))
    lags = choose.integers(5 * MS, 60 * MS, count)
    return pl.DataFrame(
        {
            "timestamp": times, "local_timestamp": np.maximum.accumulate(times + lags),
            "symbol": SYMBOL, "sequence": np.arange(count), "trade_id": "",
            "side": choose.choice(["buy", "sell"], count),
            "price": choose.integers(950, 1_050, count) / 10, "size": 1.0,
        },
        schema=kr.model.records.schema_of(kr.CHANNELS["trade"]),
    )  # fmt: skip
