"""The indicators of a dashboard, as code adds and removes them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import polars as pl

from kucoin_research.dashboards.choices import Choices
from kucoin_research.dashboards.stage import Stage
from kucoin_research.errors import InvalidInput, shown
from kucoin_research.figures.indicator import indicators_of, joined, text_of

__all__ = ["IndicatorList"]


class IndicatorList:
    """The names of the indicators on the candles, in order; ``add`` and ``remove`` change them.

    Parameters
    ----------
    stage, choices
        Of the dashboard.
    acting
        Held by everything that changes the dashboard.
    check
        Raises if the dashboard can be changed no more.

    Notes
    -----
    May be used from any thread.
    """

    def __init__(
        self,
        stage: Stage,
        choices: Choices,
        acting: threading.RLock,
        check: Callable[[], object],
    ) -> None:
        self._stage, self._choices, self._acting, self._check = stage, choices, acting, check

    def add(self, name: str, expression: pl.Expr | None = None, *, pane: str | None = None) -> None:
        """Show an indicator; one that has its name is replaced.

        Parameters
        ----------
        name
            ``"SMA 20"``, ``"EMA 50"``, ``"VWAP"`` (of the day, UTC), ``"VWAP 20"``, ``"ATR 14"`` or
            ``"RSI 14"``, with any number of candles; or any name for an expression.
        expression
            Of the frame of candles, such as ``pl.col("high") - pl.col("low")``; see
            ``figures.candles``.
        pane
            Of an expression: ``"price"``, or the name of a pane; left out: one of its own.

        Raises
        ------
        InvalidInput
            If it is not known or cannot be computed, if there is no room for it, or if the
            dashboard is closed.
        """
        given = name if expression is None else (name, expression, pane or name)
        if expression is None and pane is not None:
            raise InvalidInput(f"the pane of {shown(name)} is set; only expressions take a pane")
        with self._acting:
            self._check()
            more = indicators_of([given])
            self._choices.show_indicators(joined(self._stage.scene.indicators, more))

    def remove(self, name: str | None = None) -> None:
        """Take away an indicator, or all.

        Raises
        ------
        InvalidInput
            If none has that name, or the dashboard is closed.
        """
        with self._acting:
            self._check()
            there = self._stage.scene.indicators
            if name is not None:
                wanted = [each for each in there if not _is_called(each.name, name)]
                if len(wanted) == len(there):
                    raise InvalidInput(
                        f"no indicator is called {shown(name)} here; "
                        f"there is {text_of(there) or 'none'}"
                    )
            self._choices.show_indicators(() if name is None else tuple(wanted))

    def __iter__(self) -> Iterator[str]:
        return (each.name for each in self._stage.scene.indicators)

    def __len__(self) -> int:
        return len(self._stage.scene.indicators)

    def __contains__(self, name: object) -> bool:
        return any(_is_called(each, name) for each in self)

    def __repr__(self) -> str:
        return f"<indicators: {text_of(self._stage.scene.indicators) or 'none'}>"


def _is_called(name: str, asked: object) -> bool:
    return isinstance(asked, str) and _plain(asked) == _plain(name)


def _plain(name: str) -> str:
    return "".join(name.split()).casefold()
