"""Fixtures of the browser tests: one JupyterLab and one browser for all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.browser import pictures
from tests.browser.lab import FLAGS, Notebook, find_chromium, start_lab, write_notebook
from tests.browser.waits import MILLISECONDS
from tests.processes import PATIENCE

# Messages of JupyterLab itself, none of ours.
_HARMLESS = ("favicon", "Failed to load resource", "net::ERR", "jupyterlab-lsp", "ResizeObserver")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Keep screenshots of a test that failed, and show the errors of the browser's console."""
    report = yield
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
    with start_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def page(chromium, request):
    """Open a page; what the browser's console calls an error fails the test.

    A test may add words to ``page.harmless``: errors that contain one are not counted.
    """
    context = chromium.new_context(viewport={"width": 1500, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(PATIENCE * MILLISECONDS)
    page.errors, page.harmless = [], list(_HARMLESS)
    page.on("console", lambda each: page.errors.append(each.text) if each.type == "error" else None)
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    yield page
    ours = [text for text in page.errors if not any(word in text for word in page.harmless)]
    kept = pictures.keep_pages(page, request.node.name) if ours else []
    context.close()
    assert not ours, f"the browser's console has errors: {ours}; screenshots: {kept}"


@pytest.fixture
def notebook(lab, page):
    """Make and open a notebook of the cells given; its kernel ends with the test."""

    def make(name: str, *cells: str) -> Notebook:
        write_notebook(lab.folder / name, *cells)
        return Notebook(page, lab, name).open()

    yield make
    lab.end_kernels()


@pytest.fixture(scope="session")
def shots(tmp_path_factory):
    """Name the folder for screenshots: ``SCREENSHOTS``, or one of this run."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
