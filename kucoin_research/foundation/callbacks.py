"""Functions that users attach: called, guarded, and named when they raise."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Sequence
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Generic, NamedTuple, Self, TypeVar

from kucoin_research.errors import InvalidInput

__all__ = [
    "BatchSink",
    "Failure",
    "NeverRun",
    "check_has_run",
    "describe",
    "name_of_function",
    "without",
]

log = logging.getLogger(__name__)

T = TypeVar("T")


class NeverRun(InvalidInput):
    """A function returned a coroutine or a generator, of which nothing has run."""


def check_has_run(result: object, name: str) -> None:
    """Refuse a result that is the work itself, which nobody is going to do.

    A coroutine is closed, so that Python does not warn of it as well. Tasks and futures pass: they
    run.

    Parameters
    ----------
    result
        What a function has returned.
    name
        The function's.

    Raises
    ------
    NeverRun
        If it is a coroutine or a generator that was not started.
    """
    if isinstance(result, CoroutineType) and inspect.getcoroutinestate(result) == "CORO_CREATED":
        result.close()
        kind, cure = "a coroutine", "have asyncio.run_coroutine_threadsafe(…, loop) run it"
    elif isinstance(result, GeneratorType) and inspect.getgeneratorstate(result) == "GEN_CREATED":
        kind, cure = "a generator", "loop over it there"
    elif isinstance(result, AsyncGeneratorType):
        kind, cure = "an async generator", "loop over it in a coroutine that an event loop runs"
    else:
        return
    raise NeverRun(f"{name} returned {kind}, of which nothing runs; {cure}")


def name_of_function(call: object) -> str:
    """Name a function in messages: a callable object by its type."""
    name = getattr(call, "__name__", None)
    return name if isinstance(name, str) else type(call).__name__


class BatchSink(Generic[T]):
    """A function that is called with batches; attached twice, it is two.

    Parameters
    ----------
    call
        The function.
    """

    def __init__(self, call: Callable[[Sequence[T]], object]) -> None:
        self.name = name_of_function(call)
        self._call = call

    def take(self, items: Sequence[T]) -> BaseException | None:
        """Call it; returns what it raised, after which it must not be called again."""
        try:
            result = self._call(items)
            if result is not None:
                check_has_run(result, self.name)
        # SystemExit, too: threading would take it for the wish to end this thread, silently.
        except (Exception, SystemExit) as error:  # the sink guard
            log.exception("a batch sink raised and was detached")
            return error
        return None


class Failure(NamedTuple):
    """A function that has raised, and is called no more.

    Attributes
    ----------
    name
        Of the function.
    error
        What it raised.
    trace
        The traceback in words.
    time_ns
        When, ns UTC; of a replay, where it was.
    """

    name: str
    error: BaseException
    trace: str
    time_ns: int

    @classmethod
    def of(cls, name: str, error: BaseException, time_ns: int) -> Self:
        """Take note of what a function has raised."""
        return cls(name, error, _trace(error), time_ns)

    def __str__(self) -> str:
        if isinstance(self.error, NeverRun):  # which it has not raised itself
            return str(self.error)
        return f"{self.name} raised {describe(self.error)}"


def without(failures: Sequence[Failure], name: str) -> tuple[Failure, ...]:
    """Forget the failures of a function that is attached anew."""
    return tuple(each for each in failures if each.name != name)


def describe(error: BaseException) -> str:
    """Tell an error in words, whatever its own ``__str__`` does."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  part of the sink guard: an error that cannot be shown
        return type(error).__name__


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error)).strip()
    except Exception:  # noqa: BLE001  part of the sink guard: an error that cannot be shown
        return type(error).__name__
