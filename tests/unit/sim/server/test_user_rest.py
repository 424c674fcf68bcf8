"""Who the caller is: the calls of a client before its first order."""

import pytest

from kucoin_research.sim import DEMO_ACCOUNT
from tests.unit.sim.client import get, open_exchange
from tests.unit.sim.signed import signed


@pytest.fixture(scope="module")
def exchange():
    with open_exchange(start="2026-01-05T00:00:00Z") as running:
        yield running


def asked(exchange, path):
    reply = signed(exchange, "GET", path, "spot").json()
    assert reply["code"] == "200000", reply
    return reply["data"]


def test_an_account_is_of_the_lowest_level_and_has_no_sub_accounts(exchange):
    data = asked(exchange, "/api/v2/user-info")

    assert set(data) == {
        "level", "subQuantity", "spotSubQuantity", "marginSubQuantity", "futuresSubQuantity",
        "optionSubQuantity", "maxSubQuantity", "maxDefaultSubQuantity", "maxSpotSubQuantity",
        "maxMarginSubQuantity", "maxFuturesSubQuantity", "maxOptionSubQuantity",
    }  # fmt: skip
    assert set(data.values()) == {0}


def test_a_key_knows_itself(exchange):
    data = asked(exchange, "/api/v1/user/api-key")

    assert (data["apiKey"], data["apiVersion"], data["isMaster"]) == (DEMO_ACCOUNT.key, 3, True)
    assert {"General", "Spot", "Margin", "Futures"} <= set(data["permission"].split(","))
    assert data["createdAt"] == 1_767_571_200_000


def test_accounts_are_high_frequency_ones(exchange):
    assert asked(exchange, "/api/v1/hf/accounts/opened") is True


def test_the_spot_account_answers_to_its_former_name(exchange):
    former = asked(exchange, "/api/v1/accounts?type=trade_hf")

    assert former
    assert {row.pop("type") for row in former} == {"trade_hf"}
    now = asked(exchange, "/api/v1/accounts?type=trade")
    assert former == [{name: row[name] for name in row if name != "type"} for row in now]


def test_the_margin_account_is_not_listed_unless_asked_for(exchange):
    assert {row["type"] for row in asked(exchange, "/api/v1/accounts")} == {"trade"}
    assert {row["type"] for row in asked(exchange, "/api/v1/accounts?type=margin")} == {"margin"}


@pytest.mark.parametrize(
    "path", ["/api/v2/user-info", "/api/v1/user/api-key", "/api/v1/hf/accounts/opened"]
)
def test_strangers_are_not_answered(exchange, path):
    assert get(exchange, path, "spot").json()["code"] == "400001"
