"""Two connections that bring the same topics for a moment, and rows that must come once.

A connection is replaced by opening its successor first. Until the predecessor is closed, the
messages of the successor are held. Then those that the predecessor brought as well are left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from typing import TypeAlias

from kucoin_research.exchange.websocket.decode_classic import Broken, Decoded
from kucoin_research.exchange.websocket.decode_private import AccountNews
from kucoin_research.model.orderbook import BookDelta, BookSnapshot

__all__ = ["Handover"]

# Messages of one line have an order among themselves: a record type and a symbol.
_Line: TypeAlias = tuple[type, object]


def _identify(item: Decoded) -> tuple[_Line, Hashable]:
    """Return the line that a message belongs to, and its identity there."""
    if isinstance(item, BookDelta):
        return (BookDelta, item.symbol), (item.first_sequence, item.last_sequence)
    if isinstance(item, BookSnapshot):
        return (BookSnapshot, item.symbol), item.sequence
    # Two connections bring the same row at different times, so its second column, the arrival, is
    # left out. The third is the symbol.
    if isinstance(item, AccountNews):
        return (AccountNews, None), tuple((row[0], *row[2:]) for row in item.records)
    if isinstance(item, Broken):
        return (Broken, item.topic), item.reason
    row: tuple[object, ...] = item
    return (item.__class__, row[2]), (row[0], *row[3:])


class Handover:
    """Holds the successor's messages, and notes those that the predecessor brought meanwhile.

    Once the successor has taken over (``fresh``), it still repeats messages that the predecessor
    was faster to bring: ``repeats`` recognises these.

    Not thread-safe: the stream's delivery lock guards it.

    Attributes
    ----------
    is_over
        Whether the successor has taken over.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._seen: defaultdict[_Line, Counter[Hashable]] = defaultdict(Counter)
        self._passed: set[_Line] = set()
        self._held: list[tuple[int, Decoded]] = []  # with the stamp of the reading
        self._held_ns: int | None = None
        self._first_held: dict[_Line, int] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def last_held_ns(self) -> int | None:
        """When the successor last brought something (ns UTC); ``None`` if it never did."""
        return self._held_ns

    def saw(self, item: Decoded) -> None:
        """Note a message that the predecessor brought."""
        line, identity = _identify(item)
        self._seen[line][identity] += 1

    def hold(
        self, item: Decoded, now_ns: int, stamp: int | None = None, *, is_news: bool = True
    ) -> None:
        """Hold a message of the successor.

        Parameters
        ----------
        item
            The message.
        now_ns
            When it was read, ns UTC.
        stamp
            Of its row; ``now_ns`` when left out.
        is_news
            Whether the predecessor, if it is not silent, must bring it too. A subscription may
            begin with executions that came long before.
        """
        self._held.append((now_ns if stamp is None else stamp, item))
        self._held_ns = now_ns
        if is_news:
            self._first_held.setdefault(_identify(item)[0], now_ns)

    def stalled_since(self, kind: type, symbol: str) -> int | None:
        """Return when the successor first brought a message of a line that is silent on the other.

        ``None`` if the predecessor brought messages of it as well, or neither did. ``kind`` is a
        record type, ``BookDelta`` for books.
        """
        line = (kind, symbol)
        return None if line in self._seen else self._first_held.get(line)

    def is_ahead(self, since_ns: int) -> bool:
        """Return whether only the successor has brought messages of a line, all later than that.

        May be called without the lock: messages that come meanwhile are later still.
        """
        firsts = list(self._first_held.items())
        return any(first_ns > since_ns and line not in self._seen for line, first_ns in firsts)

    def fresh(self) -> Iterator[tuple[int, Decoded]]:
        """Yield the messages that only the successor brought, with their stamps, in order.

        In each line these are the messages behind the last one that both have brought, and those
        before it that were lost on the predecessor. A message that is sent again without any change
        looks like the one before, so that such repeats may be left out.
        """
        last_common: dict[_Line, int] = {}
        named = [_identify(item) for _, item in self._held]
        for position, (line, identity) in enumerate(named):
            if identity in self._seen.get(line, ()):
                last_common[line] = position
        self.is_over = True
        for position, ((line, identity), (stamp, item)) in enumerate(
            zip(named, self._held, strict=True)
        ):
            is_later = position > last_common.get(line, -1)
            if is_later or not self._is_repeat(line, identity):
                yield stamp, item

    def repeats(self, item: Decoded) -> bool:
        """Return whether the predecessor has brought a message that the successor brings now."""
        line, identity = _identify(item)
        if line in self._passed:
            return False
        if self._is_repeat(line, identity):
            return True
        self._passed.add(line)
        return False

    def _is_repeat(self, line: _Line, identity: Hashable) -> bool:
        seen = self._seen.get(line)
        if not seen or not seen[identity]:
            return False
        seen[identity] -= 1
        return True
