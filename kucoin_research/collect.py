"""Waiting for a stream to bring what was asked for, with a progress bar."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from kucoin_research.errors import ConnectionLost, InvalidInput, StreamStopped
from kucoin_research.stream import State, Stream

__all__ = ["Limit", "collect"]

# A stream that is not live by then will not be: whatever hinders it is raised.
_PATIENCE = 30.0
# Short slices: "Interrupt kernel" and Ctrl-C get through on every platform.
_SLICE = 0.05


@dataclass(frozen=True, slots=True)
class Limit:
    """When to stop: after ``seconds`` of the venue's clock, or ``rows`` on every channel.

    With neither, only an interrupt ends the collection; with both, whichever comes first.
    """

    seconds: float | None = None
    rows: int | None = None

    @classmethod
    def of(cls, minutes: float | None, seconds: float | None, rows: int | None) -> Self:
        """Check and combine what a user gave.

        Raises
        ------
        InvalidInput
            If a value is not a positive number.
        """
        for name, value in (("minutes", minutes), ("seconds", seconds), ("rows", rows)):
            if value is None:
                continue
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not 0 < value < 1e12
            ):
                raise InvalidInput(f"{name} must be a positive number, not {value!r}")
        if rows is not None and rows != int(rows):
            raise InvalidInput(f"rows must be a whole number, not {rows!r}")
        if minutes is None and seconds is None:
            return cls(None, None if rows is None else int(rows))
        duration = (minutes or 0.0) * 60.0 + (seconds or 0.0)
        return cls(duration, None if rows is None else int(rows))


def collect(stream: Stream, channels: list[str], limit: Limit, *, progress: bool) -> bool:
    """Wait until a stream has brought what the limit asks for.

    Parameters
    ----------
    stream
        Running.
    channels
        Whose rows count.
    limit
        When to stop.
    progress
        Whether to show a bar with rows, messages/s and, at the end, the verdict.

    Returns
    -------
    bool
        ``False`` when an interrupt ended it early.

    Raises
    ------
    NetworkError, ExchangeError, StreamError
        Whatever kept the stream from becoming live at all.
    """
    with _Bar(stream, channels, limit, shown=progress) as bar:
        try:
            _wait_until_live(stream, bar)
            _wait_until_done(stream, channels, limit, bar)
        except KeyboardInterrupt:
            bar.finish("interrupted")
            return False
        bar.finish("")
        return True


def _wait_until_live(stream: Stream, bar: _Bar) -> None:
    deadline = time.monotonic() + _PATIENCE
    while stream.state not in (State.LIVE, State.FAILED, State.STOPPED):
        if time.monotonic() > deadline:
            raise stream.error or ConnectionLost(
                f"{stream.name!r} was not live within {_PATIENCE:.0f} s; "
                "check the network, or try venue='demo'"
            )
        bar.show(0.0)
        stream.stopping.wait(_SLICE)
    _raise_if_over(stream)


def _raise_if_over(stream: Stream) -> None:
    if stream.state is State.FAILED:
        assert stream.error is not None  # that is what failed means
        raise stream.error
    if stream.state is State.STOPPED:
        raise StreamStopped(f"{stream.name!r} was stopped from elsewhere")


def _wait_until_done(stream: Stream, channels: list[str], limit: Limit, bar: _Bar) -> None:
    clock = _VenueClock(stream)
    while True:
        elapsed = clock.elapsed()
        if limit.seconds is not None and elapsed >= limit.seconds:
            return
        if limit.rows is not None and min(map(stream.total, channels)) >= limit.rows:
            return
        if stream.state is State.STOPPED:
            return  # somebody stopped it: what is there is what was wanted
        _raise_if_over(stream)
        bar.show(elapsed)
        rest = _SLICE if limit.seconds is None else (limit.seconds - elapsed) / clock.speed
        stream.stopping.wait(min(_SLICE, max(rest, 0.001)))


class _VenueClock:
    """Seconds since the start on the venue's clock: our own, or the virtual one of a simulation."""

    def __init__(self, stream: Stream) -> None:
        self.speed = stream.simulation or 1.0
        self._stream = stream
        self._virtual = stream.simulation is not None
        self._start = self._now()

    def _now(self) -> float:
        if not self._virtual:
            return time.monotonic()
        market = self._stream.subscriptions[0].market
        return self._stream.rest.server_time(market) / 1e9

    def elapsed(self) -> float:
        return self._now() - self._start


class _Bar:
    """A tqdm bar, in the terminal or the notebook, or none."""

    def __init__(self, stream: Stream, channels: list[str], limit: Limit, *, shown: bool) -> None:
        self._stream = stream
        self._channels = channels
        self._by_time = limit.rows is None
        self._total = limit.seconds if self._by_time else limit.rows
        self._bar: Any = _tqdm(self._total, stream.name, by_time=self._by_time) if shown else None

    def show(self, elapsed: float) -> None:
        if self._bar is None:
            return
        rows = min(map(self._stream.total, self._channels))
        done = elapsed if self._by_time else rows
        self._bar.n = done if self._total is None else min(done, self._total)
        status = self._stream.status
        self._bar.set_postfix_str(
            f"{rows:,} rows, {status.messages_per_second:,.0f} messages/s, {status.state}"
        )

    def finish(self, remark: str) -> None:
        if self._bar is None:
            return
        rows = sum(map(self._stream.total, self._channels))
        verdict = self._stream.report().verdict
        if not remark and self._total is not None:
            self._bar.n = self._total
        self._bar.set_postfix_str(", ".join(filter(None, [f"{rows:,} rows", str(verdict), remark])))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def _tqdm(total: float | None, name: str, *, by_time: bool) -> Any:
    with warnings.catch_warnings():
        # Without ipywidgets tqdm warns and falls back to text, which is all right.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm

        clock = "{n:.0f}/{total:.0f} s" if total is not None else "{n:.0f} s"
        form = "{desc}: {bar} " + clock + "{postfix}" if by_time else None
        if total is None:
            form = "{desc}: {elapsed}{postfix}"
        return tqdm(total=total, desc=name, unit="rows", bar_format=form, mininterval=0.1)
