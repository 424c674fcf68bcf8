"""A simulated exchange in a process of its own, so that its time is not counted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import kucoin_research as kr

__all__ = ["exchange"]

_EXCHANGE = """
import json, sys
import kucoin_research as kr
with kr.simulate(**json.loads(sys.argv[1])) as exchange:
    exchange.resume()
    print(exchange.futures_url, exchange.spot_url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def exchange(**options: Any) -> Iterator[kr.Venue]:
    """Run an exchange elsewhere; the options are those of ``kr.simulate``.

    Unless told otherwise, it starts at the same time in each run.
    """
    command = [sys.executable, "-c", _EXCHANGE, json.dumps({"start": "2026-01-05"} | options)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        futures, spot = process.stdout.readline().split()
        yield kr.Venue(futures, spot, "simulated")
        process.stdin.close()
