"""A figure that moves: plotly.js in the browser, fed with the few values that changed."""

from __future__ import annotations

import base64
import gzip
import logging
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import plotly
import polars as pl
import traitlets
from IPython.display import display, update_display

from kucoin_research.errors import InvalidInput
from kucoin_research.figures.cells import replace_in_cell
from kucoin_research.figures.chart import Chart, Drawing, Sketch, View
from kucoin_research.figures.delta import Array, Part, difference
from kucoin_research.figures.feed import Feed, Rewound, Source
from kucoin_research.figures.link import KERNEL_JS, Link
from kucoin_research.figures.refresh import Ticket, refresher
from kucoin_research.figures.static import Figure, still
from kucoin_research.figures.theme import PALETTES, Spec, compacted

__all__ = ["LiveFigure"]

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
_PX = (100, 4_000)
# Those that may share a page. Replaced whole, since refreshes read it while others are made.
_figures: tuple[weakref.ref[LiveFigure], ...] = ()
_figures_lock = threading.Lock()  # guards the replacing
_HIDDEN_INTERVAL = 0.5
_QUIET_INTERVAL = 0.05


@cache
def _plotly_js() -> bytes:
    # Packed, it is 1.4 MB and stays below a server's limit on output; browsers unpack it.
    return gzip.compress(_PLOTLY.read_bytes(), 6)


class LiveFigure(anywidget.AnyWidget):
    """A live figure of a stream; ``kucoin_research.figures`` makes it.

    It draws while it is visible and something has changed, up to twenty times a second, slower
    where the browser or the kernel is busy. Zooming in shows every row of the range, a double click
    follows the newest data again.

    Parameters
    ----------
    kind
        The chart's class.
    source
        A running stream.
    sketch
        Symbol, time zone, height and options.
    channels
        Which channel serves which role of the chart.
    window_ns
        How far back the newest data are followed; ``None``: all there are.

    Attributes
    ----------
    error
        What the last refresh raised, ``None`` while all is well. The next refresh is tried anyway.
    link
        Counters: frames sent and drawn, bytes, milliseconds per draw.
    is_frozen
        While set, only a change of the view is drawn; the stream goes on.

    Notes
    -----
    Every method may be called from any thread. All figures of a kernel are refreshed by one thread;
    ``close`` ends this one's part in it, and so does running its cell again.
    """

    _esm = KERNEL_JS + (_HERE / "widget.js").read_text(encoding="utf-8")
    _css = (_HERE / "widget.css").read_text(encoding="utf-8")

    spec = traitlets.Dict().tag(sync=True)
    palettes = traitlets.Dict(PALETTES).tag(sync=True)
    uid = traitlets.Unicode().tag(sync=True)
    keeps_still = traitlets.Bool(default_value=True).tag(sync=True)  # one in a dashboard need not

    def __init__(
        self,
        kind: type[Chart],
        source: Source,
        sketch: Sketch,
        channels: dict[str, str],
        *,
        window_ns: int | None = None,
    ) -> None:
        self.link = Link()
        self.is_frozen = False
        self._kind = kind
        self._sketch = sketch
        self._view = View(window_ns=window_ns)
        self._books = [role.name for role in kind.roles if role.channels[0] == "level2"]
        self._feed = Feed(source, sketch.symbol, channels, self._books)
        self._chart = kind(self._view, sketch)
        self._sent: dict[tuple[int, str], Array] = {}
        self._sent_layout: dict[str, Any] = {}
        self._must_restart = True  # the chart is to be made anew, of all rows
        self._must_resend = True  # the browser has nothing
        self._still_id = ""
        self._lock = threading.RLock()  # guards the chart, the feed and what was sent
        super().__init__(spec=self._spec(), uid=uuid.uuid4().hex)
        self.on_msg(self._on_message)
        self._ticket = self._start()
        _list(self)
        replace_in_cell(self)

    def _start(self) -> Ticket:
        # The refresher must not keep alive a figure that nobody has any more.
        weak = weakref.ref(self)

        def tick(now: float) -> float | None:
            figure = weak()
            if figure is None:
                ticket.cancel()
                return None
            return figure.refresh(now)

        ticket = refresher().add(tick, every=1 / self._kind.fastest)
        return ticket

    # -- for users -------------------------------------------------------------------------------

    @property
    def error(self) -> Exception | None:
        """What the last refresh raised; ``None`` while all is well."""
        return self._ticket.error

    @property
    def symbol(self) -> str:
        """Whose data are shown; empty where the stream's only ones are."""
        return self._sketch.symbol

    @property
    def window(self) -> float | None:
        """Seconds that the newest data are followed back; ``None``: all there are."""
        window_ns = self._view.window_ns
        return None if window_ns is None else window_ns / 1e9

    @window.setter
    def window(self, seconds: float | None) -> None:
        if seconds is not None and not seconds > 0:
            raise InvalidInput(f"window must be seconds above 0, or None for all, not {seconds!r}")
        window_ns = None if seconds is None else round(seconds * 1e9)
        self._look(View(self._view.px, self._view.span, window_ns))

    def reset(self) -> None:
        """Read everything anew, for example after the stream was wound back."""
        self._must_restart = True
        refresher().wake(self._ticket)

    def attach(
        self,
        source: Source,
        symbol: str,
        channels: dict[str, str],
        options: dict[str, Any] | None = None,
    ) -> None:
        """Show another stream or symbol in this same place.

        Parameters
        ----------
        source, symbol, channels
            As for a new figure; ``kucoin_research.figures.channels_for`` finds the channels.
        options
            Of the chart's kind; as they are when left out.
        """
        with self._lock:
            sketch = self._sketch
            options = sketch.options if options is None else options
            self._sketch = replace(sketch, symbol=symbol, options=options)
            self._feed = Feed(source, symbol, channels, self._books)
            self._view = View(self._view.px, None, self._view.window_ns)
            self._chart = self._kind(self._view, self._sketch)
            self._must_restart = self._must_resend = True
            spec = self._spec()
        self.spec = spec
        refresher().wake(self._ticket)

    def figure(self, theme: str = "light") -> Figure:
        """Make a static figure of what is shown now."""
        with self._lock:
            self._update()
            return still(self._chart, theme)

    def to_html(self, path: str | Path | None = None, **options: Any) -> str:
        """Write what is shown now to an HTML file that needs no network; see ``Figure.to_html``."""
        return self.figure().to_html(path, **options)

    def to_png(self, path: str | Path, **options: Any) -> Path:
        """Write what is shown now to a PNG file; see ``Figure.to_png``."""
        return self.figure().to_png(path, **options)

    def close(self) -> None:
        """End the figure: it leaves the page, and is refreshed no more."""
        if hasattr(self, "_ticket"):
            self._ticket.cancel()
            _list(self, is_over=True)
        super().close()

    def __del__(self) -> None:
        # The collector comes in the middle of anything, even of the refresher's own locks.
        if hasattr(self, "_ticket"):
            self._ticket.abandon()
        super().close()

    # -- the refresh thread ----------------------------------------------------------------------

    def refresh(self, now: float) -> float | None:
        """Send what is new, if anybody looks; returns the seconds until the next look."""
        if not self.link.is_visible:
            return _HIDDEN_INTERVAL
        is_quiet = self.is_frozen or not self._feed.has_news()
        if is_quiet and not self._must_restart and not self._must_resend:
            self._beat(now)
            return _QUIET_INTERVAL
        if not self.link.may_send(now):
            return _QUIET_INTERVAL
        began = time.perf_counter()
        with self._lock:
            try:
                self._update()
                size = self._send_drawing(self._chart.draw(), now, began)
            except BaseException as error:
                # Whatever was half done is done anew by the next refresh.
                self._must_restart = self._must_resend = True
                self._beat(now, f"{type(error).__name__}: {error}")
                raise
        if not size:
            self._beat(now)
            self.link.cost += 0.2 * (time.perf_counter() - began - self.link.cost)
        return self.link.interval(self._kind.fastest, self._others_ms())

    def _beat(self, now: float, trouble: str = "") -> None:
        if self.link.owes_beat(now):
            self.send({"kind": "beat", "trouble": trouble})

    def _others_ms(self) -> float:
        others = [each.link for ref in _figures if (each := ref()) is not None and each is not self]
        return sum(link.draw_ms for link in others if link.is_visible)

    def _update(self) -> None:
        gaps, changed = self._feed.gaps()
        if self._must_restart or changed:
            self._restart()
            self._chart.mark(gaps)
        try:
            for role, rows in self._feed.rows():
                self._chart.take(role, self._relevant(rows))
        except Rewound:
            self._must_restart = self._must_resend = True
            self._restart()
            self._chart.mark(gaps)
            for role, rows in self._feed.rows():
                self._chart.take(role, self._relevant(rows))

    def _spec(self) -> Spec:
        spec = self._chart.spec()
        return compacted(spec) if self._sketch.is_compact else spec

    def _restart(self) -> None:
        self._must_restart = False
        self._feed.restart()
        self._chart = self._kind(self._view, self._sketch)

    def _relevant(self, rows: pl.DataFrame) -> pl.DataFrame:
        # Of a million rows, those before the window need not be looked at.
        window_ns = self._view.window_ns
        if self._view.span is not None or window_ns is None or self._kind.needs_past:
            return rows
        if rows.height < 10_000 or "timestamp" not in rows.columns:
            return rows
        newest = rows["timestamp"].max()
        return rows.filter(pl.col("timestamp") >= newest - pl.duration(nanoseconds=window_ns))

    def _send_drawing(self, drawing: Drawing, now: float, began: float) -> int:
        parts = difference({} if self._must_resend else self._sent, drawing.arrays)
        layout = {
            path: value
            for path, value in {**drawing.layout, "@": dict(drawing.traces)}.items()
            if self._must_resend or self._sent_layout.get(path) != value
        }
        if not (parts or layout or self._must_resend):
            return 0
        buffers = [part.buffer for part in parts]
        size = sum(len(buffer) for buffer in buffers)
        is_full, self._must_resend = self._must_resend, False
        number = self.link.on_send(now, size, time.perf_counter() - began)
        self._remember(drawing, parts)
        self._sent_layout.update(layout)
        self.send(
            {
                "kind": "frame",
                "seq": number,
                "base": None if is_full else number - 1,
                "parts": [part.header for part in parts],
                "layout": layout,
                "window": drawing.window,
                "empty": self._chart.is_empty,
            },
            buffers=buffers,
        )
        return size

    def _remember(self, drawing: Drawing, parts: list[Part]) -> None:
        for part in parts:
            array = np.ascontiguousarray(drawing.arrays[part.trace, part.path])
            self._sent[part.trace, part.path] = array.astype(part.tail.dtype, copy=False)

    # -- what the browser tells ------------------------------------------------------------------

    def _on_message(self, _: Any, message: dict[str, Any], buffers: list[Any]) -> None:
        kind = message.get("kind")
        if kind == "drawn":
            self.link.on_drawn(int(message["seq"]), float(message["ms"]), time.monotonic())
        elif kind == "view":
            self._on_view(message)
        elif kind == "hello":  # a page has opened, or lost count: it needs everything
            self.link.on_hello()
            self._must_resend = True
        elif kind == "lib":
            self.send({"kind": "lib"}, buffers=[_plotly_js()])
        elif kind == "still" and buffers:
            self._keep_still(bytes(buffers[0]))
        elif kind == "error":
            log.error("the browser could not draw: %s", message.get("text"))
        refresher().wake(self._ticket if kind in ("view", "hello") else None)

    def _on_view(self, message: dict[str, Any]) -> None:
        self.link.is_visible = bool(message.get("visible"))
        low, high = _PX
        px = int(min(max(float(message.get("px") or self._view.px), low), high))
        # A few pixels more or less do not matter.
        px = self._view.px if abs(px - self._view.px) < 0.05 * px else px
        span = None
        bounds = message.get("range")
        if bounds and self._kind.time_axis:
            begin, end = (self._sketch.zone.to_ns(float(each)) for each in bounds)
            span = (begin, end) if end > begin else None
        self._look(View(px, span, self._view.window_ns))

    def _look(self, view: View) -> None:
        if view != self._view:
            self._view = view
            self._must_restart = True
        refresher().wake(self._ticket)

    # -- in the notebook -------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        bundle = self._repr_mimebundle_()
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        _show(data, raw=True)
        self.place_still()

    def place_still(self) -> None:
        """Make room below, in the cell that runs, for the picture that a saved notebook keeps.

        The browser makes it, and again each minute; it is hidden while the widget above it is
        alive. A figure shown by itself does this; one inside other widgets can be told to.
        """
        self._still_id = uuid.uuid4().hex
        place = {"text/plain": self._name, "text/html": '<div class="kr-still"></div>'}
        _show(place, raw=True, display_id=self._still_id)

    @property
    def _name(self) -> str:
        return f"{self._kind.__name__} of {self._sketch.symbol or 'a stream'}"

    def _keep_still(self, png: bytes) -> None:
        if self._still_id:
            picture = {
                "image/png": base64.b64encode(png).decode(),
                "text/plain": self._name,
            }
            _update(picture, raw=True, display_id=self._still_id)

    def __repr__(self) -> str:
        return f"<live {self._name}, frame {self.link.drawn} of {self.link.sent} drawn>"


def _list(figure: LiveFigure, *, is_over: bool = False) -> None:
    """Add a figure to those that may share a page, or take it off."""
    global _figures
    with _figures_lock:
        kept = [ref for ref in _figures if ref() is not None and ref() is not figure]
        _figures = (*kept,) if is_over else (*kept, weakref.ref(figure))


# IPython's own are not annotated.
_show: Callable[..., Any] = display
_update: Callable[..., Any] = update_display
