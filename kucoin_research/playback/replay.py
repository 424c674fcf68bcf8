"""Recorded sessions played again: the methods of a live stream, and pause, step, seek and speed.

A thread (``player.py``) reads the session in order of arrival, waits until the next rows are due,
calls the attached functions, and keeps the rows as a stream does. It waits for every function and
recorder, so no row is left out. At any speed, a function that is called sees frames and books
exactly as they stood at its record.
"""

from __future__ import annotations

import html
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import polars as pl

from kucoin_research.errors import (
    FunctionFailed,
    InvalidInput,
    KucoinResearchError,
    StreamStopped,
    StreamTimeout,
    shown,
)
from kucoin_research.foundation import arguments, clocks
from kucoin_research.foundation.callbacks import Attachment, Failure, name_of_function
from kucoin_research.frames.analytics import TradeBars
from kucoin_research.frames.store import FrameStore, records_in_words, wanting
from kucoin_research.model.channels import Subscription, market_of, parse_channel
from kucoin_research.model.damage import Damage, Loss
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.integrity import Verdict
from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.records import ACCOUNT_CHANNELS, ALL_SYMBOLS
from kucoin_research.model.report import Report
from kucoin_research.model.status import State, StreamStatus
from kucoin_research.model.units import When, datetime_of, instant_ns, told_apart
from kucoin_research.playback.attached import AttachedSink, Sink, Take
from kucoin_research.playback.player import Player
from kucoin_research.playback.replay_clock import MonotonicClock, ReplayClock
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.timeline import Timeline
from kucoin_research.sessions.writing.recorder import Recorder, recorder_for

__all__ = ["Replay"]


class Replay(TradeBars):
    """Plays a recorded session as if it were a live stream; ``kucoin_research.replay`` starts one.

    It has more than 40 methods because it offers all of a stream's public API and the buttons.

    Parameters
    ----------
    session
        The session to play.
    speed
        Seconds of the recording per second; None: as fast as it can be read.
    channels, symbols
        Play only these.
    capacity
        Rows kept per channel.
    name
        Shown in ``running()``, in errors and in the thread's name.
    paused
        Whether it waits for ``resume``, ``step`` or ``seek``.
    clock
        Decides how long to wait for a row; for tests.

    Raises
    ------
    UnknownChannel, UnknownSymbol
        If it was not recorded.
    InvalidInput
        If ``speed`` is not a number above 0 (or None).

    Notes
    -----
    Every method may be called from any thread. Where an attached function calls ``pause``,
    ``step``, ``seek`` or ``stop``, this takes effect right behind the record it was called with.
    """

    def __init__(
        self,
        session: Session,
        speed: float | None = 1.0,
        *,
        channels: str | Iterable[str] | None = None,
        symbols: str | Iterable[str] | None = None,
        capacity: int = 1_000_000,
        name: str | None = None,
        paused: bool = False,
        clock: ReplayClock | None = None,
    ) -> None:
        self.session = session
        self.name = session.name if name is None else name
        channels = None if channels is None else arguments.texts(channels, "channels")
        symbols = None if symbols is None else arguments.texts(symbols, "symbols")
        timeline = Timeline(session, channels=channels, symbols=symbols)
        self._start_ns, self._end_ns = timeline.start_ns, timeline.end_ns
        self.subscriptions = tuple(_subscriptions(session, channels, symbols))
        self.clock = clocks.current()
        #: Whether another of this name may replace it without a warning while it is recorded.
        self.is_replaceable = False
        self._player = Player(
            timeline,
            self.subscriptions,
            name=self.name,
            capacity=capacity,
            clock=self.clock,
            replay_clock=MonotonicClock(self.clock) if clock is None else clock,
            speed=_checked_speed(speed),
            is_paused=arguments.truth(paused, "paused"),
            owner=weakref.ref(self),
        )

    def launch(self) -> Self:
        """Start its thread; attach first whatever is to get the first row."""
        self._player.launch()
        return self

    # -- session and state -----------------------------------------------------------------------

    @property
    def symbols(self) -> list[str]:
        """The symbols that are replayed."""
        return list(self._store.symbols)

    @property
    def channels(self) -> list[str]:
        """The channels that are replayed; ``status`` comes besides and is not listed."""
        return [str(channel) for channel in self._store.channels]

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The instruments as they were at the start of the recording, by symbol."""
        return self.session.instruments

    @property
    def start_ns(self) -> int | None:
        """Arrival of the first row, ns UTC; None without rows."""
        return self._start_ns

    @property
    def end_ns(self) -> int | None:
        """Arrival of the last row, ns UTC; None without rows."""
        return self._end_ns

    @property
    def start(self) -> datetime | None:
        """``start_ns`` as a UTC datetime, to the microsecond."""
        return _datetime(self._start_ns)

    @property
    def end(self) -> datetime | None:
        """``end_ns`` as a UTC datetime, to the microsecond."""
        return _datetime(self._end_ns)

    @property
    def position_ns(self) -> int | None:
        """The position, ns UTC: between two rows it goes on as time does; None without rows."""
        return self._player.position_ns

    @property
    def position(self) -> datetime | None:
        """``position_ns`` as a UTC datetime, to the microsecond."""
        return _datetime(self.position_ns)

    @property
    def rewinds(self) -> tuple[int, int]:
        """How often it went back in time, and the place it went to last, ns UTC; 0 if never.

        Rows that arrived from that place on are given again; those before count as given already.
        """
        return self._player.rewinds

    @property
    def is_paused(self) -> bool:
        """Whether it waits for ``resume``, ``step`` or ``seek``."""
        return self._player.is_paused

    @property
    def is_done(self) -> bool:
        """Whether the last row was given; ``seek`` can still go back."""
        return self._player.is_done

    @property
    def state(self) -> State:
        """``playing``, ``paused``, ``ended``, ``failed`` or ``stopped``."""
        return self._player.state

    @property
    def error(self) -> KucoinResearchError | None:
        """Why it failed, mostly a line that cannot be read; None if it did not."""
        return self._player.error

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Functions that raised and are not called any more, until one of that name is attached."""
        return self._player.functions.failures

    @property
    def origin(self) -> Any:
        """Where the rows came from, according to ``session.json``."""
        return self.session.meta.get("venue")

    def __str__(self) -> str:
        return f"{self.name}: {self._description()}"

    def __repr__(self) -> str:
        return f"<Replay {self.name}: {self._description()}>"

    def _description(self) -> str:
        speed = "full speed" if self.speed is None else f"{self.speed:g} x"
        ends = f"{_shown(self.start)} to {_shown(self.end)}"
        return f"{self.state}, {speed}, at {_shown(self.position)} of {ends}"

    def _repr_html_(self) -> str:
        error = "" if self.error is None else f"<br><i>{html.escape(str(self.error))}</i>"
        rows = ", ".join(f"{name} {count:,}" for name, count in self._store.totals.items())
        return (
            f"<div><b>{html.escape(self.name)}</b><br>{html.escape(self._description())}"
            f"<br>{html.escape(rows)}{error}</div>"
        )

    @property
    def _store(self) -> FrameStore:
        return self._player.replay_state.store

    # -- readers ---------------------------------------------------------------------------------

    def frame(
        self,
        channel: str | None = None,
        symbol: str | None = None,
        last: int | None = None,
        *,
        mark_filled: bool = False,
    ) -> pl.DataFrame:
        """Take an immutable snapshot of the rows given so far; see ``Stream.frame``.

        If an attached function calls this, the frame ends with the record of that call.
        """
        self._player.sync()
        return self._store.frame(channel, symbol, last, mark_filled=mark_filled)

    def book(self, symbol: str | None = None) -> OrderBook:
        """Copy the order book of a symbol, as it stood at the position; needs ``level2``.

        Parameters
        ----------
        symbol
            May be left out when there is only one book.

        Raises
        ------
        BookNotReady
            If the recording stream's book was not in step at that time either.
        """
        self._player.sync()
        return self._player.replay_state.book(symbol)

    def total(self, channel: str | None = None) -> int:
        """Count the rows given on a channel, from the session's start to the position."""
        self._player.sync()
        store = self._store
        return store.total(store.channel(channel))

    def report(self) -> Report:
        """Report on the data up to the position; at the end this is the session's report.

        If ``channels`` or ``symbols`` were chosen, it covers only these.
        """
        self._player.sync()
        is_done = self.is_done
        reached = self._end_ns if is_done else self._player.at_ns
        losses = [] if reached is None else self.session.losses
        # `damage` reads all rows to count them, so it is asked only at the end.
        damages = self.session.damage if is_done else self.session.known_damage
        return self._player.replay_state.report(
            self.session.name,
            [loss for loss in losses if is_done or loss.began <= (reached or 0)],
            damages,
        )

    @property
    def verdict(self) -> Verdict:
        """The verdict on the data up to the position; ``report()`` says why."""
        return self.report().verdict

    @property
    def rows_per_second(self) -> float:
        """Rows given, over the last five seconds."""
        return self._player.rows_per_second

    @property
    def messages_per_second(self) -> float:
        """The same as ``rows_per_second``: a recording does not keep rows by message."""
        return self.rows_per_second

    @property
    def status(self) -> StreamStatus:
        """The status now; the counters are the recorded stream's, up to the position."""
        self._player.sync()
        troubles = self._player.replay_state.troubles()
        return StreamStatus(
            state=self.state,
            rows=self._store.totals,
            messages_per_second=self.rows_per_second,
            lag_p50_ms=None,
            lag_p95_ms=None,
            reconnects=troubles.reconnects,
            gaps=troubles.gaps,
            duplicates=0,
            broken=troubles.broken,
            error=self.error,
            rollovers=troubles.rollovers,
        )

    def wait(
        self, channel: str | None = None, rows: int = 1, timeout: float | None = 10.0
    ) -> pl.DataFrame:
        """Wait until a channel has given a number of rows, counted from the session's start.

        Parameters
        ----------
        channel
            May be left out when there is only one.
        rows
            The number of rows.
        timeout
            Seconds; None waits for ever.

        Returns
        -------
        pl.DataFrame
            ``frame(channel)``.

        Raises
        ------
        StreamTimeout
            If the time is over before they came.
        StreamStopped
            If the replay ends before they came.
        InvalidInput
            If ``rows`` or ``timeout`` is not a number.
        """
        wanted = self._store.channel(channel)
        rows, timeout = arguments.count(rows, "rows", "rows", least=0), arguments.patience(timeout)
        player = self._player
        # Asked anew each time: a seek may replace the store.
        player.wait_until(lambda: self._store.total(wanted) >= rows or player.is_over, timeout)
        total = self._store.total(wanted)
        if total < rows and player.is_over:
            why = "" if self.error is None else f": {self.error}"
            raise StreamStopped(
                f"{self.name!r} is {self.state} after {total} of {rows} rows of {wanted}{why}"
            )
        if total < rows:
            raise StreamTimeout(f"{total} of {rows} rows of {wanted} came within {timeout:g} s")
        return self.frame(channel)

    def wait_until_live(self, timeout: float | None = 30.0) -> bool:  # noqa: ARG002  as a stream has it
        """Return whether rows can come; it does not wait, as a replay has nothing to connect to."""
        return self.state not in (State.STOPPED, State.FAILED)

    def wait_until_done(self, timeout: float | None = None, *, on_error: str = "raise") -> bool:
        """Wait until the last row was given and all recorded rows are on the disk.

        Parameters
        ----------
        timeout
            Seconds; a pause does not end the waiting.
        on_error
            ``"raise"``: if an attached function raises, or has raised, raise that here at once.
            Each failure is raised once. The replay goes on without the function, and you may call
            this again. ``"tell"``: report failures only in ``failures`` and the ``status`` channel.

        Returns
        -------
        bool
            ``False`` if the time was over, or the replay was stopped, before the last row.

        Raises
        ------
        FunctionFailed
            If an attached function has raised; ``__cause__`` is its error.
        SessionError
            If the rest of the session cannot be read.
        InvalidInput
            If ``on_error`` is neither of the two.
        """
        if not isinstance(on_error, str) or on_error not in ("raise", "tell"):
            raise InvalidInput(f"on_error must be 'raise' or 'tell', not {shown(on_error)}")
        raises, timeout = on_error == "raise", arguments.patience(timeout)
        player = self._player
        player.wait_until(
            lambda: player.is_over or (raises and bool(player.functions.unreported)), timeout
        )
        if raises:
            _raise_first(player.functions.take_unreported(), self.name)
        if self.error is not None:
            raise self.error
        return self.state is State.ENDED

    # -- buttons ---------------------------------------------------------------------------------

    @property
    def speed(self) -> float | None:
        """Seconds of the recording per second; None: as fast as it can be read. Can be set."""
        return self._player.speed

    @speed.setter
    def speed(self, speed: float | None) -> None:
        self._player.change_speed(_checked_speed(speed))

    def pause(self) -> None:
        """Stand still; when it returns, nothing more is given until ``resume`` or ``step``.

        Raises
        ------
        StreamStopped
            If the replay was stopped.
        """
        self._player.pause()

    def resume(self) -> None:
        """Go on from the position; at the end this has no effect.

        Raises
        ------
        StreamStopped
            If the replay was stopped.
        """
        self._player.resume()

    def step(self, n: int = 1, *, seconds: float | None = None) -> None:
        """Give the next rows at once, without waiting until they are due, and pause behind them.

        Parameters
        ----------
        n
            Number of rows, over all channels.
        seconds
            Give the rows of this many seconds of the recording instead, and pause at their end;
            attached functions are called with each of these rows.

        Raises
        ------
        InvalidInput
            If ``n`` is not a number of rows, or ``seconds`` not a number above 0, or if there are
            ``seconds`` besides more than one row.
        StreamStopped
            If the replay was stopped.
        """
        if n != 1 and seconds is not None:
            raise InvalidInput(
                f"step takes a number of rows or seconds, not both: {shown(n)} and "
                f"seconds={shown(seconds)}"
            )
        if seconds is None:
            self._player.step(_checked_steps(n))
        else:
            self._player.step_by(round(arguments.positive(seconds, "seconds", "a number") * 1e9))

    def seek(self, when: When) -> None:
        """Go to a time; the next row given is the first that arrived then or later.

        Frames, books and counts are afterwards as if it had been played up to there. Attached
        functions are not called with the rows in between, unless they follow seeks (``attach``).
        These rows are read at full speed, which takes its time: from the position on or, to go
        back, from the beginning. A paused replay stays paused.

        Parameters
        ----------
        when
            An arrival time (``local_timestamp``) from ``start`` to ``end``: a datetime (naive
            means UTC), ISO text, or a Unix time in s, ms, µs or ns. A time between the session's
            own start and the first row means the first row; a time between the last row and the
            session's end means the last row.

        Raises
        ------
        InvalidInput
            If ``when`` is not a time, or lies beyond the session. If the replay is being recorded:
            the recording's rows would be out of order.
        StreamStopped
            If the replay was stopped.
        SessionError
            If the session cannot be read.
        """
        to_ns = instant_ns(when, "when")
        if to_ns is None:
            raise InvalidInput("seek wants a time")
        if self._start_ns is None or self._end_ns is None:
            return  # there are no rows, so all times are one
        _refuse_beyond(to_ns, self._start_ns, self._end_ns, self.name, self.session)
        if self.recorders:
            raise InvalidInput(f"{self.name!r} is being recorded; close the recorder to seek")
        self._player.seek(min(max(to_ns, self._start_ns), self._end_ns))

    @property
    def recorders(self) -> list[Recorder]:
        """The recorders that record it now."""
        return self._player.recorders

    # -- sinks -----------------------------------------------------------------------------------

    def attach(
        self,
        sink: Sink,
        channel: str | Iterable[str] | None = None,
        *,
        on_rewind: Callable[[int], object] | None = None,
    ) -> Attachment:
        """Call ``sink(record)`` once for each record from now on, in order, on the replay's thread.

        Parameters
        ----------
        sink
            The replay waits for it, so it misses nothing, however slow it is. Frames and books that
            it reads end with the record it was called with. If it raises, it is detached:
            ``wait_until_done`` raises its error, ``failures`` lists it, and a ``status`` row says
            so. Returning a coroutine or a generator counts as raising, because nobody runs it.
        channel
            Which channels; all of them, ``status`` included, when left out.
        on_rewind
            Makes the sink follow ``seek``: it is called with the rows in between, too. A seek back
            begins again at the first row, after it has called ``on_rewind(to_ns)`` with the time
            that is sought. It runs on the replay's thread and must not raise.

        Returns
        -------
        Attachment
            Call it to detach the sink; it may be called twice. Once that has returned, the sink is
            not called any more. Two exceptions: a call under way that takes longer than 5 s goes
            on, and so does the call that detaches its own sink. As a cell's output it says what is
            attached.

        Raises
        ------
        InvalidInput
            If ``sink`` or ``on_rewind`` is async, a generator, or not a function at all.
        StreamStopped
            If the replay was stopped.
        """
        arguments.plain_function(sink, "attach", "record")
        if on_rewind is not None:
            arguments.plain_function(on_rewind, "on_rewind", "to_ns")
        self._player.refuse_if_stopped()
        chosen = self._store.chosen(channel)
        wants = None if channel is None else wanting(chosen)
        attached = AttachedSink(sink, wants, on_rewind)
        rows = records_in_words(None if channel is None else chosen)
        return Attachment(attached.name, rows, self, self._player.attach(attached))

    def attach_batches(self, take: Take) -> Attachment:
        """Call ``take(rows)`` with each batch of rows as it is stored, all channels in order.

        The replay waits for it. This is much faster than ``attach`` where many rows can be handled
        at once. The function must not change the batch. If it raises, it is detached, and this is
        reported as for ``attach``.

        Returns
        -------
        Attachment
            Call it to detach the function; it may be called twice.

        Raises
        ------
        InvalidInput
            If ``take`` is async, a generator, or not a function at all.
        StreamStopped
            If the replay was stopped.
        """
        arguments.plain_function(take, "attach_batches", "rows")
        self._player.refuse_if_stopped()
        detach = self._player.functions.add_batches(take)
        return Attachment(name_of_function(take), "each batch of records", self, detach)

    def record(self, root: str | os.PathLike[str] = "data/sessions", **options: Any) -> Recorder:
        """Record everything from now on into a session's folder below ``root``.

        The rows are the same to the bit. A recording that begins within the replay therefore has a
        book only from the next snapshot on. The replay waits for a slow disk. Losses and damage
        that are known of the session are listed in the new recording, too.

        Parameters
        ----------
        root, **options
            See ``kucoin_research.Recorder``: ``compression``, ``fsync``, ….

        Returns
        -------
        Recorder
            Ends with the replay, or when closed.

        Raises
        ------
        InvalidInput
            If an option is unknown or has a wrong value.
        OSError
            If the folder cannot be made.
        StreamStopped
            If no further row comes: the replay was stopped, has failed, or is at its end.
        """
        self._player.refuse_if_stopped()
        if self.state in (State.FAILED, State.ENDED):
            raise StreamStopped(
                f"{self.name!r} is {self.state}, so nothing will come that could be recorded; seek "
                "back first"
            )
        options.setdefault("instruments", self.session.instruments.values())
        faults = _known_faults(self.session, self.subscriptions, self._player.at_ns or 0)
        recorder = recorder_for(self, root, options, {"ends_itself": False, **faults})
        self._player.add_recorder(recorder)
        return recorder

    def note(
        self, event: str, detail: str, *, channel: str | None = None, symbol: str | None = None
    ) -> None:
        """Put a row of the ``status`` channel behind the newest row given, with its time."""
        self._player.note(event, detail, channel, symbol)

    # -- the end ---------------------------------------------------------------------------------

    def stop(self, timeout: float = 5.0) -> None:
        """End the replay, its recorders and its thread. Its frames stay readable.

        If an attached function calls this, it does not wait: the thread ends when that returns.

        Parameters
        ----------
        timeout
            Seconds to wait for the thread. If it takes longer, it still ends on its own.
        """
        self._player.stop(timeout)

    def disown(self) -> None:
        """Forget the thread in a forked child: it is the parent's alone."""
        self._player.disown()

    @property
    def stopping(self) -> threading.Event:
        """Set once ``stop`` was called."""
        return self._player.stopping

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _known_faults(
    session: Session, subscriptions: Iterable[Subscription], since_ns: int
) -> dict[str, Any]:
    """List the replayed rows that a session lost, for the recorder that writes them anew."""
    replayed = [(each.channel.name, each.symbol) for each in subscriptions]

    def concerns(harm: Damage | Loss) -> bool:
        return any(harm.concerns(channel, symbol) for channel, symbol in replayed)

    damages = filter(concerns, session.known_damage)
    losses = filter(concerns, session.losses)
    return {
        # With the session's name: the new recording may have a file of the same name.
        "damage": [each._replace(file=f"{session.name}/{each.file}") for each in damages],
        "losses": [each for each in losses if each.ended >= since_ns],
    }


def _refuse_beyond(to_ns: int, first_ns: int, last_ns: int, name: str, session: Session) -> None:
    """Refuse a time that lies in neither the rows replayed nor the session they are from."""
    if first_ns <= to_ns <= last_ns:
        return
    began_ns, ended_ns = session.start_ns, session.end_ns
    # A recorded replay was recorded at another time than its rows arrived: then only these count.
    if began_ns is not None and ended_ns is not None and began_ns <= first_ns:
        first_ns, last_ns = began_ns, max(last_ns, ended_ns)
    # `start` and `end` are rounded to microseconds, and they must be accepted.
    if not first_ns - 999 <= to_ns <= last_ns + 999:
        when, first, last = told_apart(to_ns, first_ns, last_ns)
        raise InvalidInput(
            f"{when} is not within {name!r}, whose rows arrived between {first} and "
            f"{last}; seek by arrival (local_timestamp)"
        )


def _raise_first(failures: Sequence[Failure], name: str) -> None:
    if not failures:
        return
    first, *others = failures
    at = _shown(_datetime(first.time_ns))
    more = f", and {len(others)} more functions raised" if others else ""
    raise FunctionFailed(f"{first} at {at}{more}; {name!r} goes on without it") from first.error


def _checked_steps(steps: object) -> int:
    return arguments.count(steps, "step", "rows")


def _checked_speed(speed: object) -> float | None:
    if speed is None or (
        isinstance(speed, str) and speed == "max"
    ):  # as the command line spells it
        return None
    try:
        return arguments.positive(speed, "speed", "a number")
    except InvalidInput:
        raise InvalidInput(
            "speed must be a number above 0, or None for as fast as it can be read, not "
            f"{shown(speed)}"
        ) from None


def _subscriptions(
    session: Session, channels: Sequence[str] | None, symbols: Sequence[str] | None
) -> Iterator[Subscription]:
    there = [parse_channel(name) for name in session.channels]
    chosen = there if channels is None else [session.channel(name) for name in channels]
    wanted = [
        each
        for each in there
        if any(each.name == c.name and c.interval in (None, each.interval) for c in chosen)
    ]
    named = session.symbols if symbols is None else symbols
    for channel in wanted:
        account = channel.name in ACCOUNT_CHANNELS
        for symbol in [ALL_SYMBOLS] if account or not named else named:
            yield Subscription(channel, symbol, market_of(symbol))


def _shown(when: datetime | None) -> str:
    return "-" if when is None else f"{when:%Y-%m-%d %H:%M:%S}"


def _datetime(ns: int | None) -> datetime | None:
    return None if ns is None else datetime_of(ns)
