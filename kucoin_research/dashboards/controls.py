"""The controls of a dashboard, as ipywidgets; the dashboard decides what they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets

from kucoin_research.dashboards.symbol_search import find_symbol
from kucoin_research.errors import InvalidInput
from kucoin_research.model.channels import CANDLE_INTERVALS, Market
from kucoin_research.model.size_unit import SizeUnit, Unit

__all__ = ["CHANNELS", "DEFAULT_SYMBOLS", "INTERVALS", "WINDOWS", "Controls"]

#: The symbol of each market that is shown where none is named.
DEFAULT_SYMBOLS = {Market.FUTURES: "XBTUSDTM", Market.SPOT: "BTC-USDT"}

#: Channels that can be switched on, with the label of the chip.
CHANNELS: dict[str, str] = {
    "ticker": "ticker", "trade": "trades", "depth50": "depth 50", "level2": "level 2",
    "candle": "candles", "mark_price": "mark", "funding_rate": "funding",
}  # fmt: skip
#: The candle intervals; ``auto`` suits the view.
INTERVALS = ("auto", "1s", "5s", "15s", "1min", "5min", "15min", "1hour")
#: Label and seconds of each window.
WINDOWS: dict[str, float | None] = {
    "1 min": 60.0, "5 min": 300.0, "15 min": 900.0, "1 hour": 3_600.0, "4 hours": 14_400.0,
    "all": None,
}  # fmt: skip


class Controls:
    """The widgets that control a dashboard; each has a CSS class of its own, such as ``kr-start``.

    Parameters
    ----------
    channels
        The channels that are switched on.
    market, symbol, interval, window, folder, indicators
        Initial values.
    """

    def __init__(
        self,
        channels: Sequence[str],
        *,
        market: str,
        symbol: str,
        interval: str,
        window: str,
        folder: str,
        indicators: str = "",
    ) -> None:
        self._is_quiet = False  # a control is set by the program, not by the user
        # The symbols offered and the values when a press was last accepted.
        self._accepted: tuple[tuple[str, ...], dict[widgets.Widget, Any]] | None = None
        self.market = widgets.ToggleButtons(
            options=[("Futures", "futures"), ("Spot", "spot")],
            value=market,
            tooltips=["perpetual and dated contracts", "pairs of coins"],
            tooltip="market",
        )
        self.symbol = widgets.Combobox(
            value=symbol,
            ensure_option=False,
            continuous_update=False,
            placeholder="symbol",
            tooltip="symbol; a coin's name such as SOL is enough, then Enter",
        )
        names = dict(CHANNELS)
        for channel in channels:
            names.setdefault(channel, channel)
        self.channels = {
            name: widgets.ToggleButton(
                value=name in channels,
                description=label,
                tooltip=f"stream the channel {name}",
            )
            for name, label in names.items()
        }
        self.interval = widgets.Dropdown(
            options=list(INTERVALS),
            value=interval,
            description="candles",
            tooltip="interval of candles; auto suits the time shown",
        )
        self.window = widgets.Dropdown(
            options=list(WINDOWS),
            value=window,
            description="window",
            tooltip="time that charts show of the newest data",
        )
        self.unit = widgets.Dropdown(options=[("", "")], description="sizes")
        self.unit_wanted = ""  # the user's choice, also while a symbol lacks that unit
        self.on_change(self.unit, self._want_unit)
        self.indicators = widgets.Text(
            value=indicators,
            continuous_update=False,
            placeholder="SMA 20, RSI 14",
            description="indicators",
            tooltip="indicators of the candles, with commas between them, then Enter: "
            "SMA 20, EMA 50, VWAP (of the day), VWAP 20, ATR 14, RSI 14",
        )
        self.start = widgets.Button(
            description="Start", icon="play", tooltip="stream the symbol and the channels chosen"
        )
        self.stop = widgets.Button(
            description="Stop", icon="stop", tooltip="stop the stream; its charts stay"
        )
        self.record = widgets.ToggleButton(
            description="Record",
            icon="circle",
            tooltip="record everything that is streamed, until it is pressed again",
        )
        self.folder = widgets.Text(
            value=folder, continuous_update=False, tooltip="folder that recordings go to"
        )
        self.freeze = widgets.ToggleButton(
            description="Freeze",
            icon="snowflake-o",
            tooltip="charts stand still, the stream goes on",
        )
        chips = widgets.Box(list(self.channels.values()))
        chips.add_class("kr-chips")
        buttons = widgets.Box([self.start, self.stop, self.record, self.folder, self.freeze])
        views = widgets.Box([self.interval, self.window, self.unit, self.indicators])
        views.add_class("kr-views")
        self.box = widgets.Box([self.market, self.symbol, buttons, views, chips])
        self.box.add_class("kr-controls")
        named = {
            "market": self.market,
            "symbol": self.symbol,
            "interval": self.interval,
            "window": self.window,
            "unit": self.unit,
            "indicators": self.indicators,
            "start": self.start,
            "stop": self.stop,
            "record": self.record,
            "folder": self.folder,
            "freeze": self.freeze,
        }
        for name, widget in named.items():
            widget.add_class(f"kr-{name}")
        for name, chip in self.channels.items():
            chip.add_class(f"kr-channel-{name}")

    def on_change(self, widget: widgets.Widget, act: Callable[[Any], object]) -> None:
        """Call ``act`` with the new value each time the user changes a widget."""

        def changed(change: dict[str, Any]) -> None:
            if not self._is_quiet:
                act(change["new"])

        widget.observe(changed, "value")

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Set values within this block without calling the functions of ``on_change``."""
        before, self._is_quiet = self._is_quiet, True
        try:
            yield
        finally:
            self._is_quiet = before

    def accept(self, symbol: str) -> None:
        """Note that what the controls say is streamed, and that symbol shown."""
        self.mark_wrong(is_wrong=self.symbol.value.strip() != symbol)
        chips = {chip: chip.value for chip in self.channels.values()}
        values = {self.market: self.market.value, self.interval: self.interval.value}
        self._accepted = self.symbol.options, {**values, self.symbol: symbol, **chips}

    def set_back(self, *, wrong: str | None = None) -> None:
        """Set the controls as they were before a press that was refused.

        A symbol that is wrong stays to be mended, and is marked.
        """
        if self._accepted is None:
            return
        options, values = self._accepted
        with self.quietly():
            self.symbol.options = options
            for widget, value in values.items():
                widget.value = value
            if wrong is not None:
                self.symbol.value = wrong
        self.mark_wrong(is_wrong=wrong is not None)

    @property
    def chosen(self) -> list[str]:
        """The channels that are switched on."""
        return [name for name, chip in self.channels.items() if chip.value]

    def channels_to_stream(self) -> list[str]:
        """Name the channels that are switched on, candles with their interval.

        Raises
        ------
        InvalidInput
            If none is.
        """
        names = self.chosen
        interval = self.interval.value
        if "candle" in names and interval in CANDLE_INTERVALS:
            names[names.index("candle")] = f"candle:{interval}"
        if not names:
            raise InvalidInput("no channel is switched on")
        return names

    @property
    def every(self) -> str | None:
        """The interval of candles; ``None``: one that suits the view."""
        return None if self.interval.value == "auto" else str(self.interval.value)

    @property
    def window_s(self) -> float | None:
        """Seconds of the newest data that charts follow; ``None``: all data."""
        return WINDOWS[self.window.value]

    def _want_unit(self, kind: str) -> None:
        self.unit_wanted = kind

    def offer_units(self, units: Mapping[Unit, SizeUnit], *, is_idle: bool) -> None:
        """Offer units of sizes; with a single one the control is disabled and says why."""
        native, *others = units.values()
        options = [(each.name, str(each.kind)) for each in units.values()]
        tooltip = "unit of sizes and volumes; worth is counted at each trade's or level's own price"
        if not others:
            options = [(f"{native.name} (worth not known)", str(native.kind))]
            tooltip = "the source has no facts of this contract, so its worth is not known"
        if not others and is_idle:
            options = [(native.name, str(native.kind))]
            tooltip = "the worth of a contract is known once it streams: press Start"
        with self.quietly():
            if list(self.unit.options) != options:
                self.unit.options = options
            self.unit.value = next(
                (kind for _, kind in options if kind == self.unit_wanted), str(native.kind)
            )
        self.unit.tooltip, self.unit.disabled = tooltip, not others

    def allow(self, *, choosing: bool, starting: bool, stopping: bool, recording: bool) -> None:
        """Enable the controls that can be used now."""
        for each in (self.market, *self.channels.values()):
            each.disabled = not choosing
        self.start.disabled = not starting
        self.stop.disabled = not stopping
        self.record.disabled = self.folder.disabled = not recording

    def symbol_meant(self, listed: Callable[[], Sequence[str]]) -> str:
        """Return the symbol that the text in the symbol control means, and put it there.

        Parameters
        ----------
        listed
            Returns the symbols to choose from.

        Returns
        -------
        str
            The text itself where no symbol fits.

        Raises
        ------
        InvalidInput
            If several fit; they become the first ones that the control offers.
        """
        typed = str(self.symbol.value).strip()
        found = find_symbol(typed, listed(), Market(self.market.value))
        if found.near:
            others = (each for each in self.symbol.options if each not in found.near)
            self.symbol.options = (*found.near, *others)
            self.mark_wrong(is_wrong=True)
            raise InvalidInput(found.sentence(typed))
        if found.symbol is not None:
            with self.quietly():
                self.symbol.value = found.symbol
        return found.symbol or typed

    def mark_wrong(self, *, is_wrong: bool) -> None:
        """Mark the text in the symbol control as unknown, or as good."""
        (self.symbol.add_class if is_wrong else self.symbol.remove_class)("kr-wrong")
