"""Signatures: the documented vector, and the same computed another way."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.exchange.credentials import Credentials
from kucoin_research.exchange.signing import sign, signed_headers

# https://www.kucoin.com/docs-new/authentication, read 2026-11; recomputed.
SECRET = "f03a5284-5c39-4aaa-9b20-dea10bdcf8e3"
PASSPHRASE = "QWIxMjM0NTY3OCkoKiZeJSQjQA=="
BODY = b'{"currency":"BTC"}'


@pytest.mark.parametrize("version", [2, 3])
def test_documented_vector(version):
    credentials = Credentials("key-id", SECRET, PASSPHRASE, key_version=version)

    headers = signed_headers(
        credentials,
        method="post",
        path="/api/v1/deposit-addresses",
        body=BODY,
        timestamp_ms=1547015186532,
    )

    assert headers == {
        "KC-API-KEY": "key-id",
        "KC-API-SIGN": "7QP/oM0ykidMdrfNEUmng8eZjg/ZvPafjIqmxiVfYu4=",
        "KC-API-TIMESTAMP": "1547015186532",
        "KC-API-PASSPHRASE": "HFkKIy8cKfQF3Ognmbamq9Bd8VfYy3eUQj7uC8NvMes=",
        "KC-API-KEY-VERSION": str(version),
        "Content-Type": "application/json",
    }


def hmac_by_hand(key, message):
    """HMAC as RFC 2104 defines it, from SHA-256 alone."""
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    key = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + message).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).digest()


@given(st.text(min_size=1, max_size=200), st.text() | st.binary())
def test_signature_is_base64_of_the_hmac(secret, message):
    raw = message.encode() if isinstance(message, str) else message

    assert base64.b64decode(sign(secret, message)) == hmac_by_hand(secret.encode(), raw)


@given(
    st.sampled_from(["GET", "POST", "DELETE"]),
    st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=20),
    st.binary(max_size=50),
    st.integers(0, 2**44),
)
def test_what_is_signed_is_time_method_path_and_body(method, path, body, timestamp_ms):
    credentials = Credentials("key-id", SECRET, PASSPHRASE)
    head = f"{timestamp_ms}{method}/api/{path}"

    headers = signed_headers(
        credentials, method=method, path=f"/api/{path}", body=body, timestamp_ms=timestamp_ms
    )

    signature = base64.b64decode(headers["KC-API-SIGN"])
    assert signature == hmac_by_hand(SECRET.encode(), head.encode() + body)
