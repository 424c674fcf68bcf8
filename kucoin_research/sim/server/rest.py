"""The REST calls of both markets: which paths exist, what they weigh, and what they answer.

Shapes from the protocol reference, sections 2 (common), 3 (futures) and 4 (spot).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from kucoin_research.sim.accounts.ledger import (
    ZERO,
    Position,
    account_number,
    decimal_text,
    fraction,
)
from kucoin_research.sim.accounts.members import position_data
from kucoin_research.sim.engine.candles import HISTORY_DAYS, INTERVALS, candle_open
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Candle, Market
from kucoin_research.sim.messages.classic import last_price_and_size, plain
from kucoin_research.sim.messages.instrument_rows import contract_row, symbol_row

if TYPE_CHECKING:
    from kucoin_research.sim.accounts.members import Member
    from kucoin_research.sim.server.market_core import MarketCore

__all__ = [
    "ROUTES",
    "Answer",
    "Counter",
    "Reply",
    "Route",
    "RouteTable",
    "Site",
    "Values",
    "Work",
    "error",
    "find_route",
    "route_table",
]

_MS = 1_000_000
_DAY_MS = 86_400_000
_TRADES = 100
_SPOT_CANDLES = 1_500
_QUERY_ROWS = 100
_FUNDING_ROWS = 100
_GRANULARITIES = (1, 5, 15, 30, 60, 120, 240, 480, 720, 1440, 10080)
_SAMPLES_PER_BAR = 5

Values: TypeAlias = Mapping[str, str]


class Reply(NamedTuple):
    """HTTP status and the object that becomes the JSON body."""

    status: int
    body: dict[str, Any]


class Counter(ABC):
    """What REST knows of one market, whatever its data come from."""

    def __init__(self, market: str) -> None:
        self.market = market
        self.status = "open"

    @property
    @abstractmethod
    def now_ns(self) -> int:
        """The time that the exchange tells, ns UTC."""

    @property
    def now_ms(self) -> int:
        """The time that the exchange tells, ms UTC."""
        return self.now_ns // _MS


class Site(Counter):
    """One simulated market: listings, engines at the current virtual time, and the time."""

    def __init__(self, hub: MarketCore, market: str) -> None:
        super().__init__(market)
        self.hub = hub
        self.listings: dict[str, Listing] = {
            symbol: row for symbol, row in hub.listings.items() if row.market == market
        }

    @property
    def now_ns(self) -> int:
        """Virtual time, ns UTC."""
        return self.hub.clock.now_ns

    def engine(self, symbol: str) -> Market:
        """Give a listed symbol's engine at the current virtual time."""
        return self.hub.caught_up(symbol)

    def listed(self, symbol: str) -> Market:
        """Give a listed symbol's engine as it last moved, for lists of all of them.

        One that nobody listens to may stand still in the past: at a high speed there would be no
        end to bringing them all to the present.
        """
        return self.hub.engine(symbol)

    def sequence(self, engine: Market) -> int:
        """Give the wire's number of the engine's book, the one that the stream uses."""
        return self.hub.book_sequence(engine)


# Work that takes longer than a moment is cut into steps, so that the sockets get their turns.
Work: TypeAlias = Generator[None, None, Reply]
# Each table of routes has its own kind of `Counter`.
Answer: TypeAlias = Callable[[Any, Values], Reply | Work]
AccountAnswer: TypeAlias = "Callable[[Any, Values, Member], Reply]"
Touch: TypeAlias = Callable[[Any, Values], Iterable[str]]


def _touches_symbol(site: Site, values: Values) -> Iterable[str]:
    symbol = values.get("symbol", "")
    return [symbol] if symbol in site.listings else []


def _touches_all(site: Site, _values: Values) -> Iterable[str]:
    return site.listings


def _touches_none(_site: Site, _values: Values) -> Iterable[str]:
    return ()


@dataclass(frozen=True)
class Route:
    """One call.

    Attributes
    ----------
    path
        With ``{names}`` for the parts that are values.
    weight
        What it takes from the quota (reference, section 2.4).
    answer
        Makes the reply.
    touches
        Names the symbols whose engines it needs.
    method
        The only one allowed.
    is_private
        Whether it needs a key.
    shows_quota
        Whether its replies carry the quota headers.
    account_answer
        Makes the reply where that depends on who asks.
    """

    path: str
    weight: int
    answer: Answer
    touches: Touch = _touches_symbol
    method: str = "GET"
    is_private: bool = False
    shows_quota: bool = True
    account_answer: AccountAnswer | None = None

    @property
    def is_list(self) -> bool:
        """Whether it tells of all symbols, which need not be at the very same instant then."""
        return self.touches is _touches_all

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


RouteTable: TypeAlias = list[tuple[re.Pattern[str], Route]]


def find_route(table: RouteTable, path: str) -> tuple[Route | None, dict[str, str]]:
    """Find the route of a path, and the values in it; None if there is no such path."""
    for pattern, route in table:
        match = pattern.fullmatch(path)
        if match:
            return route, match.groupdict()
    return None, {}


def error(status: int, code: str, message: str) -> Reply:
    """Build an error reply; ``msg`` first, as the futures gateway writes it."""
    return Reply(status, {"msg": message, "code": code})


def _ok(data: Any) -> Reply:
    return Reply(200, {"code": "200000", "data": data})


def _number(value: float) -> float | int:
    # As KuCoin spells them: 66968, not 66968.0.
    return int(value) if value == int(value) else value


def _integer(values: Values, name: str) -> int | None:
    text = values.get(name, "")
    return int(text) if re.fullmatch(r"\d{1,19}", text) else None


_INVALID_SYMBOL = error(200, "200003", "Invalid symbol.")
_INVALID_PARAMETER = error(200, "400100", "Parameter Error")


# Both markets


def _timestamp(site: Site, _values: Values) -> Reply:
    return _ok(site.now_ms)


def _status(site: Site, _values: Values) -> Reply:
    return _ok({"status": site.status, "msg": ""})


def _refused(_site: Site, _values: Values) -> Reply:
    # The server answers token calls before it gets here, and accounts have answers of their own.
    return error(404, "404", "Not Found")


# Futures


def _for_symbol(answer: Callable[[Site, Market, Values], Any], unknown: Reply) -> Answer:
    def look_up(site: Site, values: Values) -> Reply:
        symbol = values.get("symbol", "")
        if symbol not in site.listings:
            return unknown
        return _ok(answer(site, site.engine(symbol), values))

    return look_up


def _contract(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
    state = site.hub.state(engine.listing.symbol)
    return contract_row(engine.listing, engine, site.now_ns) | {"status": state}


def _contracts(site: Site, values: Values) -> Work:
    rows = []
    for symbol in site.listings:
        if site.hub.state(symbol) not in ("Settled", "Closed"):  # those are active no more
            yield from site.listed(symbol).warm_day()
            rows.append(_contract(site, site.listed(symbol), values))
            yield
    return _ok(rows)


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
    return _ok(rows)


def _futures_book(depth: int) -> Callable[[Site, Market, Values], dict[str, Any]]:
    def book(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
        price = engine.price
        return {
            "sequence": site.sequence(engine),
            "symbol": engine.listing.symbol,
            "bids": [[_number(price(t)), size] for t, size in engine.levels("buy", depth)],
            "asks": [[_number(price(t)), size] for t, size in engine.levels("sell", depth)],
            "ts": engine.now_ns // _MS * _MS,
        }

    return book


def _no_such_depth(_site: Site, _values: Values) -> Reply:
    return Reply(404, {"code": "404", "msg": "not exist"})


def _futures_trades(_site: Site, engine: Market, _values: Values) -> list[dict[str, Any]]:
    newest_first = list(engine.trades)[: -_TRADES - 1 : -1]
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
    granularity = _integer(values, "granularity")
    if granularity not in _GRANULARITIES:
        return error(200, "100001", "Invalid parameters: granularity")
    interval_ms = granularity * 60_000
    first, last = _integer(values, "from"), _integer(values, "to")
    page = site.hub.settings.kline_page
    symbol = values.get("symbol", "")
    if symbol in site.listings:
        candles = yield from _candle_page(site.engine(symbol), interval_ms, first, last, page)
        return _ok(
            [
                [c.open_ms, *map(_number, c[1:5]), c.volume_units, _number(c.turnover)]
                for c in candles
            ]
        )
    series = _series(site, symbol)
    if series is None:
        return _INVALID_SYMBOL
    rows = yield from _series_bars(series, interval_ms, first, last, page, site.now_ms)
    return _ok(rows)


def _candle_page(
    engine: Market, interval_ms: int, first: int | None, last: int | None, limit: int
) -> Generator[None, None, list[Candle]]:
    """Give one page: from the beginning where that is given, else back from the end."""
    now_ms = engine.now_ns // _MS
    oldest = engine.start_ns // _MS - HISTORY_DAYS * _DAY_MS
    end = now_ms if last is None else min(last, now_ms)
    begin = oldest if first is None else max(first, oldest)
    step = limit * interval_ms
    rows: list[Candle] = []
    # In steps, because quiet markets have no candle in many an interval, and all of history is
    # long.
    if first is not None:
        while begin <= end and len(rows) < limit:
            until = min(end, begin + step - 1)
            yield from engine.warm_candles(interval_ms, begin, until)
            rows += engine.candles(interval_ms, begin, until)
            yield
            begin += step
        return rows[:limit]
    while end >= begin and len(rows) < limit:
        since = max(begin, end - step + 1)
        yield from engine.warm_candles(interval_ms, since, end)
        rows = engine.candles(interval_ms, since, end) + rows
        end -= step
        yield
    return rows[-limit:]


def _mark_price(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
    second_ms = site.now_ms // 1_000 * 1_000
    return {
        "symbol": engine.listing.symbol,
        "granularity": 1000,
        "timePoint": second_ms,
        "value": engine.mark_price(second_ms * _MS),
        "indexPrice": engine.index_price(second_ms * _MS),
    }


class _Series(NamedTuple):
    """A published series of values, for the query calls and the klines of indices."""

    granularity_ms: int
    value: Callable[[int], float]
    oldest_ms: int


def _series(site: Site, name: str) -> _Series | None:
    oldest_ms = site.hub.clock.start_ns // _MS // _DAY_MS * _DAY_MS - HISTORY_DAYS * _DAY_MS
    for symbol, listing in site.listings.items():
        if name == listing.index_symbol:
            return _Series(1_000, site.engine(symbol).index_price, oldest_ms)
        if name in (f".{symbol}PI", f".{symbol}PI8H"):
            return _Series(60_000, site.engine(symbol).premium, oldest_ms)
        if name in (f".{listing.base}INT", f".{listing.base}INT8H"):
            return _Series(60_000, lambda _: 0.0003, oldest_ms)
        if name in (f".{listing.quote}INT", f".{listing.quote}INT8H"):
            return _Series(60_000, lambda _: 0.0006, oldest_ms)
    return None


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
        samples = [round(series.value(t * _MS), 8) for t in range(open_ms, close_ms + 1, step)]
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
        return _ok({"dataList": [], "hasMore": False})
    step = series.granularity_ms
    start, end = _integer(values, "startAt"), _integer(values, "endAt")
    newest = (site.now_ms if end is None else min(end, site.now_ms)) // step * step
    oldest = -(-max(series.oldest_ms, start or 0) // step) * step
    count = min(_integer(values, "maxCount") or 10, _QUERY_ROWS)
    points = range(newest, oldest - 1, -step)
    if values.get("reverse", "true") == "false" and start is not None:
        points = range(oldest, newest + 1, step)
    offset = _integer(values, "offset")
    if offset is not None:
        points = points[offset:]
    rows = [_query_row(name, series, point) for point in points[:count]]
    return _ok({"dataList": rows, "hasMore": len(points) > count})


def _query_row(name: str, series: _Series, point_ms: int) -> dict[str, Any]:
    value = round(series.value(point_ms * _MS), 8)
    row: dict[str, Any] = {
        "symbol": name,
        "granularity": series.granularity_ms,
        "timePoint": point_ms,
        "value": value,
    }
    if series.granularity_ms == 1_000:
        # Misspelt on the wire.
        row["decomposionList"] = [
            {"exchange": "binance", "price": value, "weight": 0.6},
            {"exchange": "okex", "price": value, "weight": 0.4},
        ]
    return row


def _funding_rate(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
    row = contract_row(engine.listing, engine, site.now_ns)
    interval = row["fundingRateGranularity"]
    next_ms = row["nextFundingRateDateTime"]
    return {
        "symbol": row["fundingRateSymbol"],
        "granularity": interval,
        "timePoint": next_ms - interval,
        "value": row["fundingFeeRate"],
        "predictedValue": row["predictedFundingFeeRate"],
        "fundingRateCap": row["fundingRateCap"],
        "fundingRateFloor": row["fundingRateFloor"],
        "dailyInterestRate": row["dailyInterestRate"],
        "lastTimeFundingRate": row["lastTimeFundingRate"],
        "period": 1,
        "fundingTime": next_ms,
    }


def _funding_rates(site: Site, values: Values) -> Work:
    symbol = values.get("symbol", "")
    first, last = _integer(values, "from"), _integer(values, "to")
    if first is None or last is None or not symbol:
        return _INVALID_PARAMETER
    if symbol not in site.listings:
        return error(200, "415000", "funding rate is not supported")
    engine = site.engine(symbol)
    oldest = engine.start_ns // _MS - HISTORY_DAYS * _DAY_MS
    times = engine.funding_times(max(first, oldest) * _MS, min(last, site.now_ms) * _MS)
    rows = []
    for time_ns in times[: -_FUNDING_ROWS - 1 : -1]:
        rate = engine.settled_funding(time_ns)
        rows.append({"symbol": symbol, "fundingRate": rate, "timepoint": time_ns // _MS})
        yield
    return _ok(rows)


def _trade_statistics(site: Site, _values: Values) -> Work:
    turnover = 0.0
    for symbol in site.listings:
        yield from site.listed(symbol).warm_day()
        turnover += site.listed(symbol).stats_24h(site.now_ns).turnover
        yield
    return _ok({"turnoverOf24h": round(turnover, 10)})


def _account_overview(site: Site, values: Values, member: Member) -> Reply:
    currency = values.get("currency", "XBT")
    wallet = site.hub.desk.futures_wallet(member, currency)
    return _ok(
        {
            "accountEquity": float(wallet.equity),
            "unrealisedPNL": float(wallet.isolated_pnl + wallet.cross_pnl),
            "marginBalance": float(wallet.balance),
            "positionMargin": float(wallet.isolated_position + wallet.cross_position),
            "orderMargin": float(wallet.isolated_order + wallet.cross_order),
            "frozenFunds": 0.0,
            "availableBalance": float(wallet.available),
            "currency": currency,
            "availableMargin": float(wallet.available),
            "maxWithdrawAmount": float(max(wallet.available, ZERO)),
        }
    )


def _position_row(site: Site, position: Position) -> dict[str, Any]:
    symbol = position.listing.symbol
    mark = fraction(site.engine(symbol).mark_price(site.now_ns))
    row = position_data(position, mark, site.now_ms)
    del row["changeReason"]
    return {"id": f"{symbol}-{position.opened_ms}"} | row


def _positions(site: Site, _values: Values, member: Member) -> Reply:
    open_ones = [one for one in member.positions.values() if one.quantity]
    return _ok([_position_row(site, one) for one in open_ones])


def _position(site: Site, values: Values, member: Member) -> Reply:
    symbol = values.get("symbol", "")
    if symbol not in site.listings:
        return _INVALID_SYMBOL
    flat = Position(site.listings[symbol])
    return _ok(_position_row(site, member.positions.get(symbol, flat)))


# Spot


def _coin_accounts(_site: Site, values: Values, member: Member) -> Reply:
    wallets = {"trade": member.spot, "margin": member.margin.wallet}
    return _ok(
        [
            {
                "id": str(account_number(member.user_id, kind, coin)),
                "currency": coin,
                "type": kind,
                "balance": decimal_text(wallet.total(coin)),
                "available": decimal_text(wallet.available(coin)),
                "holds": decimal_text(wallet.hold(coin)),
            }
            for kind, wallet in wallets.items()
            if values.get("type") in (None, "", kind)
            for coin in wallet.currencies
            if values.get("currency") in (None, "", coin)
        ]
    )


_NO_DATA = _ok(None)
_NO_PAIR = error(200, "400100", "Unsupported trading pair.")


def _symbols(site: Site, values: Values) -> Reply:
    zone = values.get("market")
    rows = [_pair(site, listing) for listing in site.listings.values()]
    return _ok([row for row in rows if zone in (None, "", row["market"])])


def _symbol(site: Site, values: Values) -> Reply:
    listing = site.listings.get(values["symbol"])
    if listing is None:
        return error(200, "900001", "The symbol does not exist.")
    return _ok(_pair(site, listing))


def _pair(site: Site, listing: Listing) -> dict[str, Any]:
    return symbol_row(listing) | {"enableTrading": site.hub.state(listing.symbol) == "Open"}


def _currencies(site: Site, _values: Values) -> Reply:
    coins = {coin: None for row in site.listings.values() for coin in (row.base, row.quote)}
    return _ok([_currency_row(coin) for coin in coins])


def _currency(site: Site, values: Values) -> Reply:
    coin = values["currency"]
    if all(coin not in (row.base, row.quote) for row in site.listings.values()):
        return error(200, "400100", "The currency does not exist.")
    return _ok(_currency_row(coin))


def _currency_row(coin: str) -> dict[str, Any]:
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
                "withdrawalMinSize": "0.001",
                "depositMinSize": "0.0002",
                "withdrawFeeRate": "0",
                "withdrawalMinFee": "0.0005",
                "isWithdrawEnabled": True,
                "isDepositEnabled": True,
                "confirms": 3,
                "preConfirms": 1,
                "contractAddress": "",
                "withdrawPrecision": 8,
                "maxWithdraw": None,
                "maxDeposit": None,
                "needTag": False,
            }
        ],
    }


def _zones(site: Site, _values: Values) -> Reply:
    return _ok(sorted({row.zone for row in site.listings.values()}))


def _level1(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
    price, size = last_price_and_size(engine)
    bids, asks = _spot_side(engine, "buy", 1), _spot_side(engine, "sell", 1)
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


def _spot_side(engine: Market, side: str, depth: int | None) -> list[list[str]]:
    levels = engine.levels("buy" if side == "buy" else "sell", depth)
    return [[engine.price_text(ticks), engine.size_text(size)] for ticks, size in levels]


def _spot_book(depth: int | None) -> Callable[[Site, Market, Values], dict[str, Any]]:
    def book(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
        return {
            "time": site.now_ms,
            "sequence": str(site.sequence(engine)),
            "bids": _spot_side(engine, "buy", depth),
            "asks": _spot_side(engine, "sell", depth),
        }

    return book


def _stats(site: Site, engine: Market, _values: Values) -> dict[str, Any]:
    return {"time": site.now_ms, **_stats_row(engine, site.now_ns)}


def _stats_row(engine: Market, now_ns: int) -> dict[str, Any]:
    stats, listing = engine.stats_24h(now_ns), engine.listing
    bids, asks = _spot_side(engine, "buy", 1), _spot_side(engine, "sell", 1)
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
        bids, asks = _spot_side(engine, "buy", 1), _spot_side(engine, "sell", 1)
        rows.append(
            {
                **_stats_row(engine, site.now_ns),
                "symbolName": symbol,
                "bestBidSize": bids[0][1] if bids else None,
                "bestAskSize": asks[0][1] if asks else None,
            }
        )
        yield
    return _ok({"time": site.now_ms, "ticker": rows})


def _histories(_site: Site, engine: Market, _values: Values) -> list[dict[str, Any]]:
    return [
        {
            "sequence": str(trade.sequence),
            "price": engine.price_text(trade.price_ticks),
            "size": engine.size_text(trade.size),
            "side": trade.side,
            "time": trade.time_ns,
        }
        for trade in list(engine.trades)[-_TRADES:]
    ]


def _spot_candles(site: Site, values: Values) -> Work:
    symbol = values.get("symbol", "")
    interval_ms = INTERVALS.get(values.get("type", ""))
    if symbol not in site.listings:
        return _NO_PAIR
    if interval_ms is None:
        return error(200, "400100", "Incorrect candlestick type.")
    # 0 counts as open. Of more candles than fit, the newest are given.
    first = (_integer(values, "startAt") or 0) * 1_000
    last = (_integer(values, "endAt") or 0) * 1_000 or None
    engine = site.engine(symbol)
    page = yield from _candle_page(engine, interval_ms, None, last, _SPOT_CANDLES)
    rows = [candle for candle in page if candle.open_ms >= first]
    return _ok(
        [
            [
                str(c.open_ms // 1_000),
                plain(c.open),
                plain(c.close),
                plain(c.high),
                plain(c.low),
                engine.size_text(c.volume_units),
                plain(c.turnover),
            ]
            for c in reversed(rows)
        ]
    )


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


def route_table(routes: Iterable[Route]) -> RouteTable:
    """Prepare routes for `find_route`, which takes the first that fits."""
    return [(re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", one.path)), one) for one in routes]


ROUTES: dict[str, RouteTable] = {market: route_table(routes) for market, routes in _ROUTES.items()}
