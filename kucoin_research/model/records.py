"""The records: one flat immutable type per channel, and the schema of its frame.

A record's fields are its frame's columns and its CSV's header, in the same order. Times are ``int``
nanoseconds since 1970-01-01 UTC; missing values are ``None``. The wide records keep every field of
KuCoin's message, so that nothing that the exchange sends is lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, unique
from functools import cache
from operator import itemgetter
from typing import Annotated, NamedTuple, TypeAlias, get_args, get_origin, get_type_hints

import polars as pl

__all__ = [
    "ACCOUNT_CHANNELS",
    "ALL_SYMBOLS",
    "CHANNELS",
    "CHANNEL_OF",
    "PRIVATE_CHANNELS",
    "ROWS_FILLED",
    "STAMPED_AS_READ",
    "Balance",
    "BestBidOffer",
    "Candle",
    "Column",
    "Depth5",
    "Depth50",
    "Fill",
    "FundingRate",
    "Level2",
    "Leverage",
    "Margin",
    "MarkPrice",
    "Order",
    "Position",
    "Record",
    "Snapshot",
    "Status",
    "StopOrder",
    "Ticker",
    "Trade",
    "columns_of",
    "file_mode",
    "filled_until",
    "interval_of",
    "local_timestamp_of",
    "number_in",
    "schema_of",
    "sequence_of",
    "symbol_of",
    "timestamp_of",
    "trade_id_of",
]


@unique
class Column(Enum):
    """The kind of a column's values, independent of how they are stored."""

    TIME = "time"  # int ns UTC
    INTEGER = "integer"  # exact 64-bit
    NUMBER = "number"  # finite float
    NUMBERS = "numbers"  # tuple of finite floats
    SIDE = "side"  # "buy" or "sell"
    FLAG = "flag"  # bool
    LABEL = "label"  # text with few distinct values
    TEXT = "text"  # any text


Time: TypeAlias = Annotated[int | None, Column.TIME]
Integer: TypeAlias = Annotated[int | None, Column.INTEGER]
Number: TypeAlias = Annotated[float | None, Column.NUMBER]
Numbers: TypeAlias = Annotated[tuple[float, ...], Column.NUMBERS]
Side: TypeAlias = Annotated[str | None, Column.SIDE]
Flag: TypeAlias = Annotated[bool, Column.FLAG]
MaybeFlag: TypeAlias = Annotated[bool | None, Column.FLAG]
Label: TypeAlias = Annotated[str | None, Column.LABEL]
Text: TypeAlias = Annotated[str | None, Column.TEXT]


class Ticker(NamedTuple):
    """Best bid and ask with sizes, and the last trade; ``side`` is the taker's, null on spot."""

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    sequence: Integer
    price: Number
    size: Number
    side: Side
    best_bid_price: Number
    best_bid_size: Number
    best_ask_price: Number
    best_ask_size: Number


class BestBidOffer(NamedTuple):
    """Best bid and ask with sizes. Spot sends no sequence."""

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    sequence: Integer
    best_bid_price: Number
    best_bid_size: Number
    best_ask_price: Number
    best_ask_size: Number


class Trade(NamedTuple):
    """One public execution; ``side`` is the taker's. ``trade_id`` is text: old ones are hex."""

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    sequence: Integer
    trade_id: Text
    side: Side
    price: Number
    size: Number


class Candle(NamedTuple):
    """A candle as of one push; ``timestamp`` is its open time. Futures send no turnover."""

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    interval: Label
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number
    turnover: Number


class Level2(NamedTuple):
    """One level of the order book: the size now resting at a price, 0 if none.

    ``side`` is ``buy`` for bids and ``sell`` for asks. The rows of a snapshot share one sequence.
    """

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    sequence: Integer
    is_snapshot: Flag
    side: Side
    price: Number
    size: Number


class Depth5(NamedTuple):
    """The five best bids and asks; levels that do not exist are null. Spot sends no sequence.

    Four fields for each of five levels, so that the frame's columns are plain numbers.
    """

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    sequence: Integer
    bid_price_1: Number
    bid_price_2: Number
    bid_price_3: Number
    bid_price_4: Number
    bid_price_5: Number
    bid_size_1: Number
    bid_size_2: Number
    bid_size_3: Number
    bid_size_4: Number
    bid_size_5: Number
    ask_price_1: Number
    ask_price_2: Number
    ask_price_3: Number
    ask_price_4: Number
    ask_price_5: Number
    ask_size_1: Number
    ask_size_2: Number
    ask_size_3: Number
    ask_size_4: Number
    ask_size_5: Number


class Depth50(NamedTuple):
    """Up to fifty bids and fifty asks, each best first. Spot sends no sequence."""

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    sequence: Integer
    bid_prices: Numbers
    bid_sizes: Numbers
    ask_prices: Numbers
    ask_sizes: Numbers


class MarkPrice(NamedTuple):
    """Mark and index price. Spot sends them in separate messages, so one of the two is null."""

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    mark_price: Number
    index_price: Number


class FundingRate(NamedTuple):
    """Funding rate: the fraction of notional that longs pay to shorts.

    ``granularity_ms`` is null on a settlement.
    """

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    funding_rate: Number
    granularity_ms: Integer


class Snapshot(NamedTuple):
    """24-hour statistics. ``volume`` is in base coins; ``price_change_pct`` is a fraction."""

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    last_price: Number
    high: Number
    low: Number
    volume: Number
    turnover: Number
    price_change: Number
    price_change_pct: Number


class Order(NamedTuple):
    """One event of one of the account's orders; a column that its market lacks is null.

    ``type`` is ``received`` (spot), ``open``, ``match``, ``update``, ``filled`` or ``canceled``.
    ``match`` fills ``match_price``, ``match_size``, ``trade_id``, ``liquidity`` and ``fee_type``;
    ``update`` fills ``old_size``. The fee follows ``fee_type``. The fields are those of KuCoin's
    message.
    """

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    type: Label
    status: Label
    order_id: Text
    client_oid: Text
    side: Side
    order_type: Label
    price: Number
    size: Number
    filled_size: Number
    canceled_size: Number
    remain_size: Number
    match_price: Number
    match_size: Number
    trade_id: Text
    liquidity: Label
    fee_type: Label
    old_size: Number
    order_time: Time
    origin_size: Number
    origin_funds: Number
    remain_funds: Number
    canceled_funds: Number
    margin_mode: Label
    position_side: Label
    trade_type: Label


class Fill(NamedTuple):
    """One execution of one of the account's orders, taken from its ``match`` event."""

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    order_id: Text
    client_oid: Text
    trade_id: Text
    side: Side
    price: Number
    size: Number
    liquidity: Label
    fee_type: Label


class Balance(NamedTuple):
    """A change of the account's balance of a currency. It belongs to no symbol.

    ``total`` is the total balance on spot and the wallet balance on futures, where ``equity`` also
    includes the profit and loss of open positions. ``event`` is KuCoin's subject; the older futures
    subjects fill only the columns that they name. The fields are those of KuCoin's messages.
    """

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    market: Label
    event: Label
    currency: Label
    total: Number
    available: Number
    hold: Number
    available_change: Number
    hold_change: Number
    account_id: Text
    relation_event: Label
    relation_event_id: Text
    relation_symbol: Label
    relation_order_id: Text
    relation_trade_id: Text
    version: Integer
    equity: Number
    total_cross_margin: Number
    cross_pos_margin: Number
    cross_order_margin: Number
    cross_un_pnl: Number
    isolated_pos_margin: Number
    isolated_order_margin: Number
    isolated_un_pnl: Number
    isolated_funding_fee_margin: Number
    order_margin: Number
    withdraw_hold: Number


class Position(NamedTuple):
    """An event of a futures position; ``current_qty`` is signed lots, negative when short.

    ``event`` is ``change`` (``change_reason`` has the cause), ``settlement`` (funding was paid:
    ``funding_time``, ``funding_rate``, ``funding_fee``, and the size that paid it) or
    ``risk_limit`` (``success`` and ``msg`` answer a change of ``risk_limit_level``). The messages
    on a moving mark price are partial: a field that they leave out keeps its last known value, and
    is null before there is one. The 47 fields are those of KuCoin's messages.
    """

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    event: Label
    change_reason: Label
    margin_mode: Label
    position_side: Label
    settle_currency: Label
    current_qty: Number
    avg_entry_price: Number
    mark_price: Number
    mark_value: Number
    leverage: Number
    real_leverage: Number
    liquidation_price: Number
    bankrupt_price: Number
    unrealised_pnl: Number
    unrealised_pnl_pcnt: Number
    unrealised_roe_pcnt: Number
    realised_pnl: Number
    realised_gross_pnl: Number
    realised_gross_cost: Number
    realised_cost: Number
    unrealised_cost: Number
    current_cost: Number
    current_comm: Number
    pos_cost: Number
    pos_cross: Number
    pos_init: Number
    pos_comm: Number
    pos_loss: Number
    pos_margin: Number
    pos_funding: Number
    pos_maint: Number
    maint_margin: Number
    maint_margin_req: Number
    delev_percentage: Number
    risk_limit: Number
    risk_limit_level: Integer
    auto_deposit: MaybeFlag
    is_open: MaybeFlag
    opening_timestamp: Time
    funding_time: Time
    funding_rate: Number
    funding_fee: Number
    success: MaybeFlag
    msg: Text


class StopOrder(NamedTuple):
    """An event of one of the account's stop orders: ``open``, ``triggered`` or ``cancel``."""

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    type: Label
    order_id: Text
    client_oid: Text
    side: Side
    order_type: Label
    size: Number
    order_price: Number
    stop: Label
    stop_price: Number
    stop_price_type: Label
    margin_mode: Label
    trade_type: Label
    trigger_success: MaybeFlag
    error: Text
    created_at: Time


class Margin(NamedTuple):
    """State of a spot margin account, one row per currency in the message.

    ``event`` is KuCoin's subject: ``debt.ratio`` and ``position.status`` are about the cross
    account (null symbol), ``positionChange`` is about an isolated pair. The figures of the whole
    account repeat on each row; a message without currencies becomes one row with a null currency.
    """

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    event: Label
    type: Label
    status: Label
    status_biz_type: Label
    debt_ratio: Number
    total_asset: Number
    total_debt: Number
    margin_coefficient_total_asset: Number
    accumulated_principal: Number
    currency: Label
    total: Number
    available: Number
    hold: Number
    debt: Number
    liability_principal: Number
    liability_interest: Number


class Leverage(NamedTuple):
    """A change of a contract's settings: the margin mode, or the leverage of cross margin.

    KuCoin's message has no time, so ``timestamp`` is null.
    """

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    margin_mode: Label
    leverage: Number


class Status(NamedTuple):
    """An event of the stream itself, in one order with the data.

    Both times are local. For an event that lasted, ``timestamp`` is its begin: a ``gap`` began
    then, and the rows that a ``filled`` event reports have local timestamps from then on.
    ``first_sequence`` and ``last_sequence`` are the bounds of the missing or filled sequences.
    """

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    event: Label
    channel: Label
    detail: Text
    first_sequence: Integer
    last_sequence: Integer


Record: TypeAlias = (
    Ticker
    | BestBidOffer
    | Trade
    | Candle
    | Level2
    | Depth5
    | Depth50
    | MarkPrice
    | FundingRate
    | Snapshot
    | Order
    | Fill
    | Balance
    | Position
    | StopOrder
    | Margin
    | Leverage
    | Status
)

CHANNELS: dict[str, type[Record]] = {
    "ticker": Ticker,
    "bbo": BestBidOffer,
    "trade": Trade,
    "candle": Candle,
    "level2": Level2,
    "depth5": Depth5,
    "depth50": Depth50,
    "mark_price": MarkPrice,
    "funding_rate": FundingRate,
    "snapshot": Snapshot,
    "order": Order,
    "fill": Fill,
    "balance": Balance,
    "position": Position,
    "stop_order": StopOrder,
    "margin": Margin,
    "leverage": Leverage,
    "status": Status,
}

#: The channel's name by its record type.
CHANNEL_OF: dict[type[Record], str] = {record: name for name, record in CHANNELS.items()}

# Accessors by position, for records of any type, as in sort keys. The first three fields are the
# same in all records; the accessors after them are for the types named beside each.
timestamp_of: Callable[[Record], int | None] = itemgetter(0)
local_timestamp_of: Callable[[Record], int] = itemgetter(1)  # of a row that has been stamped
symbol_of: Callable[[Record], str] = itemgetter(2)
sequence_of: Callable[[Record], int | None] = itemgetter(3)  # where the type has a sequence
interval_of: Callable[[Record], str | None] = itemgetter(3)  # of a candle
trade_id_of: Callable[[Record], str | None] = itemgetter(4)  # of a trade

#: Channels about the user's account; they need credentials.
PRIVATE_CHANNELS = frozenset(
    {"order", "fill", "balance", "position", "stop_order", "margin", "leverage"}
)
#: Private channels about the account as a whole, whatever symbols were named.
ACCOUNT_CHANNELS = frozenset({"balance", "margin"})
#: Stands for every symbol, on private channels.
ALL_SYMBOLS = "*"
#: How the detail of a ``filled`` status row begins, if rows came.
ROWS_FILLED = r"^([\d,]+) rows came by REST"
#: How the detail of a ``released`` status row ends, if the rows' local timestamps are still right.
STAMPED_AS_READ = "their local timestamps are of when they were read"

_LATEST_NS = (1 << 63) - 1  # the last instant of a 64-bit nanosecond clock

_SIDES = pl.Enum(["buy", "sell"])
_DTYPES: dict[Column, pl.DataType] = {
    Column.TIME: pl.Datetime("ns", "UTC"),
    Column.INTEGER: pl.Int64(),
    Column.NUMBER: pl.Float64(),
    Column.NUMBERS: pl.List(pl.Float64()),
    Column.SIDE: _SIDES,
    Column.FLAG: pl.Boolean(),
    Column.LABEL: pl.Categorical(),
    Column.TEXT: pl.String(),
}


def file_mode(channel: str) -> int:
    """Return the permissions of a file of a channel's rows; private ones are for the owner only."""
    return 0o600 if channel.partition(":")[0] in PRIVATE_CHANNELS else 0o644


def columns_of(record: type[tuple[object, ...]]) -> dict[str, Column]:
    """Return a record type's columns, in order, with the kind of each."""
    return dict(_columns(record))


# Each stream asks for those of all its channels, and to evaluate the hints takes milliseconds.
@cache
def _columns(record: type[tuple[object, ...]]) -> tuple[tuple[str, Column], ...]:
    hints = get_type_hints(record, include_extras=True)
    return tuple(
        (name, next(arg for arg in get_args(hint) if isinstance(arg, Column)))
        for name, hint in hints.items()
        if get_origin(hint) is Annotated
    )


def schema_of(record: type[tuple[object, ...]]) -> pl.Schema:
    """Return the polars schema of a record type's frame, in column order."""
    return pl.Schema({name: _DTYPES[kind] for name, kind in columns_of(record).items()})


def filled_until(began: int, reported: int, detail: str | None) -> int:
    """Return the end of the local timestamps of the rows that a ``filled`` status row reports.

    Parameters
    ----------
    began, reported
        The status row's ``timestamp``, which is the local timestamp of the first of the rows, and
        its ``local_timestamp``.
    detail
        The status row's ``detail``, which names the number of rows. They are 1 ns apart.

    Returns
    -------
    int
        ns UTC, one above the last row's; ``reported`` if the detail names no number.
    """
    found = re.match(ROWS_FILLED, detail or "")
    return reported if found is None else min(began + number_in(found[1]), _LATEST_NS)


def number_in(text: str) -> int:
    """Read a number with commas between its digits; 0 if it has more than 18 digits.

    The rows of a recording may come from anybody, and Python refuses to read thousands of digits.
    """
    digits = text.replace(",", "")
    return int(digits) if 0 < len(digits) < 19 else 0
