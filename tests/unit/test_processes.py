"""The helper that starts processes, and the report of a failed test about them."""

import os
import sys
from pathlib import Path

import pytest

from tests import processes
from tests.processes import Process, run

ROOT = Path(__file__).parents[2]

ECHO = """
import sys
print("ready", flush=True)
for line in sys.stdin:
    print("heard", line.strip(), flush=True)
    print("complained", file=sys.stderr, flush=True)
"""

FAILING = """
import sys
import pytest
from tests.processes import Process, run

# Processes live in real time.
REAL_TIME = True

@pytest.fixture(scope="module")
def talker():
    with Process(sys.executable, "-c", "print('from a fixture')") as process:
        process.wait()
    return process

def test_passes(talker):
    run(sys.executable, "-c", "print('of another test')")

def test_fails(talker):
    run(sys.executable, "-c", "import sys; print('from a test'); sys.exit('and why')")
    assert 0

def test_uses_none():
    assert 0
"""


@pytest.fixture
def echo():
    with Process(sys.executable, "-c", ECHO) as process:
        yield process


def test_lines_come_one_after_the_other_and_none_at_the_end(echo):
    assert echo.line() == "ready\n"
    echo.tell("one")
    assert echo.line_with("heard") == "heard one\n"
    echo.close()

    assert echo.line() is None


def test_a_process_that_is_silent_too_long_fails_the_test(echo):
    echo.line()

    with pytest.raises(AssertionError, match=r"printed nothing for 0.01 s; waited for a line"):
        echo.line(0.01)


def test_a_process_that_ends_before_it_says_something_fails_the_test():
    with (
        Process(sys.executable, "-c", "raise SystemExit(3)") as process,
        pytest.raises(AssertionError, match=r"ended \(3\) before a line with 'ready'"),
    ):
        process.line_with("ready")


def test_output_larger_than_a_pipe_is_read_whole():
    done = run(sys.executable, "-c", "print('x' * 1_000_000)")

    assert (done.returncode, len(done.stdout), done.stderr) == (0, 1_000_001, "")


def test_variables_and_folder_are_handed_on(tmp_path):
    code = "import os; print(os.environ['GREETING'], os.getcwd())"
    done = run(sys.executable, "-c", code, cwd=tmp_path, GREETING="hello")

    assert done.stdout.split() == ["hello", os.path.realpath(tmp_path)]


def test_a_closed_process_has_ended(echo):
    echo.line()
    echo.close()

    assert echo.returncode is not None
    assert "exit code" in echo.section()[0]


def test_of_a_long_output_the_end_is_shown():
    done = run(sys.executable, "-c", "for n in range(1_000): print('line', n)")
    title, text = done.section()

    assert title.endswith("(exit code 0)")
    assert text.count("\n") == processes.SHOWN + 1
    assert text.endswith("line 999\n")


def test_what_an_ended_process_printed_is_shown_once():
    done = run(sys.executable, "-c", "print('x' * 1_000)")

    (_, first), (_, second) = done.section(), done.section()
    assert first == f"-- stdout --\n{'x' * processes.WIDTH}…\n"
    assert second == "as shown before"


def test_a_failing_test_shows_what_its_processes_printed(tmp_path):
    (tmp_path / "test_it.py").write_text(FAILING)
    (tmp_path / "pytest.ini").write_text("[pytest]")
    words = ["-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", tmp_path]
    done = run(sys.executable, *words, cwd=tmp_path, PYTHONPATH=str(ROOT))

    ours, others = done.stdout.split("_ test_uses_none _")
    for text in ("from a fixture", "from a test", "and why", "(exit code 1)"):
        assert text in ours
        assert text not in others.partition("short test summary")[0]
    assert "of another test" not in ours
