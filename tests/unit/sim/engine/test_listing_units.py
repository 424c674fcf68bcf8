import pytest

from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.market import Market

START = 1_767_571_200 * 10**9  # 2026-01-05, a Monday


def market(symbol):
    return Market(LISTINGS[symbol], 7, START)


@pytest.mark.parametrize(
    ("symbol", "ticks", "text"),
    [
        ("XBTUSDTM", 862_000, "86200"),
        ("XBTUSDTM", 862_001, "86200.1"),
        ("DOGEUSDTM", 7, "0.00007"),
        ("DOGEUSDTM", 21_000, "0.21"),
        ("ETH-BTC", 3_190, "0.0319"),
    ],
)
def test_prices_print_without_trailing_zeros(symbol, ticks, text):
    a_market = market(symbol)

    assert a_market.price_text(ticks) == text
    assert a_market.price(ticks) == float(text)


def test_sizes_are_lots_on_futures_and_coins_on_spot():
    futures, spot = market("XBTUSDTM"), market("BTC-USDT")

    assert (futures.size_text(12), futures.size_number(12)) == ("12", 12)
    assert isinstance(futures.size_number(12), int)
    assert (spot.size_text(2_500), spot.size_number(2_500)) == ("0.000025", 0.000025)
    assert spot.size_text(0) == "0"
