"""Strategies on paper: backtests, and what belongs to them."""

from __future__ import annotations

from kucoin_research.errors import StopStrategy, StrategyFailed
from kucoin_research.strategy.backtest import backtest
from kucoin_research.strategy.broker import Broker
from kucoin_research.strategy.result import Result

__all__ = ["Broker", "Result", "StopStrategy", "StrategyFailed", "backtest"]
