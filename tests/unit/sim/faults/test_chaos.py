"""Trouble by seed: the same seed makes the same trouble."""

import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.sim import CHAOS_FAULTS, FAULTS, Chaos
from tests.unit.sim.client import Client, open_exchange, record, wait_until

LEVEL2 = "/contractMarket/level2:XBTUSDTM"
ON_MESSAGES = ("drop", "duplicate", "reorder", "old_shape", "malformed", "rebase", "crossed_book")


def test_the_same_seed_makes_the_same_schedule():
    assert Chaos(seed=3).schedule() == Chaos(seed=3).schedule()
    assert Chaos(seed=3).schedule() != Chaos(seed=4).schedule()


def test_the_schedule_is_as_dense_as_asked_and_starts_after_a_while():
    planned = Chaos(seed=1, rate=12.0, quiet=7.0, seconds=6_000.0).schedule()

    assert 1_000 < len(planned) < 1_400
    assert planned[0].after_ns >= 7 * 10**9
    assert planned[-1].after_ns < 6_000 * 10**9
    assert planned == sorted(planned, key=lambda one: one.after_ns)


def test_the_usual_mix_has_everything_that_ends_by_itself():
    names = {one.fault.name for one in Chaos(seed=1, seconds=86_400.0).schedule()}

    assert names == set(CHAOS_FAULTS) == set(FAULTS) - {"delist"}


def test_the_mix_can_be_chosen():
    names = {one.fault.name for one in Chaos(seed=1, faults=("drop", "delist")).schedule()}

    assert names == {"drop", "delist"}


def test_a_plan_reads_well():
    planned = Chaos(seed=1, faults=["bye"]).schedule()[0]

    assert str(planned).endswith(" s  bye")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": "x"}, "whole number"),
        ({"seed": 1, "rate": 0}, "rate"),
        ({"seed": 1, "faults": ("explode",)}, "explode"),
        ({"seed": 1, "faults": ()}, "faults"),
        ({"seed": 1, "seconds": -1}, "seconds"),
    ],
)
def test_chaos_that_makes_no_sense_is_refused(options, words):
    with pytest.raises(InvalidInput, match=words):
        Chaos(**options)


def texts_until_pong(client):
    """Everything sent so far, garbage and all."""
    client.send(id="last", type="ping")
    texts = []
    while '"type":"pong"' not in (text := client.socket.recv()):
        texts.append(text)
    return texts


def trouble():
    """Bytes and logs of 20 virtual seconds under faults that no connection notices."""
    chaos = Chaos(seed=5, rate=60.0, faults=ON_MESSAGES, quiet=1.0)
    with (
        open_exchange(chaos=chaos) as exchange,
        Client(exchange) as client,
    ):
        exchange.pause()
        client.subscribe(LEVEL2)
        end = exchange.clock.start_ns + 19 * 10**9
        exchange.resume()
        wait_until(lambda: exchange.now_ns > end + 10**9)
        exchange.pause()
        frames = texts_until_pong(client)
        log = [one for one in exchange.fault_log if one.time_ns < end]
        withheld = [one for one in exchange.withheld if one.time_ns < end]
        return frames, log, withheld, exchange.schedule


def test_the_same_seed_makes_the_same_bytes_and_logs():
    one, two = trouble(), trouble()

    shorter = min(len(one[0]), len(two[0]))
    assert one[0][:shorter] == two[0][:shorter]
    assert one[1:] == two[1:]
    planned = {plan.fault.name for plan in one[3] if plan.after_ns < 18 * 10**9}
    assert {entry.fault for entry in one[1]} == planned
    assert len(planned) > 4


def test_faults_strike_at_their_virtual_time():
    chaos = Chaos(seed=5, rate=60.0, faults=("rebase",), quiet=1.0)
    with (
        open_exchange(chaos=chaos) as exchange,
        record(exchange, "futures", {LEVEL2}, 20),
    ):
        planned = [exchange.clock.start_ns + one.after_ns for one in exchange.schedule]
        struck = [one.time_ns for one in exchange.fault_log]

        assert len(struck) > 5
        assert struck == planned[: len(struck)]


def test_calm_ends_it_all():
    with open_exchange(chaos=1) as exchange:
        assert exchange.schedule
        exchange.inject("stall", market="futures")
        exchange.inject("bye", at=1.0)
        exchange.calm()
        with record(exchange, "futures", {LEVEL2}, 120) as client:
            assert client.messages()
            assert exchange.fault_log == []


def test_heal_leaves_the_chaos_alone():
    chaos = Chaos(seed=2, rate=600.0, faults=("bye",), quiet=0.0)
    with open_exchange(chaos=chaos) as exchange:
        exchange.heal()
        with Client(exchange) as client:
            client.subscribe(LEVEL2)
            assert client.close_code() == (1000, "Bye")


def test_the_usual_mix_keeps_its_books():
    """An hour of everything, with nobody there most of the time; the loop must survive."""
    with open_exchange(speed=500.0, chaos=Chaos(seed=9, rate=60.0, quiet=0.5)) as exchange:
        with Client(exchange) as client:
            client.subscribe(LEVEL2)
        wait_until(lambda: exchange.now_ns > exchange.clock.start_ns + 120 * 10**9, 60)
        exchange.calm()
        assert not exchange.is_closed
        with record(exchange, "futures", {LEVEL2}, 1) as client:
            assert client.messages()
