"""Each fault in both markets: healed, told, and accounted for to the message.

What a stream has lost is what it has not of all that was published. It must be what the exchange
says it withheld, but for the trades and candles that REST brought back.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import NamedTuple

import polars as pl
import pytest

import kucoin_research as kr
from tests.conftest import wait_until
from tests.healing.audit import audit_order
from tests.healing.rig import Rig

SECOND = 1_000_000_000
FILLABLE = {"trade", "candle"}


class Case(NamedTuple):
    """A fault, what it strikes, and the event by which it is seen to have been dealt with.

    ``events`` name how often each must be told (``connected`` also at the start). ``lossless`` says
    that nothing at all may be lost, and ``silent`` that trades are lost that no client can miss.
    """

    name: str
    injected: tuple[tuple[str, dict], ...]
    events: dict[str, int]
    lossless: bool = False
    silent: bool = False
    settings: dict | None = None


def case(name, *faults, lossless=False, silent=False, settings=None, **events):
    injected = tuple(
        (fault, {}) if isinstance(fault, str) else fault for fault in faults or (name,)
    )
    return Case(name, injected, events, lossless, silent, settings or {})


def on(fault, channel, **options):
    return fault, {"channel": channel, **options}


TOKEN, BOOK, TRADES = "/api/v1/bullet-public", "book", "trades"
CASES = [
    case("drop of level2", on("drop", "level2", count=3), gap=1, book_ready=2),
    case("drop of trades", on("drop", "trade", count=3), silent=True),
    case("drop of bbo", on("drop", "bbo", count=3)),
    case("duplicate", on("duplicate", "level2", count=7), on("duplicate", "trade", count=5),
         lossless=True),
    case("reorder of level2", on("reorder", "level2", count=4), lossless=True, filled=1),
    case("reorder of trades", on("reorder", "trade"), lossless=True),
    case("stall of bbo", on("stall", "bbo", until="reconnect"), silent_topic=1, rollover=1, gap=1),
    case("stall of level2", on("stall", "level2", until="reconnect"), silent_topic=1, rollover=1,
         gap=1, book_ready=2),
    # At this speed the trades of the outage are few enough for the last 100, which REST has.
    case("stall of trades", on("stall", "trade", until="reconnect"), silent_topic=1, rollover=1,
         filled=1, settings={"speed": 3.0}),
    case("stall_socket", silent_topic=1, gap=1, rollover=1),
    case("mute_pong", ("mute_pong", {"count": 1}), lossless=True, pong_missing=1, rollover=1),
    case("late_pong", ("late_pong", {"count": 1, "delay": 2.0}), lossless=True, pong_missing=1,
         rollover=1),
    case("late_pong in time", ("late_pong", {"count": 1, "delay": 0.5}), lossless=True),
    case("abort", connected=2),
    case("bye", connected=2),
    case("half_frame", connected=2),
    case("expire_token", connected=2),
    case("end_of_day", connected=2),
    case("maintenance", ("maintenance", {"delay": 1.0}), connected=2, settings={"speed": 3.0}),
    case("reject_token", "reject_token", "abort", connected=2, disconnected=2),
    *[
        case(f"refuse_upgrade {status}", ("refuse_upgrade", {"status": status}), "abort",
             connected=2, disconnected=2)
        for status in (401, 403, 429)
    ],
    *[
        case(f"{fault} of the token", (fault, {"path": TOKEN}), "abort", connected=2)
        for fault in ("rate_limit", "overload", "html_error", "truncate", "slow_reply")
    ],
    *[
        case(f"{fault} of the snapshot", (fault, {"path": BOOK}), on("drop", "level2"), gap=1,
             book_ready=2)
        for fault in ("rate_limit", "html_error", "truncate", "slow_reply")
    ],
    *[
        case(f"{fault} of the trades", (fault, {"path": TRADES}), "abort", connected=2, filled=2)
        for fault in ("overload", "html_error", "truncate", "slow_reply")
    ],
    *[
        case(f"malformed {garbage}", on("malformed", "bbo", garbage=garbage, count=2), broken=2)
        for garbage in ("not_json", "wrong_types", "nan", "nested")
    ],
    case("malformed: a level2 message without its data",
         on("malformed", "level2", garbage="missing_fields"), gap=1, book_ready=2),
    case("malformed level2", on("malformed", "level2"), broken=1, gap=1, book_ready=2),
    case("old_shape", ("old_shape", {"count": 200}), lossless=True),
    case("slow_reader", ("slow_reader", {"count": 50}), silent=True),
    case("crossed_book", lossless=True),
    case("repeat_executions", ("repeat_executions", {"count": 30}), "abort", connected=2),
    case("repeat_executions not up to live",
         ("repeat_executions", {"count": 10, "after": 5}), "abort", connected=2,
         settings={"dead_servers": 1}),
    case("repeat_executions with holes",
         ("repeat_executions", {"count": 12, "every": 3, "after": 2}), "abort", connected=2,
         settings={"dead_servers": 1}),
    case("repeat_executions at a rollover",
         ("repeat_executions", {"count": 12, "every": 3}),
         ("late_pong", {"count": 1, "delay": 2.0}), lossless=True, pong_missing=1, rollover=1),
    case("dead_servers", "abort", connected=2, settings={"dead_servers": 2}),
]  # fmt: skip

BOOK_PATHS = {"futures": "/api/v1/level2/snapshot", "spot": "/api/v1/market/orderbook/level2"}
TRADE_PATHS = {"futures": "/api/v1/trade/history", "spot": "/api/v1/market/histories"}


def inject(rig, fault, options):
    options = dict(options)
    if "channel" in options:
        options["topic"] = rig._topics(options.pop("channel"))[0]
    paths = {BOOK: BOOK_PATHS[rig.market], TRADES: TRADE_PATHS[rig.market]}
    if "path" in options:
        options["path"] = paths.get(options["path"], options["path"])
    rig.x.inject(fault, market=str(rig.market), **options)


@pytest.mark.parametrize("fault", CASES, ids=lambda each: each.name)
def test_a_fault_is_healed_told_and_accounted_for_in_both_markets(fault, enter):
    with ExitStack() as stack:
        # Side by side, each with an exchange of its own.
        rigs = [stack.enter_context(Rig(m, **(fault.settings or {}))) for m in ("futures", "spot")]
        for rig in rigs:
            warm_up(rig, fault)
        before = [{event: rig.events(event).height for event in fault.events} for rig in rigs]
        for rig in rigs:
            for name, options in fault.injected:
                inject(rig, name, options)
        for rig, counts in zip(rigs, before, strict=True):
            await_healing(rig, fault, counts)
        for rig in rigs:
            rig.finish()
            report = rig.s.report()
            accounts = {channel: rig.account(channel) for channel in rig.channels}
            for channel, account in accounts.items():
                check(channel, account, fault, report)
            enter(_row(fault.name, str(rig.market), rig, accounts, report))


def warm_up(rig, fault):
    """Wait for some rows, and for enough to know a beat where silence is to be noticed."""
    knows_beat = "silent_topic" in fault.events
    for channel in rig.channels:
        is_slow = channel in ("mark_price", "candle")
        rig.s.wait(channel, rows=60 if knows_beat and not is_slow else 3, timeout=60)
    rig.heal()


def await_healing(rig, fault, before):
    wait_until(lambda: len(rig.x.fault_log) >= len(fault.injected), timeout=60)
    for event, count in fault.events.items():
        at_start = before[event] if event not in ("connected", "book_ready") else 0
        rig.happens(event, at_start + count)
    rig.heal()
    passed = {channel: rig.s.total(channel) + 2 for channel in rig.channels}
    for channel, rows in passed.items():
        rig.s.wait(channel, rows=rows, timeout=30)


def check(channel, account, fault, report):
    if channel == "level2":
        assert account.told_missing == account.kept_back, "the gaps are not what was withheld"
    if channel in FILLABLE:
        assert not account.lost - account.withheld, f"{channel}: lost, but never withheld"
        assert fault.silent or not account.lost or channel == "candle", (
            f"{channel} was not refilled"
        )
    else:
        assert account.lost == account.withheld, f"{channel}: lost is not what was withheld"
        assert not account.twice, f"{channel}: rows that were never published, or twice"
    if fault.lossless:
        assert not account.lost, f"{channel}: nothing should be lost"
    entry = report.channel(channel)
    if account.lost and not fault.silent and channel not in FILLABLE:
        assert entry.verdict is kr.Verdict.INCOMPLETE or not entry.gaps


def _row(name, market, rig, accounts, report):
    kinds = {e for e in rig.s.frame("status")["event"] if e not in ("book_ready", "stopped")}
    seconds = max((gap.seconds for e in report.channels for gap in e.gaps), default=0.0)
    withheld = sum(sum(a.withheld.values()) for a in accounts.values())
    lost = sum(sum(a.lost.values()) for a in accounts.values())
    told = ", ".join(sorted(kinds))
    return (name, market, told, f"{seconds:.2f}", str(withheld), str(lost), str(report.filled),
            str(report.verdict))  # fmt: skip


@pytest.mark.parametrize("market", ["futures", "spot"])
def test_trades_that_wait_for_rest_are_stamped_as_they_were_read(market, tmp_path):
    with Rig(market, channels=["trade", "bbo"], dead_servers=1) as rig:
        rig.warm_up()
        recorder = rig.s.record(tmp_path)
        rig.x.inject("slow_reply", market=market, path=TRADE_PATHS[market], delay=1.5)
        rig.x.inject("abort", market=market)
        rig.happens("released")
        rig.finish()

        status = rig.s.frame("status")
        trades = rig.s.frame("trade", mark_filled=True)
        filled = rig.s.report().channel("trade").filled
        assert trades["is_filled"].sum() == filled > 0
        read = trades.filter(~pl.col("is_filled")).select("timestamp", "local_timestamp")
        quotes = rig.s.frame("bbo").select("timestamp", "local_timestamp")
        times = pl.concat([read, quotes]).sort("local_timestamp")["timestamp"].to_physical()
        assert (times.cum_max() - times).max() < SECOND
        assert audit_order(rig) == []

        assert recorder.close()
        session = kr.load(recorder.path)
        assert session.verify().ok
        since = session.frame("trade")["local_timestamp"][0]
        assert session.frame("trade").equals(
            trades.filter(pl.col("local_timestamp") >= since).drop("is_filled")
        )
        assert session.report().channel("trade").filled == filled
        told = status.filter(pl.col("event").cast(pl.String) == "released")
        assert "of when they were read" in told["detail"][0]
