"""Closing a widget with its layout, its style and its parts."""

from __future__ import annotations

import ipywidgets as widgets

from kucoin_research.figures.closing import close_whole, ids_of


def test_a_widget_is_closed_with_its_parts_and_with_layout_and_style_of_each():
    button = widgets.Button()
    box = widgets.VBox([widgets.HBox([button])])
    parts = [box, *box.children, button, box.layout, button.layout, button.style]
    ids = {part.model_id for part in parts}
    assert ids < set(ids_of(box))

    close_whole(box)

    assert all(part.comm is None for part in parts)
    close_whole(box)  # a second time has nothing to do
    assert ids_of(box) == []
