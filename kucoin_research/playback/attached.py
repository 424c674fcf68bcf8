"""Functions attached to a replay, and how they are called."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from kucoin_research.foundation.callbacks import (
    check_has_run,
    name_of_function,
)
from kucoin_research.model.records import Record

__all__ = ["AttachedSink", "Sink", "Take", "call_each"]

log = logging.getLogger(__name__)

Sink = Callable[[Record], object]
Take = Callable[[Sequence[Record]], object]


class AttachedSink:
    """A function that is called with records."""

    def __init__(self, call: Sink, wants: Callable[[Record], bool] | None) -> None:
        self.call = call
        self.wants = wants
        self.is_on = True
        self.name = name_of_function(call)

    def of(self, rows: Iterator[Record]) -> Iterator[Record]:
        return rows if self.wants is None else filter(self.wants, rows)

    def take(self, row: Record) -> BaseException | None:
        """Call it, if it wants the row and is on still; returns what it raised."""
        if not self.is_on or (self.wants is not None and not self.wants(row)):
            return None
        try:
            result = self.call(row)
            if result is not None:
                check_has_run(result, self.name)
        except (Exception, SystemExit) as error:  # the sink guard
            log.exception("a sink raised and was detached")
            return error
        return None


def call_each(
    sinks: Sequence[AttachedSink], rows: Iterator[Record]
) -> list[tuple[AttachedSink, BaseException]]:
    """Call functions with rows, in order, until one raises; which ones did, and what."""
    if len(sinks) == 1:
        (attached,) = sinks
        try:
            call = attached.call
            # Not map(): it would take a function's StopIteration for the end of the rows.
            for row in attached.of(rows):
                result = call(row)
                if result is not None:
                    check_has_run(result, attached.name)
        # SystemExit, too: threading would take it for the wish to end this thread, silently.
        except (Exception, SystemExit) as error:  # the sink guard
            log.exception("a sink raised and was detached")
            return [(attached, error)]
        return []
    failed: list[tuple[AttachedSink, BaseException]] = []
    for row in rows:
        for attached in sinks:
            raised = attached.take(row)
            if raised is not None:
                failed.append((attached, raised))
        if failed:
            break
    return failed
