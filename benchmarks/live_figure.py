"""Latency of live figures in a real JupyterLab, from an event in the kernel to the pixels.

2,000 tickers/s flow into the ring. At each animation frame, the page reads the last row that it
shows. The latency is the page's clock minus the stamp of that row, both on this machine, so the
network to the exchange is left out. For comparison, a FigureWidget that receives all points and
``clear_output`` with a new figure are measured. Needs a Chromium.
``python -m benchmarks.live_figure --seconds 600 --design ours`` measures for ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from tests.browser.lab import FLAGS, Lab, Notebook, find_chromium, start_lab, write_notebook

RATE = 2_000
SETTLE = 3.0

SETUP = """
from benchmarks.live_source import Feed, LoopTicks, report_cpu
feed = Feed({buffered}, {rate})
report_cpu({path!r})
"""
OURS = """
import kucoin_research as kr
figure = kr.figures.price(feed)
figure
"""
WIDGET = """
import threading, plotly.graph_objects as go
figure = go.FigureWidget(go.Scatter(x=[], y=[], name="mid"), layout=dict(xaxis_type="date"))
def run():
    while True:
        x, y = feed.arrays()
        with figure.batch_update():
            figure.data[0].x, figure.data[0].y = x, y
        threading.Event().wait(0.1)
threading.Thread(target=run, daemon=True).start()
figure
"""
CLEAR = """
import threading, time, plotly.graph_objects as go
from IPython.display import clear_output, display
end = time.time() + {busy}
while time.time() < end:
    x, y = feed.arrays()
    clear_output(wait=True)
    display(go.Figure(go.Scatter(x=x, y=y, name="mid"), layout=dict(xaxis_type="date")))
    threading.Event().wait(0.1)
"""
DESIGNS = {"ours": OURS, "FigureWidget": WIDGET, "clear_output": CLEAR}
BUSY = """
import time
ticks = LoopTicks()
before, sent = ticks.count, figure.link.drawn
end = time.time() + 3
while time.time() < end:
    sum(range(1000))
print("BUSY", figure.link.drawn - sent, ticks.count - before)
"""

WATCH = """() => {
  window.seen = [];
  let last = 0;
  const look = () => {
    const plots = document.querySelectorAll('.js-plotly-plot');
    const lines = plots[plots.length - 1]?.calcdata || [];
    const mid = lines.find((each) => each[0]?.trace?.name === 'mid');
    const x = mid?.[mid.length - 1]?.x;
    if (x && x !== last) { last = x; window.seen.push([Date.now(), Date.now() - x]); }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""


def measure(page: Page, lab: Lab, design: str, buffered: int, seconds: float) -> dict[str, Any]:
    cpu = lab.folder.parent / f"cpu-{design}-{buffered}.json"
    received = _count_bytes(page)
    cells = [
        SETUP.format(buffered=buffered, rate=RATE, path=str(cpu)),
        DESIGNS[design].replace("{busy}", f"{seconds + 30:.0f}"),
    ]
    name = f"{design}-{buffered}.ipynb"
    write_notebook(lab.folder / name, *cells, BUSY)
    book = Notebook(page, lab, name).open()
    _run_cell(page, 0)
    _wait(page, cpu.exists)
    idle = _load(page, cpu, 2.0)
    page.evaluate(WATCH)
    _run_cell(page, 1)
    page.wait_for_function("() => window.seen.length > 2", timeout=90_000)
    page.wait_for_timeout(SETTLE * 1e3)
    page.evaluate("() => { window.seen = []; }")
    received.clear()
    began = time.monotonic()
    load = _load(page, cpu, seconds)
    took = time.monotonic() - began
    seen = page.evaluate("() => window.seen")
    result = {
        "design": design,
        "buffered": buffered,
        "redraws": len(seen) / took,
        "latency": np.percentile([each[1] for each in seen], (50, 95)) if seen else (np.nan,) * 2,
        "kb": sum(received) / took / 1e3,
        "cpu": 100 * (load - idle),
        "heap": _heap(page),
    }
    if design == "ours":
        _run_cell(page, 2)
        page.wait_for_selector("pre:has-text('BUSY')", timeout=30_000)
        text = page.locator("pre:has-text('BUSY')").inner_text()
        result["busy"] = [int(each) for each in text.split()[1:3]]
    book.command("kernelmenu:shutdown")
    return result


def _count_bytes(page: Page) -> list[int]:
    sizes: list[int] = []
    page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda payload: sizes.append(len(payload))),
    )
    return sizes


def _run_cell(page: Page, number: int) -> None:
    page.evaluate(
        """number => {
          const app = window.jupyterapp, book = app.shell.currentWidget.content;
          book.activeCellIndex = number;
          app.commands.execute('notebook:run-cell');
        }""",
        number,
    )


def _wait(page: Page, condition: Callable[[], bool], timeout: float = 120) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the kernel did not get ready"
        page.wait_for_timeout(100)


def _load(page: Page, path: Path, seconds: float) -> float:
    """Return the share of one core that the kernel uses for some seconds."""
    first = json.loads(path.read_text())
    page.wait_for_timeout(seconds * 1e3)
    last = json.loads(path.read_text())
    return float((last["cpu"] - first["cpu"]) / max(last["at"] - first["at"], 1e-9))


def _heap(page: Page) -> float:
    client = page.context.new_cdp_session(page)
    client.send("HeapProfiler.collectGarbage")
    return float(page.evaluate("() => performance.memory.usedJSHeapSize")) / 1e6


def report(result: dict[str, Any]) -> None:
    p50, p95 = result["latency"]
    print(
        f"{result['design']:<14}{result['buffered']:>10,}{result['redraws']:>10.1f}"
        f"{p50:>9.0f} /{p95:>6.0f}{result['kb']:>9.0f}{result['cpu']:>9.1f}{result['heap']:>8.0f}",
        flush=True,
    )
    if "busy" in result:
        drawn, turns = result["busy"]
        print(
            f"    a cell busy for 3 s: {drawn} redraws; a task on the kernel's loop: {turns} turns"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="measured per row")
    parser.add_argument("--design", choices=DESIGNS, action="append")
    parser.add_argument("--buffered", type=int, action="append")
    options = parser.parse_args()
    path = find_chromium()
    if path is None:
        print("no Chromium was found, so nothing is measured")
        return
    print(f"{RATE:,} rows/s; latency from event to pixel in ms, CPU in % of a core, heap in MB")
    print(f"load average of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    heads = ("design", "buffered", "redraws/s", "p50 / p95", "KB/s", "CPU", "heap")
    print("{:<14}{:>10}{:>10}{:>16}{:>9}{:>9}{:>8}".format(*heads), flush=True)
    with tempfile.TemporaryDirectory() as root, start_lab(Path(root) / "lab") as lab:
        for design in options.design or DESIGNS:
            for buffered in options.buffered or (1_000, 1_000_000):
                if design == "clear_output" and buffered > 10_000:
                    buffered = 10_000  # with more, the browser does not keep up
                with sync_playwright() as playwright:
                    browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
                    page = browser.new_page(viewport={"width": 1500, "height": 1000})
                    page.set_default_timeout(60_000)
                    report(measure(page, lab, design, buffered, options.seconds))
                    browser.close()


if __name__ == "__main__":
    main()
