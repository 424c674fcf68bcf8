"""A strategy in a dashboard without a browser: on sessions, replays, streams, and its texts."""

import threading

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.dashboards.run_rows import RunRows
from kucoin_research.dashboards.run_texts import RunTexts
from kucoin_research.errors import InvalidInput, StopStrategy
from kucoin_research.figures.tail import Rewound
from kucoin_research.figures.time_axis import Zone
from kucoin_research.figures.trade_marks import MARKED
from tests.conftest import wait_until
from tests.unit.recordings import a_minute

# One thread of the process draws all figures, in the machine's time.
REAL_TIME = True
SPEED = 100.0
ROLES = (*MARKED, "equity", "positions")


class Turns:
    """Buys and sells in turn every 20 ms of arrival, 2 s of the exchange, and says why."""

    def __init__(self):
        self.next = 0

    def __call__(self, record, broker):
        if broker.best().mid is None or broker.now < self.next:
            return
        self.next = broker.now + 20_000_000
        size = broker.position().size
        broker.note("flat, so buy" if size <= 0 else "long, so sell")
        broker.target(-2 if size > 0 else 3)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return a_minute(tmp_path_factory.mktemp("sessions"), SPEED)


@pytest.fixture
def boards():
    made = []

    def board(*args, **options):
        found = kr.dashboard(*args, **options)
        made.append(found)
        return found

    yield board
    for each in made:
        each.close()


def texts(board):
    return {**board._refresh._health_texts(), **board._refresh._market_texts()}


def test_a_session_is_played_from_its_first_record_to_the_present_place(session, boards):
    board = boards(session, strategy=Turns())
    wanted = kr.backtest(Turns(), session, progress=False)
    board.transport.seek(0.5)
    half = board.run.records
    board.transport.seek(1.0)
    board.transport.step()

    assert 0 < half < board.run.records == wanted.stats["records"]
    assert board.run.result().fingerprint == wanted.fingerprint
    assert board.lower.chosen == "Strategy"
    shown = texts(board)
    assert shown["run"][0] == "Turns"
    assert shown["account"][6] == ["fills", str(wanted.fills.height), ""]


def test_a_session_that_plays_or_has_ended_is_played_from_its_first_record(session, boards):
    board = boards(session)
    wanted = kr.backtest(Turns(), session, progress=False)
    board.source.speed = None
    board.transport.play()
    assert board.source.wait_until_done(20)

    board.paper(Turns())

    assert board.source.position_ns == board.source.end_ns
    board.transport.step()
    assert board.run.records == wanted.stats["records"]
    board.source.speed = 0.01
    board.transport.play()
    board.paper(Turns())
    assert board.source.state == "playing"  # as before


def test_the_price_has_the_marks_of_the_run(session, boards):
    board = boards(session, strategy=Turns())
    fills = board.run.result().fills
    notes = board.run.result().notes

    for slot in (board.price, board.lower):
        slot.switch.value = {"Strategy": "Candles"}.get(slot.chosen, slot.chosen)
        drawn = {
            trace.name: 0 if trace.x is None else len(trace.x)
            for trace in slot.figure.figure().data
        }
        assert drawn["own buys"] == fills.filter(pl.col("side") == "buy").height
        assert drawn["own sells"] == fills.filter(pl.col("side") == "sell").height
        assert drawn["notes"] == notes.height > 5
    board.lower.switch.value = "Strategy"
    equity, position = board.lower.figure.figure().data
    assert equity.y[-1] == board.run.result().equity["equity"][-1]
    assert set(position.y) == {0, *fills["position_after"]}


def own(board, place="price"):
    """Give the user's lines and marks on a chart, by name."""
    figure = getattr(board, place).figure.figure()
    return {
        each.name: list(each.x)
        for each in figure.data
        if each.type == "scatter"
        and each.name in ("sma", "marks")
        and each.x is not None
        and len(each.x)
    }


def test_what_a_user_plots_follows_a_replay_back_and_forth(session, boards):
    board = boards(session, window="all")
    trades = board.source.session.frame("trade")
    moments = trades.unique("timestamp", keep="first", maintain_order=True)
    board.lower.switch.value = "Candles"
    board.transport.seek(0.5)
    for _ in range(2):  # a cell that runs again
        board.plot("sma", trades["timestamp"], trades["price"], pane="below")
        board.mark(moments[:3])
        board.mark(trades[-3:])
    half = own(board)
    board.transport.seek(0.9)
    later = own(board)
    board.transport.seek(0.5)

    assert 0 < len(half["sma"]) < len(later["sma"])
    assert len(half["marks"]) == 3
    assert own(board) == half
    assert own(board, "lower").keys() == half.keys()
    board.plot("sma", trades["timestamp"], trades["price"], pane="below", ahead=True)
    assert len(own(board)["sma"]) >= len(half["sma"])
    board.clear("sma")
    assert own(board).keys() == {"marks"}
    board.clear()
    assert own(board) == {}
    with pytest.raises(InvalidInput, match="t='noon' is no time"):
        board.plot("sma", "noon", 1.0)


def test_a_strategy_may_plot_and_mark_at_each_record(session, boards):
    board = boards(session)

    def plotting(record, broker):
        if type(record).__name__ == "Trade":
            board.plot("sma", record.timestamp, record.price)
            if record.size > 5:
                board.mark(record.timestamp, record.price, "large")

    board.paper(plotting)
    board.transport.seek(0.8)
    board.transport.seek(0.3)
    board.transport.seek(0.6)
    shown = own(board)

    trades = board.source.frame("trade")
    assert shown["sma"][-1] == pytest.approx(trades["timestamp"][-1].timestamp() * 1e3, abs=1)
    assert sorted(shown["sma"]) == shown["sma"]
    assert shown["marks"]


def test_a_mark_shows_its_record_book_order_and_note(session, boards):
    board = boards(session, strategy=Turns())
    moments = board.run.journal.moments
    number, moment = next((n, each) for n, each in enumerate(moments) if each.fill is not None)
    board.price.figure.on_mark(moment.timestamp + 200, moment.price)

    shown = texts(board)["moment"]
    facts = dict(shown["facts"])
    assert (shown["number"], shown["title"]) == (number, f"{number + 1} of {len(moments)}")
    assert facts["fill"] == f"buy 3 at {moment.price:,.10g}"
    assert facts["note"].startswith("flat, so buy (")
    assert facts["order"].startswith("1: market buy 3, sent ")
    assert shown["book"][1][0][0] == f"{moment.asks[0][0]:,.10g}"
    record = dict(shown["record"])
    assert record["record"] == type(moment.record).__name__
    assert record.get("symbol") == moment.record.symbol  # a row of the status may have none

    board._on_panel({"kind": "moment", "number": len(moments)}, [])
    assert texts(board)["moment"] == {}


def test_a_replay_plays_up_to_the_next_decision_at_its_own_speed_afterwards(session, boards):
    with kr.replay(session, speed=2.0, paused=True) as replay:
        run = kr.paper(Turns(), replay)
        board = boards(run)
        seen = [0]
        for _ in range(3):
            board.next_decision()
            wait_until(lambda: run.on_moment is None, 60)
            assert replay.is_paused
            assert replay.speed == 2.0
            seen.append(len(run.journal.moments))  # a record may bring a fill and a note
            assert texts(board)["moment"]["number"] == seen[-1] - 1
        assert seen == sorted(set(seen))
        board.transport.seek(0.99)
        board.next_decision()
        board._on_panel({"kind": "pause"}, [])
        assert (replay.speed, run.on_moment) == (2.0, None)
        replay.speed = None
        replay.resume()
        replay.wait_until_done(60)
        with pytest.raises(InvalidInput, match="at its end"):
            board.next_decision()
        board.close()
        assert run.ended is None  # the user's own run goes on


def test_a_strategy_begins_with_each_start(exchange, boards):
    board = boards("XBTUSDTM", venue=exchange.venue, strategy=Turns())
    assert board.run is None
    assert "press Start" in board.line
    board.start()
    first = board.run
    wait_until(lambda: len(first.journal.moments) > 2, 60)
    board.stop()
    board.controls.symbol.value = "ETHUSDTM"
    board.start()
    second = board.run

    assert second is not first
    assert first.ended == "it was stopped"
    assert second.source.symbols == ["ETHUSDTM"]
    wait_until(lambda: second.journal.moments, 60)
    assert second.journal.moments[0].position == 0
    assert second.broker.sent[0].size == 3
    board.close()
    assert second.ended == "it was stopped"


def test_another_symbol_leaves_stream_and_recording_as_they_are(exchange, boards, tmp_path):
    board = boards("XBTUSDTM", venue=exchange.venue, root=tmp_path, strategy=Turns())
    stream = board.start()
    recorder = board.record()
    first = board.run
    wait_until(lambda: len(first.journal.moments) > 2, 60)
    board.controls.symbol.value = "ETHUSDTM"
    second = board.run

    assert board.line.endswith("; the strategy begins anew on ETHUSDTM")
    assert board.source is stream
    assert board.is_running
    assert board.recorder is recorder
    assert not recorder.is_closed
    assert first.ended == "it was stopped"
    assert list(second.facts.channels) == ["ETHUSDTM"]
    wait_until(lambda: second.fill_count, 60)
    assert {each.symbol for each in second.journal.moments} == {"ETHUSDTM"}
    wait_until(lambda: texts(board)["account"][6][:2] == ["fills", str(second.fill_count)])
    board.close()
    assert set(kr.load(recorder.path).symbols) == {"XBTUSDTM", "ETHUSDTM"}


def test_a_strategy_with_symbols_of_its_own_goes_on_with_them(exchange, boards):
    board = boards("XBTUSDTM", venue=exchange.venue)
    board.start()
    run = board.paper(Turns(), symbols="XBTUSDTM")
    board.controls.symbol.value = "ETHUSDTM"

    assert board.line.endswith("; the strategy goes on with XBTUSDTM")
    assert board.symbol == "ETHUSDTM"
    assert board.run is run
    assert run.is_running
    wait_until(lambda: run.fill_count, 60)
    assert list(dict(RunRows(run, "ETHUSDTM", ROLES).rows())) == ["equity"]


def test_a_symbol_is_shown_even_if_the_strategy_cannot_begin_on_it(exchange, boards):
    board = boards("XBTUSDTM", venue=exchange.venue)
    stream = board.start()
    board.paper(Turns(), fees={"XBTUSDTM": (0.0, 0.0)})
    board.controls.symbol.value = "ETHUSDTM"

    assert "; no strategy runs on it: fees are of XBTUSDTM" in board.line
    assert (board.symbol, board.run) == ("ETHUSDTM", None)
    assert board.source is stream
    assert "none runs here" in board.lower._words.value


def test_a_strategy_is_replaced_by_another(session, boards):
    board = boards(session)
    board.lower.switch.value = "Strategy"
    assert "none runs here" in board.lower._words.value
    first = board.paper(Turns(), cash=500.0)
    second = board.paper(lambda record, broker: None, cash=700.0)

    assert (first.ended, second.ended) == ("it was stopped", None)
    assert board.run is second
    assert second.records == first.records
    assert texts(board)["account"][3] == ["equity USDT", "700.00", ""]


@pytest.mark.parametrize(
    ("strategy", "options", "sentence"),
    [
        (Turns, {}, "Turns is a class; pass one: Turns()"),
        (5, {}, "wants a strategy"),
        (Turns(), {"latncy": 1}, "did you mean 'latency'"),
        (Turns(), {"cash": -1}, "cash cannot be negative: -1 USDT"),
    ],
)
def test_wrong_strategies_are_refused(session, boards, strategy, options, sentence):
    board = boards("XBTUSDTM", venue="demo")
    with pytest.raises(InvalidInput, match=sentence):
        board.paper(strategy, **options)
    if not options:
        with pytest.raises(InvalidInput, match=sentence):
            boards(session, strategy=strategy)


def test_a_strategy_that_cannot_begin_changes_nothing(session, boards):
    board = boards(session, strategy=Turns())
    run, place = board.run, board.source.position_ns
    with pytest.raises(InvalidInput, match="does not stream 'ETHUSDTM'"):
        board.paper(Turns(), symbols="ETHUSDTM")
    with pytest.raises(InvalidInput, match="is a recording already"):
        board.paper(Turns(), record="here")

    assert board.run is run
    assert run.is_running
    assert board.source.position_ns == place
    assert board.source.recorders == []


def test_a_stream_is_shown_even_if_the_strategy_cannot_run_on_it(exchange, boards, tmp_path):
    board = boards("XBTUSDTM", venue=exchange.venue, root=tmp_path)
    board.paper(Turns(), symbols="XBTUSDTM")
    board.start()
    first = board.run
    board.record()
    with board.controls.quietly():
        board.controls.symbol.value = "ETHUSDTM"
    with pytest.raises(InvalidInput, match="does not stream 'XBTUSDTM'"):
        board.start()

    assert (board.symbol, board.source.symbols) == ("ETHUSDTM", ["ETHUSDTM"])
    assert board.is_running
    assert board.source.recorders
    assert board.run is None
    assert first.ended == "it was stopped"
    assert "none runs here" in board.lower._words.value


def test_a_stream_begins_with_its_strategy_even_if_the_watch_list_cannot_be_streamed(
    exchange, boards
):
    board = boards(["XBTUSDTM", "NO-USDT"], venue=exchange.venue)
    board.paper(Turns())
    with pytest.raises(kr.UnknownSymbol, match="NO-USDT"):
        board.start()
    assert board.run.is_running
    assert board.symbol == "XBTUSDTM"


def test_a_start_names_all_that_has_failed(exchange, boards, tmp_path):
    board = boards(["XBTUSDTM", "NO-USDT"], venue=exchange.venue, root=tmp_path)
    board.paper(Turns(), symbols="SOLUSDTM")
    board.controls.start.click()

    assert "'NO-USDT'" in board.line
    assert "does not stream 'SOLUSDTM'" in board.line
    assert board.is_running

    board.record()
    board.controls.folder.value = str(tmp_path / "file" / "below")
    (tmp_path / "file").write_text("")
    with pytest.raises(kr.KucoinResearchError) as raised:
        board.start()

    for each in ("'NO-USDT'", "does not stream 'SOLUSDTM'", "below"):
        assert each in str(raised.value)
    assert not board.controls.record.value


def test_a_symbol_that_the_run_does_not_trade_has_no_position(session):
    with kr.replay(session, paused=True) as replay:
        run = kr.paper(Turns(), replay)
        replay.step(50)
        account = RunTexts(run, "ETHUSDTM", Zone()).texts()["account"]
    assert account[0] == ["position", "–", ""]
    assert account[3][0] == "equity USDT"


def test_a_note_of_any_text_is_shown_and_kept(session, boards):
    words = iter(["half \ud800 a pair", 5, "long " * 100_000])

    def says(record, broker):
        if broker.best().mid is not None and (word := next(words, None)) is not None:
            broker.note(word)
            broker.buy(1, tag="\udc00")

    with kr.replay(session, speed=None, paused=True) as replay:
        run = kr.paper(says, replay)
        board = boards(run)
        replay.seek(replay.end_ns)
        notes = [row for row in texts(board)["decisions"].rows if row[2] == "note"]
        assert [len(each[-1]) for each in notes] == [len("half ? a pair"), 1, 201]
        board._on_panel({"kind": "moment", "number": int(notes[-1][0])}, [])
        assert len(dict(texts(board)["moment"]["facts"])["note"]) == 20_001
        (marks,) = (each for each in board.price.figure.figure().data if each.name == "notes")
        assert len(marks.x) == 3
        result = run.result()
        assert result.notes["text"][0] == "half ? a pair"
        assert result.notes["text"][2] == "long " * 100_000
        assert set(result.orders["tag"]) == {"?"}


def test_coins_of_the_start_are_a_position_and_the_end_is_that_of_the_result(exchange, boards):
    def sells(record, broker):
        if broker.best().mid is not None and not broker.sent:
            broker.sell(0.1)

    with kr.stream("BTC-USDT", ["ticker", "trade"], venue=exchange.venue) as stream:
        run = kr.paper(sells, stream, cash={"USDT": 5_000, "BTC": 0.5})
        board = boards(run)
        wait_until(lambda: run.fill_count, 60)
        result = run.stop()
    equity, position = board.lower.figure.figure().data
    assert position.y[0] == 0.5
    assert position.y[-1] == result.fills["position_after"][-1] < 0.5
    assert equity.y[0] == run.initial_equity
    assert equity.y[-1] == result.equity["equity"][-1]


def test_a_play_to_the_next_decision_ends_with_the_strategy(session, boards):
    def ends(record, broker):
        if run.records == 20:
            raise StopStrategy("enough")

    with kr.replay(session, speed=2.0, paused=True) as replay:
        run = kr.paper(ends, replay)
        board = boards(run)
        board.next_decision()
        wait_until(lambda: run.on_moment is None, 60)
        assert (replay.state, replay.speed, run.records) == ("paused", 2.0, 21)
        with pytest.raises(InvalidInput, match="no strategy is running"):
            board.next_decision()


def test_two_dashboards_of_a_run_play_to_its_next_decision(session, boards):
    with kr.replay(session, speed=2.0, paused=True) as replay:
        run = kr.paper(lambda record, broker: None, replay)
        one, other = boards(run), boards(run)
        may_go_on = threading.Event()
        replay.attach(lambda _: may_go_on.wait(60) and None)
        one.next_decision()
        other.next_decision()
        assert replay.speed is None
        one._on_panel({"kind": "speed", "speed": "max"}, [])  # the other one plays on
        assert run.on_moment is other._desk._stop
        other._desk.disarm()
        assert replay.speed == 2.0
        may_go_on.set()


def test_a_replay_is_needed_for_the_next_decision(boards):
    with pytest.raises(InvalidInput, match="only a replay"):
        boards("XBTUSDTM", venue="demo").next_decision()


def test_a_strategy_that_raises_says_so(session, boards):
    def broken(record, broker):
        raise ZeroDivisionError("a mistake of mine")

    board = boards(session, strategy=broken)
    assert texts(board)["run"][1] == (
        "1 records · ended: the strategy raised ZeroDivisionError: a mistake of mine"
    )


def test_texts_do_not_wait_for_a_strategy_that_takes_long(session):
    with kr.replay(session, paused=True) as replay:
        run = kr.paper(Turns(), replay)
        replay.step(50)
        shown = RunTexts(run, "XBTUSDTM", Zone())
        before = shown.texts()["account"]
        is_held, may_end = threading.Event(), threading.Event()

        def hold():
            with run.lock:
                is_held.set()
                may_end.wait(60)

        thread = threading.Thread(target=hold)
        thread.start()
        is_held.wait(60)
        assert shown.texts()["account"] == before
        may_end.set()
        thread.join()


def test_rows_come_once_and_anew_behind_a_rewind(session):
    with kr.replay(session, speed=None, paused=True) as replay:
        run = kr.paper(Turns(), replay)
        rows = RunRows(run, "XBTUSDTM", ROLES)
        other = RunRows(run, "ETHUSDTM", ROLES)
        assert not rows.has_news()
        replay.step(150)
        early = dict(rows.rows())
        assert not rows.has_news()
        replay.resume()
        replay.wait_until_done(60)
        late = dict(rows.rows())
        result = run.result()
        fills = pl.concat([early["fills"], late["fills"]])
        assert fills.select("price", "size", "side").equals(
            result.fills.select("price", "size", pl.col("side").cast(pl.String))
        )
        assert early["notes"].height + late["notes"].height == result.notes.height
        assert list(dict(other.rows())) == ["equity"]

        replay.pause()
        replay.seek(replay.start_ns)
        assert rows.has_news()
        with pytest.raises(Rewound):
            list(rows.rows())
        rows.restart()
        replay.step(150)
        again = dict(rows.rows())
        assert again["fills"].equals(early["fills"])
        assert again["notes"].equals(early["notes"])
