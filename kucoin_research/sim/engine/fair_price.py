"""Index price and fair price of one market."""

from __future__ import annotations

__all__: list[str] = []

_ACTIVITY_RANGE = (0.25, 6.0)


_BASIS_SCALES = ((480, 0.9), (60, 0.6), (5, 0.4))


_INDEX_NOISE = 5e-6
