"""Every REST reply has exactly the fields that KuCoin's have."""

import pytest

from tests.unit.sim.client import get, open_exchange
from tests.unit.sim.reply_fields import FIELDS, ONLY_SIMULATED, PUBLIC, SIGNED, at
from tests.unit.sim.signed import KEY, signed


@pytest.fixture(scope="module")
def exchange():
    with open_exchange() as running:
        yield running


@pytest.mark.parametrize(("market", "call", "place", "fields"), PUBLIC + ONLY_SIMULATED)
def test_public_replies_have_kucoins_fields(exchange, market, call, place, fields):
    data = get(exchange, f"/api/{call}", market).json()["data"]

    assert sorted(at(data, place)) == sorted(FIELDS[fields])


@pytest.mark.parametrize(("market", "call", "place", "fields"), SIGNED)
def test_replies_about_an_account_have_kucoins_fields(exchange, market, call, place, fields):
    data = signed(exchange, "GET", f"/api/{call}", market).json()["data"]

    assert sorted(at(data, place)) == sorted(FIELDS[fields])


@pytest.mark.parametrize("mode", ["CROSS", "ISOLATED"])
def test_positions_have_kucoins_fields(mode):
    with open_exchange(symbols=["XBTUSDTM"]) as x:
        account = x.account(KEY)
        account.set_margin_mode("XBTUSDTM", mode)
        account.place("XBTUSDTM", "buy", 1)
        [listed] = signed(x, "GET", "/api/v1/positions").json()["data"]
        one = signed(x, "GET", "/api/v1/position?symbol=XBTUSDTM").json()["data"]

    wanted = FIELDS["position"] + (FIELDS["isolated"] if mode == "ISOLATED" else [])
    assert sorted(listed) == sorted(one) == sorted(wanted)
    assert listed["id"] == one["id"]
    assert listed["id"].isdigit()
    assert listed["maintainMargin"] == listed["maintMarginReq"]
    assert listed["isInverse"] is False


@pytest.mark.parametrize(
    ("market", "call"),
    [
        ("futures", "v1/kline/query?symbol=XBTUSDTM&granularity=1"),
        ("spot", "v1/market/candles?symbol=BTC-USDT&type=1min"),
    ],
)
def test_candles_have_seven_columns(exchange, market, call):
    rows = get(exchange, f"/api/{call}", market).json()["data"]

    assert {len(row) for row in rows} == {7}
