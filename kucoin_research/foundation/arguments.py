"""Checks users' arguments, such as numbers of rows, seconds and folders.

Each check raises an error whose sentence names the argument, its wrong value and a right one.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import polars as pl

from kucoin_research.errors import ColumnMissing, InvalidInput, column_hint, shown

__all__ = [
    "MOST_ROWS",
    "columns_hold",
    "count",
    "explained",
    "explains_itself",
    "folder_to_write",
    "has_columns",
    "is_number",
    "kind_of",
    "listed_texts",
    "name_of",
    "number",
    "only_known",
    "path_of",
    "patience",
    "plain_function",
    "positive",
    "seconds",
    "texts",
    "truth",
]


P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

#: More rows than any machine holds.
MOST_ROWS = 10**15
# No file system allows longer names, in bytes.
_LONGEST_NAME = 255


def explained(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function raise ``InvalidInput`` with a sentence where Python raises ``TypeError``.

    Decorates a function whose arguments users may misspell. Not for functions that take secrets: a
    traceback shows the wrapper's arguments.

    Parameters
    ----------
    name
        The function's name in the sentence.
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TypeError:
                # Only after a failure, since binding takes as long as 100 calls, and a list may
                # make 300,000 instruments.
                if _fits(signature, args, kwargs):
                    raise
            raise InvalidInput(_misfit(name, signature, args, kwargs))

        return call

    return wrap


def _fits(
    signature: inspect.Signature, args: Sequence[object], kwargs: Mapping[str, object]
) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def explains_itself(kind: type[T]) -> type[T]:
    """Apply ``explained`` to the ``__init__`` of a class, such as a dataclass of settings."""
    made: Any = kind
    made.__init__ = explained(kind.__name__)(made.__init__)
    return kind


# Names that people use for arguments that have another name here.
_ALSO_CALLED = {"dollar": "notional", "dollars": "notional", "interval": "every", "trades": "ticks"}


def _misfit(
    name: str, signature: inspect.Signature, args: Sequence[object], kwargs: Iterable[str]
) -> str:
    """Write in a sentence which argument of a call the function does not take, or lacks."""
    known = [each for each in signature.parameters.values() if each.name != "self"]
    names = [each.name for each in known]
    listed = f"it takes {', '.join(names)}"
    for wrong in kwargs:
        if wrong not in names:
            alias = _ALSO_CALLED.get(wrong)
            near = [alias] if alias in names else difflib.get_close_matches(wrong, names, n=1)
            hint = f"; did you mean {near[0]}=?" if near else ";"
            return f"{name} takes no {shown(wrong)}{hint} {listed}"
    by_place = [each for each in known if each.kind is not each.KEYWORD_ONLY]
    mine = args[1:] if "self" in signature.parameters else args
    if len(mine) > len(by_place):
        extra = mine[len(by_place)]
        return f"{name} does not know what {shown(extra)} is: write its name before it; {listed}"
    twice = [each.name for each in by_place[: len(mine)] if each.name in kwargs]
    if twice:
        return f"{name} was given {twice[0]} twice"
    missing = [
        each.name
        for each in by_place[len(mine) :] + [each for each in known if each not in by_place]
        if each.default is each.empty and each.name not in kwargs
    ]
    return f"{name} lacks {', '.join(missing)}; {listed}"


def texts(values: object, what: str) -> list[str]:
    """Return one name or several as a list, each once; commas inside a text separate names.

    Raises
    ------
    InvalidInput
        If one is no text or is empty, or if there is none.
    """
    found = listed_texts(values, what)
    if not found or not all(text.strip() for text in found):
        raise InvalidInput(f"{what} must not be empty")
    # "XBTUSDTM, ETHUSDTM" is a list too, since no name has a comma.
    split = [word.strip() if "," in text else word for text in found for word in text.split(",")]
    return [word for word in dict.fromkeys(split) if word]


def listed_texts(values: object, what: str) -> list[str]:
    """Return one text, several or none as a list, unchanged.

    Raises
    ------
    InvalidInput
        If one of them is no text.
    """
    listed = [values] if isinstance(values, str) else values
    # A frame is refused first: iterating a pandas frame would return its column names.
    hint = column_hint(values, what.removesuffix("s"))
    if hint or not isinstance(listed, Iterable) or isinstance(listed, bytes):
        raise InvalidInput(
            f"{what} must be a string or a list of strings, not {shown(values)}{hint}"
        )
    found = list(listed)
    wrong = [text for text in found if not isinstance(text, str)]
    if wrong:
        raise InvalidInput(f"{what} must be strings, and {shown(wrong[0])} is none")
    return found


def name_of(value: object, name: str = "name") -> str | None:
    """Return a name, or ``None`` if it is left out.

    Raises
    ------
    InvalidInput
        If it is no text.
    """
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"{name} must be a string, not {shown(value)}")
    return value


def count(value: object, name: str, what: str, *, least: int = 1, most: int | None = None) -> int:
    """Return a whole number, also if it is one of numpy.

    Parameters
    ----------
    value
        The user's value.
    name
        The argument's name.
    what
        The noun that is counted: ``rows``, ``levels``, ….
    least, most
        The smallest and the largest number allowed.

    Raises
    ------
    InvalidInput
        If it is no whole number, or below ``least`` or above ``most``.
    """
    is_whole = isinstance(value, Integral) and is_number(value)
    if not is_whole or int(value) < least:  # type: ignore[call-overload]
        from_ = "above 0" if least == 1 else f"from {least} on"
        raise InvalidInput(f"{name} must be a whole number of {what} {from_}, not {shown(value)}")
    if most is not None and int(value) > most:  # type: ignore[call-overload]
        raise InvalidInput(f"{name} must be {most:,} {what} at most, not {shown(value)}")
    return int(value)  # type: ignore[call-overload,no-any-return]


def is_number(value: object) -> bool:
    """Return whether a value is a number, also one of numpy.

    A bool is no number here, and neither is a ``timedelta64``, which numpy registers as an integer.
    """
    return isinstance(value, Real) and not isinstance(value, bool | np.timedelta64)


def truth(value: object, name: str) -> bool:
    """Return a bool, also if it is one of numpy.

    Raises
    ------
    InvalidInput
        If it is no bool. Other values are not tested for truth, since for a frame, for example, the
        answer would be ambiguous.
    """
    if not isinstance(value, bool | np.bool_):
        raise InvalidInput(f"{name} must be True or False, not {shown(value)}")
    return bool(value)


def number(value: object, name: str, what: str) -> float:
    """Return a finite number as a float, also if it is one of numpy.

    Raises
    ------
    InvalidInput
        If it is no finite number; the message asks for ``what``.
    """
    try:
        found = float(value) if is_number(value) else math.nan  # type: ignore[arg-type]
    except OverflowError:  # an integer that is too large for a float
        found = math.inf
    if not math.isfinite(found):
        raise InvalidInput(f"{name} must be {what}, not {shown(value)}")
    return found


def positive(value: object, name: str, what: str) -> float:
    """Return a number above 0 as a float, also if it is one of numpy.

    Raises
    ------
    InvalidInput
        If it is no number, not above 0, or not finite.
    """
    found = number(value, name, f"{what} above 0")
    if found <= 0:
        raise InvalidInput(f"{name} must be {what} above 0, not {shown(value)}")
    return found


def seconds(value: object, name: str, *, least: float = 0.0) -> float:
    """Return a number of seconds as a float, also if it is one of numpy.

    Raises
    ------
    InvalidInput
        If it is no number, not finite, or below ``least``.
    """
    what = f"a number of seconds from {least:g} on"
    found = number(value, name, what)
    if found < least:
        raise InvalidInput(f"{name} must be {what}, not {shown(value)}")
    return found


def patience(value: object, name: str = "timeout") -> float:
    """Return a timeout in seconds; ``None`` and infinity are infinity, and wait for ever.

    Raises
    ------
    InvalidInput
        If it is no number of seconds from 0 on.
    """
    if value is None or (isinstance(value, float) and value == math.inf):
        return math.inf
    try:
        return seconds(value, name)
    except InvalidInput:
        raise InvalidInput(
            f"{name} must be seconds from 0 on, or None to wait for ever, not {shown(value)}"
        ) from None


def plain_function(value: object, caller: str, argument: str) -> None:
    """Check that a value is a function whose call does its work.

    Parameters
    ----------
    value
        The user's value.
    caller
        The method that received it, for the message.
    argument
        The name of the argument that it will be called with: ``record``, ``rows``, ….

    Raises
    ------
    InvalidInput
        If it cannot be called, is ``async`` (no event loop would run it), or is a generator
        function (a call would run none of its code).
    """
    if not callable(value):
        raise InvalidInput(f"{caller} wants a function of {argument}, not {shown(value)}")
    name = getattr(value, "__name__", type(value).__name__)
    if _is_any(value, inspect.iscoroutinefunction):
        raise InvalidInput(
            f"{caller} calls a plain function in a thread, and {name} is async: give it "
            f"lambda {argument}: asyncio.run_coroutine_threadsafe({name}({argument}), loop)"
        )
    if _is_any(value, inspect.isgeneratorfunction) or _is_any(value, inspect.isasyncgenfunction):
        raise InvalidInput(
            f"{caller} calls a plain function, and {name} has a yield in it, so that a call runs "
            "none of its lines: take the yield out"
        )


def _is_any(value: Callable[..., object], test: Callable[[object], bool]) -> bool:
    return test(value) or test(type(value).__call__)


def only_known(options: Iterable[str], known: Sequence[str], caller: str) -> None:
    """Check the names of keyword arguments that are passed on to something else.

    Raises
    ------
    InvalidInput
        If one is not among ``known``; the message lists these.
    """
    unknown = next((name for name in options if name not in known), None)
    if unknown is not None:
        close = difflib.get_close_matches(unknown, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InvalidInput(
            f"{caller} has no option {shown(unknown)}{hint}; options: {', '.join(known)}"
        )


def path_of(value: object, name: str) -> Path:
    """Return a path; ``~`` is the user's home folder, as in a shell.

    Raises
    ------
    InvalidInput
        If it is no path, or has a name that no file can have.
    """
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise InvalidInput(f"{name} must be the path of a folder or a file, not {shown(value)}")
    if "\0" in str(value):
        raise InvalidInput(f"{name}={shown(value)} is no path: it has a zero character in it")
    if any(len(part.encode(errors="surrogatepass")) > _LONGEST_NAME for part in Path(value).parts):
        raise InvalidInput(
            f"{name}={shown(value)} is no path: a name may have {_LONGEST_NAME} bytes at most"
        )
    try:
        return Path(value).expanduser()
    except RuntimeError as error:  # there is no such user
        raise InvalidInput(f"{name}={str(value)!r} is no path: {error}") from None


def folder_to_write(value: object, name: str) -> Path:
    """Return the path of a folder that exists or can be made.

    Raises
    ------
    InvalidInput
        If it is no path, or if it or one of its parents is a file.
    """
    path = path_of(value, name)
    there = next((each for each in (path, *path.parents) if os.path.lexists(each)), None)
    if there is not None and not there.is_dir():
        raise InvalidInput(f"{name}={str(value)!r} cannot be a folder: {there} is a file")
    return path


def has_columns(frame: object, needed: Sequence[str], what: str) -> None:
    """Check that a value is a polars frame with the needed columns.

    Raises
    ------
    InvalidInput
        If it is no polars frame.
    ColumnMissing
        If a needed column is absent; the message lists those present.
    """
    if not isinstance(frame, pl.DataFrame):
        raise InvalidInput(f"{what}: a polars frame is needed, not {kind_of(frame)}")
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise ColumnMissing(
            f"{what} without {', '.join(map(repr, missing))}; "
            f"the frame has {', '.join(map(repr, frame.columns)) or 'no columns'}"
        )


#: The expression that converts a column of the wrong type, by its type and the wanted kind.
_CURES = {
    (pl.String, "times"): "; .str.to_datetime(time_unit='ns', time_zone='UTC') makes such",
    (pl.Int64, "times"): "; .cast(pl.Datetime('ns', 'UTC')) makes such of ns",
    (pl.String, "numbers"): "; .cast(pl.Float64) makes such",
}


#: Whole years of times in ns since 1970 in 64 bits: from 1678 until before 2262.
_FIRST_NS, _LAST_NS = -9_214_560_000_000_000_000, 9_214_646_399_999_999_999
_NS_OF = {"us": 1_000, "ms": 1_000_000}


def columns_hold(
    frame: pl.DataFrame,
    *,
    times: Iterable[str] = (),
    numbers: Iterable[str] = (),
    words: Iterable[str] = (),
) -> None:
    """Check the types of a frame's columns, before polars compares prices as text or fails later.

    Absent columns and columns of nulls pass.

    Raises
    ------
    InvalidInput
        If a column has another type, or a time is beyond those that nanoseconds can count.
    """
    schema = frame.schema
    for names, what, kinds in (
        (times, "times", (pl.Datetime,)),
        (numbers, "numbers", (pl.Decimal,)),
        (words, "texts", (pl.String, pl.Categorical, pl.Enum)),
    ):
        for name in names:
            kind = schema.get(name, pl.Null())
            is_right = isinstance(kind, (*kinds, pl.Null))
            if not (is_right or (what == "numbers" and kind.is_numeric())):
                cure = _CURES.get((kind.base_type(), what), "")
                raise InvalidInput(f"column {name!r} must hold {what}, not {kind}{cure}")
            if isinstance(kind, pl.Datetime):
                _refuse_far(frame[name], kind)


def _refuse_far(times: pl.Series, kind: pl.Datetime) -> None:
    if kind.time_unit == "ns":
        return
    least, most = (limit // _NS_OF[kind.time_unit] for limit in (_FIRST_NS, _LAST_NS))
    far = times.filter(~times.to_physical().is_between(least, most))
    if len(far):
        raise InvalidInput(
            f"column {times.name!r} has the time {far.dt.to_string('%Y-%m-%d')[0]}; nanoseconds "
            "count from 1678 to 2261 only"
        )


def kind_of(value: object) -> str:
    """Return the type of a value that is no polars frame, with the conversion if it is pandas'."""
    is_pandas = type(value).__module__.startswith("pandas")
    hint = " of pandas; pl.from_pandas(frame) makes one" if is_pandas else ""
    return f"{type(value).__name__}{hint}"
