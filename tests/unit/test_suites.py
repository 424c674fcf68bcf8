"""The script behind `make test`: it runs all suites, and says how they went."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from scripts import suites
from tests.conftest import wait_until
from tests.processes import Process, run

SCRIPT = Path(suites.__file__)
TESTS = {
    "good": "def test_passes(): pass\nclass TestGroup:\n    def test_inside(self): pass\n",
    "bad": """
import pytest
@pytest.fixture
def breaks():
    yield
    raise ValueError
def test_fails_twice(breaks): assert 0
def test_passes(): pass
@pytest.mark.skip
def test_is_skipped(): pass
""",
    "broken": "import nothing_of_that_name",
    "slow": "import time\ndef test_is_slow(): time.sleep(0.3)\n",
    "endless": """
import pathlib, threading
def test_is_interrupted():
    pathlib.Path("begun").touch()
    threading.Event().wait(60)
""",
}
PLAIN = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # these suites need no plugin
# A terminal's Ctrl-C reaches a group of processes as a whole.
IN_A_GROUP = (
    sys.executable, "-c", "import os, sys; os.setsid(); os.execv(sys.argv[1], sys.argv[1:])",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for name, text in TESTS.items():
        (tmp_path / f"test_{name}.py").write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider")
    return tmp_path


def run_suites(folder, *stages):
    return run(sys.executable, SCRIPT, *stages, cwd=folder, **PLAIN)


def row_of(done, name):
    """Find what the table says of a suite: passed, failed, skipped, and the verdict."""
    [row] = re.findall(rf"^{name} +(\d+) +(\d+) +(\d+) +[\d.]+  (.+)$", done.stdout, re.MULTILINE)
    return row


def test_a_failing_suite_does_not_stop_the_next_and_fails_in_the_end(folder):
    done = run_suites(folder, "first = test_bad.py", "second = -q test_good.py")

    assert done.returncode == 1
    assert row_of(done, "first") == ("1", "1", "1", "failed")
    assert row_of(done, "second") == ("2", "0", "0", "passed")
    assert done.stdout.endswith("\nfailed\ntest_bad.py::test_fails_twice\n")


def test_all_suites_passing_is_exit_code_0(folder):
    done = run_suites(folder, "only = test_good.py")

    assert done.returncode == 0
    assert "\nfailed\n" not in done.stdout


def test_the_slowest_tests_of_all_suites_are_listed_slowest_first(folder):
    done = run_suites(folder, "fast = test_good.py", "slow = test_slow.py")
    slowest = done.stdout.partition("slowest 3 of 3 tests\n")[2].split()[1::2]

    assert slowest[0] == "test_slow.py::test_is_slow"
    assert set(slowest[1:]) == {"test_good.py::test_passes", "test_good.py::TestGroup::test_inside"}


def test_suites_side_by_side_are_shown_one_after_the_other(folder):
    done = run_suites(folder, "first = -v test_slow.py & second = -v test_good.py")
    shown = [done.stdout.index(text) for text in ("test_is_slow PASSED", "test_inside PASSED")]

    assert done.returncode == 0
    assert shown == sorted(shown)


@pytest.mark.parametrize(
    ("arguments", "row"),
    [
        ("test_broken.py", ("0", "1", "0", "failed")),
        ("test_good.py -k nothing", ("0", "0", "0", "exit code 5")),
        ("--no-such-option", ("0", "0", "0", "exit code 4")),
    ],
)
def test_a_suite_that_cannot_run_has_failed_and_the_next_runs(folder, arguments, row):
    done = run_suites(folder, f"first = {arguments}", "second = test_good.py")

    assert done.returncode == 1
    assert row_of(done, "first") == row
    assert row_of(done, "second") == ("2", "0", "0", "passed")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no groups of processes to interrupt")
def test_an_interrupt_ends_everything_with_exit_code_130(folder):
    words = ["good = test_good.py", "endless = test_endless.py", "never = test_good.py"]
    with Process(*IN_A_GROUP, sys.executable, SCRIPT, *words, cwd=folder, **PLAIN) as process:
        wait_until((folder / "begun").exists, progress=lambda: process.stdout)
        os.killpg(process.pid, signal.SIGINT)

        assert process.wait() == suites.INTERRUPTED
    assert row_of(process, "good") == ("2", "0", "0", "passed")
    assert row_of(process, "endless")[-1] == "interrupted"
    assert "never" not in process.stdout
