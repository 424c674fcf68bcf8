"""Which exchange is meant: argument, environment, default."""

from types import SimpleNamespace

import pytest

from kucoin_research.errors import InvalidInput, UnknownVenue, UntrustedHost
from kucoin_research.exchange.venues import (
    LIVE,
    Venue,
    is_loopback,
    is_trusted,
    refuse_untrusted,
    resolve_venue,
)
from kucoin_research.model.channels import Market

DEMO = Venue("http://127.0.0.1:1", "http://127.0.0.1:2", "demo")
BOTH = {"KUCOIN_FUTURES_URL": "http://f:1/", "KUCOIN_SPOT_URL": "http://s:2"}


def resolve(venue=None, **environ):
    return resolve_venue(venue, start_demo=lambda: DEMO, environ=environ)


def test_live_is_kucoin():
    assert LIVE.url("futures") == "https://api-futures.kucoin.com"
    assert LIVE.url(Market.SPOT) == "https://api.kucoin.com"
    assert not LIVE.is_loopback


def test_slashes_at_the_end_are_taken_off():
    venue = Venue("http://localhost:8080/", "https://[::1]:9//")

    assert venue == Venue("http://localhost:8080", "https://[::1]:9")
    assert venue.is_loopback


def test_an_unknown_market_is_refused():
    with pytest.raises(InvalidInput, match="market must be"):
        LIVE.url("margin")


@pytest.mark.parametrize(
    "url",
    ["", "api.kucoin.com", "ftp://h", "wss://h", "http://", "http://h:x", "http://h:99999", "http://[",
     "http://a b", "https://h/?q=1", "https://h#f", None, 7],
)  # fmt: skip
@pytest.mark.parametrize("field", ["futures_url", "spot_url"])
def test_what_cannot_be_an_address_is_refused_by_field(url, field):
    urls = {"futures_url": "https://f", "spot_url": "https://s", field: url}

    with pytest.raises(UnknownVenue, match=field):
        Venue(**urls)


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(UnknownVenue) as caught:
        Venue("https://me:hunter2@h", "https://s")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:80", True),
        ("http://127.8.8.8", True),
        ("http://[::1]:80", True),
        ("http://localhost", True),
        ("http://a.localhost:1", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example.org", False),
        ("https://api.kucoin.com", False),
    ],
)
def test_loopback_is_this_machine_only(url, loopback):
    assert is_loopback(url) is loopback


def test_one_remote_market_makes_the_venue_remote():
    assert not Venue("http://127.0.0.1:1", "https://api.kucoin.com").is_loopback


def test_without_anything_it_is_live():
    assert resolve() is LIVE


@pytest.mark.parametrize("text", ["demo", " DEMO "])
def test_demo_starts_the_demo(text):
    assert resolve(text) is DEMO
    assert resolve(KUCOIN_RESEARCH_VENUE=text) is DEMO


def test_only_demo_starts_the_demo():
    def start_demo():
        raise AssertionError

    assert resolve_venue("live", start_demo=start_demo, environ={}) is LIVE


def test_both_addresses_win_over_the_name():
    venue = resolve(KUCOIN_RESEARCH_VENUE="live", **BOTH)

    assert venue == Venue("http://f:1", "http://s:2")


@pytest.mark.parametrize("argument", ["live", LIVE])
def test_an_argument_wins_over_the_environment(argument):
    assert resolve(argument, KUCOIN_RESEARCH_VENUE="demo", **BOTH) is LIVE


@pytest.mark.parametrize("missing", sorted(BOTH))
@pytest.mark.parametrize("rest", [{}, {"KUCOIN_RESEARCH_VENUE": "live"}])
def test_one_address_alone_is_refused(missing, rest):
    environ = {name: url for name, url in BOTH.items() if name != missing} | rest

    with pytest.raises(UnknownVenue, match=f"is set but {missing} is not"):
        resolve(**environ)


def test_empty_variables_count_as_unset():
    assert resolve(KUCOIN_FUTURES_URL="", KUCOIN_SPOT_URL=" ", KUCOIN_RESEARCH_VENUE="") is LIVE


def test_the_process_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("KUCOIN_RESEARCH_VENUE", "demo")

    assert resolve_venue(start_demo=lambda: DEMO) is DEMO


def test_a_running_exchange_is_taken_for_its_addresses():
    exchange = SimpleNamespace(futures_url="http://127.0.0.1:5/", spot_url="http://127.0.0.1:6/")

    assert resolve(exchange) == Venue("http://127.0.0.1:5", "http://127.0.0.1:6")


@pytest.mark.parametrize(("text", "meant"), [("dmeo", "demo"), ("lives", "live")])
def test_a_misspelt_venue_is_answered_with_the_near_one(text, meant):
    with pytest.raises(UnknownVenue, match=f"did you mean '{meant}'"):
        resolve(text)


def test_a_misspelt_variable_is_named():
    with pytest.raises(UnknownVenue, match=r"KUCOIN_RESEARCH_VENUE.*'production'.*'live', 'demo'"):
        resolve(KUCOIN_RESEARCH_VENUE="production")


@pytest.mark.parametrize("junk", ["", "https://api.kucoin.com", 7, object(), ["live"]])
def test_anything_else_is_refused(junk):
    with pytest.raises(UnknownVenue, match=r"Venue\(futures_url="):
        resolve(junk)


TRUSTED = [
    "https://api.kucoin.com", "https://api-futures.kucoin.com/x?y", "https://kucoin.com:443",
    "wss://ws-api-spot.kucoin.com/?token=t", "https://API.KUCOIN.COM", "http://127.0.0.1:80",
    "ws://localhost:1/", "http://[::1]:80", "https://x.localhost", "http://127.255.0.9",
]  # fmt: skip
UNTRUSTED = [
    "http://api.kucoin.com", "ws://ws-api-spot.kucoin.com/", "https://kucoin.com.evil.example",
    "https://evilkucoin.com", "https://api.kucoin.com.", "https://api.kucoin.co",
    "https://evil.example/.kucoin.com", "https://evil.example?.kucoin.com",
    "https://evil.example\\.kucoin.com", "https://evil.example\\@api.kucoin.com",
    "https://user@api.kucoin.com", "https://evil.example#.kucoin.com", "http://10.0.0.1",
    "http://evil.example\\.localhost", "http://localhost.evil.example", "http://0.0.0.0:80",
    "https://api.kucoın.com", "https://127.0.0.1.evil.example", "http://192.168.1.5:8080", "https://",
]  # fmt: skip


@pytest.mark.parametrize("url", TRUSTED)
def test_credentials_may_go_to_kucoin_over_tls_and_to_this_machine(url):
    assert is_trusted(url)
    refuse_untrusted(url, "an API key")


@pytest.mark.parametrize("url", UNTRUSTED)
def test_credentials_go_nowhere_else(url):
    with pytest.raises(UntrustedHost, match=r"^an API key goes to .* nothing was sent$") as caught:
        refuse_untrusted(f"{url}/?token=marker", "an API key")

    assert not is_trusted(url)
    assert "marker" not in str(caught.value)
