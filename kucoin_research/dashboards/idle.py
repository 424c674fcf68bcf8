"""A source without rows, for charts to wait on before anything is started."""

from __future__ import annotations

import polars as pl

from kucoin_research.errors import BookNotReady
from kucoin_research.model.channels import parse_channel
from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.records import schema_of

__all__ = ["Idle"]


class Idle:
    """A live source that has every channel, but no rows and no status.

    Parameters
    ----------
    symbol
        The symbol that the charts wait for.
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
        """Return an empty frame with the channel's columns."""
        return pl.DataFrame(schema=schema_of(parse_channel(channel or "ticker").record))

    def total(self, channel: str | None = None) -> int:  # noqa: ARG002
        """Return 0."""
        return 0

    def book(self, symbol: str | None = None) -> OrderBook:
        """Raise ``BookNotReady``."""
        raise BookNotReady(f"nothing streams {symbol or self.symbols[0]} yet")
