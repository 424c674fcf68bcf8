"""A JupyterLab on loopback with folders of its own, and a browser to look at it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import nbformat

from tests.conftest import wait_until
from tests.processes import PATIENCE, Process

TOKEN = "only-this-machine"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A first start would ask about news in a corner of every picture.
_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}


def find_chromium() -> str | None:
    """Find any Chromium: ``CHROMIUM``, one on the path, or playwright's own."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found:
        return found
    root = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "~/.cache/ms-playwright")).expanduser()
    patterns = ("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/**/Chromium")
    return next((str(path) for pattern in patterns for path in sorted(root.glob(pattern))), None)


def write_notebook(path: Path, *cells: str) -> Path:
    """Write a notebook of code cells."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(book, path)
    return path


class Lab:
    """A running JupyterLab; ``folder`` is what it shows."""

    def __init__(self, folder: Path, url: str, process: Process) -> None:
        self.folder = folder
        self.url = url
        self.process = process

    def address(self, notebook: str) -> str:
        """Give the address that opens a notebook in a workspace of its own."""
        space = re.sub(r"\W+", "-", notebook) + f"-{time.monotonic_ns()}"
        return f"{self.url}/lab/workspaces/{space}/tree/{notebook}?token={TOKEN}&reset"

    def end_kernels(self) -> None:
        """End all kernels, so that what one test streams takes no time from the next."""
        for session in self.sessions():
            self._ask("DELETE", f"/api/sessions/{session}")

    def sessions(self) -> list[str]:
        """List the ids of the notebooks that have a kernel."""
        return [each["id"] for each in json.loads(self._ask("GET", "/api/sessions"))]

    def _ask(self, method: str, path: str) -> bytes:
        asked = Request(f"{self.url}{path}", method=method)
        asked.add_header("Authorization", f"token {TOKEN}")
        with urlopen(asked, timeout=PATIENCE) as answer:
            return answer.read()


@contextlib.contextmanager
def start_lab(root: Path, *, redraws: int | None = None) -> Iterator[Lab]:
    """Start JupyterLab under ``root``; end it, and its kernels, in the end.

    ``redraws`` are the most per second of what its kernels show; left out, as many as for a user.
    """
    folder = root / "notebooks"
    folder.mkdir(parents=True)
    _write_settings(root / "settings")
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0",
        f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}",
        f"--LabApp.user_settings_dir={root / 'settings'}",
        f"--LabApp.workspaces_dir={root / 'workspaces'}", "--LabApp.news_url=",
        "--LabApp.expose_app_in_browser=True",  # for the commands
        "--JupyterNotebookApp.expose_app_in_browser=True",
    ]  # fmt: skip
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    with Process(*command, is_merged=True, **_environment(root, redraws)) as process:
        yield Lab(folder, _url_of(process), process)


def _environment(root: Path, redraws: int | None) -> dict[str, str | None]:
    theirs = [name for name in os.environ if name.startswith(("JUPYTER", "JPY_"))]
    # Kernels run elsewhere than here, so the checkout is told to them.
    here = str(Path(__file__).parents[2])
    folders = {name: str(root / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    return {
        **dict.fromkeys(theirs),
        "PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH")))),
        "IPYTHONDIR": str(root / "ipython"),
        "KUCOIN_RESEARCH_REDRAWS": None if redraws is None else str(redraws),
        **{f"JUPYTER_{name}_DIR": path for name, path in folders.items()},
    }


def _write_settings(folder: Path) -> None:
    for name, values in _SETTINGS.items():
        package, plugin = name.split(":")
        target = folder / package / f"{plugin}.jupyterlab-settings"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(values))


def _url_of(process: Process) -> str:
    while True:
        found = re.search(r"(http://127\.0\.0\.1:\d+)/lab", process.line_with("http://"))
        if found:  # it listens by now
            return found[1]


_IS_READY = """() => {
  const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
  return context?.isReady && context.session?.kernel?.status === 'idle';
}"""

_LIGHT = "JupyterLab Light"
_OPEN = "path => { window.jupyterapp.commands.execute('docmanager:open', {path}); }"
_IS_OPEN = """path => {
  const shown = window.jupyterapp?.shell.currentWidget;
  return shown?.context?.path === path && shown.content.widgets?.length > 0;
}"""
# Without the question whether to save.
_CLOSE = "() => [...window.jupyterapp.shell.widgets('main')].forEach((each) => each.dispose())"


def is_jupyterlab(page) -> bool:
    """Whether JupyterLab is open on a page."""
    return page.evaluate("() => Boolean(window.jupyterapp)")


def put_away(page) -> None:
    """Close the notebooks that are open on a page, and go back to the light theme."""
    if is_jupyterlab(page):
        page.evaluate(_CLOSE)
        set_theme(page, _LIGHT)


def set_theme(page, name: str) -> None:
    """Switch to ``JupyterLab Light`` or ``JupyterLab Dark`` and wait until it is there."""
    shown = f'body[data-jp-theme-name="{name}"]'
    if not page.locator(shown).count():
        page.evaluate(
            "theme => { window.jupyterapp.commands.execute('apputils:change-theme', {theme}); }",
            name,
        )
        page.wait_for_selector(shown, state="attached")


class Notebook:
    """A notebook open in the browser."""

    def __init__(self, page, lab: Lab, name: str) -> None:
        self.page = page
        self.lab = lab
        self.name = name

    def open(self, *, anew: bool = False) -> Notebook:
        """Open it and wait until its kernel is idle; ``anew`` loads JupyterLab once more."""
        if anew or not is_jupyterlab(self.page):
            self.page.goto(self.lab.address(self.name))
            self.page.wait_for_function(_IS_OPEN, arg=self.name)
            self.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        else:
            self.page.evaluate(_OPEN, self.name)
            self.page.wait_for_function(_IS_OPEN, arg=self.name)
        self.page.wait_for_function(_IS_READY)
        return self

    def run_all(self) -> None:
        """Run all cells; see ``wait_until_run``."""
        self.page.evaluate(
            """() => {
              window.hasRun = false;
              window.jupyterapp.commands.execute('notebook:run-all-cells')
                .finally(() => { window.hasRun = true; });
            }"""
        )

    def wait_until_run(self) -> None:
        """Wait until all cells have run, or one of them has failed."""
        self.page.wait_for_function("() => window.hasRun")

    def run_more(self, code: str) -> None:
        """Add a cell of code at the end and run it."""
        self.page.evaluate(
            """code => {
              const app = window.jupyterapp, book = app.shell.currentWidget.content;
              book.model.sharedModel.addCell({cell_type: 'code', source: code});
              book.activeCellIndex = book.model.cells.length - 1;
              app.commands.execute('notebook:run-cell');
            }""",
            code,
        )

    def told(self, word: str) -> str:
        """Give what a cell has printed behind a word."""
        line = self.page.locator(f"pre:has-text('{word}')").last
        return line.text_content().partition(word)[2].split()[0]

    def command(self, name: str) -> None:
        """Run a command of JupyterLab by its id."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name); }", name)

    def shut_down(self) -> None:
        """End its kernel, and wait until the server knows of none."""
        self.command("kernelmenu:shutdown")
        wait_until(lambda: not self.lab.sessions(), PATIENCE, progress=self.lab.sessions)

    def restart(self) -> None:
        """Restart its kernel, without a question, and wait until the new one is idle."""
        self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
        )
        self.page.wait_for_function(_IS_READY)

    def save(self) -> str:
        """Save it; returns the file's text."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        return (self.lab.folder / self.name).read_text()
