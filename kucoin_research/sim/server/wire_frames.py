"""WebSocket frames and JSON as the server sends them."""

from __future__ import annotations

import json
from typing import Any

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
    """Spell a message as compact JSON in UTF-8."""
    # Half of a surrogate pair can be spelled in JSON but not sent: it comes back as "?".
    text = json.dumps(message, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "replace")
