"""Other people's KuCoin clients against our exchange, beside our own client.

Two exchanges run as processes of their own. On the *still* one nobody subscribes, so its virtual
clock stands and every REST reply can be repeated. On the *moving* one our client streams before the
others begin and until after they have ended, so every frame that they see is among ours. Its clock
stands until all have subscribed, however long a busy machine takes, so nobody misses anything.
"""

from collections import defaultdict

import pytest

import kucoin_research as kr
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.venues import Venue
from kucoin_research.sim import DEMO_ACCOUNT
from tests.conftest import wait_until
from tests.environments import leave_out, python_of
from tests.interop import outages
from tests.interop.processes import (
    client_process,
    exchange_process,
    held_exchange,
    message,
    messages,
)
from tests.interop.table import ROWS, WHY_NOT, render

CONTRACT, PAIR = "XBTUSDTM", "BTC-USDT"
# Twenty virtual seconds before a funding settlement, so that its announcements come.
START = "2026-01-05T07:59:40Z"
START_MS = 1_767_599_980_000
SPEED = 5.0
FIRST_SECONDS = 2.0  # virtual; a change of every book comes in them, which ours wait for
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


def pytest_configure(config):
    config.stash.setdefault(ROWS, {})
    config.stash.setdefault(outages.OUTAGES, [])


@pytest.fixture(scope="session")
def python(request):
    found = python_of("interop")
    if found is None:
        reason = "NOT COMPARED with other KuCoin clients: no .venv-interop; run `make interop`"
        request.config.stash[WHY_NOT] = reason
        leave_out(reason)
    return found


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
        return {line["call"]: line for line in messages(client)}


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
    with held_exchange("simulate", speed=SPEED, start=START) as exchange:
        return _stream_beside(python, exchange)


def _stream_beside(python, exchange):
    addresses = exchange.addresses
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
            assert message(client)["call"] == "ready"
        with (
            kr.stream(CONTRACT, FUTURES_CHANNELS, venue=venue, name="interop futures") as futures,
            # Two calls of the others bring every pair.
            kr.stream(pairs, SPOT_CHANNELS, venue=venue, name="interop spot") as spot,
        ):
            wait_until_live(futures, spot)
            exchange.forward(FIRST_SECONDS)
            for stream, symbols in ((futures, [CONTRACT]), (spot, pairs)):
                wait_for_books(stream, symbols)
            seen = watch(exchange, sdk, ccxt)
            _wait_past(venue, futures, spot)
            return Moving(
                *seen,
                {name: futures.frame(name) for name in FUTURES_CHANNELS},
                {name: spot.frame(name) for name in SPOT_CHANNELS},
                [stream.report() for stream in (futures, spot)],
            )


def wait_until_live(*streams):
    """Wait until all subscriptions are answered; each event of a stream renews the patience."""
    wait_until(
        lambda: all(stream.state is kr.State.LIVE for stream in streams),
        progress=lambda: [stream.total("status") for stream in streams],
    )


def wait_for_books(stream, symbols):
    def ready():
        return [symbol for symbol in symbols if _has_book(stream, symbol)]

    wait_until(lambda: ready() == symbols, progress=ready)


def _has_book(stream, symbol):
    try:
        return bool(stream.book(symbol).sequence)
    except kr.BookNotReady:
        return False


def watch(exchange, *clients):
    """Let clients subscribe, and time pass when all have; returns what each saw, by call."""
    for client in clients:
        client.tell("go")
    seen = [messages(client, "subscribed") for client in clients]
    exchange.go()
    return [by_call(lines + messages(client)) for lines, client in zip(seen, clients, strict=True)]


def wait_past(stream, channel, time_ns):
    """Wait until the newest row of a channel is later than a time."""

    def newest_ns():
        return stream.frame(channel, last=1)["timestamp"].to_physical()[0]

    wait_until(lambda: newest_ns() > time_ns, progress=newest_ns)


def _wait_past(venue, futures, spot):
    """Wait until our streams have come past everything that the others can have seen."""
    with Rest(venue) as client:
        now_ns = client.server_time("futures")
    # Each market has one connection, so its frames come in order.
    wait_past(futures, "mark_price", now_ns)
    wait_past(spot, "snapshot", now_ns)


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
    with held_exchange("simulate", speed=SPEED, start=START, trader=ORDERS_PER_MINUTE) as exchange:
        return _watch_account_beside(python, exchange)


def _watch_account_beside(python, exchange):
    addresses = exchange.addresses
    login = [DEMO_ACCOUNT.key, DEMO_ACCOUNT.secret, DEMO_ACCOUNT.passphrase]
    plan = PLAN | {"wanted": PRIVATE_WANTED, "login": login}
    same = {"venue": _venue(addresses), "credentials": kr.Credentials(*login)}
    with client_process(python, "universal_sdk.py", "private", addresses, plan) as sdk:
        assert message(sdk)["call"] == "ready"
        with (
            kr.stream(
                "*", FUTURES_PRIVATE, market="futures", name="our futures", **same
            ) as futures,
            kr.stream("*", SPOT_PRIVATE, market="spot", name="our spot", **same) as spot,
        ):
            wait_until_live(futures, spot)
            [seen] = watch(exchange, sdk)
            with Rest(same["venue"]) as client:
                now_ns = client.server_time("futures")
            for stream in (futures, spot):
                wait_past(stream, "order", now_ns)
            return Private(
                seen,
                {name: futures.frame(name) for name in FUTURES_PRIVATE},
                {name: spot.frame(name) for name in SPOT_PRIVATE},
                [stream.report() for stream in (futures, spot)],
            )
