"""Many threads ask at once, and nobody is refused for it."""

import gc
import heapq
import random
import weakref
from types import SimpleNamespace

import pytest

import kucoin_research as kr
from kucoin_research import errors
from kucoin_research.clocks import Clock
from kucoin_research.credentials import Credentials
from kucoin_research.quotas import Pace, Quotas, Told, quotas_of
from kucoin_research.records import Market
from kucoin_research.rest import Rest, _Call
from kucoin_research.venues import Venue
from tests.conftest import spawn, wait_until

WEIGHTS = (2, 3, 5, 10, 15)


class Server:
    """A quota as KuCoin keeps it: its window begins with the first request in it."""

    def __init__(self, limit, window):
        self.limit, self.window = limit, window
        self.used, self.end, self.refused = 0, 0.0, 0

    def spend(self, weight, now):
        if now >= self.end:
            self.used, self.end = 0, now + self.window
        if self.used + weight > self.limit:
            self.refused += 1
            return 0, self.end - now
        self.used += weight
        return self.limit - self.used, self.end - now


def run(seed, *, limit, window, threads, slowest):
    """Let threads ask, each reply taking its own time there and back; gives who was refused.

    Events are (time, number, what to do); the first call is made alone, so that it tells the limit.
    """
    rng = random.Random(seed)
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    quotas, server = Quotas(clock), Server(limit, window)
    events, asked, numbers = [], [], iter(range(10**9))

    def at(when, what, *arguments):
        heapq.heappush(events, (when, next(numbers), what, arguments))

    def ask(left, weight=None):
        weight = weight or rng.choice(WEIGHTS)
        wait = quotas.take("public", weight)
        if wait:
            at(clock.now + wait, ask, left, weight)
            return
        there, back = (rng.random() ** 3 * slowest for _ in range(2))
        asked.append(weight)
        at(clock.now + there, arrive, clock.now, back, weight, left)

    def arrive(sent, back, weight, left):
        remaining, reset = server.spend(weight, clock.now)
        at(clock.now + back, answer, sent, remaining, reset, weight, left)

    def answer(sent, remaining, reset, weight, left):
        told = Told(limit, remaining, reset, sent, clock.now)
        quotas.learn("public", weight, told)
        quotas.over("public", weight)
        if left:
            ask(left - 1)
            if sent == 0.0:
                for _ in range(threads - 1):
                    ask(left - 1)

    at(0.0, ask, 60)
    while events:
        clock.now, _, what, arguments = heapq.heappop(events)
        what(*arguments)
    return server, asked, clock.now


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_on_its_way_a_quota_is_kept(seed):
    server, asked, took = run(seed, limit=400, window=30.0, threads=12, slowest=3.0)

    assert len(asked) == 1 + 60 * 12
    assert server.refused == 0
    # And it is used: no window is left with much of it, but for the last one.
    assert took < 30.0 * (sum(asked) / 400 * 1.25 + 2)


def test_a_late_reply_about_a_window_that_is_over_says_nothing():
    clock = SimpleNamespace(monotonic=lambda: 100.0)
    quotas = Quotas(clock)
    quotas.learn("public", 1, Told(2_000, 1_900, 29.0, 99.0, 99.1))
    quotas.learn("public", 1, Told(2_000, 0, 1.0, 90.0, 99.9))

    assert quotas.take("public", 5) == 0.0


def test_a_token_may_have_what_others_leave():
    quotas = Quotas(SimpleNamespace(monotonic=lambda: 100.0))
    quotas.learn("public", 1, Told(2_000, 60, 20.0, 100.0, 100.0))

    assert quotas.take("public", 5) == 20.0
    assert quotas.take("public", 10, is_urgent=True) == 0.0


def test_calls_to_a_host_keep_their_pace():
    clock = SimpleNamespace(now=50.0)
    clock.monotonic = lambda: clock.now
    pace, sent = Pace(clock, 200, 20.0), []
    while len(sent) < 1_000:
        wait = pace.take()
        if wait:
            clock.now += wait
        else:
            sent.append(clock.now)

    assert sent[199] == 50.0
    assert sent[-1] == pytest.approx(50.0 + 800 / 20.0, abs=0.1)
    most = max(sum(since <= each < since + 10.0 for each in sent) for since in sent)
    assert most <= 401


def test_threads_of_one_client_are_not_refused():
    pages = []
    with kr.simulate(seed=7, rate_limit=100, rate_window=2.0) as x, Rest(x.venue) as rest:
        rest.status()

        def ask():
            for _ in range(5):
                rest.trades("XBTUSDTM")
                pages.append(1)

        x.inject("slow_reply", path="/api/v1/trade/history", delay=0.2, count=10**6)
        for _ in range(8):
            spawn(ask)
        wait_until(lambda: len(pages) == 40, timeout=60)
        made = [path for _, path in x._hub.requests if path.endswith("history")]

    assert len(made) == 40  # none was asked for again


def test_a_closed_client_waits_for_no_quota(held_time):
    raised = []
    with kr.simulate(seed=7, rate_limit=30, rate_window=9.0) as x, Rest(x.venue) as rest:

        def ask():
            try:
                while True:
                    rest.trades("XBTUSDTM")
            except errors.StreamStopped as error:
                raised.append((held_time.monotonic(), error))

        threads = [spawn(ask) for _ in range(3)]
        held_time.pass_by(1.0)
        closed_at = held_time.monotonic()
        rest.close()
        wait_until(lambda: len(raised) == len(threads))

    assert {when for when, _ in raised} == {closed_at}


# -- shared by all who ask -------------------------------------------------------------------------


def used_up(ask):
    """Call until it is refused; gives how often it was not, and the error."""
    for count in range(10**4):
        try:
            ask()
        except errors.RateLimited as error:
            return count, error
    raise AssertionError("it was never refused")


@pytest.mark.parametrize("ask", [kr.recent_trades, kr.order_book, kr.tickers])
def test_calls_that_each_open_a_client_leave_the_reserve_to_tokens(ask):
    with kr.simulate(seed=7, rate_limit=300, rate_window=60.0) as x:
        given = (
            {"venue": x.venue} if ask is kr.tickers else {"symbol": "XBTUSDTM", "venue": x.venue}
        )
        count, error = used_up(lambda: ask(**given))
        with Rest(x.venue) as rest:
            token = rest.token("futures")

    assert count > 10
    assert "takes no more requests" in str(error)  # and was not asked for them
    assert token.servers


def test_a_stream_comes_back_at_once_beside_a_loop_of_calls(held_time):
    with (
        kr.simulate(seed=7, rate_limit=300, rate_window=60.0) as x,
        kr.stream("XBTUSDTM", "trade", venue=x.venue) as s,
    ):
        s.wait(rows=1)
        used_up(lambda: kr.recent_trades("XBTUSDTM", venue=x.venue))
        x.inject("abort")
        lost_at = held_time.monotonic()
        wait_until(lambda: s.status.reconnects and s.state == "live")
        away = held_time.monotonic() - lost_at

    assert away < 10.0


def test_a_new_exchange_at_the_port_of_another_inherits_nothing():
    with kr.simulate(seed=7, rate_limit=100, rate_window=300.0) as x:
        ports = {f"{name}_port": int(url.rpartition(":")[2])
                 for name, url in (("futures", x.futures_url), ("spot", x.spot_url))}  # fmt: skip
        used_up(lambda: kr.recent_trades("XBTUSDTM", venue=x.venue))
    with kr.simulate(seed=7, rate_limit=100, rate_window=300.0, **ports) as x:
        assert kr.recent_trades("XBTUSDTM", venue=x.venue).height


def test_each_clock_host_market_and_key_has_quotas_of_its_own():
    one, other = Clock(), Clock()
    keys = [Credentials(key, "s" * 36, "p") for key in ("a" * 24, "b" * 24)]
    venues = [Venue(f"https://{host}", f"https://{host}") for host in ("x.test", "y.test")]
    calls = [
        _Call(market, "/", "it", is_signed=is_signed)
        for market in Market for is_signed in (False, True)
    ]  # fmt: skip
    clients = [
        Rest(venue, credentials=key, clock=clock)
        for venue in venues for key in keys for clock in (one, other)
    ]  # fmt: skip
    pools = {(id(rest._quotas), rest._pool(call)) for rest in clients for call in calls}

    # By clock, host and market: one pool that is not signed, and one for each key.
    assert len(pools) == 2 * 2 * 2 * (1 + 2)
    assert not any(key.key in str(pools) for key in keys)
    assert quotas_of(one) is quotas_of(one) is not quotas_of(other)


def test_what_is_shared_stays_while_its_clock_lives_and_goes_with_it():
    clock = Clock()
    venue = Venue("https://x.test", "https://x.test")
    for _ in range(150):
        with Rest(venue, clock=clock) as rest:
            rest._pace.take()
        del rest
    gc.collect()
    rest = Rest(venue, clock=clock)
    taken = 0
    while rest._pace.take() == 0.0:
        taken += 1
    gone = [weakref.ref(each) for each in (clock, rest._pace, rest._quotas)]
    del clock, rest
    gc.collect()

    assert 50 <= taken < 150
    assert [each() for each in gone] == [None] * 3
