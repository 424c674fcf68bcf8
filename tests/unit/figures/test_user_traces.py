"""A user's lines and marks on a chart of prices: when they are due, in which pane and words."""

import polars as pl
import pytest

from kucoin_research.figures.candle_chart import CandleChart
from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.gaps import GapMark
from kucoin_research.figures.line_charts import PriceChart
from kucoin_research.figures.static import still
from kucoin_research.figures.summary import summary_of
from kucoin_research.model.records import Ticker, Trade
from tests.unit.figures.test_figures import SECOND, at, frame, ms, ticker, trade

TRADES = {
    PriceChart: ("quotes", frame(Ticker, [ticker(n, bid=100.0) for n in range(100)])),
    CandleChart: ("candles", frame(Trade, [trade(n) for n in range(100)])),
}
KINDS = pytest.mark.parametrize("kind", TRADES)


def chart(kind=PriceChart, *, span=None, window=60, until=100, replay=True, gaps=()):
    view = View(1_000, span and (at(span[0]), at(span[1])), window * SECOND)
    made = kind(view, Sketch("XBTUSDTM", options={"hides_future": replay}))
    made.mark(gaps)
    role, rows = TRADES[kind]
    made.take(role, rows[:until])
    return made


def lines(made, *names, pane="price", ahead=False):
    rows = [(slot, name, pane, ahead) for slot, name in enumerate(names)]
    schema = ["slot", "name", "pane", "is_ahead"]
    made.take("user_lines", pl.DataFrame(rows, schema=schema, orient="row"))


def points(made, *seconds, slot=0, values=None):
    values = values or [float(each) for each in seconds]
    rows = {"slot": slot, "at": [at(each) for each in seconds], "value": values}
    made.take("user_points", pl.DataFrame(rows))


def marks(made, *seconds, ahead=False, text="here"):
    rows = [(at(each), 100.0, text, ahead) for each in seconds]
    schema = ["at", "price", "text", "is_ahead"]
    made.take("user_marks", pl.DataFrame(rows, schema=schema, orient="row"))


def drawn(made):
    """Give the seconds and values of each trace by its name, as a static figure has them."""
    return {
        trace.name: [(x / 1e3 - ms(0) / 1e3, y) for x, y in zip(trace.x, trace.y, strict=True)]
        for trace in still(made).data
        if trace.type == "scatter"
        if trace.x is not None and len(trace.x)
    }


@KINDS
def test_without_any_the_drawing_has_nothing_of_them(kind):
    bare, asked = kind(View(), Sketch()), kind(View(), Sketch(options={"hides_future": True}))
    role, rows = TRADES[kind]
    for each in (bare, asked):
        each.take(role, rows)

    assert len(asked.draw().arrays) == len(bare.draw().arrays)
    assert asked.draw().traces.keys() >= bare.draw().traces.keys()
    assert "xaxis.anchor" not in asked.draw().layout


@KINDS
def test_a_line_is_drawn_over_the_price_with_its_name(kind):
    made = chart(kind)
    lines(made, "sma")
    points(made, 60, 70)

    assert drawn(made)["sma"] == [(60, 60.0), (70, 70.0)]
    figure = still(made)
    sma = next(each for each in figure.data if each.name == "sma")
    assert (sma.yaxis, sma.showlegend) == ("y", True)
    assert sma.hovertemplate.startswith("sma ")
    assert "sma 70" in summary_of(made, made.draw())


@KINDS
def test_panes_divide_the_height_and_the_time_axis_is_below_the_last(kind):
    made = chart(kind)
    lines(made, "signal", pane="signal")
    points(made, 60, 70)

    layout = still(made).layout
    assert layout.xaxis.anchor == "y6"
    assert layout.yaxis6.title.text == "signal"
    assert layout.yaxis6.visible
    assert not layout.yaxis7.visible
    tops = [layout.yaxis6.domain[1], layout.yaxis.domain[0]]
    assert layout.yaxis6.domain[0] == 0
    assert tops == sorted(tops)
    assert layout.yaxis.domain[1] == 1
    if kind is CandleChart:
        assert layout.yaxis6.domain[1] < layout.yaxis2.domain[0] < layout.yaxis.domain[0]


@KINDS
def test_a_replay_shows_nothing_later_than_its_newest_row(kind):
    made = chart(kind, until=81)
    lines(made, "sma")
    points(made, 60, 70, 80, 90)
    marks(made, 75, 85)

    assert drawn(made)["sma"][-1] == (80, 80.0)
    assert [x for x, _ in drawn(made)["marks"]] == [75]
    role, rows = TRADES[kind]
    made.take(role, rows[81:])
    assert drawn(made)["sma"][-1] == (90, 90.0)
    assert [x for x, _ in drawn(made)["marks"]] == [75, 85]


def test_a_range_ahead_of_a_replay_shows_what_was_asked_for():
    made = chart(span=(50, 95), until=81)
    lines(made, "sma", ahead=True)
    points(made, 60, 90, 99)
    marks(made, 85)
    marks(made, 86, ahead=True)

    # The point behind the edge leads the line out of the picture.
    assert drawn(made)["sma"] == [(60, 60.0), (90, 90.0), (99, 99.0)]
    assert [x for x, _ in drawn(made)["marks"]] == [86]


def test_a_range_shows_the_points_on_both_sides_of_it():
    made = chart(span=(50.5, 52.5))
    lines(made, "sma")
    points(made, *range(45, 60))

    assert [x for x, _ in drawn(made)["sma"]] == [50, 51, 52, 53]
    assert [x for x, _ in drawn(made)["sma"]] == [50, 51, 52, 53]  # drawn again


def test_a_stream_shows_points_up_to_its_edge_and_drops_what_leaves_the_window():
    made = chart(window=10, replay=False)
    lines(made, "sma")
    points(made, *range(200))

    shown = [x for x, _ in drawn(made)["sma"]]
    assert shown[0] == 88  # the line comes from there
    assert 99 <= shown[-1] <= made.range_ns[1] / SECOND + 1


def test_later_points_replace_all_from_their_first_on():
    made = chart()
    lines(made, "sma")
    points(made, 60, 70, 80, 150)
    drawn(made)

    points(made, 70, 75, values=[1.0, 2.0])

    assert drawn(made)["sma"] == [(60, 60.0), (70, 1.0), (75, 2.0)]


def test_a_line_breaks_where_the_prices_do():
    made = chart(gaps=[GapMark("gap", at(64), at(66), "lost")])
    lines(made, "sma")
    points(made, 60, 70)

    values = [y for _, y in drawn(made)["sma"]]
    assert values[0] == 60
    assert values[1] != values[1]
    assert values[2] == 70


def test_many_marks_are_few_and_say_so():
    made = chart()
    made.take(
        "user_marks",
        pl.DataFrame(
            {
                "at": [at(50 + n / 100) for n in range(1_000)],
                "price": 100.0,
                "text": [f"number {n}" for n in range(1_000)],
                "is_ahead": False,
            }
        ),
    )

    found = next(each for each in still(made).data if each.name == "marks")
    assert 20 < len(found.x) <= 101
    assert found.text[0] == "number 0<br>at 100"
    assert found.text[1].startswith("number 1<br>at 100<br>and ")
    assert found.text[1].endswith(" further marks: zoom in to see each")


def test_a_text_is_shown_as_it_is():
    made = chart()
    marks(made, 70, text="<b>$5</b> " * 200)
    lines(made, "<i>x")
    points(made, 70)

    figure = still(made)
    text = next(each for each in figure.data if each.name == "marks").text[0]
    assert text.startswith("&lt;b&gt;&#36;5&lt;/b&gt;")
    assert "…" in text
    assert any(each.name == "&lt;i&gt;x" for each in figure.data)


def test_before_the_first_row_nothing_is_drawn():
    made = chart(until=0)
    lines(made, "sma")
    points(made, 60)
    marks(made, 60)

    assert drawn(made) == {}
    assert made.draw().layout["annotations"][0]["text"].startswith("waiting for")


def test_a_line_of_one_value_in_a_pane_has_a_range():
    made = chart()
    lines(made, "flat", pane="below")
    points(made, 60, 70, values=[5.0, 5.0])

    low, high = made.draw().layout["yaxis6.autorangeoptions"]["include"]
    assert low < 5 < high
