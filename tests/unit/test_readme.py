"""What README.md and CONTRIBUTING.md show runs as it stands, and prints what they say it prints."""

import doctest
import re
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import ipywidgets
import pytest

import kucoin_research as kr
from kucoin_research import cli
from tests.conftest import wait_until

ROOT = Path(__file__).parents[2]
SAID = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """A fenced block: of which language, what it says, and what it is said to print."""

    line: int
    language: str
    text: str
    prints: str | None


def blocks_of(name):
    """Read the blocks of a page; one that "prints" leads to belongs to the one before."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = list(re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M))
    for each, after in zip(found, [*found[1:], None], strict=True):
        between = text[each.end() : after.start()] if after is not None else ""
        is_said = after is not None and not after[1] and between.strip().startswith("prints")
        line = text.count("\n", 0, each.start()) + 1
        yield Block(line, each[1], each[2], after[2] if is_said else None)


BLOCKS = list(blocks_of("README.md"))
PYTHON = [block for block in BLOCKS if block.language == "python"]
COMMANDS = [
    line.removeprefix("$ ").partition("  #")[0].strip()
    for block in BLOCKS
    for line in block.text.splitlines()
    if line.removeprefix("$ ").startswith("kucoin-research")
]
# They serve, or open JupyterLab, until somebody ends them; tests/unit/test_cli.py runs them.
ENDLESS = {"simulate", "serve", "lab"}


@pytest.fixture
def place(tmp_path, monkeypatch, held_time):
    """The folder of a new user: the recorded minute is there, and KuCoin is the simulated one."""
    shutil.copytree(ROOT / "data" / "sample", tmp_path / "data" / "sample")
    monkeypatch.setenv("KUCOIN_RESEARCH_VENUE", "demo")
    yield tmp_path
    kr.api.registry.close_all()
    ipywidgets.Widget.close_all()  # a live figure is refreshed as long as it is open


def test_the_pages_have_such_blocks():
    assert len(PYTHON) >= 8
    assert sum(block.prints is not None for block in PYTHON) >= 4
    assert len(COMMANDS) >= 10


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: f"line {block.line}")
def test_a_block_of_the_readme_runs_by_itself_and_prints_what_it_says(place, capfd, block):
    exec(compile(block.text, f"README.md:{block.line}", "exec"), {"__name__": "__main__"})

    out, err = capfd.readouterr()
    assert "Traceback" not in err
    if block.prints is not None:
        printed = err.rpartition("\r")[2] + out  # of a bar, what it shows at last
        checker = doctest.OutputChecker()
        assert checker.check_output(block.prints, printed, SAID), printed


def test_blocks_that_print_otherwise_are_noticed(place, capfd):
    block = next(block for block in PYTHON if "data/sample" in block.text)
    exec(block.text, {})

    printed = capfd.readouterr().out
    checker = doctest.OutputChecker()
    assert not checker.check_output(block.prints.replace("13,316", "13,317"), printed, SAID)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_readme_runs(place, capfd, monkeypatch, line):
    _, *words = shlex.split(re.sub(r"(--minutes|--timeout) 60", r"\1 1", line))
    if "*" in line:
        kr.record("XBTUSDTM", seconds=1, progress=False).wait()  # there is something to verify
    words = [
        each
        for word in words
        for each in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
    ]

    if words[0] in ENDLESS:
        assert cli._parser().parse_args(words).run is not None
    else:
        assert cli.main(words) in {cli.DONE} | ({cli.FAILED} if words[0] == "doctor" else set())
        assert "Traceback" not in capfd.readouterr().err


def test_the_example_of_a_test_in_contributing_is_one(held_time):
    (example,) = [block for block in blocks_of("CONTRIBUTING.md") if block.language == "python"]
    names = {"kr": kr, "wait_until": wait_until}

    exec(example.text, names)
    (test,) = [each for name, each in names.items() if name.startswith("test_")]
    test(held_time)
