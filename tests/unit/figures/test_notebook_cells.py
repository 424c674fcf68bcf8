"""What a cell has made, and what takes its place when the cell is run again."""

import pytest

from kucoin_research.figures import notebook_cells
from kucoin_research.figures.notebook_cells import count_in_cell, replace_in_cell


class Thing:
    """As much of a widget as cells know."""

    def __init__(self, name):
        self.name, self.closed = name, []

    def close(self, **options):
        self.closed.append(options)

    def left(self):
        assert self.closed  # it is asked afterwards
        return f"what {self.name} left"


class Other(Thing):
    """Of another class, which is counted by itself."""


@pytest.fixture
def cell(monkeypatch):
    """Run cells: ``cell("name", "run")``; until then, there is no notebook."""
    here = [None]
    monkeypatch.setattr(notebook_cells, "_cells", {})
    monkeypatch.setattr(notebook_cells, "cell_of", lambda: here[0])

    def begin(*ids):
        here[0] = ids

    return begin


def test_a_new_run_closes_all_that_the_last_one_has_made(cell):
    made = [Thing("a"), Other("b"), Thing("c")]
    cell("cell", "first")
    for each in made:
        replace_in_cell(each, keeps_picture=False)
    cell("another", "first")
    replace_in_cell(Thing("d"))
    assert [each.closed for each in made] == [[], [], []]

    cell("cell", "second")
    replace_in_cell(Thing("e"))

    assert [each.closed for each in made] == [[{"keeps_picture": False}]] * 3


def test_each_gets_what_the_one_of_its_class_and_place_has_left(cell):
    before = [Thing("a"), Other("b"), Thing("c")]
    cell("cell", "first")
    assert [replace_in_cell(each, Thing.left) for each in before] == [None, None, None]

    cell("cell", "second")
    after = [Other("B"), Thing("A"), Thing("C"), Thing("D")]

    found = [replace_in_cell(each, Thing.left) for each in after]
    assert found == ["what b left", "what a left", "what c left", None]


def test_one_that_is_gone_keeps_its_place(cell):
    kept = Thing("b")
    cell("cell", "first")
    replace_in_cell(Thing("nobody keeps it"), Thing.left)
    replace_in_cell(kept, Thing.left)

    cell("cell", "second")

    assert [replace_in_cell(Thing(each)) for each in "AB"] == [None, "what b left"]


def test_only_what_the_present_run_has_made_is_counted(cell):
    made = Thing("a"), Other("b")
    assert count_in_cell(Thing) is None
    assert replace_in_cell(made[0]) is None

    cell("cell", "first")
    assert count_in_cell(Thing) == 0
    for each in made:
        replace_in_cell(each)
    assert count_in_cell(Thing) == 1

    cell("cell", "second")
    assert count_in_cell(Thing) == 0
