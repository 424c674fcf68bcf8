"""The rows at which something can happen, found without a look at each of them in turn.

A run on these rows alone has the fills of a run on all of them, if all rows are among them at which

- the target changes, and at which the order that this sends arrives, or is filled;
- the quotes are read at that moment, and a level that was taken changes before it is taken again;
- a funding is settled, and the price that values it is known;
- a position could be liquidated, by the mark price of the row.

More rows than these do no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from kucoin_research.strategy.contracts import Contract
from kucoin_research.strategy.margin import liquidation_price
from kucoin_research.strategy.options import RunOptions
from kucoin_research.strategy.reports import AccountReport
from kucoin_research.strategy.signal_tracks import Floats, Ints, Track, Tracks

__all__ = ["Mask", "first_choice", "liquidating_rows"]

#: Whether each row of all symbols is chosen.
Mask = npt.NDArray[np.bool_]

#: Closer to its liquidation price than this fraction, a position may be liquidated.
_NEAR = 2e-6
#: Rows that are tried at once where a position may be liquidated.
_TRIED = 16
#: Rows that are looked through at first for a change of a level.
_WINDOW = 64


def first_choice(tracks: Tracks, options: RunOptions) -> Mask:
    """Choose the rows that are known to matter before anything was traded."""
    assert options.latency is not None
    mask = np.zeros(len(tracks.arrivals), dtype=np.bool_)
    for track in tracks.by_symbol.values():
        mask[track.places[0]] = mask[track.places[-1]] = True
        valued = np.flatnonzero(~np.isnan(track.marks))[:1]
        _choose_newest(mask, tracks.by_symbol.values(), track.places[valued] + 1)
        _choose_fundings(mask, tracks, track, options.given_funding.get(track.symbol, ()))
        sent = track.places[track.decisions]
        mask[sent] = True
        seen = _seen_at_arrival(mask, tracks.arrivals, sent, options.latency[0])
        _choose_newest(mask, (track,), seen)
        if tracks.is_candles:
            known = track.arrivals[track.decisions][: len(seen)]
            # An order that is long on its way may wait for a candle that opens when it is there.
            for since in {0, options.latency[0]}:
                _choose_fills(mask, track, seen, known + since)
        elif options.liquidity != "unlimited":
            _choose_changes(mask, track, seen)
    return mask


def _seen_at_arrival(mask: Mask, arrivals: Ints, sent: Ints, latency: int) -> Ints:
    """Choose the rows with which orders arrive; return how many rows have come before each."""
    if not latency:
        return sent + 1  # at once, behind the row that sent it
    return _seen_by(mask, arrivals, arrivals[sent] + latency)


def _seen_by(mask: Mask, arrivals: Ints, times: Ints) -> Ints:
    # What is due between two rows is done before the second one, and with a row behind it.
    first: Ints = np.searchsorted(arrivals, times, side="left")
    inside = first < len(arrivals)
    first, times = first[inside], times[inside]
    mask[first] = True
    seen: Ints = first + (arrivals[first] == times)
    return seen


def _choose_newest(mask: Mask, tracks: Iterable[Track], seen: Ints) -> None:
    """Choose the newest row of each track among the first ones that were seen."""
    for track in tracks:
        newest = np.searchsorted(track.places, seen, side="left") - 1
        mask[track.places[newest[newest >= 0]]] = True


def _choose_fundings(
    mask: Mask, tracks: Tracks, track: Track, given: Sequence[tuple[int, float]]
) -> None:
    times = np.array([when for when, _ in given], dtype=np.int64)
    _choose_newest(mask, (track,), _seen_by(mask, tracks.arrivals, times))


def _choose_fills(mask: Mask, track: Track, seen: Ints, since: Ints) -> None:
    """Choose the first candles that open at a time or later, and are not seen before."""
    rows = track.rows
    has_prices = rows["open"].is_not_null() & rows["high"].is_not_null() & rows["low"].is_not_null()
    usable = np.flatnonzero(has_prices.to_numpy())
    opens = rows["timestamp"].to_physical().to_numpy()
    first = np.maximum(
        np.searchsorted(track.places, seen, side="left"),
        np.searchsorted(opens, since, side="left"),
    )
    at = np.searchsorted(usable, first, side="left")
    mask[track.places[usable[at[at < len(usable)]]]] = True


def _choose_changes(mask: Mask, track: Track, seen: Ints) -> None:
    """Choose the rows by which levels that may be taken again have changed since."""
    at = np.searchsorted(track.places, seen, side="left") - 1
    for side, sign in (("bid", -1), ("ask", 1)):
        prices = sign * track.rows[f"best_{side}_price"].to_numpy()
        sizes = track.rows[f"best_{side}_size"].fill_null(0.0).to_numpy()
        newest: dict[float, int] = {}
        for row in at.tolist():
            price = float(prices[row])
            before = newest.get(price, row)
            newest[price] = row
            if before < row:
                changed = _first_change(prices[before : row + 1], sizes[before : row + 1])
                if changed:
                    mask[track.places[before + changed]] = True


def _first_change(prices: Floats, sizes: Floats) -> int:
    """Find the first row that shows another size at the first row's price; 0 if there is none.

    Prices have the sign by which a lower one is better. A row with a better price shows nothing.
    """
    start, width = 1, _WINDOW
    while start < len(prices):
        part, shown = prices[start : start + width], sizes[start : start + width]
        found = np.flatnonzero((part > prices[0]) | ((part == prices[0]) & (shown != sizes[0])))
        if len(found):
            return start + int(found[0])
        start, width = start + width, 4 * width
    return 0


# -- liquidation -----------------------------------------------------------------------------------


def liquidating_rows(
    track: Track, contract: Contract, states: Sequence[AccountReport], mask: Mask
) -> Ints:
    """Find rows outside of a mask whose mark price could liquidate a position.

    Parameters
    ----------
    states
        How the position and its margin have changed, in order.

    Returns
    -------
    Ints
        Places; for each state of the position only the first few.
    """
    found = [np.empty(0, dtype=np.int64)]
    for begin, end, state in _spans(track, states):
        limit = liquidation_price(contract, state.holding)
        if limit is None:
            continue
        marks, places = track.marks[begin:end], track.places[begin:end]
        is_near = (
            marks <= limit * (1 + _NEAR) if state.holding.size > 0 else marks >= limit * (1 - _NEAR)
        )
        if is_near.any():
            there = places[is_near]
            found.append(there[~mask[there]][:_TRIED])
    return np.concatenate(found)


def _spans(
    track: Track, states: Sequence[AccountReport]
) -> Iterator[tuple[int, int, AccountReport]]:
    """Yield the rows that may have met each state, those at its begin and its end included."""
    times = np.array([each.when for each in states], dtype=np.int64)
    begins = np.searchsorted(track.arrivals, times, side="left").tolist()
    ends = np.searchsorted(track.arrivals, times[1:], side="right").tolist()
    yield from zip(begins, [*ends, len(track.arrivals)][: len(begins)], states, strict=True)
