"""Strategies with paper money: on recordings, on streams, and a comparison of the two."""

from __future__ import annotations

from kucoin_research.errors import StopStrategy, StrategyFailed
from kucoin_research.strategy.backtest import backtest
from kucoin_research.strategy.broker import Broker
from kucoin_research.strategy.chaos import chaos
from kucoin_research.strategy.lookahead import check_lookahead
from kucoin_research.strategy.paper import PaperTrading, paper
from kucoin_research.strategy.parity import Parity, parity
from kucoin_research.strategy.result import Result
from kucoin_research.strategy.signals import backtest_signals
from kucoin_research.strategy.strategy_files import load_strategy
from kucoin_research.strategy.sweep import Sweep, sweep
from kucoin_research.strategy.warm_up import check_warm_up

__all__ = [
    "Broker",
    "PaperTrading",
    "Parity",
    "Result",
    "StopStrategy",
    "StrategyFailed",
    "Sweep",
    "backtest",
    "backtest_signals",
    "chaos",
    "check_lookahead",
    "check_warm_up",
    "load_strategy",
    "paper",
    "parity",
    "sweep",
]
