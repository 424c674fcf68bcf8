"""A chart in a sentence, for those who hear a page rather than see it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np

from kucoin_research.figures.chart import Chart, Drawing
from kucoin_research.figures.line_spec import OVER
from kucoin_research.figures.seam import SEAM_WORDS
from kucoin_research.figures.theme import Spec
from kucoin_research.figures.time_axis import Floats

__all__ = ["summary_of"]

_DIGITS = 9  # a price has up to 8, and a mid one more
_FEW_DIGITS = 4  # of other values
_PRICES = ("open", "high", "low", "close")
_LEAST_SPAN = 1e3  # ms; a change within less is not worth a word


def summary_of(chart: Chart, drawing: Drawing) -> str:
    """Describe what a chart shows: its newest values, the change of its price, and its gaps.

    Parameters
    ----------
    chart
        The chart.
    drawing
        Its newest drawing.

    Returns
    -------
    str
        One line of plain text, such as ``XBTUSDTM, best bid and ask, trades by size: best bid
        65,432.1, best ask 65,432.2, mid 65,432.15, up 0.12 % in 5 min, 31 buy trades, 1 gap``.
    """
    spec = _named(chart.spec(), drawing)
    subject = _subject(chart, spec, drawing)
    notes = [_plain(note["text"]) for note in drawing.layout.get("annotations", ())]
    if chart.is_empty:
        return f"{subject}: {'; '.join(notes) or 'nothing to show yet'}"
    facts = [*_last(spec, drawing), *_traces(chart, spec, drawing), *notes, *_gaps(drawing)]
    return f"{subject}: {', '.join(facts)}" if facts else subject


def _named(spec: Spec, drawing: Drawing) -> Spec:
    """Name the traces as the drawing does, where their names depend on the data."""
    names = {number: drawing.traces.get(f"{number}.name") for number in range(len(spec["data"]))}
    data = [
        {**trace, "name": _plain(name)} if (name := names[number]) else trace
        for number, trace in enumerate(spec["data"])
    ]
    return {**spec, "data": data}


def _subject(chart: Chart, spec: Spec, drawing: Drawing) -> str:
    title = str(drawing.layout.get("title.text") or spec["layout"]["title"]["text"])
    symbol, what = chart.sketch.symbol, _plain(title)
    what = what.removeprefix(symbol).strip()
    return ", ".join(filter(None, (symbol, what)))


def _last(spec: Spec, drawing: Drawing) -> Iterator[str]:
    # Of the tags, since no trace is a line of prices that were paid. A candle has it as its close.
    if any(trace["type"] == "candlestick" for trace in spec["data"]):
        return
    for kind, _, text, tone in drawing.layout.get("meta.tags", {}).get("rows", ()):
        if kind == "last":
            yield f"last price {text}{f', {tone}' if tone else ''}"


def _traces(chart: Chart, spec: Spec, drawing: Drawing) -> Iterator[str]:
    arrays = drawing.arrays
    for number, trace in enumerate(spec["data"]):
        x, y = (arrays.get((number, path), np.empty(0)) for path in ("x", "y"))
        if trace["type"] == "candlestick":
            if number == 0:
                yield from _candles(spec, drawing)
        elif trace["type"] == "heatmap":
            if trace.get("showscale", True):  # else it only marks what is not known
                yield from _heat(trace["name"], y)
        elif not (x.size and y.size) or trace.get("xaxis", "x") != "x":
            continue  # a histogram needs no words, since notes have its percentiles
        elif chart.time_axis is None:
            yield _levels(trace, x, y)
        elif trace["type"] == "bar":
            texts = drawing.traces.get(f"{number}.text") or ()
            about = "about " if any(texts) else ""
            yield f"{trace['name']} {about}{_number(float(np.nansum(y)))}{_unit(spec, trace)}"
        elif trace["mode"] == "markers":
            counts = arrays.get((number, "customdata"))
            count = x.size if counts is None else int(counts[:, 1].sum())
            yield f"{count:,} {trace['name'].removesuffix('s') if count == 1 else trace['name']}"
        else:
            yield from _line(spec, number, x, y)


def _line(spec: Spec, number: int, x: Floats, y: Floats) -> Iterator[str]:
    there = np.isfinite(y)
    if not there.any():
        return
    x, y, trace = x[there], y[there], spec["data"][number]
    is_price = _is_price(spec, trace)
    last = _number(float(y[-1]), _DIGITS if is_price else _FEW_DIGITS)
    yield f"{trace['name']} {last}{_unit(spec, trace)}"
    if is_price and _is_main(spec, number):
        yield from _change(float(y[0]), float(y[-1]), float(x[-1] - x[0]))


def _change(first: float, last: float, span_ms: float) -> Iterator[str]:
    if span_ms < _LEAST_SPAN or first <= 0:
        return
    percent = round((last / first - 1) * 100, 2)
    way = "up" if percent > 0 else "down"
    yield f"{f'{way} {abs(percent):.2f} %' if percent else 'unchanged'} in {_span(span_ms)}"


def _candles(spec: Spec, drawing: Drawing) -> Iterator[str]:
    # Whole candles and those that lack a part are two traces; one more only keeps room for them.
    traces = [
        number
        for number, trace in enumerate(spec["data"])
        if trace["type"] == "candlestick" and trace.get("hoverinfo") != "skip"
    ]
    x, *values = (
        np.concatenate([drawing.arrays[number, name] for number in traces])
        for name in ("x", *_PRICES)
    )
    if not x.size:
        return
    order = np.argsort(x)
    newest = ", ".join(
        f"{name} {_number(float(each[order[-1]]))}"
        for name, each in zip(_PRICES, values, strict=True)
    )
    yield f"{x.size:,} candles" if x.size > 1 else "1 candle"
    yield f"the newest one {newest}"
    if x.size > 1:
        first, last = float(values[0][order[0]]), float(values[-1][order[-1]])
        yield from _change(first, last, float(x[order[-1]] - x[order[0]]))


def _heat(name: str, prices: Floats) -> Iterator[str]:
    if prices.size:
        low, high = _number(float(prices.min())), _number(float(prices.max()))
        yield f"{name} at prices from {low} to {high}"


def _levels(trace: Spec, x: Floats, y: Floats) -> str:
    """Describe one side of a book: sizes by price, the best price first."""
    is_ladder = trace.get("orientation") == "h"
    prices, total = (y, float(x.sum())) if is_ladder else (x, float(y[-1]))
    name = str(trace["name"]).partition(",")[0]
    best, worst = _number(float(prices[0])), _number(float(prices[-1]))
    span = f"at {best}" if best == worst else f"from {best} to {worst}"
    return f"{name} {span}, size {_number(total)}{_named_unit(trace)} in all"


def _unit(spec: Spec, trace: Spec) -> str:
    """Return the unit of a trace's values with a space before it; empty where none is named."""
    is_bps = "bps" in _axis(spec, trace)["title"]["text"]
    return _named_unit(trace) or (" bps" if is_bps else "")


def _named_unit(trace: Spec) -> str:
    meta = trace.get("meta")
    return f" {meta['unit']}" if isinstance(meta, dict) and "unit" in meta else ""


def _is_price(spec: Spec, trace: Spec) -> bool:
    return _axis(spec, trace).get("exponentformat") == "none"


def _axis(spec: Spec, trace: Spec) -> Spec:
    found: Spec = spec["layout"]["yaxis" + str(trace.get("yaxis", "y"))[1:]]
    return found


def _is_main(spec: Spec, number: int) -> bool:
    """Whether the change of this line is that of the chart: it is the last of its own prices."""
    prices = [
        place
        for place, trace in enumerate(spec["data"])
        if trace["type"] == "scatter" and trace["mode"] == "lines" and _is_price(spec, trace)
        if trace.get("meta") != OVER
    ]
    has_candles = any(trace["type"] == "candlestick" for trace in spec["data"])
    return not has_candles and prices[-1:] == [number]


def _gaps(drawing: Drawing) -> Iterator[str]:
    shapes: list[dict[str, Any]] = drawing.layout.get("shapes", [])
    if any(shape.get("name") == SEAM_WORDS for shape in shapes):
        yield SEAM_WORDS
    count = sum(shape.get("fillcolor") == "$gap" for shape in shapes)
    if count:
        yield f"{count} gap{'s' if count > 1 else ''}"


def _plain(text: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", text)).strip()


def _number(value: float, digits: int = _DIGITS) -> str:
    exact = Decimal(f"{value:.{digits}g}").normalize()
    return f"{exact:,f}"


def _span(span_ms: float) -> str:
    seconds = span_ms / 1e3
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
