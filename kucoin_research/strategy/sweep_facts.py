"""The facts of a sweep: its trials as a frame, the best of them, and how much luck explains it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from kucoin_research.foundation.forking import cached_property
from kucoin_research.strategy.grids import parameter_columns
from kucoin_research.strategy.result_stats import Value
from kucoin_research.strategy.statistics import (
    YEAR_NS,
    Sharpe,
    deflated_sharpe,
    expected_best_sharpe,
)
from kucoin_research.strategy.trials import Outcome

__all__ = ["OTHER_COLUMNS", "SweepFacts"]

#: The columns behind those of the parameters and the figures.
OTHER_COLUMNS = ("fingerprint", "ended")

_TIMES: Mapping[str, Any] = {
    "start": pl.Datetime("us", "UTC"),
    "end": pl.Datetime("us", "UTC"),
    "duration": pl.Duration("us"),
    "max_drawdown_duration": pl.Duration("us"),
}


@dataclass(frozen=True, kw_only=True)
class SweepFacts:
    """Trials and their outcomes, in the order of the grid.

    Attributes
    ----------
    name
        Of the strategy.
    currency
        Of all money.
    step_ns
        The time that each return is over, in all trials.
    trials
        The parameters of each.
    outcomes
        Of each trial.
    blank
        The figures of a run that played nothing.
    trials_before
        The number of trials in earlier sweeps.
    ratios_before
        Their Sharpe ratios per step, as far as they are known.
    is_interrupted
        Whether Ctrl-C has ended the sweep.
    """

    name: str
    currency: str
    step_ns: int
    trials: Sequence[Mapping[str, Any]]
    outcomes: Sequence[Outcome]
    blank: Mapping[str, Value]
    trials_before: int = 0
    ratios_before: tuple[float, ...] = ()
    is_interrupted: bool = False

    @cached_property
    def frame(self) -> pl.DataFrame:
        """List a row for each trial: parameters, figures, fingerprint, and why it ended."""
        columns = parameter_columns(self.trials)
        for name, value in self.blank.items():
            dtype = _TIMES.get(name, pl.Int64 if isinstance(value, int) else pl.Float64)
            values = [each.figures.get(name) for each in self.outcomes]
            columns.append(pl.Series(name, values, dtype=dtype))
        for name in OTHER_COLUMNS:
            texts = [getattr(each, name) for each in self.outcomes]
            columns.append(pl.Series(name, texts, dtype=pl.String))
        return pl.DataFrame(columns)

    @property
    def counted(self) -> int:
        """The number of trials ever run, also those that failed and those of earlier sweeps."""
        return self.trials_before + sum(each.was_run for each in self.outcomes)

    @property
    def ratios(self) -> tuple[float, ...]:
        """The Sharpe ratios per step of all trials that have one, earlier ones first."""
        own = (each.sharpe.ratio for each in self.outcomes if each.sharpe is not None)
        return (*self.ratios_before, *own)

    def ratios_over(self, step_ns: int) -> tuple[float, ...]:
        """Return the Sharpe ratios per another step."""
        scale = math.sqrt(step_ns / self.step_ns)
        return tuple(scale * each for each in self.ratios)

    @cached_property
    def best(self) -> int | None:
        """Find the place of the trial with the highest Sharpe ratio; the first of several."""
        known = [place for place, each in enumerate(self.outcomes) if each.sharpe is not None]
        return max(known, key=self._ratio_at, default=None)

    def _ratio_at(self, place: int) -> float:
        sharpe = self.outcomes[place].sharpe
        return -math.inf if sharpe is None else sharpe.ratio

    @property
    def best_sharpe(self) -> Sharpe | None:
        """The Sharpe ratio of the best trial, per step."""
        return None if self.best is None else self.outcomes[self.best].sharpe

    @property
    def variance(self) -> float | None:
        """The variance of the Sharpe ratios per step; ``None`` of fewer than two."""
        if self.counted == 1:
            return 0.0
        return statistics.variance(self.ratios) if len(self.ratios) > 1 else None

    @property
    def luck(self) -> float | None:
        """The Sharpe ratio per year to expect of the best trial if all are worth nothing."""
        if self.variance is None:
            return None
        best = expected_best_sharpe(self.variance, self.counted)
        return best * math.sqrt(YEAR_NS / self.step_ns)

    @property
    def deflated_sharpe(self) -> float | None:
        """The probability that the best trial is better than luck; ``None`` if it is not known."""
        if self.best_sharpe is None or self.variance is None:
            return None
        return deflated_sharpe(self.best_sharpe, variance=self.variance, trials=self.counted)
