"""The list of live figures, and the time that they need of a page."""

import gc
from types import SimpleNamespace

from kucoin_research.figures.open_figures import OpenFigures


class Figure:
    """As much of a live figure as the list uses."""

    def __init__(self, *, is_visible=True, **draw_ms):
        self.links = {
            page: SimpleNamespace(draw_ms=ms, is_visible=is_visible) for page, ms in draw_ms.items()
        }
        self.is_disowned = False

    def link_to(self, page):
        return self.links.get(page)

    def disown(self):
        self.is_disowned = True


def test_only_other_visible_figures_of_the_page_count():
    figures = OpenFigures()
    own, beside = Figure(a=1.0), Figure(a=10.0)
    others = [Figure(b=100.0), Figure(a=1_000.0, is_visible=False)]
    for each in (own, beside, *others):
        figures.add(each)

    assert figures.draw_ms_beside(own, "a") == 10.0

    figures.remove(beside)
    assert figures.draw_ms_beside(own, "a") == 0.0


def test_a_figure_is_not_kept_alive():
    figures = OpenFigures()
    own = Figure(a=1.0)
    figures.add(own)
    figures.add(Figure(a=10.0))
    gc.collect()

    assert figures.draw_ms_beside(own, "a") == 0.0


def test_a_forked_child_disowns_every_figure():
    figures = OpenFigures()
    own = Figure(a=1.0)
    figures.add(own)

    figures.disown()

    assert own.is_disowned
