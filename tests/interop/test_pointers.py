"""The README's lines that point other clients here, run as they stand."""

import pytest

from kucoin_research.api.other_clients import POINTERS
from kucoin_research.sim import DEMO_ACCOUNT
from tests.interop.processes import client_process, exchange_process, messages

LOGIN = [DEMO_ACCOUNT.key, DEMO_ACCOUNT.secret, DEMO_ACCOUNT.passphrase]


@pytest.mark.parametrize(
    ("script", "client"),
    [("ccxt", "ccxt, ccxt.pro (Python)"), ("sdk", "kucoin-universal-sdk (Python)")],
)
def test_the_line_of_the_readme_is_all_that_a_client_needs(python, script, client):
    plan = {"line": POINTERS[client], "login": LOGIN}

    with (
        exchange_process(speed=1.0, start="2026-01-05") as addresses,
        client_process(python, "pointed.py", script, addresses, plan) as child,
    ):
        found = [line["data"] for line in messages(child)]

    if script == "sdk":
        assert found == [DEMO_ACCOUNT.key, 10_000.0]
    else:
        spot_markets, spot_money, futures_markets, futures_money, streamed = found
        assert spot_markets > futures_markets > 5  # the first has both
        assert (spot_money, futures_money) == (10_000.0, 10_000.0)
        assert streamed == ["BTC/USDT:USDT", "BTC/USDT"]
