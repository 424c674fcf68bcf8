"""Our books are the exchange's own: every level, every symbol, both markets, both feeds.

The exchange replays what truly happened to a symbol (`Exchange.tape`); each copy that our client
took of its book is compared with the exchange's at the same sequence.
"""

import pytest

import kucoin_research as kr
from kucoin_research.foundation import clocks
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.messages.pro import WINDOW
from tests.exchanges import simulate

SYMBOLS = {
    market: [symbol for symbol, row in LISTINGS.items() if row.market == market]
    for market in ("futures", "spot")
}
FEEDS = ("classic", "pro")
# Of all symbols of a market and a feed, four of which are 100,000. `make soak` asks for as many of
# each symbol alone.
DELTAS = 25_000
MANY_DELTAS = 100_000
COPIES = 10
LOOKS = 30_000


class Exchanges:
    """The exchange's books of one symbol, sequence by sequence, as prices and sizes."""

    def __init__(self, tape):
        listing = tape.listing
        self._changes = tape.changes
        self._at = 0
        self._sides = {"buy": dict(tape.bids), "sell": dict(tape.asks)}
        self._price = listing.tick_units, 10**listing.price_decimals
        self._size = listing.lot_units, 10**listing.size_decimals

    def book(self, sequence):
        """Bids and asks, best first; sequences must be asked for in ascending order."""
        while self._at < len(self._changes) and self._changes[self._at].sequence <= sequence:
            change = self._changes[self._at]
            self._sides[change.side][change.price_ticks] = change.size
            self._at += 1
        return (
            self._floats(sorted(self._sides["buy"].items(), reverse=True)),
            self._floats(sorted(self._sides["sell"].items())),
        )

    def _floats(self, levels):
        (tick, scale), (lot, size_scale) = self._price, self._size
        return [(ticks * tick / scale, size * lot / size_scale) for ticks, size in levels if size]


def known(levels, ours):
    """As much of the exchange's side as a reader of a partial book can know."""
    reverse = levels[:1] > levels[1:2]
    worst = ours[-1][0]
    return [level for level in levels if (level[0] >= worst if reverse else level[0] <= worst)]


def copies_of_books(symbols, feed, *, deltas=DELTAS, patience):
    """Stream until there are enough deltas; give copies of each book, and the exchange's own."""
    copies = {symbol: [] for symbol in symbols}
    with (
        simulate(seed=9, speed=1_000.0, symbols=symbols) as x,
        kr.stream(symbols, "level2", venue=x.venue, feed=feed) as s,
    ):
        for step in range(1, COPIES + 1):
            s.wait("level2", rows=step * deltas // COPIES, timeout=patience)
            take_all(s, copies)
        while changes_in(s) < deltas:
            s.wait("level2", rows=s.total("level2") + 1_000, timeout=patience)
        x.pause()
        report = s.report()
        for symbol in symbols:
            take(s, symbol, copies[symbol])
        tapes = {symbol: Exchanges(x.tape(symbol)) for symbol in symbols}

    assert changes_in(s) >= deltas
    assert report.verdict is kr.Verdict.COMPLETE
    return copies, tapes


def assert_equal(copies, tape, market, feed):
    assert len({book.sequence for book in copies}) > COPIES // 2
    for book in copies:
        bids, asks = tape.book(book.sequence)
        if feed == "pro":
            assert (book.bids, book.asks) == (bids[:WINDOW], asks[:WINDOW])
        elif market == "futures":
            assert (book.bids, book.asks) == (bids, asks)
        else:  # REST shows 100 levels without a key
            assert book.bids
            assert book.asks
            assert book.bids == known(bids, book.bids)
            assert book.asks == known(asks, book.asks)


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("market", SYMBOLS)
def test_the_book_is_the_exchanges_own_over_many_deltas(market, feed):
    copies, tapes = copies_of_books(SYMBOLS[market], feed, patience=60)

    for symbol, tape in tapes.items():
        assert_equal(copies[symbol], tape, market, feed)


# A quiet symbol needs a virtual day and more for so many.
@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("symbol", LISTINGS)
def test_each_symbol_alone_has_the_exchanges_book_over_a_hundred_thousand_deltas(symbol, feed):
    copies, tapes = copies_of_books([symbol], feed, deltas=MANY_DELTAS, patience=300)

    assert_equal(copies[symbol], tapes[symbol], LISTINGS[symbol].market, feed)


def changes_in(stream):
    frame = stream.frame("level2")
    return frame.height - frame["is_snapshot"].sum()


def take_all(stream, copies):
    """Copy every book once, whichever answers first.

    Looks each held millisecond, a virtual second: ten of them, as `wait_until` lets go by, bring
    hundreds of changes that nobody asked for, while a partial book is soon gone again.
    """
    missing = dict(copies)
    for _ in range(LOOKS):
        for symbol, taken in list(missing.items()):
            if take(stream, symbol, taken):
                del missing[symbol]
        if not missing:
            return
        clocks.current().pass_by(0.001)
    raise AssertionError(f"no book of {sorted(missing)} within {LOOKS} virtual seconds")


def take(stream, symbol, copies):
    """Copy the book if it answers; at this speed a partial one moves on now and then."""
    try:
        copies.append(stream.book(symbol))
    except kr.BookNotReady:
        return False
    return True
