"""Start streams, recordings and replays; collect a stream into a frame."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any, overload

import polars as pl

from kucoin_research.api.checks import Channels, Symbols, find_venue, plan
from kucoin_research.api.registry import register
from kucoin_research.errors import (
    Incomplete,
    IncompleteData,
    InvalidInput,
    KucoinResearchError,
    shown,
)
from kucoin_research.exchange.credentials import Credentials, held, refuse_other
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.topics import Feed, feed_of
from kucoin_research.exchange.venues import Venue
from kucoin_research.foundation import clocks
from kucoin_research.foundation.arguments import MOST_ROWS, count, explained, name_of, texts
from kucoin_research.foundation.interrupts import hold, passing
from kucoin_research.model.channels import (
    Subscription,
    parse_channel,
)
from kucoin_research.model.integrity import Verdict
from kucoin_research.model.records import (
    Record,
    Status,
)
from kucoin_research.playback.replay import Replay
from kucoin_research.sessions.loading import load
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.writing.recorder import QUEUE_ROWS, check_options
from kucoin_research.streaming.collect import End, Limit, collect
from kucoin_research.streaming.limits import Healing
from kucoin_research.streaming.recording import Recording
from kucoin_research.streaming.stream import Stream

__all__ = ["open_stream", "record", "replay", "stream", "stream_to_frame"]

# Seconds that reading symbol lists may take in all, before anything is subscribed to.
_PATIENCE = 30.0


def open_stream(
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
    """Check what was asked for, and start a stream of it; ``stream`` describes the arguments.

    Parameters
    ----------
    on_traffic
        See ``streaming.stream.Stream``.
    prepare
        Called with the stream before anything can arrive.
    is_alone
        Whether it replaces no stream of the same name.
    patience
        Seconds that reading symbol lists may take in all.
    """
    its_feed, name = feed_of(feed), name_of(name)
    if healing is not None and not isinstance(healing, Healing):
        raise InvalidInput(f"healing must be kr.Healing(...), not {shown(healing)}")
    capacity = count(capacity, "capacity", "rows", most=MOST_ROWS)
    refuse_other(credentials)
    rest = Rest(find_venue(venue), credentials=credentials)
    try:
        rest.end_by(clocks.current().monotonic() + patience)
        with passing():  # it may take long, and nothing is running yet
            subscriptions, instruments = plan(
                symbols, channels, market, rest, its_feed, credentials
            )
        rest.end_by(None)
        place = (rest.venue.futures_url, rest.venue.spot_url) if name is None else ""
        name = name or _default_name(subscriptions, its_feed)
        stream = Stream(
            subscriptions,
            rest,
            capacity=capacity,
            name=name,
            on_traffic=on_traffic,
            feed=its_feed,
            healing=healing,
            instruments=instruments,
            plan=lambda more, its_channels, its_market: plan(
                more, its_channels, its_market, rest, its_feed, credentials
            ),
        )
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
    register(stream, place)
    if prepare is not None:
        prepare(stream)  # before anything can arrive
    return stream.start()


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
    return open_stream(
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
        open_stream(
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
            speed,
            channels=channels,
            symbols=symbols,
            capacity=capacity,
            name=name,
            paused=paused,
        )
    try:
        return _launch(made)
    except BaseException:
        made.stop()
        raise


@hold(passes_on=True)
def _launch(made: Replay) -> Replay:
    register(made)
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
        handle = open_stream(
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


# -- metadata and history over REST ----------------------------------------------------------------
