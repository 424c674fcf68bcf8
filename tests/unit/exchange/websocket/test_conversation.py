"""The conversation, in simulated time: what is sent when, and what an answer means."""

from __future__ import annotations

import json
from bisect import bisect_left
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_research import errors
from kucoin_research.exchange.topics import Topic
from kucoin_research.exchange.websocket.conversation import (
    ACK_TIMEOUT,
    MOST_TRIES,
    WELCOME_TIMEOUT,
    Acknowledged,
    Conversation,
    ExchangeSpoke,
    Kept,
    Pong,
    Refused,
    Unsubscribed,
    Welcomed,
    stream_error,
)
from kucoin_research.exchange.websocket.decode_classic import ControlMessage

LEVEL2 = "/contractMarket/level2"
CANDLE = "/contractMarket/limitCandle"
WELCOME = ControlMessage("welcome", "c1")


def topics(count, prefix=LEVEL2):
    return [Topic(prefix, f"S{number}USDTM") for number in range(count)]


def greeted(wanted=(), now=0.0, **settings):
    talk = Conversation(wanted, now, **settings)
    assert talk.receive(WELCOME, now) == [Welcomed()]
    return talk


def sent(talk, now):
    return [json.loads(text) for text in talk.due(now)]


def ack(message):
    return ControlMessage("ack", message["id"])


def refusal(message, code=404, text="topic does not exist"):
    return ControlMessage("error", message["id"], code, text)


# -- welcome -------------------------------------------------------------------------------------


def test_nothing_is_sent_before_the_welcome():
    talk = Conversation(topics(1), 0.0)
    talk.request_ping()

    assert talk.due(9.9) == []
    assert not talk.is_open
    assert talk.receive(WELCOME, 9.9) == [Welcomed()]
    assert talk.is_open
    assert len(talk.due(9.9)) == 2


def test_a_welcome_that_does_not_come_ends_the_connection():
    talk = Conversation(topics(1), 100.0)

    assert talk.next_deadline(100.0) == 100.0 + WELCOME_TIMEOUT
    with pytest.raises(errors.ConnectionLost, match="no welcome came within 10 s of connecting"):
        talk.due(100.0 + WELCOME_TIMEOUT)


# -- subscribe -----------------------------------------------------------------------------------


def test_the_wire_text_is_what_kucoin_documents():
    talk = greeted([Topic(LEVEL2, "XBTUSDTM")])

    assert talk.due(0.0) == [
        (
            '{"id":"s1","type":"subscribe","topic":"/contractMarket/level2:XBTUSDTM",'
            '"privateChannel":false,"response":true}'
        )
    ]


def test_candle_topics_are_listed_with_their_intervals_and_without_spaces():
    talk = greeted([Topic(CANDLE, "XBTUSDTM_1min"), Topic(CANDLE, "ETHUSDTM_5min")])

    (message,) = sent(talk, 0.0)

    assert message["topic"] == "/contractMarket/limitCandle:XBTUSDTM_1min,ETHUSDTM_5min"


def test_unsubscribing_is_told_and_acknowledged():
    (topic,) = topics(1)
    talk = greeted([topic])
    talk.receive(ack(*sent(talk, 0.0)), 0.0)

    talk.unsubscribe([topic])

    assert talk.due(1.0) == [
        (
            '{"id":"u2","type":"unsubscribe","topic":"/contractMarket/level2:S0USDTM",'
            '"privateChannel":false,"response":true}'
        )
    ]
    assert talk.subscribed == {topic}
    assert talk.receive(ControlMessage("ack", "u2"), 1.0) == [Unsubscribed((topic,))]
    assert talk.subscribed == set()
    assert talk.is_settled


@pytest.mark.parametrize("count", [1, 100, 101, 250])
def test_a_message_names_at_most_a_hundred_symbols_of_one_kind(count):
    talk = greeted(topics(count) + topics(count, CANDLE))

    messages = sent(talk, 0.0)

    keys = [message["topic"].partition(":")[2].split(",") for message in messages]
    assert all(len(part) <= 100 for part in keys)
    assert sum(map(len, keys)) == 2 * count
    assert len({message["id"] for message in messages}) == len(messages)


def test_a_topic_named_twice_is_asked_for_once():
    talk = greeted(topics(1) * 3)

    assert len(sent(talk, 0.0)) == 1


def test_acknowledgements_are_matched_by_id_in_any_order():
    talk = greeted(topics(1) + topics(1, CANDLE))
    first, second = sent(talk, 0.0)

    assert talk.receive(ack(second), 0.1) == [Acknowledged(tuple(topics(1, CANDLE)))]
    assert not talk.is_settled
    assert talk.receive(ack(first), 0.2) == [Acknowledged(tuple(topics(1)))]
    assert talk.is_settled
    assert talk.subscribed == {*topics(1), *topics(1, CANDLE)}


def test_answers_nobody_waits_for_mean_nothing():
    talk = greeted(topics(1))
    (message,) = sent(talk, 0.0)
    talk.receive(ack(message), 0.1)

    assert talk.receive(ack(message), 0.2) == []
    assert talk.receive(ControlMessage("ack"), 0.2) == []
    assert talk.receive(ControlMessage("pong", "p9"), 0.2) == []
    assert talk.receive(ControlMessage("notice", text="hello"), 0.2) == []


def test_a_subscription_without_an_answer_is_sent_again_and_then_given_up():
    talk = greeted(topics(2), ping_interval=1_000.0)
    texts, events, now = [], [], 0.0

    for _ in range(MOST_TRIES + 1):
        texts += talk.due(now)
        assert talk.overdue(now + ACK_TIMEOUT - 0.01) == []
        now += ACK_TIMEOUT
        events += talk.overdue(now)

    assert len(texts) == MOST_TRIES
    assert len(set(texts)) == 1
    (refused,) = events
    assert refused.topics == tuple(topics(2))
    assert isinstance(refused.error, errors.ServiceBusy)
    assert str(refused.error) == (
        "subscribe /contractMarket/level2:S0USDTM and 1 more was never acknowledged in 3 tries; "
        "the exchange is overloaded or the topic is wrong"
    )
    assert talk.is_settled


def test_the_answer_to_the_second_try_is_taken():
    talk = greeted(topics(1))
    (message,) = sent(talk, 0.0)
    talk.overdue(ACK_TIMEOUT)
    assert sent(talk, ACK_TIMEOUT) == [message]

    assert talk.receive(ack(message), ACK_TIMEOUT + 1) == [Acknowledged(tuple(topics(1)))]


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "text", "kind", "fix"),
    [
        (400, "topic /market/match: BTC-USDT is invalid", errors.TopicInvalid, "spelling"),
        (400, "ping timeout", errors.ServiceBusy, "a new connection is made"),
        (401, "token is expired", errors.TokenRejected, "new token"),
        (403, "login is required", errors.LoginRequired, "credentials="),
        (404, "topic does not exist", errors.TopicNotFound, "no such topic"),
        (406, "topic is required", errors.CommandInvalid, "named no topic"),
        (415, "type is not supported", errors.CommandInvalid, "does not know this command"),
        (500, "system error", errors.ServiceBusy, "try again"),
        (509, "exceed max permits per second", errors.LimitExceeded, "fewer"),
        (509, "exceed max subscription count limitation of 100 per time", errors.LimitExceeded,
         "fewer symbols"),
        (509, "service busy", errors.ServiceBusy, "try again"),
        (777, "new trouble", errors.StreamError, "documentation"),
        (None, "", errors.StreamError, "documentation"),
    ],
)  # fmt: skip
def test_an_error_frame_becomes_an_exception_that_helps(code, text, kind, fix):
    error = stream_error(ControlMessage("error", "x", code, text), topics(3))

    assert type(error) is kind
    assert error.code == (code or 0)
    assert str(error).startswith(f"KuCoin answered {code or 0} {text!r} for {LEVEL2}:S0USDTM and 2")
    assert fix in str(error)


def test_a_refused_subscription_names_its_topics():
    talk = greeted(topics(1))
    (message,) = sent(talk, 0.0)

    (event,) = talk.receive(refusal(message), 0.1)

    assert isinstance(event, Refused)
    assert event.topics == tuple(topics(1))
    assert isinstance(event.error, errors.TopicNotFound)
    assert talk.is_settled
    assert talk.subscribed == set()


@pytest.mark.parametrize("identity", [None, "660fd6c84d0eab582c237b51"])
def test_an_error_that_answers_nothing_is_told(identity):
    talk = greeted(topics(1))
    talk.due(0.0)

    (event,) = talk.receive(ControlMessage("error", identity, 500, "system error"), 0.1)

    assert isinstance(event, ExchangeSpoke)
    assert not talk.is_settled


def test_a_refusal_to_unsubscribe_refuses_no_topic():
    talk = greeted()
    talk.unsubscribe(topics(1))
    (message,) = sent(talk, 0.0)

    (event,) = talk.receive(refusal(message), 0.1)

    assert isinstance(event, Kept)
    assert event.topics == tuple(topics(1))
    assert event.error.code == 404


def test_an_unsubscription_without_an_answer_is_given_up_after_three_tries():
    talk = greeted(ping_interval=1_000.0)
    talk.unsubscribe(topics(1))

    events = []
    for turn in range(MOST_TRIES + 1):
        now = turn * ACK_TIMEOUT
        events += talk.overdue(now)
        talk.due(now)

    (kept,) = events
    assert isinstance(kept, Kept)
    assert kept.error.code == 0
    assert talk.is_settled


def test_a_newer_command_takes_the_place_of_an_older_one_that_was_not_answered():
    (topic, other) = topics(2)
    talk = greeted([topic, other])
    (subscription,) = sent(talk, 0.0)

    talk.unsubscribe([topic])
    (message,) = sent(talk, 0.1)

    assert message["type"] == "unsubscribe"
    assert talk.receive(ack(subscription), 0.2) == [Acknowledged((other,))]
    assert talk.receive(ack(message), 0.2) == [Unsubscribed((topic,))]
    assert not sent(talk, 3 * ACK_TIMEOUT)[1:]  # a ping, and nothing is asked for again


def test_what_is_unsubscribed_does_not_come_back_by_a_resubscription():
    (topic,) = topics(1)
    talk = greeted([topic])
    talk.receive(ack(*sent(talk, 0.0)), 0.0)
    talk.resubscribe([topic])
    (first,) = sent(talk, 0.1)

    talk.unsubscribe([topic])
    talk.receive(ack(first), 0.2)
    (second,) = sent(talk, 0.3)

    assert second["type"] == "unsubscribe"
    talk.receive(ack(second), 0.4)
    assert talk.subscribed == set()
    assert talk.is_settled


def test_what_is_subscribed_to_again_is_not_ended_by_an_older_command():
    (topic,) = topics(1)
    talk = greeted([topic])
    talk.receive(ack(*sent(talk, 0.0)), 0.0)
    talk.unsubscribe([topic])
    (ending,) = sent(talk, 0.1)

    talk.subscribe([topic])
    (beginning,) = sent(talk, 0.2)

    assert talk.receive(ack(ending), 0.3) == []
    assert talk.receive(ack(beginning), 0.3) == [Acknowledged((topic,))]
    assert talk.subscribed == {topic}


def test_a_rejected_token_raises():
    talk = Conversation(topics(1), 0.0)

    with pytest.raises(errors.TokenRejected, match="token is expired") as caught:
        talk.receive(ControlMessage("error", "660fd6c8", 401, "token is expired"), 0.1)

    assert caught.value.code == 401


# -- pings ---------------------------------------------------------------------------------------


def test_pings_keep_their_cadence_and_have_ids_of_their_own():
    talk = greeted(ping_interval=18.0)

    pings = [(now, message) for now in range(60) for message in sent(talk, float(now))
             if talk.receive(ControlMessage("pong", message["id"]), float(now))]  # fmt: skip

    assert [now for now, _ in pings] == [18, 36, 54]
    assert {message["type"] for _, message in pings} == {"ping"}
    assert len({message["id"] for _, message in pings}) == 3
    assert talk.last_ping == 54.0


def test_a_pong_tells_the_round_trip_and_the_servers_time():
    talk = greeted()
    (ping,) = sent(talk, 18.0)

    assert talk.receive(ControlMessage("pong", ping["id"], timestamp=7), 18.5) == [Pong(0.5, 7)]
    assert talk.due(35.0) == []


def test_a_pong_that_does_not_come_ends_the_connection():
    talk = greeted(ping_timeout=10.0)
    talk.due(18.0)

    assert talk.due(27.9) == []
    assert talk.next_deadline(27.9) == 28.0
    with pytest.raises(errors.ConnectionLost, match="no pong came within 10 s of a ping"):
        talk.due(28.0)


def test_a_later_pong_answers_for_a_lost_one():
    talk = greeted(ping_interval=4.0, ping_timeout=10.0)
    talk.due(4.0)
    (second,) = sent(talk, 8.0)

    talk.receive(ControlMessage("pong", second["id"]), 8.1)

    (third,) = sent(talk, 14.5)
    assert third["type"] == "ping"


def test_a_requested_ping_goes_out_at_the_next_chance_and_once():
    talk = greeted()

    talk.request_ping()

    assert talk.next_deadline(1.0) == 1.0
    assert [message["type"] for message in sent(talk, 1.0)] == ["ping"]
    assert talk.due(1.0) == []
    assert talk.last_ping == 1.0


# -- limits and deadlines ------------------------------------------------------------------------


def most_in_any_window(times, window=10.0):
    times = sorted(times)
    return max((n + 1 - bisect_left(times, t - window) for n, t in enumerate(times)), default=0)


def test_five_thousand_candles_are_asked_for_within_the_limits():
    talk = greeted(topics(5_000, CANDLE) + topics(5_000) + topics(5_000, "/x"))
    now, times, asked = 0.0, [], 0
    while not talk.is_settled:
        for message in sent(talk, now):
            times.append(now)
            if message["type"] == "ping":
                talk.receive(ControlMessage("pong", message["id"]), now)
            else:
                asked += len(talk.receive(ack(message), now)[0].topics)
        now = max(now, talk.next_deadline(now))

    assert asked == 15_000
    assert most_in_any_window(times) <= 100
    assert now < 20.0


@settings(max_examples=150, deadline=None)
@given(
    symbols=st.integers(0, 5_000),
    kinds=st.integers(1, 6),
    ping_interval=st.floats(0.05, 20.0),
    steps=st.lists(st.tuples(st.floats(0.0, 3.0), st.booleans(), st.booleans()), max_size=150),
)
def test_never_more_than_a_hundred_messages_in_ten_seconds(symbols, kinds, ping_interval, steps):
    wanted = [topic for kind in range(kinds) for topic in topics(symbols, f"/k{kind}")]
    talk = greeted(wanted, ping_interval=ping_interval)
    now, times = 0.0, []

    for pause, wants_ping, answers in steps:
        now += pause
        if wants_ping:
            talk.request_ping()
        talk.overdue(now)
        for message in sent(talk, now):
            times.append(now)
            if message["type"] == "ping":
                talk.receive(ControlMessage("pong", message["id"]), now)
            elif answers:
                talk.receive(ack(message), now)

    assert most_in_any_window(times) <= 100


def test_pings_find_room_while_subscriptions_wait():
    talk = greeted([Topic(f"/k{n}", "A") for n in range(500)])
    assert len(talk.due(0.0)) == 90

    talk.request_ping()

    assert [message["type"] for message in sent(talk, 0.0)] == ["ping"]


def test_pings_asked_for_in_a_loop_stay_within_the_limit():
    talk = greeted()
    times = []

    for step in range(4_000):
        talk.request_ping()
        for message in sent(talk, step / 100):
            times.append(step / 100)
            talk.receive(ControlMessage("pong", message["id"]), step / 100)

    assert len(times) > 300
    assert most_in_any_window(times) <= 100


def run_at_deadlines(talk, exchange, until, now=0.0):
    """Ask only when the conversation said so; return what happened when."""
    log = []
    for _ in range(20_000):
        if now >= until:
            return log
        try:
            texts = talk.due(now)
        except errors.ConnectionLost as error:
            return [*log, (now, str(error))]
        log += [(now, json.loads(text)) for text in texts]
        log += [(now, event) for event in talk.overdue(now)]
        for text in texts:
            answer = exchange(json.loads(text))
            if answer is not None:
                talk.receive(answer, now)
        deadline = talk.next_deadline(now)
        assert deadline >= now
        now = deadline
    raise AssertionError("the deadlines do not move on")


def answer_everything(message):
    return ControlMessage("pong" if message["type"] == "ping" else "ack", message["id"])


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.integers(0, 300),
    ping_interval=st.floats(2.0, 30.0),
    ping_timeout=st.floats(0.5, 30.0),
    deaf_to=st.sampled_from([None, "ping", "subscribe"]),
)
def test_asking_only_at_the_deadlines_misses_none(kinds, ping_interval, ping_timeout, deaf_to):
    wanted = [Topic(f"/k{n}", "A") for n in range(kinds)]
    talk = greeted(wanted, ping_interval=ping_interval, ping_timeout=ping_timeout)

    log = run_at_deadlines(
        talk, lambda m: None if m["type"] == deaf_to else answer_everything(m), until=200.0
    )

    pings = [at for at, m in log if isinstance(m, dict) and m["type"] == "ping"]
    asked = [at for at, m in log if isinstance(m, dict) and m["type"] == "subscribe"]
    refused = [at for at, event in log if isinstance(event, Refused)]
    assert pings[0] == ping_interval
    if deaf_to == "ping":
        assert log[-1][0] == ping_interval + ping_timeout
        assert "no pong came" in log[-1][1]
        return
    assert all(b - a <= ping_interval + 1e-6 for a, b in pairwise(pings))
    if deaf_to == "subscribe":
        assert len(asked) == MOST_TRIES * kinds
        assert len(refused) == kinds
        if 0 < kinds <= 40:
            assert refused[0] == MOST_TRIES * ACK_TIMEOUT
    else:
        assert len(asked) == kinds
        assert refused == []
    assert talk.is_settled
