"""What follows when the user chooses a symbol, a market, channels, or the time shown.

A symbol that does not stream yet is subscribed to on the running stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from kucoin_research.dashboards.controls import DEFAULT_SYMBOLS, Controls
from kucoin_research.dashboards.idle import Idle
from kucoin_research.dashboards.recording_control import RecordingControl
from kucoin_research.dashboards.stage import Stage
from kucoin_research.dashboards.strategy_desk import StrategyDesk
from kucoin_research.dashboards.stream_starter import StreamStarter
from kucoin_research.dashboards.watchlist import MOST_PINS, Watchlist
from kucoin_research.errors import (
    InvalidInput,
    KucoinResearchError,
    SymbolNotTrading,
    UnknownSymbol,
    shown,
)
from kucoin_research.figures.indicator import Indicator, indicators_of, text_of
from kucoin_research.model.channels import Market, market_of
from kucoin_research.streaming.stream import Stream

__all__ = ["Choices"]


class Choices:
    """Takes the choices of symbol, market, channels and view from the controls of a dashboard.

    Parameters
    ----------
    controls
        Where the user chooses.
    stage
        The present scene.
    starter
        Knows the symbols that trade.
    desk
        The strategy, which moves to another symbol.
    recording
        While it is on, no symbol is given up.

    Notes
    -----
    One thread at a time may use it. Its methods raise a ``KucoinResearchError`` where a choice
    cannot be had; the scene stays as it was.
    """

    def __init__(
        self,
        controls: Controls,
        stage: Stage,
        starter: StreamStarter,
        desk: StrategyDesk,
        recording: RecordingControl,
    ) -> None:
        self._controls, self._stage, self._starter = controls, stage, starter
        self._desk, self._recording = desk, recording

    def offer_symbols(self) -> None:
        """Offer the symbols that trade, or those of a given source."""
        if not self._stage.is_own:
            self._controls.symbol.options = tuple(self._stage.source.symbols)
            return
        try:
            listed = self._starter.listed(self._controls.market.value)
            self._controls.symbol.options = tuple(listed)
        except KucoinResearchError as error:
            self._stage.say(f"the list of symbols could not be read: {error}", "wrong")

    def take_symbol(self) -> None:
        """Show the symbol that the text in the control means."""
        stage, is_own = self._stage, self._stage.is_own
        symbol = self._controls.symbol_meant(
            partial(self._starter.listed, self._controls.market.value)
            if is_own
            else lambda: stage.source.symbols
        )
        if symbol == stage.symbol:
            self._controls.mark_wrong(is_wrong=False)
            if stage.line[1] == "wrong":  # it is mended
                running = stage.watched if stage.running is not None else None
                stage.say(_at_present(running, symbol) if is_own else "")
        elif not is_own:
            self._look_at(symbol)
        elif stage.running is not None:
            self._watch(symbol)
        else:
            self._prepare(symbol)

    def take_card(self, symbol: str) -> None:
        """Show a symbol of the watch list, whatever market it is on."""
        stage, controls = self._stage, self._controls
        if symbol == stage.symbol:
            return
        market = str(market_of(symbol))
        with controls.quietly():
            if stage.is_own and controls.market.value != market:
                controls.symbol.options = tuple(self._starter.listed(market))
                controls.market.value = market
            controls.symbol.value = symbol
        self.take_symbol()

    def watch(self, symbols: Sequence[str]) -> None:
        """Take symbols into the watch list, and stream them with what streams.

        Raises
        ------
        InvalidInput
            If the dashboard shows a given source, or there are too many.
        KucoinResearchError
            If one is unknown, or cannot be streamed; the watch list stays as it was.
        """
        stage = self._stage
        self._refuse_a_given_source()
        pins = list(dict.fromkeys([*stage.pins, *symbols]))
        if len(pins) > MOST_PINS:
            raise InvalidInput(f"a watch list holds {MOST_PINS} symbols, not {len(pins)}")
        running, watched = stage.running, stage.watched
        if running is not None and watched is not None:
            before, watched.pins = watched.pins, pins
            try:
                watched.complete()
            except KucoinResearchError:
                watched.pins = before
                raise
            stage.say(watched.summary())
        else:
            for each in symbols:
                self._starter.check(each, str(market_of(each)))
        stage.pins = pins
        stage.show(stage.scene)

    def unwatch(self, symbols: Sequence[str]) -> None:
        """Take symbols from the watch list; they stream no more, but for the one that is shown.

        Raises
        ------
        InvalidInput
            If one is not in the watch list, or the dashboard shows a given source.
        """
        stage = self._stage
        self._refuse_a_given_source()
        for each in symbols:
            if each not in stage.watch:
                there = ", ".join(stage.watch[:8])
                raise InvalidInput(f"{shown(each)} is not in the watch list: {there}")
        stage.pins = [each for each in stage.pins if each not in symbols]
        if stage.running is not None and stage.watched is not None:
            stage.watched.pins = stage.pins
            if self._recording.is_on:
                stage.say(f"{', '.join(symbols)} streams on while the recording goes on")
            else:
                stage.say(stage.watched.summary(stage.watched.give_up(symbols)))
        stage.show(stage.scene)

    def _refuse_a_given_source(self) -> None:
        if not self._stage.is_own:
            raise InvalidInput(
                "this dashboard shows a given source, whose symbols are its watch list"
            )

    def take_market(self) -> None:
        """Show the usual symbol of the market that is chosen."""
        market = self._controls.market.value
        try:
            listed = self._starter.listed(market)
        except KucoinResearchError:
            self._controls.set_back()
            raise
        wanted = DEFAULT_SYMBOLS[Market(market)]
        symbol = wanted if wanted in listed or not listed else listed[0]
        with self._controls.quietly():
            self._controls.symbol.options = tuple(listed)
            self._controls.symbol.value = symbol
        self.take_symbol()

    def take_channels(self) -> None:
        """Stream the channels that are switched on."""
        if self._stage.running is not None:
            self._watch(self._stage.symbol)
        else:
            self._stage.say(f"channels: {', '.join(self._controls.channels_to_stream())}")

    def take_view(self) -> None:
        """Show the window and the candles that are chosen."""
        controls, stage = self._controls, self._stage
        is_running = stage.running is not None and stage.watched is not None
        if is_running and controls.channels["candle"].value:
            assert stage.watched is not None
            has_others = controls.channels_to_stream() != stage.watched.channels
            if has_others:  # the candles are to be of another interval
                self._watch(stage.symbol)
        stage.show(
            replace(
                stage.scene,
                window_s=controls.window_s,
                every=controls.every,
                unit=controls.unit_wanted,
            )
        )

    def take_indicators(self) -> None:
        """Show the indicators that the text in the control names."""
        # Those of an expression have a name there, too: it keeps them, or takes them away.
        own = {each.name: each for each in self._stage.scene.indicators}
        words = [each.strip() for each in self._controls.indicators.value.split(",")]
        try:
            chosen = indicators_of([own.get(each, each) for each in words if each])
        except InvalidInput:
            self._controls.indicators.add_class("kr-wrong")  # the text stays to be mended
            raise
        self.show_indicators(chosen)

    def show_indicators(self, indicators: tuple[Indicator, ...]) -> None:
        """Show other indicators."""
        text = text_of(indicators)
        self._stage.show_indicators(indicators)
        self._controls.indicators.remove_class("kr-wrong")
        with self._controls.quietly():
            self._controls.indicators.value = text
        self._stage.say(f"indicators: {text or 'none'}")

    def _watch(self, symbol: str) -> None:
        """Stream what the controls say on the running stream, and show it."""
        stage, controls = self._stage, self._controls
        watched = stage.watched
        assert watched is not None  # a stream of its own runs
        try:
            change = watched.watch(
                symbol,
                controls.market.value,
                controls.channels_to_stream(),
                keeps_all=self._recording.is_on,
            )
        except KucoinResearchError as error:
            is_unknown = isinstance(error, UnknownSymbol | SymbolNotTrading)
            controls.set_back(wrong=symbol if is_unknown else None)
            raise
        controls.accept(symbol)
        line, tone = watched.summary(change), "" if change.left is None else "wrong"
        if symbol != stage.symbol:
            try:
                moved = self._desk.move(watched.stream, symbol)
                line = "; ".join(filter(None, (line, moved)))
            except (KucoinResearchError, OSError) as error:  # the symbol is shown all the same
                line, tone = f"{line}; no strategy runs on it: {error}", "wrong"
        stage.show(replace(stage.scene, symbol=symbol, every=controls.every, run=self._desk.run))
        stage.say(line, tone)

    def _look_at(self, symbol: str) -> None:
        there = self._stage.source.symbols
        self._controls.mark_wrong(is_wrong=symbol not in there)
        if symbol not in there:
            raise InvalidInput(
                f"symbol {shown(symbol)} is not streamed here; streamed are {', '.join(there[:8])}"
            )
        self._stage.show(replace(self._stage.scene, symbol=symbol))

    def _prepare(self, symbol: str) -> None:
        stage, controls = self._stage, self._controls
        own = stage.own
        if isinstance(own, Stream) and symbol in own.symbols:
            controls.mark_wrong(is_wrong=False)
            stage.show(replace(stage.scene, source=own, symbol=symbol))
            stage.say(f"{symbol} as it was when the stream stopped; press Start to stream it")
            return
        controls.mark_wrong(is_wrong=True)
        self._starter.check(symbol, controls.market.value)
        controls.mark_wrong(is_wrong=False)
        stage.show(replace(stage.scene, source=Idle(symbol), symbol=symbol))
        stage.say(f"press Start to stream {symbol}")


def _at_present(running: Watchlist | None, symbol: str) -> str:
    return f"press Start to stream {symbol}" if running is None else running.summary()
