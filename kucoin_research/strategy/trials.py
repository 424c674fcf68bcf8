"""The trials of a sweep: what they share, and how a worker process runs one of them.

A worker receives bytes. It reads a session from disk itself, opens the data of a sweep once, and
sends back numbers and texts only, since anything else might not survive the way.
"""

from __future__ import annotations

import pickle
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from kucoin_research.errors import InvalidInput, SessionUnfinished
from kucoin_research.foundation.forking import cached_property, in_child
from kucoin_research.foundation.late_import import import_late
from kucoin_research.sessions.files.file_names import MANIFEST
from kucoin_research.sessions.files.folder_lock import is_being_recorded
from kucoin_research.sessions.loading import load
from kucoin_research.sessions.session import Session
from kucoin_research.strategy.backtest import facts_of, play
from kucoin_research.strategy.fingerprint import fingerprint_of
from kucoin_research.strategy.fresh_interpreter import FreshInterpreter
from kucoin_research.strategy.options import RunOptions, Strategy
from kucoin_research.strategy.result_stats import Value, figures_of
from kucoin_research.strategy.run import Failed, PaperRun
from kucoin_research.strategy.statistics import (
    LEAST_RETURNS,
    Coverage,
    Sharpe,
    sharpe_of,
    step_of,
)
from kucoin_research.strategy.tape import open_tape

__all__ = ["MakeStrategy", "Outcome", "Parameters", "Plan", "run_parcel"]

#: Makes a fresh strategy of a trial's parameters, which it takes by their names.
MakeStrategy = Callable[..., Strategy]
Parameters = dict[str, Any]


class Outcome(NamedTuple):
    """The outcome of a trial.

    Attributes
    ----------
    figures
        As in ``Result.stats``; empty if the trial failed.
    sharpe
        Per step of the sweep; ``None`` of fewer than 30 returns, or if they do not vary.
    fingerprint
        Of its fills.
    ended
        Why it ended early, or failed.
    was_run
        False if nothing was learned of it: the sweep was interrupted, or a worker has died.
    """

    figures: Mapping[str, Value] = {}
    sharpe: Sharpe | None = None
    fingerprint: str | None = None
    ended: str | None = None
    was_run: bool = True


class Plan:
    """Everything that the trials of a sweep share. Trials may run in several threads.

    Parameters
    ----------
    make_strategy
        Called with the parameters of each trial.
    data
        As ``backtest`` takes it.
    settings
        All options of ``backtest``.
    """

    def __init__(
        self, make_strategy: MakeStrategy, data: object, settings: Mapping[str, Any]
    ) -> None:
        self.make_strategy = make_strategy
        self.settings = dict(settings)
        self._trading = {**settings, "progress": False}
        channels, symbols = self._trading.pop("channels"), self._trading.pop("symbols")
        self.tape = open_tape(data, channels, symbols, settings["instruments"])

    @cached_property
    def step_ns(self) -> int:
        """Time that a return is over: one for all trials, so that their ratios compare."""
        timeline = self.tape.timeline
        gaps = [span for spans in self.tape.gaps.values() for span in spans]
        return step_of(Coverage(timeline.start_ns or 0, timeline.end_ns or 0, gaps))

    def blank_figures(self) -> Mapping[str, Value]:
        """Return the figures of a run that played nothing; their names are those of all runs.

        Raises
        ------
        InvalidInput
            If an option is none of those that it can be, so that no trial could run.
        """
        options = RunOptions.read(_idle, **self._trading)
        return figures_of(facts_of(PaperRun(_idle, self.tape, options))).values

    def run(self, parameters: Parameters) -> Outcome:
        """Run a trial; whatever the user's functions raise becomes its outcome."""
        try:
            strategy = self.make_strategy(**parameters)
        except Exception as error:  # noqa: BLE001 - a user's function may raise anything
            return Outcome(ended=f"making the strategy raised {_described(error)}")
        try:
            options = RunOptions.read(strategy, **self._trading)
        except InvalidInput as error:
            return Outcome(ended=f"make_strategy returned no strategy: {error}")
        run = play(strategy, self.tape, options)
        if run.failed is not None:
            return Outcome(ended=_failure(run.failed, run.records))
        facts = facts_of(run)
        figures = figures_of(facts, self.step_ns)
        returns = figures.grid.returns
        return Outcome(
            figures=dict(figures.values),
            sharpe=sharpe_of(returns) if len(returns) >= LEAST_RETURNS else None,
            fingerprint=fingerprint_of(facts.fills),
            ended=run.ended,
        )

    def parcel(self) -> bytes:
        """Pack the plan for ``run_parcel``: functions of a notebook by value, sessions by path.

        Raises
        ------
        InvalidInput
            If a part of it cannot be sent, or the session is still being recorded.
        """
        session = self.tape.session
        data = _Folders.of(session) if _is_on_disk(session) else _in_memory(session)
        parts = (self.make_strategy, data, self.settings)
        return packed(parts, "make_strategy, or something that it uses,")

    @classmethod
    def of_parcel(cls, parcel: bytes) -> Plan:
        """Unpack a plan."""
        make_strategy, data, settings = pickle.loads(parcel)  # noqa: S301 - the user's own
        return cls(make_strategy, data.open() if isinstance(data, _Folders) else data, settings)


def packed(value: object, name: str) -> bytes:
    """Pickle a value, functions and classes of a notebook or of ``__main__`` by value.

    Raises
    ------
    InvalidInput
        If it cannot be pickled; the message calls it ``name``.
    """
    try:
        made: bytes = import_late("cloudpickle").dumps(value)
    except Exception as error:
        raise InvalidInput(
            f"{name} cannot be sent to another process ({_described(error)}): make such things "
            "inside of make_strategy, or use threads, which share everything"
        ) from error
    return made


def _idle(record: object, broker: object) -> None:
    """Trade nothing."""


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _failure(failed: Failed, records: int) -> str:
    trace = failed.error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    line = "" if trace is None else f", in line {trace.tb_lineno} of {_function_of(trace)}"
    return f"the strategy raised {_described(failed.error)} at record {records:,}{line}"


def _function_of(trace: Any) -> str:
    return str(trace.tb_frame.f_code.co_name)


# -- data on its way -------------------------------------------------------------------------------


class _Folders(NamedTuple):
    """A session on its way to a process that reads it from disk.

    Attributes
    ----------
    paths
        Its folders.
    content
        A digest of names and sizes of the files: they must be the same where it is read.
    times
        When the files were changed last. Not compared, since copies have other times; but a parcel
        with other times is another parcel, so a worker reads a changed file again.
    """

    paths: tuple[str, ...]
    content: str
    times: tuple[int, ...]

    @classmethod
    def of(cls, session: Session) -> _Folders:
        paths = [path.resolve() for path in session.paths]
        for path in paths:
            if is_being_recorded(path):
                raise InvalidInput(
                    f"{path} is being recorded, and each process would read it at another length; "
                    "end the recording, or use no executor or one of threads"
                )
        times = tuple(file.stat().st_mtime_ns for path in paths for file in _files(path))
        return cls(tuple(map(str, paths)), _content(paths), times)

    def open(self) -> Session:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SessionUnfinished)  # the sweep's own process warns
            session = load(self.paths)
        if _content(session.paths) != self.content:
            raise InvalidInput(f"{', '.join(self.paths)}: other files than where the sweep began")
        return session


def _files(folder: Path) -> list[Path]:
    shown = (each for each in folder.iterdir() if not each.name.startswith("."))
    return sorted(each for each in shown if each.is_file())


def _content(paths: list[Path] | tuple[Path, ...]) -> str:
    digest = sha256()
    for file in (each for path in paths for each in _files(Path(path))):
        digest.update(f"{file.name} {file.stat().st_size}\n".encode())
        if file.name == MANIFEST:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _is_on_disk(session: Session) -> bool:
    """Return whether ``load`` can open it again; it opens neither frames nor others' files."""
    folders = set(session.paths)
    return all(table.folder in folders for table in session.tables())


def _in_memory(session: Session) -> Session:
    """Collect the rows of a session, so that it can be sent."""
    tables = [replace(table, scan=session.collect(table.scan()).lazy) for table in session.tables()]
    return Session(tables, session.metas, session.paths, session.notes, session.known_damage)


# -- in the worker ---------------------------------------------------------------------------------


class _Opened:
    """The plan that a process has received last, so that its data are opened once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the two below, and lets one thread open the data
        self._parcel: bytes | None = None
        self._plan: Plan | None = None

    def plan(self, parcel: bytes) -> Plan:
        with self._lock:
            if self._plan is None or parcel != self._parcel:
                self._plan = Plan.of_parcel(parcel)
                self._parcel = parcel
            return self._plan


_opened = _Opened()
_fresh: FreshInterpreter | None = None


def _after_fork() -> None:
    # The threads of polars are not copied by a fork, so its locks are never released in the child.
    global _opened, _fresh
    _opened = _Opened()
    _fresh = FreshInterpreter(run_parcel)


in_child(_after_fork)


def run_parcel(parcel: bytes, parameters: bytes) -> Outcome:
    """Run a trial of a plan that was packed; called in a worker process.

    In a process that was forked it runs in a fresh interpreter, as polars works in no other.
    """
    if _fresh is not None:
        found: Outcome = _fresh.call(parcel, parameters)
        return found
    try:
        plan = _opened.plan(parcel)
        read = pickle.loads(parameters)  # noqa: S301 - the user's own
    except Exception as error:  # noqa: BLE001 - of any library that the user's functions need
        why = f"the worker cannot read the sweep: {_described(error)}"
        return Outcome(ended=why, was_run=False)
    return plan.run(read)
