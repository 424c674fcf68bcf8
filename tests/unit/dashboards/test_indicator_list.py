"""Indicators of a dashboard: as an option, by code, and as a user types them."""

import polars as pl
import pytest

import kucoin_research as kr
from tests.unit.figures.test_figures import trace

REAL_TIME = True  # one thread of the process draws all figures, in the machine's time
RANGE = pl.col("high") - pl.col("low")


@pytest.fixture
def board(exchange):
    made = kr.dashboard("XBTUSDTM", venue=exchange.venue, interval="1s", indicators="SMA 2")
    yield made
    made.close()


def shown(board):
    """The names of the lines that come after the bodies of the candles."""
    names = [each.name for each in board.lower.figure.figure().data]
    return names[names.index("body, falling") + 1 :]


def test_they_are_an_option_and_are_drawn_on_the_candles(board):
    source = board.start()
    source.wait("trade", rows=40)

    line = trace(board.lower.figure.figure(), "SMA 2")

    assert list(board.indicators) == ["SMA 2"]
    assert board.controls.indicators.value == "SMA 2"
    assert line.yaxis == "y"


def test_code_adds_and_removes_them_by_name(board):
    board.indicators.add("rsi")
    board.indicators.add("range", RANGE)

    assert shown(board) == ["SMA 2", "RSI 14", "range"]
    assert board.controls.indicators.value == "SMA 2, RSI 14, range"
    assert board.line == "indicators: SMA 2, RSI 14, range"
    assert "RSI14" in board.indicators

    board.indicators.remove("sma 2")
    assert shown(board) == ["RSI 14", "range"]
    board.indicators.remove()
    assert len(board.indicators) == 0
    assert shown(board) == []


def test_a_user_types_them_and_keeps_those_of_code(board):
    board.indicators.add("range", RANGE)

    board.controls.indicators.value = "range, ema 5,vwap"

    assert list(board.indicators) == ["range", "EMA 5", "VWAP"]
    assert board.controls.indicators.value == "range, EMA 5, VWAP"
    assert shown(board) == ["range", "EMA 5", "VWAP", "VWAP lower band", "VWAP upper band"]


def test_a_wrong_one_is_named_and_those_shown_stay(board):
    board.controls.indicators.value = "SMA 2, RIS 14"

    assert "no indicator is called 'RIS 14'; did you mean RSI" in board.line
    assert board.controls.indicators.value == "SMA 2, RIS 14"  # to be mended
    assert list(board.indicators) == ["SMA 2"]
    assert "kr-wrong" in board.controls.indicators._dom_classes

    board.controls.indicators.value = "RSI"

    assert "kr-wrong" not in board.controls.indicators._dom_classes


def test_they_stay_with_another_interval_and_leave_other_charts_alone(board):
    book = board.book.figure

    board.controls.interval.value = "5s"
    board.lower.switch.value = "Spread"
    board.indicators.add("EMA 9")
    board.lower.switch.value = "Candles"

    assert shown(board) == ["SMA 2", "EMA 9"]
    assert board.book.figure is book
    assert board.price.figure.figure().data[-1].name == "EMA 9 · 5 s"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda board: board.indicators.add("SAM 2"), "did you mean SMA"),
        (lambda board: board.indicators.add("EMA 2", pane="price"), "only expressions take a pane"),
        (lambda board: board.indicators.add("x", pl.col("hgh")), "'x' cannot be computed"),
        (lambda board: board.indicators.remove("EMA 9"), "no indicator .* there is SMA 2"),
        (lambda _: kr.dashboard("XBTUSDTM", indicators=["SAM 2"]), "did you mean SMA"),
    ],
)
def test_a_wrong_call_says_so_in_a_sentence(board, call, sentence):
    with pytest.raises(kr.InvalidInput, match=sentence):
        call(board)

    assert list(board.indicators) == ["SMA 2"]
