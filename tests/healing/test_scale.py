"""All of KuCoin's contracts as one stream: over several connections, and whole."""

from __future__ import annotations

import msgspec
import polars as pl
import pytest

import kucoin_research as kr
from tests.conftest import wait_until
from tests.exchanges import simulate

QUIET = 690
SPEED = 3.0
CHANNELS = ["bbo", "trade"]


def patient_symbols(venue):
    """List the contracts; at the first question the exchange opens all their books, for seconds."""
    found = []

    def is_listed():
        try:
            found[:] = kr.get_active_symbols(venue=venue)
        except kr.errors.NetworkError:
            return False
        return True

    wait_until(is_listed, timeout=60)
    return found


@pytest.fixture(scope="module")
def crowd():
    with simulate(seed=11, speed=SPEED, quiet_contracts=QUIET, journal=True) as running:
        yield running, patient_symbols(running.venue)


def symbols_of(supervisor):
    """Name what a connection streams."""
    named = (str(topic).partition(":")[2] for topic in supervisor.topics.all)
    return {symbol for symbols in named for symbol in symbols.split(",")}


def sequences(exchange, symbol):
    """List the trades of a contract that were published, by the exchange's journal."""
    published = exchange.journal(f"/contractMarket/execution:{symbol}")
    return [msgspec.json.decode(one.payload)["data"]["sequence"] for one in published]


def test_seven_hundred_contracts_are_one_stream_that_loses_no_trade(crowd):
    exchange, symbols = crowd
    exchange.resume()
    with kr.stream(symbols, CHANNELS, venue=exchange.venue) as s:
        assert s.wait_until_live(timeout=60)
        wait_until(lambda: s.frame("bbo")["symbol"].n_unique() == len(symbols), timeout=60)
        exchange.pause()
        published = {symbol: sequences(exchange, symbol) for symbol in symbols}
        last = {symbol: numbers[-1] for symbol, numbers in published.items() if numbers}
        wait_until(lambda: received(s).items() >= last.items(), timeout=30)
        status, trades = s.status, s.frame("trade")

    got = dict(trades.group_by("symbol").agg("sequence").iter_rows())
    assert len(symbols) >= QUIET
    assert got == {symbol: numbers for symbol, numbers in published.items() if numbers}
    assert (status.reconnects, status.gaps, status.duplicates, status.broken) == (0, 0, 0, 0)
    # Over several connections, each of which brought what it was asked for.
    shards = [symbols_of(supervisor) for supervisor in s._supervisors]
    assert len(shards) > 1
    assert set.union(*shards) == set(symbols)
    for symbols_here in shards:
        assert symbols_here & set(trades["symbol"])


def received(stream):
    """Give the newest trade of each contract."""
    return dict(stream.frame("trade").group_by("symbol").agg(pl.col("sequence").max()).iter_rows())


def test_a_blocked_callback_does_not_hold_back_the_crowd(crowd, monkeypatch, held_time):
    monkeypatch.setattr("kucoin_research.streaming.sinks.MOST_WAITING", 200)
    exchange, symbols = crowd
    exchange.resume()
    seen, told, release = [], [], held_time.event()

    def block(record):
        seen.append(record)
        release.wait(60)

    with kr.stream(symbols, CHANNELS, venue=exchange.venue) as s:
        assert s.wait_until_live(timeout=60)
        s.attach(told.append, "bbo")
        s.attach(block, "bbo")
        wait_until(lambda: seen)
        s.wait("bbo", rows=s.total("bbo") + 1_000, timeout=60)
        assert len(seen) == 1
        assert s.status.dropped > 0
        release.set()
        wait_until(lambda: "sink_slow" in s.frame("status")["event"].to_list())
        exchange.pause()
        wait_until(lambda: seen[0] in told)
        wait_until(lambda: len(told) - told.index(seen[0]) == len(seen) + s.status.dropped)
        detail = s.frame("status").filter(pl.col("event") == "sink_slow")["detail"][0]
        status = s.status

    assert "records were not handed to it" in detail
    assert status.error is None
    assert (status.reconnects, status.gaps, status.broken) == (0, 0, 0)
