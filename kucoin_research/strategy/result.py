"""The result of a strategy's run: it prints itself, draws itself, and compares itself."""

from __future__ import annotations

import html
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import zip_longest
from os import PathLike
from pathlib import Path
from typing import Any

import polars as pl

from kucoin_research.errors import InvalidInput, UnknownSymbol, shown
from kucoin_research.foundation.arguments import kind_of, path_of
from kucoin_research.foundation.forking import cached_property
from kucoin_research.foundation.late_import import import_late
from kucoin_research.strategy.fingerprint import Row, fill_rows, fingerprint_of
from kucoin_research.strategy.result_stats import Figures, Value, figures_of
from kucoin_research.strategy.result_text import html_of, text_of
from kucoin_research.strategy.run_facts import Failure, RunFacts
from kucoin_research.strategy.statistics import drawdown_path

__all__ = ["Result"]


class Result:
    """The result of a run: figures, frames, and every assumption behind them.

    It prints itself in a terminal and in a notebook.

    Parameters
    ----------
    facts
        Everything that the run has collected. It is not changed afterwards.
    """

    def __init__(self, facts: RunFacts) -> None:
        self._facts = facts

    # -- what happened -----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The strategy's name."""
        return self._facts.name

    @property
    def currency(self) -> str:
        """The currency of all money in ``stats`` and ``equity``."""
        return self._facts.currency

    @property
    def complete(self) -> bool:
        """Whether all records were played."""
        return self._facts.ended is None

    @property
    def ended(self) -> str | None:
        """Why the run ended early; ``None`` if it did not."""
        return self._facts.ended

    @property
    def failure(self) -> Failure | None:
        """The record and the error, if the strategy raised."""
        return self._facts.failure

    @property
    def stats(self) -> Mapping[str, Value]:
        """The figures by name.

        Times are ``datetime`` in UTC, spans ``timedelta``, names with ``_pct`` percent. A figure is
        ``None`` where it has no meaning: ratios of fewer than 30 returns, for one.
        """
        return self._figures.values

    @cached_property
    def fingerprint(self) -> str:
        """Compute the SHA-256 of the fills: equal only if every fill is equal."""
        return fingerprint_of(self._facts.fills)

    @cached_property
    def _figures(self) -> Figures:
        return figures_of(self._facts)

    # -- frames ------------------------------------------------------------------------------------

    @property
    def fills(self) -> pl.DataFrame:
        """Every fill, in order of time."""
        return self._facts.fills

    @property
    def orders(self) -> pl.DataFrame:
        """Every order, with how it ended."""
        return self._facts.orders

    @property
    def equity(self) -> pl.DataFrame:
        """Equity, cash, unrealised profit, drawdown and exposure along the run."""
        return self._facts.equity

    @property
    def trades(self) -> pl.DataFrame:
        """The round trips."""
        return self._facts.trades

    @property
    def positions(self) -> pl.DataFrame:
        """The position after each change of it."""
        return self._facts.positions

    @property
    def funding(self) -> pl.DataFrame:
        """The funding payments; a negative amount was paid."""
        return self._facts.funding

    @property
    def notes(self) -> pl.DataFrame:
        """The strategy's notes, with position and equity at that time."""
        return self._facts.notes

    @property
    def assumptions(self) -> pl.DataFrame:
        """Every choice of a model, and what the data lacked (subject ``"lacked"``)."""
        return self._facts.assumptions

    # -- showing -----------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return text_of(self._facts, self._figures)

    def _repr_html_(self) -> str:
        return html_of(self._facts, self._figures)

    def figure(
        self,
        symbol: str | None = None,
        *,
        tz: str = "UTC",
        theme: str = "light",
        height: int = 820,
    ) -> Any:
        """Draw the price with fills and notes, and below it equity, drawdown and positions.

        Parameters
        ----------
        symbol
            The symbol of the price and its fills; left out, the one with the most fills.
        tz
            ``"UTC"``, ``"local"`` or an IANA name, for the time axis.
        theme
            ``"light"`` or ``"dark"``.
        height
            Pixels.

        Returns
        -------
        kucoin_research.figures.Figure
            A plotly figure, whose ``zoomable()`` makes a widget that shows every row of the range
            zoomed into.

        Raises
        ------
        UnknownSymbol
            If the run has no such symbol.
        ModuleNotFoundError
            If plotly is not installed.
        """
        chosen = self._symbol(symbol)
        # Figures need plotly, which a run does without; so they are imported for a drawing only.
        return import_late("kucoin_research.figures.result_chart").result_figure(
            self._frames_of(chosen),
            chosen,
            currency=self.currency,
            span=self._span,
            gaps=self._facts.coverage.gaps,
            tz=tz,
            theme=theme,
            height=height,
        )

    def to_html(self, path: str | PathLike[str], symbol: str | None = None) -> Path:
        """Write the printed tables and the figure to one HTML file that needs no network.

        Parameters
        ----------
        path
            The file; one that is there is replaced, as by a figure's ``to_html``.
        symbol
            As for ``figure``.

        Returns
        -------
        Path
            The file.
        """
        file = path_of(path, "path")
        chart: str = self.figure(symbol).to_html(full_html=False, include_plotlyjs=True)
        page = _PAGE.format(name=html.escape(self.name), tables=self._repr_html_(), chart=chart)
        file.write_text(page, encoding="utf-8")
        return file

    @property
    def _span(self) -> tuple[int, int] | None:
        begin, end = self._facts.start_ns, self._facts.end_ns
        return None if begin is None or end is None else (begin, end)

    def _symbols(self) -> list[str]:
        """List the symbols of the run, the one with the most fills first."""
        counts: dict[str, int] = {}
        for name in ("prices", "positions"):
            for symbol in _symbols_of(getattr(self._facts, name)):
                counts.setdefault(symbol, 0)
        for symbol, many in self.fills.group_by("symbol").len().iter_rows():
            counts[str(symbol)] = many
        return sorted(counts, key=lambda each: (-counts[each], each))

    def _symbol(self, symbol: str | None) -> str:
        there = self._symbols()
        if symbol is None:
            return there[0] if there else ""
        if symbol not in there:
            raise UnknownSymbol(
                f"the run has no {shown(symbol)}; it has: {', '.join(there) or 'no symbol'}"
            )
        return symbol

    def _frames_of(self, symbol: str) -> dict[str, pl.DataFrame]:
        facts = self._facts
        is_own = pl.col("symbol") == symbol
        equity = facts.equity.select("timestamp", "equity")
        if facts.initial_equity > 0:
            path = drawdown_path(equity["equity"].cast(pl.Float64).to_numpy(), facts.initial_equity)
            equity = equity.with_columns(drawdown=path)
        return {
            "prices": facts.prices.filter(is_own),
            "fills": facts.fills.filter(is_own),
            "notes": facts.notes.filter(is_own | pl.col("symbol").is_null()),
            "equity": equity,
            "positions": facts.positions,
        }

    # -- comparing ---------------------------------------------------------------------------------

    def compare(self, other: Result) -> pl.DataFrame:
        """Compare with another result, figure by figure, and find where the fills first differ.

        Parameters
        ----------
        other
            Of another run.

        Returns
        -------
        pl.DataFrame
            Columns ``figure``, ``this`` and ``other`` (texts in full precision; null where one has
            no meaning) and ``difference``: this less other, spans of time in seconds. The last two
            rows are ``fills`` (their numbers) and ``first different fill``: the first fill that
            is not equal in both, from 0; null in both if all are equal.
        """
        if not isinstance(other, Result):
            raise InvalidInput(f"compare takes another Result, not {kind_of(other)}")
        rows: list[tuple[str, str | None, str | None, float | None]] = [
            ("currency", self.currency, other.currency, None)
        ]
        for name, value in self.stats.items():
            its = other.stats[name]
            rows.append((name, _exact(value), _exact(its), _difference(value, its)))
        ours, theirs = self.fills, other.fills
        difference = float(ours.height - theirs.height)
        rows.append(("fills", str(ours.height), str(theirs.height), difference))
        rows.append(("first different fill", *_first_different(ours, theirs), None))
        return pl.DataFrame(rows, schema=_COMPARED, orient="row")


_COMPARED: dict[str, Any] = {
    "figure": pl.String,
    "this": pl.String,
    "other": pl.String,
    "difference": pl.Float64,
}
_PAGE = (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title><style>'
    "body{{font:14px system-ui,sans-serif;color:#1f2933;background:#fff;margin:1.5em}}"
    "</style></head>\n<body>{tables}\n{chart}</body></html>\n"
)


def _symbols_of(frame: pl.DataFrame) -> list[str]:
    return frame["symbol"].drop_nulls().unique(maintain_order=True).cast(pl.String).to_list()


def _exact(value: Value) -> str | None:
    if value is None:
        return None
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _difference(this: Value, other: Value) -> float | None:
    if isinstance(this, datetime) and isinstance(other, datetime):
        return (this - other).total_seconds()
    if isinstance(this, timedelta) and isinstance(other, timedelta):
        return (this - other).total_seconds()
    if isinstance(this, int | float) and isinstance(other, int | float):
        return float(this - other)
    return None


def _first_different(ours: pl.DataFrame, theirs: pl.DataFrame) -> tuple[str | None, str | None]:
    for place, (this, other) in enumerate(zip_longest(fill_rows(ours), fill_rows(theirs))):
        if this != other:
            return _fill_text(place, this), _fill_text(place, other)
    return None, None


def _fill_text(place: int, row: Row | None) -> str:
    return f"{place}: " + ("none" if row is None else " ".join(map(str, row)))
