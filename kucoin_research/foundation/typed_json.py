"""Decoders of JSON into types, made by one thread at a time.

msgspec learns a struct's fields when it is first decoded, and crashes the process when two threads
come to that at once (0.22.0: ``tests/unit/foundation/test_typed_json.py`` does it). Two
connections that ask for their tokens together do just that.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from kucoin_research.foundation.forking import in_child

__all__ = ["decoder"]

_lock = threading.Lock()  # guards the making, not the decoding
_decoders: dict[tuple[Any, bool], msgspec.json.Decoder[Any]] = {}


def decoder(kind: Any, *, strict: bool = True) -> msgspec.json.Decoder[Any]:
    """Give the decoder of a type; any thread may ask, and decode.

    Parameters
    ----------
    kind
        What msgspec decodes into.
    strict
        Whether numbers in strings are refused.
    """
    found = _decoders.get((kind, strict))
    if found is None:
        with _lock:
            found = _decoders.get((kind, strict)) or msgspec.json.Decoder(kind, strict=strict)
            _decoders[kind, strict] = found
    return found


def _forget() -> None:
    # A thread of the parent may have held the lock.
    global _lock
    _lock = threading.Lock()


in_child(_forget)
