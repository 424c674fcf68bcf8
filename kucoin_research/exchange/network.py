"""Opens connections: through the proxy that is set, and with TLS by the certificates that are set.

REST and WebSockets both connect by this module, so they use the same proxy and certificates and
fail with the same texts. The variables that decide are those of other programs: ``HTTPS_PROXY``,
``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` (or the settings of macOS and Windows), and for
certificates ``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``, ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``.
"""

from __future__ import annotations

import errno
import socket
import ssl

from urllib3.util.ssltransport import SSLTransport

from kucoin_research.errors import Unreachable
from kucoin_research.exchange.certificates import certificate_failure, trust
from kucoin_research.exchange.dialing import ConnectFailure, NoName, dial
from kucoin_research.exchange.proxies import (
    Proxy,
    Target,
    decided,
    proxy_for,
)
from kucoin_research.exchange.tunnels import Endless, Wire, ask_proxy
from kucoin_research.foundation.bounds import Bound, Cut

__all__ = ["beneath", "by_way_of", "described", "opened", "proxy_failure", "secured"]


_NO_NAME = "its name was not found in time"


def opened(
    bound: Bound,
    target: Target,
    proxy: Proxy | None,
    *,
    timeout: float | None = None,
    has_tunnel: bool = True,
) -> Wire:
    """Connect to a host, or to the proxy that leads there; TLS with the host comes next.

    Parameters
    ----------
    bound
        The bound of the conversation that begins with it; it holds the socket.
    target
        The host.
    proxy
        The proxy that `proxy_for` found.
    timeout
        Seconds that one address may take, beside the bound.
    has_tunnel
        Whether to ask the proxy to connect to the host. Otherwise the requests are for the proxy.

    Raises
    ------
    OSError
        As `dial` raises them; `ConnectFailure` if the proxy is at fault.
    """
    if proxy is None:
        is_plain = not target.is_secure
        try:
            return dial(bound, target.host, target.port, timeout=timeout, is_plain=is_plain)
        except NoName:
            raise ConnectFailure(f"{_NO_NAME}; check the network and its name server") from None
    wire: Wire | None = None
    try:
        is_plain = not target.is_secure and proxy.scheme != "https"
        wire = dial(bound, proxy.host, proxy.port, timeout=timeout, is_plain=is_plain)
        if proxy.scheme == "https":
            wire = secured(bound, wire, proxy.host, timeout=timeout)
        if has_tunnel:
            ask_proxy(bound, wire, proxy, target, timeout)
            wire.settimeout(bound.left(timeout))
    except BaseException as error:
        if wire is not None:
            wire.close()
        if isinstance(error, Cut) or not isinstance(error, OSError | EOFError | Endless):
            raise
        reason, kind = _reason_of(error), getattr(error, "kind", Unreachable)
        cause = None if isinstance(error, ConnectFailure) else error
        raise proxy_failure(proxy, target, reason, kind) from cause
    return wire


def proxy_failure(
    proxy: Proxy, target: Target, reason: str, kind: type[Unreachable] = Unreachable
) -> ConnectFailure:
    """Return the failure of a proxy that did not connect to a host, with the reason."""
    return ConnectFailure(
        f"the proxy did not connect to {target.host}: {reason}; check {proxy.source}, which names "
        f"{proxy}, and NO_PROXY",
        kind,
    )


def _reason_of(error: Exception) -> str:
    if isinstance(error, ConnectFailure):
        return error.why.partition(";")[0]
    if isinstance(error, NoName):
        return _NO_NAME
    if isinstance(error, TimeoutError):
        return "it gave no answer in time"
    if isinstance(error, socket.gaierror):
        return "no address was found for it"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, EOFError) or getattr(error, "errno", 0) == errno.ECONNRESET:
        return "it closed the connection"
    return str(getattr(error, "strerror", None) or error)


def secured(bound: Bound, wire: Wire, host: str, *, timeout: float | None = None) -> Wire:
    """Shake hands for TLS, and verify the certificate; the given socket must not be used again.

    Raises
    ------
    OSError
        If that fails; `ConnectFailure` if the certificate is refused.
    InvalidInput
        As `trust` raises it.
    """
    try:
        believed = trust()
        wire.settimeout(bound.left(timeout))
        name = host.strip("[]").rstrip(".")
        if isinstance(wire, ssl.SSLSocket):
            return SSLTransport(wire, believed.context, name)
        assert isinstance(wire, socket.socket)
        made = believed.context.wrap_socket(
            wire, server_hostname=name, do_handshake_on_connect=False
        )
        wire = made
        made.do_handshake()
    except BaseException as error:
        wire.close()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise certificate_failure(error, believed.text) from error
        raise
    return made


def beneath(wire: Wire) -> socket.socket:
    """Return the socket below TLS."""
    return wire.socket if isinstance(wire, SSLTransport) else wire


def by_way_of(target: Target) -> str:
    """Return half a sentence that names the proxy to a host, for errors; empty without a proxy.

    Raises
    ------
    InvalidInput
        As `proxy_for` raises it.
    """
    proxy = proxy_for(target)
    return "" if proxy is None else f" by way of the proxy {proxy}, which {proxy.source} names"


def described(target: Target) -> str:
    """Describe the proxy and the certificates for a host, in one line without a password.

    Raises
    ------
    InvalidInput
        As `proxy_for` and `trust` raise it.
    """
    proxy, reason = decided(target)
    way = f"none{reason}" if proxy is None else f"{proxy} (from {proxy.source})"
    return f"proxy: {way}; certificates: {trust().text}"
