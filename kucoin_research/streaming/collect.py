"""Waiting for a stream to bring its rows, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import polars as pl

from kucoin_research.errors import (
    ConnectionLost,
    InvalidInput,
    KucoinResearchError,
    StreamStopped,
    Unreachable,
    shown,
)
from kucoin_research.exchange.network import by_way_of
from kucoin_research.exchange.venues import target_of
from kucoin_research.foundation.arguments import is_number
from kucoin_research.foundation.interrupts import check, hold
from kucoin_research.foundation.progress import quiet_tqdm
from kucoin_research.model.channels import Channel, parse_channel
from kucoin_research.model.records import Candle, FundingRate, Record, Status
from kucoin_research.streaming.stream import State, Stream

__all__ = ["End", "Limit", "collect", "wait_until_live"]

# If nothing has moved for this many seconds, a stream will not be live: the error is raised.
# Without a network (the symbol list may still be at hand), a few tries are enough to know.
_PATIENCE = 30.0
_PATIENCE_WITHOUT_NETWORK = 3.0
# A stream that is to run for a short time is waited for as long as this.
_SHORTEST_PATIENCE = 15.0
# After many connections the next one has to wait up to a minute, and others may come first.
_LONGEST_HELD = 120.0
# Short slices: "Interrupt kernel" and Ctrl-C get through on every platform.
_SLICE = 0.05
# Seconds between two readings of a virtual clock that is late, and of a clock that stands still.
_SHORTEST_LOOK = 0.001
_LONGEST_LOOK = 0.05
# Seconds for which rows may be on their way, and how many of the newest to look at for that.
_LAST_ROWS = 0.25
_NEWEST = 20
# Each redraw is a handful of messages to a notebook's browser.
_REDRAW_INTERVAL = 0.25
# Their timestamp is not the time of an event: an open time, a settlement, this machine's clock.
_TIMED_OTHERWISE: frozenset[type[Record]] = frozenset({Candle, FundingRate, Status})
_UTC_NS = pl.Datetime("ns", "UTC")


@dataclass(frozen=True, slots=True)
class Limit:
    """When to stop: after ``seconds`` of the venue's clock, or ``rows`` on every channel.

    With neither, only an interrupt ends the collection; with both, whichever comes first.
    """

    seconds: float | None = None
    rows: int | None = None

    @classmethod
    def of(cls, minutes: float | None, seconds: float | None, rows: int | None) -> Self:
        """Check and combine a user's arguments.

        Raises
        ------
        InvalidInput
            If a value is not a positive number.
        """
        for name, value in (("minutes", minutes), ("seconds", seconds), ("rows", rows)):
            if value is not None and not _is_positive(value):
                raise InvalidInput(f"{name} must be a positive number, not {shown(value)}")
        if rows is not None and rows != int(rows):
            raise InvalidInput(f"rows must be a whole number, not {shown(rows)}")
        duration = float((minutes or 0) * 60 + (seconds or 0))
        return cls(duration or None, None if rows is None else int(rows))

    @property
    def patience(self) -> float:
        """Seconds for which nothing may move until the stream is live.

        The length of the collection, but at least 15 and at most 30.
        """
        if self.seconds is None:
            return _PATIENCE
        return min(max(self.seconds, _SHORTEST_PATIENCE), _PATIENCE)


@dataclass(frozen=True, slots=True)
class End:
    """The end of a collection; later rows do not belong to it.

    Attributes
    ----------
    arrival_ns
        By the clock that stamps the rows, ns UTC; ``None`` if no time was set.
    venue_ns
        By the venue's clock, if that is a virtual one and could be read. Rows that say when they
        happened are cut by it, since a moment of this machine's clock is long there.
    rows
        The most of each channel.
    """

    arrival_ns: int | None = None
    venue_ns: int | None = None
    rows: int | None = None

    def cut(self, frame: pl.DataFrame, channel: Channel) -> pl.DataFrame:
        """Leave out a channel's rows behind the end; status rows are all kept."""
        if channel.record is Status:
            return frame
        by, end_ns = "local_timestamp", self.arrival_ns
        if self.venue_ns is not None and channel.record not in _TIMED_OTHERWISE:
            by, end_ns = "timestamp", self.venue_ns
        if end_ns is not None:
            is_before = pl.col(by) <= pl.lit(end_ns).cast(_UTC_NS)
            frame = frame.filter(is_before | pl.col(by).is_null())
        return frame if self.rows is None else frame.head(self.rows)


def _is_positive(value: object) -> bool:
    return is_number(value) and 0 < value < 1e12  # type: ignore[operator]


@hold()
def collect(
    stream: Stream,
    channels: Sequence[str],
    limit: Limit,
    *,
    progress: bool,
    on_look: Callable[[], object] | None = None,
    patience: float | None = None,
    on_end: Callable[[End], int | None] | None = None,
) -> bool:
    """Wait until a stream has reached a limit.

    With ``limit.seconds``, and an exchange in real time, that takes no longer than these once the
    stream is live. If its virtual clock slips behind, it takes up to ``limit.patience`` more.

    Parameters
    ----------
    stream
        Running.
    channels
        Their rows count, except those of ``status``, as it is unknown how many of these will come.
    limit
        When to stop.
    progress
        Whether to show a bar with rows, messages/s and, at the end, the verdict.
    on_look
        Called on this thread, at each look at the stream: some twenty times a second.
    patience
        Seconds that are left until something must move; those of the limit unless given. Whenever
        something has moved, there are those of the limit again.
    on_end
        Called at the end, also after an interrupt, but not when an error is raised. It stops the
        stream and returns the number of rows that are handed out, for the bar. If it returns
        ``None``, the bar shows all that have come.

    Returns
    -------
    bool
        ``False`` when an interrupt ended it early, whenever it came.

    Raises
    ------
    NetworkError, ExchangeError, StreamError
        The error that kept the stream from becoming live at all.
    """
    wanted = map(parse_channel, channels)
    counted = [str(channel) for channel in wanted if channel.record is not Status]
    bar = None
    try:
        bar = _Bar(stream, counted, limit, shown=progress)
        look = _Look(bar, on_look)
        wait_until_live(
            stream,
            limit.patience if patience is None else patience,
            renewed=limit.patience,
            on_wait=lambda: look(0.0),
        )
        end, remark = _wait_until_done(stream, counted, limit, look), ""
    except KeyboardInterrupt:
        end, remark = End(rows=limit.rows), "interrupted"
    except BaseException:
        if bar is not None:
            bar.close()
        raise
    rows = None if on_end is None else on_end(end)
    if bar is not None:
        bar.finish(remark, rows)
        bar.close()
    return not remark


@hold(passes_on=True)
def wait_until_live(
    stream: Stream,
    patience: float = _PATIENCE,
    *,
    renewed: float | None = None,
    on_wait: Callable[[], object] | None = None,
) -> None:
    """Wait until a stream that was just started is live, as long as it makes progress.

    A stream of hundreds of symbols takes a minute: subscriptions keep to the exchange's limits.

    Parameters
    ----------
    stream
        Running.
    patience
        Seconds to wait while nothing moves; fewer while the exchange cannot be reached at all.
    renewed
        Seconds to wait once something has moved: a connection was opened, or a subscription
        answered. As ``patience`` when left out.
    on_wait
        Called on this thread, twenty times a second or more often.

    Raises
    ------
    NetworkError, ExchangeError, StreamError
        The error that kept the stream from becoming live.
    """
    began = moved_at = stream.clock.monotonic()
    progress = stream.progress
    while stream.state not in (State.LIVE, State.FAILED, State.STOPPED):
        if stream.progress != progress:
            moved_at, progress = stream.clock.monotonic(), stream.progress
            patience = patience if renewed is None else renewed
        if stream.held_until is not None and stream.clock.monotonic() < began + _LONGEST_HELD:
            moved_at = stream.clock.monotonic()  # it keeps to the exchange's limits, and says so
        error = stream.error
        shorter = _PATIENCE_WITHOUT_NETWORK if isinstance(error, Unreachable) else patience
        if stream.clock.monotonic() - moved_at > min(patience, shorter):
            raise error or ConnectionLost(
                f"{stream.name!r} was not live within {patience:.0f} s in which nothing "
                f"moved{_way(stream)}; check the network, or try venue='demo'"
            )
        if on_wait is not None:
            on_wait()
        check()
        # With a fast clock, a moment more would be many of the venue's seconds.
        stream.stopping.wait(_SLICE / max(stream.simulation or 1.0, 1.0))
    if stream.state is State.STOPPED:
        raise StreamStopped(f"{stream.name!r} was stopped from elsewhere")
    _raise_if_failed(stream)


def _way(stream: Stream) -> str:
    url = stream.rest.venue.url(stream.subscriptions[0].market)
    return by_way_of(target_of(url))


def _raise_if_failed(stream: Stream) -> None:
    if stream.state is State.FAILED:
        assert stream.error is not None  # that is what failed means
        raise stream.error


def _wait_until_done(stream: Stream, channels: Sequence[str], limit: Limit, look: _Look) -> End:
    # The end even if the venue's clock stands still or cannot be read.
    over_at = None
    if limit.seconds is not None:
        over_at = stream.clock.monotonic() + limit.seconds + limit.patience
    stream.rest.end_by(over_at)
    clock = _VenueClock(stream, channels)
    # A stream that is stopped from elsewhere ends the collection: its rows are the result.
    while stream.state is not State.STOPPED:
        _raise_if_failed(stream)
        check()
        look(clock.elapsed())
        if limit.rows is not None and min(map(stream.total, channels)) >= limit.rows:
            break
        if limit.seconds is None:
            stream.stopping.wait(_SLICE)
        elif clock.reached(limit.seconds):
            look(limit.seconds)
            end = clock.end(limit)
            _wait_for_the_last(stream, channels, end)
            return end
        elif _is_past(stream, over_at):
            break
        else:
            stream.stopping.wait(min(_SLICE, clock.wall_seconds_to(limit.seconds)))
    return End(rows=limit.rows)


def _wait_for_the_last(stream: Stream, channels: Sequence[str], end: End) -> None:
    """Wait for rows of events before the end that are still on their way, on a fast venue."""
    if end.venue_ns is None:
        return
    waiting = set(_that_say_when(channels))
    until = stream.clock.monotonic() + _LAST_ROWS
    while waiting and stream.state is State.LIVE and stream.clock.monotonic() < until:
        check()
        for name in tuple(waiting):
            newest = stream.frame(name, last=_NEWEST)["timestamp"].to_physical().max()
            if isinstance(newest, int) and newest > end.venue_ns:
                waiting.discard(name)  # rows come in order
        stream.stopping.wait(_SHORTEST_LOOK)


def _that_say_when(channels: Sequence[str]) -> list[str]:
    """Choose the channels whose rows say when they happened at the venue."""
    return [name for name in channels if parse_channel(name).record not in _TIMED_OTHERWISE]


def _is_past(stream: Stream, moment: float | None) -> bool:
    return moment is not None and stream.clock.monotonic() >= moment


class _Look:
    """Updates the bar and calls the caller's function at each look at the stream."""

    def __init__(self, bar: _Bar, also: Callable[[], object] | None) -> None:
        self._bar = bar
        self._also = also

    def __call__(self, elapsed: float) -> None:
        self._bar.show(elapsed)
        if self._also is not None:
            self._also()


class _VenueClock:
    """Seconds on the venue's clock since a stream was live: our own, or that of a simulation.

    A virtual clock is read by REST, at the start and when it should have reached the end. In
    between it is estimated from its speed. It may slip behind but never runs ahead, so an estimate
    is too low by no more than the time that the last reading took.

    Its time at the moment when the stream was live lies between two bounds. The upper one is the
    first reading, the lower one is that less the time since, at its speed. With a fast clock these
    are seconds apart, and the time of the first row decides between them.
    """

    def __init__(self, stream: Stream, channels: Sequence[str]) -> None:
        self._stream = stream
        self._timed = _that_say_when(channels)
        self._speed = stream.simulation or 1.0
        self._is_virtual = stream.simulation is not None
        self._pause = _SHORTEST_LOOK
        self._elapsed = 0.0  # at the last reading, made at _read_at
        self._clock = stream.clock
        now = self._clock.monotonic()
        self._read_at = now if stream.live_since is None else stream.live_since
        self._first_read_ns = self._read() if self._is_virtual else None
        self._origin_ns = self._earliest_origin()
        self._is_settled = False

    def _earliest_origin(self) -> int | None:
        if self._first_read_ns is None:
            return None
        ago = self._clock.monotonic() - self._read_at
        return self._first_read_ns - round(ago * self._speed * 1e9)

    def _first_row_ns(self) -> int | None:
        frames = [self._stream.frame(name)["timestamp"].to_physical() for name in self._timed]
        moments = [moment for each in frames if isinstance(moment := each.min(), int)]
        return min(moments, default=None)

    def _settle(self) -> None:
        """Let the first row decide which time it was when the stream was live."""
        if self._is_settled or self._origin_ns is None or self._first_read_ns is None:
            return
        first_ns = self._first_row_ns()
        if first_ns is not None:
            self._origin_ns = min(max(first_ns, self._origin_ns), self._first_read_ns)
            self._is_settled = True

    def _read(self) -> int | None:
        """Ask the venue; ``None`` if it does not answer, which must not end a collection."""
        market = self._stream.subscriptions[0].market
        try:
            return self._stream.rest.server_time(market)
        except KucoinResearchError:
            return None

    def elapsed(self) -> float:
        """Return the seconds, estimated if the clock is virtual."""
        return self._elapsed + (self._clock.monotonic() - self._read_at) * self._speed

    def reached(self, seconds: float) -> bool:
        """Return whether this many seconds have passed; a virtual clock is read for that."""
        if self.elapsed() < seconds:
            return False
        if not self._is_virtual:
            return True
        now_ns = self._read()
        self._settle()
        if now_ns is None or self._origin_ns is None:
            return True  # a venue that does not answer is not waited for
        before, self._elapsed = self._elapsed, (now_ns - self._origin_ns) / 1e9
        self._read_at = self._clock.monotonic()
        stands_still = self._elapsed == before
        self._pause = min(2.0 * self._pause, _LONGEST_LOOK) if stands_still else _SHORTEST_LOOK
        return self._elapsed >= seconds

    def end(self, limit: Limit) -> End:
        """Return the moment at which it has reached the seconds of a limit, once it has."""
        assert limit.seconds is not None
        beyond = max(self.elapsed() - limit.seconds, 0.0) / self._speed
        arrival_ns = self._stream.now_ns() - round(beyond * 1e9)
        if self._origin_ns is None:
            return End(arrival_ns, None, limit.rows)
        return End(arrival_ns, self._origin_ns + round(limit.seconds * 1e9), limit.rows)

    def wall_seconds_to(self, seconds: float) -> float:
        """Return the wall time until it is worth asking again."""
        return max((seconds - self.elapsed()) / self._speed, self._pause)


class _Bar:
    """A tqdm bar, in the terminal or the notebook, or none."""

    def __init__(
        self, stream: Stream, channels: Sequence[str], limit: Limit, *, shown: bool
    ) -> None:
        self._stream = stream
        self._channels = channels
        self._by_time = limit.rows is None
        self._total = limit.seconds if self._by_time else limit.rows
        self._next_redraw = 0.0
        self._elapsed = 0.0
        self._most = limit.rows  # of each channel that are handed out
        self._rows = 0  # at the redraw before
        self._bar: Any = _tqdm(self._total, stream.name, by_time=self._by_time) if shown else None

    def show(self, elapsed: float) -> None:
        self._elapsed = max(elapsed, self._elapsed)  # an estimate may have been ahead
        now = self._stream.clock.monotonic()
        if self._bar is None or now < self._next_redraw:
            return
        self._next_redraw = now + _REDRAW_INTERVAL
        stream = self._stream
        # Those of the redraw before: newer rows may be behind the end, and are not handed out then.
        rows, self._rows = self._rows, self._there()
        self._draw(rows, f"{stream.messages_per_second:,.0f} messages/s", self._state())

    def _state(self) -> str:
        until = self._stream.held_until
        if until is None:
            return str(self._stream.state)
        return f"connects in {max(until - self._stream.clock.monotonic(), 0.0):.0f} s"

    def _there(self) -> int:
        totals = map(self._stream.total, self._channels)
        return sum(total if self._most is None else min(total, self._most) for total in totals)

    def finish(self, remark: str, rows: int | None) -> None:
        if self._bar is not None:
            self._draw(self._there() if rows is None else rows, str(self._stream.verdict), remark)

    def _draw(self, rows: int, *remarks: str) -> None:
        done = self._elapsed if self._by_time else min(map(self._stream.total, self._channels))
        self._bar.n = done if self._total is None else min(done, self._total)
        self._bar.set_postfix_str(", ".join(filter(None, [f"{rows:,} rows", *remarks])))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _tqdm(total: float | None, name: str, *, by_time: bool) -> Any:
    clock = "{n:.0f}/{total:.0f} s" if total is not None else "{n:.0f} s"
    form = "{desc}: {bar} " + clock + "{postfix}" if by_time else None
    if total is None:
        form = "{desc}: {elapsed}{postfix}"
    return quiet_tqdm(total=total, desc=name, unit="rows", bar_format=form, mininterval=0.1)
