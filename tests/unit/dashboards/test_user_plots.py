"""What a user has plotted and marked: kept in bounds, and supplied to each chart as it changes."""

import numpy as np
import pytest

from kucoin_research.dashboards import user_plots
from kucoin_research.dashboards.user_plots import UserPlots, UserRows
from kucoin_research.errors import InvalidInput
from kucoin_research.figures.tail import Rewound
from tests.conftest import spawn

NOON = 1_708_950_436_957_000_000


@pytest.fixture
def plots():
    return UserPlots()


def plot(plots, name, t, y, symbol="A", pane="price", *, ahead=False):
    t = [NOON + each for each in t] if isinstance(t, list) else NOON + t
    plots.plot(symbol, name, t, y, pane=pane, ahead=ahead)


def mark(plots, t, price=1.0, text="x", symbol="A", name="marks"):
    plots.mark(symbol, NOON + t, price, text, name=name, ahead=False)


def news(rows):
    found = dict(rows.rows())
    return {
        role: [
            tuple(each - NOON if name == "at" else each for name, each in row.items())
            for row in frame.iter_rows(named=True)
        ]
        for role, frame in found.items()
    }


def line(plots, name="sma", symbol="A"):
    """Give the points of a line as a new chart gets them."""
    rows = news(UserRows(plots, symbol))
    slot = next(row[0] for row in rows["user_lines"] if row[1] == name)
    return [row[1:] for row in rows.get("user_points", ()) if row[0] == slot]


def test_each_call_appends_and_a_chart_gets_only_what_is_new(plots):
    rows = UserRows(plots, "A")
    assert not rows.has_news()

    plot(plots, "sma", 0, 1.0)
    plot(plots, "sma", [1, 2], [2.0, 3.0])
    first = news(rows)
    plot(plots, "sma", 3, 4.0)

    assert first["user_lines"] == [(0, "sma", "price", False)]
    assert first["user_points"] == [(0, 0, 1.0), (0, 1, 2.0), (0, 2, 3.0)]
    assert rows.has_news()
    assert news(rows) == {"user_points": [(0, 3, 4.0)]}
    assert not rows.has_news()
    assert news(rows) == {}


def test_a_cell_that_runs_again_draws_the_same(plots):
    for _ in range(2):
        plot(plots, "sma", [0, 1, 2], [1, 2, 3])
        mark(plots, 1)
        for n in range(3):
            plot(plots, "each", n, n)

    assert line(plots) == [(0, 1.0), (1, 2.0), (2, 3.0)]
    assert line(plots, "each") == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert news(UserRows(plots, "A"))["user_marks"] == [(1, 1.0, "x", False)]


def test_points_replace_those_between_their_first_and_last_time(plots):
    plot(plots, "sma", [0, 10, 20, 30], [1, 1, 1, 1])

    plot(plots, "sma", [5, 20], [2, 2])

    assert line(plots) == [(0, 1.0), (5, 2.0), (20, 2.0), (30, 1.0)]


def test_a_chart_gets_a_line_from_its_first_change_on(plots):
    rows = UserRows(plots, "A")
    plot(plots, "sma", [0, 10, 20, 30], [1, 1, 1, 1])
    news(rows)

    plot(plots, "sma", 40, 1)
    plot(plots, "sma", 30, 2)  # a message that is late
    plot(plots, "sma", 25, 2)
    plot(plots, "sma", 50, 1)

    wanted = [(0, 25, 2.0), (0, 30, 2.0), (0, 40, 1.0), (0, 50, 1.0)]
    assert news(rows) == {"user_points": wanted}


def test_a_chart_that_has_missed_many_changes_gets_the_whole_line(plots, monkeypatch):
    monkeypatch.setattr(user_plots, "_EDITS", 4)
    rows = UserRows(plots, "A")
    plot(plots, "sma", [0, 10], [1, 1])
    news(rows)

    plot(plots, "sma", 0, 2)
    for _ in range(9):
        plot(plots, "sma", 10, 2)

    assert news(rows) == {"user_points": [(0, 0, 2.0), (0, 10, 2.0)]}


def test_what_is_taken_away_makes_the_chart_begin_anew(plots):
    rows = UserRows(plots, "A")
    plot(plots, "sma", 0, 1.0)
    plot(plots, "ema", 0, 1.0)
    mark(plots, 0)
    news(rows)

    plots.clear("sma")

    with pytest.raises(Rewound):
        list(rows.rows())
    rows.restart()
    again = news(rows)
    # The page has points in the slot that is free, until it is told that there are none.
    assert again["user_lines"] == [(0, None, "price", False), (1, "ema", "price", False)]
    assert again["user_points"] == [(1, 0, 1.0)]
    assert len(again["user_marks"]) == 1
    plots.clear()
    rows.restart()
    assert news(rows)["user_lines"] == [(0, None, "price", False), (1, None, "price", False)]


def test_a_slot_is_used_again(plots):
    plot(plots, "sma", 0, 1.0)
    plot(plots, "ema", 0, 1.0)
    plots.clear("sma")

    plot(plots, "vwap", 0, 2.0)

    assert news(UserRows(plots, "A"))["user_lines"][0] == (0, "vwap", "price", False)
    assert plots.slots == 2


def test_marks_have_names_and_are_cleared_by_them(plots):
    mark(plots, 0, text="in", name="entries")
    mark(plots, 1, text="out", name="exits")

    plots.clear("entries")

    assert [row[2] for row in news(UserRows(plots, "A"))["user_marks"]] == ["out"]
    with pytest.raises(InvalidInput, match=r"nothing is called 'entries' here; there is exits"):
        plots.clear("entries")


def test_symbols_have_their_own(plots):
    plot(plots, "sma", 0, 1.0, symbol="A")
    plot(plots, "sma", 0, 2.0, symbol="B")
    mark(plots, 0, symbol="B")

    assert line(plots, symbol="A") == [(0, 1.0)]
    assert line(plots, symbol="B") == [(0, 2.0)]
    assert "user_marks" not in news(UserRows(plots, "A"))
    # A page of a symbol without lines still has those of the one shown before.
    assert news(UserRows(plots, "C")) == {"user_lines": [(0, None, "price", False)]}


def test_memory_is_bounded(plots, monkeypatch):
    monkeypatch.setattr(user_plots, "_MOST_POINTS", 100)
    monkeypatch.setattr(user_plots, "_MOST_MARKS", 10)
    rows, seen, marks = UserRows(plots, "A"), [], []
    for n in range(1_000):
        plot(plots, "sma", n, float(n))
        mark(plots, n, float(n))
        if n % 7 == 0:
            new = news(rows)
            seen += [row[1] for row in new["user_points"]]
            marks += [row[0] for row in new["user_marks"]]

    kept = line(plots)
    assert 100 <= len(kept) <= 125
    assert kept[-1] == (999, 999.0)
    assert 10 <= len(news(UserRows(plots, "A"))["user_marks"]) <= 13
    assert seen == marks == list(range(995))  # each once


def test_lines_and_panes_are_limited(plots):
    for n in range(8):
        plot(plots, f"line {n}", 0, 1.0)
    with pytest.raises(InvalidInput, match=r"room for 8 lines, so there is none for 'more'; clear"):
        plot(plots, "more", 0, 1.0)
    plots.clear()
    for n in range(3):
        plot(plots, f"line {n}", 0, 1.0, pane=f"pane {n}")
    with pytest.raises(InvalidInput, match=r"room for 3 panes below the price.*'fourth'"):
        plot(plots, "more", 0, 1.0, pane="fourth")
    plot(plots, "more", 0, 1.0)


def test_a_line_moves_to_another_pane(plots):
    rows = UserRows(plots, "A")
    plot(plots, "sma", 0, 1.0)
    news(rows)

    plot(plots, "sma", 1, 1.0, pane="below", ahead=True)

    with pytest.raises(Rewound):
        list(rows.rows())
    assert news(UserRows(plots, "A"))["user_lines"] == [(0, "sma", "below", True)]


@pytest.mark.parametrize("option", ["pane", "ahead"])
def test_a_wrong_option_gets_a_sentence(plots, option):
    with pytest.raises(InvalidInput, match=f"{option} must be"):
        plot(plots, "sma", 0, 1.0, **{option: 5})
    assert not UserRows(plots, "A").has_news()


def test_threads_may_plot_at_once(plots):
    def work(name):
        for n in range(500):
            plot(plots, name, n, float(n))
            plot(plots, "both", n, float(n))

    threads = [spawn(work, name) for name in ("a", "b")]
    for each in threads:
        each.join()

    assert [len(line(plots, name)) for name in ("a", "b", "both")] == [500] * 3
    assert np.all(np.diff([at for at, _ in line(plots, "both")]) > 0)
