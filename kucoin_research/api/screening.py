"""``kr.screener``: the figures of all symbols of a market, as a frame and as a table of texts.

In a notebook, ``kucoin_research.dashboards`` shows it as a live table.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol, Self

import polars as pl

from kucoin_research.api.checks import find_venue
from kucoin_research.api.market_board import BoardView, MarketBoard
from kucoin_research.api.market_poll import FASTEST, MarketPoll
from kucoin_research.errors import InvalidInput, KucoinResearchError, StreamStopped
from kucoin_research.exchange.venues import Venue
from kucoin_research.foundation import clocks
from kucoin_research.foundation.arguments import plain_function, seconds, truth
from kucoin_research.model.channels import Market, market_of
from kucoin_research.model.printed_tables import text_table

__all__ = ["Screener", "plain_screener"]

_USUAL = {Market.FUTURES: 1.0, Market.SPOT: 3.0}  # s between two calls for the prices
_LIVE = 10.0  # the same, where the best prices are streamed
_FOR_WIDGETS = ("anywidget", "ipywidgets", "itables", "plotly")
_PRINTED = 25  # rows of a printed table
_HEADER = (
    "symbol", "last", "24 h %", "turnover", "spread bp", "imbalance", "funding %", "basis bp",
    "age s",
)  # fmt: skip


class View(Protocol):
    """A widget that shows a screener."""

    def show(self) -> None:
        """Show it as the output of the cell that runs."""

    def close(self) -> None:
        """End it."""


class Screener:
    """All symbols of a market, with their newest figures; ``kucoin_research.screener`` makes one.

    Nothing is asked of the exchange before it is shown in a notebook, `start` or `frame` is called,
    or it is printed. Every method may be called from any thread. ``close`` ends it; so does running
    its cell again. It is a context manager.

    Attributes
    ----------
    venue, market
        Where, and what.
    lacks
        The libraries that the widget would need and that are not installed.
    """

    def __init__(
        self,
        venue: Venue | str | None = None,
        market: str = "futures",
        *,
        live: bool = False,
        every: float | None = None,
        make_view: Callable[[Screener], View] | None = None,
    ) -> None:
        self.market = market_of("", market)
        self.lacks = ""
        self._make_view = make_view
        self._view: View | None = None
        self._view_lock = threading.Lock()  # guards _view
        is_live = truth(live, "live")
        fastest = FASTEST[self.market]
        every = (_LIVE if is_live else _USUAL[self.market]) if every is None else every
        every = seconds(every, "every")
        if every < fastest:
            raise InvalidInput(
                f"every={every:g} would spend the exchange's quota on the {self.market} prices: it "
                f"must be {fastest:g} s or more; live=True streams them"
            )
        self.venue = find_venue(venue)
        self._board = MarketBoard()
        self._poll = MarketPoll(self.venue, self.market, self._board, every, is_live=is_live)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Keep the figures up to date from now on, in the background.

        Raises
        ------
        StreamStopped
            If it was closed.
        """
        if self.is_closed:
            raise StreamStopped("this screener was closed; make another one")
        self._poll.start()

    @property
    def view(self) -> View | None:
        """The widget that shows it in a notebook, made when it is first wanted; else ``None``."""
        with self._view_lock:
            if self._view is None and self._make_view is not None and not self.is_closed:
                self._view = self._make_view(self)
            return self._view

    @property
    def is_running(self) -> bool:
        """Whether its figures are kept up to date; after an unexpected error, ``start`` does so."""
        return self._poll.is_running

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._poll.is_closed

    @property
    def symbols(self) -> list[str]:
        """The symbols, in the exchange's order; empty before the first list has come.

        Those that are listed later come last.
        """
        return list(self._board.symbols)

    @property
    def troubles(self) -> list[str]:
        """What fails at present, in sentences; empty while all is well."""
        return self._poll.troubles

    @property
    def line(self) -> str:
        """The status line: what fails at present, or how often the figures are renewed."""
        return "; ".join(self.troubles) or self._poll.pace

    def look(self) -> BoardView:
        """Copy the newest figures, without asking for anything; for tables."""
        return self._board.look()

    def frame(self) -> pl.DataFrame:
        """Return the newest figures; where none are kept up to date, the exchange is asked now.

        Returns
        -------
        pl.DataFrame
            One row per symbol, in the order of ``symbols``, with the columns that
            ``kucoin_research.screener`` describes. If the exchange cannot be asked, these are the
            last figures, with their ages, and ``line`` says what failed.

        Raises
        ------
        Unreachable, BadReply, RateLimited, ExchangeUnavailable
            If nothing has come yet, and the exchange cannot be asked, or lists no symbols.
        """
        if not self.is_closed and not (self.is_running and self._board.has_symbols):
            try:
                self._poll.fetch()
            except KucoinResearchError:
                if not self._board.has_symbols:
                    raise  # otherwise ``line`` has it
        return self.look().frame(clocks.current().wall_ns())

    def close(self) -> None:
        """End the calls, the stream of ``live=True`` and the table; the last figures stay."""
        self._poll.close()
        with self._view_lock:
            view = self._view
        if view is not None:
            view.close()

    def __str__(self) -> str:
        frame = self.frame().sort("turnover", descending=True, nulls_last=True)
        rows = [_texts(row) for row in frame.head(_PRINTED).iter_rows(named=True)]
        left = frame.height - len(rows)
        lines = [text_table(_HEADER, range(1, len(_HEADER)), rows)]
        if left > 0:
            lines.append(f"… and {left:,} more; .frame() has all of them")
        return "\n".join([*lines, self.line])

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "running" if self.is_running else "not started"
        lacks = self.lacks
        needs = f"; its live table needs {lacks}: pip install {lacks}" if lacks else ""
        where = f"{self.market} on {self.venue.name}"
        return f"<Screener of {where}, {state}; print it, or .frame(){needs}>"

    def _ipython_display_(self) -> None:
        view = self.view
        if view is None or self.is_closed:
            raise NotImplementedError  # IPython then shows the text
        self.start()
        view.show()


def plain_screener(
    venue: Venue | str | None = None,
    market: str = "futures",
    *,
    live: bool = False,
    every: float | None = None,
    on_press: Callable[[str], object] | None = None,
) -> Screener:
    """Make a screener without a widget, where the libraries of widgets are missing.

    Parameters and errors are those of ``kucoin_research.screener``; no row can be pressed.
    """
    if on_press is not None:
        plain_function(on_press, "screener", "symbol")
    made = Screener(venue, market, live=live, every=every)
    made.lacks = " ".join(each for each in _FOR_WIDGETS if find_spec(each) is None)
    return made


def _texts(row: dict[str, float | str | None]) -> list[str]:
    def number(name: str, form: str, factor: float = 1.0) -> str:
        value = row[name]
        return "–" if value is None else format(float(value) * factor, form)

    return [
        str(row["symbol"]),
        number("last_price", ".6g"),
        number("price_change_pct", "+.2f", 100),
        number("turnover", ",.0f"),
        number("spread_bps", ".2f"),
        number("imbalance", "+.2f"),
        number("funding_rate", "+.4f", 100),
        number("basis_bps", "+.1f"),
        number("age_s", ".1f"),
    ]
