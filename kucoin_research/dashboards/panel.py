"""The part of a dashboard that is text: badge, tiles, tape, status line, replay bar.

One widget, one message per refresh, and in it only what has changed.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import traitlets

from kucoin_research.figures.link import KERNEL_JS, Link

__all__ = ["Panel", "Tape"]

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_NOTHING = object()

#: Called with what the browser asks for, and with raw bytes that came along.
Ask = Callable[[dict[str, Any], list[Any]], None]


class Tape(NamedTuple):
    """The newest of a growing list of rows; ``total`` counts all there ever were."""

    total: int
    rows: list[list[str]]


class Panel(anywidget.AnyWidget):
    """Shows texts by name, in the browser of whoever looks.

    Parameters
    ----------
    ask
        Called for each press that is not the panel's own, on the thread that the kernel uses for
        widgets.

    Notes
    -----
    ``tell`` is for one thread, the refresher's.
    """

    _esm = KERNEL_JS + (_HERE / "panel.js").read_text(encoding="utf-8")
    _css = (_HERE / "panel.css").read_text(encoding="utf-8")

    uid = traitlets.Unicode().tag(sync=True)

    def __init__(self, ask: Ask) -> None:
        self.link = Link()
        self.is_open = False
        self._ask = ask
        self._sent: dict[str, Any] = {}
        self._lock = threading.Lock()  # guards _sent
        super().__init__(uid=uuid.uuid4().hex)
        self.on_msg(self._on_message)

    def tell(self, texts: dict[str, Any], now: float) -> int:
        """Send the texts that differ from those sent; returns how many went.

        Nothing goes while nobody looks, or while the browser is busy with the last two.
        """
        if not self.link.is_visible:
            return 0
        began = time.perf_counter()
        with self._lock:
            changed = {
                name: self._part(name, value)
                for name, value in texts.items()
                if self._sent.get(name, _NOTHING) != value
            }
            if not changed:
                if self.link.owes_beat(now):
                    self.send({"kind": "beat"})
                return 0
            if not self.link.may_send(now):
                return 0
            self._sent.update({name: texts[name] for name in changed})
            number = self.link.on_send(now, 0, time.perf_counter() - began)
        self.send({"kind": "texts", "seq": number, "texts": changed})
        return len(changed)

    def _part(self, name: str, value: Any) -> Any:
        if not isinstance(value, Tape):
            return value
        before = self._sent.get(name)
        new = value.total - before.total if isinstance(before, Tape) else -1
        if 0 <= new < len(value.rows):
            return {"add": value.rows[len(value.rows) - new :]}
        return {"all": value.rows}

    def _on_message(self, _: Any, message: dict[str, Any], buffers: list[Any]) -> None:
        kind = message.get("kind")
        if kind == "drawn":
            self.link.on_drawn(int(message["seq"]), float(message["ms"]), time.monotonic())
        elif kind == "view":
            self.link.is_visible = bool(message.get("visible"))
        elif kind == "hello":  # a page has opened: it has nothing
            with self._lock:
                self._sent.clear()
            self.link.on_hello()
        elif kind == "open":
            self.is_open = bool(message.get("open"))
        elif kind == "error":
            log.error("the browser could not draw: %s", message.get("text"))
        self._ask(message, buffers)
