"""Every public REST call of KuCoin's own SDK, beside our client, on an exchange at a standstill."""

import pytest

import kucoin_research as kr
from tests.interop.compare import MS, agree, holes, levels, rows_of
from tests.interop.conftest import CONTRACT, PAIR, PLAN

CLIENT = "universal-sdk"


class Ours:
    """Our own client's view of the same exchange."""

    def __init__(self, venue, rest):
        self.venue = venue
        self.rest = rest

    def instruments(self, market):
        return {row["symbol"]: row for row in kr.symbols(market, venue=self.venue).to_dicts()}

    def book(self, symbol, depth=100):
        rows = rows_of(kr.order_book(symbol, depth, venue=self.venue))
        bids, asks = (
            [(row["price"], row["size"]) for row in rows if row["side"] == side]
            for side in ("buy", "sell")
        )
        return rows[0]["timestamp"], rows[0]["sequence"], bids, asks

    def trades(self, symbol):
        return kr.recent_trades(symbol, venue=self.venue)

    def last_trade(self, symbol):
        return rows_of(self.trades(symbol))[-1]

    def candles(self, symbol):
        start, end = (PLAN[name] * MS for name in ("start_ms", "end_ms"))
        return kr.candles(symbol, start=start, end=end, venue=self.venue)

    def funding_rates(self):
        start, end = (PLAN[name] * MS for name in ("funding_start_ms", "end_ms"))
        return kr.funding_rates(CONTRACT, start, end, venue=self.venue)


@pytest.fixture(scope="session")
def ours(still_venue, rest):
    return Ours(still_venue, rest)


def contract(row):
    expires = row["expireDate"]
    return {
        "symbol": row["symbol"], "base": row["baseCurrency"], "quote": row["quoteCurrency"],
        "settle": row["settleCurrency"], "tick_size": row["tickSize"],
        "lot_size": row["lotSize"], "min_size": row["lotSize"], "max_size": row["maxOrderQty"],
        "contract_multiplier": row["multiplier"], "is_inverse": row["isInverse"],
        "maker_fee": row["makerFeeRate"], "taker_fee": row["takerFeeRate"],
        "status": row["status"], "max_leverage": row["maxLeverage"],
        "funding_interval_ms": row["fundingRateGranularity"],
        "index_symbol": row["indexSymbol"], "expires": expires,
    }  # fmt: skip


def pair(row):
    return {
        "symbol": row["symbol"], "base": row["baseCurrency"], "quote": row["quoteCurrency"],
        "tick_size": float(row["priceIncrement"]), "lot_size": float(row["baseIncrement"]),
        "min_size": float(row["baseMinSize"]), "max_size": float(row["baseMaxSize"]),
        "status": "Open" if row["enableTrading"] else "Closed", "display_name": row["name"],
    }  # fmt: skip


def instruments(read, market):
    def compare(data, ours):
        rows = data.get("data", [data])
        known = ours.instruments(market)
        for row in map(read, rows):
            assert row == {name: known[row["symbol"]][name] for name in row}
        if "data" in data:
            assert {row["symbol"] for row in rows} == set(known)
        return len(rows)

    return compare


def futures_ticker(row, ours):
    last = ours.last_trade(row["symbol"])
    _, _, bids, asks = ours.book(row["symbol"])
    assert (row["sequence"], row["tradeId"], row["side"]) == (
        last["sequence"], last["trade_id"], last["side"],
    )  # fmt: skip
    assert (float(row["price"]), row["size"], row["ts"]) == (
        last["price"], last["size"], last["timestamp"],
    )  # fmt: skip
    assert (float(row["bestBidPrice"]), row["bestBidSize"]) == bids[0]
    assert (float(row["bestAskPrice"]), row["bestAskSize"]) == asks[0]


def futures_tickers(data, ours):
    rows = data.get("data", [data])
    for row in rows:
        futures_ticker(row, ours)
    if "data" in data:
        assert {row["symbol"] for row in rows} == set(ours.instruments("futures"))
    return len(rows)


def book(symbol, depth, time, unit):
    def compare(data, ours):
        timestamp, sequence, bids, asks = ours.book(symbol, depth)
        assert (data[time] * unit, int(data["sequence"])) == (timestamp, sequence)
        assert (levels(data["bids"]), levels(data["asks"])) == (bids, asks)
        return len(bids) + len(asks)

    return compare


def trades(symbol, time, order):
    def compare(data, ours):
        rows = [
            {
                "timestamp": row[time],
                "symbol": symbol,
                "sequence": int(row["sequence"]),
                "trade_id": row.get("tradeId") or row["sequence"],
                "side": row["side"],
                "price": float(row["price"]),
                "size": float(row["size"]),
            }
            for row in data["data"]
        ]
        known = ours.trades(symbol)
        assert [row["sequence"] for row in rows][::order] == known["sequence"].to_list()
        return agree(rows, known, "sequence")

    return compare


def futures_candles(data, ours):
    names = ("open", "high", "low", "close", "volume", "turnover")
    return candles([(int(s), *v) for s, *v in data["data"]], names, CONTRACT, 1, ours)


def spot_candles(data, ours):
    names = ("open", "close", "high", "low", "volume", "turnover")
    rows = [(int(start) * 1_000, *map(float, values)) for start, *values in data["data"]]
    return candles(rows, names, PAIR, -1, ours)


def candles(rows, names, symbol, order, ours):
    known = ours.candles(symbol)
    found = [
        {"timestamp": start * MS, "symbol": symbol, "interval": "1min"}
        | dict(zip(names, values, strict=True))
        for start, *values in rows
    ]
    assert [row["timestamp"] for row in found][::order] == [
        row["timestamp"] for row in rows_of(known)
    ]
    return agree(found, known, "timestamp")


def funding_history(data, ours):
    rows = [
        {"timestamp": row["timepoint"] * MS, "symbol": row["symbol"],
         "funding_rate": row["fundingRate"]}
        for row in data["data"]
    ]  # fmt: skip
    known = ours.funding_rates()
    assert len(rows) == known.height
    return agree(rows, known, "timestamp")


def current_funding(data, ours):
    interval = ours.instruments("futures")[CONTRACT]["funding_interval_ms"]
    assert data["granularity"] == interval
    assert data["timePoint"] == PLAN["end_ms"] // interval * interval
    assert data["fundingTime"] == data["timePoint"] + interval
    assert data["symbol"] == f".{CONTRACT}FPI8H"
    assert data["fundingRateFloor"] <= data["value"] <= data["fundingRateCap"]
    return 1


def mark_price(data, ours):
    now_ms = ours.rest.server_time("futures") // MS
    assert (data["symbol"], data["timePoint"]) == (CONTRACT, now_ms // 1_000 * 1_000)
    return 1


def series(name, granularity):
    def compare(data, ours):
        now_ms = ours.rest.server_time("futures") // MS
        newest = now_ms // granularity * granularity
        points = [newest - place * granularity for place in range(5)]
        assert [row["timePoint"] for row in data["dataList"]] == points
        assert {row["symbol"] for row in data["dataList"]} == {name}
        assert data["hasMore"] is True
        return len(points)

    return compare


def spot_ticker(data, ours):
    last = ours.last_trade(PAIR)
    timestamp, sequence, bids, asks = ours.book(PAIR)
    assert (data["time"] * MS, int(data["sequence"])) == (timestamp, sequence)
    assert (float(data["price"]), float(data["size"])) == (last["price"], last["size"])
    assert (float(data["bestBid"]), float(data["bestBidSize"])) == bids[0]
    assert (float(data["bestAsk"]), float(data["bestAskSize"])) == asks[0]
    return 1


def stats(row, ours):
    _, _, bids, asks = ours.book(row["symbol"])
    known = ours.instruments("spot")[row["symbol"]]
    assert float(row["last"]) == ours.last_trade(row["symbol"])["price"]
    assert (float(row["buy"]), float(row["sell"])) == (bids[0][0], asks[0][0])
    assert float(row["makerFeeRate"]) * float(row["makerCoefficient"]) == known["maker_fee"]
    assert float(row["takerFeeRate"]) * float(row["takerCoefficient"]) == known["taker_fee"]
    assert float(row["low"]) <= float(row["last"]) <= float(row["high"])
    if "bestBidSize" in row:
        assert (float(row["bestBidSize"]), float(row["bestAskSize"])) == (bids[0][1], asks[0][1])


def day_stats(data, ours):
    stats(data, ours)
    return 1


def spot_tickers(data, ours):
    assert data["time"] * MS == ours.rest.server_time("spot")
    for row in data["ticker"]:
        stats(row, ours)
    assert {row["symbol"] for row in data["ticker"]} == set(ours.instruments("spot"))
    return len(data["ticker"])


def zones(data, _ours):
    assert PLAN["zone"] in data["data"]
    return len(data["data"])


def coins(ours):
    known = ours.instruments("spot").values()
    return {row[side] for row in known for side in ("base", "quote")}


def currencies(data, ours):
    assert {row["currency"] for row in data["data"]} == coins(ours)
    return len(data["data"])


def currency(data, ours):
    assert data["currency"] == PLAN["currency"]
    assert data["currency"] in coins(ours)
    return 1


def server_time(market):
    def compare(data, ours):
        assert data["data"] * MS == ours.rest.server_time(market)
        return 1

    return compare


def status(market):
    def compare(data, ours):
        known = ours.rest.status(market)
        assert (data["status"], data["msg"]) == (known.status, known.message)
        return 1

    return compare


def token(market):
    def compare(data, ours):
        [theirs] = data["instanceServers"]
        [server] = ours.rest.token(market).servers
        assert theirs["protocol"] == "websocket"
        assert theirs["endpoint"] == server.endpoint
        assert theirs["pingInterval"] == 18_000
        assert theirs["pingTimeout"] == 10_000
        return 1

    return compare


CALLS = {
    "futures.get_all_symbols": instruments(contract, "futures"),
    "futures.get_symbol": instruments(contract, "futures"),
    "futures.get_ticker": futures_tickers,
    "futures.get_all_tickers": futures_tickers,
    "futures.get_full_order_book": book(CONTRACT, 1_000, "ts", 1),
    "futures.get_part_order_book 20": book(CONTRACT, 20, "ts", 1),
    "futures.get_part_order_book 100": book(CONTRACT, 100, "ts", 1),
    "futures.get_trade_history": trades(CONTRACT, "ts", -1),
    "futures.get_klines": futures_candles,
    "futures.get_mark_price": mark_price,
    "futures.get_spot_index_price": series(".KXBTUSDT", 1_000),
    "futures.get_interest_rate_index": series(".XBTINT", 60_000),
    "futures.get_premium_index": series(f".{CONTRACT}PI", 60_000),
    "futures.get_server_time": server_time("futures"),
    "futures.get_service_status": status("futures"),
    "futures.get_public_token": token("futures"),
    "futures.get_current_funding_rate": current_funding,
    "futures.get_public_funding_history": funding_history,
    "spot.get_all_symbols": instruments(pair, "spot"),
    "spot.get_symbol": instruments(pair, "spot"),
    "spot.get_ticker": spot_ticker,
    "spot.get_all_tickers": spot_tickers,
    "spot.get_part_order_book 20": book(PAIR, 20, "time", MS),
    "spot.get_part_order_book 100": book(PAIR, 100, "time", MS),
    "spot.get_trade_history": trades(PAIR, "time", 1),
    "spot.get_klines": spot_candles,
    "spot.get24hr_stats": day_stats,
    "spot.get_market_list": zones,
    "spot.get_all_currencies": currencies,
    "spot.get_currency": currency,
    "spot.get_server_time": server_time("spot"),
    "spot.get_service_status": status("spot"),
    "spot.get_public_token": token("spot"),
}
# They need a key, and the SDK's is a dummy: refused as KuCoin refuses one.
WITH_KEY = (
    "futures.get24hr_stats", "futures.get_private_token",
    "spot.get_full_order_book", "spot.get_private_token",
)  # fmt: skip
NOT_SERVED = {
    "futures.get_private_funding_history": "an account's own",
    "spot.get_announcements": "news, no market data",
    "spot.get_call_auction_info": "there is never an auction",
    "spot.get_call_auction_part_order_book": "there is never an auction",
    "spot.get_client_ip_address": "no market data",
    "spot.get_fiat_price": "no market data of KuCoin's own",
}
# What KuCoin itself leaves null.
NULL = {
    "expireDate", "settleDate", "settlementFee", "predictedFundingFeeRate", "subMarketType",
    "settlementSymbol", "predictedValue", "callauctionPriceFloor", "callauctionPriceCeiling",
    "callauctionFirstStageStartTime", "callauctionSecondStageStartTime",
    "callauctionThirdStageStartTime", "tradingStartTime", "confirms", "contractAddress",
    "maxWithdraw", "maxDeposit", "withdrawMaxFee", "depositFeeRate", "depositTierFee",
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("client", [CLIENT])
def test_replies_are_ours_field_by_field(client, call, sdk_replies, ours, row):
    reply = sdk_replies[call]

    assert "error" not in reply, reply
    missing = {hole.rpartition(".")[2] for hole in holes(reply["data"])}
    assert missing <= NULL, f"fields that KuCoin sends: {missing - NULL}"
    row(CALLS[call](reply["data"], ours))


@pytest.mark.parametrize("call", WITH_KEY)
@pytest.mark.parametrize("client", [CLIENT])
def test_an_unknown_key_is_refused_as_kucoin_does(client, call, sdk_replies, row):
    assert "400003" in sdk_replies[call]["error"]

    row(1, "refused: 400003, key unknown")


def test_mark_and_index_price_agree_over_all_calls(sdk_replies):
    mark = sdk_replies["futures.get_mark_price"]["data"]
    described = sdk_replies["futures.get_symbol"]["data"]
    index = sdk_replies["futures.get_spot_index_price"]["data"]["dataList"][0]

    assert (mark["value"], mark["indexPrice"]) == (
        described["markPrice"], described["indexPrice"],
    )  # fmt: skip
    assert (index["timePoint"], index["value"]) == (mark["timePoint"], mark["indexPrice"])


def test_the_quota_is_told_but_for_the_time(sdk_replies):
    for call, reply in sdk_replies.items():
        if call in CALLS:
            expected = -1 if call.endswith("get_server_time") else 2_000
            assert reply["limit"] == expected, call


def test_every_call_of_the_sdk_is_in_the_table_or_has_a_reason(sdk_replies):
    offered = set(sdk_replies["offered"]["data"])

    assert offered == {call.split()[0] for call in (*CALLS, *WITH_KEY)} | set(NOT_SERVED)
