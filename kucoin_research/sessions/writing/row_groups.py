"""Sorting recorded rows by the file that they go to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from kucoin_research.errors import shown
from kucoin_research.model.damage import Loss
from kucoin_research.model.records import CHANNEL_OF, Record, Status, local_timestamp_of, symbol_of
from kucoin_research.sessions.files.csv_codec import encode
from kucoin_research.sessions.files.file_names import DAY_NS
from kucoin_research.sessions.writing.csv_file import MOST_STUCK, CsvFile
from kucoin_research.sessions.writing.csv_writer import CsvWriter

__all__ = ["STATUS_ROOM", "RowSorter", "arrival_of", "span_of"]

_FORMATTED_ROWS = 4_096  # at a time: measurements show that more do not fit the processor's cache
STATUS_ROOM = 1_000
_LAST_EVENT = "stopped"


def arrival_of(row: Record) -> int:
    """Return when a row arrived; 0 if it does not say, in which case it is refused later."""
    try:
        local: Any = local_timestamp_of(row)
    except (TypeError, IndexError):
        return 0
    return local if isinstance(local, int) and -(2**63) <= local < 2**63 else 0


def span_of(rows: Sequence[Record]) -> tuple[int, int]:
    """Return the first and last known arrival of rows, ns UTC."""
    first, last = arrival_of(rows[0]), arrival_of(rows[-1])
    if first and last:
        return first, last
    known = [local for local in map(arrival_of, rows) if local] or [0]
    return known[0], known[-1]


_Groups = dict[tuple[type[Record], str | None, int], list[Record]]


class RowSorter:
    """Sorts rows by file, formats them, and adds them to the files.

    Parameters
    ----------
    files
        The session's files.
    bound
        The most rows that wait for all stuck files together.
    refuse
        Called with the rows that cannot be written.
    """

    def __init__(self, files: CsvWriter, bound: int, refuse: Callable[[Loss], object]) -> None:
        self._files = files
        self._bound = bound
        self._refuse = refuse
        self._room_for_stuck = bound

    def sort(self, batches: Sequence[Sequence[Record]]) -> bool:
        """Pass rows to their files; return whether the stream's last one is among them."""
        groups: _Groups = {}
        for rows in batches:
            try:
                if not _add_alike(groups, rows):
                    _add_each(groups, rows)
            except (TypeError, IndexError):
                astray = len(rows) - _add_sound(groups, rows)
                if astray:
                    reason = "a row has no local_timestamp"
                    self._refuse(Loss(*span_of(rows), astray, reason=reason))
        self._room_for_stuck = self._bound - self._files.stuck_rows
        for file, found in self._by_file(groups).items():
            # Rows of several symbols share `status`, so they are put in order again.
            rows = found[0] if len(found) == 1 else sorted(chain(*found), key=local_timestamp_of)
            self._format(file, rows)
        return _has_last(groups)

    def _by_file(self, groups: _Groups) -> dict[CsvFile, list[list[Record]]]:
        by_file: dict[CsvFile, list[list[Record]]] = {}
        for (record, symbol, day), group in groups.items():
            channel = CHANNEL_OF.get(record)
            if channel is None or not isinstance(symbol, str | None):
                reason = f"{record.__name__} of {shown(symbol)} is no record"
                self._refuse(Loss(*span_of(group), len(group), reason=reason))
                continue
            file = self._files.file(record, channel, symbol, day)
            by_file.setdefault(file, []).append(group)
        return by_file

    def _format(self, file: CsvFile, rows: list[Record]) -> None:
        if file.error is not None:
            rows = self._cut_to_room(file, rows)
        for start in range(0, len(rows), _FORMATTED_ROWS):
            some = rows[start : start + _FORMATTED_ROWS]
            encoded = encode(file.record, some)
            if encoded.refused:
                self._refuse(file.loss(encoded.refused, span_of(some), encoded.reason))
            if encoded.rows:
                file.add(encoded.lines, encoded.rows, span_of(some))

    def _cut_to_room(self, file: CsvFile, rows: list[Record]) -> list[Record]:
        """Drop the rows that a stuck file has no room for, so that the others keep theirs."""
        room = min(MOST_STUCK - file.pending_rows, self._room_for_stuck)
        if file.record is Status:
            room += STATUS_ROOM
        room = max(0, room)
        if len(rows) > room:
            lost = rows[room:]
            file.drop(len(lost), span_of(lost))
        self._room_for_stuck -= min(len(rows), room)
        return rows[:room]


def _has_last(groups: _Groups) -> bool:
    return any(
        isinstance(row, Status) and row.event == _LAST_EVENT
        for group in groups.values()
        if isinstance(group[0], Status)
        for row in group
    )


def _add_alike(groups: _Groups, rows: Sequence[Record]) -> bool:
    # Most reads bring one channel of one symbol, on one day.
    kinds, symbols = set(map(type, rows)), set(map(symbol_of, rows))
    if len(kinds) > 1 or len(symbols) > 1:
        return False
    day = min(map(local_timestamp_of, rows)) // DAY_NS
    if max(map(local_timestamp_of, rows)) // DAY_NS != day:
        return False
    groups.setdefault((kinds.pop(), symbols.pop(), day), []).extend(rows)
    return True


def _add_each(groups: _Groups, rows: Sequence[Record]) -> None:
    found: _Groups = {}
    for row in rows:  # row[2] is the symbol
        found.setdefault((row.__class__, row[2], local_timestamp_of(row) // DAY_NS), []).append(row)
    for key, group in found.items():
        groups.setdefault(key, []).extend(group)


def _add_sound(groups: _Groups, rows: Sequence[Record]) -> int:
    added = 0
    for row in rows:
        try:
            _add_each(groups, (row,))
        except (TypeError, IndexError):
            continue
        added += 1
    return added
