"""Jobs are done once at a time, in order of their kinds."""

import random
from collections import Counter

import pytest

from kucoin_research.foundation import clocks
from kucoin_research.model.records import Trade
from kucoin_research.streaming.rest_jobs import MOST_AT_ONCE, MOST_THREADS, Job, JobPool, Kind
from tests.conftest import wait_until


class Work:
    """Jobs that take a while, and what was done at once."""

    def __init__(self, held_time, seed):
        self.clock, self.random = held_time, random.Random(seed)
        self.stopping = held_time.event()
        self.at_once, self.kinds, self.done = Counter(), Counter(), Counter()
        self.most, self.errors, self.threads = 0, [], []
        self.pool = JobPool(held_time, self.do, self.errors.append, self.start, self.stopping)

    def start(self, target, role):
        self.threads.append(clocks.current().thread(target, role))
        self.threads[-1].start()

    def do(self, job):
        self.at_once[job.key] += 1
        self.kinds[job.kind] += 1
        assert self.at_once[job.key] == 1, job
        assert self.kinds[job.kind] <= MOST_AT_ONCE[job.kind]
        self.most = max(self.most, self.kinds.total())
        self.clock.pass_by(self.random.random())
        self.at_once[job.key] -= 1
        self.kinds[job.kind] -= 1
        self.done[job.kind] += 1
        if self.random.random() < 0.1:
            raise ValueError("as it happens")

    def end(self):
        self.stopping.set()
        self.pool.wake()
        wait_until(lambda: not any(thread.is_alive() for thread in self.threads))


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_done_twice_at_once_and_no_kind_takes_all_threads(held_time, seed):
    work = Work(held_time, seed)
    kinds = [Kind.BOOK, Kind.PAST, Kind.SILENCE, Kind.CLOCK]
    for _ in range(80):
        offered = [Job(work.random.choice(kinds), str(n), None) for n in range(60)]
        offered += [Job(Kind.PAST, str(n), Trade) for n in range(60)]
        work.pool.offer(offered)
        held_time.pass_by(0.05)
    work.end()

    assert work.most == MOST_THREADS
    assert work.done[Kind.BOOK]
    assert work.done[Kind.PAST]
    assert work.done[Kind.CLOCK]
    assert all(isinstance(error, ValueError) for error in work.errors)
    assert work.errors


def test_books_are_asked_for_before_the_past(held_time):
    work = Work(held_time, 1)
    work.pool.offer([Job(Kind.PAST, str(n), Trade) for n in range(60)])
    held_time.pass_by(0.01)
    past = [Job(Kind.PAST, str(n), Trade) for n in range(60)]
    work.pool.offer([*past, *(Job(Kind.BOOK, str(n)) for n in range(20))])
    wait_until(lambda: work.done[Kind.BOOK] == 20)
    assert work.done[Kind.PAST] < 40
    work.end()
