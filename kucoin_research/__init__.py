"""Stream, record and replay KuCoin market data in Jupyter.

>>> import kucoin_research as kr
>>> kr.stream_to_frame("XBTUSDTM", rows=100, venue="demo", progress=False).height
100
"""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

import kucoin_research.foundation.early_interrupt  # noqa: F401  first: the rest takes a while

# isort: split
from kucoin_research.api.checks import find_venue
from kucoin_research.api.doctor import doctor
from kucoin_research.api.market import (
    candles,
    exchange_status,
    funding_rates,
    get_active_symbols,
    index_prices,
    instrument,
    mark_price,
    order_book,
    premium_index,
    recent_trades,
    server_time,
    stats,
    symbols,
    tickers,
)
from kucoin_research.api.registry import running
from kucoin_research.api.streams import record, replay, stream, stream_to_frame
from kucoin_research.compat import DataProcessor, KuCoinWebSocket
from kucoin_research.errors import (
    AuthenticationFailed,
    BadReply,
    BookNotReady,
    CertificateRefused,
    ChannelNotOffered,
    ColumnMissing,
    CommandInvalid,
    ConnectionLost,
    CredentialsMissing,
    ExchangeError,
    ExchangeUnavailable,
    FunctionFailed,
    HandshakeRefused,
    Incomplete,
    IncompleteData,
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
    RecordingReplaced,
    ServiceBusy,
    SessionBroken,
    SessionBusy,
    SessionError,
    SessionMissing,
    SessionNewer,
    SessionUnfinished,
    StaleSymbols,
    StopStrategy,
    StrategyFailed,
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
    UntrustedHost,
)
from kucoin_research.exchange.credentials import Credentials
from kucoin_research.exchange.rest.client import ExchangeStatus
from kucoin_research.exchange.venues import LIVE, Venue
from kucoin_research.foundation.late_import import import_late as _import_late
from kucoin_research.frames import analytics
from kucoin_research.frames.analytics import mark_filled, mid_bars, ohlcv, vwap
from kucoin_research.model.instruments import Instrument, RiskTier
from kucoin_research.model.integrity import Gap, Verdict
from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.records import CHANNELS
from kucoin_research.model.report import Report
from kucoin_research.model.status import State, StreamStatus
from kucoin_research.playback.replay import Replay
from kucoin_research.sessions.checks.repair import repair
from kucoin_research.sessions.checks.verification import verify
from kucoin_research.sessions.conversion import convert
from kucoin_research.sessions.import_csv import load_csv
from kucoin_research.sessions.loading import load
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.writing.recorder import Recorder
from kucoin_research.streaming.limits import Healing
from kucoin_research.streaming.recording import Recording
from kucoin_research.streaming.stream import Stream

if _TYPE_CHECKING:  # for the type checker and the editor; see __getattr__
    from kucoin_research import figures as figures
    from kucoin_research.api.screening import Screener
    from kucoin_research.api.serve import ServedSession, serve
    from kucoin_research.api.simulated import SimulatedExchange, simulate
    from kucoin_research.api.strategies import (
        Broker,
        PaperTrading,
        Parity,
        Result,
        Sweep,
        backtest,
        backtest_signals,
        chaos,
        check_lookahead,
        check_warm_up,
        paper,
        parity,
        sweep,
    )
    from kucoin_research.bridges.candle_frames import to_backtesting, to_vectorbt
    from kucoin_research.bridges.hft_data import to_hftbacktest
    from kucoin_research.bridges.pandas_frames import to_pandas
    from kucoin_research.dashboards import dashboard as dashboard
    from kucoin_research.dashboards.screener_front import screener

__version__ = _version("kucoin-research")

# Imported when they are first used: plotly takes longer to import than all the rest, the simulated
# exchange a quarter of it, and bridges are for few.
_LAZY = {
    "Broker": ("kucoin_research.api.strategies", "Broker"),
    "PaperTrading": ("kucoin_research.api.strategies", "PaperTrading"),
    "Parity": ("kucoin_research.api.strategies", "Parity"),
    "Result": ("kucoin_research.api.strategies", "Result"),
    "ServedSession": ("kucoin_research.api.serve", "ServedSession"),
    "SimulatedExchange": ("kucoin_research.api.simulated", "SimulatedExchange"),
    "Sweep": ("kucoin_research.api.strategies", "Sweep"),
    "backtest": ("kucoin_research.api.strategies", "backtest"),
    "backtest_signals": ("kucoin_research.api.strategies", "backtest_signals"),
    "chaos": ("kucoin_research.api.strategies", "chaos"),
    "check_lookahead": ("kucoin_research.api.strategies", "check_lookahead"),
    "check_warm_up": ("kucoin_research.api.strategies", "check_warm_up"),
    "dashboard": ("kucoin_research.dashboards", "dashboard"),
    "figures": ("kucoin_research.figures", None),
    "paper": ("kucoin_research.api.strategies", "paper"),
    "parity": ("kucoin_research.api.strategies", "parity"),
    "sim": ("kucoin_research.sim", None),
    "Screener": ("kucoin_research.api.screening", "Screener"),
    "screener": ("kucoin_research.dashboards.screener_front", "screener"),
    "serve": ("kucoin_research.api.serve", "serve"),
    "simulate": ("kucoin_research.api.simulated", "simulate"),
    "sweep": ("kucoin_research.api.strategies", "sweep"),
    "to_backtesting": ("kucoin_research.bridges.candle_frames", "to_backtesting"),
    "to_hftbacktest": ("kucoin_research.bridges.hft_data", "to_hftbacktest"),
    "to_pandas": ("kucoin_research.bridges.pandas_frames", "to_pandas"),
    "to_vectorbt": ("kucoin_research.bridges.candle_frames", "to_vectorbt"),
}

# What to use instead where the libraries of widgets are missing.
_PLAIN = {"screener": ("kucoin_research.api.screening", "plain_screener")}


def __getattr__(name: str) -> _Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    try:
        found = _import_late(module)
    except ModuleNotFoundError as error:
        if name in _PLAIN:
            module, attribute = _PLAIN[name]
            return getattr(_import_late(module), attribute)
        raise ModuleNotFoundError(
            f"{name} needs {error.name}: pip install {error.name}", name=error.name
        ) from error
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return sorted([*__all__, "dashboard", "figures"])


__all__ = [
    "CHANNELS",
    "LIVE",
    "AuthenticationFailed",
    "BadReply",
    "BookNotReady",
    "Broker",
    "CertificateRefused",
    "ChannelNotOffered",
    "ColumnMissing",
    "CommandInvalid",
    "ConnectionLost",
    "Credentials",
    "CredentialsMissing",
    "DataProcessor",
    "ExchangeError",
    "ExchangeStatus",
    "ExchangeUnavailable",
    "FunctionFailed",
    "Gap",
    "HandshakeRefused",
    "Healing",
    "Incomplete",
    "IncompleteData",
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
    "PaperTrading",
    "Parity",
    "ProtocolViolation",
    "RateLimited",
    "Recorder",
    "Recording",
    "RecordingReplaced",
    "Replay",
    "Report",
    "Result",
    "RiskTier",
    "Screener",
    "ServedSession",
    "ServiceBusy",
    "Session",
    "SessionBroken",
    "SessionBusy",
    "SessionError",
    "SessionMissing",
    "SessionNewer",
    "SessionUnfinished",
    "SimulatedExchange",
    "StaleSymbols",
    "State",
    "StopStrategy",
    "StrategyFailed",
    "Stream",
    "StreamError",
    "StreamStatus",
    "StreamStopped",
    "StreamTimeout",
    "Sweep",
    "SymbolNotTrading",
    "TokenRejected",
    "TopicInvalid",
    "TopicNotFound",
    "UnknownChannel",
    "UnknownSymbol",
    "UnknownVenue",
    "Unreachable",
    "UntrustedHost",
    "Venue",
    "Verdict",
    "analytics",
    "backtest",
    "backtest_signals",
    "candles",
    "chaos",
    "check_lookahead",
    "check_warm_up",
    "convert",
    "doctor",
    "exchange_status",
    "find_venue",
    "funding_rates",
    "get_active_symbols",
    "index_prices",
    "instrument",
    "load",
    "load_csv",
    "mark_filled",
    "mark_price",
    "mid_bars",
    "ohlcv",
    "order_book",
    "paper",
    "parity",
    "premium_index",
    "recent_trades",
    "record",
    "repair",
    "replay",
    "running",
    "screener",
    "serve",
    "server_time",
    "simulate",
    "stats",
    "stream",
    "stream_to_frame",
    "sweep",
    "symbols",
    "tickers",
    "to_backtesting",
    "to_hftbacktest",
    "to_pandas",
    "to_vectorbt",
    "verify",
    "vwap",
]
