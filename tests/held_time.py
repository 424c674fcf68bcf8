"""A clock that stands still while any thread works, so that tests are deterministic.

In `HeldTime`, streams, recorders, replays and simulated exchanges of one process run together. One
of their threads, or the test's, runs at a time. It runs until it waits for something; then the next
thread runs whose wait is over. If all threads wait, time moves on to the earliest deadline. So a
test sees the same rows in the same order, at the same times, on any machine: a slow one only takes
longer.

Sockets are real. Bytes that were sent arrive before another thread runs; otherwise a thread could
look for a byte that is still on its way, and miss it.

    with HeldTime() as time, kr.simulate(seed=7) as x, kr.stream("XBTUSDTM", venue=x.venue) as s:
        s.wait(rows=100)               # many virtual seconds, but few real ones
        time.wait_until(lambda: s.status.gaps == 0)
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import itertools
import math
import os
import random
import select
import selectors
import socket
import sys
import termios
import threading
import traceback
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import requests
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from kucoin_research.foundation import clocks
from kucoin_research.foundation.clocks import Clock
from kucoin_research.sim.engine.machine import Machine

NS = 1_000_000_000
#: The wall clock's time at the start: 2027-01-15 08:00 UTC, which is not the exchange's time.
WALL_START_NS = 1_800_000_000 * NS
_START_NS = 1_000 * NS
# A thread that runs for this many real seconds is waiting for something outside of held time: a
# lock, a plain event, a process.
_STUCK = 500.0
_GRACE = 5.0
# A connection on loopback may take this many real seconds.
_HANDSHAKE = 0.05


class Stuck(AssertionError):
    """All threads wait, and none will ever go on."""


class _Over(BaseException):
    """Held time is over; ends the threads that are left in it."""


class _Actor:
    """A thread of held time, with the condition and the deadline that it waits for."""

    def __init__(self, number: int, thread: threading.Thread) -> None:
        self.number = number
        self.thread = thread
        self.turn = threading.Lock()  # released by the thread that lets this one run
        self.turn.acquire()
        self.is_ready: Callable[[], bool] | None = None  # None while it runs
        self.deadline_ns: int | None = None
        self.failure: BaseException | None = None  # raised in the thread, where it waits

    def may_go_on(self, now_ns: int) -> bool:
        if self.deadline_ns is not None and self.deadline_ns <= now_ns:
            return True
        try:
            return self.is_ready is not None and self.is_ready()
        except (OSError, ValueError):  # its socket was closed: it runs, and finds out
            return True


class HeldTime(Clock):
    """A clock, and a machine for exchanges, whose time passes only while all its threads wait.

    As a context manager, it is the clock of everything that is made inside without another one.

    Parameters
    ----------
    seed
        The seed of the jitter.
    """

    def __init__(self, seed: int = 1) -> None:
        self._now_ns = _START_NS
        self._set_ns = 0  # sum of all settings of the wall clock
        self._numbers = itertools.count()
        self._actors: dict[int, _Actor] = {}  # by thread ident
        self._parked: list[_Actor] = []  # ordered by number
        self._last = -1  # number of the actor that ran last
        self._lock = threading.Lock()  # guards the actors against threads that join
        self._wires = _Wires()
        self._connecting: weakref.WeakSet[socket.socket] = weakref.WeakSet()  # waited for before
        self._is_over = False
        super().__init__()
        self.random = random.Random(seed)
        self.machine = _HeldMachine(self)
        self._used = contextlib.ExitStack()

    def __enter__(self) -> HeldTime:
        self._test = self._join(threading.current_thread())
        self._used.enter_context(clocks.use(self))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._used.close()
        try:
            self.wait_until(lambda: len(self._actors) == 1, 30.0, what="all threads have ended")
        except AssertionError:
            if kind is None:
                raise
        finally:
            self._is_over = True
            for actor in self._parked:
                actor.turn.release()

    # -- the clock -------------------------------------------------------------------------------

    def wall_ns(self) -> int:
        """Read the wall clock."""
        return WALL_START_NS + self._now_ns - _START_NS + self._set_ns

    def set_wall(self, forward_ns: int) -> None:
        """Set the wall clock forward, or back; the monotonic clock is unchanged."""
        self._set_ns += forward_ns

    def monotonic_ns(self) -> int:
        """Read the monotonic clock."""
        return self._now_ns

    def monotonic(self) -> float:
        """Read the monotonic clock, in seconds."""
        return self._now_ns / NS

    def event(self) -> HeldEvent:
        """Make an event."""
        return HeldEvent(self)

    def condition(self) -> HeldCondition:
        """Make a condition."""
        return HeldCondition(self)

    def lock(self) -> HeldLock:
        """Make a lock that a thread may hold while it waits."""
        return HeldLock(self)

    def thread(self, target: Callable[[], object], name: str) -> HeldThread:
        """Make a thread; it first runs when the thread that starts it waits."""
        return HeldThread(self, target, name)

    def connected(self, socks: Sequence[socket.socket], seconds: float) -> list[socket.socket]:
        """Wait until at least one connecting socket has connected or failed; return those."""
        # On loopback, connecting takes real microseconds and no held time.
        new = [each for each in socks if each not in self._connecting]
        self._connecting.update(new)
        if new and (ready := super().connected(socks, _HANDSHAKE)):
            return ready
        self.park(lambda: any(_is(each.fileno(), select.POLLOUT) for each in socks), seconds)
        return [each for each in socks if _is(each.fileno(), select.POLLOUT)]

    def adopt(self, sock: socket.socket) -> HeldSocket:
        """Replace a connected socket by one that waits by held time."""
        return HeldSocket.of(self, sock, sock.gettimeout())

    def handle(self, sock: socket.socket) -> Any:
        """Make a handle whose ``shutdown`` is seen by the other end before another thread runs."""
        return _Handle(sock) if isinstance(sock, HeldSocket) else super().handle(sock)

    # -- waiting, for tests ----------------------------------------------------------------------

    def wait_until(
        self, condition: Callable[[], Any], timeout: float = 30.0, what: str = ""
    ) -> None:
        """Wait until a condition holds; fail if it does not within ``timeout`` held seconds."""
        deadline = self._now_ns + int(timeout * NS)
        while not condition():
            assert self._now_ns < deadline, (
                f"{what or 'it'} did not come true within {timeout} s\n{self._story()}"
            )
            self.park(lambda: False, 0.01)

    def pass_by(self, seconds: float) -> None:
        """Let this many seconds pass."""
        self.park(lambda: False, seconds)

    # -- choosing the thread that runs -----------------------------------------------------------

    def park(self, is_ready: Callable[[], bool], timeout: float | None) -> None:
        """Wait until ``is_ready`` is true or the timeout is over; other threads run meanwhile."""
        if self._is_over:
            return
        me = self._actors.get(threading.get_ident())
        if me is None:
            raise Stuck(f"{threading.current_thread().name} is no thread of held time's clock")
        me.deadline_ns = None
        if timeout is not None:
            me.deadline_ns = self._now_ns + max(0, math.ceil(timeout * NS))
        me.is_ready = is_ready
        self._line_up(me)
        self._pass_on()
        self._await_turn(me)

    def _await_turn(self, me: _Actor) -> None:
        try:
            if not me.turn.acquire(timeout=_STUCK):
                raise Stuck(f"nobody has waited for {_STUCK:g} real s\n{self._story()}")
        except Stuck:
            raise
        except BaseException:  # raised by a signal's handler: wait for our turn all the same
            me.is_ready = _always
            me.turn.acquire(timeout=_GRACE)
            raise
        if self._is_over:
            raise _Over
        failure, me.failure = me.failure, None
        if failure is not None:
            raise failure

    def _pass_on(self) -> None:
        self._choose().turn.release()

    def _choose(self) -> _Actor:
        """Choose the next thread in turn whose wait is over; if none is, move time on first."""
        while True:
            self._wires.settle()
            with self._lock:
                parked = list(self._parked)
            after = [one for one in parked if one.number > self._last]
            before = [one for one in parked if one.number <= self._last]
            for actor in (*after, *before):
                if actor.may_go_on(self._now_ns):
                    return self._take(actor)
            deadlines = [one.deadline_ns for one in parked if one.deadline_ns is not None]
            if not deadlines:
                # Raised in the test's own thread, whichever thread chooses here.
                story = self._story()
                self._test.failure = Stuck(f"all wait for one another, without end\n{story}")
                return self._take(self._test)
            self._now_ns = max(self._now_ns, min(deadlines))

    def _take(self, actor: _Actor) -> _Actor:
        with self._lock:
            self._parked.remove(actor)
        actor.is_ready = None
        self._last = actor.number
        return actor

    def _join(self, thread: threading.Thread) -> _Actor:
        actor = _Actor(next(self._numbers), thread)
        self._actors[threading.get_ident()] = actor
        return actor

    def _enrol(self, thread: HeldThread) -> _Actor:
        """Line up a new thread; it runs when the thread that starts it waits."""
        actor = _Actor(next(self._numbers), thread)
        actor.is_ready = _always
        self._line_up(actor)
        return actor

    def _line_up(self, actor: _Actor) -> None:
        with self._lock:
            if actor not in self._parked:
                self._parked.append(actor)
                self._parked.sort(key=lambda one: one.number)

    def _strike_off(self, actor: _Actor) -> None:
        with self._lock:
            self._parked.remove(actor)

    def _begin(self, actor: _Actor) -> None:
        self._actors[threading.get_ident()] = actor
        self._await_turn(actor)

    def _end(self) -> None:
        actor = self._actors.pop(threading.get_ident())
        actor.thread.is_over = True  # type: ignore[attr-defined]
        if not self._is_over:
            self._pass_on()

    def _story(self) -> str:
        """Describe where each thread is, for failures."""
        frames = sys._current_frames()
        lines = [f"held time: {self._now_ns / NS:.3f} s"]
        for ident, actor in list(self._actors.items()):
            until = actor.deadline_ns
            waits = "runs" if actor.is_ready is None else "waits"
            limit = "" if until is None else f" until {until / NS:.3f} s"
            lines.append(f"{actor.number} {actor.thread.name}: {waits}{limit}")
            if ident in frames:
                stack = traceback.format_stack(frames[ident])[-6:]
                lines += ["  " + line.strip() for line in stack]
        return "\n".join(lines)


class SkewedTime(Clock):
    """Held time on a machine whose wall clock is wrong by a fixed amount."""

    def __init__(self, time: HeldTime, skew_ns: int) -> None:
        self._skew_ns = skew_ns
        self._time = time
        self.monotonic_ns, self.monotonic = time.monotonic_ns, time.monotonic
        self.event, self.condition, self.lock = time.event, time.condition, time.lock
        self.thread, self.adopt, self.handle = time.thread, time.adopt, time.handle
        self.connected = time.connected
        super().__init__()

    def wall_ns(self) -> int:
        return self._time.wall_ns() + self._skew_ns


class HeldThread(threading.Thread):
    """A daemon thread that runs in held time."""

    def __init__(self, time: HeldTime, target: Callable[[], object], name: str) -> None:
        super().__init__(target=target, name=name, daemon=True)
        self._time = time
        self._actor: _Actor | None = None
        self.is_over = False

    def start(self) -> None:
        self._actor = self._time._enrol(self)
        try:
            super().start()
        except BaseException:
            self._time._strike_off(self._actor)
            self._actor = None
            raise

    def run(self) -> None:
        assert self._actor is not None
        self._time._begin(self._actor)
        try:
            super().run()
        except _Over:
            return
        finally:
            self._time._end()

    def join(self, timeout: float | None = None) -> None:
        if self._actor is None:
            super().join(timeout)  # raises, since it was not started
        self._time.park(lambda: self.is_over, timeout)
        if self.is_over:
            super().join()

    def is_alive(self) -> bool:
        if self.is_over and self is not threading.current_thread():
            # It is about to exit. Wait for that, so that `threading.enumerate` lists it no more.
            super().join()
        return super().is_alive() and not self.is_over


class HeldEvent(threading.Event):
    """An event whose ``wait`` goes by held time."""

    def __init__(self, time: HeldTime) -> None:
        super().__init__()
        self._time = time

    def wait(self, timeout: float | None = None) -> bool:
        if not self.is_set():
            self._time.park(self.is_set, timeout)
        return self.is_set()


class HeldLock:
    """A reentrant lock that a thread may hold while it waits."""

    def __init__(self, time: HeldTime) -> None:
        self._time = time
        self._owner: int | None = None
        self._count = 0

    def _is_free(self) -> bool:
        return self._owner is None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        me = threading.get_ident()
        if self._owner not in (None, me):
            if not blocking:
                return False
            self._time.park(self._is_free, None if timeout < 0 else timeout)
            if self._owner is not None:
                return False
        self._owner = me
        self._count += 1
        return True

    def release(self) -> None:
        assert self._owner == threading.get_ident(), "released by who does not hold it"
        self._count -= 1
        if not self._count:
            self._owner = None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class HeldCondition:
    """A condition whose ``wait`` goes by held time."""

    def __init__(self, time: HeldTime) -> None:
        self._time = time
        self._lock = HeldLock(time)
        self._tickets: list[list[bool]] = []
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        lock, ticket = self._lock, [False]
        self._tickets.append(ticket)
        count, lock._count, lock._owner = lock._count, 0, None
        try:
            self._time.park(lambda: ticket[0] and lock._is_free(), timeout)
        finally:
            if ticket in self._tickets:
                self._tickets = [each for each in self._tickets if each is not ticket]
            lock.acquire()
            lock._count = count
        return ticket[0]

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        deadline = None if timeout is None else self._time.monotonic() + timeout
        while not (result := predicate()):
            left = None if deadline is None else deadline - self._time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result

    def notify(self, n: int = 1) -> None:
        for ticket in self._tickets[:n]:
            ticket[0] = True
        self._tickets = self._tickets[n:]

    def notify_all(self) -> None:
        self.notify(len(self._tickets))


# -- sockets ---------------------------------------------------------------------------------------


class HeldSocket(socket.socket):
    """A TCP socket whose waits go by held time, and that counts its bytes in each direction."""

    _time: HeldTime
    _limit: float | None = 0.0
    sent = 0
    received = 0
    is_gone = False

    @classmethod
    def of(cls, time: HeldTime, plain: socket.socket, timeout: float | None) -> HeldSocket:
        """Make one from a connected socket, whose descriptor it takes over."""
        made = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        made._time = time
        made._limit = timeout
        socket.socket.setblocking(made, False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made._key = (made.getsockname(), made.getpeername())
        time._wires.add(made)
        return made

    def settimeout(self, value: float | None) -> None:
        self._limit = value

    def gettimeout(self) -> float | None:
        return self._limit

    def setblocking(self, flag: bool) -> None:
        self._limit = None if flag else 0.0

    def getblocking(self) -> bool:
        return self._limit != 0.0

    def _await(self, event: int) -> None:
        if self._limit == 0.0 or _is(self.fileno(), event):
            return
        fileno = self.fileno()
        self._time.park(lambda: _is(fileno, event), self._limit)
        if not _is(fileno, event):
            raise TimeoutError("timed out")

    def recv(self, size: int, flags: int = 0) -> bytes:
        self._await(select.POLLIN)
        data = super().recv(size, flags)
        self.received += len(data)
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        self._await(select.POLLIN)
        count = super().recv_into(buffer, size, flags)
        self.received += count
        return count

    def send(self, data: Any, flags: int = 0) -> int:
        self._await(select.POLLOUT)
        count = super().send(data, flags)
        self.sent += count
        self._time._wires.touched(self)
        return count

    def sendall(self, data: Any, flags: int = 0) -> None:
        view = memoryview(data).cast("B")
        while len(view):
            view = view[self.send(view, flags) :]

    def shutdown(self, how: int) -> None:
        super().shutdown(how)
        self._time._wires.left(self)

    def _real_close(self) -> None:  # type: ignore[override]
        if self.fileno() != -1:
            self._time._wires.left(self)
            self._time._wires.remove(self)
        super()._real_close()  # type: ignore[misc]


class _Handle:
    """A second handle of a held socket; one thread runs at a time, so it needs no descriptor."""

    def __init__(self, sock: HeldSocket) -> None:
        self.shutdown = sock.shutdown

    def close(self) -> None:
        """Leave the socket as it is."""


class _Listener(socket.socket):
    """A listening socket whose accepted connections are `HeldSocket`."""

    _time: HeldTime

    def accept(self) -> tuple[socket.socket, Any]:
        plain, address = super().accept()
        return HeldSocket.of(self._time, plain, 0.0), address


def _is(fileno: int, event: int) -> bool:
    poll = select.poll()
    try:
        poll.register(fileno, event)
    except ValueError:  # closed meanwhile
        return True
    return bool(poll.poll(0))


def _ask(sock: socket.socket, question: int) -> int:
    answer = array.array("i", [0])
    fcntl.ioctl(sock.fileno(), question, answer)
    return answer[0]


def _on_its_way(end: HeldSocket, other: HeldSocket) -> int:
    """Return the number of bytes that one end has sent and the other has not received yet."""
    if -1 in (end.fileno(), other.fileno()) or _is(other.fileno(), select.POLLHUP):
        return 0
    return end.sent - other.received - _ask(other, termios.FIONREAD)


class _Wires:
    """Both ends of each connection, to wait for the bytes on their way between them."""

    def __init__(self) -> None:
        self._ends: dict[tuple[Any, Any], HeldSocket] = {}
        self._busy: dict[HeldSocket, None] = {}  # ends that have sent since the last `settle`
        self._parted: list[HeldSocket] = []  # ends whose peer has closed, which they must see

    def add(self, end: HeldSocket) -> None:
        self._ends[end._key] = end
        other = self._other(end)
        if other is not None:  # it may have sent bytes before this end was accepted
            self._busy[other] = None

    def remove(self, end: HeldSocket) -> None:
        if self._ends.get(end._key) is end:
            del self._ends[end._key]
        self._busy.pop(end, None)

    def touched(self, end: HeldSocket) -> None:
        self._busy[end] = None

    def left(self, end: HeldSocket) -> None:
        other = self._other(end)
        if other is not None:
            self._parted.append(other)

    def _other(self, end: HeldSocket) -> HeldSocket | None:
        here, there = end._key
        return self._ends.get((there, here))

    def settle(self) -> None:
        """Wait, in real time, until the system has delivered all bytes that were sent."""
        for end in list(self._busy):
            other = self._other(end)
            if other is None:
                continue  # not accepted yet, or gone
            while _on_its_way(end, other):
                # Bytes that have arrived are enough to wake the reader. They may also fill the
                # buffer; then the system delivers the rest once there is room.
                if _ask(other, termios.FIONREAD):
                    break
                os.sched_yield()  # let the system deliver
            else:
                del self._busy[end]
        while self._parted:
            other = self._parted.pop()
            while other.fileno() != -1 and not _is(other.fileno(), select.POLLIN):
                os.sched_yield()


def dial(host: str, port: int, timeout: float) -> socket.socket:
    """Open a test's own connection, whose waits go by the current clock."""
    plain = socket.create_connection((host, port), timeout)
    return clocks.current().adopt(plain)


def adapt(session: requests.Session) -> None:
    """Let a test's own session of `requests` wait by the current clock."""
    clock = clocks.current()
    if isinstance(clock, HeldTime):
        session.mount("http://", _Adapter(clock))


class _Adapter(requests.adapters.HTTPAdapter):
    """Opens held connections for a session of `requests`."""

    def __init__(self, time: HeldTime) -> None:
        class Connection(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                plain = super()._new_conn()
                return HeldSocket.of(time, plain, plain.gettimeout())

        class Pool(HTTPConnectionPool):
            ConnectionCls = Connection

        self._pool = Pool
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": self._pool}


# -- the exchange's side ---------------------------------------------------------------------------


class _HeldMachine(Machine):
    """The machine of a simulated exchange in held time."""

    def __init__(self, time: HeldTime) -> None:
        self._time = time
        self._asked = 0
        self.monotonic_ns = time.monotonic_ns
        self.monotonic = time.monotonic
        self.wall_ns = time.wall_ns
        self.event = time.event
        self.thread = time.thread

    def worked(self) -> float:
        """Return one millisecond more at each call, so that work yields at the same points."""
        self._asked += 1
        return self._asked / 1_000

    def loop(self) -> asyncio.AbstractEventLoop:
        return _HeldLoop(self._time)

    def listen(self, host: str, port: int) -> socket.socket:
        plain = super().listen(host, port)
        made = _Listener(plain.family, plain.type, plain.proto, fileno=plain.detach())
        made._time = self._time
        return made


class _HeldLoop(asyncio.SelectorEventLoop):
    def __init__(self, time: HeldTime) -> None:
        self._held_time = time
        super().__init__(_HeldSelector(time))

    def time(self) -> float:
        return self._held_time.monotonic()


def _always() -> bool:
    return True


class _HeldSelector(selectors.DefaultSelector):
    """A selector that waits in held time."""

    def __init__(self, time: HeldTime) -> None:
        super().__init__()
        self._time = time

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(0)
        if found:
            return found
        # A loop that has more to do yields once, so that other threads run, too.
        leaves_turn = timeout is not None and timeout <= 0
        self._time.park(_always if leaves_turn else self._has_some, timeout)
        return super().select(0)

    def _has_some(self) -> bool:
        return bool(super().select(0))
