"""The dashboard without a browser: its controls, its messages, and when it sends them."""

import json
import sys
import threading

import pytest

import kucoin_research as kr
from kucoin_research import figures
from kucoin_research.dashboards import Colour, Dashboard, stream_starter
from kucoin_research.dashboards.ladder_table import LadderTable
from kucoin_research.figures import notebook_cells
from kucoin_research.figures.history_rows import HistoryRows
from kucoin_research.figures.past import Want
from tests.conftest import wait_until
from tests.exchanges import simulate
from tests.processes import PATIENCE, run

# One thread of the process draws all figures, in the machine's time.
REAL_TIME = True


@pytest.fixture
def make(exchange):
    """Make dashboards whose messages are kept in ``.sent``, and close them."""
    made = []

    def board(source="XBTUSDTM", **options) -> Dashboard:
        found = kr.dashboard(source, **{"venue": exchange.venue, **options})
        found.sent = []
        found.panel.send = lambda content, buffers=None: found.sent.append(content)
        made.append(found)
        return found

    yield board
    for each in made:
        each.close()


@pytest.fixture
def stream(exchange):
    with kr.stream("XBTUSDTM", ["ticker", "trade", "level2"], venue=exchange.venue) as running:
        running.wait("trade", rows=5)
        yield running


def show(board):
    getattr(board, "panel", board)._on_message(None, {"kind": "view", "visible": True}, [])


def drawn(panel, number):
    panel._on_message(None, {"kind": "drawn", "seq": number, "ms": 1}, [])


def answer(board):
    texts = [each for each in board.sent if each["kind"] == "texts"]  # no beats
    for message in texts[-2:]:
        drawn(board.panel, message["seq"])


def texts(board):
    """Give all that the browser has been told by now."""
    told = {}
    for message in list(board.sent):
        told.update(message.get("texts", {}))
    return told


def tiles(board):
    """Give what has read the market for the tiles."""
    return board._refresh.readers.tiles


def told(board, name, condition=bool):
    wait_until(lambda: answer(board) or condition(texts(board).get(name)))
    return texts(board)[name]


def threads():
    return sorted(each.name for each in threading.enumerate())


# -- health ----------------------------------------------------------------------------------------


def test_the_badge_turns_red_when_the_exchange_is_gone_and_says_so(make):
    with simulate(seed=5, speed=30.0) as gone:
        board = make(venue=gone.venue, start=True)
        board.source.wait("trade", rows=5)
        assert board.health.colour is Colour.GREEN

    wait_until(lambda: board.health.colour is Colour.RED)
    assert "no connection for" in board.health.reasons[0]
    board.stop()
    assert board.health.colour is Colour.GREY


def test_the_badge_turns_amber_when_rows_are_lost_and_when_a_topic_falls_silent(make):
    with simulate(seed=5, speed=30.0) as x:
        board = make(venue=x.venue, channels=["ticker", "trade", "level2"], start=True)
        board.source.wait("trade", rows=150, timeout=60)  # so that its beat is known

        x.inject("drop", topic="/contractMarket/level2:XBTUSDTM", count=20)
        wait_until(lambda: "1 gap in the last minute" in str(board.health))
        assert board.health.colour is Colour.AMBER

        x.inject("stall", topic="/contractMarket/execution:XBTUSDTM")
        wait_until(lambda: "a topic was silent for" in str(board.health), timeout=60)
        board.close()


# -- controls --------------------------------------------------------------------------------------


def test_nothing_streams_before_start_is_pressed(make):
    board = make()

    assert not board.is_running
    assert not kr.running()
    assert board.controls.stop.disabled
    assert board.controls.record.disabled
    assert board.health.colour is Colour.GREY


def test_charts_of_a_stream_begin_with_history_until_the_dashboard_is_closed(make):
    board = make(start=True)
    board.source.wait("trade", rows=5)
    picture = board.price.figure._picture()  # as a page would see it

    wait_until(lambda: picture.frame(0.0) and picture._feed.seam.live_ns)

    past = board._histories.of(board.source, "XBTUSDTM")
    first = board.source.frame("trade")["sequence"][0]
    assert past.trades["sequence"][0] < first
    board.close()
    assert not past.ask([Want()])


def test_history_can_be_switched_off(make):
    board = make(start=True, history=False)

    assert not isinstance(board.price.figure._feed(), HistoryRows)
    with pytest.raises(kr.InvalidInput, match="history must be True or False"):
        make(history="no")


def test_the_symbol_box_offers_the_active_list(make, exchange):
    board = make()

    assert list(board.controls.symbol.options) == kr.get_active_symbols(venue=exchange.venue)


def test_own_orders_and_position_are_shown_by_themselves_where_there_is_a_key(make, exchange):
    me, account = exchange.credentials, exchange.demo_account
    channels = ["ticker", "depth50", "order", "fill", "position"]
    with kr.stream("XBTUSDTM", channels, venue=exchange.venue, credentials=me) as stream:
        # Tickers may come before the account's channels are answered.
        assert stream.wait_until_live(PATIENCE)
        price = round(0.99 * stream.wait("ticker", timeout=PATIENCE)["price"][-1])
        account.place("XBTUSDTM", "buy", 3, price=price)
        account.place("XBTUSDTM", "buy", 2)
        board = make(stream)
        show(board)
        orders = told(board, "own:orders")
        facts = told(board, "own:facts", lambda all_: all_ and len(all_) > 3)
        figure = board.price.figure.figure()
        wait_until(lambda: answer(board) or board.book.figure.own == {price: 3.0})
        account.cancel_all()
        told(board, "own:orders", lambda rows: rows == [])
        wait_until(lambda: answer(board) or board.book.figure.own == {})
        account.place("XBTUSDTM", "sell", 2)

    assert orders[0][:4] == ["buy", f"{price:,}", "3", "0"]
    assert facts[0][1].startswith("long ")
    assert texts(board)["own"][1].startswith("orders placed before 20")
    assert any((each.label.text or "").startswith("▲ buy 3 at ") for each in figure.layout.shapes)
    assert {"bought", "sold"} <= {each.name for each in figure.data}
    shown = json.dumps(board.sent) + figure.to_json()
    assert not [each for each in (me.secret, me.passphrase) if each in shown]


def test_without_a_key_there_is_nothing_of_an_account(make, stream):
    board = make(stream)
    show(board)

    told(board, "tape", lambda tape: tape)
    assert texts(board)["own"] is None
    assert not [name for name in texts(board) if name.startswith("own:")]
    assert "bought" not in {each.name for each in board.price.figure.figure().data}


def test_start_and_stop(make):
    board = make()
    board.controls.start.click()
    board.source.wait("trade", rows=3)

    assert [each.state for each in kr.running()] == ["live"]
    assert board.controls.start.disabled
    assert not board.controls.stop.disabled

    board.controls.stop.click()

    assert not kr.running()
    assert board.line == "stopped"
    assert not board.controls.start.disabled
    assert board.source.frame("trade").height >= 3  # the charts stay


def test_symbols_of_the_stopped_stream_are_shown_again(make):
    board = make(start=True)
    stopped = board.source
    stopped.wait("trade", rows=5)
    board.controls.symbol.value = "ETHUSDTM"
    board.controls.market.value = "spot"
    board.stop()
    board.controls.symbol.value = "ETH-USDT"
    assert str(board.source.state) == "idle"
    assert board.line == "press Start to stream ETH-USDT"

    board.controls.market.value = "futures"

    assert (board.source, board.symbol) == (stopped, "XBTUSDTM")
    assert board.book.figure._reader._tail.source is stopped
    assert board.health.colour is Colour.GREY
    assert board.line == ("XBTUSDTM as it was when the stream stopped; press Start to stream it")
    board.controls.symbol.value = "eth"
    assert (board.source, board.symbol) == (stopped, "ETHUSDTM")
    board.start()
    assert streamed(board) == {(each, "ETHUSDTM") for each in ("ticker", "trade", "depth50")}


def streamed(board):
    return {(str(each.channel), each.symbol) for each in board.source.subscriptions}


def test_another_symbol_comes_on_the_same_stream_and_the_first_goes_on_behind(make):
    board = make(start=True)
    running, figure = board.source, board.price.figure
    running.wait("trade", rows=5)

    board.controls.symbol.value = "ETHUSDTM"

    assert board.symbol == "ETHUSDTM"
    assert board.source is running
    assert {symbol for _, symbol in streamed(board)} == {"XBTUSDTM", "ETHUSDTM"}
    assert board.price.figure is figure
    assert figure.symbol == "ETHUSDTM"
    assert board.line == "streaming ETHUSDTM: ticker, trade, depth50; XBTUSDTM goes on behind"
    wait_until(lambda: running.frame("trade", "ETHUSDTM").height > 2)
    before = running.frame("trade", "XBTUSDTM").height

    board.controls.symbol.value = "XBTUSDTM"

    assert board.symbol == "XBTUSDTM"
    assert running.frame("trade", "XBTUSDTM").height >= before >= 5
    assert running.report().gaps == 0
    assert len(kr.running()) == 1


def choose_each(board, symbols):
    for symbol in symbols:
        board.controls.symbol.value = symbol


def test_of_many_symbols_the_last_four_go_on_and_a_recording_keeps_them_all(make, tmp_path):
    board = make(start=True, channels=["ticker"], root=tmp_path)
    running = board.source
    running.wait("ticker", rows=3)
    symbols = ["XBTUSDTM", *kr.get_active_symbols(venue=running.rest.venue)][:6]
    symbols = list(dict.fromkeys(symbols))[:5]
    choose_each(board, symbols[1:])

    assert {symbol for _, symbol in streamed(board)} == set(symbols[1:])
    assert board.line.endswith("; XBTUSDTM no longer (4 at most)")
    assert running.frame("ticker", "XBTUSDTM").height >= 3

    recorder = board.record()
    choose_each(board, symbols)
    assert {symbol for _, symbol in streamed(board)} == set(symbols)
    board.controls.channels["trade"].value = True
    running.wait("trade", rows=10)
    assert board.recorder is recorder
    board.stop()
    session = kr.load(recorder.path)

    assert set(session.symbols) == set(symbols)
    assert set(session.channels) == {"ticker", "trade"}
    assert len(list(tmp_path.iterdir())) == 1
    assert kr.verify(recorder.path).ok


def test_a_chip_ends_a_channel_and_brings_it_back_with_its_rows(make):
    board = make(start=True)
    running, chip = board.source, board.controls.channels["ticker"]
    running.wait("ticker", rows=5)
    board.controls.symbol.value = "ETHUSDTM"

    chip.value = False

    assert "ticker" not in {channel for channel, _ in streamed(board)}
    assert board.line == "streaming ETHUSDTM: trade, depth50; XBTUSDTM goes on behind"
    kept = running.frame("ticker").height
    assert kept >= 5
    assert board.price.figure is not None
    assert "ticker" not in board.price.figure._channels.values()
    chip.value = True
    running.wait("ticker", rows=kept + 3)
    assert board.source is running
    assert [gap.cause for gap in running.report().channel("ticker", "XBTUSDTM").gaps] == [
        "unsubscribed"
    ]
    wait_until(lambda: board.health.colour is Colour.GREEN)  # it was wanted so


def test_a_press_that_the_exchange_refuses_leaves_all_as_it_was(make):
    with simulate(seed=5, speed=30.0, max_topics=3) as x:
        board = make(venue=x.venue, start=True)
        running = board.source
        running.wait("trade", rows=3)
        before = streamed(board)

        board.controls.channels["mark_price"].value = True
        assert not board.controls.channels["mark_price"].value
        assert "exceed max subscription" in board.line
        assert "\n" not in board.line
        board.controls.symbol.value = "ETHUSDTM"
        assert board.controls.symbol.value == board.symbol == "XBTUSDTM"
        assert "kr-wrong" not in board.controls.symbol._dom_classes
        assert streamed(board) == before
        assert board.source is running
        assert board.health.colour is Colour.GREEN

        for name in ("ticker", "trade", "depth50"):
            board.controls.channels[name].value = False
        assert board.controls.chosen == ["depth50"]
        assert board.line == "no channel is switched on"
        assert streamed(board) == {("depth50", "XBTUSDTM")}
        board.close()


def test_a_wrong_symbol_is_one_clear_sentence_and_what_runs_goes_on(make):
    board = make(start=True)
    running = board.source

    board.controls.symbol.value = "XBTUSDTX"

    assert "XBTUSDTM" in board.line
    assert "\n" not in board.line
    assert "kr-wrong" in board.controls.symbol._dom_classes
    assert board.source is running
    assert not running.stopping.is_set()

    board.controls.symbol.value = "XBTUSDTM"
    assert "kr-wrong" not in board.controls.symbol._dom_classes
    assert board.line == "streaming XBTUSDTM: ticker, trade, depth50"


def test_a_wrong_symbol_is_told_before_start_as_well(make):
    board = make()

    board.controls.symbol.value = "XBTUSDTN"

    assert "XBTUSDTM" in board.line
    assert "kr-wrong" in board.controls.symbol._dom_classes
    board.controls.start.click()
    assert not kr.running()
    board.controls.symbol.value = "btc"
    assert board.line == "press Start to stream XBTUSDTM"


def test_a_coin_in_the_symbol_box_means_its_usual_contract(make):
    board = make()

    board.controls.symbol.value = " sol"

    assert board.symbol == board.controls.symbol.value == "SOLUSDTM"
    assert board.line == "press Start to stream SOLUSDTM"
    board.start()
    board.controls.symbol.value = "btc"
    assert board.symbol == board.controls.symbol.value == "XBTUSDTM"
    assert {symbol for _, symbol in streamed(board)} == {"SOLUSDTM", "XBTUSDTM"}


def test_of_several_symbols_that_fit_the_user_chooses(make):
    board = make()

    board.controls.symbol.value = "s"

    assert board.symbol == "XBTUSDTM"
    assert board.line == "2 symbols fit 's': SOLUSDTM, SHIBUSDTM; type one of them"
    assert board.controls.symbol.options[:2] == ("SOLUSDTM", "SHIBUSDTM")
    assert "kr-wrong" in board.controls.symbol._dom_classes
    board.controls.symbol.value = "sh"
    assert board.symbol == "SHIBUSDTM"
    assert "kr-wrong" not in board.controls.symbol._dom_classes


def test_a_few_letters_choose_among_the_symbols_of_a_source(make, exchange):
    with kr.stream(["XBTUSDTM", "ETHUSDTM"], "ticker", venue=exchange.venue) as running:
        board = make(running)

        board.controls.symbol.value = "eth"
        assert board.symbol == "ETHUSDTM"
        board.controls.symbol.value = "SOL"
        assert "symbol 'SOL' is not streamed here" in board.line
        board.controls.symbol.value = "eth"
        assert board.line == ""


def test_start_from_a_cell_raises(make):
    board = make("XBTUSDTN")

    with pytest.raises(kr.UnknownSymbol, match="XBTUSDTM"):
        board.start()


def test_the_other_market_brings_its_list_and_a_symbol_of_its_own(make, exchange):
    board = make(start=True)

    board.controls.market.value = "spot"

    assert board.symbol == "BTC-USDT"
    assert list(board.controls.symbol.options) == kr.get_active_symbols(
        "spot", venue=exchange.venue
    )
    assert {symbol for _, symbol in streamed(board)} == {"XBTUSDTM", "BTC-USDT"}
    assert len(kr.running()) == 1
    board.controls.channels["funding_rate"].value = True  # of the futures that go on behind
    assert {symbol for channel, symbol in streamed(board) if channel == "funding_rate"} == {
        "XBTUSDTM"
    }
    board.controls.market.value = "futures"
    assert board.symbol == "XBTUSDTM"
    board.source.wait("trade", rows=5)
    assert board.source.report().gaps == 0


def test_the_last_channel_that_the_market_has_cannot_be_switched_off(make):
    board = make(start=True, channels=["ticker"])
    chips = board.controls.channels
    board.controls.market.value = "spot"
    chips["funding_rate"].value = True
    before = streamed(board)

    chips["ticker"].value = False

    assert chips["ticker"].value
    assert streamed(board) == before
    assert board.line == (
        "nothing would stream BTC-USDT: funding_rate is not on spot; "
        "switch on another channel first"
    )


def test_a_market_that_has_none_of_the_channels_is_not_changed_to(make):
    board = make(start=True, channels=["funding_rate"])

    board.controls.market.value = "spot"

    assert (board.controls.market.value, board.symbol) == ("futures", "XBTUSDTM")
    assert "nothing would stream BTC-USDT" in board.line
    assert streamed(board) == {("funding_rate", "XBTUSDTM")}


def test_a_start_on_spot_leaves_out_what_spot_lacks(make):
    board = make("BTC-USDT", channels=["ticker", "funding_rate"], start=True)

    assert streamed(board) == {("ticker", "BTC-USDT")}
    assert board.line == "streaming BTC-USDT: ticker; funding_rate is not on spot"


def test_channels_are_switched_with_chips(make):
    board = make(start=True)

    board.controls.channels["mark_price"].value = True

    streamed = {str(each.channel) for each in board.source.subscriptions}
    assert streamed == {"ticker", "trade", "depth50", "mark_price"}
    assert len(kr.running()) == 1


def test_a_chart_without_its_channel_says_which_one_it_needs(make):
    board = make(start=True)

    board.lower.switch.value = "Mark"
    assert "mark_price" in board.lower._words.value
    assert board.lower.figure is None

    board.controls.channels["mark_price"].value = True
    assert board.lower.figure is not None


@pytest.mark.parametrize("chart", ["Candles", "Flow"])
def test_a_chart_of_volumes_is_not_made_of_tickers(make, chart):
    board = make(start=True, channels=["ticker"])

    board.lower.switch.value = chart
    assert "needs one of the channels" in board.lower._words.value
    assert board.lower.figure is None

    board.controls.channels["trade"].value = True
    assert board.lower.figure is not None


def test_without_any_channel_start_says_so(make):
    board = make(channels="ticker")

    board.controls.channels["ticker"].value = False
    board.controls.start.click()

    assert board.line == "no channel is switched on"


def test_the_candle_interval_goes_to_the_channel_and_to_the_chart(make):
    board = make(channels=["ticker", "candle"])
    board.controls.interval.value = "5min"

    board.start()

    assert "candle:5min" in {str(each.channel) for each in board.source.subscriptions}
    assert board.lower.figure._sketch.options["every"] == "5min"
    running = board.source
    wait_until(lambda: running.total("candle:5min") > 1)

    board.controls.interval.value = "15min"

    assert board.source is running
    assert streamed(board) == {("ticker", "XBTUSDTM"), ("candle:15min", "XBTUSDTM")}
    assert board.lower.figure._channels == {"candles": "candle:15min"}
    assert running.frame("candle:5min").height > 1
    board.controls.interval.value = "5s"  # the exchange has no such candles
    assert streamed(board) == {("ticker", "XBTUSDTM"), ("candle:1min", "XBTUSDTM")}


def test_the_candles_on_screen_stay_when_the_channel_of_candles_begins(make):
    board = make(start=True)
    board.lower.switch.value = "Candles"
    board.source.wait("trade", rows=20)

    board.controls.channels["candle"].value = True
    board.source.wait("candle", rows=1)
    board.controls.window.value = "1 min"  # which chooses anew

    assert ("candle:1min", "XBTUSDTM") in streamed(board)
    assert board.lower.figure._channels == {"candles": "trade"}


def test_the_window_goes_to_charts_and_tiles(make):
    board = make()

    board.controls.window.value = "1 min"
    assert board.price.figure.window == 60.0

    board.controls.window.value = "all"
    assert board.price.figure.window is None


def test_sizes_are_shown_in_the_unit_that_is_chosen_and_each_label_names_it(make):
    board = make(start=True)
    board.source.wait("depth50", rows=1)
    unit = board.controls.unit
    assert [label for label, _ in unit.options] == ["contracts", "XBT", "USDT"]
    assert not unit.disabled
    show(board)
    assert told(board, "unit") == "contracts"

    unit.value = "coins"

    assert told(board, "unit", lambda name: name == "XBT")
    assert told(board, "labels", lambda all_: all_["volume"].endswith(" XBT"))
    assert "XBT" in texts(board)["tips"]["volume"]
    board.book.switch.value = "Depth"
    title = board.book.figure.spec["layout"]["yaxis"]["title"]["text"]
    assert title == "cumulative size, XBT"
    hover = board.book.figure.spec["data"][0]["hovertemplate"]
    assert "worth %{customdata[3]:,.4~f} USDT" in hover


def test_all_charts_with_sizes_follow_the_switch_in_their_place(make):
    board = make(start=True)
    price, lower = board.price.figure, board.lower.figure

    def hover(figure, trace):
        return figure.spec["data"][trace]["hovertemplate"]

    # The exchange's own unit is named by the axis only.
    for wanted, name, word in (
        ("quote", "USDT", " USDT"), ("coins", "XBT", " XBT"), ("contracts", "contracts", ""),
    ):  # fmt: skip
        board.controls.unit.value = wanted
        assert f"r}}{word} at %{{y:" in hover(price, 4)
        assert hover(lower, 2).endswith(f"r}}{word}<extra></extra>")
        assert lower.spec["layout"]["yaxis2"]["title"]["text"] == f"volume,<br>{name}"
    assert (board.price.figure, board.lower.figure) == (price, lower)

    board.controls.unit.value = "quote"
    board.lower.switch.value = "Flow"
    assert hover(board.lower.figure, 0) == "delta %{y:+,.9~r} USDT<extra></extra>"
    board.lower.switch.value = "Heat map"
    assert " USDT at " in hover(board.lower.figure, 0)
    board.book.switch.value = "Levels"
    assert " USDT at " in hover(board.book.figure, 0)


def test_the_unit_that_was_chosen_stays_chosen_where_a_symbol_lacks_it_for_a_while(make):
    board = make(start=True)
    board.controls.unit.value = "contracts"
    board.controls.unit.value = "quote"

    board.controls.market.value = "spot"
    assert [label for label, _ in board.controls.unit.options] == ["BTC", "USDT"]
    assert board.controls.unit.value == "quote"
    board.controls.unit.value = "coins"
    board.controls.market.value = "futures"

    assert board.controls.unit.value == "coins"
    assert board.controls.unit_wanted == "coins"


def test_where_the_worth_of_a_contract_is_not_known_the_switch_says_why(make):
    board = make()
    unit = board.controls.unit

    assert unit.disabled
    assert "press Start" in unit.tooltip

    board.start()
    assert not unit.disabled
    assert "own price" in unit.tooltip


def test_the_place_of_the_book_shows_numbers_bars_or_depth(make):
    board = make(start=True)
    ladder = board.book.figure
    assert isinstance(ladder, LadderTable)
    assert ladder.symbol == "XBTUSDTM"

    board.freeze()
    assert ladder.is_frozen
    board.book.switch.value = "Levels"
    assert board.book.figure.is_frozen
    assert ladder.comm is None
    board.book.switch.value = "Ladder"

    assert isinstance(board.book.figure, LadderTable)
    assert board.book.figure.is_frozen
    assert board.book.error is None


def test_own_orders_stay_in_the_ladder_when_another_chart_was_shown_meanwhile(make):
    board = make()

    board.book.show_own({100.0: 2.0})
    assert board.book.figure.own == {100.0: 2.0}
    board.book.switch.value = "Depth"
    board.book.switch.value = "Ladder"

    assert board.book.figure.own == {100.0: 2.0}


def test_recording_goes_to_the_folder_shown_and_ends_with_stop(make, tmp_path):
    board = make(start=True, root=tmp_path / "here")
    board.controls.record.value = True
    recorder = board.recorder
    wait_until(lambda: recorder.rows > 10)
    assert board._refresh.look().recorded > 0

    board.controls.stop.click()

    assert recorder.is_closed
    assert not board.controls.record.value
    assert f"recorded {recorder.rows:,} rows" in board.line
    assert kr.load(recorder.path).frame("trade").height > 0


def test_recording_goes_on_when_the_symbol_is_switched(make, tmp_path):
    board = make(start=True, root=tmp_path)
    board.controls.record.value = True
    first = board.recorder

    board.controls.symbol.value = "ETHUSDTM"

    assert board.recorder is first
    assert not first.is_closed
    assert board.controls.record.value
    wait_until(lambda: board.source.frame("trade", "ETHUSDTM").height > 3)
    board.controls.symbol.value = "XBTUSDTM"
    board.stop()
    assert kr.load(first.path).symbols == ["XBTUSDTM", "ETHUSDTM"]


def test_a_folder_that_cannot_be_made_is_told_in_the_line(make, tmp_path):
    (tmp_path / "file").write_text("")
    board = make(start=True, root=tmp_path)
    board.controls.folder.value = str(tmp_path / "file" / "below")  # as a user types it

    board.controls.record.value = True

    assert "below" in board.line
    assert not board.controls.record.value


def test_it_goes_on_also_where_the_old_recording_has_ended_by_then(make, tmp_path, monkeypatch):
    board = make(start=True, root=str(tmp_path), channels=["ticker"])
    first = board.record()

    def slow(*arguments, **options):
        made = kr.stream(*arguments, **options)  # which stops the stream of the same name
        wait_until(lambda: first.is_closed)
        return made

    monkeypatch.setattr(stream_starter.streams, "stream", slow)
    with board.controls.quietly():
        board.controls.symbol.value = "ETHUSDTM"
    board.start()

    assert not board.recorder.is_closed
    assert "ETHUSDTM" in board.recorder.path.name


def test_record_without_a_stream_says_what_to_do(make):
    board = make()

    with pytest.raises(kr.InvalidInput, match="press Start first"):
        board.record()


def test_an_unexpected_error_of_a_button_is_told_in_the_page(make, monkeypatch):
    board = make()
    monkeypatch.setattr(stream_starter.streams, "stream", lambda *_, **__: 1 / 0)

    board.controls.start.click()

    assert board.line == "unexpected ZeroDivisionError: division by zero"


def test_a_list_that_cannot_be_read_is_told_and_the_dashboard_is_there(make):
    board = make(venue=kr.Venue("http://127.0.0.1:9", "http://127.0.0.1:9"))

    assert "the list of symbols could not be read" in board.line


# -- what is sent ----------------------------------------------------------------------------------


def test_nothing_is_sent_before_anybody_looks(make):
    board = make(start=True)
    board.source.wait("trade", rows=5)
    calls = board._refresh.ticket.calls
    wait_until(lambda: board._refresh.ticket.calls > calls + 1)

    assert not board.sent


def test_tiles_tape_and_badge_are_told(make):
    board = make(start=True)
    board.source.wait("trade", rows=20)
    show(board)

    price = float(told(board, "tile:last", lambda v: v and v[0] != "–")[0].replace(",", ""))
    trades = board.source.frame("trade")["price"]
    assert trades.min() <= price <= trades.max()
    assert told(board, "badge", lambda v: v and v[1] == "live")[0] in ("green", "amber")
    assert len(texts(board)["tape"].get("all") or texts(board)["tape"]["add"]) > 0
    assert texts(board)["name"] == ["XBTUSDTM", "futures · simulated"]


def test_the_tape_is_filtered_by_size_also_while_it_is_frozen(make):
    board = make(start=True)
    board.source.wait("trade", rows=20)
    show(board)
    told(board, "tape")
    board.freeze()
    before = tiles(board).trades
    largest = board.source.frame("trade")["size"][:before].max()

    board.panel._on_message(None, {"kind": "least", "size": largest}, [])

    least, passed, seen = told(board, "tape:filter", lambda each: each[0] == largest)
    assert (least, seen) == (largest, before)
    assert len(texts(board)["tape"]["all"]) == min(passed, 40)
    board.freeze(is_frozen=False)
    board.controls.window.value = "1 min"  # other readers, with the filter of before
    assert told(board, "tape:filter", lambda each: each[2] > before)[0] == largest


@pytest.mark.parametrize("size", [-1, None, "much"])
def test_a_wrong_size_for_the_tape_is_refused_in_words(make, size):
    board = make()

    board.panel._on_message(None, {"kind": "least", "size": size}, [])

    assert "the size in the tape must be a number from 0 on" in board._refresh.line[0]
    assert tiles(board).prints.least == 0.0


def test_a_page_that_opens_again_is_told_everything(make):
    board = make(start=True)
    board.source.wait("trade", rows=5)
    show(board)
    told(board, "tape")
    board.sent.clear()

    board.panel._on_message(None, {"kind": "hello"}, [])

    assert "all" in told(board, "tape")
    assert told(board, "name")


def test_nothing_is_sent_while_it_is_hidden(make):
    board = make(start=True)
    show(board)
    told(board, "tape")
    board.panel._on_message(None, {"kind": "view", "visible": False}, [])
    wait_until(lambda: not board._refresh.ticket.error)
    board.sent.clear()

    seen = board.source.total("trade")
    board.source.wait("trade", rows=seen + 10)
    calls = board._refresh.ticket.calls
    wait_until(lambda: board._refresh.ticket.calls > calls + 1)

    assert not board.sent


def test_a_frozen_dashboard_stands_still_and_its_badge_says_so(make):
    board = make(start=True)
    show(board)
    told(board, "tile:last")

    board.controls.freeze.value = True
    assert told(board, "badge", lambda v: v and v[1] == "frozen")
    assert all(slot.figure.is_frozen for slot in board._slots)
    calls, last = tiles(board).trades, board.source.total("trade")
    board.source.wait("trade", rows=last + 10, timeout=60)
    assert tiles(board).trades == calls

    board.controls.freeze.value = False
    wait_until(lambda: answer(board) or tiles(board).trades > calls)


def test_a_failing_refresh_is_told_in_the_badge_and_the_next_one_is_tried(make):
    board = make(start=True)
    show(board)
    told(board, "tile:last")
    update = tiles(board).update
    tiles(board).update = lambda: 1 / 0

    badge = told(board, "badge", lambda v: v and "ZeroDivisionError" in v[2])
    assert badge[0] == "amber"

    tiles(board).update = update
    assert told(board, "badge", lambda v: v and "ZeroDivisionError" not in v[2])


def test_the_badge_opens_a_histogram_and_a_timeline(stream, make):
    board = make(stream)
    show(board)
    told(board, "badge")
    assert "events" not in texts(board)

    board.panel._on_message(None, {"kind": "view", "visible": True, "open": True}, [])

    events = told(board, "events")
    assert "connected" in {event for _, event, _, _ in events}
    assert texts(board)["hist"] == []  # at thirty times real time a lag means nothing


def test_a_function_that_raises_makes_the_badge_amber_and_its_traceback_is_in_the_drawer(
    stream, make
):
    def strategy(row):
        raise ZeroDivisionError("no price")

    board = make(stream)
    show(board)
    stream.attach(strategy, "trade")

    badge = told(board, "badge", lambda v: v and "strategy" in v[2])
    assert badge[0] == "amber"
    assert "strategy raised ZeroDivisionError: no price; it is called no more" in badge[2]
    assert badge[2].partition(" (and ")[0] in badge[3].splitlines(), "what is told, all of it"
    board.panel._on_message(None, {"kind": "view", "visible": True, "open": True}, [])
    ((_, name, trace),) = told(board, "traces")
    assert name == "strategy"
    assert 'raise ZeroDivisionError("no price")' in trace


def test_the_badge_of_a_replay_names_the_function_that_raised(session, make):
    with kr.replay(session, speed=None, paused=True) as replay:
        board = make(replay)
        show(board)
        replay.attach(lambda _: 1 / 0, "trade")
        replay.resume()

        with pytest.raises(kr.FunctionFailed):
            replay.wait_until_done(20)
        badge = told(board, "badge", lambda v: v and "<lambda> raised ZeroDivisionError" in v[2])
        assert badge[0] == "amber"


# -- what was handed in ----------------------------------------------------------------------------


def test_a_stream_handed_in_is_shown_and_goes_on_after_close(stream, make):
    board = make(stream)

    assert board.symbol == "XBTUSDTM"
    assert board.controls.start.disabled
    assert board.controls.stop.disabled
    assert board.health.word == "live"
    with pytest.raises(kr.InvalidInput, match="handed in"):
        board.start()

    board.close()
    assert not stream.stopping.is_set()


def test_a_recording_of_a_stream_handed_in_ends_with_the_dashboard(stream, make, tmp_path):
    board = make(stream)
    recorder = board.record(tmp_path)

    board.close()

    assert recorder.is_closed
    assert not stream.stopping.is_set()


def test_of_a_stream_of_several_symbols_one_is_chosen(exchange, make):
    with kr.stream(["XBTUSDTM", "ETHUSDTM"], ["ticker", "trade"], venue=exchange.venue) as both:
        assert make(both).symbol == "XBTUSDTM"
        board = make(both, symbol="ETHUSDTM")

        assert list(board.controls.symbol.options) == ["XBTUSDTM", "ETHUSDTM"]
        board.controls.symbol.value = "XBTUSDTM"
        assert board.symbol == "XBTUSDTM"
        board.controls.symbol.value = "SOLUSDTM"
        assert "not streamed here" in board.line
        assert not both.stopping.is_set()


@pytest.mark.parametrize("wrong", [7, {}, object()])
def test_anything_else_is_refused_in_one_sentence(wrong):
    with pytest.raises(kr.InvalidInput, match="a dashboard shows a symbol, a stream"):
        kr.dashboard(wrong)


def test_a_session_is_let_go_where_the_dashboard_cannot_be_made(session):
    with pytest.raises(kr.InvalidInput, match="time zone"):
        kr.dashboard(session, tz="Atlantis")

    assert not kr.running()


def test_a_wrong_number_of_redraws_is_refused_before_anything_is_opened(session, monkeypatch):
    monkeypatch.setenv("KUCOIN_RESEARCH_REDRAWS", "often")

    with pytest.raises(kr.InvalidInput, match="KUCOIN_RESEARCH_REDRAWS='often' in the environment"):
        kr.dashboard(session)

    assert not kr.running()


@pytest.mark.parametrize("options", [{"window": "6 min"}, {"interval": "7s"}])
def test_choices_are_checked(options):
    with pytest.raises(kr.InvalidInput, match="must be one of"):
        kr.dashboard("XBTUSDTM", **options)


# -- the replay bar --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def session(exchange, tmp_path_factory):
    root = tmp_path_factory.mktemp("sessions")
    channels = ["ticker", "trade", "level2"]
    with kr.record("XBTUSDTM", channels, venue=exchange.venue, root=root, progress=False) as run:
        run.stream.wait("trade", rows=150, timeout=30)
        exchange.inject("drop", topic="/contractMarket/level2:XBTUSDTM", count=20)
        wait_until(lambda: run.stream.status.gaps)
        run.stream.wait("trade", rows=250, timeout=30)
    return run.session()


def press_bar(board, **message):
    board.panel._on_message(None, message, [])


def test_a_session_is_shown_with_a_bar_and_ends_with_the_dashboard(session, make):
    board = make(session)
    show(board)

    assert told(board, "bar")["state"] in ("paused", "ended")
    assert len(told(board, "gaps")) >= 1
    assert texts(board)["name"] == ["XBTUSDTM", f"replay of {session.name}"]
    assert len(told(board, "tape")["all"]) > 5

    board.close()
    assert not kr.running()


def test_a_path_is_a_session_too(session, make):
    assert make(session.path).source.session.name == session.name


def test_a_replay_handed_in_is_drawn_by_the_same_charts_and_goes_on_after_close(session, make):
    called = []
    with kr.replay(session, paused=True) as replay:
        replay.attach(called.append, "trade")
        board = make(replay)
        show(board)
        press_bar(board, kind="speed", speed="max")
        press_bar(board, kind="play")
        assert replay.wait_until_done(20)
        told(board, "bar", lambda bar: bar and bar["state"] == "ended")

        wait_until(lambda: answer(board) or tiles(board).trades == replay.total("trade"))
        assert len(called) == session.frame("trade").height  # the strategy had every row
        assert board.book.figure._reader._tail.source is replay

        board.close()
        assert not replay.stopping.is_set()


def test_winding_back_and_forth_keeps_tiles_tape_and_health_in_step(session, make):
    board = make(session)
    show(board)
    press_bar(board, kind="seek", at=1.0)
    last = f"{session.frame('trade')['price'][-1]:,.1f}"
    assert told(board, "tile:last", lambda tile: tile and tile[0] == last)
    assert board.health.vitals.gaps >= 1

    press_bar(board, kind="rewind")
    told(board, "bar", lambda bar: bar and bar["at"] == 0)
    press_bar(board, kind="step")
    press_bar(board, kind="seek", at=0.3)

    wait_until(lambda: answer(board) or tiles(board).trades == board.source.total("trade") > 0)
    assert 0 < tiles(board).trades < session.frame("trade").height
    assert board.health.vitals.gaps == 0


def test_a_press_that_cannot_be_done_is_told_in_the_line(session, make):
    board = make(session)

    press_bar(board, kind="speed", speed="-3")

    assert "speed" in board.line
    assert board.source.speed == 1.0


def test_a_replay_has_nothing_to_start_or_record(session, make):
    board = make(session)

    assert board.controls.start.disabled
    assert board.controls.record.disabled
    with pytest.raises(kr.InvalidInput, match="handed in"):
        board.start()


# -- hygiene ---------------------------------------------------------------------------------------


def test_twenty_runs_of_a_cell_leave_one_stream_and_as_many_threads_as_one(make, monkeypatch):
    run = iter(range(1_000))
    monkeypatch.setattr(stream_starter, "cell_of", lambda: ("cell", "name"))
    monkeypatch.setattr(
        "kucoin_research.figures.notebook_cells.cell_of", lambda: ("cell", str(here[0]))
    )
    here, before = [next(run)], len(figures.refresher())
    make(start=True)
    wait_until(lambda: kr.running()[0].state == "live")
    tickets, running = len(figures.refresher()), threads()

    for _ in range(20):
        here[0] = next(run)
        make(start=True)

    wait_until(lambda: kr.running()[0].state == "live")
    assert len(kr.running()) == 1
    assert len(figures.refresher()) == tickets == before + 4
    wait_until(lambda: len(threads()) == len(running))


def test_a_cell_that_is_run_again_says_what_its_recording_has_kept(make, monkeypatch, tmp_path):
    here = ["first"]
    monkeypatch.setattr(
        "kucoin_research.figures.notebook_cells.cell_of", lambda: ("a cell", here[0])
    )
    recorder = make(start=True, root=tmp_path).record()
    wait_until(lambda: recorder.rows > 10)

    here[0] = "second"
    again = make()

    assert recorder.is_closed
    assert again.line.startswith(f"recorded {recorder.rows:,} rows (")
    assert str(recorder.path) in again.line
    again.start()
    assert f"depth50; recorded {recorder.rows:,} rows (" in again.line
    here[0] = "third"
    with pytest.raises(kr.InvalidInput, match="time zone") as kept:
        make(tz="Atlantis")
    here[0] = "fourth"
    assert "recorded" not in make(start=True).line
    assert kept  # with it what was made of the third


@pytest.fixture
def cell(monkeypatch):
    """Run cells: ``cell("name", "run")`` tells what is made from then on which one runs."""
    here = []
    monkeypatch.setattr(notebook_cells, "_cells", {})

    def begin(name, run_of_it):
        here[:] = [(name, run_of_it)]

    for module in ("figures.notebook_cells", "dashboards.stream_starter"):
        monkeypatch.setattr(f"kucoin_research.{module}.cell_of", lambda: here[0])
    return begin


def names_of_streams():
    return [each.name for each in kr.running()]


def test_two_dashboards_of_a_cell_stream_and_record_side_by_side(make, cell, tmp_path):
    cell("a cell", "first")
    one = make(start=True, root=tmp_path)
    recorder = one.record()
    two = make("ETHUSDTM", start=True)

    assert names_of_streams() == ["dashboard a cell", "dashboard a cell 2"]
    assert one.is_running
    assert two.is_running
    rows = recorder.rows
    wait_until(lambda: recorder.rows > rows)


def test_running_their_cell_again_replaces_each_by_the_one_in_its_place(make, cell, tmp_path):
    def both():
        return [make(each, start=True, root=tmp_path) for each in ("XBTUSDTM", "ETHUSDTM")]

    cell("a cell", "first")
    before = both()
    for board, condition in zip(before, ("price > 1", "spread > 3 bp"), strict=True):
        board.panel._on_message(None, {"kind": "alert", "text": condition}, [])
        recorder = board.record()
        wait_until(lambda recorder=recorder: recorder.rows > 0)
    names = names_of_streams()

    cell("a cell", "second")
    after = both()

    assert names_of_streams() == names
    assert not any(each.is_running for each in before)
    for old, new in zip(before, after, strict=True):
        assert str(old.recorder.path) in new.line
    alerts = [[(each.condition, each.symbol) for each in board.alerts] for board in after]
    assert alerts == [[("price > 1", "XBTUSDTM")], [("spread > 3 bp", "ETHUSDTM")]]


def test_two_dashboards_of_one_session_play_side_by_side(session, make, cell):
    cell("a cell", "first")
    boards = [make(session), make(session)]

    assert [each.source.stopping.is_set() for each in boards] == [False, False]
    assert boards[1].source.name == f"dashboard a cell 2 {session.name}"


def test_outside_a_notebook_a_dashboard_gets_a_number_that_no_open_one_has(make):
    first, second = make(start=True), make("ETHUSDTM", start=True)
    assert names_of_streams() == ["dashboard", "dashboard 2"]

    first.close(keeps_picture=False)
    make(start=True)

    assert names_of_streams() == ["dashboard 2", "dashboard"]
    assert second.is_running


def test_a_chart_that_another_cell_has_chosen_outlives_a_new_run_of_that_cell(make, stream, cell):
    cell("a cell", "first")
    board = make(stream)
    cell("another", "first")
    board.lower.switch.value = "Spread"

    cell("another", "second")
    of_the_cell = figures.spread(stream)

    assert board.lower.figure.comm is not None
    board.close(keeps_picture=False)
    assert board.lower.figure is None
    of_the_cell.close(keeps_picture=False)


def test_a_start_in_vain_does_not_ask_for_the_symbols_again(make, monkeypatch):
    asked = []

    def gone(*_, **__):
        asked.append(1)
        raise kr.Unreachable("the exchange does not answer")

    monkeypatch.setattr(stream_starter.market_data, "get_active_symbols", gone)
    monkeypatch.setattr(stream_starter.streams, "stream", gone)
    board = make()
    assert "could not be read" in board.line

    with pytest.raises(kr.Unreachable):
        board.start()

    assert len(asked) == 2  # for the list as it was made, and for the stream


@pytest.mark.parametrize(
    "use",
    [
        lambda board: board.start(),
        lambda board: board.record(),
        lambda board: board.paper(lambda record, broker: None),
        lambda board: board.watch("ETHUSDTM"),
        lambda board: board.unwatch("XBTUSDTM"),
        lambda board: board.indicators.add("SMA 5"),
        lambda board: board.indicators.remove(),
    ],
)
def test_a_closed_dashboard_begins_nothing_any_more(make, use):
    before = len(figures.refresher())
    board = make()
    board.close(keeps_picture=False)

    with pytest.raises(kr.InvalidInput, match=r"^this dashboard is closed; run its cell again$"):
        use(board)
    board.mark("2026-01-01", 1.0, "a mark")
    board.plot("a line", "2026-01-01", 1.0)

    assert not kr.running()
    assert len(figures.refresher()) == before
    assert board.lower.figure is None


def test_freeze_takes_nothing_but_true_and_false(make):
    board = make()

    with pytest.raises(kr.InvalidInput, match="is_frozen must be True or False, not 'x'"):
        board.freeze(is_frozen="x")

    assert not board.controls.freeze.value
    assert not board.price.figure.is_frozen


def test_close_leaves_no_widget_ticket_stream_or_recorder(make, tmp_path):
    before = len(figures.refresher())
    board = make(start=True, root=tmp_path)
    recorder = board.record()

    board.close()
    board.close()

    assert len(figures.refresher()) == before
    assert not kr.running()
    assert recorder.is_closed
    assert board.controls.start.comm is None
    assert board.price.figure is None


def test_what_a_notebook_saves_of_it_is_small_and_has_no_data(make):
    board = make(start=True)
    board.source.wait("trade", rows=50)
    show(board)
    told(board, "tape")

    state = json.dumps(board.panel.get_state(), default=str)

    assert len(state) < 120_000  # nearly all of it is code and style
    assert "XBTUSDTM" not in state


def test_the_core_knows_neither_ipywidgets_nor_plotly():
    names = "{'ipywidgets', 'plotly', 'anywidget'}"
    code = f"import kucoin_research, sys; print({names} & set(sys.modules))"
    found = run(sys.executable, "-c", code)

    assert found.stdout.strip() == "set()"


def test_the_charts_over_time_of_a_dashboard_have_one_axis_of_their_own(make, stream):
    one, other = make(stream), make(stream)
    one.book.switch.value = "Levels"

    def groups(board):
        return [slot.figure.group for slot in (board.price, board.lower, board.book)]

    before = groups(one)
    one.lower.switch.value = "Spread"

    assert before[0] == before[1] != ""
    assert before[2] == ""
    assert groups(one) == before  # also a chart that is chosen later
    assert groups(other)[0] != before[0]


# -- a watch list ----------------------------------------------------------------------------------

LIST = ["XBTUSDTM", "ETHUSDTM", "BTC-USDT"]


def test_a_list_streams_all_its_symbols_and_a_card_shows_one(make):
    board = make(LIST, start=True)
    show(board)
    first = board.source
    assert {each.symbol for each in first.subscriptions} == set(LIST)
    assert told(board, "watch") == [LIST, "XBTUSDTM"]
    for each in LIST:
        told(board, f"card:{each}", lambda card: card and card[0] != "–")

    board.panel._on_message(None, {"kind": "card", "symbol": "BTC-USDT"}, [])
    assert (board.symbol, board.source, board.controls.market.value) == ("BTC-USDT", first, "spot")
    board.panel._on_message(None, {"kind": "card", "symbol": "ETHUSDTM"}, [])
    assert (board.symbol, board.controls.market.value) == ("ETHUSDTM", "futures")
    assert told(board, "watch", lambda value: value[1] == "ETHUSDTM") == [LIST, "ETHUSDTM"]
    assert board.line == "streaming ETHUSDTM: ticker, trade, depth50; 2 more of the watch list"


def test_symbols_are_taken_into_the_watch_list_and_from_it(make):
    board = make(LIST[:2], start=True)
    board.watch("SOLUSDTM", "BTC-USDT")
    streamed = {each.symbol for each in board.source.subscriptions}
    assert streamed == {*LIST, "SOLUSDTM"}

    with pytest.raises(kr.UnknownSymbol, match="NOUSDTM"):
        board.watch("NOUSDTM")
    with pytest.raises(kr.InvalidInput, match="'NOUSDTM' is not in the watch list: XBTUSDTM, "):
        board.unwatch("NOUSDTM")
    assert {each.symbol for each in board.source.subscriptions} == streamed

    board.panel._on_message(None, {"kind": "unwatch", "symbol": "SOLUSDTM"}, [])
    board.unwatch("XBTUSDTM")  # it is shown, so that it goes on
    assert {each.symbol for each in board.source.subscriptions} == set(LIST)
    assert board._stage.watch == ["ETHUSDTM", "BTC-USDT", "XBTUSDTM"]


def test_a_watch_list_can_be_set_before_the_start(make):
    board = make()
    board.watch("ETHUSDTM")
    with pytest.raises(kr.UnknownSymbol, match="NOUSDTM"):
        board.watch("NOUSDTM")
    board.start()

    assert {each.symbol for each in board.source.subscriptions} == {"ETHUSDTM", "XBTUSDTM"}


def test_a_recording_has_all_symbols_of_the_watch_list(make, tmp_path):
    board = make(LIST[:2], start=True, root=tmp_path)
    board.record()
    board.watch("BTC-USDT")
    board.unwatch("ETHUSDTM")
    assert "streams on while the recording goes on" in board.line
    for each in LIST:
        wait_until(lambda each=each: board.source.frame("trade", each).height > 2)
    board.stop()

    assert set(kr.load(board.recorder.path).symbols) == set(LIST)


def test_the_symbols_of_a_source_are_its_watch_list(exchange, make):
    with kr.stream(LIST[:2], ["trade"], venue=exchange.venue) as running:
        board = make(running)
        show(board)
        assert told(board, "watch") == [LIST[:2], "XBTUSDTM"]
        board.panel._on_message(None, {"kind": "card", "symbol": "ETHUSDTM"}, [])
        assert board.symbol == "ETHUSDTM"
        with pytest.raises(kr.InvalidInput, match="a given source, whose symbols are its watch"):
            board.watch("SOLUSDTM")


def test_a_single_symbol_has_no_cards(make):
    board = make(start=True)
    show(board)
    assert told(board, "watch") == [[], "XBTUSDTM"]


@pytest.mark.parametrize(
    ("wrong", "options", "sentence"),
    [
        ([], {}, "symbols must not be empty"),
        ([5], {}, "symbols must be strings, and 5 is none"),
        ([f"A{k}USDTM" for k in range(51)], {}, "a watch list holds 50 symbols, not 51"),
        (LIST, {"market": "spot"}, "XBTUSDTM, ETHUSDTM would be on spot by market="),
        (LIST, {"symbol": "SOLUSDTM"}, "symbol 'SOLUSDTM' is not in the list: XBTUSDTM"),
    ],
)
def test_a_list_that_cannot_be_watched_is_refused_in_a_sentence(make, wrong, options, sentence):
    with pytest.raises(kr.InvalidInput, match=sentence):
        make(wrong, **options)


def test_an_unknown_symbol_of_a_list_is_one_sentence_and_nothing_starts(make):
    board = make([*LIST[:2], "NOUSDTM"])
    with pytest.raises(kr.UnknownSymbol, match="NOUSDTM"):
        board.start()
    assert not board.is_running
