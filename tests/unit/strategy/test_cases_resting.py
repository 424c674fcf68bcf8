"""Resting orders: their queue, prints at and through their price, and quotes that cross them."""

from tests.unit.strategy.tapes import (
    SPOT,
    Case,
    U,
    bbo,
    cases,
    check,
    depth50,
    level,
    play,
    ticker,
    trade,
)  # fmt: skip

ASK = [(100.1, 100)]
PROPORTIONAL = {"queue": "proportional"}


def bid(when, size, price=100.0, ask=ASK):
    """Show a size at the best bid."""
    return depth50(when, [(price, size), (99.0, 10)] if size else [(99.0, 10)], ask)


def sold(when, size, price=100.0):
    return trade(when, "sell", price, size)


def bought(when, size, price=100.0):
    return trade(when, "buy", price, size)


def join(broker):
    return broker.buy(50, limit=100.0)


QUEUES = [
    Case(
        name="prints of 80, 30, 50 behind 100",
        records=[bid(0, 100), sold(1, 80), sold(2, 30), sold(3, 50)],
        orders={0: join},
        # 20 are left before it after 80; of 30, 10 are its; of 50, the 40 that are left
        fills=[(1, 10, 100.0), (1, 40, 100.0)],
        liquidity=["maker", "maker"],
        status=["filled"],
    ),
    Case(
        name="the display drops to 40 without a trade",
        records=[bid(0, 100), bid(1, 40), sold(2, 30), sold(3, 50)],
        orders={0: join},
        # ahead 40, 10 after the first print; the second leaves 40 of 50
        fills=[(1, 40, 100.0)],
        status=["partly_filled"],
    ),
    Case(
        name="risk-averse: cancels behind are taken to be behind",
        # 100 ahead and 100 behind: 200 displayed drop to 120, so still 100 ahead
        records=[bid(0, 100), bid(1, 200), bid(2, 120), sold(3, 110)],
        orders={0: join},
        fills=[(1, 10, 100.0)],
    ),
    Case(
        name="proportional: cancels are before and behind alike",
        # 80 of 200 cancelled, half of them before: 60 ahead, so 50 of 110 are left
        records=[bid(0, 100), bid(1, 200), bid(2, 120), sold(3, 90)],
        orders={0: join},
        fills=[(1, 30, 100.0)],
        options=PROPORTIONAL,
    ),
    Case(
        name="proportional: what was traded is no cancel",
        # 30 traded: 70 ahead of 170; the display confirms it, so nothing was cancelled
        records=[bid(0, 100), bid(1, 200), sold(2, 30), bid(3, 170), sold(4, 90)],
        orders={0: join},
        fills=[(1, 20, 100.0)],
        options=PROPORTIONAL,
    ),
    Case(
        name="proportional: a coarser channel between trade and depth changes nothing",
        records=[
            bid(0, 100),
            bid(1, 200),
            sold(2, 30),
            bbo(2.5, (100.0, 170), (100.1, 100)),
            bid(3, 170),
            sold(4, 90),
        ],
        orders={0: join},
        fills=[(1, 20, 100.0)],
        options=PROPORTIONAL,
    ),
    Case(
        name="proportional: a change elsewhere in the book between trade and depth changes nothing",
        records=[
            bid(0, 100),
            bid(1, 200),
            sold(2, 30),
            bid(2.5, 200, ask=[(100.1, 90)]),
            bid(3, 170),
            sold(4, 90),
        ],
        orders={0: join},
        fills=[(1, 20, 100.0)],
        options=PROPORTIONAL,
    ),
    Case(
        name="without a queue the first print is its own",
        records=[bid(0, 100), sold(1, 20), sold(2, 40)],
        orders={0: join},
        fills=[(1, 20, 100.0), (1, 30, 100.0)],
        options={"queue": "none"},
    ),
    Case(
        name="without a queue, also at a price that is not visible",
        records=[bid(0, 100), sold(1, 20, 98.0), sold(2, 40, 98.0)],
        orders={0: lambda broker: broker.buy(50, limit=98.0)},
        fills=[(1, 20, 98.0), (1, 30, 98.0)],
        options={"queue": "none"},
    ),
    Case(
        name="the level vanishes: it is the first when sellers come",
        records=[bid(0, 100), bid(1, 0), bid(2, 70), sold(3, 60)],
        orders={0: join},
        fills=[(1, 50, 100.0)],
    ),
    Case(
        name="two own orders at one price: the earlier is first, and a print serves once",
        # 130 sold: 100 were ahead, 30 for the first; 70 more: 20 for the first, 50 for the second
        records=[bid(0, 100), sold(1, 130), sold(2, 65)],
        orders={0: lambda broker: [join(broker), join(broker)]},
        fills=[(1, 30, 100.0), (1, 20, 100.0), (2, 45, 100.0)],
        status=["filled", "partly_filled"],
    ),
    Case(
        name="a price better than the best is the first there",
        records=[bid(0, 100, ask=[(100.4, 9)]), sold(1, 30, 100.2)],
        orders={0: lambda broker: broker.buy(50, limit=100.2)},
        fills=[(1, 30, 100.2)],
    ),
    Case(
        name="a price outside the window has no place yet",
        # Not visible when 20 are sold there; 40 are displayed later, and the next 50 leave 10.
        records=[
            bid(0, 100),
            sold(1, 20, 98.0),
            depth50(2, [(98.0, 40)], ASK),
            sold(3, 50, 98.0),
        ],
        orders={0: lambda broker: broker.buy(50, limit=98.0)},
        fills=[(1, 10, 98.0)],
    ),
    Case(
        name="level2 shows the queue, too",
        records=[
            level(0, "buy", 100.0, 10, 1, is_snapshot=True),
            level(0, "sell", 100.1, 10, 1, is_snapshot=True),
            level(1, "buy", 99.9, 10, 2),
            level(2, "buy", 100.0, 4, 3),
            sold(3, 9),
        ],
        orders={1: join},
        fills=[(1, 5, 100.0)],
    ),
]

PRINTS = [
    Case(
        name="a print of 5 through the limit fills 5 at the limit",
        records=[bid(0, 100), sold(1, 5, 99.9), bid(2, 100)],
        orders={0: join},
        fills=[(1, 5, 100.0)],
    ),
    Case(
        name="a buyer's print at my bid fills nothing",
        records=[bid(0, 0), bought(1, 500), bid(2, 0)],
        orders={0: join},
        fills=[],
        status=["accepted"],
    ),
    Case(
        name="a print through two own prices serves once, the better first",
        records=[bid(0, 0), sold(1, 60, 99.5)],
        orders={0: lambda broker: [broker.buy(50, limit=99.9), broker.buy(50, limit=100.0)]},
        fills=[(2, 50, 100.0), (1, 10, 99.9)],
    ),
    Case(
        name="a seller's order is filled by buyers",
        records=[bid(0, 10), bought(1, 130, 100.1), bid(2, 10)],
        orders={0: lambda broker: broker.sell(50, limit=100.1)},
        fills=[(1, 30, 100.1)],
        position=-30,
    ),
    Case(
        name="crossing quotes fill at the limit, as much as is displayed",
        records=[bid(0, 100), bid(1, 0, ask=[(99.8, 20), (99.9, 5), (100.3, 99)])],
        orders={0: join},
        fills=[(1, 20, 100.0), (1, 5, 100.0)],
        liquidity=["maker", "maker"],
    ),
    Case(
        name="the same crossing quotes fill once",
        records=[bid(0, 100), *[bid(n, 0, ask=[(99.8, 20)]) for n in (1, 2, 3)]],
        orders={0: join},
        fills=[(1, 20, 100.0)],
    ),
]

TICKERS = [
    Case(
        name="a ticker's trade reaches a resting order",
        records=[
            ticker(0, 100.0, 1, "buy", (100.0, 10), (100.1, 10), 1),
            ticker(1, 100.0, 15, "sell", (100.0, 10), (100.1, 10), 2),
            ticker(2, 100.0, 15, "sell", (100.0, 10), (100.1, 12), 2),
        ],
        orders={0: join},
        # 10 ahead; the repeated trade counts once
        fills=[(1, 5, 100.0)],
    ),
    Case(
        name="a ticker that repeats the trade from before the order is no print",
        records=[
            ticker(0, 100.0, 90, "sell", (100.0, 10), (100.1, 10), 7),
            ticker(1, 100.0, 90, "sell", (100.0, 10), (100.1, 12), 7),
        ],
        orders={0: join},
        fills=[],
    ),
    Case(
        name="a ticker without the taker's side counts beyond the price only",
        records=[
            ticker(0, 100.0, 1, None, (100.0, 10), (100.1, 10), 1, SPOT.symbol),
            ticker(1, 100.0, 99, None, (100.0, 10), (100.1, 10), 2, SPOT.symbol),
            ticker(2, 99.9, 3, None, (99.9, 10), (100.1, 10), 3, SPOT.symbol),
        ],
        orders={0: join},
        fills=[(1, 3, 100.0)],
    ),
    Case(
        name="where trades are played the ticker's trade is not counted again",
        records=[
            ticker(0, 100.0, 1, "buy", (100.0, 10), (100.1, 10), 1),
            sold(1, 15),
            ticker(1, 100.0, 15, "sell", (100.0, 10), (100.1, 10), 2),
        ],
        orders={0: join},
        fills=[(1, 5, 100.0)],
    ),
]

TRADES_ALONE = [
    Case(
        name="a market order takes the next prints, with their sizes",
        records=[bought(0, 1), bought(1, 3, 100.2), sold(2, 9, 100.1)],
        orders={0: lambda broker: broker.buy(5)},
        fills=[(1, 3, 100.2), (1, 2, 100.1)],
        status=["filled"],
        liquidity=["taker", "taker"],
    ),
    Case(
        name="an IOC meets the next print only, and that once",
        records=[bought(0, 1, 101.0), sold(1, 30, 100.0), sold(2, 90, 100.0)],
        orders={0: lambda broker: broker.buy(50, limit=105.0, time_in_force="IOC")},
        fills=[(1, 30, 100.0)],
        status=["cancelled"],
    ),
    Case(
        name="a resting limit is filled by prints beyond it, at its price",
        records=[bought(0, 1), sold(1, 500, 99.0), sold(2, 7, 98.9), bought(3, 1, 99.5)],
        orders={0: lambda broker: broker.buy(50, limit=99.0)},
        fills=[(1, 7, 99.0)],
        liquidity=["maker"],
    ),
    Case(
        name="a limit beyond the market pays what is traded, not its limit",
        records=[bought(0, 1, 100.0), bought(1, 20, 100.2), sold(2, 90, 100.1)],
        orders={0: lambda broker: broker.buy(50, limit=105.0)},
        fills=[(1, 20, 100.2), (1, 30, 100.1)],
        liquidity=["taker", "taker"],
    ),
    Case(
        name="one print does not serve a taker and a maker",
        records=[bought(0, 1, 100.0), sold(1, 40, 98.0), sold(2, 1, 99.5)],
        orders={0: lambda broker: [broker.buy(50, limit=99.0), broker.buy(30)]},
        # The market order takes 30 of the 40; 10 are left for the limit.
        fills=[(2, 30, 98.0), (1, 10, 99.0)],
    ),
    Case(
        name="a post-only order beyond the last trade is refused",
        records=[bought(0, 1, 100.0), bought(1, 9, 100.0)],
        orders={0: lambda broker: broker.buy(5, limit=100.2, post_only=True)},
        fills=[],
        status=["rejected"],
        reasons=["post-only"],
    ),
    Case(
        name="a stop is filled by the print behind the one that reached it",
        records=[bought(0, 1, 100.0), sold(1, 9, 95.0), sold(2, 9, 94.0)],
        orders={0: lambda broker: broker.sell(5, stop=95.0)},
        fills=[(1, 5, 94.0)],
    ),
]


@cases(*QUEUES, *PRINTS)
def test_resting(case):
    check(case)


@cases(*TICKERS)
def test_ticker(case):
    check(case)


@cases(*TRADES_ALONE)
def test_trades_alone(case):
    check(case)


def test_reduce_only_orders_end_once_when_the_position_is_closed():
    ends = []

    def watch(broker):
        ends.extend(str(each.status) for each in broker.orders(U))

    played = play(
        [bid(0, 0, ask=[(100.1, 10)]), bid(1, 0), bought(2, 18, 100.5), bid(3, 0), bid(4, 0)],
        {
            0: lambda broker: broker.buy(10),
            1: lambda broker: [
                broker.sell(10, limit=100.4, reduce_only=True),
                broker.sell(10, limit=100.3, reduce_only=True),
                broker.sell(8, limit=100.4),
            ],
            3: watch,
        },
    )

    # The print of 18 closes the ten with the best price; the other ten have nothing to close, so
    # they take nothing of the 8 that are left.
    assert played.fills[:2] == [(1, 10, 100.1), (3, 10, 100.3)]
    assert [str(each.status) for each in played.orders[:3]] == ["filled", "cancelled", "filled"]
    assert played.fills[2:] == [(4, 8, 100.4)]
    assert ends == []
    assert played.broker.position().size == -8
