"""What a screener of 700 contracts costs the kernel: time, redraws and bytes per second.

A page that draws at once stands for the browser, and the exchange runs in a process of its own.
Measured with calls once a second, with a stream of all best prices, and at the table's full pace,
where every price changes before each of its five messages per second. Run with
``python -m benchmarks.screener``.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks.elsewhere import exchange
from kucoin_research.api.screening import Screener
from kucoin_research.dashboards.screener_table import ScreenerTable
from kucoin_research.exchange.rest.client import Rest

_WARM_UP = 8.0


class Page:
    """Answers each message of a table, as a browser that draws it at once."""

    def __init__(self, table: ScreenerTable) -> None:
        self._table = table
        table.send = self._answer
        self._hear(kind="hello")
        self._hear(kind="view", visible=True)

    def _hear(self, **message: Any) -> None:
        self._table._on_message(None, message | {"page": "benchmark"}, [])

    def _answer(self, message: dict[str, Any], **_: object) -> None:
        if "seq" in message:
            self._hear(kind="drawn", seq=message["seq"], ms=5.0)


def measure(screener: Screener, seconds: float, *, churns: bool) -> tuple[float, float, float]:
    """Return the share of a core, and redraws and bytes per second."""
    table = ScreenerTable(screener, print)
    screener.start()
    while not screener.symbols:
        time.sleep(0.1)
    table.start()
    Page(table)
    time.sleep(_WARM_UP)
    before, spent, began = table.link, time.process_time(), time.monotonic()
    with Rest(screener.venue) as rest:
        tickers = rest.tickers() if churns else []
    while (now := time.monotonic()) < began + seconds:
        if churns:
            change = 1 + 1e-6 * (now % 1)
            screener._board.take_prices(
                [
                    row._replace(
                        local_timestamp=time.time_ns(),
                        price=row.price * change,
                        best_bid_price=row.best_bid_price * change,
                    )
                    for row in tickers
                    if row.price is not None and row.best_bid_price is not None
                ]
            )
        time.sleep(0.2)
    took = time.monotonic() - began
    after, share = table.link, (time.process_time() - spent) / took
    table.close()
    drawn, sent = after.drawn - before.drawn, after.bytes_sent - before.bytes_sent
    return share, drawn / took, sent / took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--contracts", type=int, default=700)
    arguments = parser.parse_args()
    cases: dict[str, tuple[dict[str, Any], bool]] = {
        "asked every second": ({}, False),
        "best prices streamed": ({"live": True}, False),
        "every price changes five times a second": ({}, True),
    }
    print(f"{'':42}{'% of a core':>12}{'redraws/s':>11}{'kB/s':>9}")
    with exchange(contracts=arguments.contracts) as venue:
        for name, (options, churns) in cases.items():
            with Screener(venue, **options) as screener:
                share, drawn, sent = measure(screener, arguments.seconds, churns=churns)
            print(f"{name:42}{share:12.1%}{drawn:11.1f}{sent / 1e3:9.1f}", flush=True)


if __name__ == "__main__":
    main()
