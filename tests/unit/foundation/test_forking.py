"""A forked child has none of its parent's threads, but may use every lock that they held.

Each parent is a new process, whose only threads are those in the test.
"""

import os
import sys

import pytest

from tests.processes import run

REAL_TIME = True  # processes of their own

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

# A child that waits for a lock which nobody will release prints where, and ends. The parent has no
# such watchdog: its thread would not exist in the child, and the child would wait for it.
START = """
import faulthandler, os, sys
os.register_at_fork(after_in_child=lambda: faulthandler.dump_traceback_later(50, exit=True))
import kucoin_research as kr
from kucoin_research.foundation import clocks
from kucoin_research.exchange.rest.quotas import Pool, pace_of, quotas_of
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.venues import Venue

def in_child(work):
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1]
"""

SHARED = """
venue = Venue("https://exchange.test:1", "https://exchange.test:1")
clock, rest = clocks.current(), Rest(venue)
pace, pool = pace_of(clock, venue.futures_url, 200, 20.0), Pool("futures")
quotas = quotas_of(clock, venue.futures_url, is_loopback=False)
quotas.take(pool, 5)  # on its way, by a thread of the parent

def ask():
    assert quotas_of(clock, venue.futures_url, is_loopback=False) is quotas
    caller = rest._caller
    assert caller._quotas["futures"] is quotas and caller._pace is pace and pace.take() == 0.0
    assert quotas.take(pool, 10) == 0.0
    quotas.over(pool, 10)
    with Rest(venue, patience=0.0) as other:
        try:
            other.server_time()
        except kr.errors.Unreachable:
            print("asked", flush=True)

with quotas._lock, pace._lock:
    code = in_child(ask)
quotas.over(pool, 5)
sys.exit(code)
"""


def test_a_child_asks_although_threads_of_its_parent_reckoned_with_the_quota(tmp_path):
    done = run(sys.executable, "-c", START + SHARED, cwd=tmp_path)

    assert (done.returncode, done.stdout.strip()) == (0, "asked"), done.stderr


IN_FLIGHT = """
import threading
x = kr.simulate(seed=7, speed=1, start="2026-01-05")
x.inject("slow_reply", path="/api/v1/level2/snapshot", delay=1.0, count=1)
s = kr.stream("XBTUSDTM", ["trade", "level2"], venue=x.venue)

def times_asked():
    return [path for _, path in x._core.requests].count("/api/v1/level2/snapshot")

while not times_asked():
    threading.Event().wait(0.01)
code = in_child(s.stop)
s.wait("level2", rows=1, timeout=50)
# One that was cut would have been asked for again.
print(times_asked(), s.status.reconnects, flush=True)
s.stop()
x.close()
sys.exit(code)
"""


def test_a_child_that_stops_its_parents_stream_leaves_the_calls_on_their_way(tmp_path):
    done = run(sys.executable, "-c", START + IN_FLIGHT, cwd=tmp_path)

    assert (done.returncode, done.stdout.strip()) == (0, "1 0"), done.stderr


# Finds all locks that can be reached from the package's modules, by attributes and items.
LOCKS = """
import functools, importlib, pkgutil, threading
from collections.abc import Mapping
from kucoin_research.streaming.limits import Healing
from kucoin_research.streaming.limits import budget_of

KINDS = (type(threading.Lock()), type(threading.RLock()), threading.Condition)

def inside(thing):
    if isinstance(thing, functools.cached_property):
        return {"lock": getattr(thing, "lock", None)}
    if isinstance(thing, type):
        return dict(vars(thing)) if thing.__module__.startswith("kucoin_research") else {}
    if isinstance(thing, Mapping):
        return {str(key): each for key, each in list(thing.items())}
    if isinstance(thing, (list, tuple, set, frozenset)):
        return dict(enumerate(thing))
    if type(thing).__module__.startswith("kucoin_research"):
        names = list(getattr(thing, "__dict__", ()))
        for kind in type(thing).__mro__:
            slots = vars(kind).get("__slots__", ())
            names += [slots] if isinstance(slots, str) else slots
        return {name: getattr(thing, name, None) for name in names}
    return {}

def locks():
    found, seen = {}, set()
    todo = [(name, vars(each)) for name, each in sys.modules.items()
            if name.startswith("kucoin_research")]
    while todo:
        path, thing = todo.pop()
        if path.endswith("late_import._importing"):
            pass  # a fork waits for this one
        elif isinstance(thing, KINDS):
            found.setdefault(id(thing), (path, thing))
        elif id(thing) not in seen:
            seen.add(id(thing))
            todo += [(f"{path}.{name}", each) for name, each in inside(thing).items()]
    return list(found.values())

for module in pkgutil.walk_packages(kr.__path__, "kucoin_research."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
venue = Venue("https://exchange.test:1", "https://exchange.test:1")
rest = Rest(venue)  # so that there is a quota, and a pace
budget_of(rest, Healing())
held, are_held, is_over = locks(), threading.Event(), threading.Event()

def hold():
    for _, lock in held:
        lock.acquire()
    are_held.set()
    is_over.wait()

threading.Thread(target=hold, daemon=True).start()
are_held.wait()

def look():
    for path, lock in locks():
        if not lock.acquire(blocking=False):
            print(path, flush=True)

code = in_child(look)
is_over.set()
for path, _ in held:
    print("held", path)
sys.stdout.flush()
os._exit(code)
"""


def test_a_child_can_take_every_lock_of_the_package_that_its_parent_held(tmp_path):
    done = run(sys.executable, "-c", START + LOCKS, cwd=tmp_path)
    lines = done.stdout.splitlines()
    held = {line.removeprefix("held ") for line in lines if line.startswith("held ")}

    assert (done.returncode, [line for line in lines if not line.startswith("held ")]) == (0, [])
    # The locks that were found.
    assert len(held) >= 15
    for part in (
        "api.registry", "exchange.dialing", "exchange.rest.quotas", "figures.refresh",
        "foundation.runtime", "sim", "streaming.limits",
    ):  # fmt: skip
        assert any(path.startswith(f"kucoin_research.{part}") for path in held), part
