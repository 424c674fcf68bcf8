"""typed-kucoin: the addresses of its HTTP clients are attributes, as `new` has none for them."""

import asyncio
import uuid

from trying import (
    CONTRACT,
    FUTURES,
    KEY,
    PAIR,
    PASSPHRASE,
    SECRET,
    SPOT,
    Frames,
    attempt_async,
    below,
    leave,
    own_order,
)
from typed_kucoin import KuCoin


async def main():
    client = KuCoin.new(api_key=KEY, api_secret=SECRET, api_passphrase=PASSPHRASE)
    client.default_client.base_url = SPOT
    client.futures_rest_client.base_url = FUTURES
    async with client:
        await spot(client)
        await futures(client)
        await sockets(client)


async def spot(client):
    api, orders = client.spot, client.spot.orders_hf
    await attempt_async("spot time", api.server_time)
    await attempt_async("spot symbols", api.all_symbols)
    await attempt_async("spot currencies", api.all_currencies)
    await attempt_async("spot user", client.account.user_info)
    await attempt_async("spot key", client.account.api_key_info)
    await attempt_async("spot ticker", lambda: api.ticker(PAIR))
    await attempt_async("spot book", lambda: api.part_orderbook("20", symbol=PAIR))
    await attempt_async("spot whole book", lambda: api.full_orderbook(PAIR))
    await attempt_async("spot candles", lambda: api.klines(PAIR, type="1min"))
    await attempt_async("spot trades", lambda: api.trade_history(PAIR))
    await attempt_async("spot balances", client.account.spot_accounts)
    placed = await attempt_async("spot place", lambda: place(client))
    await attempt_async(
        "spot get",
        lambda: orders.get_by_order_id(order_id=placed["orderId"], symbol=PAIR),
        lambda order: order["id"] == placed["orderId"],
    )
    await attempt_async(
        "spot open orders",
        lambda: orders.get_open_orders(PAIR),
        lambda rows: [row["id"] for row in rows] == [placed["orderId"]],
    )
    await attempt_async(
        "spot cancel",
        lambda: orders.cancel_by_order_id(order_id=placed["orderId"], symbol=PAIR),
        lambda reply: reply["orderId"] == placed["orderId"],
    )
    request = {"symbol": PAIR, "type": "market", "side": "buy", "size": "0.001"}
    bought = await attempt_async("spot buy", lambda: orders.add(request))
    await attempt_async(
        "spot fills",
        lambda: orders.get_trade_history(symbol=PAIR),
        lambda page: page["items"][0]["orderId"] == bought["orderId"],
    )


async def place(client):
    ticker = await client.spot.ticker(PAIR)
    request = {
        "symbol": PAIR, "type": "limit", "side": "buy",
        "price": below(ticker["bestBid"]), "size": "0.001",
    }  # fmt: skip
    return await client.spot.orders_hf.add(request)


async def futures(client):
    api, orders = client.futures, client.futures.orders
    await attempt_async("futures time", api.server_time)
    await attempt_async("futures symbols", api.all_symbols)
    await attempt_async("futures ticker", lambda: api.ticker(CONTRACT))
    await attempt_async("futures book", lambda: api.part_orderbook("20", symbol=CONTRACT))
    await attempt_async("futures whole book", lambda: api.full_orderbook(CONTRACT))
    await attempt_async("futures candles", lambda: api.klines(CONTRACT, granularity=1))
    await attempt_async("futures trades", lambda: api.trade_history(CONTRACT))
    await attempt_async("futures balances", lambda: client.account.futures_account("USDT"))
    placed = await attempt_async("futures place", lambda: place_contract(client))
    await attempt_async(
        "futures get",
        lambda: orders.get_by_order_id(placed["orderId"]),
        lambda order: order["id"] == placed["orderId"],
    )
    await attempt_async(
        "futures open orders",
        lambda: orders.get_order_list("active"),
        lambda page: [row["id"] for row in page["items"]] == [placed["orderId"]],
    )
    await attempt_async(
        "futures cancel",
        lambda: orders.cancel_by_order_id(placed["orderId"]),
        lambda reply: reply["cancelledOrderIds"] == [placed["orderId"]],
    )
    request = {
        "clientOid": str(uuid.uuid4()), "symbol": CONTRACT, "type": "market", "side": "buy",
        "leverage": 5, "size": 1,
    }  # fmt: skip
    bought = await attempt_async("futures buy", lambda: orders.add(request))
    await attempt_async(
        "futures fills",
        lambda: orders.get_trade_history(symbol=CONTRACT),
        lambda page: page["items"][0]["orderId"] == bought["orderId"],
    )
    await attempt_async(
        "futures positions",
        api.positions.get_position_list,
        lambda rows: [(row["symbol"], row["currentQty"]) for row in rows] == [(CONTRACT, 1)],
    )


async def place_contract(client):
    ticker = await client.futures.ticker(CONTRACT)
    request = {
        "clientOid": str(uuid.uuid4()), "symbol": CONTRACT, "type": "limit", "side": "buy",
        "leverage": 5, "price": below(ticker["bestBidPrice"]), "size": 1,
    }  # fmt: skip
    return await client.futures.orders.add(request)


async def sockets(client):
    pairs, contracts = client.streams.spot_margin_public, client.streams.futures_public
    for call, manager in [
        ("spot socket ticker", pairs.ticker(PAIR)),
        ("spot socket book", pairs.orderbook_increment(PAIR)),
        ("futures socket ticker", contracts.ticker_v2(CONTRACT)),
        ("futures socket book", contracts.orderbook_increment(CONTRACT)),
    ]:
        await attempt_async(call, lambda manager=manager: first(manager))
    mine = client.streams.spot_margin_private.order_v2()
    await attempt_async("spot private socket", lambda: seen(mine, lambda: order(client)))
    mine = client.streams.futures_private.all_orders()
    await attempt_async("futures private socket", lambda: seen(mine, lambda: contract(client)))


async def first(manager):
    async with manager as stream:
        return await anext(aiter(stream))


async def seen(manager, place_and_cancel):
    frames = Frames()
    async with manager as stream:
        reader = asyncio.create_task(read(stream, frames))
        order = asyncio.create_task(own_order(frames, place_and_cancel, "canceled"))
        await asyncio.wait({reader, order}, return_when=asyncio.FIRST_COMPLETED)
        if reader.done():  # it never ends, unless by an error
            order.cancel()
            reader.result()
        reader.cancel()
        return order.result()


async def read(stream, frames):
    async for message in stream:
        await frames.put(message)


async def order(client):
    order_id = (await place(client))["orderId"]
    await client.spot.orders_hf.cancel_by_order_id(order_id=order_id, symbol=PAIR)
    return order_id


async def contract(client):
    order_id = (await place_contract(client))["orderId"]
    await client.futures.orders.cancel_by_order_id(order_id)
    return order_id


asyncio.run(main())
leave()
