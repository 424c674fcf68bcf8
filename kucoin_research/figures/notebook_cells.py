"""The widgets made by each cell of a notebook, so that running it again replaces them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Protocol

from IPython.core.getipython import get_ipython

__all__ = ["cell_of", "replace_in_cell"]


class Closable(Protocol):
    """A widget that can be replaced."""

    @property
    def close(self) -> Callable[..., object]:
        """End it."""


_cells: dict[str, tuple[str, list[tuple[weakref.ref[Closable], dict[str, bool]]]]] = {}


def replace_in_cell(made: Closable, **options: bool) -> list[Closable]:
    """Close the widgets that an earlier run of the same cell made; outside a notebook, none.

    Parameters
    ----------
    made
        Is closed when its cell is run again.
    **options
        Given to its ``close`` then.

    Returns
    -------
    list[Closable]
        The widgets that were closed.
    """
    cell = cell_of()
    if cell is None:
        return []
    name, run = cell
    earlier = _cells.get(name)
    if earlier is not None and earlier[0] == run:
        earlier[1].append((weakref.ref(made), options))
        return []
    closed = []
    for reference, how in earlier[1] if earlier is not None else ():
        old = reference()
        if old is not None:
            old.close(**how)
            closed.append(old)
    _cells[name] = (run, [(weakref.ref(made), options)])
    return closed


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
