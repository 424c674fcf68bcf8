"""The REST calls of a recording: the state of its rows up to now, in KuCoin's shapes.

Shapes from the protocol reference, sections 3 (futures) and 4 (spot). A call about something that
was not recorded gets KuCoin's answer for unknown things. A single value that was not recorded is
null, never made up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kucoin_research.sim.engine.candles import INTERVALS
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.offers import Offer
from kucoin_research.sim.messages.instrument_rows import (
    FUNDING_PERIOD,
    contract_row,
    symbol_row,
    unknown_day,
)
from kucoin_research.sim.recorded.core import RecordedCore
from kucoin_research.sim.recorded.messages import Row, digits
from kucoin_research.sim.recorded.state import Bar, RecordedState
from kucoin_research.sim.server.routes import (
    BULLETS,
    INVALID_SYMBOL,
    TRADES_PER_REPLY,
    Answer,
    BaseSite,
    Reply,
    Route,
    RouteTable,
    Values,
    error,
    ok,
    route_table,
    status,
    timestamp,
    touches_none,
)

__all__ = ["RECORDED_ROUTES", "RecordedRows"]

_MS = 1_000_000
_HOUR_MS = 3_600_000
_FULL_FUTURES = 1_000
_FUNDING_ROWS = 100
_SPOT_CANDLES = 1_500
_CANDLES_WITHOUT_BEGIN = 100
_SPOT_FEE = 0.001  # fraction; KuCoin's first class of pairs, at the lowest account level
_GRANULARITIES = {
    ms // 60_000: name
    for name, ms in INTERVALS.items()
    if ms // 60_000 in (1, 5, 15, 30, 60, 120, 240, 480, 720, 1440, 10080)
}


class RecordedRows(BaseSite):
    """One market of a recording, as REST sees it."""

    def __init__(self, core: RecordedCore, market: str) -> None:
        super().__init__(market)
        self.core = core
        self.states = {
            symbol: state for symbol, state in core.states.items() if state.offer.market == market
        }

    @property
    def now_ns(self) -> int:
        """The recorded exchange's time, ns UTC."""
        return self.core.exchange_ns


_INVALID_PARAMETER = error(200, "400100", "Parameter Error")
_NO_DATA = ok(None)
_NO_SNAPSHOT: Row = (None,) * 10  # a row of 24-hour figures without any
_BUSY = error(503, "503000", "Service is busy, please try again later.")


def _of_symbol(
    answer: Callable[[RecordedRows, RecordedState], Reply | Any], unknown: Reply
) -> Answer:
    # An answer of None means that the recording does not know.
    def look_up(recorded: RecordedRows, values: Values) -> Reply:
        state = recorded.states.get(values.get("symbol", ""))
        found = None if state is None else answer(recorded, state)
        if found is None:
            return unknown
        return found if isinstance(found, Reply) else ok(found)

    return look_up


def _number(value: float | None) -> float | int | None:
    # As KuCoin spells numbers: 66968, not 66968.0.
    return int(value) if value is not None and value == int(value) else value


def _text(value: float | None) -> str | None:
    return None if value is None else digits(value)


def _ms(time_ns: int | None) -> int | None:
    return None if time_ns is None else time_ns // _MS


def _whole(values: Values, name: str) -> int | None:
    text = values.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 20 else None


# -- futures ---------------------------------------------------------------------------------------


def _contracts(recorded: RecordedRows, _values: Values) -> Reply:
    rows = [_contract(recorded, state) for state in recorded.states.values()]
    return ok([row for row in rows if row is not None and row["status"] not in _ENDED])


_ENDED = ("Settled", "Closed")


def _contract(recorded: RecordedRows, state: RecordedState) -> dict[str, Any] | None:
    offer = state.offer
    if not offer.is_described:
        return None
    known = _facts(offer) | _funding_facts(recorded, state) | _figures(recorded, state)
    return _UNKNOWN_CONTRACT | known


# Rows have the fields of the simulated exchange's; a recording does not know all of them.
_UNKNOWN_CONTRACT: dict[str, Any] = dict.fromkeys(contract_row(LISTINGS["XBTUSDTM"], None, 0))
_UNKNOWN_PAIR: dict[str, Any] = dict.fromkeys(symbol_row(LISTINGS["BTC-USDT"]))


def _facts(offer: Offer) -> dict[str, Any]:
    expires_ms = _ms(offer.expires)
    return {
        "symbol": offer.symbol,
        "displaySymbol": offer.display_name,
        "rootSymbol": offer.settle if offer.is_inverse else offer.quote,
        "type": "FFWCSX" if expires_ms is None else "FFICSX",
        "expireDate": expires_ms,
        "settleDate": expires_ms,
        "baseCurrency": offer.base,
        "quoteCurrency": offer.quote,
        "settleCurrency": offer.settle,
        "maxOrderQty": _number(offer.max_size),
        "marketMaxOrderQty": _number(offer.market_max_size),
        "maxPrice": offer.max_price,
        "lotSize": _number(offer.lot_size),
        "tickSize": offer.tick_size,
        "multiplier": offer.multiplier,
        "initialMargin": offer.initial_margin,
        "maintainMargin": offer.maintenance_margin,
        "makerFeeRate": offer.maker_fee,
        "takerFeeRate": offer.taker_fee,
        "isInverse": offer.is_inverse,
        "indexSymbol": offer.index_symbol,
        "maxLeverage": _number(offer.max_leverage),
        "m": offer.mmr_size,
        "mmrLimit": offer.mmr_limit,
        "mmrLevConstant": offer.mmr_leverage_constant,
        "orderPriceRange": offer.price_limit_rate,
    }


def _funding_facts(recorded: RecordedRows, state: RecordedState) -> dict[str, Any]:
    interval = state.offer.funding_interval_ms
    if interval is None:
        return {}
    row = state.last.get("funding_rate")
    following = (recorded.now_ms // interval + 1) * interval
    return {
        "fundingRateSymbol": _funding_symbol(state.offer),
        "fundingFeeRate": None if row is None else row[3],
        "lastTimeFundingRate": _last_settled(state),
        "period": FUNDING_PERIOD,
        "fundingRateGranularity": interval,
        "currentFundingRateGranularity": interval,
        "nextFundingRateTime": following - recorded.now_ms,
        "nextFundingRateDateTime": following,
    }


def _funding_symbol(offer: Offer) -> str | None:
    if offer.funding_interval_ms is None:
        return None
    return f".{offer.symbol}FPI8H"  # on KuCoin also where the interval is another


def _last_settled(state: RecordedState) -> float | None:
    rate: float | None = state.settlements[-1][3] if state.settlements else None
    return rate


def _figures(recorded: RecordedRows, state: RecordedState) -> dict[str, Any]:
    last, trade = state.last, state.last_trade()
    mark, index = last.get("mark"), last.get("index")
    day = last.get("snapshot") or _NO_SNAPSHOT
    _, _, _, day_last, high, low, volume, turnover, change, change_pct = day
    price = trade[4] if trade is not None else None
    return {
        "status": recorded.core.trading_status(state.offer.symbol),
        "markPrice": None if mark is None else mark[3],
        "indexPrice": None if index is None else index[4],
        "lastTradePrice": day_last if price is None else price,
        "highPrice": high,
        "lowPrice": low,
        "volumeOf24h": volume,
        "turnoverOf24h": turnover,
        "priceChg": change,
        "priceChgPct": change_pct,
    } | _price_limits(state.offer.price_limit_rate, None if mark is None else mark[3])


_LIMIT_DIGITS = 12  # fine enough for a coin that costs a millionth


def _price_limits(rate: float | None, mark: float | None) -> dict[str, Any]:
    if rate is None or mark is None:
        return {"buyLimit": None, "sellLimit": None}
    return {
        "buyLimit": round(mark * (1 + rate), _LIMIT_DIGITS),
        "sellLimit": round(mark * (1 - rate), _LIMIT_DIGITS),
    }


def _futures_ticker(_recorded: RecordedRows, state: RecordedState) -> dict[str, Any] | None:
    trade, top = state.last_trade(), state.top()
    if trade is None or top is None:
        return None
    time, sequence, trade_id, side, price, size = trade
    bid, bid_size, ask, ask_size = top
    return {
        "sequence": sequence,
        "symbol": state.offer.symbol,
        "side": side,
        "size": _number(size),
        "tradeId": trade_id,
        "price": _text(price),
        "bestBidPrice": _text(bid),
        "bestBidSize": _number(bid_size),
        "bestAskPrice": _text(ask),
        "bestAskSize": _number(ask_size),
        "ts": time,
    }


def _futures_tickers(recorded: RecordedRows, _values: Values) -> Reply:
    rows = [_futures_ticker(recorded, state) for state in recorded.states.values()]
    return ok([row for row in rows if row is not None])


def _futures_book(depth: int) -> Callable[[RecordedRows, RecordedState], Any]:
    def book(recorded: RecordedRows, state: RecordedState) -> Any:
        kept = recorded.core.book(state.offer.symbol)
        if not kept.is_whole:
            return _no_book(state)
        bids, asks = kept.top(depth)
        return {
            "sequence": kept.sequence,
            "symbol": state.offer.symbol,
            "bids": [[_number(price), _number(size)] for price, size in bids],
            "asks": [[_number(price), _number(size)] for price, size in asks],
            "ts": kept.time_ns,
        }

    return book


def _no_book(state: RecordedState) -> Reply | None:
    # Between a recorded gap and the next snapshot the recording does not know the book. KuCoin
    # itself would know it, so the answer makes a client ask again.
    return _BUSY if state.book.sequence >= 0 else None


def _no_such_depth(_recorded: RecordedRows, _values: Values) -> Reply:
    return Reply(404, {"code": "404", "msg": "not exist"})


def _futures_trades(_recorded: RecordedRows, state: RecordedState) -> list[dict[str, Any]]:
    return [
        {
            "sequence": sequence,
            "contractId": 1,
            "tradeId": trade_id,
            "makerOrderId": "",
            "takerOrderId": "",
            "ts": time,
            "size": _number(size),
            "price": _text(price),
            "side": side,
        }
        for time, _, _, sequence, trade_id, side, price, size in _newest_trades(state)
    ]


def _newest_trades(state: RecordedState) -> list[Row]:
    return list(state.trades)[: -TRADES_PER_REPLY - 1 : -1]


def _kline(recorded: RecordedRows, values: Values) -> Reply:
    state = recorded.states.get(values.get("symbol", ""))
    if state is None:
        return INVALID_SYMBOL
    interval = _GRANULARITIES.get(_whole(values, "granularity") or 0)
    bars = None if interval is None else state.bars(interval, INTERVALS[interval])
    if bars is None:
        return error(200, "100001", "Invalid parameters: granularity")
    first, last = _whole(values, "from"), _whole(values, "to")
    chosen = _between(bars, first, last)
    page = recorded.core.settings.kline_page
    return ok([_kline_row(bar) for bar in (chosen[:page] if first else chosen[-page:])])


def _between(bars: list[Bar], first: int | None, last: int | None) -> list[Bar]:
    return [
        bar
        for bar in bars
        if (first is None or bar.open_ms >= first) and (last is None or bar.open_ms <= last)
    ]


def _kline_row(bar: Bar) -> list[Any]:
    # Rows from before September 2025 have no turnover, like those of the stream.
    turnover = [] if bar.turnover is None else [_number(bar.turnover)]
    return [bar.open_ms, *map(_number, bar[1:6]), *turnover]


def _mark_price(_recorded: RecordedRows, state: RecordedState) -> dict[str, Any] | None:
    row = state.last.get("mark_price")
    if row is None:
        return None
    return {
        "symbol": state.offer.symbol,
        "granularity": 1000,
        "timePoint": _ms(row[0]),
        "value": row[3],
        "indexPrice": row[4],
    }


def _no_series(_recorded: RecordedRows, _values: Values) -> Reply:
    return ok({"dataList": [], "hasMore": False})


def _funding_rate(recorded: RecordedRows, state: RecordedState) -> dict[str, Any] | None:
    row, interval = state.last.get("funding_rate"), state.offer.funding_interval_ms
    if row is None or interval is None:
        return None
    began = recorded.now_ms // interval * interval
    return {
        "symbol": _funding_symbol(state.offer),
        "granularity": interval,
        "timePoint": began,
        "value": row[3],
        "dailyInterestRate": None,
        "fundingRateCap": None,
        "fundingRateFloor": None,
        "period": FUNDING_PERIOD,
        "fundingTime": began + interval,
        "lastTimeFundingRate": _last_settled(state),
    }


def _funding_rates(recorded: RecordedRows, values: Values) -> Reply:
    first, last = _whole(values, "from"), _whole(values, "to")
    symbol = values.get("symbol", "")
    if first is None or last is None or not symbol:
        return _INVALID_PARAMETER
    state = recorded.states.get(symbol)
    if state is None or "funding_rate" not in state.last:
        return error(200, "415000", "funding rate is not supported")
    rates = {row[0] // _MS // _HOUR_MS * _HOUR_MS: row[3] for row in state.settlements if row[0]}
    newest_first = sorted((at for at in rates if first <= at <= last), reverse=True)
    return ok(
        [
            {"symbol": symbol, "fundingRate": rates[at], "timepoint": at}
            for at in newest_first[:_FUNDING_ROWS]
        ]
    )


# -- spot ------------------------------------------------------------------------------------------


def _symbols(recorded: RecordedRows, values: Values) -> Reply:
    zone = values.get("market")
    rows = [_pair(recorded, state) for state in recorded.states.values()]
    return ok([row for row in rows if row is not None and zone in (None, "", row["market"])])


def _pair(recorded: RecordedRows, state: RecordedState) -> dict[str, Any] | None:
    offer = state.offer
    if not offer.is_described:
        return None
    trading = recorded.core.trading_status(offer.symbol)
    return _UNKNOWN_PAIR | {
        "symbol": offer.symbol,
        "name": offer.display_name or offer.symbol,
        "baseCurrency": offer.base,
        "quoteCurrency": offer.quote,
        "feeCurrency": offer.quote,
        "market": offer.quote,
        "baseMinSize": _text(offer.min_size),
        "baseMaxSize": _text(offer.max_size),
        "baseIncrement": _text(offer.lot_size),
        "priceIncrement": _text(offer.tick_size),
        "priceLimitRate": _text(offer.price_limit_rate),
        "minFunds": _text(offer.min_funds),
        "enableTrading": None if trading is None else trading == "Open",
        "feeCategory": 1,
        "makerFeeCoefficient": _coefficient(offer.maker_fee),
        "takerFeeCoefficient": _coefficient(offer.taker_fee),
        "st": False,
    }


def _coefficient(fee: float | None) -> str | None:
    return None if fee is None else digits(round(fee / _SPOT_FEE, 10))


def _currencies(recorded: RecordedRows, _values: Values) -> Reply:
    return ok([_currency_row(coin) for coin in _coins(recorded)])


def _currency(recorded: RecordedRows, values: Values) -> Reply:
    if values["currency"] not in _coins(recorded):
        return error(200, "400100", "The currency does not exist.")
    return ok(_currency_row(values["currency"]))


def _coins(recorded: RecordedRows) -> list[str]:
    offers = [state.offer for state in recorded.states.values()]
    return list(dict.fromkeys(coin for one in offers for coin in (one.base, one.quote) if coin))


def _currency_row(coin: str) -> dict[str, Any]:
    return {
        "currency": coin,
        "name": coin,
        "fullName": coin,
        "precision": 8,
        "confirms": None,
        "contractAddress": None,
        "isMarginEnabled": None,
        "isDebitEnabled": None,
        "chains": [],
    }


def _zones(recorded: RecordedRows, _values: Values) -> Reply:
    return ok(sorted({state.offer.quote for state in recorded.states.values()} - {""}))


def _level1(recorded: RecordedRows, state: RecordedState) -> dict[str, Any] | None:
    trade, top = state.last_trade(), state.top()
    if top is None:
        return None
    _, sequence, _, _, price, size = trade or (None,) * 6
    if state.book.is_whole:
        sequence = state.book.sequence
    bid, bid_size, ask, ask_size = top
    return {
        "time": recorded.now_ms,
        "sequence": None if sequence is None else str(sequence),
        "price": _text(price),
        "size": _text(size),
        "bestBid": _text(bid),
        "bestBidSize": _text(bid_size),
        "bestAsk": _text(ask),
        "bestAskSize": _text(ask_size),
    }


def _spot_book(depth: int | None) -> Callable[[RecordedRows, RecordedState], Any]:
    def book(recorded: RecordedRows, state: RecordedState) -> Any:
        kept = recorded.core.book(state.offer.symbol)
        if not kept.is_whole:
            return _no_book(state)
        bids, asks = kept.top(depth)
        return {
            "time": _ms(kept.time_ns),
            "sequence": str(kept.sequence),
            "bids": [[digits(price), digits(size)] for price, size in bids],
            "asks": [[digits(price), digits(size)] for price, size in asks],
        }

    return book


def _stats(recorded: RecordedRows, values: Values) -> Reply:
    symbol = values.get("symbol", "")
    state = recorded.states.get(symbol)
    row = None if state is None else state.last.get("snapshot")
    if state is None or row is None:
        return ok({"time": recorded.now_ms, **unknown_day(symbol)})
    return ok({"time": _ms(row[0]), **_day(state)})


def _day(state: RecordedState) -> dict[str, Any]:
    offer, top, trade = state.offer, state.top(), state.last_trade()
    row = state.last.get("snapshot") or _NO_SNAPSHOT
    _, _, _, last, high, low, volume, turnover, change, change_pct = row
    if trade is not None and trade[4] is not None:
        last = trade[4]
    bid, _, ask, _ = top or (None,) * 4
    return {
        "symbol": offer.symbol,
        "buy": _text(bid),
        "sell": _text(ask),
        "changeRate": _text(change_pct),
        "changePrice": _text(change),
        "high": _text(high),
        "low": _text(low),
        "vol": _text(volume),
        "volValue": _text(turnover),
        "last": _text(last),
        "averagePrice": None,
        "takerFeeRate": _text(offer.taker_fee),
        "makerFeeRate": _text(offer.maker_fee),
        "takerCoefficient": "1",
        "makerCoefficient": "1",
    }


def _spot_tickers(recorded: RecordedRows, _values: Values) -> Reply:
    rows = []
    for state in recorded.states.values():
        _, bid_size, _, ask_size = state.top() or (None,) * 4
        trade = state.last_trade()
        rows.append(
            {
                **_day(state),
                "symbolName": state.offer.symbol,
                "bestBidSize": _text(bid_size),
                "bestAskSize": _text(ask_size),
                "open": _opened(state),
                "lastSize": None if trade is None else _text(trade[5]),
            }
        )
    return ok({"time": recorded.now_ms, "ticker": rows})


def _opened(state: RecordedState) -> str | None:
    row = state.last.get("snapshot") or _NO_SNAPSHOT
    last, change = row[3], row[8]
    return None if last is None or change is None else digits(round(last - change, _LIMIT_DIGITS))


def _histories(_recorded: RecordedRows, state: RecordedState) -> list[dict[str, Any]]:
    return [
        {
            "sequence": None if sequence is None else str(sequence),
            "tradeId": trade_id,
            "price": _text(price),
            "size": _text(size),
            "side": side,
            "time": time,
        }
        for time, _, _, sequence, trade_id, side, price, size in reversed(_newest_trades(state))
    ]


def _spot_candles(recorded: RecordedRows, values: Values) -> Reply:
    state, interval = recorded.states.get(values.get("symbol", "")), values.get("type", "")
    if state is None:
        return error(200, "400100", "Unsupported trading pair.")
    bars = state.bars(interval, INTERVALS[interval]) if interval in INTERVALS else None
    if bars is None:
        return error(200, "400100", "Incorrect candlestick type.")
    # 0 counts as no bound. If more candles match than fit, the reply has the newest ones.
    begin, end = _whole(values, "startAt"), _whole(values, "endAt")
    last = end * 1_000 - (not recorded.core.settings.candles_include_end) if end else None
    limit = _CANDLES_WITHOUT_BEGIN if begin is None else _SPOT_CANDLES
    chosen = _between(bars, (begin or 0) * 1_000, last)[-limit:]
    return ok([_spot_candle_row(bar) for bar in reversed(chosen)])


def _spot_candle_row(bar: Bar) -> list[str | None]:
    opened, high, low, close, volume, turnover = map(_text, bar[1:])
    return [str(bar.open_ms // 1_000), opened, close, high, low, volume, turnover]


# -- tables ----------------------------------------------------------------------------------------


def _route(path: str, weight: int, answer: Answer, **facts: Any) -> Route:
    return Route(path, weight, answer, touches_none, **facts)


_COMMON = (
    *BULLETS,
    _route("/api/v1/status", 4, status),
    _route("/api/v1/timestamp", 2, timestamp, shows_quota=False),
)
_NO_CONTRACT = error(200, "404000", "The contract information you requested does not exist.")
_NO_MARK = error(200, "415000", "mark price is not supported")
_NO_FUNDING = error(200, "415000", "funding rate is not supported")
_NO_SYMBOL = error(200, "900001", "The symbol does not exist.")

RECORDED_ROUTES: dict[str, RouteTable] = {
    "futures": route_table(
        (
            *_COMMON,
            _route("/api/v1/contracts/active", 3, _contracts),
            _route("/api/v1/contracts/{symbol}", 3, _of_symbol(_contract, _NO_CONTRACT)),
            _route("/api/v1/ticker", 2, _of_symbol(_futures_ticker, INVALID_SYMBOL)),
            _route("/api/v1/allTickers", 5, _futures_tickers),
            _route(
                "/api/v1/level2/snapshot",
                3,
                _of_symbol(_futures_book(_FULL_FUTURES), INVALID_SYMBOL),
            ),
            _route("/api/v1/level2/depth20", 5, _of_symbol(_futures_book(20), INVALID_SYMBOL)),
            _route("/api/v1/level2/depth100", 5, _of_symbol(_futures_book(100), INVALID_SYMBOL)),
            _route("/api/v1/level2/{depth}", 5, _no_such_depth),
            _route("/api/v1/trade/history", 5, _of_symbol(_futures_trades, INVALID_SYMBOL)),
            _route("/api/v1/kline/query", 3, _kline),
            _route("/api/v1/mark-price/{symbol}/current", 3, _of_symbol(_mark_price, _NO_MARK)),
            _route("/api/v1/index/query", 2, _no_series),
            _route("/api/v1/premium/query", 3, _no_series),
            _route("/api/v1/interest/query", 5, _no_series),
            _route(
                "/api/v1/funding-rate/{symbol}/current", 2, _of_symbol(_funding_rate, _NO_FUNDING)
            ),
            _route("/api/v1/contract/funding-rates", 5, _funding_rates),
        )
    ),
    "spot": route_table(
        (
            *_COMMON,
            _route("/api/v2/symbols", 4, _symbols),
            _route("/api/v2/symbols/{symbol}", 4, _of_symbol(_pair, _NO_SYMBOL)),
            _route("/api/v1/symbols", 4, _symbols),
            _route("/api/v3/currencies", 3, _currencies),
            _route("/api/v3/currencies/{currency}", 3, _currency),
            _route("/api/v1/markets", 3, _zones),
            _route("/api/v1/market/orderbook/level1", 2, _of_symbol(_level1, _NO_DATA)),
            _route("/api/v1/market/allTickers", 15, _spot_tickers),
            _route("/api/v1/market/stats", 15, _stats),
            _route("/api/v1/market/orderbook/level2_20", 2, _of_symbol(_spot_book(20), _NO_DATA)),
            _route("/api/v1/market/orderbook/level2_100", 2, _of_symbol(_spot_book(100), _NO_DATA)),
            _route(
                "/api/v3/market/orderbook/level2",
                3,
                _of_symbol(_spot_book(None), _NO_DATA),
                is_private=True,
            ),
            _route("/api/v1/market/histories", 3, _of_symbol(_histories, _NO_DATA)),
            _route("/api/v1/market/candles", 3, _spot_candles),
        )
    ),
}
