"""A stream from an exchange that misbehaves, and an exact account of what became of each message.

The exchange keeps a journal of all it published and a record of what it withheld; both are read
with the decoder that the stream uses, so that messages are compared as rows, to the last column.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass, field

import polars as pl

import kucoin_research as kr
from kucoin_research.errors import BookNotReady
from kucoin_research.exchange.topics import Feed, topics_for
from kucoin_research.exchange.websocket.feeds import spec_of
from kucoin_research.model.channels import Market, parse_channel
from kucoin_research.model.orderbook import BookDelta
from kucoin_research.model.records import CHANNELS, columns_of
from tests.conftest import wait_until
from tests.exchanges import simulate

#: Impatient, so that a test sees in seconds what takes minutes with KuCoin.
FAST = kr.Healing(overlap=0.3, connects_per_minute=600, most_backoff=1.0)

SYMBOLS = {"futures": "XBTUSDTM", "spot": "BTC-USDT"}
CHANNELS_OF = {
    "futures": ["ticker", "bbo", "trade", "level2", "depth5", "mark_price", "candle"],
    "spot": ["ticker", "bbo", "trade", "level2", "depth5", "candle"],
}


# A message of an older year spells these otherwise, or lacks them.
_SPELLED_ANEW = {"trade_id", "maker_order_id", "taker_order_id"}


def common_columns(channel):
    """Give the positions of the columns that messages of all years agree on, arrival left out."""
    names = [name for name in columns_of(CHANNELS[channel]) if name != "local_timestamp"]
    spelled_anew = _SPELLED_ANEW | ({"sequence"} if channel in ("bbo", "depth5") else set())
    return [n for n, name in enumerate(names) if name not in spelled_anew]


def pick(row, keys):
    """Give a row's values at these positions."""
    return tuple(row[key] for key in keys)


@dataclass
class Account:
    """What became of the messages of one channel: rows, or book sequences for level 2.

    Of a numbered channel, ``told_missing`` is the content of the gaps that were told, and
    ``kept_back`` what the exchange says it withheld, both by sequence, fillers included.
    """

    published: Counter = field(default_factory=Counter)
    withheld: Counter = field(default_factory=Counter)
    received: Counter = field(default_factory=Counter)
    told_missing: set = field(default_factory=set)
    kept_back: set = field(default_factory=set)

    @property
    def lost(self) -> Counter:
        return self.published - self.received

    @property
    def twice(self) -> Counter:
        return self.received - self.published


class Rig:
    """A stream of one symbol from an exchange of its own; a context manager."""

    def __init__(
        self, market, *, channels=None, speed=5.0, seed=5, healing=FAST, feed="classic", **settings
    ):
        self.market = Market(market)
        self.feed = Feed(feed)
        self.symbol = SYMBOLS[market]
        self.channels = CHANNELS_OF[market] if channels is None else channels
        settings = {"ping_interval_ms": 1_000, "ping_timeout_ms": 1_000} | settings
        self.x = simulate(seed=seed, speed=speed, journal=True, **settings)
        try:
            self.s = kr.stream(
                self.symbol, self.channels, venue=self.x.venue, healing=healing, feed=feed,
                name=f"rig {market} {self.x.futures_url}",
            )  # fmt: skip
        except BaseException:
            self.x.close()
            raise
        decoder = spec_of(self.feed).decoder(self.market)
        # The journal is read again and again; a decoder keeps nothing of a message.
        self.decode = functools.cache(lambda payload: decoder.decode(payload, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.stop()
        self.x.close()

    # -- waiting ---------------------------------------------------------------------------------

    def warm_up(self, rows=40, timeout=60.0):
        """Wait until the stream is live, in step, and knows the beat of its topics."""
        for channel in self.channels:
            self.s.wait(channel, rows=rows, timeout=timeout)
        self.heal()

    def events(self, name):
        status = self.s.frame("status")
        return status.filter(pl.col("event").cast(pl.String) == name)

    def happens(self, name, count=1, timeout=30.0):
        """Wait until the status channel has told an event that often."""
        seen = -1

        def has_happened():
            nonlocal seen
            if self.s.total("status") == seen:  # a look at the frame costs a thousand of these
                return False
            seen = self.s.total("status")
            return self.events(name).height >= count

        wait_until(has_happened, timeout=timeout)

    @property
    def is_whole(self):
        """Whether nothing is being mended."""
        supervisors, handler = self.s._supervisors, self.s._handler
        if self.s.state is not kr.State.LIVE or handler.has_open_requests:
            return False
        if any(supervisor._rollover.successor is not None for supervisor in supervisors):
            return False
        try:
            return "level2" not in self.channels or self.s.book() is not None
        except BookNotReady:
            return False

    def heal(self, timeout=60.0):
        """Wait until the stream says that all is well."""
        wait_until(lambda: self.is_whole, timeout=timeout)

    def finish(self, timeout=60.0):
        """Stop the exchange's clock, and wait until all it has sent has arrived."""
        self.heal(timeout)
        self.x.pause()
        wait_until(self._has_everything, timeout=timeout)
        self.s.stop()

    def _has_everything(self):
        # The exchange is paused, so what it published last is the last there is.
        return all(self._has_last(channel) for channel in self.channels)

    def _has_last(self, channel):
        last = self._last(channel)
        if last is None:
            return True
        if channel == "level2":
            return self.s.book().sequence >= last
        return last in self._received(channel)

    def _last(self, channel):
        """Return the last row, or the last sequence of the book, that was not withheld."""
        read = (
            self._sequences
            if channel == "level2"
            else functools.partial(self._rows, channel=channel)
        )
        withheld = set(read(self._withheld(channel)))
        published = reversed(read(self._published(channel)))
        return next((each for each in published if each not in withheld), None)

    # -- the account -----------------------------------------------------------------------------

    def _topics(self, channel):
        topics = topics_for(parse_channel(channel), self.symbol, self.market, self.feed)
        return [str(topic) for topic in topics]

    def _published(self, channel):
        return [m.payload for topic in self._topics(channel) for m in self.x.journal(topic)]

    def _missed(self, channel):
        topics = set(self._topics(channel))
        return [
            m for m in self.x.withheld if m.topic in topics and not m.reached_others and m.payload
        ]

    def _withheld(self, channel):
        return [m.payload for m in self._missed(channel)]

    def _rows(self, payloads, channel):
        """Read messages as rows without their arrival; of level 2, the sequences of its rows."""
        found = []
        for item in map(self.decode, payloads):
            if isinstance(item, BookDelta):
                found.extend(change.sequence for change in item.changes)
            elif type(item) is CHANNELS[channel]:
                found.append((item[0], *item[2:]))
        return found

    def _sequences(self, payloads):
        """List the sequences that book messages cover, fillers included."""
        return [
            s for i in map(self.decode, payloads) if isinstance(i, BookDelta)
            for s in range(i.first_sequence, i.last_sequence + 1)
        ]  # fmt: skip

    def _received(self, channel):
        frame = self.s.frame(channel)
        if channel == "level2":
            return set(frame.filter(~pl.col("is_snapshot"))["sequence"])
        times = [n for n, kind in columns_of(CHANNELS[channel]).items() if kind.value == "time"]
        rows = frame.with_columns(pl.col(times).to_physical())
        return Counter(
            tuple(tuple(v) if isinstance(v, list) else v for v in (row[0], *row[2:]))
            for row in rows.iter_rows()
        )

    def account(self, channel):
        """Say what became of each message of a channel."""
        published = self._rows(self._published(channel), channel)
        withheld = self._rows(self._withheld(channel), channel)
        if channel == "level2":
            return self._book_account(published, withheld)
        received = self._received(channel)
        if any(one.fault == "old_shape" for one in self.x.fault_log):
            keys = common_columns(channel)
            published, withheld = (
                [pick(row, keys) for row in rows] for rows in (published, withheld)
            )
            received = Counter(pick(row, keys) for row in received.elements())
        return Account(Counter(published), Counter(withheld), received)

    def _book_account(self, published, withheld):
        entry = self.s.report().channel("level2")
        begin, end = entry.first_sequence, self.s.book().sequence
        told = {
            sequence
            for gap in entry.gaps
            if gap.filled_by is None and gap.missing is not None
            for sequence in range(gap.first_sequence, gap.last_sequence + 1)
        }
        inside = [{s: 1 for s in each if begin < s <= end} for each in (published, withheld)]
        kept_back = {s for s in self._sequences(self._withheld("level2")) if begin < s <= end}
        received = dict.fromkeys(self._received("level2"), 1)
        return Account(*map(Counter, (*inside, received)), told, kept_back)
