"""The history of an account: its ledger, transfers, fills, fundings and closed positions.

All rows of one exchange are numbered in one sequence, so that a later row has a greater number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar

from kucoin_research.sim.accounts.orders import Fill, OrderRequest

__all__ = [
    "WALLETS",
    "AccountBook",
    "ClosedPosition",
    "FillRow",
    "FundingRow",
    "LedgerRow",
    "Rows",
    "Transfer",
    "WalletName",
]

#: The wallets of an account: ``trade`` is the one of spot orders.
WalletName: TypeAlias = Literal["main", "trade", "margin", "futures"]
WALLETS: tuple[WalletName, ...] = ("main", "trade", "margin", "futures")

_ROWS_KEPT = 100_000

_Row = TypeVar("_Row", "LedgerRow", "Transfer", "FillRow", "FundingRow", "ClosedPosition")


class LedgerRow(NamedTuple):
    """One change of what an account owns of one coin in one wallet.

    Attributes
    ----------
    row_id, time_ns
        Its number, and when it happened.
    wallet, currency
        Where, and of which coin.
    amount
        What came (positive) or went, with the fee already taken.
    fee
        The fee in it.
    balance
        What the wallet owned of the coin right after it; on futures without unrealised profit.
    event
        Its cause: KuCoin's ``relationEvent`` on spot, its ``type`` of the transaction history on
        futures.
    context
        What it belongs to: ``symbol``, ``orderId``, ``tradeId``.
    """

    row_id: int
    time_ns: int
    wallet: WalletName
    currency: str
    amount: Decimal
    fee: Decimal
    balance: Decimal
    event: str
    context: Mapping[str, str]


class Transfer(NamedTuple):
    """One transfer between two wallets of an account.

    ``currency`` is spelled as the source spells it: BTC is XBT in the futures wallet.
    """

    row_id: int
    time_ns: int
    source: WalletName
    target: WalletName
    currency: str
    amount: Decimal
    client_oid: str


class FillRow(NamedTuple):
    """One fill and its charge.

    Attributes
    ----------
    row_id, fill
        Its number, and the fill.
    counter_order_id
        The order on the other side of the trade.
    request, stop
        What the filled order asked for, and the ``stop`` of the stop order that it was, if any.
    margin_mode
        ``"ISOLATED"``, ``"CROSS"``, or empty on spot.
    value
        Worth in the quote or settlement currency, positive.
    fee_rate
        Fee as a fraction of the value.
    closing_fee
        On futures, the part of the fee that belongs to closed lots.
    """

    row_id: int
    fill: Fill
    counter_order_id: str
    request: OrderRequest
    stop: str
    margin_mode: str
    value: Decimal
    fee_rate: Decimal
    closing_fee: Decimal


class FundingRow(NamedTuple):
    """One settled funding; ``funding`` is positive if it was received."""

    row_id: int
    time_ns: int
    symbol: str
    rate: float
    mark: Decimal
    quantity: int
    value: Decimal
    funding: Decimal
    settle: str
    margin_mode: str


class ClosedPosition(NamedTuple):
    """One position from its opening to its end.

    ``side`` is that of the position; ``profit`` is net of fees and with funding.
    """

    row_id: int
    opened_ms: int
    closed_ms: int
    symbol: str
    settle: str
    side: Literal["LONG", "SHORT"]
    is_liquidated: bool
    margin_mode: str
    leverage: Decimal
    entry_price: Decimal
    exit_price: Decimal
    gross_profit: Decimal
    fees: Decimal
    funding: Decimal
    lots: int

    @property
    def profit(self) -> Decimal:
        """What the position has earned."""
        return self.gross_profit - self.fees + self.funding


class Rows(Generic[_Row]):
    """The newest rows of one kind, oldest first; older ones are forgotten."""

    def __init__(self) -> None:
        self._rows: deque[_Row] = deque(maxlen=_ROWS_KEPT)

    def __iter__(self) -> Iterator[_Row]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: _Row) -> None:
        """Add the newest row."""
        self._rows.append(row)

    def newest_first(self) -> Iterator[_Row]:
        """Go through the rows from the newest to the oldest."""
        return reversed(self._rows)


class AccountBook:
    """The rows of one account, by kind.

    Attributes
    ----------
    ledger, transfers, fills, fundings, closed_positions
        The newest 100 000 of each kind.
    """

    def __init__(self) -> None:
        self.ledger: Rows[LedgerRow] = Rows()
        self.transfers: Rows[Transfer] = Rows()
        self.fills: Rows[FillRow] = Rows()
        self.fundings: Rows[FundingRow] = Rows()
        self.closed_positions: Rows[ClosedPosition] = Rows()
