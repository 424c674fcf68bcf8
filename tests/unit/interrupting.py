"""Ctrl-C at a chosen step of the main thread, so that no test depends on when a signal arrives."""

import linecache
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import kucoin_research

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
    return frame.f_code.co_filename.endswith("interrupts.py")


def _is_counted(frame):
    name = frame.f_code.co_filename
    # CPython 3.11 keeps the exception that was handled, for the rest of the thread, if the `pass`
    # at the end of its handler is interrupted; `threading` has some.
    if linecache.getline(name, frame.f_lineno).strip() == "pass":
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
