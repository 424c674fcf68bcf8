"""What REST brings back: the rows in between, and an honest word on whether that is all."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_research.model.records import Candle, Trade
from kucoin_research.streaming.gap_fill import (
    is_behind,
    merge_all_candles,
    merge_all_trades,
    merge_candles,
    merge_trades,
)


def trade(sequence):
    return Trade(sequence, 0, "XBTUSDTM", sequence, str(sequence), "buy", 1.0, 1.0)


def trades(*sequences):
    return [trade(sequence) for sequence in sequences]


def candle(opened, close=1.0):
    return Candle(opened, 0, "XBTUSDTM", "1min", 1.0, 1.0, 1.0, close, 1.0, None)


def numbers(rows):
    return [row.sequence for row in rows]


def test_a_page_that_reaches_back_brings_everything():
    merged = merge_trades(10, trades(8, 10, 13, 20), trades(20, 22))

    assert (numbers(merged.rows), merged.is_whole) == ([13], True)
    assert (merged.first_missing, merged.last_missing) == (None, None)


def test_a_page_that_does_not_reach_back_says_what_is_missing():
    merged = merge_trades(10, trades(15, 18), trades(30))

    assert (numbers(merged.rows), merged.is_whole) == ([15, 18], False)
    assert (merged.first_missing, merged.last_missing) == (11, 14)


def test_an_outage_longer_than_a_page_and_much_traffic_since():
    merged = merge_trades(10, trades(40, 41), trades(30, 40, 41))

    assert (merged.rows, merged.is_whole) == ([], False)
    assert (merged.first_missing, merged.last_missing) == (11, 39)  # 30 may be a repeat


def test_without_a_trade_before_nothing_is_proved():
    assert merge_trades(None, trades(1, 2), []) == ([], False, None, None)
    assert merge_trades(5, [], []) == ([], False, None, None)


@given(st.sets(st.integers(1, 500), min_size=2, max_size=60), st.data())
def test_rows_and_what_is_held_make_the_tape(tape, data):
    ordered = sorted(tape)
    lost_at = data.draw(st.integers(1, len(ordered)))  # rows before the outage
    back_at = data.draw(st.integers(lost_at, len(ordered)))  # first row behind it
    page = data.draw(st.integers(1, len(ordered)))  # how many REST keeps
    last, held = ordered[lost_at - 1], ordered[back_at:]

    merged = merge_trades(last, trades(*ordered[-page:]), trades(*held))

    whole = ordered[:lost_at] + numbers(merged.rows) + held
    assert merged.is_whole == (ordered[-page:][0] <= last)
    if merged.is_whole:
        assert whole == ordered
    else:
        missing = set(ordered) - set(whole)
        assert all(merged.first_missing <= each <= merged.last_missing for each in missing)
        assert whole == sorted(set(whole))


def test_repeats_that_do_not_reach_up_to_live_hide_nothing():
    merged = merge_trades(100, trades(*range(40, 140)), trades(*range(96, 101), *range(130, 140)))

    assert (numbers(merged.rows), merged.is_whole) == ([*range(101, 130)], True)


def test_a_page_newer_than_what_came_is_behind_it_or_in_the_outage():
    assert not is_behind(trades(8, 10), [])
    assert is_behind(trades(8, 10), trades(8))
    assert not is_behind(trades(8, 10), trades(8, 10, 11))
    assert not is_behind([], trades(8))


@settings(deadline=None)
@given(st.sets(st.integers(1, 500), min_size=2, max_size=60), st.data())
def test_what_is_brought_and_held_is_the_tape_whatever_is_repeated(tape, data):
    ordered = sorted(tape)
    lost_at = data.draw(st.integers(1, len(ordered)))
    back_at = data.draw(st.integers(lost_at, len(ordered)))
    page = data.draw(st.integers(1, len(ordered)))
    repeats = sorted(data.draw(st.sets(st.sampled_from(ordered[:back_at] or ordered))))
    last, held = ordered[lost_at - 1], repeats + ordered[back_at:]

    merged = merge_trades(last, trades(*ordered[-page:]), trades(*held))

    whole = list(dict.fromkeys(ordered[:lost_at] + numbers(merged.rows) + held))
    if merged.is_whole:
        assert whole == ordered
    else:
        missing = set(ordered) - set(whole)
        assert all(merged.first_missing <= each <= merged.last_missing for each in missing)


def test_old_executions_behind_an_outage_do_not_make_the_next_one_longer():
    # Nothing was traded in the first outage; what came behind it had all come before.
    merged = merge_all_trades(50, trades(45, 50, 60), [trades(40, 44), trades(70)])

    assert [numbers(each.rows) for each in merged] == [[60], []]
    assert all(each.is_whole for each in merged)


@settings(deadline=None)
@given(st.sets(st.integers(1, 500), min_size=4, max_size=60), st.data())
def test_several_outages_are_filled_whatever_is_repeated_between_them(tape, data):
    ordered = sorted(tape)
    bounds = sorted(data.draw(st.lists(st.integers(1, len(ordered)), min_size=4, max_size=4)))
    lost, back, lost_again, back_again = bounds
    page = data.draw(st.integers(1, len(ordered)))
    repeats = [
        sorted(data.draw(st.sets(st.sampled_from(ordered[:end])))) for end in (back, back_again)
    ]
    held = [repeats[0] + ordered[back:lost_again], repeats[1] + ordered[back_again:]]

    merged = merge_all_trades(
        ordered[lost - 1], trades(*ordered[-page:]), [trades(*part) for part in held]
    )

    behind = [numbers(each.rows) + part for each, part in zip(merged, held, strict=True)]
    whole = list(dict.fromkeys(ordered[:lost] + behind[0] + behind[1]))
    missing = set(ordered) - set(whole)
    if ordered[-page] <= ordered[lost - 1]:
        assert all(each.is_whole for each in merged)
        assert set(whole) == set(ordered)
    elif missing:
        assert not all(each.is_whole for each in merged)


def test_candles_from_the_open_one_up_to_the_first_behind():
    fetched = [candle(60, 2.0), candle(120), candle(180, 9.0)]

    assert merge_candles(60, fetched, [candle(180), candle(180)]) == [candle(60, 2.0), candle(120)]
    assert merge_candles(60, fetched, []) == fetched
    assert merge_candles(61, fetched, []) == fetched[1:]


def test_one_page_fills_several_outages_each_with_its_own():
    held = [trades(20, 22), [], trades(30)]

    merged = merge_all_trades(10, trades(9, 10, 13, 20, 22, 25, 26, 30), held)

    assert [numbers(each.rows) for each in merged] == [[13], [25, 26], []]
    assert all(each.is_whole for each in merged)


def test_a_page_that_reaches_into_the_last_outage_only_leaves_the_first_unfilled():
    merged = merge_all_trades(10, trades(22, 25, 30), [trades(20, 22), trades(30)])

    assert [numbers(each.rows) for each in merged] == [[], [25]]
    assert [each.is_whole for each in merged] == [False, True]
    assert (merged[0].first_missing, merged[0].last_missing) == (11, 21)


def test_candles_of_several_outages_go_where_they_belong():
    held = [[candle(30)], [candle(60)]]

    merged = merge_all_candles({"1min": 10}, [candle(n) for n in (10, 20, 30, 40, 60)], held)

    assert [[row.timestamp for row in each.rows] for each in merged] == [[10, 20], [30, 40]]
    assert all(each.is_whole for each in merged)
