"""Indicators by name, such as ``SMA 20``, or by an expression of the frame of candles."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.figures.candle_bars import COLUMNS, Candles
from kucoin_research.figures.time_axis import Floats
from kucoin_research.figures.user_traces import PRICE_PANE
from kucoin_research.frames.moving_values import (
    Booleans,
    average_true_range,
    deviating_vwap,
    exponential_average,
    moving_average,
    relative_strength,
)

__all__ = [
    "KINDS",
    "MOST_INDICATORS",
    "MOST_PANES",
    "Indicator",
    "Indicators",
    "indicators_of",
    "joined",
    "text_of",
]

#: Indicators as users write them.
Indicators: TypeAlias = (
    "str | Sequence[str | tuple[str, pl.Expr] | tuple[str, pl.Expr, str] | Indicator] | None"
)

#: Indicators and panes below the volume that a chart has room for.
MOST_INDICATORS, MOST_PANES = 8, 3
#: The pane of each kind.
KINDS = {"SMA": PRICE_PANE, "EMA": PRICE_PANE, "VWAP": PRICE_PANE, "ATR": "ATR", "RSI": "RSI"}

_USUAL = 14  # candles, of Wilder's indicators
_LONGEST = 10_000  # candles
_DAY = 86_400_000_000_000  # ns
_FORM = re.compile(r"([A-Za-z]+) ?(\d{0,6})")
_MOST_LETTERS = 40
_TIME = pl.Datetime("ns", "UTC")


@dataclass(frozen=True)
class Indicator:
    """One or several lines that are computed of candles.

    Attributes
    ----------
    name
        Its name, such as ``SMA 20``.
    pane
        ``price``, or the name of a pane below.
    kind
        Of ``KINDS``; empty for an expression.
    window
        Number of candles; ``None`` for a VWAP of the day, and for an expression.
    expression
        Of the frame of candles.
    """

    name: str
    pane: str
    kind: str = ""
    window: int | None = None
    expression: pl.Expr | None = field(default=None, compare=False)

    @property
    def lines(self) -> int:
        """The number of its lines: a VWAP has bands."""
        return 3 if self.kind == "VWAP" else 1

    @property
    def memory(self) -> int | None:
        """The number of candles before one that its value depends on; ``None``: on all of them.

        An exponential average depends on all, but on older ones by less than the rounding.
        """
        return None if self.window is None else _MEMORY.get(self.kind, 1) * (self.window + 1)

    @property
    def lead(self) -> int:
        """The number of candles before one that suffice for its value.

        What is older weighs less than 1e-6 in an exponential average of up to 200 candles, and in
        Wilder's of up to 105. Nothing tells how many an expression takes: a page of history should
        do. A VWAP of the day begins with the first candle that is there, and says so.
        """
        if self.expression is not None:
            return _LEAD_OF_EXPRESSIONS
        if self.window is None:
            return 0
        return min(_LEADS.get(self.kind, 1) * (self.window + 1), _MOST_LEAD)

    def values(self, candles: Candles, is_partial: Booleans, begins: Booleans) -> list[Floats]:
        """Compute the values of each line, NaN where there is none.

        Parameters
        ----------
        candles
            In order of time.
        is_partial
            Which of them lack a part of their time: indicators by name take no value from these.
        begins
            Which of them have a gap before them: indicators by name start anew there.

        Raises
        ------
        InvalidInput
            If the expression cannot be computed.
        """
        if self.expression is not None:
            return [self._computed(_frame_of(candles, is_partial))]
        high, low, close = (
            np.where(is_partial, np.nan, candles.columns[name]) for name in ("high", "low", "close")
        )
        if self.kind == "VWAP":
            return _vwap(candles, high, low, close, self.window, begins)
        assert self.window is not None  # only a VWAP may have none
        if self.kind == "ATR":
            return [average_true_range(high, low, close, self.window, begins)]
        function = _OF_CLOSES[self.kind]
        return [function(close, self.window, begins)]

    def _computed(self, frame: pl.DataFrame) -> Floats:
        assert self.expression is not None
        try:
            found = frame.with_columns(self.expression.alias("_value"))["_value"]
            values = found.cast(pl.Float64).to_numpy()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # polars may panic, and a user's function raise anything
            reason = re.split(r"[;\n]", str(error))[0]
            raise InvalidInput(
                f"the indicator {shown(self.name)} cannot be computed of the columns "
                f"{', '.join(frame.columns)}: {reason}"
            ) from error
        return np.where(np.isfinite(values), values, np.nan)

    def check(self) -> None:
        """Try the expression on a few rows.

        Raises
        ------
        InvalidInput
            If it cannot be computed.
        """
        if self.expression is not None:
            candles = Candles(
                np.arange(3), np.arange(1, 4), 1, dict.fromkeys(COLUMNS, _SOME), _SOME
            )
            self._computed(_frame_of(candles, np.zeros(3, bool)))


# Windows after which the rest weighs less than 1e-16.
_MEMORY = {"EMA": 19, "ATR": 38, "RSI": 38}
# Windows after which the rest weighs less than 1e-6: it begins with the mean of the first of them.
_LEADS = {"EMA": 8, "ATR": 15, "RSI": 15}
_LEAD_OF_EXPRESSIONS, _MOST_LEAD = 200, 1_600  # candles; 200 are a page of the exchange
_OF_CLOSES = {"SMA": moving_average, "EMA": exponential_average, "RSI": relative_strength}
_SOME = np.arange(1.0, 4.0)


def _frame_of(candles: Candles, is_partial: Booleans) -> pl.DataFrame:
    columns = candles.columns
    return pl.DataFrame(
        {
            "timestamp": pl.Series(candles.opens).cast(_TIME),
            **{name: columns[name] for name in ("open", "high", "low", "close", "volume")},
            "turnover": columns["notional"],
            "is_partial": is_partial,
        },
        nan_to_null=True,
    )


def _vwap(
    candles: Candles,
    high: Floats,
    low: Floats,
    close: Floats,
    window: int | None,
    begins: Booleans,
) -> list[Floats]:
    volume, notional = candles.columns["volume"], candles.columns["notional"]
    with np.errstate(divide="ignore", invalid="ignore"):
        price = notional / volume
    # A turnover may be in another unit than price times volume, as that of contracts.
    is_price = (price >= low * (1 - 1e-9)) & (price <= high * (1 + 1e-9))
    price = np.where(is_price, price, (high + low + close) / 3)
    if window is None:
        day = candles.opens // _DAY
        begins = begins | np.append(False, day[1:] != day[:-1])[: day.size]
    vwap, deviation = deviating_vwap(price, volume, window, begins)
    return [vwap, vwap - deviation, vwap + deviation]


def indicators_of(given: object) -> tuple[Indicator, ...]:
    """Read indicators: texts, and pairs of a name and an expression.

    Parameters
    ----------
    given
        ``"SMA 20"``, ``"SMA 20, RSI"``, or a list of such texts and of tuples ``(name,
        expression)`` or ``(name, expression, pane)``.

    Returns
    -------
    tuple of Indicator
        Each name once.

    Raises
    ------
    InvalidInput
        If one is not understood, or if there are too many.
    """
    if given is None:
        return ()
    if isinstance(given, str):
        given = [each for each in given.split(",") if each.strip()]
    if isinstance(given, tuple) and len(given) > 1 and isinstance(given[1], pl.Expr):
        given = [given]
    if not isinstance(given, Iterable):
        raise InvalidInput(f"indicators are texts such as 'SMA 20', not {shown(given)}")
    return joined((), [_indicator_of(each) for each in given])


def joined(before: Iterable[Indicator], more: Iterable[Indicator]) -> tuple[Indicator, ...]:
    """Add indicators to others; one with a name that is there takes its place.

    Raises
    ------
    InvalidInput
        If there is no room for all of them.
    """
    found = {each.name: each for each in (*before, *more)}
    if len(found) > MOST_INDICATORS:
        raise InvalidInput(f"a chart has room for {MOST_INDICATORS} indicators, not {len(found)}")
    panes = dict.fromkeys(each.pane for each in found.values() if each.pane != PRICE_PANE)
    if len(panes) > MOST_PANES:
        raise InvalidInput(
            f"a chart has room for {MOST_PANES} panes of indicators, not {len(panes)}: "
            f"{', '.join(panes)}"
        )
    return tuple(found.values())


def text_of(indicators: Iterable[Indicator]) -> str:
    """Return the names as one text."""
    return ", ".join(each.name for each in indicators)


def _indicator_of(given: object) -> Indicator:
    if isinstance(given, Indicator):
        return given
    if isinstance(given, str):
        return _named(given)
    if isinstance(given, tuple) and 2 <= len(given) <= 3:
        return _expressed(*given)
    raise InvalidInput(
        "an indicator is a text such as 'SMA 20', or a tuple of a name and a polars expression of "
        f"candles, not {shown(given)}"
    )


def _named(text: str) -> Indicator:
    fit = _FORM.fullmatch(" ".join(text.split()))
    kind = fit[1].upper() if fit else ""
    if fit is None or kind not in KINDS:
        near = difflib.get_close_matches(kind or text.upper(), KINDS, n=1)
        raise InvalidInput(
            f"no indicator is called {shown(text.strip())}"
            f"{f'; did you mean {near[0]}' if near else ''}; there are SMA 20, EMA 50, VWAP, "
            "ATR 14 and RSI 14, each with any number of candles"
        )
    window = int(fit[2]) if fit[2] else None
    if window is None and kind in ("SMA", "EMA"):
        raise InvalidInput(f"{kind} needs a number of candles, such as '{kind} 20'")
    if window is None and kind != "VWAP":
        window = _USUAL
    if window is not None and not 1 <= window <= _LONGEST:
        raise InvalidInput(f"{kind} takes 1 to {_LONGEST:,} candles, not {window:,}")
    name = kind if window is None else f"{kind} {window}"
    return Indicator(name, KINDS[kind], kind, window)


def _expressed(name: object, expression: object, pane: object = None) -> Indicator:
    if not isinstance(expression, pl.Expr):
        raise InvalidInput(
            f"the indicator {shown(name)} takes a polars expression of candles, not "
            f"{shown(expression)}"
        )
    pane = name if pane is None else pane
    for each, what in ((name, "name"), (pane, "pane")):
        is_text = isinstance(each, str) and each.strip() and "," not in each
        if not is_text or len(str(each)) > _MOST_LETTERS:
            raise InvalidInput(
                f"the {what} of an indicator is a text of up to {_MOST_LETTERS} letters without a "
                f"comma, not {shown(each)}"
            )
    made = Indicator(str(name).strip(), str(pane).strip(), expression=expression)
    made.check()
    return made
