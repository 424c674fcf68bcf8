"""Closes a widget with everything that the library of widgets made for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import ipywidgets as widgets

__all__ = ["close_whole", "ids_of"]


def close_whole(*roots: widgets.Widget) -> None:
    """Close widgets, those within them, and the layout and style of each.

    ``close`` of a widget leaves its layout and style open. The kernel and each page would keep
    these as long as they live, and with them all that the widget had shown.
    """
    for part in list(_parts(roots)):
        widgets.Widget.close(part)


def ids_of(*roots: widgets.Widget) -> list[str]:
    """Return the ids of widgets and of all that ``close_whole`` would close with them."""
    return sorted({part.model_id for part in _parts(roots) if part.comm is not None})


def _parts(roots: Iterable[widgets.Widget]) -> Iterator[widgets.Widget]:
    for root in roots:
        yield from _parts(getattr(root, "children", ()))
        own = (root, getattr(root, "layout", None), getattr(root, "style", None))
        yield from (part for part in own if isinstance(part, widgets.Widget))
