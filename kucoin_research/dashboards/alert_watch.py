"""Reads what the condition of an alert is about: new rows, gaps, or the silence of a source."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import polars as pl

from kucoin_research.dashboards.alert import Alert, Firing
from kucoin_research.dashboards.alert_conditions import (
    ROWS_BEFORE,
    Expression,
    GapAlert,
    RowCondition,
    Silence,
)
from kucoin_research.figures.chart import Role
from kucoin_research.figures.columns import events, nanoseconds
from kucoin_research.figures.gaps import UNWANTED, GapMark
from kucoin_research.figures.tail import Rewound, Tail, pick_channel
from kucoin_research.model.source import LiveSource, is_replay, is_stream

__all__ = ["OVER", "AlertWatch"]

_ROLE = "rows"
_TIMELESS = ("candle", "status")
#: States of a source that has no rows to come.
OVER = ("ended", "failed", "stopped")
_FOUND_OUT = (
    60_000_000_000  # ns from the last row to the moment at which an outage is known, at most
)


class AlertWatch:
    """Looks at one source for one alert.

    Parameters
    ----------
    alert
        Its condition is asked.
    source
        A stream or a replay.
    is_new
        Whether all its rows are news, as of a stream that has just begun; else those that are
        there only say how the condition stands.

    Notes
    -----
    Not thread-safe: the refresh thread looks.
    """

    def __init__(self, alert: Alert, source: LiveSource, *, is_new: bool = False) -> None:
        self._alert, self.source = alert, source
        self._tail: Tail | None = None
        self._is_primed = is_new
        self._gaps: list[GapMark] = []  # those that were seen
        self._rewinds = _rewinds_of(source)

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
        before, found = self._tail, self._read()  # also of a source that has ended since
        self._alert.lack = self._lack()
        if self._tail is not before:
            found += self._read()
        if isinstance(self._alert.rule, Silence) and not self._alert.lack:
            found += self._of_silence(self._alert.rule)
        return found

    def _read(self) -> list[Firing]:
        rule = self._alert.rule
        if self._tail is None:
            return []
        if isinstance(rule, GapAlert):
            return list(self._of_gaps(self._tail))
        assert isinstance(rule, RowCondition)
        return list(self._of_rows(rule, self._tail))

    def _lack(self) -> str:
        """Say what the alert lacks to work; empty if nothing."""
        source, symbol = self.source, self._alert.symbol
        rule = self._alert.rule
        if symbol not in source.symbols:
            return f"{symbol} does not stream"
        if isinstance(rule, Silence):
            lack = "" if is_stream(source) else "only a running stream has an age"
        elif isinstance(rule, GapAlert):
            if self._tail is None:
                self._tail = Tail(source, symbol, {each: each for each in source.channels})
            lack = ""
        else:
            lack = self._find_channel(rule.channels)
        is_over = str(source.state) in OVER
        return f"nothing streams: {source.state}" if is_over and not lack else lack

    def _find_channel(self, channels: tuple[str, ...]) -> str:
        source, symbol = self.source, self._alert.symbol
        found = pick_channel(source, Role(_ROLE, channels), symbol=symbol)
        if found is None or not _streams(source, found, symbol):
            return f"needs {' or '.join(channels)} of {symbol}, which does not stream"
        if self._tail is None or self._tail.channels[_ROLE] != found:
            self._is_primed = self._is_primed and self._tail is None
            self._tail = Tail(source, symbol, {_ROLE: found})
        return ""

    def _of_rows(self, rule: RowCondition, tail: Tail) -> Iterator[Firing]:
        given, rows = self._take(tail)
        if given is not None:  # the source went back: they are the rows before that place
            rule.forget()
            self._alert.rest_no_more()
            if given.height:
                rule.take(given[-ROWS_BEFORE:], self.source)
        if not rows.height:
            return
        found = rule.take(rows, self.source)
        times = events(rows)
        for place, value in found:
            yield self._firing(int(times[place]), value)

    def _take(self, tail: Tail) -> tuple[pl.DataFrame | None, pl.DataFrame]:
        """Take the new rows; if the source went back, with all that count as given already."""
        has_gone_back, place, rows = self._read_one_pass(tail)
        # The rows that are there at first are no news, but the newest one is how it stands.
        is_first, self._is_primed = not self._is_primed, True
        if rows is None or not rows.height:
            return (pl.DataFrame() if has_gone_back else None), pl.DataFrame()
        if not has_gone_back:
            return None, rows[-1:] if is_first else rows
        stamps = nanoseconds(rows["local_timestamp"])
        first = rows.height if place is None else int(np.searchsorted(stamps, place))
        return rows[:first], rows[first:]

    def _read_one_pass(self, tail: Tail) -> tuple[bool, int | None, pl.DataFrame | None]:
        """Return whether the source went back, where to, and the new rows since then."""
        has_gone_back, place = False, None
        while True:
            rewinds = _rewinds_of(self.source)
            if rewinds != self._rewinds:
                self._rewinds, has_gone_back, place = rewinds, True, rewinds[1]
                tail.restart()
            try:
                rows = _only(tail)
            except Rewound:
                # Of a replay that goes back at this very moment, the place is known at the next
                # turn. Of another source that was emptied there is none: all it has was given.
                has_gone_back = True
                tail.restart()
                continue
            if _rewinds_of(self.source) == rewinds:
                return has_gone_back, place, rows
            # else the rows are of another pass

    def _of_gaps(self, tail: Tail) -> Iterator[Firing]:
        rewinds = _rewinds_of(self.source)
        has_gone_back, self._rewinds = rewinds != self._rewinds, rewinds
        if has_gone_back:
            self._alert.rest_no_more()
            self._gaps = tail.gaps_before(rewinds[1])
        gaps, has_changed = tail.gaps()
        if not has_changed and not has_gone_back and self._is_primed:
            return
        is_news, self._is_primed = self._is_primed or has_gone_back, True
        self._gaps = _with_ends(self._gaps, gaps)
        for gap in gaps:
            # An outage becomes gaps of channels once it is over: it is told as it begins.
            is_known = any(_is_lost(each) and _is_within(gap, each) for each in self._gaps)
            if gap not in self._gaps:
                self._gaps.append(gap)
            if is_news and _is_lost(gap) and not is_known:
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


def _rewinds_of(source: LiveSource) -> tuple[int, int]:
    return source.rewinds if is_replay(source) else (0, 0)


def _only(tail: Tail) -> pl.DataFrame | None:
    return next((rows for _, rows in tail.rows()), None)


def _with_ends(seen: list[GapMark], gaps: list[GapMark]) -> list[GapMark]:
    """Give gaps that lasted when they were seen the end that they have by now.

    Without it, every later gap would seem to lie within the first outage.
    """
    now = {(each.begin, each.what): each for each in gaps}
    return [now.get((each.begin, each.what), each) if each.end is None else each for each in seen]


def _is_lost(gap: GapMark) -> bool:
    """Whether rows that were wanted are missing; what nobody asked for hides no outage."""
    return gap.kind not in (UNWANTED, "filled") and UNWANTED not in gap.what


def _is_within(gap: GapMark, other: GapMark) -> bool:
    """Whether a gap begins within another one, or shortly before that was found out."""
    end = other.end if other.end is not None else gap.begin
    return other.begin - _FOUND_OUT <= gap.begin <= end
