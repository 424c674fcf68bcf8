"""Holds Ctrl-C back until a place where it does no harm.

Python raises ``KeyboardInterrupt`` between any two steps of the main thread: after a lock is taken
and before the block that releases it, after rows are written and before they are counted, or while
a thread is being started. Where that would lose rows or leave something running, an interrupt is
held: it is counted, and raised where ``check`` is called.

Only the main thread is interrupted, so nothing here has an effect on other threads. If somebody
else has installed a handler of interrupts, it is left alone, and nothing is held.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kucoin_research.foundation.clocks import Clock

__all__ = ["arrived", "as_program", "check", "hold", "is_pending", "join", "passing"]

# Seconds per wait. Short, since an interrupt that is held does not end a wait, and on Windows the
# handler runs only after it.
_SLICE = 0.05
# A user who presses Ctrl-C this often wants the process to end, whatever it is doing.
_ENOUGH = 5
_ENDINGS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class _Interrupts:
    """The signal handler while interrupts are held: it counts them, and raises the first if asked.

    Attributes
    ----------
    arrived
        The number of interrupts.
    is_pending
        Whether one came that was not raised.
    raises
        Whether the next one is raised at once.
    """

    def __init__(self, status: int | None = None) -> None:
        self.arrived = 0
        self.is_pending = False
        self.raises = False
        self._has_raised = False
        self._status = status  # exit status of the process after _ENOUGH interrupts

    def __call__(self, *_: object) -> None:
        # Takes no lock: a handler runs on the main thread, which may hold that lock already.
        self.arrived += 1
        if self._status is not None and self.arrived >= _ENOUGH:
            os._exit(self._status)
        if self.raises and not self._has_raised:  # only once, so that clean-up is not interrupted
            self._has_raised = True
            raise KeyboardInterrupt
        self.is_pending = True

    def check(self) -> None:
        if self.is_pending:
            self.is_pending = False
            self._has_raised = True
            raise KeyboardInterrupt


_held: _Interrupts | None = None  # set and read by the main thread only


def _here() -> _Interrupts | None:
    return _held if _is_main() else None


@contextmanager
def hold(*, passes_on: bool = False) -> Iterator[None]:
    """Hold interrupts inside this block; also a decorator, and may be nested.

    Parameters
    ----------
    passes_on
        Raise ``KeyboardInterrupt`` at the end of the outermost block if an interrupt is pending.
        Otherwise the block has handled it, for example by its return value.
    """
    outer = _here()
    if outer is not None:
        with _switched(outer, raises=False):
            yield
    elif not _is_main() or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
    else:
        made = _Interrupts()
        with _installed(made, {signal.SIGINT: signal.default_int_handler}):
            yield
        if passes_on:
            made.check()


@contextmanager
def as_program(status: int, *, heeded: Iterable[str] = (), is_last: bool) -> Iterator[None]:
    """Hold all signals that ask a process to end: Ctrl-C, ``kill``, a closed terminal, a shutdown.

    Parameters
    ----------
    status
        The exit status of the process if five such signals arrive.
    heeded
        Signals to hold even if the process was started with them ignored, as by ``nohup`` or by
        ``&`` in a script. Other ignored signals stay ignored.
    is_last
        Whether the process ends after this block; the signals are then ignored from its end on.
    """
    if not _is_main() or _held is not None:
        with hold():
            yield
        return
    before: dict[int, Any] = {
        getattr(signal, name): signal.getsignal(getattr(signal, name))
        for name in _ENDINGS
        if hasattr(signal, name)
    }
    wanted = {getattr(signal, name) for name in heeded}
    taken = {
        number: handler
        for number, handler in before.items()
        if handler is not None and (handler is not signal.SIG_IGN or number in wanted)
    }
    after = dict.fromkeys(taken, signal.SIG_IGN) if is_last else taken
    with _installed(_Interrupts(status), after):
        yield


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def _installed(handler: _Interrupts, after: Mapping[int, Any]) -> Iterator[None]:
    global _held
    try:
        _held = handler
        for number in after:
            signal.signal(number, handler)
        yield
    finally:
        _held = None
        for number, its_handler in after.items():
            signal.signal(number, its_handler)


@contextmanager
def _switched(held: _Interrupts, *, raises: bool) -> Iterator[None]:
    before, held.raises = held.raises, raises
    try:
        if raises:
            held.check()
        yield
    finally:
        held.raises = before


@contextmanager
def passing() -> Iterator[None]:
    """Raise interrupts at once inside this block, for long work within a block that holds them."""
    held = _here()
    if held is None:
        yield
    else:
        with _switched(held, raises=True):
            yield


def is_pending() -> bool:
    """Return whether an interrupt is held and not raised yet."""
    held = _here()
    return held is not None and held.is_pending


def check() -> None:
    """Raise ``KeyboardInterrupt`` if an interrupt is held."""
    held = _here()
    if held is not None:
        held.check()


def arrived() -> int:
    """Return the number of interrupts since they are held, raised or not; 0 if none are held."""
    held = _here()
    return 0 if held is None else held.arrived


def join(threads: Iterable[threading.Thread], timeout: float, *, seen: int, clock: Clock) -> None:
    """Wait for threads to end; if interrupts are held, another one ends the wait.

    Parameters
    ----------
    threads
        The threads to wait for.
    timeout
        Seconds, for all threads together.
    seen
        The value of ``arrived()`` when the threads were asked to end.
    clock
        The clock that the timeout is measured by.
    """
    held = _here()
    deadline = clock.monotonic() + timeout
    for thread in threads:
        while thread.is_alive():
            left = deadline - clock.monotonic()
            if left <= 0 or (held is not None and held.arrived != seen):
                return
            thread.join(left if held is None else min(_SLICE, left))
