"""Known damage of a recording: files that changed, and rows that were never written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

__all__ = ["Damage", "Loss", "number_of"]


class Damage(NamedTuple):
    """One file of a recording that is not as it was recorded.

    Attributes
    ----------
    file
        The file's name.
    what
        The kind of damage: ``missing``, ``lost`` (the file is shorter), ``changed`` (other bytes),
        ``added`` (the file is longer), ``miscounted`` (``session.json`` has another number of
        rows), ``unreadable`` (the columns are not the channel's), ``renamed`` (the columns are not
        those recorded), ``unknown`` (no file of a session has such a name), ``broken`` (a line
        cannot be read), or any other sentence.
    channel, symbol
        The channel and symbol of the file's rows. Damage of ``status`` concerns all channels,
        since its rows report the gaps of all of them.
    rows, bytes, sha256
        Counts and checksum as recorded.
    rows_found, bytes_found
        Counts as found now.
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
        """Read one from ``session.json``; a value of the wrong type counts as absent."""
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
        """Return the entry for ``session.json``, without the fields that are ``None``."""
        return {key: value for key, value in self._asdict().items() if value is not None}

    def concerns(self, channel: str, symbol: str) -> bool:
        """Return whether this damages a channel of a symbol (``*`` stands for no symbol)."""
        return _concerns(self.channel, self.symbol, channel, symbol)

    @property
    def detail(self) -> str:
        """The damage in words, without the file's name."""
        text = _DETAILS.get(self.what, _other)(self)
        if self.channel == "status":
            return f"{text}, so that gaps of any channel may be untold"
        return text

    def __str__(self) -> str:
        return f"{self.file}: {self.detail}"


class Loss(NamedTuple):
    """Rows that a recorder could not write, or that somebody removed while it was writing.

    Attributes
    ----------
    began, ended
        When the first and the last of the rows arrived, ns UTC.
    rows
        The number of rows.
    file, channel, symbol
        Where the rows belong; without a channel they may belong to any.
    reason
        Why they were lost; ``None`` if the queue of waiting rows was full.
    """

    began: int
    ended: int
    rows: int
    file: str | None = None
    channel: str | None = None
    symbol: str | None = None
    reason: str | None = None

    def concerns(self, channel: str, symbol: str) -> bool:
        """Return whether a channel of a symbol (``*`` for none) lacks rows because of this."""
        return _concerns(self.channel, self.symbol, channel, symbol)


def number_of(entry: Mapping[str, Any] | None, key: str) -> int | None:
    """Read a whole number from a manifest's entry; ``None`` if it is absent or no number."""
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
    text = "its bytes are not those that were recorded"
    return text if damage.rows == damage.rows_found else f"{text}; {_compared(damage)}"


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


_DETAILS = {
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
