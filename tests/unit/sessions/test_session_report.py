"""The account of a recording, from its status rows."""

from __future__ import annotations

from kucoin_research.model.damage import Damage
from kucoin_research.model.records import Status
from kucoin_research.sessions.session_report import Counted, build_report

SYMBOL = "XBTUSDTM"
COUNTED = Counted("trade", SYMBOL, rows=500, first_sequence=1, last_sequence=900)


def status(event, local, began=None, detail="", first=None, last=None):
    return Status(
        local if began is None else began, local, SYMBOL, event, "trade", detail, first, last
    )


def gap(began, ended):
    return status("gap", ended, began, "disconnected for 1.0 s")


def account(*statuses):
    report = build_report("session", [COUNTED], statuses, lambda *_: 10)
    return report.channel("trade")


def test_what_rest_filled_is_filled():
    entry = account(gap(100, 200), status("filled", 310, 300))

    assert [(each.filled_by, each.filled) for each in entry.gaps] == [("REST", 10)]
    assert entry.filled == 10


def test_what_rest_did_not_reach_stays_missing():
    entry = account(
        gap(100, 200), status("filled", 310, 300), status("not_filled", 311, first=40, last=60)
    )

    (missing,) = entry.gaps
    assert (missing.filled_by, missing.filled) == (None, 10)
    assert (missing.first_sequence, missing.last_sequence, missing.is_counted) == (40, 60, False)


def test_two_outages_are_filled_in_order_of_time():
    entry = account(
        gap(400, 500), gap(100, 200),  # the first gap was reported last, since it was short
        status("filled", 610, 600), status("not_filled", 611, first=40, last=60),
        status("filled", 630, 620),
    )  # fmt: skip

    assert {each.began: each.filled_by for each in entry.gaps} == {100: None, 400: "REST"}


def test_a_fill_behind_an_unsubscription_is_not_of_the_outage_before_it():
    entry = account(
        gap(100, 130),  # the channel was unsubscribed before there was a connection again
        status("unsubscribed", 131), status("subscribed", 300),
        status("gap", 301, 131, "unsubscribed for 0.2 s"), status("filled", 410, 400),
        gap(500, 600), status("filled", 710, 700),
    )  # fmt: skip

    assert [(each.cause, each.filled_by, each.filled) for each in entry.gaps] == [
        ("disconnected", None, 0), ("unsubscribed", "REST", 10), ("disconnected", "REST", 10),
    ]  # fmt: skip


def test_a_fill_of_an_outage_is_not_of_the_unsubscription_behind_it():
    entry = account(
        gap(100, 200), status("unsubscribed", 231), status("subscribed", 300),
        status("gap", 301, 231, "unsubscribed for 0.1 s"),
        status("filled", 410, 205), status("filled", 411, 400),
    )  # fmt: skip

    assert [each.filled_by for each in entry.gaps] == ["REST", "REST"]


def test_an_outage_that_was_given_up_is_not_filled_by_the_next():
    entry = account(
        gap(100, 200), status("not_filled", 300, detail="no answer"),
        gap(400, 500), status("filled", 610, 600),
    )  # fmt: skip

    assert {each.began: each.filled_by for each in entry.gaps} == {100: None, 400: "REST"}


def test_a_file_that_is_gone_is_compared_with_its_own_account_only(monkeypatch):
    asked = []
    concerns = Damage.concerns
    monkeypatch.setattr(Damage, "concerns", lambda *args: asked.append(1) or concerns(*args))
    counted = [Counted("trade", f"A{number}") for number in range(300)]
    damages = [
        Damage(f"{number}.csv", "missing", "trade", f"a{number}") for number in range(150, 450)
    ]

    report = build_report("session", counted, [], lambda *_: 0, damages=damages)

    assert len(report.channels) == 450
    told = [f"{at}.csv" in entry.reason for at, entry in enumerate(report.channels)]
    assert told == [False] * 150 + [True] * 300
    assert len(asked) < 1_000  # of 100,000


def test_an_absence_is_said_until_the_channel_comes_back():
    gone = status("unsubscribed", 200, detail="trade of XBTUSDTM is not subscribed to from here on")
    back = status("subscribed", 300, detail="trade of XBTUSDTM is subscribed to from here on")
    between = status("gap", 301, 200, "unsubscribed for 1.0 s")

    assert account(gone).gaps == ()
    assert account(gone).reason.endswith("; unsubscribed since 1970-01-01 00:00:00")
    entry = account(gone, back, between)
    assert [gap.cause for gap in entry.gaps] == ["unsubscribed"]
    assert "unsubscribed since" not in entry.reason
