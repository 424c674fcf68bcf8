"""The history of each symbol that a dashboard shows."""

from __future__ import annotations

import threading
from functools import partial

from kucoin_research.figures.past import Past
from kucoin_research.model.source import LiveSource, has_history

__all__ = ["Histories"]


class Histories:
    """Keeps the history of the symbols of one source, so that all charts of a symbol share it.

    Only that of the symbol that is shown is asked for. Another symbol ends the requests of the one
    before, whose rows stay; another source, such as a new stream, ends all.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the three below
        self._source: LiveSource | None = None
        self._pasts: dict[str, Past] = {}
        self._shown = ""

    def of(self, source: LiveSource, symbol: str) -> Past | None:
        """Return the history of the symbol to show; ``None`` if the source is no stream."""
        with self._lock:
            if source is not self._source:
                self._forget()
                self._source = source
            if not has_history(source) or not symbol:
                return None
            if symbol != self._shown and self._shown in self._pasts:
                self._pasts[self._shown].cancel()
            self._shown = symbol
            if symbol not in self._pasts:
                self._pasts[symbol] = Past(partial(source.history, symbol))
            return self._pasts[symbol]

    def close(self) -> None:
        """End all requests, and ask for nothing any more."""
        with self._lock:
            self._forget()
            self._source = None

    def _forget(self) -> None:
        for past in self._pasts.values():
            past.close()
        self._pasts.clear()
        self._shown = ""
