"""Axes without data: they are hidden, since their ticks would show a range that means nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kucoin_research.figures.theme import Spec

__all__ = ["axes_of", "has_values", "hidden"]

_AXIS = re.compile(r"[xy]axis\d*$")
# The values that a trace cannot be drawn without; y is that of most.
_VALUES = ("z", "open", "y")


def axes_of(spec: Spec) -> dict[str, list[int]]:
    """List the traces on each axis of a figure, by the axis's name in the layout."""
    found: dict[str, list[int]] = {name: [] for name in spec["layout"] if _AXIS.match(name)}
    for place, trace in enumerate(spec["data"]):
        for letter in "xy":
            name = str(trace.get(f"{letter}axis", letter)).replace(letter, f"{letter}axis", 1)
            found.setdefault(name, []).append(place)
    return found


def has_values(arrays: Mapping[tuple[int, str], npt.NDArray[Any]], trace: int) -> bool:
    """Whether a trace has anything to draw."""
    values = next(
        (each for name in _VALUES if (each := arrays.get((trace, name))) is not None), None
    )
    return values is not None and bool(np.isfinite(values).any())


def hidden(spec: Spec) -> Spec:
    """Hide all axes of a figure that has no data yet; its first drawing shows those with data."""
    layout = {
        name: {**part, "visible": False} if _AXIS.match(name) else part
        for name, part in spec["layout"].items()
    }
    return {**spec, "layout": layout}
