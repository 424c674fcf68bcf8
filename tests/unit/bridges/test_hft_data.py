"""Recordings for hftbacktest: the clocks, the trades, the file, and what is refused."""

import logging
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.bridges.hft_events import (
    BUY,
    DEPTH,
    DEPTH_CLEAR,
    DEPTH_SNAPSHOT,
    EVENT_DTYPE,
    EXCH_EVENT,
    LOCAL_EVENT,
    SELL,
    TRADE,
)
from kucoin_research.model.units import datetime_of
from tests.exchanges import simulate
from tests.unit.bridges.played import books, seen
from tests.unit.bridges.test_book_events import snapshot
from tests.unit.strategy.tapes import (
    SECOND,
    U,
    at,
    bbo,
    candle,
    depth5,
    depth50,
    gap,
    level,
    tape,
    ticker,
    trade,
)

LISTED = ("trade", "level2", "depth5", "status")
SAMPLE = Path(__file__).parents[3] / "data" / "sample"
MS = 1_000_000


def lagging(row, ms):
    """Let a row arrive so many milliseconds after it was sent."""
    return row._replace(local_timestamp=row.timestamp + round(ms * MS))


def trades_of(events):
    rows = seen(events, "local_ts")
    return rows[rows["ev"] & 0xFF == TRADE]


def test_level2_and_trades_become_events_in_the_order_of_both_clocks():
    rows = [lagging(row, 5) for row in snapshot(1, 10)]
    rows += [lagging(level(2, "buy", 99.5, 3.0, 11), 5), lagging(trade(1.999, "sell", 99.0, 2), 9)]

    events = kr.to_hftbacktest(tape(*rows))

    both = EXCH_EVENT | LOCAL_EVENT
    assert events.dtype == EVENT_DTYPE
    assert [(int(row["ev"]), float(row["px"]), float(row["qty"])) for row in events] == [
        (both | DEPTH_CLEAR, 0.0, 0.0),
        (both | DEPTH_SNAPSHOT | BUY, 99.0, 5.0),
        (both | DEPTH_SNAPSHOT | SELL, 101.0, 6.0),
        (EXCH_EVENT | TRADE | SELL, 99.0, 2.0),  # sent before, and arrived behind the change
        (both | DEPTH | BUY, 99.5, 3.0),
        (LOCAL_EVENT | TRADE | SELL, 99.0, 2.0),
    ]
    assert events["exch_ts"].tolist() == [at(1)] * 3 + [at(1.999), at(2), at(1.999)]
    assert events["local_ts"].tolist() == [at(1) + 5 * MS] * 3 + [
        at(1.999) + 9 * MS, at(2) + 5 * MS, at(1.999) + 9 * MS,
    ]  # fmt: skip


def test_a_trade_stands_before_the_change_that_it_made_where_the_book_knows_only_milliseconds():
    change, taken = level(2, "sell", 101.0, 1.0, 11), trade(2, "buy", 101.0, 5)
    exact = taken._replace(timestamp=at(2) + 123_456)
    rows = [lagging(row, 5) for row in (*snapshot(1, 10), change, exact)]

    events = kr.to_hftbacktest(tape(*rows))

    assert [int(row["ev"]) & 0xFF for row in seen(events, "exch_ts")][-2:] == [TRADE, DEPTH]
    assert trades_of(events)["exch_ts"].tolist() == [at(2)]
    precise = [row._replace(timestamp=row.timestamp + 7) for row in rows]
    assert trades_of(kr.to_hftbacktest(tape(*precise)))["exch_ts"].tolist() == [at(2) + 123_463]


def test_trades_have_the_side_of_the_taker_and_none_if_it_is_unknown():
    rows = [*snapshot(1, 10), *(trade(2 + n, side, 99.0) for n, side in enumerate(
        ["buy", "sell", None]))]  # fmt: skip

    found = trades_of(kr.to_hftbacktest(tape(*rows)))

    assert [int(each) for each in found["ev"]] == [TRADE | BUY, TRADE | SELL, TRADE]


@pytest.mark.parametrize(
    ("kept", "first"),
    [
        (("level2", "depth50", "depth5", "bbo", "ticker"), (99.0, 101.0)),
        (("depth50", "depth5", "bbo", "ticker"), (98.0, 102.0)),
        (("depth5", "bbo", "ticker"), (97.0, 103.0)),
        (("bbo", "ticker"), (96.0, 104.0)),
        (("ticker",), (95.0, 105.0)),
    ],
)
def test_the_fullest_channel_of_a_book_is_taken(kept, first):
    everything = tape(
        *snapshot(1, 10), depth50(1, [(98.0, 1.0)], [(102.0, 1.0)]),
        depth5(1, [(97.0, 1.0)], [(103.0, 1.0)]), bbo(1, (96.0, 1.0), (104.0, 1.0)),
        ticker(1, 95.0, 1.0, "buy", (95.0, 1.0), (105.0, 1.0)),
    )  # fmt: skip
    data = {name: everything[name] for name in kept}

    *_, (_, bids, asks) = books(kr.to_hftbacktest(data))

    assert (max(bids), min(asks)) == first
    assert len(kr.to_hftbacktest(data, book=kept[-1])) == 3


def test_one_of_several_symbols_is_named_on_either_market():
    rows = tape(*snapshot(1, 10), *snapshot(1, 10, [(9.0, 0.00000001)], symbol="BTC-USDT"))

    with pytest.raises(kr.InvalidInput, match="symbol= of UNIUSDTM, BTC-USDT"):
        kr.to_hftbacktest(rows)
    events = kr.to_hftbacktest(rows, symbol="BTC-USDT")
    assert events["qty"].tolist() == [0.0, 0.00000001, 6.0]


def test_clocks_that_differ_are_refused_or_moved_by_a_number_or_until_they_fit(caplog):
    ahead = tape(*(lagging(row, -40) for row in snapshot(1, 10)), lagging(trade(2, "buy", 9.0), 7))

    with pytest.raises(kr.InvalidInput, match=r"arrived 40.000 ms before it was sent.*'fit'"):
        kr.to_hftbacktest(ahead)
    with pytest.raises(kr.InvalidInput, match=r"arrived 10.000 ms before it was sent"):
        kr.to_hftbacktest(ahead, clock_shift=-0.03)
    moved = kr.to_hftbacktest(ahead, clock_shift=-0.05)
    with caplog.at_level(logging.INFO, "kucoin_research"):
        fitted = kr.to_hftbacktest(ahead, clock_shift="fit")

    for events, shift in ((moved, -50), (fitted, -40)):
        assert set(trades_of(events)["exch_ts"].tolist()) == {at(2) + shift * MS}
        assert set(trades_of(events)["local_ts"].tolist()) == {at(2) + 7 * MS}
    assert (fitted["local_ts"] - fitted["exch_ts"]).min() == 0
    assert "times of UNIUSDTM were moved by -0.040000000 s" in caplog.text


def test_clocks_of_different_days_are_refused():
    rows = tape(*(lagging(row, 61_000) for row in snapshot(1, 10)))

    with pytest.raises(kr.InvalidInput, match=r"fastest row arrived 61\.000 s after it was sent"):
        kr.to_hftbacktest(rows)
    fitted = kr.to_hftbacktest(rows, clock_shift="fit")
    assert fitted["exch_ts"].tolist() == fitted["local_ts"].tolist()


def test_a_file_holds_the_same_events_under_the_name_data(tmp_path):
    path = tmp_path / "new" / "events.npz"
    rows = tape(*snapshot(1, 10))

    events = kr.to_hftbacktest(rows, path)
    again = kr.to_hftbacktest(rows, str(path))

    with np.load(path) as stored:
        assert list(stored) == ["data"]
        assert stored["data"].tolist() == events.tolist() == again.tolist()


def test_the_gaps_of_a_recording_empty_the_book_and_are_warned_of():
    with pytest.warns(kr.IncompleteData, match=r"XBTUSDTM is not whole: level2 has 1 gap, 5\.6 s"):
        events = kr.to_hftbacktest(SAMPLE, clock_shift="fit")

    empty = [time for time, bids, asks in books(events) if not bids and not asks]
    lost = kr.load(SAMPLE).frame("status").filter(event="disconnected")["local_timestamp"]
    assert empty == [lost.to_physical()[0]]
    assert len(trades_of(events)) == 496
    with pytest.warns(kr.IncompleteData, match="ticker has 1 gap"):
        assert len(kr.to_hftbacktest(SAMPLE, book="ticker", clock_shift="fit")) > 400


def test_gaps_of_snapshots_and_of_trades_are_warned_of():
    rows = tape(
        *(depth5(second, [(99.0, 1.0)], [(101.0, 1.0)]) for second in (0, 1, 5)),
        trade(6, "buy", 99.0), gap(1.5, 4, "depth5"), gap(2, 3, "trade"),
    )  # fmt: skip

    with pytest.warns(kr.IncompleteData, match="depth5 has 1 gap, 2.5 s .* trade has 1 gap, 1.0 s"):
        events = kr.to_hftbacktest(rows)

    assert [(time - at(0)) / SECOND for time, bids, _ in books(events) if not bids] == [1.5]


def test_a_recording_of_the_simulated_exchange_is_taken_as_it_is(tmp_path):
    with simulate(seed=9, speed=1.0) as exchange:
        run = kr.record(
            "XBTUSDTM", ["trade", "level2", "depth50"], venue=exchange.venue, root=tmp_path,
            progress=False,
        )  # fmt: skip
        with run:
            run.stream.wait("level2", rows=2_000, timeout=120)
            run.stream.stop()
        session, book = run.session(), run.stream.book()

    events = kr.to_hftbacktest(session, clock_shift="fit")

    *_, (_, bids, asks) = books(events)
    assert (bids, asks) == (dict(book.bids), dict(book.asks))
    assert trades_of(events)["px"].tolist() == session.frame("trade")["price"].to_list()
    *_, (_, bids, asks) = books(kr.to_hftbacktest(session, book="depth50", clock_shift="fit"))
    shown = session.frame("depth50").row(-1, named=True)
    assert (max(bids), min(asks)) == (shown["bid_prices"][0], shown["ask_prices"][0])
    assert bids[shown["bid_prices"][-1]] == shown["bid_sizes"][-1]


def test_between_two_sessions_the_book_is_empty_and_no_candle_is_made(tmp_path, held_time):
    with simulate(seed=9, speed=60.0) as exchange:
        paths = []
        for _ in range(2):
            run = kr.record(
                "XBTUSDTM", ["trade", "level2", "depth5"], venue=exchange.venue, root=tmp_path,
                progress=False,
            )  # fmt: skip
            with run:
                run.stream.wait("trade", rows=400, timeout=120)
            paths.append(run.path)
            held_time.pass_by(5)
    both = kr.load(paths)
    ended = max(kr.load(paths[0]).frame(name)["local_timestamp"].max() for name in LISTED)

    for book in ("level2", "depth5"):
        with pytest.warns(kr.IncompleteData, match=f"{book} has 1 gap, .*trade has 1 gap"):
            events = kr.to_hftbacktest(both, book=book, clock_shift="fit")
        (empty,) = [time for time, bids, _ in books(events) if not bids]
        assert datetime_of(empty) == ended
    with pytest.warns(kr.IncompleteData, match="1 gap"):
        wide = kr.to_vectorbt(both, "10s")
    with pytest.warns(kr.IncompleteData, match="1 gap"):
        candles = kr.to_backtesting(both, "10s")
    assert wide["Close"].isna().sum() >= 5
    assert len(candles) <= wide["Close"].notna().sum()


# -- what cannot be meant --------------------------------------------------------------------------

LEVELS = tape(*snapshot(1, 10))["level2"]
CHANGE = tape(level(1, "buy", 99.0, 1.0, 11))


@pytest.mark.parametrize(
    ("data", "options", "error", "words"),
    [
        (CHANGE, {}, kr.InvalidInput, "1 changes and no snapshot to begin with"),
        ({"level2": LEVELS.clear()}, {"symbol": U}, kr.UnknownSymbol, "is not in the data"),
        (
            tape(trade(1, "buy", 1.0)) | {"bbo": tape(bbo(1))["bbo"].clear()},
            {},
            kr.InvalidInput,
            "bbo of UNIUSDTM has no rows",
        ),
        (tape(trade(1, "buy", 1.0)), {}, kr.UnknownChannel, "one of the channels level2, depth50"),
        (tape(candle(1, 1.0, 1.0, 1.0, 1.0)), {}, kr.UnknownChannel, "the data has candle:1min"),
        (LEVELS, {"book": "depth50"}, kr.UnknownChannel, "needs the channel 'depth50'"),
        (LEVELS, {"book": "trade"}, kr.InvalidInput, "book must be one of level2"),
        (LEVELS, {"path": "events.csv"}, kr.InvalidInput, "must end in .npz"),
        (LEVELS, {"path": 5}, kr.InvalidInput, "path must be the path"),
        (LEVELS, {"clock_shift": "guess"}, kr.InvalidInput, "seconds or 'fit'"),
        (LEVELS, {"clock_shift": float("nan")}, kr.InvalidInput, "a number of seconds, or 'fit'"),
        (LEVELS, {"clock_shift": 1e12}, kr.InvalidInput, "longer than a century"),
        (LEVELS.drop("size"), {}, kr.ColumnMissing, "'size'"),
        (LEVELS.with_columns(timestamp=None), {}, kr.InvalidInput, "2 rows of level2 of UNIUSDTM"),
        (LEVELS.with_columns(price=pl.lit("9")), {}, kr.InvalidInput, "must hold numbers"),
        (LEVELS, {"symbols": "x"}, kr.InvalidInput, "did you mean symbol="),
        (b"", {}, kr.InvalidInput, "to_hftbacktest takes a session"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(data, options, error, words):
    with pytest.raises(error, match=words):
        kr.to_hftbacktest(data, **options)
