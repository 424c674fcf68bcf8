"""What clients miss is told to the message, and what was published is kept."""

import contextlib
import json
import socket
import struct
import sys
import threading

import pytest
import websocket

from kucoin_research.errors import InvalidInput
from kucoin_research.sim.server.frame_writer import unsent_bytes
from tests.unit.sim.client import Client, drain, open_exchange, record, wait_until
from tests.unit.sim.signed import private_client, subscribe_private

TOPICS = {
    "futures": {
        "/contractMarket/execution:XBTUSDTM",
        "/contractMarket/level2:XBTUSDTM",
        "/contractMarket/tickerV2:XBTUSDTM",
    },
    "spot": {"/market/match:BTC-USDT", "/market/level2:BTC-USDT", "/market/ticker:BTC-USDT"},
}
ENDINGS = ["abort", "bye", "half_frame", "expire_token", "end_of_day", "maintenance"]


def run(exchange, client, seconds):
    end = exchange.now_ns + int(seconds * 1e9)
    exchange.resume()
    client.until(lambda _: exchange.now_ns >= end, timeout=60.0)
    exchange.pause()
    drain(client)


def pass_time(exchange, seconds):
    """Let time pass although nobody receives."""
    end = exchange.now_ns + int(seconds * 1e9)
    exchange.resume()
    wait_until(lambda: exchange.now_ns >= end)
    exchange.pause()


def rest_of(client):
    """Everything until the end of the connection."""
    client.close_code()


def texts_left(client, *, has_ended):
    """Data frames sent so far, whole ones only."""
    if has_ended:
        rest_of(client)
    else:
        client.socket.settimeout(1.0)
        client.send(id="last", type="ping")
        with contextlib.suppress(websocket.WebSocketTimeoutException):  # from a silent socket
            client.until(lambda frame: frame.get("type") == "pong")
    return [text for text in client.frames if '"type":"message"' in text]


def payloads(topic, *clients):
    return [
        text
        for client in clients
        for text in client.frames
        if text.startswith(f'{{"topic":"{topic}"')
    ]


def missing(exchange, topic):
    return [
        one.payload.decode()
        for one in exchange.withheld
        if one.topic == topic and not one.reached_others
    ]


def published(exchange, topic):
    return [one.payload.decode() for one in exchange.journal(topic)]


@pytest.mark.parametrize("market", ["futures", "spot"])
@pytest.mark.parametrize("fault", ENDINGS)
def test_received_and_withheld_are_exactly_what_was_published(fault, market):
    options = {"delay": 0.0} if fault == "maintenance" else {}
    with open_exchange(journal=True) as exchange:
        first = record(exchange, market, TOPICS[market], seconds=1.0)
        exchange.inject(fault, market=market, **options)
        rest_of(first)
        first.socket.shutdown()
        pass_time(exchange, 1.0)
        wait_until(lambda: exchange.connections == 0)
        with record(exchange, market, TOPICS[market], seconds=1.0) as second:
            for topic in TOPICS[market]:
                got = payloads(topic, first, second)
                assert sorted(got + missing(exchange, topic)) == sorted(published(exchange, topic))
            reasons = {(one.reason, one.connection) for one in exchange.withheld}
    assert reasons == {(fault, 1)}


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("abort", {}),
        ("half_frame", {}),
        ("bye", {}),
        ("stall_socket", {}),
        ("slow_reader", {"count": 50}),
        ("stall", {"until": "reconnect"}),
        ("duplicate", {"count": 50}),
        ("old_shape", {"count": 3}),
    ],
)
def test_faults_amid_a_turn_of_the_loop_are_exact_too(fault, options):
    topic = "/contractMarket/level2:XBTUSDTM"
    with open_exchange(journal=True, speed=500.0) as exchange:
        exchange.inject(fault, at=7.13, **options)
        exchange.pause()
        with Client(exchange) as first:
            first.subscribe(topic)
            pass_time(exchange, 20)
            texts = texts_left(first, has_ended=fault in ENDINGS)
            got = {json.loads(text)["data"]["sequence"] for text in texts}
            missed = {one.sequence for one in exchange.withheld}

            assert not got & missed
            assert got | missed == {one.sequence for one in exchange.journal(topic)}
            assert {one.fault for one in exchange.fault_log} == {fault}


@pytest.mark.parametrize("pause", [0.0, 0.001])
def test_an_abort_takes_back_what_the_client_had_not_taken(pause):
    topic = "/contractMarket/level2Depth50:XBTUSDTM"
    with open_exchange(journal=True, patience=0.1, buffer_bytes=1 << 16) as exchange:
        client = Client(exchange)
        client.subscribe(topic)
        # The client takes nothing for long: the kernel's buffers fill, then tornado's.
        wait_until(lambda: any(one.reason == "slow_reader" for one in exchange.withheld), 60)
        exchange.pause()
        exchange.inject("abort")
        with contextlib.suppress(ConnectionError, websocket.WebSocketConnectionClosedException):
            while True:  # a slow reader is reset only when it has what the kernel holds for it
                client.receive()
                threading.Event().wait(pause)
        client.socket.shutdown()
        got = payloads(topic, client)

        assert [one.reason for one in exchange.withheld].count("abort") > 0
        assert sorted(got + missing(exchange, topic)) == sorted(published(exchange, topic))


def test_what_others_received_says_so():
    topic = "/contractMarket/level2:XBTUSDTM"
    with open_exchange() as exchange:
        exchange.pause()
        with Client(exchange) as stays:
            goes = Client(exchange)
            stays.subscribe(topic)
            goes.subscribe(topic)
            exchange.inject("slow_reader", count=1_000_000)
            run(exchange, goes, 0.5)
            drain(stays)

            assert stays.messages() == []
            assert {(one.connection, one.reached_others) for one in exchange.withheld} == {
                (1, True)
            }
            assert len(exchange.withheld) == len(goes.messages())
            goes.socket.shutdown()


def test_an_absentee_is_gone_when_somebody_subscribes_again():
    topic = "/contractMarket/level2:XBTUSDTM"
    with open_exchange() as exchange:
        with record(exchange, "futures", {topic}, 0.5):
            exchange.inject("bye")
        with record(exchange, "futures", {topic}, 0.5) as second:
            count = len(exchange.withheld)
            run(exchange, second, 0.5)
            assert len(exchange.withheld) == count
            second.send(id="u", type="unsubscribe", topic=topic, response=True)
            second.until(lambda frame: frame.get("type") == "ack")
            pass_time(exchange, 0.5)

            assert len(exchange.withheld) == count


def test_a_subscription_that_crosses_the_farewell_is_not_heard():
    topic, late = "/contractMarket/level2:XBTUSDTM", "/contractMarket/tickerV2:XBTUSDTM"
    with open_exchange(journal=True) as exchange:
        first = record(exchange, "futures", {topic}, 0.5)
        exchange.inject("bye")
        first.send(id="late", type="subscribe", topic=late, response=True)
        rest_of(first)
        first.socket.shutdown()
        with record(exchange, "futures", {topic}, 0.5) as second:
            pass_time(exchange, 2.0)
            drain(second)

        assert exchange.journal(late) == [], "nobody is there to get it"
        assert not [one for one in exchange.withheld if one.topic == late]


def test_a_client_that_leaves_by_itself_is_not_counted():
    topic = "/contractMarket/level2:XBTUSDTM"
    with open_exchange() as exchange:
        record(exchange, "futures", {topic}, 0.5).socket.shutdown()
        wait_until(lambda: exchange.connections == 0)
        pass_time(exchange, 0.5)

        assert exchange.withheld == []


@pytest.mark.parametrize(
    ("fault", "options"),
    [("mute_pong", {}), ("stall_socket", {}), ("stall", {"until": "reconnect"})],
)
def test_a_client_that_leaves_because_of_a_fault_is(fault, options):
    topic = "/contractMarket/level2:XBTUSDTM"
    with open_exchange(journal=True) as exchange:
        first = record(exchange, "futures", {topic}, 0.5)
        exchange.inject(fault, **options)
        first.send(id="p", type="ping")
        pass_time(exchange, 0.5)
        first.socket.settimeout(0.3)
        with pytest.raises(websocket.WebSocketTimeoutException):
            first.until(lambda _: False)
        first.socket.shutdown()
        wait_until(lambda: exchange.connections == 0)
        pass_time(exchange, 0.5)
        exchange.heal()
        with record(exchange, "futures", {topic}, 0.5) as second:
            got = payloads(topic, first, second)

            assert sorted(got + missing(exchange, topic)) == sorted(published(exchange, topic))
            assert {one.reason for one in exchange.withheld} == {fault}


def test_a_held_back_message_is_told_when_its_reader_goes():
    topic = "/contractMarket/level2:XBTUSDTM"
    with (
        open_exchange(journal=True) as exchange,
        record(exchange, "futures", {topic}, 0.5) as first,
    ):
        exchange.inject("reorder", count=10_000)
        pass_time(exchange, 0.5)
        exchange.inject("abort")
        rest_of(first)

        got = payloads(topic, first)
        assert sorted(got + missing(exchange, topic)) == sorted(published(exchange, topic))


def test_a_life_that_ends_is_an_ending_too():
    topic = "/contractMarket/level2:XBTUSDTM"
    with open_exchange(connection_lifetime=0.5) as exchange, Client(exchange) as client:
        client.subscribe(topic)
        assert client.close_code() is None
        wait_until(lambda: exchange.withheld)

        assert {one.reason for one in exchange.withheld} == {"connection_lifetime"}


def test_every_topic_is_in_the_journal():
    topics = {*TOPICS["futures"], "/contractMarket/level2Depth5:XBTUSDTM"}
    with open_exchange(journal=True) as exchange:
        with record(exchange, "futures", topics, 1.0) as client:
            for topic in topics:
                assert payloads(topic, client) == published(exchange, topic)
                assert published(exchange, topic)
        times = [one.time_ns for one in exchange.journal("/contractMarket/level2:XBTUSDTM")]
        assert times == sorted(times)


def test_private_topics_are_accounted_for_alike():
    topic = "/contractMarket/tradeOrders"
    with open_exchange(journal=True, symbols=["XBTUSDTM"]) as exchange:
        exchange.pause()
        with private_client(exchange, "futures") as client:
            subscribe_private(client, topic)
            exchange.inject("bye")
            rest_of(client)
        exchange.demo_account.place("XBTUSDTM", "buy", 1, price="100")

        assert {(one.topic, one.reason) for one in exchange.withheld} == {(topic, "bye")}
        assert json.loads(exchange.withheld[0].payload)["topic"] == topic


def test_without_a_journal_there_is_none():
    with open_exchange() as exchange, pytest.raises(InvalidInput, match="journal=True"):
        exchange.journal("/contractMarket/level2:XBTUSDTM")


def test_what_is_held_back_for_those_who_stay_has_not_been_withheld():
    topic = "/contractMarket/level2:XBTUSDTM"
    with open_exchange(journal=True) as exchange, Client(exchange) as stays:
        goes = Client(exchange)
        goes.subscribe(topic)
        exchange.pause()
        stays.subscribe(topic)
        exchange.inject("mute_pong")
        goes.send(id="p", type="ping")
        wait_until(lambda: exchange.fault_log and exchange.fault_log[-1].fault == "mute_pong")
        goes.socket.shutdown()
        wait_until(lambda: exchange.connections == 1)
        exchange.heal()
        exchange.inject("reorder", count=2)
        run(exchange, stays, 1.0)

        assert [one.fault for one in exchange.fault_log].count("reorder") == 2
        assert missing(exchange, topic) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_has_left_can_be_read_behind_a_reset():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        server, _ = listening.accept()
    server.setblocking(False)
    written = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            written += server.send(b"x" * 100_000)
    unsent = unsent_bytes(server)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()

    read = 0
    with client, contextlib.suppress(ConnectionResetError):
        while data := client.recv(1 << 16):
            read += len(data)
    assert read == written - unsent
    assert unsent > 0
