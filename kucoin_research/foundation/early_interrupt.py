"""Ends the command line cleanly if it is interrupted while it is still being imported.

The imports take long enough for an impatient Ctrl-C, and a traceback through polars helps nobody.
If the package is used as a library, importing this module does nothing.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

__all__: list[str] = []

_PROGRAMS = ("kucoin-research", "kucoin-research.exe")
_FAILED = 1


def _is_command_line() -> bool:
    # While `python -m` looks for a module, sys.argv[0] is "-m".
    if sys.argv[:1] == ["-m"]:
        return "kucoin_research" in sys.orig_argv or "-mkucoin_research" in sys.orig_argv
    return bool(sys.argv) and Path(sys.argv[0]).name in _PROGRAMS


def _end(*_: object) -> None:
    # Exits at once, since nothing is running yet. A module that is being imported could swallow an
    # exception.
    os.write(2, b"kucoin-research: interrupted\n")
    os._exit(_FAILED)


def _be_interruptible() -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


if _is_command_line():
    _be_interruptible()
