"""Target positions in polars have the fills, the money and the equity of the event engine."""

import random

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import kucoin_research as kr

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
START = 1_700_000_040_000_000_000  # a whole minute
TIME = pl.Datetime("ns", "UTC")
QUIET = {"progress": False}


def instrument(symbol="XBTUSDTM", **facts):
    base = {
        "symbol": symbol, "market": "futures", "base": "XBT", "quote": "USDT", "settle": "USDT",
        "tick_size": 0.1, "lot_size": 1.0, "contract_multiplier": 0.001, "maker_fee": 0.0002,
        "taker_fee": 0.0006, "max_leverage": 125.0,
    }  # fmt: skip
    return kr.Instrument(**{**base, **facts})


LINEAR = instrument()
OTHER = instrument("ETHUSDTM", base="ETH", contract_multiplier=0.01, taker_fee=0.0005)
INVERSE = instrument(
    "XBTUSDM", quote="USD", settle="XBT", contract_multiplier=-1.0, is_inverse=True
)
SPOT = instrument(
    "BTC-USDT", market="spot", base="BTC", lot_size=0.001, contract_multiplier=1.0, taker_fee=0.001
)


def random_targets(draw, rows, facts, *, changes=0.3, most=20):
    """Targets of which most are null or the one before."""
    lots = (lambda: draw.randint(0, most)) if facts.market == "spot" else (
        lambda: draw.randint(-most, most)
    )  # fmt: skip
    found, last = [], None
    for _ in range(rows):
        if draw.random() < changes:
            last = round(lots() * facts.lot_size, 3)
            found.append(last)
        else:
            found.append(draw.choice((None, last)))
    return found


def random_candles(seed, facts, rows=300, **choice):
    """A walk with gaps in time, a null here and there, and volumes that may not suffice."""
    draw = random.Random(seed)
    when, price, made = START, 600_000, []
    for _ in range(rows):
        when += MINUTE * draw.choice((1, 1, 1, 1, 2, 7))
        opened = price + draw.randint(-50, 50)
        price = max(100_000, opened + draw.randint(-3000, 3000))
        made.append(
            {
                "timestamp": when, "symbol": facts.symbol, "interval": "1min",
                "open": None if draw.random() < 0.02 else opened / 10,
                "high": (max(opened, price) + 5) / 10, "low": (min(opened, price) - 5) / 10,
                "close": price / 10,
                "volume": draw.choice((None, 1e6, 1e6, 1e6, 7 * facts.lot_size, 0.0)),
            }
        )  # fmt: skip
    frame = pl.DataFrame(
        made, schema_overrides={"volume": pl.Float64, "open": pl.Float64}, infer_schema_length=None
    )
    return frame.with_columns(
        pl.col("timestamp").cast(TIME),
        target=pl.Series(random_targets(draw, rows, facts, **choice), dtype=pl.Float64),
    )


def random_quotes(seed, facts, rows=600, **choice):
    """A walk of few ticks, so that levels are met again, with rows that arrive together."""
    draw = random.Random(seed)
    when, ticks, made = START, 600_000, []
    sizes = {"bid": 1.0, "ask": 1.0}
    for _ in range(rows):
        when += draw.choice((0, 1, 20, 150, 3_000)) * 1_000_000
        ticks += draw.choice((-1, 0, 0, 0, 1))
        for side in sizes:
            if draw.random() < 0.5:
                sizes[side] = round(draw.choice((5, 30, 400)) * facts.lot_size, 3)
        is_empty = draw.random() < 0.02
        made.append(
            {
                "timestamp": when, "local_timestamp": when, "symbol": facts.symbol,
                "best_bid_price": None if is_empty else ticks / 10,
                "best_bid_size": sizes["bid"],
                "best_ask_price": (ticks + draw.choice((1, 1, 2))) / 10,
                "best_ask_size": sizes["ask"],
            }
        )  # fmt: skip
    frame = pl.DataFrame(made, infer_schema_length=None)
    return frame.with_columns(
        pl.col("timestamp", "local_timestamp").cast(TIME),
        target=pl.Series(random_targets(draw, rows, facts, **choice), dtype=pl.Float64),
    )


def follower(frame):
    """A strategy for the event engine that brings the position to the target of each row.

    It looks at the change of the target only, and counts orders that are on their way.
    """
    rows = {}
    for symbol, target in frame.select("symbol", "target").iter_rows():
        rows.setdefault(symbol, []).append(target)
    rows = {symbol: iter(targets) for symbol, targets in rows.items()}
    last = {}

    def strategy(record, broker):
        symbol = record.symbol
        target = next(rows[symbol])
        if target is None or target == last.get(symbol):
            return
        last[symbol] = target
        coming = broker.orders(symbol)
        if not coming:
            broker.target(target, symbol)
            return
        there = broker.position(symbol).size
        there += sum(each.left if each.side == "buy" else -each.left for each in coming)
        change = round(target - there, 9)
        if change:
            side = broker.buy if change > 0 else broker.sell
            side(abs(change), symbol, tag="target")

    return strategy


def both(channel, frame, **options):
    """Results of the event engine and of the vectorised one."""
    options = {**QUIET, "name": "same", **options}
    events = kr.backtest(follower(frame), {channel: frame.drop("target")}, **options)
    signals = kr.backtest_signals(frame.drop("target"), frame["target"], **options)
    return events, signals


def assert_same(events, signals):
    for name in ("fills", "orders", "trades", "positions", "funding", "notes"):
        assert_frame_equal(getattr(signals, name), getattr(events, name), check_exact=True)
    assert signals.fingerprint == events.fingerprint
    assert_frame_equal(signals.equity, events.equity, abs_tol=1e-7, rel_tol=1e-9)
    for name, value in events.stats.items():
        assert signals.stats[name] == (
            pytest.approx(value, rel=1e-6, abs=1e-9) if isinstance(value, float) else value
        ), name
    assert signals.complete == events.complete


# -- candles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("latency", [0, (0.5, 0.1), 90])
@pytest.mark.parametrize("seed", range(3))
def test_linear_contracts_on_candles_are_traded_as_by_the_event_engine(seed, latency):
    frame = random_candles(seed, LINEAR)

    events, signals = both("candle", frame, instruments=LINEAR, latency=latency)

    assert_same(events, signals)
    assert len(signals.fills) > 40


@pytest.mark.parametrize("seed", range(3))
def test_inverse_contracts_on_candles_are_traded_as_by_the_event_engine(seed):
    frame = random_candles(seed, INVERSE, most=5_000)

    events, signals = both(
        "candle", frame, instruments=INVERSE, latency=0, cash={"XBT": 1.0}, currency="USD"
    )

    assert_same(events, signals)
    assert len(signals.fills) > 40


@pytest.mark.parametrize("cash", [{"USDT": 1e6}, {"USDT": 4_000.0, "BTC": 0.007}])
@pytest.mark.parametrize("seed", range(3))
def test_spot_on_candles_is_traded_as_by_the_event_engine(seed, cash):
    frame = random_candles(seed, SPOT, most=100)

    events, signals = both("candle", frame, instruments=SPOT, latency=0, cash=cash)

    assert_same(events, signals)
    assert signals.stats["orders"] > 40
    assert (signals.stats["rejected"] > 0) == (cash["USDT"] < 1e6)


@pytest.mark.parametrize("seed", range(3))
def test_several_symbols_share_the_balance_as_in_the_event_engine(seed):
    parts = [random_candles(seed * 3 + at, each) for at, each in enumerate((LINEAR, OTHER, SPOT))]
    frame = pl.concat(parts).sort("timestamp", maintain_order=True)

    events, signals = both(
        "candle", frame, instruments=[LINEAR, OTHER, SPOT], latency=0.05, cash=12_000.0
    )

    assert_same(events, signals)
    assert signals.fills["symbol"].n_unique() == 3
    assert signals.stats["rejected"] > 0


def test_symbols_may_stand_one_after_the_other():
    frame = pl.concat([random_candles(1, LINEAR), random_candles(2, OTHER)])

    events, signals = both("candle", frame, instruments=[LINEAR, OTHER], latency=0)

    assert_same(events, signals)


def test_fundings_that_are_given_are_paid_as_in_the_event_engine():
    frame = random_candles(5, LINEAR)
    times = [START + each * SECOND for each in (0, 61, 600, 4_000, 4_020, 30_000, 10**6)]
    times += [frame["timestamp"].to_physical()[each] for each in (10, 40, 80)]  # with a close
    funding = pl.DataFrame(
        {"timestamp": times, "symbol": "XBTUSDTM", "funding_rate": 0.001}
    ).with_columns(pl.col("timestamp").cast(TIME))

    events, signals = both("candle", frame, instruments=LINEAR, latency=0, funding=funding)

    assert_same(events, signals)
    assert len(signals.funding) > 5


def test_short_positions_are_liquidated_as_in_the_event_engine():
    row = pl.int_range(pl.len())
    frame = random_candles(4, LINEAR).with_columns(
        pl.col("open", "high", "low", "close") * (1 + row % 100 / 60),
        target=pl.when(row % 100 == 3).then(-10.0 - row // 100),
    )

    events, signals = both("candle", frame, instruments=LINEAR, latency=0)

    assert_same(events, signals)
    assert signals.stats["liquidations"] == signals.stats["orders"] == 3


def test_last_rows_target_is_sent_and_never_filled():
    frame = random_candles(1, LINEAR, rows=5, changes=0).with_columns(
        target=pl.Series([None, None, None, None, 3.0])
    )

    result = kr.backtest_signals(frame, "target", instruments=LINEAR, latency=0)

    assert result.fills.is_empty()
    assert result.orders["status"].to_list() == ["accepted"]


def test_charts_show_the_same_prices_as_those_of_the_event_engine():
    parts = [random_candles(7, LINEAR, changes=0.05), random_candles(8, OTHER, changes=0.05)]
    events, signals = both("candle", pl.concat(parts), instruments=[LINEAR, OTHER])

    for symbol in ("XBTUSDTM", "ETHUSDTM"):
        shown, expected = (each.figure(symbol).data[0] for each in (signals, events))

        assert list(shown.x) == list(expected.x)
        assert list(shown.y) == list(expected.y)


# -- quotes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("liquidity", ["depth", "unlimited"])
@pytest.mark.parametrize("latency", [0, (0.05, 0), (0.02, 0.4)])
@pytest.mark.parametrize("seed", range(3))
def test_quotes_are_traded_as_by_the_event_engine(seed, latency, liquidity):
    frame = random_quotes(seed, LINEAR)

    events, signals = both(
        "bbo", frame, instruments=LINEAR, latency=latency, liquidity=liquidity, cash=100_000.0
    )

    assert_same(events, signals)
    assert len(signals.fills) > 60


@pytest.mark.parametrize("latency", [0, 0.05])
def test_tickers_of_several_symbols_are_traded_as_by_the_event_engine(latency):
    parts = [random_quotes(3, LINEAR), random_quotes(4, SPOT), random_quotes(5, INVERSE, most=90)]
    frame = pl.concat(parts).sort("local_timestamp", maintain_order=True)
    frame = frame.with_columns(price=pl.col("best_ask_price"), size=1.0)

    events, signals = both(
        "ticker", frame, instruments=[LINEAR, SPOT, INVERSE], latency=latency, currency="USDT",
        cash={"USDT": 100_000.0, "XBT": 0.1}, fees=(0.0, 0.001),
    )  # fmt: skip

    assert_same(events, signals)
    assert signals.fills["symbol"].n_unique() == 3


def test_level_that_was_taken_is_there_again_only_once_it_has_changed():
    def quote(at, size, target):
        return {
            "timestamp": START + at * SECOND, "local_timestamp": START + at * SECOND,
            "symbol": "XBTUSDTM", "best_bid_price": 100.0, "best_bid_size": 50.0,
            "best_ask_price": 101.0, "best_ask_size": size, "target": target,
        }  # fmt: skip

    rows = [quote(0, 10.0, 8.0), quote(1, 10.0, 16.0), quote(2, 10.0, None)]
    frame = pl.DataFrame(rows).with_columns(pl.col("timestamp", "local_timestamp").cast(TIME))

    events, signals = both("bbo", frame, instruments=LINEAR, latency=0)

    assert_same(events, signals)
    assert signals.fills["size"].to_list() == [8.0, 2.0]
    assert "1 of 2 orders were not filled as a whole" in signals.assumptions["detail"][-1]


# -- no look into the future -----------------------------------------------------------------------


@pytest.mark.parametrize("cut", [20, 111, 250])
def test_changing_the_future_changes_no_earlier_fill(cut):
    frame = random_candles(2, LINEAR)
    other = random_candles(3, LINEAR)
    when = frame["timestamp"][cut]
    shift = pl.lit(when - other["timestamp"][0]).cast(pl.Duration("ns"))
    later = other.with_columns(pl.col("timestamp") + shift)
    changed = pl.concat([frame[:cut], later])

    plain, bent = (
        kr.backtest_signals(each, "target", instruments=LINEAR, latency=0).fills
        for each in (frame, changed)
    )

    begun = pl.col("timestamp") < when  # the changed candle opens then
    assert plain.filter(begun).height > 1
    assert_frame_equal(plain.filter(begun), bent.filter(begun))


# -- what a user may pass --------------------------------------------------------------------------


def hourly(*closes, symbol="XBTUSDTM"):
    times = [START // (60 * MINUTE) * 60 * MINUTE + at * 60 * MINUTE for at in range(len(closes))]
    return pl.DataFrame(
        {
            "timestamp": times, "symbol": symbol, "interval": "1hour", "open": closes,
            "high": closes, "low": closes, "close": closes, "volume": 1e6,
        }
    ).with_columns(pl.col("timestamp").cast(TIME))  # fmt: skip


def test_signal_may_be_an_expression_a_name_or_a_series():
    frame = hourly(100.0, 102.0, 99.0, 98.0).with_columns(wanted=pl.Series([1, 1, None, -1]))
    expression = pl.when(pl.col("close") > 99.0).then(1).when(pl.col("close") < 99.0).then(-1)

    prints = {
        kr.backtest_signals(frame, each, instruments=LINEAR).fingerprint
        for each in ("wanted", frame["wanted"], expression)
    }

    assert len(prints) == 1


def test_targets_are_taken_to_the_lot_that_float_noise_hides():
    frame = hourly(100.0, 102.0, 99.0, symbol="BTC-USDT")

    result = kr.backtest_signals(frame, pl.Series([0.1 + 0.2, None, None]), instruments=SPOT)

    assert result.fills["size"].to_list() == [0.3]


def test_many_small_lots_are_a_whole_number_of_them():
    facts = instrument("BTC-USDT", market="spot", base="BTC", lot_size=1e-8, contract_multiplier=1)
    frame = hourly(1.0, 2.0, 3.0, symbol="BTC-USDT")

    result = kr.backtest_signals(
        frame, pl.Series([9_526.35196271] * 3), instruments=facts, cash=1e5
    )

    assert result.fills["size"].to_list() == [9_526.35196271]
    with pytest.raises(kr.InvalidInput, match="no whole number of lots"):
        kr.backtest_signals(frame, pl.Series([9_526.351962715] * 3), instruments=facts)


@pytest.mark.parametrize(
    ("signal", "options", "sentence"),
    [
        (pl.Series([1.0, 0.5, 1.0]), {}, "wants 0.5 of XBTUSDTM, which is no whole number of lots"),
        (pl.Series([1.0, float("nan"), 1.0]), {}, "the signal is nan in row 1"),
        (pl.Series([1.0]), {}, "1 values for 3 rows"),
        (pl.Series(["a", "b", "c"]), {}, "must hold positions"),
        (pl.col("nothing"), {}, "cannot be computed"),
        ("nothing", {}, "no such signal"),
        (7, {}, "a polars expression, the name of a column or a Series"),
        (pl.lit(1), {"latency": "recorded"}, "needs backtest"),
        (pl.lit(1), {"margin_mode": "cross"}, "needs backtest"),
        (pl.lit(1), {"leverage": 3}, "mark_price"),
        (pl.lit(1), {"leverige": 3}, "did you mean 'leverage'"),
        (pl.lit(1), {"channels": "level2"}, "not for level2"),
    ],
)
def test_what_cannot_be_played_is_refused_in_a_sentence(signal, options, sentence):
    with pytest.raises(kr.KucoinResearchError, match=sentence):
        kr.backtest_signals(hourly(1.0, 2.0, 3.0), signal, instruments=LINEAR, **options)


def test_spot_is_never_short():
    frame = hourly(1.0, 2.0, symbol="BTC-USDT")

    with pytest.raises(kr.InvalidInput, match="spot cannot be short"):
        kr.backtest_signals(frame, pl.lit(-1.0), instruments=SPOT)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda frame: frame.reverse(), "not in the order of timestamp"),
        (lambda frame: frame.drop("interval"), "have no 'interval'"),
        (lambda frame: frame.drop("close"), "neither candles"),
        (lambda frame: frame[:0], "no rows"),
        (
            lambda frame: pl.concat([frame, frame.with_columns(interval=pl.lit("1day"))]).sort(
                "timestamp"
            ),
            "is for one interval",
        ),
    ],
)
def test_frames_that_cannot_be_played_are_refused(change, sentence):
    with pytest.raises(kr.KucoinResearchError, match=sentence):
        kr.backtest_signals(change(hourly(1.0, 2.0, 3.0)), pl.lit(1), instruments=LINEAR)


def test_interval_may_be_passed_with_the_channel():
    frame = hourly(100.0, 101.0, 102.0)

    plain = kr.backtest_signals(frame, pl.lit(1), instruments=LINEAR)
    passed = kr.backtest_signals(
        frame.drop("interval"), pl.lit(1), channels="candle:1hour", instruments=LINEAR
    )

    assert passed.fingerprint == plain.fingerprint
    assert plain.fills["price"].to_list() == [101.0]


def test_only_the_symbols_that_were_asked_for_are_played():
    frame = pl.concat([hourly(1.0, 2.0, 3.0), hourly(4.0, 5.0, 6.0, symbol="ETHUSDTM")])

    result = kr.backtest_signals(frame, pl.lit(1), symbols="ETHUSDTM", instruments=[LINEAR, OTHER])

    assert result.fills["symbol"].to_list() == ["ETHUSDTM"]
    assert result.stats["records"] == 3


def test_assumptions_name_the_engine():
    result = kr.backtest_signals(hourly(1.0, 2.0, 3.0), pl.lit(1), instruments=LINEAR)

    assert result.assumptions.row(0)[:2] == ("engine", "vectorised")


# -- a stock that is always held, long or short ----------------------------------------------------

STOCK = instrument(
    "GOOG", base="GOOG", quote="USD", settle="USD", tick_size=0.01, contract_multiplier=1.0
)
CROSSING = {
    "instruments": STOCK, "cash": 100_000.0, "currency": "USD", "fees": (0.002, 0.002),
    "latency": 0,
}  # fmt: skip


def daily(opens, closes, times):
    return pl.DataFrame(
        {
            "timestamp": times, "symbol": "GOOG", "interval": "1day", "open": opens,
            "high": [max(each) for each in zip(opens, closes, strict=True)],
            "low": [min(each) for each in zip(opens, closes, strict=True)], "close": closes,
        }
    ).with_columns(pl.col("timestamp").cast(TIME))  # fmt: skip


def crossing(fast=10, slow=20, size=100.0):
    """The target at each crossing of two averages, of which none is at the first comparison."""
    above = pl.col("close").rolling_mean(fast) > pl.col("close").rolling_mean(slow)
    is_up = above & ~above.shift(1)
    is_down = ~above & above.shift(1)
    return pl.when(is_up).then(size).when(is_down).then(-size)


def by_hand(opens, closes, fast=10, slow=20, size=100, fee=0.002, cash=100_000.0):
    """The same in plain Python: the last equity, and the fills as (row, signed size, price)."""
    position, before, wanted, fills = 0, None, None, []
    for row, opened in enumerate(opens):
        if wanted is not None and wanted != position:
            change, position = wanted - position, wanted
            cash -= change * opened + abs(change) * opened * fee
            fills.append((row, change, opened))
        if row + 1 >= slow:
            short, long = (sum(closes[row + 1 - n : row + 1]) / n for n in (fast, slow))
            if before is not None and (short > long) != before:
                wanted = size if short > long else -size
            before = short > long
    return cash + position * closes[-1], fills


def made_up_prices(days=400):
    draw, ticks, opens, closes = random.Random(11), 20_000, [], []
    for _ in range(days):
        opens.append((ticks + draw.randint(-100, 100)) / 100)
        ticks += draw.randint(-300, 310)
        closes.append(ticks / 100)
    return opens, closes, [START // (1_440 * MINUTE) * 1_440 * MINUTE] * days


def signed(fills):
    return [
        (price, size if side == "buy" else -size)
        for side, price, size in fills.select("side", "price", "size").iter_rows()
    ]


def test_crossing_averages_on_made_up_prices_agree_with_plain_python():
    opens, closes, times = made_up_prices()
    times = [each + at * 1_440 * MINUTE for at, each in enumerate(times)]
    frame = daily(opens, closes, times).with_columns(target=crossing())

    events, signals = both("candle", frame, **CROSSING)

    equity, fills = by_hand(opens, closes)
    assert_same(events, signals)
    assert len(fills) > 10
    assert signed(signals.fills) == [(price, size) for _, size, price in fills]
    assert signals.equity["equity"][-1] == pytest.approx(equity, abs=1e-6)


def test_equity_has_the_worth_at_each_close_also_where_the_next_candle_fills_an_order():
    opens, closes = [100.0, 100.0, 100.0, 150.0], [100.0, 100.0, 200.0, 150.0]
    times = [START // (1_440 * MINUTE) * 1_440 * MINUTE + at * 1_440 * MINUTE for at in range(4)]
    frame = daily(opens, closes, times).with_columns(target=pl.Series([1.0, None, 0.0, None]))

    events, signals = both("candle", frame, **{**CROSSING, "fees": (0.0, 0.0)})

    closed = (pl.Series(times) + 1_440 * MINUTE).cast(TIME)
    for result in (events, signals):
        # Bought at 100, it is worth 200 at the third close; sold at 150, the next open.
        assert result.equity["timestamp"].to_list() == closed.to_list()
        assert result.equity["equity"].to_list() == [100_000.0, 100_000.0, 100_100.0, 100_050.0]
        assert result.stats["max_drawdown_pct"] == pytest.approx(-100 * 50 / 100_100)
