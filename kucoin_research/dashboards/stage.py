"""The present scene of a dashboard, and the places that show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kucoin_research.dashboards.chart_slots import ChartSlot, Scene
from kucoin_research.dashboards.panel_refresh import PanelRefresh
from kucoin_research.dashboards.watchlist import MOST_PINS, Watchlist
from kucoin_research.figures.indicator import Indicator
from kucoin_research.model.source import LiveSource
from kucoin_research.playback.replay import Replay
from kucoin_research.streaming.stream import Stream

__all__ = ["Stage"]


class Stage:
    """Holds the present scene, and shows another one in all places at once.

    Parameters
    ----------
    scene
        To begin with.
    refresh
        Of the panel.
    slots
        The places of the charts.
    given
        A source of the user, who stops it.
    own
        A replay that the dashboard has opened.
    pins
        The symbols of the watch list.

    Attributes
    ----------
    scene
        The scene that is shown.
    own
        The stream or replay that the dashboard stops; None where it has none.
    watched
        What the own stream carries; None until one was started.
    pins
        The symbols of the watch list.

    Notes
    -----
    One thread at a time may use it.
    """

    def __init__(
        self,
        scene: Scene,
        refresh: PanelRefresh,
        slots: Sequence[ChartSlot],
        *,
        given: LiveSource | None,
        own: Replay | None,
        pins: Sequence[str] = (),
    ) -> None:
        self.scene = scene
        self.own: Stream | Replay | None = own
        self.watched: Watchlist | None = None
        self.pins = list(pins)
        self._given, self._refresh, self._slots = given, refresh, slots

    @property
    def source(self) -> LiveSource:
        """The source that is shown: a stream, a replay, or an idle one."""
        return self.scene.source

    @property
    def symbol(self) -> str:
        """The symbol that is shown."""
        return self.scene.symbol

    @property
    def is_own(self) -> bool:
        """Whether the dashboard starts streams by itself, rather than show a given source."""
        return self._given is None and self._refresh.readers.transport is None

    @property
    def running(self) -> Stream | None:
        """The stream that the dashboard has started, while it runs."""
        own = self.own
        return own if isinstance(own, Stream) and not own.stopping.is_set() else None

    @property
    def watch(self) -> list[str]:
        """The symbols of the cards: the watch list, and those that were looked at besides."""
        if not self.is_own:
            there = list(self.source.symbols)[:MOST_PINS]
            is_left_out = self.symbol not in there and len(there) == MOST_PINS
            return [*there[:-1], self.symbol] if is_left_out else there
        streamed = [] if self.watched is None or self.running is None else self.watched.symbols
        looked_at = sorted(each for each in {*streamed, self.symbol} if each not in self.pins)
        return [*self.pins, *looked_at]

    @property
    def line(self) -> tuple[str, str]:
        """Text and tone of the status line."""
        return self._refresh.line

    def say(self, text: str, tone: str = "") -> None:
        """Put a text into the status line."""
        self._refresh.say(text, tone)

    def show_indicators(self, indicators: tuple[Indicator, ...]) -> None:
        """Show other indicators; charts that have none stay as they are."""
        self.scene = replace(self.scene, indicators=indicators)
        for slot in self._slots:
            if slot.has_indicators:
                slot.show(self.scene)

    def show(self, scene: Scene) -> None:
        """Show another scene."""
        self.scene = scene
        self._refresh.show(scene)
        self._refresh.watch = self.watch
        for slot in self._slots:
            slot.show(scene)
