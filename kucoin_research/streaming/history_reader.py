"""Market data of one symbol from before a stream's first row, over REST."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.venues import Venue
from kucoin_research.foundation import clocks
from kucoin_research.model.channels import Market
from kucoin_research.model.records import Candle, Record, Trade, schema_of

__all__ = ["HistoryReader"]


class HistoryReader:
    """Reads the history of a symbol, with a REST client of its own.

    So ``close`` ends its requests and none of the stream's, and it can be used after the stream has
    stopped. The quota of the exchange is shared by all clients. Any thread may call.

    Parameters
    ----------
    venue
        The exchange that the stream talks to.
    symbol, market
        Whose history to read; without a market, the symbol's spelling decides.
    clock
        The time that it lives in.
    """

    def __init__(
        self, venue: Venue, symbol: str, market: Market | None, clock: clocks.Clock
    ) -> None:
        self._rest = Rest(venue, clock=clock)
        self._symbol, self._market = symbol, market

    def trades(self) -> pl.DataFrame:
        """Read the newest hundred trades, oldest first, with the columns of ``trade``."""
        return _frame(self._rest.trades(self._symbol, market=self._market), Trade)

    def candles(self, interval: str, start: int, end: int) -> pl.DataFrame:
        """Read up to 200 candles that open from ``start`` to ``end``, ns UTC, both included.

        Returns
        -------
        pl.DataFrame
            Ascending, with the columns of ``candle``. Intervals without trades are absent.
        """
        page = self._rest.candles_page(self._symbol, interval, start, end, market=self._market)
        return _frame(page, Candle)

    def close(self) -> None:
        """End every request at once. Calls then raise ``StreamStopped``."""
        self._rest.close()


def _frame(rows: Iterable[Record], record: type[Record]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=schema_of(record), orient="row")
