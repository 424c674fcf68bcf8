"""Fixtures of the browser tests: one JupyterLab and one browser for all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.browser import pictures
from tests.browser.lab import (
    FLAGS,
    Notebook,
    find_chromium,
    put_away,
    start_lab,
    write_notebook,
)  # fmt: skip
from tests.browser.waits import MILLISECONDS
from tests.processes import PATIENCE

# Messages of JupyterLab itself, none of ours.
_HARMLESS = (
    "favicon", "Failed to load resource", "net::ERR", "jupyterlab-lsp", "ResizeObserver",
    "Canceled future for",  # of a notebook that is closed while it waits for its kernel
)  # fmt: skip

# Without a graphics card a browser spends most of its time on redraws, and most tests ask what is
# drawn, not how often.
_REDRAWS = 2
_VIEWPORT = {"width": 1500, "height": 1000}
_HAS_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Keep screenshots of a test that failed, and show the errors of the browser's console."""
    report = yield
    item.stash[_HAS_FAILED] = item.stash.get(_HAS_FAILED, False) or report.failed
    page = item.funcargs.get("page")
    if report.failed and page is not None and not page.is_closed():
        report.sections += pictures.sections_of(page, item.name)
    return report


# Not of the session: playwright keeps an event loop in this thread, which no other test may find.
@pytest.fixture(scope="package")
def chromium():
    """Start a browser; without one the tests fail in CI, and are skipped elsewhere."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = find_chromium()
    if path is None:
        message = "no Chromium was found; install one (scripts/chromium.sh), or set CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, headless=True)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def lab(tmp_path_factory):
    """Start JupyterLab, of the ``lab`` extra, with folders of its own."""
    pytest.importorskip("jupyterlab")
    with start_lab(tmp_path_factory.mktemp("lab"), redraws=_REDRAWS) as running:
        yield running


class Pages:
    """Keeps the page of the last test for the next: to open JupyterLab takes seconds."""

    def __init__(self, browser) -> None:
        self._browser = browser
        self._page = None

    def take(self):
        """Give the page that is kept, or a new one."""
        page = self._page or self._open()
        self._page = None
        page.errors, page.harmless = [], list(_HARMLESS)
        page.set_viewport_size(_VIEWPORT)
        return page

    def put_back(self, page) -> None:
        """Keep a page on which all went well."""
        self._page = page

    def _open(self):
        page = self._browser.new_context().new_page()
        page.context.set_default_timeout(PATIENCE * MILLISECONDS)
        page.on("console", lambda each: _note(page, each.text) if each.type == "error" else None)
        page.on("pageerror", lambda error: _note(page, str(error)))
        return page


def _note(page, error: str) -> None:
    page.errors.append(error)


@pytest.fixture(scope="package")
def pages(chromium):
    """Keep pages from test to test."""
    return Pages(chromium)


@pytest.fixture
def page(pages, request):
    """Give a page without notebooks; what the browser's console calls an error fails the test.

    A test may add words to ``page.harmless``: errors that contain one are not counted.
    """
    page = pages.take()
    yield page
    # Errors that a test expects may come late, in the next one.
    is_kept = page.harmless == list(_HARMLESS) and not request.node.stash.get(_HAS_FAILED, False)
    if is_kept:
        put_away(page)
    ours = [text for text in page.errors if not any(word in text for word in page.harmless)]
    kept = pictures.keep_pages(page, request.node.name) if ours else []
    if is_kept and not ours:
        pages.put_back(page)
    else:
        page.context.close()
    assert not ours, f"the browser's console has errors: {ours}; screenshots: {kept}"


@pytest.fixture
def notebook(lab, page):
    """Make and open a notebook of the cells given; its kernel ends with the test."""

    def make(name: str, *cells: str, anew: bool = False) -> Notebook:
        write_notebook(lab.folder / name, *cells)
        return Notebook(page, lab, name).open(anew=anew)

    yield make
    put_away(page)  # so that it does not ask for kernels that are gone
    lab.end_kernels()


@pytest.fixture(scope="session")
def shots(tmp_path_factory):
    """Name the folder for screenshots: ``SCREENSHOTS``, or one of this run."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
