"""Numbers as a trader reads them."""

from kucoin_research.dashboards.formatting import compact, duration, fixed, size


def test_numbers_are_written_as_a_trader_reads_them():
    assert fixed(63_837.25, 1) == "63,837.2"
    assert fixed(None, 2) == "–"
    assert [compact(each) for each in (251.31, 12, 12_400, 3_100_000, 0.0423)] == [
        "251.3", "12", "12.4k", "3.1M", "0.0423",
    ]  # fmt: skip
    assert [duration(each) for each in (0.08, 4.21, 180, 9_000)] == [
        "80 ms",
        "4.2 s",
        "3 min",
        "2.5 h",
    ]
    assert size(1_234_567) == "1.2 MB"
