"""Who may call an exchange that runs on this machine: programs, but no web pages of other sites.

A browser lets any page open a WebSocket to this machine and send requests to it. With a host name
that resolves to this machine (DNS rebinding) the page can even read the answers. Three headers are
out of a page's control: ``Origin`` names its site, ``Host`` the name that it called, and
``Sec-Fetch-Site`` whether another site's page asked for a picture or a script, which have no
origin. Programs send no origin, or this machine's.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

__all__ = ["ANY_ADDRESS", "refusal"]

#: A server that listens on one of these listens on all addresses of this machine.
ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - what others may have bound to


def refusal(headers: Mapping[str, str], bound: str) -> str | None:
    """Return why a request is refused; None if it may be answered.

    Parameters
    ----------
    headers
        The request's headers.
    bound
        The address that the server listens on.
    """
    called = _name_in(f"//{headers.get('Host', '')}")
    if called is None or not _is_ours(called, bound):
        return f"this exchange is not called {headers.get('Host', '')[:80]!r}"
    origin = headers.get("Origin") or headers.get("Sec-Websocket-Origin")
    if origin is not None:
        page = _name_in(origin)
        if page is None or not _is_loopback(page):
            return f"pages of {origin[:80]!r} have no business with this exchange"
    elif headers.get("Sec-Fetch-Site") == "cross-site" and not _is_opened(headers):
        return "pages of elsewhere have no business with this exchange"
    return None


def _is_opened(headers: Mapping[str, str]) -> bool:
    """Return whether the user follows a link: then the page with the link sees no answer."""
    is_whole_page = headers.get("Sec-Fetch-Dest") == "document"
    return is_whole_page and headers.get("Sec-Fetch-Mode") == "navigate"


def _name_in(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_ours(name: str, bound: str) -> bool:
    if _is_loopback(name) or name == bound.lower():
        return True
    # A server that listens for other machines is called by address, or by this machine's name.
    return bound in ANY_ADDRESS and (
        _address(name) is not None or name == socket.gethostname().lower()
    )


def _is_loopback(name: str) -> bool:
    address = _address(name)
    if address is None:  # these names resolve without a name server
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
