"""The recorder's thread: it takes rows from the queue, writes them, and ends the recording."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from itertools import chain

from kucoin_research.foundation import clocks
from kucoin_research.model.damage import Loss
from kucoin_research.model.rate import RateMeter
from kucoin_research.sessions.writing.csv_file import FolderMoved
from kucoin_research.sessions.writing.csv_writer import CsvWriter
from kucoin_research.sessions.writing.loss_log import RefusalLog
from kucoin_research.sessions.writing.manifest_writer import ManifestWriter
from kucoin_research.sessions.writing.row_groups import RowSorter, span_of
from kucoin_research.sessions.writing.row_queue import RowQueue
from kucoin_research.sessions.writing.session_folder import SessionFolder
from kucoin_research.sessions.writing.trouble_reporter import TroubleReporter, name_files

__all__ = ["RETRY", "RecordingLoop"]

log = logging.getLogger(__name__)

#: Seconds between two attempts at a write that failed.
RETRY = 1.0

_CYCLE = 0.25
_MANIFEST_INTERVAL = 2.0
_SYNC_INTERVAL = 1.0
_UNEXPECTED = "an unexpected error"


class RecordingLoop:
    """Writes waiting rows four times a second until the recording is over.

    ``run`` is the thread; the properties and ``begin_close`` are for any thread.

    Parameters
    ----------
    folder, files, queue, refusals, manifest, reporter
        The parts of the recording.
    bound
        The most rows that may wait.
    fsync
        The policy's name; see ``Recorder``.
    ends_itself, on_cycle
        See ``Recorder``.
    detach
        Called when the recording ends by itself, so that no more rows come.
    closed
        Set when nothing more will be written.
    clock
        The clock that the recording lives by.
    """

    def __init__(
        self,
        folder: SessionFolder,
        files: CsvWriter,
        queue: RowQueue,
        *,
        refusals: RefusalLog,
        manifest: ManifestWriter,
        reporter: TroubleReporter,
        bound: int,
        fsync: str,
        ends_itself: bool,
        on_cycle: Callable[[], object] | None,
        detach: Callable[[], object],
        closed: threading.Event,
        clock: clocks.Clock,
    ) -> None:
        self._folder = folder
        self._files = files
        self._queue = queue
        self._refusals = refusals
        self._manifest = manifest
        self._reporter = reporter
        self._sorter = RowSorter(files, bound, self._refuse)
        self._fsync = fsync
        self._ends_itself = ends_itself
        self._on_cycle = on_cycle
        self._detach = detach
        self._clock = clock
        self._closed = closed
        self._closing = clock.event()
        self._deadline: float | None = None
        self._is_last = False
        self._meter = RateMeter()
        self._next_manifest = self._next_sync = 0.0
        self._has_news = False  # of session.json

    @property
    def error(self) -> OSError | None:
        """The error that keeps rows from being written now, of any file; None without one."""
        stuck = self._files.stuck
        return next(iter([*self._reporter.troubles.copy().values(), *stuck.values()]), None)

    @property
    def rate(self) -> float:
        """Rows written per second, over the last five seconds."""
        return self._meter.rate(self._clock.monotonic(), self._files.rows)

    @property
    def is_closing(self) -> bool:
        """Whether ``begin_close`` was called."""
        return self._closing.is_set()

    def begin_close(self, timeout: float) -> None:
        """Make the thread write the waiting rows and end; it retries for ``timeout`` seconds."""
        # The deadline first: the thread reads it as soon as the event is set.
        self._deadline = self._clock.monotonic() + timeout
        self._closing.set()

    def announce(self) -> None:
        """Have ``session.json`` written before any row that is put into the queue from now on."""
        self._has_news = True

    def run(self) -> None:
        """Record until the end; the body of the recorder's thread."""
        try:
            while not self._is_over():
                self._closing.wait(self._pause())
                error: OSError | None = None
                try:
                    self._cycle()
                except Exception as unexpected:  # the pump's guard: recording must go on
                    log.exception("the recorder of %s met an unexpected error", self._folder.path)
                    error = OSError(f"unexpected {type(unexpected).__name__}: {unexpected}")
                self._reporter.set_trouble(_UNEXPECTED, error)
            self._finish()
        finally:
            self._files.close()
            self._folder.release()
            self._closed.set()

    def _pause(self) -> float:
        is_confused = _UNEXPECTED in self._reporter.troubles
        if self._queue and not is_confused:
            return 0.0
        # While closing, the event is set and its wait returns at once; so this wait pauses instead.
        if self._closing.is_set() and self.error is not None:
            self._closed.wait(min(RETRY, max(0.0, self._seconds_left())))
        return RETRY if is_confused else _CYCLE

    def _seconds_left(self) -> float:
        return 0.0 if self._deadline is None else self._deadline - self._clock.monotonic()

    def _is_over(self) -> bool:
        if not self._is_ending:
            return False
        is_empty = not self._queue.waiting and not self._files.are_waiting
        is_late = self._closing.is_set() and self._seconds_left() <= 0
        return is_empty or (is_late and self.error is not None)

    @property
    def _is_ending(self) -> bool:
        return self._closing.is_set() or self._is_last

    def _cycle(self) -> None:
        now = self._clock.monotonic()
        self._meter.sample(now, self._files.rows)
        self._sort_queue()
        obstacle = self._look_after_folder()
        if self._has_news and obstacle is None:
            self._has_news = False
            self._reporter.set_trouble("session.json", self._save("recording", None))
        self._files.flush(
            now,
            is_final=self._is_ending,
            is_in_place=lambda: self._folder.is_in_place,
            obstacle=obstacle,
        )
        self._queue.settle(self._files.settle(), self._files.rows_apart)
        if self._reporter.report_files(self._files):
            self._next_manifest = now  # rows that waited are no longer missing
        if obstacle is None and now >= self._next_manifest:
            error = self._save("recording", None)
            self._reporter.set_trouble("session.json", error)
            self._next_manifest = now + (_MANIFEST_INTERVAL if error is None else RETRY)
        if self._fsync == "second" and now >= self._next_sync:
            self._next_sync = now + _SYNC_INTERVAL
            self._sync()
        self._report_dropped()
        if self._on_cycle is not None:
            self._reporter.guard(self._on_cycle)

    def _sort_queue(self) -> None:
        batches = self._queue.drain()
        try:
            days = self._files.days
            is_last = self._sorter.sort(batches)
        except Exception:
            # Formatting is our own work: if it fails, these rows can never be written.
            rows = list(chain(*batches))
            self._refuse(Loss(*span_of(rows), len(rows), reason="they could not be formatted"))
            raise
        self._is_last = self._is_last or (self._ends_itself and is_last)
        if self._fsync == "rotate" and days and self._files.days - days:
            # A new day has begun, so the files of the days before are complete.
            self._sync()

    def _sync(self) -> None:
        self._reporter.set_trouble("fsync", self._files.sync())

    def _look_after_folder(self) -> OSError | None:
        try:
            change = self._folder.look_after()
        except OSError as error:
            return error
        if change is not None:
            self._files.move_to(self._folder.path)
            self._next_manifest = self._clock.monotonic()
            log.warning("%s", change)
            self._reporter.report("recording_changed", change)
        return None

    def _report_dropped(self) -> None:
        now, queue = self._clock.monotonic(), self._queue
        if queue.unreported and self._reporter.is_due(now, is_over=not queue.is_dropping):
            self._reporter.report_dropped(queue.take_unreported())
        self._reporter.report_dropped_of(self._files, now)

    def _refuse(self, loss: Loss) -> None:
        """Leave out rows that cannot be written; they no longer wait, and count as lost."""
        self._queue.settle(loss.rows)
        self._refusals.add(loss)
        self._reporter.report(
            "recording_refused",
            f"{loss.rows:,} rows are left out of the recording: {loss.reason}",
        )

    def _finish(self) -> None:
        self._detach()
        if self._files.are_waiting or self._queue.waiting:
            self._give_up()
            return
        self._report_dropped()
        if self._fsync != "never":
            self._sync()
        while (error := self._save("closed", self._clock.wall_ns())) is not None:
            self._reporter.set_trouble("session.json", error)
            if self._closing.is_set() and self._seconds_left() <= 0:
                return
            self._closed.wait(RETRY)
        self._reporter.set_trouble("session.json", None)
        self._reporter.report_files(self._files)

    def _give_up(self) -> None:
        names = [file.path.name for file in self._files if file.pending_rows]
        lost = self._queue.waiting
        if self._fsync != "never":
            self._sync()
        # session.json lists waiting rows as lost, but only while they wait: so it is saved first.
        self._reporter.set_trouble("session.json", self._save("recording", None))
        self._files.give_up()
        log.error("%d rows of %s could not be written", lost, self._folder.path)
        self._reporter.report(
            "recording_failed",
            f"{lost:,} rows could not be written to {name_files(names)} in {self._folder.path} "
            "and are lost",
        )

    def _save(self, state: str, end_ns: int | None) -> OSError | None:
        try:
            self._look_at_files()
            self._manifest.write(state, end_ns)
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
