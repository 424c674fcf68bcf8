"""KuCoin's kucoin-futures-python: its constructors take the address as `url`."""

import asyncio

from kucoin_futures.client import Market, Trade, User, WsToken
from kucoin_futures.ws_client import KucoinFuturesWsClient
from trying import (
    CONTRACT,
    FUTURES,
    KEY,
    PASSPHRASE,
    SECRET,
    Frames,
    attempt,
    attempt_async,
    below,
    leave,
    own_order,
)

login = {"key": KEY, "secret": SECRET, "passphrase": PASSPHRASE, "url": FUTURES}
market, trade, user = Market(**login), Trade(**login), User(**login)

attempt("futures time", market.get_server_timestamp)
attempt("futures symbols", market.get_contracts_list)
ticker = attempt("futures ticker", lambda: market.get_ticker(CONTRACT))
attempt(
    "futures book",
    lambda: market.l2_part_order_book(CONTRACT),
    lambda book: len(book["bids"]) == 20,
)
attempt("futures whole book", lambda: market.l2_order_book(CONTRACT))
attempt("futures candles", lambda: market.get_kline_data(CONTRACT, 1))
attempt("futures trades", lambda: market.get_trade_history(CONTRACT))
attempt("futures balances", lambda: user.get_account_overview("USDT"))


def place():
    bid = below(ticker["bestBidPrice"])
    return trade.create_limit_order(CONTRACT, "buy", "5", 1, bid)


placed = attempt("futures place", place)
attempt(
    "futures get",
    lambda: trade.get_order_details(placed["orderId"]),
    lambda order: order["id"] == placed["orderId"] and order["isActive"],
)
attempt(
    "futures open orders",
    lambda: trade.get_order_list(status="active"),
    lambda orders: [order["id"] for order in orders["items"]] == [placed["orderId"]],
)
attempt(
    "futures cancel",
    lambda: trade.cancel_order(placed["orderId"]),
    lambda reply: reply["cancelledOrderIds"] == [placed["orderId"]],
)
bought = attempt("futures buy", lambda: trade.create_market_order(CONTRACT, "buy", "5", size=1))
attempt(
    "futures fills",
    lambda: trade.get_fills_details(CONTRACT),
    lambda fills: fills["items"][0]["orderId"] == bought["orderId"],
)
attempt(
    "futures positions",
    trade.get_all_position,
    lambda rows: [(row["symbol"], row["currentQty"]) for row in rows] == [(CONTRACT, 1)],
)


async def sockets():
    public, private = Frames(), Frames()
    token = WsToken(**login)
    client = await KucoinFuturesWsClient.create(None, token, public.put)
    await client.subscribe(f"/contractMarket/tickerV2:{CONTRACT}")
    await client.subscribe(f"/contractMarket/level2:{CONTRACT}")
    await attempt_async("futures socket ticker", lambda: public.wait("/contractMarket/tickerV2"))
    await attempt_async("futures socket book", lambda: public.wait("/contractMarket/level2:"))
    client = await KucoinFuturesWsClient.create(None, token, private.put, private=True)
    await client.subscribe("/contractMarket/tradeOrders")
    await attempt_async("futures private socket", lambda: own_order(private, order, "canceled"))
    leave()  # its tasks do not end when they are cancelled


def order():
    order_id = place()["orderId"]
    trade.cancel_order(order_id)
    return order_id


asyncio.run(sockets())
