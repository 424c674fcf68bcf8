"""Market data over REST, as frames: symbols, candles, trades, funding, indices, tickers, books."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import polars as pl

from kucoin_research.api.checks import find_venue, universe
from kucoin_research.errors import (
    ChannelNotOffered,
    InvalidInput,
    KucoinResearchError,
    shown,
)
from kucoin_research.exchange.credentials import Credentials, held, refuse_other
from kucoin_research.exchange.rest.client import ExchangeStatus, PremiumIndex, Rest
from kucoin_research.exchange.venues import Venue
from kucoin_research.foundation import clocks
from kucoin_research.foundation.arguments import count
from kucoin_research.foundation.progress import Download
from kucoin_research.model.channels import (
    Market,
    candle_interval,
    market_of,
)
from kucoin_research.model.instruments import (
    Instrument,
    resolve_symbol,
    symbol_frame,
)
from kucoin_research.model.intervals import Length
from kucoin_research.model.records import (
    Candle,
    FundingRate,
    Level2,
    MarkPrice,
    Snapshot,
    Ticker,
    Trade,
    schema_of,
)
from kucoin_research.model.units import When, instant_ns, refuse_future

__all__ = [
    "candles",
    "exchange_status",
    "funding_rates",
    "get_active_symbols",
    "index_prices",
    "instrument",
    "mark_price",
    "order_book",
    "premium_index",
    "recent_trades",
    "server_time",
    "stats",
    "symbols",
    "tickers",
]


def _known(symbol: str, rest: Rest, market: str | None = None) -> Market:
    if not isinstance(symbol, str):
        raise InvalidInput(f"symbol must be a string, not {shown(symbol)}")
    return _find(symbol, rest, market).market


def _find(symbol: str, rest: Rest, market: str | None = None) -> Instrument:
    if not isinstance(symbol, str):
        raise InvalidInput(f"symbol must be a string, not {shown(symbol)}")
    return universe().find(rest, symbol, market_of(symbol, market))


def _contract(symbol: str, rest: Rest, what: str) -> Instrument:
    found = _find(symbol, rest)
    if found.market is not Market.FUTURES:
        raise ChannelNotOffered(f"{shown(symbol)} is a spot pair; only futures have {what}")
    return found


def symbols(market: str = "futures", *, venue: Venue | str | None = None) -> pl.DataFrame:
    """List a market's instruments.

    Parameters
    ----------
    market
        ``"futures"`` or ``"spot"``.
    venue
        See ``find_venue``.

    Returns
    -------
    pl.DataFrame
        One row per instrument, one column per field of ``Instrument``.

    Warns
    -----
    StaleSymbols
        If KuCoin cannot be reached and the last copy on this disk is given; it tells the copy's
        age. (Lists are asked for again after ten minutes. Copies are in ``kucoin_research`` in the
        platform's cache folder, and of simulated exchanges there are none.)
    """
    with Rest(find_venue(venue)) as rest:
        return symbol_frame(universe().instruments(rest, market_of("", market)).values())


def get_active_symbols(market: str = "futures", *, venue: Venue | str | None = None) -> list[str]:
    """List the symbols of a market that can be traded now.

    Parameters
    ----------
    market
        ``"futures"`` or ``"spot"``.
    venue
        See ``find_venue``.
    """
    with Rest(find_venue(venue)) as rest:
        listed = universe().instruments(rest, market_of("", market)).values()
        return [each.symbol for each in listed if each.is_open]


def instrument(
    symbol: str, *, market: str | None = None, venue: Venue | str | None = None
) -> Instrument:
    """Describe one contract or pair: tick and lot size, multiplier, fees, status.

    Raises
    ------
    UnknownSymbol
        With near matches.
    """
    with Rest(find_venue(venue)) as rest:
        return _find(symbol, rest, market)


def _frame(rows: Iterable[tuple[object, ...]], record: type[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=schema_of(record), orient="row")


def _downloaded(
    fetch: Callable[[], Iterable[tuple[object, ...]]], record: type[tuple[object, ...]]
) -> pl.DataFrame:
    """Make a frame of a download; where that was given up, its error gets what had come."""
    try:
        return _frame(fetch(), record)
    except KucoinResearchError as error:
        if error.rows is not None:
            error.frame = _frame(error.rows, record)
            error.args = (f"{error} (the exception's .frame holds what came)", *error.args[1:])
        raise


def _span(start: When, end: When) -> tuple[int | None, int | None]:
    since, until = instant_ns(start, "start"), instant_ns(end, "end")
    if since is not None and until is not None and since > until:
        raise InvalidInput(f"start={shown(start)} lies after end={shown(end)}")
    return since, until


def candles(
    symbol: str,
    interval: Length = "1min",
    start: When = None,
    end: When = None,
    *,
    market: str | None = None,
    venue: Venue | str | None = None,
    progress: bool = True,
) -> pl.DataFrame:
    """Fetch candles over any span, page by page.

    An interrupt raises ``KeyboardInterrupt`` and returns nothing, so that part of a history is
    never taken for all of it; the exception notes how far it was.

    Parameters
    ----------
    symbol
        As KuCoin spells it. On futures an index (``.KXBTUSDT``) or a contract's premium
        (``.XBTUSDTMPI``) has candles too; nothing is traded there, so their volume means nothing.
    interval
        ``1min`` … ``1month``, in any spelling (``"5m"``), or a ``timedelta``; futures have no
        ``3min``, ``6hour`` and ``1month`` here. What a market lacks is refused, not made up.
    start, end
        ISO text, date, datetime (naive means UTC) or Unix time; both included. Without ``start``
        the exchange's most recent page comes.
    market, venue
        As for ``stream``.
    progress
        Whether to show a bar when it takes more than one page.

    Returns
    -------
    pl.DataFrame
        Columns of the ``candle`` channel, ascending, each open time once; the last one may still
        be running. Volume is in lots on futures and base coins on spot, turnover in the quote
        currency (base coins on inverse contracts). Intervals without trades are absent.

    Raises
    ------
    UnknownSymbol, UnknownChannel, ChannelNotOffered, InvalidInput
        Before any candle is asked for.
    Unreachable, BadReply, RateLimited, ExchangeUnavailable
        If a page cannot be had. Once some have come, a network that is away, an exchange that is
        busy, or a used-up quota is waited for, up to two minutes for a page, and the bar tells so.
        Then the error's ``.frame`` holds what had come, whole from the start on, and its text says
        up to when and how to go on.
    """
    name = candle_interval(interval)
    since, until = _span(start, end)
    with (
        Rest(find_venue(venue)) as rest,
        Download(f"{name} candles of {symbol}", shown=progress) as report,
    ):
        its_market = _candle_market(symbol, rest, market)
        return _downloaded(
            lambda: rest.candles(
                symbol,
                name,
                since,
                until,
                market=its_market,
                on_progress=report,
                on_wait=report.waits,
            ),
            Candle,
        )


def _candle_market(symbol: str, rest: Rest, market: str | None) -> Market:
    # Indices and premiums are in no list; the exchange itself says if there is none of that name.
    if isinstance(symbol, str) and symbol.startswith("."):
        return market_of("", market)
    return _known(symbol, rest, market)


def recent_trades(
    symbol: str, *, market: str | None = None, venue: Venue | str | None = None
) -> pl.DataFrame:
    """Fetch the last hundred trades, ascending, with the columns of the ``trade`` channel."""
    with Rest(find_venue(venue)) as rest:
        return _frame(rest.trades(symbol, market=_known(symbol, rest, market)), Trade)


def funding_rates(
    symbol: str,
    start: When = None,
    end: When = None,
    *,
    venue: Venue | str | None = None,
    progress: bool = True,
) -> pl.DataFrame:
    """Fetch settled funding rates of a perpetual contract.

    Interrupts, waits and errors are as for ``candles``.

    Parameters
    ----------
    symbol
        A futures symbol.
    start, end
        ISO text, date, datetime (naive means UTC) or Unix time; the last seven days when left out.
    venue, progress
        As for ``candles``.

    Returns
    -------
    pl.DataFrame
        Columns of the ``funding_rate`` channel, ascending; ``timestamp`` is the settlement.
    """
    since, until = _span(start, end)
    with (
        Rest(find_venue(venue)) as rest,
        Download(f"funding rates of {symbol}", shown=progress) as report,
    ):
        _contract(symbol, rest, "funding rates")
        now = rest.server_time(Market.FUTURES)
        refuse_future(since, now)
        until = now if until is None else min(until, now)
        since = until - 7 * 86_400 * 1_000_000_000 if since is None else since
        return _downloaded(
            lambda: rest.funding_rates(
                symbol, since, until, on_progress=report, on_wait=report.waits
            ),
            FundingRate,
        )


def index_prices(
    symbol: str,
    start: When = None,
    end: When = None,
    *,
    venue: Venue | str | None = None,
    progress: bool = True,
) -> pl.DataFrame:
    """Fetch the index behind a futures contract, one price per second.

    A page holds a hundred seconds, so for days ``candles(".KXBTUSDT", …)`` is the better question.
    KuCoin keeps no history of mark prices. Interrupts, waits and errors are as for ``candles``.

    Parameters
    ----------
    symbol
        A contract (``XBTUSDTM``), or an index itself (``.KXBTUSDT``).
    start, end
        As for ``candles``; without ``start`` a hundred seconds.
    venue, progress
        As for ``candles``.

    Returns
    -------
    pl.DataFrame
        Columns of the ``mark_price`` channel, ascending; ``mark_price`` is null, ``symbol`` is the
        one that was asked for.
    """
    since, until = _span(start, end)
    with (
        Rest(find_venue(venue)) as rest,
        Download(f"index prices of {symbol}", shown=progress) as report,
    ):
        index = _index_of(symbol, rest)
        return _downloaded(
            lambda: rest.index_prices(
                index, since, until, symbol=symbol, on_progress=report, on_wait=report.waits
            ),
            MarkPrice,
        )


def _index_of(symbol: str, rest: Rest) -> str:
    if isinstance(symbol, str) and symbol.startswith("."):
        listed = universe().instruments(rest, Market.FUTURES).values()
        # The exchange answers an unknown index with nothing, which would look like a quiet one.
        known = [each.index_symbol for each in listed if each.index_symbol is not None]
        return resolve_symbol(symbol, known, Market.FUTURES)
    index = _contract(symbol, rest, "an index").index_symbol
    if index is None:
        raise InvalidInput(f"KuCoin names no index for {shown(symbol)}")
    return index


def premium_index(
    symbol: str,
    start: When = None,
    end: When = None,
    *,
    venue: Venue | str | None = None,
    progress: bool = True,
) -> pl.DataFrame:
    """Fetch how far a perpetual contract traded above its index, one value per minute.

    Funding rates are made of it. Interrupts, waits and errors are as for ``candles``.

    Parameters
    ----------
    symbol
        A futures symbol.
    start, end
        As for ``candles``; without ``start`` a hundred minutes.
    venue, progress
        As for ``candles``.

    Returns
    -------
    pl.DataFrame
        ``timestamp``, ``local_timestamp``, ``symbol``, ``premium_index`` (a fraction of the index;
        negative when the contract is cheaper), ascending.
    """
    since, until = _span(start, end)
    with (
        Rest(find_venue(venue)) as rest,
        Download(f"premium index of {symbol}", shown=progress) as report,
    ):
        _contract(symbol, rest, "a premium index")
        return _downloaded(
            lambda: rest.premium_index(
                symbol, since, until, on_progress=report, on_wait=report.waits
            ),
            PremiumIndex,
        )


def mark_price(symbol: str, *, venue: Venue | str | None = None) -> pl.DataFrame:
    """Fetch a futures contract's mark and index price of this second.

    Returns
    -------
    pl.DataFrame
        One row with the columns of the ``mark_price`` channel.
    """
    with Rest(find_venue(venue)) as rest:
        _contract(symbol, rest, "mark prices here; stream the channel mark_price")
        return _frame([rest.mark_price(symbol)], MarkPrice)


def tickers(market: str = "futures", *, venue: Venue | str | None = None) -> pl.DataFrame:
    """Fetch the best bid and ask and the last trade of every symbol of a market.

    Returns
    -------
    pl.DataFrame
        Columns of the ``ticker`` channel, one row per symbol. On futures ``timestamp`` is the last
        trade's; spot gives one time for all, and neither ``sequence`` nor ``size`` nor ``side``.
    """
    with Rest(find_venue(venue)) as rest:
        return _frame(rest.tickers(market_of("", market)), Ticker)


def stats(
    symbol: str | None = None, *, market: str | None = None, venue: Venue | str | None = None
) -> pl.DataFrame:
    """Fetch the statistics of the last 24 hours.

    Parameters
    ----------
    symbol
        As KuCoin spells it; a whole market when left out.
    market
        ``"futures"`` or ``"spot"``; futures when neither it nor a symbol is given.
    venue
        See ``find_venue``.

    Returns
    -------
    pl.DataFrame
        Columns of the ``snapshot`` channel, one row per symbol. KuCoin does not date those of
        futures: their ``timestamp`` is null.
    """
    with Rest(find_venue(venue)) as rest:
        if symbol is None:
            return _frame(rest.stats(market=market_of("", market)), Snapshot)
        return _frame(rest.stats(symbol, market=_known(symbol, rest, market)), Snapshot)


def server_time(market: str = "futures", *, venue: Venue | str | None = None) -> datetime:
    """Read the exchange's clock, to the millisecond, UTC. A simulated exchange has its own."""
    with Rest(find_venue(venue)) as rest:
        now_ns = rest.server_time(market_of("", market))
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_ns // 1_000)


def exchange_status(market: str = "futures", *, venue: Venue | str | None = None) -> ExchangeStatus:
    """Ask whether a market trades; no stream tells of maintenance.

    Returns
    -------
    ExchangeStatus
        ``status`` (``open``, ``close`` or ``cancelonly``) and ``message``, the exchange's words.
    """
    with Rest(find_venue(venue)) as rest:
        return rest.status(market_of("", market))


def order_book(
    symbol: str,
    depth: int = 100,
    *,
    market: str | None = None,
    venue: Venue | str | None = None,
    credentials: Credentials | None = None,
) -> pl.DataFrame:
    """Fetch the order book as it stands.

    Parameters
    ----------
    symbol
        As KuCoin spells it.
    depth
        Levels per side: up to 100; more fetches the whole book (on futures KuCoin caps it at 1000
        levels, on spot it wants a key). The shallowest call that reaches it is made: 20, 100 or
        all.
    market, venue
        As for ``stream``.
    credentials
        For more than 100 levels on spot, and sent for nothing else.

    Returns
    -------
    pl.DataFrame
        Columns of the ``level2`` channel, ``is_snapshot`` true: bids best first, then asks
        best first.

    Raises
    ------
    CredentialsMissing, UntrustedHost, AuthenticationFailed
        For a spot book that wants a key; the first two before the book is asked for.
    """
    credentials = held(credentials)
    depth = count(depth, "depth", "levels")
    refuse_other(credentials)
    with Rest(find_venue(venue), credentials=credentials) as rest:
        book = rest.order_book(symbol, depth, market=_known(symbol, rest, market))
        now_ns = clocks.current().wall_ns()
        rows = [
            Level2(book.timestamp, now_ns, symbol, book.sequence, True, side, price, size)
            for side, levels in (("buy", book.bids), ("sell", book.asks))
            for price, size in levels
        ]
        return _frame(rows, Level2)
