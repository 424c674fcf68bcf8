"""Axes are shown where there is something on them."""

import numpy as np

from kucoin_research.figures.empty_axes import axes_of, has_values, hidden

SPEC = {
    "data": [{"type": "scatter"}, {"type": "bar", "xaxis": "x2", "yaxis": "y2"}],
    "layout": {"xaxis": {}, "yaxis": {}, "xaxis2": {}, "yaxis2": {}, "title": {}},
}


def test_each_axis_has_its_traces():
    assert axes_of(SPEC) == {"xaxis": [0], "yaxis": [0], "xaxis2": [1], "yaxis2": [1]}


def test_a_trace_without_a_number_has_no_values():
    arrays = {(0, "x"): np.ones(1), (0, "y"): np.array([np.nan])}

    assert not has_values(arrays, 0)
    assert not has_values({}, 0)
    assert not has_values({(0, "z"): np.empty((0, 0)), (0, "y"): np.ones(3)}, 0)
    assert has_values({(0, "open"): np.array([np.nan, 1.0])}, 0)


def test_only_axes_are_hidden():
    layout = hidden(SPEC)["layout"]

    assert [name for name, part in layout.items() if part.get("visible") is False] == [
        "xaxis", "yaxis", "xaxis2", "yaxis2"
    ]  # fmt: skip
    assert "visible" not in SPEC["layout"]["xaxis"]
