"""REST replies: envelope, quota, error bodies, documented fields (protocol reference, 2 to 4)."""

import pytest

from kucoin_research.errors import UnknownSymbol
from kucoin_research.sim import Settings
from kucoin_research.sim.engine.clock import VirtualClock, parse_start
from kucoin_research.sim.server.market_core import MarketCore, listings_for
from kucoin_research.sim.server.rest import ROUTES
from kucoin_research.sim.server.routes import Site, find_route
from tests.unit.sim.client import ask, base_url, data_of, get, open_exchange

MINUTE_MS = 60_000
START_MS = 1_767_571_200_000


@pytest.fixture(scope="module")
def exchange():
    with open_exchange() as running:
        yield running


NOT_FOUND = {"code": "404", "msg": "Not Found", "retry": False, "success": False}
HEADERS_MISSING = (
    "Please check the header of your request for KC-API-KEY, KC-API-SIGN, KC-API-TIMESTAMP, "
    "KC-API-PASSPHRASE."
)
# Section 2.1: path, market, HTTP status, body.
ERRORS = [
    ("/api/v1/ticker?symbol=NOPE", 200, {"msg": "Invalid symbol.", "code": "200003"}),
    ("/api/v1/level2/snapshot?symbol=NOPE", 200, {"msg": "Invalid symbol.", "code": "200003"}),
    ("/api/v1/level2/depth20?symbol=NOPE", 200, {"msg": "Invalid symbol.", "code": "200003"}),
    (
        "/api/v1/contracts/NOPE",
        200,
        {"msg": "The contract information you requested does not exist.", "code": "404000"},
    ),
    (
        "/api/v1/mark-price/NOPE/current",
        200,
        {"msg": "mark price is not supported", "code": "415000"},
    ),
    (
        "/api/v1/funding-rate/NOPE/current",
        200,
        {"msg": "funding rate is not supported", "code": "415000"},
    ),
    (
        "/api/v1/index/query?symbol=.NOPE",
        200,
        {"code": "200000", "data": {"dataList": [], "hasMore": False}},
    ),
    ("/api/v1/level2/depth50?symbol=XBTUSDTM", 404, {"code": "404", "msg": "not exist"}),
    ("/api/v1/nonsense", 404, NOT_FOUND),
    ("/", 404, NOT_FOUND),
    ("/api/v1/trade-statistics", 400, {"code": "400001", "msg": HEADERS_MISSING}),
]


@pytest.mark.parametrize(("path", "status", "body"), ERRORS)
def test_errors_have_kucoins_status_and_body(exchange, path, status, body):
    reply = get(exchange, path)

    assert (reply.status_code, reply.json()) == (status, body)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/v1/market/orderbook/level1?symbol=NO-PE", 200, "200000"),
        ("/api/v1/market/candles?symbol=NO-PE&type=1min", 200, "400100"),
        ("/api/v1/market/candles?symbol=BTC-USDT&type=7min", 200, "400100"),
        ("/api/v2/symbols/NO-PE", 200, "900001"),
        ("/api/v3/market/orderbook/level2?symbol=BTC-USDT", 400, "400001"),
        ("/api/v1/contracts/active", 404, "404"),
    ],
)
def test_spot_errors(exchange, path, status, code):
    reply = get(exchange, path, "spot")

    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert reply.json().get("data") is None


def test_wrong_method_gives_405(exchange):
    assert get(exchange, "/api/v1/bullet-public").status_code == 405


@pytest.mark.parametrize("market", ["futures", "spot"])
def test_private_token_needs_headers(exchange, market):
    reply = ask("POST", base_url(exchange, market) + "/api/v1/bullet-private", timeout=5)

    assert (reply.status_code, reply.json()["code"]) == (400, "400001")


@pytest.mark.parametrize("market", ["futures", "spot"])
def test_timestamp_is_virtual_and_carries_no_quota(exchange, market):
    reply = get(exchange, "/api/v1/timestamp", market)

    assert reply.json() == {"code": "200000", "data": exchange.now_ns // 1_000_000}
    assert "gw-ratelimit-limit" not in reply.headers


def test_quota_falls_by_the_weight_and_ends_in_429():
    with open_exchange(rate_limit=12) as exchange:
        path = "/api/v1/trade/history?symbol=XBTUSDTM"  # weight 5

        replies = [get(exchange, path) for _ in range(3)]

    headers = [reply.headers for reply in replies]
    assert [one["gw-ratelimit-limit"] for one in headers] == ["12"] * 3
    assert [one["gw-ratelimit-remaining"] for one in headers] == ["7", "2", "0"]
    assert all(0 < int(one["gw-ratelimit-reset"]) <= 30_000 for one in headers)
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert replies[2].json()["code"] == "429000"


def test_quota_comes_back_with_the_next_window():
    with open_exchange(rate_limit=5, rate_window=0.0) as exchange:
        path = "/api/v1/trade/history?symbol=XBTUSDTM"

        assert [get(exchange, path).status_code for _ in range(3)] == [200] * 3


def test_contracts_are_the_futures_on_offer(exchange):
    rows = data_of(exchange, "/api/v1/contracts/active")

    assert [row["symbol"] for row in rows] == ["XBTUSDTM"]
    assert rows[0] == data_of(exchange, "/api/v1/contracts/XBTUSDTM")
    assert isinstance(rows[0]["openInterest"], str)


FIELDS = [
    (
        "/api/v1/ticker?symbol=XBTUSDTM",
        "futures",
        {
            "sequence": int,
            "symbol": str,
            "side": str,
            "size": int,
            "tradeId": str,
            "price": str,
            "bestBidPrice": str,
            "bestBidSize": int,
            "bestAskPrice": str,
            "bestAskSize": int,
            "ts": int,
        },
    ),
    (
        "/api/v1/mark-price/XBTUSDTM/current",
        "futures",
        {
            "symbol": str,
            "granularity": int,
            "timePoint": int,
            "value": float,
            "indexPrice": float,
        },
    ),
    (
        "/api/v1/level2/snapshot?symbol=XBTUSDTM",
        "futures",
        {"sequence": int, "symbol": str, "bids": list, "asks": list, "ts": int},
    ),
    (
        "/api/v1/market/orderbook/level1?symbol=BTC-USDT",
        "spot",
        {
            "time": int,
            "sequence": str,
            "price": str,
            "size": str,
            "bestBid": str,
            "bestBidSize": str,
            "bestAsk": str,
            "bestAskSize": str,
        },
    ),
    (
        "/api/v1/market/orderbook/level2_20?symbol=BTC-USDT",
        "spot",
        {"time": int, "sequence": str, "bids": list, "asks": list},
    ),
]


def test_risk_limits_are_those_of_kucoins_sample(exchange):
    rows = data_of(exchange, "/api/v1/contracts/risk-limit/XBTUSDTM")

    # Trading reference, section 4.4.
    assert [tuple(row.values())[1:] for row in rows] == [
        (1, 100_000, 0, 125, 0.008, 0.004),
        (2, 500_000, 100_000, 100, 0.01, 0.005),
        (3, 1_000_000, 500_000, 75, 0.014, 0.007),
        (4, 2_000_000, 1_000_000, 50, 0.02, 0.01),
        (5, 3_000_000, 2_000_000, 30, 0.034, 0.017),
        (6, 5_000_000, 3_000_000, 20, 0.05, 0.025),
    ]
    assert {row["symbol"] for row in rows} == {"XBTUSDTM"}


@pytest.mark.parametrize(("path", "market", "fields"), FIELDS)
def test_replies_have_the_documented_fields(exchange, path, market, fields):
    data = data_of(exchange, path, market)

    assert {key: type(value) for key, value in data.items()} == fields


@pytest.mark.parametrize(
    ("path", "depth"), [("depth20", 20), ("depth100", 100), ("snapshot", 1000)]
)
def test_futures_books_are_numbers_best_first(exchange, path, depth):
    book = data_of(exchange, f"/api/v1/level2/{path}", symbol="XBTUSDTM")

    bids, asks = [price for price, _ in book["bids"]], [price for price, _ in book["asks"]]
    assert 0.8 * depth < len(bids) <= depth
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    assert all(isinstance(size, int) for _, size in book["bids"])


def test_futures_trades_come_newest_first(exchange):
    trades = data_of(exchange, "/api/v1/trade/history", symbol="XBTUSDTM")

    assert len(trades) == 100
    assert [trade["ts"] for trade in trades] == sorted((t["ts"] for t in trades), reverse=True)
    assert all(trade["tradeId"] == str(trade["sequence"]) for trade in trades)


def test_spot_trades_come_oldest_first(exchange):
    trades = data_of(exchange, "/api/v1/market/histories", "spot", symbol="BTC-USDT")

    assert len(trades) == 100
    assert [trade["time"] for trade in trades] == sorted(trade["time"] for trade in trades)
    assert {type(value) for value in trades[0].values()} == {str, int}


def test_klines_are_ascending_numbers(exchange):
    rows = data_of(exchange, "/api/v1/kline/query", symbol="XBTUSDTM", granularity=1)

    opens = [row[0] for row in rows]
    assert len(rows) == 200
    assert opens == sorted(opens)
    assert all(low <= min(o, c) <= max(o, c) <= high for _, o, high, low, c, _, _ in rows)
    assert isinstance(rows[0][5], int)


def test_kline_bounds_are_inclusive_and_paged_from_the_beginning(exchange):
    first = START_MS - 1_000 * MINUTE_MS
    query = {"symbol": "XBTUSDTM", "granularity": 1}

    pair = data_of(
        exchange, "/api/v1/kline/query", **query, **{"from": first, "to": first + MINUTE_MS}
    )
    page = data_of(exchange, "/api/v1/kline/query", **query, **{"from": first})
    until = data_of(exchange, "/api/v1/kline/query", **query, to=first)

    assert [row[0] for row in pair] == [first, first + MINUTE_MS]
    assert (page[0][0], len(page)) == (first, 200)
    assert (until[-1][0], len(until)) == (first, 200)


def test_kline_refuses_a_granularity_that_kucoin_lacks(exchange):
    reply = get(exchange, "/api/v1/kline/query?symbol=XBTUSDTM&granularity=3").json()

    assert reply["code"] == "100001"


def test_kline_serves_the_index_too(exchange):
    rows = data_of(exchange, "/api/v1/kline/query", symbol=".KXBTUSDT", granularity=60)

    assert len(rows) == 200
    assert all(row[3] <= row[4] <= row[2] for row in rows)


CANDLES = {"symbol": "BTC-USDT", "type": "1min"}


def test_spot_candles_are_newest_first_with_close_second(exchange):
    rows = data_of(exchange, "/api/v1/market/candles", "spot", **CANDLES, startAt=0)

    assert len(rows) == 1_500
    assert int(rows[0][0]) - int(rows[-1][0]) >= 1_499 * 60
    for _, opened, close, high, low, _, _ in rows:
        assert float(low) <= min(float(opened), float(close))
        assert max(float(opened), float(close)) <= float(high)


def test_without_a_begin_there_are_a_hundred_spot_candles(exchange):
    end = START_MS // 1_000
    rows = data_of(exchange, "/api/v1/market/candles", "spot", **CANDLES, endAt=end)

    assert [int(row[0]) for row in rows] == [end - 60 * (1 + place) for place in range(100)]


def test_spot_candles_can_include_their_end():
    end = START_MS // 1_000 - 600
    with open_exchange(symbols=["BTC-USDT"], candles_include_end=True) as x:
        rows = data_of(x, "/api/v1/market/candles", "spot", **CANDLES, startAt=end, endAt=end)

    assert [int(row[0]) for row in rows] == [end]


def test_spot_candles_keep_to_their_bounds(exchange):
    start = START_MS // 1_000 - 600
    rows = data_of(
        exchange,
        "/api/v1/market/candles",
        "spot",
        symbol="BTC-USDT",
        type="1min",
        startAt=start,
        endAt=start + 120,
    )

    assert [int(row[0]) for row in rows] == [start + 60, start]


def test_index_query_pages_newest_first(exchange):
    page = data_of(exchange, "/api/v1/index/query", symbol=".KXBTUSDT", maxCount=3)

    times = [row["timePoint"] for row in page["dataList"]]
    assert times == [times[0], times[0] - 1_000, times[0] - 2_000]
    assert page["hasMore"] is True


@pytest.fixture(scope="module")
def unlike():
    """An inverse contract, and one that settles its funding every four hours."""
    with open_exchange(symbols=["XBTUSDM", "KCSUSDTM"]) as running:
        yield running


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "XBTUSDM"])
def test_an_index_is_the_weighted_price_of_its_exchanges(exchange, unlike, symbol):
    served_by = unlike if symbol == "XBTUSDM" else exchange
    contract = data_of(served_by, f"/api/v1/contracts/{symbol}")
    page = data_of(served_by, "/api/v1/index/query", symbol=contract["indexSymbol"])

    for row in page["dataList"]:
        parts = row["decomposionList"]
        assert [part["exchange"] for part in parts] == contract["sourceExchanges"]
        assert sum(part["weight"] for part in parts) == pytest.approx(1.0)
        assert len({part["price"] for part in parts}) > 1
        mean = sum(part["weight"] * part["price"] for part in parts)
        assert mean == pytest.approx(row["value"], abs=0.01)
    assert (
        parts[-1]["exchangeName"]
        == {"gateio": "GateIO", "binance": "Binance"}[parts[-1]["exchange"]]
    )


@pytest.mark.parametrize(
    ("path", "symbol", "step"),
    [
        ("premium", ".XBTUSDTMPI", MINUTE_MS),
        ("premium", ".XBTUSDTMPI8H", 480 * MINUTE_MS),
        ("premium", ".KCSUSDTMPI8H", 480 * MINUTE_MS),
        ("interest", ".XBTINT", MINUTE_MS),
        ("interest", ".USDTINT8H", 480 * MINUTE_MS),
    ],
)
def test_premium_and_interest_come_by_the_minute_and_by_eight_hours(
    exchange, unlike, path, symbol, step
):
    served_by = unlike if "KCS" in symbol else exchange
    rows = data_of(served_by, f"/api/v1/{path}/query", symbol=symbol)["dataList"]

    times = [row["timePoint"] for row in rows]
    assert len(rows) == 10
    assert {row["granularity"] for row in rows} == {step}
    assert times == [times[0] - step * place for place in range(10)]
    assert times[0] % step == 0


def test_the_premium_of_eight_hours_is_the_mean_of_its_minutes(exchange):
    whole = data_of(exchange, "/api/v1/premium/query", symbol=".XBTUSDTMPI8H")["dataList"][1]
    begin, end = whole["timePoint"], whole["timePoint"] + 480 * MINUTE_MS
    minutes = [
        row["value"]
        for start in range(begin, end, 60 * MINUTE_MS)
        for row in data_of(
            exchange,
            "/api/v1/premium/query",
            symbol=".XBTUSDTMPI",
            startAt=start,
            endAt=start + 59 * MINUTE_MS,
            maxCount=100,
        )["dataList"]
    ]

    assert len(minutes) == 480
    assert whole["value"] == pytest.approx(sum(minutes) / 480, abs=5e-5)
    assert min(minutes) < whole["value"] < max(minutes)


def test_a_current_funding_rate_is_that_of_its_contract(exchange):
    rate = data_of(exchange, "/api/v1/funding-rate/XBTUSDTM/current")
    contract = data_of(exchange, "/api/v1/contracts/XBTUSDTM")

    assert rate["period"] == contract["period"] == 1
    assert rate["symbol"] == contract["fundingRateSymbol"]
    assert rate["fundingTime"] == contract["nextFundingRateDateTime"]
    for ours, its in (("value", "fundingFeeRate"), ("lastTimeFundingRate",) * 2):
        assert rate[ours] == contract[its]
    assert "predictedValue" not in rate


def test_funding_rates_come_newest_first_and_need_their_bounds(exchange):
    path = "/api/v1/contract/funding-rates"
    rows = data_of(
        exchange, path, symbol="XBTUSDTM", **{"from": START_MS - 86_400_000, "to": START_MS}
    )

    assert [START_MS - row["timepoint"] for row in rows] == [n * 28_800_000 for n in range(4)]
    assert get(exchange, path, symbol="XBTUSDTM").json()["code"] == "400100"


def test_current_funding_names_its_interval(exchange):
    rate = data_of(exchange, "/api/v1/funding-rate/XBTUSDTM/current")

    assert rate["symbol"] == ".XBTUSDTMFPI8H"
    assert rate["fundingTime"] - rate["timePoint"] == rate["granularity"] == 28_800_000


def test_spot_lists(exchange):
    symbols = data_of(exchange, "/api/v2/symbols", "spot")

    assert [row["symbol"] for row in symbols] == ["BTC-USDT", "ETH-BTC"]
    assert data_of(exchange, "/api/v2/symbols?market=BTC", "spot") == [symbols[1]]
    assert data_of(exchange, "/api/v1/markets", "spot") == ["BTC", "USDS"]
    assert {row["currency"] for row in data_of(exchange, "/api/v3/currencies", "spot")} == {
        "BTC",
        "USDT",
        "ETH",
    }


def test_spot_tickers_and_stats_agree(exchange):
    tickers = data_of(exchange, "/api/v1/market/allTickers", "spot")["ticker"]
    stats = data_of(exchange, "/api/v1/market/stats", "spot", symbol="BTC-USDT")

    row = next(row for row in tickers if row["symbol"] == "BTC-USDT")
    assert {key: row[key] for key in stats if key != "time"} == {
        key: value for key, value in stats.items() if key != "time"
    }
    assert all(isinstance(value, str) for value in row.values())
    assert float(row["open"]) == pytest.approx(float(row["last"]) - float(row["changePrice"]))
    assert float(row["lastSize"]) > 0


def test_an_unknown_pair_has_a_day_of_nulls(exchange):
    known = data_of(exchange, "/api/v1/market/stats", "spot", symbol="BTC-USDT")
    unknown = data_of(exchange, "/api/v1/market/stats", "spot", symbol="NO-PE")

    assert unknown.keys() == known.keys()
    assert {name: value for name, value in unknown.items() if value is not None} == {
        "symbol": "NO-PE",
        "time": unknown["time"],
    }


def steps_and_rows(site, path, **values):
    """Answer a call by hand; how many turns it left to others, and its rows."""
    route, _ = find_route(ROUTES[site.market], path)
    work = route.answer(site, values)
    steps = 0
    while True:
        try:
            next(work)
        except StopIteration as done:
            return steps, done.value.body["data"]
        steps += 1


@pytest.mark.parametrize(
    ("market", "path", "values"),
    [
        ("futures", "/api/v1/kline/query", {"symbol": "XBTUSDTM", "granularity": "1440"}),
        ("futures", "/api/v1/kline/query", {"symbol": ".KXBTUSDT", "granularity": "1440"}),
        ("spot", "/api/v1/market/candles", {"symbol": "BTC-USDT", "type": "1day", "startAt": "0"}),
        ("spot", "/api/v1/market/candles", {"symbol": "BTC-USDT", "type": "30min", "startAt": "0"}),
    ],
)
def test_long_history_is_built_in_steps_that_leave_turns_to_others(market, path, values):
    core = MarketCore(7, VirtualClock(parse_start("2026-01-05")), listings_for(None), Settings())
    site = Site(core, market)

    steps, rows = steps_and_rows(site, path, **values)
    again, same_rows = steps_and_rows(site, path, **values)

    assert steps >= 30  # a day of history at most between two turns
    assert same_rows == rows
    assert again <= len(rows) + 1


@pytest.mark.parametrize("symbol", [".KXBTUSDT", ".XBTUSDTMPI"])
def test_a_series_begins_with_the_history_of_its_contract(exchange, symbol):
    rows = data_of(exchange, "/api/v1/kline/query", symbol=symbol, granularity=1440, **{"from": 1})

    assert START_MS - rows[0][0] == 200 * 1_440 * MINUTE_MS


def test_a_symbol_can_be_listed_in_another_state():
    states = {"XBTUSDTM": "Paused", "ETHUSDTM": "Settled", "BTC-USDT": "Closed"}
    symbols = ["XBTUSDTM", "ETHUSDTM", "SOLUSDTM", "BTC-USDT"]
    with open_exchange(symbols=symbols, states=states) as x:
        active = data_of(x, "/api/v1/contracts/active")
        settled = data_of(x, "/api/v1/contracts/ETHUSDTM")
        pairs = data_of(x, "/api/v2/symbols", "spot")

    assert [(row["symbol"], row["status"]) for row in active] == [
        ("XBTUSDTM", "Paused"),
        ("SOLUSDTM", "Open"),
    ]
    assert settled["status"] == "Settled"
    assert [row["enableTrading"] for row in pairs] == [False]


def test_a_state_of_an_unknown_symbol_is_refused():
    with pytest.raises(UnknownSymbol, match="states: no symbol 'NOPE'"):
        open_exchange(states={"NOPE": "Paused"})
