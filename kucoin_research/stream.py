"""A running stream: threads that read, rings that keep, sinks that are told, readers that pull.

One pump thread per connection reads, decodes and delivers; one errand thread asks REST meanwhile
for book snapshots and the exchange's clock. Everything delivered passes under one lock, so rows of
all channels have one order; frames are read without it, a book is copied under it.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from numbers import Integral
from types import TracebackType
from typing import Any, Self

import polars as pl

from kucoin_research.decode import Control, Decodes
from kucoin_research.errors import (
    AuthenticationFailed,
    BookNotReady,
    CommandInvalid,
    ConnectionLost,
    InvalidInput,
    InvalidRequest,
    KucoinResearchError,
    LimitExceeded,
    LoginRequired,
    NotFound,
    RateLimited,
    ServiceBusy,
    StreamError,
    StreamStopped,
    StreamTimeout,
    TopicInvalid,
    TopicNotFound,
    UnknownChannel,
    UnknownSymbol,
)
from kucoin_research.feeds import FeedKit, kit_of
from kucoin_research.intake import Intake, Subscription
from kucoin_research.integrity import Tally, Verdict
from kucoin_research.live import Connection
from kucoin_research.orderbook import BookSync, OrderBook
from kucoin_research.protocol import (
    Acknowledged,
    Conversation,
    Event,
    ExchangeSpoke,
    Refused,
)
from kucoin_research.recorder import Recorder, record_stream
from kucoin_research.records import (
    ALL_SYMBOLS,
    CHANNELS,
    Candle,
    Channel,
    Market,
    Record,
    Status,
    parse_channel,
)
from kucoin_research.report import ChannelReport, Lag, Report
from kucoin_research.rest import Rest
from kucoin_research.ring import Ring
from kucoin_research.topics import Feed, Topic, topics_for

__all__ = ["State", "Stream", "StreamStatus"]

log = logging.getLogger(__name__)

Sink = Callable[[Record], object]

# The longest a pump sleeps in recv, so that pings, hand-sent pings and stop() are served.
_SLICE = 0.25
_SHORT_SLICE = 0.01
_OPEN_TIMEOUT = 10.0
_FIRST_BACKOFF = 0.5
_MOST_BACKOFF = 60.0
# KuCoin allows 30 new connections a minute.
_CONNECTS_PER_MINUTE = 25
_STATUS_CAPACITY = 100_000
_RATE_WINDOW = 5.0
_LAG_ROWS = 10_000
_FLAW_INTERVAL = 0.5
_ERRAND_INTERVAL = 0.05
# A subscription that the exchange was too busy for is asked for again this much later.
_BUSY_INTERVAL = 60.0
# A sink that takes longer over one read is told, at most once a minute.
_SLOW_SINK = 1.0
_SLOW_SINK_INTERVAL = 60.0
# How long the "stopped" row waits for the pumps, so that it comes last.
_LAST_ROWS = 2.0
# On the pro feed a book's snapshot was seen 0.5 to 6.2 s after its subscription.
_SEED_PATIENCE = 10.0
# Their timestamps are not the time of an event that has just happened.
_WITHOUT_LAG = frozenset({"candle", "status"})
# Trying again cannot mend these, unless it has worked before: then it is the exchange that fails.
_FATAL = (
    AuthenticationFailed,
    CommandInvalid,
    InvalidInput,
    InvalidRequest,
    LoginRequired,
    NotFound,
    TopicInvalid,
    TopicNotFound,
)


@unique
class State(StrEnum):
    """What a stream is doing."""

    CONNECTING = "connecting"
    LIVE = "live"
    RECONNECTING = "reconnecting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """How a stream is doing right now.

    Attributes
    ----------
    state
        ``connecting``, ``live``, ``reconnecting``, ``failed`` or ``stopped``.
    rows
        Rows received per channel since the start.
    messages_per_second
        Over the last five seconds.
    lag_p50_ms, lag_p95_ms
        Arrival minus exchange time over the newest rows, clock offset taken out; ``None`` before
        there are any.
    reconnects, gaps, duplicates, broken
        Counters since the start.
    error
        The last error, ``None`` when there was none or it has healed.
    """

    state: State
    rows: dict[str, int]
    messages_per_second: float
    lag_p50_ms: float | None
    lag_p95_ms: float | None
    reconnects: int
    gaps: int
    duplicates: int
    broken: int
    error: KucoinResearchError | None

    def __str__(self) -> str:
        rows = ", ".join(f"{channel} {count:,}" for channel, count in self.rows.items())
        lag = "" if self.lag_p50_ms is None else f" · lag {self.lag_p50_ms:.0f} ms"
        error = "" if self.error is None else f" · {self.error}"
        return (
            f"{self.state} · {rows} · {self.messages_per_second:,.0f} messages/s{lag} · "
            f"reconnects {self.reconnects} · gaps {self.gaps}{error}"
        )


class _Attached:
    """A sink with what it wants to be told."""

    __slots__ = ("channels", "is_on", "kinds", "sink", "slow_told_at")

    def __init__(self, sink: Sink, channels: Iterable[Channel]) -> None:
        self.sink = sink
        self.channels = frozenset(channels)
        self.kinds = frozenset(channel.record for channel in channels)
        self.is_on = True
        self.slow_told_at: float | None = None

    @property
    def name(self) -> str:
        name = getattr(self.sink, "__name__", None)
        return name if isinstance(name, str) else type(self.sink).__name__

    def wants(self, row: Record) -> bool:
        if row.__class__ is not Candle:
            return row.__class__ in self.kinds
        return Channel("candle") in self.channels or Channel("candle", row[3]) in self.channels


class Stream:
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
    on_payload
        Called with each raw message on the feed thread, once its rows are in the frames.
    feed
        Which of KuCoin's protocols to stream from.

    Notes
    -----
    Every method may be called from any thread. ``stop`` never waits longer than its timeout. A
    callback given to ``attach`` runs on a feed thread, under the delivery lock: keep it short, as
    the feed, ``book()``, ``attach()`` and detaching wait for it.
    """

    def __init__(
        self,
        subscriptions: Sequence[Subscription],
        rest: Rest,
        *,
        capacity: int = 1_000_000,
        name: str = "stream",
        on_payload: Callable[[bytes], object] | None = None,
        feed: Feed = Feed.CLASSIC,
    ) -> None:
        self.name = name
        self.feed = feed
        self.subscriptions = tuple(subscriptions)
        self.started_ns = time.time_ns()
        self._rest = rest
        self._intake = Intake(subscriptions, feed)
        self._rings = _rings(subscriptions, capacity)
        self._candle_rows: Counter[str | None] = Counter()  # by interval
        self._on_payload = on_payload
        self._attached: tuple[_Attached, ...] = ()
        self._takers: tuple[Callable[[Sequence[Record]], object], ...] = ()
        self._delivery_lock = threading.RLock()  # guards intake, rings' writers, sinks
        self._teller: int | None = None  # the thread that tells sinks, and holds the lock
        self._stopping = threading.Event()
        self._errand = threading.Event()
        self._messages = 0
        self._rate_samples: deque[tuple[float, int]] = deque(maxlen=64)
        self._connects: deque[float] = deque()  # guarded by the delivery lock
        self._pumps = [
            _Pump(self, market, topics, number, kit_of(feed))
            for number, (market, topics) in enumerate(_shards(subscriptions, feed))
        ]
        self._threads: list[threading.Thread] = []

    def start(self) -> Self:
        """Start the threads; once only. If that fails, nothing is left running."""
        assert not self._threads, "a stream starts once"
        try:
            for pump in self._pumps:
                self._start_thread(pump.run, f"pump-{pump.number}")
            self._start_thread(self._run_errands, "errands")
        except BaseException:
            self.stop(timeout=0.0)
            raise
        return self

    def _start_thread(self, target: Callable[[], None], role: str) -> None:
        thread = threading.Thread(target=target, name=f"kucoin-{self.name}-{role}", daemon=True)
        thread.start()
        self._threads.append(thread)  # only now: stop() from elsewhere cannot join it before

    # -- readers ---------------------------------------------------------------------------------

    def frame(
        self, channel: str | None = None, symbol: str | None = None, last: int | None = None
    ) -> pl.DataFrame:
        """Take an immutable snapshot of a channel's rows.

        Parameters
        ----------
        channel
            ``"ticker"``, ``"candle:5min"``, ``"status"``, …; may be left out when only one streams.
        symbol
            Only this symbol's rows.
        last
            Only the newest ``last`` rows, counted after the symbol filter.

        Returns
        -------
        pl.DataFrame
            Columns of the channel; times are ``Datetime("ns", "UTC")``. In order of arrival.

        Raises
        ------
        UnknownChannel, UnknownSymbol
            If the channel or the symbol is not streamed here.
        InvalidInput
            If ``last`` is no number of rows.
        """
        wanted = self._channel(channel)
        ring = self._rings[wanted.record]
        _check_last(last)
        filters = []
        if symbol is not None:
            self._check_symbol(symbol)
            filters.append(pl.col("symbol") == symbol)
        if self._is_one_of_several(wanted):
            filters.append(pl.col("interval") == wanted.interval)
        if not filters:
            return ring.frame(last)
        rows = ring.frame().filter(*filters)
        return rows if last is None else rows.tail(last)

    def _channels(self) -> list[Channel]:
        return list(dict.fromkeys(subscription.channel for subscription in self.subscriptions))

    def _is_one_of_several(self, channel: Channel) -> bool:
        # Candles of all intervals share a ring.
        streamed = (each.interval for each in self._channels() if each.interval is not None)
        return channel.interval is not None and any(each != channel.interval for each in streamed)

    def _check_symbol(self, symbol: str) -> None:
        streamed = list(dict.fromkeys(subscription.symbol for subscription in self.subscriptions))
        if symbol not in streamed:
            raise UnknownSymbol(
                f"symbol {symbol!r} is not streamed by {self.name!r}; it streams: "
                f"{', '.join(streamed)}"
            )

    def _channel(self, channel: str | None) -> Channel:
        streamed = self._channels()
        if channel is None:
            if len(streamed) == 1:
                return streamed[0]
            raise UnknownChannel(f"name one of the channels: {_join(streamed)}")
        wanted = parse_channel(channel)
        candles = [each for each in streamed if each.name == "candle"]
        if wanted.name == "candle" and ":" not in channel and candles:
            return candles[0] if len(candles) == 1 else Channel("candle")
        if wanted not in streamed and wanted.record is not Status:
            raise UnknownChannel(
                f"channel {channel!r} is not streamed by {self.name!r}; it streams: "
                f"{_join(streamed)}"
            )
        return wanted

    def book(self, symbol: str | None = None) -> OrderBook:
        """Copy the order book of a symbol whose ``level2`` is streamed.

        Parameters
        ----------
        symbol
            May be left out when only one book is kept.

        Raises
        ------
        BookNotReady
            While the book is not in step with the exchange.
        """
        with self._delivery_lock:
            books = self._intake.books
            if symbol is None and not books:
                raise BookNotReady(f"{self.name!r} keeps no book; add 'level2' to channels=")
            if symbol is None and len(books) > 1:
                raise BookNotReady(f"name one of the books: {', '.join(books)}")
            return self._intake.book(symbol if symbol is not None else next(iter(books)))

    def wait(
        self, channel: str | None = None, rows: int = 1, timeout: float = 10.0
    ) -> pl.DataFrame:
        """Wait until a channel has received that many rows since the start.

        Parameters
        ----------
        channel
            May be left out when only one streams.
        rows
            How many.
        timeout
            Seconds.

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
        """
        wanted = self._channel(channel)
        deadline = time.monotonic() + timeout
        # Short slices: "Interrupt kernel" and Ctrl-C get through on every platform.
        while (total := self._total(wanted)) < rows:
            if self.state in (State.STOPPED, State.FAILED):
                raise StreamStopped(
                    f"{self.name!r} is {self.state} after {total} of {rows} rows of "
                    f"{wanted}{self._because()}"
                )
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise StreamTimeout(
                    f"{total} of {rows} rows of {wanted} came within {timeout:g} s{self._because()}"
                )
            self._stopping.wait(min(0.02, remaining))
        return self.frame(channel)

    def _because(self) -> str:
        error = self.error
        return f": {error}" if error is not None else ""

    def wait_until_live(self, timeout: float = 30.0) -> bool:
        """Wait until every subscription was answered; ``False`` when the time passed first."""
        deadline = time.monotonic() + timeout
        while self.state in (State.CONNECTING, State.RECONNECTING):
            if time.monotonic() >= deadline:
                return False
            self._stopping.wait(0.02)
        return self.state is State.LIVE

    @property
    def state(self) -> State:
        """What the stream is doing: the least healthy of its connections says."""
        if self._stopping.is_set():
            return State.STOPPED
        states = {pump.state for pump in self._pumps}
        for state in (State.FAILED, State.RECONNECTING, State.CONNECTING):
            if state in states:
                return state
        return State.LIVE

    @property
    def error(self) -> KucoinResearchError | None:
        """The error that a connection is suffering from, or a refused subscription."""
        return next((pump.error for pump in self._pumps if pump.error is not None), None)

    @property
    def simulation(self) -> float | None:
        """The speed of the venue's virtual clock, ``None`` on a venue that runs in real time."""
        return next((pump.simulation for pump in self._pumps if pump.simulation is not None), None)

    @property
    def last_ping(self) -> float | None:
        """Unix seconds of the newest ping sent, over all connections."""
        pings = [pump.last_ping for pump in self._pumps if pump.last_ping is not None]
        return max(pings, default=None)

    def ping(self) -> None:
        """Send a ping on every connection at the next chance; the stream sends its own anyway."""
        for pump in self._pumps:
            pump.request_ping()

    def total(self, channel: str | None = None) -> int:
        """Count the rows received on a channel since the start."""
        return self._total(self._channel(channel))

    def _total(self, channel: Channel) -> int:
        if self._is_one_of_several(channel):
            return self._candle_rows[channel.interval]
        return self._rings[channel.record].total

    @property
    def verdict(self) -> Verdict:
        """What can be said of the data by now; ``report()`` says why."""
        return self._report(with_lag=False).verdict

    @property
    def messages_per_second(self) -> float:
        """Messages of all kinds, over the last five seconds."""
        now = time.monotonic()
        samples = [s for s in self._rate_samples.copy() if s[0] >= now - _RATE_WINDOW]
        if not samples:
            return 0.0
        since, count = samples[0]
        return (self._messages - count) / max(now - since, 0.25)

    @property
    def status(self) -> StreamStatus:
        """How the stream is doing right now."""
        tallies = self._intake.ledger.tallies
        lag = self._lag_of_newest()
        return StreamStatus(
            state=self.state,
            rows={_name_of(record): ring.total for record, ring in self._rings.items()},
            messages_per_second=self.messages_per_second,
            lag_p50_ms=lag.p50_ms if lag else None,
            lag_p95_ms=lag.p95_ms if lag else None,
            reconnects=sum(pump.reconnects for pump in self._pumps),
            gaps=sum(len(tally.gaps) for tally in tallies),
            duplicates=sum(tally.duplicates for tally in tallies),
            broken=self._intake.broken,
            error=self.error,
        )

    def _lag_of_newest(self) -> Lag | None:
        for record, ring in self._rings.items():
            if _name_of(record) not in _WITHOUT_LAG:
                lag = self._lag(ring.frame(_LAG_ROWS))
                if lag is not None:
                    return lag
        return None

    def _offset_ns(self) -> int | None:
        return next((p.offset_ns for p in self._pumps if p.offset_ns is not None), None)

    def _lag(self, rows: pl.DataFrame) -> Lag | None:
        offset_ns = self._offset_ns()
        # Where the venue's clock runs at another speed, arrival minus exchange time is no lag.
        if offset_ns is None or self.simulation not in (None, 1.0):
            return None
        lags = rows.lazy()
        if "is_snapshot" in rows.columns:
            lags = lags.filter(~pl.col("is_snapshot"))
        milliseconds = (
            pl.col("local_timestamp").to_physical() - pl.col("timestamp").to_physical() + offset_ns
        ) / 1e6
        found = lags.select(
            milliseconds.quantile(part).alias(str(part)) for part in (0.5, 0.95, 0.99)
        ).collect()
        values = found.row(0)
        return None if None in values else Lag(*values)

    def report(self) -> Report:
        """Give the account of the stream's data, per channel and symbol."""
        return self._report(with_lag=True)

    def _report(self, *, with_lag: bool) -> Report:
        offset_ns = self._offset_ns()
        tallies = self._intake.ledger.tallies
        return Report(
            name=self.name,
            channels=tuple(_entry(t, self._lag_of(t) if with_lag else None) for t in tallies),
            reconnects=sum(pump.reconnects for pump in self._pumps),
            clock_offset_ms=None if offset_ns is None else offset_ns / 1e6,
            simulation=self.simulation,
        )

    def _lag_of(self, tally: Tally) -> Lag | None:
        if not tally.rows or tally.channel in _WITHOUT_LAG:
            return None
        rows = self._rings[CHANNELS[tally.channel]].frame()
        if tally.symbol != ALL_SYMBOLS:
            rows = rows.filter(pl.col("symbol") == tally.symbol)
        return self._lag(rows)

    # -- sinks -----------------------------------------------------------------------------------

    def attach(self, sink: Sink, channel: str | Iterable[str] | None = None) -> Callable[[], None]:
        """Call ``sink(record)`` once for each record from now on, on the feed thread.

        Parameters
        ----------
        sink
            Keep it short: the feed waits for it. If it raises, it is detached and told in the
            ``status`` channel; the feed goes on.
        channel
            Which channels; all of them, ``status`` included, when left out. A sink that takes a
            second or more over the records of one read is told there, too.

        Returns
        -------
        Callable[[], None]
            Detaches the sink; may be called twice.
        """
        if not callable(sink):
            raise InvalidInput(f"attach wants a function of one record, not {sink!r}")
        if channel is None:
            channels = [*self._channels(), Channel("status")]
        else:
            names = [channel] if isinstance(channel, str) else list(channel)
            if not names:
                raise InvalidInput("attach wants at least one channel, or none named for all")
            channels = [self._channel(name) for name in names]
        attached = _Attached(sink, channels)
        with self._delivery_lock:
            self._attached = (*self._attached, attached)
        return lambda: self._detach(attached)

    def _detach(self, attached: _Attached) -> None:
        with self._delivery_lock:
            attached.is_on = False
            self._attached = tuple(a for a in self._attached if a is not attached)

    def record(self, root: str | os.PathLike[str] = "data/sessions", **options: Any) -> Recorder:
        """Record everything from now on into a session's folder below ``root``.

        Parameters
        ----------
        root, **options
            See ``kucoin_research.recorder.record_stream``: ``compression``, ``fsync``, ….

        Returns
        -------
        Recorder
            Ends with the stream, or when closed.
        """
        return record_stream(self, root, **options)

    # To be merged with the hook of the same name that is being written elsewhere.
    def attach_batches(self, take: Callable[[Sequence[Record]], object]) -> Callable[[], None]:
        """Call ``take(rows)`` with each committed batch; ``take`` must neither wait nor raise.

        Returns
        -------
        Callable[[], None]
            Detaches it; may be called twice.
        """
        with self._delivery_lock:
            self._takers = (*self._takers, take)
        return lambda: self._detach_batches(take)

    def _detach_batches(self, take: Callable[[Sequence[Record]], object]) -> None:
        with self._delivery_lock:
            self._takers = tuple(each for each in self._takers if each != take)

    # -- delivery, on the feed threads -----------------------------------------------------------

    def deliver(self, payloads: Sequence[bytes], decoder: Decodes) -> list[Control]:
        """Take the messages of one read; returns those meant for the conversation."""
        now_ns = time.time_ns()
        with self._delivery_lock:
            rows, controls = self._intake.take(payloads, decoder, now_ns)
            self._count(len(payloads))
            self._commit(rows)
        if self._intake.seeking:
            self._errand.set()
        on_payload = self._on_payload
        if on_payload is not None:
            self._show_payloads(payloads, on_payload)
        return controls

    def _show_payloads(
        self, payloads: Sequence[bytes], on_payload: Callable[[bytes], object]
    ) -> None:
        try:
            for payload in payloads:
                on_payload(payload)
        except (Exception, SystemExit) as error:  # the sink guard
            log.exception("on_payload raised and is not called again")
            self._on_payload = None
            self.note("sink_failed", f"on_payload raised {_describe(error)}; it was detached")

    def _count(self, messages: int) -> None:
        now = time.monotonic()
        samples = self._rate_samples
        if not samples or now - samples[-1][0] >= 0.25:
            samples.append((now, self._messages))
        self._messages += messages

    def note(self, event: str, detail: str, *, channel: str | None = None) -> None:
        """Put a status row into the flow."""
        detail = detail.encode(errors="replace").decode()  # a foreign error's text may be odd
        with self._delivery_lock:
            self._commit([self._intake.note(event, detail, time.time_ns(), channel=channel)])

    def _commit(self, rows: Sequence[Record]) -> None:
        if not rows:
            return
        kinds = set(map(type, rows))
        if len(kinds) == 1:
            self._rings[next(iter(kinds))].extend(rows)
        else:
            groups: defaultdict[type[Record], list[Record]] = defaultdict(list)
            for row in rows:
                groups[row.__class__].append(row)
            for kind, group in groups.items():
                self._rings[kind].extend(group)
        if Candle in kinds:
            self._candle_rows.update(row.interval for row in rows if isinstance(row, Candle))
        for take in self._takers:
            take(rows)
        if self._attached:
            self._tell_sinks(rows)

    def _tell_sinks(self, rows: Sequence[Record]) -> None:
        outer, self._teller = self._teller, threading.get_ident()
        try:
            troubles = [self._tell_sink(attached, rows) for attached in self._attached]
        finally:
            self._teller = outer
        # Only now, since these are rows, too: no sink is told them before the ones they follow.
        for trouble in troubles:
            if trouble is not None:
                self.note(*trouble)

    def _tell_sink(self, attached: _Attached, rows: Sequence[Record]) -> tuple[str, str] | None:
        began = time.monotonic()
        try:
            for row in rows:
                if attached.is_on and attached.wants(row):
                    attached.sink(row)
        # SystemExit, too: threading would take it for the wish to end this thread, silently.
        except (Exception, SystemExit) as error:  # the sink guard
            log.exception("a sink raised and was detached")
            self._detach(attached)
            return "sink_failed", f"{attached.name} raised {_describe(error)}; it was detached"
        now = time.monotonic()
        told_at = attached.slow_told_at
        if now - began < _SLOW_SINK or (told_at and now - told_at < _SLOW_SINK_INTERVAL):
            return None
        attached.slow_told_at = now
        took = f"took {now - began:.1f} s over {len(rows)} records"
        return "sink_slow", f"{attached.name} {took}; the feed waited for it"

    def connected(self, topics: Sequence[Topic], detail: str) -> None:
        """Tell that a connection is open and its subscriptions answered."""
        self.note("connected", f"{len(topics)} topics{detail}")

    def lost(self, topics: Sequence[Topic], reason: str) -> None:
        """Tell that a connection ended; its books start over."""
        with self._delivery_lock:
            self._intake.restart_books(topics)
        self.note("disconnected", reason)

    def outage(self, topics: Sequence[Topic], began_ns: int, *, is_over: bool) -> None:
        """Account for the time from a lost connection to its successor, or to the end."""
        ended_ns = time.time_ns()
        with self._delivery_lock:
            self._intake.outage(topics, began_ns, ended_ns, "disconnected", is_over=is_over)

    def acknowledged(self, topics: Sequence[Topic]) -> None:
        """Take note of subscriptions that the exchange has accepted."""
        with self._delivery_lock:
            self._intake.expect_seeds(topics, time.monotonic() + _SEED_PATIENCE)

    def may_connect(self) -> float:
        """Give the seconds to wait before another connection may be made; 0 takes a place."""
        with self._delivery_lock:
            now = time.monotonic()
            while self._connects and self._connects[0] <= now - 60.0:
                self._connects.popleft()
            if len(self._connects) >= _CONNECTS_PER_MINUTE:
                return self._connects[0] + 60.0 - now
            self._connects.append(now)
            return 0.0

    # -- errands: what is asked of REST, on a thread of its own, so that no pump waits for it ------

    def request_errand(self) -> None:
        """Wake the errand thread."""
        self._errand.set()

    def _run_errands(self) -> None:
        books = self._intake.books
        flaws: dict[str, str] = {}
        next_check = time.monotonic() + _FLAW_INTERVAL
        while not self._stopping.is_set():
            self._errand.wait(_ERRAND_INTERVAL if books else None)
            self._errand.clear()
            try:
                self._do_errands()
                if books and time.monotonic() >= next_check:
                    next_check = time.monotonic() + _FLAW_INTERVAL
                    flaws = self._mend_flaws(flaws)
            except Exception as error:  # noqa: BLE001  this thread's guard
                self._survive(error)
        deadline = time.monotonic() + _LAST_ROWS
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        self.note("stopped", "stop() was called")

    def _do_errands(self) -> None:
        for pump in self._pumps:
            pump.measure_clock()
        with self._delivery_lock:
            seeking = tuple(self._intake.seeking)
        for symbol in seeking:
            if self._stopping.is_set():
                return
            self._fetch_if_wanted(symbol, self._intake.books[symbol])

    def _survive(self, error: Exception) -> None:
        log.exception("an errand of %s met an unexpected error", self.name)
        self.note("error", f"unexpected {type(error).__name__} while REST was asked")
        self._stopping.wait(1.0)

    def _fetch_if_wanted(self, symbol: str, book: BookSync) -> None:
        with self._delivery_lock:
            if not book.wants_snapshot(time.monotonic()):
                return
            book.snapshot_requested()
        if book.seeds_itself:
            # The snapshot comes with a subscription, so a new one is made.
            self.note("resubscribed", f"{symbol}: for a new snapshot", channel="level2")
            for pump in self._pumps:
                pump.resubscribe(symbol)
            return
        market = next(s.market for s in self.subscriptions if s.symbol == symbol)
        try:
            snapshot = self._rest.level2_snapshot(symbol, market)
            with self._delivery_lock:
                rows = self._intake.take_snapshot(snapshot, time.time_ns(), time.monotonic())
                self._commit(rows)
        except KucoinResearchError as error:
            if not self._stopping.is_set():
                wait = error.retry_after if isinstance(error, RateLimited) else 1.0
                self._tell_snapshot_failed(book, wait, str(error))
        except Exception as error:  # the errands' guard: the book must not wait for ever
            log.exception("the snapshot of %s met an unexpected error", symbol)
            self._tell_snapshot_failed(book, 5.0, f"unexpected {type(error).__name__}")

    def _tell_snapshot_failed(self, book: BookSync, wait: float, reason: str) -> None:
        with self._delivery_lock:
            book.snapshot_failed(time.monotonic(), wait)
        self.note("snapshot_failed", f"{book.symbol}: {reason}", channel="level2")

    def _mend_flaws(self, before: dict[str, str]) -> dict[str, str]:
        # A flaw must stand for two checks: a book may be crossed for a moment within one match.
        found: dict[str, str] = {}
        for symbol, book in self._intake.books.items():
            with self._delivery_lock:
                flaw = book.flaw()
                if flaw is None:
                    continue
                if flaw != before.get(symbol):
                    found[symbol] = flaw
                    continue
                self._intake.resync_book(symbol)
            self.note("resync", f"{symbol}: the book was {flaw}", channel="level2")
        return found

    # -- the end ---------------------------------------------------------------------------------

    def stop(self, timeout: float = 5.0) -> None:
        """End the stream: sockets closed, threads gone. Its frames stay readable.

        Called by a sink, it does not wait: the feed cannot end before the sink returns.

        Parameters
        ----------
        timeout
            Seconds to wait for the threads; they end on their own soon after in any case.
        """
        deadline = time.monotonic() + timeout
        # First, so that an interrupt from here on cannot leave the stream running.
        self._stopping.set()
        self._errand.set()
        for pump in self._pumps:
            pump.abort()
        self._rest.close()
        if self._teller == threading.get_ident():
            return
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def disown(self) -> None:
        """Forget the threads and sockets in a forked child: they are the parent's alone."""
        self._stopping = threading.Event()
        self._stopping.set()
        self._delivery_lock = threading.RLock()  # may have been held when the process was forked
        for pump in self._pumps:
            pump.disown()
        self._threads = []

    @property
    def stopping(self) -> threading.Event:
        """Set once ``stop`` was called."""
        return self._stopping

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


class _Pump:
    """Keeps one connection alive: token, connect, converse, and again when it is lost."""

    def __init__(
        self, stream: Stream, market: Market, topics: Sequence[Topic], number: int, kit: FeedKit
    ) -> None:
        self.number = number
        self.state = State.CONNECTING
        self.reconnects = 0
        self.offset_ns: int | None = None
        self.simulation: float | None = None
        self.last_ping: float | None = None
        self._stream = stream
        self._market = market
        self._topics = list(topics)
        self._kit = kit
        self._afresh: deque[str] = deque()  # symbols whose book is to be subscribed to again
        self._connection: Connection | None = None
        self._conversation: Conversation | None = None
        self._connection_lock = threading.Lock()  # guards _connection against abort
        self._trouble: KucoinResearchError | None = None  # of the connection
        self._refusal: StreamError | None = None  # of a subscription
        self._busy: set[Topic] = set()  # refused, but may be had later
        self._retry_busy_at = 0.0
        self._wants_clock = False
        self._last_heard_ns: int | None = None
        self._lost_at_ns: int | None = None
        self._connects = 0
        self._backoff = random.Random()  # noqa: S311  jitter, not cryptography

    @property
    def error(self) -> KucoinResearchError | None:
        """What the connection is suffering from, or why a topic does not come."""
        return self._trouble or self._refusal

    def run(self) -> None:
        try:
            self._keep_connected()
        finally:
            if not self._stream.stopping.is_set() and self.state is not State.FAILED:
                # Whatever ended this thread, the stream must not go on saying that it is live.
                self._trouble = self._trouble or ConnectionLost("the feed's thread has ended")
                self.state = State.FAILED
            if self._lost_at_ns is not None:
                self._stream.outage(self._topics, self._lost_at_ns, is_over=False)

    def _keep_connected(self) -> None:
        failures = 0
        stopping = self._stream.stopping
        while not stopping.is_set():
            wait = self._stream.may_connect()
            if wait:
                stopping.wait(wait)
                continue
            error: KucoinResearchError | None = None
            try:
                self._live_once()
            except KucoinResearchError as failure:
                error = failure
            except Exception as failure:  # the pump's guard; its text may hold a secret
                log.exception("the feed of %s met an unexpected error", self._stream.name)
                error = ConnectionLost(f"unexpected {type(failure).__name__} in the feed")
            if stopping.is_set() or error is None:
                return
            failures = 0 if self.state is State.LIVE else failures + 1
            self._lose(error)
            if self.state is State.FAILED:
                return
            stopping.wait(self._delay(error, failures))

    def _delay(self, error: KucoinResearchError, failures: int) -> float:
        if isinstance(error, RateLimited):
            return error.retry_after
        most = min(_MOST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(failures, 10))
        return self._backoff.uniform(0.0, most)

    def _lose(self, error: KucoinResearchError) -> None:
        self._trouble = error
        if self._lost_at_ns is None:
            self._lost_at_ns = self._last_heard_ns  # failed tries in between lengthen the outage
        if self._connects:
            self.state = State.RECONNECTING
        elif isinstance(error, _FATAL):
            self.state = State.FAILED
        log.info("%s lost a connection: %s", self._stream.name, error)
        self._stream.lost(self._topics, str(error))

    def _live_once(self) -> None:
        is_private = any(topic.is_private for topic in self._topics)
        doorway = self._kit.doorway(self._stream.rest, self._market, is_private)
        self.simulation = doorway.speed or self.simulation
        self._afresh.clear()
        connection = Connection.open(doorway.url, timeout=_OPEN_TIMEOUT)
        try:
            with self._connection_lock:
                self._connection = connection
            self._refusal = None
            self._busy.clear()
            self._conversation = Conversation(
                self._topics,
                time.monotonic(),
                ping_interval=doorway.ping_interval,
                ping_timeout=doorway.ping_timeout,
                dialect=self._kit.dialect(self._market),
            )
            self._converse(connection, self._conversation)
        finally:
            with self._connection_lock:
                self._connection = None
            connection.close()

    def _converse(self, connection: Connection, conversation: Conversation) -> None:
        stream, decoder = self._stream, self._kit.decoder(self._market)
        settled = False
        # Asked after the connection was assigned: stop() finds it there, or this finds stop().
        while not stream.stopping.is_set():
            now = time.monotonic()
            if self._busy and now >= self._retry_busy_at:
                self._retry_busy_at = now + _BUSY_INTERVAL
                conversation.subscribe(self._busy)
            while self._afresh:
                conversation.resubscribe(self._book_topics(self._afresh.popleft()))
            texts = conversation.due(now)
            for text in texts:
                connection.send(text)
            if texts and conversation.last_ping == now:
                self.last_ping = time.time()
            self._handle(conversation, conversation.overdue(now))
            is_soon = conversation.next_deadline(now) - now < _SLICE
            # Two fixed values: each change of a socket's timeout is a system call.
            payloads = connection.receive(_SHORT_SLICE if is_soon else _SLICE)
            if payloads:
                self._last_heard_ns = time.time_ns()
                for control in stream.deliver(payloads, decoder):
                    events = conversation.receive(control, time.monotonic())
                    self._handle(conversation, events)
            if not settled and conversation.is_settled:
                settled = True
                self._settle(conversation)

    def _settle(self, conversation: Conversation) -> None:
        """Every subscription is answered: the stream is live, and any outage is over."""
        if self._refusal is not None and not conversation.subscribed:
            raise self._refusal  # nothing at all can come over this connection
        if self._connects:
            self.reconnects += 1
        if self._lost_at_ns is not None:
            self._stream.outage(self._topics, self._lost_at_ns, is_over=True)
        self._lost_at_ns = None
        self._connects += 1
        self._trouble = None
        self.simulation = conversation.speed or self.simulation
        self.state = State.LIVE
        self._wants_clock = True
        self._stream.request_errand()
        self._stream.connected(self._topics, f" of {self._market}")

    def _handle(self, conversation: Conversation, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Refused):
                self._on_refused(conversation, event)
            elif isinstance(event, ExchangeSpoke):
                # Told, but nothing suffers from it: if a disconnection follows, that is the error.
                self._stream.note("error", str(event.error))
            elif isinstance(event, Acknowledged):
                self._stream.acknowledged(event.topics)
                self._accept(event.topics)

    def _on_refused(self, conversation: Conversation, event: Refused) -> None:
        if len(event.topics) > 1 and isinstance(event.error, (TopicInvalid, TopicNotFound)):
            # One bad topic refuses its whole message: ask for each by itself.
            for topic in event.topics:
                conversation.subscribe([topic])
            return
        self._refusal = event.error
        if isinstance(event.error, ServiceBusy | LimitExceeded):
            self._busy.update(event.topics)
            self._retry_busy_at = time.monotonic() + _BUSY_INTERVAL
        self._stream.note("refused", str(event.error))

    def _accept(self, topics: Iterable[Topic]) -> None:
        if self._busy:
            self._busy.difference_update(topics)
            if not self._busy and isinstance(self._refusal, ServiceBusy | LimitExceeded):
                self._refusal = None

    def measure_clock(self) -> None:
        """Compare the exchange's clock with ours, if a new connection wants it; for errands."""
        if not self._wants_clock:
            return
        self._wants_clock = False
        try:
            self.offset_ns = self._stream.rest.clock_offset(self._market).offset_ns
        except KucoinResearchError as error:
            # Only the lag needs it; the report says that it was not measured.
            if not self._stream.stopping.is_set():
                self._stream.note("clock_unknown", str(error))

    def resubscribe(self, symbol: str) -> None:
        """Have a book's topic subscribed to afresh, if it is one of this connection."""
        if self._book_topics(symbol):
            self._afresh.append(symbol)

    def _book_topics(self, symbol: str) -> list[Topic]:
        wanted = topics_for(Channel("level2"), symbol, self._market, self._stream.feed)
        return [topic for topic in wanted if topic in self._topics]

    def request_ping(self) -> None:
        conversation = self._conversation
        if conversation is not None:
            conversation.request_ping()

    def abort(self) -> None:
        with self._connection_lock:
            if self._connection is not None:
                self._connection.abort()

    def disown(self) -> None:
        self._connection_lock = threading.Lock()
        self._connection = None


def _shards(subscriptions: Sequence[Subscription], feed: Feed) -> list[tuple[Market, list[Topic]]]:
    most = kit_of(feed).topics_per_connection
    by_market: defaultdict[Market, dict[Topic, None]] = defaultdict(dict)
    for channel, symbol, market in subscriptions:
        by_market[market].update(dict.fromkeys(topics_for(channel, symbol, market, feed)))
    return [
        (market, list(topics)[start : start + most])
        for market, topics in by_market.items()
        for start in range(0, len(topics), most)
    ]


def _rings(subscriptions: Sequence[Subscription], capacity: int) -> dict[type[Record], Ring]:
    records = dict.fromkeys(s.channel.record for s in subscriptions)
    rings = {record: Ring(record, capacity) for record in records}
    rings[Status] = Ring(Status, _STATUS_CAPACITY)
    return rings


def _name_of(record: type[Record]) -> str:
    return next(name for name, kind in CHANNELS.items() if kind is record)


def _join(channels: Iterable[Channel]) -> str:
    return ", ".join(map(str, channels))


def _entry(tally: Tally, lag: Lag | None) -> ChannelReport:
    return ChannelReport(
        channel=tally.channel,
        symbol=tally.symbol,
        rows=tally.rows,
        duplicates=tally.duplicates,
        broken=tally.broken,
        first_sequence=tally.first_sequence,
        last_sequence=tally.last_sequence,
        gaps=tuple(tally.gaps),
        lag=lag,
        verdict=tally.verdict,
        reason=tally.reason,
    )


def _check_last(last: object) -> None:
    if last is None:
        return
    if isinstance(last, bool) or not isinstance(last, Integral) or last < 0:
        raise InvalidInput(f"last must be a whole number of rows from 0 on, not {last!r}")


def _describe(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  part of the sink guard: an error that cannot be shown
        return type(error).__name__
