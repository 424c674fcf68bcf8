"""Ends: in every state `stop` keeps its bound, and no thread or socket is left over."""

from __future__ import annotations

import base64
import gc
import hashlib
import os
import signal
import socket
import sys
import threading
import weakref

import pytest
from jupyter_client import KernelManager

import kucoin_research as kr
from kucoin_research.exchange.token import Server, Token
from kucoin_research.model.channels import Market, Subscription, parse_channel
from tests.conftest import wait_until
from tests.exchanges import simulate
from tests.healing.rig import FAST, Rig
from tests.healing.test_rollover import UNHURRIED, begin_rollover
from tests.held_time import HeldTime
from tests.processes import Process

#: What `stop` is given, seconds.
BOUND = 1.0


def threads_of(stream):
    """List the threads of a stream that are alive."""
    return [t.name for t in threading.enumerate() if t.name.startswith(f"kucoin-{stream.name}-")]


def ends(stream):
    """Stop a stream, which must keep its bound, where time is held, and leave no thread."""
    began = stream.clock.monotonic()
    stream.stop(timeout=BOUND)
    took = stream.clock.monotonic() - began
    assert took <= BOUND or not isinstance(stream.clock, HeldTime)
    assert stream.state is kr.State.STOPPED
    wait_until(lambda: not threads_of(stream))
    assert stream.frame("status")["event"].to_list()[-1] == "stopped"


def leaves_no_connection(exchange):
    wait_until(lambda: exchange.connections == 0)


@pytest.mark.parametrize("fault", ["refuse_upgrade", "reject_token", "overload"])
def test_while_backing_off(fault):
    patient = kr.Healing(most_backoff=60.0)
    with Rig("futures", channels=["bbo"], healing=patient) as rig:
        rig.warm_up(rows=5)
        options = {"path": "/api/v1/bullet-public"} if fault == "overload" else {}
        rig.x.inject(fault, count=None, **options)
        rig.x.inject("abort")
        wait_until(lambda: any(one.fault == fault for one in rig.x.fault_log))
        wait_until(lambda: rig.s.error is not None)
        assert rig.s.state is kr.State.RECONNECTING
        ends(rig.s)
        leaves_no_connection(rig.x)


def test_amid_a_rollover():
    with Rig("futures", healing=UNHURRIED) as rig:
        rig.warm_up(rows=5)
        begin_rollover(rig)
        assert rig.x.connections == 2
        ends(rig.s)
        leaves_no_connection(rig.x)


def test_while_rest_is_asked_to_fill_an_outage():
    with Rig("futures", channels=["trade"], healing=FAST) as rig:
        rig.warm_up(rows=5)
        rig.x.inject("slow_reply", path="/api/v1/trade/history", delay=1_000.0, count=None)
        rig.x.inject("abort")
        rig.happens("connected", 2)
        wait_until(lambda: any("trade/history" in path for _, path in rig.x.requests))
        assert rig.s._handler.has_open_requests
        ends(rig.s)
        leaves_no_connection(rig.x)


class HalfAFrame:
    """A server that answers the upgrade, sends the beginning of a frame, and no more."""

    def __init__(self):
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.has_sent, self.has_ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        peer, _ = self._server.accept()
        with peer:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                request += peer.recv(4096)
            key = request.lower().split(b"sec-websocket-key: ")[1].split(b"\r\n")[0]
            at = request.lower().index(key)
            answer = hashlib.sha1(
                request[at : at + len(key)] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            )
            peer.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
                + base64.b64encode(answer.digest())
                + b"\r\n\r\n"
                + b'\x81\x7e\x10\x00{"id":'  # 6 of 4,096 bytes
            )
            self.has_sent.set()
            while _has_more(peer):
                pass
            self.has_ended.set()

    def close(self):
        self._server.close()
        self._thread.join()


def _has_more(peer):
    try:
        return bool(peer.recv(4096))
    except ConnectionError:
        return False


class RestFor:
    """Gives tokens for that server."""

    def __init__(self, port):
        self._port = port

    def token(self, _market, *, private=False):
        return Token("secret-token", (Server(f"ws://127.0.0.1:{self._port}/", 18.0, 10.0),))

    def close(self):
        pass


def test_amid_a_frame(real_time):
    server = HalfAFrame()
    wanted = [Subscription(parse_channel("bbo"), "XBTUSDTM", Market.FUTURES)]
    s = kr.Stream(wanted, RestFor(server.port), name="half a frame").start()
    assert server.has_sent.wait(10)
    ends(s)
    assert server.has_ended.wait(10)
    server.close()


# -- processes that end ----------------------------------------------------------------------------

CHILD = """
import sys, kucoin_research as kr
venue = kr.Venue(futures_url=sys.argv[1], spot_url=sys.argv[2])
s = kr.stream("XBTUSDTM", ["bbo", "level2"], venue=venue)
s.wait("bbo", rows=5, timeout=30)
print("streaming", flush=True)
"""
WAITING = "s.wait('bbo', rows=10**9, timeout=60)"


@pytest.fixture
def exchange(real_time):
    with simulate(seed=3, speed=5.0) as running:
        yield running


def child(exchange, code=""):
    return Process(sys.executable, "-c", CHILD + code, exchange.futures_url, exchange.spot_url)


def test_an_interpreter_ends_though_a_stream_runs(exchange):
    with child(exchange) as process:
        assert process.wait() == 0

    assert (process.stdout, process.stderr) == ("streaming\n", "")
    leaves_no_connection(exchange)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send")
def test_an_interrupt_ends_a_process_at_once(exchange):
    with child(exchange, WAITING) as process:
        assert process.line() == "streaming\n"
        process.send_signal(signal.SIGINT)

        assert process.wait() in (-signal.SIGINT, 130)
    assert process.stderr.rstrip().endswith("KeyboardInterrupt")
    assert "Exception ignored" not in process.stderr
    leaves_no_connection(exchange)


def test_a_restarted_kernel_leaves_no_connection(exchange):
    start = (
        "import kucoin_research as kr\n"
        f"v = kr.Venue(futures_url={exchange.futures_url!r}, spot_url={exchange.spot_url!r})\n"
        "s = kr.stream('XBTUSDTM', ['bbo', 'level2'], venue=v)\n"
        "s.wait('bbo', rows=5, timeout=30)\n"
    )
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    try:
        for _ in range(2):
            client = manager.blocking_client()
            client.start_channels()
            client.wait_for_ready(timeout=60)
            reply = client.execute_interactive(start, timeout=60, output_hook=lambda _: None)
            assert reply["content"]["status"] == "ok"
            assert exchange.connections == 1
            client.stop_channels()
            manager.restart_kernel()
            leaves_no_connection(exchange)
    finally:
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def test_a_forgotten_handle_goes_on_and_once_stopped_it_is_garbage(exchange):
    """A cell that shows nothing of its stream has not ended it; `running` still finds it."""
    s = kr.stream("XBTUSDTM", "bbo", venue=exchange.venue, name="forgotten")
    s.wait(rows=5)
    gone = weakref.ref(s)
    del s
    gc.collect()
    (found,) = kr.running()
    found.wait(rows=found.total() + 5)
    ends(found)
    del found
    gc.collect()

    assert gone() is None
    leaves_no_connection(exchange)


FORK = """
import os
child = os.fork()
if not child:
    try:
        s.wait(rows=10**9, channel="bbo", timeout=30)
    except kr.errors.StreamStopped as error:
        print(error, flush=True)
        os._exit(0)
    os._exit(1)
_, code = os.waitpid(child, 0)
s.wait("bbo", rows=s.total("bbo") + 20, timeout=30)
print("parent", s.state, s.status.reconnects, flush=True)
sys.exit(code)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_is_told_that_the_stream_is_not_its_own(exchange):
    with child(exchange, FORK) as process:
        assert process.wait() == 0

    assert process.stderr == ""
    _, in_child, in_parent = process.stdout.splitlines()
    assert "the process that forked this one" in in_child
    assert in_parent == "parent live 0"
    leaves_no_connection(exchange)
