"""Three clients through the same outages: every message that was published, and who has it.

Each outage has an exchange of its own, on which our client, the SDK and ccxt stream the same two
topics at the same time. The outages run side by side, so that the slowest recovery of all is waited
for only once. The other clients' scripts are ``clients/outages_*.py``: they say ready when every
session is warm, wait for a line, and then tell what each session received, by sequence.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import polars as pl
import pytest

import kucoin_research as kr
from tests.conftest import wait_until
from tests.exchanges import simulate
from tests.interop.processes import client_process, message, messages

OUTAGES = pytest.StashKey()

# Quiet enough for its trades of a whole outage to be within REST's reach, the last 100.
SYMBOL, UNIFIED = "SOLUSDTM", "SOL/USDT:USDT"
TOPICS = {
    "trade": f"/contractMarket/execution:{SYMBOL}",
    "level2": f"/contractMarket/level2:{SYMBOL}",
}
CLIENTS = ("kucoin_research", "SDK", "ccxt")
SCRIPTS = {"SDK": "outages_sdk.py", "ccxt": "outages_ccxt.py"}
SPEED = 5.0
SEED = 5
# Our client must know a topic's beat before it can find it stalled: from 30 intervals on.
WARM = {"trade": 60, "level2": 300}
QUIET = 1.0  # seconds that pass before the outage
# Seconds that every client has from the outage on: the SDK pauses twice for 5 before it is back,
# and ccxt may find out only by its next ping, which is due every 18.
BOUND = 23.0
LONG_BOUND = 60.0
LIFETIME = 18.0  # seconds, so that connections end soon after the warm-up, and once
LAST = 10  # messages of a topic; who has none of them is not there at the end
COMPARED = 100  # levels of a side


class Outage(NamedTuple):
    """What is injected, as fault, channel or None for all, and options; and settings."""

    faults: tuple[tuple[str, str | None, dict], ...]
    settings: dict = {}  # noqa: RUF012 - never changed

    def strike(self, exchange):
        for fault, channel, options in self.faults:
            topic = {} if channel is None else {"topic": TOPICS[channel]}
            exchange.inject(fault, market="futures", **topic, **options)


DROPPED = {"trade": 5, "level2": 50}
FAULTS = {
    "abort": Outage((("abort", None, {}),)),
    "expired token": Outage((("expire_token", None, {}),)),
    "stalled topic: trade": Outage((("stall", "trade", {"until": "reconnect"}),)),
    "stalled topic: level2": Outage((("stall", "level2", {"until": "reconnect"}),)),
    "dropped frames": Outage(
        tuple(("drop", channel, {"count": count}) for channel, count in DROPPED.items())
    ),
    "24-hour end, unforeseen": Outage((("end_of_day", None, {}),)),
    "24-hour end, on time": Outage(
        (), {"connection_lifetime": LIFETIME, "token_lifetime": LIFETIME}
    ),
}


RECOVERED = ("yes", "down again", "never")  # from best to worst


class Loss(NamedTuple):
    """What one client has not of one channel."""

    published: int
    lost: frozenset[int]
    hole_ns: int  # of exchange time
    recovered: str  # one of RECOVERED


class Outcome(NamedTuple):
    """What one outage did to one client."""

    losses: dict[str, Loss]
    told: str
    book: str

    @property
    def recovered(self):
        return max((loss.recovered for loss in self.losses.values()), key=RECOVERED.index)

    @property
    def hole_seconds(self):
        """Virtual seconds of the longest hole of any channel."""
        return max(loss.hole_ns for loss in self.losses.values()) / 1e9


class Result(NamedTuple):
    """One outage: what became of every client, our report, and what the exchange withheld."""

    outcomes: dict[str, Outcome]
    report: object
    withheld: dict[str, set[int]]


def loss_of(published, received):
    """Compare the messages of a topic, as (time, sequence) in order, with sequences received."""
    lost = frozenset(sequence for _, sequence in published if sequence not in received)
    hole = 0
    began, is_missing = published[0][0], False
    for time_ns, sequence in published:
        if sequence in lost:
            is_missing = True
            continue
        if is_missing:
            hole = max(hole, time_ns - began)
        began, is_missing = time_ns, False
    if is_missing:
        hole = max(hole, published[-1][0] - began)
    return Loss(len(published), lost, hole, _recovery(published, lost))


def _recovery(published, lost):
    here = [sequence not in lost for _, sequence in published]
    if any(here[-LAST:]):
        return "yes"
    return "down again" if any(here[here.index(False) :]) else "never"


def sides_of(bids, asks):
    """List the best levels of a book, as the scripts tell theirs."""
    return {
        name: [[float(price), float(size)] for price, size, *_ in side[:COMPARED]]
        for name, side in (("bids", bids), ("asks", asks))
    }


class ReplayState:
    """One outage's exchange and our stream from it; closed by its stack."""

    def __init__(self, stack, name, seed):
        self.name, self.outage = name, FAULTS[name]
        self.x = stack.enter_context(
            simulate(seed=seed, speed=SPEED, journal=True, **self.outage.settings)
        )
        self.s = stack.enter_context(
            kr.stream(SYMBOL, list(TOPICS), venue=self.x, name=f"ours through {name}")
        )
        self.begin = {}  # how many messages of each channel do not count
        self.began_ns = 0
        self._recovered = set()  # channels that came again

    @property
    def urls(self):
        return [self.x.futures_url, self.x.spot_url]

    def warm_up(self):
        for channel, rows in WARM.items():
            wait_until(
                lambda each=channel, wanted=rows: self.s.total(each) >= wanted,
                progress=lambda each=channel: self.s.total(each),
            )

    def begin_here(self):
        """Count what is published from now on."""
        self.begin = {channel: len(self.x.journal(topic)) for channel, topic in TOPICS.items()}
        self.began_ns = self.x.now_ns

    def has_passed(self, seconds):
        return self.x.now_ns - self.began_ns >= seconds * SPEED * 1e9

    def published(self, channel):
        messages = self.x.journal(TOPICS[channel])[self.begin[channel] :]
        return [(message.time_ns, message.sequence) for message in messages]

    def received(self, channel):
        frame = self.s.frame(channel)
        if channel == "level2":
            frame = frame.filter(~pl.col("is_snapshot"))
        return set(frame["sequence"])

    def has_recovered(self):
        """Whether every channel has come again since it was lost, at some time."""
        for channel in TOPICS:
            newest = self.s.frame(channel, last=1)["sequence"][0]
            if newest >= self.published(channel)[-LAST:][0][1]:
                self._recovered.add(channel)
        return self._recovered == TOPICS.keys()

    def settle(self):
        """Wait until our stream has the last that was sent, or nothing comes any more."""
        last = self.published("level2")[-1][1]

        def is_in_step():
            with contextlib.suppress(kr.BookNotReady):
                return self.s.book().sequence == last
            return False

        with contextlib.suppress(AssertionError):
            wait_until(is_in_step, 15.0, progress=lambda: self.s.total("level2"))

    def result(self, told):
        truth = self._truth()
        outcomes = {name: self._outcome(truth, told[name]) for name in SCRIPTS}
        report = self.s.report()
        mine = {"rows": {c: self.received(c) for c in TOPICS}, "told": _told_by(report)}
        with contextlib.suppress(kr.BookNotReady):
            book = self.s.book()
            mine["book"] = sides_of(book.bids, book.asks)
        outcomes["kucoin_research"] = self._outcome(truth, mine)
        withheld = {
            channel: {each.sequence for each in self.x.withheld if each.topic == topic}
            for channel, topic in TOPICS.items()
        }
        return Result(outcomes, report, withheld)

    def _truth(self):
        frame = kr.order_book(SYMBOL, venue=self.x)
        sides = (frame.filter(pl.col("side") == side) for side in ("buy", "sell"))
        return sides_of(*(side.select("price", "size").rows() for side in sides))

    def _outcome(self, truth, told):
        losses = {
            channel: loss_of(self.published(channel), set(told["rows"][channel]))
            for channel in TOPICS
        }
        book = told.get("book")
        told_once = ", ".join(dict.fromkeys(told["told"])) or "nothing"
        return Outcome(losses, told_once, "none kept" if book is None else _verdict(book, truth))


def _verdict(book, truth):
    # Levels with another size, or on one side only.
    wrong = sum(
        len(set(map(tuple, book[side])) ^ set(map(tuple, truth[side]))) for side in ("bids", "asks")
    )
    return f"{wrong} levels wrong" if wrong else "right"


def _told_by(report):
    """Say what our report says of each channel."""
    for entry in report.channels:
        missing = sum(gap.missing or 0 for gap in entry.gaps if gap.filled_by is None)
        told = [f"{missing} missing"] * bool(missing)
        if entry.filled:
            seconds = max(gap.seconds for gap in entry.gaps if gap.filled)
            told.append(f"{entry.filled} filled by REST after {seconds:.1f} s")
        yield f"{entry.channel} {entry.verdict}" + (f" ({', '.join(told)})" if told else "")


def suffer(python, seed=SEED, bound=BOUND):
    """Put all clients through all outages; give a `Result` per outage."""
    with contextlib.ExitStack() as stack:
        stages = [ReplayState(stack, name, seed) for name in FAULTS]
        plan = {
            "sessions": {stage.name: stage.urls for stage in stages},
            "symbol": SYMBOL, "unified": UNIFIED, "warm": WARM,
        }  # fmt: skip
        addresses = {"futures": "-", "spot": "-"}
        clients = {
            name: stack.enter_context(client_process(python, script, "outages", addresses, plan))
            for name, script in SCRIPTS.items()
        }
        for stage in stages:
            stage.warm_up()
        for client in clients.values():
            assert message(client) == {"call": "ready"}
        for stage in stages:
            stage.begin_here()
        wait_for_time(stages, QUIET)
        for stage in stages:
            stage.outage.strike(stage.x)
        wait_for_time(stages, QUIET + bound)
        wait_for_ours(stages)
        for stage in stages:
            stage.x.pause()
        for client in clients.values():
            client.tell("stop")
        for stage in stages:
            stage.settle()
        told = {
            name: {line["call"]: line["data"] for line in messages(client)}
            for name, client in clients.items()
        }
        return {
            stage.name: stage.result({name: told[name][stage.name] for name in SCRIPTS})
            for stage in stages
        }


def wait_for_time(stages, seconds):
    """Wait until every exchange has come so far; a busy one is slower, and renews the patience."""
    wait_until(
        lambda: all(stage.has_passed(seconds) for stage in stages),
        progress=lambda: [stage.x.now_ns for stage in stages],
    )


def wait_for_ours(stages):
    """Wait until our streams have recovered, which a busy machine delays, or nothing happens."""
    with contextlib.suppress(AssertionError):
        wait_until(
            lambda: all(stage.has_recovered() for stage in stages),
            progress=lambda: [stage.s.total("status") for stage in stages],
        )


HEADER = (
    "outage", "client", "trades lost", "book changes lost", "hole s", "(virtual)", "recovered",
    "book", "told its user",
)  # fmt: skip


def row_of(outage, client, outcome):
    """Lay out a row of the table."""
    trade, level2 = (outcome.losses[channel] for channel in ("trade", "level2"))
    hole = outcome.hole_seconds
    return (
        outage, client, f"{len(trade.lost)} of {trade.published}",
        f"{len(level2.lost)} of {level2.published}", f"{hole / SPEED:.1f}", f"{hole:.1f}",
        outcome.recovered, outcome.book, outcome.told,
    )  # fmt: skip


def render(rows):
    """Lay the table out as text."""
    table = [HEADER, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADER))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
    yield (
        f"each had {BOUND:g} s from the outage on (in `make soak`, {LONG_BOUND:g} s), at {SPEED:g} "
        f"virtual seconds per second; the hole is the longest stretch in which something is missing"
    )
