"""A session's folder: its names, its ``session.json``, and who is writing it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import reprlib
import secrets
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import compress
from operator import not_
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_args, get_type_hints
from urllib.parse import unquote

import numpy as np

from kucoin_research.errors import InvalidInput, SessionNewer, UnknownChannel, shown
from kucoin_research.foundation.forking import in_child
from kucoin_research.foundation.regular_files import (
    Irregular,
    create,
    is_regular,
    kind_of,
    open_file,
    open_handle,
    replace,
    size_of,
)
from kucoin_research.model.channels import Market, parse_channel
from kucoin_research.model.damage import Damage, Loss
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.records import CHANNELS
from kucoin_research.model.units import EPOCH, datetime_of

__all__ = [
    "DAY_NS",
    "FORMAT",
    "LOSS_FIELDS",
    "MANIFEST",
    "NO_SYMBOL",
    "SUFFIXES",
    "FolderLock",
    "Manifest",
    "base_of",
    "csv_files",
    "day_of",
    "file_name",
    "folder_name",
    "from_iso",
    "identity_of",
    "instrument_of",
    "instruments_from",
    "instruments_to",
    "irregular_files",
    "is_being_recorded",
    "is_listed",
    "is_text",
    "iso",
    "losses_from",
    "losses_to",
    "package_version",
    "read_manifest",
    "safe_name",
    "split_name",
    "strangers",
    "symbol_in",
    "write_manifest",
]

FORMAT = 1
MANIFEST = "session.json"
#: Names the file of rows that belong to no symbol, as those of ``balance``.
NO_SYMBOL = "account"
DAY_NS = 86_400 * 10**9
SUFFIXES: dict[str | None, str] = {None: ".csv", "gzip": ".csv.gz", "zstd": ".csv.zst"}

_LOCK = ".recording"
LOSS_FIELDS = ("file", "channel", "symbol", "reason")  # of what is lost
# Of a session.json; that of 100,000 files has 30 MB, and 900,000 values four deep.
_LARGEST = 64 << 20
_MOST_VALUES = 1_500_000
_MOST_FILES = 200_000
_DEEPEST = 64
_MOST_FAULTS = 1_000
_BLOCK = 1 << 20
_ATTEMPTS = 1_000  # to lock a folder at which others look
_LONGEST = 80  # characters of one part of a name; file systems take 255 bytes
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_LEADS_OUT = re.compile(r"[/\\\0]")  # of the folder: no name of a file has such
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
    """Tell whose file it is by its name; None for no symbol's. A long one was cut in its name."""
    spelled, _, _ = split_name(name) or (None, None, None)
    return None if spelled in (None, NO_SYMBOL) else unquote(str(spelled))


def base_of(name: str) -> str | None:
    """Take the ending off the name of a CSV file, compressed or not; None for any other."""
    for suffix in SUFFIXES.values():
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return None


def csv_files(folder: Path) -> list[Path]:
    """List the files of a session's folder that hold rows, by name."""
    return sorted(path for path in folder.iterdir() if split_name(path.name) and is_regular(path))


def irregular_files(folder: Path) -> dict[str, str]:
    """List what has the name of a file of rows, and is none: a link, a pipe, …; say what it is."""
    found = {path.name: kind_of(path) for path in sorted(folder.iterdir()) if split_name(path.name)}
    return {name: what for name, what in found.items() if what is not None}


def is_listed(content: Mapping[str, Any] | None) -> bool:
    """Tell whether a ``session.json`` names every file of its session."""
    return content is not None and content.get("state") == "closed"


def strangers(folder: Path, content: Mapping[str, Any] | None) -> list[Path]:
    """List the CSV files that a closed session does not list.

    They are not read: a copy beside its original would double the rows, and no one can tell what
    else holds.
    """
    if content is None or not is_listed(content):
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if base_of(path.name) is not None and path.name not in content["files"] and is_regular(path)
    )


def folder_name(start_ns: int, symbols: Iterable[str]) -> str:
    """Name a session's folder: its start in UTC and its symbols, the first three of them."""
    names = [NO_SYMBOL if symbol == "*" else safe_name(symbol) for symbol in symbols]
    shown = names if len(names) <= 3 else [*names[:2], f"{len(names) - 2}-more"]
    start = f"{datetime_of(start_ns):%Y-%m-%dT%H-%M-%SZ}"
    return "_".join([start, *shown])


def day_of(local_ns: int) -> str:
    """Give the UTC day of a time, ``YYYY-MM-DD``."""
    return f"{datetime_of(local_ns):%Y-%m-%d}"


def iso(ns: int) -> str:
    """Write a time, ns UTC, as ISO 8601 text with all nine digits."""
    return f"{datetime_of(ns):%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09d}Z"


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
        return (moment - EPOCH) // timedelta(seconds=1) * 10**9 + int(digits[:9].ljust(9, "0"))
    except ValueError:
        raise InvalidInput(
            f"{shown(text)} is no time such as 2026-11-25T19:21:17.000000000Z"
        ) from None


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
    if sys.platform == "win32":  # which cannot open folders, and renames durably by itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# -- what it says ----------------------------------------------------------------------------------


class Manifest(dict[str, Any]):
    """What a ``session.json`` says, as far as it is of the kinds that a recorder writes.

    Fields of another kind are left out.

    Attributes
    ----------
    faults
        What was left out, or is missing though every recorder writes it: whatever is compared with
        it cannot be.
    """

    def __init__(self, content: Mapping[str, Any], faults: Iterable[Damage] = ()) -> None:
        super().__init__(content)
        self.faults = tuple(faults)


def read_manifest(folder: Path) -> Manifest | None:
    """Read ``session.json``; None where there is none, or it is not one.

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
    faults = _Faults()
    for name in twice:
        faults.add(Damage(MANIFEST, f"{_shown(name)} is told twice, and only the last is taken"))
    return Manifest(_checked(content, faults), faults.found)


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
        If it is none, or one that would take far more memory or depth than any of ours.
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
        signs = np.frombuffer(text[start : start + _BLOCK], dtype=np.uint8) | 0x20  # as [ ] are { }
        steps = (signs == 0x7B).astype(np.int32) - (signs == 0x7D)
        depths = depth + np.cumsum(steps)
        deepest = max(deepest, int(depths.max()))
        depth = int(depths[-1])
    return deepest


def _finite(text: str) -> float:
    # Which neither JSON nor ours have, and which could not be written again.
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number of JSON")
    return number


class _Faults:
    """What is wrong in a manifest; beyond some, that there is more."""

    def __init__(self) -> None:
        self.found: list[Damage] = []

    def add(self, damage: Damage) -> None:
        if len(self.found) < _MOST_FAULTS:
            self.found.append(damage)
        elif len(self.found) == _MOST_FAULTS:
            self.found.append(Damage(MANIFEST, "there is more in it that cannot be used"))


def _shown(value: object) -> str:
    """Show a value in a sentence, however large it is."""
    return _SHORT.repr(value)


def _check_format(folder: Path, content: Mapping[str, Any]) -> None:
    found = content.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise SessionNewer(
            f"{folder} was made by a newer version of kucoin-research "
            f"({str(content.get('package'))[:60]}, format {_shown(found)}); "
            f"this one reads formats up to {FORMAT}: upgrade kucoin-research to read it"
        )


def _checked(content: Mapping[str, Any], faults: _Faults) -> dict[str, Any]:
    kept = _of_kind(content, _FIELDS, _ALWAYS, lambda text: faults.add(Damage(MANIFEST, text)))
    for key, check in _LISTS.items():
        if key in kept:
            are_right = list(map(check, kept[key]))
            for each in compress(kept[key], map(not_, are_right)):
                faults.add(Damage(MANIFEST, f"{key} holds {_shown(each)}, which is none"))
            kept[key] = list(compress(kept[key], are_right))
    kept["files"] = {
        name: _checked_entry(name, entry, faults) for name, entry in content["files"].items()
    }
    return kept


def _checked_entry(name: str, entry: object, faults: _Faults) -> dict[str, Any]:
    _, channel, day = split_name(name) or (None, None, None)
    given = entry if isinstance(entry, dict) else {}
    symbol = given["symbol"] if is_text(given.get("symbol")) else symbol_in(name)

    def fault(text: str) -> None:
        faults.add(Damage(name, text, channel, symbol))

    kept = _of_kind(given, _ENTRY_FIELDS, _ENTRY_ALWAYS, fault)
    for key, named in (("channel", channel), ("day", day)):
        if channel is not None and kept.get(key, named) != named:
            told = _shown(kept.pop(key))
            fault(f"{MANIFEST} says that it is of {told}, which its name does not")
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
            fault(f"{key} is {_shown(content[key])} in {MANIFEST} instead of {kind}")
            del kept[key]
    return kept


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which no row holds
        return False
    return True


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
    kinds = get_type_hints(Instrument)
    try:
        instrument_of(value)
    except (TypeError, ValueError):
        return False
    return all(_fits(each, kinds[key]) for key, each in value.items() if key in kinds)


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


def instruments_to(instruments: Iterable[Instrument]) -> list[dict[str, Any]]:
    """Lay instruments out for ``session.json``."""
    return [asdict(each) | {"market": str(each.market)} for each in instruments]


def instruments_from(content: Mapping[str, Any]) -> dict[str, Instrument]:
    """Read the instruments of a ``session.json``, by symbol; fields of a newer version are left."""
    found = map(instrument_of, content.get("instruments") or ())
    return {instrument.symbol: instrument for instrument in found}


def instrument_of(listed: Mapping[str, Any]) -> Instrument:
    known = {field.name for field in fields(Instrument)}
    return Instrument(**{key: value for key, value in listed.items() if key in known})


def losses_to(losses: Iterable[Loss]) -> list[dict[str, Any]]:
    """Lay out for ``session.json`` what is lost, as its ``dropped``."""
    return [
        {"began": iso(loss.began), "ended": iso(loss.ended), "rows": loss.rows}
        | {key: value for key, value in loss._asdict().items() if key in LOSS_FIELDS and value}
        for loss in losses
    ]


def losses_from(content: Mapping[str, Any]) -> list[Loss]:
    """Read what is lost from a ``session.json``."""
    return [
        Loss(
            from_iso(each["began"]),
            from_iso(each["ended"]),
            each["rows"],
            **{key: each.get(key) for key in LOSS_FIELDS},
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
        self._handle = _open_mark(self._path)
        try:
            _take(self._handle)
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


def _open_mark(path: Path) -> int:
    """Open the mark, or make it; one that is no file is nobody's, and goes."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):
            try:
                return open_handle(path, os.O_RDWR)
            except Irregular:
                _clear(path)
        with contextlib.suppress(FileExistsError):
            return create(path)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"{path.name}.{secrets.token_hex(8)}.orig"))
    else:
        path.unlink(missing_ok=True)


_HELD: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _drop_all() -> None:
    # Closing a copy of the handle leaves the parent's lock as it is.
    for lock in list(_HELD):
        lock.drop()


in_child(_drop_all)

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    _share = _take = _lock  # there is no other kind
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _share(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def _take(handle: int) -> None:
        # Who only looks whether the folder is being recorded shares the lock for a moment.
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(OSError):
                _lock(handle)
                return
            _share(handle)  # fails where it is no mere look
        _lock(handle)


def is_being_recorded(folder: Path) -> bool:
    """Tell whether a living process is writing a session's folder."""
    try:
        handle = open_handle(folder / _LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        # Shared, or two who look at the same time would take each other for a recorder.
        _share(handle)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
