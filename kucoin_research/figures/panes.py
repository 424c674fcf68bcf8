"""The division of a chart's height between its own axes and panes below them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Domains", "divided", "placed"]

_BELOW, _MOST_BELOW = 0.24, 0.52  # share of the height for one pane, and for all at most
_APART = 0.05  # share of the height between panes

#: Shares of the height of axes, by their names such as ``yaxis2``.
Domains = Mapping[str, tuple[float, float]]


def divided(panes: Iterable[str], domains: Domains) -> tuple[Domains, str]:
    """Divide the height between axes, above, and panes below them.

    Parameters
    ----------
    panes
        The axes of the panes, from the top down.
    domains
        Those of the other axes.

    Returns
    -------
    Domains, str
        Those of all axes, and the axis at the bottom, where the time axis is to be.
    """
    panes = list(panes)
    floor = min(_BELOW * len(panes), _MOST_BELOW)
    moved = {
        name: (floor + low * (1 - floor), floor + high * (1 - floor))
        for name, (low, high) in domains.items()
    }
    lowest = min(domains, key=lambda name: domains[name][0])
    height = floor / max(len(panes), 1)
    for place, name in enumerate(panes):
        top = floor - place * height - _APART
        moved[name] = max(floor - (place + 1) * height, 0.0), top
        lowest = name
    return moved, lowest


def placed(domains: Domains, lowest: str) -> dict[str, Any]:
    """Return the parts of the layout that place axes so."""
    parts: dict[str, Any] = {f"{name}.domain": list(share) for name, share in domains.items()}
    return {**parts, "xaxis.anchor": lowest.replace("yaxis", "y")}
