"""One simulated market: order flow, book, trades, candles, statistics, mark and funding.

A market is a deterministic function of (listing, seed, start) and of the orders submitted to it.
It has no clock: `Market.advance` runs it up to a virtual time. Not safe for use by two threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from math import exp
from random import Random
from typing import Literal

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.engine.account_orders import (
    _MARKET_REACH,
    _PRICE_BAND,
    Submission,
    TimeInForce,
    _reachable,
)
from kucoin_research.sim.engine.candle_history import _DAYS, _DAYS_KEPT, _QUIET_STEP
from kucoin_research.sim.engine.candles import INTERVALS, CandleRow, CandleStore, candle_open
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.fair_price import _ACTIVITY_RANGE, _BASIS_SCALES, _INDEX_NOISE
from kucoin_research.sim.engine.fundamental_value import (
    MINUTES_PER_DAY,
    FundamentalValue,
    cached,
    shared_noise,
)
from kucoin_research.sim.engine.funding import FundingClock
from kucoin_research.sim.engine.listing_units import _INVERSE_SCALE, _Texts, _turnover_ratio
from kucoin_research.sim.engine.market_candles import Candle, Stats24h
from kucoin_research.sim.engine.matching import (
    MS_NS,
    BookChange,
    BookSide,
    Event,
    MatchingBook,
    Order,
    Side,
    Trade,
    futures_order_text,
    spot_order_text,
)
from kucoin_research.sim.engine.order_flow import OrderFlow, shared_tables
from kucoin_research.sim.engine.quiet_contracts import QuietValue

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


_SECOND_MS = 1_000
_MINUTE_MS = 60_000
_DAY_MS = 86_400_000
_MINUTE_NS = 60_000 * MS_NS
_TRADES_KEPT = 500
_LONGEST_TRADE_STEP = 200


class Market:
    """A limit-order-book market with its random crowd.

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

    def __init__(self, listing: Listing, seed: int, start_ns: int) -> None:
        self.listing = listing
        self.now_ns = start_ns
        self.start_ns = start_ns
        self.trades: deque[Trade] = deque(maxlen=_TRADES_KEPT)
        self.last_trade: Trade | None = None
        self._name = f"{seed}:{listing.symbol}"
        self._start_ms = -(-start_ns // MS_NS)
        self._scale: int = 10**listing.price_decimals
        self._tick_units = listing.tick_units
        self._lot_units = listing.lot_units
        self._size_scale: int = 10**listing.size_decimals
        self._price_texts = _Texts(listing.tick_units, listing.price_decimals)
        self._size_texts = _Texts(listing.lot_units, listing.size_decimals)
        self._turnover_ratio = _turnover_ratio(listing)
        self._value: FundamentalValue | QuietValue = (
            QuietValue(seed, listing.base, listing.start_price)
            if listing.is_quiet
            else FundamentalValue(seed, listing.base)
        )
        self._quote_value = FundamentalValue(seed, "XBT") if listing.quote == "BTC" else None
        basis = seed if listing.is_quiet else self._name
        self._basis = shared_noise(f"{basis}:basis", _BASIS_SCALES)
        index = "quiet" if listing.is_quiet else listing.index_symbol
        self._index_noise = shared_noise(f"{seed}:{index}:index", ((5, 1.0),))
        self._next_ms = 0.0
        self._second = -1
        self._fair_from = self._fair_step = 0.0
        self._activity = 1.0
        self._candles = CandleStore(self._start_ms, self._history_day)
        self._day_cache: tuple[int, CandleRow | None] = (-1, None)
        self._marks = (
            FundingClock(
                self._start_ms, listing.funding_interval_ms, self._index_at_ms, self._basis_at_ms
            )
            if listing.market == "futures"
            else None
        )
        self._owned: dict[str, Order] = {}
        self._phantom: tuple[int, int] | None = None  # ticks and size of a bid that is not there
        rng = Random(f"{self._name}:flow")
        self._book = self._make_book(rng)
        tables = shared_tables(listing.flow) if listing.is_quiet else None
        self._flow = OrderFlow(self._book, listing.flow, rng, self._fair_ticks, tables)
        self._open_book()

    # --- running ---

    def advance(self, until_ns: int) -> list[Event]:
        """Run the order flow up to and including a virtual time.

        Parameters
        ----------
        until_ns
            Virtual time, ns since 1970. A time that has passed already gives no events.

        Returns
        -------
        list[Event]
            `BookChange` and `Trade` in the order they happened, times non-decreasing. The events
            do not depend on how the time is cut into calls.
        """
        until_ms = until_ns // MS_NS
        book, flow, marks = self._book, self._flow, self._marks
        next_ms = self._next_ms
        # An action falls on the millisecond in which its time lies.
        while next_ms < until_ms + 1:
            now_ms = int(next_ms)
            if marks is not None and marks.next_ms <= now_ms:
                self._look(marks, now_ms)
            book.set_time(now_ms)
            flow.act(now_ms)
            next_ms += flow.delay_ms(now_ms, self._activity)
        self._next_ms = next_ms
        if marks is not None and marks.next_ms <= until_ms:
            self._look(marks, until_ms)
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
    ) -> Submission:
        """Enter an account's order at ``now_ns``, through the matching that the crowd uses.

        Parameters
        ----------
        side
            ``"buy"`` or ``"sell"``.
        size
            In units: lots on futures, multiples of ``lot_size`` on spot; positive.
        price_ticks
            Limit price in ticks; None for a market order, which takes what there is within 5 %.
            A price more than 10 % through the fair price is rejected.
        time_in_force
            ``"GTC"`` rests, ``"IOC"`` drops what is not filled at once, ``"FOK"`` fills all or
            nothing, ``"PO"`` (post only) is rejected if it would take.
        owner
            Account; the crowd never cancels an owned order.

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
        book = self._book
        own, other = (book.bids, book.asks) if side == "buy" else (book.asks, book.bids)
        key = self._market_key(own, other) if price_ticks is None else price_ticks * own.sign
        book.set_time(self.now_ns // MS_NS)
        order = book.make_order(own, key, size, owner)
        order_id = self._order_text(order.number)
        crosses = bool(other.keys) and other.keys[-1] >= -key
        if self._is_out_of_band(own, key):
            return Submission(order_id, "rejected", 0, 0, [])
        if (time_in_force == "PO" and crosses) or (
            time_in_force == "FOK" and _reachable(other, -key) < size
        ):
            return Submission(order_id, "rejected", 0, 0, [])
        book.take(order)
        filled = size - order.remaining
        resting = 0
        status: Literal["open", "filled", "canceled"] = "filled"
        if order.remaining:
            status = "canceled"
            if price_ticks is not None and time_in_force in ("GTC", "PO"):
                status, resting = "open", order.remaining
                book.rest(own, order)
                self._owned[order_id] = order
        self._flow.keep_alive()
        return Submission(order_id, status, filled, resting, self._drain())

    def cancel(self, order_id: str) -> list[Event]:
        """Cancel what rests of a submitted order at ``now_ns``; no events if nothing does."""
        order = self._owned.pop(order_id, None)
        if order is None or not order.remaining:
            return []
        self._book.set_time(self.now_ns // MS_NS)
        self._book.cancel(self._side(order.side), order)
        self._flow.keep_alive()
        return self._drain()

    def reduce(self, order_id: str, size: int) -> list[Event]:
        """Make what rests of a submitted order smaller, by less than all; it keeps its place."""
        order = self._owned.get(order_id)
        if order is None or not 0 < size < order.remaining:
            return []
        self._book.set_time(self.now_ns // MS_NS)
        side = self._side(order.side)
        self._book.reduce(side, order, size)
        return self._drain()

    def resting(self, order_id: str) -> int:
        """Return how much of a submitted order still rests in the book, in units."""
        order = self._owned.get(order_id)
        return order.remaining if order is not None else 0

    # --- faults ---

    def rebase(self, by: int) -> Submission:
        """Count the book's changes from a number lower by `by`; no events."""
        self._book.sequence -= by
        return Submission("", "canceled", 0, 0, [])

    def cross(self) -> Submission:
        """Tell of a bid above the best ask, which is not there; it stays in ``levels``.

        It lasts until `uncross`, or until something happens at its price.
        """
        book = self._book
        if self._phantom is not None or not book.bids.keys or not book.asks.keys:
            return Submission("", "rejected", 0, 0, [])
        ticks, size = 1 - book.asks.keys[-1], book.bids.sizes[book.bids.keys[-1]]
        book.set_time(self.now_ns // MS_NS)
        book.announce(book.bids, ticks, size)
        events = self._drain()
        self._phantom = (ticks, size)
        return Submission("", "open", 0, size, events)

    def uncross(self) -> Submission:
        """Take the bid of `cross` back, if it still stands."""
        if self._phantom is None:
            return Submission("", "rejected", 0, 0, [])
        (ticks, _), self._phantom = self._phantom, None
        book = self._book
        book.set_time(self.now_ns // MS_NS)
        book.announce(book.bids, ticks, book.bids.sizes.get(ticks, 0))
        return Submission("", "canceled", 0, 0, self._drain())

    # --- the book ---

    @property
    def next_action_ns(self) -> int:
        """Virtual time of the next action of the crowd: before, `advance` gives no events."""
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
        levels = self._side(side).levels(depth)
        if self._phantom is None or side == "sell":
            return levels
        return sorted([*levels, self._phantom], reverse=True)[:depth]

    def book_side(self, side: Side) -> BookSide | None:
        """Return a side of the book, to be read only; None where `levels` tells of another."""
        return None if self._phantom is not None and side == "buy" else self._side(side)

    def _side(self, side: Side) -> BookSide:
        return self._book.bids if side == "buy" else self._book.asks

    # --- numbers and texts ---

    def price(self, ticks: int) -> float:
        """Turn ticks into a price; exact in the sense that it prints as the decimal text."""
        return ticks * self._tick_units / self._scale

    def price_text(self, ticks: int) -> str:
        """Spell a price as KuCoin does, without trailing zeros."""
        return self._price_texts[ticks]

    def size_number(self, units: int) -> int | float:
        """Turn units into a size: integer lots on futures, base coins on spot."""
        if self._size_scale == 1:
            return units * self._lot_units
        return units * self._lot_units / self._size_scale

    def size_text(self, units: int) -> str:
        """Spell a size as KuCoin does, without trailing zeros."""
        return self._size_texts[units]

    def base_volume(self, units: int) -> float:
        """Turn units into base coins; on inverse contracts one unit is one dollar, kept as is."""
        size = self.size_number(units)
        return float(size) if self.listing.is_inverse else size * self.listing.multiplier

    # --- mark, index, funding ---

    def index_price(self, time_ns: int) -> float:
        """Return the index price at the second that holds a time, rounded to its tick."""
        return round(self._index_at_ms(time_ns // MS_NS), self.listing.index_decimals)

    def mark_price(self, time_ns: int) -> float:
        """Return the mark price of the second that holds a time (P3.6).

        Times before the last hour give the mark of their minute; on spot it is the index.
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

    def open_interest(self, time_ns: int) -> int:
        """Return open interest in lots: it wanders by some per cent around the listing's."""
        wave = self._basis.at(time_ns // _MINUTE_NS - 37 * MINUTES_PER_DAY)
        return int(self.listing.open_interest * (1.0 + 0.03 * wave))

    # --- candles and statistics ---

    def candle(self, interval_ms: int, open_ms: int) -> Candle | None:
        """Return the candle that opens at a time as it stands; None without trades."""
        row = self._candles.row(interval_ms, candle_open(interval_ms, open_ms))
        return None if row is None else self._candle(row)

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
        to_ms = min(to_ms, self.now_ns // MS_NS)
        if to_ms < from_ms:
            return []
        return [self._candle(row) for row in self._candles.rows(interval_ms, from_ms, to_ms)]

    def warm_candles(self, interval_ms: int, from_ms: int, to_ms: int) -> Iterator[None]:
        """Build history that ``candles`` will want, some milliseconds of work at each step."""
        return self._candles.warm(interval_ms, from_ms, min(to_ms, self.now_ns // MS_NS))

    def warm_day(self) -> Iterator[None]:
        """Build history that `stats_24h` will want, some milliseconds of work at each step."""
        now_ms = self.now_ns // MS_NS
        return self.warm_candles(_MINUTE_MS, now_ms - _DAY_MS, now_ms)

    def stats_24h(self, time_ns: int) -> Stats24h:
        """Return statistics of the 24 hours to a time, to the minute at their far end."""
        minute = min(time_ns, self.now_ns) // _MINUTE_NS * _MINUTE_MS
        # The whole minutes of the window change once a minute only.
        if self._day_cache[0] != minute:
            closed = self._candles.window(minute + _MINUTE_MS - _DAY_MS, minute)
            self._day_cache = (minute, closed)
        closed = self._day_cache[1]
        running = self._candles.window(minute, minute + 1)
        rows = [row for row in (closed, running) if row is not None]
        if not rows:
            price = self.price(round(self._fair_ticks(time_ns // MS_NS)))
            return Stats24h(price, price, price, price, 0.0, 0.0, 0.0, 0.0)
        opened, last = self.price(rows[0].open), self.price(rows[-1].close)
        return Stats24h(
            opened,
            self.price(max(row.high for row in rows)),
            self.price(min(row.low for row in rows)),
            last,
            self.base_volume(sum(row.volume for row in rows)),
            self._turnover(sum(row.notional for row in rows)),
            self.price(rows[-1].close - rows[0].open),
            round(last / opened - 1.0, 4),
        )

    # --- helpers ---

    def _make_book(self, rng: Random) -> MatchingBook:
        is_futures = self.listing.market == "futures"
        base = Random(f"{self._name}:sequences")
        machine = f"{base.getrandbits(40):010x}"
        self._order_text: Callable[[int], str] = (
            futures_order_text if is_futures else partial(spot_order_text, machine=machine)
        )
        if is_futures:
            sequence = base.randrange(1_700_000_000_000, 1_748_000_000_000)
            trade_sequence = base.randrange(1_790_000_000_000, 1_798_000_000_000)
        else:
            sequence = base.randrange(14_000_000_000, 15_000_000_000)
            trade_sequence = base.randrange(11_000_000_000_000_000, 20_000_000_000_000_000)
        return MatchingBook(
            sequence,
            trade_sequence,
            order_text=self._order_text,
            trade_step=partial(_trade_step, rng.random),
            on_trade=self._on_trade,
        )

    def _open_book(self) -> None:
        book = self._book
        first_sequence = book.sequence
        book.set_time(self._start_ms)
        self._flow.open(self._start_ms)
        book.events = []
        book.sequence = first_sequence + 1
        self._next_ms = self._start_ms + self._flow.delay_ms(self._start_ms, self._activity)

    def _drain(self) -> list[Event]:
        events = self._book.events
        if not events:
            return []
        self._book.events = []
        if self._phantom is not None and any(
            isinstance(event, BookChange)
            and event.side == "buy"
            and event.price_ticks == self._phantom[0]
            for event in events
        ):
            self._phantom = None
        return events

    def _on_trade(self, trade: Trade) -> None:
        self.trades.append(trade)
        self.last_trade = trade
        if self._owned and not self.resting(trade.maker_order_id):
            self._owned.pop(trade.maker_order_id, None)
        notional = self._notional(trade.price_ticks, trade.size)
        self._candles.add(trade.time_ns // MS_NS, trade.price_ticks, trade.size, notional)

    def _is_out_of_band(self, own: BookSide, key: int) -> bool:
        fair = self._fair_ticks(self.now_ns // MS_NS)
        return key > fair * (own.sign + _PRICE_BAND)

    def _market_key(self, own: BookSide, other: BookSide) -> int:
        if not other.keys:
            return own.keys[-1] if own.keys else own.sign
        best = -other.keys[-1]
        return best + int(abs(best) * _MARKET_REACH)

    def _look(self, marks: FundingClock, now_ms: int) -> None:
        book = self._book
        mid = self.price(book.bids.keys[-1] - book.asks.keys[-1]) / 2
        last = mid if self.last_trade is None else self.price(self.last_trade.price_ticks)
        while marks.next_ms <= now_ms:
            marks.look(mid, last)

    def _funding_clock(self) -> FundingClock:
        if self._marks is None:
            raise InvalidInput(f"{self.listing.symbol} is a spot market: it has no funding")
        return self._marks

    def _fair_ticks(self, now_ms: int) -> float:
        second, rest = divmod(now_ms, _SECOND_MS)
        if second != self._second:
            start = self._fair_price(second * _SECOND_MS)
            end = self._fair_price((second + 1) * _SECOND_MS)
            ticks = self._scale / self._tick_units
            self._second = second
            self._fair_from = start * ticks
            self._fair_step = (end - start) * ticks / _SECOND_MS
            low, high = _ACTIVITY_RANGE
            activity = self._value.activity(second * _SECOND_MS * MS_NS)
            self._activity = max(low, min(high, activity))
        return self._fair_from + self._fair_step * rest

    def _fair_price(self, time_ms: int) -> float:
        return self._plain_index(time_ms) * (1.0 + self._basis_at_ms(time_ms))

    def _plain_index(self, time_ms: int) -> float:
        value = self._value.at(time_ms * MS_NS)
        return value if self._quote_value is None else value / self._quote_value.at(time_ms * MS_NS)

    def _index_at_ms(self, time_ms: int) -> float:
        second_ms = time_ms - time_ms % _SECOND_MS
        noise = self._index_noise.at(second_ms / _MINUTE_MS)
        return self._plain_index(second_ms) * (1.0 + _INDEX_NOISE * noise)

    def _basis_at_ms(self, time_ms: int) -> float:
        listing = self.listing
        return listing.basis + listing.basis_noise * self._basis.at(time_ms / _MINUTE_MS)

    def _history_day(self, day: int) -> list[CandleRow]:
        # Every list of contracts asks for the last two days of all, in every exchange of the seed.
        key = self._name, self.listing, self._start_ms, day
        return cached(_DAYS, key, lambda _: self._build_history_day(day), capacity=_DAYS_KEPT)

    def _build_history_day(self, day: int) -> list[CandleRow]:
        # One-minute rows of a day before the start; the minute of the start is cut short.
        prices = self._day_prices(day)
        rng = Random(f"{self._name}:history:{day}")
        listing = self.listing
        wicks = self._value.minute_volatility * 0.5 * self._scale / self._tick_units
        per_minute = listing.flow.actions_per_second * listing.flow.trade_share * 60
        rows = []
        for minute in range(0, MINUTES_PER_DAY, _QUIET_STEP if listing.is_quiet else 1):
            draws = (rng.random(), rng.random(), rng.random(), rng.random())
            opened_ms = (day * MINUTES_PER_DAY + minute) * _MINUTE_MS
            share = min(1.0, (self._start_ms - opened_ms) / _MINUTE_MS)
            if share <= 0:
                break
            start, end = prices[minute], prices[minute + 1]
            if share < 1:
                end = self._fair_price(self._start_ms)
            move = abs(end / start - 1.0) / self._value.minute_volatility
            liveliness = share * (0.45 + 0.6 * min(4.0, move))
            if draws[3] < exp(-per_minute * liveliness):
                continue
            reach = start * wicks * (0.4 + 0.6 * min(4.0, move))
            rows.append(self._history_row(opened_ms, start, end, liveliness, reach, draws))
        return rows

    def _history_row(
        self,
        opened_ms: int,
        start: float,
        end: float,
        liveliness: float,
        reach: float,
        draws: tuple[float, float, float, float],
    ) -> CandleRow:
        ticks = self._scale / self._tick_units
        opened, close = round(start * ticks), round(end * ticks)
        high = max(opened, close) + int(reach * draws[0] * draws[0])
        low = max(1, min(opened, close) - int(reach * draws[1] * draws[1]))
        mean = liveliness * self.listing.volume_per_minute
        volume = max(1, int(mean * (0.35 + 0.35 / (1.03 - draws[2]) ** 0.6)))
        middle = (opened + high + low + close) // 4
        return CandleRow(
            opened_ms, opened, high, low, close, volume, self._notional(middle, volume)
        )

    def _day_prices(self, day: int) -> list[float]:
        values = self._value.minutes(day)
        if self._quote_value is not None:
            quotes = self._quote_value.minutes(day)
            values = [value / quote for value, quote in zip(values, quotes, strict=True)]
        basis, noise = self.listing.basis, self.listing.basis_noise
        shifts = self._basis.day(day)
        return [
            value * (1.0 + basis + noise * shift)
            for value, shift in zip(values, shifts, strict=True)
        ]

    def _candle(self, row: CandleRow) -> Candle:
        price = self.price
        opened_ms, opened, high, low, close, volume, notional = row
        turnover = self._turnover(notional)
        return Candle(
            opened_ms, price(opened), price(high), price(low), price(close), volume, turnover
        )

    def _notional(self, ticks: int, size: int) -> int:
        if self.listing.is_inverse:
            return size * _INVERSE_SCALE // ticks
        return size * ticks

    def _turnover(self, notional: int) -> float:
        # One division of integers, so that equal sums give equal floats that print briefly.
        numerator, denominator = self._turnover_ratio
        return round(notional * numerator / denominator, 10)


def _trade_step(random: Callable[[], float]) -> int:
    return 1 + int(random() ** 2 * _LONGEST_TRADE_STEP)
