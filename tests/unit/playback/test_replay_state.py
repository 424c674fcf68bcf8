from kucoin_research.playback import replay_state
from tests.unit.rows import NOON
from tests.unit.sessions.test_timeline import trade


def test_memory_of_rows_that_rest_brought_has_a_bound(monkeypatch):
    monkeypatch.setattr(replay_state, "_MOST_FILLED", 100)
    recent = replay_state._Recent()
    for n in range(0, 1_000, 10):
        recent.take([trade(n + i) for i in range(10)])

    assert sum(map(len, recent._parts)) < 120
    assert recent.between(NOON + 900, NOON + 995) == 95
