"""Scripts written after KuCoin WebSocket guides run with only the import line changed."""

import json
import sys
import threading
import time

import pandas as pd
import polars as pl
import pytest

import kucoin_research as kr
from kucoin_research import DataProcessor, KuCoinWebSocket, compat
from tests.conftest import wait_until
from tests.exchanges import simulate
from tests.processes import run

MESSAGE = {
    "type": "message",
    "topic": "/contractMarket/ticker:XBTUSDTM",
    "subject": "ticker",
    "data": {
        "symbol": "XBTUSDTM",
        "sequence": 45,
        "side": "sell",
        "price": "3600.00",
        "size": 16,
        "tradeId": "5c9dcf4170744d6f5a3d32fb",
        "bestBidSize": 795,
        "bestBidPrice": "3200.00",
        "bestAskPrice": "3600.00",
        "bestAskSize": 284,
        "ts": 1553846081210,
    },
}

SCRIPT = """
import os, time
from kucoin_research import KuCoinWebSocket, DataProcessor, get_active_symbols

symbols = get_active_symbols()
assert "XBTUSDTM" in symbols

api_key = os.getenv("KUCOIN_API_KEY", "")
api_secret = os.getenv("KUCOIN_API_SECRET", "")
passphrase = os.getenv("KUCOIN_PASSPHRASE", "")

client = KuCoinWebSocket(api_key, api_secret, passphrase, market_type="futures", verbose=False)
client.connect("XBTUSDTM", ["ticker", "candle", "trade", "depth"])
assert client.connected

pings = 0
while not (pings and client.stream.frame("trade").height):
    if time.time() - client.last_ping > 0.5:
        client._send_ping()
        pings += 1
    time.sleep(0.1)
client.ws.close()
assert not client.connected
print("rows", client.stream.frame("trade").height)
"""


def test_the_guides_example_runs_against_the_demo(tmp_path):
    words = ["-W", "error", "-c", SCRIPT]
    done = run(sys.executable, *words, cwd=tmp_path, KUCOIN_RESEARCH_VENUE="demo")

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert int(done.stdout.split()[1]) > 0


def rows_of(stream):
    """Return a stream's tickers in the columns of the guides, times in ms."""
    frame = stream.frame("ticker").select(
        pl.col("timestamp").dt.epoch("ms"),
        *("price", "size", "best_bid_price", "best_bid_size", "best_ask_price", "best_ask_size"),
    )
    return frame.rows()


def row_of(message):
    data = message["data"]
    names = "price", "size", "bestBidPrice", "bestBidSize", "bestAskPrice", "bestAskSize"
    return (data["ts"], *(float(data[name]) for name in names))


@pytest.mark.parametrize(("market", "symbol"), [("futures", "XBTUSDTM"), ("spot", "BTC-USDT")])
def test_on_message_can_be_replaced_as_guides_do(exchange, market, symbol, tmp_path):
    client = KuCoinWebSocket(market_type=market, venue=exchange.venue)
    processor = DataProcessor(symbol, folder=tmp_path)
    before, seen = client._on_message, []

    def on_message_with_more(ws_app, message):
        before(ws_app, message)
        data = json.loads(message)
        if data["type"] == "message" and data["subject"].startswith("ticker."):
            processor.process_ticker(data)
            seen.append(data)

    client._on_message = on_message_with_more
    assert client.connect(symbol, ["ticker", "trade"]) is True
    client.stream.wait("ticker", rows=120)
    client.ws.close()
    wait_until(lambda: len(seen) == client.stream.frame("ticker").height)

    assert {data["subject"] for data in seen} == {f"ticker.{symbol}"}
    assert all(isinstance(data["data"]["price"], str) for data in seen)
    assert [row_of(data) for data in seen] == rows_of(client.stream)
    saved = pd.read_csv(processor.save_to_csv())
    assert list(saved["price"]) == list(client.stream.frame("ticker")["price"])


def test_the_rows_of_on_message_are_whole_where_messages_are_repeated_or_lost(exchange):
    seen = []
    client = KuCoinWebSocket(venue=exchange.venue)
    client._on_message = lambda _ws, message: seen.append(json.loads(message))
    exchange.inject("duplicate", topic="/contractMarket/ticker:XBTUSDTM", count=30)
    client.connect("XBTUSDTM")
    client.stream.wait("ticker", rows=20)
    exchange.inject("abort")
    wait_until(lambda: client.stream.frame("status")["event"].to_list().count("connected") == 2)
    client.stream.wait("ticker", rows=client.stream.total("ticker") + 20)
    client.close()

    def tickers():
        return [row_of(each) for each in seen if each.get("subject") == "ticker.XBTUSDTM"]

    wait_until(lambda: len(tickers()) >= client.stream.frame("ticker").height)
    assert tickers() == rows_of(client.stream)


class Guided(KuCoinWebSocket):
    """Overrides the methods that guides override, in the guides' way."""

    def __init__(self, **options):
        super().__init__(**options)
        self.calls = []

    def _on_open(self, ws, symbol, channels):
        self.connected = True
        self.last_ping = time.time()
        self.calls.append(("open", ws is self.ws, symbol, list(channels)))
        for channel in channels:
            self._subscribe(symbol, channel)
        self.ws.send(json.dumps({"id": 1, "type": "subscribe", "topic": f"/x/ticker:{symbol}"}))

    def _on_message(self, ws, message):
        self.calls.append(("message", ws is self.ws, json.loads(message)["type"]))
        raise SystemExit("mine") if len(self.calls) % 2 else ValueError("mine")

    def _on_error(self, ws, error):
        self.calls.append(("error", ws is self.ws, str(error)))
        raise KeyError("again")

    def _on_close(self, ws, close_status_code, close_msg):
        self.connected = False
        self.calls.append(("close", ws is self.ws, close_status_code))


def test_a_subclass_may_override_all_that_guides_override(exchange):
    client = Guided(venue=exchange.venue)
    client.connect("XBTUSDTM")
    client.stream.wait("ticker", rows=3)
    exchange.inject("abort")
    wait_until(lambda: [call[0] for call in client.calls].count("open") == 2)
    client.stream.wait("ticker", rows=client.stream.total("ticker") + 3)
    assert client.connected
    client.ws.close()
    wait_until(lambda: client.calls[-1] == ("close", True, None))

    kinds = [call[0] for call in client.calls]
    assert client.calls[0] == ("open", True, "XBTUSDTM", ["ticker"])
    assert client.calls[1] == ("message", True, "welcome")
    assert ("error", True, "mine") in client.calls
    assert kinds.count("close") == 2
    lost = kinds.index("close")
    assert kinds[lost - 1] == "error"
    assert "mine" not in client.calls[lost - 1][2]
    assert all(call[1] for call in client.calls)
    assert not client.connected


def test_verbose_prints_what_goes_on_and_no_token(exchange, capsys):
    client = KuCoinWebSocket(venue=exchange.venue, verbose=True)
    client.connect("XBTUSDTM", ["ticker", "trade"])
    client.stream.wait("ticker", rows=3)
    client._send_ping()
    printed = []

    def is_printed(words):
        printed.append(capsys.readouterr().out)
        return words in "".join(printed)

    wait_until(lambda: is_printed("Pong received"))
    client.close()
    wait_until(lambda: is_printed("WebSocket closed"))

    text = "".join(printed)
    assert f"Connecting to the futures WebSocket of {exchange.futures_url}" in text
    for words in (
        "Connected", "Subscribing to ticker of XBTUSDTM", "Subscribing to trade of XBTUSDTM",
        "Subscription confirmed", "Data received", '"subject": "ticker.XBTUSDTM"', "Ping sent",
    ):  # fmt: skip
        assert words in text
    assert "token" not in text


def test_an_async_callback_is_reported_as_one_that_raises(exchange):
    class Async(KuCoinWebSocket):
        errors = ()

        async def _on_message(self, ws, message):
            """Stand for a user's coroutine."""

        def _on_error(self, ws, error):
            self.errors = (*self.errors, str(error))

    client = Async(venue=exchange.venue)
    client.connect("XBTUSDTM")
    wait_until(lambda: client.errors)
    client.close()

    assert client.errors[0].startswith("_on_message returned a coroutine, of which nothing runs")


def test_nothing_else_is_sent_than_guides_send(exchange):
    client = KuCoinWebSocket(venue=exchange.venue)
    client.connect("XBTUSDTM")
    before = client.last_ping
    client.ws.send(json.dumps({"id": 1, "type": "ping"}))
    wait_until(lambda: client.last_ping > before)

    for message in ({"type": "subscribe", "topic": "/contractMarket/ticker:ETHUSDTM"}, {"type": 1}):
        with pytest.raises(kr.InvalidInput, match="connect"):
            client.ws.send(json.dumps(message))
    with pytest.raises(kr.InvalidInput, match="ETHUSDTM is not streamed"):
        client._subscribe("ETHUSDTM", "ticker")
    client.close()


def test_last_ping_is_a_time_before_all_others(held_time):
    client = KuCoinWebSocket()

    assert client.last_ping == held_time.wall_ns() / 1e9


def test_messages_reach_on_message_as_the_exchange_sent_them(exchange):
    seen = []
    client = KuCoinWebSocket(venue=exchange.venue, on_message=seen.append)
    client.connect("XBTUSDTM", ["ticker"])
    wait_until(lambda: len(seen) >= 5)
    client.close()

    assert {message["topic"] for message in seen} == {"/contractMarket/ticker:XBTUSDTM"}
    assert isinstance(seen[0]["data"]["price"], str)


def test_spot_works_too(exchange):
    client = KuCoinWebSocket(market_type="spot", venue=exchange.venue)
    client.connect("BTC-USDT")
    client.stream.wait("ticker", rows=3)

    assert client.connected
    client.ws.close()
    assert not client.connected


def test_connecting_again_replaces_the_socket(exchange):
    client = KuCoinWebSocket(venue=exchange.venue)
    client.connect("XBTUSDTM")
    client.connect("ETHUSDTM")

    assert len(kr.running()) == 1
    client.close()
    client.close()


def test_last_ping_advances_with_hand_sent_pings(exchange, held_time):
    client = KuCoinWebSocket(venue=exchange.venue)
    client.connect("XBTUSDTM")
    wait_until(lambda: client.stream.last_ping is not None)
    before = client.last_ping
    client._send_ping()
    wait_until(lambda: client.last_ping > before)

    assert abs(held_time.wall_ns() / 1e9 - client.last_ping) < 30
    client.close()


def test_an_unknown_symbol_gives_the_xbt_hint(exchange):
    client = KuCoinWebSocket(venue=exchange.venue)

    with pytest.raises(kr.UnknownSymbol, match="XBTUSDTM"):
        client.connect("BTCUSDTM", ["ticker"])
    assert not client.connected


def test_keys_belong_together_and_are_never_shown():
    with pytest.raises(kr.InvalidInput, match="belong together"):
        KuCoinWebSocket("only-the-key")

    client = KuCoinWebSocket("my-key-id", "my-secret", "my-phrase")
    shown = repr(client) + str(vars(client))
    assert not any(word in shown for word in ("my-key-id", "my-secret", "my-phrase"))


@pytest.mark.parametrize("form", [dict, json.dumps, lambda m: json.dumps(m).encode()])
def test_process_ticker_takes_the_guides_sample_in_any_form(form):
    processor = DataProcessor("XBTUSDTM")
    row = processor.process_ticker(form(MESSAGE))

    assert row["timestamp"] == pd.Timestamp("2019-03-29 07:54:41.210", tz="UTC")
    assert row["price"] == 3600.0
    assert row["bestBidSize"] == 795.0
    assert list(processor.df.columns) == [
        "timestamp", "price", "size", "side",
        "bestBidPrice", "bestBidSize", "bestAskPrice", "bestAskSize",
    ]  # fmt: skip


def test_process_ticker_takes_the_data_alone():
    row = DataProcessor("XBTUSDTM").process_ticker(MESSAGE["data"])

    assert row["side"] == "sell"


def test_every_hundredth_row_saves_those_before_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    processor = DataProcessor("XBTUSDTM")
    for sequence in range(250):
        processor.process_ticker({**MESSAGE, "data": {**MESSAGE["data"], "sequence": sequence}})
    [path] = (tmp_path / "data").iterdir()

    assert processor.data_dir == "data"
    assert path.name.startswith("XBTUSDTM_ticker_")
    assert len(pd.read_csv(path)) == 200
    assert processor.save_to_csv().resolve() == path
    assert len(pd.read_csv(path)) == 250
    assert capsys.readouterr().out.splitlines() == [
        f"Saved {rows} rows in data/{path.name} ({total} in all)"
        for rows, total in ((100, 100), (100, 200), (50, 250))
    ]


def test_two_threads_that_save_at_once_save_each_row_once(tmp_path, monkeypatch):
    processor = DataProcessor("XBTUSDTM", folder=tmp_path)

    def give(first, behind):
        for sequence in range(first, behind):
            data = {**MESSAGE["data"], "sequence": sequence, "ts": 1_708_950_436_000 + sequence}
            processor.process_ticker({**MESSAGE, "data": data})

    give(0, 99)
    feed = threading.Thread(target=give, args=(99, 200))
    write = compat.append_lines

    def slow(*args):
        if threading.current_thread() is not feed:
            feed.start()
            feed.join(0.2)  # the feed must wait; if it did not, it would save within this time
        return write(*args)

    monkeypatch.setattr(compat, "append_lines", slow)
    path = processor.save_to_csv()
    feed.join()
    monkeypatch.undo()
    processor.save_to_csv()

    assert pd.read_csv(path)["timestamp"].nunique() == len(pd.read_csv(path)) == 200


def test_rows_that_cannot_be_saved_are_kept(tmp_path):
    processor = DataProcessor("XBTUSDTM", folder=tmp_path / "data")
    (tmp_path / "data").write_text("a file is in the way")
    for _ in range(99):
        processor.process_ticker(MESSAGE)
    with pytest.raises(OSError, match="data"):
        processor.process_ticker(MESSAGE)

    (tmp_path / "data").unlink()
    assert len(pd.read_csv(processor.save_to_csv())) == 100


def test_save_to_csv_writes_every_row_once(tmp_path):
    processor = DataProcessor("XBTUSDTM", folder=tmp_path)
    for sequence in range(250):
        processor.process_ticker({**MESSAGE, "data": {**MESSAGE["data"], "sequence": sequence}})
        if sequence % 100 == 99:
            processor.save_to_csv()
    path = processor.save_to_csv()
    again = processor.save_to_csv()

    assert again == path
    assert path.name.startswith("XBTUSDTM_ticker_")
    assert len(pd.read_csv(path)) == 250


def test_what_is_no_ticker_is_refused_with_the_reason():
    processor = DataProcessor("XBTUSDTM")

    for message in ("not json", {"type": "ack", "id": 1, "topic": None}, 7, {"data": "x"}):
        with pytest.raises(kr.MessageBroken):
            processor.process_ticker(message)
    assert len(processor.df) == 0


def test_a_symbol_cannot_lead_out_of_the_folder():
    with pytest.raises(kr.InvalidInput, match="file name"):
        DataProcessor("../secrets")


def test_a_message_of_another_symbol_is_refused():
    with pytest.raises(kr.MessageBroken, match="it is of XBTUSDTM"):
        DataProcessor("ETHUSDTM").process_ticker(MESSAGE)


def test_save_to_csv_never_writes_behind_a_torn_line(tmp_path):
    processor = DataProcessor("XBTUSDTM", folder=tmp_path / "made" / "here")
    processor.process_ticker(MESSAGE)
    path = processor.save_to_csv()
    torn = path.read_bytes()[:-9]
    path.write_bytes(torn)
    processor.process_ticker(MESSAGE)
    beside = processor.save_to_csv()

    assert beside != path
    assert path.read_bytes() == torn
    assert len(pd.read_csv(beside)) == 1


def test_a_symbol_is_text():
    with pytest.raises(kr.InvalidInput, match="file name"):
        DataProcessor(7)


def test_on_message_that_raises_does_not_end_the_feed(exchange):
    def broken(_):
        raise SystemExit

    client = KuCoinWebSocket(venue=exchange.venue, on_message=broken)
    client.connect("XBTUSDTM", "bbo")
    client.stream.wait(rows=50)

    assert client.connected
    client.close()


def test_a_failed_connect_leaves_nothing_running(monkeypatch):
    monkeypatch.setattr(compat, "_CONNECT_TIMEOUT", 0.5)  # instead of half a minute
    x = simulate()
    client = KuCoinWebSocket(venue=x.venue)
    client.connect("XBTUSDTM")  # loads the symbols, so that the next call fails later
    client.close()
    x.close()

    with pytest.raises(kr.Unreachable):
        client.connect("XBTUSDTM")
    assert not client.connected
    assert kr.running() == []


def test_a_connect_that_is_never_answered_is_an_error(monkeypatch):
    monkeypatch.setattr(compat, "_CONNECT_TIMEOUT", 0.2)  # instead of half a minute

    with simulate() as x:
        x.inject("slow_reply", path="/api/v1/bullet", delay=5.0)  # no token, no connection
        with pytest.raises(kr.ConnectionLost, match="was not live within"):
            KuCoinWebSocket(venue=x.venue).connect("XBTUSDTM")
    assert kr.running() == []


class Bare(KuCoinWebSocket):
    """A user's class without ``super().__init__()``."""

    def __init__(self):
        pass


class Overridden(KuCoinWebSocket):
    """A user's class that overrides attributes of ours."""

    @property
    def market_type(self):
        raise KeyError("market_type")

    def __init__(self):
        pass


def test_the_repr_never_raises():
    # Verbose tracebacks also show an object whose __init__ has raised.
    made = [KuCoinWebSocket.__new__(KuCoinWebSocket), Bare(), Overridden(), KuCoinWebSocket()]
    client = KuCoinWebSocket(venue="demo")
    made.append(client)
    client.connect("XBTUSDTM", ["ticker"])
    live = repr(client)
    client.close()
    odd = KuCoinWebSocket()
    odd.stream = object()

    assert [repr(each) for each in [*made, odd]] == [
        "<KuCoinWebSocket of no market: not connected>",
        "<Bare of no market: not connected>",
        "<Overridden of no market: not connected>",
        "<KuCoinWebSocket futures: not connected>",
        "<KuCoinWebSocket futures: stopped>",
        "<KuCoinWebSocket futures: not known>",
    ]
    assert live == "<KuCoinWebSocket futures: live>"
