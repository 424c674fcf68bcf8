"""The histories of a dashboard: one for each symbol, and an end for each."""

from threading import Event

import kucoin_research as kr
from kucoin_research.dashboards.histories import Histories
from kucoin_research.dashboards.idle import Idle
from kucoin_research.figures.past import Want


class Stream:
    """As much of a stream as they use."""

    def __init__(self):
        self.closed = []

    def lags(self, rows):
        raise AssertionError

    def history(self, symbol):
        return Slow(symbol, self.closed)


class Slow:
    """A history that never answers until it is closed."""

    def __init__(self, symbol, closed):
        self.symbol, self.closed, self.end = symbol, closed, Event()

    def trades(self):
        self.end.wait(30)
        raise kr.StreamStopped("closed")

    def close(self):
        self.closed.append(self.symbol)
        self.end.set()


def test_charts_of_a_symbol_share_its_history():
    histories, stream = Histories(), Stream()

    assert histories.of(stream, "A") is histories.of(stream, "A")
    assert histories.of(stream, "A") is not histories.of(stream, "B")


def test_another_symbol_ends_the_request_and_coming_back_finds_the_rows():
    histories, stream = Histories(), Stream()
    first = histories.of(stream, "A")

    first.ask([Want()])
    histories.of(stream, "B")

    assert stream.closed == ["A"]
    assert histories.of(stream, "A") is first


def test_another_stream_and_the_end_close_everything():
    histories, stream = Histories(), Stream()
    first = histories.of(stream, "A")

    second = histories.of(Stream(), "A")
    histories.close()

    assert second is not first
    assert not first.ask([Want()])
    assert not second.ask([Want()])


def test_what_is_no_stream_has_no_history():
    assert Histories().of(Idle("A"), "A") is None
