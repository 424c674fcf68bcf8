"""Private channels over real sockets, against the simulated exchange's accounts."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import kucoin_research as kr
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.model.records import CHANNELS, PRIVATE_CHANNELS, schema_of
from tests.conftest import wait_until
from tests.exchanges import START, simulate
from tests.held_time import SkewedTime

PACKAGE = Path(__file__).parents[3] / "kucoin_research"
OTHER = kr.Credentials("marker-key", "marker-secret", "marker-passphrase")


@pytest.fixture
def account(exchange):
    held = exchange.demo_account
    yield held
    held.cancel_all()
    if lots := held.positions.get("XBTUSDTM"):
        held.place("XBTUSDTM", "sell" if lots > 0 else "buy", abs(lots))


def paths(exchange):
    return [path for _, path in exchange.requests]


# -- what streams ----------------------------------------------------------------------------------


def test_orders_fills_balances_and_position_of_a_futures_trade(exchange, account):
    channels = ["order", "fill", "balance", "position", "ticker"]
    with kr.stream(
        "XBTUSDTM", channels, venue=exchange.venue, credentials=exchange.credentials
    ) as s:
        assert s.wait_until_live()
        order_id = account.place("XBTUSDTM", "buy", 3, client_oid="mine")
        s.wait("ticker", rows=3)
        wait_until(lambda: "filled" in s.frame("order")["type"].to_list())
        wait_until(lambda: s.frame("position").height > 0 and s.frame("balance").height > 0)
        frames = {name: s.frame(name) for name in channels}
        report = s.report()

    for name, frame in frames.items():
        assert frame.schema == schema_of(CHANNELS[name])
        assert frame["local_timestamp"].is_sorted()
        assert frame["local_timestamp"].is_unique().all()
    order, fill = frames["order"], frames["fill"]
    assert set(order["order_id"]) == {order_id}
    assert set(order["client_oid"]) == {"mine"}
    assert fill["size"].sum() == 3.0
    assert fill["trade_id"].null_count() == 0
    assert set(fill["side"]) == {"buy"}
    assert frames["position"]["current_qty"].drop_nulls()[-1] == 3.0
    assert set(frames["balance"]["market"]) == {"futures"}
    assert frames["balance"]["symbol"].null_count() == frames["balance"].height
    assert report.channel("balance").symbol == "*"
    assert report.channel("order").verdict is kr.Verdict.NOT_PROVABLE
    # One private token serves the public channel too.
    assert "/api/v1/bullet-private" in paths(exchange)


def test_orders_and_balances_of_a_spot_trade(exchange, account):
    with kr.stream(
        "BTC-USDT", ["order", "fill", "balance"], venue=exchange.venue,
        credentials=exchange.credentials,
    ) as s:  # fmt: skip
        assert s.wait_until_live()
        account.place("BTC-USDT", "buy", "0.001")
        wait_until(lambda: "filled" in s.frame("order")["type"].to_list())
        wait_until(lambda: s.frame("balance")["currency"].n_unique() == 2)
        orders, fills, balances = s.frame("order"), s.frame("fill"), s.frame("balance")

    assert orders["type"][0] == "received"
    assert fills["size"].sum() == pytest.approx(0.001)
    assert set(balances["market"]) == {"spot"}
    assert set(balances["relation_symbol"].drop_nulls()) == {"BTC-USDT"}


def test_a_star_brings_all_symbols_of_both_markets(exchange, account):
    with kr.stream("*", "order", venue=exchange.venue, credentials=exchange.credentials) as s:
        assert s.wait_until_live()
        for symbol, size in (("XBTUSDTM", 1), ("ETHUSDTM", 1), ("BTC-USDT", "0.001")):
            account.place(symbol, "buy", size, price=1000)
        wait_until(lambda: s.frame("order")["symbol"].n_unique() == 3)


def test_stop_orders_and_settings_stream(exchange, account):
    with kr.stream(
        "SOLUSDTM", ["stop_order", "leverage"], venue=exchange.venue,
        credentials=exchange.credentials,
    ) as s:  # fmt: skip
        assert s.wait_until_live()
        account.set_margin_mode("SOLUSDTM", "CROSS")
        account.set_leverage("SOLUSDTM", "7")
        account.place("SOLUSDTM", "buy", 1, price=1, stop="down", stop_price=2)
        account.place("XBTUSDTM", "buy", 1, price=1000)
        wait_until(lambda: s.frame("stop_order").height and s.frame("leverage").height == 2)
        stops, settings = s.frame("stop_order"), s.frame("leverage")

    assert stops["stop_price"].to_list() == [2.0]
    assert settings["margin_mode"].to_list() == ["CROSS", None]
    assert settings["leverage"].to_list() == [None, 7.0]


def test_margin_of_an_isolated_pair_streams(exchange, account):
    with kr.stream(
        "BTC-USDT", "margin", venue=exchange.venue, credentials=exchange.credentials
    ) as s:
        assert s.wait_until_live()
        account.borrow("USDT", "100")
        account.borrow("USDT", "50", symbol="BTC-USDT")
        wait_until(lambda: {"debt.ratio", "positionChange"} <= set(s.frame("margin")["event"]))
        rows = s.frame("margin")
        account.repay("USDT", "100")
        account.repay("USDT", "50", symbol="BTC-USDT")

    assert set(rows.filter(event="positionChange")["symbol"]) == {"BTC-USDT"}
    assert rows.filter(event="debt.ratio")["symbol"].drop_nulls().is_empty()


def test_an_outage_of_an_account_to_which_nothing_happens_is_told_by_its_recording(tmp_path):
    with simulate(seed=2, speed=5.0) as x:
        healing = kr.Healing(connects_per_minute=600, most_backoff=1.0)
        with kr.stream(
            "XBTUSDTM", ["balance"], venue=x.venue, credentials=x.credentials, healing=healing
        ) as s:
            assert s.wait_until_live()
            recorder = s.record(tmp_path)
            x.inject("abort")
            wait_until(lambda: s.status.reconnects == 1)
        assert recorder.close()
    session = kr.load(recorder.path)
    with kr.replay(session, speed=None) as replayed:
        assert replayed.wait_until_done()

    streamed = s.report().channel("balance")
    assert [gap.cause for gap in streamed.gaps] == ["disconnected"]
    for source in (session, replayed):
        entry = source.report().channel("balance")
        assert (entry.symbol, entry.verdict) == ("*", kr.Verdict.INCOMPLETE)
        assert entry.gaps == streamed.gaps


def test_stream_to_frame_mixes_private_and_public_channels(exchange):
    frames = kr.stream_to_frame(
        "XBTUSDTM", ["order", "ticker"], seconds=10, venue=exchange.venue,
        credentials=exchange.credentials, progress=False,
    )  # fmt: skip

    assert frames["order"].schema == schema_of(CHANNELS["order"])
    assert frames["ticker"].height > 0


def test_the_guides_class_takes_private_channels(exchange, account):
    key = exchange.credentials
    messages = []
    guide = kr.KuCoinWebSocket(
        key.key, key.secret, key.passphrase, on_message=messages.append, venue=exchange.venue
    )
    guide.connect("XBTUSDTM", ["order"])
    account.place("XBTUSDTM", "buy", 1, price=1000)
    wait_until(lambda: any("tradeOrders" in message["topic"] for message in messages))
    guide.close()

    assert "demo" not in repr(guide)


def test_public_channels_take_a_public_token_though_a_key_is_there():
    with simulate(speed=30.0) as x:
        with kr.stream("XBTUSDTM", "ticker", venue=x.venue, credentials=OTHER) as s:
            s.wait("ticker")
        assert "/api/v1/bullet-public" in paths(x)
        assert "/api/v1/bullet-private" not in paths(x)


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("channel", sorted(PRIVATE_CHANNELS - {"margin"}))
def test_private_channel_without_credentials_is_refused_before_anything_is_sent(channel):
    with simulate() as x, pytest.raises(kr.CredentialsMissing) as caught:
        kr.stream("XBTUSDTM", ["ticker", channel], venue=x.venue)
    assert str(caught.value) == (
        f"channel {channel!r} is of your own account: pass credentials=kr.Credentials.from_env(), "
        "or kr.Credentials(key, secret, passphrase)"
    )


def test_nothing_is_requested_for_a_call_that_lacks_credentials():
    with simulate() as x:
        with pytest.raises(kr.CredentialsMissing):
            kr.stream_to_frame("XBTUSDTM", "order", rows=1, venue=x.venue)
        assert x.requests == []


@pytest.mark.parametrize(
    "venue",
    [
        kr.Venue("http://api-futures.kucoin.com", "http://api.kucoin.com"),
        kr.Venue("https://kucoin.com.evil.example", "https://evil.example"),
        kr.Venue("http://10.1.2.3:80", "http://10.1.2.3:81"),
    ],
)
def test_key_is_refused_to_other_hosts_before_anything_is_sent(venue, monkeypatch):
    monkeypatch.setattr("requests.Session.request", lambda *_, **__: pytest.fail("was sent"))

    with pytest.raises(kr.UntrustedHost, match=r"nothing was sent$"):
        kr.stream(["XBTUSDTM", "BTC-USDT"], ["order", "ticker"], venue=venue, credentials=OTHER)


@pytest.mark.parametrize("ask", [
    lambda **given: kr.stream("XBTUSDTM", "order", **given),
    lambda **given: kr.stream("XBTUSDTM", "ticker", **given),
    lambda **given: kr.order_book("BTC-USDT", 20, **given),
])  # fmt: skip
def test_credentials_of_another_type_are_refused_without_showing_them(exchange, ask):
    with pytest.raises(kr.InvalidInput) as caught:
        ask(venue=exchange.venue, credentials=("k", "marker", "p"))

    assert str(caught.value) == "credentials must be kr.Credentials, not tuple"


def test_a_star_is_refused_for_public_channels(exchange):
    with pytest.raises(kr.InvalidInput, match="name the symbols of ticker"):
        kr.stream("*", ["order", "ticker"], venue=exchange.venue, credentials=OTHER)


def test_channel_that_the_chosen_market_lacks_is_refused_for_all_symbols(exchange):
    with pytest.raises(kr.ChannelNotOffered, match="no 'position' channel on spot"):
        kr.stream("*", "position", market="spot", venue=exchange.venue, credentials=OTHER)


@pytest.mark.parametrize(
    ("part", "what", "fix"),
    [
        (0, "key", "check KUCOIN_API_KEY"),
        # The secret signs the passphrase too, and that is looked at first.
        (1, "passphrase", "or the secret that signs it"),
        (2, "passphrase", "check KUCOIN_PASSPHRASE"),
    ],
)
@pytest.mark.parametrize("market", ["futures", "spot"])
def test_login_with_a_wrong_part_names_it(exchange, part, what, fix, market):
    right = exchange.credentials
    parts = [right.key, right.secret, right.passphrase]
    parts[part] = "marker-wrong"
    symbol = "XBTUSDTM" if market == "futures" else "BTC-USDT"

    with pytest.raises(kr.AuthenticationFailed) as caught:
        kr.stream_to_frame(
            symbol, "order", rows=1, venue=exchange.venue, credentials=kr.Credentials(*parts),
            progress=False,
        )  # fmt: skip

    assert caught.value.what == what
    assert fix in str(caught.value)
    assert "marker" not in str(caught.value)


@pytest.mark.parametrize("start", [START, None])
def test_a_clock_that_is_wrong_is_replaced_by_the_exchanges(held_time, start):
    wrong = SkewedTime(held_time, 3_600 * 10**9)
    with (
        simulate(start=start) as x,
        Rest(x.venue, credentials=x.credentials, clock=wrong) as rest,
    ):
        assert rest.token("futures", private=True).token

        assert paths(x) == ["/api/v1/bullet-private", "/api/v1/timestamp", "/api/v1/bullet-private"]


def test_private_topic_on_a_public_token_names_credentials(exchange, monkeypatch):
    token = Rest.token
    monkeypatch.setattr(Rest, "token", lambda self, market, private: token(self, market))

    with pytest.raises(kr.LoginRequired, match="private channels need credentials="):
        kr.stream_to_frame(
            "XBTUSDTM", "order", rows=1, venue=exchange.venue, credentials=exchange.credentials,
            progress=False,
        )  # fmt: skip


# -- what cannot happen ----------------------------------------------------------------------------


def test_the_client_has_no_path_that_places_an_order():
    client = [path for path in PACKAGE.rglob("*.py") if "sim" not in path.parts]
    assert len(client) > 50
    words = re.compile(
        r"/api/v\d+/(?:hf/|st-|oco/|stop-)?(?:orders?|margin/order|transfer|withdraw)"
    )

    for path in client:
        texts = [
            node.value for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]  # fmt: skip
        assert not [text for text in texts if words.search(text)], path


def test_the_only_call_that_is_not_a_get_is_for_tokens():
    files = sorted((PACKAGE / "exchange" / "rest").rglob("*.py"))
    source = "\n".join(path.read_text() for path in files)

    assert "class Rest:" in source
    assert re.findall(r'method="(\w+)"', source) == ["POST"]
    assert re.findall(r"is_signed=True", source) == ["is_signed=True"]
    assert re.findall(r"/api/v\d/\S+\", \S+, True", source) == [
        '/api/v3/market/orderbook/level2", sys.maxsize, True'
    ]  # the one GET that wants a key
