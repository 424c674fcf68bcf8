"""WebSocket frames and JSON as the server sends them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from kucoin_research.sim.accounts.ledger import decimal_text

__all__ = ["binary_frame", "json_bytes", "text_frame"]


def text_frame(payload: bytes) -> bytes:
    """Build the WebSocket text frame of a payload, unmasked as servers send it (RFC 6455, 5.2)."""
    return _frame(0x81, payload)


def binary_frame(payload: bytes) -> bytes:
    """Build the binary frame of a payload, as the pro feed sends its JSON."""
    return _frame(0x82, payload)


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def json_bytes(message: Any) -> bytes:
    """Spell a message as compact JSON in UTF-8; a `Decimal` is a number with all its digits."""
    try:
        text = _compact(message)
    except TypeError:  # `json` knows no decimals, and a float has not all of their digits
        text = _with_decimals(message)
    # Half of a surrogate pair can be spelled in JSON but not sent: it comes back as "?".
    return text.encode("utf-8", "replace")


def _compact(message: Any) -> str:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False)


def _with_decimals(message: Any) -> str:
    if isinstance(message, Decimal):
        return decimal_text(message)
    if isinstance(message, dict):
        pairs = (f"{_compact(name)}:{_with_decimals(value)}" for name, value in message.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(message, list | tuple):
        return f"[{','.join(map(_with_decimals, message))}]"
    return _compact(message)
