"""The streams and replays that a dashboard starts by itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

from kucoin_research.api import market as market_data
from kucoin_research.api import streams
from kucoin_research.dashboards.watchlist import offered
from kucoin_research.exchange.topics import feed_of
from kucoin_research.exchange.venues import Venue
from kucoin_research.figures.notebook_cells import cell_of
from kucoin_research.playback.replay import Replay
from kucoin_research.sessions.session import Session
from kucoin_research.streaming.stream import Stream

__all__ = ["StreamStarter", "opened"]

_OPENED_NS = 300 * 1_000_000_000  # shown of a session when it is opened


class StreamStarter:
    """Starts the streams of a dashboard, and lists the symbols that it could stream.

    Parameters
    ----------
    venue, capacity, feed
        As for ``kucoin_research.stream``.
    name
        Name of the streams; left out: one that contains the cell's id, and the number.
    number
        Of the dashboard among those that its cell has made, from 1 on.
    warn
        Called with the text of each warning that comes with a list of symbols.
    """

    def __init__(
        self,
        venue: Venue | str | None,
        *,
        capacity: int,
        feed: str,
        name: str | None,
        number: int,
        warn: Callable[[str], None],
    ) -> None:
        self._venue, self._capacity, self._feed = venue, capacity, feed
        self.number = number
        self._name = name or _name_for_cell(number)
        self._warn = warn
        self._lists: dict[str, list[str]] = {}  # by market

    def start(self, symbols: Sequence[str], channels: Sequence[str], market: str) -> Stream:
        """Start a stream of symbols of one market, which replaces the one that was started before.

        Raises
        ------
        KucoinResearchError
            As ``kucoin_research.stream`` does; the stream before goes on.
        """
        made = streams.stream(
            symbols,
            channels,
            market=market,
            venue=self._venue,
            capacity=self._capacity,
            feed=self._feed,
            name=self._name,
        )
        made.is_replaceable = True  # by the dashboard's next one, which resumes the recording
        return made

    def offered(self, channels: Sequence[str], market: str) -> list[str]:
        """Return the channels that the market has; all of them if it has none."""
        return offered(channels, market, feed_of(self._feed)) or list(channels)

    def check(self, symbol: str, market: str) -> None:
        """Look a symbol up; the error of one that is unknown names the near ones."""
        market_data.instrument(symbol, market=market, venue=self._venue)

    def known(self, market: str) -> list[str] | None:
        """Return the symbols that trade on a market, if the exchange has told them before."""
        return self._lists.get(market)

    def listed(self, market: str) -> list[str]:
        """Return the symbols that trade on a market; the exchange is asked once."""
        if market not in self._lists:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self._lists[market] = market_data.get_active_symbols(market, venue=self._venue)
            for warning in caught:
                self._warn(str(warning.message))
        return self._lists[market]


def opened(session: Session, name: str | None, number: int) -> Replay:
    """Open a session as a paused replay, at the end of its first five minutes."""
    name = name or f"{_name_for_cell(number)} {session.name}"
    replay = streams.replay(session, name=name, paused=True)
    try:
        if replay.start_ns is not None and replay.end_ns is not None:
            replay.seek(min(replay.start_ns + _OPENED_NS, replay.end_ns))
    except BaseException:
        replay.stop()
        raise
    return replay


def _name_for_cell(number: int) -> str:
    cell = cell_of()
    name = "dashboard" if cell is None else f"dashboard {cell[0][:8]}"
    return name if number == 1 else f"{name} {number}"
