"""The refresh of a dashboard's panel: it reads the source and sends each page the changes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from kucoin_research.dashboards.account_texts import AccountTexts
from kucoin_research.dashboards.alerts import Alerts
from kucoin_research.dashboards.chart_slots import ChartSlot, Scene
from kucoin_research.dashboards.controls import Controls
from kucoin_research.dashboards.formatting import DASH, compact, duration, size
from kucoin_research.dashboards.health import Health, Screen, Vitals, judge
from kucoin_research.dashboards.kernel_busy import KernelBusy
from kucoin_research.dashboards.panel import Panel
from kucoin_research.dashboards.recording_control import RecordingControl
from kucoin_research.dashboards.replay_bar import ReplayBar
from kucoin_research.dashboards.run_texts import RunTexts
from kucoin_research.dashboards.tile_words import tips
from kucoin_research.dashboards.tiles import Tiles
from kucoin_research.dashboards.vitals import VitalsMonitor, histogram
from kucoin_research.dashboards.watch_rows import WatchRows
from kucoin_research.errors import InvalidInput, shown
from kucoin_research.figures.refresh import Ticket, refresher
from kucoin_research.foundation import arguments
from kucoin_research.model.size_unit import Unit
from kucoin_research.model.source import is_replay
from kucoin_research.streaming.stream import Stream

__all__ = ["PanelRefresh", "Readers"]

_EVERY = 0.2
_HIDDEN = 0.5
_VITALS_EVERY = 0.5


class Readers(NamedTuple):
    """All readers of the source of one scene, for the panel.

    Attributes
    ----------
    vitals
        For the badge.
    tiles
        For the tiles and the tape.
    transport
        For the replay bar; ``None`` where the source is no replay.
    marks
        Gaps on the slider of the replay bar.
    run
        For the strategy; ``None`` where none runs.
    account
        For the user's own orders and position; ``None`` where the source has no messages of them.
    watch
        For the cards of the watch list.
    """

    vitals: VitalsMonitor
    tiles: Tiles
    transport: ReplayBar | None
    marks: list[list[Any]]
    run: RunTexts | None
    account: AccountTexts | None
    watch: WatchRows

    @classmethod
    def of(cls, scene: Scene, kernel: KernelBusy, before: Readers | None) -> Readers:
        """Make them for a scene; the cards of the same source go on."""
        window_ns = None if scene.window_s is None else round(scene.window_s * 1e9)
        transport = None
        if is_replay(scene.source):
            transport = ReplayBar(scene.source, scene.zone, scene.symbol)
        watch = None if before is None else before.watch
        if watch is None or not watch.is_of(scene.source, window_ns):
            watch = WatchRows(scene.source, window_ns)
        return cls(
            VitalsMonitor(scene.source, scene.symbol, kernel),
            Tiles(scene.source, scene.symbol, window_ns, scene.zone, scene.size_unit),
            transport,
            [] if transport is None else transport.gaps(),
            None if scene.run is None else RunTexts(scene.run, scene.symbol, scene.zone),
            AccountTexts(scene.source, scene.symbol, scene.zone) if scene.has_account else None,
            watch,
        )


class PanelRefresh:
    """Keeps the panel of a dashboard up to date, on the refresh thread.

    Parameters
    ----------
    scene
        The source that is read first.
    panel
        Is sent the texts.
    controls, recording
        Name the market and the recording in the texts.
    slots
        The charts, whose errors and delays the badge reports.
    alerts
        Look at the same source; the badge's flag and drawer show them.
    on_state
        Called when the state of the source has changed.

    Attributes
    ----------
    line
        Text and tone of the status line.
    watch
        The symbols of the cards; none are shown for a single one.
    is_frozen
        While set, tiles and tape stand still; the trades of before can still be filtered.

    Notes
    -----
    ``show``, ``look``, ``filter_tape`` and ``line`` are for any thread, ``tick`` is for the
    refresher's.
    """

    def __init__(
        self,
        scene: Scene,
        panel: Panel,
        controls: Controls,
        *,
        recording: RecordingControl,
        slots: Sequence[ChartSlot],
        alerts: Alerts,
        on_state: Callable[[], None],
    ) -> None:
        self._panel, self._controls, self._slots = panel, controls, slots
        self._alerts = alerts
        self._recording = recording
        self._on_state = on_state
        self._kernel = KernelBusy()
        self._clock: Callable[[], float] = time.monotonic
        self._vitals = Vitals()
        self._vitals_at = 0.0
        self._least: dict[str, float] = {}  # least size on the tape, by unit
        self._words: dict[str, Any] = {}  # names of the unit of sizes, for labels
        self.line = ("", "")
        self.is_frozen = False
        self.watch: list[str] = []
        self.ticket: Ticket | None = None
        self.readers = Readers.of(scene, self._kernel, None)
        self.show(scene)

    def start(self) -> None:
        """Begin to call ``tick``."""
        self.ticket = refresher().add(self.tick, every=_EVERY)

    def stop(self) -> None:
        """End the calls of ``tick``."""
        # Not again by the garbage collector, which may run while the refresher holds its own locks.
        ticket, self.ticket = self.ticket, None
        if ticket is not None:
            ticket.cancel()

    def show(self, scene: Scene) -> None:
        """Read another scene from now on."""
        self._scene = scene
        unit, quote = scene.size_unit.name, scene.units.get(Unit.QUOTE)
        self._words = {"unit": unit, "tips": tips(unit, "" if quote is None else quote.name)}
        self._alerts.show(scene.source)
        readers = Readers.of(scene, self._kernel, self.readers)
        readers.tiles.prints.least = self._least.get(unit, 0.0)
        # Replaced all at once: a refresh that runs meanwhile goes on with the old ones.
        self.readers = readers
        self._vitals_at = 0.0

    def say(self, text: str, tone: str = "") -> None:
        """Put a text into the status line."""
        self.line = (text, tone)

    def filter_tape(self, least: object) -> None:
        """Show only trades of at least this size on the tape; 0 shows all.

        Raises
        ------
        InvalidInput
            If it is no such size.
        """
        size = arguments.number(least, "the size in the tape", "a number from 0 on")
        if size < 0:
            raise InvalidInput(
                f"the size in the tape must be a number from 0 on, not {shown(least)}"
            )
        self._least[self._words["unit"]] = self.readers.tiles.prints.least = size

    def health(self) -> Health:
        """Judge the data as of now, regardless of a busy kernel and of the pages."""
        return judge(replace(self.look(), busy=0.0, was_busy=0.0))

    def look(self, now: float | None = None) -> Vitals:
        """Take the vitals of the source, now or at a monotonic time."""
        return self.readers.vitals.look(
            self._clock() if now is None else now,
            recorder=self._recording.recorder,
            refresh_error=self._refresh_error(),
        )

    def _refresh_error(self) -> str | None:
        errors = [slot.error for slot in self._slots]
        if self.ticket is not None:
            errors.append(self.ticket.error)
        error = next((each for each in errors if each is not None), None)
        return None if error is None else f"{type(error).__name__}: {error}"

    def tick(self, now: float) -> float:
        """Send the changes, if a page looks; returns the seconds until the next call."""
        self._kernel.look(now)
        self._panel.pages.look(now)
        if not self._panel.pages.is_visible:
            return _HIDDEN
        if now - self._vitals_at >= _VITALS_EVERY:
            self._vitals_at = now
            before, self._vitals = self._vitals, self.look(now)
            if before.state != self._vitals.state:
                self._on_state()
        badge = partial(self._badge_of, now)
        try:
            market = self._tape_texts() if self.is_frozen else self._market_texts()
        except BaseException:
            # The next refresh reports the error in the badge, whether or not it fails again here.
            self._panel.tell(self._health_texts(), now, badge)
            raise
        # All in one message: a badge must not be newer on the screen than the data it judges.
        self._panel.tell({**self._health_texts(), **market}, now, badge)
        return max(_EVERY, self._panel.interval(1 / _EVERY))

    def _badge_of(self, now: float, page: str) -> dict[str, Any]:
        health = judge(replace(self._vitals, screen=self._screen_of(page, now)))
        word = "frozen" if self.is_frozen else health.word
        every = "\n".join(health.reasons)
        return {"badge": [str(health.colour), word, _because(health), every]}

    def _screen_of(self, page: str, now: float) -> Screen | None:
        """Find the part of a page that has fallen behind most, by what it has drawn."""
        reader = self._panel.pages.get(page)
        links = {"the tiles": None if reader is None else reader.link}
        links |= {
            f"the {slot.chosen.lower()} chart": slot.figure.link_to(page)
            for slot in self._slots
            if slot.figure is not None
        }
        ages = [Screen(what, link.age(now)) for what, link in links.items() if link is not None]
        return max(ages, key=lambda screen: screen.age, default=None)

    def _health_texts(self) -> dict[str, Any]:
        vitals, _, transport, marks, run, account, _ = self.readers
        texts: dict[str, Any] = {
            "name": [self._scene.symbol, self._place()],
            "facts": _facts(self._vitals),
            "line": list(self.line),
            "numbers": self._numbers(),
            **self._words,
            **self._alerts.texts(is_open=self._panel.is_open),
        }
        texts |= {"run": None} if run is None else {"moment": run.moment()}
        texts |= {"own": None} if account is None else {}
        if transport is not None:
            texts["bar"] = transport.bar()
            texts["span"] = transport.span()
            texts["times"] = transport.times()
            texts["gaps"] = marks
        if self._panel.is_open:
            zone = self._scene.zone
            texts["hist"] = histogram(vitals.lags())
            texts["traces"] = vitals.traces(zone)
            texts["events"] = vitals.events(zone)
        return texts

    def _place(self) -> str:
        source, transport = self._scene.source, self.readers.transport
        if transport is not None:
            return f"replay of {transport.session.name}"
        venue = source.rest.venue.name if isinstance(source, Stream) else ""
        return " · ".join(filter(None, [str(self._controls.market.value), venue]))

    def _numbers(self) -> str:
        links = [slot.figure.link for slot in self._slots if slot.figure is not None]
        drawn, skipped = sum(each.drawn for each in links), sum(each.skipped for each in links)
        draw_ms = max((each.draw_ms for each in links), default=0.0)
        parts = [
            f"{drawn:,} redraws",
            f"{skipped:,} skipped",
            f"{draw_ms:.0f} ms each",
            self._recording.progress(),
        ]
        return " · ".join(parts)

    def _tape_texts(self) -> dict[str, Any]:
        prints = self.readers.tiles.prints
        prints.look()
        return prints.texts()

    def _market_texts(self) -> dict[str, Any]:
        market, vitals, run = self.readers.tiles, self._vitals, self.readers.run
        market.update()
        tiles = {
            **market.tiles(),
            "rate": (compact(round(vitals.messages_per_second)), ""),
            "latency": (DASH if vitals.lag_p50_ms is None else f"{vitals.lag_p50_ms:.0f}", ""),
        }
        return {
            **{f"tile:{name}": list(value) for name, value in tiles.items()},
            "labels": market.labels(),
            **market.prints.texts(),
            **({} if run is None else run.texts()),
            **self._account_texts(),
            **self._cards(),
        }

    def _account_texts(self) -> dict[str, Any]:
        account = self.readers.account
        texts, resting = ({}, {}) if account is None else (account.texts(), account.resting())
        for slot in self._slots:
            slot.show_own(resting)
        return texts

    def _cards(self) -> dict[str, Any]:
        symbols = self.watch if len(self.watch) > 1 else []
        texts: dict[str, Any] = {"watch": [symbols, self._scene.symbol]}
        if symbols:
            watch = self.readers.watch
            watch.update(symbols)
            texts |= {f"card:{name}": list(card) for name, card in watch.cards().items()}
        return texts


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


def _ago(seconds: float) -> str:
    return f"{seconds:.1f} s ago" if seconds < 100 else f"{duration(seconds)} ago"
