"""Live figures without a browser: what is read, what is sent, and when."""

import gc
import json
import threading
from random import Random

import numpy as np
import pytest

import kucoin_research as kr
from kucoin_research import figures
from kucoin_research.figures.browser_link import BrowserLink
from kucoin_research.figures.candle_chart import CandleChart
from kucoin_research.figures.refresh import Refresher, Ticket
from kucoin_research.figures.tail import Rewound, Tail, pick_channel
from kucoin_research.frames.ring import Ring
from kucoin_research.model.channels import parse_channel
from kucoin_research.model.records import Candle, Level2, MarkPrice, Status, Ticker, Trade
from tests.conftest import wait_until

# One thread of the process draws all figures, in the machine's time.
REAL_TIME = True

SECOND = 1_000_000_000
START = 1_767_571_200 * SECOND


class FakeStream:
    """As much of a stream as figures use."""

    symbols = channels = ()
    state = "live"

    def __init__(self, capacity=1_000_000):
        self.rings = {
            "mark_price": Ring(MarkPrice, capacity=capacity),
            "status": Ring(Status, capacity=1_000),
        }
        self.second = 0.0

    def frame(self, channel=None, symbol=None, last=None):
        parse_channel(channel)
        if channel not in self.rings:
            raise kr.UnknownChannel(f"no {channel}")
        return self.rings[channel].frame(last)

    def total(self, channel=None):
        return self.rings[channel].total

    def put(self, count=1, every=0.001):
        rows = []
        for _ in range(count):
            self.second += every
            time = START + round(self.second * SECOND)
            rows.append(MarkPrice(time, time + 1, "XBTUSDTM", 100.0 + self.second % 7, 100.0))
        self.rings["mark_price"].extend(rows)

    def put_at(self, price):
        self.second += 0.001
        time = START + round(self.second * SECOND)
        self.rings["mark_price"].extend([MarkPrice(time, time + 1, "XBTUSDTM", price, price)])

    def tell(self, event, begin, end):
        times = (START + round(each * SECOND) for each in (begin, end))
        self.rings["status"].extend([Status(*times, None, event, None, "why", None, None)])


@pytest.fixture
def stream():
    return FakeStream()


@pytest.fixture
def live(stream):
    made = []

    def make(**options):
        figure = figures.mark(stream, **options)
        figure._ticket.cancel()  # here, the test is the refresh thread
        figure.sent = []
        figure.send = lambda content, buffers=None: figure.sent.append((content, buffers or []))
        made.append(figure)
        return figure

    yield make
    for figure in made:
        figure.close()


def tell(figure, **message):
    figure._on_message(figure, message, [])


def show(figure, px=1_000, bounds=None):
    tell(figure, kind="view", visible=True, px=px, range=bounds)


def frames(figure):
    return [content for content, _ in figure.sent if content["kind"] == "frame"]


def shades(frame):
    """List the shapes of gaps, without the lines of days."""
    return [each for each in frame["layout"]["shapes"] if each["type"] == "rect"]


def test_nothing_is_sent_until_the_browser_looks(live, stream):
    figure = live()
    stream.put(10)

    figure.refresh(1.0)
    assert not figure.sent

    show(figure)
    figure.refresh(2.0)
    assert len(frames(figure)) == 1


def test_nothing_is_sent_when_nothing_came(live, stream):
    figure = live()
    stream.put(10)
    show(figure)

    for now in range(1, 5):
        figure.refresh(float(now))

    assert len(frames(figure)) == 1


def test_a_quiet_figure_tells_each_two_seconds_that_its_kernel_is_there(live, stream):
    figure = live()
    stream.put(10)
    show(figure)
    for now in (1.0, 2.9, 3.0, 3.1, 4.9, 5.0):
        figure.refresh(now)
    assert beats(figure) == ["", ""]  # at 3 and 5

    tell(figure, kind="view", visible=False, px=1_000, range=None)
    figure.refresh(60.0)
    assert len(beats(figure)) == 2, "nobody looks"


def test_a_figure_that_cannot_be_drawn_says_so_on_the_page(live, stream):
    figure = live()
    show(figure)
    stream.put(1)
    figure.refresh(1.0)
    stream.put(1)
    picture(figure)._update = lambda: 1 / 0
    for now in (2.0, 3.0, 4.0):  # the first failure comes right behind a frame
        with pytest.raises(ZeroDivisionError):
            figure.refresh(now)
    assert beats(figure) == ["ZeroDivisionError: division by zero"]

    del picture(figure)._update
    figure.refresh(5.0)
    assert figure.sent[-1][0]["kind"] == "frame"  # which clears it


def beats(figure):
    return [content["trouble"] for content, _ in figure.sent if content["kind"] == "beat"]


def summaries(figure):
    return [content["text"] for content, _ in figure.sent if content["kind"] == "summary"]


def test_a_summary_follows_the_values_at_a_pace_that_can_be_heard(live, stream):
    figure = live()
    show(figure)
    figure.refresh(1.0)
    figure.refresh(1.1)
    assert len(summaries(figure)) == 1
    assert "waiting for the first mark price" in summaries(figure)[0]

    for step in range(40):
        stream.put_at(100.0 + step)
        tell(figure, kind="drawn", seq=len(frames(figure)), ms=1)
        figure.refresh(2.0 + step / 4)
    assert ["mark price 100," in each for each in summaries(figure)] == [False, True]

    figure.refresh(14.5)  # no more rows come, and the last ones are read all the same
    figure.refresh(40.0)
    assert ["mark price 139," in each for each in summaries(figure)] == [False, False, True]


def test_a_page_that_opens_is_sent_the_summary_of_what_it_shows(live, stream):
    figure = live()
    stream.put(10)
    show(figure)
    for now in (1.0, 1.1):
        figure.refresh(now)

    tell(figure, kind="hello")
    for now in (2.0, 2.1):
        figure.refresh(now)

    first, again = summaries(figure)
    assert first == again


def paces(figure):
    return [(each["is_live"], each["rate"]) for each, _ in figure.sent if each["kind"] == "pace"]


def test_each_page_is_sent_the_pace_of_the_source_when_it_changes(live, stream):
    figure = live()
    stream.put(10)
    show(figure)

    for state in ("live", "live", "stopped", "stopped", "live"):
        stream.state = state
        figure.refresh(1.0)
    assert paces(figure) == [(True, 0.0), (False, 0.0), (True, 0.0)]

    tell(figure, kind="hello")  # it has opened again
    figure.refresh(2.0)
    figure.is_frozen = True
    figure.refresh(3.0)
    assert paces(figure)[3:] == [(True, 0.0), (False, 0.0)]


def test_two_frames_are_in_flight_at_most_and_the_skipped_ones_are_counted(live, stream):
    figure = live()
    show(figure)
    for step in range(5):
        stream.put(10)
        figure.refresh(1.0 + step / 10)
    assert len(frames(figure)) == 2
    assert figure.link.skipped == 3

    tell(figure, kind="drawn", seq=1, ms=10)
    figure.refresh(1.6)

    assert len(frames(figure)) == 3


def test_the_frame_behind_skipped_ones_has_all_they_would_have_had(live, stream):
    figure = live()
    show(figure)
    for step in range(6):
        stream.put(10)
        figure.refresh(1.0 + step / 10)
    tell(figure, kind="drawn", seq=2, ms=10)
    figure.refresh(2.0)

    tails = [part for part in frames(figure)[-1]["parts"] if part[:2] == [0, "x"]]
    (_, _, _, drop, keep, _) = tails[0]
    assert (drop, keep) == (0, 20)
    assert len(figure.sent[-1][1][0]) == 40 * 8


def test_a_lost_answer_does_not_stop_the_figure(live, stream):
    figure = live()
    show(figure)
    for now in (1.0, 1.1, 1.2, 9.0):
        stream.put(10)
        figure.refresh(now)

    assert len(frames(figure)) == 3


def test_a_page_that_opens_again_gets_everything(live, stream):
    figure = live()
    stream.put(100)
    show(figure)
    figure.refresh(1.0)

    tell(figure, kind="hello")
    figure.refresh(2.0)

    assert [frame["base"] for frame in frames(figure)] == [None, None]


def test_each_frame_names_the_one_it_builds_on(live, stream):
    figure = live()
    show(figure)
    for step in range(2):
        stream.put(10)
        figure.refresh(1.0 + step)

    assert [(frame["base"], frame["seq"]) for frame in frames(figure)] == [(None, 1), (1, 2)]


def test_a_hidden_figure_gets_nothing_and_all_of_it_when_shown_again(live, stream):
    figure = live()
    show(figure)
    stream.put(10)
    figure.refresh(1.0)
    tell(figure, kind="view", visible=False, px=1_000, range=None)

    stream.put(10)
    figure.refresh(2.0)
    assert len(frames(figure)) == 1

    show(figure)
    figure.refresh(3.0)
    assert frames(figure)[-1]["parts"][0][4] == 10  # ten were there


def picture(figure):
    """Give what the only page is shown."""
    (one,) = figure._pages.all
    return one


def points(figure):
    return sent(figure, "x").size


def sent(figure, path):
    return picture(figure)._sent[0, path]


def test_zooming_in_shows_every_row_of_the_range(live, stream):
    figure = live(window="all")
    stream.put(100_000)
    show(figure)
    figure.refresh(1.0)
    assert points(figure) < 5_000

    begin = START / 1e6 + 20_000
    show(figure, bounds=[begin, begin + 500])  # half a second of a row per millisecond
    figure.refresh(2.0)

    inside = sent(figure, "x")
    inside = inside[(inside >= begin) & (inside <= begin + 500)]
    assert inside.size == 501


def test_a_zoom_into_the_past_costs_nothing_while_the_stream_goes_on(live, stream):
    figure = live()
    stream.put(1_000)
    show(figure)
    figure.refresh(1.0)
    show(figure, bounds=[START / 1e6 + 100, START / 1e6 + 200])
    figure.refresh(2.0)
    tell(figure, kind="drawn", seq=2, ms=1)

    stream.put(100)
    figure.refresh(3.0)

    assert len(frames(figure)) == 2


def test_two_pages_are_drawn_although_the_figure_is_called_a_little_early(live, stream):
    figure = live()
    for page in ("a", "b"):
        tell(figure, kind="view", page=page, visible=True, px=1_000, range=None)
    stream.put(10)
    wait = figure.refresh(1.0)
    assert [each["to"] for each in frames(figure)] == ["a", "b"]

    stream.put(10)
    figure.refresh(1.0 + wait - 0.04)
    assert len(frames(figure)) == 2
    figure.refresh(1.0 + wait - 0.02)
    assert [each["to"] for each in frames(figure)[2:]] == ["a", "b"]


def test_points_are_bounded_however_many_rows_there_are(live, stream):
    figure = live(window="all")
    show(figure)
    for step in range(20):
        stream.put(10_000)
        figure.refresh(1.0 + 10 * step)

    assert points(figure) < 5_000
    assert max(sent(figure, "y")) > 106.9


def test_an_outage_told_by_the_stream_is_shaded_and_breaks_the_line(live, stream):
    figure = live()
    stream.put(10, every=0.1)
    stream.tell("disconnected", 1.01, 1.01)
    stream.tell("connected", 4.5, 4.5)
    stream.second = 5.0
    stream.put(10, every=0.1)
    show(figure)
    figure.refresh(1.0)

    assert len(shades(frames(figure)[0])) == 1
    assert np.isnan(sent(figure, "y")).sum() == 1


def test_an_outage_is_told_while_it_lasts(live, stream):
    figure = live()
    stream.put(10, every=0.1)
    show(figure)
    figure.refresh(1.0)

    stream.tell("disconnected", 1.01, 1.01)
    figure.refresh(2.0)

    (shape,) = shades(frames(figure)[-1])
    assert shape["x1"] == pytest.approx(frames(figure)[-1]["window"][1])
    assert shape["label"]["text"] == "outage"  # for how long is not known yet


def test_a_book_that_fell_out_of_step_is_drawn_no_more(stream):
    book = kr.OrderBook("XBTUSDTM", 1, START, {99.0: 1.0}, {101.0: 1.0})
    stream.rings["level2"] = Ring(Level2, capacity=10)
    stream.rings["level2"].extend([Level2(START, START, "XBTUSDTM", 1, True, "buy", 99.0, 1.0)])
    stream.book = lambda symbol=None: book
    figure = figures.depth(stream)
    figure.send = lambda *_, **__: None
    try:
        show(figure)
        assert len(figure.figure().data[0].x) == 1

        def refuse(symbol=None):
            raise kr.BookNotReady("it is wrong and fetched afresh")

        stream.book = refuse
        stream.tell("resync", 1, 1)  # without a further row

        still = figure.figure()
        assert len(still.data[0].x) == 0
        assert "waiting for a book" in still.layout.annotations[0].text
    finally:
        figure.close()


def test_no_row_is_lost_to_a_refresh_that_failed(live, stream):
    figure = live()
    show(figure)
    stream.put(10)
    figure.refresh(1.0)
    stream.put(10)
    take = picture(figure).chart.take
    picture(figure).chart.take = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        figure.refresh(2.0)

    picture(figure).chart.take = take
    figure.refresh(3.0)

    assert points(figure) == 20


def test_an_error_in_a_refresh_is_kept_and_the_next_one_is_tried(stream):
    figure = figures.mark(stream)
    tell(figure, kind="hello")
    picture(figure)._take = lambda: 1 / 0
    show(figure)
    stream.put(1)
    wait_until(lambda: figure.error is not None)

    del picture(figure)._take
    wait_until(lambda: figure.error is None)

    figure.close()


def test_one_thread_serves_all_figures_and_ends_with_the_last(stream):
    def threads():
        return [each for each in threading.enumerate() if each.name == "kucoin-figures"]

    many = [figures.mark(stream) for _ in range(20)]
    assert len(threads()) == 1

    for figure in many:
        figure.close()
    wait_until(lambda: not threads())


def test_the_state_that_a_notebook_may_save_is_small_and_has_no_data(live, stream):
    figure = live()
    stream.put(10_000)
    show(figure)
    figure.refresh(1.0)

    state = figure.get_state()

    scripts = {name: state.pop(name) for name in ("_esm", "code", "_css")}
    assert len(json.dumps(state, default=str)) < 8_000
    assert sum(len(str(each)) for each in scripts.values()) < 100_000


def test_plotly_is_sent_when_asked_for_and_packed(live):
    figure = live()

    tell(figure, kind="lib")

    ((content, buffers),) = figure.sent
    assert content["kind"] == "lib"
    assert 100_000 < len(buffers[0]) < 2_000_000


def test_a_live_figure_can_be_had_as_a_still_one(live, stream, tmp_path):
    figure = live()
    stream.put(10)

    still = figure.figure(theme="dark")

    assert len(still.data[0].x) == 10
    figure.to_html(tmp_path / "live.html")
    assert (tmp_path / "live.html").exists()


def test_an_axis_is_ranged_around_a_price_while_it_does_not_move_and_by_plotly_then(live, stream):
    figure = live()
    show(figure)
    path, told = "yaxis.autorangeoptions", []

    for second, price in enumerate((1.2e-8, 1.2e-8, 1.21e-8), 1):
        stream.put_at(price)
        figure.refresh(float(second))
        told.append(frames(figure)[-1]["layout"])
        tell(figure, kind="drawn", seq=second, ms=1.0)

    assert told[0][path]["include"] == pytest.approx([1.18e-8, 1.22e-8])
    assert path not in told[1]  # the page has it
    assert told[2][path] == {}


def test_a_stream_without_the_channel_is_refused_in_one_sentence(stream):
    with pytest.raises(kr.UnknownChannel, match="needs one of the channels trade"):
        figures.flow(stream)


@pytest.mark.parametrize("make", [figures.flow, figures.candles])
def test_a_stream_of_tickers_has_no_volumes_to_show(stream, make):
    stream.rings["ticker"] = Ring(Ticker, capacity=10)

    with pytest.raises(kr.UnknownChannel, match=r"one of the channels (candle, )?trade"):
        make(stream)


def test_the_window_can_be_changed(live, stream):
    figure = live(window=1.0)
    stream.put(10_000)
    show(figure)
    figure.refresh(1.0)
    before = frames(figure)[-1]["window"]

    figure.window = 5.0
    figure.refresh(2.0)

    assert np.diff(before) < np.diff(frames(figure)[-1]["window"])
    with pytest.raises(kr.InvalidInput):
        figure.window = 0


def test_a_page_stays_zoomed_when_its_symbol_stays_and_follows_another_one(live, stream):
    figure = live()
    stream.put(100)
    bounds = [(START + round(each * SECOND)) / 1e6 for each in (0.02, 0.05)]
    show(figure, bounds=bounds)
    (picture,) = figure._pages.all
    zoomed = picture.view.span
    assert zoomed is not None

    figure.attach(stream, figure.symbol, figure._channels)
    assert picture.view.span == zoomed

    figure.attach(stream, "ETHUSDTM", figure._channels)
    assert picture.view.span is None


def test_the_page_knows_whether_rows_are_to_come_and_which_figures_move_together(live, stream):
    figure = live()
    stream.put(9)
    fixed = figures.mark(stream.frame("mark_price"), "XBTUSDTM").zoomable()

    figure.group = "pair"

    assert figure.get_state()["group"] == "pair"
    assert fixed.group == ""
    assert [each.spec["is_complete"] for each in (figure, fixed)] == [False, True]
    fixed.close(keeps_picture=False)


def test_a_feed_gives_each_row_once_however_they_come(stream):
    feed = Tail(stream, "", {"mark": "mark_price"})
    seen = []
    for count in (0, 5, 0, 1_000, 3):
        stream.put(count)
        seen += [row for _, rows in feed.rows() for row in rows["timestamp"].to_list()]

    assert len(seen) == len(set(seen)) == 1_008
    assert not feed.has_news()


@pytest.mark.parametrize("seed", range(5))
def test_a_feed_gives_rows_once_though_they_are_given_late_among_those_of_others(seed):
    random = Random(seed)
    stream = FakeStream()
    stream.symbols = ["XBTUSDTM", "ETHUSDTM"]
    ring = stream.rings["mark_price"]
    feeds = {symbol: Tail(stream, symbol, {"mark": "mark_price"}) for symbol in stream.symbols}
    put, seen, held = ({symbol: [] for symbol in stream.symbols} for _ in range(3))
    for stamp in range(1, 1_200):
        symbol = random.choice(stream.symbols)
        row = MarkPrice(stamp, stamp, symbol, 1.0, None)
        put[symbol].append(stamp)
        if symbol == "XBTUSDTM" and (held[symbol] or stamp // 200 % 2):
            held[symbol].append(row)
        else:
            ring.extend([row])
        if held[symbol] and random.random() < 0.005:
            ring.insert(held.pop(symbol))
            held[symbol] = []
        if random.random() < 0.02:
            for each, feed in feeds.items():
                seen[each] += [at for _, rows in feed.rows() for at in stamps_of(rows)]
    ring.extend([MarkPrice(1_200, 1_200, "ETHUSDTM", 1.0, None)])
    ring.insert([*held["XBTUSDTM"], MarkPrice(1_201, 1_201, "XBTUSDTM", 1.0, None)])
    for each, feed in feeds.items():
        seen[each] += [at for _, rows in feed.rows() for at in stamps_of(rows)]

    assert seen == {"XBTUSDTM": [*put["XBTUSDTM"], 1_201], "ETHUSDTM": [*put["ETHUSDTM"], 1_200]}


def stamps_of(rows):
    return rows["local_timestamp"].to_physical().to_list()


def test_a_feed_that_fell_behind_a_full_ring_goes_on_with_what_is_left():
    stream = FakeStream(capacity=100)
    feed = Tail(stream, "", {"mark": "mark_price"})
    stream.put(10)
    list(feed.rows())

    stream.put(1_000)

    assert sum(rows.height for _, rows in feed.rows()) <= 100
    stream.put(1)
    assert [rows.height for _, rows in feed.rows()] == [1]


def test_going_back_in_time_is_noticed(stream):
    feed = Tail(stream, "", {"mark": "mark_price"})
    stream.put(10)
    list(feed.rows())

    stream.second = 0.0
    stream.put(2)

    with pytest.raises(Rewound):
        list(feed.rows())


def test_a_figure_starts_over_when_its_source_went_back(live, stream):
    figure = live()
    show(figure)
    stream.put(10)
    figure.refresh(1.0)

    stream.rings["mark_price"].clear()
    stream.second = 0.0
    stream.put(3)
    figure.refresh(2.0)

    assert points(figure) == 3


def test_a_slow_browser_or_kernel_slows_the_frames():
    quick, slow, costly = BrowserLink(), BrowserLink(draw_ms=200.0), BrowserLink(cost=0.05)

    assert quick.interval(20) == 0.05
    assert slow.interval(20) == 0.4
    assert costly.interval(20) == 0.25
    assert BrowserLink(draw_ms=50.0).interval(20, others_ms=70.0) == 0.24  # they share a browser


def test_fewer_redraws_are_sent_where_the_environment_asks_for_fewer(live, stream, monkeypatch):
    usual = live()
    monkeypatch.setenv("KUCOIN_RESEARCH_REDRAWS", "2")
    slower = live()

    for figure, wait in ((usual, 0.05), (slower, 0.5)):
        assert figure._ticket.every == wait
        show(figure)
        stream.put(10)
        assert figure.refresh(1.0) == pytest.approx(wait)


def test_a_wrong_number_of_redraws_makes_no_figure(stream, monkeypatch):
    monkeypatch.setenv("KUCOIN_RESEARCH_REDRAWS", "many")
    before = len(figures.refresher())

    with pytest.raises(kr.InvalidInput, match="KUCOIN_RESEARCH_REDRAWS='many' in the environment"):
        figures.mark(stream)

    assert len(figures.refresher()) == before


@pytest.mark.parametrize(
    ("error", "kept"), [(ValueError("broken"), ValueError), (SystemExit(3), RuntimeError)]
)
def test_a_refresher_survives_what_raises_and_calls_the_others(error, kept):
    refresher = Refresher("test-refresh")
    calls = []

    def broken(_now):
        raise error

    bad = refresher.add(broken)
    good = refresher.add(lambda _now: calls.append(1))
    wait_until(lambda: len(calls) >= 3)
    good.cancel()
    bad.cancel()

    assert isinstance(bad.error, kept)
    assert bad.errors > 1
    assert len(refresher) == 0


def test_a_figure_may_be_collected_while_the_refresher_holds_its_locks():
    refresher = Refresher("test")
    ticket = refresher.add(lambda now: 60.0)

    with refresher._lock, refresher._running:
        ticket.abandon()  # must neither wait nor fail
    refresher.wake()

    wait_until(lambda: len(refresher) == 0)


def test_a_cancelled_function_is_not_called_again():
    refresher = Refresher("test-refresh")
    calls = []
    ticket = refresher.add(lambda _now: calls.append(1), every=0.05)
    wait_until(lambda: calls)

    ticket.cancel()
    count = len(calls)
    gc.collect()
    wait_until(lambda: not [t for t in threading.enumerate() if t.name == "test-refresh"])

    assert len(calls) == count


def a_ticket(calls, name, every, due):
    ticket = Ticket(lambda now: calls.append((name, round(now, 3))), every, lambda: None)
    ticket.run(due - every)
    calls.clear()
    return ticket


def test_functions_that_are_due_at_about_the_same_time_run_together():
    refresher, calls = Refresher("test-refresh"), []
    near = a_ticket(calls, "near", 0.1, due=10.02)
    far = a_ticket(calls, "far", 0.1, due=10.05)
    due = a_ticket(calls, "due", 0.1, due=10.0)
    tickets = refresher._tickets = [near, far, due]

    refresher._run_due(tickets, 9.99)
    assert calls == []  # none is due, so none is drawn early
    refresher._run_due(tickets, 10.0)
    assert calls == [("near", 10.0), ("due", 10.0)]


def test_a_function_that_runs_early_or_a_little_late_keeps_its_rate():
    calls = []
    ticket = a_ticket(calls, "one", 0.1, due=10.0)

    for now, due in (
        (9.98, 10.1),
        (10.13, 10.2),
        (10.27, 10.37),
    ):  # the last is too late to catch up
        ticket.run(now)
        assert ticket.wait(0.0) == pytest.approx(due)


def with_candles(*, opened=None, traded=None):
    """Make a stream of candles and trades; each has one row at a second, or none."""
    source = FakeStream()
    source.channels = ("candle:1min", "trade")
    source.rings["candle:1min"] = candles = Ring(Candle, capacity=10)
    source.rings["trade"] = trades = Ring(Trade, capacity=10)
    if opened is not None:
        at, ohlc = START + opened * SECOND, (1.0, 1.0, 1.0, 1.0)
        candles.extend([Candle(at, at, "XBTUSDTM", "1min", *ohlc, 1.0, None)])
    if traded is not None:
        at = START + traded * SECOND
        trades.extend([Trade(at, at, "XBTUSDTM", 1, "1", "buy", 1.0, 1.0)])
    return source


@pytest.mark.parametrize(
    ("opened", "traded", "every", "chosen"),
    [
        (None, None, None, "trade"),
        (None, 30, None, "trade"),
        (60, 30, None, "trade"),  # they have just begun
        (0, 30, None, "trade"),  # by less than a candle
        (0, 60, None, "candle:1min"),
        (0, None, None, "candle:1min"),
        (None, None, "1min", "candle:1min"),
        (60, 30, "1min", "trade"),
        (0, 30, "1min", "candle:1min"),
        (0, 600, "5s", "trade"),  # none of that interval
    ],
)
def test_the_exchanges_candles_are_shown_where_they_reach_back_further(
    opened, traded, every, chosen
):
    source = with_candles(opened=opened, traded=traded)

    assert pick_channel(source, CandleChart.roles[0], every) == chosen
