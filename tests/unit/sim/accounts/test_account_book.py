from collections import defaultdict
from decimal import Decimal

import pytest

from kucoin_research.sim.accounts.ledger import Position
from kucoin_research.sim.engine.catalog import LISTINGS
from tests.unit.sim.signed import MarketFloor

SYMBOLS = ["XBTUSDTM", "XBTUSDM", "BTC-USDT"]


@pytest.fixture(scope="module")
def traded():
    """Three symbols after five minutes of random orders, in which funding is settled."""
    floor = MarketFloor(*SYMBOLS, start="2026-01-05T07:57:00Z")
    floor.me.futures["XBT"] = Decimal(5)
    opening = {
        **{("trade", coin): floor.me.spot.total(coin) for coin in floor.me.spot.currencies},
        **{("futures", coin): amount for coin, amount in floor.me.futures.items()},
    }
    for symbol in SYMBOLS:
        floor.order_entry.start_trader(floor.me, symbol, 240, 3)
    floor.run(300)
    return floor, opening


def test_the_ledger_adds_up_to_the_balances(traded):
    floor, opening = traded
    sums = defaultdict(Decimal, opening)
    for row in floor.me.book.ledger:
        sums[row.wallet, row.currency] += row.amount
        assert sums[row.wallet, row.currency] == row.balance
    for (wallet, coin), total in sums.items():
        now = floor.me.futures[coin] if wallet == "futures" else floor.me.spot.total(coin)
        assert total == now, (wallet, coin)
    assert len(floor.me.book.ledger) > 100


def test_an_order_has_the_sums_of_its_fills(traded):
    floor, _ = traded
    by_order = defaultdict(list)
    for row in floor.me.book.fills:
        by_order[row.fill.order_id].append(row)
    orders = [
        order
        for market in ("futures", "spot")
        for order in floor.me.archive.newest_first(market)
        if hasattr(order, "filled")
    ]
    for order in orders:
        rows = by_order.pop(order.order_id, [])
        assert sum(row.fill.size for row in rows) == order.filled
        assert sum(row.value for row in rows) == order.value
        assert sum(row.fill.fee for row in rows) == order.fees
        assert order.filled + order.canceled + order.remaining == order.size
        assert order.is_active == (order.order_id in floor.me.orders)
    assert by_order == {}
    assert {order.market for order in orders} == {"futures", "spot"}


def test_positions_and_fundings_have_what_the_wallet_got(traded):
    floor, opening = traded
    book = floor.me.book
    assert len(book.fundings) == 2
    for coin in ("USDT", "XBT"):
        closed = sum(one.profit for one in book.closed_positions if one.settle == coin)
        open_ones = [one for one in floor.me.positions.values() if one.listing.settle == coin]
        still = sum(one.gross_pnl - one.fees + one.funding for one in open_ones if one.quantity)
        assert opening["futures", coin] + closed + still == floor.me.futures[coin]
    assert len(book.closed_positions) > 3


def test_rows_are_numbered_in_their_order(traded):
    book = traded[0].me.book
    for rows in (book.ledger, book.fills, book.closed_positions):
        numbers = [row.row_id for row in rows]
        assert numbers == sorted(set(numbers))


def test_a_fill_through_zero_shares_its_fee_and_ends_the_position():
    position = Position(LISTINGS["XBTUSDTM"])
    position.fill("buy", Decimal(100), 10, Decimal("0.5"), 1_000)
    booked = position.fill("sell", Decimal(110), 15, Decimal("0.6"), 2_000)

    assert booked.closing_fee == Decimal("0.4")
    assert booked.profit == Decimal("0.1")
    ended = booked.ended
    assert (ended.lots, ended.entry_price, ended.exit_price) == (10, 100, 110)
    assert (ended.fees, ended.gross_profit) == (Decimal("0.9"), Decimal("0.1"))
    assert (position.quantity, position.fees, position.opened_ms) == (-5, Decimal("0.2"), 2_000)


def test_the_average_exit_of_an_inverse_position_is_harmonic():
    position = Position(LISTINGS["XBTUSDM"])
    position.fill("buy", Decimal(50_000), 1_000, Decimal(0), 1_000)
    position.fill("sell", Decimal(50_000), 400, Decimal(0), 2_000)
    booked = position.fill("sell", Decimal(60_000), 600, Decimal(0), 3_000)

    exact = Decimal(1_000) / (Decimal(400) / 50_000 + Decimal(600) / 60_000)
    assert float(booked.ended.exit_price) == pytest.approx(float(exact), rel=1e-9)
    assert float(booked.ended.entry_price) == pytest.approx(50_000)
