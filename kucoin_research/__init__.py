"""Stream, record and replay KuCoin market data in Jupyter.

>>> import kucoin_research as kr
>>> kr.stream_to_frame("XBTUSDTM", rows=100, venue="demo", progress=False).height
100
"""

from importlib.metadata import version as _version

from kucoin_research.analytics import ohlcv, vwap
from kucoin_research.api import (
    SimulatedExchange,
    candles,
    find_venue,
    funding_rates,
    get_active_symbols,
    instrument,
    order_book,
    recent_trades,
    running,
    simulate,
    stream,
    stream_to_frame,
    symbols,
)
from kucoin_research.classic import DataProcessor, KuCoinWebSocket
from kucoin_research.credentials import Credentials
from kucoin_research.errors import (
    AuthenticationFailed,
    BadReply,
    BookNotReady,
    ChannelNotOffered,
    ColumnMissing,
    CommandInvalid,
    ConnectionLost,
    ExchangeError,
    ExchangeUnavailable,
    HandshakeRefused,
    Incomplete,
    InvalidInput,
    InvalidRequest,
    KucoinResearchError,
    LimitExceeded,
    LoginRequired,
    MessageBroken,
    NetworkError,
    NotFound,
    ProtocolViolation,
    RateLimited,
    ServiceBusy,
    StaleSymbols,
    StreamError,
    StreamStopped,
    StreamTimeout,
    SymbolNotTrading,
    TokenRejected,
    TopicInvalid,
    TopicNotFound,
    UnknownChannel,
    UnknownSymbol,
    UnknownVenue,
    Unreachable,
)
from kucoin_research.instruments import Instrument
from kucoin_research.integrity import Gap, Verdict
from kucoin_research.orderbook import OrderBook
from kucoin_research.records import CHANNELS
from kucoin_research.report import Report
from kucoin_research.stream import State, Stream, StreamStatus
from kucoin_research.venues import LIVE, Venue

__version__ = _version("kucoin-research")

__all__ = [
    "CHANNELS",
    "LIVE",
    "AuthenticationFailed",
    "BadReply",
    "BookNotReady",
    "ChannelNotOffered",
    "ColumnMissing",
    "CommandInvalid",
    "ConnectionLost",
    "Credentials",
    "DataProcessor",
    "ExchangeError",
    "ExchangeUnavailable",
    "Gap",
    "HandshakeRefused",
    "Incomplete",
    "Instrument",
    "InvalidInput",
    "InvalidRequest",
    "KuCoinWebSocket",
    "KucoinResearchError",
    "LimitExceeded",
    "LoginRequired",
    "MessageBroken",
    "NetworkError",
    "NotFound",
    "OrderBook",
    "ProtocolViolation",
    "RateLimited",
    "Report",
    "ServiceBusy",
    "SimulatedExchange",
    "StaleSymbols",
    "State",
    "Stream",
    "StreamError",
    "StreamStatus",
    "StreamStopped",
    "StreamTimeout",
    "SymbolNotTrading",
    "TokenRejected",
    "TopicInvalid",
    "TopicNotFound",
    "UnknownChannel",
    "UnknownSymbol",
    "UnknownVenue",
    "Unreachable",
    "Venue",
    "Verdict",
    "candles",
    "find_venue",
    "funding_rates",
    "get_active_symbols",
    "instrument",
    "ohlcv",
    "order_book",
    "recent_trades",
    "running",
    "simulate",
    "stream",
    "stream_to_frame",
    "symbols",
    "vwap",
]
