"""A figure as a PNG file, by kaleido and the Chromium that was found."""

from __future__ import annotations

import base64
import json

import nbformat
import plotly.graph_objects as go
import polars as pl
import pytest

import kucoin_research as kr
from scripts import notebook_pictures
from tests.browser.lab import find_chromium
from tests.exchanges import simulate


def test_a_figure_is_exported_as_png_without_a_network(chromium, tmp_path, monkeypatch):
    pytest.importorskip("kaleido")
    monkeypatch.setenv("BROWSER_PATH", find_chromium())
    with simulate(speed=100.0) as x:
        trades = kr.stream_to_frame("XBTUSDTM", "trade", rows=50, venue=x.venue, progress=False)

    path = kr.figures.price(trades).to_png(tmp_path / "price.png", width=640, scale=1.0)

    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert int.from_bytes(content[16:20]) == 640


def test_a_saved_notebook_gets_a_picture_of_each_figure(chromium, tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", find_chromium())
    figure = go.Figure(go.Scatter(y=[1, 2]))
    output = nbformat.v4.new_output(
        "display_data", {notebook_pictures.PLOTLY: json.loads(figure.to_json())}
    )
    cell = nbformat.v4.new_code_cell("figure", outputs=[output])
    path = tmp_path / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)

    assert notebook_pictures.add_pictures(path) == 1

    data = nbformat.read(path, as_version=4).cells[0].outputs[0].data
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data[notebook_pictures.PLOTLY]["data"][0]["y"] == [1, 2]


def test_an_exported_page_shows_a_symbol_that_means_harm_as_it_is(chromium, tmp_path):
    symbols = [
        '<a href="https://evil.example">XBT</a>', "</script><script>alert(1)</script>",
        "<b>a</b><sup>2</sup>&lt;i&gt;", "$x^2$", "<img src=x onerror=alert(1)>", "1000$A & 'B'",
    ]  # fmt: skip
    with simulate(speed=100.0) as x:
        trades = kr.stream_to_frame("XBTUSDTM", "trade", rows=50, venue=x.venue, progress=False)
    page = chromium.new_page()
    dialogs = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    try:
        for symbol in symbols:
            figure = kr.figures.price(trades.with_columns(symbol=pl.lit(symbol)))
            path = tmp_path / "page.html"
            figure.to_html(path, include_plotlyjs="directory")
            page.goto(path.as_uri())
            title = page.wait_for_selector(".gtitle", state="attached")

            assert symbol in title.text_content()
            assert page.query_selector("svg a, img, svg sup") is None
    finally:
        page.close()
    assert dialogs == []
