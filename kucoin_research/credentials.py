"""API keys, held so that they cannot be shown by accident, and settings from ``.env``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NoReturn, Self

from dotenv import dotenv_values, find_dotenv

from kucoin_research.errors import CredentialsMissing, InvalidInput

__all__ = ["Credentials", "environment"]

_NAMES = ("KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_PASSPHRASE")
_VERSION = "KUCOIN_API_KEY_VERSION"


# Only these leave the environment: whatever else it holds shows in no traceback of ours.
_PREFIX = "KUCOIN_"


def environment() -> dict[str, str]:
    """Merge the nearest ``.env`` (this folder or one above) with the environment, which wins.

    Returns
    -------
    dict[str, str]
        The variables whose names begin with ``KUCOIN_``.

    Raises
    ------
    InvalidInput
        If there is a ``.env`` that cannot be read; a line in it that means nothing is logged and
        left out.
    """
    found = {**_from_file(), **os.environ}
    return {name: value for name, value in found.items() if name.startswith(_PREFIX)}


def _from_file() -> dict[str, str]:
    path = find_dotenv(usecwd=True)
    if not path:
        return {}
    try:
        # "-sig": Windows editors like to begin a file with a byte order mark.
        values = dotenv_values(path, encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidInput(f"{path} cannot be read ({reason}); mend or remove it") from error
    except UnicodeDecodeError:  # its text quotes the file, which holds keys: no chaining
        raise InvalidInput(f"{path} is not UTF-8 text; save it as UTF-8") from None
    return {name: value for name, value in values.items() if value}


class _Hidden:
    """A text that shows as ``***`` wherever an object is dumped."""

    __slots__ = ("reveal",)

    def __init__(self, text: str) -> None:
        self.reveal: Callable[[], str] = lambda: text  # a closure: no dump of attributes finds it

    def __repr__(self) -> str:
        return "'***'"

    def __reduce__(self) -> NoReturn:
        _refuse_to_be_pickled()


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
        values = (key, secret, passphrase)
        for name, value in zip(("key", "secret", "passphrase"), values, strict=True):
            if not isinstance(value, str) or not value.strip():
                raise InvalidInput(
                    f"the API {name} is empty or no text; all three of a KuCoin key are needed"
                )
        if not all("!" <= character <= "~" for character in key.strip()):
            raise InvalidInput("the API key has characters that no KuCoin key has; copy it again")
        if isinstance(key_version, bool) or key_version not in (2, 3):
            raise InvalidInput(f"key_version must be 2 or 3, not {key_version!r}")
        self._hidden = tuple(_Hidden(value.strip()) for value in values)
        self.key_version = key_version

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read ``KUCOIN_API_KEY``, ``KUCOIN_API_SECRET`` and ``KUCOIN_PASSPHRASE``.

        ``KUCOIN_API_KEY_VERSION`` is read where it is set; else it is 3.

        Parameters
        ----------
        environ
            Where to look; the environment, then ``.env``, unless given.

        Raises
        ------
        CredentialsMissing
            Naming the variables that are missing.
        InvalidInput
            If one holds what cannot be right; its value is not repeated.
        """
        found = environment() if environ is None else environ
        missing = [name for name in _NAMES if not found.get(name, "").strip()]
        if missing:
            raise CredentialsMissing(
                f"{', '.join(missing)} not set; put them into the environment or into a file .env"
            )
        version = found.get(_VERSION, "").strip() or "3"
        if version not in ("2", "3"):
            raise InvalidInput(f"{_VERSION} must be 2 or 3, or left empty")
        return cls(*(found[name] for name in _NAMES), key_version=int(version))

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
        for hidden in self._hidden:
            text = text.replace(hidden.reveal(), "***")
        return text

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


def _refuse_to_be_pickled() -> NoReturn:
    raise InvalidInput("credentials are not pickled; read them again with from_env()")
