"""Rows of others in our columns, and the exact comparison with ours."""

from decimal import Decimal
from itertools import groupby

import polars as pl

MS = 1_000_000


def rows_of(frame):
    """List a frame's rows as dicts; times as integer ns."""
    times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    return frame.with_columns(pl.col(times).to_physical()).drop("local_timestamp").to_dicts()


def index(frame, *keys):
    """Index a frame's rows by these columns, which name a row uniquely."""
    rows = rows_of(frame)
    found = {tuple(row[key] for key in keys): row for row in rows}
    assert len(found) == len(rows), f"{keys} do not tell our own rows apart"
    return found


def agree(theirs, ours, *keys):
    """Compare each of their rows, field by field and exactly, with ours of the same key."""
    known = index(ours, *keys)
    for row in theirs:
        key = tuple(row[name] for name in keys)
        assert key in known, f"they saw {dict(zip(keys, key, strict=True))}, and we did not: {row}"
        wrong = {
            name: (value, known[key][name])
            for name, value in row.items()
            if not same(value, known[key][name])
        }
        assert not wrong, f"at {key} they have, and we have: {wrong}"
    return len(theirs)


def agree_on_pushes(theirs, ours):
    """Compare rows that have no number of their own: each of theirs is one of ours in full."""
    known = {tuple(row.items()) for row in rows_of(ours)}
    for row in theirs:
        full = {name: row[name] for name in rows_of(ours.head(1))[0] if name in row}
        narrowed = known if len(full) == len(ours.columns) - 1 else _narrow(known, set(full))
        assert tuple(full.items()) in narrowed, f"no push of ours is {full}"
    return len(theirs)


def _narrow(known, names):
    return {tuple((name, value) for name, value in row if name in names) for row in known}


def same(value, ours):
    """Whether two values are the same: no tolerance, but 5 and 5.0 are one number."""
    if isinstance(value, bool) or isinstance(ours, bool):
        return value is ours
    return value == ours


def number(text):
    """Read a number that came as text or as a JSON number."""
    return None if text is None else float(text)


def holes(data, path=""):
    """List the fields for which the client knows a name and the exchange sent nothing."""
    if isinstance(data, dict):
        return [hole for name, value in data.items() for hole in holes(value, f"{path}.{name}")]
    if isinstance(data, list):
        return sorted({hole for value in data for hole in holes(value, f"{path}[]")})
    return [path.lstrip(".")] if data is None else []


def levels(side):
    """Read book levels as pairs of floats."""
    return [(float(price), float(size)) for price, size, *_ in side]


def depth5(bids, asks):
    """Spread levels over the columns of the depth5 channel."""
    columns = {}
    for name, side in (("bid", levels(bids)), ("ask", levels(asks))):
        padded = [*side, *[(None, None)] * (5 - len(side))]
        for place, (price, size) in enumerate(padded, 1):
            columns |= {f"{name}_price_{place}": price, f"{name}_size_{place}": size}
    return columns


def depth50(bids, asks):
    """Spread levels over the columns of the depth50 channel."""
    columns = {}
    for name, side in (("bid", levels(bids)), ("ask", levels(asks))):
        columns |= {f"{name}_prices": [price for price, _ in side]}
        columns |= {f"{name}_sizes": [size for _, size in side]}
    return columns


def percent(fraction):
    """Give a fraction as ccxt's exact decimal arithmetic gives its percentage."""
    return float(Decimal(repr(fraction)) * 100)


def ccxt_ms(time_ns):
    """Give ns as ccxt does: by float arithmetic, which loses a millisecond at times."""
    return int(float(time_ns) * 0.000001)


class Books:
    """Our level2 rows of one symbol as the books that they make, by sequence.

    Asked in rising order. A spot book that has moved to the edge of its snapshot is fetched afresh,
    so there can be several snapshots; from each one on, the rows start over.
    """

    def __init__(self, frame, symbol):
        rows = rows_of(frame.filter(pl.col("symbol") == symbol))
        self.first, self.last = rows[0]["sequence"], rows[-1]["sequence"]
        assert rows[0]["is_snapshot"], "our own book began without a snapshot"
        self._steps = [
            (sequence, is_snapshot, list(step))
            for (sequence, is_snapshot), step in groupby(
                rows, key=lambda row: (row["sequence"], row["is_snapshot"])
            )
        ]
        assert self._steps == sorted(self._steps, key=lambda step: step[0])
        self._done = 0

    def at(self, sequence):
        """Give bids and asks, best first, right after this sequence, and the prices known then."""
        assert self.first <= sequence <= self.last
        while self._done < len(self._steps) and self._steps[self._done][0] <= sequence:
            _, is_snapshot, rows = self._steps[self._done]
            self._apply(is_snapshot, rows)
            self._done += 1
        bids, asks = self._sides["buy"], self._sides["sell"]
        return sorted(bids.items(), reverse=True), sorted(asks.items()), self._bounds

    def _apply(self, is_snapshot, rows):
        if is_snapshot:
            self._sides = {"buy": {}, "sell": {}}
        for row in rows:
            side, price = self._sides[row["side"]], row["price"]
            if row["size"]:
                side[price] = row["size"]
            else:
                side.pop(price, None)
        if is_snapshot:
            self._bounds = bounds(*(list(self._sides[side].items()) for side in ("buy", "sell")))


def bounds(bids, asks):
    """Give the lowest bid and the highest ask of a snapshot: between them everything is known."""
    return min(price for price, _ in bids), max(price for price, _ in asks)


def agree_on_books(theirs, snapshot, books):
    """Compare whole books at the same sequence, as far as both snapshots reached."""
    lowest, highest = bounds(levels(snapshot["bids"]), levels(snapshot["asks"]))
    compared = 0
    for book in sorted(theirs, key=lambda each: each["nonce"]):
        *ours, known = books.at(book["nonce"])
        low, high = max(lowest, known[0]), min(highest, known[1])
        for side, mine in zip(("bids", "asks"), ours, strict=True):
            told = [level for level in levels(book[side]) if low <= level[0] <= high]
            expected = [level for level in mine if low <= level[0] <= high]
            assert told == expected, f"{side} at {book['nonce']}"
            compared += len(told)
    assert compared > 10 * len(theirs), "the books hardly overlap"
    return len(theirs)
