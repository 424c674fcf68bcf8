"""A source of tickers inside the kernel: a full ring, and a thread that adds rows at a rate."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl

from kucoin_research.errors import UnknownChannel
from kucoin_research.frames.ring import Ring
from kucoin_research.model.records import Ticker


class Feed:
    """The part of a stream that figures read; rows are stamped when they are made."""

    symbols = channels = ()

    def __init__(self, buffered: int, rate: int) -> None:
        self._ring = Ring(Ticker, capacity=max(buffered, 10_000) + 500_000)
        self._rate = rate
        self._buffered = buffered
        self._count = 0
        begin = time.time_ns() - buffered * 1_000_000_000 // rate
        for start in range(0, buffered, 50_000):
            size = min(50_000, buffered - start)
            times = [begin + (start + n) * 1_000_000_000 // rate for n in range(size)]
            self._ring.extend([self._row(each) for each in times])
        threading.Thread(target=self._run, daemon=True).start()

    def _row(self, now: int) -> Ticker:
        self._count += 1
        price = 80_000 + 50 * np.sin(self._count / 30_000) + self._count % 97 * 0.1
        return Ticker(
            now, now, "XBTUSDTM", self._count, price, 1.0, "buy", price, 1.0, price + 0.1, 1.0
        )

    def _run(self) -> None:
        timer, started, made = threading.Event(), time.perf_counter(), 0
        while True:
            due = int((time.perf_counter() - started) * self._rate) - made
            if due > 0:
                made += due
                self._ring.extend([self._row(time.time_ns() + n) for n in range(due)])
            timer.wait(0.005)

    def frame(
        self, channel: str | None = None, symbol: str | None = None, last: int | None = None
    ) -> pl.DataFrame:
        assert symbol is None
        self._check(channel)
        return self._ring.frame(last)

    def total(self, channel: str | None = None) -> int:
        self._check(channel)
        return self._ring.total

    @staticmethod
    def _check(channel: str | None) -> None:
        if channel not in (None, "ticker"):
            raise UnknownChannel(f"no {channel} here")

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all buffered rows, which the other designs send: epoch milliseconds, mid."""
        frame = self._ring.frame(self._buffered)
        mid = (frame["best_bid_price"] + frame["best_ask_price"]) / 2
        return frame["timestamp"].to_physical().to_numpy() / 1e6, mid.to_numpy()


def report_cpu(path: str) -> None:
    """Write the process's CPU seconds twice a second, for the driver to read."""
    timer = threading.Event()

    def run() -> None:
        while True:
            text = json.dumps({"at": time.time(), "cpu": time.process_time()})
            Path(path + ".part").write_text(text)
            Path(path + ".part").replace(path)
            timer.wait(0.25)

    threading.Thread(target=run, daemon=True).start()


class LoopTicks:
    """Counts the runs of an asyncio task on the kernel's loop, at most twenty a second."""

    def __init__(self) -> None:
        self.count = 0
        self._task = asyncio.get_event_loop().create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0.05)
