"""The shapes of KuCoin's REST replies, with its own field names.

Fields that we can do without are optional: KuCoin adds and drops fields without notice.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from kucoin_research.exchange.json_numbers import (
    AboveZero,
    BookSequence,
    Integer,
    NotNegative,
    Number,
)

__all__ = [
    "BookData",
    "ContractFacts",
    "ContractRow",
    "ContractStats",
    "Envelope",
    "FundingRow",
    "FuturesCandle",
    "FuturesTicker",
    "InstanceServer",
    "PairRow",
    "Point",
    "Points",
    "Simulation",
    "SpotCandle",
    "SpotTicker",
    "SpotTickers",
    "StatusData",
    "TokenData",
    "TradeRow",
]

_Levels: TypeAlias = list[tuple[NotNegative, NotNegative]] | None


class Envelope(Struct):
    """What every reply is wrapped in."""

    code: str | int | None = None
    msg: msgspec.Raw = msgspec.Raw(b"null")  # not decoded unless it is text
    data: msgspec.Raw = msgspec.Raw(b"null")


class InstanceServer(Struct, rename="camel"):
    """A WebSocket server of a token; intervals in ms."""

    endpoint: str
    ping_interval: AboveZero = 18_000
    ping_timeout: AboveZero = 10_000


class Simulation(Struct):
    """The virtual clock of a simulated exchange, and how long its tokens last."""

    speed: AboveZero | None = None
    lifetime: AboveZero | None = None


class TokenData(Struct, rename="camel"):
    """A token for one WebSocket connection."""

    token: msgspec.Raw  # raw, so that no dump of this struct shows it
    instance_servers: list[InstanceServer]
    simulation: Simulation | None = None  # sent by the simulated exchange only


class StatusData(Struct):
    """Whether a market trades."""

    status: str
    msg: str | None = None


class ContractRow(Struct, rename="camel"):
    """A futures contract; the fields are those of KuCoin's rows that we use, hence their number."""

    symbol: str
    base_currency: str
    quote_currency: str
    tick_size: AboveZero
    lot_size: AboveZero
    multiplier: Number
    settle_currency: str | None = None
    is_inverse: bool | None = None
    maker_fee_rate: Number | None = None
    taker_fee_rate: Number | None = None
    status: str | None = None
    max_leverage: Number | None = None
    max_order_qty: Number | None = None
    current_funding_rate_granularity: Integer | None = None
    funding_rate_granularity: Integer | None = None
    index_symbol: str | None = None
    expire_date: Integer | None = None
    display_symbol: str | None = None
    max_price: Number | None = None
    market_max_order_qty: Number | None = None
    mark_price: Number | None = None
    buy_limit: Number | None = None
    sell_limit: Number | None = None
    order_price_range: Number | None = None
    initial_margin: Number | None = None
    maintain_margin: Number | None = None
    m: Number | None = None
    mmr_limit: Number | None = None
    mmr_lev_constant: Number | None = None


class PairRow(Struct, rename="camel"):
    """A spot pair."""

    symbol: str
    base_currency: str
    quote_currency: str
    base_increment: AboveZero
    price_increment: AboveZero
    base_min_size: Number | None = None
    base_max_size: Number | None = None
    enable_trading: bool | None = None
    fee_category: Integer | None = None
    maker_fee_coefficient: Number | None = None
    taker_fee_coefficient: Number | None = None
    name: str | None = None
    min_funds: Number | None = None
    price_limit_rate: Number | None = None


class BookData(Struct):
    """An order book."""

    sequence: BookSequence
    bids: _Levels = None
    asks: _Levels = None
    ts: Integer | None = None  # futures
    time: Integer | None = None  # spot


class TradeRow(Struct, rename="camel"):
    """A public trade."""

    price: NotNegative
    size: NotNegative
    side: Literal["buy", "sell"]
    sequence: Integer | None = None
    trade_id: str | int | None = None
    ts: Integer | None = None  # futures
    time: Integer | None = None  # spot


class FuturesCandle(Struct, array_like=True):
    """A candle of futures; the start in ms."""

    start: Integer
    open: Number
    high: Number
    low: Number
    close: Number
    volume: Number
    turnover: Number | None = None  # sent since 2025-09-12


class SpotCandle(Struct, array_like=True):
    """A candle of spot; the start in s."""

    start: Integer
    open: Number
    close: Number  # before high and low, unlike on futures
    high: Number
    low: Number
    volume: Number
    turnover: Number | None = None


class FundingRow(Struct):
    """A settled funding rate."""

    timepoint: Integer
    funding_rate: Number = msgspec.field(name="fundingRate")


class Point(Struct, rename="camel"):
    """A mark price, or a value of an index or a premium."""

    time_point: Integer
    value: Number
    index_price: Number | None = None


class Points(Struct, rename="camel"):
    """A page of an index or a premium."""

    data_list: list[Point]  # paging looks at the rows alone, not at hasMore


class FuturesTicker(Struct, rename="camel"):
    """Best bid, best ask and last trade of a contract."""

    symbol: str
    sequence: Integer | None = None
    price: Number | None = None
    size: Number | None = None
    side: Literal["buy", "sell"] | None = None
    best_bid_price: Number | None = None
    best_bid_size: Number | None = None
    best_ask_price: Number | None = None
    best_ask_size: Number | None = None
    ts: Integer | None = None


class ContractStats(Struct, rename="camel"):
    """The last 24 hours of a contract."""

    symbol: str
    last_trade_price: Number | None = None
    high_price: Number | None = None
    low_price: Number | None = None
    volume: Number | None = msgspec.field(name="volumeOf24h", default=None)
    turnover: Number | None = msgspec.field(name="turnoverOf24h", default=None)
    price_chg: Number | None = None
    price_chg_pct: Number | None = None


class ContractFacts(Struct, rename="camel"):
    """The figures of a contract in the list of all; see ``market_facts.MarketFacts``."""

    symbol: str
    last_trade_price: Number | None = None
    price_chg_pct: Number | None = None
    volume: Number | None = msgspec.field(name="volumeOf24h", default=None)
    turnover: Number | None = msgspec.field(name="turnoverOf24h", default=None)
    mark_price: Number | None = None
    index_price: Number | None = None
    funding_fee_rate: Number | None = None
    next_funding_rate_date_time: Integer | None = None
    next_funding_rate_time: Integer | None = None  # ms until then
    open_interest: Number | None = None
    multiplier: Number | None = None
    tick_size: Number | None = None


class SpotTicker(Struct, rename="camel"):
    """Best bid, best ask, last trade and the last 24 hours of a pair."""

    symbol: str
    buy: Number | None = None
    best_bid_size: Number | None = None
    sell: Number | None = None
    best_ask_size: Number | None = None
    last: Number | None = None
    high: Number | None = None
    low: Number | None = None
    vol: Number | None = None
    vol_value: Number | None = None
    change_price: Number | None = None
    change_rate: Number | None = None
    taker_fee_rate: Number | None = None
    time: Integer | None = None  # of a single pair; a list of all pairs has one time for all


class SpotTickers(Struct):
    """The tickers of all pairs."""

    ticker: msgspec.Raw  # rows of SpotTicker, kept raw: one may be malformed
    time: Integer | None = None
