"""A recorded session as an exchange that any KuCoin client can connect to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kucoin_research.api.offers import offers_of
from kucoin_research.errors import InvalidInput
from kucoin_research.exchange.rest.quotas import forget_host, share_host
from kucoin_research.exchange.venues import Venue
from kucoin_research.foundation import clocks
from kucoin_research.foundation.arguments import texts, truth
from kucoin_research.model.records import CHANNEL_OF, PRIVATE_CHANNELS, Record
from kucoin_research.sessions.loading import load
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.timeline import Timeline
from kucoin_research.sim import ReplayExchange
from kucoin_research.sim.server.doors import Doors

__all__ = ["ServedSession", "serve"]


class OwnServer(Doors):
    """A server of this process: all who ask it here share what is known of its quotas."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for url in (self.futures_url, self.spot_url):
            share_host(url)

    def close(self, timeout: float = 5.0) -> None:
        """End everything: connections without a close frame, ports, thread. Idempotent."""
        if not self.is_closed:  # else the ports may be another's
            for url in (self.futures_url, self.spot_url):
                forget_host(url)
        super().close(timeout)


class ServedSession(OwnServer, ReplayExchange):
    """A recording that speaks KuCoin's protocol; ``kucoin_research.serve`` makes one.

    Attributes
    ----------
    session
        The recording that is served.
    """

    def __init__(self, session: Session, **options: Any) -> None:
        self.session = session
        super().__init__(machine=clocks.current().machine, **options)

    @property
    def venue(self) -> Venue:
        """Its addresses, to pass as ``venue=``."""
        return Venue(self.futures_url, self.spot_url, "recording")


def serve(
    session: Session | str | Path | Iterable[str | Path],
    speed: float | None = 1.0,
    *,
    channels: str | Iterable[str] | None = None,
    symbols: str | Iterable[str] | None = None,
    is_held: bool = False,
    grace: float = 1.0,
    **options: Any,
) -> ServedSession:
    """Serve a recorded session over KuCoin's REST and WebSocket protocol, on this machine.

    Time stands still until the first subscription and `grace` seconds more, then the rows go out
    in their order of arrival, at `speed`. After the last one the server stays up, silently. Books
    over REST are in the sequence of the recorded changes; a gap in the recording is a jump in it,
    and while it was not mended the book is refused with 503, as busy. The connection stays open
    through a recorded outage: channels without a sequence show nothing of it. Symbols that the
    recording does not describe, as those of other programs, are listed with the finest steps that
    their first rows show, and a multiplier of 1. All goes out in the shapes of the classic feed: a
    recording of the pro feed keeps its best levels, and its times are cut to the classic feed's
    milliseconds where that has no more.

    Parameters
    ----------
    session
        As ``load`` gives it, or the path of one, or several paths.
    speed
        Recorded seconds per second; None for as fast as the slowest client reads.
    channels, symbols
        Serve only these; all that were recorded by default. Private channels are never served:
        the call for a private token is refused.
    is_held
        Whether time stands still until ``resume()``, whoever subscribes.
    grace
        Seconds between the first subscription and the first row, so that a client which subscribes
        to one topic after the other misses nothing.
    **options
        ``host``, ``futures_port``, ``spot_port`` (0: any free one), and the settings of
        ``simulate`` that belong to the connection, such as ``ping_interval_ms``. ``patience`` is
        also how many seconds time waits at a book's first change for a client to fetch the book:
        one that comes in time gets the recorded snapshot.

    Returns
    -------
    ServedSession
        Running; a context manager with ``venue``, ``futures_url``, ``spot_url``, ``pause()``,
        ``resume()``, ``is_over``, ``rows_played``, ``inject(fault)`` and ``close()``. May be used
        from any thread.

    Raises
    ------
    InvalidInput
        If nothing public was recorded, or an argument makes no sense.
    SessionError
        If the session cannot be read.
    UnknownChannel, UnknownSymbol
        If it was not recorded.
    OSError
        If a port is taken.
    """
    found = session if isinstance(session, Session) else load(session)
    timeline = Timeline(found, channels=_public(found, channels), symbols=symbols)
    start_ns = timeline.start_ns
    if start_ns is None:
        raise InvalidInput(f"{found.name} has no rows to serve")
    return ServedSession(
        found,
        batches=_named(timeline),
        ahead=_named(timeline),
        offers=offers_of(found, timeline),
        speed=speed,
        start_ns=start_ns,
        has_fillers=any(_feed_of(meta) == "pro" for meta in found.metas),
        is_held=truth(is_held, "is_held"),
        grace=grace,
        **options,
    )


def _public(session: Session, channels: str | Iterable[str] | None) -> list[str]:
    asked = None if channels is None else texts(channels, "channels")
    wanted = session.channels if asked is None else [str(session.channel(each)) for each in asked]
    public = [name for name in wanted if name.partition(":")[0] not in PRIVATE_CHANNELS]
    if not public:
        raise InvalidInput(f"{session.name} has no public channel to serve")
    return public


def _named(timeline: Timeline) -> Iterator[list[tuple[str, Record]]]:
    for rows in timeline.batches():
        yield [(CHANNEL_OF[type(row)], row) for row in rows]


def _feed_of(meta: dict[str, Any]) -> str | None:
    venue = meta.get("venue")
    return venue.get("feed") if isinstance(venue, dict) else None
