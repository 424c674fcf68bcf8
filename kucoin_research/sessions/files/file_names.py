"""The names of a session's folder and files, and the files that have them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from kucoin_research.foundation.regular_files import is_regular, kind_of
from kucoin_research.model.records import CHANNELS
from kucoin_research.model.units import datetime_of

__all__ = [
    "DAY_NS",
    "MANIFEST",
    "NO_SYMBOL",
    "SUFFIXES",
    "base_of",
    "csv_files",
    "day_of",
    "file_name",
    "folder_name",
    "irregular_files",
    "is_text",
    "safe_name",
    "split_name",
    "symbol_in",
]

MANIFEST = "session.json"
#: Names the file of rows that belong to no symbol, such as those of ``balance``.
NO_SYMBOL = "account"
DAY_NS = 86_400 * 10**9
SUFFIXES: dict[str | None, str] = {None: ".csv", "gzip": ".csv.gz", "zstd": ".csv.zst"}
_LONGEST = 80  # bytes of one part of a name; file systems allow 255 for all of it
_LEADS_OUT = re.compile(r"[/\\\0]")  # no file in the folder has such a character in its name
_NAME = re.compile(r"(?P<rest>.+)_(?P<day>\d{4}-\d\d-\d\d)")
# Names that Windows reserves for devices, with any ending.
_RESERVED = re.compile(r"(?i)(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)")


def safe_name(text: str) -> str:
    """Turn a text into a part of a file name that is valid on every system; most stay unchanged.

    Letters and digits of any script, ``-``, ``+`` and inner dots stay. Every other character,
    including the underscore that separates the parts, becomes ``%`` and the hexadecimal of its
    UTF-8 bytes. So no text can lead out of the folder. A very long text is cut, and a hash keeps it
    distinct.
    """
    kept = "".join(sign if sign.isalnum() or sign in "-+." else _percent(sign) for sign in text)
    if kept.startswith("."):
        kept = "%2E" + kept[1:]
    if kept.endswith("."):
        kept = kept[:-1] + "%2E"
    if _RESERVED.match(kept):
        kept = _percent(kept[0]) + kept[1:]
    if len(kept.encode()) > _LONGEST:
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
        kept = f"{kept.encode()[:_LONGEST].decode(errors='ignore')}~{digest}"
    return kept or "%"


def _percent(sign: str) -> str:
    return "".join(f"%{byte:02X}" for byte in sign.encode(errors="surrogatepass"))


def file_name(symbol: str | None, channel: str, day: str, suffix: str = ".csv") -> str:
    """Return the file name of a symbol, channel and UTC day; ``status`` has a single file.

    Candles of all intervals share a file, since they have a column ``interval``. The file of rows
    without a symbol is named ``account``.
    """
    if channel == "status":
        return f"status{suffix}"
    return f"{NO_SYMBOL if symbol is None else safe_name(symbol)}_{channel}_{day}{suffix}"


def split_name(name: str) -> tuple[str | None, str, str | None] | None:
    """Read the symbol (as spelled in the name), channel and day of a file; None if it is none."""
    base = base_of(name) if is_text(name) and not _LEADS_OUT.search(name) else None
    if base == "status":
        return None, "status", None
    found = _NAME.fullmatch(base or "")
    if found is None:
        return None
    for channel in sorted(CHANNELS, key=len, reverse=True):  # `stop_order` before `order`
        symbol, mark, nothing = found["rest"].rpartition(f"_{channel}")
        if mark and symbol and not nothing and "_" not in symbol:
            return symbol, channel, found["day"]
    return None


def symbol_in(name: str) -> str | None:
    """Read the symbol from a file's name; None for rows without one. A long one was cut."""
    spelled, _, _ = split_name(name) or (None, None, None)
    return None if spelled in (None, NO_SYMBOL) else unquote(str(spelled))


def base_of(name: str) -> str | None:
    """Remove the ending of a CSV file's name, compressed or not; None for any other name."""
    for suffix in SUFFIXES.values():
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return None


def csv_files(folder: Path) -> list[Path]:
    """List the files of a session's folder that hold rows, by name."""
    return sorted(path for path in folder.iterdir() if split_name(path.name) and is_regular(path))


def irregular_files(folder: Path) -> dict[str, str]:
    """List entries that are named like a file of rows but are a link, a pipe, …, and their kind."""
    found = {path.name: kind_of(path) for path in sorted(folder.iterdir()) if split_name(path.name)}
    return {name: what for name, what in found.items() if what is not None}


def folder_name(start_ns: int, symbols: Iterable[str]) -> str:
    """Name a session's folder: its start in UTC and its symbols, at most three of them."""
    names = [NO_SYMBOL if symbol == "*" else safe_name(symbol) for symbol in symbols]
    shown = names if len(names) <= 3 else [*names[:2], f"{len(names) - 2}-more"]
    start = f"{datetime_of(start_ns):%Y-%m-%dT%H-%M-%SZ}"
    return "_".join([start, *shown])


def day_of(local_ns: int) -> str:
    """Return the UTC day of a time, ``YYYY-MM-DD``."""
    return f"{datetime_of(local_ns):%Y-%m-%d}"


def is_text(value: object) -> bool:
    """Return whether a value is a text that UTF-8 can hold."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which no row can hold
        return False
    return True
