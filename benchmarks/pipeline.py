"""From the socket to stored rows: messages/s and CPU µs per message of several designs, in one run.

A sender in another process sends as fast as it can. The guides' way is ``WebSocketApp`` with
``json`` and one ``pandas.concat`` per row; only its first 1,000 rows are measured, since it slows
down as it grows. Run with ``python -m benchmarks.pipeline``. Trust the ratios: machines are noisy.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pandas as pd
import websocket

from benchmarks.sender import sender
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.venues import Venue
from kucoin_research.exchange.websocket.connection import Connection
from kucoin_research.exchange.websocket.decode_classic import Decoder
from kucoin_research.model.channels import Market, Subscription, parse_channel
from kucoin_research.streaming.stream import Stream


class Figure(NamedTuple):
    rate: float
    cpu: float


class Stopwatch:
    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.cpu = self._cpu()

    @staticmethod
    def _cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def figure(self, count: int) -> Figure:
        return Figure(count / self.seconds, (self._cpu() - self.cpu) / count * 1e6)


def _row(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    if kind == "ticker":
        return {
            "timestamp": data["ts"],
            "price": float(data["price"]),
            "size": float(data["size"]),
            "side": data["side"],
            "bestBidPrice": float(data["bestBidPrice"]),
            "bestBidSize": float(data["bestBidSize"]),
            "bestAskPrice": float(data["bestAskPrice"]),
            "bestAskSize": float(data["bestAskSize"]),
        }
    return {
        "timestamp": data["ts"],
        **{
            side: [(float(price), float(size)) for price, size in data[side]]
            for side in ("asks", "bids")
        },
    }


def guides_way(url: str, kind: str, seconds: float) -> Figure:
    """WebSocketApp, json, pandas.concat per row."""
    frame = pd.DataFrame()
    watch: Stopwatch | None = None
    figure: Figure | None = None

    def on_message(app: websocket.WebSocketApp, text: str) -> None:
        nonlocal frame, watch, figure
        watch = watch or Stopwatch()
        row = pd.DataFrame([_row(kind, json.loads(text)["data"])])
        frame = row if frame.empty else pd.concat([frame, row], ignore_index=True)
        if figure is None and (len(frame) >= 1_000 or watch.seconds > 4 * seconds):
            figure = watch.figure(len(frame))
            app.close()

    websocket.WebSocketApp(url, on_message=on_message).run_forever()
    assert figure is not None
    return figure


def app_and_list(url: str, kind: str, seconds: float) -> Figure:
    """WebSocketApp, json, a list."""
    rows: list[dict[str, Any]] = []
    watch: Stopwatch | None = None
    figure: Figure | None = None

    def on_message(app: websocket.WebSocketApp, text: str) -> None:
        nonlocal watch, figure
        watch = watch or Stopwatch()
        rows.append(_row(kind, json.loads(text)["data"]))
        if figure is None and watch.seconds >= seconds:
            figure = watch.figure(len(rows))
            app.close()

    websocket.WebSocketApp(url, on_message=on_message).run_forever()
    assert figure is not None
    return figure


def _stream(kind: str) -> tuple[Stream, Decoder]:
    subscription = Subscription(parse_channel(kind), "XBTUSDTM", Market.FUTURES)
    unused = Venue("http://127.0.0.1:9", "http://127.0.0.1:9")
    capacity = 1_000_000 if kind == "ticker" else 100_000
    return Stream([subscription], Rest(unused), capacity=capacity), Decoder(Market.FUTURES)


def library_recv(url: str, kind: str, seconds: float) -> Figure:
    """websocket-client's recv (validation skipped), then our decoder and ring."""
    stream, decoder = _stream(kind)
    deliver = stream._delivery.deliver  # as a pump does
    client: Any = websocket.create_connection(url, skip_utf8_validation=True)
    watch = Stopwatch()
    while watch.seconds < seconds:
        deliver([client.recv_data()[1]], decoder)
    figure = watch.figure(stream.total())
    client.shutdown()
    stream.stop()
    return figure


def ours(url: str, kind: str, seconds: float) -> Figure:
    """Our frame reader, decoder, integrity checks and ring, as in a stream's thread."""
    stream, decoder = _stream(kind)
    deliver = stream._delivery.deliver  # as a pump does
    connection = Connection.open(url)
    watch = Stopwatch()
    while watch.seconds < seconds:
        deliver(connection.receive(1.0), decoder)
    figure = watch.figure(stream.total())
    connection.abort()
    connection.close()
    stream.stop()
    return figure


WAYS: dict[str, Callable[[str, str, float], Figure]] = {
    "guide: WebSocketApp + json + concat": guides_way,
    "WebSocketApp + json + list": app_and_list,
    "websocket-client recv + our rows": library_recv,
    "kucoin_research": ours,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with sender() as address:
        for kind in ("ticker", "depth50"):
            found: dict[str, list[Figure]] = {name: [] for name in WAYS}
            for _ in range(arguments.rounds):
                for name, way in WAYS.items():
                    found[name].append(way(f"{address}/{kind}/0", kind, arguments.seconds))
            _print(kind, found)


def _print(kind: str, found: dict[str, list[Figure]]) -> None:
    base = statistics.median(f.rate for f in found["guide: WebSocketApp + json + concat"])
    print(f"\n{kind}: socket to stored rows")
    print(f"{'':40}{'messages/s':>12} {'min-max':>20} {'ratio':>8} {'CPU µs':>9}")
    for name, figures in found.items():
        rates = [figure.rate for figure in figures]
        rate, cpu = statistics.median(rates), statistics.median(f.cpu for f in figures)
        spread = f"{min(rates):,.0f}-{max(rates):,.0f}"
        print(f"{name:40}{rate:12,.0f} {spread:>20} {rate / base:7.1f}x {cpu:9.2f}")


if __name__ == "__main__":
    main()
