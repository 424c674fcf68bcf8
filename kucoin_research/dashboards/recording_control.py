"""The recording of a dashboard, in step with its Record button."""

from __future__ import annotations

import os

from kucoin_research.dashboards.controls import Controls
from kucoin_research.dashboards.formatting import size
from kucoin_research.sessions.writing.recorder import Recorder
from kucoin_research.streaming.stream import Stream

__all__ = ["RecordingControl"]


class RecordingControl:
    """Starts and ends recordings, and sets the Record button accordingly.

    Attributes
    ----------
    recorder
        The recorder of the present recording, or of the last one.
    news
        Summary of a recording that ended when its cell was run again; empty once it is reported.
    """

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self.recorder: Recorder | None = None
        self.news = ""

    @property
    def is_on(self) -> bool:
        """Whether a recording runs."""
        return self.recorder is not None and not self.recorder.is_closed

    def start(self, stream: Stream, root: str | os.PathLike[str] | None) -> Recorder:
        """Record a stream to a folder; without one, to the folder in the control."""
        try:
            folder = self._controls.folder.value if root is None else root
            recorder = self.recorder = stream.record(folder)
        finally:
            self.show(is_on=self.is_on)
        return recorder

    def end(self) -> None:
        """End the recording that runs, if one does."""
        if self.recorder is not None:
            self.recorder.close()
        self.show(is_on=False)

    def leave(self) -> None:
        """End the recording that runs; the dashboard that takes the place of this one reports it.

        The one that is left has no status line any more.
        """
        was_on = self.is_on
        self.end()
        if was_on:
            self.news = self.summary()

    def take_news(self) -> list[str]:
        """Return the news as parts of a line, once."""
        news, self.news = self.news, ""
        return [news] if news else []

    def show(self, *, is_on: bool) -> None:
        """Set the Record button, without a press."""
        with self._controls.quietly():
            self._controls.record.value = is_on

    def summary(self) -> str:
        """Describe the recording that has ended."""
        recorder = self.recorder
        if recorder is None:
            return "nothing was recorded"
        return f"recorded {recorder.rows:,} rows ({size(recorder.bytes)}) in {recorder.path}"

    def progress(self) -> str:
        """Describe the recording that runs."""
        if not self.is_on or self.recorder is None:
            return "recording off"
        return f"recording {self.recorder.rows:,} rows"
