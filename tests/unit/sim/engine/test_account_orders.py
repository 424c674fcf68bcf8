from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.engine.account_orders import Prevented
from kucoin_research.sim.engine.catalog import LISTINGS, Flow
from kucoin_research.sim.engine.market import BookChange, Market, Trade

MINUTE = 60 * 10**9
START = 1_767_571_200 * 10**9  # 2026-01-05, a Monday


def market(symbol="XBTUSDTM"):
    return Market(LISTINGS[symbol], 7, START)


def test_limit_order_rests_and_is_filled_by_the_crowd():
    a_market = market()
    price = a_market.best_bid
    placed = a_market.submit("buy", 5, price_ticks=price, owner="me")

    events = a_market.advance(START + 5 * MINUTE)

    assert (placed.status, placed.resting, len(placed.events)) == ("open", 5, 1)
    fills = [
        event.size
        for event in events
        if isinstance(event, Trade) and event.maker_order_id == placed.order_id
    ]
    assert sum(fills) + a_market.resting(placed.order_id) == 5
    assert fills


def test_market_order_takes_the_best_levels():
    a_market = market()
    levels = a_market.levels("sell", 3)
    size = levels[0][1] + levels[1][1]

    done = a_market.submit("buy", size)

    trades = [event for event in done.events if isinstance(event, Trade)]
    assert (done.status, done.filled) == ("filled", size)
    assert {trade.price_ticks for trade in trades} == {levels[0][0], levels[1][0]}
    assert a_market.best_ask == levels[2][0]


@pytest.mark.parametrize(("side", "other"), [("buy", "sell"), ("sell", "buy")])
def test_market_order_ends_at_its_worst_price(side, other):
    a_market = market()
    levels = a_market.levels(other, 3)

    done = a_market.submit(side, 10**9, worst_ticks=levels[1][0])

    assert (done.status, done.filled) == ("canceled", levels[0][1] + levels[1][1])
    assert a_market.levels(other, 1)[0] == levels[2]


@pytest.mark.parametrize(
    ("time_in_force", "size", "status"),
    [("PO", 1, "rejected"), ("FOK", 10**12, "rejected"), ("IOC", 10**12, "canceled")],
)
def test_time_in_force_decides_what_happens_to_the_rest(time_in_force, size, status):
    a_market = market()

    done = a_market.submit("buy", size, price_ticks=a_market.best_ask, time_in_force=time_in_force)

    assert done.status == status
    assert done.resting == 0
    assert bool(done.events) == (status == "canceled")


def test_cancel_takes_a_resting_order_out_once():
    a_market = market()
    placed = a_market.submit("sell", 9, price_ticks=a_market.best_ask + 50_000)

    first, second = a_market.cancel(placed.order_id), a_market.cancel(placed.order_id)

    assert len(first) == 1
    assert second == []
    assert a_market.resting(placed.order_id) == 0


def test_book_recovers_when_a_side_is_swept():
    a_market = market("ETH-BTC")

    swept = a_market.submit("sell", 10**15, price_ticks=a_market.best_bid * 19 // 20)
    a_market.advance(START + MINUTE)

    assert swept.filled > 0

    assert a_market.best_bid < a_market.best_ask
    assert len(a_market.levels("buy")) >= 10


@pytest.mark.parametrize(("side", "share"), [("buy", 1.2), ("sell", 0.8)])
def test_limit_price_far_through_the_market_is_rejected(side, share):
    a_market = market("ETH-BTC")

    done = a_market.submit(side, 1, price_ticks=int(a_market.best_bid * share))

    assert (done.status, done.events) == ("rejected", [])


def test_accounts_may_do_anything_without_breaking_the_book():
    a_market, rng = market("DOGEUSDTM"), Random(1)
    sequence, ids = a_market.sequence, []

    for _ in range(600):
        events = a_market.advance(a_market.now_ns + rng.randrange(1, 400_000_000))
        price = rng.choice([None, a_market.best_bid + rng.randrange(-200, 200), 1, 21_500])
        in_force = rng.choice(["GTC", "IOC", "FOK", "PO"])
        size = int(10 ** rng.uniform(0, 9))
        side = rng.choice(["buy", "sell"])
        done = a_market.submit(side, size, price_ticks=price, time_in_force=in_force, owner="me")
        ids.append(done.order_id)
        events += done.events + a_market.cancel(rng.choice(ids))

        changes = [event for event in events if isinstance(event, BookChange)]
        assert [change.sequence for change in changes] == [
            sequence + step for step in range(1, len(changes) + 1)
        ]
        sequence = a_market.sequence
        assert a_market.best_bid < a_market.best_ask


def test_order_needs_a_positive_size():
    with pytest.raises(InvalidInput, match="positive"):
        market("ETH-BTC").submit("buy", 0)


# A thin book with a wide spread, so that owners meet.
THIN = replace(LISTINGS["XBTUSDTM"], flow=Flow(12.0, 0.1, 60, 6.0, 14, 30.0, 20, 9, 50))
submissions = st.lists(
    st.tuples(
        st.sampled_from(("buy", "sell")),
        st.sampled_from((1, 3, 8, 40, 150)),
        st.one_of(st.none(), st.integers(-14, 12)),  # ticks through the other side's best
        st.sampled_from(("GTC", "GTC", "GTC", "IOC", "FOK", "PO")),
        st.sampled_from(("ann", "ben")),
        st.sampled_from(("", "CN", "CO", "CB", "DC")),
        st.sampled_from((0, 0, 0, 1)),  # seconds until the next one
    ),
    min_size=8,
    max_size=30,
)


class Rest:
    """One order of a plain list of those that rest."""

    def __init__(self, a_market, order):
        self.order_id = a_market._book.order_text(order.number)
        self.price, self.size, self.owner = order.price_ticks, order.remaining, order.owner


def resting_against(a_market, side):
    """The orders of the other side, in the order in which a taker meets them."""
    other = a_market._book.side("sell" if side == "buy" else "buy")
    return [Rest(a_market, order) for key in reversed(other.keys) for order in other.queues[key]]


def expected(a_market, side, size, limit, time_in_force, owner, stp):
    """What an order must lead to: status, trades, sizes dropped and taken from own orders."""
    sign = 1 if side == "buy" else -1
    met = [one for one in resting_against(a_market, side) if sign * (limit - one.price) >= 0]
    if time_in_force == "PO" and met:
        return "rejected", [], 0, []
    owned = [one.owner == owner and bool(stp) for one in met]
    first_own = owned.index(True) if True in owned else len(met)
    if time_in_force == "FOK" and sum(one.size for one in met[:first_own]) < size:
        return "rejected", [], 0, []
    left, dropped, trades, prevented = size, 0, [], []
    for one, is_own in zip(met, owned, strict=True):
        if not left:
            break
        if not is_own:
            traded = min(left, one.size)
            trades.append((one.order_id, one.price, traded))
            left -= traded
            continue
        lesser = min(left, one.size)
        new = {"CN": left, "CB": left, "DC": lesser}.get(stp, 0)
        old = {"CO": one.size, "CB": one.size, "DC": lesser}.get(stp, 0)
        left, dropped = left - new, dropped + new
        if old:
            prevented.append((one.order_id, old))
    is_kept = left and time_in_force in ("GTC", "PO")
    status = "open" if is_kept else "canceled" if left or dropped else "filled"
    return status, trades, dropped, prevented


@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(submissions)
def test_orders_lead_to_what_a_plain_list_of_orders_says(plan):
    a_market = Market(THIN, seed=7, start_ns=START)
    for side, size, through, time_in_force, owner, stp, seconds in plan:
        a_market.advance(a_market.now_ns + seconds * 10**9)
        best = a_market.best_ask if side == "buy" else a_market.best_bid
        sign = 1 if side == "buy" else -1
        limit = best + sign * (200 if through is None else through)
        if through is None and time_in_force == "PO":
            time_in_force = "IOC"
        kept = time_in_force if through is not None or time_in_force != "GTC" else "IOC"
        status, trades, dropped, prevented = expected(a_market, side, size, limit, kept, owner, stp)

        done = a_market.submit(
            side,
            size,
            price_ticks=None if through is None else limit,
            worst_ticks=limit if through is None else None,
            time_in_force=time_in_force,
            owner=owner,
            stp=stp,
        )

        assert (done.status, done.dropped) == (status, dropped)
        assert done.prevented == tuple(Prevented(*each) for each in prevented)
        assert [
            (one.maker_order_id, one.price_ticks, one.size)
            for one in done.events
            if isinstance(one, Trade)
        ] == trades
        filled = sum(traded for _, _, traded in trades)
        assert done.filled == filled
        assert done.resting == (size - filled - dropped if status == "open" else 0)
        assert a_market.best_bid < a_market.best_ask


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_liquidation_is_filled_to_its_end_though_the_book_is_not_enough(side):
    a_market = market("KCSUSDTM")
    other = "sell" if side == "buy" else "buy"
    size = 3 * sum(each for _, each in a_market.levels(other))

    done = a_market.submit(side, size, owner="me", whole=True)

    assert (done.status, done.filled, done.resting) == ("filled", size, 0)
    assert sum(event.size for event in done.events if isinstance(event, Trade)) == size
    assert a_market.best_bid < a_market.best_ask
