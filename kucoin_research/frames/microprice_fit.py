"""The micro-price of Stoikov: a forecast of the mid, fitted on past quotes.

The fit and its application are apart, so that only quotes later than the fit need be used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.arguments import (
    columns_hold,
    count,
    explained,
    has_columns,
    positive,
)
from kucoin_research.frames.quote_measures import (
    ASK,
    ASK_SIZE,
    BID,
    BID_SIZE,
    imbalance,
    mid,
    spread,
)
from kucoin_research.frames.windows import Values

__all__ = ["MicropriceFit", "fit_microprice", "microprice"]

_NEEDED = ("local_timestamp", "symbol", BID, BID_SIZE, ASK, ASK_SIZE)
# More buckets than quotes fill; the matrices stay small.
_MOST_BUCKETS = 50
# 2**60 steps: a chain that has not settled by then does not.
_MOST_DOUBLINGS = 60
_PRECISION = 1e-12

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MicropriceFit:
    """How far the mid is expected to move, by imbalance and spread; made by ``fit_microprice``.

    Attributes
    ----------
    symbol
        The fit is for quotes of this symbol.
    tick_size, buckets, spreads
        As passed to ``fit_microprice``.
    known_at
        Arrival of the last quote that was used, UTC: only later quotes are out of sample.
    adjustments
        ``imbalance_bucket`` (from 0, balanced, to ``buckets``), ``spread_ticks`` (the largest
        stands for all above it, too), ``quotes`` (their number) and ``adjustment``: the expected
        move of the mid towards the side with the smaller size, in the currency of the prices. Null
        where there were no quotes; 0 for balanced sizes, by symmetry.
    """

    symbol: str
    tick_size: float
    buckets: int
    spreads: int
    known_at: datetime
    adjustments: pl.DataFrame


@explained("fit_microprice")
def fit_microprice(
    quotes: pl.DataFrame, tick_size: float, *, buckets: int = 5, spreads: int = 3
) -> MicropriceFit:
    """Fit the micro-price of Stoikov (2018) on past quotes of one symbol.

    Quotes are states of a Markov chain: the bucket of the signed imbalance, and the spread in
    ticks. The adjustment ``g`` is the limit of the expected sum of moves of the mid. It solves
    ``g = r + P g``, where ``r`` is a state's mean next move and ``P`` the chain's transitions; the
    paper's sum over moves of the mid has the same limit. As in the paper, each quote also counts as
    its mirror image, with bid and ask exchanged, and therefore ``g`` is odd in the imbalance.

    Parameters
    ----------
    quotes
        Rows of the ``ticker`` or ``bbo`` channel of one symbol, in the order of arrival. Needs
        ``local_timestamp``, ``symbol`` and the best prices and sizes. Rows with a missing value,
        with sizes of 0 only, or whose ask is not above the bid are no states; moves to and from
        them are left out.
    tick_size
        Of the instrument.
    buckets
        Number of imbalance buckets on each side of the balanced one, up to 50.
    spreads
        Spreads of this number of ticks and above share a state, up to 50.

    Returns
    -------
    MicropriceFit
        For ``microprice``.

    Raises
    ------
    ColumnMissing
        If a needed column is absent; the message lists those present.
    InvalidInput
        If the quotes are of several symbols, or too few: if none follows another, or if the
        expected moves do not settle. If an argument is out of range.

    Examples
    --------
    >>> fit = fit_microprice(yesterday, 0.1)
    >>> today.with_columns(microprice(fit))
    """
    tick = positive(tick_size, "tick_size", "a price step")
    sides = count(buckets, "buckets", "buckets", most=_MOST_BUCKETS)
    widths = count(spreads, "spreads", "spreads", most=_MOST_BUCKETS)
    symbol, known_at = _checked(quotes)
    bucket = _bucket(imbalance(signed=True), sides)
    states = quotes.select(
        state=_state(bucket, spread(), tick=tick, spreads=widths), sign=bucket.sign(), mid=mid()
    )
    later = pl.all().shift(-1).name.suffix("_later")
    pairs = states.with_columns(later).drop_nulls()
    if pairs.is_empty():
        raise InvalidInput("a micro-price cannot be fitted: no whole quote follows another one")
    table = _table(pairs, buckets=sides, spreads=widths)
    return MicropriceFit(symbol, tick, sides, widths, known_at, table)


def _checked(quotes: pl.DataFrame) -> tuple[str, datetime]:
    has_columns(quotes, _NEEDED, "a micro-price cannot be fitted")
    columns_hold(quotes, times=_NEEDED[:1], words=_NEEDED[1:2], numbers=_NEEDED[2:])
    symbols = quotes["symbol"].cast(pl.String).drop_nulls().unique(maintain_order=True).to_list()
    if len(symbols) != 1:
        raise InvalidInput(
            f"a micro-price is fitted on quotes of one symbol, not {len(symbols)}"
            f"{': ' if symbols else ''}{', '.join(symbols[:3])}"
        )
    known_at = quotes["local_timestamp"].max()
    if not isinstance(known_at, datetime):
        raise InvalidInput("a micro-price cannot be fitted on quotes without times of arrival")
    return symbols[0], known_at


def _bucket(signed: pl.Expr, buckets: int) -> pl.Expr:
    # From -buckets to buckets, all as wide; equal sizes are in the middle of bucket 0.
    return signed.sign() * (signed.abs() * (buckets + 0.5) + 0.5).floor().clip(0, buckets)


def _state(bucket: pl.Expr, width: pl.Expr, *, tick: float, spreads: int) -> pl.Expr:
    # The row of the table. The sign of the bucket is no part of it.
    ticks = (width / tick).round().clip(1, spreads)
    return pl.when(width > 0).then(bucket.abs() * spreads + ticks - 1).cast(pl.Int64)


def _table(pairs: pl.DataFrame, *, buckets: int, spreads: int) -> pl.DataFrame:
    """Compute the adjustments of all states from the pairs of successive quotes."""
    states = (buckets + 1) * spreads
    state, later = pairs["state"].to_numpy(), pairs["state_later"].to_numpy()
    sign, later_sign = pairs["sign"].to_numpy(), pairs["sign_later"].to_numpy()
    quotes = np.bincount(state, minlength=states)
    each = np.maximum(quotes, 1)
    move = sign * (pairs["mid_later"] - pairs["mid"]).to_numpy()
    moves = np.bincount(state, weights=move, minlength=states) / each
    # Since g is odd in the imbalance, half of the states are enough: a step to the mirror image of
    # a state counts against it.
    steps = np.zeros((states, states))
    np.add.at(steps, (state, later), sign * later_sign)
    limits = _limits(moves, steps / each[:, np.newaxis])
    bucket, ticks = np.divmod(np.arange(states), spreads)
    is_known = (pl.col("quotes") > 0) | (pl.col("imbalance_bucket") == 0)
    return pl.DataFrame(
        {
            "imbalance_bucket": bucket,
            "spread_ticks": ticks + 1,
            "quotes": quotes,
            "adjustment": limits,
        }
    ).with_columns(pl.when(is_known).then(pl.col("adjustment")))


def _limits(moves: _Floats, steps: _Floats) -> _Floats:
    """Sum the expected moves of all future steps.

    Half of the time the chain is made to stay where it is. That halves each step and changes no
    limit, but one that moves to and fro for ever has a limit, too.
    """
    limits, power = moves / 2, (steps + np.eye(len(moves))) / 2
    for _ in range(_MOST_DOUBLINGS):
        more = power @ limits
        limits = limits + more
        if np.abs(more).max() <= _PRECISION * np.abs(limits).max():
            return limits
        power = power @ power
    raise InvalidInput(
        "a micro-price cannot be fitted: the expected moves of the mid do not settle; fit it on "
        "more quotes, or with fewer buckets"
    )


@explained("microprice")
def microprice(
    fit: MicropriceFit,
    *,
    bid: Values = BID,
    ask: Values = ASK,
    bid_size: Values = BID_SIZE,
    ask_size: Values = ASK_SIZE,
) -> pl.Expr:
    """Compute the micro-price of Stoikov (2018): the mid plus its expected move.

    It uses nothing but the row and the fit, so it is causal in rows that are later than
    ``fit.known_at``. It is not the ``weighted_mid``, which is not fitted.

    Parameters
    ----------
    fit
        From ``fit_microprice``.
    bid, ask, bid_size, ask_size
        Prices and sizes: the names of columns, or expressions.

    Returns
    -------
    pl.Expr
        ``microprice``, in the currency of the prices. Null in rows of another ``symbol``, where the
        ask is not above the bid, and in a state that the fit has not seen.

    Raises
    ------
    InvalidInput
        If ``fit`` is no fit, or a value is neither a name nor an expression.
    """
    if not isinstance(fit, MicropriceFit):
        raise InvalidInput(f"fit must come from fit_microprice, not {shown(fit)}")
    signed = imbalance(bid_size=bid_size, ask_size=ask_size, signed=True)
    bucket = _bucket(signed, fit.buckets)
    width = spread(bid=bid, ask=ask)
    state = _state(bucket, width, tick=fit.tick_size, spreads=fit.spreads)
    known = fit.adjustments["adjustment"]
    states = pl.int_range(len(known), dtype=pl.Int64, eager=True)
    adjustment = state.replace_strict(states, known, default=None, return_dtype=pl.Float64)
    is_its = pl.col("symbol").cast(pl.String) == fit.symbol
    price = mid(bid=bid, ask=ask) + bucket.sign() * adjustment
    return pl.when(is_its).then(price).alias("microprice")
