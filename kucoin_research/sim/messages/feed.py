"""The base of all feeds: frames from engine events, one feed per topic and symbol.

Feeds put frames together as text: this is the hot path of the whole exchange, and every value is a
number or a name of ours, so nothing needs escaping.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from kucoin_research.sim.engine.candles import INTERVALS, candle_open
from kucoin_research.sim.engine.market import Event, Market, Trade

__all__ = [
    "MS",
    "SECOND",
    "CandleFeed",
    "Feed",
    "Numbered",
    "Wire",
    "last_price_and_size",
    "number",
    "plain",
]

# A frame's number, by which a reader would notice its loss, and its text.
Numbered: TypeAlias = tuple[int, str]


MS = 1_000_000  # ns
SECOND = 1_000_000_000  # ns
_NEVER = 1 << 62


@dataclass(frozen=True, kw_only=True)
class Wire:
    """Spells the engine's events as the wire does, with the choices where KuCoin's own habits vary.

    The attributes are those of the same names in `Settings`.
    """

    seed: int = 7
    spot_fillers: bool = True
    spot_changes_per_frame: int = 1
    spot_resend_depth: bool = False
    candle_add: bool = False
    bare_announcements: bool = False
    number_market_snapshots: bool = False

    def change_sequence(self, engine: Market, sequence: int) -> int:
        """Return the sequence on the wire of one change of the engine's book.

        Spot fillers take every third number: the one after each change with an odd number of the
        engine.
        """
        if engine.listing.market == "futures" or not self.spot_fillers:
            return sequence
        return sequence + sequence // 2

    def has_filler(self, sequence: int) -> bool:
        """Return whether a filler follows the spot change with this number of the engine."""
        return self.spot_fillers and sequence % 2 == 1

    def book_sequence(self, engine: Market) -> int:
        """Return the sequence of the current book on the wire, its fillers included."""
        number = self.change_sequence(engine, engine.sequence)
        if engine.listing.market == "spot" and self.has_filler(engine.sequence):
            return number + 1
        return number

    def frame_id(self, topic: str, time_ns: int) -> str:
        """Make the 24-hex id of a frame: it looks random and is the same in every run."""
        text = f"{self.seed} {topic} {time_ns}"
        tail = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        return f"{time_ns // SECOND:08x}{tail}"


class Feed:
    """Makes the frames of one topic and symbol.

    `on_events` gets the events of one slice of virtual time, or of one instant if `needs_instants`;
    the engine's state is the one right after them. `on_grid` is called when everything up to a
    multiple of `period_ns` has happened.
    """

    period_ns: ClassVar[int] = _NEVER
    needs_instants: ClassVar[bool] = False

    def __init__(self, topic: str, engine: Market, wire: Wire) -> None:
        self.topic = topic
        self.engine = engine
        self.wire = wire
        self.symbol = engine.listing.symbol

    def on_subscribe(self, now_ns: int) -> Iterable[Numbered]:  # noqa: ARG002
        """Yield the first frames of a new subscriber, which nobody else gets."""
        return ()

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:  # noqa: ARG002
        """Yield the frames that these events cause."""
        return ()

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:  # noqa: ARG002
        """Yield the frames that are due at this instant."""
        return ()

    def on_rebase(self, shift: int) -> None:
        """Take note that the book's sequence on the wire has just fallen by `shift`."""

    def _best(self) -> tuple[str, int, str, int]:
        # Price text and size in units of the best bid, then of the best ask. An empty side shows
        # zero: KuCoin does not document it.
        engine = self.engine
        bids, asks = engine.levels("buy", 1), engine.levels("sell", 1)
        bid, bid_size = bids[0] if bids else (0, 0)
        ask, ask_size = asks[0] if asks else (0, 0)
        return engine.price_text(bid), bid_size, engine.price_text(ask), ask_size


class CandleFeed(Feed):
    """The base of both candle feeds: finds the bars that trades fall into."""

    def __init__(self, topic: str, engine: Market, wire: Wire, candle_type: str) -> None:
        super().__init__(topic, engine, wire)
        self._interval_ms = INTERVALS[candle_type]

    def _opens(self, events: Sequence[Event]) -> dict[int, None]:
        # The open times in ms, ordered and without repetitions.
        return dict.fromkeys(
            candle_open(self._interval_ms, event.time_ns // MS)
            for event in events
            if isinstance(event, Trade)
        )

    def _texts(self, open_ms: int) -> tuple[str, str, str, str, str, str]:
        # In the order of the wire: open, close, high, low, volume, turnover. There is exactly one
        # bar, because this is called only after a trade in it.
        [candle] = self.engine.candles(self._interval_ms, open_ms, open_ms)
        return (
            plain(candle.open),
            plain(candle.close),
            plain(candle.high),
            plain(candle.low),
            self.engine.size_text(candle.volume_units),
            plain(candle.turnover),
        )


def last_price_and_size(engine: Market) -> tuple[str, str]:
    """Spell the last trade, or before the first one the day's last price with size zero."""
    last = engine.last_trade
    if last is None:
        return plain(engine.stats_24h(engine.now_ns).last), "0"
    return engine.price_text(last.price_ticks), engine.size_text(last.size)


def number(value: float) -> str:
    """Spell a JSON number without digits of float error, and whole numbers without a point."""
    rounded = round(value, 10)
    return str(int(rounded)) if rounded == int(rounded) else repr(rounded)


def plain(value: float) -> str:
    """Spell a number inside a text: like `number`, but never with an exponent."""
    text = f"{value:.10f}".rstrip("0")
    return text.removesuffix(".")
