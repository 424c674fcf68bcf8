"""A running stream: connections that read, frames that keep, sinks that are called.

One thread per connection reads, decodes and delivers. An errand thread finds out meanwhile what to
ask of REST, and a few others ask. Frames are read without a lock, a book is copied under one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import polars as pl

from kucoin_research.errors import (
    BookNotReady,
    InvalidInput,
    KucoinResearchError,
    StreamError,
    StreamStopped,
    StreamTimeout,
)
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.topics import Feed
from kucoin_research.exchange.websocket.decode_classic import ControlMessage, Decodes
from kucoin_research.foundation import arguments, clocks, interrupts
from kucoin_research.foundation.callbacks import Attachment, Failure, name_of_function
from kucoin_research.frames.analytics import TradeBars
from kucoin_research.frames.store import FrameStore, records_in_words, wanting
from kucoin_research.model.channels import Subscription
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.integrity import Verdict
from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.records import Record
from kucoin_research.model.report import ChannelReport, Report
from kucoin_research.model.status import State, StreamStatus
from kucoin_research.sessions.writing.recorder import Recorder, recorder_for
from kucoin_research.streaming.delivery import Delivery
from kucoin_research.streaming.engine import Engine
from kucoin_research.streaming.handover import Handover
from kucoin_research.streaming.history_reader import HistoryReader
from kucoin_research.streaming.lags import lag_of_newest, lags_by_symbol
from kucoin_research.streaming.limits import Healing
from kucoin_research.streaming.subscribing import Subscribing

__all__ = ["Healing", "State", "Stream"]

Sink = Callable[[Record], object]
#: Checks symbols and channels of a market before anything is subscribed to.
Planner = Callable[[list[str], list[str], str | None], tuple[list[Subscription], list[Instrument]]]

# Seconds that the exchange may take to answer changes of subscriptions.
_ANSWER_TIMEOUT = 15.0


class Stream(TradeBars):
    """A live stream; ``kucoin_research.stream`` makes and starts one.

    It has many methods because they are what a user can do with a stream. The work is done by
    ``Delivery`` (rows and sinks) and ``Engine`` (connections and threads).

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
        order on one thread of its own. Of a connection that is about to take over, raw messages are
        passed from then on. Rows, on the contrary, are whole, and none comes twice.
    feed
        The protocol of KuCoin to stream from.
    healing
        How hard to try to keep the data whole.
    instruments
        The facts of the symbols, for recordings.
    plan
        Checks what ``subscribe`` is asked for, and finds the instruments.
    clock
        The time it lives in; the machine's own when left out.

    Attributes
    ----------
    instruments
        The facts of the symbols that are or were streamed, by symbol.
    started_ns
        Stamp of the beginning, ns UTC.

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
        plan: Planner | None = None,
        clock: clocks.Clock | None = None,
    ) -> None:
        healing = Healing() if healing is None else healing
        self.clock = clocks.current() if clock is None else clock
        self.name = name
        self.feed = feed
        self.instruments = {each.symbol: each for each in instruments}
        self.is_replaceable = False  # without a warning while it is recorded
        self._rest = rest
        self._store = FrameStore(subscriptions, capacity, name)
        self._plan = plan
        self._delivery = Delivery(
            name,
            subscriptions,
            rest,
            self._store,
            feed=feed,
            clock=self.clock,
            shortest_silence=healing.shortest_silence,
        )
        self.started_ns = self._delivery.time.started_ns
        self._handler = self._delivery.handler
        if on_traffic is not None:
            sinks = self._delivery.sinks
            sinks.traffic = sinks.worker(on_traffic, lambda _: True, "on_traffic")
        self._engine = Engine(self._delivery, subscriptions, healing)
        self._subscribing = Subscribing(self._delivery, self._engine, subscriptions)
        self._supervisors = self._engine.supervisors
        self._recorders: list[Recorder] = []
        self._is_disowned = False  # by a forked child

    @interrupts.hold(passes_on=True)
    def start(self) -> Self:
        """Start the threads; once only. If that fails, nothing is left running."""
        if self._engine.threads.all or self.stopping.is_set():
            raise StreamError(
                f"{self.name!r} was started before, and a stream starts once: start another"
            )
        try:
            self._engine.start(self)
        except BaseException:
            self.stop(timeout=0.0)
            raise
        return self

    # -- readers ---------------------------------------------------------------------------------

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
            ``local_timestamp``, the stamp of the reading. Rows that REST has brought after an
            outage are stamped just before the first row behind it.

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

        After ``stop`` it is the last book, as the frames are the last rows. It does not change any
        more, and ``timestamp`` is its time.

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
        with self._delivery.lock:
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
            The number of rows.
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
            If the stream ends before that.
        UnknownChannel
            If the channel is not streamed here, also if subscribing to it fails meanwhile.
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
            self.stopping.wait(min(0.02, remaining))
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
            self.stopping.wait(0.02)
        return self.state is State.LIVE

    # -- subscriptions ---------------------------------------------------------------------------

    @interrupts.hold(passes_on=True)
    def subscribe(
        self,
        symbols: str | Iterable[str] | None = None,
        channels: str | Iterable[str] | None = None,
        *,
        market: str | None = None,
        timeout: float | None = _ANSWER_TIMEOUT,
    ) -> tuple[Subscription, ...]:
        """Stream further symbols or channels, without a loss to those that stream already.

        It returns once the exchange has acknowledged them. A recording that goes on takes their
        rows, too. If a channel comes back that was unsubscribed, the time in between is a gap in
        ``report()``, with the cause ``unsubscribed``; REST fills trades and candles of it as far as
        it reaches, and a book starts over from a snapshot.

        Parameters
        ----------
        symbols, channels, market
            As for ``kucoin_research.stream``. Symbols left out: all that stream now. Channels left
            out: all that stream now.
        timeout
            Seconds to wait for the answers.

        Returns
        -------
        tuple[Subscription, ...]
            Those that were not streamed before; empty if all were, which changes nothing.

        Raises
        ------
        UnknownChannel, ChannelNotOffered, UnknownSymbol, SymbolNotTrading, CredentialsMissing
            Before the exchange is asked.
        StreamError, StreamTimeout
            If the exchange refuses any of it, or does not answer in time. The stream goes on as
            before: accepted parts are taken back.
        AuthenticationFailed, CertificateRefused
            If a further connection cannot be made; the stream goes on as before.
        StreamStopped
            If the stream was stopped.
        """
        self._refuse_if_stopped("nothing can be subscribed to")
        seconds = arguments.patience(timeout)
        found, instruments = self._planned(symbols, channels, market)
        return self._subscribing.add(
            found, seconds, lambda fresh: self._announce(fresh, instruments)
        )

    def _announce(
        self, fresh: Sequence[Subscription], instruments: Sequence[Instrument]
    ) -> Callable[[Sequence[Subscription]], None]:
        """Let recorders know what comes; returns the function that takes back all but some."""
        before = self.instruments
        self.instruments = {**before, **{each.symbol: each for each in instruments}}
        undo = [recorder.include(fresh, instruments) for recorder in self.recorders]

        def take_back(kept: Sequence[Subscription]) -> None:
            symbols = {each.symbol for each in kept}
            known = {each.symbol: each for each in instruments if each.symbol in symbols}
            self.instruments = {**before, **known}
            for each in undo:
                each(kept)

        return take_back

    def _planned(
        self,
        symbols: str | Iterable[str] | None,
        channels: str | Iterable[str] | None,
        market: str | None,
    ) -> tuple[list[Subscription], list[Instrument]]:
        if self._plan is None:
            raise StreamError(f"{self.name!r} can subscribe to nothing more; see kr.stream")
        now = self.subscriptions
        streamed = {each.symbol: str(each.market) for each in now}
        named = list(streamed) if symbols is None else arguments.texts(symbols, "symbols")
        if channels is None:
            chosen = list(dict.fromkeys(str(each.channel) for each in now))
        else:
            chosen = arguments.texts(channels, "channels")
        if not named or not chosen:
            left_out = "channels" if named else "symbols"
            raise InvalidInput(f"nothing streams here now, so name the {left_out} to subscribe to")
        found: list[Subscription] = []
        instruments: list[Instrument] = []
        for symbol in named:
            more, facts = self._plan([symbol], chosen, market or streamed.get(symbol))
            found += more
            instruments += facts
        return found, instruments

    @interrupts.hold(passes_on=True)
    def unsubscribe(
        self,
        symbols: str | Iterable[str] | None = None,
        channels: str | Iterable[str] | None = None,
        *,
        timeout: float | None = _ANSWER_TIMEOUT,
    ) -> tuple[Subscription, ...]:
        """End some symbols or channels, and let the others go on.

        It returns once the exchange has acknowledged that. The rows so far stay readable, and
        ``report()`` says since when nothing is streamed. A book of them answers no more.

        Parameters
        ----------
        symbols, channels
            As for ``kucoin_research.stream``. Symbols left out: all that stream now. Channels left
            out: all that stream now.
        timeout
            Seconds to wait for the answers.

        Returns
        -------
        tuple[Subscription, ...]
            Those that were streamed before; empty if none was, which changes nothing.

        Raises
        ------
        UnknownChannel, UnknownSymbol
            If the channel or the symbol was never streamed here.
        StreamError
            If the exchange refuses; the refused topics go on.
        StreamTimeout
            If it does not answer in time: the stream goes on, and as rows may be missing from then
            on, a gap is reported up to the next acknowledgement.
        StreamStopped
            If the stream was stopped.
        """
        self._refuse_if_stopped("nothing streams that could be unsubscribed from")
        seconds = arguments.patience(timeout)
        named = None if symbols is None else arguments.texts(symbols, "symbols")
        for symbol in named or ():
            self._store.check_symbol(symbol)
        chosen = None if channels is None else self._store.chosen(channels)
        unwanted = [
            each
            for each in self.subscriptions
            if (named is None or each.symbol in named)
            and (chosen is None or each.channel in chosen)
        ]
        return self._subscribing.remove(unwanted, seconds)

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """The subscriptions in force: each channel of each symbol, with its market."""
        return self._subscribing.now

    @property
    def symbols(self) -> list[str]:
        """The symbols whose rows are here: they are streamed, or were."""
        return list(self._store.symbols)

    @property
    def channels(self) -> list[str]:
        """The channels whose rows are here, streamed or once streamed; ``status`` is besides."""
        return [str(channel) for channel in self._store.channels]

    @property
    def state(self) -> State:
        """The state of the least healthy of its connections, of those with a subscription."""
        if self.stopping.is_set():
            return State.STOPPED
        states = {each.state for each in self._supervisors if not each.is_resting}
        for state in (State.FAILED, State.RECONNECTING, State.CONNECTING):
            if state in states:
                return state
        return State.LIVE

    @property
    def progress(self) -> int:
        """How far the stream is with becoming live.

        It grows with each connection that opens and each subscription that is answered, both for
        the first time only. So it does not grow for ever, even if the exchange keeps failing.
        """
        return sum(supervisor.progress for supervisor in self._supervisors)

    @property
    def held_until(self) -> float | None:
        """Monotonic seconds until which no further connection may be made; None if one may."""
        return max(
            (at for supervisor in self._supervisors if (at := supervisor.held_until) is not None),
            default=None,
        )

    @property
    def error(self) -> KucoinResearchError | None:
        """The error of a connection, or of a refused subscription; ``None`` without any."""
        wanted = (each.error for each in self._supervisors if not each.is_resting)
        return next((error for error in wanted if error is not None), None)

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
        """When it was first live, in monotonic seconds of its clock; ``None`` before."""
        times = [
            supervisor.live_since
            for supervisor in self._engine.first
            if supervisor.live_since is not None or not supervisor.is_resting
        ]
        known = [each for each in times if each is not None]
        return max(known) if known and len(known) == len(times) else None

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
        offset = self._delivery.time.offset
        return None if offset is None else offset.offset_ns / 1e6

    @property
    def clock_uncertainty_ms(self) -> float | None:
        """By how much ``clock_offset_ms`` may be wrong; ``None`` if that is not known."""
        offset = self._delivery.time.offset
        return None if offset is None else offset.uncertainty_ns / 1e6

    @property
    def verdict(self) -> Verdict:
        """The verdict on the data by now; ``report()`` gives the reasons."""
        return self._report(with_lag=False).verdict

    @property
    def messages_per_second(self) -> float:
        """Messages of all kinds, over the last five seconds."""
        return self._delivery.messages_per_second

    @property
    def status(self) -> StreamStatus:
        """How the stream is doing right now."""
        tallies = self._handler.ledger.tallies
        streamed = {each.channel.name for each in self.subscriptions}
        lag = lag_of_newest(self._store, self.lags, streamed)
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
            dropped=self._delivery.sinks.dropped,
        )

    def lags(self, rows: pl.DataFrame) -> pl.Series:
        """Return how late each of some rows arrived, in milliseconds.

        The arrival less the exchange's time, with the difference of the two clocks taken out as it
        was measured when the row came.

        Parameters
        ----------
        rows
            From ``frame``.

        Returns
        -------
        pl.Series
            ``Float64``. Null for rows of snapshots, for rows that REST brought or that waited for a
            snapshot, and where the clocks cannot be compared: before the first measurement, after
            this machine's clock was set, and if the venue's clock runs at another speed.

        Raises
        ------
        ColumnMissing
            If a needed column is absent; the message lists those present.
        InvalidInput
            If it is no polars frame, or its times are not times.
        """
        times = ("timestamp", "local_timestamp")
        arguments.has_columns(rows, (*times, "symbol"), "lags cannot be told")
        arguments.columns_hold(rows, times=times)
        if self.simulation not in (None, 1.0):
            return pl.Series("lag_ms", [None] * rows.height, dtype=pl.Float64)
        return self._delivery.time.lags(rows, self._handler.not_read)

    def history(self, symbol: str) -> HistoryReader:
        """Open the past of a symbol at the exchange, for charts; close it after use.

        Its rows are no part of the stream: no frame, recording or strategy has them.
        """
        listed = self.instruments.get(symbol)
        market = None if listed is None else listed.market
        return HistoryReader(self._rest.venue, symbol, market, self.clock)

    def report(self) -> Report:
        """Return the account of the stream's data, per channel and symbol."""
        return self._report(with_lag=True)

    def _report(self, *, with_lag: bool) -> Report:
        tallies = self._handler.ledger.tallies
        lags = lags_by_symbol(self._store, self.lags, tallies) if with_lag else {}
        return Report(
            name=self.name,
            channels=tuple(ChannelReport.of(t, lags.get((t.channel, t.symbol))) for t in tallies),
            reconnects=sum(supervisor.reconnects for supervisor in self._supervisors),
            clock_offset_ms=self.clock_offset_ms,
            clock_uncertainty_ms=self.clock_uncertainty_ms,
            simulation=self.simulation,
            rollovers=sum(supervisor.rollovers for supervisor in self._supervisors),
        )

    # -- sinks -----------------------------------------------------------------------------------

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Functions that have raised and are called no more, until one of that name is attached."""
        return self._delivery.sinks.failures

    def attach(self, sink: Sink, channel: str | Iterable[str] | None = None) -> Attachment:
        """Call ``sink(record)`` once for each record from now on, on a feed thread of its own.

        Parameters
        ----------
        sink
            It may be slow: the feed does not wait for it. Up to 100,000 records wait for it.
            Records beyond these are dropped, counted (``status.dropped``) and reported in the
            ``status`` channel. If it raises, it is detached, which is reported, too. Rows that
            waited for rows from REST come once these are there, and have the stamps of their
            reading. If it returns a coroutine or a generator, which nothing runs, it is treated
            as if it had raised.
        channel
            Which channels; all of them, ``status`` and later ones included, when left out.

        Returns
        -------
        Attachment
            Call it to detach the sink; it may be called twice. Once that returns, the sink is not
            called any more (except that a call under way may take longer than 5 s, or may itself be
            detaching). As a cell's output it says what is attached.

        Raises
        ------
        InvalidInput
            If it is no plain function: neither async nor a generator.
        StreamStopped
            If the stream was stopped.
        """
        arguments.plain_function(sink, "attach", "record")
        self._refuse_if_stopped("nothing will come")
        # All channels are also those that are subscribed to later.
        channels = None if channel is None else self._store.chosen(channel)
        wants = _everything if channels is None else wanting(channels)
        sinks = self._delivery.sinks
        worker = sinks.worker(sink, wants, name_of_function(sink))
        sinks.attach(worker)
        self._engine.threads.keep(worker.thread)
        rows = records_in_words(channels)
        return Attachment(worker.name, rows, self, lambda: sinks.detach(worker))

    def attach_batches(self, take: Callable[[Sequence[Record]], object]) -> Attachment:
        """Call ``take(rows)`` with each batch of rows as it is stored, all channels in order.

        It runs on a feed thread, under the delivery lock: it must hand the rows on, and not wait.
        If it raises, it is detached, which ``failures`` and the ``status`` channel say. It is for
        recorders and their like; use ``attach`` otherwise.

        Returns
        -------
        Attachment
            Call it to detach the function; it may be called twice.

        Raises
        ------
        InvalidInput
            If it is no plain function: neither async nor a generator.
        StreamStopped
            If the stream was stopped.
        """
        arguments.plain_function(take, "attach_batches", "rows")
        self._refuse_if_stopped("nothing will come")
        detach = self._delivery.sinks.attach_batches(take)
        return Attachment(name_of_function(take), "each batch of records", self, detach)

    def _refuse_if_stopped(self, consequence: str) -> None:
        if self.stopping.is_set():
            raise StreamStopped(
                f"{self.name!r} was stopped, so {consequence}; start another stream"
            )

    @interrupts.hold(passes_on=True)
    def record(self, root: str | os.PathLike[str] = "data/sessions", **options: Any) -> Recorder:
        """Record everything from now on into a session's folder below ``root``.

        Books that are in step already are fetched afresh, a few at a time and without a loss, so
        that the recording has their snapshots, too. Books of the pro feed are left alone: a new
        snapshot would cost rows there, so the recording has none before the next connection.

        Parameters
        ----------
        root, **options
            See ``kucoin_research.Recorder``: ``compression``, ``fsync``, ….

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
        delivery = self._delivery
        # Under one lock, so that no row comes between the account, the gaps and the attaching.
        with delivery.lock:
            delivery.account()  # so that the recording's own accounts begin with it
            if gaps := self._handler.gaps_to_come():
                recorder.take(gaps)
            recorder.before_close(self._ending(delivery.sinks.attach_batches(recorder.take)))
            self._recorders = [*self.recorders, recorder]
            self._engine.recovery.begin_books(
                symbol
                for symbol, book in self._handler.books.items()
                if book.is_ready and not book.seeds_itself
            )
        delivery.request_errand()
        return recorder

    def _ending(self, detach: Callable[[], None]) -> Callable[[], None]:
        """Have a recording end with an account of its books."""
        delivery = self._delivery

        def end() -> None:
            with delivery.lock:
                delivery.account()
                detach()

        return end

    @property
    def recorders(self) -> list[Recorder]:
        """The recorders that record it now."""
        return [each for each in self._recorders if not each.is_closed]

    # -- messages and rows -------------------------------------------------------------------------

    def deliver(
        self, payloads: Sequence[bytes], decoder: Decodes, overlap: Handover | None = None
    ) -> list[ControlMessage]:
        """Take the messages of one read; return those meant for the conversation."""
        return self._delivery.deliver(payloads, decoder, overlap)

    def note(
        self, event: str, detail: str, *, channel: str | None = None, symbol: str | None = None
    ) -> None:
        """Put a status row into the flow."""
        self._delivery.note(event, detail, channel=channel, symbol=symbol)

    def now_ns(self) -> int:
        """Read the clock that stamps the rows, ns UTC."""
        return self._delivery.now_ns()

    # -- the end -----------------------------------------------------------------------------------

    @interrupts.hold(passes_on=True)
    def stop(self, timeout: float = 5.0) -> None:
        """End the stream: sockets closed, threads gone. Its frames and last books stay readable.

        Before that, REST is asked whether the last change of the books has come (of up to five, for
        up to a second), as nothing else could show it. Called by a sink, it does not wait: the feed
        cannot end before the sink returns.

        Parameters
        ----------
        timeout
            Seconds to wait for the threads; they end on their own soon after in any case.
        """
        seen = interrupts.arrived()
        self._engine.stop(arguments.seconds(timeout, "timeout"), seen)

    def disown(self) -> None:
        """Forget the threads and sockets in a forked child: they are the parent's alone."""
        self._is_disowned = True
        self._engine.disown()

    @property
    def stopping(self) -> threading.Event:
        """Set once ``stop`` was called."""
        return self._delivery.stopping

    @property
    def origin(self) -> dict[str, str | None]:
        """The source of the data, for ``session.json``."""
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


def _everything(_: Record) -> bool:
    return True
