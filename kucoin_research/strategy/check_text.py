"""How reports of checks print themselves: a verdict, sentences, tables and a list of limits."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from kucoin_research.model.printed_tables import STYLE, badge, html_table, text_table

__all__ = ["CheckText", "Grid", "html_of", "text_of"]

_WIDTH = 100
_GOOD, _BAD = ("✓", "#0072b2"), ("✗", "#d55e00")


class Grid(NamedTuple):
    """A table: its header, the columns to align at the right, and the rows."""

    header: tuple[str, ...]
    numeric: frozenset[int]
    rows: Sequence[Sequence[str]]


class CheckText(NamedTuple):
    """Everything that a report prints.

    Attributes
    ----------
    name
        Of the strategy.
    verdict
        A few words in capitals.
    is_ok
        Whether it is a good one.
    sentences
        What follows the verdict.
    grids
        Tables.
    limits
        What the check cannot see, a sentence each.
    """

    name: str
    verdict: str
    is_ok: bool
    sentences: Sequence[str]
    grids: Sequence[Grid]
    limits: Sequence[str] = ()


def text_of(text: CheckText) -> str:
    """Write a report as text; its sentences are at most 100 columns wide."""
    lines = _wrapped(f"{text.name}: {text.verdict}")
    for sentence in text.sentences:
        lines += _wrapped(sentence)
    for grid in text.grids:
        if grid.rows:
            lines += ["", text_table(grid.header, grid.numeric, grid.rows)]
    if text.limits:
        lines += ["", "This check cannot see:"]
        for limit in text.limits:
            lines += _wrapped(f"- {limit}", "  ")
    return "\n".join(lines)


def _wrapped(text: str, indent: str = "") -> list[str]:
    plain = " ".join(text.split())
    return textwrap.wrap(plain, _WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [""]


def html_of(text: CheckText) -> str:
    """Write a report as HTML; every text is shown as it is."""
    mark, colour = _GOOD if text.is_ok else _BAD
    label = badge(f"{mark} {text.verdict}", colour)
    parts = [
        f"<p>{label} <b>{html.escape(text.name)}</b></p>",
        *(f"<p>{html.escape(each)}</p>" for each in text.sentences),
        *(html_table(*grid) for grid in text.grids if grid.rows),
    ]
    if text.limits:
        items = "".join(f"<li>{html.escape(each)}</li>" for each in text.limits)
        parts.append(f"<p>This check cannot see:</p><ul>{items}</ul>")
    return f'<div class="kr-report"><style>{STYLE}</style>{"".join(parts)}</div>'
