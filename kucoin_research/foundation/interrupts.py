"""Ctrl-C at places that are fit for it.

Python raises ``KeyboardInterrupt`` between any two steps of the main thread: after a lock was taken
and before the block that gives it back, after rows were written and before they are counted as
written, while a thread is being started. Where that would cost rows, or leave something running, an
interrupt is held: it is counted, and raised where ``check`` is called.

Only the main thread is interrupted; on others nothing here has an effect. Nor has it where somebody
else has installed a handler of interrupts: theirs is left alone.
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

# Short: an interrupt does not end a wait by itself, and on Windows is seen after it only.
_SLICE = 0.05
# Whoever presses Ctrl-C this often wants the process gone, whatever it is busy with.
_ENOUGH = 5
_ENDINGS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class _Interrupts:
    """The handler while interrupts are held."""

    def __init__(self, status: int | None = None) -> None:
        self.arrived = 0
        self.is_pending = False
        self.raises = False
        self._has_raised = False
        self._status = status  # of a process that ends at once

    def __call__(self, *_: object) -> None:
        # Nothing here may take a lock: the main thread may hold it.
        self.arrived += 1
        if self._status is not None and self.arrived >= _ENOUGH:
            os._exit(self._status)
        if self.raises and not self._has_raised:  # once: what it ends may clean up in peace
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
    """Hold interrupts in here; also a decorator. May be nested.

    Parameters
    ----------
    passes_on
        Raise ``KeyboardInterrupt`` at the end of the outermost, if one came and was not raised.
        Otherwise it counts as answered by what is returned.
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
    """Hold whatever asks a process to end: Ctrl-C, ``kill``, a closed terminal, a shutdown.

    Parameters
    ----------
    status
        What the process exits with if it is asked very often.
    heeded
        Signals that are held also where whoever started the process has them ignored, as ``nohup``
        and the ``&`` of a script do.
    is_last
        Whether the process ends after this: then they are ignored from the end on.
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
    """Raise interrupts in here at once, though they are held outside: for what may take long."""
    held = _here()
    if held is None:
        yield
    else:
        with _switched(held, raises=True):
            yield


def is_pending() -> bool:
    """Tell whether an interrupt is held that was not raised yet."""
    held = _here()
    return held is not None and held.is_pending


def check() -> None:
    """Raise ``KeyboardInterrupt`` if an interrupt is held."""
    held = _here()
    if held is not None:
        held.check()


def arrived() -> int:
    """Count the interrupts since they are held, raised or not."""
    held = _here()
    return 0 if held is None else held.arrived


def join(threads: Iterable[threading.Thread], timeout: float, *, seen: int, clock: Clock) -> None:
    """Wait for threads to end; where interrupts are held, a further one ends the wait.

    Parameters
    ----------
    threads
        Which.
    timeout
        Seconds, for all of them together.
    seen
        What ``arrived`` was when the threads were asked to end.
    clock
        What the wait goes by.
    """
    held = _here()
    deadline = clock.monotonic() + timeout
    for thread in threads:
        while thread.is_alive():
            left = deadline - clock.monotonic()
            if left <= 0 or (held is not None and held.arrived != seen):
                return
            thread.join(left if held is None else min(_SLICE, left))
