"""The heat map of a sweep: a figure of its trials over two parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.figures.static import Figure
from kucoin_research.figures.theme import Spec, axis, layout, literal, resolve
from kucoin_research.foundation.arguments import count

__all__ = ["sweep_figure"]

_LOWEST, _HIGHEST = 10, 20_000  # px of height
_MOST_WRITTEN = 150  # cells with their value in them
_NUMBER = ",.4~r"


def sweep_figure(
    frame: pl.DataFrame,
    parameters: Sequence[str],
    *,
    x: str | None = None,
    y: str | None = None,
    value: str = "sharpe",
    best: int | None = None,
    theme: str = "light",
    height: int = 420,
) -> Figure:
    """Draw a figure of trials as colours over two parameters, or over one.

    Parameters
    ----------
    frame
        A row for each trial.
    parameters
        The columns that are parameters.
    x, y
        Two of them; left out, the first two that vary.
    value
        A numeric column. Trials that share a cell show their mean.
    best
        The row whose cell is framed.
    theme, height
        As for the other figures.

    Raises
    ------
    InvalidInput
        If there is no such parameter or no such numeric column, or an argument is invalid.
    """
    resolve("", theme)  # refuse a wrong theme before the work
    height = count(height, "height", "pixels", least=_LOWEST, most=_HIGHEST)
    across, up = _axes(frame, parameters, x, y)
    if value not in frame.columns or value in parameters or not frame.schema[value].is_numeric():
        there = [each for each in frame.columns if frame.schema[each].is_numeric()]
        known = ", ".join(each for each in there if each not in parameters)
        raise InvalidInput(f"value must be one of {known}, not {shown(value)}")
    columns, rows = _labels(frame[across]), [""] if up is None else _labels(frame[up])
    cells, counts = _cells(frame, across, up, value, (rows, columns))
    spec = _spec(cells, counts, (rows, columns), (across, up), value, height)
    if best is not None:
        place = 0 if up is None else rows.index(_text(frame[up][best]))
        spec["layout"]["shapes"] = [_frame_of(columns.index(_text(frame[across][best])), place)]
        spec["layout"]["title"]["text"] += "; the best Sharpe ratio is framed"
    return Figure(resolve(spec, theme))


def _axes(
    frame: pl.DataFrame, parameters: Sequence[str], x: str | None, y: str | None
) -> tuple[str, str | None]:
    for asked in (x, y):
        if asked is not None and asked not in parameters:
            known = ", ".join(parameters) or "none"
            raise InvalidInput(f"no parameter {shown(asked)}; parameters: {known}")
    if x is not None and x == y:
        raise InvalidInput(f"x and y are both {shown(x)}; they must be two parameters")
    free = [each for each in parameters if each not in (x, y)]
    varied = [each for each in free if frame[each].n_unique() > 1]
    if x is None:
        x = next(iter((*varied, *free)), None)
        if x is None:
            raise InvalidInput("a heat map needs a parameter besides y")
        varied = [each for each in varied if each != x]
    return x, y if y is not None else next(iter(varied), None)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.15g}"
    return "none" if value is None else str(value)


def _labels(column: pl.Series) -> list[str]:
    """List the values of a parameter: numbers and times in order, texts as the grid has them."""
    values = column.unique(maintain_order=True)
    if column.dtype != pl.String:
        values = values.sort(nulls_last=True)
    return [_text(each) for each in values]


def _cells(
    frame: pl.DataFrame,
    across: str,
    up: str | None,
    value: str,
    labels: tuple[list[str], list[str]],
) -> tuple[Any, Any]:
    """Return the mean value and the number of trials of each cell; NaN where there is no value."""
    rows, columns = ({text: place for place, text in enumerate(each)} for each in labels)
    sums, known, counts = np.zeros((3, len(rows), len(columns)))
    ups = [""] * frame.height if up is None else [_text(each) for each in frame[up]]
    for high, wide, number in zip(ups, frame[across], frame[value], strict=True):
        cell = rows[high], columns[_text(wide)]
        counts[cell] += 1
        if number is not None:
            sums[cell] += number
            known[cell] += 1
    means = np.divide(sums, known, out=np.full_like(sums, np.nan), where=known > 0)
    return means, counts


def _spec(
    cells: Any,
    counts: Any,
    labels: tuple[list[str], list[str]],
    names: tuple[str, str | None],
    value: str,
    height: int,
) -> Spec:
    rows, columns = labels
    across, up = literal(names[0]), literal(names[1] or "")
    where = f"{across} %{{x}}<br>" + (f"{up} %{{y}}<br>" if up else "")
    heat = {
        "type": "heatmap",
        "x": [literal(each) for each in columns],
        "y": [literal(each) for each in rows],
        "z": cells,
        "customdata": counts,
        "hoverongaps": False,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {"title": {"text": literal(value)}, "thickness": 12, "outlinewidth": 0},
        "hovertemplate": f"{where}{literal(value)} %{{z:,.6~r}}"
        "<br>trials %{customdata}<extra></extra>",
        **_colours(cells),
    }
    if cells.size <= _MOST_WRITTEN:
        # Plotly's own choice is for opaque colours, and cannot be read on the dark theme.
        heat.update(texttemplate=f"%{{z:{_NUMBER}}}", textfont={"color": "$main"})
    made = layout(f"{literal(value)} by {across}" + (f" and {up}" if up else ""), height=height)
    made["xaxis"] = axis(across, type="category", showgrid=False)
    made["yaxis"] = axis(up, type="category", showgrid=False)
    made["hovermode"] = "closest"
    return {"data": [heat], "layout": made}


def _colours(cells: Any) -> Spec:
    """Choose colours: orange below zero, blue above, and both only where both are."""
    known = cells[~np.isnan(cells)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    if low < 0 < high:
        return {"colorscale": [[0, "$sell"], [0.5, "$grid"], [1, "$buy"]], "zmid": 0}
    if high <= 0 and low < 0:
        return {"colorscale": [[0, "$sell"], [1, "$grid"]]}
    return {"colorscale": [[0, "$band"], [1, "$buy"]]}


def _frame_of(column: int, row: int) -> Spec:
    # On an axis of categories, numbers are places: the middle of the first cell is 0.
    return {
        "type": "rect",
        "x0": column - 0.5,
        "x1": column + 0.5,
        "y0": row - 0.5,
        "y1": row + 0.5,
        "line": {"color": "$main", "width": 3},
    }
