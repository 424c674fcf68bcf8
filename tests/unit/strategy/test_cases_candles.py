"""Candles alone: the next open, limits passed or only touched, and the worse of two orders."""

from tests.unit.strategy.tapes import Case, candle, cases, check, mark

#: Opens at 100, its high and low 2 away.
FIRST = candle(0, 100.0, 102.0, 98.0, 100.0)
QUIET = candle(1, 100.0, 101.0, 99.0, 100.0)


CANDLES = [
    Case(
        name="a market order is filled at the next open",
        records=[FIRST, candle(1, 100.5, 103.0, 99.0, 102.0)],
        orders={60: lambda broker: broker.buy(5)},
        fills=[(1, 5, 100.5)],
        liquidity=["taker"],
    ),
    Case(
        name="with latency, too, it is the next open",
        records=[
            FIRST, candle(1, 100.5, 103.0, 99.0, 102.0), candle(2, 101.0, 102.0, 100.0, 101.0),
        ],
        orders={60: lambda broker: broker.buy(5)},
        fills=[(1, 5, 100.5)],
        options={"latency": 0.05},
    ),
    Case(
        name="an order that needs longer than a candle is not filled before it has come",
        # sent at 60, there at 150: the candle of 180 is the first that opens behind it
        records=[FIRST, *[candle(n, 100.0 + n, 110.0, 90.0, 100.0) for n in (1, 2, 3)]],
        orders={60: lambda broker: broker.buy(5)},
        fills=[(1, 5, 103.0)],
        options={"latency": 90},
    ),
    Case(
        name="a limit is filled where the candle passes through it",
        records=[FIRST, candle(1, 100.0, 101.0, 98.9, 100.0)],
        orders={60: lambda broker: broker.buy(5, limit=99.0)},
        fills=[(1, 5, 99.0)],
        liquidity=["maker"],
    ),
    Case(
        name="a limit that is only touched is not filled",
        records=[FIRST, QUIET],
        orders={60: lambda broker: [broker.buy(5, limit=99.0), broker.sell(5, limit=101.0)]},
        fills=[],
        status=["accepted", "accepted"],
    ),
    Case(
        name="the candle in which a limit was sent cannot fill it",
        records=[FIRST, QUIET, candle(2, 100.0, 100.0, 98.0, 99.0)],
        orders={60: lambda broker: broker.buy(5, limit=98.5)},
        fills=[(1, 5, 98.5)],
    ),
    Case(
        name="a gap open beyond the limit fills at the open",
        records=[FIRST, candle(1, 97.0, 98.0, 96.0, 97.5)],
        orders={60: lambda broker: broker.buy(5, limit=99.0)},
        fills=[(1, 5, 97.0)],
        liquidity=["taker"],
    ),
    Case(
        name="a later gap open beyond a resting limit fills at the worst price of the candle",
        records=[FIRST, QUIET, candle(2, 97.0, 98.0, 96.0, 97.5)],
        orders={60: lambda broker: broker.buy(5, limit=98.5)},
        fills=[(1, 5, 98.0)],
        liquidity=["maker"],
    ),
    Case(
        name="post-only is refused where the open lies beyond it",
        records=[FIRST, candle(1, 97.0, 98.0, 96.0, 97.5)],
        orders={60: lambda broker: broker.buy(5, limit=99.0, post_only=True)},
        fills=[],
        status=["cancelled"],
        reasons=["post-only"],
    ),
    Case(
        name="an IOC is filled at the open or not at all",
        records=[FIRST, candle(1, 100.0, 101.0, 97.0, 98.0), candle(2, 97.0, 98.0, 96.0, 97.0)],
        orders={60: lambda broker: broker.buy(5, limit=99.0, time_in_force="IOC")},
        fills=[],
        status=["cancelled"],
    ),
    Case(
        name="no more is filled than was traded",
        records=[FIRST, candle(1, 100.0, 101.0, 99.0, 100.0, volume=7.0)],
        orders={60: lambda broker: [broker.buy(5), broker.sell(4)]},
        fills=[(1, 5, 100.0), (2, 2, 100.0)],
        status=["filled", "cancelled"],
    ),
    Case(
        name="an unknown volume bounds nothing",
        records=[FIRST, candle(1, 100.0, 101.0, 99.0, 100.0, volume=None)],
        orders={60: lambda broker: broker.buy(5_000)},
        fills=[(1, 5_000, 100.0)],
    ),
    Case(
        name="stop and limit in one candle: the worse counts",
        # long 5 from 100; the candle reaches both 96 and 104
        records=[FIRST, QUIET, candle(2, 100.0, 105.0, 95.0, 104.0)],
        orders={
            60: lambda broker: broker.buy(5),
            120: lambda broker: [
                broker.sell(5, limit=104.0, reduce_only=True),
                broker.sell(5, stop=96.0, reduce_only=True),
            ],
        },
        fills=[(1, 5, 100.0), (3, 5, 96.0)],
        status=["filled", "cancelled", "filled"],
        pnl=[-20.0],
    ),
    Case(
        name="a stop that the open has passed is filled at the open",
        records=[FIRST, QUIET, candle(2, 93.0, 94.0, 92.0, 93.0)],
        orders={
            60: lambda broker: broker.buy(5),
            120: lambda broker: broker.sell(5, stop=96.0, reduce_only=True),
        },
        fills=[(1, 5, 100.0), (2, 5, 93.0)],
    ),
    Case(
        name="a stop buy above is filled no better than its price",
        records=[FIRST, candle(1, 100.0, 104.0, 99.0, 103.0)],
        orders={60: lambda broker: broker.buy(5, stop=103.0)},
        fills=[(1, 5, 103.0)],
    ),
    Case(
        name="a reduce-only stop closes an entry of the same candle",
        # bought at 98.5 on the way down, stopped at 97
        records=[FIRST, candle(1, 100.0, 101.0, 96.0, 100.0)],
        orders={
            60: lambda broker: [
                broker.buy(5, limit=98.5),
                broker.sell(5, stop=97.0, reduce_only=True),
            ]
        },
        fills=[(1, 5, 98.5), (2, 5, 97.0)],
        pnl=[-7.5],
    ),
    Case(
        name="a reduce-only stop closes a market entry of the same candle",
        records=[FIRST, candle(1, 100.0, 101.0, 96.0, 100.0)],
        orders={
            60: lambda broker: [broker.buy(5), broker.sell(5, stop=97.0, reduce_only=True)]
        },
        fills=[(1, 5, 100.0), (2, 5, 97.0)],
    ),
    Case(
        name="a limit behind a stop is not filled by what may have come before the stop",
        # 103 reached, then a bid at 98: the low of 97 may be from before
        records=[
            FIRST, candle(1, 100.0, 104.0, 97.0, 103.0), candle(2, 103.0, 104.0, 102.0, 103.0),
        ],
        orders={60: lambda broker: broker.buy(5, stop=103.0, limit=98.0)},
        fills=[],
        status=["accepted"],
    ),
    Case(
        name="an order that was cut in the candle's open is over",
        # Both sells would close the 5; the second is cut, and the buy behind does not revive it.
        records=[FIRST, QUIET, QUIET._replace(timestamp=QUIET.timestamp + 60 * 10**9,
                                             local_timestamp=QUIET.local_timestamp + 60 * 10**9)],
        orders={
            60: lambda broker: broker.buy(5),
            120: lambda broker: [
                broker.sell(5, reduce_only=True), broker.sell(5, reduce_only=True), broker.buy(5),
            ],
        },
        fills=[(1, 5, 100.0), (2, 5, 100.0), (4, 5, 100.0)],
        status=["filled", "filled", "cancelled", "filled"],
        position=5,
    ),
    Case(
        name="a stop on the mark is not reached by the candle's low",
        records=[mark(0, 100.0), FIRST, mark(90, 97.0), candle(1, 100.0, 101.0, 90.0, 100.0)],
        orders={60: lambda broker: broker.sell(5, stop=95.0, stop_price_type="MP")},
        fills=[],
    ),
    Case(
        name="a stop on the mark is filled at the first open behind it",
        records=[
            mark(0, 100.0), FIRST, mark(90, 94.0), candle(1, 100.0, 101.0, 90.0, 93.0),
            candle(2, 92.0, 93.0, 91.0, 92.0),
        ],
        orders={60: lambda broker: broker.sell(5, stop=95.0, stop_price_type="MP")},
        fills=[(1, 5, 92.0)],
    ),
]  # fmt: skip


@cases(*CANDLES)
def test_candle(case):
    check(case)
