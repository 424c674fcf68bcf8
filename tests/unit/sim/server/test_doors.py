"""The start and the end of an exchange on this machine: ports, thread, arguments."""

import asyncio
import threading

import pytest
import requests

from kucoin_research.errors import InvalidInput, UnknownSymbol
from kucoin_research.sim import Exchange
from tests.conftest import spawn
from tests.unit.sim.client import Client, ask, base_url, data_of, open_exchange

THREAD = "kucoin-research-simulator"


def test_requests_are_logged():
    with open_exchange() as exchange:
        data_of(exchange, "/api/v1/timestamp")
        with Client(exchange) as client:
            client.receive()

            assert exchange.requests == [
                ("GET", "/api/v1/timestamp"),
                ("POST", "/api/v1/bullet-public"),
                ("GET", "/"),
            ]
            assert exchange.connections == 1


def test_close_leaves_no_thread_and_no_port():
    before = set(threading.enumerate())
    exchange = open_exchange()
    assert THREAD in [thread.name for thread in set(threading.enumerate()) - before]
    url = exchange.futures_url
    client = Client(exchange)
    client.receive()

    exchange.close()
    exchange.close()

    assert exchange.is_closed
    assert client.close_code() is None
    client.socket.shutdown()
    assert set(threading.enumerate()) == before
    with pytest.raises(requests.ConnectionError):
        ask("GET", url + "/api/v1/timestamp", timeout=2)


def test_close_works_from_several_threads_at_once():
    exchange = open_exchange()
    closers = [spawn(exchange.close) for _ in range(4)]

    for closer in closers:
        closer.join(5)

    assert exchange.is_closed


def test_it_works_inside_a_running_event_loop():
    async def cell():
        with open_exchange() as exchange:
            return data_of(exchange, "/api/v1/status")

    assert asyncio.run(cell()) == {"status": "open", "msg": ""}


def test_a_taken_port_is_told():
    with open_exchange() as exchange:
        port = int(exchange.futures_url.rpartition(":")[2])

        with pytest.raises(OSError, match="in use"):
            open_exchange(futures_port=port)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"speed": 0}, InvalidInput),
        ({"speed": "fast"}, InvalidInput),
        ({"accounts": ["mine"]}, InvalidInput),
        ({"start": "yesterday"}, InvalidInput),
        ({"start": 1_767_571_200}, InvalidInput),
        ({"symbols": ["NOPE"]}, UnknownSymbol),
        ({"sped": 3}, InvalidInput),
    ],
)
def test_wrong_arguments_are_refused(options, error):
    with pytest.raises(error):
        Exchange(**options)


def test_base_urls_are_loopback():
    with open_exchange() as exchange:
        assert base_url(exchange, "futures") != base_url(exchange, "spot")
        assert repr(exchange).startswith("<Exchange http://127.0.0.1:")
