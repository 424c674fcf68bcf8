"""Whether a run on paper and the same run on its recording did the same."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.forking import cached_property
from kucoin_research.model.records import Record, local_timestamp_of
from kucoin_research.model.units import datetime_of
from kucoin_research.sessions.loading import load
from kucoin_research.sessions.session import Session
from kucoin_research.strategy.backtest import result_of
from kucoin_research.strategy.options import Strategy, check_strategy
from kucoin_research.strategy.paper import PaperTrading
from kucoin_research.strategy.result import Result
from kucoin_research.strategy.run import PaperRun
from kucoin_research.strategy.shared_broker import SharedBroker
from kucoin_research.strategy.tape import Tape, open_tape

__all__ = ["Divergence", "Parity", "parity"]

#: Rows of each side that are shown around the first difference.
_AROUND = 3


@dataclass(frozen=True)
class Divergence:
    """The first difference between two runs.

    Attributes
    ----------
    table
        ``orders``, ``fills``, ``funding`` or ``records``.
    row
        Its number in the frame, counted from 0.
    when
        ns UTC; None if neither side has a time for it.
    paper, again
        The row of each side; None where that side has no such row.
    columns
        The columns that differ.
    """

    table: str
    row: int
    when: int | None
    paper: dict[str, Any] | None
    again: dict[str, Any] | None
    columns: tuple[str, ...]

    def __str__(self) -> str:
        time = "" if self.when is None else f" at {datetime_of(self.when):%Y-%m-%d %H:%M:%S.%f}"
        if self.paper is None or self.again is None:
            more, side = ("the recording", "on paper") if self.paper is None else ("paper", "again")
            return f"{self.table} row {self.row}{time}: {more} has it, and it is missing {side}"
        pairs = ", ".join(
            f"{name} {self.paper[name]!r} on paper, {self.again[name]!r} again"
            for name in self.columns
        )
        return f"{self.table} row {self.row}{time}: {pairs}"


class Parity:
    """The comparison of a run on paper with the same run on its recording.

    Attributes
    ----------
    paper, again
        Both results.
    """

    def __init__(self, paper: Result, again: Result, records: tuple[int, int]) -> None:
        self.paper = paper
        self.again = again
        self._records = records

    @cached_property
    def first(self) -> Divergence | None:
        """Find the first difference in time; None if there is none."""
        found = list(self._differences())
        return min(found, key=lambda each: each.when or 0) if found else None

    @property
    def ok(self) -> bool:
        """Whether orders, fills and fundings are the same to the bit."""
        return self.first is None

    @property
    def hash(self) -> str:
        """The fingerprint of the fills on paper."""
        return self.paper.fingerprint

    def _differences(self) -> Iterator[Divergence]:
        for table in ("orders", "fills", "funding"):
            found = _first_difference(table, getattr(self.paper, table), getattr(self.again, table))
            if found is not None:
                yield found
        if self._records[0] != self._records[1]:
            played = [{"records": each} for each in self._records]
            last = self.paper.stats["end"]
            when = None if last is None else _ns(last)
            yield Divergence("records", 0, when, played[0], played[1], ("records",))

    def to_frame(self) -> pl.DataFrame:
        """List the rows of both sides around the first difference.

        Returns
        -------
        pl.DataFrame
            ``run`` (``paper`` or ``again``), ``row``, and the columns of the table; without a
            difference, the fills of both sides.
        """
        table = "fills" if self.first is None or self.first.table == "records" else self.first.table
        row = None if self.first is None else self.first.row
        parts = []
        for name, result in (("paper", self.paper), ("again", self.again)):
            frame = getattr(result, table).with_row_index("row")
            if row is not None:
                frame = frame.filter(pl.col("row").is_between(max(0, row - _AROUND), row + _AROUND))
            parts.append(frame.select(pl.lit(name).alias("run"), pl.all()))
        whole: pl.DataFrame = pl.concat(parts)
        return whole

    def __str__(self) -> str:
        name = self.paper.name
        counts = f"{self.paper.orders.height:,} orders and {self.paper.fills.height:,} fills"
        if self.first is None:
            return (
                f"{name}: the same on paper and on the recording, {counts}, hash {self.hash[:16]}"
            )
        return (
            f"{name}: NOT THE SAME on paper and on the recording ({counts} on paper).\n{self.first}"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        shown_rows = "" if self.ok else self.to_frame()._repr_html_()
        return f"<pre>{html.escape(str(self))}</pre>{shown_rows}"


def parity(
    run: PaperTrading, session: object = None, *, strategy: Strategy | None = None
) -> Parity:
    """Run again on the recording what ran on paper, and compare.

    Orders that were sent from a notebook's cell are sent again after the same record.

    Parameters
    ----------
    run
        As ``paper`` returned it; stop it first.
    session
        The recording of the same stream, or its path; ``run.session`` if left out.
    strategy
        A fresh one, if the strategy keeps its state in a function's closure or in globals. An
        object that was passed to ``paper`` is taken as it was then.

    Returns
    -------
    Parity
        ``ok`` if orders, fills and fundings are the same; else ``first`` is the first difference.

    Raises
    ------
    InvalidInput
        If the run is not over, or there is no recording of it.
    """
    if not isinstance(run, PaperTrading):
        raise InvalidInput(f"parity takes the run that kr.paper returned, not {shown(run)}")
    if run.is_running:
        raise InvalidInput("the run is not over; call its stop() first")
    if strategy is not None:
        check_strategy(strategy, "parity")
    recording = _recording(run, session)
    again = _play(run, recording, run.fresh_strategy if strategy is None else strategy)
    return Parity(run.result(), result_of(again), (run.records, again.records))


def _recording(run: PaperTrading, session: object) -> Session:
    found = run.session if session is None else session
    if found is None:
        raise InvalidInput("the run was not recorded; pass the session that was recorded meanwhile")
    if isinstance(found, str | Path):
        return load(found)
    if not isinstance(found, Session):
        raise InvalidInput(f"session must be a session or its path, not {shown(found)}")
    return found


def _play(run: PaperTrading, session: Session, strategy: Strategy) -> PaperRun:
    tape = open_tape(session, run.channels, list(run.facts.channels), run.facts.instruments)
    calls = list(run.outside)
    holder: list[PaperRun] = []
    again = PaperRun(
        strategy,
        # The gaps are those of the recording: a backtest of it knows them beforehand.
        replace(run.facts, gaps=tape.gaps, lacks=tape.lacks),
        run.options,
        make_broker=lambda desk: SharedBroker(desk, run.lock, lambda: holder[0].records),
    )
    holder.append(again)
    broker = again.broker
    assert isinstance(broker, SharedBroker)
    while calls and not calls[0].after:
        broker.again(calls.pop(0))
    for records in _same_stretch(run, tape):
        for part in _split(records, again.records, [call.after for call in calls]):
            broker.is_called = True
            goes_on = again.feed(part)
            broker.is_called = False
            while calls and calls[0].after <= again.records:
                broker.again(calls.pop(0))
            if not goes_on:
                break
    again.finish()
    return again


def _same_stretch(run: PaperTrading, tape: Tape) -> Iterator[Sequence[Record]]:
    """Iterate over the records that the run on paper saw."""
    if run.first is None or run.last is None:
        return
    first, last = run.first, run.last
    has_begun = False
    # A candle is put together from pushes that came before it was played.
    for batch in tape.batches(None if tape.intervals else local_timestamp_of(first)):
        records = list(batch)
        if not has_begun:
            if first not in records:
                continue
            records = records[records.index(first) :]
            has_begun = True
        kept = [each for each in records if local_timestamp_of(each) <= last]
        yield kept
        if len(kept) < len(records):
            return


def _split(
    records: Sequence[Record], played: int, places: Sequence[int]
) -> Iterator[Sequence[Record]]:
    """Cut a batch behind the records after which something came from elsewhere."""
    start = 0
    for place in sorted(set(places)):
        stop = place - played
        if start < stop < len(records):
            yield records[start:stop]
            start = stop
    yield records[start:]


def _first_difference(table: str, one: pl.DataFrame, other: pl.DataFrame) -> Divergence | None:
    ours, theirs = one.to_dicts(), other.to_dicts()
    for row in range(max(len(ours), len(theirs))):
        this = ours[row] if row < len(ours) else None
        that = theirs[row] if row < len(theirs) else None
        if this == that:
            continue
        columns = tuple(name for name in this if this[name] != that[name]) if this and that else ()
        frame = one if this is not None else other
        column = "timestamp" if "timestamp" in frame.columns else "submitted"
        when = frame[column].to_physical()[row]
        return Divergence(table, row, when, this, that, columns)
    return None


def _ns(moment: Any) -> int:
    return int(pl.Series([moment]).cast(pl.Datetime("ns", "UTC")).to_physical()[0])
