"""What is kept of a browser test that failed: pictures of its pages, their consoles and outputs."""

from __future__ import annotations

import os
import re
from pathlib import Path

FAILURES = Path(__file__).parents[2] / "build" / "test-failures"
_TIMEOUT_MS = 10_000
_OUTPUTS = """() => [...document.querySelectorAll(".jp-Cell-outputArea, .output")]
  .map((each) => each.innerText.trim().slice(0, 1_000)).filter(Boolean)"""


def keep_pages(page, test: str) -> list[str]:
    """Take a screenshot of every open page of a browser; returns their paths, or why not."""
    from playwright.sync_api import Error

    folder = Path(os.environ.get("SCREENSHOTS") or FAILURES)
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", test).strip("-")
    kept = []
    for number, each in enumerate(_open_pages(page)):
        path = folder / f"{name}-{number}.png"
        try:
            each.screenshot(path=path, timeout=_TIMEOUT_MS)
        except Error as error:
            kept.append(f"none of {each.url}: {error}")
        else:
            kept.append(f"{path}  {each.url.partition('?')[0]}")
    return kept


def outputs_of(page) -> list[str]:
    """Read the outputs of a notebook's cells, or why they cannot be read."""
    from playwright.sync_api import Error

    try:
        return page.evaluate(_OUTPUTS)
    except Error as error:
        return [f"not read: {error}"]


def _open_pages(page):
    return [each for context in page.context.browser.contexts for each in context.pages]


def sections_of(page, test: str) -> list[tuple[str, str]]:
    """List the sections of a failed test's report."""
    return [
        ("browser: screenshots", "\n".join(keep_pages(page, test))),
        ("browser: errors of the console", "\n".join(page.errors) or "none"),
        ("browser: outputs of the cells", "\n---\n".join(outputs_of(page)) or "none"),
    ]
