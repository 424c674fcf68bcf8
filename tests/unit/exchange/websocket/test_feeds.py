"""What differs between the feeds: how the pro one talks, and where it is."""

from __future__ import annotations

import json
from itertools import pairwise
from types import SimpleNamespace

import pytest

from kucoin_research import errors
from kucoin_research.errors import ChannelNotOffered, InvalidInput, UnknownVenue
from kucoin_research.exchange.topics import Feed, Topic, feed_of, topics_for
from kucoin_research.exchange.venues import LIVE, Venue, resolve_venue
from kucoin_research.exchange.websocket.conversation import (
    ACK_TIMEOUT,
    Acknowledged,
    Conversation,
    ExchangeSpoke,
    Pong,
    Refused,
    Welcomed,
)
from kucoin_research.exchange.websocket.decode_classic import ControlMessage
from kucoin_research.exchange.websocket.feeds import pro_dialect, spec_of
from kucoin_research.model.channels import Market, parse_channel

BOOK = Topic("obu/increment@10ms", "XBTUSDTM")


def greeted(wanted=(), market=Market.FUTURES, **welcome):
    talk = Conversation(wanted, 0.0, dialect=pro_dialect(market))
    assert talk.receive(ControlMessage("welcome", "s", **welcome), 0.0) == [Welcomed()]
    return talk


def sent(talk, now=0.0):
    return [json.loads(text) for text in talk.due(now)]


# -- commands ------------------------------------------------------------------------------------


def test_the_wire_text_is_the_probes():
    talk = greeted([BOOK])

    assert talk.due(0.0) == [
        (
            '{"id":"s1","action":"SUBSCRIBE","channel":"obu","tradeType":"FUTURES",'
            '"symbol":"XBTUSDTM","depth":"increment@10ms"}'
        )
    ]


@pytest.mark.parametrize(
    ("channel", "fields"),
    [
        ("trade", {"channel": "trade", "symbol": "BTC-USDT"}),
        ("bbo", {"channel": "obu", "symbol": "BTC-USDT", "depth": "1"}),
        ("depth50", {"channel": "obu", "symbol": "BTC-USDT", "depth": "50"}),
        ("candle:5min", {"channel": "kline", "symbol": "BTC-USDT", "interval": "5min"}),
    ],
)
def test_each_channel_has_its_fields(channel, fields):
    topics = topics_for(parse_channel(channel), "BTC-USDT", Market.SPOT, Feed.PRO)

    (message,) = sent(greeted(topics, Market.SPOT))

    assert message == {"id": "s1", "action": "SUBSCRIBE", "tradeType": "SPOT"} | fields


def test_only_tickers_share_a_message():
    symbols = [f"S{number}USDTM" for number in range(150)]
    tickers = [Topic("ticker", symbol) for symbol in symbols]
    trades = [Topic("trade", symbol) for symbol in symbols[:3]]

    messages = sent(greeted([*tickers, *trades]))

    assert [len(message.get("symbols", [1])) for message in messages] == [100, 50, 1, 1, 1]


def test_commands_stay_under_a_hundred_in_ten_seconds():
    talk = greeted([Topic("trade", f"S{number}") for number in range(300)], ping_interval_ms=10**9)

    times = [now for now in range(60) for message in talk.due(float(now)) if "SUBSCRIBE" in message]

    assert len(times) >= 300
    assert max(sum(t <= other < t + 10 for other in times) for t in times) < 100


# -- answers -------------------------------------------------------------------------------------


def test_an_acknowledgement_settles():
    talk = greeted([BOOK])
    (message,) = sent(talk)

    assert talk.receive(ControlMessage("ack", message["id"]), 0.1) == [Acknowledged((BOOK,))]
    assert talk.is_settled


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("invalid request data", errors.CommandInvalid),
        ("symbols are not supported for topic obu", errors.TopicInvalid),
        ('topic Obu type = "public_spot" not allowed in current environment', errors.TopicInvalid),
        ("exceed max subscription count limitation of 600 per session", errors.LimitExceeded),
        ("something new", errors.StreamError),
    ],
)
def test_a_refusal_says_what_was_wrong(text, error):
    talk = greeted([BOOK])
    (message,) = sent(talk)

    (event,) = talk.receive(ControlMessage("error", message["id"], None, text), 0.1)

    assert isinstance(event, Refused)
    assert type(event.error) is error
    assert text in str(event.error)
    assert "obu/increment@10ms:XBTUSDTM" in str(event.error)


def test_the_welcome_sets_the_ping_interval_and_speed():
    talk = greeted(ping_interval_ms=5_000, speed=60.0)

    assert sent(talk, 4.9) == []
    assert [message["type"] for message in sent(talk, 5.0)] == ["ping"]
    assert talk.speed == 60.0


def test_pings_asked_for_by_hand_keep_a_distance():
    talk = greeted()
    times = []
    for tenth in range(100):
        talk.request_ping()
        now = tenth / 10
        for message in sent(talk, now):
            times.append(now)
            assert talk.receive(ControlMessage("pong", message["id"], timestamp=1), now) == [
                Pong(0.0, 1)
            ]

    assert times
    assert all(later - earlier > 1.0 for earlier, later in pairwise(times))
    assert talk.next_deadline(9.9) > times[-1] + 1.0


def test_a_topic_is_subscribed_to_afresh_once_it_is_given_up():
    talk = greeted([BOOK])
    talk.receive(ControlMessage("ack", sent(talk)[0]["id"]), 0.0)

    talk.resubscribe([BOOK])
    (given_up,) = sent(talk, 1.0)
    assert given_up["action"] == "UNSUBSCRIBE"
    assert sent(talk, 1.0) == []
    assert talk.receive(ControlMessage("ack", given_up["id"]), 1.1) == []
    (again,) = sent(talk, 1.2)

    assert again["action"] == "SUBSCRIBE"
    assert talk.receive(ControlMessage("ack", again["id"]), 1.3) == [Acknowledged((BOOK,))]


def test_a_topic_that_could_not_be_given_up_is_subscribed_to_all_the_same():
    talk = greeted(ping_interval_ms=10**9)
    talk.resubscribe([BOOK])
    now = 0.0
    events = []
    while not events:
        sent(talk, now)
        now += ACK_TIMEOUT
        events = talk.overdue(now)

    assert [type(event) for event in events] == [ExchangeSpoke]
    assert [message["action"] for message in sent(talk, now)] == ["SUBSCRIBE"]


# -- names and addresses -------------------------------------------------------------------------


def test_an_unknown_feed_gets_one_sentence():
    with pytest.raises(InvalidInput, match="feed must be 'classic' or 'pro', not 'uta'"):
        feed_of("uta")
    assert feed_of(" PRO ") is Feed.PRO


@pytest.mark.parametrize(
    ("channel", "market"),
    [("snapshot", Market.FUTURES), ("mark_price", Market.SPOT), ("funding_rate", Market.SPOT)],
)
def test_what_the_pro_feed_lacks_is_told(channel, market):
    with pytest.raises(ChannelNotOffered, match=f"on the pro feed of {market}"):
        topics_for(parse_channel(channel), "S", market, Feed.PRO)


def endpoint(venue, market=Market.FUTURES):
    return spec_of(Feed.PRO).endpoint(SimpleNamespace(venue=venue), market, False, 0).url.reveal()


def test_kucoins_own_addresses():
    assert endpoint(LIVE) == "wss://x-push-futures.kucoin.com"
    assert endpoint(LIVE, Market.SPOT) == "wss://x-push-spot.kucoin.com"


def test_a_market_on_this_machine_serves_the_feed_under_pro():
    venue = Venue("http://127.0.0.1:5", "https://localhost:6/base/")

    assert endpoint(venue) == "ws://127.0.0.1:5/pro"
    assert endpoint(venue, Market.SPOT) == "wss://localhost:6/base/pro"


def test_given_addresses_win():
    venue = Venue("http://127.0.0.1:5", "http://127.0.0.1:6", futures_push_url="ws://h:7/")

    assert endpoint(venue) == "ws://h:7"
    assert endpoint(venue, Market.SPOT) == "ws://127.0.0.1:6/pro"


def test_a_remote_venue_without_addresses_says_what_to_do():
    with pytest.raises(UnknownVenue, match=r"futures_push_url=….*feed='classic'"):
        endpoint(Venue("https://f", "https://s"))


def test_an_address_that_is_no_socket_is_refused():
    with pytest.raises(UnknownVenue, match="spot_push_url must be an address like 'wss://host'"):
        Venue("https://f", "https://s", spot_push_url="https://s")


def test_the_environment_may_name_the_addresses():
    environ = {
        "KUCOIN_FUTURES_URL": "https://f",
        "KUCOIN_SPOT_URL": "https://s",
        "KUCOIN_FUTURES_PUSH_URL": "wss://pf",
        "KUCOIN_SPOT_PUSH_URL": "wss://ps/",
    }

    venue = resolve_venue(start_demo=lambda: LIVE, environ=environ)

    assert (endpoint(venue), endpoint(venue, Market.SPOT)) == ("wss://pf", "wss://ps")
