"""Signed requests and private sockets for tests of accounts; shares nothing with the package."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace

from kucoin_research.foundation import clocks
from kucoin_research.sim.accounts.trading_account import TradingAccount
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.clock import VirtualClock, parse_start
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.messages.topics import parse_topics
from kucoin_research.sim.server.market_core import MarketCore
from kucoin_research.sim.server.settings import Settings
from tests.exchanges import START
from tests.set_clock import SetMachine
from tests.unit.sim.client import Client, ask, base_url, drain

KEY = "demo00000000000000000000"
SECRET = "demo-secret-for-the-simulated-exchange"
PASSPHRASE = "demo-passphrase"


def b64hmac(secret, text):
    return base64.b64encode(
        hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    ).decode()


def headers(method, target, body="", **changes):
    """The five headers; `changes` replace what they are made of, None leaves one out."""
    stamp = changes.pop("stamp", str(clocks.current().wall_ns() // 1_000_000))
    secret = changes.pop("secret", SECRET)
    made = {
        "KC-API-KEY": changes.pop("key", KEY),
        "KC-API-SIGN": b64hmac(secret, f"{stamp}{method}{target}{body}"),
        "KC-API-TIMESTAMP": stamp,
        "KC-API-PASSPHRASE": b64hmac(secret, changes.pop("passphrase", PASSPHRASE)),
        "KC-API-KEY-VERSION": changes.pop("version", "3"),
    }
    made |= changes
    return {name: text for name, text in made.items() if text is not None}


def signed(exchange, method, target, market="futures", sent=None, **changes):
    """Call `target`, signed; `sent` is what goes over the wire if that is another text."""
    return ask(
        method,
        base_url(exchange, market) + (sent or target),
        headers=headers(method, target, **changes),
        timeout=10,
    )


def private_client(exchange, market="futures", **options):
    reply = signed(exchange, "POST", "/api/v1/bullet-private", market).json()
    client = Client(exchange, market, token=reply["data"]["token"], **options)
    client.receive()
    return client


def subscribe_private(client, topic, private=True):
    client.send(id="p1", type="subscribe", topic=topic, privateChannel=private, response=True)
    return client.until(lambda frame: frame.get("id") == "p1" and frame["type"] != "message")


def life(exchange, client, seconds):
    """Let virtual time pass while frames keep coming, pause, and receive everything."""
    end = exchange.now_ns + int(seconds * 1e9)
    exchange.resume()
    client.until(lambda _: exchange.now_ns >= end, timeout=60.0)
    exchange.pause()
    drain(client)


def less_busy(symbol, one_of):
    """The ``facts`` of a listing on which others act less: one of so many times.

    Prices move as before, so a test that waits for them has less to wait for in between.
    """
    flow = LISTINGS[symbol].flow
    return {"flow": replace(flow, actions_per_second=flow.actions_per_second / one_of)}


class MarketFloor:
    """An exchange without sockets and threads, whose time the test moves; frames are kept.

    Its listings are the catalog's, with other ``facts`` if given: for all, or by symbol.
    """

    number = 0

    def __init__(
        self, *symbols, seed=7, start=START, accounts=(), facts=None, make_engine=Market, **settings
    ):
        self.machine = SetMachine()
        clock = VirtualClock(parse_start(start), machine=self.machine)
        if facts is None or not facts.keys() & set(symbols):
            facts = dict.fromkeys(symbols, facts or {})
        listings = {symbol: replace(LISTINGS[symbol], **facts[symbol]) for symbol in symbols}
        settings |= {"accounts": tuple(accounts), "warm_up": 5.0}
        self.hub = MarketCore(seed, clock, listings, Settings(**settings), make_engine)
        self.order_entry = self.hub.order_entry
        self.me = self.order_entry.members[KEY]
        self.frames = []
        clock.start()

    def push(self, message, _frame):
        self.frames.append(json.loads(message.payload))
        return True

    def listen(self, market, *topics, member=None):
        user = (member or self.me).user_id
        for text in topics:
            for topic in parse_topics(market, text, is_logged_in=True):
                if topic.is_private:
                    self.hub.listen(user, market, topic, self)
                else:
                    self.hub.subscribe(market, topic, self)

    def run(self, seconds):
        self.machine.ns += int(seconds * 1e9)
        while self.hub.tick():
            pass

    def data(self, subject, **wanted):
        """The data of the frames of a subject, whose fields are as wanted."""
        rows = [frame["data"] for frame in self.frames if frame["subject"] == subject]
        return [row for row in rows if wanted.items() <= row.items()]

    def account(self, member=None):
        return TradingAccount(member or self.me, self.order_entry, lambda function: function())
