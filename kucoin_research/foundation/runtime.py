"""Python's garbage collector, kept from looking through rows that come and go by the thousand.

It looks through all young objects whenever 700 more were made than freed, and rows are made a
chunk at a time: measured, a replay at full speed spends nearly half its time there, and finds
nothing, since rows are in no cycle.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

from kucoin_research.foundation.forking import in_child

__all__ = ["eased"]

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


def _forget() -> None:
    # A thread of the parent may have held the lock.
    global _lock
    _lock = threading.Lock()


in_child(_forget)
