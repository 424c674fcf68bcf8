"""Run suites of tests, all of them even if one fails, and print a summary.

    python scripts/suites.py "unit = -n 4 tests/unit" "web = tests/web ; clients = tests/interop"

Each argument is a lane: a suite, written as its name and pytest's arguments, or several suites that
run one after the other. Lanes run side by side. The output of the first is shown as it comes, that
of the others after all have ended. A table of the suites follows, then the slowest tests and the
ids of those that failed. The exit code is 0 if everything passed, 1 if not, and 130 after Ctrl-C,
which ends everything.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

SLOWEST = 15  # tests in the list
INTERRUPTED = 130  # the shells' exit code of a process that Ctrl-C has ended
_OUTCOMES = {"failure": "failed", "error": "failed", "skipped": "skipped"}
_PYTEST_INTERRUPTED = 2  # also if tests cannot be collected; these are reported as failed
_HEADER = ("suite", "passed", "failed", "skipped", "seconds", "")


class Case(NamedTuple):
    """One test: its node id, ``passed``, ``failed`` or ``skipped``, and its seconds."""

    id: str
    outcome: str
    seconds: float


class Result(NamedTuple):
    """The result of a suite; if pytest has written no report, it has no tests."""

    name: str
    status: int
    seconds: float
    tests: list[Case]

    def count(self, outcome: str) -> int:
        """Count the tests with this outcome."""
        return sum(test.outcome == outcome for test in self.tests)

    @property
    def is_interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        if self.status == _PYTEST_INTERRUPTED:
            return not self.count("failed")
        return self.status in (INTERRUPTED, -signal.SIGINT)

    @property
    def verdict(self) -> str:
        """The result in a word, or the exit code if pytest itself failed."""
        if self.is_interrupted:
            return "interrupted"
        if self.status and not self.count("failed"):
            return f"exit code {self.status}"
        return "failed" if self.status else "passed"


class Run:
    """A running suite: pytest in its own process."""

    def __init__(self, text: str, folder: Path, *, is_shown: bool) -> None:
        name, _, arguments = text.partition("=")
        self.name = name.strip()
        self._report = folder / f"{self.name}.xml"
        self._output = None if is_shown else (folder / f"{self.name}.txt").open("w+")
        self._began = time.monotonic()
        words = shlex.split(arguments)
        self._title = f"{self.name}: pytest {shlex.join(words)}"
        if is_shown:
            print(f"\n{self._title}", flush=True)
        report = [f"--junitxml={self._report}", "-o", "junit_family=xunit1"]
        self._process = subprocess.Popen(  # noqa: S603 - the words are the caller's
            [sys.executable, "-m", "pytest", *words, *report],
            stdout=self._output,
            stderr=self._output and subprocess.STDOUT,
            env=_environment(),
        )

    def wait(self) -> Result:
        """Wait for its end and return the result."""
        status = self._process.wait()
        seconds = time.monotonic() - self._began
        self.result = Result(self.name, status, seconds, read_report(self._report))
        return self.result

    def show(self) -> None:
        """Print the output, unless it was shown as it came."""
        if self._output is not None:
            self._output.seek(0)
            print(f"\n{self._title}\n{self._output.read()}", flush=True)
            self._output.close()


def _environment() -> dict[str, str]:
    """Return the environment with bytecode allowed, even if the machine's settings forbid it.

    Tests start some two hundred processes that import the project. Without bytecode, each of them
    compiles it, which takes longer than all its other imports.
    """
    return {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def read_report(path: Path) -> list[Case]:
    """Read the tests from a report; none if there is no report."""
    if not path.exists():
        return []
    found: dict[str, Case] = {}
    for case in ET.parse(path).iter("testcase"):  # noqa: S314 - pytest has written it
        outcome = next((_OUTCOMES[each.tag] for each in case if each.tag in _OUTCOMES), "passed")
        test = Case(_node_id(case), outcome, float(case.get("time", 0)))
        # A test that fails, and whose fixtures fail after it, is listed twice.
        before = found.get(test.id)
        if before is not None:
            test = test._replace(
                outcome=min(before.outcome, test.outcome), seconds=before.seconds + test.seconds
            )
        found[test.id] = test
    return list(found.values())


def _node_id(case: ET.Element) -> str:
    file, name = case.get("file"), case.get("name", "")
    if not file:  # the test could not be collected
        return ".".join(filter(None, (case.get("classname"), name)))
    module = file.removesuffix(".py").replace("/", ".")
    classes = case.get("classname", "").removeprefix(module).strip(".")
    return "::".join([file, *filter(None, classes.split(".")), name])


def run_lanes(lanes: Sequence[str], folder: Path) -> list[Result]:
    """Run all suites, or until Ctrl-C, and return the results of those that have run."""
    is_over = threading.Event()
    # pytest also receives Ctrl-C. We wait for it, since it still reports the tests that have run.
    before = signal.signal(signal.SIGINT, lambda *_: is_over.set())
    try:
        with ThreadPoolExecutor(len(lanes)) as threads:
            made = [
                threads.submit(_run_lane, lane.split(" ; "), folder, is_over, is_shown=not place)
                for place, lane in enumerate(lanes)
            ]
            runs = [run for lane in made for run in lane.result()]
    finally:
        signal.signal(signal.SIGINT, before)
    for run in runs:
        run.show()
    results = [run.result for run in runs]
    if is_over.is_set():
        results[-1] = results[-1]._replace(status=INTERRUPTED)
    return results


def _run_lane(
    suites: Iterable[str], folder: Path, is_over: threading.Event, *, is_shown: bool
) -> list[Run]:
    runs: list[Run] = []
    for suite in suites:
        run = Run(suite, folder, is_shown=is_shown)
        runs.append(run)
        if run.wait().is_interrupted:
            is_over.set()
        if is_over.is_set():
            break
    return runs


def summary(results: Sequence[Result]) -> Iterator[str]:
    """Write the table, the slowest tests and the failed tests, line by line."""
    yield from _table(results)
    tests = [test for result in results for test in result.tests]
    slowest = sorted(tests, key=lambda test: -test.seconds)[:SLOWEST]
    yield from _titled(f"slowest {len(slowest)} of {len(tests):,} tests", map(_timed, slowest))
    yield from _titled("failed", [test.id for test in tests if test.outcome == "failed"])


def _table(results: Sequence[Result]) -> Iterator[str]:
    rows = [_HEADER, *map(_row, results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    for name, *cells in rows:
        aligned = [cell.rjust(width) for cell, width in zip(cells[:-1], widths[1:], strict=False)]
        yield "  ".join([name.ljust(widths[0]), *aligned, cells[-1]]).rstrip()


def _row(result: Result) -> tuple[str, ...]:
    counts = (f"{result.count(outcome):,}" for outcome in _HEADER[1:4])
    return (result.name, *counts, f"{result.seconds:,.1f}", result.verdict)


def _timed(test: Case) -> str:
    return f"{test.seconds:7.1f}  {test.id}"


def _titled(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield from ("", title, *found)


def main(lanes: list[str]) -> int:
    """Run the lanes, print the summary and return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        results = run_lanes(lanes, Path(folder))
    print()
    print("\n".join(summary(results)), flush=True)
    if any(result.is_interrupted for result in results):
        return INTERRUPTED
    return int(any(result.status for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
