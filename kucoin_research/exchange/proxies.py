"""Finds the proxy for a host, by the variables that other programs use too."""

from __future__ import annotations

import base64
import ipaddress
import re
from dataclasses import dataclass
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from requests.utils import should_bypass_proxies

from kucoin_research.errors import InvalidInput
from kucoin_research.foundation.hidden import Hidden, sealed, surroundings

__all__ = ["Proxy", "Target", "basic_login", "decided", "is_number", "joined", "proxy_for"]


class Target(NamedTuple):
    """A host to connect to."""

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
    """A proxy to connect through; its text shows no login.

    Attributes
    ----------
    scheme
        ``http``, ``https``, ``socks4``, ``socks4a``, ``socks5`` or ``socks5h``.
    host, port
        Its address.
    login
        User and password, if there are any.
    source
        The variable that names it, or the system's settings.
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
    """Find the proxy for a host.

    Returns
    -------
    Proxy or None
        None for this machine's own addresses, which no proxy reaches, for hosts that ``NO_PROXY``
        names, and if no proxy is set.

    Raises
    ------
    InvalidInput
        If the setting is no address of a proxy.
    """
    return decided(target)[0]


def decided(target: Target) -> tuple[Proxy | None, str]:
    """Return the proxy for a host; if it is None, also the reason, or an empty text."""
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
    """Return a host with its port, as a URL and CONNECT spell it."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{host}:{target.port}"


def _source_of(scheme: str) -> str:
    return _variable(f"{scheme}_proxy")[0] or "this system's settings"


def _variable(name: str) -> tuple[str, Hidden[str]]:
    """Return the name and the value of a variable, in small letters, in capitals or mixed."""
    found = surroundings(lambda each: each.lower() == name)
    for each in (name, name.upper(), *found):
        if each in found and found[each].strip():
            return each, Hidden(found[each])
    return "", Hidden("")


def _is_excepted(target: Target) -> bool:
    entries = _variable("no_proxy")[1].reveal()
    if not entries:
        # Up to 2.33, requests takes "test" for a part of "mytest". So we use it only for the
        # system's settings, not for the variable.
        return should_bypass_proxies(f"{_scheme_of(target)}://{joined(target)}", no_proxy=None)
    return any(_covers(each, target) for each in re.split(r"[\s,]+", entries.lower()) if each)


def _covers(entry: str, target: Target) -> bool:
    """Return whether an entry of ``NO_PROXY`` names a host.

    An entry is ``*``, a domain, an IP address, a network, or the URL of one of them.
    """
    _, is_url, rest = entry.partition("://")
    if is_url:  # curl accepts no scheme here, but whoever writes one means its host
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
        # The text does not repeat the address: a password may be anywhere in it.
        raise InvalidInput(
            f"{source} names no proxy; {_LIKE}, and signs of a login like / and # as %2F and %23"
        )
    if proxy.scheme not in _PORTS:
        raise InvalidInput(f"{source} names a proxy of a kind that is not known; {_LIKE}")
    return proxy


def _split(address: Hidden[str], source: str) -> Proxy | None:
    has_scheme = "://" in address.reveal()
    parts = urlsplit(address.reveal() if has_scheme else f"http://{address.reveal()}")
    # An @ after the host: a character of the password, not quoted, has ended the login early.
    if not parts.hostname or "@" in f"{parts.path}{parts.query}{parts.fragment}":
        return None
    login = None
    if parts.username is not None:
        login = (Hidden(unquote(parts.username)), Hidden(unquote(parts.password or "")))
    port = parts.port or _PORTS.get(parts.scheme, 0)
    return Proxy(parts.scheme, parts.hostname, port, login, source)


def basic_login(proxy: Proxy) -> Hidden[str] | None:
    """Return the value of ``Proxy-Authorization``; None if the proxy has no login."""
    if proxy.login is None:
        return None
    user, password = proxy.login
    return Hidden(
        "Basic " + base64.b64encode(f"{user.reveal()}:{password.reveal()}".encode()).decode("ascii")
    )


def is_number(host: str) -> bool:
    """Return whether a host is an IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
