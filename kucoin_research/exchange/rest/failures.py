"""What KuCoin's codes, an HTTP status or a network's exception mean, and which error each becomes."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from kucoin_research.errors import (
    AuthenticationFailed,
    BadReply,
    ExchangeError,
    ExchangeUnavailable,
    InvalidRequest,
    NotFound,
    RateLimited,
)
from kucoin_research.exchange.network import by_way_of
from kucoin_research.exchange.rest.calls import (
    Call,
    CallFailure,
)
from kucoin_research.exchange.rest.transport import (
    TransportError,
    trouble_of,
)
from kucoin_research.exchange.venues import (
    is_loopback,
    target_of,
)
from kucoin_research.model.channels import Market

__all__ = [
    "BLOCK",
    "BY_STATUS",
    "PASSING",
    "SLOWER",
    "describe_body",
    "describe_offset",
    "is_about_clock",
    "meaning_of",
    "network_failure",
    "whole_seconds",
]


class _Meaning(NamedTuple):
    error: type[ExchangeError]
    fix: str
    retry_after: float | None = None
    what: str = ""  # which part of a login is refused


_SYMBOL_FIX = 'check its spelling, kr.symbols(market="{market}") lists what exists'


_PARAMETERS = "check symbol, interval and times"


_ACCOUNT = "the account's region or identity check does not allow it"


_LATER = "the exchange is busy or restarting, try again in a minute"


SLOWER = "ask less often"


# The secret signs the passphrase too, so a wrong secret is met by this refusal or by that of the
# signature, whichever the exchange looks at first.
_SECOND_PROOF = (
    "the passphrase is wrong, or the secret that signs it; check KUCOIN_PASSPHRASE (the one chosen "
    "for this key) and KUCOIN_API_SECRET"
)


# What was refused, and what to do.
_AUTHENTICATION = {
    "400001": ("key", "no key was sent, pass credentials=kr.Credentials.from_env()"),
    "400002": ("clock", "the clock is refused, {clock}"),
    "400003": ("key", "the key is unknown there, check KUCOIN_API_KEY"),
    "400004": ("passphrase", _SECOND_PROOF),
    "400005": ("secret", "the secret is wrong, check KUCOIN_API_SECRET"),
    "400006": ("ip", "add this machine's IP address to the key's whitelist"),
    "400007": ("permission", "give the key the permission on KuCoin's website"),
    "400008": ("key version", "this key's version is no longer taken, make a new key"),
    "400009": ("key version", "check KUCOIN_API_KEY_VERSION or key_version=, or make a new key"),
    "400010": ("account", "ask KuCoin's support, the account is not let in"),
    "400011": ("key", "log in again, the session was not verified"),
    "400012": ("key", "log in again, the session was not verified in time"),
    **dict.fromkeys(("400201", "400202"), ("", "check the partner's settings")),
    **dict.fromkeys(("400301", "400302", "400303", "400304", "400500"), ("account", _ACCOUNT)),
    **dict.fromkeys(("400400", "400401"), ("", "take a new token")),
    "411100": ("account", "ask KuCoin's support, the account is frozen"),
    "411200": ("account", "ask KuCoin's support, the account is blocked"),
}


_REQUEST = {
    **dict.fromkeys(("100001", "400100", "400101", "400102"), _PARAMETERS),
    **dict.fromkeys(("100004", "400200", "400413", "260210", "330005", "330008", "330011"),
                    "KuCoin does not allow it"),
    "405": "KuCoin does not take this method there, please report it to kucoin_research",
    "415000": "KuCoin does not offer it for this symbol",
    "420001": "stop and look at the earlier errors",
    "420002": "check what was sent",
}  # fmt: skip


_ABSENT = ("404", "404000", "400600", "600203", "900001")


_UNAVAILABLE = ("230005", "500000", "501000", "503000", "504000", "505000")


_MEANINGS: dict[str, _Meaning] = {
    **{
        code: _Meaning(AuthenticationFailed, fix, what=what)
        for code, (what, fix) in _AUTHENTICATION.items()
    },
    **{code: _Meaning(InvalidRequest, fix) for code, fix in _REQUEST.items()},
    **{code: _Meaning(NotFound, _SYMBOL_FIX) for code in _ABSENT},
    **{code: _Meaning(ExchangeUnavailable, _LATER) for code in _UNAVAILABLE},
    **{code: _Meaning(RateLimited, SLOWER) for code in ("429000", "429001", "429002")},
    # Cloudflare's block by IP address, after about 500 requests in 10 s.
    "1015": _Meaning(RateLimited, "wait half a minute and ask less often", 30.0),
}


# Some codes mean one thing on futures and another, about orders, on spot.
_FUTURES_MEANINGS = {
    "200001": _Meaning(InvalidRequest, _PARAMETERS),
    "200002": _Meaning(RateLimited, "wait ten seconds and ask less often", 10.0),
    "200003": _Meaning(NotFound, _SYMBOL_FIX),
}


BY_STATUS = {
    401: _Meaning(AuthenticationFailed, "check the key, its secret and its passphrase"),
    403: _Meaning(AuthenticationFailed, "the exchange does not let this machine in"),
    404: _Meaning(NotFound, _SYMBOL_FIX),
}


# Codes that nobody has listed yet still say by their first digits what kind they are.
_FAMILIES = (
    (re.compile(r"429\d{3}"), _Meaning(RateLimited, SLOWER)),
    (re.compile(r"404\d{3}"), _Meaning(NotFound, _SYMBOL_FIX)),
    (re.compile(r"50[0-5]\d{3}"), _Meaning(ExchangeUnavailable, _LATER)),
    (re.compile(r"4\d{5}|[239]\d{5}|1\d{5}"), _Meaning(InvalidRequest, _PARAMETERS)),
)


_UNKNOWN = _Meaning(ExchangeError, "this code is new to kucoin_research, please report it")


# Codes that another try can get past, beside any HTTP 5xx.
PASSING = frozenset({"429000", "429001", "429002", "503000", "504000", "230005"})


def meaning_of(code: str, market: Market, status: int) -> _Meaning:
    if market is Market.FUTURES and code in _FUTURES_MEANINGS:
        return _FUTURES_MEANINGS[code]
    known = _MEANINGS.get(code)
    if known is not None:
        return known
    if status == 429:
        return _Meaning(RateLimited, SLOWER)
    if status >= 500:
        return _Meaning(ExchangeUnavailable, _LATER)
    if status in BY_STATUS:
        return BY_STATUS[status]
    return next((each for family, each in _FAMILIES if family.fullmatch(code)), _UNKNOWN)


def whole_seconds(seconds: float) -> int:
    return max(1, round(seconds))


BLOCK = re.compile(rb"error(?: code)?:? ?1015", re.IGNORECASE)


def describe_body(status: int, body: bytes, mask: Callable[[str], str]) -> str:
    # The body itself is not shown: it may hold a token. Of a page the title is.
    head = body[:4096].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if not head:
        return f"an empty reply (HTTP {status})"
    if head.startswith("<"):
        title = re.search(r"<title[^>]*>([^<]+)", head, re.IGNORECASE)
        # Masked before it is cut: half a secret would not be found.
        titled = f", {mask(html.unescape(' '.join(title[1].split())))[:80]!r}" if title else ""
        return f"an HTML page (HTTP {status}{titled})"
    if head[0] in "{[":
        return f"JSON that is cut short or not KuCoin's ({len(body)} bytes, HTTP {status})"
    return f"something that is not JSON ({len(body)} bytes, HTTP {status})"


def network_failure(call: Call, url: str, error: TransportError) -> CallFailure:
    trouble = trouble_of(error)
    verb = "read" if trouble.error is BadReply else "reach"
    hint = "" if is_loopback(url) else ", or work offline with venue='demo'"
    # What a proxy itself is to blame for names it anyway.
    way = "" if "the proxy" in trouble.why else by_way_of(target_of(url))
    way = way and f"{way},"
    text = f"cannot {verb} {urlsplit(url).netloc}{way} for {call.what}: {trouble.why}{hint}"
    return CallFailure(trouble.error(text), may_pass=trouble.may_pass, cause=error)


def is_about_clock(failure: CallFailure) -> bool:
    return isinstance(failure.error, AuthenticationFailed) and failure.error.what == "clock"


def describe_offset(offset_ns: int | None) -> str:
    if offset_ns is None:
        return "this machine's clock is more than 5 s off"
    side = "behind" if offset_ns > 0 else "ahead of"
    return f"this machine's clock is {abs(offset_ns) / 1e9:.1f} s {side} the exchange's"
