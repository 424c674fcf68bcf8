from dataclasses import replace
from decimal import Decimal

import pytest

from kucoin_research.sim import OrderRefused
from kucoin_research.sim.accounts.ledger import CoinWallet
from kucoin_research.sim.accounts.orders import OrderRequest
from kucoin_research.sim.server.spot_order_rows import classic_order_row, order_row
from tests.unit.sim.signed import MarketFloor

PAIR, CONTRACT = "BTC-USDT", "XBTUSDTM"


def refusal(place):
    with pytest.raises(OrderRefused) as refused:
        place()
    return refused.value.code, str(refused.value)


@pytest.mark.parametrize(("symbol", "size"), [(CONTRACT, 1), (PAIR, "0.001")])
def test_a_client_id_is_taken_once_on_each_market(symbol, size):
    floor = MarketFloor(CONTRACT, PAIR)
    me = floor.account()
    first = me.place(symbol, "buy", size, price=50_000, client_oid="mine-1")
    code = {CONTRACT: "300018", PAIR: "400100"}[symbol]

    assert refusal(lambda: me.place(symbol, "buy", size, client_oid="mine-1"))[0] == code
    me.cancel(first)
    assert refusal(lambda: me.place(symbol, "buy", size, client_oid="mine-1"))[0] == code
    stop = {"stop": "up" if symbol == CONTRACT else "entry", "stop_price": 200_000}
    assert refusal(lambda: me.place(symbol, "buy", size, client_oid="mine-1", **stop))[0] == code
    other, other_size = (PAIR, "0.001") if symbol == CONTRACT else (CONTRACT, 1)
    me.place(other, "buy", other_size, client_oid="mine-1")


@pytest.mark.parametrize(("symbol", "code"), [(CONTRACT, "100001"), (PAIR, "400100")])
@pytest.mark.parametrize("oid", ["a" * 41, "with space", "ümlaut"])
def test_a_client_id_has_a_form(symbol, code, oid):
    me = MarketFloor(CONTRACT, PAIR).account()
    assert refusal(lambda: me.place(symbol, "buy", 1, client_oid=oid))[0] == code


def test_a_triggered_stop_keeps_its_client_id():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    stop = me.place(CONTRACT, "buy", 1, client_oid="s", stop="down", stop_price=200_000)
    floor.run(0.1)
    archive = floor.me.archive
    assert archive.find("futures", stop).order is archive.find_client_oid("futures", "s")
    assert me.positions == {CONTRACT: 1}


@pytest.mark.parametrize("state", ["Paused", "CancelOnly", "Closed", "Init"])
def test_a_symbol_that_does_not_trade_takes_no_orders(state):
    floor = MarketFloor(CONTRACT, PAIR, states={CONTRACT: state, PAIR: state})
    me = floor.account()
    assert refusal(lambda: me.place(CONTRACT, "buy", 1))[0] == "300002"
    assert refusal(lambda: me.place(PAIR, "buy", "0.001"))[0] == "200001"


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_closing_order_takes_side_and_size_from_the_position(side):
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    assert refusal(lambda: me.place(CONTRACT, "buy", close_order=True))[0] == "300009"
    me.place(CONTRACT, side, 7)

    me.place(CONTRACT, side, 100, close_order=True)

    assert me.positions == {}
    assert [fill.size for fill in me.fills if fill.side != side][-1] <= 7


def test_a_closing_stop_closes_what_is_there_when_it_triggers():
    floor = MarketFloor(CONTRACT)
    floor.listen("futures", "/contractMarket/advancedOrders")
    me = floor.account()
    me.place(CONTRACT, "buy", 2)
    me.place(CONTRACT, "sell", close_order=True, stop="up", stop_price=200_000)
    me.place(CONTRACT, "sell", close_order=True, stop="down", stop_price=1_000)
    me.place(CONTRACT, "buy", 3)
    me.place(CONTRACT, "sell", close_order=True, stop="down", stop_price=200_000)

    floor.run(0.1)

    assert me.positions == {}
    assert floor.data("stopOrder", type="triggered")[0]["triggerSuccess"] is True
    assert len(me.open_orders) == 2


def test_an_order_must_name_the_margin_mode_of_its_symbol():
    floor = MarketFloor(CONTRACT)
    place = floor.order_entry.place

    def order(mode):
        return OrderRequest(symbol=CONTRACT, side="buy", size=Decimal(1), margin_mode=mode)

    assert refusal(lambda: place(floor.me, order("CROSS")))[0] == "330005"
    place(floor.me, order("ISOLATED"))
    floor.account().place(CONTRACT, "sell", close_order=True)
    floor.account().set_margin_mode(CONTRACT, "CROSS")
    assert refusal(lambda: place(floor.me, order("ISOLATED")))[0] == "330005"
    place(floor.me, order("CROSS"))


def test_an_isolated_order_brings_its_own_leverage():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    me.place(CONTRACT, "buy", 10, leverage=20)
    position = floor.me.positions[CONTRACT]
    assert position.leverage == 20
    me.place(CONTRACT, "buy", 10, leverage=5, price=84_000)
    order = floor.me.orders_of(CONTRACT)[0]
    assert me.futures_wallet().isolated_order == Decimal(84_000) / 100 / 5
    assert order.leverage == 5
    text = refusal(lambda: me.place(CONTRACT, "buy", 1, leverage=126))
    assert text[0] == "300016"


def test_a_forced_hold_binds_margin_where_an_order_only_closes():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    me.place(CONTRACT, "buy", 10)
    me.place(CONTRACT, "sell", 10, price=200_000)
    assert me.futures_wallet().isolated_order == 0

    me.place(CONTRACT, "sell", 10, price=200_000, force_hold=True)

    assert me.futures_wallet().isolated_order == Decimal(200_000) / 100 / 10


@pytest.mark.parametrize(("side", "word"), [("buy", "greater"), ("sell", "less")])
def test_a_close_worse_than_the_bankruptcy_price_is_refused(side, word):
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    me.place(CONTRACT, side, 10, leverage=100)
    bankruptcy = floor.me.positions[CONTRACT].bankruptcy_price
    other, off = ("sell", -1) if side == "buy" else ("buy", 1)

    code, text = refusal(
        lambda: me.place(CONTRACT, other, 5, price=round(bankruptcy + 20 * off, 1))
    )

    assert code == "300006"
    assert f"shall be {word} than the bankruptcy price" in text
    me.place(CONTRACT, other, 5, price=round(bankruptcy - 20 * off, 1))


def test_cross_margin_binds_the_larger_side_of_the_open_orders():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    me.set_margin_mode(CONTRACT, "CROSS")
    me.place(CONTRACT, "buy", 100, price=50_000)
    me.place(CONTRACT, "sell", 30, price=200_000)
    assert me.futures_wallet().cross_order == max(100 * 50_000, 30 * 200_000) / Decimal(10_000)

    me.deposit("futures", "USDT", -me.futures_wallet().withdrawable)
    # The smaller side has room for 20 lots more without any balance but for the fee.
    me.deposit("futures", "USDT", 10)
    me.place(CONTRACT, "buy", 20, price=50_000)
    assert refusal(lambda: me.place(CONTRACT, "buy", 40, price=50_000))[0] == "300003"


def test_a_leverage_that_the_balance_does_not_cover_is_refused_and_nothing_changes():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    me.set_margin_mode(CONTRACT, "CROSS")
    me.set_leverage(CONTRACT, 20)
    me.place(CONTRACT, "buy", 500)
    me.deposit("futures", "USDT", -me.futures_wallet().available + 100)
    before = me.futures_wallet()

    code, text = refusal(lambda: me.set_leverage(CONTRACT, 2))

    assert code == "300003"
    assert "would need" in text
    assert me.futures_wallet() == before
    assert floor.me.leverage(CONTRACT) == 20


def test_testing_an_order_changes_nothing():
    floor = MarketFloor(CONTRACT)
    order = OrderRequest(symbol=CONTRACT, side="buy", size=Decimal(1), client_oid="a")
    floor.order_entry.test(floor.me, order)
    assert floor.me.fills == []
    code, _ = refusal(
        lambda: floor.order_entry.test(
            floor.me, OrderRequest(symbol=CONTRACT, side="buy", size=Decimal(10**4))
        )
    )
    assert code == "300003"


def test_a_large_cross_position_needs_more_than_its_leverage_says():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    me.set_margin_mode(CONTRACT, "CROSS")
    me.set_leverage(CONTRACT, 125)
    me.deposit("futures", "USDT", 78_000)
    # 88,000 USDT would do for 200 BTC at 125, with the fee. But 1.3 times the maintenance margin of
    # so many is 0.867 % of their value, not 0.8 %; of 150 BTC it is 0.78 %.
    me.place(CONTRACT, "buy", 70_000, price=50_000)
    code, _ = refusal(lambda: me.place(CONTRACT, "buy", 130_000, price=50_000))
    assert code == "330008"
    me.place(CONTRACT, "buy", 80_000, price=50_000)


def test_an_order_that_stands_in_for_another_keeps_its_own_id_and_uses_its_coins():
    floor = MarketFloor("BTC-USDT")
    me, entry = floor.account(), floor.order_entry
    old = me.place("BTC-USDT", "buy", "0.19", price=50_000, client_oid="mine")
    request = replace(floor.me.orders[old].request, price=Decimal(51_000))

    new = entry.replace(floor.me, old, request)

    assert me.open_orders == [new]
    assert floor.me.archive.find_client_oid("spot", "mine").order_id == new
    assert me.balances()["USDT"].hold == Decimal(51_000) * Decimal("0.19") * Decimal("1.001")


def test_a_refused_stand_in_leaves_the_old_order_where_it_makes_no_sense():
    floor = MarketFloor("BTC-USDT")
    old = floor.account().place("BTC-USDT", "buy", "0.1", price=50_000)
    request = floor.me.orders[old].request

    with pytest.raises(OrderRefused, match="Price increment invalid"):
        floor.order_entry.replace(floor.me, old, replace(request, price=Decimal("0.01")))
    assert floor.account().open_orders == [old]
    with pytest.raises(OrderRefused, match="Balance insufficient"):
        floor.order_entry.replace(floor.me, old, replace(request, size=Decimal(10)))
    assert floor.account().open_orders == []
    assert floor.account().balances()["USDT"].hold == 0


def test_a_look_at_a_coin_that_is_not_there_opens_no_account_for_it():
    wallet = CoinWallet({"USDT": "1"})

    assert wallet.available("SHIB") == wallet.hold("SHIB") == wallet.total("SHIB") == 0
    assert wallet.currencies == ["USDT"]


def test_the_fees_of_open_orders_are_not_spent_on_others():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    me.place(CONTRACT, "buy", 100, price=50_000)
    wallet = me.futures_wallet()
    fee = Decimal(5_000) * Decimal("0.0002")
    assert wallet.free == wallet.available - fee == wallet.withdrawable

    me.deposit("futures", "USDT", -wallet.withdrawable)

    assert refusal(lambda: me.deposit("futures", "USDT", "-0.0001"))[0] == "200004"
    assert refusal(lambda: me.transfer("futures", "main", "USDT", fee))[0] == "230003"


def test_unrealised_profit_is_not_withdrawn():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    me.set_margin_mode(CONTRACT, "CROSS")
    me.place(CONTRACT, "buy", 100)
    floor.me.positions[CONTRACT].cost -= 500  # bought cheaply
    wallet = me.futures_wallet()
    assert wallet.cross_pnl > 400

    assert refusal(lambda: me.deposit("futures", "USDT", -wallet.available))[0] == "200004"
    me.deposit("futures", "USDT", -wallet.withdrawable)
    assert me.futures_wallet().balance > 0


def test_an_order_that_was_to_close_is_canceled_when_nothing_covers_it_as_an_opening():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    me.place(CONTRACT, "buy", 100)
    closing = me.place(CONTRACT, "sell", 100, price=200_000)
    me.deposit("futures", "USDT", -me.futures_wallet().withdrawable)

    me.place(CONTRACT, "sell", 99, reduce_only=True)

    assert me.open_orders == []
    assert floor.me.archive.find("futures", closing).canceled == 100
    assert me.futures_wallet().free >= 0


def test_an_order_that_was_to_close_stays_where_the_balance_covers_it():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    me.place(CONTRACT, "buy", 100)
    closing = me.place(CONTRACT, "sell", 10, price=90_000)

    me.place(CONTRACT, "sell", 100, reduce_only=True)

    assert me.open_orders == [closing]
    assert me.futures_wallet().isolated_order == 90


def test_a_coin_that_was_only_asked_for_is_not_in_the_wallet():
    floor = MarketFloor(PAIR)
    me = floor.account()
    before = list(me.balances())
    assert refusal(lambda: me.deposit("spot", "DOGE", -1))[0] == "200004"
    assert refusal(lambda: me.transfer("trade", "main", "DOGE", 1))[0] == "230003"
    assert refusal(lambda: me.transfer("futures", "main", "DOGE", 1))[0] == "230003"
    assert list(me.balances()) == before
    assert "DOGE" not in floor.me.futures


def test_what_a_resting_order_would_free_does_not_pay_for_what_it_opens():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    me.place(CONTRACT, "buy", 500)
    me.deposit("futures", "USDT", 100 - me.futures_wallet().available)
    engine = floor.hub.caught_up(CONTRACT)
    far = engine.price_text(int(engine.best_ask * 1.04))

    assert refusal(lambda: me.place(CONTRACT, "sell", 900, price=far))[0] == "300003"
    assert me.futures_wallet().available == 100
    # At once it is the other way round: first it closes, then it opens.
    me.place(CONTRACT, "sell", 900)
    assert me.positions == {CONTRACT: -400}


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_market_order_by_funds_trades_for_them(side):
    floor = MarketFloor(PAIR)
    floor.listen("spot", "/spotMarket/tradeOrdersV2")
    me = floor.account()
    before = me.balances()

    order_id = me.place(PAIR, side, funds=100)

    order = floor.me.archive.find("spot", order_id)
    unit = Decimal("0.00000001") * max(fill.price for fill in me.fills)
    assert 100 - unit * 20 < order.value < 100
    [end] = [row for row in floor.data("orderChange", orderId=order_id) if row["status"] == "done"]
    assert (end["type"], end["remainFunds"]) == ("canceled", "0")
    assert Decimal(end["canceledFunds"]) == order.unused_funds == 100 - order.value > 0
    row = classic_order_row(order)
    assert (row["isActive"], row["cancelExist"]) == (False, True)
    assert order_row(order)["cancelledFunds"] == end["canceledFunds"]
    after = me.balances()
    assert all(balance.hold == 0 for balance in after.values())
    sign = 1 if side == "buy" else -1
    assert after["BTC"].total - before["BTC"].total == sign * order.filled * Decimal("1e-8")
    assert before["USDT"].total - after["USDT"].total == sign * order.value + order.fees


def test_funds_that_are_worth_whole_lots_are_filled_and_the_fee_comes_on_top():
    floor = MarketFloor(PAIR)
    floor.listen("spot", "/spotMarket/tradeOrdersV2")
    me, engine = floor.account(), floor.hub.caught_up(PAIR)
    price = Decimal(engine.price_text(engine.best_ask))
    funds = price * Decimal("0.00001")
    me.deposit("spot", "USDT", funds * Decimal("1.001") - me.balances()["USDT"].available)

    order_id = me.place(PAIR, "buy", funds=funds)

    order = floor.me.archive.find("spot", order_id)
    assert (order.value, order.unused_funds, order.was_cut_short) == (funds, 0, False)
    assert [row["type"] for row in floor.data("orderChange")][-1] == "filled"
    assert me.balances()["USDT"] == (0, 0, 0)
    me.deposit("spot", "USDT", funds)
    assert refusal(lambda: me.place(PAIR, "buy", funds=funds))[0] == "200004"
