from decimal import Decimal

import pytest

from kucoin_research.sim.accounts.cross_margin import (
    Exposure,
    cross_prices,
    risk_rate,
    take_overs,
)
from kucoin_research.sim.accounts.ledger import Position, cross_maintenance
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.server.futures_order_rows import order_row
from tests.unit.sim.signed import MarketFloor, less_busy

XBT, ETH, INVERSE = (LISTINGS[symbol] for symbol in ("XBTUSDTM", "ETHUSDTM", "XBTUSDM"))
#: Its price falls from 88,950 to below 88,300.
CRASH = {"seed": 0, "start": "2026-01-18T07:59:15Z", "facts": less_busy("XBTUSDTM", 6)}


class FlatRate:
    """A listing whose maintenance margin does not grow with the size."""

    def __init__(self, listing, rate):
        self._listing, self._rate = listing, Decimal(rate)

    def __getattr__(self, name):
        return getattr(self._listing, name)

    def cross_maintenance(self, _coins):
        return self._rate


def test_risk_rate_is_that_of_the_worked_example():
    # Trading reference, section 4.3: (31 + 240 + 3.72 + 18)/(5,000 - 18).
    positions = [Exposure(FlatRate(XBT, "0.005"), 100, Decimal(62_000))]
    orders = [Exposure(FlatRate(ETH, "0.008"), -1_000, Decimal(3_000))]

    rate = risk_rate(Decimal(5_000), positions, orders)

    assert rate == Decimal("292.72") / 4_982
    assert round(rate * 100, 3) == Decimal("5.876")


@pytest.mark.parametrize(("margin", "rate"), [("34.72", 1), ("0", None), ("-5", None)])
def test_risk_rate_is_one_where_the_margin_is_what_must_be_kept(margin, rate):
    positions = [Exposure(FlatRate(XBT, "0.005"), 100, Decimal(62_000))]

    assert risk_rate(Decimal(margin), positions) == rate


def test_nothing_is_no_risk_even_without_a_balance():
    assert risk_rate(Decimal(0), []) == 0


@pytest.mark.parametrize(
    ("listing", "lots", "rate"),
    [(XBT, 12_102, "0.00416136"), (ETH, -38_003, "0.0054623236")],
)
def test_maintenance_margin_grows_as_in_kucoins_samples(listing, lots, rate):
    found = cross_maintenance(listing, lots, Decimal(50_000))

    assert round(found, 10) == Decimal(rate)


def test_maintenance_of_inverse_lots_grows_by_their_coins_at_the_price():
    assert cross_maintenance(INVERSE, 1_500_000, Decimal(50_000)) == (1 + Decimal("0.1")) / 250


@pytest.mark.parametrize("quantity", [1, -1])
@pytest.mark.parametrize(("listing", "mark"), [(XBT, "60000"), (INVERSE, "60000")])
def test_estimated_prices_are_where_the_margin_is_lost_and_what_must_be_kept(
    listing, mark, quantity
):
    margin = Decimal(2_000) if listing is XBT else Decimal("0.05")
    flat = FlatRate(listing, "0.01")
    position = Position(flat, is_cross=True, leverage=Decimal(10))
    side = "buy" if quantity > 0 else "sell"
    size = 1_000 if listing is XBT else 30_000
    position.fill(side, Decimal(61_000), size, Decimal(0), time_ms=0)
    mark = Decimal(mark)

    prices = cross_prices(position, mark, margin)

    def left(price):
        return margin + position.value(price) - position.value(mark)

    assert left(prices.bankruptcy) == pytest.approx(0, abs=Decimal("1e-11"))
    assert left(prices.liquidation) == pytest.approx(
        position.maintenance(prices.liquidation), rel=Decimal("1e-9")
    )


def test_estimate_for_an_inverse_long_is_that_of_the_official_sample():
    # Trading reference, section 4.3: bankrupt at 1,414.96, MMR 1 %, taker 0.06 %.
    position = Position(FlatRate(INVERSE, "0.01"), is_cross=True)
    position.fill("buy", Decimal("2457.12"), 1, Decimal(0), time_ms=0)

    limit = position.price_keeping(Decimal("1414.96"), Decimal("0.01") + Decimal("0.0006"))

    assert round(limit, 2) == Decimal("1429.96")


def test_positions_lose_the_margin_together():
    long, short = (Position(listing, is_cross=True) for listing in (XBT, ETH))
    long.fill("buy", Decimal(60_000), 1_000, Decimal(0), time_ms=0)
    short.fill("sell", Decimal(3_000), 2_000, Decimal(0), time_ms=0)
    marked = [(long, Decimal(59_000)), (short, Decimal(3_010))]
    margin = Decimal(500)

    prices = [end.price for end in take_overs(margin, marked)]

    lost = [
        position.value(price) - position.value(mark)
        for (position, mark), price in zip(marked, prices, strict=True)
    ]
    assert sum(lost) == pytest.approx(-margin)
    assert lost[0] / lost[1] == pytest.approx(Decimal(59_000) / 60_200)


def crossed(cash):
    """A floor whose account holds lots of XBTUSDTM on cross margin, and has an order far below."""
    floor = MarketFloor("XBTUSDTM", **CRASH)
    me = floor.account()
    me.deposit("futures", "USDT", Decimal(cash) - floor.me.futures["USDT"])
    me.set_margin_mode("XBTUSDTM", "CROSS")
    me.set_leverage("XBTUSDTM", 125)
    me.place("XBTUSDTM", "buy", 50)
    me.place("XBTUSDTM", "buy", 1, price=80_000)
    return floor, me


def test_open_orders_are_canceled_before_the_position_is_liquidated_for_all_of_the_margin():
    floor, me = crossed(50)
    position, canceled_at = floor.me.positions["XBTUSDTM"], None
    for second in range(120):
        floor.run(1)
        if canceled_at is None and not me.open_orders:
            canceled_at = second
            assert position.quantity == 50
        if not position.quantity:
            break

    assert canceled_at is not None
    assert second > canceled_at
    assert floor.me.futures["USDT"] == pytest.approx(0, abs=Decimal("1e-9"))
    assert me.fills[-1].fee == 0


def test_a_cross_position_lives_on_the_whole_balance_where_isolated_margin_is_lost():
    held = []
    for mode in ("ISOLATED", "CROSS"):
        floor = MarketFloor("XBTUSDTM", **CRASH)
        me = floor.account()
        me.set_margin_mode("XBTUSDTM", mode)
        me.set_leverage("XBTUSDTM", 125)
        me.place("XBTUSDTM", "buy", 50)
        floor.run(120)
        held.append(me.positions)

    assert held == [{}, {"XBTUSDTM": 50}]


def test_reported_prices_of_a_cross_position_follow_its_balance():
    floor, me = crossed(500)
    floor.listen("futures", "/contract/positionAll")
    me.place("XBTUSDTM", "buy", 1)
    row = floor.data("position.change")[-1]
    margin = me.futures_wallet("USDT").total_cross
    rate = cross_maintenance(XBT, 51, Decimal(1)) + Decimal("0.0006")

    bankrupt = Decimal(repr(row["markPrice"])) - margin / Decimal("0.051")
    assert row["bankruptPrice"] == pytest.approx(float(bankrupt), rel=1e-9)
    assert row["liquidationPrice"] == pytest.approx(float(bankrupt / (1 - rate)), rel=1e-9)
    assert row["posMaint"] == pytest.approx(float(rate) * row["markValue"], rel=1e-6)


def test_orders_that_only_close_need_no_maintenance():
    floor, me = crossed(500)
    before = floor.order_entry.cross_risk_rate(floor.me, "USDT")
    me.place("XBTUSDTM", "sell", 50, price=100_000)

    assert floor.order_entry.cross_risk_rate(floor.me, "USDT") == before
    me.place("XBTUSDTM", "sell", 50, price=100_000)
    assert floor.order_entry.cross_risk_rate(floor.me, "USDT") > before


def test_a_cross_order_has_the_leverage_of_its_symbol_whatever_it_asks_for():
    floor = MarketFloor("XBTUSDTM")
    me = floor.account()
    me.set_margin_mode("XBTUSDTM", "CROSS")
    me.set_leverage("XBTUSDTM", 20)
    order_id = me.place("XBTUSDTM", "buy", 10, price=80_000, leverage=3)
    stop_id = me.place("XBTUSDTM", "buy", 10, leverage=3, stop="down", stop_price=70_000)
    find = floor.me.archive.find

    rows = [order_row(find("futures", one))["leverage"] for one in (order_id, stop_id)]
    bound = me.futures_wallet().cross_order
    me.set_leverage("XBTUSDTM", 40)
    later = [order_row(find("futures", one))["leverage"] for one in (order_id, stop_id)]

    assert (rows, later) == (["20", "20"], ["40", "40"])
    assert (bound, me.futures_wallet().cross_order) == (40, 20)


def test_a_refused_leverage_leaves_the_orders_as_they_were():
    floor = MarketFloor("XBTUSDTM")
    me = floor.account()
    me.set_margin_mode("XBTUSDTM", "CROSS")
    me.set_leverage("XBTUSDTM", 100)
    me.place("XBTUSDTM", "buy", 10_000, price=80_000)
    before = me.futures_wallet()

    with pytest.raises(OrderRefused, match="Balance insufficient"):
        me.set_leverage("XBTUSDTM", 1)

    assert me.futures_wallet() == before


def test_a_flat_position_shows_the_settings_of_the_next_one():
    floor = MarketFloor("XBTUSDTM")
    me, positions = floor.account(), floor.order_entry.positions
    me.place("XBTUSDTM", "buy", 10, leverage=3)
    positions.set_auto_deposit(floor.me, "XBTUSDTM", is_on=True)
    me.place("XBTUSDTM", "sell", close_order=True)
    me.set_margin_mode("XBTUSDTM", "CROSS")
    me.set_leverage("XBTUSDTM", 30)

    shown = floor.me.shown_position(XBT)
    me.place("XBTUSDTM", "buy", 10)
    me.place("XBTUSDTM", "sell", close_order=True)
    me.set_margin_mode("XBTUSDTM", "ISOLATED")
    me.place("XBTUSDTM", "buy", 10)

    assert (shown.is_cross, shown.leverage, shown.is_auto_deposit) == (True, 30, False)
    assert not floor.me.positions["XBTUSDTM"].is_auto_deposit
