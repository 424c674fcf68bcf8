"""Outages and gaps of a source, as spans of a figure's time axis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from kucoin_research.errors import ColumnMissing
from kucoin_research.figures.columns import nanoseconds
from kucoin_research.figures.theme import Spec
from kucoin_research.figures.time_axis import Times, Zone
from kucoin_research.frames.analytics import spans_filled
from kucoin_research.model.records import STAMPED_AS_READ, Status
from kucoin_research.sessions.files.csv_codec import records_of
from kucoin_research.sessions.session_report import reported_gaps

__all__ = [
    "BETWEEN",
    "GAP_EVENTS",
    "UNWANTED",
    "GapMap",
    "GapMark",
    "Mapped",
    "begins",
    "breaks",
    "gaps_of",
    "prompt",
    "shapes",
]

_NEEDED = ("timestamp", "local_timestamp", "symbol", "event", "channel", "detail")
_OF_A_CHANNEL = frozenset({"gap", "filled", "not_filled"})
_LASTING = "it is not over"
#: The kind of a span in which nobody wanted the rows, and the cause of the gap that it left.
UNWANTED = "unsubscribed"
_LONG = frozenset({"outage", UNWANTED})  # reported at both ends
#: The events of the status rows that gaps are read from.
GAP_EVENTS = (
    *sorted(_OF_A_CHANNEL),
    "connected",
    "disconnected",
    "silent_topic",
    "subscribed",
    UNWANTED,
)
#: The kind of the time between two recordings that are shown as one.
BETWEEN = "between sessions"
_UNFILLED = frozenset({"gap", BETWEEN, *_LONG})
_MOST = 60  # shapes drawn; of more, the shortest are left out


class GapMark(NamedTuple):
    """A span without data on the local clock (ns); ``end`` is ``None`` while it lasts."""

    kind: str
    begin: int
    end: int | None
    what: str


class Mapped(NamedTuple):
    """A gap on the clock of the events: from the last row before it to the first one after it."""

    kind: str
    begin: int
    end: int | None
    what: str


def gaps_of(
    status: pl.DataFrame, channels: Iterable[str] = (), symbol: str | None = None
) -> list[GapMark]:
    """Read the spans of missing data from a ``status`` frame.

    Parameters
    ----------
    status
        Rows of the ``status`` channel.
    channels
        Only gaps of these channels, by name; outages concern all channels.
    symbol
        Only of this symbol.

    Returns
    -------
    list of GapMark
        By their begin. A gap that REST has filled completely is ``filled``; one that still lacks
        rows is a ``gap``, as in a report.

    Raises
    ------
    ColumnMissing
        If the frame is not one of the status channel.
    """
    missing = [name for name in _NEEDED if name not in status.columns]
    if missing:
        raise ColumnMissing(
            f"gaps cannot be read without {', '.join(map(repr, missing))}; status= takes a frame "
            "of the 'status' channel"
        )
    wanted = frozenset(channels)
    names = {name.partition(":")[0] for name in wanted}
    rows = status.filter(_is_outage() | (_is_of(names) & _concerns(symbol)))
    lost: dict[tuple[str | None, str | None], list[Status]] = {}
    found: list[GapMark] = []
    for row in records_of(Status, rows):
        assert isinstance(row, Status)
        if row.event in _OF_A_CHANNEL:
            lost.setdefault((row.channel, row.symbol), []).append(row)
        else:
            _take(found, row, wanted)
    for (channel, _), statuses in lost.items():
        details = {_span(row): row.detail for row in statuses if row.event == "gap"}
        for gap in reported_gaps(channel, statuses):
            if gap.candle is not None and not _is_shown(gap.candle, wanted):
                continue
            kind = "gap" if gap.filled_by is None else "filled"
            detail = None if gap.filled_by else details.get((gap.began, gap.ended))
            found.append(GapMark(kind, gap.began, gap.ended, detail or gap.reason))
    return sorted(_mended(found), key=lambda gap: gap.begin)


def prompt(rows: pl.DataFrame, status: pl.DataFrame) -> pl.DataFrame:
    """Leave out rows whose arrival is no lag: REST brought them, or they waited for others.

    Parameters
    ----------
    rows
        Of any channel, with ``local_timestamp``.
    status
        Rows of the ``status`` channel, which hold the spans of such rows.
    """
    waits = status.filter(
        pl.col("event").cast(pl.String) == "released",
        ~pl.col("detail").str.ends_with(STAMPED_AS_READ).fill_null(value=False),
    ).select(_from="timestamp", _until="local_timestamp")
    spans = pl.concat([spans_filled(status), waits]).drop_nulls().sort("_from")
    if spans.is_empty():
        return rows
    begins, ends = nanoseconds(spans["_from"]), nanoseconds(spans["_until"])
    local = nanoseconds(rows["local_timestamp"])
    place = np.searchsorted(begins, local, "right") - 1
    waited = (place >= 0) & (local < ends[np.maximum(place, 0)])
    return rows.filter(pl.Series(~waited))


def _is_outage() -> pl.Expr:
    return pl.col("event").cast(pl.String).is_in(["connected", "disconnected"])


def _is_of(channels: set[str]) -> pl.Expr:
    channel = pl.col("channel").cast(pl.String)
    return channel.is_null() | channel.is_in(list(channels))


def _concerns(symbol: str | None) -> pl.Expr:
    return pl.lit(True) if symbol is None else (pl.col("symbol") == symbol).fill_null(True)


def _mended(gaps: Sequence[GapMark]) -> Iterator[GapMark]:
    # An outage counts as filled if REST has brought all rows of these channels that it cost.
    own = [gap for gap in gaps if gap.kind in ("gap", "filled")]
    begins = np.array([gap.begin for gap in own], np.int64)
    ends = np.array([gap.end or gap.begin for gap in own], np.int64)
    is_filled = np.array([gap.kind == "filled" for gap in own], bool)
    for gap in gaps:
        if gap.kind in _LONG and gap.end is not None:
            meets = is_filled[(begins <= gap.end) & (ends >= gap.begin)]
            yield gap._replace(kind="filled") if meets.size and meets.all() else gap
        else:
            yield gap


def _span(row: Status) -> tuple[int, int]:
    end = row.local_timestamp or 0
    return (end if row.timestamp is None else row.timestamp), end


def _take(found: list[GapMark], row: Status, wanted: frozenset[str]) -> None:
    (begin, end), detail = _span(row), row.detail or ""
    if row.event == "disconnected":
        found.append(GapMark("outage", begin, None, detail))
    elif row.event == "connected":
        _close(found, end, "outage")
    elif row.event == UNWANTED and _is_shown(_channel_of(row), wanted):
        found.append(GapMark(UNWANTED, begin, None, detail))
    elif row.event == "subscribed" and _is_shown(_channel_of(row), wanted):
        _close(found, end, UNWANTED)
    elif row.event == "silent_topic":
        found.append(GapMark("silent", begin, end, detail))


def _channel_of(row: Status) -> str:
    return (row.detail or "").partition(" ")[0]  # with the interval of candles


def _is_shown(channel: str, wanted: frozenset[str]) -> bool:
    # Of candles the figure may show another interval.
    intervals = {name for name in wanted if name.startswith("candle:")}
    return not channel.startswith("candle:") or not intervals or channel in intervals


def _close(found: list[GapMark], end: int, kind: str) -> None:
    for place in reversed(range(len(found))):
        gap = found[place]
        if gap.kind == kind and gap.end is not None:
            return  # whatever was open before this one has been closed with it
        if gap.kind == kind:
            found[place] = gap._replace(end=end)


class GapMap:
    """Places gaps on the clock of the events, batch by batch.

    Gaps are known by the local clock, which differs from the exchange's, much so in a simulation.
    So a gap lies between the events of the rows that arrived before and after it.

    Parameters
    ----------
    gaps
        On the local clock.
    """

    def __init__(self, gaps: Sequence[GapMark] = ()) -> None:
        self._gaps = tuple(gaps)
        self._found: dict[GapMark, Mapped] = {}
        self._anchor: tuple[Times, Times] | None = None

    @property
    def found(self) -> list[Mapped]:
        """The gaps placed so far; one without an end reaches to the newest row."""
        return [gap for gap in self._found.values() if gap.end is None or gap.end > gap.begin]

    def feed(self, local: Times, times: Times) -> None:
        """Add arrival and event times (ns) of further rows, in order of arrival."""
        if not self._gaps or not local.size:
            return
        if self._anchor is not None:
            local = np.concatenate((self._anchor[0], local))
            times = np.concatenate((self._anchor[1], times))
        for gap in self._gaps:
            self._place(gap, local, times)
        self._anchor = (local[-1:], times[-1:])

    def _place(self, gap: GapMark, local: Times, times: Times) -> None:
        known = self._found.get(gap)
        if known is not None and known.end is not None:
            return
        before = int(np.searchsorted(local, gap.begin, "right")) - 1
        if known is None and before < 0:
            return  # nothing was shown before the first row
        begin = known.begin if known is not None else int(times[before])
        end = None
        if gap.end is not None:
            after = before + 1
            # No row arrived during the gap, so the next row is the one after it. It may have been
            # read before the gap's end was reported, so the end's stamp is no guide.
            if gap.kind == "filled" or before < 0:
                after = max(int(np.searchsorted(local, gap.end, "left")), after)
            end = int(times[after]) if after < times.size else None
        self._found[gap] = Mapped(gap.kind, begin, end, gap.what)


def breaks(gaps: Iterable[Mapped]) -> Times:
    """Return the instants at which lines break: the middle of each gap that was not filled."""
    middles = [
        gap.begin + (gap.end - gap.begin) // 2
        for gap in gaps
        if gap.kind in _UNFILLED and gap.end is not None
    ]
    return np.array(sorted(middles), np.int64)


def begins(gaps: Iterable[Mapped]) -> Times:
    """Return the instants from which on rows are missing, of each gap that was not filled."""
    return np.array(sorted(gap.begin for gap in gaps if gap.kind in _UNFILLED), np.int64)


def shapes(gaps: Sequence[Mapped], newest: int, zone: Zone, *, shortest_ns: int = 0) -> list[Spec]:
    """Describe the shaded spans of a figure; spans that touch are merged.

    The name of each says its kind, length and cause: a live figure shows it on hover.
    """
    spans = _merged(gaps, newest, shortest_ns)
    labelled = {id(span) for span in sorted(spans, key=_length, reverse=True)[:3]}
    return [_shape(span, zone, is_labelled=id(span) in labelled) for span in spans]


def _merged(gaps: Sequence[Mapped], newest: int, shortest_ns: int) -> list[Mapped]:
    spans: list[Mapped] = []
    for gap in sorted(gaps, key=lambda each: each.begin):
        end = max(gap.end if gap.end is not None else newest, gap.begin + shortest_ns)
        what = _LASTING if gap.end is None else gap.what
        last = spans[-1] if spans else None
        if last is not None and last.end is not None and gap.begin <= last.end + shortest_ns:
            kind = last.kind if last.kind != "filled" else gap.kind
            what = _LASTING if last.what is _LASTING else what
            spans[-1] = last._replace(kind=kind, end=max(last.end, end), what=what)
        else:
            spans.append(gap._replace(end=end, what=what))
    if len(spans) > _MOST:
        spans = sorted(sorted(spans, key=_length)[-_MOST:], key=lambda each: each.begin)
    return spans


def _length(gap: Mapped) -> int:
    return (gap.end or gap.begin) - gap.begin


def _shape(span: Mapped, zone: Zone, *, is_labelled: bool) -> Spec:
    begin, end = zone.to_axis(np.array([span.begin, span.end], np.int64))
    seconds = _length(span) / 1e9
    shape: dict[str, Any] = {
        "type": "rect",
        "xref": "x",
        "yref": "paper",
        "x0": float(begin),
        "x1": float(end),
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "line": {"width": 0},
        "name": _words(span, seconds),
        "fillcolor": "$filled" if span.kind == "filled" else "$gap",
    }
    if is_labelled:
        shape["label"] = {
            "text": span.kind if span.what is _LASTING else f"{span.kind} {_duration(seconds)}",
            "textposition": "top left",
            "font": {"size": 10, "color": "$muted"},
        }
    return shape


def _words(span: Mapped, seconds: float) -> str:
    if span.what is _LASTING:
        return f"{span.kind}: {_LASTING}"
    cause = f": {span.what}" if span.what else ""
    return f"{span.kind} of {_duration(seconds)}{cause}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
