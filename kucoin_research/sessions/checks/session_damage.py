"""Recorded data that is missing from a session's files, or differs in them."""

from __future__ import annotations

from pathlib import Path

from kucoin_research.foundation.regular_files import is_regular, size_of
from kucoin_research.model.damage import Damage, number_of
from kucoin_research.sessions.checks.session_files import FilePart, damage_of, extent_of, sha256_of
from kucoin_research.sessions.files.file_names import (
    MANIFEST,
    base_of,
    csv_files,
    file_name,
    irregular_files,
    split_name,
    symbol_in,
)
from kucoin_research.sessions.files.manifest import Manifest, is_listed, strangers

__all__ = ["altered", "is_restored", "known_damage", "noted_in", "shortfall"]

_MOST_UNKNOWN = 100  # files with names of no session that are listed one by one
_NO_MANIFEST = "it was lost, so nothing tells whether all that was recorded is here"


def unread_in(folder: Path, content: Manifest | None) -> list[Damage]:
    """List the files in ``session.json`` that do not exist, or are not named like ours."""
    there = {path.name for path in csv_files(folder)}
    odd = {name: f"it is {what}, not a file" for name, what in irregular_files(folder).items()}
    found = []
    nobodys = 0
    for name, entry in ({} if content is None else content["files"]).items():
        if name in there:
            continue
        nobodys += split_name(name) is None
        if split_name(name) is None and nobodys > _MOST_UNKNOWN:
            continue
        what = odd.pop(name, "unknown" if is_regular(folder / name) else "missing")
        described = entry if isinstance(entry, dict) else {}
        _, channel, _ = split_name(name) or (None, described.get("channel"), None)
        found.append(damage_of(name, what, channel, described.get("symbol"), described))
    if nobodys > _MOST_UNKNOWN:
        further = f"it lists {nobodys - _MOST_UNKNOWN:,} further files that are none of a session"
        found.append(Damage(MANIFEST, further))
    if not is_listed(content):
        for name, what in odd.items():
            _, channel, _ = split_name(name) or (None, None, None)
            found.append(Damage(name, what, channel, symbol_in(name)))
    return found


def noted_in(content: Manifest | None) -> list[Damage]:
    """List the damage that repairs have noted in ``session.json``."""
    listed = None if content is None else content.get("damage")
    entries = listed if isinstance(listed, list) else []
    return [Damage.noted(entry) for entry in entries if isinstance(entry, dict)]


def faults_in(content: Manifest | None) -> list[Damage]:
    """List the fields of ``session.json`` that cannot be used, and counts that do not add up."""
    if content is None:
        return []
    mismatch = _compared_rows(content) if content.get("state") == "closed" else None
    return [*content.faults, *([] if mismatch is None else [Damage(MANIFEST, mismatch)])]


def _compared_rows(content: Manifest) -> str | None:
    """Compare the total of rows with the files' rows: an entry may have been removed."""
    total = number_of(content, "rows")
    rows = {name: number_of(entry, "rows") for name, entry in content["files"].items()}
    if None in rows.values():
        return "it does not tell the rows of all files, so those in all cannot be compared"
    # A repair does not count the rows of files that are gone; their entries stay.
    gone = {each.file for each in noted_in(content) if each.what in ("missing", "unknown")}
    listed = sum(filter(None, rows.values()))
    there = sum(filter(None, (count for name, count in rows.items() if name not in gone)))
    if total is None or total in (listed, there):
        return None
    return f"it tells of {total:,} rows in all, and of {listed:,} in its files"


def _left_out(folder: Path, content: Manifest | None) -> list[Damage]:
    """List files that are not listed although they are named like this session's own.

    A copy is not: it has the name of a listed file, or a name of no session.
    """
    if content is None:
        return []
    listed = {base_of(name) for name in content["files"]}
    named = [entry.get("symbol", symbol_in(name)) for name, entry in content["files"].items()]
    symbols = {file_name(each, "", "") for each in (None, *content.get("symbols", ()), *named)}
    found = []
    for path in strangers(folder, content):
        _, channel, _ = split_name(path.name) or (None, None, None)
        symbol = symbol_in(path.name)
        is_ours = channel is not None and file_name(symbol, "", "") in symbols
        if is_ours and base_of(path.name) not in listed:
            what = f"its rows are not read, since {MANIFEST} does not list it"
            found.append(Damage(path.name, what, channel, symbol))
    return found


def known_damage(folder: Path, content: Manifest | None) -> list[Damage]:
    """List the damage that repairs have noted, and then what else is gone or contradictory."""
    if content is None:
        return [Damage(MANIFEST, _NO_MANIFEST)]
    noted = noted_in(content)
    known = {(each.file, each.what) for each in noted}
    found = [*faults_in(content), *unread_in(folder, content), *_left_out(folder, content)]
    return [*noted, *(each for each in found if (each.file, each.what) not in known)]


def shortfall(part: FilePart, size: int, *, is_final: bool) -> Damage | None:
    """Compare the bytes of a file's whole lines with those recorded; None if they agree.

    Before a recording was closed, there may be more of them than its ``session.json`` lists.
    """
    promised = number_of(part.entry, "bytes")
    if promised is None or size == promised or (size > promised and not is_final):
        return None
    return part.damage("lost" if size < promised else "added", bytes=size)


def altered(part: FilePart) -> Damage | None:
    """Compare the bytes of a file with those recorded; None if all of them are there."""
    promised = number_of(part.entry, "bytes")
    if part.entry is None or promised is None or size_of(part.path) < promised:
        return None
    if sha256_of(part.path, promised) == part.entry.get("sha256", ""):
        return None
    return part.damage("changed", rows=extent_of(part).rows)


def is_restored(folder: Path, damage: Damage) -> bool:
    """Return whether a file with noted damage is again as it was recorded, byte by byte."""
    path = folder / damage.file
    if damage.what in ("miscounted", "broken") or damage.bytes is None or damage.sha256 is None:
        return False
    if split_name(damage.file) is None:  # the name may lead out of the folder
        return False
    if not is_regular(path) or size_of(path) != damage.bytes:
        return False
    return sha256_of(path, damage.bytes) == damage.sha256
