"""Sweeps: a strategy with many parameters on the same data, in this process or in many."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    as_completed,
)
from contextlib import closing
from functools import partial
from typing import Any

import polars as pl

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.arguments import count, name_of, only_known, plain_function, truth
from kucoin_research.foundation.late_import import import_late
from kucoin_research.foundation.progress import quiet_tqdm
from kucoin_research.strategy.backtest import backtest
from kucoin_research.strategy.grids import trials_of
from kucoin_research.strategy.options import instruments_of
from kucoin_research.strategy.sweep_facts import OTHER_COLUMNS, SweepFacts
from kucoin_research.strategy.sweep_text import html_of, text_of
from kucoin_research.strategy.trials import (
    MakeStrategy,
    Outcome,
    Parameters,
    Plan,
    packed,
    run_parcel,
)

__all__ = ["Sweep", "sweep"]

_NOT_RUN = Outcome(ended="not run: the sweep was interrupted", was_run=False)


class Sweep:
    """The trials of a sweep: a frame, the best of them, and how much luck explains it.

    It prints itself in a terminal and in a notebook.

    Parameters
    ----------
    facts
        Everything that the sweep has collected.
    """

    def __init__(self, facts: SweepFacts) -> None:
        self._facts = facts

    @property
    def frame(self) -> pl.DataFrame:
        """A row for each trial, in the order of the grid.

        Columns: the parameters; the figures of ``Result.stats``; ``fingerprint`` of the fills;
        ``ended``: why a trial ended early or failed. Figures of a failed trial are null. The ratios
        of all trials are of returns over one step of time, also if a trial ended early.
        """
        return self._facts.frame

    def to_frame(self) -> pl.DataFrame:
        """Return ``frame``."""
        return self._facts.frame

    @property
    def best(self) -> dict[str, Any] | None:
        """The parameters of the trial with the highest Sharpe ratio; ``None`` if none has one.

        ``make_strategy(**sweep.best)`` makes its strategy.
        """
        best = self._facts.best
        return None if best is None else dict(self._facts.trials[best])

    @property
    def trials(self) -> int:
        """The number of trials ever run: also those that failed, and those of earlier sweeps."""
        return self._facts.counted

    @property
    def complete(self) -> bool:
        """Whether every trial was run, if only to fail."""
        return all(each.was_run for each in self._facts.outcomes)

    @property
    def deflated_sharpe(self) -> float | None:
        """The probability that the best trial is better than luck, from 0 to 1.

        It is ``None`` where no trial has a Sharpe ratio, or only one of several has.

        Notes
        -----
        Bailey and López de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40
        (2014), https://papers.ssrn.com/abstract=2460551, with all ``trials`` as independent ones,
        and the variance of the Sharpe ratios of those that have one. Trials that resemble each
        other should count as fewer, which would raise the probability; trials that you made by hand
        should count, too, which lowers it: add them with ``trials_before``.
        """
        return self._facts.deflated_sharpe

    def __repr__(self) -> str:
        return text_of(self._facts)

    def _repr_html_(self) -> str:
        return html_of(self._facts)

    def heatmap(
        self,
        x: str | None = None,
        y: str | None = None,
        *,
        value: str = "sharpe",
        theme: str = "light",
        height: int = 420,
    ) -> Any:
        """Draw a figure over two parameters, or over one.

        Parameters
        ----------
        x, y
            Names of parameters. Left out, the first two that vary.
        value
            A numeric column of ``frame``. Where trials share a cell, as other parameters vary, it
            shows their mean; a cell without a value stays empty.
        theme
            ``"light"`` or ``"dark"``.
        height
            Pixels.

        Returns
        -------
        kucoin_research.figures.Figure
            The cell of the trial with the highest Sharpe ratio is framed.

        Raises
        ------
        InvalidInput
            If there is no such parameter or figure.
        ModuleNotFoundError
            If plotly is not installed.
        """
        facts = self._facts
        names = list(dict.fromkeys(name for trial in facts.trials for name in trial))
        # Figures need plotly, which a sweep does without; so they are imported for a drawing only.
        return import_late("kucoin_research.figures.sweep_chart").sweep_figure(
            facts.frame,
            names,
            x=x,
            y=y,
            value=value,
            best=facts.best,
            theme=theme,
            height=height,
        )


def sweep(
    make_strategy: MakeStrategy,
    grid: Mapping[str, Iterable[Any]] | Iterable[Mapping[str, Any]] | pl.DataFrame,
    data: object,
    *,
    executor: Executor | None = None,
    trials_before: int | Sweep = 0,
    progress: bool = True,
    name: str | None = None,
    **options: Any,
) -> Sweep:
    """Backtest a strategy with each of many parameters on the same data.

    Parameters
    ----------
    make_strategy
        ``make_strategy(**parameters)`` returns a fresh strategy for each trial.
    grid
        A mapping of parameters to lists of values: each combination is a trial, the last parameter
        varying fastest. Or an iterable of mappings, or a frame: each of them, or each row, is a
        trial.
    data
        As for ``backtest``. Other processes read a session from its folder, so they need to see it;
        frames are sent to them with each trial.
    executor
        Of ``concurrent.futures``: threads or processes; of Dask, ``client.get_executor()``. Left
        out, the trials run here, one after another. All make the same numbers. It is not shut down.
        Functions and classes of a notebook are sent by value, those of modules by name. Threads
        share one core. Spawned processes start faster than forked ones, which have to start an
        interpreter each, since polars does not work after a fork.
    trials_before
        The number of trials that you made before, or an earlier ``Sweep``, with all that were
        counted there: the more were tried, the better is the best by luck alone.
    progress
        Whether to show a bar.
    name
        The name that is printed; the function's if None.
    **options
        Those of ``backtest``.

    Returns
    -------
    Sweep
        A trial that raises does not end the sweep; its row shows the reason. So does that of a
        trial whose worker process has died. Ctrl-C returns the trials so far, and cancels those
        that have not begun; where workers run trials, these are left to end.

    Raises
    ------
    InvalidInput
        If an option, the grid or the data cannot be used, or the strategy cannot be sent.

    Examples
    --------
    >>> found = kr.sweep(make_cross, {"fast": [5, 10], "slow": [20, 50]}, "data/sample")
    >>> found.frame.sort("sharpe", descending=True)
    >>> with ProcessPoolExecutor() as pool:
    ...     found = kr.sweep(make_cross, grid, "data/sample", executor=pool)
    """
    plain_function(make_strategy, "sweep", "parameters")
    _refuse_others(executor)
    plan = Plan(make_strategy, data, _settings(options))
    blank = plan.blank_figures()
    trials = trials_of(grid, (*blank, *OTHER_COLUMNS))
    counted, ratios = _before(trials_before, plan.step_ns)
    label = name_of(name) or _name_of(make_strategy)
    outcomes: dict[int, Outcome] = {}
    with closing(_bar(label, len(trials), is_shown=truth(progress, "progress"))) as bar:
        try:
            _run_all(plan, trials, executor, outcomes, bar)
            is_interrupted = False
        except KeyboardInterrupt:
            is_interrupted = True
    return Sweep(
        SweepFacts(
            name=label,
            currency=plan.settings["currency"],
            step_ns=plan.step_ns,
            trials=trials,
            outcomes=[outcomes.get(place, _NOT_RUN) for place in range(len(trials))],
            blank=blank,
            trials_before=counted,
            ratios_before=ratios,
            is_interrupted=is_interrupted,
        )
    )


# -- what a user may pass --------------------------------------------------------------------------

#: The options of ``backtest`` and their defaults, without those that a sweep has itself.
_DEFAULTS = {
    each.name: each.default
    for each in inspect.signature(backtest).parameters.values()
    if each.kind is each.KEYWORD_ONLY
}
_OWN = ("executor", "trials_before", "progress", "name")


def _settings(options: Mapping[str, Any]) -> dict[str, Any]:
    only_known(options, [*_OWN[:2], *_DEFAULTS], "sweep")
    settings = {**_DEFAULTS, **options, "progress": False}
    settings["instruments"] = instruments_of(settings["instruments"])
    for each in ("channels", "symbols"):
        if isinstance(settings[each], Iterable) and not isinstance(settings[each], str):
            settings[each] = list(settings[each])  # an iterator would serve one process only
    return settings


def _refuse_others(executor: object) -> None:
    if executor is None or isinstance(executor, Executor):
        return
    hint = "; of a Dask client: client.get_executor()" if hasattr(executor, "get_executor") else ""
    raise InvalidInput(
        "executor must be one of concurrent.futures, such as ProcessPoolExecutor(), not "
        f"{shown(executor)}{hint}"
    )


def _before(trials: int | Sweep, step_ns: int) -> tuple[int, tuple[float, ...]]:
    if isinstance(trials, Sweep):
        return trials._facts.counted, trials._facts.ratios_over(step_ns)  # noqa: SLF001 - a peer
    return count(trials, "trials_before", "trials", least=0), ()


def _name_of(make_strategy: object) -> str:
    while isinstance(make_strategy, partial):
        make_strategy = make_strategy.func
    return str(getattr(make_strategy, "__name__", type(make_strategy).__name__))


def _bar(name: str, trials: int, *, is_shown: bool) -> Any:
    form = "{desc}: {n_fmt} of {total_fmt} trials |{bar}| {elapsed}<{remaining}"
    return quiet_tqdm(
        total=trials, desc=name, bar_format=form, mininterval=0.1, disable=not is_shown
    )


# -- running ---------------------------------------------------------------------------------------


def _run_all(
    plan: Plan,
    trials: list[Parameters],
    executor: Executor | None,
    outcomes: dict[int, Outcome],
    bar: Any,
) -> None:
    """Run the trials; ``outcomes`` holds those that have ended, also after an interrupt."""
    if executor is None:
        for place, parameters in enumerate(trials):
            outcomes[place] = plan.run(parameters)
            bar.update()
        return
    places: dict[Future[Outcome], int] = {}
    try:
        broken = _submit(_jobs(plan, trials, executor), executor, places)
        for future in as_completed(places):
            outcomes[places[future]] = _outcome_of(future)
            bar.update()
        if broken is not None:
            for place in range(len(places), len(trials)):
                outcomes[place] = broken
    finally:
        for future, place in places.items():
            if not future.cancel() and future.done() and place not in outcomes:
                outcomes[place] = _outcome_of(future)


def _jobs(plan: Plan, trials: list[Parameters], executor: Executor) -> list[Callable[[], Outcome]]:
    if isinstance(executor, ThreadPoolExecutor):
        return [partial(plan.run, each) for each in trials]
    parcel = plan.parcel()
    name = "a value of the grid"
    return [partial(run_parcel, parcel, packed(each, name)) for each in trials]


def _submit(
    jobs: list[Callable[[], Outcome]], executor: Executor, places: dict[Future[Outcome], int]
) -> Outcome | None:
    """Submit the trials; the outcome of the rest, if the executor broke meanwhile."""
    for place, job in enumerate(jobs):
        try:
            places[executor.submit(job)] = place
        except BrokenExecutor as error:
            if place:
                return _lost(error)
            raise InvalidInput(f"the executor is broken, make a new one: {error}") from error
        except RuntimeError as error:
            raise InvalidInput(f"the executor takes no trials: {error}") from error
    return None


def _outcome_of(future: Future[Outcome]) -> Outcome:
    try:
        error = future.exception()
    except CancelledError:
        return Outcome(ended="not run: it was cancelled", was_run=False)
    return future.result() if error is None else _lost(error)


def _lost(error: BaseException) -> Outcome:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Outcome(ended=f"lost with its worker: {text}", was_run=False)
