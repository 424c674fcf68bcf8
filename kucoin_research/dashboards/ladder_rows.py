"""The rows of a ladder: levels of the book in groups of prices, with exact sums, as texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import floor, log10
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from kucoin_research.figures.book_levels import Levels
from kucoin_research.figures.time_axis import Floats
from kucoin_research.figures.whole_steps import Steps, decimal_places, to_steps, written
from kucoin_research.model.size_unit import SizeUnit

__all__ = ["GROUPS", "Ladder", "LadderRow", "LadderRows", "LadderSide"]

#: Widths of a group of prices, in ticks.
GROUPS = (1, 2, 5, 10, 20, 50, 100)

_DIGITS = 8  # of a cumulated size that has decimals
_FIGURES = 4  # of the largest worth, with its decimals

_Ints = npt.NDArray[np.int64]


class LadderRow(NamedTuple):
    """One row: texts, the length of its bar in percent, and the size of own orders.

    A text that begins with ``≥`` is of a group that the book does not reach to the end of.
    """

    price: str
    size: str
    cumulated: str
    share: int
    own: str


@dataclass(frozen=True)
class LadderSide:
    """The rows of one side, best first.

    Attributes
    ----------
    rows
        As they are shown.
    sizes
        By price, in whole steps, each size as the exchange counts it.
    reach
        The price of the last level that is known.
    is_up
        Whether prices go up from row to row, as those of asks do.
    """

    rows: list[LadderRow] = field(default_factory=list)
    sizes: dict[int, int] = field(default_factory=dict)
    reach: str = ""
    is_up: bool = False

    def size_at(self, price: int) -> int | None:
        """Return the size at a price: 0 where none rested, ``None`` beyond the last row."""
        known = self.sizes.get(price)
        if known is not None or not self.sizes:
            return known
        last = next(reversed(self.sizes))
        return 0 if (price < last if self.is_up else price > last) else None


@dataclass(frozen=True)
class Ladder:
    """Both sides of a ladder, and the texts of the row between them.

    ``places`` are the decimals of the whole steps that prices and sizes are counted in.
    """

    asks: LadderSide = field(default_factory=LadderSide)
    bids: LadderSide = field(default_factory=LadderSide)
    spread: str = ""
    mid: str = ""
    places: tuple[int, int] = (0, 0)


class _Grouped(NamedTuple):
    prices: _Ints  # in steps
    sizes: Steps
    shown: Steps  # the sizes in the unit, in its own steps
    totals: Steps
    is_partial: bool  # whether the last group goes on behind the last level


class LadderRows:
    """Makes the rows of one symbol's ladder from its books.

    Parameters
    ----------
    unit
        The unit of the sizes.
    tick
        The step of prices; ``None``: their last decimal place.

    Notes
    -----
    It learns the decimals that prices and sizes have, so that columns keep their width.
    """

    def __init__(self, unit: SizeUnit, tick: float | None = None) -> None:
        self.unit = unit
        self._tick = None if tick is None else Decimal(repr(tick))
        self._price_places = 0
        if self._tick is not None:
            self._price_places = max(0, -int(self._tick.normalize().as_tuple().exponent))
        self._size_places = 0
        self._worth_places = -1
        factor = Decimal(repr(unit.factor)).normalize()
        self._factor_places = max(0, -int(factor.as_tuple().exponent))
        self._factor = int(factor.scaleb(self._factor_places))

    @property
    def group_names(self) -> list[str]:
        """The width of each of ``GROUPS``, as a price."""
        return [written(each * self._step, self._price_places) for each in GROUPS]

    @property
    def _step(self) -> int:
        if self._tick is None:
            return 1
        return int(self._tick.scaleb(self._price_places))

    def make(
        self,
        levels: Levels,
        count: int,
        *,
        group: int = 1,
        own: Mapping[float, float] | None = None,
    ) -> Ladder:
        """Make the rows of a book.

        Parameters
        ----------
        levels
            The book, which is not crossed.
        count
            Rows of each side, at most.
        group
            Ticks per row. Bids are rounded down and asks up, so that no row crosses the spread.
        own
            Sizes of own orders by price, as the exchange counts them.
        """
        self._learn(levels)
        width = group * self._step
        bids = self._grouped(levels.bids, levels.bid_sizes, width, is_up=False)
        asks = self._grouped(levels.asks, levels.ask_sizes, width, is_up=True)
        mine = self._owned(levels, own or {}, width)
        parts = [each for side in (bids, asks) for each in side.shown[:count].tolist()]
        most = max(parts, default=0)
        return Ladder(
            self._side(asks, levels.asks, count, most, own=mine, is_up=True),
            self._side(bids, levels.bids, count, most, own=mine, is_up=False),
            *self._middle(levels),
            places=(self._price_places, self._size_places),
        )

    def _learn(self, levels: Levels) -> None:
        prices = np.concatenate((levels.bids, levels.asks))
        sizes = np.concatenate((levels.bid_sizes, levels.ask_sizes))
        places = decimal_places(prices, self._price_places)
        if places > self._price_places or (prices.size and self._is_off_tick(prices)):
            self._tick, self._price_places = None, places
        self._size_places = decimal_places(sizes, self._size_places)
        if self.unit.power and sizes.size:
            worth = float(self.unit.of(sizes, prices).max())
            places = max(0, _FIGURES - 1 - floor(log10(worth))) if worth > 0 else 0
            if self._worth_places < 0 or places < self._worth_places:
                self._worth_places = min(places, _DIGITS)

    def _is_off_tick(self, prices: Floats) -> bool:
        # The tick of a contract may have changed since: then its last decimal place stands in.
        step = self._step
        return step > 1 and bool((to_steps(prices, self._price_places) % step).any())

    def _grouped(self, prices: Floats, sizes: Floats, width: int, *, is_up: bool) -> _Grouped:
        if not prices.size:
            none = np.empty(0, np.int64)
            return _Grouped(none, none, none, none, is_partial=False)
        steps = to_steps(prices, self._price_places)
        groups = -(-steps // width) * width if is_up else steps // width * width
        starts = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
        counted = to_steps(sizes, self._size_places)
        sums = np.add.reduceat(counted, starts)
        if self.unit.power:
            worth = np.add.reduceat(self.unit.of(sizes, prices), starts)
            shown = to_steps(worth, self._worth_places)
            totals = to_steps(np.cumsum(worth), self._worth_places)
        else:
            shown = self._scaled(sums)
            totals = np.cumsum(shown)
        # A group ends at the price that it is named by, the one farthest from the spread. Whether
        # the book goes on behind its last level is not known of any channel.
        is_partial = int(steps[-1]) != int(groups[-1])
        return _Grouped(groups[starts], sums, shown, totals, is_partial)

    def _scaled(self, sums: Steps) -> Steps:
        if self._factor == 1:
            return sums
        if int(sums.max()) * self._factor * len(sums) < 2**62:
            return sums * self._factor
        return sums.astype(object) * self._factor

    @property
    def _places(self) -> int:
        if self.unit.power:
            return max(self._worth_places, 0)
        return self._size_places + self._factor_places

    def _owned(self, levels: Levels, own: Mapping[float, float], width: int) -> dict[int, float]:
        mid, found = levels.mid, dict[int, float]()
        for price, size in own.items():
            step = int(to_steps(np.array([price]), self._price_places)[0])
            is_bid = price < mid if mid is not None else bool(levels.bids.size)
            key = step // width * width if is_bid else -(-step // width) * width
            found[key] = found.get(key, 0.0) + float(self.unit.of(size, price))
        return found

    def _side(
        self,
        grouped: _Grouped,
        prices: Floats,
        count: int,
        most: int,
        *,
        own: dict[int, float],
        is_up: bool,
    ) -> LadderSide:
        keys = grouped.prices[:count].tolist()
        shown, totals = grouped.shown[:count].tolist(), grouped.totals[:count].tolist()
        ends_partial = grouped.is_partial and len(grouped.prices) <= count
        places, price_places = self._places, self._price_places
        cut = _spare_places(int(grouped.totals[-1]), places) if keys else 0
        rows = []
        for place, (key, size, total) in enumerate(zip(keys, shown, totals, strict=True)):
            least = "≥" if ends_partial and place == len(keys) - 1 else ""
            rows.append(
                LadderRow(
                    written(key, price_places),
                    least + written(size, places),
                    least + written(_rounded(total, cut), places - cut),
                    -(-100 * size // most) if most else 0,
                    self._own_text(own[key]) if key in own else "",
                )
            )
        sizes = dict(zip(keys, grouped.sizes[:count].tolist(), strict=True))
        reach = self._price(float(prices[-1])) if prices.size else ""
        return LadderSide(rows, sizes, reach, is_up)

    def _own_text(self, size: float) -> str:
        return written(round(size * 10**self._places), self._places)

    def _price(self, price: float) -> str:
        return written(int(to_steps(np.array([price]), self._price_places)[0]), self._price_places)

    def _middle(self, levels: Levels) -> tuple[str, str]:
        if levels.mid is None:
            return "", ""
        bid, ask = to_steps(np.array([levels.bids[0], levels.asks[0]]), self._price_places).tolist()
        places = self._price_places
        apart = (ask - bid) / (ask + bid) * 2e4
        # The middle of two prices has one decimal more than they have.
        half = written((bid + ask) * 5, places + 1)
        return f"{written(ask - bid, places)} · {apart:.2f} bp", half


def _spare_places(total: int, places: int) -> int:
    """Count the decimals that a total can do without."""
    return max(0, min(places, len(str(abs(total))) - _DIGITS))


def _rounded(steps: int, places: int) -> int:
    return (steps + 10**places // 2) // 10**places if places else steps
