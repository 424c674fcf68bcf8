"""All files of a session while it is recorded.

A file that cannot be written holds up no other one; see ``csv_file``.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kucoin_research.model.damage import Loss
from kucoin_research.model.records import Record, Status, columns_of
from kucoin_research.sessions.files.file_names import DAY_NS, SUFFIXES, day_of, file_name
from kucoin_research.sessions.writing.csv_file import CsvFile, FolderMoved, Intervention

__all__ = ["CsvWriter"]

log = logging.getLogger(__name__)


_OPEN_FILES = 200  # a process may often have no more than 256 or 1,024


class CsvWriter:
    """Makes and writes all files of a session. For one thread; any thread may read the counts.

    Attributes
    ----------
    days
        The days of arrival that have files, counted from 1970.
    """

    def __init__(self, folder: Path, compression: str | None) -> None:
        self._folder = folder
        self._compression = compression
        self._by_key: dict[tuple[type[Record], str | None, int], CsvFile] = {}
        self._by_name: dict[str, CsvFile] = {}
        self._open: OrderedDict[str, CsvFile] = OrderedDict()
        self._news: list[Intervention] = []
        self._failed: dict[CsvFile, OSError] = {}
        self._resumed: list[CsvFile] = []
        self.days: frozenset[int] = frozenset()

    def __iter__(self) -> Iterator[CsvFile]:
        return iter(tuple(self._by_name.values()))

    @property
    def rows(self) -> int:
        """Rows written."""
        return sum(file.rows for file in self)

    @property
    def size(self) -> int:
        """Bytes written."""
        return sum(file.size for file in self)

    @property
    def are_waiting(self) -> bool:
        """Whether there are rows to be written."""
        return any(file.pending_rows for file in self)

    @property
    def stuck(self) -> dict[str, OSError]:
        """The files that cannot be written now, by name, and why."""
        return {file.path.name: file.error for file in self if file.error is not None}

    @property
    def rows_apart(self) -> int:
        """Rows that wait for stuck files and take no room from other files.

        0 if all files are stuck: then there are no others.
        """
        are_all = all(file.error is not None for file in self)
        return 0 if are_all else self.stuck_rows

    @property
    def stuck_rows(self) -> int:
        """Rows that wait for stuck files."""
        return sum(file.pending_rows for file in self if file.error is not None)

    @property
    def lost(self) -> int:
        """Rows that are lost, without those that still wait."""
        return sum(file.lost for file in self)

    @property
    def losses(self) -> list[Loss]:
        """Rows known to be missing from the files, including those that wait for stuck ones."""
        return [loss for file in self for loss in file.losses]

    def file(self, record: type[Record], channel: str, symbol: str | None, day: int) -> CsvFile:
        """Find or make the file of a channel, symbol and day."""
        key = (record, symbol, day)
        file = self._by_key.get(key)
        if file is None:
            its_day = day_of(day * DAY_NS)
            name = file_name(symbol, channel, its_day, SUFFIXES[self._compression])
            # Where a folder ignores case, two symbols would share one file, so they share one
            # everywhere.
            file = self._by_name.get(name.casefold())
            if file is None:
                about = {"channel": channel, "symbol": symbol}
                if record is not Status:
                    about["day"] = its_day
                file = CsvFile(self._folder / name, record, self._compression, about)
                self._by_name[name.casefold()] = file
            self._by_key[key] = file
            self.days |= {day}
        return file

    def flush(
        self,
        now: float,
        *,
        is_final: bool,
        is_in_place: Callable[[], bool],
        obstacle: OSError | None = None,
    ) -> None:
        """Write the rows that are due, to every file that accepts them; see ``take_failed``.

        Parameters
        ----------
        now
            Monotonic seconds.
        is_final
            Whether compressed text is written at once rather than collected.
        is_in_place
            Returns whether the folder is still where it was.
        obstacle
            Why no file may be written now.
        """
        for name, file in list(self._by_name.items()):
            if not file.is_due(now, is_final=is_final):
                continue
            try:
                if obstacle is not None:
                    raise obstacle
                self._make_room(name, file)
                self._news += file.flush(is_in_place)
            except FolderMoved:
                return  # the caller must first find the folder again
            except OSError as error:
                self._fail(file, error, now)
            except Exception as error:  # the pump's guard, for each file: others must go on
                log.exception("%s met an unexpected error", file.path)
                self._fail(file, OSError(f"unexpected {type(error).__name__}: {error}"), now)
            else:
                if file.resume():
                    self._resumed.append(file)

    def _fail(self, file: CsvFile, error: OSError, now: float) -> None:
        if file.fail(error, now):
            self._failed[file] = error

    def _make_room(self, name: str, file: CsvFile) -> None:
        self._open[name] = file
        self._open.move_to_end(name)
        while len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)[1].close()

    def look(self, now: float, is_in_place: Callable[[], bool]) -> None:
        """Notice files that were removed, replaced or cut although no rows came for them.

        Raises
        ------
        FolderMoved
            If the folder is no longer there.
        """
        for file in self:
            try:
                self._news += file.look(is_in_place)
            except FolderMoved:
                raise
            except OSError as error:
                self._fail(file, error, now)
            else:
                if not file.pending_rows and file.resume():
                    self._resumed.append(file)

    def move_to(self, folder: Path) -> None:
        """Note that the folder has another name; the files are the same."""
        self._folder = folder
        for file in self:
            file.path = folder / file.path.name

    def settle(self) -> int:
        """Return the rows that stopped waiting, written or lost, since the last call."""
        return sum(file.settle() for file in self)

    def take_news(self) -> list[Intervention]:
        """Return the interventions that were noticed and repaired, once."""
        news, self._news = self._news, []
        return news

    def take_failed(self) -> dict[CsvFile, OSError]:
        """Return the files that have become stuck, once."""
        failed, self._failed = self._failed, {}
        return failed

    def take_resumed(self) -> list[CsvFile]:
        """Return the files that are written again, once."""
        resumed, self._resumed = self._resumed, []
        return resumed

    def take_unreported(self) -> dict[str, int]:
        """Return the rows that found no room, by file, since the last call."""
        return {file.path.name: rows for file in self if (rows := file.take_unreported())}

    def give_up(self) -> int:
        """Count all waiting rows as lost, and return their number."""
        return sum(file.give_up() for file in self)

    def sync(self) -> OSError | None:
        """Make sure that all bytes are on the disk itself; return the first error."""
        first: OSError | None = None
        for file in self:
            try:
                file.sync()
            except OSError as error:
                first = first or error
        return first

    def close(self) -> None:
        """Close the open files; may be called twice."""
        for file in self:
            file.close()

    @property
    def columns(self) -> dict[str, list[str]]:
        """The columns of each channel that has a file."""
        return {file.channel: list(columns_of(file.record)) for file in self}

    def manifest(self) -> dict[str, dict[str, Any]]:
        """Return the ``files`` of ``session.json``."""
        return {
            file.path.name: file.manifest()
            for _, file in sorted(self._by_name.items())
            if file.exists
        }
