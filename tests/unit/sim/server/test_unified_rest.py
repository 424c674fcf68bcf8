"""The unified API's read calls: the same data as the classic ones, for both markets."""

import pytest

from tests.unit.sim.client import data_of, get, open_exchange
from tests.unit.sim.signed import signed

UA = "/api/ua/v1"
SPOT, FUTURES = {"tradeType": "SPOT"}, {"tradeType": "FUTURES"}


@pytest.fixture(scope="module")
def exchange():
    with open_exchange(start="2026-01-05T10:00:00Z") as running:
        running.pause()
        yield running


def unified(exchange, path, **parameters):
    return data_of(exchange, UA + path, "spot", **parameters)


def test_accounts_are_classic(exchange):
    reply = signed(exchange, "GET", f"{UA}/account/mode", "spot").json()

    assert reply["data"] == {"selfAccountMode": "CLASSIC"}


def test_each_market_has_its_own_status():
    with open_exchange() as exchange:
        exchange.inject("maintenance", market="futures", delay=3_600)

        found = [unified(exchange, "/server/status", **market) for market in (SPOT, FUTURES)]

    assert [(row["tradeType"], row["serverStatus"]) for row in found] == [
        ("SPOT", "open"),
        ("FUTURES", "close"),
    ]


def test_pairs_are_those_of_the_classic_list(exchange):
    data = unified(exchange, "/market/instrument", **SPOT)

    classic = data_of(exchange, "/api/v2/symbols", "spot")
    assert data["tradeType"] == "SPOT"
    for row, known in zip(data["list"], classic, strict=True):
        assert (row["symbol"], row["tickSize"]) == (known["symbol"], known["priceIncrement"])
        assert row["maxBaseOrderSize"] == known["baseMaxSize"]
        assert row["tradingStatus"] == "1"


def test_contracts_are_those_of_the_classic_list(exchange):
    data = unified(exchange, "/market/instrument", **FUTURES)

    [row], [known] = data["list"], data_of(exchange, "/api/v1/contracts/active")
    assert row["symbol"] == known["symbol"]
    for text, number in [("tickSize", "tickSize"), ("unitSize", "multiplier"), ("k", "k")]:
        assert isinstance(row[text], str)
        assert float(row[text]) == known[number]


def test_coins_are_those_of_the_classic_list(exchange):
    classic = data_of(exchange, "/api/v3/currencies", "spot")

    for path in ("/asset/currencies", "/market/currency"):
        rows = unified(exchange, path)
        assert [row["currency"] for row in rows] == [row["currency"] for row in classic]
        assert (
            rows[0]["items"][0]["minWithdrawSize"] == classic[0]["chains"][0]["withdrawalMinSize"]
        )


def test_tickers_agree_with_the_classic_ones(exchange):
    data = unified(exchange, "/market/ticker", **SPOT)

    classic = {
        row["symbol"]: row
        for row in data_of(exchange, "/api/v1/market/allTickers", "spot")["ticker"]
    }
    assert data["ts"] == exchange.now_ns // 1_000_000
    for row in data["list"]:
        known = classic[row["symbol"]]
        assert (row["bestBidPrice"], row["bestAskPrice"]) == (known["buy"], known["sell"])
        assert (row["high"], row["low"]) == (known["high"], known["low"])
        assert (row["baseVolume"], row["quoteVolume"]) == (known["vol"], known["volValue"])


def test_a_ticker_of_a_contract_agrees_with_the_classic_one(exchange):
    [row] = unified(exchange, "/market/ticker", symbol="XBTUSDTM", **FUTURES)["list"]

    known = data_of(exchange, "/api/v1/ticker", symbol="XBTUSDTM")
    assert (row["lastPrice"], row["bestBidPrice"]) == (known["price"], known["bestBidPrice"])
    assert row["bestAskSize"] == str(known["bestAskSize"])


@pytest.mark.parametrize(("limit", "levels"), [("20", 20), ("100", 100)])
def test_books_agree_with_the_classic_ones(exchange, limit, levels):
    target = f"{UA}/market/orderbook?tradeType=SPOT&symbol=BTC-USDT&limit={limit}"
    data = signed(exchange, "GET", target, "spot").json()["data"]

    path = f"/api/v1/market/orderbook/level2_{levels}"
    classic = data_of(exchange, path, "spot", symbol="BTC-USDT")
    assert {name: data[name] for name in ("sequence", "bids", "asks")} == {
        name: classic[name] for name in ("sequence", "bids", "asks")
    }
    assert len(data["bids"]) == levels


def test_the_whole_book_of_a_contract_is_the_snapshot(exchange):
    target = f"{UA}/market/orderbook?tradeType=FUTURES&symbol=XBTUSDTM&limit=FULL"
    data = signed(exchange, "GET", target, "spot").json()["data"]

    classic = data_of(exchange, "/api/v1/level2/snapshot", symbol="XBTUSDTM")
    for side in ("bids", "asks"):
        found = [[float(price), float(size)] for price, size in data[side][: len(classic[side])]]
        assert found == classic[side]


def test_trades_agree_with_the_classic_ones(exchange):
    rows = unified(exchange, "/market/trade", symbol="XBTUSDTM", **FUTURES)["list"]

    classic = data_of(exchange, "/api/v1/trade/history", symbol="XBTUSDTM")
    assert [(row["tradeId"], row["ts"]) for row in rows] == [
        (row["tradeId"], row["ts"]) for row in classic
    ]


def test_candles_agree_with_the_classic_ones(exchange):
    now = exchange.now_ns // 10**9
    times = {"startAt": now - 3_600, "endAt": now - 600}
    data = unified(exchange, "/market/kline", symbol="BTC-USDT", interval="1min", **SPOT, **times)

    known = data_of(
        exchange, "/api/v1/market/candles", "spot", symbol="BTC-USDT", type="1min", **times
    )
    assert data["symbol"] == "BTC-USDT"
    assert data["list"][-len(known) :] == known


def test_funding_agrees_with_the_contract(exchange):
    row = data_of(exchange, "/api/v1/contracts/XBTUSDTM")

    first = unified(exchange, "/market/funding-rate", symbol="XBTUSDTM")
    [second] = data_of(exchange, "/api/ua/v2/market/funding-rate", "spot")

    assert (first["symbol"], second["symbol"]) == (".XBTUSDTMFPI8H", "XBTUSDTM")
    assert first["nextFundingRate"] == row["fundingFeeRate"]
    assert float(second["nextFundingRate"]) == pytest.approx(row["fundingFeeRate"], abs=1e-10)
    assert first["fundingTime"] == second["fundingTime"] == row["nextFundingRateDateTime"]


def test_settled_funding_agrees_with_the_classic_history(exchange):
    now = exchange.now_ns // 10**6
    since = now - 3 * 86_400_000
    data = unified(
        exchange, "/market/funding-rate-history", symbol="XBTUSDTM", startAt=since, endAt=now
    )

    classic = data_of(
        exchange,
        "/api/v1/contract/funding-rates",
        **{"symbol": "XBTUSDTM", "from": since, "to": now},
    )
    assert [(row["ts"], row["fundingRate"]) for row in data["list"]] == [
        (row["timepoint"], row["fundingRate"]) for row in classic
    ]
    assert len(classic) == 9


def test_open_interest_is_that_of_the_contract(exchange):
    [row] = unified(exchange, "/market/open-interest", symbol="XBTUSDTM")

    known = data_of(exchange, "/api/v1/contracts/XBTUSDTM")
    assert row == {
        "symbol": "XBTUSDTM",
        "openInterest": known["openInterest"],
        "ts": exchange.now_ns // 1_000_000,
    }


def test_open_interest_has_a_past(exchange):
    rows = unified(
        exchange, "/market/open-interest", symbol="XBTUSDTM", interval="1hour", pageSize=3
    )

    assert [row["ts"] for row in rows] == [
        1_767_607_200_000, 1_767_603_600_000, 1_767_600_000_000,
    ]  # fmt: skip
    assert len({row["openInterest"] for row in rows}) == 3


def test_tiers_are_those_of_the_contract(exchange):
    rows = unified(exchange, "/market/position-tiers", symbol="XBTUSDTM", **FUTURES)

    classic = data_of(exchange, "/api/v1/contracts/risk-limit/XBTUSDTM")
    assert [(int(row["maxSize"]), int(row["maxLeverage"])) for row in rows] == [
        (row["maxRiskLimit"], row["maxLeverage"]) for row in classic
    ]
    assert [float(row["maintainMarginRate"]) for row in rows] == [
        row["maintainMargin"] for row in classic
    ]


@pytest.mark.parametrize(
    ("path", "parameters", "message"),
    [
        ("/market/ticker", {}, "tradeType must be SPOT or FUTURES."),
        ("/market/instrument", {"tradeType": "MOON"}, "tradeType must be SPOT or FUTURES."),
        ("/market/ticker", SPOT | {"symbol": "NO-PE"}, "symbol not exists"),
        ("/market/trade", FUTURES | {"symbol": "NOPE"}, "symbol not exists"),
        ("/market/kline", SPOT | {"symbol": "BTC-USDT", "interval": "7min"}, "Invalid interval."),
        ("/market/funding-rate", {"symbol": "BTC-USDT"}, "symbol not exists"),
        ("/market/open-interest", {"symbol": "XBTUSDTM,NOPE"}, "symbol not exists"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(exchange, path, parameters, message):
    reply = get(exchange, UA + path, "spot", **parameters).json()

    assert (reply["code"], reply["msg"]) == ("400100", message)


def test_an_unknown_depth_is_refused(exchange):
    target = f"{UA}/market/orderbook?tradeType=SPOT&symbol=BTC-USDT&limit=7"

    assert signed(exchange, "GET", target, "spot").json()["msg"] == (
        "limit must be one of 20, 50, 100, FULL."
    )
