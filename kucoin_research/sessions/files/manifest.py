"""A session's ``session.json``: writing and reading it."""

from __future__ import annotations

import json
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from kucoin_research.errors import SessionNewer
from kucoin_research.foundation.regular_files import is_regular, open_file, replace, size_of
from kucoin_research.model.damage import Damage
from kucoin_research.sessions.files.file_names import MANIFEST, base_of
from kucoin_research.sessions.files.manifest_checks import Faults, checked, shortened

__all__ = [
    "FORMAT",
    "Manifest",
    "is_listed",
    "package_version",
    "read_manifest",
    "strangers",
    "write_manifest",
]

FORMAT = 1

# Bounds of a session.json. One of 100,000 files has 30 MB, and 900,000 values nested four deep.
_LARGEST = 64 << 20
_MOST_VALUES = 1_500_000
_MOST_FILES = 200_000
_DEEPEST = 64
_BLOCK = 1 << 20


def package_version() -> str:
    """Return the version of this package."""
    return version("kucoin-research")


def is_listed(content: Mapping[str, Any] | None) -> bool:
    """Return whether a ``session.json`` names every file of its session."""
    return content is not None and content.get("state") == "closed"


def strangers(folder: Path, content: Mapping[str, Any] | None) -> list[Path]:
    """List the CSV files that a closed session does not list.

    They are not read: a copy beside its original would double the rows, and nothing shows what
    other files hold.
    """
    if content is None or not is_listed(content):
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if base_of(path.name) is not None and path.name not in content["files"] and is_regular(path)
    )


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Replace ``session.json`` as a whole: whatever happens, the old one or the new one is there.

    Raises
    ------
    OSError
        If it could not be written; the old one stays.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    replace(folder / MANIFEST, text.encode(errors="backslashreplace") + b"\n")
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":  # Windows cannot open folders, and makes renames durable by itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Manifest(dict[str, Any]):
    """The content of a ``session.json``, without fields that no recorder writes so.

    A field of another type than a recorder's is left out.

    Attributes
    ----------
    faults
        Fields that were left out, or are missing though every recorder writes them. Nothing can be
        compared with those.
    """

    def __init__(self, content: Mapping[str, Any], faults: Iterable[Damage] = ()) -> None:
        super().__init__(content)
        self.faults = tuple(faults)


def read_manifest(folder: Path) -> Manifest | None:
    """Read ``session.json``; None if there is none, or it is not one.

    Raises
    ------
    SessionNewer
        If it was written in a format that this version does not know.
    """
    twice: list[str] = []
    try:
        content = _decoded(_text_of(folder / MANIFEST), twice)
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    _check_format(folder, content)
    if not isinstance(content.get("files"), dict) or len(content["files"]) > _MOST_FILES:
        return None
    faults = Faults()
    for name in twice:
        faults.add(Damage(MANIFEST, f"{shortened(name)} is told twice, and only the last is taken"))
    return Manifest(checked(content, faults), faults.found)


def _text_of(path: Path) -> bytes:
    if size_of(path) > _LARGEST:
        raise ValueError(f"{path} is too large for what it should be")
    with open_file(path) as file:
        return file.read(_LARGEST)


def _decoded(text: bytes, twice: list[str]) -> Any:
    """Decode JSON that anybody may have written, and name the fields that an object has twice.

    Raises
    ------
    ValueError, RecursionError
        If it is none, or would take far more memory or depth than any of ours.
    """
    if text.count(b",") + text.count(b"{") + text.count(b"[") > _MOST_VALUES:
        raise ValueError("it holds more than any of ours")
    if _depth(text) > _DEEPEST:
        raise ValueError("it is nested deeper than any of ours")

    def joined(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            twice.extend(name for name, count in counts.items() if count > 1)
        return found

    return json.loads(text, object_pairs_hook=joined, parse_constant=_finite, parse_float=_finite)


def _depth(text: bytes) -> int:
    """Measure how deep a JSON text is nested; brackets in its texts count, too."""
    depth = deepest = 0
    for start in range(0, len(text), _BLOCK):
        # makes [ ] equal to { }
        signs = np.frombuffer(text[start : start + _BLOCK], dtype=np.uint8) | 0x20
        steps = (signs == 0x7B).astype(np.int32) - (signs == 0x7D)
        depths = depth + np.cumsum(steps)
        deepest = max(deepest, int(depths.max()))
        depth = int(depths[-1])
    return deepest


def _finite(text: str) -> float:
    # JSON has no such number, ours neither, and it could not be written again.
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number of JSON")
    return number


def _check_format(folder: Path, content: Mapping[str, Any]) -> None:
    found = content.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise SessionNewer(
            f"{folder} was made by a newer version of kucoin-research "
            f"({str(content.get('package'))[:60]}, format {shortened(found)}); "
            f"this one reads formats up to {FORMAT}: upgrade kucoin-research to read it"
        )
