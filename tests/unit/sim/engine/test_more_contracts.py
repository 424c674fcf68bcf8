"""Hundreds of contracts beyond the catalog: varied, and the same by REST and by stream."""

import re

import pytest

from kucoin_research.errors import InvalidInput, UnknownSymbol
from kucoin_research.sim.engine.catalog import HOUR_MS, LISTINGS
from kucoin_research.sim.engine.market import Market, Trade
from kucoin_research.sim.engine.more_contracts import MOST_CONTRACTS, contract_listings
from tests.unit.sim.client import data_of, open_exchange, record

START = 1_767_571_200_000_000_000
LISTED = contract_listings(60)
KNOWN = [symbol for symbol, listing in LISTINGS.items() if listing.market == "futures"]


def test_the_catalog_counts_and_a_larger_universe_begins_with_a_smaller_one():
    assert contract_listings(len(KNOWN)) == {}
    few, many = list(contract_listings(20)), list(contract_listings(MOST_CONTRACTS))

    assert len(few) == 20 - len(KNOWN)
    assert many[: len(few)] == few
    assert few[:3] == ["XRPUSDTM", "BNBUSDTM", "ADAUSDTM"]
    assert len({*many, *KNOWN}) == MOST_CONTRACTS
    assert all(re.fullmatch("[A-Z]{2,8}USDTM", symbol) for symbol in many)


def test_the_facts_of_the_contracts_differ_and_fit_each_other():
    listings = contract_listings(700).values()

    for listing in listings:
        assert 900 < listing.start_price / float(listing.tick_size) < 200_000, listing.symbol
        assert 0.05 < listing.multiplier * listing.start_price < 50, listing.symbol
    assert {listing.funding_interval_ms // HOUR_MS for listing in listings} == {1, 4, 8}
    assert len({listing.tick_size for listing in listings}) > 6
    assert len({listing.multiplier for listing in listings}) > 6


def test_most_contracts_trade_slowly_and_a_few_do_not():
    listings = list(contract_listings(700).values())

    def trades(listing):
        market = Market(listing, 7, START)
        events = market.advance(START + 600 * 10**9)
        return sum(event.size for event in events if isinstance(event, Trade))

    busy, slow = map(trades, listings[:4]), map(trades, listings[-4:])
    assert min(busy) > 5 * max(slow) > 0


def test_all_lists_of_a_large_universe_agree():
    with open_exchange(symbols=None, contracts=60) as exchange:
        rows = {row["symbol"]: row for row in data_of(exchange, "/api/v1/contracts/active")}
        tickers = {row["symbol"]: row for row in data_of(exchange, "/api/v1/allTickers")}
        name = "ADAUSDTM"
        ticker = data_of(exchange, f"/api/v1/ticker?symbol={name}")
        contract = data_of(exchange, f"/api/v1/contracts/{name}")
        mark = data_of(exchange, f"/api/v1/mark-price/{name}/current")
        funding = data_of(exchange, f"/api/v1/funding-rate/{name}/current")

    assert list(rows) == list(tickers) == [*KNOWN, *LISTED]
    assert tickers[name] == ticker
    assert rows[name] == contract
    assert float(ticker["price"]) == contract["lastTradePrice"]
    assert (mark["value"], mark["indexPrice"]) == (contract["markPrice"], contract["indexPrice"])
    assert funding["value"] == contract["fundingFeeRate"]
    assert funding["granularity"] == contract["fundingRateGranularity"]
    # The day of each contract went its own way.
    assert len({row["priceChgPct"] for row in rows.values()}) > 40
    assert all(row["turnoverOf24h"] > 0 for row in rows.values())


def test_last_prices_agree_with_the_books_before_anything_is_traded():
    listings = list(contract_listings(700).values())[::7]
    for start in (START, START + 37_123_456_789, START + 600 * 10**9 + 1):
        for listing in listings:
            market = Market(listing, 7, start)
            trade, last = market.last_trade, market.stats_24h(start).last
            assert trade.time_ns < start
            assert market.price(trade.price_ticks) == last
            bid, ask = market.best_bid, market.best_ask
            assert bid - 3 * (ask - bid) <= trade.price_ticks <= ask + 3 * (ask - bid)


def test_a_ticker_names_the_last_trade_before_the_start_and_its_time():
    with open_exchange(symbols=None, contracts=130) as exchange:
        exchange.pause()
        rows = data_of(exchange, "/api/v1/allTickers")
        tickers = [row for row in rows if row["symbol"] not in KNOWN]
        ticker = min(tickers, key=lambda row: row["ts"])  # of one that has not traded since
        name = ticker["symbol"]
        trades = data_of(exchange, f"/api/v1/trade/history?symbol={name}")
        now_ms = data_of(exchange, "/api/v1/timestamp")
        minutes = f"granularity=1&from={now_ms - 3_600_000}&to={now_ms}"
        candles = data_of(exchange, f"/api/v1/kline/query?symbol={name}&{minutes}")

    assert all(row["tradeId"] and row["size"] and row["ts"] < now_ms * 10**6 for row in tickers)
    assert ticker["tradeId"] == trades[0]["tradeId"]
    assert (ticker["size"], ticker["ts"]) == (1, trades[0]["ts"])
    opened, *_, close, _, _ = candles[-1]
    assert opened <= ticker["ts"] // 10**6 < opened + 60_000
    assert close == float(ticker["price"])


def test_a_row_that_nobody_watched_agrees_with_the_stream_that_comes_later():
    with open_exchange(symbols=None, contracts=60) as exchange:
        name = "LINKUSDTM"
        exchange.pause()
        data_of(exchange, "/api/v1/allTickers")
        with record(exchange, "futures", {"/contractMarket/execution:XBTUSDTM"}, 30):
            pass
        row = data_of(exchange, f"/api/v1/ticker?symbol={name}")
        with record(exchange, "futures", {f"/contractMarket/execution:{name}"}, 5) as client:
            streamed = [text for text in client.frames if '"subject":"match"' in text]
        trades = exchange.tape(name).trades

    numbers = [trade.sequence for trade in trades]
    ticks = trades[numbers.index(row["sequence"])].price_ticks
    assert ticks * float(LISTED[name].tick_size) == pytest.approx(float(row["price"]))
    after = [int(re.search(r'"sequence":(\d+)', text)[1]) for text in streamed]
    assert after == [number for number in numbers if number >= after[0]][: len(after)]
    assert after[0] > row["sequence"]


def test_symbols_selects_from_the_large_universe():
    with open_exchange(symbols=["XRPUSDTM", "XBTUSDTM"], contracts=700) as exchange:
        assert exchange.symbols == ["XRPUSDTM", "XBTUSDTM"]
    with pytest.raises(UnknownSymbol, match="XRPUSDTM"):
        open_exchange(symbols=["XRPUSDTM"])


@pytest.mark.parametrize("count", [7, 1_000, True])
def test_the_number_of_contracts_is_checked(count):
    with pytest.raises(InvalidInput, match="contracts must be"):
        open_exchange(contracts=count)
