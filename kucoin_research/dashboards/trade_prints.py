"""The rows of the tape: the newest trades of at least a size, as texts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from kucoin_research.dashboards.formatting import clock, compact, fixed
from kucoin_research.dashboards.panel import TradeTape
from kucoin_research.figures.columns import events, nanoseconds, numbers, sides
from kucoin_research.figures.decimals import Decimals
from kucoin_research.figures.time_axis import Floats, Zone
from kucoin_research.model.size_unit import SizeUnit

__all__ = ["TAPE_ROWS", "TradePrints"]

TAPE_ROWS = 40
_COMPARED = 1_000  # newest trades whose sizes a print is compared with
_LARGEST = 0.02  # share of them that counts as large
_LEAST_COMPARED = 50  # of fewer, none is called large


class TradePrints:
    """Keeps the newest trades of at least a size, written as rows of the tape.

    A print is large if it is among the largest 2 % of the newest 1,000 trades.

    Parameters
    ----------
    recall
        Returns all trades of the symbol that the source still has, for another size.
    zone
        Time zone of the times, which are written to the millisecond.
    decimals
        The number of decimals of prices.
    unit
        The unit of sizes; each trade is converted at its own price.

    Attributes
    ----------
    least
        Trades of a smaller size are left out, from the next ``look`` on; 0 shows all. Any thread
        may set it; the rest is for the thread that reads.
    """

    def __init__(
        self,
        recall: Callable[[], pl.DataFrame],
        zone: Zone,
        decimals: Decimals,
        unit: SizeUnit,
    ) -> None:
        self.least = 0.0
        self._recall, self._zone, self._decimals, self._unit = recall, zone, decimals, unit
        self.restart()

    def restart(self) -> None:
        """Begin again without any trade."""
        self._used = self.least
        self._newest = 0  # arrival of the newest trade taken, ns
        self._sizes: Floats = np.empty(0)
        self._empty()

    def _empty(self) -> None:
        self._rows: deque[list[str]] = deque(maxlen=TAPE_ROWS)
        self._passed = self._seen = 0

    def look(self) -> None:
        """Choose among the trades of before, if another size was set since."""
        if self.least == self._used:
            return
        self._used = self.least
        self._empty()
        if self._newest:
            # Later trades are still to come by ``take``.
            rows = self._recall()
            self._add(rows.filter(pl.Series(nanoseconds(rows["local_timestamp"]) <= self._newest)))

    def take(self, rows: pl.DataFrame) -> None:
        """Add new trades, in order of arrival."""
        self._newest = int(nanoseconds(rows["local_timestamp"][-1:])[0])
        sizes = self._sizes_of(rows[-_COMPARED:])
        self._sizes = np.concatenate((self._sizes, sizes[np.isfinite(sizes)]))[-_COMPARED:]
        self._add(rows)

    def _add(self, rows: pl.DataFrame) -> None:
        self._seen += rows.height
        if self._used > 0:
            rows = rows.filter(pl.Series(self._sizes_of(rows) >= self._used))
        self._passed += rows.height
        rows = rows[-TAPE_ROWS:]
        columns = zip(
            clock(events(rows), self._zone, has_ms=True),
            numbers(rows, "price").tolist(),
            self._sizes_of(rows).tolist(),
            sides(rows).tolist(),
            strict=True,
        )
        large = self._large()
        for time, price, size, side in columns:
            word = "buy" if side > 0 else "sell" if side < 0 else ""
            mark = "large" if size > large else ""
            row = [time, fixed(price, self._decimals.count), compact(size), word, mark]
            self._rows.append(row)

    def _sizes_of(self, rows: pl.DataFrame) -> Floats:
        return self._unit.of(numbers(rows, "size"), numbers(rows, "price"))

    def _large(self) -> float:
        if self._sizes.size < _LEAST_COMPARED:
            return np.inf
        return float(np.quantile(self._sizes, 1 - _LARGEST))

    def texts(self) -> dict[str, Any]:
        """Return the texts of the tape.

        ``tape`` has the newest rows, the newest last: time, price, size, the taker's side, and
        ``large`` or nothing. ``tape:filter`` has the least size, the number of trades of at least
        that, and the number of trades that were looked at.
        """
        return {
            "tape": TradeTape(self._passed, list(self._rows), self._used),
            "tape:filter": [self._used, self._passed, self._seen],
            "tape:zone": self._zone.name,
        }
