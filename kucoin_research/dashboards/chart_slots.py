"""The places of a dashboard's charts: each shows one chart of a choice."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ipywidgets as widgets

from kucoin_research.dashboards.account_book import channels_of
from kucoin_research.dashboards.account_rows import AccountRows
from kucoin_research.dashboards.histories import Histories
from kucoin_research.dashboards.ladder_table import LadderTable
from kucoin_research.dashboards.run_rows import RunRows
from kucoin_research.dashboards.user_plots import UserPlots, UserRows
from kucoin_research.errors import InvalidInput, UnknownChannel
from kucoin_research.figures import channels_for
from kucoin_research.figures.book_charts import BookChart, DepthChart, LadderChart
from kucoin_research.figures.candle_chart import CandleChart
from kucoin_research.figures.chart import Chart, Sketch
from kucoin_research.figures.closing import close_whole
from kucoin_research.figures.heat_chart import HeatChart
from kucoin_research.figures.history_rows import with_history
from kucoin_research.figures.indicator import Indicator
from kucoin_research.figures.lag_chart import LagChart, has_virtual_clock, lag_options
from kucoin_research.figures.line_charts import FlowChart, MarkChart, PriceChart, SpreadChart
from kucoin_research.figures.run_chart import RunChart
from kucoin_research.figures.shown_sizes import ShownSizes
from kucoin_research.figures.tail import Joined, Rows, Tail
from kucoin_research.figures.time_axis import Zone
from kucoin_research.figures.trade_marks import MARKED
from kucoin_research.figures.user_traces import PRICE_PANE
from kucoin_research.figures.widget import LiveFigure
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.size_unit import SizeUnit, Unit, native_unit, units_of
from kucoin_research.model.source import LiveSource, is_replay
from kucoin_research.playback.replay import Replay
from kucoin_research.strategy.paper import PaperTrading
from kucoin_research.streaming.stream import Stream

__all__ = ["BOOKS", "LOWER", "MAIN", "STRATEGY", "ChartSlot", "Scene"]

STRATEGY = "Strategy"  # the chart of a strategy's run
MAIN: dict[str, type[Chart]] = {"Price": PriceChart}
LOWER: dict[str, type[Chart]] = {
    "Candles": CandleChart, "Heat map": HeatChart, "Spread": SpreadChart, "Flow": FlowChart,
    "Mark": MarkChart, "Lag": LagChart, STRATEGY: RunChart,
}  # fmt: skip
BOOKS: dict[str, type[Chart | LadderTable]] = {
    "Ladder": LadderTable, "Levels": LadderChart, "Depth": DepthChart,
}  # fmt: skip


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
    histories
        Where the rows before a stream's first come from; ``None``: charts have none.
    plots
        Lines and marks of the user.
    unit
        The kind of unit that the user wants sizes in; empty: that of the exchange.
    indicators
        Those on the candles, and on the prices as far as they are prices.
    """

    source: LiveSource
    symbol: str
    zone: Zone = field(default_factory=Zone)
    window_s: float | None = 300.0
    every: str | None = None
    run: PaperTrading | None = None
    histories: Histories | None = None
    plots: UserPlots = field(default_factory=UserPlots)
    indicators: tuple[Indicator, ...] = ()
    unit: str = ""

    @property
    def instrument(self) -> Instrument | None:
        """The exchange's facts of the symbol; ``None`` where the source has none."""
        source = self.source
        known = source.instruments if isinstance(source, Stream | Replay) else {}
        return known.get(self.symbol)

    @property
    def units(self) -> dict[Unit, SizeUnit]:
        """The units that sizes can be shown in, the exchange's own first."""
        return units_of(self.symbol, self.instrument)

    @property
    def size_unit(self) -> SizeUnit:
        """The unit that sizes are shown in: the one wanted, where the symbol has it."""
        return next((each for each in self.units.values() if each.kind == self.unit), None) or (
            native_unit(self.symbol)
        )

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
            unit = {"unit": self.size_unit}
            return {**marked, **own, **every, **unit, "indicators": self._lines(kind)}
        if kind is RunChart:
            # A position has no price of its own to be converted at.
            currency = "" if self.run is None else self.run.options.currency
            return {"currency": currency, "unit": native_unit(self.symbol).name}
        if kind is LagChart:
            return lag_options(self.source)
        if issubclass(kind, BookChart):
            sizes = {"unit": self.size_unit, "worth": self.units.get(Unit.QUOTE)}
            return {**sizes, "levels": 16} if kind is LadderChart else sizes
        return {"unit": self.size_unit} if kind in (FlowChart, HeatChart) else {}

    def _lines(self, kind: type[Chart]) -> tuple[Indicator, ...]:
        # Panes are on the candles only.
        is_whole = kind is CandleChart
        return tuple(each for each in self.indicators if is_whole or each.pane == PRICE_PANE)


_MARKED = (PriceChart, CandleChart)


def _supply(
    kind: type[Chart], scene: Scene, channels: dict[str, str]
) -> LiveSource | Callable[[], Rows]:
    """Return the source of a chart, or a function that makes its rows for a page."""
    live = _live_supply(kind, scene, channels)
    past = None if scene.histories is None else scene.histories.of(scene.source, scene.symbol)
    if past is None or not kind.takes_history:
        return live
    supply = live if callable(live) else partial(Tail, scene.source, scene.symbol, channels)
    return with_history(kind, supply, channels, past)


def _live_supply(
    kind: type[Chart], scene: Scene, channels: dict[str, str]
) -> LiveSource | Callable[[], Rows]:
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
        yield AccountRows(scene.source, scene.symbol, ShownSizes(scene.size_unit))


def _channels(kind: type[Chart | LadderTable], scene: Scene) -> dict[str, str]:
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
    group
        Name of the charts that have one time axis with it; see ``LiveFigure``.

    Notes
    -----
    Its methods may be called by one thread at a time.
    """

    def __init__(
        self,
        kinds: Mapping[str, type[Chart | LadderTable]],
        scene: Scene,
        name: str,
        height: int = 330,
        *,
        group: str = "",
    ) -> None:
        self._group = group
        self._kinds = kinds
        self._scene = scene
        self._height = height
        self._is_frozen = False
        self._own: Mapping[float, float] = {}
        self.figure: LiveFigure | LadderTable | None = None
        self.on_mark: Callable[[int, float], object] | None = None  # of the charts; see there
        self._shown: type[Chart | LadderTable] | None = None
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
        if issubclass(kind, LadderTable):
            self._show_ladder(scene, channels["book"])
        elif isinstance(self.figure, LiveFigure) and self._shown is kind:
            supply = _supply(kind, scene, channels)
            self.figure.attach(supply, scene.symbol, channels, scene.options(kind))
        else:
            self._drop()
            self.figure, self._shown = self._make(kind, channels), kind
            self._place.children = (self.figure,)
        self._look()

    def _show_ladder(self, scene: Scene, channel: str) -> None:
        facts = scene.instrument
        options: dict[str, Any] = {
            "unit": scene.size_unit,
            "tick": None if facts is None else facts.tick_size,
        }
        if isinstance(self.figure, LadderTable):
            self.figure.attach(scene.source, scene.symbol, channel, **options)
            return
        self._drop()
        self.figure = LadderTable(scene.source, scene.symbol, channel, **options)
        self.figure.own = self._own
        self._shown = LadderTable
        self._place.children = (self.figure,)

    def show_own(self, sizes: Mapping[float, float]) -> None:
        """Show the sizes of own orders by price, as the exchange counts them, in a ladder."""
        self._own = sizes
        if isinstance(self.figure, LadderTable):
            self.figure.own = sizes

    def _make(self, kind: type[Chart], channels: dict[str, str]) -> LiveFigure:
        scene = self._scene
        options = scene.options(kind)
        sketch = Sketch(scene.symbol, scene.zone, self._height, options, is_compact=True)
        window_ns = None if scene.window_s is None else round(scene.window_s * 1e9)
        supply = _supply(kind, scene, channels)
        figure = LiveFigure(kind, supply, sketch, channels, window_ns=window_ns, is_part=True)
        figure.keeps_still, figure.group = False, self._group
        figure.on_mark = self.on_mark
        return figure

    @property
    def lasting(self) -> tuple[widgets.Widget, ...]:
        """The widgets that are closed with it, shown or not; charts come and go."""
        return (self._words, self._head, self.box)

    def _look(self) -> None:
        if isinstance(self.figure, LiveFigure):
            self.figure.paced_by = self._scene.source
            self.figure.window = self._scene.window_s
        if self.figure is not None:
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
