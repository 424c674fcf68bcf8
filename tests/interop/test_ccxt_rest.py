"""ccxt's public REST calls, beside our own client, on an exchange at a standstill."""

import pytest

from tests.interop.compare import MS, agree, ccxt_ms, levels
from tests.interop.conftest import CONTRACT, PAIR, PLAN
from tests.interop.test_sdk_rest import Ours, coins

CLIENT = "ccxt"


@pytest.fixture(scope="session")
def ours(still_venue, rest):
    return Ours(still_venue, rest)


def check_market(market, known):
    assert (market["base"], market["quote"]) == tuple(
        {"XBT": "BTC"}.get(coin, coin) for coin in (known["base"], known["quote"])
    )
    assert (market["baseId"], market["quoteId"]) == (known["base"], known["quote"])
    assert market["precision"]["price"] == known["tick_size"]
    assert market["precision"]["amount"] == known["lot_size"]
    amount = market["limits"]["amount"]
    assert (amount["min"], amount["max"]) == (known["min_size"], known["max_size"])
    assert market["active"] is (known["status"] == "Open")
    if market["contract"]:
        assert (market["maker"], market["taker"]) == (known["maker_fee"], known["taker_fee"])
        assert market["contractSize"] == abs(known["contract_multiplier"])
        assert market["inverse"] is known["is_inverse"]
        assert market["settleId"] == known["settle"]
        assert market["limits"]["leverage"]["max"] == known["max_leverage"]
        assert market["swap"] is True


def markets(*kinds):
    def compare(data, ours, _all):
        known = {symbol: row for kind in kinds for symbol, row in ours.instruments(kind).items()}
        found = {market["id"]: market for market in data.values()}
        assert set(found) == set(known)
        for symbol, market in found.items():
            check_market(market, known[symbol])
        return len(found)

    return compare


def currencies(data, ours, _all):
    assert {coin["id"] for coin in data.values()} == coins(ours)
    return len(data)


def time(market):
    def compare(data, ours, _all):
        assert data * MS == ours.rest.server_time(market)
        return 1

    return compare


def status(data, _ours, _all):
    assert data["status"] == "ok"
    return 1


def futures_ticker(ticker, ours, symbol):
    last = ours.last_trade(symbol)
    assert ticker["last"] == last["price"]
    assert ticker["timestamp"] == ccxt_ms(last["timestamp"])
    top(ticker, ours, symbol)


def top(ticker, ours, symbol):
    _, _, bids, asks = ours.book(symbol)
    assert (ticker["bid"], ticker["bidVolume"]) == bids[0]
    assert (ticker["ask"], ticker["askVolume"]) == asks[0]


def one_future(data, ours, _all):
    futures_ticker(data, ours, CONTRACT)
    return 1


def bids_asks(data, ours, _all):
    for ticker in data.values():
        futures_ticker(ticker, ours, ticker["info"]["symbol"])
    assert len(data) == len(ours.instruments("futures"))
    return len(data)


def contract_tickers(data, ours, _all):
    # ccxt takes these from the list of contracts.
    for ticker in data.values():
        assert ticker["last"] == ours.last_trade(ticker["info"]["symbol"])["price"]
        assert ticker["low"] <= ticker["last"] <= ticker["high"]
    assert len(data) == len(ours.instruments("futures"))
    return len(data)


def spot_ticker(data, ours, _all):
    _, _, bids, asks = ours.book(PAIR)
    assert (data["bid"], data["ask"]) == (bids[0][0], asks[0][0])
    assert data["last"] == ours.last_trade(PAIR)["price"]
    assert data["timestamp"] * MS == ours.rest.server_time("spot")
    return 1


def spot_tickers(data, ours, _all):
    for ticker in data.values():
        symbol = ticker["info"]["symbol"]
        top(ticker, ours, symbol)
        assert ticker["last"] == ours.last_trade(symbol)["price"]
    assert len(data) == len(ours.instruments("spot"))
    return len(data)


def trades(symbol, time):
    def compare(data, ours, _all):
        rows = []
        for trade in data:
            exact = int(trade["info"][time])
            assert trade["timestamp"] in (ccxt_ms(exact), exact // MS)
            rows.append(
                {
                    "timestamp": exact,
                    "symbol": symbol,
                    "side": trade["side"],
                    "sequence": int(trade["info"]["sequence"]),
                    "price": trade["price"],
                    "size": trade["amount"],
                }
            )
        known = ours.trades(symbol)
        assert len(rows) == known.height
        return agree(rows, known, "sequence")

    return compare


def book(symbol, depth):
    def compare(data, ours, _all):
        timestamp, sequence, bids, asks = ours.book(symbol, depth)
        assert (data["nonce"], data["timestamp"] * MS) == (sequence, timestamp)
        assert (levels(data["bids"]), levels(data["asks"])) == (bids, asks)
        return len(bids) + len(asks)

    return compare


def candles(symbol):
    def compare(data, ours, _all):
        names = ("open", "high", "low", "close", "volume")
        rows = [
            {"timestamp": start * MS, "symbol": symbol, "interval": "1min"}
            | dict(zip(names, values, strict=True))
            for start, *values in data
        ]
        known = ours.candles(symbol)
        assert len(rows) == known.height
        return agree(rows, known, "timestamp")

    return compare


def mark_price(data, ours, replies):
    described = replies["kucoinfutures.load_markets"]["data"]["BTC/USDT:USDT"]["info"]
    assert data["info"]["timePoint"] * MS == ours.rest.server_time("futures") // 10**9 * 10**9
    assert (data["markPrice"], data["indexPrice"]) == (
        described["markPrice"], described["indexPrice"],
    )  # fmt: skip
    return 1


def funding_rate(data, ours, replies):
    described = replies["kucoinfutures.load_markets"]["data"]["BTC/USDT:USDT"]["info"]
    interval = ours.instruments("futures")[CONTRACT]["funding_interval_ms"]
    assert data["fundingRate"] == described["fundingFeeRate"]
    assert data["fundingTimestamp"] == described["nextFundingRateDateTime"]
    assert data["previousFundingTimestamp"] == PLAN["end_ms"] // interval * interval
    assert data["interval"] == f"{interval // 3_600_000}h"
    return 1


def funding_history(data, ours, _all):
    rows = [
        {"timestamp": row["timestamp"] * MS, "funding_rate": row["fundingRate"]} for row in data
    ]
    known = ours.funding_rates()
    assert len(rows) == known.height
    return agree(rows, known, "timestamp")


CALLS = {
    "kucoin.load_markets": markets("spot", "futures"),
    "kucoin.fetch_currencies": currencies,
    "kucoin.fetch_time": time("spot"),
    "kucoin.fetch_status": status,
    "kucoin.fetch_ticker": spot_ticker,
    "kucoin.fetch_tickers": spot_tickers,
    "kucoin.fetch_trades": trades(PAIR, "time"),
    "kucoin.fetch_order_book": book(PAIR, 100),
    "kucoin.fetch_order_book 20": book(PAIR, 20),
    "kucoin.fetch_order_book 100": book(PAIR, 100),
    "kucoin.fetch_ohlcv": candles(PAIR),
    "kucoinfutures.load_markets": markets("futures"),
    "kucoinfutures.fetch_time": time("futures"),
    "kucoinfutures.fetch_status": status,
    "kucoinfutures.fetch_ticker": one_future,
    "kucoinfutures.fetch_tickers": contract_tickers,
    "kucoinfutures.fetch_bids_asks": bids_asks,
    "kucoinfutures.fetch_mark_price": mark_price,
    "kucoinfutures.fetch_trades": trades(CONTRACT, "ts"),
    "kucoinfutures.fetch_order_book": book(CONTRACT, 1_000),
    "kucoinfutures.fetch_order_book 20": book(CONTRACT, 20),
    "kucoinfutures.fetch_order_book 100": book(CONTRACT, 100),
    "kucoinfutures.fetch_ohlcv": candles(CONTRACT),
    "kucoinfutures.fetch_funding_rate": funding_rate,
    "kucoinfutures.fetch_funding_rate_history": funding_history,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("client", [CLIENT])
def test_replies_are_ours_field_by_field(client, call, ccxt_replies, ours, row):
    reply = ccxt_replies[call]

    assert "error" not in reply, reply
    row(CALLS[call](reply["data"], ours, ccxt_replies))
