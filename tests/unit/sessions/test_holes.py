"""The times between sessions loaded together, and what a backtest makes of them."""

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.sessions.holes import times_between
from tests.exchanges import simulate

# The sessions are to lie behind one another on the clock that stamps arrivals.
REAL_TIME = True


def recorded(folder, seed, symbols=("XBTUSDTM",)):
    with (
        simulate(seed=seed, speed=50) as x,
        kr.record(
            list(symbols),
            ["ticker", "trade"],
            root=folder,
            seconds=20,
            venue=x.venue,
            progress=False,
        ) as run,
    ):
        pass  # fmt: skip
    return run.path


def arrivals(path):
    session = kr.load(path)
    times = [
        session.frame(each)["local_timestamp"].cast(pl.Int64)
        for each in (*session.channels, "status")
    ]
    return min(each.min() for each in times), max(each.max() for each in times)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Sessions one behind the other; the one in the middle has another symbol."""
    folder = tmp_path_factory.mktemp("sessions")
    return [
        recorded(folder, 1, ("XBTUSDTM", "ETHUSDTM")),
        recorded(folder, 2, ("ETHUSDTM",)),
        recorded(folder, 3, ("XBTUSDTM", "ETHUSDTM")),
    ]


def test_each_symbol_has_the_holes_of_its_own_sessions(three):
    (_, a), (b, c), (d, _) = map(arrivals, three)
    session = kr.load(three)

    assert times_between(session, ["ETHUSDTM"])["ETHUSDTM"] == [(a, b), (c, d)]
    assert times_between(session, ["XBTUSDTM"])["XBTUSDTM"] == [(a, d)]
    assert times_between(session, ["SOLUSDTM"])["SOLUSDTM"] == []
    assert times_between(kr.load(three[0]), ["XBTUSDTM"])["XBTUSDTM"] == []


def test_paper_on_a_replay_fills_nothing_between_two_sessions(three):
    (_, ended), _, (began, _) = map(arrivals, three)
    asked = []

    def late(record, broker):
        if not asked and broker.now > ended - 20_000_000 and broker.best("XBTUSDTM").mid:
            asked.append(broker.buy(1, "XBTUSDTM"))

    with kr.replay(kr.load(three), speed=None, symbols="XBTUSDTM", paused=True) as replay:
        run = kr.paper(late, replay, symbols="XBTUSDTM")
        replay.resume()
        replay.wait_until_done(60)
        (fill,) = run.result().fills.rows(named=True)
    first_quotes = kr.load(three[2]).frame("ticker", "XBTUSDTM")[0]
    assert fill["timestamp"] >= first_quotes["local_timestamp"][0]
    assert fill["price"] == first_quotes["best_ask_price"][0]
    assert began > ended


def test_nothing_is_filled_between_two_sessions(three):
    (_, ended), _, (began, _) = map(arrivals, three)
    session = kr.load(three)
    first_quotes = kr.load(three[2]).frame("ticker", "XBTUSDTM")[0]
    asked = []

    def late(record, broker):
        if not asked and record.local_timestamp > ended - 20_000_000:
            if broker.best("XBTUSDTM").mid is None:
                return
            asked.append(broker.buy(1, "XBTUSDTM"))

    result = kr.backtest(late, session, symbols="XBTUSDTM", latency=0.05, progress=False)
    taken = result.fills[0]

    assert asked
    assert result.fills["timestamp"].cast(pl.Int64).min() >= began
    assert taken["price"][0] == first_quotes["best_ask_price"][0]
    lacked = result.assumptions.filter(pl.col("subject") == "lacked")["detail"].to_list()
    seconds = (began - 1 - ended) / 1e9
    assert f"1 gap without fills, {seconds:,.1f} s in all" in lacked
