"""One simulated market: order flow, book, trades, candles, statistics, mark and funding.

A market is a deterministic function of (listing, seed, start) and of the orders submitted to it.
It has no clock: `Market.advance` runs it up to a virtual time. Not safe for use by two threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.engine.account_orders import (
    AccountOrders,
    SelfTrade,
    Submission,
    TimeInForce,
)
from kucoin_research.sim.engine.candle_history import CandleHistory
from kucoin_research.sim.engine.candles import (
    DAY_MS,
    INTERVALS,
    MINUTE_MS,
    CandleStore,
    candle_open,
)
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.fair_price import FairPrice
from kucoin_research.sim.engine.fundamental_value import MINUTES_PER_DAY
from kucoin_research.sim.engine.funding import SETTLEMENT_MS, FundingClock
from kucoin_research.sim.engine.listing_units import ListingUnits
from kucoin_research.sim.engine.market_candles import Candle, MarketCandles, Stats24h
from kucoin_research.sim.engine.matching import (
    MS_NS,
    BookChange,
    BookSide,
    Event,
    MatchingBook,
    Side,
    Trade,
    futures_order_text,
    spot_order_text,
)
from kucoin_research.sim.engine.order_flow import OrderFlow, shared_tables
from kucoin_research.sim.engine.phantom_bid import PhantomBid

__all__ = [
    "INTERVALS",
    "BookChange",
    "Candle",
    "Event",
    "Market",
    "Side",
    "Stats24h",
    "Submission",
    "Trade",
    "candle_open",
]

_MINUTE_NS = MINUTE_MS * MS_NS
_TRADES_KEPT = 500
_LONGEST_TRADE_STEP = 200
_FEW_TRADES = 12  # in a minute: with fewer, a new market may be asked for its last before the first


class Market:
    """A limit-order-book market with its random crowd.

    It is the front of the engine: its methods are the API that the exchange around it uses, hence
    their number. Each part of the work is a class of its own.

    Parameters
    ----------
    listing
        The instrument.
    seed
        Seed of the simulated exchange.
    start_ns
        Virtual time at which the market opens, ns since 1970. The book is full at once.

    Examples
    --------
    >>> from kucoin_research.sim.engine.catalog import LISTINGS
    >>> market = Market(LISTINGS["XBTUSDTM"], seed=7, start_ns=1_790_000_000_000_000_000)
    >>> events = market.advance(market.now_ns + 10**9)
    >>> market.best_bid < market.best_ask
    True
    """

    # Slots keep attributes fast after pickling (see `WarmMarkets`).
    __slots__ = (
        "_book",
        "_candles",
        "_fair",
        "_flow",
        "_marks",
        "_next_ms",
        "_orders",
        "_phantom",
        "_price_texts",
        "_rows",
        "_size_texts",
        "_units",
        "last_trade",
        "listing",
        "now_ns",
        "start_ns",
        "trades",
    )

    def __init__(self, listing: Listing, seed: int, start_ns: int) -> None:
        self.listing = listing
        self.now_ns = start_ns
        self.start_ns = start_ns
        self.trades: deque[Trade] = deque(maxlen=_TRADES_KEPT)
        self.last_trade: Trade | None = None
        name, start_ms = f"{seed}:{listing.symbol}", -(-start_ns // MS_NS)
        self._units = units = ListingUnits(listing)
        # Kept beside the units: feeds spell each message with them.
        self._price_texts, self._size_texts = units.price_texts, units.size_texts
        self._fair = fair = FairPrice(listing, seed)
        history = CandleHistory(name, listing, start_ms=start_ms, units=units, fair=fair)
        self._rows = CandleStore(start_ms, history.day)
        self._candles = MarketCandles(self._rows, units, fair.ticks)
        self._marks = (
            FundingClock(start_ms, listing.funding_interval_ms, fair.index, fair.basis)
            if listing.market == "futures"
            else None
        )
        rng = Random(f"{name}:flow")
        self._book = _make_book(listing, name, rng, self._on_trade)
        self._phantom = PhantomBid(self._book)
        tables = shared_tables(listing.flow) if listing.is_quiet else None
        self._flow = OrderFlow(
            self._book, listing.flow, rng, fair.ticks, tables, volatility=fair.minute_volatility
        )
        self._orders = AccountOrders(self._book, self._flow, fair)
        if listing.is_quiet or listing.flow.trades_per_minute < _FEW_TRADES:
            self._recall_last_trade(start_ms)
        self._next_ms = self._open_book(start_ms)

    def advance(self, until_ns: int) -> list[Event]:
        """Run the order flow up to and including a virtual time.

        Parameters
        ----------
        until_ns
            Virtual time, ns since 1970. A time that has already passed causes no events.

        Returns
        -------
        list[Event]
            `BookChange` and `Trade` in the order in which they happened. The events are the same
            whether a time is reached in one call or in many.
        """
        until_ms = until_ns // MS_NS
        book, flow, marks, fair = self._book, self._flow, self._marks, self._fair
        next_ms = self._next_ms
        # An action is stamped with the whole millisecond below its time, so all of the last
        # millisecond belongs to this call.
        while next_ms < until_ms + 1:
            now_ms = int(next_ms)
            if marks is not None and marks.next_ms <= now_ms:
                self._sample_marks(marks, now_ms)
            book.set_time(now_ms)
            flow.act(now_ms)
            next_ms += flow.delay_ms(now_ms, fair.activity)
        self._next_ms = next_ms
        if marks is not None and marks.next_ms <= until_ms:
            self._sample_marks(marks, until_ms)
        self.now_ns = max(self.now_ns, until_ns)
        return self._drain()

    def submit(
        self,
        side: Side,
        size: int,
        *,
        price_ticks: int | None = None,
        time_in_force: TimeInForce = "GTC",
        owner: str = "",
        worst_ticks: int | None = None,
        stp: SelfTrade = "",
        whole: bool = False,
    ) -> Submission:
        """Enter an account's order at ``now_ns``, in the book in which the crowd trades.

        Parameters
        ----------
        side
            ``"buy"`` or ``"sell"``.
        size
            In units: lots on futures, multiples of ``lot_size`` on spot; positive.
        price_ticks
            Limit price in ticks; None for a market order. A price more than 15 % through the fair
            price is rejected: no price band of a listing reaches that far.
        time_in_force
            ``"GTC"`` rests, ``"IOC"`` drops the part that is not filled at once, ``"FOK"`` fills
            all or nothing, ``"PO"`` (post only) is rejected if it would take.
        owner
            Account; the crowd never cancels an owned order.
        worst_ticks
            The worst price of a market order in ticks; None for 5 % beyond the best.
        stp
            Instead of a trade with an order of the same owner: ``"CN"`` drops the rest of this one,
            ``"CO"`` cancels the older one, ``"CB"`` does both, and ``"DC"`` takes the size of the
            smaller one from both. Empty for a trade.
        whole
            Whether a market order is filled at any price and to its end, as a liquidation is.

        Returns
        -------
        Submission
            Its ``events`` are not repeated by `advance`.

        Raises
        ------
        InvalidInput
            If size or price is not positive.
        """
        if size < 1 or (price_ticks is not None and price_ticks < 1):
            raise InvalidInput("size and price must be positive integers (units, ticks)")
        done = self._orders.submit(
            side,
            size,
            price_ticks=price_ticks,
            time_in_force=time_in_force,
            owner=owner,
            worst_ticks=worst_ticks,
            stp=stp,
            whole=whole,
            now_ms=self.now_ns // MS_NS,
        )
        return done._replace(events=self._drain())

    def cancel(self, order_id: str) -> list[Event]:
        """Cancel the resting part of a submitted order at ``now_ns``; no events if none rests."""
        self._orders.cancel(order_id, self.now_ns // MS_NS)
        return self._drain()

    def reduce(self, order_id: str, size: int) -> list[Event]:
        """Make the resting part of a submitted order smaller, by less than all.

        The order keeps its place in the queue.
        """
        self._orders.reduce(order_id, size, self.now_ns // MS_NS)
        return self._drain()

    def resting(self, order_id: str) -> int:
        """Return the size of a submitted order that still rests in the book, in units."""
        return self._orders.resting(order_id)

    def rebase(self, by: int) -> Submission:
        """Lower the book's sequence by `by`: its next changes count on from there. No events."""
        self._book.sequence -= by
        return Submission("", "canceled", 0, 0, [])

    def cross(self) -> Submission:
        """Announce a bid above the best ask that is not in the book; it stays in ``levels``.

        It lasts until `uncross`, or until something happens at its price.
        """
        return self._phantom.announce(self.now_ns // MS_NS)

    def uncross(self) -> Submission:
        """Take the bid of `cross` back, if it still stands."""
        return self._phantom.withdraw(self.now_ns // MS_NS)

    def takeable(self, side: Side, owner: str, stp: SelfTrade) -> Iterator[tuple[int, int]]:
        """Go through what an account's order could take: ``(price_ticks, size)``, best first.

        With self-trade prevention its own orders are not among it, and end it unless they would be
        canceled (``"CO"``).
        """
        return self._orders.takeable(side, owner, stp)

    @property
    def next_action_ns(self) -> int:
        """Virtual time of the crowd's next action; until then `advance` returns no events."""
        return int(self._next_ms) * MS_NS

    @property
    def sequence(self) -> int:
        """Sequence of the newest `BookChange`."""
        return self._book.sequence

    @property
    def best_bid(self) -> int | None:
        """Best bid in ticks."""
        return self._book.bids.best_ticks

    @property
    def best_ask(self) -> int | None:
        """Best ask in ticks."""
        return self._book.asks.best_ticks

    def levels(self, side: Side, depth: int | None = None) -> list[tuple[int, int]]:
        """Return ``(price_ticks, size)`` of the bids ("buy") or asks ("sell"), best first."""
        levels = self._book.side(side).levels(depth)
        if side == "sell" or self._phantom.level is None:
            return levels
        return self._phantom.among(levels, depth)

    def book_side(self, side: Side) -> BookSide | None:
        """Return a side of the book, to be read only; None while `levels` differs from it."""
        if side == "buy" and self._phantom.level is not None:
            return None
        return self._book.side(side)

    def price(self, ticks: int) -> float:
        """Convert ticks to a price, as a float that prints as the decimal text."""
        # As `ListingUnits.price`, with one call less: each slice asks for each waiting stop order.
        units = self._units
        return ticks * units.tick_units / units.scale

    def price_text(self, ticks: int) -> str:
        """Spell a price as KuCoin does, without trailing zeros."""
        return self._price_texts[ticks]

    def size_number(self, units: int) -> int | float:
        """Convert units to a size: integer lots on futures, base coins on spot."""
        return self._units.size_number(units)

    def size_text(self, units: int) -> str:
        """Spell a size as KuCoin does, without trailing zeros."""
        return self._size_texts[units]

    def base_volume(self, units: int) -> float:
        """Convert units to base coins; a unit of an inverse contract is one dollar and stays so."""
        return self._units.base_volume(units)

    def index_price(self, time_ns: int) -> float:
        """Return the index price at the second that holds a time, rounded to its tick."""
        return round(self._fair.index(time_ns // MS_NS), self.listing.index_decimals)

    def mark_price(self, time_ns: int) -> float:
        """Return the mark price of the second that holds a time (P3.6).

        For times before the last hour it is the mark of their minute; on spot it is the index.
        """
        if self._marks is None:
            return self.index_price(time_ns)
        return round(self._marks.mark(time_ns // MS_NS), self.listing.index_decimals)

    def premium(self, time_ns: int) -> float:
        """Return ``mid / index - 1`` of the minute that holds a time."""
        return self._funding_clock().premium(time_ns // MS_NS)

    def funding_rate(self, time_ns: int) -> float:
        """Return the running estimate of the coming settlement's rate, as a fraction."""
        return self._funding_clock().rate(time_ns // MS_NS)

    def settled_funding(self, settlement_ns: int) -> float:
        """Return the rate charged at a settlement, as a fraction."""
        return self._funding_clock().settled(settlement_ns // MS_NS)

    def funding_times(self, from_ns: int, to_ns: int) -> list[int]:
        """Return the settlements in ``[from_ns, to_ns]``, ns since 1970, ascending."""
        first, last = -(-from_ns // MS_NS), to_ns // MS_NS
        return [time_ms * MS_NS for time_ms in self._funding_clock().times(first, last)]

    @property
    def settling_ns(self) -> int | None:
        """The funding that is being settled at ``now_ns``, from its announced begin to its end."""
        if self._marks is None:
            return None
        now_ms = self.now_ns // MS_NS
        times = self._marks.times(now_ms - SETTLEMENT_MS + 1, now_ms)
        return times[0] * MS_NS if times else None

    def open_interest(self, time_ns: int) -> int:
        """Return open interest in lots, which wanders by a few per cent around the listing's."""
        wave = self._fair.basis_noise.at(time_ns // _MINUTE_NS - 37 * MINUTES_PER_DAY)
        return int(self.listing.open_interest * (1.0 + 0.03 * wave))

    def candle(self, interval_ms: int, open_ms: int) -> Candle | None:
        """Return the candle that opens at a time as it stands; None without trades."""
        return self._candles.candle(interval_ms, open_ms)

    def candles(self, interval_ms: int, from_ms: int, to_ms: int) -> list[Candle]:
        """Return the candles that open in ``[from_ms, to_ms]``, ascending.

        Parameters
        ----------
        interval_ms
            One of ``INTERVALS``.
        from_ms, to_ms
            Bounds of the opening time, both inclusive, ms since 1970. History reaches 200 days
            before the market's start; times after ``now_ns`` have no trades.

        Returns
        -------
        list[Candle]
            No row for a candle without trades.
        """
        return self._candles.candles(interval_ms, from_ms, min(to_ms, self.now_ns // MS_NS))

    def warm_candles(self, interval_ms: int, from_ms: int, to_ms: int) -> Iterator[None]:
        """Build history that `candles` will need, some milliseconds of work at each step."""
        return self._candles.warm(interval_ms, from_ms, min(to_ms, self.now_ns // MS_NS))

    def warm_day(self) -> Iterator[None]:
        """Build history that `stats_24h` will need, some milliseconds of work at each step."""
        now_ms = self.now_ns // MS_NS
        return self.warm_candles(MINUTE_MS, now_ms - DAY_MS, now_ms)

    def stats_24h(self, time_ns: int) -> Stats24h:
        """Return statistics of the 24 hours to a time; their start is rounded to the minute."""
        return self._candles.stats_24h(time_ns // MS_NS, self.now_ns // MS_NS)

    def _open_book(self, start_ms: int) -> float:
        # Returns the time of the crowd's first action, in ms.
        book, flow = self._book, self._flow
        first_sequence = book.sequence
        book.set_time(start_ms)
        flow.open(start_ms)
        # The opening book is not an event, and counts as one change.
        book.events = []
        book.sequence = first_sequence + 1
        return start_ms + flow.delay_ms(start_ms, self._fair.activity)

    def _recall_last_trade(self, start_ms: int) -> None:
        # Where trades are rare, a list is asked for long before the first one. It is one lot of the
        # history's last minute, and closes it.
        ticks = round(self._fair.at(start_ms) * self._units.ticks_per_price)
        self.last_trade = trade = self._book.trade_before(start_ms - 1, ticks, 1)
        self.trades.append(trade)

    def _drain(self) -> list[Event]:
        events = self._book.events
        if not events:
            return []
        self._book.events = []
        if self._phantom.level is not None:
            self._phantom.on_events(events)
        return events

    def _on_trade(self, trade: Trade) -> None:
        self.trades.append(trade)
        self.last_trade = trade
        if self._orders.open_orders:
            self._orders.on_trade(trade)
        ticks, size = trade.price_ticks, trade.size
        notional = self._units.notional(ticks, size)
        self._rows.add(trade.time_ns // MS_NS, ticks, size, notional)

    def _sample_marks(self, marks: FundingClock, now_ms: int) -> None:
        book = self._book
        mid = self.price(book.bids.keys[-1] - book.asks.keys[-1]) / 2
        last = mid if self.last_trade is None else self.price(self.last_trade.price_ticks)
        while marks.next_ms <= now_ms:
            marks.sample(mid, last)

    def _funding_clock(self) -> FundingClock:
        if self._marks is None:
            raise InvalidInput(f"{self.listing.symbol} is a spot market: it has no funding")
        return self._marks


def _make_book(
    listing: Listing, name: str, rng: Random, on_trade: Callable[[Trade], None]
) -> MatchingBook:
    # An empty book; its sequences start in the ranges in which KuCoin's lie.
    is_futures = listing.market == "futures"
    base = Random(f"{name}:sequences")
    # The book's number, as in the order ids of futures: no two books share it.
    machine = f"{base.getrandbits(40) >> 12:07x}{listing.number:03x}"
    if is_futures:
        sequence = base.randrange(1_700_000_000_000, 1_748_000_000_000)
        trade_sequence = base.randrange(1_790_000_000_000, 1_798_000_000_000)
    else:
        sequence = base.randrange(14_000_000_000, 15_000_000_000)
        trade_sequence = base.randrange(11_000_000_000_000_000, 20_000_000_000_000_000)
    return MatchingBook(
        sequence,
        trade_sequence,
        order_text=futures_order_text if is_futures else partial(spot_order_text, machine=machine),
        trade_step=partial(_trade_step, rng.random),
        on_trade=on_trade,
        number=listing.number,
    )


def _trade_step(random: Callable[[], float]) -> int:
    return 1 + int(random() ** 2 * _LONGEST_TRADE_STEP)
