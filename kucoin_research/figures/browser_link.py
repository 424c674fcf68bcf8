"""The conversation with each page that shows something, without the browser.

A page is a tab of a browser: what is shown may be open in several at once, on several machines.
Each of them looks, zooms, draws and closes by itself, so each has a ``BrowserLink`` of its own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from kucoin_research.figures.hearing import Hearing

__all__ = ["FORGOTTEN_AFTER", "KERNEL_JS", "BrowserLink", "Linked", "Pages", "Totals"]

#: The browser's side of it, which goes before a widget's own code.
KERNEL_JS = (Path(__file__).parent / "kernel.js").read_text(encoding="utf-8")

#: Seconds after which a page that says nothing is taken for closed. One that is looked at says
#: something each five seconds; one that is not says so when it is looked at again.
FORGOTTEN_AFTER = 30.0

_MOST_IN_FLIGHT = 2
# Without an answer for so long, an answer was lost: one more frame is tried. A browser that is
# known to be slow is given more time, and each further try comes later.
_PATIENCE = 2.0
_MOST_PATIENCE = 8.0  # less than the browser's with the kernel
_SLOWEST = 1.0  # s between frames, however slow the browser is
_BEAT = 2.0  # s; the browser believes in the kernel for five of these


@dataclass
class BrowserLink:
    """Counts frames sent to a page and drawn there, and tells when the next one may be sent.

    All times are monotonic seconds of the kernel.

    Attributes
    ----------
    sent, drawn
        Number of the last frame sent, and of the last one that the browser has drawn.
    skipped
        Times that a frame was due and the browser still busy.
    draw_ms
        How long the browser takes to draw, smoothed.
    trip
        How long a frame takes to be drawn and answered, with what it waits for, seconds, smoothed.
    cost
        How long the kernel takes to make a frame, seconds, smoothed.
    is_visible
        Whether anybody can see it on this page.
    heard_at
        When the page said something last, in seconds of hearing (see ``Hearing``).
    shown_at
        As of when the page shows all there was.
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

        While the kernel is deaf, the browser is taken to be as quick as it was.
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
        """Take note of a frame that is sent; returns its number."""
        self.sent += 1
        self.bytes_sent += size
        self.cost += 0.2 * (cost - self.cost)
        self._sent_at = now
        self._under_way.append((self.sent, now))
        return self.sent

    def on_drawn(self, number: int, draw_ms: float, now: float) -> None:
        """Take note of a frame that the browser has drawn."""
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
        """Take note that there is nothing new to send."""
        if not self.in_flight:
            self.shown_at = now

    def on_view(self, *, is_visible: bool, now: float) -> None:
        """Take note of whether it can be seen on the page."""
        if is_visible and not self.is_visible:
            self.shown_at = now  # nobody has seen what it showed before
        self.is_visible = is_visible

    def on_hello(self, now: float) -> None:
        """Take note that the page has nothing yet: nothing is on its way to it."""
        self.drawn = self.sent
        self.shown_at = now
        self._tries = 0
        self._under_way.clear()

    def age(self, now: float) -> float:
        """Give the seconds by which what the page shows is older than what there is.

        It counts what the page has drawn, not what was sent; 0 where nobody looks, and on a page
        that opens and has drawn nothing yet.
        """
        return max(0.0, now - self.shown_at) if self.is_visible and self._has_drawn else 0.0

    def owes_beat(self, now: float) -> bool:
        """Whether the browser is to be told that the kernel is there, as nothing else was sent.

        What has been told nothing for long calls itself not live.
        """
        if not self.is_visible or now - max(self._sent_at, self._beat_at) < _BEAT:
            return False
        self._beat_at = now
        return True

    def interval(self, fastest: float, others_ms: float = 0.0, pages: int = 1) -> float:
        """Give the seconds between frames: a fifth of the kernel's time, half of the browser's.

        Parameters
        ----------
        fastest
            Frames per second, at most.
        others_ms
            What the other figures on the page take to be drawn: they share the browser's half, so
            that it has the other one for whoever scrolls, zooms and presses.
        pages
            How many pages share the kernel's fifth.
        """
        browser = max(2 * (self.draw_ms + others_ms) / 1e3, self.trip / 2)
        return min(max(1 / fastest, 5 * self.cost * pages, browser), _SLOWEST)


class Linked(Protocol):
    """What is kept of a page."""

    @property
    def link(self) -> BrowserLink:
        """The conversation with it."""


class Totals(NamedTuple):
    """What has gone to all pages together, closed ones included.

    Attributes
    ----------
    sent, drawn, skipped, bytes_sent
        Sums of those of each page's ``BrowserLink``.
    draw_ms
        Of the page that takes longest, among those that are looked at.
    is_visible
        Whether anybody can see it on any page.
    """

    sent: int
    drawn: int
    skipped: int
    bytes_sent: int
    draw_ms: float
    is_visible: bool


P = TypeVar("P", bound=Linked)


class Pages(Generic[P]):
    """Keeps something for each page that has said a word lately.

    Parameters
    ----------
    make
        Makes what is kept of a page, when its first word comes.

    Notes
    -----
    Every method may be called from any thread.
    """

    def __init__(self, make: Callable[[], P]) -> None:
        self._make = make
        self._hearing = Hearing()
        self._all: dict[str, P] = {}  # replaced whole, so that it is read without the lock
        self._gone = Totals(0, 0, 0, 0, 0.0, is_visible=False)
        self._lock = threading.Lock()  # guards the replacing

    def heard(self, name: str, now: float) -> P:
        """Give what is kept of a page that has just said something."""
        with self._lock:
            page = self._all.get(name)
            if page is None:
                page = self._make()
                page.link.on_hello(now)
                self._all = {**self._all, name: page}
            page.link.heard_at = self._hearing.time(now)
            return page

    def look(self, now: float) -> None:
        """Forget the pages that have said nothing for ``FORGOTTEN_AFTER``; call it often."""
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
        """Whether no page can be heard just now, since the kernel is busy."""
        return self._hearing.is_deaf(now)

    def get(self, name: str) -> P | None:
        """Give what is kept of a page; ``None`` where it is not known."""
        return self._all.get(name)

    @property
    def all(self) -> list[P]:
        """What is kept of each page; the one heard of last comes last."""
        return sorted(self._all.values(), key=lambda page: page.link.heard_at)

    @property
    def visible(self) -> list[tuple[str, P]]:
        """The pages on which somebody can see it, by name."""
        return [(name, page) for name, page in self._all.items() if page.link.is_visible]

    @property
    def is_visible(self) -> bool:
        """Whether anybody can see it on any page."""
        return any(page.link.is_visible for page in self._all.values())

    @property
    def totals(self) -> Totals:
        """What has gone to all pages together."""
        links = [page.link for page in self._all.values()]
        shown = [link.draw_ms for link in links if link.is_visible]
        total = _total(self._gone, links)
        return total._replace(draw_ms=max(shown, default=0.0), is_visible=bool(shown))


def _total(before: Totals, links: list[BrowserLink]) -> Totals:
    return Totals(
        before.sent + sum(link.sent for link in links),
        before.drawn + sum(link.drawn for link in links),
        before.skipped + sum(link.skipped for link in links),
        before.bytes_sent + sum(link.bytes_sent for link in links),
        before.draw_ms,
        before.is_visible,
    )
