"""The dashboard: controls, health, charts and tape of one source, kept in step by one ticket."""

from __future__ import annotations

import base64
import logging
import os
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import ipywidgets as widgets
from IPython.display import display, update_display

from kucoin_research.api import market as market_data
from kucoin_research.api import streams
from kucoin_research.dashboards.chart_slots import BOOKS, LOWER, MAIN, ChartSlot, Scene
from kucoin_research.dashboards.controls import WINDOWS, Controls
from kucoin_research.dashboards.formatting import DASH, compact, duration, size
from kucoin_research.dashboards.health import Health, Screen, Vitals, judge
from kucoin_research.dashboards.idle import Idle
from kucoin_research.dashboards.kernel_busy import KernelBusy
from kucoin_research.dashboards.panel import Panel, TradeTape
from kucoin_research.dashboards.replay_bar import ReplayBar, is_replay
from kucoin_research.dashboards.tiles import Tiles
from kucoin_research.dashboards.vitals import VitalsMonitor, histogram
from kucoin_research.errors import InvalidInput, KucoinResearchError, shown
from kucoin_research.figures.notebook_cells import cell_of, replace_in_cell
from kucoin_research.figures.refresh import Ticket, refresher
from kucoin_research.figures.time_axis import Zone
from kucoin_research.model.channels import CANDLE_INTERVALS, Market, market_of
from kucoin_research.playback.replay import Replay
from kucoin_research.sessions.recorder import Recorder
from kucoin_research.sessions.session import Session
from kucoin_research.streaming.stream import Stream

__all__ = ["DEFAULT_SYMBOLS", "Dashboard", "channels_of", "opened", "symbols_of"]

log = logging.getLogger(__name__)

_EVERY = 0.2
_BAR = frozenset({"play", "pause", "step", "rewind", "seek", "speed"})
_HIDDEN = 0.5
_OPENED_NS = 300 * 1_000_000_000  # of a session are shown when it is opened
_VITALS_EVERY = 0.5
#: What is shown where nothing is named.
DEFAULT_SYMBOLS = {Market.FUTURES: "XBTUSDTM", Market.SPOT: "BTC-USDT"}


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
    price, lower, book
        Places of the charts; ``.figure`` is the ``LiveFigure`` that is there.

    Notes
    -----
    Methods may be called from any thread, one at a time. What a press of a button raises is told in
    the status line; the same call from a cell raises it.
    """

    def __init__(
        self,
        symbol: str,
        *,
        source: Any = None,
        own: Any = None,
        venue: Any = None,
        market: str | None = None,
        channels: Sequence[str] = ("ticker", "trade", "depth50"),
        interval: str = "auto",
        window: str = "5 min",
        root: str | os.PathLike[str] = "data/sessions",
        tz: str = "UTC",
        capacity: int = 1_000_000,
        feed: str = "classic",
        name: str | None = None,
    ) -> None:
        super().__init__()
        replace_in_cell(self)  # first, so that the one before has ended
        self._acting = threading.RLock()  # held by what buttons and callers do
        self._is_setting = False  # a control is set by us, not by the user
        self._venue, self._capacity, self._feed = venue, capacity, feed
        self._name = name or _name_for_cell()
        self._given = source  # handed in, so not ours to stop, ...
        self._own = own  # ... and what is
        self._recorder: Recorder | None = None
        self._line = ("", "")
        self._is_frozen = False
        self._is_closed = True  # until there is something that close() could end
        self._still_id = ""
        self._clock: Callable[[], float] = time.monotonic
        self._vitals = Vitals()
        self._vitals_at = 0.0
        self._lists: dict[str, list[str]] = {}
        self._pulse = KernelBusy()
        self._ticket: Ticket | None = None
        market = market or str(market_of(symbol, None))
        self.controls = Controls(
            channels, market=market, symbol=symbol, interval=interval, window=window,
            folder=os.fspath(root),
        )  # fmt: skip
        shown = source if source is not None else own
        self._scene = Scene(
            Idle(symbol) if shown is None else shown, symbol, Zone(tz), WINDOWS[window],
            None if interval == "auto" else interval,
        )  # fmt: skip
        self.panel = Panel(self._on_panel)
        self.price = ChartSlot(MAIN, self._scene, "main")
        self.lower = ChartSlot(LOWER, self._scene, "lower")
        self.book = ChartSlot(BOOKS, self._scene, "book", 660)
        self._slots = (self.price, self.lower, self.book)
        self._is_closed = False
        grid = widgets.Box([self.panel, self.controls.box, *(slot.box for slot in self._slots)])
        grid.add_class("kr-grid")
        self.children = (grid,)
        self.add_class("kr-dashboard")
        if is_replay(self.source):
            self.add_class("kr-of-replay")
        self._show(self._scene)
        self._listen()
        self._offer_symbols()
        self._allow()
        self._ticket = refresher().add(self._tick, every=_EVERY)

    def _listen(self) -> None:
        controls = self.controls
        controls.start.on_click(lambda _: self._press(self.start))
        controls.stop.on_click(lambda _: self._press(self.stop))
        self._on(controls.record, lambda on: self.record() if on else self.stop_recording())
        self._on(controls.freeze, lambda on: self.freeze(is_frozen=on))
        self._on(controls.symbol, lambda _: self._choose_symbol())
        self._on(controls.market, lambda _: self._choose_market())
        self._on(controls.window, lambda _: self._change_view())
        self._on(controls.interval, lambda _: self._change_view())
        for chip in controls.channels.values():
            self._on(chip, lambda _: self._choose_channels())
        for slot in self._slots:
            self._on(slot.switch, partial(self._choose_chart, slot))

    def _choose_chart(self, slot: ChartSlot, _: object) -> None:
        slot.show(self._scene)

    def _on(self, widget: Any, act: Callable[[Any], object]) -> None:
        def changed(change: dict[str, Any]) -> None:
            if not self._is_setting:
                self._press(lambda: act(change["new"]))

        widget.observe(changed, "value")

    def _press(self, act: Callable[[], object]) -> None:
        # The guard of what is pressed: an exception would end unseen in a log of JupyterLab.
        with self._acting:
            try:
                act()
            except (KucoinResearchError, OSError) as error:
                self._say(str(error), "wrong")
            except Exception as error:
                log.exception("a control of the dashboard met an unexpected error")
                self._say(f"unexpected {type(error).__name__}: {error}", "wrong")
            self._allow()

    @contextmanager
    def _setting(self) -> Iterator[None]:
        before, self._is_setting = self._is_setting, True
        try:
            yield
        finally:
            self._is_setting = before

    def _say(self, text: str, tone: str = "") -> None:
        self._line = (text, tone)

    # -- for users -------------------------------------------------------------------------------

    @property
    def source(self) -> Any:
        """What is shown: a stream, a replay, or something idle."""
        return self._scene.source

    @property
    def symbol(self) -> str:
        """Whose data are shown."""
        return self._scene.symbol

    @property
    def recorder(self) -> Recorder | None:
        """What records now, or recorded last."""
        return self._recorder

    @property
    def line(self) -> str:
        """What the status line says."""
        return self._line[0]

    @property
    def is_running(self) -> bool:
        """Whether a stream of its own runs."""
        return isinstance(self._own, Stream) and not self._own.stopping.is_set()

    @property
    def health(self) -> Health:
        """What the badges say, as of now.

        But for what concerns who looks and not the data: a busy kernel, which who asks may be, and
        a page that is slow to draw.
        """
        return judge(replace(self._look(), busy=0.0, was_busy=0.0))

    def start(self) -> Stream:
        """Start streaming what the controls say; a stream of its own that runs is replaced.

        Raises
        ------
        InvalidInput
            If the dashboard shows something that was handed in.
        UnknownSymbol, UnknownChannel, ChannelNotOffered, SymbolNotTrading, Unreachable
            As ``stream`` does; what runs then goes on.
        """
        with self._acting:
            if self._given is not None or self._is_replay:
                raise InvalidInput("this dashboard shows what was handed in; start that elsewhere")
            symbol, market = self.controls.symbol.value.strip(), self.controls.market.value
            was_recording = self._is_recording  # which ends with the stream that is replaced
            try:
                made = streams.stream(
                    symbol, self._channels(), market=market, venue=self._venue,
                    capacity=self._capacity, feed=self._feed, name=self._name,
                )  # fmt: skip
            except KucoinResearchError:
                self.controls.mark_wrong(is_wrong=symbol not in self._listed(market))
                raise
            self.controls.mark_wrong(is_wrong=False)
            self._end_recording()
            made.is_replaceable = True  # by another of this dashboard, which goes on recording
            self._own = made
            self._show(replace(self._scene, source=made, symbol=symbol))
            self._say(f"streaming {symbol}: {', '.join(self._channels())}")
            if was_recording:
                self.record()
            self._allow()
            return made

    def stop(self, timeout: float = 5.0) -> None:
        """Stop the stream that ``start`` has started; its charts stay."""
        with self._acting:
            if self.is_running:
                self._end_recording()
                self._own.stop(timeout)
                if self._recorder is None:
                    self._say("stopped")
                else:
                    self._say(f"stopped; {self._recorded()}")
            self._allow()

    def record(self, root: str | os.PathLike[str] | None = None) -> Recorder:
        """Record everything from now on, until ``stop_recording`` or the stream's end.

        Parameters
        ----------
        root
            Where the session's folder is made; what the control says when left out.

        Raises
        ------
        InvalidInput
            If nothing streams.
        OSError
            If the folder cannot be made.
        """
        with self._acting:
            source = self.source
            if not isinstance(source, Stream) or source.stopping.is_set():
                with self._setting():
                    self.controls.record.value = False
                raise InvalidInput("nothing streams that could be recorded; press Start first")
            try:
                folder = self.controls.folder.value if root is None else root
                recorder = self._recorder = source.record(folder)
            finally:
                with self._setting():
                    self.controls.record.value = self._is_recording
            self._say(f"recording to {recorder.path}")
            self._allow()
            return recorder

    def stop_recording(self) -> None:
        """End the recording; the stream goes on."""
        with self._acting:
            if self._is_recording:
                self._end_recording()
                self._say(self._recorded())
            self._allow()

    def freeze(self, *, is_frozen: bool = True) -> None:
        """Let charts, tiles and tape stand still, or go on; the stream is not touched."""
        with self._acting:
            self._is_frozen = is_frozen
            for slot in self._slots:
                slot.freeze(is_frozen=is_frozen)
            with self._setting():
                self.controls.freeze.value = is_frozen

    def close(self) -> None:
        """End the dashboard, and what it has started; a stream handed in goes on."""
        if getattr(self, "_is_closed", True):
            super().close()
            return
        self._is_closed = True
        with self._acting:
            if self._ticket is not None:
                self._ticket.cancel()
            self._end_recording()
            if self._own is not None:
                self._own.stop()
            for slot in self._slots:
                slot.close()
            for widget in _all_below(self):
                widget.close()

    # -- controls --------------------------------------------------------------------------------

    @property
    def _is_replay(self) -> bool:
        return self.transport is not None

    @property
    def _is_recording(self) -> bool:
        return self._recorder is not None and not self._recorder.is_closed

    def _end_recording(self) -> None:
        if self._recorder is not None:
            self._recorder.close()
        with self._setting():
            self.controls.record.value = False

    def _recorded(self) -> str:
        recorder = self._recorder
        if recorder is None:
            return "nothing was recorded"
        return f"recorded {recorder.rows:,} rows ({size(recorder.bytes)}) in {recorder.path}"

    def _allow(self) -> None:
        is_own = self._given is None and not self._is_replay
        source = self.source
        is_streaming = isinstance(source, Stream) and not source.stopping.is_set()
        self.controls.allow(
            choosing=is_own,
            starting=is_own and not self.is_running,
            stopping=is_own and self.is_running,
            recording=is_streaming,
        )

    def _channels(self) -> list[str]:
        chosen = self.controls.chosen
        interval = self.controls.interval.value
        if "candle" in chosen and interval in CANDLE_INTERVALS:
            chosen[chosen.index("candle")] = f"candle:{interval}"
        if not chosen:
            raise InvalidInput("no channel is switched on")
        return chosen

    def _listed(self, market: str) -> list[str]:
        if market not in self._lists:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                self._lists[market] = market_data.get_active_symbols(market, venue=self._venue)
            for warning in told:
                self._say(str(warning.message))
        return self._lists[market]

    def _offer_symbols(self) -> None:
        if self._given is not None or self._is_replay:
            self.controls.symbol.options = tuple(symbols_of(self.source))
            return
        try:
            self.controls.symbol.options = tuple(self._listed(self.controls.market.value))
        except KucoinResearchError as error:
            self._say(f"the list of symbols could not be read: {error}", "wrong")

    def _choose_symbol(self) -> None:
        symbol = self.controls.symbol.value.strip()
        if symbol == self.symbol and self.source is not None:
            self.controls.mark_wrong(is_wrong=False)
            return
        if self._given is not None or self._is_replay:
            self._look_at(symbol)
        elif self.is_running:
            self.start()
        else:
            self._prepare(symbol)

    def _look_at(self, symbol: str) -> None:
        there = symbols_of(self.source)
        self.controls.mark_wrong(is_wrong=symbol not in there)
        if symbol not in there:
            raise InvalidInput(
                f"symbol {shown(symbol)} is not streamed here; streamed are {', '.join(there[:8])}"
            )
        self._show(replace(self._scene, symbol=symbol))

    def _prepare(self, symbol: str) -> None:
        market = self.controls.market.value
        self.controls.mark_wrong(is_wrong=True)
        market_data.instrument(
            symbol, market=market, venue=self._venue
        )  # or the sentence what is wrong
        self.controls.mark_wrong(is_wrong=False)
        self._show(replace(self._scene, source=Idle(symbol), symbol=symbol))
        self._say(f"press Start to stream {symbol}")

    def _choose_market(self) -> None:
        market = self.controls.market.value
        listed = self._listed(market)
        wanted = DEFAULT_SYMBOLS[Market(market)]
        symbol = wanted if wanted in listed or not listed else listed[0]
        with self._setting():
            self.controls.symbol.options = tuple(listed)
            self.controls.symbol.value = symbol
            if market == Market.SPOT:
                self.controls.channels["funding_rate"].value = False
        self._choose_symbol()

    def _choose_channels(self) -> None:
        if self.is_running:
            self.start()
        else:
            self._say(f"channels: {', '.join(self._channels())}")

    def _change_view(self) -> None:
        interval = self.controls.interval.value
        self._show(
            replace(
                self._scene,
                window_s=WINDOWS[self.controls.window.value],
                every=None if interval == "auto" else interval,
            )
        )

    def _show(self, scene: Scene) -> None:
        self._scene = scene
        window_ns = None if scene.window_s is None else round(scene.window_s * 1e9)
        # Both are replaced whole: a refresh that runs meanwhile goes on with the old ones.
        self._watch = VitalsMonitor(scene.source, scene.symbol, self._pulse)
        self.transport = ReplayBar(scene.source, scene.zone) if is_replay(scene.source) else None
        self._marks = [] if self.transport is None else self.transport.gaps()
        self._readings = Tiles(scene.source, scene.symbol, window_ns, scene.zone)
        self._vitals_at = 0.0
        for slot in self._slots:
            slot.show(scene)

    # -- the refresh -----------------------------------------------------------------------------

    def _look(self, now: float | None = None) -> Vitals:
        return self._watch.look(
            self._clock() if now is None else now,
            recorder=self._recorder,
            refresh_error=self._refresh_error(),
        )

    def _refresh_error(self) -> str | None:
        errors = [slot.error for slot in self._slots]
        if self._ticket is not None:
            errors.append(self._ticket.error)
        error = next((each for each in errors if each is not None), None)
        return None if error is None else f"{type(error).__name__}: {error}"

    def _tick(self, now: float) -> float:
        self._pulse.look(now)
        self.panel.pages.look(now)
        if not self.panel.pages.is_visible:
            return _HIDDEN
        if now - self._vitals_at >= _VITALS_EVERY:
            self._vitals_at = now
            before, self._vitals = self._vitals, self._look(now)
            if before.state != self._vitals.state:
                self._allow()
        badge = partial(self._badge_of, now)
        try:
            market = {} if self._is_frozen else self._market_texts()
        except BaseException:
            # The error is told by the next one, whatever becomes of the market's texts then.
            self.panel.tell(self._health_texts(), now, badge)
            raise
        # One message of all: a badge must not be newer on the screen than what it judges.
        self.panel.tell({**self._health_texts(), **market}, now, badge)
        return max(_EVERY, self.panel.interval(1 / _EVERY))

    def _badge_of(self, now: float, page: str) -> dict[str, Any]:
        health = judge(replace(self._vitals, screen=self._screen_of(page, now)))
        word = "frozen" if self._is_frozen else health.word
        every = "\n".join(health.reasons)
        return {"badge": [str(health.colour), word, _because(health), every]}

    def _screen_of(self, page: str, now: float) -> Screen | None:
        """Find what has fallen behind most on a page, by what it has drawn."""
        reader = self.panel.pages.get(page)
        links = {"the tiles": None if reader is None else reader.link}
        links |= {
            f"the {slot.chosen.lower()} chart": slot.figure.link_to(page)
            for slot in self._slots
            if slot.figure is not None
        }
        ages = [Screen(what, link.age(now)) for what, link in links.items() if link is not None]
        return max(ages, key=lambda screen: screen.age, default=None)

    def _health_texts(self) -> dict[str, Any]:
        texts: dict[str, Any] = {
            "name": [self.symbol, self._place()],
            "facts": _facts(self._vitals),
            "line": list(self._line),
            "numbers": self._numbers(),
        }
        if self.transport is not None:
            texts["bar"] = self.transport.bar()
            texts["span"] = self.transport.span()
            texts["gaps"] = self._marks
        if self.panel.is_open:
            texts["hist"] = histogram(self._watch.lags())
            texts["traces"] = self._watch.traces(self._scene.zone)
            texts["events"] = self._watch.events(self._scene.zone)
        return texts

    def _place(self) -> str:
        if self.transport is not None:
            session = getattr(self.source, "session", None)
            return f"replay of {session.name}" if session is not None else "replay"
        venue = getattr(getattr(self.source, "rest", None), "venue", None)
        parts = [str(self.controls.market.value), "" if venue is None else str(venue.name)]
        return " · ".join(filter(None, parts))

    def _numbers(self) -> str:
        links = [
            slot.figure.link for slot in self._slots if slot.figure is not None
        ]  # of all pages
        drawn, skipped = sum(each.drawn for each in links), sum(each.skipped for each in links)
        draw_ms = max((each.draw_ms for each in links), default=0.0)
        parts = [
            f"{drawn:,} redraws", f"{skipped:,} skipped", f"{draw_ms:.0f} ms each",
            self._told_of_recording(),
        ]  # fmt: skip
        return " · ".join(parts)

    def _told_of_recording(self) -> str:
        if not self._is_recording or self._recorder is None:
            return "recording off"
        return f"recording {self._recorder.rows:,} rows"

    def _market_texts(self) -> dict[str, Any]:
        readings = self._readings
        readings.update()
        vitals = self._vitals
        tiles = {
            **readings.tiles(),
            "rate": (compact(round(vitals.messages_per_second)), ""),
            "latency": (DASH if vitals.lag_p50_ms is None else f"{vitals.lag_p50_ms:.0f}", ""),
        }
        return {
            **{f"tile:{name}": list(value) for name, value in tiles.items()},
            "tape": TradeTape(readings.trades, readings.tape),
        }

    # -- what the browser asks for ---------------------------------------------------------------

    def _on_panel(self, message: dict[str, Any], buffers: list[Any]) -> None:
        kind = message.get("kind")
        if kind == "still" and buffers:
            self._keep_still(bytes(buffers[0]))
        elif kind in ("view", "hello"):
            refresher().wake(self._ticket)
        elif kind in _BAR and self.transport is not None:
            self._press(partial(self.transport.do, kind, message))
            refresher().wake(self._ticket)

    # -- in the notebook -------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        bundle = self._repr_mimebundle_()
        _show(bundle[0] if isinstance(bundle, tuple) else bundle, raw=True)
        self._still_id = uuid.uuid4().hex
        place = {"text/plain": repr(self), "text/html": '<div class="kr-still"></div>'}
        _show(place, raw=True, display_id=self._still_id)

    def _keep_still(self, png: bytes) -> None:
        if self._still_id:
            picture = {"image/png": base64.b64encode(png).decode(), "text/plain": repr(self)}
            _update(picture, raw=True, display_id=self._still_id)

    def __repr__(self) -> str:
        return f"<Dashboard of {self.symbol}>"


# IPython's own are not annotated.
_show: Callable[..., Any] = display
_update: Callable[..., Any] = update_display


def _because(health: Health) -> str:
    first, *others = health.reasons or ("",)
    more = f" (and {len(others)} more)" if others else ""
    return "" if first == health.word else f"{first}{more}"


def _facts(vitals: Vitals) -> list[list[str]]:
    if vitals.state == "idle":
        return []
    lag = DASH if vitals.lag_p95_ms is None else f"{vitals.lag_p95_ms:.0f} ms"
    facts = [
        ["msgs/s", compact(round(vitals.messages_per_second))],
        ["lag p95", lag],
        ["last", DASH if vitals.age is None else _ago(vitals.age)],
        ["gaps", f"{vitals.gaps:,}"],
        ["reconnects", f"{vitals.reconnects:,}"],
        ["rows", compact(vitals.rows)],
    ]
    if vitals.recorded is not None:
        facts.append(["recorded", size(vitals.recorded)])
    return facts


def symbols_of(source: Any) -> list[str]:
    """Name the symbols that a stream or a replay has."""
    subscriptions = getattr(source, "subscriptions", None)
    if subscriptions:
        return list(dict.fromkeys(each.symbol for each in subscriptions))
    return [str(each) for each in getattr(source, "symbols", ())]


def _ago(seconds: float) -> str:
    return f"{seconds:.1f} s ago" if seconds < 100 else f"{duration(seconds)} ago"


def channels_of(source: Any) -> list[str]:
    """Name the channels that a stream or a replay has."""
    subscriptions = getattr(source, "subscriptions", None)
    if subscriptions:
        return list(dict.fromkeys(str(each.channel) for each in subscriptions))
    return [str(each) for each in getattr(source, "channels", ())]


def opened(session: Session, name: str | None) -> Replay:
    """Open a session as a replay that stands still, with something to see."""
    name = name or f"{_name_for_cell()} {session.name}"
    replay = streams.replay(session, name=name, paused=True)
    try:
        if replay.start_ns is not None and replay.end_ns is not None:
            replay.seek(min(replay.start_ns + _OPENED_NS, replay.end_ns))
    except BaseException:
        replay.stop()
        raise
    return replay


def _name_for_cell() -> str:
    cell = cell_of()
    return "dashboard" if cell is None else f"dashboard {cell[0][:8]}"


def _all_below(box: widgets.Box) -> Iterator[widgets.Widget]:
    for child in box.children:
        if isinstance(child, widgets.Box):
            yield from _all_below(child)
        else:
            yield child
    yield box
