"""What a dashboard makes of its vitals: a colour, a word and the reasons."""

from dataclasses import replace

import pytest

from kucoin_research.dashboards import Colour, Vitals, judge
from kucoin_research.dashboards.health import Screen

LIVE = Vitals(state="live", since=60.0, messages_per_second=50.0, lag_p50_ms=8.0, lag_p95_ms=20.0,
              age=0.1, usual=0.02, rows=1_000)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "colour", "reason"),
    [
        ({}, "green", ""),
        ({"state": "idle"}, "grey", ""),
        ({"state": "stopped"}, "grey", ""),
        ({"state": "playing"}, "green", ""),
        ({"state": "connecting", "since": 1.0}, "amber", "connecting"),
        ({"state": "connecting", "since": 12.0}, "red", "no connection after 12.0 s"),
        ({"state": "connecting", "since": 1.0, "error": "refused"}, "red", ": refused"),
        ({"state": "reconnecting", "since": 4.0, "error": "lost"}, "red", "for 4.0 s: lost"),
        ({"state": "failed", "error": "no such key"}, "red", "has failed: no such key"),
        ({"error": "topic refused"}, "amber", "topic refused"),
        ({"age": 2.9}, "green", ""),
        ({"age": 3.5}, "amber", "no message for 3.5 s, where one comes every 20 ms"),
        ({"age": 12.0}, "red", "no message for 12.0 s"),
        ({"age": 12.0, "usual": 5.0}, "green", ""),  # a quiet market
        ({"age": 60.0, "usual": 5.0}, "amber", "every 5.0 s"),
        ({"lag_p95_ms": 499.0}, "green", ""),
        ({"lag_p95_ms": 700.0}, "amber", "by more than 700 ms"),
        ({"lag_p95_ms": 2_500.0}, "red", "by more than 2.5 s"),
        ({"lag_p95_ms": None}, "green", ""),
        ({"gaps": 7}, "green", ""),  # long past, or filled
        ({"error": "cut off", "state": "stopped"}, "grey", ""),
        ({"recent_gaps": 1}, "amber", "1 gap in the last minute"),
        ({"recent_gaps": 2}, "amber", "2 gaps in the last minute"),
        ({"recent_gaps": 2, "recent_broken": 1, "state": "stopped"}, "grey", ""),
        ({"silent": "silent for 4.00 s"}, "amber", "a topic was silent for 4.00 s"),
        ({"recent_broken": 3}, "amber", "3 messages did not decode"),
        ({"recent_dropped": 9}, "amber", "missed 9 rows"),
        ({"recorded": 10, "disk_free": 10**12}, "green", ""),
        ({"recorded": 10, "disk_free": 5 * 10**8}, "amber", "500.0 MB left"),
        ({"recorded": 10, "disk_free": 5 * 10**7}, "red", "50.0 MB left"),
        ({"recorded": 10, "recorder_error": "No space left"}, "red", "No space left"),
        ({"recorded": 10, "recorder_lost": 4}, "red", "lacks 4 rows"),
        ({"recorder_lost": 4}, "green", ""),  # a recording that is over
        ({"book": "the book is not in step"}, "amber", "not in step"),
        ({"book": "the book is not in step", "since": 0.2}, "green", ""),
        ({"refresh_error": "ValueError: broken"}, "amber", "refresh failed: ValueError: broken"),
        ({"failed": ("f raised KeyError: 1",)}, "amber", "f raised KeyError: 1; it is called no"),
        ({"failed": ("f raised X", "g raised Y", "h raised Z")}, "amber", "no more, and 2 more"),
        ({"failed": ("f raised X",), "state": "ended"}, "amber", "f raised X"),
        ({"failed": ("f raised X",), "state": "stopped"}, "grey", ""),
        ({"screen": Screen("the tiles", 1.4)}, "green", ""),
        ({"screen": Screen("the tiles", 4.2)}, "amber", "the screen shows the tiles of 4.2 s ago"),
        ({"screen": Screen("the tiles", 4.2), "state": "idle"}, "grey", ""),
        ({"busy": 0.4}, "green", ""),
        ({"busy": 3.0}, "amber", "the kernel has been busy for 3.0 s"),
        ({"was_busy": 5.0}, "amber", "the kernel was busy for 5.0 s"),
    ],
)
def test_the_badge_has_a_colour_and_says_why(change, colour, reason):
    health = judge(replace(LIVE, **change))

    assert health.colour == colour
    assert reason in "; ".join(health.reasons)
    assert bool(health.reasons) == bool(reason)


def test_the_worst_reason_comes_first_and_none_is_lost():
    health = judge(replace(LIVE, recent_gaps=1, age=20.0, busy=2.0))

    assert health.colour is Colour.RED
    assert [text.split(" ")[0] for text in health.reasons] == ["no", "1", "the"]
    assert str(health).startswith("red: live; no message for 20.0 s")


def test_a_busy_kernel_is_told_before_what_it_makes_late():
    late = Screen("the tiles", 4.2)
    health = judge(replace(LIVE, busy=3.0, screen=late, lag_p95_ms=900.0, recent_gaps=1))

    assert [text.split(" ")[:2] for text in health.reasons] == [
        ["1", "gap"], ["the", "kernel"], ["messages", "arrive"], ["the", "screen"],
    ]  # fmt: skip
