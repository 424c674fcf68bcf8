"""Whether the data is complete: duplicates, gaps, and the verdict.

A ``Tally`` counts the rows in the frame of one channel and symbol, and lists all known gaps.
Sequence numbers prove completeness only if KuCoin leaves none out. It does so for level 2 on both
markets; for every other channel the verdict is never better than ``NOT PROVABLE``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Any, NamedTuple

from kucoin_research.model.arrival_stats import ArrivalStats
from kucoin_research.model.units import datetime_of

__all__ = ["Crossing", "Gap", "Tally", "Verdict"]


_GAPS_SHOWN = 3  # in a reason; the report lists all of them


@unique
class Verdict(StrEnum):
    """Whether a channel's data is complete, as far as the sequence numbers can prove it."""

    COMPLETE = "COMPLETE"
    INCOMPLETE = "INCOMPLETE"
    NOT_PROVABLE = "NOT PROVABLE"


class Gap(NamedTuple):
    """A stretch of a channel that did not arrive when it should have.

    Attributes
    ----------
    cause
        ``missing`` (numbers were skipped), ``rebase`` (the exchange renumbered the book),
        ``unsubscribed`` (nobody wanted them), or a word for an outage, such as ``stalled``.
    first_sequence, last_sequence
        The missing sequence numbers, both ends included; ``None`` if the channel has no numbers.
    began, ended
        Local times, ns UTC.
    filled_by
        How the missing rows came later: ``"REST"``, or ``"late"`` if the exchange sent them out of
        order; ``None`` while they are missing.
    filled
        The number of rows that came later.
    is_counted
        Whether the exchange numbers this channel without holes. If it does not, the bounds do not
        show how many rows are missing.
    candle
        The channel with its interval, such as ``candle:5min``, if the candles of that one are
        missing and those of others are not; ``None`` for all else.
    """

    cause: str
    first_sequence: int | None
    last_sequence: int | None
    began: int
    ended: int
    filled_by: str | None = None
    filled: int = 0
    is_counted: bool = True
    candle: str | None = None

    @property
    def missing(self) -> int | None:
        """The number of missing sequence numbers; ``None`` if it cannot be known."""
        if self.first_sequence is None or self.last_sequence is None or self.cause == "rebase":
            return None
        return self.last_sequence - self.first_sequence + 1 if self.is_counted else None

    @property
    def seconds(self) -> float:
        """How long the gap lasted."""
        return (self.ended - self.began) / 1e9

    @property
    def reason(self) -> str:
        """The missing sequence numbers and the cause, in a few words.

        They begin with the interval if candles of one interval are missing.
        """
        return self._why if self.candle is None else f"{self.candle} {self._why}"

    @property
    def _why(self) -> str:
        seconds = f"{self.seconds:.1f} s"
        if self.cause == "rebase":
            return "the exchange renumbered the book, so what is missing there is not known"
        filled = "" if self.filled_by is None else f", filled by {self.filled_by}"
        if self.filled_by is None and self.filled:
            filled = f", {_count(self.filled, 'row')} of it filled by REST"
        if self.missing is None:
            between = ""
            if self.first_sequence is not None and self.last_sequence is not None:
                between = f", between {self.first_sequence - 1} and {self.last_sequence + 1}"
            return f"{self.cause} for {seconds}{between}{filled}"
        count = _count(self.missing, "missing sequence number")
        bounds = f"{count}, {self.first_sequence} to {self.last_sequence}"
        why = "" if self.cause == "missing" else f" ({self.cause} for {seconds})"
        return f"{bounds}{why}{filled}"


class Crossing(NamedTuple):
    """A period in which a book was crossed.

    ``began`` and ``ended`` are local times, ns UTC; ``ended`` is ``None`` while it lasts.
    """

    began: int
    ended: int | None = None

    @property
    def seconds(self) -> float | None:
        """How long it lasted; ``None`` while it lasts."""
        return None if self.ended is None else (self.ended - self.began) / 1e9


@dataclass(slots=True)
class Tally:
    """Counts the rows of one channel and symbol, and keeps its gaps, for the report's entry."""

    channel: str
    symbol: str
    rows: int = 0
    duplicates: int = 0
    broken: int = 0
    first_sequence: int | None = None
    last_sequence: int | None = None
    last_local: int | None = None
    is_synced: bool = False  # level 2 only: a snapshot has been aligned
    doubt: str | None = None  # level 2 only: why completeness cannot be proven
    damage: list[str] = field(default_factory=list)  # recordings only: damage of the files
    filled: int = 0  # rows that came by REST
    last_opens: dict[str | None, int] = field(default_factory=dict)  # candles only, by interval
    gaps: list[Gap] = field(default_factory=list)
    crossed: list[Crossing] = field(default_factory=list)  # level 2 only
    arrivals: ArrivalStats = field(default_factory=ArrivalStats)
    absent: dict[str, int] = field(default_factory=dict)  # by channel: unsubscribed since, ns UTC
    is_resting: bool = False  # nothing of it streams now
    resumed: int = 0  # stamp from which silence counts, when it was subscribed again

    def count(self, local: int | None, sequence: int | None) -> None:
        """Count a row that is kept; ``local`` is its local timestamp, ns UTC."""
        self.rows += 1
        if self.last_local is not None and local is not None:
            self.arrivals.heard(local - self.last_local)
        self.last_local = local
        if sequence is not None:
            if self.first_sequence is None:
                self.first_sequence = sequence
            self.last_sequence = sequence

    def rest(self, since: int) -> None:
        """Note that nothing is streamed from that stamp on, because nobody wants it."""
        self.is_resting = True
        self.resumed = since
        self.arrivals.pause()  # the time until it goes on is not one of its own intervals

    def resume(self, now: int) -> None:
        """Note that it is streamed again from that stamp on."""
        self.is_resting = False
        self.resumed = now

    @property
    def heard_at(self) -> int | None:
        """The stamp from which a silence counts, ns UTC; ``None`` before the first row."""
        return None if self.last_local is None else max(self.last_local, self.resumed)

    @property
    def open_gaps(self) -> list[Gap]:
        """The gaps that are not filled."""
        return [gap for gap in self.gaps if gap.filled_by is None]

    def mend(self, first: int, last: int) -> None:
        """Note that the sequences ``first`` to ``last`` came late, and cut them out of their gap.

        The gap becomes up to three: before them, the sequences themselves (filled by ``late``), and
        after them.
        """
        # Newest first: after a rebase an older gap may have the same numbers, and late rows belong
        # to the current numbering.
        for position in reversed(range(len(self.gaps))):
            gap = self.gaps[position]
            begin, end = gap.first_sequence, gap.last_sequence
            if gap.filled_by is None and begin is not None and end is not None:
                if not begin <= first <= last <= end:
                    continue
                parts = ((begin, first - 1, None), (first, last, "late"), (last + 1, end, None))
                self.gaps[position : position + 1] = [
                    gap._replace(first_sequence=low, last_sequence=high, filled_by=by)
                    for low, high, by in parts
                    if low <= high
                ]
                return

    @property
    def is_crossed(self) -> bool:
        """Whether the book is crossed now, by the last call of ``cross``."""
        return bool(self.crossed) and self.crossed[-1].ended is None

    def cross(self, local: int, *, is_over: bool) -> None:
        """Note that the book is crossed from ``local`` (ns UTC) on, or no longer if ``is_over``."""
        if is_over and self.is_crossed:
            self.crossed[-1] = self.crossed[-1]._replace(ended=local)
        elif not is_over and not self.is_crossed:
            self.crossed.append(Crossing(local))

    def retell(self, gap: Gap, **changes: Any) -> Gap:
        """Replace a gap by a changed copy, and return the copy."""
        changed = gap._replace(**changes)
        self.gaps[self.gaps.index(gap)] = changed
        return changed

    @property
    def verdict(self) -> Verdict:
        """The verdict that the counts and sequence numbers prove."""
        if self.open_gaps or self.broken or self.damage:
            return Verdict.INCOMPLETE
        if self.channel == "level2" and self.is_synced and self.doubt is None:
            return Verdict.COMPLETE
        return Verdict.NOT_PROVABLE

    @property
    def reason(self) -> str:
        """The reason of the verdict, in one sentence, and since when nothing is streamed."""
        since = [
            f"; {'' if channel == self.channel else f'{channel} '}unsubscribed since "
            f"{datetime_of(began):%Y-%m-%d %H:%M:%S}"
            for channel, began in self.absent.items()
        ]
        return "".join([self._reason, *since])

    @property
    def _reason(self) -> str:
        faults = self.damage[:_GAPS_SHOWN]
        if len(self.damage) > _GAPS_SHOWN:
            faults.append(_count(len(self.damage) - _GAPS_SHOWN, "further damaged file"))
        if self.broken:
            faults.append(_count(self.broken, "message") + " did not decode")
        missing = self.open_gaps
        faults.extend(gap.reason for gap in missing[:_GAPS_SHOWN])
        if len(missing) > _GAPS_SHOWN:
            faults.append(_count(len(missing) - _GAPS_SHOWN, "further gap"))
        if faults:
            return "; ".join(faults)
        mended = len(self.gaps) - len(missing)
        also = f"; {_count(mended, 'gap')} filled" if mended else ""
        if self.channel != "level2":
            return f"the exchange does not number this channel without holes{also}"
        if not self.is_synced:
            return f"no snapshot has been aligned yet{also}"
        if self.doubt is not None:
            return f"{self.doubt}{also}"
        return (
            f"every sequence from the first snapshot on is here, up to {self.last_sequence}{also}"
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
