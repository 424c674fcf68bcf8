"""Results that other engines for back-tests have published, made again with ours.

All are of daily candles of GOOG, which the package backtesting brings along, and of two averages
that cross. The other engine runs beside ours, so that trades are compared one by one and the equity
close by close; then the last equity is compared with the figure that was published.
"""

import itertools
import math
from typing import NamedTuple

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import kucoin_research as kr
from kucoin_research.model.records import Candle

DAY = 86_400_000_000_000
STOCK = {
    "symbol": "GOOG", "market": "futures", "base": "GOOG", "quote": "USD", "settle": "USD",
    "tick_size": 0.01, "lot_size": 1.0, "contract_multiplier": 1.0, "max_leverage": 10.0,
}  # fmt: skip
GOOG = kr.Instrument(**STOCK)
PARTS = kr.Instrument(**{**STOCK, "lot_size": 1e-9})  # vectorbt trades parts of a share
PLAIN = {"instruments": GOOG, "currency": "USD", "latency": 0}

#: An account with all its money in one position needs some more here. The exchange checks an order
#: as it arrives, at the last price, so before the open at which it will be filled is known; and
#: the other engines size it by that open.
SPARE = 90_000.0


class Costs(NamedTuple):
    """What the other engine charges, and the last equity that was published for it."""

    spread: float
    commission: float
    published: float


SPREAD = Costs(0.002, 0.0, 68_935.12)
COMMISSION = Costs(0.0, 0.002, 56_263.52)
HALF = Costs(0.0, 0.001, 68_875.68)
FREE = Costs(0.0, 0.0, 81_812.37)


@pytest.fixture
def candles(goog):
    names = ("Open", "High", "Low", "Close")
    return pl.read_csv(goog).select(
        pl.col("").str.to_datetime(time_unit="ns", time_zone="UTC").alias("timestamp"),
        symbol=pl.lit("GOOG"),
        interval=pl.lit("1day"),
        **{name.lower(): pl.col(name).cast(pl.Float64) for name in names},
    )


def crossings(candles, fast, slow):
    """Return 1 where the faster average has crossed the slower one upwards, -1 downwards, or 0."""
    above = pl.col("close").rolling_mean(fast) > pl.col("close").rolling_mean(slow)
    was = above.shift(1)
    sides = pl.when(above & ~was).then(1).when(~above & was).then(-1).otherwise(0)
    return candles.select(sides.fill_null(0)).to_series().to_list()


# -- strategies ------------------------------------------------------------------------------------


def whole_shares(money, price):
    return float(
        money * (1 - 2.0**-52) // price
    )  # all money but its last bit, as backtesting has it


def parts_of_shares(money, price):
    return math.floor(money / price * 1e9) / 1e9


class AllAtNextOpen:
    """Puts all money on the side of each crossing, at the open of the next candle.

    The order is sent at a close, and the other engines size it by the open that follows. A strategy
    cannot know that, so this one is handed all opens. Its money, fees and fills are our engine's.
    """

    def __init__(self, candles, sides, *, fee, shares, ends_flat=False):
        self.opens = candles["open"].to_list()
        self.sides = sides
        self.fee = fee
        self.shares = shares
        self.ends_flat = ends_flat
        self.equity = []

    def __call__(self, _, broker):
        row, following = len(self.equity), len(self.equity) + 1
        self.equity.append(broker.equity - SPARE)
        if following == len(self.opens):
            return
        if self.ends_flat and following + 1 == len(self.opens):
            broker.close()
        elif self.sides[row]:
            self.turn(broker, self.sides[row], self.opens[following])

    def turn(self, broker, side, opened):
        held = broker.position()
        money = broker.cash - SPARE
        if held.size:
            money += held.size * (opened - held.entry_price) - abs(held.size) * opened * self.fee
        broker.target(side * self.shares(money, opened * (1 + self.fee)))


class AllAtQuotes:
    """The same on three quotes a day: leaves at the first behind a crossing, enters at the next.

    It sizes by the quote that it sees and the money that it has, so it knows nothing beforehand.
    """

    def __init__(self, sides, costs):
        self.sides = sides
        self.costs = costs
        self.quotes = itertools.count()
        self.equity = []

    def __call__(self, quote, broker):
        day, part = divmod(next(self.quotes), 3)
        side = self.sides[day - 1] if day else 0
        if part == 2:
            self.equity.append(broker.equity)
        elif side and part == 0:
            broker.close()
        elif side:
            price = quote.best_ask_price if side > 0 else quote.best_bid_price
            size = whole_shares(broker.cash, price * (1 + self.costs.commission))
            (broker.buy if side > 0 else broker.sell)(size)


def quotes_of(candles, spread):
    """Return three quotes a day: the open, the same with a spread on each side, and the close."""
    parts = [
        candles.select(
            pl.col("timestamp").dt.offset_by(f"{after}ns"), "symbol",
            best_bid_price=pl.col(price) * (1 - wide), best_ask_price=pl.col(price) * (1 + wide),
        )
        for after, price, wide in ((0, "open", 0.0), (1, "open", spread), (DAY - 1, "close", 0.0))
    ]  # fmt: skip
    sized = {"best_bid_size": pl.lit(1e6), "best_ask_size": pl.lit(1e6)}
    quotes = pl.concat(parts).sort("timestamp")
    return quotes.with_columns(local_timestamp="timestamp", **sized)


# -- comparisons -----------------------------------------------------------------------------------


def assert_same_trades(trades, theirs):
    """Compare the times, signed sizes and prices of round trips."""
    signs = {"buy": 1, "sell": -1}
    for ours, (entered, exited, size, *prices) in zip(
        trades.iter_rows(named=True), theirs, strict=True
    ):
        times = [f"{ours[name]:%Y-%m-%d %H:%M:%S}" for name in ("entered", "exited")]
        assert times == [entered, exited]
        assert signs[ours["side"]] * ours["size"] == size
        assert [ours["entry_price"], ours["exit_price"]] == pytest.approx(prices, rel=1e-12)


def deepest(equity):
    """Return the deepest fall from a peak, in percent."""
    peaks = itertools.accumulate(equity, max)
    return 100 * min(one / peak - 1 for one, peak in zip(equity, peaks, strict=True))


# -- backtesting.py --------------------------------------------------------------------------------


@pytest.mark.parametrize("costs", [SPREAD, COMMISSION, HALF, FREE])
def test_all_money_at_quotes_gives_the_published_equity(engine, goog, candles, costs):
    """Each cost has its place here: a spread is a worse quote, a commission a taker's fee.

    Backtesting charges the spread where a trade is entered and not where it is left. So the quote
    at which ours leaves is the open itself, and the one at which it enters has the spread.
    """
    theirs = engine(
        "crossing_averages_bars", goog, 10, 20, costs.spread, costs.commission, "exclusive"
    )
    strategy = AllAtQuotes(crossings(candles, 10, 20), costs)

    ours = kr.backtest(
        strategy, {"bbo": quotes_of(candles, costs.spread)}, cash=10_000.0,
        fees=(costs.commission, costs.commission), progress=False, **PLAIN,
    )  # fmt: skip

    assert len(ours.trades) == theirs["count"] == 93
    assert_same_trades(ours.trades, theirs["trades"])
    assert strategy.equity == pytest.approx(theirs["equity"], abs=1e-6)
    assert deepest(strategy.equity) == pytest.approx(theirs["max_drawdown_pct"], abs=1e-9)
    assert round(ours.equity["equity"][-1], 2) == costs.published


@pytest.mark.parametrize("costs", [COMMISSION, HALF, FREE])
def test_all_money_at_the_next_open_gives_the_published_equity(engine, goog, candles, costs):
    theirs = engine(
        "crossing_averages_bars", goog, 10, 20, costs.spread, costs.commission, "exclusive"
    )
    strategy = AllAtNextOpen(
        candles, crossings(candles, 10, 20), fee=costs.commission, shares=whole_shares
    )
    options = {"cash": 10_000.0 + SPARE, "fees": (costs.commission, costs.commission), **PLAIN}

    ours = kr.backtest(strategy, {"candle": candles}, progress=False, **options)
    signals = kr.backtest_signals(candles, targets(candles, theirs), **options)

    assert_same_trades(ours.trades, theirs["trades"])
    assert strategy.equity == pytest.approx(theirs["equity"], abs=1e-6)
    assert_same_trades(signals.trades, theirs["trades"])
    for result in (ours, signals):
        equity = [each - SPARE for each in result.equity["equity"]]
        assert equity == pytest.approx(theirs["equity"], abs=1e-6)
        assert deepest(equity) == pytest.approx(theirs["max_drawdown_pct"], abs=1e-9)
        assert round(equity[-1], 2) == costs.published


def targets(candles, theirs):
    """Return their position behind each row in which an order was sent; null elsewhere."""
    entries = [(entered, size) for entered, _, size, *_ in theirs["trades"]]
    entries += [(each["entered"], each["size"]) for each in theirs["open"]]
    wanted = {entered: float(size) for entered, size in entries}
    filled = candles["timestamp"].dt.to_string("%Y-%m-%d %H:%M:%S").shift(-1)
    return filled.replace_strict(wanted, default=None, return_dtype=pl.Float64)


def test_closing_before_opening_gives_the_published_equity(engine, goog, candles):
    """Backtesting closes the last trade at the open of the last bar, once that bar is over.

    Nothing can be filled in the past here. So ours sends the closing order one candle earlier, and
    is filled at the same open; between that and the last close it holds nothing.
    """
    theirs = engine("crossing_averages_bars", goog, 10, 30, 0.0, 0.0, "closing")
    strategy = AllAtNextOpen(
        candles, crossings(candles, 10, 30), fee=0.0, shares=whole_shares, ends_flat=True
    )

    ours = kr.backtest(
        strategy, {"candle": candles}, cash=10_000.0 + SPARE, fees=(0, 0), progress=False, **PLAIN
    )

    assert len(ours.trades) == theirs["count"] == 66
    assert_same_trades(ours.trades, theirs["trades"])
    assert strategy.equity == pytest.approx(theirs["equity"], abs=1e-6)
    assert ours.equity["equity"][-1] - SPARE == pytest.approx(51_422.98999999996, abs=1e-8)
    assert deepest(strategy.equity) == pytest.approx(-47.98012705007588, abs=1e-9)


# -- vectorbt --------------------------------------------------------------------------------------


def test_parts_of_shares_at_the_next_open_give_the_published_equity(engine, goog, candles):
    """The published figure values the last position at the open of the last candle."""
    theirs = engine("crossing_averages_columns", goog, 10, 20, 0.002)
    strategy = AllAtNextOpen(candles, crossings(candles, 10, 20), fee=0.002, shares=parts_of_shares)
    options = {
        **PLAIN, "instruments": PARTS, "cash": 10_000.0 + SPARE, "fees": (0.002, 0.002),
    }  # fmt: skip

    ours = kr.backtest(strategy, {"candle": candles}, progress=False, **options)

    at_open = ours.equity["equity"][-1] - SPARE
    at_open += ours.fills["position_after"][-1] * (candles["open"][-1] - candles["close"][-1])
    assert at_open == pytest.approx(57_208.05796, abs=1e-5)
    assert at_open == pytest.approx(theirs["equity_at_opens"][-1], abs=1e-6)
    assert strategy.equity == pytest.approx(theirs["equity_at_closes"], abs=1e-6)
    assert len(ours.fills) == len(theirs["orders"]) == 94
    for fill, (when, side, size, price) in zip(
        ours.fills.iter_rows(named=True), theirs["orders"], strict=True
    ):
        assert (f"{fill['timestamp']:%Y-%m-%d %H:%M:%S}", fill["side"]) == (when, side)
        assert (fill["size"], fill["price"]) == (pytest.approx(size, abs=1e-8), price)
    assert theirs["max_drawdown_at_opens"] == pytest.approx(-0.3421, abs=5e-5)

    held = ours.fills.select("timestamp", target="position_after")
    closes = candles.select(pl.col("timestamp").shift(-1))
    signals = kr.backtest_signals(
        candles, closes.join(held, on="timestamp", how="left")["target"], **options
    )
    assert_frame_equal(
        signals.fills.drop("tag", "order_id"), ours.fills.drop("tag", "order_id"), check_exact=True
    )


# -- backtrader ------------------------------------------------------------------------------------


def test_a_hundred_shares_long_or_short_give_the_published_equity(candles):
    """Backtrader 1.9.78.123 has the same 208,409.284 from 100,000; it is not run here."""
    wanted = [100.0 * side or None for side in crossings(candles, 10, 20)]
    rows = iter(wanted)

    def follow(_, broker):
        target = next(rows)
        if target is not None:
            broker.target(target)

    options = {**PLAIN, "cash": 100_000.0, "fees": (0.002, 0.002)}
    events = kr.backtest(follow, {"candle": candles}, progress=False, **options)
    signals = kr.backtest_signals(candles, pl.Series(wanted, dtype=pl.Float64), **options)

    assert events.fingerprint == signals.fingerprint
    assert_frame_equal(events.fills, signals.fills, check_exact=True)
    for result in (events, signals):
        assert result.equity["equity"][-1] == pytest.approx(208_409.284, abs=1e-6)
        assert len(result.fills) == 94
    signs = pl.when(pl.col("side") == "buy").then(1).otherwise(-1)
    first = signals.fills.head(4).select("price", size=signs * pl.col("size"))
    assert first.rows() == [(169.02, -100.0), (179.13, 200.0), (182.0, -200.0), (187.45, 200.0)]


def test_leverage_changes_nothing_while_nobody_is_liquidated(candles):
    closed = pl.col("timestamp").dt.offset_by("1d")
    marks = candles.select(closed, "symbol", local_timestamp=closed, mark_price="close")
    options = {**PLAIN, "cash": 100_000.0, "fees": (0.002, 0.002), "progress": False}

    def last_equity(played, leverage):
        sides = iter(crossings(candles, 10, 20))

        def follow(record, broker):
            side = next(sides) if isinstance(record, Candle) else 0
            if side:
                broker.target(100.0 * side)

        return kr.backtest(follow, played, leverage=leverage, **options).equity["equity"][-1]

    assert last_equity({"mark_price": marks, "candle": candles}, 2) == pytest.approx(
        last_equity({"candle": candles}, 1), abs=1e-6
    )
