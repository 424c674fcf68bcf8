"""The time until the books and trades of many symbols are ready, with slow REST replies.

A stream of ``level2`` and ``trade`` runs against the simulated exchange, whose REST replies are
delayed. Printed are the seconds until every book is ready after the start, and after an outage of a
tenth of a second: until every book is ready again, and until the lost trades are back, of the first
symbol and of all. Most symbols are quiet contracts. It runs in held time, so that the seconds are
those of calls and waits, whatever else this machine does. Run with
``python -m benchmarks.many_symbols --symbols 97 --delay 0.2``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import kucoin_research as kr
from kucoin_research.streaming.stream import Stream
from tests.held_time import HeldTime

_CALLS = ("/api/v1/level2/snapshot", "/api/v1/trade/history")
_PATIENCE = 900.0
_ALL = 10**9


def measure(held: HeldTime, symbols: int, delay: float, quota: int) -> dict[str, float]:
    """Return the held seconds of each measured event, by its name."""
    with kr.simulate(
        seed=7, quiet_contracts=symbols, rate_limit=quota, start="2026-01-05"
    ) as exchange:
        names = kr.get_active_symbols(venue=exchange.venue)[:symbols]
        for path in _CALLS:
            exchange.inject("slow_reply", path=path, delay=delay, count=None)
        with kr.stream(names, ["level2", "trade"], venue=exchange.venue, capacity=10_000_000) as s:
            found = {"books ready": _until(held, lambda: _are_ready(s))}
            held.pass_by(30.0)  # to have trades before the outage
            exchange.inject("abort")
            held.wait_until(lambda: s.state is not kr.State.LIVE)
            began = held.monotonic()
            held.wait_until(lambda: s.state is kr.State.LIVE, _PATIENCE)
            waiting = [hole.symbol for hole in s._handler.gap_filler.gaps]
            marks: dict[str, float] = {}

            def look() -> bool:
                left = {hole.symbol for hole in s._handler.gap_filler.gaps}
                since = held.monotonic() - began
                if waiting and waiting[0] not in left:
                    marks.setdefault("first trades back", since)
                if not left:
                    marks.setdefault("all trades back", since)
                if _are_ready(s):
                    marks.setdefault("books ready again", since)
                return len(marks) == 2 + bool(waiting)

            held.wait_until(look, _PATIENCE)
            found["symbols with an outage of trades"] = len(waiting)
            found |= marks
            report = s.report()
            found["not filled"] = s.frame("status").filter(event="not_filled").height
            found["calls refused"] = s.frame("status").filter(event="snapshot_failed").height
            assert len(report.channels) == 2 * symbols
    return found


def _are_ready(stream: Stream) -> bool:
    return all(book.is_settled for book in stream._handler.books.values())


def _until(held: HeldTime, condition: Callable[[], bool]) -> float:
    began = held.monotonic()
    held.wait_until(condition, _PATIENCE)
    return held.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, nargs="+", default=[97])
    parser.add_argument("--delay", type=float, default=0.2)
    parser.add_argument("--quota", type=int, default=2_000)
    arguments = parser.parse_args()
    for symbols in arguments.symbols:
        began = time.perf_counter()
        with HeldTime() as held:
            found = measure(held, symbols, arguments.delay, arguments.quota)
        took = time.perf_counter() - began
        print(f"{symbols} symbols, {arguments.delay} s a call ({took:.0f} s of this machine)")
        for name, value in found.items():
            print(f"  {name:40}{value:9.2f}", flush=True)


if __name__ == "__main__":
    main()
