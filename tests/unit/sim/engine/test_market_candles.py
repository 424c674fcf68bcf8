from collections import defaultdict
from functools import cache
from itertools import groupby

import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.engine.candles import INTERVALS, candle_open
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.market import Market, Trade

SECOND = 10**9
MINUTE = 60 * SECOND
DAY = 1_440 * MINUTE
START = 1_767_571_200 * SECOND  # 2026-01-05, a Monday
MID_MINUTE = START + 37_123_456_789


def market(symbol="XBTUSDTM", seed=7, start=START):
    return Market(LISTINGS[symbol], seed, start)


def brute_force(a_market, trades, interval_ms):
    candles = defaultdict(list)
    for trade in trades:
        candles[candle_open(interval_ms, trade.time_ns // 10**6)].append(trade)
    return [
        (
            opened,
            a_market.price(group[0].price_ticks),
            a_market.price(max(trade.price_ticks for trade in group)),
            a_market.price(min(trade.price_ticks for trade in group)),
            a_market.price(group[-1].price_ticks),
            sum(trade.size for trade in group),
        )
        for opened, group in sorted(candles.items())
    ]


def turnover_of(a_market, trades):
    listing = a_market.listing
    if listing.is_inverse:
        return sum(trade.size / a_market.price(trade.price_ticks) for trade in trades)
    sizes = [a_market.size_number(trade.size) * listing.multiplier for trade in trades]
    prices = [a_market.price(trade.price_ticks) for trade in trades]
    return sum(price * size for price, size in zip(prices, sizes, strict=True))


@cache
def traded(symbol):
    """Give a market that has traded for a while, and all its trades; to be read only."""
    a_market = market(symbol)
    events = a_market.advance(START + 35 * MINUTE)
    return a_market, [event for event in events if isinstance(event, Trade)]


@pytest.mark.parametrize("symbol", ["XBTUSDM", "KCS-USDT", "ETHUSDTM"])
@pytest.mark.parametrize("interval", ["1min", "3min", "15min", "1hour"])
def test_candles_equal_brute_force_over_all_trades(symbol, interval):
    a_market, trades = traded(symbol)
    interval_ms = INTERVALS[interval]

    candles = a_market.candles(interval_ms, START // 10**6, START // 10**6 + 3_600_000)

    assert [candle[:6] for candle in candles] == brute_force(a_market, trades, interval_ms)
    assert sum(c.turnover for c in candles) == pytest.approx(turnover_of(a_market, trades), 1e-6)


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "ETH-BTC"])
@pytest.mark.parametrize("interval", ["5min", "30min", "4hour", "1day", "1week"])
def test_longer_candles_equal_their_minutes_across_the_start(symbol, interval):
    a_market = market(symbol, start=MID_MINUTE + 5 * 3_600 * SECOND)
    a_market.advance(a_market.now_ns + 7 * MINUTE)
    interval_ms = INTERVALS[interval]
    first = candle_open(interval_ms, START // 10**6 - 1)
    now = a_market.now_ns // 10**6

    minutes = a_market.candles(60_000, first, now)
    longer = a_market.candles(interval_ms, first, now)

    groups = groupby(minutes, key=lambda candle: candle_open(interval_ms, candle.open_ms))
    for candle, (opened, group) in zip(longer, groups, strict=True):
        parts = list(group)
        assert candle.open_ms == opened
        assert candle.open == parts[0].open
        assert candle.high == max(part.high for part in parts)
        assert candle.low == min(part.low for part in parts)
        assert candle.close == parts[-1].close
        assert candle.volume_units == sum(part.volume_units for part in parts)
        assert candle.turnover == pytest.approx(sum(part.turnover for part in parts))


def test_running_candle_equals_the_listed_one_at_every_moment():
    a_market = market("SOLUSDTM", start=MID_MINUTE)

    for step in range(1, 200):
        now = MID_MINUTE + step * 3 * SECOND
        a_market.advance(now)
        for interval in ("1min", "5min", "1hour", "1day", "1month"):
            opened = candle_open(INTERVALS[interval], now // 10**6)
            listed = a_market.candles(INTERVALS[interval], opened, opened)
            running = a_market.candle(INTERVALS[interval], opened)
            assert [running] == (listed or [None])


def test_unknown_interval_is_refused():
    with pytest.raises(InvalidInput, match="interval"):
        market("ETH-BTC").candles(61_000, 0, START // 10**6)


def test_stats_24h_equal_the_minutes_of_the_day():
    a_market = market("KCSUSDTM", start=MID_MINUTE)
    now = MID_MINUTE + 90 * MINUTE
    a_market.advance(now)

    stats = a_market.stats_24h(now)

    minute = now // MINUTE * 60_000
    day = a_market.candles(60_000, minute + 60_000 - 86_400_000, minute)
    assert stats.open == day[0].open
    assert stats.high == max(candle.high for candle in day)
    assert stats.low == min(candle.low for candle in day)
    assert stats.last == a_market.price(a_market.last_trade.price_ticks)
    assert stats.volume == pytest.approx(sum(candle.volume_units for candle in day) * 0.1)
    assert stats.turnover == pytest.approx(sum(candle.turnover for candle in day))
    assert stats.change == pytest.approx(stats.last - stats.open)
