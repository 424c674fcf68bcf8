"""Measures of a run, against plain arithmetic and cases worked by hand."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.strategy.statistics import (
    LEAST_RETURNS,
    YEAR_NS,
    Coverage,
    Sharpe,
    annual_return,
    deflated_sharpe,
    drawdown,
    drawdown_path,
    expectancy,
    expected_best_sharpe,
    probabilistic_sharpe,
    profit_factor,
    resample,
    sharpe_of,
    shortfall,
    sortino,
    time_mean,
    volatility,
    win_rate,
)

SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
START = int(datetime(2026, 1, 5, tzinfo=UTC).timestamp()) * SECOND
WORKED_A = (10_000, 10_100, 10_050, 10_200, 10_080, 10_080, 10_300)
WORKED_B = (0.01, -0.02, 0.03, -0.01, 0.02)
WORKED_D = (100, 110, 99, 105, 120, 90, 95, 130)


def equity(values, times=None, step=DAY):
    times = [START + place * step for place in range(len(values))] if times is None else times
    return pl.DataFrame(
        {"timestamp": times, "equity": [float(each) for each in values]},
        schema={"timestamp": pl.Datetime("ns", "UTC"), "equity": pl.Float64},
    )


def grid_of(values, *, times=None, step=DAY, span=None, gaps=(), step_ns=None, initial=None):
    frame = equity(values, times, step)
    span = (len(values) - 1) * step if span is None else span
    coverage = Coverage(START, START + span, gaps)
    return resample(frame, initial=initial or float(values[0]), coverage=coverage, step_ns=step_ns)


# -- worked cases ----------------------------------------------------------------------------------


def test_worked_case_a():
    returns = grid_of(WORKED_A, step_ns=DAY).returns
    sharpe = sharpe_of(returns)

    assert returns == tuple(b / a - 1 for a, b in pairwise(WORKED_A))
    assert round(float(np.mean(returns)), 9) == 0.005005928
    assert round(float(np.std(returns, ddof=1)), 9) == 0.012741071
    assert round(sharpe.annual(365), 6) == 7.506286
    assert round(sortino(returns, 365), 6) == 18.353766
    assert round(float(drawdown_path(WORKED_A, 10_000).min()), 6) == -0.011765
    assert (round(sharpe.skewness, 6), round(sharpe.kurtosis, 6)) == (0.003123, 1.638319)
    assert round(probabilistic_sharpe(sharpe), 6) == 0.807423


def test_worked_case_b():
    path = np.cumprod(1 + np.array(WORKED_B))

    assert round(sharpe_of(WORKED_B).annual(365), 6) == 5.527942
    assert round(sortino(WORKED_B, 365), 6) == 11.462984
    assert round(float(drawdown_path(path, 1.0).min()), 6) == -0.02


@pytest.mark.parametrize(
    ("trials", "skewness", "kurtosis", "expected"),
    [(100, -3.0, 10.0, 0.9004), (46, -3.0, 10.0, 0.9505), (88, 0.0, 3.0, 0.9505)],
)
def test_worked_case_c_is_that_of_the_paper(trials, skewness, kurtosis, expected):
    sharpe = Sharpe(2.5 / math.sqrt(250), 1_250, skewness, kurtosis)

    found = deflated_sharpe(sharpe, variance=0.5 / 250, trials=trials)

    assert round(found, 4) == expected
    assert round(expected_best_sharpe(0.5 / 250, 100), 6) == 0.113172


def test_worked_case_d():
    path = drawdown_path(WORKED_D, 100)

    assert [round(float(each), 4) for each in path] == [
        0, 0, -0.1, -0.0455, 0, -0.25, -0.2083, 0,
    ]  # fmt: skip


def test_worked_case_e():
    fees = 0.0006 * (60 * 100.2 + 30 * 100.5)

    made = shortfall(
        [(100.2, 60), (100.5, 30)],
        is_buy=True,
        size=100,
        decision_mid=100,
        end_price=101,
        fees=fees,
    )

    assert [round(each, 4) for each in made] == [27.0, 5.4162, 10.0]
    assert round(made.total, 4) == 42.4162
    assert round(made.total / (100 * 100) * 1e4, 2) == 42.42


def test_a_sale_below_the_mid_costs_as_a_purchase_above_it():
    made = shortfall([(99.0, 2)], is_buy=False, size=3, decision_mid=100, end_price=98)

    assert made == (2.0, 0.0, 2.0)


# -- the grid --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "step"),
    [
        (30 * DAY, DAY),
        (30 * DAY - 1, HOUR),
        (30 * HOUR, HOUR),
        (30 * HOUR - 1, MINUTE),
        (30 * MINUTE - 1, MINUTE),
        (5 * SECOND, MINUTE),
    ],
)
def test_the_longest_step_with_30_returns_is_chosen(span, step):
    grid = grid_of([100.0, 101.0], times=[START, START + SECOND], span=span)

    assert grid.step_ns == step
    assert len(grid.returns) == span // step


def test_the_last_value_of_a_step_counts_and_is_carried_over_empty_steps():
    times = [START + SECOND // 2, START + 9 * SECOND // 10, START + 4 * SECOND]

    grid = grid_of([90, 110, 121], times=times, span=5 * SECOND, initial=100.0, step_ns=SECOND)

    assert grid.equity == (100, 110, 110, 110, 121, 121)
    assert grid.returns == pytest.approx((0.1, 0, 0, 0.1, 0))
    assert grid.times == tuple(START + place * SECOND for place in range(6))


def test_a_last_step_that_is_not_full_makes_no_return():
    grid = grid_of([100, 101, 150], step=SECOND, span=1_900_000_000, step_ns=SECOND)

    assert grid.returns == pytest.approx((0.01,))


def test_steps_inside_a_gap_make_no_returns_and_the_one_after_holds_the_change():
    times = [START, START + SECOND, START + 5 * SECOND]
    gap = (START + 3 * SECOND // 2, START + 4_200_000_000)

    grid = grid_of([100, 110, 121], times=times, span=6 * SECOND, gaps=[gap], step_ns=SECOND)

    assert grid.returns == pytest.approx((0.1, 0, 0.1, 0))  # those to 3 and 4 s are left out
    assert math.prod(1 + each for each in grid.returns) == pytest.approx(1.21)


def test_a_long_gap_is_no_zero_return_time():
    days = 40
    gap = (START + DAY, START + 39 * DAY)

    grid = grid_of([100.0, 101.0], times=[START, START + DAY], span=days * DAY, gaps=[gap])

    assert grid.step_ns == HOUR
    assert len(grid.returns) == 2 * 24


@pytest.mark.parametrize("step", [1, 3, 7, 100, 101])
def test_steps_are_those_that_no_gap_holds_wholly(step):
    rng = np.random.default_rng(step)
    for _ in range(50):
        gaps = [sorted(pair) for pair in rng.integers(0, 120, (4, 2)).tolist()]
        coverage = Coverage(0, 100, gaps)
        is_known = np.diff(coverage.until(np.arange(101))) > 0

        full = range(100 // step)
        wanted = [each for each in full if is_known[each * step : (each + 1) * step].any()]
        assert coverage.steps(step).tolist() == wanted


def test_short_recordings_years_apart_make_few_points():
    years = 20 * YEAR_NS
    gap = (START + 40 * MINUTE, START + years - 5 * MINUTE)

    grid = grid_of([100, 101], times=[START, START + years], span=years, gaps=[gap])

    assert (grid.step_ns, len(grid.returns)) == (MINUTE, 45)


def test_equity_of_zero_or_less_makes_no_returns():
    grid = grid_of([100, -5, 20], step=SECOND, step_ns=SECOND)

    assert grid.returns == ()
    assert grid.is_ruined


def test_a_run_without_rows_or_time_has_an_empty_grid():
    nothing = equity([])

    grid = resample(nothing, initial=100.0, coverage=Coverage(START, START))

    assert (grid.returns, grid.equity) == ((), (100.0,))


def test_a_step_is_positive():
    with pytest.raises(InvalidInput, match="positive number of ns"):
        grid_of([1.0], step_ns=0)


def test_gaps_may_overlap_and_reach_beyond_the_run():
    coverage = Coverage(0, 100, [(-50, 10), (20, 40), (30, 50), (90, 200), (60, 60)])

    assert coverage.gaps == [(0, 10), (20, 50), (90, 100)]
    assert coverage.covered_ns == 50
    every = np.arange(101)
    is_lost = (every < 10) | ((every >= 20) & (every < 50)) | (every >= 90)
    assert coverage.until(every).tolist() == [0, *np.cumsum(~is_lost)[:-1].tolist()]


# -- ratios without a meaning ----------------------------------------------------------------------


@pytest.mark.parametrize("returns", [[], [0.01], [0.0] * 40, [0.01] * 40, [0.1 + 1e-17, 0.1]])
def test_returns_that_do_not_vary_have_no_sharpe_ratio(returns):
    assert sharpe_of(returns) is None


def test_equal_growth_has_no_sharpe_ratio_for_all_its_rounding():
    values = [100 * 1.01**place for place in range(60)]

    returns = grid_of(values).returns

    assert len(set(returns)) > 1
    assert sharpe_of(returns) is None


def test_no_losses_no_sortino_ratio():
    assert sortino([0.01, 0.02, 0.0], 365) is None
    assert sortino([], 365) is None


def test_volatility_needs_two_returns():
    assert volatility([0.01], 365) is None
    assert volatility([0.0, 0.0], 365) == 0.0
    assert volatility(WORKED_B, 4) == pytest.approx(2 * np.std(WORKED_B, ddof=1))


def test_two_equal_outcomes_leave_no_room_for_an_error():
    # Skewness² + 1 = kurtosis is as far as moments go, and its ratio may make the spread zero.
    assert Sharpe(1.0, 10, 2.0, 5.0).error is None
    assert probabilistic_sharpe(Sharpe(1.0, 10, 2.0, 5.0)) is None
    assert Sharpe(1.0, 1).error is None


def test_the_error_of_normal_returns_is_that_of_lo():
    assert Sharpe(0.1, 101).error == pytest.approx(math.sqrt((1 + 0.1**2 / 2) / 100))
    assert Sharpe(0.1, 101).annual_error(400) == pytest.approx(20 * Sharpe(0.1, 101).error)


def test_one_trial_is_deflated_by_nothing():
    sharpe = Sharpe(0.1, 101)

    assert deflated_sharpe(sharpe, variance=0.5, trials=1) == probabilistic_sharpe(sharpe)
    with pytest.raises(InvalidInput, match="0 trials"):
        expected_best_sharpe(0.5, 0)


@pytest.mark.parametrize(
    ("begin", "end", "span", "expected"),
    [
        (100, 121, 2 * YEAR_NS, 0.1),
        (100, 100, YEAR_NS, 0.0),
        (100, 0, YEAR_NS, None),
        (100, -1, YEAR_NS, None),
        (0, 100, YEAR_NS, None),
        (100, 101, 0, None),
        (100, 200, SECOND, None),  # more than a float holds
    ],
)
def test_annual_return(begin, end, span, expected):
    found = annual_return(begin, end, span)

    assert found == (None if expected is None else pytest.approx(expected))


# -- drawdowns and time ----------------------------------------------------------------------------


def drawn(values, initial=100.0, end=None):
    end = START + (len(values) - 1) * DAY if end is None else end
    return drawdown(equity(values), initial=initial, begin_ns=START, end_ns=end)


def test_the_first_peak_is_the_initial_equity():
    assert drawn([90, 95], initial=100.0) == pytest.approx((-0.1, DAY, False))


def test_the_longest_drawdown_lasts_from_its_peak_to_its_recovery():
    depth, duration, is_recovered = drawn(WORKED_D)

    assert (depth, duration, is_recovered) == (-0.25, 3 * DAY, True)


def test_a_drawdown_that_is_not_over_lasts_to_the_end_of_the_run():
    found = drawn([100, 90, 110, 100], end=START + 9 * DAY)

    assert found == (pytest.approx(-0.1), 7 * DAY, False)


def test_a_plateau_is_no_drawdown():
    assert drawn([100, 110, 110, 110], end=START + 9 * DAY) == (0.0, 0, True)
    assert drawn([]) == (0.0, 0, True)


def test_a_fall_below_zero_is_more_than_all():
    assert drawn([100, -20]).depth == pytest.approx(-1.2)


def test_a_mean_over_time_weighs_by_time_and_leaves_gaps_out():
    frame = equity([10, 20], times=[START + 2 * SECOND, START + 6 * SECOND])

    def mean(*gaps):
        coverage = Coverage(START, START + 8 * SECOND, gaps)
        return time_mean(frame, "equity", initial=0.0, coverage=coverage)

    assert mean() == (2 * 0 + 4 * 10 + 2 * 20) / 8
    assert mean((START, START + 4 * SECOND)) == (2 * 10 + 2 * 20) / 4
    assert mean((START, START + 8 * SECOND)) == 0.0


# -- trades ----------------------------------------------------------------------------------------


def test_measures_of_trades_are_in_money():
    profits = [30.0, -10.0, 0.0, -5.0]

    assert win_rate(profits) == 0.25
    assert profit_factor(profits) == 2.0
    assert expectancy(profits) == 3.75


def test_measures_of_no_trades_and_of_no_losses_are_unknown():
    assert (win_rate([]), profit_factor([]), expectancy([])) == (None, None, None)
    assert profit_factor([1.0, 2.0]) is None
    assert profit_factor([-1.0]) == 0.0
    assert LEAST_RETURNS == 30
