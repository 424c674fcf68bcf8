"""Of each published limit, an order just inside is taken and one just outside is refused.

Over REST, on each call that places orders; codes and texts from the trading reference, 5.2.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import count

import pytest

from tests.unit.sim.futures_caller import Caller, quiet_exchange

OK, NO_COINS, NO_MARGIN = "200000", "200004", "300003"
PAIR, CONTRACT = "BTC-USDT", "XBTUSDTM"
FAST, CLASSIC = "/api/v1/hf/orders", "/api/v1/orders"
NUMBERS = count()


class Prices:
    """The best prices of a market and the limits of its row, which the tables count from."""

    def __init__(self, bid, ask, row, mark=None):
        self.bid, self.ask, self.row, self.mark = bid, ask, row, mark

    def __getattr__(self, name):
        return Decimal(str(self.row[name]))

    def band(self, side, beyond=0):
        """The worst price of the band, and some ticks worse."""
        if self.mark is not None:
            tick, rate = self.tickSize, self.orderPriceRange
            factor = 1 + rate if side == "buy" else 1 - rate
            edge = round(self.mark * factor / tick) * tick
        else:
            tick, rate = self.priceIncrement, self.priceLimitRate
            up = side == "buy"
            best = self.ask * (1 + rate) if up else self.bid * (1 - rate)
            edge = (best / tick).to_integral_value(ROUND_FLOOR if up else ROUND_CEILING) * tick
        return str(edge + beyond * tick * (1 if side == "buy" else -1))


def market_order(**amount):
    return {"type": "market", "price": None, "size": None} | amount


# (limit, order inside, order outside, code and text of the refusal, code of the inside one)
SPOT = [
    ("baseMinSize", lambda p: {"size": p.row["baseMinSize"]},
     lambda p: {"size": f"{p.baseMinSize - p.baseIncrement:f}"},
     "400100", "Order size below the minimum requirement.", OK),
    ("baseMaxSize", lambda p: {"size": p.row["baseMaxSize"]},
     lambda p: {"size": f"{p.baseMaxSize + p.baseIncrement:f}"},
     "400100", "size 10000000000.00000001 is above the maximum", NO_COINS),
    ("baseIncrement", lambda p: {"size": f"{p.baseMinSize + p.baseIncrement:f}"},
     lambda p: {"size": f"{p.baseMinSize + p.baseIncrement / 2:f}"},
     "400100", "Order size increment invalid.", OK),
    ("priceIncrement", lambda p: {"price": str(p.bid - 900 + p.priceIncrement)},
     lambda p: {"price": str(p.bid - 900 + p.priceIncrement / 2)},
     "400100", "Price increment invalid.", OK),
    ("minFunds", lambda p: {"price": "100", "size": str(p.minFunds / 100)},
     lambda p: {"price": str(100 - p.priceIncrement), "size": str(p.minFunds / 100)},
     "400760", "The order funds should more then 0.1 USDT.", OK),
    ("priceLimitRate of a buy", lambda p: {"price": p.band("buy"), "timeInForce": "FOK"},
     lambda p: {"price": p.band("buy", 1)}, "400370", "Max. price: ", OK),
    ("priceLimitRate of a sell",
     lambda p: {"side": "sell", "price": p.band("sell"), "timeInForce": "FOK"},
     lambda p: {"side": "sell", "price": p.band("sell", 1)}, "400370", "Min. price: ", OK),
    ("quoteMinSize", lambda p: market_order(funds=p.row["quoteMinSize"]),
     lambda p: market_order(funds=f"{p.quoteMinSize - p.quoteIncrement:f}"),
     "400760", "The order funds should more then 0.1 USDT.", OK),
    ("quoteMaxSize", lambda p: market_order(funds=p.row["quoteMaxSize"]),
     lambda p: market_order(funds=f"{p.quoteMaxSize + p.quoteIncrement:f}"),
     "400100", "funds 99999999.000001 are above the maximum", NO_COINS),
    ("quoteIncrement", lambda p: market_order(funds=f"{1 + p.quoteIncrement:f}"),
     lambda p: market_order(funds=f"{1 + p.quoteIncrement / 2:f}"),
     "400100", "Funds increment invalid.", OK),
    ("size of a market order", lambda p: market_order(size=p.row["baseMinSize"]),
     lambda p: market_order(size=f"{p.baseMinSize - p.baseIncrement:f}"),
     "400100", "Order size below the minimum requirement.", OK),
    ("length of clientOid", lambda _: {"clientOid": f"{next(NUMBERS):->40}"},
     lambda _: {"clientOid": f"{next(NUMBERS):->41}"},
     "400100", "clientOid may have up to 40", OK),
    ("characters of clientOid", lambda _: {"clientOid": f"aZ_-{next(NUMBERS)}"},
     lambda _: {"clientOid": f"a.{next(NUMBERS)}"},
     "400100", "clientOid may have up to 40 letters", OK),
    ("length of remark", lambda _: {"remark": "r" * 20}, lambda _: {"remark": "r" * 21},
     "400100", "remark may have up to 20", OK),
    ("characters of remark", lambda _: {"remark": "~ "}, lambda _: {"remark": "é"},
     "400100", "remark may have up to 20 ASCII", OK),
    ("cancelAfter", lambda _: {"timeInForce": "GTT", "cancelAfter": 1},
     lambda _: {"timeInForce": "GTC", "cancelAfter": 1},
     "400100", "cancelAfter needs timeInForce GTT", OK),
    ("postOnly", lambda _: {"postOnly": True, "timeInForce": "GTT", "cancelAfter": 1},
     lambda _: market_order(size="0.001", postOnly=True), "400100", "a market order cannot be", OK),
    ("hidden", lambda _: {"hidden": False}, lambda _: {"hidden": True},
     "400413", "hidden orders are no longer", OK),
    ("iceberg", lambda _: {"iceberg": False, "visibleSize": "0.0001"},
     lambda _: {"iceberg": True, "visibleSize": "0.0001"}, "400413", "iceberg orders are no", OK),
    ("DC", lambda _: {"stp": "DC"}, lambda _: market_order(size="0.001", stp="DC"),
     "400100", "DC is for limit orders", OK),
]  # fmt: skip
#: Those that hold of an order that waits for its price, too.
OF_STOPS = {
    "baseMinSize", "baseMaxSize", "baseIncrement", "priceIncrement", "length of clientOid",
    "characters of clientOid", "length of remark", "characters of remark", "hidden", "iceberg",
}  # fmt: skip
#: Those with market orders, of which a classic batch takes none.
OF_MARKET = {
    "quoteMinSize", "quoteMaxSize", "quoteIncrement", "size of a market order", "postOnly", "DC",
}  # fmt: skip

LOTS = {"size": 1}
FUTURES = [
    ("lotSize", lambda _: LOTS, lambda _: {"size": 0}, "100001", "size 0 is no positive", OK),
    ("whole lots", lambda _: LOTS, lambda _: {"size": 1.5}, "100001", "size 1.5 is no", OK),
    ("maxOrderQty", lambda p: {"size": int(p.maxOrderQty), "price": "0.1"},
     lambda p: {"size": int(p.maxOrderQty) + 1, "price": "0.1"},
     "100001", "size 1000001 is above the maximum", OK),
    ("marketMaxOrderQty", lambda _: market_order(size=1),
     lambda p: market_order(size=int(p.marketMaxOrderQty) + 1),
     "100001", "size 1000001 is above the maximum", OK),
    ("tickSize", lambda p: {"price": str(p.bid - 900 + p.tickSize)},
     lambda p: {"price": str(p.bid - 900 + p.tickSize / 2)}, "100001", "price ", OK),
    ("maxPrice", lambda p: {"side": "sell", "price": str(p.maxPrice)},
     lambda p: {"side": "sell", "price": str(p.maxPrice + p.tickSize)},
     "100001", "price 1000000.1 is above", OK),
    ("buyLimit", lambda p: {"price": p.band("buy"), "timeInForce": "IOC"},
     lambda p: {"price": p.band("buy", 1)}, "300011", "Order price cannot be higher than", OK),
    ("sellLimit", lambda p: {"side": "sell", "price": p.band("sell"), "timeInForce": "IOC"},
     lambda p: {"side": "sell", "price": p.band("sell", 1)},
     "300012", "Order price cannot be lower than", OK),
    ("maxLeverage", lambda p: {"leverage": int(p.maxLeverage)},
     lambda p: {"leverage": int(p.maxLeverage) + 1}, "300016", "The leverage cannot be", OK),
    ("leverage of the first tier",
     lambda p: {"size": 1_000, "leverage": int(p.maxLeverage)},
     lambda p: {"size": 2_000, "leverage": int(p.maxLeverage)},
     "300016", "The leverage cannot be greater than 100.", OK),
    ("the highest tier", lambda _: {"size": 40_000, "leverage": 20},
     lambda _: {"size": 70_000, "leverage": 20},
     "300005", "5000000 risk limit exceeded", NO_MARGIN),
    ("length of clientOid", lambda _: {"clientOid": f"{next(NUMBERS):->40}"},
     lambda _: {"clientOid": f"{next(NUMBERS):->41}"}, "100001", "clientOid may have up to", OK),
    ("length of remark", lambda _: {"remark": "é" * 100}, lambda _: {"remark": "é" * 101},
     "100001", "remark is longer than 100", OK),
    ("qty", lambda p: market_order(qty=str(p.multiplier)),
     lambda p: market_order(qty=str(p.multiplier * 3 / 2)), "100001", "qty 0.0015 is no", OK),
    ("timeInForce", lambda _: {"timeInForce": "IOC"}, lambda _: {"timeInForce": "FOK"},
     "100001", "no timeInForce 'FOK' here", OK),
    ("stp", lambda _: {"stp": "CB"}, lambda _: {"stp": "DC"}, "100001", "no stp 'DC' here", OK),
    ("hidden", lambda _: {"postOnly": True}, lambda _: {"postOnly": True, "hidden": True},
     "400413", "hidden orders are no longer", OK),
    ("marginMode", lambda _: {"marginMode": "ISOLATED"}, lambda _: {"marginMode": "CROSS"},
     "330005", "The order's margin mode does not match", OK),
    ("positionSide", lambda _: {"positionSide": "BOTH"}, lambda _: {"positionSide": "LONG"},
     "330011", "The order's position mode does not match", OK),
]  # fmt: skip


@pytest.fixture(scope="module")
def running():
    with quiet_exchange([CONTRACT, PAIR]) as exchange:
        yield exchange


@pytest.fixture(scope="module")
def spot(running):
    caller = Caller(running, "spot")
    best = caller.get("/api/v1/market/orderbook/level1", symbol=PAIR)
    row = caller.get(f"/api/v2/symbols/{PAIR}")
    return caller, Prices(Decimal(best["bestBid"]), Decimal(best["bestAsk"]), row)


@pytest.fixture(scope="module")
def futures(running):
    caller = Caller(running)
    best = caller.exact("/api/v1/ticker", symbol=CONTRACT)
    row = caller.exact(f"/api/v1/contracts/{CONTRACT}")
    prices = (Decimal(best[name]) for name in ("bestBidPrice", "bestAskPrice"))
    return caller, Prices(*prices, row, row["markPrice"])


def filled_in(usual, changes):
    form = usual | {"clientOid": f"limit-{next(NUMBERS)}"} | changes
    return {name: value for name, value in form.items() if value is not None}


def answer(caller, path, form):
    """The code and the text of a call that places one order."""
    body = form
    if path.endswith("/multi"):
        body = [form] if caller.market == "futures" else {"symbol": PAIR, "orderList": [form]}
    reply = caller.reply("POST", path, body).json()
    if not path.endswith("/multi") or reply["code"] != OK:
        return reply["code"], reply.get("msg", "")
    found = reply["data"]["data"] if isinstance(reply["data"], dict) else reply["data"]
    if "code" in found[0]:
        return found[0]["code"], found[0]["msg"]
    why = found[0].get("failMsg")
    return ("", why) if why else (OK, "")


def check(caller, path, usual, case, prices):
    _, inside, outside, code, text, inside_code = case
    taken = answer(caller, path, filled_in(usual, inside(prices)))
    refused = answer(caller, path, filled_in(usual, outside(prices)))
    # The batches of spot have no codes.
    assert taken[0] == inside_code or (inside_code != OK and not taken[0]), taken
    assert refused[0] in (code, ""), refused
    assert refused[1].startswith(text), refused


def cases(found):
    return pytest.mark.parametrize("case", found, ids=[one[0].replace(" ", "-") for one in found])


def usual_spot(prices):
    return {
        "symbol": PAIR, "side": "buy", "type": "limit", "size": "0.0001",
        "price": str(prices.bid - 1_000),
    }  # fmt: skip


@cases(SPOT)
@pytest.mark.parametrize(
    "path",
    [FAST, f"{FAST}/sync", f"{FAST}/test", f"{FAST}/multi", CLASSIC, f"{CLASSIC}/test"],
)
def test_limits_of_spot_orders(spot, path, case):
    caller, prices = spot
    check(caller, path, usual_spot(prices), case, prices)
    caller.delete(FAST, symbol=PAIR)


@cases([one for one in SPOT if one[0] not in OF_MARKET])
def test_limits_of_orders_in_a_classic_batch(spot, case):
    caller, prices = spot
    check(caller, f"{CLASSIC}/multi", usual_spot(prices), case, prices)
    caller.delete(FAST, symbol=PAIR)


@cases([one for one in SPOT if one[0] in OF_STOPS])
def test_limits_of_stop_orders_on_spot(spot, case):
    caller, prices = spot
    usual = usual_spot(prices) | {"stop": "entry", "stopPrice": str(prices.ask + 3_000)}
    # Whether the coins are there is seen at the trigger.
    check(caller, "/api/v1/stop-order", usual, (*case[:5], OK), prices)
    caller.delete("/api/v1/stop-order/cancel", symbol=PAIR)


@cases([one for one in SPOT if one[0] in OF_STOPS])
def test_limits_of_pairs(spot, case):
    caller, prices = spot
    usual = usual_spot(prices) | {
        "stopPrice": str(prices.ask + 1_000),
        "limitPrice": str(prices.ask + 1_100),
    }
    check(caller, "/api/v3/oco/order", usual, case, prices)
    caller.delete("/api/v3/oco/orders")


@cases(FUTURES)
@pytest.mark.parametrize(
    "path", [CLASSIC, f"{CLASSIC}/test", f"{CLASSIC}/multi", "/api/v1/st-orders"]
)
def test_limits_of_futures_orders(futures, path, case):
    caller, prices = futures
    usual = {
        "symbol": CONTRACT, "side": "buy", "type": "limit", "size": 1, "leverage": 10,
        "price": str(prices.bid - 1_000),
    }  # fmt: skip
    if path == "/api/v1/st-orders":
        usual |= {"triggerStopUpPrice": "200000"}
    check(caller, path, usual, case, prices)
    caller.reply("DELETE", "/api/v3/orders", symbol=CONTRACT)
    caller.reply("DELETE", "/api/v1/stopOrders", symbol=CONTRACT)
    caller.reply("POST", CLASSIC, filled_in(usual | {"type": "market"}, {"closeOrder": True}))


STOPS = [
    ("stopPrice", lambda p: {"stopPrice": "200000"}, lambda p: {"stopPrice": "200000.05"},
     "100001", "price 200000.05 is no", OK),
    ("maxPrice", lambda p: {"stopPrice": str(p.maxPrice)},
     lambda p: {"stopPrice": str(p.maxPrice + p.tickSize)},
     "100001", "stop price 1000000.1 is above", OK),
    ("stopPriceType", lambda p: {"stopPriceType": "MP"}, lambda p: {"stopPriceType": "XP"},
     "100001", "no stopPriceType 'XP' here", OK),
    ("maxOrderQty", lambda p: {"size": int(p.maxOrderQty)},
     lambda p: {"size": int(p.maxOrderQty) + 1}, "100001", "size 1000001 is above", OK),
    ("maxLeverage", lambda p: {"leverage": int(p.maxLeverage)},
     lambda p: {"leverage": int(p.maxLeverage) + 1}, "300016", "The leverage cannot be", OK),
]  # fmt: skip


@cases(STOPS)
@pytest.mark.parametrize("path", [CLASSIC, f"{CLASSIC}/test", f"{CLASSIC}/multi"])
def test_limits_of_stop_orders_on_futures(futures, path, case):
    caller, prices = futures
    usual = {
        "symbol": CONTRACT, "side": "buy", "type": "market", "size": 1, "leverage": 10,
        "stop": "up", "stopPrice": "190000", "stopPriceType": "TP",
    }  # fmt: skip
    check(caller, path, usual, case, prices)
    caller.reply("DELETE", "/api/v1/stopOrders", symbol=CONTRACT)


def test_an_isolated_position_bounds_what_is_closed_and_what_is_added(futures):
    caller, prices = futures
    usual = {"symbol": CONTRACT, "type": "limit", "size": 1, "leverage": 100, "side": "buy"}
    caller.post(CLASSIC, **filled_in(usual, {"type": "market", "size": 10}))
    row = caller.exact("/api/v1/position", symbol=CONTRACT)

    def order(limit, rounding, **changes):
        ticks = (row[limit] / prices.tickSize).to_integral_value(rounding)
        return filled_in(usual, {"price": str(ticks * prices.tickSize)} | changes)

    close = {"side": "sell", "timeInForce": "IOC"}
    liquidation, bankruptcy = "liquidationPrice", "bankruptPrice"
    worse = answer(caller, CLASSIC, order(liquidation, ROUND_FLOOR))
    assert worse[0] == "300007"
    assert worse[1].startswith("priceWorseThanLiquidationPrice")
    assert answer(caller, CLASSIC, order(liquidation, ROUND_CEILING))[0] == OK
    worse = answer(caller, CLASSIC, order(bankruptcy, ROUND_FLOOR, **close))
    assert worse[0] == "300006"
    assert worse[1].startswith("The close price shall be greater than the bankruptcy price.")
    assert answer(caller, CLASSIC, order(bankruptcy, ROUND_CEILING, **close))[0] == OK
    caller.reply("DELETE", "/api/v3/orders", symbol=CONTRACT)
    caller.post(CLASSIC, **filled_in(usual, {"type": "market", "closeOrder": True}))


def test_what_only_reduces_is_cut_to_the_position_and_needs_one(futures):
    caller, prices = futures
    usual = {"symbol": CONTRACT, "type": "limit", "size": 1, "leverage": 10, "side": "sell"}
    usual |= {"price": str(prices.ask + 900)}
    for flag in ("reduceOnly", "closeOrder"):
        refused = answer(caller, CLASSIC, filled_in(usual, {flag: True}))
        assert refused == ("300009", "No open positions to close.")
    caller.post(CLASSIC, **filled_in(usual, {"side": "buy", "type": "market", "size": 5}))

    for changes in ({"reduceOnly": True, "size": 8}, {"closeOrder": True, "size": None}):
        placed = caller.post(CLASSIC, **filled_in(usual, changes))
        assert caller.order(placed["orderId"])["size"] == 5
        caller.reply("DELETE", "/api/v3/orders", symbol=CONTRACT)
    same_side = filled_in(usual, {"side": "buy", "price": str(prices.bid - 90), "reduceOnly": True})
    assert answer(caller, CLASSIC, same_side)[0] == "300009"
    caller.post(CLASSIC, **filled_in(usual, {"type": "market", "closeOrder": True}))


def test_far_orders_count_for_their_own_worth_against_the_risk_limit(futures):
    caller, prices = futures
    usual = {"symbol": CONTRACT, "type": "limit", "side": "buy", "leverage": 10}
    caller.post(CLASSIC, **filled_in(usual, {"price": "0.1", "size": 1_000_000}))  # 100 dollars

    near = filled_in(usual, {"price": str(prices.bid - 900), "size": 1})

    assert answer(caller, CLASSIC, near)[0] == OK
    caller.reply("DELETE", "/api/v3/orders", symbol=CONTRACT)


def test_a_change_of_an_order_keeps_the_limits_and_needs_no_place_of_its_own(spot):
    caller, prices = spot
    usual = usual_spot(prices) | {"size": "0.00001"}
    for _ in range(200):
        caller.post(FAST, **filled_in(usual, {}))
    one = caller.get(f"{FAST}/active", symbol=PAIR)[0]["id"]
    named = {"symbol": PAIR, "orderId": one}

    assert answer(caller, FAST, filled_in(usual, {})) == (
        "200003", "Number of orders breached the limit",
    )  # fmt: skip
    for change, text in (
        ({"newSize": "0.000009"}, "Order size below the minimum requirement."),
        ({"newSize": "0.000010001"}, "Order size increment invalid."),
        ({"newPrice": str(prices.bid - 900 + prices.priceIncrement / 2)}, "Price increment"),
        ({}, "newPrice and newSize are missing"),
    ):
        code, why = caller.refusal("POST", f"{FAST}/alter", named | change)
        assert (code, why[: len(text)]) == ("400100", text)
    changed = caller.post(f"{FAST}/alter", **named, newPrice=str(prices.bid - 900))
    assert changed["newOrderId"] != one
    assert len(caller.get(f"{FAST}/active", symbol=PAIR)) == 200
    caller.delete(FAST, symbol=PAIR)


def test_stops_of_a_pair_are_counted_alone_and_among_its_orders(spot):
    caller, prices = spot
    stop = usual_spot(prices) | {"stop": "entry", "stopPrice": str(prices.ask + 3_000)}
    for _ in range(20):
        caller.post("/api/v1/stop-order", **filled_in(stop, {}))
    full = ("200003", "Number of orders breached the limit")

    assert answer(caller, "/api/v1/stop-order", filled_in(stop, {})) == full
    for _ in range(180):
        caller.post(FAST, **filled_in(usual_spot(prices) | {"size": "0.00001"}, {}))
    assert answer(caller, FAST, filled_in(usual_spot(prices), {})) == full
    caller.delete("/api/v1/stop-order/cancel", symbol=PAIR)
    assert answer(caller, FAST, filled_in(usual_spot(prices), {}))[0] == OK
    caller.delete(FAST, symbol=PAIR)
