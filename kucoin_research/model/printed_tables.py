"""Tables of texts for a terminal and for a notebook, as reports and results print them."""

from __future__ import annotations

import html
from collections.abc import Callable, Collection, Sequence

__all__ = ["STYLE", "badge", "html_row", "html_table", "text_table"]

#: The style of what is printed in a notebook, for elements within ``class="kr-report"``.
STYLE = (
    ".kr-report table{border-collapse:collapse;color:inherit;background:none}"
    ".kr-report th,.kr-report td{padding:.15em .7em;border-bottom:1px solid rgba(127,127,127,.3)}"
    ".kr-report th{font-weight:600;opacity:.8}"
    ".kr-report td{font-variant-numeric:tabular-nums;vertical-align:top}"
    ".kr-report p{margin:.4em 0}"
    ".kr-report summary{cursor:pointer;margin:.5em 0}"
    ".kr-badge{color:#fff;border-radius:.3em;padding:.1em .5em;font-size:90%;white-space:nowrap}"
)


def text_table(
    header: Sequence[str], numeric: Collection[int], rows: Sequence[Sequence[str]]
) -> str:
    """Align rows under a header; empty without rows.

    Parameters
    ----------
    header
        One text per column.
    numeric
        The columns to align at the right.
    rows
        One text per column each.
    """
    if not rows:
        return ""
    table = [header, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    return "\n".join("  ".join(_pad(row, widths, numeric)).rstrip() for row in table)


def _pad(row: Sequence[str], widths: Sequence[int], numeric: Collection[int]) -> list[str]:
    return [
        cell.rjust(width) if column in numeric else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def html_table(
    header: Sequence[str],
    numeric: Collection[int],
    rows: Sequence[Sequence[str]],
    cell: Callable[[int, str], str] | None = None,
) -> str:
    """Make a table element of texts.

    Parameters
    ----------
    header, numeric, rows
        As for ``text_table``.
    cell
        Makes the HTML of a column's text; left out, the text is escaped.
    """
    make = cell or _escaped
    head = html_row("th", [*map(html.escape, header)], numeric)
    cells = ([make(place, text) for place, text in enumerate(row)] for row in rows)
    body = "".join(html_row("td", each, numeric) for each in cells)
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _escaped(_: int, text: str) -> str:
    return html.escape(text)


def html_row(tag: str, cells: Sequence[str], numeric: Collection[int]) -> str:
    """Make a row of cells, whose texts are HTML already."""
    return (
        "<tr>"
        + "".join(
            f'<{tag} style="text-align: {"right" if column in numeric else "left"}">{cell}</{tag}>'
            for column, cell in enumerate(cells)
        )
        + "</tr>"
    )


def badge(text: str, colour: str) -> str:
    """Make a coloured label of a text."""
    return f'<span class="kr-badge" style="background:{colour}">{html.escape(text)}</span>'
