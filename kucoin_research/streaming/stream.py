"""A running stream: lanes that read, rings that keep, outlets that tell, readers that pull.

One thread per lane reads, decodes and delivers; an errand thread finds out meanwhile what is to be
asked of REST, and a few others ask. Everything delivered passes
under one lock, so rows of all channels have one order; frames are read without it, a book is copied
under it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import polars as pl

from kucoin_research.errors import (
    BookNotReady,
    KucoinResearchError,
    StreamError,
    StreamStopped,
    StreamTimeout,
)
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.topics import Feed, Topic, topics_for
from kucoin_research.exchange.websocket.decode_classic import ControlMessage, Decodes
from kucoin_research.exchange.websocket.feeds import spec_of
from kucoin_research.foundation import arguments, clocks, interrupts
from kucoin_research.foundation.callbacks import BatchSink, Failure, name_of_function, without
from kucoin_research.frames.analytics import TradeBars
from kucoin_research.frames.store import FrameStore, wanting
from kucoin_research.model.channels import Market, Subscription
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.integrity import Tally, Verdict
from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.rate import RateMeter
from kucoin_research.model.records import ALL_SYMBOLS, CHANNELS, Record
from kucoin_research.model.report import ChannelReport, Lag, Report
from kucoin_research.model.status import State, StreamStatus
from kucoin_research.sessions.recorder import Recorder, recorder_for
from kucoin_research.streaming.feed_handler import FeedHandler
from kucoin_research.streaming.handover import Handover
from kucoin_research.streaming.limits import Healing, budget_of
from kucoin_research.streaming.recovery import Recovery
from kucoin_research.streaming.sinks import SinkWorker
from kucoin_research.streaming.staleness import Silence
from kucoin_research.streaming.supervisor import ConnectionSupervisor
from kucoin_research.streaming.switch_interval import switch_as_usual, switch_sooner
from kucoin_research.streaming.timekeeping import Timekeeper

__all__ = ["Healing", "State", "Stream"]

log = logging.getLogger(__name__)

Sink = Callable[[Record], object]

_LAG_ROWS = 10_000
_ERRAND_INTERVAL = 0.05
# Between looks at functions that may not return.
_LOOK_INTERVAL = 1.0
# How long the "stopped" row waits for the pumps, so that it comes last.
_LAST_ROWS = 2.0
# At the end REST is asked, for no longer than this, whether the last change of some books has come.
_LAST_LOOK = 1.0
_MOST_LOOKED_AT = 5
# How the names of the threads end that ask REST, and of the one that finds out what to ask.
_ASKS = "-asks"
_ERRANDS = "-errands"
# On the pro feed a book's snapshot was seen 0.5 to 6.2 s after its subscription.
_SEED_PATIENCE = 10.0
# Their timestamps are not the time of an event that has just happened.
_WITHOUT_LAG = frozenset({"candle", "status"})
_LAG = [pl.col("lag_ms").quantile(part).alias(f"p{part:.0%}") for part in (0.5, 0.95, 0.99)]


class Stream(TradeBars):
    """A live stream; ``kucoin_research.stream`` makes and starts one.

    Parameters
    ----------
    subscriptions
        What to stream; symbols and channels are taken as valid.
    rest
        The venue's REST side; the stream closes it when it stops.
    capacity
        Rows kept per channel; older ones are dropped whole blocks at a time.
    name
        Shown in ``running()`` and in thread names.
    on_traffic
        Called with each row, and with each raw message once its rows are in the frames, in that
        order on one thread of its own. Raw messages of a connection that is to take over are given
        from then on: rows, on the contrary, are whole, and none comes twice.
    feed
        Which of KuCoin's protocols to stream from.
    healing
        How hard to try to keep the data whole.
    instruments
        The facts of the symbols, for recordings.
    clock
        The time it lives in; the machine's own when left out.

    Notes
    -----
    Every method may be called from any thread. ``stop`` never waits longer than its timeout. Each
    function given to ``attach`` runs on a thread of its own, and no slow one holds up the feed.
    """

    def __init__(
        self,
        subscriptions: Sequence[Subscription],
        rest: Rest,
        *,
        capacity: int = 1_000_000,
        name: str = "stream",
        on_traffic: Callable[[bytes | Record], object] | None = None,
        feed: Feed = Feed.CLASSIC,
        healing: Healing | None = None,
        instruments: Iterable[Instrument] = (),
        clock: clocks.Clock | None = None,
    ) -> None:
        self.clock = clocks.current() if clock is None else clock
        self.name = name
        self.feed = feed
        self.subscriptions = tuple(subscriptions)
        #: The facts of the symbols that are streamed, by symbol.
        self.instruments = {each.symbol: each for each in instruments}
        streamed = [(each.symbol, each.market) for each in self.subscriptions]
        self._time = Timekeeper(self.clock, rest, streamed, self._tell_of_clock)
        self.started_ns = self._time.started_ns
        self.is_replaceable = False  # without a warning while it is recorded
        self._rest = rest
        self._handler = FeedHandler(subscriptions, feed)
        self._store = FrameStore(subscriptions, capacity, name)
        self._dropped = 0  # by outlets that are detached
        self._healing = Healing() if healing is None else healing
        self._workers: tuple[SinkWorker[Record], ...] = ()
        #: Functions that have raised and are called no more, until one of that name is attached.
        self.failures: tuple[Failure, ...] = ()
        self._recorders: list[Recorder] = []
        self._batch_sinks: tuple[BatchSink[Record], ...] = ()
        self._delivery_lock = threading.RLock()  # guards intake, shelf's writers, sinks' tuples
        self._stopping = self.clock.event()
        self._is_disowned = False  # by a forked child
        self._is_finished = False  # all rows are there that there will be
        self._errand = self.clock.event()
        self._messages = 0
        self._meter = RateMeter()
        self._threads_lock = threading.Lock()  # guards _threads
        self._threads: list[threading.Thread] = []
        self._traffic_outlet: SinkWorker[bytes | Record] | None = None
        if on_traffic is not None:
            self._traffic_outlet = self._worker(on_traffic, lambda _: True, "on_traffic")
        budget = budget_of(rest, self._healing)
        self._supervisors = [
            ConnectionSupervisor(
                self, market, topics, spec_of(feed), number,
                healing=self._healing, budget=budget, start_thread=self._start_thread,
            )
            for number, (market, topics) in enumerate(shards_of(subscriptions, feed))
        ]  # fmt: skip
        self._recovery = Recovery(
            self,
            self._handler,
            self._delivery_lock,
            self._time,
            markets={each.symbol: each.market for each in self.subscriptions},
            supervisors=self._supervisors,
            fill_timeout=self._healing.fill_timeout,
            start_thread=self._start_thread,
        )

    @interrupts.hold(passes_on=True)
    def start(self) -> Self:
        """Start the threads; once only. If that fails, nothing is left running."""
        if self._threads or self._stopping.is_set():
            raise StreamError(
                f"{self.name!r} was started before, and a stream starts once: start another"
            )
        try:
            switch_sooner(self)
            if self._traffic_outlet is not None:
                self._start_outlet(self._traffic_outlet)
            for supervisor in self._supervisors:
                self._start_thread(supervisor.run, f"pump-{supervisor.number}")
            self._start_thread(self._run_errands, _ERRANDS.removeprefix("-"))
        except BaseException:
            self.stop(timeout=0.0)
            raise
        return self

    def _start_thread(self, target: Callable[[], None], role: str) -> None:
        self._keep_thread(self.clock.thread(target, f"kucoin-{self.name}-{role}"))

    @interrupts.hold(passes_on=True)
    def _keep_thread(self, thread: threading.Thread) -> None:
        thread.start()
        # Only now: stop() from elsewhere cannot join it before. Those that have ended are dropped.
        with self._threads_lock:
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]

    # -- readers -----------------------------------------------------------------------------------

    def frame(
        self,
        channel: str | None = None,
        symbol: str | None = None,
        last: int | None = None,
        *,
        mark_filled: bool = False,
    ) -> pl.DataFrame:
        """Take an immutable snapshot of a channel's rows.

        Parameters
        ----------
        channel
            ``"ticker"``, ``"candle:5min"``, ``"status"``, …; may be left out when only one streams.
            Plain ``"candle"`` is the interval that is streamed, of several the one of 1 min.
        symbol
            Only this symbol's rows.
        last
            Only the newest ``last`` rows, counted after the symbol filter.
        mark_filled
            Add a column ``is_filled``: whether REST brought the row, after an outage.

        Returns
        -------
        pl.DataFrame
            Columns of the channel; times are ``Datetime("ns", "UTC")``. In order of
            ``local_timestamp``, the stamp of the reading; rows that REST has brought after an
            outage are stamped just before the first one behind it.

        Raises
        ------
        UnknownChannel, UnknownSymbol
            If the channel or the symbol is not streamed here.
        InvalidInput
            If ``last`` is no number of rows.
        """
        return self._store.frame(channel, symbol, last, mark_filled=mark_filled)

    def book(self, symbol: str | None = None) -> OrderBook:
        """Copy the order book of a symbol whose ``level2`` is streamed.

        After ``stop`` it is the last book, as the frames are the last rows: it does not change any
        more, and ``timestamp`` says of when it is.

        Parameters
        ----------
        symbol
            May be left out when only one book is kept.

        Raises
        ------
        BookNotReady
            While the book is not in step with the exchange.
        """
        symbol = arguments.name_of(symbol, "symbol")
        with self._delivery_lock:
            books = self._handler.books
            if symbol is None and not books:
                raise BookNotReady(f"{self.name!r} keeps no book; add 'level2' to channels=")
            if symbol is None and len(books) > 1:
                raise BookNotReady(f"name one of the books: {', '.join(books)}")
            return self._handler.order_books.copy(
                symbol if symbol is not None else next(iter(books))
            )

    @interrupts.hold(passes_on=True)
    def wait(
        self, channel: str | None = None, rows: int = 1, timeout: float | None = 10.0
    ) -> pl.DataFrame:
        """Wait until a channel has received that many rows since the start.

        Parameters
        ----------
        channel
            May be left out when only one streams.
        rows
            How many.
        timeout
            Seconds; None waits for ever.

        Returns
        -------
        pl.DataFrame
            ``frame(channel)``.

        Raises
        ------
        StreamTimeout
            If they have not come by then.
        StreamStopped
            If the stream ends before.
        InvalidInput
            If ``rows`` or ``timeout`` is no number.
        """
        wanted = self._store.channel(channel)
        rows, timeout = arguments.count(rows, "rows", "rows", least=0), arguments.patience(timeout)
        deadline = self.clock.monotonic() + timeout
        # Short slices: "Interrupt kernel" and Ctrl-C get through on every platform.
        while (total := self._store.total(wanted)) < rows:
            if self.state in (State.STOPPED, State.FAILED):
                raise StreamStopped(
                    f"{self.name!r} is {self.state} after {total} of {rows} rows of "
                    f"{wanted}{self._because()}"
                )
            remaining = deadline - self.clock.monotonic()
            if remaining <= 0:
                raise StreamTimeout(
                    f"{total} of {rows} rows of {wanted} came within {timeout:g} s{self._because()}"
                )
            interrupts.check()
            self._stopping.wait(min(0.02, remaining))
        return self.frame(channel)

    def _because(self) -> str:
        if self._is_disowned:
            return ": it belongs to the process that forked this one; start another here"
        error = self.error
        return f": {error}" if error is not None else ""

    @interrupts.hold(passes_on=True)
    def wait_until_live(self, timeout: float | None = 30.0) -> bool:
        """Wait until every subscription was answered; ``False`` when the time passed first."""
        deadline = self.clock.monotonic() + arguments.patience(timeout)
        while self.state in (State.CONNECTING, State.RECONNECTING):
            if self.clock.monotonic() >= deadline:
                return False
            interrupts.check()
            self._stopping.wait(0.02)
        return self.state is State.LIVE

    @property
    def state(self) -> State:
        """What the stream is doing: the least healthy of its connections says."""
        if self._stopping.is_set():
            return State.STOPPED
        states = {supervisor.state for supervisor in self._supervisors}
        for state in (State.FAILED, State.RECONNECTING, State.CONNECTING):
            if state in states:
                return state
        return State.LIVE

    @property
    def progress(self) -> int:
        """How far the stream is with becoming live.

        It grows with each connection that opens and each subscription that is answered, both for
        the first time: so it ends growing, whatever the exchange does.
        """
        return sum(supervisor.progress for supervisor in self._supervisors)

    @property
    def held_until(self) -> float | None:
        """Monotonic seconds until which no further connection may be made; None where one may."""
        return max(
            (at for supervisor in self._supervisors if (at := supervisor.held_until) is not None),
            default=None,
        )

    @property
    def error(self) -> KucoinResearchError | None:
        """The error that a connection is suffering from, or a refused subscription."""
        return next(
            (supervisor.error for supervisor in self._supervisors if supervisor.error is not None),
            None,
        )

    @property
    def simulation(self) -> float | None:
        """The speed of the venue's virtual clock, ``None`` on a venue that runs in real time."""
        return next(
            (
                supervisor.simulation
                for supervisor in self._supervisors
                if supervisor.simulation is not None
            ),
            None,
        )

    @property
    def live_since(self) -> float | None:
        """Monotonic seconds of its clock at which it was first live; ``None`` before."""
        times = [
            supervisor.live_since
            for supervisor in self._supervisors
            if supervisor.live_since is not None
        ]
        return max(times) if len(times) == len(self._supervisors) else None

    @property
    def last_ping(self) -> float | None:
        """Unix seconds of the newest ping sent, over all connections."""
        pings = [
            supervisor.last_ping
            for supervisor in self._supervisors
            if supervisor.last_ping is not None
        ]
        return max(pings, default=None)

    def ping(self) -> None:
        """Send a ping on every connection at the next chance; the stream sends its own anyway."""
        for supervisor in self._supervisors:
            supervisor.request_ping()

    def total(self, channel: str | None = None) -> int:
        """Count the rows received on a channel since the start."""
        return self._store.total(self._store.channel(channel))

    @property
    def rows_kept(self) -> int:
        """Rows in memory now, of all channels; their frames hold no more."""
        return self._store.kept

    @property
    def clock_offset_ms(self) -> float | None:
        """The exchange's clock less this machine's, as measured; ``None`` before that."""
        offset = self._time.offset
        return None if offset is None else offset.offset_ns / 1e6

    @property
    def clock_uncertainty_ms(self) -> float | None:
        """By how much ``clock_offset_ms`` may be wrong; ``None`` where it is not known."""
        offset = self._time.offset
        return None if offset is None else offset.uncertainty_ns / 1e6

    @property
    def verdict(self) -> Verdict:
        """What can be said of the data by now; ``report()`` says why."""
        return self._report(with_lag=False).verdict

    @property
    def messages_per_second(self) -> float:
        """Messages of all kinds, over the last five seconds."""
        return self._meter.rate(self.clock.monotonic(), self._messages)

    @property
    def status(self) -> StreamStatus:
        """How the stream is doing right now."""
        tallies = self._handler.ledger.tallies
        lag = self._lag_of_newest()
        return StreamStatus(
            state=self.state,
            rows=self._store.totals,
            messages_per_second=self.messages_per_second,
            lag_p50_ms=lag.p50_ms if lag else None,
            lag_p95_ms=lag.p95_ms if lag else None,
            reconnects=sum(supervisor.reconnects for supervisor in self._supervisors),
            gaps=sum(len(tally.gaps) for tally in tallies),
            duplicates=sum(tally.duplicates for tally in tallies),
            broken=self._handler.broken,
            error=self.error,
            rollovers=sum(supervisor.rollovers for supervisor in self._supervisors),
            dropped=self._dropped + sum(worker.dropped for worker in self._workers),
        )

    def _lag_of_newest(self) -> Lag | None:
        for name in self._store.totals:
            if name not in _WITHOUT_LAG:
                lag = self._lag(self._store.rings[CHANNELS[name]].frame(_LAG_ROWS))
                if lag is not None:
                    return lag
        return None

    def lags(self, rows: pl.DataFrame) -> pl.Series:
        """Give how late each of some rows arrived, in milliseconds.

        Arrival less the exchange's time, the difference of the two clocks taken out as it was
        measured when the row came.

        Parameters
        ----------
        rows
            From ``frame``.

        Returns
        -------
        pl.Series
            ``Float64``; null for rows of snapshots, for those that REST brought or that waited for
            a snapshot, and where the clocks cannot be compared: before that was measured, after
            this machine's clock was set, and where the venue's clock runs at another speed.

        Raises
        ------
        ColumnMissing
            If a needed column is absent; the message lists those present.
        InvalidInput
            If it is no polars frame, or its times are none.
        """
        times = ("timestamp", "local_timestamp")
        arguments.has_columns(rows, (*times, "symbol"), "lags cannot be told")
        arguments.columns_hold(rows, times=times)
        if self.simulation not in (None, 1.0):
            return pl.Series("lag_ms", [None] * rows.height, dtype=pl.Float64)
        return self._time.lags(rows, self._handler.not_read)

    def _lag(self, rows: pl.DataFrame) -> Lag | None:
        lags = self.lags(rows).drop_nulls()
        return None if lags.is_empty() else Lag(*lags.to_frame("lag_ms").select(_LAG).row(0))

    def report(self) -> Report:
        """Give the account of the stream's data, per channel and symbol."""
        return self._report(with_lag=True)

    def _report(self, *, with_lag: bool) -> Report:
        tallies = self._handler.ledger.tallies
        lags = self._lags_of(tallies) if with_lag else {}
        return Report(
            name=self.name,
            channels=tuple(ChannelReport.of(t, lags.get((t.channel, t.symbol))) for t in tallies),
            reconnects=sum(supervisor.reconnects for supervisor in self._supervisors),
            clock_offset_ms=self.clock_offset_ms,
            clock_uncertainty_ms=self.clock_uncertainty_ms,
            simulation=self.simulation,
            rollovers=sum(supervisor.rollovers for supervisor in self._supervisors),
        )

    def _lags_of(self, tallies: Sequence[Tally]) -> dict[tuple[str, str], Lag]:
        """Measure the lag of each channel and symbol, in one pass over each channel's rows."""
        found: dict[tuple[str, str], Lag] = {}
        channels = {tally.channel for tally in tallies if tally.rows}
        for channel in channels - _WITHOUT_LAG:
            rows = self._store.rings[CHANNELS[channel]].frame()
            lags = rows.select("symbol", self.lags(rows)).drop_nulls("lag_ms")
            each = lags.group_by(pl.col("symbol").cast(pl.String)).agg(_LAG)
            found |= {(channel, symbol): Lag(*lag) for symbol, *lag in each.drop_nulls().rows()}
            if not lags.is_empty():
                found[channel, ALL_SYMBOLS] = Lag(*lags.select(_LAG).row(0))
        return found

    # -- sinks -------------------------------------------------------------------------------------

    def attach(self, sink: Sink, channel: str | Iterable[str] | None = None) -> Callable[[], None]:
        """Call ``sink(record)`` once for each record from now on, on a feed thread of its own.

        Parameters
        ----------
        sink
            It may be slow: the feed does not wait for it. Up to 100,000 records wait for it; of
            what comes then it is not told, which is counted (``status.dropped``) and told in the
            ``status`` channel. If it raises, it is detached and that is told, too. Rows that
            waited for what REST brings come when that is there, and have the stamps of their
            reading. If it returns a coroutine or a generator, of which nothing runs, it is treated
            as if it had raised.
        channel
            Which channels; all of them, ``status`` included, when left out.

        Returns
        -------
        Callable[[], None]
            Detaches the sink; may be called twice. The sink is not called any more when it returns
            (but for a call under way that takes longer than 5 s, or that makes this one).

        Raises
        ------
        InvalidInput
            If it is no plain function: neither async nor a generator.
        StreamStopped
            If the stream was stopped.
        """
        arguments.plain_function(sink, "attach", "record")
        self._refuse_if_stopped("nothing will come")
        channels = self._store.chosen(channel)
        named = name_of_function(sink)
        worker = self._worker(sink, wanting(channels), named)
        with self._delivery_lock:
            self._workers = (*self._workers, worker)
            self.failures = without(self.failures, named)
        self._start_outlet(worker)
        return lambda: self._detach(worker)

    def _worker(
        self, call: Callable[[Any], object], wants: Callable[[Any], bool], name: str
    ) -> SinkWorker[Any]:
        return SinkWorker(
            call, wants, name=name, thread_name=f"kucoin-{self.name}-sink", tell=self.note,
            on_failure=self._forget, clock=self.clock,
        )  # fmt: skip

    def _start_outlet(self, worker: SinkWorker[Any]) -> None:
        self._keep_thread(worker.thread)

    def _detach(self, worker: SinkWorker[Record]) -> None:
        self._forget(worker)
        worker.detach()

    def _forget(self, worker: SinkWorker[Any]) -> None:
        with self._delivery_lock:
            if worker in self._workers:
                self._dropped += worker.dropped
                if worker.failure is not None:
                    self.failures = (*self.failures, worker.failure)
            self._workers = tuple(each for each in self._workers if each is not worker)

    def attach_batches(self, take: Callable[[Sequence[Record]], object]) -> Callable[[], None]:
        """Call ``take(rows)`` with each batch of rows as it is stored, all channels in order.

        It runs on a feed thread, under the delivery lock: it must hand the rows on, and not wait.
        If it raises, it is detached, which ``failures`` and the ``status`` channel say. For
        recorders and their like; others want ``attach``.

        Returns
        -------
        Callable[[], None]
            Detaches it; may be called twice.

        Raises
        ------
        InvalidInput
            If it is no plain function: neither async nor a generator.
        StreamStopped
            If the stream was stopped.
        """
        arguments.plain_function(take, "attach_batches", "rows")
        self._refuse_if_stopped("nothing will come")
        return self._attach_batches(take)

    def _attach_batches(self, take: Callable[[Sequence[Record]], object]) -> Callable[[], None]:
        sink = BatchSink(take)

        def detach() -> None:
            with self._delivery_lock:
                self._batch_sinks = tuple(each for each in self._batch_sinks if each is not sink)

        with self._delivery_lock:
            self._batch_sinks = (*self._batch_sinks, sink)
            self.failures = without(self.failures, sink.name)
        return detach

    def _refuse_if_stopped(self, consequence: str) -> None:
        if self._stopping.is_set():
            raise StreamStopped(
                f"{self.name!r} was stopped, so {consequence}; start another stream"
            )

    @interrupts.hold(passes_on=True)
    def record(self, root: str | os.PathLike[str] = "data/sessions", **options: Any) -> Recorder:
        """Record everything from now on into a session's folder below ``root``.

        Books that are in step already are fetched afresh, a few at a time and without a loss, so
        that the recording has their snapshots, too. Those of the pro feed are left alone: a new
        snapshot would cost rows there, so the recording has none before the next connection.

        Parameters
        ----------
        root, **options
            See ``kucoin_research.sessions.recorder.Recorder``: ``compression``, ``fsync``, ….

        Returns
        -------
        Recorder
            Ends with the stream, or when closed.

        Raises
        ------
        InvalidInput
            If an option is unknown, or means nothing.
        OSError
            If the folder cannot be made.
        StreamStopped
            If the stream was stopped.
        """
        self._refuse_if_stopped("nothing will come that could be recorded")
        options.setdefault("instruments", self.instruments.values())
        recorder = recorder_for(self, root, options, {"ends_itself": True})
        with self._delivery_lock:
            self._account()  # so that the recording's own accounts begin with it
            if gaps := self._handler.gaps_to_come():
                recorder.take(gaps)
            recorder.before_close(self._ending(self._attach_batches(recorder.take)))
            self._recorders = [*self.recorders, recorder]
            self._recovery.begin_books(
                symbol
                for symbol, book in self._handler.books.items()
                if book.is_ready and not book.seeds_itself
            )
        self._errand.set()
        return recorder

    def _ending(self, detach: Callable[[], None]) -> Callable[[], None]:
        """Have a recording end with an account of its books."""

        def end() -> None:
            with self._delivery_lock:
                self._account()
                detach()

        return end

    def _account(self) -> None:
        if not self._is_finished:
            self._commit(self._handler.order_books.account(self.now_ns()))

    @property
    def recorders(self) -> list[Recorder]:
        """What records it now."""
        return [each for each in self._recorders if not each.is_closed]

    # -- delivery, on the feed threads -------------------------------------------------------------

    def deliver(
        self,
        payloads: Sequence[bytes],
        decoder: Decodes,
        overlap: Handover | None = None,
        now_ns: int | None = None,
    ) -> list[ControlMessage]:
        """Take the messages of one read; returns those meant for the conversation."""
        now_ns = self.now_ns() if now_ns is None else now_ns
        with self._delivery_lock:
            rows, controls = self._handler.take(payloads, decoder, now_ns, overlap)
            self._count(len(payloads))
            self._commit(rows)
        if self._handler.has_open_requests:
            self._errand.set()
        if self._traffic_outlet is not None:
            self._traffic_outlet.put(payloads)
        return controls

    def hold(
        self, payloads: Sequence[bytes], decoder: Decodes, overlap: Handover
    ) -> list[ControlMessage]:
        """Keep the messages of a connection that is to take over; returns those of its talk."""
        if not payloads:
            return []
        now_ns = self.now_ns()
        with self._delivery_lock:
            return self._handler.hold(payloads, decoder, now_ns, overlap)

    def take_over(
        self, overlap: Handover, topics: Sequence[Topic], drained_ns: int
    ) -> list[tuple[str, str]]:
        """Go on with that connection; returns the channels and symbols the other had stalled."""
        with self._delivery_lock:
            if self._is_finished:
                return []
            rows, stalled = self._handler.take_over(overlap, topics, drained_ns, self.now_ns())
            self._commit(rows)
        if self._handler.has_open_requests:
            self._errand.set()
        return stalled

    def silences(self, topics: Sequence[Topic], now_ns: int) -> list[Silence]:
        """List what has been silent for suspiciously long."""
        shortest_ns = int(self._healing.shortest_silence * 1e9)
        with self._delivery_lock:
            silent = self._handler.silent(topics, now_ns, shortest_ns)
        return [
            Silence(
                tally.channel,
                tally.symbol,
                (now_ns - (tally.last_local or now_ns)) / 1e9,
                (tally.arrivals.p99_ns or 0) / 1e9,
            )
            for tally in silent
        ]

    def was_quiet(self, silences: Sequence[Silence]) -> None:
        """Take note that another connection was silent, too: the market was, most likely."""
        with self._delivery_lock:
            for silence in silences:
                self._handler.was_quiet(silence.channel, silence.symbol, self.now_ns())

    def _count(self, messages: int) -> None:
        self._meter.sample(self.clock.monotonic(), self._messages)
        self._messages += messages

    def note(
        self, event: str, detail: str, *, channel: str | None = None, symbol: str | None = None
    ) -> None:
        """Put a status row into the flow."""
        detail = detail.encode(errors="replace").decode()  # a foreign error's text may be odd
        with self._delivery_lock:
            row = self._handler.note(event, detail, self.now_ns(), channel=channel, symbol=symbol)
            self._commit([row])

    def take_in(self, rows: Callable[[], Sequence[Record]]) -> Sequence[Record] | None:
        """Make rows and put them into the flow, under the delivery lock; None at the end."""
        with self._delivery_lock:
            if self._is_finished:
                return None
            made = rows()
            self._commit(made)
        return made

    def _commit(self, rows: Sequence[Record]) -> None:
        if not rows:
            return
        self._store.extend(rows)
        sinks = self._batch_sinks
        failed = [(sink, error) for sink in sinks if (error := sink.take(rows)) is not None]
        for worker in self._workers:
            worker.put(rows)
        if self._traffic_outlet is not None:
            self._traffic_outlet.put(rows)
        for sink, error in failed:  # last, as this puts rows of its own behind these
            self._drop(sink, error)

    def _drop(self, sink: BatchSink[Record], error: BaseException) -> None:
        """Detach a function that has raised, and say so."""
        failure = Failure.of(sink.name, error, self.clock.wall_ns())
        self._batch_sinks = tuple(each for each in self._batch_sinks if each is not sink)
        self.failures = (*self.failures, failure)
        self.note("sink_failed", f"{failure}; it was detached")

    def connected(self, topics: Sequence[Topic], detail: str) -> None:
        """Tell that a connection is open and its subscriptions answered."""
        self.note("connected", f"{len(topics)} topics{detail}")

    def lost(self, topics: Sequence[Topic], reason: str, began_ns: int | None) -> None:
        """Tell that a connection ended; its books start over."""
        if began_ns is not None:
            with self._delivery_lock:
                self._commit(self._handler.begin_outage(topics, began_ns, self.now_ns()))
        self.note("disconnected", reason)

    def outage(self, topics: Sequence[Topic], began_ns: int, *, is_over: bool) -> None:
        """Account for the time from a lost connection to its successor, or to the end."""
        with self._delivery_lock:
            now_ns = self.now_ns()
            rows = self._handler.end_outage(
                topics, began_ns, now_ns, "disconnected", is_over=is_over
            )
            self._commit(rows)
        self._errand.set()

    def acknowledged(self, topics: Sequence[Topic]) -> None:
        """Take note of subscriptions that the exchange has accepted."""
        self._recovery.forget_failures()
        with self._delivery_lock:
            self._handler.subscribed(topics, self.clock.monotonic(), _SEED_PATIENCE)
        self._errand.set()

    # -- this machine's clock, and the exchange's --------------------------------------------------

    def now_ns(self) -> int:
        """Read the clock that stamps the rows, ns UTC."""
        return self._time.now_ns()

    @property
    def moves(self) -> Sequence[clocks.Move]:
        """When and by how much this machine's clock was set since the start."""
        return self._time.moves

    def clock_moved(self) -> None:
        """Take note that this machine's clock was set."""
        self._time.tell_moves()
        self._errand.set()

    def request_clock(self, market: Market) -> None:
        """Have a market's clock measured: there is a new connection."""
        self._time.request(market)

    def _tell_of_clock(self, event: str, detail: str) -> None:
        if not self._stopping.is_set():
            self.note(event, detail)

    # -- errands: what is asked of REST, on threads of its own, so that no pump waits for it -------

    def request_errand(self) -> None:
        """Wake the errand thread."""
        self._errand.set()

    def _run_errands(self) -> None:
        books = self._handler.books
        while not self._stopping.is_set():
            is_soon = books or self._handler.has_open_requests
            pause = _ERRAND_INTERVAL if is_soon else self._time.interval
            self._errand.wait(min(pause, _LOOK_INTERVAL) if self._all_outlets() else pause)
            self._errand.clear()
            try:
                self._recovery.look()
                for worker in self._all_outlets():
                    worker.look()
            except Exception as error:  # noqa: BLE001  this thread's guard
                self._recovery.survive(error)
        deadline = self.clock.monotonic() + _LAST_ROWS
        for thread in self._feed_threads():
            thread.join(max(0.0, deadline - self.clock.monotonic()))
        self._finish()

    def _feed_threads(self) -> list[threading.Thread]:
        """List those that bring rows, but for the one that asks."""
        others = {worker.thread for worker in self._all_outlets()} | {threading.current_thread()}
        return [
            thread
            for thread in self._threads
            if thread not in others and not thread.name.endswith((_ERRANDS, _ASKS))
        ]

    def _finish(self) -> None:
        """Let go of everything that waits, once; nothing comes behind the "stopped" row."""
        with self._delivery_lock:
            if self._is_finished:
                return
            self._commit(self._handler.finish(self.now_ns()))
            self.note("stopped", "stop() was called")
            self._is_finished = True
        for worker in self._all_outlets():
            worker.close()

    def _all_outlets(self) -> list[SinkWorker[Any]]:
        traffic = [] if self._traffic_outlet is None else [self._traffic_outlet]
        return [*self._workers, *traffic]

    # -- the end -----------------------------------------------------------------------------------

    @interrupts.hold(passes_on=True)
    def stop(self, timeout: float = 5.0) -> None:
        """End the stream: sockets closed, threads gone. Its frames and last books stay readable.

        Before, REST is asked whether the last change of the books has come (of up to five, for up
        to a second), as nothing else would tell. Called by a sink, it does not wait: the feed
        cannot end before the sink returns.

        Parameters
        ----------
        timeout
            Seconds to wait for the threads; they end on their own soon after in any case.
        """
        seen = interrupts.arrived()
        timeout = arguments.seconds(timeout, "timeout")
        deadline = self.clock.monotonic() + timeout
        self._look_once_more(min(timeout, _LAST_LOOK), seen)
        # First, so that an interrupt from here on cannot leave the stream running.
        self._stopping.set()
        self._errand.set()
        for supervisor in self._supervisors:
            supervisor.abort()
        self._rest.close()
        self._recovery.close()
        switch_as_usual(self)
        if not self._has_errand_thread:
            for worker in self._all_outlets():
                worker.close()
        here = threading.current_thread()
        if here in {worker.thread for worker in self._all_outlets()}:
            return
        # The threads that ask may wait for a slow answer of REST; the rows need not.
        feed = self._feed_threads()
        interrupts.join(feed, self._until(deadline), seen=seen, clock=self.clock)
        if self._has_errand_thread and not any(thread.is_alive() for thread in feed):
            self._finish()
        others = [thread for thread in self._threads if thread is not here]
        interrupts.join(others, self._until(deadline), seen=seen, clock=self.clock)

    def _look_once_more(self, seconds: float, seen: int) -> None:
        """Have it found out whether the last change of each book has come, and wait for it.

        An interrupt ends the waiting; ``seen`` is what there had been of them before.
        """
        if self._stopping.is_set() or self._is_called_by_own_thread():
            return
        deadline = self.clock.monotonic() + seconds
        with self._delivery_lock:
            # Those in step, that is; connections of others may be lost.
            names = self._handler.order_books.to_ask_about(_MOST_LOOKED_AT)
            self._recovery.ask_about_ends(names)
        if not names:
            return
        books = [self._handler.books[name] for name in names]
        self._errand.set()
        while self.clock.monotonic() < deadline and interrupts.arrived() == seen:
            if self._recovery.are_ends_known and not any(book.doubt for book in books):
                break
            self._stopping.wait(0.02)

    def _is_called_by_own_thread(self) -> bool:
        here = threading.current_thread()
        return here in self._threads or here in {worker.thread for worker in self._all_outlets()}

    def _until(self, deadline: float) -> float:
        return max(0.0, deadline - self.clock.monotonic())

    @property
    def _has_errand_thread(self) -> bool:
        return any(thread.name.endswith(_ERRANDS) for thread in self._threads)

    def disown(self) -> None:
        """Forget the threads and sockets in a forked child: they are the parent's alone."""
        self._is_disowned = True
        self._stopping = threading.Event()
        self._stopping.set()
        self._delivery_lock = threading.RLock()  # may have been held when the process was forked
        for supervisor in self._supervisors:
            supervisor.disown()
        self._recovery.disown()
        self._rest.disown()
        self._threads = []
        self._workers = ()
        self._traffic_outlet = None

    @property
    def stopping(self) -> threading.Event:
        """Set once ``stop`` was called."""
        return self._stopping

    @property
    def origin(self) -> dict[str, str | None]:
        """Where the data comes from, for ``session.json``."""
        venue = self._rest.venue
        return {
            "name": venue.name,
            "futures_url": venue.futures_url,
            "spot_url": venue.spot_url,
            "feed": str(self.feed),
        }

    @property
    def rest(self) -> Rest:
        """The venue's REST side."""
        return self._rest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Stream {self.name}: {self.status}>"


def shards_of(
    subscriptions: Sequence[Subscription], feed: Feed
) -> list[tuple[Market, list[Topic]]]:
    most = spec_of(feed).topics_per_connection
    by_market: defaultdict[Market, dict[Topic, None]] = defaultdict(dict)
    for channel, symbol, market in subscriptions:
        by_market[market].update(dict.fromkeys(topics_for(channel, symbol, market, feed)))
    return [
        (market, list(topics)[start : start + most])
        for market, topics in by_market.items()
        for start in range(0, len(topics), most)
    ]
