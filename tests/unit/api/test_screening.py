"""``kr.screener`` without a notebook: its frame, its text, its pace, and what fails."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research.api.screening import plain_screener
from tests.conftest import wait_until
from tests.exchanges import simulate


@pytest.fixture
def exchange():
    with simulate(contracts=40) as running:
        yield running


def asked(exchange, path):
    return sum(each[1] == path for each in exchange.requests)


LIST, PRICES = "/api/v1/contracts/active", "/api/v1/allTickers"


def test_the_frame_agrees_with_the_calls_that_it_is_made_of(exchange):
    exchange.pause()
    with kr.screener(exchange.venue) as s:
        frame = s.frame()
    tickers = kr.tickers(venue=exchange.venue)
    stats = kr.stats(venue=exchange.venue)

    assert frame["symbol"].to_list() == kr.get_active_symbols(venue=exchange.venue)
    for name in ("best_bid_price", "best_bid_size", "best_ask_price", "best_ask_size"):
        assert frame[name].equals(tickers[name])
    for name in ("last_price", "price_change_pct"):
        assert frame[name].equals(stats[name])
    is_inverse = frame["symbol"] == "XBTUSDM"  # its listed volume is US dollars
    assert frame["volume"].equals(stats["volume"].zip_with(~is_inverse, stats["turnover"]))
    for symbol in ("XBTUSDTM", "XRPUSDTM"):
        mark = kr.mark_price(symbol, venue=exchange.venue)
        row = frame.row(by_predicate=pl.col("symbol") == symbol, named=True)
        assert row["index_price"] == mark["index_price"][0]
        assert row["mark_price"] == mark["mark_price"][0]
    assert frame["age_s"].min() >= 0
    assert frame.null_count().sum_horizontal().item() == 0


def test_nothing_is_asked_before_it_is_wanted(exchange):
    with kr.screener(exchange.venue) as s:
        assert "not started" in repr(s)
        assert s.symbols == []
        assert s.line == "not asked yet"

    assert exchange.requests == []


def test_the_figures_are_renewed_at_a_polite_pace_until_it_is_closed(exchange, held_time):
    with kr.screener(exchange.venue) as s:
        s.start()
        wait_until(lambda: s.symbols and s.frame()["best_bid_price"][0] is not None)
        before = asked(exchange, LIST), asked(exchange, PRICES)
        held_time.pass_by(10)
        after = asked(exchange, LIST), asked(exchange, PRICES)
        assert (after[0] - before[0], after[1] - before[1]) == (2, 10)
        assert s.line == "prices every 1 s, statistics every 5 s"
    held_time.pass_by(10)

    assert (asked(exchange, LIST), asked(exchange, PRICES)) == after
    assert s.is_closed
    assert s.frame().height == 40  # the last figures stay
    with pytest.raises(kr.StreamStopped, match="closed"):
        s.start()


def test_a_failure_is_told_and_the_ages_go_on_until_it_has_passed(exchange, held_time):
    with kr.screener(exchange.venue) as s:
        s.start()
        wait_until(lambda: s.symbols and not s.troubles)
        exchange.inject("html_error", path=PRICES, status=502, count=None)
        wait_until(lambda: s.troubles)
        held_time.pass_by(10)
        assert s.line.startswith("no new prices (")
        assert "502" in s.line
        assert s.frame()["age_s"].min() > 5
        exchange.heal()
        wait_until(lambda: not s.troubles)
        assert s.frame()["age_s"].max() < 5


def test_a_stream_brings_the_best_prices_between_two_calls(exchange, held_time):
    with kr.screener(exchange.venue, live=True) as s:
        s.start()
        wait_until(lambda: exchange.connections and not s.troubles)
        before = asked(exchange, PRICES)
        held_time.pass_by(5)
        ages = s.frame().sort("turnover", descending=True)["age_s"]

        assert asked(exchange, PRICES) == before
        assert ages.head(3).max() < 4
        assert s.line.startswith("best prices streamed")
    assert [each for each in kr.running() if "screener" in each.name] == []


def test_a_call_that_hangs_does_not_hold_up_the_prices(exchange, held_time):
    with kr.screener(exchange.venue) as s:
        s.start()
        wait_until(lambda: s.symbols and s.frame()["best_bid_price"][0] is not None)
        exchange.inject("slow_reply", path=LIST, delay=60, count=None)
        held_time.pass_by(22)

        assert s.frame()["age_s"].max() < 3
        assert s.line.startswith("no new statistics")


def test_a_list_without_symbols_is_a_fault_and_the_figures_stay(exchange, held_time):
    with kr.screener(exchange.venue) as s:
        s.start()
        wait_until(lambda: s.symbols and not s.troubles)
        for symbol in s.symbols:
            exchange.inject("delist", symbol=symbol)
        wait_until(lambda: s.troubles)
        assert s.line.endswith("lists no futures symbols")
        assert s.frame().height == 40
        with kr.screener(exchange.venue) as other, pytest.raises(kr.BadReply, match="lists no"):
            other.frame()
        exchange.heal()
        wait_until(lambda: not s.troubles)


def test_a_contract_that_is_listed_later_is_streamed_and_a_delisted_one_no_more(
    exchange, held_time
):
    def streamed():
        running = [each for each in kr.running() if "screener" in each.name]
        return {sub.symbol for each in running for sub in each.subscriptions}

    exchange.inject("delist", symbol="ETHUSDTM")
    with kr.screener(exchange.venue, live=True) as s:
        s.start()
        wait_until(lambda: streamed() and not s.troubles)
        assert streamed() == set(s.symbols)
        assert "ETHUSDTM" not in streamed()
        exchange.heal()
        exchange.inject("delist", symbol="XRPUSDTM")
        wait_until(lambda: "ETHUSDTM" in streamed() and "XRPUSDTM" not in streamed())
        wait_until(lambda: not s.troubles)
        assert streamed() == set(s.symbols)


def test_the_old_figures_are_returned_where_the_exchange_has_gone_away(exchange):
    with kr.screener(exchange.venue) as s:
        first = s.frame()
        exchange.close()
        again = s.frame()

        assert again["last_price"].equals(first["last_price"])
        assert s.line.startswith("no new statistics (once): cannot reach")
        assert "no new statistics (2 times): cannot reach" in str(s)  # it has asked again


def test_a_frame_leaves_no_connection_open(exchange):
    open_files = Path("/proc/self/fd")
    if not open_files.exists():
        pytest.skip("this system does not list the open files of a process")
    kr.screener(exchange.venue).frame()
    before = len(list(open_files.iterdir()))
    kept = [kr.screener(exchange.venue) for _ in range(5)]
    for each in kept:
        each.frame()

    wait_until(lambda: len(list(open_files.iterdir())) <= before)


def test_spot_pairs_have_prices_and_no_funding(exchange):
    with kr.screener(exchange.venue, market="spot") as s:
        frame = s.frame()

    assert "BTC-USDT" in frame["symbol"].to_list()
    assert frame["spread_bps"].null_count() == 0
    assert frame["funding_rate"].null_count() == frame.height


def test_a_printed_screener_is_a_table_of_the_largest_turnovers(exchange):
    with plain_screener(exchange.venue) as s:
        lines = str(s).splitlines()

    assert lines[0].split()[:2] == ["symbol", "last"]
    assert lines[1].startswith("XBTUSDTM")
    assert lines[-2] == "… and 15 more; .frame() has all of them"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"every": 0.2}, "every=0.2 would spend the exchange's quota on the futures prices"),
        ({"every": 1.0, "market": "spot"}, "it must be 1.5 s or more"),
        ({"live": 1}, "live"),
        ({"market": "bonds"}, "bonds"),
        ({"on_press": 3}, "screener"),
    ],
)
def test_wrong_arguments_are_refused_at_once(exchange, options, problem):
    with pytest.raises(kr.InvalidInput, match=problem):
        kr.screener(exchange.venue, **options)


def test_an_exchange_that_cannot_be_reached_raises_in_the_cell_that_asks():
    nowhere = kr.Venue("http://127.0.0.1:9", "http://127.0.0.1:9", "nowhere")

    with kr.screener(nowhere) as s, pytest.raises(kr.Unreachable):
        s.frame()


def test_without_the_libraries_of_widgets_it_works_and_says_what_they_would_add():
    code = """
import sys
sys.modules.update(dict.fromkeys(("anywidget", "itables")))
import kucoin_research as kr
with kr.simulate(contracts=12, start="2026-01-05") as x, kr.screener(x.venue) as s:
    print(len(str(s).splitlines()), s.view)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["14", "None"]


def test_it_names_the_libraries_that_are_missing(exchange, monkeypatch):
    monkeypatch.setattr("kucoin_research.api.screening._FOR_WIDGETS", ("anywidget", "not_there"))

    with plain_screener(exchange.venue) as s:
        assert repr(s).endswith("its live table needs not_there: pip install not_there>")
