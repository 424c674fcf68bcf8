"""The account's fills, open orders and position, for the charts of a dashboard."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from kucoin_research.dashboards.account_book import AccountBook
from kucoin_research.figures.decimals import COMPUTED, plain
from kucoin_research.figures.gaps import GapMark
from kucoin_research.figures.shown_sizes import NATIVE, ShownSizes
from kucoin_research.model.records import Position
from kucoin_research.model.source import LiveSource

__all__ = ["AccountRows"]

_LINES = pl.Schema({"kind": pl.String(), "price": pl.Float64(), "label": pl.String()})
_SHAPES = {"buy": "▲", "sell": "▼"}


class AccountRows:
    """Supplies a chart with the account's fills, and with lines for orders and position.

    Parameters
    ----------
    source, symbol
        As for ``AccountBook``.
    sizes
        The unit that sizes are shown in: those of orders at their own price, a position at its
        entry price.

    Notes
    -----
    For one thread, that of the chart.
    """

    def __init__(self, source: LiveSource, symbol: str, sizes: ShownSizes = NATIVE) -> None:
        self._sizes = sizes
        self._book = AccountBook(source, symbol)
        self._lines: list[tuple[str, float, str]] = []

    def restart(self) -> None:
        """Begin again with all rows."""
        self._book.restart()
        self._lines = []

    def has_news(self) -> bool:
        """Whether there are rows to take; a cheap check."""
        return self._book.has_news()

    def rows(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the new fills, and all lines if one has changed.

        Raises
        ------
        Rewound
            If the source went back in time.
        """
        for fills in self._book.read():
            yield "account_fills", fills.drop_nulls(("timestamp", "side", "price", "size"))
        lines = [*self._positions(), *self._orders()]
        if lines != self._lines:
            self._lines = lines
            yield "account_lines", pl.DataFrame(lines, schema=_LINES, orient="row")

    def _orders(self) -> Iterator[tuple[str, float, str]]:
        for order in self._book.orders:
            left = order.size if order.left is None else order.left
            size = "" if left is None else f" {self._sizes.written_at(left, order.price)}"
            label = f"{_SHAPES[order.side]} {order.side}{size} at {plain(order.price)}"
            yield order.side, order.price, label

    def _positions(self) -> Iterator[tuple[str, float, str]]:
        for position in self._book.known_positions():
            if position.current_qty and position.avg_entry_price is not None:
                yield "position", position.avg_entry_price, _position_label(position, self._sizes)

    def gaps(self) -> tuple[list[GapMark], bool]:
        """Return no gaps: those of the market are the chart's."""
        return [], False


def _position_label(position: Position, sizes: ShownSizes) -> str:
    size, entry, gain = position.current_qty, position.avg_entry_price, position.unrealised_pnl
    assert size is not None, "a position that is drawn is known"
    assert entry is not None, "its line lies at this price"
    side = "long" if size > 0 else "short"
    worth = (
        ""
        if gain is None
        else f" · {plain(gain, sign=True)} {position.settle_currency or ''}".rstrip()
    )
    return f"{side} {sizes.written_at(abs(size), entry)} at {plain(entry, COMPUTED)}{worth}"
