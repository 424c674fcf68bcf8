"""The project's own notebooks, opened and run whole in JupyterLab."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.browser.lab import Notebook

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

_RAN = """() => {
  const model = window.jupyterapp.shell.currentWidget.content.model;
  const cells = [...model.cells].filter((cell) => cell.type === 'code');
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel;
  return cells.every((cell) => cell.executionCount) && kernel?.status === 'idle';
}"""
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
    page.wait_for_function(_RAN, timeout=90_000)

    assert page.evaluate(_ERRORS) == []
    page.screenshot(path=shots / f"{Path(name).stem}.png")
    book.command("kernelmenu:shutdown")
