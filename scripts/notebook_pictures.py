"""Add a picture of each plotly figure to saved notebooks, since GitHub cannot draw the figures.

    python scripts/notebook_pictures.py notebooks/*.ipynb

Needs kaleido (extra ``lab``) and a Chromium.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import nbformat
import plotly.graph_objects as go

PLOTLY = "application/vnd.plotly.v1+json"
_WIDTH = 900


def add_pictures(path: Path) -> int:
    """Add the pictures to one notebook, and return its number of figures."""
    book = nbformat.read(path, as_version=4)
    found = [
        output.data
        for cell in book.cells
        for output in cell.get("outputs", ())
        if PLOTLY in output.get("data", {})
    ]
    for data in found:
        figure = go.Figure(data[PLOTLY]["data"], data[PLOTLY]["layout"])
        png = figure.to_image("png", width=_WIDTH, height=figure.layout.height or 420)
        data["image/png"] = base64.b64encode(png).decode()
    if found:
        nbformat.write(book, path)
    return len(found)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {add_pictures(Path(name))} figures")
