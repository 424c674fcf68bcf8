"""The doors of an exchange: tornado HTTP and WebSocket, one port per market, one thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, TypeVar

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from kucoin_research.errors import InvalidInput, UnknownSymbol, shown
from kucoin_research.sim.engine.clock import (
    is_number,
    named,
)
from kucoin_research.sim.faults.kinds import (
    Applied,
    Fault,
    Published,
    Withheld,
    make_fault,
)
from kucoin_research.sim.server.core import ExchangeCore
from kucoin_research.sim.server.door import Connection, Door
from kucoin_research.sim.server.fault_injector import FaultInjector
from kucoin_research.sim.server.frame_writer import PACE
from kucoin_research.sim.server.http import RestHandler
from kucoin_research.sim.server.routes import BaseSite, RouteTable
from kucoin_research.sim.server.websocket import ProSocketHandler, SocketHandler

__all__ = ["MARKETS", "Doors"]

_log = logging.getLogger(__name__)

THREAD_NAME = "kucoin-research-simulator"
MARKETS = ("futures", "spot")

_LARGEST_BODY = 1 << 20  # bytes of a request, and of a message
_LARGEST_HEADER = 1 << 16
_TICK = 0.005  # seconds between looks at the clock

_T = TypeVar("_T")


class Doors:
    """Serves an exchange on this machine, whatever the data's source: its ports, thread and faults.

    It starts on construction and is a context manager. Everything runs on one daemon thread with a
    loop of its own, so it works the same in scripts and in notebooks, whose loop it leaves alone.
    All methods may be called from any thread.

    Parameters
    ----------
    core
        The source of the data.
    sites, tables
        By market: the market as REST sees it, and its calls.
    host
        Address to listen on.
    ports
        By market: the port; 0 for any free one.
    has_pro
        Whether the pro feed is served, under ``/pro``.

    Raises
    ------
    OSError
        If a port is taken.
    """

    def __init__(
        self,
        core: ExchangeCore[Any],
        sites: Mapping[str, BaseSite],
        tables: Mapping[str, RouteTable],
        *,
        host: str,
        ports: Mapping[str, int],
        has_pro: bool = True,
    ) -> None:
        if not isinstance(host, str) or not host:
            raise InvalidInput(f"host must be a name or an address, not {shown(host)}")
        for market, port in ports.items():
            if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65_536:
                raise InvalidInput(
                    f"{market}_port must be from 0 (any free one) to 65535, not {shown(port)}"
                )
        self.host = host
        self.clock = core.clock
        self._core = core
        self._has_pro = has_pro
        self._doors = {
            market: Door(core, sites[market], tables[market], self._wake, self._flush)
            for market in MARKETS
        }
        self._faults = FaultInjector(core, self._doors)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()
        self._moving = asyncio.Event()
        self._machine = core.clock.machine
        self._close_lock = threading.Lock()
        sockets: dict[str, socket.socket] = {}
        try:
            # Bound before the thread starts, so that the caller gets the exception of a taken port.
            for market in MARKETS:
                sockets[market] = self._machine.listen(host, ports[market])
                sockets[market].setblocking(False)
                door = self._doors[market]
                door.bound = host
                door.port = sockets[market].getsockname()[1]
            # Bound and never listened on, so that every connection is refused.
            for number in range(core.settings.dead_servers):
                dead = sockets[f"dead {number}"] = socket.socket(sockets["futures"].family)
                dead.bind((host, 0))
                endpoint = f"ws://{host}:{dead.getsockname()[1]}/"
                for door in self._doors.values():
                    door.dead_endpoints.append(endpoint)
        except OSError:
            for bound in sockets.values():
                bound.close()
            raise
        started = self._machine.event()
        self._thread = self._machine.thread(lambda: self._run(sockets, started), THREAD_NAME)
        self._thread.start()
        started.wait(timeout=10.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # Its state

    @property
    def futures_url(self) -> str:
        """Base address of the futures REST calls."""
        return f"http://{self.host}:{self._doors['futures'].port}"

    @property
    def spot_url(self) -> str:
        """Base address of the spot REST calls."""
        return f"http://{self.host}:{self._doors['spot'].port}"

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    @property
    def now_ns(self) -> int:
        """Virtual time, ns UTC."""
        return self.clock.now_ns

    @property
    def symbols(self) -> list[str]:
        """The symbols on offer."""
        return list(self._core.listings)

    @property
    def connections(self) -> int:
        """Number of clients that are connected and welcomed now."""
        return sum(len(door.connections) for door in self._doors.values())

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Method and path of the newest 100 000 HTTP requests, WebSocket upgrades among them."""
        return self._call(lambda: list(self._core.requests))

    @property
    def withheld(self) -> list[Withheld]:
        """The messages that did not reach a reader, and why; the newest million.

        Each message that a connection should have got and did not is here, with the connection's
        number (`Withheld`). When the exchange ends a connection, by a fault or at the end of its
        life, messages are still made for its topics. Those published until somebody subscribes
        again are here, and so are messages that were sent but can no longer arrive. The same holds
        when a client leaves a connection or topic that a fault keeps silent. Filter on
        ``not reached_others`` for the messages that reached nobody.
        """
        return self._call(lambda: list(self._core.delivery.withheld))

    @property
    def fault_log(self) -> list[Applied]:
        """Each application of a fault; the newest million."""
        return self._call(lambda: list(self._core.delivery.fault_log))

    def journal(self, topic: str) -> list[Published]:
        """List every message published on a topic since it was first subscribed to.

        It includes messages that were published while nobody could receive them. It leaves out
        frames made for one subscriber: the first of a pro book, and repeated executions.

        Parameters
        ----------
        topic
            The topic as the frames spell it: ``"/contractMarket/execution:XBTUSDTM"``.

        Raises
        ------
        InvalidInput
            If the exchange keeps no journal.
        """
        if not self._core.settings.journal:
            raise InvalidInput("this exchange keeps no journal: give it journal=True")
        return self._call(lambda: self._core.delivery.journal(topic))

    # Control

    def pause(self) -> None:
        """Make virtual time stand still; a first subscription does not start it then.

        When this returns, all events so far are on their way to the clients.
        """

        def pause() -> None:
            self._core.is_held = True
            self.clock.stop()
            self._flush()

        self._call(pause)

    def resume(self) -> None:
        """Let virtual time pass again, from its present value."""

        def resume() -> None:
            self._core.is_held = False
            self.clock.start()
            self._wake()

        self._call(resume)

    def inject(self, fault: str | Fault, *, at: float | None = None, **options: Any) -> Fault:
        """Inject a fault, now or at a virtual time.

        On messages, chosen by ``topic symbol market count after pick``: ``drop`` (not sent),
        ``duplicate`` (sent twice), ``reorder`` (sent after the next message of the topic),
        ``malformed`` (replaced by garbage; ``garbage`` is one of ``not_json wrong_types
        missing_fields nan nested``), ``old_shape`` (spelled as in earlier years; nothing is lost),
        ``stall`` (not sent). A stall lasts ``until`` ``"heal"``; with ``"resubscribe"`` it concerns
        the connections open now, each until it subscribes to the topic again; with ``"reconnect"``
        it concerns the connections open now.

        On one connection's messages: ``slow_reader`` (messages to the oldest connection are
        dropped, 100 unless ``count`` says otherwise). On the connections open now:
        ``stall_socket`` (they get nothing, but stay open).

        On pings, chosen by ``market count after``: ``mute_pong`` (no answer), ``late_pong`` (an
        answer ``delay`` seconds late).

        On all connections of a ``market``, at once: ``abort`` (TCP reset), ``bye`` (closed with
        code 1000), ``half_frame`` (dropped halfway through a frame), ``expire_token`` (dropped
        after a 401; all tokens expire), ``end_of_day`` (dropped, and all tokens expire),
        ``maintenance`` (dropped; for ``delay`` seconds the status is ``close``, and tokens and
        upgrades are refused). With a ``topic``, the first four end only the connections that have
        it.

        On upgrades, chosen by ``market count after``: ``reject_token`` (a fresh token is refused as
        expired), ``refuse_upgrade`` (HTTP ``status`` 403, or 401, 429).

        On REST calls, chosen by ``market path count after``: ``rate_limit`` (429 with the quota's
        headers, which reset after ``delay`` seconds), ``overload`` (429 without the headers),
        ``html_error`` (502 and HTML), ``truncate`` (half a reply), ``slow_reply`` (``delay``
        seconds late).

        On books and contracts, chosen by ``symbol market pick``, otherwise on all streamed ones:
        ``rebase`` (the book's sequence falls by ``by``, everywhere), ``crossed_book`` (for
        ``delay`` virtual seconds, below 0.1, a bid is above the best ask), ``delist`` (``Closed``,
        and silent).

        ``repeat_executions``: the next subscription to a trade topic (``topic``, ``market``) begins
        with the last ``count`` executions, except for the newest ``after``. With ``every=3`` only
        each third of them is sent, so that there are holes between them.

        Parameters
        ----------
        fault
            A name from ``FAULTS``, or a `Fault`.
        at
            Virtual seconds after the first subscription; None for now.
        **options
            Fields of `Fault`.

        Returns
        -------
        Fault
            The injected fault, with defaults filled in.

        Raises
        ------
        InvalidInput
            If the fault or an option is unknown; the message lists the known ones.
        UnknownSymbol
            If the symbol is not on offer.
        """
        made = make_fault(fault, **options)
        named(made.symbol)
        if made.symbol is not None and made.symbol not in self._core.listings:
            raise UnknownSymbol(
                f"no symbol {shown(made.symbol)}; symbols: {', '.join(self.symbols)}"
            )
        self._core.check(made)
        if at is None:
            self._perform(lambda: self._faults.inject(made))
            return made
        if not is_number(at) or not 0 <= at < float("inf"):
            raise InvalidInput(f"at {shown(at)} must be 0 or more seconds")
        self._call(lambda: self._faults.plan(int(at * 1e9), made))
        return made

    def heal(self) -> None:
        """Take away every fault that lasts or still waits for something to strike.

        Faults planned for later still come; see `calm`.
        """
        self._perform(self._faults.heal)

    def calm(self) -> None:
        """End the chaos, call off all planned faults, and heal the rest."""
        self._perform(self._faults.calm)

    def close(self, timeout: float = 5.0) -> None:
        """End everything: connections without a close frame, ports, thread. Idempotent."""
        with self._close_lock:
            loop = self._loop
            if self._thread.is_alive() and loop is not None:
                try:
                    loop.call_soon_threadsafe(self._closing.set)
                except RuntimeError:  # the loop ended after `is_alive` was asked
                    _log.debug("simulated exchange had already ended")
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    # On the exchange's own thread

    def _run(self, sockets: dict[str, socket.socket], started: threading.Event) -> None:
        with asyncio.Runner(loop_factory=self._machine.loop) as runner:
            runner.run(self._serve(sockets, started))

    async def _serve(self, sockets: dict[str, socket.socket], started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        servers = []
        for market, door in self._doors.items():
            pro = [(r"/pro", ProSocketHandler, {"door": door})] if self._has_pro else []
            application = Application(
                [
                    (r"/(?:endpoint)?", SocketHandler, {"door": door}),
                    *pro,
                    (r".*", RestHandler, {"door": door}),
                ],
                log_function=_log_nothing,
                websocket_max_message_size=_LARGEST_BODY,
            )
            server = HTTPServer(
                application, max_body_size=_LARGEST_BODY, max_header_size=_LARGEST_HEADER
            )
            server.add_socket(sockets.pop(market))
            servers.append(server)
        driver = asyncio.create_task(self._drive())
        closing = asyncio.create_task(self._closing.wait())
        started.set()
        try:
            await asyncio.wait({driver, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for server in servers:
                server.stop()
            for connection in self._connections():
                connection.drop()
            for server in servers:
                await server.close_all_connections()
            for dead in sockets.values():
                dead.close()
        if driver.done():
            # It never ends by itself: this raises its exception for the thread's excepthook.
            driver.result()
        driver.cancel()

    async def _drive(self) -> None:
        core = self._core
        while True:
            if not self.clock.is_running:
                self._moving.clear()
                await self._moving.wait()
            is_more_due = core.tick()
            self._flush()
            await self._wait_for_readers()
            self.clock.slip()
            if is_more_due:
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(_TICK)

    async def _wait_for_readers(self) -> None:
        while any(connection.writer.is_behind for connection in self._connections()):
            for connection in self._connections():
                connection.writer.give_up_if_stuck()
            if self.clock.speed <= 1:
                return  # at the wall's pace, a slow reader loses data and slows nobody
            await asyncio.sleep(PACE)

    def _wake(self) -> None:
        if self.clock.is_running:
            self._moving.set()

    def _flush(self) -> None:
        for connection in self._connections():
            connection.writer.flush()

    def _connections(self) -> list[Connection]:
        return [one for door in self._doors.values() for one in door.connections]

    def _perform(self, function: Callable[[], _T]) -> _T:
        """Call a function on the exchange's thread, and send the messages that it causes."""

        def perform() -> _T:
            try:
                return function()
            finally:
                self._flush()

        return self._call(perform)

    def _catch_up(self, symbols: Iterable[str]) -> None:
        """Bring symbols to the present, before something is done to all of them at once."""
        if self._loop is None or self.is_closed or threading.current_thread() is self._thread:
            return
        self._await(asyncio.run_coroutine_threadsafe(self._core.catch_up(symbols), self._loop))

    def _call(self, function: Callable[[], _T]) -> _T:
        """Call a function on the exchange's thread, or here once that has ended."""
        loop = self._loop
        if threading.current_thread() is self._thread or self.is_closed or loop is None:
            return function()
        result: concurrent.futures.Future[_T] = concurrent.futures.Future()

        def run() -> None:
            try:
                result.set_result(function())
            except BaseException as error:  # noqa: BLE001  (handed to the caller)
                result.set_exception(error)

        try:
            loop.call_soon_threadsafe(run)
        except RuntimeError:
            return function()
        return result.result() if self._await(result) else function()

    def _await(self, result: concurrent.futures.Future[Any]) -> bool:
        """Wait for a result of the exchange's thread; return False if the thread ends before it."""
        is_done = self._machine.event()
        result.add_done_callback(lambda _: is_done.set())
        while not is_done.wait(0.2):  # in steps: the loop may end before it gets to the call
            if not self._thread.is_alive():
                return False
        return True


def _log_nothing(_handler: RequestHandler) -> None:
    """Keep tornado from logging every 404: `Doors.requests` is the log."""
