"""The report on the completeness of a stream's data, to print, show in a notebook or query."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from kucoin_research.errors import InvalidInput, UnknownChannel, UnknownSymbol, shown
from kucoin_research.model.channels import parse_channel
from kucoin_research.model.integrity import Crossing, Gap, Tally, Verdict
from kucoin_research.model.printed_tables import STYLE, badge, html_table, text_table
from kucoin_research.model.units import datetime_of

__all__ = ["ChannelReport", "Lag", "Report"]


@dataclass(frozen=True, slots=True)
class Lag:
    """Percentiles of arrival minus exchange time, in ms, corrected by the clock offset."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """The report's entry for one channel and symbol.

    Attributes
    ----------
    rows, duplicates, broken
        Numbers of rows kept, of repeats dropped, and of messages that did not decode.
    first_sequence, last_sequence
        The exchange's counter at both ends; ``None`` if the channel has none.
    gaps
        All known gaps, filled or not.
    lag
        Over the rows still in the ring; ``None`` if the channel's times are not those of events.
    filled
        The number of rows that came by REST.
    crossed
        The periods in which the book was crossed (a bid at or above the best ask) and so was not
        served; ``level2`` only.
    verdict, reason
        ``COMPLETE``, ``INCOMPLETE`` or ``NOT PROVABLE``, and the reason.
    """

    channel: str
    symbol: str
    rows: int
    duplicates: int
    broken: int
    first_sequence: int | None
    last_sequence: int | None
    gaps: tuple[Gap, ...]
    lag: Lag | None
    verdict: Verdict
    reason: str
    filled: int = 0
    crossed: tuple[Crossing, ...] = ()

    @classmethod
    def of(cls, tally: Tally, lag: Lag | None = None) -> ChannelReport:
        """Make the entry from the counts so far."""
        return cls(
            channel=tally.channel,
            symbol=tally.symbol,
            rows=tally.rows,
            duplicates=tally.duplicates,
            broken=tally.broken,
            first_sequence=tally.first_sequence,
            last_sequence=tally.last_sequence,
            gaps=tuple(tally.gaps),
            lag=lag,
            verdict=tally.verdict,
            reason=tally.reason,
            filled=tally.filled,
            crossed=tuple(tally.crossed),
        )


@dataclass(frozen=True, slots=True)
class Report:
    """The report on a stream's data: a verdict per channel and symbol, with gaps and counters.

    Attributes
    ----------
    channels
        One entry per channel and symbol.
    reconnects
        The number of connections made after others were lost.
    rollovers
        The number of connections replaced before they were lost.
    clock_offset_ms
        Exchange clock minus local clock, as last measured; ``None`` if it was not measured.
    clock_uncertainty_ms
        The largest error of the offset: half the round trip of the fastest of several requests.
    simulation
        The speed of the venue's virtual clock; ``None`` if the venue keeps real time.
    """

    name: str
    channels: tuple[ChannelReport, ...]
    reconnects: int
    clock_offset_ms: float | None
    simulation: float | None = None
    rollovers: int = 0
    clock_uncertainty_ms: float | None = None

    @property
    def verdict(self) -> Verdict:
        """The worst of the channels' verdicts."""
        verdicts = {entry.verdict for entry in self.channels}
        for verdict in (Verdict.INCOMPLETE, Verdict.NOT_PROVABLE):
            if verdict in verdicts:
                return verdict
        return Verdict.COMPLETE if verdicts else Verdict.NOT_PROVABLE

    @property
    def gaps(self) -> int:
        """The number of gaps in all channels."""
        return sum(len(entry.gaps) for entry in self.channels)

    @property
    def duplicates(self) -> int:
        """The number of dropped repeats in all channels."""
        return sum(entry.duplicates for entry in self.channels)

    def channel(self, name: str, symbol: str | None = None) -> ChannelReport:
        """Return the entry of a channel and symbol.

        Parameters
        ----------
        name
            For example ``"ticker"``. The candles of all intervals share one entry, which
            ``"candle:5min"`` also finds.
        symbol
            Needed if several symbols stream that channel.

        Raises
        ------
        UnknownChannel, UnknownSymbol
            If there is no such entry.
        InvalidInput
            If there are several entries and no symbol is given.
        """
        wanted = parse_channel(name).name
        of_channel = {entry.symbol: entry for entry in self.channels if entry.channel == wanted}
        if not of_channel:
            there = ", ".join(dict.fromkeys(entry.channel for entry in self.channels))
            raise UnknownChannel(
                f"the report has no channel {shown(name)}; it has: {there or 'none'}"
            )
        symbols = ", ".join(of_channel)
        if symbol is None and len(of_channel) > 1:
            raise InvalidInput(f"name the symbol whose {wanted} is meant: {symbols}")
        if symbol is not None and symbol not in of_channel:
            raise UnknownSymbol(f"the report has no {wanted} of {shown(symbol)}; it has: {symbols}")
        return of_channel[next(iter(of_channel)) if symbol is None else symbol]

    def to_frame(self) -> pl.DataFrame:
        """Return the report as a frame, one row per channel and symbol."""
        return pl.DataFrame(
            [_flat(entry) for entry in self.channels],
            schema={
                "channel": pl.String,
                "symbol": pl.String,
                "rows": pl.Int64,
                "filled": pl.Int64,
                "duplicates": pl.Int64,
                "broken": pl.Int64,
                "gaps": pl.Int64,
                "first_sequence": pl.Int64,
                "last_sequence": pl.Int64,
                "lag_p50_ms": pl.Float64,
                "lag_p95_ms": pl.Float64,
                "lag_p99_ms": pl.Float64,
                "verdict": pl.String,
                "reason": pl.String,
            },
            orient="row",
        )

    @property
    def filled(self) -> int:
        """The number of rows that came by REST in all channels."""
        return sum(entry.filled for entry in self.channels)

    def gap_frame(self) -> pl.DataFrame:
        """Return all gaps as a frame, one row each, ordered by ``began``.

        Returns
        -------
        pl.DataFrame
            Columns ``channel symbol began ended seconds cause first_sequence last_sequence missing
            filled_by filled``; times are local, UTC. ``missing`` counts sequence numbers, and is
            null if the exchange leaves out numbers; ``filled`` counts rows.
        """
        rows = [
            (
                entry.channel,
                entry.symbol,
                gap.began,
                gap.ended,
                gap.seconds,
                gap.cause,
                gap.first_sequence,
                gap.last_sequence,
                gap.missing,
                gap.filled_by,
                gap.filled,
            )
            for entry in self.channels
            for gap in entry.gaps
        ]
        return pl.DataFrame(rows, schema=_GAP_SCHEMA, orient="row").sort("began")

    def __str__(self) -> str:
        parts = [f"{self.name}: {self.verdict}", text_table(_HEADER, _NUMERIC, self._table())]
        if self._is_long:
            parts.append(_WORST.format(count=len(self._worst())))
            parts.append(text_table(_HEADER, _NUMERIC, [_cells(e) for e in self._worst()]))
        gaps = self._gap_cells()
        if gaps:
            parts.append(text_table(_GAP_HEADER, _GAP_NUMERIC, gaps))
        if self.gaps > len(gaps):
            parts.append(f"and {self.gaps - len(gaps):,} further gaps: see gap_frame()")
        parts.extend(self._crossings())
        parts.append(self._footer())
        return "\n".join(filter(None, parts))

    @property
    def _is_long(self) -> bool:
        return len(self.channels) > _MOST_ENTRIES

    def _table(self) -> list[tuple[str, ...]]:
        """Return one line per entry, or one per channel if there are many entries."""
        if not self._is_long:
            return [_cells(entry) for entry in self.channels]
        names = dict.fromkeys(entry.channel for entry in self.channels)
        return [_summary([e for e in self.channels if e.channel == name]) for name in names]

    def _worst(self) -> list[ChannelReport]:
        bad = [entry for entry in self.channels if entry.verdict is Verdict.INCOMPLETE]
        return bad[:_MOST_ENTRIES]

    def _gap_cells(self) -> list[tuple[str, ...]]:
        gaps = [(entry, gap) for entry in self.channels for gap in entry.gaps]
        gaps.sort(key=lambda each: each[1].began)
        return [_gap_row(entry, gap) for entry, gap in gaps[:_MOST_GAPS]]

    def _crossings(self) -> list[str]:
        crossed = [entry for entry in self.channels if entry.crossed]
        shown_here = [_crossed(entry) for entry in crossed[:_MOST_GAPS]]
        more = len(crossed) - len(shown_here)
        return [*shown_here, f"and {more:,} further books were crossed"] if more else shown_here

    def _footer(self) -> str:
        counts = f"reconnects {self.reconnects} · roll-overs {self.rollovers} · gaps {self.gaps}"
        filled = f" · {self.filled:,} rows filled by REST" if self.filled else ""
        return f"{counts}{filled} · {self._clock()}"

    def _clock(self) -> str:
        if self.simulation is not None:
            return f"the venue's clock is virtual, speed {self.simulation:g}"
        if self.clock_offset_ms is None:
            return "clock offset not measured"
        uncertain = self.clock_uncertainty_ms
        bounds = "" if uncertain is None else f" ± {uncertain:.1f}"
        return f"clock offset {self.clock_offset_ms:+.0f}{bounds} ms"

    def _repr_html_(self) -> str:
        parts = [_html_table(_HEADER, _NUMERIC, self._table())]
        if self._is_long and self._worst():
            worst = [_cells(entry) for entry in self._worst()]
            parts.append(f"<p>{_WORST.format(count=len(worst))}</p>")
            parts.append(_html_table(_HEADER, _NUMERIC, worst))
        gaps = self._gap_cells()
        if gaps:
            is_open = " open" if len(gaps) <= _GAPS_SHOWN_OPEN else ""
            summary = f"<summary>{self.gaps:,} gaps</summary>"
            table = _html_table(_GAP_HEADER, _GAP_NUMERIC, gaps)
            parts.append(f"<details{is_open}>{summary}{table}</details>")
        parts += [f"<p>{html.escape(text)}</p>" for text in self._crossings()]
        return (
            f'<div class="kr-report"><style>{STYLE}</style>'
            f"<p>{_badge(self.verdict)} <b>{html.escape(self.name)}</b></p>"
            f"{''.join(parts)}<p><small>{html.escape(self._footer())}</small></p></div>"
        )


_HEADER = (
    "channel", "symbol", "rows", "filled", "dropped", "broken", "gaps",
    "lag p50/p95/p99 ms", "verdict", "reason",
)  # fmt: skip
_NUMERIC = range(2, 7)
_GAP_HEADER = ("gap", "symbol", "from (UTC)", "for", "cause", "sequences", "missing", "filled")
_GAP_NUMERIC = range(6, 7)
_GAP_SCHEMA: dict[str, pl.DataType] = {
    "channel": pl.String(),
    "symbol": pl.String(),
    "began": pl.Datetime("ns", "UTC"),
    "ended": pl.Datetime("ns", "UTC"),
    "seconds": pl.Float64(),
    "cause": pl.String(),
    "first_sequence": pl.Int64(),
    "last_sequence": pl.Int64(),
    "missing": pl.Int64(),
    "filled_by": pl.String(),
    "filled": pl.Int64(),
}
# With more entries than this, the report shows one line per channel and the incomplete entries.
_MOST_ENTRIES = 20
_MOST_GAPS = 20
_GAPS_SHOWN_OPEN = 5
_WORST = "of these incomplete ({count} shown):"

# Colours that are readable on light and dark pages, and that colour-blind people can distinguish;
# each verdict also has a sign of its own.
_MARKS = {
    Verdict.COMPLETE: ("✓", "#0072b2"),
    Verdict.INCOMPLETE: ("✗", "#d55e00"),
    Verdict.NOT_PROVABLE: ("?", "#7f7f7f"),
}


def _cells(entry: ChannelReport) -> tuple[str, ...]:
    lag = entry.lag
    return (
        entry.channel,
        entry.symbol,
        f"{entry.rows:,}",
        f"{entry.filled:,}",
        f"{entry.duplicates:,}",
        f"{entry.broken:,}",
        f"{len(entry.gaps):,}",
        "-" if lag is None else f"{lag.p50_ms:.1f} / {lag.p95_ms:.1f} / {lag.p99_ms:.1f}",
        str(entry.verdict),
        entry.reason,
    )


def _summary(entries: Sequence[ChannelReport]) -> tuple[str, ...]:
    """Sum up a channel's entries in one line."""
    counts = Counter(entry.verdict for entry in entries)
    verdict = next((v for v in (Verdict.INCOMPLETE, Verdict.NOT_PROVABLE) if counts[v]), None)
    return (
        entries[0].channel,
        f"{len(entries):,} symbols",
        f"{sum(entry.rows for entry in entries):,}",
        f"{sum(entry.filled for entry in entries):,}",
        f"{sum(entry.duplicates for entry in entries):,}",
        f"{sum(entry.broken for entry in entries):,}",
        f"{sum(len(entry.gaps) for entry in entries):,}",
        "-",
        str(verdict or Verdict.COMPLETE),
        ", ".join(f"{count:,} {each}" for each, count in counts.items()),
    )


def _crossed(entry: ChannelReport) -> str:
    """Write in a sentence when a book was crossed, and for how long."""
    first, lasted = entry.crossed[0], [each.seconds for each in entry.crossed]
    began = datetime_of(first.began)
    times = "once" if len(lasted) == 1 else f"{len(lasted):,} times"
    seconds = sum(each for each in lasted if each is not None)
    for_how_long = f"for {seconds:.3f} s in all"
    if lasted[-1] is None:
        for_how_long = f"{for_how_long}, and is still" if lasted[:-1] else "and is still"
    return (
        f"the book of {entry.symbol} was crossed {times}, first at {began:%Y-%m-%d %H:%M:%S}, "
        f"{for_how_long}; it was not served meanwhile"
    )


def _gap_row(entry: ChannelReport, gap: Gap) -> tuple[str, ...]:
    began = datetime_of(gap.began)
    bounds = "-" if gap.first_sequence is None else f"{gap.first_sequence} to {gap.last_sequence}"
    filled = gap.filled_by or "no"
    if gap.filled:
        filled = f"{gap.filled:,} rows by REST" + ("" if gap.filled_by else ", not all")
    return (
        gap.candle or entry.channel,
        entry.symbol,
        f"{began:%Y-%m-%d %H:%M:%S}",
        f"{gap.seconds:.1f} s",
        gap.cause,
        bounds,
        "-" if gap.missing is None else f"{gap.missing:,}",
        filled,
    )


def _html_table(header: Sequence[str], numeric: range, rows: Sequence[Sequence[str]]) -> str:
    verdicts = {str(verdict): verdict for verdict in Verdict}
    # The badge goes by the column, since a symbol may be spelled like a verdict.
    place = header.index("verdict") if "verdict" in header else None

    def cell(column: int, text: str) -> str:
        is_verdict = column == place and text in verdicts
        return _badge(verdicts[text]) if is_verdict else html.escape(text)

    return html_table(header, numeric, rows, cell)


def _badge(verdict: Verdict) -> str:
    mark, colour = _MARKS[verdict]
    return badge(f"{mark} {verdict}", colour)


def _flat(entry: ChannelReport) -> tuple[object, ...]:
    lag = entry.lag
    return (
        entry.channel,
        entry.symbol,
        entry.rows,
        entry.filled,
        entry.duplicates,
        entry.broken,
        len(entry.gaps),
        entry.first_sequence,
        entry.last_sequence,
        lag.p50_ms if lag else None,
        lag.p95_ms if lag else None,
        lag.p99_ms if lag else None,
        str(entry.verdict),
        entry.reason,
    )
