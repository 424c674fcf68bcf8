"""The REST calls of both markets: which paths exist, what they weigh, and what they answer.

Shapes from the protocol reference, sections 2 (common), 3 (futures) and 4 (spot).
"""

from __future__ import annotations

from kucoin_research.sim.server.futures_rest import (
    _account_overview,
    _contract,
    _contracts,
    _funding_rate,
    _funding_rates,
    _futures_book,
    _futures_ticker,
    _futures_tickers,
    _futures_trades,
    _kline,
    _mark_price,
    _no_such_depth,
    _position,
    _positions,
    _query,
    _touches_series,
    _trade_statistics,
)
from kucoin_research.sim.server.routes import (
    _INVALID_SYMBOL,
    Reply,
    Route,
    RouteTable,
    Site,
    Values,
    _for_symbol,
    _ok,
    _refused,
    _touches_all,
    _touches_none,
    error,
    route_table,
)
from kucoin_research.sim.server.spot_rest import (
    _NO_DATA,
    _coin_accounts,
    _currencies,
    _currency,
    _histories,
    _level1,
    _spot_book,
    _spot_candles,
    _spot_tickers,
    _stats,
    _symbol,
    _symbols,
    _zones,
)

__all__ = ["ROUTES"]


# Both markets


def _timestamp(site: Site, _values: Values) -> Reply:
    return _ok(site.now_ms)


def _status(site: Site, _values: Values) -> Reply:
    return _ok({"status": site.status, "msg": ""})


_BULLETS = (
    Route("/api/v1/bullet-public", 10, _refused, _touches_none, method="POST"),
    Route("/api/v1/bullet-private", 10, _refused, _touches_none, method="POST", is_private=True),
)

_ROUTES: dict[str, tuple[Route, ...]] = {
    "futures": (
        *_BULLETS,
        # Its replies were seen without the quota headers. (reference, section 2.4)
        Route("/api/v1/timestamp", 2, _timestamp, _touches_none, shows_quota=False),
        Route("/api/v1/status", 4, _status, _touches_none),
        Route("/api/v1/contracts/active", 3, _contracts, _touches_all),
        Route(
            "/api/v1/contracts/{symbol}",
            3,
            _for_symbol(
                _contract,
                error(200, "404000", "The contract information you requested does not exist."),
            ),
        ),
        Route("/api/v1/ticker", 2, _for_symbol(_futures_ticker, _INVALID_SYMBOL)),
        Route("/api/v1/allTickers", 5, _futures_tickers, _touches_all),
        Route("/api/v1/level2/snapshot", 3, _for_symbol(_futures_book(1_000), _INVALID_SYMBOL)),
        Route("/api/v1/level2/depth20", 5, _for_symbol(_futures_book(20), _INVALID_SYMBOL)),
        Route("/api/v1/level2/depth100", 5, _for_symbol(_futures_book(100), _INVALID_SYMBOL)),
        Route("/api/v1/level2/{depth}", 5, _no_such_depth, _touches_none),
        Route("/api/v1/trade/history", 5, _for_symbol(_futures_trades, _INVALID_SYMBOL)),
        Route("/api/v1/kline/query", 3, _kline, _touches_series),
        Route(
            "/api/v1/mark-price/{symbol}/current",
            3,
            _for_symbol(_mark_price, error(200, "415000", "mark price is not supported")),
        ),
        Route("/api/v1/index/query", 2, _query, _touches_series),
        Route("/api/v1/premium/query", 3, _query, _touches_series),
        Route("/api/v1/interest/query", 5, _query, _touches_series),
        Route(
            "/api/v1/funding-rate/{symbol}/current",
            2,
            _for_symbol(_funding_rate, error(200, "415000", "funding rate is not supported")),
        ),
        Route("/api/v1/contract/funding-rates", 5, _funding_rates),
        Route("/api/v1/trade-statistics", 3, _trade_statistics, _touches_all, is_private=True),
        Route(
            "/api/v1/account-overview",
            5,
            _refused,
            _touches_none,
            is_private=True,
            account_answer=_account_overview,
        ),
        Route(
            "/api/v1/positions",
            2,
            _refused,
            _touches_none,
            is_private=True,
            account_answer=_positions,
        ),
        Route("/api/v1/position", 2, _refused, is_private=True, account_answer=_position),
    ),
    "spot": (
        *_BULLETS,
        Route("/api/v1/timestamp", 3, _timestamp, _touches_none, shows_quota=False),
        Route("/api/v1/status", 3, _status, _touches_none),
        Route("/api/v2/symbols", 4, _symbols, _touches_none),
        Route("/api/v2/symbols/{symbol}", 4, _symbol, _touches_none),
        Route("/api/v1/symbols", 4, _symbols, _touches_none),
        Route("/api/v3/currencies", 3, _currencies, _touches_none),
        Route("/api/v3/currencies/{currency}", 3, _currency, _touches_none),
        Route("/api/v1/markets", 3, _zones, _touches_none),
        Route("/api/v1/market/orderbook/level1", 2, _for_symbol(_level1, _NO_DATA)),
        Route("/api/v1/market/allTickers", 15, _spot_tickers, _touches_all),
        Route("/api/v1/market/stats", 15, _for_symbol(_stats, _NO_DATA)),
        Route("/api/v1/market/orderbook/level2_20", 2, _for_symbol(_spot_book(20), _NO_DATA)),
        Route("/api/v1/market/orderbook/level2_100", 2, _for_symbol(_spot_book(100), _NO_DATA)),
        Route(
            "/api/v3/market/orderbook/level2",
            3,
            _for_symbol(_spot_book(None), _NO_DATA),
            is_private=True,
        ),
        Route(
            "/api/v1/accounts",
            5,
            _refused,
            _touches_none,
            is_private=True,
            account_answer=_coin_accounts,
        ),
        Route("/api/v1/market/histories", 3, _for_symbol(_histories, _NO_DATA)),
        Route("/api/v1/market/candles", 3, _spot_candles),
    ),
}


ROUTES: dict[str, RouteTable] = {market: route_table(routes) for market, routes in _ROUTES.items()}
