"""A session's rows in the order in which they arrived, across channels, symbols and days.

Each file is sorted by ``local_timestamp``, so the files are merged chunk by chunk. One chunk of
each file is in memory. Rows before the earliest end of these chunks can be handed on, because no
file can still bring an earlier one. A session may therefore be larger than memory.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.errors import SessionBroken, UnknownSymbol, shown
from kucoin_research.foundation.arguments import texts
from kucoin_research.foundation.forking import cached_property
from kucoin_research.model.channels import Channel
from kucoin_research.model.records import Candle, Record, Status, local_timestamp_of
from kucoin_research.sessions.files.compression import compression_of, open_text
from kucoin_research.sessions.files.csv_codec import read_records, records_of
from kucoin_research.sessions.files.csv_lines import (
    LONGEST_RECORD,
    are_rows,
    end_of_lines,
    integer_of,
    last_line,
)
from kucoin_research.sessions.files.file_names import day_of, safe_name
from kucoin_research.sessions.lazy_rows import LazyRows
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.table import Table

__all__ = ["BATCH_ROWS", "Cursor", "Timeline"]

#: Rows of a batch, at most.
BATCH_ROWS = 8_192

_MEMORY = 16 << 20
_SMALLEST_CHUNK, _LARGEST_CHUNK = 1 << 8, 1 << 20
_PEEK = 1 << 13
_BISECTED = 1 << 16  # bytes; a closer search would cost more than reading them
_FIRST, _LAST = -(2**63), 2**63 - 1
_LOCAL = "local_timestamp"

_Wants = Callable[[Record], bool]
_Times = npt.NDArray[np.int64]


class Timeline:
    """All rows of a session, its ``status`` rows included, in exact order of arrival.

    Parameters
    ----------
    session
        As ``load`` returns it; several that were loaded together are one timeline.
    channels
        Read only these, as a recording names them, and the ``status`` rows that concern them.
    symbols
        Read only these; rows without a symbol stay.
    memory
        About the most bytes of text to hold; as records they take four times that.

    Raises
    ------
    UnknownChannel, UnknownSymbol
        If a channel or symbol was not recorded.

    Notes
    -----
    Rows with the same ``local_timestamp`` come in the order of ``Session.frame``; only files of
    other programs and overlapping recordings have them. Files of other programs are held in memory.
    No file stays open between two batches. May be used from any thread; each iterator of
    ``batches`` from one at a time.
    """

    def __init__(
        self,
        session: Session,
        *,
        channels: str | Iterable[str] | None = None,
        symbols: str | Iterable[str] | None = None,
        memory: int = _MEMORY,
    ) -> None:
        self.session = session
        self._choice = _Choice.of(session, channels, symbols)
        self._tables = [each for each in session.tables() if self._choice.may_hold(each)]
        width = len({(each.record, each.symbol, each.folder) for each in self._tables})
        chunk = min(max(memory // max(1, width), _SMALLEST_CHUNK), _LARGEST_CHUNK)
        self._files = [_file(table, chunk) for table in self._tables]

    @cached_property
    def start_ns(self) -> int | None:
        """Arrival of the first row, ns UTC; None without rows."""
        first = next(self.batches(), None)
        return None if first is None else local_timestamp_of(first[0])

    @cached_property
    def end_ns(self) -> int | None:
        """Arrival of the last row of the files, ns UTC; None without rows.

        A file that holds chosen and other rows counts as a whole. A compressed file is read through
        to find its last row.
        """
        lasts = [file.last_ns for file in self._files]
        return max((last for last in lasts if last is not None), default=None)

    @property
    def rows(self) -> int | None:
        """Number of rows; None if the chosen rows were never counted."""
        total = 0
        for table in self._tables:
            if table.lines is None or table.lines.rows is None or self._choice.picks_from(table):
                return None
            total += table.lines.rows
        return total

    def batches(self, since_ns: int | None = None) -> Iterator[list[Record]]:
        """Iterate over the rows in order, in lists of up to ``BATCH_ROWS``.

        Parameters
        ----------
        since_ns
            Start with the first row that arrived then or later, ns UTC.

        Raises
        ------
        SessionBroken
            While iterating, if a line cannot be read, or a file is not in order of arrival.
        """
        since = _FIRST if since_ns is None else since_ns
        for rows in _merge(self._cursors(since)):
            for start in range(0, len(rows), BATCH_ROWS):
                yield rows[start : start + BATCH_ROWS]

    def _cursors(self, since: int) -> list[_FileCursor]:
        found = []
        for number, (table, file) in enumerate(zip(self._tables, self._files, strict=True)):
            first = file.first_ns
            if first is None or file.is_before(since):
                continue
            wants = self._choice.wants if self._choice.picks_from(table) else None
            found.append(_FileCursor(number, first, file, since, wants))
        return found


class Cursor:
    """Reads a timeline once from its beginning, up to a time or a number of rows.

    Not thread-safe.

    Parameters
    ----------
    timeline
        The rows; one batch of them is held.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._batches = timeline.batches()
        self._batch: list[Record] = []
        self._at = 0

    def peek(self) -> int | None:
        """Return the arrival of the next row, ns UTC; None at the end.

        Raises
        ------
        SessionBroken
            If the row cannot be read.
        """
        while self._at == len(self._batch):
            batch = next(self._batches, None)
            if batch is None:
                return None
            self._batch, self._at = batch, 0
        return local_timestamp_of(self._batch[self._at])

    def take(self, until_ns: int | None, most: int) -> list[Record]:
        """Return the next rows: up to a time (ns UTC; None: any time), and at most ``most``.

        Call ``peek`` first, which reads on where the batch is used up. Fewer rows may be returned
        than are due: never more than the rest of the batch.
        """
        start, stop = self._at, min(self._at + most, len(self._batch))
        if until_ns is not None:
            stop = bisect_right(self._batch, until_ns, start, stop, key=local_timestamp_of)
        self._at = stop
        return self._batch[start:stop]

    def back(self, rows: int) -> None:
        """Put rows back: the last ones of those just taken."""
        self._at -= rows


# -- the choice of rows ----------------------------------------------------------------------------


class _Choice(NamedTuple):
    """Channels and symbols that are wanted; None stands for all."""

    channels: frozenset[Channel] | None
    symbols: frozenset[str] | None

    @classmethod
    def of(
        cls,
        session: Session,
        channels: str | Iterable[str] | None,
        symbols: str | Iterable[str] | None,
    ) -> _Choice:
        asked = None if channels is None else texts(channels, "channels")
        wanted = None if asked is None else frozenset(map(session.channel, asked))
        named = None if symbols is None else frozenset(texts(symbols, "symbols"))
        for symbol in named or ():
            if symbol not in session.symbols:
                raise UnknownSymbol(
                    f"symbol {shown(symbol)} was not recorded; there is: "
                    f"{', '.join(session.symbols)}"
                )
        return cls(wanted, named)

    def may_hold(self, table: Table) -> bool:
        """Whether a table can hold wanted rows."""
        covered = None if self.channels is None else {each.name for each in self.channels}
        if covered is not None and table.channel not in covered | {"status"}:
            return False
        if self.symbols is None or table.symbol is None:
            return True
        # Without a manifest the symbol comes from the file's name, and some file systems lose case.
        spelled = {each.casefold() for name in self.symbols for each in (name, safe_name(name))}
        return table.symbol.casefold() in spelled

    def picks_from(self, table: Table) -> bool:
        """Whether the rows of a table must be tested one by one."""
        if self.symbols is not None:
            return True
        if self.channels is None:
            return False
        return table.channel == "status" or any(
            channel.name == table.channel and channel.interval for channel in self.channels
        )

    def wants(self, row: Record) -> bool:
        # Called once per row: row[2] is the symbol.
        if self.symbols is not None and row[2] is not None and row[2] not in self.symbols:
            return False
        if self.channels is None:
            return True
        if isinstance(row, Status):
            about = None if row.channel is None else row.channel.partition(":")[0]
            only_status = all(channel.name == "status" for channel in self.channels)
            return about is None or only_status or any(about == c.name for c in self.channels)
        if isinstance(row, Candle):
            return any(
                channel.name == "candle" and channel.interval in (None, row.interval)
                for channel in self.channels
            )
        return True


# -- one file --------------------------------------------------------------------------------------


class _Frame:
    """The rows of another program's file, in memory."""

    def __init__(self, table: Table) -> None:
        self.name = table.origin
        self._table = table

    @cached_property
    def _rows(self) -> list[Record]:
        try:
            rows = self._table.scan().collect()
        except pl.exceptions.PolarsError as error:
            raise _unreadable(self.name, error) from error
        if rows[_LOCAL].null_count():
            raise SessionBroken(f"{self.name} has a row without {_LOCAL}, so it has no place")
        return records_of(self._table.record, rows.sort(_LOCAL, maintain_order=True))

    @property
    def first_ns(self) -> int | None:
        return local_timestamp_of(self._rows[0]) if self._rows else None

    @property
    def last_ns(self) -> int | None:
        return local_timestamp_of(self._rows[-1]) if self._rows else None

    def is_before(self, _: int) -> bool:
        return False

    def chunks(self, _: int) -> Iterator[list[Record]]:
        for start in range(0, len(self._rows), BATCH_ROWS):
            yield self._rows[start : start + BATCH_ROWS]


class _File:
    """A file of a recording, read in chunks of whole lines."""

    def __init__(self, table: Table, lines: LazyRows, chunk: int) -> None:
        self.name = table.origin
        self._table = table
        self._lines = lines
        self._chunk = chunk
        self._compression = compression_of(lines.path.name)
        if _LOCAL not in lines.header:
            raise SessionBroken(f"{self.name} has no {_LOCAL}, so its rows have no order")
        self._place = lines.header.index(_LOCAL)

    @cached_property
    def first_ns(self) -> int | None:
        """Arrival of the first row."""
        for text in self._texts(0, _PEEK):
            return self._local(text[: text.find(b"\n") + 1 or None])
        return None

    @cached_property
    def last_ns(self) -> int | None:
        """Arrival of the last row."""
        newest = None
        for text in self._texts(self._offset(_LAST), _LARGEST_CHUNK):
            newest = text
        return None if newest is None else self._local(last_line(newest))

    def is_before(self, since: int) -> bool:
        """Whether all rows arrived before a time, according to the day in the file's name."""
        return self._table.day is not None and since > 0 and self._table.day < day_of(since)

    def chunks(self, since: int) -> Iterator[list[Record]]:
        """Read the file in order, starting with the chunk that holds the first row from then on."""
        is_there = since == _FIRST
        for text in self._texts(self._offset(since), self._chunk):
            is_there = is_there or self._local(last_line(text)) >= since
            if is_there:
                yield self._records(text)

    def _records(self, text: bytes) -> list[Record]:
        if not are_rows(text, len(self._lines.header)):
            raise SessionBroken(f"{self.name} has lines of too few fields; verify names them")
        try:
            return read_records(self._table.record, text, self._lines.header)
        except pl.exceptions.PolarsError as error:
            raise _unreadable(self.name, error) from error

    def _local(self, line: bytes) -> int:
        if self._place > 1:  # a text before it may contain commas, so the line must be parsed
            (row,) = self._records(line)
            local = row.local_timestamp
        else:
            fields = line.split(b",", self._place + 1)
            local = integer_of(fields[self._place]) if self._place < len(fields) else None
        if local is None:
            raise SessionBroken(f"{self.name} has a row without {_LOCAL}; verify names it")
        return local

    def _texts(self, offset: int, chunk: int) -> Iterator[bytes]:
        """Read whole lines from an offset on, which is a line's start; the header is left out."""
        if self._lines.is_damaged:
            yield from self._lines.texts(chunk)
            return
        size = self._lines.size
        rest = b""
        is_header = offset == 0
        try:
            with open_text(self._lines.path, size, self._compression) as file:
                if offset:
                    file.seek(offset)
                while block := file.read(chunk):
                    rest += block
                    if is_header:
                        start = rest.find(b"\n") + 1
                        is_header, rest = not start, rest[start:]
                    end = 0 if is_header else end_of_lines(rest)
                    if end:
                        yield rest[:end]
                        rest = rest[end:]
                    if len(rest) > LONGEST_RECORD + chunk:
                        raise SessionBroken(
                            f"{self.name} has a quote that is never closed, or a line that is far "
                            "too long; verify names it"
                        )
        except (OSError, EOFError, zlib.error) as error:
            raise SessionBroken(f"{self.name} cannot be read: {error}") from error
        if rest and not is_header:
            yield rest  # a last line without a line break; `load` has found it whole

    # -- seeking ---------------------------------------------------------------------------------

    def _offset(self, since: int) -> int:
        """Find a line's start such that all rows before it arrived earlier; 0 is the header's."""
        if since == _FIRST or not self._can_bisect:
            return 0
        low, high = 0, self._lines.size
        with open_text(self._lines.path, high, None) as file:
            while high - low > _BISECTED:
                middle = (low + high) // 2
                file.seek(middle)
                head, _, line = file.read(_PEEK).partition(b"\n")
                # A line longer than this read counts as late. That is safe: reading starts earlier.
                is_early = line.count(b",") > self._place + 1 and self._local(line) < since
                if is_early:
                    low = middle + len(head) + 1
                else:
                    high = middle
        return low

    @cached_property
    def _can_bisect(self) -> bool:
        # A quoted text may contain line breaks, so a line's start could not be found amid the file.
        is_plain = self._compression is None and not self._lines.is_damaged
        if not is_plain or self._lines.size <= _BISECTED or self._place > 1:
            return False
        with open_text(self._lines.path, self._lines.size, None) as file:
            return all(b'"' not in block for block in iter(lambda: file.read(_LARGEST_CHUNK), b""))


def _file(table: Table, chunk: int) -> _File | _Frame:
    return _Frame(table) if table.lines is None else _File(table, table.lines, chunk)


def _unreadable(name: str, error: Exception) -> SessionBroken:
    first = str(error).partition("\n")[0]
    return SessionBroken(f"{name} has a line that cannot be read ({first}); verify names it")


# -- all of them -----------------------------------------------------------------------------------

_MOST_AT_ONCE = 200_000


class _FileCursor:
    """Reads a file chunk by chunk; holds the rows that were read and not handed on."""

    def __init__(
        self, number: int, first: int, file: _File | _Frame, since: int, wants: _Wants | None
    ) -> None:
        self.number = number
        self.first = first
        self.last = _FIRST  # arrival of the newest row read; the end of time once all are read
        self._name = file.name
        self._since = since
        self._wants = wants
        self._chunks = file.chunks(since)
        self._rows: list[Record] = []
        self._times: _Times = np.empty(0, dtype=np.int64)
        self._at = 0

    @property
    def is_over(self) -> bool:
        """Whether everything was read and handed on."""
        return self.last == _LAST and self._at == len(self._rows)

    def fill(self) -> None:
        """Read the next chunk."""
        # The rows held all arrived at one time: otherwise some would have been handed on.
        if len(self._rows) - self._at > _MOST_AT_ONCE:
            raise SessionBroken(
                f"{self._name} has more than {_MOST_AT_ONCE:,} rows of one arrival, which no "
                "recording has"
            )
        rows = next(self._chunks, None)
        if rows is None:
            self.last = _LAST
            return
        times = self._times_of(rows)
        self.last = int(times[-1])
        if times[0] < self._since:
            start = int(np.searchsorted(times, self._since))
            rows, times = rows[start:], times[start:]
        if self._wants is not None:
            kept = [self._wants(row) for row in rows]
            rows = [row for row, is_kept in zip(rows, kept, strict=True) if is_kept]
            times = times[np.array(kept, dtype=bool)]
        self._rows = self._rows[self._at :] + rows
        self._times = np.concatenate((self._times[self._at :], times))
        self._at = 0

    def _times_of(self, rows: Sequence[Record]) -> _Times:
        try:
            times = np.fromiter(map(local_timestamp_of, rows), dtype=np.int64, count=len(rows))
        except TypeError:
            raise SessionBroken(f"{self._name} has a row without {_LOCAL}") from None
        if times[0] < self.last or np.any(times[1:] < times[:-1]):
            raise SessionBroken(f"{self._name} is not in order of arrival; verify names the line")
        return times

    def take(self, horizon: int) -> tuple[_Times, list[Record]]:
        """Hand on the rows that arrived before a time; at the end of time, all that are left."""
        end = len(self._rows)
        if horizon != _LAST:
            end = self._at + int(np.searchsorted(self._times[self._at :], horizon))
        taken = self._times[self._at : end], self._rows[self._at : end]
        self._at = end
        return taken


def _merge(cursors: list[_FileCursor]) -> Iterator[list[Record]]:
    waiting = sorted(cursors, key=lambda cursor: cursor.first, reverse=True)
    active: list[_FileCursor] = []
    # The horizon is the earliest arrival up to which every active file has been read.
    horizon = _FIRST
    while active or waiting:
        for cursor in active:
            if cursor.last == horizon:
                cursor.fill()
        horizon = _horizon(active)
        while waiting and waiting[-1].first <= horizon:
            active.append(waiting.pop())
            active[-1].fill()
            horizon = _horizon(active)
        active.sort(key=lambda cursor: cursor.number)
        # Not the rows at the horizon: the next chunk may begin with that same time.
        rows = _in_order([cursor.take(horizon) for cursor in active])
        active = [cursor for cursor in active if not cursor.is_over]
        if rows:
            yield rows


def _horizon(active: Sequence[_FileCursor]) -> int:
    return min((cursor.last for cursor in active), default=_LAST)


def _in_order(taken: Sequence[tuple[_Times, list[Record]]]) -> list[Record]:
    parts = [(times, rows) for times, rows in taken if rows]
    if len(parts) <= 1:
        return parts[0][1] if parts else []
    order = np.argsort(np.concatenate([times for times, _ in parts]), kind="stable")
    pool = [row for _, rows in parts for row in rows]
    return list(map(pool.__getitem__, order.tolist()))
