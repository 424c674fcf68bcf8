"""The names that KuCoin WebSocket guides use, on the same core.

``KuCoinWebSocket`` and ``DataProcessor`` keep scripts written after such guides working with only
the import line changed. There is no second client behind them: the socket, the pings, the token and
the reconnects are those of ``kucoin_research.stream``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kucoin_research import api, clocks
from kucoin_research.collect import wait_until_live
from kucoin_research.credentials import Credentials, environment
from kucoin_research.decode import Broken, Decoder
from kucoin_research.errors import InvalidInput, MessageBroken
from kucoin_research.hidden import Hidden
from kucoin_research.interrupts import check, hold
from kucoin_research.records import Market, Ticker, market_of
from kucoin_research.stream import State, Stream
from kucoin_research.tables import append_lines, csv_name
from kucoin_research.venues import Venue

if TYPE_CHECKING:
    import pandas as pd  # takes as long to import as all the rest

__all__ = ["DataProcessor", "KuCoinWebSocket"]

log = logging.getLogger(__name__)

_CONNECT_TIMEOUT = 30.0

# The columns of the guides' CSV files.
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
    """Stands where guides keep their ``websocket.WebSocketApp``."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def close(self) -> None:
        """End the stream."""
        self._stream.stop()

    @property
    def connected(self) -> bool:
        """Whether the socket is open and subscribed."""
        return self._stream.state is State.LIVE


class KuCoinWebSocket:
    """A KuCoin socket as guides write it.

    Parameters
    ----------
    api_key, api_secret, passphrase
        From the environment or ``.env`` when left out. Sent where a private channel is asked for,
        and never for public ones.
    market_type
        ``"futures"`` or ``"spot"``.
    verbose
        Log each message.
    on_message
        Called with each data message as a ``dict``, on the feed thread.
    venue
        See ``kucoin_research.api.find_venue``.

    Attributes
    ----------
    ws
        ``close()`` ends the stream; ``None`` before ``connect``.
    stream
        The stream behind it, for ``frame()`` and everything else; ``None`` before ``connect``.
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
        self.market_type = str(market_of("", market_type))
        self.verbose = verbose
        self.on_message = on_message
        self.credentials = _credentials(given)
        self.stream: Stream | None = None
        self.ws: _Socket | None = None
        self._venue = venue

    @hold(passes_on=True)
    def connect(self, symbol: str, channels: str | Iterable[str] = ("ticker",)) -> None:
        """Connect, subscribe, and return; messages then arrive in the background.

        Parameters
        ----------
        symbol
            As KuCoin spells it; futures call Bitcoin ``XBT``.
        channels
            ``ticker candle trade depth`` and all others of ``kucoin_research.stream``.

        Raises
        ------
        UnknownSymbol, UnknownChannel, Unreachable
            With what to do.
        """
        if self.stream is not None:
            self.stream.stop()
        self.stream = stream = api._start(  # noqa: SLF001  the front door has no tap for raw messages
            symbol,
            channels,
            market=self.market_type,
            venue=self._venue,
            capacity=1_000_000,
            name=None,
            credentials=self.credentials,
            on_payload=self._take if self.verbose or self.on_message else None,
            is_alone=True,
        )
        self.ws = _Socket(stream)
        try:
            wait_until_live(stream, _CONNECT_TIMEOUT)
            if stream.error is not None:
                raise stream.error
            check()
        except BaseException:
            stream.stop()
            raise
        self._send_ping()

    def _take(self, payload: bytes) -> None:
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError):
            return  # counted and told by the stream itself
        if self.verbose:
            log.info("%s", payload.decode(errors="replace"))
        if self.on_message is not None and isinstance(message, dict) and "topic" in message:
            try:
                self.on_message(message)
            except Exception:
                log.exception("on_message raised; the feed goes on")

    @property
    def connected(self) -> bool:
        """Whether the socket is open and subscribed."""
        return self.ws is not None and self.ws.connected

    @property
    def last_ping(self) -> float:
        """Unix seconds of the newest ping, or of now where none was sent yet."""
        sent = self.stream.last_ping if self.stream is not None else None
        return clocks.current().wall_ns() / 1e9 if sent is None else sent

    def _send_ping(self) -> None:
        # Pings go out by themselves; guides send them by hand, which does no harm.
        if self.stream is not None:
            self.stream.ping()

    def close(self) -> None:
        """End the stream; may be called twice."""
        if self.stream is not None:
            self.stream.stop()

    def __repr__(self) -> str:
        # Also of one whose __init__ has raised, or was never called: a traceback shows it, too.
        own = vars(self)
        stream, market = own.get("stream"), own.get("market_type", "of no market")
        state = "not connected" if stream is None else getattr(stream, "state", "not known")
        return f"<{type(self).__name__} {market}: {state}>"


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
    """Collects ticker messages and saves them as CSV, as guides do.

    Parameters
    ----------
    symbol
        Names the file.
    folder
        Where ``save_to_csv`` writes; the working directory when left out.
    """

    def __init__(self, symbol: str, *, folder: str | Path = ".") -> None:
        csv_name(symbol, "ticker")  # a symbol that cannot name a file is refused now
        self.symbol = symbol
        self.folder = Path(folder)
        self._market = market_of(symbol)
        self._rows: list[Ticker] = []
        self._saved = 0
        self._decoder = Decoder(self._market)

    def process_ticker(self, message: str | bytes | Mapping[str, Any]) -> dict[str, Any]:
        """Take one ticker message.

        Parameters
        ----------
        message
            As it came: JSON text, or the ``dict`` made of it. Times may be in s, ms, µs or ns.

        Returns
        -------
        dict[str, Any]
            The row, with the columns of the CSV file.

        Raises
        ------
        MessageBroken
            If it is no ticker message of the symbol.
        """
        payload = _bytes(message, self.symbol, self._market)
        item = self._decoder.decode(payload, clocks.current().wall_ns())
        if not isinstance(item, Ticker):
            why = item.reason if isinstance(item, Broken) else f"it is a {type(item).__name__}"
            raise MessageBroken(f"no ticker message of {self.symbol}: {why}")
        if item.symbol != self.symbol:
            raise MessageBroken(f"no ticker message of {self.symbol}: it is of {item.symbol}")
        self._rows.append(item)
        return _row(item)

    @property
    def df(self) -> pd.DataFrame:
        """All rows so far; ``timestamp`` is a UTC datetime."""
        return _frame(self._rows)

    def save_to_csv(self) -> Path:
        """Append the rows that were not saved yet to ``<symbol>_ticker_<date>.csv``.

        Returns
        -------
        Path
            The file, its folder made where missing. Rows already in it stay; if it has other
            columns or a torn last line, the rows go to a new one beside it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self._rows[self._saved :]
        header, lines = _frame([]), _frame(fresh)
        path = append_lines(
            header.to_csv(index=False, lineterminator="\n"),
            lines.to_csv(index=False, header=False, lineterminator="\n"),
            self.folder / csv_name(self.symbol, "ticker", datetime.now(UTC)),
        )
        self._saved += len(fresh)
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
    if isinstance(message, bytes):
        return message
    if isinstance(message, str):
        return message.encode()
    if not isinstance(message, Mapping):
        raise MessageBroken(f"a ticker message is JSON text or a dict, not {message!r:.80}")
    if "topic" not in message:  # some guides pass only the data
        data = message.get("data", message)
        prefix = "/contractMarket/ticker" if market is Market.FUTURES else "/market/ticker"
        message = {"topic": f"{prefix}:{symbol}", "data": data}
    try:
        return json.dumps(message).encode()
    except (TypeError, ValueError) as error:
        raise MessageBroken(f"the message is no JSON: {error}") from None
