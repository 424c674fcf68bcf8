from collections import Counter

from kucoin_research.sim.engine import candle_history
from kucoin_research.sim.engine.candle_history import CandleHistory
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.market import Market

MINUTE = 60 * 10**9
START = 1_767_571_200 * 10**9  # 2026-01-05, a Monday


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
