"""Recorded sessions played again: everything a live stream has, and a tape recorder's buttons.

One thread reads the session in order of arrival, waits until the next rows are due, calls the
attached functions, and keeps the rows as a stream does. It waits for whoever takes the rows:
nothing is ever left out, and a function that is called sees frames and books exactly as they stood
at its record, at any speed.
"""

from __future__ import annotations

import html
import logging
import os
import threading
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
from kucoin_research.foundation.callbacks import (
    Failure,
)
from kucoin_research.frames.analytics import TradeBars
from kucoin_research.frames.store import FrameStore, wanting
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
from kucoin_research.playback.timeline import Timeline
from kucoin_research.sessions.recorder import Recorder, recorder_for
from kucoin_research.sessions.session import Session

__all__ = ["Replay"]

log = logging.getLogger(__name__)


class Replay(TradeBars):
    """A recorded session, played; ``kucoin_research.replay`` makes and starts one.

    Parameters
    ----------
    session
        What is played.
    speed
        Seconds of the recording per second; None: as fast as it can be read.
    channels, symbols
        Only these.
    capacity
        Rows kept per channel.
    name
        Shown in ``running()``, in errors and in the thread's name.
    paused
        Whether it waits for ``resume``, ``step`` or ``seek``.
    clock
        What the pace is kept by; for tests.

    Raises
    ------
    UnknownChannel, UnknownSymbol
        If it was not recorded.
    InvalidInput
        If the speed is none.

    Notes
    -----
    Every method may be called from any thread, also by an attached function: then ``pause``,
    ``step``, ``seek`` and ``stop`` take effect right behind the record it was called with.
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
        self.is_replaceable = False  # without a warning while it is recorded
        self._player = Player(
            timeline,
            self.subscriptions,
            name=self.name,
            capacity=capacity,
            clock=self.clock,
            replay_clock=MonotonicClock(self.clock) if clock is None else clock,
            speed=_checked_speed(speed),
            is_paused=arguments.truth(paused, "paused"),
        )

    def launch(self) -> Self:
        """Start its thread, once everything is attached that wants the first row."""
        self._player.launch()
        return self

    # -- what it is ------------------------------------------------------------------------------

    @property
    def symbols(self) -> list[str]:
        """The symbols that are replayed."""
        return list(self._store.symbols)

    @property
    def channels(self) -> list[str]:
        """The channels that are replayed; ``status`` besides."""
        return [str(channel) for channel in self._store.channels]

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The instruments as they were at the start of the recording, by symbol."""
        return self.session.instruments

    @property
    def start_ns(self) -> int | None:
        """Local time of the first row, ns UTC; None without any."""
        return self._start_ns

    @property
    def end_ns(self) -> int | None:
        """Local time of the last row, ns UTC; None without any."""
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
        """Where it is, ns UTC: it goes on between two rows, as time does; None without rows."""
        return self._player.position_ns

    @property
    def position(self) -> datetime | None:
        """``position_ns`` as a UTC datetime, to the microsecond."""
        return _datetime(self.position_ns)

    @property
    def is_paused(self) -> bool:
        """Whether it waits for ``resume``, ``step`` or ``seek``."""
        return self._player.is_paused

    @property
    def is_done(self) -> bool:
        """Whether the last row was given; ``seek`` goes back."""
        return self._player.is_done

    @property
    def state(self) -> State:
        """``playing``, ``paused``, ``ended``, ``failed`` or ``stopped``."""
        return self._player.state

    @property
    def error(self) -> KucoinResearchError | None:
        """Why it has failed: mostly a line that cannot be read."""
        return self._player.error

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Functions that raised and are not called any more, until one of that name is attached."""
        return self._player.functions.failures

    @property
    def origin(self) -> Any:
        """Where the rows came from, as ``session.json`` tells."""
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

        Called by an attached function, it ends with the record that this was called with.
        """
        self._player.sync()
        return self._store.frame(channel, symbol, last, mark_filled=mark_filled)

    def book(self, symbol: str | None = None) -> OrderBook:
        """Copy the order book of a symbol whose ``level2`` was recorded, as it stood then.

        Parameters
        ----------
        symbol
            May be left out when there is only one book.

        Raises
        ------
        BookNotReady
            Where the recording stream's book was not in step either.
        """
        self._player.sync()
        return self._player.replay_state.book(symbol)

    def total(self, channel: str | None = None) -> int:
        """Count the rows given on a channel, from the session's start to here."""
        self._player.sync()
        store = self._store
        return store.total(store.channel(channel))

    def report(self) -> Report:
        """Give the account of the data up to here; at the end it is that of the session.

        Where ``channels`` or ``symbols`` were chosen, it is of these.
        """
        self._player.sync()
        is_done = self.is_done
        reached = self._end_ns if is_done else self._player.at_ns
        losses = [] if reached is None else self.session.losses
        # Rows are counted once all of them were read.
        damages = self.session.damage if is_done else self.session.known_damage
        return self._player.replay_state.report(
            self.session.name,
            [loss for loss in losses if is_done or loss.began <= (reached or 0)],
            damages,
        )

    @property
    def verdict(self) -> Verdict:
        """What can be said of the data up to here; ``report()`` says why."""
        return self.report().verdict

    @property
    def rows_per_second(self) -> float:
        """Rows given, over the last five seconds."""
        return self._player.rows_per_second

    @property
    def messages_per_second(self) -> float:
        """As ``rows_per_second``: a recording does not tell which rows one message brought."""
        return self.rows_per_second

    @property
    def status(self) -> StreamStatus:
        """How it is doing right now; the counters are those of the recorded stream up to here."""
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
        """Wait until a channel has given that many rows, counted from the session's start.

        Parameters
        ----------
        channel
            May be left out when there is only one.
        rows
            How many.
        timeout
            Seconds; None waits for ever.

        Returns
        -------
        pl.DataFrame
            ``frame(channel)``.

        Raises
        ------
        StreamTimeout
            If they have not come by then.
        StreamStopped
            If the replay ends before.
        InvalidInput
            If ``rows`` or ``timeout`` is no number.
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
        """Tell whether rows come, or can; a replay has nothing to connect to."""
        return self.state not in (State.STOPPED, State.FAILED)

    def wait_until_done(self, timeout: float | None = None, *, on_error: str = "raise") -> bool:
        """Wait until the last row was given, and what was recorded is on the disk.

        Parameters
        ----------
        timeout
            Seconds; while it is paused, it waits, too.
        on_error
            ``"raise"``: if an attached function raises, or has raised, raise that here and at once,
            each time once. The replay goes on without the function, and so may the waiting.
            ``"tell"``: leave it to ``failures`` and the ``status`` channel.

        Returns
        -------
        bool
            ``False`` if the time passed or it was stopped before.

        Raises
        ------
        FunctionFailed
            If an attached function has raised; ``__cause__`` is what it raised.
        SessionError
            If the session cannot be read on.
        InvalidInput
            If ``on_error`` is neither.
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
        """Seconds of the recording per second; None: as fast as it can be read. May be set."""
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
        """Go on from where it is; at the end there is nothing to go on to.

        Raises
        ------
        StreamStopped
            If the replay was stopped.
        """
        self._player.resume()

    def step(self, n: int = 1) -> None:
        """Give the next rows at once, whenever they are due, and pause behind them.

        Parameters
        ----------
        n
            How many rows, of all channels.

        Raises
        ------
        InvalidInput
            If that is no number of rows.
        StreamStopped
            If the replay was stopped.
        """
        self._player.step(_checked_steps(n))

    def seek(self, when: When) -> None:
        """Go to a time; the next row given is the first that arrived then or later.

        What readers get is what they would have got, had it been played to there; attached
        functions are not called with what lies between. It takes the time of reading that at full
        speed: from here on, or from the beginning where it goes back. Paused, it stays paused.

        Parameters
        ----------
        when
            When rows arrived (``local_timestamp``), from ``start`` to ``end``: a datetime (naive
            means UTC), ISO text, or a Unix time in s, ms, µs or ns. The time between the session's
            own start and the first row means that row; that between the last row and the session's
            end, the last one.

        Raises
        ------
        InvalidInput
            If it is no time, or none within the session, or while the replay is being recorded,
            whose rows would be in no order.
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
        """What records it now."""
        return self._player.recorders

    # -- sinks -----------------------------------------------------------------------------------

    def attach(self, sink: Sink, channel: str | Iterable[str] | None = None) -> Callable[[], None]:
        """Call ``sink(record)`` once for each record from now on, in order, on the replay's thread.

        Parameters
        ----------
        sink
            The replay waits for it, so that it misses nothing, however slow it is. If it raises,
            it is detached; ``wait_until_done`` raises that, ``failures`` lists it, and it is told
            in the ``status`` channel. If it returns a coroutine or a generator, of which nothing
            runs, it is treated as if it had raised. What it reads of the replay ends with the
            record it was called with.
        channel
            Which channels; all of them, ``status`` included, when left out.

        Returns
        -------
        Callable[[], None]
            Detaches the sink; may be called twice. The sink is not called any more when it returns
            (but for a call under way that takes longer than 5 s, or that makes this one).

        Raises
        ------
        InvalidInput
            If it is no plain function: neither async nor a generator.
        StreamStopped
            If the replay was stopped.
        """
        arguments.plain_function(sink, "attach", "record")
        self._player.refuse_if_stopped()
        chosen = self._store.chosen(channel)
        return self._player.attach(AttachedSink(sink, None if channel is None else wanting(chosen)))

    def attach_batches(self, take: Take) -> Callable[[], None]:
        """Call ``take(rows)`` with each batch of rows as it is stored, all channels in order.

        The replay waits for it; much faster than ``attach`` for what can do with many at once. It
        must not change the batch. If it raises, it is detached, which is told as of ``attach``.

        Returns
        -------
        Callable[[], None]
            Detaches it; may be called twice.

        Raises
        ------
        InvalidInput
            If it is no plain function: neither async nor a generator.
        StreamStopped
            If the replay was stopped.
        """
        arguments.plain_function(take, "attach_batches", "rows")
        self._player.refuse_if_stopped()
        return self._player.functions.add_batches(take)

    def record(self, root: str | os.PathLike[str] = "data/sessions", **options: Any) -> Recorder:
        """Record everything from now on into a session's folder below ``root``.

        The rows are the same to the bit, so what begins amid a replay has a book from its next
        snapshot on. The replay waits where the disk is slower. What the session is known to lack,
        the new recording lacks, too, and says so.

        Parameters
        ----------
        root, **options
            See ``kucoin_research.sessions.recorder.Recorder``: ``compression``, ``fsync``, ….

        Returns
        -------
        Recorder
            Ends with the replay, or when closed.

        Raises
        ------
        InvalidInput
            If an option is unknown, or means nothing.
        OSError
            If the folder cannot be made.
        StreamStopped
            If the replay was stopped, has failed or is at its end, so that nothing will come.
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
        """Put a status row into the flow, as of the newest row given."""
        self._player.note(event, detail, channel, symbol)

    # -- the end ---------------------------------------------------------------------------------

    def stop(self, timeout: float = 5.0) -> None:
        """End the replay, its recorders and its thread. Its frames stay readable.

        Called by an attached function, it does not wait: the thread ends when that returns.

        Parameters
        ----------
        timeout
            Seconds to wait for the thread; it ends on its own soon after in any case.
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
    """List what a session lacks of what is replayed, for the recorder that writes it anew."""
    replayed = [(each.channel.name, each.symbol) for each in subscriptions]

    def concerns(harm: Damage | Loss) -> bool:
        return any(harm.concerns(channel, symbol) for channel, symbol in replayed)

    damages = filter(concerns, session.known_damage)
    losses = filter(concerns, session.losses)
    return {
        # By the session's name, too, as the new one may have a file of that name.
        "damage": [each._replace(file=f"{session.name}/{each.file}") for each in damages],
        "losses": [each for each in losses if each.ended >= since_ns],
    }


def _refuse_beyond(to_ns: int, first_ns: int, last_ns: int, name: str, session: Session) -> None:
    """Refuse a time that lies in neither the rows replayed nor the session they are from."""
    if first_ns <= to_ns <= last_ns:
        return
    began_ns, ended_ns = session.start_ns, session.end_ns
    # Those of a replay that was recorded are of another time than its rows.
    if began_ns is not None and ended_ns is not None and began_ns <= first_ns:
        first_ns, last_ns = began_ns, max(last_ns, ended_ns)
    # (`start` and `end` are whole microseconds.)
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
    if speed is None or (isinstance(speed, str) and speed == "max"):  # the command line's word
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
