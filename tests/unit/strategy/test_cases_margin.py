"""Margin: when positions are liquidated, at which price, and what is left."""

from dataclasses import replace

import polars as pl
import pytest

from kucoin_research.model.instruments import Instrument, RiskTier
from kucoin_research.strategy.contracts import Contract, Fees
from kucoin_research.strategy.fixed_point import fixed
from kucoin_research.strategy.margin import (
    Exposure,
    bankruptcy_price,
    closing_reserve,
    is_below_maintenance,
    liquidation_price,
    maintenance_margin,
    risk_rate,
)
from kucoin_research.strategy.positions import Holding
from tests.unit.strategy.tapes import (
    INVERSE,
    UNIT,
    XBT,
    Case,
    bbo,
    cases,
    check,
    mark,
    play,
    rows,
    settlement,
    trade,
)  # fmt: skip

U, X = UNIT.symbol, XBT.symbol
MUCH = 1_000_000
#: r = 0.005 + 0.0006 = 0.0056, as in the worked cases; no fee at the opening would change nothing.
XBT_005 = replace(XBT, maintenance_margin=0.005, max_leverage=100.0)
INVERSE_005 = replace(INVERSE, maintenance_margin=0.005, taker_fee=0.0006, max_leverage=100.0)
#: No fees, maintenance 1 %.
UNIT_01 = replace(UNIT, maintenance_margin=0.01, max_leverage=100.0)
TIERED = replace(
    UNIT_01, risk_tiers=(RiskTier(10_000.0, 50.0, 0.02, 0.01), RiskTier(90_000.0, 5.0, 0.2, 0.1))
)
#: The cent of the liquidation prices.
FINE = replace(XBT_005, tick_size=0.01)


def price(when, value, symbol=U):
    return bbo(when, (value, MUCH), (value, MUCH), symbol)


def options(*instruments, **others):
    return {"instruments": instruments, "leverage": 10.0, "cash": 10_000.0, **others}


def buy(size):
    return lambda broker: broker.buy(size)


def sell(size):
    return lambda broker: broker.sell(size)


def opened(value=50_000.0, symbol=X):
    return [mark(0, value, None, symbol), price(0, value, symbol)]


ISOLATED = [
    Case(
        name="long of 1 BTC at 10x is safe at 45,253.42",
        records=[*opened(), mark(1, 45_253.42, None, X), mark(2, 45_300.0, None, X)],
        orders={0: buy(1_000)},
        fills=[(1, 1_000, 50_000.0)],
        position=1_000,
        options=options(FINE),
    ),
    Case(
        name="it is liquidated at 45,253.41 for its margin",
        records=[*opened(), mark(1, 45_253.41, None, X), mark(2, 45_300.0, None, X)],
        orders={0: buy(1_000)},
        fills=[(1, 1_000, 50_000.0), (0, 1_000, 45_000.0)],
        realised=-5_000.0,
        # 30 is the fee of the opening
        cash=10_000.0 - 30.0 - 5_000.0,
        pnl=[-5_030.0],
        options=options(FINE),
    ),
    Case(
        name="short of 1 BTC at 10x is safe at 54,693.71",
        # (50,000 + 5,000)/1.0056 = 54,693.7152
        records=[*opened(), mark(1, 54_693.71, None, X), mark(2, 50_000.0, None, X)],
        orders={0: sell(1_000)},
        position=-1_000,
        options=options(FINE),
    ),
    Case(
        name="it is liquidated at 54,693.72, at its bankruptcy price of 55,000",
        records=[*opened(), mark(1, 54_693.72, None, X), mark(2, 50_000.0, None, X)],
        orders={0: sell(1_000)},
        fills=[(1, 1_000, 50_000.0), (0, 1_000, 55_000.0)],
        realised=-5_000.0,
        options=options(FINE),
    ),
    Case(
        name="inverse long of 10,000 at 10x is liquidated at 45,709.09",
        # 10,000·1.0056/(0.2 + 0.02); bankrupt at 10,000/0.22
        records=[
            *opened(symbol=INVERSE.symbol), mark(1, 45_709.10, None, INVERSE.symbol),
            mark(2, 45_709.09, None, INVERSE.symbol),
        ],
        orders={0: buy(10_000)},
        fills=[(1, 10_000, 50_000.0), (0, 10_000, 10_000 / 0.22)],
        realised=-0.02,
        cash=1.0 - 0.2 * 0.0006 - 0.02,
        options=options(INVERSE_005, cash=1.0, currency="XBT"),
    ),
    Case(
        name="inverse short of 10,000 at 10x is liquidated at 55,244.45",
        # 10,000·0.9944/(0.2 − 0.02) = 55,244.444; bankrupt at 10,000/0.18
        records=[
            *opened(symbol=INVERSE.symbol), mark(1, 55_244.44, None, INVERSE.symbol),
            mark(2, 55_244.45, None, INVERSE.symbol),
        ],
        orders={0: sell(10_000)},
        fills=[(1, 10_000, 50_000.0), (0, 10_000, 10_000 / 0.18)],
        realised=-0.02,
        options=options(INVERSE_005, cash=1.0, currency="XBT"),
    ),
    Case(
        name="a liquidation cancels the contract's orders first",
        records=[*opened(), mark(1, 45_000.0, None, X), mark(2, 45_000.0, None, X)],
        orders={
            0: lambda broker: [
                broker.buy(1_000), broker.sell(1_000, limit=51_000.0, reduce_only=True),
                broker.buy(10, limit=40_000.0),
            ]
        },
        status=["filled", "cancelled", "cancelled"],
        reasons=[None, "300014", "300014"],
        options=options(FINE),
    ),
    Case(
        name="trades do not liquidate where marks are played",
        records=[*opened(), trade(1, "sell", 40_000.0, 1, X), price(2, 40_000.0, X)],
        orders={0: buy(1_000)},
        position=1_000,
        options=options(FINE),
    ),
    Case(
        name="paid funding comes out of the margin and raises the liquidation price",
        # 1 BTC at 10x pays 0.004·50,000 = 200: M = 4,800, (50,000 − 4,800)/0.9944 = 45,454.5
        records=[
            *opened(), settlement(60, 0.004, X), mark(61, 45_454.6, None, X),
            mark(62, 45_454.5, None, X),
        ],
        orders={0: buy(1_000)},
        funding=[-200.0],
        realised=-4_800.0,
        cash=10_000.0 - 30.0 - 5_000.0,
        options=options(FINE),
    ),
    Case(
        name="the legacy rules take the maintenance of the entry and the closing fee",
        # reserve 0.0006·55,000 = 33; M = 5,033; keeps 250 + 33: 50,000 − 5,033 + 283 = 45,250
        records=[*opened(), mark(1, 45_250.01, None, X), mark(2, 45_250.0, None, X)],
        orders={0: buy(1_000)},
        fills=[(1, 1_000, 50_000.0), (0, 1_000, 45_000.0)],
        # the whole margin of 5,033: 5,000 and the fee that was set aside
        cash=10_000.0 - 30.0 - 5_033.0,
        options=options(FINE, margin_rules="legacy"),
    ),
    Case(
        name="the legacy rules are safe a cent above it",
        records=[*opened(), mark(1, 45_250.01, None, X), mark(2, 46_000.0, None, X)],
        orders={0: buy(1_000)},
        position=1_000,
        options=options(FINE, margin_rules="legacy"),
    ),
    Case(
        name="without leverage a short is liquidated near twice its price",
        # (100 + 100)/1.01 = 198.02, by the mid, since no marks are played
        records=[price(0, 100.0), price(1, 198.0), price(2, 198.1)],
        orders={0: sell(10)},
        fills=[(1, 10, 100.0), (0, 10, 200.0)],
        cash=10_000.0 - 1_000.0,
        options=options(UNIT_01, leverage=1.0),
    ),
    Case(
        name="a short whose value grows into the next tier keeps the tier of its entry",
        # tier 1 up to 10,000: r = 0.01, (9,000 + 1,800)/(90·1.01) = 118.81
        records=[
            mark(0, 100.0), price(0, 100.0), mark(1, 118.8), mark(2, 118.9),
        ],
        orders={0: sell(90)},
        fills=[(1, 90, 100.0), (0, 90, 120.0)],
        options=options(
            TIERED,
            leverage=5.0,
        ),
    ),
    Case(
        name="and a long whose value falls into the tier below keeps its own",
        # tier 2 above 10,000: r = 0.1, (10,500 − 2,100)/(105·0.9) = 88.888…
        records=[
            mark(0, 100.0), price(0, 100.0), mark(1, 88.9), mark(2, 88.8),
        ],
        orders={0: buy(105)},
        fills=[(1, 105, 100.0), (0, 105, 80.0)],
        options=options(TIERED, leverage=5.0),
    ),
]  # fmt: skip

CROSS = {"margin_mode": "cross"}
OTHER = replace(UNIT_01, symbol="OTHUSDTM", base="OTH")
OTH = OTHER.symbol


def pair(when, value, other):
    return [mark(when, value), mark(when, other, None, OTH)]


def both(*records):
    return [*pair(0, 100.0, 100.0), price(0, 100.0), price(0, 100.0, OTH), *records]


CROSSED = [
    Case(
        name="opposite losses and gains share the margin",
        # ±100 at 100 with 2,000 of cash: −1,500 and +1,500
        records=both(*pair(1, 85.0, 85.0), *pair(2, 85.0, 85.0)),
        orders={0: lambda broker: [broker.buy(100, U), broker.sell(100, OTH)]},
        position=100,
        equity=2_100.0,
        options=options(UNIT_01, OTHER, cash=2_100.0, **CROSS),
    ),
    Case(
        name="isolated, the losing one is liquidated alone",
        records=both(*pair(1, 85.0, 85.0), *pair(2, 85.0, 85.0)),
        orders={0: lambda broker: [broker.buy(100, U), broker.sell(100, OTH)]},
        position=0,
        # −1,000 and +1,500
        equity=2_600.0,
        options=options(UNIT_01, OTHER, cash=2_100.0),
    ),
    Case(
        name="a cross position is liquidated when maintenance reaches the margin",
        # margin 1,500 − 100·(100 − p) against 0.01·100·p: p = 8,500/99 = 85.86
        records=[
            mark(0, 100.0), price(0, 100.0), mark(1, 85.9), mark(2, 85.8), mark(3, 85.8),
        ],
        orders={0: buy(100)},
        fills=[(1, 100, 100.0), (0, 100, 85.0)],
        cash=0.0,
        options=options(UNIT_01, cash=1_500.0, **CROSS),
    ),
    Case(
        name="a gap far beyond bankruptcy leaves nothing, and never less",
        records=both(*pair(1, 20.0, 190.0), *pair(2, 20.0, 190.0)),
        orders={0: lambda broker: [broker.buy(100, U), broker.sell(50, OTH)]},
        cash=0.0,
        equity=0.0,
        options=options(UNIT_01, OTHER, cash=2_000.0, **CROSS),
    ),
    Case(
        name="an order that only closes adds nothing to the risk rate",
        # at 87: need 87 of 200; the order's own maintenance would be 120 more
        records=[
            mark(0, 100.0), price(0, 100.0), mark(1, 87.0), mark(2, 87.0),
        ],
        orders={0: lambda broker: [broker.buy(100), broker.sell(100, limit=120.0)]},
        status=["filled", "accepted"],
        position=100,
        options=options(UNIT_01, cash=1_500.0, **CROSS),
    ),
    Case(
        name="turning a position does not count its profit twice",
        # 1,000 of profit are available already: 2,050 for 200 at 110 and 10x, which need 2,200
        records=[
            mark(0, 100.0), price(0, 100.0), mark(1, 110.0), price(2, 110.0), price(3, 110.0),
            price(4, 110.0),
        ],
        orders={
            0: lambda broker: broker.buy(100),
            3: lambda broker: [broker.sell(300), broker.sell(280)],
        },
        status=["filled", "rejected", "filled"],
        reasons=[None, "300003", None],
        position=-180,
        options=options(UNIT_01, cash=1_050.0, **CROSS),
    ),
    Case(
        name="95 % cancels the orders and keeps the position",
        # at 85.9: need 85.9 of 90, 95.4 %; the order adds 0.01·10·50
        records=[
            mark(0, 100.0), price(0, 100.0), mark(1, 87.0), mark(2, 85.9), mark(3, 86.0),
        ],
        orders={0: lambda broker: [broker.buy(100), broker.buy(1, limit=50.0)]},
        status=["filled", "cancelled"],
        reasons=[None, "95 %"],
        position=100,
        options=options(UNIT_01, cash=1_500.0, **CROSS),
    ),
]  # fmt: skip


@cases(*ISOLATED)
def test_isolated(case):
    check(case)


@cases(*CROSSED)
def test_cross(case):
    check(case)


def test_the_shown_liquidation_price_is_where_it_happens():
    shown = []

    def look(broker):
        shown.append(broker.position().liquidation_price)

    play(
        [*opened(), mark(1, 50_000.0, None, X), mark(2, 50_000.0, None, X)],
        {0: buy(1_000), 1: look},
        **options(FINE),
    )

    assert shown == [pytest.approx(45_000 / 0.9944, rel=1e-12)]  # 45,253.42


# -- formulas against the samples ------------------------------------------------------------------


def contract(instrument=XBT_005, leverage=10.0, rules="2025-05"):
    return Contract(instrument, Fees.of(instrument), leverage, rules)


def holding(terms, size, entry, margin=None):
    value = terms.value(fixed(size), fixed(entry))
    bound = terms.initial_margin(value) + closing_reserve(terms, value)
    return Holding(terms, fixed(size), value, bound if margin is None else fixed(margin)).state


def test_legacy_liquidation_and_bankruptcy_of_the_official_samples():
    # entry, posMargin, posComm, posMaint, liquidation and bankruptcy price; 1 lot, 0.001 BTC
    terms = contract(leverage=5.0, rules="legacy")
    held = holding(terms, 1.0, 91_694.5, 18.40492004)

    # posComm 0.06602004 = 91.6945·1.2·0.0006; posMaint without funding 91.6945·0.005 + posComm
    assert closing_reserve(terms, held.cost) / 1e18 == pytest.approx(0.06602004, abs=1e-8)
    assert maintenance_margin(terms, held, fixed(91_694.5)) / 1e18 == pytest.approx(
        91.6945 * 0.005 + 0.06602004, abs=1e-8
    )
    assert bankruptcy_price(terms, held) / 1e18 == pytest.approx(73_355.6, abs=0.01)


@pytest.mark.parametrize(
    ("instrument", "size", "entry", "leverage", "liquidated"),
    [
        (XBT_005, 1_000, 50_000, 10, 45_253.42),
        (XBT_005, -1_000, 50_000, 10, 54_693.72),
        (INVERSE_005, 10_000, 50_000, 10, 45_709.09),
        (INVERSE_005, -10_000, 50_000, 10, 55_244.44),
        # r = 0.0046: short 5 at 28,000 at 100x
        (replace(XBT, maintenance_margin=0.004), -5, 28_000, 100, 28_150.51),
    ],
)
def test_liquidation_price_of_the_worked_cases(instrument, size, entry, leverage, liquidated):
    terms = contract(instrument, leverage)
    held = holding(terms, float(size), float(entry))

    assert liquidation_price(terms, held) == pytest.approx(liquidated, abs=0.005)
    beyond = liquidated - 0.01 if size > 0 else liquidated + 0.01
    before = liquidated + 0.01 if size > 0 else liquidated - 0.01
    assert is_below_maintenance(terms, held, fixed(beyond))
    assert not is_below_maintenance(terms, held, fixed(before))


def test_inverse_bankruptcy_of_the_help_page():
    terms = contract(INVERSE_005, 50.0)

    price_ = bankruptcy_price(terms, holding(terms, 10_000.0, 28_000.0)) / 1e18

    assert price_ == pytest.approx(28_000 / 1.02, rel=1e-9)  # 27,450.98


def test_risk_rate_of_the_worked_cross_example():
    """(31 + 240 + 3.72 + 18)/(5,000 − 18)."""
    xbt = contract(replace(XBT, maintenance_margin=0.005))
    eth = Instrument(
        symbol="ETHUSDTM", market="futures", base="ETH", quote="USDT", settle="USDT",
        tick_size=0.01, lot_size=1.0, contract_multiplier=0.01, maintenance_margin=0.008,
    )  # fmt: skip
    positions = [Exposure(xbt, fixed(100.0), fixed(62_000.0))]
    orders = [Exposure(contract(eth), fixed(-1_000.0), fixed(3_000.0))]

    rate = risk_rate(fixed(5_000.0), positions, orders)

    assert rate is not None
    assert rate / 1e18 == pytest.approx(292.72 / 4_982, rel=1e-12)
    assert round(rate / 1e18, 7) == 0.0587555


@pytest.mark.parametrize(
    ("lots", "multiplier", "m", "constant", "expected"),
    [(12_102, 0.001, 300.0, 125.0, 0.00416136), (38_003, 0.01, 4_110.0, 100.0, 0.0054623236)],
)
def test_cross_maintenance_grows_with_the_size(lots, multiplier, m, constant, expected):
    terms = contract(
        replace(
            XBT, contract_multiplier=multiplier, mmr_size=m, mmr_leverage_constant=constant,
            mmr_limit=0.3,
        )
    )  # fmt: skip

    coins = terms.coins(fixed(float(lots)), fixed(50_000.0))

    assert terms.maintenance_rate(0, coins, is_cross=True) / 1e18 == pytest.approx(
        expected, abs=5e-10
    )


def test_liquidations_are_counted_and_noted():
    played = play(
        [*opened(), mark(1, 45_000.0, None, X), mark(2, 45_000.0, None, X)],
        {0: buy(1_000)},
        **options(FINE),
    )

    assert played.result.stats["liquidations"] == 1
    assert "liquidated at 45000" in rows(played.result.notes)[0]["text"]
    assert played.liquidity == ["taker", "liquidation"]
    assert [each.liquidity for each in played.broker.fills] == ["taker", "liquidation"]


@pytest.mark.parametrize("mode", ["cross", "isolated"])
def test_cross_margin_says_that_orders_of_both_sides_bind_it(mode):
    played = play([*opened(), mark(1, 50_000.0, None, X)], {}, margin_mode=mode)

    rows = played.result.assumptions.filter(pl.col("subject") == "margin")
    said = ["open orders of both sides bind margin" in each for each in rows["detail"]]
    assert said == [mode == "cross"]
