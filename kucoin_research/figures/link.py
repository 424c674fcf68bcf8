"""The conversation with the browser about one figure, without the browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["KERNEL_JS", "Link"]

#: The browser's side of it, which goes before a widget's own code.
KERNEL_JS = (Path(__file__).parent / "kernel.js").read_text(encoding="utf-8")

_MOST_IN_FLIGHT = 2
# Without an answer for so long, an answer was lost, or nobody looks: one more frame is tried.
_PATIENCE = 2.0
_SLOWEST = 1.0  # s between frames, however slow the browser is
_BEAT = 2.0  # s; the browser believes in the kernel for five of these


@dataclass
class Link:
    """Counts frames sent and drawn, and tells when the next one may be sent.

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
        Whether anybody can see the figure.
    """

    sent: int = 0
    drawn: int = 0
    skipped: int = 0
    bytes_sent: int = 0
    draw_ms: float = 0.0
    trip: float = 0.0
    cost: float = 0.0
    is_visible: bool = False
    _sent_at: float = 0.0
    _beat_at: float = 0.0

    @property
    def in_flight(self) -> int:
        """Frames sent that are not drawn yet."""
        return self.sent - self.drawn

    def may_send(self, now: float) -> bool:
        """Whether the browser is ready for a frame; counts the times that it is not."""
        if not self.is_visible:
            return False
        if self.in_flight < _MOST_IN_FLIGHT:
            return True
        if now - self._sent_at > _PATIENCE:
            self.drawn = self.sent - 1
            return True
        self.skipped += 1
        return False

    def on_send(self, now: float, size: int, cost: float) -> int:
        """Take note of a frame that is sent; returns its number."""
        self.sent += 1
        self.bytes_sent += size
        self.cost += 0.2 * (cost - self.cost)
        self._sent_at = now
        return self.sent

    def on_drawn(self, number: int, draw_ms: float, now: float) -> None:
        """Take note of a frame that the browser has drawn."""
        if self.drawn < number <= self.sent:
            self.drawn = number
            self.draw_ms += 0.2 * (draw_ms - self.draw_ms)
            if number == self.sent:
                self.trip += 0.2 * (now - self._sent_at - self.trip)

    def owes_beat(self, now: float) -> bool:
        """Whether the browser is to be told that the kernel is there, as nothing else was sent.

        What has been told nothing for long calls itself not live.
        """
        if not self.is_visible or now - max(self._sent_at, self._beat_at) < _BEAT:
            return False
        self._beat_at = now
        return True

    def on_hello(self) -> None:
        """Take note that a page has opened: nothing is on its way to it."""
        self.drawn = self.sent

    def interval(self, fastest: float, others_ms: float = 0.0) -> float:
        """Give the seconds between frames: a fifth of the kernel's time, half of the browser's.

        Parameters
        ----------
        fastest
            Frames per second, at most.
        others_ms
            What the other figures on the page take to be drawn: they share the browser's half, so
            that it has the other one for whoever scrolls, zooms and presses.
        """
        browser = max(2 * (self.draw_ms + others_ms) / 1e3, self.trip / 2)
        return min(max(1 / fastest, 5 * self.cost, browser), _SLOWEST)
