"""The dashboard in a real JupyterLab: pressed, watched, zoomed, replayed, saved, and restarted."""

MAKE = """
import kucoin_research as kr
exchange = kr.simulate(seed=7, speed=20)
board = kr.dashboard("XBTUSDTM", venue=exchange.venue, root="sessions")
board
"""
BADGE = ".kr-badge .kr-word"
PRICE = ".kr-price"
AXIS = (
    "() => document.querySelector('.kr-main .js-plotly-plot')._fullLayout.xaxis.range.map(String)"
)
LINE = ".kr-status .kr-line"
STILL = "() => document.querySelector('.jp-OutputArea-child .jp-RenderedImage img')"


def press(page, name):
    page.locator(f"button.kr-{name}").click()


def wait_for_text(page, selector, text):
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector)?.textContent.includes(text)",
        arg=[selector, text],
    )


def wait_for_change(page, selector):
    before = page.locator(selector).first.text_content()
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector).textContent !== text",
        arg=[selector, before],
    )


def wait_for_frames(page, place, count):
    figure = f".{place} .kr-figure"
    page.wait_for_selector(f"{figure}[data-frame] .js-plotly-plot")
    before = int(page.locator(figure).get_attribute("data-frame"))
    page.wait_for_function(
        "([figure, frame]) => +document.querySelector(figure)?.dataset.frame >= frame",
        arg=[figure, before + count],
    )


def choose_symbol(page, symbol):
    box = page.locator(".kr-symbol input")
    box.fill(symbol)
    box.press("Enter")


def zoom(page):
    box = page.locator(".kr-main .nsewdrag").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.6, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, middle, steps=5)
    page.mouse.up()
    page.wait_for_selector(".kr-main .kr-figure.kr-zoomed")


def overflow(page):
    """Name what sticks out of the dashboard, or out of its place in it."""
    return page.evaluate(
        """() => {
          const board = document.querySelector('.kr-dashboard');
          const edge = board.getBoundingClientRect();
          const parts = '.kr-tile, .kr-badge, .kr-controls *, .kr-main, .kr-book, .kr-tape, .kr-bar';
          return [...board.querySelectorAll(parts)].filter((each) => {
            const box = each.getBoundingClientRect();
            return box.width && (box.right > edge.right + 1 || box.left < edge.left - 1);
          }).map((each) => each.className);
        }"""
    )


def test_start_watch_zoom_switch_record_and_stop(notebook, page, shots):
    book = notebook("board.ipynb", MAKE)
    book.run_all()
    wait_for_text(page, BADGE, "idle")

    press(page, "start")
    wait_for_text(page, BADGE, "live")
    wait_for_change(page, PRICE)
    for place in ("kr-main", "kr-lower", "kr-book"):
        wait_for_frames(page, place, 5)
    assert page.locator(".kr-prints .kr-print").count() > 5

    zoom(page)
    zoomed = page.evaluate(AXIS)
    wait_for_frames(page, "kr-lower", 5)
    assert page.evaluate(AXIS) == zoomed
    page.locator(".kr-main .nsewdrag").first.dblclick()
    page.wait_for_selector(".kr-main .kr-figure:not(.kr-zoomed)")

    choose_symbol(page, "BTCUSDTM")  # KuCoin says XBT
    wait_for_text(page, LINE, "XBTUSDTM")
    assert page.locator(".kr-symbol.kr-wrong").count() == 1
    choose_symbol(page, "ETHUSDTM")
    wait_for_text(page, ".kr-symbol-name", "ETHUSDTM")
    wait_for_text(page, BADGE, "live")
    page.wait_for_function(
        "() => +document.querySelector('.kr-price').textContent.replace(/[^0-9.]/g, '') < 20000"
    )

    page.locator("button.kr-record").click()
    wait_for_text(page, ".kr-facts", "recorded")
    press(page, "stop")
    wait_for_text(page, LINE, "recorded")
    wait_for_text(page, BADGE, "stopped")
    assert list((book.lab.folder / "sessions").glob("*ETHUSDTM*/session.json"))


def test_it_fits_from_900_to_1900_pixels_in_light_and_dark(notebook, page, shots):
    book = notebook("fits.ipynb", MAKE.replace("board\n", "").rstrip() + "\nboard.start(); board")
    book.run_all()
    wait_for_frames(page, "kr-main", 10)
    press(page, "badge")
    page.wait_for_selector(".kr-events .kr-row")

    for width, theme in ((1900, "Light"), (900, "Dark")):
        page.set_viewport_size({"width": width, "height": 1060})
        book.set_theme(f"JupyterLab {theme}")
        wait_for_frames(page, "kr-main", 4)
        wait_for_frames(page, "kr-book", 4)
        assert overflow(page) == []
        page.locator(".kr-dashboard").screenshot(
            path=shots / f"dashboard-{theme.lower()}-{width}.png"
        )
