"""Make data/sample: a recorded minute of the simulated exchange, with one outage on purpose.

    python scripts/make_sample.py

The seed makes the same market each time; arrival times are those of the run. It takes a minute,
since the exchange runs in real time, so that rows arrive as they would from KuCoin.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import kucoin_research as kr

SEED, START, SECONDS = 7, "2026-01-05", 60
CHANNELS = ["ticker", "trade", "candle", "mark_price", "level2"]
OUTAGE_AT, OUTAGE_SECONDS = 25.0, 5.0
TARGET = Path(__file__).parents[1] / "data" / "sample"


def make() -> None:
    """Record a session, check it, and replace the sample's files."""
    with tempfile.TemporaryDirectory() as root, kr.simulate(seed=SEED, start=START) as exchange:
        exchange.inject("maintenance", at=OUTAGE_AT, delay=OUTAGE_SECONDS)
        with kr.record(
            "XBTUSDTM", CHANNELS, venue=exchange.venue, root=root, seconds=SECONDS
        ) as recording:
            pass
        found = recording.session().verify()
        if not found.ok:
            raise SystemExit(str(found))
        for old in (*TARGET.glob("*.csv"), *TARGET.glob("session.json")):
            old.unlink()
        TARGET.mkdir(parents=True, exist_ok=True)
        for path in recording.path.iterdir():
            if path.suffix in (".csv", ".json"):
                shutil.copy(path, TARGET / path.name)
    session = kr.load(TARGET)
    print(session.verify())
    print(session.report())
    print(f"{sum(path.stat().st_size for path in TARGET.iterdir()):,} bytes")


if __name__ == "__main__":
    make()
