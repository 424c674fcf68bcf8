"""The keyword arguments of ``backtest``, for checks that make many runs of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple, TypeVar

from kucoin_research.foundation.arguments import only_known, truth
from kucoin_research.foundation.progress import quiet_tqdm
from kucoin_research.strategy.backtest import backtest
from kucoin_research.strategy.options import RunOptions
from kucoin_research.strategy.tape import Tape, open_tape

__all__ = ["RunArguments"]

_DEFAULTS = {
    name: each.default
    for name, each in inspect.signature(backtest).parameters.items()
    if each.kind is each.KEYWORD_ONLY
}
_OF_THE_DATA = ("channels", "symbols")
#: Seconds before the progress bar comes.
_PATIENCE = 2.0

T = TypeVar("T")


class RunArguments(NamedTuple):
    """The arguments of a run, defaults included.

    Attributes
    ----------
    all
        By name, as ``backtest`` takes them; no run shows its progress.
    is_shown
        Whether the progress of all runs is shown.
    """

    all: Mapping[str, Any]
    is_shown: bool

    @classmethod
    def of(cls, same: Mapping[str, Any], caller: str) -> RunArguments:
        """Read the keyword arguments that a check passes on.

        Raises
        ------
        InvalidInput
            If ``backtest`` has no such argument.
        """
        only_known(same, tuple(_DEFAULTS), caller)
        known = {**_DEFAULTS, **same}
        is_shown = truth(known["progress"], "progress")
        return cls({**known, "progress": False}, is_shown)

    def opened(self, data: object, name: str) -> tuple[RunOptions, Tape]:
        """Check them, and open data.

        Parameters
        ----------
        data
            As ``backtest`` takes it.
        name
            The strategy's, if they have none.
        """
        rest = {key: each for key, each in self.all.items() if key not in _OF_THE_DATA}
        options = RunOptions.read(_nothing, **{**rest, "name": self.all["name"] or name})
        return options, self.tape(data, options)

    def tape(self, data: object, options: RunOptions) -> Tape:
        """Open data with the channels and symbols among them."""
        return open_tape(data, self.all["channels"], self.all["symbols"], options.instruments)

    def counted(self, runs: Sequence[T], name: str) -> Iterable[T]:
        """Iterate over runs to make, with a progress bar if they take a while."""

        def one_by_one() -> Iterator[T]:
            bar = quiet_tqdm(
                total=len(runs), desc=name, unit=" runs", delay=_PATIENCE, leave=False,
                disable=not self.is_shown,
            )  # fmt: skip
            with closing(bar):
                for each in runs:
                    yield each
                    bar.update()

        return one_by_one()


def _nothing(record: object, broker: object) -> None:  # noqa: ARG001 - the shape of a strategy
    return None
