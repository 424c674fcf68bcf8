"""Measure the time to decode one message, and compare it with simpler decoders.

Run it with ``python benchmarks/decode.py [--messages 20000] [--rounds 7]``; the best round counts.
The simpler ones do less: ``json.loads`` (and orjson if it is installed) with ``float()`` around
each price and size, but no record, no range checks and no exact units of time. Trust the ratios.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from kucoin_research.exchange.websocket.decode_classic import Broken, Decoder
from kucoin_research.model.channels import Market

try:
    import orjson  # type: ignore[import-not-found,unused-ignore]  # optional, not installed here
except ImportError:
    orjson = None


def message(topic: str, subject: str, data: dict[str, Any]) -> bytes:
    envelope = {"topic": topic, "type": "message", "subject": subject, "sn": 1747821025244}
    return json.dumps({**envelope, "data": data}, separators=(",", ":")).encode()


def levels(first: float, step: float) -> list[list[Any]]:
    return [[f"{first + step * level:.2f}", 40 + level] for level in range(50)]


MESSAGES = {
    "ticker": message("/contractMarket/ticker:XBTUSDTM", "ticker", {
        "symbol": "XBTUSDTM", "sequence": 1793133570931, "side": "sell", "size": 1,
        "price": "90147.7", "bestBidSize": 2186, "bestBidPrice": "90147.7",
        "bestAskPrice": "90147.8", "tradeId": "1793133570931", "bestAskSize": 275,
        "ts": 1731679215637000000,
    }),
    "trade": message("/contractMarket/execution:XBTUSDTM", "match", {
        "symbol": "XBTUSDTM", "sequence": 1794100537695, "side": "buy", "size": 2,
        "price": "90503.9", "takerOrderId": "247822202957807616",
        "makerOrderId": "247822167163555840", "tradeId": "1794100537695",
        "ts": 1731898619520000000,
    }),
    "level2": message("/contractMarket/level2:XBTUSDTM", "level2", {
        "sequence": 1747821025244, "change": "83614,buy,12", "timestamp": 1790113097240,
    }),
    "depth50": message("/contractMarket/level2Depth50:ETHUSDTM", "level2", {
        "sequence": 1736604716188, "asks": levels(2749.69, 0.01), "bids": levels(2749.68, -0.01),
        "timestamp": 1790114460610, "ts": 1790114460610,
    }),
}  # fmt: skip

_PRICES_AND_SIZES = (
    "price", "size", "bestBidPrice", "bestBidSize", "bestAskPrice", "bestAskSize",
)  # fmt: skip


def plain(loads: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def decode(payload: bytes) -> Any:
        data = loads(payload)["data"]
        for key in _PRICES_AND_SIZES:
            if key in data:
                data[key] = float(data[key])
        if "change" in data:
            price, side, size = data["change"].split(",")
            data["change"] = float(price), side, float(size)
        for key in ("bids", "asks"):
            if key in data:
                data[key] = [(float(price), float(size)) for price, size in data[key]]
        return data

    return decode


def microseconds(decode: Callable[[bytes], Any], payload: bytes, count: int, rounds: int) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(count):
            decode(payload)
        best = min(best, time.perf_counter() - start)
    return best / count * 1e6


def ours(payload: bytes) -> Any:
    return _decoder.decode(payload, 1_790_000_000_000_000_000)


_decoder = Decoder(Market.FUTURES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=20_000, help="per round")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()

    ways = {"Decoder": ours, "json + float": plain(json.loads)}
    if orjson is not None:
        ways["orjson + float"] = plain(orjson.loads)
    print("µs per message".ljust(22) + "".join(way.rjust(16) for way in ways))
    for name, payload in MESSAGES.items():
        assert not isinstance(ours(payload), Broken), ours(payload)
        figures = (
            microseconds(decode, payload, arguments.messages, arguments.rounds)
            for decode in ways.values()
        )
        title = f"{name}, {len(payload)} B"
        print(title.ljust(22) + "".join(f"{figure:16.2f}" for figure in figures))


if __name__ == "__main__":
    main()
