"""What a stream asks of REST: snapshots of books, what an outage has cost, clocks, last changes.

`Recovery.look` is called again and again; it finds out what is wanted now, and a few threads ask
for it, books before trades of the past. Each looks once more before it asks whether that is wanted
still. So no slow call holds up another, and no kind of calls takes all the threads. Of one book,
and of the past of one channel and symbol, one thing is asked at a time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from kucoin_research.errors import (
    ChannelNotOffered,
    ExchangeUnavailable,
    KucoinResearchError,
    NetworkError,
    RateLimited,
)
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.foundation import clocks
from kucoin_research.model.channels import Market
from kucoin_research.model.records import Record, Trade
from kucoin_research.streaming.feed_handler import FeedHandler
from kucoin_research.streaming.gap_fill import FillableGap
from kucoin_research.streaming.patience import FillProgress, Patience
from kucoin_research.streaming.rest_jobs import Job, JobPool, Kind
from kucoin_research.streaming.timekeeping import Timekeeper

__all__ = ["Recovery"]

log = logging.getLogger(__name__)

# Seconds between two looks for flaws of books.
_FLAW_INTERVAL = 0.5
# After REST failed to fill an outage, it is asked again this much later.
_FILL_INTERVAL = 1.0
# Where a page leaves open what is missing, the next one is asked for so much later.
_NEXT_PAGE = 0.25
# The pause before a snapshot is asked for again doubles from a second up to this.
_LONGEST_SNAPSHOT_PAUSE = 15.0
# How often REST is asked about a silence, seconds: KuCoin keeps a hundred trades.
_FIRST_POLL = 2.0
_LONGEST_POLL = 60.0
# After an unexpected error.
_RECOVERY = 1.0
_FEWEST_LEVELS = 20  # of a book that REST gives
# Books that are fetched at once because a recording has begun.
_MOST_BEGUN = 8


class _Keeper(Protocol):
    """What errands need of the stream they are run for, from any thread."""

    @property
    def name(self) -> str: ...
    @property
    def clock(self) -> clocks.Clock: ...
    @property
    def rest(self) -> Rest: ...
    @property
    def stopping(self) -> threading.Event: ...
    def now_ns(self) -> int: ...
    def note(
        self, event: str, detail: str, *, channel: str | None = None, symbol: str | None = None
    ) -> None: ...
    def take_in(self, rows: Callable[[], Sequence[Record]]) -> Sequence[Record] | None: ...


class _Supervisor(Protocol):
    """What errands need of a connection."""

    def may_mend(self, symbol: str) -> bool: ...
    def resubscribe(self, symbol: str) -> None: ...


class Recovery:
    """Finds out what a stream needs of REST, and has it asked for.

    Parameters
    ----------
    keeper
        The stream. Its ``take_in`` puts rows into the flow, made under the delivery lock.
    intake
        Knows what is wanted, and takes what comes.
    lock
        The delivery lock.
    time
        Whose clocks are to be measured.
    markets
        The market of each symbol.
    supervisors
        The connections.
    fill_timeout
        Seconds for which the past is asked for while none of it comes.
    start_thread
        Starts a thread with that target and role.

    Notes
    -----
    One thread calls `look`; the other methods may be called from any thread.
    """

    def __init__(
        self,
        keeper: _Keeper,
        handler: FeedHandler,
        lock: Any,
        time: Timekeeper,
        *,
        markets: Mapping[str, Market],
        supervisors: Sequence[_Supervisor],
        fill_timeout: float,
        start_thread: Callable[[Callable[[], None], str], None],
    ) -> None:
        self._keeper = keeper
        self._clock = keeper.clock
        self._stopping = keeper.stopping
        self._handler = handler
        self._lock = lock
        self._time = time
        self._markets = markets
        self._supervisors = supervisors
        self._fills: dict[Hashable, FillProgress] = {}
        self._patiences = {market: Patience(fill_timeout) for market in Market}
        self._failures: dict[str, int] = {}  # of snapshots, in a row, by symbol
        self._ends: dict[str, None] = {}  # books to ask about, before the end
        self._to_begin: dict[str, None] = {}  # books of which a recording has no snapshot yet
        self._flaws: dict[str, str] = {}
        self._next_check = self._clock.monotonic() + _FLAW_INTERVAL
        self._pool = JobPool(
            self._clock, self._do, self.survive, start_thread, self._stopping
        )  # fmt: skip

    # -- what others want --------------------------------------------------------------------------

    def ask_about_ends(self, symbols: Iterable[str]) -> None:
        """Have it found out to where the exchange's books have come. Under the delivery lock."""
        self._ends |= dict.fromkeys(symbols)

    @property
    def are_ends_known(self) -> bool:
        """Whether all that `ask_about_ends` wanted was asked."""
        return not self._ends

    def begin_books(self, symbols: Iterable[str]) -> None:
        """Have books fetched afresh, for a recording. Under the delivery lock."""
        self._to_begin |= dict.fromkeys(symbols)

    def forget_failures(self) -> None:
        """Have snapshots asked for at once: what comes over another connection may go otherwise."""
        self._failures.clear()

    def close(self) -> None:
        """Have the threads end, once the stream is stopping and its REST side closed."""
        self._pool.wake()

    def disown(self) -> None:
        """Forget the threads in a forked child."""
        self._pool.disown()

    def survive(self, error: Exception) -> None:
        """Tell of an error that nobody expected, and wait a moment."""
        log.error("an errand of %s met an unexpected error", self._keeper.name, exc_info=error)
        self._keeper.note("error", f"unexpected {type(error).__name__} while REST was asked")
        self._stopping.wait(_RECOVERY)

    # -- what is wanted ----------------------------------------------------------------------------

    def look(self) -> None:
        """Find out what is wanted now, and have it asked for."""
        now = self._clock.monotonic()
        self._keeper.take_in(lambda: self._handler.gap_filler.release_full(self._keeper.now_ns()))
        with self._lock:
            ends = list(self._ends)
            self._begin_books(_MOST_BEGUN - len(self._handler.seeking))
            seeking = self._handler.seeking.copy()
            holes = self._handler.gap_filler.gaps
        wanted = [Job(Kind.END, symbol) for symbol in ends]
        if self._time.look():
            wanted.append(Job(Kind.CLOCK))
        wanted += self._books_to_fetch(seeking, now)
        wanted += self._past_to_fetch(holes, now)
        self._pool.offer(wanted)
        if self._handler.books and now >= self._next_check:
            self._next_check = now + _FLAW_INTERVAL
            self._flaws = self._mend_flaws(self._flaws)

    def _books_to_fetch(self, seeking: set[str], now: float) -> list[Job]:
        wanted = []
        # In the order of the subscriptions, that of a set changes from run to run.
        for symbol in self._handler.books if seeking else ():
            if symbol not in seeking or not self._handler.books[symbol].wants_snapshot(now):
                continue
            if self._handler.books[symbol].seeds_itself:
                self._subscribe_afresh(symbol)
            elif now >= self._patiences[self._markets[symbol]].pauses_until:
                wanted.append(Job(Kind.BOOK, symbol))
        return wanted

    def _past_to_fetch(self, holes: Sequence[FillableGap], now: float) -> list[Job]:
        wanted = []
        fills = {}
        for hole in holes:
            kind = Kind.SILENCE if hole.is_silent else Kind.PAST
            job = Job(kind, hole.symbol, hole.record)
            fill = fills[job.key] = self._fills.get(job.key) or FillProgress(now)
            patience = self._patiences[hole.market]
            if now < max(fill.not_before, patience.pauses_until):
                continue
            if hole.is_silent or now < patience.until(fill) or self._pool.is_running(job):
                wanted.append(job)
            else:
                self._give_up(hole, "nothing came of it in time, as nothing else did")
        self._fills = fills
        return wanted

    def _begin_books(self, room: int) -> None:
        # A few at a time: until its snapshot comes, the rows of a book wait.
        for symbol in tuple(self._to_begin):
            if room <= 0:
                return
            del self._to_begin[symbol]
            if self._handler.books[symbol].is_ready:  # else its snapshot is to come anyway
                self._fetch_afresh(symbol, "a recording has begun", is_flawed=False)
                room -= 1

    def _fetch_afresh(self, symbol: str, why: str, *, is_flawed: bool) -> None:
        # Under the delivery lock, so that no row comes between the two.
        self._handler.order_books.renew(symbol, is_flawed=is_flawed)
        # A book that is not wrong goes on answering, here and where it is rebuilt from the rows.
        event = "resync" if is_flawed else "renew"
        self._keeper.note(event, f"{symbol}: {why}", channel="level2")

    def _mend_flaws(self, before: dict[str, str]) -> dict[str, str]:
        # A flaw must stand for two checks: a book may be crossed for a moment within one match.
        found: dict[str, str] = {}
        for symbol, book in self._handler.books.items():
            with self._lock:
                flaw = book.flaw()
                if flaw is None:
                    continue
                if flaw != before.get(symbol):
                    found[symbol] = flaw
                    continue
                self._fetch_afresh(symbol, f"the book was {flaw}", is_flawed=flaw == "crossed")
        return found

    # -- asking, on one of the threads -------------------------------------------------------------

    def _do(self, job: Job) -> None:
        if job.kind is Kind.END:
            self._ask_about_end(job.symbol)
        elif job.kind is Kind.CLOCK:
            while not self._stopping.is_set() and self._time.measure():
                pass  # several answers in a row, over one connection
        elif job.kind is Kind.BOOK:
            self._fetch_book(job.symbol)
        else:
            self._fill(job)

    def _ask_about_end(self, symbol: str) -> None:
        rest = self._keeper.rest
        try:
            market = self._markets[symbol]
            known = rest.order_book(symbol, _FEWEST_LEVELS, market=market).sequence
            with self._lock:
                self._handler.order_books.note_known(symbol, known)
        except KucoinResearchError as error:
            log.info("the last sequence of %s is not known: %s", symbol, error)
        finally:
            with self._lock:
                self._ends.pop(symbol, None)

    def _requests_snapshot(self, symbol: str) -> bool:
        """Tell whether a book's snapshot is asked for now; it knows of it then."""
        book = self._handler.books[symbol]
        with self._lock:
            if not book.wants_snapshot(self._clock.monotonic()):
                return False
            if book.awaits_late_deltas and any(
                supervisor.may_mend(symbol) for supervisor in self._supervisors
            ):
                return False  # a snapshot would stand for rows that are about to come
            book.snapshot_requested()
        return True

    def _subscribe_afresh(self, symbol: str) -> None:
        # The snapshot comes with a subscription, so a new one is made.
        if self._requests_snapshot(symbol):
            self._keeper.note("resubscribed", f"{symbol}: for a new snapshot", channel="level2")
            for supervisor in self._supervisors:
                supervisor.resubscribe(symbol)

    def _fetch_book(self, symbol: str) -> None:
        market = self._markets[symbol]
        patience = self._patiences[market]
        if self._clock.monotonic() < patience.pauses_until or not self._requests_snapshot(symbol):
            return
        try:
            snapshot = self._keeper.rest.level2_snapshot(symbol, market)
            patience.answered(self._clock.monotonic())
            taken = self._keeper.take_in(
                lambda: self._handler.order_books.take_snapshot(
                    snapshot, self._keeper.now_ns(), self._clock.monotonic()
                )
            )
            if taken is not None:
                self._failures.pop(symbol, None)
        except RateLimited as error:
            if not self._stopping.is_set():
                is_news = patience.refused(self._clock.monotonic(), error.retry_after)
                self._snapshot_failed(symbol, error.retry_after, str(error) if is_news else "")
        except KucoinResearchError as error:
            if not self._stopping.is_set():
                self._snapshot_failed(symbol, self._pause_of(symbol), str(error))
        except Exception as error:  # a guard of this book's: it must not wait for ever
            log.exception("the snapshot of %s met an unexpected error", symbol)
            what = f"unexpected {type(error).__name__}"
            self._snapshot_failed(symbol, self._pause_of(symbol), what)

    def _pause_of(self, symbol: str) -> float:
        # What is refused for good, as that of a paused contract, is asked for ever less often.
        failures = self._failures[symbol] = self._failures.get(symbol, 0) + 1
        return float(min(2.0 ** (failures - 1), _LONGEST_SNAPSHOT_PAUSE))

    def _snapshot_failed(self, symbol: str, wait: float, reason: str) -> None:
        self._keeper.take_in(
            lambda: self._handler.order_books.snapshot_failed(
                symbol, wait, self._keeper.now_ns(), self._clock.monotonic()
            )
        )
        if reason:
            self._keeper.note("snapshot_failed", f"{symbol}: {reason}", channel="level2")

    def _fill(self, job: Job) -> None:
        assert job.record is not None  # that is what it fills
        with self._lock:
            hole = self._handler.gap_filler.find(job.record, job.symbol)
        fill = self._fills.get(job.key)
        if hole is None or fill is None:
            return  # it was filled, or given up
        now = self._clock.monotonic()
        if now < max(fill.not_before, self._patiences[hole.market].pauses_until):
            return
        if hole.is_silent:
            self._note_question(fill, hole, now)
        try:
            fetched = self._fetch_past(hole)
        except KucoinResearchError as error:
            if not self._stopping.is_set():
                self._not_fetched(hole, fill, error)
            return
        now = self._clock.monotonic()
        self._patiences[hole.market].answered(now, is_past=True)
        fill.failing = None
        rows = self._keeper.take_in(
            lambda: self._handler.gap_filler.fill(hole, fetched, self._keeper.now_ns())
        )  # fmt: skip
        if not rows and not hole.is_silent:
            fill.not_before = now + _NEXT_PAGE

    @staticmethod
    def _note_question(fill: FillProgress, hole: FillableGap, now: float) -> None:
        """Have a silence asked about ever less often, unless it turns out an outage."""
        goes_on = not fill.pause or fill.last_sequence != hole.last_sequence
        fill.pause = _FIRST_POLL if goes_on else min(2.0 * fill.pause, _LONGEST_POLL)
        fill.not_before = now + fill.pause
        fill.last_sequence = hole.last_sequence

    def _not_fetched(
        self, hole: FillableGap, fill: FillProgress, error: KucoinResearchError
    ) -> None:
        now = self._clock.monotonic()
        patience = self._patiences[hole.market]
        wait = _FILL_INTERVAL
        if isinstance(error, RateLimited):
            wait = error.retry_after
            patience.refused(now, wait)
        elif isinstance(error, NetworkError | ExchangeUnavailable):
            patience.failed(now)
            fill.failing = now if fill.failing is None else fill.failing
        else:
            wait = float("inf")  # it will be refused again
        if now + wait < patience.until(fill):
            fill.not_before = max(fill.not_before, now + wait)
        else:
            self._give_up(hole, str(error))

    def _give_up(self, hole: FillableGap, reason: str) -> None:
        told = f"REST could not fill the outage: {reason}"
        self._keeper.take_in(
            lambda: self._handler.gap_filler.give_up(hole, told, self._keeper.now_ns())
        )

    def _fetch_past(self, hole: FillableGap) -> list[Record]:
        rest = self._keeper.rest
        if hole.record is Trade:
            return [*rest.trades(hole.symbol, market=hole.market)]
        found: list[Record] = []
        for interval, opened in hole.last_opens.items():
            if interval is None:
                continue
            try:
                found += rest.candles(hole.symbol, interval, opened, None, market=hole.market)
            except ChannelNotOffered:  # streamed, but not kept: that interval stays unfilled
                log.info("REST has no %s candles of %s", interval, hole.symbol)
        return found
