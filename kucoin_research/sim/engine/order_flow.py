"""The crowd: random orders that keep a market near a fair price.

One seeded generator and the state of the book decide every action, so the flow depends on virtual
time only. Market makers follow the fair price in small jumps; in between, people add, cancel,
replace and take. Taking orders are the children of parent orders, and move the fair price.

Each taking order raises the rate of the next ones (a self-exciting rate), and the fastest traders
react to it within their round trip (arXiv 2603.24137). The rate follows volatility, so quiet and
hectic minutes alternate. In hectic ones market makers offer less, and accept a wider spread (Wyart
et al. 2008, physics/0603084). Distances from the best price follow a power law; little stands next
to it (Bouchaud, Mezard and Potters 2002, cond-mat/0203511).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from math import ceil, exp, floor, log, sqrt
from random import Random
from statistics import NormalDist
from typing import Any, NamedTuple

from kucoin_research.sim.engine.catalog import Flow
from kucoin_research.sim.engine.matching import BookSide, MatchingBook, Order
from kucoin_research.sim.engine.parent_orders import ParentOrders
from kucoin_research.sim.engine.price_impact import PriceImpact
from kucoin_research.sim.engine.walls import Walls

__all__ = ["OrderFlow", "Tables", "shared_tables"]

_TABLE = 4_096  # power of two: picks from a table of quantiles are cheaper than draws
_ORDER_SPREAD = 1.2  # standard deviation of the logarithm of the sizes of resting orders
_DIGITS = (1, 1, 2, 2, 3, 12)  # significant digits of sizes, by frequency
_DIGITS_FORMAT = {digits: f"{{:.{digits - 1}e}}".format for digits in set(_DIGITS)}
_NEAREST = 8  # in gaps of the book: the scale of that law
_REACH = 0.9  # tail exponent of the distances of orders from the best price

_HEAT_DECAY_MS = 1_500.0
_HEAT_BRANCHING = 0.5
_HEAT_LIMIT = 8.0
_INFORMED = 0.2  # chance that a stale quote is traded against rather than withdrawn
# Trades move the price at most this far from the index's, in the volatility of a minute.
_MOST_IMPACT = 1.25
_CALM = 0.7  # activity above which market makers offer less
_BIG = 0.02  # chance that an order is several times as large
_CROWDED = 4  # a queue of this many orders loses one more at a time
_ROUNDNESS = (1, 1, 5, 10)  # multiples of the round price, by frequency
_FEWEST_LEVELS = 12


class Tables(NamedTuple):
    """Tables from which order sizes, trade sizes and distances are picked."""

    sizes: list[int]
    trade_sizes: list[int]
    distances: list[int]


class OrderFlow:
    """Sends random orders into one book.

    Parameters
    ----------
    book
        The book that receives the orders.
    flow
        Rates, sizes and distances.
    rng
        The flow's own seeded generator.
    fair_ticks
        Fair price in ticks at a time in ms.
    tables
        Tables of sizes and distances; None to draw its own.
    volatility
        Standard deviation of the logarithm of the fair price over one minute, in the long run.
    """

    # Slots keep attributes fast after pickling (see `WarmMarkets`).
    __slots__ = (
        "_agitation",
        "_book",
        "_distances",
        "_fair",
        "_fair_ticks",
        "_fewest_levels",
        "_flow",
        "_heat",
        "_heat_time",
        "_impact",
        "_is_race",
        "_orders",
        "_parents",
        "_random",
        "_reach",
        "_round_steps",
        "_size_range",
        "_sizes",
        "_slack",
        "_trade_sizes",
        "_volatility",
        "_walls",
    )

    def __init__(
        self,
        book: MatchingBook,
        flow: Flow,
        rng: Random,
        fair_ticks: Callable[[int], float],
        tables: Tables | None = None,
        *,
        volatility: float,
    ) -> None:
        self._book = book
        self._flow = flow
        self._random = rng.random
        self._fair_ticks = fair_ticks
        self._fair = 0.0
        if tables is None:
            tables = _make_tables(flow, rng)
        self._sizes, self._trade_sizes, self._distances = tables
        self._fewest_levels = min(_FEWEST_LEVELS, flow.levels // 2)
        self._orders = int(flow.levels * 1.6)
        self._reach = _reach(flow)
        self._round_steps = _round_steps(flow.round_ticks, self._reach)
        self._heat = 0.0
        self._heat_time = 0
        self._parents = ParentOrders(rng.random, flow.parent_tail)
        self._impact = PriceImpact(0.0, flow.trade_size, 1.0)
        self._walls = Walls(
            book,
            rng.random,
            reach=self._reach,
            per_minute=_volume_per_minute(flow),
            steps=self._round_steps,
            actions=flow.actions_per_second,
        )
        self._volatility = volatility
        self._slack = 1.0
        self._is_race = False
        self._agitation = 1.0
        self._size_range = float(_TABLE)

    def open(self, now_ms: int) -> None:
        """Fill an empty book around the fair price."""
        self._fair = fair = self._fair_ticks(now_ms)
        self._heat_time = now_ms
        minute = self._volatility * fair
        self._impact = PriceImpact(
            self._first_impact(fair), self._flow.trade_size, _MOST_IMPACT * minute
        )
        spread = ceil(self._flow.spread_ticks)
        bid = max(1, floor(fair - (spread - 1) / 2))
        self._fill(self._book.bids, bid)
        self._fill(self._book.asks, -(bid + spread))
        self._walls.open(now_ms, minute)

    def delay_ms(self, now_ms: int, activity: float) -> float:
        """Draw the time to the next action; ``activity`` is relative volatility."""
        if activity != self._agitation:
            self._agitation = activity
            self._slack = max(1.0, self._flow.spread_ticks * activity)
            self._size_range = _TABLE * min(1.0, (_CALM / activity) ** self._flow.thinning)
        if self._is_race:
            self._is_race = False
            return self._flow.reaction_ms * (0.8 + 0.4 * self._random())
        heat = self._cooled(now_ms)
        rate = self._flow.actions_per_second * activity * (1.0 + heat) / (1.0 + _HEAT_BRANCHING)
        return -log(1.0 - self._random()) * 1_000.0 / rate

    def act(self, now_ms: int) -> None:
        """Take one action: follow the fair price, trade, or add or cancel orders."""
        flow, book, impact = self._flow, self._book, self._impact
        if now_ms >= impact.refresh_ms:
            impact.refresh(now_ms)
            if now_ms >= self._walls.due_ms:
                self._walls.tend(now_ms)
        fair = self._fair_ticks(now_ms) + impact.ticks
        if abs(fair - self._fair) > flow.band_ticks:
            self._fair = fair
        slack = flow.spread_ticks
        if self._fair > slack - book.asks.keys[-1]:
            self._follow(book.asks, book.bids, now_ms)
        elif self._fair < book.bids.keys[-1] - slack:
            self._follow(book.bids, book.asks, now_ms)
        elif self._random() < flow.trade_share:
            self._trade(now_ms)
        else:
            self._provide()
        self.keep_alive()
        spread = -book.asks.keys[-1] - book.bids.keys[-1]
        if spread > self._slack and self._random() * self._agitation < 0.8:
            self._tighten()

    def on_taken(self, now_ms: int, size: int, *, is_buy: bool) -> None:
        """Move the price by a taking order; ``size`` is the part that was filled, in units."""
        # In the square-root law both volatility and volume grow with the activity.
        self._impact.add(now_ms, size * self._agitation, is_buy=is_buy)

    def keep_alive(self) -> None:
        """Add levels to a side that is about to run out of them."""
        for side in (self._book.bids, self._book.asks):
            while len(side.keys) < self._fewest_levels:
                if side.sign > 0 and side.keys and len(side.keys) >= max(1, side.keys[-1] // 2):
                    break  # of so few ticks that there is no room for more bids
                self._extend(side)

    def _first_impact(self, fair: float) -> float:
        # The square-root law: Y times volatility times the root of size over volume, in ticks.
        per_minute = self._flow.trades_per_minute
        return self._flow.impact * self._volatility * fair / sqrt(per_minute)

    def _trade(self, now_ms: int) -> None:
        random = self._random
        is_buy = self._parents.next_is_buy()
        side = self._book.asks if is_buy else self._book.bids
        size = self._trade_sizes[int(random() * _TABLE)]
        if random() < 0.04:
            size *= 12
        patience = int(self._flow.gap_ticks * 4) + 1
        taken = self._hit(side, side.keys[-1] - patience, size, now_ms)
        self.on_taken(now_ms, taken, is_buy=is_buy)

    def _follow(self, stale: BookSide, other: BookSide, now_ms: int) -> None:
        # The fair price has moved through the best of `stale`: take those orders or cancel them.
        random = self._random
        limit = floor(self._fair) * stale.sign
        if random() < _INFORMED:
            self._hit(stale, limit, self._trade_sizes[int(random() * _TABLE)] * 2, now_ms)
            self.keep_alive()
        room = 1 + int(random() * 6)
        while room and stale.keys[-1] > limit:
            room -= 1
            if len(stale.keys) <= self._fewest_levels:
                # A thin side moves too: one level behind the fair price for the one that goes.
                self._extend(stale)
            key = stale.keys[-1]
            if key in self._walls.standing and (piece := self._walls.piece(key)):
                self._hit(stale, key, piece, now_ms)
                break
            if not self._book.cancel_level(stale, key):
                self._hit(stale, key, stale.sizes[key], now_ms)
        if random() < 0.5 and stale.keys[-1] <= limit:
            self._place_near(other)

    def _hit(self, side: BookSide, limit: int, size: int, now_ms: int) -> int:
        # Take from `side` down to the key `limit`, and drop the rest of the order. Returns the size
        # that was taken.
        book, flow = self._book, self._flow
        taker_side = book.asks if side is book.bids else book.bids
        order = book.make_order(taker_side, -limit, size)
        book.take(order)
        self._is_race = self._random() < flow.race
        heat = self._cooled(now_ms)
        per_second = flow.actions_per_second * flow.trade_share * 2
        step = _HEAT_BRANCHING * 1_000.0 / (_HEAT_DECAY_MS * per_second)
        self._heat = min(_HEAT_LIMIT, heat + step)
        return size - order.remaining

    def _provide(self) -> None:
        random = self._random
        side = self._book.bids if random() < 0.5 else self._book.asks
        wanted = self._flow.levels
        levels = len(side.keys)
        choice = random()
        if choice < 0.3 and side.keys[-1] - side.keys[0] > self._reach:
            self._withdraw(side, side.keys[0])
        elif choice < 0.3 and levels < wanted * 0.85:
            self._place_far(side)
        elif choice < 0.3 and levels > wanted * 1.2:
            self._withdraw(side, side.keys[0])
        elif choice < 0.5:
            self._cancel_any(side)
            self._place_near(side)
        elif random() < self._adding(side):
            self._place_near(side)
        else:
            self._cancel_near(side)

    def _adding(self, side: BookSide) -> float:
        # Probability of adding rather than cancelling: it pulls the number of orders to its target.
        return 0.5 + max(-0.45, min(0.45, 2.0 * (self._orders - side.orders) / self._orders))

    def _place_near(self, side: BookSide) -> None:
        random = self._random
        distance = self._distances[int(random() * _TABLE)]
        key = side.keys[-1] - distance
        rank = random() * self._size_range
        if distance <= self._flow.gap_ticks * 3:
            # Little is offered close to the price, where it is taken first.
            rank *= random()
        size = self._sizes[int(rank)]
        if distance and random() < 0.06:
            key -= key % self._round_steps[int(random() * len(_ROUNDNESS))]
            size *= 2
        elif random() < _BIG:
            size *= 6
        if side.sign > 0 and key < 1:
            return
        self._book.add(side, key, size)

    def _place_far(self, side: BookSide) -> None:
        random = self._random
        key = side.keys[-1] - 1 - int(self._reach * random() ** 1.5)
        if side.sign < 0 or key >= 1:
            # Far away, people offer less.
            self._book.add(side, key, self._sizes[int(random() * random() * _TABLE)])

    def _cancel_near(self, side: BookSide) -> None:
        random = self._random
        rank = int(len(side.keys) * random() ** 2)
        if len(side.keys) > self._fewest_levels:
            self._withdraw(side, side.keys[-1 - rank])

    def _cancel_any(self, side: BookSide) -> None:
        # Market makers move orders along with the price; those far away wait.
        levels = len(side.keys)
        if levels > self._fewest_levels:
            self._withdraw(side, side.keys[-1 - int(levels * self._random() ** 1.5)])

    def _withdraw(self, side: BookSide, key: int) -> None:
        # An order is as likely to go in a long queue as in a short one.
        queue = side.queues[key]
        self._withdraw_one(side, queue)
        for _ in range(len(queue) // _CROWDED):
            self._withdraw_one(side, queue)

    def _withdraw_one(self, side: BookSide, queue: Sequence[Order]) -> None:
        order = queue[int(self._random() * len(queue))]
        if order.owner is None:
            self._book.cancel(side, order)

    def _tighten(self) -> None:
        # Market makers narrow the spread around the fair price.
        book, random = self._book, self._random
        bid, ask = book.bids.keys[-1], -book.asks.keys[-1]
        wider = int(random() * self._slack)
        new_bid = max(bid, min(ask - 1, floor(self._fair - wider / 2)))
        new_ask = new_bid + 1 + wider
        most = self._size_range
        if new_bid > bid:
            book.add(book.bids, new_bid, self._sizes[int(random() * random() * most)])
        if new_ask < ask:
            book.add(book.asks, -new_ask, self._sizes[int(random() * random() * most)])

    def _extend(self, side: BookSide) -> None:
        # Near the fair price, not behind the worst level: an account's order may stand anywhere.
        random = self._random
        key = self._edge(side) - 1 - int(self._reach * random())
        if side.sign > 0:
            key = max(1, key)
        self._book.add(side, key, self._sizes[int(random() * _TABLE)] * 2)

    def _edge(self, side: BookSide) -> int:
        # The key from which to refill a side: the fair price, or behind the other side's best.
        book = self._book
        other = book.asks if side is book.bids else book.bids
        key = floor(self._fair) * side.sign
        return min(key, -other.keys[-1]) if other.keys else key

    def _fill(self, side: BookSide, best: int) -> None:
        random = self._random
        key = best
        for rank in range(self._flow.levels):
            if side.sign > 0 and key < 1:
                return
            for _ in range(1 + int(random() * 2.2)):
                size = self._sizes[int(random() * random() * _TABLE)]
                self._book.add(side, key, size)
            gap = self._flow.gap_ticks * (0.6 + 2.0 * rank / self._flow.levels)
            key -= 1 + int(-log(1.0 - random()) * gap)

    def _cooled(self, now_ms: int) -> float:
        elapsed = now_ms - self._heat_time
        if elapsed and self._heat:
            self._heat *= exp(-elapsed / _HEAT_DECAY_MS)
        self._heat_time = now_ms
        return self._heat


def _volume_per_minute(flow: Flow) -> float:
    # The sizes of trades are log-normal.
    return flow.trades_per_minute * flow.trade_size * exp(flow.trade_spread**2 / 2)


def _make_tables(flow: Flow, rng: Random) -> Tables:
    tables, state = _drawn_tables(flow, rng.getstate())
    rng.setstate(state)
    return tables


# Half the work of opening a market. Cached for tapes and for other exchanges of the same seed.
@lru_cache(maxsize=16)
def _drawn_tables(flow: Flow, state: tuple[Any, ...]) -> tuple[Tables, tuple[Any, ...]]:
    rng = Random()
    rng.setstate(state)
    sizes = _size_table(flow.order_size, _ORDER_SPREAD, rng)
    trade_sizes = _size_table(flow.trade_size, flow.trade_spread, rng)
    tables = Tables(sizes, trade_sizes, _distance_table(flow))
    return tables, rng.getstate()


@lru_cache(maxsize=8)
def shared_tables(flow: Flow) -> Tables:
    """Return the tables of a flow that many markets share; made once."""
    return _make_tables(flow, Random("shared tables"))


def _size_table(median: int, spread: float, rng: Random) -> list[int]:
    # Quantiles of a log-normal law, most of them rounded to few digits, as people do.
    choice = rng.choice
    texts = [_DIGITS_FORMAT[choice(_DIGITS)](median * factor) for factor in _size_factors(spread)]
    return [max(1, int(float(text))) for text in texts]


@cache
def _size_factors(spread: float) -> list[float]:
    # The same for every market, and costly: cached.
    quantile = NormalDist(0.0, spread).inv_cdf
    return [exp(quantile((index + 0.5) / _TABLE)) for index in range(_TABLE)]


@cache
def _tails() -> list[float]:
    return [((index + 0.5) / _TABLE) ** (-1.0 / _REACH) - 1.0 for index in range(_TABLE)]


def _reach(flow: Flow) -> int:
    # Depth of the book in ticks, with gaps like those of `OrderFlow.open`.
    return int(flow.levels * (flow.gap_ticks * 1.6 + 1))


def _round_steps(step: int, reach: int) -> list[int]:
    # Very round prices only where the book holds several of them.
    return [step * times if step * times * 4 <= reach else step for times in _ROUNDNESS]


def _distance_table(flow: Flow) -> list[int]:
    # Quantiles of a power law in ticks behind the best price, cut at the end of the book.
    longest = _reach(flow)
    distances = []
    for index, tail in enumerate(_tails()):
        distance = int(flow.gap_ticks * _NEAREST * tail)
        # Beyond the book's end the law is replaced by an even spread over its far half.
        distances.append(distance if distance < longest else longest - index % (longest // 2 + 1))
    return distances
