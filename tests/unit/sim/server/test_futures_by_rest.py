"""Hours of random futures calls over REST, after which every list agrees with every other."""

from collections import Counter, defaultdict
from decimal import Decimal
from random import Random

import pytest

from tests.unit.sim.futures_caller import Caller, quiet_exchange
from tests.unit.sim.signed import life, private_client, subscribe_private

KCS, INVERSE = "KCSUSDTM", "XBTUSDM"
SETTLES = {KCS: "USDT", INVERSE: "XBT"}
SIZES = {KCS: 400, INVERSE: 900}
CALLS, MEAN_GAP = 200, 9.0  # seconds of virtual time between two calls
START = "2026-01-05T15:40:00Z"
SETTLED_NS = 1_767_628_812_000_000_000  # both contracts settled their funding 12 s before
TINY = Decimal("1e-9")  # figures of positions have ten digits

#: What may come of a call that random choices have made impossible.
REFUSALS = {
    "100001": "no margin to take out",
    "100004": "the order is done",
    "230003": "too little to move",
    "300003": "too little margin",
    "300005": "above the risk limit",
    "300006": "worse than bankruptcy",
    "300009": "no position",
    "300011": "outside the price band",
    "300012": "outside the price band",
    "300015": "the funding is being settled",
    "300016": "too much leverage",
    "330005": "the mode is fixed",
}


class Script:
    """A user who does what a seed says."""

    def __init__(self, caller, seed):
        self.caller = caller
        self.random = Random(seed)
        self.outcomes = Counter()
        self.actions = {
            self.limit: 30, self.market: 24, self.stop: 10, self.pair: 4, self.cancel: 10,
            self.cancel_all: 3, self.cross_leverage: 4, self.margin_mode: 8, self.margin: 6,
            self.risk_level: 2, self.move: 8,
        }  # fmt: skip

    def act(self):
        (action,) = self.random.choices([*self.actions], [*self.actions.values()])
        method, path, values = action(self.random.choice([KCS, INVERSE]))
        body, query = (None, values) if method == "DELETE" else (values, {})
        reply = self.caller.reply(method, path, body, **query)
        found = reply.json()
        assert reply.status_code == 200, found
        assert found["code"] == "200000" or found["code"] in REFUSALS, found
        self.outcomes[action.__name__ if found["code"] == "200000" else found["code"]] += 1

    def hold(self):
        """Have a position in each contract."""
        for symbol in SETTLES:
            self.caller.reply("POST", "/api/v1/orders", self.form(symbol, side="buy"))
            assert self.caller.get("/api/v1/position", symbol=symbol)["isOpen"]

    def price(self, symbol, reach):
        ticker = self.caller.get("/api/v1/ticker", symbol=symbol)
        price = float(ticker["price"]) * (1 + self.random.uniform(-reach, reach))
        return f"{price:.3f}" if symbol == KCS else f"{price:.1f}"

    def form(self, symbol, price=None, side=None, **values):
        mode = self.caller.get("/api/v2/position/getMarginMode", symbol=symbol)["marginMode"]
        size = self.random.randint(1, SIZES[symbol])
        leverage = self.random.choice([1, 5, 10, 20])
        side = side or self.random.choice(["buy", "sell"])
        common = {"marginMode": mode, "leverage": leverage} | values
        return self.caller.form(symbol, side, size, price, **common)

    def limit(self, symbol):
        extra = self.random.choice(
            [
                {},
                {},
                {"postOnly": True},
                {"timeInForce": "IOC"},
                {"reduceOnly": True},
                {"stp": "CO"},
            ]
        )
        return "POST", "/api/v1/orders", self.form(symbol, self.price(symbol, 0.001), **extra)

    def market(self, symbol):
        extra = self.random.choice([{}, {}, {"reduceOnly": True}, {"closeOrder": True}])
        return "POST", "/api/v1/orders", self.form(symbol, **extra)

    def stop(self, symbol):
        stop = {
            "stop": self.random.choice(["up", "down"]),
            "stopPrice": self.price(symbol, 0.004),
            "stopPriceType": self.random.choice(["TP", "MP", "IP"]),
        }
        price = self.random.choice([None, self.price(symbol, 0.004)])
        return "POST", "/api/v1/orders", self.form(symbol, price, **stop)

    def pair(self, symbol):
        last = float(self.price(symbol, 0))
        up, down = (f"{last * by:.1f}" for by in (1.005, 0.995))
        values = {"triggerStopUpPrice": up, "triggerStopDownPrice": down, "stopPriceType": "MP"}
        return "POST", "/api/v1/st-orders", self.form(symbol, **values)

    def cancel(self, _symbol):
        rows = [
            *self.caller.get("/api/v1/orders", status="active")["items"],
            *self.caller.get("/api/v1/stopOrders")["items"],
        ]
        order_id = self.random.choice(rows)["id"] if rows else "1"
        return "DELETE", f"/api/v1/orders/{order_id}", {}

    def cancel_all(self, symbol):
        path = self.random.choice(["/api/v3/orders", "/api/v1/stopOrders"])
        return "DELETE", path, {"symbol": symbol}

    def cross_leverage(self, symbol):
        values = {"symbol": symbol, "leverage": str(self.random.choice([2, 5, 15]))}
        return "POST", "/api/v2/changeCrossUserLeverage", values

    def margin_mode(self, symbol):
        # Open orders and a position would fix the mode.
        self.caller.reply("DELETE", "/api/v3/orders", symbol=symbol)
        self.caller.reply("POST", "/api/v1/orders", self.form(symbol, closeOrder=True))
        values = {"symbol": symbol, "marginMode": self.random.choice(["ISOLATED", "CROSS"])}
        return "POST", "/api/v2/position/changeMarginMode", values

    def margin(self, symbol):
        amount = "0.5" if symbol == KCS else "0.00005"
        if self.random.random() < 0.5:
            values = {"symbol": symbol, "margin": amount, "bizNo": f"m{self.random.random()}"}
            return "POST", "/api/v1/position/margin/deposit-margin", values
        values = {"symbol": symbol, "withdrawAmount": amount}
        return "POST", "/api/v1/margin/withdrawMargin", values

    def risk_level(self, symbol):
        values = {"symbol": symbol, "level": self.random.choice([1, 2])}
        return "POST", "/api/v1/position/risk-limit-level/change", values

    def move(self, symbol):
        amount = round(self.random.uniform(0.001, 0.01), 6)
        values = {"currency": SETTLES[symbol], "amount": amount}
        if self.random.random() < 0.5:
            return "POST", "/api/v3/transfer-out", values | {"recAccountType": "TRADE"}
        return "POST", "/api/v1/transfer-in", values | {"payAccountType": "TRADE"}


class Outcome:
    """All that can be read after the script."""

    def __init__(self, exchange, caller, client, opening, script):
        self.opening, self.script = opening, script
        self.orders = {
            row["id"]: row
            for status in ("active", "done")
            for row in pages(caller, "/api/v1/orders", status=status)
        }
        self.fills = pages(caller, "/api/v1/fills")
        self.closed = [
            row
            for number in range(1, 4)
            for row in caller.get("/api/v1/history-positions", limit=200, pageId=number)["items"]
        ]
        self.positions = {s: caller.get("/api/v1/position", symbol=s) for s in SETTLES}
        self.fundings = caller.exact("/api/v1/funding-history", maxCount=100)["dataList"]
        self.history = caller.exact("/api/v1/transaction-history", maxCount=1_000)["dataList"]
        self.overviews = {
            coin: caller.exact("/api/v1/account-overview", currency=coin)
            for coin in SETTLES.values()
        }
        self.balances = {
            coin: exchange.demo_account.futures_wallet(coin).balance for coin in SETTLES.values()
        }
        self.frames = client.messages()

    def data(self, subject, **wanted):
        rows = [frame["data"] for frame in self.frames if frame["subject"] == subject]
        return [row for row in rows if wanted.items() <= row.items()]


def pages(caller, path, **query):
    rows = []
    while True:
        page = caller.get(path, pageSize=100, currentPage=len(rows) // 100 + 1, **query)
        rows += page["items"]
        if len(rows) == page["totalNum"]:
            return rows


@pytest.fixture(scope="module")
def outcome():
    with quiet_exchange([*SETTLES], START) as exchange:
        caller, opening = Caller(exchange), {}
        for coin in SETTLES.values():
            opening[coin] = exchange.demo_account.futures_wallet(coin).balance
        script = Script(caller, seed=5)
        with private_client(exchange) as client:
            for topic in ("/contractMarket/tradeOrders", "/contractAccount/wallet"):
                subscribe_private(client, topic)
            subscribe_private(client, "/contract/positionAll")
            for symbol in SETTLES:
                subscribe_private(client, f"/contractMarket/execution:{symbol}", private=False)
            subscribe_private(client, f"/contract/instrument:{KCS}", private=False)
            for number in range(CALLS):
                script.act()
                life(exchange, client, script.random.expovariate(1 / MEAN_GAP))
                if number == CALLS // 2:
                    script.hold()
                    life(exchange, client, (SETTLED_NS - exchange.now_ns) / 1e9)
            yield Outcome(exchange, caller, client, opening, script)


def test_the_script_did_everything(outcome):
    done = outcome.script.outcomes
    names = {action.__name__ for action in outcome.script.actions}

    assert sum(done.values()) == CALLS
    assert set(done) >= names, done
    assert sum(done[name] for name in names) > CALLS / 2, done
    assert len(outcome.fills) > 50
    assert {row["liquidity"] for row in outcome.fills} == {"maker", "taker"}
    assert {row["marginMode"] for row in outcome.fills} == {"ISOLATED", "CROSS"}
    assert len(outcome.closed) > 5


@pytest.mark.parametrize("coin", ["USDT", "XBT"])
def test_a_balance_is_the_opening_one_with_all_rows_of_its_history(outcome, coin):
    rows = [row for row in reversed(outcome.history) if row["currency"] == coin]
    balance = outcome.opening[coin]

    for row in rows:
        balance += row["amount"]
        assert row["accountEquity"] == balance

    assert balance == outcome.balances[coin]
    assert outcome.overviews[coin]["marginBalance"] == balance
    assert {row["type"] for row in rows} > {"RealisedPNL"}


def test_orders_are_the_sums_of_their_fills(outcome):
    sizes, values = defaultdict(int), defaultdict(Decimal)
    for fill in outcome.fills:
        sizes[fill["orderId"]] += fill["size"]
        values[fill["orderId"]] += Decimal(fill["value"])
        rate = Decimal(fill["feeRate"])
        assert Decimal(fill["fee"]) == (Decimal(fill["value"]) * rate).quantize(Decimal("1e-12"))

    assert set(sizes) <= set(outcome.orders)
    for order_id, row in outcome.orders.items():
        assert row["dealSize"] == sizes[order_id]
        assert Decimal(row["dealValue"]) == values[order_id]


@pytest.mark.parametrize("symbol", [*SETTLES])
def test_a_position_is_the_sum_of_its_fills(outcome, symbol):
    signed = [
        fill["size"] if fill["side"] == "buy" else -fill["size"]
        for fill in outcome.fills
        if fill["symbol"] == symbol
    ]

    assert outcome.positions[symbol]["currentQty"] == sum(signed)


@pytest.mark.parametrize("symbol", [*SETTLES])
def test_closed_and_open_positions_are_the_realised_profit(outcome, symbol):
    booked = sum(
        row["amount"]
        for row in outcome.history
        if row["type"] == "RealisedPNL" and row["remark"] == symbol
    )
    closed = sum(Decimal(row["pnl"]) for row in outcome.closed if row["symbol"] == symbol)
    still_open = Decimal(0)
    if outcome.positions[symbol]["isOpen"]:
        still_open = Decimal(repr(outcome.positions[symbol]["realisedPnl"]))

    assert closed + still_open == pytest.approx(booked, abs=TINY)
    fees = sum(Decimal(row["fee"]) for row in outcome.fills if row["symbol"] == symbol)
    charged = sum(row["fee"] for row in outcome.history if row["remark"] == symbol)
    assert charged == fees


def test_fundings_are_those_of_the_settlement(outcome):
    sent = {
        (row["symbol"], row["qty"], row["fundingFee"])
        for row in outcome.data("position.settlement")
    }

    assert {
        (row["symbol"], row["positionQty"], float(row["funding"])) for row in outcome.fundings
    } == sent
    assert {row["symbol"] for row in outcome.fundings} == {*SETTLES}
    booked = [row["amount"] for row in outcome.history if row["fee"] == 0]
    assert all(row["funding"] in booked for row in outcome.fundings)


def test_the_order_stream_shows_the_same_orders_and_fills(outcome):
    events = defaultdict(list)
    for row in outcome.data("symbolOrderChange"):
        events[row["orderId"]].append(row)
    matches = {
        (row["tradeId"], row["orderId"], row["matchSize"], row["matchPrice"], row["feeType"])
        for rows in events.values()
        for row in rows
        if row["type"] == "match"
    }

    assert set(events) == set(outcome.orders)
    for order_id, rows in events.items():
        last, order = rows[-1], outcome.orders[order_id]
        assert int(last["filledSize"]) == order["dealSize"]
        assert (last["status"] == "done") == (not order["isActive"])
        assert (int(last["canceledSize"]) > 0) == order["cancelExist"]
        assert last.get("clientOid", order_id) == order["clientOid"]
    assert {
        (
            row["tradeId"],
            row["orderId"],
            str(row["size"]),
            row["price"],
            f"{row['liquidity']}Fee",
        )
        for row in outcome.fills
        if row["tradeType"] == "trade"
    } == {(a, b, c, trimmed(d), e) for a, b, c, d, e in matches}


def trimmed(price):
    return price.rstrip("0").rstrip(".") if "." in price else price


def test_the_public_tape_has_every_fill(outcome):
    tape = {row["tradeId"]: row for row in outcome.data("match")}

    for fill in outcome.fills:
        trade = tape[fill["tradeId"]]
        side = "takerOrderId" if fill["liquidity"] == "taker" else "makerOrderId"
        assert trade[side] == fill["orderId"]
        assert (int(trade["size"]), trimmed(trade["price"])) == (fill["size"], fill["price"])


def test_the_position_and_wallet_streams_end_with_what_rest_says(outcome):
    for symbol, position in outcome.positions.items():
        whole = [row for row in outcome.data("position.change", symbol=symbol) if "posCost" in row]
        last = whole[-1]
        for name in ("currentQty", "avgEntryPrice", "realisedPnl", "posCost", "currentCost"):
            assert last[name] == position[name], name
    for coin, balance in outcome.balances.items():
        last = outcome.data("walletBalance.change", currency=coin)[-1]
        assert Decimal(last["walletBalance"]) == balance
