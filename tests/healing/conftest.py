"""The table that these tests end with: what was done, what was healed, and what it cost."""

import pytest

TABLE = pytest.StashKey()
HEADER = ("fault", "market", "told", "hole s", "withheld", "lost", "refilled", "verdict")


def pytest_configure(config):
    config.stash[TABLE] = []


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash.get(TABLE, [])
    if not rows:
        return
    table = [HEADER, *sorted(rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADER))]
    terminalreporter.section("faults of the exchange, and what became of its messages")
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        terminalreporter.write_line("  ".join(cells).rstrip())


@pytest.fixture
def enter(request):
    """Give the function that enters a row of the table."""
    return request.config.stash[TABLE].append
