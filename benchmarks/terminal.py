"""The whole dashboard in a real JupyterLab at 2,000 messages/s: from an event to its pixels.

A simulated exchange in another process sends trades, tickers and depth of 20 symbols; price,
candles, ladder, tape, tiles and the cards of the watch list are shown. The exchange's clock runs
fast, so that it sends enough: the latency is the page's clock minus the time at which the newest
quote on the price chart was sent, by the two clocks as they were compared over REST. Needs a
Chromium.
``python -m benchmarks.terminal --seconds 60 --runs 3`` measures three times for a minute.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from playwright.sync_api import Page, sync_playwright

import kucoin_research as kr
from benchmarks.elsewhere import exchange
from benchmarks.live_figure import _count_bytes, _load, _run_cell, _wait
from kucoin_research.exchange.rest.client import Rest
from tests.browser.lab import FLAGS, Lab, Notebook, find_chromium, start_lab, write_notebook

RATE = 2_000
SYMBOLS = 20
_SETUP = """
from benchmarks.live_source import report_cpu
import kucoin_research as kr
venue = kr.Venue(futures_url={futures!r}, spot_url={spot!r})
names = kr.get_active_symbols(venue=venue)[:{symbols}]
report_cpu({path!r})
"""
_SHOW = """
board = kr.dashboard(names, venue=venue, start=True, window="1 min")
board
"""
_WATCH = """() => {
  window.seen = [];
  let last = 0;
  const look = () => {
    const lines = document.querySelector('.kr-main .js-plotly-plot')?.calcdata || [];
    const mid = lines.find((each) => each[0]?.trace?.name === 'mid');
    const x = mid?.[mid.length - 1]?.x;
    if (x && x !== last) { last = x; window.seen.push([Date.now(), x]); }
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
_FRAMES = """() => [...document.querySelectorAll('.kr-figure, .kr-ladder')].map((each) => [
  each.closest('.kr-main, .kr-lower, .kr-book').className.match(/kr-(main|lower|book)/)[1],
  +each.dataset.frame])"""


class Clocks(NamedTuple):
    """The exchange's clock and this machine's at one moment, ms, and how much faster it runs."""

    exchange: float
    wall: float
    speed: float

    def sent_at(self, event: float) -> float:
        """Convert a time of the exchange to this machine's clock."""
        return self.wall + (event - self.exchange) / self.speed


def compare(venue: kr.Venue, speed: float) -> Clocks:
    """Compare the two clocks over REST; the quickest of some answers counts."""
    rest, found = Rest(venue), []
    for _ in range(20):
        before = time.time()
        its = rest.server_time("futures") / 1e6
        after = time.time()
        found.append((after - before, Clocks(its, (before + after) / 2 * 1e3, speed)))
    return min(found, key=lambda each: each[0])[1]


def measure(page: Page, lab: Lab, venue: kr.Venue, speed: float, seconds: float) -> dict[str, Any]:
    cpu = lab.folder.parent / f"cpu-{time.monotonic_ns()}.json"
    received = _count_bytes(page)
    setup = _SETUP.format(
        futures=venue.futures_url, spot=venue.spot_url, symbols=SYMBOLS, path=str(cpu)
    )
    name = f"terminal-{time.monotonic_ns()}.ipynb"
    rate = "print('RATE', round(board.source.status.messages_per_second))"
    write_notebook(lab.folder / name, setup, _SHOW, rate)
    book = Notebook(page, lab, name).open()
    _run_cell(page, 0)
    _wait(page, cpu.exists)
    page.evaluate(_WATCH)
    _run_cell(page, 1)
    page.wait_for_function("() => window.seen.length > 2", timeout=90_000)
    page.wait_for_timeout(10_000)
    clocks = compare(venue, speed)
    page.evaluate("() => { window.seen = []; }")
    first = dict(page.evaluate(_FRAMES))
    received.clear()
    began = time.monotonic()
    load = _load(page, cpu, seconds)
    took = time.monotonic() - began
    seen = page.evaluate("() => window.seen")
    last = dict(page.evaluate(_FRAMES))
    latency = [wall - clocks.sent_at(event) for wall, event in seen]
    _run_cell(page, 2)
    page.wait_for_selector("pre:has-text('RATE')", timeout=30_000)
    text = page.locator("pre:has-text('RATE')").inner_text()
    book.command("kernelmenu:shutdown")
    return {
        "rate": int(text.split()[1]),
        "redraws": {each: (last[each] - first[each]) / took for each in last},
        "latency": np.percentile(latency, (50, 95)),
        "kb": sum(received) / took / 1e3,
        "cpu": 100 * load,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="measured per run")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--speed", type=float, default=9.0, help="of the exchange's clock")
    options = parser.parse_args()
    path = find_chromium()
    if path is None:
        print("no Chromium was found, so nothing is measured")
        return
    print(f"{SYMBOLS} symbols; latency from event to pixel in ms, CPU in % of a core")
    print(f"load average of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"{'msgs/s':>8}{'p50 / p95':>16}{'KB/s':>8}{'CPU':>7}  redraws/s of price, candles, book")
    with (
        exchange(seed=7, speed=options.speed, contracts=40) as venue,
        tempfile.TemporaryDirectory() as root,
        start_lab(Path(root) / "lab") as lab,
        sync_playwright() as playwright,
    ):
        for _ in range(options.runs):
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            page = browser.new_page(viewport={"width": 1500, "height": 1400})
            page.set_default_timeout(60_000)
            found = measure(page, lab, venue, options.speed, options.seconds)
            browser.close()
            p50, p95 = found["latency"]
            redraws = "  ".join(f"{each} {value:.1f}" for each, value in found["redraws"].items())
            print(
                f"{found['rate']:>8,}{p50:>9.0f} /{p95:>6.0f}{found['kb']:>8.0f}"
                f"{found['cpu']:>7.1f}  {redraws}",
                flush=True,
            )


if __name__ == "__main__":
    main()
