"""A market with a past: an exchange that answers by REST, and a stream that has joined it."""

from __future__ import annotations

from types import SimpleNamespace

import polars as pl

import kucoin_research as kr
from kucoin_research.foundation import clocks
from kucoin_research.frames.ring import Ring
from kucoin_research.model.intervals import parse_interval
from kucoin_research.model.records import Candle, Status, Trade, schema_of

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
#: A whole day.
DAWN = 1_767_571_200 * SECOND
SYMBOL = "XBTUSDTM"


class AtOnce(clocks.Clock):
    """A clock whose threads have done their work when they have started; its time is set."""

    now = 0.0
    monotonic = lambda self: self.now  # noqa: E731

    def thread(self, target, name):
        return SimpleNamespace(start=target)


def trade(time, sequence, size=1.0, price=100.0):
    return Trade(time, time + 5, SYMBOL, sequence, str(sequence), "buy", price, size)


class Market:
    """Trades of known times and sizes; the exchange knows those up to ``now``."""

    def __init__(self, trades, page=100):
        self.trades, self.page = list(trades), page
        self.now = self.trades[-1].timestamp if self.trades else DAWN
        self.asked, self.failing, self.closed = [], None, 0

    def history(self, symbol=SYMBOL):
        assert symbol == SYMBOL
        return _History(self)

    def known(self):
        return [each for each in self.trades if each.timestamp <= self.now]

    def candles(self, interval, start, end):
        """Make the candles of the trades so far."""
        length = parse_interval(interval).ns
        made = {}
        for each in self.known():
            made.setdefault(each.timestamp // length * length, []).append(each)
        return [
            Candle(
                opened, self.now, SYMBOL, interval, of[0].price, max(t.price for t in of),
                min(t.price for t in of), of[-1].price, sum(t.size for t in of), None,
            )
            for opened, of in made.items()
            if start <= opened <= end
        ]  # fmt: skip


class _History:
    def __init__(self, market):
        self._market, self._is_closed = market, False

    def _answer(self, rows, record, what):
        if self._is_closed:
            raise kr.StreamStopped("closed")
        self._market.asked.append(what)
        if self._market.failing is not None:
            raise self._market.failing
        return pl.DataFrame(rows, schema=schema_of(record), orient="row")

    def trades(self):
        newest = self._market.known()[-self._market.page :]
        return self._answer([each._replace(local_timestamp=0) for each in newest], Trade, "trades")

    def candles(self, interval, start, end):
        rows = self._market.candles(interval, start, end)
        assert (end - start) // parse_interval(interval).ns < 200
        return self._answer(rows, Candle, (interval, start, end))

    def close(self):
        self._is_closed = True
        self._market.closed += 1


class JoinedStream:
    """As much of a stream as figures use: the rows that have come since it has joined."""

    symbols = (SYMBOL,)

    def __init__(self, channel="trade", record=Trade, capacity=1_000_000):
        self.channels = (channel,)
        self.rings = {channel: Ring(record, capacity=capacity), "status": Ring(Status)}

    def frame(self, channel=None, symbol=None, last=None):
        return self.rings[channel].frame(last)

    def total(self, channel=None):
        return self.rings[channel].total

    def put(self, *rows):
        self.rings[self.channels[0]].extend(list(rows))
