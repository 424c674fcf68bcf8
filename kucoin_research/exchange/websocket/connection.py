"""One WebSocket connection: websocket-client shakes hands and sends, our `FrameReader` receives.

websocket-client reads a message with several small ``recv`` calls; here one large ``recv`` reads
all messages that have arrived. That is 10 to 100 times cheaper (``benchmarks/receive.py``), and it
lets the reading thread keep up while the kernel's main thread is busy: each call that releases the
GIL may wait a whole switch interval to get it back.

This module opens the socket and reads the reply to the handshake, both within a `Bound`.
websocket-client would start its timeout again for each byte of a slow server or proxy, and would
read a body of any length. The reply is read byte by byte, so that frames that came in the same
segment stay in the socket.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Self, cast
from urllib.parse import parse_qsl, urlsplit

import websocket

from kucoin_research.errors import (
    ConnectionLost,
    HandshakeRefused,
    InvalidInput,
    NetworkError,
    ProtocolViolation,
    Unreachable,
    UntrustedHost,
)
from kucoin_research.exchange import network
from kucoin_research.exchange.certificates import certificate_failure
from kucoin_research.exchange.dialing import ConnectFailure
from kucoin_research.exchange.proxies import proxy_for
from kucoin_research.exchange.tunnels import Endless, Wire, read_head
from kucoin_research.exchange.venues import is_loopback, target_of
from kucoin_research.exchange.websocket.wire import (
    NO_STATUS,
    PING,
    Close,
    ControlFrame,
    FrameReader,
)
from kucoin_research.foundation import clocks
from kucoin_research.foundation.bounds import Bound
from kucoin_research.foundation.clocks import Clock
from kucoin_research.foundation.hidden import Hidden, masked, sealed

__all__ = ["Connection", "open_hidden", "query_of"]

# 256 KiB would double the CPU time at low rates: each call allocates the whole buffer.
_READ_SIZE = 65536

# Seconds that the last frame to a failing peer may hold up the reading thread.
_FAREWELL_TIMEOUT = 1.0


class _TokenFilter(logging.Filter):
    """Removes tokens from websocket-client's log records; its tracing logs whole URLs."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if "token=" in text:
            text = re.sub(r"(token|connectId)=[^&\s'\"]*", r"\1=***", text)
            record.msg, record.args = text, None
        return True


logging.getLogger("websocket").addFilter(_TokenFilter())


class Connection:
    """An open WebSocket connection; `open` makes one.

    **Threads**: one thread owns the connection and calls `receive`, `send` and `close`. `abort` may
    be called from any thread at any time; it wakes the owner, who then closes. The counters may be
    read from any thread.

    Attributes
    ----------
    bytes_received
        Bytes read since the handshake, frame headers and control frames included.
    messages_received
        Data messages returned by `receive`.
    """

    def __init__(
        self,
        client: Any,
        *,
        timeout: float = 10.0,
        max_message: int = 16 * 1024 * 1024,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clocks.current() if clock is None else clock
        self.bytes_received = 0
        self.messages_received = 0
        self._client = client
        self._socket: Wire = client.sock
        self._socket_timeout: float | None = None
        self._send_timeout = timeout
        self._reader = FrameReader(max_message=max_message)
        self._ending: NetworkError | None = None
        # The reason why nothing can be sent any more; messages that have arrived are still read.
        self._mute: ConnectionLost | None = None
        self._is_aborted = False
        # Guards the descriptor: without it, `abort` could shut down a number that was closed and
        # belongs to another socket by now.
        self._descriptor_lock = threading.Lock()

    @classmethod
    def open(
        cls,
        url: str,
        *,
        timeout: float = 10.0,
        ssl_options: Mapping[str, Any] | None = None,
        header: Mapping[str, str] | Sequence[str] | None = None,
        max_message: int = 16 * 1024 * 1024,
        clock: Clock | None = None,
        bound: Bound | None = None,
    ) -> Self:
        """Connect, encrypt for ``wss``, and shake hands.

        Compression is not offered, Nagle's delay is off, and redirects are not followed: the token
        in the URL is meant for one host. As for REST, `network` finds the proxy and the trusted
        certificates.

        Parameters
        ----------
        url
            Address, ``ws://…`` or ``wss://…``. Its query holds a token, so no error shows it.
        timeout
            Seconds for the whole opening: looking up the name, connecting, a proxy, TLS and the
            handshake. Later, seconds for each send.
        ssl_options
            websocket-client's ``sslopt``, for example ``{"ca_certs": path}`` or ``{"context":
            context}``, instead of the certificates that ``certificates.trust`` finds. They may
            turn verification off for this machine's own addresses only.
        header
            Further HTTP headers, a mapping or lines such as ``"User-Agent: me"``.
        max_message
            Largest message taken, in bytes.
        clock
            The clock that times the waits; the machine's own when left out.
        bound
            Limits the opening, instead of ``timeout``; ``bound.cut()`` ends it from any thread.

        Returns
        -------
        Connection
            Open; close it.

        Raises
        ------
        InvalidInput
            If the URL is not a WebSocket address, or a variable names no proxy or certificate.
        CertificateRefused
            If no trusted certificate vouches for the server.
        UntrustedHost
            If ``ssl_options`` would let any server pass for another machine's.
        Unreachable
            If there is no such name, no route, nobody listening, or no answer in time.
        HandshakeRefused
            If the answer was not an upgrade, or its headers have no end; ``status`` holds the HTTP
            status.
        ConnectionLost
            If the bound was cut.
        """
        host = _host_of(url)
        _refuse_unverified(host, url, ssl_options or {})
        clock = clocks.current() if clock is None else clock
        client: Any = websocket.WebSocket(enable_multithread=False, skip_utf8_validation=True)
        client.settimeout(timeout)
        opened: Wire | None = None
        try:
            with Bound(clock, timeout) if bound is None else bound as bound:
                opened = _open_socket(url, bound, ssl_options or {})
                reply = _Handshake(opened, bound)
                client.connect(url, header=header, redirect_limit=0, socket=reply)
                # websocket-client 1.8 treats a redirect that it may not follow as a success.
                if client.getstatus() != HTTPStatus.SWITCHING_PROTOCOLS:
                    raise _refusal(host, client.getstatus())
            client.sock = opened
        except BaseException as error:
            if opened is not None:
                opened.close()
            if bound is not None and bound.is_cut:
                raise ConnectionLost("the connection was aborted on this side") from None
            raised = _opening_error(error, host, timeout, client.getstatus())
            if raised is None:
                raise
            # websocket-client's errors quote the reply, which may repeat the URL and its token.
            raise raised from (error if isinstance(error, OSError) else None)
        return cls(client, timeout=timeout, max_message=max_message, clock=clock)

    def receive(self, timeout: float) -> list[bytes]:
        """Wait for bytes once, and return the messages they complete.

        It also answers pings and echoes a close frame. The error that ends the connection is raised
        after all messages before it were returned: at once if there are none, otherwise by the next
        call. After a failed `send` it does not wait: it returns the messages that had arrived by
        then, and then raises.

        Parameters
        ----------
        timeout
            Seconds to wait for the first byte; 0 takes only bytes that are there.

        Returns
        -------
        list[bytes]
            Payloads of text and binary messages in order of arrival, their UTF-8 not checked. Empty
            if the time passed, or if only control frames or pieces of messages came.

        Raises
        ------
        ConnectionLost
            If the peer closed (the error has its code and reason), the connection broke (1006), or
            `abort` or `close` was called.
        ProtocolViolation
            If the peer broke RFC 6455; a close frame with ``close_code`` was sent.
        """
        self._raise_if_ended()
        messages: list[bytes] = []
        try:
            data = self._read(timeout if self._mute is None else 0.0)
            if not data:
                if self._mute is not None:
                    raise self._mute
                return messages
            self.bytes_received += len(data)
            messages, controls = self._reader.feed(data)
            self.messages_received += len(messages)
            if self._reader.ending is not None:
                self._part(self._reader.ending)
            elif controls:
                self._answer_pings(controls)
        except NetworkError as error:
            self._end(self._mute or error)
        if not messages:
            self._raise_if_ended()
        return messages

    def send(self, text: str) -> None:
        """Send one text message.

        Parameters
        ----------
        text
            The message; sent as UTF-8.

        Raises
        ------
        ConnectionLost
            If the connection has ended, or ends here; a peer that does not read ends it too.
            `receive` still returns the messages that arrived before.
        """
        self._raise_if_ended()
        if self._mute is not None:
            raise self._mute.with_traceback(None)
        self._speak(text.encode(), websocket.ABNF.OPCODE_TEXT)

    def close(self, code: int = 1000, *, timeout: float = 1.0) -> None:
        """Send a close frame, wait for the peer's, and free the socket; idempotent.

        Messages that arrive meanwhile are dropped.

        Parameters
        ----------
        code
            Close code to send.
        timeout
            Seconds that sending and waiting may take, each.
        """
        self._ending = self._ending or self._mute
        if self._ending is None:
            self._ending = ConnectionLost("the connection was closed on this side", close_code=code)
            # A peer that is gone or broken cannot answer; we close all the same.
            with contextlib.suppress(NetworkError):
                self._send_close(code, timeout=timeout)
                self._wait_for_close(timeout)
        self._release()

    def abort(self) -> None:
        """End the connection now, from any thread; idempotent, does not wait.

        A `receive` or `send` that is waiting wakes and raises `ConnectionLost`, and so does every
        later one. The owner still calls `close`, or the failing `receive` frees the socket.
        """
        self._is_aborted = True
        # OSError: the peer was faster, or the socket is closed already.
        with self._descriptor_lock, contextlib.suppress(OSError):
            # Not SSLSocket.shutdown: it drops the TLS state under a concurrent recv or send, which
            # would then fail with a ValueError, or handle bytes that are not encrypted.
            socket.socket.shutdown(network.beneath(self._socket), socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, timeout: float) -> bytes:
        # Returns no bytes if the time passed; the end of the stream is an error.
        self._set_timeout(timeout)
        try:
            # Over TLS this reads one record, 16 KiB at most, so no decrypted byte stays behind.
            data = cast("bytes", self._socket.recv(_READ_SIZE))
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except OSError as error:
            self._raise_if_aborted()
            raise ConnectionLost(f"the connection broke: {_reason_of(error)}") from error
        self._raise_if_aborted()
        if not data:
            raise ConnectionLost("the peer ended the connection without a close frame")
        return data

    def _send(self, payload: bytes, opcode: int, *, timeout: float) -> None:
        self._set_timeout(timeout)
        try:
            self._client.send(payload, opcode)
        except (websocket.WebSocketException, OSError) as error:
            self._raise_if_aborted()
            # Part of the frame may have been sent, so no other frame can follow it.
            raise ConnectionLost(f"a message could not be sent: {_reason_of(error)}") from error

    def _send_close(self, code: int, *, timeout: float) -> None:
        payload = b"" if code == NO_STATUS else code.to_bytes(2, "big")
        self._send(payload, websocket.ABNF.OPCODE_CLOSE, timeout=timeout)

    def _set_timeout(self, timeout: float) -> None:
        # Each settimeout is a system call.
        if timeout != self._socket_timeout:
            self._socket.settimeout(timeout)
            self._socket_timeout = timeout

    def _answer_pings(self, controls: Sequence[ControlFrame]) -> None:
        for control in controls:
            if control.opcode == PING and self._mute is None:
                with contextlib.suppress(ConnectionLost):  # raised after the messages that came
                    self._speak(control.payload, websocket.ABNF.OPCODE_PONG)

    def _speak(self, payload: bytes, opcode: int) -> None:
        try:
            self._send(payload, opcode, timeout=self._send_timeout)
        except ConnectionLost as error:
            # The messages that the peer sent before it left are still in the socket: a pong that
            # cannot be sent must not cost rows.
            if self._is_aborted:
                self._end(error)
            else:
                self._mute = error
            raise

    def _part(self, ending: Close | ProtocolViolation) -> None:
        error = _closed_by_peer(ending) if isinstance(ending, Close) else ending
        # If the peer is gone already, the error that it left with says more than this one.
        with contextlib.suppress(ConnectionLost):
            self._send_close(error.close_code, timeout=_FAREWELL_TIMEOUT)
        self._end(error)

    def _wait_for_close(self, timeout: float) -> None:
        deadline = self._clock.monotonic() + timeout
        while self._reader.ending is None and (remaining := deadline - self._clock.monotonic()) > 0:
            self._reader.feed(self._read(remaining))

    def _end(self, error: NetworkError) -> None:
        self._ending = error
        self._release()

    def _release(self) -> None:
        with self._descriptor_lock:
            self._client.shutdown()
            self._socket.close()  # websocket-client does not close TLS within TLS

    def _raise_if_ended(self) -> None:
        if self._ending is not None:
            raise self._ending.with_traceback(None)

    def _raise_if_aborted(self) -> None:
        if self._is_aborted:
            raise ConnectionLost("the connection was aborted on this side")


def open_hidden(url: Hidden[str], **options: Any) -> Connection:
    """Open a connection to an address that neither an error nor its frames show.

    Parameters
    ----------
    url, **options
        As for ``Connection.open``.
    """
    secrets = query_of(url)
    return sealed(
        lambda: Connection.open(url.reveal(), **options), lambda text: masked(text, secrets)
    )


def query_of(url: Hidden[str]) -> list[Hidden[str]]:
    """Return the values in an address's query, among them the token."""
    return [Hidden(value) for _, value in parse_qsl(url.reveal().partition("?")[2])]


def _opening_error(
    error: BaseException, host: str, timeout: float, status: int | None
) -> NetworkError | None:
    """Return the error to raise instead of another one; None if that can be raised as it is."""
    if isinstance(error, NetworkError | InvalidInput):  # ours; an OSError or ValueError, too
        return None
    if isinstance(error, Endless):
        return HandshakeRefused(f"{host} did not answer as a WebSocket server: {error}")
    # A malformed reply: websocket-client 1.8 raises ValueError or IndexError, 1.9 its own errors.
    if isinstance(error, websocket.WebSocketBadStatusException):
        return _refusal(host, error.status_code)
    if isinstance(error, ConnectFailure):
        return error.kind(f"{host} could not be reached: {error.why}")
    if isinstance(error, TimeoutError | websocket.WebSocketTimeoutException):
        return Unreachable(f"{host} did not answer within {timeout:g} s")
    if isinstance(error, socket.gaierror):
        return Unreachable(f"no address was found for {host}; check the name and the network")
    if isinstance(error, websocket.WebSocketConnectionClosedException | EOFError):
        return Unreachable(f"{host} closed the connection during the handshake")
    if isinstance(error, OSError):
        return Unreachable(f"{host} could not be reached: {_reason_of(error)}")
    if isinstance(error, websocket.WebSocketException | ValueError | IndexError):
        return _refusal(host, status)
    return None


# -- opening ---------------------------------------------------------------------------------------


def _open_socket(url: str, bound: Bound, ssl_options: Mapping[str, Any]) -> Wire:
    target = target_of(url)
    opened = network.opened(bound, target, proxy_for(target))
    if not target.is_secure:
        return opened
    if not ssl_options:
        return network.secured(bound, opened, target.host)
    try:
        if isinstance(opened, ssl.SSLSocket):
            raise InvalidInput("ssl_options do not go with a proxy that speaks TLS itself")
        return _encrypt(cast("socket.socket", opened), bound, target.host, ssl_options)
    except BaseException:
        opened.close()
        raise


def _encrypt(
    opened: socket.socket, bound: Bound, host: str, options: Mapping[str, Any]
) -> ssl.SSLSocket:
    # websocket-client applies its own options, but we shake hands ourselves, within the bound.
    given = {**options, "do_handshake_on_connect": False}
    secured: ssl.SSLSocket = websocket._http._ssl_socket(opened, given, host)  # noqa: SLF001
    try:
        secured.settimeout(bound.left())
        secured.do_handshake()
    except ssl.SSLCertVerificationError as error:
        secured.close()
        raise certificate_failure(error, "ssl_options") from error
    except BaseException:
        secured.close()
        raise
    return secured


class _Handshake:
    """Stands for the socket while websocket-client shakes hands.

    It reads the reply, and passes it on without the cookies, which websocket-client would keep for
    the whole process, and without the length of the body, which it would read.
    """

    def __init__(self, opened: Wire, bound: Bound) -> None:
        self._socket = opened
        self._bound = bound
        self._reply: io.BytesIO | None = None

    def send(self, data: bytes) -> int:
        self._socket.settimeout(self._bound.left())
        return self._socket.send(data)

    def recv(self, size: int) -> bytes:
        if self._reply is None:  # websocket-client asks for a byte at a time
            lines = read_head(self._bound, self._socket)
            kept = [each for each in lines if not each.lower().startswith(_LEFT_OUT)]
            self._reply = io.BytesIO(b"".join(each + b"\r\n" for each in kept))
        return self._reply.read(size)

    def gettimeout(self) -> float | None:
        return self._socket.gettimeout()

    def settimeout(self, timeout: float | None) -> None:
        """Leave the timeout to the bound."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def shutdown(self, how: int) -> None:
        network.beneath(self._socket).shutdown(how)


_LEFT_OUT = (b"set-cookie", b"content-length")


def _host_of(url: str) -> str:
    # Its errors do not quote the URL, whose query holds a token.
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:
        raise InvalidInput("a WebSocket address with an impossible host or port") from None
    if parts.scheme not in ("ws", "wss") or not host:
        raise InvalidInput("a WebSocket address looks like ws://host/path or wss://host/path")
    return host if port is None else f"{host}:{port}"


def _refuse_unverified(host: str, url: str, options: Mapping[str, Any]) -> None:
    context = options.get("context")
    if context is not None:
        is_verified = context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname
    else:
        mode = options.get("cert_reqs", ssl.CERT_REQUIRED)
        is_verified = mode == ssl.CERT_REQUIRED and bool(options.get("check_hostname", True))
    if not is_verified and not is_loopback(url):
        raise UntrustedHost(
            f"certificates are always verified, and ssl_options would not verify that of {host}; "
            'name the one to trust with {"ca_certs": path}'
        )


def _reason_of(error: Exception) -> str:
    # Of a long OpenSSL text, only the certificate's fault is of use.
    text = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or error
    return str(text) or type(error).__name__


def _refusal(host: str, status: int | None) -> HandshakeRefused:
    if status is None:
        return HandshakeRefused(f"{host} did not answer as a WebSocket server")
    return HandshakeRefused(
        f"{host} refused the WebSocket upgrade with HTTP status {status}", status=status
    )


def _closed_by_peer(close: Close) -> ConnectionLost:
    said = f"code {close.code}" if close.code != NO_STATUS else "no code"
    reason = f": {close.reason}" if close.reason else ""
    return ConnectionLost(f"the peer closed with {said}{reason}", close_code=close.code)
