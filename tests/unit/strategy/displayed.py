"""What a recording displays at each moment, and what orders took of it: a second opinion.

Everything is read from the records alone; nothing of the package's own market is used.
"""

from fractions import Fraction

from kucoin_research.model.records import (
    BestBidOffer,
    Candle,
    Depth5,
    Depth50,
    Level2,
    MarkPrice,
    Status,
    Ticker,
    Trade,
)

OTHER = {"buy": "sell", "sell": "buy"}


def exact(number):
    """Read a float as the decimal that its shortest text names."""
    return Fraction(repr(number))


class _Book:
    """A book of ``level2`` rows, trusted from ``book_ready`` on until rows may be missing."""

    def __init__(self):
        self.sides = {"buy": {}, "sell": {}}
        self.is_ready = self.is_doubtful = self.is_loading = False
        self.sequence = None

    def take(self, row):
        if row.is_snapshot and not self.is_loading:
            self.sides = {"buy": {}, "sell": {}}
            self.is_ready, self.is_loading = False, True
        if self.is_doubtful and row.sequence == self.sequence + 1:
            self.is_doubtful, self.is_ready = False, True
        self.sides[row.side].pop(row.price, None)
        if row.size:
            self.sides[row.side][row.price] = row.size
        self.sequence = row.sequence

    def hear(self, event):
        if event == "book_ready":
            self.is_ready, self.is_doubtful, self.is_loading = True, False, False
        elif event == "gap":
            self.is_ready = self.is_doubtful = False
        elif event == "disconnected" and self.is_ready:
            self.is_ready, self.is_doubtful = False, True


class Displayed:
    """The levels of one symbol that are displayed now, and what was taken of them.

    ``whole`` is whether everything better than a price is displayed, too, so that a level that is
    not there is known to be empty.
    """

    def __init__(self, symbol, channels):
        self.symbol = symbol
        names = ("level2", "depth50", "depth5", "bbo", "ticker")
        self.sources = [each for each in names if each in channels]
        self.has_trades = "trade" in channels
        self.kind = "quotes" if self.sources else "trades" if self.has_trades else "candles"
        self.book, self.newest, self.updated = _Book(), {}, {}
        self.taken = {"buy": {}, "sell": {}}  # by side of the book and price: displayed, taken
        self.stale_since = -1
        self.mark = None
        self.pool, self.printed, self.pooled_at = Fraction(0), None, None
        self.last_print = None
        self.record = None

    # -- records -----------------------------------------------------------------------------------

    def take(self, record):
        if isinstance(record, Status):
            self.hear(record)
            return
        if record.symbol != self.symbol:
            return
        self.record = record
        if isinstance(record, MarkPrice):
            self.mark = record.mark_price
            return
        name = {
            Level2: "level2", Depth50: "depth50", Depth5: "depth5", BestBidOffer: "bbo",
            Ticker: "ticker",
        }.get(type(record))  # fmt: skip
        if name is not None:
            self.newest[name], self.updated[name] = record, record.local_timestamp
        if isinstance(record, Level2):
            self.book.take(record)
        self.take_print(record)
        self.forget()

    def hear(self, status):
        if status.event == "disconnected":
            self.stale_since = max(self.stale_since, status.local_timestamp)
            self.book.hear("disconnected")
        elif status.symbol == self.symbol:
            if status.event == "gap":
                self.stale_since = max(self.stale_since, status.local_timestamp)
            if status.channel == "level2":
                self.book.hear(status.event)

    def take_print(self, record):
        self.printed = None
        if isinstance(record, Trade):
            self.printed = (record.side, record.price)
            self.pool = exact(record.size)
        elif isinstance(record, Candle):
            self.pool = exact(record.volume)
        elif isinstance(record, Ticker) and not self.has_trades and record.price is not None:
            seen = (record.sequence, record.price, record.size)
            if seen != self.last_print:
                self.last_print = seen
                self.printed = (record.side, record.price)
                self.pool = exact(record.size)
        self.pooled_at = record.local_timestamp

    def forget(self):
        if self.source is None:
            return
        for side, levels in self.taken.items():
            for price, (displayed, _) in list(levels.items()):
                now = self.size_at(side, price)
                if now is not None and now != displayed:
                    del levels[price]

    # -- levels ------------------------------------------------------------------------------------

    @property
    def source(self):
        for name in self.sources:
            if name in self.newest and (name != "level2" or self.book.is_ready):
                return name
        return None

    @property
    def is_fresh(self):
        return self.source is not None and self.updated[self.source] > self.stale_since

    def levels(self, side):
        name = self.source
        if name is None:
            return []
        if name == "level2":
            return sorted(self.book.sides[side].items(), reverse=side == "buy")
        row, word = self.newest[name], "bid" if side == "buy" else "ask"
        if name == "depth50":
            pairs = zip(getattr(row, f"{word}_prices"), getattr(row, f"{word}_sizes"), strict=True)
        elif name == "depth5":
            pairs = [
                (getattr(row, f"{word}_price_{n}"), getattr(row, f"{word}_size_{n}"))
                for n in range(1, 6)
            ]
        else:
            pairs = [(getattr(row, f"best_{word}_price"), getattr(row, f"best_{word}_size"))]
        return [(price, size) for price, size in pairs if price is not None]

    def size_at(self, side, price):
        """Return the displayed size; None where the source does not show that far."""
        levels = dict(self.levels(side))
        if price in levels:
            return levels[price]
        if self.source == "level2":
            return 0.0
        worst = (min if side == "buy" else max)(levels, default=None)
        is_inside = worst is not None and (price > worst if side == "buy" else price < worst)
        return 0.0 if is_inside else None

    def free(self, side, *, limit=None, only_best=False):
        """List the levels that an order of the other side accepts, with what is left of them."""
        found = []
        for price, size in self.levels(side):
            if limit is not None and (price > limit if side == "sell" else price < limit):
                break
            taken = self.taken[side].get(price, (size, 0))[1]
            found.append((price, max(Fraction(0), exact(size) - taken)))
            if only_best:
                break
        return found

    def use(self, side, price, size):
        displayed = dict(self.levels(side))[price]
        before = self.taken[side].get(price, (displayed, Fraction(0)))[1]
        self.taken[side][price] = (displayed, before + size)

    # -- fills -------------------------------------------------------------------------------------

    def book_taker(self, fill, *, only_best):
        """Take a fill from the best level that has something left; fail if it is another one."""
        assert self.is_fresh
        side, size = OTHER[fill.side], exact(fill.size)
        left = [each for each in self.free(side, only_best=only_best) if each[1]]
        assert left, "nothing is displayed"
        assert fill.price == left[0][0], "a better level was not used up"
        assert size <= left[0][1], "more than is displayed"
        self.use(side, fill.price, size)

    def book_maker(self, fill, *, only_best):
        """Take a fill at a limit price from the print or the quotes of this very moment."""
        assert fill.timestamp == self.pooled_at, "no record of the symbol came then"
        left = exact(fill.size)
        if self.printed is not None:
            taker, price = self.printed
            is_reached = price <= fill.price if fill.side == "buy" else price >= fill.price
            if is_reached and taker in (None, OTHER[fill.side]):
                left -= self.drain(left)
        side = OTHER[fill.side]
        if left and not isinstance(self.record, Trade):
            for price, free in self.free(side, limit=fill.price, only_best=only_best):
                part = min(left, free)
                if part:
                    self.use(side, price, part)
                    left -= part
        assert not left, "neither the print nor the quotes had as much"

    def book_alone(self, fill):
        """Take a fill from the print or candle of this very moment, where there are no quotes."""
        if isinstance(self.record, Candle):
            assert self.record.timestamp <= fill.timestamp <= self.pooled_at
        else:
            assert fill.timestamp == self.pooled_at
        size = exact(fill.size)
        assert self.drain(size) == size, "more than was traded"
        if isinstance(self.record, Candle):
            assert self.record.low <= fill.price <= self.record.high
        elif fill.liquidity == "taker":
            assert fill.price == self.record.price

    def drain(self, wanted):
        used = min(self.pool, wanted)
        self.pool -= used
        return used
