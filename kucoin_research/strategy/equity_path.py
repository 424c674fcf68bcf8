"""The equity along a run whose rows were not played one by one.

It is sampled where a run on all rows samples it: at the begin of a step, behind all rows up to it;
behind each row that filled an order; and at the end. Amounts are floats here, so they differ from
sums of whole numbers by less than a cent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from kucoin_research.strategy.contracts import Contract
from kucoin_research.strategy.fixed_point import as_float
from kucoin_research.strategy.reports import AccountReport
from kucoin_research.strategy.signal_tracks import Floats, Ints, Tracks
from kucoin_research.strategy.valuation import Valuation

__all__ = ["EquityPath", "Played"]

_TIME = pl.Datetime("ns", "UTC")


@dataclass(frozen=True, slots=True)
class Played:
    """A run on chosen rows, as far as its equity depends on it.

    Attributes
    ----------
    contracts
        By symbol.
    cash
        The starting balances, by currency.
    states
        Each change of the account, in order.
    filled
        The places of the rows that played fills, in order, and when the newest one was booked.
    begun
        The place of the row from which on all prices were known that value the start; None if
        there is none.
    last
        When the run ended, ns UTC.
    """

    contracts: Mapping[str, Contract]
    cash: Mapping[str, int]
    states: Sequence[AccountReport]
    filled: Sequence[tuple[int, int]]
    begun: int | None
    last: int


class EquityPath:
    """Samples the equity and the prices.

    Parameters
    ----------
    tracks
        All rows.
    played
        The run on some of them.
    valuation
        Knows which price values a currency.
    step
        The time between two samples, ns.
    """

    def __init__(self, tracks: Tracks, played: Played, valuation: Valuation, step: int) -> None:
        self._tracks = tracks
        self._played = played
        self._valuation = valuation
        self.when, self._rows, self._until = _samples(tracks.arrivals, played, step)
        self._marks = {
            symbol: _at(track.marks, np.searchsorted(track.places, self._rows) - 1, np.nan)
            for symbol, track in tracks.by_symbol.items()
        }
        self._cash = self._cash_worth()
        self._is_known = ~np.isnan(self._cash)

    def equity(self, start: float) -> pl.DataFrame:
        """List the equity, with its drawdown from the highest so far or the start."""
        unrealised, exposed = self._holdings_worth()
        equity = self._cash + unrealised
        frame = pl.DataFrame(
            {
                "timestamp": self.when,
                "equity": equity,
                "cash": self._cash,
                "unrealised": unrealised,
                "exposure": np.divide(exposed, equity, out=np.zeros_like(equity), where=equity > 0),
            }
        ).filter(pl.Series(self._is_known))
        peak = pl.max_horizontal(pl.col("equity").cum_max(), pl.lit(start))
        # Of two samples at one time the later counts.
        return (
            frame.filter(pl.col("timestamp").ne_missing(pl.col("timestamp").shift(-1)))
            .with_columns(
                pl.col("timestamp").cast(_TIME),
                drawdown=pl.when(peak > 0).then(pl.col("equity") / peak - 1),
            )
            .select("timestamp", "equity", "cash", "unrealised", "drawdown", "exposure")
        )

    def prices(self) -> pl.DataFrame:
        """List the prices of all symbols at each sample."""
        parts = [
            pl.DataFrame(
                {"timestamp": self.when, "symbol": symbol, "price": marks},
                schema_overrides={"symbol": pl.String},
            )
            .with_row_index("sample")
            .filter(pl.Series(self._is_known & ~np.isnan(marks)))
            for symbol, marks in self._marks.items()
        ]
        in_order = pl.concat(parts).sort("sample", maintain_order=True)
        return in_order.select(pl.col("timestamp").cast(_TIME), "symbol", "price")

    # -- worths ------------------------------------------------------------------------------------

    def _cash_worth(self) -> Floats:
        total = np.zeros(len(self.when))
        for currency, start in self._played.cash.items():
            changes = [each for each in self._played.states if each.currency == currency]
            amounts = self._step_function(changes, [each.cash for each in changes], start)
            total += np.where(amounts == 0.0, 0.0, self._worth(currency, amounts))
        return total

    def _holdings_worth(self) -> tuple[Floats, Floats]:
        """Return unrealised profits with coins held, and exposures."""
        unrealised, exposed = np.zeros(len(self.when)), np.zeros(len(self.when))
        for symbol, contract in self._played.contracts.items():
            changes = [each for each in self._played.states if each.symbol == symbol]
            sizes = self._step_function(changes, [each.holding.size for each in changes], 0)
            costs = self._step_function(changes, [each.holding.cost for each in changes], 0)
            values = _values(contract, sizes, self._marks[symbol])
            gained = values if contract.is_spot else values - costs
            is_held = sizes != 0.0
            for total, amounts in ((unrealised, gained), (exposed, values)):
                worth = self._worth(contract.settle, np.where(is_held, amounts, 0.0))
                total += np.nan_to_num(worth if total is unrealised else np.abs(worth))
        return unrealised, exposed

    def _worth(self, currency: str, amounts: Floats) -> Floats:
        source = self._valuation.source_of(currency)
        if source is None:
            return amounts
        marks = self._marks[source.symbol]
        return amounts / marks if source.is_turned else amounts * marks

    def _step_function(
        self, changes: Sequence[AccountReport], amounts: Sequence[int], start: int
    ) -> Floats:
        """Return the amount that was there at each sample."""
        times = np.array([each.when for each in changes], dtype=np.int64)
        # The worth of the start may be reported behind the first fills, without a time.
        times = np.maximum.accumulate(times) if len(times) else times
        newest = np.searchsorted(times, self._until, side="right") - 1
        return _at(np.array([as_float(each) for each in amounts]), newest, as_float(start))


def _values(contract: Contract, sizes: Floats, marks: Floats) -> Floats:
    lots = sizes * as_float(contract.multiplier)
    return -lots / marks if contract.is_inverse else lots * marks


def _at(values: Floats, at: Ints, missing: float) -> Floats:
    """Pick values by their places, -1 for none."""
    return np.append(values, missing)[at]


def _samples(arrivals: Ints, played: Played, step: int) -> tuple[Ints, Ints, Ints]:
    """Find the samples: their times, how many rows come before each, and the newest change."""
    if played.begun is None:
        none = np.empty(0, dtype=np.int64)
        return none, none, none
    begins = -(-arrivals // step) * step  # of the step that a row is sampled at
    news = np.flatnonzero(begins[1:] != begins[:-1]) + 1
    # What was filled before a step began is in the sample of that step.
    stepping = set(news.tolist())
    later = [
        place
        for place, booked in played.filled
        if place not in stepping or booked > begins[place - 1]
    ]
    fills = np.array([each for each in later if each >= played.begun], dtype=np.int64)
    news = news[news > played.begun]
    begun = begins[news - 1]
    when = np.concatenate([begun, arrivals[fills], [played.last]])
    rows = np.concatenate([news, fills + 1, [len(arrivals)]])
    until = when
    # A step's sample is taken before its row; a fill's sample behind it.
    order = np.argsort(np.concatenate([2 * news, 2 * fills + 1, [2 * len(arrivals)]]))
    return when[order], rows[order], until[order]
