"""A page from elsewhere, in a real browser, gets nothing out of an exchange on this machine.

Its names lead here, as those of an attacker who answers for his own domain would (DNS rebinding).
The same page under this machine's own name gets everything: so it would work.
"""

from __future__ import annotations

import http.server
import threading

import pytest
import requests

import kucoin_research as kr
from tests.browser.lab import FLAGS, find_chromium
from tests.conftest import wait_until
from tests.exchanges import simulate
from tests.processes import PATIENCE

EVIL, HERE = "evil.example", "localhost"
_NAMES = f"--host-resolver-rules=MAP {EVIL} 127.0.0.1"

# Each gives what the page saw, or "refused".
_TRY = """async ([kind, url]) => {
    if (kind === "socket") return await new Promise(done => {
        const socket = new WebSocket(url);
        socket.onmessage = event => done(event.data);
        socket.onerror = () => done("refused");
    });
    if (kind === "picture") return await new Promise(done => {
        const asked = new Image();
        asked.onload = asked.onerror = () => done("asked");
        asked.src = url;
    });
    try {
        const answer = await fetch(url, kind === "form"
            ? {method: "POST", mode: "no-cors", body: new URLSearchParams({a: 1})}
            : {method: kind});
        return answer.ok ? await answer.text() : "refused";
    } catch (error) { return "refused"; }
}"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A recorded session, to be served."""
    root = tmp_path_factory.mktemp("recorded")
    with (
        simulate(seed=7, speed=100.0) as x,
        kr.record("XBTUSDTM", ["trade"], root=root, venue=x.venue, progress=False) as recording,
    ):
        recording.stream.wait(rows=20, channel="trade")
    return recording.session()


@pytest.fixture(scope="module", params=["simulate", "serve"])
def exchange(request, recording):
    """Run each kind of exchange that listens on this machine."""
    made = simulate(seed=7) if request.param == "simulate" else kr.serve(recording)
    with made as running:
        yield running


class _Blank(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page</title>")

    def log_message(self, *_args):
        pass


@pytest.fixture(scope="module")
def website():
    """Serve an empty page and give its port: whose page it is depends on the name it is called."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Blank) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser(chromium):
    """Start a browser for which the evil name leads to this machine."""
    made = chromium.browser_type.launch(
        executable_path=find_chromium(), args=[*FLAGS, _NAMES], headless=True
    )
    yield made
    made.close()


@pytest.fixture
def page(browser):
    """Give a page of that browser."""
    made = browser.new_page()
    made.set_default_timeout(PATIENCE * 1_000)
    made.errors = []  # for the report of a failed test
    yield made
    made.close()


@pytest.fixture
def token(exchange):
    """Get a token that opens a socket: the attacker is given even that."""
    answer = requests.post(f"{exchange.futures_url}/api/v1/bullet-public", timeout=PATIENCE)
    return answer.json()["data"]["token"]


def try_from(page, website, name, kind, url):
    page.goto(f"http://{name}:{website}/")
    return page.evaluate(_TRY, [kind, url])


def test_a_page_streams_nothing(exchange, website, page, token):
    url = f"{exchange.futures_url.replace('http', 'ws')}/?token={token}"

    assert "welcome" in try_from(page, website, HERE, "socket", url)
    assert try_from(page, website, EVIL, "socket", url) == "refused"
    assert try_from(page, website, EVIL, "socket", url.replace("127.0.0.1", EVIL)) == "refused"


@pytest.mark.parametrize("kind", ["GET", "POST", "form"])
def test_a_page_reads_and_sends_nothing(exchange, website, page, kind):
    path = "/api/v1/timestamp" if kind == "GET" else "/api/v1/bullet-public"

    assert try_from(page, website, EVIL, kind, f"{exchange.futures_url}{path}") == "refused"


def test_a_name_that_is_made_to_lead_here_reads_nothing(exchange, page):
    port = exchange.futures_url.rsplit(":", 1)[1]
    answers = {}
    for name in (EVIL, HERE):
        answers[name] = page.goto(f"http://{name}:{port}/api/v1/timestamp")
        url = f"http://{name}:{port}/api/v1/bullet-public"
        assert ("token" in page.evaluate(_TRY, ["POST", url])) is (name == HERE)

    assert {name: answer.status for name, answer in answers.items()} == {EVIL: 403, HERE: 200}


@pytest.mark.parametrize(("name", "status"), [("127.0.0.1", 200), (EVIL, 403)])
def test_pictures_of_a_page_are_refused_too(exchange, website, page, name, status):
    url = f"{exchange.futures_url}/api/v1/timestamp"
    # What no picture is the browser keeps from the page, and from all but this view of its wire.
    wire = page.context.new_cdp_session(page)
    wire.send("Network.enable")
    asked, answers = {}, {}
    wire.on("Network.requestWillBeSent", lambda it: asked.update({it["request"]["url"]: it}))
    wire.on("Network.responseReceivedExtraInfo", lambda it: answers.update({it["requestId"]: it}))

    assert try_from(page, website, name, "picture", url) == "asked"

    wait_until(lambda: page.evaluate("1") and asked[url]["requestId"] in answers, PATIENCE)
    assert answers[asked[url]["requestId"]]["statusCode"] == status
