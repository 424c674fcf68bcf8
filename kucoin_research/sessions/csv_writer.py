"""The files of a session while it is recorded: each appends whole lines, and stands for itself.

A file that cannot be written holds up no other: what is meant for it waits, up to a bound, and is
tried again each second. Before each append the file at the path is compared with the one that was
written, by device, inode and size, since others can rename, replace or cut it at any time.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kucoin_research.model.damage import Loss
from kucoin_research.model.records import Record, Status, columns_of
from kucoin_research.sessions.csv_file import CsvFile, FolderMoved, Intervention
from kucoin_research.sessions.file_names import DAY_NS, SUFFIXES, day_of, file_name

__all__ = ["CsvWriter"]

log = logging.getLogger(__name__)


_OPEN_FILES = 200  # a process may often have no more than 256 or 1,024


class CsvWriter:
    """All files of a session. For one thread; the counts may be read from any.

    Attributes
    ----------
    days
        The days of arrival that there are files of, counted from 1970.
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
        """Rows that wait for stuck files, and are to take no room from others.

        0 where all are stuck: then there are no others.
        """
        are_all = all(file.error is not None for file in self)
        return 0 if are_all else self.stuck_rows

    @property
    def stuck_rows(self) -> int:
        """Rows that wait for stuck files."""
        return sum(file.pending_rows for file in self if file.error is not None)

    @property
    def lost(self) -> int:
        """Rows that are lost, but for those that still wait."""
        return sum(file.lost for file in self)

    @property
    def losses(self) -> list[Loss]:
        """What is known to be missing from the files; what waits for stuck ones included."""
        return [loss for file in self for loss in file.losses]

    def file(self, record: type[Record], channel: str, symbol: str | None, day: int) -> CsvFile:
        """Find or make the file of a channel, symbol and day."""
        key = (record, symbol, day)
        file = self._by_key.get(key)
        if file is None:
            its_day = day_of(day * DAY_NS)
            name = file_name(symbol, channel, its_day, SUFFIXES[self._compression])
            # Folders that do not tell case apart would give two symbols one file: so do we.
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
        """Write what is due to every file that takes it; see ``take_failed``.

        Parameters
        ----------
        now
            Monotonic seconds.
        is_final
            Whether compressed text is no longer gathered.
        is_in_place
            Tells whether the folder is still where it was.
        obstacle
            Why none may be written now.
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
                return  # before anything else the folder is looked for
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
        """Notice what was removed, replaced or cut although no rows came for it.

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
        """Give the rows that no longer wait, written or lost, since it was last asked."""
        return sum(file.settle() for file in self)

    def take_news(self) -> list[Intervention]:
        """Give what was noticed and mended, once."""
        news, self._news = self._news, []
        return news

    def take_failed(self) -> dict[CsvFile, OSError]:
        """Give the files that have become stuck, once."""
        failed, self._failed = self._failed, {}
        return failed

    def take_resumed(self) -> list[CsvFile]:
        """Give the files that are written again, once."""
        resumed, self._resumed = self._resumed, []
        return resumed

    def take_unreported(self) -> dict[str, int]:
        """Give the rows that found no room, by file, since it was last asked."""
        return {file.path.name: rows for file in self if (rows := file.take_unreported())}

    def give_up(self) -> int:
        """Count what waits as lost; gives the rows."""
        return sum(file.give_up() for file in self)

    def sync(self) -> OSError | None:
        """Have everything on the disk itself; the first error is returned."""
        first: OSError | None = None
        for file in self:
            try:
                file.sync()
            except OSError as error:
                first = first or error
        return first

    def close(self) -> None:
        """Close what is open; may be called twice."""
        for file in self:
            file.close()

    @property
    def columns(self) -> dict[str, list[str]]:
        """The columns of each channel that there are files of."""
        return {file.channel: list(columns_of(file.record)) for file in self}

    def manifest(self) -> dict[str, dict[str, Any]]:
        """Lay the files out for ``session.json``."""
        return {
            file.path.name: file.manifest()
            for _, file in sorted(self._by_name.items())
            if file.exists
        }
