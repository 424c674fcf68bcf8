"""A backtest of target positions that were computed beforehand, one for each row of a frame.

The rows where something can happen are found with polars and numpy, and the engine of ``backtest``
runs on these alone: so fills, fees, positions and refusals are those of a strategy that sends
``broker.target`` where the target changes, and the time it takes grows with the trades.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from kucoin_research.errors import InvalidInput
from kucoin_research.foundation.arguments import only_known
from kucoin_research.model.records import Record
from kucoin_research.sessions.files.csv_codec import records_of
from kucoin_research.strategy.backtest import facts_of, sampling_step
from kucoin_research.strategy.broker import Broker, Desk
from kucoin_research.strategy.equity_path import EquityPath, Played
from kucoin_research.strategy.fixed_point import as_float, fixed
from kucoin_research.strategy.options import RunOptions
from kucoin_research.strategy.orders import OrderStatus
from kucoin_research.strategy.reports import AccountReport, Report
from kucoin_research.strategy.result import Result
from kucoin_research.strategy.row_choice import Mask, first_choice, liquidating_rows
from kucoin_research.strategy.run import PaperRun
from kucoin_research.strategy.run_facts import LACKED
from kucoin_research.strategy.signal_tracks import Ints, Signal, Tracks, read_tracks
from kucoin_research.strategy.valuation import Valuation

__all__ = ["backtest_signals"]

_NEVER = 1 << 62
_ENGINE = (
    "targets were computed beforehand; the engine of backtest ran on the rows where something "
    "could happen, and the equity between them is in floats"
)


def backtest_signals(
    frame: pl.DataFrame,
    signal: Signal,
    *,
    channels: str | Iterable[str] | None = None,
    symbols: str | Iterable[str] | None = None,
    **options: Any,
) -> Result:
    """Backtest a target position for each row of a frame, millions of rows per second.

    The same as ``backtest`` with a strategy that calls ``broker.target`` where the target changes:
    with the same fills, orders and trades, and equity within a cent. A market order is sent when
    the row is known, at a candle's close or a quote's arrival. It is filled at the next candle's
    open, or at the best price when it arrives at the exchange; never by the row that it came from,
    unless that is a quote and the latency is 0.

    Parameters
    ----------
    frame
        Candles, as ``candles`` and ``ohlcv`` return them, or rows of ``ticker`` or ``bbo``; of one
        or several symbols, each in order of time.
    signal
        A polars expression over the frame, a column's name or a Series: the wanted position behind
        each row, in contracts, or coins on spot. Null keeps the position. With several symbols an
        expression needs ``.over("symbol")`` where it looks at other rows.
    channels
        The channel of the frame, such as ``"candle:1hour"``, where its columns do not show it.
    symbols
        Play only these.
    **options
        Those of ``backtest``, and with the same meaning. ``queue`` and ``seed`` change nothing,
        since no order rests and nothing is drawn.

    Returns
    -------
    Result
        An order is sent once: where the balance, the volume of the candle or the displayed size do
        not suffice, or a position is liquidated, it stays short of the target until that changes.
        The orders hold the reasons, and ``assumptions`` counts them.

    Raises
    ------
    InvalidInput
        If the signal wants no whole number of lots or is short on spot; for
        ``latency="recorded"``, and for ``margin_mode="cross"`` of contracts, which need each row.

    Examples
    --------
    >>> fast, slow = (pl.col("close").rolling_mean(n) for n in (10, 20))
    >>> kr.backtest_signals(candles, pl.when(fast > slow).then(1).otherwise(-1))
    """
    known = [each for each in inspect.signature(RunOptions.read).parameters if each != "strategy"]
    only_known(options, known, "backtest_signals")
    chosen = RunOptions.read(_no_strategy, **{**options, "name": options.get("name") or "signals"})
    tracks = read_tracks(frame, signal, channels, symbols, chosen.instruments)
    _refuse_others(tracks, chosen)
    mask = first_choice(tracks, chosen)
    while True:
        played = _ChosenRows(tracks, chosen, mask)
        missed = played.missed(mask)
        if not len(missed):
            return played.result()
        mask[missed] = True


def _no_strategy(record: Record, broker: Broker) -> None:
    """Stand for the strategy while options are read."""


def _refuse_others(tracks: Tracks, options: RunOptions) -> None:
    if options.latency is None:
        raise InvalidInput(
            'latency="recorded" is drawn from the lag of each row, so it needs backtest; pass '
            "seconds here"
        )
    futures = [each for each in tracks.tape.instruments.values() if each.market != "spot"]
    if options.is_cross and futures:
        raise InvalidInput(
            'margin_mode="cross" compares all positions at each row, so it needs backtest; here '
            'margin is "isolated"'
        )


class _Witness(Broker):
    """A broker that keeps each change of the account."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.cash_at_start = dict(desk.cash)
        self.states: list[AccountReport] = []

    def hear(self, report: Report) -> None:
        if isinstance(report, AccountReport):
            self.states.append(report)
        super().hear(report)


class _ChosenRows:
    """A run on chosen rows."""

    def __init__(self, tracks: Tracks, options: RunOptions, mask: Mask) -> None:
        self._tracks = tracks
        self._options = options
        self._target: float | None = None
        self._run = PaperRun(self._follow, tracks.tape, options, _NEVER, _Witness)
        assert isinstance(self._run.broker, _Witness)
        self._witness = self._run.broker
        self._filled: list[tuple[int, int]] = []
        self._begun: int | None = None
        self._play(mask)

    def _play(self, mask: Mask) -> None:
        run, fills, seen = self._run, self._run.ledger.fills, 0
        targets = {
            place: target
            for track in self._tracks.by_symbol.values()
            for place, target in zip(
                track.places[track.decisions].tolist(), track.targets, strict=True
            )
        }
        for place, record in self._records(mask):
            self._target = targets.get(place)
            run.feed((record,))
            if len(fills) != seen:
                seen = len(fills)
                # A candle's fills are booked at its close.
                is_known = self._tracks.is_candles
                booked = self._tracks.arrivals[place] if is_known else fills[-1].timestamp
                self._filled.append((place, int(booked)))
            if self._begun is None and run.initial_equity is not None:
                self._begun = place
        run.finish()
        assert run.failed is None

    def _records(self, mask: Mask) -> list[tuple[int, Record]]:
        found: list[tuple[int, Record]] = []
        for track in self._tracks.by_symbol.values():
            own = np.flatnonzero(mask[track.places])
            records = records_of(self._tracks.record, track.rows[own])
            found += zip(track.places[own].tolist(), records, strict=True)
        if len(self._tracks.by_symbol) > 1:
            found.sort(key=lambda each: each[0])
        return found

    def _follow(self, record: Any, broker: Broker) -> None:
        """Send the order that brings the position to the target, with those on their way."""
        if self._target is None:
            return
        symbol = record.symbol
        coming = sum(
            (fixed(each.size) - fixed(each.filled)) * (1 if each.side == "buy" else -1)
            for each in broker.orders(symbol)
        )
        broker.target(as_float(fixed(self._target) - coming), symbol)

    # -- what came of it ---------------------------------------------------------------------------

    def missed(self, mask: Mask) -> Ints:
        """Find rows that were not played and may have liquidated a position."""
        found = [np.empty(0, dtype=np.int64)]
        for symbol, track in self._tracks.by_symbol.items():
            contract = self._run.markets[symbol].contract
            states = [each for each in self._witness.states if each.symbol == symbol]
            if not contract.is_spot:
                found.append(liquidating_rows(track, contract, states, mask))
        return np.concatenate(found)

    def result(self) -> Result:
        """Make the result, with the equity along all rows."""
        run, arrivals = self._run, self._tracks.arrivals
        run.records = len(arrivals)
        facts = facts_of(run)
        played = Played(
            contracts={symbol: market.contract for symbol, market in run.markets.items()},
            cash=self._witness.cash_at_start,
            states=self._witness.states,
            filled=self._filled,
            begun=self._begun,
            last=run.last or 0,
        )
        path = EquityPath(
            self._tracks,
            played,
            Valuation(run.markets, self._options.currency),
            sampling_step(int(arrivals[-1] - arrivals[0])),
        )
        return Result(
            replace(
                facts,
                equity=path.equity(facts.initial_equity),
                prices=path.prices(),
                assumptions=pl.concat([self._assumptions(), facts.assumptions, self._shortfalls()]),
            )
        )

    @staticmethod
    def _assumptions() -> pl.DataFrame:
        return _rows([("engine", "vectorised", _ENGINE)])

    def _shortfalls(self) -> pl.DataFrame:
        short = [
            each
            for each in self._run.broker.sent
            if not each.is_open and each.status is not OrderStatus.FILLED
        ]
        if not short:
            return _rows([])
        detail = (
            f"{len(short):,} of {len(self._run.broker.sent):,} orders were not filled as a whole, "
            "so the position stayed short of its target until that changed; the first is order "
            f"{short[0].order_id}, {short[0].status}: {short[0].reason}"
        )
        return _rows([(LACKED, "targets", detail)])


def _rows(rows: list[tuple[str, str, str]]) -> pl.DataFrame:
    return pl.DataFrame(
        rows, schema=dict.fromkeys(("subject", "choice", "detail"), pl.String), orient="row"
    )
