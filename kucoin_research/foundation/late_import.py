"""Imports a module when it is first used, so that neither a fork nor Ctrl-C cuts it in half.

Python's own locks of imports are not renewed in a forked child: if another thread was importing,
the child would wait for that module for ever. An interrupt in the middle leaves modules half made,
the standard library's, too.
"""

from __future__ import annotations

import importlib
import os
import threading
from types import ModuleType

from kucoin_research.foundation.interrupts import hold

__all__ = ["import_late"]

_importing = threading.RLock()  # held during imports; a fork waits for it

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_importing.acquire,
        after_in_parent=_importing.release,
        after_in_child=_importing.release,
    )


@hold(passes_on=True)
def import_late(name: str) -> ModuleType:
    """Import a module; an interrupt meanwhile is raised when that is done.

    Raises
    ------
    ModuleNotFoundError
        If it is not there, or needs one that is not.
    KeyboardInterrupt
        If one came meanwhile; the module is imported then.
    """
    with _importing:
        return importlib.import_module(name)
