"""Fixtures for tests of the dashboard."""

import pytest

from kucoin_research.dashboards import watchlist
from tests.processes import PATIENCE


@pytest.fixture(autouse=True)
def _a_busy_machine_may_answer_late(held_time, monkeypatch):
    # A press waits a few seconds for the exchange. In real time the two share a machine, and this
    # process, with whatever else runs.
    if held_time is None:
        monkeypatch.setattr(watchlist, "_ANSWER", PATIENCE)
