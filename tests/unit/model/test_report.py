"""The report: readable as text and as HTML, queryable as a frame."""

from __future__ import annotations

import polars as pl
import pytest

from kucoin_research.errors import InvalidInput, UnknownChannel, UnknownSymbol
from kucoin_research.model.integrity import Gap, Verdict
from kucoin_research.model.report import ChannelReport, Lag, Report


def entry(channel="trade", symbol="XBTUSDTM", verdict=Verdict.NOT_PROVABLE, **values):
    defaults = {
        "rows": 12_345, "duplicates": 2, "broken": 0, "first_sequence": 1, "last_sequence": 9,
        "gaps": (), "lag": Lag(1.0, 2.0, 3.25), "reason": "no numbers",
    }  # fmt: skip
    return ChannelReport(channel=channel, symbol=symbol, verdict=verdict, **(defaults | values))


def report(*entries, **values):
    return Report(
        **({"name": "s", "reconnects": 1, "clock_offset_ms": -3.4} | values), channels=entries
    )


def test_text_is_an_aligned_table_with_the_verdict_first():
    lines = str(report(entry(), entry("level2", lag=None, rows=7))).splitlines()

    assert lines[0] == "s: NOT PROVABLE"
    assert lines[1].split()[:3] == ["channel", "symbol", "rows"]
    assert lines[2] == (
        "trade    XBTUSDTM  12,345       0        2       0     0  1.0 / 2.0 / 3.2     "
        "NOT PROVABLE  no numbers"
    )
    assert lines[3].startswith("level2   XBTUSDTM       7 ")
    assert lines[4] == "reconnects 1 · roll-overs 0 · gaps 0 · clock offset -3 ms"


def test_text_of_an_empty_report():
    text = str(report(clock_offset_ms=None))

    assert text.startswith("s: NOT PROVABLE\n")
    assert text.endswith("clock offset not measured")


def test_html_escapes_what_it_shows():
    page = report(entry(reason="<script>", symbol="A&B"), name="<b>")._repr_html_()

    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "A&amp;B" in page
    assert page.count("<tr>") == 2
    assert page.count("<td ") == page.count("<th ") == 10


def test_frame_has_one_row_per_channel_and_symbol_and_one_schema():
    gap = Gap("missing", 1, 2, 0, 1)

    frame = report(
        entry(gaps=(gap, gap)), entry("candle", lag=None, first_sequence=None)
    ).to_frame()

    assert frame.schema == report().to_frame().schema
    assert frame["gaps"].to_list() == [2, 0]
    assert frame["lag_p99_ms"].to_list() == [3.25, None]
    assert frame["first_sequence"].to_list() == [1, None]
    assert frame["verdict"].to_list() == ["NOT PROVABLE"] * 2
    assert frame.schema["rows"] == pl.Int64
    assert frame.schema["lag_p50_ms"] == pl.Float64


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ("COMPLETE", "COMPLETE"),
        ("COMPLETE, NOT PROVABLE", "NOT PROVABLE"),
        ("NOT PROVABLE, INCOMPLETE, COMPLETE", "INCOMPLETE"),
        ("", "NOT PROVABLE"),
    ],
)
def test_the_whole_is_as_good_as_its_worst_channel(verdicts, whole):
    entries = [entry(verdict=Verdict(verdict)) for verdict in verdicts.split(", ") if verdict]

    assert report(*entries).verdict == whole


def test_gaps_and_duplicates_are_summed():
    gap = Gap("missing", 1, 2, 0, 1)

    summed = report(entry(gaps=(gap,)), entry(gaps=(gap, gap), duplicates=5))

    assert (summed.gaps, summed.duplicates) == (3, 7)


def test_an_entry_is_found_by_channel_and_symbol():
    whole = report(entry(), entry(symbol="ETHUSDTM"), entry("ticker"))

    assert whole.channel("ticker") is whole.channels[2]
    assert whole.channel("trade", "ETHUSDTM") is whole.channels[1]
    with pytest.raises(InvalidInput, match="name the symbol whose trade is meant: XBTUSDTM, ETH"):
        whole.channel("trade")
    with pytest.raises(UnknownChannel, match="no channel 'candle'; it has: trade, ticker"):
        whole.channel("candle")
    with pytest.raises(UnknownChannel, match=r"no channel 'xyz'"):
        whole.channel("xyz")
    with pytest.raises(UnknownSymbol, match="no trade of 'SOLUSDTM'; it has: XBTUSDTM, ETHUSDTM"):
        whole.channel("trade", "SOLUSDTM")


def test_the_candles_of_all_intervals_have_one_entry():
    whole = report(entry("candle"))

    assert whole.channel("candle:5min") is whole.channel("candle") is whole.channels[0]


def test_a_virtual_clock_is_named_instead_of_its_offset():
    text = str(report(simulation=60.0))

    assert "the venue's clock is virtual, speed 60" in text
    assert "offset" not in text


def test_gaps_are_listed_with_what_filled_them():
    lost = Gap("disconnected", 11, 14, 1_795_000_000_000_000_000, 1_795_000_002_500_000_000)
    filled = lost._replace(
        first_sequence=None, last_sequence=None, filled_by="REST", filled=7, began=lost.began - 1
    )
    made = report(entry("level2", gaps=(lost,)), entry(gaps=(filled,), filled=7))

    text = str(made)
    frame = made.gap_frame()

    assert "level2  XBTUSDTM  2026-11-18 11:06:40  2.5 s  disconnected  11 to 14   " in text
    assert "7 rows by REST" in text
    assert "gaps 2 · 7 rows filled by REST" in text
    assert frame["channel"].to_list() == ["trade", "level2"]  # in order of time
    assert frame["missing"].to_list() == [None, 4]
    assert frame["filled_by"].to_list() == ["REST", None]
    assert made._repr_html_().count("<table>") == 2


def test_a_stream_of_many_symbols_is_summed_up():
    entries = [entry("bbo", f"S{n}USDTM", rows=10) for n in range(700)]
    bad = entry("bbo", "BADUSDTM", Verdict.INCOMPLETE, reason="disconnected for 2.0 s")

    lines = str(report(*entries, bad)).splitlines()

    assert len(lines) == 7
    assert lines[2].split()[:4] == ["bbo", "701", "symbols", "19,345"]
    assert "BADUSDTM" in lines[5]
    assert report(*entries, bad)._repr_html_().count("<tr>") == 4


def test_each_verdict_has_a_sign_of_its_own():
    pages = {verdict: report(entry(verdict=verdict))._repr_html_() for verdict in Verdict}

    assert "✓ COMPLETE" in pages[Verdict.COMPLETE]
    assert "✗ INCOMPLETE" in pages[Verdict.INCOMPLETE]
    assert "? NOT PROVABLE" in pages[Verdict.NOT_PROVABLE]
