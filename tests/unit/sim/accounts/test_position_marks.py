from dataclasses import replace
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


@pytest.mark.parametrize(
    ("symbol", "coin", "dearly"), [("KCSUSDTM", "USDT", "1.05"), ("XBTUSDM", "XBT", "0.95")]
)
def test_liquidation_costs_the_margin_whatever_the_market_pays(symbol, coin, dearly):
    floor = MarketFloor(symbol)
    me = floor.account()
    me.set_leverage(symbol, 20)
    me.place(symbol, "buy", 2_000)
    position = floor.me.positions[symbol]
    position.cost *= Decimal(dearly)  # the cost of inverse lots falls with their price
    margin, before = position.margin.total, floor.me.futures[coin]
    floor.run(2)

    assert position.quantity == 0
    assert before - floor.me.futures[coin] == pytest.approx(margin, abs=Decimal("1e-11"))


def held(symbol, quantity, entry, leverage, **facts):
    position = Position(replace(LISTINGS[symbol], **facts), leverage=Decimal(leverage))
    side = "buy" if quantity > 0 else "sell"
    position.fill(side, Decimal(entry), abs(quantity), Decimal(0), time_ms=0)
    return position


def test_prices_of_a_linear_position_are_those_of_the_documented_sample():
    # Trading reference, section 4.2. The maintenance of the sample has expected funding in it, of
    # 0.0389701625 USDT, which moves its liquidation price by 38.9701625.
    position = held("XBTUSDTM", 1, "91694.5", 5, max_leverage=100)

    assert position.margin.total == Decimal("18.40492004")
    assert position.maintenance == Decimal("0.5634627025") - Decimal("0.0389701625")
    assert position.liquidation_price == Decimal("73853.0426625") - Decimal("38.9701625")
    assert position.bankruptcy_price == Decimal("73355.6")


@pytest.mark.parametrize(
    ("quantity", "entry", "leverage", "expected"),
    [
        (5, "28000", 50, "27450.98"),
        (10_000, "50000", 10, "45454.55"),
        (-10_000, "50000", 10, "55555.56"),
        (-10_000, "50000", 1, "0"),  # there is no such price
    ],
)
def test_bankruptcy_prices_of_inverse_positions_are_harmonic(quantity, entry, leverage, expected):
    position = held("XBTUSDM", quantity, entry, leverage)

    assert round(position.bankruptcy_price, 2) == Decimal(expected)


def test_settled_funding_is_part_of_isolated_margin_until_the_lots_are_closed():
    position = held("XBTUSDTM", 1_000, "50000", 10)
    before, limit = position.margin.total, position.liquidation_price

    position.receive_funding(Decimal(-3))
    paid = position.margin.total, position.liquidation_price
    position.fill("sell", Decimal(50_000), 500, Decimal(0), time_ms=1)

    assert paid == (before - 3, limit + 3)
    assert position.margin.total == (before - 3) / 2
    assert position.liquidation_price == limit + 3


def test_settled_funding_of_cross_margin_stays_in_the_wallet():
    position = held("XBTUSDTM", 1_000, "50000", 10)
    position.is_cross = True
    before = position.margin.total

    position.receive_funding(Decimal(-3))

    assert position.margin.total == before
    assert position.funding == -3


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
