"""Child processes of these tests: the exchange, and others' clients. All waits are bounded."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).parent / "clients"
ENVIRONMENT = ROOT / ".venv-interop"
START_SECONDS = 30.0


def interop_python():
    """The interpreter that `make interop` prepared, or None."""
    inside = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")
    python = ENVIRONMENT.joinpath(*inside)
    return python if python.exists() and (ENVIRONMENT / ".ready").exists() else None


class Child:
    """A process whose stdout is lines of JSON, read as they come."""

    def __init__(self, *command, **environment):
        self._lines = queue.SimpleQueue()
        self._errors = []
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            encoding="utf-8", errors="replace", env=os.environ | environment,
        )  # fmt: skip
        self._threads = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _read_errors(self):
        self._errors.extend(self.process.stderr)

    def line(self, timeout):
        """Give the next line, decoded; None at the end."""
        try:
            text = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"nothing came within {timeout} s; {self._told()}") from None
        return None if text is None else json.loads(text)

    def lines(self, timeout):
        """Give all lines up to the one that says done."""
        found = []
        while (line := self.line(timeout)) is not None:
            if line["call"] == "done":
                return found
            found.append(line)
        raise AssertionError(f"the client ended before it was done; {self._told()}")

    def tell(self, text):
        """Write one line to the process."""
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def _told(self):
        return "its stderr: " + "".join(self._errors[-30:])

    def close(self):
        """End it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        for thread in self._threads:
            thread.join(5)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()


def exchange_process(*options, speed, start):
    """Run `python -m kucoin_research simulate`; give the addresses that it prints."""
    return _ours("simulate", "--speed", speed, "--start", start, *options)


def served_process(*folders, speed, grace):
    """Run `python -m kucoin_research serve`; give the addresses that it prints."""
    return _ours("serve", *folders, "--speed", speed, "--grace", grace)


@contextlib.contextmanager
def _ours(*words):
    child = Child(sys.executable, "-m", "kucoin_research", *words, PYTHONPATH=str(ROOT))
    try:
        yield child.line(START_SECONDS)
    finally:
        child.close()


@contextlib.contextmanager
def client_process(python, script, mode, addresses, plan):
    """Run one of the scripts in clients/ with the interpreter of .venv-interop."""
    child = Child(
        python, CLIENTS / script, mode, addresses["futures"], addresses["spot"], json.dumps(plan),
        PYTHONPATH="", PYTHONUNBUFFERED="", NO_PROXY="127.0.0.1", no_proxy="127.0.0.1",
    )  # fmt: skip
    try:
        yield child
    finally:
        child.close()
