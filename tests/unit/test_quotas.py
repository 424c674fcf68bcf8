"""Many threads ask at once, and nobody is refused for it."""

import heapq
import random
from types import SimpleNamespace

import pytest

import kucoin_research as kr
from kucoin_research import errors
from kucoin_research.quotas import Pace, Quotas, Told
from kucoin_research.rest import Rest
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
