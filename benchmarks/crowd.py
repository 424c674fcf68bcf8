"""Many clients of one simulated exchange, at the speed of the wall.

Run with ``python -m benchmarks.crowd``. The exchange is a process of its own, held on one core. The
clients are sockets of another process on another core: they count frames, and look at the time of
one in fifty. It prints messages a second, what the exchange needs of its core, and how late they
are; then the same beside a client that reads nothing.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.request import Request, urlopen

SECONDS = 20.0
# Enough of them for 20,000 messages/s in the quietest hours, too: the pace follows volatility.
SYMBOLS = "XBTUSDTM,ETHUSDTM,SOLUSDTM,DOGEUSDTM,XBTUSDCM,XBTUSDM"
TOPICS = tuple(
    f"/contractMarket/{channel}:{SYMBOLS}"
    for channel in ("level2", "execution", "tickerV2", "level2Depth50", "level2Depth5")
)


class Reader:
    """One client: counts frames, and notes how late one in fifty is."""

    def __init__(self, address: str, late: list[float], seen: Counter[str]) -> None:
        self._address = address
        self._late = late
        self._seen = seen

    async def open(self, topics: tuple[str, ...]) -> None:
        """Log in and subscribe."""
        request = Request(f"{self._address}/api/v1/bullet-public", method="POST")
        with urlopen(request) as reply:
            token = json.load(reply)["data"]["token"]
        host, port = self._address.removeprefix("http://").split(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port), limit=1 << 22)
        head = (
            f"GET /?token={token} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n"
        )
        self._writer.write(head.encode())
        await self._reader.readuntil(b"\r\n\r\n")
        for topic in topics:
            self._send({"id": 1, "type": "subscribe", "topic": topic, "response": False})

    def _send(self, message: dict[str, object]) -> None:
        text = json.dumps(message).encode()
        # A mask of zeros is a mask, too.
        self._writer.write(
            bytes([0x81, 0x80 | 126]) + len(text).to_bytes(2, "big") + b"\0" * 4 + text
        )

    async def count(self, end: float) -> None:
        """Read until the end."""
        buffer = bytearray()
        frames = 0
        while time.monotonic() < end:
            try:
                buffer += await asyncio.wait_for(self._reader.read(1 << 18), 1.0)
            except TimeoutError:
                continue
            at = 0
            while at + 4 <= len(buffer):
                size, head = buffer[at + 1], 2
                if size == 126:
                    size, head = int.from_bytes(buffer[at + 2 : at + 4], "big"), 4
                if at + head + size > len(buffer):
                    break
                frames += 1
                if not frames % 50:
                    self._look(bytes(buffer[at + head : at + head + size]))
                at += head + size
            self._seen["bytes"] += at
            del buffer[:at]
        self._seen["frames"] += frames

    def _look(self, text: bytes) -> None:
        data = json.loads(text).get("data", {})
        stamp = data.get("ts") or data.get("timestamp")
        if stamp:
            at = stamp / 1e9 if stamp > 1e17 else stamp / 1e3
            self._late.append(time.time() - at)


async def read_all(address: str, clients: int, stuck: int) -> None:
    """Read with all clients and print what they saw; `stuck` more read nothing."""
    late: list[float] = []
    seen: Counter[str] = Counter()
    readers = [Reader(address, late, seen) for _ in range(clients + stuck)]
    for reader in readers:
        await reader.open(TOPICS)
    print("ready", flush=True)
    end = time.monotonic() + SECONDS
    await asyncio.gather(*(reader.count(end) for reader in readers[:clients]))
    cuts = statistics.quantiles(late, n=100)
    print(json.dumps({
        "frames": seen["frames"] / SECONDS, "bytes": seen["bytes"] / SECONDS,
        "p50": cuts[49], "p99": cuts[98], "worst": max(late),
    }))  # fmt: skip


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(clients: int, stuck: int, *more: str) -> None:
    """Run one exchange and its clients, and print a line."""
    cores = sorted(os.sched_getaffinity(0))
    words = [sys.executable, "-m", "kucoin_research", "simulate", "--speed", "1", *more]
    exchange = subprocess.Popen(
        ["taskset", "-c", str(cores[0]), *words], stdout=subprocess.PIPE, text=True
    )
    try:
        assert exchange.stdout is not None
        address = json.loads(exchange.stdout.readline())["futures"]
        words = [sys.executable, "-m", "benchmarks.crowd", "--read", address]
        words += [str(clients), str(stuck)]
        readers = subprocess.Popen(
            ["taskset", "-c", str(cores[-1]), *words], stdout=subprocess.PIPE, text=True
        )
        assert readers.stdout is not None
        assert readers.stdout.readline() == "ready\n"
        before, began = cpu_seconds(exchange.pid), time.monotonic()
        found = json.loads(readers.stdout.readline())
        used = (cpu_seconds(exchange.pid) - before) / (time.monotonic() - began)
        print(
            f"{clients:>4} clients, {stuck} stuck  {found['frames']:>8,.0f} messages/s "
            f"{found['bytes'] / 1e6:5.1f} MB/s  {used:4.0%} of a core  "
            f"late: p50 {found['p50'] * 1e3:4.0f} ms  p99 {found['p99'] * 1e3:4.0f} ms  "
            f"worst {found['worst'] * 1e3:5.0f} ms"
        )
        readers.wait(30)
    finally:
        exchange.send_signal(signal.SIGINT)
        exchange.wait(30)


def main() -> None:
    """Measure, or read as the clients of a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read", nargs=3, metavar=("ADDRESS", "CLIENTS", "STUCK"))
    chosen = parser.parse_args()
    if chosen.read:
        address, clients, stuck = chosen.read
        asyncio.run(read_all(address, int(clients), int(stuck)))
        return
    for clients in (10, 50, 100):
        measure(clients, 0)
    measure(100, 1)


if __name__ == "__main__":
    main()
