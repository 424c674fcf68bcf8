"""The clocks of a stream: the one that stamps its rows, and how far an exchange's is ahead of it.

An arrival less the exchange's time is a lag only once the difference of the two clocks is taken
out. One question over REST measures the difference to half its round trip, and the first question
over a new connection much less exactly. So several are asked in a row, and the one that was
answered fastest counts. This is repeated for each new connection, every ten minutes, and when this
machine's clock was set. A measurement holds from then on, never for earlier rows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from kucoin_research.errors import KucoinResearchError
from kucoin_research.exchange.rest.client import ClockOffset, Rest
from kucoin_research.foundation.clocks import Clock, Move
from kucoin_research.model.channels import Market
from kucoin_research.model.records import ALL_SYMBOLS

__all__ = ["SLEPT_NS", "ClockOffsets", "Timekeeper"]

# After a jump forward of this length the machine has slept, and the peer may be gone.
SLEPT_NS = 10_000_000_000
# A clock that is set by less was most likely set by a time server, which is not reported.
_REPORTED_MOVE_NS = 2_000_000_000

_Times: TypeAlias = npt.NDArray[np.int64]
_Floats: TypeAlias = npt.NDArray[np.float64]

# Questions of one measurement. The first may have had to connect, so that it alone says nothing.
_SAMPLES = 5
_FEWEST = 2
# Seconds from one measurement to the next, and after one that failed.
_RENEWAL = 600.0
_RETRY = 60.0
# Seconds between two looks for a measurement that is due, and while stamps are wrong.
_INTERVAL = 60.0
_WRONG_INTERVAL = 1.0
# Two clocks drift apart by less than this while neither is set.
_DRIFT = 1e-4


class _Step(NamedTuple):
    """From that stamp on, ns; ``offset`` is None if it is not known."""

    since_ns: int
    offset: ClockOffset | None
    measured_at: float  # monotonic seconds


class ClockOffsets:
    """The clock of one market against a stream's stamps.

    Parameters
    ----------
    since_ns
        Stamp at which the stream began, ns UTC: the first measurement holds from there.

    Notes
    -----
    One thread measures (``wants``, ``take``, ``fail``); the other methods may be called from any
    thread.
    """

    def __init__(self, since_ns: int) -> None:
        self._steps: tuple[_Step, ...] = ()
        self._since_ns: int | None = since_ns  # of the measurement that is due or going on
        self._due = float("inf")
        self._samples: list[ClockOffset] = []
        self._has_failed = False

    def request(self, now: float) -> None:
        """Have the clock measured, at that monotonic time: there is a new connection."""
        self._due = min(self._due, now)

    def lose(self, stamp_ns: int, now: float) -> None:
        """Forget the measurement: from that stamp on the clocks differ by another amount."""
        if self._steps and self._steps[-1].offset is not None:
            self._steps = (*self._steps, _Step(stamp_ns, None, now))
        self._since_ns = None
        self._samples = []
        self._due = now

    def wants(self, now: float) -> bool:
        """Whether to ask the exchange now."""
        return now >= self._due

    def take(self, offset: ClockOffset, stamp_ns: int, now: float) -> None:
        """Add an answer.

        Parameters
        ----------
        offset
            Against the clock that stamps the rows.
        stamp_ns, now
            Stamp (ns UTC) and monotonic time of the answer.
        """
        self._has_failed = False
        if self._since_ns is None:
            self._since_ns = stamp_ns
        self._samples.append(offset)
        if len(self._samples) >= _FEWEST:
            best = min(self._samples, key=lambda each: each.uncertainty_ns)
            self._adopt(_Step(self._since_ns, best, now))
        if len(self._samples) >= _SAMPLES:
            self._samples, self._since_ns = [], None
            self._due = now + _RENEWAL

    def fail(self, now: float) -> bool:
        """Note that there was no answer; return whether that is news."""
        is_news, self._has_failed = not self._has_failed, True
        self._samples = []
        self._due = now + _RETRY
        return is_news

    def _adopt(self, step: _Step) -> None:
        """Let a measurement hold, unless the one before is still more exact."""
        steps = self._steps
        if steps and steps[-1].since_ns == step.since_ns:
            steps = steps[:-1]  # of the same measurement: this one is as good or better
        before = steps[-1] if steps else None
        if before is not None and before.offset is not None and step.offset is not None:
            drifted_ns = _DRIFT * 1e9 * (step.measured_at - before.measured_at)
            if step.offset.uncertainty_ns > before.offset.uncertainty_ns + drifted_ns:
                self._steps = steps
                return
        self._steps = (*steps, step)

    @property
    def newest(self) -> ClockOffset | None:
        """The newest measurement; None if the difference is not known."""
        steps = self._steps
        return steps[-1].offset if steps else None

    def at(self, stamps: _Times) -> _Floats:
        """Return the offset at each of those stamps (ns UTC), in ns; NaN if it is not known."""
        steps = self._steps
        known = [
            np.nan,
            *(np.nan if each.offset is None else each.offset.offset_ns for each in steps),
        ]
        since = np.array([each.since_ns for each in steps], dtype=np.int64)
        found: _Floats = np.array(known, dtype=np.float64)[np.searchsorted(since, stamps, "right")]
        return found


class Timekeeper:
    """Stamps the rows of a stream, and computes how late they arrived.

    Parameters
    ----------
    clock
        The time that the stream lives in.
    rest
        Asked for the exchange's time.
    streamed
        Symbols, each with its market; ``*`` stands for all of a market.
    report
        Takes an event and its detail, for the ``status`` channel.

    Attributes
    ----------
    now_ns
        Reads the clock that stamps the rows, ns UTC.
    started_ns
        Stamp of the beginning, ns UTC.

    Notes
    -----
    One thread at a time calls ``measure``; the other methods may be called from any thread.
    """

    def __init__(
        self,
        clock: Clock,
        rest: Rest,
        streamed: Iterable[tuple[str, Market]],
        report: Callable[[str, str], None],
    ) -> None:
        self._clock = clock
        self._rest = rest
        self._report = report
        self._arrivals = clock.arrivals()
        self.now_ns: Callable[[], int] = self._arrivals.now_ns
        self.started_ns = self.now_ns()
        self._symbols: dict[Market, set[str]] = {}
        for symbol, market in streamed:
            self._symbols.setdefault(market, set()).add(symbol)
        self._offsets = {market: ClockOffsets(self.started_ns) for market in self._symbols}
        # Guards _moves_reported, _is_wrong, offsets against moves, and what `add` replaces.
        self._lock = threading.Lock()
        self._moves_reported = 0
        self._is_wrong = False  # stamps are ahead of the wall clock

    def add(self, symbol: str, market: Market) -> None:
        """Keep the clock of another symbol's market, too."""
        with self._lock:
            self._symbols = {**self._symbols, market: {*self._symbols.get(market, ()), symbol}}
            if market not in self._offsets:
                self._offsets = {**self._offsets, market: ClockOffsets(self.now_ns())}

    @property
    def moves(self) -> Sequence[Move]:
        """When and by how much this machine's clock was set since the start; it grows."""
        return self._arrivals.moves

    def report_moves(self) -> None:
        """Report that this machine's clock was set; lags are unknown until the next measurement."""
        with self._lock:
            moves = self._arrivals.moves[self._moves_reported :]
            self._moves_reported += len(moves)
            for move in moves:
                for offsets in self._offsets.values():
                    offsets.lose(move.stamp_ns, self._clock.monotonic())
            self._is_wrong = self._is_wrong or not self._arrivals.is_right
        for move in moves:
            if abs(move.by_ns) >= _REPORTED_MOVE_NS:
                self._report("clock_jump", self._describe(move))

    def _describe(self, move: Move) -> str:
        jumped = f"this machine's clock jumped by {move.by_ns / 1e9:+.1f} s"
        if move.by_ns >= SLEPT_NS:
            return f"{jumped}: it may have slept"
        if move.by_ns > 0 or self._arrivals.is_right:
            return jumped
        ahead = self._arrivals.ahead_ns / 1e9
        return (
            f"{jumped}: local timestamps are {ahead:.1f} s ahead, and go on at half their pace for "
            f"{2 * ahead:.0f} s until they are right again; another stream's are right at once"
        )

    def request(self, market: Market) -> None:
        """Have a market's clock measured: there is a new connection."""
        self._offsets[market].request(self._clock.monotonic())

    @property
    def interval(self) -> float:
        """Seconds after which ``look`` should be called again."""
        return _WRONG_INTERVAL if self._is_wrong else _INTERVAL

    def look(self) -> bool:
        """Report news of this machine's clock; return whether ``measure`` should be called."""
        self.report_moves()
        if self._is_wrong and not self._is_right_again():
            return False
        return any(offsets.wants(self._now()) for offsets in self._offsets.values())

    def measure(self) -> bool:
        """Ask each market whose clock should be measured for its time, once.

        Returns whether there is more to ask at once.
        """
        if not self.look():
            return False
        wanting = [each for each in self._offsets.items() if each[1].wants(self._now())]
        for market, offsets in wanting:
            self._ask(market, offsets)
        return any(offsets.wants(self._now()) for _, offsets in wanting)

    def _now(self) -> float:
        return self._clock.monotonic()

    def _ask(self, market: Market, offsets: ClockOffsets) -> None:
        moves = len(self.moves)
        try:
            found = self._rest.clock_offset(market, self.now_ns)
        except KucoinResearchError as error:
            # Only the lag needs it; the report says that it was not measured.
            if offsets.fail(self._now()):
                self._report("clock_unknown", str(error))
            return
        with self._lock:
            if moves == len(self.moves):  # else it may be of a clock that was set meanwhile
                offsets.take(found, self.now_ns(), self._now())

    def _is_right_again(self) -> bool:
        self.now_ns()
        if not self._arrivals.is_right:
            return False
        with self._lock:
            is_news, self._is_wrong = self._is_wrong, False
        if is_news:
            self._report("clock_right", "local timestamps are right again")
        return True

    @property
    def offset(self) -> ClockOffset | None:
        """The newest measurement of the first market that has one."""
        known = (each.newest for each in self._offsets.values())
        return next((offset for offset in known if offset is not None), None)

    def lags(self, rows: pl.DataFrame, not_read: Sequence[tuple[int, int]] = ()) -> pl.Series:
        """Return how late each of these rows arrived, ms; null if that is not known.

        ``not_read`` are spans of stamps of rows that were not read then, ascending.
        """
        late = (
            pl.col("local_timestamp").to_physical()
            - pl.col("timestamp").to_physical()
            + pl.lit(pl.Series(self._offsets_of(rows, not_read), nan_to_null=True))
        ) / 1e6
        if "is_snapshot" in rows.columns:
            late = pl.when(~pl.col("is_snapshot")).then(late)
        return rows.select(late.alias("lag_ms")).to_series()

    def _offsets_of(self, rows: pl.DataFrame, not_read: Sequence[tuple[int, int]]) -> _Floats:
        stamps = rows["local_timestamp"].to_physical().to_numpy()
        found = self._measured(rows, stamps)
        if not_read:
            first, end = np.array(tuple(not_read), dtype=np.int64).T  # it may grow meanwhile
            span = np.searchsorted(first, stamps, "right") - 1
            found[(span >= 0) & (stamps < end[span])] = np.nan
        return found

    def _measured(self, rows: pl.DataFrame, stamps: _Times) -> _Floats:
        if len(self._offsets) == 1:
            (offsets,) = self._offsets.values()
            return offsets.at(stamps)
        found: _Floats = np.full(rows.height, np.nan)
        names = rows["symbol"].cast(pl.String)
        for market, offsets in self._offsets.items():
            is_its = names.is_in(list(self._symbols[market])).fill_null(value=False).to_numpy()
            if ALL_SYMBOLS in self._symbols[market]:
                has_hyphen = names.str.contains("-", literal=True).fill_null(value=False)
                is_its |= has_hyphen.to_numpy() == (market is Market.SPOT)
            found = np.where(is_its, offsets.at(stamps), found)
        return found
