"""What is known of the data's truth: duplicates, gaps, and the verdict.

A ``Tally`` counts what went into the frame of one channel and symbol, and lists what is known to be
missing. Sequences prove completeness only where KuCoin numbers without holes, which is level 2 on
both markets; everywhere else the verdict is never better than ``NOT PROVABLE``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Any, NamedTuple

from kucoin_research.model.arrival_stats import ArrivalStats

__all__ = ["Crossing", "Gap", "Tally", "Verdict"]


_GAPS_TOLD = 3  # in a reason; all of them are in the report


@unique
class Verdict(StrEnum):
    """What can be said of a channel's completeness."""

    COMPLETE = "COMPLETE"
    INCOMPLETE = "INCOMPLETE"
    NOT_PROVABLE = "NOT PROVABLE"


class Gap(NamedTuple):
    """Something that did not come when it should have.

    ``first_sequence`` and ``last_sequence`` bound it, both included, where the channel counts;
    ``began`` and ``ended`` are local times, ns UTC. ``filled_by`` says what brought the missing
    rows later: ``"REST"``, or ``"late"`` when the exchange sent them out of order; ``None`` while
    they are missing, and ``filled`` counts the rows brought. Where the exchange does not number
    without holes (``is_counted`` false), the bounds are those of its counter, and not a count.
    """

    cause: str
    first_sequence: int | None
    last_sequence: int | None
    began: int
    ended: int
    filled_by: str | None = None
    filled: int = 0
    is_counted: bool = True

    @property
    def missing(self) -> int | None:
        """How many sequence numbers are missing, or ``None`` where nobody can say."""
        if self.first_sequence is None or self.last_sequence is None or self.cause == "rebase":
            return None
        return self.last_sequence - self.first_sequence + 1 if self.is_counted else None

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return (self.ended - self.began) / 1e9

    @property
    def reason(self) -> str:
        """Say what is missing and why, in a few words."""
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
    """A time for which a book was crossed, local, ns UTC; ``ended`` is ``None`` while it is."""

    began: int
    ended: int | None = None

    @property
    def seconds(self) -> float | None:
        """How long it lasted; ``None`` while it does."""
        return None if self.ended is None else (self.ended - self.began) / 1e9


@dataclass(slots=True)
class Tally:
    """The account of one channel and symbol."""

    channel: str
    symbol: str
    rows: int = 0
    duplicates: int = 0
    broken: int = 0
    first_sequence: int | None = None
    last_sequence: int | None = None
    last_local: int | None = None
    is_synced: bool = False  # level 2 only: a snapshot has been aligned
    doubt: str | None = None  # level 2 only: why nobody can tell whether something is missing
    damage: list[str] = field(default_factory=list)  # recordings only: what files have lost
    filled: int = 0  # rows that came by REST
    last_opens: dict[str | None, int] = field(default_factory=dict)  # candles only, by interval
    gaps: list[Gap] = field(default_factory=list)
    crossed: list[Crossing] = field(default_factory=list)  # level 2 only
    arrivals: ArrivalStats = field(default_factory=ArrivalStats)

    def count(self, local: int | None, sequence: int | None) -> None:
        """Count a row that is kept."""
        self.rows += 1
        if self.last_local is not None and local is not None:
            self.arrivals.heard(local - self.last_local)
        self.last_local = local
        if sequence is not None:
            if self.first_sequence is None:
                self.first_sequence = sequence
            self.last_sequence = sequence

    @property
    def open_gaps(self) -> list[Gap]:
        """The gaps that nothing has filled."""
        return [gap for gap in self.gaps if gap.filled_by is None]

    def mend(self, first: int, last: int) -> None:
        """Note that sequences came after all, late: they are cut out of the gap they are in."""
        # The newest first: it is one of them, and of an earlier numbering it would be another gap.
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
        """Whether the book is crossed, as far as was told."""
        return bool(self.crossed) and self.crossed[-1].ended is None

    def cross(self, local: int, *, is_over: bool) -> None:
        """Note that the book is crossed from that stamp on, or is no more."""
        if is_over and self.is_crossed:
            self.crossed[-1] = self.crossed[-1]._replace(ended=local)
        elif not is_over and not self.is_crossed:
            self.crossed.append(Crossing(local))

    def retell(self, gap: Gap, **changes: Any) -> Gap:
        """Put a changed gap in the place of what was known of it; returns it."""
        changed = gap._replace(**changes)
        self.gaps[self.gaps.index(gap)] = changed
        return changed

    @property
    def verdict(self) -> Verdict:
        """Say what the numbers prove."""
        if self.open_gaps or self.broken or self.damage:
            return Verdict.INCOMPLETE
        if self.channel == "level2" and self.is_synced and self.doubt is None:
            return Verdict.COMPLETE
        return Verdict.NOT_PROVABLE

    @property
    def reason(self) -> str:
        """Say why the verdict is what it is, in one sentence."""
        told = self.damage[:_GAPS_TOLD]
        if len(self.damage) > _GAPS_TOLD:
            told.append(_count(len(self.damage) - _GAPS_TOLD, "further damaged file"))
        if self.broken:
            told.append(_count(self.broken, "message") + " did not decode")
        missing = self.open_gaps
        told.extend(gap.reason for gap in missing[:_GAPS_TOLD])
        if len(missing) > _GAPS_TOLD:
            told.append(_count(len(missing) - _GAPS_TOLD, "further gap"))
        if told:
            return "; ".join(told)
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
