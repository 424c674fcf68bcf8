"""A screener in a notebook: a press on a row opens its dashboard, or calls a function."""

import ipywidgets as widgets
import pytest

import kucoin_research as kr
from kucoin_research.foundation import clocks
from tests.conftest import wait_until
from tests.exchanges import simulate


@pytest.fixture
def exchange():
    with simulate(contracts=12) as running:
        yield running


def press(screener, symbol):
    screener.view.table._on_message(None, {"kind": "press", "symbol": symbol, "page": "p"}, [])


def test_a_press_opens_the_dashboard_of_its_contract_and_the_next_one_replaces_it(exchange):
    with kr.screener(exchange.venue) as s:
        press(s, "XBTUSDTM")
        first = s.view.board
        assert (first.symbol, first.is_running) == ("XBTUSDTM", True)
        press(s, "XRPUSDTM")
        assert s.view.board.symbol == "XRPUSDTM"
        assert s.view._box.children == (s.view.table, s.view.board)
        assert not first.is_running
        last = s.view.board

    assert not last.is_running
    assert kr.running() == []


def test_a_press_that_cannot_be_answered_says_so_in_the_status_line(exchange):
    said = []
    with kr.screener(exchange.venue) as s:
        s.view.table.say = said.append
        press(s, "NOTHINGM")

    assert said[0] == ""
    assert said[1].startswith("NOTHINGM: ")


def test_on_press_is_called_instead(exchange):
    pressed = []
    with kr.screener(exchange.venue, on_press=pressed.append) as s:
        press(s, "XBTUSDTM")
        assert s.view.board is None

    assert pressed == ["XBTUSDTM"]


def test_what_on_press_raises_is_said_and_logged(exchange, caplog):
    said = []

    def fail(symbol):
        raise ZeroDivisionError("no")

    with kr.screener(exchange.venue, on_press=fail) as s:
        s.view.table.say = said.append
        press(s, "XBTUSDTM")

    assert said == ["", "XBTUSDTM: unexpected ZeroDivisionError: no"]
    assert "unexpected error" in caplog.text


def test_a_screener_starts_when_it_is_shown_and_is_a_text_once_closed(exchange, monkeypatch):
    shown = []
    with kr.screener(exchange.venue) as s:
        monkeypatch.setattr("kucoin_research.dashboards.screener_view.show_widget", shown.append)
        assert not s.is_running
        s._ipython_display_()
        assert s.is_running
        assert shown == [s.view._box]

    with pytest.raises(NotImplementedError):
        s._ipython_display_()
    assert "closed" in repr(s)


def open_widgets():
    return len(widgets.widgets.widget._instances)


def test_a_frame_makes_no_widget_and_a_closed_screener_leaves_none(exchange):
    before = open_widgets()
    kept = kr.screener(exchange.venue)
    kept.frame()
    assert open_widgets() == before

    kept.view.table.start()
    assert open_widgets() > before
    kept.close()
    assert open_widgets() == before


def test_a_press_on_a_closed_screener_does_nothing(exchange):
    pressed = []
    with (
        kr.screener(exchange.venue) as s,
        kr.screener(exchange.venue, on_press=pressed.append) as t,
    ):
        views = s.view, t.view
    for view in views:
        view._press("XBTUSDTM")

    assert (views[0].board, pressed, kr.running()) == (None, [], [])


def test_a_dashboard_that_is_still_starting_when_the_screener_is_closed_ends(exchange, held_time):
    s = kr.screener(exchange.venue)
    view = s.view
    exchange.inject("slow_reply", path="/api/v1/contracts/active", delay=3)
    pressing = clocks.current().thread(lambda: view._press("XBTUSDTM"), "press")
    pressing.start()
    held_time.pass_by(1)
    assert pressing.is_alive()
    s.close()
    pressing.join()

    assert view.board is None
    wait_until(lambda: kr.running() == [])
