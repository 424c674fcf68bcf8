"""The places of a dashboard's charts: each shows one chart of a choice."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ipywidgets as widgets

from kucoin_research.dashboards.account_book import channels_of
from kucoin_research.dashboards.account_rows import AccountRows
from kucoin_research.dashboards.run_rows import RunRows
from kucoin_research.dashboards.user_plots import UserPlots, UserRows
from kucoin_research.errors import InvalidInput, UnknownChannel
from kucoin_research.figures import channels_for
from kucoin_research.figures.book_charts import DepthChart, LadderChart
from kucoin_research.figures.candle_chart import CandleChart
from kucoin_research.figures.chart import Chart, Sketch
from kucoin_research.figures.closing import close_whole
from kucoin_research.figures.heat_chart import HeatChart
from kucoin_research.figures.indicator import Indicator
from kucoin_research.figures.lag_chart import LagChart, has_virtual_clock, lag_options
from kucoin_research.figures.line_charts import FlowChart, MarkChart, PriceChart, SpreadChart
from kucoin_research.figures.run_chart import RunChart
from kucoin_research.figures.tail import Joined, Rows, Tail
from kucoin_research.figures.time_axis import Zone
from kucoin_research.figures.trade_marks import MARKED
from kucoin_research.figures.user_traces import PRICE_PANE
from kucoin_research.figures.widget import LiveFigure
from kucoin_research.model.source import LiveSource, is_replay
from kucoin_research.strategy.paper import PaperTrading

__all__ = ["BOOKS", "LOWER", "MAIN", "STRATEGY", "ChartSlot", "Scene"]

STRATEGY = "Strategy"  # the chart of a strategy's run
MAIN: dict[str, type[Chart]] = {"Price": PriceChart}
LOWER: dict[str, type[Chart]] = {
    "Candles": CandleChart, "Heat map": HeatChart, "Spread": SpreadChart, "Flow": FlowChart,
    "Mark": MarkChart, "Lag": LagChart, STRATEGY: RunChart,
}  # fmt: skip
BOOKS: dict[str, type[Chart]] = {"Ladder": LadderChart, "Depth": DepthChart}


@dataclass(frozen=True)
class Scene:
    """The settings that all charts of a dashboard share.

    Attributes
    ----------
    source, symbol
        The source of the rows, and the symbol that is shown.
    zone
        Time zone of the axes.
    window_s
        Seconds of the newest data to follow; ``None``: all data.
    every
        Interval of candles; ``None``: one that suits the view.
    run
        A strategy's run on the source; ``None`` if there is none.
    plots
        Lines and marks of the user.
    indicators
        Those on the candles, and on the prices as far as they are prices.
    """

    source: LiveSource
    symbol: str
    zone: Zone = field(default_factory=Zone)
    window_s: float | None = 300.0
    every: str | None = None
    run: PaperTrading | None = None
    plots: UserPlots = field(default_factory=UserPlots)
    indicators: tuple[Indicator, ...] = ()

    @property
    def has_account(self) -> bool:
        """Whether the source has messages of the user's own account."""
        return bool(channels_of(self.source))

    def options(self, kind: type[Chart]) -> dict[str, Any]:
        """Return the options of a chart."""
        if kind in _MARKED:
            is_fixed = self.every is not None
            marked = {} if self.run is None else {"is_marked": True}
            own = {"hides_future": is_replay(self.source), "has_account": self.has_account}
            every = {"every": self.every} if is_fixed else {}
            return {**marked, **own, **every, "indicators": self._lines(kind)}
        if kind is RunChart:
            return {"currency": "" if self.run is None else self.run.options.currency}
        if kind is LagChart:
            return lag_options(self.source)
        return {"levels": 16} if kind is LadderChart else {}

    def _lines(self, kind: type[Chart]) -> tuple[Indicator, ...]:
        # Panes are on the candles only.
        is_whole = kind is CandleChart
        return tuple(each for each in self.indicators if is_whole or each.pane == PRICE_PANE)


_MARKED = (PriceChart, CandleChart)


def _supply(
    kind: type[Chart], scene: Scene, channels: dict[str, str]
) -> LiveSource | Callable[[], Rows]:
    """Return the source of a chart, or what makes its rows for a page."""
    run = scene.run
    if kind is RunChart and run is not None:
        return lambda: RunRows(run, scene.symbol, [role.name for role in RunChart.roles])
    if kind not in _MARKED:
        return scene.source
    return lambda: Joined(Tail(scene.source, scene.symbol, channels), *_overlays(scene))


def _overlays(scene: Scene) -> Iterator[Rows]:
    """Make the supplies of what lies over the prices of the market."""
    if scene.run is not None:
        yield RunRows(scene.run, scene.symbol, MARKED)
    yield UserRows(scene.plots, scene.symbol)
    if scene.has_account:
        yield AccountRows(scene.source, scene.symbol)


def _channels(kind: type[Chart], scene: Scene) -> dict[str, str]:
    if kind is RunChart:
        if scene.run is None:
            raise InvalidInput("none runs here; paper(strategy) of this dashboard begins one")
        return {}
    if kind is LagChart and has_virtual_clock(scene.source):
        raise InvalidInput("the exchange's clock is virtual here, so that arrivals have no lag")
    return channels_for(kind, scene.source, scene.every, scene.symbol)


class ChartSlot:
    """Shows one chart of a choice, in place.

    Parameters
    ----------
    kinds
        The charts by name; with more than one, there are buttons to choose.
    scene
        The source and settings to begin with.
    name
        Name of its CSS class, ``kr-<name>``.
    height
        Pixels, until the page has laid it out.

    Notes
    -----
    Its methods may be called by one thread at a time.
    """

    def __init__(
        self, kinds: dict[str, type[Chart]], scene: Scene, name: str, height: int = 330
    ) -> None:
        self._kinds = kinds
        self._scene = scene
        self._height = height
        self._is_frozen = False
        self.figure: LiveFigure | None = None
        self.on_mark: Callable[[int, float], object] | None = None  # of the charts; see there
        self._shown: type[Chart] | None = None
        self._words = widgets.HTML()
        self._words.add_class("kr-words")
        self._place = widgets.Box([self._words])
        self._place.add_class("kr-slot")
        self.switch = widgets.ToggleButtons(
            options=list(kinds),
            tooltips=[f"show the chart {name}" for name in kinds],
            tooltip="charts",
        )
        self.switch.add_class("kr-tabs")
        self._head = widgets.Box([self.switch])
        self._head.add_class("kr-switch")
        self.box = widgets.Box([self._head, self._place] if len(kinds) > 1 else [self._place])
        self.box.add_class(f"kr-{name}")

    @property
    def chosen(self) -> str:
        """The name of the chart that is chosen."""
        return str(self.switch.value)

    @property
    def has_indicators(self) -> bool:
        """Whether the chart that is chosen shows indicators."""
        return self._kinds[self.chosen] in _MARKED

    def show(self, scene: Scene) -> None:
        """Show a scene; if the source lacks a channel of the chart, a sentence takes its place."""
        self._scene = scene
        kind = self._kinds[self.chosen]
        try:
            channels = _channels(kind, scene)
        except (UnknownChannel, InvalidInput) as error:
            self._drop()
            self._words.value = html.escape(f"{self.chosen}: {error}")
            self._place.children = (self._words,)
            return
        if self.figure is not None and self._shown is kind:
            supply = _supply(kind, scene, channels)
            self.figure.attach(supply, scene.symbol, channels, scene.options(kind))
        else:
            self._drop()
            self.figure, self._shown = self._make(kind, channels), kind
            self._place.children = (self.figure,)
        self._look()

    def _make(self, kind: type[Chart], channels: dict[str, str]) -> LiveFigure:
        scene = self._scene
        options = scene.options(kind)
        sketch = Sketch(scene.symbol, scene.zone, self._height, options, is_compact=True)
        window_ns = None if scene.window_s is None else round(scene.window_s * 1e9)
        supply = _supply(kind, scene, channels)
        figure = LiveFigure(kind, supply, sketch, channels, window_ns=window_ns)
        figure.keeps_still = False
        figure.on_mark = self.on_mark
        return figure

    @property
    def lasting(self) -> tuple[widgets.Widget, ...]:
        """The widgets that are closed with it, shown or not; charts come and go."""
        return (self._words, self._head, self.box)

    def _look(self) -> None:
        if self.figure is not None:
            self.figure.window = self._scene.window_s
            self.figure.is_frozen = self._is_frozen

    def freeze(self, *, is_frozen: bool) -> None:
        """Freeze the chart, or let it go on."""
        self._is_frozen = is_frozen
        self._look()

    @property
    def error(self) -> Exception | None:
        """The exception of the chart's last refresh."""
        return self.figure.error if self.figure is not None else None

    def _drop(self) -> None:
        if self.figure is not None:
            self.figure.close()
        self.figure = self._shown = None

    def close(self) -> None:
        """End the chart, and close the hidden parts of the place."""
        self._drop()
        close_whole(*self.lasting)
