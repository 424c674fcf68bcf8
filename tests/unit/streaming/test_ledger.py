"""The ledger: repeats are dropped, and a verdict never says more than the numbers prove."""

from __future__ import annotations

import pytest

from kucoin_research.model.integrity import Gap, Verdict
from kucoin_research.model.records import (
    BestBidOffer,
    Candle,
    Depth5,
    Depth50,
    FundingRate,
    Level2,
    MarkPrice,
    Snapshot,
    Ticker,
    Trade,
)
from kucoin_research.streaming import ledger as ledger_module
from kucoin_research.streaming.ledger import SequenceLedger

SYMBOL = "XBTUSDTM"
SECOND = 1_000_000_000


def ticker(sequence=1, price=10.0, timestamp=5, local=1):
    return Ticker(timestamp, local, SYMBOL, sequence, price, 1.0, "buy", 9.0, 1.0, 11.0, 1.0)


def bbo(sequence=1, price=10.0, timestamp=5, local=1):
    return BestBidOffer(timestamp, local, SYMBOL, sequence, price, 1.0, 11.0, 1.0)


def depth5(sequence=1, price=10.0, timestamp=5, local=1):
    return Depth5(timestamp, local, SYMBOL, sequence, price, *[None] * 19)


def depth50(sequence=1, price=10.0, timestamp=5, local=1):
    return Depth50(timestamp, local, SYMBOL, sequence, (price,), (1.0,), (), ())


def trade(sequence=1, trade_id="1", local=1):
    return Trade(5, local, SYMBOL, sequence, trade_id, "buy", 10.0, 1.0)


def level2(sequence=1, local=1):
    return Level2(5, local, SYMBOL, sequence, False, "buy", 10.0, 1.0)


def opened(record, channel="ticker"):
    ledger = SequenceLedger()
    return ledger, ledger.open(record, channel, SYMBOL)


# -- repeats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [ticker, bbo, depth5, depth50])
def test_exact_repeats_are_dropped(make):
    ledger, tally = opened(type(make()))

    accepted = [ledger.accepts(make(sequence, local=n)) for n, sequence in enumerate([1, 1, 2, 2])]

    assert accepted == [True, False, True, False]
    assert (tally.rows, tally.duplicates) == (2, 2)
    assert (tally.first_sequence, tally.last_sequence, tally.last_local) == (1, 2, 2)


@pytest.mark.parametrize("make", [ticker, bbo, depth5, depth50])
def test_the_same_sequence_with_other_content_is_kept(make):
    ledger, tally = opened(type(make()))

    records = [
        make(),
        make(price=10.5),
        make(price=10.5, timestamp=6),
        make(price=10.5, sequence=3),
    ]

    assert all(map(ledger.accepts, records))
    assert (tally.rows, tally.duplicates) == (4, 0)


@pytest.mark.parametrize("make", [ticker, bbo, depth5, depth50])
def test_without_a_sequence_and_a_time_no_row_is_lost(make):
    ledger, tally = opened(type(make()))

    assert all(ledger.accepts(make(sequence=None, timestamp=None)) for _ in range(3))
    assert (tally.rows, tally.duplicates, tally.first_sequence) == (3, 0, None)


@pytest.mark.parametrize(
    "record",
    [
        ticker(sequence=None),
        bbo(sequence=None),
        depth5(sequence=None),
        MarkPrice(5, 1, SYMBOL, 1.0, None),
        FundingRate(5, 1, SYMBOL, 0.1, 60_000),
        Snapshot(5, 1, SYMBOL, *[1.0] * 7),
    ],
)
def test_without_a_sequence_an_exact_repeat_is_told_by_its_time(record):
    ledger, tally = opened(type(record))

    accepted = [ledger.accepts(each) for each in (record, record, record._replace(timestamp=6))]

    assert accepted == [True, False, True]
    assert (tally.rows, tally.duplicates) == (2, 1)


@pytest.mark.parametrize(
    "record",
    [
        Candle(5, 1, SYMBOL, "1min", 1.0, 1.0, 1.0, 1.0, 1.0, None),
        MarkPrice(None, 1, SYMBOL, 1.0, None),
    ],
)
def test_rows_without_a_time_of_their_own_are_never_lost(record):
    ledger, tally = opened(type(record))

    assert all(ledger.accepts(record) for _ in range(3))
    assert (tally.rows, tally.duplicates) == (3, 0)
    assert (tally.first_sequence, tally.last_sequence) == (None, None)


def test_trades_repeated_after_a_reconnect_are_dropped_wherever_they_come():
    ledger, tally = opened(Trade, "trade")
    for number in range(1_000):
        assert ledger.accepts(trade(number, str(number)))

    repeated = [ledger.accepts(trade(number, str(number))) for number in range(900, 1_010)]

    assert repeated == [False] * 100 + [True] * 10
    assert (tally.rows, tally.duplicates) == (1_010, 100)


def test_reordered_trades_are_kept():
    ledger, tally = opened(Trade, "trade")

    assert all(ledger.accepts(trade(number, str(number))) for number in (3, 1, 2))
    assert tally.rows == 3


def test_a_trade_that_comes_late_is_not_the_last_of_the_account():
    ledger, tally = opened(Trade, "trade")

    for number in (10, 20, 12, 15):
        assert ledger.accepts(trade(number, str(number))._replace(timestamp=number))

    assert (tally.rows, tally.last_sequence) == (4, 20)


def test_trades_that_are_counted_anew_go_on_from_their_own_numbers():
    ledger, tally = opened(Trade, "trade")

    for number, time in ((10, 1), (20, 2), (3, 3), (4, 4)):
        assert ledger.accepts(trade(number, str(number))._replace(timestamp=time))

    assert tally.last_sequence == 4


def test_a_trade_that_has_come_is_known_and_asking_counts_nothing():
    ledger, tally = opened(Trade, "trade")
    ledger.accepts(trade(1, "1"))

    assert [ledger.has_had(trade(number, str(number))) for number in (1, 2)] == [True, False]
    assert not ledger.has_had(trade(1, "1")._replace(symbol="ETHUSDTM"))
    assert (tally.rows, tally.duplicates) == (1, 0)


def test_trades_without_an_id_are_told_by_their_sequence():
    ledger, tally = opened(Trade, "trade")

    accepted = [ledger.accepts(trade(sequence, None)) for sequence in (1, 2, 1, None, None)]

    assert accepted == [True, True, False, True, True]
    assert tally.duplicates == 1


def test_the_memory_for_trades_is_bounded(monkeypatch):
    monkeypatch.setattr(ledger_module, "REMEMBERED_TRADES", 10)
    ledger, _ = opened(Trade, "trade")
    for number in range(11):
        ledger.accepts(trade(number, str(number)))

    assert ledger.accepts(trade(0, "0"))
    assert not ledger.accepts(trade(10, "10"))


def test_level_2_rows_are_counted_only():
    ledger, tally = opened(Level2, "level2")

    assert all(ledger.accepts(level2(7, local)) for local in (1, 2))
    assert (tally.rows, tally.duplicates, tally.first_sequence, tally.last_local) == (2, 0, 7, 2)


def test_what_nobody_asked_for_is_not_accepted():
    ledger, tally = opened(Ticker)

    assert not ledger.accepts(ticker()._replace(symbol="ETHUSDTM"))
    assert not ledger.accepts(bbo())
    assert tally.rows == 0


def test_an_account_is_opened_once_and_exists_without_rows():
    ledger, tally = opened(Candle, "candle")

    assert ledger.open(Candle, "candle", SYMBOL) is tally
    assert ledger.tallies == [tally]
    assert ledger.tally(Candle, SYMBOL) is tally
    assert ledger.tally(Ticker, SYMBOL) is None


# -- outages -------------------------------------------------------------------------------------


def test_an_outage_is_a_gap_of_every_channel_that_had_begun_but_level_2():
    ledger = SequenceLedger()
    tallies = {
        record: ledger.open(record, channel, SYMBOL)
        for record, channel in ((Ticker, "ticker"), (Trade, "trade"), (Level2, "level2"))
    }
    other = ledger.open(Ticker, "ticker", "ETHUSDTM")
    ledger.accepts(ticker())
    ledger.accepts(ticker()._replace(symbol="ETHUSDTM"))
    ledger.accepts(level2())

    ledger.outage(tallies.values(), 3 * SECOND, 5 * SECOND, "disconnected")

    gap = Gap("disconnected", None, None, 3 * SECOND, 5 * SECOND)
    assert tallies[Ticker].gaps == [gap]
    assert gap.missing is None
    assert tallies[Trade].gaps == tallies[Level2].gaps == other.gaps == []
    assert tallies[Ticker].reason == "disconnected for 2.0 s"
    assert tallies[Ticker].verdict is Verdict.INCOMPLETE
