"""Money: fees, averages, profits, inverse contracts, spot inventory, funding and currencies."""

import polars as pl
import pytest

from kucoin_research.model.instruments import Instrument
from tests.unit.strategy.tapes import (
    HOUR,
    INVERSE,
    SPOT,
    XBT,
    Case,
    U,
    at,
    bbo,
    cases,
    check,
    estimate,
    mark,
    play,
    rows,
    settlement,
    trade,
)  # fmt: skip

INV, S, X = INVERSE.symbol, SPOT.symbol, XBT.symbol
MUCH = 100_000


def price(when, value, symbol=U):
    """Show much on both sides at one price, so that every order is filled at it."""
    return bbo(when, (value, MUCH), (value, MUCH), symbol)


def buy(size):
    return lambda broker: broker.buy(size)


def sell(size):
    return lambda broker: broker.sell(size)


COIN = {"cash": 10.0, "currency": "XBT"}

MONEY = [
    Case(
        name="linear average of 1000 at 50,000 and 2000 at 60,000",
        records=[price(0, 50_000.0, X), price(1, 60_000.0, X), price(2, 60_000.0, X)],
        orders={0: buy(1_000), 1: buy(2_000)},
        entry=170_000 / 3,
        # 0.0006·(50,000 + 120,000)
        fees=102.0,
    ),
    Case(
        name="inverse average of 1000 at 50,000 and 2000 at 60,000",
        records=[price(0, 50_000.0, INV), price(1, 60_000.0, INV), price(2, 60_000.0, INV)],
        orders={0: buy(1_000), 1: buy(2_000)},
        entry=56_250.0,
        position=3_000,
        options=COIN,
    ),
    Case(
        name="then 1500 are sold at 58,000",
        records=[
            price(0, 50_000.0, INV), price(1, 60_000.0, INV), price(2, 58_000.0, INV),
            price(3, 58_000.0, INV),
        ],
        orders={0: buy(1_000), 1: buy(2_000), 2: sell(1_500)},
        entry=56_250.0,
        realised=1_500 / 56_250 - 1_500 / 58_000,  # .00080460
        cash=10.0 + 1_500 / 56_250 - 1_500 / 58_000,
        # the other half is worth as much, unrealised
        equity=10.0 + 3_000 / 56_250 - 3_000 / 58_000,
        options=COIN,
    ),
    Case(
        name="inverse long from 50,000 to 55,000",
        records=[price(0, 50_000.0, INV), price(1, 55_000.0, INV), price(2, 55_000.0, INV)],
        orders={0: buy(1_000), 1: lambda broker: broker.close()},
        realised=1_000 / 50_000 - 1_000 / 55_000,  # .00181818
        position=0,
        options=COIN,
    ),
    Case(
        name="inverse short from 50,000 to 45,000",
        records=[price(0, 50_000.0, INV), price(1, 45_000.0, INV), price(2, 45_000.0, INV)],
        orders={0: sell(1_000), 1: lambda broker: broker.close()},
        realised=1_000 / 45_000 - 1_000 / 50_000,  # +.00222222
        pnl=[1_000 / 45_000 - 1_000 / 50_000],
        options=COIN,
    ),
    Case(
        name="inverse fee: 1000 at 50,000 at 0.06 %",
        records=[price(0, 50_000.0, INV), price(1, 50_000.0, INV)],
        orders={0: buy(1_000)},
        fees=0.000012,
        cash=10.0 - 0.000012,
        options={**COIN, "fees": (0.0002, 0.0006)},
    ),
    Case(
        name="linear fee: 1000 at 50,000 at 0.06 %",
        records=[price(0, 50_000.0, X), price(1, 50_000.0, X)],
        orders={0: buy(1_000)},
        fees=30.0,
    ),
    Case(
        name="linear long of 1000 from 50,000 to 55,000",
        records=[price(0, 50_000.0, X), price(1, 55_000.0, X), price(2, 55_000.0, X)],
        orders={0: buy(1_000), 1: lambda broker: broker.close()},
        realised=5_000.0,
        # 30 for 50,000 and 33 for 55,000
        fees=63.0,
        pnl=[4_937.0],
        cash=1e6 + 4_937.0,
    ),
    Case(
        name="a fill through zero realises the old side and opens the rest",
        records=[price(0, 100.0), price(1, 110.0), price(2, 110.0)],
        orders={0: buy(10), 1: sell(15)},
        realised=100.0,
        position=-5,
        entry=110.0,
        pnl=[100.0],
    ),
    Case(
        name="a flip splits its fee between both round trips",
        # 15 at 110 and 0.1 %: 1.65, of which 1.1 close and 0.55 open; then 5 at 100 cost 0.5
        records=[price(0, 100.0), price(1, 110.0), price(2, 100.0), price(3, 100.0)],
        orders={0: buy(10), 1: sell(15), 2: buy(5)},
        pnl=[100.0 - 1.0 - 1.1, 50.0 - 0.55 - 0.5],
        fees=1.0 + 1.65 + 0.5,
        options={"fees": (0.001, 0.001)},
    ),
    Case(
        name="a maker's rebate raises cash",
        records=[
            bbo(0, (59_990.0, 1), (60_010.0, 1), X), trade(1, "sell", 59_999.0, 5_000, X),
            bbo(2, (60_000.0, 1), (60_010.0, 1), X),
        ],
        orders={0: lambda broker: broker.buy(1_000, limit=60_000.0)},
        fees=-6.0,
        cash=1e6 + 6.0,
        options={"fees": (-0.0001, 0.0006)},
    ),
    Case(
        name="maker and taker rates in one round trip, as of the official sample",
        # open 93859.8 and close 94443.5, both maker: 0.5837 − 0.03766066
        records=[
            bbo(0, (93_859.8, 1), (93_900.0, 1), X), trade(1, "sell", 93_859.7, 9, X),
            bbo(2, (94_400.0, 1), (94_443.5, 1), X), trade(3, "buy", 94_443.6, 9, X),
        ],
        orders={
            0: lambda broker: broker.buy(1, limit=93_859.8),
            2: lambda broker: broker.sell(1, limit=94_443.5, reduce_only=True),
        },
        fees=0.03766066,
        realised=0.5837,
        pnl=[0.5837 - 0.03766066],
    ),
    Case(
        name="fees by symbol go before the instrument's",
        records=[price(0, 50_000.0, X), price(1, 50_000.0, X)],
        orders={0: buy(1_000)},
        fees=5.0,
        options={"fees": {X: (0.0, 0.0001)}},
    ),
    Case(
        name="close sends the whole position as a reduce-only order",
        records=[price(0, 100.0), price(1, 101.0), price(2, 101.0)],
        orders={0: sell(7), 1: lambda broker: broker.close()},
        fills=[(1, 7, 100.0), (2, 7, 101.0)],
        position=0,
        pnl=[-7.0],
    ),
    Case(
        name="target goes up, down, through zero, and stays",
        records=[price(n, 100.0 + n) for n in range(6)],
        orders={
            0: lambda broker: broker.target(10),
            1: lambda broker: broker.target(4),
            2: lambda broker: broker.target(-6),
            3: lambda broker: broker.target(-6),
            4: lambda broker: broker.target(0),
        },
        fills=[(1, 10, 100.0), (2, 6, 101.0), (3, 10, 102.0), (4, 6, 104.0)],
        # 6·1 + 4·2, and −6·2
        realised=6 + 8 - 12,
        pnl=[14.0, -12.0],
    ),
    Case(
        name="spot: fee on the funds",
        records=[bbo(0, (9466.7, 1), (9466.8, 1), S), bbo(1, (9466.7, 1), (9466.8, 1), S)],
        orders={0: buy(0.09996592)},
        fees=0.946357371456,
        cash=1e6 - 946.357371456 - 0.946357371456,
        position=0.09996592,
    ),
    Case(
        name="spot inventory is sold at its average cost",
        # 1 at 100 and 3 at 120: average 115; 2 sold at 130 realise 30
        records=[price(n, each, S) for n, each in enumerate([100.0, 120.0, 130.0, 130.0])],
        orders={0: buy(1), 1: buy(3), 2: sell(2)},
        entry=115.0,
        realised=30.0,
        cash=1e6 - 100 - 360 + 260,
        equity=1e6 - 200 + 2 * 130,
        options={"fees": (0.0, 0.0)},
    ),
    Case(
        name="coins that were there from the start can be sold",
        records=[price(0, 100.0, S), price(1, 110.0, S), price(2, 110.0, S)],
        orders={1: sell(2)},
        # valued at 100 when the run began
        realised=20.0,
        cash=1_000.0 + 220.0,
        equity=1_000.0 + 5 * 110.0,
        options={"cash": {"USDT": 1_000.0, "BTC": 5.0}, "fees": (0.0, 0.0)},
    ),
    Case(
        name="a leftover below the smallest order stays",
        records=[price(n, 100.0, S) for n in range(3)],
        orders={0: buy(1), 1: sell(0.99999)},
        position=0.00001,
        options={"fees": (0.0, 0.0)},
    ),
]  # fmt: skip


def held(when=0.0, value=30_000.0):
    return [price(when, value, X), mark(when, value, value, X)]


def funded(*more, size=1_000):
    return [*held(), mark(9, 30_000.0, None, X), *more]


FUNDING = [
    Case(
        name="a long pays a positive rate",
        records=funded(settlement(60, 0.0001, X)),
        orders={0: buy(1_000)},
        funding=[-3.0],
        cash=1e6 - 18.0 - 3.0,
    ),
    Case(
        name="a short receives it",
        records=funded(settlement(60, 0.0001, X)),
        orders={0: sell(1_000)},
        funding=[3.0],
    ),
    Case(
        name="a negative rate is paid by shorts",
        records=funded(settlement(60, -0.0002, X)),
        orders={0: sell(1_000)},
        funding=[-6.0],
    ),
    Case(
        name="the announced end pays nothing more",
        records=funded(settlement(60, 0.0001, X), settlement(60, 0.0001, X, arrived=70)),
        orders={0: buy(1_000)},
        funding=[-3.0],
    ),
    Case(
        name="two settlements at their own marks",
        records=[
            *held(), mark(4 * HOUR - 1, 31_000.0, None, X), settlement(4 * HOUR, 0.0001, X),
            mark(8 * HOUR - 1, 32_000.0, None, X), settlement(8 * HOUR, -0.0002, X),
        ],
        orders={0: buy(1_000)},
        funding=[-3.1, 6.4],
    ),
    Case(
        name="closed 1 ms before the instant: nothing",
        records=[
            *held(), price(59.999, 30_000.0, X), settlement(60, 0.0001, X, arrived=60.5),
        ],
        orders={0: buy(1_000), 59.999: lambda broker: broker.close()},
        funding=[],
    ),
    Case(
        name="opened 1 ms behind the instant: nothing",
        records=[*held(), price(60.001, 30_000.0, X), settlement(60, 0.0001, X, arrived=60.5)],
        orders={60.001: buy(1_000)},
        funding=[],
    ),
    Case(
        name="held at the instant, closed before it is announced: it is paid",
        records=[*held(), price(60.001, 30_000.0, X), settlement(60, 0.0001, X, arrived=60.5)],
        orders={0: buy(1_000), 60.001: lambda broker: broker.close()},
        funding=[-3.0],
        # two fees of 18; the round trip has paid it, though it had ended
        cash=1e6 - 36.0 - 3.0,
        pnl=[-39.0],
    ),
    Case(
        name="the announcement's mark is the one at the instant, not a later one",
        records=[
            *held(), mark(59, 30_000.0, None, X), mark(60.2, 40_000.0, None, X),
            settlement(60, 0.0001, X, arrived=60.5),
        ],
        orders={0: buy(1_000)},
        funding=[-3.0],
    ),
    Case(
        name="funding none pays nothing",
        records=funded(settlement(60, 0.0001, X)),
        orders={0: buy(1_000)},
        funding=[],
        options={"funding": "none"},
    ),
    Case(
        name="funding from a frame",
        records=[*held(), mark(59, 30_000.0, None, X), mark(61, 30_000.0, None, X)],
        orders={0: sell(1_000)},
        funding=[3.0],
        options={
            "funding": pl.DataFrame(
                {
                    "timestamp": pl.Series([at(60)]).cast(pl.Datetime("ns", "UTC")),
                    "symbol": [X],
                    "funding_rate": [0.0001],
                }
            )
        },
    ),
    Case(
        name="inverse: 10,000 at 5,000 and 0.00025",
        records=[price(0, 5_000.0, INV), mark(0, 5_000.0, None, INV), settlement(60, 0.00025, INV)],
        orders={0: buy(10_000)},
        funding=[-0.0005],
        options=COIN,
    ),
    Case(
        name="inverse: the short receives it",
        records=[price(0, 5_000.0, INV), mark(0, 5_000.0, None, INV), settlement(60, 0.00025, INV)],
        orders={0: sell(10_000)},
        funding=[0.0005],
        options=COIN,
    ),
]  # fmt: skip


@cases(*MONEY)
def test_money(case):
    check(case)


@cases(*FUNDING)
def test_funding(case):
    check(case)


def test_estimates_alone_pay_no_funding_and_the_result_says_so():
    played = play([*held(), estimate(30, 0.0001, X), mark(5 * HOUR, 3e4, None, X)], {0: buy(1_000)})

    assert played.result.funding.is_empty()
    assert "no settlement of the funding was announced" in str(
        played.result.assumptions["detail"].to_list()
    )


def test_a_turn_pays_its_margin_with_the_one_it_frees():
    # long 10 at 100 binds 1,000 of 2,000 less a fee of 1; to turn to −9 binds 900, and 1.9 of fee.
    played = play(
        [price(0, 100.0), price(1, 100.0), price(2, 100.0)],
        {0: buy(10), 1: lambda broker: broker.target(-9)},
        cash=1_901.95,
        fees=(0.001, 0.001),
    )

    assert played.fills == [(1, 10, 100.0), (2, 19, 100.0)]


def test_inverse_contracts_take_cash_under_either_name_of_bitcoin():
    played = play(
        [price(0, 50_000.0, INV), price(1, 55_000.0, INV), price(2, 55_000.0, INV)],
        {0: buy(1_000), 1: lambda broker: broker.close()},
        cash=1.0,
        currency="BTC",
    )

    assert played.result.stats["orders"] == 2
    assert played.broker.cash == pytest.approx(1.0 + 1_000 / 50_000 - 1_000 / 55_000, rel=1e-12)


def test_both_markets_and_several_symbols_share_the_cash():
    played = play(
        [price(0, 100.0, S), price(0, 50.0), price(1, 110.0, S), price(1, 45.0), price(2, 45.0)],
        {
            0: lambda broker: [broker.buy(2, S), broker.sell(4, U)],
            2: lambda broker: broker.close(U),
        },
        cash=1_000.0,
        fees=(0.0, 0.0),
    )  # fmt: skip

    # 200 for the coins; the short of 4 from 50, at 45 by its own price
    assert played.broker.position(S).size == 2
    last = rows(played.result.equity)[-1]
    assert last["cash"] == pytest.approx(1_000 - 200 + 4 * 5, rel=1e-12)
    assert last["equity"] == pytest.approx(1_020 + 20, rel=1e-12)


def test_a_result_in_dollars_values_coins_and_inverse_profits():
    played = play(
        [
            price(0, 50_000.0, INV),
            price(0, 50_000.0, S),
            price(1, 40_000.0, INV),
            price(1, 40_000.0, S),
        ],
        {0: lambda broker: broker.sell(10_000, INV)},
        cash={"USDT": 1_000.0, "XBT": 1.0},
        fees=(0.0, 0.0),
    )

    # 1 XBT is worth 40,000, and the short has won 10,000/40,000 − 10,000/50,000 = 0.05 of it.
    last = rows(played.result.equity)[-1]
    assert last["equity"] == pytest.approx(1_000 + 40_000 + 0.05 * 40_000, rel=1e-12)


def test_the_account_balances_at_every_sample():
    """cash = start + realised − fees + funding, and equity adds the unrealised."""
    values = [100.0, 104.0, 97.5, 101.0, 99.0, 120.0, 88.0, 95.0]
    times = [60 * n + 30 for n in range(8)]
    records = [
        each for t, v in zip(times, values, strict=True) for each in (price(t, v), mark(t, v))
    ]
    records += [settlement(240, 0.001), settlement(240, 0.001, arrived=250)]
    sizes = [5, -3, 4, 4, -12, 7, 1, -6]
    seen = []

    def step(size):
        def act(broker):
            if size > 0:
                broker.buy(size)
            else:
                broker.sell(-size)
            held = broker.position()
            known = 10_000 + held.realised - held.fees + held.funding
            seen.append((broker.cash - known, broker.equity - broker.cash - held.unrealised))

        return act

    played = play(
        records, {t: step(size) for t, size in zip(times, sizes, strict=True)}, cash=10_000.0,
        fees=(0.001, 0.002),
    )  # fmt: skip

    assert len(seen) == 8
    assert all(each == pytest.approx((0, 0), abs=1e-9) for each in seen)
    # the same by hand: signed cash flows of all fills, the fees, and the size times the last price
    fills, size, cash = rows(played.result.fills), 0.0, 10_000.0
    for each in fills:
        signed = each["size"] if each["side"] == "buy" else -each["size"]
        size += signed
        assert each["position_after"] == size
        cash -= signed * each["price"] + each["fee"]
    assert size == sum(sizes)
    # 5 − 3 + 4 + 4 = 10 are held at 240 s, where the mark is 101
    assert played.result.funding["amount"].to_list() == pytest.approx([-10 * 101.0 * 0.001])
    equity = cash + played.result.funding["amount"].sum() + size * values[-1]
    assert rows(played.result.equity)[-1]["equity"] == pytest.approx(equity, rel=1e-12)


def test_an_unrelated_symbol_changes_nothing():
    def orders(broker):
        return [broker.buy(5, U)]

    mine, others = [price(0, 100.0), price(1, 101.0)], [price(0, 7.0, X), price(1, 8.0, X)]
    alone = play(mine, {0: orders})
    beside = play([*others, *mine], {0: orders})

    assert alone.fills == beside.fills
    assert alone.result.fingerprint == beside.result.fingerprint


def test_the_name_of_settlement_of_an_ordinary_coin_is_kept():
    coin = Instrument(
        symbol="ETHUSDM", market="futures", base="ETH", quote="USD", settle="ETH", tick_size=0.05,
        lot_size=1.0, contract_multiplier=-1.0, is_inverse=True,
    )  # fmt: skip
    played = play(
        [price(0, 2457.1, "ETHUSDM"), price(1, 2454.1, "ETHUSDM")],
        {0: buy(1)},
        cash=1.0,
        currency="ETH",
        instruments=[coin],
    )

    # KuCoin's lowest taker rate, 0.0006 of 1/2457.1
    assert played.result.fills["fee"].to_list() == pytest.approx([0.0006 / 2457.1], rel=1e-12)
    assert played.result.fills["fee_currency"].to_list() == ["ETH"]
