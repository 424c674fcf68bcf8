"""A client of the signed futures calls for tests; shares nothing with the package."""

import json
from contextlib import contextmanager
from decimal import Decimal
from urllib.parse import urlencode

from tests.unit.sim.client import ask, base_url, open_exchange
from tests.unit.sim.signed import headers


@contextmanager
def quiet_exchange(symbols, start="2026-01-05T01:00:00Z"):
    """Open an exchange whose time stands, and which has no quota of calls."""
    with open_exchange(symbols=symbols, start=start, private_rate_limit=10**9) as running:
        running.pause()
        yield running


def fields(text):
    """The names in a text, of fields that a reply must have."""
    return set(text.split())


class Caller:
    """Makes signed calls and returns their data, or the code and the text of their refusal."""

    def __init__(self, exchange, market="futures", **key):
        self.exchange = exchange
        self.market = market
        self.key = key
        self.number = 0

    def reply(self, method, path, body=None, **query):
        """The whole reply."""
        target = path + ("?" + urlencode(query) if query else "")
        text = "" if body is None else json.dumps(body)
        sent = headers(method, target, text, **self.key)
        if text:
            sent["Content-Type"] = "application/json"
        return ask(
            method,
            base_url(self.exchange, self.market) + target,
            headers=sent,
            data=text or None,
            timeout=30,
        )

    def data(self, method, path, body=None, **query):
        reply = self.reply(method, path, body, **query)
        found = reply.json()
        assert (reply.status_code, found["code"]) == (200, "200000"), found
        return found["data"]

    def refusal(self, method, path, body=None, **query):
        reply = self.reply(method, path, body, **query)
        found = reply.json()
        assert reply.status_code == 200, found
        assert found["code"] != "200000", found
        return found["code"], found["msg"]

    def get(self, path, **query):
        return self.data("GET", path, **query)

    def exact(self, path, **query):
        """Data whose numbers are decimals."""
        return json.loads(self.reply("GET", path, **query).text, parse_float=Decimal)["data"]

    def post(self, path, **body):
        return self.data("POST", path, body)

    def delete(self, path, **query):
        return self.data("DELETE", path, **query)

    def form(self, symbol, side, size=None, price=None, **values):
        """An order as a client spells it, with a clientOid of its own."""
        self.number += 1
        form = {"clientOid": f"oid-{self.number}", "symbol": symbol, "side": side}
        form |= {"type": "market"} if price is None else {"type": "limit", "price": str(price)}
        return form | ({} if size is None else {"size": size}) | values

    def place(self, symbol, side, size=None, price=None, **values):
        """Place an order; return its id."""
        form = self.form(symbol, side, size, price, **values)
        reply = self.data("POST", "/api/v1/orders", form)
        assert reply["clientOid"] == form["clientOid"]
        return reply["orderId"]

    def refused_order(self, symbol, side, size=None, price=None, /, **changes):
        """Place an order whose form is changed (None leaves a value out); return the refusal."""
        form = self.form(symbol, side, size, price) | changes
        form = {name: value for name, value in form.items() if value is not None}
        return self.refusal("POST", "/api/v1/orders", form)

    def order(self, order_id):
        return self.get(f"/api/v1/orders/{order_id}")
