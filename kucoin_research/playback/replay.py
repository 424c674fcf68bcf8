"""Recorded sessions played again: everything a live stream has, and a tape recorder's buttons.

One thread reads the session in order of arrival, waits until the next rows are due, calls the
attached functions, and keeps the rows as a stream does. It waits for whoever takes the rows:
nothing is ever left out, and a function that is called sees frames and books exactly as they stood
at its record, at any speed.
"""

from __future__ import annotations

import html
import logging
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from operator import length_hint
from types import TracebackType
from typing import Any, Self

import polars as pl

from kucoin_research.errors import (
    FunctionFailed,
    InvalidInput,
    KucoinResearchError,
    SessionError,
    StreamStopped,
    StreamTimeout,
    shown,
)
from kucoin_research.foundation import arguments, clocks
from kucoin_research.foundation.callbacks import (
    BatchSink,
    Failure,
    without,
)
from kucoin_research.foundation.interrupts import arrived, check, hold, join
from kucoin_research.foundation.runtime import eased
from kucoin_research.frames.analytics import TradeBars
from kucoin_research.frames.store import wanting
from kucoin_research.model.channels import Channel, Subscription, market_of, parse_channel
from kucoin_research.model.damage import Damage, Loss
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.integrity import Verdict
from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.rate import RateMeter
from kucoin_research.model.records import ACCOUNT_CHANNELS, ALL_SYMBOLS, Record, Status
from kucoin_research.model.report import Report
from kucoin_research.model.status import State, StreamStatus
from kucoin_research.model.units import When, datetime_of, instant_ns, told_apart
from kucoin_research.playback.attached import AttachedSink, Sink, Take, call_each
from kucoin_research.playback.player import (
    _DETACH_TIMEOUT,
    _FIRST_TURN_ROWS,
    _SLICE,
    _TURN_NS,
    Note,
    PatientRecording,
    Play,
    Seek,
)
from kucoin_research.playback.replay_clock import MonotonicClock, ReplayClock, ReplaySpeed
from kucoin_research.playback.replay_state import ReplayState
from kucoin_research.playback.timeline import BATCH_ROWS, Cursor, Timeline
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
        self._timeline = Timeline(session, channels=channels, symbols=symbols)
        self.subscriptions = tuple(_subscriptions(session, channels, symbols))
        self._capacity = capacity
        self.clock = clocks.current()
        self._clock = MonotonicClock(self.clock) if clock is None else clock
        self._start_ns, self._end_ns = self._timeline.start_ns, self._timeline.end_ns

        # Written by the replay's thread alone.
        self._state = self._new_state()
        self._cursor = Cursor(self._timeline)
        self._is_torn = False  # the tape: what cannot be read cannot be read on
        self._next_ns: int | None = None  # of the row that waits
        self._last_ns: int | None = None  # of the newest row given
        self._turn: list[Record] | None = None  # the rows that functions are being called with
        self._turn_rows: Iterator[Record] = iter(())
        self._committed = 0  # of the turn
        self._is_own = False  # what the turn gives: a row that is not the session's
        self._most = _FIRST_TURN_ROWS
        self._given = 0
        self._meter = RateMeter()

        self._state_lock = threading.Lock()  # guards the stage's books and account
        self._calling = self.clock.lock()  # held while functions are called
        self._changed = self.clock.condition()  # guards all below
        self._pace = ReplaySpeed(_checked_speed(speed))
        self._is_paused = arguments.truth(paused, "paused")
        self._at_ns = self._start_ns  # last given, or sought
        self._rest_ns = self._start_ns  # where it was paused, which may be later
        self._steps = 0
        self._order: Seek | None = None
        self._tickets = self._wound = 0
        self._notes: deque[Status] = deque()
        self._is_busy = False
        self._is_done = False
        self._error: KucoinResearchError | None = None
        self._sinks: tuple[AttachedSink, ...] = ()
        self._batch_sinks: tuple[BatchSink[Record], ...] = ()
        self._recorders: tuple[Recorder, ...] = ()
        #: Functions that have raised and are called no more, until one of that name is attached.
        self.failures: tuple[Failure, ...] = ()
        self._untold: tuple[Failure, ...] = ()  # those that nobody was raised
        self.is_replaceable = False  # without a warning while it is recorded
        self._thread: threading.Thread | None = None
        self._stopping = self.clock.event()

    def _new_state(self) -> ReplayState:
        return ReplayState(self.subscriptions, self._capacity, self.name)

    @hold(passes_on=True)
    def launch(self) -> Self:
        """Start its thread, once what is to be there from the first row on is attached."""
        with self._changed:
            self._wake()
        return self

    def _wake(self) -> None:
        # With _changed held. The thread ends with the data, and is started anew to go back.
        if self._thread is None and not self._stopping.is_set():
            self._thread = self.clock.thread(self._run, f"kucoin-{self.name}-replay")
            self._thread.start()
        self._changed.notify_all()

    # -- what it is ------------------------------------------------------------------------------

    @property
    def symbols(self) -> list[str]:
        """The symbols that are replayed."""
        return list(self._state.store.symbols)

    @property
    def channels(self) -> list[str]:
        """The channels that are replayed; ``status`` besides."""
        return [str(channel) for channel in self._state.store.channels]

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
        self._sync()
        with self._changed:
            return self._position()

    def _position(self) -> int | None:
        at = self._at_ns
        if at is None:
            return None
        if self._is_paused:
            return max(at, self._rest_ns or at)
        moved = self._pace.at(self._clock.now_ns())
        if moved is None or self._next_ns is None or self._is_done:
            return at
        return max(at, min(moved, self._next_ns))

    @property
    def position(self) -> datetime | None:
        """``position_ns`` as a UTC datetime, to the microsecond."""
        return _datetime(self.position_ns)

    @property
    def is_paused(self) -> bool:
        """Whether it waits for ``resume``, ``step`` or ``seek``."""
        return self._is_paused

    @property
    def is_done(self) -> bool:
        """Whether the last row was given; ``seek`` goes back."""
        return self._is_done

    @property
    def state(self) -> State:
        """``playing``, ``paused``, ``ended``, ``failed`` or ``stopped``."""
        if self._stopping.is_set():
            return State.STOPPED
        if self._error is not None:
            return State.FAILED
        if self._is_done:
            return State.ENDED
        return State.PAUSED if self._is_paused else State.PLAYING

    @property
    def error(self) -> KucoinResearchError | None:
        """Why it has failed: mostly a line that cannot be read."""
        return self._error

    @property
    def origin(self) -> Any:
        """Where the rows came from, as ``session.json`` tells."""
        return self.session.meta.get("venue")

    def __str__(self) -> str:
        return f"{self.name}: {self._told()}"

    def __repr__(self) -> str:
        return f"<Replay {self.name}: {self._told()}>"

    def _told(self) -> str:
        speed = "full speed" if self.speed is None else f"{self.speed:g} x"
        ends = f"{_shown(self.start)} to {_shown(self.end)}"
        return f"{self.state}, {speed}, at {_shown(self.position)} of {ends}"

    def _repr_html_(self) -> str:
        error = "" if self._error is None else f"<br><i>{html.escape(str(self._error))}</i>"
        rows = ", ".join(f"{name} {count:,}" for name, count in self._state.store.totals.items())
        return (
            f"<div><b>{html.escape(self.name)}</b><br>{html.escape(self._told())}"
            f"<br>{html.escape(rows)}{error}</div>"
        )

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
        self._sync()
        return self._state.store.frame(channel, symbol, last, mark_filled=mark_filled)

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
        self._sync()
        with self._state_lock:
            return self._state.books.copy(symbol, self.name)

    def total(self, channel: str | None = None) -> int:
        """Count the rows given on a channel, from the session's start to here."""
        self._sync()
        store = self._state.store
        return store.total(store.channel(channel))

    def report(self) -> Report:
        """Give the account of the data up to here; at the end it is that of the session.

        Where ``channels`` or ``symbols`` were chosen, it is of these.
        """
        self._sync()
        reached = self._end_ns if self._is_done else self._at_ns
        losses = [] if reached is None else self.session.losses
        # Rows are counted once all of them were read.
        damages = self.session.damage if self._is_done else self.session.known_damage
        with self._state_lock:
            return self._state.report(
                self.session.name,
                [loss for loss in losses if self._is_done or loss.began <= (reached or 0)],
                damages,
            )

    @property
    def verdict(self) -> Verdict:
        """What can be said of the data up to here; ``report()`` says why."""
        return self.report().verdict

    @property
    def rows_per_second(self) -> float:
        """Rows given, over the last five seconds."""
        return self._meter.rate(self.clock.monotonic(), self._given)

    @property
    def messages_per_second(self) -> float:
        """As ``rows_per_second``: a recording does not tell which rows one message brought."""
        return self.rows_per_second

    @property
    def status(self) -> StreamStatus:
        """How it is doing right now; the counters are those of the recorded stream up to here."""
        self._sync()
        with self._state_lock:
            troubles = self._state.troubles()
        return StreamStatus(
            state=self.state,
            rows=self._state.store.totals,
            messages_per_second=self.rows_per_second,
            lag_p50_ms=None,
            lag_p95_ms=None,
            reconnects=troubles.reconnects,
            gaps=troubles.gaps,
            duplicates=0,
            broken=troubles.broken,
            error=self._error,
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
        wanted = self._state.store.channel(channel)
        rows, timeout = arguments.count(rows, "rows", "rows", least=0), arguments.patience(timeout)
        over = (State.STOPPED, State.FAILED, State.ENDED)
        self._until(lambda: self._total(wanted) >= rows or self.state in over, timeout)
        total = self._total(wanted)
        if total < rows and self.state in over:
            why = "" if self._error is None else f": {self._error}"
            raise StreamStopped(
                f"{self.name!r} is {self.state} after {total} of {rows} rows of {wanted}{why}"
            )
        if total < rows:
            raise StreamTimeout(f"{total} of {rows} rows of {wanted} came within {timeout:g} s")
        return self.frame(channel)

    def _total(self, channel: Channel) -> int:
        return self._state.store.total(channel)

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
        over = (State.STOPPED, State.FAILED, State.ENDED)
        self._until(lambda: self.state in over or (raises and bool(self._untold)), timeout)
        if raises:
            self._raise_untold()
        if self._error is not None:
            raise self._error
        return self.state is State.ENDED

    def _raise_untold(self) -> None:
        with self._changed:
            failures, self._untold = self._untold, ()
        if not failures:
            return
        first, *others = failures
        at = _shown(_datetime(first.time_ns))
        more = f", and {len(others)} more functions raised" if others else ""
        raise FunctionFailed(
            f"{first} at {at}{more}; {self.name!r} goes on without it"
        ) from first.error

    @hold(passes_on=True)
    def _until(self, is_so: Callable[[], bool], timeout: float = math.inf) -> bool:
        if threading.current_thread() is self._thread:
            return is_so()  # it would wait for itself
        deadline = self.clock.monotonic() + timeout
        with self._changed:
            while not is_so():
                check()
                left = min(_SLICE, deadline - self.clock.monotonic())
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    # -- buttons ---------------------------------------------------------------------------------

    @property
    def speed(self) -> float | None:
        """Seconds of the recording per second; None: as fast as it can be read. May be set."""
        return self._pace.speed

    @speed.setter
    def speed(self, speed: float | None) -> None:
        pace = ReplaySpeed(_checked_speed(speed))
        self._sync()
        with self._changed:
            here = self._position()
            if here is not None:
                pace.anchor(self._clock.now_ns(), here)
            self._pace = pace
            self._changed.notify_all()
        self._cut()

    def pause(self) -> None:
        """Stand still; when it returns, nothing more is given until ``resume`` or ``step``.

        Raises
        ------
        StreamStopped
            If the replay was stopped.
        """
        self._refuse_if_stopped()
        self._sync()
        with self._changed:
            if not self._is_paused:
                self._rest_ns = self._position()
            self._is_paused, self._steps = True, 0
            self._changed.notify_all()
        self._cut()
        self._until(lambda: not self._is_busy, _DETACH_TIMEOUT)

    def resume(self) -> None:
        """Go on from where it is; at the end there is nothing to go on to.

        Raises
        ------
        StreamStopped
            If the replay was stopped.
        """
        self._refuse_if_stopped()
        with self._changed:
            here = self._position()
            if self._is_paused and here is not None:
                self._pace.anchor(self._clock.now_ns(), here)
            self._is_paused = False
            self._changed.notify_all()

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
        steps = _checked_steps(n)
        self.pause()
        with self._changed:
            self._steps = steps
            self._rest_ns = self._at_ns
            self._changed.notify_all()
        over = (State.STOPPED, State.FAILED, State.ENDED)
        self._until(lambda: (not self._steps and not self._is_busy) or self.state in over)

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
        self._refuse_beyond(to_ns, self._start_ns, self._end_ns)
        if self.recorders:
            raise InvalidInput(f"{self.name!r} is being recorded; close the recorder to seek")
        with self._changed:
            self._refuse_if_stopped()
            self._tickets += 1
            ticket = self._tickets
            self._order = Seek(min(max(to_ns, self._start_ns), self._end_ns), ticket)
            self._steps = 0
            self._is_done, self._error = False, None
            self._wake()
        self._cut()
        over = (State.STOPPED, State.FAILED)
        self._until(lambda: self._wound >= ticket or self.state in over)
        if self._error is not None:
            raise self._error

    def _refuse_beyond(self, to_ns: int, first_ns: int, last_ns: int) -> None:
        """Refuse a time that lies in neither the rows replayed nor the session they are from."""
        if first_ns <= to_ns <= last_ns:
            return
        began_ns, ended_ns = self.session.start_ns, self.session.end_ns
        # Those of a replay that was recorded are of another time than its rows.
        if began_ns is not None and ended_ns is not None and began_ns <= first_ns:
            first_ns, last_ns = began_ns, max(last_ns, ended_ns)
        # (`start` and `end` are whole microseconds.)
        if not first_ns - 999 <= to_ns <= last_ns + 999:
            when, first, last = told_apart(to_ns, first_ns, last_ns)
            raise InvalidInput(
                f"{when} is not within {self.name!r}, whose rows arrived between {first} and "
                f"{last}; seek by arrival (local_timestamp)"
            )

    @property
    def recorders(self) -> list[Recorder]:
        """What records it now."""
        return [each for each in self._recorders if not each.is_closed]

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
        self._refuse_if_stopped()
        chosen = self._state.store.chosen(channel)
        attached = AttachedSink(sink, None if channel is None else wanting(chosen))
        with self._changed:
            self._sinks = (*self._sinks, attached)
            self.failures = without(self.failures, attached.name)
        self._cut()
        return lambda: self._detach(attached)

    def _detach(self, attached: AttachedSink) -> None:
        attached.is_on = False
        with self._changed:
            self._sinks = tuple(each for each in self._sinks if each is not attached)
        self._cut()
        if self._calling.acquire(timeout=_DETACH_TIMEOUT):
            self._calling.release()

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
        self._refuse_if_stopped()
        return self._attach_batches(take)

    def _attach_batches(self, take: Take) -> Callable[[], None]:
        sink = BatchSink(take)
        with self._changed:
            self._batch_sinks = (*self._batch_sinks, sink)
            self.failures = without(self.failures, sink.name)
        return lambda: self._detach_batches(sink)

    def _detach_batches(self, sink: BatchSink[Record]) -> None:
        with self._changed:
            self._batch_sinks = tuple(each for each in self._batch_sinks if each is not sink)

    def _refuse_if_stopped(self) -> None:
        if self._stopping.is_set():
            raise StreamStopped(
                f"{self.name!r} was stopped, so nothing will come; start another replay"
            )

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
        self._refuse_if_stopped()
        if self.state in (State.FAILED, State.ENDED):
            raise StreamStopped(
                f"{self.name!r} is {self.state}, so nothing will come that could be recorded; seek "
                "back first"
            )
        options.setdefault("instruments", self.session.instruments.values())
        faults = _known_faults(self.session, self.subscriptions, self._at_ns or 0)
        recorder = recorder_for(self, root, options, {"ends_itself": False, **faults})
        recorder.before_close(self._attach_batches(PatientRecording(recorder, self._stopping).take))
        with self._changed:
            self._recorders = (*self._recorders, recorder)
            # As it may be since.
            is_over = self.state in (State.STOPPED, State.FAILED, State.ENDED)
        if is_over:
            self._close_recorders()
        return recorder

    def note(
        self, event: str, detail: str, *, channel: str | None = None, symbol: str | None = None
    ) -> None:
        """Put a status row into the flow, as of the newest row given."""
        detail = detail.encode(errors="replace").decode()  # a foreign error's text may be odd
        with self._changed:
            times = (self._last_ns, self._at_ns, self.clock.wall_ns())
            local = next(each for each in times if each is not None)
            row = Status(local, local, symbol, event, channel, detail, None, None)
            if self._thread is not None:
                self._notes.append(row)
                self._changed.notify_all()
                return
        with self._state_lock:
            self._state.take([row])

    # -- its thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with eased():
                self._play()
        except KucoinResearchError as error:
            self._fail(error)
        except Exception as error:  # the pump's guard
            log.exception("the replay %s met an unexpected error", self.name)
            self._fail(SessionError(f"unexpected {type(error).__name__}: {error}"))

    def _play(self) -> None:
        while (order := self._next_order()) is not None:
            if isinstance(order, Seek):
                self._go_to(order)
            elif isinstance(order, Note):
                self._give([order.row], is_own=True)
            else:
                self._give(self._cursor.take(*order))

    def _fail(self, error: KucoinResearchError) -> None:
        self._close_recorders()
        with self._changed:
            self._error, self._thread, self._is_busy = error, None, False
            self._order = None
            self._is_torn = True
            self._changed.notify_all()

    def _close_recorders(self) -> None:
        for recorder in self._recorders:
            recorder.close()

    def _next_order(self) -> Play | Seek | Note | None:
        """Wait for what is to be done next; None: nothing more, and the thread ends."""
        self._next_ns = None if self._stopping.is_set() else self._cursor.peek()
        while True:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
                order = self._await_order()
                if order is not None:
                    self._is_busy = True
                    return order
            self._close_recorders()  # not under the lock, which they need
            with self._changed:
                is_stopped = self._stopping.is_set()
                if not is_stopped and (self._notes or self._order is not None):
                    continue
                notes = list(self._notes)
                self._notes.clear()
                self._is_done = not is_stopped
                self._thread = None
                self._changed.notify_all()
            if notes:  # nobody is called with them any more, but they can be read
                with self._state_lock:
                    self._state.take(notes)
            return None

    def _await_order(self) -> Play | Seek | Note | None:
        while not self._stopping.is_set():
            if self._notes:
                return Note(self._notes.popleft())
            if self._order is not None:
                return self._order
            if self._next_ns is None:
                return None
            if self._steps:
                return Play(None, min(self._steps, self._most))
            seconds = None
            if not self._is_paused:
                now_ns = self._clock.now_ns()
                due_ns = self._pace.due_ns(now_ns, self._next_ns)
                if due_ns is None or due_ns >= self._next_ns:
                    return Play(due_ns, self._most)
                seconds = self._pace.seconds_until(self._next_ns, due_ns)
            self._clock.wait(self._changed, seconds)
        return None

    def _give(self, rows: list[Record], *, is_own: bool = False) -> None:
        """Call the functions with rows, then keep these."""
        began_ns = self.clock.monotonic_ns()
        self._is_own = is_own
        self._turn, self._committed = rows, 0
        sinks = self._sinks
        if sinks:
            with self._calling:
                self._turn_rows = iter(rows)
                failed = call_each(sinks, self._turn_rows)
                if failed:
                    self._cut()  # the row of the replay's own comes right behind this one
            for attached, error in failed:
                self._drop(attached, error)
        self._commit(len(rows))
        self._turn, self._turn_rows = None, iter(())
        took_ns = self.clock.monotonic_ns() - began_ns
        if took_ns < _TURN_NS // 2:
            self._most = min(2 * self._most, BATCH_ROWS)
        elif took_ns > _TURN_NS:
            self._most = max(self._most // 2, 1)

    def _drop(self, attached: AttachedSink, error: BaseException) -> None:
        attached.is_on = False
        with self._changed:
            self._sinks = tuple(each for each in self._sinks if each is not attached)
        assert self._turn, "it is called within a turn, which ends with the row that it was given"
        self._take_failure(attached.name, error, self._turn[-1].local_timestamp)

    def _take_failure(self, name: str, error: BaseException, time_ns: int | None) -> None:
        time_ns = self.clock.wall_ns() if time_ns is None else time_ns
        failure = Failure.of(name, error, time_ns)
        with self._changed:
            self.failures = (*self.failures, failure)
            self._untold = (*self._untold, failure)
            self._changed.notify_all()
        self.note("sink_failed", f"{failure}; it was detached")

    @property
    def _is_in_turn(self) -> bool:
        return self._turn is not None and threading.current_thread() is self._thread

    def _sync(self) -> None:
        """Keep the rows up to the one that the calling function was given, if one calls."""
        if self._is_in_turn:
            assert self._turn is not None  # by what was just asked
            self._commit(len(self._turn) - length_hint(self._turn_rows))

    def _cut(self) -> None:
        """End the turn behind the row that the calling function was given, if one calls."""
        if not self._is_in_turn:
            return
        assert self._turn is not None  # by what was just asked
        given = len(self._turn) - length_hint(self._turn_rows)
        if given < len(self._turn):
            self._cursor.back(len(self._turn) - given)
            self._next_ns = self._turn[given].local_timestamp
            del self._turn[given:]  # which ends the iterator, too

    def _commit(self, stop: int) -> None:
        assert self._turn is not None  # only within a turn
        rows = self._turn[self._committed : stop]
        if not rows:
            return
        self._committed = stop
        with self._state_lock:
            self._state.take(rows)
        with self._changed:
            self._last_ns = self._at_ns = rows[-1].local_timestamp
            if self._steps and not self._is_own:
                self._steps = max(0, self._steps - len(rows))
        self._count(len(rows))
        for sink in self._batch_sinks:
            error = sink.take(rows)
            if error is not None:
                self._detach_batches(sink)
                self._take_failure(sink.name, error, rows[-1].local_timestamp)

    def _count(self, rows: int) -> None:
        self._meter.sample(self.clock.monotonic(), self._given)
        self._given += rows

    def _go_to(self, wind: Seek) -> None:
        state, cursor, last_ns = self._state, self._cursor, self._last_ns
        if self._is_torn or (last_ns is not None and wind.to_ns <= last_ns):
            state, cursor, last_ns = self._new_state(), Cursor(self._timeline), None
        while (next_ns := cursor.peek()) is not None and next_ns < wind.to_ns:
            if self._stopping.is_set() or self._order is not wind:
                break  # the rows wound so far stay, if they go on from those given
            rows = cursor.take(wind.to_ns - 1, BATCH_ROWS)
            with self._state_lock:
                state.take(rows)
            last_ns = rows[-1].local_timestamp
        with self._changed:
            self._state, self._cursor, self._last_ns, self._next_ns = (
                state,
                cursor,
                last_ns,
                next_ns,
            )
            self._is_torn = False
            if self._order is wind:
                self._order = None
                self._wound = wind.ticket
                self._at_ns = self._rest_ns = wind.to_ns
                self._pace.anchor(self._clock.now_ns(), wind.to_ns)
            elif last_ns is not None:
                self._at_ns = self._rest_ns = last_ns
            self._changed.notify_all()

    # -- the end ---------------------------------------------------------------------------------

    @hold(passes_on=True)
    def stop(self, timeout: float = 5.0) -> None:
        """End the replay, its recorders and its thread. Its frames stay readable.

        Called by an attached function, it does not wait: the thread ends when that returns.

        Parameters
        ----------
        timeout
            Seconds to wait for the thread; it ends on its own soon after in any case.
        """
        seen = arrived()
        with self._changed:
            self._stopping.set()
            thread = self._thread
            self._changed.notify_all()
        self._cut()
        if thread is not None and thread is not threading.current_thread():
            join([thread], timeout, seen=seen, clock=self.clock)

    def disown(self) -> None:
        """Forget the thread in a forked child: it is the parent's alone."""
        self._stopping = threading.Event()
        self._stopping.set()
        self._changed = threading.Condition(threading.RLock())  # may have been held
        self._state_lock = threading.Lock()
        self._calling = threading.RLock()
        self._thread = None
        self._sinks, self._batch_sinks, self._recorders = (), (), ()

    @property
    def stopping(self) -> threading.Event:
        """Set once ``stop`` was called."""
        return self._stopping

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
