"""The simulated exchange's doors: tornado HTTP and WebSocket, one port per market, one thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import functools
import json
import logging
import re
import socket
import struct
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, TypeVar

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, StreamClosedError
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from kucoin_research.errors import InvalidInput, UnknownSymbol, shown
from kucoin_research.sim.accounts.keys import DEMO_ACCOUNT, Account
from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.signing import SignedRequest, SigningRefused, verify
from kucoin_research.sim.accounts.trading_account import TradingAccount
from kucoin_research.sim.engine.clock import (
    SLICE_NS,
    Start,
    VirtualClock,
    is_number,
    named,
    parse_start,
)
from kucoin_research.sim.engine.machine import Machine
from kucoin_research.sim.faults.chaos import Chaos, Planned
from kucoin_research.sim.faults.delivery import Subscriber
from kucoin_research.sim.faults.kinds import (
    KINDS,
    Applied,
    Fault,
    Message,
    Published,
    Withheld,
    make_fault,
)
from kucoin_research.sim.messages.pro import ProRefused, parse_command
from kucoin_research.sim.messages.topics import Topic, TopicRefused, parse_topics
from kucoin_research.sim.server.core import ExchangeCore, Settings, binary_frame, text_frame
from kucoin_research.sim.server.market_core import MarketCore, Tape, listings_for
from kucoin_research.sim.server.rest import (
    ROUTES,
    Counter,
    Reply,
    Route,
    RouteTable,
    Site,
    Values,
    error,
    find_route,
)
from kucoin_research.sim.server.visitors import ANY_ADDRESS, refusal

__all__ = ["MARKETS", "Doors", "Exchange", "make_settings"]

_log = logging.getLogger(__name__)

THREAD_NAME = "kucoin-research-simulator"
MARKETS = ("futures", "spot")

_LARGEST_BODY = 1 << 20  # bytes of a request, and of a message
_LARGEST_HEADER = 1 << 16
_TICK = 0.005  # seconds between looks at the clock
_RESET_PATIENCE = 0.2  # seconds without taking anything of what was sent, then comes a reset
_LIST_PATIENCE = 0.5  # seconds for bringing all symbols to the present, for a list of them
_PACE = 0.002  # seconds between looks at a slow reader
_SPOT_MAX_TOPICS = 400
_PRIVATE_QUOTAS = {"futures": 2_000, "spot": 4_000}
_TOKEN_CALLS = frozenset({"bullet-public", "bullet-private"})
_PRO_PING_SPACING = 1.0  # seconds; the pro feed drops a client whose pings are closer
_HTML_ERROR = (
    "<html><head><title>{status} Bad Gateway</title></head><body><center>"
    "<h1>{status} Bad Gateway</h1></center><hr><center>cloudflare</center></body></html>"
)

_T = TypeVar("_T")


@dataclasses.dataclass
class _Window:
    """A running window of a quota: what is used, and when it ends (monotonic seconds)."""

    used: int = 0
    end: float = 0.0


class _Door:
    """One market's tokens, quota and connections."""

    def __init__(
        self, hub: ExchangeCore[Any], site: Counter, table: RouteTable, wake: Callable[[], None]
    ) -> None:
        self.hub = hub
        self.machine = hub.clock.machine
        self.settings = hub.settings
        self.wake = wake  # called when virtual time may have begun to pass
        self.site = site
        self.table = table
        self.market = site.market
        self.bound = ""  # the address it listens on
        self.port = 0
        self.dead_endpoints: list[str] = []
        self.connections: dict[SocketHandler, None] = {}
        self._tokens: dict[str, float] = {}
        self._expired: set[str] = set()
        self._users: dict[str, str] = {}  # private tokens to the accounts they log in
        self._windows: dict[str, _Window] = {}
        self._reopening: asyncio.TimerHandle | None = None

    @property
    def is_shut(self) -> bool:
        """Whether maintenance is going on."""
        return self.site.status == "close"

    def shut(self, seconds: float) -> None:
        """Begin maintenance, which ends by itself."""
        self.reopen()
        self.site.status = "close"
        self._reopening = asyncio.get_running_loop().call_later(seconds, self.reopen)

    def reopen(self) -> None:
        """End maintenance."""
        if self._reopening is not None:
            self._reopening.cancel()
            self._reopening = None
        self.site.status = "open"

    @property
    def simulation(self) -> dict[str, Any]:
        """What KuCoin never sends: tells our own client that this venue's clock is virtual.

        Others ignore unknown keys. ``lifetime`` is how long a connection lives, in wall seconds.
        """
        settings = self.settings
        return {
            "speed": self.hub.clock.speed,
            "seed": self.hub.seed,
            "lifetime": min(settings.token_lifetime, settings.connection_lifetime),
        }

    @property
    def max_topics(self) -> int | None:
        """Topics allowed per connection."""
        if self.settings.max_topics is not None:
            return self.settings.max_topics
        return _SPOT_MAX_TOPICS if self.market == "spot" else None

    def issue_token(self, user_id: str = "") -> str:
        """Make a token that opens this market for `token_lifetime` wall seconds.

        With a `user_id`, it also opens that account's private topics.
        """
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        body = "".join(self.hub.random.choices(alphabet, k=192))
        token = f"{body}==.{''.join(self.hub.random.choices(alphabet, k=22))}=="
        self._tokens[token] = self.machine.monotonic() + self.settings.token_lifetime
        if user_id:
            self._users[token] = user_id
        return token

    def user_of(self, token: str) -> str:
        """Give the account that a token logs in; empty for a public token."""
        return self._users.get(token, "")

    def refusal(self, token: str) -> str | None:
        """Say why a token opens nothing; None if it does."""
        if token in self._expired:
            return "token is expired"
        expiry = self._tokens.get(token)
        if expiry is None:
            return "token is invalid"
        return "token is expired" if self.machine.monotonic() >= expiry else None

    def expire_tokens(self) -> None:
        """Let every token issued so far expire."""
        self._expired.update(self._tokens)
        self._tokens.clear()

    def spend(self, weight: int, user_id: str = "") -> tuple[bool, dict[str, str]]:
        """Take a call's weight from the public quota or an account's.

        Tell whether it was there, and give the headers.
        """
        now = self.machine.monotonic()
        limit = self._quota(user_id)
        window = self._windows.setdefault(user_id, _Window())
        if now >= window.end:
            # The window begins with its first request. (reference, section 2.4)
            window.used = 0
            window.end = now + self.settings.rate_window
        is_allowed = window.used + weight <= limit
        if is_allowed:
            window.used += weight
        return is_allowed, {
            "gw-ratelimit-limit": str(limit),
            "gw-ratelimit-remaining": str(limit - window.used if is_allowed else 0),
            "gw-ratelimit-reset": str(max(1, int((window.end - now) * 1_000))),
        }

    def spent_quota(self, seconds: float) -> dict[str, str]:
        """Give the headers of a quota that is used up for so many seconds."""
        return {
            "gw-ratelimit-limit": str(self.settings.rate_limit),
            "gw-ratelimit-remaining": "0",
            "gw-ratelimit-reset": str(max(1, int(seconds * 1_000))),
        }

    def _quota(self, user_id: str) -> int:
        if not user_id:
            return self.settings.rate_limit
        chosen = self.settings.private_rate_limit
        return _PRIVATE_QUOTAS[self.market] if chosen is None else chosen

    def member(self, request: SignedRequest) -> Member:
        """Find the account that signed a request; raises `SigningRefused`."""
        members = self.hub.members
        accounts = {key: member.account for key, member in members.items()}
        now_ns = self.machine.wall_ns()
        if self.settings.signing_clock == "virtual":
            now_ns = self.hub.clock.now_ns
        return members[verify(request, accounts, now_ns // 1_000_000).key]

    def token_reply(self, host: str, user_id: str = "") -> dict[str, Any]:
        """Build the data of a token reply to a client that called `host` (and port).

        It names the address that the server listens on, or the called one where it listens on all.
        """
        place = host if self.bound in ANY_ADDRESS else f"{self.bound}:{self.port}"
        return {
            "token": self.issue_token(user_id),
            "instanceServers": [
                {
                    "endpoint": endpoint,
                    # KuCoin says true of its wss addresses; this one is plain, and clients that
                    # look should know.
                    "encrypt": False,
                    "protocol": "websocket",
                    "pingInterval": self.settings.ping_interval_ms,
                    "pingTimeout": self.settings.ping_timeout_ms,
                }
                for endpoint in (*self.dead_endpoints, f"ws://{place}/")
            ],
            "simulation": self.simulation,
        }


class RestHandler(RequestHandler):
    """Every HTTP path: KuCoin's envelope, quota headers and error bodies."""

    def initialize(self, door: _Door) -> None:
        """Take the market this port serves."""
        self._door = door

    def prepare(self) -> None:
        """Turn away what a web page of elsewhere sends, before anything is looked at."""
        why = refusal(self.request.headers, self._door.bound)
        if why is not None:
            self._door.hub.requests.append((self.request.method or "", self.request.path))
            self._send_reply(error(403, "403000", why))

    def set_default_headers(self) -> None:
        """Answer as a JSON service that does not name its software."""
        self.set_header("Content-Type", "application/json;charset=UTF-8")
        self.clear_header("Server")

    def compute_etag(self) -> str | None:
        """Give no ETag: KuCoin never answers 304 here."""
        return None

    async def get(self) -> None:
        """Answer a GET."""
        await self._answer()

    async def post(self) -> None:
        """Answer a POST."""
        await self._answer()

    async def delete(self) -> None:
        """Answer a DELETE."""
        await self._answer()

    async def put(self) -> None:
        """Answer a PUT."""
        await self._answer()

    async def _answer(self) -> None:
        door, path = self._door, self.request.path
        method = self.request.method or ""
        door.hub.requests.append((method, path))
        slow = self._fault("slow_reply")
        if slow is not None:
            await asyncio.sleep(slow.delay)
        fault = self._fault("html_error", "overload", "rate_limit")
        if fault is None:
            self._send_reply(await self._reply(method, path))
        elif fault.name == "html_error":
            self.set_header("Content-Type", "text/html")
            self._send(fault.status, _HTML_ERROR.format(status=fault.status).encode())
        else:
            # Overload uses the quota's code without the quota's headers. (reference, section 2.4)
            if fault.name == "rate_limit":
                self._show_quota(door.spent_quota(fault.delay))
            self._send_reply(error(fault.status, "429000", "Too many requests"))

    def _fault(self, *names: str) -> Fault | None:
        door = self._door
        return door.hub.delivery.http_fault(door.market, self.request.path, frozenset(names))

    def _show_quota(self, headers: dict[str, str]) -> None:
        for name, text in headers.items():
            self.set_header(name, text)

    async def _reply(self, method: str, path: str) -> Reply:
        door = self._door
        route, values = find_route(door.table, path)
        if route is None:
            return Reply(404, {"code": "404", "msg": "Not Found", "retry": False, "success": False})
        if method != route.method:
            return Reply(
                405, {"code": "405", "msg": "Method Not Allowed", "retry": False, "success": False}
            )
        if door.is_shut and route.name in _TOKEN_CALLS:
            return error(503, "503000", "System is under maintenance.")
        member = None
        if route.is_private:
            signed = SignedRequest(
                method, self.request.uri or "", self.request.body, self.request.headers
            )
            try:
                member = door.member(signed)
            except SigningRefused as refused:
                return error(refused.status, refused.code, refused.message)
        user_id = member.user_id if member is not None else ""
        is_allowed, headers = door.spend(route.weight, user_id)
        if route.shows_quota:
            self._show_quota(headers)
        if not is_allowed:
            return error(429, "429000", "Too many requests in a short period of time.")
        if route.name == "bullet-private" and not door.hub.has_accounts:
            return error(403, "400007", "A recording has no private channels.")
        if route.name in _TOKEN_CALLS:
            data = door.token_reply(self.request.host, user_id)
            return Reply(200, {"code": "200000", "data": data})
        parameters = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        return await self._look_up(route, parameters | values, member)

    async def _look_up(self, route: Route, parameters: Values, member: Member | None) -> Reply:
        door = self._door
        patience = _LIST_PATIENCE if route.is_list else None
        await door.hub.catch_up(route.touches(door.site, parameters), patience)
        if member is not None and route.account_answer is not None:
            return route.account_answer(door.site, parameters, member)
        answer = route.answer(door.site, parameters)
        return answer if isinstance(answer, Reply) else await door.hub.in_turns(answer)

    def _send_reply(self, reply: Reply) -> None:
        self._send(reply.status, _json(reply.body))

    def _send(self, status: int, body: bytes) -> None:
        if self._fault("truncate"):
            body = body[: len(body) // 2]
        self.set_status(status)
        self.finish(body)


class SocketHandler(WebSocketHandler):
    """One client's WebSocket session (reference, section 5)."""

    def initialize(self, door: _Door) -> None:
        """Take the market this port serves."""
        self._door = door
        self._hub = door.hub
        self._machine = door.machine
        self._user_id = ""
        self.number = 0
        self._topics: dict[Topic, None] = {}
        self._outbox: list[tuple[Message, bytes]] = []
        # What was written, with where each ends in the stream, until the client's side has it.
        self._in_flight: deque[tuple[int, Message]] = deque()
        self._is_silent = False
        self._has_left = False
        self._is_answering = False
        self._affliction = ("", 0.0)  # a fault that may make the client leave, and until when
        self._pending_bytes = 0
        self._is_slow = False
        self._is_deflated = False
        self._last_drain = 0.0
        self._last_message = 0.0
        self._recent: deque[float] = deque()
        self._max_messages = door.settings.max_messages
        self._timers: list[asyncio.TimerHandle] = []

    # Opening

    def check_origin(self, origin: str) -> bool:  # noqa: ARG002
        """Find nothing more to check: `get` has turned foreign pages away."""
        return True

    def get_compression_options(self) -> dict[str, Any] | None:
        """Accept permessage-deflate when it is offered."""
        return {} if self._door.settings.compression else None

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Answer the upgrade request."""
        self._hub.requests.append(("GET", self.request.path))
        upgrade = self.request.headers.get("Upgrade", "").lower()
        if upgrade != "websocket":
            self.set_status(404)
            self.finish({"code": "404", "msg": "Not Found", "retry": False, "success": False})
            return
        why = refusal(self.request.headers, self._door.bound)
        if why is not None:
            self.set_status(403)
            self.finish({"code": "403000", "msg": why})
            return
        fault = self._fault("refuse_upgrade")
        if fault is not None or self._door.is_shut:
            self.set_status(503 if fault is None else fault.status)
            self.finish("<html><body>refused</body></html>")
            return
        await super().get(*args, **kwargs)

    def _fault(self, name: str) -> Fault | None:
        delivery = self._hub.delivery
        return delivery.http_fault(self._door.market, self.request.path, frozenset({name}))

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Check the token and welcome the client."""
        self.set_nodelay(True)
        settings = self._door.settings
        offered = self.request.headers.get("Sec-WebSocket-Extensions", "")
        self._is_deflated = settings.compression and "permessage-deflate" in offered
        self._last_message = self._machine.monotonic()
        token = self.get_query_argument("token", "")
        self._user_id = self._door.user_of(token)
        refusal = self._door.refusal(token)
        if refusal is None and self._fault("reject_token"):
            refusal = "token is expired"
        if refusal is not None:
            self.send_error_frame(401, refusal)
            self.drop()
            return
        if len(self._door.connections) >= settings.max_connections:
            self.send_error_frame(
                509, f"exceed max session count limitation of {settings.max_connections}"
            )
            self.drop()
            return
        self._join()
        connect_id = self.get_query_argument("connectId", "") or self._random_id()
        self._send({"id": connect_id, "type": "welcome"})
        self._later(settings.idle_timeout, self._check_idle)

    def _join(self) -> None:
        self.number = self._hub.next_connection()
        self._door.connections[self] = None
        lifetime = self._door.settings.connection_lifetime
        self._later(lifetime, self.end, "connection_lifetime")

    def on_close(self) -> None:
        """Forget the client."""
        reason, until = self._affliction
        self._leave(reason if self._machine.monotonic() < until else "")

    def _leave(self, reason: str) -> None:
        if self._has_left:
            return
        self._has_left = True
        self._door.connections.pop(self, None)
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        topics = list(self._topics)
        self._topics.clear()
        for topic in topics:
            self._unsubscribe(topic, reason)
        self._hub.delivery.forget(self)
        self._outbox.clear()

    # The client's messages

    def on_message(self, message: str | bytes) -> asyncio.Future[None]:
        """Answer one client message; none that crosses the exchange's own farewell."""
        # When the exchange ends, its tasks are cancelled, some before their first step. tornado
        # would log that, with the token in the address: it is given a future that just ends.
        ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(self._on_message(message))
        task.add_done_callback(lambda done: _pass_on(done, ending))
        return ending

    async def _on_message(self, message: str | bytes) -> None:
        if self._has_left:
            return
        now = self._last_message = self._machine.monotonic()
        if self._is_flooding(now):
            self._end_flood()
            return
        self._is_answering = True
        try:
            await self._take(message)
        except RecursionError:  # reading it, or writing a part of it back
            self.end("too deeply nested", is_closed=True)
        self._is_answering = False

    def _end_flood(self) -> None:
        self.send_error_frame(509, "exceed max permits per second")
        self.end("flood", is_closed=True)

    async def _take(self, message: str | bytes) -> None:
        try:
            request = json.loads(message)
        except ValueError:
            text = message if isinstance(message, str) else message.decode(errors="replace")
            word = re.search(r"\w+", text)
            token = word.group() if word else text[:20]
            self.send_error_frame(400, f"Unrecognized token '{token}': was expecting a JSON object")
            return
        if not isinstance(request, dict):
            self.send_error_frame(415, "type is not supported")
            return
        await self._answer(request)

    def _is_flooding(self, now: float) -> bool:
        recent, settings = self._recent, self._door.settings
        recent.append(now)
        while recent[0] <= now - settings.message_window:
            recent.popleft()
        return len(recent) > self._max_messages

    async def _answer(self, request: dict[str, Any]) -> None:
        kind = request.get("type")
        reply_id = _id_text(request.get("id"))
        if kind == "ping":
            stamp = self._hub.clock.now_ns // 1_000
            self._send_pong({"id": reply_id, "type": "pong", "timestamp": stamp})
        elif kind in ("subscribe", "unsubscribe"):
            try:
                await self._change_topics(kind, request)
            except TopicRefused as refused:
                self.send_error_frame(refused.code, refused.data, reply_id)
                return
            if request.get("response") in (True, "true"):
                self._acknowledge(reply_id)
        else:
            self.send_error_frame(415, "type is not supported", reply_id)

    async def _change_topics(self, kind: str, request: dict[str, Any]) -> None:
        market = self._door.market
        text = request.get("topic")
        if not isinstance(text, str) or not text:
            raise TopicRefused(406, "topic is required")
        # Also as text, as some documents show it. (reference, section 5.3)
        asks_for_private = request.get("privateChannel") in (True, "true")
        is_logged_in = bool(self._user_id) and (asks_for_private or kind == "unsubscribe")
        topics = parse_topics(market, text, is_logged_in=is_logged_in)
        if kind == "unsubscribe":
            for topic in topics:
                self._topics.pop(topic, None)
                self._unsubscribe(topic)
            return
        new = [topic for topic in topics if topic not in self._topics]
        limit = self._door.max_topics
        if limit is not None and len(self._topics) + len(new) > limit:
            raise TopicRefused(
                509, f"exceed max subscription count limitation of {limit} per session"
            )
        await self._begin(new)
        for topic in topics:
            if topic not in new and not topic.is_private and topic in self._topics:
                self._hub.renew(market, topic, self)

    async def _begin(self, new: list[Topic]) -> None:
        market, hub = self._door.market, self._hub
        self._topics.update(dict.fromkeys(new))
        for topic in new:
            if not topic.is_private:
                await hub.prepare(market, topic)
        # All at once, so that they begin at the same virtual instant; none of those that it has
        # lost meanwhile, by leaving or by unsubscribing.
        for topic in new:
            if topic in self._topics and topic.is_private:
                hub.listen(self._user_id, market, topic, self)
            elif topic in self._topics:
                hub.subscribe(market, topic, self)
        self._door.wake()

    def _unsubscribe(self, topic: Topic, reason: str = "") -> None:
        if topic.is_private:
            self._hub.unlisten(self._user_id, self._door.market, topic, self, reason)
        else:
            self._hub.unsubscribe(self._door.market, topic, self, reason)

    def _send_pong(self, pong: dict[str, Any]) -> None:
        fault = self._hub.delivery.ping_fault(self._door.market)
        if fault is None:
            self._send(pong)
            return
        settings = self._door.settings
        seconds = (settings.ping_interval_ms + settings.ping_timeout_ms) / 1_000
        self._affliction = (fault.name, self._machine.monotonic() + 2 * seconds)
        if fault.name == "late_pong":
            self._later(fault.delay, self._send, pong)

    def _acknowledge(self, reply_id: str) -> None:
        ack = self._ack_of(reply_id)
        longest = self._door.settings.ack_delay_ms
        if longest:
            self._later(self._hub.random.uniform(0, longest) / 1_000, self._send, ack)
        else:
            self._send(ack)

    def _ack_of(self, reply_id: str) -> dict[str, Any]:
        return {"id": reply_id, "type": "ack"}

    def _left_to_idle(self, limit: float) -> float:
        # A client is not silent while it waits for an answer.
        return (
            limit if self._is_answering else self._last_message + limit - self._machine.monotonic()
        )

    def _check_idle(self) -> None:
        left = self._left_to_idle(self._door.settings.idle_timeout)
        if left > 0:
            self._later(left, self._check_idle)
            return
        if not self._topics:
            # Seen on sockets without a subscription only; the others just say Bye. (reference,
            # section 5.2)
            self.send_error_frame(400, "ping timeout")
        self.end("idle_timeout", is_closed=True)

    # Sending

    @property
    def market(self) -> str:
        """The market whose port it came to."""
        return self._door.market

    @property
    def is_behind(self) -> bool:
        """Whether more is unsent than the buffer holds, from a reader not yet given up."""
        return not self._is_slow and self._pending_bytes > self._door.settings.buffer_bytes

    def push(self, message: Message, frame: bytes) -> bool:
        """Queue one data frame; False if the reader is too slow to get it."""
        if self._is_slow:
            return False
        self._outbox.append((message, message.payload if self._is_deflated else frame))
        return True

    def flush_outbox(self) -> None:
        """Write what is queued, in one piece where it is plain text."""
        outbox = self._outbox
        stream = self._open_stream()
        if not outbox or stream is None:
            outbox.clear()
            return
        in_flight = self._in_flight
        # tornado counts what it was given to write and what the kernel took, and shows neither.
        end = stream._total_write_index  # noqa: SLF001
        if self._is_deflated:
            for message, payload in outbox:
                self._write_message(payload)
                in_flight.append((stream._total_write_index, message))  # noqa: SLF001
        else:
            self._write(b"".join([frame for _, frame in outbox]))
            for message, frame in outbox:
                end += len(frame)
                in_flight.append((end, message))
        outbox.clear()
        if not stream.closed():  # by the writing itself, when the client has just gone
            self._forget_arrived(stream)

    def _forget_arrived(self, stream: IOStream) -> None:
        arrived, in_flight = _arrived(stream), self._in_flight
        while in_flight and in_flight[0][0] <= arrived:
            in_flight.popleft()

    def give_up_if_stuck(self) -> None:
        """Call the reader slow if it took nothing for longer than the exchange's patience."""
        if (
            self.is_behind
            and self._machine.monotonic() - self._last_drain >= self._door.settings.patience
        ):
            self._is_slow = True

    def end(
        self,
        reason: str,
        *,
        is_closed: bool = False,
        reset: bool = False,
        torn: bool = False,
        told: str = "",
    ) -> None:
        """End the session by the exchange's will; what the client misses is told as withheld.

        With a close frame if `is_closed`, and with a 401 before it if it is `told` something.
        """
        if self._has_left:
            return
        self.flush_outbox()
        stream = self._open_stream()
        self._leave(reason)
        if told:
            self.send_error_frame(401, told)
        if is_closed:
            self.close(1000, "Bye")
        elif reset and stream is not None:
            # From here on the kernel is handed nothing more, so that what is lost stays the same.
            stream.io_loop.remove_handler(stream.fileno())
            self._reset_when_taken(
                stream, reason, _unsent(stream.socket), self._machine.monotonic()
            )
        else:
            stream = self._open_stream()  # what it was told last may have ended it
            self._lose([] if stream is None else self._never_to_arrive(stream), reason)
            self.drop(torn=torn)

    def _reset_when_taken(self, stream: IOStream, reason: str, unsent: int, since: float) -> None:
        # A reset takes along what the kernel has not sent yet, and that changes at any moment as
        # long as the client reads.
        if stream.closed():
            return
        left, now = _unsent(stream.socket), self._machine.monotonic()
        if left < unsent:
            since = now
        if left and now - since < _RESET_PATIENCE:
            loop = asyncio.get_running_loop()
            loop.call_later(_PACE, self._reset_when_taken, stream, reason, left, since)
            return
        self._lose(self._reset(stream), reason)

    def _reset(self, stream: IOStream) -> list[Message]:
        """Reset the connection; give what it takes along. Nothing stands between the two."""
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        arrived = _arrived(stream)
        stream.close()
        return self._in_flight_behind(arrived)

    def _never_to_arrive(self, stream: IOStream) -> list[Message]:
        # Closing on unread input resets the connection: that takes along what the kernel holds.
        takes_along = _unread(stream.socket)
        return self._in_flight_behind(_arrived(stream) if takes_along else _handed_over(stream))

    def _in_flight_behind(self, index: int) -> list[Message]:
        return [message for end, message in self._in_flight if end > index]

    def _lose(self, lost: list[Message], reason: str) -> None:
        self._hub.lose(self._door.market, lost, reason, self.number)

    def silence(self) -> None:
        """Say nothing more, whatever comes, until it is forgiven."""
        self.flush_outbox()  # what was published before has been said
        self._is_silent = True

    def forgive(self) -> None:
        """Forget the faults that this connection suffers from."""
        self._is_silent = False
        self._affliction = ("", 0.0)

    def is_subscribed(self, topic: str | None) -> bool:
        """Tell whether it has a topic, or any."""
        return any(topic in (None, one.text) for one in self._topics)

    def drop(self, *, torn: bool = False) -> None:
        """End the connection without a close frame; amid a frame if `torn`."""
        stream = self._open_stream()
        if stream is None:
            return
        if torn:
            self._write(text_frame(b'{"topic":"' + b" " * 200)[:60])
        stream.close()

    def _send(self, message: dict[str, Any]) -> None:
        payload = _json(message)
        if self._is_deflated:
            self._write_message(payload)
        else:
            self._write(text_frame(payload))

    def send_error_frame(self, code: int, data: str, reply_id: str | None = None) -> None:
        """Send an error; under a random id where it answers no request."""
        error_id = self._random_id() if reply_id is None else reply_id
        self._send({"id": error_id, "type": "error", "code": code, "data": data})

    def _write(self, frames: bytes) -> None:
        stream = self._open_stream()
        if stream is None or self._is_silent:
            return
        try:
            written = stream.write(frames)
        except StreamClosedError:
            return
        self._count_unsent(len(frames), written)

    def _open_stream(self) -> IOStream | None:
        connection = self.ws_connection
        if connection is None or connection.is_closing():
            return None
        stream = connection.stream
        return None if stream is None or stream.closed() else stream

    def _write_message(self, payload: bytes) -> None:
        if self._is_silent:
            return
        try:
            written = self.write_message(payload)
        except WebSocketClosedError:
            return
        self._count_unsent(len(payload), written)

    def _count_unsent(self, size: int, written: asyncio.Future[None]) -> None:
        if not self._pending_bytes:
            self._last_drain = self._machine.monotonic()
        self._pending_bytes += size

        def on_written(future: asyncio.Future[None]) -> None:
            if not future.cancelled():
                # Looked at, so that asyncio does not complain of a client that left.
                future.exception()
            self._pending_bytes -= size
            self._last_drain = self._machine.monotonic()
            if self._pending_bytes < self._door.settings.buffer_bytes // 2:
                self._is_slow = False

        written.add_done_callback(on_written)

    def _later(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        loop = asyncio.get_running_loop()
        self._timers = [timer for timer in self._timers if timer.when() > loop.time()]
        self._timers.append(loop.call_later(seconds, call, *args))

    def _random_id(self) -> str:
        return f"{self._hub.random.getrandbits(96):024x}"


class ProSocketHandler(SocketHandler):
    """One client's session with the pro feed (reference, section 10): no token, binary frames."""

    def initialize(self, door: _Door) -> None:
        """Take the market this port serves."""
        super().initialize(door)
        self._max_messages = door.settings.max_pro_messages
        self._last_ping: float | None = None

    def get_compression_options(self) -> dict[str, Any] | None:
        """Take no permessage-deflate, whatever is offered."""
        return None

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Welcome the client."""
        self.set_nodelay(True)
        settings, hub = self._door.settings, self._hub
        self._last_message = self._machine.monotonic()
        if len(self._door.connections) >= settings.max_connections:
            self.drop()
            return
        self._join()
        self._send(
            {
                "sessionId": str(uuid.UUID(int=hub.random.getrandbits(128), version=4)),
                "message": "welcome",
                "pingInterval": settings.ping_interval_ms,
                "simulation": self._door.simulation,
            }
        )
        self._later(settings.pro_idle_timeout, self._check_idle)

    def _end_flood(self) -> None:
        self.end("flood")

    async def _take(self, message: str | bytes) -> None:
        # What is no JSON object gets no answer.
        try:
            request = json.loads(message)
        except ValueError:
            return
        if isinstance(request, dict):
            await self._answer(request)

    async def _answer(self, request: dict[str, Any]) -> None:
        reply_id = _id_text(request.get("id"))
        if request.get("type") == "ping":
            self._answer_ping(reply_id)
            return
        action = str(request.get("action")).upper()
        try:
            if action not in ("SUBSCRIBE", "UNSUBSCRIBE"):
                raise ProRefused("message", "invalid request data")
            await self._apply(action, parse_command(self._door.market, request))
        except ProRefused as refused:
            self._send({"id": reply_id, "result": False, refused.key: refused.text})
            return
        self._acknowledge(reply_id)

    def _answer_ping(self, reply_id: str) -> None:
        before, self._last_ping = self._last_ping, self._last_message
        if before is not None and self._last_message - before < _PRO_PING_SPACING:
            self._end_flood()
            return
        self._send_pong({"type": "pong", "id": reply_id, "ts": self._hub.clock.now_ns})

    async def _apply(self, action: str, topics: list[Topic]) -> None:
        market, hub = self._door.market, self._hub
        if action == "UNSUBSCRIBE":
            for topic in topics:
                self._topics.pop(topic, None)
                hub.unsubscribe(market, topic, self)
            return
        limit = self._door.settings.max_pro_topics
        if len({*self._topics, *topics}) > limit:
            raise ProRefused(
                "message", f"exceed max subscription count limitation of {limit} per session"
            )
        new = [topic for topic in topics if topic not in self._topics]
        await self._begin(new)
        for topic in topics:
            if topic not in new and topic in self._topics:
                hub.renew(market, topic, self)

    def _ack_of(self, reply_id: str) -> dict[str, Any]:
        return {"id": reply_id, "result": True}

    def _check_idle(self) -> None:
        # Only a client without a subscription is sent away. (reference, section 10)
        left = self._left_to_idle(self._door.settings.pro_idle_timeout)
        if self._topics or left > 0:
            self._later(max(left, 0.1), self._check_idle)
        else:
            self.end("idle_timeout", is_closed=True)

    def _send(self, message: dict[str, Any]) -> None:
        self._write(binary_frame(_json(message)))

    def send_error_frame(self, code: int, data: str, reply_id: str | None = None) -> None:
        """Send nothing: this feed has no error frames beside its answers."""


class Doors:
    """An exchange on this machine, whatever its data come from: its ports, thread and faults.

    Started on construction; a context manager. Everything runs on one daemon thread with a loop of
    its own, so it works the same in scripts and in notebooks, whose loop it leaves alone. All
    methods may be called from any thread.

    Parameters
    ----------
    hub
        Where the data come from.
    sites, tables
        What REST knows of each market, and its calls.
    host
        Address to listen on.
    ports
        By market; 0 for any free one.
    has_pro
        Whether the pro feed is served, under ``/pro``.

    Raises
    ------
    OSError
        If a port is taken.
    """

    def __init__(
        self,
        hub: ExchangeCore[Any],
        sites: Mapping[str, Counter],
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
        self.clock = hub.clock
        self._hub = hub
        self._has_pro = has_pro
        self._calms = 0  # how often all that was planned was called off
        self._doors = {
            market: _Door(hub, sites[market], tables[market], self._wake) for market in MARKETS
        }
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = asyncio.Event()
        self._moving = asyncio.Event()
        self._machine = hub.clock.machine
        self._close_lock = threading.Lock()
        sockets: dict[str, socket.socket] = {}
        try:
            # Bound here, so that a taken port is the caller's exception.
            for market in MARKETS:
                sockets[market] = self._machine.listen(host, ports[market])
                sockets[market].setblocking(False)
                door = self._doors[market]
                door.bound = host
                door.port = sockets[market].getsockname()[1]
            # Bound and never listened on: whoever connects is refused.
            for number in range(hub.settings.dead_servers):
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

    # What it is

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
        return list(self._hub.listings)

    @property
    def connections(self) -> int:
        """How many clients are welcome and connected now."""
        return sum(len(door.connections) for door in self._doors.values())

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Method and path of the newest 100 000 HTTP requests, WebSocket upgrades among them."""
        return self._call(lambda: list(self._hub.requests))

    @property
    def withheld(self) -> list[Withheld]:
        """The messages that did not reach somebody, and why; the newest million.

        Each message that a connection was to get and did not is here, with the connection's number
        (`Withheld`). When the exchange ends a connection, by a fault or at the end of its life, its
        topics go on being made, and what is published on them until somebody subscribes again is
        here too; so is what was sent and can no longer arrive. The same holds when a client leaves
        a connection or topic that a fault keeps silent. Filter on ``not reached_others`` for what
        reached nobody.
        """
        return self._call(lambda: list(self._hub.delivery.withheld))

    @property
    def fault_log(self) -> list[Applied]:
        """Each application of a fault; the newest million."""
        return self._call(lambda: list(self._hub.delivery.fault_log))

    def journal(self, topic: str) -> list[Published]:
        """List every message published on a topic since it was first subscribed to.

        Also what was published while nobody could receive it. Not in it are frames made for one
        subscriber: the first of a pro book, and repeated executions.

        Parameters
        ----------
        topic
            As it stands in the frames: ``"/contractMarket/execution:XBTUSDTM"``.

        Raises
        ------
        InvalidInput
            If the exchange keeps no journal.
        """
        if not self._hub.settings.journal:
            raise InvalidInput("this exchange keeps no journal: give it journal=True")
        return self._call(lambda: self._hub.delivery.journal(topic))

    # What it can be made to do

    def pause(self) -> None:
        """Make virtual time stand still; before the first subscription, it then does not start it.

        When this returns, everything that has happened is on its way to the clients.
        """

        def pause() -> None:
            self._hub.is_held = True
            self.clock.stop()
            self._flush()

        self._call(pause)

    def resume(self) -> None:
        """Let virtual time pass, from where it stands."""

        def resume() -> None:
            self._hub.is_held = False
            self.clock.start()
            self._wake()

        self._call(resume)

    def inject(self, fault: str | Fault, *, at: float | None = None, **options: Any) -> Fault:
        """Make something go wrong.

        On messages, by ``topic symbol market count after pick``: ``drop`` (left out), ``duplicate``
        (sent twice), ``reorder`` (sent behind the next of the topic), ``malformed`` (garbage comes
        instead; ``garbage`` chooses ``not_json wrong_types missing_fields nan nested``),
        ``old_shape`` (spelled as in older years; nothing is lost), ``stall`` (silence, ``until``
        ``"heal"``; ``"resubscribe"``: for each connection open now, until it subscribes to the
        topic again; ``"reconnect"``: for connections open now).

        On one connection's messages: ``slow_reader`` (the oldest one's are dropped, 100 unless
        ``count`` says otherwise). On connections open now: ``stall_socket`` (wholly silent, but
        open).

        On pings, by ``market count after``: ``mute_pong`` (no answer), ``late_pong`` (an answer
        ``delay`` seconds late).

        On all connections of a ``market``, at once: ``abort`` (TCP reset), ``bye`` (closed with
        code 1000), ``half_frame`` (torn amid a frame), ``expire_token`` (told 401 and dropped; all
        tokens expire), ``end_of_day`` (dropped, and all tokens expire), ``maintenance`` (dropped;
        for ``delay`` seconds the status is ``close``, and tokens and upgrades are refused).
        With a ``topic``, the first four end only the connections that have it.

        On upgrades, by ``market count after``: ``reject_token`` (a fresh token is told expired),
        ``refuse_upgrade`` (HTTP ``status`` 403, or 401, 429).

        On REST calls, by ``market path count after``: ``rate_limit`` (429 with the quota's headers;
        it resets after ``delay`` seconds), ``overload`` (429 without), ``html_error`` (502 and
        HTML), ``truncate`` (half a reply), ``slow_reply`` (``delay`` seconds late).

        On books and contracts, by ``symbol market pick``, else on all that are streamed: ``rebase``
        (the book's sequence falls by ``by``, everywhere), ``crossed_book`` (for ``delay`` virtual
        seconds, below 0.1, a bid stands above the best ask), ``delist`` (``Closed``, and silent).

        ``repeat_executions``: the next subscription to a trade topic (``topic``, ``market``) begins
        with the last ``count`` executions, but for the newest ``after``.

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
            What was injected, defaults filled in.

        Raises
        ------
        InvalidInput
            If the fault or an option is unknown; the message lists the known ones.
        UnknownSymbol
            If the symbol is not on offer.
        """
        made = make_fault(fault, **options)
        named(made.symbol)
        if made.symbol is not None and made.symbol not in self._hub.listings:
            raise UnknownSymbol(
                f"no symbol {shown(made.symbol)}; symbols: {', '.join(self.symbols)}"
            )
        self._hub.check(made)
        if at is None:
            self._perform(lambda: self._inject(made))
            return made
        if not is_number(at) or not 0 <= at < float("inf"):
            raise InvalidInput(f"at {shown(at)} must be 0 or more seconds")
        self._call(lambda: self._plan(int(at * 1e9), made))
        return made

    def heal(self) -> None:
        """Take away every fault that still waits for something to strike, or lasts.

        What is planned for later still comes; see `calm`.
        """
        self._perform(self._heal)

    def calm(self) -> None:
        """End the chaos, and all else that is planned, and heal everything."""

        def calm() -> None:
            self._calms += 1
            self._heal()

        self._perform(calm)

    def close(self, timeout: float = 5.0) -> None:
        """End everything: connections without a close frame, ports, thread. Idempotent."""
        with self._close_lock:
            loop = self._loop
            if self._thread.is_alive() and loop is not None:
                try:
                    loop.call_soon_threadsafe(self._closing.set)
                except RuntimeError:  # the loop ended between the question and the call
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
            # It never ends by itself: this raises what went wrong, for the thread's excepthook.
            driver.result()
        driver.cancel()

    async def _drive(self) -> None:
        hub = self._hub
        while True:
            if not self.clock.is_running:
                self._moving.clear()
                await self._moving.wait()
            is_more_due = hub.tick()
            self._flush()
            await self._wait_for_readers()
            self.clock.slip()
            if is_more_due:
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(_TICK)

    async def _wait_for_readers(self) -> None:
        while any(connection.is_behind for connection in self._connections()):
            for connection in self._connections():
                connection.give_up_if_stuck()
            await asyncio.sleep(_PACE)

    def _wake(self) -> None:
        if self.clock.is_running:
            self._moving.set()

    def _flush(self) -> None:
        for connection in self._connections():
            connection.flush_outbox()

    def _connections(self) -> list[SocketHandler]:
        return [one for door in self._doors.values() for one in door.connections]

    def _perform(self, function: Callable[[], _T]) -> _T:
        """Do something for an account on the exchange's thread, and send what follows from it."""

        def perform() -> _T:
            try:
                return function()
            finally:
                self._flush()

        return self._call(perform)

    def _catch_up(self, symbols: Iterable[str]) -> None:
        """Bring symbols to the present, for what is then done to all of them at once."""
        if self._loop is None or self.is_closed or threading.current_thread() is self._thread:
            return
        self._await(asyncio.run_coroutine_threadsafe(self._hub.catch_up(symbols), self._loop))

    # Faults

    def _plan(self, after_ns: int, fault: Fault) -> None:
        calms = self._calms

        def strike() -> None:
            if self._calms == calms:
                self._inject(fault)

        self._hub.plan(after_ns, strike)

    def _inject(self, fault: Fault) -> None:
        place = KINDS[fault.name].place
        if place == "connection":
            for door in self._doors_of(fault):
                self._break_connections(fault, door)
        elif place == "symbol":
            for symbol in self._symbols_of(fault):
                self._strike_symbol(dataclasses.replace(fault, symbol=symbol, pick=None))
        elif fault.pick is not None and fault.topic is None:
            topics = self._hub.topics(fault.market)
            if topics:
                topic = topics[fault.pick % len(topics)]
                self._arm(dataclasses.replace(fault, topic=topic, pick=None))
        else:
            self._arm(fault)

    def _arm(self, fault: Fault) -> None:
        connections = [one for door in self._doors_of(fault) for one in door.connections]
        if fault.name == "slow_reader":
            connections = [one for one in connections if one.is_subscribed(fault.topic)][:1]
        elif fault.name == "stall_socket":
            for connection in connections:
                connection.silence()
                self._hub.delivery.note_fault(
                    fault, connection.market, connection=connection.number
                )
        self._hub.delivery.arm(fault, list[Subscriber](connections))

    def _doors_of(self, fault: Fault) -> list[_Door]:
        return [door for market, door in self._doors.items() if fault.market in (None, market)]

    def _symbols_of(self, fault: Fault) -> list[str]:
        if fault.symbol is not None:
            return [fault.symbol]
        symbols = self._hub.streamed(fault.market)
        if fault.pick is None or not symbols:
            return symbols
        return [symbols[fault.pick % len(symbols)]]

    def _strike_symbol(self, fault: Fault) -> None:
        symbol, hub = str(fault.symbol), self._hub
        hub.delivery.note_fault(fault, hub.listings[symbol].market)
        if fault.name == "delist":
            hub.delivery.arm(fault)
        else:
            hub.strike(symbol, fault)

    def _break_connections(self, fault: Fault, door: _Door) -> None:
        name = fault.name
        self._hub.delivery.note_fault(fault, door.market)
        if name in ("expire_token", "end_of_day"):
            door.expire_tokens()
        if name == "maintenance":
            door.shut(fault.delay)
        for connection in list(door.connections):
            if fault.topic is None or connection.is_subscribed(fault.topic):
                connection.end(
                    name,
                    is_closed=name == "bye",
                    reset=name == "abort",
                    torn=name == "half_frame",
                    told="token is expired" if name == "expire_token" else "",
                )

    def _heal(self) -> None:
        self._hub.delivery.heal()
        for door in self._doors.values():
            door.reopen()
            for connection in door.connections:
                connection.forgive()

    def _call(self, function: Callable[[], _T]) -> _T:
        """Run a function on the exchange's thread, or here once that has ended; give its result."""
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
        """Wait for what the exchange's thread was asked for; False if that has ended before."""
        is_done = self._machine.event()
        result.add_done_callback(lambda _: is_done.set())
        while not is_done.wait(0.2):  # in steps: the loop may end before it comes to it
            if not self._thread.is_alive():
                return False
        return True


class Exchange(Doors):
    """A simulated KuCoin on this machine: REST and WebSocket, one loopback port per market.

    Started on construction; a context manager. Everything runs on one daemon thread with a loop of
    its own, so it works the same in scripts and in notebooks, whose loop it leaves alone. All
    methods may be called from any thread.

    Virtual time stands still until the first subscription, so that the first rows are reproducible,
    then runs at `speed`. A symbol's order flow starts when the symbol is first touched (by a
    subscription or a REST call) and costs nothing before. The same seed, start and subscriptions at
    virtual time zero give the same bytes on every topic. Where the machine or a reader is too slow,
    virtual time slips behind; nothing is left out.

    Parameters
    ----------
    seed
        Seed of all order flow.
    speed
        Virtual seconds per second.
    symbols
        Symbols on offer; None for the whole catalog.
    start
        First virtual instant: ISO text, a date, a datetime, one of numpy, integer ns, or ``"now"``;
        None for 2026-01-05T00:00:00Z. Rounded down to 10 ms.
    host
        Address to listen on.
    futures_port, spot_port
        Ports; 0 for any free one.
    chaos
        Trouble by seed: a whole number for the usual mix (``CHAOS_FAULTS``), or a `Chaos`; see
        ``schedule``.
    machine
        Its time, threads and sockets; the real ones when left out.
    **settings
        Fields of `Settings`; ``accounts=[Account(key=…, secret=…, passphrase=…)]`` adds accounts
        to the demo account, which is always there.

    Raises
    ------
    InvalidInput
        If an argument makes no sense.
    OSError
        If a port is taken.

    Attributes
    ----------
    clock
        The `VirtualClock`: ``now_ns``, ``lag``, ``slips``, ``slipped_ns``.
    host
        The address it listens on.

    Examples
    --------
    >>> with Exchange(seed=7, speed=60.0) as x:
    ...     x.futures_url
    'http://127.0.0.1:...'
    """

    def __init__(
        self,
        seed: int = 7,
        speed: float = 1.0,
        *,
        symbols: Iterable[str] | str | None = None,
        start: Start = None,
        host: str = "127.0.0.1",
        futures_port: int = 0,
        spot_port: int = 0,
        chaos: int | Chaos | None = None,
        machine: Machine | None = None,
        **settings: Any,
    ) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InvalidInput(f"seed must be a whole number, not {shown(seed)}")
        start_ns = parse_start(start) // SLICE_NS * SLICE_NS
        # Before anything runs that a wrong one would leave running.
        if chaos is not None and not isinstance(chaos, Chaos):
            chaos = Chaos(seed=chaos)
        self._schedule = [] if chaos is None else chaos.schedule()
        made = make_settings(settings)
        listings = listings_for(symbols, made.quiet_contracts)
        self._hub: MarketCore = MarketCore(
            seed, VirtualClock(start_ns, speed, machine=machine), listings, made
        )
        sites = {market: Site(self._hub, market) for market in MARKETS}
        ports = {"futures": futures_port, "spot": spot_port}
        super().__init__(self._hub, sites, ROUTES, host=host, ports=ports)
        for planned in self._schedule:
            self._call(functools.partial(self._plan, planned.after_ns, planned.fault))

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else f"{self.futures_url} {self.spot_url}"
        return f"<Exchange {state} seed={self.seed} speed={self.clock.speed}>"

    @property
    def seed(self) -> int:
        """The seed of all order flow."""
        return self._hub.seed

    @property
    def futures_push_url(self) -> str:
        """Address of the futures socket of the pro feed."""
        return f"ws://{self.host}:{self._doors['futures'].port}/pro"

    @property
    def spot_push_url(self) -> str:
        """Address of the spot socket of the pro feed."""
        return f"ws://{self.host}:{self._doors['spot'].port}/pro"

    @property
    def schedule(self) -> list[Planned]:
        """The faults that `chaos` has in store, in virtual time since the first subscription."""
        return list(self._schedule)

    @property
    def demo_account(self) -> TradingAccount:
        """The account that every simulated exchange has, with a fixed key: ``DEMO_ACCOUNT``."""
        return self.account(DEMO_ACCOUNT.key)

    @property
    def accounts(self) -> list[TradingAccount]:
        """All accounts, the demo account first."""
        return [self.account(key) for key in self._hub.desk.members]

    def account(self, key: str | Account) -> TradingAccount:
        """Give the account of an API key.

        Raises
        ------
        InvalidInput
            If there is none.
        """
        text = key.key if isinstance(key, Account) else key
        member = self._hub.desk.members.get(text)
        if member is None:
            raise InvalidInput(f"no account has the key {shown(text)}")
        return TradingAccount(member, self._hub.desk, self._perform)

    def tape(self, symbol: str) -> Tape:
        """Tell what truly happened to a symbol, from its first touch to now.

        Raises
        ------
        UnknownSymbol
            If it is not on offer.
        """
        return self._call(lambda: self._hub.tape(symbol))()

    def start_trader(
        self,
        symbols: Iterable[str] | str | None = None,
        orders_per_minute: float = 30.0,
        *,
        account: TradingAccount | None = None,
        seed: int | None = None,
    ) -> None:
        """Let an account trade at random, from now on, in virtual time.

        It places limit, market and stop orders, amends and cancels. Started at the same virtual
        time (before the first subscription, or while paused) with the same seed, it does the same.

        Parameters
        ----------
        symbols
            Where; None for all on offer. Each has its own trader.
        orders_per_minute
            How often each acts, on average, per virtual minute.
        account
            Who; None for the demo account.
        seed
            Seed of its choices; None for the exchange's.

        Raises
        ------
        InvalidInput
            If the rate is not above zero.
        UnknownSymbol
            If a symbol is not on offer.
        """
        if not is_number(orders_per_minute) or not 0 < orders_per_minute < float("inf"):
            raise InvalidInput(f"orders_per_minute {shown(orders_per_minute)} must be above 0")
        names = named(symbols) or list(self.symbols)
        for name in names:
            if name not in self._hub.listings:
                raise UnknownSymbol(f"no symbol {shown(name)}; symbols: {', '.join(self.symbols)}")
        who = self.demo_account if account is None else account
        if not isinstance(who, Account | TradingAccount) or who.key not in self._hub.desk.members:
            raise InvalidInput(
                f"account must be one of this exchange's accounts, not {shown(account)}"
            )
        member = self._hub.desk.members[who.key]
        chosen = self.seed if seed is None else seed

        def start() -> None:
            # In the catalog's order, so that the order of `symbols` does not matter.
            for name in self.symbols:
                if name in names:
                    self._hub.desk.start_trader(member, name, orders_per_minute, chosen)

        self._catch_up(names)
        self._perform(start)

    def stop_traders(self) -> None:
        """End all random traders; their orders and positions stay."""
        self._perform(self._hub.desk.stop_traders)


def make_settings(chosen: dict[str, Any]) -> Settings:
    """Make settings of keyword arguments.

    Raises
    ------
    InvalidInput
        If there is no such setting, or an account is none.
    """
    known = [one.name for one in dataclasses.fields(Settings)]
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        raise InvalidInput(f"no setting {shown(unknown[0])}; settings: {', '.join(known)}")
    accounts = chosen.get("accounts", ())
    if not isinstance(accounts, Iterable) or isinstance(accounts, str | bytes | Mapping):
        raise InvalidInput(f"accounts takes a list of Account(…), not {type(accounts).__name__}")
    accounts = tuple(accounts)
    for each in accounts:
        if not isinstance(each, Account):  # and may hold a secret, so it is not shown
            raise InvalidInput(f"accounts takes Account(…), not {type(each).__name__}")
    return Settings(**(chosen | {"accounts": accounts}))


def _pass_on(done: asyncio.Task[None], ending: asyncio.Future[None]) -> None:
    error = None if done.cancelled() else done.exception()
    if error is None:
        ending.set_result(None)
    else:
        ending.set_exception(error)


# linux/sockios.h: what has not left for the other side. Over loopback the rest can be read there,
# acknowledged or not, even behind a reset.
_SIOCOUTQNSD = 0x894B


def _unsent(sock: socket.socket) -> int:
    # Elsewhere than on Linux all counts as sent.
    return _ask_kernel(sock, _SIOCOUTQNSD)


def _handed_over(stream: IOStream) -> int:
    # tornado counts what the kernel has taken, and does not show it.
    return int(stream._total_write_done_index)  # noqa: SLF001


def _arrived(stream: IOStream) -> int:
    return _handed_over(stream) - _unsent(stream.socket)


def _unread(sock: socket.socket) -> int:
    if sys.platform != "linux":
        return 0
    import termios

    return _ask_kernel(sock, termios.FIONREAD)


def _ask_kernel(sock: socket.socket, question: int) -> int:
    if sys.platform != "linux":
        return 0
    import fcntl

    answer = fcntl.ioctl(sock.fileno(), question, b"\0" * 4)
    return int.from_bytes(answer, sys.byteorder)


def _json(message: Any) -> bytes:
    # Half of a surrogate pair, which JSON can spell and nobody can send, comes back as "?".
    text = json.dumps(message, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "replace")


def _id_text(request_id: Any) -> str:
    # Ids come back as strings whatever they were. (reference, section 5.3)
    if request_id is None:
        return ""
    return request_id if isinstance(request_id, str) else json.dumps(request_id)


def _log_nothing(_handler: RequestHandler) -> None:
    """Keep tornado from logging every 404: `Exchange.requests` is the log."""
