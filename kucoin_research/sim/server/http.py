"""HTTP requests to an exchange: token calls, signatures, quotas, faults, and answers of routes."""

from __future__ import annotations

import asyncio

from tornado.web import RequestHandler

from kucoin_research.errors import InvalidInput, UnknownSymbol
from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.accounts.signing import SignedRequest, SigningRefused
from kucoin_research.sim.faults.kinds import (
    Fault,
)
from kucoin_research.sim.server.call_values import BadBody, Values, body_values
from kucoin_research.sim.server.door import Door
from kucoin_research.sim.server.not_served import not_served
from kucoin_research.sim.server.routes import AccountAnswer, Reply, Route, error, find_route
from kucoin_research.sim.server.visitors import refusal
from kucoin_research.sim.server.wire_frames import json_bytes

__all__ = ["RestHandler"]

_LIST_PATIENCE = 0.5  # seconds (wall) for bringing all symbols to the present, for a list of them


_TOKEN_CALLS = frozenset({"bullet-public", "bullet-private"})


# KuCoin's codes of orders on symbols that are not there, and of parameters that make no sense.
# (trading reference, section 5.2)
_UNKNOWN_SYMBOL = {"futures": "100003", "spot": "900001"}
_INVALID = {"futures": "100001", "spot": "400100"}

_HTML_ERROR = (
    "<html><head><title>{status} Bad Gateway</title></head><body><center>"
    "<h1>{status} Bad Gateway</h1></center><hr><center>cloudflare</center></body></html>"
)


class RestHandler(RequestHandler):
    """Answers every HTTP request, with KuCoin's envelope, quota headers and error bodies."""

    def initialize(self, door: Door) -> None:
        """Take the door of the market that this port serves."""
        self._door = door

    def prepare(self) -> None:
        """Refuse requests of other sites' web pages before anything else is read."""
        why = refusal(self.request.headers, self._door.bound)
        if why is not None:
            self._door.core.requests.append((self.request.method or "", self.request.path))
            self._send_reply(error(403, "403000", why))

    def set_default_headers(self) -> None:
        """Set the headers of a JSON service that does not name its software."""
        self.set_header("Content-Type", "application/json;charset=UTF-8")
        self.clear_header("Server")

    def compute_etag(self) -> str | None:
        """Return no ETag: KuCoin never answers 304 here."""
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
        door.core.requests.append((method, path))
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
                self._show_quota(door.quota.spent(fault.delay))
            self._send_reply(error(fault.status, "429000", "Too many requests"))

    def _fault(self, *names: str) -> Fault | None:
        door = self._door
        return door.core.delivery.http_fault(door.market, self.request.path, frozenset(names))

    def _show_quota(self, headers: dict[str, str]) -> None:
        for name, text in headers.items():
            self.set_header(name, text)

    async def _reply(self, method: str, path: str) -> Reply:
        door = self._door
        route, values = find_route(door.table, path, method)
        if route is None or method != route.method:
            return not_served(door.market, method, path, is_path_served=route is not None)
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
        is_allowed, headers = door.quota.spend(route.weight, user_id)
        if route.shows_quota:
            self._show_quota(headers)
        if not is_allowed:
            return error(429, "429000", "Too many requests in a short period of time.")
        if route.name == "bullet-private" and not door.core.has_accounts:
            return error(403, "400007", "A recording has no private channels.")
        if route.name in _TOKEN_CALLS:
            agent = self.request.headers.get("User-Agent", "")
            data = door.token_reply(self.request.host, user_id, agent=agent)
            return Reply(200, {"code": "200000", "data": data})
        return await self._look_up(route, values, member)

    def _body_values(self) -> dict[str, str]:
        kind = self.request.headers.get("Content-Type", "")
        if self.request.method == "GET" or not self.request.body:
            return {}
        if "json" not in kind.lower():
            raise BadBody("Content-Type must be application/json")
        return body_values(self.request.body)

    async def _look_up(self, route: Route, in_path: Values, member: Member | None) -> Reply:
        door = self._door
        asked = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        try:
            parameters = asked | self._body_values() | dict(in_path)
        except BadBody as bad:
            return error(400, "400101", f"Invalid request data: {bad}.")
        symbols = list(route.touches(door.site, parameters))
        patience = _LIST_PATIENCE if route.is_list(symbols) else None
        await door.core.catch_up(symbols, patience)
        if member is not None and route.account_answer is not None:
            return self._account_answer(route.account_answer, parameters, member)
        answer = route.answer(door.site, parameters)
        return answer if isinstance(answer, Reply) else await door.core.in_turns(answer)

    def _account_answer(self, answer: AccountAnswer, parameters: Values, member: Member) -> Reply:
        door = self._door
        try:
            return answer(door.site, parameters, member)
        except OrderRefused as refused:
            return error(200, refused.code, str(refused))
        except UnknownSymbol as unknown:
            return error(200, _UNKNOWN_SYMBOL[door.market], str(unknown))
        except InvalidInput as invalid:
            return error(200, _INVALID[door.market], str(invalid))
        finally:
            # What the call did is on its way to the streams, even while the clock stands.
            door.flush()

    def _send_reply(self, reply: Reply) -> None:
        self._send(reply.status, json_bytes(reply.body))

    def _send(self, status: int, body: bytes) -> None:
        if self._fault("truncate"):
            body = body[: len(body) // 2]
        self.set_status(status)
        self.finish(body)
