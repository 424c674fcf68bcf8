"""Keeps the last symbol list of each exchange on disk, so that its symbols are known offline."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from kucoin_research.foundation.hidden import surroundings
from kucoin_research.foundation.regular_files import open_file
from kucoin_research.foundation.typed_json import decoder
from kucoin_research.model.channels import Market
from kucoin_research.model.instruments import Instrument

__all__ = ["Listing", "ListingFiles", "cache_folder"]

log = logging.getLogger(__name__)

_FORMAT = 1
_LARGEST = 64 << 20  # bytes; the list of 1,500 symbols has 1 MB


class Listing(NamedTuple):
    """The instruments of a market, and when they were read, ns UTC."""

    read_at: int
    instruments: dict[str, Instrument]


class _File(msgspec.Struct):
    format: int
    url: str
    market: Market
    read_at: int
    instruments: list[Instrument]


_PLACES = ("XDG_CACHE_HOME", "LOCALAPPDATA")  # variables that name a folder for caches


def cache_folder(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """Return the platform's folder for files that may be lost.

    Parameters
    ----------
    environ
        The environment, ``os.environ`` unless given.
    platform
        As in ``sys.platform``.

    Returns
    -------
    Path
        ``kucoin_research`` in ``XDG_CACHE_HOME`` wherever that is set, else in ``LOCALAPPDATA`` on
        Windows, in ``~/Library/Caches`` on macOS and in ``~/.cache`` elsewhere. It may not exist.
    """
    environ = surroundings(_PLACES.__contains__) if environ is None else environ
    chosen = environ.get("XDG_CACHE_HOME", "")
    if platform == "win32":
        chosen = chosen or environ.get("LOCALAPPDATA", "")
    # The XDG specification: ignore a path that is not absolute.
    if chosen and Path(chosen).is_absolute():
        return Path(chosen) / "kucoin_research"
    home = Path.home()
    usual = {"win32": home / "AppData" / "Local", "darwin": home / "Library" / "Caches"}
    return usual.get(platform, home / ".cache") / "kucoin_research"


class ListingFiles:
    """Keeps symbol lists on disk, in one JSON file per exchange and market.

    A file that is cut short, corrupt or of another format counts as missing, and is written again.

    Parameters
    ----------
    folder
        The folder of the files, made when first needed; ``cache_folder()`` unless given.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def path(self, url: str, market: Market) -> Path:
        """Return the path of a market's file, by the exchange's address."""
        host = re.sub(r"[^a-z0-9.-]", "_", urlsplit(url).netloc.lower())
        return (self._folder or cache_folder()) / f"symbols_{market}_{host}.json"

    def load(self, url: str, market: Market) -> Listing | None:
        """Read a market's list; None if there is none, or its file is not valid."""
        try:
            content = decoder(_File).decode(_read(self.path(url, market)))
        except (OSError, RuntimeError, ValueError, msgspec.MsgspecError) as error:
            if not isinstance(error, FileNotFoundError):
                log.info("no symbol list on disk: %s", error)
            return None
        if (content.format, content.url, content.market) != (_FORMAT, url, market):
            return None
        return Listing(content.read_at, {each.symbol: each for each in content.instruments})

    def store(self, url: str, market: Market, listing: Listing) -> None:
        """Write a market's list, completely or not at all; errors of the disk are only logged."""
        content = _File(_FORMAT, url, market, listing.read_at, list(listing.instruments.values()))
        try:
            path = self.path(url, market)
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, msgspec.json.encode(content))
        except (OSError, RuntimeError) as error:  # RuntimeError: there is no home folder
            log.warning("the symbol list could not be kept: %s", error)


def _read(path: Path) -> bytes:
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > _LARGEST:
            raise ValueError(f"{path} is too large for what it should be")
        return file.read(_LARGEST)


def _replace(path: Path, content: bytes) -> None:
    # In the same folder, so that the last step is a rename: readers see the old file or the new.
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
