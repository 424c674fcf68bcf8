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
