"""Opening a connection: addresses that are silent, and name servers that are, in held time."""

import socket
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kucoin_research.errors import ConnectionLost, StreamStopped, Unreachable
from kucoin_research.exchange import dialing
from kucoin_research.exchange.dialing import NoName, dial
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.venues import Venue
from kucoin_research.exchange.websocket.connection import Connection
from kucoin_research.foundation.bounds import Bound, Cut, OutOfTime
from tests.conftest import spawn, wait_until
from tests.unit.exchange.rest.test_transport import full_port, seconds_of, stay_silent

HOST = "exchange.test"
FOREVER = 3_600.0


@pytest.fixture
def names(monkeypatch):
    """What the name server answers, by name: addresses, an error, or a function that gives them."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    known, look_up = {}, socket.getaddrinfo

    def getaddrinfo(host, port, family=0, kind=0, proto=0, flags=0):
        if host not in known or flags & socket.AI_NUMERICHOST:
            return look_up(host, port, family, kind, proto, flags)
        found = known[host]() if callable(known[host]) else known[host]
        return [(socket.AF_INET, kind, 6, "", each) for each in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


@contextmanager
def addresses(*kinds):
    """Give addresses of this machine: "good" listens, "silent" does not answer, "refused" does."""
    with ExitStack() as stack:
        found = []
        for kind in kinds:
            if kind == "silent":
                port = stack.enter_context(full_port())
            else:
                listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                port = listener.getsockname()[1]
                if kind == "refused":
                    listener.close()
            found.append(("127.0.0.1", port))
        yield found


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


WHO_WINS = {
    "alone": (["good"], 0.0),
    "the first": (["good", "silent"], 0.0),
    "the second": (["silent", "good"], 0.25),
    "the fourth": (["silent", "silent", "silent", "good"], 0.75),
    "behind a refusal": (["refused", "good"], 0.0),
    "behind both": (["silent", "refused", "good"], 0.25),
    "of which none is needed": (["refused", "silent", "refused", "good"], 0.25),
}


@pytest.mark.parametrize("name", WHO_WINS)
def test_the_first_address_that_answers_wins(name, names, held_time):
    kinds, seconds = WHO_WINS[name]
    with addresses(*kinds) as names[HOST], Bound(held_time, FOREVER) as bound:
        before, began = descriptors(), held_time.monotonic()
        with dial(bound, HOST, 80) as sock:
            assert held_time.monotonic() - began == pytest.approx(seconds)
            assert sock.getpeername() == names[HOST][-1 if seconds or kinds[0] != "good" else 0]
            assert descriptors() == before + 1  # those of the others are closed


@settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kinds=st.lists(st.sampled_from(["good", "silent", "refused"]), min_size=1, max_size=5))
def test_whatever_the_addresses_do_the_first_good_one_is_reached_in_time(kinds, names, held_time):
    with addresses(*kinds) as names[HOST], Bound(held_time, FOREVER) as bound:
        before, began = descriptors(), held_time.monotonic()
        if "good" in kinds:
            first = kinds.index("good")
            with dial(bound, HOST, 80, timeout=2.0) as sock:
                assert sock.getpeername() == names[HOST][first]
            expected = 0.25 * kinds[:first].count("silent")
        else:
            with pytest.raises(OSError, match=r"timed out|refused"):
                dial(bound, HOST, 80, timeout=2.0)
            last = max((at for at, each in enumerate(kinds) if each == "silent"), default=None)
            expected = 0.0 if last is None else 2.0 + 0.25 * kinds[:last].count("silent")
        assert held_time.monotonic() - began == pytest.approx(expected)
        bound.release()
        assert descriptors() == before


def test_rest_and_sockets_do_not_wait_for_a_silent_address(names, held_time):
    with addresses("silent", "silent", "refused") as names[HOST]:
        with Rest(Venue(f"http://{HOST}", f"http://{HOST}"), timeout=(3.0, 5.0)) as rest:
            took, error = seconds_of(rest.status, Unreachable)
        assert took == pytest.approx(3.25)
        assert "no answer in time" in str(error)
        took, _ = seconds_of(lambda: Connection.open(f"ws://{HOST}/", timeout=7.0), Unreachable)
        assert took == pytest.approx(7.0)


@pytest.mark.parametrize("how", ["rest", "socket"])
def test_a_silent_address_costs_a_quarter_of_a_second(how, names, held_time):
    """The other one is reached, and does not answer either: of that each has its own time."""
    from tests.unit.exchange.rest.test_transport import Server

    with Server(stay_silent) as server, full_port() as port:
        names[HOST] = [("127.0.0.1", port), ("127.0.0.1", server.port)]
        url = f"{HOST}:{server.port}"
        rest = Rest(Venue(f"http://{url}", f"http://{url}"), timeout=(3.0, 5.0))
        call = {
            "rest": rest.status,
            "socket": lambda: Connection.open(f"ws://{url}/", timeout=5.25),
        }
        with rest:
            took, _ = seconds_of(call[how], Unreachable)
        assert took == pytest.approx(5.25)
        assert server.taken == 1


def test_all_that_connect_are_ended_from_elsewhere(names, held_time):
    ended = []

    def connect():
        ended.append(seconds_of(lambda: dial(bound, HOST, 80), Cut)[0])

    with addresses("silent", "silent", "silent", "silent") as names[HOST]:
        before = descriptors()
        with Bound(held_time, FOREVER) as bound:
            caller = spawn(connect)
            held_time.pass_by(0.6)
            assert descriptors() == before + 6  # three of them, each with another handle
            bound.cut()
            caller.join(60)
        assert descriptors() == before

    assert ended == [pytest.approx(0.6, abs=0.11)]


def test_the_bound_holds_for_all_addresses_together(names, held_time):
    with addresses(*["silent"] * 5) as names[HOST], Bound(held_time, 0.7) as bound:
        took, _ = seconds_of(lambda: dial(bound, HOST, 80, timeout=0.5), OutOfTime)

    assert took == pytest.approx(0.7)


def test_families_take_turns_and_there_are_not_too_many():
    def found(*families):
        return [dialing.Address(each, 1, 6, "", at) for at, each in enumerate(families)]

    mixed = dialing._in_turns(found(10, 10, 10, 2, 2))

    assert [each.family for each in mixed] == [10, 2, 10, 2, 10]
    assert [each.address for each in mixed] == [0, 3, 1, 4, 2]
    assert len(dialing._in_turns(found(*[2] * 500))) == 16


def test_a_family_that_this_machine_does_without_is_passed_over(monkeypatch, held_time):
    with addresses("good") as ((_, port),), Bound(held_time, FOREVER) as bound:
        found = [(socket.AF_INET6, 1, 6, "", ("100::1", port, 0, 0)),
                 (999, 1, 6, "", ("x", port)),
                 (socket.AF_INET, 1, 6, "", ("127.0.0.1", port))]  # fmt: skip
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
        with dial(bound, HOST, port) as sock:
            assert sock.family == socket.AF_INET


# -- names -----------------------------------------------------------------------------------------


@pytest.fixture
def dead_server(names, held_time):
    """A name server that answers nothing until the test is over."""
    over, asked = held_time.event(), []

    def hang():
        asked.append(threading.current_thread())
        over.wait(FOREVER)
        return [("127.0.0.1", 9)]

    names[HOST] = hang
    yield asked
    over.set()
    wait_until(lambda: not any(each.is_alive() for each in asked))


def test_a_dead_name_server_takes_no_longer_than_the_bound(dead_server, held_time):
    with Bound(held_time, 7.0) as bound:
        took, _ = seconds_of(lambda: dial(bound, HOST, 80), NoName)
    assert took == pytest.approx(7.0)

    with Bound(held_time, 7.0) as bound:
        took, _ = seconds_of(lambda: dial(bound, HOST, 80, timeout=3.0), NoName)
    assert took == pytest.approx(3.0)


def test_rest_and_sockets_say_that_the_name_server_is_dead(dead_server):
    expected = "its name was not found in time; check the network and its name server"
    with Rest(Venue(f"http://{HOST}", f"http://{HOST}"), timeout=(3.0, 5.0)) as rest:
        took, error = seconds_of(rest.status, Unreachable)
    assert took == pytest.approx(3.0)
    assert expected in str(error)

    took, error = seconds_of(lambda: Connection.open(f"ws://{HOST}/", timeout=10.0), Unreachable)
    assert took == pytest.approx(10.0)
    assert expected in str(error)


def test_who_waits_for_a_name_is_ended_from_elsewhere(dead_server, held_time):
    ended = []

    def ask():
        ended.append(seconds_of(rest.status, StreamStopped)[0])

    def connect():
        call = lambda: Connection.open(f"ws://{HOST}/", bound=bound)  # noqa: E731
        ended.append(seconds_of(call, ConnectionLost)[0])

    bound = Bound(held_time, FOREVER)
    with Rest(Venue(f"http://{HOST}", f"http://{HOST}"), timeout=(60.0, 60.0)) as rest:
        callers = [spawn(ask), spawn(connect)]
        held_time.pass_by(2.5)
        rest.close()
        bound.cut()
        for each in callers:
            each.join(60)

    assert ended == [pytest.approx(2.5, abs=0.11)] * 2


def test_retries_pile_no_threads_up(dead_server, held_time):
    for _ in range(50):
        with Bound(held_time, 1.0) as bound, pytest.raises(NoName):
            dial(bound, HOST, 80)

    assert len(dead_server) == 1


def test_many_names_are_not_looked_up_at_once(dead_server, names, held_time):
    for number in range(40):
        names[f"{number}.test"] = names[HOST]
        with Bound(held_time, 1.0) as bound, pytest.raises(OSError, match=r"name|found"):
            dial(bound, f"{number}.test", 80)

    assert len(dead_server) == 16


def test_all_who_wait_for_a_name_get_its_address(names, held_time):
    asked, ended = [], []

    def slow():
        asked.append(held_time.monotonic())
        held_time.pass_by(2.0)
        return found

    def connect():
        with Bound(held_time, FOREVER) as bound, dial(bound, HOST, 80) as sock:
            ended.append(sock.getpeername())

    with addresses("good") as found:
        names[HOST] = slow
        callers = [spawn(connect) for _ in range(3)]
        for each in callers:
            each.join(60)
        assert ended == found * 3
        assert len(asked) == 1


def test_a_name_that_is_none_is_told_at_once(names, held_time):
    def fail():
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    names[HOST] = fail
    for host in (HOST, f"{'x' * 70}.test", "a..b"):
        with Bound(held_time, FOREVER) as bound:
            took, _ = seconds_of(
                lambda host=host, bound=bound: dial(bound, host, 1), socket.gaierror
            )
        assert took == 0.0
