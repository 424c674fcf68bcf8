"""The dashboard and a figure without a mouse, and as a screen reader and axe-core see them."""

from tests.browser.accessible import assert_accessible
from tests.browser.lab import set_theme
from tests.browser.waits import look_until, wait_for_count, wait_for_text

MAKE = """
import kucoin_research as kr
exchange = kr.simulate(seed=7, speed=5, start="2026-01-05")
board = kr.dashboard("XBTUSDTM", venue=exchange.venue, root="by-keys")
board
"""
STRATEGY = """
class Turns:
    def __init__(self):
        self.next = 0
    def __call__(self, record, broker):
        if broker.best().mid is None or broker.now < self.next:
            return
        self.next = broker.now + 200_000_000
        size = broker.position().size
        broker.note("flat, so buy" if size <= 0 else "long, so sell")
        broker.target(-2 if size > 0 else 3)
"""
REPLAY = """
from pathlib import Path
session = kr.load(sorted(Path("by-keys").glob("*XBTUSDTM*"))[0])
replayed = kr.dashboard(session, strategy=Turns())
replayed
"""
BOARD, PLAYED = ".kr-dashboard", ".kr-of-replay"
BADGE, LINE = ".kr-badge .kr-word", ".kr-status .kr-line"
MAIN = ".kr-main .kr-figure"
CELLS = "() => window.jupyterapp.shell.currentWidget.content.model.cells.length"
FOCUSED = """() => {
  const focused = document.activeElement, by = focused.getAttribute('aria-labelledby');
  const label = by && document.getElementById(by.split(' ')[0]).textContent;
  return label || focused.getAttribute('aria-label') || focused.textContent.replace('▾', '').trim();
}"""
# What is focused by a key must look so: an outline, or the frame of a chart.
IS_RINGED = """() => {
  const node = document.activeElement;
  return getComputedStyle(node).outlineStyle !== 'none'
    || getComputedStyle(node, '::before').borderTopStyle === 'solid';
}"""
RANGE = """figure => document.querySelector(`${figure} .js-plotly-plot`)._fullLayout.xaxis.range
  .map((each) => (typeof each === 'number' ? each : Date.parse(`${each.replace(' ', 'T')}Z`)))"""
SCALE = f"document.querySelector('{MAIN} .js-plotly-plot')._fullLayout.yaxis.type"
MARK = """node => [
  getComputedStyle(node, '::before').content, getComputedStyle(node).borderTopWidth,
]"""
NO_TITLES = """() => [...document.querySelectorAll('.kr-dashboard [title]')]
  .filter((each) => ['null', 'undefined', ''].includes(each.title)).map((each) => each.outerHTML)"""


def tabbed(page, presses):
    """Press Tab a number of times; returns the names of what it reached, each with a ring."""
    names = []
    for _ in range(presses):
        page.keyboard.press("Tab")
        names.append(page.evaluate(FOCUSED))
        assert page.evaluate(IS_RINGED), names
    return names


def type_symbol(page, text):
    page.locator(".kr-symbol input").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def wait_for_focus(page, selector):
    page.wait_for_function("selector => document.activeElement.matches(selector)", arg=selector)


def test_a_dashboard_by_keyboard_alone(notebook, page, shots):
    book = notebook("keys.ipynb", MAKE)
    book.run_all()
    book.wait_until_run()
    wait_for_text(page, BADGE, "idle")
    assert_accessible(page, BOARD)

    type_symbol(page, "s")
    wait_for_text(page, LINE, "2 symbols fit 's': SOLUSDTM, SHIBUSDTM")
    page.wait_for_selector(".kr-symbol input[aria-invalid=true]")
    type_symbol(page, "sol")
    wait_for_text(page, ".kr-symbol-name", "SOLUSDTM")
    type_symbol(page, "btc")
    wait_for_text(page, ".kr-symbol-name", "XBTUSDTM")

    assert tabbed(page, 1) == ["Start"]
    page.keyboard.press("Enter")
    wait_for_text(page, BADGE, "live")
    wait_for_focus(page, ".kr-stop")  # not lost with the button that is disabled

    # JupyterLab would delete the cell, and choose another one.
    for key in ("d", "d", "b", "ArrowDown"):
        page.keyboard.press(key)
    assert page.evaluate(CELLS) == 1
    page.keyboard.press("Control+s")  # its own keys are JupyterLab's, as ever
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")

    page.locator(".kr-badge").focus()
    assert tabbed(page, 19) == [
        "Futures", "Spot", "symbol", "Stop", "Record", "folder that recordings go to", "Freeze",
        "interval of candles", "window: time shown", "unit of sizes", "indicators of the candles",
        "ticker", "trades", "depth 50", "level 2", "candles", "mark", "funding", "last",
    ]  # fmt: skip
    tabbed(page, 1)
    wait_for_focus(page, MAIN)
    page.wait_for_selector(f"{MAIN}[role=figure][aria-label*='best bid 8']")
    page.keyboard.press("+")
    page.wait_for_selector(f"{MAIN}.kr-zoomed")
    begin, end = page.evaluate(RANGE, MAIN)
    for times in (2, 4):  # the newest data stay in sight, though they have moved on meanwhile
        page.keyboard.press("+")
        page.wait_for_function(
            f"([figure, length]) => {{ const [from, to] = ({RANGE})(figure);"
            " return Math.abs(to - from - length) < 2; }",
            arg=[MAIN, (end - begin) / times],
        )
        assert abs(page.evaluate(RANGE, MAIN)[1] - end) < 2
    use_the_crosshair_and_read_the_keys(page)
    page.keyboard.press("Home")
    wait_for_count(page, ".kr-zoomed", 0)

    page.locator(".kr-tile[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.locator(".kr-tile[data-tile=change] .kr-tile-tip").wait_for(state="visible")
    page.keyboard.press("Escape")
    page.locator(".kr-tile[data-tile=change] .kr-tile-tip").wait_for(state="hidden")
    page.locator(".kr-group").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator(".kr-group option:checked").text_content() == "0.2"
    page.locator(".kr-interval select").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator(".kr-interval select").input_value() == "1s"
    page.locator(".kr-record").focus()
    page.keyboard.press("Space")
    page.wait_for_selector(".kr-record[aria-pressed=true]")
    wait_for_text(page, ".kr-facts", "recorded")
    page.locator(".kr-tabs button:text-is('Spread')").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".kr-lower .kr-figure[aria-label*='spread and imbalance']")
    page.locator(".kr-badge").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".kr-events .kr-row")
    assert tabbed(page, 1) == ["events, the newest first"]
    page.locator(".kr-least").focus()
    page.keyboard.type("20")
    page.keyboard.press("Enter")
    wait_for_text(page, ".kr-passed", " of ")
    page.keyboard.press("Control+A")
    page.keyboard.type("-5")
    page.wait_for_selector(".kr-least[aria-invalid=true]")
    wait_for_text(page, ".kr-passed", "a size is 0 or more")
    assert page.evaluate(NO_TITLES) == []
    for theme in ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"):
        set_theme(page, theme)
        assert_accessible(page, BOARD)
        page.screenshot(path=shots / f"keyboard-{theme.rpartition(' ')[2].lower()}.png")
    page.emulate_media(forced_colors="active")
    pressed = page.locator(".kr-channel-trade")
    assert pressed.evaluate(MARK) == ['"✓ "', "2px"]
    page.screenshot(path=shots / "keyboard-forced.png")
    page.emulate_media(forced_colors="none")
    assert page.locator(".kr-said[role=status]").text_content().startswith("data live")
    page.locator(".kr-stop").focus()
    page.keyboard.press("Enter")
    wait_for_text(page, ".kr-said[role=status]", "data stopped")

    watch_a_replay(book, page, shots)


def use_the_crosshair_and_read_the_keys(page):
    """Measure by the keys, switch the scale, and open the list of keys."""
    heard = f"{MAIN} .kr-heard"
    page.keyboard.press("Shift+ArrowLeft")
    wait_for_text(page, heard, "bid 8")
    page.keyboard.press("m")
    for _ in range(2):
        page.keyboard.press("Shift+ArrowLeft")
    wait_for_text(page, heard, "Δt −")
    assert page.locator(f"{MAIN} .kr-measure").is_visible()
    page.keyboard.press("Escape")
    page.locator(f"{MAIN} .kr-measure").wait_for(state="hidden")
    page.keyboard.press("l")
    page.wait_for_selector(f"{MAIN} .kr-log[aria-pressed=true]")
    page.wait_for_function(f"() => {SCALE} === 'log'")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open] .kr-keys-close:focus")
    assert_accessible(page, "dialog[open]")
    page.keyboard.press("Escape")
    wait_for_count(page, "dialog", 0)
    wait_for_focus(page, MAIN)
    page.keyboard.press("/")
    wait_for_focus(page, ".kr-symbol input")
    page.keyboard.press("?")  # is typed
    wait_for_count(page, "dialog", 0)
    page.keyboard.press("Backspace")
    page.locator(MAIN).focus()
    page.keyboard.press("l")
    page.wait_for_function(f"() => {SCALE} === 'linear'")


def watch_a_replay(book, page, shots):
    """Play what was recorded, with a strategy, by the keys."""
    book.run_more(STRATEGY + REPLAY)
    look_until(page, f"{PLAYED} .kr-bar", "!node.hidden")
    page.wait_for_selector(f"{PLAYED} .kr-decision >> nth=3")
    set_theme(page, "JupyterLab Light")
    page.wait_for_selector(f"{PLAYED} {MAIN}[aria-label*='best bid 8']")
    assert_accessible(page, PLAYED)
    set_theme(page, "JupyterLab Dark")
    assert_accessible(page, PLAYED)

    slider, here = page.locator(f"{PLAYED} .kr-seek"), f"{PLAYED} .kr-here"
    slider.focus()
    page.keyboard.press("Home")
    start = slider.get_attribute("aria-valuetext")
    page.keyboard.press("PageUp")
    page.keyboard.press("ArrowRight")
    wanted = slider.get_attribute("aria-valuetext")
    assert wanted > start
    assert page.locator(f"{PLAYED} .kr-thumb").text_content() == wanted
    wait_for_text(page, here, wanted)  # sought once the keys rest
    page.locator(f"{PLAYED} .kr-thumb").wait_for(state="hidden")
    for key, sign in (*6 * [("ArrowRight", 1)], ("PageUp", 1), ("PageDown", -1), ("ArrowLeft", -1)):
        before = slider.get_attribute("aria-valuetext")
        page.keyboard.press(key)
        wanted = slider.get_attribute("aria-valuetext")
        assert (wanted > before[: len(wanted)]) == (sign > 0)  # also from a round time on
        assert wanted != before[: len(wanted)]
        wait_for_text(page, here, wanted)
        page.locator(f"{PLAYED} .kr-thumb").wait_for(state="hidden")

    box = slider.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] / 2, steps=3)
    drawn_to = page.locator(f"{PLAYED} .kr-thumb").text_content()
    page.screenshot(path=shots / "keyboard-slider.png")
    assert page.locator(here).text_content()[: len(wanted)] == wanted  # nothing is sought yet
    page.mouse.up()
    wait_for_text(page, here, drawn_to[:-2])

    at = page.locator(here).text_content()
    page.locator(f"{PLAYED} .kr-stride").focus()
    for stride in ("next trade", "1 s"):
        page.locator(f"{PLAYED} .kr-stride").select_option(label=stride)
        page.locator(f"{PLAYED} .kr-step").focus()
        page.keyboard.press("Enter")
        page.wait_for_function(
            "([selector, at]) => document.querySelector(selector).textContent > at", arg=[here, at]
        )
        at = page.locator(here).text_content()
    page.locator(f"{PLAYED} .kr-play").focus()
    page.keyboard.press("Enter")
    wait_for_focus(page, ".kr-pause, .kr-play")  # the one takes the other's place
    page.wait_for_selector(f"{PLAYED} .kr-bar[data-state=ended]")

    page.locator(f"{PLAYED} .kr-decision[tabindex='0']").focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{PLAYED} .kr-decision[aria-pressed=true]:focus")
    page.wait_for_selector(f"{PLAYED} .kr-moment .kr-moment-head")

    book.run_more("kr.figures.price(replayed.source, 'XBTUSDTM')")
    alone = ".jp-OutputArea-output > .kr-figure"
    look_until(page, alone, "node.getAttribute('aria-label').includes('best bid 8')")
    assert_accessible(page, alone)
