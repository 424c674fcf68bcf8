"""A strategy in the dashboard: followed on a replay and on a stream, stepped, wound and pressed."""

from tests.browser.accessible import assert_accessible
from tests.browser.lab import set_theme
from tests.browser.waits import look_until, wait_for_count, wait_for_text
from tests.conftest import wait_until
from tests.processes import PATIENCE

STRATEGY = """
import kucoin_research as kr

class Turns:
    \"\"\"Buys and sells in turn every fifth of a second of arrival, and says why.\"\"\"
    def __init__(self):
        self.next = 0
    def __call__(self, record, broker):
        if broker.best().mid is None or broker.now < self.next:
            return
        self.next = broker.now + 200_000_000
        size = broker.position().size
        broker.note("flat, so buy" if size <= 0 else "long, so sell")
        broker.target(-2 if size > 0 else 3)
"""
RECORD = """
exchange = kr.simulate(seed=7, speed=20, start="2026-01-05")
with kr.record("XBTUSDTM", ["ticker", "trade", "depth50", "mark_price"], seconds=60,
               venue=exchange.venue, root="sessions", progress=False) as recording:
    pass
session = recording.session()
print("ROWS", session.frame("trade").height)
"""
REPLAY = """
board = kr.dashboard(session, strategy=Turns())
board
"""
CHECK = """
wanted = kr.backtest(Turns(), session, progress=False)
result = board.run.result()
print("SAME", result.fingerprint == wanted.fingerprint, "FILLS", result.fills.height)
"""
LIVE = """
channels = ["ticker", "trade", "depth50", "order", "position"]
me = exchange.credentials
stream = kr.stream("XBTUSDTM", channels, venue=exchange.venue, credentials=me)
run = kr.paper(Turns(), stream)
board = kr.dashboard(run)
board
"""
OWN = """
rows = stream.frame("trade")
price = rows["price"][-1]
exchange.demo_account.place("XBTUSDTM", "buy", 3, price=round(0.999 * price))
board.plot("mean", rows["timestamp"], rows["price"].rolling_mean(3), pane="below")
board.mark(rows["timestamp"][-1], price, "look here")
"""
# The user's own line has a pane below the price, beside the line of the order and the mark.
HAS_OWN = """figure => {
  const plot = document.querySelector(figure + ' .js-plotly-plot');
  const {yaxis, yaxis6, shapes} = plot._fullLayout;
  const named = (name) => plot.data.find((each) => each.name === name);
  const mean = named('mean');
  return mean?.x.length > 2 && mean.yaxis === 'y6' && yaxis6.domain[1] < yaxis.domain[0]
    && named('marks').text[0].startsWith('look here<br>at 8')
    && shapes.some((each) => each.label.text?.startsWith('▲ buy 3 at '));
}"""
HAS_NONE = """figure => {
  const plot = document.querySelector(figure + ' .js-plotly-plot');
  return !plot._fullLayout.shapes.some((each) => each.label.text?.startsWith('▲'))
    && !plot.data.some((each) => each.name === 'mean') && plot.layout.yaxis.domain[0] === 0;
}"""
MAIN, LOWER = ".kr-main .kr-figure", ".kr-lower .kr-figure"
STATE = ".kr-run-state"
COUNTS = """figure => {
  const plot = document.querySelector(figure + ' .js-plotly-plot');
  return Object.fromEntries((plot?.data || []).map((each) => [each.name, each.x?.length || 0]));
}"""
# Where the last mark of a kind stands on the screen.
PLACE = """([figure, kind]) => {
  const plot = document.querySelector(figure + ' .js-plotly-plot');
  const {xaxis, yaxis} = plot._fullLayout;
  const trace = plot.data.find((each) => each.name === kind), box = plot.getBoundingClientRect();
  const last = trace.x.length - 1;
  const x = xaxis._offset + xaxis.c2p(trace.x[last]), y = yaxis._offset + yaxis.c2p(trace.y[last]);
  return [box.x + x, box.y + y];
}"""
LISTED = ".kr-decision[data-side={}]"


def records(page):
    return int(page.locator(STATE).text_content().split()[0].replace(",", ""))


def marks(page, figure=MAIN):
    counts = page.evaluate(COUNTS, figure)
    return {kind: counts.get(kind, 0) for kind in ("own buys", "own sells", "notes")}


def wait_for_marks(page, wanted):
    wait_until(lambda: marks(page) == wanted, PATIENCE, progress=lambda: marks(page))


def test_a_strategy_on_a_replay(notebook, page, shots):
    page.set_viewport_size({"width": 1500, "height": 1300})
    book = notebook("strategy.ipynb", STRATEGY, RECORD, REPLAY)
    book.run_all()
    for figure in (MAIN, LOWER):
        page.wait_for_selector(f"{figure}[data-frame]")
    look_until(page, ".kr-run")
    drawn = marks(page)
    assert all(drawn.values()), drawn
    at_the_end = records(page)

    look_until(page, MAIN)
    page.mouse.click(*page.evaluate(PLACE, [MAIN, "own buys"]))
    newest = page.locator(LISTED.format("buy")).first
    wait_for_text(page, ".kr-moment", "newest record then")
    assert newest.get_attribute("aria-pressed") == "true"
    price = newest.locator(".kr-number").first.text_content()
    wait_for_text(page, ".kr-moment", f"buy 5 at {price}")
    wait_for_text(page, ".kr-moment", "flat, so buy (")
    assert page.locator(".kr-moment .kr-ask").first.text_content() == price
    page.screenshot(path=shots / "strategy-replay.png")
    page.locator(".kr-older").click()
    wait_for_text(page, ".kr-moment", "mid")

    page.locator(".kr-rewind").click()
    wait_for_text(page, STATE, "0 records")
    wait_for_count(page, ".kr-decision", 0)
    wait_for_marks(page, dict.fromkeys(drawn, 0))
    page.locator(".kr-step").click()
    wait_for_text(page, STATE, "1 records · paused")
    seen = []
    for count in (1, 2, 3):
        page.locator(".kr-next").click()
        wait_for_count(page, ".kr-decision", count)
        page.wait_for_selector(".kr-bar[data-state=paused]")
        seen.append(records(page))
    assert 1 < seen[0] < seen[1] < seen[2] < at_the_end
    kinds = page.eval_on_selector_all(".kr-decision", "all => all.map((each) => each.dataset.side)")
    assert kinds == ["note", "buy", "note"]

    page.locator(".kr-speed").select_option("max")
    page.locator(".kr-play").click()
    page.wait_for_selector(".kr-bar[data-state=ended]")
    book.run_more(CHECK)
    page.wait_for_selector("pre:has-text('FILLS')")
    assert book.told("SAME") == "True"
    wait_for_text(page, ".kr-account [data-fact=fills]", book.told("FILLS"))
    look_until(page, MAIN)
    page.locator(".kr-lower button:has-text('Candles')").click()
    wait_until(lambda: marks(page, LOWER) == marks(page), PATIENCE)

    page.set_viewport_size({"width": 800, "height": 1300})
    set_theme(page, "JupyterLab Dark")
    look_until(page, ".kr-run")
    cut = "all => all.filter((each) => each.scrollWidth > each.clientWidth).length"
    assert page.eval_on_selector_all(".kr-times time", cut) == 0
    page.screenshot(path=shots / "strategy-replay-narrow.png")


def test_a_strategy_on_a_stream(notebook, page, shots):
    book = notebook(
        "strategy_live.ipynb",
        STRATEGY,
        "exchange = kr.simulate(seed=7, speed=5, start='2026-01-05')",
        LIVE,
    )
    book.run_all()
    look_until(page, ".kr-run")
    page.wait_for_selector(f"{LISTED.format('buy')}")
    page.wait_for_selector(f"{LISTED.format('sell')}")
    look_until(page, MAIN)
    wait_until(lambda: all(marks(page).values()), PATIENCE, progress=lambda: marks(page))
    assert page.locator(".kr-next").is_hidden()
    page.locator(LISTED.format("sell")).first.click()
    wait_for_text(page, ".kr-moment", "long, so sell (")
    show_what_is_the_users_own(book, page, shots)
    book.run_more("run.stop(); stream.stop()")
    wait_for_text(page, STATE, "ended: it was stopped")
    page.screenshot(path=shots / "strategy-stream.png")


def show_what_is_the_users_own(book, page, shots):
    book.run_more(OWN)
    look_until(page, ".kr-own")
    wait_for_text(page, ".kr-own-orders", "▲ buy")
    wait_for_text(page, ".kr-own-title", "1 open order")
    look_until(page, MAIN, f"({HAS_OWN})('{MAIN}')")
    assert_accessible(page, ".kr-own")
    page.locator(".kr-dashboard").screenshot(path=shots / "own.png")
    book.run_more("board.clear(); exchange.inject('abort')")
    wait_for_text(page, ".kr-own-note", "1 order of before is not known since")
    look_until(page, MAIN, f"({HAS_NONE})('{MAIN}')")
