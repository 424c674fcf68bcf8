"""A strategy played over recorded data, and its result."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterable, Mapping

import polars as pl

from kucoin_research.errors import StrategyFailed
from kucoin_research.foundation.progress import quiet_tqdm
from kucoin_research.model.instruments import Instrument
from kucoin_research.strategy.assumptions import assumptions_of
from kucoin_research.strategy.options import Cash, FeesOf, Latency, RunOptions, Strategy
from kucoin_research.strategy.result import Result
from kucoin_research.strategy.run import PaperRun
from kucoin_research.strategy.run_facts import Failure, RunFacts
from kucoin_research.strategy.tape import MarketFacts, Tape, open_tape

__all__ = ["backtest", "facts_of", "play", "result_of", "sampling_step", "warn_of_failure"]

_SECOND = 1_000_000_000
#: Steps of the sampled equity; the first that makes no more than this many samples is taken.
_STEPS = tuple(seconds * _SECOND for seconds in (1, 10, 60, 600, 3_600, 86_400))
_MOST_SAMPLES = 100_000
#: Seconds before the progress bar comes.
_PATIENCE = 2.0


def backtest(
    strategy: Strategy,
    data: object,
    *,
    cash: Cash = 10_000.0,
    currency: str = "USDT",
    channels: str | Iterable[str] | None = None,
    symbols: str | Iterable[str] | None = None,
    latency: Latency = 0.05,
    fees: FeesOf = None,
    queue: str = "risk_averse",
    leverage: float = 1.0,
    margin_mode: str = "isolated",
    margin_rules: str = "2025-05",
    funding: str | pl.DataFrame | None = "recorded",
    liquidity: str = "depth",
    instruments: Iterable[Instrument] | Mapping[str, Instrument] | Instrument | None = None,
    seed: int = 0,
    progress: bool = True,
    name: str | None = None,
) -> Result:
    """Play recorded data to a strategy that trades with paper money.

    Parameters
    ----------
    strategy
        ``strategy(record, broker)``, called once per record in order of arrival. It may raise
        ``StopStrategy`` to end the run.
    data
        A ``Session``, its path, a list of them, a ``Replay`` that was not started, or a mapping of
        channels to frames. A candle is known at its close; where only candles are played, a market
        order is filled at the next candle's open.
    cash
        An amount of ``currency``, or a mapping of currencies to amounts. Coins of a spot pair are
        its position.
    currency
        The currency of the results.
    channels, symbols
        Play only these.
    latency
        Seconds: one number for each way, or (entry, response), or ``"recorded"``: drawn by ``seed``
        from the lags of the recording. The lag of market data is not the lag of orders.
    fees
        (maker, taker) as fractions, or a mapping of symbols to such pairs; the instruments' own if
        None.
    queue
        How a resting order comes forward: ``"risk_averse"`` by trades only, ``"proportional"`` also
        by cancels before it, ``"none"`` without a queue.
    leverage
        Of all contracts. Above 1 it needs ``mark_price``.
    margin_mode
        ``"isolated"`` or ``"cross"``.
    margin_rules
        KuCoin's of ``"2025-05"``, or ``"legacy"`` for those before.
    funding
        ``"recorded"``, ``"none"``, or a frame as ``funding_rates`` returns it.
    liquidity
        ``"depth"``: all levels that were recorded; ``"best"``: the best prices alone;
        ``"unlimited"``: as much as is wanted at the best price, which no market offers.
    instruments
        Facts about the symbols, before those of the session.
    seed
        Seeds the drawing of latencies.
    progress
        Whether to show a bar if it takes longer than two seconds.
    name
        The result's name; the function's if None.

    Returns
    -------
    Result
        If the strategy raised, the result so far: ``complete`` is false, ``ended`` has the reason,
        ``failure`` the record, and a ``StrategyFailed`` warning is issued.

    Raises
    ------
    InvalidInput
        If an option or the data cannot be used.
    SessionBroken
        If a row of the recording cannot be read.
    """
    options = RunOptions.read(
        strategy,
        cash=cash,
        currency=currency,
        latency=latency,
        fees=fees,
        queue=queue,
        leverage=leverage,
        margin_mode=margin_mode,
        margin_rules=margin_rules,
        funding=funding,
        liquidity=liquidity,
        instruments=instruments,
        seed=seed,
        progress=progress,
        name=name,
    )
    tape = open_tape(data, channels, symbols, options.instruments)
    run = play(strategy, tape, options)
    if run.failed is not None:
        warn_of_failure(run)
    return result_of(run)


def play(strategy: Strategy, tape: Tape, options: RunOptions) -> PaperRun:
    """Play a tape to a strategy, as far as it goes; the run has ended then."""
    run = PaperRun(strategy, tape, options, _step_of(tape))
    bar = quiet_tqdm(
        total=tape.rows,
        desc=options.name,
        unit=" records",
        unit_scale=True,
        delay=_PATIENCE,
        leave=False,
        disable=not options.progress,
    )
    with bar:
        for records in tape.batches():
            if not run.feed(records):
                break
            bar.update(len(records))
    run.finish()
    return run


def _step_of(tape: Tape) -> int:
    start, end = tape.timeline.start_ns, tape.timeline.end_ns
    return sampling_step(0 if start is None or end is None else end - start)


def sampling_step(span: int) -> int:
    """Return the time between two samples of the equity, for a run of a length; both in ns."""
    return next((step for step in _STEPS if span // step <= _MOST_SAMPLES), _STEPS[-1])


def warn_of_failure(run: PaperRun) -> None:
    """Warn that the strategy of a run has raised."""
    assert run.failed is not None
    error = run.failed.error
    where = traceback.extract_tb(error.__traceback__)[-1]
    warnings.warn(
        f"{run.ended} (line {where.lineno} of {where.name}), with record {run.records:,}: "
        f"{run.failed.record}; the result holds what happened before",
        StrategyFailed,
        stacklevel=3,
    )


def result_of(run: PaperRun, ended: str | None = None, facts: MarketFacts | None = None) -> Result:
    """Make the result of a run as far as it has come.

    Parameters
    ----------
    run
        It may go on afterwards.
    ended
        Why not all records were played, where the run does not know that itself.
    facts
        Of its records, where the run did not know their gaps beforehand; left out: its own.
    """
    return Result(facts_of(run, ended, facts))


def facts_of(run: PaperRun, ended: str | None = None, facts: MarketFacts | None = None) -> RunFacts:
    """Collect the facts of a run as far as it has come; see ``result_of``."""
    ledger, options = run.ledger, run.options
    currency = options.currency
    initial = run.initial_equity
    if initial is None:
        initial = options.cash.get(currency, 0.0)
    known = facts or run.facts
    gaps = sorted({span for spans in known.gaps.values() for span in spans})
    return RunFacts(
        name=options.name,
        currency=currency,
        initial_equity=initial,
        fills=ledger.fills_frame(),
        orders=ledger.orders_frame(run.broker.sent),
        equity=ledger.equity_frame(initial),
        trades=ledger.trades_frame(),
        positions=ledger.positions_frame(),
        funding=ledger.funding_frame(),
        notes=ledger.notes_frame(),
        prices=ledger.prices_frame(),
        assumptions=assumptions_of(run, known.lacks),
        records=run.records,
        start_ns=run.started,
        end_ns=run.last,
        gaps=gaps,
        slippage=run.slippage,
        liquidations=ledger.liquidations,
        ended=run.ended or ended,
        traded_notional=run.traded,
        failure=None if run.failed is None else Failure(run.failed.record, run.ended or ""),
    )
