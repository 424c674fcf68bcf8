"""The dashboard widget: controls, health, charts and tape of one source."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import ipywidgets as widgets
import polars as pl

from kucoin_research.dashboards.alert import Alert, Firing
from kucoin_research.dashboards.alerts import Alerts
from kucoin_research.dashboards.chart_slots import BOOKS, LOWER, MAIN, STRATEGY, ChartSlot, Scene
from kucoin_research.dashboards.choices import Choices
from kucoin_research.dashboards.controls import Controls
from kucoin_research.dashboards.health import Health
from kucoin_research.dashboards.histories import Histories
from kucoin_research.dashboards.idle import Idle
from kucoin_research.dashboards.indicator_list import IndicatorList
from kucoin_research.dashboards.panel import Panel
from kucoin_research.dashboards.panel_refresh import PanelRefresh
from kucoin_research.dashboards.recording_control import RecordingControl
from kucoin_research.dashboards.replay_bar import ReplayBar
from kucoin_research.dashboards.run_texts import RunTexts
from kucoin_research.dashboards.stage import Stage
from kucoin_research.dashboards.strategy_desk import StrategyDesk
from kucoin_research.dashboards.stream_starter import StreamStarter
from kucoin_research.dashboards.user_points import name_from
from kucoin_research.dashboards.watchlist import Watchlist
from kucoin_research.errors import InvalidInput, KucoinResearchError
from kucoin_research.exchange.venues import Venue
from kucoin_research.figures.closing import close_whole, ids_of
from kucoin_research.figures.indicator import Indicator, text_of
from kucoin_research.figures.notebook_cells import count_in_cell, replace_in_cell
from kucoin_research.figures.refresh import refresher
from kucoin_research.figures.saved_picture import SavedPicture, leave, show_widget
from kucoin_research.figures.time_axis import Zone
from kucoin_research.figures.widget import LiveFigure
from kucoin_research.foundation.arguments import name_of, seconds, texts, truth
from kucoin_research.model.channels import market_of
from kucoin_research.model.source import LiveSource
from kucoin_research.playback.replay import Replay
from kucoin_research.sessions.writing.recorder import Recorder
from kucoin_research.strategy.options import Strategy
from kucoin_research.strategy.paper import PaperTrading
from kucoin_research.streaming.stream import Stream

__all__ = ["Dashboard", "next_number"]

log = logging.getLogger(__name__)

_BAR = frozenset({"play", "pause", "step", "rewind", "seek", "speed"})
_ALERTS = frozenset({"alert", "unalert", "seen"})


class Dashboard(widgets.Box):  # type: ignore[misc]  # ipywidgets has no types
    """Live charts with controls; ``kucoin_research.dashboard`` makes one.

    Attributes
    ----------
    controls
        The ipywidgets, by name: ``start``, ``stop``, ``record``, ``symbol``, ….
    panel
        Badge, tiles, tape, status line and replay bar.
    transport
        Drives a replay as the bar does; ``None`` where there is none.
    indicators
        Those on the candles: ``indicators.add("EMA 50")``, ``indicators.remove("EMA 50")``.
    price, lower, book
        Places of the charts; ``.figure`` is the ``LiveFigure`` or the ``LadderTable`` there.

    Notes
    -----
    Methods may be called from any thread, one at a time. An error after the press of a button is
    shown in the status line; the same call from a cell raises it.
    """

    _is_closed = True  # until there is something that close() could end
    _is_built = False

    def __init__(
        self,
        symbol: str,
        *,
        source: LiveSource | None = None,
        own: Replay | None = None,
        run: PaperTrading | None = None,
        venue: Venue | str | None = None,
        market: str | None = None,
        channels: Sequence[str] = ("ticker", "trade", "depth50"),
        interval: str = "auto",
        window: str = "5 min",
        root: str | os.PathLike[str] = "data/sessions",
        tz: str = "UTC",
        capacity: int = 1_000_000,
        feed: str = "classic",
        name: str | None = None,
        indicators: tuple[Indicator, ...] = (),
        watch: Sequence[str] = (),
        history: bool = True,
    ) -> None:
        super().__init__()
        number = next_number()
        # First, so that the dashboard of the last run has ended.
        before = replace_in_cell(self, Dashboard._legacy, keeps_picture=False)
        self._acting = threading.RLock()  # held by what buttons and callers do
        self._starter = StreamStarter(
            venue, capacity=capacity, feed=feed, name=name, number=number, warn=self._say
        )
        self._desk = StrategyDesk(run)
        self._still = SavedPicture()
        self._histories = Histories()
        market = market or str(market_of(symbol, None))
        self.controls = Controls(
            channels,
            market=market,
            symbol=symbol,
            interval=interval,
            window=window,
            folder=os.fspath(root),
            indicators=text_of(indicators),
        )
        self._recording = RecordingControl(self.controls)
        shown = source if source is not None else own
        scene = Scene(
            Idle(symbol) if shown is None else shown,
            symbol,
            Zone(tz),
            self.controls.window_s,
            self.controls.every,
            run,
            self._histories if history else None,
            indicators=indicators,
        )
        self.panel = Panel(self._on_panel)
        self._alerts = Alerts(scene.source, scene.zone, self._tell_pages)
        axis = self.panel.uid  # its charts over time have one
        self.price = ChartSlot(MAIN, scene, "main", group=axis)
        self.lower = ChartSlot(LOWER, scene, "lower", group=axis)
        self.book = ChartSlot(BOOKS, scene, "book", 660)
        self._slots = (self.price, self.lower, self.book)
        for slot in self._slots:
            slot.on_mark = self._choose_mark
        if run is not None:
            self.lower.switch.value = STRATEGY
        self._refresh = PanelRefresh(
            scene,
            self.panel,
            self.controls,
            recording=self._recording,
            slots=self._slots,
            alerts=self._alerts,
            on_state=self._allow,
        )
        self._stage = Stage(scene, self._refresh, self._slots, given=source, own=own, pins=watch)
        self._refresh.watch = self._stage.watch
        self._choices = Choices(
            self.controls, self._stage, self._starter, self._desk, self._recording
        )
        self.indicators = IndicatorList(self._stage, self._choices, self._acting, self._check_open)
        self._is_closed, self._is_built = False, True
        if count_in_cell(Dashboard) is None:
            _outside.add(self)
        self._arrange()
        self.panel.parts = ids_of(self, *(each for slot in self._slots for each in slot.lasting))
        for slot in self._slots:
            slot.show(self._stage.scene)
        self._listen()
        if isinstance(before, _Legacy):
            self._recording.news = before.news
            self._alerts.inherit(before.alerts)
        self._say(self._recording.news)
        self._choices.offer_symbols()
        self._allow()
        self._refresh.start()

    def _legacy(self) -> _Legacy | None:
        """Return what the dashboard that takes the place of this one goes on with."""
        return (
            _Legacy(self._recording.news, tuple(self._alerts.of_pages)) if self._is_built else None
        )

    def _check_open(self) -> None:
        if self._is_closed:
            raise InvalidInput("this dashboard is closed; run its cell again")

    def _arrange(self) -> None:
        grid = widgets.Box([self.panel, self.controls.box, *(slot.box for slot in self._slots)])
        grid.add_class("kr-grid")
        self.children = (grid,)
        self.add_class("kr-dashboard")
        if self.transport is not None:
            self.add_class("kr-of-replay")

    def _listen(self) -> None:
        def show_again(slot: ChartSlot, _: object) -> None:
            slot.show(self._stage.scene)

        controls = self.controls
        controls.start.on_click(lambda _: self._press(self.start))
        controls.stop.on_click(lambda _: self._press(self.stop))
        self._on(controls.record, lambda on: self.record() if on else self.stop_recording())
        self._on(controls.freeze, lambda on: self.freeze(is_frozen=on))
        self._on(controls.symbol, lambda _: self._choices.take_symbol())
        self._on(controls.market, lambda _: self._choices.take_market())
        self._on(controls.window, lambda _: self._choices.take_view())
        self._on(controls.interval, lambda _: self._choices.take_view())
        self._on(controls.unit, lambda _: self._choices.take_view())
        self._on(controls.indicators, lambda _: self._choices.take_indicators())
        for chip in controls.channels.values():
            self._on(chip, lambda _: self._choices.take_channels())
        for slot in self._slots:
            self._on(slot.switch, partial(show_again, slot))

    def _on(self, widget: widgets.Widget, act: Callable[[Any], object]) -> None:
        self.controls.on_change(widget, lambda value: self._press(partial(act, value)))

    def _press(self, act: Callable[[], object]) -> None:
        # Every exception is caught: one of a button would end unseen in a log of JupyterLab.
        if self._is_closed:  # while a page draws the last picture
            return
        with self._acting:
            try:
                act()
            except (KucoinResearchError, OSError) as error:
                self._say(str(error), "wrong")
            except Exception as error:
                log.exception("a control of the dashboard met an unexpected error")
                self._say(f"unexpected {type(error).__name__}: {error}", "wrong")
            self._allow()

    def _say(self, text: str, tone: str = "") -> None:
        self._refresh.say(text, tone)

    # -- for users -------------------------------------------------------------------------------

    @property
    def source(self) -> LiveSource:
        """The source that is shown: a stream, a replay, or an idle one."""
        return self._stage.scene.source

    @property
    def symbol(self) -> str:
        """The symbol that is shown."""
        return self._stage.scene.symbol

    @property
    def transport(self) -> ReplayBar | None:
        """Drives a replay as the bar does; ``None`` where there is none."""
        return self._refresh.readers.transport

    @property
    def recorder(self) -> Recorder | None:
        """The recorder of the present recording, or of the last one."""
        return self._recording.recorder

    @property
    def run(self) -> PaperTrading | None:
        """The run of the strategy that is shown; ``None`` if there is none."""
        return self._desk.run

    @property
    def line(self) -> str:
        """The text of the status line."""
        return self._refresh.line[0]

    @property
    def is_running(self) -> bool:
        """Whether a stream runs that the dashboard has started."""
        return self._stage.running is not None

    @property
    def health(self) -> Health:
        """The judgement that the badge shows, as of now.

        It concerns the data alone. The badge adds a busy kernel, which the asking cell would cause
        itself, and a page that is slow to draw.
        """
        return self._refresh.health()

    def start(self) -> Stream:
        """Start a stream as set in the controls; the stream started before is replaced.

        While it runs, another symbol or channel is subscribed to on that very stream: its rows and
        a recording go on.

        Raises
        ------
        InvalidInput
            If the dashboard shows something that was handed in, or is closed.
        UnknownSymbol, UnknownChannel, ChannelNotOffered, SymbolNotTrading, Unreachable
            As ``stream`` does; the stream started before then goes on.
        KucoinResearchError, OSError
            If the stream has started, but the watch list, the strategy or the recording cannot go
            with it. Each is tried; the error names all that failed.
        """
        with self._acting:
            self._check_open()
            if not self._stage.is_own:
                raise InvalidInput("this dashboard shows what was handed in; start that elsewhere")
            symbol, market = self.controls.symbol.value.strip(), self.controls.market.value
            was_recording = self._recording.is_on  # it ends with the stream that is replaced
            try:
                channels = self._starter.offered(self.controls.channels_to_stream(), market)
                pins = self._stage.pins
                its = [each for each in pins if str(market_of(each)) == market]
                made = self._starter.start([*dict.fromkeys([symbol, *its])], channels, market)
            except KucoinResearchError:
                listed = self._starter.known(market)  # an exchange that is gone is not asked again
                if listed is not None:
                    self.controls.mark_wrong(is_wrong=symbol not in listed)
                raise
            self.controls.accept(symbol)
            self._recording.end()
            self._stage.own = made
            channels = self.controls.channels_to_stream()
            self._stage.watched = watched = Watchlist(made, symbol, channels, pins)
            # The stream runs, and is shown, even if it lacks a symbol or a strategy.
            failed = _errors_of(watched.complete, partial(self._begin_strategy, made, symbol))
            self._stage.show(replace(self._stage.scene, source=made, symbol=symbol, run=self.run))
            self._say("; ".join([watched.summary(), *self._recording.take_news()]))
            if was_recording:
                failed += _errors_of(self.record)
            self._allow()
            _raise_all(failed)
            return made

    def stop(self, timeout: float = 5.0) -> None:
        """Stop the stream that ``start`` has started; its charts stay."""
        with self._acting:
            running = self._stage.running
            if running is not None:
                self._recording.end()
                running.stop(timeout)
                if self.recorder is None:
                    self._say("stopped")
                else:
                    self._say(f"stopped; {self._recording.summary()}")
            self._allow()

    def record(self, root: str | os.PathLike[str] | None = None) -> Recorder:
        """Record everything from now on, until ``stop_recording`` or the stream's end.

        Parameters
        ----------
        root
            Folder in which the session's folder is made; left out: the one in the control.

        Raises
        ------
        InvalidInput
            If nothing streams, or the dashboard is closed.
        OSError
            If the folder cannot be made.
        """
        with self._acting:
            self._check_open()
            source = self.source
            if not isinstance(source, Stream) or source.stopping.is_set():
                self._recording.show(is_on=False)
                raise InvalidInput("nothing streams that could be recorded; press Start first")
            recorder = self._recording.start(source, root)
            self._say(f"recording to {recorder.path}")
            self._allow()
            return recorder

    def paper(self, strategy: Strategy, **options: Any) -> PaperTrading | None:
        """Trade with paper money on what is shown; fills, notes and position appear with it.

        While nothing streams yet, it begins with each ``start``. Another symbol that is chosen is
        subscribed to on the same stream, and the strategy begins anew on it; with ``symbols=`` it
        goes on with these. On the session that the dashboard
        has opened it is played from the first record to the present place, on a replay that was
        handed in it begins at the present place. It follows the replay bar, back and forth.

        Parameters
        ----------
        strategy
            ``strategy(record, broker)``; see ``kucoin_research.paper``. The one before is stopped.
        **options
            Those of ``kucoin_research.paper``.

        Returns
        -------
        PaperTrading | None
            The run, also ``run`` of the dashboard; ``None`` if nothing streams yet.

        Raises
        ------
        InvalidInput
            If the strategy or an option cannot be used, or the dashboard is closed.
        """
        with self._acting:
            self._check_open()
            source = self.source
            self._desk.ask(strategy, options, source, is_from_start=source is self._stage.own)
            if isinstance(source, Idle):
                self._say("press Start: the strategy begins with the stream")
                return None
            try:
                self._begin_strategy(source, self.symbol)
            finally:
                self._stage.show(replace(self._stage.scene, run=self.run))
            return self.run

    def _begin_strategy(self, source: LiveSource, symbol: str) -> None:
        run, is_own = self.run, source is self._stage.own
        # An own stream carries symbols besides that were looked at before.
        watched = symbol if is_own and isinstance(source, Stream) else None
        self._desk.begin(source, symbol=watched, is_from_start=is_own)
        if self.run is not run:
            with self.controls.quietly():
                self.lower.switch.value = STRATEGY

    def mark(
        self,
        t: Any,
        price: Any = None,
        text: Any = None,
        *,
        name: str = "marks",
        symbol: str | None = None,
        ahead: bool = False,
    ) -> None:
        """Mark instants on the price and the candles; the text is shown on hover.

        A mark that is there already, with the same time, price and text, is not added again. The
        newest 10,000 of each symbol are kept.

        Parameters
        ----------
        t
            A time: ISO text, a datetime (naive means UTC), ns as frames have them, or one of pandas
            or numpy; or many of them. Or a polars frame with ``timestamp``, ``price`` and perhaps
            ``text``, such as the rows of a channel.
        price, text
            One for all times, or as many as there are times.
        name
            A name by which ``clear`` takes them away.
        symbol
            Left out: the one that is shown now.
        ahead
            Whether a replay shows them before it has come to their times.

        Raises
        ------
        InvalidInput
            If one is no time, price or text, or if there are not as many of each.
        ColumnMissing
            If the frame lacks a column.
        """
        where = self.symbol if symbol is None else name_from(symbol, "symbol")
        self._stage.scene.plots.mark(where, t, price, text, name=name, ahead=ahead)

    def plot(
        self,
        name: str,
        t: Any,
        y: Any,
        *,
        pane: str = "price",
        symbol: str | None = None,
        ahead: bool = False,
    ) -> None:
        """Draw a line over the price and the candles, or add to it.

        It may be called for each message, from any thread; charts draw it at their next refresh.
        Points replace those of the line between the first and the last of their times. So newer
        ones are appended, and a cell that runs again draws the same. The newest 200,000 points of a
        line are kept.

        Parameters
        ----------
        name
            Of the line; there are up to 8.
        t, y
            A time, as for ``mark``, and a number; or many of both. Missing numbers are left out.
        pane
            ``"price"``, or the name of a pane below; there are up to 3.
        symbol
            Left out: the one that is shown now.
        ahead
            Whether a replay shows points before it has come to their times.

        Raises
        ------
        InvalidInput
            If one is no time or no number, if there are not as many of both, or if there is no room
            for another line or pane.
        """
        where = self.symbol if symbol is None else name_from(symbol, "symbol")
        self._stage.scene.plots.plot(where, name, t, y, pane=pane, ahead=ahead)

    def clear(self, name: str | None = None) -> None:
        """Take away the marks and lines of a name, or all.

        Raises
        ------
        InvalidInput
            If nothing has that name.
        """
        self._stage.scene.plots.clear(name)

    def next_decision(self) -> None:
        """Play a replay up to the strategy's next fill or note, and pause behind it.

        Raises
        ------
        InvalidInput
            If this shows no replay, or no strategy runs on it.
        """
        transport = self.transport
        if transport is None:
            raise InvalidInput("only a replay can be played up to the next fill or note")
        with self._acting:
            self._desk.play_to_next(transport.replay, partial(self._with_run, _choose_newest))

    def alert(
        self,
        condition: str | pl.Expr,
        call: Callable[[Firing], object] | None = None,
        *,
        symbol: str | None = None,
        channel: str | None = None,
        once: bool = False,
        rest: float = 60.0,
    ) -> Alert:
        """Report when a condition begins to hold: in the badge, in the browser, to a function.

        Every new row is looked at, whether or not a page is open. At first the newest row that is
        there counts: a condition that holds already fires at once.

        Parameters
        ----------
        condition
            A quantity, a sign and a number: ``"price > 65000"``, ``"spread >= 2 bp"``,
            ``"funding crosses 0 %"``, ``"lag > 500 ms"``, ``"age > 10 s"``; or ``"gap"``.
            Quantities are ``price`` and ``size`` of trades; ``bid``, ``ask``, ``mid``, ``spread``
            (bp of the mid), ``imbalance`` (of the best sizes, -1 to 1); ``mark``, ``index``,
            ``premium`` (bp of the index); ``funding`` (%); ``lag`` (ms); ``age`` (s since the
            newest row arrived).
            Or a polars expression that is true or false for each row of ``channel``; it sees the
            1,000 rows before the new ones, too.
        call
            Called with a ``Firing`` each time, on a thread of its own. If it raises, that is shown
            beside the alert, and it is called no more.
        symbol
            Left out: the one that is shown. The alert stays with it.
        channel
            Whose rows an expression reads.
        once
            End with the first moment.
        rest
            Seconds, on the clock of the rows, in which the alert does not fire again.

        Returns
        -------
        Alert
            ``fired`` lists its moments; ``remove()`` takes it away.

        Raises
        ------
        InvalidInput
            If the condition is not understood, or 50 alerts are set.
        UnknownChannel
            If there is no such channel.
        """
        return self._alerts.add(
            condition,
            name_of(symbol, "symbol") or self.symbol,
            call,
            channel=channel,
            is_once=truth(once, "once"),
            rest_s=seconds(rest, "rest"),
        )

    def watch(self, *symbols: str) -> None:
        """Take symbols into the watch list; they stream with the one that is shown.

        Raises
        ------
        InvalidInput
            If the dashboard shows a given source or is closed, or the list would hold more than 50.
        UnknownSymbol, SymbolNotTrading, ChannelNotOffered, Unreachable
            If one cannot be streamed; the list stays as it was.
        """
        with self._acting:
            self._check_open()
            self._choices.watch(texts(symbols, "symbols"))
            self._allow()

    def unwatch(self, *symbols: str) -> None:
        """Take symbols from the watch list; they stream no more, but for the one that is shown.

        Raises
        ------
        InvalidInput
            If one is not in the list, or the dashboard is closed.
        """
        with self._acting:
            self._check_open()
            self._choices.unwatch(texts(symbols, "symbols"))
            self._allow()

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """All alerts that are set."""
        return self._alerts.all

    def stop_recording(self) -> None:
        """End the recording; the stream goes on."""
        with self._acting:
            if self._recording.is_on:
                self._recording.end()
                self._say(self._recording.summary())
            self._allow()

    def freeze(self, *, is_frozen: bool = True) -> None:
        """Freeze charts, tiles and tape, or let them go on; the stream is not touched.

        Raises
        ------
        InvalidInput
            If ``is_frozen`` is neither True nor False.
        """
        is_frozen = truth(is_frozen, "is_frozen")
        with self._acting:
            self._refresh.is_frozen = is_frozen
            for slot in self._slots:
                slot.freeze(is_frozen=is_frozen)
            with self.controls.quietly():
                self.controls.freeze.value = is_frozen

    def close(self, *, keeps_picture: bool = True) -> None:
        """End the dashboard and its own stream or replay; a source handed in goes on.

        Parameters
        ----------
        keeps_picture
            Whether the page that shows it is asked for a last picture first, which takes seconds,
            but no time of the caller; without a page, its upper chart is kept.
        """
        if self._is_closed:
            self._end()
            return
        self._is_closed = True
        self._histories.close()
        self._alerts.close()
        with self._acting:
            self._recording.leave()
            self._desk.end()
            if self._stage.own is not None:
                self._stage.own.stop()
        if not keeps_picture:
            self._end()
            return
        figure = self.price.figure

        def end() -> None:
            if isinstance(figure, LiveFigure):
                self._still.keep_figure(figure.figure, repr(self))
            self._end()

        leave(self._still, self.panel.pages, partial(self.panel.send, {"kind": "last"}), end)

    def _end(self) -> None:
        if self._is_built:
            self._refresh.stop()
            for slot in self._slots:
                slot.close()
        close_whole(self)

    # -- controls --------------------------------------------------------------------------------

    def _allow(self) -> None:
        is_own, source = self._stage.is_own, self.source
        if str(source.state) in ("ended", "failed", "stopped"):
            self._desk.disarm()  # no decision is to come
        self.controls.offer_units(self._stage.scene.units, is_idle=isinstance(source, Idle))
        self.controls.allow(
            choosing=is_own,
            starting=is_own and not self.is_running,
            stopping=is_own and self.is_running,
            recording=isinstance(source, Stream) and not source.stopping.is_set(),
        )

    def _choose_mark(self, time_ns: int, price: float) -> None:
        self._with_run(lambda texts: texts.choose_at(time_ns, price))

    def _with_run(self, act: Callable[[RunTexts], object]) -> None:
        texts = self._refresh.readers.run
        if texts is not None:
            act(texts)
            refresher().wake(self._refresh.ticket)

    # -- in the notebook -------------------------------------------------------------------------

    def _tell_pages(self, message: dict[str, Any]) -> None:
        self.panel.send(message)

    def _on_panel(self, message: dict[str, Any], buffers: list[Any]) -> None:
        kind, transport = message.get("kind"), self.transport
        if kind == "still" and buffers:
            is_last = bool(message.get("last"))
            self._still.keep(bytes(buffers[0]), repr(self), is_last=is_last)
        elif kind in ("view", "hello"):
            refresher().wake(self._refresh.ticket)
        elif kind == "moment":
            self._with_run(lambda texts: texts.choose(int(message["number"])))
        elif kind == "next":
            self._press(self.next_decision)
        elif kind == "least":
            self._press(partial(self._refresh.filter_tape, message.get("size")))
            refresher().wake(self._refresh.ticket)
        elif kind == "card":
            self._press(partial(self._choices.take_card, str(message["symbol"])))
            refresher().wake(self._refresh.ticket)
        elif kind == "unwatch":
            self._press(partial(self.unwatch, str(message["symbol"])))
            refresher().wake(self._refresh.ticket)
        elif kind in _ALERTS:
            self._press(partial(self._alerts.do, kind, message, self.symbol))
            refresher().wake(self._refresh.ticket)
        elif kind in _BAR and transport is not None:
            self._desk.disarm()
            self._press(partial(transport.do, kind, message))
            refresher().wake(self._refresh.ticket)

    def _ipython_display_(self) -> None:
        show_widget(self)
        self._still.place(repr(self))

    def __repr__(self) -> str:
        return f"<Dashboard of {self.symbol}>"


@dataclass(frozen=True)
class _Legacy:
    """What is left of a dashboard whose cell is run again."""

    news: str  # of its recording
    alerts: tuple[tuple[str, str], ...]  # condition and symbol of those that a page has set


# Those made outside of a cell, which nothing else tells apart; it keeps none of them alive.
_outside: weakref.WeakSet[Dashboard] = weakref.WeakSet()


def next_number() -> int:
    """Return the number of the next dashboard among those of the running cell, from 1 on.

    Outside of a notebook, it is the first that no dashboard has which is not closed.
    """
    made = count_in_cell(Dashboard)
    if made is not None:
        return made + 1
    taken = {each._starter.number for each in list(_outside) if not each._is_closed}  # noqa: SLF001
    return next(number for number in count(1) if number not in taken)


def _choose_newest(texts: RunTexts) -> None:
    texts.choose(len(texts.run.journal.moments) - 1)


def _errors_of(*acts: Callable[[], object]) -> list[Exception]:
    """Try all of them; return the errors of those that failed."""
    errors: list[Exception] = []
    for act in acts:
        try:
            act()
        except (KucoinResearchError, OSError) as error:
            errors.append(error)
    return errors


def _raise_all(errors: Sequence[Exception]) -> None:
    """Raise an error; of several, one that names them all."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise KucoinResearchError("; ".join(map(str, errors))) from errors[0]
