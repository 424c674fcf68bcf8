import math
from decimal import Decimal

import pytest

from kucoin_research.sim import OrderRefused
from kucoin_research.sim.messages.instrument_rows import contract_row, symbol_row
from tests.unit.sim.signed import MarketFloor

REFUSED = [
    ("XBTUSDTM", "buy", {"size": "1.5"}, "100001"),
    ("XBTUSDTM", "hold", {"size": 1}, "100001"),
    ("XBTUSDTM", "buy", {}, "100001"),
    ("XBTUSDTM", "buy", {"size": 1, "price": "80000.05"}, "100001"),
    ("XBTUSDTM", "buy", {"size": 1, "stop": "loss", "stop_price": 1}, "100001"),
    ("XBTUSDTM", "buy", {"size": 1, "stop": "up"}, "100001"),
    ("XBTUSDTM", "buy", {"funds": 1}, "100001"),
    ("XBTUSDTM", "buy", {"size": 0}, "100001"),
    ("XBTUSDTM", "buy", {"size": 10**6 + 1}, "100001"),
    ("XBTUSDTM", "buy", {"size": 1, "price": "1000000.1"}, "100001"),
    ("XBTUSDTM", "buy", {"size": 1, "stop": "up", "stop_price": "1000000.1"}, "100001"),
    ("XBTUSDTM", "buy", {"size": 1, "stop": "up", "stop_price": "80000.05"}, "100001"),
    ("XBTUSDTM", "buy", {"size": 1, "leverage": 0}, "100001"),
    ("XBTUSDTM", "buy", {"size": 1, "leverage": -5}, "100001"),
    ("XBTUSDTM", "buy", {"size": 1, "leverage": "0.5"}, "100001"),
    ("XBTUSDTM", "buy", {"size": 30_000}, "300003"),
    ("XBTUSDTM", "buy", {"size": 10**6}, "300005"),
    ("XBTUSDTM", "sell", {"size": 1, "reduce_only": True}, "300009"),
    ("BTC-USDT", "buy", {"size": "0.000000001"}, "400100"),
    ("BTC-USDT", "buy", {"size": "0.001", "price": "80000.05"}, "400100"),
    ("BTC-USDT", "buy", {"size": 5}, "200004"),
    ("BTC-USDT", "sell", {"size": 5, "price": 80_000}, "200004"),
    ("BTC-USDT", "buy", {"size": 0, "price": 80_000}, "400100"),
    ("BTC-USDT", "buy", {"size": "0.00000999", "price": 80_000}, "400100"),
    ("BTC-USDT", "sell", {"size": "10000000001", "price": 80_000}, "400100"),
    ("BTC-USDT", "buy", {"size": "0.00001", "price": "9999.9"}, "400760"),
    ("BTC-USDT", "buy", {"funds": "0.0000001"}, "400100"),
    ("BTC-USDT", "buy", {"funds": "0.099999"}, "400760"),
    ("BTC-USDT", "buy", {"funds": "100000000"}, "400100"),
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
    assert len(floor.me.fills) == 1


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
def test_a_price_far_on_the_own_side_rests(symbol):
    floor = MarketFloor(symbol)

    floor.account().place(symbol, "buy", 1 if symbol == "XBTUSDTM" else "0.0001", price=10_000)
    floor.account().place(symbol, "sell", 1 if symbol == "XBTUSDTM" else "0.0001", price=300_000)

    assert len(floor.me.orders) == 2


def refused(place):
    with pytest.raises(OrderRefused) as refusal:
        place()
    return refusal.value.code, str(refusal.value)


@pytest.mark.parametrize("market", ["XBTUSDTM", "SHIBUSDTM", "XBTUSDM"])
def test_sizes_and_prices_up_to_those_of_the_contracts_row_are_taken(market):
    floor = MarketFloor(market, facts={"risk_limit": 10**12})
    row = contract_row(floor.hub.listings[market], None, 0)
    me, engine = floor.account(), floor.hub.caught_up(market)
    me.deposit("futures", row["settleCurrency"], 10**12)
    far = engine.price_text(engine.best_bid // 2)

    me.place(market, "buy", row["maxOrderQty"], price=far)
    me.place(market, "sell", 1, price=row["maxPrice"])

    assert (
        refused(lambda: me.place(market, "buy", row["maxOrderQty"] + 1, price=far))[0] == "100001"
    )
    assert refused(lambda: me.place(market, "buy", row["marketMaxOrderQty"] + 1))[0] == "100001"
    above = Decimal(str(row["maxPrice"])) + Decimal(str(row["tickSize"]))
    assert refused(lambda: me.place(market, "sell", 1, price=above))[0] == "100001"


@pytest.mark.parametrize("pair", ["BTC-USDT", "ETH-BTC", "SHIB-USDT"])
def test_spot_orders_down_to_the_limits_of_the_symbols_row_are_taken(pair):
    floor = MarketFloor(pair)
    row = symbol_row(floor.hub.listings[pair])
    me, engine = floor.account(), floor.hub.caught_up(pair)
    for coin in pair.split("-"):
        me.deposit("spot", coin, 10**9)
    least, step = Decimal(row["baseMinSize"]), Decimal(row["baseIncrement"])
    best, quote = Decimal(engine.price_text(engine.best_ask)), Decimal(row["quoteIncrement"])

    me.place(pair, "buy", max(least, (Decimal(row["minFunds"]) / best // step + 1) * step))
    me.place(pair, "buy", funds=max(Decimal(row["minFunds"]), 2 * least * best).quantize(quote))

    text = "Order size below the minimum requirement."
    code, said = refused(lambda: me.place(pair, "sell", least - step, price=best * 10))
    assert (code, said[: len(text)]) == ("400100", text)
    funds = Decimal(row["minFunds"]) - quote
    assert refused(lambda: me.place(pair, "buy", funds=funds)) == (
        "400760",
        f"The order funds should more then {row['minFunds']} {pair.partition('-')[2]}.",
    )


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ({"size": "0.000010001"}, "Order size increment invalid."),
        ({"size": "0.001", "price": "80000.05"}, "Price increment invalid."),
        ({"funds": "10.0000001"}, "Funds increment invalid."),
    ],
)
def test_steps_on_spot_are_refused_with_kucoins_texts(order, text):
    me = MarketFloor("BTC-USDT").account()

    code, said = refused(lambda: me.place("BTC-USDT", "buy", **order))

    assert code == "400100"
    assert said.startswith(text)


def test_risk_tiers_bound_the_position_and_its_leverage():
    floor = MarketFloor("XBTUSDTM", facts={"price_limit_rate": "0.5"})
    me = floor.account()
    me.deposit("futures", "USDT", 10**7)
    me.set_leverage("XBTUSDTM", 100)
    bought = me.place("XBTUSDTM", "buy", 1_000)
    engine = floor.hub.engine("XBTUSDTM")
    price = Decimal(engine.price_text(engine.best_bid - 3_000))
    # Held lots count for what they cost, orders for what they would.
    more = int((500_000 - floor.me.positions["XBTUSDTM"].cost) / price * 1_000)

    assert me.positions == {"XBTUSDTM": 1_000}
    assert bought not in me.open_orders
    assert refused(lambda: me.place("XBTUSDTM", "buy", more + 1, price=price))[0] == "300016"
    me.place("XBTUSDTM", "buy", more, price=price)  # with it 500,000: the second tier
    # What rests counts, too.
    assert refused(lambda: me.place("XBTUSDTM", "buy", 1, price=price)) == (
        "300016",
        "The leverage cannot be greater than 75. (for a position of up to 1000000)",
    )
    # The other side counts what it opens alone.
    me.place("XBTUSDTM", "sell", 6_000, price=100_000)
    me.set_leverage("XBTUSDTM", 20)
    assert refused(lambda: me.place("XBTUSDTM", "buy", 10**5, price=price)) == (
        "300005",
        "5000000 risk limit exceeded",
    )
    me.place("XBTUSDTM", "sell", 1_000, reduce_only=True)
    assert refused(lambda: me.set_leverage("XBTUSDTM", 126)) == (
        "300016",
        "The leverage cannot be greater than 125.",
    )
    assert refused(lambda: me.set_leverage("XBTUSDTM", "0.5"))[0] == "100001"


def test_cross_margin_has_no_tiers_but_one_limit():
    facts = {"price_limit_rate": "0.5", "risk_limit": 10_000}
    floor = MarketFloor("XBTUSDTM", facts=facts)
    me = floor.account()
    me.deposit("futures", "USDT", 10**7)
    me.set_margin_mode("XBTUSDTM", "CROSS")
    me.set_leverage("XBTUSDTM", 100)

    me.place("XBTUSDTM", "buy", 200_000, price=50_000)

    assert len(floor.me.orders) == 1
    assert refused(lambda: me.place("XBTUSDTM", "buy", 200_001, price=50_000)) == (
        "300005",
        "10000000 risk limit exceeded",
    )


@pytest.mark.parametrize(
    ("symbol", "stop", "most", "code", "text"),
    [
        ("XBTUSDTM", "", 100, "300001", "Active order quantity limit exceeded"),
        ("XBTUSDTM", "down", 50, "300004", "Stop order quantity limit exceeded"),
        ("BTC-USDT", "loss", 20, "200003", "Number of orders breached the limit"),
    ],
)
def test_an_account_has_so_many_orders_of_a_symbol(symbol, stop, most, code, text):
    me = MarketFloor(symbol).account()
    size = 1 if symbol == "XBTUSDTM" else "0.001"
    options = {"stop": stop, "stop_price": 10_000} if stop else {}
    ids = [me.place(symbol, "buy", size, price=10_000, **options) for _ in range(most)]

    refusal = refused(lambda: me.place(symbol, "buy", size, price=10_000, **options))
    me.cancel(ids[0])
    me.place(symbol, "buy", size, price=10_000, **options)

    assert refusal[0] == code
    assert refusal[1].startswith(text)


@pytest.mark.parametrize(
    ("price", "size", "code"), [(50_000, "0.00000999", "400100"), (9_000, "0.00001", "400760")]
)
def test_an_order_is_not_amended_below_the_least_that_may_be_placed(price, size, code):
    me = MarketFloor("BTC-USDT").account()
    order_id = me.place("BTC-USDT", "buy", "0.001", price=price)

    refusal = refused(lambda: me.amend(order_id, size))
    me.amend(order_id, "0.00002")

    assert refusal[0] == code
    assert me.open_orders == [order_id]


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
def test_a_market_order_is_cut_at_the_price_band(symbol, side):
    floor = MarketFloor(symbol, facts={"price_limit_rate": "0.001", "risk_limit": 10**9})
    me, engine = floor.account(), floor.hub.caught_up(symbol)
    for coin in ("USDT", "BTC"):
        me.deposit("spot", coin, 10**9)
        me.deposit("futures", coin, 10**9)
    reference = Decimal(repr(engine.mark_price(engine.now_ns)))
    if symbol == "BTC-USDT":
        reference = Decimal(
            engine.price_text(engine.best_ask if side == "buy" else engine.best_bid)
        )
    lowest, highest = reference * Decimal("0.999"), reference * Decimal("1.001")
    found = sum(
        units
        for ticks, units in engine.levels("sell" if side == "buy" else "buy")
        if lowest <= Decimal(engine.price_text(ticks)) <= highest
    )
    before = {coin: floor.me.spot.total(coin) for coin in ("USDT", "BTC")}

    me.place(symbol, side, 10**6 if symbol == "XBTUSDTM" else 10**5)

    assert sum(fill.size for fill in me.fills) == found
    assert all(lowest <= fill.price <= highest for fill in me.fills)
    assert me.open_orders == []
    assert all(floor.me.spot.hold(coin) == 0 for coin in before)


def test_a_market_buy_by_funds_is_cut_at_the_price_band_and_gets_the_rest_back():
    floor = MarketFloor("BTC-USDT", facts={"price_limit_rate": "0.0005"})
    me, engine = floor.account(), floor.hub.caught_up("BTC-USDT")
    me.deposit("spot", "USDT", 10**7)
    highest = Decimal(engine.price_text(engine.best_ask)) * Decimal("1.0005")
    before = me.balances()["USDT"].total

    me.place("BTC-USDT", "buy", funds=10**7)

    paid = sum(fill.price * Decimal(engine.size_text(fill.size)) + fill.fee for fill in me.fills)
    assert max(fill.price for fill in me.fills) <= highest
    assert me.balances()["USDT"] == (before - paid, before - paid, 0)


def test_orders_are_refused_while_a_funding_is_settled_but_not_stops_that_wait():
    floor = MarketFloor("XBTUSDTM", "BTC-USDT", start="2026-01-05T07:59:58Z")
    floor.listen("futures", "/contract/announcement:XBTUSDTM")
    me, codes = floor.account(), {}
    floor.run(1.99)
    me.place("XBTUSDTM", "buy", 1, stop="up", stop_price=50_000)
    floor.run(0.01)
    assert me.positions == {"XBTUSDTM": 1}
    for second in range(12):
        try:
            me.place("XBTUSDTM", "buy", 1)
        except OrderRefused as refusal:
            codes[second] = refusal.code
        me.place("BTC-USDT", "buy", "0.001")
        floor.run(1)

    begin, end = (floor.data(f"funding.{each}")[0]["timestamp"] for each in ("begin", "end"))
    assert end - begin == 10_000
    assert codes == dict.fromkeys(range(10), "300015")


@pytest.mark.parametrize("mode", ["ISOLATED", "CROSS"])
@pytest.mark.parametrize("rules", ["2025-05", "legacy"])
def test_an_order_that_turns_a_position_frees_its_margin_first(mode, rules):
    floor = MarketFloor("XBTUSDTM", margin_rules=rules)
    me = floor.account()
    me.set_margin_mode("XBTUSDTM", mode)
    me.deposit("futures", "USDT", 100 - floor.me.futures["USDT"])
    me.place("XBTUSDTM", "buy", 10)
    free = me.futures_wallet().available

    assert free < 20
    assert refused(lambda: me.place("XBTUSDTM", "sell", 25))[0] == "300003"
    me.place("XBTUSDTM", "sell", 20)
    assert me.positions == {"XBTUSDTM": -10}
    assert me.futures_wallet().available > 0


def test_a_contract_needs_its_margin_and_the_fee_of_opening():
    floor = MarketFloor("XBTUSDTM")
    me = floor.account()
    needed = Decimal("80.0") * (Decimal("0.1") + Decimal("0.0006"))  # 1 lot at 80,000, at 10x
    me.deposit("futures", "USDT", needed - Decimal("0.01") - floor.me.futures["USDT"])

    refusal = refused(lambda: me.place("XBTUSDTM", "buy", 1, price=80_000))
    me.deposit("futures", "USDT", "0.01")
    me.place("XBTUSDTM", "buy", 1, price=80_000)

    assert refusal == ("300003", "Balance insufficient. The order would cost 8.048 USDT.")
