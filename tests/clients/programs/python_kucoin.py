"""python-kucoin: its addresses are attributes of the class, as it has no arguments for them.

It sends the passphrase as it is, without a version of the key, which KuCoin refuses of keys made
since 2021. With newer keys, the passphrase must be signed and the version be given beside.
"""

import asyncio
import base64
import hashlib
import hmac

from kucoin.asyncio import KucoinSocketManager
from kucoin.client import Client
from trying import (
    CONTRACT,
    FUTURES,
    KEY,
    PAIR,
    PASSPHRASE,
    SECRET,
    SPOT,
    Frames,
    attempt,
    attempt_async,
    below,
    leave,
    own_order,
)

Client.REST_API_URL, Client.REST_FUTURES_API_URL = SPOT, FUTURES
plain = Client(KEY, SECRET, PASSPHRASE)
attempt("spot balances from its plain constructor", plain.get_accounts)
signed = base64.b64encode(hmac.digest(SECRET.encode(), PASSPHRASE.encode(), hashlib.sha256))
version = {"KC-API-KEY-VERSION": "2"}
client = Client(KEY, SECRET, signed.decode(), requests_params={"headers": version})

attempt("spot time", client.get_timestamp)
attempt("spot symbols", client.get_symbols)
attempt("spot currencies", client.get_currencies)
attempt("spot user", client.get_user_info)
ticker = attempt("spot ticker", lambda: client.get_ticker(PAIR))
attempt("spot book", lambda: client.get_order_book(PAIR), lambda book: len(book["bids"]) == 100)
attempt("spot whole book", lambda: client.get_full_order_book(PAIR))
attempt("spot candles", lambda: client.get_kline_data(PAIR, "1min"))
attempt("spot trades", lambda: client.get_trade_histories(PAIR))
attempt("spot balances", client.get_accounts)


def place():
    return client.hf_create_limit_order(PAIR, "buy", below(ticker["bestBid"]), "0.001")


placed = attempt("spot place", place)
attempt(
    "spot get",
    lambda: client.hf_get_order(placed["orderId"], PAIR),
    lambda order: order["id"] == placed["orderId"] and order["active"],
)
attempt(
    "spot open orders",
    lambda: client.hf_get_active_orders(PAIR),
    lambda orders: [order["id"] for order in orders] == [placed["orderId"]],
)
attempt(
    "spot cancel",
    lambda: client.hf_cancel_order(placed["orderId"], PAIR),
    lambda reply: reply["orderId"] == placed["orderId"],
)
bought = attempt("spot buy", lambda: client.hf_create_market_order(PAIR, "buy", size="0.001"))
attempt(
    "spot fills",
    lambda: client.hf_get_fills(PAIR),
    lambda fills: fills["items"][0]["orderId"] == bought["orderId"],
)
classic = attempt(
    "spot classic place",
    lambda: client.create_limit_order(PAIR, "buy", below(ticker["bestBid"]), "0.001"),
)
attempt(
    "spot classic cancel",
    lambda: client.cancel_order(classic["orderId"]),
    lambda reply: reply["cancelledOrderIds"] == [classic["orderId"]],
)

attempt("futures time", client.futures_get_timestamp)
attempt("futures symbols", client.futures_get_symbols)
contract = attempt("futures ticker", lambda: client.futures_get_ticker(CONTRACT))
attempt("futures book", lambda: client.futures_get_order_book(CONTRACT))
attempt("futures whole book", lambda: client.futures_get_full_order_book(CONTRACT))
attempt("futures candles", lambda: client.futures_get_klines(CONTRACT, 1))
attempt("futures trades", lambda: client.futures_get_trade_histories(CONTRACT))
attempt("futures balances", lambda: client.futures_get_account_detail("USDT"))


def place_contract():
    price = below(contract["bestBidPrice"])
    return client.futures_create_order(CONTRACT, "limit", "buy", 1, price, leverage=5)


lot = attempt("futures place", place_contract)
attempt(
    "futures get",
    lambda: client.futures_get_order(lot["orderId"]),
    lambda order: order["id"] == lot["orderId"] and order["isActive"],
)
attempt(
    "futures open orders",
    lambda: client.futures_get_orders(status="active"),
    lambda orders: [order["id"] for order in orders["items"]] == [lot["orderId"]],
)
attempt(
    "futures cancel",
    lambda: client.futures_cancel_order(lot["orderId"]),
    lambda reply: reply["cancelledOrderIds"] == [lot["orderId"]],
)
opened = attempt(
    "futures buy",
    lambda: client.futures_create_order(CONTRACT, "market", "buy", 1, leverage=5),
)
attempt(
    "futures fills",
    client.futures_get_fills,
    lambda fills: fills["items"][0]["orderId"] == opened["orderId"],
)
attempt(
    "futures positions",
    client.futures_get_positions,
    lambda rows: [(row["symbol"], row["currentQty"]) for row in rows] == [(CONTRACT, 1)],
)


async def sockets():
    loop = asyncio.get_running_loop()
    public, private = Frames(), Frames()
    manager = await KucoinSocketManager.create(loop, client, public.put)
    await manager.subscribe(f"/market/ticker:{PAIR}")
    await manager.subscribe(f"/market/level2:{PAIR}")
    await attempt_async("spot socket ticker", lambda: public.wait("/market/ticker"))
    await attempt_async("spot socket book", lambda: public.wait("/market/level2"))
    manager = await KucoinSocketManager.create(loop, client, private.put, private=True)
    await manager.subscribe("/spotMarket/tradeOrdersV2")
    await attempt_async("spot private socket", lambda: own_order(private, order, "canceled"))
    leave()  # its tasks do not end when they are cancelled


def order():
    order_id = place()["orderId"]
    client.hf_cancel_order(order_id, PAIR)
    return order_id


asyncio.run(sockets())
