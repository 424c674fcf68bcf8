"""The pro feed, KuCoin's newer public one: its commands, and frames from the engine's events.

Facts from the protocol reference, section 10. There is no token; frames are binary and hold JSON.
Here a channel of one symbol is spelled as a topic, by which faults name it:
``obu/increment@10ms:XBTUSDTM`` has the depth after a slash, a ``kline`` has its interval after an
underscore.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, TypeAlias

from kucoin_research.sim.engine.book_window import Window
from kucoin_research.sim.engine.candles import INTERVALS, candle_open
from kucoin_research.sim.engine.market import BookChange, Event, Market, Side, Trade
from kucoin_research.sim.messages.feed import (
    Feed,
    Numbered,
    Wire,
    last_price_and_size,
    number,
    plain,
)
from kucoin_research.sim.messages.topics import Topic

__all__ = ["PRO_TOPICS", "WINDOW", "ProRefused", "parse_command", "pro_feed_of"]

_MS = 1_000_000
_SECOND = 1_000_000_000
_MONTH_MS = INTERVALS["1month"]

#: Levels per side that increments describe.
WINDOW = 500

# -- commands --------------------------------------------------------------------------------------

_DEPTHS = ("increment@10ms", "increment", "1", "5", "50")
_FUTURES_ONLY = frozenset({"mark-price", "funding-fee"})
_CHANNELS = frozenset({"ticker", "trade", "kline", "obu", *_FUTURES_ONLY})


class ProRefused(Exception):
    """A command that the exchange refuses: the answer's key, and the text under it."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key
        self.text = text


def parse_command(market: str, request: dict[str, Any]) -> list[Topic]:
    """Read the topics of a SUBSCRIBE or UNSUBSCRIBE command.

    Parameters
    ----------
    market
        The socket's product: ``"futures"`` or ``"spot"``.
    request
        The client's message.

    Returns
    -------
    list[Topic]
        One per symbol. Symbols may be unknown: KuCoin acknowledges those and stays silent.

    Raises
    ------
    ProRefused
        With KuCoin's words.
    """
    channel, product = request.get("channel"), str(request.get("tradeType") or "").lower()
    if channel not in _CHANNELS:
        raise ProRefused("message", "invalid request data")
    if product not in ("futures", "spot") and (product or channel not in _FUTURES_ONLY):
        raise ProRefused("message", "invalid request data")
    if product not in (market, "") or (channel in _FUTURES_ONLY and market == "spot"):
        kind = f"public_{product or 'futures'}"
        raise ProRefused(
            "reason",
            f'topic {channel.capitalize()} type = "{kind}" not allowed in current environment',
        )
    return [
        Topic(_prefix(channel, request), symbol, _interval(channel, request))
        for symbol in _symbols(channel, request)
    ]


def _symbols(channel: str, request: dict[str, Any]) -> list[str]:
    symbol, symbols = request.get("symbol"), request.get("symbols")
    if symbols is not None and channel != "ticker":
        raise ProRefused("reason", f"symbols are not supported for topic {channel}")
    listed = [symbol] if symbols is None else symbols
    if not isinstance(listed, list) or not listed:
        raise ProRefused("message", "invalid request data")
    if not all(isinstance(one, str) and one for one in listed):
        raise ProRefused("message", "invalid request data")
    return list(dict.fromkeys(listed))


def _prefix(channel: str, request: dict[str, Any]) -> str:
    if channel != "obu":
        return channel
    depth = str(request.get("depth"))
    if depth not in _DEPTHS:
        raise ProRefused("message", "invalid request data")
    return f"obu/{depth}"


def _interval(channel: str, request: dict[str, Any]) -> str:
    if channel != "kline":
        return ""
    interval = request.get("interval")
    if interval not in INTERVALS:
        raise ProRefused("message", "invalid request data")
    return str(interval)


# -- frames ----------------------------------------------------------------------------------------


def _pushed(time_ns: int, salt: int) -> int:
    # One to two ms later, with digits down to the ns, which a float would lose.
    return time_ns + _MS + salt * 7_919 % _MS


class _ProFeed(Feed):
    """The base of the pro feeds: knows the product's name and the time of the newest change."""

    def __init__(self, topic: Topic, engine: Market, wire: Wire) -> None:
        super().__init__(topic.text, engine, wire)
        self.product = engine.listing.market.upper()
        self._matched = engine.now_ns // _MS * _MS

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Remember the time of the last event."""
        self._matched = events[-1].time_ns
        return ()

    def _levels(self, levels: Iterable[tuple[int, int]]) -> str:
        engine = self.engine
        return ",".join(
            [
                f'["{engine.price_text(ticks)}","{engine.size_text(size) if size else "0"}"]'
                for ticks, size in levels
            ]
        )

    def _book(self, depth: str, kind: str, now_ns: int, bids: str, asks: str, first: int) -> str:
        last = self.wire.book_sequence(self.engine)
        return (
            f'{{"T":"obu.{self.product}","dp":"{depth}","t":"{kind}","P":{_pushed(now_ns, last)},'
            f'"d":{{"a":[{asks}],"b":[{bids}],"s":"{self.symbol}","C":{last},'
            f'"M":{self._matched},"O":{first}}}}}'
        )

    def _top(self, depth: int, now_ns: int) -> str:
        engine, last = self.engine, self.wire.book_sequence(self.engine)
        bids, asks = engine.levels("buy", depth), engine.levels("sell", depth)
        return self._book(
            str(depth), "snapshot", now_ns, self._levels(bids), self._levels(asks), last
        )


class ProTrade(_ProFeed):
    """Every fill."""

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Yield one frame per trade."""
        engine = self.engine
        for event in events:
            if isinstance(event, Trade):
                yield (
                    event.sequence,
                    (
                        f'{{"T":"trade.{self.product}",'
                        f'"P":{_pushed(event.time_ns, event.sequence)},'
                        f'"d":{{"E":{event.sequence},"M":{event.time_ns},"S":"{event.side}",'
                        f'"p":"{engine.price_text(event.price_ticks)}",'
                        f'"q":"{engine.size_text(event.size)}","s":"{self.symbol}",'
                        f'"ti":"{event.trade_id}"}}}}'
                    ),
                )


class ProTicker(_ProFeed):
    """Top of the book and last trade on a 100 ms grid, when the book changed."""

    period_ns = 100 * _MS

    def __init__(self, topic: Topic, engine: Market, wire: Wire) -> None:
        super().__init__(topic, engine, wire)
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
        last = engine.last_trade
        side = "" if last is None else f'"S":"{last.side.upper()}",'
        yield (
            sequence,
            (
                f'{{"T":"ticker.{self.product}","P":{_pushed(now_ns, sequence)},'
                f'"d":{{"A":"{engine.size_text(ask_size)}","B":"{engine.size_text(bid_size)}",'
                f'"E":{sequence},"M":{self._matched},{side}"a":"{ask}","b":"{bid}",'
                f'"l":"{price}","q":"{size}","s":"{self.symbol}"}}}}'
            ),
        )


class ProIncrements(_ProFeed):
    """Changes of the 500 best levels every 10 ms; a reader's first frame has all levels.

    A level that leaves this window is sent with size 0, and a level that enters it with its size.
    So a reader always holds exactly the window. Nothing is sent if nothing in the window changed;
    the next frame then begins right after the last one sent.
    """

    period_ns = 10 * _MS

    def __init__(self, topic: Topic, engine: Market, wire: Wire) -> None:
        super().__init__(topic, engine, wire)
        self._depth = topic.prefix.partition("/")[2]
        self._sequence = wire.book_sequence(engine)
        self._windows = {side: Window(engine, side, WINDOW) for side in _SIDES}

    def on_subscribe(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the window in its last sent state."""
        sequence, stamp = self._sequence, _pushed(now_ns, self._sequence)
        bids, asks = (self._levels(self._windows[side].levels()) for side in _SIDES)
        yield (
            sequence,
            (
                f'{{"T":"obu.{self.product}","dp":"{self._depth}","t":"snapshot","P":{stamp},'
                f'"d":{{"a":[{asks}],"b":[{bids}],"s":"{self.symbol}","C":{sequence},'
                f'"M":{self._matched},"O":{sequence}}}}}'
            ),
        )

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Remember the prices at which the book changed."""
        for event in events:
            if isinstance(event, BookChange):
                self._windows[event.side].touch(event.price_ticks)
                self._matched = event.time_ns
        return ()

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the changes of the last 10 ms."""
        bids, asks = (self._windows[side].changes() for side in _SIDES)
        if not bids and not asks:
            return
        first = self._sequence + 1
        self._sequence = self.wire.book_sequence(self.engine)
        texts = self._levels(bids), self._levels(asks)
        yield self._sequence, self._book(self._depth, "delta", now_ns, *texts, first)

    def on_rebase(self, shift: int) -> None:
        """Renumber the last frame sent, so that the next one begins right after it."""
        self._sequence -= shift


class ProTop(_ProFeed):
    """Best bid and ask on a 10 ms grid, when changed."""

    period_ns = 10 * _MS

    def __init__(self, topic: Topic, engine: Market, wire: Wire) -> None:
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
        if best != self._last:
            self._last = best
            yield self.wire.book_sequence(engine), self._top(1, now_ns)


class ProDepth(_ProFeed):
    """The top of the book every 100 ms, resent unchanged."""

    period_ns = 100 * _MS

    def __init__(self, topic: Topic, engine: Market, wire: Wire) -> None:
        super().__init__(topic, engine, wire)
        self._depth = int(topic.prefix.partition("/")[2])

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the frame of this grid point."""
        yield self.wire.book_sequence(self.engine), self._top(self._depth, now_ns)


class ProKline(_ProFeed):
    """Bars, once per second while they change."""

    period_ns = _SECOND

    def __init__(self, topic: Topic, engine: Market, wire: Wire) -> None:
        super().__init__(topic, engine, wire)
        self._interval = topic.candle_type
        self._interval_ms = INTERVALS[topic.candle_type]
        self._changed: dict[int, None] = {}
        self._open_ms = -1

    def on_events(self, events: Sequence[Event]) -> Iterable[Numbered]:
        """Remember the bars that changed."""
        for event in events:
            if isinstance(event, Trade):
                self._changed[candle_open(self._interval_ms, event.time_ns // _MS)] = None
        return ()

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the bars that changed within the last second."""
        changed, self._changed = self._changed, {}
        for open_ms in changed:
            # A bar is listed only after a trade in it, so there is exactly one.
            [candle] = self.engine.candles(self._interval_ms, open_ms, open_ms)
            # The flag's meaning is not documented; one client takes it for a new bar.
            flag = "true" if open_ms != self._open_ms else "false"
            self._open_ms = open_ms
            yield (
                now_ns,
                (
                    f'{{"T":"kline.{self.product}","P":{_pushed(now_ns, open_ms)},'
                    f'"d":{{"a":"{plain(candle.turnover)}","s":"{self.symbol}",'
                    f'"C":{self._closes(open_ms) // 1_000},"c":"{plain(candle.close)}",'
                    f'"S":"{flag}","v":"{self.engine.size_text(candle.volume_units)}",'
                    f'"h":"{plain(candle.high)}","i":"{self._interval}",'
                    f'"l":"{plain(candle.low)}","O":{open_ms // 1_000},'
                    f'"o":"{plain(candle.open)}"}}}}'
                ),
            )

    def _closes(self, open_ms: int) -> int:
        following = open_ms + self._interval_ms
        if self._interval_ms == _MONTH_MS:
            following += 2 * INTERVALS["1day"]  # months are up to 31 days long
        return candle_open(self._interval_ms, following)


class ProMark(_ProFeed):
    """Mark and index price each second; futures only."""

    period_ns = _SECOND

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the prices of this second."""
        engine = self.engine
        yield (
            now_ns,
            (
                f'{{"T":"mark-price","P":{_pushed(now_ns, now_ns // _SECOND)},'
                f'"d":{{"s":"{self.symbol}","mp":"{plain(engine.mark_price(now_ns))}",'
                f'"ip":"{plain(engine.index_price(now_ns))}",'
                f'"oi":"{engine.open_interest(now_ns)}","ts":{now_ns // _MS}}}}}'
            ),
        )


class ProFunding(_ProFeed):
    """Funding rate each minute; futures only."""

    period_ns = 60 * _SECOND
    cap: ClassVar[float] = 0.003

    def on_grid(self, now_ns: int) -> Iterable[Numbered]:
        """Yield the rate of this minute."""
        engine = self.engine
        interval = engine.listing.funding_interval_ms
        now_ms = now_ns // _MS
        start = now_ms - now_ms % interval
        yield (
            now_ns,
            (
                f'{{"T":"funding-fee","P":{_pushed(now_ns, now_ns // _SECOND)},'
                f'"d":{{"s":"{self.symbol}","fr":"{plain(engine.funding_rate(now_ns))}",'
                f'"ft":{start},"lfr":"{plain(engine.settled_funding(start * _MS))}",'
                f'"nt":{start + interval},"gl":{interval},"fc":"{number(self.cap)}",'
                f'"ff":"{number(-self.cap)}"}}}}'
            ),
        )


_SIDES: tuple[Side, Side] = ("buy", "sell")
_Maker: TypeAlias = Callable[[Topic, Market, Wire], Feed]

# In the order in which the frames of one symbol leave: a trade comes before the book it changed.
_FEEDS: dict[str, _Maker] = {
    "trade": ProTrade,
    "obu/increment@10ms": ProIncrements,
    "obu/increment": ProIncrements,
    "obu/1": ProTop,
    "ticker": ProTicker,
    "obu/5": ProDepth,
    "obu/50": ProDepth,
    "kline": ProKline,
    "mark-price": ProMark,
    "funding-fee": ProFunding,
}
#: The feed's channels, as topic prefixes.
PRO_TOPICS: tuple[str, ...] = tuple(_FEEDS)


def pro_feed_of(topic: Topic, engine: Market, wire: Wire) -> Feed:
    """Make the feed of a channel for one symbol."""
    return _FEEDS[topic.prefix](topic, engine, wire)
