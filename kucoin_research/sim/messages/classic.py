"""KuCoin's data frames, made from the engine's events; one feed per topic and symbol.

Shapes from the protocol reference, sections 6 (futures) and 7 (spot). Frames are put together as
text: every value in them is a number or a name of ours, so nothing needs escaping, and this is the
hot path of the whole exchange.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from kucoin_research.sim.engine.candles import INTERVALS, candle_open
from kucoin_research.sim.engine.market import BookChange, Event, Market, Trade
from kucoin_research.sim.messages.topics import Topic

__all__ = ["Feed", "Numbered", "Wire", "feed_of", "last_price_and_size", "number", "plain"]

# The number by which a reader would miss the frame, and its text.
Numbered: TypeAlias = tuple[int, str]

_MS = 1_000_000
_SECOND = 1_000_000_000
_NEVER = 1 << 62
_FUNDING_END_DELAY_MS = 10_000


@dataclass(frozen=True, kw_only=True)
class Wire:
    """How the engine's events are spelled on the wire, where KuCoin's own habits vary.

    Attributes are those of the same names in `Settings`.
    """

    seed: int = 7
    spot_fillers: bool = True
    spot_changes_per_frame: int = 1
    spot_resend_depth: bool = False
    candle_add: bool = False
    bare_announcements: bool = False

    def change_sequence(self, engine: Market, sequence: int) -> int:
        """Give the wire's number of one change of the engine's book.

        Spot fillers take every third number: right behind each change that the engine numbers odd.
        """
        if engine.listing.market == "futures" or not self.spot_fillers:
            return sequence
        return sequence + sequence // 2

    def has_filler(self, sequence: int) -> bool:
        """Tell whether a filler follows the spot change that the engine numbers so."""
        return self.spot_fillers and sequence % 2 == 1

    def book_sequence(self, engine: Market) -> int:
        """Give the wire's number of the current book, its fillers included."""
        number = self.change_sequence(engine, engine.sequence)
        if engine.listing.market == "spot" and self.has_filler(engine.sequence):
            return number + 1
        return number

    def frame_id(self, topic: str, time_ns: int) -> str:
        """Make the 24-hex id of a frame: random to look at, the same in every run."""
        text = f"{self.seed} {topic} {time_ns}"
        tail = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        return f"{time_ns // _SECOND:08x}{tail}"


class Feed:
    """Frames of one topic and symbol.

    `on_events` sees what happened in one slice of virtual time, or, where `needs_instants` says so,
    at one instant, with the engine's state right after it. `on_grid` is called when everything up
    to a multiple of `period_ns` has happened.
    """

    period_ns: ClassVar[int] = _NEVER
    needs_instants: ClassVar[bool] = False

    def __init__(self, topic: str, engine: Market, wire: Wire) -> None:
        self.topic = topic
        self.engine = engine
        self.wire = wire
        self.symbol = engine.listing.symbol

    def on_subscribe(self, now_ns: int) -> Iterable[Numbered]:  # noqa: ARG002
        """Give the frames that a new subscriber gets by itself, ahead of all others."""
        return ()

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:  # noqa: ARG002
        """Give the frames that these events cause."""
        return ()

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:  # noqa: ARG002
        """Give the frames that are due at this instant."""
        return ()

    def on_rebase(self, shift: int) -> None:
        """Take note that the book's wire sequence has just become lower by `shift`."""

    def _best(self) -> tuple[str, int, str, int]:
        # Best bid and ask: price text and size in units each; empty sides show zero, as KuCoin
        # never explains them.
        engine = self.engine
        bids, asks = engine.levels("buy", 1), engine.levels("sell", 1)
        bid, bid_size = bids[0] if bids else (0, 0)
        ask, ask_size = asks[0] if asks else (0, 0)
        return engine.price_text(bid), bid_size, engine.price_text(ask), ask_size


# Futures


class FuturesExecution(Feed):
    """Every fill (reference, section 6.5)."""

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Give one frame per trade."""
        price_text = self.engine.price_text
        for event in events:
            if isinstance(event, Trade):
                sequence = event.sequence
                yield (
                    sequence,
                    (
                        f'{{"topic":"{self.topic}","type":"message","subject":"match","sn":{sequence},'
                        f'"data":{{"symbol":"{self.symbol}","sequence":{sequence},"side":"{event.side}",'
                        f'"size":{event.size},"price":"{price_text(event.price_ticks)}",'
                        f'"takerOrderId":"{event.taker_order_id}",'
                        f'"makerOrderId":"{event.maker_order_id}",'
                        f'"tradeId":"{event.trade_id}","ts":{event.time_ns}}}}}'
                    ),
                )


class FuturesTicker(Feed):
    """The old ticker: the last trade of an instant (reference, section 6.2)."""

    needs_instants = True

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Give one frame if there was a trade."""
        trades = [event for event in events if isinstance(event, Trade)]
        if not trades:
            return
        last = trades[-1]
        bid, bid_size, ask, ask_size = self._best()
        yield (
            last.sequence,
            (
                f'{{"topic":"{self.topic}","type":"message","subject":"ticker","sn":{last.sequence},'
                f'"data":{{"symbol":"{self.symbol}","sequence":{last.sequence},"side":"{last.side}",'
                f'"size":{last.size},"price":"{self.engine.price_text(last.price_ticks)}",'
                f'"bestBidSize":{bid_size},"bestBidPrice":"{bid}","bestAskPrice":"{ask}",'
                f'"tradeId":"{last.trade_id}","bestAskSize":{ask_size},"ts":{last.time_ns}}}}}'
            ),
        )


class FuturesTickerV2(Feed):
    """Best bid and ask whenever they change (reference, section 6.1)."""

    needs_instants = True

    def __init__(self, topic: str, engine: Market, wire: Wire) -> None:
        super().__init__(topic, engine, wire)
        self._last = self._best()

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Give one frame if the top of the book is another than before."""
        best = self._best()
        if best == self._last:
            return
        self._last = best
        bid, bid_size, ask, ask_size = best
        sequence = self.engine.sequence
        yield (
            sequence,
            (
                f'{{"topic":"{self.topic}","type":"message","subject":"tickerV2","sn":{sequence},'
                f'"data":{{"symbol":"{self.symbol}","sequence":{sequence},"bestBidSize":{bid_size},'
                f'"bestBidPrice":"{bid}","bestAskPrice":"{ask}","bestAskSize":{ask_size},'
                f'"ts":{events[-1].time_ns}}}}}'
            ),
        )


class FuturesLevel2(Feed):
    """One level per frame (reference, section 6.3)."""

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Give one frame per change of the book."""
        head = f'{{"topic":"{self.topic}","type":"message","subject":"level2","sn":'
        price_text = self.engine.price_text
        for event in events:
            if isinstance(event, BookChange):
                time_ns, sequence, side, ticks, size = event
                yield (
                    sequence,
                    (
                        f'{head}{sequence},"data":{{"sequence":{sequence},'
                        f'"change":"{price_text(ticks)},{side},{size}",'
                        f'"timestamp":{time_ns // _MS}}}}}'
                    ),
                )


class FuturesDepth(Feed):
    """The top of the book on a 100 ms grid, resent unchanged (reference, section 6.4)."""

    period_ns = 100 * _MS

    def __init__(self, topic: str, engine: Market, wire: Wire, depth: int) -> None:
        super().__init__(topic, engine, wire)
        self._depth = depth
        self._sequence = -1
        self._levels = ""

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Give the frame of this grid point."""
        engine = self.engine
        if engine.sequence != self._sequence:
            self._sequence = engine.sequence
            asks = self._side(engine.levels("sell", self._depth))
            bids = self._side(engine.levels("buy", self._depth))
            self._levels = f'"asks":[{asks}],"bids":[{bids}]'
        stamp = now_ns // _MS
        yield (
            self._sequence,
            (
                f'{{"topic":"{self.topic}","type":"message","subject":"level2","sn":{stamp},'
                f'"data":{{"sequence":{self._sequence},{self._levels},'
                f'"timestamp":{stamp},"ts":{stamp}}}}}'
            ),
        )

    def _side(self, levels: list[tuple[int, int]]) -> str:
        price_text = self.engine.price_text
        return ",".join([f'["{price_text(ticks)}",{size}]' for ticks, size in levels])


class _Candles(Feed):
    """What both candle feeds share: which bars the trades fell into."""

    def __init__(self, topic: str, engine: Market, wire: Wire, candle_type: str) -> None:
        super().__init__(topic, engine, wire)
        self._interval_ms = INTERVALS[candle_type]

    def _opens(self, events: Sequence[Event]) -> dict[int, None]:
        # Ordered and without repetitions; an open in ms each.
        return dict.fromkeys(
            candle_open(self._interval_ms, event.time_ns // _MS)
            for event in events
            if isinstance(event, Trade)
        )

    def _texts(self, open_ms: int) -> tuple[str, str, str, str, str, str]:
        # In the order of the wire: open, close, high, low, volume, turnover.
        # A bar is asked for only after a trade in it, so there is exactly one.
        [candle] = self.engine.candles(self._interval_ms, open_ms, open_ms)
        return (
            plain(candle.open),
            plain(candle.close),
            plain(candle.high),
            plain(candle.low),
            self.engine.size_text(candle.volume_units),
            plain(candle.turnover),
        )


class FuturesCandle(_Candles):
    """Bars, once per second while they change (reference, section 6.6)."""

    period_ns = _SECOND

    def __init__(self, topic: str, engine: Market, wire: Wire, candle_type: str) -> None:
        super().__init__(topic, engine, wire, candle_type)
        self._changed: dict[int, None] = {}
        self._last_size = 0

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Remember the bars that changed."""
        self._changed |= self._opens(events)
        for event in events:
            if isinstance(event, Trade):
                self._last_size = event.size
        return ()

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Give the bars that changed within the last second."""
        changed, self._changed = self._changed, {}
        for open_ms in changed:
            first, close, high, low, volume, _ = self._texts(open_ms)
            # Index 5 is wrong on KuCoin too, and documented as to be ignored: here the size of the
            # last trade.
            yield (
                now_ns,
                (
                    f'{{"topic":"{self.topic}","type":"message","subject":"candle.stick",'
                    f'"data":{{"symbol":"{self.symbol}","candles":["{open_ms // 1_000}","{first}",'
                    f'"{close}","{high}","{low}","{self._last_size}.0","{volume}"],'
                    f'"time":{now_ns // _MS}}}}}'
                ),
            )


class Instrument(Feed):
    """Mark and index price each second, funding rate each minute (reference, section 6.7)."""

    period_ns = _SECOND

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Give the frames of this second."""
        engine, stamp = self.engine, now_ns // _MS
        head = f'{{"topic":"{self.topic}","type":"message","subject":'
        yield (
            now_ns,
            (
                f'{head}"mark.index.price","data":{{"markPrice":{number(engine.mark_price(now_ns))},'
                f'"indexPrice":{number(engine.index_price(now_ns))},"granularity":1000,'
                f'"timestamp":{stamp}}}}}'
            ),
        )
        if now_ns % (60 * _SECOND) == 0:
            yield (
                now_ns,
                (
                    f'{head}"funding.rate","data":{{"period":1,"granularity":60000,'
                    f'"fundingRate":{number(engine.funding_rate(now_ns))},"timestamp":{stamp}}}}}'
                ),
            )


class Announcement(Feed):
    """Begin and end of each funding settlement (reference, section 6.8).

    The frames carry the topic as subscribed, like all others: KuCoin's own SDK (1.3) finds its
    callback by the pushed topic, so it would lose frames on the bare one. The documents' samples
    of 2019 show that; which of the two the wire does was never seen.
    """

    period_ns = _SECOND

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Give the announcement that is due in this second."""
        topic = "/contract/announcement" if self.wire.bare_announcements else self.topic
        for subject, delay_ms in (("begin", 0), ("end", _FUNDING_END_DELAY_MS)):
            end = now_ns - delay_ms * _MS
            for time_ns in self.engine.funding_times(end - _SECOND + 1, end):
                yield (
                    now_ns,
                    (
                        f'{{"topic":"{topic}","type":"message",'
                        f'"subject":"funding.{subject}",'
                        f'"data":{{"symbol":"{self.symbol}","fundingTime":{time_ns // _MS},'
                        f'"fundingRate":{number(self.engine.settled_funding(time_ns))},'
                        f'"timestamp":{now_ns // _MS}}}}}'
                    ),
                )


class FuturesSnapshot(Feed):
    """24 h figures every 5 s (reference, section 6.9)."""

    period_ns = 5 * _SECOND

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Give the figures of now."""
        stats = self.engine.stats_24h(now_ns)
        frame_id = self.wire.frame_id(self.topic, now_ns)
        yield (
            now_ns,
            (
                f'{{"topic":"{self.topic}","type":"message","subject":"snapshot.24h","id":"{frame_id}",'
                f'"data":{{"highPrice":{number(stats.high)},"lastPrice":{number(stats.last)},'
                f'"lowPrice":{number(stats.low)},"price24HoursBefore":{number(stats.open)},'
                f'"priceChg":{number(stats.change)},"priceChgPct":{number(stats.change_pct)},'
                f'"symbol":"{self.symbol}","ts":{now_ns},"turnover":{number(stats.turnover)},'
                f'"volume":{number(stats.volume)}}}}}'
            ),
        )


# Spot


class SpotMatch(Feed):
    """Every fill, all values text (reference, section 7.5)."""

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Give one frame per trade."""
        engine = self.engine
        for event in events:
            if isinstance(event, Trade):
                yield (
                    event.sequence,
                    (
                        f'{{"topic":"{self.topic}","type":"message","subject":"trade.l3match",'
                        f'"data":{{"makerOrderId":"{event.maker_order_id}",'
                        f'"price":"{engine.price_text(event.price_ticks)}",'
                        f'"sequence":"{event.sequence}",'
                        f'"side":"{event.side}","size":"{engine.size_text(event.size)}",'
                        f'"symbol":"{self.symbol}","takerOrderId":"{event.taker_order_id}",'
                        f'"time":"{event.time_ns}","tradeId":"{event.trade_id}","type":"match"}}}}'
                    ),
                )


class SpotLevel2(Feed):
    """Changes of the book with their own sequences, and fillers (reference, section 7.4)."""

    needs_instants = True

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Give one frame per change and filler, or per group of changes where that is set."""
        changes = [event for event in events if isinstance(event, BookChange)]
        group = self.wire.spot_changes_per_frame
        if group > 1:
            for start in range(0, len(changes), group):
                yield self._grouped(changes[start : start + group])
            return
        for change in changes:
            sequence = self.wire.change_sequence(self.engine, change.sequence)
            yield self._frame(
                sequence, sequence, change.time_ns, **{change.side: self._entry(change)}
            )
            if self.wire.has_filler(change.sequence):
                filler = sequence + 1
                entry = {change.side: f'["0","0","{filler}"]'}
                yield self._frame(filler, filler, change.time_ns, **entry)

    def _grouped(self, changes: list[BookChange]) -> Numbered:
        # Each price once with its final size, newest first; overwritten changes and fillers leave
        # no entry.
        final = {(change.side, change.price_ticks): change for change in changes}
        newest_first = sorted(final.values(), key=lambda change: -change.sequence)
        sides = {
            side: ",".join(self._entry(one) for one in newest_first if one.side == side)
            for side in ("buy", "sell")
        }
        wire, last = self.wire, changes[-1]
        end = wire.change_sequence(self.engine, last.sequence) + wire.has_filler(last.sequence)
        start = wire.change_sequence(self.engine, changes[0].sequence)
        return self._frame(start, end, last.time_ns, **sides)

    def _entry(self, change: BookChange) -> str:
        engine = self.engine
        sequence = self.wire.change_sequence(engine, change.sequence)
        size = engine.size_text(change.size) if change.size else "0"
        return f'["{engine.price_text(change.price_ticks)}","{size}","{sequence}"]'

    def _frame(self, start: int, end: int, time_ns: int, buy: str = "", sell: str = "") -> Numbered:
        return (
            end,
            (
                f'{{"topic":"{self.topic}","type":"message","subject":"trade.l2update",'
                f'"data":{{"changes":{{"asks":[{sell}],"bids":[{buy}]}},"sequenceEnd":{end},'
                f'"sequenceStart":{start},"symbol":"{self.symbol}","time":{time_ns // _MS}}}}}'
            ),
        )


class SpotLevel1(Feed):
    """Best bid and ask on a 10 ms grid, when changed (reference, section 7.2)."""

    period_ns = 10 * _MS

    def __init__(self, topic: str, engine: Market, wire: Wire) -> None:
        super().__init__(topic, engine, wire)
        self._last = self._best()
        self._sequence = engine.sequence

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Give the top of the book if it is another than before."""
        engine = self.engine
        if engine.sequence == self._sequence:
            return
        self._sequence = engine.sequence
        best = self._best()
        if best == self._last:
            return
        self._last = best
        bid, bid_size, ask, ask_size = best
        yield (
            now_ns,
            (
                f'{{"topic":"{self.topic}","type":"message","subject":"level1",'
                f'"data":{{"asks":["{ask}","{engine.size_text(ask_size)}"],'
                f'"bids":["{bid}","{engine.size_text(bid_size)}"],"timestamp":{now_ns // _MS}}}}}'
            ),
        )


class SpotTicker(Feed):
    """Top of the book and last trade on a 100 ms grid, when changed (reference, section 7.1)."""

    period_ns = 100 * _MS

    def __init__(self, topic: str, engine: Market, wire: Wire, subject: str) -> None:
        super().__init__(topic, engine, wire)
        self._subject = subject
        self._sequence = engine.sequence

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Give the ticker if the book changed."""
        engine = self.engine
        if engine.sequence == self._sequence:
            return
        self._sequence = engine.sequence
        sequence = self.wire.book_sequence(engine)
        bid, bid_size, ask, ask_size = self._best()
        price, size = last_price_and_size(engine)
        body = {
            "sequence": f'"{sequence}"',
            "price": f'"{price}"',
            "size": f'"{size}"',
            "bestAsk": f'"{ask}"',
            "bestAskSize": f'"{engine.size_text(ask_size)}"',
            "bestBid": f'"{bid}"',
            "bestBidSize": f'"{engine.size_text(bid_size)}"',
            "time": f"{now_ns // _MS}",
        }
        # The two samples of the reference have their keys in different orders.
        keys = body if self._subject == "trade.ticker" else sorted(body)
        fields = ",".join([f'"{key}":{body[key]}' for key in keys])
        yield (
            sequence,
            (
                f'{{"topic":"{self.topic}","type":"message","subject":"{self._subject}",'
                f'"data":{{{fields}}}}}'
            ),
        )


class SpotDepth(Feed):
    """The top of the book on a 100 ms grid, when changed (reference, section 7.3)."""

    period_ns = 100 * _MS

    def __init__(self, topic: str, engine: Market, wire: Wire, depth: int) -> None:
        super().__init__(topic, engine, wire)
        self._depth = depth
        self._sequence = -1
        self._levels = ""

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Give the frame of this grid point."""
        engine, before = self.engine, self._levels
        if engine.sequence != self._sequence:
            self._sequence = engine.sequence
            asks = self._side(engine.levels("sell", self._depth))
            bids = self._side(engine.levels("buy", self._depth))
            self._levels = f'"asks":[{asks}],"bids":[{bids}]'
        if self._levels == before and not self.wire.spot_resend_depth:
            return
        yield (
            now_ns,
            (
                f'{{"topic":"{self.topic}","type":"message","subject":"level2",'
                f'"data":{{{self._levels},"timestamp":{now_ns // _MS}}}}}'
            ),
        )

    def _side(self, levels: list[tuple[int, int]]) -> str:
        engine = self.engine
        return ",".join(
            [f'["{engine.price_text(ticks)}","{engine.size_text(size)}"]' for ticks, size in levels]
        )


class SpotCandle(_Candles):
    """Bars, on every trade (reference, section 7.6)."""

    needs_instants = True

    def __init__(self, topic: str, engine: Market, wire: Wire, candle_type: str) -> None:
        super().__init__(topic, engine, wire, candle_type)
        self._open_ms = candle_open(self._interval_ms, engine.now_ns // _MS)

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Give the bar of this instant if it traded."""
        for open_ms in self._opens(events):
            subject = "trade.candles.update"
            if open_ms > self._open_ms and self.wire.candle_add:
                subject = "trade.candles.add"
            self._open_ms = open_ms
            time_ns = events[-1].time_ns
            texts = self._texts(open_ms)
            fields = ",".join([f'"{text}"' for text in (open_ms // 1_000, *texts)])
            yield (
                time_ns,
                (
                    f'{{"topic":"{self.topic}","type":"message","subject":"{subject}",'
                    f'"data":{{"symbol":"{self.symbol}","candles":[{fields}],"time":{time_ns}}}}}'
                ),
            )


class SpotSnapshot(Feed):
    """Figures of 1, 4 and 24 h every 2 s (reference, section 7.7)."""

    period_ns = 2 * _SECOND

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Give the figures of now."""
        data = spot_snapshot(self.engine, now_ns)
        sequence = self.wire.book_sequence(self.engine)
        text = json.dumps(data, separators=(",", ":"))
        yield (
            now_ns,
            (
                f'{{"topic":"{self.topic}","type":"message","subject":"trade.snapshot",'
                f'"data":{{"sequence":"{sequence}","data":{text}}}}}'
            ),
        )


class Indicator(Feed):
    """Index or mark price of a margin pair each second (reference, section 7.8)."""

    period_ns = _SECOND

    def __init__(
        self, topic: str, engine: Market, wire: Wire, value: Callable[[Market, int], float]
    ) -> None:
        super().__init__(topic, engine, wire)
        self._value = value

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Give the value of now."""
        yield (
            now_ns,
            (
                f'{{"id":"{self.wire.frame_id(self.topic, now_ns)}","type":"message",'
                f'"topic":"{self.topic}","subject":"tick","data":{{"symbol":"{self.symbol}",'
                f'"granularity":1000,"timestamp":{now_ns // _MS},'
                f'"value":{number(self._value(self.engine, now_ns))}}}}}'
            ),
        )


def _ticker_subject(topic: Topic, engine: Market) -> str:
    # On `:all` the symbol stands in the subject and nowhere else.
    return engine.listing.symbol if topic.suffix == "all" else "trade.ticker"


_Maker: TypeAlias = Callable[[Topic, Market, Wire], Feed]

_FEEDS: dict[str, _Maker] = {
    "/contractMarket/execution": lambda t, e, w: FuturesExecution(t.text, e, w),
    "/contractMarket/ticker": lambda t, e, w: FuturesTicker(t.text, e, w),
    "/contractMarket/tickerV2": lambda t, e, w: FuturesTickerV2(t.text, e, w),
    "/contractMarket/level2": lambda t, e, w: FuturesLevel2(t.text, e, w),
    "/contractMarket/level2Depth5": lambda t, e, w: FuturesDepth(t.text, e, w, 5),
    "/contractMarket/level2Depth50": lambda t, e, w: FuturesDepth(t.text, e, w, 50),
    "/contractMarket/limitCandle": lambda t, e, w: FuturesCandle(t.text, e, w, t.candle_type),
    "/contract/instrument": lambda t, e, w: Instrument(t.text, e, w),
    "/contract/announcement": lambda t, e, w: Announcement(t.text, e, w),
    "/contractMarket/snapshot": lambda t, e, w: FuturesSnapshot(t.text, e, w),
    "/market/match": lambda t, e, w: SpotMatch(t.text, e, w),
    "/market/level2": lambda t, e, w: SpotLevel2(t.text, e, w),
    "/spotMarket/level1": lambda t, e, w: SpotLevel1(t.text, e, w),
    "/market/ticker": lambda t, e, w: SpotTicker(t.text, e, w, _ticker_subject(t, e)),
    "/spotMarket/level2Depth5": lambda t, e, w: SpotDepth(t.text, e, w, 5),
    "/spotMarket/level2Depth50": lambda t, e, w: SpotDepth(t.text, e, w, 50),
    "/market/candles": lambda t, e, w: SpotCandle(t.text, e, w, t.candle_type),
    "/market/snapshot": lambda t, e, w: SpotSnapshot(t.text, e, w),
    "/indicator/index": lambda t, e, w: Indicator(t.text, e, w, Market.index_price),
    "/indicator/markPrice": lambda t, e, w: Indicator(t.text, e, w, Market.mark_price),
}


def feed_of(topic: Topic, engine: Market, wire: Wire) -> Feed | None:
    """Make the feed of a topic for one symbol; None for topics that are valid and silent."""
    make = _FEEDS.get(topic.prefix)
    return None if make is None else make(topic, engine, wire)


def last_price_and_size(engine: Market) -> tuple[str, str]:
    """Spell the last trade; before the first one, the last price of the day with size zero."""
    last = engine.last_trade
    if last is None:
        return plain(engine.stats_24h(engine.now_ns).last), "0"
    return engine.price_text(last.price_ticks), engine.size_text(last.size)


def number(value: float) -> str:
    """Spell a JSON number: no digits that float arithmetic made up, whole ones without a point."""
    rounded = round(value, 10)
    return str(int(rounded)) if rounded == int(rounded) else repr(rounded)


def plain(value: float) -> str:
    """Spell a number inside a text: like `number`, never with an exponent."""
    text = f"{value:.10f}".rstrip("0")
    return text.removesuffix(".")


def spot_snapshot(engine: Market, now_ns: int) -> dict[str, Any]:
    """Build the inner object of a spot snapshot (reference, section 7.7)."""
    listing = engine.listing
    bids, asks = engine.levels("buy", 1), engine.levels("sell", 1)
    day = _market_change(engine, now_ns, 24)
    last = engine.stats_24h(now_ns).last
    return {
        "askSize": engine.size_number(asks[0][1]) if asks else None,
        "averagePrice": round((day["open"] + last) / 2, 10),
        "baseCurrency": listing.base,
        "bidSize": engine.size_number(bids[0][1]) if bids else None,
        "board": 1,
        "buy": engine.price(bids[0][0]) if bids else None,
        "changePrice": day["changePrice"],
        "changeRate": day["changeRate"],
        "close": last,
        "datetime": now_ns // _MS,
        "high": day["high"],
        "lastTradedPrice": last,
        "low": day["low"],
        "makerCoefficient": 1.0,
        "makerFeeRate": listing.maker_fee,
        "marginTrade": True,
        "mark": 0,
        "market": listing.zone,
        "marketChange1h": _market_change(engine, now_ns, 1),
        "marketChange24h": day,
        "marketChange4h": _market_change(engine, now_ns, 4),
        "markets": [listing.zone],
        "open": day["open"],
        "quoteCurrency": listing.quote,
        "sell": engine.price(asks[0][0]) if asks else None,
        "siteTypes": ["turkey", "thailand", "global"],
        "sort": 100,
        "symbol": listing.symbol,
        "symbolCode": listing.symbol,
        "takerCoefficient": 1.0,
        "takerFeeRate": listing.taker_fee,
        "trading": True,
        "vol": day["vol"],
        "volValue": day["volValue"],
    }


def _market_change(engine: Market, now_ns: int, hours: int) -> dict[str, float]:
    if hours == 24:
        stats = engine.stats_24h(now_ns)
        opened, high, low, last = stats.open, stats.high, stats.low, stats.last
        volume, turnover = stats.volume, stats.turnover
    else:
        now_ms = now_ns // _MS
        rows = engine.candles(60_000, now_ms - hours * 3_600_000, now_ms)
        if not rows:
            return _market_change(engine, now_ns, 24) | {"vol": 0.0, "volValue": 0.0}
        opened, last = rows[0].open, rows[-1].close
        high, low = max(row.high for row in rows), min(row.low for row in rows)
        volume = engine.base_volume(sum(row.volume_units for row in rows))
        turnover = round(sum(row.turnover for row in rows), 8)
    change = round(last - opened, 10)
    return {
        "changePrice": change,
        "changeRate": round(change / opened, 4),
        "high": high,
        "low": low,
        "open": opened,
        "vol": volume,
        "volValue": turnover,
    }
