"""An account's books over REST and its sockets, read by no code of the package, and reconciled.

It shares nothing with the client or the exchange in kucoin_research: own signatures, own arithmetic
with `Decimal`, own pages.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import defaultdict
from decimal import Decimal
from urllib.parse import urlencode

import requests
import websocket


def b64hmac(secret, text):
    return base64.b64encode(
        hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    ).decode()


class Books:
    """Signed calls of one account; numbers are read with all their digits."""

    def __init__(self, addresses, login):
        self.addresses, self.login = addresses, login
        self.http = requests.Session()
        self.http.trust_env = False

    def call(self, market, method, path, **query):
        key, secret, passphrase = self.login
        target = path + ("?" + urlencode(query) if query else "")
        stamp = str(time.time_ns() // 1_000_000)
        reply = self.http.request(
            method, self.addresses[market] + target, timeout=120,
            headers={
                "KC-API-KEY": key, "KC-API-TIMESTAMP": stamp, "KC-API-KEY-VERSION": "3",
                "KC-API-SIGN": b64hmac(secret, stamp + method + target),
                "KC-API-PASSPHRASE": b64hmac(secret, passphrase),
            },
        )  # fmt: skip
        found = json.loads(reply.text, parse_float=Decimal)
        assert found["code"] == "200000", (path, query, found)
        return found["data"]

    def pages(self, market, path, number="currentPage", size="pageSize", **query):
        """Every row of a list with numbered pages; one call has other names for the two."""
        rows, page_number = [], 1
        while True:
            page = self.call(market, "GET", path, **{number: page_number, size: 200}, **query)
            assert page["currentPage"] == page_number, path
            rows += page["items"]
            if page_number >= page["totalPage"]:
                assert len(rows) == page["totalNum"], path
                return rows
            page_number += 1

    def futures_ledger(self, currency):
        rows, more = [], {}
        while True:
            page = self.call(
                "futures", "GET", "/api/v1/transaction-history",
                currency=currency, maxCount=50, forward="true", **more,
            )  # fmt: skip
            rows += page["dataList"]
            if not page["hasMore"]:
                return rows
            more = {"offset": page["dataList"][-1]["offset"]}

    def coins(self):
        """Coin to total and hold of the trade account."""
        return {
            row["currency"]: (Decimal(row["balance"]), Decimal(row["holds"]))
            for row in self.call("spot", "GET", "/api/v1/accounts", type="trade")
        }


class Listener:
    """Frames of one market's private and public topics, from a thread of its own."""

    def __init__(self, books, market, private, public):
        self.frames, self._lock = [], threading.Lock()
        token = books.call(market, "POST", "/api/v1/bullet-private")
        server = token["instanceServers"][0]
        self.socket = websocket.create_connection(
            f"{server['endpoint']}?token={token['token']}&connectId=books", timeout=60
        )
        assert json.loads(self.socket.recv())["type"] == "welcome"
        for number, topic in enumerate([*private, *public]):
            self._send(
                id=f"s{number}", type="subscribe", topic=topic, response=True,
                privateChannel=topic in private,
            )  # fmt: skip
        self._acks = len(private) + len(public)
        self._every = server["pingInterval"] / 1_000
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        while self._acks:
            self._take(self.socket.recv())
        self._thread.start()
        threading.Thread(target=self._ping, daemon=True).start()

    def _send(self, **frame):
        self.socket.send(json.dumps(frame))

    def _take(self, text):
        frame = json.loads(text, parse_float=Decimal)
        if frame["type"] == "message":
            with self._lock:
                self.frames.append(frame)
        elif frame["type"] == "ack":
            self._acks -= 1
        else:
            assert frame["type"] == "pong", frame

    def _listen(self):
        while not self._done.is_set():
            try:
                text = self.socket.recv()
            except (websocket.WebSocketException, OSError):
                return
            if text:
                self._take(text)

    def _ping(self):
        while not self._done.wait(self._every):
            self._send(id="p", type="ping")

    def snapshot(self):
        with self._lock:
            return list(self.frames)

    def close(self):
        self._done.set()
        self.socket.close()


class Complaints(list):
    """What does not agree; and how many things were compared."""

    def __init__(self):
        super().__init__()
        self.compared = defaultdict(int)

    def same(self, what, subject, found, wanted):
        self.compared[what] += 1
        if found != wanted:
            self.append(f"{what} of {subject}: {found} is not {wanted}")


def total(values):
    return sum((Decimal(str(value)) for value in values), Decimal(0))


def reconcile_spot(books, before, frames, orders, pair, complaints):
    """Compare balances, ledgers, orders, fills, private frames and the public tape of spot."""
    base, quote = pair.split("-")
    after = books.coins()
    ledger = [
        row
        for coin in after
        for row in books.pages("spot", "/api/v1/accounts/ledgers", currency=coin)
    ]
    for coin, (owned, held) in after.items():
        moved = total(
            Decimal(row["amount"]) * (1 if row["direction"] == "in" else -1)
            for row in ledger
            if row["currency"] == coin and row["accountType"].startswith("TRADE")
        )
        complaints.same("spot balance", coin, owned, before[coin][0] + moved)
        complaints.same("spot hold", coin, held, Decimal(0))
        told = [
            f["data"]
            for f in frames
            if f["subject"] == "account.balance" and f["data"]["currency"] == coin
        ]
        if told:
            complaints.same("last balance frame", coin, Decimal(told[-1]["total"]), owned)
            changes = total(row["availableChange"] for row in told) + total(
                row["holdChange"] for row in told
            )
            complaints.same("balance frames", coin, changes, moved)
    fills = books.pages("spot", "/api/v1/fills", symbol=pair, tradeType="TRADE")
    sign = {"buy": 1, "sell": -1}
    bought = total(sign[row["side"]] * Decimal(row["size"]) for row in fills)
    paid = total(sign[row["side"]] * Decimal(row["funds"]) + Decimal(row["fee"]) for row in fills)
    complaints.same("spot fills", base, after[base][0], before[base][0] + bought)
    complaints.same("spot fills", quote, after[quote][0], before[quote][0] - paid)
    by_order = defaultdict(list)
    for row in fills:
        by_order[row["orderId"]].append(row)
    stories = stories_of(frames, "orderChange", "/spotMarket/tradeOrdersV2")
    tape = {
        f["data"]["tradeId"]: f["data"] for f in frames if f["topic"].startswith("/market/match")
    }
    for order_id in orders:
        row = books.call("spot", "GET", f"/api/v1/orders/{order_id}")
        mine = by_order.pop(order_id, [])
        complaints.same(
            "spot order size", order_id, Decimal(row["dealSize"]), total(f["size"] for f in mine)
        )
        complaints.same(
            "spot order funds", order_id, Decimal(row["dealFunds"]), total(f["funds"] for f in mine)
        )
        complaints.same(
            "spot order fee", order_id, Decimal(row["fee"]), total(f["fee"] for f in mine)
        )
        complaints.same("spot order state", order_id, row["isActive"], False)
        compare_story(
            order_id,
            stories[order_id],
            mine,
            tape,
            complaints,
        )
    complaints.same("spot fills of unknown orders", pair, sorted(by_order), [])


def reconcile_futures(books, before, frames, orders, contract, settle, multiplier, complaints):
    """Compare balances, ledgers, orders, fills, positions, frames and the tape of futures."""
    overview = books.call("futures", "GET", "/api/v1/account-overview", currency=settle)
    ledger = books.futures_ledger(settle)
    moved = total(row["amount"] for row in ledger)
    told = [
        f["data"]
        for f in frames
        if f["subject"] == "walletBalance.change" and f["data"]["currency"] == settle
    ]
    complaints.same("futures balance", settle, Decimal(told[-1]["walletBalance"]), before + moved)
    complaints.same("order margin", settle, Decimal(told[-1]["isolatedOrderMargin"]), Decimal(0))
    complaints.same(
        "account overview", settle, round(Decimal(str(overview["orderMargin"])), 8), Decimal(0)
    )
    fills = books.pages("futures", "/api/v1/fills", symbol=contract)
    sign = {"buy": 1, "sell": -1}
    lots = sum(sign[row["side"]] * row["size"] for row in fills)
    position = books.call("futures", "GET", "/api/v1/position", symbol=contract)
    complaints.same("position", contract, position["currentQty"], lots)
    moves = [
        f["data"] for f in frames if f["subject"] == "position.change" and "currentQty" in f["data"]
    ]
    complaints.same("last position frame", contract, moves[-1]["currentQty"], lots)
    closed = books.pages("futures", "/api/v1/history-positions", "pageId", "limit", symbol=contract)
    realised = total(row["pnl"] for row in closed) + Decimal(str(position["realisedPnl"]))
    # KuCoin prints ten digits of the position's; the ledger has all of them.
    complaints.same("realised profit", contract, abs(realised - moved) < Decimal("1e-9"), True)
    fees = total(row["fee"] for row in fills)
    complaints.same("fees of the ledger", settle, total(row["fee"] for row in ledger), fees)
    by_order = defaultdict(list)
    for row in fills:
        complaints.same(
            "value of a fill",
            row["tradeId"],
            Decimal(row["value"]),
            Decimal(row["price"]) * row["size"] * multiplier,
        )
        by_order[row["orderId"]].append(row)
    stories = stories_of(frames, "symbolOrderChange", "/contractMarket/tradeOrders")
    tape = {
        f["data"]["tradeId"]: f["data"]
        for f in frames
        if f["topic"].startswith("/contractMarket/execution")
    }
    for order_id in orders:
        row = books.call("futures", "GET", f"/api/v1/orders/{order_id}")
        mine = by_order.pop(row["id"], [])
        complaints.same(
            "futures order size", order_id, Decimal(row["dealSize"]), total(f["size"] for f in mine)
        )
        complaints.same(
            "futures order value",
            order_id,
            Decimal(row["dealValue"]),
            total(f["value"] for f in mine),
        )
        complaints.same("futures order state", order_id, row["isActive"], False)
        if row["id"] in stories:
            compare_story(row["id"], stories[row["id"]], mine, tape, complaints)
    complaints.same("futures fills of unknown orders", contract, sorted(by_order), [])


def stories_of(frames, subject, topic):
    """The order frames of each order, oldest first; one topic carries each event once."""
    stories = defaultdict(list)
    for frame in frames:
        if frame["subject"] == subject and frame["topic"] == topic:
            stories[frame["data"]["orderId"]].append(frame["data"])
    return stories


def compare_story(order_id, story, fills, tape, complaints):
    """Compare the frames of an order with its fills, and these with the public tape."""
    matches = [row for row in story if row["type"] == "match"]
    complaints.same(
        "matches of an order",
        order_id,
        sorted(row["tradeId"] for row in matches),
        sorted(str(row["tradeId"]) for row in fills),
    )
    by_id = {str(row["tradeId"]): row for row in fills}
    for match in matches:
        fill, trade = by_id.get(match["tradeId"]), tape.get(match["tradeId"])
        complaints.same("trade on the tape", match["tradeId"], trade is not None, True)
        if fill is None or trade is None:
            continue
        complaints.same(
            "size of a fill",
            match["tradeId"],
            Decimal(match["matchSize"]),
            Decimal(str(fill["size"])),
        )
        complaints.same(
            "price of a fill",
            match["tradeId"],
            Decimal(match["matchPrice"]),
            Decimal(fill["price"]),
        )
        complaints.same(
            "size on the tape",
            match["tradeId"],
            Decimal(str(trade["size"])),
            Decimal(str(fill["size"])),
        )
        complaints.same(
            "price on the tape",
            match["tradeId"],
            Decimal(str(trade["price"])),
            Decimal(fill["price"]),
        )
        side = "takerOrderId" if fill["liquidity"] == "taker" else "makerOrderId"
        complaints.same("order on the tape", match["tradeId"], trade[side], order_id)
    ends = [row for row in story if row["type"] in ("filled", "canceled")]
    complaints.same("ends of an order", order_id, len(ends), 1)
    if ends:
        complaints.same("last frame of an order", order_id, story[-1], ends[-1])
        filled = total(row["matchSize"] for row in matches)
        complaints.same(
            "filled size of the last frame", order_id, Decimal(ends[-1]["filledSize"]), filled
        )
