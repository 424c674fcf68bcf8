"""The thread of a replay: it reads rows, waits until they are due, and calls functions."""

from __future__ import annotations

import functools
import logging
import math
import threading
from collections.abc import Callable, Sequence

from kucoin_research.errors import KucoinResearchError, SessionError, StreamStopped
from kucoin_research.foundation.callbacks import Failure
from kucoin_research.foundation.clocks import Clock
from kucoin_research.foundation.interrupts import arrived, check, hold, join
from kucoin_research.foundation.runtime import eased
from kucoin_research.model.channels import Subscription
from kucoin_research.model.rate import RateMeter
from kucoin_research.model.records import Record, Status, local_timestamp_of
from kucoin_research.model.status import State
from kucoin_research.playback.attached import AttachedFunctions, AttachedSink
from kucoin_research.playback.orders import Note, Orders, Seek
from kucoin_research.playback.passage import Passage
from kucoin_research.playback.playhead import Play, Playhead
from kucoin_research.playback.replay_clock import ReplayClock
from kucoin_research.playback.replay_state import ReplayState
from kucoin_research.playback.turn import Turn
from kucoin_research.sessions.timeline import BATCH_ROWS, Cursor, Timeline
from kucoin_research.sessions.writing.recorder import Recorder

__all__ = ["Player"]

log = logging.getLogger(__name__)

# Waits are cut into slices: an interrupt gets through on every platform.
_SLICE = 0.05
# Functions are called for about this long before orders are looked at again.
_TURN_NS = 10_000_000
_FIRST_TURN_ROWS = 64
# An attached function may take this long before `pause` and a detachment stop waiting for it.
_CALL_TIMEOUT = 5.0


class Player:
    """Plays a timeline on a thread: waits until rows are due, calls functions, and keeps the rows.

    The thread delivers rows in turns of about 10 ms. Within a turn it calls the functions with one
    row after the other. It keeps the rows at the turn's end, or earlier if a function reads them
    (``sync``). Notes and seeks take effect between two turns. A function that is called and presses
    a button ends the turn behind its own row (``cut``), so that the button takes effect there.

    The thread ends with the data; a seek starts another. All methods may be called from any thread.
    The class is large because the thread, the buttons and the readers share a place and a lock.

    Parameters
    ----------
    timeline
        The rows.
    subscriptions
        The channels and symbols of these rows.
    name
        For the thread's name and error texts.
    capacity
        Rows kept per channel.
    clock
        Makes the thread and the locks, and stamps failures.
    replay_clock
        Decides how long the thread waits for a row.
    speed
        Seconds of the recording per second; None: as fast as it can be read.
    is_paused
        Whether it waits for ``resume``, ``step`` or ``seek``.
    owner
        Refers weakly to the object that the thread keeps alive while it runs: a user may drop the
        handle of a replay that is to go on, and ``running()`` still lists it.

    Attributes
    ----------
    functions
        The attached functions.
    error
        Why the thread failed.
    """

    def __init__(
        self,
        timeline: Timeline,
        subscriptions: Sequence[Subscription],
        *,
        name: str,
        capacity: int,
        clock: Clock,
        replay_clock: ReplayClock,
        speed: float | None,
        is_paused: bool,
        owner: Callable[[], object],
    ) -> None:
        self.name = name
        self._owner = owner
        self._timeline = timeline
        self._new_state = functools.partial(ReplayState, subscriptions, capacity, name)
        self._clock = clock
        self._replay_clock = replay_clock

        # Written by the thread alone.
        self._state = self._new_state()
        self._passage: Passage | None = None  # of a seek that is being done
        self._cursor = Cursor(timeline)
        self._is_torn = False  # a cursor that failed to read cannot read on
        self._next_ns: int | None = None  # arrival of the next row
        self._last_ns: int | None = None  # arrival of the newest row given
        self._turn: Turn | None = None
        self._turn_rows = _FIRST_TURN_ROWS  # most rows of a turn
        self._given = 0
        self._meter = RateMeter()

        self.functions = AttachedFunctions(clock)
        self._changed = clock.condition()  # guards what follows
        self._playhead = Playhead(speed, timeline.start_ns, is_paused=is_paused)
        self._rewinds = (0, 0)
        self._is_rewinding = False  # until a seek that began anew, or the one in its place, is done
        self._orders = Orders()
        self._recorders: tuple[Recorder, ...] = ()
        self.is_busy = False
        self.is_done = False
        self.error: KucoinResearchError | None = None
        self._thread: threading.Thread | None = None
        self.stopping = clock.event()

    @hold(passes_on=True)
    def launch(self) -> None:
        """Start the thread."""
        with self._changed:
            self._wake()

    def _wake(self) -> None:
        # With _changed held. The thread ends with the data, and is started anew to go back.
        if self._thread is None and not self.stopping.is_set():
            # The caller's reference becomes the thread's, which drops it when it ends.
            run = functools.partial(self._run, self._owner())
            self._thread = self._clock.thread(run, f"kucoin-{self.name}-replay")
            self._thread.start()
        self._changed.notify_all()

    # -- readers ---------------------------------------------------------------------------------

    @property
    def replay_state(self) -> ReplayState:
        """Frames, books and counts of the rows given so far; a seek may replace it."""
        passage = self._own_passage()
        return self._state if passage is None else passage.state

    @property
    def state(self) -> State:
        """``playing``, ``paused``, ``ended``, ``failed`` or ``stopped``."""
        if self.stopping.is_set():
            return State.STOPPED
        if self.error is not None:
            return State.FAILED
        if self.is_done:
            return State.ENDED
        return State.PAUSED if self.is_paused else State.PLAYING

    @property
    def is_over(self) -> bool:
        """Whether no further row comes, unless it is sent back."""
        return self.state in (State.STOPPED, State.FAILED, State.ENDED)

    @property
    def is_paused(self) -> bool:
        """Whether it waits for ``resume``, ``step`` or ``seek``."""
        return self._playhead.is_paused

    @property
    def at_ns(self) -> int | None:
        """Arrival of the newest row given, or the time that was sought; None without rows."""
        passage = self._own_passage()
        return self._playhead.at_ns if passage is None else passage.at_ns

    @property
    def position_ns(self) -> int | None:
        """The position, ns UTC: between two rows it goes on as time does; None without rows."""
        self.sync()
        if self._own_passage() is not None:
            return self.at_ns
        with self._changed:
            return self._playhead.position(*self._times())

    def _times(self) -> tuple[int, int | None]:
        # With _changed held: the replay clock's time, and the arrival of the row waited for.
        return self._replay_clock.now_ns(), None if self.is_done else self._next_ns

    @property
    def rewinds(self) -> tuple[int, int]:
        """How often it went back in time, and where to the last time, ns UTC; 0 of none.

        Whoever asks before and behind a reading, and gets the same, has read rows of that pass.
        """
        with self._changed:  # rows and number change together
            return self._rewinds

    @property
    def rows_per_second(self) -> float:
        """Rows given, over the last five seconds."""
        return self._meter.rate(self._clock.monotonic(), self._given)

    @property
    def recorders(self) -> list[Recorder]:
        """The recorders that are open."""
        return [each for each in self._recorders if not each.is_closed]

    @hold(passes_on=True)
    def wait_until(self, is_so: Callable[[], bool], timeout: float = math.inf) -> bool:
        """Wait until something is so, or the time (in seconds) is over; returns whether it is.

        ``is_so`` is called with the player's lock held.
        """
        if threading.current_thread() is self._thread:
            return is_so()  # it would wait for itself
        deadline = self._clock.monotonic() + timeout
        with self._changed:
            while not is_so():
                check()
                left = min(_SLICE, deadline - self._clock.monotonic())
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    # -- buttons ---------------------------------------------------------------------------------

    @property
    def speed(self) -> float | None:
        """Seconds of the recording per second; None: as fast as it can be read."""
        return self._playhead.speed

    def change_speed(self, speed: float | None) -> None:
        """Go on at another speed."""
        self.sync()
        with self._changed:
            self._playhead.change_speed(speed, *self._times())
            self._changed.notify_all()
        self.cut()

    def pause(self) -> None:
        """Stand still; when it returns, nothing more is given until ``resume`` or ``step``."""
        self.refuse_if_stopped()
        self.sync()
        with self._changed:
            self._playhead.pause(*self._times())
            self._changed.notify_all()
        self.cut()
        self.wait_until(lambda: not self.is_busy, _CALL_TIMEOUT)

    def resume(self) -> None:
        """Go on from the present position."""
        self.refuse_if_stopped()
        with self._changed:
            self._playhead.resume(*self._times())
            self._changed.notify_all()

    def step(self, rows: int) -> None:
        """Deliver this many rows at once, and pause behind them."""
        self.pause()
        with self._changed:
            self._playhead.step(rows)
            self._changed.notify_all()
        self._wait_for_steps()

    def step_by(self, length_ns: int) -> None:
        """Deliver the rows of this length of time at once, and pause at its end."""
        self.pause()
        with self._changed:
            here_ns = self._playhead.position(*self._times())
            if here_ns is not None:
                self._playhead.step_to(here_ns + length_ns)
                self._changed.notify_all()
        self._wait_for_steps()

    def _wait_for_steps(self) -> None:
        self.wait_until(
            lambda: (not self._playhead.is_stepping and not self.is_busy) or self.is_over
        )

    def seek(self, to_ns: int) -> None:
        """Go to a time, ns UTC, from the first row's arrival to the last one's."""
        with self._changed:
            self.refuse_if_stopped()
            ticket = self._orders.add_seek(to_ns)
            self._playhead.drop_steps()
            self.is_done, self.error = False, None
            self._wake()
        self.cut()
        over = (State.STOPPED, State.FAILED)
        self.wait_until(lambda: self._orders.is_reached(ticket) or self.state in over)
        if self.error is not None:
            raise self.error

    def refuse_if_stopped(self) -> None:
        """Raise ``StreamStopped`` once ``stop`` was called."""
        if self.stopping.is_set():
            raise StreamStopped(
                f"{self.name!r} was stopped, so nothing will come; start another replay"
            )

    # -- functions -------------------------------------------------------------------------------

    def attach(self, sink: AttachedSink) -> Callable[[], None]:
        """Call a function with each record from now on; returns the function that detaches it."""
        self.functions.add(sink)
        self.cut()  # what comes behind the row being given is for it, too
        return lambda: self._detach(sink)

    def _detach(self, sink: AttachedSink) -> None:
        self.functions.remove(sink)
        self.cut()
        self.functions.wait_for_call(_CALL_TIMEOUT)

    def add_recorder(self, recorder: Recorder) -> None:
        """Pass all rows from now on to a recorder, and close it at the end."""
        recording = _PatientRecording(recorder, self.stopping)
        recorder.before_close(self.functions.add_batches(recording.take))
        with self._changed:
            self._recorders = (*self._recorders, recorder)
            is_over = self.is_over  # it may have ended since the caller looked
        if is_over:
            self._close_recorders()

    def note(self, event: str, detail: str, channel: str | None, symbol: str | None) -> None:
        """Put a status row of the replay's own behind the newest row given."""
        detail = detail.encode(errors="replace").decode()  # an error of others may hold any text
        with self._changed:
            times = (self._last_ns, self.at_ns, self._clock.wall_ns())
            local = next(each for each in times if each is not None)
            row = Status(local, local, symbol, event, channel, detail, None, None)
            if self._thread is not None:
                self._orders.add_note(row)
                self._changed.notify_all()
                return
        self._state.take([row])

    # -- the thread ------------------------------------------------------------------------------

    def _run(self, _owner: object) -> None:
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
                self._deliver([order.row], is_own=True)
            else:
                self._deliver(self._cursor.take(*order))

    def _fail(self, error: KucoinResearchError) -> None:
        self._close_recorders()
        with self._changed:
            self.error, self._thread, self.is_busy = error, None, False
            self._orders.drop_seek()
            self._is_torn = True
            self._changed.notify_all()

    def _close_recorders(self) -> None:
        for recorder in self._recorders:
            recorder.close()

    def _next_order(self) -> Play | Seek | Note | None:
        """Wait for the next thing to do; returns None at the end, and then the thread ends."""
        self._next_ns = None if self.stopping.is_set() else self._cursor.peek()
        while True:
            with self._changed:
                self.is_busy = False
                self._changed.notify_all()
                order = self._await_order()
                if order is not None:
                    self.is_busy = True
                    return order
            self._close_recorders()  # without the lock: a recorder's thread may be adding a note
            with self._changed:
                is_stopped = self.stopping.is_set()
                if not is_stopped and not self._orders.is_empty:
                    continue  # something was asked while the recorders were being closed
                notes = self._orders.take_notes()
                self.is_done = not is_stopped
                self._thread = None
                self._changed.notify_all()
            if notes:  # no function is called with them any more, but they can be read
                self._state.take(notes)
            return None

    def _await_order(self) -> Play | Seek | Note | None:
        while not self.stopping.is_set():
            order = self._orders.next()
            if order is not None or self._next_ns is None:
                return order
            now_ns = self._replay_clock.now_ns()
            move = self._playhead.next_move(now_ns, self._next_ns, self._turn_rows)
            if isinstance(move, Play):
                return move
            self._replay_clock.wait(self._changed, move.seconds)
        return None

    def _deliver(self, rows: list[Record], *, is_own: bool = False) -> None:
        """Call the functions with rows, then keep these."""
        began_ns = self._clock.monotonic_ns()
        turn = self._turn = Turn(rows, is_own=is_own)
        sinks = self.functions.sinks
        if sinks:
            failed = self.functions.call(sinks, turn.begin())
            if failed:
                self.cut()  # the status row of the failure comes right behind this row
            for sink, error in failed:
                self.functions.remove(sink)
                self._take_failure(sink.name, error, turn.rows)
        self._keep(turn, len(rows))
        self._turn = None
        took_ns = self._clock.monotonic_ns() - began_ns
        if took_ns < _TURN_NS // 2:
            self._turn_rows = min(2 * self._turn_rows, BATCH_ROWS)
        elif took_ns > _TURN_NS:
            self._turn_rows = max(self._turn_rows // 2, 1)

    def _take_failure(self, name: str, error: BaseException, rows: Sequence[Record]) -> None:
        # The last row is the one that the function was called with: a turn was cut behind it.
        failure = Failure.of(name, error, local_timestamp_of(rows[-1]))
        self.functions.add_failure(failure)
        with self._changed:
            self._changed.notify_all()
        self.note("sink_failed", f"{failure}; it was detached", None, None)

    def _own_turn(self) -> Turn | None:
        """Return the turn if an attached function calls from within it."""
        turn = self._turn
        return turn if threading.current_thread() is self._thread else None

    def _own_passage(self) -> Passage | None:
        """Return the passage of a seek if an attached function calls from within it."""
        passage = self._passage
        return passage if threading.current_thread() is self._thread else None

    def sync(self) -> None:
        """Keep the rows up to the one that the calling function was given, if one calls."""
        turn, passage = self._own_turn(), self._own_passage()
        if turn is not None:
            self._keep(turn, turn.given)
        elif passage is not None:
            passage.keep()

    def cut(self) -> None:
        """End the turn behind the row that the calling function was given, if one calls."""
        turn, passage = self._own_turn(), self._own_passage()
        if passage is not None:
            passage.cut()
        if turn is None:
            return
        rest = turn.cut()
        if rest:
            self._cursor.back(len(rest))
            self._next_ns = local_timestamp_of(rest[0])

    def _keep(self, turn: Turn, stop: int) -> None:
        rows = turn.keep(stop)
        if not rows:
            return
        self._state.take(rows)
        with self._changed:
            self._last_ns = local_timestamp_of(rows[-1])
            self._playhead.pass_rows(self._last_ns, 0 if turn.is_own else len(rows))
        self._meter.sample(self._clock.monotonic(), self._given)
        self._given += len(rows)
        for sink in self.functions.batch_sinks:
            error = sink.take(rows)
            if error is not None:
                self.functions.remove_batches(sink)
                self._take_failure(sink.name, error, rows)

    def _go_to(self, seek: Seek) -> None:
        state, cursor, last_ns = self._state, self._cursor, self._last_ns
        if self._is_torn or (last_ns is not None and seek.to_ns <= last_ns):
            state, cursor, last_ns = self._new_state(), Cursor(self._timeline), None
            self.functions.rewind(seek.to_ns)
        while (next_ns := cursor.peek()) is not None and next_ns < seek.to_ns:
            if self.stopping.is_set() or self._orders.seek is not seek:
                break  # the rows read so far stay, if they go on from those given
            last_ns = self._pass_over(state, cursor, seek.to_ns - 1)
        with self._changed:
            # All at once, so that no reader sees the new rows with the old position.
            is_rewinding = self._is_rewinding or state is not self._state
            if is_rewinding:
                self._rewinds = (self._rewinds[0] + 1, seek.to_ns)
            self._state, self._cursor = state, cursor
            self._last_ns, self._next_ns = last_ns, next_ns
            self._is_torn = False
            is_there = self._orders.finish(seek)
            self._is_rewinding = is_rewinding and not is_there
            if is_there:
                self._playhead.go_to(self._replay_clock.now_ns(), seek.to_ns)
            elif last_ns is not None:
                self._playhead.stop_at(last_ns)
            self._changed.notify_all()

    def _pass_over(self, state: ReplayState, cursor: Cursor, until_ns: int) -> int:
        """Read the next rows of a seek, and call the functions that follow seeks with them.

        Returns
        -------
        int
            Arrival of the newest row that was read, ns UTC.
        """
        rows = cursor.take(until_ns, BATCH_ROWS)
        passage = Passage(state, cursor, rows)
        while passage.is_left and (sinks := self.functions.following):
            self._passage = passage
            try:
                failed = self.functions.call(sinks, passage.begin())
            finally:
                self._passage = None
            for sink, error in failed:
                self.functions.remove(sink)
                self._take_failure(sink.name, error, passage.given)
        return passage.finish()

    # -- the end ---------------------------------------------------------------------------------

    @hold(passes_on=True)
    def stop(self, timeout: float) -> None:
        """End the thread and the recorders; waits for it up to ``timeout`` seconds."""
        seen = arrived()
        with self._changed:
            self.stopping.set()
            thread = self._thread
            self._changed.notify_all()
        self.cut()
        if thread is not None and thread is not threading.current_thread():
            join([thread], timeout, seen=seen, clock=self._clock)

    def disown(self) -> None:
        """Forget the thread in a forked child: it is the parent's alone."""
        self.stopping = threading.Event()
        self.stopping.set()
        # The parent's thread may have held any of the locks.
        self._changed = threading.Condition(threading.RLock())
        self.replay_state.disown()
        self._thread = None
        self.functions.disown()
        self._recorders = ()


class _PatientRecording:
    """Passes rows to a recorder when it has room for them, so that it drops none."""

    def __init__(self, recorder: Recorder, stopping: threading.Event) -> None:
        self._recorder = recorder
        self._stopping = stopping

    def take(self, rows: Sequence[Record]) -> None:
        recorder = self._recorder
        while rows and not recorder.is_closed:
            room = recorder.room
            # Small parts cost more than they save: a recorder that still writes is left alone until
            # there is room for all rows.
            is_worth_it = room >= len(rows) or not recorder.waiting
            if is_worth_it or self._stopping.is_set():
                part = rows[:room] if is_worth_it else rows
                recorder.take(part)
                rows = rows[len(part) :]
            else:
                self._stopping.wait(0.01)
