"""Delivery: from a connection's messages to frames and sinks, one batch at a time.

Connections and REST bring messages on several threads. All rows pass under one lock, so rows of all
channels have one order, and a row is in the frames before a sink sees it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.topics import Feed, Topic
from kucoin_research.exchange.websocket.decode_classic import ControlMessage, Decodes
from kucoin_research.foundation import clocks
from kucoin_research.frames.store import FrameStore
from kucoin_research.model.channels import Market, Subscription
from kucoin_research.model.rate import RateMeter
from kucoin_research.model.records import Record
from kucoin_research.streaming.feed_handler import FeedHandler
from kucoin_research.streaming.handover import Handover
from kucoin_research.streaming.sinks import Sinks
from kucoin_research.streaming.staleness import Silence
from kucoin_research.streaming.timekeeping import Timekeeper

__all__ = ["Delivery"]

# On the pro feed a book's snapshot was seen 0.5 to 6.2 s after its subscription.
_SEED_PATIENCE = 10.0


class Delivery:
    """Takes messages and news from connections, and puts rows into frames and sinks.

    Parameters
    ----------
    name
        Of the stream.
    subscriptions, feed
        What to stream, and by which of KuCoin's protocols.
    rest
        The venue's REST side, asked for the exchange's time.
    store
        The frames.
    clock
        The time it lives in.
    shortest_silence
        No silence of fewer seconds is suspicious.

    Attributes
    ----------
    lock
        The delivery lock. It guards ``handler``, the writers of ``store`` and the tuples of
        ``sinks``. Reentrant, because a sink that raises is reported in a row of its own.
    stopping
        Set once the stream is to end.
    errand
        Set when something may have to be asked of REST.
    is_finished
        All rows are there that there will be.
    messages
        How many were delivered.
    forget_failures
        Called when subscriptions were acknowledged: REST's failures before may be over.

    Notes
    -----
    Every method may be called from any thread. It is the ``Keeper`` of the stream's connections.
    """

    def __init__(
        self,
        name: str,
        subscriptions: Sequence[Subscription],
        rest: Rest,
        store: FrameStore,
        *,
        feed: Feed,
        clock: clocks.Clock,
        shortest_silence: float,
    ) -> None:
        self.name = name
        self.feed = feed
        self.rest = rest
        self.clock = clock
        self.store = store
        self.lock = threading.RLock()
        self.stopping = clock.event()
        self.errand = clock.event()
        self.is_finished = False
        self.messages = 0
        self.forget_failures: Callable[[], None] = _do_nothing
        self.handler = FeedHandler(subscriptions, feed)
        self.sinks = Sinks(clock, name, self.lock, self.note)
        streamed: Iterable[tuple[str, Market]] = [
            (each.symbol, each.market) for each in subscriptions
        ]
        self.time = Timekeeper(clock, rest, streamed, self._report_clock)
        self.now_ns = self.time.now_ns  #: reads the clock that stamps the rows, ns UTC
        self._shortest_ns = int(shortest_silence * 1e9)
        self._meter = RateMeter()

    @property
    def messages_per_second(self) -> float:
        """Messages of all kinds, over the last five seconds."""
        return self._meter.rate(self.clock.monotonic(), self.messages)

    # -- messages ------------------------------------------------------------------------------

    def deliver(
        self,
        payloads: Sequence[bytes],
        decoder: Decodes,
        overlap: Handover | None = None,
        now_ns: int | None = None,
    ) -> list[ControlMessage]:
        """Take the messages of one read.

        Parameters
        ----------
        payloads, decoder
            In order of arrival, and the decoder of their connection.
        overlap
            While two connections bring the same, or just after that.
        now_ns
            When they were read, ns UTC; now, when left out.

        Returns
        -------
        list[ControlMessage]
            Those meant for the conversation.
        """
        if now_ns is None:
            now_ns = self.now_ns()
        with self.lock:
            rows, controls = self.handler.take(payloads, decoder, now_ns, overlap)
            self._meter.sample(self.clock.monotonic(), self.messages)
            self.messages += len(payloads)
            self.commit(rows)
        if self.handler.has_open_requests:
            self.errand.set()
        # Last, and without the lock: raw messages are passed on once their rows are in the frames.
        if self.sinks.traffic is not None:
            self.sinks.traffic.put(payloads)
        return controls

    def hold(
        self, payloads: Sequence[bytes], decoder: Decodes, overlap: Handover
    ) -> list[ControlMessage]:
        """Hold the messages of a successor; return those meant for its conversation."""
        if not payloads:
            return []
        now_ns = self.now_ns()
        with self.lock:
            return self.handler.hold(payloads, decoder, now_ns, overlap)

    def take_over(
        self, overlap: Handover, topics: Sequence[Topic], drained_ns: int
    ) -> list[tuple[str, str]]:
        """Go on with the successor; return the channels and symbols that had stalled before."""
        with self.lock:
            if self.is_finished:
                return []
            rows, stalled = self.handler.take_over(overlap, topics, drained_ns, self.now_ns())
            self.commit(rows)
        if self.handler.has_open_requests:
            self.errand.set()
        return stalled

    # -- rows ----------------------------------------------------------------------------------

    def commit(self, rows: Sequence[Record]) -> None:
        """Put rows into the frames, then into the sinks. Under the delivery lock."""
        if rows:
            self.store.extend(rows)
            self.sinks.put(rows)

    def take_in(self, rows: Callable[[], Sequence[Record]]) -> Sequence[Record] | None:
        """Make rows and put them into the flow, under the delivery lock; None at the end."""
        with self.lock:
            if self.is_finished:
                return None
            made = rows()
            self.commit(made)
        return made

    def note(
        self, event: str, detail: str, *, channel: str | None = None, symbol: str | None = None
    ) -> None:
        """Put a status row into the flow."""
        detail = detail.encode(errors="replace").decode()  # a foreign error's text may be odd
        with self.lock:
            row = self.handler.note(event, detail, self.now_ns(), channel=channel, symbol=symbol)
            self.commit([row])

    def account(self) -> None:
        """Report which sequences of books came without a row. Under the delivery lock."""
        if not self.is_finished:
            self.commit(self.handler.order_books.account(self.now_ns()))

    def finish(self) -> None:
        """Let everything go that waits, once; nothing comes behind the "stopped" row."""
        with self.lock:
            if self.is_finished:
                return
            self.commit(self.handler.finish(self.now_ns()))
            self.note("stopped", "stop() was called")
            self.is_finished = True
        self.sinks.close()

    # -- connections ---------------------------------------------------------------------------

    def connected(self, topics: Sequence[Topic], detail: str) -> None:
        """Report that a connection is open and its subscriptions are answered."""
        self.note("connected", f"{len(topics)} topics{detail}")

    def lost(self, topics: Sequence[Topic], reason: str, began_ns: int | None) -> None:
        """Report that a connection ended; its books start over."""
        if began_ns is not None:
            with self.lock:
                self.commit(self.handler.begin_outage(topics, began_ns, self.now_ns()))
        self.note("disconnected", reason)

    def outage(self, topics: Sequence[Topic], began_ns: int, *, is_over: bool) -> None:
        """Account for the time from a lost connection to the next one, or to the end."""
        with self.lock:
            now_ns = self.now_ns()
            rows = self.handler.end_outage(
                topics, began_ns, now_ns, "disconnected", is_over=is_over
            )
            self.commit(rows)
        self.errand.set()

    def acknowledged(self, topics: Sequence[Topic]) -> None:
        """Take note of subscriptions that the exchange has accepted."""
        self.forget_failures()
        with self.lock:
            self.commit(self.handler.presences.arrived(topics, self.now_ns()))
            self.handler.subscribed(topics, self.clock.monotonic(), _SEED_PATIENCE)
        self.errand.set()

    def left(self, topics: Sequence[Topic]) -> None:
        """Take note of topics of which nothing more comes, as nobody wants them."""
        self.take_in(lambda: self.handler.left(topics, self.now_ns()))

    def request_errand(self) -> None:
        """Have the stream look soon for anything to ask of REST."""
        self.errand.set()

    # -- subscriptions of a running stream -----------------------------------------------------

    def come(self, subscriptions: Sequence[Subscription], asked: Sequence[Topic]) -> None:
        """Prepare frames, accounts and books for subscriptions before they are asked for."""
        with self.lock:
            self.store.add(subscriptions)
            for each in subscriptions:
                self.time.add(each.symbol, each.market)
            self.commit(self.handler.come(subscriptions, asked, self.now_ns()))

    def fail(self, subscriptions: Sequence[Subscription]) -> None:
        """Go back to the time before ``come``, for subscriptions that were not acknowledged."""
        self.take_in(lambda: self.handler.presences.fail(subscriptions, self.now_ns()))

    def forget_empty(self, subscriptions: Sequence[Subscription]) -> None:
        """Forget subscriptions that were refused and never had a row."""
        with self.lock:
            self.store.drop(self.handler.forget_empty(subscriptions))

    def knows(self, subscription: Subscription) -> bool:
        """Return whether a subscription has rows, or had a chance of them."""
        with self.lock:
            return self.handler.presences.knows(subscription)

    def go(self, subscriptions: Sequence[Subscription], asked: Sequence[Topic]) -> None:
        """Prepare for the end of subscriptions, before the exchange is asked to end topics."""
        self.take_in(lambda: self.handler.presences.go(subscriptions, asked, self.now_ns()))

    def stay(self, topics: Sequence[Topic]) -> None:
        """Take note of topics that go on, although they were to end."""
        with self.lock:
            self.handler.presences.stay(topics)

    # -- silence -------------------------------------------------------------------------------

    def silences(self, topics: Sequence[Topic], now_ns: int) -> list[Silence]:
        """List the channels and symbols that have been silent for suspiciously long."""
        with self.lock:
            silent = self.handler.silent(topics, now_ns, self._shortest_ns)
        return [
            Silence(
                tally.channel,
                tally.symbol,
                (now_ns - (tally.heard_at or now_ns)) / 1e9,
                (tally.arrivals.p99_ns or 0) / 1e9,
            )
            for tally in silent
        ]

    def was_quiet(self, silences: Sequence[Silence]) -> None:
        """Take note that another connection was silent, too: most likely the market was."""
        with self.lock:
            for silence in silences:
                self.handler.was_quiet(silence.channel, silence.symbol, self.now_ns())

    # -- clocks --------------------------------------------------------------------------------

    @property
    def moves(self) -> Sequence[clocks.Move]:
        """When and by how much this machine's clock was set since the start."""
        return self.time.moves

    def clock_moved(self) -> None:
        """Take note that this machine's clock was set."""
        self.time.report_moves()
        self.errand.set()

    def request_clock(self, market: Market) -> None:
        """Have a market's clock measured: there is a new connection."""
        self.time.request(market)

    def _report_clock(self, event: str, detail: str) -> None:
        if not self.stopping.is_set():
            self.note(event, detail)

    def disown(self) -> None:
        """Stop without a word, in a forked child."""
        self.stopping = threading.Event()
        self.stopping.set()
        self.lock = threading.RLock()  # may have been held when the process was forked
        self.sinks.disown(self.lock)


def _do_nothing() -> None:
    """Stand in for a function that is set later."""
