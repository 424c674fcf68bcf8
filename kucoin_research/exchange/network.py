"""Which way a host is reached: through which proxy, and by whose certificates it is believed.

Both REST and sockets ask here, so that they go the same way and fail with the same words. What
decides are the variables that other programs heed, too: ``HTTPS_PROXY``, ``HTTP_PROXY``,
``ALL_PROXY`` and ``NO_PROXY`` (or the settings of macOS and Windows), and for certificates
``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``, ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``.

A proxy is spoken to here, not by a library: the time for that is bounded, another thread can end
it, and no frame holds its password.
"""

from __future__ import annotations

import base64
import errno
import ipaddress
import os
import re
import socket
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from requests.utils import DEFAULT_CA_BUNDLE_PATH, should_bypass_proxies
from urllib3.util.ssltransport import SSLTransport

from kucoin_research.errors import CertificateRefused, InvalidInput, Unreachable
from kucoin_research.exchange.dialing import NoName, addresses_of, dial
from kucoin_research.foundation.bounds import Bound, Cut
from kucoin_research.foundation.hidden import Hidden, sealed, surroundings

__all__ = [
    "MOST_HEADERS",
    "WANTS_LOGIN",
    "Endless",
    "ConnectFailure",
    "Proxy",
    "Target",
    "Wire",
    "basic_login",
    "beneath",
    "by_way_of",
    "certificate_failure",
    "described",
    "opened",
    "proxy_failure",
    "proxy_for",
    "read_head",
    "secured",
    "trust",
]

#: A socket, with TLS or without, or TLS within the TLS of a proxy.
Wire: TypeAlias = socket.socket | SSLTransport

#: More bytes than any server's or proxy's status line and headers.
MOST_HEADERS = 65_536

_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # in this order, as requests heeds them
_OPENSSL = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class Target(NamedTuple):
    """A host that is to be reached."""

    host: str
    port: int
    is_secure: bool
    is_loopback: bool  # this very machine

    @classmethod
    def of(cls, url: str, *, is_loopback: bool) -> Self:
        """Read an address, ``http(s)://…`` or ``ws(s)://…``."""
        parts = urlsplit(url)
        is_secure = parts.scheme in ("https", "wss")
        port = parts.port or (443 if is_secure else 80)
        return cls(parts.hostname or "", port, is_secure, is_loopback)


class ConnectFailure(OSError):
    """The way to a host is barred.

    Attributes
    ----------
    kind
        The error of this package that it is.
    why
        Half a sentence, and what to do, behind a semicolon.
    """

    def __init__(self, why: str, kind: type[Unreachable] = Unreachable) -> None:
        super().__init__(why)
        self.why = why
        self.kind = kind


# -- proxies ---------------------------------------------------------------------------------------

_PORTS = {
    "http": 80,
    "https": 443,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
}
_LIKE = "it should look like http://host:3128 or socks5h://host:1080"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy; its text shows no login.

    Attributes
    ----------
    scheme
        ``http``, ``https``, ``socks4``, ``socks4a``, ``socks5`` or ``socks5h``.
    host, port
        Where it is.
    login
        User and password, if it has them.
    source
        What named it: a variable, or the system's settings.
    """

    scheme: str
    host: str
    port: int
    login: tuple[Hidden[str], Hidden[str]] | None
    source: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{'***@' if self.login else ''}{host}:{self.port}"


def proxy_for(target: Target) -> Proxy | None:
    """Find the proxy that leads to a host.

    Returns
    -------
    Proxy or None
        None for this machine's own addresses, which no proxy reaches, for what ``NO_PROXY`` names,
        and where no proxy is set.

    Raises
    ------
    InvalidInput
        If what is set is no address of a proxy.
    """
    return decided(target)[0]


def decided(target: Target) -> tuple[Proxy | None, str]:
    """Give the proxy, and where there is none, the reason if there is one."""
    if target.is_loopback:
        return None, " (no proxy reaches this very machine)"
    for scheme in (_scheme_of(target), "all"):
        address = Hidden(getproxies().get(scheme, "").strip())
        if address.reveal():
            if _is_excepted(target):
                return None, f" ({_source_of('no')} names {target.host})"
            return _parsed(address, _source_of(scheme)), ""
    return None, ""


def _scheme_of(target: Target) -> str:
    return "https" if target.is_secure else "http"


def joined(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{host}:{target.port}"


def _source_of(scheme: str) -> str:
    return _variable(f"{scheme}_proxy")[0] or "this system's settings"


def _variable(name: str) -> tuple[str, Hidden[str]]:
    """Find a variable in small letters, in capitals or mixed: its name, and what it says."""
    found = surroundings(lambda each: each.lower() == name)
    for each in (name, name.upper(), *found):
        if each in found and found[each].strip():
            return each, Hidden(found[each])
    return "", Hidden("")


def _is_excepted(target: Target) -> bool:
    entries = _variable("no_proxy")[1].reveal()
    if not entries:
        # Up to 2.33, requests takes "test" for a part of "mytest": it is asked for settings only.
        return should_bypass_proxies(f"{_scheme_of(target)}://{joined(target)}", no_proxy=None)
    return any(_covers(each, target) for each in re.split(r"[\s,]+", entries.lower()) if each)


def _covers(entry: str, target: Target) -> bool:
    """Tell whether an entry of ``NO_PROXY`` names a host.

    It is ``*``, a domain, a number, a network, or the URL of one of them.
    """
    _, is_url, rest = entry.partition("://")
    if is_url:  # curl takes no scheme here, but whoever writes one means its host
        entry = rest.partition("/")[0].rpartition("@")[2]
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.endswith("]")):
        if int(port) != target.port:
            return False
        entry = name
    entry, host = entry.strip("[]"), target.host.rstrip(".").lower()
    if is_number(host):
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return entry == "*"
    entry = entry.removeprefix("*.").strip(".")
    return entry == "*" or f".{host}".endswith(f".{entry}")


def _parsed(address: Hidden[str], source: str) -> Proxy:
    try:
        proxy = sealed(lambda: _split(address, source))
    except ValueError:
        proxy = None
    if proxy is None:
        # Without repeating it: a password may be anywhere in it.
        raise InvalidInput(
            f"{source} names no proxy; {_LIKE}, and signs of a login like / and # as %2F and %23"
        )
    if proxy.scheme not in _PORTS:
        raise InvalidInput(f"{source} names a proxy of a kind that is not known; {_LIKE}")
    return proxy


def _split(address: Hidden[str], source: str) -> Proxy | None:
    has_scheme = "://" in address.reveal()
    parts = urlsplit(address.reveal() if has_scheme else f"http://{address.reveal()}")
    # An @ behind the host: a sign of the password that must be quoted has ended the login early.
    if not parts.hostname or "@" in f"{parts.path}{parts.query}{parts.fragment}":
        return None
    login = None
    if parts.username is not None:
        login = (Hidden(unquote(parts.username)), Hidden(unquote(parts.password or "")))
    port = parts.port or _PORTS.get(parts.scheme, 0)
    return Proxy(parts.scheme, parts.hostname, port, login, source)


def basic_login(proxy: Proxy) -> Hidden[str] | None:
    """Give the value of ``Proxy-Authorization``; None if the proxy has no login."""
    if proxy.login is None:
        return None
    user, password = proxy.login
    return Hidden(
        "Basic " + base64.b64encode(f"{user.reveal()}:{password.reveal()}".encode()).decode("ascii")
    )


# -- connecting ------------------------------------------------------------------------------------

#: Why a proxy that speaks HTTP answers 407.
WANTS_LOGIN = "it wants a login, or another one, as in http://user:password@host:3128"
NO_NAME = "its name was not found in time"


def opened(
    bound: Bound, target: Target, proxy: Proxy | None, *, timeout: float | None = None,
    has_tunnel: bool = True,
) -> Wire:  # fmt: skip
    """Connect to a host, or to the proxy that leads there; TLS with the host comes next.

    Parameters
    ----------
    bound
        Of the conversation that begins with it; it holds the socket.
    target
        Where to.
    proxy
        As `proxy_for` found it.
    timeout
        Seconds that one address may take, beside the bound.
    has_tunnel
        Whether a proxy is asked to connect to the host. Otherwise what is sent is for the proxy.

    Raises
    ------
    OSError
        As `dial` raises them, or `ConnectFailure` if it is about the proxy.
    """
    if proxy is None:
        is_plain = not target.is_secure
        try:
            return dial(bound, target.host, target.port, timeout=timeout, is_plain=is_plain)
        except NoName:
            raise ConnectFailure(f"{NO_NAME}; check the network and its name server") from None
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
    """Say that a proxy did not connect to a host, and why."""
    return ConnectFailure(
        f"the proxy did not connect to {target.host}: {reason}; check {proxy.source}, which names "
        f"{proxy}, and NO_PROXY",
        kind,
    )


def _reason_of(error: Exception) -> str:
    if isinstance(error, ConnectFailure):
        return error.why.partition(";")[0]
    if isinstance(error, NoName):
        return NO_NAME
    if isinstance(error, TimeoutError):
        return "it gave no answer in time"
    if isinstance(error, socket.gaierror):
        return "no address was found for it"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, EOFError) or getattr(error, "errno", 0) == errno.ECONNRESET:
        return "it closed the connection"
    return str(getattr(error, "strerror", None) or error)


def ask_proxy(bound: Bound, wire: Wire, proxy: Proxy, target: Target, timeout: float | None) -> None:
    if proxy.scheme in ("http", "https"):
        _ask_http(bound, wire, proxy, target)
    elif proxy.scheme in ("socks4", "socks4a"):
        _ask_socks4(bound, wire, proxy, target, timeout)
    else:
        _ask_socks5(bound, wire, proxy, target, timeout)


def _ask_http(bound: Bound, wire: Wire, proxy: Proxy, target: Target) -> None:
    login = basic_login(proxy)
    wire.settimeout(bound.left())
    wire.sendall(_connect_request(joined(target), login).reveal())
    status = _status_of(read_head(bound, wire))
    if status == 407:
        raise ConnectFailure(WANTS_LOGIN)
    # RFC 9110, section 9.3.6: any 2xx opens the tunnel, and nothing but the tunnel follows it.
    if status is None or not 200 <= status < 300:
        raise ConnectFailure(f"it answered {status or 'nothing of HTTP'}")


def _connect_request(where: str, login: Hidden[str] | None) -> Hidden[bytes]:
    return Hidden(
        (
            f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n"
            + (f"Proxy-Authorization: {login.reveal()}\r\n" if login else "")
            + "\r\n"
        ).encode()
    )


# RFC 1928 and 1929, and https://www.openssh.com/txt/socks4.protocol, socks4a.protocol.
_NO_LOGIN, _BY_PASSWORD = 0, 2
_SOCKS5_SAYS = {
    2: "its rules forbid it",
    3: "the network is unreachable from there",
    4: "the host is unreachable from there",
    5: "the connection was refused there",
}


def _ask_socks5(
    bound: Bound, wire: Wire, proxy: Proxy, target: Target, timeout: float | None
) -> None:
    where = _socks5_address(bound, proxy, target, timeout)
    methods = bytes([_NO_LOGIN] if proxy.login is None else [_NO_LOGIN, _BY_PASSWORD])
    wire.settimeout(bound.left())
    wire.sendall(bytes([5, len(methods)]) + methods)
    version, method = _read(bound, wire, 2)
    if version != 5:
        raise ConnectFailure("it speaks no SOCKS5")
    if method == _BY_PASSWORD and proxy.login is not None:
        wire.sendall(_socks5_login(*proxy.login).reveal())
        if _read(bound, wire, 2)[1]:
            raise ConnectFailure("it does not accept the login")
    elif method != _NO_LOGIN:
        raise ConnectFailure("it wants a login, as in socks5h://user:password@host:1080")
    wire.sendall(b"\x05\x01\x00" + where + target.port.to_bytes(2, "big"))
    answer, _, kind = _read(bound, wire, 4)[1:]
    if answer:
        raise ConnectFailure(_SOCKS5_SAYS.get(answer, f"it answered {answer}"))
    size = {1: 4, 4: 16}.get(kind) or _read(bound, wire, 1)[0]
    _read(bound, wire, size + 2)  # the address it connects from


def _socks5_address(bound: Bound, proxy: Proxy, target: Target, timeout: float | None) -> bytes:
    host = target.host
    if proxy.scheme == "socks5" or is_number(host):  # socks5h: the proxy looks the name up
        packed = _looked_up(bound, target, timeout)
        return bytes([1 if len(packed) == 4 else 4]) + packed
    name = _encoded(host)
    return bytes([3, len(name)]) + name


def _socks5_login(user: Hidden[str], password: Hidden[str]) -> Hidden[bytes]:
    if max(len(user.reveal().encode()), len(password.reveal().encode())) > 255:
        raise ConnectFailure("its user or password is longer than SOCKS5 allows")
    return Hidden(
        b"\x01"
        + bytes([len(user.reveal().encode())]) + user.reveal().encode()
        + bytes([len(password.reveal().encode())]) + password.reveal().encode()
    )  # fmt: skip


def _ask_socks4(
    bound: Bound, wire: Wire, proxy: Proxy, target: Target, timeout: float | None
) -> None:
    host, name = target.host, b""
    if proxy.scheme == "socks4" or is_number(host):
        packed = _looked_up(bound, target, timeout)
        if len(packed) != 4:
            raise ConnectFailure("SOCKS4 knows no IPv6; take socks5h://")
    else:
        packed, name = b"\x00\x00\x00\x01", _encoded(host) + b"\x00"
    user = Hidden("") if proxy.login is None else proxy.login[0]
    wire.settimeout(bound.left())
    wire.sendall(
        b"\x04\x01" + target.port.to_bytes(2, "big") + packed
        + user.reveal().encode() + b"\x00" + name
    )  # fmt: skip
    answer = _read(bound, wire, 8)[1]
    if answer != 0x5A:
        raise ConnectFailure(f"it answered {answer}")


def _encoded(host: str) -> bytes:
    try:
        name = host.encode("idna")
    except UnicodeError:  # a label is empty or too long
        name = b""
    if not 0 < len(name) < 256:
        raise ConnectFailure(f"{host[:40]} is no name of a host")
    return name


def is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _looked_up(bound: Bound, target: Target, timeout: float | None) -> bytes:
    """Look a name up, for a proxy that is not to do it: IPv4 first, which every proxy has."""
    try:
        found = addresses_of(bound, target.host, target.port, timeout=timeout)
    except socket.gaierror:
        raise ConnectFailure(
            f"no address was found for {target.host} here (socks5h:// lets the proxy look it up)"
        ) from None
    numbers = [each.address[0].partition("%")[0] for each in found]
    numbers.sort(key=lambda each: ":" in each)
    return ipaddress.ip_address(numbers[0]).packed


class Endless(Exception):
    """A reply whose headers have no end."""

    def __init__(self) -> None:
        super().__init__("the headers of its answer have no end")


_STATUS_LINE = re.compile(rb"HTTP/\S+\s+(\d{3})(?!\S)")


def _status_of(lines: list[bytes]) -> int | None:
    found = _STATUS_LINE.match(lines[0])
    return None if found is None else int(found[1])


def _is_interim(lines: list[bytes]) -> bool:
    # RFC 9110, section 15.2: the reply follows; 101 is one, as the protocol changes after it.
    status = _status_of(lines)
    return status is not None and 100 <= status < 200 and status != 101


def read_head(bound: Bound, wire: Wire) -> list[bytes]:
    """Read the lines of a reply up to the empty one, and nothing behind it.

    Interim replies (1xx) before it are passed over.

    Raises
    ------
    EOFError, Endless, OSError
        If there is no end of it, or of them.
    """
    lines: list[bytes] = []
    line, room = bytearray(), MOST_HEADERS
    while not lines or lines[-1] or _is_interim(lines):
        if lines and not lines[-1]:
            lines.clear()
        if not room:
            raise Endless
        room -= 1
        line += _read(bound, wire, 1)
        if line.endswith(b"\n"):
            lines.append(bytes(line).rstrip(b"\r\n"))
            line.clear()
    return lines


def _read(bound: Bound, wire: Wire, size: int) -> bytes:
    """Read so many bytes, and none behind them."""
    came = bytearray()
    while len(came) < size:
        wire.settimeout(bound.left())
        piece = wire.recv(size - len(came))
        if not isinstance(piece, bytes) or not piece:
            raise EOFError("it closed the connection")
        came += piece
    return bytes(came)


# -- certificates ----------------------------------------------------------------------------------


class Trust(NamedTuple):
    """By what a server is believed."""

    context: ssl.SSLContext  # shared; nobody is to change it
    text: str  # what the certificates are, and what named them


def trust() -> Trust:
    """Find the certificates that servers are verified by.

    ``REQUESTS_CA_BUNDLE``, or else ``CURL_CA_BUNDLE``, names a file, or a folder as OpenSSL wants
    it, which takes the place of all others. Without them, ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``
    each take the place of the system's own, as OpenSSL has it. Without any, the system's and
    certifi's are accepted: Python of python.org finds none of the system's on macOS, and certifi
    does not know those of a company.

    Raises
    ------
    InvalidInput
        If what a variable names is not there, or holds no certificate.
    """
    # An empty variable is none.
    given = surroundings(lambda name: name in (*_BUNDLES, *_OPENSSL))
    named = [(name, given[name]) for name in (*_BUNDLES, *_OPENSSL) if given.get(name)]
    if named and named[0][0] in _BUNDLES:
        named = named[:1]
    return _trust(tuple(named), tuple(_state_of(path) for _, path in named))


def _state_of(path: str) -> tuple[int, ...]:
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


@lru_cache(maxsize=8)  # to load them takes tens of milliseconds
def _trust(named: tuple[tuple[str, str], ...], _: object) -> Trust:
    # Not ssl.create_default_context: from Python 3.13 on it is stricter than many a company's CA.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # one that is named is trusted, as it is
    context.set_alpn_protocols(["http/1.1"])
    for name, path in named:
        _check(name, path)
    if named and named[0][0] in _BUNDLES:
        path = named[0][1]
        is_folder = Path(path).is_dir()
        context.load_verify_locations(path if not is_folder else None, path if is_folder else None)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)  # OpenSSL heeds its variables itself
        if not named:
            context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    text = " and ".join(f"{path} (from {name})" for name, path in named)
    return Trust(context, text or "this system's and certifi's")


def _check(name: str, path: str) -> None:
    fix = f"name a file with certificates (PEM) in {name}, or unset it"
    if name == "SSL_CERT_DIR":
        if not any(_holds_hashes(each) for each in path.split(os.pathsep)):
            raise InvalidInput(
                f"{name} names {path}, which holds no certificate as OpenSSL wants "
                f"it; run 'openssl rehash' there, or unset it"
            )
        return
    if not Path(path).exists():
        raise InvalidInput(f"{name} names {path}, which does not exist; {fix}")
    if Path(path).is_dir() and name in _BUNDLES:
        if not _holds_hashes(path):
            raise InvalidInput(
                f"{name} names {path}, which holds no certificate as OpenSSL wants "
                f"it; run 'openssl rehash' there, or {fix}"
            )
        return
    try:
        probe = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        probe.load_verify_locations(path)
    except PermissionError:
        raise InvalidInput(f"{name} names {path}, which cannot be read; {fix}") from None
    except OSError:  # also ssl.SSLError
        raise InvalidInput(f"{name} names {path}, which holds no certificate; {fix}") from None


def _holds_hashes(folder: str) -> bool:
    try:
        return any(re.fullmatch(r"[0-9a-f]{8}\.\d+", each.name) for each in Path(folder).iterdir())
    except OSError:
        return False


def secured(bound: Bound, wire: Wire, host: str, *, timeout: float | None = None) -> Wire:
    """Shake hands for TLS, and verify the certificate; the socket given is used up.

    Raises
    ------
    OSError
        If that fails; `ConnectFailure` where the certificate is refused.
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
    """Give the socket that carries it."""
    return wire.socket if isinstance(wire, SSLTransport) else wire


def certificate_failure(error: ssl.SSLCertVerificationError, text: str) -> ConnectFailure:
    """Say why a certificate was refused.

    Parameters
    ----------
    error
        What OpenSSL said.
    text
        The certificates that it was verified by.
    """
    return ConnectFailure(
        f"its certificate is not accepted ({error.verify_message.rstrip('.')}, by the "
        f"certificates of {text}); set this machine's clock, and REQUESTS_CA_BUNDLE if a proxy "
        "signs traffic anew",
        CertificateRefused,
    )


# -- what was decided ------------------------------------------------------------------------------


def by_way_of(target: Target) -> str:
    """Name the proxy that leads to a host, for what is told of a failure; empty without one.

    Raises
    ------
    InvalidInput
        As `proxy_for` raises it.
    """
    proxy = proxy_for(target)
    return "" if proxy is None else f" by way of the proxy {proxy}, which {proxy.source} names"


def described(target: Target) -> str:
    """Say which way a host is reached, in one line without a password.

    Raises
    ------
    InvalidInput
        As `proxy_for` and `trust` raise it.
    """
    proxy, reason = decided(target)
    told = f"none{reason}" if proxy is None else f"{proxy} (from {proxy.source})"
    return f"proxy: {told}; certificates: {trust().text}"
