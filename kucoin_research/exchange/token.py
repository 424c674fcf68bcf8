"""The token that opens one WebSocket connection, and the servers that accept it."""

from __future__ import annotations

import uuid
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from kucoin_research.foundation.hidden import Hidden

__all__ = ["Server", "Token"]


class Server(NamedTuple):
    """A WebSocket server, the seconds between pings, and the seconds to wait for a pong."""

    endpoint: str
    ping_interval: float
    ping_timeout: float


class Token:
    """Opens one WebSocket connection. Its repr masks the token itself.

    Parameters
    ----------
    token
        The text that the exchange sent; valid for 24 hours.
    servers
        At least one; any of them accepts the token.
    simulation
        Speed of the virtual clock of a simulated exchange; None on any other exchange.
    lifetime
        Seconds for which the exchange keeps a connection; None if it does not say. KuCoin keeps one
        for 24 hours.
    """

    __slots__ = ("_hidden", "lifetime", "servers", "simulation")

    def __init__(
        self,
        token: str,
        servers: tuple[Server, ...],
        simulation: float | None = None,
        lifetime: float | None = None,
    ) -> None:
        self._hidden = Hidden(token)
        self.servers = servers
        self.simulation = simulation
        self.lifetime = lifetime

    @property
    def token(self) -> str:
        """The token, to be read on purpose."""
        return self._hidden.reveal()

    def __repr__(self) -> str:
        return f"Token(token='***', servers={self.servers!r}, simulation={self.simulation!r})"

    def url(self, server: Server | None = None, *, connect_id: str | None = None) -> str:
        """Return the address to connect to. It contains the token: never log it.

        Parameters
        ----------
        server
            One of ``servers``; the first unless given.
        connect_id
            An id that the welcome repeats; a random one unless given.
        """
        endpoint = (server or self.servers[0]).endpoint
        start = f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}"
        identity = connect_id or uuid.uuid4().hex
        return start + urlencode({"token": self.token, "connectId": identity})
