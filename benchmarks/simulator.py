"""Frames per second that the simulated exchange delivers to one client.

Run with ``python benchmarks/simulator.py``. The client only counts frames, in its own process, so
that only the exchange is measured; virtual time runs as fast as the machine allows.
"""

import subprocess
import sys

from kucoin_research.sim import Exchange

START = "2026-01-05"
READER = """
import json, sys, time, requests, websocket
data = requests.post(sys.argv[1] + "/api/v1/bullet-public").json()["data"]
url = data["instanceServers"][0]["endpoint"] + "?token=" + data["token"]
client = websocket.create_connection(url)
client.recv()
topic = "/contractMarket/level2:XBTUSDTM,ETHUSDTM,SOLUSDTM"
client.send(json.dumps({"id": 1, "type": "subscribe", "topic": topic}))
sock, frames, bytes_, buffer, end = client.sock, 0, 0, bytearray(), time.monotonic() + 5
while time.monotonic() < end:
    buffer += sock.recv(1 << 20)
    at = 0
    while at + 4 <= len(buffer):
        size, head = buffer[at + 1], 2
        if size == 126:
            size, head = int.from_bytes(buffer[at + 2 : at + 4], "big"), 4
        if at + head + size > len(buffer):
            break
        at, frames = at + head + size, frames + 1
    bytes_ += at
    del buffer[:at]
print(f"{frames / 5:,.0f} frames/s, {bytes_ / 5e6:.1f} MB/s")
"""


def main() -> None:
    with Exchange(speed=5_000.0, start=START) as exchange:
        subprocess.run([sys.executable, "-c", READER, exchange.futures_url], check=True)
        virtual = (exchange.now_ns - exchange.clock.start_ns) / 1e9
        print(f"virtual time ran at {virtual / 5:,.0f} x; withheld: {len(exchange.withheld)}")


if __name__ == "__main__":
    main()
