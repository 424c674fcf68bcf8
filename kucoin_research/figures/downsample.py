"""Downsampling: any number of rows becomes a bounded number of points that look the same.

Of each bucket of time the first, the lowest, the highest and the last point are kept, so no extreme
is ever lost (M4: Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB
2014, https://www.vldb.org/pvldb/vol7/p797-jugel.pdf, read 2026-11-25). The width of a bucket is a
power of two of nanoseconds, on one fixed grid. So buckets do not move with the window, the drawing
does not flicker, and old buckets stay as they are.

Each bucket is thinned as rows come, the newest one too, so the right edge of a picture is no denser
than the rest. All buckets grow wider together, and only when there are more points than may be
drawn: a picture is as fine as the points allow. The four points of a bucket suffice to compute the
four of a wider one, so nothing is lost on the way, in whatever batches the rows come.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kucoin_research.figures.time_axis import Floats, Times

__all__ = ["Bubbles", "Extremes", "Sums", "broken", "bucket_width", "thin"]

Indices = npt.NDArray[np.intp]

_LONG = 200  # rows per group from which on a loop over the groups is quicker


def bucket_width(span_ns: int, buckets: int) -> int:
    """Return the smallest width, a power of two (ns), with which ``buckets`` cover the span."""
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
    starts = _buckets(times, width_ns)
    if starts.size == 1:  # the usual case: a refresh of a live figure
        return _ascending(0, int(values.argmin()), int(values.argmax()), times.size - 1)
    ends = np.append(starts[1:], times.size) - 1
    return np.unique(
        np.concatenate((starts, _lowest(values, starts), _highest(values, starts), ends))
    )


def _starts(keys: Times) -> Indices:
    return np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))


def _buckets(times: Times, width_ns: int) -> Indices:
    # The position at which each bucket begins.
    if times[0] // width_ns == times[-1] // width_ns:
        return np.zeros(1, np.intp)
    return _starts(times // width_ns)


def _ascending(*places: int) -> Indices:
    return np.array(sorted(set(places)), np.intp)


def _lowest(values: Floats, starts: Indices) -> Indices:
    """Find the first position of the lowest value in each group."""
    if values.size >= _LONG * starts.size or starts.size == 1:
        return starts + np.array([part.argmin() for part in np.split(values, starts[1:])], np.intp)
    return _where_equal(values, np.minimum.reduceat(values, starts), starts)


def _highest(values: Floats, starts: Indices) -> Indices:
    """Find the first position of the highest value in each group."""
    if values.size >= _LONG * starts.size or starts.size == 1:
        return starts + np.array([part.argmax() for part in np.split(values, starts[1:])], np.intp)
    return _where_equal(values, np.maximum.reduceat(values, starts), starts)


def _where_equal(values: Floats, wanted: Floats, starts: Indices) -> Indices:
    # The first position in each group that has its group's wanted value.
    sizes = np.diff(np.append(starts, values.size))
    found = np.flatnonzero(values == np.repeat(wanted, sizes))
    groups = np.searchsorted(starts, found, "right")
    return found[_starts(groups)]


def broken(times: Times, values: Floats, breaks: Times) -> tuple[Times, Floats]:
    """Insert a point without a value at each break between points, where the line is to end."""
    places = np.searchsorted(times, breaks, "right")
    inner = (places > 0) & (places < times.size)
    if not inner.any():
        return times, values
    places, breaks = places[inner], breaks[inner]
    return np.insert(times, places, breaks), np.insert(values, places, np.nan)


class Extremes:
    """A line of bounded length, to which any number of rows is added; its extremes are exact.

    Parameters
    ----------
    most
        Most points that it has.
    """

    def __init__(self, most: int) -> None:
        self.times: Times = np.empty(0, np.int64)
        self.values: Floats = np.empty(0)
        self.most = most
        self._width = 0  # ns of a bucket; 0 while every row is kept

    def add(self, times: Times, values: Floats, since: int | None = None) -> None:
        """Add rows; those without a finite value are left out, late ones are sorted in.

        Parameters
        ----------
        times
            ns.
        values
            Of the same length.
        since
            Older rows (ns) are dropped, as by ``drop_before``.
        """
        present = np.isfinite(values)
        if not present.all():
            times, values = times[present], values[present]
        if not times.size:
            return
        first = int(times.min())
        is_late = bool(self.times.size) and first < self.times[-1]
        self.times = np.concatenate((self.times, times))
        self.values = np.concatenate((self.values, values))
        if is_late or (times[1:] < times[:-1]).any():
            order = np.argsort(self.times, kind="stable")
            self.times, self.values = self.times[order], self.values[order]
        if since is not None:
            self.drop_before(since)
        self._thin(first)

    def drop_before(self, time_ns: int) -> None:
        """Drop older points, except the last one: the line comes from there."""
        start = max(0, int(np.searchsorted(self.times, time_ns)) - 1)
        if start:
            self.times, self.values = self.times[start:], self.values[start:]

    def _thin(self, first: int) -> None:
        if self._width:
            self._thin_from(int(np.searchsorted(self.times, first // self._width * self._width)))
        while self.times.size > self.most:
            self._width = _wider(self._width, self.times, self.most)
            self._thin_from(0)

    def _thin_from(self, start: int) -> None:
        kept = thin(self.times[start:], self.values[start:], self._width)
        if kept.size < self.times.size - start:
            kept = np.concatenate((np.arange(start), kept + start))
            self.times, self.values = self.times[kept], self.values[kept]


def _wider(width: int, times: Times, most: int) -> int:
    if width:
        return 2 * width
    # Without the first and the last point, which may lie far outside the picture.
    return bucket_width(int(times[-2] - times[1]) + 1, most) if times.size > 3 else 1


class Bubbles:
    """Trades as a bounded number of bubbles, whose sizes add up to the size traded.

    Where a bucket of time has too many trades, three remain: the one at the highest price, the one
    at the lowest, and the largest of the others. This one represents all that are left out.

    Parameters
    ----------
    most
        Most bubbles.

    Attributes
    ----------
    times, prices
        Place of each bubble; ns.
    sizes
        Size traded in the trades that each bubble represents.
    counts
        Number of those trades.
    """

    def __init__(self, most: int) -> None:
        self.times: Times = np.empty(0, np.int64)
        self.prices: Floats = np.empty(0)
        self.sizes: Floats = np.empty(0)
        self.counts: Floats = np.empty(0)
        self.most = most
        self._own: Floats = np.empty(0)  # size of the very trade at that place
        self._width = 0

    def add(self, times: Times, prices: Floats, sizes: Floats, since: int | None = None) -> None:
        """Add trades; those without a price or size are left out.

        Parameters
        ----------
        times, prices, sizes
            ns, and of the same length.
        since
            Older trades (ns) are dropped.
        """
        present = np.isfinite(prices) & np.isfinite(sizes)
        if not present.any():
            return
        times, prices, sizes = times[present], prices[present], sizes[present]
        first = int(times.min())
        self.times = np.concatenate((self.times, times))
        self.prices = np.concatenate((self.prices, prices))
        self.sizes = np.concatenate((self.sizes, sizes))
        self.counts = np.concatenate((self.counts, np.ones(times.size)))
        self._own = np.concatenate((self._own, sizes))
        if (self.times[1:] < self.times[:-1]).any():
            self._keep(np.argsort(self.times, kind="stable"))
        if since is not None:
            self.drop_before(since)
        self._thin(first)

    def drop_before(self, time_ns: int) -> None:
        """Drop older bubbles."""
        start = int(np.searchsorted(self.times, time_ns))
        if start:
            self._keep(slice(start, None))

    def _thin(self, first: int) -> None:
        if self._width:
            self._join_from(int(np.searchsorted(self.times, first // self._width * self._width)))
        while self.times.size > self.most:
            self._width = _wider(self._width, self.times, self.most)
            self._join_from(0)

    def _join_from(self, start: int) -> None:
        if start >= self.times.size:
            return
        prices, own = self.prices[start:], self._own[start:]
        starts = _buckets(self.times[start:], self._width)
        lowest, highest = _lowest(prices, starts), _highest(prices, starts)
        others = own.copy()
        others[lowest] = others[highest] = -1.0
        largest = _highest(others, starts)
        kept = np.unique(np.concatenate((lowest, largest, highest)))
        if kept.size == prices.size:
            return
        # Highest and lowest represent themselves, the third all the rest of its bucket.
        group = np.searchsorted(starts, kept, "right") - 1
        place = np.searchsorted(kept, largest)
        sizes, counts = own[kept], np.ones(kept.size)
        sizes[place] += np.add.reduceat(self.sizes[start:], starts) - np.bincount(group, sizes)
        counts[place] += np.add.reduceat(self.counts[start:], starts) - np.bincount(group, counts)
        self._keep(np.concatenate((np.arange(start), kept + start)))
        self.sizes[start:], self.counts[start:] = sizes, counts

    def _keep(self, kept: Indices | slice) -> None:
        self.times, self.prices = self.times[kept], self.prices[kept]
        self.sizes, self.counts = self.sizes[kept], self.counts[kept]
        self._own = self._own[kept]


class Sums:
    """Sums of some columns per bucket of time.

    Parameters
    ----------
    columns
        Number of values in a row.
    buckets
        Most buckets.
    least_ns
        The shortest span that is shown; it sets the narrowest buckets.
    most_ns
        The longest span that is shown; left out: any.
    """

    def __init__(
        self, columns: int, buckets: int, least_ns: int = 1, most_ns: int | None = None
    ) -> None:
        self.keys: Times = np.empty(0, np.int64)
        self.sums: Floats = np.empty((columns, 0))
        self._buckets = buckets
        self._widest = None if most_ns is None else bucket_width(most_ns, buckets)
        self.width = bucket_width(least_ns, buckets)

    @property
    def centers(self) -> Times:
        """The middle of each bucket, ns."""
        return self.keys * self.width + self.width // 2

    def add(self, times: Times, values: Floats, since: int | None = None) -> None:
        """Add rows; ``values`` has the shape (columns, rows) and holds no missing value.

        Buckets that end before ``since`` (ns) are dropped.
        """
        if since is not None:
            self.drop_before(since)
            times, values = times[times >= since], values[:, times >= since]
        if not times.size:
            return
        self._refit(times)
        self._merge(times // self.width, values)

    def drop_before(self, time_ns: int) -> None:
        """Drop buckets that end before a time."""
        start = int(np.searchsorted(self.keys, time_ns // self.width))
        self.keys, self.sums = self.keys[start:], self.sums[:, start:]

    def _refit(self, times: Times) -> None:
        begin, end = int(times.min()), int(times.max())
        if self.keys.size:
            begin = min(begin, int(self.keys[0]) * self.width)
            end = max(end, int(self.keys[-1]) * self.width)
        width = max(self.width, bucket_width(end - begin + 1, self._buckets))
        width = width if self._widest is None else min(width, self._widest)
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
