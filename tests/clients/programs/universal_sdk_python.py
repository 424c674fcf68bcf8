"""KuCoin's kucoin-universal-sdk in Python: its options take both addresses."""

import asyncio
import uuid

from kucoin_universal_sdk.api.client import DefaultClient
from kucoin_universal_sdk.generate.account import account as accounts
from kucoin_universal_sdk.generate.futures import market as futures_market
from kucoin_universal_sdk.generate.futures import order as futures_order
from kucoin_universal_sdk.generate.futures import positions
from kucoin_universal_sdk.generate.spot import market as spot_market
from kucoin_universal_sdk.generate.spot import order as spot_order
from kucoin_universal_sdk.model.client_option import ClientOptionBuilder
from kucoin_universal_sdk.model.transport_option import TransportOptionBuilder
from kucoin_universal_sdk.model.websocket_option import WebSocketClientOptionBuilder
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

client = DefaultClient(
    ClientOptionBuilder()
    .set_key(KEY)
    .set_secret(SECRET)
    .set_passphrase(PASSPHRASE)
    .set_spot_endpoint(SPOT)
    .set_futures_endpoint(FUTURES)
    .set_broker_endpoint(SPOT)
    .set_transport_option(TransportOptionBuilder().build())
    .set_websocket_client_option(WebSocketClientOptionBuilder().build())
    .build()
)
services = client.rest_service()
account = services.get_account_service().get_account_api()
pairs = services.get_spot_service().get_market_api()
contracts = services.get_futures_service().get_market_api()
spot = services.get_spot_service().get_order_api()
futures = services.get_futures_service().get_order_api()
held = services.get_futures_service().get_positions_api()

attempt("spot time", pairs.get_server_time)
attempt("spot symbols", lambda: pairs.get_all_symbols(spot_market.GetAllSymbolsReq()))
attempt("spot currencies", pairs.get_all_currencies)
attempt("spot user", account.get_account_info)
attempt("spot key", account.get_apikey_info, lambda key: key.api_key == KEY)
attempt("spot ticker", lambda: pairs.get_ticker(spot_market.GetTickerReq(symbol=PAIR)))
attempt(
    "spot book",
    lambda: pairs.get_part_order_book(spot_market.GetPartOrderBookReq(symbol=PAIR, size="20")),
)
attempt(
    "spot whole book",
    lambda: pairs.get_full_order_book(spot_market.GetFullOrderBookReq(symbol=PAIR)),
)
attempt(
    "spot candles",
    lambda: pairs.get_klines(
        spot_market.GetKlinesReq(symbol=PAIR, type=spot_market.GetKlinesReq.TypeEnum.T_1MIN)
    ),
    lambda reply: reply.data,
)
attempt("spot trades", lambda: pairs.get_trade_history(spot_market.GetTradeHistoryReq(symbol=PAIR)))
attempt(
    "spot balances",
    lambda: account.get_spot_account_list(accounts.GetSpotAccountListReq()),
    lambda reply: reply.data,
)


def place():
    ticker = pairs.get_ticker(spot_market.GetTickerReq(symbol=PAIR))
    request = spot_order.AddOrderReq
    return spot.add_order(
        request(
            client_oid=str(uuid.uuid4()),
            symbol=PAIR,
            side=request.SideEnum.BUY,
            type=request.TypeEnum.LIMIT,
            price=below(ticker.best_bid),
            size="0.001",
        )
    )


placed = attempt("spot place", place)
attempt(
    "spot get",
    lambda: spot.get_order_by_order_id(
        spot_order.GetOrderByOrderIdReq(symbol=PAIR, order_id=placed.order_id)
    ),
    lambda order: order.id == placed.order_id and order.active,
)
attempt(
    "spot open orders",
    lambda: spot.get_open_orders(spot_order.GetOpenOrdersReq(symbol=PAIR)),
    lambda reply: [order.id for order in reply.data] == [placed.order_id],
)
attempt(
    "spot cancel",
    lambda: spot.cancel_order_by_order_id(
        spot_order.CancelOrderByOrderIdReq(symbol=PAIR, order_id=placed.order_id)
    ),
    lambda reply: reply.order_id == placed.order_id,
)
bought = attempt(
    "spot buy",
    lambda: spot.add_order(
        spot_order.AddOrderReq(
            client_oid=str(uuid.uuid4()),
            symbol=PAIR,
            side=spot_order.AddOrderReq.SideEnum.BUY,
            type=spot_order.AddOrderReq.TypeEnum.MARKET,
            size="0.001",
        )
    ),
)
attempt(
    "spot fills",
    lambda: spot.get_trade_history(spot_order.GetTradeHistoryReq(symbol=PAIR)),
    lambda page: page.items[0].order_id == bought.order_id,
)

attempt("futures time", contracts.get_server_time)
attempt("futures symbols", contracts.get_all_symbols)
attempt(
    "futures ticker", lambda: contracts.get_ticker(futures_market.GetTickerReq(symbol=CONTRACT))
)
attempt(
    "futures book",
    lambda: contracts.get_part_order_book(
        futures_market.GetPartOrderBookReq(symbol=CONTRACT, size="20")
    ),
)
attempt(
    "futures whole book",
    lambda: contracts.get_full_order_book(futures_market.GetFullOrderBookReq(symbol=CONTRACT)),
)
attempt(
    "futures candles",
    lambda: contracts.get_klines(
        futures_market.GetKlinesReq(
            symbol=CONTRACT, granularity=futures_market.GetKlinesReq.GranularityEnum.T_1
        )
    ),
    lambda reply: reply.data,
)
attempt(
    "futures trades",
    lambda: contracts.get_trade_history(futures_market.GetTradeHistoryReq(symbol=CONTRACT)),
)
attempt(
    "futures balances",
    lambda: account.get_futures_account(accounts.GetFuturesAccountReq(currency="USDT")),
    lambda reply: reply.account_equity > 0,
)


def place_contract(kind="LIMIT"):
    request = futures_order.AddOrderReq
    ticker = contracts.get_ticker(futures_market.GetTickerReq(symbol=CONTRACT))
    price = {"price": below(ticker.best_bid_price)} if kind == "LIMIT" else {}
    return futures.add_order(
        request(
            client_oid=str(uuid.uuid4()),
            symbol=CONTRACT,
            side=request.SideEnum.BUY,
            type=request.TypeEnum[kind],
            leverage=5,
            size=1,
            **price,
        )
    )


lot = attempt("futures place", place_contract)
attempt(
    "futures get",
    lambda: futures.get_order_by_order_id(
        futures_order.GetOrderByOrderIdReq(order_id=lot.order_id)
    ),
    lambda order: order.id == lot.order_id and order.is_active,
)
attempt(
    "futures open orders",
    lambda: futures.get_order_list(
        futures_order.GetOrderListReq(status=futures_order.GetOrderListReq.StatusEnum.ACTIVE)
    ),
    lambda page: [order.id for order in page.items] == [lot.order_id],
)
attempt(
    "futures cancel",
    lambda: futures.cancel_order_by_id(futures_order.CancelOrderByIdReq(order_id=lot.order_id)),
    lambda reply: reply.cancelled_order_ids == [lot.order_id],
)
opened = attempt("futures buy", lambda: place_contract("MARKET"))
attempt(
    "futures fills",
    lambda: futures.get_trade_history(futures_order.GetTradeHistoryReq(symbol=CONTRACT)),
    lambda page: page.items[0].order_id == opened.order_id,
)
attempt(
    "futures positions",
    lambda: held.get_position_list(positions.GetPositionListReq()),
    lambda reply: [(row.symbol, row.current_qty) for row in reply.data] == [(CONTRACT, 1)],
)


async def sockets():
    service = client.ws_service()
    spot_public, futures_public = service.new_spot_public_ws(), service.new_futures_public_ws()
    spot_private, futures_private = service.new_spot_private_ws(), service.new_futures_private_ws()
    for socket in (spot_public, futures_public, spot_private, futures_private):
        socket.start()
    frames = Frames()

    def take(topic, subject, data):
        frames.put_from_a_thread(f"{topic} {subject} {data.to_json()}")

    spot_public.ticker([PAIR], take)
    spot_public.orderbook_increment([PAIR], take)
    futures_public.ticker_v2(CONTRACT, take)
    futures_public.orderbook_increment(CONTRACT, take)
    for call, word in [
        ("spot socket ticker", "/market/ticker"),
        ("spot socket book", "/market/level2"),
        ("futures socket ticker", "/contractMarket/tickerV2"),
        ("futures socket book", "/contractMarket/level2:"),
    ]:
        await attempt_async(call, lambda word=word: frames.wait(word))
    spot_private.order_v2(take)
    futures_private.all_order(take)
    await attempt_async("spot private socket", lambda: own_order(frames, order, "canceled"))
    await attempt_async("futures private socket", lambda: own_order(frames, contract, "canceled"))


def order():
    order_id = place().order_id
    spot.cancel_order_by_order_id(
        spot_order.CancelOrderByOrderIdReq(symbol=PAIR, order_id=order_id)
    )
    return order_id


def contract():
    order_id = place_contract().order_id
    futures.cancel_order_by_id(futures_order.CancelOrderByIdReq(order_id=order_id))
    return order_id


asyncio.run(sockets())
leave()
