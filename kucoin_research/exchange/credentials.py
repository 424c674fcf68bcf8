"""API keys, held so that they cannot be shown by accident, and settings from ``.env``."""

from __future__ import annotations

import errno
import io
import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn, Self

from dotenv import dotenv_values

from kucoin_research.errors import CredentialsMissing, InvalidInput, shown
from kucoin_research.foundation.hidden import Hidden, Settings, masked, sealed, surroundings

__all__ = ["Credentials", "environment", "held", "refuse_other"]

log = logging.getLogger(__name__)

_NAMES = ("KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_PASSPHRASE")
_VERSION = "KUCOIN_API_KEY_VERSION"


# Only these leave the environment: whatever else it holds shows in no traceback of ours.
_PREFIX = "KUCOIN_"

_MOST_BYTES = 1_000_000  # of a `.env`: more is something else


def environment(path: str | os.PathLike[str] | None = None) -> Settings:
    """Merge the nearest ``.env`` with the environment, which wins.

    The working folder's is read, else that of the nearest folder above it. The search goes up only
    while the folders belong to the user that this process runs as, and takes there only a file of
    the same user. In the working folder the file may also belong to the folder's owner or to root.
    A file that everybody may change or put there is not read, and ends the search, with a warning
    in the log. The log names the file that is read (level INFO, once).

    Parameters
    ----------
    path
        A file to read instead, whoever owns it.

    Returns
    -------
    Settings
        The variables whose names begin with ``KUCOIN_``; its repr shows the names only.

    Raises
    ------
    InvalidInput
        If there is a ``.env`` that cannot be read, or none at ``path``; a line in it that means
        nothing is logged and left out.
    """
    found = _nearest() if path is None else _named(path)
    values = Settings({}) if found is None else _from_file(found)
    own = surroundings(lambda name: name.startswith(_PREFIX))
    return Settings({**{name: values[name] for name in values if name.startswith(_PREFIX)}, **own})


def _named(path: object) -> Path:
    if not isinstance(path, str | os.PathLike) or "\0" in str(path):
        raise InvalidInput(f"path must be that of a file of settings, not {shown(path)}")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # there is no such user
        raise InvalidInput(f"path={shown(path)} is no path: {error}") from None


def _nearest() -> Path | None:
    try:
        here = Path.cwd()
    except OSError:  # it has been removed
        return None
    for folder in (here, *here.parents):
        try:
            if folder != here and not _is_mine(folder.stat()):
                return None
            path = folder / ".env"
            is_there = path.is_file()  # some call their virtual environment so
            flaw = _distrust(path, is_here=folder == here) if is_there else None
        except OSError:  # nobody may look
            return None
        if flaw is not None:
            _tell_once(logging.WARNING, f"{path} is not read: {flaw}")
            return None
        if is_there:
            return path
    return None


def _distrust(path: Path, *, is_here: bool) -> str | None:
    """Say why a file that was found, and not named, may be somebody else's doing."""
    file, folder, link = path.stat(), path.parent.stat(), path.lstat()
    is_common = bool(folder.st_mode & stat.S_IWOTH)
    theirs = {0} if is_common else {0, folder.st_uid}
    # Of a link, too: somebody else's may lead to any file of mine.
    for each in (file, link):
        if not _is_mine(each) and not (is_here and each.st_uid in theirs):
            return "it belongs to another user"
    if not hasattr(os, "getuid"):  # Windows tells nothing by these bits
        return None
    if file.st_mode & stat.S_IWOTH:
        return "everybody may change it; chmod o-w, or name it by Credentials.from_env(path=...)"
    if is_common and not folder.st_mode & stat.S_ISVTX:
        return "everybody may replace it; chmod o-w its folder, or name it by path="
    return None


def _is_mine(found: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or found.st_uid == os.getuid()


_told: set[str] = set()  # so that each is logged once


def _tell_once(level: int, text: str) -> None:
    if text not in _told:
        _told.add(text)
        log.log(level, "%s", text)


def _from_file(path: Path) -> Settings:
    text = _text_of(path)
    # Sealed: the frames of what reads it hold it as text.
    values = sealed(lambda: Settings(_pairs(text)))
    _tell_once(logging.INFO, f"settings are read from {path}")
    return values


def _pairs(text: Hidden[str]) -> dict[str, str]:
    found = dotenv_values(stream=io.StringIO(text.reveal()))
    return {name: value for name, value in found.items() if value}


def _text_of(path: Path) -> Hidden[str]:
    # What is raised here is raised outside of handlers: a decoding error quotes the file.
    flaw = ""
    try:
        # "-sig": Windows editors like to begin a file with a byte order mark.
        return sealed(lambda: Hidden(_bytes_of(path).decode("utf-8-sig")))
    except OSError as error:
        flaw = f"cannot be read ({error.strerror or type(error).__name__}); mend or remove it"
    except UnicodeDecodeError:
        flaw = "is not UTF-8 text; save it as UTF-8"
    raise InvalidInput(f"{path} {flaw}")


def _bytes_of(path: Path) -> bytes:
    # Opened without waiting: a pipe in its place would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(errno.EFBIG, "it is larger than 1 MB")
    return content


class Credentials:
    """A KuCoin API key with its secret and passphrase.

    None of the three shows in ``repr``, ``str`` or a dump of the object's state, and pickling is
    refused: they are read through the attributes, on purpose. They are sent to KuCoin's hosts or to
    this machine only, and only where something private is asked for.

    Parameters
    ----------
    key, secret, passphrase
        As KuCoin gave them; the passphrase is the one chosen for the key. Blanks around them are
        taken off: they come from copying.
    key_version
        3, or 2 for a key made before; KuCoin's page of API keys tells it.

    Raises
    ------
    InvalidInput
        If one is empty or not text, the key has characters that no header can carry, or the
        version is neither.
    """

    __slots__ = ("_hidden", "key_version")

    def __init__(self, key: str, secret: str, passphrase: str, *, key_version: int = 3) -> None:
        flaw = _flaw(key, secret, passphrase, key_version)
        # What is raised shows the variables of this frame, so it must not hold them any more.
        if flaw is None:
            self._hidden = tuple(Hidden(each.strip()) for each in (key, secret, passphrase))
            self.key_version = key_version
        del key, secret, passphrase, key_version
        if flaw is not None:
            raise InvalidInput(flaw)

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Read ``KUCOIN_API_KEY``, ``KUCOIN_API_SECRET`` and ``KUCOIN_PASSPHRASE``.

        ``KUCOIN_API_KEY_VERSION`` is read where it is set; else it is 3.

        Parameters
        ----------
        environ
            Where to look; the environment, then ``.env``, unless given.
        path
            The file to read in the place of ``.env``. Else it is that of the working folder, or of
            a folder above that belongs to you, unless everybody may change it.

        Raises
        ------
        CredentialsMissing
            Naming the variables that are missing.
        InvalidInput
            If one holds what cannot be right; its value is not repeated. If ``environ`` holds no
            texts by name, or ``path`` names no file.
        """
        flaw = None if environ is None else _flaw_of(environ)
        if environ is None:
            found = environment(path)
        elif flaw is None:
            held = (name for name in (*_NAMES, _VERSION) if environ.get(name) is not None)
            found = Settings({name: environ[name] for name in held})
        del environ  # see __init__
        if flaw is not None:
            raise InvalidInput(flaw)
        missing = [name for name in _NAMES if not found.get(name, "").strip()]
        if missing:
            raise CredentialsMissing(
                f"{', '.join(missing)} not set; put them into the environment or a file .env, "
                "which `kucoin-research init` makes"
            )
        if found.get(_VERSION, "").strip() not in ("", "2", "3"):
            raise InvalidInput(f"{_VERSION} must be 2 or 3, or left empty")
        version = int(found.get(_VERSION, "").strip() or 3)
        return cls(*(found[name] for name in _NAMES), key_version=version)

    @property
    def key(self) -> str:
        """The key's id."""
        return self._reveal(0)

    @property
    def secret(self) -> str:
        """The signing secret."""
        return self._reveal(1)

    @property
    def passphrase(self) -> str:
        """The passphrase."""
        return self._reveal(2)

    def _reveal(self, part: int) -> str:
        return self._hidden[part].reveal()

    def mask(self, text: str) -> str:
        """Replace the three values in a text that came from elsewhere by ``***``."""
        return masked(text, self._hidden)

    def __repr__(self) -> str:
        return "Credentials(key=***, secret=***, passphrase=***)"

    def __copy__(self) -> Self:
        return self  # it never changes

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        _refuse_to_be_pickled()

    def __getstate__(self) -> NoReturn:
        _refuse_to_be_pickled()


def _flaw(*values: object) -> str | None:
    # Says what is wrong with the parts of a key; raises nothing, for the frame holds them as text.
    *parts, version = values
    for name, value in zip(("key", "secret", "passphrase"), parts, strict=True):
        if not isinstance(value, str) or not value.strip():
            return f"the API {name} is empty or no text; all three of a KuCoin key are needed"
        if any("\ud800" <= character <= "\udfff" for character in value):
            return f"the API {name} has characters that are no text; copy it again"
    if not all("!" <= character <= "~" for character in str(parts[0]).strip()):
        return "the API key has characters that no KuCoin key has; copy it again"
    if isinstance(version, bool) or version not in (2, 3):
        told = f"not {shown(version)}" if isinstance(version, int | float) else "a number"
        return f"key_version must be 2 or 3, {told}"
    return None


def _flaw_of(environ: object) -> str | None:
    # Shows types only: who gives something else may have given the secret.
    if not isinstance(environ, Mapping):
        kind = type(environ).__name__
        return f"environ must hold texts by name, as os.environ does, not {kind}; a file is path="
    for name in (*_NAMES, _VERSION):
        value = environ.get(name)
        if value is not None and not isinstance(value, str):
            return f"{name} must be text, not {type(value).__name__}"
    return None


def held(credentials: object) -> Credentials | None:
    """Take an argument that is meant for credentials, first thing in a function.

    What is of another type may hold secrets that the function's frame would show in a traceback, so
    the function goes on with a placeholder, which ``refuse_other`` refuses.
    """
    if credentials is None or isinstance(credentials, Credentials):
        return credentials
    return _NoCredentials(type(credentials).__name__)  # type: ignore[return-value]


def refuse_other(credentials: Credentials | None) -> None:
    """Raise ``InvalidInput`` for what ``held`` has put in the place of something else."""
    if isinstance(credentials, _NoCredentials):
        raise InvalidInput(f"credentials must be kr.Credentials, not {credentials.kind}")


class _NoCredentials(NamedTuple):
    kind: str


def _refuse_to_be_pickled() -> NoReturn:
    raise InvalidInput("credentials are not pickled; read them again with from_env()")
