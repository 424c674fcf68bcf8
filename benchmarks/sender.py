"""A WebSocket server in another process that sends KuCoin frames as fast as it can, or paced."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import multiprocessing
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_DISTINCT = 5_000


def ticker(sequence: int, now_ns: int) -> bytes:
    price = 80_000 + sequence % 997 * 0.1
    return (
        '{"topic":"/contractMarket/ticker:XBTUSDTM","type":"message","subject":"ticker",'
        f'"sn":{sequence},"data":{{"symbol":"XBTUSDTM","sequence":{sequence},"side":"buy",'
        f'"size":{sequence % 50 + 1},"price":"{price:.1f}","bestBidSize":{sequence % 2000 + 1},'
        f'"bestBidPrice":"{price:.1f}","bestAskPrice":"{price + 0.1:.1f}",'
        f'"tradeId":"{sequence}","bestAskSize":{sequence % 1000 + 1},"ts":{now_ns}}}}}'
    ).encode()


def depth50(sequence: int, now_ns: int) -> bytes:
    chance = random.Random(sequence)
    price = 80_000.0

    def side(step: float) -> str:
        return ",".join(
            f'["{price + step * n:.1f}",{chance.randint(1, 5000)}]' for n in range(1, 51)
        )

    milliseconds = now_ns // 1_000_000
    return (
        '{"topic":"/contractMarket/level2Depth50:XBTUSDTM","type":"message","subject":"level2",'
        f'"sn":{milliseconds},"data":{{"sequence":{sequence},"asks":[{side(0.1)}],'
        f'"bids":[{side(-0.1)}],"timestamp":{milliseconds},"ts":{milliseconds}}}}}'
    ).encode()


MESSAGES = {"ticker": ticker, "depth50": depth50}


def framed(payload: bytes) -> bytes:
    if len(payload) < 126:
        return bytes((0x81, len(payload))) + payload
    return b"\x81\x7e" + struct.pack(">H", len(payload)) + payload


def _upgrade(sock: socket.socket) -> list[str]:
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        request += sock.recv(4096)
    key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    return request.split()[1].decode().strip("/").split("/")


def _blast(sock: socket.socket, kind: str) -> None:
    make, now_ns = MESSAGES[kind], time.time_ns()
    frames = [framed(make(1_700_000_000_000 + n, now_ns)) for n in range(_DISTINCT)]
    block = b"".join(frames)
    while True:
        sock.sendall(block)


def _pace(sock: socket.socket, kind: str, rate: int) -> None:
    """Send one message at a time, each stamped with its time of sending."""
    make = MESSAGES[kind]
    timer = threading.Event()
    started = time.perf_counter()
    sequence = 0
    while True:
        due = int((time.perf_counter() - started) * rate)
        while sequence < due:
            sequence += 1
            sock.sendall(framed(make(1_700_000_000_000 + sequence, time.time_ns())))
        timer.wait(0.5 / rate)


def _serve(listener: socket.socket) -> None:
    while True:
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), accepted:  # the receiver hangs up in the middle
            kind, rate = _upgrade(accepted)
            if int(rate):
                _pace(accepted, kind, int(rate))
            else:
                _blast(accepted, kind)


@contextlib.contextmanager
def sender() -> Iterator[str]:
    """Run the sender and yield its address.

    The path ``/ticker/0`` sends as fast as possible, ``/ticker/2000`` sends 2,000 messages/s.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process: BaseProcess = multiprocessing.get_context("fork").Process(
            target=_serve, args=(listener,), daemon=True
        )
        process.start()
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            process.terminate()
            process.join()
