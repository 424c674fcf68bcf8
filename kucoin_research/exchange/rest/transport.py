"""One HTTP request and its whole reply, bounded in size and in time; the only user of a session.

A server, or a proxy on the way, may send without end, a byte a second, or a megabyte of gzip that
unpacks to gigabytes. So a reply is read in pieces, each waited for within the `Bound` of its call,
and unpacked in pieces up to a cap. The bound reaches below requests: our connection classes open
the socket, as `network` does it for all, and read from it, so that it holds for a proxy's answer,
for TLS, for headers and for chunks, too.
"""

from __future__ import annotations

import http.client
import io
import itertools
import socket
import ssl
import threading
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from kucoin_research.errors import BadReply, Unreachable, UntrustedHost
from kucoin_research.exchange import network
from kucoin_research.exchange.certificates import certificate_failure
from kucoin_research.exchange.dialing import ConnectFailure
from kucoin_research.exchange.proxies import Proxy, Target, basic_login, proxy_for
from kucoin_research.exchange.tunnels import MOST_HEADERS, WANTS_LOGIN
from kucoin_research.foundation.bounds import Bound, OutOfTime
from kucoin_research.foundation.clocks import Clock
from kucoin_research.foundation.hidden import sealed

__all__ = [
    "ENCODINGS",
    "Reply",
    "Request",
    "Session",
    "Transport",
    "TransportError",
    "Trouble",
    "trouble_of",
]

Session: TypeAlias = requests.Session
#: A request as it is about to be sent.
Request: TypeAlias = requests.PreparedRequest
#: What `Transport.send` raises.
TransportError: TypeAlias = requests.RequestException

PIECE = 65_536
_PROXY_WANTS_LOGIN = HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
# What a reply without success may say; the rest of it is left unread.
_MOST_OF_AN_ERROR = 262_144
_MOST_ENCODINGS = 3
_MOST_PARTS = 1_000  # of gzip; empty ones would cost time, and no bytes
#: What to ask for: no more than can be unpacked here, in pieces.
ENCODINGS = "gzip, deflate"


class TooLarge(http.client.HTTPException):
    """The reply goes on beyond what is taken of one."""


class Reply(NamedTuple):
    """A reply, unpacked.

    Where it is no success, ``body`` may be the beginning only.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


# -- below requests --------------------------------------------------------------------------------

under_way = threading.local()  # `bound`, of the call that this thread makes


class _Raw(io.RawIOBase):
    """The bytes of a reply as they come, each read waiting within the bound of the call."""

    def __init__(self, sock: Any, bound: Bound) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)  # the socket stays open as long as this
        self._bound = bound
        self._timeout = sock.gettimeout()
        self._room = MOST_HEADERS  # of 1xx replies, too

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return cast("int", self._file.fileno())

    def allow(self, most: int) -> None:
        """Take so many bytes from now on."""
        self._room = most

    def readinto(self, buffer: Any) -> int:
        if self._room <= 0:
            raise TooLarge("the reply is too large")
        self._sock.settimeout(self._bound.left(self._timeout))
        try:
            count: int = self._file.readinto(buffer)
        except TimeoutError:
            self._bound.left()  # tells which of the two it was
            raise
        self._room -= count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _Source:
    """Stands for the socket where http.client makes a file of it."""

    def __init__(self, raw: _Raw) -> None:
        self._raw = raw

    def makefile(self, *_: object) -> io.BufferedReader:
        return io.BufferedReader(self._raw, PIECE)


class _Response(http.client.HTTPResponse):
    """A reply that is read within the bound of the call."""

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
    # Set on http.client's class, it would print signatures.
    debuglevel = 0
    _forwarder: Proxy | None = None  # a proxy that is sent the request itself

    def _new_conn(self) -> Any:
        mine, bound = cast("Any", self), under_way.bound
        target = _target_of(self, is_secure=False)
        proxy = proxy_for(target)
        # Few proxies let anybody tunnel to a port that is not that of TLS.
        forwards = proxy is not None and proxy.scheme in ("http", "https")
        self._forwarder = proxy if forwards else None
        return network.opened(bound, target, proxy, timeout=mine.timeout, has_tunnel=not forwards)

    def putrequest(self, method: str, url: str, *args: Any, **options: Any) -> None:
        if self.sock is None:
            self.connect()  # it decides what is to be sent
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
            sealed(lambda: end(*args, **options))  # its frames hold the login
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
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def cert_verify(self, *_: Any) -> None:
        """Leave that to the connection, which verifies by what `network` finds."""


class NoCookies(RequestsCookieJar):
    """Keeps nothing: no server is to know us again."""

    def set_cookie(self, cookie: Any, *args: Any, **options: Any) -> None:
        """Forget it."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Leave them where they are."""


# -- one request -----------------------------------------------------------------------------------


class Transport:
    """Sends requests; each thread has connections of its own.

    **Threads**: any number may call `send` at once. `close` may be called from any thread; it ends
    what is on its way.

    Parameters
    ----------
    clock
        What the waits go by.
    timeout
        Seconds to connect, and to wait for each piece of a reply.
    session
        A session to use for every request instead of our own; it stays open. Its connections are
        its own: of these the bound is looked at between two pieces of a body only.
    """

    def __init__(
        self, clock: Clock, *, timeout: tuple[float, float], session: Session | None = None
    ) -> None:
        self._clock = clock
        self._timeout = timeout
        self._given_session = session
        self._local = threading.local()
        self._lock = threading.Lock()  # guards the three below
        self._is_closed = False
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self._bounds: set[Bound] = set()

    def close(self) -> None:
        """Close the connections, and end every request that is on its way."""
        with self._lock:
            self._is_closed = True
            sessions, bounds = list(self._sessions), list(self._bounds)
        for bound in bounds:
            bound.cut()
        for session in sessions:
            session.close()

    def disown(self) -> None:
        """Forget requests and connections in a forked child: their ends are shared with the parent.

        Nothing of them is shut down. A session that was given stays.
        """
        self._local = threading.local()
        self._lock = threading.Lock()  # may have been held when the process was forked
        self._sessions, self._bounds = weakref.WeakSet(), set()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        auth: Callable[[Request], Request] | None = None,
        bound: Bound,
        most: int,
        is_loopback: bool,
    ) -> Reply:
        """Send a request, and read its reply to the end.

        Parameters
        ----------
        method, url, headers
            Of the request; ``Accept-Encoding`` is to be ``ENCODINGS``.
        auth
            Adds to the request, as it is sent, what proves a key.
        bound
            By when the reply is there.
        most
            Bytes of it, packed as well as unpacked.
        is_loopback
            Whether the address is this machine's own, which no proxy reaches.

        Raises
        ------
        TransportError
            Whatever came between; `trouble_of` tells what.
        InvalidInput
            If a variable names no proxy, or no certificate.
        UntrustedHost
            If the given session would take any server's word.
        """
        if not is_loopback and self._given_session is not None:
            _refuse_unverified(self._given_session)
        session = self._session()
        with self._lock:
            self._bounds.add(bound)
            if self._is_closed:
                bound.cut()
        try:
            under_way.is_loopback = is_loopback
            with bound:
                return self._send(session, method, url, headers, auth, bound, most)
        finally:
            with self._lock:
                self._bounds.discard(bound)

    def _send(
        self,
        session: Session,
        method: str,
        url: str,
        headers: Mapping[str, str],
        auth: Callable[[Request], Request] | None,
        bound: Bound,
        most: int,
    ) -> Reply:
        under_way.bound, under_way.most = bound, most + PIECE
        try:
            connect, wait = self._timeout
            with session.request(
                method,
                url,
                headers=headers,
                auth=auth,
                timeout=(bound.left(connect), bound.left(wait)),
                allow_redirects=False,  # KuCoin has none; a login portal has
                stream=True,
                hooks={"response": [*_hooks_of(session), _stay]},
            ) as response:
                return _read(response, bound, most)
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            if isinstance(error, requests.RequestException):
                raise
            raise requests.ConnectionError(error) from error
        finally:
            under_way.bound = None

    def _session(self) -> Session:
        if self._given_session is not None:
            return self._given_session
        if not hasattr(self._local, "session"):
            session = requests.Session()
            session.trust_env = False  # the connections decide that
            session.cookies = NoCookies()
            for scheme in ("http://", "https://"):
                session.mount(scheme, BoundedAdapter())
            with self._lock:
                self._sessions.add(session)
            self._local.session = session
        return cast("Session", self._local.session)


def _refuse_unverified(session: Session) -> None:
    if session.verify is False:
        raise UntrustedHost("the given session does not verify certificates: let it")


def _hooks_of(session: Session) -> list[Any]:
    hooks: Any = session.hooks.get("response", [])
    return list(hooks) if isinstance(hooks, Iterable) else [hooks]


def _stay(response: requests.Response, *_: object, **__: object) -> None:
    # requests reads the whole body of a redirect, also of one that it is not to follow.
    response.headers.pop("Location", None)


def _read(response: requests.Response, bound: Bound, most: int) -> Reply:
    is_success = response.status_code < HTTPStatus.MULTIPLE_CHOICES
    body = bytearray()
    try:
        for piece in _unpacked(response, bound, most):
            body += piece
            if len(body) > (most if is_success else _MOST_OF_AN_ERROR):
                break
    except urllib3.exceptions.ProtocolError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error
    except (zlib.error, urllib3.exceptions.DecodeError) as error:
        raise requests.exceptions.ContentDecodingError(error) from error
    except (ValueError, OverflowError) as error:  # a chunk of less than nothing
        raise requests.exceptions.ChunkedEncodingError(error) from error
    if is_success and len(body) > most:
        raise TooLarge("the reply is too large")
    if not is_success:
        del body[_MOST_OF_AN_ERROR:]
    return Reply(response.status_code, response.headers, bytes(body))


def _unpacked(response: requests.Response, bound: Bound, most: int) -> Iterator[bytes]:
    named = response.headers.get("Content-Encoding", "").lower().split(",")
    encodings = [text for each in named if (text := each.strip()) not in ("", "identity")]
    if len(encodings) > _MOST_ENCODINGS or not all(each in _WINDOWS for each in encodings):
        raise requests.exceptions.ContentDecodingError("packed as was not asked for")
    pieces: Iterable[bytes] = response.raw.stream(PIECE, decode_content=False)
    for encoding in reversed(encodings):
        pieces = inflate(pieces, encoding, most)
    for piece in pieces:
        yield piece
        bound.left()


# Bits of zlib's window, which also tell the format.
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_HEADERLESS = -15


def inflate(pieces: Iterable[bytes], encoding: str, most: int) -> Iterator[bytes]:
    """Unpack in pieces, and no more than a reply may have: also of what is packed again inside."""
    pieces = iter(pieces)
    head = b""
    while len(head) < 2 and (piece := next(pieces, b"")):
        head += piece
    window = _WINDOWS[encoding]
    if encoding == "deflate" and not _has_zlib_header(head):
        window = _HEADERLESS  # some leave it out
    unpacking, room = _Unpacking(window), most
    for packed in itertools.chain([head], pieces):
        for piece in unpacking.feed(packed):
            room -= len(piece)
            if room < 0:
                raise TooLarge("the reply unpacks to too much")
            yield piece


class _Unpacking:
    """Unpacks one part, or several in a row, in pieces of a bounded size."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._unpack = zlib.decompressobj(window)
        self._parts = 1
        self._is_over = False

    def feed(self, packed: bytes) -> Iterator[bytes]:
        while not self._is_over:
            try:
                piece = self._unpack.decompress(packed, PIECE)
            except zlib.error:
                if self._parts == 1:
                    raise
                self._is_over = True  # padding behind the last part is no data
                return
            if piece:
                yield piece
            packed = self._unpack.unconsumed_tail
            if self._unpack.eof:
                packed = self._unpack.unused_data
                if packed:
                    self._begin_next()
            if not packed and len(piece) < PIECE:
                return

    def _begin_next(self) -> None:
        self._unpack = zlib.decompressobj(self._window)
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise TooLarge("the reply is packed in too many parts")


def _has_zlib_header(packed: bytes) -> bool:
    # RFC 1950, section 2.2
    return packed[:1] != b"" and packed[0] & 15 == 8 and int.from_bytes(packed[:2], "big") % 31 == 0


# -- what came between -----------------------------------------------------------------------------


class Trouble(NamedTuple):
    """Why there is no reply: the error it is, half a sentence, and whether it may pass."""

    error: type[Unreachable | BadReply]
    why: str
    may_pass: bool = False


# The first that fits counts. No call here changes anything at the exchange (the token's POST
# neither), so each may be repeated after a break.
_TROUBLES: tuple[tuple[tuple[type[BaseException], ...], Trouble], ...] = (
    (
        (TooLarge,),
        Trouble(
            BadReply, "its reply is larger than any that KuCoin sends; look for a broken proxy"
        ),
    ),
    (
        (OutOfTime,),
        Trouble(Unreachable, "the whole answer did not come in time; check the network"),
    ),
    (
        (requests.exceptions.ProxyError,),  # of a session that was given
        Trouble(Unreachable, "the proxy refused or gave no answer; check HTTPS_PROXY and NO_PROXY"),
    ),
    (
        (socket.gaierror,),
        Trouble(Unreachable, "no such name; check the network and the address"),
    ),
    (
        (ConnectionRefusedError,),
        Trouble(
            Unreachable,
            "the connection was refused; check the address, and that the exchange runs",
        ),
    ),
    (
        (requests.Timeout, TimeoutError),
        Trouble(Unreachable, "no answer in time; check the network"),
    ),
    (
        (http.client.IncompleteRead, requests.exceptions.ChunkedEncodingError),
        Trouble(BadReply, "its reply was cut short; try again", may_pass=True),
    ),
    (
        (ConnectionResetError, ConnectionAbortedError, BrokenPipeError),
        Trouble(Unreachable, "it ended the connection; try again", may_pass=True),
    ),
    (
        (requests.exceptions.ContentDecodingError,),
        Trouble(BadReply, "its reply could not be unpacked; look for a broken proxy"),
    ),
)


def trouble_of(error: TransportError) -> Trouble:
    """Tell what was wrong."""
    causes = list(_chain(error))
    failures = [each for each in causes if isinstance(each, ConnectFailure)]
    failures += [  # of a session that was given
        certificate_failure(each, "its session")
        for each in causes
        if isinstance(each, ssl.SSLCertVerificationError)
    ]
    if failures:
        return Trouble(failures[0].kind, failures[0].why)
    return next(
        (each for kinds, each in _TROUBLES if any(isinstance(one, kinds) for one in causes)),
        Trouble(Unreachable, f"{type(causes[-1]).__name__}; check the network"),
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    # requests and urllib3 wrap the true cause, several deep and in different places.
    found: list[BaseException] = [error]
    for each in found:
        yield each
        inner = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        found += [one for one in inner if isinstance(one, BaseException) and one not in found]
