"""Whatever the values of a signed spot call are, the answer is one of KuCoin's envelopes."""

import itertools
import re

import pytest

from kucoin_research.sim.server.rest import ROUTES
from tests.unit.sim.calls import still_exchange

CALLS = sorted(
    {(route.method, route.path) for _, route in ROUTES["spot"] if route.account_answer is not None}
)
SOUND = {
    "symbol": "BTC-USDT", "side": "buy", "type": "limit", "price": "80000", "size": "0.001",
    "stopPrice": "82000", "limitPrice": "90000", "timeout": 5, "currency": "USDT", "amount": "1",
    "symbols": "BTC-USDT", "orderId": "x", "clientOid": "c",
    "orderList": [{"symbol": "BTC-USDT", "side": "buy", "price": "80000", "size": "0.001"}],
}  # fmt: skip
WRONG = ["", "0", "-1", "NaN", "1e999999", "9" * 5_000, "ÿ\u2028", "null", [], {}, [1], [{}], True]
NAMES = [
    "symbol", "side", "type", "price", "size", "funds", "stp", "timeInForce", "cancelAfter",
    "clientOid", "remark", "stopPrice", "limitPrice", "newPrice", "newSize", "cancelSize",
    "timeout", "symbols", "orderIds", "orderList", "currency", "amount", "from", "to",
    "fromAccountType", "startAt", "endAt", "currentPage", "pageSize", "pageNum", "lastId", "limit",
    "status", "direction", "bizType", "quoteCurrency", "currencyType", "stop", "tradeType",
]  # fmt: skip


@pytest.fixture(scope="module")
def caller():
    with still_exchange(private_rate_limit=10**9) as (_, caller):
        yield caller


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_garbage_is_answered_in_an_envelope(caller, method, path):
    shift = len(path) % len(WRONG)  # so that calls meet different values
    wrong = itertools.cycle(WRONG[shift:] + WRONG[:shift])
    path = re.sub(r"\{\w+\}", "x", path)

    for name in NAMES:
        values = SOUND | {name: next(wrong)}
        reply = caller.send(method, path, **values)
        assert reply.status_code in (200, 400), (values, reply.text[:300])
        body = reply.json()
        assert body["code"] == "200000" or body["msg"], values
