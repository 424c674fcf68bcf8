"""Other people's engines for back-tests, asked by modules of ``engines/`` in `.venv-peers`."""

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


@pytest.fixture(scope="session")
def server(python):
    """The process that answers for all engines, as it compiles once for all tests what they ask."""
    with Process(python, ENGINES / "serve.py") as process:
        yield process


@pytest.fixture
def engine(server):
    """Return the function that asks a module of ``engines/`` for its answer to some arguments."""

    def ask(module, *arguments):
        server.tell(json.dumps([module, *arguments], default=str))
        while (line := server.line()) is not None and line.strip() == ".":
            pass
        assert line is not None, f"{module} ended with {server.wait()}"
        return json.loads(line)

    return ask


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
