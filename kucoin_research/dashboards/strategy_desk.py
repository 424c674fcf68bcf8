"""The strategy of a dashboard: it begins on what is shown, and anew on the next stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kucoin_research.dashboards.idle import Idle
from kucoin_research.errors import InvalidInput
from kucoin_research.model.source import LiveSource, ReplaySource
from kucoin_research.playback.replay import Replay
from kucoin_research.strategy.options import RunOptions, Strategy
from kucoin_research.strategy.paper import PaperTrading, check_paper, paper

__all__ = ["StrategyDesk"]


class StrategyDesk:
    """Runs the strategy of a dashboard on whatever that shows.

    Parameters
    ----------
    run
        A run that was handed in; the user stops it.

    Attributes
    ----------
    run
        The run that is shown; None if there is none.
    """

    def __init__(self, run: PaperTrading | None) -> None:
        self.run = run
        self._is_own = False
        self._asked: tuple[Strategy, Mapping[str, Any]] | None = None
        self._stop: _Stop | None = None  # where a play to the next decision ends

    def ask(
        self,
        strategy: Strategy,
        options: Mapping[str, Any],
        source: LiveSource,
        *,
        is_from_start: bool = False,
    ) -> None:
        """Take a strategy to begin with; it is checked, and nothing begins or ends yet.

        Parameters
        ----------
        strategy, options
            See ``paper``.
        source, is_from_start
            See ``begin``.

        Raises
        ------
        InvalidInput
            If the strategy or an option cannot be used on the source.
        """
        if isinstance(source, Idle):
            RunOptions.of(strategy, **{k: v for k, v in options.items() if k not in _OF_PAPER})
        else:
            check_paper(strategy, source, **options)
        if is_from_start and isinstance(source, Replay) and options.get("record") is not None:
            raise InvalidInput("record= is for a stream; what is shown here is a recording already")
        self._asked = strategy, options

    def begin(
        self, source: LiveSource, *, symbol: str | None = None, is_from_start: bool = False
    ) -> None:
        """Begin the strategy that was asked for, if one was, and the source has rows to come.

        If it cannot begin, none runs.

        Parameters
        ----------
        source
            A stream or a replay.
        symbol
            Trade this symbol alone, unless the strategy was asked for with others; left out: all.
        is_from_start
            Whether a replay is to have been played to it from the first record on.
        """
        if self._asked is None or isinstance(source, Idle):
            return
        self.end()
        self.run = None
        strategy, options = self._asked
        reached = source.position_ns if is_from_start and isinstance(source, Replay) else None
        is_playing = isinstance(source, Replay) and source.state == "playing"
        if isinstance(source, Replay) and reached is not None and source.start_ns is not None:
            source.pause()  # else it would play the first records before the strategy is there
            source.seek(source.start_ns)
        named = options if symbol is None else {"symbols": symbol, **options}
        self.run, self._is_own = paper(strategy, source, **named), True
        self._asked = self.run.fresh_strategy, options  # without the state that it gets now
        if isinstance(source, Replay) and reached is not None:
            source.seek(reached)
            if is_playing:
                source.resume()

    def move(self, source: LiveSource, symbol: str) -> str:
        """Begin the strategy anew on another symbol of the same stream, where that is sound.

        One that was asked for with symbols of its own goes on with them.

        Returns
        -------
        str
            What became of it, for a line below the charts; empty if no strategy runs.
        """
        run = self.run
        if self._asked is None or run is None:
            return ""
        if self._asked[1].get("symbols") is None:
            self.begin(source, symbol=symbol)
            return f"the strategy begins anew on {symbol}"
        return (
            f"the strategy goes on with {', '.join(run.facts.channels)}" if run.is_running else ""
        )

    def end(self) -> None:
        """Stop the run, if the dashboard has begun it; its result stays."""
        self.disarm()
        if self._is_own and self.run is not None:
            self.run.stop()

    # -- to the next decision ----------------------------------------------------------------------

    def play_to_next(self, replay: ReplaySource, on_there: Callable[[], object]) -> None:
        """Play a replay at full speed up to the next fill or note, and pause behind it.

        It pauses at the end of the strategy, too.

        Parameters
        ----------
        replay
            What the strategy runs on.
        on_there
            Called on the replay's thread when it is there.

        Raises
        ------
        InvalidInput
            If no strategy runs on it.
        """
        run = self.run
        if run is None or run.ended is not None:
            raise InvalidInput("no strategy is running here, so there is no next fill or note")
        if replay.state == "ended":
            raise InvalidInput("the replay is at its end; wind it back first")
        if isinstance(run.on_moment, _Stop):  # of this dashboard, or another one of the run
            run.on_moment.disarm()
        self._stop = run.on_moment = _Stop(run, replay, on_there)
        replay.speed = None
        replay.resume()

    def disarm(self) -> None:
        """Give up playing to the next decision, and go on at the speed of before."""
        if self._stop is not None:
            self._stop.disarm()


class _Stop:
    """Pauses a replay at a run's next fill or note, or where the run ends."""

    def __init__(
        self, run: PaperTrading, replay: ReplaySource, on_there: Callable[[], object]
    ) -> None:
        self._run, self._replay, self._on_there = run, replay, on_there
        self._speed = replay.speed

    def __call__(self, _: PaperTrading) -> None:
        self._replay.pause()
        self._on_there()
        self.disarm()

    def disarm(self) -> None:
        """Wait no more, and go on at the speed of before."""
        if self._run.on_moment is self:
            self._run.on_moment = None
            self._replay.speed = self._speed


#: What ``paper`` takes besides the options of ``backtest``.
_OF_PAPER = ("record", "channels", "symbols")
