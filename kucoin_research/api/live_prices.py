"""The best prices of all symbols as a stream, for a screener."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from kucoin_research.api.market import get_active_symbols
from kucoin_research.api.market_board import MarketBoard
from kucoin_research.api.streams import stream
from kucoin_research.errors import (
    KucoinResearchError,
    StreamError,
    StreamStopped,
    SymbolNotTrading,
)
from kucoin_research.exchange.venues import Venue
from kucoin_research.foundation import clocks
from kucoin_research.model.channels import Market
from kucoin_research.model.records import BestBidOffer, Record
from kucoin_research.model.status import State
from kucoin_research.streaming.stream import Stream

__all__ = ["LivePrices"]

_numbers = itertools.count(1)
_LOOK_AGAIN = 60.0  # s, for listed symbols that do not trade yet
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
        self._clock = clocks.current()
        self._followed: tuple[str, ...] = ()  # the board's symbols when they were compared
        self._look_again_at = 0.0

    def keep(self) -> None:
        """Start the stream, if it does not run, or follow the board's symbols; call it often.

        Raises
        ------
        KucoinResearchError
            If it cannot be started, is not live, or a symbol is refused.
        """
        running = self._stream
        if running is None or running.stopping.is_set():
            self._start()
        elif running.state not in (State.CONNECTING, State.LIVE):
            raise StreamError(f"its state is {running.state}")
        else:
            self._follow(running)

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

    def _follow(self, running: Stream) -> None:
        # Contracts are listed and delisted while the stream runs.
        symbols, now = self._board.symbols, self._clock.monotonic()
        if symbols is self._followed and now < self._look_again_at:
            return
        streamed = {each.symbol for each in running.subscriptions}
        gone = streamed.difference(symbols)
        if gone:
            running.unsubscribe(sorted(gone))
        # One by one: a symbol that is refused would take the others with it.
        refused = [
            error for each in symbols if each not in streamed for error in _add(running, each)
        ]
        if refused:
            raise refused[0]
        self._followed, self._look_again_at = symbols, now + _LOOK_AGAIN

    def _take(self, rows: Sequence[Record]) -> None:
        self._board.take_prices([row for row in rows if isinstance(row, BestBidOffer)])


def _add(running: Stream, symbol: str) -> Iterator[KucoinResearchError]:
    try:
        running.subscribe(symbol, "bbo")
    except SymbolNotTrading:
        return  # it may trade later
    except StreamStopped:
        raise
    except KucoinResearchError as error:
        yield error
