"""A day of random spot calls, after which every amount is accounted for to the last digit."""

import re
from collections import defaultdict
from decimal import Decimal
from random import Random

import pytest

from tests.unit.sim.calls import Caller, let_pass, still_exchange
from tests.unit.sim.client import drain
from tests.unit.sim.signed import private_client, subscribe_private

FAST, CLASSIC = "/api/v1/hf/orders", "/api/v1/orders"
STOPS, OCO = "/api/v1/stop-order", "/api/v3/oco"
CALLS = 200
PAIRS = {"BTC-USDT": Decimal("0.1"), "ETH-BTC": Decimal("0.00001")}  # the steps of their prices
SIZES = {"BTC-USDT": Decimal("0.00123"), "ETH-BTC": Decimal("0.0431")}
STPS = ("", "CN", "CO", "CB", "DC")


class Day:
    """Makes random calls; refusals are part of a day, errors of the server are not."""

    def __init__(self, exchange, seed):
        self.exchange, self.caller, self.random = exchange, Caller(exchange), Random(seed)
        self.made, self.refused, self.number = defaultdict(int), defaultdict(int), 0

    def call(self, method, path, **values):
        reply = self.caller.send(method, path, **values)
        assert reply.status_code == 200, reply.text
        code = reply.json()["code"]
        (self.made if code == "200000" else self.refused)[f"{method} {path}"] += 1
        assert code in ("200000", "200004", "400100", "400370", "400760", "230003"), reply.text
        return reply.json().get("data")

    def order(self):
        random = self.random
        symbol = random.choice(list(PAIRS))
        side = random.choice(["buy", "sell"])
        best = self.caller.get("/api/v1/market/orderbook/level1", symbol=symbol)
        self.number += 1
        order = {
            "clientOid": f"day-{self.number}",
            "symbol": symbol,
            "side": side,
            "size": str(SIZES[symbol] * random.randint(1, 9)),
        }
        if random.random() < 0.3:
            return order | {"type": "market"}
        away = PAIRS[symbol] * random.choice([-40, -5, 0, 0, 1, 3, 10, 300])
        price = (
            Decimal(best["bestBid"]) - away if side == "buy" else Decimal(best["bestAsk"]) + away
        )
        kind = random.choice(
            [{}, {"postOnly": True}, {"timeInForce": "IOC"}, {"timeInForce": "FOK"}]
        )
        if random.random() < 0.2:
            kind = {"timeInForce": "GTT", "cancelAfter": random.randint(1, 100)}
        return order | kind | {
            "type": "limit", "price": str(price.quantize(PAIRS[symbol])),
            "stp": random.choice(STPS),
        }  # fmt: skip

    def step(self):
        acts = [self.place] * 8 + [self.cancel] * 3 + [self.alter, self.cut, self.stop, self.oco]
        acts += [self.move, self.funds, self.several, self.wait, self.wait, self.cancel_pair]
        self.random.choice(acts)()

    def place(self):
        self.call("POST", self.random.choice([FAST, f"{FAST}/sync", CLASSIC]), **self.order())

    def several(self):
        self.call("POST", f"{FAST}/multi", orderList=[self.order() for _ in range(3)])

    def funds(self):
        order = self.order() | {"type": "market", "side": "buy", "size": ""}
        funds = "25.5" if order["symbol"] == "BTC-USDT" else "0.003"
        keep = ("clientOid", "symbol", "type", "side")
        self.call("POST", FAST, funds=funds, **{name: order[name] for name in keep})

    def stop(self):
        order = self.order() | {"timeInForce": "GTC", "cancelAfter": -1}
        last = self.last_price(order["symbol"])
        away = PAIRS[order["symbol"]] * self.random.randint(-60, 60)
        self.call(
            "POST",
            STOPS,
            stop=self.random.choice(["loss", "entry"]),
            stopPrice=str(last + away),
            **order,
        )

    def last_price(self, symbol):
        return Decimal(self.caller.get("/api/v1/market/orderbook/level1", symbol=symbol)["price"])

    def oco(self):
        order = self.order()
        step = PAIRS[order["symbol"]] * 60 * (1 if order["side"] == "sell" else -1)
        last = self.last_price(order["symbol"])
        keep = ("clientOid", "symbol", "side", "size")
        self.call(
            "POST", f"{OCO}/order", price=str(last + step), stopPrice=str(last - step),
            limitPrice=str(last - step), **{name: order[name] for name in keep},
        )  # fmt: skip

    def open_order(self):
        found = self.caller.get(CLASSIC, status="active", pageSize=500)["items"]
        return self.random.choice(found) if found else None

    def cancel(self):
        order = self.open_order()
        if order is not None and self.random.random() < 0.5:
            self.call("DELETE", f"{FAST}/{order['id']}", symbol=order["symbol"])
        elif order is not None:
            self.call("DELETE", f"{CLASSIC}/{order['id']}")

    def cancel_pair(self):
        self.call("DELETE", f"{OCO}/orders", symbol="BTC-USDT")
        self.call("DELETE", f"{STOPS}/cancel", symbol="ETH-BTC")

    def alter(self):
        order = self.open_order()
        if order is not None:
            size = SIZES[order["symbol"]] * self.random.randint(1, 9)
            price = Decimal(order["price"]) + PAIRS[order["symbol"]] * self.random.randint(-50, 50)
            self.call(
                "POST", f"{FAST}/alter", symbol=order["symbol"], orderId=order["id"],
                newPrice=str(price), newSize=str(size),
            )  # fmt: skip

    def cut(self):
        order = self.open_order()
        if order is not None:
            path = f"{FAST}/cancel/{order['id']}"
            size = Decimal(order["size"]) / 3
            step = Decimal("0.00001")
            self.call("DELETE", path, symbol=order["symbol"], cancelSize=str(size.quantize(step)))

    def move(self):
        names = self.random.sample(["MAIN", "TRADE", "CONTRACT", "MARGIN"], 2)
        self.number += 1
        self.call(
            "POST", "/api/v3/accounts/universal-transfer", clientOid=f"move-{self.number}",
            type="INTERNAL", currency=self.random.choice(["USDT", "BTC"]),
            amount=str(self.random.randint(1, 500) / Decimal(10_000)),
            fromAccountType=names[0], toAccountType=names[1],
        )  # fmt: skip

    def wait(self):
        let_pass(self.exchange, self.random.choice([1, 5, 30]))


def pages(caller, path, **values):
    number, found = 1, []
    while True:
        page = caller.get(path, currentPage=number, pageSize=100, **values)
        found += page["items"]
        if number >= page["totalPage"]:
            assert len(found) == page["totalNum"]
            return found
        number += 1


def balances(caller):
    return {
        (row["type"].upper(), row["currency"]): {
            name: Decimal(row[name]) for name in ("balance", "available", "holds")
        }
        for kind in ("main", "trade", "margin")
        for row in caller.get("/api/v1/accounts", type=kind)
    }


@pytest.fixture(scope="module", params=[1, 2, 3])
def day(request):
    with still_exchange(speed=200) as (exchange, caller):
        opening = balances(caller)
        with private_client(exchange, "spot") as client:
            for topic in ("/spotMarket/tradeOrdersV2", "/account/balance"):
                assert subscribe_private(client, topic)["type"] == "ack"
            day = Day(exchange, request.param)
            for _ in range(CALLS):
                day.step()
            drain(client)
            day.frames = client.messages()
        day.opening = opening
        yield day


def test_the_day_had_some_of_everything(day):
    made = {re.sub("[0-9a-f]{24}", "ID", name) for name in day.made}
    fills = pages(day.caller, "/api/v1/fills")

    assert made == {
        f"POST {FAST}", f"POST {FAST}/sync", f"POST {FAST}/multi", f"POST {CLASSIC}",
        f"POST {FAST}/alter", f"DELETE {FAST}/cancel/ID", f"DELETE {FAST}/ID",
        f"DELETE {CLASSIC}/ID", f"POST {STOPS}", f"DELETE {STOPS}/cancel", f"POST {OCO}/order",
        f"DELETE {OCO}/orders", "POST /api/v3/accounts/universal-transfer",
    }  # fmt: skip
    assert sum(day.refused.values()) < sum(day.made.values()) / 4
    assert {fill["liquidity"] for fill in fills} == {"maker", "taker"}
    assert len(fills) > 30


def test_balances_are_the_opening_and_the_ledger_to_the_last_digit(day):
    expected = {key: row["balance"] for key, row in day.opening.items()}
    newest = {}
    for row in pages(day.caller, "/api/v1/accounts/ledgers"):
        key, sign = (row["accountType"], row["currency"]), 1 if row["direction"] == "in" else -1
        expected[key] = expected.get(key, Decimal(0)) + sign * Decimal(row["amount"])
        newest.setdefault(key, Decimal(row["balance"]))

    found = balances(day.caller)

    assert {key: row["balance"] for key, row in found.items()} == expected
    assert newest.items() <= expected.items()
    for row in found.values():
        assert row["balance"] == row["available"] + row["holds"]


def test_the_fills_of_an_order_are_its_sums(day):
    sums = defaultdict(lambda: defaultdict(Decimal))
    for fill in pages(day.caller, "/api/v1/fills"):
        for name, field in (("dealSize", "size"), ("dealFunds", "funds"), ("fee", "fee")):
            sums[fill["orderId"]][name] += Decimal(fill[field])
        assert Decimal(fill["funds"]) == Decimal(fill["price"]) * Decimal(fill["size"])
        assert Decimal(fill["fee"]) == Decimal(fill["funds"]) * Decimal(fill["feeRate"])

    orders = [
        row for status in ("active", "done")
        for row in pages(day.caller, CLASSIC, status=status)
    ]  # fmt: skip

    assert len({row["id"] for row in orders}) == len(orders)
    assert sums.keys() <= {row["id"] for row in orders}
    for row in orders:
        for name in ("dealSize", "dealFunds", "fee"):
            assert Decimal(row[name]) == sums[row["id"]][name], row


def test_the_rows_of_an_order_add_up(day):
    for symbol in PAIRS:
        last, rows = 0, day.caller.get(f"{FAST}/active", symbol=symbol)
        while page := day.caller.get(f"{FAST}/done", symbol=symbol, limit=100, lastId=last)[
            "items"
        ]:
            rows += page
            last = day.caller.get(f"{FAST}/done", symbol=symbol, limit=100, lastId=last)["lastId"]
        for row in rows:
            number = {name: Decimal(row[name]) for name in row if name.endswith(("Size", "Funds"))}
            if row["type"] == "limit":
                left = number["dealSize"] + number["remainSize"] + number["cancelledSize"]
                assert Decimal(row["size"]) == left, row
                left = number["dealFunds"] + number["remainFunds"] + number["cancelledFunds"]
                is_better = row["side"] == "sell" and left > Decimal(row["funds"])
                assert is_better or Decimal(row["funds"]) == left, row
                assert number["remainFunds"] >= 0, row
            assert row["active"] or not number["remainSize"]


def test_open_orders_bind_what_is_on_hold(day):
    bound = defaultdict(Decimal)
    for row in pages(day.caller, CLASSIC, status="active"):
        left = Decimal(row["size"]) - Decimal(row["dealSize"])
        base, _, quote = row["symbol"].partition("-")
        if row["side"] == "sell":
            bound[base] += left
        else:
            bound[quote] += left * Decimal(row["price"]) * Decimal("1.001")

    for (wallet, coin), row in balances(day.caller).items():
        assert row["holds"] == (bound[coin] if wallet == "TRADE" else 0), (wallet, coin)


def test_the_private_streams_have_shown_the_same(day):
    newest, matches = {}, set()
    for frame in day.frames:
        if frame["subject"] == "orderChange":
            data = frame["data"]
            newest[data["orderId"]] = data
            if data["type"] == "match":
                matches.add(
                    (data["orderId"], data["tradeId"], data["matchPrice"], data["matchSize"])
                )
    fills = pages(day.caller, "/api/v1/fills")
    rows = [
        row for status in ("active", "done")
        for row in pages(day.caller, CLASSIC, status=status)
    ]  # fmt: skip

    assert matches == {(f["orderId"], f["tradeId"], f["price"], f["size"]) for f in fills}
    assert newest.keys() == {row["id"] for row in rows}
    for row in rows:
        data = newest[row["id"]]
        assert (data["clientOid"], data["filledSize"]) == (row["clientOid"], row["dealSize"])
        assert (data["status"] == "done") is not row["isActive"]
        if row["size"] != "0":
            assert data["size"] == row["size"]
    shown = {}
    for frame in day.frames:
        if frame["subject"] == "account.balance":
            shown[frame["data"]["accountId"]] = frame["data"]
    for row in day.caller.get("/api/v1/accounts"):
        if row["id"] in shown:
            data = shown[row["id"]]
            assert (data["total"], data["available"], data["hold"]) == (
                row["balance"], row["available"], row["holds"],
            )  # fmt: skip
