"""All live figures of a process: those on one page share the time of its browser."""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

from kucoin_research.figures.browser_link import BrowserLink
from kucoin_research.foundation.forking import in_child

__all__ = ["OpenFigures", "open_figures"]


class Shown(Protocol):
    """A live figure."""

    def link_to(self, page: str) -> BrowserLink | None:
        """Return the conversation with one page; ``None`` if the page is not known."""

    def disown(self) -> None:
        """Replace its lock in a forked child."""


class OpenFigures:
    """Lists the live figures, and adds up the milliseconds that they need on a page.

    It keeps no figure alive. Every method may be called from any thread.
    """

    def __init__(self) -> None:
        # Replaced whole, since refreshes read it while figures are made.
        self._figures: tuple[weakref.ref[Shown], ...] = ()
        self._lock = threading.Lock()  # guards the replacing

    def add(self, figure: Shown) -> None:
        """Add a figure."""
        with self._lock:
            self._figures = (*self._without(figure), weakref.ref(figure))

    def remove(self, figure: Shown) -> None:
        """Remove a figure."""
        with self._lock:
            self._figures = self._without(figure)

    def _without(self, figure: Shown) -> tuple[weakref.ref[Shown], ...]:
        return tuple(ref for ref in self._figures if ref() is not None and ref() is not figure)

    def draw_ms_beside(self, figure: Shown, page: str) -> float:
        """Add up the milliseconds that the other visible figures of a page need for a drawing."""
        others = [each for ref in self._figures if (each := ref()) is not None]
        links = [each.link_to(page) for each in others if each is not figure]
        return sum(link.draw_ms for link in links if link is not None and link.is_visible)

    def disown(self) -> None:
        """Replace the locks in a forked child: a thread of the parent may have held them."""
        self._lock = threading.Lock()
        for ref in self._figures:
            figure = ref()
            if figure is not None:
                figure.disown()


#: The live figures of this process.
open_figures = OpenFigures()
in_child(open_figures.disown)
