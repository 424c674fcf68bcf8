"""Times as other programs write them, read as nanoseconds UTC without guessing."""

from __future__ import annotations

import polars as pl

from kucoin_research.errors import InvalidInput, SessionBroken, shown
from kucoin_research.model.units import LARGEST_NS

__all__ = ["DATES", "moments_of"]

#: The ways to read dates such as 04/09/2023.
DATES = ("day first", "month first")

_NS = pl.Datetime("ns", "UTC")
_YEARS = (1678, 2261)  # the whole years that ns of 64 bits can express
_CLOCK = r"(?:[T ]+(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?"
_ZONE = r" ?(Z|UTC|[+-]\d\d(?::?\d\d)?)?"
_YEAR_FIRST = rf"^(\d{{4}})[-/](\d\d?)[-/](\d\d?){_CLOCK}{_ZONE}$"
_YEAR_LAST = rf"^(\d\d?)[-/.](\d\d?)[-/.](\d{{4}}){_CLOCK}{_ZONE}$"


def moments_of(texts: pl.Series, dates: str | None, name: str) -> pl.Series:
    """Read times: Unix ones in s, ms, µs or ns, ISO 8601, or dates with the year first or last.

    Parameters
    ----------
    texts
        Null stays null. A time without a zone is UTC.
    dates
        One of ``DATES``, or None: then a number above 12 in one of the dates decides.
    name
        The file's name, for error messages.

    Raises
    ------
    InvalidInput
        If dates can be read in two ways, or not as ``dates`` says.
    SessionBroken
        If a text is no time.
    """
    texts = texts.str.strip_chars().alias("text")
    numbers = texts.cast(pl.Int64, strict=False)
    if numbers.null_count() == texts.null_count():
        found = pl.DataFrame({"time": numbers}).select(_to_ns(pl.col("time")))["time"]
        return _checked(found, texts, name)
    if texts.str.contains(_YEAR_LAST).any():
        parts = _parts(texts, _YEAR_LAST)
        day, month, year = _order(texts, parts, dates, name)
    else:
        parts = _parts(texts, _YEAR_FIRST)
        year, month, day = "1", "2", "3"
    frame = parts.with_columns(texts)
    # polars aborts the process if a date in ns does not fit into 64 bits.
    its_year = pl.col(year).cast(pl.Int32)
    whole = pl.datetime(
        pl.when(its_year.is_between(*_YEARS)).then(its_year),
        *(pl.col(each).cast(pl.Int32) for each in (month, day)),
        *(pl.col(each).cast(pl.Int32).fill_null(0) for each in ("4", "5", "6")),
        time_unit="ns",
        time_zone="UTC",
    )
    try:
        found = frame.select(
            pl.when(pl.col(year).is_not_null())
            .then(whole.dt.epoch("ns") + _fraction(pl.col("7")) - _offset(pl.col("8")))
            .cast(_NS)
            .alias("time")
        )["time"]
    except pl.exceptions.PolarsError as error:
        first = str(error).partition("\n")[0]
        raise SessionBroken(f"{name} has a date that there is not: {first}") from error
    return _checked(found, texts, name)


def _checked(found: pl.Series, texts: pl.Series, name: str) -> pl.Series:
    wrong = texts.filter(found.is_null() & texts.is_not_null())
    if wrong.len():
        raise SessionBroken(
            f"{name} has the time {shown(wrong[0])}, which is none known until 2261: Unix times, "
            "ISO 8601, or dates such as 25/12/2023 19:21:17"
        )
    return found


def _parts(texts: pl.Series, pattern: str) -> pl.DataFrame:
    groups = range(1, 9)
    return texts.to_frame().select(
        pl.col("text").str.extract(pattern, group).alias(str(group)) for group in groups
    )


def _order(
    texts: pl.Series, parts: pl.DataFrame, dates: str | None, name: str
) -> tuple[str, str, str]:
    """Find which column is the day, the month and the year."""
    first, second = (parts[each].cast(pl.Int32) > 12 for each in ("1", "2"))
    proof = {
        "day first": texts.filter(first.fill_null(value=False)).first(),
        "month first": texts.filter(second.fill_null(value=False)).first(),
    }
    possible = [each for each in DATES if not any(t for d, t in proof.items() if d != each)]
    if not possible or (dates is not None and dates not in possible):
        both = " and ".join(repr(text) for text in proof.values() if text is not None)
        raise InvalidInput(
            f"{name} has the dates {both}, so it cannot be read {dates or 'in one way'}"
        )
    if dates is None and len(possible) > 1:
        example = texts.filter(parts["1"].is_not_null())[0]
        raise InvalidInput(
            f"{name} has dates such as {example!r}, which can be read in two ways: say "
            "dates='day first' or dates='month first'"
        )
    chosen = dates or possible[0]
    return ("1", "2", "3") if chosen == "day first" else ("2", "1", "3")


def _fraction(digits: pl.Expr) -> pl.Expr:
    return digits.str.pad_end(9, "0").cast(pl.Int64).fill_null(0)


def _offset(zone: pl.Expr) -> pl.Expr:
    hours = zone.str.extract(r"^[+-](\d\d)", 1).cast(pl.Int64).fill_null(0)
    minutes = zone.str.extract(r"^[+-]\d\d:?(\d\d)$", 1).cast(pl.Int64).fill_null(0)
    sign = pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)
    return sign * (hours * 60 + minutes) * 60_000_000_000


def _to_ns(time: pl.Expr) -> pl.Expr:
    # As in `units.to_ns`: the magnitude determines the unit, and a number beyond 64 bits is no
    # time.
    factor = (
        pl.when(time >= 10**17)
        .then(1)
        .when(time >= 10**14)
        .then(1_000)
        .when(time >= 10**11)
        .then(1_000_000)
        .otherwise(1_000_000_000)
    ).cast(pl.Int64)
    is_held = time.is_between(0, LARGEST_NS // factor)
    return pl.when(is_held).then(time * factor).cast(_NS).alias("time")
