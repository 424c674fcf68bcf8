"""Verdicts, their reasons, and gaps that are filled."""

from __future__ import annotations

import pytest

from kucoin_research.model.integrity import Gap, Tally

SYMBOL = "XBTUSDTM"
SECOND = 1_000_000_000
HOLE = Gap("missing", 18, 20, 0, SECOND)
ONE = Gap("missing", 18, 18, 0, SECOND)
AWAY = Gap("disconnected", 18, 20, 0, SECOND)
REBASE = Gap("rebase", 21, 20, 0, SECOND)
FILLED = HOLE._replace(filled_by="REST")
NUMBERED = {"channel": "level2", "is_synced": True, "last_sequence": 30}


@pytest.mark.parametrize(
    ("facts", "verdict", "reason"),
    [
        (NUMBERED, "COMPLETE", "every sequence from the first snapshot on is here, up to 30"),
        ({"channel": "level2"}, "NOT PROVABLE", "no snapshot has been aligned yet"),
        (
            {"channel": "trade", "rows": 9},
            "NOT PROVABLE",
            "the exchange does not number this channel without holes",
        ),
        (
            NUMBERED | {"gaps": [HOLE]},
            "INCOMPLETE",
            "3 missing sequence numbers, 18 to 20",
        ),
        (NUMBERED | {"gaps": [ONE]}, "INCOMPLETE", "1 missing sequence number, 18 to 18"),
        (
            NUMBERED | {"gaps": [AWAY]},
            "INCOMPLETE",
            "3 missing sequence numbers, 18 to 20 (disconnected for 1.0 s)",
        ),
        (
            NUMBERED | {"gaps": [REBASE]},
            "INCOMPLETE",
            "the exchange renumbered the book, so what is missing there is not known",
        ),
        (
            NUMBERED | {"gaps": [FILLED]},
            "COMPLETE",
            "every sequence from the first snapshot on is here, up to 30; 1 gap filled",
        ),
        ({"channel": "ticker", "broken": 1}, "INCOMPLETE", "1 message did not decode"),
        (
            NUMBERED | {"broken": 2, "gaps": [ONE] * 5},
            "INCOMPLETE",
            "2 messages did not decode; " + "1 missing sequence number, 18 to 18; " * 3
            + "2 further gaps",
        ),
    ],
)  # fmt: skip
def test_verdicts_and_their_reasons(facts, verdict, reason):
    tally = Tally(**({"symbol": SYMBOL} | facts))

    assert tally.verdict == verdict
    assert tally.reason == reason


def test_a_renumbering_has_no_number_of_missing():
    assert REBASE.missing is None
    assert HOLE.missing == 3


def test_what_comes_late_is_cut_out_of_the_newest_gap_it_is_in():
    before = Gap("missing", 5, 9, 1, 2)
    rebase = Gap("rebase", 20, 19, 3, 3)  # and the same numbers once more
    tally = Tally("level2", SYMBOL, gaps=[before, rebase, before._replace(began=4, ended=5)])

    tally.mend(6, 7)

    assert tally.gaps[:2] == [before, rebase]
    assert [(g.first_sequence, g.last_sequence, g.filled_by) for g in tally.gaps[2:]] == [
        (5, 5, None), (6, 7, "late"), (8, 9, None),
    ]  # fmt: skip
