"""Reporting what happens to a recording, each trouble once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from kucoin_research.sessions.writing.csv_file import MOST_STUCK
from kucoin_research.sessions.writing.csv_writer import CsvWriter
from kucoin_research.sessions.writing.session_folder import SessionFolder

__all__ = ["OnTrouble", "TroubleReporter", "name_files", "reason_of"]

log = logging.getLogger(__name__)

_REPORT_INTERVAL = 10.0
_NAMED = 3  # files named in a sentence; further ones are counted
OnTrouble = Callable[[str, str], object]


def reason_of(error: OSError) -> str:
    """Return the system's text of an error."""
    return error.strerror or str(error)


def name_files(names: Sequence[str]) -> str:
    """Name the first few files, and count the others."""
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED:,} more files"


class TroubleReporter:
    """Reports the troubles of a recording, once when each begins and once when it ends.

    Attributes
    ----------
    troubles
        The troubles of the recording as a whole that go on now, by what failed.
    """

    def __init__(self, folder: SessionFolder, bound: int, on_trouble: OnTrouble | None) -> None:
        self._folder = folder
        self._bound = bound
        self._on_trouble = on_trouble
        self._next_dropped = self._next_dropped_of_files = 0.0
        self.troubles: dict[str, OSError] = {}

    def report(self, event: str, detail: str) -> None:
        """Report an event now."""
        if self._on_trouble is not None:
            on_trouble = self._on_trouble
            self.guard(lambda: on_trouble(event, detail))

    def guard(self, action: Callable[[], object]) -> None:
        """Call a function of the user, and log any exception."""
        try:
            action()
        except Exception:  # the sink guard: an error of the user's code must not end the recording
            log.exception("a callback of the recorder of %s raised", self._folder.path)

    def set_trouble(self, source: str, error: OSError | None) -> None:
        """Note whether something that concerns all files works; report it when that changes."""
        before = self.troubles.get(source)
        path = self._folder.path
        if error is None:
            if before is not None:
                del self.troubles[source]
                self.report("recording_resumed", f"the recording in {path} is in order again")
            return
        self.troubles[source] = error
        if before is None or before.errno != error.errno:
            log.warning("recording to %s failed: %s", path, error)
            self.report("recording_failed", f"{source} of {path}: {reason_of(error)}")

    def report_files(self, files: CsvWriter) -> bool:
        """Report interventions, and files that became stuck or go on.

        Returns
        -------
        bool
            Whether any file goes on again.
        """
        path = self._folder.path
        for text, lost in files.take_news():
            log.warning("%s: %s", path, text)
            self.report("recording_failed" if lost else "recording_changed", text)
        by_reason: dict[str, list[str]] = {}
        for file, error in files.take_failed().items():
            by_reason.setdefault(reason_of(error), []).append(file.path.name)
        for reason, names in by_reason.items():
            log.warning("%s cannot be written in %s: %s", ", ".join(names), path, reason)
            self.report(
                "recording_failed",
                f"cannot write {name_files(names)} in {path}: {reason}; up to "
                f"{min(MOST_STUCK, self._bound):,} rows of each file are kept and tried again each "
                "second, and all other files go on",
            )
        resumed = [file.path.name for file in files.take_resumed()]
        if resumed:
            self.report("recording_resumed", f"{name_files(resumed)} in {path} is written again")
        return bool(resumed)

    def is_due(self, now: float, *, is_over: bool) -> bool:
        """Return whether to report rows without room: when it is over, or from time to time."""
        is_due = is_over or now >= self._next_dropped
        if is_due:
            self._next_dropped = now + _REPORT_INTERVAL
        return is_due

    def report_dropped(self, rows: int) -> None:
        """Report rows that had no room in the queue."""
        self.report(
            "recording_dropped",
            f"{rows:,} rows are not in the recording: more than {self._bound:,} had to wait",
        )

    def report_dropped_of(self, files: CsvWriter, now: float) -> None:
        """Report rows that stuck files had no room for, from time to time."""
        if now >= self._next_dropped_of_files and (dropped := files.take_unreported()):
            self._next_dropped_of_files = now + _REPORT_INTERVAL
            self.report(
                "recording_dropped",
                f"{sum(dropped.values()):,} rows of {name_files(list(dropped))} are not in the "
                "recording: too many had to wait for a file that cannot be written",
            )
