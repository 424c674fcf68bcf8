"""Writing Parquet in the hive layout, which polars, DuckDB and Dask read in place."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.arguments import path_of
from kucoin_research.foundation.regular_files import create, worded
from kucoin_research.model.records import file_mode
from kucoin_research.sessions.files.file_names import MANIFEST

__all__ = ["ParquetTarget", "Partition", "write", "write_archive"]

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_LONGEST = 200  # characters of a symbol; file systems allow names of 255 bytes
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Partition:
    """The rows of one Parquet file."""

    channel: str
    symbol: str | None
    day: str
    rows: pl.DataFrame


@dataclass(frozen=True, slots=True)
class ParquetTarget:
    """The place to write to: a folder on this machine, or a URL for polars."""

    folder: Path | None
    url: str
    name: str
    storage_options: dict[str, str] | None

    @classmethod
    def of(
        cls, folder: str | os.PathLike[str], part: str, storage_options: dict[str, str] | None
    ) -> Self:
        """Read a folder or URL.

        Raises
        ------
        InvalidInput
            If it is neither, or the files' name could lead elsewhere.
        """
        is_text = isinstance(part, str)
        if not is_text or not re.fullmatch(r"[\w.+-]+", part) or part.startswith("."):
            raise InvalidInput(f"part names a file, which {shown(part)} cannot")
        if not isinstance(folder, str):
            folder = path_of(folder, "folder")
        text = os.fspath(folder)
        name = f"{part}.parquet"
        if not _URL.match(text):
            return cls(path_of(text, "folder"), "", name, storage_options)
        url = urlsplit(text)
        if url.scheme.lower() == "file":
            if url.netloc not in ("", "localhost"):
                raise InvalidInput(f"a file:// URL is of this machine, not of {shown(url.netloc)}")
            return cls(Path(url2pathname(url.path)), "", name, storage_options)
        if not url.netloc:
            raise InvalidInput(f"{shown(text)} names no bucket; one is s3://bucket/folder")
        return cls(None, text.rstrip("/"), name, storage_options)

    def place(self, piece: Partition) -> str:
        """Return the path of a partition below the folder.

        Raises
        ------
        InvalidInput
            If its symbol is too long for a folder's name.
        """
        symbol = _NO_VALUE if piece.symbol is None else quote(piece.symbol, safe="")
        if len(symbol) > _LONGEST:
            raise InvalidInput(f"the symbol {shown(symbol)} is too long to name a folder")
        return f"channel={piece.channel}/symbol={symbol}/date={piece.day}/{self.name}"


def write_archive(
    pieces: Iterable[Partition],
    folder: str | os.PathLike[str],
    *,
    own: Iterable[Path],
    part: str = "part",
    storage_options: dict[str, str] | None = None,
) -> list[str]:
    """Write a session's rows below a folder or URL, which may not belong to a session.

    Parameters
    ----------
    pieces
        The rows.
    folder, part, storage_options
        See ``convert``.
    own
        The folders of the session itself.

    Raises
    ------
    InvalidInput, OSError
        See ``convert``.
    """
    target = ParquetTarget.of(folder, part, storage_options)
    if target.folder is not None:
        _refuse_sessions(target.folder, own)
    return write(pieces, target)


def _refuse_sessions(folder: Path, own: Iterable[Path]) -> None:
    """Refuse to write an archive into the folder of a session, this one's or another's."""
    refused = {each.resolve() for each in own}
    whole = folder.resolve()
    for each in (whole, *whole.parents):
        if each in refused or (each / MANIFEST).is_file():
            raise InvalidInput(
                f"folder={shown(str(folder))} is in the folder of a session, {each}, which holds "
                "what was recorded and nothing else; name one beside it"
            )


def write(pieces: Iterable[Partition], target: ParquetTarget) -> list[str]:
    """Write partitions; each file exists as a whole or not at all.

    Raises
    ------
    InvalidInput
        If one of the files exists already, or a store does not say whether it does; nothing is
        overwritten.
    OSError
        If a folder or a file cannot be made or written.
    """
    return [
        _write_remote(piece, target)
        if target.folder is None
        else _write_local(piece, target, target.folder)
        for piece in pieces
    ]


def _portable(rows: pl.DataFrame) -> pl.DataFrame:
    # Categories become text: Parquet stores it once per value anyway, and every reader knows it.
    types = {
        name: pl.String
        for name, dtype in rows.schema.items()
        if isinstance(dtype, pl.Categorical | pl.Enum)
    }
    types.pop("symbol", None)
    return rows.drop("symbol").cast(types)  # type: ignore[arg-type]


def _write_local(piece: Partition, target: ParquetTarget, folder: Path) -> str:
    path = folder / target.place(piece)
    if os.path.lexists(path):
        raise _is_there(path)
    try:
        _make_folders(folder, path.parent)
        _write_file(piece, path)
    except OSError as error:
        raise worded(error, f"{folder} cannot be written to", "choose another folder") from error
    return str(path)


def _write_file(piece: Partition, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with os.fdopen(create(temporary, mode=file_mode(piece.channel)), "wb") as file:
            _portable(piece.rows).write_parquet(file, compression="zstd")
        _put(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _make_folders(folder: Path, inner: Path) -> None:
    """Make the folders of a partition; none of them may be a link out of the archive."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        step = folder
        for name in inner.relative_to(folder).parts:
            step = step / name
            if step.is_symlink():
                raise InvalidInput(
                    f"{step} is a link, and may lead out of {folder}: convert to another folder"
                )
            step.mkdir(exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InvalidInput(
            f"{folder} cannot hold an archive: {error.filename} is a file"
        ) from error


def _put(temporary: Path, path: Path) -> None:
    # Unlike a rename, a link does not replace a file that has come there meanwhile.
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise _is_there(path) from None
    except OSError:  # on file systems without links
        temporary.replace(path)


def _is_there(place: Path | str) -> InvalidInput:
    return InvalidInput(
        f"{place} is there already; convert to another folder, or name this one with part="
    )


def _write_remote(piece: Partition, target: ParquetTarget) -> str:
    url = f"{target.url}/{target.place(piece)}"
    _refuse_if_there(url, target)
    _portable(piece.rows).write_parquet(
        url, compression="zstd", storage_options=target.storage_options
    )
    return url


def _refuse_if_there(url: str, target: ParquetTarget) -> None:
    # polars can find out only by reading the file; a file of another kind exists, too.
    try:
        pl.scan_parquet(
            url, storage_options=target.storage_options, glob=False, hive_partitioning=False
        ).collect_schema()
    except FileNotFoundError:
        return
    except OSError as error:
        first = str(error).partition("\n")[0]
        raise InvalidInput(
            f"whether {url} is there already cannot be told, so it is not written ({first}); "
            "reading must be allowed there, too"
        ) from error
    except pl.exceptions.PolarsError as error:
        raise _is_there(url) from error
    raise _is_there(url)
