"""The board of a screener: the newest figures of every listed symbol."""

from datetime import UTC, datetime

import polars as pl
import pytest

from kucoin_research.api.market_board import MarketBoard
from kucoin_research.exchange.rest.market_facts import MarketFacts
from kucoin_research.model.records import BestBidOffer, Ticker

SECOND = 1_000_000_000
START = 1_767_571_200 * SECOND


def facts(symbol="XBTUSDTM", at=START, **figures):
    return MarketFacts(at, symbol, **figures)


def ticker(
    symbol="XBTUSDTM", at=START, price=100.0, bid=99.0, bid_size=3.0, ask=101.0, ask_size=1.0
):
    return Ticker(at, at, symbol, 1, price, 1.0, "buy", bid, bid_size, ask, ask_size)


def only_row(board, now=START):
    return board.look().frame(now).row(0, named=True)


def test_figures_are_derived_from_both_lists():
    board = MarketBoard()
    marks = {"mark_price": 100.1, "index_price": 100.0, "funding_rate": 1e-4}
    interest = {"open_interest": 200.0, "contract_multiplier": 0.01}
    board.take_facts([facts(turnover=5.0, **marks, **interest)])
    board.take_prices([ticker(bid=99.9, ask=100.1)])

    row = only_row(board)

    assert row["spread_bps"] == pytest.approx(20.0)
    assert row["imbalance"] == 0.5
    assert row["basis_bps"] == pytest.approx(10.0)
    assert row["open_interest_value"] == pytest.approx(200 * 0.01 * 100.1)
    assert (row["turnover"], row["funding_rate"], row["last_price"]) == (5.0, 1e-4, 100.0)


def test_an_inverse_contract_is_valued_in_its_quote_currency():
    board = MarketBoard()
    interest = {"open_interest": 300.0, "contract_multiplier": -1.0}
    board.take_facts(
        [facts(last_price=50_000.0, mark_price=50_100.0, turnover=2.0, volume=99_000.0, **interest)]
    )

    row = only_row(board)

    assert (row["turnover"], row["open_interest_value"]) == (100_000.0, 300.0)
    assert row["volume"] == 2.0  # its listed volume is US dollars


def test_what_the_exchange_does_not_list_is_null_and_never_zero():
    board = MarketBoard()
    board.take_facts([facts()])

    row = only_row(board)

    assert row.pop("symbol") == "XBTUSDTM"
    assert row.pop("facts_timestamp") == datetime(2026, 1, 5, tzinfo=UTC)
    assert set(row.values()) == {None}


def test_an_empty_side_of_a_book_has_neither_spread_nor_imbalance():
    board = MarketBoard()
    board.take_facts([facts()])
    board.take_prices([ticker(bid=None, bid_size=0.0, ask=None, ask_size=0.0)])

    row = only_row(board)

    assert (row["spread_bps"], row["imbalance"]) == (None, None)


def test_times_are_utc_and_ages_count_from_the_arrival_of_the_prices():
    board = MarketBoard()
    board.take_facts(
        [facts(at=START + SECOND, next_funding_ns=START + 60 * SECOND, funding_in_ms=58_500)]
    )
    board.take_prices([ticker(at=START + 2 * SECOND)])

    frame = board.look().frame(START + 5 * SECOND)

    row = frame.row(0, named=True)
    assert {
        frame.schema[name] for name in ("next_funding", "local_timestamp", "facts_timestamp")
    } == {pl.Datetime("ns", "UTC")}
    assert row["next_funding"] == datetime(2026, 1, 5, 0, 1, tzinfo=UTC)
    assert row["local_timestamp"] == datetime(2026, 1, 5, 0, 0, 2, tzinfo=UTC)
    assert (row["funding_in_s"], row["age_s"]) == (58.5, 3.0)


def test_best_prices_alone_leave_the_last_price():
    board = MarketBoard()
    board.take_facts([facts(last_price=90.0)])
    board.take_prices([BestBidOffer(START, START, "XBTUSDTM", 1, 99.0, 1.0, 101.0, 1.0)])

    row = only_row(board)

    assert (row["last_price"], row["best_bid_price"]) == (90.0, 99.0)


def test_the_list_decides_which_symbols_there_are_and_those_that_stay_keep_their_prices():
    board = MarketBoard()
    board.take_facts([facts("A"), facts("B"), facts("C")])
    board.take_prices([ticker("A", bid=1.0), ticker("C", bid=3.0), ticker("UNKNOWN")])
    board.take_facts([facts("C"), facts("D"), facts("A")])

    frame = board.look().frame(START)

    assert frame["symbol"].to_list() == ["A", "C", "D"]
    assert frame["best_bid_price"].to_list() == [1.0, 3.0, None]


def test_a_list_in_another_order_changes_no_row():
    board = MarketBoard()
    board.take_facts([facts("A", last_price=1.0), facts("B", last_price=2.0)])
    before = board.look().symbols
    board.take_facts([facts("B", last_price=4.0), facts("A", last_price=3.0)])

    view = board.look()

    assert view.symbols is before
    assert view.column("last_price").tolist() == [3.0, 4.0]


def test_a_symbol_that_is_listed_twice_is_one_row_with_prices():
    board = MarketBoard()
    board.take_facts([facts("A"), facts("B"), facts("A")])
    board.take_prices([ticker("A", bid=1.0), ticker("B", bid=2.0)])

    frame = board.look().frame(START)

    assert frame["symbol"].to_list() == ["A", "B"]
    assert frame["best_bid_price"].to_list() == [1.0, 2.0]


@pytest.mark.parametrize("listed", [None, 90.0])
def test_a_list_that_is_older_or_has_no_last_price_leaves_that_of_the_ticker(listed):
    board = MarketBoard()
    board.take_facts([facts(last_price=80.0)])
    board.take_prices([ticker(at=START + 2 * SECOND, price=100.0)])
    board.take_facts([facts(at=START + SECOND, last_price=listed)])

    assert only_row(board)["last_price"] == 100.0


def test_a_newer_list_renews_the_last_price_and_an_older_ticker_does_not():
    board = MarketBoard()
    board.take_facts([facts(at=START + 2 * SECOND, last_price=90.0)])
    board.take_prices([ticker(at=START + SECOND, price=100.0)])

    assert only_row(board)["last_price"] == 90.0


def test_best_prices_that_are_older_are_left_out_unless_the_clock_was_set_back():
    board = MarketBoard()
    board.take_facts([facts()])
    board.take_prices([ticker(at=START + 2 * SECOND, bid=99.0)])
    board.take_prices([ticker(at=START + SECOND, bid=98.0)])
    assert only_row(board)["best_bid_price"] == 99.0

    board.take_prices([ticker(at=START - 3600 * SECOND, bid=97.0)])
    assert only_row(board)["best_bid_price"] == 97.0


@pytest.mark.parametrize(
    ("listed", "prices"),
    [
        ({"mark_price": 1.0, "index_price": 1e-320}, {}),
        ({"open_interest": 1e300, "contract_multiplier": 1e300, "mark_price": 1.0}, {}),
        ({"turnover": 1e307, "contract_multiplier": -1.0}, {}),
        ({}, {"bid_size": -1.0, "ask_size": 1.0}),
        ({}, {"bid_size": -3.0, "ask_size": 1.0}),
        ({}, {"bid": 1e-308, "ask": 1.7e308}),
    ],
)
def test_figures_that_cannot_be_made_are_null_and_warn_of_nothing(listed, prices):
    board = MarketBoard()
    board.take_facts([facts(**listed)])
    board.take_prices([ticker(**prices)])

    row = only_row(board)

    made = ("basis_bps", "open_interest_value", "turnover", "imbalance")
    assert {row[name] for name in made} <= {None, 0.5}
    assert not any(isinstance(each, float) and abs(each) == float("inf") for each in row.values())


def test_a_view_does_not_change_with_its_board():
    board = MarketBoard()
    board.take_facts([facts(last_price=1.0)])
    view = board.look()
    board.take_facts([facts(last_price=2.0)])

    assert view.column("last_price").tolist() == [1.0]
    assert view.symbols is board.look().symbols


def test_a_board_without_symbols_is_an_empty_frame():
    frame = MarketBoard().look().frame(START)

    assert frame.height == 0
    assert frame.columns[0] == "symbol"
