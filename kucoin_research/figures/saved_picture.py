"""The picture that a saved notebook keeps of a widget, which is gone when its kernel is."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from typing import Any

import anywidget
import ipywidgets as widgets
from IPython.display import display, update_display

__all__ = ["SavedPicture", "show_widget"]

# IPython's own functions are not annotated.
_show: Callable[..., Any] = display
_update: Callable[..., Any] = update_display


def show_widget(widget: widgets.Box | anywidget.AnyWidget) -> None:
    """Show a widget as the output of the cell that runs."""
    bundle = widget._repr_mimebundle_()
    _show(bundle[0] if isinstance(bundle, tuple) else bundle, raw=True)


class SavedPicture:
    """An output below a widget, in the same cell, that holds the browser's newest picture of it.

    The page hides it while the widget above it is alive.
    """

    def __init__(self) -> None:
        self._display_id = ""  # until it has a place

    def place(self, text: str) -> None:
        """Make room for the picture in the cell that runs; ``text`` stands there until it comes."""
        self._display_id = uuid.uuid4().hex
        room = {"text/plain": text, "text/html": '<div class="kr-still"></div>'}
        _show(room, raw=True, display_id=self._display_id)

    def keep(self, png: bytes, text: str) -> None:
        """Replace the picture; nothing happens where it has no place."""
        if self._display_id:
            picture = {"image/png": base64.b64encode(png).decode(), "text/plain": text}
            _update(picture, raw=True, display_id=self._display_id)
