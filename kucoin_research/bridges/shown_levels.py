"""Events of snapshots that show the best levels: ``depth50``, ``depth5``, ``bbo`` and ``ticker``.

Each row is compared with the levels known so far; only differences become events. A level that a
row no longer shows is removed if the row reaches as far as its price. Beyond the last of as many
levels as the channel can show, it stays as it was last seen: whether it still rests is not known,
and to remove it would move an order there to the front of the queue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.bridges.book_events import cleared
from kucoin_research.bridges.hft_events import (
    BUY,
    DEPTH,
    DEPTH_SNAPSHOT,
    SELL,
    Events,
    new_events,
)
from kucoin_research.bridges.missing_spans import MissingSpan

__all__ = ["MOST_LEVELS", "level_events"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: The channels, the one to take first before the others, and how many levels each can show.
MOST_LEVELS = {"depth50": 50, "depth5": 5, "bbo": 1, "ticker": 1}
_BATCH = 20_000  # rows that are compared at once, which takes some 200 MB for 50 levels


def level_events(rows: pl.DataFrame, channel: str, spans: Sequence[MissingSpan]) -> Events:
    """Make events of one symbol's rows of such a channel.

    Parameters
    ----------
    rows
        In order of arrival.
    channel
        The plain name, a key of ``MOST_LEVELS``.
    spans
        Where rows are missing: there the book is empty.
    """
    arrived = rows["local_timestamp"].to_physical()
    cuts = [arrived.search_sorted(span.began, side="right") for span in spans]
    edges = [0, *cuts, rows.height]
    parts: list[Events] = []
    for number, (first, behind) in enumerate(pairwise(edges)):
        if first == behind:
            continue
        part = rows.slice(first, behind - first)
        parts += _of_stretch(part, channel)
        if number < len(spans):
            last = part["timestamp"].to_physical()[-1]
            parts.append(cleared(last, max(spans[number].began, int(arrived[behind - 1]))))
    events = np.concatenate([new_events(0), *parts])
    events["exch_ts"] = np.maximum.accumulate(events["exch_ts"]) if len(events) else 0
    return events


def _of_stretch(rows: pl.DataFrame, channel: str) -> Iterator[Events]:
    sent = rows["timestamp"].to_physical().to_numpy()
    arrived = rows["local_timestamp"].to_physical().to_numpy()
    yield cleared(sent[0], arrived[0])
    known = {side: _no_levels() for side in ("bid", "ask")}
    for start in range(0, rows.height, _BATCH):
        part = rows.slice(start, _BATCH)
        changes = []
        for side in ("bid", "ask"):
            levels = _levels(part, channel, side)
            # The better the price the lower its rank, on either side.
            sign = -1.0 if side == "bid" else 1.0
            found, known[side] = _compared(
                known[side], levels.with_columns(pl.col("price") * sign), part.height,
                MOST_LEVELS[channel],
            )  # fmt: skip
            flag = BUY if side == "bid" else SELL
            changes.append(found.with_columns(pl.col("price") * sign, ev=pl.lit(flag, pl.UInt64)))
        merged = pl.concat(changes).sort("row", maintain_order=True)
        places = merged["row"].to_numpy() + start
        events = new_events(merged.height)
        kinds = np.where(places == 0, DEPTH_SNAPSHOT, DEPTH).astype(np.uint64)
        events["ev"] = merged["ev"].to_numpy() | kinds
        events["exch_ts"], events["local_ts"] = sent[places], arrived[places]
        events["px"], events["qty"] = merged["price"].to_numpy(), merged["size"].to_numpy()
        yield events


def _no_levels() -> pl.DataFrame:
    return pl.DataFrame(schema={"row": pl.Int64, "price": pl.Float64, "size": pl.Float64})


def _levels(rows: pl.DataFrame, channel: str, side: str) -> pl.DataFrame:
    """Write the levels that rows show of a side one below the other: row, price, size."""
    numbered = rows.select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("row"), *_lists(channel, side)
    )
    long = numbered.explode("price", "size")
    return (
        long.drop_nulls()
        .filter(pl.col("size") > 0)
        .unique(["row", "price"], keep="last", maintain_order=True)
    )


def _lists(channel: str, side: str) -> tuple[pl.Expr, pl.Expr]:
    if channel == "depth50":
        return pl.col(f"{side}_prices").alias("price"), pl.col(f"{side}_sizes").alias("size")
    if channel == "depth5":
        prices = [f"{side}_price_{place}" for place in range(1, 6)]
        sizes = [f"{side}_size_{place}" for place in range(1, 6)]
    else:
        prices, sizes = [f"best_{side}_price"], [f"best_{side}_size"]
    return pl.concat_list(prices).alias("price"), pl.concat_list(sizes).alias("size")


def _compared(
    known: pl.DataFrame, levels: pl.DataFrame, height: int, most: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Compare rows with the ones before them; return what changed, and what is known at the end.

    Parameters
    ----------
    known
        The levels known before, in row -1.
    levels
        What the rows show; a lower price is better.
    height
        The number of rows.
    most
        How many levels a row can show.
    """
    reach = _reach(levels, height, most)
    long = pl.concat([known, levels]).sort("price", "row")
    next_row = pl.col("row").shift(-1).over("price").fill_null(height)
    seen = long.with_columns(next_row=next_row)
    gone = _gone(seen, reach)
    same = (pl.col("size") == pl.col("size").shift(1)).over("price").fill_null(value=False)
    kept = pl.Series(gone >= seen["next_row"].to_numpy())  # until it was shown again, or the end
    marked = seen.with_columns(same=same, kept=kept, gone=pl.Series(gone))
    was_kept = pl.col("kept").shift(1).over("price").fill_null(value=False)
    shown = marked.filter((pl.col("row") >= 0) & ~(pl.col("same") & was_kept))
    removed = marked.filter(~pl.col("kept")).select(
        pl.col("gone").alias("row"), "price", pl.lit(0.0).alias("size")
    )
    changes = pl.concat([removed, shown.select("row", "price", "size")])
    still = marked.filter(pl.col("kept") & (pl.col("next_row") == height))
    at_end = still.select(pl.lit(-1, pl.Int64).alias("row"), "price", "size")
    return changes.sort("row", maintain_order=True), at_end


def _reach(levels: pl.DataFrame, height: int, most: int) -> Floats:
    """Return for each row the worst price up to which it shows all levels."""
    reach = np.full(height, np.inf)
    full = levels.group_by("row").agg(pl.len(), pl.col("price").max()).filter(pl.col("len") >= most)
    reach[full["row"].to_numpy()] = full["price"].to_numpy()
    return reach


def _gone(seen: pl.DataFrame, reach: Floats) -> Ints:
    """Find for each level the first row behind its own that reaches its price and lacks it.

    A number from its next row on stands for none.
    """
    price = seen["price"].to_numpy()
    stop = seen["next_row"].to_numpy()
    at: Ints = seen["row"].to_numpy() + 1
    inside = np.flatnonzero(at < stop)
    inside = inside[reach[at[inside]] < price[inside]]
    if not len(inside):
        return at
    at[inside] = _first_from(reach, at[inside], price[inside])
    return at


def _first_from(reach: Floats, start: Ints, price: Floats) -> Ints:
    """Find the first row from each start on that reaches a price, by jumps of powers of two."""
    heights = [reach]  # the best reach of 1, 2, 4, … rows from each one on
    while (width := 1 << (len(heights) - 1)) < len(reach):
        last = heights[-1]
        heights.append(np.maximum(last, np.append(last[width:], np.full(width, -np.inf))))
    at = start.copy()
    for power in reversed(range(len(heights))):
        there = np.flatnonzero(at < len(reach))
        jumps = there[heights[power][at[there]] < price[there]]
        at[jumps] += 1 << power
    return np.minimum(at, len(reach))
