"""The live table of a screener: a grid in the browser, fed with the cells that have changed."""

from __future__ import annotations

import gzip
import importlib.util
import logging
import threading
import time
import uuid
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import traitlets

from kucoin_research.api.market_board import SHOWN, BoardView
from kucoin_research.api.screening import Screener
from kucoin_research.figures.browser_link import KERNEL_JS, BrowserLink, Pages, Totals
from kucoin_research.figures.page_code import CodedWidget
from kucoin_research.figures.redraws import redraws_per_second
from kucoin_research.figures.refresh import Ticket, refresher
from kucoin_research.foundation import clocks

__all__ = ["ScreenerTable"]

log = logging.getLogger(__name__)

# Looked for now, and not when a page asks for it: whoever imports this can then do without.
if importlib.util.find_spec("itables") is None:
    raise ModuleNotFoundError("a live screener needs itables: pip install itables", name="itables")

_HERE = Path(__file__).parent
_CODE = KERNEL_JS + (_HERE / "screener.js").read_text(encoding="utf-8")
_FASTEST = 5.0  # messages per second
_HIDDEN_INTERVAL = 0.5
_MS_NS = 1_000_000


@cache
def _grid_js() -> bytes:
    # DataTables, as the package itables brings it: 0.2 MB compressed.
    code = files("itables").joinpath("html", "dt_bundle.js").read_bytes()
    return gzip.compress(code, 6)


class _Reader:
    """What a page that shows the table has been sent."""

    def __init__(self) -> None:
        self.link = BrowserLink()
        self.lock = threading.Lock()  # guards the rest
        self.shown: BoardView | None = None
        self.words: tuple[str, bool] | None = None


class ScreenerTable(CodedWidget):
    """Shows the figures of a screener on each page that looks.

    A page gets one message per refresh with the cells that have changed, and nothing while it is
    hidden, or while its browser is busy with the last two messages.

    Parameters
    ----------
    screener
        Where the figures come from.
    on_press
        Called with the symbol of a row that is pressed, on the thread that the kernel uses for
        widgets.
    """

    code = traitlets.Unicode(KERNEL_JS + (_HERE / "screener.js").read_text(encoding="utf-8")).tag(
        sync=True
    )
    _css = (_HERE / "screener.css").read_text(encoding="utf-8")

    uid = traitlets.Unicode().tag(sync=True)

    _ticket: Ticket | None = None

    def __init__(self, screener: Screener, on_press: Callable[[str], object]) -> None:
        self._pages = Pages(_Reader)
        self._clock: Callable[[], float] = time.monotonic
        self._screener = screener
        self._on_press = on_press
        self._said = ""
        self._fastest = redraws_per_second(_FASTEST)
        super().__init__(uid=uuid.uuid4().hex)
        self._pages.answer_as(self.uid)
        self.on_msg(self._on_message)

    def start(self) -> None:
        """Begin to send what changes."""
        if self._ticket is None:
            self._ticket = refresher().add(self.refresh, every=1 / self._fastest)

    def say(self, text: str) -> None:
        """Show a text about the last press; an empty one takes it away."""
        self._said = text
        refresher().wake(self._ticket)

    @property
    def link(self) -> Totals:
        """Counters of all pages that show it."""
        return self._pages.totals

    def close(self) -> None:
        """End it: it leaves the page, and its refreshes end."""
        # Not again by the garbage collector, which may run while the refresher holds its own locks.
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            ticket.cancel()
        super().close()

    # -- the refresh thread ----------------------------------------------------------------------

    def refresh(self, now: float) -> float:
        """Send the changes to each page that looks; returns the seconds until the next refresh."""
        self._pages.look(now)
        looking = self._pages.visible
        if not looking:
            return _HIDDEN_INTERVAL
        view = self._screener.look()
        words = ("; ".join(filter(None, (self._said, self._screener.line))), self._is_wrong)
        for name, reader in looking:
            self._tell(name, reader, view, words, now)
        return min(reader.link.interval(self._fastest, 0.0, len(looking)) for _, reader in looking)

    @property
    def _is_wrong(self) -> bool:
        return bool(self._said or self._screener.troubles)

    def _tell(
        self, page: str, reader: _Reader, view: BoardView, words: tuple[str, bool], now: float
    ) -> None:
        began, link = time.perf_counter(), reader.link
        with reader.lock:
            content, buffers = _changes(reader.shown, view)
            if words != reader.words:
                content |= {"line": words[0], "wrong": words[1]}
            if content and not link.may_send(now, is_deaf=self._pages.is_deaf(now)):
                return
            if content:
                reader.shown, reader.words = view, words
                size = sum(map(len, buffers))
                content |= {"seq": link.on_send(now, size, time.perf_counter() - began)}
        if not content:
            link.on_quiet(now)
        if content or link.owes_beat(now):
            now_ms = clocks.current().wall_ns() // _MS_NS
            self.send({"kind": "rows", "now": now_ms, "to": page, **content}, buffers=buffers)

    # -- messages of the browser -----------------------------------------------------------------

    def _on_message(self, _: Any, message: dict[str, Any], _buffers: list[Any]) -> None:
        kind, page, now = message.get("kind"), str(message.get("page", "")), self._clock()
        reader = self._pages.heard(page, now)
        if kind == "drawn":
            self._pages.on_drawn(page, message, now)
        elif kind == "view":
            reader.link.on_view(is_visible=bool(message.get("visible")), now=now)
        elif kind == "hello":  # a page has opened and has nothing yet
            with reader.lock:
                reader.shown = reader.words = None
                reader.link.on_hello(now)
        elif kind == "grid":
            self.send({"kind": "grid", "to": page}, buffers=[_grid_js()])
        elif kind == "press" and message.get("symbol"):
            self._on_press(str(message["symbol"]))
        elif kind == "error":
            log.error("the browser could not draw the screener: %s", message.get("text"))
        refresher().wake(self._ticket if kind in ("view", "hello") else None)

    def __repr__(self) -> str:
        return f"<table of {self._screener!r}>"


def _changes(old: BoardView | None, new: BoardView) -> tuple[dict[str, Any], list[bytes]]:
    """Return the message that makes a page of an old view one of a new view, and its buffers."""
    if old is None or old.symbols != new.symbols:
        content = {"symbols": list(new.symbols), "names": list(SHOWN)}
        return content, [np.ascontiguousarray(new.figures, np.float64).tobytes()]
    # Compared bit by bit, since NaN is not equal to itself.
    rows, columns = np.nonzero(new.figures.view(np.int64) != old.figures.view(np.int64))
    if not len(rows):
        return {}, []
    values = new.figures[rows, columns]
    cells = (rows.astype(np.uint16), columns.astype(np.uint8), values)
    return {"cells": len(rows)}, [part.tobytes() for part in cells]
