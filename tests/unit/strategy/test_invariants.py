"""What holds for every order and fill, whatever is recorded and whatever a strategy does."""

from fractions import Fraction

import pytest

from kucoin_research.model.records import Candle, Depth50, MarkPrice, Status
from kucoin_research.strategy.fixed_point import ONE
from tests.unit.strategy.displayed import OTHER, Displayed, exact
from tests.unit.strategy.random_tapes import (
    INSTRUMENTS,
    MILLI,
    SECOND,
    START,
    RandomTrader,
    acting,
    by_hand,
    draw_case,
    play,
    printed,
    quote,
)

CASES = range(20)
CANCELLED_SHORT = ("depth exhausted", "IOC:", "FOK: 0", "FOK:")


def played(seed, watch=None, prepare=None, **fixed):
    recorded, options = draw_case(seed, **fixed)
    trader = RandomTrader(seed, recorded.symbols)
    return recorded, options, play(trader, recorded, watch, prepare, **options)


# -- orders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", CASES)
def test_no_fill_breaks_its_order(seed):
    recorded, options, run = played(seed)
    entry = options["latency"]
    entry = 0 if entry == "recorded" else entry[0] if isinstance(entry, tuple) else entry
    filled, position = {}, {"BTC-USDT": exact(options["cash"].get("BTC", 0.0))}
    for fill in run.fills:
        size = exact(fill.size) if fill.side == "buy" else -exact(fill.size)
        before = position.get(fill.symbol, Fraction(0))
        after = position[fill.symbol] = before + size
        if fill.liquidity == "liquidation":
            assert after == 0
            continue
        order = run.orders[fill.order_id]
        filled[order.order_id] = filled.get(order.order_id, 0) + exact(fill.size)
        assert filled[order.order_id] <= exact(order.size)
        assert fill.side == order.side
        assert fill.timestamp >= order.submitted + round(entry * 1e9)
        assert order.ended is None or fill.timestamp <= order.ended
        if order.limit is not None:
            is_worse = fill.price > order.limit if fill.side == "buy" else fill.price < order.limit
            assert not is_worse
            is_candle = "candle" in recorded.channels[fill.symbol]
            assert is_candle or fill.liquidity == "taker" or fill.price == order.limit
        assert not (order.post_only and fill.liquidity == "taker")
        if order.type == "market" or order.time_in_force in ("IOC", "FOK"):
            assert fill.liquidity == "taker"
        if order.reduce_only:
            assert before * size < 0
            assert abs(after) < abs(before)
            assert before * after >= 0
        assert not any(begin <= fill.timestamp <= end for begin, end in recorded.gaps[fill.symbol])
    for order in run.orders.values():
        assert exact(order.filled) == filled.get(order.order_id, 0)
        assert (order.status == "filled") == (order.filled == order.size)
        if order.time_in_force == "FOK":
            assert order.filled in (0.0, order.size)
        if order.status in ("rejected", "pending"):
            assert not order.filled


@pytest.mark.parametrize("seed", CASES)
def test_fills_take_no_more_than_was_recorded_and_no_worse_than_there_was(seed):
    recorded, options, run = played(seed)
    views = {symbol: Displayed(symbol, names) for symbol, names in recorded.channels.items()}
    only_best = options["liquidity"] == "best"

    for _, _, event in events(recorded, run):
        event(views, only_best)


def events(recorded, run):
    """Put records, fills and the ends of orders into one order of time."""
    fills = [each for each in run.fills if each.liquidity != "liquidation"]
    cancelled = [each for each in run.orders.values() if each.status == "cancelled"]
    found = [(each.local_timestamp, 0, taking(each)) for each in recorded.records]
    found += [(booked_at(each, recorded, run), 1, booking(each)) for each in fills]
    found += [(each.ended, 2, ending(each)) for each in cancelled if each.ended is not None]
    return sorted(found, key=lambda each: each[:2])


def booked_at(fill, recorded, run):
    """Find when a fill became known: one at a candle's open is stamped so, and known at its close.

    Within a candle the time is not known, so such fills have the time of the close.
    """
    order = run.orders.get(fill.order_id)
    is_open = fill.liquidity == "taker" and order is not None
    if not is_open or (order.stop is not None and order.stop_price_type == "TP"):
        return fill.timestamp
    closes = [
        each.local_timestamp
        for each in recorded.records
        if isinstance(each, Candle)
        and each.symbol == fill.symbol
        and each.timestamp <= fill.timestamp < each.local_timestamp
        and set(recorded.channels[fill.symbol]).isdisjoint(
            {"ticker", "bbo", "level2", "depth5", "depth50", "trade"}
        )
    ]
    return min(closes, default=fill.timestamp)


def taking(record):
    def take(views, only_best):
        for view in views.values():
            view.take(record)

    return take


def booking(fill):
    def book(views, only_best):
        view = views[fill.symbol]
        if view.kind != "quotes":
            view.book_alone(fill)
        elif fill.liquidity == "taker":
            view.book_taker(fill, only_best=only_best)
        else:
            view.book_maker(fill, only_best=only_best)

    return book


def ending(order):
    """Check that an order which ended for want of liquidity left none that it could have had."""

    def end(views, only_best):
        view = views[order.symbol]
        is_short = order.reason.startswith(CANCELLED_SHORT)
        if (
            view.kind != "quotes"
            or not is_short
            or not (view.has_trades or "ticker" not in view.sources)
        ):
            return
        free = view.free(OTHER[order.side], limit=order.limit, only_best=only_best)
        left = sum((size for price, size in free if in_band(order, view, price)), Fraction(0))
        if order.reason == "FOK: it cannot be filled as a whole":
            assert left < exact(order.size)
        else:
            assert left == 0

    return end


def in_band(order, view, price):
    rate = INSTRUMENTS[order.symbol].price_limit_rate
    if rate is None or order.limit is not None:
        return True
    mark = view.mark or (view.levels("buy")[0][0] + view.levels("sell")[0][0]) / 2
    bound = mark * (1 + rate) if order.side == "buy" else mark * (1 - rate)
    return price <= bound if order.side == "buy" else price >= bound


# -- the account -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", CASES)
def test_opening_leaves_no_less_than_nothing_available(seed):
    checked = []

    def prepare(run):
        account, fill = run._account, run._account.fill

        def watched(symbol, signed, price, *, is_taker):
            before = account.holdings[symbol].size
            done = fill(symbol, signed, price, is_taker=is_taker)
            if before * signed >= 0:
                currency = account.holdings[symbol].contract.settle
                checked.append(account.available(currency))
            return done

        account.fill = watched

    poor = {"USDT": 60.0, "XBT": 0.002, "BTC": 0.001}
    played(seed, prepare=prepare, margin_mode="isolated", cash=poor)

    assert min(checked, default=0) >= 0


@pytest.mark.parametrize("seed", CASES)
def test_no_isolated_position_outlives_its_margin(seed):
    checked = []

    def watch(run, record):
        if isinstance(record, MarkPrice) and record.symbol in run.markets:
            held = run._account.holdings[record.symbol]
            if held.size:
                checked.append(record.symbol)
                assert not is_doomed(held, record.mark_price, run.options)

    recorded, _, _ = played(
        seed, watch, margin_mode="isolated", margin_rules="2025-05", leverage=20
    )

    assert checked or list(recorded.channels) == ["BTC-USDT"]


def is_doomed(held, mark, options):
    """Work out in fractions whether the margin is below what must be kept."""
    facts = held.contract.instrument
    size, multiplier = Fraction(held.size, ONE), abs(exact(facts.contract_multiplier))
    price = exact(mark)
    worth = size * multiplier / price if facts.is_inverse else size * multiplier * price
    gained = (-worth if facts.is_inverse else worth) - Fraction(held.cost, ONE)
    rate = exact(facts.maintenance_margin)
    if facts.risk_tiers:
        fits = [each for each in facts.risk_tiers if abs(worth) <= exact(each.max_notional)]
        rate = exact((fits or facts.risk_tiers[-1:])[0].maintenance_margin)
    fee = exact(options.fees["*"].taker if options.fees else facts.taker_fee)
    rounding = Fraction(3, ONE)
    return Fraction(held.margin, ONE) + gained + rounding < abs(worth) * (rate + fee)


# -- cases that failed once ------------------------------------------------------------------------


def minutes(symbol, *, volume=50.0, low=99.0, shift=0.0):
    """Make three candles."""
    prices = [each + shift for each in (100.0, 101.0, low, 100.0)]
    opens = [START + number * 60 * SECOND for number in range(3)]
    return [
        Candle(each, each + 60 * SECOND, symbol, "1min", *prices, volume, None) for each in opens
    ]


def hand(strategy, *records, **options):
    """Play a recording made by hand; return what was filled, as pairs of size and price."""
    run = play(strategy, by_hand(*records), latency=0.0, **options)
    return [(fill.size, fill.price) for fill in run.fills]


def buying(size, **options):
    return lambda broker: broker.buy(size, **options)


def test_a_level_is_whole_again_once_it_changes():
    fills = hand(
        acting({0: buying(5), 2: buying(5)}),
        quote(0, 100.0, 5, 101.0, 5), quote(10, 100.0, 5, 101.0, 7), quote(20, 100.0, 5, 101.0, 5),
    )  # fmt: skip

    assert fills == [(5.0, 101.0), (5.0, 101.0)]


def test_an_emptied_level_stays_empty_while_it_is_displayed_unchanged():
    fills = hand(
        acting({0: buying(5), 1: buying(5)}),
        quote(0, 100.0, 5, 101.0, 5), quote(10, 99.0, 5, 101.0, 5),
    )  # fmt: skip

    assert fills == [(5.0, 101.0)]


def test_a_print_without_quotes_is_had_once():
    def both(broker):
        broker.buy(8, limit=101.0, time_in_force="IOC")
        broker.buy(3)
        broker.sell(4)

    fills = hand(
        acting({0: both}),
        printed(0, "buy", 100.0, 5), printed(10, "buy", 100.0, 10), printed(20, "buy", 100.0, 3),
    )  # fmt: skip

    assert fills == [(8.0, 100.0), (2.0, 100.0), (1.0, 100.0), (2.0, 100.0)]


def test_a_print_without_a_side_fills_both_sides_from_one_size():
    def both(broker):
        broker.buy(5, limit=100.0)
        broker.sell(5, limit=100.1)

    fills = hand(
        acting({0: both, 1: lambda broker: broker.buy(5, limit=100.6, post_only=True)}),
        quote(0, 99.0, 5, 102.0, 5), quote(10, 99.0, 5, 102.0, 5), printed(20, None, 100.5, 6),
    )  # fmt: skip

    assert sum(size for size, _ in fills) == 6.0


def test_a_reduce_only_order_leaves_the_rest_of_a_print_to_the_next():
    def rest(broker):
        broker.sell(5, limit=103.0, reduce_only=True)
        broker.sell(10, limit=104.0)

    fills = hand(
        acting({0: buying(5), 1: rest, 2: lambda broker: broker.sell(3)}),
        *(quote(at, 100.0, 5, 101.0, 5) for at in (0, 10, 20)),
        printed(30, "buy", 105.0, 9),
    )

    assert fills == [(5.0, 101.0), (3.0, 100.0), (2.0, 103.0), (7.0, 104.0)]


def test_a_stop_has_no_part_of_the_print_that_reaches_it():
    stop = acting({1: buying(5, limit=106.0, stop=105.0)})
    prints = [printed(0, "buy", 100.0, 5), printed(10, "buy", 100.0, 5)]

    assert hand(stop, *prints, printed(20, "buy", 105.0, 9)) == []

    quotes = [quote(0, 99.0, 5, 107.0, 5), printed(10, "buy", 100.0, 5)]
    assert hand(acting({1: buying(5, limit=106.0, stop=105.0)}), *quotes,
                printed(20, "sell", 105.0, 9)) == []  # fmt: skip


def test_fill_or_kill_does_not_run_out_of_money_half_way():
    def book(at_ms):
        when = START + at_ms * MILLI
        levels = ((100.0,), (9.0,), (500.0, 1_000.0), (1.0, 1.0))
        return Depth50(when, when, "BTC-USDT", None, *levels)

    buy = acting({0: buying(2, time_in_force="FOK")})

    assert hand(buy, book(0), book(10), cash=1_100.0) == []
    assert hand(acting({0: buying(2, time_in_force="FOK")}), book(0), book(10), cash=1_600.0)


def test_fill_or_kill_takes_no_part_of_a_print_or_a_candle():
    buy = buying(3, symbol="BTC-USDT", time_in_force="FOK", limit=101.0)
    prints = [printed(at, "buy", 100.0, size, "BTC-USDT") for at, size in ((0, 5), (10, 2))]

    assert hand(acting({0: buy}), *prints) == []
    assert hand(acting({0: buy}), *minutes("BTC-USDT", volume=2)) == []


def test_an_order_that_must_not_rest_meets_the_open_of_a_candle_alone():
    fills = hand(
        acting({0: buying(1, limit=99.0, time_in_force="IOC")}), *minutes("XBTUSDTM", low=95.0)
    )

    assert fills == []


def test_post_only_does_not_take_the_open_of_a_candle():
    assert hand(acting({0: buying(1, limit=101.0, post_only=True)}), *minutes("XBTUSDTM")) == []


def test_what_a_candle_left_over_is_filled_at_a_price_of_the_next():
    candles = [*minutes("XBTUSDTM", volume=2)[:2], *minutes("XBTUSDTM", shift=-20.0)[2:]]

    fills = hand(acting({0: buying(3, limit=101.0)}), *candles)

    assert fills == [(2.0, 100.0), (1.0, 81.0)]


def test_a_stop_reached_behind_a_lost_connection_waits_for_quotes():
    lost = Status(None, START + 10 * MILLI, None, "disconnected", None, None, None, None)

    fills = hand(
        acting({0: buying(2, stop=105.0)}),
        quote(0, 100.0, 5, 101.0, 5),
        lost,
        printed(20, "buy", 106.0, 5),
        quote(30, 109.0, 5, 110.0, 5),
    )

    assert fills == [(2.0, 110.0)]
