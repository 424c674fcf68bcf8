"""The front door: what ``import kucoin_research as kr`` offers."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, overload
from weakref import WeakValueDictionary

import polars as pl

from kucoin_research import sim
from kucoin_research.api.doctor import Diagnosis, diagnose
from kucoin_research.api.serve import OwnServer
from kucoin_research.errors import (
    ChannelNotOffered,
    CredentialsMissing,
    Incomplete,
    IncompleteData,
    InvalidInput,
    KucoinResearchError,
    RecordingReplaced,
    shown,
)
from kucoin_research.exchange.credentials import Credentials, environment, held, refuse_other
from kucoin_research.exchange.rest.client import ExchangeStatus, PremiumIndex, Rest
from kucoin_research.exchange.rest.universe import Universe
from kucoin_research.exchange.topics import Feed, feed_of, is_offered, topics_for
from kucoin_research.exchange.venues import Venue, refuse_untrusted, resolve_venue
from kucoin_research.foundation import clocks
from kucoin_research.foundation.arguments import MOST_ROWS, count, explained, name_of, texts
from kucoin_research.foundation.forking import in_child
from kucoin_research.foundation.interrupts import check, hold, passing
from kucoin_research.foundation.progress import Download
from kucoin_research.model.channels import (
    Channel,
    Market,
    Subscription,
    candle_interval,
    market_of,
    parse_channel,
)
from kucoin_research.model.instruments import (
    Instrument,
    check_trading,
    resolve_symbol,
    symbol_frame,
)
from kucoin_research.model.integrity import Verdict
from kucoin_research.model.intervals import Length
from kucoin_research.model.records import (
    ALL_SYMBOLS,
    Candle,
    FundingRate,
    Level2,
    MarkPrice,
    Record,
    Snapshot,
    Status,
    Ticker,
    Trade,
    schema_of,
)
from kucoin_research.model.units import When, instant_ns, refuse_future
from kucoin_research.playback.replay import Replay
from kucoin_research.sessions.recorder import QUEUE_ROWS, check_options
from kucoin_research.sessions.session import Session, load
from kucoin_research.streaming.collect import End, Limit, collect
from kucoin_research.streaming.limits import Healing
from kucoin_research.streaming.recording import Recording
from kucoin_research.streaming.stream import Stream

__all__ = [
    "SimulatedExchange",
    "candles",
    "doctor",
    "exchange_status",
    "find_venue",
    "funding_rates",
    "get_active_symbols",
    "index_prices",
    "instrument",
    "mark_price",
    "order_book",
    "premium_index",
    "recent_trades",
    "record",
    "replay",
    "running",
    "server_time",
    "simulate",
    "stats",
    "stream",
    "stream_to_frame",
    "symbols",
    "tickers",
]

_universe = Universe()
# Seconds that reading symbol lists may take in all, before anything is subscribed to.
_PATIENCE = 30.0
_registry_lock = threading.Lock()  # guards _running
# By name and place. A name that was given means one thing everywhere; one made here, one per venue;
# and what a call starts for itself alone replaces nothing.
_Key = tuple[str, object]
# Weak: a running stream is kept by its threads, and one that has ended must not keep its rows.
_running: WeakValueDictionary[_Key, Stream | Replay] = WeakValueDictionary()
_demo_lock = threading.Lock()  # guards _demo
_demo: SimulatedExchange | None = None

Symbols = str | Iterable[str]
Channels = str | Iterable[str]


# -- venues ----------------------------------------------------------------------------------------


class SimulatedExchange(OwnServer, sim.Exchange):
    """An exchange in a box; ``kucoin_research.simulate`` makes one."""

    @property
    def venue(self) -> Venue:
        """Its addresses, to pass as ``venue=``."""
        push = (self.futures_push_url, self.spot_push_url)
        return Venue(self.futures_url, self.spot_url, "simulated", *push)

    @property
    def credentials(self) -> Credentials:
        """Those of its demo account, to pass as ``credentials=``; they open nothing else."""
        account = self.demo_account
        return Credentials(account.key, account.secret, account.passphrase)


def simulate(*, seed: int = 7, speed: float = 1.0, **options: Any) -> SimulatedExchange:
    """Start a simulated KuCoin on this machine: REST and WebSocket, futures and spot.

    Parameters
    ----------
    seed
        The same seed gives the same market, to the byte.
    speed
        Virtual seconds per second, from 1 to 1000. The clock stands still until the first
        subscription, so a second channel begins a few (virtual) moments later. Where all are to
        begin with the same row: ``pause()`` before ``kr.stream``, ``wait_until_live()`` after it,
        then ``resume()``.
    **options
        Passed on to ``kucoin_research.sim.Exchange``: ``start``,
        ``symbols``, ``ping_interval_ms`` …

    Returns
    -------
    SimulatedExchange
        Running; a context manager with ``venue``, ``futures_url``, ``spot_url``, ``inject(fault)``
        and ``close()``.
    """
    options.setdefault("machine", clocks.current().machine)
    with hold():
        made = SimulatedExchange(seed=seed, speed=speed, **options)
        try:
            check()
        except KeyboardInterrupt:
            made.close()
            raise
        return made


def _start_demo() -> Venue:
    # One per process, gone at exit: daemon threads and sockets of this process only.
    global _demo
    with _demo_lock:
        if _demo is None or _demo.is_closed:
            _demo = simulate()
        push = (_demo.futures_push_url, _demo.spot_push_url)
        return Venue(_demo.futures_url, _demo.spot_url, "demo", *push)


def find_venue(venue: object = None) -> Venue:
    """Find the venue that is meant by an argument, or by the environment and ``.env``.

    Parameters
    ----------
    venue
        ``"live"``, ``"demo"`` (the embedded exchange, started on first use), a ``Venue``, a running
        simulated exchange, or ``None``: ``KUCOIN_FUTURES_URL`` with ``KUCOIN_SPOT_URL``, then
        ``KUCOIN_RESEARCH_VENUE``, then live.

    Raises
    ------
    UnknownVenue
        If it is none of these.
    """
    return resolve_venue(venue, start_demo=_start_demo, environ=environment())


# -- streams ---------------------------------------------------------------------------------------


def _plan(
    symbols: Symbols,
    channels: Channels,
    market: str | None,
    rest: Rest,
    feed: Feed,
    credentials: Credentials | None = None,
) -> tuple[list[Subscription], list[Instrument]]:
    """Check everything that was asked for before anything but symbol lists is requested."""
    names = texts(symbols, "symbols")
    wanted = [parse_channel(text) for text in texts(channels, "channels")]
    subscriptions = [
        Subscription(channel, symbol, its_market)
        for symbol in names
        for channel in dict.fromkeys(wanted)
        if channel.name != "status"  # made here, always there
        for its_market in _markets(channel, symbol, market)
    ]
    if not subscriptions:
        raise InvalidInput("channels names only 'status'; add one that the exchange sends")
    for channel, symbol, its_market in subscriptions:
        topics_for(channel, symbol, its_market, feed)
        if feed is Feed.PRO:
            rest.venue.push_url(its_market)
        if channel.is_private:
            _check_credentials(credentials, channel, rest.venue.url(its_market))
    has_public = any(not channel.is_private for channel, _, _ in subscriptions)
    instruments = []
    for symbol in names:
        if symbol == ALL_SYMBOLS:
            continue
        found = _universe.find(rest, symbol, market_of(symbol, market))
        if has_public:  # orders and positions of a paused contract can still change
            check_trading(found)
        instruments.append(found)
    return subscriptions, instruments


def _markets(channel: Channel, symbol: str, market: str | None) -> list[Market]:
    """Give a symbol's market; for all symbols, the markets that have the channel."""
    if symbol != ALL_SYMBOLS:
        return [market_of(symbol, market)]
    if not channel.is_private:
        raise InvalidInput(
            f"'*' stands for all symbols on private channels only; name the symbols of {channel}"
        )
    asked = list(Market) if market is None else [market_of("", market)]
    return [each for each in asked if is_offered(channel, each)] or asked


def _check_credentials(credentials: object, channel: Channel, url: str) -> None:
    if credentials is None:
        raise CredentialsMissing(
            f"channel {channel.name!r} is of your own account: pass "
            "credentials=kr.Credentials.from_env(), or kr.Credentials(key, secret, passphrase)"
        )
    refuse_untrusted(url, "an API key")


def _start(
    symbols: Symbols,
    channels: Channels,
    *,
    market: str | None,
    venue: object,
    capacity: int,
    name: str | None,
    credentials: Credentials | None = None,
    feed: str = "classic",
    on_traffic: Callable[[bytes | Record], object] | None = None,
    healing: Healing | None = None,
    prepare: Callable[[Stream], object] | None = None,
    is_alone: bool = False,
    patience: float = _PATIENCE,
) -> Stream:
    its_feed, name = feed_of(feed), name_of(name)
    if healing is not None and not isinstance(healing, Healing):
        raise InvalidInput(f"healing must be kr.Healing(...), not {shown(healing)}")
    capacity = count(capacity, "capacity", "rows", most=MOST_ROWS)
    refuse_other(credentials)
    rest = Rest(find_venue(venue), credentials=credentials)
    try:
        rest.end_by(clocks.current().monotonic() + patience)
        with passing():  # it may take long, and nothing is running yet
            subscriptions, instruments = _plan(
                symbols, channels, market, rest, its_feed, credentials
            )
        rest.end_by(None)
        place = (rest.venue.futures_url, rest.venue.spot_url) if name is None else ""
        name = name or _default_name(subscriptions, its_feed)
        stream = Stream(
            subscriptions, rest, capacity=capacity, name=name, on_traffic=on_traffic,
            feed=its_feed, healing=healing, instruments=instruments,
        )  # fmt: skip
    except BaseException:
        rest.close()
        raise
    try:
        return _begin(stream, object() if is_alone else place, prepare)
    except BaseException:
        stream.stop()
        raise


@hold(passes_on=True)
def _begin(stream: Stream, place: object, prepare: Callable[[Stream], object] | None) -> Stream:
    _register(stream, place)
    if prepare is not None:
        prepare(stream)  # before anything can arrive
    return stream.start()


def _register(handle: Stream | Replay, place: object = "") -> None:
    key = handle.name, place
    with _registry_lock:
        replaced = _running.pop(key, None)
        _running[key] = handle  # now the last: the order is that of the starts
    if replaced is not None and not replaced.stopping.is_set():
        try:
            _warn_of_recordings(replaced)
        finally:
            replaced.stop()


def _warn_of_recordings(replaced: Stream | Replay) -> None:
    paths = [str(recorder.path) for recorder in replaced.recorders]
    if paths and not replaced.is_replaceable:
        warnings.warn(
            f"the recording in {', '.join(paths)} ends here: the stream {replaced.name!r} that it "
            "records is replaced by one of the same name; name= gives this one another",
            RecordingReplaced,
            stacklevel=_stack_level(),
        )


def _stack_level() -> int:
    """Find the caller outside of this package, for whom a warning is."""
    ours = (__name__.partition(".")[0], "contextlib")  # our decorators run through it
    frame, level = sys._getframe(1), 1  # noqa: SLF001  as warnings itself does
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(ours):
        frame, level = frame.f_back, level + 1
    return level


def _default_name(subscriptions: list[Subscription], feed: Feed) -> str:
    symbols = list(dict.fromkeys(s.symbol for s in subscriptions))
    channels = list(dict.fromkeys(str(s.channel) for s in subscriptions))
    shown = symbols if len(symbols) <= 3 else [*symbols[:2], f"{len(symbols) - 2} more"]
    told = [*shown, *channels] if feed is Feed.CLASSIC else [*shown, *channels, feed]
    return " ".join(told)


def stream(
    symbols: Symbols,
    channels: Channels = "ticker",
    *,
    market: str | None = None,
    venue: Venue | str | None = None,
    capacity: int = 1_000_000,
    credentials: Credentials | None = None,
    name: str | None = None,
    feed: str = "classic",
    healing: Healing | None = None,
) -> Stream:
    """Start a stream that runs in the background.

    Parameters
    ----------
    symbols
        One symbol or several, as KuCoin spells them. A hyphen means spot; markets may be mixed.
        ``"*"`` means all symbols, on private channels: of both markets, unless ``market`` says.
    channels
        ``ticker bbo trade candle level2 depth5 depth50 mark_price funding_rate snapshot``;
        ``candle:5min`` for other intervals, ``depth`` for ``level2``. Of your own account:
        ``order fill balance position stop_order margin leverage``; ``balance`` and ``margin`` tell
        of the whole account of the symbols' market, and have no symbol.
    market
        ``"futures"`` or ``"spot"`` to override what the spelling says.
    venue
        See ``find_venue``.
    capacity
        Rows kept per channel, of all its symbols together.
    credentials
        For private channels, for example ``Credentials.from_env()``. They are sent to KuCoin or to
        this machine only, and not at all where all channels are public.
    name
        Starting a stream under a running one's name replaces it, so cells can be run again. By
        default the name is made of symbols and channels, and counts for its venue alone.
    feed
        ``"classic"``, or ``"pro"`` for KuCoin's newer sockets: the same columns without a token, a
        book that needs no REST snapshot (the 500 best levels a side), sequences on spot too. It has
        no ``snapshot``, and ``mark_price`` and ``funding_rate`` on futures only.
    healing
        How hard to try to keep the data whole; the defaults are for KuCoin.

    Returns
    -------
    Stream
        Started. A context manager.

    Raises
    ------
    UnknownChannel, ChannelNotOffered, UnknownSymbol, SymbolNotTrading, InvalidInput
        Before anything is subscribed to.
    CredentialsMissing, UntrustedHost
        For a private channel, before anything is sent.
    Unreachable
        If the symbol list cannot be read, within 30 s in all.

    Warns
    -----
    RecordingReplaced
        If the stream that is replaced is being recorded.

    Examples
    --------
    >>> with stream("XBTUSDTM", ["ticker", "trade"], venue="demo") as s:
    ...     s.wait("ticker", rows=3).height >= 3
    True
    """
    credentials = held(credentials)
    return _start(
        symbols,
        channels,
        market=market,
        venue=venue,
        capacity=capacity,
        name=name,
        credentials=credentials,
        feed=feed,
        healing=healing,
    )


def record(
    symbols: Symbols,
    channels: Channels = "ticker",
    *,
    root: str | os.PathLike[str] = "data/sessions",
    minutes: float | None = None,
    seconds: float | None = None,
    market: str | None = None,
    venue: Venue | str | None = None,
    credentials: Credentials | None = None,
    name: str | None = None,
    feed: str = "classic",
    capacity: int = 1_000_000,
    compression: str | None = None,
    fsync: str = "never",
    progress: bool = True,
) -> Recording:
    """Stream and record to CSV files.

    Parameters
    ----------
    symbols, channels, market, venue, credentials, name, feed, capacity
        See ``stream``. Credentials are in no file.
    root
        Where the session's folder is made; it is named by the start in UTC and the symbols. One
        that exists is never written to.
    minutes, seconds
        How long, on the venue's clock, from the moment the stream is live. Until it is stopped when
        left out.
    compression
        None, ``"zstd"`` or ``"gzip"``.
    fsync
        ``"never"``, ``"rotate"`` or ``"second"``; see ``Recorder``.
    progress
        Whether ``wait``, and the end of a ``with`` block that waits, show a line.

    Returns
    -------
    Recording
        Running; a context manager with ``path``, ``stream``, ``recorder``, ``wait()``, ``stop()``
        and ``session()``. Where a time was given, the end of the ``with`` block waits for it.

    Raises
    ------
    InvalidInput, OSError
        If an option means nothing, or the folder cannot be made; and what ``stream`` raises.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     with record("XBTUSDTM", venue="demo", root=root, seconds=1, progress=False) as run:
    ...         pass
    ...     run.session().frame("ticker").height > 0
    True
    """
    credentials = held(credentials)
    limit = Limit.of(minutes, seconds, None)
    check_options(compression, fsync, QUEUE_ROWS)
    made: list[Recording] = []

    def prepare(handle: Stream) -> None:
        recording = Recording(
            handle,
            root,
            limit,
            progress=progress,
            compression=compression,
            fsync=fsync,
        )
        made.append(recording)

    try:
        _start(
            symbols,
            channels,
            market=market,
            venue=venue,
            capacity=capacity,
            name=name,
            credentials=credentials,
            feed=feed,
            prepare=prepare,
        )
    except BaseException:
        for recording in made:
            recording.stop()
        raise
    return made[0]


@explained("replay")
def replay(
    session: Session | str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    speed: float | None = 1.0,
    *,
    channels: Channels | None = None,
    symbols: Symbols | None = None,
    capacity: int = 1_000_000,
    name: str | None = None,
    paused: bool = False,
) -> Replay:
    """Play a recorded session as if it were live.

    Parameters
    ----------
    session
        A session, or what ``load`` takes: its folder, or several that are played as one.
    speed
        Seconds of the recording per second, so that 1 is the original pace; ``None`` is as fast as
        it can be read. May be changed while it plays.
    channels, symbols
        Only these; the ``status`` rows that concern them come along.
    capacity
        Rows kept per channel, of all symbols together. The session may be larger than memory.
    name
        Starting a replay under a running one's name replaces it. By default it is the session's.
    paused
        Wait for ``resume``, ``step`` or ``seek``: for what must be attached before the first row.

    Returns
    -------
    Replay
        Started. A context manager with a stream's methods (``frame``, ``book``, ``attach``,
        ``record``, ``report``, …) and ``pause``, ``resume``, ``step``, ``seek``, ``speed``,
        ``position``, ``start``, ``end``, ``wait_until_done``.

    Raises
    ------
    SessionMissing
        If there is no recording.
    UnknownChannel, UnknownSymbol
        If it was not recorded.
    InvalidInput
        If an argument means nothing.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     with record("XBTUSDTM", venue="demo", root=root, seconds=1, progress=False) as run:
    ...         pass
    ...     with replay(run.path, speed=None) as r:
    ...         done = r.wait_until_done()
    ...         r.frame("ticker").equals(run.session().frame("ticker"))
    True
    """
    capacity, name = count(capacity, "capacity", "rows", most=MOST_ROWS), name_of(name)
    with passing():
        made = Replay(
            session if isinstance(session, Session) else load(session),
            speed, channels=channels, symbols=symbols, capacity=capacity, name=name, paused=paused,
        )  # fmt: skip
    try:
        return _launch(made)
    except BaseException:
        made.stop()
        raise


@hold(passes_on=True)
def _launch(made: Replay) -> Replay:
    _register(made)
    return made.launch()


@overload
def stream_to_frame(
    symbols: Symbols,
    channels: str = ...,
    *,
    minutes: float | None = ...,
    seconds: float | None = ...,
    rows: int | None = ...,
    market: str | None = ...,
    venue: Venue | str | None = ...,
    credentials: Credentials | None = ...,
    progress: bool = ...,
    strict: bool = ...,
    feed: str = ...,
) -> pl.DataFrame: ...


@overload
def stream_to_frame(
    symbols: Symbols,
    channels: list[str] | tuple[str, ...],
    *,
    minutes: float | None = ...,
    seconds: float | None = ...,
    rows: int | None = ...,
    market: str | None = ...,
    venue: Venue | str | None = ...,
    credentials: Credentials | None = ...,
    progress: bool = ...,
    strict: bool = ...,
    feed: str = ...,
) -> dict[str, pl.DataFrame]: ...


def stream_to_frame(
    symbols: Symbols,
    channels: Channels = "ticker",
    *,
    minutes: float | None = None,
    seconds: float | None = None,
    rows: int | None = None,
    market: str | None = None,
    venue: Venue | str | None = None,
    credentials: Credentials | None = None,
    progress: bool = True,
    strict: bool = False,
    feed: str = "classic",
) -> pl.DataFrame | dict[str, pl.DataFrame]:
    """Stream for a while and return what arrived, as a frame.

    Blocks, with a progress bar; what streams already is left alone. "Interrupt kernel" or Ctrl-C
    ends it early and returns the rows so far.

    Parameters
    ----------
    symbols
        One symbol or several, as KuCoin spells them.
    channels
        One channel, or a list of them.
    minutes, seconds
        How long, on the venue's clock from the moment every subscription is answered; added up when
        both are given. No row of later is returned: none that arrived later, and on a simulated
        exchange, whose clock may be a fast one, none that happened later. The whole call takes
        longer by no more than it takes until then, and by the 5 s in which all is ended, whatever
        the exchange does; on a simulated one whose clock slips behind, by as long again. It raises
        where nothing moves until then: no connection is opened, and no subscription answered, for
        as long as is asked for, but at least 15 s and at most 30 s. (Hundreds of symbols take a
        minute, as KuCoin limits the pace of subscriptions; and whoever has made 25 connections
        within a minute waits for the next one, two minutes at most, which the bar says.)
    rows
        End once every channel has that many rows, of all symbols together, and return no more than
        that of each (``status`` does not count and comes whole). Without any of the three, only an
        interrupt ends it.
    market, venue, credentials
        As for ``stream``.
    progress
        Whether to show the bar.
    strict
        Raise when data is known to be missing.
    feed
        ``"classic"`` or ``"pro"``, as for ``stream``.

    Returns
    -------
    pl.DataFrame or dict[str, pl.DataFrame]
        A frame for one channel; for a list of channels one frame each, under the names given.

    Raises
    ------
    Incomplete
        If the stream fails for good after rows have arrived; with ``strict=True`` also if the
        verdict is ``INCOMPLETE``. ``.frame`` and ``.report`` hold what there is.
    UnknownChannel, ChannelNotOffered, UnknownSymbol, SymbolNotTrading, InvalidInput
        Before anything is subscribed to.
    Unreachable
        If there is no network.

    Warns
    -----
    IncompleteData
        If rows are known to be missing and ``strict`` is not set.

    Examples
    --------
    >>> stream_to_frame("XBTUSDTM", rows=100, venue="demo", progress=False).height
    100
    """
    credentials = held(credentials)
    limit = Limit.of(minutes, seconds, rows)
    names = texts(channels, "channels")
    failure = None
    clock = clocks.current()
    live_by = clock.monotonic() + limit.patience
    with hold():
        # Nothing that was streamed may fall out of the ring: its memory grows with the rows.
        handle = _start(
            symbols,
            names,
            market=market,
            venue=venue,
            capacity=2**40,
            name=None,
            credentials=credentials,
            feed=feed,
            is_alone=True,
            patience=limit.patience,
        )
        frames: dict[str, pl.DataFrame] = {}

        def end(at: End) -> int:
            _end(handle)
            frames.update((name, _collected(handle, name, at)) for name in names)
            counted = (name for name in names if parse_channel(name).record is not Status)
            return sum(frames[name].height for name in counted)

        try:
            patience = max(0.0, live_by - clock.monotonic())
            collect(handle, names, limit, progress=progress, patience=patience, on_end=end)
        except KucoinResearchError as error:
            failure = error
            end(End(rows=limit.rows))
        except BaseException:
            _end(handle)
            raise
        if failure is not None and all(frame.is_empty() for frame in frames.values()):
            raise failure
        result = frames[names[0]] if isinstance(channels, str) else frames
        report = handle.report()
        is_incomplete = report.verdict is Verdict.INCOMPLETE
        if failure is None and not (strict and is_incomplete):
            if is_incomplete:
                why = _first_reason(report.channels)
                warnings.warn(
                    f"data of {handle.name} is missing: {why}; strict=True raises instead, and "
                    "kr.stream gives a handle whose report() tells all",
                    IncompleteData,
                    stacklevel=2,
                )
            return result
        raise Incomplete(
            f"data of {handle.name} is missing: {failure or _first_reason(report.channels)}; "
            "the exception's .frame and .report hold what there is",
            frame=result,
            report=report,
        ) from failure


def _end(handle: Stream) -> None:
    try:
        handle.stop()
    except KeyboardInterrupt:
        # All is stopping by now; the interrupt is for the waiting, and must not cost the rows.
        handle.stop(timeout=0.0)


def _collected(handle: Stream, name: str, end: End) -> pl.DataFrame:
    channel = parse_channel(name)
    return end.cut(handle.frame(str(channel)), channel)  # "candle" is 1min, whatever else streams


def _first_reason(entries: Iterable[Any]) -> str:
    return next(
        f"{entry.channel} {entry.symbol}: {entry.reason}"
        for entry in entries
        if entry.verdict is Verdict.INCOMPLETE
    )


def running() -> list[Stream | Replay]:
    """List the streams and replays of this process that have not been stopped, oldest first."""
    with _registry_lock:
        return [each for each in _running.values() if not each.stopping.is_set()]


@atexit.register
@hold()
def _close_all() -> None:
    streams = running()
    for timeout in (0.0, 1.0):  # all are told first, so that they end together
        for each in streams:
            each.stop(timeout)
    if _demo is not None:
        _demo.close()


def _forget_all() -> None:
    # In a forked child: threads and sockets are the parent's, and locks may have been held.
    global _universe, _registry_lock, _running, _demo_lock, _demo
    for each in list(_running.values()):
        each.disown()
    _universe = Universe()
    _registry_lock, _demo_lock = threading.Lock(), threading.Lock()
    _running, _demo = WeakValueDictionary(), None


in_child(_forget_all)


def doctor(
    venue: Venue | str | None = None, *, credentials: Credentials | None = None
) -> Diagnosis:
    """Look at what works on this machine; print the result, or let a notebook show it.

    Packages, JupyterLab with its extensions and limits, disk, credentials (never shown), and each
    venue's REST and WebSocket sides and clock: each is ok, or has the one line that mends it. It
    talks to the venue that is meant (see ``find_venue``) and to the simulated exchange.

    Parameters
    ----------
    venue
        Only this one.
    credentials
        To be tried; those of the environment or ``.env`` unless given.
    """
    credentials = held(credentials)
    refuse_other(credentials)
    meant = find_venue(venue)
    venues = [meant] if venue is not None or meant.name == "demo" else [meant, find_venue("demo")]
    return diagnose(venues, credentials)


# -- metadata and history over REST ----------------------------------------------------------------


def _known(symbol: str, rest: Rest, market: str | None = None) -> Market:
    if not isinstance(symbol, str):
        raise InvalidInput(f"symbol must be a string, not {shown(symbol)}")
    return _find(symbol, rest, market).market


def _find(symbol: str, rest: Rest, market: str | None = None) -> Instrument:
    if not isinstance(symbol, str):
        raise InvalidInput(f"symbol must be a string, not {shown(symbol)}")
    return _universe.find(rest, symbol, market_of(symbol, market))


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
        return symbol_frame(_universe.instruments(rest, market_of("", market)).values())


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
        listed = _universe.instruments(rest, market_of("", market)).values()
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
                symbol, name, since, until, market=its_market,
                on_progress=report, on_wait=report.waits,
            ),
            Candle,
        )  # fmt: skip


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
        )  # fmt: skip


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
        )  # fmt: skip


def _index_of(symbol: str, rest: Rest) -> str:
    if isinstance(symbol, str) and symbol.startswith("."):
        listed = _universe.instruments(rest, Market.FUTURES).values()
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
        )  # fmt: skip


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
