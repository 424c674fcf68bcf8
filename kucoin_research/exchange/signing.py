"""Signs REST calls in KuCoin's way, by pure functions of their arguments.

Source: KuCoin's REST authentication (https://www.kucoin.com/docs-new/authentication, read 2026-11).
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from kucoin_research.exchange.credentials import Credentials

__all__ = ["SECRET_HEADERS", "sign", "signed_headers"]

#: The signed headers that must show nowhere.
SECRET_HEADERS = ("KC-API-KEY", "KC-API-SIGN", "KC-API-PASSPHRASE")


def sign(secret: str, text: str | bytes) -> str:
    """Return the HMAC-SHA256 of a text under the secret, in base64; both are taken as UTF-8.

    Examples
    --------
    >>> sign("f03a5284-5c39-4aaa-9b20-dea10bdcf8e3", "QWIxMjM0NTY3OCkoKiZeJSQjQA==")
    'HFkKIy8cKfQF3Ognmbamq9Bd8VfYy3eUQj7uC8NvMes='
    """
    message = text.encode() if isinstance(text, str) else text
    return base64.b64encode(hmac.digest(secret.encode(), message, hashlib.sha256)).decode("ascii")


def signed_headers(
    credentials: Credentials, *, method: str, path: str, body: bytes = b"", timestamp_ms: int
) -> dict[str, str]:
    """Build the headers that prove a key.

    Parameters
    ----------
    credentials
        The key. Its version is 2 or 3, for which the passphrase must be signed too.
    method
        ``"GET"``, ``"POST"``, …
    path
        The path from ``/api`` on, with the query exactly as it is sent, without the host.
    body
        Exactly the bytes that are sent; empty if there are none.
    timestamp_ms
        Unix time on the exchange's clock, ms. It may be less than 5 s off.

    Returns
    -------
    dict[str, str]
        The headers. Never log them: for those five seconds they open the account.
    """
    head = f"{timestamp_ms}{method.upper()}{path}".encode()
    return {
        "KC-API-KEY": credentials.key,
        "KC-API-SIGN": sign(credentials.secret, head + body),
        "KC-API-TIMESTAMP": str(timestamp_ms),
        "KC-API-PASSPHRASE": sign(credentials.secret, credentials.passphrase),
        "KC-API-KEY-VERSION": str(credentials.key_version),
        "Content-Type": "application/json",
    }
