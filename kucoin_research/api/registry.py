"""Which streams and replays of this process are running, and how they end with it."""

from __future__ import annotations

import atexit
import sys
import threading
import warnings
from collections.abc import Callable
from weakref import WeakValueDictionary

from kucoin_research.errors import (
    RecordingReplaced,
)
from kucoin_research.foundation.forking import in_child
from kucoin_research.foundation.interrupts import hold
from kucoin_research.playback.replay import Replay
from kucoin_research.streaming.stream import Stream

__all__ = ["close_all", "close_last", "forget", "register", "running"]

_registry_lock = threading.Lock()  # guards _running
# By name and place. A name that was given means one thing everywhere; one made here, one per venue;
# and what a call starts for itself alone replaces nothing.
_Key = tuple[str, object]
# Weak: a running stream is kept by its threads, and one that has ended must not keep its rows.
_running: WeakValueDictionary[_Key, Stream | Replay] = WeakValueDictionary()
_last: list[Callable[[], object]] = []


def register(handle: Stream | Replay, place: object = "") -> None:
    """Take up a stream or replay; one of the same name and place is stopped.

    Parameters
    ----------
    handle
        Not started yet.
    place
        What its name is unique within: ``""`` for a name that the user gave, which means one thing
        everywhere; else the venue's addresses, or a new object for one that replaces nothing.
    """
    key = handle.name, place
    with _registry_lock:
        replaced = _running.pop(key, None)
        _running[key] = handle  # now the last: the order is that of the starts
    if replaced is not None and not replaced.stopping.is_set():
        try:
            _warn_of_recordings(replaced)
        finally:
            replaced.stop()


def _warn_of_recordings(replaced: Stream | Replay) -> None:
    paths = [str(recorder.path) for recorder in replaced.recorders]
    if paths and not replaced.is_replaceable:
        warnings.warn(
            f"the recording in {', '.join(paths)} ends here: the stream {replaced.name!r} that it "
            "records is replaced by one of the same name; name= gives this one another",
            RecordingReplaced,
            stacklevel=_stack_level(),
        )


def _stack_level() -> int:
    """Find the caller outside of this package, for whom a warning is."""
    ours = (__name__.partition(".")[0], "contextlib")  # our decorators run through it
    frame, level = sys._getframe(1), 1  # noqa: SLF001  as warnings itself does
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(ours):
        frame, level = frame.f_back, level + 1
    return level


def running() -> list[Stream | Replay]:
    """List the streams and replays of this process that have not been stopped, oldest first."""
    with _registry_lock:
        return [each for each in _running.values() if not each.stopping.is_set()]


def close_last(call: Callable[[], object]) -> None:
    """Call a function at the end of the process, after all streams and replays have stopped."""
    if call not in _last:
        _last.append(call)


@atexit.register
@hold()
def close_all() -> None:
    """Stop all streams and replays, then what `close_last` was called with."""
    streams = running()
    for timeout in (0.0, 1.0):  # all begin to stop before any is waited for
        for each in streams:
            each.stop(timeout)
    while _last:
        _last.pop()()


def forget() -> None:
    """Forget everything without stopping it.

    In a forked child, threads and sockets are the parent's, and one of its threads may have held
    the lock.
    """
    global _registry_lock, _running
    for each in list(_running.values()):
        each.disown()
    _registry_lock, _running = threading.Lock(), WeakValueDictionary()
    _last.clear()


in_child(forget)
