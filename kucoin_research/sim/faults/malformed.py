"""Messages that a client may not expect: garbage, and the shapes of earlier years.

Facts about the old shapes from the protocol reference, sections 6 and 7. The old shapes are
complete: no price, size, side, sequence or time is lost.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from random import Random
from typing import Any, TypeAlias

from kucoin_research.sim.faults.kinds import GARBAGE, Message

__all__ = ["as_garbage", "in_old_shape"]

_NESTING = 20_000
_MS = 1_000_000
_Object: TypeAlias = dict[str, Any]


def as_garbage(message: Message, kind: str | None, rng: Random) -> Message:
    """Replace a message's payload by garbage of a kind; None draws the kind."""
    chosen = rng.choice(GARBAGE) if kind is None else kind
    return message._replace(payload=_GARBLERS[chosen](message.payload))


def _not_json(payload: bytes) -> bytes:
    return payload[: len(payload) // 2] + b"}{"


def _wrong_types(payload: bytes) -> bytes:
    frame, key = _open(payload)
    frame[key] = {name: [True] for name in _members(frame[key])}
    return _text(frame)


def _missing_fields(payload: bytes) -> bytes:
    frame, key = _open(payload)
    frame[key] = {}
    return _text(frame)


def _nan(payload: bytes) -> bytes:
    frame, key = _open(payload)
    frame[key] = _spoil(frame[key])
    return _text(frame)


def _nested(payload: bytes) -> bytes:
    # Deeper than any recursive parser can read.
    frame, key = _open(payload)
    frame[key] = None
    return _text(frame).replace(b"null", b"[" * _NESTING + b"]" * _NESTING, 1)


_GARBLERS: dict[str, Callable[[bytes], bytes]] = {
    "not_json": _not_json,
    "wrong_types": _wrong_types,
    "missing_fields": _missing_fields,
    "nan": _nan,
    "nested": _nested,
}


def _open(payload: bytes) -> tuple[_Object, str]:
    # The frame, and the key that holds its data: "d" on the pro feed.
    frame: _Object = json.loads(payload)
    return frame, "data" if "data" in frame else "d"


def _members(data: Any) -> list[str]:
    return list(data) if isinstance(data, dict) else ["value"]


def _text(frame: _Object) -> bytes:
    return json.dumps(frame, separators=(",", ":")).encode()


def _spoil(value: Any) -> Any:
    # Every number becomes NaN, also numbers inside texts.
    if isinstance(value, dict):
        return {key: _spoil(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_spoil(one) for one in value]
    if isinstance(value, str):
        return re.sub(r"(?<![\w.])\d[\d.]*(?![\w.])", "NaN", value)
    return value if isinstance(value, bool) or value is None else float("nan")


# -- older years -----------------------------------------------------------------------------------


def in_old_shape(message: Message) -> Message:
    """Spell a message as KuCoin did in earlier years, keys in another order."""
    frame, key = _open(message.payload)
    prefix = message.topic.partition(":")[0]
    change = _OLD.get(prefix)
    if change is not None and key == "data":
        change(frame, frame[key])
    return message._replace(payload=_text(_reversed_keys(frame)))


def _reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _reversed_keys(value[key]) for key in reversed(value)}
    if isinstance(value, list):
        return [_reversed_keys(one) for one in value]
    return value


def _numeric(data: _Object, *names: str) -> None:
    for name in names:
        data[name] = json.loads(data[name])


def _hex_id(text: str, seconds: int) -> str:
    return f"{seconds:08x}{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"


def _old_ticker_v2(frame: _Object, data: _Object) -> None:
    _numeric(data, "bestBidPrice", "bestAskPrice")
    frame.pop("sn")


def _old_ticker(_frame: _Object, data: _Object) -> None:
    _numeric(data, "price", "bestBidPrice", "bestAskPrice")


def _old_execution(_frame: _Object, data: _Object) -> None:
    _numeric(data, "price")
    seconds = data["ts"] // 1_000_000_000
    for who in ("maker", "taker"):
        data[f"{who}UserId"] = _hex_id(who, 0x5F000000)
        data[f"{who}OrderId"] = _hex_id(data[f"{who}OrderId"], seconds)


def _old_depth(_frame: _Object, data: _Object) -> None:
    data["asks"] = [[price, str(size)] for price, size in data["asks"]]
    data["bids"] = [[price, str(size)] for price, size in data["bids"]]
    data["ts"] *= _MS
    del data["timestamp"]


def _old_match(_frame: _Object, data: _Object) -> None:
    seconds = int(data["time"]) // 1_000_000_000
    data["tradeId"] = _hex_id(data["tradeId"], seconds)
    whole, _, part = data["price"].partition(".")
    data["price"] = f"{whole}.{part:0<20}"


def _old_snapshot(_frame: _Object, data: _Object) -> None:
    _numeric(data, "sequence")


def _old_indicator(frame: _Object, _data: _Object) -> None:
    frame["id"] = _hex_id(frame["topic"], 0x5C000000)  # KuCoin's own samples of 2018 have one


_OLD: dict[str, Callable[[_Object, _Object], None]] = {
    "/contractMarket/tickerV2": _old_ticker_v2,
    "/contractMarket/ticker": _old_ticker,
    "/contractMarket/execution": _old_execution,
    "/contractMarket/level2Depth5": _old_depth,
    "/contractMarket/level2Depth50": _old_depth,
    "/market/match": _old_match,
    "/market/snapshot": _old_snapshot,
    "/indicator/index": _old_indicator,
    "/indicator/markPrice": _old_indicator,
}
