"""ccxt and ccxt.pro in Python: the addresses are in `urls["api"]`."""

import asyncio

import ccxt
import ccxt.pro
from trying import (
    FUTURES,
    KEY,
    PASSPHRASE,
    SECRET,
    SPOT,
    Frames,
    attempt,
    attempt_async,
    leave,
    own_order,
)

LOGIN = {"apiKey": KEY, "secret": SECRET, "password": PASSPHRASE}


def here(exchange):
    for name in exchange.urls["api"]:
        exchange.urls["api"][name] = FUTURES if name.startswith("futures") else SPOT
    return exchange


def rest(market, exchange, symbol, amount, balance):
    call = f"{market} {{}}".format
    attempt(call("markets"), exchange.load_markets, lambda markets: symbol in markets)
    attempt(call("currencies"), exchange.fetch_currencies)
    attempt(call("time"), exchange.fetch_time)
    attempt(call("status"), exchange.fetch_status, lambda status: status["status"] == "ok")
    attempt(call("ticker"), lambda: exchange.fetch_ticker(symbol))
    attempt(call("tickers"), exchange.fetch_tickers, lambda tickers: symbol in tickers)
    attempt(call("book"), lambda: exchange.fetch_order_book(symbol, 20))
    attempt(call("whole book"), lambda: exchange.fetch_order_book(symbol))
    attempt(call("candles"), lambda: exchange.fetch_ohlcv(symbol, "1m", limit=7), is_seven)
    attempt(call("trades"), lambda: exchange.fetch_trades(symbol))
    attempt(call("fee"), lambda: exchange.fetch_trading_fee(symbol))
    attempt(
        call("balances"),
        lambda: exchange.fetch_balance(balance),
        lambda found: found["total"]["USDT"] > 0,
    )

    def place():
        price = round(exchange.fetch_order_book(symbol, 20)["bids"][0][0] * 0.98)
        return exchange.create_order(symbol, "limit", "buy", amount, price)

    def is_mine(orders):
        return [order["id"] for order in orders] == [placed["id"]]

    placed = attempt(call("place"), place)
    attempt(
        call("get"),
        lambda: exchange.fetch_order(placed["id"], symbol),
        lambda order: (order["id"], order["status"]) == (placed["id"], "open"),
    )
    attempt(call("open orders"), lambda: exchange.fetch_open_orders(symbol), is_mine)
    attempt(call("cancel"), lambda: exchange.cancel_order(placed["id"], symbol))
    attempt(
        call("closed order"),
        lambda: exchange.fetch_order(placed["id"], symbol),
        lambda order: order["status"] == "canceled",
    )
    bought = attempt(call("buy"), lambda: exchange.create_order(symbol, "market", "buy", amount))
    attempt(
        call("fills"),
        lambda: exchange.fetch_my_trades(symbol),
        lambda trades: trades[-1]["order"] == bought["id"],
    )


def is_seven(candles):
    """Whether these are the last seven minutes by this machine's clock."""
    return len(candles) == 7


async def sockets(market, exchange, symbol, amount):
    call = f"{market} {{}}".format
    await attempt_async(call("socket ticker"), lambda: exchange.watch_ticker(symbol))
    await attempt_async(call("socket book"), lambda: exchange.watch_order_book(symbol))
    await attempt_async(call("socket trades"), lambda: exchange.watch_trades(symbol))
    frames = Frames()

    async def read():
        while True:
            for order in await exchange.watch_orders(symbol):
                await frames.put(dict(order))

    async def place_and_cancel():
        bid = (await exchange.fetch_order_book(symbol, 20))["bids"][0][0]
        order = await exchange.create_order(symbol, "limit", "buy", amount, round(bid * 0.98))
        await exchange.cancel_order(order["id"], symbol)
        return order["id"]

    reader = asyncio.create_task(read())
    await attempt_async(
        call("private socket"), lambda: own_order(frames, place_and_cancel, "canceled")
    )
    reader.cancel()


async def stream():
    spot, futures = here(ccxt.pro.kucoin(LOGIN)), here(ccxt.pro.kucoinfutures(LOGIN))
    await sockets("spot", spot, "BTC/USDT", 0.001)
    await sockets("futures", futures, "BTC/USDT:USDT", 1)


swap = here(ccxt.kucoinfutures(LOGIN))
rest("spot", here(ccxt.kucoin(LOGIN)), "BTC/USDT", 0.001, {})
rest("futures", swap, "BTC/USDT:USDT", 1, {"code": "USDT"})
attempt(
    "futures positions",
    swap.fetch_positions,
    lambda rows: [(row["symbol"], row["contracts"]) for row in rows] == [("BTC/USDT:USDT", 1)],
)
asyncio.run(stream())
leave()
