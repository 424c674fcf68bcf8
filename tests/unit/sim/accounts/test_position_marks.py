from dataclasses import replace
from decimal import Decimal

import pytest

from kucoin_research.sim import Account
from kucoin_research.sim.accounts.ledger import Position
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.messages.instrument_rows import contract_row
from tests.unit.sim.signed import MarketFloor, less_busy


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
    assert before - floor.me.futures[coin] == margin


#: A maintenance margin of 0.5 % in the first risk tier, and with the taker's fee r = 0.0056.
MAINTAINED = {"max_leverage": 100, "risk_limit": 10**6}


def held(symbol, quantity, entry, leverage, rules="2025-05", **facts):
    listing = replace(LISTINGS[symbol], **facts)
    position = Position(listing, rules, leverage=Decimal(leverage))
    side = "buy" if quantity > 0 else "sell"
    position.fill(side, Decimal(entry), abs(quantity), Decimal(0), time_ms=0)
    return position


def test_prices_of_a_linear_position_are_those_of_the_documented_sample():
    # Trading reference, section 4.2. The maintenance of the sample has expected funding in it, of
    # 0.0389701625 USDT, which moves its liquidation price by 38.9701625.
    position = held("XBTUSDTM", 1, "91694.5", 5, "legacy", max_leverage=100)

    assert position.margin.total == Decimal("18.40492004")
    assert position.maintenance(Decimal("91839.79")) == Decimal("0.5634627025") - Decimal(
        "0.0389701625"
    )
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


@pytest.mark.parametrize(("symbol", "sign"), [("XBTUSDTM", 1), ("XBTUSDTM", -1), ("XBTUSDM", 1)])
def test_lots_of_an_isolated_position_bind_margin_by_the_leverage_of_their_order(symbol, sign):
    position = held(symbol, sign * 1_000, "50000", 1)
    value, side = abs(position.cost), "buy" if sign > 0 else "sell"

    position.fill(side, Decimal(50_000), 3_000, Decimal(0), 1, leverage=Decimal(100))

    assert position.margin.initial == value + 3 * value / 100
    assert position.leverage == pytest.approx(400 / Decimal(103))


def test_a_position_turned_over_has_the_leverage_of_the_order_that_did_it():
    position = held("XBTUSDTM", 1_000, "50000", 1)

    position.fill("sell", Decimal(50_000), 3_000, Decimal(0), 1, leverage=Decimal(100))

    assert (position.quantity, position.leverage, position.margin.initial) == (-2_000, 100, 1_000)


def test_orders_of_other_leverages_bind_what_they_were_checked_for():
    floor = MarketFloor("XBTUSDTM")
    me = floor.account()
    expected = Decimal(0)
    for leverage, lots in ((125, 100), (5, 500), (100, 10)):
        me.set_leverage("XBTUSDTM", leverage)
        known = len(me.fills)
        me.place("XBTUSDTM", "buy", lots)
        value = sum(fill.size * fill.price for fill in me.fills[known:]) / 1_000
        expected += value / leverage
    bound = me.futures_wallet().isolated_position

    assert bound == pytest.approx(expected)


def test_a_cross_position_has_the_leverage_of_its_symbol_whatever_its_order_had():
    taker = Account(key="taker", secret="s", passphrase="p", futures={"USDT": "1000000"})
    floor = MarketFloor("XBTUSDTM", accounts=[taker])
    me, engine = floor.account(), floor.hub.caught_up("XBTUSDTM")
    me.set_margin_mode("XBTUSDTM", "CROSS")
    me.place("XBTUSDTM", "buy", 1, price=engine.price_text(engine.best_bid))
    me.set_leverage("XBTUSDTM", 20)

    size = dict(engine.levels("buy"))[engine.best_bid]
    floor.account(floor.order_entry.members["taker"]).place("XBTUSDTM", "sell", size)

    assert floor.me.positions["XBTUSDTM"].leverage == 20


def test_settled_funding_is_part_of_isolated_margin_until_the_lots_are_closed():
    position = held("XBTUSDTM", 1_000, "50000", 10)
    before, limit = position.margin.total, position.liquidation_price

    position.receive_funding(Decimal(-3))
    paid = position.margin.total, position.liquidation_price
    position.fill("sell", Decimal(50_000), 500, Decimal(0), time_ms=1)

    expected = limit + 3 / (1 - position.risk_tier.maintenance_margin - Decimal("0.0006"))
    assert paid == (before - 3, pytest.approx(expected))
    assert position.margin.total == (before - 3) / 2
    assert position.liquidation_price == pytest.approx(expected)


def test_settled_funding_of_cross_margin_stays_in_the_wallet():
    position = held("XBTUSDTM", 1_000, "50000", 10)
    position.is_cross = True
    before = position.margin.total

    position.receive_funding(Decimal(-3))

    assert position.margin.total == before
    assert position.funding == -3


def test_maintenance_margin_is_that_of_the_contracts_row():
    row = contract_row(LISTINGS["XBTUSDTM"], None, 0)
    position = held("XBTUSDTM", 1_000, "50000", 10)

    assert float(position.maintenance_rate(Decimal(50_000))) == row["maintainMargin"]


@pytest.mark.parametrize(
    ("symbol", "quantity", "entry", "rate"),
    [
        ("XBTUSDTM", 2_000, "50000", "0.004"),
        ("XBTUSDTM", 2_001, "50000", "0.005"),
        ("XBTUSDTM", -100_000, "50000", "0.025"),
        ("XBTUSDTM", -200_000, "50000", "0.025"),  # above the highest
        ("XBTUSDM", 50_000, "50000", "0.004"),
        ("XBTUSDM", -50_001, "50000", "0.005"),
    ],
)
def test_maintenance_margin_is_that_of_the_risk_tier_of_the_entry(symbol, quantity, entry, rate):
    position = held(symbol, quantity, entry, 10)

    assert position.maintenance_rate(Decimal(1)) == Decimal(rate)


@pytest.mark.parametrize(
    ("symbol", "quantity", "entry", "leverage", "liquidated", "bankrupt", "facts"),
    [
        ("XBTUSDTM", 1_000, "50000", 10, "45253.42", "45000", MAINTAINED),
        ("XBTUSDTM", -1_000, "50000", 10, "54693.72", "55000", MAINTAINED),
        ("XBTUSDM", 10_000, "50000", 10, "45709.09", "45454.55", MAINTAINED),
        ("XBTUSDM", -10_000, "50000", 10, "55244.44", "55555.56", MAINTAINED),
        ("XBTUSDTM", -5, "28000", 100, "28150.51", "28280", {}),
    ],
)
def test_prices_of_isolated_margin_are_those_of_the_worked_cases(
    symbol, quantity, entry, leverage, liquidated, bankrupt, facts
):
    # Trading reference, section 4.2.
    position = held(symbol, quantity, entry, leverage, **facts)
    limit = position.liquidation_price
    towards = Decimal("0.01") if quantity > 0 else Decimal("-0.01")

    def is_covered(mark):
        left = position.margin.total + position.unrealised(mark)
        return left > position.maintenance(mark)

    assert round(limit, 2) == Decimal(liquidated)
    assert round(position.bankruptcy_price, 2) == Decimal(bankrupt)
    assert is_covered(limit + towards)
    assert not is_covered(limit - towards)


def test_maintenance_moves_with_the_mark_price():
    new, old = (held("XBTUSDTM", 1_000, "50000", 10, rules) for rules in ("2025-05", "legacy"))

    assert [new.maintenance(Decimal(mark)) for mark in (50_000, 60_000)] == [230, 276]
    assert {old.maintenance(Decimal(mark)) for mark in (50_000, 60_000)} == {200 + 33}
    assert (new.margin.total, old.margin.total) == (5_000, 5_033)


@pytest.mark.parametrize("rules", ["2025-05", "legacy"])
def test_a_position_is_liquidated_at_its_price_and_taken_over_at_its_bankruptcy(rules):
    crash = {"seed": 0, "start": "2026-01-18T07:59:15Z", "facts": less_busy("XBTUSDTM", 6)}
    floor = MarketFloor("XBTUSDTM", margin_rules=rules, **crash)
    me = floor.account()
    me.set_leverage("XBTUSDTM", 125)
    me.place("XBTUSDTM", "buy", 50)
    position, marks = floor.me.positions["XBTUSDTM"], []
    while position.quantity:
        limit, price = position.liquidation_price, position.bankruptcy_price
        floor.run(1)
        marks.append(Decimal(repr(floor.hub.engine("XBTUSDTM").mark_price(floor.hub.clock.now_ns))))

    assert marks[-1] <= limit < marks[-2]
    assert me.fills[-1].price == pytest.approx(price)
    assert bool(me.fills[-1].fee) == (rules == "legacy")


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize(
    ("symbol", "coin", "lots"), [("XBTUSDTM", "USDT", 799), ("XBTUSDM", "XBT", 40_003)]
)
def test_a_position_taken_over_in_parts_costs_its_margin_to_the_last_digit(
    symbol, coin, lots, side
):
    floor = MarketFloor(symbol)
    me = floor.account()
    me.set_leverage(symbol, 70)
    me.place(symbol, side, lots, leverage="7.3")
    position = floor.me.positions[symbol]
    is_worth_less = (side == "buy") != position.listing.is_inverse
    position.cost *= Decimal("1.2" if is_worth_less else "0.8")
    margin, before = position.margin.total, floor.me.futures[coin]
    floor.run(2)

    assert position.quantity == 0
    assert before - floor.me.futures[coin] == margin


def test_cross_positions_leave_no_digit_of_the_balance_and_owe_none():
    floor = MarketFloor("XBTUSDTM", "ETHUSDTM")
    me = floor.account()
    for symbol, side, lots in (("XBTUSDTM", "buy", 77), ("ETHUSDTM", "sell", 131)):
        me.set_margin_mode(symbol, "CROSS")
        me.set_leverage(symbol, 50)
        me.place(symbol, side, lots)
    me.deposit("futures", "USDT", 1 - me.futures_wallet().withdrawable)
    floor.me.positions["XBTUSDTM"].cost *= Decimal("1.09")
    floor.run(2)

    assert me.positions == {}
    assert me.futures_wallet().balance == 0
