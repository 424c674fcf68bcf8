"""The book matches by price, then time, as a plain list of orders does."""

from itertools import chain

from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.matching import (
    MOST_BOOKS,
    BookChange,
    MatchingBook,
    Trade,
    futures_order_text,
    spot_order_text,
)
from kucoin_research.sim.engine.more_contracts import MOST_CONTRACTS, contract_listings
from kucoin_research.sim.engine.quiet_contracts import quiet_listings

patient = settings(deadline=None, max_examples=150)
OWNERS = (None, None, "ann", "ben")

prices = st.integers(95, 105)
sizes = st.integers(1, 9)
owners = st.sampled_from(OWNERS)
sides = st.sampled_from(("buy", "sell"))
which = st.integers(0, 30)
actions = st.lists(
    st.one_of(
        st.tuples(st.just("order"), sides, prices, sizes, owners),
        st.tuples(st.just("order_apart"), sides, prices, sizes, st.sampled_from(OWNERS[2:])),
        st.tuples(st.just("cancel"), which),
        st.tuples(st.just("reduce"), which, sizes),
        st.tuples(st.just("cancel_level"), sides, which),
    ),
    max_size=60,
)


def plain_book(on_trade=lambda _: None, number=0):
    return MatchingBook(
        100,
        200,
        order_text=futures_order_text,
        trade_step=lambda: 1,
        on_trade=on_trade,
        number=number,
    )


class PlainBook:
    """Orders in a list, oldest first: each a list of number, side, price, size and owner."""

    def __init__(self):
        self.orders = []
        self.trades = []

    def best(self, side, price):
        """The order that a taker of a side meets next, or None."""
        sign = 1 if side == "buy" else -1
        able = [one for one in self.orders if one[1] != side and sign * one[2] <= sign * price]
        return min(able, key=lambda one: (sign * one[2], self.orders.index(one)), default=None)

    def take(self, number, side, price, size, owner, *, apart):
        """Trade as far as the price allows; return what is left, and the own order met."""
        while size and (met := self.best(side, price)) is not None:
            if apart and met[4] == owner:
                return size, met[0]
            traded = min(size, met[3])
            self.trades.append((side, met[2], traded, met[0], number))
            met[3] -= traded
            size -= traded
            if not met[3]:
                self.orders.remove(met)
        return size, None

    def levels(self, side):
        found = {}
        for _, of, price, size, _ in self.orders:
            if of == side:
                found[price] = found.get(price, 0) + size
        return sorted(found.items(), reverse=side == "buy")


class Pair:
    """The engine's book and the plain one, which do the same."""

    def __init__(self):
        self.trades = []
        self.book = plain_book(self.trades.append)
        self.book.set_time(1_700_000_000_000)
        self.plain = PlainBook()
        self.resting = {}

    def order(self, side, price, size, owner, *, apart=False):
        own = self.book.side(side)
        order = self.book.make_order(own, price * own.sign, size, owner)
        plain = [order.number, side, price, size, owner]
        met = self.book.take_from_others(order) if apart else self.book.take(order)
        left, plain_met = self.plain.take(order.number, *plain[1:], apart=apart)
        assert order.remaining == left
        assert (met and met.number) == plain_met
        if left and met is None:
            self.book.rest(own, order)
            self.resting[order.number] = order
            self.plain.orders.append([*plain[:3], left, owner])

    def order_apart(self, side, price, size, owner):
        self.order(side, price, size, owner, apart=True)

    def cancel(self, index):
        if self.plain.orders:
            row = self.plain.orders.pop(index % len(self.plain.orders))
            self.book.cancel(self.book.side(row[1]), self.resting[row[0]])

    def reduce(self, index, size):
        if self.plain.orders:
            row = self.plain.orders[index % len(self.plain.orders)]
            if size < row[3]:
                row[3] -= size
                self.book.reduce(self.book.side(row[1]), self.resting[row[0]], size)

    def cancel_level(self, name, index):
        side = self.book.side(name)
        if side.keys:
            key = side.keys[index % len(side.keys)]
            self.book.cancel_level(side, key)
            self.plain.orders = [
                row
                for row in self.plain.orders
                if row[1] != name or row[2] != key * side.sign or row[4] is not None
            ]

    def check(self):
        text = futures_order_text
        assert [
            (one.side, one.price_ticks, one.size, one.maker_order_id, one.taker_order_id)
            for one in self.trades
        ] == [(*row[:3], text(row[3]), text(row[4])) for row in self.plain.trades]
        for side in ("buy", "sell"):
            assert self.book.side(side).levels() == self.plain.levels(side)
            assert self.book.side(side).orders == sum(row[1] == side for row in self.plain.orders)


@patient
@given(actions)
def test_the_book_matches_as_a_list_of_orders_does(plan):
    pair = Pair()
    for name, *values in plan:
        getattr(pair, name)(*values)
        pair.check()


@patient
@given(actions)
def test_the_events_rebuild_the_book(plan):
    pair = Pair()
    for name, *values in plan:
        getattr(pair, name)(*values)

    levels, sequence = {"buy": {}, "sell": {}}, 100
    for event in pair.book.events:
        if isinstance(event, Trade):
            assert event.book_sequence == sequence + 1
            continue
        assert isinstance(event, BookChange)
        assert event.sequence == sequence + 1
        sequence = event.sequence
        levels[event.side][event.price_ticks] = event.size
    for side, found in levels.items():
        left = {price: size for price, size in found.items() if size}
        assert left == dict(pair.book.side(side).levels())


def test_no_two_books_number_an_order_alike_and_each_numbers_upwards():
    books = [plain_book(number=number) for number in (0, 1, MOST_BOOKS - 1)]
    numbers = []
    for time_ms in (1_767_600_000_000, 1_767_600_000_001, 1_500_000_000_000):
        for book in books:
            book.set_time(time_ms)
            # More than fit into one millisecond.
            numbers.append([book.make_order(book.bids, 1, 1).number for _ in range(3_000)])

    assert len(set(chain.from_iterable(numbers))) == 9 * 3_000
    for first, second, third in zip(*[iter(numbers)] * 3, strict=True):
        assert all(one == sorted(one) for one in (first, second, third))


def test_every_listing_has_a_number_of_its_own():
    listings = LISTINGS | contract_listings(MOST_CONTRACTS) | quiet_listings(999)
    numbers = [listing.number for listing in listings.values()]

    assert len(set(numbers)) == len(numbers) == 5 + MOST_CONTRACTS + 999
    assert 0 < min(numbers) <= max(numbers) < MOST_BOOKS


def test_spot_ids_of_one_second_differ():
    numbers = []
    book = plain_book(number=3)
    for time_ms in range(1_767_600_000_000, 1_767_600_001_000, 4):
        book.set_time(time_ms)
        numbers += [book.make_order(book.bids, 1, 1).number for _ in range(20)]

    assert len({spot_order_text(number, "0" * 10) for number in numbers}) == len(numbers)
