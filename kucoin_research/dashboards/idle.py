"""A source in which nothing happens: what charts show before anything is started."""

from __future__ import annotations

import polars as pl

from kucoin_research.errors import BookNotReady
from kucoin_research.model.channels import parse_channel
from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.records import schema_of

__all__ = ["Idle"]


class Idle:
    """Has every channel, and no rows.

    Parameters
    ----------
    symbol
        Whose charts wait.
    """

    name = "idle"
    state = "idle"
    status = None
    channels = ()
    failures = ()

    def __init__(self, symbol: str) -> None:
        self.symbols = (symbol,)

    def frame(
        self,
        channel: str | None = None,
        symbol: str | None = None,  # noqa: ARG002
        last: int | None = None,  # noqa: ARG002
    ) -> pl.DataFrame:
        """Give no rows, with the channel's columns."""
        return pl.DataFrame(schema=schema_of(parse_channel(channel or "ticker").record))

    def total(self, channel: str | None = None) -> int:  # noqa: ARG002
        """Count none."""
        return 0

    def book(self, symbol: str | None = None) -> OrderBook:
        """Have none."""
        raise BookNotReady(f"nothing streams {symbol or self.symbols[0]} yet")
