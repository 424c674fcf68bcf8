"""One client's WebSocket session, on the classic feed or on the pro feed.

From the protocol reference, sections 5 (classic) and 10 (pro).
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from tornado.websocket import WebSocketHandler

from kucoin_research.sim.faults.kinds import (
    Fault,
    Message,
)
from kucoin_research.sim.messages.pro import ProRefused, parse_command
from kucoin_research.sim.messages.topics import Topic, TopicRefused, parse_topics
from kucoin_research.sim.server.door import Door
from kucoin_research.sim.server.frame_writer import FrameWriter
from kucoin_research.sim.server.visitors import refusal
from kucoin_research.sim.server.wire_frames import binary_frame, json_bytes, text_frame

__all__ = ["ProSocketHandler", "SocketHandler"]

_PRO_PING_SPACING = 1.0  # seconds; the pro feed drops a client whose pings are closer


class _Timers:
    """The calls that one connection still waits for; they end with it."""

    def __init__(self) -> None:
        self._timers: list[asyncio.TimerHandle] = []

    def start(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        """Call a function after this many seconds (wall), unless the connection ends first."""
        loop = asyncio.get_running_loop()
        self._timers = [timer for timer in self._timers if timer.when() > loop.time()]
        self._timers.append(loop.call_later(seconds, call, *args))

    def cancel(self) -> None:
        """Call none of them any more."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


class _MessageLimit:
    """How many messages a client may send within a window of seconds (wall)."""

    def __init__(self, most: int, window: float) -> None:
        self._most = most
        self._window = window
        self._recent: deque[float] = deque()

    def is_exceeded(self, now: float) -> bool:
        """Count one message; return whether it is one too many."""
        recent = self._recent
        recent.append(now)
        while recent[0] <= now - self._window:
            recent.popleft()
        return len(recent) > self._most


class SocketHandler(WebSocketHandler):
    """One client's session with the classic feed (reference, section 5).

    It answers the client's messages and is the `Subscriber` of its topics. Its `FrameWriter` does
    the sending.
    """

    def initialize(self, door: Door) -> None:
        """Take the door of the market that this port serves."""
        self._door = door
        self._core = door.core
        self._machine = door.machine
        self._user_id = ""
        self.number = 0
        self.writer = FrameWriter(self, door.machine, door.settings)
        self._topics: dict[Topic, None] = {}
        self._has_left = False
        self._is_answering = False
        self._affliction = ("", 0.0)  # a fault that may make the client leave, and until when
        self._last_message = 0.0
        self._limit = _MessageLimit(door.settings.max_messages, door.settings.message_window)
        self._timers = _Timers()

    # Opening

    def check_origin(self, origin: str) -> bool:  # noqa: ARG002
        """Accept every origin: `get` has already refused the pages of other sites."""
        return True

    def get_compression_options(self) -> dict[str, Any] | None:
        """Accept permessage-deflate if it is offered."""
        return {} if self._door.settings.compression else None

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Answer the upgrade request."""
        self._core.requests.append(("GET", self.request.path))
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
        delivery = self._core.delivery
        return delivery.http_fault(self._door.market, self.request.path, frozenset({name}))

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Check the token and welcome the client."""
        self.set_nodelay(True)
        settings = self._door.settings
        offered = self.request.headers.get("Sec-WebSocket-Extensions", "")
        self.writer.is_deflated = settings.compression and "permessage-deflate" in offered
        self._last_message = self._machine.monotonic()
        token = self.get_query_argument("token", "")
        self._user_id = self._door.tokens.user_of(token)
        refusal = self._door.tokens.refusal(token)
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
        self._timers.start(settings.idle_timeout, self._check_idle)

    def _join(self) -> None:
        self.number = self._core.next_connection()
        self._door.connections[self] = None
        lifetime = self._door.settings.connection_lifetime
        self._timers.start(lifetime, self.end, "connection_lifetime")

    def on_close(self) -> None:
        """Forget the client."""
        reason, until = self._affliction
        self._leave(reason if self._machine.monotonic() < until else "")

    def _leave(self, reason: str) -> None:
        if self._has_left:
            return
        self._has_left = True
        self._door.connections.pop(self, None)
        self._timers.cancel()
        topics = list(self._topics)
        self._topics.clear()
        for topic in topics:
            self._unsubscribe(topic, reason)
        self._core.delivery.forget(self)
        self.writer.queue.clear()

    # The client's messages

    def on_message(self, message: str | bytes) -> asyncio.Future[None]:
        """Answer one client message, unless the exchange has already ended the session."""
        # When the exchange ends, its tasks are cancelled, some before their first step. tornado
        # would log that, with the token in the address. So it gets a future that just ends.
        ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(self._on_message(message))
        task.add_done_callback(lambda done: _pass_on(done, ending))
        return ending

    async def _on_message(self, message: str | bytes) -> None:
        if self._has_left:
            return
        now = self._last_message = self._machine.monotonic()
        if self._limit.is_exceeded(now):
            self._end_flood()
            return
        self._is_answering = True
        try:
            await self._take(message)
        except RecursionError:  # while reading the message, or while writing a part of it back
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

    async def _answer(self, request: dict[str, Any]) -> None:
        kind = request.get("type")
        reply_id = _id_text(request.get("id"))
        if kind == "ping":
            stamp = self._core.clock.now_ns // 1_000
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
        # Some documents show the flag as text. (reference, section 5.3)
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
                self._core.renew(market, topic, self)

    async def _begin(self, new: list[Topic]) -> None:
        market, core = self._door.market, self._core
        self._topics.update(dict.fromkeys(new))
        for topic in new:
            if not topic.is_private:
                await core.prepare(market, topic)
        # All subscriptions begin at the same virtual instant, so they wait for the last `prepare`.
        # A topic that the client has left or unsubscribed meanwhile is no longer in `_topics`.
        for topic in new:
            if topic in self._topics and topic.is_private:
                core.listen(self._user_id, market, topic, self)
            elif topic in self._topics:
                core.subscribe(market, topic, self)
        self._door.wake()

    def _unsubscribe(self, topic: Topic, reason: str = "") -> None:
        if topic.is_private:
            self._core.unlisten(self._user_id, self._door.market, topic, self, reason)
        else:
            self._core.unsubscribe(self._door.market, topic, self, reason)

    def _send_pong(self, pong: dict[str, Any]) -> None:
        fault = self._core.delivery.ping_fault(self._door.market)
        if fault is None:
            self._send(pong)
            return
        settings = self._door.settings
        seconds = (settings.ping_interval_ms + settings.ping_timeout_ms) / 1_000
        self._affliction = (fault.name, self._machine.monotonic() + 2 * seconds)
        if fault.name == "late_pong":
            self._timers.start(fault.delay, self._send, pong)

    def _acknowledge(self, reply_id: str) -> None:
        ack = self._ack_of(reply_id)
        longest = self._door.settings.ack_delay_ms
        if longest:
            self._timers.start(self._core.random.uniform(0, longest) / 1_000, self._send, ack)
        else:
            self._send(ack)

    def _ack_of(self, reply_id: str) -> dict[str, Any]:
        return {"id": reply_id, "type": "ack"}

    def _left_to_idle(self, limit: float) -> float:
        # A client that waits for an answer does not count as silent.
        return (
            limit if self._is_answering else self._last_message + limit - self._machine.monotonic()
        )

    def _check_idle(self) -> None:
        left = self._left_to_idle(self._door.settings.idle_timeout)
        if left > 0:
            self._timers.start(left, self._check_idle)
            return
        if not self._topics:
            # Only sockets without a subscription were seen to get this error; the others get just
            # the close frame. (reference, section 5.2)
            self.send_error_frame(400, "ping timeout")
        self.end("idle_timeout", is_closed=True)

    # Sending

    @property
    def market(self) -> str:
        """The market whose port the client called."""
        return self._door.market

    def push(self, message: Message, frame: bytes) -> bool:
        """Queue one data frame; return False if the reader is too slow to get it."""
        # This runs once per message and reader, so it uses the writer's queue without a call.
        writer = self.writer
        if writer.is_slow:
            return False
        writer.queue.append((message, message.payload if writer.is_deflated else frame))
        return True

    def end(
        self,
        reason: str,
        *,
        is_closed: bool = False,
        reset: bool = False,
        torn: bool = False,
        error_text: str = "",
    ) -> None:
        """End the session by the exchange's will; log the messages lost with it as withheld.

        It first sends an error frame with code 401 if there is an `error_text`. Then it sends a
        close frame (`is_closed`), resets the connection (`reset`), or drops it, halfway through a
        frame if `torn`.
        """
        if self._has_left:
            return
        writer = self.writer
        writer.flush()
        stream = writer.open_stream()
        self._leave(reason)
        if error_text:
            self.send_error_frame(401, error_text)
        if is_closed:
            self.close(1000, "Bye")
        elif reset and stream is not None:
            writer.reset(stream, lambda lost: self._lose(lost, reason))
        else:
            # The error frame may have ended the connection: then nothing is left to lose.
            self._lose(writer.lost_by_closing(), reason)
            self.drop(torn=torn)

    def _lose(self, lost: list[Message], reason: str) -> None:
        self._core.lose(self._door.market, lost, reason, self.number)

    def silence(self) -> None:
        """Send nothing more, whatever comes, until `forgive`."""
        self.writer.flush()  # messages published before still go out
        self.writer.is_silent = True

    def forgive(self) -> None:
        """End the faults of this connection."""
        self.writer.is_silent = False
        self._affliction = ("", 0.0)

    def is_subscribed(self, topic: str | None) -> bool:
        """Return whether the client has this topic; with None, whether it has any."""
        return any(topic in (None, one.text) for one in self._topics)

    def drop(self, *, torn: bool = False) -> None:
        """End the connection without a close frame, halfway through a frame if `torn`."""
        stream = self.writer.open_stream()
        if stream is None:
            return
        if torn:
            self.writer.write_frames(text_frame(b'{"topic":"' + b" " * 200)[:60])
        stream.close()

    def _send(self, message: dict[str, Any]) -> None:
        payload = json_bytes(message)
        if self.writer.is_deflated:
            self.writer.write_payload(payload)
        else:
            self.writer.write_frames(text_frame(payload))

    def send_error_frame(self, code: int, data: str, reply_id: str | None = None) -> None:
        """Send an error, under a random id if it answers no request."""
        error_id = self._random_id() if reply_id is None else reply_id
        self._send({"id": error_id, "type": "error", "code": code, "data": data})

    def _random_id(self) -> str:
        return f"{self._core.random.getrandbits(96):024x}"


class ProSocketHandler(SocketHandler):
    """One client's session with the pro feed (reference, section 10): no token, binary frames."""

    def initialize(self, door: Door) -> None:
        """Take the door of the market that this port serves."""
        super().initialize(door)
        self._limit = _MessageLimit(door.settings.max_pro_messages, door.settings.message_window)
        self._last_ping: float | None = None

    def get_compression_options(self) -> dict[str, Any] | None:
        """Refuse permessage-deflate, whatever is offered."""
        return None

    def open(self, *_args: str, **_kwargs: str) -> None:
        """Welcome the client."""
        self.set_nodelay(True)
        settings, core = self._door.settings, self._core
        self._last_message = self._machine.monotonic()
        if len(self._door.connections) >= settings.max_connections:
            self.drop()
            return
        self._join()
        self._send(
            {
                "sessionId": str(uuid.UUID(int=core.random.getrandbits(128), version=4)),
                "message": "welcome",
                "pingInterval": settings.ping_interval_ms,
                "simulation": self._door.simulation,
            }
        )
        self._timers.start(settings.pro_idle_timeout, self._check_idle)

    def _end_flood(self) -> None:
        self.end("flood")

    async def _take(self, message: str | bytes) -> None:
        # A message that is not a JSON object gets no answer.
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
        self._send_pong({"type": "pong", "id": reply_id, "ts": self._core.clock.now_ns})

    async def _apply(self, action: str, topics: list[Topic]) -> None:
        market, core = self._door.market, self._core
        if action == "UNSUBSCRIBE":
            for topic in topics:
                self._topics.pop(topic, None)
                core.unsubscribe(market, topic, self)
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
                core.renew(market, topic, self)

    def _ack_of(self, reply_id: str) -> dict[str, Any]:
        return {"id": reply_id, "result": True}

    def _check_idle(self) -> None:
        # Only a client without a subscription is disconnected. (reference, section 10)
        left = self._left_to_idle(self._door.settings.pro_idle_timeout)
        if self._topics or left > 0:
            self._timers.start(max(left, 0.1), self._check_idle)
        else:
            self.end("idle_timeout", is_closed=True)

    def _send(self, message: dict[str, Any]) -> None:
        self.writer.write_frames(binary_frame(json_bytes(message)))

    def send_error_frame(self, code: int, data: str, reply_id: str | None = None) -> None:
        """Send nothing: on this feed, only answers carry errors."""


def _pass_on(done: asyncio.Task[None], ending: asyncio.Future[None]) -> None:
    error = None if done.cancelled() else done.exception()
    if error is None:
        ending.set_result(None)
    else:
        ending.set_exception(error)


def _id_text(request_id: Any) -> str:
    # Ids come back as strings, whatever their type was. (reference, section 5.3)
    if request_id is None:
        return ""
    return request_id if isinstance(request_id, str) else json.dumps(request_id)
