"""The keyword arguments of ``backtest``, for checks that make many runs of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from kucoin_research.foundation.arguments import only_known
from kucoin_research.strategy.backtest import backtest
from kucoin_research.strategy.options import RunOptions, Strategy
from kucoin_research.strategy.tape import Tape, open_tape

__all__ = ["RunArguments"]

_DEFAULTS = {
    name: each.default
    for name, each in inspect.signature(backtest).parameters.items()
    if each.kind is each.KEYWORD_ONLY
}
_OF_THE_DATA = ("channels", "symbols")


class RunArguments(NamedTuple):
    """The arguments of a run, defaults included.

    Attributes
    ----------
    all
        By name, as ``backtest`` takes them.
    """

    all: Mapping[str, Any]

    @classmethod
    def of(cls, same: Mapping[str, Any], caller: str) -> RunArguments:
        """Read the keyword arguments that a check passes on.

        Raises
        ------
        InvalidInput
            If ``backtest`` has no such argument.
        """
        only_known(same, tuple(_DEFAULTS), caller)
        return cls({**_DEFAULTS, **same, "progress": False})

    def options(self, strategy: Strategy) -> RunOptions:
        """Check them for a strategy."""
        rest = {name: each for name, each in self.all.items() if name not in _OF_THE_DATA}
        return RunOptions.read(strategy, **rest)

    def tape(self, data: object, options: RunOptions) -> Tape:
        """Open data with the channels and symbols among them."""
        return open_tape(data, self.all["channels"], self.all["symbols"], options.instruments)
