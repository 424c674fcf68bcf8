"""The table that a sweep prints, as text for a terminal and as HTML for a notebook."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator
from datetime import timedelta

from kucoin_research.model.printed_tables import STYLE, badge, html_table, text_table
from kucoin_research.strategy.grids import text_of_value
from kucoin_research.strategy.result_text import span_text, value_text
from kucoin_research.strategy.sweep_facts import SweepFacts

__all__ = ["html_of", "text_of"]

_WIDTH = 100
_MOST_ROWS = 12
_MOST_OF_TEXT = 40
_COLOURS = {True: ("✓", "#0072b2"), False: ("✗", "#d55e00")}
#: The figures of the table; ``.frame`` has all.
_FIGURES = ("return_pct", "sharpe", "max_drawdown_pct", "trades")
_ENDED = "ended"


def text_of(facts: SweepFacts) -> str:
    """Write a sweep as text."""
    lines = [f"{facts.name}: {_verdict(facts)}"]
    for sentence in _sentences(facts):
        lines += textwrap.wrap(sentence, _WIDTH, break_on_hyphens=False)
    header, numeric, rows = _table(facts)
    lines += ["", text_table(header, numeric, rows)]
    if (more := _more(facts)) is not None:
        lines.append(more)
    return "\n".join(lines)


def html_of(facts: SweepFacts) -> str:
    """Write a sweep as HTML; every text is shown as it is."""
    mark, colour = _COLOURS[not (facts.is_interrupted or _failed(facts) or _lost(facts))]
    head = f"{badge(f'{mark} {_verdict(facts)}', colour)} <b>{html.escape(facts.name)}</b>"
    more = _more(facts)
    parts = [
        f"<p>{head}</p>",
        *(f"<p>{html.escape(each)}</p>" for each in _sentences(facts)),
        html_table(*_table(facts)),
        "" if more is None else f"<p>{html.escape(more)}</p>",
    ]
    return f'<div class="kr-report"><style>{STYLE}</style>{"".join(parts)}</div>'


# -- sentences -------------------------------------------------------------------------------------


def _failed(facts: SweepFacts) -> int:
    return sum(each.was_run and not each.figures for each in facts.outcomes)


def _lost(facts: SweepFacts) -> int:
    return sum(not each.was_run for each in facts.outcomes)


def _verdict(facts: SweepFacts) -> str:
    made = f"{len(facts.trials):,} TRIAL{'S' if len(facts.trials) > 1 else ''}"
    failed, lost = _failed(facts), _lost(facts)
    parts = [made, f"{failed:,} FAILED" if failed else "", f"{lost:,} NOT RUN" if lost else ""]
    if facts.is_interrupted:
        parts.append("INTERRUPTED")
    return ", ".join(filter(None, parts))


def _sentences(facts: SweepFacts) -> Iterator[str]:
    step = span_text(timedelta(microseconds=facts.step_ns // 1_000))
    if facts.best is None:
        yield f"No trial has a Sharpe ratio: it takes 30 returns of {step} that vary."
        return
    chosen = facts.trials[facts.best]
    written = ", ".join(f"{name}={text_of_value(value)}" for name, value in chosen.items())
    figures = facts.outcomes[facts.best].figures
    sharpe, error = (_cell(name, figures.get(name), facts) for name in ("sharpe", "sharpe_error"))
    yield f"Best: {written or 'no parameters'}, with a Sharpe ratio of {sharpe} ± {error} per year."
    yield _deflated(facts)
    yield f"Ratios are of returns over {step} each; a year has 365 days."


def _deflated(facts: SweepFacts) -> str:
    made = f"{facts.counted:,} trial{'s' if facts.counted > 1 else ''}"
    if facts.trials_before:
        made += f", {facts.trials_before:,} of them earlier"
    luck, deflated = facts.luck, facts.deflated_sharpe
    if luck is None or deflated is None:
        return f"Its deflated Sharpe ratio is n/a: of {made}, too few have a Sharpe ratio."
    return (
        f"Its deflated Sharpe ratio is {deflated:.2f}: the probability that it is better than "
        f"luck, which makes {luck:.2f} of the best of {made}."
    )


def _more(facts: SweepFacts) -> str | None:
    hidden = len(facts.trials) - _MOST_ROWS
    return f"The best first; .frame has {hidden:,} more." if hidden > 0 else None


# -- table -----------------------------------------------------------------------------------------


def _table(facts: SweepFacts) -> tuple[list[str], set[int], list[list[str]]]:
    """Make the header, the numeric columns and the rows of the printed table."""
    frame = facts.frame
    parameters = frame.columns[: frame.width - len(facts.blank) - 2]
    figures = [name for name in _FIGURES if name in facts.blank]
    ended = [_ENDED] if frame[_ENDED].null_count() < frame.height else []
    names = [*parameters, *figures, *ended]
    if frame.height > _MOST_ROWS:
        frame = frame.sort("sharpe", descending=True, nulls_last=True, maintain_order=True)
    rows = [
        [_cell(name, row[name], facts) for name in names]
        for row in frame.head(_MOST_ROWS).iter_rows(named=True)
    ]
    numeric = {place for place, name in enumerate(names) if frame.schema[name].is_numeric()}
    return names, numeric, rows


def _cell(name: str, value: object, facts: SweepFacts) -> str:
    if name in facts.blank and (value is None or isinstance(value, int | float)):
        return value_text(name, value, facts.currency)
    text = "" if value is None else " ".join(text_of_value(value).split())
    return text if len(text) <= _MOST_OF_TEXT else f"{text[: _MOST_OF_TEXT - 1]}…"
