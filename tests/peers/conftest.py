"""Other people's engines for back-tests, each run by a script of ``engines/`` in `.venv-peers`."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.processes import Process

ROOT = Path(__file__).parents[2]
ENGINES = Path(__file__).parent / "engines"
ENVIRONMENT = ROOT / ".venv-peers"
_WHY_NOT = pytest.StashKey()


def _interpreter():
    inside = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")
    found = ENVIRONMENT.joinpath(*inside)
    return found if found.exists() and (ENVIRONMENT / ".ready").exists() else None


@pytest.fixture(scope="session")
def python(request):
    """The interpreter that `make peers` prepared."""
    found = _interpreter()
    if found is not None:
        return found
    reason = "NOT COMPARED with other engines for back-tests: no .venv-peers; run `make peers`"
    request.config.stash[_WHY_NOT] = reason
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def engine(python):
    """Run a script of ``engines/`` with some arguments; returns what it prints last, decoded."""

    def run(script, *arguments):
        with Process(python, ENGINES / script, *arguments, PYTHONUNBUFFERED="1") as process:
            lines = []
            while (line := process.line()) is not None:
                lines.append(line)
            code = process.wait()
        assert code == 0, f"{script} ended with {code}"
        return json.loads(lines[-1])

    return run


@pytest.fixture(scope="session")
def goog(engine_folder):
    """Daily candles of GOOG, 2004 to 2013, which the package backtesting brings along."""
    return engine_folder("backtesting") / "test" / "GOOG.csv"


@pytest.fixture(scope="session")
def engine_folder(python):
    """Return the folder of a package of theirs, without importing it."""

    def folder(name):
        words = "import importlib.util, sys; print(importlib.util.find_spec(sys.argv[1]).origin)"
        with Process(python, "-c", words, name) as process:
            return Path(process.line()).parent

    return folder


def pytest_terminal_summary(terminalreporter, config):
    reason = config.stash.get(_WHY_NOT, None)
    if reason:
        terminalreporter.section("OTHER ENGINES FOR BACK-TESTS", red=True)
        terminalreporter.write_line(reason, red=True, bold=True)
