"""History, fetched page by page: candles, funding rates, index prices, the premium index."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple, TypeAlias, TypeVar

from kucoin_research.errors import (
    ChannelNotOffered,
    UnknownChannel,
    shown,
)
from kucoin_research.exchange.rest.caller import RestCaller
from kucoin_research.exchange.rest.calls import (
    Call,
    market_of_symbol,
)
from kucoin_research.exchange.rest.paging import (
    Leaps,
    OnProgress,
    OnWait,
    PageWalk,
    Patience,
    Span,
)
from kucoin_research.exchange.rest.replies import ReplyReader
from kucoin_research.exchange.rest.schemas import (
    FundingRow,
    FuturesCandle,
    Points,
    SpotCandle,
)
from kucoin_research.model.channels import CANDLE_INTERVALS, Market
from kucoin_research.model.records import (
    Candle,
    FundingRate,
    Label,
    MarkPrice,
    Number,
    Time,
)
from kucoin_research.model.units import refuse_future, to_ns

__all__ = ["History", "PremiumIndex"]

T = TypeVar("T")
R = TypeVar("R")

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000
# The quota's window lasts 30 s: a long download that used it up waits for the next one.
_ONE_WINDOW = 31.0
_MINUTES = {
    "1min": 1, "3min": 3, "5min": 5, "15min": 15, "30min": 30, "1hour": 60, "2hour": 120,
    "4hour": 240, "6hour": 360, "8hour": 480, "12hour": 720, "1day": 1440, "1week": 10080,
    "1month": 28 * 1440,  # the shortest: a page's span must never hold more than a page's rows
}  # fmt: skip
_NOT_OVER_REST = {Market.FUTURES: frozenset({"3min", "6hour", "1month"}), Market.SPOT: frozenset()}
# Candles of these intervals show where a pair's trading begins or goes on: one page holds 28 years
# of weeks, or four years of days.
_COARSE = ("1week", "1day", "1hour")
# Rows asked for at once: the most that we believe a page to hold; fewer may come.
# Futures: the documents say 500, a probe of 2026-09 got 200.
_PAGE_ROWS = {Market.FUTURES: 200, Market.SPOT: 1500}
# The same for the index and premium queries.
_QUERY_ROWS = 100
# Contracts settle their funding every 8, 4, 2 or 1 hours.
_FUNDING_STEP = 3_600 * _NS_PER_S
# KuCoin opened in September 2017: there is nothing to ask for before.
_OPENED_NS = 1_504_224_000 * _NS_PER_S


class PremiumIndex(NamedTuple):
    """How far a contract trades above its index at a minute, as a fraction of the index."""

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    premium_index: Number


class _Series(NamedTuple):
    """A published series of values: the path to ask, its own symbol, and the ns between values."""

    path: str
    symbol: str
    step: int


class History:
    """Fetches history of any length from one exchange, page by page.

    Parameters
    ----------
    caller
        Makes the calls.
    reader
        Reads their replies.
    """

    def __init__(self, caller: RestCaller, reader: ReplyReader) -> None:
        self._caller = caller
        self._reader = reader

    def candles(
        self,
        symbol: str,
        interval: str = "1min",
        start: int | None = None,
        end: int | None = None,
        *,
        market: Market | str | None = None,
        on_progress: OnProgress | None = None,
        on_wait: OnWait | None = None,
    ) -> list[Candle]:
        """Fetch candles over any span, page by page; see `Rest.candles`."""
        market = market_of_symbol(symbol, market)
        step = _step_ns(interval, market)
        end = self._last_instant(start, end, market)
        page = (_PAGE_ROWS[market] - 1) * step
        start = end - page if start is None else max(start, _OPENED_NS)

        def ask(low: int, high: int) -> dict[int, Candle]:
            return _by_time(self.candles_page(symbol, interval, low, high, market=market))

        def leap(low: int, high: int) -> int:
            return self._next_candle(symbol, interval, low, high)

        pair_leap = Leaps(page, partial(self._next_pair_candle, symbol, interval))
        return self._walk(
            Span.of(start, end, step, page),
            ask,
            lambda _, candle: candle,
            leap=leap if market is Market.FUTURES else pair_leap,
            on_progress=on_progress,
            on_wait=on_wait,
        )

    def _next_pair_candle(self, symbol: str, interval: str, low: int, high: int) -> tuple[int, int]:
        """Find the next candle of a pair across a long gap, or its first candle of all.

        A candle of a week exists if there were trades in that week. So we look for the first week
        with trades, then for its first day, then for its first hour.

        Returns
        -------
        tuple
            The time to go on from, and the number of calls that this took.
        """
        step, begin, end = _step_ns(interval, Market.SPOT), low, high
        calls = 0
        for coarse in _COARSE:
            length = _step_ns(coarse, Market.SPOT)
            if length <= step:
                break
            if end - begin > (_PAGE_ROWS[Market.SPOT] - 2) * length:
                continue
            # Ask from one candle before the begin: the candle that contains it opened earlier.
            page = self.candles_page(symbol, coarse, begin - length, end, market=Market.SPOT)
            calls += 1
            opened = [when for when in _by_time(page) if when + length > begin]
            if opened:
                begin, end = max(begin, min(opened)), min(end, min(opened) + length)
            elif end == high:
                # No candles at all. We believe that if the newest candles before the end agree.
                last = self.candles_page(symbol, interval, None, high, market=Market.SPOT)
                is_over = not any(when >= low for when in _by_time(last))
                return (high + 1 if is_over else low), calls + 1
            else:
                break  # the coarse candles disagree with each other: go on page by page
        return begin, calls

    def _next_candle(self, symbol: str, interval: str, low: int, high: int) -> int:
        # Asked without an end, futures return candles from the next one on, however long the gap.
        # If there are none, we believe that only if the newest candles before the end agree.
        later = _by_time(self.candles_page(symbol, interval, low, None, market=Market.FUTURES))
        if later:
            return min(later)
        newest = _by_time(self.candles_page(symbol, interval, None, high, market=Market.FUTURES))
        return low if newest and max(newest) >= low else high + 1

    def candles_page(
        self,
        symbol: str,
        interval: str,
        start: int | None = None,
        end: int | None = None,
        *,
        market: Market | str | None = None,
    ) -> list[Candle]:
        """Fetch one page of candles; see `Rest.candles_page`."""
        market = market_of_symbol(symbol, market)
        step = _step_ns(interval, market)
        convert = _futures_candles if market is Market.FUTURES else _spot_candles
        path, params = convert(symbol, interval, start, end)
        call = Call(market, path, f"{interval} candles of {symbol}", params, symbol=symbol)
        reply = self._caller.fetch(call, patience=_ONE_WINDOW)
        row_type = FuturesCandle if market is Market.FUTURES else SpotCandle
        rows: list[FuturesCandle | SpotCandle] = self._reader.decode(call, reply, list[row_type])  # type: ignore[valid-type]
        by_time = self._reader.checked(call, lambda: {to_ns(row.start): row for row in rows})
        if start is not None and end is not None:
            self._reader.refuse_elsewhere(call, by_time, start, end, step)
        kept = [
            (when, by_time[when])
            for when in sorted(by_time)
            if (start is None or when >= start) and (end is None or when <= end)
        ]
        # In candles of a premium or an interest rate (their symbols begin with a dot) 0 is a value.
        nothing = 0.0 if symbol.startswith(".") else None
        return [
            Candle(
                when,
                stamp,
                symbol,
                interval,
                row.open or nothing,
                row.high or nothing,
                row.low or nothing,
                row.close or nothing,
                row.volume,
                row.turnover,
            )
            for stamp, (when, row) in zip(self._reader.stamps(reply, len(kept)), kept, strict=True)
        ]

    def funding_rates(
        self,
        symbol: str,
        start: int,
        end: int,
        *,
        on_progress: OnProgress | None = None,
        on_wait: OnWait | None = None,
    ) -> list[FundingRate]:
        """Fetch the settled funding rates of a contract; see `Rest.funding_rates`."""
        if market_of_symbol(symbol, None) is Market.SPOT:
            raise ChannelNotOffered(f"{symbol} is a spot pair; only perpetual futures have funding")
        span = Span.of(max(start, _OPENED_NS), end, _FUNDING_STEP)

        def ask(low: int, high: int) -> dict[int, FundingRate]:
            return self._funding_page(symbol, low, high)

        return self._walk(span, ask, lambda _, rate: rate, on_progress=on_progress, on_wait=on_wait)

    def _funding_page(self, symbol: str, first: int, last: int) -> dict[int, FundingRate]:
        path = "/api/v1/contract/funding-rates"
        params: dict[str, str | int] = {
            "symbol": symbol,
            "from": first // _NS_PER_MS,
            "to": last // _NS_PER_MS,
        }
        call = Call(Market.FUTURES, path, f"funding rates of {symbol}", params, symbol=symbol)
        reply = self._caller.fetch(call, patience=_ONE_WINDOW)
        rows = self._reader.decode(call, reply, list[FundingRow] | None) or []
        times = self._reader.checked(call, lambda: [to_ns(row.timepoint) for row in rows])
        self._reader.refuse_elsewhere(call, times, first, last, _FUNDING_STEP)
        stamps = self._reader.stamps(reply, len(rows))
        return {
            when: FundingRate(when, stamp, symbol, row.funding_rate, None)
            for when, stamp, row in zip(times, stamps, rows, strict=True)
            if first <= when <= last
        }

    def index_prices(
        self,
        index: str,
        start: int | None = None,
        end: int | None = None,
        *,
        symbol: str | None = None,
        on_progress: OnProgress | None = None,
        on_wait: OnWait | None = None,
    ) -> list[MarkPrice]:
        """Fetch a futures index, second by second; see `Rest.index_prices`."""
        series = _Series("/api/v1/index/query", index, _NS_PER_S)

        def make(when: int, point: tuple[int, float]) -> MarkPrice:
            return MarkPrice(when, point[0], symbol or index, None, point[1] or None)

        return self._points(series, start, end, make, on_progress, on_wait)

    def premium_index(
        self,
        symbol: str,
        start: int | None = None,
        end: int | None = None,
        *,
        on_progress: OnProgress | None = None,
        on_wait: OnWait | None = None,
    ) -> list[PremiumIndex]:
        """Fetch a contract's premium index, minute by minute; see `Rest.premium_index`."""
        series = _Series("/api/v1/premium/query", f".{symbol}PI", 60 * _NS_PER_S)

        def make(when: int, point: tuple[int, float]) -> PremiumIndex:
            return PremiumIndex(when, point[0], symbol, point[1])

        return self._points(series, start, end, make, on_progress, on_wait)

    def _walk(
        self,
        span: Span,
        ask: Callable[[int, int], dict[int, T]],
        make: Callable[[int, T], R],
        *,
        leap: Callable[[int, int], int] | None = None,
        on_progress: OnProgress | None = None,
        on_wait: OnWait | None = None,
    ) -> list[R]:
        patience = Patience(self._caller.clock, self._caller.pause, on_wait)
        return PageWalk(span, ask, patience, leap=leap, on_progress=on_progress).rows(make)

    def _last_instant(self, start: int | None, end: int | None, market: Market) -> int:
        # The download before this one may just have used up the quota: wait for the next window.
        call = Call(market, "/api/v1/timestamp", "its time")
        now = self._reader.time_ns(call, self._caller.fetch(call, patience=_ONE_WINDOW))
        refuse_future(start, now)
        return now if end is None else min(end, now)

    def _points(
        self,
        series: _Series,
        start: int | None,
        end: int | None,
        make: Callable[[int, tuple[int, float]], R],
        on_progress: OnProgress | None,
        on_wait: OnWait | None,
    ) -> list[R]:
        # A point is its arrival stamp and its value. Each call asks for one page at most.
        end = self._last_instant(start, end, Market.FUTURES)
        page = _QUERY_ROWS * series.step - _NS_PER_MS
        start = end - page if start is None else max(start, _OPENED_NS)

        def ask(low: int, high: int) -> dict[int, tuple[int, float]]:
            return self._points_page(series, low, high)

        return self._walk(
            Span.of(start, end, series.step, page),
            ask,
            make,
            on_progress=on_progress,
            on_wait=on_wait,
        )

    def _points_page(self, series: _Series, low: int, high: int) -> dict[int, tuple[int, float]]:
        params: dict[str, str | int] = {
            "symbol": series.symbol,
            "startAt": low // _NS_PER_MS,
            "endAt": high // _NS_PER_MS,
            "maxCount": _QUERY_ROWS,
        }
        call = Call(Market.FUTURES, series.path, f"the history of {series.symbol}", params)
        reply = self._caller.fetch(call, patience=_ONE_WINDOW)
        data: Points = self._reader.decode(call, reply, Points)
        rows = sorted(data.data_list, key=lambda row: row.time_point)
        times = self._reader.checked(call, lambda: [to_ns(row.time_point) for row in rows])
        self._reader.refuse_elsewhere(call, times, low, high, series.step)
        stamped = zip(times, self._reader.stamps(reply, len(rows)), rows, strict=True)
        return {when: (stamp, row.value) for when, stamp, row in stamped if low <= when <= high}


def _step_ns(interval: str, market: Market) -> int:
    minutes = _MINUTES.get(interval)
    if minutes is None:
        raise UnknownChannel(
            f"no candle interval {shown(interval)}; intervals: {', '.join(CANDLE_INTERVALS)}"
        )
    if interval in _NOT_OVER_REST[market]:
        raise ChannelNotOffered(
            f"KuCoin {market} has no {interval} candles over REST; "
            "fetch a shorter interval and resample it"
        )
    return minutes * 60 * _NS_PER_S


def _by_time(candles: Iterable[Candle]) -> dict[int, Candle]:
    return {each.timestamp: each for each in candles if each.timestamp is not None}


_Request: TypeAlias = tuple[str, dict[str, str | int]]


def _futures_candles(symbol: str, interval: str, start: int | None, end: int | None) -> _Request:
    params: dict[str, str | int] = {"symbol": symbol, "granularity": _MINUTES[interval]}
    if start is not None:
        params["from"] = -(-start // _NS_PER_MS)
    if end is not None:
        params["to"] = end // _NS_PER_MS
    return "/api/v1/kline/query", params


def _spot_candles(symbol: str, interval: str, start: int | None, end: int | None) -> _Request:
    params: dict[str, str | int] = {"symbol": symbol, "type": interval}
    if start is not None:
        params["startAt"] = -(-start // _NS_PER_S)
    if end is not None:
        # KuCoin does not document whether the end itself is included, so ask for a second more.
        params["endAt"] = end // _NS_PER_S + 1
    return "/api/v1/market/candles", params
