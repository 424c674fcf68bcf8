"""A running stream: threads that read, rings that keep, sinks that are told, readers that pull.

One pump thread per connection reads, decodes and delivers; one fetcher thread gets book snapshots
over REST where level 2 is streamed. Everything delivered passes under one lock, so rows of all
channels have one order; readers take no lock.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from types import TracebackType
from typing import NamedTuple, Self

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
    LoginRequired,
    NotFound,
    RateLimited,
    StreamError,
    StreamStopped,
    StreamTimeout,
    TopicInvalid,
    TopicNotFound,
    UnknownChannel,
)
from kucoin_research.feeds import FeedKit, kit_of
from kucoin_research.intake import Intake, Subscription
from kucoin_research.integrity import Tally
from kucoin_research.live import Connection
from kucoin_research.orderbook import BookSync, OrderBook
from kucoin_research.protocol import (
    Acknowledged,
    Conversation,
    Event,
    ExchangeSpoke,
    Refused,
)
from kucoin_research.records import CHANNELS, Channel, Market, Record, Status, parse_channel
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
# On the pro feed a book's snapshot was seen 0.5 to 6.2 s after its subscription.
_SEED_PATIENCE = 10.0
# Their timestamps are not the time of an event that has just happened.
_WITHOUT_LAG = frozenset({"candle", "status"})
# Trying again cannot mend these.
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


class _Attached(NamedTuple):
    sink: Sink
    kinds: frozenset[type[Record]]


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
        Called with each raw message on the feed thread, before it is decoded.
    feed
        Which of KuCoin's protocols to stream from.

    Notes
    -----
    Every method may be called from any thread. ``stop`` never waits longer than its timeout. A
    callback given to ``attach`` runs on the feed thread, under the delivery lock: keep it short.
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
        self._on_payload = on_payload
        self._attached: tuple[_Attached, ...] = ()
        self._delivery_lock = threading.RLock()  # guards intake, rings' writers, sinks
        self._stopping = threading.Event()
        self._fetch = threading.Event()
        self._messages = 0
        self._rate_samples: deque[tuple[float, int]] = deque(maxlen=64)
        self._connects: deque[float] = deque()  # guarded by the delivery lock
        self._pumps = [
            _Pump(self, market, topics, number, kit_of(feed))
            for number, (market, topics) in enumerate(_shards(subscriptions, feed))
        ]
        self._threads: list[threading.Thread] = []

    def start(self) -> Self:
        """Start the threads; once only."""
        assert not self._threads, "a stream starts once"
        for pump in self._pumps:
            self._start_thread(pump.run, f"pump-{pump.number}")
        if self._intake.books:
            self._start_thread(self._fetch_snapshots, "books")
        return self

    def _start_thread(self, target: Callable[[], None], role: str) -> None:
        thread = threading.Thread(target=target, name=f"kucoin-{self.name}-{role}", daemon=True)
        self._threads.append(thread)
        thread.start()

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
        UnknownChannel
            If the channel is not streamed here.
        """
        wanted = self._channel(channel)
        ring = self._rings[wanted.record]
        filters = []
        if symbol is not None:
            filters.append(pl.col("symbol") == symbol)
        if wanted.interval is not None and self._intervals() > 1:
            filters.append(pl.col("interval") == wanted.interval)
        if not filters:
            return ring.frame(last)
        rows = ring.frame().filter(*filters)
        return rows if last is None else rows.tail(last)

    def _intervals(self) -> int:
        return len({s.channel.interval for s in self.subscriptions if s.channel.interval})

    def _channel(self, channel: str | None) -> Channel:
        streamed = list(dict.fromkeys(s.channel for s in self.subscriptions))
        if channel is None:
            if len(streamed) == 1:
                return streamed[0]
            raise UnknownChannel(f"name one of the channels: {_join(streamed)}")
        wanted = parse_channel(channel)
        if channel in ("candle", "candles"):
            found = next((c for c in streamed if c.name == "candle"), None)
            wanted = Channel("candle") if found and self._intervals() > 1 else found or wanted
        if wanted.record not in self._rings:
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
            if symbol is None and len(books) != 1:
                raise BookNotReady(f"name one of the books: {', '.join(books) or 'none streams'}")
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
        ring = self._rings[wanted.record]
        deadline = time.monotonic() + timeout
        # Short slices: "Interrupt kernel" and Ctrl-C get through on every platform.
        while ring.total < rows:
            if self.state in (State.STOPPED, State.FAILED):
                raise StreamStopped(
                    f"{self.name!r} is {self.state} after {ring.total} of {rows} rows of "
                    f"{wanted}{self._because()}"
                )
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise StreamTimeout(
                    f"{ring.total} of {rows} rows of {wanted} came within {timeout:g} s"
                    f"{self._because()}"
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
        return self._rings[self._channel(channel).record].total

    @property
    def status(self) -> StreamStatus:
        """How the stream is doing right now."""
        tallies = self._intake.ledger.tallies
        lag = self._lag_of_newest()
        return StreamStatus(
            state=self.state,
            rows={_name_of(record): ring.total for record, ring in self._rings.items()},
            messages_per_second=self._rate(),
            lag_p50_ms=lag.p50_ms if lag else None,
            lag_p95_ms=lag.p95_ms if lag else None,
            reconnects=sum(pump.reconnects for pump in self._pumps),
            gaps=sum(len(tally.gaps) for tally in tallies),
            duplicates=sum(tally.duplicates for tally in tallies),
            broken=self._intake.broken,
            error=self.error,
        )

    def _rate(self) -> float:
        now = time.monotonic()
        samples = [s for s in self._rate_samples.copy() if s[0] >= now - _RATE_WINDOW]
        if not samples:
            return 0.0
        since, count = samples[0]
        return (self._messages - count) / max(now - since, 0.25)

    def _lag_of_newest(self) -> Lag | None:
        if not self._has_real_time():
            return None
        for record, ring in self._rings.items():
            if _name_of(record) not in _WITHOUT_LAG:
                lag = self._lag(ring.frame(_LAG_ROWS), self._offset_ns())
                if lag is not None:
                    return lag
        return None

    def _has_real_time(self) -> bool:
        # Where the venue's clock runs at another speed, arrival minus exchange time is no lag.
        return self.simulation in (None, 1.0)

    def _offset_ns(self) -> int:
        return next((p.offset_ns for p in self._pumps if p.offset_ns is not None), 0)

    @staticmethod
    def _lag(rows: pl.DataFrame, offset_ns: int) -> Lag | None:
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
        pumps = self._pumps
        offset = next((p.offset_ns for p in pumps if p.offset_ns is not None), None)
        return Report(
            name=self.name,
            channels=tuple(self._entry(tally) for tally in self._intake.ledger.tallies),
            reconnects=sum(pump.reconnects for pump in pumps),
            clock_offset_ms=None if offset is None else offset / 1e6,
            simulation=self.simulation,
        )

    def _entry(self, tally: Tally) -> ChannelReport:
        lag = None
        if tally.rows and tally.channel not in _WITHOUT_LAG and self._has_real_time():
            rows = self._rings[CHANNELS[tally.channel]].frame()
            rows = rows.filter(pl.col("symbol") == tally.symbol)
            lag = self._lag(rows, self._offset_ns())
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

    # -- sinks -----------------------------------------------------------------------------------

    def attach(self, sink: Sink, channel: str | Iterable[str] | None = None) -> Callable[[], None]:
        """Call ``sink(record)`` once for each record from now on, on the feed thread.

        Parameters
        ----------
        sink
            Keep it short: the feed waits for it. If it raises, it is detached and told in the
            ``status`` channel; the feed goes on.
        channel
            Which channels; all of them, ``status`` included, when left out.

        Returns
        -------
        Callable[[], None]
            Detaches the sink; may be called twice.
        """
        if not callable(sink):
            raise InvalidInput(f"attach wants a function of one record, not {sink!r}")
        if channel is None:
            kinds = frozenset(self._rings)
        else:
            names = [channel] if isinstance(channel, str) else list(channel)
            kinds = frozenset(self._channel(name).record for name in names)
        attached = _Attached(sink, kinds)
        with self._delivery_lock:
            self._attached = (*self._attached, attached)
        return lambda: self._detach(attached)

    def _detach(self, attached: _Attached) -> None:
        with self._delivery_lock:
            self._attached = tuple(a for a in self._attached if a is not attached)

    # -- delivery, on the feed threads -----------------------------------------------------------

    def deliver(self, payloads: Sequence[bytes], decoder: Decodes) -> list[Control]:
        """Take the messages of one read; returns those meant for the conversation."""
        now_ns = time.time_ns()
        if self._on_payload is not None:
            for payload in payloads:
                self._on_payload(payload)
        with self._delivery_lock:
            rows, controls = self._intake.take(payloads, decoder, now_ns)
            self._commit(rows)
            self._count(len(payloads))
        if self._intake.seeking:
            self._fetch.set()
        return controls

    def _count(self, messages: int) -> None:
        now = time.monotonic()
        samples = self._rate_samples
        if not samples or now - samples[-1][0] >= 0.25:
            samples.append((now, self._messages))
        self._messages += messages

    def note(self, event: str, detail: str, *, channel: str | None = None) -> None:
        """Put a status row into the flow."""
        with self._delivery_lock:
            self._commit([self._intake.note(event, detail, time.time_ns(), channel=channel)])

    def _commit(self, rows: Sequence[Record]) -> None:
        if not rows:
            return
        kinds = set(map(type, rows))
        if len(kinds) == 1:
            self._rings[kinds.pop()].extend(rows)
        else:
            groups: defaultdict[type[Record], list[Record]] = defaultdict(list)
            for row in rows:
                groups[row.__class__].append(row)
            for kind, group in groups.items():
                self._rings[kind].extend(group)
        if self._attached:
            self._tell_sinks(rows)

    def _tell_sinks(self, rows: Sequence[Record]) -> None:
        for row in rows:
            for attached in self._attached:
                if row.__class__ in attached.kinds:
                    try:
                        attached.sink(row)
                    except Exception as error:  # noqa: BLE001  the sink guard
                        self._drop_sink(attached, error)

    def _drop_sink(self, attached: _Attached, error: Exception) -> None:
        log.exception("a sink raised and was detached")
        self._detach(attached)
        name = getattr(attached.sink, "__name__", repr(attached.sink))
        self.note("sink_failed", f"{name} raised {type(error).__name__}: {error}; it was detached")

    def connected(self, topics: Sequence[Topic], detail: str) -> None:
        """Tell that a connection is open and its subscriptions answered."""
        self.note("connected", f"{len(topics)} topics{detail}")

    def lost(self, topics: Sequence[Topic], reason: str) -> None:
        """Tell that a connection ended; its books start over."""
        with self._delivery_lock:
            self._intake.restart_books(topics)
        self.note("disconnected", reason)

    def outage(self, topics: Sequence[Topic], began_ns: int, ended_ns: int) -> None:
        """Account for the time between a lost connection and its successor."""
        with self._delivery_lock:
            self._intake.outage(topics, began_ns, ended_ns, "disconnected")

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

    # -- book snapshots, on their own thread -----------------------------------------------------

    def _fetch_snapshots(self) -> None:
        flaws: dict[str, str] = {}
        next_check = time.monotonic() + _FLAW_INTERVAL
        while not self._stopping.is_set():
            self._fetch.wait(0.05)
            self._fetch.clear()
            with self._delivery_lock:
                seeking = tuple(self._intake.seeking)
            for symbol in seeking:
                if self._stopping.is_set():
                    return
                self._fetch_if_wanted(symbol, self._intake.books[symbol])
            if time.monotonic() >= next_check:
                next_check = time.monotonic() + _FLAW_INTERVAL
                flaws = self._mend_flaws(flaws)

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
        except KucoinResearchError as error:
            wait = error.retry_after if isinstance(error, RateLimited) else 1.0
            self._tell_snapshot_failed(book, wait, str(error))
            return
        except Exception as error:
            log.exception("the snapshot of %s met an unexpected error", symbol)
            self._tell_snapshot_failed(book, 5.0, f"unexpected {type(error).__name__}")
            return
        with self._delivery_lock:
            self._commit(self._intake.take_snapshot(snapshot, time.time_ns(), time.monotonic()))

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

        Parameters
        ----------
        timeout
            Seconds to wait for the threads; they end on their own soon after in any case.
        """
        if not self._stopping.is_set():
            self.note("stopped", "stop() was called")
        self._stopping.set()
        self._fetch.set()
        self._rest.close()
        for pump in self._pumps:
            pump.abort()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

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
        self.error: KucoinResearchError | None = None
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
        self._last_heard_ns: int | None = None
        self._lost_at_ns: int | None = None
        self._connects = 0
        self._refused: set[Topic] = set()
        self._backoff = random.Random()  # noqa: S311  jitter, not cryptography

    def run(self) -> None:
        failures = 0
        stopping = self._stream.stopping
        while not stopping.is_set():
            wait = self._stream.may_connect()
            if wait:
                stopping.wait(wait)
                continue
            try:
                self._live_once()
            except _FATAL as error:
                self._fail(error)
                return
            except KucoinResearchError as error:
                failures = 0 if self.state is State.LIVE else failures + 1
                self._lose(error)
            except Exception as error:
                log.exception("the feed of %s met an unexpected error", self._stream.name)
                failures += 1
                self._lose(ConnectionLost(f"unexpected {type(error).__name__} in the feed"))
            stopping.wait(self._delay(failures))
        self.state = State.STOPPED

    def _delay(self, failures: int) -> float:
        if isinstance(self.error, RateLimited):
            return self.error.retry_after
        most = min(_MOST_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(failures, 10))
        return self._backoff.uniform(0.0, most)

    def _fail(self, error: KucoinResearchError) -> None:
        if self._stream.stopping.is_set():
            return
        self.error = error
        self.state = State.FAILED
        self._stream.lost(self._topics, str(error))

    def _lose(self, error: KucoinResearchError) -> None:
        if self._stream.stopping.is_set():
            return
        self.error = error
        self.state = State.RECONNECTING if self._connects else State.CONNECTING
        if self._lost_at_ns is None:
            self._lost_at_ns = self._last_heard_ns  # failed tries in between lengthen the outage
        log.info("%s lost a connection: %s", self._stream.name, error)
        self._stream.lost(self._topics, str(error))

    def _live_once(self) -> None:
        doorway = self._kit.doorway(self._stream.rest, self._market)
        self.simulation = doorway.speed
        self._afresh.clear()
        connection = Connection.open(doorway.url, timeout=_OPEN_TIMEOUT)
        try:
            with self._connection_lock:
                self._connection = connection
            wanted = [topic for topic in self._topics if topic not in self._refused]
            self._conversation = Conversation(
                wanted,
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
        while not stream.stopping.is_set():
            now = time.monotonic()
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
        if self.error is not None and self._refused and not conversation.subscribed:
            raise self.error  # nothing at all can come over this connection
        if self._connects:
            self.reconnects += 1
            if self._lost_at_ns is not None:
                self._stream.outage(self._topics, self._lost_at_ns, time.time_ns())
        self._lost_at_ns = None
        self._connects += 1
        self.error = self.error if self._refused else None
        self.simulation = conversation.speed or self.simulation
        self.state = State.LIVE
        self._measure_clock()
        self._stream.connected(self._topics, " of " + str(self._market))

    def _on_refused(self, conversation: Conversation, event: Refused) -> None:
        if len(event.topics) > 1 and isinstance(event.error, (TopicInvalid, TopicNotFound)):
            # One bad topic refuses its whole message: ask for each by itself.
            for topic in event.topics:
                conversation.subscribe([topic])
            return
        self._refused.update(event.topics)
        self._tell(event.error, "refused")

    def _handle(self, conversation: Conversation, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Refused):
                self._on_refused(conversation, event)
            elif isinstance(event, ExchangeSpoke):
                self._tell(event.error, "error")
            elif isinstance(event, Acknowledged):
                self._stream.acknowledged(event.topics)

    def _tell(self, error: StreamError, event: str) -> None:
        self.error = error
        self._stream.note(event, str(error))

    def _measure_clock(self) -> None:
        try:
            self.offset_ns = self._stream.rest.clock_offset(self._market).offset_ns
        except KucoinResearchError as error:
            # Only the lag needs it; the report says that it was not measured.
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
    rings[Status] = Ring(Status, min(capacity, _STATUS_CAPACITY))
    return rings


def _name_of(record: type[Record]) -> str:
    return next(name for name, kind in CHANNELS.items() if kind is record)


def _join(channels: Iterable[Channel]) -> str:
    return ", ".join(map(str, channels))
