"""Programs of this machine may call the exchange; pages of elsewhere in its browsers may not."""

import contextlib
import json

import pytest
import requests
import websocket

from kucoin_research.sim.server.visitors import refusal
from tests.exchanges import simulate

REAL_TIME = True  # other people's clients know nothing of held time

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def exchange():
    with simulate(seed=7) as running:
        yield running


def socket_url(exchange):
    return exchange.futures_url.replace("http", "ws")


def token_of(exchange, **headers):
    url = f"{exchange.futures_url}/api/v1/bullet-public"
    return requests.post(url, headers=headers, timeout=10)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost:8000", "LOCALHOST", "127.1.2.3:1", "[::1]:8000",
             "a.localhost:1"]
)  # fmt: skip
def test_this_machine_may_call(host):
    assert refusal({"Host": host}, HERE) is None
    assert refusal({"Host": host, "Origin": f"http://{host}"}, HERE) is None


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", "10.0.0.1",
             "evil.example@127.0.0.1.nip.io", "[::2]", "[", "127.0.0.1:80@evil.example"]
)  # fmt: skip
def test_a_name_that_was_made_to_lead_here_is_refused(host):
    assert "is not called" in refusal({"Host": host}, HERE)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://localhost.evil.example", "file://", "",
               "http://10.0.0.1", "http://127.0.0.1@evil.example", "http://["]
)  # fmt: skip
def test_a_page_of_elsewhere_is_refused(origin):
    headers = {"Host": HERE, "Origin": origin}
    assert (refusal(headers, HERE) is None) == (origin == "")


@pytest.mark.parametrize(
    ("site", "mode", "dest", "may_call"),
    [
        ("cross-site", "no-cors", "image", False),
        ("cross-site", "navigate", "iframe", False),
        ("cross-site", "navigate", "document", True),
        ("same-site", "no-cors", "image", True),
        ("none", "navigate", "document", True),
    ],
)
def test_a_browser_says_who_asks_where_there_is_no_origin(site, mode, dest, may_call):
    headers = {
        "Host": HERE, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest
    }  # fmt: skip
    assert (refusal(headers, HERE) is None) is may_call
    # By another name of this machine it is another site, and yet no page of elsewhere.
    assert refusal(headers | {"Origin": "http://localhost:8888"}, HERE) is None


@pytest.mark.parametrize(("host", "is_ours"), [("10.0.0.1:80", True), ("evil.example", False)])
def test_whoever_listens_for_other_machines_is_called_by_address(host, is_ours):
    assert (refusal({"Host": host}, "0.0.0.0") is None) is is_ours


def test_a_page_gets_no_token_and_nothing_else(exchange):
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        answer = token_of(exchange, **headers)
        assert answer.status_code == 403
        assert answer.json()["code"] == "403000"
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert token_of(exchange, Origin="http://localhost:8888").status_code == 200


@contextlib.contextmanager
def connected(url, **options):
    client = websocket.WebSocket()
    try:
        client.connect(url, timeout=10, **options)
        yield client
    finally:
        client.shutdown()


@pytest.mark.parametrize("path", ["/", "/pro"])
@pytest.mark.parametrize("option", [{"origin": "http://evil.example"}, {"host": "evil.example"}])
def test_a_page_opens_no_socket(exchange, path, option):
    with (
        pytest.raises(websocket.WebSocketBadStatusException) as refused,
        connected(socket_url(exchange) + path, **option),
    ):
        pass
    assert refused.value.status_code == 403


def test_a_token_names_the_address_that_is_listened_on(exchange):
    data = token_of(exchange, Host="localhost:1").json()["data"]

    assert data["instanceServers"][-1]["endpoint"] == f"{socket_url(exchange)}/"


def test_a_large_body_is_not_taken(exchange):
    url = f"{exchange.futures_url}/api/v1/bullet-public"

    try:
        answer = requests.post(url, data=b"x" * (4 << 20), timeout=10)
    except requests.ConnectionError:
        return
    assert answer.status_code in (400, 413)


@pytest.mark.parametrize("path", ["/", "/pro"])
def test_deeply_nested_json_ends_that_socket_and_nothing_else(exchange, path):
    token = token_of(exchange).json()["data"]["token"]
    here = f"{socket_url(exchange)}/?token={token}"
    with (
        connected(here) as other,
        connected(f"{socket_url(exchange)}{path}?token={token}") as hostile,
    ):
        hostile.recv()
        hostile.send("[" * 200_000)
        assert has_ended(hostile)

        assert json.loads(other.recv())["type"] == "welcome"
        other.send(json.dumps({"id": "1", "type": "ping"}))
        assert json.loads(other.recv())["type"] == "pong"


@pytest.mark.parametrize("path", ["/", "/pro"])
def test_json_of_any_depth_and_any_text_is_answered_or_ends_its_socket(exchange, path, caplog):
    token = token_of(exchange).json()["data"]["token"]
    ids = ['"\\ud800"', *("[" * depth + "]" * depth for depth in range(880, 1_000))]
    for text in ids:
        with connected(f"{socket_url(exchange)}{path}?token={token}") as client:
            client.recv()
            client.send(f'{{"type":"ping","id":{text}}}')
            answer = client.recv()
        if answer:
            assert json.loads(answer)["id"] == ("?" if text in ids[0] else text)
    assert caplog.text == ""


def has_ended(client):
    try:
        while client.recv() != "":  # as a close frame reads
            pass
    except (websocket.WebSocketConnectionClosedException, ConnectionError):
        pass
    return True
