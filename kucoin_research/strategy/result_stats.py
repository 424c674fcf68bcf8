"""The figures of a result: each by its name, and why one is missing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

import polars as pl

from kucoin_research.model.units import datetime_of
from kucoin_research.strategy.run_facts import RunFacts
from kucoin_research.strategy.statistics import (
    LEAST_RETURNS,
    Drawdown,
    Grid,
    annual_return,
    drawdown,
    expectancy,
    profit_factor,
    resample,
    series_of,
    sharpe_of,
    sortino,
    time_mean,
    volatility,
    win_rate,
)

__all__ = ["Figures", "Value", "figures_of"]

#: A figure: a number, a time, a span of time, or ``None`` where it has no meaning.
Value = float | int | datetime | timedelta | None

_LEAST_DAYS = 30
_DAY_NS = 86_400 * 1_000_000_000
_PERCENT = 100.0


class Figures(NamedTuple):
    """The figures of a run.

    Attributes
    ----------
    values
        By name, in the order of printing.
    reasons
        Why a figure is ``None``, by name.
    grid
        Equity on the regular grid that the ratios are of.
    drawdown
        ``None`` if there is no equity to compare with.
    final_equity
        ``None`` without a row of equity.
    """

    values: Mapping[str, Value]
    reasons: Mapping[str, str]
    grid: Grid
    drawdown: Drawdown | None
    final_equity: float | None


class _Collected:
    """Collects figures by name; one that is missing must have a reason."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.reasons: dict[str, str] = {}

    def add(self, name: str, value: Value, reason: str = "") -> None:
        self.values[name] = value
        if value is None:
            assert reason, f"{name} is missing for a reason"
            self.reasons[name] = reason

    def percent(self, name: str, value: float | None, reason: str = "") -> None:
        self.add(name, None if value is None else _PERCENT * value, reason)


def figures_of(facts: RunFacts, step_ns: int | None = None) -> Figures:
    """Compute all figures of a run.

    Parameters
    ----------
    facts
        Of the run.
    step_ns
        The time that each return of the ratios is over; left out, as ``resample`` chooses it.

    Returns
    -------
    Figures
        ``values`` has one entry for each name of the contract: times as ``datetime`` in UTC, spans
        as ``timedelta``, shares and changes in percent, money in the currency of the run. A
        drawdown is zero or negative.
    """
    grid = resample(
        facts.equity, initial=facts.initial_equity, coverage=facts.coverage, step_ns=step_ns
    )
    _, known = series_of(facts.equity, "equity")
    final = float(known[-1]) if known.size else None
    fall = _drawdown(facts)
    found = _Collected()
    _add_span(found, facts)
    _add_returns(found, facts, grid, final=final, fall=fall)
    _add_use(found, facts)
    _add_trades(found, facts)
    _add_costs(found, facts)
    _add_orders(found, facts)
    return Figures(
        MappingProxyType(found.values), MappingProxyType(found.reasons), grid, fall, final
    )


def _drawdown(facts: RunFacts) -> Drawdown | None:
    if facts.initial_equity <= 0 or facts.start_ns is None or facts.end_ns is None:
        return None
    return drawdown(
        facts.equity,
        initial=facts.initial_equity,
        begin_ns=facts.start_ns,
        end_ns=facts.end_ns,
    )


def _add_span(found: _Collected, facts: RunFacts) -> None:
    reason = "no record was played"
    start, end = facts.start_ns, facts.end_ns
    found.add("start", None if start is None else datetime_of(start), reason)
    found.add("end", None if end is None else datetime_of(end), reason)
    found.add("duration", _time(facts.coverage.end_ns - facts.coverage.begin_ns))
    found.add("records", facts.records)


def _add_returns(
    found: _Collected,
    facts: RunFacts,
    grid: Grid,
    *,
    final: float | None,
    fall: Drawdown | None,
) -> None:
    initial = facts.initial_equity
    poor, nothing = "the run began without equity", "no equity was noted"
    why = poor if initial <= 0 else nothing
    is_known = final is not None and initial > 0
    found.percent(
        "return_pct", final / initial - 1 if final is not None and is_known else None, why
    )
    annual, why = _annual(facts, final)
    found.percent("annual_return_pct", annual, why)
    _add_ratios(found, grid)
    deep = fall.depth if fall is not None and fall.depth < 0 else None
    reason = why if annual is None else "equity never fell"
    found.add("calmar", None if annual is None or deep is None else annual / -deep, reason)
    found.percent("max_drawdown_pct", None if fall is None else fall.depth, _no_fall(facts))
    lasted = None if fall is None else _time(fall.duration_ns)
    found.add("max_drawdown_duration", lasted, _no_fall(facts))


def _no_fall(facts: RunFacts) -> str:
    return "the run began without equity" if facts.start_ns is not None else "no record was played"


def _annual(facts: RunFacts, final: float | None) -> tuple[float | None, str]:
    """Return the growth per year, or ``None`` and the reason."""
    if final is None:
        return None, "no equity was noted"
    if facts.initial_equity <= 0 or final <= 0:
        return None, "equity was zero or less"
    days = facts.coverage.covered_ns / _DAY_NS
    if days < _LEAST_DAYS:
        return None, f"{days:.2g} days; {_LEAST_DAYS} are needed"
    span = facts.coverage.end_ns - facts.coverage.begin_ns
    return annual_return(facts.initial_equity, final, span), "the number is too large"


def _add_ratios(found: _Collected, grid: Grid) -> None:
    returns, per_year = grid.returns, grid.per_year
    few = f"{len(returns):,} returns; {LEAST_RETURNS} are needed"
    if grid.is_ruined:
        few = "equity was zero or less"
    if len(returns) < LEAST_RETURNS:
        for name in ("volatility_pct", "sharpe", "sharpe_error", "sortino"):
            found.add(name, None, few)
        return
    sharpe = sharpe_of(returns)
    flat = "equity did not vary"
    found.percent("volatility_pct", volatility(returns, per_year), "the number is too large")
    found.add("sharpe", None if sharpe is None else sharpe.annual(per_year), flat)
    error = None if sharpe is None else sharpe.annual_error(per_year)
    found.add("sharpe_error", error, flat if sharpe is None else "two outcomes only")
    found.add("sortino", sortino(returns, per_year), "no return was negative")


def _add_use(found: _Collected, facts: RunFacts) -> None:
    reason = "no time passed"
    has_time = facts.coverage.covered_ns > 0
    found.percent("exposure_pct", _exposure(facts) if has_time else None, reason)
    mean = time_mean(facts.equity, "equity", initial=facts.initial_equity, coverage=facts.coverage)
    traded = facts.traded_notional
    if facts.fills.is_empty():
        traded = 0.0
    reason = "the worth of the fills is not known" if traded is None else "equity was zero or less"
    found.add("turnover", None if traded is None or mean <= 0 else traded / mean, reason)


def _exposure(facts: RunFacts) -> float:
    """Return the share of time with a position in any symbol."""
    is_open = (pl.col("size").fill_null(0.0) != 0).cast(pl.Int64)
    changes = facts.positions.sort("timestamp", maintain_order=True).select(
        "timestamp", change=is_open - is_open.shift(1, fill_value=0).over("symbol")
    )
    held = changes.select("timestamp", held=(pl.col("change").cum_sum() > 0).cast(pl.Float64))
    return time_mean(held, "held", initial=0.0, coverage=facts.coverage)


def _add_trades(found: _Collected, facts: RunFacts) -> None:
    closed = facts.trades.filter(pl.col("exited").is_not_null())
    profits = closed["pnl"].cast(pl.Float64).drop_nulls().to_list()
    none = "no round trip was closed"
    found.add("trades", closed.height)
    found.percent("win_rate_pct", win_rate(profits), none)
    found.add("profit_factor", profit_factor(profits), "no loss" if profits else none)
    found.add("expectancy", expectancy(profits), none)


def _add_costs(found: _Collected, facts: RunFacts) -> None:
    fees, why = _money(facts.fills, "fee", "fee_currency", facts.currency)
    found.add("fees", fees, why)
    funding, why = _money(facts.funding, "amount", "currency", facts.currency)
    found.add("funding", funding, why)
    found.add("slippage", facts.slippage)


def _money(
    frame: pl.DataFrame, amount: str, currency: str, wanted: str
) -> tuple[float | None, str]:
    """Add up amounts; ``None`` and the reason if some are in another currency."""
    there = frame.filter(pl.col(amount).cast(pl.Float64).fill_null(0.0) != 0)[currency]
    others = sorted(set(there.cast(pl.String).drop_nulls().to_list()) - {wanted})
    if others:
        return None, f"some in {', '.join(others)}"
    return float(frame[amount].cast(pl.Float64).sum() or 0.0), ""


def _add_orders(found: _Collected, facts: RunFacts) -> None:
    status = pl.col("status").cast(pl.String)
    is_rejected = status == "rejected"
    rejected = facts.orders.filter(is_rejected).height
    unfilled = facts.orders.filter(
        ~is_rejected.fill_null(value=False), pl.col("filled").cast(pl.Float64).fill_null(0.0) == 0
    )
    found.add("orders", facts.orders.height)
    found.add("rejected", rejected)
    found.add("unfilled", unfilled.height)
    found.add("liquidations", facts.liquidations)


def _time(ns: int) -> timedelta:
    return timedelta(microseconds=ns // 1_000)
