"""The tokens and the quota of one market."""

from random import Random

import pytest

from kucoin_research.sim.server.door import Quota, Tokens
from kucoin_research.sim.server.settings import Settings
from tests.set_clock import SetMachine

SECOND = 10**9


class Steady(SetMachine):
    def monotonic(self):
        return self.ns / SECOND


@pytest.fixture
def machine():
    return Steady()


@pytest.fixture
def tokens(machine):
    return Tokens(machine, Random(7), lifetime=60.0)


def quota(machine, market="spot", **settings):
    return Quota(machine, Settings(**settings), market)


def test_token_opens_until_its_lifetime_is_over(machine, tokens):
    token = tokens.issue()

    machine.ns = 59 * SECOND
    before = tokens.refusal(token)
    machine.ns = 60 * SECOND

    assert before is None
    assert tokens.refusal(token) == "token is expired"


def test_unknown_token_is_invalid(tokens):
    assert tokens.refusal("guess") == "token is invalid"


def test_expired_tokens_stay_expired_while_new_ones_open(tokens):
    old = tokens.issue()

    tokens.expire()

    assert tokens.refusal(old) == "token is expired"
    assert tokens.refusal(tokens.issue()) is None


def test_private_token_names_its_account(tokens):
    assert tokens.user_of(tokens.issue("me")) == "me"
    assert tokens.user_of(tokens.issue()) == ""


def test_quota_window_begins_with_its_first_call(machine):
    public = quota(machine, rate_limit=10, rate_window=30.0)
    machine.ns = 5 * SECOND

    is_allowed, headers = public.spend(8)

    assert is_allowed
    assert headers == {
        "gw-ratelimit-limit": "10",
        "gw-ratelimit-remaining": "2",
        "gw-ratelimit-reset": "30000",
    }


def test_call_beyond_the_quota_takes_nothing_from_it(machine):
    public = quota(machine, rate_limit=10)
    public.spend(8)

    refused, headers = public.spend(3)

    assert not refused
    assert headers["gw-ratelimit-remaining"] == "0"
    assert public.spend(2)[0]


@pytest.mark.parametrize(("market", "limit"), [("futures", "2000"), ("spot", "4000")])
def test_each_account_has_kucoins_quota_of_its_own(machine, market, limit):
    both = quota(machine, market, rate_limit=1)
    both.spend(1)

    is_allowed, headers = both.spend(1, "me")

    assert is_allowed
    assert headers["gw-ratelimit-limit"] == limit
