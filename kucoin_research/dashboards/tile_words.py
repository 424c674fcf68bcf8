"""The words of the tiles: labels with period and unit, and what each number means."""

from __future__ import annotations

__all__ = ["labels", "period", "tips"]

_SECOND_NS = 1_000_000_000
_HOUR = 3_600


def period(window_ns: int | None, covered_ns: int) -> str:
    """Name the time that a number covers: the window, or what there is of it.

    Parameters
    ----------
    window_ns
        The window that is followed; ``None``: everything.
    covered_ns
        From the first row that there was to the newest one.

    Examples
    --------
    >>> period(300_000_000_000, 4_000_000_000_000), period(300_000_000_000, 72_000_000_000)
    ('5 min', '1:12')
    """
    if window_ns is None or covered_ns < window_ns:
        return _span(covered_ns // _SECOND_NS)
    seconds = window_ns // _SECOND_NS
    if seconds % _HOUR == 0:
        return f"{seconds // _HOUR} h"
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"


def _span(seconds: int) -> str:
    hours, minutes = seconds // _HOUR, seconds // 60 % 60
    rest = f"{seconds % 60:02d}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"


def labels(covered: str, unit: str, known: str = "") -> dict[str, str]:
    """Return the labels that depend on the period and on the unit of sizes, by tile.

    Parameters
    ----------
    covered
        The period.
    unit
        Of sizes.
    known
        The part of the period that the change covers; empty: all of it.
    """
    return {
        "change": f"change {known or covered}".rstrip(),
        "volume": " ".join(filter(None, ("volume", covered, unit))),
    }


def tips(unit: str, quote: str) -> dict[str, str]:
    """Return a text for each tile: what it is, its formula, its unit, the time it covers.

    Parameters
    ----------
    unit
        Of sizes.
    quote
        The currency of prices; empty if it is not known.
    """
    quote = quote or "quote currency"
    ended = "up to the newest trade. The label names the time covered: the window, or what there is"
    return {
        "last": f"price of the newest trade, {quote}; the arrow is that of its last change",
        "change": f"last price / first price of the period − 1, in %, {ended} of it. "
        "If trades are missing where it begins, the first price is that of the next trade, and the "
        "label names the time since then",
        "bid": f"highest price that a buyer offers now, {quote}",
        "ask": f"lowest price that a seller asks now, {quote}",
        "spread": "(ask − bid) / mid, now, in bp: 1/10,000 of the middle of bid and ask",
        "volume": f"sum of the sizes of all trades of the period, in {unit}, each at its own "
        f"price, {ended} of it. With ≥, trades of a part of that time are missing",
        "imbalance": "(size at the bid − size at the ask) / their sum, now: +1 is bids only, "
        "−1 asks only; sizes as the exchange counts them",
        "rate": "messages of all channels per second, on average over the last 5 s",
        "latency": "arrival here − the exchange's time of a row, in ms, median of the newest rows, "
        "corrected by the difference of the clocks",
    }
