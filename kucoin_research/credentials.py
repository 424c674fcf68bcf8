"""API keys, held so that they cannot be shown by accident, and settings from ``.env``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NoReturn, Self

from dotenv import dotenv_values, find_dotenv

from kucoin_research.errors import InvalidInput

__all__ = ["Credentials", "environment"]

_NAMES = ("KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_PASSPHRASE")


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


class Credentials:
    """A KuCoin API key with its secret and passphrase.

    None of the three shows in ``repr``, ``str``, pickles or copies of the object's state: they are
    read through the attributes, on purpose.

    Parameters
    ----------
    key, secret, passphrase
        As KuCoin gave them. Blanks around them are taken off: they come from copying.

    Raises
    ------
    InvalidInput
        If one is empty or not text.
    """

    __slots__ = ("_key", "_passphrase", "_secret")

    def __init__(self, key: str, secret: str, passphrase: str) -> None:
        for name, value in zip(
            ("key", "secret", "passphrase"), (key, secret, passphrase), strict=True
        ):
            if not isinstance(value, str) or not value.strip():
                raise InvalidInput(
                    f"the API {name} is empty or no text; all three of a KuCoin key are needed"
                )
        self._key, self._secret = key.strip(), secret.strip()
        self._passphrase = passphrase.strip()

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read ``KUCOIN_API_KEY``, ``KUCOIN_API_SECRET`` and ``KUCOIN_PASSPHRASE``.

        Parameters
        ----------
        environ
            Where to look; the environment, then ``.env``, unless given.

        Raises
        ------
        InvalidInput
            Naming the variables that are missing.
        """
        found = environment() if environ is None else environ
        missing = [name for name in _NAMES if not found.get(name, "").strip()]
        if missing:
            raise InvalidInput(
                f"{', '.join(missing)} not set; put them into the environment or into a file .env"
            )
        return cls(*(found[name] for name in _NAMES))

    @property
    def key(self) -> str:
        """The key's id."""
        return self._key

    @property
    def secret(self) -> str:
        """The signing secret."""
        return self._secret

    @property
    def passphrase(self) -> str:
        """The passphrase."""
        return self._passphrase

    def __repr__(self) -> str:
        return "Credentials(key=***, secret=***, passphrase=***)"

    def __reduce__(self) -> NoReturn:
        raise InvalidInput("credentials are not pickled; read them again with from_env()")

    def __getstate__(self) -> NoReturn:
        self.__reduce__()

    def __copy__(self) -> Self:
        return self  # it cannot be changed

    def __deepcopy__(self, memo: object) -> Self:
        return self
