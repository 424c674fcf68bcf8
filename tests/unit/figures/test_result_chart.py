"""The chart of a run: every fill at its time, price and side; nothing hidden by downsampling."""

from __future__ import annotations

import html
import json

import numpy as np
import polars as pl
import pytest

from kucoin_research.errors import InvalidInput
from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.result_chart import ResultChart, result_figure
from tests.unit.figures.test_markup import HOSTILE, structure, texts
from tests.unit.strategy.runs import (
    day,
    equity_rows,
    fill,
    note,
    position,
    price,
    table,
)

# Live figures are drawn by one thread of the process, in the machine's time.
REAL_TIME = True

SYMBOL = "XBTUSDTM"
SPAN = (day(0), day(10))


def frames(**rows):
    made = {
        role: table(role, *rows.get(role, ()))
        for role in ("prices", "fills", "notes", "equity", "positions")
    }
    falls = pl.lit(-0.5, pl.Float64)
    return {**made, "equity": made["equity"].with_columns(drawdown=falls)}


def drawn(symbol=SYMBOL, span=SPAN, **options):
    gaps = options.pop("gaps", ())
    rows = {name: options.pop(name) for name in list(options) if name in frames()}
    return result_figure(frames(**rows), symbol, currency="USDT", span=span, gaps=gaps, **options)


def trace(figure, name):
    return next(each for each in figure.data if each.name == name)


def ms(number):
    return day(number) / 1e6


def test_fills_are_triangles_at_their_times_and_prices_by_side():
    figure = drawn(
        fills=[fill(1, price=101.0), fill(2, "sell", price=103.0), fill(3, price=99.5, size=4.0)]
    )

    buys, sells = trace(figure, "buys"), trace(figure, "sells")
    assert (buys.x.tolist(), buys.y.tolist()) == ([ms(1), ms(3)], [101.0, 99.5])
    assert (sells.x.tolist(), sells.y.tolist()) == ([ms(2)], [103.0])
    assert (buys.marker.symbol, sells.marker.symbol) == ("triangle-up", "triangle-down")
    assert buys.marker.color != sells.marker.color
    assert buys.marker.size[0] < buys.marker.size[1] <= 16


def test_a_fill_shows_size_fee_order_and_tag():
    figure = drawn(fills=[fill(1, size=2.5, fee=-0.01, liquidity="maker", tag="grid")])

    assert trace(figure, "buys").text[0] == (
        "buy 2.5 at 100<br>fee -0.01 USDT (maker)<br>order order-1, tag grid"
    )


def test_lines_last_to_the_end_of_the_run():
    figure = drawn(
        prices=[price(0, 100), price(4, 102)],
        equity=equity_rows([10_000, 9_000]),
        positions=[position(1, 2.0), position(3, 0.0)],
    )

    assert trace(figure, "price").x.tolist() == [ms(0), ms(4), ms(10)]
    assert trace(figure, "price").y.tolist() == [100, 102, 102]
    assert trace(figure, "equity").y.tolist() == [10_000, 9_000, 9_000]
    assert trace(figure, "drawdown").y.tolist() == [-50, -50, -50]
    assert trace(figure, f"position {SYMBOL}").y.tolist() == [2, 0, 0]
    assert {each.line.shape for each in figure.data if each.mode == "lines"} == {"hv"}


def test_the_rows_share_one_time_axis_and_have_their_own_values():
    figure = drawn(positions=[position(1, 2.0)])

    assert {each.xaxis for each in figure.data} <= {"x", None}
    assert [trace(figure, name).yaxis for name in ("equity", "drawdown")] == ["y2", "y3"]
    assert figure.layout.xaxis.anchor == "y4"
    assert figure.layout.yaxis2.title.text == "equity (USDT)"
    low, high = figure.layout.xaxis.range
    assert low < ms(0) < ms(10) < high


def test_a_gap_is_shaded_and_breaks_price_and_equity_but_no_position():
    days = [price(each, 100) for each in (0, 1, 5, 6)]
    figure = drawn(
        prices=days,
        equity=equity_rows([1.0] * 7),
        positions=[position(0, 1.0), position(6, 0.0)],
        gaps=[(day(1.25), day(4.5))],
    )

    (shape,) = (each for each in figure.layout.shapes if each.type == "rect")  # no line of a day
    assert (shape.x0, shape.x1) == (ms(1.25), ms(4.5))
    assert np.isnan(trace(figure, "price").y).sum() == 1
    assert not np.isnan(trace(figure, f"position {SYMBOL}").y).any()


def test_a_note_stands_at_the_price_of_its_time():
    figure = drawn(
        prices=[price(1, 100), price(3, 110)],
        notes=[note(0, "before"), note(2, "within"), note(5, "after")],
    )

    notes = trace(figure, "notes")
    assert notes.y.tolist() == [100, 100, 110]
    assert notes.text[1] == "within<br>position 1"


def test_without_prices_a_note_stands_at_a_fill():
    assert trace(drawn(notes=[note(2, "x")], fills=[fill(1)]), "notes").y.tolist() == [100.0]


def test_of_a_long_run_no_extreme_is_lost_and_no_fill():
    count = 50_000
    times = np.linspace(0, 10, count)
    values = 100 + np.sin(np.arange(count))
    values[31_415], values[27_182] = 500.0, 1.0
    prices = [price(each, value) for each, value in zip(times, values, strict=True)]
    fills = [fill(each, price=value) for each, value in zip(times[:9_000], values, strict=False)]

    figure = drawn(prices=prices, fills=fills)

    line, buys = trace(figure, "price"), trace(figure, "buys")
    assert len(line.y) <= 2_001
    assert (line.y.min(), line.y.max()) == (1.0, 500.0)
    assert len(buys.x) == len(buys.text) <= 750
    shown = [int(text.split(" fills")[0].replace(",", "")) for text in buys.text if "fills" in text]
    assert sum(shown) + sum("fills" not in text for text in buys.text) == 9_000
    assert buys.y.max() == max(values[:9_000])


def test_many_notes_are_shown_by_the_first_of_each_stretch():
    notes = [note(each / 100, f"note {each}") for each in range(1_000)]

    found = trace(drawn(prices=[price(0, 1)], notes=notes), "notes")

    assert len(found.x) <= 100
    further = [int(t.split("and ")[1].split()[0]) for t in found.text if "further notes" in t]
    assert sum(further) + len(found.x) == 1_000


def test_of_a_long_note_the_beginning_is_shown():
    text = trace(drawn(prices=[price(0, 1)], notes=[note(1, "word " * 200_000)]), "notes").text[0]

    assert text.startswith("word word")
    assert "<br>…<br>" in text
    assert len(text) < 1_000


def view_of(rows, begin, end, **options):
    held = [SYMBOL]
    sketch = Sketch(SYMBOL, options={"span": (day(0), day(10)), "currency": "", "held": held})
    chart = ResultChart(View(1_000, (day(begin), day(end))), sketch)
    for role, frame in rows.items():
        chart.take(role, frame)
    return chart.draw()


def test_a_zoom_between_two_changes_still_shows_the_position():
    rows = frames(positions=[position(1, 2.0), position(8, 0.0)], fills=[fill(1), fill(4), fill(8)])

    drawing = view_of(rows, 3, 5)

    assert drawing.arrays[6, "y"].tolist() == [2, 0, 0]
    assert drawing.arrays[1, "x"].tolist() == [ms(4)]
    assert drawing.window == (ms(3), ms(5))


@pytest.mark.parametrize("same", [2, 5])
def test_equal_fills_keep_an_order_each(same):
    rows = [fill(1, size=0.1 + each / 10, order_id=f"id {each}") for each in range(same)]

    found = trace(drawn(fills=rows), "buys").text

    assert sorted(text.split("order ")[1] for text in found) == [f"id {n}" for n in range(same)]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_of_the_user_is_taken_for_markup(hostile):
    def made(text):
        figure = result_figure(
            frames(
                prices=[price(0, 1.0, text)],
                fills=[fill(1, symbol=text, tag=text, order_id=text, fee_currency=text)],
                notes=[note(1, text, text)],
                positions=[position(1, 1.0, text)],
            ),
            text,
            currency=text,
            span=(day(0), day(1)),
        )
        return json.loads(figure.to_json())

    usual = dict(texts(made("plain")))
    for path, text in texts(made(hostile)):
        assert structure(text) == structure(usual[path]), path
        if "plain" in usual[path]:
            shown = html.unescape(text.replace("<br>", ""))
            assert "".join(hostile.split()) in "".join(shown.split()), path


def test_an_empty_run_says_so_and_one_without_fills_is_drawn():
    empty = drawn(span=None, symbol="")

    assert empty.layout.annotations[0].text == "no record was played"
    assert not any(axis.visible for axis in empty.select_xaxes())
    without = drawn(equity=equity_rows([100.0, 101.0]))
    assert without.layout.annotations == ()
    assert [len(each.x) for each in without.data][:4] == [0] * 4
    assert (without.layout.yaxis2.visible, without.layout.yaxis.visible) == (True, False)


def test_positions_of_many_symbols_are_drawn_up_to_a_bound_that_symbol_first():
    rows = [position(1, 1.0, f"S{each}") for each in range(30)] + [position(1, 3.0)]

    lines = [each for each in drawn(positions=rows).data if each.name.startswith("position")]

    assert len(lines) == 9
    assert lines[0].name == f"position {SYMBOL}"
    assert len({(each.line.color, each.line.dash) for each in lines}) == 9


def test_it_can_be_zoomed_in_a_notebook():
    widget = drawn(fills=[fill(1)], positions=[position(1, 1.0)]).zoomable()
    try:
        assert [each["name"] for each in widget.spec["data"]][:3] == ["price", "buys", "sells"]
    finally:
        widget.close()


def test_wrong_arguments_are_refused():
    for wrong in ({"theme": "blue"}, {"tz": "Nowhere"}, {"height": 0}):
        with pytest.raises(InvalidInput):
            drawn(**wrong)
