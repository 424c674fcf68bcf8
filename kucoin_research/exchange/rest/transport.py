"""Sends one HTTP request and reads its whole reply, bounded in size and in time.

A server, or a proxy on the way, may send without end, a byte a second, or a megabyte of gzip that
unpacks to gigabytes. So a reply is read in pieces, each within the `Bound` of its call, and is
unpacked in pieces up to a cap. Only this module uses a session of requests.
"""

from __future__ import annotations

import http.client
import threading
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias, cast

import requests
import urllib3

from kucoin_research.errors import UntrustedHost
from kucoin_research.exchange.rest.bounded_connections import BoundedAdapter, NoCookies, under_way
from kucoin_research.exchange.rest.unpacking import PIECE, WINDOWS, TooLarge, inflate
from kucoin_research.foundation.bounds import Bound
from kucoin_research.foundation.clocks import Clock

__all__ = ["ENCODINGS", "Reply", "Request", "Session", "Transport"]

Session: TypeAlias = requests.Session
#: A request as it is about to be sent.
Request: TypeAlias = requests.PreparedRequest

# Bytes of a reply without success; the rest of it is not read.
_MOST_OF_AN_ERROR = 262_144
_MOST_ENCODINGS = 3
#: The encodings to ask for: those that we can unpack in pieces.
ENCODINGS = "gzip, deflate"


class Reply(NamedTuple):
    """A reply, unpacked; without success its ``body`` may be cut short."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """Sends requests; each thread has connections of its own.

    **Threads**: any number may call `send` at once. `close` may be called from any thread; it ends
    all requests that are under way.

    Parameters
    ----------
    clock
        Times the waits.
    timeout
        Seconds to connect, and to wait for each piece of a reply.
    session
        A session for every request instead of our own; it stays open. We do not control its
        connections: there the bound is checked only between two pieces of a body.
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
        """Close the connections, and end every request that is under way."""
        with self._lock:
            self._is_closed = True
            sessions, bounds = list(self._sessions), list(self._bounds)
        for bound in bounds:
            bound.cut()
        for session in sessions:
            session.close()

    def disown(self) -> None:
        """Forget requests and connections in a forked child, which shares them with the parent.

        None of them is shut down. A given session stays.
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
            The request; its ``Accept-Encoding`` must be ``ENCODINGS``.
        auth
            Adds the signed headers to the request when it is sent.
        bound
            Limits the request and its reply in time.
        most
            The most bytes of the reply, packed as well as unpacked.
        is_loopback
            Whether the address is this machine's own, which no proxy reaches.

        Raises
        ------
        TransportError
            If there is no reply; `trouble_of` returns the reason.
        InvalidInput
            If a variable names no proxy, or no certificate.
        UntrustedHost
            If the given session does not verify certificates.
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
            session.trust_env = False  # our connections choose proxy and certificates
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
    # requests reads the whole body of a redirect, even of one that it must not follow. Without the
    # Location it takes the reply for an ordinary one.
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
    if len(encodings) > _MOST_ENCODINGS or not all(each in WINDOWS for each in encodings):
        raise requests.exceptions.ContentDecodingError("packed as was not asked for")
    pieces: Iterable[bytes] = response.raw.stream(PIECE, decode_content=False)
    for encoding in reversed(encodings):
        pieces = inflate(pieces, encoding, most)
    for piece in pieces:
        yield piece
        bound.left()
