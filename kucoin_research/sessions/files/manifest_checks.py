"""Checks whether the fields of a ``session.json`` are of the types that a recorder writes."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import compress
from operator import not_
from typing import Any, get_args, get_type_hints

from kucoin_research.errors import InvalidInput, UnknownChannel
from kucoin_research.model.channels import Market, parse_channel
from kucoin_research.model.damage import Damage
from kucoin_research.model.instruments import Instrument
from kucoin_research.sessions.files.file_names import MANIFEST, is_text, split_name, symbol_in
from kucoin_research.sessions.files.manifest_values import LOSS_FIELDS, from_iso, instrument_of

__all__ = ["Faults", "checked", "shortened"]

_MOST_FAULTS = 1_000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


class Faults:
    """Collects the faults of a manifest; beyond a bound, one says that there are more."""

    def __init__(self) -> None:
        self.found: list[Damage] = []

    def add(self, damage: Damage) -> None:
        """Add a fault, if there is room."""
        if len(self.found) < _MOST_FAULTS:
            self.found.append(damage)
        elif len(self.found) == _MOST_FAULTS:
            self.found.append(Damage(MANIFEST, "there is more in it that cannot be used"))


def shortened(value: object) -> str:
    """Return a value as text for a sentence, however large it is."""
    return _SHORT.repr(value)


def checked(content: Mapping[str, Any], faults: Faults) -> dict[str, Any]:
    """Return the fields that are right, and add the others to the faults."""
    kept = _of_kind(content, _FIELDS, _ALWAYS, lambda text: faults.add(Damage(MANIFEST, text)))
    for key, check in _LISTS.items():
        if key in kept:
            are_right = list(map(check, kept[key]))
            for each in compress(kept[key], map(not_, are_right)):
                faults.add(Damage(MANIFEST, f"{key} holds {shortened(each)}, which is none"))
            kept[key] = list(compress(kept[key], are_right))
    kept["files"] = {
        name: _checked_entry(name, entry, faults) for name, entry in content["files"].items()
    }
    return kept


def _checked_entry(name: str, entry: object, faults: Faults) -> dict[str, Any]:
    _, channel, day = split_name(name) or (None, None, None)
    given = entry if isinstance(entry, dict) else {}
    symbol = given["symbol"] if is_text(given.get("symbol")) else symbol_in(name)

    def fault(text: str) -> None:
        faults.add(Damage(name, text, channel, symbol))

    kept = _of_kind(given, _ENTRY_FIELDS, _ENTRY_ALWAYS, fault)
    for key, named in (("channel", channel), ("day", day)):
        if channel is not None and kept.get(key, named) != named:
            other = shortened(kept.pop(key))
            fault(f"{MANIFEST} says that it is of {other}, which its name does not")
    return kept


def _of_kind(
    content: Mapping[str, Any],
    fields_: Mapping[str, tuple[Callable[[Any], bool], str]],
    always: Iterable[str],
    fault: Callable[[str], None],
) -> dict[str, Any]:
    for key in always:
        if key not in content:
            fault(f"{key} is not told in {MANIFEST}, so it cannot be compared")
    kept = dict(content)
    for key, (is_right, kind) in fields_.items():
        if key in content and not is_right(content[key]):
            fault(f"{key} is {shortened(content[key])} in {MANIFEST} instead of {kind}")
            del kept[key]
    return kept


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _is_text_or_null(value: object) -> bool:
    return value is None or is_text(value)


def _is_time_or_null(value: object) -> bool:
    return value is None or _is_time(value)


def _is_time(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        from_iso(value)
    except InvalidInput:
        return False
    return True


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_channel(value: object) -> bool:
    try:
        parse_channel(value)  # type: ignore[arg-type]  # which it refuses
    except UnknownChannel:
        return False
    return True


def _is_names_by_channel(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(names, list) and names and all(map(is_text, names)) for names in value.values()
    )


def _is_loss(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _is_time(value.get("began"))
        and _is_time(value.get("ended"))
        and _is_count(value.get("rows"))
        and all(_is_text_or_null(value.get(key)) for key in LOSS_FIELDS)
    )


def _is_instrument(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    try:
        instrument_of(value)
    except (TypeError, ValueError):
        return False
    kinds = _kinds_of_facts()
    return all(_fits(each, kinds[key]) for key, each in value.items() if key in kinds)


@cache
def _kinds_of_facts() -> dict[str, Any]:
    kinds = get_type_hints(Instrument)
    del kinds["risk_tiers"]  # which the instrument checks
    return kinds


def _fits(value: object, kind: Any) -> bool:
    kinds = get_args(kind) or (kind,)
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, int) and float in kinds:
        return True
    return isinstance(value, str if kind is Market else kinds)


_TEXT = (is_text, "a text")
_TEXT_OR_NULL = (_is_text_or_null, "a text or null")
_COUNT = (_is_count, "a whole number")
_LIST = (_is_list, "a list")


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "format": _COUNT,
    "package": _TEXT,
    "venue": (lambda value: value is None or isinstance(value, str | dict), "a venue"),
    "market": _TEXT_OR_NULL,
    "symbols": _LIST,
    "channels": _LIST,
    "instruments": _LIST,
    "start": (_is_time_or_null, "a time or null"),
    "end": (_is_time_or_null, "a time or null"),
    "state": (lambda value: value in ("recording", "closed"), "'recording' or 'closed'"),
    "compression": (lambda value: value in (None, "gzip", "zstd"), "a compression or null"),
    "rows": _COUNT,
    "refused": _COUNT,
    "dropped": _LIST,
    "damage": _LIST,
    "columns": (_is_names_by_channel, "the columns of each channel"),
}


_LISTS: dict[str, Callable[[object], bool]] = {
    "symbols": is_text,
    "channels": _is_channel,
    "instruments": _is_instrument,
    "dropped": _is_loss,
}


_ALWAYS = ("format", "state", "rows", "dropped")


_ENTRY_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "channel": _TEXT,
    "symbol": _TEXT_OR_NULL,
    "day": _TEXT,
    "rows": _COUNT,
    "bytes": _COUNT,
    "sha256": (_is_sha256, "a sha256"),
}


_ENTRY_ALWAYS = ("rows", "bytes", "sha256")
