"""The REST answers and routes of the simulated futures market.

Shapes from the protocol reference, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, NamedTuple

from kucoin_research.sim.engine.candles import HISTORY_DAYS, candle_open
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.messages.feed import last_price_and_size
from kucoin_research.sim.messages.index_parts import index_parts, index_sources
from kucoin_research.sim.messages.instrument_rows import (
    FUNDING_PERIOD,
    contract_row,
    risk_limit_rows,
)
from kucoin_research.sim.server.candle_pages import DAY_MS, candle_page
from kucoin_research.sim.server.futures_account_calls import FUTURES_ACCOUNT_CALLS
from kucoin_research.sim.server.futures_margin_calls import FUTURES_MARGIN_CALLS
from kucoin_research.sim.server.futures_order_calls import FUTURES_ORDER_CALLS
from kucoin_research.sim.server.futures_order_lists import FUTURES_ORDER_LISTS
from kucoin_research.sim.server.futures_position_calls import FUTURES_POSITION_CALLS
from kucoin_research.sim.server.routes import (
    BULLETS,
    INVALID_SYMBOL,
    MS,
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
    spelled_number,
    status,
    timestamp,
    touches_all,
    touches_none,
)

__all__ = ["FUTURES_ROUTES"]

_QUERY_ROWS = 100
_FUNDING_ROWS = 100
_GRANULARITIES = (1, 5, 15, 30, 60, 120, 240, 480, 720, 1440, 10080)
_SAMPLES_PER_BAR = 5
_FIRST_POSITION = 300_000_000_000_000_000
_EIGHT_HOURS_MS = 28_800_000
_AVERAGED_MS = 600_000
_ENDED = ("Settled", "Closed")
_INVALID_PARAMETER = error(200, "400100", "Parameter Error")


def _contract(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
    state = site.core.trading_status(engine.listing.symbol)
    return contract_row(engine.listing, engine, site.now_ns) | {"status": state}


def _risk_limits(_site: Site, engine: Market, _values: Values) -> list[dict[str, Any]]:
    return risk_limit_rows(engine.listing)


def _contracts(site: Site, values: Values) -> Work:
    rows = []
    for symbol in site.listings:
        if site.core.trading_status(symbol) not in _ENDED:
            yield from site.listed(symbol).warm_day()
            rows.append(_contract(site, site.listed(symbol), values))
            yield
    return ok(rows)


def _futures_ticker(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
    trade = engine.last_trade
    price, _ = last_price_and_size(engine)
    bids, asks = engine.levels("buy", 1), engine.levels("sell", 1)
    return {
        "sequence": site.sequence(engine) if trade is None else trade.sequence,
        "symbol": engine.listing.symbol,
        "side": "buy" if trade is None else trade.side,
        "size": 0 if trade is None else trade.size,
        "tradeId": "" if trade is None else trade.trade_id,
        "price": price,
        "bestBidPrice": engine.price_text(bids[0][0]) if bids else "0",
        "bestBidSize": bids[0][1] if bids else 0,
        "bestAskPrice": engine.price_text(asks[0][0]) if asks else "0",
        "bestAskSize": asks[0][1] if asks else 0,
        "ts": engine.now_ns if trade is None else trade.time_ns,
    }


def _futures_tickers(site: Site, values: Values) -> Work:
    rows = []
    for symbol in site.listings:
        rows.append(_futures_ticker(site, site.listed(symbol), values))
        yield
    return ok(rows)


def _futures_book(depth: int) -> Callable[[Site, Market, Values], dict[str, Any]]:
    def book(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
        price = engine.price
        return {
            "sequence": site.sequence(engine),
            "symbol": engine.listing.symbol,
            "bids": [[spelled_number(price(t)), size] for t, size in engine.levels("buy", depth)],
            "asks": [[spelled_number(price(t)), size] for t, size in engine.levels("sell", depth)],
            "ts": engine.now_ns // MS * MS,
        }

    return book


def _no_such_depth(_site: Site, _values: Values) -> Reply:
    return Reply(404, {"code": "404", "msg": "not exist"})


def _futures_trades(_site: Site, engine: Market, _values: Values) -> list[dict[str, Any]]:
    newest_first = list(engine.trades)[: -TRADES_PER_REPLY - 1 : -1]
    return [
        {
            "sequence": trade.sequence,
            "contractId": 1,
            "tradeId": trade.trade_id,
            "makerOrderId": trade.maker_order_id,
            "takerOrderId": trade.taker_order_id,
            "ts": trade.time_ns,
            "size": trade.size,
            "price": engine.price_text(trade.price_ticks),
            "side": trade.side,
        }
        for trade in newest_first
    ]


def _kline(site: Site, values: Values) -> Work:
    granularity = integer(values, "granularity")
    if granularity not in _GRANULARITIES:
        return error(200, "100001", "Invalid parameters: granularity")
    interval_ms = granularity * 60_000
    first, last = integer(values, "from"), integer(values, "to")
    page = site.core.settings.kline_page
    symbol = values.get("symbol", "")
    if symbol in site.listings:
        candles = yield from candle_page(site.engine(symbol), interval_ms, first, last, page)
        return ok(
            [
                [
                    c.open_ms,
                    *map(spelled_number, c[1:5]),
                    c.volume_units,
                    spelled_number(c.turnover),
                ]
                for c in candles
            ]
        )
    series = _series(site, symbol)
    if series is None:
        return INVALID_SYMBOL
    rows = yield from _series_bars(series, interval_ms, first, last, page, site.now_ms)
    return ok(rows)


def _mark_price(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
    second_ms = site.now_ms // 1_000 * 1_000
    return {
        "symbol": engine.listing.symbol,
        "granularity": 1000,
        "timePoint": second_ms,
        "value": engine.mark_price(second_ms * MS),
        "indexPrice": engine.index_price(second_ms * MS),
    }


class _Series(NamedTuple):
    """A published series of values, for the query calls and the klines of indices."""

    granularity_ms: int
    value: Callable[[int], float]
    oldest_ms: int
    index_of: Listing | None = None


def _series(site: Site, name: str) -> _Series | None:
    oldest_ms = site.core.clock.start_ns // MS // DAY_MS * DAY_MS - HISTORY_DAYS * DAY_MS
    # Names with "8H" are of values for eight hours.
    base_name, step = name.removesuffix("8H"), _EIGHT_HOURS_MS if name.endswith("8H") else 60_000
    for symbol, listing in site.listings.items():
        if name == listing.index_symbol:
            return _Series(1_000, site.engine(symbol).index_price, oldest_ms, listing)
        if base_name == f".{symbol}PI":
            premium = site.engine(symbol).premium
            value = premium if step == 60_000 else _average(premium, site)
            return _Series(step, value, oldest_ms)
        if base_name == f".{listing.base}INT":
            return _Series(step, lambda _: 0.0003, oldest_ms)
        if base_name == f".{listing.quote}INT":
            return _Series(step, lambda _: 0.0006, oldest_ms)
    return None


def _average(premium: Callable[[int], float], site: Site) -> Callable[[int], float]:
    # The mean over the eight hours that hold a time, as far as they have passed.
    def average(time_ns: int) -> float:
        begin = time_ns // MS // _EIGHT_HOURS_MS * _EIGHT_HOURS_MS
        points = range(begin, min(begin + _EIGHT_HOURS_MS, site.now_ms + 1), _AVERAGED_MS)
        return sum(premium(point * MS) for point in points) / len(points)

    return average


def _touches_series(site: Site, values: Values) -> Iterable[str]:
    name = values.get("symbol", "")
    for symbol, listing in site.listings.items():
        if name in (symbol, listing.index_symbol) or name.startswith(f".{symbol}PI"):
            return [symbol]
    return []


def _series_bars(
    series: _Series, interval_ms: int, first: int | None, last: int | None, limit: int, now_ms: int
) -> Generator[None, None, list[list[float]]]:
    end = candle_open(interval_ms, now_ms if last is None else min(last, now_ms))
    begin = end - (limit - 1) * interval_ms
    if first is not None:
        begin = first
    begin = max(begin, series.oldest_ms)
    opened_ms = candle_open(interval_ms, begin)
    begin = opened_ms if opened_ms == begin else opened_ms + interval_ms
    step = max(series.granularity_ms, interval_ms // _SAMPLES_PER_BAR)
    rows: list[list[float]] = []
    for open_ms in range(begin, end + 1, interval_ms):
        close_ms = min(open_ms + interval_ms, now_ms)
        samples = [round(series.value(t * MS), 8) for t in range(open_ms, close_ms + 1, step)]
        opened, close = samples[0], samples[-1]
        rows.append([open_ms, opened, max(samples), min(samples), close, 0, 0])
        yield
        if len(rows) == limit:
            break
    return rows


def _query(site: Site, values: Values) -> Reply:
    name = values.get("symbol", "")
    series = _series(site, name)
    if series is None:
        return ok({"dataList": [], "hasMore": False})
    step = series.granularity_ms
    start, end = integer(values, "startAt"), integer(values, "endAt")
    newest = (site.now_ms if end is None else min(end, site.now_ms)) // step * step
    oldest = -(-max(series.oldest_ms, start or 0) // step) * step
    count = min(integer(values, "maxCount") or 10, _QUERY_ROWS)
    points = range(newest, oldest - 1, -step)
    if values.get("reverse", "true") == "false" and start is not None:
        points = range(oldest, newest + 1, step)
    offset = integer(values, "offset")
    if offset is not None:
        points = points[offset:]
    rows = [_query_row(name, series, point) for point in points[:count]]
    return ok({"dataList": rows, "hasMore": len(points) > count})


def _query_row(name: str, series: _Series, point_ms: int) -> dict[str, Any]:
    value = round(series.value(point_ms * MS), 8)
    row: dict[str, Any] = {
        "symbol": name,
        "granularity": series.granularity_ms,
        "timePoint": point_ms,
        "value": value,
    }
    if series.index_of is not None:
        # KuCoin misspells this key on the wire.
        row["decomposionList"] = index_parts(
            index_sources(series.index_of), name, point_ms, value, series.index_of.index_decimals
        )
    return row


def _funding_rate(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
    row = contract_row(engine.listing, engine, site.now_ns)
    interval = row["fundingRateGranularity"]
    next_ms = row["nextFundingRateDateTime"]
    # The documents show a predictedValue as well. KuCoin sends none.
    return {
        "symbol": row["fundingRateSymbol"],
        "granularity": interval,
        "timePoint": next_ms - interval,
        "value": row["fundingFeeRate"],
        "dailyInterestRate": row["dailyInterestRate"],
        "fundingRateCap": row["fundingRateCap"],
        "fundingRateFloor": row["fundingRateFloor"],
        "period": FUNDING_PERIOD,
        "fundingTime": next_ms,
        "lastTimeFundingRate": row["lastTimeFundingRate"],
    }


def _funding_rates(site: Site, values: Values) -> Work:
    symbol = values.get("symbol", "")
    first, last = integer(values, "from"), integer(values, "to")
    if first is None or last is None or not symbol:
        return _INVALID_PARAMETER
    if symbol not in site.listings:
        return error(200, "415000", "funding rate is not supported")
    engine = site.engine(symbol)
    oldest = engine.start_ns // MS - HISTORY_DAYS * DAY_MS
    times = engine.funding_times(max(first, oldest) * MS, min(last, site.now_ms) * MS)
    rows = []
    for time_ns in times[: -_FUNDING_ROWS - 1 : -1]:
        rate = engine.settled_funding(time_ns)
        rows.append({"symbol": symbol, "fundingRate": rate, "timepoint": time_ns // MS})
        yield
    return ok(rows)


def _trade_statistics(site: Site, _values: Values) -> Work:
    turnover = 0.0
    for symbol in site.listings:
        yield from site.listed(symbol).warm_day()
        turnover += site.listed(symbol).stats_24h(site.now_ns).turnover
        yield
    return ok({"turnoverOf24h": round(turnover, 10)})


FUTURES_ROUTES: tuple[Route, ...] = (
    *BULLETS,
    # The replies of this call were seen without the quota headers. (reference, section 2.4)
    Route("/api/v1/timestamp", 2, timestamp, touches_none, shows_quota=False),
    Route("/api/v1/status", 4, status, touches_none),
    Route("/api/v1/contracts/active", 3, _contracts, touches_all),
    Route("/api/v1/contracts/risk-limit/{symbol}", 5, for_symbol(_risk_limits, INVALID_SYMBOL)),
    Route(
        "/api/v1/contracts/{symbol}",
        3,
        for_symbol(
            _contract,
            error(200, "404000", "The contract information you requested does not exist."),
        ),
    ),
    Route("/api/v1/ticker", 2, for_symbol(_futures_ticker, INVALID_SYMBOL)),
    Route("/api/v1/allTickers", 5, _futures_tickers, touches_all),
    Route("/api/v1/level2/snapshot", 3, for_symbol(_futures_book(1_000), INVALID_SYMBOL)),
    Route("/api/v1/level2/depth20", 5, for_symbol(_futures_book(20), INVALID_SYMBOL)),
    Route("/api/v1/level2/depth100", 5, for_symbol(_futures_book(100), INVALID_SYMBOL)),
    Route("/api/v1/level2/{depth}", 5, _no_such_depth, touches_none),
    Route("/api/v1/trade/history", 5, for_symbol(_futures_trades, INVALID_SYMBOL)),
    Route("/api/v1/kline/query", 3, _kline, _touches_series),
    Route(
        "/api/v1/mark-price/{symbol}/current",
        3,
        for_symbol(_mark_price, error(200, "415000", "mark price is not supported")),
    ),
    Route("/api/v1/index/query", 2, _query, _touches_series),
    Route("/api/v1/premium/query", 3, _query, _touches_series),
    Route("/api/v1/interest/query", 5, _query, _touches_series),
    Route(
        "/api/v1/funding-rate/{symbol}/current",
        2,
        for_symbol(_funding_rate, error(200, "415000", "funding rate is not supported")),
    ),
    Route("/api/v1/contract/funding-rates", 5, _funding_rates),
    Route("/api/v1/trade-statistics", 3, _trade_statistics, touches_all, is_private=True),
    *FUTURES_ACCOUNT_CALLS,
    *FUTURES_MARGIN_CALLS,
    *FUTURES_ORDER_CALLS,
    *FUTURES_ORDER_LISTS,
    *FUTURES_POSITION_CALLS,
)
