"""Two settings of Python itself that are changed while a replay or a stream runs.

``eased`` lets the garbage collector run less often. By default it scans all young objects whenever
700 more were made than freed, and rows are made by the thousand. Measured, a replay at full speed
spends nearly half its time there, and nothing is found, since rows are in no cycle.

``hurry`` shortens the time that a stream's threads wait for the GIL.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Iterator

from kucoin_research.foundation.forking import in_child

__all__ = ["eased", "hurry", "slow_down"]

# More than the rows that a replay usually holds at a time, and few enough that the garbage of other
# code is still collected.
_YOUNG = 50_000

_lock = threading.Lock()  # guards _users and _usual
_users = 0
_usual: tuple[int, int, int] | None = None


@contextlib.contextmanager
def eased() -> Iterator[None]:
    """Let the garbage collector of the process run less often, until the last user has left."""
    global _users, _usual
    with _lock:
        if not _users and 0 < gc.get_threshold()[0] < _YOUNG:
            _usual = gc.get_threshold()
            gc.set_threshold(_YOUNG, *_usual[1:])
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users and _usual is not None:
                gc.set_threshold(*_usual)
                _usual = None


# Seconds that a thread waits before it asks for the GIL. With Python's own 5 ms, the feed waits so
# long at each read while the notebook's main thread computes: see benchmarks/busy_kernel.py. A
# shorter interval than this slows down the main thread.
_SWITCH_INTERVAL = 0.001
_hurried: set[int] = set()
_hurry_lock = threading.Lock()  # guards _hurried and _usual_interval
_usual_interval: float | None = None


def hurry(stream: object) -> None:
    """Let threads switch sooner while a stream runs; every stream needs its own ``slow_down``."""
    global _usual_interval
    with _hurry_lock:
        if not _hurried and sys.getswitchinterval() > _SWITCH_INTERVAL:
            _usual_interval = sys.getswitchinterval()
            sys.setswitchinterval(_SWITCH_INTERVAL)
        _hurried.add(id(stream))


def slow_down(stream: object) -> None:
    """Restore the usual switch interval once the last stream has stopped; idempotent."""
    global _usual_interval
    with _hurry_lock:
        _hurried.discard(id(stream))
        if not _hurried and _usual_interval is not None:
            sys.setswitchinterval(_usual_interval)
            _usual_interval = None


def _forget() -> None:
    # A thread of the parent may have held the locks.
    global _lock, _hurry_lock
    _lock, _hurry_lock = threading.Lock(), threading.Lock()


in_child(_forget)
