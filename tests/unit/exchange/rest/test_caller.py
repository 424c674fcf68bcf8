"""Calls that are tried again, wait for a quota, meet a broken network, or are closed."""

import socket
import threading
from email.utils import formatdate
from urllib.parse import urlsplit

import pytest
import requests

from kucoin_research import errors
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.venues import Venue
from tests.unit.exchange.rest import answering
from tests.unit.exchange.rest.answering import (
    END_S,
    HTML,
    LIMITED,
    NOW_NS,
    SECOND,
    START_S,
    Answer,
    Exchange,
    Klines,
    client,
    ok,
    payload,
    refusal,
)

# Against servers that live in real time: what is tested is how their answers are read.
REAL_TIME = True

exchange = answering.exchange
waiter = answering.waiter
rest = answering.rest


# -- trying again ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        *(refusal(c) for c in ("429000", "429001", "429002", "503000", "504000", "230005")),
        refusal("429000", status=429),
        refusal("500000", status=500),
        Answer(HTML, 502),
        Answer(b"", fault="reset"),
        Answer(b"", fault="vanish"),
        Answer(payload("status")[:30], promised=60),
    ],
)
def test_what_can_pass_is_tried_again_after_a_growing_pause(exchange, rest, waiter, answer):
    exchange.answers = [answer, answer, Answer(payload("status"))]

    assert rest.status().status == "open"
    assert waiter.waits == [0.5, 1.0]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal("429000", status=429), errors.RateLimited),
        (refusal("503000"), errors.ExchangeUnavailable),
        (Answer(HTML, 502), errors.BadReply),
        (Answer(b"", fault="reset"), errors.Unreachable),
        (Answer(payload("status")[:30], promised=60), errors.BadReply),
    ],
)
def test_three_tries_are_enough(exchange, rest, answer, kind):
    exchange.answers = [answer]

    with pytest.raises(kind):
        rest.status()

    assert len(exchange.asked) == 3


@pytest.mark.parametrize("answer", [refusal("400100"), refusal("400001", status=400), Answer(HTML)])
def test_what_cannot_pass_is_not_tried_again(exchange, rest, waiter, answer):
    exchange.answers = [answer]

    with pytest.raises(errors.KucoinResearchError):
        rest.status()

    assert len(exchange.asked) == 1
    assert waiter.waits == []


def test_pauses_are_spread_by_chance(exchange, waiter):
    exchange.answers = [refusal("429000")]
    waiter.chances = iter([0.0, 1.0])
    with client(exchange, waiter) as rest, pytest.raises(errors.RateLimited):
        rest.status()

    assert waiter.waits == [0.25, 1.5]


def test_a_rate_limit_waits_as_long_as_its_header_says(exchange, rest, waiter):
    limited = refusal("429000", status=429, gw_ratelimit_reset="3200", **LIMITED)
    exchange.answers = [limited, Answer(payload("status"))]

    rest.status()

    assert waiter.waits == [3.2]


def test_a_rate_limit_longer_than_our_patience_is_raised_at_once(exchange, rest, waiter):
    limited = refusal("429000", status=429, gw_ratelimit_reset="29488", **LIMITED)
    exchange.answers = [limited]

    with pytest.raises(errors.RateLimited) as caught:
        rest.status()

    assert caught.value.retry_after == 29.488
    assert len(exchange.asked) == 1
    assert waiter.waits == []


def test_patience_can_be_given(exchange, waiter):
    limited = refusal("429000", status=429, gw_ratelimit_reset="29488", **LIMITED)
    exchange.answers = [limited, Answer(payload("status"))]

    with client(exchange, waiter, patience=40.0) as rest:
        rest.status()

    assert waiter.waits == [29.488]


@pytest.mark.parametrize("reset", ["", "soon", "-5", "1e3", "9" * 40])
def test_a_header_that_makes_no_sense_is_ignored(exchange, rest, waiter, reset):
    limited = refusal("429000", status=429, gw_ratelimit_reset=reset, **LIMITED)
    exchange.answers = [limited, Answer(payload("status"))]

    rest.status()

    assert waiter.waits == [0.5]


@pytest.mark.parametrize("status", [403, 429])
def test_cloudflares_block_is_a_rate_limit_of_half_a_minute(exchange, rest, status):
    exchange.answers = [Answer(b"<html><title>x</title>error code: 1015</html>", status)]

    with pytest.raises(errors.RateLimited) as caught:
        rest.status()

    assert caught.value.retry_after == 30.0
    assert len(exchange.asked) == 1


def test_a_used_up_quota_is_waited_out_before_the_next_call(exchange, rest, waiter):
    headers = {"gw-ratelimit-remaining": "3", "gw-ratelimit-reset": "4000"}
    exchange.answers = [Answer(payload("status"), 200, headers), Answer(payload("status"))]

    rest.status("futures")
    assert waiter.waits == []
    rest.status("spot")
    assert waiter.waits == []
    rest.status("futures")

    assert waiter.waits == [4.0]


def test_a_used_up_quota_that_lasts_too_long_is_raised_unsent(exchange, rest):
    headers = {"gw-ratelimit-remaining": "0", "gw-ratelimit-reset": "20000"}
    exchange.answers = [Answer(payload("status"), 200, headers)]
    rest.status()

    with pytest.raises(errors.RateLimited, match="no more requests for 20 s") as caught:
        rest.status()

    assert caught.value.retry_after == 20.0
    assert len(exchange.asked) == 1


def test_a_call_that_costs_more_waits_for_more(exchange, rest, waiter):
    headers = {"gw-ratelimit-remaining": "14", "gw-ratelimit-reset": "4000"}
    exchange.answers = [
        Answer(payload("status"), 200, headers),
        Answer(payload("status"), 200, headers),
        ok({"time": 1729176273859, "ticker": []}),
    ]

    rest.status("spot")
    rest.status("spot")
    assert waiter.waits == []
    rest.tickers("spot")

    assert waiter.waits == [4.0]


def refused_by_a_proxy(text):
    return [Answer(b"<html>too many</html>", 429, {"Retry-After": text}), Answer(payload("status"))]


@pytest.mark.parametrize(("text", "wait"), [("2", 2.0), ("soon", 0.5), ("-1", 0.5)])
def test_what_a_proxy_says_of_retrying_is_heeded(exchange, rest, waiter, text, wait):
    exchange.answers = refused_by_a_proxy(text)

    rest.status()

    assert waiter.waits == [wait]


@pytest.mark.parametrize("text", ["20", formatdate(NOW_NS // SECOND + 20, usegmt=True)])
def test_a_proxy_that_wants_to_be_left_alone_for_long_is(exchange, rest, waiter, text):
    exchange.answers = refused_by_a_proxy(text)

    with pytest.raises(errors.RateLimited) as caught:
        rest.status()

    assert caught.value.retry_after == pytest.approx(20.0, abs=1.0)
    assert len(exchange.asked) == 1


def test_a_quota_with_room_is_not_waited_for(exchange, rest, waiter):
    headers = {"gw-ratelimit-remaining": "18", "gw-ratelimit-reset": "20000"}  # 10 are a token's
    exchange.answers = [Answer(payload("status"), 200, headers)]

    for _ in range(3):
        rest.status()

    assert waiter.waits == []


def test_a_long_download_waits_for_the_next_window(exchange, rest, waiter):
    answers = Klines(END_S)
    used_up = {"gw-ratelimit-remaining": "2", "gw-ratelimit-reset": "28000"}

    def answer(asked):
        is_first_page = "from" in asked.query and len(exchange.asked) == 2
        return answers(asked)._replace(headers=used_up if is_first_page else {})

    exchange.answers = answer

    assert len(rest.candles("XBTUSDTM", "1min", START_S * SECOND, END_S * SECOND)) == 4001
    assert waiter.waits == [28.0]


# -- the network -----------------------------------------------------------------------------------


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_a_refused_connection_names_host_and_fix(waiter):
    exchange = Exchange(url=f"http://127.0.0.1:{free_port()}")

    with client(exchange, waiter) as rest, pytest.raises(errors.Unreachable) as caught:
        rest.status()

    assert urlsplit(exchange.url).netloc in str(caught.value)
    assert "refused; check the address" in str(caught.value)
    assert waiter.waits == []


def test_a_host_without_a_name_entry_is_unreachable(waiter):
    exchange = Exchange(url="http://kucoin-research.invalid")
    session = requests.Session()
    session.trust_env = False  # a proxy of the machine would look the name up

    with (
        session,
        client(exchange, waiter, session=session) as rest,
        pytest.raises(errors.Unreachable, match=r"research\.invalid for its status.*'demo'"),
    ):
        rest.status()


def test_a_slow_reply_is_unreachable(exchange, waiter):
    exchange.answers = [Answer(b"", fault="hang")]

    with (
        client(exchange, waiter, timeout=(2.0, 0.05)) as rest,
        pytest.raises(errors.Unreachable, match="no answer in time"),
    ):
        rest.status()

    assert len(exchange.asked) == 1


def test_a_server_that_speaks_no_tls_is_unreachable(exchange, waiter):
    exchange.answers = [Answer(payload("status"))]
    secure = Exchange(url=exchange.url.replace("http:", "https:"))

    with client(secure, waiter) as rest, pytest.raises(errors.Unreachable):
        rest.status()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_loopback_is_reached_around_a_proxy(exchange, rest, monkeypatch, name):
    monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    for quiet in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(quiet, raising=False)
    exchange.answers = [Answer(payload("status"))]

    assert rest.status().status == "open"


def test_elsewhere_goes_through_the_proxy(exchange, waiter, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, exchange.url)
    exchange.answers = [Answer(payload("status"))]

    with client(Exchange(url="http://kucoin-research.invalid"), waiter) as rest:
        assert rest.status().status == "open"
    assert exchange.asked[0].path.endswith("/api/v1/status")


def test_a_dead_proxy_is_named(waiter, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    with (
        client(Exchange(url="http://kucoin-research.invalid"), waiter) as rest,
        pytest.raises(errors.Unreachable, match="check http_proxy, which names http://127"),
    ):
        rest.status()


# -- closing and threads ---------------------------------------------------------------------------


def test_closing_ends_a_wait_from_another_thread(exchange):
    limited = refusal("429000", status=429, gw_ratelimit_reset="60000", **LIMITED)
    exchange.answers = [limited]
    rest = Rest(Venue(exchange.url, exchange.url), patience=100.0)
    waits, ended = threading.Event(), []
    wait = rest._caller._closed.wait
    rest._caller._closed.wait = lambda seconds: waits.set() or wait(seconds)

    def call():
        try:
            rest.status()
        except errors.StreamStopped as error:
            ended.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert waits.wait(60)
    rest.close()
    thread.join(60)

    assert len(ended) == 1
    assert "closed" in str(ended[0])


def test_a_closed_client_refuses_calls_and_closes_twice(exchange, rest):
    exchange.answers = [Answer(payload("status"))]
    rest.status()

    rest.close()
    rest.close()

    with pytest.raises(errors.StreamStopped, match="was closed"):
        rest.status()


def test_threads_call_at_once_each_over_its_own_connection(exchange, rest):
    exchange.answers = [Answer(payload("spot_histories"))]
    stamps, start = [], threading.Barrier(8)

    def call():
        start.wait(60)
        for _ in range(5):
            stamps.extend(trade.local_timestamp for trade in rest.trades("BTC-USDT"))

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(stamps) == list(range(NOW_NS, NOW_NS + 80))


def test_a_given_session_is_used_and_stays_open(exchange, waiter):
    exchange.answers = [Answer(payload("status"))]

    with requests.Session() as session:
        session.headers["X-Site-Type"] = "australia"
        with client(exchange, waiter, session=session) as rest:
            rest.status()
        assert session.get(exchange.url).status_code == 200

    assert exchange.asked[0].headers["X-Site-Type"] == "australia"
