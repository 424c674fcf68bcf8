"""All order books of a stream: the rows of their messages, and the status rows about them."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence

from kucoin_research.errors import BookNotReady, shown
from kucoin_research.model.arrival_clock import ArrivalClock
from kucoin_research.model.integrity import Gap, Tally
from kucoin_research.model.orderbook import BookDelta, BookSnapshot, OrderBook
from kucoin_research.model.records import Level2, Record, local_timestamp_of, sequence_of
from kucoin_research.streaming.book_sync import BookGap, BookSync
from kucoin_research.streaming.status_rows import gap_row, received_row, released_row, status_row

__all__ = ["OrderBooks"]

# How often the sequences of a book that came without a row are reported. With many books less
# often, so that there are only a few such rows a minute.
_RECEIVED_NS = 60_000_000_000
_RECEIVED_NS_PER_BOOK = 3_000_000_000


class OrderBooks:
    """Keeps the books of a stream, and reports gaps, crossings and accounts of them.

    Parameters
    ----------
    clock
        Stamps the rows.
    not_read
        Spans of stamps (from, and up to but not with) of rows that were not read then. Rows that
        waited for a snapshot are added.
    seeds_itself
        Whether snapshots come in the stream, as on the pro feed.

    Attributes
    ----------
    books
        By symbol.
    seeking
        The symbols whose book looks for a snapshot; empty when all that have begun are in step.

    Notes
    -----
    Not thread-safe: the stream's delivery lock guards it. Methods that take ``local`` and ``rows``
    append rows stamped from ``local`` on, and return the next stamp.
    """

    def __init__(
        self,
        clock: ArrivalClock,
        not_read: list[tuple[int, int]],
        *,
        seeds_itself: bool,
    ) -> None:
        self.books: dict[str, BookSync] = {}
        self.seeking: set[str] = set()
        self._tallies: dict[str, Tally] = {}  # by symbol
        self._clock = clock
        self._not_read = not_read
        self._unsure: set[str] = set()  # books that may have become crossed, or are not any more
        self._accounted: dict[str, int] = {}  # stamp of the last account of each book
        self._seeds_itself = seeds_itself
        #: When the sequences without a row are reported next, ns UTC.
        self.report_at = 0

    # -- which books -------------------------------------------------------------------------------

    def add(self, symbol: str, tally: Tally) -> None:
        """Keep the book of a symbol, with its account; it begins."""
        self.books[symbol] = BookSync(symbol, seeds_itself=self._seeds_itself)
        self._tallies[symbol] = tally

    def leave(self, symbol: str, now_ns: int) -> list[Record]:
        """Let a book rest that is unsubscribed; returns its last rows, and what is known of it."""
        book, tally = self.books[symbol], self._tallies[symbol]
        rows: list[Record] = []
        local = self._clock.begin(now_ns)
        local = self._keep(book, book.leave(local), (), local, rows)
        self.seeking.discard(symbol)
        local = self.report_crossings(local, rows)
        local = self._report_account(book, local, rows)
        if tally.doubt is not None:
            rows.append(status_row(local, "unproven", symbol, "level2", tally.doubt))
            local += 1
        self._clock.end(local)
        return rows

    def come_back(self, symbol: str) -> None:
        """Have a book begin again whose level 2 is about to be subscribed to again."""
        book = self.books[symbol]
        book.come_back()
        _update(self._tallies[symbol], book)
        if book.seeds_itself:
            self.seeking.add(symbol)

    def stay_away(self, symbol: str, now_ns: int) -> list[Record]:
        """Let a book rest again that was to come back."""
        book, rows = self.books[symbol], list[Record]()
        local = self._clock.begin(now_ns)
        local = self._keep(book, book.stay_away(local), (), local, rows)
        self.seeking.discard(symbol)
        self._clock.end(self.report_crossings(local, rows))
        return rows

    # -- messages ----------------------------------------------------------------------------------

    def take_delta(
        self, delta: BookDelta, local: int, rows: list[Record], read_at: int | None = None
    ) -> int:
        """Take a delta; its rows are stamped ``read_at`` if that is given."""
        book = self.books.get(delta.symbol)
        if book is None or book.is_absent:
            return local
        released, gap = book.on_delta(delta, local if read_at is None else read_at)
        local = self._keep(book, released, () if gap is None else (gap,), local, rows)
        return self._report_late(book, local, rows) if book.late else local

    def take_seed(self, seed: BookSnapshot, local: int, rows: list[Record]) -> int:
        """Take a snapshot that came in the stream."""
        book = self.books.get(seed.symbol)
        if book is None or book.is_absent:
            return local
        released, gaps = book.on_seed(seed, local)
        return self._keep(book, released, gaps, local, rows)

    def is_known(self, seed: BookSnapshot) -> bool:
        """Return whether a book in step contains that snapshot already.

        So it is with the first message of a connection that takes over.
        """
        book = self.books.get(seed.symbol)
        return book is not None and book.is_ready and seed.sequence <= book.sequence

    def goes_behind(self, delta: BookDelta, read_at: int) -> bool:
        """Return whether the rows of a delta, stamped ``read_at``, go behind all rows so far."""
        book, tally = self.books.get(delta.symbol), self._tallies.get(delta.symbol)
        if book is None or tally is None or not book.is_settled:
            return False  # the rows of other messages may be released with it
        # An account says that everything up to there was delivered, so no row may precede it.
        return read_at > max(tally.last_local or 0, self._accounted.get(delta.symbol, 0))

    def _keep(
        self,
        book: BookSync,
        released: list[Level2],
        gaps: Sequence[BookGap],
        local: int,
        rows: list[Record],
    ) -> int:
        """Count released rows and append them, with the status rows that follow from them."""
        tally = self._tallies[book.symbol]
        heard_before = tally.last_local
        if released:
            _count(tally, released)
            rows.extend(released)
            local = max(local, local_timestamp_of(released[-1]) + 1)
        if book.released_since is not None:
            since, book.released_since = book.released_since, None
            if released:
                local = self._note_wait(tally, len(released), since, local, rows)
        if book.found:
            gaps = [*book.found, *gaps]
            book.found = []
        for received in book.received:
            rows.append(received_row(received, book.symbol, local))
            local += 1
        book.received.clear()
        for gap in gaps:
            rows.append(_add_gap(gap, tally, heard_before, local))
            local += 1
        _update(tally, book)
        self._unsure.add(book.symbol)
        if not book.is_settled:
            self.seeking.add(book.symbol)
        elif book.symbol in self.seeking or not tally.is_synced:
            self.seeking.discard(book.symbol)
            tally.is_synced = True
            at = book.sequence
            detail = f"in step at sequence {at}"
            rows.append(status_row(local, "book_ready", book.symbol, "level2", detail, at, at))
            local += 1
        return local

    def _note_wait(
        self, tally: Tally, count: int, since: int, local: int, rows: list[Record]
    ) -> int:
        insort(self._not_read, (local - count, local))
        report = released_row(tally, count, since, local)
        if report is None:
            return local
        rows.append(report)
        return local + 1

    def _report_late(self, book: BookSync, local: int, rows: list[Record]) -> int:
        """Take sequences that came late out of the gaps that were reported for them."""
        tally = self._tallies[book.symbol]
        for first, last in book.late:
            tally.mend(first, last)
            detail = f"{last - first + 1} sequences came late, out of order"
            rows.append(status_row(local, "filled", book.symbol, "level2", detail, first, last))
            local += 1
        book.late.clear()
        return local

    # -- snapshots that REST brings, or fails to ---------------------------------------------------

    def take_snapshot(self, snapshot: BookSnapshot, now_ns: int, now: float) -> list[Record]:
        """Pass a REST snapshot to its book.

        Parameters
        ----------
        snapshot
            From REST.
        now_ns
            Wall time, ns UTC, for the stamps.
        now
            Monotonic seconds.

        Returns
        -------
        list[Record]
            The rows released, with a status row when the book is in step again.
        """
        book = self.books[snapshot.symbol]
        local = self._clock.begin(now_ns)
        rows: list[Record] = []
        released, gaps = book.on_snapshot(snapshot, local, now)
        local = self._keep(book, released, gaps, local, rows)
        self._clock.end(self.report_crossings(local, rows))
        return rows

    def snapshot_failed(
        self, symbol: str, retry_after: float, now_ns: int, now: float
    ) -> list[Record]:
        """Have a book ask for its snapshot later; return the rows that were held for it.

        Parameters
        ----------
        symbol
            Of the book.
        retry_after
            Seconds until then.
        now_ns
            Wall time, ns UTC, for the stamps.
        now
            Monotonic seconds.
        """
        book = self.books[symbol]
        local = self._clock.begin(now_ns)
        rows: list[Record] = []
        released = book.snapshot_failed(now, retry_after, local)
        local = self._keep(book, released, (), local, rows)
        self._clock.end(self.report_crossings(local, rows))
        return rows

    def renew(self, symbol: str, *, is_flawed: bool) -> None:
        """Have a book want another snapshot; a flawed one does not answer until then."""
        book = self.books[symbol]
        book.renew(is_flawed=is_flawed)
        _update(self._tallies[symbol], book)
        self.seeking.add(symbol)

    # -- connections -------------------------------------------------------------------------------

    def subscribed(self, symbol: str, now: float, seed_patience: float) -> None:
        """Note that a book's subscription was acknowledged, at that monotonic time.

        On the pro feed its snapshot most likely comes within ``seed_patience`` seconds.
        """
        book = self.books[symbol]
        book.subscribed(now, seed_patience)
        if not book.is_settled:
            self.seeking.add(symbol)

    def restart(self, symbol: str, local: int, rows: list[Record]) -> int:
        """Start a book over whose connection was lost.

        A status row reports it if something may be missing unseen from now on.
        """
        book, tally = self.books[symbol], self._tallies[symbol]
        had_doubt = tally.doubt is not None
        book.restart()
        _update(tally, book)
        if book.seeds_itself:
            self.seeking.add(symbol)  # until the seed of the next connection
        if tally.doubt is not None and not had_doubt:
            rows.append(status_row(local, "unproven", symbol, "level2", tally.doubt))
            local += 1
        self._unsure.add(symbol)  # it answers no more, for another reason
        return local

    # -- accounts ----------------------------------------------------------------------------------

    def report_received(self, now_ns: int, local: int, rows: list[Record]) -> int:
        """Report the sequences without a row, so that rows alone prove that nothing is missing."""
        is_first = self.report_at == 0
        self.report_at = now_ns + max(_RECEIVED_NS, _RECEIVED_NS_PER_BOOK * len(self.books))
        for book in () if is_first else self.books.values():
            if book.has_unrowed:
                local = self._report_account(book, local, rows)
        return local

    def account(self, now_ns: int) -> list[Record]:
        """Report of each book which of its sequences so far came without a row."""
        rows: list[Record] = []
        local = self._clock.begin(now_ns)
        for book in self.books.values():
            local = self._report_account(book, local, rows)
        self._clock.end(local)
        return rows

    def _report_account(self, book: BookSync, local: int, rows: list[Record]) -> int:
        received = book.take_received()
        if received is not None:
            rows.append(received_row(received, book.symbol, local))
            self._accounted[book.symbol] = local
            local += 1
        return local

    def report_crossings(self, local: int, rows: list[Record]) -> int:
        """Report the books that have become crossed, or are not any more.

        Once a read: nobody has seen a crossing that comes and goes within one match.
        """
        if not self._unsure:
            return local
        for symbol in sorted(self._unsure):
            book, tally = self.books[symbol], self._tallies[symbol]
            is_crossed = book.is_crossed
            if is_crossed == tally.is_crossed:
                continue
            tally.cross(local, is_over=not is_crossed)
            event, detail = "crossed", "a bid is at the best ask or above it: not served meanwhile"
            if not is_crossed:
                event, detail = "uncrossed", f"after {tally.crossed[-1].seconds or 0.0:.3f} s"
            rows.append(status_row(local, event, symbol, "level2", detail))
            local += 1
        self._unsure.clear()
        return local

    @property
    def reported(self) -> list[tuple[Tally, Gap]]:
        """The gaps that were reported, but whose place is among rows that still wait."""
        return [
            (tally, gap)
            for symbol, tally in self._tallies.items()
            for gap in _gaps_behind(self.books[symbol].waits_from, tally)
        ]

    # -- readers, and the end ----------------------------------------------------------------------

    def copy(self, symbol: str) -> OrderBook:
        """Copy a book.

        Raises
        ------
        BookNotReady
            If the symbol's level 2 is not streamed, or is not in step.
        """
        book = self.books.get(symbol)
        if book is None:
            streamed = ", ".join(self.books) or "none"
            raise BookNotReady(
                f"no level2 channel of {shown(symbol)} is streamed (books here: {streamed}); "
                "add 'level2' to channels="
            )
        return book.copy()

    def to_ask_about(self, most: int) -> list[str]:
        """Name books in step whose last change may not have come.

        Those that have been silent for longest come first.
        """
        in_step = [
            (self._tallies[symbol].last_local or 0, symbol)
            for symbol, book in self.books.items()
            if book.is_settled and not book.seeds_itself
        ]
        return [symbol for _, symbol in sorted(in_step)[:most]]

    def note_known(self, symbol: str, sequence: int) -> None:
        """Note the sequence of the exchange's book; a book that is behind is in doubt."""
        book = self.books[symbol]
        book.note_known(sequence)
        _update(self._tallies[symbol], book)

    def finish(self, now_ns: int) -> list[Record]:
        """Release all held rows, at the end, with the last accounts and doubts."""
        rows: list[Record] = []
        for book in self.books.values():
            local = self._clock.begin(now_ns)
            local = self._keep(book, book.finish(local), (), local, rows)
            local = self.report_crossings(local, rows)
            local = self._report_account(book, local, rows)
            doubt = self._tallies[book.symbol].doubt
            if doubt is not None:
                rows.append(status_row(local, "unproven", book.symbol, "level2", doubt))
                local += 1
            self._clock.end(local)
        return rows


def _count(tally: Tally, rows: Sequence[Level2]) -> None:
    """Count rows of a book whose stamps are 1 ns apart.

    A snapshot has some 1,700 rows, and the delivery lock is held meanwhile. The rows between the
    first and the last change nothing in a tally but their number.
    """
    first, last = rows[0], rows[-1]
    tally.count(local_timestamp_of(first), sequence_of(first))
    if first is not last:
        tally.count(local_timestamp_of(last), sequence_of(last))
        tally.rows += len(rows) - 2


def _update(tally: Tally, book: BookSync) -> None:
    """Copy into the tally the facts that the book knows of itself."""
    tally.duplicates = book.duplicates
    tally.doubt = book.doubt


def _add_gap(gap: BookGap, tally: Tally, heard_before: int | None, local: int) -> Record:
    """Add a gap to the tally, and make its row."""
    began = local if heard_before is None else heard_before
    added = Gap(gap.cause, gap.first_missing, gap.last_missing, began, local)
    tally.gaps.append(added)
    return gap_row(added, tally, local)


def _gaps_behind(first: int | None, tally: Tally) -> Iterator[Gap]:
    """List a book's open gaps from a sequence on, within the newest numbering."""
    for gap in reversed(tally.gaps):
        if first is None or gap.cause == "rebase":
            return
        if gap.filled_by is None and gap.last_sequence is not None and gap.last_sequence >= first:
            yield gap
