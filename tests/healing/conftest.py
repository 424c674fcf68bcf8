"""The table that these tests end with: what was done, what was healed, and what it cost."""

import pytest

ENTRY = "row of the table of faults"
HEADER = ("fault", "market", "told", "hole s", "withheld", "lost", "refilled", "verdict")


def pytest_terminal_summary(terminalreporter):
    rows = {
        tuple(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == ENTRY
    }
    if not rows:
        return
    table = [HEADER, *sorted(rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADER))]
    terminalreporter.section("faults of the exchange, and what became of its messages")
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        terminalreporter.write_line("  ".join(cells).rstrip())


@pytest.fixture
def enter(record_property):
    """Give the function that enters a row of the table, from whichever process."""
    return lambda row: record_property(ENTRY, row)
