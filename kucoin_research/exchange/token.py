"""Leave to open one WebSocket connection, as REST gives it."""

from __future__ import annotations

import uuid
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from kucoin_research.foundation.hidden import Hidden

__all__ = ["Server", "Token"]


class Server(NamedTuple):
    """A WebSocket endpoint of a token, and its rhythm in seconds."""

    endpoint: str
    ping_interval: float
    ping_timeout: float


class Token:
    """Leave to open one WebSocket connection. The token itself is masked wherever this is shown.

    Parameters
    ----------
    token
        As sent by the exchange; valid for 24 hours.
    servers
        At least one; any will do.
    simulation
        Speed of the virtual clock of a simulated exchange, None on any other.
    lifetime
        Seconds for which it keeps a connection, None where that is not told: KuCoin's 24 hours.
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
        """Build the address to connect to. It contains the token: never log it.

        Parameters
        ----------
        server
            One of ``servers``, the first unless given.
        connect_id
            Echoed in the welcome; made up unless given.
        """
        endpoint = (server or self.servers[0]).endpoint
        start = f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}"
        identity = connect_id or uuid.uuid4().hex
        return start + urlencode({"token": self.token, "connectId": identity})
