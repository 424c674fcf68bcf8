"""Candles as arrays: made of trades or taken as they come, and joined to longer ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.errors import InvalidInput
from kucoin_research.figures.columns import nanoseconds, numbers
from kucoin_research.figures.shown_sizes import NATIVE, ShownSizes
from kucoin_research.figures.time_axis import Floats, Times
from kucoin_research.model.intervals import parse_interval

__all__ = ["COLUMNS", "CandleBars", "Candles", "fitting", "length_words", "longer"]

_SECOND = 1_000_000_000
# Each divides the next, so that candles can be joined.
_LADDER = tuple(n * _SECOND for n in (1, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400))
_NAMES = (
    (86_400 * _SECOND, "day"), (3_600 * _SECOND, "hour"), (60 * _SECOND, "min"), (_SECOND, "s"),
)  # fmt: skip
_UNKNOWN = 60 * _SECOND  # the interval of a single bar that does not say it
_MOST = 100_000  # candles held
_MOST_NS = (1 << 63) - 1
_LESS = 1 - 1e-6  # exchanges round a turnover
#: Bars that end with an amount, as ``ohlcv`` states them, and their words.
_AMOUNTS = {
    "volume": "bars by volume of {}",
    "notional": "bars by turnover of {}",
    "ticks": "bars of {} trades",
}

COLUMNS = ("open", "high", "low", "close", "volume", "notional")
# The volume in a unit that depends on the price, and the part of it that is an estimate.
_CONVERTED = ("converted", "estimated")
Columns = dict[str, Floats]
Booleans = npt.NDArray[np.bool_]


class Candles(NamedTuple):
    """Candles to draw.

    Attributes
    ----------
    opens, ends, width
        Open times in order, the ends, and the interval, ns. Bars of unequal length have the least.
    columns
        Those of ``COLUMNS``, as the exchange counts sizes, and more.
    vwap
        At the end of each.
    """

    opens: Times
    ends: Times
    width: int
    columns: Columns
    vwap: Floats


def fitting(length: int, most: int) -> int:
    """Choose the shortest usual interval, ns, that needs at most ``most`` candles for a length."""
    usual = next((each for each in _LADDER if length <= each * most), _LADDER[-1])
    while length > usual * most:
        usual *= 2
    return usual


def longer(width: int, least: int) -> int:
    """Choose the shortest usual interval, ns, of at least a length that is a multiple of another.

    Where no usual one is, the interval is doubled until it suffices.
    """
    multiples = [each for each in _LADDER if each > width and each % width == 0]
    longest = multiples[-1] if multiples else width
    while longest < least:
        longest *= 2
    return next((each for each in (width, *multiples) if each >= least), longest)


def length_words(width: int) -> str:
    """Name the interval of candles, ns, such as ``5 min``."""
    for length, label in _NAMES:
        if width % length == 0:
            return f"{width // length} {label}"
    return f"{width / 1e6:g} ms"


class CandleBars:
    """Holds candles of one interval, ordered by their open time.

    Parameters
    ----------
    width
        Interval of candles that are made of trades, ns; that asked for, unless it is free.
    is_free
        Whether this interval may grow, so that all trades have room. Otherwise the oldest candles
        are forgotten.
    sizes
        The unit that volumes are shown in; left out: the exchange's.

    Attributes
    ----------
    opens, columns
        Open times, ns, and the columns of ``COLUMNS``, and more.
    is_of_trades, is_of_mids
        Whether they are made of trades; whether they are bars of the mid, which have no volume.
    stated
        The interval as the rows state it, such as ``1min`` or ``volume:50``.
    """

    def __init__(self, width: int, *, is_free: bool, sizes: ShownSizes = NATIVE) -> None:
        self._sizes = sizes
        names = (*COLUMNS, *_CONVERTED) if self._sizes.depends_on_price else COLUMNS
        self.opens: Times = np.empty(0, np.int64)
        self.columns: Columns = {name: np.empty(0) for name in names}
        self.is_of_trades = False
        self.is_of_mids = False
        self._width = width
        self.stated = ""  # the interval as the rows state it
        self._stated = 0  # the same in ns; 0 where that is no fixed length
        self._months = 0  # the same in months
        self._last_end = 0  # end of the newest bar, ns, where the rows state it
        self._is_free = is_free
        self._passed = np.zeros(2)  # notional and volume of the candles that were forgotten

    @property
    def width(self) -> int:
        """The interval of the candles, ns; of those of unequal length, the least."""
        if self.is_of_trades:
            return self._width
        if self._stated:
            return self._stated
        if not self.is_regular:
            return max(int((self.ends - self.opens).min(initial=_MOST_NS)), 1)
        if self.opens.size < 2:
            return _UNKNOWN if self._is_free else self._width
        least = int(np.diff(self.opens).min())
        # Each may have a hole beside it, so an interval that was asked for may be theirs.
        return least if self._is_free or least % self._width else self._width

    @property
    def is_regular(self) -> bool:
        """Whether they have one interval, as months and bars of a volume do not."""
        if self.is_of_trades or self._stated:
            return True
        if self._months or self.is_by_amount:
            return not self.opens.size
        apart = np.diff(self.opens)
        return not apart.size or not (apart % apart.min()).any()

    @property
    def is_by_amount(self) -> bool:
        """Whether a bar ends with an amount that was traded, rather than with a time."""
        return not self.is_of_trades and self.stated.partition(":")[0] in _AMOUNTS

    @property
    def words(self) -> str:
        """Name the bars that have no interval, for a title."""
        if self._months:
            return f"{self._months} month candles"
        kind, _, amount = self.stated.partition(":")
        return _AMOUNTS[kind].format(amount) if kind in _AMOUNTS else "candles of unequal length"

    @property
    def ends(self) -> Times:
        """The end of each candle, ns; where it is not known, the next one's open."""
        if self.is_regular or not self.opens.size:
            return self.opens + (self.width if self.is_regular else 0)
        if self._months:
            month = self.opens.astype("datetime64[ns]").astype("datetime64[M]")
            begin, end = (each.astype("datetime64[ns]") for each in (month, month + self._months))
            lengths: Times = (end - begin).astype(np.int64)
            return self.opens + lengths
        apart = np.diff(self.opens)
        usual = int(np.median(apart)) if apart.size else _UNKNOWN
        last = self._last_end if self._last_end > self.opens[-1] else int(self.opens[-1]) + usual
        return np.append(self.opens[1:], np.int64(last))

    def take(self, rows: pl.DataFrame, times: Times) -> None:
        """Add trades or candles with their times, ns."""
        self.is_of_trades = "open" not in rows.columns
        self.is_of_mids = not self.is_of_trades and "volume" not in rows.columns
        if self.is_of_trades:
            self._add(*_of_trades(rows, times, self._width, self._sizes))
        else:
            self._state(rows)
            self._replace(*_of_candles(rows, times, self._sizes))
        self._bound()

    def precede(self, rows: pl.DataFrame, times: Times) -> None:
        """Add candles from before the first trade.

        None of the trades that are taken may be in them. If they are longer, trades make candles of
        their interval.
        """
        self.is_of_trades = True
        stated = rows["interval"].unique().drop_nulls()
        longest = max(parse_interval(str(each)).ns or 0 for each in stated)
        self._width = max(self._width, longest)
        opens, columns = _of_candles(rows, times, self._sizes)
        self._add(opens // self._width * self._width, columns)
        self._bound()

    def _state(self, rows: pl.DataFrame) -> None:
        """Note the interval that the newest row states."""
        stated = rows["interval"][-1] if "interval" in rows.columns else None
        self.stated = "" if stated is None else str(stated)
        try:
            interval = parse_interval(stated, "interval")
        except InvalidInput:  # bars by volume, or a column of somebody's own: their times count
            self._stated = self._months = 0
        else:
            self._stated = interval.ns or 0
            self._months = 0 if interval.ns else interval.number
        if "close_time" in rows.columns:
            self._last_end = int(nanoseconds(rows["close_time"][-1:])[0])

    def _add(self, opens: Times, columns: Columns) -> None:
        self.opens, self.columns = _joined(
            np.concatenate((self.opens, opens)),
            {name: np.concatenate((held, columns[name])) for name, held in self.columns.items()},
        )

    def _replace(self, opens: Times, columns: Columns) -> None:
        # Each push of a candle holds the whole candle, so the newest push replaces the others.
        if self.opens.size and opens.size and opens[0] <= self.opens[-1]:
            kept = ~np.isin(self.opens, opens)
            self.opens = self.opens[kept]
            self.columns = {name: values[kept] for name, values in self.columns.items()}
        self._add(opens, columns)

    def _bound(self) -> None:
        while self.opens.size > _MOST and self.is_of_trades and self._is_free:
            self._width = next((w for w in _LADDER if w > self._width), 2 * self._width)
            self.opens, self.columns = _joined(
                self.opens // self._width * self._width, self.columns
            )
        extra = self.opens.size - _MOST
        if extra > 0:
            for place, name in enumerate(("notional", "volume")):
                self._passed[place] += np.nansum(self.columns[name][:extra])
            self.opens = self.opens[extra:]
            self.columns = {name: values[extra:] for name, values in self.columns.items()}

    def within(self, span: tuple[int, int], width: int) -> Candles:
        """Return the candles that have a part in a span of time, ns.

        They are joined to an interval, ns, which is a multiple of their own.
        """
        notional = np.cumsum(self.columns["notional"]) + self._passed[0]
        volume = np.nancumsum(self.columns["volume"]) + self._passed[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            vwap = notional / volume
        is_joined = width != self.width
        opens = self.opens // width * width if is_joined else self.opens
        ends = opens + width if is_joined else self.ends
        low = int(np.searchsorted(ends, span[0], "right"))
        part = slice(low, int(np.searchsorted(opens, span[1], "right")))
        opens, ends, vwap = opens[part], ends[part], vwap[part]
        columns = {name: values[part] for name, values in self.columns.items()}
        if not is_joined:
            return Candles(opens, ends, width, columns, vwap)
        last = np.append(opens[1:] != opens[:-1], np.ones(min(opens.size, 1), bool))
        opens, columns = _joined(opens, columns)
        return Candles(opens, opens + width, width, columns, vwap[last])

    def volumes(self, candles: Candles) -> tuple[Floats, Booleans]:
        """Return volumes in the unit that is shown, and which of them are estimates.

        A volume is one where its trades' own prices are not known.
        """
        columns = candles.columns
        if self._sizes.depends_on_price:
            return columns["converted"], columns["estimated"] > 0
        volume = columns["volume"]
        return self._sizes.of(volume, columns["close"]), np.zeros(volume.size, bool)

    def count(self, span: tuple[int, int], width: int) -> int:
        """Count the candles of an interval that have a part in a span of time, ns."""
        low = np.searchsorted(self.ends, span[0], "right")
        high = np.searchsorted(self.opens, span[1], "right")
        opens = self.opens[low:high] // width
        return int((opens[1:] != opens[:-1]).sum()) + min(opens.size, 1)


def _of_trades(
    rows: pl.DataFrame, times: Times, width: int, sizes: ShownSizes
) -> tuple[Times, Columns]:
    price, size = numbers(rows, "price"), numbers(rows, "size")
    present = np.isfinite(price) & np.isfinite(size)
    price, size, opens = price[present], size[present], times[present] // width * width
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    columns = {**prices, "volume": size, "notional": price * size}
    if sizes.depends_on_price:
        columns |= {"converted": sizes.of(size, price), "estimated": np.zeros(size.size)}
    return _joined(opens, columns)


def _of_candles(rows: pl.DataFrame, times: Times, sizes: ShownSizes) -> tuple[Times, Columns]:
    prices = [numbers(rows, name) for name in COLUMNS[:4]]
    known = np.flatnonzero(np.isfinite(prices).all(axis=0))  # the others are no candles
    order = known[np.argsort(times[known], kind="stable")]
    last = order[
        np.append(times[order][1:] != times[order][:-1], np.ones(min(order.size, 1), bool))
    ]
    columns = {name: values[last] for name, values in zip(COLUMNS, prices, strict=False)}
    # Bars of the mid have no volume, hence no VWAP.
    volume = numbers(rows, "volume")[last] if "volume" in rows.columns else np.zeros(last.size)
    columns["volume"] = np.where(np.isfinite(volume), volume, np.nan)
    columns["notional"] = _notional(rows, last, columns)
    if sizes.depends_on_price:
        columns |= _converted(rows, last, columns, sizes)
    return times[last], columns


def _notional(rows: pl.DataFrame, chosen: Sequence[int] | Times, columns: Columns) -> Floats:
    # Pushed futures candles have no turnover: volume at the typical price stands in. Those of REST
    # have one for volumes in contracts, which are a fraction of a coin each: it is of no use then.
    low, high, volume = columns["low"], columns["high"], columns["volume"]
    typical = (high + low + columns["close"]) / 3 * volume
    if "turnover" not in rows.columns:
        return np.nan_to_num(typical)
    turnover = numbers(rows, "turnover")[chosen]
    is_of_size = _is_between(turnover, low * volume, high * volume)
    return np.nan_to_num(np.where(is_of_size, turnover, typical))


def _converted(rows: pl.DataFrame, chosen: Times, columns: Columns, sizes: ShownSizes) -> Columns:
    """Convert the volumes of candles, whose trades had any prices from the low to the high.

    The exchange's turnover is exact where it is in the unit. Where it is in another one, or absent,
    the volume at the candle's typical price stands in: an estimate.
    """
    low, high, volume = columns["low"], columns["high"], columns["volume"]
    typical = (high + low + columns["close"]) / 3
    estimate = sizes.of(volume, typical)
    if "turnover" not in rows.columns:
        return {"converted": estimate, "estimated": np.nan_to_num(estimate)}
    turnover = numbers(rows, "turnover")[chosen]
    least, most = np.sort((sizes.of(volume, low), sizes.of(volume, high)), axis=0)
    is_of_unit = _is_between(turnover, least, most)
    converted = np.where(is_of_unit, turnover, estimate)
    return {
        "converted": converted,
        "estimated": np.where(is_of_unit, 0.0, np.nan_to_num(estimate)),
    }


def _is_between(values: Floats, least: Floats, most: Floats) -> Booleans:
    return (values >= least * _LESS) & (values * _LESS <= most)


def _joined(opens: Times, columns: Columns) -> tuple[Times, Columns]:
    """Join the candles, or trades, of each open time into one candle."""
    if not opens.size:
        return opens, columns
    if (opens[1:] < opens[:-1]).any():
        order = np.argsort(opens, kind="stable")
        opens, columns = opens[order], {name: values[order] for name, values in columns.items()}
    starts = np.flatnonzero(np.append(True, opens[1:] != opens[:-1]))
    ends = np.append(starts[1:], opens.size) - 1
    sums = {
        name: np.add.reduceat(values, starts)
        for name, values in columns.items()
        if name not in COLUMNS[:4]
    }
    return opens[starts], {
        "open": columns["open"][starts],
        "high": np.maximum.reduceat(columns["high"], starts),
        "low": np.minimum.reduceat(columns["low"], starts),
        "close": columns["close"][ends],
        **sums,
    }
