"""Factories of strategies: each run has a fresh one, made of its data if that is wanted."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.arguments import plain_function
from kucoin_research.strategy.options import Strategy

__all__ = ["Maker"]

_POSITIONAL = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)
#: A strategy is called with a record and the broker.
_STRATEGY_TAKES = 2


@dataclass(frozen=True)
class Maker:
    """Makes strategies for runs.

    Attributes
    ----------
    name
        The name of the user's function or class.
    takes_data
        Whether it is called with the data of the run.
    source
        What the user passed.
    """

    name: str
    takes_data: bool
    source: Any
    _make: Callable[[object], Any]

    @classmethod
    def of(cls, value: object, caller: str) -> Maker:
        """Read a factory: a class or a function that takes nothing, or the data.

        Raises
        ------
        InvalidInput
            If it cannot be called, or takes more than one argument.
        """
        plain_function(value, caller, "data")
        assert callable(value)
        required, first = _arguments(value)
        if required > 1:
            raise InvalidInput(
                f"{caller} wants a function that returns a fresh strategy, called without "
                f"arguments or with the data, and {shown(value)} takes {required}: write "
                "lambda: …, or lambda data: …, around it"
            )
        takes_data = required == 1 or first == "data"
        return cls(_name_of(value), takes_data, value, value if takes_data else lambda _: value())

    @classmethod
    def of_any(cls, value: object, caller: str) -> Maker:
        """Read a factory or a strategy itself.

        A class is a factory; of others the number of arguments decides: a strategy takes two. A
        function that is a strategy is called as it is. An object is copied for each run, so that
        each begins with its state.

        Raises
        ------
        InvalidInput
            If it cannot be called.
        """
        plain_function(value, caller, "record and broker")
        assert callable(value)
        if inspect.isclass(value) or _arguments(value)[0] < _STRATEGY_TAKES:
            return cls.of(value, caller)
        return cls(_name_of(value), False, value, lambda _: _fresh(value))

    def make(self, data: object) -> Strategy:
        """Make a strategy for a run over some data.

        Raises
        ------
        InvalidInput
            If what comes is no strategy.
        """
        made = self._make(data)
        if not callable(made):
            raise InvalidInput(
                f"{self.name} must return a strategy, a function of record and broker, "
                f"not {shown(made)}"
            )
        return made  # type: ignore[no-any-return]


def _arguments(value: Callable[..., object]) -> tuple[int, str | None]:
    """Count the positional arguments that a call needs, and name the first one it takes."""
    try:
        known = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):  # some built-in callables have none
        return 0, None
    placed = [each for each in known if each.kind in _POSITIONAL]
    required = sum(each.default is each.empty for each in placed)
    if any(each.kind is each.VAR_POSITIONAL for each in known) and not placed:
        required = _STRATEGY_TAKES  # such as a decorated function(*args)
    return required, placed[0].name if placed else None


def _fresh(strategy: Any) -> Any:
    if inspect.isroutine(strategy) or isinstance(strategy, partial):
        return strategy
    try:
        return copy.deepcopy(strategy)
    except Exception:  # noqa: BLE001 - a user's object may refuse in any way; two equal runs decide
        return strategy


def _name_of(value: object) -> str:
    while isinstance(value, partial):
        value = value.func
    return str(getattr(value, "__name__", type(value).__name__))
