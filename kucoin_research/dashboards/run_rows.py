"""The rows of a strategy that runs, for the charts of a dashboard."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import polars as pl

from kucoin_research.figures.gaps import GapMark
from kucoin_research.figures.tail import Rewound
from kucoin_research.strategy.journal import Moment
from kucoin_research.strategy.paper import PaperTrading

__all__ = ["RunRows"]

_TIME: pl.DataType = pl.Datetime("ns", "UTC")
_FILLS = pl.Schema(
    {
        "timestamp": _TIME, "side": pl.String(), "price": pl.Float64(), "size": pl.Float64(),
        "liquidity": pl.String(), "fee": pl.Float64(), "fee_currency": pl.String(),
        "order_id": pl.Int64(), "tag": pl.String(),
    }
)  # fmt: skip
_NOTES = pl.Schema(
    {"timestamp": _TIME, "text": pl.String(), "position": pl.Float64(), "price": pl.Float64()}
)
_POSITIONS = pl.Schema({"timestamp": _TIME, "size": pl.Float64()})
_EQUITY = pl.Schema({"timestamp": _TIME, "equity": pl.Float64()})


class RunRows:
    """Supplies a chart with what a run has done in one symbol, on the exchange's clock.

    Parameters
    ----------
    run
        The run.
    symbol
        The symbol of fills, notes and positions.
    roles
        The kinds of rows that the chart takes: ``equity``, ``fills``, ``positions``, ``notes``.

    Notes
    -----
    For one thread, that of the chart; the run may go on meanwhile.
    """

    def __init__(self, run: PaperTrading, symbol: str, roles: Collection[str]) -> None:
        self._run = run
        self._symbol = symbol
        self._roles = frozenset(roles)
        self.restart()

    def restart(self) -> None:
        """Begin again with all rows."""
        self._journal = self._run.journal
        self._moments = self._samples = 0

    def has_news(self) -> bool:
        """Whether there are rows to take."""
        journal = self._run.journal
        return (
            journal is not self._journal
            or (journal.is_placed and len(journal.moments) > self._moments)
            or len(journal.equity) > self._samples
        )

    def rows(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the new rows of each role.

        Raises
        ------
        Rewound
            If the run has begun again.
        """
        journal = self._journal
        if self._run.journal is not journal:
            raise Rewound
        is_begin = not self._samples
        samples = journal.equity[self._samples :]
        # Until the exchange's clock is known, they would lie elsewhere on the axis.
        moments = journal.since(self._moments) if journal.is_placed else ()
        self._samples += len(samples)
        self._moments += len(moments)
        own = [each for each in moments if each.symbol in (self._symbol, None)]
        fills = [each for each in own if each.fill is not None]
        notes = [each for each in own if each.fill is None]
        sizes = [(each.timestamp, each.position) for each in fills]
        held = journal.held.get(self._symbol, 0.0)
        if is_begin and samples and held:
            sizes.insert(0, (samples[0][0], held))
        found = {
            "equity": (samples, _EQUITY),
            "fills": ([_fill_row(each) for each in fills], _FILLS),
            "positions": (sizes, _POSITIONS),
            "notes": ([_note_row(each) for each in notes], _NOTES),
        }
        for role, (rows, schema) in found.items():
            if role in self._roles and rows:
                frame = pl.DataFrame(rows, schema=schema, orient="row")
                yield role, frame.sort("timestamp", maintain_order=True)

    def gaps(self) -> tuple[list[GapMark], bool]:
        """Return no gaps: the charts of prices show those of the source."""
        return [], False


def _fill_row(moment: Moment) -> tuple[Any, ...]:
    fill = moment.fill
    assert fill is not None
    return (
        moment.timestamp, fill.side, fill.price, fill.size, fill.liquidity, fill.fee,
        fill.fee_currency, fill.order_id, fill.tag,
    )  # fmt: skip


def _note_row(moment: Moment) -> tuple[Any, ...]:
    return moment.timestamp, moment.text, moment.position, moment.price
