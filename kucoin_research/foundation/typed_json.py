"""Decoders of JSON into types, made by one thread at a time.

msgspec reads a struct's fields when its first decoder is made, and crashes the process if two
threads do that at once (0.22.0; ``tests/unit/foundation/test_typed_json.py`` shows it). Two
connections that request their tokens at the same time would do so.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from kucoin_research.foundation.forking import in_child

__all__ = ["decoder"]

_lock = threading.Lock()  # guards the making of decoders; decoding needs no lock
_decoders: dict[tuple[Any, bool], msgspec.json.Decoder[Any]] = {}


def decoder(kind: Any, *, strict: bool = True) -> msgspec.json.Decoder[Any]:
    """Return the decoder of a type; any thread may call this, and use the decoder.

    Parameters
    ----------
    kind
        The type that msgspec decodes into.
    strict
        Whether to refuse numbers that are written as strings.
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
