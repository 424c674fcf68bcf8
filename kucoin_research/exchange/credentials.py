"""API keys that cannot be shown by accident, and settings from ``.env``."""

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


# We read only these variables, so that no traceback of ours shows any other one.
_PREFIX = "KUCOIN_"

_MOST_BYTES = 1_000_000  # of a `.env`: a larger file is something else


def environment(path: str | os.PathLike[str] | None = None) -> Settings:
    """Merge the nearest ``.env`` with the environment; the environment wins.

    The nearest ``.env`` is that of the working folder, else of the nearest folder above it. The
    search goes up only while the folders belong to the user that this process runs as, and accepts
    there only a file of the same user. In the working folder the file may also belong to the
    folder's owner or to root. A file that everybody may change or replace is not read: it ends the
    search, with a warning in the log. The log names the file that is read (level INFO, once).

    Parameters
    ----------
    path
        A file to read instead of it, whoever owns it.

    Returns
    -------
    Settings
        The variables whose names begin with ``KUCOIN_``; its repr shows the names only.

    Raises
    ------
    InvalidInput
        If the ``.env`` cannot be read, or there is no file at ``path``. A line that makes no sense
        raises nothing: it is logged and left out.
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
            is_there = path.is_file()  # a folder of that name may be a virtual environment
            flaw = _distrust(path, is_here=folder == here) if is_there else None
        except OSError:  # we may not look into the folder
            return None
        if flaw is not None:
            _log_once(logging.WARNING, f"{path} is not read: {flaw}")
            return None
        if is_there:
            return path
    return None


def _distrust(path: Path, *, is_here: bool) -> str | None:
    """Return why a file that nobody named may be another user's doing; None if it is safe."""
    file, folder, link = path.stat(), path.parent.stat(), path.lstat()
    is_common = bool(folder.st_mode & stat.S_IWOTH)
    theirs = {0} if is_common else {0, folder.st_uid}
    # We check a link as well as its file: another user's link may lead to any file of mine.
    for each in (file, link):
        if not _is_mine(each) and not (is_here and each.st_uid in theirs):
            return "it belongs to another user"
    if not hasattr(os, "getuid"):  # on Windows these bits mean nothing
        return None
    if file.st_mode & stat.S_IWOTH:
        return "everybody may change it; chmod o-w, or name it by Credentials.from_env(path=...)"
    if is_common and not folder.st_mode & stat.S_ISVTX:
        return "everybody may replace it; chmod o-w its folder, or name it by path="
    return None


def _is_mine(found: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or found.st_uid == os.getuid()


_logged: set[str] = set()  # texts that the log has already


def _log_once(level: int, text: str) -> None:
    if text not in _logged:
        _logged.add(text)
        log.log(level, "%s", text)


def _from_file(path: Path) -> Settings:
    text = _text_of(path)
    # Sealed: the frames of the parser hold the file as text.
    values = sealed(lambda: Settings(_pairs(text)))
    _log_once(logging.INFO, f"settings are read from {path}")
    return values


def _pairs(text: Hidden[str]) -> dict[str, str]:
    found = dotenv_values(stream=io.StringIO(text.reveal()))
    return {name: value for name, value in found.items() if value}


def _text_of(path: Path) -> Hidden[str]:
    # We raise outside of the handlers: a decoding error, as a context, would quote the file.
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
    # Opened without waiting: with a pipe in the file's place, opening would wait for ever.
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
    refused; code must read the attributes on purpose. They are sent only to KuCoin's hosts or to
    this machine, and only with calls for private data.

    Parameters
    ----------
    key, secret, passphrase
        The three parts of the key; the passphrase is the one chosen when the key was made. Blanks
        around them are removed: they come from copying.
    key_version
        3, or 2 for an older key; KuCoin's page of API keys shows it.

    Raises
    ------
    InvalidInput
        If a part is empty or not text, the key has characters that no header can carry, or the
        version is neither 2 nor 3.
    """

    __slots__ = ("_hidden", "key_version")

    def __init__(self, key: str, secret: str, passphrase: str, *, key_version: int = 3) -> None:
        flaw = _flaw(key, secret, passphrase, key_version)
        # A traceback shows the variables of this frame, so they must be gone when we raise.
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

        ``KUCOIN_API_KEY_VERSION`` is optional; without it the version is 3.

        Parameters
        ----------
        environ
            The variables; the environment, then ``.env``, unless given.
        path
            The file to read instead of ``.env``. Without it, the ``.env`` is that of the working
            folder, or of a folder above that belongs to you, unless everybody may change it.

        Raises
        ------
        CredentialsMissing
            If variables are missing; the error names them.
        InvalidInput
            If a variable's value cannot be right; the error does not repeat it. Also if ``environ``
            does not hold texts by name, or ``path`` names no file.
        """
        flaw = None if environ is None else _flaw_of(environ)
        if environ is None:
            found = environment(path)
        elif flaw is None:
            held = (name for name in (*_NAMES, _VERSION) if environ.get(name) is not None)
            found = Settings({name: environ[name] for name in held})
        del environ  # as in __init__: no traceback may show it
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
        """Replace the three values by ``***`` in a text from elsewhere."""
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
    # Returns the fault in the parts of a key. It raises nothing: this frame holds them as text.
    *parts, version = values
    for name, value in zip(("key", "secret", "passphrase"), parts, strict=True):
        if not isinstance(value, str) or not value.strip():
            return f"the API {name} is empty or no text; all three of a KuCoin key are needed"
        if any("\ud800" <= character <= "\udfff" for character in value):
            return f"the API {name} has characters that are no text; copy it again"
    if not all("!" <= character <= "~" for character in str(parts[0]).strip()):
        return "the API key has characters that no KuCoin key has; copy it again"
    if isinstance(version, bool) or version not in (2, 3):
        given = f"not {shown(version)}" if isinstance(version, int | float) else "a number"
        return f"key_version must be 2 or 3, {given}"
    return None


def _flaw_of(environ: object) -> str | None:
    # Shows types only: a wrong argument may be the secret itself.
    if not isinstance(environ, Mapping):
        kind = type(environ).__name__
        return f"environ must hold texts by name, as os.environ does, not {kind}; a file is path="
    for name in (*_NAMES, _VERSION):
        value = environ.get(name)
        if value is not None and not isinstance(value, str):
            return f"{name} must be text, not {type(value).__name__}"
    return None


def held(credentials: object) -> Credentials | None:
    """Return an argument that should be credentials; call this first in a function.

    An argument of another type may hold secrets, which a traceback would show with the function's
    frame. So the function goes on with a placeholder, which ``refuse_other`` refuses.
    """
    if credentials is None or isinstance(credentials, Credentials):
        return credentials
    return _NoCredentials(type(credentials).__name__)  # type: ignore[return-value]


def refuse_other(credentials: Credentials | None) -> None:
    """Raise ``InvalidInput`` for the placeholder that ``held`` returns for another type."""
    if isinstance(credentials, _NoCredentials):
        raise InvalidInput(f"credentials must be kr.Credentials, not {credentials.kind}")


class _NoCredentials(NamedTuple):
    kind: str


def _refuse_to_be_pickled() -> NoReturn:
    raise InvalidInput("credentials are not pickled; read them again with from_env()")
