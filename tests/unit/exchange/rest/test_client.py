"""The REST side against a real HTTP server on loopback that answers from a script."""

import json
import logging

import pytest

from kucoin_research import errors
from kucoin_research.exchange.token import Server, Token
from kucoin_research.model.channels import Market
from kucoin_research.model.instruments import check_trading
from tests.unit.exchange.rest import answering
from tests.unit.exchange.rest.answering import (
    END_S,
    NOW_NS,
    SECOND,
    START_S,
    Answer,
    client,
    ok,
    payload,
    refusal,
)

# Against servers that live in real time: what is tested is how their answers are read.
REAL_TIME = True

exchange = answering.exchange
waiter = answering.waiter
rest = answering.rest


# -- calls -----------------------------------------------------------------------------------------


def test_a_token_is_read_with_its_rhythm_in_seconds(exchange, rest):
    exchange.answers = [Answer(payload("bullet_public"))]

    token = rest.token("futures")

    assert exchange.asked[0][:2] == ("POST", "/api/v1/bullet-public")
    assert token.servers == (Server("wss://ws-api-futures.kucoin.com/", 18.0, 10.0),)
    assert token.simulation is None
    assert token.url(connect_id="c1").endswith("EXAMPLE-WG10eug%3D%3D&connectId=c1")
    assert token.url().startswith("wss://ws-api-futures.kucoin.com/?token=2neAiu")


def test_a_simulated_exchange_tells_its_speed(exchange, rest):
    data = json.loads(payload("bullet_public"))["data"] | {"simulation": {"speed": 60}}
    exchange.answers = [ok(data)]

    assert rest.token("spot").simulation == 60.0


def test_a_token_is_masked_when_shown():
    token = Token("secret-token", (Server("wss://h/", 18.0, 10.0),))

    assert "secret" not in repr(token) + str(token) + f"{token}"
    assert "token='***'" in repr(token)


@pytest.mark.parametrize(
    "data",
    [
        {"token": "", "instanceServers": [{"endpoint": "wss://h/"}]},
        {"token": "t", "instanceServers": []},
        {"token": "t", "instanceServers": [{"endpoint": "https://h/"}]},
        {"token": "t", "instanceServers": [{"endpoint": "wss://h/", "pingInterval": 0}]},
        {"instanceServers": [{"endpoint": "wss://h/"}]},
        None,
    ],
)
def test_a_token_that_cannot_be_used_is_a_bad_reply(exchange, rest, data):
    exchange.answers = [ok(data)]

    with pytest.raises(errors.BadReply, match="not as documented"):
        rest.token("futures")


def test_server_time_is_nanoseconds(exchange, rest):
    exchange.answers = [Answer(payload("timestamp"))]

    assert rest.server_time("spot") == 1_729_260_030_774_000_000


@pytest.mark.parametrize("set_by", [0, 3_600_000_000_000])
def test_clock_offset_is_known_to_half_the_round_trip_also_of_a_clock_that_was_set(
    exchange, waiter, set_by
):
    exchange.answers = [ok(NOW_NS // 1_000_000 + 2_050)]
    waiter.steadies = iter([0, 100_000_000, 100_000_000])  # sent, received, and reckoned with
    waiter.walls = iter([NOW_NS + 100_000_000, NOW_NS + 100_000_000 + set_by])

    with client(exchange, waiter) as rest:
        offset = rest.clock_offset("futures")

    assert offset.offset_ns == 2_000_500_000 - set_by
    assert offset.uncertainty_ns == 50_500_000


def test_clock_offset_may_be_that_of_another_clock_than_the_wall_clock(exchange, waiter):
    exchange.answers = [ok(NOW_NS // 1_000_000)]

    with client(exchange, waiter) as rest:
        offset = rest.clock_offset("futures", lambda: NOW_NS - 5_000_000_000)

    assert offset.offset_ns == 5_000_500_000


def test_status_is_read(exchange, rest):
    exchange.answers = [Answer(payload("status"))]

    assert rest.status("spot") == ("open", "")


def test_contracts_become_instruments(exchange, rest):
    exchange.answers = [Answer(payload("contracts_active"))]

    perpetual, dated = rest.contracts()

    assert (perpetual.symbol, perpetual.market) == ("XBTUSDTM", Market.FUTURES)
    assert (perpetual.tick_size, perpetual.lot_size) == (0.1, 1.0)
    assert (perpetual.maker_fee, perpetual.taker_fee) == (0.0002, 0.0006)
    assert (perpetual.contract_multiplier, perpetual.is_inverse) == (0.001, False)
    assert (perpetual.funding_interval_ms, perpetual.expires) == (28_800_000, None)
    assert (perpetual.index_symbol, perpetual.display_name) == (".KXBTUSDT", "BTCUSDTM")
    assert (dated.contract_multiplier, dated.is_inverse, dated.settle) == (-1.0, True, "XBT")
    assert (dated.funding_interval_ms, dated.expires) == (None, 1_798_185_600 * SECOND)
    assert dated.max_size == 1_000_000.0


LIMITS = {
    "maxPrice": 1000000.0, "marketMaxOrderQty": 1000000, "initialMargin": 0.008,
    "maintainMargin": 0.004, "k": 490.0, "m": 300.0, "f": 1.3, "mmrLimit": 0.3,
    "mmrLevConstant": 125.0, "markPrice": 86378.69, "buyLimit": 90697.6, "sellLimit": 82059.7,
}  # fmt: skip


def contract_with(exchange, rest, **facts):
    row = json.loads(payload("contract"))["data"]
    exchange.answers = [ok(row | LIMITS | facts)]
    return rest.contract("XBTUSDTM")


def test_limits_of_orders_and_margins_of_a_contract_are_read(exchange, rest):
    found = contract_with(exchange, rest)

    assert (found.max_price, found.market_max_size, found.min_funds) == (1e6, 1e6, None)
    assert (found.initial_margin, found.maintenance_margin) == (0.008, 0.004)
    assert (found.mmr_limit, found.mmr_size, found.mmr_leverage_constant) == (0.3, 300.0, 125.0)
    assert found.price_limit_rate == 0.05
    assert found.risk_tiers == ()


def test_a_row_without_limits_is_an_instrument_without_them(exchange, rest):
    exchange.answers = [Answer(payload("contract"))]

    found = rest.contract("XBTUSDTM")

    assert (found.max_price, found.market_max_size, found.price_limit_rate) == (1e6, None, None)
    assert (found.initial_margin, found.mmr_size) == (0.008, None)


@pytest.mark.parametrize(
    ("facts", "rate"),
    [
        ({"buyLimit": 90697.7, "sellLimit": 82059.8}, 0.05),  # a tick off
        ({"markPrice": 86400.0}, 0.0497),  # sent a moment later
        ({"sellLimit": 84000.0}, None),
        ({"buyLimit": None}, None),
        ({"markPrice": 0}, None),
        ({"buyLimit": 80000.0, "sellLimit": 92757.38}, None),
        ({"orderPriceRange": 0.02}, 0.02),  # KuCoin's own word, whatever was rounded or late
        ({"orderPriceRange": 0}, 0.05),
        ({"orderPriceRange": None}, 0.05),
    ],
    ids=str,
)
def test_the_rate_of_price_limits_is_that_of_both_sides_or_none(exchange, rest, facts, rate):
    assert contract_with(exchange, rest, **facts).price_limit_rate == rate


@pytest.mark.parametrize(
    ("name", "field"),
    [("maxPrice", "max_price"), ("m", "mmr_size"), ("buyLimit", "price_limit_rate"),
     ("mmrLevConstant", "mmr_leverage_constant"), ("maintainMargin", "maintenance_margin")],
)  # fmt: skip
def test_an_odd_limit_costs_no_more_than_itself(exchange, rest, caplog, name, field):
    with caplog.at_level(logging.WARNING, "kucoin_research.exchange.rest.replies"):
        found = contract_with(exchange, rest, **{name: "n/a"})

    assert getattr(found, field) is None
    assert found.initial_margin == 0.008
    assert f"without its {name}, " in caplog.text


def test_limits_of_orders_of_a_pair_are_read_from_text(exchange, rest):
    (row,) = json.loads(payload("spot_symbols"))["data"]
    exchange.answers = [ok([row]), ok([row | {"minFunds": None, "priceLimitRate": "n/a"}])]

    (found,), (other,) = rest.spot_symbols(), rest.spot_symbols()

    assert (found.min_funds, found.price_limit_rate) == (0.1, 0.1)
    assert (other.min_funds, other.price_limit_rate, other.max_size) == (None, None, found.max_size)
    assert (found.max_price, found.initial_margin) == (None, None)


def test_one_contract_is_read(exchange, rest):
    exchange.answers = [Answer(payload("contract"))]

    assert rest.contract("XBTUSDTM").is_open
    assert exchange.asked[0].path == "/api/v1/contracts/XBTUSDTM"


def test_spot_symbols_become_instruments(exchange, rest):
    exchange.answers = [Answer(payload("spot_symbols"))]

    (pair,) = rest.spot_symbols()

    assert (pair.symbol, pair.market, pair.settle) == ("BTC-USDT", Market.SPOT, "USDT")
    assert (pair.tick_size, pair.lot_size, pair.min_size) == (0.1, 1e-8, 1e-5)
    assert (pair.maker_fee, pair.taker_fee, pair.contract_multiplier) == (0.001, 0.001, 1.0)
    assert pair.is_open


def test_one_spot_symbol_that_is_closed(exchange, rest):
    (row,) = json.loads(payload("spot_symbols"))["data"]
    exchange.answers = [ok(row | {"enableTrading": False, "feeCategory": 9})]

    pair = rest.spot_symbol("BTC-USDT")

    assert not pair.is_open
    assert pair.maker_fee is None


@pytest.mark.parametrize("broken", [{"tickSize": None}, {"tickSize": 0}, {"multiplier": "x"}])
def test_a_broken_row_is_told_and_left_out(exchange, rest, caplog, broken):
    rows = json.loads(payload("contracts_active"))["data"]
    exchange.answers = [ok([rows[0] | broken, rows[1]])]

    with caplog.at_level(logging.WARNING, "kucoin_research.exchange.rest.replies"):
        found = rest.contracts()

    assert [each.symbol for each in found] == ["XBTMZ26"]
    assert "left out of the list of contracts" in caplog.text


@pytest.mark.parametrize(
    ("odd", "names"),
    [
        ({"maxLeverage": "plenty"}, ["maxLeverage"]),
        ({"status": 7}, ["status"]),
        ({"expireDate": "soon", "makerFeeRate": [1]}, ["expireDate", "makerFeeRate"]),
        ({"displaySymbol": {"en": "XBT"}}, ["displaySymbol"]),
    ],
)
def test_a_contract_with_an_odd_optional_field_is_listed_without_it(
    exchange, rest, caplog, odd, names
):
    rows = json.loads(payload("contracts_active"))["data"]
    exchange.answers = [ok([rows[0] | odd, rows[1]])]

    with caplog.at_level(logging.WARNING, "kucoin_research.exchange.rest.replies"):
        found = rest.contracts()

    assert [each.symbol for each in found] == [row["symbol"] for row in rows[:2]]
    assert all(name in caplog.text for name in names)
    assert found[0].tick_size == rows[0]["tickSize"]
    expected = {"maxLeverage": "max_leverage", "makerFeeRate": "maker_fee", "expireDate": "expires",
                "displaySymbol": "display_name", "status": "status"}  # fmt: skip
    assert all(getattr(found[0], expected[name]) is None for name in names if name in expected)


@pytest.mark.parametrize(
    "odd",
    [{"isInverse": "?"}, {"isInverse": [True]}, {"settleCurrency": {}}, {"multiplier": None},
     {"isInverse": False}],
    ids=str,
)  # fmt: skip
def test_what_sizes_mean_is_never_made_up(exchange, rest, caplog, odd):
    linear, inverse = json.loads(payload("contracts_active"))["data"]
    exchange.answers = [ok([linear, inverse | odd]), ok(inverse | odd)]

    with caplog.at_level(logging.WARNING, "kucoin_research.exchange.rest.replies"):
        found = rest.contracts()
    with pytest.raises(errors.BadReply, match=next(iter(odd))):
        rest.contract("XBTMZ26")

    assert [each.symbol for each in found] == ["XBTUSDTM"]
    assert "left out of the list of contracts: XBTMZ26" in caplog.text


# What a field may hold that no decoder reads, beside values of another kind.
ODD = {
    "infinite": b"1e999",
    "long": b"9" * 400,
    "half a pair": rb'"\ud800"',
    "the other half": rb'"a\udc00"',
    "deep": b"[" * 5_000 + b"]" * 5_000,
    "no UTF-8": b'"\xff"',
    "a control character": b'"\x01"',
    "no JSON": b"-",
    "an object": rb'{"a": "]},\"", "b": [1, {}]}',
    "a word": b'"n/a"',
}


def with_field(row, name, value):
    """Write a row with a field of which JSON has no idea."""
    text = json.dumps({key: each for key, each in row.items() if key != name}).encode()
    return text[:-1] + b', "%s": %s}' % (name.encode(), value)


def replying(rows, around=b"%s"):
    return Answer(b'{"code": "200000", "data": %s}' % (around % (b"[%s]" % b",".join(rows))))


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
@pytest.mark.parametrize("name", ["maxLeverage", "status", "isQuanto", "settleCurrency"])
def test_an_odd_field_of_a_contract_costs_no_more_than_itself(exchange, rest, caplog, name, value):
    rows = json.loads(payload("contracts_active"))["data"]
    exchange.answers = [replying([with_field(rows[0], name, value), json.dumps(rows[1]).encode()])]

    with caplog.at_level(logging.WARNING, "kucoin_research.exchange.rest.replies"):
        found = {each.symbol: each for each in rest.contracts()}

    is_text = value == ODD["a word"] and name in ("status", "settleCurrency")
    is_lost = name == "settleCurrency" and not is_text
    assert list(found) == ["XBTUSDTM", "XBTMZ26"][is_lost:]
    assert (name in caplog.text) is (name != "isQuanto" and not is_text)
    if name == "maxLeverage":
        assert found["XBTUSDTM"].max_leverage is None
    assert found["XBTMZ26"].max_leverage == rows[1]["maxLeverage"]


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_an_odd_field_of_one_ticker_costs_no_more_than_itself(exchange, rest, caplog, value):
    futures = {"symbol": "XBTUSDTM", "price": "1", "size": 2, "ts": 1_700_000_000_000_000_000}
    spot = {"symbol": "BTC-USDT", "last": "1", "vol": "2", "bestBidSize": "3"}
    statistics = {"symbol": "XBTUSDTM", "lastTradePrice": 1, "volumeOf24h": 2}
    every_pair = b'{"ticker": %s, "time": 1700000000000}'

    def odd(row, name, around=b"%s"):
        return replying([json.dumps(row).encode(), with_field(row, name, value)], around)

    exchange.answers = [
        odd(futures, "size"), odd(spot, "bestBidSize", every_pair), odd(statistics, "volumeOf24h"),
        odd(spot, "vol", every_pair), Answer(b'{"code": "200000", "data": %s}' % (
            with_field(spot, "vol", value))),
    ]  # fmt: skip
    with caplog.at_level(logging.WARNING, "kucoin_research.exchange.rest.replies"):
        contracts, pairs = rest.tickers("futures"), rest.tickers("spot")
        their_stats, pair_stats = rest.stats(), rest.stats(market="spot")
        (of_one,) = rest.stats("BTC-USDT")

    assert [(row.price, row.size) for row in contracts] == [(1.0, 2.0), (1.0, None)]
    assert contracts[1].timestamp == 1_700_000_000_000_000_000
    assert [(row.price, row.best_bid_size) for row in pairs] == [(1.0, 3.0), (1.0, None)]
    assert [(row.last_price, row.volume) for row in their_stats] == [(1.0, 2.0), (1.0, None)]
    assert [(row.last_price, row.volume) for row in pair_stats] == [(1.0, 2.0), (1.0, None)]
    assert (of_one.last_price, of_one.volume) == (1.0, None)
    assert caplog.text.count("which makes no sense") == 5


def test_one_time_that_is_none_costs_no_other_ticker(exchange, rest, caplog):
    rows = [{"symbol": "A", "ts": -1}, {"symbol": "B", "ts": 1_700_000_000_000_000_000}]
    exchange.answers = [
        ok(rows),
        ok({"ticker": rows, "time": -1}),
        ok({"symbol": "A", "vol": "0", "time": -1}),
    ]

    with caplog.at_level(logging.WARNING, "kucoin_research.exchange.rest.replies"):
        of_contracts, of_pairs = rest.tickers("futures"), rest.tickers("spot")
        of_one = rest.stats("A-B", market="spot")

    times = [row.timestamp for row in (*of_contracts, *of_pairs, *of_one)]
    assert times == [None, 1_700_000_000_000_000_000, None, None, None]
    assert caplog.text.count("1 times in ") == 3


def test_rows_of_which_none_makes_sense_are_refused_with_the_reason(exchange, rest):
    exchange.answers = [ok([{"symbol": "XBTUSDTM", "tickSize": "?"}])]

    with pytest.raises(errors.BadReply, match=r"none of its 1 rows makes sense.*XBTUSDTM"):
        rest.contracts()


def test_many_odd_rows_are_told_in_a_few_lines(exchange, rest, caplog):
    rows = [{"symbol": f"A{i}USDTM", "size": "n/a"} for i in range(500)]
    exchange.answers = [ok(rows)]

    with caplog.at_level(logging.WARNING, "kucoin_research.exchange.rest.replies"):
        assert len(rest.tickers()) == 500

    assert len(caplog.records) == 21
    assert "480 more rows" in caplog.text


def test_what_is_not_sent_of_an_inverse_contract_is_told_by_its_multiplier(exchange, rest):
    inverse = json.loads(payload("contracts_active"))["data"][1]
    exchange.answers = [ok(inverse | {"isInverse": None, "settleCurrency": None})]

    found = rest.contract("XBTMZ26")

    assert (found.is_inverse, found.settle) == (True, "XBT")
    assert found.notional(10, 50_000.0) == 0.0002


@pytest.mark.parametrize("status", [["Paused"], 7, None, ""])
def test_a_contract_whose_status_is_not_known_does_not_count_as_active(exchange, rest, status):
    row = json.loads(payload("contracts_active"))["data"][0]
    exchange.answers = [ok([row | {"status": status}]), ok(row | {"status": status})]

    for found in (*rest.contracts(), rest.contract("XBTUSDTM")):
        assert (found.status, found.is_open) == (None, False)
        check_trading(found)  # its stream may bring something


@pytest.mark.parametrize("enabled", ["perhaps", [False], None])
def test_a_pair_of_which_is_not_known_whether_it_trades_is_not_active(exchange, rest, enabled):
    (row,) = json.loads(payload("spot_symbols"))["data"]
    exchange.answers = [ok([row | {"enableTrading": enabled}])]

    (found,) = rest.spot_symbols()

    assert (found.status, found.is_open) == (None, False)


def test_an_odd_funding_interval_is_not_taken_from_elsewhere(exchange, rest):
    row = json.loads(payload("contracts_active"))["data"][0]
    exchange.answers = [ok([row | {"currentFundingRateGranularity": "soon"}])]

    (found,) = rest.contracts()

    assert found.funding_interval_ms is None


def test_an_expiry_that_is_no_time_is_none(exchange, rest):
    rows = json.loads(payload("contracts_active"))["data"]
    exchange.answers = [ok([rows[0] | {"expireDate": -1}])]

    (found,) = rest.contracts()

    assert found.expires is None


def test_a_futures_book_is_read(exchange, rest):
    exchange.answers = [Answer(payload("futures_level2_snapshot"))]

    book = rest.level2_snapshot("XBTUSDM")

    assert exchange.asked[0][1:3] == ("/api/v1/level2/snapshot", {"symbol": "XBTUSDM"})
    assert (book.sequence, book.timestamp) == (1697895963339, 1729168101216000000)
    assert book.bids == [(66968.0, 2.0), (66964.8, 25596.0)]
    assert book.asks == [(66968.1, 13501.0), (66968.7, 2032.0)]
    assert book.is_whole


def test_a_spot_book_is_read(exchange, rest):
    exchange.answers = [Answer(payload("spot_level2_20"))]

    book = rest.order_book("BTC-USDT", 20)

    assert exchange.asked[0].path == "/api/v1/market/orderbook/level2_20"
    assert (book.sequence, book.timestamp) == (14610502970, 1729176273859000000)
    assert book.asks == [(66976.5, 0.05408199)]


@pytest.mark.parametrize(
    ("symbol", "depth", "path"),
    [
        ("XBTUSDTM", 1, "/api/v1/level2/depth20"),
        ("XBTUSDTM", 21, "/api/v1/level2/depth100"),
        ("XBTUSDTM", 101, "/api/v1/level2/snapshot"),
        ("XBTUSDTM", None, "/api/v1/level2/snapshot"),
        ("BTC-USDT", 20, "/api/v1/market/orderbook/level2_20"),
        ("BTC-USDT", 100, "/api/v1/market/orderbook/level2_100"),
        ("BTC-USDT", None, "/api/v1/market/orderbook/level2_100"),
    ],
)
def test_the_shallowest_call_that_reaches_the_depth_is_used(exchange, rest, symbol, depth, path):
    levels = [[100 - i, 1] for i in range(30)]
    exchange.answers = [ok({"sequence": 5, "bids": levels, "asks": None})]

    book = rest.order_book(symbol, depth)

    assert exchange.asked[0].path == path
    assert len(book.bids) == min(30, depth or 30)
    assert book.asks == []


@pytest.mark.parametrize(("count", "whole"), [(99, True), (100, False)])
def test_a_book_cut_off_by_the_exchange_is_not_whole(exchange, rest, count, whole):
    levels = [[1000 - i, 1] for i in range(count)]
    exchange.answers = [ok({"sequence": 5, "bids": levels, "asks": []})]

    assert rest.level2_snapshot("BTC-USDT").is_whole is whole


def test_a_whole_spot_book_without_a_key_is_not_asked_for(exchange, rest):
    with pytest.raises(errors.CredentialsMissing, match="depth=101 of BTC-USDT needs credentials="):
        rest.order_book("BTC-USDT", 101)

    assert exchange.asked == []


@pytest.mark.parametrize("depth", [0, -1, True])
def test_a_depth_that_cannot_be_had_is_refused_unsent(exchange, rest, depth):
    with pytest.raises(errors.InvalidInput, match="depth"):
        rest.order_book("BTC-USDT", depth)

    assert exchange.asked == []


# -- nothing where a price would be ----------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
def test_a_level_without_a_price_is_left_out_of_a_book(exchange, rest, symbol):
    levels = [[str(1000 - i), "1"] for i in range(99)]
    exchange.answers = [ok({"sequence": "5", "bids": [*levels, ["0", "1"]], "asks": None})]

    book = rest.order_book(symbol, 100)

    assert [price for price, _ in book.bids] == [1000.0 - i for i in range(99)]
    assert book.asks == []
    assert not book.is_whole  # a hundred entries came: as many as there can be


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
def test_a_trade_at_a_price_of_zero_has_none(exchange, rest, symbol):
    row = {"sequence": 5, "price": "0", "size": "0", "side": "buy", "time": NOW_NS, "ts": NOW_NS}
    exchange.answers = [ok([row])]

    (trade,) = rest.trades(symbol)

    assert (trade.price, trade.size) == (None, 0.0)


@pytest.mark.parametrize("nothing", ["0", 0, "0.000", None])
def test_a_quote_of_zero_in_a_ticker_is_none(exchange, rest, nothing):
    futures = {"symbol": "X", "price": nothing, "size": 0, "bestBidPrice": nothing,
               "bestBidSize": 0, "bestAskPrice": nothing, "bestAskSize": 0}  # fmt: skip
    exchange.answers = [ok([futures])]
    (row,) = rest.tickers("futures")
    spot = {"symbol": "X", "last": nothing, "buy": nothing, "bestBidSize": "0", "sell": nothing,
            "bestAskSize": "0"}  # fmt: skip
    exchange.answers = [ok({"time": 1729176273859, "ticker": [spot]})]
    (pair,) = rest.tickers("spot")

    assert row[4:] == (None, 0.0, None, None, 0.0, None, 0.0)
    assert pair[4:] == (None, None, None, None, 0.0, None, 0.0)


@pytest.mark.parametrize("symbol", ["X", None])
def test_statistics_without_a_trade_have_no_prices(exchange, rest, symbol):
    contract = {"symbol": "X", "lastTradePrice": 0, "highPrice": 0, "lowPrice": 0,
                "volumeOf24h": 0, "turnoverOf24h": 0, "priceChg": 0, "priceChgPct": 0}  # fmt: skip
    exchange.answers = [ok(contract if symbol else [contract])]
    futures = rest.stats(symbol, market="futures")
    pair = {"symbol": "X", "last": "0", "high": "0", "low": "0", "vol": "0", "volValue": "0",
            "changePrice": "0", "changeRate": "0"}  # fmt: skip
    exchange.answers = [ok(pair if symbol else {"ticker": [pair]})]
    spot = rest.stats(symbol, market="spot")

    for (row,) in (futures, spot):
        assert row[3:] == (None, None, None, 0.0, 0.0, 0.0, 0.0)


def test_a_mark_and_an_index_of_zero_are_none(exchange, rest):
    exchange.answers = [ok({"timePoint": END_S * 1000, "value": 0, "indexPrice": 0})]

    row = rest.mark_price("XBTUSDTM")

    assert (row.mark_price, row.index_price) == (None, None)


def test_a_history_keeps_zeros_that_are_no_prices(exchange, rest):
    def answer(asked):
        rows = [{"symbol": ".X", "timePoint": START_S * 1000, "value": 0}]
        is_clock = asked.path.endswith("timestamp")
        return ok(END_S * 1000 if is_clock else {"dataList": rows, "hasMore": False})

    exchange.answers = answer
    span = (START_S * SECOND, START_S * SECOND)

    (index,) = rest.index_prices(".KXBTUSDT", *span)
    (premium,) = rest.premium_index("XBTUSDTM", *span)

    assert index.index_price is None
    assert premium.premium_index == 0.0


@pytest.mark.parametrize(
    ("symbol", "price"), [("XBTUSDTM", None), ("BTC-USDT", None), (".XBTUSDTMPI", 0.0)]
)
def test_a_candle_of_zeros_has_no_prices_but_for_a_premium(exchange, rest, symbol, price):
    start = START_S if symbol == "BTC-USDT" else START_S * 1000
    exchange.answers = [ok([[start, "0", "0", "0", "0", "0", "0"]])]

    (candle,) = rest.candles_page(symbol, "1min")

    assert candle[4:] == (price, price, price, price, 0.0, 0.0)


# -- trades ----------------------------------------------------------------------------------------


def test_futures_trades_are_turned_round(exchange, rest):
    exchange.answers = [Answer(payload("futures_trade_history"))]

    first, last = rest.trades("XBTUSDM")

    assert first == (
        1729163001780000000, NOW_NS, "XBTUSDM", 1697901180000, "1697901180000", "sell", 67158.4,
        2936.0,
    )  # fmt: skip
    assert (last.sequence, last.local_timestamp) == (1697901180001, NOW_NS + 1)


def test_spot_trades_keep_their_order_and_exact_sequences(exchange, rest):
    exchange.answers = [Answer(payload("spot_histories"))]

    trades = rest.trades("BTC-USDT")

    assert [trade.sequence for trade in trades] == [10976028003549185, 10976028003549188]
    assert trades[0].trade_id == "10976028003549185"


def test_arrival_stamps_increase_over_calls_though_the_clock_stands(exchange, rest):
    exchange.answers = [Answer(payload("spot_histories"))]

    stamps = [t.local_timestamp for _ in range(3) for t in rest.trades("BTC-USDT")]

    assert stamps == list(range(NOW_NS, NOW_NS + 6))


def test_the_reply_names_no_secret_and_the_request_says_who_asks(exchange, rest):
    exchange.answers = [Answer(payload("status"))]

    rest.status()

    assert exchange.asked[0].headers["User-Agent"].startswith("kucoin-research/")


@pytest.mark.parametrize("symbol", ["", "  ", None, 7])
def test_what_is_no_symbol_is_refused_unsent(exchange, rest, symbol):
    for call in (rest.contract, rest.spot_symbol, rest.trades, rest.level2_snapshot, rest.candles):
        with pytest.raises(errors.UnknownSymbol):
            call(symbol)

    assert exchange.asked == []


@pytest.mark.parametrize(
    ("symbol", "path"), [("A/../B?x#y", "A%2F..%2FB%3Fx%23y"), ("..", "%2E%2E"), ("é", "%C3%A9")]
)
def test_a_symbol_stays_one_part_of_the_path(exchange, rest, symbol, path):
    exchange.answers = [refusal("404000")]

    with pytest.raises(errors.NotFound):
        rest.contract(symbol)

    assert exchange.asked[0].path in (f"/api/v1/contracts/{path}", f"/api/v1/contracts/{symbol}")
