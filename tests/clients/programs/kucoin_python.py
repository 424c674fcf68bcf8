"""KuCoin's kucoin-python: its constructors take the address as `url`."""

import asyncio

from kucoin.client import Market, Trade, User, WsToken
from kucoin.ws_client import KucoinWsClient
from trying import (
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

login = {"key": KEY, "secret": SECRET, "passphrase": PASSPHRASE, "url": SPOT}
market, trade, user = Market(**login), Trade(**login), User(**login)

attempt("spot time", market.get_server_timestamp)
attempt("spot symbols", market.get_symbol_list_v2)
attempt("spot currencies", market.get_currencies)
ticker = attempt("spot ticker", lambda: market.get_ticker(PAIR))
attempt("spot book", lambda: market.get_part_order(20, PAIR), lambda book: len(book["bids"]) == 20)
attempt("spot whole book", lambda: market.get_aggregated_orderv3(PAIR))
attempt("spot candles", lambda: market.get_kline(PAIR, "1min"))
attempt("spot trades", lambda: market.get_trade_histories(PAIR))
attempt("spot balances", user.get_account_list)


def is_mine(orders):
    return [order["id"] for order in orders["items"]] == [placed["orderId"]]


placed = attempt(
    "spot place",
    lambda: trade.create_limit_order(PAIR, "buy", "0.001", below(ticker["bestBid"])),
)
attempt(
    "spot get",
    lambda: trade.get_order_details(placed["orderId"]),
    lambda order: order["id"] == placed["orderId"] and order["isActive"],
)
attempt("spot open orders", lambda: trade.get_order_list(status="active"), is_mine)
attempt(
    "spot cancel",
    lambda: trade.cancel_order(placed["orderId"]),
    lambda reply: reply["cancelledOrderIds"] == [placed["orderId"]],
)
bought = attempt("spot buy", lambda: trade.create_market_order(PAIR, "buy", size="0.001"))
attempt(
    "spot fills",
    lambda: trade.get_fill_list("TRADE"),
    lambda fills: fills["items"][0]["orderId"] == bought["orderId"],
)
hf = attempt(
    "spot high-frequency place",
    lambda: trade.create_limit_hf_order(PAIR, "buy", "0.001", below(ticker["bestBid"])),
)
attempt(
    "spot high-frequency cancel",
    lambda: trade.cancel_hf_order_by_order_id(PAIR, hf["orderId"]),
    lambda reply: reply["orderId"] == hf["orderId"],
)


async def sockets():
    public, private = Frames(), Frames()
    token = WsToken(**login)
    client = await KucoinWsClient.create(None, token, public.put)
    await client.subscribe(f"/market/ticker:{PAIR}")
    await client.subscribe(f"/market/level2:{PAIR}")
    await attempt_async("spot socket ticker", lambda: public.wait("/market/ticker"))
    await attempt_async("spot socket book", lambda: public.wait("/market/level2"))
    client = await KucoinWsClient.create(None, token, private.put, private=True)
    await client.subscribe("/spotMarket/tradeOrdersV2")
    await attempt_async("spot private socket", lambda: own_order(private, order, "canceled"))
    leave()  # its tasks do not end when they are cancelled


def order():
    order_id = trade.create_limit_order(PAIR, "buy", "0.001", below(ticker["bestBid"]))["orderId"]
    trade.cancel_order(order_id)
    return order_id


asyncio.run(sockets())
