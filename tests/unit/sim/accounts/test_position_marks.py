from decimal import Decimal

import pytest

from kucoin_research.sim.accounts.ledger import Position
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.messages.instrument_rows import contract_row
from tests.unit.sim.signed import MarketFloor


def test_funding_moves_the_wallet_and_is_told():
    floor = MarketFloor("XBTUSDTM", start="2026-01-05T07:59:59Z")
    floor.listen("futures", "/contract/positionAll", "/contractAccount/wallet")
    me = floor.account()
    me.place("XBTUSDTM", "buy", 100)
    before = floor.me.futures["USDT"]
    floor.run(2)

    [row] = floor.data("position.settlement")
    paid = 100 * 0.001 * row["markPrice"] * row["fundingRate"]
    assert row["fundingFee"] == pytest.approx(-paid)
    assert floor.me.futures["USDT"] - before == Decimal(repr(row["fundingFee"]))
    assert row["fundingTime"] % (8 * 3_600_000) == 0


def test_position_that_is_broke_is_liquidated():
    floor = MarketFloor("KCSUSDTM")
    floor.listen("futures", "/contract/positionAll", "/contractMarket/tradeOrders")
    me = floor.account()
    me.set_leverage("KCSUSDTM", 20)
    me.place("KCSUSDTM", "buy", 2_000)
    lots = floor.me.positions["KCSUSDTM"].quantity
    floor.me.positions["KCSUSDTM"].cost *= Decimal("1.05")  # bought dearly
    floor.run(2)

    assert lots > 0
    assert floor.me.positions["KCSUSDTM"].quantity == 0
    assert floor.data("symbolOrderChange", tradeType="liquid")
    assert floor.data("position.change", changeReason="liquidation")


@pytest.mark.parametrize(("symbol", "coins"), [("XBTUSDTM", 12.102), ("XBTUSDM", 10.0)])
def test_maintenance_margin_is_that_of_the_contracts_row(symbol, coins):
    listing = LISTINGS[symbol]
    row = contract_row(listing, None, 0)
    position = Position(listing, quantity=12_102 if symbol == "XBTUSDTM" else 500_000)
    position.cost = Decimal("605100") if symbol == "XBTUSDTM" else Decimal("-10")

    isolated = position.maintenance_rate
    position.is_cross = True
    cross = position.maintenance_rate

    assert float(isolated) == row["maintainMargin"]
    expected = (1 + coins / row["m"]) / (2 * row["mmrLevConstant"])
    assert float(cross) == pytest.approx(min(row["mmrLimit"], expected), rel=1e-12)
    assert position.maintenance == abs(position.cost) * (cross + Decimal("0.0006"))
