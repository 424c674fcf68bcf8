"""Hundreds of synthetic contracts, cheap and reproducible."""

import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.market import BookChange, Market, Trade
from kucoin_research.sim.engine.quiet_contracts import quiet_listings
from tests.unit.sim.client import data_of, open_exchange, record

START = 1_767_571_200_000_000_000
NAMES = [f"SIM{number:03d}USDTM" for number in range(1, 31)]


def test_names_follow_each_other():
    assert list(quiet_listings(30)) == NAMES
    assert quiet_listings(0) == {}


def test_a_quiet_market_moves_a_little_and_is_always_the_same():
    listing = quiet_listings(3)["SIM003USDTM"]
    one, two = Market(listing, 7, START), Market(listing, 7, START)

    events = one.advance(START + 600 * 10**9)

    assert events == two.advance(START + 300 * 10**9) + two.advance(START + 600 * 10**9)
    assert 300 < sum(isinstance(event, BookChange) for event in events) < 3_000
    assert sum(isinstance(event, Trade) for event in events) > 20
    assert one.best_bid < one.best_ask
    assert one.stats_24h(one.now_ns).volume > 0
    assert len({one.mark_price(START + second * 10**9) for second in range(600)}) > 5


def test_they_are_offered_beside_the_catalog():
    with open_exchange(symbols=None, quiet_contracts=30) as exchange:
        assert exchange.symbols == [*LISTINGS, *NAMES]
        rows = data_of(exchange, "/api/v1/contracts/active")
        assert {row["symbol"] for row in rows} >= set(NAMES)
        assert {row["settleCurrency"] for row in rows if row["symbol"] in NAMES} == {"USDT"}


def test_all_of_them_stream_the_same_bytes_each_time():
    def frames():
        with open_exchange(quiet_contracts=30) as exchange:
            names = ",".join(NAMES)
            topics = {f"/contractMarket/tickerV2:{names}", f"/contractMarket/execution:{names}"}
            with record(exchange, "futures", topics, 20) as client:
                return [text for text in client.frames if '"type":"message"' in text], [
                    exchange.tape(name).trades for name in NAMES
                ]

    one, trades = frames()
    two, _ = frames()

    length = min(len(one), len(two))
    assert length > 200
    assert one[:length] == two[:length]
    assert sum('"subject":"match"' in text for text in one) == sum(map(len, trades))


@pytest.mark.parametrize("count", [-1, 1_000])
def test_there_can_be_so_many(count):
    with pytest.raises(InvalidInput, match="quiet_contracts"):
        open_exchange(quiet_contracts=count)
