"""The picture of a widget that a saved notebook keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kucoin_research.figures import saved_picture
from kucoin_research.figures.browser_link import BrowserLink, Pages
from kucoin_research.figures.refresh import refresher
from kucoin_research.figures.saved_picture import SavedPicture, leave
from kucoin_research.figures.static import Figure
from tests.conftest import wait_until

REAL_TIME = True  # the thread of all figures ends the widget


class Page:
    def __init__(self) -> None:
        self.link = BrowserLink()


@pytest.fixture
def outputs(monkeypatch):
    """List what is shown: no notebook runs here."""
    shown: list[dict[str, Any]] = []

    def show(data, **_):
        shown.append(data)

    monkeypatch.setattr(saved_picture, "_show", show)
    monkeypatch.setattr(saved_picture, "_update", show)
    return shown


@pytest.fixture
def picture(outputs):
    made = SavedPicture()
    made.place("chart")
    return made


def begin(picture: SavedPicture, pages: Pages[Page], *, said: list[str]) -> None:
    ask: Callable[[], None] = lambda: said.append("asked")  # noqa: E731
    leave(picture, pages, ask, lambda: said.append("ended"))


def test_a_widget_that_no_page_has_shown_ends_at_once(picture):
    said: list[str] = []

    begin(picture, Pages(Page), said=said)

    assert said == ["ended"]


def test_a_widget_ends_once_a_page_has_sent_the_last_picture(picture, outputs):
    pages, said = Pages(Page), []
    pages.heard("a", 0.0)
    begin(picture, pages, said=said)
    picture.keep(b"png", "chart")
    assert said == ["asked"]

    picture.keep(b"png", "chart", is_last=True)

    wait_until(lambda: said == ["asked", "ended"], 5)
    wait_until(lambda: not len(refresher()), 5)
    assert "not live any more" in outputs[-1]["text/plain"]


def test_a_widget_ends_although_no_page_answers(picture, monkeypatch):
    monkeypatch.setattr(saved_picture, "_PATIENCE", 0.3)
    pages, said = Pages(Page), []
    pages.heard("a", 0.0)

    begin(picture, pages, said=said)

    wait_until(lambda: said == ["asked", "ended"], 20)


def test_a_static_figure_is_kept_only_where_no_browser_has_drawn(picture, outputs):
    picture.keep_figure(Figure, "chart")
    assert "application/vnd.plotly.v1+json" in outputs[-1]

    picture.keep_figure(Figure, "chart")
    picture.keep(b"png", "chart")
    count = len(outputs)
    picture.keep_figure(Figure, "chart")

    assert len(outputs) == count
    assert "image/png" in outputs[-1]
