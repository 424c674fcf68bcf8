"""An order book's best levels, mid and depth."""

from __future__ import annotations

import polars as pl

from kucoin_research.model.orderbook import OrderBook

SYMBOL = "XBTUSDTM"


def test_an_empty_side_has_no_mid():
    copy = OrderBook(SYMBOL, 1, None, {1.0: 1.0}, {})

    assert (copy.best_ask, copy.best_ask_size, copy.mid, copy.spread) == (None,) * 4


def test_depth_lists_the_best_levels_side_by_side():
    copy = OrderBook(SYMBOL, 1, None, {1.0: 10.0, 2.0: 20.0}, {3.0: 30.0})

    frame = copy.depth(2)

    assert frame.rows() == [(2.0, 20.0, 3.0, 30.0), (1.0, 10.0, None, None)]
    assert set(frame.dtypes) == {pl.Float64}
    assert copy.depth(1).height == 1
    assert copy.depth().height == 2
    assert OrderBook(SYMBOL, 1, None, {}, {}).depth().schema == frame.schema
