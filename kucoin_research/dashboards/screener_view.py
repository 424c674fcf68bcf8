"""A screener in a notebook: the live table, and below it the dashboard of a pressed row."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable

import ipywidgets as widgets

from kucoin_research.api.screening import Screener
from kucoin_research.dashboards.front import dashboard
from kucoin_research.dashboards.notebook_dashboard import Dashboard
from kucoin_research.dashboards.screener_table import ScreenerTable
from kucoin_research.errors import KucoinResearchError
from kucoin_research.figures.closing import close_whole
from kucoin_research.figures.saved_picture import show_widget

__all__ = ["ScreenerView"]

log = logging.getLogger(__name__)

_numbers = itertools.count(1)


class ScreenerView:
    """Shows a screener, and answers presses on its rows.

    Parameters
    ----------
    screener
        The screener; closing it closes this.
    on_press
        Called with the symbol of a pressed row; ``None``: its dashboard opens below.

    Attributes
    ----------
    table
        The widget with the rows.
    board
        The dashboard that is open; ``None`` before a row was pressed.
    """

    def __init__(self, screener: Screener, on_press: Callable[[str], object] | None) -> None:
        self._screener = screener
        self._on_press = on_press or self._open
        self._name = f"screener's dashboard {next(_numbers)}"
        self.table = ScreenerTable(screener, self._press)
        self.board: Dashboard | None = None
        self._box = widgets.VBox([self.table])
        self._box.add_class("kr-screener-box")
        self._lock = threading.Lock()  # guards board and _is_closed
        self._is_closed = False

    def show(self) -> None:
        """Show it as the output of the cell that runs."""
        self.table.start()
        show_widget(self._box)

    def close(self) -> None:
        """End the table and the dashboard; they leave the page."""
        with self._lock:
            self._is_closed = True
            board = self.board
        self.table.close()
        if board is not None:
            board.close()
        self._box.children = ()
        close_whole(self._box, self.table)

    def _press(self, symbol: str) -> None:
        if self._screener.is_closed:
            return  # the press was on its way when the table was closed
        # Every exception is caught: one of a press would end unseen in a log of JupyterLab.
        self.table.say("")
        try:
            self._on_press(symbol)
        except (KucoinResearchError, OSError) as error:
            self.table.say(f"{symbol}: {error}")
        except Exception as error:
            log.exception("a press on a row of the screener met an unexpected error")
            self.table.say(f"{symbol}: unexpected {type(error).__name__}: {error}")

    def _open(self, symbol: str) -> None:
        with self._lock:
            before, self.board = self.board, None
        if before is not None:
            self._box.children = (self.table,)
            before.close()
        screener = self._screener
        made = dashboard(
            symbol, venue=screener.venue, market=screener.market, start=True, name=self._name
        )
        with self._lock:
            is_wanted = not self._is_closed
            if is_wanted:
                self.board = made
        if is_wanted:
            self._box.children = (self.table, made)
        else:
            made.close()  # the screener was closed while its dashboard started
