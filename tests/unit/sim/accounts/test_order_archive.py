"""The orders of an account by id, by the client's own id, and as they end."""

from dataclasses import dataclass

from kucoin_research.sim.accounts.order_archive import OrderArchive
from kucoin_research.sim.accounts.orders import OrderRequest


@dataclass
class Order:
    order_id: str
    client_oid: str = ""
    market: str = "spot"

    @property
    def request(self):
        return OrderRequest(symbol="BTC-USDT", side="buy", client_oid=self.client_oid)


def filled(*orders):
    archive = OrderArchive()
    for order in orders:
        archive.add(order)
    return archive


def test_orders_are_found_on_their_market_only():
    mine, contract = Order("1", "a"), Order("2", "a", market="futures")
    archive = filled(mine, contract)

    assert archive.find("spot", "1") is archive.find_client_oid("spot", "a") is mine
    assert archive.find_client_oid("futures", "a") is contract
    assert archive.find("spot", "2") is None
    assert archive.find_client_oid("spot", "b") is None
    assert list(archive.newest_first("spot")) == [mine]


def test_done_orders_come_last_one_first_and_keep_their_numbers():
    first, second, third = (Order(str(number)) for number in range(3))
    archive = filled(first, second, third)

    archive.end(third)
    archive.end(first)
    before = dict(archive.done("spot"))
    archive.end(second)

    assert [order for _, order in archive.done("spot")] == [second, first, third]
    numbers = [number for number, _ in archive.done("spot")]
    assert numbers == sorted(numbers, reverse=True)
    assert min(numbers) > 0
    assert before.items() <= dict(archive.done("spot")).items()
    assert list(archive.done("futures")) == []


def test_the_order_that_was_done_first_is_forgotten_and_reported():
    forgotten = []
    archive = OrderArchive(kept=2)
    archive.call_when_forgotten(forgotten.append)
    orders = [Order(str(number), client_oid=f"c{number}") for number in range(4)]
    for order in orders:
        archive.add(order)

    for order in (orders[2], orders[0], orders[3]):
        archive.end(order)

    assert forgotten == [orders[2]]
    assert archive.find("spot", "2") is None
    assert archive.find_client_oid("spot", "c2") is None
    assert archive.find("spot", "0") is orders[0]
    assert archive.find("spot", "1") is orders[1]  # it is open
