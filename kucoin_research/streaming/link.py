"""An open connection with its conversation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kucoin_research.errors import (
    NetworkError,
)
from kucoin_research.exchange.websocket.connection import Connection
from kucoin_research.exchange.websocket.conversation import (
    Conversation,
    Event,
)
from kucoin_research.exchange.websocket.decode_classic import ControlMessage, Decodes
from kucoin_research.foundation.hidden import Hidden, masked

__all__ = ["Link"]


class Link:
    """An open connection with its conversation."""

    def __init__(
        self,
        connection: Connection,
        conversation: Conversation,
        decoder: Decodes,
        lifetime: float | None,
        opened_at: float,
        secrets: Sequence[Hidden[str]] = (),
    ) -> None:
        self.connection = connection
        self.conversation = conversation
        self.decoder = decoder
        self._lifetime = lifetime  # as the token reply told
        self.opened_at = opened_at  # monotonic seconds
        self.settled_ns: int | None = None
        self._secrets = secrets  # of its address, which a server may repeat

    @property
    def lifetime(self) -> float | None:
        """Seconds for which the venue keeps it, where that was told."""
        return self._lifetime or self.conversation.lifetime

    def speak(self, now: float) -> list[Event]:
        """Send what is due; gives what was not answered in time."""
        try:
            for text in self.conversation.due(now):
                self.connection.send(text)
        except NetworkError as error:
            self._mask(error)
            raise
        return self.conversation.overdue(now)

    def listen(self, slice_: float) -> list[bytes]:
        """Wait for messages, at most that many seconds."""
        try:
            return self.connection.receive(slice_)
        except NetworkError as error:  # it quotes why the peer has closed
            self._mask(error)
            raise

    def hear(self, control: ControlMessage, now: float) -> list[Event]:
        """Take a message of the conversation; gives what follows from it."""
        if control.text:
            control = control._replace(text=masked(control.text, self._secrets))
        return self.conversation.receive(control, now)

    def _mask(self, error: NetworkError) -> None:
        error.args = tuple(masked(str(each), self._secrets) for each in error.args)

    def rest(self) -> Iterator[list[bytes]]:
        """Give what has arrived and was not read yet."""
        read = -1
        while read != self.connection.bytes_received:
            read = self.connection.bytes_received
            try:
                yield self.listen(0.0)
            except NetworkError:
                return

    def close(self, *, is_polite: bool = True) -> None:
        """Close it; a polite one waits a second for the peer to answer."""
        if is_polite:
            self.connection.close()
        else:
            self.connection.close(timeout=0.0)
