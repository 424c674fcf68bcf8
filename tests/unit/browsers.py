"""Pages of a browser that show a dashboard or figures, and a market to show, in virtual time."""

from collections import deque

import numpy as np
import polars as pl

from kucoin_research.errors import UnknownChannel
from kucoin_research.figures.delta import ArrayChange, patched
from kucoin_research.foundation import clocks
from kucoin_research.frames.ring import Ring
from kucoin_research.model.channels import Subscription, market_of, parse_channel
from kucoin_research.model.records import Status, Ticker, Trade
from kucoin_research.model.status import StreamStatus

SECOND = 1_000_000_000
START = 1_767_571_200 * SECOND  # 2026-01-05 00:00 UTC


class VirtualClock(clocks.Clock):
    """Time that a test moves by hand, in seconds since ``START``."""

    def __init__(self):
        self.now = 0.0
        super().__init__()

    def wall_ns(self):
        return START + round(self.now * SECOND)

    def monotonic_ns(self):
        return round(self.now * SECOND)

    def monotonic(self):
        return self.now


class Market:
    """As much of a running stream as a dashboard uses; a price is the second it was made in."""

    name = "market"
    state = "live"
    symbols = ("XBTUSDTM",)
    channels = ()
    subscriptions = tuple(
        Subscription(parse_channel(each), "XBTUSDTM", market_of("XBTUSDTM", None))
        for each in ("ticker", "trade")
    )
    failures = ()
    started_ns = START
    simulation = None

    def __init__(self):
        self._rings = {
            "ticker": Ring(Ticker, capacity=100_000),
            "trade": Ring(Trade, capacity=100_000),
            "status": Ring(Status, capacity=100),
        }

    @property
    def status(self):
        rows = {channel: ring.total for channel, ring in self._rings.items()}
        return StreamStatus(self.state, rows, 10.0, 1.0, 2.0, 0, 0, 0, 0, None)

    def frame(self, channel=None, symbol=None, last=None):
        return self._ring(channel).frame(last)

    def total(self, channel=None):
        return self._ring(channel).total

    @property
    def rows_kept(self):
        return sum(map(len, self._rings.values()))

    def now_ns(self):
        return clocks.current().wall_ns()

    def lags(self, rows):
        return pl.Series([None] * rows.height, dtype=pl.Float64)

    def _ring(self, channel):
        if channel not in self._rings:
            raise UnknownChannel(f"no {channel}")
        return self._rings[channel]

    def move_to(self, second):
        """Add a quote and a trade of that second."""
        at, price = START + round(second * SECOND), second + 1
        quote = (price, 1.0, price + 1, 1.0)
        self._rings["ticker"].extend(
            [Ticker(at, at, "XBTUSDTM", 1, price, 1.0, "buy", *quote)],
        )
        self._rings["trade"].extend([Trade(at, at, "XBTUSDTM", 1, "id", "buy", price, 1.0)])


class Page:
    """A page that shows one widget, and takes its time for each message.

    Parameters
    ----------
    widget
        What it shows; its ``send`` is to put messages into ``Page.take``.
    name
        Its id.
    delays
        Gives the seconds that each message takes.
    """

    def __init__(self, widget, name="", delays=lambda: 0.0):
        self.widget, self.name, self._delays = widget, name, delays
        self.texts, self.arrays, self.seq = {}, {}, 0
        self.drawn = 0  # messages
        self._waiting = deque()
        self._free_at = None
        self._is_there = True

    def say(self, kind, **more):
        """Tell the kernel something."""
        self.widget._on_message(self.widget, {"kind": kind, "page": self.name, **more}, [])

    def look(self, *, visible=True, px=1_000, bounds=None):
        """Tell what is looked at."""
        self.say("view", visible=visible, px=px, range=bounds)

    def close(self):
        """Close without a word."""
        self._is_there = False

    def take(self, message, buffers, now):
        """Take a message of the kernel's, if it is for this page."""
        if self._is_there and message.get("to", self.name) == self.name:
            self._waiting.append((message, buffers))
            if self._free_at is None:
                self._free_at = now + self._delays()

    def move_to(self, now):
        """Draw what is finished by then, and say so."""
        while self._is_there and self._waiting and self._free_at <= now:
            message, buffers = self._waiting.popleft()
            self._free_at = self._free_at + self._delays() if self._waiting else None
            self._draw(message, buffers)

    def _draw(self, message, buffers):
        if message["kind"] == "texts":
            self.texts |= message["texts"]
        elif message["kind"] == "frame":
            if message["base"] is None:
                self.arrays = {}
            elif message["base"] != self.seq:
                self.say("hello")
                return
            for (trace, path, kind, drop, keep, wide), buffer in zip(
                message["parts"], buffers, strict=True
            ):
                tail = np.frombuffer(bytes(buffer), kind)
                tail = tail.reshape(-1, wide) if wide else tail
                part = ArrayChange(trace, path, drop, keep, tail)
                self.arrays[trace, path] = patched(self.arrays.get((trace, path)), part)
        else:
            return
        self.seq = message["seq"]
        self.drawn += 1
        self.say("drawn", seq=self.seq, ms=1.0)

    @property
    def waiting(self):
        """How many messages it has not drawn yet."""
        return len(self._waiting)
