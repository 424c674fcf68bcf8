"""A stream's questions to REST: snapshots of books, rows of outages, clocks, last changes.

``Recovery.look`` is called again and again. It lists the questions that are open now, and a few
threads ask them, those about books before those about outages. Each thread checks once more, just
before it asks, that the question is still open. So no slow call holds up another, and no kind of
calls takes all the threads. About one book, or the past of one channel and symbol, there is one
question at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from kucoin_research.errors import (
    ChannelNotOffered,
    ExchangeUnavailable,
    KucoinResearchError,
    NetworkError,
    RateLimited,
)
from kucoin_research.model.channels import Market
from kucoin_research.model.records import Record, Trade
from kucoin_research.streaming.feed_handler import FeedHandler
from kucoin_research.streaming.gap_fill import FillableGap
from kucoin_research.streaming.keeper import Keeper
from kucoin_research.streaming.patience import FillProgress, Patience
from kucoin_research.streaming.rest_jobs import Job, JobPool, Kind
from kucoin_research.streaming.timekeeping import Timekeeper

__all__ = ["Recovery"]

log = logging.getLogger(__name__)

# Seconds between two looks for flaws of books.
_FLAW_INTERVAL = 0.5
# After REST failed to fill an outage, it is asked again this much later.
_FILL_INTERVAL = 1.0
# If a page leaves open which trades are missing, the next one is asked for this much later.
_NEXT_PAGE = 0.25
# The pause before a snapshot is asked for again doubles from a second up to this.
_LONGEST_SNAPSHOT_PAUSE = 15.0
# Seconds between the first two questions about a silence, and the longest pause. REST keeps only a
# hundred trades, so the questions must not be rare.
_FIRST_POLL = 2.0
_LONGEST_POLL = 60.0
# Seconds to wait after an unexpected error.
_RECOVERY = 1.0
# The shortest book that REST offers.
_FEWEST_LEVELS = 20
# Books that are fetched at once because a recording has begun.
_MOST_BEGUN = 8


class _Supervisor(Protocol):
    """A connection, as recovery sees it."""

    def may_mend(self, symbol: str) -> bool: ...
    def resubscribe(self, symbol: str) -> None: ...


class Recovery:
    """Finds out what a stream needs from REST, and has it asked for.

    Parameters
    ----------
    keeper
        The stream.
    handler
        Knows the open questions, and takes the answers.
    lock
        The delivery lock.
    time
        Knows which clocks to measure.
    markets
        The market of each symbol.
    supervisors
        The connections.
    fill_timeout
        Seconds after which an outage is given up if nothing of it comes.
    start_thread
        Starts a thread with that target and role.

    Notes
    -----
    One thread calls ``look``; the other methods may be called from any thread.
    """

    def __init__(
        self,
        keeper: Keeper,
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
        self._to_begin: dict[str, None] = {}  # books that a recording has no snapshot of yet
        self._flaws: dict[str, str] = {}
        self._next_check = self._clock.monotonic() + _FLAW_INTERVAL
        self._pool = JobPool(self._clock, self._do, self.survive, start_thread, self._stopping)

    # -- wishes from elsewhere ---------------------------------------------------------------------

    def ask_about_ends(self, symbols: Iterable[str]) -> None:
        """Ask for the last sequence of the exchange's books. Under the delivery lock."""
        self._ends |= dict.fromkeys(symbols)

    @property
    def are_ends_known(self) -> bool:
        """Whether REST was asked about all books of ``ask_about_ends``."""
        return not self._ends

    def begin_books(self, symbols: Iterable[str]) -> None:
        """Fetch books afresh, for a recording. Under the delivery lock."""
        self._to_begin |= dict.fromkeys(symbols)

    def forget_failures(self) -> None:
        """Ask for snapshots at once again: over another connection they may succeed."""
        self._failures.clear()

    def close(self) -> None:
        """Let the threads end, once the stream is stopping and its REST side is closed."""
        self._pool.wake()

    def disown(self) -> None:
        """Forget the threads in a forked child."""
        self._pool.disown()

    def survive(self, error: Exception) -> None:
        """Report an unexpected error, and wait a moment."""
        log.error("an errand of %s met an unexpected error", self._keeper.name, exc_info=error)
        self._keeper.note("error", f"unexpected {type(error).__name__} while REST was asked")
        self._stopping.wait(_RECOVERY)

    # -- open questions ----------------------------------------------------------------------------

    def look(self) -> None:
        """List the questions that are open now, and have them asked."""
        now = self._clock.monotonic()
        self._keeper.take_in(lambda: self._handler.gap_filler.release_full(self._keeper.now_ns()))
        with self._lock:
            ends = list(self._ends)
            self._begin_books(_MOST_BEGUN - len(self._handler.seeking))
            seeking = self._handler.seeking.copy()
            gaps = self._handler.gap_filler.gaps
        wanted = [Job(Kind.END, symbol) for symbol in ends]
        if self._time.look():
            wanted.append(Job(Kind.CLOCK))
        wanted += self._books_to_fetch(seeking, now)
        wanted += self._past_to_fetch(gaps, now)
        self._pool.offer(wanted)
        if self._handler.books and now >= self._next_check:
            self._next_check = now + _FLAW_INTERVAL
            self._flaws = self._renew_flawed(self._flaws)

    def _books_to_fetch(self, seeking: set[str], now: float) -> list[Job]:
        wanted = []
        # In the order of the subscriptions: that of a set changes from run to run.
        for symbol in list(self._handler.books) if seeking else ():
            if symbol not in seeking or not self._handler.books[symbol].wants_snapshot(now):
                continue
            if self._handler.books[symbol].seeds_itself:
                self._subscribe_afresh(symbol)
            elif now >= self._patiences[self._markets[symbol]].pauses_until:
                wanted.append(Job(Kind.BOOK, symbol))
        return wanted

    def _past_to_fetch(self, gaps: Sequence[FillableGap], now: float) -> list[Job]:
        wanted = []
        fills = {}
        for gap in gaps:
            kind = Kind.SILENCE if gap.is_silent else Kind.PAST
            job = Job(kind, gap.symbol, gap.record)
            fill = fills[job.key] = self._fills.get(job.key) or FillProgress(now)
            patience = self._patiences[gap.market]
            if now < max(fill.not_before, patience.pauses_until):
                continue
            if gap.is_silent or now < patience.until(fill) or self._pool.is_running(job):
                wanted.append(job)
            else:
                self._give_up(gap, "nothing came of it in time, as nothing else did")
        self._fills = fills
        return wanted

    def _begin_books(self, room: int) -> None:
        # A few at a time: the rows of a book wait until its snapshot comes.
        for symbol in tuple(self._to_begin):
            if room <= 0:
                return
            del self._to_begin[symbol]
            if self._handler.books[symbol].is_ready:  # else its snapshot comes anyway
                self._fetch_afresh(symbol, "a recording has begun", is_flawed=False)
                room -= 1

    def _fetch_afresh(self, symbol: str, why: str, *, is_flawed: bool) -> None:
        # Under the delivery lock, so that no row comes between the renewal and its report.
        self._handler.order_books.renew(symbol, is_flawed=is_flawed)
        # "resync" says that the book does not answer until the snapshot. With "renew" it goes on
        # answering, here and where it is rebuilt from the rows.
        event = "resync" if is_flawed else "renew"
        self._keeper.note(event, f"{symbol}: {why}", channel="level2")

    def _renew_flawed(self, before: dict[str, str]) -> dict[str, str]:
        # A flaw must be there at two checks: a book may be crossed for a moment within one match.
        found: dict[str, str] = {}
        for symbol, book in list(self._handler.books.items()):
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
        """Return whether to ask for a book's snapshot now; the book notes that it is asked for."""
        book = self._handler.books[symbol]
        with self._lock:
            if not book.wants_snapshot(self._clock.monotonic()):
                return False
            if book.awaits_late_deltas and any(
                supervisor.may_mend(symbol) for supervisor in self._supervisors
            ):
                # A successor may bring the missing deltas. A snapshot would replace them, and the
                # rows would be lost.
                return False
            book.snapshot_requested()
        return True

    def _subscribe_afresh(self, symbol: str) -> None:
        # On the pro feed a snapshot comes with a subscription, so a new one is made.
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
        except Exception as error:  # this book's guard: without it the book would wait for ever
            log.exception("the snapshot of %s met an unexpected error", symbol)
            what = f"unexpected {type(error).__name__}"
            self._snapshot_failed(symbol, self._pause_of(symbol), what)

    def _pause_of(self, symbol: str) -> float:
        # A snapshot that is refused for good, as of a paused contract, is asked for less and less
        # often.
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
        assert job.record is not None  # jobs of these kinds have one
        with self._lock:
            gap = self._handler.gap_filler.find(job.record, job.symbol)
        fill = self._fills.get(job.key)
        if gap is None or fill is None:
            return  # it was filled, or given up
        now = self._clock.monotonic()
        if now < max(fill.not_before, self._patiences[gap.market].pauses_until):
            return
        if gap.is_silent:
            self._note_question(fill, gap, now)
        try:
            fetched = self._fetch_past(gap)
        except KucoinResearchError as error:
            if not self._stopping.is_set():
                self._not_fetched(gap, fill, error)
            return
        now = self._clock.monotonic()
        self._patiences[gap.market].answered(now, is_past=True)
        fill.failing = None
        rows = self._keeper.take_in(
            lambda: self._handler.gap_filler.fill(gap, fetched, self._keeper.now_ns())
        )
        if not rows and not gap.is_silent:
            fill.not_before = now + _NEXT_PAGE

    @staticmethod
    def _note_question(fill: FillProgress, gap: FillableGap, now: float) -> None:
        """Ask about a silence less and less often, unless it turns out to be an outage."""
        goes_on = not fill.pause or fill.last_sequence != gap.last_sequence
        fill.pause = _FIRST_POLL if goes_on else min(2.0 * fill.pause, _LONGEST_POLL)
        fill.not_before = now + fill.pause
        fill.last_sequence = gap.last_sequence

    def _not_fetched(
        self, gap: FillableGap, fill: FillProgress, error: KucoinResearchError
    ) -> None:
        now = self._clock.monotonic()
        patience = self._patiences[gap.market]
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
            self._give_up(gap, str(error))

    def _give_up(self, gap: FillableGap, reason: str) -> None:
        detail = f"REST could not fill the outage: {reason}"
        self._keeper.take_in(
            lambda: self._handler.gap_filler.give_up(gap, detail, self._keeper.now_ns())
        )

    def _fetch_past(self, gap: FillableGap) -> list[Record]:
        rest = self._keeper.rest
        if gap.record is Trade:
            return [*rest.trades(gap.symbol, market=gap.market)]
        found: list[Record] = []
        for interval, opened in gap.last_opens.items():
            if interval is None:
                continue
            try:
                found += rest.candles(gap.symbol, interval, opened, None, market=gap.market)
            except ChannelNotOffered:  # streamed, but not kept: that interval stays unfilled
                log.info("REST has no %s candles of %s", interval, gap.symbol)
        return found
