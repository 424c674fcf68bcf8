"""A session's folder: its names, its ``session.json``, and who is writing it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kucoin_research.damage import Loss
from kucoin_research.errors import InvalidInput
from kucoin_research.instruments import Instrument
from kucoin_research.records import CHANNELS

__all__ = [
    "DAY_NS",
    "FORMAT",
    "MANIFEST",
    "NO_SYMBOL",
    "SUFFIXES",
    "FolderLock",
    "base_of",
    "csv_files",
    "day_of",
    "file_name",
    "folder_name",
    "from_iso",
    "identity_of",
    "instruments_from",
    "instruments_to",
    "is_being_recorded",
    "is_listed",
    "iso",
    "losses_from",
    "losses_to",
    "package_version",
    "read_manifest",
    "safe_name",
    "split_name",
    "strangers",
    "write_manifest",
]

FORMAT = 1
MANIFEST = "session.json"
#: Names the file of rows that belong to no symbol, as those of ``balance``.
NO_SYMBOL = "account"
DAY_NS = 86_400 * 10**9
SUFFIXES: dict[str | None, str] = {None: ".csv", "gzip": ".csv.gz", "zstd": ".csv.zst"}

_LOCK = ".recording"
_ABOUT = ("file", "channel", "symbol", "reason")  # of what is lost
_LONGEST = 80  # characters of one part of a name; file systems take 255 bytes
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAME = re.compile(r"(?P<rest>.+)_(?P<day>\d{4}-\d\d-\d\d)")
# What Windows keeps for devices, with any ending.
_RESERVED = re.compile(r"(?i)(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.|$)")


def package_version() -> str:
    """Give the version of this package."""
    return version("kucoin-research")


def safe_name(text: str) -> str:
    """Make a text fit to be part of a file name on every system; most stay as they are.

    Letters and digits of any script, ``-``, ``+`` and inner dots stay. All else, the underscore
    that separates the parts included, becomes ``%`` and the hexadecimal of its UTF-8 bytes, so no
    text can lead out of the folder. A very long one is cut and told apart by a hash.
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
    """Name the file of a symbol, channel and UTC day; ``status`` has a single one.

    Candles of all intervals share a file, as they have a column ``interval``. Rows without a symbol
    are named ``account``.
    """
    if channel == "status":
        return f"status{suffix}"
    return f"{NO_SYMBOL if symbol is None else safe_name(symbol)}_{channel}_{day}{suffix}"


def split_name(name: str) -> tuple[str | None, str, str | None] | None:
    """Tell the symbol (as the name spells it), channel and day of a file; None if it is none."""
    base = base_of(name)
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


def base_of(name: str) -> str | None:
    """Take the ending off the name of a CSV file, compressed or not; None for any other."""
    for suffix in SUFFIXES.values():
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return None


def csv_files(folder: Path) -> list[Path]:
    """List the files of a session's folder that hold rows, by name."""
    return sorted(path for path in folder.iterdir() if split_name(path.name) and path.is_file())


def is_listed(content: Mapping[str, Any] | None) -> bool:
    """Tell whether a ``session.json`` names every file of its session."""
    return content is not None and content.get("state") == "closed" and bool(content["files"])


def strangers(folder: Path, content: Mapping[str, Any] | None) -> list[Path]:
    """List the CSV files that a session whose files are all listed does not list.

    A copy beside its original would double the rows, and no one can tell what else holds.
    """
    if content is None or not is_listed(content):
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if base_of(path.name) is not None and path.name not in content["files"] and path.is_file()
    )


def folder_name(start_ns: int, symbols: Iterable[str]) -> str:
    """Name a session's folder: its start in UTC and its symbols, the first three of them."""
    names = [NO_SYMBOL if symbol == "*" else safe_name(symbol) for symbol in symbols]
    shown = names if len(names) <= 3 else [*names[:2], f"{len(names) - 2}-more"]
    start = f"{_datetime(start_ns):%Y-%m-%dT%H-%M-%SZ}"
    return "_".join([start, *shown])


def day_of(local_ns: int) -> str:
    """Give the UTC day of a time, ``YYYY-MM-DD``."""
    return f"{_datetime(local_ns):%Y-%m-%d}"


def _datetime(ns: int) -> datetime:
    # Any 64-bit time lies between the years 1677 and 2262.
    return _EPOCH + timedelta(microseconds=ns // 1_000)


def iso(ns: int) -> str:
    """Write a time, ns UTC, as ISO 8601 text with all nine digits."""
    return f"{_datetime(ns):%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09d}Z"


def from_iso(text: str) -> int:
    """Read what ``iso`` wrote, ns UTC.

    Raises
    ------
    InvalidInput
        If it is no such text.
    """
    whole, _, digits = text.removesuffix("Z").partition(".")
    try:
        moment = datetime.fromisoformat(whole).replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(seconds=1) * 10**9 + int(digits[:9].ljust(9, "0"))
    except ValueError:
        raise InvalidInput(f"{text!r} is no time such as 2026-11-25T19:21:17.000000000Z") from None


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Replace ``session.json`` as a whole: whatever happens, the old one or the new one is there.

    Raises
    ------
    OSError
        If it could not be written; the old one stays.
    """
    temporary = folder / f"{MANIFEST}.tmp"
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        with temporary.open("wb") as file:
            file.write(text.encode(errors="backslashreplace") + b"\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / MANIFEST)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":  # which cannot open folders, and renames durably by itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Read ``session.json``; None where there is none, or it is not one."""
    try:
        content = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict):
        return None
    return content


def instruments_to(instruments: Iterable[Instrument]) -> list[dict[str, Any]]:
    """Lay instruments out for ``session.json``."""
    return [asdict(each) | {"market": str(each.market)} for each in instruments]


def instruments_from(content: Mapping[str, Any]) -> dict[str, Instrument]:
    """Read the instruments of a ``session.json``, by symbol; fields of a newer version are left."""
    known = {field.name for field in fields(Instrument)}
    found = {}
    for each in content.get("instruments") or ():
        instrument = Instrument(**{key: value for key, value in each.items() if key in known})
        found[instrument.symbol] = instrument
    return found


def losses_to(losses: Iterable[Loss]) -> list[dict[str, Any]]:
    """Lay out for ``session.json`` what is lost, as its ``dropped``."""
    return [
        {"began": iso(loss.began), "ended": iso(loss.ended), "rows": loss.rows}
        | {key: value for key, value in loss._asdict().items() if key in _ABOUT and value}
        for loss in losses
    ]


def losses_from(content: Mapping[str, Any]) -> list[Loss]:
    """Read what is lost from a ``session.json``."""
    return [
        Loss(
            from_iso(each["began"]),
            from_iso(each["ended"]),
            each["rows"],
            **{key: each.get(key) for key in _ABOUT},
        )
        for each in content.get("dropped") or ()
    ]


# -- who is writing --------------------------------------------------------------------------------


def identity_of(path: Path) -> tuple[int, int] | None:
    """Tell a file or folder from any other that has its name, by device and inode.

    None where there is none.

    Raises
    ------
    OSError
        If it cannot be looked at.
    """
    try:
        return _identity(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


class FolderLock:
    """Marks a folder as being recorded, for as long as this process lives.

    The system lets go of it when the process ends, however it ends. A forked child does not share
    it, or it would hold the folder of a parent that is gone.

    Raises
    ------
    BlockingIOError
        If a living process holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _LOCK
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(self._handle)
        except OSError as error:
            os.close(self._handle)
            raise BlockingIOError(f"{folder} is being recorded by another process") from error
        self._identity = _identity(os.fstat(self._handle))
        _HELD.add(self)

    @property
    def is_in_place(self) -> bool:
        """Whether the mark is still the file in the folder; otherwise nobody sees it."""
        return self._handle >= 0 and identity_of(self._path) == self._identity

    @property
    def place(self) -> Path | None:
        """Where the mark is now, by what the system says of open files; None where it does not."""
        try:
            return Path(f"/proc/self/fd/{self._handle}").readlink()
        except OSError:
            return None

    def move_to(self, folder: Path) -> None:
        """Note that the folder has another name."""
        self._path = folder / _LOCK

    def release(self) -> None:
        """Let go, and remove the mark; may be called twice."""
        with contextlib.suppress(OSError):
            if self._handle >= 0 and self.is_in_place:
                self._path.unlink(missing_ok=True)
        self.drop()

    def drop(self) -> None:
        """Let go, and leave what is in the folder; may be called twice."""
        _HELD.discard(self)
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            with contextlib.suppress(OSError):
                os.close(handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


_HELD: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _drop_all() -> None:
    # Closing a copy of the handle leaves the parent's lock as it is.
    for lock in list(_HELD):
        lock.drop()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_all)

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_being_recorded(folder: Path) -> bool:
    """Tell whether a living process is writing a session's folder."""
    try:
        handle = os.open(folder / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        _lock(handle)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
