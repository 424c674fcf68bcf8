"""Ctrl-C at a chosen step of the main thread, so that no test depends on when a signal arrives."""

import dis
import functools
import linecache
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import kucoin_research
from kucoin_research.foundation import interrupts

PACKAGE = str(Path(kucoin_research.__file__).parent)


@contextmanager
def interrupt_when(is_now, *, number=signal.SIGINT):
    """Send this process a signal before each line of the main thread where ``is_now(frame)``."""

    def trace(frame, event, _argument):
        if event == "line" and is_now(frame):
            signal.raise_signal(number)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def _is_holding(frame):
    return frame.f_code.co_filename == interrupts.__file__


@functools.cache
def _first_steps(code):
    """Return the offset of the first instruction of each line."""
    first = {}
    for offset, line in dis.findlinestarts(code):
        first.setdefault(line, offset)
    return first


def _is_leaving(frame):
    """Tell whether this is the second visit to a ``with`` line, which leaves its block.

    It comes before the lock of the block is released. CPython takes no signal there: it looks for
    them after a call, and leaving the block is the next one.
    """
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
    is_with = line.startswith(("with ", "async with "))
    return is_with and frame.f_lasti != _first_steps(frame.f_code)[frame.f_lineno]


def _is_counted(frame):
    name = frame.f_code.co_filename
    # CPython 3.11 keeps the exception that was handled, for the rest of the thread, if the `pass`
    # at the end of its handler is interrupted; `threading` has some.
    if linecache.getline(name, frame.f_lineno).strip() == "pass":
        return False
    if _is_leaving(frame):
        return False
    is_ours = name.startswith(PACKAGE) and not _is_holding(frame)
    return is_ours or name.endswith("threading.py")


@contextmanager
def interrupt_at(*numbers, after=None):
    """Send it before the n-th line, counted over the package and ``threading``.

    ``after`` names the function with whose first line the count begins. The lines that hold
    interrupts and let them go are not counted: there is no step before the first of all.
    """
    count = 0

    def is_now(frame):
        nonlocal count
        caller = frame.f_back
        if not _is_counted(frame) or (caller is not None and _is_holding(caller)):
            return False
        if count or after in (None, frame.f_code.co_name):
            count += 1
        return count in numbers

    with interrupt_when(is_now):
        yield lambda: count
