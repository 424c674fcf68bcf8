"""The best prices of all symbols as a stream, for a screener."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from kucoin_research.api.market import get_active_symbols
from kucoin_research.api.market_board import MarketBoard
from kucoin_research.api.streams import stream
from kucoin_research.errors import StreamError
from kucoin_research.exchange.venues import Venue
from kucoin_research.model.channels import Market
from kucoin_research.model.records import BestBidOffer, Record
from kucoin_research.model.status import State
from kucoin_research.streaming.stream import Stream

__all__ = ["LivePrices"]

_numbers = itertools.count(1)
_ROWS_KEPT = 10_000  # the board keeps the newest of each symbol; the stream's own rows are not read


class LivePrices:
    """Streams the best prices of all symbols that trade onto a board.

    Parameters
    ----------
    venue, market
        Where, and what.
    board
        Receives the prices.
    """

    def __init__(self, venue: Venue, market: Market, board: MarketBoard) -> None:
        self._venue, self._market, self._board = venue, market, board
        self._stream: Stream | None = None
        self._is_closed = False

    def keep(self) -> None:
        """Start the stream, if it does not run; call it every few seconds.

        Raises
        ------
        KucoinResearchError
            If it cannot be started, or is not live.
        """
        running = self._stream
        if running is None or running.stopping.is_set():
            self._start()
        elif running.state not in (State.CONNECTING, State.LIVE):
            raise StreamError(f"its state is {running.state}")

    def close(self) -> None:
        """Stop the stream; one that is being started on another thread is stopped there."""
        self._is_closed = True
        if self._stream is not None:
            self._stream.stop()

    def _start(self) -> None:
        symbols = get_active_symbols(self._market, venue=self._venue)
        self._stream = made = stream(
            symbols,
            "bbo",
            market=self._market,
            venue=self._venue,
            capacity=_ROWS_KEPT,
            name=f"screener {next(_numbers)}",
        )
        if self._is_closed:
            made.stop()
        else:
            made.attach_batches(self._take)

    def _take(self, rows: Sequence[Record]) -> None:
        self._board.take_prices([row for row in rows if isinstance(row, BestBidOffer)])
