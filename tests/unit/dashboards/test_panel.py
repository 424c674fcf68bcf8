"""The messages of a panel: only changed texts, and only as fast as the browser draws."""

from kucoin_research.dashboards.panel import Panel, TradeTape


def show(board):
    getattr(board, "panel", board)._on_message(None, {"kind": "view", "visible": True}, [])


def drawn(panel, number):
    panel._on_message(None, {"kind": "drawn", "seq": number, "ms": 1}, [])


def test_a_panel_with_nothing_new_tells_that_its_kernel_is_there():
    sent = []
    panel = Panel(lambda *_: None)
    panel.send = lambda content, buffers=None: sent.append(content["kind"])
    panel._on_message(panel, {"kind": "view", "visible": True}, [])

    for now in (10.0, 11.0, 12.0, 12.5, 14.0):
        panel.tell({"name": "the same"}, now)

    assert sent == ["texts", "beat", "beat"]


def test_only_what_changed_is_sent():
    panel, sent = Panel(lambda *_: None), []
    panel.send = lambda content, buffers=None: sent.append(content["texts"])
    show(panel)

    panel.tell({"a": 1, "b": 2}, 1.0)
    panel.tell({"a": 1, "b": 3}, 1.1)
    drawn(panel, 2)
    panel.tell({"a": 1, "b": 3}, 1.3)

    assert sent == [{"a": 1, "b": 2}, {"b": 3}]
    panel.close()


def test_of_the_tape_only_new_rows_are_sent():
    panel, sent = Panel(lambda *_: None), []
    panel.send = lambda content, buffers=None: sent.append(content["texts"]["tape"])
    show(panel)
    rows = [[str(each)] for each in range(10)]

    for number, tape in enumerate(
        (
            TradeTape(3, rows[:3]),
            TradeTape(5, rows[:5]),
            TradeTape(90, rows),
            TradeTape(2, rows[:2]),
        )
    ):
        panel.tell({"tape": tape}, number)
        drawn(panel, number + 1)

    assert sent == [{"all": rows[:3]}, {"add": rows[3:5]}, {"all": rows}, {"all": rows[:2]}]
    panel.close()


def test_a_slow_browser_gets_two_messages_at_most_and_then_the_newest():
    panel, sent = Panel(lambda *_: None), []
    panel.send = lambda content, buffers=None: sent.append(content["texts"])
    show(panel)

    for value in range(10):
        panel.tell({"a": value}, 1 + value / 10)
    drawn(panel, 2)
    panel.tell({"a": 9}, 2.1)

    assert sent == [{"a": 0}, {"a": 1}, {"a": 9}]
    panel.close()


def test_messages_are_as_rare_as_the_environment_asks_for(monkeypatch):
    usual = Panel(lambda *_: None)
    monkeypatch.setenv("KUCOIN_RESEARCH_REDRAWS", "2")
    slower = Panel(lambda *_: None)

    for panel, wait in ((usual, 0.2), (slower, 0.5)):
        assert panel.interval(5.0) == wait  # nobody looks
        show(panel)
        assert panel.interval(5.0) == wait
        panel.close()
