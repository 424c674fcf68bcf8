"""The difference between two drawings: the few values that a browser does not have yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from kucoin_research.figures.chart import Arrays

__all__ = ["ArrayChange", "difference", "patched"]

_DTYPES = {"float64": "f8", "float32": "f4", "int32": "i4", "uint8": "u1"}

Array = npt.NDArray[Any]


class ArrayChange(NamedTuple):
    """A change of one array: leave out the first ``drop`` rows, keep ``keep``, append ``tail``."""

    trace: int
    path: str
    drop: int
    keep: int
    tail: Array

    @property
    def header(self) -> list[Any]:
        """The change without its values, as JSON; the last part is a row's length, 0 in 1-D."""
        wide = self.tail.shape[1] if self.tail.ndim == 2 else 0
        return [self.trace, self.path, _DTYPES[self.tail.dtype.name], self.drop, self.keep, wide]

    @property
    def buffer(self) -> memoryview | bytes:
        """The values, row by row."""
        return self.tail.data.cast("B") if self.tail.size else b""


def difference(old: Mapping[tuple[int, str], Array], new: Arrays) -> list[ArrayChange]:
    """List the changes that turn the arrays sent last into the new ones.

    A followed line loses points on the left and gains some on the right. The points between are
    not sent again.
    """
    drops: dict[int, int] = {}
    parts = []
    # Times first: the other arrays of their trace have moved by as many points.
    for key in sorted(new, key=lambda each: (each[0], each[1] != "x")):
        array = _sendable(new[key])
        before = old.get(key)
        if before is None or before.shape[1:] != array.shape[1:] or before.dtype != array.dtype:
            parts.append(ArrayChange(*key, 0, 0, array))
            continue
        drop = _drop(before, array) if key[1] == "x" else drops.get(key[0], 0)
        drops.setdefault(key[0], drop)
        drop = min(drop, len(before))
        keep = _common(before[drop:], array)
        if drop or keep < len(array) or keep < len(before):
            parts.append(ArrayChange(*key, drop, keep, array[keep:]))
    return parts


def patched(old: Array | None, part: ArrayChange) -> Array:
    """Apply a change, as the browser does."""
    kept = part.tail[:0] if old is None else old[part.drop : part.drop + part.keep]
    return np.concatenate((kept, part.tail))


def _sendable(array: Array) -> Array:
    if array.dtype.name not in _DTYPES:
        array = array.astype(np.float64)
    return np.ascontiguousarray(array)


def _drop(old: Array, new: Array) -> int:
    if not old.size or not new.size or old.ndim != 1:
        return 0
    place = int(np.argmax(old == new[0]))
    return place if old[place] == new[0] else 0


def _common(old: Array, new: Array) -> int:
    length = min(len(old), len(new))
    same = (old[:length] == new[:length]) | ((old[:length] != old[:length]) & _is_nan(new[:length]))
    if same.ndim == 2:
        same = same.all(axis=1)
    return length if same.all() else int(np.argmin(same))


def _is_nan(array: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(array != array)  # only NaN differs from itself
