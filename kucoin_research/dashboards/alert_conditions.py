"""The conditions of alerts: a threshold in words such as ``spread > 2``, or a polars expression.

A condition keeps whether it held for the newest row: it is news only when it begins to hold.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.figures.columns import best_quotes, lags_of, numbers
from kucoin_research.figures.decimals import plain
from kucoin_research.figures.line_charts import QUOTES
from kucoin_research.figures.time_axis import Floats, Times
from kucoin_research.foundation.callbacks import describe
from kucoin_research.model.channels import parse_channel
from kucoin_research.model.source import LiveSource, is_stream

__all__ = [
    "Condition", "Expression", "GapAlert", "RowCondition", "Silence", "Threshold", "condition_of",
    "number",
]  # fmt: skip

#: Rows before the new ones that an expression sees, so that its windows are whole.
ROWS_BEFORE = 1_000

_PRICES = ("trade", "ticker")
_TIMED = ("trade", "ticker", "bbo", "depth5", "depth50", "level2", "mark_price")
_WORDS = re.compile(r"\s*([a-z]+)\s*(>=|<=|>|<|crosses)\s*(\S+?)\s*(%|bp|ms|s)?\s*", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(\d+|\d{1,3}(,\d{3})+)(\.\d*)?(e[-+]?\d+)?", re.IGNORECASE)
_HOW = (
    "write it as 'price > 65000', 'spread > 2 bp', 'funding crosses 0 %', 'lag > 500 ms' or 'gap'"
)

_Read = Callable[[pl.DataFrame, LiveSource], Floats]


class _Quantity(NamedTuple):
    """A number that each row of some channels has, its unit in a condition, and how it is read."""

    unit: str
    channels: tuple[str, ...]
    read: _Read


def _column(name: str, factor: float = 1.0) -> _Read:
    return lambda rows, _: numbers(rows, name) * factor


def _quote(of: Callable[[Floats, Floats, Floats, Floats], Floats]) -> _Read:
    return lambda rows, _: of(*best_quotes(rows))


def _spread(bid: Floats, _: Floats, ask: Floats, __: Floats) -> Floats:
    return (ask - bid) / (ask + bid) * 2e4


def _imbalance(_: Floats, bid_size: Floats, __: Floats, ask_size: Floats) -> Floats:
    return (bid_size - ask_size) / (bid_size + ask_size)


def _premium(rows: pl.DataFrame, _: LiveSource) -> Floats:
    index = numbers(rows, "index_price")
    return (numbers(rows, "mark_price") - index) / index * 1e4


def _lag(rows: pl.DataFrame, source: LiveSource) -> Floats:
    if not is_stream(source):
        return lags_of(rows)
    return source.lags(rows).cast(pl.Float64).fill_null(np.nan).to_numpy()


_QUOTES = QUOTES.channels
_QUANTITIES = {
    "price": _Quantity("", _PRICES, _column("price")),
    "size": _Quantity("", ("trade",), _column("size")),
    "bid": _Quantity("", _QUOTES, _quote(lambda bid, _, __, ___: bid)),
    "ask": _Quantity("", _QUOTES, _quote(lambda _, __, ask, ___: ask)),
    "mid": _Quantity("", _QUOTES, _quote(lambda bid, _, ask, __: (bid + ask) / 2)),
    "spread": _Quantity("bp", _QUOTES, _quote(_spread)),
    "imbalance": _Quantity("", _QUOTES, _quote(_imbalance)),
    "mark": _Quantity("", ("mark_price",), _column("mark_price")),
    "index": _Quantity("", ("mark_price",), _column("index_price")),
    "premium": _Quantity("bp", ("mark_price",), _premium),
    "funding": _Quantity("%", ("funding_rate",), _column("funding_rate", 100.0)),
    "lag": _Quantity("ms", _TIMED, _lag),
}
_AGE, _GAP = "age", "gap"
_SIGNS: dict[str, Callable[[Floats, float], Floats]] = {
    ">": lambda values, level: _sign(values > level),
    ">=": lambda values, level: _sign(values >= level),
    "<": lambda values, level: _sign(values < level),
    "<=": lambda values, level: _sign(values <= level),
    # At the level itself a price is on no side yet.
    "crosses": lambda values, level: np.where(values == level, np.nan, _sign(values > level)),
}


def _sign(holds: np.typing.NDArray[np.bool_]) -> Floats:
    return np.where(holds, 1.0, -1.0)


class Condition(ABC):
    """Finds the rows at which it begins to hold.

    Attributes
    ----------
    text
        The condition in words.
    channels
        The channels whose rows it can read, the best first; none if it reads no rows.
    """

    text: str
    channels: tuple[str, ...] = ()

    def __init__(self, *, is_both_ways: bool = False) -> None:
        self._is_both_ways = is_both_ways
        self._was = np.nan  # +1 while it holds, or on which side of its level the newest value is

    @property
    def holds(self) -> bool:
        """Whether it held for the newest value."""
        return self._was > 0 and not self._is_both_ways

    def forget(self) -> None:
        """Know nothing of the values before any more."""
        self._was = np.nan

    def _turns(self, sides: Floats) -> Times:
        """Take +1 and -1 for values in order, NaN for those not known; return where it begins."""
        known = np.flatnonzero(~np.isnan(sides))
        if not known.size:
            return known
        now = sides[known]
        before = np.concatenate(([self._was], now[:-1]))
        self._was = float(now[-1])
        has_turned = (now != before) & ~np.isnan(before)
        begins: Times = known[has_turned if self._is_both_ways else (now > 0) & ~(before > 0)]
        return begins


class RowCondition(Condition):
    """A condition on the rows of a channel."""

    @abstractmethod
    def take(self, rows: pl.DataFrame, source: LiveSource) -> list[tuple[int, float]]:
        """Take new rows, in order; return the places where it begins to hold, with the values.

        A value is NaN where it is no number.
        """


class Threshold(RowCondition):
    """Compares a quantity with a level."""

    def __init__(self, name: str, sign: str, level: float) -> None:
        super().__init__(is_both_ways=sign == "crosses")
        quantity = _QUANTITIES[name]
        self.channels = quantity.channels
        self.text = " ".join(filter(None, (name, sign, number(level), quantity.unit)))
        self._read, self._level, self._compare = quantity.read, level, _SIGNS[sign]

    def take(self, rows: pl.DataFrame, source: LiveSource) -> list[tuple[int, float]]:
        """Take new rows; see the base."""
        with np.errstate(invalid="ignore", divide="ignore"):
            values = self._read(rows, source)
        sides = np.where(np.isfinite(values), self._compare(values, self._level), np.nan)
        return [(int(place), float(values[place])) for place in self._turns(sides)]


class Expression(RowCondition):
    """A polars expression that is true or false for each row of a channel.

    It sees up to 1,000 rows before the new ones, too, so that windows are whole.
    """

    def __init__(self, expression: pl.Expr, channel: str) -> None:
        super().__init__()
        self.text = f"{expression} ({channel})"
        self.channels = (channel,)
        self._expression = expression
        self._before: pl.DataFrame | None = None

    def forget(self) -> None:
        """Know nothing of the rows before any more."""
        super().forget()
        self.forget_rows()

    def forget_rows(self) -> None:
        """Know whether it held, but no rows before: the next ones are of another source."""
        self._before = None

    def take(self, rows: pl.DataFrame, source: LiveSource) -> list[tuple[int, float]]:
        """Take new rows; see the base.

        Raises
        ------
        InvalidInput
            If the expression cannot be computed, or is not true or false for each row.
        """
        seen = rows if self._before is None else pl.concat((self._before, rows))
        self._before = seen[-ROWS_BEFORE:]
        found = self.evaluate(seen)[-rows.height :]
        del source  # the rows say all
        known = found.cast(pl.Float64).fill_null(np.nan).to_numpy()
        return [(int(place), np.nan) for place in self._turns(known * 2 - 1)]

    def evaluate(self, rows: pl.DataFrame) -> pl.Series:
        """Return for each row whether it is true.

        Raises
        ------
        InvalidInput
            If it cannot be computed, or is not true or false for each row.
        """
        try:
            found = rows.select(self._expression.alias("holds"))["holds"]
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  polars may panic, a user's function raise all
            text = next(iter(describe(error).splitlines()), "")
            raise InvalidInput(f"an alert on {self.text} cannot be computed: {text}") from None
        if found.dtype != pl.Boolean or len(found) != rows.height:
            raise InvalidInput(
                f"an alert takes an expression that is true or false for each row; {self.text} "
                f"gives {len(found)} of type {found.dtype} for {rows.height} rows"
            )
        return found


class Silence(Condition):
    """Holds while nothing has arrived for some seconds."""

    def __init__(self, sign: str, level: float) -> None:
        super().__init__(is_both_ways=sign == "crosses")
        self.text = f"{_AGE} {sign} {number(level)} s"
        self._level, self._compare = level, _SIGNS[sign]

    def take(self, age: float) -> bool:
        """Take the seconds since the newest row arrived; return whether it begins to hold."""
        return bool(self._turns(self._compare(np.array([age]), self._level)).size)


class GapAlert(Condition):
    """Begins to hold with each gap."""

    text = _GAP

    def __init__(self) -> None:
        super().__init__()


def condition_of(condition: object, channel: str | None = None) -> Condition:
    """Make a condition of what a user has given.

    Parameters
    ----------
    condition
        A text such as ``"price > 65000"``, or a polars expression.
    channel
        The channel whose rows the expression reads.

    Raises
    ------
    InvalidInput
        If it is none, or its channel is missing.
    UnknownChannel
        If there is no such channel.
    """
    if isinstance(condition, pl.Expr):
        if channel is None:
            raise InvalidInput(
                "an alert on an expression needs the channel of its rows: channel='trade'"
            )
        return Expression(condition, str(parse_channel(channel)))
    if not isinstance(condition, str):
        raise InvalidInput(
            f"an alert takes a condition in words or a polars expression, not {shown(condition)}; "
            f"{_HOW}"
        )
    if channel is not None:
        raise InvalidInput(f"channel= belongs to an expression; {shown(condition)} needs none")
    if condition.strip().lower() == _GAP:
        return GapAlert()
    return _in_words(condition)


def _in_words(text: str) -> Condition:
    found = _WORDS.fullmatch(text)
    if found is None:
        raise InvalidInput(f"no condition is understood in {shown(text)}; {_HOW}")
    name, sign, level, unit = found.groups()
    name, sign, unit = name.lower(), sign.lower(), (unit or "").lower()
    units = {each: quantity.unit for each, quantity in _QUANTITIES.items()} | {_AGE: "s"}
    if name not in units:
        raise InvalidInput(f"an alert knows no {shown(name)}; it knows {', '.join([*units, _GAP])}")
    if _NUMBER.fullmatch(level) is None or not np.isfinite(float(level.replace(",", ""))):
        raise InvalidInput(f"{shown(level)} in {shown(text)} is no number; {_HOW}")
    if unit and unit != units[name]:
        its = f"counted in {units[name]}" if units[name] else "without a unit"
        raise InvalidInput(f"{name} is {its} in an alert, not in {unit}: {shown(text)}")
    value = float(level.replace(",", ""))
    return Silence(sign, value) if name == _AGE else Threshold(name, sign, value)


def number(value: float) -> str:
    """Write a number with the digits that it has, up to 15."""
    return plain(value)
