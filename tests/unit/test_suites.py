"""The script behind `make test`: it runs all suites, and says how they went."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from scripts import suites
from scripts.suites import Case, Result, summary
from tests.conftest import wait_until
from tests.processes import Process, run

# Suites run in processes of their own.
REAL_TIME = True

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
    "other": "def test_other(): pass\n",
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
    done = run_suites(folder, "first = test_bad.py ; second = -q test_good.py")

    assert done.returncode == 1
    assert row_of(done, "first") == ("1", "1", "1", "failed")
    assert row_of(done, "second") == ("2", "0", "0", "passed")
    assert done.stdout.endswith("\nfailed\ntest_bad.py::test_fails_twice\n")


def test_all_suites_passing_is_exit_code_0(folder):
    done = run_suites(folder, "only = test_good.py")

    assert done.returncode == 0
    assert "\nfailed\n" not in done.stdout


def test_what_tests_import_is_compiled_once_whatever_the_machine_says(folder):
    (folder / "imported.py").write_text("")
    (folder / "test_good.py").write_text("import imported\ndef test_passes(): pass\n")

    run(
        sys.executable, SCRIPT, "only = test_good.py",
        cwd=folder, PYTHONDONTWRITEBYTECODE="1", **PLAIN,
    )  # fmt: skip

    assert list((folder / "__pycache__").glob("imported.*.pyc"))


def test_the_tests_of_all_suites_are_listed_with_their_seconds(folder):
    done = run_suites(folder, "one = test_good.py", "other = test_other.py")
    listed = done.stdout.partition("slowest 3 of 3 tests\n")[2].split()

    assert all(float(seconds) >= 0 for seconds in listed[::2])
    assert set(listed[1::2]) == {
        "test_good.py::test_passes", "test_good.py::TestGroup::test_inside",
        "test_other.py::test_other",
    }  # fmt: skip


def test_the_slowest_tests_come_first_and_no_more_than_fifteen():
    tests = [Case(f"test_{number}", "passed", number % 10) for number in range(20)]
    lines = list(summary([Result("one", 0, 1.0, tests[:10]), Result("two", 0, 1.0, tests[10:])]))
    listed = lines[lines.index("slowest 15 of 20 tests") + 1 :]

    assert [line.split()[1] for line in listed[:3]] == ["test_9", "test_19", "test_8"]
    assert len(listed) == 15


def test_suites_side_by_side_are_shown_one_after_the_other(folder):
    done = run_suites(folder, "first = -v test_other.py", "second = -v test_good.py")
    shown = [done.stdout.index(text) for text in ("test_other PASSED", "test_inside PASSED")]

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
    done = run_suites(folder, f"first = {arguments} ; second = test_good.py")

    assert done.returncode == 1
    assert row_of(done, "first") == row
    assert row_of(done, "second") == ("2", "0", "0", "passed")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no groups of processes to interrupt")
def test_an_interrupt_ends_everything_with_exit_code_130(folder):
    lane = "good = test_good.py ; endless = test_endless.py ; never = test_good.py"
    with Process(*IN_A_GROUP, sys.executable, SCRIPT, lane, cwd=folder, **PLAIN) as process:
        wait_until((folder / "begun").exists, progress=lambda: process.stdout)
        os.killpg(process.pid, signal.SIGINT)

        assert process.wait() == suites.INTERRUPTED
    assert row_of(process, "good") == ("2", "0", "0", "passed")
    assert row_of(process, "endless")[-1] == "interrupted"
    assert "never" not in process.stdout
