"""One market's door."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.signing import SignedRequest, verify
from kucoin_research.sim.server.core import ExchangeCore
from kucoin_research.sim.server.routes import Counter, RouteTable
from kucoin_research.sim.server.visitors import ANY_ADDRESS

if TYPE_CHECKING:
    from kucoin_research.sim.server.websocket import SocketHandler

__all__: list[str] = []

_SPOT_MAX_TOPICS = 400


_PRIVATE_QUOTAS = {"futures": 2_000, "spot": 4_000}


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
