"""The scripts of a time axis, run in a browser without a notebook: values, scale, group, …"""

from pathlib import Path

import pytest

import kucoin_research

FOLDER = Path(kucoin_research.__file__).parent / "figures"
LINE = {
    "name": "best bid", "x": [10, 20, 30, 40], "y": [1.5, 2.5, None, 4.5],
    "hovertemplate": "bid %{y:,.15~r}<extra></extra>",
}  # fmt: skip
SPREAD = {
    **LINE, "name": "spread", "hovertemplate": "spread %{y:.3f} bps<extra></extra>",
    "x": [10, 20], "y": [0.5, 0.25],
}  # fmt: skip
TRADES = {
    "name": "buy trades", "x": [12, 22], "y": [1234.5, 1e-9], "customdata": [[1500, 1], [3, 2]],
    "hovertemplate": "buy %{customdata[0]:,.15~r} at %{y:,.15~r}<br>trades: %{customdata[1]}",
}  # fmt: skip
CANDLES = {
    "type": "candlestick", "x": [0, 10, 30], "xperiod": 10, "open": [1, 2, 3], "high": [4, 5, 6],
    "low": [0.5, 1, 2], "close": [2, 3, 4],
}  # fmt: skip
RISING = {
    "type": "bar", "name": "volume, rising", "x": [0], "xperiod": 10, "y": [7], "width": [7],
    "meta": {"share": 0.7}, "hovertemplate": "volume %{y:,.15~r}<extra></extra>",
}  # fmt: skip
FALLING = {**RISING, "name": "volume, falling", "x": [10, 30], "y": [8, 9], "width": [7, 7]}
SLOT = {**CANDLES, "hoverinfo": "skip"}
# Bars that differ in length, at their middles; the first one spans 0 to 10, the next 10 to 14.
UNEQUAL = [
    {**CANDLES, "xperiod": 0, "x": [5, 12], "open": [1, 2]},
    {**RISING, "xperiod": 0, "x": [5, 12], "y": [7, 8], "width": [7, 2.8]},
]


@pytest.fixture
def ask(page):
    """Evaluate an expression that uses the scripts; arguments are named by keyword."""
    scripts = "".join(
        (FOLDER / name).read_text()
        for name in ("readout.js", "linked.js", "measure.js", "log_scale.js")
    )

    def evaluate(expression, **named):
        return page.evaluate(
            f"async (named) => {{ const page = {{}};\n{scripts}\n"
            f"const {{{', '.join(named) or 'none'}}} = named; return ({expression}); }}",
            named,
        )

    return evaluate


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        ("84953.15", ",.15~r", "84,953.15"),
        ("1e-9", ",.15~r", "0.000000001"),
        ("1234567", ",.15~r", "1,234,567"),
        ("100", ",.15~r", "100"),
        ("0", ",.15~r", "0"),
        ("-62", "+,.15~r", "−62"),
        ("0.90", "+.2f", "+0.90"),
        ("-0.0001", "+.2f", "−0.00"),
        ("-0.0001", ".2f", "0.00"),
        ("12345.6789", ".3f", "12345.679"),
        ("NaN", ".3f", "–"),
    ],
)
def test_a_number_is_written_as_the_hover_text_writes_it(ask, value, form, text):
    assert ask(f"written({value}, form)", form=form) == text


def test_times_have_their_milliseconds(ask):
    assert ask("clockOf(1767571267001.9998)") == "00:01:07.002"
    assert ask("clockOf(1767571267002, true)") == "2026-01-05 00:01:07.002"
    assert ask("[lengthOf(13380), lengthOf(-3723004)]") == ["13.380 s", "−1 h 2 min 3.004 s"]


def read(ask, data, time, gaps=()):
    return dict(
        ask(
            "readings(data.map(full), planOf(data), time, gaps)".replace(
                "full", "(each) => ({...each, y: each.y?.map((y) => y ?? NaN)})"
            ),
            data=data, time=time, gaps=list(gaps),
        )
    )  # fmt: skip


def test_a_line_that_is_named_anew_is_read_with_its_new_name(ask):
    data = [{**LINE, "hovertemplate": "SMA 20 %{y:,.9~r}<extra></extra>"}]
    hover = "SMA 20 · 5 s %{y:,.9~r}<extra></extra>"

    found = ask(
        "(() => { const plan = planOf(data); data[0].hovertemplate = hover;"
        " return readings(data, plan, 20); })()",
        data=data, hover=hover,
    )  # fmt: skip

    assert found == [["SMA 20 · 5 s", "2.5"]]


@pytest.mark.parametrize(
    ("time", "bid", "spread"),
    [
        (9, "–", "–"),
        (10, "1.5", "0.500 bps"),
        (19.9, "1.5", "0.500 bps"),  # not half way to the next row's
        (29, "2.5", "0.250 bps"),
        (35, "–", "0.250 bps"),  # the line is broken there
        (99, "4.5", "0.250 bps"),
        (None, "4.5", "0.250 bps"),
    ],
)
def test_a_value_is_that_of_the_last_row_at_or_before_a_time(ask, time, bid, spread):
    assert read(ask, [LINE, SPREAD], time) == {"bid": bid, "spread": spread}


def test_nothing_is_known_within_a_gap_until_a_row_comes(ask):
    gaps = [[20, 24]]

    assert [read(ask, [LINE, TRADES], time, gaps)["bid"] for time in (20, 21, 24)] == [
        "2.5", "–", "2.5",
    ]  # fmt: skip
    assert read(ask, [TRADES], 21, gaps) == {"buy": "–"}
    assert read(ask, [TRADES], 23, gaps) == {"buy": "3 at 0.000000001"}  # it has come since


def test_a_trade_has_its_size_and_price(ask):
    hover = "buy %{customdata[0]:,.9~r} USDT at %{y:,.15~r}<br>trades: %{customdata[1]}"

    assert read(ask, [TRADES], 13) == {"buy": "1,500 at 1,234.5"}
    assert read(ask, [{**TRADES, "hovertemplate": hover}], 13) == {"buy": "1,500 USDT at 1,234.5"}


def test_a_volume_has_its_unit_and_says_whether_it_is_an_estimate(ask):
    hover = "volume %{y:,.9~r} USDT%{text}<extra></extra>"
    bars = {**FALLING, "hovertemplate": hover, "text": ["", ", an estimate"]}

    assert read(ask, [bars], 15) == {"volume": "8 USDT"}
    assert read(ask, [bars], 35) == {"volume": "≈ 9 USDT"}
    assert read(ask, [bars], 25) == {"volume": "–"}


def test_a_candle_is_the_one_that_spans_the_time(ask):
    data = [CANDLES, RISING, FALLING, SLOT]

    assert read(ask, data, 9.9) == {"O": "1", "H": "4", "L": "0.5", "C": "2", "volume": "7"}
    assert read(ask, data, 10)["volume"] == "8"
    assert set(read(ask, data, 25).values()) == {"–"}  # no trade, no candle
    assert read(ask, data, None) == {"O": "3", "H": "6", "L": "2", "C": "4", "volume": "9"}
    assert [read(ask, UNEQUAL, time)["O"] for time in (1, 9.9, 10.1, 13.9, 14.1)] == [
        "1", "1", "2", "2", "–",
    ]  # fmt: skip


def test_a_trace_that_the_legend_hides_is_not_read(ask):
    assert read(ask, [{**LINE, "visible": "legendonly"}], 10) == {}
    assert read(ask, [{**LINE, "xaxis": "x2"}, {**LINE, "hoverinfo": "skip"}], 10) == {}


def test_a_measure_has_difference_share_time_and_bars(ask):
    of = "measureText({from: {time: 0, value: 84961.1}, to: {time: 2000, value: 84962.7}, %s})"

    assert ask(of % "isPrice: true, candles: 2") == "Δ +1.6 (+0.002 %) · Δt 2.000 s · 2 bars"
    assert ask(of % "isPrice: false, candles: NaN") == "Δ +1.6 · Δt 2.000 s"
    nowhere = "measureText({from: {time: 9, value: NaN}, to: {time: 0, value: 1}, candles: 1})"
    assert ask(nowhere) == "Δt −0.009 s · 1 bar"
    assert ask("candlesBetween([c], planOf([c]), 30, 0)", c=CANDLES) == 2


@pytest.mark.parametrize(("low", "kind"), [(0.5, "log"), (0, "linear"), (-1, "linear")])
def test_a_scale_is_logarithmic_only_if_all_values_are_above_0(ask, low, kind):
    candles = {**CANDLES, "low": [low, 1, 2]}
    layout = {"yaxis": {"exponentformat": "none"}, "yaxis2": {"exponentformat": "SI"}}

    possible, made = ask("[putScale([c], l, true), l]", c=candles, l=layout)

    assert possible == (kind == "log")
    assert made["yaxis"].get("type", "linear") == kind
    assert "type" not in made["yaxis2"]  # of the volume


def test_a_range_that_was_zoomed_to_stays_on_the_other_scale(ask):
    axis = {"exponentformat": "none", "autorange": False, "range": [10, 1000]}

    made = ask("(putScale([], l, true), l)", l={"yaxis": axis})["yaxis"]
    assert made["range"] == pytest.approx([1, 3])

    back = ask("(putScale([], l, false), l)", l={"yaxis": made})["yaxis"]
    assert back["range"] == pytest.approx([10, 1000])


GROUP = """
  const log = [], paneOf = (name) => ({
    moveTo: (range, isSettled) => log.push([name, range[0], isSettled]),
    followAlone: () => log.push([name, 'follows']), timeOf: () => 0, show: () => {},
  });
  const model = (group) => ({
    get: (name) => (name === 'group' ? group : 'own'), on() {}, off() {},
  });
"""


def test_charts_of_a_group_move_together_and_leave_nothing(ask):
    steps = """
      const [a, b, c] = ['g', 'g', ''].map((group, at) => linkTo(model(group), paneOf('abc'[at])));
      a.move([5, 6], true);
      const late = linkTo(model('g'), paneOf('late'));
      b.follow();
      a.move([7, 8], false);
      a.leave();
      const left = page.groups.get('g').panes.size;
      for (const each of [b, c, late]) each.leave();
      return [log, left, page.groups.size];
    """

    log, left, groups = ask(f"(() => {{ {GROUP} {steps} }})()")

    moved = [("b", 5, True), ("late", 5, True)]
    assert [tuple(each) for each in log] == [
        *moved, ("a", "follows"), ("b", "follows"), ("late", "follows"),
    ]  # fmt: skip
    assert (left, groups) == (2, 0)
