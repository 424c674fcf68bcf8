"""The project's own notebooks, opened and run whole in JupyterLab."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.browser.lab import Notebook
from tests.browser.waits import wait_for_count

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

_COUNT = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
  .filter((cell) => cell.type === 'code' && cell.executionCount).length"""
_MORE = f"count => window.hasRun || ({_COUNT})() > count"
_ERRORS = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
  .filter((cell) => cell.type === 'code')
  .flatMap((cell) => cell.outputs.toJSON())
  .filter((output) => output.output_type === 'error')
  .map((output) => `${output.ename}: ${output.evalue}`)"""
_CLEARED = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
  .every((cell) => cell.type !== 'code' || !cell.executionCount)"""


@pytest.mark.parametrize("name", ["04_live_dashboard.ipynb", "05_order_book.ipynb"])
def test_a_notebook_runs_whole_in_the_browser(lab, page, shots, name):
    shutil.copy(NOTEBOOKS / name, lab.folder / name)
    book = Notebook(page, lab, name).open()
    book.command("notebook:clear-all-cell-outputs")
    page.wait_for_function(_CLEARED)

    book.run_all()
    while not page.evaluate("() => window.hasRun"):
        page.wait_for_function(_MORE, arg=page.evaluate(_COUNT))  # each cell renews the patience

    assert page.evaluate(_ERRORS) == []
    # What has been closed has left its last picture.
    wait_for_count(page, ".kr-dashboard", 0)
    assert page.locator(".kr-kept").count() == (2 if name.startswith("04") else 0)
    wait_for_count(page, ".kr-still", 0)  # the words where there is no picture
    page.screenshot(path=shots / f"{Path(name).stem}.png")
    book.shut_down()
