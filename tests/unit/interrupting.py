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


def _takes_no_signal(frame):
    """Tell whether this line begins where CPython does not look for signals.

    It looks after a call, and where a function begins or a loop begins again.
    """
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    # The end of a handler: interrupted there, CPython 3.11 keeps the exception that was handled for
    # the rest of the thread. `threading` has some.
    if line == "pass":
        return True
    # The second visit to this line leaves its block: interrupted there, its lock is kept.
    return line.startswith("with ") and frame.f_lasti != _first_steps(frame.f_code)[frame.f_lineno]


def _is_counted(frame):
    name = frame.f_code.co_filename
    is_ours = name.startswith(PACKAGE) and not _is_holding(frame)
    return (is_ours or name.endswith("threading.py")) and not _takes_no_signal(frame)


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
