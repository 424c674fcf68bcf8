"""Symbols and names are shown as they are: no page takes one for markup."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import ipywidgets
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kucoin_research as kr
from kucoin_research import figures
from kucoin_research.api.doctor import Check, Diagnosis, Severity
from kucoin_research.dashboards.chart_slots import ChartSlot, Scene
from kucoin_research.figures.book_charts import DepthChart
from kucoin_research.figures.chart import Sketch, View
from kucoin_research.figures.line_charts import PriceChart
from kucoin_research.figures.theme import literal
from kucoin_research.model.channels import Market, market_of
from kucoin_research.model.records import (
    Depth50,
    FundingRate,
    MarkPrice,
    Status,
    Ticker,
    Trade,
)
from kucoin_research.sessions.checks.repair import Repair
from kucoin_research.sessions.checks.verification import Flaw, Verification
from tests.unit.figures.test_figures import at, frame, ticker, trade
from tests.unit.rows import NOON
from tests.unit.rows import ticker as ticker_row
from tests.unit.sessions.test_session import recorded

_PACKAGE = Path(kr.__file__).parent

# One thread of the process draws all figures, in the machine's time.
REAL_TIME = True

HOSTILE = (
    '<a href="https://evil.example">XBTUSDTM</a>',
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<b>XBT</b><br>USDTM<sup>2</sup>",
    "<span style='color:red'>X",
    "<extra></extra>%{y}",
    "&lt;b&gt; &amp; &#60;i&#62;",
    "$\\href{javascript:alert(1)}{x}$",
    "$buy",
    "' onmouseover='alert(1)",
    '" autofocus onfocus="alert(1)',
    "a<b>c & d > e",
    "<!-- ",
    "]]>",
    "COMPLETE",
)
names = st.sampled_from(HOSTILE) | st.text(
    st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30
)
quickly = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


# -- figures ---------------------------------------------------------------------------------------


def book(symbol):
    sizes = [1.0, 2.0]
    return frame(
        Depth50,
        [(at(i), at(i), symbol, 1, [10.0, 9.0], sizes, [11.0, 12.0], sizes) for i in range(3)],
    )


def candle(symbol):
    return (at(0), at(60), symbol, 1.0, 3.0, 0.5, 2.0, 5.0, None)


def drawn(symbol):
    """Draw every public figure of a symbol, by name."""
    quotes = frame(Ticker, [ticker(i, symbol=symbol) for i in range(3)])
    trades = frame(Trade, [trade(i, symbol=symbol) for i in range(3)])
    gaps = frame(Status, [(at(0.1), at(0.5), symbol, "gap", "ticker", symbol, None, None)])
    marks = frame(MarkPrice, [(at(i), at(i), symbol, 100.0, 101.0) for i in range(3)])
    funding = frame(FundingRate, [(at(i), at(i), symbol, 0.0001, None) for i in range(3)][:0])
    made = {
        "price": figures.price(quotes, trades=trades, status=gaps),
        "candles": figures.candles(trades),
        "depth": figures.depth(book(symbol), symbol),
        "ladder": figures.ladder(book(symbol), symbol),
        "heatmap": figures.heatmap(book(symbol)),
        "spread": figures.spread(quotes, status=gaps),
        "mark": figures.mark(marks, funding=funding),
        "flow": figures.flow(trades),
        "lag": figures.lag(quotes),
        "nothing": figures.price(quotes[:0], symbol),
        "no book": figures.depth(book(symbol)[:0], symbol),
    }
    assert set(figures.__all__) - set(made) == {
        "ExportUnavailable", "Figure", "LiveFigure", "Refresher", "Ticket", "channels_for",
        "refresher",
    }  # fmt: skip
    return made


def texts(part, path=""):
    """Give every text of a figure's JSON, with where it is."""
    if isinstance(part, str):
        yield path, part
    elif isinstance(part, dict):
        for key, value in part.items():
            yield from texts(value, f"{path}.{key}")
    elif isinstance(part, list | tuple):
        for place, value in enumerate(part):
            yield from texts(value, f"{path}.{place}")


def told(figure):
    # An array is written as text, too; the sizes of a spot pair are in other units.
    found = texts(json.loads(figure.to_json()))
    return {path: text for path, text in found if not path.endswith((".bdata", ".shape"))}


PLAIN = {name: told(figure) for name, figure in drawn("XBTUSDTM").items()}
BASE, QUOTE = "QZBASE", "QZQUOTE"
PLAIN_SPOT = {name: told(figure) for name, figure in drawn(f"{BASE}-{QUOTE}").items()}


def expected(name, path, symbol):
    """Give the usual text with another symbol; sizes of a spot pair are named by its coins."""
    is_spot = market_of(symbol) is Market.SPOT
    # The name of a shape is no markup: a page puts it into a tooltip as a text.
    is_plain = re.fullmatch(r"\.layout\.shapes\.\d+\.name", path)
    written = str if is_plain else literal
    if not is_spot:
        return PLAIN[name][path].replace("XBTUSDTM", written(symbol))
    base, _, quote = symbol.partition("-")
    text = PLAIN_SPOT[name][path]
    for usual, its in ((f"{BASE}-{QUOTE}", symbol), (BASE, base), (QUOTE, quote)):
        text = text.replace(usual, written(its))
    return text


def shown(text):
    """Give what plotly shows of a text without tags."""
    return html.unescape(text)


@given(names)
@quickly
def test_every_figure_shows_a_symbol_as_it_is(symbol):
    for name, figure in drawn(symbol).items():
        for path, text in told(figure).items():
            assert text == expected(name, path, symbol), (name, path)


def test_every_figure_names_its_symbol():
    assert all("XBTUSDTM" in plain[".layout.title.text"] for plain in PLAIN.values())
    assert "XBTUSDTM" in PLAIN["nothing"][".layout.annotations.0.text"]
    assert "XBTUSDTM" in PLAIN["no book"][".layout.annotations.0.text"]


@pytest.mark.parametrize("symbol", HOSTILE)
def test_an_exported_page_has_no_markup_of_a_symbol(symbol, tmp_path):
    def tags(figure):
        path = tmp_path / "page.html"
        figure.to_html(path, include_plotlyjs=False)
        return structure(path.read_text(encoding="utf-8"))

    quotes = frame(Ticker, [ticker(0, symbol=symbol)])

    page = tags(figures.price(quotes))

    assert page == tags(figures.price(frame(Ticker, [ticker(0)])))
    assert "evil.example" not in str(page)


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT", "币安人生USDTM", "1000$A-USDT", "A'B"])
def test_honest_symbols_look_as_before(symbol):
    title = figures.price(frame(Ticker, [ticker(0, symbol=symbol)])).layout.title.text

    assert shown(title).startswith(f"<b>{symbol}</b> ")
    if "$" not in symbol:
        assert title == shown(title)


@given(names)
def test_what_is_literal_is_shown_as_it_was(text):
    assert html.unescape(literal(text)) == html.unescape(html.escape(text)) == text
    assert not set("<>$") & set(literal(text))


@pytest.mark.parametrize("symbol", HOSTILE)
def test_a_live_figure_and_what_it_waits_for_show_a_symbol_as_it_is(symbol):
    for kind in (PriceChart, DepthChart):
        chart = kind(View(), Sketch(symbol))

        assert symbol in shown(chart.spec()["layout"]["title"]["text"])
        (note,) = chart.draw().layout["annotations"]
        assert shown(note["text"]).endswith(f" of {symbol}")
        assert "<" not in note["text"]


# -- widgets and what a notebook shows -------------------------------------------------------------


class Structure(HTMLParser):
    """The tags of a page, without its texts; of scripts not what they say."""

    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attributes):
        volatile = {"id", "style", "src", "integrity"}
        self.tags.append((tag, sorted(name for name, _ in attributes if name not in volatile)))

    def handle_endtag(self, tag):
        self.tags.append(f"/{tag}")

    def handle_comment(self, data):
        self.tags.append("comment")

    def handle_decl(self, decl):
        self.tags.append("declaration")

    def unknown_decl(self, data):
        self.tags.append("unknown")


def structure(page):
    parser = Structure()
    parser.feed(page)
    parser.close()
    return parser.tags


def shown_texts(page):
    return html.unescape(re.sub(r"<[^>]*>", "", page))


def representations(name, root):
    """Everything of ours that a notebook shows as HTML, with a name wherever one can be."""
    path = recorded(
        root,
        [ticker_row(0, symbol=name)],
        symbols=[name],
        venue=name,
        start_ns=NOON,
    )
    session = kr.load(path)
    report = session.report()
    yield session
    yield report
    yield replace(report, name=name)
    with kr.replay(session, name=name) as replayed:
        yield replayed
    yield Verification(name, (Flaw(name, 3, name, name),), (name,), 1, 1)
    yield Repair(name, (name,))
    yield Diagnosis((Check(name, Severity.BAD, name, name),))


@pytest.mark.parametrize("name", HOSTILE)
def test_everything_that_a_notebook_shows_has_no_markup_of_a_name(name, tmp_path):
    usual = [structure(each._repr_html_()) for each in representations("XBTUSDTM", tmp_path / "a")]
    pages = [each._repr_html_() for each in representations(name, tmp_path / "b")]

    assert [structure(page) for page in pages] == usual
    assert sum(name in shown_texts(page) for page in pages) >= 5


def all_widgets(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from all_widgets(child)


def markup_of(widget):
    """Give what of a widget's state a page takes for HTML."""
    if isinstance(widget, ipywidgets.HTML | ipywidgets.HTMLMath):
        yield widget.value
    if getattr(widget, "description_allow_html", False):
        yield widget.description


@pytest.mark.parametrize("symbol", HOSTILE)
def test_no_widget_of_a_dashboard_has_markup_of_a_symbol(symbol):
    board = kr.dashboard(symbol, venue=kr.Venue("http://127.0.0.1:9", "http://127.0.0.1:9"))
    try:
        found = [text for each in all_widgets(board) for text in markup_of(each)]
        board._press(board.start)  # and what it says of it
        found += [text for each in all_widgets(board) for text in markup_of(each)]
        kinds = {type(each).__name__ for each in all_widgets(board)}
    finally:
        board.close()

    assert board.controls.symbol.value == symbol
    assert "HTML" in kinds or found == []
    assert not any(structure(text) for text in found)


@given(names)
@quickly
def test_a_place_for_a_chart_says_a_name_as_it_is(name):
    slot = ChartSlot({name: PriceChart}, Scene(None, name), "main")

    slot.show(Scene(_Nameless(), name))

    assert name in html.unescape(slot._words.value)
    assert structure(slot._words.value) == []


class _Nameless:
    symbols = channels = ()

    def frame(self, channel, **_):
        raise kr.UnknownChannel(f"no {channel}")


def test_the_panel_takes_texts_for_texts():
    # What is told goes into text nodes: there is no other way in its page.
    scripts = [*_PACKAGE.glob("dashboards/*.js"), *_PACKAGE.glob("figures/*.js")]
    page = "".join(path.read_text(encoding="utf-8") for path in scripts)

    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser"):
        assert way not in page
    assert "textContent" in page
    assert len(scripts) > 10
