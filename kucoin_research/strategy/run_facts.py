"""Everything that a finished run hands to its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.arguments import columns_hold, has_columns
from kucoin_research.foundation.forking import cached_property
from kucoin_research.strategy.statistics import Coverage, Span

__all__ = ["LACKED", "RUN_COLUMNS", "Failure", "RunFacts"]

#: Subject of the rows of ``assumptions`` that name what the data lacked.
LACKED = "lacked"

#: The columns of each frame of a run, in their order.
RUN_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "fills": (
        *("timestamp", "symbol", "side", "price", "size", "liquidity"),
        *("fee", "fee_currency", "order_id", "tag", "position_after"),
    ),
    "orders": (
        *("order_id", "symbol", "side", "type", "limit", "stop", "size", "filled"),
        *("average_price", "status", "reason", "submitted", "accepted", "ended", "tag"),
    ),
    "equity": ("timestamp", "equity", "cash", "unrealised", "drawdown", "exposure"),
    "trades": (
        *("symbol", "side", "entered", "exited", "size", "entry_price", "exit_price"),
        *("pnl", "fees", "funding", "return", "duration"),
    ),
    "positions": ("timestamp", "symbol", "size", "entry_price"),
    "funding": (
        *("timestamp", "symbol", "size", "mark_price", "funding_rate"),
        *("amount", "currency", "is_estimated"),
    ),
    "notes": ("timestamp", "symbol", "text", "position", "equity"),
    "prices": ("timestamp", "symbol", "price"),
    "assumptions": ("subject", "choice", "detail"),
}
_NUMBERS = ("price", "size", "fee", "position_after", "equity", "pnl", "amount", "filled")


@dataclass(frozen=True)
class Failure:
    """The end of a run whose strategy raised: the record it was called with, and the error."""

    record: object
    error: str


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """The facts of a run, as they were collected while it was played.

    Attributes
    ----------
    name
        The strategy's name, as the user wrote it.
    currency
        Of ``initial_equity``, and of all money without a currency of its own.
    initial_equity
        Equity before the first record.
    fills, orders, equity, trades
        Frames with the columns of ``RUN_COLUMNS``, ordered by time (ns, UTC). ``pnl`` of a round
        trip is what remained of it: after its ``fees`` and ``funding``. A round trip without
        ``exited`` is still open.
    positions
        One row per change of a position; its size holds until the next one of that symbol.
    funding
        Payments; a negative amount was paid.
    notes
        Texts of the strategy, with its position and equity at that time.
    prices
        Middle prices, sampled along the run.
    assumptions
        Every choice of a model: ``subject`` (``"latency"``), ``choice`` (``"0.05 s each way"``) and
        ``detail``, a sentence. Rows whose subject is ``"lacked"`` are what the data lacked.
    records
        The number of records played.
    start_ns, end_ns
        Times of the first and the last record; ``None`` if none was played.
    gaps
        Begin and end (ns) of each gap of the recording.
    slippage
        Money lost between the middle price at each decision and the price of the fill.
    liquidations
        The number of positions that the exchange closed.
    ended
        ``None`` if all records were played, else why not.
    traded_notional
        The sum of all fills' worth, in ``currency``; ``None`` if it is not known.
    failure
        Where the strategy raised.
    """

    name: str
    currency: str
    initial_equity: float
    fills: pl.DataFrame
    orders: pl.DataFrame
    equity: pl.DataFrame
    trades: pl.DataFrame
    positions: pl.DataFrame
    funding: pl.DataFrame
    notes: pl.DataFrame
    prices: pl.DataFrame
    assumptions: pl.DataFrame
    records: int
    start_ns: int | None
    end_ns: int | None
    gaps: tuple[Span, ...] | list[Span] = ()
    slippage: float = 0.0
    liquidations: int = 0
    ended: str | None = None
    traded_notional: float | None = None
    failure: Failure | None = None

    def __post_init__(self) -> None:
        for name, columns in RUN_COLUMNS.items():
            frame = getattr(self, name)
            has_columns(frame, columns, f"a result cannot be made of {name}")
            columns_hold(frame, times=("timestamp",), numbers=_NUMBERS)
        if (self.start_ns is None) != (self.end_ns is None):
            raise InvalidInput(
                f"a run has both a start and an end or neither, not {shown(self.start_ns)} and "
                f"{shown(self.end_ns)}"
            )

    @cached_property
    def coverage(self) -> Coverage:
        """Compute the time of the run, without its gaps; no time at all if no record was played."""
        return Coverage(self.start_ns or 0, self.end_ns or 0, self.gaps)
