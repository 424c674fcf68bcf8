"""The REST calls about what can be traded on margin, and at which prices it is valued.

Shapes from the models and samples of kucoin-universal-sdk 1.3.2.
"""

from __future__ import annotations

from typing import Any

from kucoin_research.sim.accounts.ledger import decimal_text
from kucoin_research.sim.accounts.margin import DEBT_LIMIT
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.messages.instrument_rows import symbol_row
from kucoin_research.sim.server.routes import (
    Reply,
    Route,
    Site,
    Values,
    Work,
    error,
    for_symbol,
    ok,
    touches_all,
    touches_none,
)

__all__ = ["MARGIN_ROUTES"]

# KuCoin's highest leverage on margin, and the debt ratio up to which loans are renewed.
_CROSS_LEVERAGE, _ISOLATED_LEVERAGE = 5, 10
_RENEWED_UP_TO = "0.96"
_WARNED_FROM = "0.95"
_NO_PAIR = error(200, "400100", "Unsupported trading pair.")
_FIELDS = (
    "symbol",
    "name",
    "enableTrading",
    "market",
    "baseCurrency",
    "quoteCurrency",
    "baseIncrement",
    "baseMinSize",
    "quoteIncrement",
    "quoteMinSize",
    "baseMaxSize",
    "quoteMaxSize",
    "priceIncrement",
    "feeCurrency",
    "priceLimitRate",
    "minFunds",
)


def _cross_symbols(site: Site, values: Values) -> Reply:
    chosen = values.get("symbol")
    items = [
        _cross_row(site, listing)
        for listing in site.listings.values()
        if chosen in (None, "", listing.symbol)
    ]
    return ok({"timestamp": site.now_ms, "items": items})


def _cross_row(site: Site, listing: Listing) -> dict[str, Any]:
    row = symbol_row(listing) | {"enableTrading": _is_open(site, listing)}
    return {name: row[name] for name in _FIELDS}


def _isolated_symbols(site: Site, _values: Values) -> Reply:
    return ok([_isolated_row(site, listing) for listing in site.listings.values()])


def _isolated_row(site: Site, listing: Listing) -> dict[str, Any]:
    sides = ("base", "quote")
    return {
        "symbol": listing.symbol,
        "symbolName": listing.symbol,
        "baseCurrency": listing.base,
        "quoteCurrency": listing.quote,
        "maxLeverage": _ISOLATED_LEVERAGE,
        "flDebtRatio": decimal_text(DEBT_LIMIT),
        "tradeEnable": _is_open(site, listing),
        "autoRenewMaxDebtRatio": _RENEWED_UP_TO,
        **{f"{side}BorrowEnable": True for side in sides},
        **{f"{side}TransferInEnable": True for side in sides},
        **{f"{side}BorrowCoefficient": "1" for side in sides},
    }


def _is_open(site: Site, listing: Listing) -> bool:
    return site.core.trading_status(listing.symbol) == "Open"


def _config(site: Site, _values: Values) -> Reply:
    coins = {coin: None for row in site.listings.values() for coin in (row.base, row.quote)}
    return ok(
        {
            "currencyList": list(coins),
            "maxLeverage": _CROSS_LEVERAGE,
            "warningDebtRatio": _WARNED_FROM,
            "liqDebtRatio": decimal_text(DEBT_LIMIT),
        }
    )


def _mark(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
    return {
        "symbol": engine.listing.symbol,
        "timePoint": site.now_ms // 1_000 * 1_000,
        "value": engine.mark_price(site.now_ns),
    }


def _marks(site: Site, values: Values) -> Work:
    rows = []
    for symbol in site.listings:
        rows.append(_mark(site, site.listed(symbol), values))
        yield
    return ok(rows)


MARGIN_ROUTES: tuple[Route, ...] = (
    Route("/api/v3/margin/symbols", 3, _cross_symbols, touches_none),
    Route("/api/v1/isolated/symbols", 3, _isolated_symbols, touches_none),
    Route("/api/v1/margin/config", 25, _config, touches_none),
    Route("/api/v1/mark-price/{symbol}/current", 2, for_symbol(_mark, _NO_PAIR)),
    Route("/api/v3/mark-price/all-symbols", 10, _marks, touches_all),
)
