"""The texts of a dashboard: badge, tiles, tape, status line, replay bar.

They are one widget. Each page that shows it gets one message per refresh, with every text that has
changed, so no text on the screen can be older than another.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import traitlets

from kucoin_research.figures.browser_link import KERNEL_JS, BrowserLink, Pages
from kucoin_research.figures.key_help import HELP_CSS, HELP_JS
from kucoin_research.figures.page_code import CodedWidget
from kucoin_research.figures.redraws import redraws_per_second

__all__ = ["Panel", "TradeTape"]

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_SCRIPTS = (
    "hotkeys.js", "access.js", "account.js", "alerts.js", "watch.js", "tape.js", "tiles.js",
    "panel.js",
)  # fmt: skip
_STYLES = ("tape.css", "panel.css", "account.css", "tiles.css")
_NOTHING = object()

#: Called with a message of the browser, and with the raw bytes that came along.
Ask = Callable[[dict[str, Any], list[Any]], None]


class TradeTape(NamedTuple):
    """The newest rows of a growing list; ``total`` counts all rows that it ever had.

    ``least`` is the size that its rows have at least. With another one it is another list.
    """

    total: int
    rows: list[list[str]]
    least: float = 0.0


class _Reader:
    """The state of a page that shows the panel."""

    def __init__(self) -> None:
        self.link = BrowserLink()
        self.is_open = False  # whether its drawer is open
        self.sent: dict[str, Any] = {}
        self.lock = threading.Lock()  # guards ``sent``


class Panel(CodedWidget):
    """Shows texts by name, on each page that looks.

    Parameters
    ----------
    ask
        Called with each message of a page, on the thread that the kernel uses for widgets.

    Notes
    -----
    ``tell`` is for one thread, the refresher's.
    """

    _own = "".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    code = traitlets.Unicode(KERNEL_JS + HELP_JS + _own).tag(sync=True)
    _css = HELP_CSS + "".join((_HERE / name).read_text(encoding="utf-8") for name in _STYLES)

    uid = traitlets.Unicode().tag(sync=True)
    parts = traitlets.List(traitlets.Unicode()).tag(sync=True)  # ids of what is closed with it

    def __init__(self, ask: Ask) -> None:
        self._most = redraws_per_second(math.inf)
        self.pages = Pages(_Reader)
        self._clock: Callable[[], float] = time.monotonic
        self._ask = ask
        super().__init__(uid=uuid.uuid4().hex)
        self.pages.answer_as(self.uid)
        self.on_msg(self._on_message)

    @property
    def is_open(self) -> bool:
        """Whether the drawer is open on a page that is looked at."""
        return any(reader.is_open for _, reader in self.pages.visible)

    def interval(self, fastest: float) -> float:
        """Return the seconds between messages that suit the quickest page."""
        fastest = min(fastest, self._most)
        links = [reader.link for _, reader in self.pages.visible]
        return min((link.interval(fastest) for link in links), default=1 / fastest)

    def tell(
        self, texts: dict[str, Any], now: float, own: Callable[[str], dict[str, Any]] | None = None
    ) -> int:
        """Send each page the texts that have changed since they were sent; returns their number.

        Nothing is sent while nobody looks, or while the browser is busy with the last two messages.

        Parameters
        ----------
        texts
            By name.
        now
            Monotonic seconds.
        own
            Returns the texts that concern one page only, by the page's name.
        """
        return sum(
            self._send_texts(name, reader, {**texts, **(own(name) if own is not None else {})}, now)
            for name, reader in self.pages.visible
        )

    def _send_texts(self, page: str, reader: _Reader, texts: dict[str, Any], now: float) -> int:
        began, link, sent = time.perf_counter(), reader.link, reader.sent
        with reader.lock:
            changed = {
                name: _part(sent.get(name), value)
                for name, value in texts.items()
                if sent.get(name, _NOTHING) != value
            }
            if changed and not link.may_send(now, is_deaf=self.pages.is_deaf(now)):
                return 0
            if changed:
                sent.update({name: texts[name] for name in changed})
                number = link.on_send(now, 0, time.perf_counter() - began)
        if changed:
            self.send({"kind": "texts", "seq": number, "texts": changed, "to": page})
            return len(changed)
        link.on_quiet(now)
        if link.owes_beat(now):
            self.send({"kind": "beat", "to": page})
        return 0

    def _on_message(self, _: Any, message: dict[str, Any], buffers: list[Any]) -> None:
        kind, page, now = message.get("kind"), str(message.get("page", "")), self._clock()
        reader = self.pages.heard(page, now)
        if kind == "drawn":
            self.pages.on_drawn(page, message, now)
        elif kind == "view":
            reader.link.on_view(is_visible=bool(message.get("visible")), now=now)
            reader.is_open = bool(message.get("open", reader.is_open))
        elif kind == "hello":  # a page has opened and has nothing yet
            with reader.lock:
                reader.sent.clear()
                reader.link.on_hello(now)
        elif kind == "error":
            log.error("the browser could not draw: %s", message.get("text"))
        self._ask(message, buffers)


def _part(before: Any, value: Any) -> Any:
    if not isinstance(value, TradeTape):
        return value
    is_same = isinstance(before, TradeTape) and before.least == value.least
    new = value.total - before.total if is_same else -1
    if 0 <= new < len(value.rows):
        return {"add": value.rows[len(value.rows) - new :]}
    return {"all": value.rows}
