"""HTTP connections for requests that connect and read within the bound of a call.

The bound reaches below requests: these classes open the socket by `network`, and read from it. So
it holds for a proxy's answer, for TLS, for headers and for chunks, too.
"""

from __future__ import annotations

import http.client
import io
import threading
from http import HTTPStatus
from typing import Any, cast

from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from kucoin_research.exchange import network
from kucoin_research.exchange.proxies import Proxy, Target, basic_login, proxy_for
from kucoin_research.exchange.rest.unpacking import PIECE, TooLarge
from kucoin_research.exchange.tunnels import MOST_HEADERS, WANTS_LOGIN
from kucoin_research.foundation.bounds import Bound
from kucoin_research.foundation.hidden import sealed

__all__ = ["BoundedAdapter", "NoCookies", "under_way"]

_PROXY_WANTS_LOGIN = HTTPStatus.PROXY_AUTHENTICATION_REQUIRED


#: The call that this thread makes: ``bound``, ``most`` bytes of a reply, and ``is_loopback``.
#: requests has no way to pass them through to a connection.
under_way = threading.local()


class _Raw(io.RawIOBase):
    """Reads the bytes of a reply from the socket; each read waits within the bound of the call."""

    def __init__(self, sock: Any, bound: Bound) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)  # keeps the socket open
        self._bound = bound
        self._timeout = sock.gettimeout()
        self._room = MOST_HEADERS  # bytes that may still come; 1xx replies count, too

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return cast("int", self._file.fileno())

    def allow(self, most: int) -> None:
        """Allow ``most`` more bytes from now on."""
        self._room = most

    def readinto(self, buffer: Any) -> int:
        if self._room <= 0:
            raise TooLarge("the reply is too large")
        self._sock.settimeout(self._bound.left(self._timeout))
        try:
            count: int = self._file.readinto(buffer)
        except TimeoutError:
            self._bound.left()  # raises if the bound is over; else it was the timeout
            raise
        self._room -= count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _Source:
    """Stands for the socket when http.client makes a file of it."""

    def __init__(self, raw: _Raw) -> None:
        self._raw = raw

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(self._raw, PIECE)


class _Response(http.client.HTTPResponse):
    """Reads a reply within the bound of the call."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        bound: Bound = under_way.bound
        bound.hold(network.beneath(sock))
        self._raw = _Raw(sock, bound)
        super().__init__(cast("Any", _Source(self._raw)), *args, **options)

    def begin(self) -> None:
        super().begin()
        self._raw.allow(under_way.most)


def _target_of(connection: Any, *, is_secure: bool) -> Target:
    host = connection.host.strip("[]")
    return Target(host, connection.port, is_secure, under_way.is_loopback)


class _Plain(HTTPConnection):
    """A connection without TLS, opened and read from within the bound of the call."""

    response_class: Any = _Response
    # Set here, as a level on http.client's own class would make it print signatures.
    debuglevel = 0
    _forwarder: Proxy | None = None  # a proxy that gets the request itself, without a tunnel

    def _new_conn(self) -> Any:
        mine, bound = cast("Any", self), under_way.bound
        target = _target_of(self, is_secure=False)
        proxy = proxy_for(target)
        # Few proxies allow a tunnel to another port than that of TLS.
        forwards = proxy is not None and proxy.scheme in ("http", "https")
        self._forwarder = proxy if forwards else None
        return network.opened(bound, target, proxy, timeout=mine.timeout, has_tunnel=not forwards)

    def putrequest(self, method: str, url: str, *args: Any, **options: Any) -> None:
        if self.sock is None:
            self.connect()  # it decides whether the request goes to a proxy
        if self._forwarder is None:
            super().putrequest(method, url, *args, **options)
            return
        super().putrequest(method, f"http://{_netloc_of(self)}{url}", *args, **options)
        login = basic_login(self._forwarder)
        if login is not None:
            self.putheader("Proxy-Authorization", login.reveal())

    def endheaders(self, *args: Any, **options: Any) -> None:
        end = super().endheaders
        if self._forwarder is not None:
            sealed(lambda: end(*args, **options))  # its frames hold the proxy's login
        else:
            end(*args, **options)

    def getresponse(self) -> Any:
        response = super().getresponse()
        if self._forwarder is not None and response.status == _PROXY_WANTS_LOGIN:
            target = _target_of(self, is_secure=False)
            response.close()
            raise network.proxy_failure(self._forwarder, target, WANTS_LOGIN)
        return response


def _netloc_of(connection: Any) -> str:
    host = connection.host.strip("[]")
    host = f"[{host}]" if ":" in host else host
    return host if connection.port == http.client.HTTP_PORT else f"{host}:{connection.port}"


class _Secure(HTTPSConnection):
    """A connection over TLS, opened and read from within the bound of the call."""

    response_class: Any = _Response
    debuglevel = 0

    def connect(self) -> None:
        mine, bound = cast("Any", self), under_way.bound
        target = _target_of(self, is_secure=True)
        wire = network.opened(bound, target, proxy_for(target), timeout=mine.timeout)
        mine.sock = network.secured(bound, wire, target.host, timeout=mine.timeout)
        self.is_verified = True


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


_POOLS = {"http": _PlainPool, "https": _SecurePool}


class BoundedAdapter(HTTPAdapter):
    """Makes a session use our connections."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools, of our classes."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def cert_verify(self, *_: Any) -> None:
        """Leave verification to the connection, which uses the certificates of `network`."""


class NoCookies(RequestsCookieJar):
    """Keeps no cookies, so that no server recognizes us."""

    def set_cookie(self, cookie: Any, *args: Any, **options: Any) -> None:
        """Drop the cookie."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Leave a reply's cookies where they are."""
