"""Warm-up: how long after a later start the decisions become those of the whole run."""

from __future__ import annotations

from datetime import timedelta

import pytest

import kucoin_research as kr
from kucoin_research.errors import InvalidInput
from tests.unit.strategy.markets import (
    SECOND,
    START,
    XBT,
    changes,
    recorded,
    ticker_data,
    tickers,
)

DATA = ticker_data(400)


def check(make_strategy, data=DATA, **options):
    return kr.check_warm_up(make_strategy, data, instruments=[XBT], **options)


def exponential_mean():
    state = {}

    def strategy(record, broker):
        state["mean"] = 0.8 * state.get("mean", record.price) + 0.2 * record.price
        broker.target(5 if record.price > state["mean"] else 0)

    return strategy


def window_of(size):
    def make():
        prices = []

        def strategy(record, broker):
            prices.append(record.price)
            broker.note(f"{sum(prices[-size:]):.1f}")

        return strategy

    return make


def running_sum():
    total = 0.0

    def strategy(record, broker):
        nonlocal total
        total += record.best_bid_size - 25
        broker.target(1 if int(total) % 2 else 0)

    return strategy


def test_an_exponential_mean_converges():
    found = check(exponential_mean)

    assert found.ok
    assert len(found.starts) == 5
    assert timedelta(0) < found.needed < timedelta(seconds=60)
    assert "CONVERGES" in str(found)


def test_a_window_converges_when_it_is_full():
    found = check(window_of(20), starts=[START + 100 * SECOND, START + 150 * SECOND])

    assert [each.records_until for each in found.starts] == [19, 19]
    assert found.to_frame()["seconds"].to_list() == [19.0, 19.0]
    assert found.needed == timedelta(seconds=19)


def test_a_running_sum_does_not_converge():
    found = check(running_sum)

    assert not found.ok
    assert found.needed is None
    assert found.to_frame()["converged"].null_count() > 0
    assert "DOES NOT CONVERGE" in found._repr_html_()
    assert "last difference" in str(found)


def test_what_needs_no_past_converges_at_once():
    def make():
        return lambda record, broker: broker.note(str(record.price))

    assert check(make).needed == timedelta(0)


def test_sizes_by_equity_become_alike_only():
    def make():
        def strategy(record, broker):
            if record.sequence % 7 == 0:
                side = broker.buy if record.sequence % 2 else broker.sell
                side(broker.equity / 1_000)

        return strategy

    found = check(make)

    assert not found.ok
    assert all(each.converged is None for each in found.starts)
    assert all(each.alike == each.start for each in found.starts)
    assert "sizes or prices stay different" in " ".join(str(found).split())


def test_a_position_is_waited_for():
    def make():
        def strategy(record, broker):
            if record.sequence % 50 == 10:
                broker.buy(1)
            elif record.sequence % 50 == 40 and broker.position().size:
                broker.close()

        return strategy

    found = check(make, starts=[START + 120 * SECOND])

    assert found.ok
    assert found.starts[0].converged == START + 141 * SECOND


def test_indicators_of_the_frame_begin_later_too():
    def make(data):
        sums = data.frame("ticker")["price"].cum_sum().to_list()
        means = data.frame("ticker")["price"].rolling_mean(10).to_list()
        row = -1

        def strategy(record, broker):
            nonlocal row
            row += 1
            value = sums[row] if make.is_sum else means[row]
            if value is not None:
                broker.buy(1, limit=value)

        return strategy

    make.is_sum = True
    assert not check(make).ok
    make.is_sum = False
    assert check(make).needed == timedelta(seconds=9)


def test_cancels_are_known_by_their_orders():
    class Quoter:
        order = None

        def __call__(self, record, broker):
            if record.sequence % 5 == 0:
                if self.order is not None:
                    broker.cancel(self.order)
                self.order = broker.buy(1, limit=record.best_bid_price - 100)

    found = check(Quoter)

    assert found.ok
    assert found.needed <= timedelta(seconds=5)


def test_a_book_begins_with_a_snapshot(tmp_path):
    session = recorded([*tickers(40), *changes(400)], ["ticker", "level2"], tmp_path)

    def make():
        def strategy(record, broker):
            if record.__class__ is kr.CHANNELS["ticker"]:
                broker.note(f"{broker.book().best_bid} {len(broker.book().asks)}")

        return strategy

    found = kr.check_warm_up(make, session, starts=2)

    assert found.needed < timedelta(seconds=1)


def test_trouble_is_said():
    calls = []

    def make():
        calls.append(1)
        return lambda record, broker: broker.note(str(len(calls)))

    assert "Two equal runs differ" in str(check(make))
    assert "nothing to compare" in str(check(lambda: lambda record, broker: None))
    with pytest.raises(InvalidInput, match="between the first and the last record"):
        check(exponential_mean, starts=[START - SECOND])
    with pytest.raises(InvalidInput, match="tolerance"):
        check(exponential_mean, tolerance=-1)
