"""Risk limits of isolated margin that an account chooses."""

from decimal import Decimal

import pytest

from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.engine.catalog import LISTINGS
from tests.unit.sim.signed import MarketFloor

XBT = "XBTUSDTM"
TOPIC = f"/contract/position:{XBT}"


@pytest.fixture
def floor():
    made = MarketFloor(XBT)
    made.listen("futures", TOPIC)
    made.order_entry.deposit(made.me, "futures", "USDT", Decimal(2_000_000))
    made.run(1)
    return made


def change(floor, level):
    floor.order_entry.risk_levels.change(floor.me, XBT, level)


def refusal(call):
    with pytest.raises(OrderRefused) as refused:
        call()
    return refused.value.code, str(refused.value)


def test_an_order_above_the_chosen_level_is_refused(floor):
    account = floor.account()
    account.place(XBT, "buy", 2_000)  # about 172 000 USDT: more than level 1 holds
    account.place(XBT, "sell", 2_000)

    change(floor, 1)

    code, message = refusal(lambda: account.place(XBT, "buy", 2_000))
    assert (code, message) == ("300005", "100000 risk limit exceeded")
    account.place(XBT, "buy", 1_000)
    assert refusal(lambda: account.place(XBT, "buy", 500))[0] == "300005"


def test_a_higher_level_allows_less_leverage_and_asks_for_more_maintenance(floor):
    account = floor.account()
    account.place(XBT, "buy", 10)
    before = floor.data("position.change")[-1]

    change(floor, 3)

    floor.run(1)
    after = floor.data("position.change", changeReason="changeRiskLimit")[-1]
    assert (before["riskLimitLevel"], before["maintMarginReq"]) == (1, 0.004)
    assert (after["riskLimitLevel"], after["maintMarginReq"]) == (3, 0.007)
    assert after["riskLimit"] == 1_000_000
    assert after["liquidationPrice"] > before["liquidationPrice"]
    account.set_leverage(XBT, 100)
    assert refusal(lambda: account.place(XBT, "buy", 1)) == (
        "300016",
        "The leverage cannot be greater than 75. (for a position of up to 1000000)",
    )


def test_a_change_cancels_the_open_orders_but_not_the_stops_and_is_reported(floor):
    account = floor.account()
    order = account.place(XBT, "buy", 1, price=80_000)
    stop = account.place(XBT, "buy", 1, stop="up", stop_price=100_000)

    change(floor, 2)

    assert account.open_orders == [stop]
    assert floor.me.archive.find("futures", order).canceled == 1
    reported = {"success": True, "riskLimitLevel": 2, "msg": ""}
    assert floor.data("position.adjustRiskLimit") == [reported]
    assert floor.frames[-1]["topic"] == TOPIC


def test_a_position_keeps_the_level_that_it_needs(floor):
    account = floor.account()
    account.place(XBT, "buy", 2_000)

    assert refusal(lambda: change(floor, 1)) == ("300005", "100000 risk limit exceeded")
    account.set_leverage(XBT, 60)
    account.place(XBT, "sell", 2_000)
    account.place(XBT, "buy", 10)
    assert refusal(lambda: change(floor, 4)) == (
        "300016",
        "The leverage cannot be greater than 50. (level 4 of XBTUSDTM)",
    )
    assert floor.data("position.adjustRiskLimit") == []
    assert floor.me.risk_level(XBT) is None


def test_a_position_that_the_level_would_liquidate_keeps_its_own(floor):
    account = floor.account()
    account.set_leverage(XBT, 50)
    account.place(XBT, "buy", 10)
    position = floor.me.positions[XBT]
    mark = Decimal(repr(floor.hub.engine(XBT).mark_price(floor.hub.clock.reached_ns)))
    # What the loss leaves is enough for level 1 (0.46 % with the fee), not for level 4 (1.06 %).
    left = position.margin.total + position.unrealised(mark)
    position.add_margin(Decimal("0.008") * position.value(mark) - left)

    code, message = refusal(lambda: change(floor, 4))

    assert (code, message) == ("300003", "the margin would be too small for level 4")


@pytest.mark.parametrize("level", [0, 7])
def test_there_are_no_other_levels(floor, level):
    assert len(LISTINGS[XBT].risk_tiers) == 6

    code, message = refusal(lambda: change(floor, level))

    assert code == "100001"
    assert message == f"no risk limit level {level}: XBTUSDTM has levels 1 to 6"


def test_cross_margin_has_no_levels(floor):
    floor.account().set_margin_mode(XBT, "CROSS")

    assert refusal(lambda: change(floor, 2))[0] == "330005"
