"""The live table of a screener: changed cells only, at the browser's pace, and presses on rows."""

import numpy as np
import pytest

import kucoin_research as kr
from kucoin_research.api.market_board import SHOWN
from kucoin_research.api.screening import Screener
from kucoin_research.dashboards.screener_table import ScreenerTable
from kucoin_research.exchange.rest.market_facts import MarketFacts
from kucoin_research.model.records import Ticker

START = 1_767_571_200_000_000_000


def facts(symbol, price=100.0):
    return MarketFacts(START, symbol, price, contract_multiplier=1.0)


def ticker(symbol, bid, ask=101.0):
    return Ticker(START, START, symbol, 1, 100.0, 1.0, "buy", bid, 3.0, ask, 1.0)


class Watched:
    """A table with one page, and what it was sent."""

    def __init__(self):
        self.screener = Screener(kr.Venue("http://127.0.0.1:9", "http://127.0.0.1:9"))
        self.pressed, self.sent = [], []
        self.table = ScreenerTable(self.screener, self.pressed.append)
        self.table.send = lambda content, buffers=(): self.sent.append((content, buffers))

    def hear(self, kind, page="p", **rest):
        self.table._on_message(None, {"kind": kind, "page": page, **rest}, [])

    def look(self, page="p"):
        self.hear("hello", page)
        self.hear("view", page, visible=True)

    def take(self):
        sent, self.sent[:] = list(self.sent), []
        return [(content, buffers) for content, buffers in sent if content["kind"] == "rows"]


@pytest.fixture
def watched():
    made = Watched()
    made.screener._board.take_facts([facts("A"), facts("B"), facts("C")])
    yield made
    made.table.close()
    made.screener.close()


def test_a_page_gets_everything_first_and_then_the_cells_that_changed(watched):
    watched.look()
    watched.table.refresh(1.0)
    watched.hear("drawn", seq=1, ms=2)
    watched.screener._board.take_prices([ticker("B", bid=99.0)])
    watched.table.refresh(1.2)

    (first, whole), (second, parts) = watched.take()
    assert first["symbols"] == ["A", "B", "C"]
    assert first["names"] == list(SHOWN)
    figures = np.frombuffer(whole[0]).reshape(3, len(SHOWN)).copy()
    rows, columns = np.frombuffer(parts[0], np.uint16), np.frombuffer(parts[1], np.uint8)
    assert set(rows) == {1}
    assert "symbols" not in second
    assert SHOWN.index("last_price") not in columns
    figures[rows, columns] = np.frombuffer(parts[2])
    np.testing.assert_array_equal(figures, watched.screener.look().figures)


def test_nothing_is_sent_where_nothing_changed_or_nobody_looks(watched):
    watched.look()
    watched.table.refresh(1.0)
    watched.table.refresh(1.2)
    assert len(watched.take()) == 1

    watched.hear("view", visible=False)
    watched.screener._board.take_prices([ticker("B", bid=99.0)])
    watched.table.refresh(1.4)
    assert watched.take() == []


def test_a_page_that_is_behind_gets_the_newest_figures_when_it_has_drawn(watched):
    watched.look()
    for number in range(10):
        watched.screener._board.take_prices([ticker("B", bid=90.0 + number)])
        watched.table.refresh(1.0 + number / 10)
    assert len(watched.take()) == 2

    watched.hear("drawn", seq=2, ms=5)
    watched.table.refresh(2.1)
    ((_, parts),) = watched.take()
    assert 99.0 in np.frombuffer(parts[2])


def test_each_page_has_a_state_of_its_own(watched):
    watched.look("one")
    watched.table.refresh(1.0)
    watched.take()
    watched.look("two")
    watched.table.refresh(1.2)

    ((content, _),) = watched.take()
    assert content["to"] == "two"
    assert content["symbols"] == ["A", "B", "C"]


def test_other_symbols_are_sent_as_a_whole(watched):
    watched.look()
    watched.table.refresh(1.0)
    watched.screener._board.take_facts([facts("C"), facts("D")])
    watched.table.refresh(1.2)

    assert watched.take()[1][0]["symbols"] == ["C", "D"]


def test_a_board_that_has_become_empty_is_sent_as_a_whole(watched):
    watched.look()
    watched.table.refresh(1.0)
    watched.screener._board.take_facts([])
    watched.table.refresh(1.2)

    content, buffers = watched.take()[1]
    assert content["symbols"] == []
    assert buffers == [b""]


def test_the_status_line_comes_with_the_rows_and_by_itself(watched):
    watched.look()
    watched.table.refresh(1.0)
    watched.table.say("A: it is not traded")
    watched.table.refresh(1.2)

    (first, _), (second, parts) = watched.take()
    assert (first["line"], first["wrong"]) == ("asked once", False)
    assert (second["line"], second["wrong"]) == ("A: it is not traded; asked once", True)
    assert parts == []


def test_a_press_names_its_symbol(watched):
    watched.hear("press", symbol="B")
    watched.hear("press")  # a row that has gone meanwhile

    assert watched.pressed == ["B"]


def test_a_quiet_table_gives_signs_of_life(watched):
    watched.look()
    for now in (1.0, 2.0, 3.5, 4.0):
        watched.table.refresh(now)

    assert ["seq" in content for content, _ in watched.take()] == [True, False]


def test_the_table_is_sent_as_rarely_as_the_environment_asks_for(monkeypatch):
    monkeypatch.setenv("KUCOIN_RESEARCH_REDRAWS", "2")
    watched = Watched()
    watched.look()

    assert watched.table.refresh(1.0) == 0.5

    watched.table.close()
    watched.screener.close()
