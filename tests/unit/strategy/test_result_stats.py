"""The figures of a result: their names, their values, and why one is missing."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from kucoin_research.strategy.result_stats import figures_of
from kucoin_research.strategy.statistics import sharpe_of
from tests.unit.strategy.runs import (
    day,
    equity_rows,
    facts,
    fill,
    position,
    result,
    trade,
    whole_run,
)

NAMES = [
    "start", "end", "duration", "records", "return_pct", "annual_return_pct", "volatility_pct",
    "sharpe", "sharpe_error", "sortino", "calmar", "max_drawdown_pct", "max_drawdown_duration",
    "exposure_pct", "turnover", "trades", "win_rate_pct", "profit_factor", "expectancy", "fees",
    "funding", "slippage", "orders", "rejected", "unfilled", "liquidations",
]  # fmt: skip


def missing(**others):
    return figures_of(facts(**others)).reasons


@pytest.mark.parametrize("made", [whole_run(), result(), result(start_ns=None, end_ns=None)])
def test_the_names_are_those_of_the_contract_in_its_order(made):
    assert list(made.stats) == NAMES


def test_every_figure_is_plain_arithmetic():
    run = whole_run()
    stats = run.stats
    values = run.equity["equity"].to_list()
    returns = [b / a - 1 for a, b in pairwise(values)]
    peaks = [max([10_000.0, *values[: place + 1]]) for place in range(len(values))]
    mean = sum(values[:-1]) / 40

    assert stats["start"] == datetime(2026, 1, 5, tzinfo=UTC)
    assert (stats["duration"], stats["records"]) == (timedelta(days=40), 1_234)
    assert stats["return_pct"] == pytest.approx(100 * (values[-1] / 10_000 - 1))
    annual = (values[-1] / 10_000) ** (365 / 40) - 1
    assert stats["annual_return_pct"] == pytest.approx(100 * annual)
    deepest = min(value / peak - 1 for value, peak in zip(values, peaks, strict=True))
    assert stats["max_drawdown_pct"] == pytest.approx(100 * deepest)
    assert stats["calmar"] == pytest.approx(annual / -deepest)
    assert stats["sharpe"] == pytest.approx(sharpe_of(returns).ratio * math.sqrt(365))
    assert stats["sharpe_error"] == pytest.approx(sharpe_of(returns).error * math.sqrt(365))
    assert stats["exposure_pct"] == pytest.approx(100 * (3.5 + 20) / 40)
    assert stats["turnover"] == pytest.approx(20_000 / mean)
    assert (stats["trades"], stats["win_rate_pct"], stats["profit_factor"]) == (2, 50.0, 3.0)
    assert stats["expectancy"] == 10.0
    assert stats["fees"] == pytest.approx(0.06 + 0.06 - 0.02)
    assert (stats["funding"], stats["slippage"]) == (-0.5, 1.25)
    assert (stats["orders"], stats["rejected"], stats["unfilled"]) == (3, 1, 1)
    assert stats["liquidations"] == 0


def test_no_figure_is_ever_infinite_or_no_number():
    for run in (
        whole_run(),
        result(),
        result(equity=equity_rows([10_000] * 41)),
        result(equity=equity_rows([10_000, -5_000, 0, 10])),
        result(initial_equity=0.0, equity=equity_rows([0.0, 1.0])),
        result(equity=equity_rows([10_000 * 1.5**each for each in range(41)])),
        result(start_ns=None, end_ns=None),
        result(start_ns=day(0), end_ns=day(0), equity=equity_rows([10_001.0])),
    ):
        for name, value in run.stats.items():
            assert not isinstance(value, float) or math.isfinite(value), name


def test_a_missing_figure_has_a_reason():
    every = missing(equity=equity_rows([10_000, 10_100]), end_ns=day(12 / 24))

    assert missing(equity=equity_rows([1.0]), end_ns=day(10 / 1_440))["sharpe"] == (
        "10 returns; 30 are needed"
    )
    assert every["annual_return_pct"] == "0.5 days; 30 are needed"
    assert every["profit_factor"] == "no round trip was closed"
    assert missing(trades=[trade(5.0)])["profit_factor"] == "no loss"
    flat = missing(equity=equity_rows([10_000] * 41))
    assert flat["sharpe"] == "equity did not vary"
    assert flat["calmar"] == "equity never fell"
    ruined = missing(equity=equity_rows([10_000, -5.0]))
    assert ruined["sharpe"] == ruined["annual_return_pct"] == "equity was zero or less"
    assert missing(initial_equity=0.0)["return_pct"] == "the run began without equity"


def test_money_of_several_currencies_is_not_added_up():
    run = result(fills=[fill(1), fill(2, fee_currency="KCS"), fill(3, fee=0.0, fee_currency="XBT")])

    assert run.stats["fees"] is None
    assert figures_of(facts(fills=run.fills)).reasons["fees"] == "some in KCS"


def test_the_worth_of_fills_is_not_guessed():
    assert result(fills=[fill(1)]).stats["turnover"] is None
    assert result().stats["turnover"] == 0.0


def test_time_with_any_position_is_counted_once_and_without_gaps():
    held = [position(0, 1.0), position(5, 1.0, "ETHUSDTM"), position(10, 0.0)]
    held += [position(20, 0.0, "ETHUSDTM"), position(20, 0.0)]

    assert result(positions=held).stats["exposure_pct"] == pytest.approx(50.0)
    with_gap = result(positions=held, gaps=[(day(20), day(30))])
    assert with_gap.stats["exposure_pct"] == pytest.approx(100 * 20 / 30)
