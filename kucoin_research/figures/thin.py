"""Fewer points that look the same: what a bounded number of pixels can show of any number of rows.

Per bucket of time the first, the lowest, the highest and the last point are kept, so no extreme is
ever lost (M4: Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014,
https://www.vldb.org/pvldb/vol7/p797-jugel.pdf, read 2026-11-25). Buckets are powers of two of
nanoseconds on one fixed grid: they do not move with the window, so what is drawn does not
flicker, old buckets stay as they are, and new rows cost no more than themselves.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kucoin_research.figures.zone import Floats, Times

__all__ = ["Extremes", "Largest", "Sums", "broken", "bucket_width", "thin"]

_SPARE = 256  # points added before thinning is worth while

Indices = npt.NDArray[np.intp]


def bucket_width(span_ns: int, buckets: int) -> int:
    """Give the smallest power of two (ns) of which ``buckets`` cover the span."""
    wanted = max(1, -(-span_ns // max(buckets, 1)))
    return 1 << (wanted - 1).bit_length()


def thin(times: Times, values: Floats, width_ns: int) -> Indices:
    """Choose the first, lowest, highest and last point of each bucket.

    Parameters
    ----------
    times
        ns, ascending.
    values
        Of the same length, finite.
    width_ns
        Of a bucket.

    Returns
    -------
    ndarray
        Positions to keep, ascending; at most four per bucket.
    """
    if not times.size:
        return np.empty(0, np.intp)
    starts = _starts(times // width_ns)
    ends = np.append(starts[1:], times.size) - 1
    lows = _where_equal(values, np.minimum.reduceat(values, starts), starts)
    highs = _where_equal(values, np.maximum.reduceat(values, starts), starts)
    return np.unique(np.concatenate((starts, lows, highs, ends)))


def _starts(keys: Times) -> Indices:
    return np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))


def _where_equal(values: Floats, wanted: Floats, starts: Indices) -> Indices:
    # The first position in each group that has its group's wanted value.
    sizes = np.diff(np.append(starts, values.size))
    found = np.flatnonzero(values == np.repeat(wanted, sizes))
    groups = np.searchsorted(starts, found, "right")
    return found[_starts(groups)]


def broken(times: Times, values: Floats, breaks: Times) -> tuple[Times, Floats]:
    """Put a point without a value at each break that lies between points: a line ends there."""
    places = np.searchsorted(times, breaks, "right")
    inner = (places > 0) & (places < times.size)
    if not inner.any():
        return times, values
    places, breaks = places[inner], breaks[inner]
    return np.insert(times, places, breaks), np.insert(values, places, np.nan)


class Extremes:
    """A line of bounded length that any number of rows is added to; its extremes are true.

    Parameters
    ----------
    buckets
        How many cover the span; up to four points each are kept.
    span_ns
        The span that will be shown; when left out, all that is added.
    """

    def __init__(self, buckets: int, span_ns: int | None = None) -> None:
        self.times: Times = np.empty(0, np.int64)
        self.values: Floats = np.empty(0)
        self._buckets = buckets
        self._is_open = span_ns is None
        self._width = 1 if span_ns is None else bucket_width(span_ns, buckets)

    @property
    def limit(self) -> int:
        """How many points it holds at most."""
        return 4 * (self._buckets + 1) + _SPARE

    def add(self, times: Times, values: Floats) -> None:
        """Add rows; those without a finite value are left out, late ones find their place."""
        present = np.isfinite(values)
        if not present.all():
            times, values = times[present], values[present]
        if not times.size:
            return
        self.times = np.concatenate((self.times, times))
        self.values = np.concatenate((self.values, values))
        self._sort(self.times.size - times.size)
        if self.times.size > self.limit:
            self._thin()

    def drop_before(self, time_ns: int) -> None:
        """Forget what is older, but for the last point before, where the line comes from."""
        start = max(0, int(np.searchsorted(self.times, time_ns)) - 1)
        if start:
            self.times, self.values = self.times[start:], self.values[start:]

    def _sort(self, added: int) -> None:
        tail = self.times[max(added - 1, 0) :]
        if (tail[1:] < tail[:-1]).any():
            order = np.argsort(self.times, kind="stable")
            self.times, self.values = self.times[order], self.values[order]

    def _thin(self) -> None:
        if self._is_open:
            span = int(self.times[-1] - self.times[0])
            self._width = max(self._width, bucket_width(span + 1, self._buckets))
        kept = thin(self.times, self.values, self._width)
        self.times, self.values = self.times[kept], self.values[kept]


class Largest:
    """The largest trade of each bucket, however many there are.

    Parameters
    ----------
    buckets, span_ns
        As for ``Extremes``.
    """

    def __init__(self, buckets: int, span_ns: int | None = None) -> None:
        self.times: Times = np.empty(0, np.int64)
        self.prices: Floats = np.empty(0)
        self.sizes: Floats = np.empty(0)
        self._buckets = buckets
        self._is_open = span_ns is None
        self._width = 1 if span_ns is None else bucket_width(span_ns, buckets)

    @property
    def limit(self) -> int:
        """How many trades it holds at most."""
        return self._buckets + 1 + _SPARE // 4

    def add(self, times: Times, prices: Floats, sizes: Floats) -> None:
        """Add trades; those without a price or size are left out."""
        present = np.isfinite(prices) & np.isfinite(sizes)
        if not present.any():
            return
        times = np.concatenate((self.times, times[present]))
        order = np.argsort(times, kind="stable")
        self.times = times[order]
        self.prices = np.concatenate((self.prices, prices[present]))[order]
        self.sizes = np.concatenate((self.sizes, sizes[present]))[order]
        if self.times.size > self.limit:
            self._thin()

    def drop_before(self, time_ns: int) -> None:
        """Forget what is older."""
        self._keep(slice(int(np.searchsorted(self.times, time_ns)), None))

    def _thin(self) -> None:
        if self._is_open:
            span = int(self.times[-1] - self.times[0])
            self._width = max(self._width, bucket_width(span + 1, self._buckets))
        starts = _starts(self.times // self._width)
        largest = np.maximum.reduceat(self.sizes, starts)
        self._keep(_where_equal(self.sizes, largest, starts))

    def _keep(self, kept: Indices | slice) -> None:
        self.times, self.prices, self.sizes = (
            self.times[kept],
            self.prices[kept],
            self.sizes[kept],
        )


class Sums:
    """Sums of some columns per bucket of time.

    Parameters
    ----------
    columns
        How many values a row has.
    buckets, span_ns
        As for ``Extremes``.
    """

    def __init__(self, columns: int, buckets: int, span_ns: int | None = None) -> None:
        self.keys: Times = np.empty(0, np.int64)
        self.sums: Floats = np.empty((columns, 0))
        self._buckets = buckets
        self._is_open = span_ns is None
        self.width = 1 if span_ns is None else bucket_width(span_ns, buckets)

    @property
    def centers(self) -> Times:
        """The middle of each bucket, ns."""
        return self.keys * self.width + self.width // 2

    def add(self, times: Times, values: Floats) -> None:
        """Add rows; ``values`` has the shape (columns, rows) and holds no missing value."""
        if not times.size:
            return
        self._refit(times)
        self._merge(times // self.width, values)

    def drop_before(self, time_ns: int) -> None:
        """Forget buckets that have ended before."""
        start = int(np.searchsorted(self.keys, time_ns // self.width))
        self.keys, self.sums = self.keys[start:], self.sums[:, start:]

    def _refit(self, times: Times) -> None:
        if not self._is_open:
            return
        begin, end = int(times.min()), int(times.max())
        if self.keys.size:
            begin = min(begin, int(self.keys[0]) * self.width)
            end = max(end, int(self.keys[-1]) * self.width)
        width = max(self.width, bucket_width(end - begin + 1, self._buckets))
        if width > self.width:
            keys, sums = self.keys // (width // self.width), self.sums
            self.width = width
            self.keys, self.sums = keys[:0], sums[:, :0]
            if keys.size:
                self._merge(keys, sums)

    def _merge(self, keys: Times, values: Floats) -> None:
        keys = np.concatenate((self.keys, keys))
        values = np.concatenate((self.sums, values), axis=1)
        if (keys[1:] < keys[:-1]).any():
            order = np.argsort(keys, kind="stable")
            keys, values = keys[order], values[:, order]
        starts = _starts(keys)
        self.keys, self.sums = keys[starts], np.add.reduceat(values, starts, axis=1)
