"""What happened in a run: fills, round trips, fundings, equity and notes, as frames at the end.

A round trip goes from flat to flat; a fill that turns a position ends one and begins the next. Its
profit is net of fees and funding, as KuCoin shows that of a closed position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from kucoin_research.strategy.account import BookedFill
from kucoin_research.strategy.contracts import Contract
from kucoin_research.strategy.fixed_point import as_float, fixed, rounded_quotient
from kucoin_research.strategy.orders import Fill, Order
from kucoin_research.strategy.positions import Holding

__all__ = ["Ledger"]

_TIME = pl.Datetime("ns", "UTC")
_SIDE = pl.Enum(["buy", "sell"])
_NUMBER = pl.Float64()
_TEXT = pl.String()

_FILLS = pl.Schema(
    {
        "timestamp": _TIME, "symbol": _TEXT, "side": _SIDE, "price": _NUMBER, "size": _NUMBER,
        "liquidity": _TEXT, "fee": _NUMBER, "fee_currency": _TEXT, "order_id": pl.Int64(),
        "tag": _TEXT, "position_after": _NUMBER,
    }
)  # fmt: skip
_ORDERS = pl.Schema(
    {
        "order_id": pl.Int64(), "symbol": _TEXT, "side": _SIDE, "type": _TEXT, "limit": _NUMBER,
        "stop": _NUMBER, "size": _NUMBER, "filled": _NUMBER, "average_price": _NUMBER,
        "status": _TEXT, "reason": _TEXT, "submitted": _TIME, "accepted": _TIME, "ended": _TIME,
        "tag": _TEXT,
    }
)  # fmt: skip
_EQUITY = pl.Schema(
    {
        "timestamp": _TIME, "equity": _NUMBER, "cash": _NUMBER, "unrealised": _NUMBER,
        "exposure": _NUMBER,
    }
)  # fmt: skip
_TRADES = pl.Schema(
    {
        "symbol": _TEXT, "side": _SIDE, "entered": _TIME, "exited": _TIME, "size": _NUMBER,
        "entry_price": _NUMBER, "exit_price": _NUMBER, "pnl": _NUMBER, "fees": _NUMBER,
        "funding": _NUMBER, "return": _NUMBER, "duration": pl.Duration("ns"),
    }
)  # fmt: skip
_POSITIONS = pl.Schema(
    {"timestamp": _TIME, "symbol": _TEXT, "size": _NUMBER, "entry_price": _NUMBER}
)
_FUNDING = pl.Schema(
    {
        "timestamp": _TIME, "symbol": _TEXT, "size": _NUMBER, "mark_price": _NUMBER,
        "funding_rate": _NUMBER, "amount": _NUMBER, "currency": _TEXT, "is_estimated": pl.Boolean(),
    }
)  # fmt: skip
_NOTES = pl.Schema(
    {
        "timestamp": _TIME, "symbol": _TEXT, "text": _TEXT, "position": _NUMBER,
        "equity": _NUMBER,
    }
)  # fmt: skip
_PRICES = pl.Schema({"timestamp": _TIME, "symbol": _TEXT, "price": _NUMBER})


@dataclass(slots=True)
class _Trip:
    """A round trip; amounts are multiples of 10**-18."""

    contract: Contract
    entered: int
    sign: int
    exited: int = 0
    entry_size: int = 0
    entry_value: int = 0
    exit_size: int = 0
    exit_value: int = 0
    pnl: int = 0
    fees: int = 0
    funding: int = 0


class Ledger:
    """Collects what happened. Not thread-safe.

    The amounts of each symbol are in its settlement currency.

    Attributes
    ----------
    on_fill
        Called with each execution.
    on_note
        Called with time, symbol, text and position of each remark.
    """

    def __init__(self) -> None:
        self.on_fill: Callable[[Fill], object] | None = None
        self.on_note: Callable[[int, str | None, str, float], object] | None = None
        self.fills: list[Fill] = []
        self.slippage: dict[str, int] = {}  # against the mid when the order was sent, by currency
        self.traded: dict[str, int] = {}  # the value of all fills, by currency
        self.liquidations = 0
        self._trips: dict[str, _Trip] = {}
        self._ended: list[_Trip] = []
        self._positions: list[tuple[Any, ...]] = []
        self._fundings: list[tuple[Any, ...]] = []
        self._equity: list[tuple[Any, ...]] = []
        self._notes: list[tuple[Any, ...]] = []
        self._prices: list[tuple[Any, ...]] = []

    # -- what happens ------------------------------------------------------------------------------

    def fill(
        self, fill: Fill, done: BookedFill, holding: Holding, decision_mid: float | None
    ) -> None:
        """Note an execution that was booked."""
        contract = holding.contract
        self.traded[contract.settle] = self.traded.get(contract.settle, 0) + abs(done.value)
        if decision_mid is not None:
            signed = _signed(fill)
            cost = done.value - contract.value(signed, fixed(decision_mid))
            self.slippage[contract.settle] = self.slippage.get(contract.settle, 0) + cost
        self._note(fill, holding)
        self._travel(fill, done, contract)

    def liquidated(
        self, fill: Fill, holding: Holding, realised: int, fee: int, mark: float | None
    ) -> None:
        """Note a liquidation, which closed a position: what it realised, and its fee."""
        self.liquidations += 1
        text = f"liquidated at {fill.price:.12g}, mark price {_price_text(mark)}"
        self.note(fill.timestamp, fill.symbol, text, 0.0, None)
        self._note(fill, holding)
        trip = self._trips.pop(fill.symbol, None)
        if trip is not None:
            contract = holding.contract
            signed = _signed(fill)
            value = contract.value(signed, fixed(fill.price)) if fill.price else 0
            trip.exit_size += abs(signed)
            trip.exit_value += abs(value)
            trip.pnl += realised
            trip.fees += fee
            self._end(trip, fill.timestamp)

    def _note(self, fill: Fill, holding: Holding) -> None:
        self.fills.append(fill)
        if self.on_fill is not None:
            self.on_fill(fill)
        entry = holding.entry_price
        self._positions.append(
            (
                fill.timestamp,
                fill.symbol,
                fill.position_after,
                None if entry is None else as_float(entry),
            )
        )

    def _travel(self, fill: Fill, done: BookedFill, contract: Contract) -> None:
        """Take a fill into its round trip; split it where it goes through zero."""
        closed, opened = abs(done.booked.closed), abs(done.booked.opened)
        whole = closed + opened
        trip = self._trips.get(fill.symbol)
        if closed and trip is not None:
            fee = done.fee if not opened else rounded_quotient(done.fee * closed, whole)
            trip.exit_size += closed
            trip.exit_value += abs(done.value) - abs(done.booked.opened_cost)
            trip.pnl += done.booked.realised
            trip.fees += fee
            if not fill.position_after or opened:
                self._end(self._trips.pop(fill.symbol), fill.timestamp)
        if opened:
            fee = done.fee - (rounded_quotient(done.fee * closed, whole) if closed else 0)
            trip = self._trips.get(fill.symbol)
            if trip is None:
                trip = _Trip(contract, fill.timestamp, 1 if fill.side == "buy" else -1)
                self._trips[fill.symbol] = trip
            trip.entry_size += opened
            trip.entry_value += abs(done.booked.opened_cost)
            trip.fees += fee

    def _end(self, trip: _Trip, now: int) -> None:
        trip.exited = now
        self._ended.append(trip)

    def funded(
        self,
        when: int,
        symbol: str,
        size: int,
        mark: int,
        rate: float,
        received: int,
        currency: str,
    ) -> None:
        """Note a funding that was paid or received."""
        trip = self._trip_at(symbol, when)
        if trip is not None:
            trip.funding += received
        row = (
            when, symbol, as_float(size), as_float(mark), rate, as_float(received), currency, False,
        )  # fmt: skip
        self._fundings.append(row)

    def _trip_at(self, symbol: str, when: int) -> _Trip | None:
        """Find the round trip that was under way before a time.

        A settlement is announced a little later, when its round trip may have ended.
        """
        trip = self._trips.get(symbol)
        if trip is not None and trip.entered < when:
            return trip
        return next(
            (
                each
                for each in reversed(self._ended)
                if each.contract.symbol == symbol and each.entered < when
            ),
            trip,
        )

    def note(
        self, when: int, symbol: str | None, text: str, position: float, equity: float | None
    ) -> None:
        """Keep a remark with its time, position and equity."""
        self._notes.append((when, symbol, text, position, equity))
        if self.on_note is not None:
            self.on_note(when, symbol, text, position)

    def sample(
        self, when: int, equity: float, cash: float, unrealised: float, exposure: float
    ) -> None:
        """Keep the equity of a moment; of two at one time the later counts."""
        row = (when, equity, cash, unrealised, exposure)
        if self._equity and self._equity[-1][0] == when:
            self._equity[-1] = row
        else:
            self._equity.append(row)

    @property
    def newest_sample(self) -> tuple[int, float] | None:
        """Time and equity of the newest sample; a later one of that time replaces it."""
        return self._equity[-1][:2] if self._equity else None

    def price(self, when: int, symbol: str, price: float) -> None:
        """Keep a price for the chart."""
        self._prices.append((when, symbol, price))

    # -- frames ------------------------------------------------------------------------------------

    def fills_frame(self) -> pl.DataFrame:
        """List all executions in order."""
        return _frame(self.fills, _FILLS)

    @staticmethod
    def orders_frame(orders: Iterable[Order]) -> pl.DataFrame:
        """List orders as far as they have come, in the given order."""
        rows = (
            (
                each.order_id, each.symbol, each.side, each.type, each.limit, each.stop, each.size,
                each.filled, each.average_price, str(each.status), each.reason, each.submitted,
                each.accepted, each.ended, each.tag,
            )
            for each in orders
        )  # fmt: skip
        return _frame(rows, _ORDERS)

    def equity_frame(self, start: float) -> pl.DataFrame:
        """List the equity along the run, with its drawdown from the highest so far or the start."""
        frame = _frame(self._equity, _EQUITY)
        peak = pl.max_horizontal(pl.col("equity").cum_max(), pl.lit(start))
        drawdown = pl.when(peak > 0).then(pl.col("equity") / peak - 1)
        return frame.with_columns(drawdown=drawdown).select(
            "timestamp", "equity", "cash", "unrealised", "drawdown", "exposure"
        )

    def trades_frame(self) -> pl.DataFrame:
        """List all round trips that have ended."""
        return _frame(map(_trade_row, self._ended), _TRADES)

    def positions_frame(self) -> pl.DataFrame:
        """List the position behind each fill."""
        return _frame(self._positions, _POSITIONS)

    def funding_frame(self) -> pl.DataFrame:
        """List all fundings paid or received."""
        return _frame(self._fundings, _FUNDING)

    def notes_frame(self) -> pl.DataFrame:
        """List the remarks of the strategy, and liquidations."""
        return _frame(self._notes, _NOTES)

    def prices_frame(self) -> pl.DataFrame:
        """List the prices that were sampled along the run."""
        return _frame(self._prices, _PRICES)


def _trade_row(trip: _Trip) -> tuple[Any, ...]:
    contract = trip.contract

    def average(size: int, value: int) -> float | None:
        if not value:
            return None
        return as_float(contract.average_price(size, -value if contract.is_inverse else value))

    pnl = trip.pnl - trip.fees + trip.funding
    return (
        contract.symbol,
        "buy" if trip.sign > 0 else "sell",
        trip.entered,
        trip.exited,
        as_float(trip.entry_size),
        average(trip.entry_size, trip.entry_value),
        average(trip.exit_size, trip.exit_value),
        as_float(pnl),
        as_float(trip.fees),
        as_float(trip.funding),
        pnl / trip.entry_value if trip.entry_value else None,
        trip.exited - trip.entered,
    )


def _signed(fill: Fill) -> int:
    size = fixed(fill.size)
    return size if fill.side == "buy" else -size


def _price_text(price: float | None) -> str:
    return "unknown" if price is None else f"{price:.12g}"


def _frame(rows: Iterable[Iterable[Any]], schema: pl.Schema) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pl.DataFrame(
        {name: list(values) for name, values in zip(schema, columns, strict=True)}, schema=schema
    )
