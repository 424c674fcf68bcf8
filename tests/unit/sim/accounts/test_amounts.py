from decimal import Decimal

import pytest

from kucoin_research.sim import OrderRefused
from kucoin_research.sim.accounts.amounts import check_amount, movable
from tests.unit.sim.signed import MarketFloor


@pytest.mark.parametrize("amount", ["1e-15", "9999999999999", "-5", "0.10000000000000000"])
def test_an_amount_whose_sum_is_exact_is_taken(amount):
    check_amount(Decimal(amount), Decimal(0), code="1")


@pytest.mark.parametrize(
    ("amount", "owned", "words"),
    [
        ("1e-16", "0", "more than 15 decimals"),
        ("1e13", "0", "too large"),
        ("1", "9999999999999", "too large"),
    ],
)
def test_an_amount_whose_sum_may_lose_digits_is_refused(amount, owned, words):
    with pytest.raises(OrderRefused, match=words) as refused:
        check_amount(Decimal(amount), Decimal(owned), code="260200")
    assert refused.value.code == "260200"


def test_the_movable_part_of_an_amount_is_taken():
    assert movable(Decimal("1.0000000000000009")) == 1
    assert movable(Decimal(-1)) == 0


@pytest.mark.parametrize("wallet", ["futures", "spot", "margin"])
def test_no_coin_is_lost_or_made_where_an_amount_is_too_fine(wallet):
    floor = MarketFloor("XBTUSDTM")
    me = floor.account()
    source = {"futures": "futures", "spot": "trade", "margin": "margin"}[wallet]

    with pytest.raises(OrderRefused):
        me.deposit(wallet, "USDT", "1e-26")
    with pytest.raises(OrderRefused):
        me.transfer(source, "main", "USDT", "1e-26")

    assert len(floor.me.book.ledger) == 0
    assert floor.me.main.total("USDT") == 0
