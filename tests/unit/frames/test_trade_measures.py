"""Measures of trades against quotes, by their definitions, and the join that they need."""

from random import Random

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research import analytics
from kucoin_research.model.records import Trade, schema_of
from tests.unit.frames.measured import (
    QUOTE,
    SYMBOLS,
    TIME,
    agrees,
    is_causal,
    is_the_same_in_every_context,
    quotes,
    random_quotes,
    random_trades,
    second,
    trades,
)

SIGN = {"buy": 1, "sell": -1}


def joined(seed):
    """Random trades that are joined with random quotes, and with the mid of 20 seconds later."""
    return analytics.with_quotes(random_trades(seed), random_quotes(seed + 100), later="20s")


def sign(rows):
    return SIGN[rows[-1]["side"]]


def signed(rows):
    return sign(rows) * rows[-1]["size"]


def signed_of_4(rows):
    return sum(signed(rows[:n]) for n in range(len(rows) - 3, len(rows) + 1)) if rows[3:] else None


def mid_of(row):
    bid, ask = row["best_bid_price"], row["best_ask_price"]
    return None if bid is None or ask is None else (bid + ask) / 2


def twice(rows, of, to, per=None):
    """Twice the signed distance; null if one of its parts is."""
    if of is None or to is None:
        return None
    found = 2 * sign(rows) * (of - to)
    return found if per is None else 1e4 * found / per


def effective(rows):
    return twice(rows, rows[-1]["price"], mid_of(rows[-1]))


def effective_bps(rows):
    mid = mid_of(rows[-1])
    return twice(rows, rows[-1]["price"], mid, mid)


def realised(rows):
    return twice(rows, rows[-1]["price"], rows[-1]["later_mid"])


def impact(rows):
    return twice(rows, rows[-1]["later_mid"], mid_of(rows[-1]))


MEASURES = {
    "sign": (analytics.trade_sign(), sign),
    "signed": (analytics.signed_volume(), signed),
    "signed_of_4": (analytics.signed_volume(4), signed_of_4),
    "effective": (analytics.effective_spread(), effective),
    "effective_bps": (analytics.effective_spread(bps=True), effective_bps),
    "realised": (analytics.realised_spread(), realised),
    "impact": (analytics.price_impact(), impact),
}


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("seed", range(3))
def test_a_measure_is_its_definition(name, seed):
    agrees(joined(seed), *MEASURES[name])


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_is_the_same_lazily_and_in_groups(name):
    is_the_same_in_every_context(joined(5), MEASURES[name][0])


@pytest.mark.parametrize("name", MEASURES)
def test_no_later_row_changes_a_value(name):
    is_causal(joined(6), MEASURES[name][0])


def test_the_worked_figures():
    frame = pl.DataFrame(
        {"side": ["buy"], "price": [100.08], "best_bid_price": [100.0], "best_ask_price": [100.1],
         "later_mid": [100.07]}
    )  # fmt: skip

    found = frame.select(
        analytics.effective_spread(), analytics.realised_spread(), analytics.price_impact()
    )

    assert found.row(0) == pytest.approx((0.06, 0.02, 0.04))
    in_bps = frame.select(
        analytics.effective_spread(bps=True),
        analytics.realised_spread(bps=True, mid_price=pl.lit(50.0)),
        analytics.price_impact(bps=True),
    )
    assert in_bps.to_dicts() == [
        pytest.approx({
            "effective_spread_bps": 600 / 100.05,
            "realised_spread_bps": 4.0,
            "price_impact_bps": 400 / 100.05,
        })
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [pl.String, pl.Categorical, pl.Enum(["buy", "sell", "none"])])
def test_the_side_is_the_takers_in_any_kind_of_text(kind):
    frame = pl.DataFrame({"side": pl.Series(["buy", "sell", "none", None]).cast(kind)})

    found = frame.select(analytics.trade_sign()).to_series()

    assert found.to_list() == [1, -1, None, None]
    assert found.dtype == pl.Int8


def later_by(frame, seconds):
    return frame.with_columns(pl.col("local_timestamp").dt.offset_by(f"{seconds}s"))


def test_a_trade_gets_the_last_quote_that_arrived_before_it():
    quoted = quotes((1, 1, 2, 1), (2, 1, 3, 1), (3, 1, 4, 1))
    traded = trades(("buy", 9, 1), ("buy", 9, 1), ("buy", 9, 1), ("buy", 9, 1))

    found = analytics.with_quotes(traded, quoted)

    # A quote of the same time may show the trade's own effect.
    assert found["best_bid_price"].to_list() == [None, 1.0, 2.0, 3.0]
    assert found["quote_local_timestamp"].to_list() == [None, second(0), second(1), second(2)]
    assert found.select(traded.columns).equals(traded)


def test_of_quotes_that_arrived_together_the_last_row_counts():
    together = pl.concat([quotes((1, 1, 2, 1)), quotes((5, 1, 6, 1))])

    found = analytics.with_quotes(later_by(trades(("buy", 9, 1)), 1), together)

    assert found["best_bid_price"].to_list() == [5.0]


def test_the_join_goes_by_arrival_and_not_by_the_exchanges_time():
    quoted = later_by(quotes((1, 1, 2, 1)), 10)
    traded = later_by(trades(*[("buy", 9, 1)] * 12), 0)

    found = analytics.with_quotes(traded, quoted)

    assert found["best_bid_price"].is_not_null().to_list() == [False] * 11 + [True]


def test_an_empty_side_is_not_filled_with_an_older_quote():
    quoted = quotes((1, 1, 2, 1), (None, None, 2, 1))

    found = analytics.with_quotes(later_by(trades(("buy", 9, 1)), 5), quoted)

    assert found.select(QUOTE).row(0) == (None, None, 2.0, 1.0)


@pytest.mark.parametrize("seed", range(4))
def test_the_join_is_its_definition(seed):
    random = Random(seed)
    traded, quoted = random_trades(seed), random_quotes(seed)
    jitter = [second(random.randrange(150)) for _ in range(traded.height)]
    traded = traded.with_columns(local_timestamp=pl.Series(jitter, dtype=TIME))

    found = analytics.with_quotes(traded.sample(fraction=1, shuffle=True, seed=seed), quoted,
                                  later="7s")  # fmt: skip

    known = quoted.rows(named=True)
    for row in found.rows(named=True):
        at = row["local_timestamp"]
        of_symbol = [each for each in known if each["symbol"] == row["symbol"]]
        before = [each for each in of_symbol if each["local_timestamp"] < at]
        wanted = before[-1] if before else dict.fromkeys(QUOTE)
        assert [row[name] for name in QUOTE] == [wanted[name] for name in QUOTE]
        assert (row["known_at"] - at).total_seconds() == 7
        until = [each for each in of_symbol if each["local_timestamp"] < row["known_at"]]
        is_reached = len(until) < len(of_symbol)
        assert row["later_mid"] == (mid_of(until[-1]) if until and is_reached else None)
    assert found["later_mid"].null_count() < found.height / 2


def test_later_quotes_change_neither_a_prior_quote_nor_a_later_mid_that_is_known():
    traded, quoted = random_trades(3), random_quotes(3)
    whole = analytics.with_quotes(traded, quoted, later="10s")
    for cut in (30, 90, 150):
        then = analytics.with_quotes(traded, quoted.head(cut), later="10s")
        end = quoted["local_timestamp"][cut - 1]
        is_past = pl.col("local_timestamp") <= end
        assert then.filter(is_past)[QUOTE].equals(whole.filter(is_past)[QUOTE])
        known = pl.when(then["later_mid"].is_not_null()).then(whole["later_mid"])
        assert then["later_mid"].equals(pl.select(known).to_series())
        assert then.filter(pl.col("later_mid").is_not_null())["known_at"].max() <= end


def test_rows_without_an_arrival_or_of_an_unknown_symbol_get_no_quote():
    missing = trades(("buy", 9, 1)).with_columns(local_timestamp=pl.lit(None, TIME))
    unknown = later_by(trades(("buy", 9, 1), symbol="ETHUSDTM"), 5)

    found = analytics.with_quotes(pl.concat([missing, unknown]), quotes((1, 1, 2, 1)), later="1s")

    assert found["best_bid_price"].to_list() == [None, None]
    assert found["known_at"].to_list() == [None, second(6)]
    assert found["later_mid"].to_list() == [None, None]


@pytest.mark.parametrize("later", [None, "5s"])
def test_empty_frames_are_joined_to_an_empty_frame(later):
    traded, quoted = random_trades(1), random_quotes(1)

    whole = analytics.with_quotes(traded, quoted, later=later)

    assert analytics.with_quotes(traded.clear(), quoted, later=later).schema == whole.schema
    none = analytics.with_quotes(traded, quoted.clear(), later=later)
    assert none.schema == whole.schema
    assert none["best_bid_price"].null_count() == traded.height


def test_a_streams_own_frames_are_joined():
    listed = [(second(1), second(1), SYMBOLS[0], 1, "a", "buy", 9.0, 1.0)]
    traded = pl.DataFrame(listed, schema=schema_of(Trade), orient="row")

    found = analytics.with_quotes(traded, quotes((1, 1, 2, 1)))

    assert found["best_bid_price"].to_list() == [1.0]
    assert found.schema["symbol"] == traded.schema["symbol"]


def test_mistakes_are_answered_in_a_sentence():
    traded, quoted = trades(("buy", 9, 1)), quotes((1, 1, 2, 1))

    with pytest.raises(kr.ColumnMissing, match="quotes cannot be joined to trades without 'best_b"):
        analytics.with_quotes(traded, quoted.drop("best_bid_price"))
    with pytest.raises(kr.ColumnMissing, match="trades cannot be joined with quotes without 'loc"):
        analytics.with_quotes(traded.drop("local_timestamp"), quoted)
    with pytest.raises(kr.InvalidInput, match="a polars frame is needed, not LazyFrame"):
        analytics.with_quotes(traded.lazy(), quoted)
    with pytest.raises(kr.InvalidInput, match="trades have a column 'best_bid_price' already"):
        analytics.with_quotes(analytics.with_quotes(traded, quoted), quoted)
    with pytest.raises(kr.InvalidInput, match="later must be in weeks or shorter units"):
        analytics.with_quotes(traded, quoted, later="1 month")
    with pytest.raises(kr.InvalidInput, match="later"):
        analytics.with_quotes(traded, quoted, later="soon")
    with pytest.raises(kr.InvalidInput, match="column 'local_timestamp' must hold times"):
        analytics.with_quotes(traded, quoted.with_columns(pl.col("local_timestamp").cast(int)))
    with pytest.raises(kr.InvalidInput, match="side must be the name of a column"):
        analytics.trade_sign(side=1)
    with pytest.raises(kr.InvalidInput, match="window must be a whole number of rows above 0"):
        analytics.signed_volume(0)
    with pytest.raises(kr.InvalidInput, match="mid_price must be the name of a column"):
        analytics.effective_spread(mid_price=100.0)
