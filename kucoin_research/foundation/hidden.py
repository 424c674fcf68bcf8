"""Holds secrets so that neither a dump of a variable nor a verbose traceback shows them.

Notebooks keep the tracebacks that they show, and verbose ones show the variables of every frame. So
no variable of ours holds a secret as text. It is ``Hidden``, and revealed only within the
expression that needs it. Code that passes a secret to a library, whose frames hold it as text, is
called by ``sealed``: an error leaves without those frames.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, NoReturn, TypeVar
from urllib.parse import quote, quote_plus

__all__ = ["Hidden", "Settings", "bare", "masked", "sealed", "surroundings"]

E = TypeVar("E", bound=BaseException)
T = TypeVar("T")
V = TypeVar("V", str, bytes)


class Hidden(Generic[V]):
    """A text or bytes that show as ``***`` wherever an object is dumped.

    Parameters
    ----------
    value
        The secret.

    Attributes
    ----------
    reveal
        A function that returns the secret. Call it within the expression that needs the secret, and
        keep the result in no variable.
    """

    __slots__ = ("reveal",)

    def __init__(self, value: V) -> None:
        # A bound method of the value itself, written in C, so there is no attribute, closure cell
        # or frame that a dump could show.
        reveal: Callable[[], Any] = value.__str__ if isinstance(value, str) else value.__bytes__
        self.reveal: Callable[[], V] = reveal

    def __repr__(self) -> str:
        return "'***'"

    def __reduce__(self) -> NoReturn:
        raise TypeError("what is hidden is not pickled; read it again where it came from")


class Settings(Mapping[str, str]):
    """A mapping of names to texts; dumps show the names only.

    Parameters
    ----------
    values
        The texts by name.
    """

    __slots__ = ("_hidden",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._hidden = {name: Hidden(value) for name, value in values.items()}

    def __getitem__(self, name: str) -> str:
        return self._hidden[name].reveal()

    def __iter__(self) -> Iterator[str]:
        return iter(self._hidden)

    def __len__(self) -> int:
        return len(self._hidden)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}=***' for name in self)})"


def surroundings(is_wanted: Callable[[str], bool]) -> Settings:
    """Read variables from the environment.

    Verbose tracebacks of IPython show the value of each attribute that a statement names. So a
    statement that can raise must not name ``os.environ``.

    Parameters
    ----------
    is_wanted
        Called with each name; returns whether to include the variable.
    """
    return Settings({name: value for name, value in os.environ.items() if is_wanted(name)})


def masked(text: str, secrets: Iterable[Hidden[str]]) -> str:
    """Replace secrets by ``***`` in a text that came from elsewhere.

    Secrets are found in upper and lower case, verbatim, and as written in HTML, URLs (quoted once
    or more), JSON, base64 and hexadecimal.
    """
    secrets = list(secrets)
    # Exact spellings first: the loose ones leave the signs at a secret's begin and end.
    for spell in (_exactly, _loosely):
        found = {each for secret in secrets for each in spell(secret.reveal())}
        for spelling in sorted(found, key=len, reverse=True):
            text = re.sub(spelling, "***", text, flags=re.IGNORECASE)
    return text


def _exactly(secret: str) -> Iterator[str]:
    """Return expressions that find a secret verbatim, and as libraries write it."""
    if not secret.strip():
        return
    for text in (secret, " ".join(secret.split())):
        spelled = (text, quote(text), quote(text, safe=""), quote_plus(text), html.escape(text))
        yield from map(re.escape, (*spelled, json.dumps(text)[1:-1], repr(text)[1:-1]))


_ENOUGH = 8  # fewer letters and digits than this would also match other texts
# The ways in which a server may write a character that is no ASCII letter or digit.
_SIGN = r"%(?:25){0,3}[0-9a-f]{2}|\\+[ux][0-9a-f]{2,4}|&#?\w{1,8};|[^0-9a-z]"


def _loosely(secret: str) -> Iterator[str]:
    """Return expressions for a secret in other encodings, or with other signs between words."""
    words = re.findall("[0-9A-Za-z]+", secret)
    if sum(map(len, words)) < _ENOUGH:
        return
    yield rf"(?:{_SIGN}){{1,12}}+".join(words)
    encoded = secret.encode("utf-8", "replace")
    yield encoded.hex()
    yield re.escape(base64.b64encode(encoded).decode().rstrip("=")) + "={0,2}"


def bare(error: E, mask: Callable[[str], str] = str) -> E:
    """Strip an error of all that may show secrets: its frames, its cause and its context.

    Parameters
    ----------
    error
        The error; it is changed and returned.
    mask
        Applied to the error's texts.
    """
    error.args = tuple(mask(each) if isinstance(each, str) else each for each in error.args)
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def sealed(call: Callable[[], T], mask: Callable[[str], str] = str) -> T:
    """Call a function and return its result; any error that it raises leaves ``bare``.

    Parameters
    ----------
    call
        The function. Interrupts in it also leave bare.
    mask
        Applied to the texts of an error.
    """
    try:
        return call()
    except BaseException as error:  # noqa: BLE001  raised below
        raised = bare(error, mask)
    try:
        # Outside of the handler: raised inside, it would get a context again, with the old frames.
        raise raised
    finally:
        del raised  # it holds this frame
