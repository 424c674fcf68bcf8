"""The picture that a saved notebook keeps of a widget, which is gone when its kernel is."""

from __future__ import annotations

import base64
import html
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
from IPython.display import display, update_display

from kucoin_research.figures.browser_link import Pages
from kucoin_research.figures.refresh import refresher
from kucoin_research.figures.static import Figure
from kucoin_research.figures.theme import literal

__all__ = ["SavedPicture", "leave", "show_widget"]

# IPython's own functions are not annotated.
_show: Callable[..., Any] = display
_update: Callable[..., Any] = update_display

# Trusted notebooks keep styles in HTML. Where they do not, they do not show the widget either.
_STYLE = (Path(__file__).parent / "saved_picture.css").read_text(encoding="utf-8")
_PATIENCE = 8.0  # s in which the kernel can hear; a page that is not busy needs about two
_EVERY = 0.1


def show_widget(widget: widgets.Box | anywidget.AnyWidget) -> None:
    """Show a widget as the output of the cell that runs."""
    bundle = widget._repr_mimebundle_()
    _show(bundle[0] if isinstance(bundle, tuple) else bundle, raw=True)


class SavedPicture:
    """An output below a widget, in the same cell, that holds the browser's newest picture of it.

    The page hides it while the widget above it is alive, and the widget where it is not.
    """

    def __init__(self) -> None:
        self._display_id = ""  # until it has a place
        self._is_kept = False
        self.has_last = False  # of a widget that is being closed

    @property
    def is_placed(self) -> bool:
        """Whether a cell has room for it."""
        return bool(self._display_id)

    def place(self, text: str) -> None:
        """Make room for the picture in the cell that runs; ``text`` stands there until it comes."""
        self._display_id = uuid.uuid4().hex
        style = f'<div class="kr-kept"><style>{_STYLE}</style></div>'
        _show({"text/html": style, "text/plain": ""}, raw=True)
        words = f"{text}: no picture of it was kept"
        room = {
            "text/plain": words,
            "text/html": f'<div class="kr-still">{html.escape(words)}</div>',
        }
        _show(room, raw=True, display_id=self._display_id)

    def keep(self, png: bytes, text: str, *, is_last: bool = False) -> None:
        """Replace the picture; nothing happens where it has no place."""
        self._put({"image/png": base64.b64encode(png).decode()}, text)
        self.has_last = self.has_last or is_last

    def keep_figure(self, figure: Callable[[], Figure], text: str) -> None:
        """Keep a static figure where no browser has drawn a picture."""
        if self.is_placed and not self._is_kept:
            made = figure()
            words = literal(f"{text.strip('<>')}, {_now()}, not live any more")
            made.update_traces(opacity=0.45)
            made.add_annotation(_stamp(words))
            self._put({"application/vnd.plotly.v1+json": made.to_plotly_json()}, text)

    def _put(self, picture: dict[str, Any], text: str) -> None:
        if self._display_id:
            plain = f"{text}, {_now()}, not live any more"
            _update({**picture, "text/plain": plain}, raw=True, display_id=self._display_id)
            self._is_kept = True


def leave(
    picture: SavedPicture, pages: Pages[Any], ask: Callable[[], None], end: Callable[[], None]
) -> None:
    """End a widget after a page has made the last picture of it, or if none does so in time.

    Parameters
    ----------
    picture
        Has its last picture once a page has sent it.
    pages
        Those that have shown the widget; without any, it ends at once.
    ask
        Asks the pages for the picture.
    end
        Ends the widget; called by the refresh thread, or at once.
    """
    if not (picture.is_placed and pages.was_heard) or sys.is_finalizing():
        end()
        return
    waited = 0.0

    def look(now: float) -> None:
        nonlocal waited
        pages.look(now)
        waited += 0.0 if pages.is_deaf(now) else _EVERY
        if picture.has_last or waited >= _PATIENCE:
            ticket.cancel()
            end()

    ask()
    ticket = refresher().add(look, every=_EVERY)


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())


def _stamp(words: str) -> dict[str, Any]:
    return {
        "text": words,
        "showarrow": False,
        "xref": "paper",
        "yref": "paper",
        "x": 0.5,
        "y": 0.5,
        "font": {"size": 12, "color": "#fff"},
        "bgcolor": "#444",
        "borderpad": 6,
    }
