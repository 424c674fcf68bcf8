"""The topics of one connection: wishes of any thread, and answers of the exchange."""

from __future__ import annotations

import pytest

from kucoin_research.errors import LimitExceeded, ServiceBusy
from kucoin_research.exchange.topics import Topic
from kucoin_research.streaming.wanted_topics import WantedTopics
from tests.set_clock import SetClock

ONE, TWO, THREE = (Topic("/contractMarket/ticker", name) for name in ("A", "B", "C"))
FULL = LimitExceeded("it is full", code=509)


@pytest.fixture
def wanted():
    made = WantedTopics([ONE], SetClock())
    made.connected()
    return made


def test_an_addition_is_done_once_each_topic_is_accepted(wanted):
    change = wanted.add([TWO, THREE])
    wanted.accepted([TWO])
    assert change.open == {THREE}
    assert not change.is_done.is_set()

    wanted.accepted([ONE, THREE])

    assert change.is_done.is_set()
    assert change.errors == {}
    assert wanted.all == (ONE, TWO, THREE)


def test_a_refused_addition_is_wanted_no_longer(wanted):
    change = wanted.add([TWO])

    assert wanted.refused([ONE, TWO], FULL) == {TWO}
    assert change.errors == {TWO: FULL}
    assert wanted.all == (ONE,)
    assert wanted.refused([ONE], FULL) == frozenset(), "it was there from the beginning"


def test_a_removal_waits_for_the_exchange_while_there_is_a_connection(wanted):
    change, is_asked = wanted.remove([ONE])
    assert is_asked
    assert wanted.all == ()
    assert not change.is_done.is_set()

    wanted.left([ONE])

    assert change.is_done.is_set()


def test_what_cannot_be_ended_is_wanted_again(wanted):
    change, _ = wanted.remove([ONE])
    error = ServiceBusy("no answer")

    assert wanted.kept([ONE], error) == {ONE}
    assert wanted.all == (ONE,)
    assert change.errors == {ONE: error}
    assert wanted.kept([ONE], error) == frozenset()


def test_without_a_connection_nothing_has_to_be_ended(wanted):
    pending, _ = wanted.remove([ONE])
    wanted.add([TWO])

    assert wanted.disconnected() == [pending]
    later, is_asked = wanted.remove([TWO])

    assert not is_asked
    assert later.is_done.is_set()
    assert wanted.disconnected() == []


def test_a_change_that_nobody_waits_for_is_not_answered(wanted):
    change = wanted.add([TWO])
    wanted.forget(change)

    assert wanted.refused([TWO], FULL) == frozenset()
    assert wanted.all == (ONE, TWO)


def test_a_removal_that_was_not_sent_can_be_withdrawn(wanted):
    wanted.add([TWO])
    wanted.take()
    change, _ = wanted.remove([TWO])

    assert wanted.withdraw(change) == {TWO}
    assert wanted.all == (ONE, TWO)
    assert wanted.take() == ((ONE, TWO), frozenset()), "there is nothing to ask for"


def test_a_removal_that_was_sent_cannot_be_withdrawn(wanted):
    change, _ = wanted.remove([ONE])
    wanted.take()

    assert wanted.withdraw(change) == frozenset()
    assert wanted.all == ()


def test_a_topic_that_went_and_came_between_two_looks_is_asked_for_again(wanted):
    wanted.remove([ONE])
    wanted.add([ONE])

    assert wanted.take() == ((ONE,), {ONE})
    assert wanted.take() == ((ONE,), frozenset())
