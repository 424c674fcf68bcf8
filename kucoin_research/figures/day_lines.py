"""Vertical lines where days begin in a chart's time zone; in longer spans weeks, months, years."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from math import ceil, floor

import numpy as np

from kucoin_research.figures.theme import Spec, upright
from kucoin_research.figures.time_axis import Floats, Times, Zone

__all__ = ["day_lines"]

_PX = 84  # of the plot for each line, so that its date has room
_LABEL_PX = 64  # width of a date; where the plot ends before, there is none
_MOST_DAYS = 1_500  # in longer spans, only years are worth a line
_YEARS = (1, 2, 5, 10, 20, 50, 100, 1_000)  # times in ns end in the year 2262
_EPOCH, _DAY_MS = date(1970, 1, 1), 86_400_000.0
_DAY = "{0:%a} {0.day} {0:%b}"


def day_lines(
    span: tuple[int, int], zone: Zone, px: int, on_axis: Callable[[Times], Floats] | None = None
) -> list[Spec]:
    """Describe the lines of a time axis.

    Parameters
    ----------
    span
        The range that is shown, ns UTC.
    zone
        Days begin at its midnight. Where a change of the clocks leaves midnight out, the line
        stands at the change.
    px
        Width of the plot; there are no more lines than have room for their dates.
    on_axis
        Places times on the axis, if not at the zone's wall clock.

    Returns
    -------
    list
        Shapes of plotly, with a date as label where it has room.
    """
    low, high = zone.to_axis(np.array(span, np.int64))
    first, last = ceil(low / _DAY_MS), floor(high / _DAY_MS)
    if first > last:
        return []
    begin, end = _EPOCH + timedelta(first), _EPOCH + timedelta(last)
    dates, form = _fitting(begin, end, max(px // _PX, 1))
    midnights = np.array([(each - _EPOCH).days * _DAY_MS for each in dates], np.float64)
    if on_axis is not None:
        midnights = on_axis(np.array([zone.to_ns(each) for each in midnights], np.int64))
    labels = [form.format(each) for each in dates]
    last_label = high - _LABEL_PX * (high - low) / max(px, 1)
    return [
        _line(x, label if x <= last_label else "")
        for x, label in zip(midnights.tolist(), labels, strict=True)
    ]


def _fitting(first: date, last: date, most: int) -> tuple[list[date], str]:
    """Choose the finest begins, from the first day to the last, that are not too many."""
    if (last - first).days < _MOST_DAYS:
        days = [first + timedelta(n) for n in range((last - first).days + 1)]
        for dates, form in (
            (days, _DAY),
            ([each for each in days if each.weekday() == 0], _DAY),
            ([each for each in days if each.day == 1], "{:%b %Y}"),
        ):
            if len(dates) <= most:
                return dates, form
    for step in _YEARS:
        years = [date(y, 1, 1) for y in range(first.year, last.year + 1) if y % step == 0]
        years = [each for each in years if first <= each <= last]
        if len(years) <= most:
            break
    return years, "{:%Y}"


def _line(x: float, label: str) -> Spec:
    line = upright(x, "$line")
    if label:
        line["label"] = {
            "text": label,
            "textposition": "end",
            "textangle": 0,
            "xanchor": "left",
            "yanchor": "top",
            "padding": 3,
            "font": {"size": 10, "color": "$muted"},
        }
    return line
