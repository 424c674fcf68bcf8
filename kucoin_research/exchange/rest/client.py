"""KuCoin's REST side: one class, one method per call.

Everything here is public and needs no key, but for the token of private channels. Replies are
decoded into typed values, so that nothing but finite numbers and 64-bit integers gets further. A
price, bid or ask of 0 means that there is none, so it becomes None; a size of 0 is one, and stays.

Source: KuCoin's classic futures and spot REST documentation (https://www.kucoin.com/docs-new, read
2026-11), and what was measured on the wire where the documents are silent.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar, cast
from urllib.parse import urlsplit

import msgspec

from kucoin_research.errors import (
    AuthenticationFailed,
    BadReply,
    ChannelNotOffered,
    CredentialsMissing,
    ExchangeError,
    InvalidInput,
    InvalidRequest,
    KucoinResearchError,
    NotFound,
    RateLimited,
    StreamStopped,
    UnknownChannel,
    Unreachable,
    UntrustedHost,
    shown,
)
from kucoin_research.exchange.credentials import Credentials
from kucoin_research.exchange.rest.calls import (
    MOST_OF_A_LIST,
    Call,
    CallFailure,
    CallReply,
    RequestSigner,
    market_of_symbol,
    path_part,
)
from kucoin_research.exchange.rest.envelope import (
    HEADERS,
    MOST_BY_ROW,
    parse_envelope,
    quota_report_of,
    read_milliseconds,
    read_retry_after,
)
from kucoin_research.exchange.rest.failures import (
    BLOCK,
    BY_STATUS,
    PASSING,
    SLOWER,
    describe_body,
    describe_offset,
    is_about_clock,
    meaning_of,
    network_failure,
    whole_seconds,
)
from kucoin_research.exchange.rest.instrument_rows import contract_of, optional_ns, pair_of
from kucoin_research.exchange.rest.loose_json import UNREADABLE, elements, members, read_fields
from kucoin_research.exchange.rest.paging import NS_PER_MS, Leaps, Span
from kucoin_research.exchange.rest.quotas import Pace, Pool, pace_of, quotas_of
from kucoin_research.exchange.rest.schemas import (
    BookData,
    ContractRow,
    ContractStats,
    FundingRow,
    FuturesCandle,
    FuturesTicker,
    Integer,
    PairRow,
    Point,
    Points,
    Simulation,
    SpotCandle,
    SpotTicker,
    SpotTickers,
    StatusData,
    TokenData,
    TradeRow,
)
from kucoin_research.exchange.rest.transport import (
    Reply,
    Session,
    Transport,
    TransportError,
)
from kucoin_research.exchange.signing import signed_headers
from kucoin_research.exchange.token import Server, Token
from kucoin_research.exchange.venues import (
    Venue,
    is_loopback,
    refuse_elsewhere,
    refuse_untrusted,
)
from kucoin_research.foundation import clocks
from kucoin_research.foundation.bounds import Bound
from kucoin_research.foundation.hidden import Hidden, bare, sealed
from kucoin_research.foundation.typed_json import decoder
from kucoin_research.model.arrival_clock import ArrivalClock
from kucoin_research.model.channels import CANDLE_INTERVALS, Market, market_of
from kucoin_research.model.instruments import Instrument, spelling_hint
from kucoin_research.model.orderbook import BookSnapshot
from kucoin_research.model.records import (
    Candle,
    FundingRate,
    Label,
    MarkPrice,
    Number,
    Snapshot,
    Ticker,
    Time,
    Trade,
)
from kucoin_research.model.units import refuse_future, to_ns

__all__ = ["ClockOffset", "ExchangeStatus", "PremiumIndex", "Rest"]

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

# -- what KuCoin sends -----------------------------------------------------------------------------


# -- what is given ---------------------------------------------------------------------------------


class ClockOffset(NamedTuple):
    """How far the exchange's clock is ahead of ours, in ns: within ``uncertainty_ns``."""

    offset_ns: int
    uncertainty_ns: int


class ExchangeStatus(NamedTuple):
    """Whether a market trades: ``open``, ``close`` or ``cancelonly``, and the exchange's words."""

    status: str
    message: str


class PremiumIndex(NamedTuple):
    """How far a contract trades above its index, as a fraction of it, at a minute."""

    timestamp: Time
    local_timestamp: Time
    symbol: Label
    premium_index: Number


#: Told the share done, 0 to 1, and the rows so far.
OnProgress: TypeAlias = Callable[[float, int], object]
#: Told for how many seconds a download waits, and why.
OnWait: TypeAlias = Callable[[float, KucoinResearchError], object]


# -- KuCoin's error codes --------------------------------------------------------------------------


# -- one call --------------------------------------------------------------------------------------

_TRIES = 3
_FIRST_BACKOFF = 0.5  # seconds; doubles with each try
# A window of the quota lasts 30 s, so a long download that used it up waits for the next one.
_ONE_WINDOW = 31.0
# A download that has begun to come goes on asking for a page for so long; the pauses double.
_LASTING = 120.0
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
# Cloudflare, before KuCoin, blocks an address after about 500 requests in 10 s. At most 400 of
# them may be ours, so that a few for tokens, or of another process, do no harm.
_BURST = 200
_PER_SECOND = 20.0


# -- candles ---------------------------------------------------------------------------------------

_NS_PER_S = 1_000_000_000
_MINUTES = {
    "1min": 1, "3min": 3, "5min": 5, "15min": 15, "30min": 30, "1hour": 60, "2hour": 120,
    "4hour": 240, "6hour": 360, "8hour": 480, "12hour": 720, "1day": 1440, "1week": 10080,
    "1month": 28 * 1440,  # the shortest: a page's span must never hold more than a page's rows
}  # fmt: skip
_NOT_OVER_REST = {Market.FUTURES: frozenset({"3min", "6hour", "1month"}), Market.SPOT: frozenset()}
# Of a pair these tell where its trading begins, or goes on: one page holds 28 years, or four.
_COARSE = ("1week", "1day", "1hour")
# How many rows are asked for at once: no more than a page is believed to hold, but fewer may come.
# Futures: the documents say 500, a probe of 2026-09 got 200.
_PAGE_ROWS = {Market.FUTURES: 200, Market.SPOT: 1500}
# Of the index and premium queries.
_QUERY_ROWS = 100
# Contracts settle their funding every 8, 4, 2 or 1 hours.
_FUNDING_STEP = 3_600 * _NS_PER_S
# More levels than any book has.
_ALL_LEVELS = 10**9
# KuCoin opened in September 2017: nothing lies before, so nothing is asked for.
_OPENED_NS = 1_504_224_000 * _NS_PER_S


class _Series(NamedTuple):
    """A published series of values: where to ask, its own symbol, and the ns between values."""

    path: str
    symbol: str
    step: int


class Rest:
    """Calls an exchange's REST side: what is public, and the token of private channels.

    Every call either returns checked values or raises: ``Unreachable``, ``BadReply``, or the
    ``ExchangeError`` that KuCoin's code stands for. What can pass by itself (rate limits, a busy
    exchange, a reset connection) is tried three times, for ``patience`` seconds at most.

    A reply is read in pieces, up to 16 MB of it, unpacked (64 MB of a list of instruments), and no
    request takes longer than ``total``, however slowly its reply drips in.

    **Threads**: any number may call at once; each has its own connection. ``close`` may be called
    from any thread and ends all waits and requests at once. What is known of the exchange's quota
    is shared by all of a process that ask the same host: what one was refused for a while, no other
    asks for meanwhile. On this machine, where a port goes from one server to another, those share
    it that ask a simulated exchange of the same process.

    Parameters
    ----------
    venue
        Where the exchange is.
    credentials
        For ``token(private=True)`` and spot books deeper than 100 levels, the two calls that send
        them. KuCoin takes a timestamp that is less than 5 s off; when it refuses ours, its clock is
        read, and the call signed again by it.
    timeout
        Seconds to connect (to look up the name, and then for each of its addresses), and to wait
        for each piece of the reply.
    total
        Seconds for one request, from looking up the name to the last byte of its reply.
    session
        A ``requests.Session`` to use for every call, from whatever thread, instead of our own; it
        stays open. Its connections are its own: there ``total`` is looked at between two pieces of
        the reply, and ``close`` ends nothing that waits. Our own takes proxies and certificates as
        `network` finds them, and keeps no cookies.
    patience
        Seconds that the waits before retries may add up to; more, and the error is raised at once.
    clock
        The time it lives in; the machine's own when left out.
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
        self._clock = clocks.current() if clock is None else clock
        self.venue = venue
        self._credentials = credentials
        self._clock_offsets: dict[Market, int] = {}  # ns, measured where a timestamp was refused
        self._total = total
        self._patience = patience
        self._closed = self._clock.event()
        self._transport = Transport(self._clock, timeout=timeout, session=session)
        self._over_at: float | None = None  # monotonic seconds
        urls = {market: venue.url(market) for market in Market}
        self._quotas = {
            market: quotas_of(self._clock, url, is_loopback=is_loopback(url))
            for market, url in urls.items()
        }
        self._pace = _pace_of(venue, self._clock)
        self._arrivals_lock = threading.Lock()  # guards _arrivals
        self._arrivals = ArrivalClock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Rest({self.venue!r})"

    def close(self) -> None:
        """End every wait and every request at once. Calls then raise ``StreamStopped``."""
        self._closed.set()
        self._transport.close()

    def disown(self) -> None:
        """Forget in a forked child what the parent has on its way; calls open their own then."""
        self._arrivals_lock = threading.Lock()  # may have been held when the process was forked
        self._transport.disown()

    def end_by(self, moment: float | None) -> None:
        """Let no call go on beyond a moment, those under way excepted; from any thread.

        Parameters
        ----------
        moment
            In the clock's monotonic seconds; None for none.
        """
        self._over_at = moment

    # -- for connections -----------------------------------------------------------------------

    def token(self, market: Market | str, *, private: bool = False) -> Token:
        """Take a token for one WebSocket connection; each connect wants a new one.

        Parameters
        ----------
        market
            The product it opens.
        private
            Whether it is to open private topics; it opens the public ones too.

        Raises
        ------
        CredentialsMissing
            For a private one, without credentials.
        UntrustedHost
            If the credentials, or the private token, would go elsewhere than to KuCoin or this
            machine; if the reply names a server that is neither KuCoin's, over TLS, nor the host
            that was asked.
        AuthenticationFailed
            Saying which part of the credentials is refused.
        """
        market = market_of("", market)
        call = Call(market, "/api/v1/bullet-public", f"a {market} stream token", method="POST")
        if private:
            call = call._replace(path="/api/v1/bullet-private", is_signed=True)
            call = call._replace(what=f"a private {market} stream token")
        data = self._get(call, TokenData)
        token = Hidden(self._checked(call, lambda: decoder(str).decode(data.token)))
        servers = tuple(
            Server(each.endpoint, each.ping_interval / 1000, each.ping_timeout / 1000)
            for each in data.instance_servers
        )
        if not token.reveal() or not servers:
            raise self._bad(call, "it holds no token, or no server to connect to")
        asked = self.venue.url(market)
        for server in servers:
            if not re.match("wss?://", server.endpoint) or not _is_address(server.endpoint):
                raise self._bad(call, "a server's address is not a WebSocket's")
            if private:
                refuse_untrusted(server.endpoint, "a private token")
            refuse_elsewhere(server.endpoint, asked)
        # No other machine's clock is virtual, whatever its reply says.
        simulation = (data.simulation if is_loopback(asked) else None) or Simulation()
        return Token(token.reveal(), servers, simulation.speed, simulation.lifetime)

    def server_time(self, market: Market | str = Market.FUTURES) -> int:
        """Read the exchange's clock, ns UTC; it counts whole milliseconds."""
        market = market_of("", market)
        call = Call(market, "/api/v1/timestamp", "its time")
        return self._time(call, self._fetch(call))

    def clock_offset(
        self,
        market: Market | str = Market.FUTURES,
        now_ns: Callable[[], int] | None = None,
    ) -> ClockOffset:
        """Measure the exchange's clock against ours, from one call.

        The exchange read its clock at some moment between our sending and receiving, so the
        uncertainty is half the round trip, plus half of its millisecond.

        Parameters
        ----------
        market
            Whose clock.
        now_ns
            Our clock, ns UTC; the machine's wall clock when left out.
        """
        market = market_of("", market)
        call = Call(market, "/api/v1/timestamp", "its time")
        reply = self._fetch(call)
        theirs = self._time(call, reply) + NS_PER_MS // 2
        half_ns = (reply.received_at_ns - reply.sent_at_ns) // 2
        # Reckoned on the steady clock: ours may have been set meanwhile.
        since_ns = self._clock.monotonic_ns() - reply.sent_at_ns - half_ns
        ours = (self._clock.wall_ns if now_ns is None else now_ns)() - since_ns
        return ClockOffset(theirs - ours, half_ns + NS_PER_MS // 2)

    def status(self, market: Market | str = Market.FUTURES) -> ExchangeStatus:
        """Ask whether a market is open; nothing else tells of maintenance."""
        market = market_of("", market)
        data = self._get(Call(market, "/api/v1/status", "its status"), StatusData)
        return ExchangeStatus(data.status, data.msg or "")

    # -- instruments ---------------------------------------------------------------------------

    def contracts(self) -> list[Instrument]:
        """List the futures contracts, in the exchange's order.

        A field that makes no sense is None and logged. A row is logged and left out if that field
        says what its sizes mean or in what it is paid, or is needed otherwise.

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
            If there is none of that name.
        BadReply
            If what its sizes mean, or another field that is needed, makes no sense.
        """
        path = f"/api/v1/contracts/{path_part(symbol)}"
        return self._instrument(symbol, Market.FUTURES, path, ContractRow, contract_of)

    def spot_symbols(self) -> list[Instrument]:
        """List the spot pairs, in the exchange's order.

        A field that makes no sense is None and logged; a row is left out if it is needed.

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
            If there is none of that name.
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
        return self._row(call, self._fetch(call), kind, parse)

    def _instruments(
        self, call: Call, kind: type[T], parse: Callable[[T, Collection[str]], Instrument]
    ) -> list[Instrument]:
        return self._rows(call, self._fetch(call).data.reveal(), kind, parse)

    # -- books and trades ----------------------------------------------------------------------

    def level2_snapshot(self, symbol: str, market: Market | str | None = None) -> BookSnapshot:
        """Fetch the deepest order book that can be had.

        Futures give up to 1000 levels per side. Spot gives 100, and all of them where there are
        credentials that it accepts.
        """
        if self._credentials is not None and market_of_symbol(symbol, market) is Market.SPOT:
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
            Levels per side; None for as many as there are without a key. More than 100 on spot
            fetches the whole book, for which KuCoin wants a key.
        market
            Told by the hyphen when None.

        Raises
        ------
        InvalidInput
            If depth is below 1.
        CredentialsMissing
            If depth is above 100 on spot and there are no credentials.
        UntrustedHost, AuthenticationFailed
            As for ``token``, for a book that wants a key.
        """
        market = market_of_symbol(symbol, market)
        if depth is not None and (isinstance(depth, bool) or depth < 1):
            raise InvalidInput(
                f"depth must be a whole number of levels above 0, not {shown(depth)}"
            )
        path, limit, is_signed = _book_call(market, depth)
        what = f"the order book of {symbol}"
        if is_signed and self._credentials is None:
            raise CredentialsMissing(
                f"spot shows 100 levels per side without a key, so depth={depth} of {symbol} needs "
                "credentials=kr.Credentials.from_env()"
            )
        call = Call(market, path, what, {"symbol": symbol}, symbol=symbol, is_signed=is_signed)
        book = self._get(call, BookData)
        sides = (book.bids or [], book.asks or [])
        bids, asks = ([level for level in side if level[0] and level[1]] for side in sides)
        deepest = max(len(bids), len(asks))
        is_cut = max(map(len, sides)) >= limit  # what came counts, level or not
        timestamp = book.ts if book.ts is not None else book.time
        return BookSnapshot(
            symbol,
            book.sequence,
            None if timestamp is None else self._checked(call, lambda: to_ns(timestamp)),
            bids[:depth],
            asks[:depth],
            not is_cut and (depth is None or deepest <= depth),
        )

    def trades(self, symbol: str, *, market: Market | str | None = None) -> list[Trade]:
        """Fetch the last hundred trades, oldest first.

        Returns
        -------
        list[Trade]
            Each sequence once; sizes in contracts on futures, base coins on spot.
        """
        market = market_of_symbol(symbol, market)
        path = "/api/v1/trade/history" if market is Market.FUTURES else "/api/v1/market/histories"
        call = Call(market, path, f"the trades of {symbol}", {"symbol": symbol}, symbol=symbol)
        reply = self._fetch(call)
        rows = self._decode(call, reply, list[TradeRow])
        times = self._checked(call, lambda: [_trade_time(row) for row in rows])
        # Markets list them in opposite orders. Times alone would not do: a sweep's are equal.
        listed = sorted(zip(times, rows, strict=True), key=lambda each: each[1].sequence or each[0])
        unique = {row.sequence or (when, row.trade_id): (when, row) for when, row in listed}
        stamps = self._stamps(reply, len(unique))
        return [
            Trade(
                when, stamp, symbol, row.sequence, _trade_id(row), row.side, row.price or None,
                row.size,
            )
            for stamp, (when, row) in zip(stamps, unique.values(), strict=True)
        ]  # fmt: skip

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
            Bounds of the open time, ns UTC, both included. Without ``end`` until now; without
            ``start`` one page before the end.
        market
            Told by the hyphen when None.
        on_progress
            Called after each page with the share done and the rows so far.
        on_wait
            Called before each wait for a page that could not be had, with seconds and error.

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
            If a page could not be had: the first one at once, a later one after two minutes. The
            error's ``rows`` are those before it then.
        """
        market = market_of_symbol(symbol, market)
        step = step_ns(interval, market)
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
        """Find the next candle of a pair across a long gap, or its first one of all.

        A week with trades in it has a candle of that week, however short the candles that are
        asked for: so the first long one leads to the first short one.

        Returns
        -------
        tuple
            Where to go on, and how many calls it took.
        """
        step, begin, end = step_ns(interval, Market.SPOT), low, high
        calls = 0
        for coarse in _COARSE:
            length = step_ns(coarse, Market.SPOT)
            if length <= step:
                break
            if end - begin > (_PAGE_ROWS[Market.SPOT] - 2) * length:
                continue
            # From before the begin on: a candle that holds it has opened earlier.
            page = self.candles_page(symbol, coarse, begin - length, end, market=Market.SPOT)
            calls += 1
            opened = [when for when in _by_time(page) if when + length > begin]
            if opened:
                begin, end = max(begin, min(opened)), min(end, min(opened) + length)
            elif end == high:
                # None at all: believed if the newest candles before the end say so, too.
                last = self.candles_page(symbol, interval, None, high, market=Market.SPOT)
                is_over = not any(when >= low for when in _by_time(last))
                return (high + 1 if is_over else low), calls + 1
            else:
                break  # they disagree: it goes on page by page
        return begin, calls

    def _next_candle(self, symbol: str, interval: str, low: int, high: int) -> int:
        # Given no end, futures begin with the first candle there is: across a long gap. That there
        # is none is believed if the candles before the end, the other open question, say so too.
        later = _by_time(self.candles_page(symbol, interval, low, None, market=Market.FUTURES))
        if later:
            return min(later)
        newest = _by_time(self.candles_page(symbol, interval, None, high, market=Market.FUTURES))
        return low if newest and max(newest) >= low else high + 1

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
        """Ask for a span part by part, until what came, or that nothing came, tells all of it.

        How many rows a page holds, and from which end of what was asked for, is not relied upon: a
        part is asked for again before the first row that came, and after the last one. Each answer
        makes what is left shorter, so this ends.

        Parameters
        ----------
        span
            The whole of it.
        ask
            Gives rows between two times, both included, by their time; some of them at least.
        make
            Makes what is given of a time and its row.
        leap
            Tells where to go on, after a part without rows.
        on_progress
            Called after each page with the share done and the rows so far.
        on_wait
            Called before each wait with its seconds and the error.

        Raises
        ------
        KucoinResearchError
            If a page could not be had. Where others came before, its ``rows`` are what is whole,
            from the begin on, and it tells how to go on.
        """
        found: dict[int, T] = {}
        left = [(span.first, span.last)] if span.first <= span.last else []
        try:
            self._walk_on(span, left, found, ask, leap, on_progress, on_wait)
        except KucoinResearchError as error:
            if found:
                whole_to = min(begin for begin, _ in left)
                error.rows = [make(when, found[when]) for when in sorted(found) if when < whole_to]
                upto = datetime.fromtimestamp(whole_to // _NS_PER_S, UTC).isoformat()
                told = f"{len(error.rows):,} rows before {upto} had come; go on with start='{upto}'"
                error.args = (f"{error}; {told}", *error.args[1:])
            raise
        return [make(when, found[when]) for when in sorted(found)]

    def _walk_on(
        self,
        span: Span,
        left: list[tuple[int, int]],
        found: dict[int, T],
        ask: Callable[[int, int], dict[int, T]],
        leap: Callable[[int, int], int] | None,
        on_progress: OnProgress | None,
        on_wait: OnWait | None,
    ) -> None:
        """Go through what is left, which says at any time what is missing."""
        whole = max(1, span.last - span.first)
        lasting, jump = 0.0, leap or (lambda low, _: low)
        while left:
            low, high = left[-1]
            until = min(low + span.reach, high)
            page = self._insist(partial(ask, low, until), lasting, on_wait)
            lasting = _LASTING
            found.update(page)
            if page:
                rests = [(max(page) + span.step, high), (low, min(page) - span.step)]
            elif until < high:
                # From that instant again, as a page's last one may have been left out.
                rests = [(self._insist(partial(jump, until, high), lasting, on_wait), high)]
            else:
                rests = []
            left[-1:] = [(begin, end) for begin, end in rests if begin <= end]
            if on_progress is not None:
                undone = sum(end - begin for begin, end in left)
                on_progress(1.0 - undone / whole if left else 1.0, len(found))

    def _insist(self, ask: Callable[[], R], lasting: float, on_wait: OnWait | None) -> R:
        """Ask until there is an answer, for so many seconds."""
        deadline, pause = self._clock.monotonic() + lasting, _FIRST_PAUSE
        while True:
            try:
                return ask()
            except KucoinResearchError as error:
                wait = max(pause, error.retry_after) if isinstance(error, RateLimited) else pause
                if not error.may_pass or self._clock.monotonic() + wait > deadline:
                    raise
                log.info("a download waits %.1f s: %s", wait, error)
                if on_wait is not None:
                    on_wait(wait, error)
            self._pause(wait)
            pause = min(2.0 * pause, _LONGEST_PAUSE)

    def candles_page(
        self,
        symbol: str,
        interval: str,
        start: int | None = None,
        end: int | None = None,
        *,
        market: Market | str | None = None,
    ) -> list[Candle]:
        """Fetch one page of candles: at most 200 on futures, 1500 on spot; else as ``candles``.

        Raises
        ------
        BadReply
            If candles come, but none of the time that both bounds ask for.
        """
        market = market_of_symbol(symbol, market)
        step = step_ns(interval, market)
        convert = _futures_candles if market is Market.FUTURES else _spot_candles
        path, params = convert(symbol, interval, start, end)
        call = Call(market, path, f"{interval} candles of {symbol}", params, symbol=symbol)
        reply = self._fetch(call, patience=_ONE_WINDOW)
        row_type = FuturesCandle if market is Market.FUTURES else SpotCandle
        rows: list[FuturesCandle | SpotCandle] = self._decode(call, reply, list[row_type])  # type: ignore[valid-type]
        by_time = self._checked(call, lambda: {to_ns(row.start): row for row in rows})
        if start is not None and end is not None:
            self._refuse_elsewhere(call, by_time, start, end, step)
        kept = [
            (when, by_time[when])
            for when in sorted(by_time)
            if (start is None or when >= start) and (end is None or when <= end)
        ]
        # Of a premium's or an interest's candles, 0 is a value like any other.
        nothing = 0.0 if symbol.startswith(".") else None
        return [
            Candle(
                when, stamp, symbol, interval, row.open or nothing, row.high or nothing,
                row.low or nothing, row.close or nothing, row.volume, row.turnover,
            )
            for stamp, (when, row) in zip(self._stamps(reply, len(kept)), kept, strict=True)
        ]  # fmt: skip

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
            As for ``candles``, and so are the errors of a page that could not be had.

        Returns
        -------
        list[FundingRate]
            Ascending; settlements carry no granularity.

        Raises
        ------
        ChannelNotOffered
            For a spot symbol.
        """
        if market_of_symbol(symbol, None) is Market.SPOT:
            raise ChannelNotOffered(f"{symbol} is a spot pair; only perpetual futures have funding")
        span = Span.of(max(start, _OPENED_NS), end, _FUNDING_STEP)

        def ask(low: int, high: int) -> dict[int, FundingRate]:
            return self._funding_page(symbol, low, high)

        return self._walk(
            span, ask, lambda _, rate: rate, on_progress=on_progress, on_wait=on_wait
        )  # fmt: skip

    def _funding_page(self, symbol: str, first: int, last: int) -> dict[int, FundingRate]:
        path = "/api/v1/contract/funding-rates"
        params: dict[str, str | int] = {
            "symbol": symbol, "from": first // NS_PER_MS, "to": last // NS_PER_MS,
        }  # fmt: skip
        call = Call(Market.FUTURES, path, f"funding rates of {symbol}", params, symbol=symbol)
        reply = self._fetch(call, patience=_ONE_WINDOW)
        rows = self._decode(call, reply, list[FundingRow] | None) or []
        times = self._checked(call, lambda: [to_ns(row.timepoint) for row in rows])
        self._refuse_elsewhere(call, times, first, last, _FUNDING_STEP)
        return {
            when: FundingRate(when, stamp, symbol, row.funding_rate, None)
            for when, stamp, row in zip(times, self._stamps(reply, len(rows)), rows, strict=True)
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
        """Fetch a futures index, second by second.

        Parameters
        ----------
        index
            Its own symbol, such as ``.KXBTUSDT``.
        start, end
            Bounds, ns UTC, both included. Without ``end`` until now; without ``start`` a hundred
            seconds.
        symbol
            What to call it in the rows; the index itself unless given.
        on_progress, on_wait
            As for ``candles``, and so are the errors of a page that could not be had.

        Returns
        -------
        list[MarkPrice]
            Ascending, without mark prices; nothing where there is no such index.
        """
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
        """Fetch a perpetual contract's premium over its index, minute by minute.

        All is as for ``index_prices``; without ``start`` a hundred minutes.
        """
        series = _Series("/api/v1/premium/query", f".{symbol}PI", 60 * _NS_PER_S)

        def make(when: int, point: tuple[int, float]) -> PremiumIndex:
            return PremiumIndex(when, point[0], symbol, point[1])

        return self._points(series, start, end, make, on_progress, on_wait)

    def mark_price(self, symbol: str) -> MarkPrice:
        """Fetch a futures contract's mark and index price of this second."""
        path = f"/api/v1/mark-price/{path_part(symbol)}/current"
        call = Call(Market.FUTURES, path, f"the mark price of {symbol}", symbol=symbol)
        reply = self._fetch(call)
        row: Point = self._decode(call, reply, Point)
        when = self._checked(call, lambda: to_ns(row.time_point))
        stamp = self._stamps(reply, 1)[0]
        return MarkPrice(when, stamp, symbol, row.value or None, row.index_price or None)

    def tickers(self, market: Market | str = Market.FUTURES) -> list[Ticker]:
        """Fetch the best bid and ask and the last trade of every symbol of a market.

        Spot has neither sequence, last size nor side here, and one time for all.
        """
        market = market_of("", market)
        if market is Market.SPOT:
            return self._spot_tickers()
        call = Call(market, "/api/v1/allTickers", "all futures tickers", is_read_by_field=True)
        reply = self._fetch(call)
        rows = self._rows(call, reply.data.reveal(), FuturesTicker, _as_it_is)
        times = _instants(call, [row.ts for row in rows])
        return [
            Ticker(
                when, stamp, row.symbol, row.sequence, row.price or None, row.size,
                row.side, row.best_bid_price or None, row.best_bid_size,
                row.best_ask_price or None, row.best_ask_size,
            )
            for when, stamp, row in zip(times, self._stamps(reply, len(rows)), rows, strict=True)
        ]  # fmt: skip

    def _spot_tickers(self) -> list[Ticker]:
        call = Call(
            Market.SPOT, "/api/v1/market/allTickers", "all spot tickers", is_read_by_field=True
        )
        reply = self._fetch(call)
        data = self._row(call, reply, SpotTickers, _as_it_is)
        rows = self._rows(call, bytes(data.ticker), SpotTicker, _as_it_is)
        (when,) = _instants(call, [data.time])
        return [
            Ticker(
                when, stamp, row.symbol, None, row.last or None, None, None,
                row.buy or None, row.best_bid_size, row.sell or None, row.best_ask_size,
            )
            for stamp, row in zip(self._stamps(reply, len(rows)), rows, strict=True)
        ]  # fmt: skip

    def stats(
        self, symbol: str | None = None, *, market: Market | str | None = None
    ) -> list[Snapshot]:
        """Fetch the statistics of the last 24 hours, of one symbol or of a whole market.

        Futures do not date them, so ``timestamp`` is None there.
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
        reply = self._fetch(call)
        if symbol:
            rows = [self._row(call, reply, ContractStats, _as_it_is)]
        else:
            rows = self._rows(call, reply.data.reveal(), ContractStats, _as_it_is)
        return [
            Snapshot(
                None, stamp, row.symbol, row.last_trade_price or None, row.high_price or None,
                row.low_price or None, row.volume, row.turnover, row.price_chg, row.price_chg_pct,
            )
            for stamp, row in zip(self._stamps(reply, len(rows)), rows, strict=True)
        ]  # fmt: skip

    def _pair_stats(self, symbol: str | None) -> list[Snapshot]:
        path = "/api/v1/market/allTickers" if symbol is None else "/api/v1/market/stats"
        params: dict[str, str | int] = {} if symbol is None else {"symbol": symbol}
        what = f"the statistics of {symbol or 'all pairs'}"
        call = Call(Market.SPOT, path, what, params, symbol=symbol, is_read_by_field=True)
        reply = self._fetch(call)
        if symbol:
            rows = [self._row(call, reply, SpotTicker, _as_it_is)]
            (when,) = _instants(call, [rows[0].time])
        else:
            data = self._row(call, reply, SpotTickers, _as_it_is)
            rows = self._rows(call, bytes(data.ticker), SpotTicker, _as_it_is)
            (when,) = _instants(call, [data.time])
        return [
            Snapshot(
                when, stamp, row.symbol, row.last or None, row.high or None, row.low or None,
                row.vol, row.vol_value, row.change_price, row.change_rate,
            )
            for stamp, row in zip(self._stamps(reply, len(rows)), rows, strict=True)
        ]  # fmt: skip

    def _last_instant(self, start: int | None, end: int | None, market: Market) -> int:
        # A download may begin when the last one has just used up the quota.
        call = Call(market, "/api/v1/timestamp", "its time")
        now = self._time(call, self._fetch(call, patience=_ONE_WINDOW))
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
        # Arrival and value by time. Each call asks for no more points than a page holds.
        end = self._last_instant(start, end, Market.FUTURES)
        page = _QUERY_ROWS * series.step - NS_PER_MS
        start = end - page if start is None else max(start, _OPENED_NS)

        def ask(low: int, high: int) -> dict[int, tuple[int, float]]:
            return self._points_page(series, low, high)

        return self._walk(
            Span.of(start, end, series.step, page), ask, make,
            on_progress=on_progress, on_wait=on_wait,
        )  # fmt: skip

    def _points_page(self, series: _Series, low: int, high: int) -> dict[int, tuple[int, float]]:
        params: dict[str, str | int] = {
            "symbol": series.symbol, "startAt": low // NS_PER_MS, "endAt": high // NS_PER_MS,
            "maxCount": _QUERY_ROWS,
        }  # fmt: skip
        call = Call(Market.FUTURES, series.path, f"the history of {series.symbol}", params)
        reply = self._fetch(call, patience=_ONE_WINDOW)
        data: Points = self._decode(call, reply, Points)
        rows = sorted(data.data_list, key=lambda row: row.time_point)
        times = self._checked(call, lambda: [to_ns(row.time_point) for row in rows])
        self._refuse_elsewhere(call, times, low, high, series.step)
        stamped = zip(times, self._stamps(reply, len(rows)), rows, strict=True)
        return {when: (stamp, row.value) for when, stamp, row in stamped if low <= when <= high}

    def _refuse_elsewhere(
        self, call: Call, times: Collection[int], low: int, high: int, step: int
    ) -> None:
        # A server that goes on giving the same rows must not pass for one that has no more. Less
        # than a step beside what was asked for is another reading of the bounds.
        if times and not any(low - step < when < high + step for when in times):
            raise self._bad(call, "none of its rows is of the time that was asked for")

    # -- one call ------------------------------------------------------------------------------

    def _get(self, call: Call, kind: type[T]) -> T:
        return cast("T", self._decode(call, self._fetch(call), kind))

    def _row(
        self, call: Call, reply: CallReply, kind: type[T], parse: Callable[[T, Collection[str]], R]
    ) -> R:
        """Read one object; an odd field that is not needed is null, and told."""
        self._refuse_nothing(call, reply, kind)
        raw = reply.data.reveal()
        facts, odd = self._checked(call, lambda: read_fields(raw, kind))
        made = self._checked(call, lambda: parse(facts, odd))
        _tell_odd(call, [_without(call, call.symbol or "it", odd)] if odd else [])
        return made

    def _rows(
        self, call: Call, raw: bytes, kind: type[T], parse: Callable[[T, Collection[str]], R]
    ) -> list[R]:
        """Read a list, row by row where one makes no sense; what is left out is told."""
        try:
            rows = decoder(list[kind], strict=False).decode(raw)  # type: ignore[valid-type]
            return [parse(row, ()) for row in rows]
        except UNREADABLE as error:
            if len(raw) > MOST_BY_ROW:
                raise self._bad(call, str(error)[:200]) from error
        found: list[R] = []
        told: list[str] = []
        for row in self._checked(call, lambda: elements(raw)):
            try:
                facts, odd = read_fields(row, kind)
                found.append(parse(facts, odd))
            except UNREADABLE as error:
                told.append(f"left out of {call.what}: {_name_of(row)}, as {str(error)[:200]}")
                continue
            if odd:
                told.append(_without(call, _name_of(row), odd))
        if told and not found:
            raise self._bad(call, f"none of its {len(told)} rows makes sense; {told[0]}")
        _tell_odd(call, told)
        return found

    def _refuse_nothing(self, call: Call, reply: CallReply, kind: Any) -> None:
        if (
            reply.data.reveal() == b"null"
            and call.symbol is not None
            and type(None) not in _options(kind)
        ):
            # So spot answers, with a code of success, when it does not know a symbol.
            raise self._refused(call, "", "nothing", 200)

    def _decode(self, call: Call, reply: CallReply, kind: Any) -> Any:
        self._refuse_nothing(call, reply, kind)
        return self._checked(call, lambda: decoder(kind, strict=False).decode(reply.data.reveal()))

    def _checked(self, call: Call, read: Callable[[], T]) -> T:
        try:
            return read()
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            if not call.holds_secrets:
                raise self._bad(call, str(error)[:200]) from error
            why = str(error)[:200]
        raise self._bad(call, why)

    def _bad(self, call: Call, why: str) -> BadReply:
        host = self._host(call.market)
        return BadReply(f"the reply of {host} to {call.what} is not as documented: {why}")

    def _time(self, call: Call, reply: CallReply) -> int:
        return self._checked(call, lambda: to_ns(self._decode(call, reply, Integer)))

    def _stamps(self, reply: CallReply, count: int) -> range:
        with self._arrivals_lock:
            first = self._arrivals.begin(reply.received_ns)
            self._arrivals.end(first + count)
        return range(first, first + count)

    def _host(self, market: Market) -> str:
        return urlsplit(self.venue.url(market)).netloc

    def _pool(self, call: Call) -> Pool:
        """Tell whose quota a call takes from: that of this address, or of the account."""
        key = None
        if call.is_signed and self._credentials is not None:
            key = hash(self._credentials.key)  # Python salts it: it leads back to no key
        return Pool(call.market, key)

    def _fetch(self, call: Call, *, patience: float = 0.0) -> CallReply:
        deadline = self._clock.monotonic() + max(patience, self._patience)
        if self._over_at is not None:
            deadline = min(deadline, self._over_at)
        attempt = 0
        has_set_clock = False
        while True:
            self._await_turn(call, deadline)
            try:
                outcome = self._attempt(call)
            finally:
                self._quotas[call.market].over(self._pool(call), call.weight)
            if isinstance(outcome, CallReply):
                return outcome
            if call.is_signed and is_about_clock(outcome):
                if not has_set_clock:
                    has_set_clock = True
                    self._set_clock(call.market)
                    continue
                self._clock_offsets.pop(call.market, None)  # it did not help: it may be wrong
            attempt += 1
            delay = self._delay(call, outcome, attempt)
            if outcome.may_pass or isinstance(outcome.error, Unreachable):
                outcome.error.may_pass = True
            if not outcome.may_pass or attempt == _TRIES:
                raise outcome.error from outcome.cause
            if self._clock.monotonic() + delay > deadline:
                raise outcome.error from outcome.cause
            log.info("asks again in %.1f s: %s", delay, outcome.error)
            self._pause(delay)

    def _delay(self, call: Call, failure: CallFailure, attempt: int) -> float:
        """Give the seconds until the next try; others wait as well where they would be refused."""
        delay = failure.wait
        if delay is None and failure.may_pass and attempt < _TRIES:
            delay = _FIRST_BACKOFF * 2 ** (attempt - 1) * (0.5 + self._clock.random.random())
        elif delay is None:  # there is no next try; others wait as long as the caller is told to
            delay = failure.error.retry_after if isinstance(failure.error, RateLimited) else 0.0
        if failure.refuses:
            pool = self._pool(call) if failure.refuses == "pool" else None
            self._quotas[call.market].refuse(pool, delay)
        return delay

    def _set_clock(self, market: Market) -> None:
        # The offset is zero until then, and stays so when it cannot be measured.
        try:
            offset = self.clock_offset(market).offset_ns
        except KucoinResearchError as error:
            log.info("the exchange's clock could not be read: %s", error)
            return
        self._clock_offsets[market] = offset
        log.warning("%s; calls are signed by the exchange's", describe_offset(offset))

    def _attempt(self, call: Call) -> CallReply | CallFailure:
        """Try once; what fails leaves without the frames that hold a signature or a token."""
        if not call.holds_secrets:
            return self._try(call)
        call = call._replace(proof=self._proof(call) if call.is_signed else None)
        return sealed(lambda: _without_frames(self._try(call), call.mask), call.mask)

    def _proof(self, call: Call) -> RequestSigner:
        credentials = self._credentials
        if credentials is None:
            raise CredentialsMissing(
                f"{call.what} needs credentials; pass credentials=kr.Credentials.from_env()"
            )
        refuse_untrusted(self.venue.url(call.market), "an API key")
        now_ns = self._clock.wall_ns() + self._clock_offsets.get(call.market, 0)
        return RequestSigner(
            credentials,
            lambda: signed_headers(
                credentials,
                method=call.method,
                path=call.target,
                timestamp_ms=now_ns // NS_PER_MS,
            ),
        )

    def _await_turn(self, call: Call, deadline: float) -> None:
        """Wait until a call may be sent; its weight is taken from the quota then."""
        if self._pace is not None:
            self._await(self._pace.take, call, deadline)
        take = partial(self._quotas[call.market].take, self._pool(call), call.weight)
        self._await(partial(take, is_urgent=call.is_urgent), call, deadline)

    def _await(self, take: Callable[[], float], call: Call, deadline: float) -> None:
        while wait := take():
            if self._clock.monotonic() + wait > deadline:
                refused = RateLimited(
                    f"{self._host(call.market)} takes no more requests for "
                    f"{whole_seconds(wait)} s, so {call.what} was not asked for; "
                    "try again then, and ask less often",
                    retry_after=wait,
                )
                refused.may_pass = True
                raise refused
            self._pause(wait)

    def _pause(self, seconds: float) -> None:
        if self._closed.wait(seconds):
            raise self._stopped()

    def _stopped(self) -> StreamStopped:
        return StreamStopped(f"the REST side of {self.venue.name!r} was closed; open a new one")

    def _try(self, call: Call) -> CallReply | CallFailure:
        if self._closed.is_set():
            raise self._stopped()
        url = self.venue.url(call.market)
        sent, sent_at_ns = self._clock.monotonic(), self._clock.monotonic_ns()
        try:
            reply = self._transport.send(
                call.method,
                url + call.target,
                headers=HEADERS,
                auth=call.proof,
                bound=Bound(self._clock, self._total, until=self._over_at),
                most=call.most,
                is_loopback=is_loopback(url),
            )
        except TransportError as error:
            if self._closed.is_set():
                raise self._stopped() from error
            return network_failure(call, url, error)
        received_at_ns, received_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        told = quota_report_of(reply.headers, sent, self._clock.monotonic())
        self._quotas[call.market].learn(self._pool(call), call.weight, told)
        envelope = parse_envelope(reply.body, is_read_by_field=call.is_read_by_field)
        if envelope is not None and envelope[0] == "200000":
            return CallReply(Hidden(envelope[2]), sent_at_ns, received_at_ns, received_ns)
        return self._failure(call, reply, envelope)

    def _failure(
        self, call: Call, reply: Reply, envelope: tuple[str, str, bytes] | None
    ) -> CallFailure:
        status = reply.status
        # KuCoin sends none of these; a proxy or Cloudflare may.
        later = read_retry_after(reply.headers.get("Retry-After"), self._clock.wall_ns())
        reset = read_milliseconds(reply.headers.get("gw-ratelimit-reset"))
        reset = later if reset is None else reset
        if envelope is not None:
            return self._refusal(call, envelope, status, reset)
        # Cloudflare's block (error 1015) is a page, not JSON.
        is_block = status in (403, 429) and BLOCK.search(reply.body[:16_384])
        if status == 429 or is_block:
            code = "1015" if is_block else "429"
            failure = self._refusal(call, (code, "", b""), status, reset)
            return failure._replace(refuses="host")
        text = describe_body(status, reply.body, call.mask)
        if status == 503 and later is not None:
            error = self._unreadable(call, text, f" in {whole_seconds(later)} s")
            return CallFailure(error, may_pass=True, wait=later, refuses="host")
        return CallFailure(self._unreadable(call, text), may_pass=status >= 500)

    def _refusal(
        self, call: Call, envelope: tuple[str, str, bytes], status: int, reset: float | None
    ) -> CallFailure:
        code, message, _ = envelope
        error = self._refused(call, code, message, status, wait=reset)
        if not isinstance(error, RateLimited):
            return CallFailure(error, may_pass=code in PASSING or status >= 500)
        wait = reset
        if wait is None and code not in PASSING and code != "429":
            wait = error.retry_after
        return CallFailure(error, may_pass=True, wait=wait, refuses="pool")

    def _unreadable(self, call: Call, text: str, when: str = "") -> BadReply:
        error = BadReply(
            f"{self._host(call.market)} answered {call.what} with {text} instead of KuCoin's JSON; "
            f"try again{when}, and if it stays look for a proxy, a login portal or maintenance"
        )
        error.may_pass = True
        return error

    def _refused(
        self, call: Call, code: str, message: str, status: int, *, wait: float | None = None
    ) -> ExchangeError:
        # Without a code it is the success that holds nothing.
        if self._credentials is not None:
            message = self._credentials.mask(message)
        # Cut last: half a secret would not be found.
        code, message = call.mask(code)[:40], call.mask(message)[:200]
        meaning = meaning_of(code, call.market, status) if code else BY_STATUS[404]
        said = f" ({message!r})" if message and code else ""
        answer = f"code {code}{said}" if code else message
        clock = describe_offset(self._clock_offsets.get(call.market))
        fix = meaning.fix.format(market=call.market, clock=f"{clock}; set it by a time server")
        if wait is not None and issubclass(meaning.error, RateLimited):
            fix = f"wait {whole_seconds(wait)} s and {SLOWER}"
        hint = spelling_hint(call.symbol, call.market) if call.symbol is not None else ""
        if hint and issubclass(meaning.error, NotFound | InvalidRequest):
            fix = f"{hint}, or {fix}"
        text = f"{self._host(call.market)} answered {call.what} with {answer}; {fix}"
        if issubclass(meaning.error, RateLimited):
            retry_after = (meaning.retry_after or 1.0) if wait is None else wait
            return meaning.error(text, code=code, http_status=status, retry_after=retry_after)
        if issubclass(meaning.error, AuthenticationFailed):
            return meaning.error(text, code=code, http_status=status, what=meaning.what)
        return meaning.error(text, code=code, http_status=status)


_MOST_TOLD = 20  # rows of a reply, a line each


def _tell_odd(call: Call, told: list[str]) -> None:
    for text in told[:_MOST_TOLD]:
        log.warning("%s", text)
    if len(told) > _MOST_TOLD:
        log.warning("in %s, %d more rows are odd", call.what, len(told) - _MOST_TOLD)


def _without(call: Call, name: str, odd: list[str]) -> str:
    return f"{name} in {call.what} is without its {', '.join(odd)}, which makes no sense"


def _name_of(row: bytes) -> str:
    try:
        return str(decoder(str).decode(members(row)["symbol"]))[:40]
    except (*UNREADABLE, KeyError):
        return "a row without a symbol"


def _without_frames(
    outcome: CallReply | CallFailure, mask: Callable[[str], str]
) -> CallReply | CallFailure:
    if isinstance(outcome, CallReply):
        return outcome
    return outcome._replace(error=bare(outcome.error, mask), cause=None)


def _pace_of(venue: Venue, clock: clocks.Clock) -> Pace | None:
    """Give the pace that all who ask a venue share; no Cloudflare is before this machine's."""
    if venue.is_loopback:
        return None
    return pace_of(clock, venue.futures_url, _BURST, _PER_SECOND)


def _as_it_is(row: T, _: Collection[str]) -> T:
    return row


def _options(kind: Any) -> tuple[Any, ...]:
    return getattr(kind, "__args__", ())


def _is_address(url: str) -> bool:
    try:
        return urlsplit(url).port != 0  # a port that is no number shows only when asked for
    except ValueError:
        return False


def _instants(call: Call, values: list[int | None]) -> list[int | None]:
    """Read the times of rows; those that are none are told."""
    times = [optional_ns(value) for value in values]
    lost = sum(value is not None for value in values) - sum(when is not None for when in times)
    if lost:
        log.warning("%d times in %s make no sense, and are left out", lost, call.what)
    return times


def _book_call(market: Market, depth: int | None) -> tuple[str, int, bool]:
    # The shallowest call that reaches the depth, how many levels a side it gives at most, and
    # whether it is signed.
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
    # Spot sends none here; on the stream its trade id is the sequence.
    identity = row.trade_id if row.trade_id is not None else row.sequence
    return None if identity is None else str(identity)


def step_ns(interval: str, market: Market) -> int:
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
        params["from"] = -(-start // NS_PER_MS)
    if end is not None:
        params["to"] = end // NS_PER_MS
    return "/api/v1/kline/query", params


def _spot_candles(symbol: str, interval: str, start: int | None, end: int | None) -> _Request:
    params: dict[str, str | int] = {"symbol": symbol, "type": interval}
    if start is not None:
        params["startAt"] = -(-start // _NS_PER_S)
    if end is not None:
        # Whether the end itself is included is not documented.
        params["endAt"] = end // _NS_PER_S + 1
    return "/api/v1/market/candles", params
