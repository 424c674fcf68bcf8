"""A live figure in a real JupyterLab: it moves, keeps its zoom, and saves as a picture."""

import json

from tests.browser.lab import set_theme
from tests.browser.waits import (
    follow_again,
    look_until,
    wait_for_count,
    wait_for_frames,
    zoom,
)
from tests.conftest import wait_until
from tests.processes import PATIENCE

START = """
import kucoin_research as kr
stream = kr.stream("XBTUSDTM", channels=["ticker", "trade", "depth50"], venue="demo", name="shown")
figure = kr.figures.price(stream, window="1m")
figure
"""

FIGURE = ".kr-figure"
AXIS = "() => document.querySelector('.js-plotly-plot')._fullLayout.xaxis.range.map(String)"
# Where the first gap is on the screen, and its words.
GAP = """() => {
  const plot = document.querySelector('.js-plotly-plot');
  const gap = plot?.layout.shapes?.find(({type}) => type === 'rect');
  if (!gap) return null;
  const {xaxis} = plot._fullLayout, box = plot.getBoundingClientRect();
  const from = xaxis.d2p(gap.x0), to = xaxis.d2p(gap.x1);
  return [box.x + xaxis._offset + (from + to) / 2, box.y + box.height / 2, gap.name];
}"""
STILL = "() => document.querySelector('.jp-OutputArea-child .jp-RenderedImage img')"


def test_a_live_figure_moves_keeps_its_zoom_and_is_saved_as_a_picture(notebook, page, shots):
    # As fast as for a user: the zoom is kept, and a double click understood, between redraws.
    book = notebook("live.ipynb", "%env KUCOIN_RESEARCH_REDRAWS=20", START)
    book.run_all()
    page.wait_for_selector(".kr-figure[data-frame] .js-plotly-plot")
    wait_for_frames(page, FIGURE, 20)

    zoom(page, FIGURE)
    zoomed = page.evaluate(AXIS)
    page.wait_for_function(STILL)  # which takes two seconds of data
    assert page.evaluate(AXIS) == zoomed

    follow_again(page, FIGURE)
    wait_for_frames(page, FIGURE, 5)
    assert page.evaluate(AXIS) != zoomed

    page.screenshot(path=shots / "price-light.png")
    set_theme(page, "JupyterLab Dark")
    wait_for_frames(page, FIGURE, 5)
    page.screenshot(path=shots / "price-dark.png")

    text = book.save()
    outputs = json.loads(text)["cells"][1]["outputs"]
    assert len(text) < 300_000
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert "widgets" not in json.loads(text)["metadata"]


def words_at_gap(page):
    """Point at the first gap, which moves on with the chart; returns the words that appear."""
    page.mouse.move(*page.evaluate(GAP)[:2])
    tip = page.locator(".kr-tip:not([hidden])")
    return " ".join(tip.all_text_contents())


def test_a_gap_is_explained_and_the_last_picture_stays_where_the_figure_was(notebook, page, shots):
    made = START.replace('"demo"', "exchange.venue").replace(
        "stream =", "exchange = kr.simulate(seed=7, speed=5, start='2026-01-05')\nstream =", 1
    )
    book = notebook("kept.ipynb", made)
    book.run_all()
    page.wait_for_function(STILL)
    assert not page.locator(".jp-RenderedImage img").is_visible()

    book.run_more('exchange.inject("bye")')
    page.wait_for_function(f"() => ({GAP})()?.[2].includes('the peer closed')")
    look_until(page, FIGURE)
    wait_until(lambda: "the peer closed" in words_at_gap(page), PATIENCE)
    buttons = page.locator(f"{FIGURE} .modebar").first.bounding_box()
    plot = page.locator(f"{FIGURE} .nsewdrag").first.bounding_box()
    assert buttons["y"] > plot["y"] + plot["height"], "the buttons cover the plot"
    page.screenshot(path=shots / "figure-gap.png")

    book.run_more("figure.close()")
    page.wait_for_selector(".jp-RenderedImage img", state="visible")
    wait_for_count(page, FIGURE, 0)
    outputs = json.loads(book.save())["cells"][0]["outputs"]
    (said,) = [each["data"]["text/plain"] for each in outputs if "image/png" in each["data"]]
    assert "not live any more" in "".join(said)
    book.shut_down()

    # JupyterLab itself calls it an error that the widget's model is gone.
    page.harmless += ["widget", "Widget"]
    book.open(anew=True)

    page.wait_for_selector(".jp-RenderedImage img", state="visible")
    gone = page.locator(".jp-OutputArea-output:text('model not found')")
    gone.wait_for(state="attached")
    assert gone.is_hidden()
    page.screenshot(path=shots / "figure-kept.png")


def test_a_figure_shown_twice_loses_a_view_and_then_its_kernel(notebook, page, shots):
    book = notebook("twice.ipynb", START)
    book.run_all()
    page.wait_for_selector(".kr-figure[data-frame] .js-plotly-plot")
    book.run_more("figure")
    wait_for_count(page, ".kr-figure[data-frame]", 2)

    page.locator(FIGURE).last.focus()
    page.keyboard.press("+")
    wait_for_count(page, ".kr-figure.kr-zoomed", 2)  # they are of one time axis
    page.keyboard.press("Home")
    wait_for_count(page, ".kr-figure.kr-zoomed", 0)

    page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0; }")
    book.command("notebook:delete-cell")
    wait_for_count(page, ".kr-figure", 1)
    wait_for_frames(page, FIGURE, 5)

    book.run_more("from ipywidgets import VBox; VBox([kr.figures.spread(stream, window='1m')])")
    wait_for_count(page, ".kr-figure[data-frame]", 2)
    look_until(page, ".kr-figure", f"({STILL})()")
    book.run_more("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")

    page.wait_for_selector(".jp-RenderedImage img", state="visible")
    page.locator(".kr-figure").first.wait_for(state="hidden")
    boxed = page.locator(".kr-figure").last  # whose place no picture takes
    assert boxed.is_visible()
    page.wait_for_selector(".kr-figure[data-doubt*='its kernel has ended'] >> nth=-1")
    boxed.scroll_into_view_if_needed()
    page.screenshot(path=shots / "figure-killed.png")


def test_running_a_cell_again_replaces_its_figure(notebook, page):
    count = """
import threading
threads = [each for each in threading.enumerate() if each.name == "kucoin-figures"]
print("LEFT", len(kr.figures.refresher()), len(threads), figure.error)
from kucoin_research.figures.widget import _plotly_js
print("ASKED", _plotly_js.cache_info().hits + _plotly_js.cache_info().misses, "times")
"""
    book = notebook("again.ipynb", START, count, anew=True)
    for _ in range(3):
        book.run_all()
        page.wait_for_selector(".kr-figure[data-frame] .js-plotly-plot")
        book.wait_until_run()

    page.wait_for_selector("pre:has-text('LEFT 1 1 None')")
    wait_for_count(page, ".kr-figure", 1)
    assert book.told("ASKED") == "1", "plotly.js comes once per page"
    page.wait_for_function("() => globalThis.__kucoinResearch.stores.size === 1")


def test_a_figure_moves_while_a_cell_is_busy(notebook, page):
    busy = """
from pathlib import Path
while not Path("enough").exists():
    sum(range(1000))
print("DRAWN", "while busy")
"""
    book = notebook(
        "busy.ipynb", START.replace('"demo"', "kr.simulate(speed=10, start='2026-01-05').venue")
    )
    book.run_all()
    page.wait_for_selector(".kr-figure[data-frame] .js-plotly-plot")
    wait_for_frames(page, FIGURE, 2)

    book.run_more(busy)
    page.wait_for_selector(".jp-InputPrompt:has-text('[*]')")
    # Also where answers come by the busy thread, and so not at all: then each two seconds.
    wait_for_frames(page, FIGURE, 4)
    assert page.locator(f"{FIGURE}[data-doubt]").count() == 0
    (book.lab.folder / "enough").touch()

    page.wait_for_selector("pre:has-text('DRAWN while busy')")
