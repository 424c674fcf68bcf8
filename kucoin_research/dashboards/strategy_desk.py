"""The strategy of a dashboard: it begins on what is shown, and anew on the next stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kucoin_research.dashboards.idle import Idle
from kucoin_research.errors import InvalidInput
from kucoin_research.model.source import LiveSource, ReplaySource
from kucoin_research.playback.replay import Replay
from kucoin_research.strategy.options import RunOptions, Strategy
from kucoin_research.strategy.paper import PaperTrading, paper

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
        self._disarm: Callable[[], None] | None = None  # ends a play to the next decision

    def ask(self, strategy: Strategy, options: Mapping[str, Any]) -> None:
        """Take a strategy to begin with; its options are checked, nothing begins yet."""
        RunOptions.of(strategy, **{k: v for k, v in options.items() if k not in _OF_PAPER})
        self._asked = strategy, options

    def begin(self, source: LiveSource, *, is_from_start: bool = False) -> None:
        """Begin the strategy that was asked for, if one was, and the source has rows to come.

        Parameters
        ----------
        source
            A stream or a replay.
        is_from_start
            Whether a replay is to have been played to it from the first record on.
        """
        if self._asked is None or isinstance(source, Idle):
            return
        self.end()
        strategy, options = self._asked
        reached = source.position_ns if is_from_start and isinstance(source, Replay) else None
        if isinstance(source, Replay) and reached is not None and source.start_ns is not None:
            source.seek(source.start_ns)
        self.run, self._is_own = paper(strategy, source, **options), True
        self._asked = self.run.fresh_strategy, options  # without the state that it gets now
        if isinstance(source, Replay) and reached is not None:
            source.seek(reached)

    def end(self) -> None:
        """Stop the run, if the dashboard has begun it; its result stays."""
        self.disarm()
        if self._is_own and self.run is not None:
            self.run.stop()

    # -- to the next decision ----------------------------------------------------------------------

    def play_to_next(self, replay: ReplaySource, on_there: Callable[[], object]) -> None:
        """Play a replay at full speed up to the next fill or note, and pause behind it.

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
        self.disarm()
        speed = replay.speed

        def disarm() -> None:
            run.on_moment = self._disarm = None
            replay.speed = speed

        def stop(_: PaperTrading) -> None:
            replay.pause()
            disarm()
            on_there()

        run.on_moment, self._disarm = stop, disarm
        replay.speed = None
        replay.resume()

    def disarm(self) -> None:
        """Give up playing to the next decision, and go on at the speed of before."""
        disarm = self._disarm
        if disarm is not None:
            disarm()


#: What ``paper`` takes besides the options of ``backtest``.
_OF_PAPER = ("record", "channels", "symbols")
