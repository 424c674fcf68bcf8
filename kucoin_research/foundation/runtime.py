"""Two settings of Python itself that a replay or a stream changes while it runs.

The garbage collector looks through all young objects whenever 700 more were made than freed, and
rows are made a chunk at a time: measured, a replay at full speed spends nearly half its time there,
and finds nothing, since rows are in no cycle. So ``eased`` lets it look less often. A stream's
threads wait for the GIL, and ``hurry`` shortens that wait.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Iterator

from kucoin_research.foundation.forking import in_child

__all__ = ["eased", "hurry", "slow_down"]

# More than the rows that a replay mostly has in hand, few enough for others' garbage.
_YOUNG = 50_000

_lock = threading.Lock()  # guards what follows
_users = 0
_usual: tuple[int, int, int] | None = None


@contextlib.contextmanager
def eased() -> Iterator[None]:
    """Have the collector look less often, in the whole process, until all who asked are done."""
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


# A thread that wants to run waits this long for the one that holds the GIL. Python's own 5 ms are
# paid by the feed once per read while the notebook's main thread computes: see
# benchmarks/busy_kernel.py. Shorter ones slow the main thread down.
_SWITCH_INTERVAL = 0.001
_hurried: set[int] = set()
_hurry_lock = threading.Lock()  # guards _hurried and _usual_interval
_usual_interval: float | None = None


def hurry(stream: object) -> None:
    """Have threads switch sooner, while a stream runs."""
    global _usual_interval
    with _hurry_lock:
        if not _hurried and sys.getswitchinterval() > _SWITCH_INTERVAL:
            _usual_interval = sys.getswitchinterval()
            sys.setswitchinterval(_SWITCH_INTERVAL)
        _hurried.add(id(stream))


def slow_down(stream: object) -> None:
    """Let threads switch as before, once the last such stream has stopped."""
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
