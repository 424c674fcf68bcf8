"""What a stream can say about its own data, as a value to print, show or query."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from kucoin_research.integrity import Gap, Verdict

__all__ = ["ChannelReport", "Lag", "Report"]


@dataclass(frozen=True, slots=True)
class Lag:
    """Arrival minus exchange time in milliseconds, corrected by the clock offset."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class ChannelReport:
    """The account of one channel and symbol.

    Attributes
    ----------
    rows, duplicates, broken
        Rows kept, repeats dropped, messages that did not decode.
    first_sequence, last_sequence
        Exchange counters at both ends; ``None`` where the channel has none.
    gaps
        Everything known to be missing.
    lag
        Over the rows still in the ring; ``None`` where the channel's time is not an event's.
    verdict, reason
        ``COMPLETE``, ``INCOMPLETE`` or ``NOT PROVABLE``, and why.
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


@dataclass(frozen=True, slots=True)
class Report:
    """The account of a stream.

    Attributes
    ----------
    channels
        One entry per channel and symbol.
    reconnects
        Connections made after the first ones.
    clock_offset_ms
        Exchange clock minus local clock at the last connect; ``None`` when it was not measured.
    simulation
        Speed of the venue's virtual clock; ``None`` where the venue keeps real time.
    """

    name: str
    channels: tuple[ChannelReport, ...]
    reconnects: int
    clock_offset_ms: float | None
    simulation: float | None = None
    rollovers: int = 0

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
        """How many gaps there are in all."""
        return sum(len(entry.gaps) for entry in self.channels)

    @property
    def duplicates(self) -> int:
        """How many repeats were dropped in all."""
        return sum(entry.duplicates for entry in self.channels)

    def channel(self, name: str, symbol: str | None = None) -> ChannelReport:
        """Find one entry.

        Parameters
        ----------
        name
            For example ``"ticker"``.
        symbol
            Needed where several symbols stream that channel.

        Raises
        ------
        KeyError
            If there is no such entry, or more than one.
        """
        found = [
            entry
            for entry in self.channels
            if entry.channel == name and symbol in (None, entry.symbol)
        ]
        if len(found) != 1:
            there = ", ".join(f"{entry.channel} {entry.symbol}" for entry in self.channels)
            raise KeyError(f"{len(found)} entries for {name!r} {symbol or ''}; here: {there}")
        return found[0]

    def to_frame(self) -> pl.DataFrame:
        """Give the report as a frame, one row per channel and symbol."""
        return pl.DataFrame(
            [_flat(entry) for entry in self.channels],
            schema={
                "channel": pl.String,
                "symbol": pl.String,
                "rows": pl.Int64,
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

    def __str__(self) -> str:
        table = [_HEADER, *(_cells(entry) for entry in self.channels)]
        widths = [max(len(row[column]) for row in table) for column in range(len(_HEADER))]
        lines = ["  ".join(_pad(row, widths)).rstrip() for row in table]
        return "\n".join([f"{self.name}: {self.verdict}", *lines, self._footer()])

    def _footer(self) -> str:
        return f"reconnects {self.reconnects} · gaps {self.gaps} · {self._clock()}"

    def _clock(self) -> str:
        if self.simulation is not None:
            return f"the venue's clock is virtual, speed {self.simulation:g}"
        if self.clock_offset_ms is None:
            return "clock offset not measured"
        return f"clock offset {self.clock_offset_ms:+.0f} ms"

    def _repr_html_(self) -> str:
        head = _html_row("th", _HEADER)
        body = "".join(_html_row("td", _cells(entry)) for entry in self.channels)
        return (
            f"<div><b>{html.escape(self.name)}: {self.verdict}</b>"
            f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
            f"<small>{html.escape(self._footer())}</small></div>"
        )


_HEADER = (
    "channel", "symbol", "rows", "dropped", "broken", "gaps",
    "lag p50/p95/p99 ms", "verdict", "reason",
)  # fmt: skip
_NUMERIC = range(2, 6)


def _cells(entry: ChannelReport) -> tuple[str, ...]:
    lag = entry.lag
    return (
        entry.channel,
        entry.symbol,
        f"{entry.rows:,}",
        str(entry.duplicates),
        str(entry.broken),
        str(len(entry.gaps)),
        "-" if lag is None else f"{lag.p50_ms:.1f} / {lag.p95_ms:.1f} / {lag.p99_ms:.1f}",
        str(entry.verdict),
        entry.reason,
    )


def _pad(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.rjust(width) if column in _NUMERIC else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _html_row(tag: str, cells: Sequence[str]) -> str:
    # Only the alignment is set: colours are the notebook's, light or dark.
    return (
        "<tr>"
        + "".join(
            f'<{tag} style="text-align: {"right" if column in _NUMERIC else "left"}">'
            f"{html.escape(cell)}</{tag}>"
            for column, cell in enumerate(cells)
        )
        + "</tr>"
    )


def _flat(entry: ChannelReport) -> tuple[object, ...]:
    lag = entry.lag
    return (
        entry.channel, entry.symbol, entry.rows, entry.duplicates, entry.broken, len(entry.gaps),
        entry.first_sequence, entry.last_sequence,
        lag.p50_ms if lag else None, lag.p95_ms if lag else None, lag.p99_ms if lag else None,
        str(entry.verdict), entry.reason,
    )  # fmt: skip
