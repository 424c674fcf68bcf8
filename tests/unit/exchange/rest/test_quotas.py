"""Many threads ask at once, and nobody is refused for it."""

import contextlib
import gc
import heapq
import itertools
import random
import threading
import weakref
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

import kucoin_research as kr
from kucoin_research import errors
from kucoin_research.exchange.credentials import Credentials
from kucoin_research.exchange.rest.calls import Call
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.rest.quotas import Pace, Pool, QuotaReport, Quotas, quotas_of
from kucoin_research.exchange.venues import Venue
from kucoin_research.foundation.clocks import Clock
from kucoin_research.model.channels import Market
from kucoin_research.sim.server.http import RestHandler
from tests.conftest import spawn, wait_until
from tests.exchanges import simulate

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


class Askers:
    """Threads that ask, each reply taking its own time there and back, until all is answered.

    Events are (time, number, what to do). Meanwhile tokens may be asked for.
    """

    def __init__(self, seed, *, limit, window, slowest, weights=WEIGHTS):
        self.now, self.monotonic = 0.0, lambda: self.now
        self.quotas, self.server = Quotas(self), Server(limit, window)
        self.asked, self.longest_wait_for_a_token = [], 0.0
        self._rng, self._slowest, self._weights = random.Random(seed), slowest, weights
        self._events, self._numbers = [], itertools.count()

    def run(self, *, threads, calls, tokens=0):
        """Make the first call alone, so that it tells the limit, then that many in each thread.

        Of the tokens no more than one is asked for in a window.
        """
        self._at(0.0, self._ask, calls, threads)
        for number in range(tokens):
            when = (number + 0.9) * (self.server.window + 2 * self._slowest)
            self._at(when, self._ask_for_token, when)
        while self._events:
            self.now, _, what, arguments = heapq.heappop(self._events)
            what(*arguments)

    def _at(self, when, what, *arguments):
        heapq.heappush(self._events, (when, next(self._numbers), what, arguments))

    def _ask(self, left, threads=1, weight=None):
        weight = weight or self._rng.choice(self._weights)
        wait = self.quotas.take("public", weight)
        if wait:
            self._at(self.now + wait, self._ask, left, threads, weight)
        else:
            self.asked.append(weight)
            self._send(weight, left, threads)

    def _ask_for_token(self, since):
        wait = self.quotas.take("public", 10, is_urgent=True)
        if wait:
            self._at(self.now + wait, self._ask_for_token, since)
            return
        self.longest_wait_for_a_token = max(self.longest_wait_for_a_token, self.now - since)
        self._send(10, 0, 1)

    def _send(self, weight, left, threads):
        there, back = (self._rng.random() ** 3 * self._slowest for _ in range(2))
        self._at(self.now + there, self._arrive, self.now, back, weight, left, threads)

    def _arrive(self, sent, back, weight, left, threads):
        remaining, reset = self.server.spend(weight, self.now)
        self._at(self.now + back, self._answer, sent, remaining, reset, weight, left, threads)

    def _answer(self, sent, remaining, reset, weight, left, threads):
        told = QuotaReport(self.server.limit, remaining, reset, sent, self.now)
        self.quotas.learn("public", weight, told)
        self.quotas.over("public", weight)
        for _ in range(threads if left else 0):
            self._ask(left - 1)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_on_its_way_a_quota_is_kept(seed):
    askers = Askers(seed, limit=400, window=30.0, slowest=3.0)
    askers.run(threads=12, calls=60)

    assert len(askers.asked) == 1 + 60 * 12
    assert askers.server.refused == 0
    # And it is used: no window is left with much of it, but for the last one.
    assert askers.now < 30.0 * (sum(askers.asked) / 400 * 1.25 + 2)


@pytest.mark.parametrize("seed", range(40))
def test_of_whatever_quota_a_token_is_left_and_no_call_waits_for_ever(seed):
    rng = random.Random(seed)
    limit = rng.choice((rng.randint(1, 30), rng.randint(30, 400), rng.randint(400, 2_000)))
    weights = [rng.randint(1, min(limit, rng.choice((5, 15, 2_000)))) for _ in range(5)]
    threads, calls, slowest = rng.randint(1, 12), rng.randint(5, 40), rng.choice((0.1, 3.0))
    askers = Askers(seed, limit=limit, window=30.0, slowest=slowest, weights=weights)
    askers.run(threads=threads, calls=calls, tokens=calls if limit >= 20 else 0)

    assert len(askers.asked) == 1 + calls * threads
    assert askers.server.refused == 0
    if max(weights) <= limit - max(10, limit // 20):  # else one may take all there is
        # For replies on their way.
        assert askers.longest_wait_for_a_token <= 2 * slowest + 0.05


@pytest.mark.parametrize(("remaining", "weight"), [(2_000, 1_950), (150, 50), (120, 50), (100, 1)])
def test_a_call_may_take_what_is_beyond_the_reserve_and_all_of_a_fresh_window(remaining, weight):
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    quotas = Quotas(clock)
    quotas.learn("public", 1, QuotaReport(2_000, remaining, 20.0, 100.0, 100.0))
    is_free = remaining == 2_000 or remaining - weight >= 100

    assert quotas.take("public", weight) == (0.0 if is_free else 20.0)
    quotas.over("public", weight if is_free else 0)
    clock.now += 20.0
    assert quotas.take("public", 1_950) == 0.0


@pytest.mark.parametrize("seed", range(20))
def test_a_window_holds_nobody_beyond_the_end_that_was_told_last(seed):
    rng = random.Random(seed)
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    quotas, ends = Quotas(clock), []
    for _ in range(rng.randint(1, 30)):
        sent, clock.now = clock.now, clock.now + rng.random()
        limit, reset = rng.choice((None, 30, 2_000)), rng.choice((0.0, 2.0, 30.0, 300.0))
        quotas.learn(
            "public", 5, QuotaReport(limit, rng.randint(-5, 2_500), reset, sent, clock.now)
        )
        ends.append(clock.now + reset)

    assert quotas.take("public", 2_000) <= max(ends) - clock.now
    clock.now = max(ends)
    quotas.over("public", 2_000)
    assert quotas.take("public", 2_000) == 0.0


def test_a_late_reply_about_a_window_that_is_over_says_nothing():
    clock = SimpleNamespace(monotonic=lambda: 100.0)
    quotas = Quotas(clock)
    quotas.learn("public", 1, QuotaReport(2_000, 1_900, 29.0, 99.0, 99.1))
    quotas.learn("public", 1, QuotaReport(2_000, 0, 1.0, 90.0, 99.9))

    assert quotas.take("public", 5) == 0.0


def test_a_token_may_have_what_others_leave():
    quotas = Quotas(SimpleNamespace(monotonic=lambda: 100.0))
    quotas.learn("public", 1, QuotaReport(2_000, 60, 20.0, 100.0, 100.0))

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
    with simulate(seed=7, rate_limit=100, rate_window=2.0) as x, Rest(x.venue) as rest:
        rest.status()

        def ask():
            for _ in range(5):
                rest.trades("XBTUSDTM")
                pages.append(1)

        x.inject("slow_reply", path="/api/v1/trade/history", delay=0.2, count=10**6)
        for _ in range(8):
            spawn(ask)
        wait_until(lambda: len(pages) == 40, timeout=60)
        made = [path for _, path in x._core.requests if path.endswith("history")]

    assert len(made) == 40  # none was asked for again


def test_a_closed_client_waits_for_no_quota(held_time):
    raised = []
    with simulate(seed=7, rate_limit=30, rate_window=9.0) as x, Rest(x.venue) as rest:

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


# -- refused for a while ---------------------------------------------------------------------------

KUCOINS = b'{"code": "429000", "msg": "Too many requests"}'
SPENT = {"gw-ratelimit-limit": "2000", "gw-ratelimit-remaining": "0", "gw-ratelimit-reset": "20000"}
# Status, body, headers, and the seconds for which nothing is taken then.
REFUSALS = {
    "a used-up quota": (429, KUCOINS, SPENT, 20.0),
    "a quota with odd headers": (429, KUCOINS, SPENT | {"gw-ratelimit-remaining": "?"}, 20.0),
    "KuCoin's word and a proxy's": (429, KUCOINS, {"Retry-After": "20"}, 20.0),
    "a busy exchange": (429, KUCOINS, {}, 0.25),  # the least back-off
    "a proxy": (429, b"<html>too many</html>", {"Retry-After": "20"}, 20.0),
    "Cloudflare": (403, b"<html>error code: 1015</html>", {}, 30.0),
    "Cloudflare with a time": (429, b"error code: 1015", {"Retry-After": "45"}, 45.0),
    "maintenance": (503, b"<html>back soon</html>", {"Retry-After": "20"}, 20.0),
}


class Refusing:
    """Stands before the simulated exchange, and refuses what comes too early after a refusal."""

    def __init__(self, clock, monkeypatch, refusal):
        self.clock, self.arrived, self.until = clock, [], None
        self.status, self.body, self.headers, self.seconds = refusal
        answer = RestHandler._answer

        async def answered(handler):
            self.arrived.append(clock.monotonic())
            if self.until is None or self.arrived[-1] >= self.until:
                await answer(handler)
                return
            for name, text in self.headers.items():
                handler.set_header(name, text)
            handler._send(self.status, self.body)

        monkeypatch.setattr(RestHandler, "_answer", answered)

    def begin(self):
        self.arrived.clear()
        self.until = self.clock.monotonic() + self.seconds


@pytest.mark.parametrize("name", REFUSALS)
def test_what_one_call_was_refused_no_other_asks_for(held_time, monkeypatch, name):
    refusing, done = Refusing(held_time, monkeypatch, REFUSALS[name]), []
    with (
        simulate(seed=7) as x,
        Rest(x.venue, patience=100.0) as rest,
        Rest(x.venue, patience=100.0) as other,
        Rest(x.venue, patience=0.0) as hasty,
    ):
        rest.server_time()
        refusing.begin()
        began = held_time.monotonic()

        def ask(call):
            call()
            done.append(held_time.monotonic())

        calls = [rest.server_time, lambda: rest.token("futures"), lambda: other.token("futures")]
        for call in (*calls, other.status):
            spawn(ask, call)
            held_time.pass_by(0.01)  # so that the first one's answer is there
        with pytest.raises(
            errors.RateLimited, match=r"takes no more requests for \d+ s, so "
        ) as told:
            hasty.server_time()
        wait_until(lambda: len(done) == 4, timeout=100.0)

    assert [when for when in refusing.arrived if when < refusing.until] == [began]
    assert min(done) >= refusing.until
    assert max(done) < refusing.until + 2.0
    assert 0.2 < told.value.retry_after <= max(refusing.seconds, 0.75)


@pytest.mark.parametrize("name", ["a used-up quota", "Cloudflare with a time", "maintenance"])
def test_a_call_that_is_refused_for_too_long_says_for_how_long(held_time, monkeypatch, name):
    refusing = Refusing(held_time, monkeypatch, REFUSALS[name])
    with simulate(seed=7) as x, Rest(x.venue) as rest:
        refusing.begin()
        said = []
        for _ in range(2):
            with pytest.raises(errors.KucoinResearchError, match=f" {refusing.seconds:.0f} s") as e:
                rest.server_time()
            said.append(e.value)

    assert len(refusing.arrived) == 1
    assert all(each.may_pass for each in said)
    assert said[1].retry_after == pytest.approx(refusing.seconds, abs=0.1)


def test_one_quota_refuses_for_itself_and_a_host_for_all():
    clock = SimpleNamespace(monotonic=lambda: 100.0)
    public, private = Pool("futures"), Pool("futures", 1)
    for refused, waits in ((public, (20.0, 0.0)), (private, (0.0, 20.0)), (None, (20.0, 20.0))):
        quotas = Quotas(clock)
        quotas.refuse(refused, 20.0)
        quotas.refuse(refused, 1.0)

        assert tuple(quotas.take(pool, 1, is_urgent=True) for pool in (public, private)) == waits


@pytest.mark.parametrize("seconds", [0.0, 3.0, 300.0, 1e9, float("inf")])
def test_no_refusal_lasts_for_more_than_five_minutes(seconds):
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    quotas = Quotas(clock)
    quotas.refuse(None, seconds)

    wait = quotas.take("public", 1)
    assert wait == min(seconds, 300.0)
    clock.now += wait
    assert quotas.take("public", 1) == 0.0


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
    with simulate(seed=7, rate_limit=300, rate_window=60.0) as x:
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
        simulate(seed=7, rate_limit=300, rate_window=60.0) as x,
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
    with simulate(seed=7, rate_limit=100, rate_window=300.0) as x:
        ports = {f"{name}_port": int(url.rpartition(":")[2])
                 for name, url in (("futures", x.futures_url), ("spot", x.spot_url))}  # fmt: skip
        used_up(lambda: kr.recent_trades("XBTUSDTM", venue=x.venue))
    with simulate(seed=7, rate_limit=100, rate_window=300.0, **ports) as x:
        assert kr.recent_trades("XBTUSDTM", venue=x.venue).height


class Plain(BaseHTTPRequestHandler):
    """Any server, whose quota is used up."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b'{"code": "200000", "data": 1729176273859}'
        self.send_response(200)
        for name, text in (("limit", "2000"), ("remaining", "0"), ("reset", "20000")):
            self.send_header(f"gw-ratelimit-{name}", text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def plain_server(port=0):
    with ThreadingHTTPServer(("127.0.0.1", port), Plain) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Venue(*[f"http://127.0.0.1:{server.server_port}"] * 2)
        finally:
            server.shutdown()
            thread.join()


def test_servers_of_this_machine_that_are_no_exchange_of_ours_inherit_nothing(real_time):
    with simulate(seed=7, rate_limit=100, rate_window=300.0) as x:
        port = int(x.futures_url.rpartition(":")[2])
        used_up(lambda: kr.recent_trades("XBTUSDTM", venue=x.venue))
    for _ in range(2):
        with plain_server(port) as venue, Rest(venue) as rest, Rest(venue) as other:
            assert rest.server_time()
            assert other.server_time()  # it knows nothing of what the first one was told
            with pytest.raises(errors.RateLimited):
                rest.server_time()


def test_an_exchange_that_is_closed_twice_lets_the_next_one_at_its_port_share():
    with simulate(seed=7) as x:
        ports = {f"{name}_port": int(url.rpartition(":")[2])
                 for name, url in (("futures", x.futures_url), ("spot", x.spot_url))}  # fmt: skip
        before = Rest(x.venue)._caller._quotas
    closed = Rest(x.venue)._caller._quotas
    with simulate(seed=7, **ports) as y:
        x.close()
        after = Rest(y.venue)._caller._quotas

    assert before == after != closed


def test_each_clock_host_market_and_key_has_quotas_of_its_own():
    one, other = Clock(), Clock()
    keys = [Credentials(key, "s" * 36, "p") for key in ("a" * 24, "b" * 24)]
    venues = [Venue(f"https://{host}", f"https://{host}") for host in ("x.test", "y.test")]
    calls = [
        Call(market, "/", "it", is_signed=is_signed)
        for market in Market for is_signed in (False, True)
    ]  # fmt: skip
    clients = [
        Rest(venue, credentials=key, clock=clock)
        for venue in venues for key in keys for clock in (one, other)
    ]  # fmt: skip
    pools = {
        (id(rest._caller._quotas[call.market]), rest._caller._signer.pool(call))
        for rest in clients
        for call in calls
    }

    # By clock, host and market: one pool that is not signed, and one for each key.
    assert len(pools) == 2 * 2 * 2 * (1 + 2)
    assert not any(key.key in str(pools) for key in keys)
    of_one, of_other = (quotas_of(clock, "https://x.test", is_loopback=False)
                        for clock in (one, other))  # fmt: skip
    assert clients[0]._caller._quotas[Market.SPOT] is of_one is not of_other


def test_what_is_shared_stays_while_its_clock_lives_and_goes_with_it():
    clock = Clock()
    venue = Venue("https://x.test", "https://x.test")
    for _ in range(150):
        with Rest(venue, clock=clock) as rest:
            rest._caller._pace.take()
        del rest
    gc.collect()
    rest = Rest(venue, clock=clock)
    taken = 0
    while rest._caller._pace.take() == 0.0:
        taken += 1
    gone = [weakref.ref(each) for each in (clock, rest._caller._pace, rest._caller._quotas["spot"])]
    del clock, rest
    gc.collect()

    assert 50 <= taken < 150
    assert [each() for each in gone] == [None] * 3
