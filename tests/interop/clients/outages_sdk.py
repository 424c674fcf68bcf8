"""KuCoin's own kucoin-universal-sdk through outages: one client per session, its defaults kept.

Runs in .venv-interop, started by tests/interop: ``outages_sdk.py outages - - PLAN``; see
``tests/interop/outages.py`` for what it is told and what it tells.
"""

import json
import logging
import os
import sys
import threading
import time

from kucoin_universal_sdk.api.client import DefaultClient
from kucoin_universal_sdk.model.client_option import ClientOptionBuilder
from kucoin_universal_sdk.model.transport_option import TransportOptionBuilder
from kucoin_universal_sdk.model.websocket_option import WebSocketClientOptionBuilder

QUIET, DEADLINE = 1.0, 10.0  # seconds without a message, and those that are waited for it
PATIENCE = 45.0  # seconds in which no row comes while everything begins
ORDINARY = ("EVENT_MESSAGE_RECEIVED", "EVENT_PONG_RECEIVED")


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")


class Session:
    """One client and what it brought, by channel and sequence."""

    def __init__(self, futures_url, spot_url, symbol):
        self.rows = {"trade": [], "level2": []}
        self.told = []
        self.last = time.monotonic()
        self._client = self._make(futures_url, spot_url)
        self._socket = self._client.ws_service().new_futures_public_ws()
        self._socket.start()
        # Raises unless the exchange acknowledges.
        self._socket.execution(symbol, self._callback("trade"))
        self._socket.orderbook_increment(symbol, self._callback("level2"))

    def _make(self, futures_url, spot_url):
        # Reconnecting is on by default, every 5 seconds and without end.
        return DefaultClient(
            ClientOptionBuilder()
            .set_key("interop-key")
            .set_secret("interop-secret")
            .set_passphrase("interop-passphrase")
            .set_futures_endpoint(futures_url)
            .set_spot_endpoint(spot_url)
            .set_broker_endpoint(spot_url)
            .set_transport_option(TransportOptionBuilder().build())
            .set_websocket_client_option(
                WebSocketClientOptionBuilder().with_event_callback(self._on_event).build()
            )
            .build()
        )

    def _on_event(self, event, _message, _error):
        if event.name not in ORDINARY:
            self.told.append(event.name.removeprefix("EVENT_"))

    def _callback(self, channel):
        def on_data(_topic, _subject, data):
            self.rows[channel].append(int(data.sequence))
            self.last = time.monotonic()

        return on_data

    def is_warm(self, wanted):
        return not self.missing(wanted)

    def missing(self, wanted):
        return sum(max(0, rows - len(self.rows[channel])) for channel, rows in wanted.items())

    @property
    def result(self):
        return {"rows": self.rows, "told": self.told, "book": None}


def until(condition, timeout, progress=lambda: None):
    deadline, pause, last = time.monotonic() + timeout, threading.Event(), progress()
    while not condition() and time.monotonic() < deadline:
        pause.wait(0.02)
        if (now := progress()) != last:
            deadline, last = time.monotonic() + timeout, now
    return condition()


def outages(plan):
    sessions = {name: Session(*urls, plan["symbol"]) for name, urls in plan["sessions"].items()}
    is_warm = until(
        lambda: all(each.is_warm(plan["warm"]) for each in sessions.values()),
        PATIENCE,
        progress=lambda: [each.missing(plan["warm"]) for each in sessions.values()],
    )
    for session in sessions.values():
        session.told.clear()
    say(call="ready" if is_warm else "late")
    sys.stdout.flush()
    sys.stdin.readline()
    until(lambda: all(time.monotonic() - each.last > QUIET for each in sessions.values()), DEADLINE)
    for name, session in sessions.items():
        say(call=name, data=session.result)


logging.getLogger().addHandler(logging.StreamHandler())  # to stderr: warnings and errors
outages(json.loads(sys.argv[4]))
say(call="done")
sys.stdout.flush()
# Its stop() joins threads that may wait for each other (kucoin-universal-sdk issue 80).
os._exit(0)
