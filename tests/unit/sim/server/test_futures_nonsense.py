"""Signed futures calls with values that make no sense: each is answered, in KuCoin's envelope."""

from random import Random

import pytest

from kucoin_research.sim.server.rest import ROUTES
from tests.unit.sim.futures_caller import Caller, fields, quiet_exchange

ROUNDS = 15
NAMES = sorted(
    fields(
        "symbol symbols side type size qty valueQty price leverage marginMode stop stopPrice level "
        "stopPriceType triggerStopUpPrice triggerStopDownPrice clientOid reduceOnly closeOrder stp "
        "timeInForce remark status startAt endAt currentPage pageSize orderIdsList clientOidsList "
        "offset maxCount forward currency amount recAccountType payAccountType margin bizNo from "
        "to withdrawAmount positionMode totalMargin limit pageId tradeTypes tag positionSide"
    )
)
NONSENSE = [
    "", "0", "-1", "1", "3", "0.5", "1e30", "1e-30", "NaN", "Infinity", "9" * 19, "x" * 300, "é'\"",
    "true", "[", "[1]", "[null]", '["XBTUSDTM"]', '[{"symbol":"XBTUSDTM","clientOid":"a"}]', "{}",
    "null", "XBTUSDTM", "KCSUSDTM", "NOPE", "buy", "up", "limit", "market", "CROSS", "ISOLATED",
    "USDT", "XBT", "MAIN", "80000", "TP", "active",
]  # fmt: skip
USUAL = {
    "symbol": "XBTUSDTM", "side": "buy", "clientOid": "a", "type": "limit", "price": "80000",
    "size": "1", "marginMode": "ISOLATED", "leverage": "3",
}  # fmt: skip
CALLS = [
    (route.method, route.path)
    for _, route in ROUTES["futures"]
    if route.is_private and route.name != "bullet-private"
]


@pytest.fixture(scope="module")
def caller():
    with quiet_exchange(symbols=["XBTUSDTM", "KCSUSDTM"]) as running:
        running.demo_account.place("XBTUSDTM", "buy", 3)
        yield Caller(running)


def nonsense(random):
    made = USUAL if random.random() < 0.6 else {}
    names = random.sample(NAMES, random.randint(0, 6))
    return made | {name: random.choice(NONSENSE) for name in names}


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_nonsense_gets_a_code_and_a_sentence(caller, method, path):
    random = Random(f"{method} {path}")

    for _ in range(ROUNDS):
        values = nonsense(random)
        place = path.replace("{orderId}", "1").replace("{clientOid}", "a")
        in_body = method != "GET" and random.random() < 0.8
        body, query = (values, {}) if in_body else (None, values)
        if in_body and random.random() < 0.2:
            body = [values, {}]
        reply = caller.reply(method, place, body, **query)

        found = reply.json()
        assert reply.status_code == 200, (values, found)
        assert found["code"] == "200000" or found["msg"], (values, found)
