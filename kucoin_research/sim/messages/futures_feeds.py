"""The feeds of the futures market's classic topics (reference, section 6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kucoin_research.sim.engine.funding import SETTLEMENT_MS
from kucoin_research.sim.engine.market import BookChange, Event, Market, Trade
from kucoin_research.sim.messages.feed import (
    MS,
    SECOND,
    CandleFeed,
    Feed,
    Numbered,
    Wire,
    number,
)
from kucoin_research.sim.messages.instrument_rows import FUNDING_PERIOD

__all__ = [
    "Announcement",
    "FuturesCandle",
    "FuturesDepth",
    "FuturesExecution",
    "FuturesLevel2",
    "FuturesSnapshot",
    "FuturesTicker",
    "FuturesTickerV2",
    "Instrument",
]


class FuturesExecution(Feed):
    """Every fill (reference, section 6.5)."""

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Yield one frame per trade."""
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
        """Yield one frame if there was a trade."""
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
        """Yield one frame if the top of the book has changed."""
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
        """Yield one frame per change of the book."""
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
                        f'"timestamp":{time_ns // MS}}}}}'
                    ),
                )


class FuturesDepth(Feed):
    """The top of the book on a 100 ms grid, resent unchanged (reference, section 6.4)."""

    period_ns = 100 * MS

    def __init__(self, topic: str, engine: Market, wire: Wire, depth: int) -> None:
        super().__init__(topic, engine, wire)
        self._depth = depth
        self._sequence = -1
        self._levels = ""

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the frame of this grid point."""
        engine = self.engine
        if engine.sequence != self._sequence:
            self._sequence = engine.sequence
            asks = self._side(engine.levels("sell", self._depth))
            bids = self._side(engine.levels("buy", self._depth))
            self._levels = f'"asks":[{asks}],"bids":[{bids}]'
        stamp = now_ns // MS
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


class FuturesCandle(CandleFeed):
    """Bars, once per second while they change (reference, section 6.6)."""

    period_ns = SECOND

    def __init__(self, topic: str, engine: Market, wire: Wire, candle_type: str) -> None:
        super().__init__(topic, engine, wire, candle_type)
        self._changed: dict[int, None] = {}

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Remember the bars that changed."""
        self._changed |= self._opens(events)
        return ()

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the bars that changed within the last second."""
        changed, self._changed = self._changed, {}
        for open_ms in changed:
            first, close, high, low, volume, turnover = self._texts(open_ms)
            # The documents call index 5 wrong, and say to ignore it. In October 2026 KuCoin sent
            # the turnover there.
            yield (
                now_ns,
                (
                    f'{{"topic":"{self.topic}","type":"message","subject":"candle.stick",'
                    f'"data":{{"symbol":"{self.symbol}","candles":["{open_ms // 1_000}","{first}",'
                    f'"{close}","{high}","{low}","{turnover}","{volume}"],'
                    f'"time":{now_ns // MS}}}}}'
                ),
            )


class Instrument(Feed):
    """Mark and index price each second, funding rate each minute (reference, section 6.7)."""

    period_ns = SECOND

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the frames of this second."""
        engine, stamp = self.engine, now_ns // MS
        head = f'{{"topic":"{self.topic}","type":"message","subject":'
        yield (
            now_ns,
            (
                f'{head}"mark.index.price","data":{{"markPrice":{number(engine.mark_price(now_ns))},'
                f'"indexPrice":{number(engine.index_price(now_ns))},"granularity":1000,'
                f'"timestamp":{stamp}}}}}'
            ),
        )
        if now_ns % (60 * SECOND) == 0:
            yield (
                now_ns,
                (
                    f'{head}"funding.rate","data":{{"period":{FUNDING_PERIOD},"granularity":60000,'
                    f'"fundingRate":{number(engine.funding_rate(now_ns))},"timestamp":{stamp}}}}}'
                ),
            )


class Announcement(Feed):
    """Begin and end of each funding settlement (reference, section 6.8).

    The frames carry the topic as subscribed, like all others: KuCoin's own SDK (1.3) finds its
    callback by the pushed topic, so it would lose frames on the bare topic. The documents' samples
    of 2019 show the bare topic. Nobody has seen which of the two KuCoin sends.
    """

    period_ns = SECOND

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the announcement that is due in this second."""
        topic = "/contract/announcement" if self.wire.bare_announcements else self.topic
        for subject, delay_ms in (("begin", 0), ("end", SETTLEMENT_MS)):
            end = now_ns - delay_ms * MS
            for time_ns in self.engine.funding_times(end - SECOND + 1, end):
                yield (
                    now_ns,
                    (
                        f'{{"topic":"{topic}","type":"message",'
                        f'"subject":"funding.{subject}",'
                        f'"data":{{"symbol":"{self.symbol}","fundingTime":{time_ns // MS},'
                        f'"fundingRate":{number(self.engine.settled_funding(time_ns))},'
                        f'"timestamp":{now_ns // MS}}}}}'
                    ),
                )


class FuturesSnapshot(Feed):
    """24 h figures every 5 s (reference, section 6.9)."""

    period_ns = 5 * SECOND

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the figures of now."""
        stats = self.engine.stats_24h(now_ns)
        # The documents show an id. KuCoin sends none, and the funding rate instead.
        yield (
            now_ns,
            (
                f'{{"topic":"{self.topic}","type":"message","subject":"snapshot.24h","data":{{'
                f'"fundingRate":{number(self.engine.funding_rate(now_ns))},'
                f'"highPrice":{number(stats.high)},"lastPrice":{number(stats.last)},'
                f'"lowPrice":{number(stats.low)},"price24HoursBefore":{number(stats.open)},'
                f'"priceChg":{number(stats.change)},"priceChgPct":{number(stats.change_pct)},'
                f'"symbol":"{self.symbol}","ts":{now_ns},"turnover":{number(stats.turnover)},'
                f'"volume":{number(stats.volume)}}}}}'
            ),
        )
