"""Signing a REST call, as KuCoin wants it: pure functions of their arguments.

Source: KuCoin's REST authentication (https://www.kucoin.com/docs-new/authentication, read 2026-11).
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from kucoin_research.exchange.credentials import Credentials

__all__ = ["SECRET_HEADERS", "sign", "signed_headers"]

#: Those of the signed headers that must show nowhere.
SECRET_HEADERS = ("KC-API-KEY", "KC-API-SIGN", "KC-API-PASSPHRASE")


def sign(secret: str, text: str | bytes) -> str:
    """Give base64 of HMAC-SHA256 of a text under the secret, both as UTF-8.

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
        The key; its version is 2 or 3, so the passphrase is sent signed.
    method
        ``"GET"``, ``"POST"``, …
    path
        From ``/api`` on, with the query as it is sent, without the host.
    body
        Exactly the bytes sent; empty when there are none.
    timestamp_ms
        Unix time on the exchange's clock, ms; it takes what is less than 5 s off.

    Returns
    -------
    dict[str, str]
        Never log it: it opens the account for those five seconds.
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
