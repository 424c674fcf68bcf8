"""The stream, as its connections and its questions to REST see it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from kucoin_research.exchange.rest.client import Rest
from kucoin_research.exchange.topics import Feed, Topic
from kucoin_research.exchange.websocket.decode_classic import ControlMessage, Decodes
from kucoin_research.foundation import clocks
from kucoin_research.model.channels import Market
from kucoin_research.model.records import Record
from kucoin_research.streaming.handover import Handover
from kucoin_research.streaming.staleness import Silence

__all__ = ["Keeper"]


class Keeper(Protocol):
    """Takes messages and rows into a stream. Every method may be called from any thread."""

    @property
    def name(self) -> str:
        """Name of the stream."""
        ...

    @property
    def rest(self) -> Rest:
        """The venue's REST side."""
        ...

    @property
    def feed(self) -> Feed:
        """The protocol of KuCoin it streams from."""
        ...

    @property
    def stopping(self) -> threading.Event:
        """Set once the stream is to end."""
        ...

    @property
    def clock(self) -> clocks.Clock:
        """The time it lives in."""
        ...

    @property
    def moves(self) -> Sequence[clocks.Move]:
        """When and by how much this machine's clock was set since the start."""
        ...

    def now_ns(self) -> int:
        """Read the clock that stamps the rows, ns UTC."""
        ...

    def clock_moved(self) -> None:
        """Take note that this machine's clock was set."""
        ...

    def deliver(
        self,
        payloads: Sequence[bytes],
        decoder: Decodes,
        overlap: Handover | None = None,
        now_ns: int | None = None,
    ) -> list[ControlMessage]:
        """Take the messages of one read; return those meant for the conversation."""
        ...

    def hold(
        self, payloads: Sequence[bytes], decoder: Decodes, overlap: Handover
    ) -> list[ControlMessage]:
        """Hold the messages of a successor; return those meant for its conversation."""
        ...

    def take_over(
        self, overlap: Handover, topics: Sequence[Topic], drained_ns: int
    ) -> list[tuple[str, str]]:
        """Go on with the successor; return the channels and symbols that had stalled before."""
        ...

    def take_in(self, rows: Callable[[], Sequence[Record]]) -> Sequence[Record] | None:
        """Make rows and put them into the flow, under the delivery lock; None at the end."""
        ...

    def connected(self, topics: Sequence[Topic], detail: str) -> None:
        """Report that a connection is open and its subscriptions are answered."""
        ...

    def lost(self, topics: Sequence[Topic], reason: str, began_ns: int | None) -> None:
        """Report that a connection ended; its books start over."""
        ...

    def outage(self, topics: Sequence[Topic], began_ns: int, *, is_over: bool) -> None:
        """Account for the time from a lost connection to the next one, or to the end."""
        ...

    def acknowledged(self, topics: Sequence[Topic]) -> None:
        """Take note of subscriptions that the exchange has accepted."""
        ...

    def left(self, topics: Sequence[Topic]) -> None:
        """Take note of topics of which nothing more comes, as nobody wants them."""
        ...

    def silences(self, topics: Sequence[Topic], now_ns: int) -> list[Silence]:
        """List the channels and symbols that have been silent for suspiciously long."""
        ...

    def was_quiet(self, silences: Sequence[Silence]) -> None:
        """Take note that another connection was silent, too: most likely the market was."""
        ...

    def note(
        self, event: str, detail: str, *, channel: str | None = None, symbol: str | None = None
    ) -> None:
        """Put a status row into the flow."""
        ...

    def request_errand(self) -> None:
        """Have the stream look soon for anything to ask of REST."""
        ...

    def request_clock(self, market: Market) -> None:
        """Have a market's clock measured: there is a new connection."""
        ...
