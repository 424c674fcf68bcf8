"""The dashboard in Notebook 7 and in the classic notebook; the other tests look at JupyterLab."""

import pytest

from tests.browser.lab import TOKEN, write_notebook
from tests.browser.waits import FRAME, MILLISECONDS, look_until, wait_for_text
from tests.conftest import wait_until
from tests.processes import PATIENCE

MAKE = """
import kucoin_research as kr
exchange = kr.simulate(seed=7, speed=5, start="2026-01-05")
board = kr.dashboard("XBTUSDTM", venue=exchange.venue, start=True)
board
"""
COUNT = """
runs = globals().get("runs", 0) + 1
print("RUN", runs, "LEFT", len(kr.running()), len(kr.figures.refresher()))
"""
SEVEN = """() => {
  const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
  if (context?.session?.kernel?.status !== 'idle') return false;
  window.jupyterapp.commands.execute('notebook:run-all-cells');
  return true;
}"""
CLASSIC = """() => {
  // Its extensions may load later than the kernel answers, and it shows no widget before.
  const names = ['nbextensions/jupyter-js-widgets/extension', 'nbextensions/anywidget/extension'];
  if (!window.requirejs || !names.every((name) => window.requirejs.defined(name))) return false;
  const kernel = window.Jupyter?.notebook?.kernel;
  if (!kernel?.widget_manager || kernel.info_reply?.status !== 'ok') return false;
  // It looks for widgets of before when it opens, then draws all outputs anew: a view that is
  // being made meanwhile is lost. The same question once more is answered after that.
  if (window.isRestored === undefined) {
    window.isRestored = false;
    kernel.widget_manager._loadFromKernel().then(() => { window.isRestored = true; });
  }
  if (!window.isRestored) return false;
  window.Jupyter.notebook.execute_all_cells();
  return true;
}"""


def run_all(page, run):
    """Run all cells; a classic notebook that has not loaded its extensions is opened again."""
    sync_api = pytest.importorskip("playwright.sync_api")
    try:
        page.wait_for_function(run, timeout=PATIENCE * MILLISECONDS / 2)
    except sync_api.TimeoutError:
        page.reload()
        page.wait_for_function(run)


def look_at_frames(page, figure, count):
    """Wait until a figure has drawn further frames; these notebooks scroll after cells have run."""
    wanted = page.evaluate(FRAME, figure) + count
    look_until(page, figure, f"+(node.dataset.frame || 0) >= {wanted}")


@pytest.fixture
def page(chromium):
    """Give a page of its own: the other tests' page has JupyterLab."""
    with chromium.new_context(viewport={"width": 1400, "height": 1000}) as context:
        context.set_default_timeout(PATIENCE * MILLISECONDS)
        page = context.new_page()
        page.errors = []  # for the report of a failure
        page.on("console", lambda each: page.errors.append(f"{each.type}: {each.text}"))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        yield page


@pytest.mark.parametrize(
    ("path", "run"),
    [("notebooks", SEVEN), ("nbclassic/notebooks", CLASSIC)],
    ids=["notebook 7", "classic"],
)
def test_a_dashboard_lives_runs_again_and_stops_in_other_notebooks(page, lab, path, run):
    name = f"elsewhere-{path[:4]}.ipynb"
    write_notebook(lab.folder / name, MAKE, COUNT)
    page.bring_to_front()  # one behind another is not drawn
    page.goto(f"{lab.url}/{path}/{name}?token={TOKEN}")
    run_all(page, run)

    look_until(page, ".kr-word", "node.textContent === 'live'")
    for figure in (".kr-main .kr-figure", ".kr-lower .kr-figure", ".kr-ladder"):
        look_at_frames(page, figure, 3)
    page.wait_for_selector(".kr-prints .kr-print >> nth=5")

    wait_until(lambda: page.evaluate(run), PATIENCE)  # the dashboard of before ends
    page.wait_for_selector("pre:has-text('RUN 2 LEFT 1 4')")
    look_until(page, ".kr-word", "node.textContent === 'live'")
    look_at_frames(page, ".kr-main .kr-figure", 3)
    page.locator(".kr-stop").click()
    wait_for_text(page, ".kr-word", "stopped")
    lab.end_kernels()
