"""Roll-overs under load: the successor takes over before the old connection ends, and no row is
lost or comes twice on any channel, by the exchange's own journal and tape.
"""

from __future__ import annotations

import pytest

import kucoin_research as kr
from kucoin_research.exchange.websocket.connection import Connection
from tests.conftest import wait_until
from tests.healing.audit import audit, settle
from tests.healing.rig import Rig

LIFETIME = 4.0  # seconds instead of 24 hours
QUICK = kr.Healing(overlap=0.3, connects_per_minute=600, most_backoff=0.5)
PRO_CHANNELS = ["ticker", "bbo", "trade", "level2", "depth5", "candle"]
CHANNELS = {
    "futures": ["ticker", "bbo", "trade", "level2", "depth5", "depth50", "mark_price",
                "funding_rate", "snapshot", "candle"],
    "spot": ["ticker", "bbo", "trade", "level2", "depth5", "depth50", "mark_price", "snapshot",
             "candle"],
}  # fmt: skip
KINDS = [("futures", "classic"), ("spot", "classic"), ("futures", "pro"), ("spot", "pro")]


def roll_over(market, feed, count):
    channels = PRO_CHANNELS if feed == "pro" else CHANNELS[market]
    with Rig(
        market, feed=feed, channels=channels, healing=QUICK, speed=8.0,
        connection_lifetime=LIFETIME, token_lifetime=LIFETIME,
    ) as rig:  # fmt: skip
        rig.s.wait_until_live()
        wait_until(lambda: rig.s.status.rollovers >= count, timeout=count * LIFETIME + 30)
        settle(rig)
        status, report = rig.s.status, rig.s.report()

        assert audit(rig) == [], str(report)
        assert status.rollovers >= count
        assert (status.reconnects, status.gaps, status.duplicates) == (0, 0, 0), str(report)
        assert not [one for one in rig.x.withheld if not one.reached_others]
        for channel in channels:
            account = rig.account(channel)
            assert not account.lost, channel
            assert not account.twice, channel
    return status


@pytest.mark.parametrize(("market", "feed"), KINDS)
def test_connections_roll_over_without_a_row_lost_or_twice(market, feed):
    roll_over(market, feed, 2)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("market", "feed"), KINDS)
def test_thirty_rollovers_without_a_row_lost_or_twice(market, feed):
    roll_over(market, feed, 30)


# Takes so long to overlap that something can happen meanwhile.
UNHURRIED = kr.Healing(overlap=30.0, connects_per_minute=600, most_backoff=0.5)


def successor_of(rig):
    return rig.s._supervisors[0]._rollover.successor


def begin_rollover(rig):
    rig.s._supervisors[0]._rollover.replace_at = 0.0  # its life is over, as far as the client knows
    wait_until(lambda: successor_of(rig) is not None and successor_of(rig).is_settled.is_set())
    wait_until(lambda: len(successor_of(rig).overlap) > 20)


@pytest.mark.parametrize("market", ["futures", "spot"])
def test_losing_the_old_connection_amid_a_rollover_loses_nothing(market):
    with Rig(market, healing=UNHURRIED) as rig:
        rig.warm_up(rows=5)
        begin_rollover(rig)
        rig.s._supervisors[0]._link.connection.abort()  # of the two, the old one only
        rig.happens("rollover")
        rig.s.wait("bbo", rows=rig.s.total("bbo") + 20)
        settle(rig)

        assert audit(rig) == []
        assert not [one for one in rig.x.withheld if not one.reached_others]
        assert not any(rig.account(channel).lost for channel in rig.channels)


@pytest.mark.parametrize("market", ["futures", "spot"])
def test_what_a_successor_brought_is_kept_when_both_connections_are_lost(market):
    with Rig(market, healing=UNHURRIED) as rig:
        rig.warm_up(rows=5)
        rig.x.inject("stall_socket", market=market)
        begin_rollover(rig)
        rig.x.inject("abort", market=market)
        rig.happens("connected", 2)
        for channel in rig.channels:
            rig.s.wait(channel, rows=rig.s.total(channel) + 3, timeout=30)
        settle(rig)

        assert any(one.reached_others for one in rig.x.withheld)  # the successor had something
        assert audit(rig) == []


@pytest.mark.parametrize("market", ["futures", "spot"])
def test_the_successor_of_a_peer_that_answers_nothing_is_read_at_once(market, monkeypatch):
    def wait_in_vain(connection, timeout):
        connection._clock.event().wait(timeout)

    monkeypatch.setattr(Connection, "_wait_for_close", wait_in_vain)
    with Rig(market) as rig:
        rig.warm_up()
        rig.x.inject("stall_socket", market=market)
        rig.happens("rollover")
        rig.s.wait("bbo", rows=rig.s.total("bbo") + 30)
        (told,) = rig.events("rollover")["local_timestamp"]
        came = rig.s.frame("bbo")["local_timestamp"]

        after = came.filter(came > told)
        assert after.diff().max().total_seconds() < 0.9  # it would be 1 s more than usual


@pytest.mark.parametrize("market", ["futures", "spot"])
def test_what_only_the_successor_brought_of_a_book_is_kept(market, tmp_path):
    with Rig(market, healing=UNHURRIED, speed=20.0) as rig:
        rig.warm_up(rows=5)
        begin_rollover(rig)
        rig.x.inject("slow_reader", topic=rig._topics("level2")[0], count=30)
        rig.happens("gap")
        recorder = rig.s.record(tmp_path)  # behind the telling of the gap
        rows = rig.s.total("bbo")
        rig.s.wait("bbo", rows=rows + 20)  # time enough for a snapshot
        rig.s._supervisors[0]._rollover._healing = QUICK
        rig.happens("rollover")
        settle(rig)
        level2 = rig.s.report().channel("level2")

        assert audit(rig) == []
        assert not [one for one in rig.x.withheld if not one.reached_others]
        assert [gap.filled_by for gap in level2.gaps] == ["late"] * len(level2.gaps)
        assert level2.verdict is kr.Verdict.COMPLETE
        snapshots = rig.s.frame("level2").filter("is_snapshot")["sequence"]
        afresh = (rig.s.frame("status")["event"] == "renew").sum()  # a spot book that became thin
        assert snapshots.n_unique() == 1 + afresh, "no further one was needed"
        assert recorder.close()
        assert kr.load(recorder.path).report().channel("level2").gaps == level2.gaps
        checked = kr.verify(recorder.path)
        assert checked.ok, checked
