"""Environments of other people's software, apart from ours; `make test` builds them."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def python_of(name):
    """The interpreter that `make NAME` has prepared in `.venv-NAME`, or None."""
    folder = ROOT / f".venv-{name}"
    inside = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")
    python = folder.joinpath(*inside)
    return python if python.exists() and (folder / ".ready").exists() else None


def leave_out(reason):
    """Fail the test in CI, and skip it elsewhere."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
