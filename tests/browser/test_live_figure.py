"""A live figure in a real JupyterLab: it moves, keeps its zoom, and saves as a picture."""

import json

START = """
import kucoin_research as kr
stream = kr.stream("XBTUSDTM", channels=["ticker", "trade", "depth50"], venue="demo", name="shown")
figure = kr.figures.price(stream, window="1m")
figure
"""

FRAME = "() => +(document.querySelector('.kr-figure')?.dataset.frame || 0)"
AXIS = "() => document.querySelector('.js-plotly-plot')._fullLayout.xaxis.range.map(String)"
STILL = "() => document.querySelector('.jp-OutputArea-child .jp-RenderedImage img')"


def wait_for_frames(page, count):
    before = page.evaluate(FRAME)
    page.wait_for_function(
        f"() => +document.querySelector('.kr-figure')?.dataset.frame >= {before + count}"
    )


def zoom(page):
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, middle, steps=5)
    page.mouse.up()
    page.wait_for_selector(".kr-figure.kr-zoomed")


def test_a_live_figure_moves_keeps_its_zoom_and_is_saved_as_a_picture(notebook, page, shots):
    book = notebook("live.ipynb", START)
    book.run_all()
    page.wait_for_selector(".kr-figure[data-frame] .js-plotly-plot")
    wait_for_frames(page, 20)

    zoom(page)
    zoomed = page.evaluate(AXIS)
    page.wait_for_function(STILL)  # which takes two seconds of data
    assert page.evaluate(AXIS) == zoomed

    page.locator(".js-plotly-plot .nsewdrag").first.dblclick()
    page.wait_for_selector(".kr-figure:not(.kr-zoomed)")
    wait_for_frames(page, 5)
    assert page.evaluate(AXIS) != zoomed

    page.screenshot(path=shots / "price-light.png")
    book.set_theme("JupyterLab Dark")
    wait_for_frames(page, 5)
    page.screenshot(path=shots / "price-dark.png")

    text = book.save()
    outputs = json.loads(text)["cells"][0]["outputs"]
    assert len(text) < 300_000
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert "widgets" not in json.loads(text)["metadata"]


def test_the_picture_is_shown_where_the_figure_lives_no_more(notebook, page, lab):
    book = notebook("kept.ipynb", START)
    book.run_all()
    page.wait_for_function(STILL)
    assert not page.locator(".jp-RenderedImage img").is_visible()
    book.save()
    book.command("kernelmenu:shutdown")

    book.open()

    page.wait_for_selector(".jp-RenderedImage img", state="visible")
    # JupyterLab itself calls it an error that the widget's model is gone.
    page.errors[:] = [text for text in page.errors if "widget" not in text.lower()]


def test_a_figure_shown_twice_loses_a_view_and_then_its_kernel(notebook, page, shots):
    book = notebook("twice.ipynb", START)
    book.run_all()
    page.wait_for_selector(".kr-figure[data-frame] .js-plotly-plot")
    book.run_more("figure")
    page.wait_for_function("() => document.querySelectorAll('.kr-figure[data-frame]').length == 2")

    page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0; }")
    book.command("notebook:delete-cell")
    page.wait_for_function("() => document.querySelectorAll('.kr-figure').length == 1")
    wait_for_frames(page, 5)

    book.run_more("from ipywidgets import VBox; VBox([kr.figures.spread(stream, window='1m')])")
    page.wait_for_function("() => document.querySelectorAll('.kr-figure[data-frame]').length == 2")
    page.locator(".kr-figure").first.scroll_into_view_if_needed()
    page.wait_for_function(STILL)
    book.run_more("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")

    page.wait_for_selector(".jp-RenderedImage img", state="visible")
    assert not page.locator(".kr-figure").first.is_visible()
    boxed = page.locator(".kr-figure").last  # whose place no picture takes
    assert boxed.is_visible()
    assert "its kernel has ended" in boxed.get_attribute("data-doubt")
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
    book = notebook("again.ipynb", START, count)
    for _ in range(3):
        book.run_all()
        page.wait_for_selector(".kr-figure[data-frame] .js-plotly-plot")
        page.wait_for_function("() => document.querySelector('.jp-Cell:last-child pre')")

    page.wait_for_selector("pre:has-text('LEFT 1 1 None')")
    assert page.locator(".kr-figure").count() == 1
    assert book.told("ASKED") == "1", "plotly.js comes once per page"
    page.wait_for_function("() => globalThis.__kucoinResearch.stores.size === 1")


def test_a_figure_moves_while_a_cell_is_busy(notebook, page):
    busy = """
import time
before, end = figure.link.drawn, time.monotonic() + 3
while time.monotonic() < end:
    sum(range(1000))
print("DRAWN", "some" if figure.link.drawn > before else "none")
"""
    book = notebook("busy.ipynb", START.replace('"demo"', "kr.simulate(speed=10).venue"))
    book.run_all()
    page.wait_for_selector(".kr-figure[data-frame] .js-plotly-plot")
    wait_for_frames(page, 10)

    book.run_more(busy)

    page.wait_for_selector("pre:has-text('DRAWN some')")
