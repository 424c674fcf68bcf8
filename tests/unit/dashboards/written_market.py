"""A live source without an exchange, for tests that write its rows."""

import polars as pl

import kucoin_research as kr


class Market:
    """A live source whose rows a test writes.

    Parameters
    ----------
    symbols
        Those that it has.
    **frames
        The rows that are there at first, by channel.
    """

    name, state, failures, status = "market", "live", (), None

    def __init__(self, *symbols, **frames):
        self.symbols, self.frames = symbols, frames

    @property
    def channels(self):
        return tuple(self.frames)

    def frame(self, channel=None, symbol=None, last=None):
        if channel not in self.frames:
            raise kr.UnknownChannel(f"no {channel}")
        found = self.frames[channel]
        found = found if symbol is None else found.filter(pl.col("symbol") == symbol)
        return found if last is None else found[-last:]

    def total(self, channel=None):
        return self.frame(channel).height

    def book(self, symbol=None):
        raise kr.BookNotReady("none")

    def add(self, channel, rows):
        self.frames[channel] = pl.concat((self.frames[channel], rows))
