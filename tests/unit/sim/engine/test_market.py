import hashlib
from collections import Counter
from dataclasses import replace
from itertools import groupby, pairwise
from statistics import fmean

import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.fundamental_value import PriceModel
from kucoin_research.sim.engine.market import BookChange, Market, Trade
from kucoin_research.sim.engine.matching import MOST_BOOKS

SECOND = 10**9
MINUTE = 60 * SECOND
DAY = 1_440 * MINUTE
START = 1_767_571_200 * SECOND  # 2026-01-05, a Monday
MID_MINUTE = START + 37_123_456_789


def market(symbol="XBTUSDTM", seed=7, start=START):
    return Market(LISTINGS[symbol], seed, start)


def digest(events):
    return hashlib.sha256(repr(events).encode()).hexdigest()


def book_of(a_market):
    return {side: dict(a_market.levels(side)) for side in ("buy", "sell")}


def apply(book, change):
    levels = book[change.side]
    if change.size:
        levels[change.price_ticks] = change.size
    else:
        del levels[change.price_ticks]


@pytest.fixture(scope="module")
def busy():
    """Fifteen minutes of the busiest market: snapshot at the start, events, market at the end."""
    a_market = market()
    snapshot, sequence = book_of(a_market), a_market.sequence
    events = a_market.advance(START + 15 * MINUTE)
    return snapshot, sequence, events, a_market


# --- determinism ---


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "KCS-USDT"])
def test_steps_of_any_length_give_the_same_events(symbol):
    whole, stepped = market(symbol, start=MID_MINUTE), market(symbol, start=MID_MINUTE)
    steps = [1, 999_999, 10_000_000, 333_333_333, 7, SECOND, 2_500_000_001] * 12

    pieces, now = [], MID_MINUTE
    for step in steps:
        now += step
        pieces += stepped.advance(now)

    assert pieces == whole.advance(now)
    assert stepped.levels("buy") == whole.levels("buy")
    assert stepped.mark_price(now) == whole.mark_price(now)
    assert stepped.stats_24h(now) == whole.stats_24h(now)


def test_advance_returns_events_up_to_and_including_its_time():
    a_market = market()
    until = START

    for _ in range(300):
        since, until = until, until + 3_700_000
        assert all(
            since < event.time_ns + 10**6 <= until + 10**6 for event in a_market.advance(until)
        )


def test_same_seed_gives_same_bytes_and_another_seed_does_not():
    hashes = [digest(market(seed=seed).advance(START + 10 * SECOND)) for seed in (7, 7, 8)]

    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def test_events_are_the_same_on_every_machine_and_python():
    events = market("SOLUSDTM", seed=1).advance(START + 30 * SECOND)

    assert digest(events) == "8bc833736506978cf55d0ad1269f3068d78f4a49c8921d0118d6021ba1017184"


def test_a_time_that_has_passed_gives_no_events():
    a_market = market()
    a_market.advance(START + SECOND)

    assert a_market.advance(START) == []
    assert a_market.now_ns == START + SECOND


# --- events and book ---


def test_book_sequences_are_contiguous_and_times_never_fall(busy):
    _, sequence, events, a_market = busy

    sequences = [event.sequence for event in events if isinstance(event, BookChange)]

    assert sequences == list(range(sequence + 1, sequence + 1 + len(sequences)))
    assert sequences[-1] == a_market.sequence
    assert all(left.time_ns <= right.time_ns for left, right in pairwise(events))
    assert all(event.time_ns % 10**6 == 0 for event in events)


def test_snapshot_and_changes_rebuild_the_book(busy):
    snapshot, _, events, a_market = busy
    book = {side: dict(levels) for side, levels in snapshot.items()}
    changes = [event for event in events if isinstance(event, BookChange)]

    for change in changes:
        apply(book, change)

    assert len(changes) >= 50_000
    assert book == book_of(a_market)


def test_every_trade_is_at_the_best_price_and_shows_in_its_book_change(busy):
    snapshot, _, events, _ = busy
    book = {side: dict(levels) for side, levels in snapshot.items()}
    taken = Counter()

    for event in events:
        if isinstance(event, Trade):
            makers = book["sell"] if event.side == "buy" else book["buy"]
            best = min(makers) if event.side == "buy" else max(makers)
            assert event.price_ticks == best
            assert event.size > 0
            taken[event.book_sequence] += event.size
            continue
        if event.sequence in taken:
            before = book[event.side][event.price_ticks]
            assert before - event.size == taken[event.sequence]
        apply(book, event)


def test_book_is_never_crossed_nor_empty_and_sizes_are_positive():
    a_market = market("ETH-BTC")
    book = book_of(a_market)

    events = a_market.advance(START + 40 * MINUTE)

    for _, group in groupby(events, key=lambda event: event.time_ns):
        for change in group:
            if isinstance(change, BookChange):
                apply(book, change)
                assert change.size >= 0
        assert max(book["buy"]) < min(book["sell"])
        assert min(len(book["buy"]), len(book["sell"])) >= 10


def test_a_sweep_shares_time_and_taker_and_follows_the_price(busy):
    _, _, events, _ = busy
    trades = [event for event in events if isinstance(event, Trade)]

    sweeps = [list(group) for _, group in groupby(trades, key=lambda trade: trade.taker_order_id)]

    assert max(map(len, sweeps)) > 3
    for sweep in sweeps:
        assert len({trade.time_ns for trade in sweep}) == 1
        assert len({trade.side for trade in sweep}) == 1
        prices = [trade.price_ticks for trade in sweep]
        assert prices == sorted(prices, reverse=sweep[0].side == "sell")


def test_trade_sequences_grow_by_1_to_200(busy):
    _, _, events, a_market = busy
    trades = [event for event in events if isinstance(event, Trade)]

    steps = [right.sequence - left.sequence for left, right in pairwise(trades)]

    assert min(steps) >= 1
    assert max(steps) <= 200
    assert all(trade.trade_id == str(trade.sequence) for trade in trades)
    assert list(a_market.trades)[-100:] == trades[-100:]
    assert a_market.last_trade == trades[-1]


@pytest.mark.parametrize(
    ("symbol", "book_range", "trade_range", "order_digits"),
    [
        ("XBTUSDTM", (1.6e12, 1.8e12), (1.78e12, 1.8e12), "0123456789"),
        ("BTC-USDT", (1.3e10, 1.6e10), (1.1e16, 2.1e16), "0123456789abcdef"),
    ],
)
def test_ids_look_like_kucoins(symbol, book_range, trade_range, order_digits):
    a_market = market(symbol)
    trades = [event for event in a_market.advance(START + MINUTE) if isinstance(event, Trade)]

    assert book_range[0] < a_market.sequence < book_range[1]
    assert all(trade_range[0] < trade.sequence < trade_range[1] for trade in trades)
    for trade in trades:
        assert len(trade.maker_order_id) == (24 if "-" in symbol else 18)
        assert set(trade.maker_order_id) <= set(order_digits)


# --- believable ---


def test_busy_market_has_believable_rates_and_spread(busy):
    _, _, events, a_market = busy
    per_second = Counter(event.time_ns // SECOND for event in events)
    trades = sum(isinstance(event, Trade) for event in events)

    assert 60 < len(events) / 900 < 250
    assert 1 < trades / 900 < 15
    assert max(per_second.values()) > 2 * len(events) / 900
    assert len(a_market.levels("buy")) >= 500
    assert len(a_market.levels("sell", 50)) == 50


def test_spread_is_mostly_one_tick_and_mid_follows_the_fundamental_value():
    a_market = market(seed=3)
    spreads, premiums = Counter(), []

    for second in range(1, 301):
        now = START + second * SECOND
        a_market.advance(now)
        spreads[a_market.best_ask - a_market.best_bid] += 1
        mid = a_market.price(a_market.best_bid + a_market.best_ask) / 2
        premiums.append(mid / a_market.index_price(now) - 1)

    assert spreads[1] > 240
    assert max(spreads) < 200
    assert max(premiums) - min(premiums) < 0.0006
    assert abs(fmean(premiums)) < 0.002


def test_thin_market_has_wider_spread_and_fewer_events():
    a_market = market("KCS-USDT")
    spreads, count = [], 0

    for second in range(1, 3_601):
        count += len(a_market.advance(START + second * SECOND))
        spreads.append(a_market.best_ask - a_market.best_bid)

    assert 1 < count / 3_600 < 8
    assert 1.5 < fmean(spreads) < 8


def test_absolute_returns_of_the_mid_cluster():
    a_market = market("BTC-USDT", seed=5)
    mids = []
    for step in range(1, 361):
        a_market.advance(START + step * 5 * SECOND)
        mids.append(a_market.best_bid + a_market.best_ask)

    moves = [abs(right / left - 1) for left, right in pairwise(mids)]
    mean = fmean(moves)
    lags = [
        fmean((x - mean) * (y - mean) for x, y in zip(moves, moves[lag:], strict=False))
        for lag in range(1, 7)
    ]

    assert fmean(lags) > 0


def test_level_sizes_are_heavy_tailed(busy):
    sizes = sorted(size for side in ("buy", "sell") for _, size in busy[3].levels(side))

    assert sizes[-1] > 20 * sizes[len(sizes) // 2]
    assert sizes[len(sizes) // 10] * 3 < sizes[len(sizes) // 2]


def test_futures_and_spot_of_a_coin_agree():
    futures, spot = market("XBTUSDTM"), market("BTC-USDT")
    for a_market in (futures, spot):
        a_market.advance(START + MINUTE)

    prices = [a_market.price(a_market.best_bid) for a_market in (futures, spot)]

    assert prices[0] == pytest.approx(prices[1], rel=0.002)


# --- mark, funding ---


def test_mark_price_does_not_depend_on_when_it_is_asked():
    a_market = market("SOLUSDTM")
    asked = {}
    for step in range(1, 40):
        now = START + step * 500_000_000
        a_market.advance(now)
        asked[now] = a_market.mark_price(now)

    assert [a_market.mark_price(time) for time in asked] == list(asked.values())
    assert a_market.mark_price(START - DAY) == pytest.approx(
        a_market.index_price(START - DAY), rel=0.002
    )


def test_mark_lies_between_index_and_book(busy):
    a_market = busy[3]

    mark, index = (
        a_market.mark_price(a_market.now_ns),
        a_market.index_price(a_market.now_ns),
    )

    assert mark == pytest.approx(index, rel=0.002)
    assert mark == pytest.approx(a_market.price(a_market.best_bid), rel=0.002)


def test_funding_follows_the_premium():
    a_market = market("KCSUSDTM", start=START - 2 * MINUTE)
    a_market.advance(START + 4 * 60 * MINUTE + 30 * SECOND)
    settlement = START + 4 * 60 * MINUTE

    premiums = [a_market.premium(START + minute * MINUTE) for minute in range(240)]
    premium = fmean(premiums)
    expected = premium + max(-0.0005, min(0.0005, 0.00005 - premium))

    assert a_market.settled_funding(settlement) == round(expected, 6)
    assert a_market.funding_rate(settlement + 30 * SECOND) == a_market.settled_funding(settlement)
    assert a_market.funding_times(START, settlement) == [START, settlement]


def test_funding_rates_vary():
    a_market = market()

    rates = [
        a_market.settled_funding(time) for time in a_market.funding_times(START - 30 * DAY, START)
    ]

    assert len(rates) == 91
    assert len(set(rates)) > 10
    assert max(map(abs, rates)) < 0.003


def test_spot_has_no_funding():
    with pytest.raises(InvalidInput, match="spot"):
        market("KCS-USDT").funding_rate(START)


def test_orders_of_two_contracts_have_different_numbers():
    numbers = [
        {
            order_id
            for event in market(symbol).advance(START + 60 * SECOND)
            if isinstance(event, Trade)
            for order_id in (event.maker_order_id, event.taker_order_id)
        }
        for symbol in ("XBTUSDTM", "ETHUSDTM")
    ]

    books = [{int(order_id) % MOST_BOOKS for order_id in each} for each in numbers]
    assert min(len(each) for each in numbers) > 20
    assert books == [{LISTINGS[symbol].number} for symbol in ("XBTUSDTM", "ETHUSDTM")]


@pytest.mark.parametrize("symbol", LISTINGS)
def test_the_index_price_is_near_the_start_price_however_cheap_the_coin(symbol):
    found = market(symbol).index_price(START)

    assert found == pytest.approx(LISTINGS[symbol].start_price, rel=0.2)
    assert found != round(found, LISTINGS[symbol].price_decimals - 2)


@pytest.mark.parametrize("ticks", [1, 2, 8, 13])
def test_a_price_of_a_few_ticks_does_not_stop_the_market(ticks):
    # There are no bids below one tick: fewer than a side has at least elsewhere.
    model = PriceModel(ticks * 0.001, 1.0, 0.3)
    listing = replace(LISTINGS["KCSUSDTM"], price_model=model, basis=0.0)
    cheap = Market(listing, 5, START)

    cheap.advance(START + 10 * MINUTE)

    assert 1 <= cheap.best_bid < cheap.best_ask
    assert len(cheap.levels("buy")) <= cheap.best_bid


@pytest.mark.parametrize("symbol", ["KCSUSDTM", "KCS-USDT", "SHIB-USDT", "ETH-BTC"])
def test_a_slow_market_has_a_last_trade_from_the_start(symbol):
    slow = market(symbol)

    assert slow.last_trade.time_ns < START
    assert slow.price(slow.last_trade.price_ticks) == slow.stats_24h(START).last
    assert list(slow.trades) == [slow.last_trade]
