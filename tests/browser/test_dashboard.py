"""The dashboard in a real JupyterLab: pressed, watched, zoomed, replayed, saved, and restarted."""

import base64
import json
import os
import signal

import pytest

from tests.browser.lab import set_theme
from tests.browser.waits import (
    look_until,
    wait_for_count,
    wait_for_frames,
    wait_for_text,
    zoom,
)
from tests.conftest import wait_until
from tests.processes import PATIENCE

MAKE = """
import kucoin_research as kr
exchange = kr.simulate(seed=7, speed=5, start="2026-01-05")
board = kr.dashboard("XBTUSDTM", venue=exchange.venue, root="sessions")
board
"""
REPLAY = """
from pathlib import Path
session = kr.load(sorted(Path("sessions").glob("*XBTUSDTM*"))[0])
print("LAST", f"{session.frame('trade', 'XBTUSDTM')['price'][-1]:,.1f}")
replay = kr.replay(session, paused=True)
kr.dashboard(replay)
"""
# Of the symbol that went on behind, nothing is missing but what a chip has switched off.
KEPT = """
report = board.source.report()
lacking = [e.channel for e in report.channels if e.gaps and e.channel != "ticker"]
print("KEPT", board.source.frame("trade", "XBTUSDTM").height > 20, report.reconnects, lacking)
"""
# So many messages of a panel take more than a minute if the kernel waits in vain for a page before
# each of them, which is 2 to 8 s.
MANY = 12
PLAYED = ".kr-of-replay"
BADGE = ".kr-badge .kr-word"
LOST = ".kr-badge[data-colour=red]"
MAIN, LOWER = ".kr-main .kr-figure", ".kr-lower .kr-figure"
LADDER = ".kr-book .kr-ladder"
PRICE = ".kr-price"
LINE = ".kr-status .kr-line"
# The range of time of both charts, ms.
RANGES = """() => ['main', 'lower'].map((place) => {
  const {xaxis} = document.querySelector(`.kr-${place} .js-plotly-plot`)._fullLayout;
  return xaxis.range.map((each) => xaxis.r2l(each));
})"""
IS_ONE_RANGE = f"""() => {{
  const [price, other] = ({RANGES})();
  return price.every((each, which) => Math.abs(each - other[which]) < 1);
}}"""
SHOWN_TIME = ".kr-values .kr-clock"
COST = "+document.querySelector('.kr-price').textContent.replace(/[^0-9.]/g, '')"
# All candles lie within the axis, whose edges are those of the price, but for a candle. The charts
# are drawn one after the other, so it may take a few frames until both are of the same moment.
CANDLES_ARE_WHOLE = """() => {
  const [price, chart] = ['main', 'lower'].map(
    (place) => document.querySelector(`.kr-${place} .js-plotly-plot`));
  const edges = ({_fullLayout: {xaxis}}) => xaxis.range.map((each) => xaxis.r2l(each));
  const [begin, end] = edges(chart), [first, last] = edges(price), slot = chart.data[0].xperiod;
  const opens = [...chart.data[0].x, ...chart.data[4].x];
  return opens.length > 2 && Math.min(...opens) >= begin && Math.max(...opens) + slot <= end
    && Math.abs(begin - first) <= slot && Math.abs(end - last) <= slot;
}"""
# The price axis has its tags, none of which lies on another.
TAGS_ARE_APART = """() => {
  const tags = [...document.querySelectorAll('.kr-main .kr-tag:not([hidden])')];
  const boxes = tags.map((each) => each.getBoundingClientRect());
  boxes.sort((one, other) => one.top - other.top);
  return boxes.length === 3 && tags.every((each) => /\\d/.test(each.textContent))
    && boxes.every((box, place) => !place || box.top >= boxes[place - 1].bottom - 1);
}"""
TIME_LEFT = (
    "() => /^\\d+:\\d\\d$/.test("
    "document.querySelector('.kr-lower .kr-tag[data-kind=last] .kr-tag-left').textContent)"
)
# Each chart is as large as its place, also after another theme.
CHARTS_FIT = """() => {
  const plots = [...document.querySelectorAll('.kr-dashboard .js-plotly-plot')];
  return plots.every(({_fullLayout: {width, height}, clientWidth, clientHeight}) =>
    width === clientWidth && height === clientHeight);
}"""
# The tape is full, of trades that pass its filter, and no size is cut off.
LEAST = 60
TAPE_IS_FILTERED = f"""() => {{
  const tape = document.querySelector('.kr-tape'), edge = tape.getBoundingClientRect().right;
  const sizes = [...tape.querySelectorAll('.kr-prints .kr-size')];
  return sizes.length > 5 && / of /.test(tape.querySelector('.kr-passed').textContent)
    && sizes.every((each) => +each.textContent.replace(/,/g, '') >= {LEAST})
    && sizes.every((each) => each.getBoundingClientRect().right <= edge + 0.5)
    && /\\.\\d{{3}}$/.test(tape.querySelector('.kr-at').textContent);
}}"""
CANDLE_IS_WIDE = """() => {
  const chart = document.querySelector('.kr-lower .js-plotly-plot'), {xaxis} = chart._fullLayout;
  const bodies = [...chart.querySelectorAll('.boxlayer path.box')];
  const widths = bodies.map((each) => each.getBoundingClientRect().width / xaxis._length);
  return chart.data[0].xperiod === 3600000 && widths.some((each) => each > 0.05 && each < 0.1);
}"""

# The exchange's candles of before the stream, and a line at its begin.
HAS_HISTORY = """() => {
  const {data, layout} = document.querySelector('.kr-lower .js-plotly-plot');
  const seam = layout.shapes.find(({name}) => name === 'history before, live after');
  return data[0].x.length > 8 && Boolean(seam);
}"""
BEGIN = "document.querySelector('.kr-lower .js-plotly-plot').data[0].x[0]"


def press(page, name):
    page.locator(f"button.kr-{name}").click()


def wait_for_change(page, selector):
    before = page.locator(selector).first.text_content()
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector).textContent !== text",
        arg=[selector, before],
    )


def choose_symbol(page, symbol):
    box = page.locator(".kr-symbol input")
    box.fill(symbol)
    box.press("Enter")


def wind(page, share):
    """Take the slider to a place, as a hand does."""
    box = page.locator(f"{PLAYED} .kr-seek").bounding_box()
    page.mouse.click(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)
    page.wait_for_function(
        "([bar, share]) => Math.abs(document.querySelector(bar).value / 10000 - share) < 0.1",
        arg=[f"{PLAYED} .kr-seek", share],
    )


# What sticks out of the dashboard.
_OVERFLOW = """() => {
  const board = document.querySelector('.kr-dashboard'), edge = board.getBoundingClientRect();
  const parts = '.kr-tile, .kr-badge, .kr-controls *, .kr-main, .kr-book, .kr-tape, .kr-bar';
  return [...board.querySelectorAll(parts)].filter((each) => {
    const box = each.getBoundingClientRect();
    return box.width && (box.right > edge.right + 1 || box.left < edge.left - 1);
  }).map((each) => each.className);
}"""


def assert_nothing_sticks_out(page):
    # Charts fit themselves into a new width when the browser has told them of it.
    wait_until(
        lambda: not page.evaluate(_OVERFLOW), PATIENCE, progress=lambda: page.evaluate(_OVERFLOW)
    )


# Numbers that have no room in their place.
CUT = """() => [...document.querySelectorAll('.kr-value, .kr-ladder th, .kr-ladder td')]
  .filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.textContent)"""
# Prices in rows of 10, those of the asks above those of the bids.
ARE_GROUPED = """() => {
  const prices = (side) => [...document.querySelectorAll(`.kr-${side}-row:not(.kr-empty) th`)]
    .map((each) => +each.textContent.replaceAll(',', ''));
  const [asks, bids] = ['asks', 'bids'].map(prices);
  return asks.length && bids.length && [...asks, ...bids].every((each) => each % 10 === 0)
    && Math.min(...asks) > Math.max(...bids);
}"""


def read_the_book(page, shots):
    """Group the ladder, in USDT, and read a tile and the depth under the pointer."""
    page.wait_for_selector(f"{LADDER}:not(.kr-not-live) .kr-bids-row:not(.kr-empty) >> nth=5")
    assert page.locator(f"{LADDER} .kr-own").first.is_hidden()
    page.locator(".kr-unit select").select_option(label="USDT")
    page.locator(".kr-group").select_option(label="10.0")
    wait_for_text(page, f"{LADDER} .kr-ladder-head", "sizes in USDT")
    wait_for_text(page, ".kr-tile[data-tile=volume] .kr-label", "USDT")
    page.wait_for_function(ARE_GROUPED)
    wait_for_text(page, ".kr-ladder-foot", "depth50 ends at")
    page.locator(".kr-tile[data-tile=volume]").hover()
    page.locator(".kr-tile[data-tile=volume] .kr-tile-tip").wait_for(state="visible")
    page.screenshot(path=shots / "dashboard-ladder.png")
    page.locator(".kr-book .kr-tabs button:has-text('Depth')").click()
    wait_for_frames(page, ".kr-book .kr-figure", 1)
    page.locator(".kr-book .nsewdrag").first.hover()
    wait_for_text(page, ".kr-book .hovertext", "from mid")
    page.locator(".kr-book .kr-tabs button:has-text('Ladder')").click()
    page.locator(".kr-unit select").select_option(label="contracts")
    page.wait_for_selector(f"{LADDER}:not(.kr-not-live) .kr-bids-row:not(.kr-empty) >> nth=5")


def share_one_time_axis(page, shots):
    """Point, measure, drag and look at another chart, all in the range zoomed to."""
    box = page.locator(f"{LOWER} .nsewdrag").first.bounding_box()
    middle = box["y"] + box["height"] * 0.5
    page.mouse.move(box["x"] + box["width"] * 0.3, middle)
    wait_for_count(page, "[data-on=yes] .kr-upright", 2)
    main, lower = (page.locator(f"{each} {SHOWN_TIME}") for each in (MAIN, LOWER))
    assert main.text_content() == lower.text_content()
    for name in ("bid", "ask", "mid"):
        wait_for_text(page, f"{MAIN} .kr-values", name)
    assert page.locator(f"{LOWER} .kr-axis-tag:not([hidden])").count() == 2  # time and price
    assert page.locator(f"{MAIN} .kr-axis-tag:not([hidden])").count() == 1

    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, middle - 30, steps=3)
    page.mouse.up()
    page.keyboard.up("Shift")
    measured = page.locator(f"{LOWER} .kr-measure").text_content()
    assert all(each in measured for each in ("Δ +", " %)", "Δt ", " bars"))
    assert page.evaluate(IS_ONE_RANGE)
    page.screenshot(path=shots / "dashboard-measure.png")

    before = page.evaluate(RANGES)
    page.locator(f"{LOWER} .modebar-btn[data-val=pan]").first.dispatch_event("click")
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, middle, steps=3)
    # Along with the hand, in the page's own time.
    page.wait_for_function(
        f"begin => ({RANGES})()[0][0] < begin - 1 && ({IS_ONE_RANGE})()", arg=before[0][0]
    )
    page.mouse.move(box["x"] + box["width"] * 0.7, middle, steps=3)
    page.mouse.up()
    page.locator(".kr-lower .kr-tabs button:has-text('Spread')").click()
    wait_for_text(page, f"{LOWER} .kr-values", "imbalance")
    page.wait_for_function(IS_ONE_RANGE)  # one that is opened takes part
    page.locator(".kr-lower .kr-tabs button:has-text('Candles')").click()
    page.wait_for_selector(f"{LOWER}.kr-zoomed[data-frame]")


# Stands in for the browser's own, which shows nothing without a desktop.
_NOTIFICATIONS = """() => {
  globalThis.notified = [];
  globalThis.Notification = class {
    static requestPermission = async () => 'granted';
    constructor(text, {tag}) { notified.push([text, tag]); }
  };
}"""


def set_alert(page, text):
    page.locator(".kr-alert-text").fill(text)
    page.locator(".kr-alert-text").press("Enter")


def assert_alerts_are_set_and_reported(book, page):
    page.evaluate(_NOTIFICATIONS)
    page.locator(".kr-notify").check()
    set_alert(page, "prize > 1")
    wait_for_text(page, LINE, "an alert knows no 'prize'")
    set_alert(page, "price > 1")
    page.wait_for_selector(".kr-alarms .kr-row:has-text('XBTUSDTM price > 1: ')")
    wait_for_text(page, ".kr-alert-list .kr-row", "holds now")
    page.locator(".kr-alert-away").click()
    wait_for_text(page, ".kr-alert-list", "none is set")
    press(page, "badge")
    book.run_more("board.alert('mid > 2', once=True)")
    wait_for_text(page, ".kr-flag", "⚑ 1 · XBTUSDTM mid > 2: ")
    page.wait_for_function("() => notified.some(([text]) => text.includes('mid > 2'))")
    press(page, "badge")
    page.locator(".kr-flag").wait_for(state="hidden")


def assert_the_watch_list_shows_a_symbol_by_its_card(page):
    """Press a card with the mouse and another with the keyboard; both symbols stream already."""
    page.wait_for_selector(".kr-card:has-text('ETHUSDTM'):has-text('%')")
    page.locator(".kr-card:has-text('ETHUSDTM')").click()
    wait_for_text(page, ".kr-symbol-name", "ETHUSDTM")
    page.wait_for_selector(".kr-card[aria-pressed=true]:has-text('ETHUSDTM')")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    wait_for_text(page, ".kr-symbol-name", "XBTUSDTM")


def assert_indicators_are_typed(page):
    """A wrong name is named and marked; right ones are drawn, over the price and in a pane."""
    box = page.locator(".kr-indicators input")
    box.fill("SAM 2")
    box.press("Enter")
    wait_for_text(page, LINE, "did you mean SMA")
    page.wait_for_selector(".kr-indicators input[aria-invalid=true]")
    box.fill("sma 2, RSI 3")
    box.press("Enter")
    wait_for_text(page, f"{LOWER} .kr-axis-titles", "RSI 3")
    wait_for_text(page, f"{LOWER} .legend", "SMA 2")
    page.wait_for_selector(".kr-indicators input[aria-invalid=false]")


def test_start_watch_zoom_switch_record_and_stop(notebook, page, shots):
    book = notebook("board.ipynb", MAKE)
    book.run_all()
    wait_for_text(page, BADGE, "idle")
    for figure, what in ((MAIN, "quote or trade"), (LOWER, "candle")):
        wait_for_text(page, f"{figure} .annotation", f"waiting for the first {what} of XBTUSDTM")
    assert page.locator(f"{MAIN} .xtick, {LOWER} .xtick, {LOWER} .ytick").count() == 0

    press(page, "start")
    wait_for_text(page, BADGE, "live")
    wait_for_change(page, PRICE)
    for figure in (MAIN, LOWER, LADDER):
        wait_for_frames(page, figure, 3)
    page.wait_for_selector(".kr-prints .kr-print >> nth=5")
    page.wait_for_function(CANDLES_ARE_WHOLE)
    page.wait_for_function(TAGS_ARE_APART)
    page.wait_for_function(TIME_LEFT)
    least = page.get_by_label("smallest size that the tape shows")
    least.fill(str(LEAST))
    least.press("Enter")
    page.wait_for_function(TAPE_IS_FILTERED)
    page.locator(".kr-interval select").select_option("1hour")
    page.wait_for_function(CANDLE_IS_WIDE)
    page.wait_for_function(HAS_HISTORY)
    begin = page.evaluate(BEGIN)
    look_until(page, LOWER)
    page.locator(LOWER).focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(f"begin => {BEGIN} < begin", arg=begin)
    page.keyboard.press("Home")
    page.locator(".kr-interval select").select_option("auto")
    press(page, "record")
    wait_for_text(page, ".kr-facts", "recorded")

    zoom(page, MAIN)
    zoomed, _ = page.evaluate(RANGES)
    page.wait_for_selector(f"{LOWER}.kr-zoomed")
    assert page.evaluate(IS_ONE_RANGE)
    share_one_time_axis(page, shots)
    wait_for_change(page, PRICE)
    assert page.evaluate(RANGES)[0] == pytest.approx(zoomed, abs=1)
    page.locator(f"{LOWER} .kr-note").click()
    wait_for_count(page, ".kr-zoomed", 0)
    wait_for_frames(page, MAIN, 2)
    assert page.evaluate(RANGES)[0][1] > zoomed[1] + 1

    read_the_book(page, shots)
    press(page, "badge")
    page.wait_for_selector(".kr-events .kr-row")
    assert_alerts_are_set_and_reported(book, page)
    assert_indicators_are_typed(page)
    for width, theme in ((1900, "Light"), (900, "Dark")):
        page.set_viewport_size({"width": width, "height": 1000})
        set_theme(page, f"JupyterLab {theme}")
        wait_for_frames(page, MAIN, 2)
        page.wait_for_function(CHARTS_FIT)
        assert_nothing_sticks_out(page)
        page.wait_for_function(TAPE_IS_FILTERED)
        assert page.evaluate(CUT) == []
        page.screenshot(path=shots / f"dashboard-{theme.lower()}-{width}.png")

    choose_symbol(page, "XBTUSDTX")
    page.wait_for_selector(f"{LINE}[data-tone=wrong]")
    wait_for_text(page, LINE, "XBTUSDTM")
    wait_for_count(page, ".kr-symbol.kr-wrong", 1)
    choose_symbol(page, "ETHUSDTM")
    wait_for_text(page, ".kr-symbol-name", "ETHUSDTM")
    wait_for_text(page, BADGE, "live")
    page.wait_for_function(f"() => {COST} < 20000")
    wait_for_text(page, LINE, "XBTUSDTM goes on behind")
    press(page, "channel-ticker")  # off
    wait_for_text(page, LINE, "streaming ETHUSDTM: trade, depth50")
    wait_for_frames(page, MAIN, 3)
    press(page, "channel-ticker")
    press(page, "channel-mark_price")
    wait_for_text(page, LINE, "depth50, mark_price")
    page.locator(".kr-lower .kr-tabs button:has-text('Mark')").click()
    page.wait_for_selector(f"{LOWER}[aria-label*='mark']")  # it counts its own frames
    wait_for_frames(page, LOWER, 3)
    page.screenshot(path=shots / "dashboard-other-symbol.png")
    page.locator(".kr-lower .kr-tabs button:has-text('Candles')").click()
    choose_symbol(page, "XBTUSDTM")
    wait_for_text(page, ".kr-symbol-name", "XBTUSDTM")
    page.wait_for_function(f"() => {COST} > 20000")
    wait_for_frames(page, MAIN, 3)
    wait_for_text(page, BADGE, "live")
    page.screenshot(path=shots / "dashboard-back.png")
    assert_the_watch_list_shows_a_symbol_by_its_card(page)

    press(page, "stop")
    wait_for_text(page, LINE, "recorded")
    wait_for_text(page, BADGE, "stopped")
    wait_for_count(page, ".kr-main .kr-tags.kr-old, .kr-lower .kr-tags.kr-old", 2)
    wait_for_text(page, f"{LADDER}.kr-not-live .kr-ladder-trouble", "the stream is stopped")
    kept = sorted((book.lab.folder / "sessions").glob("*/session.json"))
    (path,) = kept  # one recording, whatever was pressed
    session = json.loads(path.read_text())
    assert session["symbols"] == ["XBTUSDTM", "ETHUSDTM"]
    assert session["channels"] == ["ticker", "trade", "depth50", "mark_price"]
    book.run_more(KEPT)
    page.wait_for_selector("pre:has-text('KEPT True 0 []')")

    book.run_more(REPLAY)
    look_until(page, PLAYED, f"!document.querySelector('{PLAYED} .kr-bar').hidden")
    look_until(page, f"{PLAYED} .kr-bar")
    wind(page, 0.2)
    early = page.locator(f"{PLAYED} .kr-here").text_content()
    page.locator(f"{PLAYED} .kr-speed").select_option("10")
    page.locator(f"{PLAYED} .kr-play").click()
    page.wait_for_selector(f"{PLAYED} .kr-bar[data-state=ended]")
    assert page.locator(f"{PLAYED} .kr-here").text_content() > early
    wait_for_text(page, f"{PLAYED} .kr-price", book.told("LAST"))
    page.screenshot(path=shots / "dashboard-replay.png")
    page.locator(f"{PLAYED} .kr-speed").select_option("0.1")  # slow enough to be seen playing
    wind(page, 0.2)
    page.wait_for_selector(f"{PLAYED} .kr-bar[data-state=paused]")  # it had ended
    page.locator(f"{PLAYED} .kr-play").click()
    page.wait_for_selector(f"{PLAYED} .kr-bar[data-state=playing]")


def test_busy_cells_runs_again_the_kept_picture_and_a_restart(notebook, page, shots):
    count = """
import threading
names = sorted(each.name for each in threading.enumerate() if each.name.startswith("kucoin"))
print("LEFT", len(kr.running()), len(kr.figures.refresher()), sum("figures" in n for n in names))
"""
    seen = shots.parent / "seen"  # so long it is busy
    busy = f"""
import pathlib, time
before, end = board.source.total("trade"), time.monotonic() + 5
while time.monotonic() < end or not pathlib.Path({str(seen)!r}).exists():
    sum(range(1000))
print("FREE")
"""
    start = (
        "import kucoin_research as kr; exchange = kr.simulate(seed=7, speed=5, start='2026-01-05')"
    )
    again = 'board = kr.dashboard("XBTUSDTM", venue=exchange.venue, start=True); board'
    book = notebook("runs.ipynb", start, again, count)
    for _ in range(3):
        book.run_all()
        book.wait_until_run()
        wait_for_text(page, BADGE, "live")
        page.wait_for_selector("pre:has-text('LEFT 1 4 1')")
    wait_for_count(page, ".kr-dashboard", 1)

    book.run_more(busy)
    look_until(page, ".kr-badge", "node.title.includes('the kernel has been busy for')")
    seen.touch()  # the badge says for 10 s what follows
    look_until(page, ".kr-badge", "node.title.includes('the kernel was busy for')")
    page.wait_for_selector("pre:has-text('FREE')")
    book.run_more(
        "caught_up = board._refresh.readers.tiles.trades > before\n"
        "print('CAUGHT UP', caught_up, board.source.report().verdict)"
    )
    page.wait_for_selector("pre:has-text('CAUGHT UP True')")

    look_until(page, ".kr-dashboard", "document.querySelector('.jp-RenderedImage img')")
    text = book.save()
    outputs = json.loads(text)["cells"][1]["outputs"]
    picture = next(out["data"]["image/png"] for out in outputs if "image/png" in out["data"])
    (shots / "dashboard-kept.png").write_bytes(base64.b64decode(picture))
    assert len(text) < 1_000_000
    assert "widgets" not in json.loads(text)["metadata"]
    page.locator(".jp-RenderedImage img").first.wait_for(state="hidden")

    book.restart()
    page.wait_for_selector(".jp-RenderedImage img", state="visible")
    page.locator(".kr-dashboard").first.wait_for(state="hidden")
    book.run_more("import kucoin_research as kr" + count)
    page.wait_for_selector("pre:has-text('LEFT 0 0 0')")


def test_a_dashboard_shown_twice_is_live_in_sight_until_its_kernel_is_lost(notebook, page, shots):
    start = (
        "import kucoin_research as kr; exchange = kr.simulate(seed=7, speed=5, start='2026-01-05')"
    )
    make = 'board = kr.dashboard("XBTUSDTM", venue=exchange.venue, start=True); board'
    book = notebook("twice.ipynb", start, make)
    book.run_all()
    wait_for_text(page, BADGE, "live")
    book.run_more("board")
    wait_for_count(page, ".kr-panel[data-seq]", 2)
    page.locator(".kr-dashboard").last.scroll_into_view_if_needed()
    page.wait_for_function(
        "() => document.querySelector('.kr-dashboard').getBoundingClientRect().bottom < 85"
    )

    last = "Number([...document.querySelectorAll('.kr-panel')].at(-1).dataset.seq)"
    before = page.evaluate(last)
    page.wait_for_function(f"() => {last} > {before} + {MANY}")

    page.wait_for_selector(f"{BADGE}:text-is('live') >> nth=1")

    # Another tab on the same kernel, which comes, looks, and goes without a word.
    book.save()
    other = page.context.new_page()
    other.goto(book.lab.address(book.name))
    wait_for_frames(other, MAIN, 3)
    wait_for_text(other, BADGE, "live")
    page.bring_to_front()
    before = page.evaluate(last)
    other.close()
    page.wait_for_function(f"() => {last} > {before} + {MANY}")
    assert page.locator(f"{BADGE}:text-is('lost')").count() == 0

    book.run_more("import os; print('PID', os.getpid())")
    kernel = int(book.told("PID"))
    look_until(page, ".kr-dashboard", which=-1)
    os.kill(kernel, signal.SIGSTOP)
    told = "node.querySelector('.kr-badge').textContent.includes('no word from its kernel for')"
    look_until(page, ".kr-dashboard", told, which=-1)
    page.wait_for_selector(".kr-figure[data-doubt*='no word from its kernel for']")
    page.screenshot(path=shots / "dashboard-lost.png")
    os.kill(kernel, signal.SIGCONT)
    page.wait_for_selector(f"{BADGE}:text-is('live') >> nth=1")

    book.command("kernelmenu:shutdown")  # which the page does not tell its widgets

    page.wait_for_selector(f"{LOST}:has-text('its kernel has ended')")
    page.wait_for_selector(".kr-figure[data-doubt*='its kernel has ended']")
