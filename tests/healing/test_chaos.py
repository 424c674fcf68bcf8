"""Random schedules of faults: afterwards the ledger is the exchange's record of what it withheld.

A seed makes its schedule; `python -m tests.healing.test_chaos 17` runs one and prints what is
wrong, or the hash of all its rows: time is held, so it is the same on each run and machine. What is
compared, and how, is in ``audit``.
"""

from __future__ import annotations

import gc
import hashlib
import os
import re
import sys
import threading
import traceback
from collections import defaultdict
from itertools import groupby
from pathlib import Path

import pytest

from kucoin_research.sim import Chaos
from tests.conftest import wait_until
from tests.healing.audit import audit, settle
from tests.healing.rig import Rig
from tests.held_time import HeldTime

#: Virtual seconds: the client learns the beats of its topics, then the trouble comes, and the last
#: of it is mended.
QUIET, SECONDS, CALM, SPEED = 20.0, 70.0, 85.0, 5.0
FEWEST_FAULTS = 3


def run(seed):
    """Run one schedule.

    Gives what is wrong with the data, what is needed to see why, and the hash of all rows.
    """
    with HeldTime():
        return _run(seed)


def _run(seed):
    market = ("futures", "spot")[seed % 2]
    chaos = Chaos(seed=seed, rate=20, quiet=QUIET, seconds=SECONDS)
    with Rig(market, seed=seed, speed=SPEED, chaos=chaos) as rig:
        story = [f"seed {seed}, {market}"]
        try:
            begin = rig.x.now_ns
            wait_until(lambda: rig.x.now_ns - begin >= CALM * 1e9, timeout=120)
            wait_until(lambda: not stalls(rig), timeout=120)
            rig.x.calm()
            for channel in rig.channels:  # the trouble is over for all of them
                rig.s.wait(channel, rows=rig.s.total(channel) + 3, timeout=60)
            settle(rig)
            wrong = audit(rig)
        except Exception:  # noqa: BLE001  what failed is told beside what was done
            wrong = [traceback.format_exc()]
        story += [str(planned) for planned in rig.x.schedule]
        story += [*_applied(rig.x), *_kept_back(rig.x), str(rig.s.report()), *_told(rig.s)]
        found = _hash(rig.s)
    return wrong, "\n".join([*wrong, *story]), found


def _hash(stream):
    """Give the hash of all rows, status among them; the exchange's ports are any that were free."""
    digest = hashlib.sha256()
    for channel in [*dict.fromkeys(str(each.channel) for each in stream.subscriptions), "status"]:
        for row in stream.frame(channel).iter_rows():
            digest.update(re.sub(r"127\.0\.0\.1:\d+", "exchange", repr(row)).encode())
    return digest.hexdigest()


def stalls(rig):
    """List the topics' silences in force: the client has yet to notice, and to connect anew."""
    armed = [block.armed.fault.name for block in rig.x._core.delivery._blocks]
    return [name for name in armed if name in ("stall", "stall_socket")]


def _applied(exchange):
    """Say what was done, one line for all that one fault did to a topic in a row."""
    for (fault, topic, connection), group in groupby(
        sorted(exchange.fault_log, key=lambda one: (one.fault, one.topic, one.connection)),
        key=lambda one: (one.fault, one.topic, one.connection),
    ):
        times = [one.time_ns for one in group]
        yield f"{times[0]} to {times[-1]}: {fault} {topic} {connection}, {len(times)} times"


def _kept_back(exchange):
    """Say what the exchange withheld, one line for each connection, topic and reason."""
    groups = defaultdict(list)
    for one in exchange.withheld:
        if not one.reached_others:
            groups[one.connection, one.topic, one.reason].append(one)
    for (connection, topic, reason), group in groups.items():
        first, last = group[0], group[-1]
        yield (
            f"withheld from {connection} {topic} {reason}: {len(group)}, {first.sequence} to "
            f"{last.sequence}, {first.time_ns} to {last.time_ns}"
        )


def _told(stream):
    for row in stream.frame("status").iter_rows():
        yield " ".join(map(str, row[1:]))


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_schedule_of_faults_leaves_what_the_exchange_says(seed):
    before = threading.active_count()

    wrong, story, _ = run(seed)

    assert not wrong, story
    wait_until(lambda: threading.active_count() <= before)


def test_a_schedule_gives_the_same_rows_at_the_same_moments_each_time():
    first, second = run(2), run(2)

    assert first[2] == second[2]


@pytest.mark.soak
@pytest.mark.timeout(12_000)
def test_three_hundred_schedules_leave_what_the_exchange_says():
    failed, threads, memory = {}, threading.active_count(), []
    for seed in range(1, 301):
        wrong, story, _ = run(seed)
        memory.append(resident_bytes())
        if wrong:
            failed[seed] = story
    first, last = memory[len(memory) // 6], memory[-1]

    assert not failed, "\n\n".join(failed.values())
    wait_until(lambda: threading.active_count() <= threads)
    assert last < first + 100e6, f"{first / 1e6:.0f} MB grew to {last / 1e6:.0f} MB"


def resident_bytes():
    """Give the memory this process holds; what is garbage is let go before."""
    gc.collect()
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    for seed in map(int, sys.argv[1:]):
        wrong, story, found = run(seed)
        print(story if wrong else f"seed {seed} is whole: {found}", flush=True)
