"""Venues: the addresses of KuCoin, of a simulated exchange, or of any other; and whom to trust."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from kucoin_research.errors import UnknownVenue, UntrustedHost, shown
from kucoin_research.exchange.proxies import Target
from kucoin_research.foundation.arguments import explains_itself
from kucoin_research.foundation.hidden import surroundings
from kucoin_research.model.channels import Market, market_of

__all__ = [
    "LIVE",
    "Venue",
    "is_kucoin",
    "is_loopback",
    "is_trusted",
    "refuse_elsewhere",
    "refuse_untrusted",
    "resolve_venue",
]

_FUTURES_URL = "KUCOIN_FUTURES_URL"
_SPOT_URL = "KUCOIN_SPOT_URL"
_FUTURES_PUSH_URL = "KUCOIN_FUTURES_PUSH_URL"
_SPOT_PUSH_URL = "KUCOIN_SPOT_PUSH_URL"
_VENUE = "KUCOIN_RESEARCH_VENUE"

# Parsers of addresses disagree about any other character, for example about a backslash.
_PLAIN_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")

_FORMS = "a venue is 'live', 'demo' or Venue(futures_url=…, spot_url=…)"


@explains_itself
@dataclass(frozen=True)
class Venue:
    """The REST addresses of an exchange's two markets; they lead to its classic sockets, too.

    Parameters
    ----------
    futures_url, spot_url
        Each ``http://`` or ``https://``; a slash at the end is removed.
    name
        Its name in sessions and messages.
    futures_push_url, spot_push_url
        Sockets of the pro feed, each ``ws://`` or ``wss://``. Without them, we assume that a market
        on this machine serves that feed under ``/pro``, as the simulated exchange does.

    Raises
    ------
    UnknownVenue
        If one is no valid address.
    """

    futures_url: str
    spot_url: str
    name: str = "custom"
    futures_push_url: str | None = None
    spot_push_url: str | None = None

    def __post_init__(self) -> None:
        for field in ("futures_url", "spot_url"):
            object.__setattr__(self, field, _checked_url(getattr(self, field), field))
        for field in ("futures_push_url", "spot_push_url"):
            if getattr(self, field) is not None:
                url = _checked_url(getattr(self, field), field, scheme="ws")
                object.__setattr__(self, field, url)

    def url(self, market: Market | str) -> str:
        """Return the base address of a market, without a slash at its end."""
        return self.futures_url if market_of("", market) is Market.FUTURES else self.spot_url

    def push_url(self, market: Market | str) -> str:
        """Return the address of a market's pro feed, which needs no token.

        Raises
        ------
        UnknownVenue
            If the venue has no such address, and the market is not on this machine.
        """
        is_futures = market_of("", market) is Market.FUTURES
        given = self.futures_push_url if is_futures else self.spot_push_url
        if given is not None:
            return given
        url = self.url(market)
        if not is_loopback(url):
            raise UnknownVenue(
                f"the venue {self.name!r} has no address for the pro feed; give "
                "Venue(…, futures_push_url=…, spot_push_url=…), or stream feed='classic'"
            )
        return f"ws{url.removeprefix('http')}/pro"

    @property
    def is_loopback(self) -> bool:
        """Whether both markets are served by this machine, so that nothing leaves it."""
        return is_loopback(self.futures_url) and is_loopback(self.spot_url)


def _checked_url(url: object, field: str, scheme: str = "http") -> str:
    if not isinstance(url, str):
        raise UnknownVenue(f"{field} must be an address as text, not {type(url).__name__}")
    text = url.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # reading the port raises if it is no number
    except ValueError as error:
        raise UnknownVenue(f"{field} is no address: {error}") from error
    # Checked first, and without repeating the address, which would put a secret into the message.
    if "@" in parts.netloc:
        raise UnknownVenue(f"{field} must not carry a user name or password")
    schemes = (scheme, f"{scheme}s")
    if parts.scheme not in schemes or not host or any(c.isspace() for c in text):
        raise UnknownVenue(
            f"{field} must be an address like '{scheme}s://host' or '{scheme}://127.0.0.1:80', "
            f"not {shown(url)}"
        )
    if parts.query or parts.fragment:
        raise UnknownVenue(f"{field} must end before any '?' or '#', unlike {shown(url)}")
    return text


def target_of(url: str) -> Target:
    """Return the host to connect to for an address, ``http(s)://…`` or ``ws(s)://…``."""
    return Target.of(url, is_loopback=is_loopback(url))


def is_loopback(url: str) -> bool:
    """Return whether an address is on this very machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not _PLAIN_HOST.fullmatch(parts.netloc):
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, not a number
        return False


def is_kucoin(url: str) -> bool:
    """Return whether an address is one of KuCoin's, over TLS."""
    parts = urlsplit(url)
    return (
        parts.scheme in ("https", "wss")
        and _PLAIN_HOST.fullmatch(parts.netloc) is not None
        and f".{parts.hostname}".endswith(".kucoin.com")
    )


def is_trusted(url: str) -> bool:
    """Return whether credentials may go to an address: KuCoin's over TLS, or this very machine."""
    return is_kucoin(url) or is_loopback(url)


def refuse_untrusted(url: str, what: str) -> None:
    """Raise unless credentials may go to an address.

    Parameters
    ----------
    url
        The address; its path and query show in no message.
    what
        The name, in the message, of the secret that would be sent.

    Raises
    ------
    UntrustedHost
        Before anything is sent.
    """
    if not is_trusted(url):
        parts = urlsplit(url)
        raise UntrustedHost(
            f"{what} goes to https://*.kucoin.com or to this machine only, "
            f"not to {parts.scheme}://{parts.netloc}; nothing was sent"
        )


def refuse_elsewhere(url: str, asked: str) -> None:
    """Raise unless a server may direct us to an address: to KuCoin over TLS, or to itself.

    Parameters
    ----------
    url
        The address it directs us to; its path and query show in no message.
    asked
        The server's own address. All names of this machine count as one host.

    Raises
    ------
    UntrustedHost
        Before anything is sent there.
    """
    if not is_kucoin(url) and not _is_same_host(url, asked):
        host, parts = urlsplit(asked).netloc, urlsplit(url)
        raise UntrustedHost(
            f"{host} sends its streams to {parts.scheme}://{parts.netloc}, which is neither "
            "wss://*.kucoin.com nor that host; nothing was sent there, look for a broken proxy"
        )


def _is_same_host(url: str, asked: str) -> bool:
    if is_loopback(asked):
        return is_loopback(url)
    there, here = urlsplit(url), urlsplit(asked)
    is_as_safe = there.scheme == "wss" or here.scheme == "http"
    is_plain = _PLAIN_HOST.fullmatch(there.netloc) is not None
    return is_as_safe and is_plain and there.hostname == here.hostname


#: KuCoin itself.
LIVE = Venue(
    "https://api-futures.kucoin.com",
    "https://api.kucoin.com",
    "live",
    "wss://x-push-futures.kucoin.com",
    "wss://x-push-spot.kucoin.com",
)


def resolve_venue(
    venue: object = None,
    *,
    start_demo: Callable[[], Venue],
    environ: Mapping[str, str] | None = None,
) -> Venue:
    """Return the venue that an argument or the environment names.

    An argument wins over the environment. There, ``KUCOIN_FUTURES_URL`` together with
    ``KUCOIN_SPOT_URL`` win over ``KUCOIN_RESEARCH_VENUE``. Without any of them it is KuCoin itself.
    Beside the two addresses, ``KUCOIN_FUTURES_PUSH_URL`` and ``KUCOIN_SPOT_PUSH_URL`` may name
    those of the pro feed.

    Parameters
    ----------
    venue
        A ``Venue``, ``"live"``, ``"demo"``, anything with ``futures_url`` and ``spot_url`` (a
        running simulated exchange), or None.
    start_demo
        Called for the demo; starts it, or returns the one that runs.
    environ
        The environment, ``os.environ`` unless given.

    Raises
    ------
    UnknownVenue
        If the argument is none of these, or the environment names only one of the two addresses.
    """
    if venue is None:
        given = surroundings(lambda name: name.startswith("KUCOIN_"))
        return _from_environment(given if environ is None else environ, start_demo)
    if isinstance(venue, Venue):
        return venue
    if isinstance(venue, str):
        return _named(venue, start_demo, f"no venue {shown(venue)}")
    futures_url = getattr(venue, "futures_url", None)
    spot_url = getattr(venue, "spot_url", None)
    if futures_url is None or spot_url is None:
        raise UnknownVenue(f"{type(venue).__name__} is no venue; {_FORMS}")
    push = (getattr(venue, field, None) for field in ("futures_push_url", "spot_push_url"))
    return Venue(futures_url, spot_url, "custom", *push)


def _from_environment(environ: Mapping[str, str], start_demo: Callable[[], Venue]) -> Venue:
    urls = {name: environ.get(name, "").strip() for name in (_FUTURES_URL, _SPOT_URL)}
    missing = [name for name, url in urls.items() if not url]
    if not missing:
        names = (_FUTURES_PUSH_URL, _SPOT_PUSH_URL)
        push = (environ.get(name, "").strip() or None for name in names)
        return Venue(urls[_FUTURES_URL], urls[_SPOT_URL], "custom", *push)
    if len(missing) == 1:
        given = _SPOT_URL if missing[0] == _FUTURES_URL else _FUTURES_URL
        raise UnknownVenue(f"{given} is set but {missing[0]} is not; set both, or neither")
    name = environ.get(_VENUE, "").strip()
    return _named(name, start_demo, f"{_VENUE} names no venue: {shown(name)}") if name else LIVE


def _named(name: str, start_demo: Callable[[], Venue], complaint: str) -> Venue:
    known = name.strip().lower()
    if known == "live":
        return LIVE
    if known == "demo":
        return start_demo()
    close = difflib.get_close_matches(known, ["live", "demo"], n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    raise UnknownVenue(f"{complaint}{hint} {_FORMS}")
