from collections import Counter
from itertools import pairwise
from statistics import fmean

from kucoin_research.sim.engine import candle_history
from kucoin_research.sim.engine.candle_history import CandleHistory
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.market import Market

SECOND = 10**9
MINUTE = 60 * SECOND
DAY = 1_440 * MINUTE
START = 1_767_571_200 * SECOND  # 2026-01-05, a Monday
MID_MINUTE = START + 37_123_456_789


def market(symbol="XBTUSDTM", seed=7, start=START):
    return Market(LISTINGS[symbol], seed, start)


def test_history_is_built_once_for_all_markets_of_a_seed_and_start(monkeypatch):
    monkeypatch.setattr(candle_history, "_DAYS", {})
    built = []
    build = CandleHistory._build_day

    def noted(history, day):
        built.append((history.listing.symbol, day))
        return build(history, day)

    monkeypatch.setattr(CandleHistory, "_build_day", noted)
    days = [
        Market(LISTINGS[symbol], seed, start).stats_24h(start)
        for symbol, seed, start in [
            ("KCSUSDTM", 7, START), ("KCSUSDTM", 7, START), ("KCSUSDTM", 8, START),
            ("KCSUSDTM", 7, START + MINUTE), ("KCS-USDT", 7, START),
        ]
    ]  # fmt: skip

    assert days[0] == days[1]
    assert len(set(days)) == 4
    assert Counter(symbol for symbol, _ in built) == {"KCSUSDTM": 6, "KCS-USDT": 2}
    assert len(built) == len(candle_history._DAYS) == 8


def test_history_reaches_back_and_joins_the_live_price_without_a_jump():
    a_market = market(start=MID_MINUTE)
    a_market.advance(MID_MINUTE + 10 * MINUTE)
    now = a_market.now_ns // 10**6

    minutes = a_market.candles(60_000, now - 35 * DAY // 10**6, now)

    assert len(minutes) > 35 * 1_400
    jumps = [abs(right.open / left.close - 1) for left, right in pairwise(minutes)]
    assert max(jumps) < 0.001
    assert all(c.low <= min(c.open, c.close) <= max(c.open, c.close) <= c.high for c in minutes)


def test_history_and_live_trading_have_volumes_of_one_size():
    history, live = market(start=START + DAY), market()
    live.advance(START + 30 * MINUTE)
    first, last = START // 10**6, START // 10**6 + 30 * 60_000 - 1

    volumes = [
        fmean(candle.volume_units for candle in a_market.candles(60_000, first, last))
        for a_market in (history, live)
    ]

    assert 0.2 < volumes[0] / volumes[1] < 5


def test_thin_history_has_minutes_without_trades():
    a_market = market("ETH-BTC")
    first = (START - DAY) // 10**6

    minutes = a_market.candles(60_000, first, START // 10**6 - 1)

    assert 700 < len(minutes) < 1_440
