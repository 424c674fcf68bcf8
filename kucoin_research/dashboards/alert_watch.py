"""Reads what the condition of an alert is about: new rows, gaps, or the silence of a source."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import polars as pl

from kucoin_research.dashboards.alert import Alert, Firing
from kucoin_research.dashboards.alert_conditions import Expression, GapAlert, RowCondition, Silence
from kucoin_research.figures.chart import Role
from kucoin_research.figures.columns import events, nanoseconds
from kucoin_research.figures.gaps import UNWANTED
from kucoin_research.figures.tail import Rewound, Tail, pick_channel
from kucoin_research.model.source import LiveSource, is_replay, is_stream

__all__ = ["AlertWatch"]

_ROLE = "rows"
_TIMELESS = ("candle", "status")
_OVER = ("ended", "failed", "stopped")


class AlertWatch:
    """Looks at one source for one alert.

    Parameters
    ----------
    alert
        Its condition is asked.
    source
        A stream or a replay.

    Notes
    -----
    Not thread-safe: the refresh thread looks.
    """

    def __init__(self, alert: Alert, source: LiveSource) -> None:
        self._alert, self.source = alert, source
        self._tail: Tail | None = None
        self._is_primed = False
        self._known_gaps: set[tuple[int, str]] = set()

    def check(self) -> None:
        """Check an expression against the newest rows, where there are any.

        Raises
        ------
        InvalidInput
            If it cannot be computed, or is not true or false.
        """
        rule = self._alert.rule
        if isinstance(rule, Expression) and rule.channels[0] in self.source.channels:
            rule.evaluate(self.source.frame(rule.channels[0], last=2))

    def look(self) -> list[Firing]:
        """Return the moments, since the last look, at which the condition began to hold."""
        alert, rule = self._alert, self._alert.rule
        alert.lack = self._lack()
        if alert.lack:
            return []
        if isinstance(rule, Silence):
            return list(self._of_silence(rule))
        assert self._tail is not None
        if isinstance(rule, GapAlert):
            return list(self._of_gaps(self._tail))
        assert isinstance(rule, RowCondition)
        return list(self._of_rows(rule, self._tail))

    def _lack(self) -> str:
        """Say what the alert lacks to work; empty if nothing."""
        source, symbol = self.source, self._alert.symbol
        if str(source.state) in _OVER:
            return f"nothing streams: {source.state}"
        if symbol not in source.symbols:
            return f"{symbol} does not stream"
        rule = self._alert.rule
        if isinstance(rule, Silence):
            return "" if is_stream(source) else "only a running stream has an age"
        if isinstance(rule, GapAlert):
            self._tail = self._tail or Tail(
                source, symbol, {each: each for each in source.channels}
            )
            return ""
        return self._find_channel(rule.channels)

    def _find_channel(self, channels: tuple[str, ...]) -> str:
        source, symbol = self.source, self._alert.symbol
        found = pick_channel(source, Role(_ROLE, channels), symbol=symbol)
        if found is None or not _streams(source, found, symbol):
            self._tail = None
            return f"needs {' or '.join(channels)} of {symbol}, which does not stream"
        if self._tail is None or self._tail.channels[_ROLE] != found:
            self._tail, self._is_primed = Tail(source, symbol, {_ROLE: found}), False
        return ""

    def _of_rows(self, rule: RowCondition, tail: Tail) -> Iterator[Firing]:
        is_back = False
        try:
            rows = self._new_rows(tail)
        except Rewound:
            is_back, self._is_primed = True, False
            tail.restart()
            rule.forget()
            self._alert.rest_no_more()
            rows = self._new_rows(tail)
        if not rows.height:
            return
        found = rule.take(rows, self.source)
        if is_back:  # a replay has shown it before
            return
        times = events(rows)
        for place, value in found:
            yield self._firing(int(times[place]), value)

    def _new_rows(self, tail: Tail) -> pl.DataFrame:
        parts = [rows for _, rows in tail.rows()]
        if not parts:
            return pl.DataFrame()
        (rows,) = parts
        if not self._is_primed:  # those of before are no news, but the newest one is how it stands
            self._is_primed, rows = True, rows[-1:]
        return rows

    def _of_gaps(self, tail: Tail) -> Iterator[Firing]:
        gaps, has_changed = tail.gaps()
        if not has_changed and self._is_primed:
            return
        new = [each for each in gaps if (each.begin, each.kind) not in self._known_gaps]
        self._known_gaps |= {(each.begin, each.kind) for each in new}
        if not self._is_primed:
            self._is_primed = True
            return
        for gap in new:
            if gap.kind != UNWANTED and UNWANTED not in gap.what:
                detail = gap.what if gap.kind == "gap" else f"{gap.kind}: {gap.what}"
                yield self._firing(gap.begin, math.nan, detail)

    def _of_silence(self, rule: Silence) -> Iterator[Firing]:
        assert is_stream(self.source)
        now = self.source.now_ns()
        newest = [
            int(nanoseconds(rows["local_timestamp"])[-1])
            for channel in self.source.channels
            if channel.partition(":")[0] not in _TIMELESS
            and (rows := self.source.frame(channel, self._alert.symbol, last=1)).height
        ]
        since = max([self.source.started_ns, *newest])
        age = max(0.0, (now - since) / 1e9)
        if rule.take(age):
            yield self._firing(now, float(np.round(age, 3)))

    def _firing(self, time_ns: int, value: float, detail: str = "") -> Firing:
        alert = self._alert
        return Firing(time_ns, alert.symbol, alert.condition, value, detail)


def _streams(source: LiveSource, channel: str, symbol: str) -> bool:
    if is_replay(source) or not is_stream(source):
        return True
    return any(
        str(each.channel) == channel and each.symbol == symbol for each in source.subscriptions
    )
