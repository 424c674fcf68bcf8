"""A strategy on a running stream or a replay, with paper money."""

from __future__ import annotations

import copy
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from kucoin_research.errors import InvalidInput, StreamStopped, shown
from kucoin_research.foundation.arguments import texts
from kucoin_research.foundation.forking import in_child
from kucoin_research.model.channels import parse_channel
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.intervals import parse_interval
from kucoin_research.model.records import PRIVATE_CHANNELS, Record, Status, local_timestamp_of
from kucoin_research.model.source import LiveSource, is_live, is_replay
from kucoin_research.sessions.loading import load
from kucoin_research.sessions.session import Session
from kucoin_research.strategy.backtest import result_of
from kucoin_research.strategy.broker import Broker, Desk
from kucoin_research.strategy.gap_spans import GAP_EVENTS, gap_spans, lacks_of
from kucoin_research.strategy.journal import Journal
from kucoin_research.strategy.market import MATCHED
from kucoin_research.strategy.options import RunOptions, Strategy
from kucoin_research.strategy.result import Result
from kucoin_research.strategy.run import Failed, PaperRun
from kucoin_research.strategy.shared_broker import OutsideCall, SharedBroker
from kucoin_research.strategy.tape import ClosedCandles, MarketFacts

__all__ = ["PaperTrading", "check_paper", "paper"]

_OVER = ("stopped", "failed", "ended")


#: Called with a run whenever it has a new fill or note, or has ended, on the source's thread.
Watch = Callable[["PaperTrading"], object]


class _Recorder(Protocol):
    path: Any

    @property
    def is_closed(self) -> bool: ...
    def close(self, timeout: float = ...) -> bool: ...


class _Attachable(LiveSource, Protocol):
    """A stream or a replay, to which functions can be attached."""

    @property
    def instruments(self) -> dict[str, Instrument]: ...
    def attach(
        self,
        sink: Callable[[Record], object],
        channel: str | Iterable[str] | None = None,
        **how: Any,
    ) -> Callable[[], None]: ...
    def record(self, root: str | os.PathLike[str] = ..., **options: Any) -> _Recorder: ...


class PaperTrading:
    """A strategy that trades with paper money on a stream or a replay; ``paper`` starts one.

    It ends with the stream, or when stopped. Every method may be called from any thread.

    It follows a replay that is wound: forward, it plays the records in between; back, it plays
    again from its first record, or from the new place if that is earlier. A strategy with a state
    then begins with the one that it had at first, and orders sent from a cell are forgotten.

    Attributes
    ----------
    source
        The stream or the replay.
    broker
        What the strategy is called with; it may be used from a notebook's cell, too.
    options, facts, channels
        How it trades, and on which records.
    first
        The first record that was played; None before there is one.
    lock
        Held while records are played.
    journal
        Fills and notes with their moments; another one after each ``restarts``.
    restarts
        How often it began again, since its replay was wound back.
    on_moment
        Called with this run when there are new fills or notes, and when it has ended by itself, on
        the source's thread.
    """

    def __init__(
        self,
        strategy: Strategy,
        source: _Attachable,
        facts: MarketFacts,
        options: RunOptions,
        channels: Sequence[str] | None,
        record: str | os.PathLike[str] | None,
    ) -> None:
        self.source = source
        self.options = options
        self.facts = facts
        self.channels = channels
        # A strategy that keeps a state is run again from the state that it has now.
        self.fresh_strategy = _copied(strategy)
        self.lock = threading.RLock()
        self._closed = ClosedCandles(facts.intervals) if facts.intervals else None
        self._of_gaps: list[Status] = []  # the rows that were played about gaps
        self._is_stopped = False
        self._skip_to = 0  # the records before are none of this run's
        self.first: Record | None = None
        self.restarts = 0
        self.on_moment: Watch | None = None
        self._broker: SharedBroker | None = None
        self._begin(strategy, _time_of(source))
        self._recorder = None if record is None else source.record(record)
        self._detach = self._attached()
        _runs.add(self)

    def _attached(self) -> Callable[[], None]:
        follows = {"on_rewind": self._rewind} if is_replay(self.source) else {}
        # Those of the beginning: channels that are subscribed to later are not the strategy's.
        channels = self.channels or [*self.source.channels, "status"]
        return self.source.attach(self._take, channels, **follows)

    def disown(self) -> None:
        """Renew the lock in a forked child: the parent's thread may have held it."""
        self.lock = threading.RLock()
        if self._broker is not None:
            self._broker.lock = self.lock

    def _begin(self, strategy: Strategy, now: int) -> None:
        self._run = PaperRun(strategy, self.facts, self.options, make_broker=self._make_broker)
        self._run.broker.now = now
        self.journal = Journal(self._run)

    def _make_broker(self, desk: Desk) -> SharedBroker:
        if self._broker is None:
            self._broker = SharedBroker(desk, self.lock, lambda: self._run.records)
        else:
            self._broker.restart(desk)  # the same object, since a cell may hold it
        return self._broker

    def _rewind(self, to_ns: int) -> None:
        with self.lock:
            if self._is_stopped:
                return
            if self.facts.intervals:
                self._closed = ClosedCandles(self.facts.intervals)
            began = None if self.first is None else local_timestamp_of(self.first)
            self._skip_to = to_ns if began is None else min(began, to_ns)
            self.first = None
            self._of_gaps = []
            self.restarts += 1
            self._begin(_copied(self.fresh_strategy), to_ns)

    @property
    def broker(self) -> Broker:
        """The broker that the strategy is called with."""
        return self._run.broker

    @property
    def name(self) -> str:
        """The strategy's name."""
        return self.options.name

    @property
    def ended(self) -> str | None:
        """Why the strategy is called no more, though records come; None if it is called."""
        return "it was stopped" if self._is_stopped else self._run.ended

    @property
    def outside(self) -> Sequence[OutsideCall]:
        """The calls of the broker that did not come from the strategy."""
        broker = self._run.broker
        return tuple(broker.outside) if isinstance(broker, SharedBroker) else ()

    @property
    def failed(self) -> Failed | None:
        """The record at which the strategy raised, and what it raised; None if it has not."""
        return self._run.failed

    @property
    def is_running(self) -> bool:
        """Whether the strategy is still called with new records."""
        return not self._is_stopped and self._run.ended is None and self.source.state not in _OVER

    @property
    def records(self) -> int:
        """The number of records that the strategy was called with."""
        return self._run.records

    @property
    def fill_count(self) -> int:
        """The number of fills so far."""
        return len(self._run.ledger.fills)

    @property
    def initial_equity(self) -> float | None:
        """The equity at the start, in the currency of the results; None before there are prices."""
        return self._run.initial_equity

    @property
    def last(self) -> int | None:
        """Arrival of the newest record that was played, ns UTC."""
        return self._run.last

    def _take(self, record: Record) -> None:
        with self.lock:
            if self._is_stopped or self._run.ended is not None or not self._concerns(record):
                return
            records = [record] if self._closed is None else self._closed.only((record,))
            goes_on = all(map(self._play, records))
        if not goes_on:
            self._end()

    def _play(self, record: Record) -> bool:
        if self.first is None:
            self.first = record
        if isinstance(record, Status) and record.event in GAP_EVENTS:
            self._of_gaps.append(record)
        journal, broker = self.journal, self._run.broker
        assert isinstance(broker, SharedBroker)
        before = len(journal.moments)
        journal.begin(record)
        broker.is_called = True
        try:
            goes_on = self._run.feed((record,))
        finally:
            broker.is_called = False
        journal.end()
        if self.on_moment is not None and len(journal.moments) > before:
            self.on_moment(self)
        return goes_on

    def _concerns(self, record: Record) -> bool:
        if local_timestamp_of(record) < self._skip_to:
            return False
        return record[2] is None or record[2] in self.facts.channels

    def _end(self) -> None:
        if self.on_moment is not None:
            self.on_moment(self)
        if not is_replay(self.source):
            self._detach()
        elif self._run.failed is not None:
            self._stay()
        if self._run.failed is not None:
            raise self._run.failed.error  # the source reports it, and keeps it among its failures

    def _stay(self) -> None:
        # The replay detaches what has raised; yet the run begins again where that is wound back.
        with suppress(StreamStopped), self.lock:
            if not self._is_stopped:
                self._detach = self._attached()

    def result(self) -> Result:
        """Make the result as far as the run has come; it goes on meanwhile."""
        with self.lock:
            ended = "it is still running" if self.is_running else None
            return result_of(self._run, ended, self._known())

    def _known(self) -> MarketFacts:
        """Return the facts of the records so far, with the gaps that they had."""
        gaps = gap_spans(self._of_gaps, self.facts.channels, self._run.last or 0)
        return replace(self.facts, gaps=gaps, lacks=lacks_of(gaps))

    def stop(self) -> Result:
        """End the run, and its recording; the stream goes on.

        Returns
        -------
        Result
            Of the whole run.
        """
        with self.lock:
            is_first, self._is_stopped = not self._is_stopped, True
        self._detach()
        with self.lock:
            if is_first:
                self._run.finish()
                self.journal.end()
        if self._recorder is not None and not self._recorder.is_closed:
            self._recorder.close()
        return self.result()

    @property
    def session(self) -> Session | None:
        """The recording of the run so far; None if it is not recorded."""
        return None if self._recorder is None else load(self._recorder.path)

    def __enter__(self) -> PaperTrading:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        with self.lock:
            state = "running" if self.is_running else "over"
            return (
                f"{self.options.name} on {self.source.name}: {state}, {self.records:,} records, "
                f"{len(self._run.ledger.fills)} fills, {self.broker!r}"
            )


_runs: weakref.WeakSet[PaperTrading] = weakref.WeakSet()


def _disown_all() -> None:
    for each in list(_runs):
        each.disown()


in_child(_disown_all)


def paper(
    strategy: Strategy,
    stream: object,
    *,
    record: str | os.PathLike[str] | None = None,
    channels: str | Iterable[str] | None = None,
    symbols: str | Iterable[str] | None = None,
    **options: Any,
) -> PaperTrading:
    """Trade with paper money on a running stream or a replay.

    The broker is that of ``backtest``, and it goes forward on records alone: nothing is sent to an
    exchange.

    Parameters
    ----------
    strategy
        ``strategy(record, broker)``, called once per record from now on.
    stream
        A stream that is running, or a replay.
    record
        A folder below which the stream is recorded meanwhile; the ``session`` of the run is there.
    channels, symbols
        Play only these.
    **options
        Those of ``backtest``.

    Returns
    -------
    PaperTrading
        With ``broker``, ``result()``, ``stop()`` and ``session``.

    Raises
    ------
    InvalidInput
        If it is no stream, or an option cannot be used.
    StreamStopped
        If the stream was stopped.
    """
    source, facts, read, asked = _plan(strategy, stream, channels, symbols, options)
    return PaperTrading(strategy, source, facts, read, asked, record)


def check_paper(
    strategy: Strategy,
    stream: object,
    *,
    record: str | os.PathLike[str] | None = None,  # noqa: ARG001  as paper has it
    channels: str | Iterable[str] | None = None,
    symbols: str | Iterable[str] | None = None,
    **options: Any,
) -> None:
    """Raise the ``InvalidInput`` that ``paper`` would raise, and begin nothing."""
    _, facts, read, _ = _plan(strategy, stream, channels, symbols, options)
    PaperRun(strategy, facts, read)


class _Plan(NamedTuple):
    source: _Attachable
    facts: MarketFacts
    options: RunOptions
    channels: Sequence[str] | None


def _plan(
    strategy: Strategy,
    stream: object,
    channels: str | Iterable[str] | None,
    symbols: str | Iterable[str] | None,
    options: dict[str, Any],
) -> _Plan:
    if not is_live(stream) or not callable(getattr(stream, "attach", None)):
        raise InvalidInput(
            f"paper runs on a stream or a replay, not on {shown(stream)}; for recorded data use "
            "kr.backtest"
        )
    source: Any = stream
    read = RunOptions.of(strategy, **options)
    asked = None if channels is None else texts(channels, "channels")
    named = None if symbols is None else texts(symbols, "symbols")
    facts = _facts_of(source, asked, named, read)
    return _Plan(source, facts, read, asked)


def _facts_of(
    source: _Attachable,
    channels: Sequence[str] | None,
    symbols: Sequence[str] | None,
    options: RunOptions,
) -> MarketFacts:
    there = [parse_channel(each) for each in channels or source.channels]
    played = frozenset(each.name for each in there) - PRIVATE_CHANNELS - {"status"}
    if not played & MATCHED:
        raise InvalidInput(
            f"{source.name} has no prices to trade at: it needs one of the channels "
            f"{', '.join(sorted(MATCHED))}"
        )
    instruments = {**source.instruments, **options.instruments}
    chosen = [each for each in source.symbols if symbols is None or each in symbols]
    for symbol in (*(symbols or ()), *chosen):
        if symbol not in chosen:
            raise InvalidInput(f"{source.name} does not stream {shown(symbol)}")
        if symbol not in instruments:
            raise InvalidInput(
                f"nothing is known about {symbol}, such as its tick and lot size; pass "
                "instruments=, a list of Instrument"
            )
    intervals: dict[str, str] = {}
    if played & MATCHED == {"candle"}:
        names = [each.interval or "1min" for each in there if each.name == "candle"]
        shortest = min(names, key=lambda each: parse_interval(each).ns or 1 << 62)
        intervals = dict.fromkeys(chosen, shortest)
    return MarketFacts(
        channels=dict.fromkeys(chosen, played),
        intervals=intervals,
        instruments={symbol: instruments[symbol] for symbol in chosen},
        gaps={},  # known only as they come
    )


def _time_of(source: object) -> int:
    """Read a stream's clock, or the place of a replay, ns UTC; 0 if there is none."""
    clock = getattr(source, "now_ns", None)
    return int(clock() if callable(clock) else getattr(source, "position_ns", None) or 0)


def _copied(strategy: Strategy) -> Strategy:
    """Copy an object that keeps a state; a plain function is the same one."""
    try:
        return copy.deepcopy(strategy)
    except Exception:  # noqa: BLE001 - what it holds may not be copyable, such as a lock
        return strategy
