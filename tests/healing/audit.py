"""Everything a stream says about its data, held against all that the exchange knows.

Where ``rig.account`` looks at one fault, this looks at a whole schedule of them: books that were
renumbered on the way, messages of older years among those of today, outages within outages. It
gives sentences, one for each thing that is not so; none means that the data is what it claims.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import polars as pl

from kucoin_research.exchange.topics import Feed
from kucoin_research.model.orderbook import BookDelta
from kucoin_research.sim.messages.pro import WINDOW
from kucoin_research.streaming.book_sync import REBASE_DISTANCE
from tests.conftest import wait_until
from tests.healing.rig import common_columns, pick

#: What no client can miss, where a channel is not numbered without holes.
UNSEEN = frozenset({"drop", "malformed", "slow_reader", "reorder"})

# Seconds without a row after which all has arrived: it is on this machine.
_STILL = 0.4
# Of a trade without its arrival.
_SEQUENCE = 2
_SHOWN = 8


class Era(NamedTuple):
    """A book's history between two renumberings; sequences are of one count.

    ``begin`` is the first snapshot's, ``end`` the last that the client heard of.
    """

    begin: int
    end: int
    changes: Counter[tuple[int, str, float]]
    told: set[int]
    told_twice: set[int]


def settle(rig, timeout: float = 60.0) -> None:
    """Stop the exchange's clock, and wait until all it has sent has arrived."""
    rig.heal(timeout)
    rig.x.pause()
    clock = rig.s.clock
    seen, since = -1, clock.monotonic()

    def is_still() -> bool:
        nonlocal seen, since
        total = sum(rig.s.total(channel) for channel in rig.channels)
        if total != seen or any(
            supervisor._rollover.successor is not None for supervisor in rig.s._supervisors
        ):
            seen, since = total, clock.monotonic()
        return clock.monotonic() - since > _STILL

    wait_until(is_still, timeout=timeout)
    rig.s.stop()


def audit(rig) -> list[str]:
    """List what is wrong with the data of a rig that is finished."""
    return [
        f"{channel}: {fault}"
        for channel in rig.channels
        for fault in _AUDITS.get(channel, _audit_plain)(rig, channel)
    ] + audit_order(rig)


def audit_order(rig) -> list[str]:
    """List what is wrong with the stamps: each is one row's, and rows stand in their order."""
    stamps = [
        rig.s.frame(channel)["local_timestamp"].to_physical()
        for channel in (*rig.channels, "status")
    ]
    found = [
        f"{channel}: rows are not in the order of their stamps"
        for channel, its in zip((*rig.channels, "status"), stamps, strict=True)
        if not its.is_sorted()
    ]
    together = pl.concat(stamps)
    if together.n_unique() != together.len():
        found.append(f"{together.len() - together.n_unique()} stamps are those of several rows")
    return found


# -- books ---------------------------------------------------------------------------------------


def _eras(rig) -> list[Era]:
    """Read the client's eras from its rows and its gaps."""
    rows = rig.s.frame("level2").select("sequence", "is_snapshot", "side", "price").rows()
    parts: list[list[tuple[int, bool, str, float]]] = [[]]
    highest = 0
    for row in rows:
        sequence = row[0]
        if highest - sequence > REBASE_DISTANCE:
            parts.append([])
            highest = 0
        highest = max(highest, sequence)
        parts[-1].append(row)
    gaps = rig.s.report().channel("level2").gaps
    told: list[list[int]] = [[]]
    ends: list[int] = []
    for gap in gaps:
        if gap.cause == "rebase":
            told.append([])
            ends.append(gap.last_sequence)
        elif gap.filled_by is None and gap.missing is not None:
            told[-1].extend(range(gap.first_sequence, gap.last_sequence + 1))
    ends.append(rig.s.book().sequence)
    assert len(parts) == len(told), (
        f"{len(parts)} histories, but {len(told) - 1} told as renumbered"
    )
    eras = []
    for part, missing, end in zip(parts, told, ends, strict=True):
        begin = next(row[0] for row in part if row[1])
        changes = Counter((row[0], *row[2:]) for row in part if not row[1])
        counts = Counter(missing)
        eras.append(Era(begin, end, changes, set(missing), {s for s in counts if counts[s] > 1}))
    return eras


def _deltas(rig, payloads) -> Iterator[BookDelta]:
    for item in map(rig.decode, payloads):
        if isinstance(item, BookDelta):
            yield item


def _published_eras(rig) -> tuple[list[list[BookDelta]], dict[BookDelta, int]]:
    """Cut the journal where the numbers jump back; also tell each message's place in that."""
    parts: list[list[BookDelta]] = [[]]
    era_of: dict[BookDelta, int] = {}
    highest = 0
    for delta in _deltas(rig, rig._published("level2")):
        if highest - delta.last_sequence > REBASE_DISTANCE:
            parts.append([])
            highest = 0
        highest = max(highest, delta.last_sequence)
        parts[-1].append(delta)
        era_of[delta] = len(parts) - 1
    return parts, era_of


def _audit_book(rig, channel) -> Iterator[str]:
    published, era_of = _published_eras(rig)
    eras = _eras(rig)
    kept_back: list[set[int]] = [set() for _ in published]
    for delta in _deltas(rig, rig._withheld(channel)):
        kept_back[era_of[delta]].update(range(delta.first_sequence, delta.last_sequence + 1))
    # A renumbering that came and went while nobody could hear is no era of the client's.
    matched = _match(eras, published)
    for era, number in matched:
        yield from _audit_era(era, published[number], kept_back[number])
    yield from _audit_state(rig)


def _match(eras: list[Era], published: list[list[BookDelta]]) -> list[tuple[Era, int]]:
    """Find which of the exchange's eras each of the client's is."""
    found, position = [], 0
    for era in eras:
        while position < len(published) - 1 and not (
            published[position]
            and published[position][0].first_sequence - 1_000
            <= era.begin
            <= published[position][-1].last_sequence + 1_000
        ):
            position += 1
        found.append((era, position))
        position += 1
    return found


def _audit_era(era: Era, deltas: list[BookDelta], kept_back: set[int]) -> Iterator[str]:
    inside = {s for s in kept_back if era.begin < s <= era.end}
    if era.told != inside:
        yield (
            f"gaps are not what was withheld, from {era.begin} to {era.end}: "
            f"told only {_some(era.told - inside)}, withheld only {_some(inside - era.told)}"
        )
    if era.told_twice:
        yield f"in two gaps: {_some(era.told_twice)}"
    sent = {
        (change.sequence, change.side, change.price)
        for delta in deltas
        for change in delta.changes
        if era.begin < change.sequence <= era.end and change.sequence not in inside
    }
    rows = {change for change in era.changes if change[0] > era.begin}
    if sent != rows:
        yield (
            f"rows are not what was sent: missing {_some(sent - rows)}, "
            f"too many {_some(rows - sent)}"
        )
    twice = {s for s, count in era.changes.items() if count > 1}
    if twice:
        yield f"rows twice: {_some(twice)}"


def _audit_state(rig) -> Iterator[str]:
    book, tape = rig.s.book(), rig.x.tape(rig.symbol)
    price = float(tape.listing.tick_size)
    size = float(tape.listing.lot_size)
    for name, ours, theirs in zip(
        ("bids", "asks"), (book.bids, book.asks), tape.book(book.sequence), strict=True
    ):
        mine = {round(p / price): round(q / size) for p, q in ours}
        theirs = _knowable(rig, name, mine, theirs)
        if mine != theirs:
            wrong = {p for p in mine.keys() | theirs.keys() if mine.get(p) != theirs.get(p)}
            yield f"{name} at {book.sequence} differ at ticks {_some(wrong)}"


def _knowable(rig, name: str, mine: dict[int, int], theirs: dict[int, int]) -> dict[int, int]:
    """Leave out of the exchange's side what lies beyond the edge of the client's."""
    best_first = sorted(theirs, reverse=name == "bids")
    if rig.feed is Feed.PRO:
        return {p: theirs[p] for p in best_first[:WINDOW]}
    if book_is_whole(rig) or not mine:
        return theirs
    edge = min(mine) if name == "bids" else max(mine)
    return {p: theirs[p] for p in best_first if (p >= edge if name == "bids" else p <= edge)}


def book_is_whole(rig) -> bool:
    """Whether the client's book has no edge beyond which it knows nothing."""
    levels = rig.s._handler.books[rig.symbol]._levels
    return not levels._floor and levels._ceiling == float("inf")


# -- everything else -----------------------------------------------------------------------------


def _rows(rig, payloads, channel) -> Counter:
    keys = common_columns(channel)
    return Counter(pick(row, keys) for row in rig._rows(payloads, channel))


def _received(rig, channel) -> Counter:
    keys = common_columns(channel)
    return Counter(pick(row, keys) for row in rig._received(channel).elements())


def _withheld(rig, channel) -> Counter:
    # Once each: one that was dropped was missed by somebody who had gone, too, and in today's shape
    # where the other would have had that of an older year.
    by_connection: defaultdict[int, list[bytes]] = defaultdict(list)
    for one in rig._missed(channel):
        by_connection[one.connection].append(one.payload)
    total: Counter = Counter()
    for payloads in by_connection.values():
        total |= _rows(rig, dict.fromkeys(payloads), channel)
    return total


def _audit_plain(rig, channel) -> Iterator[str]:
    published = _rows(rig, rig._published(channel), channel)
    withheld = _withheld(rig, channel)
    received = _received(rig, channel)
    if received - published:
        yield f"twice, or never published: {_some(received - published)}"
    lost = published - received
    if lost != withheld:
        yield (
            f"lost is not what was withheld: lost only {_some(lost - withheld)}, "
            f"withheld only {_some(withheld - lost)}"
        )


def _audit_candles(rig, channel) -> Iterator[str]:
    # REST fills in candles as they finally stood, which were never messages.
    published = _rows(rig, rig._published(channel), channel)
    withheld = _withheld(rig, channel)
    lost = published - _received(rig, channel)
    if lost - withheld:
        yield f"lost, but never withheld: {_some(lost - withheld)}"


def _audit_trades(rig, channel) -> Iterator[str]:
    frame = rig.s.frame(channel)
    sequences = Counter(frame["sequence"])
    # Of another id in an older year's shape, so that a repeat in today's is not known as one.
    spelled_anew = {one.sequence for one in rig.x.fault_log if one.fault == "old_shape"}
    if twice := {s for s, count in sequences.items() if count > 1} - spelled_anew:
        yield f"twice: {_some(twice)}"
    ordered = frame["sequence"].to_list()
    reasons = _reasons(rig)
    # What was withheld and came after all, say as a repeated execution, is late for good reason.
    late = {b for a, b in pairwise(ordered) if b < a and b not in reasons}
    if late and not {"reorder", "repeat_executions"} & {one.fault for one in rig.x.fault_log}:
        yield f"out of order at {_some(late)}"
    published = {row[_SEQUENCE] for row in rig._rows(rig._published(channel), channel)}
    # Trades of before the first subscription may come by REST or as repeats.
    if invented := {s for s in sequences if s >= min(published, default=0)} - published:
        yield f"never published: {_some(invented)}"
    lost = published - set(sequences)
    if unknown := {s for s in lost if s not in reasons}:
        yield f"lost, but never withheld: {_some(unknown)}"
    told = _told(rig, frame)
    silent = {s for s in lost if not reasons.get(s, set()) & UNSEEN and not told(s)}
    if silent:
        yield f"lost and not told: {_some({(s, *sorted(reasons.get(s, ()))) for s in silent})}"


def _reasons(rig) -> dict[int, set[str]]:
    """Tell for each trade that reached nobody by which faults that was."""
    reasons: defaultdict[int, set[str]] = defaultdict(set)
    for one in rig._missed("trade"):
        reasons[rig.decode(one.payload).sequence].add(one.reason)
    return reasons


def _told(rig, frame: pl.DataFrame):
    """Give the function that says whether a trade is within a gap that is told as not filled."""
    arrivals = frame.select(pl.col("local_timestamp").to_physical(), "sequence")
    spans = []
    for gap in rig.s.report().channel("trade").gaps:
        if gap.filled_by is not None:
            continue
        if gap.first_sequence is not None:
            spans.append((gap.first_sequence, gap.last_sequence))
            continue
        before = arrivals.filter(pl.col("local_timestamp") <= gap.began)["sequence"].max()
        behind = arrivals.filter(pl.col("local_timestamp") > gap.ended)["sequence"].min()
        spans.append((before or 0, float("inf") if behind is None else behind))
    return lambda sequence: any(first <= sequence <= last for first, last in spans)


def _some(things) -> str:
    listed = sorted(things, key=repr)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return f"{listed[:_SHOWN]}{more}" if listed else "nothing"


_AUDITS = {
    "level2": _audit_book,
    "trade": _audit_trades,
    "candle": _audit_candles,
}
