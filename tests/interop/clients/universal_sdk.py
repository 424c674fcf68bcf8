"""KuCoin's own kucoin-universal-sdk against an exchange; prints what it parsed, a JSON line each.

Runs in .venv-interop, started by tests/interop:
``universal_sdk.py rest|stream|private|sign FUTURES SPOT PLAN``.
PLAN is JSON. A line is ``{"call": …, "data": …}``, or ``{"call": …, "error": …}`` where it raised.
"""

import inspect
import json
import logging
import os
import sys
import threading
import time
from fractions import Fraction
from types import SimpleNamespace

from kucoin_universal_sdk.api.client import DefaultClient
from kucoin_universal_sdk.generate.futures.fundingfees import (
    GetCurrentFundingRateReqBuilder,
    GetPublicFundingHistoryReqBuilder,
)
from kucoin_universal_sdk.generate.futures.fundingfees.api_funding_fees import FundingFeesAPI
from kucoin_universal_sdk.generate.futures.futures_private.ws_futures_private import (
    FuturesPrivateWS,
)
from kucoin_universal_sdk.generate.futures.futures_public.ws_futures_public import FuturesPublicWS
from kucoin_universal_sdk.generate.futures.market import api_market as futures_market
from kucoin_universal_sdk.generate.futures.market import model_get_klines_req as futures_klines
from kucoin_universal_sdk.generate.margin.margin_private.ws_margin_private import MarginPrivateWS
from kucoin_universal_sdk.generate.spot.market import api_market as spot_market
from kucoin_universal_sdk.generate.spot.market import model_get_klines_req as spot_klines
from kucoin_universal_sdk.generate.spot.spot_private.ws_spot_private import SpotPrivateWS
from kucoin_universal_sdk.generate.spot.spot_public.ws_spot_public import SpotPublicWS
from kucoin_universal_sdk.internal.infra import default_signer
from kucoin_universal_sdk.model.client_option import ClientOptionBuilder
from kucoin_universal_sdk.model.transport_option import TransportOptionBuilder
from kucoin_universal_sdk.model.websocket_option import WebSocketClientOptionBuilder

PATIENCE = 45.0  # seconds in which no row comes that is waited for
_stdout_lock = threading.Lock()  # text streams garble what two threads write at once


def say(**line):
    text = json.dumps(line) + "\n"
    with _stdout_lock:
        sys.stdout.write(text)


def plain(model):
    """Everything the SDK has a field for, missing ones as null, without its envelope."""
    return model.model_dump(mode="json", by_alias=True, exclude={"common_response"})


def client(futures_url, spot_url, login, on_event):
    key, secret, passphrase = login
    option = (
        ClientOptionBuilder()
        .set_key(key)
        .set_secret(secret)
        .set_passphrase(passphrase)
        .set_futures_endpoint(futures_url)
        .set_spot_endpoint(spot_url)
        .set_broker_endpoint(spot_url)
        .set_transport_option(TransportOptionBuilder().set_read_timeout(20).build())
        .set_websocket_client_option(
            WebSocketClientOptionBuilder()
            .with_reconnect(False)
            .with_read_message_buffer(1_000_000)
            .with_event_callback(on_event)
            .build()
        )
        .build()
    )
    return DefaultClient(option)


def public_methods(interface):
    names = [name for name, _ in inspect.getmembers(interface, inspect.isfunction)]
    return [name for name in names if not name.startswith("_")]


def rest(service, plan):
    futures, spot = service.get_futures_service(), service.get_spot_service()
    market, fees, pairs = (
        futures.get_market_api(),
        futures.get_funding_fees_api(),
        spot.get_market_api(),
    )
    contract, pair, start, end = plan["contract"], plan["pair"], plan["start_ms"], plan["end_ms"]
    fm, sm = futures_market, spot_market

    def of(module, name, **values):
        return getattr(module, name)(**values)

    calls = {
        "futures.get_all_symbols": market.get_all_symbols,
        "futures.get_symbol": lambda: market.get_symbol(of(fm, "GetSymbolReq", symbol=contract)),
        "futures.get_ticker": lambda: market.get_ticker(of(fm, "GetTickerReq", symbol=contract)),
        "futures.get_all_tickers": market.get_all_tickers,
        "futures.get_full_order_book": lambda: market.get_full_order_book(
            of(fm, "GetFullOrderBookReq", symbol=contract)
        ),
        "futures.get_part_order_book 20": lambda: market.get_part_order_book(
            of(fm, "GetPartOrderBookReq", symbol=contract, size="20")
        ),
        "futures.get_part_order_book 100": lambda: market.get_part_order_book(
            of(fm, "GetPartOrderBookReq", symbol=contract, size="100")
        ),
        "futures.get_trade_history": lambda: market.get_trade_history(
            of(fm, "GetTradeHistoryReq", symbol=contract)
        ),
        "futures.get_klines": lambda: market.get_klines(
            futures_klines.GetKlinesReqBuilder()
            .set_symbol(contract)
            .set_granularity(futures_klines.GetKlinesReq.GranularityEnum.T_1)
            .set_from_(start)
            .set_to(end)
            .build()
        ),
        "futures.get_mark_price": lambda: market.get_mark_price(
            of(fm, "GetMarkPriceReq", symbol=contract)
        ),
        "futures.get_spot_index_price": lambda: market.get_spot_index_price(
            of(fm, "GetSpotIndexPriceReq", symbol=plan["index"], max_count=5)
        ),
        "futures.get_interest_rate_index": lambda: market.get_interest_rate_index(
            of(fm, "GetInterestRateIndexReq", symbol=".XBTINT", max_count=5)
        ),
        "futures.get_premium_index": lambda: market.get_premium_index(
            of(fm, "GetPremiumIndexReq", symbol=f".{contract}PI", max_count=5)
        ),
        "futures.get24hr_stats": market.get24hr_stats,
        "futures.get_server_time": market.get_server_time,
        "futures.get_service_status": market.get_service_status,
        "futures.get_public_token": market.get_public_token,
        "futures.get_private_token": market.get_private_token,
        "futures.get_current_funding_rate": lambda: fees.get_current_funding_rate(
            GetCurrentFundingRateReqBuilder().set_symbol(contract).build()
        ),
        "futures.get_public_funding_history": lambda: fees.get_public_funding_history(
            GetPublicFundingHistoryReqBuilder()
            .set_symbol(contract)
            .set_from_(plan["funding_start_ms"])
            .set_to(end)
            .build()
        ),
        "spot.get_all_symbols": lambda: pairs.get_all_symbols(of(sm, "GetAllSymbolsReq")),
        "spot.get_symbol": lambda: pairs.get_symbol(of(sm, "GetSymbolReq", symbol=pair)),
        "spot.get_ticker": lambda: pairs.get_ticker(of(sm, "GetTickerReq", symbol=pair)),
        "spot.get_all_tickers": pairs.get_all_tickers,
        "spot.get_part_order_book 20": lambda: pairs.get_part_order_book(
            of(sm, "GetPartOrderBookReq", symbol=pair, size="20")
        ),
        "spot.get_part_order_book 100": lambda: pairs.get_part_order_book(
            of(sm, "GetPartOrderBookReq", symbol=pair, size="100")
        ),
        "spot.get_full_order_book": lambda: pairs.get_full_order_book(
            of(sm, "GetFullOrderBookReq", symbol=pair)
        ),
        "spot.get_trade_history": lambda: pairs.get_trade_history(
            of(sm, "GetTradeHistoryReq", symbol=pair)
        ),
        "spot.get_klines": lambda: pairs.get_klines(
            spot_klines.GetKlinesReqBuilder()
            .set_symbol(pair)
            .set_type(spot_klines.GetKlinesReq.TypeEnum("1min"))
            .set_start_at(start // 1_000)
            .set_end_at(end // 1_000)
            .build()
        ),
        "spot.get24hr_stats": lambda: pairs.get24hr_stats(of(sm, "Get24hrStatsReq", symbol=pair)),
        "spot.get_market_list": pairs.get_market_list,
        "spot.get_all_currencies": pairs.get_all_currencies,
        "spot.get_currency": lambda: pairs.get_currency(
            of(sm, "GetCurrencyReq", currency=plan["currency"])
        ),
        "spot.get_server_time": pairs.get_server_time,
        "spot.get_service_status": pairs.get_service_status,
        "spot.get_public_token": pairs.get_public_token,
        "spot.get_private_token": pairs.get_private_token,
    }
    for name, call in calls.items():
        try:
            reply = call()
            limit = reply.common_response.rate_limit
            say(call=name, data=plain(reply), limit=limit.limit, remaining=limit.remaining)
        except Exception as error:
            say(call=name, error=str(error))
    offered = [f"futures.{name}" for name in public_methods(futures_market.MarketAPI)]
    offered += [f"futures.{name}" for name in public_methods(FundingFeesAPI)]
    offered += [f"spot.{name}" for name in public_methods(spot_market.MarketAPI)]
    say(call="offered", data=sorted(offered))


class Rows:
    """Counts what came per call until every call has enough."""

    def __init__(self, wanted):
        self.missing = dict(wanted)
        self.done = threading.Event()
        self._lock = threading.Lock()

    def callback(self, call):
        def on_data(topic, subject, data):
            say(call=call, topic=topic, subject=subject, data=plain(data))
            with self._lock:
                for key in (call, f"{call} {subject}"):
                    if key in self.missing:
                        self.missing[key] -= 1
                        if not self.missing[key]:
                            del self.missing[key]
            if not self.missing:
                self.done.set()

        return on_data

    def wait(self):
        """Wait until every call has enough; says which have not when none of theirs comes."""
        before = None
        while not self.done.wait(PATIENCE):
            with self._lock:
                missing = dict(self.missing)
            if missing == before:
                say(call="late", data=missing)
                return
            before = missing


def say_subscribed():
    say(call="subscribed")
    sys.stdout.flush()


def fetch_while_moving(market, contract):
    """Fetch over REST what the sockets bring as well."""
    calls = {
        "futures.get_mark_price moving": lambda: market.get_mark_price(
            futures_market.GetMarkPriceReq(symbol=contract)
        ),
        "futures.get_full_order_book moving": lambda: market.get_full_order_book(
            futures_market.GetFullOrderBookReq(symbol=contract)
        ),
        "futures.get_trade_history moving": lambda: market.get_trade_history(
            futures_market.GetTradeHistoryReq(symbol=contract)
        ),
    }
    for name, call in calls.items():
        for _ in range(3):
            say(call=name, data=plain(call()))


def stream(client, plan, events):
    service = client.ws_service()
    contract, pair = plan["contract"], plan["pair"]
    futures, spot = service.new_futures_public_ws(), service.new_spot_public_ws()
    rows = Rows(plan["wanted"])
    say(call="ready")
    sys.stdout.flush()
    sys.stdin.readline()
    futures.start()
    spot.start()
    calls = {
        "futures.announcement": (futures.announcement, contract),
        "futures.execution": (futures.execution, contract),
        "futures.instrument": (futures.instrument, contract),
        "futures.klines": (futures.klines, contract, "1min"),
        "futures.orderbook_increment": (futures.orderbook_increment, contract),
        "futures.orderbook_level5": (futures.orderbook_level5, contract),
        "futures.orderbook_level50": (futures.orderbook_level50, contract),
        "futures.symbol_snapshot": (futures.symbol_snapshot, contract),
        "futures.ticker_v1": (futures.ticker_v1, contract),
        "futures.ticker_v2": (futures.ticker_v2, contract),
        "spot.all_tickers": (spot.all_tickers,),
        "spot.call_auction_info": (spot.call_auction_info, pair),
        "spot.call_auction_orderbook_level50": (spot.call_auction_orderbook_level50, pair),
        "spot.klines": (spot.klines, pair, "1min"),
        "spot.market_snapshot": (spot.market_snapshot, plan["zone"]),
        "spot.orderbook_increment": (spot.orderbook_increment, [pair]),
        "spot.orderbook_level1": (spot.orderbook_level1, [pair]),
        "spot.orderbook_level5": (spot.orderbook_level5, [pair]),
        "spot.orderbook_level50": (spot.orderbook_level50, [pair]),
        "spot.symbol_snapshot": (spot.symbol_snapshot, pair),
        "spot.ticker": (spot.ticker, [pair]),
        "spot.trade": (spot.trade, [pair]),
    }
    ids = {}
    for name, (subscribe, *arguments) in calls.items():
        # Raises unless the exchange acknowledges.
        ids[name] = subscribe(*arguments, rows.callback(name))
        say(call="acked", data=name)
    say_subscribed()
    rows.wait()
    market = client.rest_service().get_futures_service().get_market_api()
    fetch_while_moving(market, contract)
    for market, socket in (("futures", futures), ("spot", spot)):
        ping = socket.transport.client.new_ping_message()
        pong = socket.transport.client.write(ping, timeout=10.0)
        say(call=f"{market}.ping", data=pong.event.wait(10.0) and pong.exception is None)
    # Told before it unsubscribes: what is still under way then finds no callback any more.
    say(call="events", data=list(events))
    for name, each in ids.items():
        socket = futures if name.startswith("futures.") else spot
        try:
            socket.unsubscribe(each)
            say(call=f"{name.partition('.')[0]}.unsubscribe", data=name)
        except Exception as error:
            say(call=f"{name.partition('.')[0]}.unsubscribe", error=str(error))
    offered = [f"futures.{name}" for name in public_methods(FuturesPublicWS)]
    offered += [f"spot.{name}" for name in public_methods(SpotPublicWS)]
    say(call="offered", data=sorted(offered))


def private(client, plan, events):
    service = client.ws_service()
    contract, pair = plan["contract"], plan["pair"]
    sockets = {
        "futures": service.new_futures_private_ws(),
        "spot": service.new_spot_private_ws(),
        "margin": service.new_margin_private_ws(),
    }
    rows = Rows(plan["wanted"])
    say(call="ready")
    sys.stdout.flush()
    sys.stdin.readline()
    for socket in sockets.values():
        socket.start()
    calls = [
        ("futures", "all_order"),
        ("futures", "order", contract),
        ("futures", "all_position"),
        ("futures", "position", contract),
        ("futures", "balance"),
        ("futures", "stop_orders"),
        ("futures", "margin_mode"),
        ("futures", "cross_leverage"),
        ("spot", "order_v1"),
        ("spot", "order_v2"),
        ("spot", "account"),
        ("spot", "stop_order"),
        ("margin", "cross_margin_position"),
        ("margin", "isolated_margin_position", pair),
    ]
    for market, name, *arguments in calls:
        call = f"{market}_private.{name}"
        # Raises unless the exchange acknowledges.
        getattr(sockets[market], name)(*arguments, rows.callback(call))
        say(call="acked", data=call)
    say_subscribed()
    rows.wait()
    say(call="events", data=list(events))
    interfaces = {"futures": FuturesPrivateWS, "spot": SpotPrivateWS, "margin": MarginPrivateWS}
    offered = [
        f"{market}_private.{name}"
        for market, interface in interfaces.items()
        for name in public_methods(interface)
    ]
    say(call="offered", data=sorted(offered))


def sign():
    """Sign what is told on stdin with the SDK's own signer, each at the time that is told."""
    for case in json.loads(sys.stdin.readline()):
        # Exact: its int(time() * 1000) must give the milliseconds that were told.
        now = Fraction(case["timestamp_ms"], 1_000)
        default_signer.time = SimpleNamespace(time=lambda now=now: now)
        signer = default_signer.KcSigner(case["key"], case["secret"], case["passphrase"])
        headers = signer.headers(case["method"] + case["path"] + case["body"])
        say(call="signature", data=headers)


def main():
    mode, futures_url, spot_url, plan = sys.argv[1:]
    events = []

    class Complaints(logging.Handler):
        def emit(self, record):
            events.append(record.getMessage())

    logging.getLogger().addHandler(Complaints(logging.WARNING))

    def on_event(event, message, error):
        if event.name.endswith(("ERROR", "FAIL", "FULL", "DISCONNECTED")):
            events.append(f"{event} {message} {error}")

    plan = json.loads(plan)
    # Public calls need no key, but the SDK signs everything.
    login = plan.get("login", ["interop-key", "interop-secret", "interop-passphrase"])
    service = client(futures_url, spot_url, login, on_event)
    began = time.monotonic()
    if mode == "rest":
        rest(service.rest_service(), plan)
    elif mode == "stream":
        stream(service, plan, events)
    elif mode == "private":
        private(service, plan, events)
    else:
        sign()
    say(call="done", data=round(time.monotonic() - began, 3))
    sys.stdout.flush()
    # Its stop() joins threads that may wait for each other (kucoin-universal-sdk issue 80).
    os._exit(0)


main()
