"""The feeds of the spot market's classic topics (reference, section 7)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kucoin_research.sim.engine.candles import candle_open
from kucoin_research.sim.engine.market import BookChange, Event, Market, Trade
from kucoin_research.sim.messages.feed import (
    MS,
    SECOND,
    CandleFeed,
    Feed,
    Numbered,
    Wire,
    last_price_and_size,
    number,
)
from kucoin_research.sim.messages.topics import Topic

__all__ = [
    "SNAPSHOT_FIELDS",
    "Indicator",
    "SpotCandle",
    "SpotDepth",
    "SpotLevel1",
    "SpotLevel2",
    "SpotMatch",
    "SpotSnapshot",
    "SpotTicker",
    "spot_snapshot",
]

#: The fields of a spot snapshot's inner object.
SNAPSHOT_FIELDS = (
    "askSize", "averagePrice", "baseCurrency", "bidSize", "board", "buy", "changePrice",
    "changeRate", "close", "datetime", "high", "lastSize", "lastTradedPrice", "low",
    "makerCoefficient", "makerFeeRate", "marginTrade", "mark", "market", "marketChange1h",
    "marketChange24h", "marketChange4h", "markets", "open", "quoteCurrency", "sell", "sequence",
    "siteTypes", "sort", "symbol", "symbolCode", "takerCoefficient", "takerFeeRate", "trading",
    "vol", "volValue",
)  # fmt: skip


class SpotMatch(Feed):
    """Every fill, all values text (reference, section 7.5)."""

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Yield one frame per trade."""
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
        """Yield one frame per change and filler, or per group of changes if so set."""
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
        # Each price appears once with its final size, newest first. Overwritten changes and fillers
        # have no entry.
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
                f'"sequenceStart":{start},"symbol":"{self.symbol}","time":{time_ns // MS}}}}}'
            ),
        )


class SpotLevel1(Feed):
    """Best bid and ask on a 10 ms grid, when changed (reference, section 7.2)."""

    period_ns = 10 * MS

    def __init__(self, topic: str, engine: Market, wire: Wire) -> None:
        super().__init__(topic, engine, wire)
        self._last = self._best()
        self._sequence = engine.sequence

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the top of the book if it has changed."""
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
                f'"bids":["{bid}","{engine.size_text(bid_size)}"],"timestamp":{now_ns // MS}}}}}'
            ),
        )


class SpotTicker(Feed):
    """Top of the book and last trade on a 100 ms grid, when changed (reference, section 7.1)."""

    period_ns = 100 * MS

    def __init__(self, topic: str, engine: Market, wire: Wire, subject: str) -> None:
        super().__init__(topic, engine, wire)
        self._subject = subject
        self._sequence = engine.sequence

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the ticker if the book changed."""
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
            "time": f"{now_ns // MS}",
        }
        # The reference has two samples, with the keys in different orders.
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

    period_ns = 100 * MS

    def __init__(self, topic: str, engine: Market, wire: Wire, depth: int) -> None:
        super().__init__(topic, engine, wire)
        self._depth = depth
        self._sequence = -1
        self._levels = ""

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the frame of this grid point."""
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
                f'"data":{{{self._levels},"timestamp":{now_ns // MS}}}}}'
            ),
        )

    def _side(self, levels: list[tuple[int, int]]) -> str:
        engine = self.engine
        return ",".join(
            [f'["{engine.price_text(ticks)}","{engine.size_text(size)}"]' for ticks, size in levels]
        )


class SpotCandle(CandleFeed):
    """Bars, on every trade (reference, section 7.6)."""

    needs_instants = True

    def __init__(self, topic: str, engine: Market, wire: Wire, candle_type: str) -> None:
        super().__init__(topic, engine, wire, candle_type)
        self._open_ms = candle_open(self._interval_ms, engine.now_ns // MS)

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Yield the bar of this instant if it traded."""
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

    period_ns = 2 * SECOND

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the figures of now."""
        sequence = str(self.wire.book_sequence(self.engine))
        data = spot_snapshot(self.engine, now_ns) | {"sequence": sequence}
        outer = f'"{sequence}"'
        if not self.topic.endswith(f":{self.symbol}"):
            # On the topic of a whole market this is no sequence but the time.
            stamp = now_ns // MS
            outer = f"{stamp}" if self.wire.number_market_snapshots else f'"{stamp}"'
        text = json.dumps(data, separators=(",", ":"))
        yield (
            now_ns,
            (
                f'{{"topic":"{self.topic}","type":"message","subject":"trade.snapshot",'
                f'"data":{{"sequence":{outer},"data":{text}}}}}'
            ),
        )


class Indicator(Feed):
    """Index or mark price of a margin pair each second (reference, section 7.8)."""

    period_ns = SECOND

    def __init__(
        self, topic: str, engine: Market, wire: Wire, value: Callable[[Market, int], float]
    ) -> None:
        super().__init__(topic, engine, wire)
        self._value = value

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the value of now."""
        yield (
            now_ns,
            (
                f'{{"topic":"{self.topic}","type":"message","subject":"tick",'
                f'"data":{{"symbol":"{self.symbol}","granularity":1000,'
                f'"value":{number(self._value(self.engine, now_ns))},'
                f'"timestamp":{now_ns // MS}}}}}'
            ),
        )


def ticker_subject(topic: Topic, engine: Market) -> str:
    """Return a ticker's subject: on `:all` it is the symbol, which stands nowhere else."""
    return engine.listing.symbol if topic.suffix == "all" else "trade.ticker"


def spot_snapshot(engine: Market, now_ns: int) -> dict[str, Any]:
    """Build the inner object of a spot snapshot, but its sequence (reference, section 7.7)."""
    listing, trade = engine.listing, engine.last_trade
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
        "datetime": now_ns // MS,
        "high": day["high"],
        "lastSize": None if trade is None else engine.size_number(trade.size),
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
        now_ms = now_ns // MS
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
