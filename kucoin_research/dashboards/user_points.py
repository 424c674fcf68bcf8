"""Reads the times, values and texts that a user puts on a dashboard's charts."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.figures.time_axis import Floats, Times
from kucoin_research.foundation.arguments import columns_hold, has_columns, is_number, number
from kucoin_research.model.units import LARGEST_NS, instant_ns

__all__ = ["Marks", "Points", "marks_from", "name_from", "points_from"]

_LONGEST_NAME, _LONGEST_TEXT = 80, 10_000
_FIRST_OF_NS = 10**17  # smaller whole numbers are s, ms or µs: see ``instant_ns``
_MARK_COLUMNS = ("timestamp", "price")


#: Times (ns UTC) and values of some points, of one length.
Points: TypeAlias = "tuple[array[int], array[float]]"


class Marks(NamedTuple):
    """Times (ns UTC), prices and texts of some marks, of one length."""

    times: list[int]
    prices: list[float]
    texts: list[str]


def name_from(value: object, what: str) -> str:
    """Return a name that is not empty.

    Raises
    ------
    InvalidInput
        If it is none.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{what} must be a name, not {shown(value)}")
    if len(value) > _LONGEST_NAME:
        raise InvalidInput(f"{what} must have {_LONGEST_NAME} characters at most: {shown(value)}")
    return value


def points_from(t: object, y: object, what: str) -> Points:
    """Read the points of a line, ordered by time; those without a finite value are left out.

    Parameters
    ----------
    t, y
        A time and a number, or as many of each.
    what
        The line, for error messages.

    Raises
    ------
    InvalidInput
        If one is no time or no number, or if there are not as many of each.
    """
    if _is_one(t):  # as a strategy does with each record, so without the cost of sorting one
        time, value = _instant(t), _value(y, "y")
        is_there = math.isfinite(value)
        return array("q", [time] * is_there), array("d", [value] * is_there)
    times, values = _times(t), _values(y, "y")
    if times.size != values.size:
        raise InvalidInput(f"{what} has {times.size:,} times and {values.size:,} values")
    is_known = np.isfinite(values)
    times, values = times[is_known], values[is_known]
    order = np.argsort(times, kind="stable")
    return array("q", times[order].tobytes()), array("d", values[order].tobytes())


def marks_from(t: object, price: object, text: object) -> Marks:
    """Read one mark or several.

    Parameters
    ----------
    t
        A time or several; or a frame with ``timestamp``, ``price`` and perhaps ``text``.
    price, text
        One for all times, or one for each.

    Raises
    ------
    InvalidInput
        If one is no time, price or text, or if there are not as many of each.
    ColumnMissing
        If the frame lacks a column.
    """
    if hasattr(t, "columns"):
        if price is not None:
            raise InvalidInput("mark takes a frame, or times and prices, and not both")
        return _of_frame(t, text)
    times = [_instant(t)] if _is_one(t) else _times(t).tolist()
    if price is None or is_number(price):
        prices = [number(price, "price", "a price")] * len(times)
    else:
        prices = _values(price, "price").tolist()
    texts = [text] * len(times) if text is None or isinstance(text, str) else _listed(text, "text")
    for what, there in (("prices", prices), ("texts", texts)):
        if len(there) != len(times):
            raise InvalidInput(f"mark got {len(times):,} times and {len(there):,} {what}")
    return _checked(times, prices, texts)


def _of_frame(frame: Any, text: object) -> Marks:
    has_columns(frame, _MARK_COLUMNS, "marks")
    columns_hold(frame, times=("timestamp",), numbers=("price",), words=("text",))
    if text is not None:
        raise InvalidInput("mark takes the texts of a frame from its column 'text'; leave text out")
    texts: list[Any] = [None] * frame.height
    if "text" in frame.columns:
        texts = frame["text"].cast(pl.String).to_list()
    times = _times(frame["timestamp"]).tolist()
    return _checked(times, _values(frame["price"], "price").tolist(), texts)


def _checked(times: list[int], prices: list[float], texts: Sequence[Any]) -> Marks:
    for price in prices:
        number(price, "price", "a price")
    for each in texts:
        if each is not None and not isinstance(each, str):
            raise InvalidInput(f"text must be a string, not {shown(each)}")
    return Marks(times, prices, [(each or "")[:_LONGEST_TEXT] for each in texts])


def _is_one(t: object) -> bool:
    # A text is a time, too, and those of numpy and pandas have an empty shape or none.
    return isinstance(t, str) or not isinstance(t, Iterable)


def _instant(t: object) -> int:
    if type(t) is int and _FIRST_OF_NS <= t <= LARGEST_NS:
        return t  # that of a record, read at once: ``instant_ns`` takes as long as all the rest
    found = instant_ns(t, "t")  # type: ignore[arg-type]
    if found is None:
        raise InvalidInput("t must be a time, not None")
    if not -LARGEST_NS <= found <= LARGEST_NS:
        raise InvalidInput(f"t={shown(t)} is beyond the years that nanoseconds can count")
    return found


def _times(t: object) -> Times:
    kind = getattr(t, "dtype", None)
    if isinstance(t, pl.Series):
        if t.null_count():
            raise InvalidInput(f"t has a missing time at place {t.is_null().arg_max()}")
        if isinstance(kind, pl.Datetime):
            return t.cast(pl.Datetime("ns", kind.time_zone)).to_physical().to_numpy()
        t = t.to_numpy() if t.dtype.is_integer() else t.to_list()
    elif type(t).__module__.startswith("pandas") and str(kind).startswith("datetime64"):
        t = np.asarray(t, "datetime64[ns]")  # in UTC, whatever its zone
    if isinstance(t, np.ndarray) and t.ndim == 1:
        if t.dtype == np.dtype("datetime64[ns]"):
            return _without_missing(t)
        if t.dtype.kind in "iu" and (not t.size or t.min() >= _FIRST_OF_NS):
            return t.astype(np.int64)
    return np.array([_instant(each) for each in _listed(t, "t")], np.int64)


def _without_missing(t: Any) -> Times:
    missing = np.isnat(t)
    if missing.any():
        raise InvalidInput(f"t has a missing time at place {int(missing.argmax())}")
    return np.asarray(t.astype(np.int64))


def _listed(values: Any, name: str) -> list[Any]:
    if isinstance(values, str | bytes | dict) or not isinstance(values, Iterable):
        raise InvalidInput(f"{name} must be one for each time, not {shown(values)}")
    return list(values)


def _values(values: object, name: str) -> Floats:
    if isinstance(values, pl.Series) and (values.dtype.is_numeric() or values.dtype == pl.Null):
        return values.cast(pl.Float64).to_numpy()
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    if kind and kind in "iuf":
        found = np.asarray(values, np.float64)
        if found.ndim == 1:
            return found
    return np.array([_value(each, name) for each in _listed(values, name)], np.float64)


def _value(value: Any, name: str) -> float:
    if value is None:
        return math.nan
    if not is_number(value):
        raise InvalidInput(f"{name} must be a number, not {shown(value)}")
    try:
        return float(value)
    except OverflowError:  # an integer that is too large for a float
        return math.inf
