"""The kernel's side of the conversation with each page that shows a widget.

A page is a tab of a browser. A widget may be open in several at once, also on several machines.
Each of them looks, zooms, draws and closes by itself, so each has a ``BrowserLink`` of its own.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from kucoin_research.figures.hearing import Hearing

__all__ = ["FORGOTTEN_AFTER", "KERNEL_JS", "BrowserLink", "Linked", "Pages", "Totals"]

#: The browser's side of the conversation, and the keys; it goes before a widget's own code.
KERNEL_JS = "".join(
    (Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("kernel.js", "keys.js")
)

#: Seconds after which a silent page is taken for closed. A page that is looked at sends something
#: every five seconds; any other page is taken in again when it is next looked at.
FORGOTTEN_AFTER = 30.0

_MOST_IN_FLIGHT = 2
# s without an answer after which the answer is taken for lost, and one more frame is sent. A slow
# browser gets more time, and each further try comes later.
_PATIENCE = 2.0
_MOST_PATIENCE = 8.0  # less than the browser waits for the kernel: SILENT_AFTER in kernel.js
_SLOWEST = 1.0  # s between frames, however slow the browser is
_BEAT = 2.0  # s; after five without a word the browser calls the kernel silent


@dataclass
class BrowserLink:
    """Counts frames sent to a page and drawn there, and decides when the next one may be sent.

    All times are monotonic seconds of the kernel.

    Attributes
    ----------
    sent, drawn
        Number of the last frame sent, and of the last one that the browser has drawn.
    skipped
        Times that a frame was due while the browser was still busy.
    draw_ms
        Milliseconds that the browser needs to draw a frame, smoothed.
    trip
        Seconds from sending a frame to its answer, waiting included, smoothed.
    cost
        Seconds that the kernel needs to make a frame, smoothed.
    is_visible
        Whether the widget is visible on this page.
    heard_at
        Time of the page's last message, in seconds of hearing (see ``Hearing``).
    shown_at
        The page shows all data up to this time.
    """

    sent: int = 0
    drawn: int = 0
    skipped: int = 0
    bytes_sent: int = 0
    draw_ms: float = 0.0
    trip: float = 0.0
    cost: float = 0.0
    is_visible: bool = False
    heard_at: float = 0.0
    shown_at: float = 0.0
    _sent_at: float = 0.0
    _beat_at: float = 0.0
    _tries: int = 0
    _has_drawn: bool = False
    _slowest_trip: float = 0.0
    _under_way: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=64))

    @property
    def in_flight(self) -> int:
        """Frames sent that are not drawn yet."""
        return self.sent - self.drawn

    def may_send(self, now: float, *, is_deaf: bool = False) -> bool:
        """Whether the browser is ready for a frame; counts the times that it is not.

        While the kernel cannot hear answers (``is_deaf``), their absence does not count against the
        browser.
        """
        if not self.is_visible:
            return False
        if self.in_flight < _MOST_IN_FLIGHT:
            return True
        if now - self._sent_at > self._patience:
            self._tries += not is_deaf
            return True
        self.skipped += 1
        return False

    @property
    def _patience(self) -> float:
        patience = min(_PATIENCE * 2.0**self._tries, _MOST_PATIENCE)
        return max(patience, 3 * self._slowest_trip)

    def on_send(self, now: float, size: int, cost: float) -> int:
        """Note that a frame is sent; returns its number."""
        self.sent += 1
        self.bytes_sent += size
        self.cost += 0.2 * (cost - self.cost)
        self._sent_at = now
        self._under_way.append((self.sent, now))
        return self.sent

    def on_drawn(self, number: int, draw_ms: float, now: float) -> None:
        """Note that the browser has drawn a frame."""
        if not self.drawn < number <= self.sent:
            return
        self.drawn = number
        self._has_drawn = True
        self.draw_ms += 0.2 * (draw_ms - self.draw_ms)
        self._tries = 0
        while self._under_way and self._under_way[0][0] <= number:
            _, made_at = self._under_way.popleft()
            trip = now - made_at
            self.shown_at = max(self.shown_at, made_at)
        self._slowest_trip = max(trip, 0.8 * self._slowest_trip)
        if number == self.sent:
            self.trip += 0.2 * (trip - self.trip)

    def on_quiet(self, now: float) -> None:
        """Note that there is nothing new to send."""
        if not self.in_flight:
            self.shown_at = now

    def on_view(self, *, is_visible: bool, now: float) -> None:
        """Note whether the widget is visible on the page."""
        if is_visible and not self.is_visible:
            self.shown_at = now  # the age counts from now: nobody has seen older data
        self.is_visible = is_visible

    def on_hello(self, now: float) -> None:
        """Note that the page has nothing yet, and that no frame is on its way to it."""
        self.drawn = self.sent
        self.shown_at = now
        self._tries = 0
        self._under_way.clear()

    def age(self, now: float) -> float:
        """Return the seconds by which the page's content lags behind the data.

        Frames count when they are drawn, not when they are sent. It is 0 where nobody looks, and on
        a page that has drawn nothing yet.
        """
        return max(0.0, now - self.shown_at) if self.is_visible and self._has_drawn else 0.0

    def owes_beat(self, now: float) -> bool:
        """Whether to send the page a sign of life, since nothing else was sent.

        Without one, the page would call itself not live. Notes that it is sent.
        """
        if not self.is_visible or now - max(self._sent_at, self._beat_at) < _BEAT:
            return False
        self._beat_at = now
        return True

    def interval(self, fastest: float, others_ms: float = 0.0, pages: int = 1) -> float:
        """Return the seconds between frames: a fifth of the kernel's time, half of the browser's.

        Parameters
        ----------
        fastest
            Frames per second, at most.
        others_ms
            Milliseconds that the other figures on the page need. All share half of the browser's
            time; the other half is for scrolling, zooming and pressing.
        pages
            Number of pages that share the kernel's fifth.
        """
        browser = max(2 * (self.draw_ms + others_ms) / 1e3, self.trip / 2)
        return min(max(1 / fastest, 5 * self.cost * pages, browser), _SLOWEST)


class Linked(Protocol):
    """State that a widget keeps for a page."""

    @property
    def link(self) -> BrowserLink:
        """The conversation with the page."""


class Totals(NamedTuple):
    """Counters of all pages together, closed ones included.

    Attributes
    ----------
    sent, drawn, skipped, bytes_sent
        Sums over each page's ``BrowserLink``.
    draw_ms
        Of the slowest page that is looked at.
    is_visible
        Whether the widget is visible on any page.
    """

    sent: int
    drawn: int
    skipped: int
    bytes_sent: int
    draw_ms: float
    is_visible: bool


P = TypeVar("P", bound=Linked)


class Pages(Generic[P]):
    """Keeps state for each page that has sent a message lately.

    Parameters
    ----------
    make
        Makes the state of a page when its first message comes.

    Notes
    -----
    Every method may be called from any thread.
    """

    def __init__(self, make: Callable[[], P]) -> None:
        self.was_heard = False  # whether any page has ever sent a message
        self._make = make
        self._hearing = Hearing()
        self._all: dict[str, P] = {}  # replaced whole, so that it can be read without the lock
        self._gone = Totals(0, 0, 0, 0, 0.0, is_visible=False)
        self._lock = threading.Lock()  # guards the replacing

    def answer_as(self, uid: str) -> None:
        """Be known by the widget's ``uid``, for answers that come with another's."""
        _by_uid[uid] = self

    def on_drawn(self, page: str, message: dict[str, Any], now: float) -> None:
        """Note what a page has drawn: a frame of this widget, and of those that answer with it.

        Parameters
        ----------
        page
            Its name.
        message
            With ``seq`` and ``ms``, and ``others``: uid, seq and ms of each.
        now
            Monotonic time.
        """
        self.heard(page, now).link.on_drawn(int(message["seq"]), float(message["ms"]), now)
        for uid, number, ms in message.get("others", ()):
            pages = _by_uid.get(uid)
            if pages is not None:  # one that was closed meanwhile waits for nothing
                pages.heard(page, now).link.on_drawn(int(number), float(ms), now)

    def heard(self, name: str, now: float) -> P:
        """Note a message from a page; returns the page's state."""
        with self._lock:
            self.was_heard = True
            page = self._all.get(name)
            if page is None:
                page = self._make()
                page.link.on_hello(now)
                self._all = {**self._all, name: page}
            page.link.heard_at = self._hearing.time(now)
            return page

    def look(self, now: float) -> None:
        """Forget the pages that have been silent for ``FORGOTTEN_AFTER``; call it often."""
        self._hearing.look(now)
        oldest = self._hearing.time(now) - FORGOTTEN_AFTER
        if all(page.link.heard_at >= oldest for page in self._all.values()):
            return
        with self._lock:
            gone = [page.link for page in self._all.values() if page.link.heard_at < oldest]
            self._gone = _total(self._gone, gone)
            self._all = {
                name: page for name, page in self._all.items() if page.link.heard_at >= oldest
            }

    def is_deaf(self, now: float) -> bool:
        """Whether the kernel is too busy to hear any page just now."""
        return self._hearing.is_deaf(now)

    def get(self, name: str) -> P | None:
        """Return the state of a page; ``None`` if the page is not known."""
        return self._all.get(name)

    @property
    def all(self) -> list[P]:
        """The state of each page; the page heard last comes last."""
        return sorted(self._all.values(), key=lambda page: page.link.heard_at)

    @property
    def visible(self) -> list[tuple[str, P]]:
        """Name and state of each page on which the widget is visible."""
        return [(name, page) for name, page in self._all.items() if page.link.is_visible]

    @property
    def is_visible(self) -> bool:
        """Whether the widget is visible on any page."""
        return any(page.link.is_visible for page in self._all.values())

    @property
    def totals(self) -> Totals:
        """Counters of all pages together."""
        links = [page.link for page in self._all.values()]
        shown = [link.draw_ms for link in links if link.is_visible]
        total = _total(self._gone, links)
        return total._replace(draw_ms=max(shown, default=0.0), is_visible=bool(shown))


# The browser answers for several widgets in one message, which any of them may receive.
_by_uid: weakref.WeakValueDictionary[str, Pages[Any]] = weakref.WeakValueDictionary()


def _total(before: Totals, links: list[BrowserLink]) -> Totals:
    return Totals(
        before.sent + sum(link.sent for link in links),
        before.drawn + sum(link.drawn for link in links),
        before.skipped + sum(link.skipped for link in links),
        before.bytes_sent + sum(link.bytes_sent for link in links),
        before.draw_ms,
        before.is_visible,
    )
