from decimal import Decimal

import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.sim import OrderRefused
from kucoin_research.sim.accounts.account_book import WALLETS
from tests.unit.sim.signed import MarketFloor

CONTRACT = "XBTUSDTM"


def owned(floor, wallet, coin):
    if wallet == "futures":
        return floor.me.futures[{"BTC": "XBT"}.get(coin, coin)]
    return floor.me.coins(wallet).total(coin)


@pytest.mark.parametrize("coin", ["USDT", "BTC"])
@pytest.mark.parametrize("source", ["trade", "futures"])
@pytest.mark.parametrize("target", WALLETS)
def test_coins_move_from_wallet_to_wallet(coin, source, target):
    if source == target:
        return
    floor = MarketFloor(CONTRACT)
    floor.listen("spot", "/account/balance")
    floor.listen("futures", "/contractAccount/wallet")
    before = {wallet: owned(floor, wallet, coin) for wallet in WALLETS}

    floor.account().transfer(source, target, coin, "0.25")

    after = {wallet: owned(floor, wallet, coin) for wallet in WALLETS}
    changed = {wallet: after[wallet] - before[wallet] for wallet in WALLETS}
    assert changed == dict.fromkeys(WALLETS, 0) | {
        source: Decimal("-0.25"),
        target: Decimal("0.25"),
    }
    rows = list(floor.me.book.ledger)
    assert [(row.wallet, row.amount) for row in rows] == [
        (source, Decimal("-0.25")),
        (target, Decimal("0.25")),
    ]
    assert [row.balance for row in rows] == [after[source], after[target]]
    assert len(floor.frames) == 2


def test_a_transfer_with_a_known_id_is_not_made_twice():
    floor = MarketFloor(CONTRACT)
    move = floor.order_entry.transfers.move
    first = move(floor.me, "trade", "main", "USDT", Decimal(1), "once")
    assert move(floor.me, "trade", "main", "USDT", Decimal(1), "once") is first
    assert owned(floor, "main", "USDT") == 1
    assert len(floor.me.book.transfers) == 1


@pytest.mark.parametrize(
    ("source", "target", "amount", "code"),
    [
        ("trade", "trade", "1", "260210"),
        ("trade", "main", "0", "260200"),
        ("trade", "main", "-1", "260200"),
        ("trade", "main", "10000.01", "230003"),
        ("main", "trade", "1", "230003"),
        ("futures", "trade", "10000.01", "230003"),
    ],
)
def test_transfers_that_cannot_be_are_refused(source, target, amount, code):
    floor = MarketFloor(CONTRACT)
    with pytest.raises(OrderRefused) as refused:
        floor.account().transfer(source, target, "USDT", amount)
    assert refused.value.code == code
    assert len(floor.me.book.ledger) == 0


def test_margin_and_unrealised_profit_stay():
    floor = MarketFloor(CONTRACT)
    me = floor.account()
    me.place(CONTRACT, "buy", 100)
    wallet = me.futures_wallet()
    free = floor.order_entry.transfers.transferable(floor.me, "futures", "USDT")
    assert free == wallet.available == wallet.balance - wallet.isolated_position
    me.transfer("futures", "trade", "USDT", free)
    assert me.futures_wallet().available == 0


def test_an_unknown_wallet_is_named():
    with pytest.raises(InvalidInput, match="no wallet 'spot'; wallets: main, trade"):
        MarketFloor(CONTRACT).account().transfer("spot", "main", "USDT", 1)


def test_borrowed_coins_stay_in_the_margin_account():
    floor = MarketFloor("BTC-USDT")
    me = floor.account()
    me.borrow("USDT", 900)  # on 1,000 of its own: 900 of 1,900
    with pytest.raises(OrderRefused) as refused:
        me.transfer("margin", "main", "USDT", 401)
    assert refused.value.code == "230003"
    me.transfer("margin", "main", "USDT", 400)  # 900 of 1,500 are 60 %
    me.repay("USDT", 900)
    me.transfer("margin", "main", "USDT", 600)
