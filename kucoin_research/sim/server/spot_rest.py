"""The REST answers and routes of the simulated spot market.

Shapes from the protocol reference, section 4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kucoin_research.sim.engine.candles import INTERVALS
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.messages.feed import last_price_and_size, plain
from kucoin_research.sim.messages.instrument_rows import symbol_row, unknown_day
from kucoin_research.sim.server.candle_pages import candle_page
from kucoin_research.sim.server.classic_orders_rest import CLASSIC_ORDER_ROUTES
from kucoin_research.sim.server.ledger_rest import LEDGER_ROUTES
from kucoin_research.sim.server.margin_accounts_rest import MARGIN_ACCOUNT_ROUTES
from kucoin_research.sim.server.oco_rest import OCO_ROUTES
from kucoin_research.sim.server.routes import (
    BULLETS,
    TRADES_PER_REPLY,
    Reply,
    Route,
    Site,
    Values,
    Work,
    error,
    for_symbol,
    integer,
    ok,
    status,
    timestamp,
    touches_all,
    touches_none,
)
from kucoin_research.sim.server.spot_accounts_rest import ACCOUNT_BY_ID, SPOT_ACCOUNT_ROUTES
from kucoin_research.sim.server.spot_alter_rest import SPOT_ALTER_ROUTES
from kucoin_research.sim.server.spot_order_lists_rest import SPOT_ORDER_LIST_ROUTES
from kucoin_research.sim.server.spot_orders_rest import SPOT_ORDER_ROUTES
from kucoin_research.sim.server.spot_stops_rest import SPOT_STOP_ROUTES
from kucoin_research.sim.server.text_rows import candle_texts, side_texts
from kucoin_research.sim.server.transfers_rest import TRANSFER_ROUTES

__all__ = ["SPOT_ROUTES", "currency_row"]

_SPOT_CANDLES = 1_500
_CANDLES_WITHOUT_BEGIN = 100


_NO_DATA = ok(None)


_NO_PAIR = error(200, "400100", "Unsupported trading pair.")


def _symbols(site: Site, values: Values) -> Reply:
    zone = values.get("market")
    rows = [_pair(site, listing) for listing in site.listings.values()]
    return ok([row for row in rows if zone in (None, "", row["market"])])


def _symbol(site: Site, values: Values) -> Reply:
    listing = site.listings.get(values["symbol"])
    if listing is None:
        return error(200, "900001", "The symbol does not exist.")
    return ok(_pair(site, listing))


def _pair(site: Site, listing: Listing) -> dict[str, Any]:
    return symbol_row(listing) | {
        "enableTrading": site.core.trading_status(listing.symbol) == "Open"
    }


def _currencies(site: Site, _values: Values) -> Reply:
    coins = {coin: None for row in site.listings.values() for coin in (row.base, row.quote)}
    return ok([currency_row(coin) for coin in coins])


def _currency(site: Site, values: Values) -> Reply:
    coin = values["currency"]
    if all(coin not in (row.base, row.quote) for row in site.listings.values()):
        return error(200, "400100", "The currency does not exist.")
    return ok(currency_row(coin))


def currency_row(coin: str) -> dict[str, Any]:
    """Return a coin as ``GET /api/v3/currencies/{currency}`` does."""
    return {
        "currency": coin,
        "name": coin,
        "fullName": coin,
        "precision": 8,
        "confirms": None,
        "contractAddress": None,
        "isMarginEnabled": True,
        "isDebitEnabled": True,
        "chains": [
            {
                "chainName": coin,
                "chainId": coin.lower(),
                # Both spellings are live. (typed-kucoin 0.5.0)
                "withdrawalMinSize": "0.001",
                "withdrawMinSize": "0.001",
                "depositMinSize": "0.0002",
                "withdrawFeeRate": "0",
                "withdrawalMinFee": "0.0005",
                "withdrawMinFee": "0.0005",
                "isWithdrawEnabled": True,
                "isDepositEnabled": True,
                "confirms": 3,
                "preConfirms": 1,
                "contractAddress": "",
                "withdrawPrecision": 8,
                "maxWithdraw": None,
                "maxDeposit": None,
                "needTag": False,
                "addressRegex": "^[0-9A-Za-z]+$",
                "memoRegex": "",
                # Only some coins have these three.
                "depositFeeRate": None,
                "withdrawMaxFee": None,
                "depositTierFee": None,
            }
        ],
    }


def _zones(site: Site, _values: Values) -> Reply:
    return ok(sorted({row.zone for row in site.listings.values()}))


def _level1(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
    price, size = last_price_and_size(engine)
    bids, asks = side_texts(engine, "buy", 1), side_texts(engine, "sell", 1)
    bid, bid_size = bids[0] if bids else ("0", "0")
    ask, ask_size = asks[0] if asks else ("0", "0")
    return {
        "time": site.now_ms,
        "sequence": str(site.sequence(engine)),
        "price": price,
        "size": size,
        "bestBid": bid,
        "bestBidSize": bid_size,
        "bestAsk": ask,
        "bestAskSize": ask_size,
    }


def _spot_book(depth: int | None) -> Callable[[Site, Market, Values], dict[str, Any]]:
    def book(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
        return {
            "time": site.now_ms,
            "sequence": str(site.sequence(engine)),
            "bids": side_texts(engine, "buy", depth),
            "asks": side_texts(engine, "sell", depth),
        }

    return book


def _stats(site: Site, values: Values) -> Reply:
    symbol = values.get("symbol", "")
    is_listed = symbol in site.listings
    row = _stats_row(site.engine(symbol), site.now_ns) if is_listed else unknown_day(symbol)
    return ok({"time": site.now_ms, **row})


def _stats_row(engine: Market, now_ns: int) -> dict[str, Any]:
    stats, listing = engine.stats_24h(now_ns), engine.listing
    bids, asks = side_texts(engine, "buy", 1), side_texts(engine, "sell", 1)
    return {
        "symbol": listing.symbol,
        "buy": bids[0][0] if bids else None,
        "sell": asks[0][0] if asks else None,
        "changeRate": plain(stats.change_pct),
        "changePrice": plain(stats.change),
        "high": plain(stats.high),
        "low": plain(stats.low),
        "vol": plain(stats.volume),
        "volValue": plain(stats.turnover),
        "last": plain(stats.last),
        "averagePrice": plain((stats.open + stats.last) / 2),
        "takerFeeRate": plain(listing.taker_fee),
        "makerFeeRate": plain(listing.maker_fee),
        "takerCoefficient": "1",
        "makerCoefficient": "1",
    }


def _spot_tickers(site: Site, _values: Values) -> Work:
    rows = []
    for symbol in site.listings:
        engine = site.listed(symbol)
        yield from engine.warm_day()
        bids, asks = side_texts(engine, "buy", 1), side_texts(engine, "sell", 1)
        rows.append(
            {
                **_stats_row(engine, site.now_ns),
                "symbolName": symbol,
                "open": plain(engine.stats_24h(site.now_ns).open),
                "lastSize": last_price_and_size(engine)[1],
                "bestBidSize": bids[0][1] if bids else None,
                "bestAskSize": asks[0][1] if asks else None,
            }
        )
        yield
    return ok({"time": site.now_ms, "ticker": rows})


def _histories(_site: Site, engine: Market, _values: Values) -> list[dict[str, Any]]:
    return [
        {
            "sequence": str(trade.sequence),
            "tradeId": trade.trade_id,
            "price": engine.price_text(trade.price_ticks),
            "size": engine.size_text(trade.size),
            "side": trade.side,
            "time": trade.time_ns,
        }
        for trade in list(engine.trades)[-TRADES_PER_REPLY:]
    ]


def _spot_candles(site: Site, values: Values) -> Work:
    symbol = values.get("symbol", "")
    interval_ms = INTERVALS.get(values.get("type", ""))
    if symbol not in site.listings:
        return _NO_PAIR
    if interval_ms is None:
        return error(200, "400100", "Incorrect candlestick type.")
    # 0 counts as no bound. If more candles match than fit, the reply has the newest ones.
    begin, end = integer(values, "startAt"), integer(values, "endAt")
    first = (begin or 0) * 1_000
    last = end * 1_000 - (not site.core.settings.candles_include_end) if end else None
    limit = _CANDLES_WITHOUT_BEGIN if begin is None else _SPOT_CANDLES
    engine = site.engine(symbol)
    page = yield from candle_page(engine, interval_ms, None, last, limit)
    return ok([candle_texts(engine, c) for c in reversed(page) if c.open_ms >= first])


SPOT_ROUTES: tuple[Route, ...] = (
    *BULLETS,
    Route("/api/v1/timestamp", 3, timestamp, touches_none, shows_quota=False),
    Route("/api/v1/status", 3, status, touches_none),
    Route("/api/v2/symbols", 4, _symbols, touches_none),
    Route("/api/v2/symbols/{symbol}", 4, _symbol, touches_none),
    Route("/api/v1/symbols", 4, _symbols, touches_none),
    Route("/api/v3/currencies", 3, _currencies, touches_none),
    Route("/api/v3/currencies/{currency}", 3, _currency, touches_none),
    Route("/api/v1/markets", 3, _zones, touches_none),
    Route("/api/v1/market/orderbook/level1", 2, for_symbol(_level1, _NO_DATA)),
    Route("/api/v1/market/allTickers", 15, _spot_tickers, touches_all),
    Route("/api/v1/market/stats", 15, _stats),
    Route("/api/v1/market/orderbook/level2_20", 2, for_symbol(_spot_book(20), _NO_DATA)),
    Route("/api/v1/market/orderbook/level2_100", 2, for_symbol(_spot_book(100), _NO_DATA)),
    Route(
        "/api/v3/market/orderbook/level2",
        3,
        for_symbol(_spot_book(None), _NO_DATA),
        is_private=True,
    ),
    Route("/api/v1/market/histories", 3, for_symbol(_histories, _NO_DATA)),
    Route("/api/v1/market/candles", 3, _spot_candles),
    *SPOT_ALTER_ROUTES,
    *SPOT_ORDER_ROUTES,
    *SPOT_ORDER_LIST_ROUTES,
    *CLASSIC_ORDER_ROUTES,
    *SPOT_STOP_ROUTES,
    *OCO_ROUTES,
    *SPOT_ACCOUNT_ROUTES,
    *LEDGER_ROUTES,
    *MARGIN_ACCOUNT_ROUTES,
    *TRANSFER_ROUTES,
    ACCOUNT_BY_ID,
)
