"""Repairing a recorded session, and noting the damage that cannot be repaired."""

from __future__ import annotations

import contextlib
import html
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from kucoin_research.errors import SessionBusy
from kucoin_research.foundation.regular_files import (
    copy,
    create_like,
    cut,
    is_regular,
    open_file,
    size_of,
)
from kucoin_research.model.damage import Damage, number_of
from kucoin_research.model.records import CHANNELS
from kucoin_research.sessions.checks.session_damage import (
    faults_in,
    is_restored,
    known_damage,
    noted_in,
)
from kucoin_research.sessions.checks.session_files import (
    Extent,
    FilePart,
    Paths,
    counted,
    extent_of,
    find_session,
    open_rows,
    parts_of,
    sha256_of,
)
from kucoin_research.sessions.files.compression import compression_of, open_whole
from kucoin_research.sessions.files.csv_codec import header_of, is_header, read_rows
from kucoin_research.sessions.files.csv_lines import LONGEST_RECORD
from kucoin_research.sessions.files.damaged_csv import can_be_read, pieces, readable
from kucoin_research.sessions.files.file_names import MANIFEST, csv_files
from kucoin_research.sessions.files.folder_lock import FolderLock
from kucoin_research.sessions.files.manifest import (
    FORMAT,
    Manifest,
    package_version,
    read_manifest,
    write_manifest,
)
from kucoin_research.sessions.files.manifest_values import iso

__all__ = ["Repair", "mend", "repair"]


@dataclass(frozen=True, slots=True)
class Repair:
    """What a repair did to a session: printable, one action a line."""

    path: str
    actions: tuple[str, ...]

    def __str__(self) -> str:
        if not self.actions:
            return f"{self.path}: nothing to mend"
        return "\n".join([f"{self.path}:", *(f"  {action}" for action in self.actions)])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def mend(path: str | os.PathLike[str]) -> Repair:
    """Repair a session as far as possible, and keep the original bytes beside it.

    Torn tails are cut, a missing ``session.json`` is made from the files, and a session that was
    not closed is closed. A file's former content is in ``<file>.orig``. Rows that are wrong or gone
    cannot be repaired: if a file lacks recorded rows, or holds other ones, that is noted as
    ``damage`` in ``session.json``, and ``verify``, ``load`` and the report show it. The same holds
    for a lost ``session.json``, since nothing else shows the recorded state.

    Parameters
    ----------
    path
        The session's folder.

    Raises
    ------
    SessionMissing
        If there is no recording.
    SessionBusy
        If a living process is recording it.
    """
    folder = find_session(path)
    try:
        lock = FolderLock(folder)
    except BlockingIOError as error:
        raise SessionBusy(f"{error}; stop that recording first") from error
    with lock:
        return Repair(str(folder), tuple(_mend(folder)))


def _mend(folder: Path) -> Iterator[str]:
    content = read_manifest(folder)
    is_closed = content is not None and content.get("state") == "closed"
    faults, noted = faults_in(content), noted_in(content)
    restored = [each for each in noted if is_restored(folder, each)]
    noted = [each for each in noted if each not in restored]
    damages = noted + known_damage(folder, content)[len(noted) + len(restored) :]
    parts = parts_of(folder, content)
    entries: dict[str, Any] = {}
    for damage in restored:
        yield (
            f"{damage.file}: it is again as it was recorded (sha256), so {MANIFEST} no longer "
            "calls it damaged"
        )
    for part in parts:
        _recall(part, restored)
        # Compared before a byte is cut or hashed anew: afterwards nothing shows the recorded state.
        extent = extent_of(part)
        harm = _harm(part, extent, is_final=is_closed)
        damages += [] if harm is None else [harm]
        cut = _cut_tail(part.path, extent.size)
        if cut:
            name = part.path.name
            yield f"{name}: cut {counted(cut, 'torn byte')}; the original is {name}.orig"
        is_complete = not any(fault.file == part.path.name for fault in faults)
        is_back = any(damage.file == part.path.name for damage in restored)
        is_new = cut or harm is not None or part.entry is None or is_back
        if is_new or not is_closed or not is_complete:
            entries[part.path.name] = _entry(part, extent.rows)
    new = damages[len(noted) :]
    yield from (f"{each}; {MANIFEST} tells it from now on" for each in new)
    if is_closed and not entries and not new and not restored:
        return
    if os.path.lexists(folder / MANIFEST):
        _keep(folder / MANIFEST)
    rebuilt = _rebuilt(folder, content, entries)
    rebuilt.pop("damage", None)
    if damages:
        rebuilt["damage"] = [each.to_manifest() for each in damages]
    _add_span(rebuilt, parts)
    write_manifest(folder, rebuilt)
    done = "made anew of what the files tell" if content is None else "brought up to date"
    if content is not None and not is_closed:
        done = "closed"
    yield f"{MANIFEST}: {done}, with {rebuilt['rows']:,} rows"


def _recall(part: FilePart, restored: Sequence[Damage]) -> None:
    """Describe a restored file as it was recorded, not as it was in between."""
    for damage in restored:
        if damage.file == part.path.name and part.entry is not None:
            recorded = {"rows": damage.rows, "bytes": damage.bytes, "sha256": damage.sha256}
            part.entry |= {key: value for key, value in recorded.items() if value is not None}


def _harm(part: FilePart, extent: Extent, *, is_final: bool) -> Damage | None:
    """Compare a file with its manifest's entry."""
    promised = number_of(part.entry, "bytes")
    sound = extent.size
    found = {"rows": extent.rows, "bytes": sound}
    if part.entry is None or promised is None:
        return part.damage("broken", **found) if _is_broken(part, extent) else None
    size = size_of(part.path)
    if size < promised:
        return part.damage("lost", **found)
    if sha256_of(part.path, promised) != part.entry.get("sha256"):
        return part.damage("changed", **found)
    if is_final and sound > promised:
        return part.damage("added", **found)
    if sound > promised and _is_broken(part, extent):
        return part.damage("broken", **found)
    rows = number_of(part.entry, "rows")
    if rows is None or found["rows"] == rows or (found["rows"] > rows and not is_final):
        return None
    return part.damage("miscounted", **found)


def _is_broken(part: FilePart, extent: Extent) -> bool:
    """Return whether lines cannot be read, for a file whose recorded bytes are not known."""
    if extent.broken:
        return True
    with open_whole(part.path, extent.size, compression_of(part.path.name)) as file:
        first = file.readline(LONGEST_RECORD)
        if first and not is_header(first):
            return True
        names = first.decode().rstrip("\r\n").split(",")
        return any(
            piece.wrong or not can_be_read(part.record, piece.text, names)
            for piece in pieces(file, len(names))
        )


def _add_span(content: dict[str, Any], parts: Sequence[FilePart]) -> None:
    first, last = _span(parts)
    for key, local_ns in (("start", first), ("end", last)):
        if content[key] is None and local_ns is not None:
            content[key] = iso(local_ns)


def _cut_tail(path: Path, sound: int) -> int:
    size = path.lstat().st_size  # also counts the bytes behind a sparse stretch
    if sound == size:
        return 0
    _keep(path)
    cut(path, sound)
    return size - sound


def _keep(path: Path) -> None:
    """Keep the content of a file as ``<file>.orig``; an entry that is no file is renamed."""
    if not is_regular(path):
        free = (name for name in _originals(path) if not os.path.lexists(name))
        path.rename(next(free))
        return
    with (
        open_file(path) as source,
        os.fdopen(_new_copy(path, source.fileno()), "wb") as target,
    ):
        copy(source, target)
        target.flush()
        os.fsync(target.fileno())


def _originals(path: Path) -> Iterator[Path]:
    for number in count(1):
        yield path.with_name(f"{path.name}.orig{'' if number == 1 else number}")


def _new_copy(path: Path, source: int) -> int:
    """Make the file that keeps another one's content; nothing of such a name is overwritten."""
    for name in _originals(path):
        with contextlib.suppress(FileExistsError):
            return create_like(name, source)
    raise AssertionError("there is always a further number")


def _entry(part: FilePart, rows: int) -> dict[str, Any]:
    size = size_of(part.path)
    about = {"channel": part.channel, "symbol": part.symbol, "day": part.day}
    return {
        **{key: value for key, value in about.items() if key != "day" or value is not None},
        "rows": rows,
        "bytes": size,
        "sha256": sha256_of(part.path, size),
    }


def _span(parts: Sequence[FilePart]) -> tuple[int | None, int | None]:
    # The first and last arrival, ns UTC, None without rows.
    times: list[int] = []
    for part in parts:
        with open_rows(part.path, extent_of(part).size) as file:
            for text in readable(part.record, file):
                lines = header_of(part.record) + text
                local = read_rows(part.record, lines, columns=["local_timestamp"]).to_series()
                found = local.to_physical()
                times += [each for each in (found.min(), found.max()) if isinstance(each, int)]
    return (min(times), max(times)) if times else (None, None)


def _rebuilt(folder: Path, content: Manifest | None, anew: dict[str, Any]) -> dict[str, Any]:
    # The entry of a file that is gone stays, in case the file is found again.
    entries = ({} if content is None else content["files"]) | anew
    there = {path.name for path in csv_files(folder)}
    rows = sum(number_of(entries[name], "rows") or 0 for name in entries.keys() & there)
    listed = [entry for entry in entries.values() if entry.get("channel", "status") != "status"]
    symbols = {each.get("symbol") for each in listed} - {None}
    found: dict[str, Any] = {
        "format": FORMAT,
        "package": package_version(),
        "venue": None,
        "market": None,
        "symbols": sorted(symbols),
        "channels": [name for name in CHANNELS if any(each["channel"] == name for each in listed)],
        "instruments": [],
        "start": None,
        "end": None,
        "compression": None,
        "refused": 0,
        "dropped": [],
    }
    return {
        **found,
        **(content or {}),
        "state": "closed",
        "rows": rows,
        "is_repaired": True,
        "files": entries,
    }


def repair(path: Paths) -> Repair:
    """Repair a session's folder as far as possible; see ``mend``.

    Torn tails are cut, a missing ``session.json`` is made anew, and a session that was not closed
    is closed. The original bytes stay beside, as ``<file>.orig``.

    Raises
    ------
    SessionMissing, SessionBusy
        If there is no recording, or a living process is writing it.
    """
    return mend(path)
