"""The dashboard in a real JupyterLab: pressed, watched, zoomed, replayed, saved, and restarted."""

import base64
import json
import os
import signal

from tests.browser.lab import set_theme
from tests.browser.waits import (
    follow_again,
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
exchange = kr.simulate(seed=7, speed=5)
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
PRICE = ".kr-price"
AXIS = (
    "() => document.querySelector('.kr-main .js-plotly-plot')._fullLayout.xaxis.range.map(String)"
)
LINE = ".kr-status .kr-line"
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
CANDLE_IS_WIDE = """() => {
  const chart = document.querySelector('.kr-lower .js-plotly-plot'), {xaxis} = chart._fullLayout;
  const bodies = [...chart.querySelectorAll('.boxlayer path.box')];
  const widths = bodies.map((each) => each.getBoundingClientRect().width / xaxis._length);
  return chart.data[0].xperiod === 3600000 && widths.some((each) => each > 0.05 && each < 0.1);
}"""


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
    wait_for_text(page, f"{LOWER} .g-y10title", "RSI 3")
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
    for figure in (MAIN, LOWER, ".kr-book .kr-figure"):
        wait_for_frames(page, figure, 3)
    page.wait_for_selector(".kr-prints .kr-print >> nth=5")
    page.wait_for_function(CANDLES_ARE_WHOLE)
    page.locator(".kr-interval select").select_option("1hour")
    page.wait_for_function(CANDLE_IS_WIDE)
    page.locator(".kr-interval select").select_option("auto")
    press(page, "record")
    wait_for_text(page, ".kr-facts", "recorded")

    zoom(page, MAIN)
    zoomed = page.evaluate(AXIS)
    wait_for_frames(page, LOWER, 3)
    assert page.evaluate(AXIS) == zoomed
    follow_again(page, MAIN)

    press(page, "badge")
    page.wait_for_selector(".kr-events .kr-row")
    assert_alerts_are_set_and_reported(book, page)
    assert_indicators_are_typed(page)
    for width, theme in ((1900, "Light"), (900, "Dark")):
        page.set_viewport_size({"width": width, "height": 1000})
        set_theme(page, f"JupyterLab {theme}")
        wait_for_frames(page, MAIN, 2)
        assert_nothing_sticks_out(page)
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
    start = "import kucoin_research as kr; exchange = kr.simulate(seed=7, speed=5)"
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
    start = "import kucoin_research as kr; exchange = kr.simulate(seed=7, speed=5)"
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
