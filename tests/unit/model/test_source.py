"""Sorting what a user hands to a front door into streams, replays, sessions and the rest."""

import pandas as pd
import polars as pl
import pytest

from kucoin_research.model.orderbook import OrderBook
from kucoin_research.model.source import is_live, is_replay, is_source, is_stream
from kucoin_research.playback.replay import Replay
from kucoin_research.sessions.session import Session
from kucoin_research.streaming.stream import Stream

GUARDS = (is_source, is_live, is_stream, is_replay)


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        (Stream, (True, True, True, False)),
        (Replay, (True, True, False, True)),
        (Session, (True, False, False, False)),
        (OrderBook, (False, False, False, False)),
        (pl.DataFrame, (False, False, False, False)),
    ],
)
def test_sources_are_known_by_their_methods(kind, answers):
    made = object.__new__(kind)  # an empty one: a look at a property would raise

    assert tuple(guard(made) for guard in GUARDS) == answers


class _Half:
    """What has the methods of a live source, and not its properties."""

    def frame(self, *_):
        """Return rows."""

    total = book = frame


@pytest.mark.parametrize(
    "value", [_Half(), None, "ticker", 5, pd.DataFrame({"frame": [1], "total": [2]})]
)
def test_nothing_else_is_a_source(value):
    assert not any(guard(value) for guard in GUARDS)
