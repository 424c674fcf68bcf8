"""A recording as an exchange: what a client gets of it is what was recorded."""

import json
import signal
import sys

import pytest

import kucoin_research as kr
from kucoin_research.errors import ExchangeError, InvalidInput, UnknownSymbol
from kucoin_research.exchange.rest.client import Rest
from kucoin_research.sim import DEMO_ACCOUNT
from tests.conftest import wait_until
from tests.exchanges import simulate
from tests.healing.rig import FAST
from tests.processes import Process
from tests.unit.sim.client import ask, get
from tests.unit.sim.reply_fields import FIELDS, PUBLIC, at

START = "2026-01-05T07:59:40Z"  # twenty virtual seconds before a funding settlement
SYMBOLS = {"futures": "XBTUSDTM", "spot": "BTC-USDT"}
CHANNELS = {
    "futures": [
        "ticker", "bbo", "trade", "candle:1min", "level2", "depth5", "depth50", "mark_price",
        "funding_rate", "snapshot",
    ],
    "spot": [
        "ticker", "bbo", "trade", "candle:1min", "level2", "depth5", "depth50", "mark_price",
        "snapshot",
    ],
}  # fmt: skip
BOOKS = {"futures": "/contractMarket/level2:XBTUSDTM", "spot": "/market/level2:BTC-USDT"}
MARKETS = list(SYMBOLS)
PATIENCE = 30.0  # however busy the machine is, the book is fetched in time


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """One recording of each market, all channels."""
    root = tmp_path_factory.mktemp("recorded")
    found = {}
    with simulate(seed=4, speed=20.0, start=START) as x:
        for market, symbol in SYMBOLS.items():
            with kr.record(
                symbol, CHANNELS[market], venue=x.venue, root=root / market, progress=False
            ) as recording:
                for channel in CHANNELS[market]:
                    recording.stream.wait(channel, rows=3, timeout=30)
                recording.stream.wait("ticker", rows=150, timeout=30)
            found[market] = recording.session()
    return found


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """One recording of each market, not describing it, whose book lacks three numbers."""
    return {market: _record_broken(market, tmp_path_factory.mktemp(market)) for market in MARKETS}


def _record_broken(market, root):
    with simulate(seed=5, speed=10.0) as x:
        x.pause()
        s = kr.stream(SYMBOLS[market], ["level2", "trade"], venue=x.venue, healing=FAST)
        recorder = s.record(root)
        x.resume()  # no row came before the recorder, the first snapshot among them
        s.wait("trade", rows=10, timeout=30)
        # Else the gap may lie before the first change, where nobody who comes later can see it.
        wait_until(lambda: _sequence(s, SYMBOLS[market]), timeout=60)
        s.wait("level2", rows=s.total("level2") + 20, timeout=60)
        x.inject("drop", topic=BOOKS[market], count=3, after=20)
        wait_until(lambda: s.report().gaps and not s._handler.has_open_requests, timeout=60)
        s.wait("level2", rows=s.total("level2") + 50, timeout=60)
        s.stop()
    recorder.close(20)
    return kr.load(recorder.path)


def without_arrival(session, channel):
    return session.frame(channel).drop("local_timestamp")


@pytest.mark.parametrize("speed", [20, None])
@pytest.mark.parametrize("market", MARKETS)
def test_recording_what_is_served_gives_the_recording(market, speed, sessions, tmp_path):
    session, symbol, channels = sessions[market], SYMBOLS[market], CHANNELS[market]
    rows = session.rows
    with (
        kr.serve(session, speed, patience=PATIENCE) as served,
        kr.record(symbol, channels, venue=served.venue, root=tmp_path, progress=False) as again,
    ):
        stream = again.stream
        names = [name.partition(":")[0] for name in channels]
        wait_until(lambda: all(stream.total(name) >= rows[name] for name in names), timeout=60)
        assert served.is_over
        book = stream.book(symbol)
        fetched = kr.order_book(symbol, 20, venue=served.venue).drop("local_timestamp")

    repeated = again.session()
    for channel in channels:
        ours, theirs = without_arrival(session, channel), without_arrival(repeated, channel)
        assert ours.height
        assert theirs.equals(ours), channel
    bids, asks = _book_after(session.frame("level2"))
    assert book.sequence == session.frame("level2")["sequence"].max()
    # Of a spot pair the hundred best levels were asked for: what lies below them is not known.
    assert book.bids == bids[: len(book.bids)]
    assert book.asks == asks[: len(book.asks)]
    assert book.bids
    assert book.asks
    assert fetched["sequence"].unique().to_list() == [book.sequence]
    levels = list(zip(fetched["price"], fetched["size"], strict=True))
    assert levels == book.bids[:20] + book.asks[:20]
    report = again.stream.report()
    assert not report.gaps
    assert report.channel("level2").verdict is kr.Verdict.COMPLETE


def _book_after(rows):
    """Apply recorded rows to two plain dicts: bids and asks, best first."""
    sides = {"buy": {}, "sell": {}}
    for row in rows.iter_rows(named=True):
        sides[row["side"]][row["price"]] = row["size"]
    left = [{price: size for price, size in side.items() if size} for side in sides.values()]
    return sorted(left[0].items(), reverse=True), sorted(left[1].items())


@pytest.mark.parametrize("speed", [10, None])
@pytest.mark.parametrize("market", MARKETS)
def test_a_gap_stays_a_gap(market, speed, broken):
    session, symbol = broken[market], SYMBOLS[market]
    recorded = session.report().channel("level2")
    last = session.frame("level2")["sequence"][-1]
    with kr.serve(session, speed, patience=PATIENCE) as served:
        served.pause()  # until all is subscribed to, however busy the machine is
        with kr.stream(symbol, ["level2", "trade"], venue=served.venue, healing=FAST) as stream:
            stream.wait_until_live()
            served.resume()
            wait_until(lambda: served.is_over and _sequence(stream, symbol) == last, timeout=60)
            told = stream.report().channel("level2")
            trades = stream.frame("trade").drop("local_timestamp")

    def numbers(entry):
        return [(gap.first_sequence, gap.last_sequence) for gap in entry.gaps]

    assert len(recorded.gaps) == 1
    assert numbers(told) == numbers(recorded)
    assert told.verdict is kr.Verdict.INCOMPLETE
    assert told.last_sequence == recorded.last_sequence
    assert trades.equals(without_arrival(session, "trade"))


@pytest.mark.parametrize("market", MARKETS)
def test_a_recording_of_the_pro_feed_is_served_on_the_classic_one(market, tmp_path):
    symbol, channels = SYMBOLS[market], ["trade", "level2"]
    with (
        simulate(seed=5, speed=10.0) as x,
        kr.record(
            symbol, channels, venue=x.venue, root=tmp_path, feed="pro", progress=False
        ) as recording,
    ):
        recording.stream.wait("trade", rows=15, timeout=30)
    session = recording.session()
    last = session.frame("level2")["sequence"].max()
    with (
        kr.serve(session, None, patience=PATIENCE) as served,
        kr.stream(symbol, channels, venue=served.venue, healing=FAST) as stream,
    ):
        wait_until(lambda: served.is_over and _sequence(stream, symbol) == last, timeout=40)
        book, report = stream.book(symbol), stream.report()
        trades = stream.frame("trade").drop("local_timestamp")

    bids, asks = _book_after(session.frame("level2"))
    assert (book.bids[:10], book.asks[:10]) == (bids[:10], asks[:10])
    assert report.channel("level2").verdict is kr.Verdict.COMPLETE
    assert trades.equals(without_arrival(session, "trade"))


def _sequence(stream, symbol):
    try:
        return stream.book(symbol).sequence
    except kr.BookNotReady:
        return None


# REST


@pytest.fixture(scope="module")
def finished(sessions):
    """Both recordings as one exchange, played to their end."""
    folders = [session.path for session in sessions.values()]
    with kr.serve(folders, None) as served:
        served.resume()
        wait_until(lambda: served.is_over, timeout=60)
        yield served


@pytest.mark.parametrize("market", MARKETS)
def test_symbols_are_described_as_they_were_recorded(market, sessions, finished):
    symbol = SYMBOLS[market]

    assert kr.get_active_symbols(market, venue=finished.venue) == [symbol]
    assert kr.instrument(symbol, venue=finished.venue) == sessions[market].instruments[symbol]


def test_recorded_limits_of_orders_and_margins_are_served(sessions, finished):
    names = ("max_price", "market_max_size", "price_limit_rate", "initial_margin",
             "maintenance_margin", "mmr_limit", "mmr_size", "mmr_leverage_constant")  # fmt: skip
    recorded = sessions["futures"].instruments["XBTUSDTM"]
    contract = kr.instrument("XBTUSDTM", venue=finished.venue)
    pair = kr.instrument("BTC-USDT", venue=finished.venue)

    facts = (1e6, 1e6, 0.05, 0.008, 0.004, 0.3, 300.0, 125.0)
    assert tuple(getattr(recorded, name) for name in names) == facts
    assert tuple(getattr(contract, name) for name in names) == facts
    assert (pair.min_funds, pair.price_limit_rate) == (0.1, 0.1)


@pytest.mark.parametrize("market", MARKETS)
def test_trades_over_rest_are_the_recorded_ones(market, sessions, finished):
    columns = ["timestamp", "symbol", "sequence", "side", "price", "size"]
    recorded = sessions[market].frame("trade").select(columns)
    fetched = kr.recent_trades(SYMBOLS[market], venue=finished.venue).select(columns)

    assert fetched.height == min(100, recorded.height)
    assert fetched.equals(recorded.tail(100))


@pytest.mark.parametrize("market", MARKETS)
def test_candles_over_rest_are_the_last_that_were_streamed(market, sessions, finished):
    symbol, columns = SYMBOLS[market], ["timestamp", "open", "high", "low", "close", "volume"]
    recorded = sessions[market].frame("candle").group_by("timestamp", maintain_order=True).last()
    fetched = kr.candles(
        symbol,
        "1min",
        "2026-01-05T07:00Z",
        "2026-01-05T12:00Z",
        venue=finished.venue,
        progress=False,
    )

    assert fetched.height == recorded.height
    assert recorded.height
    assert fetched.select(columns).equals(recorded.select(columns).sort("timestamp"))


@pytest.mark.parametrize(("market", "call", "place", "fields"), PUBLIC)
def test_replies_have_kucoins_fields(finished, market, call, place, fields):
    data = get(finished, f"/api/{call}", market).json()["data"]

    assert sorted(at(data, place)) == sorted(FIELDS[fields])


def test_mark_prices_and_the_time_are_those_of_the_recording(sessions, finished):
    mark = kr.mark_price("XBTUSDTM", venue=finished.venue).drop("local_timestamp")
    newest = sessions["futures"].frame("trade")["timestamp"].to_physical()[-1]

    assert mark.equals(without_arrival(sessions["futures"], "mark_price").tail(1))
    with Rest(finished.venue) as rest:
        assert rest.server_time("futures") >= newest // 1_000_000 * 1_000_000


def test_what_was_not_recorded_is_refused(sessions, finished):
    with Rest(finished.venue) as rest:
        with pytest.raises(ExchangeError):
            rest.order_book("ETHUSDTM", 20)
        with pytest.raises(ExchangeError):
            rest.candles_page("ETHUSDTM", "1min", 0, 10**18)
    with pytest.raises(UnknownSymbol):
        kr.stream("ETHUSDTM", venue=finished.venue)


def test_private_channels_are_refused_with_a_reason(finished):
    credentials = kr.Credentials(DEMO_ACCOUNT.key, DEMO_ACCOUNT.secret, DEMO_ACCOUNT.passphrase)
    with (
        Rest(finished.venue, credentials=credentials) as rest,
        pytest.raises(ExchangeError, match="no private channels"),
    ):
        rest.token("futures", private=True)


def test_a_call_that_a_recording_does_not_answer_is_refused_with_a_sentence(finished):
    reply = ask("GET", f"{finished.spot_url}/api/v3/margin/symbols")

    assert (reply.status_code, reply.json()["code"]) == (404, "404")
    assert "KuCoin's that this exchange does not serve" in reply.json()["msg"]


# When it begins, and what is chosen


def test_time_stands_still_until_somebody_subscribes(sessions):
    with kr.serve(sessions["futures"], None, grace=0.0) as served:
        began = served.now_ns
        kr.recent_trades("XBTUSDTM", venue=served.venue)
        assert (served.now_ns, served.rows_played) == (began, 0)
        with kr.stream("XBTUSDTM", venue=served.venue, healing=FAST) as stream:
            wait_until(lambda: served.is_over)
            wait_until(lambda: stream.total("ticker") == sessions["futures"].rows["ticker"])
        assert served.rows_played == sum(sessions["futures"].rows.values())


def test_a_held_exchange_waits_for_its_word(sessions):
    with (
        kr.serve(sessions["spot"], None, grace=0.0, is_held=True) as served,
        kr.stream("BTC-USDT", "trade", venue=served.venue, healing=FAST) as stream,
    ):
        assert stream.wait_until_live(20)
        assert served.rows_played == 0
        served.resume()
        wait_until(lambda: stream.total("trade") == sessions["spot"].rows["trade"])


def test_only_the_chosen_channels_are_served(sessions):
    with (
        kr.serve(sessions["spot"], None, channels="trade") as served,
        kr.stream("BTC-USDT", ["trade", "bbo"], venue=served.venue, healing=FAST) as stream,
    ):
        wait_until(lambda: stream.total("trade") == sessions["spot"].rows["trade"], timeout=60)
        assert served.is_over
        assert stream.total("bbo") == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"speed": 0}, "speed"),
        ({"speed": "fast"}, "speed"),
        ({"grace": -1}, "grace"),
        ({"grace": "long"}, "grace"),
        ({"symbols": "ETHUSDTM"}, "ETHUSDTM"),
        ({"channels": "order"}, "order"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_arguments_are_told(options, sentence, sessions):
    with pytest.raises(InvalidInput, match=sentence):
        kr.serve(sessions["futures"], **options)


def test_faults_that_need_another_book_are_refused(sessions):
    with (
        kr.serve(sessions["futures"]) as served,
        pytest.raises(InvalidInput, match="a recording's stays as it was"),
    ):
        served.inject("rebase")


# The command


def test_the_command_prints_its_addresses_and_serves(sessions, real_time):
    words = ["serve", sessions["spot"].path, "--speed", "max", "--channels", "trade"]
    with Process(sys.executable, "-m", "kucoin_research", *words) as process:
        addresses = json.loads(process.line())
        venue = kr.Venue(addresses["futures"], addresses["spot"])
        with kr.stream("BTC-USDT", "trade", venue=venue, healing=FAST) as stream:
            wait_until(lambda: stream.total("trade") == sessions["spot"].rows["trade"], 20)
        process.send_signal(signal.SIGTERM)

        assert (process.wait(), process.stderr) == (0, "")
