"""Signed requests: the headers that prove a key, and KuCoin's refusals.

Facts from the protocol reference, sections 2.1 to 2.3. Statuses and texts of refusals: 400001 as
captured there; 400002 with HTTP 400 (Kucoin/kucoin-python-sdk#82); 400003 (kucoin-api-docs#337);
400004 with HTTP 401 (JKorf/Kucoin.Net#61); 400005 (kucoin-api-docs#466). The texts of 400008 and
400009 are ours.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import unquote, unquote_plus

from kucoin_research.sim.accounts.keys import Account

__all__ = ["SignedRequest", "SigningRefused", "digest", "verify"]

_HEADERS = ("KC-API-KEY", "KC-API-SIGN", "KC-API-TIMESTAMP", "KC-API-PASSPHRASE")
_TOLERANCE_MS = 5_000


class SigningRefused(Exception):
    """KuCoin's answer to a request that does not prove its key."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class SignedRequest(NamedTuple):
    """The signed parts of a request, and its headers; ``target`` is the path with its query."""

    method: str
    target: str
    body: bytes
    headers: Mapping[str, str]


def digest(secret: str, text: bytes) -> str:
    """Return base64 of the HMAC-SHA256 of a text, with the secret's UTF-8 text as the key."""
    return base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest()).decode()


def verify(
    request: SignedRequest, accounts: Mapping[str, Account], spans_ms: Iterable[tuple[int, int]]
) -> Account:
    """Find the account that signed a request.

    Parameters
    ----------
    request
        The request.
    accounts
        Accounts by key.
    spans_ms
        First and last reading of each clock by which a client may sign, ms; the timestamp must lie
        in one of the spans, or within 5 s of it.

    Raises
    ------
    SigningRefused
        With codes 400001 to 400005, 400008 and 400009.
    """
    key, sign, stamp, passphrase = (request.headers.get(name, "") for name in _HEADERS)
    if not (key and sign and stamp and passphrase):
        raise SigningRefused(
            400, "400001", f"Please check the header of your request for {', '.join(_HEADERS)}."
        )
    if not (stamp.isdecimal() and _is_near(int(stamp), spans_ms)):
        raise SigningRefused(400, "400002", "Invalid KC-API-TIMESTAMP")
    account = accounts.get(key)
    if account is None:
        raise SigningRefused(401, "400003", "KC-API-KEY not exists")
    version = request.headers.get("KC-API-KEY-VERSION", "1")
    if version == "1":
        raise SigningRefused(400, "400008", "V1 API keys are not supported, use version 2 or 3")
    if version not in ("2", "3"):
        raise SigningRefused(400, "400009", "Invalid KC-API-KEY-VERSION")
    if not _is_equal(passphrase, digest(account.secret, account.passphrase.encode())):
        raise SigningRefused(401, "400004", "Invalid KC-API-PASSPHRASE")
    head = f"{stamp}{request.method.upper()}"
    for target in _spellings(request.target):
        if _is_equal(sign, digest(account.secret, f"{head}{target}".encode() + request.body)):
            return account
    raise SigningRefused(401, "400005", "Invalid KC-API-SIGN")


def _spellings(target: str) -> set[str]:
    """Return every spelling of a path with its query that clients sign for the one they send."""
    # A bare question mark says nothing: the official SDK for Node sends it and does not sign it.
    bare = target.removesuffix("?")
    targets = {target} if "?" in bare else {bare, f"{bare}?"}
    # The official SDK for Python signs the query before it percent-encodes it.
    # (reference, section 2.2)
    return {text for each in targets for text in (each, unquote(each), unquote_plus(each))}


def _is_near(stamp_ms: int, spans_ms: Iterable[tuple[int, int]]) -> bool:
    return any(
        first - _TOLERANCE_MS <= stamp_ms <= last + _TOLERANCE_MS for first, last in spans_ms
    )


def _is_equal(text: str, wanted: str) -> bool:
    return hmac.compare_digest(text.encode(), wanted.encode())
