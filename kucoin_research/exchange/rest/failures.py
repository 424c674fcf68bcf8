"""KuCoin's codes, HTTP statuses and network exceptions, and the error that each becomes."""

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
from kucoin_research.exchange.rest.envelope import (
    read_milliseconds,
    read_retry_after,
)
from kucoin_research.exchange.rest.signer import Signer
from kucoin_research.exchange.rest.transport import Reply
from kucoin_research.exchange.rest.troubles import TransportError, trouble_of
from kucoin_research.exchange.venues import (
    Venue,
    is_loopback,
    target_of,
)
from kucoin_research.foundation import clocks
from kucoin_research.model.channels import Market
from kucoin_research.model.instruments import spelling_hint

__all__ = [
    "FailureReader",
    "host_of",
    "is_about_clock",
    "network_failure",
    "whole_seconds",
]


class _Meaning(NamedTuple):
    """The error that a code stands for, and its remedy."""

    error: type[ExchangeError]
    fix: str
    retry_after: float | None = None
    what: str = ""  # which part of a login is refused


_SYMBOL_FIX = 'check its spelling, kr.symbols(market="{market}") lists what exists'
_PARAMETERS = "check symbol, interval and times"
_ACCOUNT = "the account's region or identity check does not allow it"
_LATER = "the exchange is busy or restarting, try again in a minute"
_SLOWER = "ask less often"
# The secret signs the passphrase too. So a wrong secret is refused as a wrong passphrase or as a
# wrong signature, whichever the exchange checks first.
_SECOND_PROOF = (
    "the passphrase is wrong, or the secret that signs it; check KUCOIN_PASSPHRASE (the one chosen "
    "for this key) and KUCOIN_API_SECRET"
)
# By code: the part of the login that is refused, and the remedy.
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
    **dict.fromkeys(
        ("100004", "400200", "400413", "260210", "330005", "330008", "330011"),
        "KuCoin does not allow it",
    ),
    "405": "KuCoin does not take this method there, please report it to kucoin_research",
    "415000": "KuCoin does not offer it for this symbol",
    "420001": "stop and look at the earlier errors",
    "420002": "check what was sent",
}
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
    **{code: _Meaning(RateLimited, _SLOWER) for code in ("429000", "429001", "429002")},
    # Cloudflare's block by IP address, after about 500 requests in 10 s.
    "1015": _Meaning(RateLimited, "wait half a minute and ask less often", 30.0),
}
# On spot these codes are about orders.
_FUTURES_MEANINGS = {
    "200001": _Meaning(InvalidRequest, _PARAMETERS),
    "200002": _Meaning(RateLimited, "wait ten seconds and ask less often", 10.0),
    "200003": _Meaning(NotFound, _SYMBOL_FIX),
}
_BY_STATUS = {
    401: _Meaning(AuthenticationFailed, "check the key, its secret and its passphrase"),
    403: _Meaning(AuthenticationFailed, "the exchange does not let this machine in"),
    404: _Meaning(NotFound, _SYMBOL_FIX),
}
# The first digits of a code that is not listed above still show its kind.
_FAMILIES = (
    (re.compile(r"429\d{3}"), _Meaning(RateLimited, _SLOWER)),
    (re.compile(r"404\d{3}"), _Meaning(NotFound, _SYMBOL_FIX)),
    (re.compile(r"50[0-5]\d{3}"), _Meaning(ExchangeUnavailable, _LATER)),
    (re.compile(r"4\d{5}|[239]\d{5}|1\d{5}"), _Meaning(InvalidRequest, _PARAMETERS)),
)
_UNKNOWN = _Meaning(ExchangeError, "this code is new to kucoin_research, please report it")
_BLOCK = re.compile(rb"error(?: code)?:? ?1015", re.IGNORECASE)  # in Cloudflare's page
# After these codes, as after any HTTP 5xx, another try may succeed.
_PASSING = frozenset({"429000", "429001", "429002", "503000", "504000", "230005"})


def _meaning_of(code: str, market: Market, status: int) -> _Meaning:
    if market is Market.FUTURES and code in _FUTURES_MEANINGS:
        return _FUTURES_MEANINGS[code]
    known = _MEANINGS.get(code)
    if known is not None:
        return known
    if status == 429:
        return _Meaning(RateLimited, _SLOWER)
    if status >= 500:
        return _Meaning(ExchangeUnavailable, _LATER)
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return next((each for family, each in _FAMILIES if family.fullmatch(code)), _UNKNOWN)


def whole_seconds(seconds: float) -> int:
    """Round seconds for an error's text; at least 1."""
    return max(1, round(seconds))


def _describe_body(status: int, body: bytes, mask: Callable[[str], str]) -> str:
    # The body itself may hold a token, so no error shows it; of an HTML page it shows the title.
    head = body[:4096].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if not head:
        return f"an empty reply (HTTP {status})"
    if head.startswith("<"):
        title = re.search(r"<title[^>]*>([^<]+)", head, re.IGNORECASE)
        # Masked before it is cut: the mask would not find half a secret.
        titled = f", {mask(html.unescape(' '.join(title[1].split())))[:80]!r}" if title else ""
        return f"an HTML page (HTTP {status}{titled})"
    if head[0] in "{[":
        return f"JSON that is cut short or not KuCoin's ({len(body)} bytes, HTTP {status})"
    return f"something that is not JSON ({len(body)} bytes, HTTP {status})"


def network_failure(call: Call, url: str, error: TransportError) -> CallFailure:
    """Return the failure of a call whose request or reply did not get through."""
    trouble = trouble_of(error)
    verb = "read" if trouble.error is BadReply else "reach"
    hint = "" if is_loopback(url) else ", or work offline with venue='demo'"
    # A failure of the proxy itself names the proxy already.
    way = "" if "the proxy" in trouble.why else by_way_of(target_of(url))
    way = way and f"{way},"
    text = f"cannot {verb} {urlsplit(url).netloc}{way} for {call.what}: {trouble.why}{hint}"
    return CallFailure(trouble.error(text), may_pass=trouble.may_pass, cause=error)


def is_about_clock(failure: CallFailure) -> bool:
    """Return whether the exchange refused the timestamp of a signature."""
    return isinstance(failure.error, AuthenticationFailed) and failure.error.what == "clock"


class FailureReader:
    """Turns a reply that is no success into the error that it stands for.

    Parameters
    ----------
    venue
        The exchange that was asked; errors name its host.
    signer
        Masks the key in the exchange's messages, and knows how far our clock is off.
    clock
        The time that a ``Retry-After`` date is compared with.
    """

    def __init__(self, venue: Venue, signer: Signer, clock: clocks.Clock) -> None:
        self._venue = venue
        self._signer = signer
        self._clock = clock

    def of_reply(
        self, call: Call, reply: Reply, envelope: tuple[str, str, bytes] | None
    ) -> CallFailure:
        """Return the failure that a reply means.

        Parameters
        ----------
        call
            The call that was answered.
        reply
            The reply of HTTP.
        envelope
            Its code, message and data; None if it is not KuCoin's JSON.
        """
        status = reply.status
        # KuCoin sends no Retry-After; a proxy or Cloudflare may.
        later = read_retry_after(reply.headers.get("Retry-After"), self._clock.wall_ns())
        reset = read_milliseconds(reply.headers.get("gw-ratelimit-reset"))
        reset = later if reset is None else reset
        if envelope is not None:
            return self._of_code(call, envelope, status, reset)
        # Cloudflare blocks with a page (error 1015), not with JSON.
        is_block = status in (403, 429) and _BLOCK.search(reply.body[:16_384])
        if status == 429 or is_block:
            code = "1015" if is_block else "429"
            failure = self._of_code(call, (code, "", b""), status, reset)
            return failure._replace(refuses="host")
        text = _describe_body(status, reply.body, call.mask)
        if status == 503 and later is not None:
            error = self._unreadable(call, text, f" in {whole_seconds(later)} s")
            return CallFailure(error, may_pass=True, wait=later, refuses="host")
        return CallFailure(self._unreadable(call, text), may_pass=status >= 500)

    def _of_code(
        self, call: Call, envelope: tuple[str, str, bytes], status: int, reset: float | None
    ) -> CallFailure:
        code, message, _ = envelope
        error = self.refusal(call, code, message, status, wait=reset)
        if not isinstance(error, RateLimited):
            return CallFailure(error, may_pass=code in _PASSING or status >= 500)
        wait = reset
        if wait is None and code not in _PASSING and code != "429":
            wait = error.retry_after
        return CallFailure(error, may_pass=True, wait=wait, refuses="pool")

    def _unreadable(self, call: Call, text: str, when: str = "") -> BadReply:
        host = host_of(self._venue, call.market)
        error = BadReply(
            f"{host} answered {call.what} with {text} instead of KuCoin's JSON; "
            f"try again{when}, and if it stays look for a proxy, a login portal or maintenance"
        )
        error.may_pass = True
        return error

    def refusal(
        self, call: Call, code: str, message: str, status: int, *, wait: float | None = None
    ) -> ExchangeError:
        """Return the error that a code means; an empty code stands for a success without data."""
        message = self._signer.mask(message)
        # Cut last: the mask would not find half a secret.
        code, message = call.mask(code)[:40], call.mask(message)[:200]
        meaning = _meaning_of(code, call.market, status) if code else _BY_STATUS[404]
        said = f" ({message!r})" if message and code else ""
        answer = f"code {code}{said}" if code else message
        clock = self._signer.describe_offset(call.market)
        fix = meaning.fix.format(market=call.market, clock=f"{clock}; set it by a time server")
        if wait is not None and issubclass(meaning.error, RateLimited):
            fix = f"wait {whole_seconds(wait)} s and {_SLOWER}"
        hint = spelling_hint(call.symbol, call.market) if call.symbol is not None else ""
        if hint and issubclass(meaning.error, NotFound | InvalidRequest):
            fix = f"{hint}, or {fix}"
        text = f"{host_of(self._venue, call.market)} answered {call.what} with {answer}; {fix}"
        if issubclass(meaning.error, RateLimited):
            retry_after = (meaning.retry_after or 1.0) if wait is None else wait
            return meaning.error(text, code=code, http_status=status, retry_after=retry_after)
        if issubclass(meaning.error, AuthenticationFailed):
            return meaning.error(text, code=code, http_status=status, what=meaning.what)
        return meaning.error(text, code=code, http_status=status)


def host_of(venue: Venue, market: Market) -> str:
    """Return the host, with its port, that serves a market's REST calls."""
    return urlsplit(venue.url(market)).netloc
