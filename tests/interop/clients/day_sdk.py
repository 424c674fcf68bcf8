"""Trades on both markets with KuCoin's own kucoin-universal-sdk, until its time is over.

Runs in .venv-interop, started by tests/interop/trading_day.py:
``day_sdk.py trade FUTURES SPOT PLAN``.
Prints each order that was taken and each refusal, a JSON line each.
"""

import random
import uuid

from kucoin_universal_sdk.api.client import DefaultClient
from kucoin_universal_sdk.generate.futures import order as futures_order
from kucoin_universal_sdk.generate.futures.market import GetTickerReqBuilder as FuturesTicker
from kucoin_universal_sdk.generate.spot import order as spot_order
from kucoin_universal_sdk.generate.spot.market import GetTickerReqBuilder as SpotTicker
from kucoin_universal_sdk.model.client_option import ClientOptionBuilder
from kucoin_universal_sdk.model.common import RestError
from kucoin_universal_sdk.model.transport_option import TransportOptionBuilder
from pacing import say, trade

_TOO_LATE = "400002"


class Trader:
    """Places orders at random: half of them take, the others rest, wait or are canceled."""

    def __init__(self, futures_url, spot_url, plan):
        key, secret, passphrase = plan["login"]
        option = (
            ClientOptionBuilder()
            .set_key(key)
            .set_secret(secret)
            .set_passphrase(passphrase)
            .set_futures_endpoint(futures_url)
            .set_spot_endpoint(spot_url)
            .set_broker_endpoint(spot_url)
            .set_transport_option(TransportOptionBuilder().set_read_timeout(60).build())
            .build()
        )
        service = DefaultClient(option).rest_service()
        self.futures, self.spot = service.get_futures_service(), service.get_spot_service()
        self.random = random.Random(plan["seed"])
        self.contract, self.pair = plan["contract"], plan["pair"]
        self.open = {"futures": [], "spot": []}

    def act(self):
        market = self.random.choice(("futures", "spot"))
        choice = self.random.random()
        if choice < 0.15 and self.open[market]:
            self.cancel(market, self.open[market].pop(0))
        elif market == "futures":
            self.place_futures(choice)
        else:
            self.place_spot(choice)

    def cancel(self, market, order_id):
        if market == "futures":
            request = futures_order.CancelOrderByIdReqBuilder().set_order_id(order_id).build()
            self.futures.get_order_api().cancel_order_by_id(request)
        else:
            request = spot_order.CancelOrderByOrderIdReqBuilder()
            request = request.set_order_id(order_id).set_symbol(self.pair).build()
            self.spot.get_order_api().cancel_order_by_order_id(request)

    def place_futures(self, choice):
        side = self.random.choice(("buy", "sell"))
        order = futures_order.AddOrderReqBuilder().set_client_oid(uuid.uuid4().hex)
        order = order.set_side(side).set_symbol(self.contract).set_leverage(5)
        order = order.set_size(self.random.randint(1, 20))
        is_market = choice < 0.6
        order = order.set_type("market" if is_market else "limit")
        if not is_market:
            ticker = self.futures.get_market_api().get_ticker(
                FuturesTicker().set_symbol(self.contract).build()
            )
            best = float(ticker.best_bid_price if side == "buy" else ticker.best_ask_price)
            away = self.random.randint(0, 50) * 0.1 * (-1 if side == "buy" else 1)
            order = order.set_price(f"{best + away:.1f}")
            if choice > 0.93:
                order = order.set_stop("up").set_stop_price(f"{best + 5:.1f}")
                order = order.set_stop_price_type("TP")
        done = self.futures.get_order_api().add_order(order.build())
        self.took("futures", done.order_id, rests=not is_market)

    def place_spot(self, choice):
        side = self.random.choice(("buy", "sell"))
        order = spot_order.AddOrderReqBuilder().set_client_oid(uuid.uuid4().hex)
        order = order.set_side(side).set_symbol(self.pair)
        order = order.set_size(f"{self.random.randint(1, 30) * 0.0001:.4f}")
        is_market = choice < 0.6
        order = order.set_type("market" if is_market else "limit")
        if not is_market:
            ticker = self.spot.get_market_api().get_ticker(
                SpotTicker().set_symbol(self.pair).build()
            )
            best = float(ticker.best_bid if side == "buy" else ticker.best_ask)
            away = self.random.randint(0, 50) * 0.1 * (-1 if side == "buy" else 1)
            order = order.set_price(f"{best + away:.1f}")
        done = self.spot.get_order_api().add_order(order.build())
        self.took("spot", done.order_id, rests=not is_market)

    def took(self, market, order_id, *, rests):
        say(call="order", market=market, id=order_id)
        if rests:
            self.open[market].append(order_id)


def tell_refusal(action):
    try:
        action()
    except RestError as error:
        if error.response is not None:
            say(call="refused", code=error.response.code, text=error.response.message)
        elif _TOO_LATE in str(error):
            # The machine stood still for 5 s between the signature and its check. The SDK reads no
            # codes from answers with HTTP 400.
            say(call="refused", code=_TOO_LATE, text="Invalid KC-API-TIMESTAMP")
        else:  # no answer of the exchange
            raise


trade(Trader, tell_refusal)
