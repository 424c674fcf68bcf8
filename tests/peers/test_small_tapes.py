"""Tapes of a few events, on which hftbacktest 2.4.4 books other fills than an exchange would.

Its own figures are asserted, too: should a later version book them rightly, these tests say so.
"""

import polars as pl
import pytest

import kucoin_research as kr

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
FACTS = kr.Instrument(
    symbol="XBTUSDTM", market="futures", base="XBT", quote="USDT", settle="USDT", tick_size=0.1,
    lot_size=1.0, contract_multiplier=1.0, max_leverage=100.0,
)  # fmt: skip
BOOK = [("buy", 100.0, 10.0), ("sell", 100.1, 30.0), ("sell", 100.2, 50.0), ("sell", 100.3, 20.0)]


def frame(rows, names):
    """Make rows whose first value is a time, in seconds behind the start."""
    timed = pl.col("timestamp").cast(pl.Datetime("ns", "UTC"))
    made = pl.DataFrame(
        [(START + row[0] * SECOND, *row[1:]) for row in rows], ["timestamp", *names], orient="row"
    )
    return made.with_columns(timed, local_timestamp=timed, symbol=pl.lit("XBTUSDTM"))


def played(sales, **order):
    """Return the fills of an order to buy that is sent in second 2; ``sales`` are public trades."""
    levels = [(1, 0, True, *level) for level in BOOK]
    levels += [(2, 1, False, "buy", 98.0, 1.0), (9, 2, False, "buy", 99.0, 1.0)]
    trades = [(second, "sell", price, size) for second, price, size in sales]
    tape = {
        "level2": frame(levels, ["sequence", "is_snapshot", "side", "price", "size"]),
        "trade": frame(trades or [(9, "sell", 90.0, 1.0)], ["side", "price", "size"]),
    }

    def send(_, broker):
        if broker.now == START + 2 * SECOND:
            broker.buy(**order)

    result = kr.backtest(
        send, tape, instruments=FACTS, cash=1e6, latency=0, fees=(0, 0), progress=False
    )
    return result.fills.select("price", "size", "liquidity").rows()


@pytest.mark.parametrize(("exchange", "position", "cash"), [
    ("no_partial", 100.0, -10_010.0),  # all at the best price, of which there are 30
    ("partial", 20.0, -2_006.0),  # the last level alone
])  # fmt: skip
def test_an_order_that_takes_three_levels(engine, exchange, position, cash):
    theirs = engine("small_tapes", "takes three levels", exchange)

    ours = played([], size=100, limit=100.3, time_in_force="IOC")

    assert theirs == {"position": position, "cash": pytest.approx(cash)}
    assert ours == [(100.1, 30.0, "taker"), (100.2, 50.0, "taker"), (100.3, 20.0, "taker")]
    assert sum(price * size for price, size, _ in ours) == pytest.approx(100 * 100.19)


def test_an_order_that_two_trades_fill(engine):
    """Ten lots are before it: the first trade of 20 leaves it ten, and the second one the rest."""
    theirs = engine("small_tapes", "is filled by two trades", "partial")

    ours = played([(5, 100.0, 20.0), (6, 100.0, 40.0)], size=50, limit=100.0)

    assert theirs["position"] == 40.0  # of the second trade alone
    assert ours == [(100.0, 10.0, "maker"), (100.0, 40.0, "maker")]


@pytest.mark.parametrize("exchange", ["no_partial", "partial"])
def test_a_trade_of_five_lots_below_a_limit_of_fifty(engine, exchange):
    theirs = engine("small_tapes", "is traded through by five lots", exchange)

    ours = played([(5, 99.9, 5.0)], size=50, limit=100.0)

    assert theirs["position"] == 50.0  # ten times what was sold
    assert ours == [(100.0, 5.0, "maker")]
