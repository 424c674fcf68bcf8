"""Live figures: plotly.js in the browser, fed with the few values that have changed."""

from __future__ import annotations

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

import plotly
import traitlets

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.figures.browser_link import KERNEL_JS, BrowserLink, Pages, Totals
from kucoin_research.figures.chart import Chart, Sketch, View
from kucoin_research.figures.closing import close_whole, ids_of
from kucoin_research.figures.empty_axes import hidden
from kucoin_research.figures.key_help import HELP_CSS, HELP_JS
from kucoin_research.figures.notebook_cells import replace_in_cell
from kucoin_research.figures.open_figures import open_figures
from kucoin_research.figures.pace import Pace, pace_of
from kucoin_research.figures.page_code import CodedWidget
from kucoin_research.figures.picture import Picture
from kucoin_research.figures.redraws import redraws_per_second
from kucoin_research.figures.refresh import TOGETHER, Ticket, refresher
from kucoin_research.figures.saved_picture import SavedPicture, leave, show_widget
from kucoin_research.figures.static import Figure, still
from kucoin_research.figures.tail import Rows, Tail
from kucoin_research.figures.theme import PALETTES, Spec, compacted
from kucoin_research.model.source import LiveSource

__all__ = ["LiveFigure"]

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
_PX = (100, 4_000)
# In the order in which they build on one another.
_SCRIPTS = (
    "readout.js", "linked.js", "crosshair.js", "measure.js", "pointing.js", "log_scale.js",
    "axis_tags.js", "axis_titles.js", "widget.js",
)  # fmt: skip
_HIDDEN_INTERVAL = 0.5
_QUIET_INTERVAL = 0.05


def _texts(*names: str) -> str:
    return "".join((_HERE / name).read_text(encoding="utf-8") for name in names)


@cache
def _plotly_js() -> bytes:
    # Compressed to 1.4 MB, it stays below a server's limit on output; the browser unpacks it.
    return gzip.compress(_PLOTLY.read_bytes(), 6)


class LiveFigure(CodedWidget):
    """A live figure of a stream; ``kucoin_research.figures`` makes it.

    While visible, it draws each change, up to twenty times a second, slower where the browser or
    the kernel is busy. Zooming in shows every row of the range, a double click follows the newest
    data again. It may be open on several pages (tabs, browsers, machines). Each page has its own
    zoom and pace, and one that is hidden, slow or closed costs the others nothing.

    Parameters
    ----------
    kind
        The chart's class.
    source
        A stream or a replay; or a function that makes the supply of rows for a page.
    sketch
        Symbol, time zone, height and options.
    channels
        The channel of the source for each role of the chart.
    window_ns
        Length of the newest data to follow; ``None``: all data.
    is_part
        Whether another widget closes it, rather than the next run of the cell that made it.

    Attributes
    ----------
    group
        Figures on one page with the same name here, any text, have one time axis: they zoom, move
        and follow together, and show the crosshair at one time. Empty: it stands alone.
    error
        The exception of the last refresh, ``None`` if it succeeded. The next one is tried anyway.
    link
        Counters of all pages: frames sent and drawn, bytes, milliseconds per draw.
    is_frozen
        While set, only a change of the view is drawn; the stream goes on.
    on_end
        Called when the figure has ended.
    on_mark
        Called with time (ns UTC) and price of a strategy's mark that was pressed.
    paced_by
        The source whose clock the figure shows; ``None`` if nothing comes any more.

    Notes
    -----
    Every method may be called from any thread. All figures of a kernel are refreshed by one thread;
    ``close`` ends this one's part in it, and so does running its cell again.

    ``KUCOIN_RESEARCH_REDRAWS`` in the environment lowers the most redraws per second, for a slow
    machine or a remote link; it is read when the figure is made.
    """

    _css = HELP_CSS + _texts("axis_tags.css", "axis_titles.css", "widget.css", "crosshair.css")

    code = traitlets.Unicode(KERNEL_JS + HELP_JS + _texts(*_SCRIPTS)).tag(sync=True)
    spec = traitlets.Dict().tag(sync=True)
    palettes = traitlets.Dict(PALETTES).tag(sync=True)
    uid = traitlets.Unicode().tag(sync=True)
    parts = traitlets.List(traitlets.Unicode()).tag(sync=True)  # ids of what is closed with it
    caption = traitlets.Unicode().tag(sync=True)  # of its picture
    group = traitlets.Unicode().tag(sync=True)
    keeps_still = traitlets.Bool(default_value=True).tag(sync=True)  # False within a dashboard

    _ticket: Ticket | None = None  # until everything else is made
    _is_closing = False

    def __init__(
        self,
        kind: type[Chart],
        source: LiveSource | Callable[[], Rows],
        sketch: Sketch,
        channels: dict[str, str],
        *,
        window_ns: int | None = None,
        is_part: bool = False,
    ) -> None:
        self.is_frozen = False
        self.on_end: Callable[[], object] | None = None
        self.on_mark: Callable[[int, float], object] | None = None
        self._clock: Callable[[], float] = time.monotonic
        self._kind, self._fastest = kind, redraws_per_second(kind.fastest)
        self._sketch = sketch
        self._source, self._channels = source, channels
        self.paced_by: LiveSource | None = None if callable(source) else source
        self._window_ns = window_ns
        self._books = [role.name for role in kind.roles if role.channels[0] == "level2"]
        self._pages = Pages(self._picture)
        self._still = SavedPicture()
        self._lock = threading.RLock()  # guards the pictures, their settings and their source
        super().__init__(spec=self._spec(), uid=uuid.uuid4().hex, caption=sketch.symbol)
        self.parts = ids_of(self)
        self._pages.answer_as(self.uid)
        self.on_msg(self._on_message)
        self._ticket = self._start()
        open_figures.add(self)
        if not is_part:
            replace_in_cell(self, keeps_picture=False)

    def _start(self) -> Ticket:
        # A weak reference: the refresher must not keep alive a figure that nobody has any more.
        weak = weakref.ref(self)

        def tick(now: float) -> float | None:
            figure = weak()
            if figure is None:
                ticket.cancel()
                return None
            return figure.refresh(now)

        ticket = refresher().add(tick, every=1 / self._fastest)
        return ticket

    def _picture(self) -> Picture:
        with self._lock:
            return Picture(self._kind, self._sketch, self._feed(), View(window_ns=self._window_ns))

    def _feed(self) -> Rows:
        source = self._source
        if callable(source):
            return source()
        return Tail(source, self._sketch.symbol, self._channels, self._books)

    def _spec(self) -> Spec:
        spec = hidden(self._kind(View(window_ns=self._window_ns), self._sketch).spec())
        spec["is_complete"] = self._sketch.is_complete
        spec["is_compact"] = self._sketch.is_compact
        return compacted(spec) if self._sketch.is_compact else spec

    # -- for users -------------------------------------------------------------------------------

    @property
    def error(self) -> Exception | None:
        """The exception of the last refresh; ``None`` if it succeeded."""
        return None if self._ticket is None else self._ticket.error

    @property
    def symbol(self) -> str:
        """The symbol that is shown; empty for a stream that names none."""
        return self._sketch.symbol

    @property
    def window(self) -> float | None:
        """Seconds of the newest data that are followed; ``None``: all data."""
        return None if self._window_ns is None else self._window_ns / 1e9

    @window.setter
    def window(self, seconds: float | None) -> None:
        if seconds is not None and not seconds > 0:
            raise InvalidInput(
                f"window must be seconds above 0, or None for all, not {shown(seconds)}"
            )
        self._window_ns = None if seconds is None else round(seconds * 1e9)
        for picture in self._pages.all:
            picture.look(replace(picture.view, window_ns=self._window_ns))
        refresher().wake(self._ticket)

    @property
    def link(self) -> Totals:
        """Counters of all pages that show it."""
        return self._pages.totals

    def link_to(self, page: str) -> BrowserLink | None:
        """Return the conversation with one page; ``None`` if the page is not known."""
        picture = self._pages.get(page)
        return None if picture is None else picture.link

    def reset(self) -> None:
        """Read all rows again, for example after the source was wound back."""
        for picture in self._pages.all:
            picture.reset()
        refresher().wake(self._ticket)

    def attach(
        self,
        source: LiveSource | Callable[[], Rows],
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
            Of the chart's kind; left out: as they are.
        """
        with self._lock:
            sketch = self._sketch
            options = sketch.options if options is None else options
            self._sketch = replace(sketch, symbol=symbol, options=options)
            self._source, self._channels = source, channels
            self.paced_by = None if callable(source) else source
            for picture in self._pages.all:
                picture.show(self._sketch, self._feed())
            spec = self._spec()
        self.spec, self.caption = spec, symbol
        refresher().wake(self._ticket)

    def figure(self, theme: str = "light") -> Figure:
        """Make a static figure of the present view; of several pages, the one heard last."""
        with self._lock:
            picture = next(iter(self._pages.all[::-1]), None) or self._picture()
            picture.update()
            return still(picture.chart, theme)

    def to_html(self, path: str | Path | None = None, **options: Any) -> str:
        """Write the present view to an HTML file that needs no network; see ``Figure.to_html``."""
        return self.figure().to_html(path, **options)

    def to_png(self, path: str | Path, **options: Any) -> Path:
        """Write the present view to a PNG file; see ``Figure.to_png``."""
        return self.figure().to_png(path, **options)

    def disown(self) -> None:
        """Replace the lock in a forked child: a thread of the parent may have held it."""
        self._lock = threading.RLock()

    def close(self, *, keeps_picture: bool = True) -> None:
        """End the figure: its refreshes end, and the newest picture of it takes its place.

        Parameters
        ----------
        keeps_picture
            Whether the page that shows it is asked for a last picture first, which takes seconds,
            but no time of the caller; without a page, a static figure is kept.
        """
        if self._ticket is None or not keeps_picture or self._is_closing:
            self._end()
            return
        self._is_closing = True
        leave(self._still, self._pages, lambda: self.send({"kind": "last"}), self._end_with_picture)

    def _end_with_picture(self) -> None:
        self._still.keep_figure(self.figure, self._name)
        self._end()

    def _end(self) -> None:
        if self._ticket is not None:
            self._ticket.cancel()
            open_figures.remove(self)
        if self.on_end is not None:
            self.on_end()
        close_whole(self)

    def __del__(self) -> None:
        # The garbage collector may run anywhere, even while the refresher holds its own locks.
        if self._ticket is not None:
            self._ticket.abandon()
        super().close()

    # -- the refresh thread ----------------------------------------------------------------------

    def refresh(self, now: float) -> float | None:
        """Send new values to each page that looks; returns the seconds until the next refresh."""
        self._pages.look(now)
        looking = self._pages.visible
        if not looking:
            return _HIDDEN_INTERVAL
        failed: Exception | None = None
        for name, picture in looking:
            # A single page sets the pace of the calls themselves.
            if len(looking) > 1 and now + TOGETHER < picture.due:
                continue
            try:
                picture.due = now + self._refresh(name, picture, now, len(looking))
            except Exception as error:  # noqa: BLE001  raised below, after the other pages
                self._beat(name, picture, now, f"{type(error).__name__}: {error}")
                failed = failed or error
        if failed is not None:
            raise failed
        return min(picture.due for _, picture in looking) - now

    def _refresh(self, name: str, picture: Picture, now: float, pages: int) -> float:
        self._summarise(name, picture, now)
        self._send_pace(name, picture)
        link = picture.link
        if picture.is_quiet(is_frozen=self.is_frozen):
            link.on_quiet(now)
            self._beat(name, picture, now)
            return _QUIET_INTERVAL
        if not link.may_send(now, is_deaf=self._pages.is_deaf(now)):
            return _QUIET_INTERVAL
        with self._lock:
            frame = picture.frame(now)
        if frame is not None:
            self.send({**frame.content, "to": name}, buffers=frame.buffers)
        else:
            link.on_quiet(now)
        if frame is None or not frame.size:
            self._beat(name, picture, now)
        return link.interval(self._fastest, open_figures.draw_ms_beside(self, name), pages)

    def _summarise(self, name: str, picture: Picture, now: float) -> None:
        with self._lock:
            text = picture.summary(now)
        if text is not None:
            self.send({"kind": "summary", "text": text, "to": name})

    def _send_pace(self, name: str, picture: Picture) -> None:
        source = None if self.is_frozen else self.paced_by
        pace = Pace() if source is None else pace_of(source)
        if pace != picture.pace:
            picture.pace = pace
            self.send({"kind": "pace", **pace._asdict(), "to": name})

    def _beat(self, name: str, picture: Picture, now: float, trouble: str = "") -> None:
        if picture.link.owes_beat(now):
            self.send({"kind": "beat", "trouble": trouble, "to": name})

    # -- messages of the browser -----------------------------------------------------------------

    def _on_message(self, _: Any, message: dict[str, Any], buffers: list[Any]) -> None:
        kind, page, now = message.get("kind"), str(message.get("page", "")), self._clock()
        picture = self._pages.heard(page, now)
        if kind == "drawn":
            self._pages.on_drawn(page, message, now)
        elif kind == "view":
            self._on_view(picture, message, now)
        elif kind == "hello":  # a page has opened, or lost count: it needs everything
            picture.link.on_hello(now)
            picture.resend()
        elif kind == "lib":
            self.send({"kind": "lib", "to": page}, buffers=[_plotly_js()])
        elif kind == "still" and buffers:
            is_last = bool(message.get("last"))
            self._still.keep(bytes(buffers[0]), self._name, is_last=is_last)
        elif kind == "mark" and self.on_mark is not None:
            self.on_mark(self._sketch.zone.to_ns(float(message["x"])), float(message["y"]))
        elif kind == "error":
            log.error("the browser could not draw: %s", message.get("text"))
        refresher().wake(self._ticket if kind in ("view", "hello") else None)

    def _on_view(self, picture: Picture, message: dict[str, Any], now: float) -> None:
        picture.link.on_view(is_visible=bool(message.get("visible")), now=now)
        low, high = _PX
        px = int(min(max(float(message.get("px") or picture.view.px), low), high))
        # A small change of the width is not worth a new drawing of all rows.
        px = picture.view.px if abs(px - picture.view.px) < 0.05 * px else px
        span = None
        bounds = message.get("range")
        if bounds and self._kind.time_axis:
            begin, end = (self._sketch.zone.to_ns(float(each)) for each in bounds)
            span = (begin, end) if end > begin else None
        picture.look(View(px, span, self._window_ns))

    # -- in the notebook -------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        show_widget(self)
        self.place_still()

    def place_still(self) -> None:
        """Make room in the running cell for the picture that a saved notebook keeps.

        The browser makes the picture, again each ten seconds while the figure moves, and once it
        stands still. It is hidden while the widget above it is alive. A figure that is shown by
        itself calls this; call it for one inside other widgets.
        """
        self._still.place(self._name)

    @property
    def _name(self) -> str:
        return f"{self._kind.__name__} of {self._sketch.symbol or 'a stream'}"

    def __repr__(self) -> str:
        link = self.link
        return f"<live {self._name}, {link.drawn} of {link.sent} frames drawn>"
