"""Signed REST calls with values, for tests: what a client with a key sends."""

import contextlib
import json
from urllib.parse import urlencode

from tests.unit.sim.client import ask, base_url, open_exchange, wait_until
from tests.unit.sim.signed import headers


class Caller:
    """Makes the calls of one key on one market of an exchange."""

    def __init__(self, exchange, market="spot", **key):
        self._exchange, self._market, self._key = exchange, market, key

    def send(self, method, path, **values):
        """The whole reply; values go into the query, or into the body of a POST."""
        target, body = path, ""
        if method == "POST":
            body = json.dumps(values)
        elif values:
            target = f"{path}?{urlencode(values)}"
        return ask(
            method,
            base_url(self._exchange, self._market) + target,
            data=body,
            headers=headers(method, target, body, **self._key)
            | {"Content-Type": "application/json"},
        )

    def data(self, method, path, **values):
        """The data of a reply that has no error."""
        reply = self.send(method, path, **values)
        assert reply.status_code == 200, (reply.status_code, reply.text)
        assert reply.json()["code"] == "200000", reply.text
        return reply.json()["data"]

    def get(self, path, **values):
        return self.data("GET", path, **values)

    def post(self, path, **values):
        return self.data("POST", path, **values)

    def delete(self, path, **values):
        return self.data("DELETE", path, **values)

    def refusal(self, method, path, **values):
        """The code and the text of a refusal."""
        reply = self.send(method, path, **values)
        assert reply.status_code == 200, (reply.status_code, reply.text)
        return reply.json()["code"], reply.json()["msg"]


@contextlib.contextmanager
def still_exchange(**options):
    """An exchange of two pairs and a contract whose clock stands, and the demo account's calls."""
    usual = {"symbols": ["BTC-USDT", "ETH-BTC", "XBTUSDTM"]}
    with open_exchange(**(usual | options)) as exchange:
        exchange.pause()
        yield exchange, Caller(exchange)


def let_pass(exchange, seconds):
    """Let virtual time pass, then let it stand again."""
    end = exchange.now_ns + int(seconds * 1e9)
    exchange.resume()
    wait_until(lambda: exchange.now_ns >= end, timeout=60)
    exchange.pause()
