"""Make the README's pictures from the running software: ``make pictures``.

    python scripts/pictures.py [folder]

JupyterLab runs on loopback, the dashboard streams from the simulated exchange for a minute, and a
browser takes its picture at two widths in two themes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the browser tests' JupyterLab serves here, too

from tests.browser.lab import FLAGS, Notebook, find_chromium, start_lab, write_notebook  # noqa: E402

CELL = """import kucoin_research as kr

kr.dashboard("XBTUSDTM", venue="demo", window="1 min", start=True)"""
WIDTHS = {1100: 1120, 1700: 1080}  # with the heights that show all of it
THEMES = ("Light", "Dark")
LARGEST = 300_000
# Until the window is full.
FULL = "() => document.querySelector('.kr-tape .kr-at')?.textContent >= '00:01:05'"


def main(folder: Path) -> int:
    """Write the pictures; returns 1 when there is no browser or a picture is too large."""
    chromium = find_chromium()
    if chromium is None:
        print("no Chromium was found; scripts/chromium.sh installs one", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as root, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        with start_lab(Path(root)) as lab:
            write_notebook(lab.folder / "dashboard.ipynb", CELL)
            page = browser.new_page(viewport={"width": 1700, "height": 1080})
            book = Notebook(page, lab, "dashboard.ipynb").open()
            book.run_all()
            page.wait_for_function(FULL, timeout=180_000)
            made = [take(book, width, theme, folder) for width in WIDTHS for theme in THEMES]
        browser.close()
    for path in made:
        print(f"{path}  {path.stat().st_size:,} bytes")
    return int(any(path.stat().st_size > LARGEST for path in made))


def take(book: Notebook, width: int, theme: str, folder: Path) -> Path:
    """Take one picture, when the charts have been drawn in their new look."""
    page = book.page
    page.set_viewport_size({"width": width, "height": WIDTHS[width]})
    book.set_theme(f"JupyterLab {theme}")
    for place in ("main", "lower", "book"):
        figure = f".kr-{place} .kr-figure"
        before = int(page.locator(figure).get_attribute("data-frame") or 0)
        page.wait_for_function(
            "([figure, frame]) => +document.querySelector(figure).dataset.frame > frame + 2",
            arg=[figure, before],
        )
    path = folder / f"dashboard-{theme.lower()}-{width}.png"
    page.screenshot(path=path)
    return path


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "pictures"))
