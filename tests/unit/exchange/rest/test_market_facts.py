"""The figures of all symbols of a market, by one call."""

import logging

import pytest

from kucoin_research.exchange.rest.market_facts import MarketFacts
from tests.unit.exchange.rest import answering
from tests.unit.exchange.rest.answering import ok

# Against servers that live in real time: what is tested is how their answers are read.
REAL_TIME = True

exchange = answering.exchange
waiter = answering.waiter
rest = answering.rest

DAY = 1_700_000_000_000
LISTED = {
    "symbol": "XBTUSDTM", "lastTradePrice": 86_200.5, "priceChgPct": -5e-3, "volumeOf24h": 12069.2,
    "turnoverOf24h": 1.08e9, "markPrice": 86_199.1, "indexPrice": 86_210.0, "fundingFeeRate": 1e-4,
    "nextFundingRateDateTime": DAY, "nextFundingRateTime": 8_192_636, "openInterest": "6748176",
    "multiplier": 0.001, "tickSize": 0.1, "fairMethod": "FundingRate",
}  # fmt: skip


def test_a_row_of_the_list_of_contracts(exchange, rest):
    exchange.answers = [ok([LISTED])]

    (row,) = rest.market_facts()

    assert row == MarketFacts(
        row.local_timestamp,
        "XBTUSDTM",
        last_price=86_200.5,
        price_change_pct=-5e-3,
        volume=12_069.2,
        turnover=1.08e9,
        mark_price=86_199.1,
        index_price=86_210.0,
        funding_rate=0.0001,
        next_funding_ns=DAY * 1_000_000,
        funding_in_ms=8_192_636,
        open_interest=6_748_176.0,
        contract_multiplier=0.001,
        tick_size=0.1,
    )
    assert [each.path for each in exchange.asked] == ["/api/v1/contracts/active"]


def test_what_is_missing_is_none_and_so_is_a_price_of_zero(exchange, rest):
    exchange.answers = [ok([{"symbol": "A", "lastTradePrice": 0, "markPrice": None}])]

    (row,) = rest.market_facts()

    assert row[1:] == ("A", *[None] * 12)


@pytest.mark.parametrize("name", ["nextFundingRateDateTime", "openInterest", "fundingFeeRate"])
def test_a_malformed_figure_costs_no_more_than_itself(exchange, rest, caplog, name):
    exchange.answers = [ok([LISTED | {name: "soon"}, LISTED | {"symbol": "B"}])]

    with caplog.at_level(logging.WARNING):
        odd, good = rest.market_facts()

    assert sum(value is None for value in odd) == 1
    assert None not in good
    assert "the figures of all contracts" in caplog.text


def test_pairs_have_the_figures_of_their_day(exchange, rest):
    pair = {"symbol": "BTC-USDT", "last": "2", "changeRate": "0.01", "vol": "3", "volValue": "6"}
    exchange.answers = [ok({"ticker": [pair], "time": DAY})]

    (row,) = rest.market_facts("spot")

    assert row[1:] == ("BTC-USDT", 2.0, 0.01, 3.0, 6.0, *[None] * 8)
