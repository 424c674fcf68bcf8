"""KuCoin's own SDK and ccxt.pro on a served recording: they see the recorded rows."""

import pytest

import kucoin_research as kr
from tests.conftest import wait_until
from tests.exchanges import simulate
from tests.interop import test_ccxt_stream as ccxt
from tests.interop import test_sdk_stream as sdk
from tests.interop.conftest import (
    CCXT_WANTED,
    CONTRACT,
    FUTURES_CHANNELS,
    PAIR,
    PLAN,
    SDK_WANTED,
    SPOT_CHANNELS,
    START,
    wait_until_live,
    watch,
)
from tests.interop.processes import client_process, held_exchange, message

SPEED = 8.0
# Of the whole zone of a pair nothing was recorded.
SILENT = {"spot.market_snapshot"}
FEW = 10


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """One folder per market, twenty seconds before a funding settlement and some after it."""
    root = tmp_path_factory.mktemp("recordings")
    with simulate(seed=7, speed=20.0, start=START) as x:
        x.pause()  # until both are subscribed: the settlement is a second away
        kept = {"venue": x.venue, "progress": False}
        with (
            kr.record(PAIR, SPOT_CHANNELS, root=root / "spot", **kept) as spot,
            kr.record(CONTRACT, FUTURES_CHANNELS, root=root / "futures", **kept) as futures,
        ):
            wait_until_live(futures.stream, spot.stream)
            x.resume()
            wait_for_rows(spot.stream, "candle", 20)
            wait_for_rows(futures.stream, "mark_price", 90)
    return futures.session(), spot.session()


def wait_for_rows(stream, channel, rows):
    wait_until(lambda: stream.total(channel) >= rows, progress=lambda: stream.total(channel))


class Seen:
    """What both clients saw, beside the recorded frames."""

    def __init__(self, sdk, ccxt, futures, spot):
        self.sdk = sdk
        self.ccxt = ccxt
        self.futures = {name: futures.frame(name) for name in FUTURES_CHANNELS}
        self.spot = {name: spot.frame(name) for name in SPOT_CHANNELS}

    def frames(self, call):
        return self.spot if call.startswith("spot.") else self.futures


def _few(wanted):
    return {name: min(count, FEW) for name, count in wanted.items() if name not in SILENT}


@pytest.fixture(scope="module")
def seen(python, recordings):
    paths = [str(session.path) for session in recordings]
    plans = [PLAN | {"wanted": _few(wanted)} for wanted in (SDK_WANTED, CCXT_WANTED)]
    with (
        held_exchange("serve", paths=paths, speed=SPEED) as exchange,
        client_process(
            python, "universal_sdk.py", "stream", exchange.addresses, plans[0]
        ) as theirs,
        client_process(python, "unified_ccxt.py", "stream", exchange.addresses, plans[1]) as others,
    ):
        for client in (theirs, others):
            assert message(client)["call"] == "ready"
        told = watch(exchange, theirs, others)
    return Seen(*told, *recordings)


@pytest.mark.parametrize("call", sorted({*sdk.CALLS} - SILENT))
@pytest.mark.parametrize("client", ["sdk, served"])
def test_the_sdk_sees_the_recorded_rows(client, call, seen, row):
    lines = seen.sdk[call]
    if call == "spot.symbol_snapshot":  # a recording does not keep its number
        assert {line["data"].pop("sequence") for line in lines} == {None}
        lines = [line | {"data": line["data"] | {"sequence": "0"}} for line in lines]
    row(sdk.CALLS[call](lines, seen.frames(call)))


@pytest.mark.parametrize("call", sdk.FETCHED)
@pytest.mark.parametrize("client", ["sdk, served"])
def test_the_sdk_fetches_the_recorded_rows(client, call, seen, row):
    row(sdk.FETCHED[call](seen.sdk[call], seen.futures))


@pytest.mark.parametrize("call", ccxt.CALLS)
@pytest.mark.parametrize("client", ["ccxt, served"])
def test_ccxt_sees_the_recorded_rows(client, call, seen, row):
    row(ccxt.CALLS[call](seen.ccxt[call], seen.frames(call)))


@pytest.mark.parametrize("call", ccxt.BOOKS)
@pytest.mark.parametrize("client", ["ccxt, served"])
def test_ccxt_has_the_recorded_books(client, call, seen, row):
    row(ccxt.agree_from_the_snapshot_on(seen.ccxt, call, seen.frames(call), FEW // 2))


def test_neither_complains(seen):
    assert seen.sdk["events"][0]["data"] == []
    assert "late" not in seen.sdk
    assert "late" not in seen.ccxt
