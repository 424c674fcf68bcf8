"""The classes that KuCoin WebSocket guides use, on the core of this package.

With ``KuCoinWebSocket`` and ``DataProcessor``, scripts that were written after such guides work as
before; only their import line changes. There is no second client behind the two: the socket, the
pings, the token and the reconnects are those of ``kucoin_research.stream``.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kucoin_research.api import streams
from kucoin_research.api.checks import find_venue
from kucoin_research.errors import ConnectionLost, InvalidInput, MessageBroken, shown
from kucoin_research.exchange.credentials import Credentials, environment
from kucoin_research.exchange.venues import Venue
from kucoin_research.exchange.websocket.decode_classic import Broken, Decoder
from kucoin_research.foundation import clocks
from kucoin_research.foundation.arguments import folder_to_write, plain_function, texts
from kucoin_research.foundation.callbacks import check_has_run, name_of_function
from kucoin_research.foundation.hidden import Hidden
from kucoin_research.foundation.interrupts import check, hold
from kucoin_research.model.channels import Market, market_of
from kucoin_research.model.records import Record, Status, Ticker
from kucoin_research.sessions.frame_csv import append_lines, csv_name
from kucoin_research.streaming.collect import wait_until_live
from kucoin_research.streaming.stream import State, Stream

if TYPE_CHECKING:
    import pandas as pd  # importing it takes as long as importing everything else

__all__ = ["DataProcessor", "KuCoinWebSocket"]

log = logging.getLogger(__name__)

_CONNECT_TIMEOUT = 30.0
_ROWS_PER_SAVE = 100

# Spot's names of the ticker fields that guides show.
_SPOT_NAMES = {
    "sequence": "sequence",
    "price": "price",
    "size": "size",
    "bestBidPrice": "bestBid",
    "bestBidSize": "bestBidSize",
    "bestAskPrice": "bestAsk",
    "bestAskSize": "bestAskSize",
    "ts": "time",
}

# The columns of the guides' CSV files, by our columns.
_COLUMNS = {
    "timestamp": "timestamp",
    "price": "price",
    "size": "size",
    "side": "side",
    "best_bid_price": "bestBidPrice",
    "best_bid_size": "bestBidSize",
    "best_ask_price": "bestAskPrice",
    "best_ask_size": "bestAskSize",
}


class _Socket:
    """Takes the place of the ``websocket.WebSocketApp`` that guides keep in ``ws``."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def close(self) -> None:
        """End the stream."""
        self._stream.stop()

    @property
    def connected(self) -> bool:
        """Whether the socket is open and subscribed."""
        return self._stream.state is State.LIVE

    def send(self, message: str | bytes) -> None:
        """Send a ping; a subscription to a streamed symbol is accepted and does nothing.

        Raises
        ------
        InvalidInput
            If it is any other message: the stream subscribes and logs in by itself.
        """
        content = _json(message)
        if content.get("type") == "ping":
            self._stream.ping()
        elif content.get("type") != "subscribe" or not self._is_streamed(content.get("topic")):
            raise InvalidInput(
                f"the socket sends pings only, not {shown(message)}; "
                "name symbols and channels in connect(symbol, channels)"
            )

    def _is_streamed(self, topic: object) -> bool:
        # Only the symbol is compared, since the guides' topic for candles is not one of KuCoin's.
        symbols = {each.symbol for each in self._stream.subscriptions}
        return isinstance(topic, str) and set(topic.rpartition(":")[2].split(",")) <= symbols


class KuCoinWebSocket:
    """The WebSocket client of KuCoin guides, for scripts that were written after them.

    Parameters
    ----------
    api_key, api_secret, passphrase
        The API key; if left out, from the environment or ``.env``. It is sent only for private
        channels.
    market_type
        ``"futures"`` or ``"spot"``.
    verbose
        Print each step: connecting, subscriptions, confirmations, data, pings and pongs.
    on_message
        Called with each data message as the exchange sends it, as a ``dict``.
    venue
        See ``kucoin_research.find_venue``.

    Attributes
    ----------
    ws
        The socket, whose ``close()`` ends the stream; ``None`` before ``connect``.
    stream
        The stream behind it, for ``frame()`` and everything else; ``None`` before ``connect``.
    reconnect_required
        Whether the connection is lost; the stream reconnects by itself.

    Notes
    -----
    ``_on_open``, ``_on_message``, ``_on_error`` and ``_on_close`` may be overridden in a subclass,
    or replaced on the object at any time. They are called one at a time, on their own thread. Their
    errors are passed to ``_on_error``, and the stream goes on.

    ``_on_message(ws, message)`` is called with text. On both markets, tickers have the shape that
    guides show: subject ``ticker.XBTUSDTM``, ``ts`` in ms, prices as text. They are a
    **translation**, made from the stream's rows: each row comes exactly once. On spot ``side`` is
    null. All other messages are those of the exchange, and so are all messages of ``on_message=``.
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_secret: str | None = None,
        passphrase: str | None = None,
        market_type: str = "futures",
        verbose: bool = False,
        *,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        venue: Venue | str | None = None,
    ) -> None:
        parts = (api_key, api_secret, passphrase)
        given = [Hidden(each if isinstance(each, str) else "") for each in parts if each]
        del parts, api_key, api_secret, passphrase  # a traceback shows the variables of this frame
        if on_message is not None:
            plain_function(on_message, "on_message=", "message")
        self.market_type = str(market_of("", market_type))
        self.verbose = verbose
        self.on_message = on_message
        self.credentials = _credentials(given)
        self.stream: Stream | None = None
        self.ws: _Socket | None = None
        self.reconnect_required = False
        self._venue = venue
        self._asked: tuple[str, Sequence[str]] = ("", ())

    @hold(passes_on=True)
    def connect(self, symbol: str, channels: str | Iterable[str] = ("ticker",)) -> bool:
        """Connect, subscribe and return; messages then arrive in the background.

        Parameters
        ----------
        symbol
            As KuCoin spells it; futures call Bitcoin ``XBT``.
        channels
            ``ticker candle trade depth`` and all other channels of ``kucoin_research.stream``.

        Returns
        -------
        bool
            Always ``True``; a failure raises.

        Raises
        ------
        InvalidInput, UnknownSymbol, UnknownChannel, Unreachable
            If the connection cannot be made; the message has the remedy.
        """
        wanted = texts(channels, "channels")  # checked before an earlier connection is closed
        if not isinstance(symbol, str):
            raise InvalidInput(f"symbol must be a string, not {shown(symbol)}")
        self.close()
        self._asked = (symbol, wanted)
        venue = find_venue(self._venue)
        self._print(f"Connecting to the {self.market_type} WebSocket of {_host(venue, self)}")
        stream = streams.open_stream(  # stream() has no on_traffic=
            symbol,
            wanted,
            market=self.market_type,
            venue=venue,
            capacity=1_000_000,
            name=None,
            credentials=self.credentials,
            on_traffic=self._take,
            prepare=self._adopt,
            is_alone=True,
        )
        try:
            wait_until_live(stream, _CONNECT_TIMEOUT)
            if stream.error is not None:
                raise stream.error
            check()
        except BaseException:
            stream.stop()
            raise
        self._send_ping()
        return True

    def _adopt(self, stream: Stream) -> None:
        self.stream, self.ws = stream, _Socket(stream)

    # -- methods that guides override -------------------------------------------------------------

    def _on_open(self, ws: Any, symbol: str, channels: Sequence[str]) -> None:
        """Print that a connection was opened; the stream subscribes by itself."""
        self._print("Connected")
        for channel in channels:
            self._subscribe(symbol, channel)

    def _on_message(self, ws: Any, message: str) -> None:
        """Print a message if ``verbose`` is set."""
        if self.verbose:
            content = json.loads(message)
            self._print(_in_words(content if isinstance(content, dict) else {}, message))

    def _on_error(self, ws: Any, error: BaseException) -> None:
        """Print an error of the connection, or one that these methods raised."""
        print(f"WebSocket error: {error}")

    def _on_close(self, ws: Any, close_status_code: int | None, close_msg: str | None) -> None:
        """Print that a connection was lost, or, if ``verbose`` is set, that it was closed.

        The stream reconnects by itself.
        """
        if self.verbose or self.reconnect_required:
            print(f"WebSocket closed: {close_status_code} - {close_msg}")

    def _subscribe(self, symbol: str, channel: str) -> None:
        """Print a subscription; ``connect`` has made it already.

        Raises
        ------
        InvalidInput
            If the symbol or channel was not named in ``connect``.
        """
        its_symbol, its_channels = self._asked
        if symbol != its_symbol or channel not in its_channels:
            raise InvalidInput(
                f"{channel} of {symbol} is not streamed; name it in connect(symbol, channels)"
            )
        self._print(f"Subscribing to {channel} of {symbol}")

    # -- from the stream to these methods ---------------------------------------------------------

    def _take(self, item: bytes | Record) -> None:
        """Pass on a payload or record of the stream; called on one thread, one item at a time."""
        if isinstance(item, bytes):
            self._take_payload(item)
        elif isinstance(item, Ticker):
            if self._is_heard():
                self._call(self._on_message, json.dumps(_guide_message(item, self.market_type)))
        elif isinstance(item, Status):
            self._take_status(item)

    def _take_payload(self, payload: bytes) -> None:
        if self.on_message is None and not self._is_heard() and b'"welcome"' not in payload:
            return
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError):
            return  # the stream counts and reports it
        if not isinstance(message, dict):
            return
        if message.get("type") == "welcome":
            self.reconnect_required = False
            self._call(self._on_open, *self._asked)
        if not _is_ticker(message):  # tickers are passed on as rows, see `_take`
            self._call(self._on_message, payload.decode(errors="replace"))
        if self.on_message is not None and "topic" in message:
            try:
                check_has_run(self.on_message(message), "on_message")
            except (Exception, SystemExit):  # SystemExit would end this thread, not the process
                log.exception("on_message raised; the feed goes on")

    def _take_status(self, status: Status) -> None:
        if status.event == "disconnected":
            self.reconnect_required = True
            self._call(self._on_error, ConnectionLost(status.detail or "the connection is lost"))
        if status.event in ("disconnected", "stopped"):
            self._call(self._on_close, None, status.detail)

    def _is_heard(self) -> bool:
        """Return whether anybody sees messages; if not, none need be made."""
        its_own = getattr(self._on_message, "__func__", None) is KuCoinWebSocket._on_message
        return self.verbose or not its_own

    def _call(self, function: Callable[..., object], *values: object) -> None:
        try:
            check_has_run(function(self.ws, *values), name_of_function(function))
        except (Exception, SystemExit) as error:
            if function == self._on_error:
                log.exception("_on_error raised; the feed goes on")
            else:
                self._call(self._on_error, error)

    def _print(self, text: str) -> None:
        if self.verbose:
            print(text)

    # -- state ------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether the socket is open and subscribed; an assignment, as guides do, has no effect."""
        return self.ws is not None and self.ws.connected

    @connected.setter
    def connected(self, value: object) -> None:
        pass

    @property
    def last_ping(self) -> float:
        """Unix seconds of the newest ping, or now if none was sent yet.

        An assignment, as guides do, has no effect.
        """
        sent = self.stream.last_ping if self.stream is not None else None
        return clocks.current().wall_ns() / 1e9 if sent is None else sent

    @last_ping.setter
    def last_ping(self, value: object) -> None:
        pass

    def _send_ping(self) -> None:
        # The stream sends pings by itself. Guides also send some by hand, which does no harm.
        if self.stream is not None:
            self.stream.ping()
            self._print("Ping sent")

    def close(self) -> None:
        """End the stream; may be called twice."""
        if self.stream is not None:
            self.stream.stop()

    def __repr__(self) -> str:
        # Must not fail if __init__ has raised or was not called, since tracebacks show this, too.
        own = vars(self)
        stream, market = own.get("stream"), own.get("market_type", "of no market")
        state = "not connected" if stream is None else getattr(stream, "state", "not known")
        return f"<{type(self).__name__} {market}: {state}>"


def _host(venue: Venue, client: KuCoinWebSocket) -> str:
    return venue.spot_url if client.market_type == Market.SPOT else venue.futures_url


def _is_ticker(message: Mapping[str, Any]) -> bool:
    return str(message.get("topic")).startswith(("/contractMarket/ticker:", "/market/ticker:"))


def _in_words(message: Mapping[str, Any], text: str) -> str:
    kind = message.get("type")
    if kind == "pong":
        return "Pong received"
    if kind == "welcome":
        return "Welcome received"
    if kind == "ack":
        return f"Subscription confirmed: {dict(message)}"
    if "data" in message:
        return f"Data received: {json.dumps(message, indent=2)}"
    return f"Unknown message: {text}"


def _guide_message(ticker: Ticker, market: str) -> dict[str, Any]:
    prefix = "/market/ticker" if market == Market.SPOT else "/contractMarket/ticker"
    return {
        "type": "message",
        "topic": f"{prefix}:{ticker.symbol}",
        "subject": f"ticker.{ticker.symbol}",
        "data": {
            "symbol": ticker.symbol,
            "sequence": ticker.sequence,
            "side": ticker.side,
            "size": _count(ticker.size),
            "price": _decimal(ticker.price),
            "bestBidSize": _count(ticker.best_bid_size),
            "bestBidPrice": _decimal(ticker.best_bid_price),
            "bestAskPrice": _decimal(ticker.best_ask_price),
            "bestAskSize": _count(ticker.best_ask_size),
            "ts": None if ticker.timestamp is None else ticker.timestamp // 1_000_000,
        },
    }


def _decimal(number: float | None) -> str | None:
    """Write a number as KuCoin does: without an exponent, and without trailing zeros."""
    if number is None:
        return None
    text = format(Decimal(repr(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _count(number: float | None) -> int | str | None:
    """Return a whole number as ``int``, a fraction as text: KuCoin sends contracts and coins so."""
    is_whole = number is not None and float(number).is_integer()
    return int(number) if is_whole and number is not None else _decimal(number)


def _credentials(given: list[Hidden[str]]) -> Credentials | None:
    if len(given) == 3:
        return Credentials(*(each.reveal() for each in given))
    if given:
        raise InvalidInput("api_key, api_secret and passphrase belong together; give all or none")
    found = environment()
    if all(
        found.get(name) for name in ("KUCOIN_API_KEY", "KUCOIN_API_SECRET", "KUCOIN_PASSPHRASE")
    ):
        return Credentials.from_env(found)
    return None


class DataProcessor:
    """Collects ticker messages and saves them as CSV, as in guides.

    Parameters
    ----------
    symbol
        The symbol whose tickers it takes; the file is named by it.
    folder
        The file's folder; if left out, ``data`` in the working directory.

    Notes
    -----
    Rows are saved at every 100th, so that a program that ends suddenly loses fewer than 100.
    ``save_to_csv`` saves the last ones. Any thread may call the methods.
    """

    def __init__(self, symbol: str, *, folder: str | Path = "data") -> None:
        csv_name(symbol, "ticker")  # raises now if the symbol cannot name a file
        self.symbol = symbol
        self.folder = folder_to_write(folder, "folder")
        self._market = market_of(symbol)
        self._lock = threading.RLock()  # guards _rows, _saved and the file
        self._rows: list[Ticker] = []
        self._saved = 0
        self._decoder = Decoder(self._market)

    @property
    def data_dir(self) -> str:
        """The folder, under the guides' name."""
        return str(self.folder)

    def process_ticker(self, message: str | bytes | Mapping[str, Any]) -> dict[str, Any]:
        """Add one ticker message to the rows; every hundredth saves them.

        Parameters
        ----------
        message
            JSON text or the ``dict`` made of it, as the exchange sends it or as
            ``KuCoinWebSocket._on_message`` receives it. Times may be in s, ms, µs or ns.

        Returns
        -------
        dict[str, Any]
            The row, with the columns of the CSV file.

        Raises
        ------
        MessageBroken
            If it is no ticker message of the symbol.
        OSError
            If the rows cannot be saved; they are kept, and saved with the next hundred.
        """
        payload = _bytes(message, self.symbol, self._market)
        item = self._decoder.decode(payload, clocks.current().wall_ns())
        if not isinstance(item, Ticker):
            why = item.reason if isinstance(item, Broken) else f"it is a {type(item).__name__}"
            raise MessageBroken(f"no ticker message of {self.symbol}: {why}")
        if item.symbol != self.symbol:
            raise MessageBroken(f"no ticker message of {self.symbol}: it is of {item.symbol}")
        with self._lock:
            self._rows.append(item)
            if len(self._rows) % _ROWS_PER_SAVE == 0:
                self.save_to_csv()
        return _row(item)

    @property
    def df(self) -> pd.DataFrame:
        """All rows so far; ``timestamp`` is a UTC datetime."""
        with self._lock:
            return _frame(self._rows)

    def save_to_csv(self) -> Path:
        """Append the rows that are not saved yet to ``<symbol>_ticker_<date>.csv``, and print that.

        Returns
        -------
        Path
            The file; its folder is made if it is missing. Rows in the file stay. If it has other
            columns or a torn last line, the rows are written to a new file beside it.

        Raises
        ------
        OSError
            If the file cannot be written; the rows are kept.
        """
        # Guides save on the main thread while the feed's thread still adds rows.
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            fresh = self._rows[self._saved :]
            header, lines = _frame([]), _frame(fresh)
            path = append_lines(
                header.to_csv(index=False, lineterminator="\n"),
                lines.to_csv(index=False, header=False, lineterminator="\n"),
                self.folder / csv_name(self.symbol, "ticker", datetime.now(UTC)),
            )
            self._saved += len(fresh)
            print(f"Saved {len(fresh)} rows in {path} ({self._saved} in all)")
        return path


def _row(ticker: Ticker) -> dict[str, Any]:
    import pandas as pd

    values = ticker._asdict()
    row = {name: values[column] for column, name in _COLUMNS.items()}
    row["timestamp"] = pd.Timestamp(row["timestamp"], unit="ns", tz="UTC")
    return row


def _frame(rows: list[Ticker]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(Ticker._fields))
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], unit="ns", utc=True)
    return frame[list(_COLUMNS)].rename(columns=_COLUMNS)


def _bytes(message: str | bytes | Mapping[str, Any], symbol: str, market: Market) -> bytes:
    content = _json(message)
    data = content.get("data", content)
    if isinstance(data, Mapping) and market is Market.SPOT and "bestBidPrice" in data:
        data = {theirs: data[ours] for ours, theirs in _SPOT_NAMES.items() if ours in data}
        content = {**content, "data": data, "subject": "trade.ticker"}
    if "topic" not in content:  # some guides pass the data only
        prefix = "/contractMarket/ticker" if market is Market.FUTURES else "/market/ticker"
        content = {"topic": f"{prefix}:{symbol}", "data": data}
    try:
        return json.dumps(content).encode()
    except (TypeError, ValueError) as error:
        raise MessageBroken(f"the message is no JSON: {error}") from None


def _json(message: str | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(message, Mapping):
        return message
    try:
        content = json.loads(message)
    except (TypeError, ValueError, RecursionError):
        content = None
    if not isinstance(content, Mapping):
        raise MessageBroken(f"a ticker message is JSON text or a dict, not {shown(message)}")
    return content
