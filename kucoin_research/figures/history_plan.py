"""Which candles of the exchange make the history of a chart, without any time counted twice.

The candle in which the stream began is put together: candles of ever shorter intervals lead up to
the minute of the first live trade, this minute is asked for once it is over, and live trades follow
from the next minute on. So no trade is in a candle and counted by itself, too.
"""

from __future__ import annotations

from typing import NamedTuple

from kucoin_research.figures.past import PAGE, Want

__all__ = ["MINUTE_NS", "MOST_CANDLES", "CandlePlan", "pieces_of", "span_wanted"]

#: The shortest candle that an exchange has over REST.
MINUTE_NS = 60_000_000_000
# Each divides the one before. KuCoin has these on both markets.
_LADDER = (
    ("1day", 1_440 * MINUTE_NS), ("4hour", 240 * MINUTE_NS), ("1hour", 60 * MINUTE_NS),
    ("15min", 15 * MINUTE_NS), ("5min", 5 * MINUTE_NS), ("1min", MINUTE_NS),
)  # fmt: skip
# A candle may still change for a moment after its end.
_SETTLED_NS = 3_000_000_000
#: Candles of a chart's history.
MOST_CANDLES = 5_000
_ROOM = 10  # candles that the axis has room for


class CandlePlan(NamedTuple):
    """The candles that a chart would draw of trades.

    Attributes
    ----------
    width
        Their interval, ns.
    is_free
        Whether it may be longer, so that candles of the exchange fit.
    lead
        Number of candles before those in view that its indicators are computed of, too.
    """

    width: int
    is_free: bool
    lead: int = 0


def span_wanted(
    span: tuple[int, int] | None, window_ns: int | None, newest: int, width: int, lead: int = 0
) -> tuple[int, int]:
    """Return the time, ns, whose candles a view needs; the end is excluded.

    Parameters
    ----------
    span
        The range that is zoomed to; ``None`` while the newest data are followed.
    window_ns
        Length of the followed window; ``None``: all data, so that a page of history will do.
    newest
        Time of the newest row, ns.
    width
        Interval of the candles, ns.
    lead
        Time before the view that its indicators are computed of, too, ns. Where all data are in
        view, there is none before them.
    """
    if span is not None:
        begin, end = span
        return max(begin - lead, 0) // width * width, -(-end // width) * width
    length = PAGE * width if window_ns is None else max(window_ns, _ROOM * width) + lead
    return max(newest - length, 0) // width * width, newest + 1


def pieces_of(width: int, begin: int, cut: int) -> list[Want]:
    """Divide the time before a cut into candles of the longest intervals that fit a chart's.

    Parameters
    ----------
    width
        The chart's interval, ns: whole minutes.
    begin
        Where history is to begin, ns.
    cut
        Where trades take over, ns: a whole minute.

    Returns
    -------
    list of Want
        In order of time. The first piece has the longest interval, and is empty where it does not
        fit in. The others lead up to the cut.
    """
    first = next(place for place, (_, length) in enumerate(_LADDER) if not width % length)
    pieces: list[Want] = []
    longest = _LADDER[first][1]
    at = max(begin // longest * longest, cut // longest * longest - MOST_CANDLES * longest)
    for name, length in _LADDER[first:]:
        end = max(cut // length * length, at)
        if end > at or not pieces:
            pieces.append(Want(name, at, end, end + _SETTLED_NS))
        at = end
    return pieces
