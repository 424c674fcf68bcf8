"""The texts of the user's own account in a dashboard: open orders, and the position."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kucoin_research.dashboards import formatting
from kucoin_research.dashboards.account_book import AccountBook, OpenOrder
from kucoin_research.dashboards.formatting import DASH
from kucoin_research.figures.decimals import COMPUTED, plain
from kucoin_research.figures.tail import Rewound
from kucoin_research.figures.time_axis import Zone
from kucoin_research.model.records import Position
from kucoin_research.model.source import LiveSource, is_replay, is_stream

__all__ = ["AccountTexts"]

_MOST_ROWS = 100
_UNKNOWN = "not known"


class AccountTexts:
    """Describes the account's orders and position in one symbol, for the refresh thread.

    Parameters
    ----------
    source, symbol
        As for ``AccountBook``.
    zone
        Time zone of the times.
    """

    def __init__(self, source: LiveSource, symbol: str, zone: Zone) -> None:
        self._source, self._zone = source, zone
        self._book = AccountBook(source, symbol)
        self._texts: dict[str, Any] = {}

    def texts(self) -> dict[str, Any]:
        """Return the texts by name; those of before, if nothing is new."""
        if self._texts and not self._book.has_news():
            return self._texts
        try:
            self._book.read()
        except Rewound:
            self._book.restart()
            self._book.read()
        self._texts = {
            "own": self._notes(),
            "own:facts": list(self._facts()),
            "own:orders": [self._row(each) for each in self._book.orders[:_MOST_ROWS]],
        }
        return self._texts

    def resting(self) -> dict[float, float]:
        """Return the sizes of open orders by price, as far as the exchange has said them."""
        found: dict[float, float] = {}
        for each in self._book.orders:
            found[each.price] = found.get(each.price, 0.0) + float(each.left or 0.0)
        return found

    def _notes(self) -> list[str]:
        """Return the title of the orders, and those that are not known."""
        book = self._book
        if not book.has_orders:
            return ["", "orders are not streamed here"]
        count = len(book.orders)
        title = "1 open order" if count == 1 else f"{count:,} open orders"
        return [title, "; ".join(filter(None, (self._lost(), self._unseen())))]

    def _lost(self) -> str:
        count, since = len(self._book.unknown), self._book.lost_since
        if not count:
            return ""
        begin = "the stream ended" if since is None else self._written(since)
        which = "1 order of before is" if count == 1 else f"{count:,} orders of before are"
        return f"{which} not known since {begin}: filled, canceled or still open"

    def _written(self, time_ns: int) -> str:
        return formatting.moment(time_ns, self._zone)[:19]

    def _unseen(self) -> str:
        """Return which orders no message was about: the exchange sends changes only."""
        source = self._source
        begin = source.started_ns if is_stream(source) else None
        if is_replay(source):
            begin = source.start_ns
        if begin is None:
            return ""
        return f"orders placed before {self._written(begin)} are not listed"

    def _facts(self) -> Iterator[list[str]]:
        """Yield label, value and tone of each fact about the position."""
        if not self._book.has_positions:
            return
        known = self._book.known_positions()
        if not known:
            yield ["position", _UNKNOWN, ""]
        for each in known:
            yield from _facts_of(each)

    def _row(self, order: OpenOrder) -> list[str]:
        opened = DASH if order.opened is None else self._written(order.opened)
        sizes = _number(order.size), _number(order.filled)
        return [order.side, _number(order.price), *sizes, opened, order.order_id]


def _facts_of(position: Position) -> Iterator[list[str]]:
    size = position.current_qty
    assert size is not None, "it is known"
    which = f" {side.lower()}" if (side := position.position_side) not in (None, "BOTH") else ""
    if not size:
        yield [f"position{which}", "flat", ""]
        yield ["realised", *_money(position.realised_pnl, position)]
        return
    way = "long" if size > 0 else "short"
    yield [f"position{which}", f"{way} {plain(abs(size))}", "up" if size > 0 else "down"]
    yield ["entry", _number(position.avg_entry_price, COMPUTED), ""]
    yield ["mark", _number(position.mark_price, COMPUTED), ""]
    yield ["unrealised", *_money(position.unrealised_pnl, position)]
    yield ["realised", *_money(position.realised_pnl, position)]
    yield ["liquidation", _number(position.liquidation_price, COMPUTED), ""]


def _number(value: float | None, digits: int = 15) -> str:
    return DASH if value is None else plain(value, digits)


def _money(value: float | None, position: Position) -> tuple[str, str]:
    if value is None:
        return DASH, ""
    tone = "" if not value else "up" if value > 0 else "down"
    return f"{plain(value, sign=True)} {position.settle_currency or ''}".rstrip(), tone
