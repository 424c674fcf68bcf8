"""The paper broker agrees with an exchange: the same decisions, on the tape that they left behind.

An account trades on a simulated exchange, which shares no code with the paper broker, while its
public frames are recorded. Then the paper broker is given the same orders behind the same records,
without latency. What the exchange reports must come out, to the digits in which KuCoin prints it: 8
decimals on linear contracts, 10 on inverse ones, all 12 on spot.

What is compared:

- Takers: market, IOC, FOK and marketable limit orders, through several levels, and reduce-only
  orders that are cut. They meet the tape as it was just before; what they took is missing in the
  tape behind them, and the paper broker forgets what it had noted there once the level changes.
- Makers that are alone at their price when they arrive. Their own fills are prints on the tape.
- Orders behind others: only bounds. Their own size is displayed in the recorded depth, where the
  risk-averse queue takes it for somebody else's as soon as another order cancels, so it is filled
  no earlier than at the exchange. Without a queue it is filled no later.
- Refusals with their codes, also those of a settlement's 10 s, market orders that the price band
  cuts, post-only orders that would take, and cancels.
- A stop on the mark price. The exchange acts on a mark price before it publishes it, so the tape
  has the stop's own trade before its cause; the price agrees as long as one level is enough.
- Each second: size, average entry, margin, liquidation price, unrealised profit, fees, funding and
  balance; and at each close, what the position has realised.
- Time, loss, fee and price of a liquidation, by KuCoin's rules since 2025-05-22 and by the older.
- Cross margin: the orders that a high risk rate cancels, and the liquidation for all that is left.

What cannot be compared:

- Orders that meet each other, such as a market order that reaches the account's own resting order:
  the paper broker never lets two orders of one account trade.
- Stops on the last trade: the exchange looks at them every 10 ms, the paper broker at each print.
- What orders bind that were placed to open and would only close now: the exchange frees it.
- What a fill through zero leaves to each of its two positions: the exchange books its whole fee to
  the new one. The sum over both is compared.
- The average price of inverse positions beyond 4 decimals: the exchange rounds values to 12.
"""

import functools
from decimal import Decimal

import pytest

from kucoin_research.sim.accounts.ledger import MARGIN_RULES
from kucoin_research.strategy.orders import OrderStatus
from tests.unit.sim.signed import less_busy
from tests.unit.strategy.exchange_floor import Trader

# The price falls by 0.7 % in the two minutes from this settlement on.
CRASH = {"seed": 0, "start": "2026-01-18T07:59:15Z"}
# By symbol: one of how many actions of others on the market is left, for fewer rows to play.
ONE_OF = {"XBTUSDTM": 6, "XBTUSDM": 1}
# By symbol: the unit of its orders, its cash, and the decimals of amounts and of average prices.
CONTRACTS = {"XBTUSDTM": (50, 3_000, 8, 8), "XBTUSDM": (5_000, 0.05, 10, 3)}
# By symbol: sizes that the cash does not cover, in a tier of less leverage, and above all tiers.
REFUSED = {
    "XBTUSDTM": {4_000: "300003", 6_000: "300016", 60_000: "300005"},
    "XBTUSDM": {440_000: "300003", 500_000: "300016"},
}
RUNS = [(symbol, rules) for symbol in CONTRACTS for rules in MARGIN_RULES]
FUNDING_NS = 1_768_723_200 * 10**9
SLICE_NS = 10_000_000


def calm_trader(symbol, **options):
    return Trader(symbol, facts=less_busy(symbol, ONE_OF[symbol]), **options, **CRASH)


def trade_contract(symbol, rules):
    """Trade in all ways, hold a long position through a funding, and lose it in the fall."""
    unit, cash, _, _ = CONTRACTS[symbol]
    trader = calm_trader(symbol, cash=cash, leverage=100, margin_rules=rules)
    trader.run(2)
    most = trader.through("sell", 0) * 2 // 3
    trader.buy(most)
    many = trader.through("sell", unit)  # what the first order left, and a little more
    trader.buy(many)
    trader.run(1)
    trader.sell(unit, limit=trader.best("buy"), time_in_force="IOC")
    trader.run(1)
    trader.sell(most + many + 2 * unit)  # goes through zero
    trader.run(1)
    trader.buy(10 * unit, limit=round(trader.best("sell")) + 20, reduce_only=True)  # 3 to close
    trader.run(1)
    refuse_orders(trader, unit)
    maker = trader.buy(2 * unit, limit=trader.free_price("buy", 1), post_only=True)
    trader.run(10)
    trader.buy(unit, limit=trader.best("sell"))
    trader.sell(unit, limit=trader.free_price("sell", 3_000))
    trader.cancel(trader.decisions[-1].number)
    trader.run(10)
    trader.sell(unit, stop=round(trader.mark) - 150, stop_price_type="MP")
    trader.run(20)
    trader.buy(unit)  # while the funding is being settled
    trader.run(55)
    trader.sell(3 * unit, limit=round(trader.best("buy")) - 20)
    trader.run(1)
    trader.buy(3 * unit, reduce_only=True)
    trader.run(1)
    return trader, maker


def refuse_orders(trader, unit):
    ask = trader.best("sell")
    trader.sell(unit, reduce_only=True)
    trader.buy(unit, limit=ask, post_only=True)
    trader.buy(unit, limit=ask + 0.05)
    trader.buy(0.5)
    trader.buy(unit, limit=round(ask * 1.06))
    trader.sell(unit, limit=round(ask * 0.94))
    for size in REFUSED[trader.floor.symbol]:
        trader.buy(size)
    trader.buy(1_000_001)
    trader.buy(unit, limit=1_000_000.1)


@functools.cache
def contract(symbol, rules):
    trader, maker = trade_contract(symbol, rules)
    return trader, trader.paper(queue="none", margin_rules=rules), maker


@functools.cache
def pair():
    """Trade a pair in all ways."""
    trader = Trader("BTC-USDT", cash=100_000)
    trader.run(2)
    trader.buy(trader.through("sell", 0.001))
    trader.run(1)
    trader.sell(0.02, limit=trader.best("buy"), time_in_force="IOC")
    trader.run(1)
    trader.buy(0.01, limit=trader.best("sell"), time_in_force="FOK")
    trader.run(1)
    trader.buy(0.04, limit=trader.free_price("buy", 1), post_only=True)
    trader.sell(0.03, limit=trader.free_price("sell", 1))
    trader.run(15)
    ask = trader.best("sell")
    trader.buy(0.01, limit=ask, post_only=True)
    trader.buy(0.01, limit=ask + 0.05)
    trader.buy(0.000000001)
    trader.buy(0.01, limit=round(ask * 1.11))
    trader.sell(0.01, limit=round(ask * 0.89))
    trader.sell(5)
    trader.buy(5)
    trader.buy(0.000009)
    trader.sell(20_000_000_000)
    trader.buy(0.00001, limit=9_000)
    trader.sell(0.00012345)
    trader.run(1)
    return trader, trader.paper(queue="none")


def shown(fills):
    """What is compared of fills, apart from their fees; prices as they are printed."""
    return [
        (each.number, each.side, round(each.price, 2), each.size, each.liquidity) for each in fills
    ]


def has_same_fills(ours, theirs, digits):
    """Whether two lists of fills are the same, with the fees that `is_same` compares."""
    pairs = zip(ours, theirs, strict=True)
    return shown(ours) == shown(theirs) and all(
        is_same(left.fee, right.fee, digits) for left, right in pairs
    )


def amounts(at):
    return [at.margin, at.unrealised, at.fees, at.funding, at.cash]


def prices(at):
    return [each for each in (at.entry, at.liquidation) if each]


def is_same(ours, theirs, digits):
    """Whether two numbers differ by less than a tenth of the last digit.

    To compare them as they are printed would not do: one could be rounded up, the other down.
    """
    return abs(ours - theirs) < Decimal(10) ** -digits / 10


@pytest.mark.parametrize(("symbol", "rules"), RUNS)
def test_fills_of_contracts_are_those_of_the_exchange(symbol, rules):
    trader, paper, maker = contract(symbol, rules)
    _, _, digits, _ = CONTRACTS[symbol]
    fills = trader.fills()

    assert has_same_fills(paper.fills(), fills, digits)
    assert {each.liquidity for each in fills} == {"taker", "maker", "liquidation"}
    assert sum(each.size for each in fills if each.number == maker) > 0
    assert trader.stop in {each.number for each in fills}
    assert len({each.price for each in fills if each.number == 2}) > 1


@pytest.mark.parametrize(("symbol", "rules"), RUNS)
def test_fills_of_contracts_come_within_the_exchanges_step_of_time(symbol, rules):
    trader, paper, _ = contract(symbol, rules)

    late = [
        ours.time_ns - theirs.time_ns
        for ours, theirs in zip(paper.fills(), trader.fills(), strict=True)
    ]

    assert 0 <= min(late) <= max(late) < SLICE_NS


@pytest.mark.parametrize(("symbol", "rules"), RUNS)
def test_account_is_the_exchanges_in_each_second(symbol, rules):
    trader, paper, _ = contract(symbol, rules)
    _, _, digits, price_digits = CONTRACTS[symbol]
    before, after = (
        [each for each in trader.checkpoints if (each.after < FUNDING_NS) is is_before]
        for is_before in (True, False)
    )

    for ours, theirs in zip(paper.checkpoints, trader.checkpoints, strict=True):
        assert (ours.after, ours.size) == (theirs.after, theirs.size)
        for our_amount, their_amount in zip(amounts(ours), amounts(theirs), strict=True):
            assert is_same(our_amount, their_amount, digits)
        for our_price, their_price in zip(prices(ours), prices(theirs), strict=True):
            assert is_same(our_price, their_price, price_digits)
    assert not any(each.funding for each in before)
    assert all(each.funding for each in after)
    assert any(each.size for each in after)


@pytest.mark.parametrize(("symbol", "rules"), RUNS)
def test_positions_have_realised_what_the_exchange_reports(symbol, rules):
    trader, paper, _ = contract(symbol, rules)
    _, _, digits, _ = CONTRACTS[symbol]
    realised = [Decimal(repr(each)) for each in paper.result.trades["pnl"]]
    reported = trader.closed_positions()

    # One order went through zero between the first two.
    assert len(realised) == 4
    for ours, theirs in zip(realised[2:], reported[-2:], strict=True):
        assert round(ours, digits) == round(theirs, digits)
    assert is_same(sum(realised), trader.wallet() - trader.cash, digits)


@pytest.mark.parametrize(("symbol", "rules"), RUNS)
def test_a_liquidation_costs_the_margin_at_both(symbol, rules):
    trader, paper, _ = contract(symbol, rules)
    _, _, digits, _ = CONTRACTS[symbol]

    for each in (trader, paper):
        [when] = [fill.time_ns for fill in each.fills() if fill.liquidity == "liquidation"]
        before = [at for at in each.checkpoints if at.after < when][-1]
        after = next(at for at in each.checkpoints if at.after >= when)
        assert before.size
        assert not after.size
        assert is_same(before.cash - after.cash, before.margin, digits)


def refusals(paper):
    """By number: the code of each order that the paper broker refused, post-only aside."""
    return {
        number: order.reason.partition(" ")[0]
        for number, order in paper.orders.items()
        if order.status is OrderStatus.REJECTED and order.reason.partition(" ")[0] != "post-only"
    }


@pytest.mark.parametrize(("symbol", "rules"), RUNS)
def test_orders_on_contracts_are_refused_with_the_exchanges_codes(symbol, rules):
    trader, paper, _ = contract(symbol, rules)

    assert refusals(paper) == trader.refusals
    assert list(trader.refusals.values()) == [
        "300009", "100001", "100001", "300011", "300012", *REFUSED[symbol].values(), "100001",
        "100001", "300015",
    ]  # fmt: skip


def test_fills_and_balances_of_spot_are_those_of_the_exchange():
    trader, paper = pair()

    assert has_same_fills(paper.fills(), trader.fills(), 12)
    assert {each.liquidity for each in trader.fills()} == {"taker", "maker"}
    for ours, theirs in zip(paper.checkpoints, trader.checkpoints, strict=True):
        assert (ours.after, ours.size, ours.fees) == (theirs.after, theirs.size, theirs.fees)
        assert is_same(ours.cash, theirs.cash, 10)


def test_orders_on_spot_are_refused_with_the_exchanges_codes():
    trader, paper = pair()

    assert refusals(paper) == trader.refusals
    assert list(trader.refusals.values()) == [
        "400100", "400100", "400370", "400370", "200004", "200004", "400100", "400100", "400760",
    ]  # fmt: skip


# By symbol: lots, cash for little more than their margin, the unit of the orders, and the decimals.
CROSSED = {"XBTUSDTM": (1_000, 1_050, 40, 8), "XBTUSDM": (60_000, 0.0088, 2_400, 10)}


@pytest.mark.parametrize(
    ("symbol", "rules"), [(each, rules) for each in CROSSED for rules in MARGIN_RULES]
)
def test_cross_margin_is_the_exchanges_to_its_end(symbol, rules):
    size, cash, unit, digits = CROSSED[symbol]
    options = {"margin_mode": "cross", "margin_rules": rules}
    trader = calm_trader(symbol, cash=cash, leverage=125, **options)
    trader.run(2)
    trader.buy(size)
    trader.run(10)
    trader.sell(size + size // 2)  # its margin is free for the other side
    trader.run(1)
    trader.buy(size + size // 2)
    far = trader.free_price("buy", 9_000)
    orders = [trader.buy(unit, limit=far), trader.buy(2 * unit, limit=far - 1)]
    trader.sell(size, limit=trader.free_price("sell", 9_000))  # it only closes
    trader.run(90)
    paper = trader.paper(queue="none", margin_rules=rules)

    assert trader.refusals == refusals(paper)
    assert has_same_fills(paper.fills(), trader.fills(), digits)
    assert trader.fills()[-1].liquidity == "liquidation"
    for ours, theirs in zip(paper.checkpoints, trader.checkpoints, strict=True):
        assert (ours.after, ours.size, ours.orders) == (theirs.after, theirs.size, theirs.orders)
        for our_amount, their_amount in zip(amounts(ours), amounts(theirs), strict=True):
            assert is_same(our_amount, their_amount, digits)
    accepted = [each for each in orders if each not in trader.refusals]
    assert {paper.orders[each].reason for each in accepted} == {
        "the risk rate of the cross margin has reached 95 %"
    }
    assert any(each.size and not each.orders for each in trader.checkpoints[20:])
    assert trader.wallet() == pytest.approx(0, abs=10**-digits)


@pytest.mark.parametrize(
    ("symbol", "size", "band", "cash"),
    [
        ("XBTUSDTM", 1_000_000, "0.001", 10**9),
        ("XBTUSDM", 1_000_000, "0.0005", 10**4),
        ("BTC-USDT", 1_000, "0.001", 10**8),
    ],
)
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_market_orders_are_cut_where_the_price_band_ends(symbol, size, band, cash, side):
    facts = {"price_limit_rate": band, "risk_limit": 10**9}
    trader = Trader(symbol, cash=cash, coins=size, facts=facts)
    trader.run(2)
    engine, other = trader.floor.engine, "sell" if side == "buy" else "buy"
    depth = len(engine.levels(other))
    number = trader.send(side, size)
    left = len(engine.levels(other))
    trader.run(2)
    paper = trader.paper(queue="none")

    assert has_same_fills(paper.fills(), trader.fills(), 8)
    filled = sum(each.size for each in trader.fills())
    assert 0 < filled < size
    assert 0 < left < depth
    assert paper.orders[number].status is OrderStatus.CANCELLED
    assert "price" in paper.orders[number].reason


def test_orders_behind_others_are_filled_between_the_two_queue_models():
    # Few ticks, so that others stand and cancel at the price of each order.
    trader = Trader("DOGEUSDTM", leverage=10, start="2026-01-05T01:00:00Z")
    trader.run(1)
    for _ in range(60):
        trader.buy(20, limit=trader.best("buy"))
        trader.run(4)
    papers = [trader.paper(queue=queue) for queue in ("risk_averse", "none")]
    sizes = [[at.size for at in each.checkpoints] for each in (papers[0], trader, papers[1])]

    assert all(late <= true <= early for late, true, early in zip(*sizes, strict=True))
    assert sizes[0] != sizes[1] != sizes[2]
    assert sizes[1][-1] > 0
