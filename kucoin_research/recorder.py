"""Recording: what a stream delivers goes to CSV files, on a thread of its own.

The feed only puts its rows into a queue. The recorder's thread empties it four times a second,
sorts rows by file, formats them and appends whole lines. A file is never left with half a line: a
write that fails is cut back at once or, where even that fails, before the next one. Rows that
cannot be written are kept, up to the bound of the queue, and tried again each second.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import hashlib
import html
import logging
import os
import shutil
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from kucoin_research import clocks
from kucoin_research.errors import InvalidInput
from kucoin_research.instruments import Instrument
from kucoin_research.interrupts import arrived, hold, join
from kucoin_research.manifest import (
    DAY_NS,
    FORMAT,
    SUFFIXES,
    FolderLock,
    day_of,
    file_name,
    folder_name,
    instruments_to,
    iso,
    package_version,
    write_manifest,
)
from kucoin_research.packing import pack, unpack
from kucoin_research.records import CHANNELS, Record, Status
from kucoin_research.rowcsv import encode, header_of

__all__ = [
    "COMPRESSIONS",
    "FSYNC_POLICIES",
    "QUEUE_ROWS",
    "Recorder",
    "check_options",
    "recorder_for",
]

log = logging.getLogger(__name__)

COMPRESSIONS = (None, "zstd", "gzip")
FSYNC_POLICIES = ("never", "rotate", "second")
#: Rows that wait at most; with the bytes of a ticker some 300 MB.
QUEUE_ROWS = 1_000_000

_CYCLE = 0.25
_RETRY = 1.0
_MANIFEST_INTERVAL = 2.0
# Compressed text is gathered, as small pieces compress badly; "flushed each second" with reserve.
_GATHER_SECONDS = 0.4
_GATHER_BYTES = 1 << 20
_SYNC_INTERVAL = 1.0
_OPEN_FILES = 200  # a process may often have no more than 256 or 1,024
_RATE_WINDOW = 5.0
_DRAINED_ROWS = 65_536  # at a time, so that little is held as text
_FORMATTED_ROWS = 4_096  # at a time: measured, more do not fit the processor's cache
_TELL_INTERVAL = 10.0
_STATUS_ROOM = 1_000
_WRITE = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
_NAMES = {record: name for name, record in CHANNELS.items()}
_LAST_EVENT = "stopped"

OnTrouble = Callable[[str, str], object]


class _Drop:
    """Rows that were lost in a row, and when (ns UTC)."""

    __slots__ = ("began", "ended", "rows")

    def __init__(self, began: int) -> None:
        self.began = self.ended = began
        self.rows = 0


def _local_of(row: Record) -> int:
    local = row[1]
    return local if isinstance(local, int) else 0


class Recorder:
    """Writes rows to a new session folder until it is closed.

    Parameters
    ----------
    root
        Where sessions live. The folder is named by the start in UTC and the symbols; if there is
        one of that name, a number is added, so that nothing is ever written over.
    symbols, channels
        What is recorded, for the name and ``session.json``.
    venue, market, instruments
        Likewise for ``session.json``.
    compression
        None, ``"zstd"`` or ``"gzip"``: one frame or member for each flush.
    fsync
        ``"never"`` leaves it to the system when bytes reach the disk (a crash of the process loses
        nothing, one of the machine may cost its last seconds), ``"rotate"`` makes sure of each
        day's files and of the end, ``"second"`` of everything, each second.
    queue_rows
        Rows kept in memory at most, while they cannot be written. Further ones are dropped, counted
        and told.
    on_trouble
        Called with an event's name and one sentence, on the recorder's thread:
        ``recording_failed``, ``recording_resumed``, ``recording_dropped``, ``recording_refused``.
    on_cycle
        Called four times a second, on the recorder's thread.
    start_ns
        Now when left out, ns UTC.
    ends_itself
        Whether the ``stopped`` row that a stream's rows end with ends the recording.
    clock
        The time it lives in; the machine's own when left out.

    Raises
    ------
    InvalidInput
        If compression, policy or bound are none of these.
    OSError
        If the folder cannot be made.

    Notes
    -----
    ``take`` is for one thread at a time, in order, as under a stream's delivery lock; everything
    else may be called from any thread. A ``stopped`` row of the stream ends the recording.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "data/sessions",
        *,
        symbols: Sequence[str] = (),
        channels: Sequence[str] = (),
        venue: Mapping[str, str | None] | str | None = None,
        market: str | None = None,
        instruments: Iterable[Instrument] = (),
        compression: str | None = None,
        fsync: str = "never",
        queue_rows: int = QUEUE_ROWS,
        on_trouble: OnTrouble | None = None,
        on_cycle: Callable[[], object] | None = None,
        start_ns: int | None = None,
        ends_itself: bool = True,
        clock: clocks.Clock | None = None,
    ) -> None:
        self._clock = clocks.current() if clock is None else clock
        self._ends_itself = ends_itself
        self._fsync = check_options(compression, fsync, queue_rows)
        self._start_ns = self._clock.wall_ns() if start_ns is None else start_ns
        self._about = {
            "venue": venue,
            "market": market,
            "symbols": list(symbols),
            "channels": list(channels),
            "instruments": instruments_to(instruments),
        }
        self._compression = compression
        self._bound = queue_rows
        self._on_trouble = on_trouble
        self._on_cycle = on_cycle
        self._path = _new_folder(Path(root), folder_name(self._start_ns, symbols))
        self._lock: FolderLock | None = FolderLock(self._path)
        self._files = _Files(self._path, compression)
        self._queue: deque[Sequence[Record]] = deque()
        self._queue_lock = threading.Lock()  # guards the queue, _waiting and what is dropped
        self._waiting = 0
        self._drops: list[_Drop] = []
        self._is_dropping = False
        self._untold = 0
        self._refused = 0
        self._is_last = False
        self._error: OSError | None = None
        self._samples: deque[tuple[float, int]] = deque(maxlen=64)
        self._next_manifest = self._next_sync = self._next_telling = 0.0
        self._closing = self._clock.event()
        self._closed = self._clock.event()
        self._deadline: float | None = None
        self._before_close: list[Callable[[], object]] = []
        self._pid = os.getpid()
        try:
            write_manifest(self._path, self._manifest("recording", None))
        except OSError:
            self._lock.release()
            raise
        self._thread = self._clock.thread(self._run, f"kucoin-recorder-{self._path.name}")
        self._thread.start()
        atexit.register(self.close)

    # -- the feed's side -------------------------------------------------------------------------

    def take(self, rows: Sequence[Record]) -> None:
        """Put rows into the queue: never blocks, never raises.

        Parameters
        ----------
        rows
            Of all channels, in order; must not change afterwards.
        """
        if not rows:
            return
        with self._queue_lock:
            room = self._bound - self._waiting
            if rows[0].__class__ is Status:
                room += _STATUS_ROOM  # so that the recording holds what befell it
            if self._closed.is_set():
                room = 0
            if len(rows) > room:
                rows = self._drop(rows, max(0, room))
            else:
                self._is_dropping = False
            self._waiting += len(rows)
            self._queue.append(rows)

    def _drop(self, rows: Sequence[Record], room: int) -> Sequence[Record]:
        lost = rows[room:]
        if not self._is_dropping:
            self._is_dropping = True
            self._drops.append(_Drop(_local_of(lost[0])))
        drop = self._drops[-1]
        drop.rows += len(lost)
        drop.ended = _local_of(lost[-1])
        self._untold += len(lost)
        return rows[:room]

    # -- readers ---------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The session's folder."""
        return self._path

    @property
    def rows(self) -> int:
        """Rows written."""
        return self._files.rows

    @property
    def bytes(self) -> int:
        """Bytes written, as they are on the disk."""
        return self._files.size

    @property
    def waiting(self) -> int:
        """Rows in memory, to be written."""
        return self._waiting

    @property
    def room(self) -> int:
        """How many rows may wait besides those in memory."""
        return max(0, self._bound - self._waiting)

    @property
    def dropped(self) -> int:
        """Rows that found no room in the queue and are lost."""
        return sum(drop.rows for drop in tuple(self._drops))

    @property
    def refused(self) -> int:
        """Rows that cannot be written, such as those with a number that is not finite."""
        return self._refused

    @property
    def rate(self) -> float:
        """Rows written per second, over the last five seconds."""
        samples = list(self._samples)
        now = self._clock.monotonic()
        recent = [each for each in samples if each[0] >= now - _RATE_WINDOW]
        if not recent:
            return 0.0
        return max(0, self.rows - recent[0][1]) / max(now - recent[0][0], _CYCLE)

    @property
    def error(self) -> OSError | None:
        """What keeps rows from being written now; None when all is well."""
        return self._error

    @property
    def free(self) -> int | None:
        """Bytes free on the disk; None where the system does not say."""
        try:
            return shutil.disk_usage(self._path).free
        except OSError:
            return None

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will be written."""
        return self._closed.is_set()

    def __str__(self) -> str:
        free = self.free
        told = [
            f"{self.rows:,} rows",
            _size(self.bytes),
            f"{self.rate:,.0f} rows/s",
            *([f"{self.dropped:,} dropped"] if self._drops else []),
            *([f"{self._refused:,} refused"] if self._refused else []),
            *([f"{_size(free)} free"] if free is not None else []),
            *([str(self._error)] if self._error is not None else []),
        ]
        return " · ".join(told)

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "recording"
        return f"<Recorder {state} {self._path}: {self}>"

    def _repr_html_(self) -> str:
        state = "closed" if self.is_closed else "recording"
        return (
            f"<div><b>{html.escape(self._path.name)}</b> ({state})<br>{html.escape(str(self))}"
            f"<br><small>{html.escape(str(self._path))}</small></div>"
        )

    # -- the end ---------------------------------------------------------------------------------

    def before_close(self, action: Callable[[], object]) -> None:
        """Have something called when closing begins, such as the detaching from a stream."""
        self._before_close.append(action)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the recording has ended; False when the time passed first."""
        return self._closed.wait(timeout)

    @hold(passes_on=True)
    def close(self, timeout: float = 10.0) -> bool:
        """Write what waits, and the final ``session.json``; may be called twice.

        Not for a thread that holds the stream's delivery lock: what has to be told needs it.

        Parameters
        ----------
        timeout
            Seconds. While the disk takes nothing, it is tried each second until then.

        Returns
        -------
        bool
            Whether everything is on the disk. If not, ``error`` says why, the rows are lost, and
            ``session.json`` goes on saying ``recording``.
        """
        if self._pid != os.getpid():  # a forked child has neither the thread nor the duty
            return False
        seen = arrived()
        if not self._closing.is_set():
            self._detach()
            self._deadline = self._clock.monotonic() + timeout
            self._closing.set()
        atexit.unregister(self.close)
        if self._thread is not threading.current_thread():
            join([self._thread], timeout + _RETRY, seen=seen, clock=self._clock)
        return self._closed.is_set() and self._error is None

    def _detach(self) -> None:
        while self._before_close:
            self._before_close.pop()()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- the recorder's thread -------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._is_over():
                self._closing.wait(self._pause())
                try:
                    self._cycle()
                except Exception as error:  # the pump's guard: recording must go on
                    log.exception("the recorder of %s met an unexpected error", self._path)
                    self._fail(OSError(f"unexpected {type(error).__name__}: {error}"))
            self._finish()
        finally:
            self._files.close()
            if self._lock is not None:
                self._lock.release()
            self._closed.set()

    def _pause(self) -> float:
        if self._error is None:
            return 0.0 if self._queue else _CYCLE
        # While closing, the event is set and does not pause: then the deadline does.
        if self._closing.is_set():
            self._closed.wait(min(_RETRY, max(0.0, self._seconds_left())))
        return _RETRY

    def _seconds_left(self) -> float:
        return 0.0 if self._deadline is None else self._deadline - self._clock.monotonic()

    def _is_over(self) -> bool:
        if not self._is_ending:
            return False
        is_empty = not self._waiting and not self._files.are_waiting
        is_late = self._closing.is_set() and self._seconds_left() <= 0
        return is_empty or (is_late and self._error is not None)

    @property
    def _is_ending(self) -> bool:
        return self._closing.is_set() or self._is_last

    def _cycle(self) -> None:
        now = self._clock.monotonic()
        self._samples.append((now, self.rows))
        if not self._files.are_stuck:
            batches = self._drain()
            try:
                self._sort(batches)
            except Exception:
                # Formatting is our own work: if it fails, these rows cannot be written ever.
                self._refuse(sum(map(len, batches)), "they could not be formatted")
                raise
        error = self._files.flush(now, is_final=self._is_ending)
        with self._queue_lock:
            self._waiting -= self._files.settle()
        if error is None and now >= self._next_manifest:
            self._next_manifest = now + _MANIFEST_INTERVAL
            error = self._save("recording", None)
        if error is None and self._fsync == "second" and now >= self._next_sync:
            self._next_sync = now + _SYNC_INTERVAL
            error = self._files.sync()
        self._judge(error)
        self._tell_lost()
        if self._on_cycle is not None:
            self._guarded(self._on_cycle)

    def _drain(self) -> list[Sequence[Record]]:
        batches: list[Sequence[Record]] = []
        rows = 0
        while self._queue and rows < _DRAINED_ROWS:
            batches.append(self._queue.popleft())
            rows += len(batches[-1])
        return batches

    def _sort(self, batches: list[Sequence[Record]]) -> None:
        groups: _Groups = {}
        astray = 0
        for rows in batches:
            try:
                if not _add_alike(groups, rows):
                    _add_each(groups, rows)
            except (TypeError, IndexError):
                astray += len(rows) - _add_sound(groups, rows)
        if astray:
            self._refuse(astray, "a row has no local_timestamp")
        days = self._files.days
        for file, found in self._by_file(groups).items():
            # Rows of several symbols share `status`: there they are put in order again.
            rows = found[0] if len(found) == 1 else sorted(chain(*found), key=_times_of)
            self._format(file, rows)
        if self._fsync == "rotate" and days and self._files.days - days:
            self._judge(self._files.sync())  # a new day has begun: the files before are complete
        self._is_last = self._is_last or (self._ends_itself and _has_last(groups))

    def _by_file(self, groups: _Groups) -> dict[_File, list[list[Record]]]:
        by_file: dict[_File, list[list[Record]]] = {}
        for (record, symbol, day), group in groups.items():
            channel = _NAMES.get(record)
            if channel is None or not isinstance(symbol, str | None):
                self._refuse(len(group), f"{record.__name__} of {symbol!r:.40} is no record")
                continue
            file = self._files.file(record, channel, symbol, day)
            by_file.setdefault(file, []).append(group)
        return by_file

    def _format(self, file: _File, rows: list[Record]) -> None:
        for start in range(0, len(rows), _FORMATTED_ROWS):
            encoded = encode(file.record, rows[start : start + _FORMATTED_ROWS])
            if encoded.refused:
                self._refuse(encoded.refused, encoded.reason)
            if encoded.rows:
                file.add(encoded.lines, encoded.rows)

    def _refuse(self, rows: int, reason: str) -> None:
        with self._queue_lock:
            self._waiting -= rows
        self._refused += rows
        self._tell("recording_refused", f"{rows:,} rows are left out of the recording: {reason}")

    def _judge(self, error: OSError | None) -> None:
        if error is not None:
            self._fail(error)
            return
        for told in self._files.take_news():
            self._tell("recording_failed", told)
        if self._error is not None:
            self._error = None
            self._tell("recording_resumed", f"rows are written to {self._path} again")

    def _fail(self, error: OSError) -> None:
        is_new = self._error is None or self._error.errno != error.errno
        self._error = error
        if is_new:
            log.warning("recording to %s failed: %s", self._path, error)
            why = error.strerror or str(error)
            self._tell(
                "recording_failed",
                f"cannot write to {self._path}: {why}; up to {self._bound:,} rows are kept and "
                "tried again each second",
            )

    def _tell_lost(self) -> None:
        now = self._clock.monotonic()
        if self._untold and (not self._is_dropping or now >= self._next_telling):
            self._next_telling = now + _TELL_INTERVAL
            with self._queue_lock:
                lost, self._untold = self._untold, 0
            self._tell(
                "recording_dropped",
                f"{lost:,} rows are not in the recording: more than {self._bound:,} had to wait",
            )

    def _tell(self, event: str, detail: str) -> None:
        if self._on_trouble is not None:
            on_trouble = self._on_trouble
            self._guarded(lambda: on_trouble(event, detail))

    def _guarded(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception:  # the sink guard: what others do must not end the recording
            log.exception("a callback of the recorder of %s raised", self._path)

    def _finish(self) -> None:
        self._detach()
        if self._files.are_waiting or self._waiting:
            log.error("%d rows of %s could not be written", self._waiting, self._path)
            self._tell(
                "recording_failed",
                f"{self._waiting:,} rows could not be written to {self._path} and are lost",
            )
            return
        self._tell_lost()
        if self._fsync != "never":
            self._judge(self._files.sync())
        while (error := self._save("closed", self._clock.wall_ns())) is not None:
            self._fail(error)
            if self._closing.is_set() and self._seconds_left() <= 0:
                return
            self._closed.wait(_RETRY)
        self._judge(None)

    def _save(self, state: str, end_ns: int | None) -> OSError | None:
        try:
            if not self._path.is_dir():
                self._restore_folder()
            self._files.notice_removed()
            write_manifest(self._path, self._manifest(state, end_ns))
        except OSError as error:
            return error
        return None

    def _restore_folder(self) -> None:
        self._path.mkdir(parents=True, exist_ok=True)
        if self._lock is not None:
            self._lock.release()
        self._lock = FolderLock(self._path)

    def _manifest(self, state: str, end_ns: int | None) -> dict[str, Any]:
        with self._queue_lock:
            drops = [
                {"began": iso(drop.began), "ended": iso(drop.ended), "rows": drop.rows}
                for drop in self._drops
            ]
        return {
            "format": FORMAT,
            "package": package_version(),
            **self._about,
            "start": iso(self._start_ns),
            "end": None if end_ns is None else iso(end_ns),
            "state": state,
            "compression": self._compression,
            "rows": self._files.rows,
            "refused": self._refused,
            "dropped": drops,
            "files": self._files.manifest(),
        }


class Recordable(Protocol):
    """What a recorder needs of a stream."""

    @property
    def subscriptions(self) -> Sequence[Any]:
        """What is streamed: each with ``symbol``, ``channel`` and ``market``."""

    @property
    def origin(self) -> Mapping[str, str | None] | str | None:
        """Where the data comes from, for ``session.json``."""

    def note(self, event: str, detail: str) -> None:
        """Put a status row into the flow."""


def recorder_for(
    stream: Recordable, root: str | os.PathLike[str] = "data/sessions", **options: Any
) -> Recorder:
    """Make a recorder that knows what a stream is, but is not given its rows yet.

    Parameters
    ----------
    stream
        What befalls the recorder is told in its ``status`` channel.
    root, **options
        See ``Recorder``.

    Raises
    ------
    InvalidInput
        If an option means nothing.
    OSError
        If the folder cannot be made.
    """
    subscriptions = stream.subscriptions
    markets = dict.fromkeys(str(each.market) for each in subscriptions)
    return Recorder(
        root,
        symbols=list(dict.fromkeys(each.symbol for each in subscriptions)),
        channels=list(dict.fromkeys(str(each.channel) for each in subscriptions)),
        venue=stream.origin,
        market="+".join(markets),
        on_trouble=stream.note,
        **options,
    )


_Groups = dict[tuple[type[Record], str | None, int], list[Record]]
_times_of: Callable[[Record], Any] = itemgetter(1)
_symbol_of: Callable[[Record], Any] = itemgetter(2)


def _has_last(groups: _Groups) -> bool:
    return any(
        isinstance(row, Status) and row.event == _LAST_EVENT
        for group in groups.values()
        if isinstance(group[0], Status)
        for row in group
    )


def _add_alike(groups: _Groups, rows: Sequence[Record]) -> bool:
    # Most reads bring one channel of one symbol, and no midnight.
    kinds, symbols = set(map(type, rows)), set(map(_symbol_of, rows))
    if len(kinds) > 1 or len(symbols) > 1:
        return False
    day = min(map(_times_of, rows)) // DAY_NS
    if max(map(_times_of, rows)) // DAY_NS != day:
        return False
    groups.setdefault((kinds.pop(), symbols.pop(), day), []).extend(rows)
    return True


def _add_each(groups: _Groups, rows: Sequence[Record]) -> None:
    found: _Groups = {}
    for row in rows:
        found.setdefault((row.__class__, row[2], _times_of(row) // DAY_NS), []).append(row)
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


class _Files:
    """The files of a session, each with what waits to be written to it."""

    def __init__(self, folder: Path, compression: str | None) -> None:
        self._folder = folder
        self._compression = compression
        self._by_key: dict[tuple[type[Record], str | None, int], _File] = {}
        self._by_name: dict[str, _File] = {}
        self._open: OrderedDict[str, _File] = OrderedDict()
        self._news: list[str] = []
        self.days: frozenset[int] = frozenset()
        self.are_stuck = False

    @property
    def rows(self) -> int:
        return sum(file.rows for file in tuple(self._by_name.values()))

    @property
    def size(self) -> int:
        return sum(file.size for file in tuple(self._by_name.values()))

    @property
    def are_waiting(self) -> bool:
        return any(file.pending_rows for file in self._by_name.values())

    def file(self, record: type[Record], channel: str, symbol: str | None, day: int) -> _File:
        key = (record, symbol, day)
        file = self._by_key.get(key)
        if file is None:
            its_day = day_of(day * DAY_NS)
            name = file_name(symbol, channel, its_day, SUFFIXES[self._compression])
            # Folders that do not tell case apart would give two symbols one file: so do we.
            file = self._by_name.get(name.casefold())
            if file is None:
                file = _File(self._folder / name, record, self._compression)
                file.about = {"channel": channel, "symbol": symbol}
                if record is not Status:
                    file.about["day"] = its_day
                self._by_name[name.casefold()] = file
            self._by_key[key] = file
            self.days |= {day}
        return file

    def flush(self, now: float, *, is_final: bool) -> OSError | None:
        """Write what is due, to every file that takes it; the first error is returned."""
        first: OSError | None = None
        for name, file in list(self._by_name.items()):
            if not file.is_due(now, is_final=is_final):
                continue
            try:
                self._make_room(name, file)
                told = file.flush()
            except OSError as error:
                first = first or error
                continue
            if told:
                self._news.append(told)
        self.are_stuck = first is not None
        return first

    def _make_room(self, name: str, file: _File) -> None:
        self._open[name] = file
        self._open.move_to_end(name)
        while len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)[1].close()

    def settle(self) -> int:
        """Give the rows written since it was last asked."""
        return sum(file.settle() for file in self._by_name.values())

    def take_news(self) -> list[str]:
        news, self._news = self._news, []
        return news

    def notice_removed(self) -> None:
        for file in self._by_name.values():
            if file.is_removed():
                self._news.append(file.start_over())

    def sync(self) -> OSError | None:
        try:
            for file in self._by_name.values():
                file.sync()
        except OSError as error:
            return error
        return None

    def close(self) -> None:
        for file in self._by_name.values():
            file.close()

    def manifest(self) -> dict[str, dict[str, Any]]:
        return {
            file.path.name: file.manifest()
            for _, file in sorted(self._by_name.items())
            if file.size
        }


class _File:
    """One append-only file: ``size`` bytes of whole lines are ours, and nothing is behind them."""

    def __init__(self, path: Path, record: type[Record], compression: str | None) -> None:
        self.path = path
        self.about: dict[str, Any] = {}
        self.rows = 0
        self.size = 0
        self.pending_rows = 0
        self.record = record
        self._header = header_of(record)
        self._compression = compression
        self._digest = hashlib.sha256()
        self._handle: int | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._pending_since: float | None = None  # as the first question after it has it
        self._packed: bytes | None = None
        self._unsettled = 0
        self._is_synced = True

    def add(self, lines: bytes, rows: int) -> None:
        if not self._pending:
            self._pending_since = None
        self._pending.append(lines)
        self._pending_bytes += len(lines)
        self.pending_rows += rows
        self._packed = None

    def is_due(self, now: float, *, is_final: bool) -> bool:
        if not self._pending:
            return False
        if self._pending_since is None:
            self._pending_since = now
        is_ripe = now - self._pending_since >= _GATHER_SECONDS
        return (
            self._compression is None or is_final or is_ripe or self._pending_bytes >= _GATHER_BYTES
        )

    def flush(self) -> str | None:
        """Append what waits, all or nothing; tells when the file had been removed meanwhile."""
        told = None
        handle = self._opened()
        if os.fstat(handle).st_nlink == 0:
            told = self.start_over()
            handle = self._opened()
        self._append(handle)
        if os.fstat(handle).st_nlink == 0:  # removed just now: the rows are still at hand
            told = self.start_over()
            self._append(self._opened())
        self.rows += self.pending_rows
        self._unsettled += self.pending_rows
        self._pending, self._pending_bytes, self.pending_rows = [], 0, 0
        self._packed = None
        self._is_synced = False
        return told

    def _append(self, handle: int) -> None:
        if self._packed is None:
            text = b"".join(self._pending)
            self._packed = pack(text if self.size else self._header + text, self._compression)
        data = self._packed
        rest = memoryview(data)
        try:
            while rest:
                written = os.write(handle, rest)
                if not written:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                rest = rest[written:]
        except BaseException:
            # Half a line would swallow the next one. If this fails, too, opening cuts it.
            with contextlib.suppress(OSError):
                os.ftruncate(handle, self.size)
            self.close()
            raise
        self._digest.update(data)
        self.size += len(data)

    def is_removed(self) -> bool:
        if not self.size:
            return False
        if self._handle is None:
            return not self.path.exists()
        return os.fstat(self._handle).st_nlink == 0

    def start_over(self) -> str:
        lost = self.rows
        self.close()
        self.rows = self.size = 0
        self._digest = hashlib.sha256()
        self._packed = None
        return f"{self.path.name} was removed while recording, with {lost:,} rows; it is made anew"

    def _opened(self) -> int:
        if self._handle is not None:
            return self._handle
        try:
            handle = os.open(self.path, _WRITE, 0o644)
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, _WRITE, 0o644)
        try:
            self._adopt(handle, os.fstat(handle).st_size)
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        return handle

    def _adopt(self, handle: int, found: int) -> None:
        if found > self.size:
            os.ftruncate(handle, self.size)  # what a failed write left behind
        elif found < self.size:
            self._start_from(handle, found)

    def _start_from(self, handle: int, found: int) -> None:
        # Removed, or cut by somebody else: what is left counts, as far as it is whole.
        content = os.pread(handle, found, 0) if hasattr(os, "pread") else self.path.read_bytes()
        text, size = unpack(content, self._compression)
        if self._compression is None:
            size = text.rfind(b"\n") + 1
            text = text[:size]
        os.ftruncate(handle, size)
        self._digest = hashlib.sha256(content[:size])
        self.rows, self.size = max(0, text.count(b"\n") - 1), size
        self._packed = None

    def settle(self) -> int:
        rows, self._unsettled = self._unsettled, 0
        return rows

    def sync(self) -> None:
        if not self._is_synced:
            os.fsync(self._opened())
            self._is_synced = True

    def close(self) -> None:
        if self._handle is not None:
            handle, self._handle = self._handle, None
            os.close(handle)

    def manifest(self) -> dict[str, Any]:
        return {
            **self.about,
            "rows": self.rows,
            "bytes": self.size,
            "sha256": self._digest.hexdigest(),
        }


def check_options(compression: str | None, fsync: str, queue_rows: int) -> str:
    """Check a recorder's options; gives the policy's name.

    Raises
    ------
    InvalidInput
        Naming what can be had.
    """
    if compression not in COMPRESSIONS:
        raise InvalidInput(f"compression must be None, 'zstd' or 'gzip', not {compression!r}")
    policy = "second" if fsync == "each second" else fsync
    if policy not in FSYNC_POLICIES:
        raise InvalidInput(f"fsync must be 'never', 'rotate' or 'second', not {fsync!r}")
    if isinstance(queue_rows, bool) or not isinstance(queue_rows, int) or queue_rows < 1:
        raise InvalidInput(f"queue_rows must be a whole number above 0, not {queue_rows!r}")
    return policy


def _new_folder(root: Path, name: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = root / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def _size(count: int) -> str:
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"
