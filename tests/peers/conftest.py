"""Other people's engines for back-tests, asked by modules of ``engines/`` in `.venv-peers`."""

import json
from pathlib import Path

import pytest

from tests.environments import leave_out, python_of
from tests.processes import Process

ENGINES = Path(__file__).parent / "engines"
_WHY_NOT = pytest.StashKey()


@pytest.fixture(scope="session")
def python(request):
    """The interpreter that `make peers` prepared."""
    found = python_of("peers")
    if found is None:
        reason = "NOT COMPARED with other engines for back-tests: no .venv-peers; run `make peers`"
        request.config.stash[_WHY_NOT] = reason
        leave_out(reason)
    return found


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
