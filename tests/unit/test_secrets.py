"""One search through everything the package can emit, for secrets that must not be in it."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import pickle
import pprint
import traceback
from pathlib import Path

import pytest
import websocket

import kucoin_research as kr
from kucoin_research import sim
from kucoin_research.exchange.rest import client as rest_module
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.sessions.frame_csv import append_csv
from tests.conftest import wait_until
from tests.exchanges import simulate
from tests.held_time import SkewedTime

KEY, SECRET, PASSPHRASE = "markerkey0000000000000001", "markersecret-0002", "markerphrase-0003"
MARKERS = (KEY, SECRET, PASSPHRASE)


class Emitted:
    """Collects every text, and what must not be in any of them."""

    def __init__(self):
        self.texts = {}
        self.secrets = list(MARKERS)

    def add(self, where, text):
        self.texts[f"{len(self.texts)} {where}"] = str(text)

    def show(self, where, value):
        """Add every ordinary way of showing an object."""
        self.add(f"repr of {where}", repr(value))
        self.add(f"str of {where}", f"{value}")
        self.add(f"pprint of {where}", pprint.pformat(value))
        self.add(f"vars of {where}", repr(getattr(value, "__dict__", "")))
        html = getattr(value, "_repr_html_", None)
        self.add(f"html of {where}", html() if html is not None else "")
        with contextlib.suppress(Exception):
            self.add(f"copy of {where}", repr(vars(copy.copy(value))))
        with contextlib.suppress(Exception):
            self.add(f"pickle of {where}", pickle.dumps(value))

    def fail(self, where, call, *arguments, **options):
        """Add what a failing call raises: its text, its traceback, its whole chain."""
        with pytest.raises(kr.KucoinResearchError) as caught:
            call(*arguments, **options)
        self.show(where, caught.value)
        self.add(f"traceback of {where}", "".join(traceback.format_exception(caught.value)))
        self.add(f"args of {where}", repr(caught.value.args))

    def search(self):
        return {
            where: secret
            for where, text in self.texts.items()
            for secret in self.secrets
            if secret in text
        }


@pytest.fixture
def emitted(monkeypatch, capfd, tmp_path):
    """Everything logged at DEBUG by anybody, both outputs, and every file written."""
    found = Emitted()
    tokens, original = [], rest_module.Rest.token

    def token(self, *arguments, **options):
        taken = original(self, *arguments, **options)
        tokens.append(taken.token[:32])  # before any character that a URL escapes
        return taken

    monkeypatch.setattr(rest_module.Rest, "token", token)
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s %(exc_text)s"))
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    websocket.enableTrace(True, handler=handler)
    yield found
    websocket.enableTrace(False)
    websocket._logging._logger.handlers.clear()
    root.removeHandler(handler)
    root.setLevel(level)
    out, err = capfd.readouterr()
    found.add("log", log.getvalue())
    found.add("stdout", out)
    found.add("stderr", err)
    for path in Path(tmp_path).rglob("*"):
        found.add(path.name, path)
        if path.is_file():
            found.add(path.name, path.read_bytes())
    found.secrets += tokens
    assert tokens, "no connection was made"
    assert "urllib3" in log.getvalue()
    assert "websocket" in log.getvalue()
    assert found.search() == {}


@pytest.fixture
def mine():
    return sim.Account(key=KEY, secret=SECRET, passphrase=PASSPHRASE)


def test_no_secret_is_in_anything_emitted(emitted, mine, tmp_path):
    credentials = kr.Credentials(KEY, SECRET, PASSPHRASE)
    emitted.show("credentials", credentials)
    with simulate(speed=30.0, accounts=[mine]) as x:
        venue = x.venue
        channels = ["order", "fill", "balance", "position", "ticker"]
        with kr.stream("XBTUSDTM", channels, venue=venue, credentials=credentials) as s:
            assert s.wait_until_live()
            recorder = s.record(tmp_path / "sessions")
            x.account(KEY).place("XBTUSDTM", "buy", 1)
            wait_until(lambda: s.frame("position").height > 0)
            wait_until(lambda: s.frame("balance").height > 0)
            x.inject("abort")
            wait_until(lambda: s.status.reconnects > 0, timeout=30)
            emitted.show("stream", s)
            for supervisor in s._supervisors:
                emitted.show("lane", supervisor)
            emitted.show("stream's state", vars(s))
            emitted.show("recorder", recorder)
        assert recorder.close()
        assert list(recorder.path.rglob("*order*"))
        emitted.show("session", kr.load(recorder.path))
        for value in (s.status, s.report(), s.rest, venue, kr.running(), s.subscriptions):
            emitted.show(type(value).__name__, value)
        for name in [*channels, "status"]:
            emitted.add(name, s.frame(name).write_json())
            emitted.add(name, s.frame(name)._repr_html_())
            append_csv(s.frame(name), tmp_path / f"{name}.csv")

        guide = kr.KuCoinWebSocket(*MARKERS, venue=venue, verbose=True)
        guide.connect("XBTUSDTM", ["ticker", "order"])
        wait_until(lambda: guide.stream.total("ticker") > 0)
        guide.close()
        emitted.show("the guide's class", guide)

        with Rest(venue, credentials=credentials) as rest:
            token = rest.token("spot", private=True)
            emitted.add("token", f"{token} {token!r} {pprint.pformat(token)}")
            emitted.show("rest", rest)


def test_no_secret_is_in_any_refusal(emitted, mine, held_time):
    with simulate(speed=30.0, accounts=[mine]) as x:
        with kr.stream("XBTUSDTM", "ticker", venue=x.venue) as s:  # a token to look for
            s.wait("ticker")
        for part in range(3):
            parts = list(MARKERS)
            parts[part] += "wrong"
            emitted.fail(
                f"a wrong part {part}", kr.stream_to_frame, "XBTUSDTM", "order", rows=1,
                venue=x.venue, credentials=kr.Credentials(*parts), progress=False,
            )  # fmt: skip
        credentials = kr.Credentials(*MARKERS)
        clock = SkewedTime(held_time, 3_600 * 10**9)
        x.inject("html_error", path="/api/v1/timestamp", count=None)  # cannot be measured
        with Rest(x.venue, credentials=credentials, clock=clock) as rest:
            emitted.fail("a wrong clock", rest.token, "futures", private=True)
        gone = x.venue
    with Rest(gone, credentials=credentials) as rest:
        emitted.fail("nobody there", rest.token, "futures", private=True)
    stranger = kr.Venue("http://10.1.2.3:1", "http://10.1.2.3:1")
    emitted.fail(
        "a stranger", kr.stream, "XBTUSDTM", "order", venue=stranger, credentials=credentials
    )
    emitted.fail("no text", kr.Credentials, KEY, SECRET, "")
    emitted.fail("a line break", kr.Credentials, f"{KEY}\n{KEY}", SECRET, PASSPHRASE)
    emitted.fail("a tuple", kr.stream, "XBTUSDTM", "order", venue=gone, credentials=MARKERS)
    emitted.fail("half of them", kr.KuCoinWebSocket, KEY, SECRET)


def test_the_search_finds_what_is_there():
    found = Emitted()
    found.show("a dict", {"secret": SECRET})

    assert len(found.search()) >= 3
