"""Renews locks in a forked child.

A forked child has copies of the locks that its parent's threads held, but not those threads. No one
is left to release such a lock, so the child would wait for it for ever.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["cached_property", "in_child"]

T = TypeVar("T")


def in_child(renew: Callable[[], object]) -> None:
    """Call a function in each forked child, before anything else runs there.

    The function replaces the locks of its module by new ones, since threads of the parent may have
    held the old ones. It must not wait for anything.
    """
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=renew)


class cached_property(functools.cached_property[T]):  # noqa: N801  named as the one it stands for
    """The ``cached_property`` of ``functools``, which a forked child can always read.

    Before Python 3.12 the property holds a lock while a value is computed, one for all instances.
    If a thread of the parent was computing a value, the child would wait for that lock for ever.
    """

    def __init__(self, func: Callable[[Any], T]) -> None:
        super().__init__(func)
        if hasattr(self, "lock"):
            in_child(self._renew)

    def _renew(self) -> None:
        self.lock = threading.RLock()
