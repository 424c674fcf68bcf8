"""Each way to misbehave, as a plain client sees it, and as the logs show it."""

import json
from itertools import pairwise

import pytest
import requests
import websocket

from kucoin_research.errors import InvalidInput, UnknownSymbol
from kucoin_research.foundation import clocks
from kucoin_research.sim import FAULTS, Exchange
from kucoin_research.sim.faults.kinds import GARBAGE, KINDS, Message, parse_fault
from kucoin_research.sim.faults.malformed import in_old_shape
from tests.held_time import adapt, dial
from tests.unit.sim.client import (
    TOPICS,
    Client,
    ask,
    base_url,
    connect,
    data_of,
    drain,
    get,
    open_exchange,
    record,
    token_data,
    wait_until,
)
from tests.unit.sim.messages.test_pro import ProClient

LEVEL2 = {"futures": "/contractMarket/level2:XBTUSDTM", "spot": "/market/level2:BTC-USDT"}
TRADES = {"futures": "/contractMarket/execution:XBTUSDTM", "spot": "/market/match:BTC-USDT"}
SYMBOLS = {"futures": "XBTUSDTM", "spot": "BTC-USDT"}
MARKETS = ["futures", "spot"]
STATUS = "/api/v1/status"
both_markets = pytest.mark.parametrize("market", MARKETS)


def run(exchange, client, seconds):
    end = exchange.now_ns + int(seconds * 1e9)
    exchange.resume()
    client.until(lambda _: exchange.now_ns >= end, timeout=60.0)
    exchange.pause()
    drain(client)


def pass_time(exchange, seconds):
    end = exchange.now_ns + int(seconds * 1e9)
    exchange.resume()
    wait_until(lambda: exchange.now_ns >= end)
    exchange.pause()


def number_of(frame):
    data = frame["data"]
    return data["sequence"] if "sequence" in data else data["sequenceEnd"]


def numbers(client, topic):
    return [number_of(frame) for frame in client.messages(topic)]


def test_every_fault_is_documented():
    assert set(FAULTS) == set(KINDS)
    for name in FAULTS:
        assert f"``{name}``" in Exchange.inject.__doc__, name
        assert KINDS[name].what


# Messages


@both_markets
@pytest.mark.parametrize(("fault", "kept"), [("drop", 0), ("duplicate", 2), ("stall", 0)])
def test_messages_are_left_out_or_sent_twice(fault, kept, market):
    topic = LEVEL2[market]
    with open_exchange() as exchange:
        exchange.inject(fault, topic=topic, count=3, after=5)
        with record(exchange, market, {topic}, 1) as client:
            log = [one for one in exchange.fault_log if one.fault == fault]
            seen = numbers(client, topic)

            assert len(log) == 3
            assert all(seen.count(one.sequence) == kept for one in log)
            withheld = [(one.topic, one.sequence) for one in exchange.withheld]
            assert withheld == ([] if kept else [(topic, one.sequence) for one in log])


@both_markets
@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_comes_in_place_of_a_message(kind, market):
    topic = LEVEL2[market]
    with open_exchange(journal=True) as exchange:
        exchange.inject("malformed", topic=topic, garbage=kind, after=3)
        exchange.pause()
        with Client(exchange, market) as client:
            client.subscribe(topic)
            end = exchange.now_ns + 10**9
            exchange.resume()
            wait_until(lambda: exchange.now_ns >= end)
            exchange.pause()
            texts = []
            client.send(id="last", type="ping")
            while not texts or '"pong"' not in texts[-1]:
                texts.append(client.socket.recv())

            [missed] = exchange.withheld
            original = missed.payload.decode()
            position = [one.payload for one in exchange.journal(topic)].index(missed.payload)
            assert (missed.reason, position, original in texts) == ("malformed", 3, False)
            others = [text for text in texts if '"type":"message"' in text and "}{" not in text]
            assert len(exchange.journal(topic)) - len(others) in (0, 1)


def test_garbage_is_drawn_by_the_seed():
    def garbage(seed):
        with open_exchange(seed=seed) as exchange:
            exchange.inject("malformed", count=6)
            exchange.pause()
            with Client(exchange) as client:
                client.subscribe(LEVEL2["futures"])
                exchange.resume()
                return [client.socket.recv() for _ in range(6)]

    first = garbage(7)

    assert first == garbage(7)
    assert len({text[-20:] for text in first}) > 2


@both_markets
def test_old_shapes_lose_nothing(market):
    with open_exchange(journal=True) as exchange:
        exchange.inject("old_shape", market=market, count=None)
        topics = TOPICS[market]
        with record(exchange, market, topics, 70 if market == "spot" else 3) as client:
            assert exchange.withheld == []
            seen = {frame["topic"] for frame in client.messages()}
            assert len(seen) > 5
            for topic in seen:
                originals = [json.loads(one.payload) for one in exchange.journal(topic)]
                got = client.messages(topic)
                assert len(got) == len(originals)
                for old, new in zip(got, originals, strict=True):
                    assert list(old) != list(new)
                    for key, value in new["data"].items():
                        if key in ("sequence", "size", "side", "symbol", "change", "candles"):
                            assert str(old["data"][key]) == str(value)


@pytest.mark.parametrize(
    ("topic", "check"),
    [
        ("/contractMarket/tickerV2:X", lambda d: isinstance(d["bestBidPrice"], float)),
        ("/contractMarket/execution:X", lambda d: isinstance(d["price"], float)),
        ("/contractMarket/level2Depth5:X", lambda d: d["ts"] > 10**18 and d["asks"][0][1] == "3"),
        ("/market/match:X", lambda d: len(d["tradeId"]) == 24 and d["price"].endswith("0" * 15)),
        ("/market/snapshot:X", lambda d: d["sequence"] == 12),
    ],
)
def test_old_shapes_are_those_of_their_years(topic, check):
    data = {
        "bestBidPrice": "1.5",
        "bestAskPrice": "1.6",
        "price": "1.5",
        "makerOrderId": "1",
        "takerOrderId": "2",
        "tradeId": "7",
        "sequence": "12",
        "asks": [["1.6", 3]],
        "bids": [["1.5", 4]],
        "ts": 1_767_571_200_000,
        "timestamp": 1_767_571_200_000,
        "time": "1767571200000000000",
    }
    payload = json.dumps({"topic": topic, "type": "message", "sn": 1, "data": data}).encode()

    old = json.loads(in_old_shape(Message(topic, 1, payload)).payload)

    assert check(old["data"])
    assert next(iter(old)) == "data"


@both_markets
@pytest.mark.parametrize("until", ["resubscribe", "reconnect"])
def test_a_stall_ends_as_it_says(until, market):
    topic, other = LEVEL2[market], TRADES[market]
    with (
        open_exchange() as exchange,
        record(exchange, market, {topic, other}, 1) as client,
    ):
        before = len(client.messages(topic))
        exchange.inject("stall", topic=topic, until=until)
        pass_time(exchange, 1)
        client.subscribe(topic, "again")
        pass_time(exchange, 1)
        drain(client)
        now = len(client.messages(topic))
        assert (now > before) == (until == "resubscribe")
        assert {(one.topic, one.reason, one.connection) for one in exchange.withheld} == {
            (topic, "stall", 1)
        }
        with record(exchange, market, {topic}, 1) as fresh:
            assert fresh.messages(topic)


# Connections


@both_markets
def test_a_stalled_socket_says_nothing_and_stays_open(market):
    topic = LEVEL2[market]
    with open_exchange() as exchange, record(exchange, market, {topic}, 0.5) as client:
        exchange.inject("stall_socket", market=market)
        client.send(id="p", type="ping")
        client.send(id="s", type="subscribe", topic=TRADES[market], response=True)
        pass_time(exchange, 1)
        client.socket.settimeout(0.3)
        with pytest.raises(websocket.WebSocketTimeoutException):
            client.receive()

        assert exchange.connections == 1
        assert {(one.reason, one.connection) for one in exchange.withheld} == {("stall_socket", 1)}
        with record(exchange, market, {topic}, 0.5) as fresh:
            assert fresh.messages(topic)
        exchange.heal()
        client.send(id="q", type="ping")
        assert client.until(lambda frame: frame["type"] == "pong")["id"] == "q"


@both_markets
def test_late_pongs_come_late(market):
    with open_exchange() as exchange, Client(exchange, market) as client:
        client.receive()
        exchange.inject("late_pong", delay=0.3, count=1)
        started = clocks.current().monotonic_ns()
        client.send(id="1", type="ping")
        client.send(id="2", type="ping")

        assert [client.receive()["id"], client.receive()["id"]] == ["2", "1"]
        assert clocks.current().monotonic_ns() - started >= 299_999_999


@both_markets
def test_a_day_ends_for_connections_and_tokens(market):
    with open_exchange() as exchange, Client(exchange, market) as client:
        client.receive()
        exchange.inject("end_of_day", market=market)

        assert client.close_code() is None
        with Client(exchange, market, token=client.token) as again:
            assert again.receive()["data"] == "token is expired"
        with Client(exchange, market) as fresh:
            assert fresh.receive()["type"] == "welcome"


@both_markets
def test_fresh_tokens_can_be_told_expired(market):
    with open_exchange() as exchange:
        exchange.inject("reject_token", market=market, count=2)
        for _ in range(2):
            with Client(exchange, market) as client:
                told = client.receive()
                assert (told["code"], told["data"]) == (401, "token is expired")
                assert client.close_code() is None
        with Client(exchange, market) as client:
            assert client.receive()["type"] == "welcome"


@both_markets
@pytest.mark.parametrize("status", [401, 403, 429])
def test_upgrades_are_refused_with_a_status(status, market):
    with open_exchange() as exchange:
        exchange.inject("refuse_upgrade", market=market, status=status)

        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            Client(exchange, market)

        assert refused.value.status_code == status


@both_markets
def test_maintenance_shuts_one_market_for_a_while(market):
    other = next(name for name in MARKETS if name != market)
    with open_exchange() as exchange, Client(exchange, market) as client:
        client.receive()
        token = token_data(exchange, market)["token"]
        exchange.inject("maintenance", market=market, delay=60.0)

        assert client.close_code() is None
        assert data_of(exchange, STATUS, market)["status"] == "close"
        assert data_of(exchange, STATUS, other)["status"] == "open"
        refused = ask("POST", base_url(exchange, market) + "/api/v1/bullet-public", timeout=10)
        assert (refused.status_code, refused.json()["code"]) == (503, "503000")
        address = base_url(exchange, market).replace("http", "ws")
        with pytest.raises(websocket.WebSocketBadStatusException) as upgrade:
            connect(f"{address}/?token={token}", timeout=10)
        assert upgrade.value.status_code == 503
        exchange.inject("maintenance", market=market, delay=0.1)
        wait_until(lambda: data_of(exchange, STATUS, market)["status"] == "open")
        Client(exchange, market).socket.shutdown()


def test_only_the_connections_of_a_topic_end_where_one_is_named():
    with open_exchange() as exchange, Client(exchange) as one, Client(exchange) as two:
        one.subscribe(LEVEL2["futures"])
        two.subscribe(TRADES["futures"])
        exchange.inject("bye", topic=LEVEL2["futures"])

        assert one.close_code() == (1000, "Bye")
        assert exchange.connections == 1


# REST


@both_markets
@pytest.mark.parametrize(
    ("fault", "options", "status", "has_quota"),
    [
        ("rate_limit", {"delay": 2.0}, 429, True),
        ("overload", {}, 429, False),
        ("html_error", {}, 502, False),
    ],
)
def test_rest_calls_fail_as_they_do_at_kucoin(fault, options, status, has_quota, market):
    with open_exchange() as exchange:
        exchange.inject(fault, market=market, path=STATUS, **options)
        data_of(exchange, "/api/v1/timestamp", market)
        reply = get(exchange, STATUS, market)

        assert reply.status_code == status
        assert ("gw-ratelimit-reset" in reply.headers) == has_quota
        if has_quota:
            assert reply.headers["gw-ratelimit-reset"] == "2000"
            assert reply.headers["gw-ratelimit-remaining"] == "0"
        if status == 429:
            assert reply.json()["code"] == "429000"
        assert data_of(exchange, STATUS, market)["status"] == "open"
        assert [one.fault for one in exchange.fault_log] == [fault]


def test_slow_replies_leave_the_others_alone():
    with open_exchange() as exchange, requests.Session() as session:
        exchange.inject("slow_reply", path=STATUS, delay=0.5)
        address = base_url(exchange)
        raw = dial(*tuple_of(address), 10)
        raw.sendall(f"GET {STATUS} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        started = clocks.current().monotonic()
        adapt(session)
        session.get(address + "/api/v1/timestamp", timeout=10)
        quick = clocks.current().monotonic() - started
        assert raw.recv(12) == b"HTTP/1.1 200"
        assert quick < 0.4 <= clocks.current().monotonic() - started + 0.1
        raw.close()


def tuple_of(address):
    host, port = address.removeprefix("http://").split(":")
    return host, int(port)


# Books and contracts


@both_markets
def test_a_rebase_renumbers_stream_rest_and_tape(market):
    topic, symbol = LEVEL2[market], SYMBOLS[market]
    ticker = {"futures": "/contractMarket/tickerV2", "spot": "/market/ticker"}[market]
    path = {
        "futures": "/api/v1/level2/depth100",
        "spot": "/api/v1/market/orderbook/level2_100",
    }[market]
    with (
        open_exchange() as exchange,
        record(exchange, market, {topic, f"{ticker}:{symbol}"}, 1) as client,
    ):
        last = numbers(client, topic)[-1]
        exchange.inject("rebase", symbol=symbol)
        run(exchange, client, 1)
        jump = 1_000_000 if market == "futures" else 999_999
        seen = numbers(client, topic)
        position = seen.index(last) + 1
        book = data_of(exchange, path, market, symbol=symbol)
        tape = exchange.tape(symbol)

        assert seen[position] == last + 1 - jump
        assert seen[position:] == list(range(seen[position], seen[position] + len(seen) - position))
        assert int(book["sequence"]) == seen[-1]
        assert int(client.messages(f"{ticker}:{symbol}")[-1]["data"]["sequence"]) <= seen[-1]
        assert tape.rebases == ((tape.rebases[0][0], last - jump),)
        for sequence, expected in ((seen[-1], tape.book(seen[-1])), (last, tape.book(last))):
            assert expected == replayed(tape, sequence)
        bids, _ = tape.book(seen[-1])
        ticks = [round(float(price) / float(tape.listing.tick_size)) for price, _ in book["bids"]]
        assert sorted(bids, reverse=True)[: len(ticks)] == ticks


def replayed(tape, sequence):
    """The book when the newest change of that number, or its filler's, had happened."""
    positions = [
        i for i, one in enumerate(tape.changes) if one.sequence in (sequence, sequence - 1)
    ]
    sides = {"buy": dict(tape.bids), "sell": dict(tape.asks)}
    for change in tape.changes[: positions[-1] + 1]:
        sides[change.side].pop(change.price_ticks, None)
        if change.size:
            sides[change.side][change.price_ticks] = change.size
    return sides["buy"], sides["sell"]


def test_a_rebased_pro_book_stays_contiguous():
    with open_exchange() as exchange:
        exchange.pause()
        with ProClient(exchange) as client:
            client.ask(channel="obu", depth="increment@10ms")
            pass_time(exchange, 0.5)
            exchange.inject("rebase", symbol="XBTUSDTM")
            pass_time(exchange, 0.5)
            client.socket.send(json.dumps({"id": "p", "type": "ping"}))
            client.until(lambda frame: frame.get("type") == "pong")
            deltas = [frame["d"] for frame in client.data() if frame["t"] == "delta"]
            steps = [new["O"] - old["C"] for old, new in pairwise(deltas)]

            assert sorted(set(steps)) == [1 - 1_000_000, 1]


@both_markets
def test_a_crossed_book_is_taken_back_within_100_ms(market):
    topic, symbol = LEVEL2[market], SYMBOLS[market]
    with open_exchange() as exchange:
        exchange.pause()
        with Client(exchange, market) as client:
            client.subscribe(topic)
            tape = exchange.tape(symbol)
            exchange.inject("crossed_book", symbol=symbol)
            run(exchange, client, 1)
            seen = numbers(client, topic)
            changes = exchange.tape(symbol).changes
            bids, asks = dict(tape.bids), dict(tape.asks)
            crossed = []
            for change in changes:
                side = bids if change.side == "buy" else asks
                side.pop(change.price_ticks, None)
                if change.size:
                    side[change.price_ticks] = change.size
                if max(bids) >= min(asks):
                    crossed.append(change.time_ns)
            path = {
                "futures": "/api/v1/level2/depth100",
                "spot": "/api/v1/market/orderbook/level2_100",
            }[market]
            book = data_of(exchange, path, market, symbol=symbol)

            assert seen == list(range(seen[0], seen[0] + len(seen)))
            assert crossed
            assert crossed[-1] - crossed[0] < 100_000_000
            assert float(book["bids"][0][0]) < float(book["asks"][0][0])


def test_rest_shows_the_crossed_book_too():
    with open_exchange() as exchange:
        exchange.pause()
        with Client(exchange) as client:
            client.subscribe(LEVEL2["futures"])
            exchange.inject("crossed_book")
            book = data_of(exchange, "/api/v1/level2/depth20", symbol="XBTUSDTM")

    assert book["bids"][0][0] > book["asks"][0][0]


@both_markets
def test_a_delisted_symbol_is_closed_and_silent_until_healed(market):
    topic, symbol = LEVEL2[market], SYMBOLS[market]
    path = {"futures": "/api/v1/contracts/", "spot": "/api/v2/symbols/"}[market] + symbol

    def is_closed():
        row = data_of(exchange, path, market)
        return row["status"] == "Closed" if market == "futures" else not row["enableTrading"]

    with open_exchange() as exchange, record(exchange, market, {topic}, 0.5) as client:
        assert not is_closed()
        count = len(client.messages(topic))
        exchange.inject("delist", symbol=symbol)
        pass_time(exchange, 1)
        drain(client)
        assert is_closed()
        assert len(client.messages(topic)) == count
        assert {one.reason for one in exchange.withheld} == {"delist"}
        with Client(exchange, market) as fresh:
            fresh.subscribe(topic)
            pass_time(exchange, 0.5)
            drain(fresh)
            assert fresh.messages(topic) == []
        exchange.heal()
        run(exchange, client, 0.5)
        assert not is_closed()
        assert len(client.messages(topic)) > count


@both_markets
def test_executions_are_repeated_to_the_next_subscriber(market):
    topic = TRADES[market]
    with open_exchange() as exchange:
        with record(exchange, market, {topic}, 20) as first:
            exchange.inject("abort")
            first.close_code()
            before = numbers(first, topic)
        pass_time(exchange, 5)
        missed = [one.sequence for one in exchange.withheld]
        exchange.inject("repeat_executions", count=3)
        with record(exchange, market, {topic}, 1) as second:
            again = [int(number) for number in numbers(second, topic)[:3]]

            assert again == [*map(int, before), *missed][-3:]
            assert [one.sequence for one in exchange.withheld] == [
                number for number in missed if number not in again
            ]


@both_markets
def test_repeated_executions_may_have_holes(market):
    topic = TRADES[market]
    with open_exchange() as exchange:
        with record(exchange, market, {topic}, 20) as first:
            exchange.inject("abort")
            first.close_code()
            before = numbers(first, topic)
        pass_time(exchange, 5)
        missed = [one.sequence for one in exchange.withheld]
        exchange.inject("repeat_executions", count=4, every=3, after=2)
        with record(exchange, market, {topic}, 1) as second:
            again = [int(number) for number in numbers(second, topic)[:4]]

            assert again == [*map(int, before), *missed][:-2][::-3][:4][::-1]
            assert [one.sequence for one in exchange.withheld] == [
                number for number in missed if number not in again
            ]


# Facts in the token reply


def test_dead_servers_come_first_and_refuse():
    with open_exchange(dead_servers=2) as exchange:
        servers = token_data(exchange)["instanceServers"]
        assert len(servers) == 3
        for server in servers[:2]:
            with pytest.raises(ConnectionRefusedError):
                connect(server["endpoint"], timeout=5)
        token = token_data(exchange)["token"]
        live = connect(servers[2]["endpoint"] + f"?token={token}", timeout=5)
        assert json.loads(live.recv())["type"] == "welcome"
        live.shutdown()


def test_clients_are_told_how_long_connections_live():
    with open_exchange(token_lifetime=50.0, connection_lifetime=40.0) as exchange:
        assert token_data(exchange)["simulation"]["lifetime"] == 40.0


# Choice and input


def test_a_fault_can_wait_for_the_first_subscription():
    topic = LEVEL2["futures"]
    with open_exchange() as exchange:
        exchange.inject("drop", topic=topic, count=1, at=0.5)
        with record(exchange, "futures", {topic}, 1):
            [one] = exchange.withheld
            assert 500_000_000 <= one.time_ns - exchange.clock.start_ns < 600_000_000


def test_pick_chooses_one_of_the_topics():
    topics = {LEVEL2["futures"], TRADES["futures"]}
    with open_exchange() as exchange:
        exchange.inject("stall", at=0, pick=3)
        with record(exchange, "futures", topics, 2):
            assert {one.topic for one in exchange.withheld} == {sorted(topics)[1]}


@pytest.mark.parametrize(
    ("fault", "options", "words"),
    [
        ("abort", {"path": "/x"}, "no option 'path'; options: topic, market"),
        ("stall", {"until": "noon"}, "heal, resubscribe, reconnect"),
        ("malformed", {"garbage": "x"}, "not_json"),
        ("crossed_book", {"delay": 0.5}, "below 0.1"),
        ("late_pong", {"delay": -1}, "delay"),
        ("refuse_upgrade", {"status": 42}, "42"),
        ("rebase", {"by": 0}, "by >= 3"),
        ("drop", {"count": "many"}, "whole number"),
        ("repeat_executions", {"count": None}, "count"),
        ("repeat_executions", {"every": 0}, "every >= 1"),
        ("repeat_executions", {"every": 1.5}, "whole number for every"),
    ],
)
def test_options_that_make_no_sense_are_refused(fault, options, words):
    with open_exchange() as exchange, pytest.raises(InvalidInput, match=words):
        exchange.inject(fault, **options)


def test_unknown_symbols_are_refused():
    with open_exchange() as exchange, pytest.raises(UnknownSymbol, match="MOON"):
        exchange.inject("rebase", symbol="MOON")


def test_faults_can_be_written_as_text():
    fault, at = parse_fault("stall:topic=/contractMarket/level2:XBTUSDTM,until=reconnect,at=2.5")

    assert (fault.name, fault.topic, fault.until, at) == (
        "stall",
        "/contractMarket/level2:XBTUSDTM",
        "reconnect",
        2.5,
    )
    assert parse_fault(str(fault)) == (fault, 0.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [("explode", "faults: "), ("drop:count", "key=value"), ("drop:at=-1", "at=-1")],
)
def test_text_that_is_no_fault_is_refused(text, words):
    with pytest.raises(InvalidInput, match=words):
        parse_fault(text)
