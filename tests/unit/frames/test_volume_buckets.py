"""VPIN over buckets of equal volume, against its definition."""

from fractions import Fraction

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research import analytics
from tests.unit.frames.measured import SYMBOLS, random_trades, second, trades


def definition(rows, volume, window):
    """Bought and sold volume of each full bucket, and the mean imbalance of the newest ones."""
    full, now = [], {"buy": Fraction(0), "sell": Fraction(0)}
    for row in rows:
        left = Fraction(row["size"] or 0) if row["price"] is not None else Fraction(0)
        while left:
            part = min(left, volume - sum(now.values()))
            now[row["side"]] += part
            left -= part
            if sum(now.values()) == volume:
                full.append((now["buy"], now["sell"]))
                now = {"buy": Fraction(0), "sell": Fraction(0)}
    gaps = [abs(bought - sold) for bought, sold in full]
    return [
        (float(b), float(s), float(sum(gaps[n - window + 1 : n + 1]) / (window * volume)))
        if n >= window - 1
        else (float(b), float(s), None)
        for n, (b, s) in enumerate(full)
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("volume", "window"), [(10, 4), (2.5, 1), (1, 20)])
def test_it_is_its_definition(seed, volume, window):
    frame = random_trades(seed)

    found = analytics.vpin(frame, volume, window=window)

    for symbol in SYMBOLS:
        of_symbol = frame.filter(pl.col("symbol") == symbol).rows(named=True)
        wanted = definition(of_symbol, Fraction(volume), window)
        mine = found.filter(pl.col("symbol") == symbol)
        assert mine.select("buy_volume", "sell_volume").rows() == [each[:2] for each in wanted]
        assert mine["vpin"].to_list() == pytest.approx([each[2] for each in wanted])
        assert mine["vpin"].null_count() == window - 1


def test_the_worked_figure():
    frame = trades(("buy", 1, 70), ("sell", 1, 30), ("buy", 1, 40), ("sell", 1, 70), ("buy", 1, 95))

    found = analytics.vpin(frame, 100, window=3)

    # The fourth and the fifth trade are split.
    rows = found.select("buy_volume", "sell_volume").rows()
    assert rows == [(70, 30), (40, 60), (90, 10)]
    assert found["vpin"].to_list() == [None, None, pytest.approx(0.466667, rel=1e-5)]


def test_a_bucket_has_the_times_of_its_trades_and_of_their_arrival():
    frame = trades(("buy", 1, 3), ("sell", 1, 2), ("sell", 1, 8)).with_columns(
        pl.col("local_timestamp").dt.offset_by("5s")
    )

    found = analytics.vpin(frame, 4, window=1)

    assert found.select("timestamp", "close_time", "known_at").rows() == [
        (second(0), second(1), second(6)),
        (second(1), second(2), second(7)),
        (second(2), second(2), second(7)),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_later_trades_change_no_bucket(seed):
    frame = random_trades(seed)
    whole = analytics.vpin(frame, 7, window=3)

    for cut in (40, 90, 150):
        then = analytics.vpin(frame.head(cut), 7, window=3)
        end = frame["local_timestamp"][cut - 1]
        known = whole.filter(pl.col("known_at") <= end)
        assert then.height > 5
        assert set(then.rows()) == set(known.rows())


def test_trades_without_a_side_fill_no_bucket():
    frame = trades(("buy", 1, 2), (None, 1, 50), ("sell", 1, 2), ("buy", 1, 0))

    assert analytics.vpin(frame, 4, window=1)["vpin"].to_list() == [0.0]


@pytest.mark.parametrize("rows", [0, 1])
def test_few_trades_fill_no_bucket(rows):
    found = analytics.vpin(trades(("buy", 1, 2)).head(rows), 4)

    assert found.is_empty()
    assert found.schema == analytics.vpin(random_trades(1), 4).schema


def test_mistakes_are_answered_in_a_sentence():
    frame = trades(("buy", 1, 2))

    with pytest.raises(kr.ColumnMissing, match="a VPIN of trades cannot be made without 'side'"):
        analytics.vpin(frame.drop("side"), 4)
    with pytest.raises(kr.InvalidInput, match="column 'side' must hold texts, not Int8"):
        analytics.vpin(frame.with_columns(side=pl.lit(1, pl.Int8)), 4)
    with pytest.raises(kr.InvalidInput, match="volume must be a size above 0, not 0"):
        analytics.vpin(frame, 0)
    with pytest.raises(kr.InvalidInput, match="window must be a whole number of buckets above 0"):
        analytics.vpin(frame, 4, window=0)
    with pytest.raises(kr.InvalidInput, match="volume=1e-09 would make"):
        analytics.vpin(frame, 1e-9)
    with pytest.raises(kr.InvalidInput, match="a polars frame is needed, not LazyFrame"):
        analytics.vpin(frame.lazy(), 4)
    with pytest.raises(kr.InvalidInput, match="vpin lacks volume"):
        analytics.vpin(frame)
