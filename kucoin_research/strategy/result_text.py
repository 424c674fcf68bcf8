"""The tables that a result prints, as text for a terminal and as HTML for a notebook."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl

from kucoin_research.errors import shown
from kucoin_research.model.printed_tables import STYLE, badge, html_table
from kucoin_research.model.units import told_apart
from kucoin_research.strategy.result_stats import Figures, Value
from kucoin_research.strategy.run_facts import LACKED, RunFacts

__all__ = ["html_of", "span_text", "text_of", "value_text"]

_WIDTH = 100
_MOST_OF_NAME = 60
_NAME_WIDTH, _VALUE_WIDTH = 21, 25
_SUBJECT_WIDTH, _CHOICE_WIDTH = 18, 28
_COMPLETE, _EARLY = "PLAYED TO THE END", "ENDED EARLY"
_COLOURS = {_COMPLETE: ("✓", "#0072b2"), _EARLY: ("✗", "#d55e00")}
_NOTHING_LACKED = "Nothing is known to be missing from the data."
_FIGURE_HEADER = ("figure", "value", "meaning")
_CHOICE_HEADER = ("assumption", "choice", "detail")

# Currencies that are written with cents; amounts of coins need more decimals.
_OF_CENTS = frozenset({"USDT", "USDC", "USD", "EUR"})
_COIN_DECIMALS = 8
_CENT = 0.01
_LARGE = 1e12  # from here on a number is written with an exponent


# -- values ----------------------------------------------------------------------------------------


class _Row(NamedTuple):
    """How a figure is written, and its meaning in a few words."""

    write: Callable[[float, str], str]
    meaning: str


def _plain(value: float, digits: int) -> str:
    if abs(value) >= _LARGE:
        return f"{value:.3e}"
    return f"{round(value, digits) + 0.0:,.{digits}f}"  # + 0.0: no "-0.00"


def _percent(value: float, _: str) -> str:
    return f"{_plain(value, 2)} %"


def _ratio(value: float, _: str) -> str:
    return _plain(value, 2)


def _count(value: float, _: str) -> str:
    return f"{value:,.0f}"


def _money(value: float, currency: str) -> str:
    if currency in _OF_CENTS and (not value or abs(value) >= _CENT):
        return f"{_plain(value, 2)} {currency}"
    text = _plain(value, _COIN_DECIMALS)
    return f"{text.rstrip('0').rstrip('.') if 'e' not in text else text} {currency}"


_ROWS: dict[str, _Row] = {
    "start": _Row(_count, "time of the first record, UTC"),
    "end": _Row(_count, "time of the last record, UTC"),
    "duration": _Row(_count, "from the first record to the last"),
    "records": _Row(_count, "played"),
    "return_pct": _Row(_percent, "last equity over initial equity, less 1"),
    "annual_return_pct": _Row(_percent, "compound growth of equity in 365 days"),
    "volatility_pct": _Row(_percent, "deviation of returns, per year"),
    "sharpe": _Row(_ratio, "mean return over deviation, per year ± its error"),
    "sharpe_error": _Row(_ratio, "standard error of sharpe"),
    "sortino": _Row(_ratio, "mean return over deviation of losses, per year"),
    "calmar": _Row(_ratio, "annual return over deepest drawdown"),
    "max_drawdown_pct": _Row(_percent, "deepest fall below an earlier peak of equity"),
    "max_drawdown_duration": _Row(_count, "longest time from a peak to its recovery"),
    "exposure_pct": _Row(_percent, "share of time with a position"),
    "turnover": _Row(_ratio, "worth of all fills over mean equity"),
    "trades": _Row(_count, "closed round trips"),
    "win_rate_pct": _Row(_percent, "share of round trips that made money"),
    "profit_factor": _Row(_ratio, "money won over money lost"),
    "expectancy": _Row(_money, "mean profit of a round trip"),
    "fees": _Row(_money, "paid; negative: rebates received"),
    "funding": _Row(_money, "received; negative: paid"),
    "slippage": _Row(_money, "lost between decision and fill, against the mid"),
    "orders": _Row(_count, "submitted"),
    "rejected": _Row(_count, "orders refused"),
    "unfilled": _Row(_count, "orders accepted of which nothing was filled"),
    "liquidations": _Row(_count, "positions closed by the exchange"),
}
_WITHIN_OTHERS = frozenset({"sharpe_error"})


def value_text(name: str, value: Value, currency: str) -> str:
    """Write a figure with its unit; ``n/a`` if it is missing."""
    if value is None:
        return "n/a"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, timedelta):
        return span_text(value)
    return _ROWS[name].write(value, currency)


def span_text(span: timedelta) -> str:
    """Write a span of time in its two largest units: ``3 d 4 h``, ``12 min 5 s``, ``1.5 s``."""
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms" if seconds else "0 s"
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for length, unit, part, small in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= length:
            rest = whole % length // part
            return (
                f"{whole // length:,} {unit} {rest} {small}"
                if rest
                else (f"{whole // length:,} {unit}")
            )
    raise AssertionError("a minute or more is one of these")


def _value_cell(name: str, facts: RunFacts, figures: Figures) -> str:
    value, currency = figures.values[name], facts.currency
    text = value_text(name, value, currency)
    if value is None:
        return f"{text} ({figures.reasons[name]})"
    if name == "sharpe":
        return f"{text} ± {value_text(name, figures.values['sharpe_error'], currency)}"
    fall = figures.drawdown
    if name == "max_drawdown_duration" and fall is not None and not fall.is_recovered:
        return f"{text}, not recovered"
    return text


def _figure_rows(facts: RunFacts, figures: Figures) -> list[tuple[str, str, str]]:
    return [
        (name, _value_cell(name, facts, figures), row.meaning)
        for name, row in _ROWS.items()
        if name not in _WITHIN_OTHERS
    ]


# -- sentences -------------------------------------------------------------------------------------


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _verdict(facts: RunFacts) -> str:
    return _COMPLETE if facts.ended is None else _EARLY


def _why(facts: RunFacts) -> str:
    return "" if facts.ended is None else _on_one_line(facts.ended)


def _span(facts: RunFacts) -> str:
    if facts.start_ns is None or facts.end_ns is None:
        return "no record was played"
    begin, end = told_apart(facts.start_ns, facts.end_ns)
    lasted = span_text(timedelta(microseconds=(facts.end_ns - facts.start_ns) // 1_000))
    return f"{begin} to {end} UTC ({lasted})"


def _sentences(facts: RunFacts, figures: Figures) -> Iterator[str]:
    """Yield the lines between the headline and the tables."""
    if facts.failure is not None:
        record, error = facts.failure.record, _on_one_line(facts.failure.error)
        yield f"The strategy raised {error}, called with {_on_one_line(shown(record))}."
    if figures.final_equity is not None:
        began = _money(facts.initial_equity, facts.currency)
        yield f"Equity: {began} became {_money(figures.final_equity, facts.currency)}."
    count, step = len(figures.grid.returns), timedelta(microseconds=figures.grid.step_ns // 1_000)
    if count:
        yield f"Ratios are of {count:,} returns, each over {span_text(step)}; a year has 365 days."
    gaps = facts.coverage.gaps
    if gaps:
        lost = timedelta(microseconds=sum(end - begin for begin, end in gaps) // 1_000)
        covered = span_text(timedelta(microseconds=facts.coverage.covered_ns // 1_000))
        many = "1 gap" if len(gaps) == 1 else f"{len(gaps):,} gaps"
        yield f"The record covers {covered}: {many} of {span_text(lost)} in all make no returns."


def _assumption_rows(frame: pl.DataFrame) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Separate the choices of the models from what the data lacked."""
    rows = [
        tuple("" if each is None else _on_one_line(str(each)) for each in row)
        for row in frame.select("subject", "choice", "detail").iter_rows()
    ]
    return [row for row in rows if row[0] != LACKED], [row for row in rows if row[0] == LACKED]


def _lack(row: Sequence[str]) -> str:
    return ": ".join(filter(None, row[1:]))


# -- text ------------------------------------------------------------------------------------------


def text_of(facts: RunFacts, figures: Figures) -> str:
    """Write a result as text, at most 100 columns wide."""
    why = _why(facts)
    name = textwrap.shorten(facts.name, _MOST_OF_NAME, placeholder="…")
    head = f"{name or facts.name[:_MOST_OF_NAME]}: {_verdict(facts)}, {_span(facts)}"
    lines = _wrapped(head)
    if why:
        lines += _wrapped(f"Why: {why}")
    for sentence in _sentences(facts, figures):
        lines += _wrapped(sentence)
    lines += ["", *_figure_lines(facts, figures), ""]
    chosen, lacked = _assumption_rows(facts.assumptions)
    if chosen:
        lines += [*_choice_lines(_CHOICE_HEADER, chosen), ""]
    if lacked:
        lines.append("The data lacked:")
        for row in lacked:
            lines += _wrapped(f"- {_lack(row)}", indent="  ")
    else:
        lines.append(_NOTHING_LACKED)
    return "\n".join(line.rstrip() for line in lines)


def _wrapped(text: str, width: int = _WIDTH, indent: str = "") -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False) or [""]


def _figure_lines(facts: RunFacts, figures: Figures) -> Iterator[str]:
    rows = [_FIGURE_HEADER, *_figure_rows(facts, figures)]
    for name, value, meaning in rows:
        head = f"{name:<{_NAME_WIDTH}}  "
        if value.startswith("n/a"):  # the reason takes the place of the meaning
            yield from _wrapped(f"{head}{'n/a':>{_VALUE_WIDTH}}{value[3:]}", indent=" " * len(head))
        else:
            yield from _wrapped(f"{head}{value:>{_VALUE_WIDTH}}  {meaning}", indent=" " * len(head))


def _choice_lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [
        min(most, max(len(row[column]) for row in (header, *rows)))
        for column, most in enumerate((_SUBJECT_WIDTH, _CHOICE_WIDTH))
    ]
    widths.append(_WIDTH - sum(widths) - 2 * len(widths))
    for row in (header, *rows):
        cells = [_wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
        for place in range(max(map(len, cells))):
            parts = [cell[place] if place < len(cell) else "" for cell in cells]
            yield "  ".join(f"{part:<{width}}" for part, width in zip(parts, widths, strict=True))


# -- HTML ------------------------------------------------------------------------------------------


def html_of(facts: RunFacts, figures: Figures) -> str:
    """Write a result as HTML; every text is shown as it is."""
    verdict = _verdict(facts)
    mark, colour = _COLOURS[verdict]
    why = f": <b>{html.escape(_why(facts))}</b>" if facts.ended is not None else ""
    chosen, lacked = _assumption_rows(facts.assumptions)
    label = badge(f"{mark} {verdict}", colour)
    head = f"{label} <b>{html.escape(facts.name)}</b>, {html.escape(_span(facts))}{why}"
    parts = [
        f"<p>{head}</p>",
        *(f"<p>{html.escape(each)}</p>" for each in _sentences(facts, figures)),
        html_table(_FIGURE_HEADER, {1}, _figure_rows(facts, figures)),
    ]
    if chosen:
        parts.append(html_table(_CHOICE_HEADER, (), chosen))
    if lacked:
        items = "".join(f"<li>{html.escape(_lack(row))}</li>" for row in lacked)
        parts.append(f"<p>The data lacked:</p><ul>{items}</ul>")
    else:
        parts.append(f"<p>{_NOTHING_LACKED}</p>")
    return f'<div class="kr-report"><style>{STYLE}</style>{"".join(parts)}</div>'
