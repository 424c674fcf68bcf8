import pytest

from kucoin_research.sim import OrderRefused
from tests.unit.sim.signed import MarketFloor

REFUSED = [
    ("XBTUSDTM", "buy", {"size": "1.5"}, "400100"),
    ("XBTUSDTM", "hold", {"size": 1}, "400100"),
    ("XBTUSDTM", "buy", {}, "400100"),
    ("XBTUSDTM", "buy", {"size": 1, "price": "80000.05"}, "400100"),
    ("XBTUSDTM", "buy", {"size": 1, "stop": "loss", "stop_price": 1}, "400100"),
    ("XBTUSDTM", "buy", {"size": 1, "stop": "up"}, "400100"),
    ("XBTUSDTM", "buy", {"funds": 1}, "400100"),
    ("XBTUSDTM", "buy", {"size": 10**6}, "300003"),
    ("XBTUSDTM", "sell", {"size": 1, "reduce_only": True}, "300009"),
    ("BTC-USDT", "buy", {"size": 5}, "200004"),
    ("BTC-USDT", "sell", {"size": 5, "price": 80_000}, "200004"),
    ("BTC-USDT", "buy", {"funds": "0.0000001"}, "400100"),
]


@pytest.mark.parametrize(("symbol", "side", "order", "code"), REFUSED)
def test_order_that_cannot_be_is_refused_and_changes_nothing(symbol, side, order, code):
    floor = MarketFloor("XBTUSDTM", "BTC-USDT")
    sequence = floor.hub.caught_up(symbol).sequence

    with pytest.raises(OrderRefused) as refused:
        floor.account().place(symbol, side, **order)

    assert refused.value.code == code
    assert floor.hub.caught_up(symbol).sequence == sequence
    assert floor.me.orders == {}
