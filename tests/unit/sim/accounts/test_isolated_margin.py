from decimal import Decimal

import pytest

from kucoin_research.sim import OrderRefused
from tests.unit.sim.signed import MarketFloor

CONTRACT = "XBTUSDTM"


def long(leverage=10, lots=10):
    floor = MarketFloor(CONTRACT)
    floor.listen("futures", "/contract/positionAll", "/contractAccount/wallet")
    me = floor.account()
    me.place(CONTRACT, "buy", lots, leverage=leverage)
    return floor, me, floor.me.positions[CONTRACT], floor.order_entry.positions


def test_added_margin_moves_the_liquidation_and_not_the_balance():
    floor, me, position, margins = long()
    before, wallet = position.liquidation_price, me.futures_wallet()

    margins.add_margin(floor.me, CONTRACT, Decimal(50))

    # 50 USDT on 0.01 BTC, at a rate of 0.004 and 0.0006 of the value.
    moved = before - Decimal(50) / Decimal("0.01") / (1 - Decimal("0.0046"))
    assert position.liquidation_price == pytest.approx(moved)
    after = me.futures_wallet()
    assert after.balance == wallet.balance
    assert after.available == wallet.available - 50
    assert after.isolated_position == wallet.isolated_position + 50
    assert floor.data("position.change")[-1]["changeReason"] == "marginChange"


def test_what_was_added_can_be_taken_out_and_a_close_frees_its_part():
    floor, me, position, margins = long()
    margins.add_margin(floor.me, CONTRACT, Decimal(50))
    margins.withdraw_margin(floor.me, CONTRACT, Decimal(30))
    assert position.added_margin == 20

    me.place(CONTRACT, "sell", 5)
    assert position.added_margin == 10
    me.place(CONTRACT, "sell", 5)

    wallet = me.futures_wallet()
    assert wallet.available == wallet.balance
    assert position.added_margin == 0


def test_only_what_a_position_can_do_without_leaves_it():
    floor, _, position, margins = long()
    most = margins.withdrawable_margin(floor.me, CONTRACT)
    assert 0 < most < position.margin.total

    with pytest.raises(OrderRefused, match="at most") as refused:
        margins.withdraw_margin(floor.me, CONTRACT, most + Decimal("0.0001"))
    assert refused.value.code == "100001"
    margins.withdraw_margin(floor.me, CONTRACT, most)
    floor.run(2)
    assert position.quantity == 10


@pytest.mark.parametrize(
    ("amount", "code"), [("0", "100001"), ("-1", "100001"), ("20000", "300003")]
)
def test_wrong_amounts_are_refused(amount, code):
    floor, _, _, margins = long()
    with pytest.raises(OrderRefused) as refused:
        margins.add_margin(floor.me, CONTRACT, Decimal(amount))
    assert refused.value.code == code


@pytest.mark.parametrize("mode", ["none", "CROSS"])
def test_without_an_isolated_position_there_is_nothing_to_add_to(mode):
    floor = MarketFloor(CONTRACT)
    if mode == "CROSS":
        floor.account().set_margin_mode(CONTRACT, mode)
        floor.account().place(CONTRACT, "buy", 1)
    with pytest.raises(OrderRefused) as refused:
        floor.order_entry.positions.add_margin(floor.me, CONTRACT, Decimal(1))
    assert refused.value.code == "300009"


def test_margin_is_added_by_itself_before_a_liquidation():
    floor, me, position, margins = long(leverage=100)
    margins.set_auto_deposit(floor.me, CONTRACT, is_on=True)
    position.add_margin(Decimal(-6))  # as a fall of the mark would leave it
    free = me.futures_wallet().available

    floor.run(1.5)

    assert position.quantity == 10
    assert position.added_margin > Decimal(-6)
    assert me.futures_wallet().available < free
    assert floor.data("position.change", changeReason="liquidation") == []


def test_without_it_the_position_is_liquidated():
    floor, me, position, _ = long(leverage=100)
    position.add_margin(Decimal(-6))

    floor.run(1.5)

    assert position.quantity == 0
    assert me.positions == {}
    [closed] = floor.me.book.closed_positions
    assert closed.is_liquidated
