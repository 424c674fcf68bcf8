"""What users give, checked: a number of rows, seconds, a folder; what is none gets a sentence.

Each names the argument, what came, and what is wanted.
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
# What the names of files are limited to, in bytes, on all systems.
_LONGEST_NAME = 255


def explained(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function answer arguments that it does not take in a sentence, not a ``TypeError``.

    Not for what takes secrets: a traceback shows what the wrapper was called with.

    Parameters
    ----------
    name
        How users call the function.
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except TypeError:
                # Asked only now: there are 300,000 instruments, and binding takes 100 calls.
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
    """Do for a class, such as a dataclass of settings, what ``explained`` does for a function."""
    made: Any = kind
    made.__init__ = explained(kind.__name__)(made.__init__)
    return kind


# What people call things that have another name here.
_ALSO_CALLED = {"dollar": "notional", "dollars": "notional", "interval": "every", "trades": "ticks"}


def _misfit(
    name: str, signature: inspect.Signature, args: Sequence[object], kwargs: Iterable[str]
) -> str:
    """Say which of the arguments of a call is none that the function takes."""
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
    """Take one name or several, each once, also where commas are between.

    Raises
    ------
    InvalidInput
        If they are no texts, or there is none.
    """
    found = listed_texts(values, what)
    if not found or not all(text.strip() for text in found):
        raise InvalidInput(f"{what} must not be empty")
    # "XBTUSDTM, ETHUSDTM" is a list, too; no name has a comma in it.
    split = [word.strip() if "," in text else word for text in found for word in text.split(",")]
    return [word for word in dict.fromkeys(split) if word]


def listed_texts(values: object, what: str) -> list[str]:
    """Take one text or several, or none, as they are.

    Raises
    ------
    InvalidInput
        If they are no texts.
    """
    listed = [values] if isinstance(values, str) else values
    # A frame is made of columns: of one of pandas their names would be taken.
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
    """Take a name, or ``None`` where it is left out.

    Raises
    ------
    InvalidInput
        If it is no text.
    """
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"{name} must be a string, not {shown(value)}")
    return value


def count(value: object, name: str, what: str, *, least: int = 1, most: int | None = None) -> int:
    """Take a whole number, of numpy also.

    Parameters
    ----------
    value
        What was given.
    name
        The argument's.
    what
        Of what it is a number: ``rows``, ``levels``, ….
    least, most
        The smallest and the largest that make sense.

    Raises
    ------
    InvalidInput
        If it is none, or beyond these.
    """
    is_whole = isinstance(value, Integral) and is_number(value)
    if not is_whole or int(value) < least:  # type: ignore[call-overload]
        from_ = "above 0" if least == 1 else f"from {least} on"
        raise InvalidInput(f"{name} must be a whole number of {what} {from_}, not {shown(value)}")
    if most is not None and int(value) > most:  # type: ignore[call-overload]
        raise InvalidInput(f"{name} must be {most:,} {what} at most, not {shown(value)}")
    return int(value)  # type: ignore[call-overload,no-any-return]


def is_number(value: object) -> bool:
    """Whether that is a number, of numpy also.

    Truths are none, nor are numpy's spans of time, which call themselves whole numbers.
    """
    return isinstance(value, Real) and not isinstance(value, bool | np.timedelta64)


def truth(value: object, name: str) -> bool:
    """Take a truth, of numpy also.

    Raises
    ------
    InvalidInput
        If it is none: of a frame, say, nobody knows whether it is true.
    """
    if not isinstance(value, bool | np.bool_):
        raise InvalidInput(f"{name} must be True or False, not {shown(value)}")
    return bool(value)


def number(value: object, name: str, what: str) -> float:
    """Take a finite number, of numpy also.

    Raises
    ------
    InvalidInput
        If it is none.
    """
    try:
        found = float(value) if is_number(value) else math.nan  # type: ignore[arg-type]
    except OverflowError:  # an integer beyond all floats
        found = math.inf
    if not math.isfinite(found):
        raise InvalidInput(f"{name} must be {what}, not {shown(value)}")
    return found


def positive(value: object, name: str, what: str) -> float:
    """Take a number above 0, of numpy also.

    Raises
    ------
    InvalidInput
        If it is none, or endless.
    """
    found = number(value, name, f"{what} above 0")
    if found <= 0:
        raise InvalidInput(f"{name} must be {what} above 0, not {shown(value)}")
    return found


def seconds(value: object, name: str, *, least: float = 0.0) -> float:
    """Take a number of seconds, of numpy also.

    Raises
    ------
    InvalidInput
        If it is none, endless, or too small.
    """
    what = f"a number of seconds from {least:g} on"
    found = number(value, name, what)
    if found < least:
        raise InvalidInput(f"{name} must be {what}, not {shown(value)}")
    return found


def patience(value: object, name: str = "timeout") -> float:
    """Take how long to wait, in seconds; ``None`` and infinity wait for ever.

    Raises
    ------
    InvalidInput
        If it is no time to wait.
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
    """Check that something can be called, and then does its work.

    Parameters
    ----------
    value
        What was given.
    caller
        The method that it was given to.
    argument
        What it will be called with: ``record``, ``rows``, ….

    Raises
    ------
    InvalidInput
        If it cannot be called, is ``async`` (there is no event loop to run it in) or a generator
        function, of which a call runs nothing.
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
    """Check the names of keyword arguments that are passed on.

    Raises
    ------
    InvalidInput
        If there is another; it lists those that there are.
    """
    unknown = next((name for name in options if name not in known), None)
    if unknown is not None:
        close = difflib.get_close_matches(unknown, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InvalidInput(
            f"{caller} has no option {shown(unknown)}{hint}; options: {', '.join(known)}"
        )


def path_of(value: object, name: str) -> Path:
    """Take a path; ``~`` is the user's own folder, as in a shell.

    Raises
    ------
    InvalidInput
        If it is none, or has a name that no file can have.
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
    """Take the path of a folder that is there or can be made.

    Raises
    ------
    InvalidInput
        If it is none, or if it, or what should hold it, is a file.
    """
    path = path_of(value, name)
    there = next((each for each in (path, *path.parents) if os.path.lexists(each)), None)
    if there is not None and not there.is_dir():
        raise InvalidInput(f"{name}={str(value)!r} cannot be a folder: {there} is a file")
    return path


def has_columns(frame: object, needed: Sequence[str], what: str) -> None:
    """Check that something is a polars frame, and has some columns.

    Raises
    ------
    InvalidInput
        If it is no polars frame.
    ColumnMissing
        If a column is absent; the message lists those present.
    """
    if not isinstance(frame, pl.DataFrame):
        raise InvalidInput(f"{what}: a polars frame is needed, not {kind_of(frame)}")
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise ColumnMissing(
            f"{what} without {', '.join(map(repr, missing))}; "
            f"the frame has {', '.join(map(repr, frame.columns)) or 'no columns'}"
        )


#: What makes a column of the wrong kind into one of the right one.
_CURES = {
    (pl.String, "times"): "; .str.to_datetime(time_unit='ns', time_zone='UTC') makes such",
    (pl.Int64, "times"): "; .cast(pl.Datetime('ns', 'UTC')) makes such of ns",
    (pl.String, "numbers"): "; .cast(pl.Float64) makes such",
}


def columns_hold(
    frame: pl.DataFrame,
    *,
    times: Iterable[str] = (),
    numbers: Iterable[str] = (),
    words: Iterable[str] = (),
) -> None:
    """Check what a frame's columns hold, before polars compares prices as text, or fails later.

    Columns that are absent, and those of nulls only, pass.

    Raises
    ------
    InvalidInput
        If one of them holds something else.
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


def kind_of(value: object) -> str:
    """Name what came where a polars frame was wanted, and say how one of pandas becomes one."""
    is_pandas = type(value).__module__.startswith("pandas")
    hint = " of pandas; pl.from_pandas(frame) makes one" if is_pandas else ""
    return f"{type(value).__name__}{hint}"
