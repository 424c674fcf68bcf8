"""Measure how fast WebSocket messages are received, without decoding them.

A sender in another process sends prepared frames over loopback as fast as it can; the receivers
take the same stream, one after the other. Run it with ``python benchmarks/receive.py
[--seconds 2] [--rounds 3]``; the best round counts. Machines are noisy: trust the ratios. The
sender runs on the same machine and limits the fastest receivers; the CPU time per message is the
receiver's alone.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import multiprocessing
import resource
import socket
import ssl
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import trustme
import websocket

from kucoin_research.errors import NetworkError
from kucoin_research.exchange.websocket.connection import Connection

TICKER = (
    b'{"topic":"/contractMarket/tickerV2:XBTUSDTM","type":"message","subject":"tickerV2",'
    b'"sn":1700000000001,"data":{"symbol":"XBTUSDTM","sequence":1700000000001,'
    b'"bestBidSize":1234,"bestBidPrice":"67890.1","bestAskPrice":"67890.2","bestAskSize":4321,'
    b'"ts":1700000000000000000,"padding":"'
)
SIZES = {"ticker, 300 B": 300, "depth50, 1.8 KB": 1800}


class Figure(NamedTuple):
    rate: float  # messages per second
    cpu: float  # CPU microseconds per message, of the receiving process


def frame_of(size: int) -> bytes:
    payload = TICKER + b"x" * (size - len(TICKER) - 3) + b'"}}'
    return b"\x81\x7e" + struct.pack(">H", len(payload)) + payload


def serve(listener: socket.socket, certificate: str | None) -> None:
    """Answer every upgrade, then send frames of the size named in the path until hung up on."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    while True:
        accepted, _ = listener.accept()
        # The receiver hangs up in the middle of the stream.
        with contextlib.suppress(OSError), accepted:
            if context:
                accepted = context.wrap_socket(accepted, server_side=True)
            with accepted:
                blast(accepted)


def blast(sock: socket.socket) -> None:
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += sock.recv(4096)
    size = int(request.split()[1].strip(b"/"))
    key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    frame = frame_of(size)
    block = frame * (262_144 // len(frame))
    while True:
        sock.sendall(block)


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measured(count: int, started: float, cpu_before: float) -> Figure:
    elapsed = time.perf_counter() - started
    return Figure(count / elapsed, (cpu_seconds() - cpu_before) / count * 1e6)


def guides_way(url: str, ssl_options: dict[str, str], seconds: float) -> Figure:
    count = 0
    started = cpu_before = 0.0
    figure = None

    def on_open(_: websocket.WebSocketApp) -> None:
        nonlocal started, cpu_before
        started, cpu_before = time.perf_counter(), cpu_seconds()

    def on_message(app: websocket.WebSocketApp, _: str) -> None:
        nonlocal count, figure
        count += 1
        if figure is None and time.perf_counter() - started >= seconds:
            figure = measured(count, started, cpu_before)
            app.close()

    app = websocket.WebSocketApp(url, on_open=on_open, on_message=on_message)
    app.run_forever(sslopt=ssl_options)
    assert figure is not None
    return figure


def recv_loop(
    url: str, ssl_options: dict[str, str], seconds: float, *, skip_utf8_validation: bool = False
) -> Figure:
    client: Any = websocket.create_connection(
        url, sslopt=ssl_options, skip_utf8_validation=skip_utf8_validation
    )
    count = 0
    started, cpu_before = time.perf_counter(), cpu_seconds()
    while time.perf_counter() - started < seconds:
        client.recv()
        count += 1
    figure = measured(count, started, cpu_before)
    client.shutdown()
    return figure


def recv_loop_unchecked(url: str, ssl_options: dict[str, str], seconds: float) -> Figure:
    return recv_loop(url, ssl_options, seconds, skip_utf8_validation=True)


def our_connection(url: str, ssl_options: dict[str, str], seconds: float) -> Figure:
    connection = Connection.open(url, ssl_options=ssl_options)
    count = 0
    started, cpu_before = time.perf_counter(), cpu_seconds()
    while time.perf_counter() - started < seconds:
        count += len(connection.receive(1.0))
    figure = measured(count, started, cpu_before)
    connection.abort()
    with contextlib.suppress(NetworkError):
        connection.receive(0)
    return figure


RECEIVERS: dict[str, Callable[[str, dict[str, str], float], Figure]] = {
    "WebSocketApp.run_forever (the guide's way)": guides_way,
    "websocket-client recv()": recv_loop,
    "  the same, skip_utf8_validation": recv_loop_unchecked,
    "kucoin_research Connection.receive": our_connection,
}


def report(url: str, ssl_options: dict[str, str], *, seconds: float, rounds: int) -> None:
    for title, size in SIZES.items():
        # Rounds outside, receivers inside, so that a noisy moment of the machine affects them all.
        best: dict[str, Figure] = {}
        for _ in range(rounds):
            for name, receiver in RECEIVERS.items():
                figure = receiver(f"{url}/{size}", ssl_options, seconds)
                best[name] = max(best.get(name, figure), figure)
        baseline = best["WebSocketApp.run_forever (the guide's way)"]
        print(f"\n{title} over {'TLS' if ssl_options else 'plain TCP'}")
        print(f"{'':44}{'messages/s':>12}{'ratio':>8}{'CPU µs':>9}{'ratio':>8}")
        for name, (rate, cpu) in best.items():
            print(
                f"{name:44}{rate:12,.0f}{rate / baseline.rate:7.1f}x"
                f"{cpu:9.2f}{baseline.cpu / cpu:7.1f}x"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        certificate, trusted = f"{folder}/server.pem", f"{folder}/ca.pem"
        Path(certificate).write_bytes(
            authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.bytes()
        )
        authority.cert_pem.write_to_path(trusted)
        for is_encrypted in (False, True):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                sender = multiprocessing.get_context("fork").Process(
                    target=serve, args=(listener, certificate if is_encrypted else None)
                )
                sender.start()
                scheme = "wss" if is_encrypted else "ws"
                report(
                    f"{scheme}://127.0.0.1:{listener.getsockname()[1]}",
                    {"ca_certs": trusted} if is_encrypted else {},
                    seconds=arguments.seconds,
                    rounds=arguments.rounds,
                )
                sender.terminate()
                sender.join()


if __name__ == "__main__":
    main()
