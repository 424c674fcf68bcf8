"""A forked child has none of its parent's threads, and may have all that they held.

Each child is the child of a process of its own, which has no threads but those that are named.
"""

import os
import sys

import pytest

from tests.processes import run

REAL_TIME = True  # processes of their own

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

# A child that waits for a lock that nobody will open is ended by an alarm, and so fails.
START = """
import os, signal, sys
import kucoin_research as kr
from kucoin_research import clocks
from kucoin_research.quotas import Pool, pace_of, quotas_of
from kucoin_research.rest import Rest
from kucoin_research.venues import Venue

def in_child(work):
    child = os.fork()
    if not child:
        signal.alarm(60)
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
    assert rest._quotas["futures"] is quotas and rest._pace is pace and pace.take() == 0.0
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
