"""KuCoin's REST side: one class, one method per call.

Everything here is public market data and needs no key, except the token of private channels and
deep spot books. Replies are decoded into typed values: every number is finite, every integer fits
64 bits. A price, bid or ask of 0 means that there is none, so it becomes None; a size of 0 stays.

Source: KuCoin's classic futures and spot REST documentation (https://www.kucoin.com/docs-new, read
2026-11), and measurements on the wire where the documents are silent.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Collection
from typing import NamedTuple, Self, TypeVar, cast
from urllib.parse import urlsplit

from kucoin_research.errors import (
    AuthenticationFailed,
    CredentialsMissing,
    InvalidInput,
    UntrustedHost,
    shown,
)
from kucoin_research.exchange.credentials import Credentials
from kucoin_research.exchange.rest.caller import ClockOffset, RestCaller
from kucoin_research.exchange.rest.calls import (
    MOST_OF_A_LIST,
    Call,
    CallReply,
    market_of_symbol,
    path_part,
)
from kucoin_research.exchange.rest.failures import FailureReader
from kucoin_research.exchange.rest.history import History, PremiumIndex
from kucoin_research.exchange.rest.instrument_rows import contract_of, pair_of
from kucoin_research.exchange.rest.market_facts import (
    MarketFacts,
    facts_of_contracts,
    facts_of_pairs,
)
from kucoin_research.exchange.rest.paging import OnProgress, OnWait
from kucoin_research.exchange.rest.replies import ReplyReader, as_it_is, instants_of
from kucoin_research.exchange.rest.schemas import (
    BookData,
    ContractFacts,
    ContractRow,
    ContractStats,
    FuturesTicker,
    PairRow,
    Point,
    Simulation,
    SpotTicker,
    SpotTickers,
    StatusData,
    TokenData,
    TradeRow,
)
from kucoin_research.exchange.rest.signer import Signer
from kucoin_research.exchange.rest.transport import (
    Session,
    Transport,
)
from kucoin_research.exchange.token import Server, Token
from kucoin_research.exchange.venues import (
    Venue,
    is_loopback,
    refuse_elsewhere,
    refuse_untrusted,
)
from kucoin_research.foundation import clocks
from kucoin_research.foundation.hidden import Hidden
from kucoin_research.foundation.typed_json import decoder
from kucoin_research.model.channels import Market, market_of
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.orderbook import BookSnapshot
from kucoin_research.model.records import (
    Candle,
    FundingRate,
    MarkPrice,
    Snapshot,
    Ticker,
    Trade,
)
from kucoin_research.model.units import to_ns

__all__ = ["ClockOffset", "ExchangeStatus", "PremiumIndex", "Rest"]

log = logging.getLogger(__name__)

T = TypeVar("T")


# More levels than any book has.
_ALL_LEVELS = 10**9


class ExchangeStatus(NamedTuple):
    """Whether a market trades: ``open``, ``close`` or ``cancelonly``, and its message."""

    status: str
    message: str


class Rest:
    """Calls an exchange's REST side: public market data, and the tokens of streams.

    Its methods are the public API, so they stay in one class; each makes one call, or walks over
    the pages of a history.

    Every call either returns checked values or raises: ``Unreachable``, ``BadReply``, or the
    ``ExchangeError`` that KuCoin's code stands for. A call that failed for a reason that can pass
    by itself (a rate limit, a busy exchange, a reset connection) is tried three times in all, with
    waits of at most ``patience`` seconds.

    A reply may have 16 MB unpacked, a list of instruments 64 MB. It is read in pieces, so no
    request takes longer than ``total``, however slowly its reply comes.

    **Threads**: any number may call at once; each has its own connection. ``close`` may be called
    from any thread and ends all waits and requests at once. All clients of a process that ask the
    same host share its quota: while the host refuses one of them, none of the others asks. On this
    machine a port may pass from one server to another, so there only clients of a simulated
    exchange in the same process share a quota.

    Parameters
    ----------
    venue
        Where the exchange is.
    credentials
        For ``token(private=True)`` and for spot books deeper than 100 levels; no other call sends
        them. KuCoin accepts a timestamp that is less than 5 s off. If it refuses ours, its clock is
        read, and the call is signed again by that clock.
    timeout
        Seconds to connect (to look up the name, and again for each of its addresses), and seconds
        to wait for each piece of the reply.
    total
        Seconds for one request, from looking up the name to the last byte of its reply.
    session
        A ``requests.Session`` for every call, from whatever thread, instead of our own; it stays
        open. We do not control its connections: ``total`` is checked only between two pieces of a
        reply, and ``close`` ends no request that waits. Our own session uses the proxies and
        certificates that `network` finds, and keeps no cookies.
    patience
        Seconds that the waits before retries may add up to. If a wait would exceed them, the error
        is raised at once.
    clock
        The clock to use; the machine's own when left out.
    """

    def __init__(
        self,
        venue: Venue,
        *,
        credentials: Credentials | None = None,
        timeout: tuple[float, float] = (5.0, 10.0),
        total: float = 30.0,
        session: Session | None = None,
        patience: float = 10.0,
        clock: clocks.Clock | None = None,
    ) -> None:
        clock = clocks.current() if clock is None else clock
        self.venue = venue
        self._has_key = credentials is not None
        signer = Signer(venue, credentials, clock)
        failures = FailureReader(venue, signer, clock)
        self._reader = ReplyReader(venue, failures)
        self._caller = RestCaller(
            venue,
            signer=signer,
            reader=self._reader,
            failures=failures,
            transport=Transport(clock, timeout=timeout, session=session),
            total=total,
            patience=patience,
            clock=clock,
        )
        self._history = History(self._caller, self._reader)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Rest({self.venue!r})"

    def close(self) -> None:
        """End every wait and every request at once. Calls then raise ``StreamStopped``."""
        self._caller.close()

    def disown(self) -> None:
        """Forget the parent's requests in a forked child; new calls open their own connections."""
        self._reader.disown()
        self._caller.disown()

    def end_by(self, moment: float | None) -> None:
        """Let no call that begins from now on last beyond a moment; from any thread.

        Parameters
        ----------
        moment
            In the clock's monotonic seconds; None for no limit.
        """
        self._caller.end_by(moment)

    # -- for connections -----------------------------------------------------------------------

    def token(self, market: Market | str, *, private: bool = False) -> Token:
        """Fetch a token for one WebSocket connection; each connect needs a new one.

        Parameters
        ----------
        market
            The market whose topics it opens.
        private
            Whether it opens private topics too, beside the public ones.

        Raises
        ------
        CredentialsMissing
            If a private token is asked for without credentials.
        UntrustedHost
            If the credentials, or the private token, would go elsewhere than to KuCoin or this
            machine. Also if the reply names a server that is neither KuCoin's, over TLS, nor the
            host that was asked.
        AuthenticationFailed
            If the credentials are refused; ``what`` names the part that is refused.
        """
        market = market_of("", market)
        call = Call(market, "/api/v1/bullet-public", f"a {market} stream token", method="POST")
        if private:
            call = call._replace(path="/api/v1/bullet-private", is_signed=True)
            call = call._replace(what=f"a private {market} stream token")
        data = self._get(call, TokenData)
        token = Hidden(self._reader.checked(call, lambda: decoder(str).decode(data.token)))
        servers = tuple(
            Server(each.endpoint, each.ping_interval / 1000, each.ping_timeout / 1000)
            for each in data.instance_servers
        )
        if not token.reveal() or not servers:
            raise self._reader.bad(call, "it holds no token, or no server to connect to")
        asked = self.venue.url(market)
        for server in servers:
            if not re.match("wss?://", server.endpoint) or not _is_address(server.endpoint):
                raise self._reader.bad(call, "a server's address is not a WebSocket's")
            if private:
                refuse_untrusted(server.endpoint, "a private token")
            refuse_elsewhere(server.endpoint, asked)
        # Only an exchange on this machine may have a virtual clock, whatever a reply says.
        simulation = (data.simulation if is_loopback(asked) else None) or Simulation()
        return Token(token.reveal(), servers, simulation.speed, simulation.lifetime)

    def server_time(self, market: Market | str = Market.FUTURES) -> int:
        """Read the exchange's clock, ns UTC; it counts whole milliseconds."""
        market = market_of("", market)
        call = Call(market, "/api/v1/timestamp", "its time")
        return self._reader.time_ns(call, self._caller.fetch(call))

    def clock_offset(
        self,
        market: Market | str = Market.FUTURES,
        now_ns: Callable[[], int] | None = None,
    ) -> ClockOffset:
        """Measure the exchange's clock against ours, by one call.

        The exchange reads its clock at some moment between our sending and receiving. So the
        uncertainty is half the round trip, plus half of the exchange's millisecond.

        Parameters
        ----------
        market
            The market whose clock is measured.
        now_ns
            Our clock, ns UTC; the machine's wall clock when left out.
        """
        return self._caller.clock_offset(market_of("", market), now_ns)

    def status(self, market: Market | str = Market.FUTURES) -> ExchangeStatus:
        """Fetch whether a market is open: the only sign of maintenance."""
        market = market_of("", market)
        data = self._get(Call(market, "/api/v1/status", "its status"), StatusData)
        return ExchangeStatus(data.status, data.msg or "")

    # -- instruments ---------------------------------------------------------------------------

    def contracts(self) -> list[Instrument]:
        """List the futures contracts, in the exchange's order.

        A malformed field is None and logged. A row is logged and left out if the field is required,
        or if it decides the meaning of the contract's sizes or the coin that it settles in.

        Raises
        ------
        BadReply
            If no row makes sense.
        """
        call = Call(
            Market.FUTURES,
            "/api/v1/contracts/active",
            "the list of contracts",
            most=MOST_OF_A_LIST,
            is_read_by_field=True,
        )
        return self._instruments(call, ContractRow, contract_of)

    def contract(self, symbol: str) -> Instrument:
        """Describe one futures contract.

        Raises
        ------
        NotFound
            If there is no contract of that name.
        BadReply
            If a required field is malformed, or one that decides the meaning of its sizes.
        """
        path = f"/api/v1/contracts/{path_part(symbol)}"
        return self._instrument(symbol, Market.FUTURES, path, ContractRow, contract_of)

    def spot_symbols(self) -> list[Instrument]:
        """List the spot pairs, in the exchange's order.

        A malformed field is None and logged. A row is logged and left out if the field is required.

        Raises
        ------
        BadReply
            If no row makes sense.
        """
        call = Call(
            Market.SPOT,
            "/api/v2/symbols",
            "the list of spot symbols",
            most=MOST_OF_A_LIST,
            is_read_by_field=True,
        )
        return self._instruments(call, PairRow, pair_of)

    def spot_symbol(self, symbol: str) -> Instrument:
        """Describe one spot pair.

        Raises
        ------
        NotFound
            If there is no pair of that name.
        """
        path = f"/api/v2/symbols/{path_part(symbol)}"
        return self._instrument(symbol, Market.SPOT, path, PairRow, pair_of)

    def _instrument(
        self,
        symbol: str,
        market: Market,
        path: str,
        kind: type[T],
        parse: Callable[[T, Collection[str]], Instrument],
    ) -> Instrument:
        name = "contract" if market is Market.FUTURES else "spot symbol"
        call = Call(market, path, f"the {name} {symbol}", symbol=symbol, is_read_by_field=True)
        return self._reader.row(call, self._caller.fetch(call), kind, parse)

    def _instruments(
        self, call: Call, kind: type[T], parse: Callable[[T, Collection[str]], Instrument]
    ) -> list[Instrument]:
        return self._reader.rows(call, self._caller.fetch(call).data.reveal(), kind, parse)

    # -- books and trades ----------------------------------------------------------------------

    def level2_snapshot(self, symbol: str, market: Market | str | None = None) -> BookSnapshot:
        """Fetch the deepest order book that is available.

        Futures return up to 1000 levels per side. Spot returns all levels if it accepts our
        credentials, and 100 otherwise.
        """
        if self._has_key and market_of_symbol(symbol, market) is Market.SPOT:
            try:
                return self.order_book(symbol, _ALL_LEVELS, market=market)
            except (AuthenticationFailed, UntrustedHost) as error:
                log.info("the first levels of %s have to do: %s", symbol, error)
        return self.order_book(symbol, None, market=market)

    def order_book(
        self, symbol: str, depth: int | None = 100, *, market: Market | str | None = None
    ) -> BookSnapshot:
        """Fetch the order book, best levels first.

        Parameters
        ----------
        symbol
            As the exchange spells it.
        depth
            Levels per side; None for as many as KuCoin returns without a key. More than 100 on spot
            fetches the whole book, for which KuCoin requires a key.
        market
            None takes a symbol with a hyphen for spot, any other for futures.

        Raises
        ------
        InvalidInput
            If depth is below 1.
        CredentialsMissing
            If depth is above 100 on spot and there are no credentials.
        UntrustedHost, AuthenticationFailed
            As for ``token``, for a book that requires a key.
        """
        market = market_of_symbol(symbol, market)
        if depth is not None and (isinstance(depth, bool) or depth < 1):
            raise InvalidInput(
                f"depth must be a whole number of levels above 0, not {shown(depth)}"
            )
        path, limit, is_signed = _book_call(market, depth)
        what = f"the order book of {symbol}"
        if is_signed and not self._has_key:
            raise CredentialsMissing(
                f"spot shows 100 levels per side without a key, so depth={depth} of {symbol} needs "
                "credentials=kr.Credentials.from_env()"
            )
        call = Call(market, path, what, {"symbol": symbol}, symbol=symbol, is_signed=is_signed)
        book = self._get(call, BookData)
        sides = (book.bids or [], book.asks or [])
        bids, asks = ([level for level in side if level[0] and level[1]] for side in sides)
        deepest = max(len(bids), len(asks))
        is_cut = max(map(len, sides)) >= limit  # counting levels without a price or size, too
        timestamp = book.ts if book.ts is not None else book.time
        return BookSnapshot(
            symbol,
            book.sequence,
            None if timestamp is None else self._reader.checked(call, lambda: to_ns(timestamp)),
            bids[:depth],
            asks[:depth],
            not is_cut and (depth is None or deepest <= depth),
        )

    def trades(self, symbol: str, *, market: Market | str | None = None) -> list[Trade]:
        """Fetch the last hundred trades, oldest first.

        Returns
        -------
        list[Trade]
            Each sequence once. Sizes are contracts on futures, base coins on spot.
        """
        market = market_of_symbol(symbol, market)
        path = "/api/v1/trade/history" if market is Market.FUTURES else "/api/v1/market/histories"
        call = Call(market, path, f"the trades of {symbol}", {"symbol": symbol}, symbol=symbol)
        reply = self._caller.fetch(call)
        rows = self._reader.decode(call, reply, list[TradeRow])
        times = self._reader.checked(call, lambda: [_trade_time(row) for row in rows])
        # The markets list trades in opposite orders. We sort by sequence, as the trades of one
        # order that sweeps several levels have equal times.
        listed = sorted(zip(times, rows, strict=True), key=lambda each: each[1].sequence or each[0])
        unique = {row.sequence or (when, row.trade_id): (when, row) for when, row in listed}
        stamps = self._reader.stamps(reply, len(unique))
        return [
            Trade(
                when,
                stamp,
                symbol,
                row.sequence,
                _trade_id(row),
                row.side,
                row.price or None,
                row.size,
            )
            for stamp, (when, row) in zip(stamps, unique.values(), strict=True)
        ]

    # -- history -------------------------------------------------------------------------------

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
        """Fetch candles over any span, page by page.

        Parameters
        ----------
        symbol
            As the exchange spells it.
        interval
            One of ``records.CANDLE_INTERVALS``; futures have no 3min, 6hour and 1month here.
        start, end
            Bounds of the open time, ns UTC, both included. ``end`` is now when left out; ``start``
            is one page before the end.
        market
            None takes a symbol with a hyphen for spot, any other for futures.
        on_progress
            Called after each page with the share done, 0 to 1, and the number of rows so far.
        on_wait
            Called before a failed page is asked for again, with the seconds to wait and the error.

        Returns
        -------
        list[Candle]
            Ascending, each open time once. Intervals without trades are absent; the last candle may
            still be open.

        Raises
        ------
        ChannelNotOffered
            If the market lacks that interval.
        Unreachable, BadReply, RateLimited, ExchangeUnavailable
            If a page could not be fetched. The first page fails at once, a later one after two
            minutes of tries; the error's ``rows`` then hold the rows before it.
        """
        return self._history.candles(
            symbol, interval, start, end, market=market, on_progress=on_progress, on_wait=on_wait
        )

    def candles_page(
        self,
        symbol: str,
        interval: str,
        start: int | None = None,
        end: int | None = None,
        *,
        market: Market | str | None = None,
    ) -> list[Candle]:
        """Fetch one page of candles: at most 200 on futures, 1500 on spot.

        Parameters, result and errors are those of ``candles``.

        Raises
        ------
        BadReply
            Also if both bounds are given and every candle of the reply lies outside of them.
        """
        return self._history.candles_page(symbol, interval, start, end, market=market)

    def funding_rates(
        self,
        symbol: str,
        start: int,
        end: int,
        *,
        on_progress: OnProgress | None = None,
        on_wait: OnWait | None = None,
    ) -> list[FundingRate]:
        """Fetch the settled funding rates of a perpetual contract.

        Parameters
        ----------
        symbol
            A futures symbol.
        start, end
            Bounds of the settlement, ns UTC, both included.
        on_progress, on_wait
            As for ``candles``. A page that could not be fetched raises as there, too.

        Returns
        -------
        list[FundingRate]
            Ascending. Their granularity is None: KuCoin's history does not have it.

        Raises
        ------
        ChannelNotOffered
            For a spot symbol.
        """
        return self._history.funding_rates(
            symbol, start, end, on_progress=on_progress, on_wait=on_wait
        )

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
        """Fetch a futures index, second by second.

        Parameters
        ----------
        index
            Its own symbol, such as ``.KXBTUSDT``.
        start, end
            Bounds, ns UTC, both included. ``end`` is now when left out; ``start`` is a hundred
            seconds before the end.
        symbol
            The symbol of the rows; that of the index unless given.
        on_progress, on_wait
            As for ``candles``. A page that could not be fetched raises as there, too.

        Returns
        -------
        list[MarkPrice]
            Ascending, without mark prices; empty if there is no such index.
        """
        return self._history.index_prices(
            index, start, end, symbol=symbol, on_progress=on_progress, on_wait=on_wait
        )

    def premium_index(
        self,
        symbol: str,
        start: int | None = None,
        end: int | None = None,
        *,
        on_progress: OnProgress | None = None,
        on_wait: OnWait | None = None,
    ) -> list[PremiumIndex]:
        """Fetch a perpetual contract's premium over its index, minute by minute.

        Parameters and errors are those of ``index_prices``. ``start`` is a hundred minutes before
        the end when left out.
        """
        return self._history.premium_index(
            symbol, start, end, on_progress=on_progress, on_wait=on_wait
        )

    def mark_price(self, symbol: str) -> MarkPrice:
        """Fetch a futures contract's mark and index price of this second."""
        path = f"/api/v1/mark-price/{path_part(symbol)}/current"
        call = Call(Market.FUTURES, path, f"the mark price of {symbol}", symbol=symbol)
        reply = self._caller.fetch(call)
        row: Point = self._reader.decode(call, reply, Point)
        when = self._reader.checked(call, lambda: to_ns(row.time_point))
        stamp = self._reader.stamps(reply, 1)[0]
        return MarkPrice(when, stamp, symbol, row.value or None, row.index_price or None)

    def tickers(self, market: Market | str = Market.FUTURES) -> list[Ticker]:
        """Fetch the best bid and ask and the last trade of every symbol of a market.

        On spot ``sequence``, the last size and the side are None, and all rows have one time.
        """
        market = market_of("", market)
        if market is Market.SPOT:
            return self._spot_tickers()
        call = Call(market, "/api/v1/allTickers", "all futures tickers", is_read_by_field=True)
        reply = self._caller.fetch(call)
        rows = self._reader.rows(call, reply.data.reveal(), FuturesTicker, as_it_is)
        times = instants_of(call, [row.ts for row in rows])
        stamps = self._reader.stamps(reply, len(rows))
        return [
            Ticker(
                when,
                stamp,
                row.symbol,
                row.sequence,
                row.price or None,
                row.size,
                row.side,
                row.best_bid_price or None,
                row.best_bid_size,
                row.best_ask_price or None,
                row.best_ask_size,
            )
            for when, stamp, row in zip(times, stamps, rows, strict=True)
        ]

    def _spot_tickers(self) -> list[Ticker]:
        reply, rows, when = self._all_pairs("all spot tickers")
        return [
            Ticker(
                when,
                stamp,
                row.symbol,
                None,
                row.last or None,
                None,
                None,
                row.buy or None,
                row.best_bid_size,
                row.sell or None,
                row.best_ask_size,
            )
            for stamp, row in zip(self._reader.stamps(reply, len(rows)), rows, strict=True)
        ]

    def _all_pairs(self, what: str) -> tuple[CallReply, list[SpotTicker], int | None]:
        # Returns the reply, its rows, and the one time that they have.
        path = "/api/v1/market/allTickers"
        call = Call(Market.SPOT, path, what, is_read_by_field=True)
        reply = self._caller.fetch(call)
        data = self._reader.row(call, reply, SpotTickers, as_it_is)
        rows = self._reader.rows(call, bytes(data.ticker), SpotTicker, as_it_is)
        (when,) = instants_of(call, [data.time])
        return reply, rows, when

    def stats(
        self, symbol: str | None = None, *, market: Market | str | None = None
    ) -> list[Snapshot]:
        """Fetch the statistics of the last 24 hours, of one symbol or of a whole market.

        KuCoin sends no time with those of futures, so their ``timestamp`` is None.
        """
        market = market_of("", market) if symbol is None else market_of_symbol(symbol, market)
        fetch = self._contract_stats if market is Market.FUTURES else self._pair_stats
        return fetch(symbol)

    def _contract_stats(self, symbol: str | None) -> list[Snapshot]:
        path = "active" if symbol is None else path_part(symbol)
        what = f"the statistics of {symbol or 'all contracts'}"
        call = Call(
            Market.FUTURES,
            f"/api/v1/contracts/{path}",
            what,
            symbol=symbol,
            is_read_by_field=True,
        )
        reply = self._caller.fetch(call)
        if symbol:
            rows = [self._reader.row(call, reply, ContractStats, as_it_is)]
        else:
            rows = self._reader.rows(call, reply.data.reveal(), ContractStats, as_it_is)
        return [
            Snapshot(
                None,
                stamp,
                row.symbol,
                row.last_trade_price or None,
                row.high_price or None,
                row.low_price or None,
                row.volume,
                row.turnover,
                row.price_chg,
                row.price_chg_pct,
            )
            for stamp, row in zip(self._reader.stamps(reply, len(rows)), rows, strict=True)
        ]

    def _pair_stats(self, symbol: str | None) -> list[Snapshot]:
        path = "/api/v1/market/allTickers" if symbol is None else "/api/v1/market/stats"
        params: dict[str, str | int] = {} if symbol is None else {"symbol": symbol}
        what = f"the statistics of {symbol or 'all pairs'}"
        call = Call(Market.SPOT, path, what, params, symbol=symbol, is_read_by_field=True)
        reply = self._caller.fetch(call)
        if symbol:
            rows = [self._reader.row(call, reply, SpotTicker, as_it_is)]
            if _is_unknown(rows[0]):
                raise self._reader.nothing(call)
            (when,) = instants_of(call, [rows[0].time])
        else:
            data = self._reader.row(call, reply, SpotTickers, as_it_is)
            rows = self._reader.rows(call, bytes(data.ticker), SpotTicker, as_it_is)
            (when,) = instants_of(call, [data.time])
        return [
            Snapshot(
                when,
                stamp,
                row.symbol,
                row.last or None,
                row.high or None,
                row.low or None,
                row.vol,
                row.vol_value,
                row.change_price,
                row.change_rate,
            )
            for stamp, row in zip(self._reader.stamps(reply, len(rows)), rows, strict=True)
        ]

    def market_facts(self, market: Market | str = Market.FUTURES) -> list[MarketFacts]:
        """Fetch what the exchange lists of all symbols of a market, by one call.

        A malformed field is None and logged, a row without a symbol is left out and logged.
        """
        market = market_of("", market)
        if market is Market.SPOT:
            reply, pairs, _ = self._all_pairs("the statistics of all pairs")
            return facts_of_pairs(pairs, self._reader.stamps(reply, len(pairs)))
        call = Call(
            market,
            "/api/v1/contracts/active",
            "the figures of all contracts",
            most=MOST_OF_A_LIST,
            is_read_by_field=True,
        )
        reply = self._caller.fetch(call)
        rows = self._reader.rows(call, reply.data.reveal(), ContractFacts, as_it_is)
        settled = instants_of(call, [row.next_funding_rate_date_time for row in rows])
        return facts_of_contracts(rows, settled, self._reader.stamps(reply, len(rows)))

    def _get(self, call: Call, kind: type[T]) -> T:
        return cast("T", self._reader.decode(call, self._caller.fetch(call), kind))


def _is_unknown(row: SpotTicker) -> bool:
    # KuCoin answers so, with the code of success, if it does not list the pair.
    return {row.last, row.buy, row.sell, row.vol, row.taker_fee_rate} == {None}


def _is_address(url: str) -> bool:
    try:
        return urlsplit(url).port != 0  # raises for a port that is no number
    except ValueError:
        return False


def _book_call(market: Market, depth: int | None) -> tuple[str, int, bool]:
    # Returns the shallowest call that reaches the depth, the most levels per side that it returns,
    # and whether it is signed.
    if market is Market.FUTURES:
        if depth is None or depth > 100:
            return "/api/v1/level2/snapshot", 1000, False
        limit = 20 if depth <= 20 else 100
        return f"/api/v1/level2/depth{limit}", limit, False
    if depth is not None and depth > 100:
        return "/api/v3/market/orderbook/level2", sys.maxsize, True
    limit = 20 if depth is not None and depth <= 20 else 100
    return f"/api/v1/market/orderbook/level2_{limit}", limit, False


def _trade_time(row: TradeRow) -> int:
    value = row.ts if row.ts is not None else row.time
    if value is None:
        raise ValueError("a trade without a time")
    return to_ns(value)


def _trade_id(row: TradeRow) -> str | None:
    # Spot sends no trade id here; on its stream the trade id is the sequence.
    identity = row.trade_id if row.trade_id is not None else row.sequence
    return None if identity is None else str(identity)
