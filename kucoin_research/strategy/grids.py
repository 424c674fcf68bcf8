"""The grid of a sweep: its trials, read from what a user passes, and as columns of a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from kucoin_research.errors import InvalidInput, shown

__all__ = ["parameter_columns", "text_of_value", "trials_of"]

_EXAMPLE = '{"fast": [5, 10], "slow": [20, 50]}'


def trials_of(grid: object, taken: Iterable[str]) -> list[dict[str, Any]]:
    """List the parameters of each trial.

    Parameters
    ----------
    grid
        A mapping of names to values, of which all combinations are trials, the last name varying
        fastest; or an iterable of mappings, each a trial; or a polars frame, each row a trial.
        Numbers of numpy become Python's.
    taken
        Names that no parameter may have.

    Raises
    ------
    InvalidInput
        If it is none of these, holds no trial, or a name is taken.
    """
    if isinstance(grid, Mapping):
        found = _product(grid)
    elif isinstance(grid, pl.DataFrame):
        found = list(grid.iter_rows(named=True))
    elif isinstance(grid, Iterable) and not isinstance(grid, str):
        found = [_mapping(each) for each in grid]
    else:
        raise InvalidInput(f"grid must be a mapping such as {_EXAMPLE}, not {shown(grid)}")
    if not found:
        raise InvalidInput("the grid has no trial")
    _refuse_names(dict.fromkeys(name for trial in found for name in trial), frozenset(taken))
    return [{name: _plain(value) for name, value in trial.items()} for trial in found]


def _product(grid: Mapping[Any, Any]) -> list[dict[str, Any]]:
    values = {name: _values(name, each) for name, each in grid.items()}
    return [dict(zip(values, each, strict=True)) for each in product(*values.values())]


def _values(name: object, values: object) -> list[Any]:
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | Mapping):
        raise InvalidInput(
            f"grid[{shown(name)}] must be a list of values, not {shown(values)}; "
            f"for one value write [{shown(values)}]"
        )
    listed = list(values)
    if not listed:
        raise InvalidInput(f"grid[{shown(name)}] is empty, so there is no trial")
    return listed


def _mapping(trial: object) -> dict[str, Any]:
    if not isinstance(trial, Mapping):
        raise InvalidInput(
            f"each trial of the grid must be a mapping of parameters, and {shown(trial)} is none; "
            f"a grid of all combinations is a mapping such as {_EXAMPLE}"
        )
    return dict(trial)


def _refuse_names(names: Iterable[object], taken: frozenset[str]) -> None:
    for name in names:
        if not isinstance(name, str):
            raise InvalidInput(f"the name of a parameter must be a text, not {shown(name)}")
        if name in taken:
            raise InvalidInput(
                f"no parameter can be called {name!r}, since the frame has a column of that name; "
                "call it something else in make_strategy"
            )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


# -- columns ---------------------------------------------------------------------------------------


def parameter_columns(trials: Sequence[Mapping[str, Any]]) -> list[pl.Series]:
    """Make a column of each parameter; null where a trial lacks it.

    Values that no column can hold, such as functions, become texts.
    """
    names = dict.fromkeys(name for trial in trials for name in trial)
    return [_column(name, [trial.get(name) for trial in trials]) for name in names]


#: Kinds of values that a column can hold together, and its type.
_TYPES: tuple[tuple[frozenset[type], Any], ...] = (
    (frozenset({bool}), pl.Boolean),
    (frozenset({int}), pl.Int64),
    (frozenset({int, float}), pl.Float64),
    (frozenset({str}), pl.String),
    (frozenset({date}), pl.Date),
    (frozenset({datetime}), None),
    (frozenset({timedelta}), pl.Duration("us")),
)


def _column(name: str, values: list[Any]) -> pl.Series:
    kinds = {type(value) for value in values if value is not None}
    for together, dtype in _TYPES:
        if kinds <= together:
            try:
                return pl.Series(name, values, dtype=dtype)
            except (pl.exceptions.PolarsError, TypeError, OverflowError):
                break  # numbers too large for a column, times of several zones
    texts = [None if value is None else text_of_value(value) for value in values]
    return pl.Series(name, texts, dtype=pl.String)


def text_of_value(value: object) -> str:
    """Write a parameter's value; functions and classes by their names."""
    name = getattr(value, "__qualname__", None)
    return name if isinstance(name, str) else str(value)
