"""Waiting for what a page shows. Each wait has the patience of the page, and frames renew it."""

from __future__ import annotations

from tests.conftest import wait_until
from tests.processes import PATIENCE

MILLISECONDS = 1_000
FRAME = "figure => +(document.querySelector(figure)?.dataset.frame || 0)"


def wait_for_text(page, selector, text):
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector)?.textContent.includes(text)",
        arg=[selector, text],
    )


def look_until(page, selector, condition="true", which=0):
    """Look at something until a condition of it holds; it is scrolled back to when it moves away.

    JupyterLab scrolls to a cell some time after it was told to run it, and who does not look is
    told nothing.
    """
    page.wait_for_function(
        f"""([selector, which]) => {{
          const node = [...document.querySelectorAll(selector)].at(which);
          const box = node?.getBoundingClientRect();
          if (!box?.width) {{
            // What is hidden until somebody looks has no place: its nearest shown parent has.
            let near = node;
            while (near && !near.getBoundingClientRect().width) near = near.parentElement;
            near?.scrollIntoView({{block: 'center'}});
            return false;
          }}
          const seen = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
          if (!node.contains(seen)) {{
            node.scrollIntoView({{block: 'center'}});
            return false;
          }}
          return {condition};
        }}""",
        arg=[selector, which],
    )


def wait_for_count(page, selector, count):
    page.wait_for_function(
        "([selector, count]) => document.querySelectorAll(selector).length === count",
        arg=[selector, count],
    )


def wait_for_frames(page, figure, count):
    """Wait until a figure has drawn a number of further frames."""
    page.wait_for_selector(f"{figure}[data-frame]")
    before = page.evaluate(FRAME, figure)
    for frame in range(before + 1, before + count + 1):
        page.wait_for_function(
            f"([figure, frame]) => ({FRAME})(figure) >= frame", arg=[figure, frame]
        )


def zoom(page, figure):
    """Drag over a part of a figure's time axis."""
    box = page.locator(f"{figure} .nsewdrag").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.6, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, middle, steps=5)
    page.mouse.up()
    page.wait_for_selector(f"{figure}.kr-zoomed")


def follow_again(page, figure):
    """Double-click a zoomed figure until it follows its stream again."""

    # Plotly takes two clicks for one double click when it handles them within 300 ms. A page that
    # draws meanwhile may take longer.
    def is_following():
        page.locator(f"{figure} .nsewdrag").first.dblclick()
        return page.locator(f"{figure}.kr-zoomed").count() == 0

    wait_until(is_following, PATIENCE)
