"""Asks a proxy to connect to a host, by HTTP, SOCKS4 or SOCKS5.

We do this ourselves, without a library: so the time for it is bounded, another thread can end it,
and no frame holds the proxy's password.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TypeAlias

from urllib3.util.ssltransport import SSLTransport

from kucoin_research.exchange.dialing import ConnectFailure, addresses_of
from kucoin_research.exchange.proxies import (
    Proxy,
    Target,
    basic_login,
    is_number,
    joined,
)
from kucoin_research.foundation.bounds import Bound
from kucoin_research.foundation.hidden import Hidden

__all__ = ["MOST_HEADERS", "WANTS_LOGIN", "Endless", "Wire", "ask_proxy", "read_head"]

#: A socket, with TLS or without, or TLS within the TLS of a proxy.
Wire: TypeAlias = socket.socket | SSLTransport


#: More bytes than any server's or proxy's status line and headers.
MOST_HEADERS = 65_536


#: The reason why an HTTP proxy answers 407.
WANTS_LOGIN = "it wants a login, or another one, as in http://user:password@host:3128"


def ask_proxy(
    bound: Bound, wire: Wire, proxy: Proxy, target: Target, timeout: float | None
) -> None:
    """Ask a proxy to connect to a host; after that the wire leads to the host.

    Raises
    ------
    ConnectFailure
        If the proxy refuses, or cannot reach the host.
    EOFError, Endless, OSError
        If its answer breaks off, or has no end.
    """
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
    # RFC 9110, section 9.3.6: any 2xx opens the tunnel, and no body follows it.
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
_NO_LOGIN = 0


_BY_PASSWORD = 2


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
    _read(bound, wire, size + 2)  # the address that the proxy connects from


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
        + bytes([len(user.reveal().encode())])
        + user.reveal().encode()
        + bytes([len(password.reveal().encode())])
        + password.reveal().encode()
    )


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
        b"\x04\x01"
        + target.port.to_bytes(2, "big")
        + packed
        + user.reveal().encode()
        + b"\x00"
        + name
    )
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


def _looked_up(bound: Bound, target: Target, timeout: float | None) -> bytes:
    """Look a name up for a proxy that takes addresses only: IPv4 first, which every proxy has."""
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
    """The headers of a reply have no end."""

    def __init__(self) -> None:
        super().__init__("the headers of its answer have no end")


_STATUS_LINE = re.compile(rb"HTTP/\S+\s+(\d{3})(?!\S)")


def _status_of(lines: list[bytes]) -> int | None:
    found = _STATUS_LINE.match(lines[0])
    return None if found is None else int(found[1])


def _is_interim(lines: list[bytes]) -> bool:
    # RFC 9110, section 15.2: the real reply follows. Not after 101: there the protocol changes.
    status = _status_of(lines)
    return status is not None and 100 <= status < 200 and status != 101


def read_head(bound: Bound, wire: Wire) -> list[bytes]:
    """Read the lines of a reply up to the empty one, and no byte after it.

    Interim replies (1xx) before it are skipped.

    Raises
    ------
    EOFError, Endless, OSError
        If the lines have no end, or the interim replies.
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
    """Read exactly ``size`` bytes."""
    came = bytearray()
    while len(came) < size:
        wire.settimeout(bound.left())
        piece = wire.recv(size - len(came))
        if not isinstance(piece, bytes) or not piece:
            raise EOFError("it closed the connection")
        came += piece
    return bytes(came)
