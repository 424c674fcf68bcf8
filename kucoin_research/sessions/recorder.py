"""Recording: what a stream delivers goes to CSV files, on a thread of its own.

The feed only puts its rows into a queue. The recorder's thread empties it four times a second,
sorts rows by file, formats them and appends whole lines. A file is never left with half a line: a
write that fails is cut back at once or, where even that fails, before the next one. A file that
cannot be written is stuck by itself: its rows are kept, up to a bound, and tried again each second,
while all others go on. What is lost is in ``session.json``, with its time and the reason.
"""

from __future__ import annotations

import atexit
import html
import inspect
import logging
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation import clocks
from kucoin_research.foundation.arguments import (
    explains_itself,
    folder_to_write,
    listed_texts,
    only_known,
)
from kucoin_research.foundation.interrupts import arrived, hold, join
from kucoin_research.foundation.regular_files import worded
from kucoin_research.model.damage import Damage, Loss
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.rate import RateMeter
from kucoin_research.model.records import Record, Status
from kucoin_research.sessions.csv_file import FolderMoved
from kucoin_research.sessions.csv_writer import CsvWriter
from kucoin_research.sessions.file_names import folder_name
from kucoin_research.sessions.manifest import FORMAT, package_version, write_manifest
from kucoin_research.sessions.manifest_values import instruments_to, iso, losses_to
from kucoin_research.sessions.row_groups import STATUS_ROOM, RowSorter, arrival_of, span_of
from kucoin_research.sessions.session_folder import SessionFolder
from kucoin_research.sessions.trouble_reporter import OnTrouble, TroubleReporter, name_files

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
_SYNC_INTERVAL = 1.0
_DRAINED_ROWS = 65_536  # at a time, so that little is held as text
_ONE_REFUSAL_NS = 10 * 10**9  # rows that are refused within it are one loss
_UNEXPECTED = "an unexpected error"


def _add_refusal(losses: list[Loss], loss: Loss) -> None:
    """Note rows that are refused; those that follow each other of one file are one loss."""
    for place in range(len(losses) - 1, -1, -1):
        last = losses[place]
        if last.file == loss.file:
            if loss.began - last.ended <= _ONE_REFUSAL_NS:
                rows, ended = last.rows + loss.rows, max(last.ended, loss.ended)
                losses[place] = last._replace(rows=rows, ended=ended)
                return
            break
    losses.append(loss)


@explains_itself
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
        Rows kept in memory at most, while they cannot be written; for one file that is stuck while
        others are written, at most 100,000. Further ones are dropped, counted and told.
    on_trouble
        Called with an event's name and one sentence, on the recorder's thread:
        ``recording_failed``, ``recording_resumed``, ``recording_dropped``, ``recording_refused``,
        ``recording_changed``.
    on_cycle
        Called four times a second, on the recorder's thread.
    damage, losses
        What the rows are known to lack from the start on, where they are those of another
        recording; ``session.json`` tells it, and so does the session's report.
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
        If the folder cannot be made or written to, of the kind that the system gives.

    Notes
    -----
    ``take`` is for one thread at a time, in order, as under a stream's delivery lock; everything
    else may be called from any thread. A ``stopped`` row of the stream ends the recording.

    Others may rename, replace, cut or delete files and the folder meanwhile. That is noticed before
    anything is appended and told (``recording_changed``, or ``recording_failed`` where rows are
    lost); what is lost is noted in ``session.json``. A folder that was renamed is written on where
    it is now, see ``path``.
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
        damage: Iterable[Damage] = (),
        losses: Iterable[Loss] = (),
        start_ns: int | None = None,
        ends_itself: bool = True,
        clock: clocks.Clock | None = None,
    ) -> None:
        self._clock = clocks.current() if clock is None else clock
        self._ends_itself = ends_itself
        self._fsync = check_options(compression, fsync, queue_rows)
        self._start_ns = self._clock.wall_ns() if start_ns is None else start_ns
        symbols, channels = listed_texts(symbols, "symbols"), listed_texts(channels, "channels")
        self._about = {
            "venue": venue,
            "market": market,
            "symbols": symbols,
            "channels": channels,
            "instruments": instruments_to(instruments),
        }
        self._damage = [each.to_manifest() for each in damage]
        self._known_losses = list(losses)
        self._compression = compression
        self._bound = queue_rows
        self._on_cycle = on_cycle
        self._folder = _new_folder(
            folder_to_write(root, "root"), folder_name(self._start_ns, symbols)
        )
        self._files = CsvWriter(self._folder.path, compression)
        self._teller = TroubleReporter(self._folder, queue_rows, on_trouble)
        self._sorter = RowSorter(self._files, queue_rows, self._refuse)
        self._queue: deque[Sequence[Record]] = deque()
        self._queue_lock = threading.Lock()  # guards the queue, _waiting and what is dropped
        self._waiting = 0
        self._apart = 0  # of the waiting: they wait for stuck files, and take no room from others
        self._drops: list[Loss] = []
        self._is_dropping = False
        self._untold = 0
        self._refused = 0
        self._refusals: list[Loss] = []
        self._is_last = False
        self._meter = RateMeter()
        self._next_manifest = self._next_sync = 0.0
        self._closing = self._clock.event()
        self._closed = self._clock.event()
        self._deadline: float | None = None
        self._before_close: list[Callable[[], object]] = []
        self._pid = os.getpid()
        try:
            write_manifest(self.path, self._manifest("recording", None))
        except OSError as error:
            self._folder.release()
            raise _cannot_record(self.path, error) from error
        self._thread = self._clock.thread(self._run, f"kucoin-recorder-{self.path.name}")
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
            room = self._bound - self._waiting + self._apart
            if rows[0].__class__ is Status:
                room += STATUS_ROOM  # so that the recording holds what befell it
            if self._closed.is_set():
                room = 0
            if len(rows) > room:
                rows = self._drop(rows, max(0, room))
                if not rows:
                    return
            else:
                self._is_dropping = False
            self._waiting += len(rows)
            self._queue.append(rows)

    def _drop(self, rows: Sequence[Record], room: int) -> Sequence[Record]:
        lost = rows[room:]
        if not self._is_dropping:
            self._is_dropping = True
            self._drops.append(Loss(*span_of(lost), 0))
        drop = self._drops[-1]
        self._drops[-1] = drop._replace(rows=drop.rows + len(lost), ended=arrival_of(lost[-1]))
        self._untold += len(lost)
        return rows[:room]

    # -- readers ---------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The session's folder; where it is now, if it was renamed."""
        return self._folder.path

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
        return max(0, self._bound - self._waiting + self._apart)

    @property
    def dropped(self) -> int:
        """Rows that are lost: they found no room while they could not be written, or were removed.

        When and why is in ``session.json``, and so in the session's report.
        """
        return sum(drop.rows for drop in tuple(self._drops)) + self._files.lost

    @property
    def refused(self) -> int:
        """Rows that cannot be written, such as those with a number that is not finite.

        When and why is in ``session.json``, too, and so in the session's report.
        """
        return self._refused

    @property
    def rate(self) -> float:
        """Rows written per second, over the last five seconds."""
        return self._meter.rate(self._clock.monotonic(), self.rows)

    @property
    def error(self) -> OSError | None:
        """What keeps rows from being written now, of any file; None when all is well."""
        return next(iter([*self._teller.troubles.copy().values(), *self.stuck.values()]), None)

    @property
    def stuck(self) -> dict[str, OSError]:
        """The files that cannot be written now, by name, and why; all others go on."""
        return self._files.stuck

    @property
    def free(self) -> int | None:
        """Bytes free on the disk; None where the system does not say."""
        try:
            return shutil.disk_usage(self.path).free
        except OSError:
            return None

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will be written."""
        return self._closed.is_set()

    def __str__(self) -> str:
        free, dropped, stuck, error = self.free, self.dropped, list(self.stuck), self.error
        told = [
            f"{self.rows:,} rows",
            _size(self.bytes),
            f"{self.rate:,.0f} rows/s",
            *([f"{dropped:,} dropped"] if dropped else []),
            *([f"{self._refused:,} refused"] if self._refused else []),
            *([f"{_size(free)} free"] if free is not None else []),
            *([f"{name_files(stuck)} stuck"] if stuck else []),
            *([str(error)] if error is not None else []),
        ]
        return " · ".join(told)

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "recording"
        return f"<Recorder {state} {self.path}: {self}>"

    def _repr_html_(self) -> str:
        state = "closed" if self.is_closed else "recording"
        return (
            f"<div><b>{html.escape(self.path.name)}</b> ({state})<br>{html.escape(str(self))}"
            f"<br><small>{html.escape(str(self.path))}</small></div>"
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
            Whether everything is on the disk. If not, ``error`` says why, and the rows are lost:
            ``session.json`` lists them as ``dropped``, if it can be written, and goes on saying
            ``recording``.
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
        return self._closed.is_set() and self.error is None

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
                error: OSError | None = None
                try:
                    self._cycle()
                except Exception as unexpected:  # the pump's guard: recording must go on
                    log.exception("the recorder of %s met an unexpected error", self.path)
                    error = OSError(f"unexpected {type(unexpected).__name__}: {unexpected}")
                self._teller.judge(_UNEXPECTED, error)
            self._finish()
        finally:
            self._files.close()
            self._folder.release()
            self._closed.set()

    def _pause(self) -> float:
        is_confused = _UNEXPECTED in self._teller.troubles
        if self._queue and not is_confused:
            return 0.0
        # While closing, the event is set and does not pause: then the deadline does.
        if self._closing.is_set() and self.error is not None:
            self._closed.wait(min(_RETRY, max(0.0, self._seconds_left())))
        return _RETRY if is_confused else _CYCLE

    def _seconds_left(self) -> float:
        return 0.0 if self._deadline is None else self._deadline - self._clock.monotonic()

    def _is_over(self) -> bool:
        if not self._is_ending:
            return False
        is_empty = not self._waiting and not self._files.are_waiting
        is_late = self._closing.is_set() and self._seconds_left() <= 0
        return is_empty or (is_late and self.error is not None)

    @property
    def _is_ending(self) -> bool:
        return self._closing.is_set() or self._is_last

    def _cycle(self) -> None:
        now = self._clock.monotonic()
        self._meter.sample(now, self.rows)
        batches = self._drain()
        try:
            days = self._files.days
            is_last = self._sorter.sort(batches)
        except Exception:
            # Formatting is our own work: if it fails, these rows cannot be written ever.
            rows = list(chain(*batches))
            self._refuse(Loss(*span_of(rows), len(rows), reason="they could not be formatted"))
            raise
        self._is_last = self._is_last or (self._ends_itself and is_last)
        if self._fsync == "rotate" and days and self._files.days - days:
            # A new day has begun: the files before are complete.
            self._teller.judge("fsync", self._files.sync())
        obstacle = self._look_after_folder()
        self._files.flush(
            now,
            is_final=self._is_ending,
            is_in_place=lambda: self._folder.is_in_place,
            obstacle=obstacle,
        )
        self._settle()
        if self._teller.tell_files(self._files):
            self._next_manifest = now  # what waited is no longer missing
        if obstacle is None and now >= self._next_manifest:
            error = self._save("recording", None)
            self._teller.judge("session.json", error)
            self._next_manifest = now + (_MANIFEST_INTERVAL if error is None else _RETRY)
        if self._fsync == "second" and now >= self._next_sync:
            self._next_sync = now + _SYNC_INTERVAL
            self._teller.judge("fsync", self._files.sync())
        self._tell_lost()
        if self._on_cycle is not None:
            self._teller.guard(self._on_cycle)

    def _look_after_folder(self) -> OSError | None:
        try:
            told = self._folder.look_after()
        except OSError as error:
            return error
        if told is not None:
            self._files.move_to(self._folder.path)
            self._next_manifest = self._clock.monotonic()
            log.warning("%s", told)
            self._teller.tell("recording_changed", told)
        return None

    def _settle(self) -> None:
        settled = self._files.settle()
        with self._queue_lock:
            self._waiting -= settled
            self._apart = self._files.rows_apart

    def _drain(self) -> list[Sequence[Record]]:
        batches: list[Sequence[Record]] = []
        rows = 0
        while self._queue and rows < _DRAINED_ROWS:
            batches.append(self._queue.popleft())
            rows += len(batches[-1])
        return batches

    def _tell_lost(self) -> None:
        now = self._clock.monotonic()
        if self._untold and self._teller.is_due(now, is_over=not self._is_dropping):
            with self._queue_lock:
                lost, self._untold = self._untold, 0
            self._teller.tell_dropped(lost)
        self._teller.tell_dropped_of(self._files, now)

    def _refuse(self, loss: Loss) -> None:
        """Leave out rows that cannot be written: they are lost as those that find no room are."""
        with self._queue_lock:
            self._waiting -= loss.rows
        self._refused += loss.rows
        _add_refusal(self._refusals, loss)
        self._teller.tell(
            "recording_refused",
            f"{loss.rows:,} rows are left out of the recording: {loss.reason}",
        )

    def _finish(self) -> None:
        self._detach()
        if self._files.are_waiting or self._waiting:
            self._give_up()
            return
        self._tell_lost()
        if self._fsync != "never":
            self._teller.judge("fsync", self._files.sync())
        while (error := self._save("closed", self._clock.wall_ns())) is not None:
            self._teller.judge("session.json", error)
            if self._closing.is_set() and self._seconds_left() <= 0:
                return
            self._closed.wait(_RETRY)
        self._teller.judge("session.json", None)
        self._teller.tell_files(self._files)

    def _give_up(self) -> None:
        names = [file.path.name for file in self._files if file.pending_rows]
        lost = self._waiting
        if self._fsync != "never":
            self._teller.judge("fsync", self._files.sync())
        # What waits is listed there as lost, if only for as long as it waits.
        self._teller.judge("session.json", self._save("recording", None))
        self._files.give_up()
        log.error("%d rows of %s could not be written", lost, self.path)
        self._teller.tell(
            "recording_failed",
            f"{lost:,} rows could not be written to {name_files(names)} in {self.path} and are lost",
        )

    def _save(self, state: str, end_ns: int | None) -> OSError | None:
        try:
            self._look_at_files()
            write_manifest(self.path, self._manifest(state, end_ns))
        except OSError as error:
            return error
        return None

    def _look_at_files(self) -> None:
        now = self._clock.monotonic()
        try:
            self._files.look(now, lambda: self._folder.is_in_place)
        except FolderMoved:
            obstacle = self._look_after_folder()
            if obstacle is not None:
                raise obstacle from None
            self._files.look(now, lambda: self._folder.is_in_place)

    def _manifest(self, state: str, end_ns: int | None) -> dict[str, Any]:
        with self._queue_lock:
            losses = [*self._known_losses, *self._drops]
        losses += self._refusals
        losses += self._files.losses
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
            "dropped": losses_to(losses),
            **({"damage": self._damage} if self._damage else {}),
            "columns": self._files.columns,
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
    stream: Recordable,
    root: str | os.PathLike[str],
    options: Mapping[str, Any],
    own: Mapping[str, Any],
) -> Recorder:
    """Make a recorder that knows what a stream is, but is not given its rows yet.

    Parameters
    ----------
    stream
        What befalls the recorder is told in its ``status`` channel.
    root
        See ``Recorder``.
    options
        Further ones of ``Recorder``, as the user gave them.
    own
        Those that are not the user's to give, besides what the stream is.

    Raises
    ------
    InvalidInput
        If an option is unknown, or means nothing.
    OSError
        If the folder cannot be made.
    """
    subscriptions = stream.subscriptions
    markets = dict.fromkeys(str(each.market) for each in subscriptions)
    told = {
        "symbols": list(dict.fromkeys(each.symbol for each in subscriptions)),
        "channels": list(dict.fromkeys(str(each.channel) for each in subscriptions)),
        "venue": stream.origin,
        "market": "+".join(markets),
        "on_trouble": stream.note,
        **own,
    }
    for name in ("symbols", "channels"):
        if name in options:
            raise InvalidInput(
                f"record takes no {name}=: it records all of a stream; start another stream of "
                "these alone"
            )
    only_known(options, [name for name in _OPTIONS if name not in told], "record")
    return Recorder(root, **told, **options)


_OPTIONS = [name for name in inspect.signature(Recorder).parameters if name != "root"]


def _new_folder(root: Path, name: str) -> SessionFolder:
    try:
        return SessionFolder(root, name)
    except OSError as error:
        raise _cannot_record(root, error) from error


def _cannot_record(path: Path, error: OSError) -> OSError:
    return worded(error, f"{path} cannot be recorded to", "choose another folder with root=")


def check_options(compression: str | None, fsync: str, queue_rows: int) -> str:
    """Check a recorder's options; gives the policy's name.

    Raises
    ------
    InvalidInput
        Naming what can be had.
    """
    if not isinstance(compression, str | None) or compression not in COMPRESSIONS:
        raise InvalidInput(f"compression must be None, 'zstd' or 'gzip', not {shown(compression)}")
    policy = "second" if isinstance(fsync, str) and fsync == "each second" else fsync
    if not isinstance(policy, str) or policy not in FSYNC_POLICIES:
        raise InvalidInput(f"fsync must be 'never', 'rotate' or 'second', not {shown(fsync)}")
    if isinstance(queue_rows, bool) or not isinstance(queue_rows, int) or queue_rows < 1:
        raise InvalidInput(f"queue_rows must be a whole number above 0, not {shown(queue_rows)}")
    return policy


def _size(count: int) -> str:
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"
