"""The data of a run made worse: lost records, and outages, by a seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.model.records import CHANNELS, Level2, Record, Status, schema_of
from kucoin_research.sessions.files.csv_codec import records_of
from kucoin_research.sessions.session import Session
from kucoin_research.sessions.table import Table
from kucoin_research.strategy.book_losses import BookRow, lossy_book
from kucoin_research.strategy.held_data import HeldData, Mask, Rows
from kucoin_research.strategy.market import Span

__all__ = ["DROPPED", "Worse", "books_of", "outages_of", "statuses_of", "worsened"]

#: The channels that records are lost of. Settlements of funding take place whether they are heard
#: of or not, so ``funding_rate`` is none of them.
DROPPED = frozenset(
    {"ticker", "bbo", "trade", "candle", "level2", "depth5", "depth50", "mark_price", "snapshot"}
)


class Worse(NamedTuple):
    """Worse data, and which rows of each table were lost."""

    session: Session
    lost: list[Mask]

    @property
    def total(self) -> int:
        """How many rows were lost."""
        return sum(int(mask.sum()) for mask in self.lost)


def outages_of(span: Span, length: int, times: int, seed: int) -> list[Span]:
    """Draw the times without data: each begins anywhere, as long as it ends within the span."""
    draw = np.random.default_rng([seed, 0])
    begins = sorted(int(draw.integers(span[0], span[1] - length)) for _ in range(times))
    return [(begin, begin + length) for begin in begins]


def worsened(
    held: HeldData, drop: Mapping[str, float], outages: Sequence[Span], seed: int
) -> Worse:
    """Lose records.

    Parameters
    ----------
    held
        The data.
    drop
        The fraction lost, by channel.
    outages
        Times without any data, as a recording has them: with ``status`` rows of a lost connection
        and of a gap in each channel.
    seed
        Decides which records are lost.
    """
    lost = [_lost(rows, drop.get(rows.channel, 0.0), outages, seed) for rows in held.tables]
    frames = [
        rows.frame.filter(~pl.Series(mask)) if mask.any() else rows.frame
        for rows, mask in zip(held.tables, lost, strict=True)
    ]
    statuses = _of_outages(held, outages)
    for symbol, keys in books_of(held).items():
        if any(lost[key].any() for key in keys):
            found, noticed = _without(held, symbol, keys, lost, outages)
            for key, frame in found.items():
                frames[key] = frame
            statuses += noticed
    return Worse(held.session_of(frames, _table_of(statuses)), lost)


def _in_outages(known: npt.NDArray[np.int64], outages: Iterable[Span]) -> Mask:
    """Mark the times that lie in outages; an end belongs to its outage, a begin does not."""
    mask: Mask = np.zeros(len(known), dtype=bool)
    for begin, end in outages:
        mask |= (known > begin) & (known <= end)
    return mask


def _lost(rows: Rows, fraction: float, outages: Sequence[Span], seed: int) -> Mask:
    known = rows.known.to_numpy()
    if rows.channel == "status":
        return np.zeros(len(known), dtype=bool)
    mask = _in_outages(known, outages)
    if not fraction:
        return mask
    draw = np.random.default_rng([seed, 1, *str(rows.key).encode()])
    if rows.channel != "level2":
        return mask | (draw.random(len(known)) < fraction)
    # The rows of one message share a sequence and are lost together; snapshots come by REST.
    sequence = rows.frame["sequence"].fill_null(-1).to_numpy()
    is_new = np.ones(len(known), dtype=bool)
    is_new[1:] = (np.diff(sequence) != 0) | (np.diff(known) != 0)
    message = np.cumsum(is_new) - 1
    chances = draw.random(int(message[-1]) + 1 if len(message) else 0)
    is_snapshot = rows.frame["is_snapshot"].fill_null(value=False).to_numpy()
    mask |= (chances[message] < fraction) & ~is_snapshot
    return mask


# -- outages -----------------------------------------------------------------------------------


def _of_outages(held: HeldData, outages: Sequence[Span]) -> list[Status]:
    found = []
    for begin, end in outages:
        seconds = f"outage for {(end - begin) / 1e9:.1f} s"
        found.append(Status(begin, begin, None, "disconnected", None, seconds, None, None))
        found.append(Status(end, end, None, "connected", None, "after an outage", None, None))
        for symbol, channel in _concerned(held):
            found.append(Status(begin, end, symbol, "gap", channel, seconds, None, None))
    return found


def _concerned(held: HeldData) -> list[tuple[str, str]]:
    """List the symbols and channels that have a gap in an outage."""
    tables = held.session.tables()
    pairs = [(each.symbol, each.channel) for each in tables if each.channel != "status"]
    # A book's gap is reported with its sequences.
    named = ((symbol, name) for symbol, name in pairs if symbol and name != "level2")
    return list(dict.fromkeys(named))


def _table_of(statuses: list[Status]) -> list[Table]:
    if not statuses:
        return []
    ordered = sorted(statuses, key=lambda each: each.local_timestamp or 0)
    frame = pl.DataFrame(ordered, schema=schema_of(Status), orient="row")
    return [Table(CHANNELS["status"], "status", None, "the losses", frame.lazy)]


# -- books -------------------------------------------------------------------------------------


def books_of(held: HeldData) -> dict[str, list[int]]:
    """List the tables of each symbol's book."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for key, table in enumerate(held.session.tables()):
        if table.channel == "level2" and table.symbol is not None:
            found[table.symbol].append(key)
    return found


def _without(
    held: HeldData,
    symbol: str,
    keys: Sequence[int],
    lost: Sequence[Mask],
    outages: Sequence[Span],
) -> tuple[dict[int, pl.DataFrame], list[Status]]:
    rows = [
        BookRow(key, row, is_gone, is_out)
        for key in keys
        for row, is_gone, is_out in zip(
            records_of(Level2, held.tables[key].frame),
            lost[key].tolist(),
            _in_outages(held.tables[key].known.to_numpy(), outages).tolist(),
            strict=True,
        )
        if isinstance(row, Level2)
    ]
    rows.sort(key=lambda each: each.row.local_timestamp or 0)
    left = lossy_book(symbol, rows, statuses_of(held))
    by_table: dict[int, list[Record]] = {key: [] for key in keys}
    for key, row in left.rows:
        by_table[key].append(row)
    schema = schema_of(Level2)
    frames = {
        key: pl.DataFrame(kept, schema=schema, orient="row") for key, kept in by_table.items()
    }
    return frames, left.statuses


def statuses_of(held: HeldData) -> list[Status]:
    """List the ``status`` rows of the data in order of arrival."""
    found = [
        row
        for rows in held.tables
        if rows.channel == "status"
        for row in records_of(Status, rows.frame)
        if isinstance(row, Status)
    ]
    return sorted(found, key=lambda each: each.local_timestamp or 0)
