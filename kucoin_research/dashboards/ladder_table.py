"""The ladder with numbers: a table of the order book, fed with the rows that have changed."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import traitlets

from kucoin_research.dashboards.book_reader import BookReader, BookState
from kucoin_research.dashboards.ladder_rows import GROUPS, Ladder, LadderRows, LadderSide
from kucoin_research.figures.book_charts import BookChart
from kucoin_research.figures.browser_link import KERNEL_JS, BrowserLink, Pages, Totals
from kucoin_research.figures.closing import close_whole, ids_of
from kucoin_research.figures.page_code import CodedWidget
from kucoin_research.figures.redraws import redraws_per_second
from kucoin_research.figures.refresh import Ticket, refresher
from kucoin_research.model.size_unit import SizeUnit
from kucoin_research.model.source import LiveSource

__all__ = ["LadderTable"]

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
_CODE = KERNEL_JS + (_HERE / "ladder.js").read_text(encoding="utf-8")
_FASTEST = 12.0  # messages per second
_HIDDEN_INTERVAL = 0.5
_QUIET_INTERVAL = 0.05
_MOST_ROWS = 100  # of a side
_OLD = 10.0  # s without a change from which on the table says so


class _Reader:
    """The rows that a page shows, and how many it has room for."""

    def __init__(self) -> None:
        self.link = BrowserLink()
        self.lock = threading.Lock()  # guards the rest
        self.rows = 12
        self.forget()

    def forget(self) -> None:
        """Note that the page shows nothing."""
        self.ladder: Ladder | None = None
        self.state: BookState | None = None
        self.made_for: tuple[Any, ...] = ()
        self.words: dict[str, Any] = {}


class LadderTable(CodedWidget):
    """Shows the newest book of a symbol as rows of price, size and cumulated size.

    A page gets one message per refresh with the rows that have changed, and nothing while it is
    hidden, or while its browser is busy with the last two messages.

    Parameters
    ----------
    source, symbol
        A stream, a replay or an idle source, and the symbol whose book is shown.
    channel
        ``level2``, ``depth50`` or ``depth5``.
    unit
        The unit of the sizes.
    tick
        The step of prices; ``None`` if it is not known.

    Attributes
    ----------
    own
        Sizes of own orders by price, as the exchange counts them; empty: no column for them.
    is_frozen
        While set, the book stands still; the stream goes on.
    """

    code = traitlets.Unicode(KERNEL_JS + (_HERE / "ladder.js").read_text(encoding="utf-8")).tag(
        sync=True
    )
    _css = (_HERE / "ladder.css").read_text(encoding="utf-8")

    uid = traitlets.Unicode().tag(sync=True)
    parts = traitlets.List(traitlets.Unicode()).tag(sync=True)  # ids of the widgets to close

    #: The kind of rows that it takes, as a chart has them.
    roles = BookChart.roles

    _ticket: Ticket | None = None

    def __init__(
        self,
        source: LiveSource,
        symbol: str,
        channel: str,
        *,
        unit: SizeUnit,
        tick: float | None = None,
    ) -> None:
        self.own: Mapping[float, float] = {}
        self.is_frozen = False
        self._clock: Callable[[], float] = time.monotonic
        self._fastest = redraws_per_second(_FASTEST)
        self._pages = Pages(_Reader)
        self._group = GROUPS[0]
        self._lock = threading.Lock()  # guards what ``attach`` replaces
        self._state: BookState | None = None
        self.attach(source, symbol, channel, unit=unit, tick=tick)
        super().__init__(uid=uuid.uuid4().hex)
        self.parts = ids_of(self)
        self._pages.answer_as(self.uid)
        self.on_msg(self._on_message)
        self._ticket = refresher().add(self.refresh, every=1 / self._fastest)

    def attach(
        self,
        source: LiveSource,
        symbol: str,
        channel: str,
        *,
        unit: SizeUnit,
        tick: float | None = None,
    ) -> None:
        """Show another source or symbol, or other units, in this same place."""
        with self._lock:
            self.symbol = symbol
            self._reader = BookReader(source, symbol, channel)
            self._rows = LadderRows(unit, tick)
            self._state = None
            for reader in self._pages.all:
                with reader.lock:
                    reader.forget()
        refresher().wake(self._ticket)

    @property
    def group(self) -> int:
        """Ticks per row."""
        return self._group

    @property
    def error(self) -> Exception | None:
        """The exception of the last refresh; ``None`` if it succeeded."""
        return None if self._ticket is None else self._ticket.error

    @property
    def link(self) -> Totals:
        """Counters of all pages that show it."""
        return self._pages.totals

    def link_to(self, page: str) -> BrowserLink | None:
        """Return the conversation with one page; ``None`` if the page is not known."""
        reader = self._pages.get(page)
        return None if reader is None else reader.link

    def close(self) -> None:
        """End it: it leaves the page, and its refreshes end."""
        # Not again by the garbage collector, which may run while the refresher holds its own locks.
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            ticket.cancel()
        close_whole(self)

    # -- the refresh thread ----------------------------------------------------------------------

    def refresh(self, now: float) -> float:
        """Send the changes to each page that looks; returns the seconds until the next refresh."""
        self._pages.look(now)
        looking = self._pages.visible
        if not looking:
            return _HIDDEN_INTERVAL
        with self._lock:
            if self._state is None or not self.is_frozen:
                self._state = self._reader.look(now)
            sent = [self._tell(name, reader, self._state, now) for name, reader in looking]
        if not any(sent):
            return _QUIET_INTERVAL
        return min(reader.link.interval(self._fastest, 0.0, len(looking)) for _, reader in looking)

    def _tell(self, page: str, reader: _Reader, state: BookState, now: float) -> bool:
        began, link = time.perf_counter(), reader.link
        content: dict[str, Any] = {}
        with reader.lock:
            ladder = self._ladder_for(reader, state)
            words = self._words(ladder, state, reader.rows, now)
            if ladder is not reader.ladder or words != reader.words:
                if not link.may_send(now, is_deaf=self._pages.is_deaf(now)):
                    return False
                content = _changes(reader, ladder, words)
                reader.state = state
                reader.made_for = (reader.rows, self._group, dict(self.own))
            if content:
                number = link.on_send(now, _size_of(content), time.perf_counter() - began)
                content |= {"kind": "rows", "seq": number}
        if content or link.owes_beat(now):
            self.send({"kind": "beat", "to": page, **content})
        if not content:
            link.on_quiet(now)
        return bool(content)

    def _ladder_for(self, reader: _Reader, state: BookState) -> Ladder:
        """Return the ladder for a page, the same object if it would be as before."""
        made_for = (reader.rows, self._group, dict(self.own))
        if reader.ladder is not None and reader.state is state and reader.made_for == made_for:
            return reader.ladder
        return self._rows.make(state.levels, reader.rows, group=self._group, own=self.own)

    def _words(self, ladder: Ladder, state: BookState, count: int, now: float) -> dict[str, Any]:
        """Return the texts around the rows."""
        return {
            "unit": self._rows.unit.name,
            "groups": list(map(list, zip(GROUPS, self._rows.group_names, strict=True))),
            "group": self._group,
            "middle": [ladder.spread, ladder.mid],
            "has_own": bool(self.own),
            "name": self.symbol,
            "trouble": self._trouble(ladder, state),
            "foot": "" if state.trouble else self._foot(ladder, state, count, now),
        }

    def _trouble(self, ladder: Ladder, state: BookState) -> str:
        has_rows = bool(ladder.asks.rows or ladder.bids.rows)
        if state.trouble:
            return f"not live: {state.trouble}" if has_rows else f"no book: {state.trouble}"
        return "" if has_rows else f"waiting for a book of {self.symbol}"

    def _foot(self, ladder: Ladder, state: BookState, count: int, now: float) -> str:
        parts = []
        sides = (ladder.bids, ladder.asks)
        reached = [side.reach for side in sides if side.rows]
        if reached and any(len(side.rows) < count for side in sides):
            parts.append(f"{self._reader.channel} ends at {' / '.join(reached)}")
        age = int(now - state.changed_at)
        if reached and age >= _OLD and self._reader.is_live and not self.is_frozen:
            parts.append(f"unchanged for {age} s")
        return "; ".join(parts)

    # -- messages of the browser -----------------------------------------------------------------

    def _on_message(self, _: Any, message: dict[str, Any], _buffers: list[Any]) -> None:
        kind, page, now = message.get("kind"), str(message.get("page", "")), self._clock()
        reader = self._pages.heard(page, now)
        if kind == "drawn":
            self._pages.on_drawn(page, message, now)
            return
        if kind == "view":
            reader.link.on_view(is_visible=bool(message.get("visible")), now=now)
            reader.rows = min(max(int(message.get("rows") or reader.rows), 1), _MOST_ROWS)
        elif kind == "hello":  # a page has opened and has nothing yet
            with reader.lock:
                reader.forget()
                reader.link.on_hello(now)
        elif kind == "group" and message.get("ticks") in GROUPS:
            self._group = int(message["ticks"])
        elif kind == "error":
            log.error("the browser could not draw the ladder: %s", message.get("text"))
        refresher().wake(self._ticket)


def _changes(reader: _Reader, ladder: Ladder, words: dict[str, Any]) -> dict[str, Any]:
    """Return what a page lacks of a ladder and its texts, and note that it has them."""
    before = Ladder() if reader.ladder is None else reader.ladder
    content: dict[str, Any] = {
        name: text for name, text in words.items() if reader.words.get(name) != text
    }
    # In groups of another width, or counted in other steps, a size that is another one may not have
    # changed.
    is_same = "group" not in content and before.places == ladder.places
    rows = {
        "asks": _changed_rows(before.asks, ladder.asks, is_same=is_same),
        "bids": _changed_rows(before.bids, ladder.bids, is_same=is_same),
    }
    content |= {name: changed for name, changed in rows.items() if changed}
    if reader.ladder is None:
        content["all"] = True
    reader.ladder, reader.words = ladder, words
    return content


def _changed_rows(old: LadderSide, new: LadderSide, *, is_same: bool) -> list[list[Any]]:
    """List the rows that differ: place, texts and bar, and 1 or -1 if the size has changed.

    Of a row that is not there any more it is the place alone. Sizes are compared price by price,
    since a row stands for another price whenever the best one moves.
    """
    changed: list[list[Any]] = []
    for place, (price, row) in enumerate(zip(new.sizes, new.rows, strict=True)):
        before = old.size_at(price) if is_same else None
        moved = 0 if before is None else _sign(new.sizes[price] - before)
        if moved or place >= len(old.rows) or old.rows[place] != row:
            changed.append([place, *row, moved])
    changed.extend([place] for place in range(len(new.rows), len(old.rows)))
    return changed


def _sign(change: int) -> int:
    return (change > 0) - (change < 0)


def _size_of(content: dict[str, Any]) -> int:
    """Estimate the bytes of a message: those of its rows, which are nearly all."""
    rows = (row for name in ("asks", "bids") for row in content.get(name, ()))
    return sum(sum(len(str(each)) + 3 for each in row) for row in rows)
