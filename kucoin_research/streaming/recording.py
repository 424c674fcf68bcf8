"""A stream and the recorder that writes down its rows."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kucoin_research.errors import ConnectionLost
from kucoin_research.foundation.arguments import patience
from kucoin_research.foundation.interrupts import check, hold
from kucoin_research.foundation.progress import quiet_tqdm
from kucoin_research.sessions.loading import load
from kucoin_research.sessions.session import Session
from kucoin_research.streaming.collect import Limit
from kucoin_research.streaming.stream import State, Stream

__all__ = ["Recording"]

_SLICE = 0.05
# A little more than the time between two looks.
_LOOK_INTERVAL = 0.3
_REDRAW_INTERVAL = 0.5
_CLOSE_TIMEOUT = 30.0
# A stream that is not live by then will not be: the error that hinders it is raised.
_PATIENCE = 30.0


class Recording:
    """A stream that is recorded; ``kucoin_research.record`` starts one.

    It runs in the background. As a context manager it ends with the block. If a time was given, the
    end of the block waits for it first, unless an error or an interrupt comes.

    Attributes
    ----------
    stream, recorder
        The two halves.
    """

    def __init__(
        self,
        stream: Stream,
        root: str | os.PathLike[str],
        limit: Limit,
        *,
        progress: bool,
        **options: Any,
    ) -> None:
        self.stream = stream
        self._limit = limit
        self._progress = progress
        self._moved_at, self._progress_seen = stream.clock.monotonic(), 0
        self._is_over = False  # whether the given time has passed
        self.recorder = stream.record(root, on_cycle=self._look, **options)

    def _look(self) -> None:
        # Runs on the recorder's thread, four times a second. The time counts from the moment the
        # stream is live, on the venue's clock.
        is_counting = self.stream.live_since is not None and not self.stream.stopping.is_set()
        if self._limit.seconds is None or not is_counting:
            return
        left = (self._limit.seconds - self.elapsed) / self._speed
        if left < _LOOK_INTERVAL:  # the next look is too late, on a fast venue by half a minute
            self._is_over = not self.stream.stopping.wait(max(left, 0.0))
            self.stream.stop(timeout=0.0)

    @property
    def _speed(self) -> float:
        return self.stream.simulation or 1.0

    @property
    def elapsed(self) -> float:
        """Seconds since the stream was live, on the venue's clock."""
        live_since = self.stream.live_since
        if live_since is None:
            return 0.0
        seconds = (self.stream.clock.monotonic() - live_since) * self._speed
        if self._limit.seconds is None:
            return seconds
        return self._limit.seconds if self._is_over else min(seconds, self._limit.seconds)

    @property
    def path(self) -> Path:
        """The session's folder."""
        return self.recorder.path

    @hold()
    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the time is over, with a progress line.

        Parameters
        ----------
        timeout
            Seconds to wait at most. Without one, and without a time to record, only an interrupt
            ends the waiting.

        Returns
        -------
        bool
            Whether the recording has come to its end. An interrupt stops it and is not passed on.

        Raises
        ------
        NetworkError, ExchangeError, StreamError
            Whatever kept the stream from becoming live; the recording is closed.
        """
        deadline = self.stream.clock.monotonic() + patience(timeout)
        line = _Line(self, shown=self._progress)
        try:
            while not self.recorder.wait(_SLICE):
                check()
                line.show()
                if self.stream.state is State.STOPPED:
                    return self.stop()
                self._raise_if_hopeless()
                if self.stream.clock.monotonic() >= deadline:
                    return False
        except KeyboardInterrupt:
            self.stop()
        finally:
            line.close()
        return True

    def _raise_if_hopeless(self) -> None:
        # A stream that was live once goes on trying; one that never was has a reason.
        now, progress = self.stream.clock.monotonic(), self.stream.progress
        if progress != self._progress_seen:
            self._moved_at, self._progress_seen = now, progress
        is_late = self.stream.live_since is None and now - self._moved_at > _PATIENCE
        if self.stream.state is State.FAILED or is_late:
            error = self.stream.error or ConnectionLost(
                f"{self.stream.name!r} was not live within {_PATIENCE:.0f} s in which nothing "
                "moved; check the network, or try venue='demo'"
            )
            self.stop()
            raise error

    @hold(passes_on=True)
    def stop(self, timeout: float = _CLOSE_TIMEOUT) -> bool:
        """End the stream and the recording; may be called twice.

        Returns
        -------
        bool
            Whether everything is on the disk.
        """
        self.stream.stop(timeout=min(timeout, 5.0))
        return self.recorder.close(timeout)

    def session(self) -> Session:
        """Open the session as far as it has been recorded."""
        return load(self.path)

    def __enter__(self) -> Self:
        return self

    @hold(passes_on=True)
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._limit.seconds is not None:
                self.wait()
        finally:
            self.stop()

    def __str__(self) -> str:
        return f"{self.recorder} · gaps {self.stream.status.gaps}"

    def __repr__(self) -> str:
        return f"<Recording {self.path}: {self}>"

    def _repr_html_(self) -> str:
        return self.recorder._repr_html_()


class _Line:
    """A line that shows how far the recording is, in the terminal or the notebook."""

    def __init__(self, recording: Recording, *, shown: bool) -> None:
        self._recording = recording
        self._next = 0.0
        self._bar: Any = None
        if shown:
            self._bar = quiet_tqdm(bar_format="{desc}", mininterval=0.0)

    def show(self) -> None:
        now = self._recording.stream.clock.monotonic()
        if self._bar is not None and now >= self._next:
            self._next = now + _REDRAW_INTERVAL
            self._draw()

    def _draw(self) -> None:
        seconds = int(self._recording.elapsed)
        self._bar.set_description_str(
            f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d} · {self._recording}"
        )

    def close(self) -> None:
        if self._bar is not None:
            self._draw()
            self._bar.close()
