"""The style of axes: titles that have room."""

import pytest

from kucoin_research import figures
from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.line_charts import PriceChart
from kucoin_research.figures.theme import axis, compacted, fitted
from kucoin_research.model.records import Ticker, Trade
from tests.unit.figures.test_figures import frame, ticker, trade


def titles(figure):
    return [each.title.text for each in figure.select_yaxes()]


@pytest.mark.parametrize(
    ("height", "flow", "spread"),
    [
        (250, ["cumulative<br>delta (size)", "size<br>per bar"],
         ["spread<br>(bps of mid)", "bid − ask<br>share"]),
        (420, ["cumulative delta (size)", "size per bar"],
         ["spread (bps of mid)", "bid − ask share"]),
    ],
)  # fmt: skip
def test_titles_of_low_panels_are_broken_in_two(height, flow, spread):
    trades, tickers = frame(Trade, [trade(0)]), frame(Ticker, [ticker(0)])

    assert titles(figures.flow(trades, height=height)) == flow
    assert titles(figures.spread(tickers, height=height)) == spread


@pytest.mark.parametrize("title", ["", "price", "a very long title of an axis"])
def test_a_title_keeps_its_words(title):
    assert fitted(axis(title), 130)["title"]["text"].replace("<br>", " ") == title


def test_below_a_compact_time_axis_there_is_room_for_a_date_and_the_title():
    chart = PriceChart(View(), Sketch(is_compact=True))

    assert compacted(chart.spec())["layout"]["margin"]["b"] == 50
