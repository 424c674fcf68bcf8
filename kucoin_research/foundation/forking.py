"""What a forked child renews: it has none of its parent's threads, but locks that they held.

Nobody is left to release such a lock, so the child would wait for it for ever.
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
    """Have a function called in each forked child, before anything else; it may wait for nothing.

    It renews the locks of its module in place of those that threads of the parent may have held.
    """
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=renew)


class cached_property(functools.cached_property[T]):  # noqa: N801  named as the one it stands for
    """That of ``functools``, of which a forked child can read those that a thread was reading.

    Until Python 3.12 one lock is held while a value is made, for all instances of a class.
    """

    def __init__(self, func: Callable[[Any], T]) -> None:
        super().__init__(func)
        if hasattr(self, "lock"):
            in_child(self._renew)

    def _renew(self) -> None:
        self.lock = threading.RLock()
