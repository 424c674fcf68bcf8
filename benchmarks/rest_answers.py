"""The time of a REST call to the simulated exchange while the exchange is busy.

Another process requests the time, call after call, each on a new connection. Meanwhile the exchange
is idle, or answers a list that touches every symbol for the first time, or streams at a speed that
it cannot keep, or the main thread of its process, a notebook's kernel, computes. Run with
``python -m benchmarks.rest_answers``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import requests
import websocket

from benchmarks.busy_kernel import idle, python_loop
from kucoin_research.sim import Exchange

START = "2026-01-05"
PROBE = """
import json, sys, time, requests
for line in sys.stdin:
    url, seconds = line.split()
    times, end = [], time.monotonic() + float(seconds)
    print("ready", flush=True)
    while time.monotonic() < end:
        began = time.perf_counter()
        requests.get(url + "/api/v1/timestamp", timeout=60)
        times.append(time.perf_counter() - began)
    print(json.dumps(times), flush=True)
"""
LISTS = (("futures", "/api/v1/contracts/active"), ("spot", "/api/v1/market/allTickers"))
STREAMED = "XBTUSDTM,ETHUSDTM,SOLUSDTM"


class Probe:
    """The process that sends the requests."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def times(
        self, exchange: Exchange, seconds: float, meanwhile: Callable[[], None]
    ) -> list[float]:
        """Return the seconds of each call that was made while ``meanwhile`` ran."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{exchange.futures_url} {seconds}\n")
        self._process.stdin.flush()
        self._process.stdout.readline()
        meanwhile()
        return list(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def quiet(probe: Probe, seconds: float) -> list[float]:
    with Exchange(start=START) as exchange:
        return probe.times(exchange, seconds, lambda: idle(seconds))


def all_symbols_touched(probe: Probe, seconds: float, quiet_contracts: int = 0) -> list[float]:
    times: list[float] = []
    for seed in range(max(1, int(seconds))):
        with Exchange(seed=seed, quiet_contracts=quiet_contracts, start=START) as exchange:
            times += probe.times(exchange, 1.0, lambda: _ask_for_lists(exchange))
    return times


def hundreds_touched(probe: Probe, seconds: float) -> list[float]:
    return all_symbols_touched(probe, seconds, quiet_contracts=300)


def streaming(probe: Probe, seconds: float) -> list[float]:
    with Exchange(speed=5_000.0, start=START) as exchange:
        reader = threading.Thread(target=_read, args=(exchange, seconds + 1))
        reader.start()
        times = probe.times(exchange, seconds, lambda: idle(seconds))
        reader.join()
    return times


def busy_main_thread(probe: Probe, seconds: float) -> list[float]:
    with Exchange(start=START) as exchange:
        return probe.times(exchange, seconds, lambda: python_loop(seconds))


def all_in_a_busy_kernel(probe: Probe, seconds: float) -> list[float]:
    times: list[float] = []
    for seed in range(max(1, int(seconds))):
        with Exchange(seed=seed, start=START) as exchange:
            asking = threading.Thread(target=_ask_for_lists, args=(exchange,))
            asking.start()
            times += probe.times(exchange, 1.0, lambda: python_loop(1.0))
            asking.join()
    return times


def _ask_for_lists(exchange: Exchange) -> None:
    urls = {"futures": exchange.futures_url, "spot": exchange.spot_url}
    for market, path in LISTS:
        requests.get(urls[market] + path, timeout=60)


def _read(exchange: Exchange, seconds: float) -> None:
    data = requests.post(exchange.futures_url + "/api/v1/bullet-public", timeout=60).json()["data"]
    url = data["instanceServers"][0]["endpoint"] + "?token=" + data["token"]
    client = websocket.create_connection(url, timeout=60)
    topic = f"/contractMarket/level2:{STREAMED}"
    client.send(json.dumps({"id": 1, "type": "subscribe", "topic": topic}))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client.sock.recv(1 << 20)
    client.shutdown()


CASES: dict[str, Callable[[Probe, float], list[float]]] = {
    "quiet": quiet,
    "all symbols touched at once": all_symbols_touched,
    "the same with 300 quiet contracts": hundreds_touched,
    "streaming as fast as it can": streaming,
    "main thread in a pure-Python loop": busy_main_thread,
    "the same, all symbols touched at once": all_in_a_busy_kernel,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    print("answer times of GET /api/v1/timestamp in ms")
    print(f"{'':40}{'calls':>8}{'p50':>9}{'p99':>9}{'max':>9}")
    probe = Probe()
    for name, case in CASES.items():
        times = sorted(one * 1e3 for one in case(probe, arguments.seconds))
        p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
        print(f"{name:40}{len(times):8,}{p50:9.1f}{p99:9.1f}{times[-1]:9.1f}", flush=True)
    probe.close()


if __name__ == "__main__":
    main()
