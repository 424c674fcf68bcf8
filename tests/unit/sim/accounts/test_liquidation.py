"""Large positions are liquidated in parts, and never for more than their margin."""

from decimal import Decimal

import pytest

from kucoin_research.sim import Account
from kucoin_research.sim.accounts.ledger import ZERO
from tests.unit.sim.signed import MarketFloor

RICH = Account(key="rich", secret="s", passphrase="p", futures={"USDT": "9000000", "XBT": "200"})
#: (contract, its settlement coin, dollars of one lot at about 86,200)
LINEAR, INVERSE = ("XBTUSDTM", "USDT"), ("XBTUSDM", "XBT")


class ShiftedFloor(MarketFloor):
    """A floor on which the mark price is moved to where a test wants it."""

    def __init__(self, symbol, **facts):
        super().__init__(symbol, accounts=[RICH], facts=facts)
        self.member = self.order_entry.members["rich"]
        self.symbol = symbol
        self.engine = self.hub.caught_up(symbol)
        self.listen(
            "futures", "/contract/positionAll", "/contractMarket/tradeOrders", member=self.member
        )

    @property
    def position(self):
        return self.member.positions[self.symbol]

    @property
    def mark(self):
        return Decimal(repr(self.engine.mark_price(self.hub.clock.reached_ns)))

    def worsen(self, share):
        """Take margin away until so much of what an isolated position must keep is left."""
        leave(self.position, self.mark, share * self.position.maintenance(self.mark))

    def liquid_orders(self):
        return [
            order
            for order in self.member.archive.newest_first("futures")
            if order.request.trade_type == "liquid"
        ][::-1]


def leave(position, mark, margin):
    """Take isolated margin away until so much of it is left at a mark price."""
    position.add_margin(margin - position.margin.total - position.unrealised(mark))


def opened(symbol, lots, side="buy", leverage=20, mode="ISOLATED", **facts):
    floor = ShiftedFloor(symbol, **facts)
    account = floor.account(floor.member)
    account.set_margin_mode(symbol, mode)
    account.set_leverage(symbol, leverage)
    for _ in range(20):
        missing = lots - abs(account.positions.get(symbol, 0))
        if missing:
            account.place(symbol, side, missing)
            floor.run(1)
    assert abs(account.positions[symbol]) == lots
    return floor, account


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize(("symbol", "coin", "lots"), [(*LINEAR, 9_000), (*INVERSE, 800_000)])
def test_an_isolated_position_comes_down_by_one_tier_where_that_is_enough(symbol, coin, lots, side):
    floor, account = opened(symbol, lots, side)
    position, tiers = floor.position, floor.engine.listing.risk_tiers
    level = position.risk_tier.level
    assert level == 3
    account.place(symbol, "sell" if side == "buy" else "buy", 1, price=_far(floor, side))
    floor.worsen(Decimal("0.97"))
    margin, lot_cost = position.margin.total, abs(position.cost) / lots
    cash = floor.member.futures[coin]

    floor.run(1)

    [order] = floor.liquid_orders()
    assert position.risk_tier.level == level - 1
    assert tiers[level - 2].limit - lot_cost < abs(position.cost) <= tiers[level - 2].limit
    assert (order.request.time_in_force, order.filled) == ("FOK", order.size)
    assert order.filled == lots - abs(position.quantity)
    assert account.open_orders == []
    fills = [fill for fill in account.fills if fill.order_id == order.order_id]
    rate = Decimal("0.0006")
    assert sum(fill.fee for fill in fills) == pytest.approx(order.value * rate, rel=Decimal("1e-8"))
    lost = cash - floor.member.futures[coin]
    assert 0 < lost <= margin * order.filled / lots
    assert not floor.member.book.closed_positions
    assert {
        one["tradeType"] for one in floor.data("symbolOrderChange", orderId=order.order_id)
    } == {"liquid"}


def _far(floor, side):
    ticks = floor.engine.best_ask + 2_000 if side == "buy" else floor.engine.best_bid - 2_000
    return floor.engine.price_text(ticks)


def test_a_chosen_level_is_lowered_and_reported():
    floor, _ = opened("XBTUSDTM", 9_000)
    floor.order_entry.risk_levels.change(floor.member, "XBTUSDTM", 4)
    floor.worsen(Decimal("0.97"))

    floor.run(1)

    # Its value fits the third level, whose margin is enough: nothing is closed.
    assert floor.member.risk_level("XBTUSDTM") == 3
    assert floor.position.quantity == 9_000
    assert floor.data("position.adjustRiskLimit")[-1]["riskLimitLevel"] == 3
    assert floor.liquid_orders() == []


def test_what_the_lowest_tier_cannot_save_is_taken_over_for_the_rest_of_the_margin():
    floor, account = opened("XBTUSDTM", 9_000)
    floor.worsen(Decimal("0.3"))  # less than what any tier asks for
    margin, cash = floor.position.margin.total, floor.member.futures["USDT"]

    floor.run(1)

    assert account.positions == {}
    *parts, last = floor.liquid_orders()
    assert [one.request.taken_over_at is None for one in (*parts, last)] == [True, True, False]
    lost = cash - floor.member.futures["USDT"]
    assert 0 < lost <= margin + Decimal("1e-9")
    [row] = floor.member.book.closed_positions
    assert row.is_liquidated
    assert row.lots == 9_000


def test_a_position_whose_part_finds_no_taker_is_taken_over_as_a_whole():
    floor, account = opened("XBTUSDTM", 9_000)
    floor.worsen(Decimal("0.01"))  # the spread and the fee alone cost more than is left
    margin, cash = floor.position.margin.total, floor.member.futures["USDT"]

    floor.run(1)

    assert account.positions == {}
    part, last = floor.liquid_orders()
    assert (part.filled, last.filled) == (0, 9_000)
    assert cash - floor.member.futures["USDT"] == pytest.approx(margin, rel=Decimal("1e-9"))


def test_small_positions_are_taken_over_at_once():
    floor, account = opened("XBTUSDTM", 1_000)
    floor.worsen(Decimal("0.97"))

    floor.run(1)

    assert account.positions == {}
    [order] = floor.liquid_orders()
    assert order.request.taken_over_at is not None
    # The account is told the price that it is charged, not the one that the market paid.
    frames = floor.data("symbolOrderChange", orderId=order.order_id, type="match")
    assert frames
    assert {Decimal(one["matchPrice"]) for one in frames} == {order.request.taken_over_at}


def risk(floor, coin):
    return floor.order_entry.cross_risk_rate(floor.member, coin)


def cross(symbol, coin, lots, side, rate):
    """A large cross position, and a balance that brings its risk rate to a given one."""
    floor, account = opened(symbol, lots, side, 20, "CROSS")
    wallet = account.futures_wallet(coin)
    needed = floor.position.maintenance(floor.mark)
    floor.member.futures[coin] += (needed / rate - wallet.total_cross).quantize(Decimal("1e-12"))
    return floor, account


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize(("symbol", "coin", "lots"), [(*LINEAR, 20_000), (*INVERSE, 990_000)])
def test_a_cross_position_is_reduced_in_parts_until_its_margin_is_enough(symbol, coin, lots, side):
    floor, account = cross(symbol, coin, lots, side, Decimal("1.02"))
    before = account.futures_wallet(coin)

    floor.run(1)

    parts = floor.liquid_orders()
    after, left = account.futures_wallet(coin), abs(account.positions[symbol])
    assert sum(one.filled for one in parts) == lots - left > 0
    worth = [one.filled if symbol == "XBTUSDM" else one.value for one in parts]
    assert all(float(each) == pytest.approx(600_000, rel=0.02) for each in worth)
    assert {one.request.taken_over_at for one in parts} == {None}
    assert risk(floor, coin) < 1
    # Only the fees, and what the market pays less than the mark, are lost.
    fees = sum(one.fees for one in parts)
    lost = before.equity - after.equity
    assert lost - fees < before.equity / 4
    assert after.equity > 0


def test_a_cross_position_whose_parts_do_not_help_is_taken_over_for_all_of_the_margin():
    floor, account = cross(*LINEAR, 20_000, "buy", Decimal(60))

    floor.run(1)

    assert account.positions == {}
    assert account.futures_wallet("USDT").balance == 0


def test_the_largest_position_is_reduced_first():
    floor = MarketFloor("XBTUSDTM", "ETHUSDTM", accounts=[RICH])
    member = floor.order_entry.members["rich"]
    account = floor.account(member)
    for symbol, lots in (("XBTUSDTM", 14_000), ("ETHUSDTM", 30_000)):
        account.set_margin_mode(symbol, "CROSS")
        account.set_leverage(symbol, 20)
        account.place(symbol, "buy", lots)
    floor.run(1)
    assert account.positions == {"XBTUSDTM": 14_000, "ETHUSDTM": 30_000}
    rate = floor.order_entry.cross_risk_rate(member, "USDT")
    total = account.futures_wallet("USDT").total_cross
    member.futures["USDT"] -= total - total * rate / Decimal("1.01")

    floor.run(1)

    assert account.positions["XBTUSDTM"] < 14_000
    assert account.positions["ETHUSDTM"] == 30_000


# Closing by hand


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize("rules", ["2025-05", "legacy"])
@pytest.mark.parametrize(("symbol", "coin", "lots"), [(*LINEAR, 9_000), (*INVERSE, 150_000)])
def test_a_market_order_never_closes_isolated_margin_for_more_than_it_is(
    symbol, coin, lots, rules, side
):
    floor = MarketFloor(symbol, accounts=[RICH], margin_rules=rules)
    member = floor.order_entry.members["rich"]
    account = floor.account(member)
    account.place(symbol, side, lots, leverage=20)
    position = member.positions[symbol]
    mark = Decimal(repr(floor.hub.engine(symbol).mark_price(floor.hub.clock.reached_ns)))
    # So little is left that the best levels of the other side can be taken, and no more.
    engine = floor.hub.engine(symbol)
    ticks = engine.best_bid - 25 if side == "buy" else engine.best_ask + 25
    worst = Decimal(engine.price_text(ticks))
    loss = position.value(mark) - position.value(worst)
    leave(position, mark, loss + abs(position.value(worst)) * Decimal("0.0006"))
    held, margin, cash = abs(position.quantity), position.margin.total, member.futures[coin]

    order_id = account.place(symbol, "sell" if side == "buy" else "buy", close_order=True)

    order = member.archive.find("futures", order_id)
    lost = cash - member.futures[coin]
    assert 0 < order.filled < held
    assert lost <= margin * order.filled / held + Decimal("1e-9")
    assert order.canceled == held - order.filled
    assert not order.is_active


def test_a_market_order_that_the_margin_covers_at_no_price_is_canceled():
    floor = MarketFloor("XBTUSDTM")
    me = floor.account()
    me.place("XBTUSDTM", "buy", 100)
    mark = floor.hub.engine("XBTUSDTM").mark_price(floor.hub.clock.reached_ns)
    leave(floor.me.positions["XBTUSDTM"], Decimal(repr(mark)), Decimal(0))
    cash = floor.me.futures["USDT"]

    order_id = me.place("XBTUSDTM", "sell", 100, reduce_only=True)

    assert floor.me.archive.find("futures", order_id).filled == 0
    assert (me.positions, floor.me.futures["USDT"]) == ({"XBTUSDTM": 100}, cash)


def test_cross_positions_are_closed_at_any_price_of_the_band():
    floor = MarketFloor("XBTUSDTM")
    me = floor.account()
    me.set_margin_mode("XBTUSDTM", "CROSS")
    me.place("XBTUSDTM", "buy", 100)
    floor.me.positions["XBTUSDTM"].cost += 500

    me.place("XBTUSDTM", "sell", close_order=True)

    assert me.positions == {}
    assert me.futures_wallet().equity > ZERO
