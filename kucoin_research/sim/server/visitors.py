"""Who may call an exchange that runs on this machine: programs, and no web page from elsewhere.

A browser lets any page open a WebSocket to this machine and send requests to it, and by a name that
is made to lead here (DNS rebinding) read the answers, too. A page cannot change three headers: its
``Origin``, the name it called, ``Host``, and ``Sec-Fetch-Site``, in which the browser says that a
picture or a script without an origin was asked for by a page of elsewhere. Programs send no origin,
or this machine's.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

__all__ = ["ANY_ADDRESS", "refusal"]

#: Listened on, they mean all addresses of this machine.
ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - what others may have bound to


def refusal(headers: Mapping[str, str], bound: str) -> str | None:
    """Say why a request is refused; ``None`` where it may be answered.

    Parameters
    ----------
    headers
        Of the request.
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
    """Tell whether somebody follows a link: the page with the link sees nothing of the answer."""
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
    # Whoever listens for other machines is called by address, or by this machine's name.
    return bound in ANY_ADDRESS and (
        _address(name) is not None or name == socket.gethostname().lower()
    )


def _is_loopback(name: str) -> bool:
    address = _address(name)
    if address is None:  # no name server is asked for these
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
