"""A supply of rows for a chart that begins with history, and goes on with live rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import polars as pl

from kucoin_research.errors import InvalidInput
from kucoin_research.figures.chart import PAST, Chart, View
from kucoin_research.figures.columns import nanoseconds
from kucoin_research.figures.gaps import GapMark
from kucoin_research.figures.history_plan import (
    MINUTE_NS,
    MOST_CANDLES,
    CandlePlan,
    pieces_of,
    span_wanted,
)
from kucoin_research.figures.past import PAGE, Past, Want
from kucoin_research.figures.seam import NO_SEAM, JoinedTrades, Seam, before_live, join_trades
from kucoin_research.figures.tail import Rows
from kucoin_research.model.channels import parse_channel
from kucoin_research.model.intervals import parse_interval

__all__ = ["HistoryRows", "with_history"]

_MOST_TRIES = 3  # for trades that reach the first live one
_UNTIL_IT_IS_OVER = "its trades come with the candle of this minute, once that is over"
_TO_BEGIN_AGAIN = -1  # no version of a past


def with_history(
    kind: type[Chart], supply: Callable[[], Rows], channels: Mapping[str, str], past: Past
) -> Callable[[], Rows]:
    """Return a supply that begins with history, if the chart has a use for it.

    Parameters
    ----------
    kind
        The chart's class.
    supply
        Makes the supply of live rows for a page.
    channels
        The channel for each role of the chart.
    past
        The history of the chart's symbol.
    """
    role = next((each for each, channel in channels.items() if _has_past(channel)), None)
    if role is None or not kind.takes_history:
        return supply
    return lambda: HistoryRows(supply(), past, role, channels[role])


def _has_past(channel: str) -> bool:
    return channel == "trade" or _interval_ns(channel) > 0


def _interval_ns(channel: str) -> int:
    """Return the interval of a channel of candles; 0 for another one, and for months."""
    try:
        interval = parse_channel(channel).interval
        return 0 if interval is None else parse_interval(interval).ns or 0
    except InvalidInput:
        return 0


class HistoryRows:
    """Puts history before the live rows of one role; all other rows pass through it.

    Parameters
    ----------
    feed
        The live rows.
    past
        The history of the same symbol.
    role, channel
        The role whose rows have history, and its channel: ``trade``, or candles.

    Attributes
    ----------
    seam
        Where the two are joined.

    Notes
    -----
    Not thread-safe: the refresh thread reads. History arrives on another thread meanwhile: then the
    gaps count as changed, so that the chart is made anew.
    """

    def __init__(self, feed: Rows, past: Past, role: str, channel: str) -> None:
        self.seam = NO_SEAM
        self._feed, self._past = feed, past
        self._role, self._channel = role, channel
        self._interval = _interval_ns(channel)
        self._view = View()
        self._plan: CandlePlan | None = None
        self._version = _TO_BEGIN_AGAIN  # of the past that the chart has
        self._note = ""
        self._is_begin = True
        self._has_live = False
        self._newest = 0  # time of the newest row of the role, ns
        self._cut: int | None = None  # earlier trades are in candles of the history
        self._wants: list[Want] = []

    def look(self, view: View, plan: CandlePlan | None) -> None:
        """Set the view, and the candles that the chart draws of trades, if it does."""
        self._view, self._plan = view, plan

    def ask(self) -> None:
        """Ask the exchange for history that the view lacks; call it only while a page looks."""
        ready = [want for want in self._wants if want.ready_ns <= self._newest]
        if ready:
            self._past.ask(ready)

    # -- a supply of rows ------------------------------------------------------------------------

    def restart(self) -> None:
        """Begin again with all rows."""
        self._feed.restart()
        self._is_begin = True

    def has_news(self) -> bool:
        """Whether there are rows to take, or history has come."""
        return self._has_more_past or self._past.note != self._note or self._feed.has_news()

    @property
    def _has_more_past(self) -> bool:
        return not self._is_begin and self._past_version != self._version

    @property
    def _past_version(self) -> int:
        # A chart without candles is not made anew because some have come for another chart.
        return self._past.trade_answers if self._plan is None else self._past.version

    def gaps(self) -> tuple[list[GapMark], bool]:
        """Return the gaps of the live rows, and whether the chart must be made anew."""
        gaps, has_changed = self._feed.gaps()
        return gaps, has_changed or self._has_more_past

    def rows(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the new rows of each role; the first time, with history before them."""
        self._note = self._past.note
        if self._is_begin:
            self._is_begin = False
            self._version = self._past_version
            yield from self._first_rows()
        else:
            yield from self._later_rows()
        self.seam = self.seam._replace(note=self._note)

    def _first_rows(self) -> Iterator[tuple[str, pl.DataFrame]]:
        for role, rows in self._feed.rows():
            if role != self._role:
                yield role, rows
                continue
            self._has_live = rows.height > 0
            self._cut, self.seam, self._wants = None, NO_SEAM, []
            yield from self._before_candles(rows) if self._interval else self._before_trades(rows)

    def _later_rows(self) -> Iterator[tuple[str, pl.DataFrame]]:
        for role, rows in self._feed.rows():
            if role != self._role or not rows.height:
                yield role, rows
            elif not self._has_live:  # they may be in the history, too: join them anew
                self._version = _TO_BEGIN_AGAIN
            else:
                times = nanoseconds(rows["timestamp"])
                self._newest = max(self._newest, int(times[-1]))
                is_behind = self._cut is not None and int(times[0]) < self._cut
                yield role, self._after_cut(rows) if is_behind else rows

    # -- trades ----------------------------------------------------------------------------------

    def _before_trades(self, live: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
        past = self._past
        joined = join_trades(past.trades, live)
        self.seam = joined.seam
        self._newest = _last(joined.rows)
        is_open = joined.seam.missing is not None and past.trade_answers < _MOST_TRIES
        if past.trades is None or is_open:
            self._wants.append(Want())
        candles = self._candles_before(joined)
        if candles is not None:
            yield PAST, before_live(candles, live)
        yield self._role, self._after_cut(joined.rows)

    def _after_cut(self, rows: pl.DataFrame) -> pl.DataFrame:
        if self._cut is None:
            return rows
        return rows.filter(pl.Series(nanoseconds(rows["timestamp"]) >= self._cut))

    def _candles_before(self, joined: JoinedTrades) -> pl.DataFrame | None:
        """Return the candles that lead up to the trades, and note the cut between them."""
        width = self._width(joined.whole_from)
        if width is None or joined.whole_from is None:
            return None
        begin, end = self._span(width)
        minute = joined.whole_from // MINUTE_NS * MINUTE_NS
        if end <= minute // width * width:  # far from the live edge
            pieces = pieces_of(width, begin, end)
            self._want(pieces, end - begin)
            return self._known(pieces)
        # The minute of the first trade is not whole until the exchange has sent its candle.
        for cut in (minute, minute + MINUTE_NS):
            pieces = pieces_of(width, begin, cut)
            if self._want(pieces, end - begin):
                break
        for cut in (minute + MINUTE_NS, minute):
            found = self._known(pieces_of(width, begin, cut))
            if found is not None:
                self._cut = cut
                first, live = joined.whole_from, joined.seam.live_ns
                self.seam = Seam(
                    live or (first if self._has_live else None),
                    (cut, first) if cut < first else None,
                    _UNTIL_IT_IS_OVER,
                )
                return found
        return None

    def _width(self, whole_from: int | None) -> int | None:
        """Return the interval of the candles that history can be made of; ``None``: it cannot."""
        if self._plan is None or whole_from is None:
            return None
        if not self._plan.width % MINUTE_NS:
            return self._plan.width
        span = self._view.span
        # Where most of a view lies before the trades, a longer interval shows more than nothing.
        is_before = span is not None and (span[0] + span[1]) // 2 < whole_from
        return MINUTE_NS if is_before and self._plan.is_free else None

    def _span(self, width: int) -> tuple[int, int]:
        # The chart may join candles of the exchange to longer ones.
        lead = 0
        if self._plan is not None:  # pushed candles may be joined to longer ones
            width = max(self._plan.width, width)
            lead = self._plan.lead * width
        return span_wanted(self._view.span, self._view.window_ns, self._newest, width, lead)

    def _want(self, pieces: Sequence[Want], length: int) -> bool:
        """Note what is not known of some pieces; returns whether that is anything.

        Of a range that is zoomed to, the time before it is asked for as well, so that it is there
        when the user moves on.
        """
        page = PAGE * (parse_interval(pieces[0].interval).ns or 0)
        before = 0 if self._view.span is None else min(length, page)
        wants = []
        for piece in pieces:
            is_first = piece is pieces[0]
            early = piece.begin - (before if is_first else 0)
            reach, _ = self._past.candles(piece.interval, early, piece.end)
            # A quarter of it is left to be used up, so that not every step asks for a little more.
            least = piece.begin - (piece.begin - early) // 4
            if piece.end > piece.begin and reach > least:
                begin = min(early, reach - page) if is_first else piece.begin
                wants.append(piece._replace(begin=max(begin, 0), end=reach))
        self._wants += wants
        return bool(wants)

    def _known(self, pieces: Sequence[Want]) -> pl.DataFrame | None:
        """Return the candles of the pieces as far back as all are known; ``None`` if none are."""
        found = []
        for piece in reversed(pieces):
            reach, rows = self._past.candles(piece.interval, piece.begin, piece.end)
            if rows is not None:
                found.append(rows)
            if reach > piece.begin and (piece is not pieces[0] or not found):
                return None
        return pl.concat(found[::-1]) if found else None

    # -- candles ---------------------------------------------------------------------------------

    def _before_candles(self, live: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the exchange's candles of the past before those that it pushes."""
        if not live.height:
            yield self._role, live
            return
        first = int(nanoseconds(live["timestamp"]).min())
        self._newest = _last(live)
        begin, end = self._span(self._interval)
        begin = max(begin, first - MOST_CANDLES * self._interval)
        name = str(parse_channel(self._channel).interval)
        # The first live candle has begun, so that those before it are over.
        piece = Want(name, min(begin, first), min(end, first))
        self._want([piece], end - begin)
        rows = self._known([piece])
        if rows is None or not rows.height:
            yield self._role, live
            return
        self.seam = Seam(first)
        yield self._role, pl.concat((before_live(rows, live), live))


def _last(rows: pl.DataFrame) -> int:
    return int(nanoseconds(rows["timestamp"][-1:])[0]) if rows.height else 0
