"""The envelope of KuCoin's replies: code, message and data, and the headers around them."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

from kucoin_research.exchange.rest.loose_json import MOST_BY_ROW, UNREADABLE, read_fields
from kucoin_research.exchange.rest.quotas import QuotaReport
from kucoin_research.exchange.rest.schemas import (
    Envelope,
)
from kucoin_research.exchange.rest.transport import (
    ENCODINGS,
)
from kucoin_research.foundation.typed_json import decoder

__all__ = [
    "HEADERS",
    "parse_envelope",
    "quota_report_of",
    "read_milliseconds",
    "read_retry_after",
]

_LONGEST_RESET = 300.0  # seconds; a header that says more is wrong
_LONGEST_MESSAGE = 65_536


def _version() -> str:
    try:
        return importlib.metadata.version("kucoin-research")
    except importlib.metadata.PackageNotFoundError:  # a checkout that was never installed
        return "0"


def quota_report_of(headers: Mapping[str, str], sent: float, received: float) -> QuotaReport | None:
    """Read a reply's rate-limit headers; None if they say nothing of use.

    ``sent`` and ``received`` are when the request went and the reply came, in monotonic seconds.
    """
    reset = read_milliseconds(headers.get("gw-ratelimit-reset"))
    remaining = headers.get("gw-ratelimit-remaining", "")
    if reset is None or not re.fullmatch(r"-?\d{1,9}", remaining):
        return None
    limit = headers.get("gw-ratelimit-limit", "")
    size = int(limit) if re.fullmatch(r"[1-9]\d{0,8}", limit) else None
    return QuotaReport(size, int(remaining), reset, sent, received)


def read_retry_after(text: str | None, now_ns: int) -> float | None:
    """Read ``Retry-After``, seconds or a date (RFC 9110, section 10.2.3); returns seconds."""
    if text is None:
        return None
    if re.fullmatch(r"\d{1,9}", text):
        return min(float(text), _LONGEST_RESET)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return min(max(when.timestamp() - now_ns / 1e9, 0.0), _LONGEST_RESET)


def read_milliseconds(text: str | None) -> float | None:
    """Read a header in milliseconds; returns seconds, or None if it makes no sense."""
    if text is None or not re.fullmatch(r"\d{1,12}", text):
        return None
    return min(int(text) / 1000, _LONGEST_RESET)


def parse_envelope(body: bytes, *, is_read_by_field: bool) -> tuple[str, str, bytes] | None:
    """Return the code, the message and the data; None if the body is not KuCoin's JSON."""
    try:
        if is_read_by_field and len(body) <= MOST_BY_ROW:
            envelope, _ = read_fields(body, Envelope)
        else:
            envelope = decoder(Envelope).decode(body)
    except UNREADABLE:
        return None
    if envelope.code is None:
        return None
    return str(envelope.code), _message(bytes(envelope.msg)), bytes(envelope.data)


def _message(raw: bytes) -> str:
    if not raw.startswith(b'"') or len(raw) > _LONGEST_MESSAGE:
        return ""
    # msgspec does not look at JSON that it keeps raw: this may be no UTF-8.
    try:
        text = decoder(str).decode(raw.decode("utf-8", "replace"))
    except msgspec.MsgspecError:  # half a surrogate pair
        return ""
    return " ".join(text.split())


#: Sent with every request.
HEADERS = {
    "User-Agent": f"kucoin-research/{_version()}",
    "Accept": "application/json",
    "Accept-Encoding": ENCODINGS,
}
