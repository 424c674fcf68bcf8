"""The lag of 2,000 messages/s while the notebook's main thread is busy.

The sender stamps each message when it sends it; the lag is the ring's ``local_timestamp`` minus
that stamp, both by the same machine's clock. The last column shows whether a receiver falls behind.
While a stream runs, Python switches threads every millisecond; the same is measured with Python's
own 5 ms. Run with ``python -m benchmarks.busy_kernel``.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable

import polars as pl
import websocket

from benchmarks.pipeline import _row, _stream
from benchmarks.sender import sender
from kucoin_research.errors import NetworkError
from kucoin_research.exchange.websocket.connection import Connection

RATE = 2_000


def idle(seconds: float) -> None:
    threading.Event().wait(seconds)


def python_loop(seconds: float) -> None:
    end = time.perf_counter() + seconds
    total = 0
    while time.perf_counter() < end:
        for number in range(1_000):
            total += number * number


def polars_work(seconds: float) -> None:
    end = time.perf_counter() + seconds
    frame = pl.DataFrame({"a": pl.int_range(2_000_000, eager=True) % 997})
    while time.perf_counter() < end:
        frame.group_by("a").agg(pl.len()).sort("len")


def blocked(seconds: float) -> None:
    time.sleep(seconds)


WORK: dict[str, Callable[[float], None]] = {
    "idle": idle,
    "pure-Python loop": python_loop,
    "polars queries": polars_work,
    "blocking cell": blocked,
}
USUAL, OURS = 0.005, 0.001  # seconds between switches of threads: Python's, a running stream's


def our_lags(url: str, work: Callable[[float], None], seconds: float, interval: float) -> list[int]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(interval)
    try:
        return _our_lags(url, work, seconds)
    finally:
        sys.setswitchinterval(before)


def _our_lags(url: str, work: Callable[[float], None], seconds: float) -> list[int]:
    stream, decoder = _stream("ticker")
    connection = Connection.open(url)

    def pump() -> None:
        try:
            while True:
                stream.deliver(connection.receive(0.25), decoder)
        except NetworkError:
            connection.close()

    thread = threading.Thread(target=pump)
    thread.start()
    work(seconds)
    connection.abort()
    thread.join()
    stream.stop()
    rows = stream.frame()
    return (rows["local_timestamp"] - rows["timestamp"]).dt.total_nanoseconds().to_list()


def guides_lags(url: str, work: Callable[[float], None], seconds: float) -> list[int]:
    import json

    lags: list[int] = []

    def on_message(_: websocket.WebSocketApp, text: str) -> None:
        row = _row("ticker", json.loads(text)["data"])
        lags.append(time.time_ns() - row["timestamp"])

    app = websocket.WebSocketApp(url, on_message=on_message)
    thread = threading.Thread(target=app.run_forever)
    thread.start()
    work(seconds)
    app.close()
    thread.join()
    return lags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    print(f"{RATE:,} messages/s; lag in ms from sent to stored")
    print(f"{'':44}{'p50':>9}{'p99':>9}{'max':>9}{'rows/s':>9}{'last 0.5 s p50':>16}")
    with sender() as address:
        for name, work in WORK.items():
            url = f"{address}/ticker/{RATE}"
            for interval in (OURS, USUAL):
                lags = our_lags(url, work, arguments.seconds, interval)
                title = f"{name}: kucoin_research, {interval * 1e3:.0f} ms"
                _print(title, lags, arguments.seconds)
            lags = guides_lags(url, work, arguments.seconds)
            _print(f"{name}: WebSocketApp + json", lags, arguments.seconds)


def _print(title: str, lags: list[int], seconds: float) -> None:
    milliseconds = pl.Series(lags) / 1e6
    p50, p99 = milliseconds.quantile(0.5), milliseconds.quantile(0.99)
    last = milliseconds.tail(RATE // 2).median()
    print(
        f"{title:44}{p50:9.2f}{p99:9.2f}{milliseconds.max():9.1f}"
        f"{len(lags) / seconds:9,.0f}{last:16.2f}"
    )


if __name__ == "__main__":
    main()
