"""A screener in a real JupyterLab: 700 contracts that move, are sorted, filtered and opened."""

from tests.browser.lab import set_theme
from tests.browser.waits import look_until, wait_for_text

START = """
import kucoin_research as kr
exchange = kr.simulate(contracts=700, start="2026-01-05")
exchange.resume()
screener = kr.screener(exchange.venue, live=True)
screener
"""
# The values of a column that are shown, as numbers.
COLUMN = """place => [...document.querySelectorAll('.kr-screener tbody tr')].map((row) => {
  const [number, unit] = row.cells[place].textContent.replace('−', '-').split(' ');
  return Number(number) * ({k: 1e3, M: 1e6, G: 1e9}[unit] ?? 1);
})"""
# The column of the order, the rows of a page, and the page.
CHOSEN = """() => [
  document.querySelector('.kr-screener th[aria-sort=descending]')?.textContent,
  document.querySelector('.kr-screener .dt-length select').value,
  document.querySelector('.kr-screener .dt-paging .current').textContent,
]"""
TEXT = "() => document.querySelector('.kr-screener tbody').textContent"
CHANGE, TURNOVER = 2, 3


def is_falling(values):
    return values == sorted(values, reverse=True)


def wait_for_change(page):
    """Wait until the cells that are shown have changed."""
    before = page.evaluate(TEXT)
    page.wait_for_function(f"before => ({TEXT})() !== before", arg=before)


def test_all_contracts_are_sorted_filtered_and_opened_while_they_move(notebook, page, shots):
    book = notebook("screener.ipynb", START)
    book.run_all()
    page.wait_for_selector(".kr-screener tbody .kr-open")
    wait_for_text(page, ".kr-screener .dt-info", "of 700")
    look_until(page, ".kr-screener .kr-rows")
    assert is_falling(page.evaluate(COLUMN, TURNOVER))  # the largest turnover comes first
    wait_for_change(page)

    # By keyboard: a header is a button for the sort by its column.
    header = page.locator(".kr-screener th", has_text="24 h %")
    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".kr-screener th[aria-sort=descending]:has-text('24 h %')")
    for _ in range(5):
        wait_for_change(page)
    page.wait_for_function(
        f"place => (({COLUMN})(place)).every((each, at, all) => !at || each <= all[at - 1])",
        arg=CHANGE,
    )
    page.screenshot(path=shots / "screener-light.png")

    # A contract that is delisted, and listed again, moves nothing that the reader has chosen.
    page.locator(".kr-screener .dt-length select").select_option("25")
    page.locator(".kr-screener .dt-paging").get_by_text("2", exact=True).click()
    book.run_more("exchange.inject('delist', symbol='XRPUSDTM')")
    look_until(page, ".kr-screener .kr-rows")
    wait_for_text(page, ".kr-screener .dt-info", "26 to 50 of 699")
    assert page.evaluate(CHOSEN) == ["24 h %", "25", "2"]
    book.run_more("exchange.heal()")
    look_until(page, ".kr-screener .kr-rows")
    first = page.locator(".kr-screener tbody .kr-open").first
    symbol = first.text_content()
    first.focus()
    wait_for_text(page, ".kr-screener .dt-info", "of 700")
    assert page.evaluate("() => document.activeElement.textContent") == symbol
    assert page.evaluate(CHOSEN)[:2] == ["24 h %", "25"]
    page.screenshot(path=shots / "screener-listed.png")
    page.locator(".kr-screener .dt-length select").select_option("50")

    least = page.locator(".kr-screener .kr-least")
    for text, is_wrong in (("2,5M", "true"), ("1.", "false"), ("1,000,000", "false")):
        least.fill(text)
        assert least.get_attribute("aria-invalid") == is_wrong
    least.fill("1M")
    wait_for_text(page, ".kr-screener .dt-info", "(of 700)")
    assert min(page.evaluate(COLUMN, TURNOVER)) >= 999_000
    page.locator(".kr-screener .kr-text").fill("zzz, xbt")
    wait_for_text(page, ".kr-screener .dt-info", "1 to 3 of 3 (of 700)")
    wait_for_change(page)
    wait_for_text(page, ".kr-screener .dt-info", "1 to 3 of 3 (of 700)")
    assert page.locator(".kr-dashboard").count() == 0  # no press was on a row

    set_theme(page, "JupyterLab Dark")
    page.locator(".kr-screener .kr-open", has_text="XBTUSDCM").press("Enter")
    page.wait_for_selector(".kr-screener-box .kr-dashboard .kr-figure[data-frame] .js-plotly-plot")
    wait_for_text(page, ".kr-dashboard .kr-symbol-name", "XBTUSDCM")
    page.wait_for_selector(".kr-screener tr.kr-pressed:has-text('XBTUSDCM')")
    page.screenshot(path=shots / "screener-dark.png")

    # Another run of the cell replaces the table, and the dashboard with it.
    book.run_all()
    wait_for_text(page, ".kr-screener .dt-info", "1 to 50 of 700")
    assert page.locator(".kr-screener").count() == 1
    assert page.locator(".kr-dashboard").count() == 0

    # What fails is said, and the figures stay.
    book.run_more("exchange.close()")
    look_until(page, ".kr-screener .kr-rows")  # JupyterLab has scrolled to the new cell
    page.wait_for_selector(".kr-screener .kr-said.kr-amiss:has-text('no new statistics')")
    assert page.locator(".kr-screener tbody .kr-open").count() == 50
    book.run_more("screener.close()")
    page.wait_for_selector(".kr-screener", state="detached")
