import json

import pytest

from kucoin_research.errors import InvalidInput, UnknownSymbol
from tests.unit.sim.client import open_exchange
from tests.unit.sim.signed import MarketFloor


def test_trader_arguments_are_checked():
    with open_exchange() as exchange:
        with pytest.raises(InvalidInput, match="above 0"):
            exchange.start_trader(orders_per_minute=0)
        with pytest.raises(UnknownSymbol):
            exchange.start_trader("NOPE")
        exchange.start_trader("XBTUSDTM")
        exchange.stop_traders()


def test_same_seed_gives_the_trader_the_same_orders():
    fills = []
    for _ in range(2):
        floor = MarketFloor("XBTUSDTM", "ETH-BTC")
        for symbol in ("XBTUSDTM", "ETH-BTC"):
            floor.order_entry.start_trader(floor.me, symbol, 300.0, 7)
        floor.run(30)
        fills.append(json.dumps([*floor.me.fills], default=str))

    assert fills[0] == fills[1]
    assert len(floor.me.fills) > 50
