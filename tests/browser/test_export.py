"""A figure as a PNG file, by kaleido and the Chromium that was found."""

from __future__ import annotations

import pytest

import kucoin_research as kr
from tests.browser.lab import find_chromium


def test_a_figure_is_exported_as_png_without_a_network(chromium, tmp_path, monkeypatch):
    pytest.importorskip("kaleido")
    monkeypatch.setenv("BROWSER_PATH", find_chromium())
    with kr.simulate(speed=100.0) as x:
        trades = kr.stream_to_frame("XBTUSDTM", "trade", rows=50, venue=x.venue, progress=False)

    path = kr.figures.price(trades).to_png(tmp_path / "price.png", width=640, scale=1.0)

    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert int.from_bytes(content[16:20]) == 640
