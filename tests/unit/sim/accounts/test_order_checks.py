import math
from decimal import Decimal

import pytest

from kucoin_research.sim import OrderRefused
from kucoin_research.sim.messages.instrument_rows import contract_row
from tests.unit.sim.signed import MarketFloor

REFUSED = [
    ("XBTUSDTM", "buy", {"size": "1.5"}, "100001"),
    ("XBTUSDTM", "hold", {"size": 1}, "100001"),
    ("XBTUSDTM", "buy", {}, "100001"),
    ("XBTUSDTM", "buy", {"size": 1, "price": "80000.05"}, "100001"),
    ("XBTUSDTM", "buy", {"size": 1, "stop": "loss", "stop_price": 1}, "100001"),
    ("XBTUSDTM", "buy", {"size": 1, "stop": "up"}, "100001"),
    ("XBTUSDTM", "buy", {"funds": 1}, "100001"),
    ("XBTUSDTM", "buy", {"size": 10**6}, "300003"),
    ("XBTUSDTM", "sell", {"size": 1, "reduce_only": True}, "300009"),
    ("BTC-USDT", "buy", {"size": "0.000000001"}, "400100"),
    ("BTC-USDT", "buy", {"size": "0.001", "price": "80000.05"}, "400100"),
    ("BTC-USDT", "buy", {"size": 5}, "200004"),
    ("BTC-USDT", "sell", {"size": 5, "price": 80_000}, "200004"),
    ("BTC-USDT", "buy", {"funds": "0.0000001"}, "400100"),
    ("XBTUSDTM", "buy", {"size": 1, "price": 200_000}, "300011"),
    ("XBTUSDTM", "sell", {"size": 1, "price": 20_000}, "300012"),
    ("BTC-USDT", "buy", {"size": "0.001", "price": 200_000}, "400370"),
    ("BTC-USDT", "sell", {"size": "0.001", "price": 20_000}, "400370"),
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


def test_the_price_band_of_futures_is_the_one_of_the_contracts_row():
    floor = MarketFloor("XBTUSDTM")
    engine = floor.hub.caught_up("XBTUSDTM")
    row = contract_row(engine.listing, engine, engine.now_ns)
    highest, lowest = math.floor(row["buyLimit"] * 10) / 10, math.ceil(row["sellLimit"] * 10) / 10
    me = floor.account()

    me.place("XBTUSDTM", "buy", 1, price=highest)
    me.place("XBTUSDTM", "sell", 1, price=lowest)
    for side, price, code in (("buy", highest + 0.1, "300011"), ("sell", lowest - 0.1, "300012")):
        with pytest.raises(OrderRefused, match="Order price cannot be") as refused:
            me.place("XBTUSDTM", side, 1, price=round(price, 1))
        assert refused.value.code == code


def test_the_price_band_of_spot_lies_around_the_best_price():
    floor = MarketFloor("BTC-USDT")
    engine = floor.hub.caught_up("BTC-USDT")
    highest = Decimal(engine.price_text(engine.best_ask)) * Decimal("1.1")

    with pytest.raises(OrderRefused, match=r"Max\. price: "):
        floor.account().place("BTC-USDT", "buy", "0.0001", price=math.ceil(highest) + 1)
    floor.account().place("BTC-USDT", "buy", "0.0001", price=math.floor(highest))


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
def test_a_price_far_on_the_own_side_rests(symbol):
    floor = MarketFloor(symbol)

    floor.account().place(symbol, "buy", 1 if symbol == "XBTUSDTM" else "0.0001", price=10_000)
    floor.account().place(symbol, "sell", 1 if symbol == "XBTUSDTM" else "0.0001", price=300_000)

    assert len(floor.me.orders) == 2
