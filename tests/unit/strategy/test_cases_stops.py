"""Stops, latency, cancel and replace, and gaps: what happens when."""

import kucoin_research as kr
from tests.unit.strategy.tapes import (
    INSTRUMENTS,
    SPOT,
    XBT,
    Case,
    U,
    at,
    bbo,
    cases,
    check,
    depth50,
    disconnected,
    gap,
    mark,
    play,
    tape,
    ticker,
    trade,
)  # fmt: skip

BID, ASK = (99.9, 100), (100.1, 100)


def quotes(when, bid=99.9, ask=100.1, size=100):
    return bbo(when, (bid, size), (ask, size))


def long_five(broker):
    return broker.buy(5)


STOPS = [
    Case(
        name="stop sell below: reached by a trade at the price, filled at the bid",
        records=[
            trade(0, "buy", 100.0), quotes(0), quotes(1), trade(2, "sell", 95.1),
            quotes(3, 94.9, 95.1), trade(4, "sell", 95.0), quotes(5),
        ],
        orders={0: long_five, 1: lambda broker: broker.sell(5, stop=95.0, reduce_only=True)},
        fills=[(1, 5, 100.1), (2, 5, 94.9)],
        status=["filled", "filled"],
        position=0,
    ),
    Case(
        name="stop buy above: reached from below",
        records=[
            trade(0, "buy", 100.0), quotes(0), trade(1, "buy", 104.9), quotes(2, 105.2, 105.4),
            trade(3, "buy", 105.2), quotes(4),
        ],
        orders={0: lambda broker: broker.buy(5, stop=105.0)},
        fills=[(1, 5, 105.4)],
    ),
    Case(
        name="a sell above the price is a take-profit: reached from below",
        records=[trade(0, "buy", 100.0), quotes(0), trade(1, "buy", 105.0), quotes(2)],
        orders={0: lambda broker: broker.sell(5, stop=105.0)},
        fills=[(1, 5, 99.9)],
    ),
    Case(
        name="a stop at the last price is reached at once",
        records=[trade(0, "buy", 100.0), quotes(0), quotes(1)],
        orders={0: lambda broker: broker.sell(5, stop=100.0)},
        fills=[(1, 5, 99.9)],
    ),
    Case(
        name="a stop that the market passes while it is on its way is reached at once",
        # At 100 the stop lies below; when it arrives, the last trade is 94: it has been reached.
        records=[
            trade(0, "buy", 100.0), quotes(0), trade(0.05, "sell", 94.0),
            quotes(0.06, 93.9, 94.1), quotes(0.2, 93.9, 94.1), quotes(1, 93.9, 94.1),
        ],
        orders={0: lambda broker: broker.sell(5, stop=95.0)},
        fills=[(1, 5, 93.9)],
        options={"latency": 0.1},
    ),
    Case(
        name="a stop on the mark is not reached by trades",
        records=[
            mark(0, 59500.0, 59500.0, XBT.symbol),
            depth50(0, [(59400.0, 9)], [(59600.0, 9)], XBT.symbol),
            trade(1, "sell", 58900.0, 1, XBT.symbol), mark(2, 59100.0, 58900.0, XBT.symbol),
        ],
        orders={0: lambda broker: broker.sell(1, stop=59000.0, stop_price_type="MP")},
        fills=[],
        status=["accepted"],
    ),
    Case(
        name="a stop on the mark is reached by the mark",
        records=[mark(0, 100.0), quotes(0), mark(1, 95.1), mark(2, 95.0), quotes(3)],
        orders={0: lambda broker: broker.sell(1, stop=95.0, stop_price_type="MP")},
        fills=[(1, 1, 99.9)],
    ),
    Case(
        name="a stop on the index is reached by the index, and not by the mark",
        records=[
            mark(0, 100.0, 101.0), quotes(0), mark(1, 105.5, 104.9), quotes(2, 103.9, 104.1),
            mark(3, 104.0, 105.0), quotes(4),
        ],
        orders={0: lambda broker: broker.buy(1, stop=105.0, stop_price_type="IP")},
        fills=[(1, 1, 104.1)],
    ),
    Case(
        name="a stop with a limit rests once it is reached",
        records=[
            trade(0, "buy", 100.0), quotes(0), trade(1, "buy", 105.0), quotes(2, 103.9, 105.2),
            trade(3, "sell", 104.9, 2), quotes(4),
        ],
        orders={0: lambda broker: broker.buy(2, stop=105.0, limit=99.0)},
        fills=[],
        status=["accepted"],
    ),
    Case(
        name="the trade that reaches a stop does not fill its limit as well",
        records=[
            trade(0, "buy", 100.0), quotes(0.5, 99.9, 101.0), trade(1, "buy", 100.5, 50),
            quotes(2, 99.9, 101.0),
        ],
        orders={0: lambda broker: broker.sell(5, stop=100.5, limit=100.5)},
        fills=[],
    ),
    Case(
        name="a stop binds nothing, and fails for balance once it is reached",
        # 10 at 100.1 take 1001 of 1100; the stop needs 5·105.2 = 526
        records=[
            trade(0, "buy", 100.0), quotes(0), quotes(1), trade(2, "buy", 105.0),
            quotes(2.5, 105.0, 105.2), quotes(3),
        ],
        orders={0: lambda broker: [broker.buy(5, stop=105.0), broker.buy(10)]},
        fills=[(2, 10, 100.1)],
        status=["cancelled", "filled"],
        reasons=["300003", None],
        options={"cash": 1_100.0},
    ),
    Case(
        name="a ticker's trade reaches stops, too",
        records=[
            ticker(0, 100.0, 1, "buy", BID, ASK, 1), ticker(1, 98.0, 1, "sell", (97.9, 9), ASK, 2),
            ticker(2, 98.0, 1, "sell", (97.9, 9), ASK, 2),
        ],
        orders={0: lambda broker: broker.sell(5, stop=98.0)},
        fills=[(1, 5, 97.9)],
    ),
    Case(
        name="a cancelled stop is not reached",
        records=[trade(0, "buy", 100.0), quotes(0), quotes(1), trade(2, "sell", 90.0), quotes(3)],
        orders={
            0: lambda broker: broker.sell(5, stop=95.0),
            1: lambda broker: broker.cancel_all(),
        },
        fills=[],
        status=["cancelled"],
    ),
    Case(
        name="a spot stop waits for the last trade",
        records=[
            trade(0, "buy", 100.0, 1, SPOT.symbol), bbo(0, BID, ASK, SPOT.symbol),
            trade(1, "buy", 101.0, 1, SPOT.symbol), bbo(2, BID, ASK, SPOT.symbol),
        ],
        orders={0: lambda broker: broker.buy(1, stop=101.0)},
        fills=[(1, 1, 100.1)],
    ),
]  # fmt: skip

LATE = {"latency": 0.1}
MOVES = [quotes(0, 99.9, 100.0), quotes(0.05, 100.3, 100.4), quotes(0.2, 100.3, 100.4)]

LATENCY = [
    Case(
        name="a market order pays the ask at its arrival",
        records=MOVES,
        orders={0: lambda broker: broker.buy(1)},
        fills=[(1, 1, 100.4)],
        options=LATE,
    ),
    Case(
        name="a post-only buy at the ask of its decision rests at its arrival",
        records=MOVES,
        orders={0: lambda broker: broker.buy(1, limit=100.0, post_only=True)},
        fills=[],
        status=["accepted"],
        options=LATE,
    ),
    Case(
        name="an IOC up to 100.2 finds nothing at its arrival",
        records=MOVES,
        orders={0: lambda broker: broker.buy(1, limit=100.2, time_in_force="IOC")},
        fills=[],
        status=["cancelled"],
        options=LATE,
    ),
    Case(
        name="an order does not meet a record that arrives before it",
        records=[quotes(0), trade(0.09, "sell", 99.0, 9), trade(0.11, "sell", 99.0, 2)],
        orders={0: lambda broker: broker.buy(5, limit=99.5)},
        fills=[(1, 2, 99.5)],
        options=LATE,
    ),
    Case(
        name="a cancel that arrives behind the fill changes nothing",
        records=[
            quotes(0),
            quotes(1),
            trade(1.05, "sell", 99.0, 9),
            quotes(2),
            quotes(3),
        ],
        orders={
            0: lambda broker: broker.buy(5, limit=99.5),
            1: lambda broker: broker.cancel_all(),
        },
        fills=[(1, 5, 99.5)],
        status=["filled"],
        options=LATE,
    ),
    Case(
        name="a cancel that arrives before the print wins",
        records=[quotes(0), quotes(1), trade(1.15, "sell", 99.0, 9), quotes(2)],
        orders={
            0: lambda broker: broker.buy(5, limit=99.5),
            1: lambda broker: broker.cancel_all(),
        },
        fills=[],
        status=["cancelled"],
        options=LATE,
    ),
    Case(
        name="an order that has not arrived can be cancelled behind it",
        records=[quotes(0), quotes(0.05), quotes(0.3), trade(1, "sell", 99.0, 9)],
        orders={
            0: lambda broker: broker.buy(5, limit=99.5),
            0.05: lambda broker: broker.cancel_all(),
        },
        fills=[],
        status=["cancelled"],
        options=LATE,
    ),
]


@cases(*STOPS)
def test_stop(case):
    check(case)


@cases(*LATENCY)
def test_latency(case):
    check(case)


def test_replace_goes_to_the_back_of_the_queue():
    def first(broker):
        return broker.buy(10, limit=99.9)

    def again(broker):
        return broker.replace(broker.orders()[0], size=8)

    played = play(
        [quotes(0), trade(1, "sell", 99.9, 100), quotes(2), trade(3, "sell", 99.9, 60), quotes(4)],
        {0: first, 2: again},
    )

    # The 100 before it were sold, so the 60 would have filled it; the new one has 100 before it.
    assert played.fills == []
    assert [str(each.status) for each in played.orders] == ["cancelled", "accepted"]
    assert played.orders[1].size == 8


def test_replace_keeps_what_is_left_and_takes_the_new_price():
    played = play(
        [quotes(0), trade(1, "sell", 99.0, 4), quotes(2), trade(3, "sell", 98.0, 50), quotes(4)],
        {
            0: lambda broker: broker.buy(10, limit=99.5, tag="grid"),
            2: lambda broker: broker.replace(broker.orders()[0], limit=99.2),
        },
    )

    assert played.fills == [(1, 4, 99.5), (2, 6, 99.2)]
    assert [each.tag for each in played.orders] == ["grid", "grid"]


def test_the_strategy_learns_of_a_fill_after_both_latencies():
    seen = {}

    def look(record, broker):
        key = round((broker.now - at(0)) / 1e9, 3)
        if not seen:
            look.order = broker.buy(5)
        order = look.order
        seen[key] = (str(order.status), broker.position().size, len(broker.fills), order.accepted)

    kr.backtest(
        look,
        tape(*[quotes(t) for t in (0, 0.1, 0.25, 0.35, 0.4)]),
        latency=(0.1, 0.2),
        instruments=INSTRUMENTS,
        progress=False,
    )

    # It arrives at 0.1, and the report is back at 0.3.
    assert seen[0.1] == ("pending", 0, 0, None)
    assert seen[0.25] == ("pending", 0, 0, None)
    assert seen[0.35] == ("filled", 5, 1, at(0.1))


GAPS = [
    Case(
        name="nothing is filled inside a gap",
        records=[
            depth50(0, [(99.9, 10)], [(100.1, 10)]),
            gap(1, 5),
            trade(3, "sell", 95.0, 99),
            depth50(4, [(94.0, 10)], [(94.5, 10)]),
            depth50(6, [(99.9, 10)], [(100.1, 10)]),
        ],
        orders={0: lambda broker: broker.buy(5, limit=99.0)},
        fills=[],
        status=["accepted"],
    ),
    Case(
        name="an order that comes inside a gap waits for the first quotes behind it",
        records=[
            depth50(0, [(99.9, 10)], [(100.1, 10)]),
            trade(2, "buy", 100.1, 1),
            gap(1, 5),
            trade(6, "buy", 108.0, 1),
            depth50(7, [(109.9, 10)], [(110.1, 10)]),
        ],
        orders={2: lambda broker: broker.buy(5)},
        fills=[(1, 5, 110.1)],
    ),
    Case(
        name="behind a gap it is at the back of the queue again",
        records=[
            depth50(0, [(99.9, 10)], [(100.1, 10)]),
            trade(0.5, "sell", 99.9, 10),
            gap(1, 5),
            depth50(6, [(99.9, 30)], [(100.1, 10)]),
            trade(7, "sell", 99.9, 32),
        ],
        orders={0: lambda broker: broker.buy(5, limit=99.9)},
        fills=[(1, 2, 99.9)],
    ),
    Case(
        name="behind a gap the market is beyond it: filled at its limit",
        records=[
            depth50(0, [(99.9, 10)], [(100.1, 10)]),
            gap(1, 5),
            depth50(6, [(94.0, 10)], [(94.5, 3)]),
        ],
        orders={0: lambda broker: broker.buy(5, limit=99.0)},
        fills=[(1, 3, 99.0)],
        liquidity=["maker"],
    ),
    Case(
        name="a stop that was passed inside a gap is reached behind it",
        records=[
            trade(0, "buy", 100.0),
            depth50(0, [(99.9, 10)], [(100.1, 10)]),
            gap(1, 5),
            depth50(6, [(94.0, 10)], [(94.5, 9)]),
            trade(6.5, "sell", 94.0),
            depth50(7, [(93.0, 10)], [(94.5, 9)]),
        ],
        orders={0: lambda broker: broker.sell(5, stop=95.0)},
        fills=[(1, 5, 94.0)],
    ),
    Case(
        name="a stop that is reached behind a gap waits for quotes of that time",
        records=[
            trade(0, "buy", 100.0),
            depth50(0, [(99.9, 10)], [(100.1, 10)]),
            gap(1, 5),
            trade(6, "sell", 94.0),
            depth50(7, [(93.9, 10)], [(94.5, 9)]),
            depth50(8, [(93.9, 10)], [(94.5, 9)]),
        ],
        orders={0: lambda broker: broker.sell(5, stop=95.0)},
        fills=[(1, 5, 93.9)],
    ),
    Case(
        name="a stop that a recorded trade reaches inside a gap is placed behind it",
        # The market is back at 100 by then, which does not undo it.
        records=[
            trade(0, "buy", 100.0),
            depth50(0, [(99.9, 10)], [(100.1, 10)]),
            gap(1, 5),
            trade(3, "sell", 94.0),
            trade(6, "buy", 100.0),
            depth50(7, [(99.8, 10)], [(100.1, 9)]),
        ],
        orders={0: lambda broker: broker.sell(5, stop=95.0)},
        fills=[(1, 5, 99.8)],
    ),
    Case(
        name="behind a lost connection orders wait for new quotes",
        records=[
            depth50(0, [(99.9, 10)], [(100.1, 10)]),
            disconnected(1),
            mark(2, 100.0),
            depth50(3, [(104.9, 10)], [(105.1, 10)]),
            depth50(4, [(104.9, 10)], [(105.1, 10)]),
        ],
        orders={2: lambda broker: broker.buy(5)},
        fills=[(1, 5, 105.1)],
    ),
    Case(
        name="behind a lost connection a resting order is at the back again",
        records=[
            depth50(0, [(99.9, 10)], [(100.1, 10)]),
            trade(0.5, "sell", 99.9, 10),
            disconnected(1),
            depth50(3, [(99.9, 30)], [(100.1, 10)]),
            trade(4, "sell", 99.9, 32),
        ],
        orders={0: lambda broker: broker.buy(5, limit=99.9)},
        fills=[(1, 2, 99.9)],
    ),
    Case(
        name="an order before the first quotes waits for them",
        records=[mark(0, 100.0), quotes(1), quotes(2)],
        orders={0: lambda broker: broker.buy(5)},
        fills=[(1, 5, 100.1)],
    ),
]


@cases(*GAPS)
def test_gap(case):
    check(case)


def test_a_gap_of_another_symbol_stops_nothing():
    played = play(
        [
            depth50(0, [(99.9, 10)], [(100.1, 10)]), gap(1, 5, symbol=XBT.symbol),
            depth50(0, [(59999.0, 10)], [(60000.0, 10)], XBT.symbol), trade(3, "sell", 95.0, 4),
        ],
        {0: lambda broker: broker.buy(5, U, limit=99.0)},
    )  # fmt: skip

    assert played.fills == [(1, 4, 99.0)]
