"""What a stream of many symbols asks of REST: side by side, within the quota, and in order."""

import polars as pl
import pytest

import kucoin_research as kr
from tests.conftest import wait_until
from tests.exchanges import simulate

SNAPSHOT, TRADES = "/api/v1/level2/snapshot", "/api/v1/trade/history"
MANY = 24


def many(exchange):
    return kr.get_active_symbols(venue=exchange.venue)[-MANY:]  # quiet ones


def are_ready(stream):
    return all(book.is_settled for book in stream._handler.books.values())


def events(stream, name):
    return stream.frame("status").filter(event=name)


@pytest.fixture
def exchange():
    with simulate(seed=7, quiet_contracts=MANY) as opened:
        yield opened


def seconds_until(held_time, condition, since=None):
    since = held_time.monotonic() if since is None else since
    wait_until(condition, timeout=600)
    return held_time.monotonic() - since


def test_books_and_trades_of_many_symbols_come_side_by_side(exchange, held_time):
    for path in (SNAPSHOT, TRADES):
        exchange.inject("slow_reply", path=path, delay=1.0, count=None)
    with kr.stream(many(exchange), ["level2", "trade"], venue=exchange.venue) as s:
        assert seconds_until(held_time, lambda: are_ready(s)) < 5.0  # one by one: 24
        held_time.pass_by(20.0)
        exchange.inject("abort")
        wait_until(lambda: s.state is not kr.State.LIVE)
        began = held_time.monotonic()
        wait_until(lambda: s.state is kr.State.LIVE)
        assert len(s._handler.gap_filler.gaps) > 10

        assert seconds_until(held_time, lambda: not s._handler.gap_filler.gaps, began) < 6.0
        assert seconds_until(held_time, lambda: are_ready(s), began) < 8.0
        found = [entry for entry in s.report().channels if entry.channel == "trade"]
        gaps = [gap for entry in found for gap in entry.gaps]
        assert gaps
        assert all(gap.filled_by == "REST" for gap in gaps)
        assert events(s, "not_filled").is_empty()
        stamps = s.frame("trade")["local_timestamp"]
        assert stamps.is_sorted()
        assert stamps.n_unique() == len(stamps)


@pytest.mark.parametrize(
    ("fault", "count"),
    [
        pytest.param(SNAPSHOT, 1, id="one snapshot hangs"),
        pytest.param("/api/v1/timestamp", None, id="the clock is never told"),
    ],
)
def test_a_call_that_hangs_holds_up_no_other(exchange, held_time, fault, count):
    names = many(exchange)
    exchange.inject("slow_reply", path=fault, delay=1_000.0, count=count)
    with kr.stream(names, ["level2"], venue=exchange.venue) as s:
        missing = 1 if count else 0

        def few_are_missing():
            return sum(not each.is_settled for each in s._handler.books.values()) <= missing

        assert seconds_until(held_time, few_are_missing) < 3.0


def test_pages_of_the_past_that_hang_hold_up_no_book(exchange, held_time):
    with kr.stream(many(exchange), ["level2", "trade"], venue=exchange.venue) as s:
        wait_until(lambda: are_ready(s))
        held_time.pass_by(20.0)
        exchange.inject("slow_reply", path=TRADES, delay=1_000.0, count=None)
        exchange.inject("abort")
        wait_until(lambda: not are_ready(s))

        assert seconds_until(held_time, lambda: are_ready(s)) < 5.0
        waiting = len(s._handler.gap_filler.gaps)
        assert waiting > 10
        # Each page has the ten seconds that a reply may take, and so have all of them together.
        assert seconds_until(held_time, lambda: not s._handler.gap_filler.gaps) < 30.0
        assert events(s, "not_filled").height == waiting


def test_the_end_ends_what_is_under_way(exchange, held_time):
    exchange.inject("slow_reply", path=SNAPSHOT, delay=1_000.0, count=None)
    s = kr.stream(many(exchange), ["level2"], venue=exchange.venue)
    wait_until(lambda: sum(path == SNAPSHOT for _, path in exchange._core.requests) > 5)
    began = held_time.monotonic()
    s.stop()

    assert held_time.monotonic() == began
    assert not any(thread.is_alive() for thread in s._engine.threads.all)


def test_more_books_than_the_quota_has_room_for_come_with_the_next_windows(held_time):
    with (
        simulate(seed=7, quiet_contracts=MANY, rate_limit=60, rate_window=5.0) as x,
        kr.stream(many(x), ["level2", "trade"], venue=x.venue) as s,
    ):
        assert seconds_until(held_time, lambda: are_ready(s)) < 16.0  # 72 of weight, and the list
        told = events(s, "snapshot_failed").height
        assert told <= 3  # once for each window, not for each book
        held_time.pass_by(20.0)
        x.inject("abort")
        wait_until(lambda: not are_ready(s))
        wait_until(lambda: s.state is kr.State.LIVE, timeout=100)
        wait_until(lambda: are_ready(s) and not s._handler.gap_filler.gaps, timeout=100)

        assert events(s, "not_filled").is_empty()
        unsent = pl.col("detail").str.contains("was not asked for")
        assert events(s, "snapshot_failed").filter(~unsent).is_empty()


def test_threads_that_have_nothing_to_do_end(exchange, held_time):
    exchange.inject("slow_reply", path=SNAPSHOT, delay=1.0, count=None)
    with kr.stream(many(exchange), ["level2"], venue=exchange.venue) as s:
        wait_until(lambda: are_ready(s))
        held_time.pass_by(22.0)

        assert not [
            each for each in s._engine.threads.all if each.is_alive() and "-asks" in each.name
        ]
        s._handler.order_books.renew(s.subscriptions[0].symbol, is_flawed=False)
        wait_until(lambda: not are_ready(s))
        wait_until(lambda: are_ready(s))
