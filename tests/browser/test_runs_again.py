"""Cells that are run again and again leave nothing behind on the page."""

from tests.browser.waits import wait_for_count
from tests.conftest import wait_until

START = """
import ipywidgets
import kucoin_research as kr
exchange = kr.simulate(seed=7, start="2026-01-05")
stream = kr.stream("XBTUSDTM", ["ticker", "trade", "depth50"], venue=exchange.venue)
"""
PLAIN = "ipywidgets.VBox([ipywidgets.IntSlider() for _ in range(5)])"
FIGURE = "kr.figures.price(stream, window='1m')"
BOARD = "kr.dashboard(stream)"
SHOWN = {
    1: ".widget-vbox .widget-slider",
    2: ".kr-figure:not(.kr-dashboard *) .js-plotly-plot",
    3: ".kr-dashboard .kr-main .js-plotly-plot",
}
RUN = """async (place) => {
  const app = window.jupyterapp;
  app.shell.currentWidget.content.activeCellIndex = place;
  await app.commands.execute('notebook:run-cell');
}"""
FIRST, MORE = 2, 6
SETTLED = 5  # measurements in a row that are not less
# Left by each run, at most, beyond what is left by a run of plain widgets. It was up to 820 nodes
# of a dashboard, with the listeners on them, and 0.6 MB of code.
NODES, LISTENERS, BYTES = 120, 40, 300_000


def run(page, place, times):
    for _ in range(times):
        page.evaluate(RUN, place)
        wait_for_count(page, SHOWN[place], 5 if place == 1 else 1)


def measured(session):
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
    found = session.send("Performance.getMetrics")["metrics"]
    values = {each["name"]: each["value"] for each in found}
    return [values[name] for name in ("Nodes", "JSEventListeners", "JSHeapUsedSize")]


def least(session):
    """Measure until it is not less: a redraw holds nodes, and an old view lives on for a moment."""
    lowest, higher = measured(session), 0
    while higher < SETTLED:
        now = measured(session)
        higher = 0 if now[0] < lowest[0] else higher + 1
        lowest = [min(pair) for pair in zip(now, lowest, strict=True)]
    return lowest


def left_by_a_run(page, session, place):
    """Return a function that measures what each of some runs has left until now."""
    run(page, place, FIRST)
    before = least(session)
    run(page, place, MORE)
    return lambda: [(now - then) / MORE for now, then in zip(least(session), before, strict=True)]


def test_cells_run_again_leave_no_more_on_the_page_than_plain_widgets_do(notebook, page):
    def is_little():
        # Plain runs may even free something of before, which is no measure.
        now = left()
        beyond = [max(0, each - max(0, own)) for each, own in zip(now, plain, strict=True)]
        most = zip(beyond, (NODES, LISTENERS, BYTES), strict=True)
        print(f"cell {place} leaves {now}, plain widgets {plain}")  # shown if it fails
        return all(each < limit for each, limit in most)

    book = notebook("again_and_again.ipynb", START, PLAIN, FIGURE, BOARD, anew=True)
    book.run_all()
    book.wait_until_run()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    for place in (2, 3):  # what the page loads for the first of its kind is nobody's
        run(page, place, FIRST)
    plain = left_by_a_run(page, session, 1)()
    for place in (2, 3):
        left = left_by_a_run(page, session, place)
        wait_until(is_little)
