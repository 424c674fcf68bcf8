"""Other people's KuCoin clients against our exchange, beside our own client.

Two exchanges run as processes of their own. On the *still* one nobody subscribes, so its virtual
clock stands and every REST reply can be repeated. On the *moving* one our client streams before the
others begin and until after they have ended, so every frame that they see is among ours.
"""

import os
from collections import defaultdict

import pytest

import kucoin_research as kr
from kucoin_research.rest import Rest
from kucoin_research.sim import DEMO_ACCOUNT
from kucoin_research.venues import Venue
from tests.conftest import wait_until
from tests.interop import outages
from tests.interop.processes import client_process, exchange_process, interop_python
from tests.interop.table import ROWS, WHY_NOT, render

CONTRACT, PAIR = "XBTUSDTM", "BTC-USDT"
# Twenty virtual seconds before a funding settlement, so that its announcements come.
START = "2026-01-05T07:59:40Z"
START_MS = 1_767_599_980_000
SPEED = 5.0
PLAN = {
    "contract": CONTRACT,
    "pair": PAIR,
    "unified_contract": "BTC/USDT:USDT",
    "unified_pair": "BTC/USDT",
    "index": ".KXBTUSDT",
    "currency": "BTC",
    "zone": "USDS",
    "start_ms": START_MS - 7_200_000,
    "end_ms": START_MS,
    "funding_start_ms": START_MS - 5 * 86_400_000,
}
# Rows that a client waits for before it leaves; it tells all that came, so there are more.
SDK_WANTED = {
    "futures.announcement funding.begin": 1,
    "futures.announcement funding.end": 1,
    "futures.execution": 20,
    "futures.instrument mark.index.price": 5,
    "futures.instrument funding.rate": 1,
    "futures.klines": 5,
    "futures.orderbook_increment": 200,
    "futures.orderbook_level5": 50,
    "futures.orderbook_level50": 50,
    "futures.symbol_snapshot": 2,
    "futures.ticker_v1": 20,
    "futures.ticker_v2": 50,
    "spot.all_tickers": 50,
    "spot.klines": 5,
    "spot.market_snapshot": 4,
    "spot.orderbook_increment": 200,
    "spot.orderbook_level1": 50,
    "spot.orderbook_level5": 50,
    "spot.orderbook_level50": 50,
    "spot.symbol_snapshot": 2,
    "spot.ticker": 20,
    "spot.trade": 10,
}
CCXT_WANTED = {
    "swap.watch_ticker": 10,
    "swap.watch_tickers": 10,
    "swap.watch_trades": 20,
    "swap.watch_order_book": 100,
    "swap.watch_order_book 5": 20,
    "swap.watch_order_book 50": 20,
    "swap.watch_ohlcv": 5,
    "swap.watch_bids_asks": 20,
    "spot.watch_ticker": 3,
    "spot.watch_tickers": 20,
    "spot.watch_trades": 10,
    "spot.watch_order_book": 100,
    "spot.watch_order_book 5": 20,
    "spot.watch_order_book 50": 20,
    "spot.watch_ohlcv": 5,
    "spot.watch_bids_asks": 20,
}
FUTURES_CHANNELS = [
    "ticker", "bbo", "trade", "candle", "level2", "depth5", "depth50", "mark_price",
    "funding_rate", "snapshot",
]  # fmt: skip
SPOT_CHANNELS = ["ticker", "bbo", "trade", "candle", "level2", "depth5", "depth50", "snapshot"]
PRIVATE_WANTED = {
    "futures_private.all_order": 100,
    "futures_private.all_position": 50,
    "futures_private.all_position position.settlement": 1,
    "futures_private.balance": 50,
    "futures_private.order": 40,
    "futures_private.position": 10,
    "futures_private.stop_orders": 10,
    "spot_private.account": 50,
    "spot_private.order_v1": 60,
    "spot_private.order_v2": 100,
    "spot_private.stop_order": 10,
}
FUTURES_PRIVATE = ["order", "stop_order", "balance", "position", "leverage"]
SPOT_PRIVATE = ["order", "stop_order", "balance", "margin"]
ORDERS_PER_MINUTE = 60  # virtual, on every symbol
CLIENT_SECONDS = 60.0  # bound of every wait for a client; each has a shorter one of its own


def pytest_configure(config):
    config.stash.setdefault(ROWS, {})
    config.stash.setdefault(outages.OUTAGES, [])


@pytest.fixture(scope="session")
def python(request):
    found = interop_python()
    if found is not None:
        return found
    reason = "NOT COMPARED with other KuCoin clients: no .venv-interop; run `make interop`"
    request.config.stash[WHY_NOT] = reason
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter, config):
    rows, reason = config.stash.get(ROWS, {}), config.stash.get(WHY_NOT, None)
    if rows:
        terminalreporter.section("other KuCoin clients against the simulated exchange")
        terminalreporter.write_line("\n".join(render(rows)))
    suffered = config.stash.get(outages.OUTAGES, [])
    if suffered:
        terminalreporter.section("three KuCoin clients through the same outages")
        terminalreporter.write_line("\n".join(outages.render(suffered)))
    if reason:
        terminalreporter.section("OTHER KUCOIN CLIENTS", red=True)
        terminalreporter.write_line(reason, red=True, bold=True)


@pytest.fixture
def row(request):
    """Give the function that enters this test's row; without it the row says NO."""
    client, call = request.node.callspec.params["client"], request.node.callspec.params["call"]
    rows = request.config.stash[ROWS]
    rows[client, call] = (0, False, "")

    def enter(count, note=""):
        assert count > 0, f"no row of {call} was compared"
        rows[client, call] = (count, True, note)

    return enter


def by_call(lines):
    found = defaultdict(list)
    for line in lines:
        found[line["call"]].append(line)
    return dict(found)


def _venue(addresses):
    return Venue(addresses["futures"], addresses["spot"])


# The still exchange


@pytest.fixture(scope="session")
def still(python):
    """Addresses of an exchange whose clock stands."""
    with exchange_process(speed=1.0, start=START) as addresses:
        yield addresses


@pytest.fixture(scope="session")
def still_venue(still):
    return _venue(still)


@pytest.fixture(scope="session")
def rest(still_venue):
    """Our REST client on the still exchange."""
    with Rest(still_venue) as client:
        yield client


def _replies(python, script, addresses):
    with client_process(python, script, "rest", addresses, PLAN) as client:
        return {line["call"]: line for line in client.lines(CLIENT_SECONDS)}


@pytest.fixture(scope="session")
def sdk_replies(python, still):
    return _replies(python, "universal_sdk.py", still)


@pytest.fixture(scope="session")
def ccxt_replies(python, still):
    return _replies(python, "unified_ccxt.py", still)


# The moving exchange


class Moving:
    """What every client saw of the moving exchange."""

    def __init__(self, sdk, ccxt, futures, spot, reports):
        self.sdk = sdk
        self.ccxt = ccxt
        self.futures = futures
        self.spot = spot
        self.reports = reports


@pytest.fixture(scope="session")
def moving(python):
    with exchange_process(speed=SPEED, start=START) as addresses:
        return _stream_beside(python, addresses)


def _stream_beside(python, addresses):
    venue = _venue(addresses)
    pairs = kr.get_active_symbols("spot", venue=venue)
    with (
        client_process(
            python, "universal_sdk.py", "stream", addresses, PLAN | {"wanted": SDK_WANTED}
        ) as sdk,
        client_process(
            python, "unified_ccxt.py", "stream", addresses, PLAN | {"wanted": CCXT_WANTED}
        ) as ccxt,
    ):
        for client in (sdk, ccxt):
            assert client.line(CLIENT_SECONDS)["call"] == "ready"
        with (
            kr.stream(CONTRACT, FUTURES_CHANNELS, venue=venue, name="interop futures") as futures,
            # Two calls of the others bring every pair.
            kr.stream(pairs, SPOT_CHANNELS, venue=venue, name="interop spot") as spot,
        ):
            for stream in (futures, spot):
                assert stream.wait_until_live(30.0), stream.status
            wait_until(lambda: _has_books(futures, [CONTRACT]) and _has_books(spot, pairs), 30.0)
            for client in (sdk, ccxt):
                client.tell("go")
            seen = [by_call(client.lines(CLIENT_SECONDS)) for client in (sdk, ccxt)]
            _wait_past(venue, futures, spot)
            return Moving(
                *seen,
                {name: futures.frame(name) for name in FUTURES_CHANNELS},
                {name: spot.frame(name) for name in SPOT_CHANNELS},
                [stream.report() for stream in (futures, spot)],
            )


def _has_books(stream, symbols):
    try:
        return all(stream.book(symbol).sequence for symbol in symbols)
    except kr.BookNotReady:
        return False


def _wait_past(venue, futures, spot):
    """Wait until our streams have come past everything that the others can have seen."""
    with Rest(venue) as client:
        now_ns = client.server_time("futures")

    def newest(stream, channel):
        return stream.frame(channel, last=1)["timestamp"].to_physical()[0]

    # Each market has one connection, so its frames come in order.
    wait_until(lambda: newest(futures, "mark_price") > now_ns, 30.0)
    wait_until(lambda: newest(spot, "snapshot") > now_ns, 30.0)


# The exchange on which the demo account trades


class Private:
    """What the SDK saw of the demo account, and what we saw."""

    def __init__(self, sdk, futures, spot, reports):
        self.sdk = sdk
        self.futures = futures
        self.spot = spot
        self.reports = reports


@pytest.fixture(scope="session")
def private(python):
    with exchange_process("--trader", ORDERS_PER_MINUTE, speed=SPEED, start=START) as addresses:
        return _watch_account_beside(python, addresses)


def _watch_account_beside(python, addresses):
    login = [DEMO_ACCOUNT.key, DEMO_ACCOUNT.secret, DEMO_ACCOUNT.passphrase]
    plan = PLAN | {"wanted": PRIVATE_WANTED, "login": login}
    same = {"venue": _venue(addresses), "credentials": kr.Credentials(*login)}
    with client_process(python, "universal_sdk.py", "private", addresses, plan) as sdk:
        assert sdk.line(CLIENT_SECONDS)["call"] == "ready"
        with (
            kr.stream(
                "*", FUTURES_PRIVATE, market="futures", name="our futures", **same
            ) as futures,
            kr.stream("*", SPOT_PRIVATE, market="spot", name="our spot", **same) as spot,
        ):
            for stream in (futures, spot):
                assert stream.wait_until_live(30.0), stream.status
            sdk.tell("go")
            seen = by_call(sdk.lines(CLIENT_SECONDS))
            with Rest(same["venue"]) as client:
                now_ns = client.server_time("futures")
            for stream in (futures, spot):
                wait_until(lambda each=stream: _newest_order(each) > now_ns, 30.0)
            return Private(
                seen,
                {name: futures.frame(name) for name in FUTURES_PRIVATE},
                {name: spot.frame(name) for name in SPOT_PRIVATE},
                [stream.report() for stream in (futures, spot)],
            )


def _newest_order(stream):
    return stream.frame("order", last=1)["timestamp"].to_physical()[0]
