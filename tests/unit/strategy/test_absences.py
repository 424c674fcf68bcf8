"""Spans without a subscription, read from status rows."""

from kucoin_research.model.records import Status
from kucoin_research.strategy.absences import Absences
from kucoin_research.strategy.gap_spans import gap_spans, lacks_of


def status(at, event, channel, *, symbol="XBTUSDTM", detail=None, began=None):
    return Status(at if began is None else began, at, symbol, event, channel, detail, None, None)


def spans(*statuses, channels=("ticker", "level2", "candle"), until=100):
    return gap_spans(statuses, {"XBTUSDTM": frozenset(channels)}, until)["XBTUSDTM"]


def test_a_channel_is_there_with_its_subscription_and_a_book_once_it_is_in_step():
    ticker = status(10, "unsubscribed", "ticker"), status(20, "subscribed", "ticker")
    book = status(30, "unsubscribed", "level2"), status(40, "subscribed", "level2")
    lost = status(44, "gap", "level2", began=30, detail="335 missing (unsubscribed for 2.1 s)")

    assert spans(*ticker, *book, lost, status(48, "book_ready", "level2")) == [(10, 20), (30, 44)]
    assert spans(*book, status(48, "book_ready", "level2")) == [(30, 48)]


def test_a_book_that_is_away_is_not_back_with_a_row_of_before():
    away = status(30, "unsubscribed", "level2")

    assert spans(away, status(31, "gap", "level2", began=30, detail="unsubscribed for 1.0 s")) == [
        (30, 100)
    ]


def test_spans_that_overlap_are_one_until_all_channels_are_there():
    assert spans(
        status(10, "unsubscribed", "candle", detail="candle:1min of XBTUSDTM is not"),
        status(12, "unsubscribed", "candle", detail="candle:5min of XBTUSDTM is not"),
        status(14, "subscribed", "candle", detail="candle:1min of XBTUSDTM is"),
        status(18, "subscribed", "candle", detail="candle:5min of XBTUSDTM is"),
    ) == [(10, 18)]


def test_other_symbols_and_channels_that_nothing_is_matched_against_do_not_count():
    others = (
        status(10, "unsubscribed", "ticker", symbol="ETHUSDTM"),
        status(10, "unsubscribed", "mark_price"),
        status(10, "unsubscribed", "trade"),
    )

    assert spans(*others, channels=("ticker", "mark_price")) == []


def test_the_end_of_a_recording_ends_a_span():
    assert spans(
        status(10, "unsubscribed", "ticker"), status(30, "stopped", None, symbol=None)
    ) == [(10, 30)]


def test_a_span_is_open_until_then():
    absences = Absences("XBTUSDTM", {"ticker"})

    assert absences.take(status(10, "unsubscribed", "ticker")) is None
    assert absences.since == 10
    assert absences.take(status(20, "subscribed", "ticker")) == (10, 20)
    assert absences.since is None


def test_rows_that_were_lost_are_gaps_unless_rest_has_filled_them():
    lost = status(20, "gap", "ticker", began=10, detail="disconnected for 1.0 s")
    filled = status(30, "filled", "ticker", began=10)

    assert spans(lost) == [(10, 20)]
    assert spans(lost, filled) == []
    assert lacks_of({"XBTUSDTM": [(0, 2 * 10**9)]}) == [
        ("XBTUSDTM", "1 gap without fills, 2.0 s in all")
    ]
