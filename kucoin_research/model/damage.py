"""What a recording is known to have lost, or to hold otherwise than it was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

__all__ = ["Damage", "Loss", "number_of"]


class Damage(NamedTuple):
    """One file of a recording that is not as it was recorded.

    Attributes
    ----------
    file
        Its name.
    what
        ``missing``, ``lost`` (it is shorter), ``changed`` (other bytes), ``added`` (there is more
        in it), ``miscounted`` (``session.json`` tells another number of rows), ``unreadable``
        (no columns of the channel), ``renamed`` (other columns than were recorded), ``unknown``
        (its name is none of a session's files), ``broken`` (a line cannot be read), or any other
        sentence.
    channel, symbol
        Whose rows it held. ``status`` concerns all channels, as it tells of gaps in any of them.
    rows, bytes, sha256
        What was recorded.
    rows_found, bytes_found
        What is there.
    """

    file: str
    what: str
    channel: str | None = None
    symbol: str | None = None
    rows: int | None = None
    bytes: int | None = None
    sha256: str | None = None
    rows_found: int | None = None
    bytes_found: int | None = None

    @classmethod
    def noted(cls, entry: Mapping[str, Any]) -> Self:
        """Read one from ``session.json``; what is of no use there counts as not told."""
        return cls(
            _text(entry, "file") or "a file",
            _text(entry, "what") or "damaged",
            _text(entry, "channel"),
            _text(entry, "symbol"),
            number_of(entry, "rows"),
            number_of(entry, "bytes"),
            _text(entry, "sha256"),
            number_of(entry, "rows_found"),
            number_of(entry, "bytes_found"),
        )

    def to_manifest(self) -> dict[str, Any]:
        """Lay it out for ``session.json``."""
        return {key: value for key, value in self._asdict().items() if value is not None}

    def concerns(self, channel: str, symbol: str) -> bool:
        """Tell whether a channel of a symbol (``*`` for none) is no longer whole by it."""
        return _concerns(self.channel, self.symbol, channel, symbol)

    @property
    def detail(self) -> str:
        """Say what is wrong, without the file's name."""
        told = _TELLERS.get(self.what, _other)(self)
        if self.channel == "status":
            return f"{told}, so that gaps of any channel may be untold"
        return told

    def __str__(self) -> str:
        return f"{self.file}: {self.detail}"


class Loss(NamedTuple):
    """Rows that a recorder could not write, or that others took away while it was writing.

    Attributes
    ----------
    began, ended
        When the first and the last of them arrived, ns UTC.
    rows
        How many.
    file, channel, symbol
        Whose rows they are; without a channel they may be of any.
    reason
        Why they are lost; None where there was no room for what waited.
    """

    began: int
    ended: int
    rows: int
    file: str | None = None
    channel: str | None = None
    symbol: str | None = None
    reason: str | None = None

    def concerns(self, channel: str, symbol: str) -> bool:
        """Tell whether a channel of a symbol (``*`` for none) lacks rows by it."""
        return _concerns(self.channel, self.symbol, channel, symbol)


def number_of(entry: Mapping[str, Any] | None, key: str) -> int | None:
    """Read a count of a manifest's entry; None where it tells none."""
    value = None if entry is None else entry.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _concerns(its_channel: str | None, its_symbol: str | None, channel: str, symbol: str) -> bool:
    if its_channel in (None, "status"):
        return True
    # Symbols that differ in case share a file.
    named = (its_symbol or "*").casefold()
    return channel == its_channel and symbol.casefold() in (named, "*")


def _text(entry: Mapping[str, Any], key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) else None


def _missing(damage: Damage) -> str:
    rows = "" if damage.rows is None else f", with its {_count(damage.rows, 'row')}"
    return f"the file is missing{rows}"


def _lost(damage: Damage) -> str:
    rows, found = damage.rows, damage.rows_found
    if rows is not None and found is not None and found < rows:
        return f"{rows - found:,} of {_count(rows, 'row')} are lost"
    size, there = damage.bytes or 0, damage.bytes_found or 0
    return f"{size - there:,} of {_count(size, 'byte')} are lost"


def _changed(damage: Damage) -> str:
    told = "its bytes are not those that were recorded"
    return told if damage.rows == damage.rows_found else f"{told}; {_compared(damage)}"


def _added(damage: Damage) -> str:
    rows, found = damage.rows, damage.rows_found
    if rows is not None and found is not None and found > rows:
        return f"{_count(found - rows, 'row')} more than were recorded"
    size, there = damage.bytes or 0, damage.bytes_found or 0
    return f"{_count(there - size, 'byte')} more than were recorded"


def _miscounted(damage: Damage) -> str:
    return f"session.json told another number of rows: {_compared(damage)}"


def _unreadable(_damage: Damage) -> str:
    return "its columns are none of this channel, so its rows are left out"


def _renamed(_damage: Damage) -> str:
    return "its first line names other columns than were recorded"


def _unknown(_damage: Damage) -> str:
    return "its name tells no channel, so its rows are left out"


def _broken(_damage: Damage) -> str:
    return "lines cannot be read; verify names them"


def _other(damage: Damage) -> str:
    return damage.what


def _compared(damage: Damage) -> str:
    if damage.rows is None or damage.rows_found is None:
        return "its rows were not counted"
    return f"{_count(damage.rows_found, 'row')} instead of {damage.rows:,}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


_TELLERS = {
    "missing": _missing,
    "lost": _lost,
    "changed": _changed,
    "added": _added,
    "miscounted": _miscounted,
    "unreadable": _unreadable,
    "renamed": _renamed,
    "unknown": _unknown,
    "broken": _broken,
}
