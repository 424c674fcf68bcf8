"""Pages that show the same thing: each has its own pace, and none stops another."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kucoin_research as kr
from kucoin_research import figures
from kucoin_research.figures.browser_link import FORGOTTEN_AFTER, BrowserLink
from kucoin_research.figures.hearing import Hearing
from kucoin_research.foundation import clocks
from tests.unit.browsers import START, Market, Page, VirtualClock

# One thread of the process draws all figures, in the machine's time.
REAL_TIME = True

TICK = 0.2


class Screens:
    """A dashboard of a market, its pages, and the time that both live in."""

    def __init__(self, clock):
        self.clock = clock
        self.market = Market()
        self.market.move_to(0.0)
        self.board = kr.dashboard(self.market)
        self.pages = []
        for widget in (self.board.panel, *(slot.figure for slot in self._slots)):
            widget._clock = clock.monotonic
            self._catch(widget)
        self.board._refresh._clock = clock.monotonic
        for ticket in (self.board._refresh.ticket, *(slot.figure._ticket for slot in self._slots)):
            ticket.cancel()  # here, the test is the refresh thread

    @property
    def _slots(self):
        return [slot for slot in self.board._slots if slot.figure is not None]

    def _catch(self, widget):
        def send(message, buffers=None):
            for page in self.pages:
                if page.widget is widget:
                    page.take(message, buffers or [], self.clock.now)

        widget.send = send

    def open(self, name, delays):
        """Open the dashboard on a page; gives its panel and its price chart."""
        opened = [
            Page(widget, name, delays) for widget in (self.board.panel, self.board.price.figure)
        ]
        self.pages += opened
        for page in opened:
            page.say("hello")
            page.look()
        return opened

    def pass_by(self, seconds):
        """Let time pass; gives control after each tick."""
        for _ in range(round(seconds / TICK)):
            self.clock.now = round(self.clock.now + TICK, 6)
            self.market.move_to(self.clock.now)
            for page in self.pages:
                page.move_to(self.clock.now)
                page.say("view", visible=True, px=1_000, range=None) if page._is_there else None
            self.board._refresh.tick(self.clock.now)
            for slot in self._slots:
                slot.figure.refresh(self.clock.now)
            yield self.clock.now


@pytest.fixture
def screens():
    with clocks.use(VirtualClock()) as clock:
        made = Screens(clock)
        yield made
        made.board.close()


def shown(panel):
    """Give the second that the price on a panel was made in."""
    return float(panel.texts["tile:last"][0].replace(",", "")) - 1


def badge(panel):
    return panel.texts["badge"]


@pytest.mark.parametrize("delay", [0.1, 0.8, 2.0, 5.0])
def test_tiles_are_as_new_as_the_badge_however_slow_the_browser(screens, delay):
    panel, _ = screens.open("a", lambda: delay)
    warm = 6 * delay + 2

    ages = []
    for now in screens.pass_by(20 + warm):
        if now < warm or not panel.texts:
            continue
        ages.append(now - shown(panel))
        assert panel.waiting <= 3, "what waits does not grow"
        if badge(panel)[0] == "green":
            assert ages[-1] < 2 * delay + 3 * TICK + 1.5

    # Two messages are under way, and each takes its time.
    assert max(ages) <= 3 * delay + 3 * TICK
    assert panel.drawn >= (20 / delay / 2 if delay > 0.5 else 50)


def test_a_screen_that_is_older_than_its_badge_claims_makes_it_amber(screens):
    panel, chart = screens.open("a", lambda: 0.1)
    for _ in screens.pass_by(10):
        pass
    assert badge(panel)[0] == "green"

    chart._delays = lambda: 1e9  # the chart is drawn no more, tiles and tape are
    for now in screens.pass_by(20):
        if badge(panel)[0] == "green":
            assert now < 13
    colour, _, reason, every = badge(panel)
    assert every == reason
    assert colour == "amber"
    assert reason.startswith("the screen shows the price chart of ")
    assert 17 < float(reason.split()[-3]) < 21
    assert not screens.board.health.reasons, "that is of one page, and not of the data"


def test_a_page_that_opens_slowly_shows_nothing_old(screens):
    panel, chart = screens.open("a", lambda: 0.1)
    chart._delays = lambda: 1e9  # it waits for plotly.js
    for _ in screens.pass_by(10):
        assert not panel.texts or badge(panel)[0] != "amber"


def test_a_slow_page_makes_no_other_amber_and_holds_none_up(screens):
    slow, _ = screens.open("slow", lambda: 5.0)
    quick, chart = screens.open("quick", lambda: 0.1)
    for _ in screens.pass_by(20):
        pass

    before = quick.drawn, chart.drawn
    for now in screens.pass_by(15):
        assert badge(quick)[0] == "green"
        assert now - shown(quick) < 1.0
    assert badge(slow)[0] == "amber"
    assert badge(slow)[2].startswith("the screen shows the ")
    assert quick.drawn - before[0] > 45
    assert chart.drawn - before[1] > 10  # at least one a second, however busy this machine is


def test_a_page_that_closes_without_a_word_stops_no_other_and_is_forgotten(screens):
    first, chart = screens.open("first", lambda: 0.1)
    second, other = screens.open("second", lambda: 0.1)
    for _ in screens.pass_by(5):
        pass
    second.close()
    other.close()

    before = first.drawn, chart.drawn
    for now in screens.pass_by(FORGOTTEN_AFTER + 5):
        assert now - shown(first) < 1.0
        assert badge(first)[0] == "green"
    assert first.drawn - before[0] > 150
    assert chart.drawn - before[1] > 25  # at least one a second, however busy this machine is
    assert [name for name, _ in screens.board.panel.pages.visible] == ["first"]
    assert [name for name, _ in screens.board.price.figure._pages.visible] == ["first"]
    assert screens.board.price.figure.link.drawn == chart.drawn + other.drawn


def test_a_slow_browser_is_not_taken_for_a_lost_answer():
    link = BrowserLink(is_visible=True)
    now, due = 0.0, []
    while now < 100:
        now += 0.1
        for number, at in due:
            if at <= now:
                link.on_drawn(number, 1.0, now)
        due = [(number, at) for number, at in due if at > now]
        if link.may_send(now):
            begin = max([now, *(at for _, at in due)])
            due.append((link.on_send(now, 0, 0.0), begin + 5.0))
        assert len(due) <= 4

    assert link.drawn >= 18


def test_a_kernel_that_cannot_hear_forgets_no_page_and_goes_on_drawing():
    gallery, asked = Gallery(), []
    gallery.figure._pages._hearing = Hearing(asked.append, lambda: gallery.now)
    gallery.do("show", "a", 1_000)
    for _ in range(25):  # its main thread is free: it answers
        gallery.pass_by(TICK)
        while asked:
            asked.pop()()
    page = gallery.pages["a"]
    page.say = lambda *_, **__: None  # it is busy: what the page says waits

    before = page.seq
    gallery.pass_by(3 * FORGOTTEN_AFTER, step=0.5)

    assert page.seq - before > FORGOTTEN_AFTER
    assert gallery.figure._pages.get("a") is not None
    gallery.figure.close()


# -- any number of pages, whatever they do ---------------------------------------------------------

NAMES = ("a", "b", "c")
DOINGS = st.one_of(
    st.tuples(st.just("hello"), st.sampled_from(NAMES)),
    st.tuples(st.just("show"), st.sampled_from(NAMES), st.sampled_from([300, 1_000, 2_000])),
    st.tuples(st.just("zoom"), st.sampled_from(NAMES), st.integers(0, 9), st.integers(1, 20)),
    st.tuples(st.just("follow"), st.sampled_from(NAMES)),
    st.tuples(st.just("hide"), st.sampled_from(NAMES)),
    st.tuples(st.just("close"), st.sampled_from(NAMES)),
    st.tuples(st.just("slow"), st.sampled_from(NAMES), st.sampled_from([0.0, 0.3, 4.0])),
    st.tuples(st.just("wait"), st.sampled_from([0.2, 1.0, 9.0, 40.0])),
)


class Gallery:
    """A figure on three pages, which do as they are told."""

    def __init__(self):
        self.now = 0.0
        self.market = Market()
        for step in range(50):
            self.market.move_to(step * TICK)
        self.now = 50 * TICK
        self.figure = figures.spread(self.market)
        self.figure._ticket.cancel()  # here, the test is the refresh thread
        self.figure._clock = lambda: self.now
        self.figure.send = self._send
        self.delays = dict.fromkeys(NAMES, 0.0)
        self.views = {}
        self.pages = {}
        for name in NAMES:
            self._open(name)

    def _open(self, name):
        self.pages[name] = Page(self.figure, name, lambda: self.delays[name])
        self.views[name] = {"visible": False, "px": 1_000, "bounds": None}

    def _send(self, message, buffers=None):
        for page in self.pages.values():
            page.take(message, buffers or [], self.now)

    def do(self, what, name, *values):
        if what == "wait":
            self.pass_by(name, step=name)
            return
        page, view = self.pages[name], self.views[name]
        if what == "close":
            page.close()
            self._open(name)  # the tab is reloaded: it has nothing, and looks at nothing yet
            return
        if what == "slow":
            self.delays[name] = values[0]
            return
        if what == "show":
            view |= {"visible": True, "px": values[0]}
        elif what == "hide":
            view["visible"] = False
        elif what == "zoom":
            begin = START / 1e6 + values[0] * 1_000
            view |= {"visible": True, "bounds": [begin, begin + values[1] * 1_000]}
        elif what == "follow":
            view["bounds"] = None
        if what == "hello":
            page.say("hello")
        page.look(**view)

    def pass_by(self, seconds, step=TICK):
        for _ in range(round(seconds / step)):
            self.now = round(self.now + step, 6)
            self.market.move_to(self.now)
            self.refresh()

    def refresh(self):
        for name, page in self.pages.items():
            page.move_to(self.now)
            if self.views[name]["visible"]:  # each five seconds, or more often
                page.look(**self.views[name])
        self.figure.refresh(self.now)


def drawn_alone(market, page, view):
    """Give what a page of its own would show."""
    figure = figures.spread(market)
    figure._ticket.cancel()
    alone = Page(figure, page.name)
    figure.send = lambda message, buffers=None: alone.take(message, buffers or [], 0.0)
    alone.say("hello")
    alone.look(**view)
    figure.refresh(1.0)
    alone.move_to(1.0)
    figure.close()
    return alone.arrays


# A busy machine draws examples slowly, which says nothing of them.
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(DOINGS, max_size=20))
def test_each_page_sees_what_it_would_see_alone_whatever_the_others_do(doings):
    gallery = Gallery()
    try:
        for doing in doings:
            gallery.do(*doing)
        gallery.delays = dict.fromkeys(NAMES, 0.0)
        gallery.do("show", "a", 1_000)
        gallery.pass_by(5, step=5)  # what was slow has come by then
        drawn = gallery.pages["a"].drawn
        gallery.pass_by(4)
        for _ in range(3):  # nothing comes any more
            gallery.now += 2.0
            gallery.refresh()
        for page in gallery.pages.values():
            page.move_to(gallery.now)

        for name, page in gallery.pages.items():
            view = gallery.views[name]
            assert not page.waiting
            if view["visible"]:
                alone = drawn_alone(gallery.market, page, view)
                for key, array in alone.items():
                    np.testing.assert_array_equal(page.arrays[key], array, err_msg=str((name, key)))
        if gallery.views["a"]["bounds"] is None:
            assert gallery.pages["a"].drawn >= drawn + 4, "it stood still"
        looking = {name for name in NAMES if gallery.views[name]["visible"]}
        assert {name for name, _ in gallery.figure._pages.visible} >= looking
    finally:
        gallery.figure.close()


def test_pages_that_are_silent_are_forgotten_and_known_again_with_all_they_need():
    gallery = Gallery()
    gallery.do("zoom", "a", 2, 3)
    gallery.pass_by(2)
    page = gallery.pages["a"]
    gallery.views["a"]["visible"] = False  # its timers stand still, so it says nothing
    gallery.pass_by(FORGOTTEN_AFTER + 5, step=5)
    assert gallery.figure._pages.get("a") is None

    gallery.views["a"]["visible"] = True
    gallery.pass_by(2)

    alone = drawn_alone(gallery.market, page, gallery.views["a"])
    np.testing.assert_array_equal(page.arrays[0, "x"], alone[0, "x"])
    gallery.figure.close()


def test_one_message_answers_for_all_widgets_of_a_page(screens):
    panel, price = screens.open("a", lambda: 0.0)
    figure = screens.board.price.figure
    list(screens.pass_by(1.0))
    before = figure.link_to("a").drawn
    figure.link_to("a").on_send(screens.clock.now, 0, 0.0)

    answer = [figure.uid, before + 1, 7.0]
    closed = ["0" * 32, 1, 1.0]  # a widget that was closed after it had drawn
    panel.say("drawn", seq=panel.seq, ms=1.0, others=[closed, answer])

    assert figure.link_to("a").drawn == before + 1
    assert figure.link_to("b") is None  # and it answers for its own page alone
    price.close()
