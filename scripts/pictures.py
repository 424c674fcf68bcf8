"""Make pictures of the running software: ``make pictures``, ``make notebooks``.

    python scripts/pictures.py                       # the README's, to docs/pictures
    python scripts/pictures.py notebooks/04_….ipynb  # run it, and keep its dashboards' pictures

JupyterLab runs on loopback. For the README, the dashboard streams from the simulated exchange for a
minute, and a browser takes its picture at two widths in two themes; another one plays the sample
session to a strategy. A notebook with live widgets
is run cell by cell in the browser, since only a browser can draw the widgets.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # for the JupyterLab of the browser tests

from tests.browser.lab import (  # noqa: E402
    FLAGS,
    Lab,
    Notebook,
    find_chromium,
    put_away,
    set_theme,
    start_lab,
    write_notebook,
)

PICTURES = ROOT / "docs" / "pictures"

CELL = """import kucoin_research as kr

kr.dashboard("XBTUSDTM", venue="demo", window="1 min", start=True)"""
STRATEGY = """from pathlib import Path

import kucoin_research as kr

def lean(record, broker):
    best = broker.best()
    if best.mid is None or broker.orders():
        return
    share = best.best_bid_size / (best.best_bid_size + best.best_ask_size)
    if share > 0.95 and not broker.position().size:
        broker.note(f"{share:.0%} of the best sizes are bids")
        broker.buy(1)
    elif share < 0.1:
        broker.close()

kr.dashboard(Path("sample"), strategy=lean, window="1 min")"""
WIDTHS = {1100: 1120, 1700: 1080}  # with the heights that show the whole dashboard
THEMES = ("Light", "Dark")
LARGEST = 400_000
RUN = """async (place) => {
  const app = window.jupyterapp;
  app.shell.currentWidget.content.activeCellIndex = place;
  await app.commands.execute('notebook:run-cell');
}"""
# True once each closed widget has left a picture.
CLOSED = """() => {
  const count = (what) => document.querySelectorAll(what).length;
  return !count('.kr-dashboard, .kr-figure') && count('.jp-RenderedImage') === count('.kr-kept');
}"""
# True once the dashboard's window of one minute is full.
FULL = "() => document.querySelector('.kr-tape .kr-at')?.textContent >= '00:01:05'"


def main(notebooks: list[str]) -> int:
    """Make the pictures; returns 1 if there is no browser or a picture is too large."""
    chromium = find_chromium()
    if chromium is None:
        print("no Chromium was found; scripts/chromium.sh installs one", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as root, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        with start_lab(Path(root)) as lab:
            page = browser.new_page(viewport={"width": 1700, "height": 1080})
            if notebooks:
                for name in notebooks:
                    run(page, lab, Path(name))
                return 0
            made = for_readme(page, lab)
    for path in made:
        print(f"{path}  {path.stat().st_size:,} bytes")
    return int(any(path.stat().st_size > LARGEST for path in made))


def run(page: Page, lab: Lab, path: Path) -> None:
    """Run a notebook cell by cell and save it, with the last pictures of the widgets it closes."""
    page.set_viewport_size({"width": 1320, "height": 1000})
    saved = nbformat.read(path, as_version=4)
    saved.metadata.pop("widgets", None)  # a program that ran it before may keep their state there
    for cell in saved.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(saved, lab.folder / path.name)
    book = Notebook(page, lab, path.name).open(anew=True)
    for place, cell in enumerate(saved.cells):
        if cell.cell_type == "code":
            page.evaluate(RUN, place)
    page.wait_for_function(CLOSED, timeout=180_000)
    book.save()
    shutil.copy(lab.folder / path.name, path)


def for_readme(page: Page, lab: Lab) -> list[Path]:
    """Take the README's pictures and return their paths."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    write_notebook(lab.folder / "dashboard.ipynb", CELL)
    book = Notebook(page, lab, "dashboard.ipynb").open()
    book.run_all()
    page.wait_for_function(FULL, timeout=180_000)
    made = [take(book, width, theme) for width in WIDTHS for theme in THEMES]
    shutil.copytree(ROOT / "data" / "sample", lab.folder / "sample")
    return [*made, *(take_strategy(page, lab, theme) for theme in THEMES)]


def take_strategy(page: Page, lab: Lab, theme: str) -> Path:
    """Take a picture of the sample session, played to a strategy that has bought last."""
    put_away(page)
    page.set_viewport_size({"width": 1500, "height": 1420})
    set_theme(page, f"JupyterLab {theme}")
    name = f"strategy-{theme.lower()}"
    write_notebook(lab.folder / f"{name}.ipynb", STRATEGY)
    Notebook(page, lab, f"{name}.ipynb").open().run_all()
    for place in ("main", "lower", "book"):
        page.wait_for_selector(f".kr-{place} [data-frame]")
    page.locator(".kr-decision[data-side=buy]").first.click()
    page.wait_for_selector(".kr-moment .kr-levels")
    page.locator(".kr-status").scroll_into_view_if_needed()
    path = PICTURES / f"{name}.png"
    page.locator(".kr-dashboard").screenshot(path=path)
    return path


def take(book: Notebook, width: int, theme: str) -> Path:
    """Take one picture, after the charts are drawn at this width and in this theme."""
    page = book.page
    page.set_viewport_size({"width": width, "height": WIDTHS[width]})
    set_theme(page, f"JupyterLab {theme}")
    for place in ("main", "lower", "book"):
        figure = f".kr-{place} [data-frame]"
        before = int(page.locator(figure).get_attribute("data-frame") or 0)
        page.wait_for_function(
            "([figure, frame]) => +document.querySelector(figure).dataset.frame > frame + 2",
            arg=[figure, before],
        )
    path = PICTURES / f"dashboard-{theme.lower()}-{width}.png"
    page.screenshot(path=path)
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
