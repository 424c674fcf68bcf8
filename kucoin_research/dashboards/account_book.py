"""The account's open orders and positions in one symbol, as far as a source's messages show them.

Messages of the account are not sent again. So an order that was open before a stretch in which none
could arrive is unknown until the next message about it: it may have been filled meanwhile.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from kucoin_research.errors import UnknownChannel
from kucoin_research.figures.gaps import UNWANTED, GapMark
from kucoin_research.figures.known_gaps import KnownGaps
from kucoin_research.figures.tail import Tail
from kucoin_research.model.records import Order, Position
from kucoin_research.model.source import LiveSource
from kucoin_research.sessions.files.csv_codec import records_of

__all__ = ["CHANNELS", "AccountBook", "OpenOrder", "channels_of"]

#: Channels that an account is read from, by role.
CHANNELS = {"orders": "order", "positions": "position", "fills": "fill"}

_DONE = ("filled", "canceled")
_OFF = ("stopped", "failed")
_FOR_EVER = 1 << 63


class _Span(NamedTuple):
    """A span of arrival times, ns UTC."""

    begin: int
    end: int


class OpenOrder(NamedTuple):
    """An order that rests in the book, by its last message.

    Attributes
    ----------
    order_id, side, price
        Of the order.
    size, filled, left
        Its size, its filled part, and the rest; None where the exchange does not say.
    opened
        When it was placed, ns UTC; None if unknown.
    heard
        Arrival of the last message about it, ns UTC.
    """

    order_id: str
    side: str
    price: float
    size: float | None
    filled: float | None
    left: float | None
    opened: int | None
    heard: int


def channels_of(source: LiveSource) -> dict[str, str]:
    """Return the account's channels that a source has, by role; none without a key."""
    there = set(source.channels)
    return {role: channel for role, channel in CHANNELS.items() if channel in there}


class AccountBook:
    """Follows orders, positions and fills of one symbol.

    Parameters
    ----------
    source
        A stream or a replay with some of the channels.
    symbol
        The symbol.

    Attributes
    ----------
    positions
        The last message about each position, by its side: ``None`` or ``BOTH`` is the only one,
        hedged ones are ``LONG`` and ``SHORT``.

    Notes
    -----
    For one thread, that of its reader.
    """

    def __init__(self, source: LiveSource, symbol: str) -> None:
        self._source = source
        self._channels = channels_of(source)
        self._tail = Tail(source, symbol, self._channels)
        self.restart()

    def restart(self) -> None:
        """Begin again with all rows."""
        self._tail.restart()
        self._seen: tuple[object, ...] = ()
        self._orders: dict[str, OpenOrder] = {}
        self._gaps = {
            role: KnownGaps(self._source, [channel]) for role, channel in self._channels.items()
        }
        self._lost: dict[str, list[_Span]] = {}
        self._lost_until: dict[str, int] = {}
        self.positions: dict[str | None, Position] = {}

    def has_news(self) -> bool:
        """Whether there is something to read; a cheap check."""
        return self._state() != self._seen

    def _state(self) -> tuple[object, ...]:
        totals = [self._total(channel) for channel in (*self._channels.values(), "status")]
        return (*totals, self._is_off)

    def _total(self, channel: str) -> int:
        try:
            return self._source.total(channel)
        except (UnknownChannel, KeyError):
            return 0

    @property
    def _is_off(self) -> bool:
        return str(self._source.state) in _OFF

    def read(self) -> list[pl.DataFrame]:
        """Take the new messages; returns the new fills.

        Raises
        ------
        Rewound
            If the source went back in time.
        """
        if not self.has_news():
            return []
        self._seen = self._state()
        self._read_losses()
        fills = []
        for role, rows in self._tail.rows():
            if role == "orders":
                for order in records_of(Order, rows):
                    assert isinstance(order, Order)
                    self._take_order(order)
            elif role == "positions":
                for position in records_of(Position, rows):
                    assert isinstance(position, Position)
                    if position.event == "change":
                        self.positions[position.position_side] = position
            elif rows.height:
                fills.append(rows)
        return fills

    def _take_order(self, order: Order) -> None:
        if order.order_id is None:
            return
        known = self._orders.pop(order.order_id, None)
        is_over = order.type in _DONE or order.status == "done" or order.remain_size == 0
        if is_over or order.type == "received" or order.price is None or order.side is None:
            return  # an order at the market has no price, and does not rest
        self._orders[order.order_id] = OpenOrder(
            order.order_id,
            order.side,
            order.price,
            order.size if order.size is not None else known and known.size,
            order.filled_size,
            order.remain_size,
            order.order_time,
            order.local_timestamp or 0,
        )

    def _read_losses(self) -> None:
        """Find the spans in which messages of each channel could not arrive."""
        for role, gaps in self._gaps.items():
            spans = [
                _Span(gap.begin, _FOR_EVER if gap.end is None else gap.end)
                for gap in gaps.look()
                if _is_loss(gap)
            ]
            self._lost[role] = spans
            self._lost_until[role] = max((span.end for span in spans), default=0)

    def is_known(self, role: str, heard: int | None) -> bool:
        """Whether nothing can have happened unseen since a message arrived."""
        return not self._is_off and (heard or 0) > self._lost_until.get(role, 0)

    @property
    def orders(self) -> list[OpenOrder]:
        """The orders that are surely open, the dearest first."""
        there = [each for each in self._orders.values() if self.is_known("orders", each.heard)]
        return sorted(there, key=lambda each: (-each.price, each.heard))

    @property
    def unknown(self) -> list[OpenOrder]:
        """The orders that were open when messages could no longer arrive."""
        return [each for each in self._orders.values() if not self.is_known("orders", each.heard)]

    @property
    def lost_since(self) -> int | None:
        """Begin of the first span that hid an unknown order, ns UTC; None if only the stop did."""
        heard = min((each.heard for each in self.unknown), default=None)
        if heard is None:
            return None
        hiding = (span.begin for span in self._lost["orders"] if span.end >= heard)
        return min(hiding, default=None)

    @property
    def has_orders(self) -> bool:
        """Whether the source has messages about orders."""
        return "orders" in self._channels

    @property
    def has_positions(self) -> bool:
        """Whether the source has messages about positions."""
        return "positions" in self._channels

    def known_positions(self) -> list[Position]:
        """Return the last messages about positions that still hold, flat ones included."""
        return [
            each
            for each in self.positions.values()
            if each.current_qty is not None and self.is_known("positions", each.local_timestamp)
        ]


def _is_loss(gap: GapMark) -> bool:
    # A connection that is back may have been that of other channels: their own gaps say which ones
    # have lost something.
    return gap.kind in ("gap", UNWANTED) or (gap.kind == "outage" and gap.end is None)
