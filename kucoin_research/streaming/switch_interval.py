"""Have Python's threads switch sooner while a stream runs."""

from __future__ import annotations

import sys
import threading

from kucoin_research.foundation.forking import in_child

__all__ = ["switch_as_usual", "switch_sooner"]

# A thread that wants to run waits this long for the one that holds the GIL. Python's own 5 ms are
# paid by the feed once per read while the notebook's main thread computes: see
# benchmarks/busy_kernel.py. Shorter ones slow the main thread down.
_SWITCH_INTERVAL = 0.001
_running: set[int] = set()
_running_lock = threading.Lock()  # guards _running and _usual_interval
_usual_interval: float | None = None


def switch_sooner(stream: object) -> None:
    """Have threads switch sooner, while this stream runs."""
    global _usual_interval
    with _running_lock:
        if not _running and sys.getswitchinterval() > _SWITCH_INTERVAL:
            _usual_interval = sys.getswitchinterval()
            sys.setswitchinterval(_SWITCH_INTERVAL)
        _running.add(id(stream))


def switch_as_usual(stream: object) -> None:
    """Have threads switch as before, once no stream runs any more."""
    global _usual_interval
    with _running_lock:
        _running.discard(id(stream))
        if not _running and _usual_interval is not None:
            sys.setswitchinterval(_usual_interval)
            _usual_interval = None


def _forget() -> None:
    # A thread of the parent may have held the lock.
    global _running_lock
    _running_lock = threading.Lock()


in_child(_forget)
