"""One market's door: its tokens, its quota of REST calls, and its connections."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.signing import SignedRequest, verify
from kucoin_research.sim.engine.machine import Machine
from kucoin_research.sim.faults.delivery import Subscriber
from kucoin_research.sim.server.core import ExchangeCore
from kucoin_research.sim.server.frame_writer import FrameWriter
from kucoin_research.sim.server.routes import BaseSite, RouteTable
from kucoin_research.sim.server.settings import Settings
from kucoin_research.sim.server.visitors import ANY_ADDRESS

__all__ = ["Connection", "Door"]

_SPOT_MAX_TOPICS = 400


_PRIVATE_QUOTAS = {"futures": 2_000, "spot": 4_000}


# How KuCoin's older SDKs for Python and python-kucoin introduce themselves. They give `encrypt` to
# the library websockets as its `ssl`, which must be None for a plain address.
_PASS_ENCRYPT_ON = ("kucoin-python-sdk/", "kucoin-futures-python-sdk/", "python-kucoin")


class Connection(Subscriber, Protocol):
    """One client's WebSocket session, as the exchange uses it."""

    writer: FrameWriter

    @property
    def market(self) -> str:
        """The market whose port the client called."""

    def is_subscribed(self, topic: str | None) -> bool:
        """Return whether the client has this topic; with None, whether it has any."""

    def silence(self) -> None:
        """Send nothing more, whatever comes, until `forgive`."""

    def forgive(self) -> None:
        """End the faults of this connection."""

    def end(
        self,
        reason: str,
        *,
        is_closed: bool = False,
        reset: bool = False,
        torn: bool = False,
        error_text: str = "",
    ) -> None:
        """End the session by the exchange's will; log the messages lost with it as withheld."""

    def drop(self, *, torn: bool = False) -> None:
        """End the connection without a close frame, halfway through a frame if `torn`."""


class Tokens:
    """The tokens that open one market: issued, used and expired.

    Parameters
    ----------
    machine
        Its monotonic time.
    random
        Draws the tokens.
    lifetime
        Seconds (wall) after which a token expires.
    """

    def __init__(self, machine: Machine, random: Random, lifetime: float) -> None:
        self._machine = machine
        self._random = random
        self._lifetime = lifetime
        self._expiries: dict[str, float] = {}  # token to monotonic seconds
        self._expired: set[str] = set()
        self._users: dict[str, str] = {}  # private tokens to the accounts they log in

    def issue(self, user_id: str = "") -> str:
        """Make a token that opens this market for its lifetime.

        With a `user_id`, it also opens that account's private topics.
        """
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        body = "".join(self._random.choices(alphabet, k=192))
        token = f"{body}==.{''.join(self._random.choices(alphabet, k=22))}=="
        self._expiries[token] = self._machine.monotonic() + self._lifetime
        if user_id:
            self._users[token] = user_id
        return token

    def user_of(self, token: str) -> str:
        """Return the account that a token logs in; empty for a public token."""
        return self._users.get(token, "")

    def refusal(self, token: str) -> str | None:
        """Return why a token opens nothing; None if it does."""
        if token in self._expired:
            return "token is expired"
        expiry = self._expiries.get(token)
        if expiry is None:
            return "token is invalid"
        return "token is expired" if self._machine.monotonic() >= expiry else None

    def expire(self) -> None:
        """Let every token issued so far expire."""
        self._expired.update(self._expiries)
        self._expiries.clear()


@dataclasses.dataclass
class _Window:
    """A running window of a quota: the weight used, and its end (monotonic seconds)."""

    used: int = 0
    end: float = 0.0


class Quota:
    """How much weight of REST calls one market allows per window, in public and per account.

    Parameters
    ----------
    machine
        Its monotonic time.
    settings
        ``rate_limit``, ``rate_window`` and ``private_rate_limit``.
    market
        Decides KuCoin's own limit of signed calls.
    """

    def __init__(self, machine: Machine, settings: Settings, market: str) -> None:
        self._machine = machine
        self._limit = settings.rate_limit
        chosen = settings.private_rate_limit
        self._private_limit = _PRIVATE_QUOTAS[market] if chosen is None else chosen
        self._seconds = settings.rate_window
        self._windows: dict[str, _Window] = {}

    def spend(self, weight: int, user_id: str = "") -> tuple[bool, dict[str, str]]:
        """Take a call's weight from the public quota, or from an account's.

        Returns whether that much was left, and the reply's headers.
        """
        now = self._machine.monotonic()
        limit = self._private_limit if user_id else self._limit
        window = self._windows.setdefault(user_id, _Window())
        if now >= window.end:
            # The window begins with its first request. (reference, section 2.4)
            window.used = 0
            window.end = now + self._seconds
        is_allowed = window.used + weight <= limit
        if is_allowed:
            window.used += weight
        left = limit - window.used if is_allowed else 0
        return is_allowed, _quota_headers(limit, left, window.end - now)

    def spent(self, seconds: float) -> dict[str, str]:
        """Return the headers of a public quota that is used up for this many seconds."""
        return _quota_headers(self._limit, 0, seconds)


def _quota_headers(limit: int, left: int, seconds: float) -> dict[str, str]:
    return {
        "gw-ratelimit-limit": str(limit),
        "gw-ratelimit-remaining": str(left),
        "gw-ratelimit-reset": str(max(1, int(seconds * 1_000))),
    }


class Door:
    """One market's door: its address, tokens, quota, connections and maintenance.

    Parameters
    ----------
    core
        The source of the data.
    site, table
        The market as REST sees it, and its calls.
    wake
        Called when virtual time may have begun to pass.
    flush
        Sends what waits for all connections.

    Attributes
    ----------
    bound, port
        Where it listens.
    dead_endpoints
        Addresses that the token reply names ahead of this one, and that refuse everybody.
    """

    def __init__(
        self,
        core: ExchangeCore[Any],
        site: BaseSite,
        table: RouteTable,
        wake: Callable[[], None],
        flush: Callable[[], None],
    ) -> None:
        self.core = core
        self.machine = core.clock.machine
        self.settings = core.settings
        self.wake = wake
        self.flush = flush
        self.site = site
        self.table = table
        self.market = site.market
        self.bound = ""
        self.port = 0
        self.dead_endpoints: list[str] = []
        self.connections: dict[Connection, None] = {}
        self.tokens = Tokens(self.machine, core.random, self.settings.token_lifetime)
        self.quota = Quota(self.machine, self.settings, self.market)
        self._reopening: asyncio.TimerHandle | None = None

    @property
    def is_shut(self) -> bool:
        """Whether the market is under maintenance."""
        return self.site.status == "close"

    def shut(self, seconds: float) -> None:
        """Begin maintenance, which ends by itself after this many seconds (wall)."""
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
        """The key of the token reply that KuCoin never sends, for our own client.

        It says that this venue's clock is virtual. Other clients ignore unknown keys. ``lifetime``
        is the life of a connection in wall seconds.
        """
        settings = self.settings
        return {
            "speed": self.core.clock.speed,
            "seed": self.core.seed,
            "lifetime": min(settings.token_lifetime, settings.connection_lifetime),
        }

    @property
    def max_topics(self) -> int | None:
        """Topics allowed per connection; None for any number."""
        if self.settings.max_topics is not None:
            return self.settings.max_topics
        return _SPOT_MAX_TOPICS if self.market == "spot" else None

    def member(self, request: SignedRequest) -> Member:
        """Return the account that signed a request; raises `SigningRefused`."""
        members = self.core.members
        accounts = {key: member.account for key, member in members.items()}
        # Clients sign by their own clock, or by the exchange's: as it is now, or as far from their
        # own as it was when they asked for it. At other speeds than 1 these two drift apart.
        wall, now, then = (
            ns // 1_000_000
            for ns in (self.machine.wall_ns(), self.site.now_ns, self.core.clock.unhurried_ns)
        )
        spans = [(wall, wall), (min(now, then), max(now, then))]
        return members[verify(request, accounts, spans).key]

    def token_reply(self, host: str, user_id: str = "", *, agent: str = "") -> dict[str, Any]:
        """Build the data of a token reply to a client that called `host` (and port).

        It names the address that the server listens on. If the server listens on all addresses, it
        names the one that was called. `agent` is the client's ``User-Agent``.
        """
        place = host if self.bound in ANY_ADDRESS else f"{self.bound}:{self.port}"
        # KuCoin says true of its wss addresses. This one is plain, and clients that look should
        # know. Typed clients take only true or false.
        encrypt = None if agent.startswith(_PASS_ENCRYPT_ON) else False
        return {
            "token": self.tokens.issue(user_id),
            "instanceServers": [
                {
                    "endpoint": endpoint,
                    "encrypt": encrypt,
                    "protocol": "websocket",
                    "pingInterval": self.settings.ping_interval_ms,
                    "pingTimeout": self.settings.ping_timeout_ms,
                }
                for endpoint in (*self.dead_endpoints, f"ws://{place}/")
            ],
            "simulation": self.simulation,
        }
