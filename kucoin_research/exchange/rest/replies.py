"""Reads replies into checked values; a malformed field or row costs no more than itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import msgspec

from kucoin_research.errors import (
    BadReply,
    ExchangeError,
)
from kucoin_research.exchange.json_numbers import Integer
from kucoin_research.exchange.rest.calls import (
    Call,
    CallReply,
)
from kucoin_research.exchange.rest.failures import (
    FailureReader,
    host_of,
)
from kucoin_research.exchange.rest.instrument_rows import optional_ns
from kucoin_research.exchange.rest.loose_json import (
    MOST_BY_ROW,
    UNREADABLE,
    elements,
    members,
    read_fields,
)
from kucoin_research.exchange.venues import (
    Venue,
)
from kucoin_research.foundation.typed_json import decoder
from kucoin_research.model.arrival_clock import ArrivalClock
from kucoin_research.model.units import to_ns

__all__ = ["ReplyReader", "as_it_is", "instants_of"]

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)


class ReplyReader:
    """Reads the data of replies into checked values, and stamps their rows with the arrival.

    **Threads**: any number may read at once.

    Parameters
    ----------
    venue
        The exchange that replies; errors name its host.
    failures
        Makes the error where a reply holds nothing.
    """

    def __init__(self, venue: Venue, failures: FailureReader) -> None:
        self._venue = venue
        self._failures = failures
        self._arrivals_lock = threading.Lock()  # guards _arrivals
        self._arrivals = ArrivalClock()

    def disown(self) -> None:
        """Replace the lock in a forked child: a thread of the parent may have held it."""
        self._arrivals_lock = threading.Lock()

    def row(
        self, call: Call, reply: CallReply, kind: type[T], parse: Callable[[T, Collection[str]], R]
    ) -> R:
        """Read one object; an optional field that is malformed is None, and logged.

        Raises
        ------
        NotFound
            If the reply holds nothing, and the call asked for a symbol.
        BadReply
            If a required field is missing or malformed.
        """
        self._refuse_nothing(call, reply, kind)
        raw = reply.data.reveal()
        facts, odd = self.checked(call, lambda: read_fields(raw, kind))
        made = self.checked(call, lambda: parse(facts, odd))
        _log_odd(call, [_without(call, call.symbol or "it", odd)] if odd else [])
        return made

    def rows(
        self, call: Call, raw: bytes, kind: type[T], parse: Callable[[T, Collection[str]], R]
    ) -> list[R]:
        """Read a list. If it is malformed, read it row by row, and log the rows left out.

        Raises
        ------
        BadReply
            If no row makes sense.
        """
        try:
            rows = decoder(list[kind], strict=False).decode(raw)  # type: ignore[valid-type]
            return [parse(row, ()) for row in rows]
        except UNREADABLE as error:
            if len(raw) > MOST_BY_ROW:
                raise self.bad(call, str(error)[:200]) from error
        found: list[R] = []
        lines: list[str] = []  # for the log
        for row in self.checked(call, lambda: elements(raw)):
            try:
                facts, odd = read_fields(row, kind)
                found.append(parse(facts, odd))
            except UNREADABLE as error:
                lines.append(f"left out of {call.what}: {_name_of(row)}, as {str(error)[:200]}")
                continue
            if odd:
                lines.append(_without(call, _name_of(row), odd))
        if lines and not found:
            raise self.bad(call, f"none of its {len(lines)} rows makes sense; {lines[0]}")
        _log_odd(call, lines)
        return found

    def _refuse_nothing(self, call: Call, reply: CallReply, kind: Any) -> None:
        if (
            reply.data.reveal() == b"null"
            and call.symbol is not None
            and type(None) not in _options(kind)
        ):
            # Spot answers so, with the code of success, if it does not know a symbol.
            raise self.nothing(call)

    def nothing(self, call: Call) -> ExchangeError:
        """Return the error for a reply without data, as for an unknown symbol."""
        return self._failures.refusal(call, "", "nothing", 200)

    def decode(self, call: Call, reply: CallReply, kind: Any) -> Any:
        """Read the data of a reply as a type; numbers may be in strings."""
        self._refuse_nothing(call, reply, kind)
        return self.checked(call, lambda: decoder(kind, strict=False).decode(reply.data.reveal()))

    def checked(self, call: Call, read: Callable[[], T]) -> T:
        """Return what a function reads from a reply; its failure becomes ``BadReply``."""
        try:
            return read()
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            if not call.holds_secrets:
                raise self.bad(call, str(error)[:200]) from error
            why = str(error)[:200]
        # Outside of the handler: the frames of the first error hold secrets.
        raise self.bad(call, why)

    def bad(self, call: Call, why: str) -> BadReply:
        """Return the error for a reply that is not as documented."""
        host = host_of(self._venue, call.market)
        return BadReply(f"the reply of {host} to {call.what} is not as documented: {why}")

    def time_ns(self, call: Call, reply: CallReply) -> int:
        """Read a reply that is a time; returns ns UTC."""
        return self.checked(call, lambda: to_ns(self.decode(call, reply, Integer)))

    def stamps(self, reply: CallReply, count: int) -> range:
        """Return arrival stamps for the rows of a reply, ns UTC; each is later than all before."""
        with self._arrivals_lock:
            first = self._arrivals.begin(reply.received_ns)
            self._arrivals.end(first + count)
        return range(first, first + count)

    def refuse_elsewhere(
        self, call: Call, times: Collection[int], low: int, high: int, step: int
    ) -> None:
        """Raise ``BadReply`` if there are rows, but none of the time that was asked for."""
        # Otherwise a server that repeats the same rows would look like one that has no more. Rows
        # less than a step outside come from another reading of the bounds.
        if times and not any(low - step < when < high + step for when in times):
            raise self.bad(call, "none of its rows is of the time that was asked for")


_MOST_LOGGED = 20  # rows of a reply, a line each


def _log_odd(call: Call, lines: list[str]) -> None:
    for line in lines[:_MOST_LOGGED]:
        log.warning("%s", line)
    if len(lines) > _MOST_LOGGED:
        log.warning("in %s, %d more rows are odd", call.what, len(lines) - _MOST_LOGGED)


def _without(call: Call, name: str, odd: list[str]) -> str:
    return f"{name} in {call.what} is without its {', '.join(odd)}, which makes no sense"


def _name_of(row: bytes) -> str:
    try:
        return str(decoder(str).decode(members(row)["symbol"]))[:40]
    except (*UNREADABLE, KeyError):
        return "a row without a symbol"


def as_it_is(row: T, _: Collection[str]) -> T:
    """Return a row unchanged, where `ReplyReader.rows` wants a function."""
    return row


def instants_of(call: Call, values: list[int | None]) -> list[int | None]:
    """Return the times of rows in ns UTC; those that make no sense are None, and logged."""
    times = [optional_ns(value) for value in values]
    lost = sum(value is not None for value in values) - sum(when is not None for when in times)
    if lost:
        log.warning("%d times in %s make no sense, and are left out", lost, call.what)
    return times


def _options(kind: Any) -> tuple[Any, ...]:
    return getattr(kind, "__args__", ())
