"""Takers: what they find in each channel, what they pay, and what is left of the market."""

from tests.unit.strategy.tapes import (
    SPOT,
    XBT,
    Case,
    bbo,
    cases,
    check,
    depth5,
    depth50,
    level,
    ticker,
    trade,
)  # fmt: skip

ASKS = [(60000.0, 4), (60000.1, 3), (60000.3, 9)]
BIDS = [(59999.9, 5)]
THREE = [(100.1, 30), (100.2, 50), (100.3, 20)]
PAIR = SPOT.symbol


def book(when, asks=ASKS, bids=BIDS):
    return depth50(when, bids, asks, XBT.symbol)


def unit(when, asks=THREE, bids=((99.9, 100),)):
    return depth50(when, bids, asks)


def spot(when, asks=((100.0, 3), (101.0, 5)), bids=((99.0, 4),)):
    return depth50(when, bids, asks, PAIR)


WALKS = [
    Case(
        name="market buy of 10 walks three levels",
        records=[book(0), book(1)],
        orders={0: lambda broker: broker.buy(10)},
        # 0.001·(4·60000.0 + 3·60000.1 + 3·60000.3) = 600.0012; times 0.0006
        fills=[(1, 4, 60000.0), (1, 3, 60000.1), (1, 3, 60000.3)],
        fees=0.36000072,
        entry=60000.12,
        status=["filled"],
    ),
    Case(
        name="only seven contracts are visible",
        records=[book(0, ASKS[:2]), book(1, ASKS[:2])],
        orders={0: lambda broker: broker.buy(10)},
        fills=[(1, 4, 60000.0), (1, 3, 60000.1)],
        status=["cancelled"],
        reasons=["depth exhausted"],
        position=7,
    ),
    Case(
        name="two orders in one instant share 50 displayed",
        records=[unit(0, [(100.1, 50)]), unit(1, [(100.1, 50)])],
        orders={0: lambda broker: [broker.buy(40), broker.buy(40)]},
        fills=[(1, 40, 100.1), (2, 10, 100.1)],
        status=["filled", "cancelled"],
    ),
    Case(
        name="what was taken stays taken while the level is displayed unchanged",
        records=[unit(0), unit(1), unit(2), unit(3)],
        orders={0: lambda broker: broker.buy(30), 2: lambda broker: broker.buy(30)},
        fills=[(1, 30, 100.1), (2, 30, 100.2)],
    ),
    Case(
        name="a changed level is whole again, with no other order open",
        # 30 taken, then 40 displayed, then 30 again: the level has been renewed since
        records=[unit(0), unit(1, [(100.1, 40)]), unit(2), unit(3)],
        orders={0: lambda broker: broker.buy(30), 2: lambda broker: broker.buy(30)},
        fills=[(1, 30, 100.1), (2, 30, 100.1)],
    ),
    Case(
        name="a level that vanished and came back is whole again",
        records=[unit(0), unit(1, THREE[1:]), unit(2), unit(3)],
        orders={0: lambda broker: broker.buy(30), 2: lambda broker: broker.buy(30)},
        fills=[(1, 30, 100.1), (2, 30, 100.1)],
    ),
    Case(
        name="a level seen with another size when the next order comes is whole",
        records=[unit(0), unit(1, [(100.1, 40)]), unit(2, [(100.1, 40)])],
        orders={0: lambda broker: broker.buy(30), 1: lambda broker: broker.buy(40)},
        fills=[(1, 30, 100.1), (2, 40, 100.1)],
    ),
    Case(
        name="limit GTC crosses partly and rests",
        # 30 at 100.1, 50 at 100.2; 20 rest at 100.2 and are hit by a seller
        records=[unit(0), trade(1, "sell", 100.2, 5), trade(2, "buy", 100.2, 9), unit(3)],
        orders={0: lambda broker: broker.buy(100, limit=100.2)},
        fills=[(1, 30, 100.1), (1, 50, 100.2), (1, 5, 100.2)],
        liquidity=["taker", "taker", "maker"],
        status=["partly_filled"],
    ),
    Case(
        name="IOC cancels what its limit does not find",
        records=[unit(0), unit(1)],
        orders={0: lambda broker: broker.buy(100, limit=100.2, time_in_force="IOC")},
        fills=[(1, 30, 100.1), (1, 50, 100.2)],
        status=["cancelled"],
        reasons=["IOC: 20 contracts"],
    ),
    Case(
        name="IOC that finds nothing",
        records=[unit(0), unit(1)],
        orders={0: lambda broker: broker.buy(5, limit=100.0, time_in_force="IOC")},
        fills=[],
        status=["cancelled"],
    ),
    Case(
        name="post-only at the ask is refused without a fee",
        records=[unit(0), unit(1)],
        orders={0: lambda broker: broker.buy(10, limit=100.1, post_only=True)},
        fills=[],
        fees=0.0,
        status=["rejected"],
        reasons=["post-only"],
        cash=1e6,
    ),
    Case(
        name="post-only one tick below the ask rests",
        records=[unit(0), trade(1, "sell", 100.0, 4), unit(2)],
        orders={0: lambda broker: broker.buy(4, limit=100.0, post_only=True)},
        fills=[(1, 4, 100.0)],
        liquidity=["maker"],
    ),
    Case(
        name="a limit better than the market fills at the market",
        records=[unit(0), unit(1)],
        orders={0: lambda broker: broker.sell(60, limit=95.0)},
        fills=[(1, 60, 99.9)],
        status=["filled"],
    ),
    Case(
        name="FOK on spot is cancelled as a whole",
        records=[spot(0), spot(1)],
        orders={0: lambda broker: broker.buy(4, limit=100.5, time_in_force="FOK")},
        fills=[],
        status=["cancelled"],
        reasons=["FOK"],
    ),
    Case(
        name="FOK on spot fills as a whole over two levels",
        records=[spot(0), spot(1)],
        orders={0: lambda broker: broker.buy(4, limit=101.0, time_in_force="FOK")},
        fills=[(1, 3, 100.0), (1, 1, 101.0)],
        status=["filled"],
    ),
    Case(
        name="FOK does not count what this account took before",
        records=[spot(0), spot(1)],
        orders={
            0: lambda broker: [
                broker.buy(2), broker.buy(3, limit=100.0, time_in_force="FOK"),
            ]
        },
        fills=[(1, 2, 100.0)],
        status=["filled", "cancelled"],
    ),
    Case(
        name="GTT ends after its time",
        records=[
            spot(0), trade(4, "sell", 99.0, 5, PAIR), spot(6), trade(7, "sell", 98.0, 9, PAIR),
        ],
        orders={
            0: lambda broker: broker.buy(3, limit=99.0, time_in_force="GTT", cancel_after=5)
        },
        # 4 are displayed before it, so the print of 5 leaves one
        fills=[(1, 1, 99.0)],
        status=["cancelled"],
        reasons=["GTT"],
    ),
]  # fmt: skip

SOURCES = [
    Case(
        name="depth5: five levels are visible",
        records=[
            depth5(0, [(99.9, 9)], [(100.1, 1), (100.2, 2), (100.3, 3), (100.4, 4), (100.5, 5)]),
            depth5(1, [(99.9, 9)], [(100.1, 1)]),
        ],
        orders={0: lambda broker: broker.buy(20)},
        fills=[(1, 1, 100.1), (1, 2, 100.2), (1, 3, 100.3), (1, 4, 100.4), (1, 5, 100.5)],
        status=["cancelled"],
    ),
    Case(
        name="bbo: one level is visible",
        records=[bbo(0, ask=(100.1, 3)), bbo(1)],
        orders={0: lambda broker: broker.buy(5)},
        fills=[(1, 3, 100.1)],
    ),
    Case(
        name="ticker: its best ask is the market",
        records=[
            ticker(0, 100.0, 7, "buy", (99.9, 4), (100.1, 3)),
            ticker(1, 100.0, 7, "buy", (99.9, 4), (100.1, 3)),
        ],
        orders={0: lambda broker: broker.sell(5)},
        fills=[(1, 4, 99.9)],
    ),
    Case(
        name="level2: the book as it is after its changes",
        records=[
            level(0, "buy", 99.9, 5, 1, is_snapshot=True),
            level(0, "sell", 100.1, 5, 1, is_snapshot=True),
            level(0, "sell", 100.2, 5, 1, is_snapshot=True),
            level(1, "sell", 100.1, 2, 2),
            level(2, "sell", 100.2, 0, 3),
            level(3, "sell", 100.3, 9, 4),
            level(4, "buy", 99.8, 1, 5),
        ],
        orders={3: lambda broker: broker.buy(6)},
        fills=[(1, 2, 100.1), (1, 4, 100.3)],
    ),
    Case(
        name="the finest channel counts, though a coarser one is newer",
        records=[
            depth50(0, [(99.9, 9)], [(100.1, 3), (100.2, 3)]),
            bbo(1, ask=(100.1, 1)),
            ticker(1.5, 100.1, 1, "buy", (99.9, 9), (100.1, 1)),
            bbo(2, ask=(100.1, 1)),
        ],
        orders={1.5: lambda broker: broker.buy(5)},
        fills=[(1, 3, 100.1), (1, 2, 100.2)],
    ),
    Case(
        name="liquidity best stops at the first level",
        records=[unit(0), unit(1)],
        orders={0: lambda broker: broker.buy(100)},
        fills=[(1, 30, 100.1)],
        options={"liquidity": "best"},
    ),
    Case(
        name="liquidity unlimited has all at the best price",
        records=[unit(0), unit(1)],
        orders={0: lambda broker: broker.buy(100)},
        fills=[(1, 100, 100.1)],
        options={"liquidity": "unlimited"},
    ),
]


@cases(*WALKS)
def test_taker(case):
    check(case)


@cases(*SOURCES)
def test_source(case):
    check(case)
