"""Child processes of these tests: exchanges, and others' clients, which print lines of JSON.

Each wait has the patience of `tests.processes`, which everything that the process prints renews.
"""

import contextlib
import json
import sys
from pathlib import Path

from tests.processes import Process

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).parent / "clients"


def message(process):
    """Wait for the next line, decoded; None at the end."""
    line = process.line()
    return None if line is None else json.loads(line)


def messages(process, last="done"):
    """Wait for the lines up to that of a call; returns those before it."""
    found = []
    while (line := message(process)) is not None:
        if line["call"] == last:
            return found
        found.append(line)
    raise AssertionError(f"the client ended ({process.wait()}) before it said {last}")


class Exchange:
    """An exchange in a process of its own, whose time stands at first.

    Attributes
    ----------
    addresses
        Of its two markets, by name.
    """

    def __init__(self, process):
        self._process = process
        self.addresses = message(process)

    def forward(self, seconds):
        """Let some virtual seconds pass; then time stands again."""
        self._do(f"forward {seconds}")

    def go(self):
        """Let time pass from now on."""
        self._do("go")

    def _do(self, order):
        self._process.tell(order)
        assert message(self._process) == {"done": order}


@contextlib.contextmanager
def held_exchange(kind, **options):
    """Run an exchange whose time stands: ``simulate`` or ``serve``; see exchange.py for options."""
    words = ["-m", "tests.interop.exchange", kind, json.dumps(options)]
    with Process(sys.executable, *words, PYTHONPATH=str(ROOT)) as process:
        yield Exchange(process)


@contextlib.contextmanager
def exchange_process(*, speed, start):
    """Run `python -m kucoin_research simulate`; give the addresses that it prints."""
    words = ["-m", "kucoin_research", "simulate", "--speed", speed, "--start", start]
    with Process(sys.executable, *words, PYTHONPATH=str(ROOT)) as process:
        yield message(process)


def client_process(python, script, mode, addresses, plan):
    """Run one of the scripts in clients/ with the interpreter of .venv-interop."""
    return Process(
        python, CLIENTS / script, mode, addresses["futures"], addresses["spot"], json.dumps(plan),
        PYTHONPATH="", PYTHONUNBUFFERED="", NO_PROXY="127.0.0.1", no_proxy="127.0.0.1",
    )  # fmt: skip
