"""Calls that KuCoin has and this exchange does not serve, and the page that lists them."""

import re

import pytest

from kucoin_research.sim.server.not_served import calls
from kucoin_research.sim.server.rest import ROUTES
from scripts import calls as script
from tests.unit.sim.client import ask, base_url, open_exchange


@pytest.fixture(scope="module")
def exchange():
    with open_exchange() as running:
        yield running


def answer(exchange, method, path, market):
    reply = ask(method, base_url(exchange, market) + path)
    body = reply.json()
    assert (body["retry"], body["success"]) == (False, False)
    assert body["code"] == str(reply.status_code)
    return reply.status_code, body["msg"]


KUCOINS = "is a call of KuCoin's that this exchange does not serve"
LISTED = "docs/calls.md lists those that it serves."


@pytest.mark.parametrize(
    ("market", "call", "message"),
    [
        ("spot", "GET /api/v1/withdrawals/5f1", f"{KUCOINS} (deposits and withdrawals); {LISTED}"),
        ("futures", "POST /api/v1/sub/api-key", f"{KUCOINS} (sub-accounts); {LISTED}"),
        ("futures", "GET /api/v1/market/stats", "is a call of the spot address"),
        ("spot", "GET /api/v1/contracts/active", "is a call of the futures address"),
    ],
)
def test_a_call_that_kucoin_has_is_refused_with_a_sentence(exchange, market, call, message):
    status, found = answer(exchange, *call.split(), market)

    assert status == 404
    assert found.startswith(f"{call} {message}")


def test_what_kucoin_has_not_is_refused_as_by_kucoin(exchange):
    assert answer(exchange, "GET", "/api/v1/nonsense", "spot") == (404, "Not Found")


def test_a_method_that_kucoin_has_for_a_served_path_gets_the_sentence(exchange):
    status, message = answer(exchange, "POST", "/api/ua/v1/account/mode", "spot")

    assert (status, message[:32]) == (404, "POST /api/ua/v1/account/mode is ")


def test_another_method_gets_kucoins_405(exchange):
    assert answer(exchange, "DELETE", "/api/v1/timestamp", "spot") == (405, "Method Not Allowed")


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_every_route_is_a_call_of_kucoins(market):
    def plain(call):
        return call.method, re.sub(r"\{\w+\}", "{}", call.path)

    known = {plain(call) for call in calls() if call.market == market}

    # Answers what KuCoin answers to depths that it does not have.
    made_up = {("GET", "/api/v1/level2/{}")}
    assert {plain(route) for _, route in ROUTES[market]} - made_up <= known


def test_no_call_is_listed_twice():
    listed = [call._replace(subject="") for call in calls()]

    assert len(listed) == len(set(listed))


def test_the_page_lists_what_is_served_and_what_is_not():
    assert script.PAGE.read_text() == script.page(), "run `python scripts/calls.py --write`"
