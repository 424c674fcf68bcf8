"""The widgets made by each cell of a notebook, so that running it again replaces them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

from IPython.core.getipython import get_ipython

__all__ = ["cell_of", "count_in_cell", "replace_in_cell"]


class Closable(Protocol):
    """A widget that can be replaced."""

    @property
    def close(self) -> Callable[..., object]:
        """End it."""


@dataclass(frozen=True)
class _Made:
    """A widget that a run of a cell has made; weak, since nothing else may keep it."""

    widget: weakref.ref[Closable]
    place: tuple[type, int]  # its class, and how many of that the run had made before
    leave: Callable[[Any], object] | None
    options: dict[str, bool]


@dataclass
class _Run:
    """What a run of a cell has made, and what the widgets of the run before have left, by place."""

    name: str
    made: list[_Made] = field(default_factory=list)
    left: dict[tuple[type, int], object] = field(default_factory=dict)

    def count(self, kind: type) -> int:
        return sum(each.place[0] is kind for each in self.made)

    def close(self) -> dict[tuple[type, int], object]:
        left = {}
        for each in self.made:
            old = each.widget()
            if old is not None:
                old.close(**each.options)
                if each.leave is not None:
                    left[each.place] = each.leave(old)
        return left


_cells: dict[str, _Run] = {}


def replace_in_cell(
    made: Closable, leave: Callable[[Any], object] | None = None, **options: bool
) -> object:
    """Close the widgets that an earlier run of the same cell made; outside a notebook, none.

    Parameters
    ----------
    made
        Is closed when its cell is run again.
    leave
        Called with it when it is closed so; what it returns is for the widget that takes its place.
    **options
        Given to its ``close`` then.

    Returns
    -------
    object
        What the widget of the same class and the same place in the earlier run has left: for the
        second one made, that of the second. ``None`` if there was none.
    """
    cell = cell_of()
    if cell is None:
        return None
    name, run = cell
    present = _cells.get(name)
    if present is None or present.name != run:
        left = {} if present is None else present.close()
        present = _cells[name] = _Run(run, left=left)
    place = type(made), present.count(type(made))
    present.made.append(_Made(weakref.ref(made), place, leave, options))
    return present.left.pop(place, None)


def count_in_cell(kind: type) -> int | None:
    """Count the widgets of a class that this run of the cell has made; outside, ``None``."""
    cell = cell_of()
    if cell is None:
        return None
    present = _cells.get(cell[0])
    return 0 if present is None or present.name != cell[1] else present.count(kind)


def cell_of() -> tuple[str, str] | None:
    """Return the ids of the running cell and of this run; ``None`` outside a notebook.

    JupyterLab and Notebook 7 send the cell's id with each run. The classic notebook does not: there
    a cell is known by its text, so that running it again unchanged is recognised.
    """
    # A shell outside ipykernel has no kernel.
    shell = get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return None
    parent = kernel.get_parent()
    name = parent.get("metadata", {}).get("cellId") or _name_by_text(parent)
    run = parent.get("header", {}).get("msg_id")
    return (name, run) if name and run else None


def _name_by_text(parent: dict[str, Any]) -> str | None:
    code = parent.get("content", {}).get("code")
    return sha256(code.encode()).hexdigest() if code else None
