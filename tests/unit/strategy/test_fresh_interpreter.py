"""An interpreter that works for a process, and ends with it."""

from __future__ import annotations

import os
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from kucoin_research.strategy.fresh_interpreter import FreshInterpreter
from tests.processes import Process

ROOT = Path(__file__).parents[3]


def work(number):
    """Return the number and the process that has seen it; a negative number ends the process."""
    if number < 0:
        os._exit(3)
    return number, os.getpid()


def test_calls_are_done_by_one_other_process():
    with closing(FreshInterpreter(work)) as fresh:
        first, second = fresh.call(1), fresh.call(2)

    assert (first[0], second[0]) == (1, 2)
    assert first[1] == second[1] != os.getpid()


def test_after_its_death_another_one_is_started():
    with closing(FreshInterpreter(work)) as fresh:
        _, before = fresh.call(1)
        with pytest.raises((EOFError, OSError)):
            fresh.call(-1)
        _, after = fresh.call(1)

    assert before != after


def test_it_ends_with_the_process_that_it_works_for():
    code = """
        import os, signal
        from kucoin_research.strategy.fresh_interpreter import FreshInterpreter
        from tests.unit.strategy.test_fresh_interpreter import work

        print(FreshInterpreter(work).call(7)[0], flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """

    # The pipe of stdout, which the interpreter has too, is at its end when both have ended.
    with Process(sys.executable, "-c", textwrap.dedent(code), PYTHONPATH=str(ROOT)) as process:
        assert process.wait() == -9, process.stderr

    assert process.stdout == "7\n"
