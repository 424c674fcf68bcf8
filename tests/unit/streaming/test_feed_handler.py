"""From bytes to rows: what is kept, dropped, counted and told."""

from __future__ import annotations

import json
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kucoin_research as kr
from kucoin_research.errors import BookNotReady
from kucoin_research.exchange.topics import Topic
from kucoin_research.exchange.websocket.decode_classic import ControlMessage, Decoder
from kucoin_research.model.channels import Market, Subscription, parse_channel
from kucoin_research.model.integrity import Verdict
from kucoin_research.model.orderbook import BookSnapshot
from kucoin_research.model.records import (
    Candle,
    FundingRate,
    Level2,
    MarkPrice,
    Status,
    Ticker,
    Trade,
    schema_of,
)
from kucoin_research.streaming.feed_handler import FeedHandler
from kucoin_research.streaming.handover import Handover

SYMBOL = "XBTUSDTM"
PAIR = ("XBTUSDTM", "ETHUSDTM")
TICKER = Topic("/contractMarket/ticker", "XBTUSDTM")
LEVEL2 = Topic("/contractMarket/level2", "XBTUSDTM")
OTHER = Topic("/contractMarket/level2", "ETHUSDTM")
NOW = 1_790_000_000_000_000_000


def make_handler(*channels, symbol=SYMBOL):
    return FeedHandler(
        Subscription(parse_channel(channel), symbol, Market.FUTURES) for channel in channels
    )


def message(topic, data, symbol=SYMBOL, subject="x"):
    value = {"topic": f"{topic}:{symbol}", "type": "message", "subject": subject, "data": data}
    return json.dumps(value, separators=(",", ":")).encode()


def ticker(sequence=1, symbol=SYMBOL):
    data = {"sequence": sequence, "side": "buy", "size": 1, "price": "80000.5",
            "bestBidPrice": "80000", "bestBidSize": 1, "bestAskPrice": "80001", "bestAskSize": 2,
            "ts": NOW}  # fmt: skip
    return message("/contractMarket/ticker", data, symbol)


def trade(sequence=1):
    data = {"sequence": sequence, "side": "sell", "size": 1, "price": "80000",
            "tradeId": str(sequence), "ts": NOW}  # fmt: skip
    return message("/contractMarket/execution", data)


def mark():
    data = {"markPrice": 86201.79, "indexPrice": 86248.81, "granularity": 1000,
            "timestamp": 1790113097000}  # fmt: skip
    return message("/contract/instrument", data, subject="mark.index.price")


def funding():
    data = {"granularity": 60000, "fundingRate": -0.000076, "timestamp": 1790114460000}
    return message("/contract/instrument", data, subject="funding.rate")


def candle(interval):
    data = {"symbol": SYMBOL, "candles": ["1790113080", "1", "2", "3", "0.5", "21.0", "7"],
            "time": 1790113097000}  # fmt: skip
    return message("/contractMarket/limitCandle", data, f"{SYMBOL}_{interval}")


def candle_of(symbol, minute):
    data = {"symbol": symbol, "candles": [str(1790113080 + 60 * minute), *"12345", "6"],
            "time": 1790113097000}  # fmt: skip
    return message("/contractMarket/limitCandle", data, f"{symbol}_1min")


def fetched_candles(symbol, minutes):
    opens = [(1790113080 + 60 * minute) * SECOND for minute in range(minutes)]
    return [Candle(at, None, symbol, "1min", 1.0, 2.0, 3.0, 0.5, 1.0, 1.0) for at in opens]


def level2(sequence, change="80000,buy,12", symbol=SYMBOL):
    data = {"sequence": sequence, "change": change, "timestamp": 1790113097240}
    return message("/contractMarket/level2", data, symbol)


def snapshot(sequence, symbol=SYMBOL):
    return BookSnapshot(symbol, sequence, NOW, [(80_000.0, 1.0)], [(80_001.0, 2.0)])


def take(handler, *payloads, now_ns=NOW):
    return handler.take(payloads, Decoder(Market.FUTURES), now_ns)


def kinds(rows):
    return [type(row) for row in rows]


def frame_of(record, rows):
    return pl.DataFrame(rows, schema=schema_of(record), orient="row")


def events(rows):
    return [row.event for row in rows if isinstance(row, Status)]


# -- rows ----------------------------------------------------------------------------------------


def test_bytes_become_rows_in_order_of_arrival():
    handler = make_handler("ticker", "trade")

    batch = take(handler, ticker(), trade(), ticker(2))

    assert kinds(batch.rows) == [Ticker, Trade, Ticker]
    assert [row.local_timestamp for row in batch.rows] == [NOW, NOW + 1, NOW + 2]
    assert batch.controls == []


def test_messages_of_the_conversation_are_handed_on():
    handler = make_handler("ticker")

    batch = take(handler, b'{"id":"s1","type":"ack"}', ticker(), b'{"id":"1","type":"welcome"}')

    assert batch.controls == [ControlMessage("ack", "s1"), ControlMessage("welcome", "1")]
    assert kinds(batch.rows) == [Ticker]


def test_repeats_are_left_out_and_counted():
    handler = make_handler("ticker", "trade")

    rows = take(handler, ticker(), ticker(), trade(), trade(), trade(2)).rows

    assert kinds(rows) == [Ticker, Trade, Trade]
    assert [tally.duplicates for tally in handler.ledger.tallies] == [1, 1]


@pytest.mark.parametrize(
    ("channel", "kept"), [("mark_price", [MarkPrice]), ("funding_rate", [FundingRate])]
)
def test_of_a_shared_topic_only_the_wanted_records_are_kept(channel, kept):
    handler = make_handler(channel)

    assert kinds(take(handler, mark(), funding()).rows) == kept


def test_symbols_nobody_asked_for_are_left_out():
    handler = make_handler("ticker", "level2")

    batch = take(handler, ticker(symbol="ETHUSDTM"), level2(1, symbol="ETHUSDTM"))

    assert batch.rows == []


def test_two_candle_intervals_are_kept_and_share_one_account():
    handler = make_handler("candle:1min", "candle:5min")

    rows = take(handler, candle("1min"), candle("5min"), candle("1min")).rows

    assert kinds(rows) == [Candle] * 3
    assert [row.interval for row in rows] == ["1min", "5min", "1min"]
    (tally,) = handler.ledger.tallies
    assert (tally.channel, tally.rows) == ("candle", 3)


# -- broken --------------------------------------------------------------------------------------


def test_a_broken_message_is_counted_on_its_channel_and_told():
    handler = make_handler("ticker", "level2")

    rows = take(handler, level2(1, "80000,buy"), ticker()).rows

    assert kinds(rows) == [Status, Ticker]
    told = rows[0]
    assert (told.event, told.symbol, told.channel) == ("broken", SYMBOL, "level2")
    assert "/contractMarket/level2:XBTUSDTM" in told.detail
    assert told.timestamp == told.local_timestamp == NOW
    assert [tally.broken for tally in handler.ledger.tallies] == [0, 1]
    assert handler.broken == 1


def test_a_broken_message_of_a_shared_topic_counts_for_both_channels():
    handler = make_handler("mark_price", "funding_rate")

    (told,) = take(handler, message("/contract/instrument", {"markPrice": "no number"})).rows

    assert (told.symbol, told.channel) == (SYMBOL, None)
    assert [tally.broken for tally in handler.ledger.tallies] == [1, 1]
    assert handler.broken == 1


def test_of_a_flood_of_broken_messages_the_first_are_told_and_the_rest_counted():
    handler = make_handler("ticker")
    second = 1_000_000_000

    first = take(handler, *[b"garbage"] * 1_000).rows
    later = take(handler, b"garbage", now_ns=NOW + 2 * second).rows
    take(handler, *[b"garbage"] * 1_000, now_ns=NOW + 3 * second)
    end = handler.finish(NOW + 4 * second)

    assert len(first) == 20
    assert "; 980 more before it" in later[0].detail
    assert end[-1].detail == "980 more messages did not decode"
    assert handler.broken == 2_001


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"{", b"[]", b'{"type":7}'])
def test_what_cannot_be_read_at_all_is_counted_and_told(payload):
    handler = make_handler("ticker")

    (told,) = take(handler, payload).rows

    assert (told.event, told.symbol, told.channel) == ("broken", None, None)
    assert handler.broken == 1


# -- stamps --------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-5_000, 5_000), st.integers(0, 6)), max_size=40))
def test_stamps_increase_strictly_whatever_the_clock_does(steps):
    handler = make_handler("ticker", "trade", "level2")
    rows, now_ns = [], NOW
    for sequence, (move, action) in enumerate(steps):
        now_ns += move
        if action == 0:
            rows.append(handler.note("hello", "there", now_ns))
        elif action == 1:
            rows += handler.order_books.take_snapshot(snapshot(sequence), now_ns, float(sequence))
        elif action == 2:
            rows += take(handler, now_ns=now_ns).rows
        elif action == 3:
            rows += take(handler, b"broken", now_ns=now_ns).rows
        else:
            batch = [ticker(sequence), level2(sequence), trade(sequence), level2(sequence)]
            rows += take(handler, *batch, now_ns=now_ns).rows

    stamps = [row.local_timestamp for row in rows]
    assert all(a < b for a, b in pairwise(stamps))


def test_a_note_is_a_status_row_stamped_like_any_other():
    handler = make_handler("ticker")
    take(handler, ticker(), ticker(2))

    told = handler.note("resync", "why", NOW, symbol=SYMBOL, channel="level2")

    assert told == Status(NOW + 2, NOW + 2, SYMBOL, "resync", "level2", "why", None, None)


# -- books ---------------------------------------------------------------------------------------


def test_a_book_is_built_from_deltas_and_a_snapshot():
    handler = make_handler("level2")
    assert take(handler, level2(16), level2(17)).rows == []
    assert handler.seeking == {SYMBOL}

    rows = handler.order_books.take_snapshot(snapshot(16), NOW + 10, 0.0)

    assert kinds(rows) == [Level2, Level2, Level2, Status]
    assert (rows[-1].event, rows[-1].detail) == ("book_ready", "in step at sequence 17")
    assert handler.seeking == set()
    assert handler.order_books.copy(SYMBOL).best_bid_size == 12.0
    (tally,) = handler.ledger.tallies
    assert (tally.rows, tally.first_sequence, tally.last_sequence) == (3, 16, 17)
    assert tally.verdict is Verdict.COMPLETE


def in_step(sequence=16):
    handler = make_handler("level2")
    take(handler, level2(sequence))
    handler.order_books.take_snapshot(snapshot(sequence), NOW, 0.0)
    return handler


def test_a_gap_is_told_with_its_bounds_and_its_times():
    handler = in_step()
    heard = handler.take([level2(17)], Decoder(Market.FUTURES), NOW + 1_000).rows[-1]

    (told,) = take(handler, level2(21), now_ns=NOW + 5_000).rows

    assert told[1:] == (
        NOW + 5_000, SYMBOL, "gap", "level2", "3 missing sequence numbers, 18 to 20", 18, 20,
    )  # fmt: skip
    (gap,) = handler.ledger.tallies[0].gaps
    assert gap[:5] == ("missing", 18, 20, heard.local_timestamp, NOW + 5_000)
    assert handler.ledger.tallies[0].verdict is Verdict.INCOMPLETE
    assert handler.seeking == {SYMBOL}
    rows = handler.order_books.take_snapshot(snapshot(20), NOW + 9_000, 1.0)
    assert events(rows) == ["book_ready"]


def test_a_snapshot_that_does_not_fit_tells_nothing():
    handler = make_handler("level2")
    take(handler, level2(20))

    assert handler.order_books.take_snapshot(snapshot(16), NOW, 0.0) == []
    assert handler.seeking == {SYMBOL}
    assert handler.ledger.tallies[0].verdict is Verdict.NOT_PROVABLE


def test_a_snapshot_nobody_waits_for_tells_nothing():
    handler = in_step()

    assert handler.order_books.take_snapshot(snapshot(16), NOW, 0.0) == []


def test_a_book_that_joins_an_awaited_snapshot_tells_that_it_is_ready():
    handler = in_step()
    take(handler, level2(20))
    assert handler.order_books.take_snapshot(snapshot(22), NOW, 0.0) == []

    rows = take(handler, level2(21), level2(22)).rows

    assert [row.sequence for row in rows if isinstance(row, Level2)] == [20, 21, 22, 22, 22]
    assert events(rows) == ["book_ready"]
    assert handler.seeking == set()


def test_repeated_deltas_are_counted():
    handler = in_step()

    assert kinds(take(handler, level2(17), level2(17), level2(18)).rows) == [Level2, Level2]
    assert handler.ledger.tallies[0].duplicates == 1


def test_a_lost_connection_starts_its_books_over_and_tells_the_hole():
    handler = in_step()

    handler.begin_outage([LEVEL2, OTHER], NOW, NOW)

    with pytest.raises(BookNotReady, match="waits for the first delta"):
        handler.order_books.copy(SYMBOL)
    (told,) = take(handler, level2(30), now_ns=NOW + 2_000_000_000).rows
    assert (told.first_sequence, told.last_sequence) == (17, 29)
    assert told.detail == "13 missing sequence numbers, 17 to 29 (disconnected for 2.0 s)"


def test_a_flawed_book_is_sought_again():
    handler = in_step()

    handler.order_books.renew(SYMBOL, is_flawed=True)

    assert handler.seeking == {SYMBOL}
    assert events(handler.order_books.take_snapshot(snapshot(16), NOW, 0.0)) == ["book_ready"]
    assert handler.ledger.tallies[0].gaps == []


def test_renumbering_is_told():
    handler = in_step(1_600_000_000_000)

    (told,) = take(handler, level2(14)).rows

    assert told.event == "gap"
    assert told.detail.startswith("the exchange renumbered the book")
    assert handler.ledger.tallies[0].gaps[0].missing is None


def test_an_outage_is_accounted_for():
    handler = make_handler("ticker", "level2")
    take(handler, ticker())

    (told,) = handler.end_outage([TICKER, LEVEL2], NOW, NOW + 1, "disconnected")

    assert (told.event, told.channel, told.timestamp) == ("gap", "ticker", NOW)
    assert [len(tally.gaps) for tally in handler.ledger.tallies] == [1, 0]


TRADES = Topic("/contractMarket/execution", SYMBOL)


def lose_and_find(handler, began, ended):
    handler.begin_outage([TRADES], NOW + began, NOW + began)
    return handler.end_outage([TRADES], NOW + began, NOW + ended, "disconnected")


def row_of(sequence):
    return Trade(5, 1, SYMBOL, sequence, str(sequence), "buy", 1.0, 1.0)


def test_an_outage_before_another_one_was_filled_is_filled_by_itself():
    handler = make_handler("trade")
    take(handler, trade(10))
    lose_and_find(handler, 1, 2)
    assert take(handler, trade(20)).rows == []  # kept back
    lose_and_find(handler, 3, 4)
    take(handler, trade(30))

    (hole,) = handler.gap_filler.gaps
    rows = handler.gap_filler.fill(hole, [row_of(n) for n in (10, 15, 20, 25, 30)], NOW + 5)

    assert [row.sequence for row in rows if isinstance(row, Trade)] == [15, 20, 25, 30]
    (tally,) = handler.ledger.tallies
    assert [(gap.filled_by, gap.filled) for gap in tally.gaps] == [("REST", 1), ("REST", 1)]
    assert [row[1] for row in rows] == sorted({row[1] for row in rows})
    assert not handler.has_open_requests


@pytest.mark.parametrize("is_over", [False, True])
def test_a_page_asked_for_before_another_outage_is_not_taken_for_it(is_over):
    handler = make_handler("trade")
    take(handler, trade(10))
    lose_and_find(handler, 1, 2)
    (hole,) = handler.gap_filler.gaps
    page = [row_of(n) for n in (10, 15)]
    take(handler, trade(20))
    topics = [Topic("/contractMarket/execution", SYMBOL)]
    handler.begin_outage(topics, NOW + 3, NOW + 3)
    if is_over:
        handler.end_outage(topics, NOW + 3, NOW + 4, "disconnected")

    assert handler.gap_filler.fill(hole, page, NOW + 5) == []
    assert len(handler.gap_filler.gaps) == is_over

    if not is_over:
        handler.end_outage(topics, NOW + 3, NOW + 4, "disconnected")
    rows = handler.gap_filler.fill(
        handler.gap_filler.gaps[0], [row_of(n) for n in (10, 15, 20, 25)], NOW + 6
    )
    assert [row.sequence for row in rows if isinstance(row, Trade)] == [15, 20, 25]
    (tally,) = handler.ledger.tallies
    assert [(gap.filled_by, gap.filled) for gap in tally.gaps] == [("REST", 1), ("REST", 1)]


def are_not_read(handler, rows):
    return [any(first <= row[1] < end for first, end in handler.not_read) for row in rows]


def test_rows_that_waited_for_what_rest_brought_are_stamped_as_they_were_read():
    handler = make_handler("trade", "ticker")
    take(handler, trade(10))
    lose_and_find(handler, 1, 2)
    between = take(handler, ticker(), trade(20), ticker(2), now_ns=NOW + SECOND).rows
    (hole,) = handler.gap_filler.gaps
    rows = handler.gap_filler.fill(hole, [row_of(n) for n in (10, 14, 15, 20)], NOW + 48 * SECOND)
    later = take(handler, trade(21), now_ns=NOW + 49 * SECOND).rows

    filled, told = ([row for row in rows if row[3] == name] for name in ("filled", "released"))
    trades = [row for row in rows if isinstance(row, Trade)]
    assert [row.sequence for row in trades] == [14, 15, 20]
    assert 0 < trades[2].local_timestamp - (NOW + SECOND) < 10_000
    assert between[0].local_timestamp < trades[0].local_timestamp
    assert trades[2].local_timestamp < between[1].local_timestamp
    assert are_not_read(handler, [*trades, *between, *later]) == [True] * 2 + [False] * 4
    assert [row.local_timestamp // SECOND for row in filled] == [NOW // SECOND + 48]
    assert told[0].detail == (
        "1 row waited for what belongs before them, up to 47.0 s: their local timestamps are of "
        "when they were read"
    )
    stamps = [row.local_timestamp for row in [*rows, *between, *later]]
    assert len(set(stamps)) == len(stamps)
    marked = kr.mark_filled(frame_of(Trade, trades), frame_of(Status, filled))
    assert marked["is_filled"].to_list() == [True, True, False]


def test_two_outages_with_nothing_between_them_leave_the_rows_behind_as_they_were_read():
    handler = make_handler("trade")
    take(handler, trade(10))
    lose_and_find(handler, 1, 2)
    lose_and_find(handler, SECOND, 2 * SECOND)
    for second, sequence in ((5, 20), (6, 21)):
        take(handler, trade(sequence), now_ns=NOW + second * SECOND)
    (hole,) = handler.gap_filler.gaps
    page = [row_of(n)._replace(timestamp=NOW + n) for n in (10, 14, 15, 20, 21)]
    rows = handler.gap_filler.fill(hole, page, NOW + 48 * SECOND)

    trades = [row for row in rows if isinstance(row, Trade)]
    assert [row.sequence for row in trades] == [14, 15, 20, 21]
    assert [(row.local_timestamp - NOW) // SECOND for row in trades] in ([4, 4, 5, 6], [5, 5, 5, 6])
    assert trades[2].local_timestamp - (NOW + 5 * SECOND) < 10_000
    assert are_not_read(handler, trades) == [True, True, False, False]
    stamps = [row.local_timestamp for row in rows]
    assert stamps == sorted(set(stamps))


def test_what_rest_brings_for_two_that_were_read_together_shares_no_stamp():
    handler = FeedHandler(
        Subscription(parse_channel("candle"), symbol, Market.FUTURES) for symbol in PAIR
    )
    topics = [Topic("/contractMarket/limitCandle", f"{symbol}_1min") for symbol in PAIR]
    take(handler, *(candle_of(symbol, 0) for symbol in PAIR))
    handler.begin_outage(topics, NOW + 1, NOW + 1)
    handler.end_outage(topics, NOW + 1, NOW + 2, "disconnected")
    take(handler, *(candle_of(symbol, 900) for symbol in PAIR), now_ns=NOW + SECOND)

    rows = [
        row
        for hole in handler.gap_filler.gaps
        for row in handler.gap_filler.fill(
            hole, fetched_candles(hole.symbol, 900), NOW + 3 * SECOND
        )
        if isinstance(row, Candle)
    ]

    stamps = [row.local_timestamp for row in rows]
    assert len(rows) > 1_800
    assert len(set(stamps)) == len(stamps)
    for symbol in PAIR:
        its = [row for row in rows if row.symbol == symbol]
        assert [row.local_timestamp for row in its] == sorted(row.local_timestamp for row in its)
        assert [row.timestamp for row in its] == sorted(row.timestamp for row in its)


def test_what_a_successor_brought_is_stamped_as_it_was_read():
    handler = make_handler("trade", "ticker", "level2")
    take(handler, level2(17))
    handler.order_books.take_snapshot(snapshot(16), NOW, 0.0)
    overlap = Handover()
    brought = [trade(1), trade(2), ticker(1), level2(18), level2(19)]
    handler.hold(brought, Decoder(Market.FUTURES), NOW + SECOND, overlap)
    handler.take(
        [trade(1), level2(18)], Decoder(Market.FUTURES), NOW + SECOND + SECOND // 2, overlap
    )

    topics = [TRADES, TICKER, LEVEL2]
    rows = handler.take_over(overlap, topics, NOW + SECOND, NOW + 2 * SECOND).rows

    read = {type(row): row.local_timestamp - NOW for row in rows}
    # The predecessor's rows were read later: what follows them cannot be stamped as before.
    assert read[Trade] >= 2 * SECOND
    assert read[Level2] >= 2 * SECOND
    assert SECOND <= read[Ticker] < SECOND + 10_000
    assert [row.local_timestamp for row in rows] == sorted({row.local_timestamp for row in rows})


def test_old_executions_of_a_successor_do_not_make_its_predecessor_look_silent():
    handler = make_handler("trade")
    handler.take([trade(n) for n in (1, 2, 3)], Decoder(Market.FUTURES), NOW)
    quiet, stalled = Handover(), Handover()

    handler.hold([trade(1), trade(3)], Decoder(Market.FUTURES), NOW + SECOND, quiet)
    taken = handler.take_over(quiet, [TRADES], NOW + 2 * SECOND, NOW + 2 * SECOND)
    assert (taken.rows, taken.stalled) == ([], [])

    handler.hold([trade(3), trade(5)], Decoder(Market.FUTURES), NOW + 3 * SECOND, stalled)
    taken = handler.take_over(stalled, [TRADES], NOW + 4 * SECOND, NOW + 4 * SECOND)
    assert taken.stalled == [("trade", SYMBOL)]


def test_changes_of_a_successor_stand_behind_the_account_of_those_before():
    handler = in_step(16)
    take(handler, level2(17))
    overlap = Handover()
    handler.hold([level2(18)], Decoder(Market.FUTURES), NOW + SECOND, overlap)
    (account,) = handler.order_books.account(NOW + SECOND + SECOND // 2)

    taken = handler.take_over(overlap, [LEVEL2], NOW + SECOND, NOW + 2 * SECOND).rows

    (change,) = [row for row in taken if isinstance(row, Level2)]
    assert change.local_timestamp > account.local_timestamp


def test_a_fill_of_more_rows_than_there_is_room_for_stays_in_order():
    handler = make_handler("trade")
    take(handler, trade(1))
    lose_and_find(handler, 1, 2)
    take(handler, trade(50_000), now_ns=NOW + SECOND)
    (hole,) = handler.gap_filler.gaps

    rows = handler.gap_filler.fill(hole, [row_of(n) for n in range(1, 50_001)], NOW + 2 * SECOND)

    stamps = [row.local_timestamp for row in rows if isinstance(row, Trade)]
    assert len(stamps) == 49_999
    assert all(before < after for before, after in pairwise([NOW, *stamps]))


def test_changes_of_a_book_that_waited_for_its_snapshot_are_told_with_how_long():
    handler = in_step(16)
    take(handler, level2(18), now_ns=NOW + SECOND)
    take(handler, level2(19), now_ns=NOW + 2 * SECOND)
    rows = handler.order_books.take_snapshot(snapshot(19), NOW + 6 * SECOND, 6.0)
    later = take(handler, level2(20), now_ns=NOW + 7 * SECOND).rows

    (told,) = [row.detail for row in rows if row[3] == "released"]
    assert "up to 5.0 s" in told
    changes = [row for row in [*rows, *later] if isinstance(row, Level2) and not row.is_snapshot]
    assert [row.sequence for row in changes] == [18, 19, 20]
    assert are_not_read(handler, changes) == [True, True, False]


def test_what_waited_for_a_moment_only_is_not_told_but_has_no_lag():
    handler = in_step(16)
    take(handler, level2(18), now_ns=NOW + SECOND)
    rows = handler.order_books.take_snapshot(snapshot(18), NOW + SECOND + 300_000_000, 1.3)

    assert "released" not in events(rows)
    assert are_not_read(handler, rows[:1]) == [True]


def test_an_outage_that_begins_before_the_last_was_over_is_told_too():
    handler = make_handler("trade")
    take(handler, trade(10))
    handler.begin_outage([TRADES], NOW + 1, NOW + 1)
    take(handler, trade(20))  # came, but the connection was never settled
    lose_and_find(handler, 1, 4)

    (hole,) = handler.gap_filler.gaps
    handler.gap_filler.fill(hole, [row_of(n) for n in (9, 10, 15, 20, 25)], NOW + 5)

    (tally,) = handler.ledger.tallies
    assert [gap.filled_by for gap in tally.gaps] == ["REST", "REST"]
    assert tally.rows == 4


def test_a_book_that_is_not_streamed_says_which_are():
    with pytest.raises(
        BookNotReady, match=r"no level2 channel of 'ETHUSDTM' is streamed \(books here: XBTUSDTM\)"
    ):
        in_step().order_books.copy("ETHUSDTM")
    with pytest.raises(BookNotReady, match=r"books here: none\); add 'level2' to channels="):
        make_handler("ticker").order_books.copy(SYMBOL)


EXECUTION = Topic("/contractMarket/execution", "XBTUSDTM")
SECOND = 1_000_000_000


def beating():
    """Tickers and trades each second, long enough to know both beats."""
    into = make_handler("ticker", "trade")
    for second in range(120):
        into.take(
            [ticker(second + 1), trade(second + 1)], Decoder(Market.FUTURES), NOW + second * SECOND
        )
    return into, NOW + 119 * SECOND


def suspects(into, now_ns):
    found = into.silent([TICKER, EXECUTION], now_ns, SECOND)
    return {tally.channel for tally in found}


def test_a_topic_that_is_silent_alone_is_suspicious_sooner_than_a_market_that_is():
    into, last = beating()
    for second in range(1, 5):
        into.take([ticker(200 + second)], Decoder(Market.FUTURES), last + second * SECOND)

    assert suspects(into, last + 2 * SECOND) == set()
    assert suspects(into, last + 4 * SECOND) == {"trade"}


def test_a_market_that_is_silent_as_a_whole_is_left_alone_for_longer():
    into, last = beating()

    assert suspects(into, last + 5 * SECOND) == set()
    assert suspects(into, last + 12 * SECOND) == {"ticker", "trade"}
