"""Finds data that a strategy holds besides the data of its run.

A function may read a frame that was made outside it. Nobody can change that frame for a check, so
the check has to name it instead of passing the strategy.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

import polars as pl

from kucoin_research.model.source import is_source
from kucoin_research.sessions.session import Session
from kucoin_research.strategy.held_data import Frames, HeldData

__all__ = ["Outside", "outside_data"]

_DEEPEST = 6
#: Values that are about as many as the rows of a channel may be made of them.
_ALIKE, _LEAST = 0.9, 10
_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_READERS = frozenset(
    {f"{verb}_{kind}" for verb in ("read", "scan") for kind in ("csv", "parquet", "ipc", "ndjson")}
)


class Outside(NamedTuple):
    """Something that holds data: its name, and what kind of thing it is."""

    name: str
    kind: str


class _Span(NamedTuple):
    """When the data of a run begins, ns UTC, and the numbers of rows in its channels."""

    begin: int
    counts: frozenset[int]


def outside_data(functions: Iterable[object], held: HeldData) -> list[Outside]:
    """List the data that functions, or objects, reach without being given it.

    Looks into closures, global names, defaults, ``partial`` and attributes. Counted are sessions
    and streams, frames whose times reach into the run, and frames, columns, arrays, lists and
    mappings with about as many values as a channel has rows.
    """
    counts = {rows.frame.height for rows in held.tables}
    counts |= {rows.frame.height for rows in held.frames or ()}
    span = _Span(held.times()[0], frozenset(count for count in counts if count >= _LEAST))
    found: dict[str, Outside] = {}
    seen: set[int] = set()
    known: dict[int, str] = {}
    for each in functions:
        for name, value in ((_name(each), each), *_reached(each, seen, _DEEPEST)):
            if known.setdefault(id(value), name) != name:
                continue  # the same thing under another name
            if isinstance(value, FunctionType) and _is_own(value):
                for reader in _readers(value.__code__):
                    found.setdefault(reader, Outside(reader, f"a reader of files in {name}"))
            kind = _kind(value, span)
            if kind is not None:
                found.setdefault(name, Outside(name, kind))
    return list(found.values())


def _name(value: object) -> str:
    return str(getattr(value, "__name__", type(value).__name__))


def _reached(value: object, seen: set[int], depth: int) -> Iterator[tuple[str, object]]:
    """Yield named values that a function or an object reaches."""
    if id(value) in seen or not depth:
        return
    seen.add(id(value))
    for name, each in _parts(value):
        if id(each) in seen:
            continue
        yield name, each
        if _is_own(each):
            yield from _reached(each, seen, depth - 1)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, partial):
        yield from _numbered("argument", (value.func, *value.args))
        yield from value.keywords.items()
    elif isinstance(value, MethodType):
        yield "self", value.__self__
        yield value.__name__, value.__func__
    elif isinstance(value, FunctionType):
        yield from _of_function(value)
    elif inspect.isclass(value):
        yield from list(vars(value).items())
    else:
        yield type(value).__name__, type(value)
        yield from list(getattr(value, "__dict__", {}).items())


def _of_function(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    assert isinstance(function, FunctionType)
    names = function.__code__.co_freevars
    for name, cell in zip(names, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # it is not filled yet
            continue
    for name in _global_names(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    yield from _numbered("default", function.__defaults__ or ())
    yield from (function.__kwdefaults__ or {}).items()


def _global_names(code: CodeType) -> Iterator[str]:
    # By instruction, since the names in the code are those of attributes as well.
    for step in dis.get_instructions(code):
        if step.opname in _LOADS:
            yield str(step.argval)
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _global_names(each)


def _readers(code: CodeType) -> Iterator[str]:
    """Name the calls in a function that read data from files."""
    yield from (name for name in code.co_names if name in _READERS)
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _readers(each)


def _numbered(name: str, values: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    return ((f"{name} {number}", each) for number, each in enumerate(values, 1))


def _is_own(value: object) -> bool:
    """Whether a value may reach data: the user's functions, classes and objects do."""
    if isinstance(value, FunctionType | MethodType | partial):
        return not _is_library(getattr(value, "__module__", None))
    kind = value if inspect.isclass(value) else type(value)
    return not _is_library(kind.__module__) and not inspect.ismodule(value)


def _is_library(module: str | None) -> bool:
    top = (module or "").partition(".")[0]
    return top in {"builtins", "collections", "polars", "numpy", "pandas", "kucoin_research"}


def _kind(value: Any, span: _Span) -> str | None:
    if isinstance(value, Session | Frames) or is_source(value):
        return "a session or a stream"
    if isinstance(value, pl.LazyFrame):
        return "a lazy frame"
    columns = getattr(value, "columns", None)
    if isinstance(value, pl.DataFrame):
        is_late = any(_reaches(value[name], span.begin) for name in value.columns)
        return "a frame" if is_late or _is_alike(value.height, span) else None
    is_listed = isinstance(value, list | tuple | Mapping | pl.Series) or hasattr(value, "__array__")
    if not (is_listed or columns is not None) or inspect.isclass(value):
        return None
    try:
        count = len(value)
    except TypeError:
        return None
    if isinstance(value, Mapping) and any(
        isinstance(each, pl.DataFrame) for each in value.values()
    ):
        return "a mapping of frames"
    return f"{count:,} values" if _is_alike(count, span) else None


def _reaches(column: pl.Series, begin: int) -> bool:
    if not isinstance(column.dtype, pl.Datetime):
        return False
    last = column.drop_nulls().dt.epoch("ns").max()
    return isinstance(last, int) and last > begin


def _is_alike(count: int, span: _Span) -> bool:
    return any(_ALIKE * rows <= count <= rows / _ALIKE for rows in span.counts)
