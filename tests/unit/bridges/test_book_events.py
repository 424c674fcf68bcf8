"""Events of level2: the book that hftbacktest keeps is the one that a replay keeps."""

import random

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.bridges.book_events import book_events
from kucoin_research.bridges.hft_events import DEPTH, DEPTH_CLEAR, DEPTH_SNAPSHOT, in_both_orders
from kucoin_research.model.records import Level2, Status
from kucoin_research.sessions.book_rebuild import BookRebuild
from tests.exchanges import simulate
from tests.unit.bridges.played import books
from tests.unit.strategy.tapes import START, U, at, disconnected, level, tape

MS = 1_000_000


def snapshot(when, sequence, bids=((99.0, 5.0),), asks=((101.0, 6.0),), symbol=U):
    """Make the rows of a snapshot, which arrive 1 ns apart."""
    rows = [
        level(when, side, price, size, sequence, is_snapshot=True, symbol=symbol)
        for side, levels in (("buy", bids), ("sell", asks))
        for price, size in levels
    ]
    return [row._replace(local_timestamp=at(when) + place) for place, row in enumerate(rows)]


def status(when, event, first=None, last=None, detail=None, symbol=U):
    return Status(at(when), at(when), symbol, event, "level2", detail, first, last)


def made(*rows):
    frames = tape(*rows)
    return book_events(frames["level2"], frames.get("status"), U)


def kinds(events):
    return [int(row["ev"]) & 0xFF for row in events]


def shown(events):
    """Return the seconds at which the book changes, with its best prices then."""
    return [
        ((time - START) // 1_000_000_000, max(bids, default=None), min(asks, default=None))
        for time, bids, asks in books(in_both_orders([events]))
    ]


def test_a_snapshot_clears_the_book_and_arrives_as_a_whole():
    events = made(*snapshot(1, 10), level(2, "buy", 99.5, 1.0, 11))

    assert kinds(events) == [DEPTH_CLEAR, DEPTH_SNAPSHOT, DEPTH_SNAPSHOT, DEPTH]
    assert set(events["local_ts"][:3].tolist()) == {at(1) + 1}
    assert shown(events) == [(1, 99.0, 101.0), (2, 99.5, 101.0)]
    assert events["px"].tolist() == [0.0, 99.0, 101.0, 99.5]
    assert events["qty"].tolist() == [0.0, 5.0, 6.0, 1.0]


def test_changes_before_the_first_snapshot_are_left_out():
    assert len(made(level(1, "buy", 99.0, 1.0, 9))) == 0
    assert shown(made(level(1, "buy", 98.0, 1.0, 9), *snapshot(2, 10)))[0] == (2, 99.0, 101.0)


def test_the_book_is_empty_from_the_report_of_a_gap_to_the_next_snapshot():
    events = made(
        *snapshot(1, 10), level(2, "buy", 99.5, 1.0, 11),
        status(4, "gap", 12, 13), level(5, "buy", 99.6, 1.0, 14),
        *snapshot(6, 20), level(7, "sell", 100.5, 1.0, 21),
    )  # fmt: skip

    assert shown(events) == [
        (1, 99.0, 101.0), (2, 99.5, 101.0), (4, None, None), (6, 99.0, 101.0), (7, 99.0, 100.5),
    ]  # fmt: skip
    cleared = events[[kind == DEPTH_CLEAR for kind in kinds(events)]]
    assert cleared["exch_ts"].tolist() == [at(1), at(2), at(6)]  # at the last change that is known


def test_a_gap_that_the_snapshot_contains_loses_nothing():
    events = made(*snapshot(1, 10), status(2, "gap", 8, 9), level(3, "buy", 99.5, 1.0, 11))

    assert shown(events) == [(1, 99.0, 101.0), (3, 99.5, 101.0)]


def test_a_book_that_the_exchange_renumbered_is_lost():
    events = made(
        *snapshot(1, 10), status(2, "gap", 11, 10, "renumbered"), level(3, "buy", 99.5, 1.0, 1)
    )

    assert shown(events) == [(1, 99.0, 101.0), (2, None, None)]


@pytest.mark.parametrize("symbol", [U, "XBTUSDTM"])
def test_a_resync_concerns_the_book_that_its_detail_names(symbol):
    asked = status(2, "resync", detail=f"{symbol}: it was wrong", symbol=None)

    events = made(*snapshot(1, 10), level(1.5, "buy", 99.5, 1.0, 11), asked)

    assert shown(events)[-1] == ((2, None, None) if symbol == U else (1, 99.5, 101.0))


def test_a_lost_connection_loses_the_book_unless_it_goes_on_without_a_hole():
    goes_on = made(*snapshot(1, 10), disconnected(2), level(3, "buy", 99.5, 1.0, 11))
    jumps = made(*snapshot(1, 10), disconnected(2), level(3, "buy", 99.5, 1.0, 12))
    begins_anew = made(*snapshot(1, 10), disconnected(2), *snapshot(3, 30))
    ends = made(*snapshot(1, 10), disconnected(2))
    ready = made(
        *snapshot(1, 10), disconnected(2), status(3, "book_ready", 15, 15),
        level(4, "buy", 99.5, 1.0, 16),
    )  # fmt: skip

    assert shown(goes_on) == [(1, 99.0, 101.0), (3, 99.5, 101.0)]
    assert shown(jumps) == [(1, 99.0, 101.0), (2, None, None)]
    assert shown(begins_anew) == [(1, 99.0, 101.0), (2, None, None), (3, 99.0, 101.0)]
    assert shown(ends) == [(1, 99.0, 101.0), (2, None, None)]
    assert shown(ready) == [(1, 99.0, 101.0), (4, 99.5, 101.0)]


def test_a_snapshot_that_bears_a_later_time_than_the_changes_behind_it_stands_before_them():
    late = [row._replace(timestamp=at(3)) for row in snapshot(4, 10)]
    change = level(5, "buy", 99.5, 1.0, 11)._replace(timestamp=at(2))

    events = made(*late, change)

    assert events["exch_ts"].tolist() == [at(3)] * 4
    assert [best for _, *best in books(in_both_orders([events]), "exch_ts")][-1][0] == {
        99.0: 5.0, 99.5: 1.0,
    }  # fmt: skip


def test_levels_beyond_a_spot_snapshot_that_was_cut_off_are_not_known():
    bids = [(100.0 - tick, 1.0) for tick in range(100)]
    asks = [(101.0 + tick, 1.0) for tick in range(3)]
    rows = [
        *snapshot(1, 10, bids, asks, "BTC-USDT"),
        level(2, "buy", 0.5, 7.0, 11, symbol="BTC-USDT"),
        level(3, "sell", 500.0, 7.0, 12, symbol="BTC-USDT"),
    ]

    events = book_events(tape(*rows)["level2"], None, "BTC-USDT")

    *_, (_, last_bids, last_asks) = books(in_both_orders([events]))
    assert 0.5 not in last_bids
    assert last_asks[500.0] == 7.0  # that side was whole


def test_rows_without_sequences_are_snapshots_by_their_arrival():
    rows = [row._replace(sequence=None, local_timestamp=at(1)) for row in snapshot(1, 10)]
    later = [row._replace(sequence=None, local_timestamp=at(2)) for row in snapshot(2, 10)]

    assert kinds(made(*rows, *later)).count(DEPTH_CLEAR) == 2


def random_tape(seed):
    """Make snapshots, changes, holes, lost connections and reports, in any possible order."""
    choose = random.Random(seed)
    rows, when, sequence = [], 0.0, 0
    for _ in range(choose.randrange(20, 120)):
        when += choose.uniform(0.001, 1.0)
        what = choose.choices(
            ["change", "snapshot", "disconnected", "gap", "resync"], [20, 2, 1, 1, 1]
        )[0]
        if what == "snapshot":
            sequence += choose.randrange(1, 5)
            bids = [(choose.randrange(90, 100) / 1.0, float(choose.randrange(1, 9)))]
            asks = [(choose.randrange(101, 110) / 1.0, float(choose.randrange(1, 9)))]
            rows += [*snapshot(when, sequence, bids, asks)]
            when += 0.001
            rows.append(status(when, "book_ready", sequence, sequence))
        elif what == "change":
            sequence += 1
            side = choose.choice(["buy", "sell"])
            price = float(
                choose.randrange(90, 100) if side == "buy" else choose.randrange(101, 110)
            )
            rows.append(level(when, side, price, float(choose.randrange(0, 4)), sequence))
        elif what == "gap":
            first = sequence + 1
            sequence += choose.randrange(1, 4)
            rows.append(status(when, "gap", first, sequence))
        elif what == "resync":
            rows.append(status(when, "resync", detail=f"{U}: wrong", symbol=None))
        else:
            rows.append(disconnected(when))
    return sorted(rows, key=lambda row: row.local_timestamp)


@pytest.mark.parametrize("seed", range(60))
def test_the_book_is_at_any_moment_that_of_a_replay(seed):
    rows = random_tape(seed)
    if not any(isinstance(row, Level2) for row in rows):
        rows += snapshot(200, 1)
    frames = tape(*rows)
    events = book_events(frames["level2"], frames.get("status"), U)
    played = list(books(in_both_orders([events])))

    rebuild = BookRebuild([U])
    for row in rows:
        rebuild.take([row])
        # A replay waits for the row behind a snapshot, or behind the end of a connection, to know
        # that nothing is missing; here that is known from the start.
        if row.is_snapshot if isinstance(row, Level2) else row.event == "disconnected":
            continue
        past = [each for each in played if each[0] <= row.local_timestamp]
        bids, asks = past[-1][1:] if past else ({}, {})
        try:
            book = rebuild.copy(U, "the tape")
        except kr.BookNotReady:
            assert (bids, asks) == ({}, {})
        else:
            assert (bids, asks) == (dict(book.bids), dict(book.asks))


@pytest.mark.parametrize(("symbol", "feed"), [("XBTUSDTM", "classic"), ("BTC-USDT", "pro")])
def test_a_recording_of_the_simulated_exchange_ends_with_its_book(tmp_path, symbol, feed):
    with simulate(seed=5, speed=60.0) as exchange:
        run = kr.record(
            symbol, ["trade", "level2"], venue=exchange.venue, root=tmp_path, feed=feed,
            progress=False, credentials=exchange.credentials,
        )  # fmt: skip
        with run:
            run.stream.wait("level2", rows=4_000, timeout=60)
            exchange.inject("abort")
            run.stream.wait("level2", rows=12_000, timeout=120)
            run.stream.stop()
        session = run.session()
        book = run.stream.book(symbol)

    rows = session.frame("level2").filter(pl.col("price").is_not_null())
    *_, (_, bids, asks) = books(
        in_both_orders([book_events(rows, session.frame("status"), symbol)])
    )

    assert session.report().reconnects == 1
    assert (bids, asks) == (dict(book.bids), dict(book.asks))
