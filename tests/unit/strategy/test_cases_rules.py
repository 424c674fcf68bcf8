"""What KuCoin refuses, with its codes and texts, and what a run refuses in one sentence."""

from dataclasses import replace

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.errors import (
    ColumnMissing,
    InvalidInput,
    StrategyFailed,
    UnknownChannel,
    UnknownSymbol,
)
from kucoin_research.model.instruments import RiskTier
from tests.unit.strategy.tapes import (
    INSTRUMENTS,
    SPOT,
    UNIT,
    XBT,
    Case,
    at,
    bbo,
    candle,
    cases,
    check,
    depth50,
    mark,
    play,
    settlement,
    tape,
    trade,
)  # fmt: skip

U, X, S = UNIT.symbol, XBT.symbol, SPOT.symbol
BANDED = replace(UNIT, price_limit_rate=0.05)
BANDED_SPOT = replace(SPOT, price_limit_rate=0.1)
TIERS = (RiskTier(10_000.0, 50.0, 0.02, 0.01), RiskTier(30_000.0, 5.0, 0.2, 0.1))
TIERED = replace(UNIT, risk_tiers=TIERS)
LIMITED = replace(UNIT, min_size=2.0, max_size=50.0, market_max_size=20.0, max_price=1_000.0)


def much(symbol=U, price=100.0, when=0):
    return bbo(when, (price, 100_000), (price, 100_000), symbol)


def refused(name, *, order, reason, records=None, symbol=U, **others):
    """Make a case of one order that is refused, with nothing bound and nothing paid."""
    start = records or [much(symbol), much(symbol, when=1)]
    return Case(
        name=name,
        records=start,
        orders={0: order},
        fills=[],
        status=["rejected"],
        reasons=[reason],
        cash=others.get("options", {}).get("cash", 1e6),
        **others,
    )


REFUSED = [
    refused(
        "a price off the tick",
        records=[much(X, 60_000.0), much(X, 60_000.0, 1)],
        order=lambda broker: broker.buy(1, limit=60_000.05),
        reason="100001 There are invalid parameters (price 60000.05",
    ),
    refused("no lots", order=lambda broker: broker.buy(0), reason="100001"),
    refused("one and a half lots", order=lambda broker: broker.buy(1.5), reason="100001"),
    refused("a negative size", order=lambda broker: broker.sell(-3), reason="100001"),
    refused(
        "coins for contracts: the hint says how many it would be",
        records=[much(X, 60_000.0), much(X, 60_000.0, 1)],
        order=lambda broker: broker.buy(0.5),
        reason="0.5 XBT would be 500 contracts",
    ),
    refused(
        "a stop price off the tick",
        order=lambda broker: broker.buy(1, stop=100.05),
        reason="100001",
    ),
    refused("a price of 0", order=lambda broker: broker.buy(1, limit=0), reason="100001"),
    refused(
        "300003 names lots and coins, and what is free",
        records=[much(X, 60_000.0), much(X, 60_000.0, 1)],
        order=lambda broker: broker.buy(1_000),
        # 60,000 and 36 of fee
        reason="300003 Balance insufficient. The order would cost 60,036 USDT. "
        "(1,000 contracts of XBTUSDTM = 1 XBT; at leverage 1 it needs 60,036 USDT with the fee, "
        "and 5,000 USDT are free)",
        options={"cash": 5_000.0},
    ),
    refused(
        "no ask to buy from",
        records=[depth50(0, [(99.9, 5)]), depth50(1, [(99.9, 5)])],
        order=lambda broker: broker.buy(1),
        reason="300008 Unavailable to place the order, there's no contra order in the market.",
    ),
    refused(
        "nothing to reduce",
        order=lambda broker: broker.sell(1, reduce_only=True),
        reason="300009 No open positions to close.",
    ),
    refused(
        "a buy above the band",
        order=lambda broker: broker.buy(1, limit=105.1),
        reason="300011 Order price cannot be higher than 105",
        options={"instruments": [BANDED], "cash": 1e6},
    ),
    refused(
        "a sell below the band",
        order=lambda broker: broker.sell(1, limit=94.9),
        reason="300012 Order price cannot be lower than 95",
        options={"instruments": [BANDED], "cash": 1e6},
    ),
    refused(
        "a spot buy above the protection",
        records=[much(S), much(S, when=1)],
        order=lambda broker: broker.buy(1, limit=110.1),
        reason="400370 Max. price: 110",
        options={"instruments": [BANDED_SPOT], "cash": 1e6},
    ),
    refused(
        "above the highest risk tier",
        records=[much(), much(when=1)],
        order=lambda broker: broker.buy(301),
        reason="300005 30000 risk limit exceeded",
        options={"instruments": [TIERED], "cash": 1e6},
    ),
    refused(
        "leverage above what the tier allows",
        records=[mark(0, 100.0), much(), much(when=1)],
        order=lambda broker: broker.buy(101),
        reason="300016 The leverage cannot be greater than 5.",
        options={"instruments": [TIERED], "cash": 1e6, "leverage": 10.0},
    ),
    refused(
        "below the smallest size",
        order=lambda broker: broker.buy(1),
        reason="100001",
        options={"instruments": [LIMITED], "cash": 1e6},
    ),
    refused(
        "above the largest market order",
        order=lambda broker: broker.buy(21),
        reason="the largest size is 20 contracts",
        options={"instruments": [LIMITED], "cash": 1e6},
    ),
    refused(
        "above the highest price",
        order=lambda broker: broker.sell(2, limit=1_000.1),
        reason="100001",
        options={"instruments": [LIMITED], "cash": 1e6},
    ),
    refused(
        "selling coins that are not there",
        records=[much(S), much(S, when=1)],
        order=lambda broker: broker.sell(0.5),
        reason="200004 Balance insufficient!",
    ),
    refused(
        "buying for more than there is, with the fee",
        records=[much(S), much(S, when=1)],
        order=lambda broker: broker.buy(10),
        reason="200004 Balance insufficient!",
        options={"cash": 1_000.0},
    ),
    refused(
        "a spot size off its step",
        records=[much(S), much(S, when=1)],
        order=lambda broker: broker.buy(0.123456789),
        reason="400100 Order size increment invalid.",
    ),
    refused(
        "a spot size below the smallest",
        records=[much(S), much(S, when=1)],
        order=lambda broker: broker.buy(0.000001),
        reason="400100 Order size below the minimum requirement.",
    ),
    refused(
        "a spot price off its step",
        records=[much(S), much(S, when=1)],
        order=lambda broker: broker.buy(1, limit=99.95),
        reason="400100 Price increment invalid.",
    ),
    refused(
        "spot funds below the smallest",
        # 0.00002·100 = 0.002 USDT
        records=[much(S), much(S, when=1)],
        order=lambda broker: broker.buy(0.00002),
        reason="400760 The order funds should more then 0.1 USDT.",
    ),
]  # fmt: skip

BOUNDED = [
    Case(
        name="a market order is not filled beyond the band, and says so",
        records=[
            depth50(0, [(99.9, 9)], [(100.1, 4), (104.9, 3), (105.1, 9)]),
            depth50(1, [(99.9, 9)], [(100.1, 4), (104.9, 3), (105.1, 9)]),
        ],
        orders={0: lambda broker: broker.buy(10)},
        # the mid of 100 makes the band 105
        fills=[(1, 4, 100.1), (1, 3, 104.9)],
        status=["cancelled"],
        reasons=["price band"],
        options={"instruments": [BANDED]},
    ),
    Case(
        name="a spot sweep ends at best·(1 + rate)",
        records=[
            depth50(n, [(1.1, 9)], [(1.2, 4), (1.3, 3), (1.4, 9)], S) for n in (0, 1)
        ],
        orders={0: lambda broker: broker.buy(10)},
        # 1.2·1.1 = 1.32
        fills=[(1, 4, 1.2), (1, 3, 1.3)],
        reasons=["price protection"],
        options={"instruments": [BANDED_SPOT]},
    ),
    Case(
        name="reduce-only 8 against 5: five filled, three cancelled",
        records=[much(), much(when=1), much(when=2)],
        orders={
            0: lambda broker: broker.buy(5),
            1: lambda broker: broker.sell(8, reduce_only=True),
        },
        fills=[(1, 5, 100.0), (2, 5, 100.0)],
        status=["filled", "cancelled"],
        reasons=[None, "3 of 8"],
        position=0,
    ),
    Case(
        name="a resting reduce-only order is cut to what is left of the position",
        records=[much(), much(when=1), much(when=2), trade(3, "buy", 111.0, 50), much(when=4)],
        orders={
            0: lambda broker: broker.buy(5),
            1: lambda broker: broker.sell(5, limit=110.0, reduce_only=True),
            2: lambda broker: broker.sell(3),
        },
        fills=[(1, 5, 100.0), (3, 3, 100.0), (2, 2, 110.0)],
        status=["filled", "cancelled", "filled"],
        position=0,
    ),
    Case(
        name="a resting reduce-only order ends with the position",
        records=[much(), much(when=1), much(when=2), trade(3, "buy", 111.0, 50)],
        orders={
            0: lambda broker: broker.buy(5),
            1: lambda broker: broker.sell(5, limit=110.0, reduce_only=True),
            2: lambda broker: broker.close(),
        },
        fills=[(1, 5, 100.0), (3, 5, 100.0)],
        status=["filled", "cancelled", "filled"],
    ),
    Case(
        name="reduce-only needs no margin",
        # 1,000 of 1,000 are bound by the position
        records=[much(), much(when=1), much(when=2)],
        orders={
            0: lambda broker: broker.buy(10),
            1: lambda broker: broker.sell(10, reduce_only=True),
        },
        fills=[(1, 10, 100.0), (2, 10, 100.0)],
        cash=1_000.0,
        options={"cash": 1_000.0},
    ),
    Case(
        name="open orders bind their margin, and give it back when cancelled",
        records=[much(), much(when=1), much(when=2), much(when=3)],
        orders={
            0: lambda broker: broker.buy(6, limit=90.0),
            1: lambda broker: broker.buy(5, limit=100.0),
            2: lambda broker: broker.cancel_all(),
            3: lambda broker: broker.buy(10, limit=100.0),
        },
        # 540 of 1,000 are bound, so 500 are not free; then all is free again
        status=["cancelled", "rejected", "filled"],
        reasons=["cancelled", "300003", None],
        options={"cash": 1_000.0},
    ),
    Case(
        name="orders are taken again once the settlement has ended",
        records=[
            much(), settlement(60, 0.0001), much(when=65), settlement(60, 0.0001, arrived=67),
            much(when=68), much(when=69),
        ],
        orders={65: lambda broker: broker.buy(1), 68: lambda broker: broker.buy(1)},
        status=["rejected", "filled"],
        reasons=["300015", None],
    ),
    Case(
        name="orders are taken at once where only the end of the settlement was recorded",
        records=[much(), settlement(70, 0.0001), much(when=71), much(when=72)],
        orders={71: lambda broker: broker.buy(1)},
        status=["filled"],
    ),
    Case(
        name="tiers count what is held",
        records=[much(), much(when=1), much(when=2)],
        orders={0: lambda broker: broker.buy(200), 1: lambda broker: broker.buy(101)},
        status=["filled", "rejected"],
        reasons=[None, "300005"],
        options={"instruments": [TIERED]},
    ),
]  # fmt: skip


@cases(*REFUSED)
def test_refused(case):
    check(case)


@cases(*BOUNDED)
def test_bounded(case):
    check(case)


def test_a_hundred_limit_orders_may_rest_and_a_market_order_is_none_of_them():
    played = play(
        [much(), much(when=1)],
        {0: lambda broker: [*(broker.buy(1, limit=50.0) for _ in range(101)), broker.buy(1)]},
    )

    assert [str(each.status) for each in played.orders[99:]] == ["accepted", "rejected", "filled"]
    assert "300001 Active order quantity limit exceeded (limit: 100" in played.orders[100].reason


def test_two_hundred_orders_of_a_pair_may_rest_or_wait():
    played = play(
        [much(S), much(S, when=1)],
        {
            0: lambda broker: [
                *(broker.buy(0.01, stop=150.0) for _ in range(20)),
                *(broker.buy(0.01, limit=50.0) for _ in range(181)),
                broker.buy(0.01, stop=150.0),
            ]
        },
    )

    assert [str(each.status) for each in played.orders[199:]] == ["accepted"] + ["rejected"] * 2
    assert all("200003 Number of orders" in each.reason for each in played.orders[200:])


@pytest.mark.parametrize(("symbol", "most", "code"), [(U, 50, "300004"), (S, 20, "200003")])
def test_so_many_stops_may_wait(symbol, most, code):
    played = play(
        [much(symbol), much(symbol, when=1)],
        {0: lambda broker: [broker.buy(1, stop=150.0) for _ in range(most + 1)]},
    )

    statuses = [str(each.status) for each in played.orders]
    assert statuses == ["accepted"] * most + ["rejected"]
    assert played.orders[most].reason.startswith(code)


# -- one sentence ----------------------------------------------------------------------------------


def nothing(record, broker):
    pass


def run(strategy=nothing, data=None, **options):
    chosen = {"instruments": INSTRUMENTS, "progress": False, **options}
    return kr.backtest(strategy, tape(much()) if data is None else data, **chosen)


@pytest.mark.parametrize(
    ("action", "error", "words"),
    [
        (lambda broker: broker.buy(float("nan")), InvalidInput, "size must be a finite number"),
        (lambda broker: broker.buy("3"), InvalidInput, "size must be a finite number"),
        (lambda broker: broker.buy(1, limit=float("inf")), InvalidInput, "limit must be a finite"),
        (lambda broker: broker.buy(1, "ETHUSDTM"), UnknownSymbol, "'ETHUSDTM' is not played here"),
        (lambda broker: broker.buy(1, time_in_force="FOK"), InvalidInput, "FOK is for spot"),
        (lambda broker: broker.buy(1, time_in_force="DAY"), InvalidInput, "GTC, IOC, FOK, GTT"),
        (lambda broker: broker.buy(1, post_only=True), InvalidInput, "post_only needs a limit"),
        (
            lambda broker: broker.buy(1, limit=1, post_only=True, time_in_force="IOC"),
            InvalidInput,
            "post_only contradicts IOC",
        ),
        (lambda broker: broker.buy(1, stop=1, stop_price_type="XX"), InvalidInput, "TP, MP, IP"),
        (lambda broker: broker.buy(1, stop=1, stop_price_type="MP"), InvalidInput, "mark_price"),
        (lambda broker: broker.cancel(3), InvalidInput, "cancel takes an Order"),
        (lambda broker: broker.last("tickers"), UnknownChannel, "ticker"),
        (lambda broker: broker.target(float("nan")), InvalidInput, "size must be a finite number"),
    ],
)
def test_wrong_calls_of_the_broker_say_what_is_wrong(action, error, words):
    caught = []

    def strategy(record, broker):
        with pytest.raises(error, match=words) as found:
            action(broker)
        caught.append(str(found.value))

    run(strategy)

    assert len(caught) == 1
    assert "\n" not in caught[0]


@pytest.mark.parametrize(
    ("data", "options", "error", "words"),
    [
        (None, {"instruments": None}, InvalidInput, "pass instruments="),
        (None, {"leverage": 5.0}, InvalidInput, "needs mark prices"),
        (None, {"leverage": 0}, InvalidInput, "leverage"),
        (None, {"channels": "tickers"}, UnknownChannel, "tickers"),
        (None, {"symbols": "ETHUSDTM"}, UnknownSymbol, "'ETHUSDTM' is not in the data"),
        (None, {"queue": "fifo"}, InvalidInput, "queue must be one of risk_averse"),
        (None, {"liquidity": "all"}, InvalidInput, "liquidity must be one of depth"),
        (None, {"margin_mode": "portfolio"}, InvalidInput, "margin_mode must be one of"),
        (None, {"margin_rules": "2020"}, InvalidInput, "margin_rules must be one of"),
        (None, {"latency": -1}, InvalidInput, "latency must be 0 to 3,600 seconds"),
        (None, {"latency": "slow"}, InvalidInput, 'latency must be seconds or "recorded"'),
        (None, {"cash": -5}, InvalidInput, "cash cannot be negative"),
        (None, {"cash": {"EUR": 5}}, InvalidInput, "cash has EUR"),
        (None, {"fees": 0.1}, InvalidInput, r"fees must be \(maker, taker\)"),
        (None, {"funding": "monthly"}, InvalidInput, "funding must be"),
        ({}, {}, InvalidInput, "empty mapping"),
        (7, {}, InvalidInput, "data must be a session"),
        ({"quotes": pl.DataFrame()}, {}, UnknownChannel, "quotes"),
        ({"trade": pl.DataFrame({"price": [1.0]})}, {}, ColumnMissing, "timestamp"),
        (tape(mark(0, 100.0)), {}, InvalidInput, "the data has no prices to trade at"),
    ],
)
def test_wrong_calls_of_backtest_say_what_is_wrong(data, options, error, words):
    with pytest.raises(error, match=words) as found:
        run(data=data, **options)

    assert "\n" not in str(found.value)


def test_a_strategy_may_stop_early():
    def strategy(record, broker):
        if broker.now >= at(1):
            raise kr.StopStrategy("enough")

    result = run(strategy, tape(*[much(when=n) for n in range(4)]))

    assert result.ended == "the strategy stopped it: enough"
    assert not result.complete
    assert result.failure is None
    assert result.stats["records"] == 2


def test_a_strategy_that_raises_leaves_the_result_so_far():
    def strategy(record, broker):
        if broker.now == at(0):
            broker.buy(5)
        if broker.now == at(2):
            raise KeyError("signal")

    with pytest.warns(StrategyFailed, match="KeyError"):
        result = run(strategy, tape(*[much(when=n) for n in range(4)]), latency=0.5)

    assert result.ended == "the strategy raised KeyError: 'signal'"
    assert result.failure.record.local_timestamp == at(2)
    assert result.fills["size"].to_list() == [5.0]
    assert result.stats["records"] == 3


def test_replacing_a_filled_order_is_refused():
    played = []

    def strategy(record, broker):
        if broker.now == at(0):
            played.append(broker.buy(5))
        elif broker.now == at(1):
            with pytest.raises(InvalidInput, match="nothing is left"):
                broker.replace(played[0], limit=99.0)
            played.append("refused")

    result = run(strategy, tape(much(), much(when=1)), latency=0)

    assert played[1:] == ["refused"]
    assert result.fills["size"].to_list() == [5.0]


def test_candles_of_a_rest_frame_are_known_at_their_close():
    frame = tape(candle(0, 100.0, 101.0, 99.0, 100.5))["candle"].drop("local_timestamp")
    seen = []

    run(lambda record, broker: seen.append(broker.now), {"candle": frame})

    assert seen == [at(60)]
