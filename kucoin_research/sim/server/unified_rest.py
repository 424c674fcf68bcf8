"""The read calls of KuCoin's unified API that clients of classic accounts make, for both markets.

Shapes from protocol reference section 10 and the samples in the sources of ccxt 4.5.90. Accounts
are classic ones here, so the calls of unified accounts are not served.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from kucoin_research.sim.engine.candles import HISTORY_DAYS, INTERVALS
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.messages.feed import last_price_and_size, plain
from kucoin_research.sim.messages.instrument_rows import contract_row, symbol_row
from kucoin_research.sim.server.candle_pages import DAY_MS, candle_page
from kucoin_research.sim.server.routes import (
    MS,
    TRADES_PER_REPLY,
    Reply,
    Route,
    Site,
    Values,
    Work,
    error,
    for_account,
    integer,
    ok,
    touches_none,
)
from kucoin_research.sim.server.spot_rest import currency_row
from kucoin_research.sim.server.text_rows import candle_texts, side_texts

if TYPE_CHECKING:
    from kucoin_research.sim.accounts.members import Member

__all__ = ["UNIFIED_ROUTES"]

_MARKETS = {"SPOT": "spot", "FUTURES": "futures"}
_CANDLES = 1_500
_DEPTHS = {"20": 20, "50": 50, "100": 100, "FULL": None}
_OPEN_INTEREST_ROWS, _MOST_OPEN_INTEREST_ROWS = 30, 200
_FUNDING_ROWS = 100
_NO_MARKET = error(200, "400100", "tradeType must be SPOT or FUTURES.")
_NO_SYMBOL = error(200, "400100", "symbol not exists")
_NO_INTERVAL = error(200, "400100", "Invalid interval.")

_SPOT_NAMES = {
    "symbol": "symbol",
    "name": "name",
    "baseCurrency": "baseCurrency",
    "quoteCurrency": "quoteCurrency",
    "market": "market",
    "minBaseOrderSize": "baseMinSize",
    "minQuoteOrderSize": "quoteMinSize",
    "maxBaseOrderSize": "baseMaxSize",
    "maxQuoteOrderSize": "quoteMaxSize",
    "baseOrderStep": "baseIncrement",
    "quoteOrderStep": "quoteIncrement",
    "tickSize": "priceIncrement",
    "feeCurrency": "feeCurrency",
    "priceLimitRatio": "priceLimitRate",
    "feeCategory": "feeCategory",
    "makerFeeCoefficient": "makerFeeCoefficient",
    "takerFeeCoefficient": "takerFeeCoefficient",
    "st": "st",
}
_CONTRACT_NAMES = {
    "symbol": "symbol",
    "baseCurrency": "baseCurrency",
    "quoteCurrency": "quoteCurrency",
    "settlementCurrency": "settleCurrency",
    "isInverse": "isInverse",
    "launchTime": "firstOpenDate",
    "expiryTime": "expireDate",
    "settlementTime": "settleDate",
    "settlementFeeRate": "settlementFee",
    "maxLeverage": "maxLeverage",
    "indexSourceExchanges": "sourceExchanges",
}
# Numbers of the classic row that are texts here.
_CONTRACT_TEXTS = {
    "maxBaseOrderSize": "maxOrderQty",
    "tickSize": "tickSize",
    "maxPrice": "maxPrice",
    "lotSize": "lotSize",
    "unitSize": "multiplier",
    "makerFeeRate": "makerFeeRate",
    "takerFeeRate": "takerFeeRate",
    "k": "k",
    "m": "m",
    "f": "f",
    "mmrLimit": "mmrLimit",
    "mmrLevConstant": "mmrLevConstant",
}
_COIN_NAMES = ("currency", "name", "fullName", "precision", "isMarginEnabled", "isDebitEnabled")
_CHAIN_NAMES = {
    "chainName": "chainName",
    "chainId": "chainId",
    "minWithdrawSize": "withdrawalMinSize",
    "minDepositSize": "depositMinSize",
    "withdrawFeeRate": "withdrawFeeRate",
    "minWithdrawFee": "withdrawalMinFee",
    "isWithdrawEnabled": "isWithdrawEnabled",
    "isDepositEnabled": "isDepositEnabled",
    "confirms": "confirms",
    "preConfirms": "preConfirms",
    "contractAddress": "contractAddress",
    "withdrawPrecision": "withdrawPrecision",
    "maxWithdrawSize": "maxWithdraw",
    "maxDepositSize": "maxDeposit",
    "isMemoRequired": "needTag",
}


# Which market and which symbols a call asks about


def _site(site: Site, values: Values) -> Site | None:
    """Return the market that ``tradeType`` names; both are called at the spot address."""
    market = _MARKETS.get(values.get("tradeType", ""))
    return None if market is None else site.sites[market]


def _named(asked: Site, values: Values) -> list[str] | None:
    """List the symbols a call names, all of the market if it names none; None if one is unknown."""
    names = [name for name in values.get("symbol", "").split(",") if name]
    if any(name not in asked.listings for name in names):
        return None
    return names or list(asked.listings)


def _touches_named(site: Site, values: Values) -> Iterable[str]:
    asked = _site(site, values)
    return [] if asked is None else _named(asked, values) or []


def _touches_contracts(site: Site, values: Values) -> Iterable[str]:
    return _named(site.sites["futures"], values) or []


def _of_symbol(
    answer: Callable[[Site, Market, Values], Reply | Work],
) -> Callable[[Site, Values], Reply | Work]:
    """Make the answer of a call about one symbol of the market that ``tradeType`` names."""

    def look_up(site: Site, values: Values) -> Reply | Work:
        asked = _site(site, values)
        if asked is None:
            return _NO_MARKET
        symbol = values.get("symbol", "")
        return (
            answer(asked, asked.engine(symbol), values) if symbol in asked.listings else _NO_SYMBOL
        )

    return look_up


def _of_contract(
    answer: Callable[[Site, Market, Values], Any],
) -> Callable[[Site, Values], Reply]:
    def look_up(site: Site, values: Values) -> Reply:
        futures, symbol = site.sites["futures"], values.get("symbol", "")
        if symbol not in futures.listings:
            return _NO_SYMBOL
        return ok(answer(futures, futures.engine(symbol), values))

    return look_up


def _renamed(row: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {name: row[known] for name, known in names.items()}


def _with_market(values: Values, **data: Any) -> Reply:
    return ok({"tradeType": values["tradeType"], **data})


def _server_status(site: Site, values: Values) -> Reply:
    asked = _site(site, values)
    if asked is None:
        return _NO_MARKET
    return _with_market(values, serverStatus=asked.status, msg="")


# Instruments and coins


def _instruments(site: Site, values: Values) -> Reply:
    asked = _site(site, values)
    if asked is None:
        return _NO_MARKET
    symbols = _named(asked, values)
    if symbols is None:
        return _NO_SYMBOL
    row = _pair if asked.market == "spot" else _contract
    return _with_market(values, list=[row(asked, asked.listings[symbol]) for symbol in symbols])


def _status(site: Site, listing: Listing) -> str:
    return "1" if site.core.trading_status(listing.symbol) == "Open" else "0"


def _pair(site: Site, listing: Listing) -> dict[str, Any]:
    more = {"tradingStatus": _status(site, listing), "marginMode": "1"}
    return _renamed(symbol_row(listing), _SPOT_NAMES) | more


def _contract(site: Site, listing: Listing) -> dict[str, Any]:
    row = contract_row(listing, None, site.now_ns)
    texts = {name: plain(row[known]) for name, known in _CONTRACT_TEXTS.items()}
    more = {
        "contractType": "0" if row["expireDate"] is None else "1",
        "tradingStatus": _status(site, listing),
    }
    return _renamed(row, _CONTRACT_NAMES) | texts | more


def _currencies(site: Site, values: Values) -> Reply:
    pairs = site.listings.values()
    coins = {coin: None for row in pairs for coin in (row.base, row.quote)}
    chosen = values.get("currency")
    return ok([_coin_row(coin) for coin in coins if chosen in (None, "", coin)])


def _coin_row(coin: str) -> dict[str, Any]:
    row = currency_row(coin)
    chains = [_renamed(chain, _CHAIN_NAMES) for chain in row["chains"]]
    return {name: row[name] for name in _COIN_NAMES} | {"items": chains}


# Prices, books, trades and candles


def _tickers(site: Site, values: Values) -> Reply | Work:
    asked = _site(site, values)
    if asked is None:
        return _NO_MARKET
    symbols = _named(asked, values)
    return _NO_SYMBOL if symbols is None else _ticker_rows(asked, symbols, values)


def _ticker_rows(asked: Site, symbols: list[str], values: Values) -> Work:
    rows = []
    for symbol in symbols:
        engine = asked.listed(symbol)
        yield from engine.warm_day()
        rows.append(_ticker_row(engine, asked.now_ns))
        yield
    return _with_market(values, ts=asked.now_ms, list=rows)


def _ticker_row(engine: Market, now_ns: int) -> dict[str, Any]:
    stats = engine.stats_24h(now_ns)
    price, size = last_price_and_size(engine)
    bids, asks = side_texts(engine, "buy", 1), side_texts(engine, "sell", 1)
    bid, bid_size = bids[0] if bids else ("0", "0")
    ask, ask_size = asks[0] if asks else ("0", "0")
    return {
        "symbol": engine.listing.symbol,
        "name": engine.listing.symbol,
        "bestBidSize": bid_size,
        "bestBidPrice": bid,
        "bestAskSize": ask_size,
        "bestAskPrice": ask,
        "lastPrice": price,
        "size": size,
        "open": plain(stats.open),
        "high": plain(stats.high),
        "low": plain(stats.low),
        "baseVolume": plain(stats.volume),
        "quoteVolume": plain(stats.turnover),
    }


def _book(site: Site, values: Values, _member: Member) -> Reply:
    asked, symbol, limit = _site(site, values), values.get("symbol", ""), values.get("limit", "")
    if asked is None:
        return _NO_MARKET
    if symbol not in asked.listings:
        return _NO_SYMBOL
    if limit not in _DEPTHS:
        return error(200, "400100", f"limit must be one of {', '.join(_DEPTHS)}.")
    engine, depth = asked.engine(symbol), _DEPTHS[limit]
    return _with_market(
        values,
        symbol=symbol,
        sequence=str(asked.sequence(engine)),
        bids=side_texts(engine, "buy", depth),
        asks=side_texts(engine, "sell", depth),
    )


def _trades(_asked: Site, engine: Market, values: Values) -> Reply:
    newest_first = list(engine.trades)[: -TRADES_PER_REPLY - 1 : -1]
    rows = [
        {
            "sequence": str(trade.sequence),
            "tradeId": trade.trade_id,
            "price": engine.price_text(trade.price_ticks),
            "size": engine.size_text(trade.size),
            "side": trade.side,
            "ts": trade.time_ns,
        }
        for trade in newest_first
    ]
    return _with_market(values, list=rows)


def _candles(_asked: Site, engine: Market, values: Values) -> Reply | Work:
    interval_ms = INTERVALS.get(values.get("interval", ""))
    return _NO_INTERVAL if interval_ms is None else _candle_rows(engine, interval_ms, values)


def _candle_rows(engine: Market, interval_ms: int, values: Values) -> Work:
    first = (integer(values, "startAt") or 0) * 1_000
    last = (integer(values, "endAt") or 0) * 1_000 or None
    page = yield from candle_page(engine, interval_ms, None, last, _CANDLES)
    rows = [candle_texts(engine, one) for one in reversed(page) if one.open_ms >= first]
    return _with_market(values, symbol=engine.listing.symbol, list=rows)


# Funding, open interest and risk tiers of contracts


def _funding(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
    row = contract_row(engine.listing, engine, site.now_ns)
    return {
        "symbol": row["fundingRateSymbol"],
        "nextFundingRate": row["fundingFeeRate"],
        "fundingTime": row["nextFundingRateDateTime"],
        "fundingRateCap": row["fundingRateCap"],
        "fundingRateFloor": row["fundingRateFloor"],
        "currentGranularity": row["fundingRateGranularity"],
        "newGranularity": row["currentFundingRateGranularity"],
        "newGranularityStartTime": row["effectiveFundingRateCycleStartTime"],
    }


def _fundings(site: Site, values: Values) -> Work:
    """Answer version 2, which has a row per contract and its rates as texts."""
    futures = site.sites["futures"]
    rows = []
    for symbol in _named(futures, values) or []:
        row = _funding(futures, futures.listed(symbol), values)
        texts = ("nextFundingRate", "fundingRateCap", "fundingRateFloor")
        rows.append(row | {"symbol": symbol} | {name: plain(row[name]) for name in texts})
        yield
    return ok(rows)


def _funding_history(site: Site, engine: Market, values: Values) -> dict[str, Any]:
    oldest = engine.start_ns // MS - HISTORY_DAYS * DAY_MS
    first = max(integer(values, "startAt") or 0, oldest)
    last = min(integer(values, "endAt") or site.now_ms, site.now_ms)
    times = engine.funding_times(first * MS, last * MS)[: -_FUNDING_ROWS - 1 : -1]
    rows = [{"fundingRate": engine.settled_funding(time), "ts": time // MS} for time in times]
    return {"symbol": engine.listing.symbol, "list": rows}


def _open_interest(site: Site, values: Values) -> Reply:
    futures = site.sites["futures"]
    symbols = _named(futures, values)
    if symbols is None:
        return _NO_SYMBOL
    interval = values.get("interval", "")
    if interval and interval not in INTERVALS:
        return _NO_INTERVAL
    times = _grid(futures.now_ms, INTERVALS[interval], values) if interval else [futures.now_ms]
    return ok(
        [
            {
                "symbol": symbol,
                "openInterest": str(futures.listed(symbol).open_interest(time_ms * MS)),
                "ts": time_ms,
            }
            for symbol in symbols
            for time_ms in times
        ]
    )


def _grid(now_ms: int, step: int, values: Values) -> list[int]:
    """List the full intervals up to the present that a call asks about, the newest first."""
    last = min(integer(values, "endAt") or now_ms, now_ms) // step * step
    first = integer(values, "startAt") or 0
    rows = min(integer(values, "pageSize") or _OPEN_INTEREST_ROWS, _MOST_OPEN_INTEREST_ROWS)
    return [time for time in range(last, last - rows * step, -step) if time >= first]


def _tiers(site: Site, values: Values) -> Reply:
    futures = site.sites["futures"]
    symbols = _named(futures, values)
    if symbols is None:
        return _NO_SYMBOL
    return ok(
        [
            {
                "symbol": symbol,
                "tier": tier.level,
                "maxSize": str(tier.limit),
                "minSize": str(tier.above),
                "maxLeverage": str(tier.max_leverage),
                "initialMarginRate": str(tier.initial_margin),
                "maintainMarginRate": str(tier.maintenance_margin),
            }
            for symbol in symbols
            for tier in futures.listings[symbol].risk_tiers
        ]
    )


def _mode(_site: Site, _values: Values, _member: Member) -> Reply:
    return ok({"selfAccountMode": "CLASSIC"})


UNIFIED_ROUTES: tuple[Route, ...] = (
    for_account("GET", "/api/ua/v1/account/mode", 30, _mode, touches_none),
    Route("/api/ua/v1/server/status", 3, _server_status, touches_none),
    Route("/api/ua/v1/market/instrument", 4, _instruments, touches_none),
    Route("/api/ua/v1/market/currency", 3, _currencies, touches_none),
    Route("/api/ua/v1/asset/currencies", 3, _currencies, touches_none),
    Route("/api/ua/v1/market/ticker", 15, _tickers, _touches_named),
    for_account("GET", "/api/ua/v1/market/orderbook", 3, _book, _touches_named),
    Route("/api/ua/v1/market/trade", 3, _of_symbol(_trades), _touches_named),
    Route("/api/ua/v1/market/kline", 3, _of_symbol(_candles), _touches_named),
    Route("/api/ua/v1/market/funding-rate", 2, _of_contract(_funding), _touches_contracts),
    Route("/api/ua/v2/market/funding-rate", 3, _fundings, _touches_contracts),
    Route(
        "/api/ua/v1/market/funding-rate-history",
        5,
        _of_contract(_funding_history),
        _touches_contracts,
    ),
    Route("/api/ua/v1/market/open-interest", 10, _open_interest, _touches_contracts),
    Route("/api/ua/v1/market/position-tiers", 20, _tiers, touches_none),
)
