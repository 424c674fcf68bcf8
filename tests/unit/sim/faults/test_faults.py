"""What goes wrong on demand, and the record of it."""

import json

import pytest
import requests
import websocket

from kucoin_research.errors import InvalidInput
from kucoin_research.sim import FAULTS, Fault
from tests.unit.sim.client import Client, data_of, get, open_exchange, record, wait_until

LEVEL2 = "/contractMarket/level2:XBTUSDTM"


def numbers_with(fault, seconds=2, **options):
    """Sequences seen and withheld, and the log, with a fault from virtual time zero."""
    with open_exchange() as exchange:
        exchange.inject(fault, **options)
        with record(exchange, "futures", {LEVEL2}, seconds) as client:
            seen = [message["sn"] for message in client.messages(LEVEL2)]
            return seen, [one.sequence for one in exchange.withheld], exchange.fault_log


def test_drop_withholds_what_its_record_says():
    seen, withheld, log = numbers_with("drop", topic=LEVEL2, count=3, after=10)

    first = seen[0]
    assert withheld == [first + 10, first + 11, first + 12]
    assert sorted(seen + withheld) == list(range(first, first + len(seen) + 3))
    assert [(one.fault, one.topic, one.sequence) for one in log] == [
        ("drop", LEVEL2, sequence) for sequence in withheld
    ]


def test_duplicate_sends_twice():
    seen, withheld, _ = numbers_with("duplicate", after=5)

    assert seen[5] == seen[6] == seen[0] + 5
    assert withheld == []


def test_reorder_swaps_two_frames():
    seen, withheld, _ = numbers_with("reorder", after=5)

    first = seen[0]
    assert seen[4:8] == [first + 4, first + 6, first + 5, first + 7]
    assert withheld == []


def test_other_topics_are_left_alone():
    seen, withheld, _ = numbers_with("drop", topic="/contractMarket/level2:ETHUSDTM", count=9)

    assert seen == list(range(seen[0], seen[0] + len(seen)))
    assert withheld == []


def test_stall_silences_a_topic_until_it_is_healed():
    other = "/contractMarket/tickerV2:XBTUSDTM"
    with open_exchange() as exchange:
        exchange.inject("stall", topic=LEVEL2)
        with record(exchange, "futures", {LEVEL2, other}, seconds=2) as client:
            assert client.messages(LEVEL2) == []
            assert client.messages(other)

            exchange.heal()
            exchange.resume()
            client.until(lambda frame: frame.get("topic") == LEVEL2)


def test_muted_pings_get_no_pong():
    with open_exchange() as exchange, Client(exchange) as client:
        client.receive()
        exchange.inject("mute_pong", count=1)
        client.send(id="1", type="ping")
        client.send(id="2", type="ping")

        assert client.receive()["id"] == "2"


@pytest.mark.parametrize(
    ("fault", "ending"), [("abort", None), ("bye", (1000, "Bye")), ("expire_token", None)]
)
def test_connections_end_as_the_fault_says(fault, ending):
    with open_exchange() as exchange, Client(exchange) as futures, Client(exchange, "spot") as spot:
        futures.receive()
        spot.receive()

        exchange.inject(fault, market="futures")

        assert futures.close_code() == ending
        wait_until(lambda: exchange.connections == 1)
        spot.send(id="p", type="ping")
        assert spot.receive()["type"] == "pong"


def test_abort_resets_the_connection():
    with open_exchange() as exchange, Client(exchange) as client:
        client.receive()

        exchange.inject("abort")

        with pytest.raises(ConnectionResetError):
            client.socket.recv()


def test_half_frame_ends_in_the_middle():
    with open_exchange() as exchange, Client(exchange) as client:
        client.receive()

        exchange.inject("half_frame")

        with pytest.raises(websocket.WebSocketConnectionClosedException):
            client.socket.recv()


def test_expired_token_is_told_and_refused_afterwards():
    with open_exchange() as exchange, Client(exchange) as client:
        client.receive()
        exchange.inject("expire_token")

        error = client.receive()

        assert (error["type"], error["code"], error["data"]) == ("error", 401, "token is expired")
        with Client(exchange, token=client.token) as again:
            assert again.receive()["data"] == "token is expired"
        with Client(exchange) as fresh:
            assert fresh.receive()["type"] == "welcome"


def test_http_faults_answer_as_gateways_do():
    path = "/api/v1/timestamp"
    with open_exchange() as exchange:
        exchange.inject("html_error", path=path)
        exchange.inject("overload", after=0)
        exchange.inject("truncate")

        html, overload, whole = get(exchange, path), get(exchange, path), get(exchange, path)

    assert (html.status_code, html.headers["Content-Type"]) == (502, "text/html")
    assert (overload.status_code, "gw-ratelimit-limit" in overload.headers) == (429, False)
    assert whole.status_code == 200


def test_truncated_reply_is_not_json():
    with open_exchange() as exchange:
        exchange.inject("truncate")

        with pytest.raises(requests.JSONDecodeError):
            get(exchange, "/api/v1/status").json()
        assert data_of(exchange, "/api/v1/status")["status"] == "open"


def test_upgrade_can_be_refused():
    with open_exchange() as exchange:
        exchange.inject("refuse_upgrade", status=403)

        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            Client(exchange)
        assert refused.value.status_code == 403
        Client(exchange).socket.shutdown()


def test_fault_objects_work_like_names():
    with open_exchange() as exchange:
        made = exchange.inject(Fault(name="drop", topic=LEVEL2), count=2)

    assert made == Fault(name="drop", topic=LEVEL2, count=2)


@pytest.mark.parametrize(
    ("fault", "options", "words"),
    [
        ("explode", {}, "faults: abort, "),
        ("drop", {"topics": "x"}, "options: topic, "),
        ("drop", {"count": 0}, "count"),
        ("abort", {"market": "moon"}, "futures, spot"),
    ],
)
def test_unknown_faults_and_options_are_refused(fault, options, words):
    with open_exchange() as exchange, pytest.raises(InvalidInput, match=words):
        exchange.inject(fault, **options)


def test_every_fault_has_a_name_in_the_list():
    assert {"drop", "duplicate", "abort", "expire_token"} <= set(FAULTS)
    assert json.dumps(FAULTS)
