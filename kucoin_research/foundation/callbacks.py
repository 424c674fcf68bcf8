"""Calls functions that users attach, guards against their errors, and names them in messages."""

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
    """A function returned a coroutine or a generator, so none of its code has run."""


def check_has_run(result: object, name: str) -> None:
    """Check that a function's result is no coroutine or generator that nobody will run.

    A coroutine is closed, so that Python does not also warn about it. Tasks and futures pass, since
    they run by themselves.

    Parameters
    ----------
    result
        The function's return value.
    name
        The function's name, for the message.

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
    """Return a function's name for messages; a callable object is named by its type."""
    name = getattr(call, "__name__", None)
    return name if isinstance(name, str) else type(call).__name__


class BatchSink(Generic[T]):
    """A user's function that is called with batches; if attached twice, it has two sinks.

    Parameters
    ----------
    call
        The function.
    """

    def __init__(self, call: Callable[[Sequence[T]], object]) -> None:
        self.name = name_of_function(call)
        self._call = call

    def take(self, items: Sequence[T]) -> BaseException | None:
        """Call it and return the error that it raised, if any; then it must not be called again."""
        try:
            result = self._call(items)
            if result is not None:
                check_has_run(result, self.name)
        # SystemExit too, since threading would let it end this thread without a word.
        except (Exception, SystemExit) as error:  # the sink guard
            log.exception("a batch sink raised and was detached")
            return error
        return None


class Failure(NamedTuple):
    """An attached function that raised, and is called no more.

    Attributes
    ----------
    name
        The function's name.
    error
        The error that it raised.
    trace
        The traceback as text.
    time_ns
        When it raised, ns UTC; in a replay, the recorded time.
    """

    name: str
    error: BaseException
    trace: str
    time_ns: int

    @classmethod
    def of(cls, name: str, error: BaseException, time_ns: int) -> Self:
        """Make the failure of a function from the error that it raised."""
        return cls(name, error, _trace(error), time_ns)

    def __str__(self) -> str:
        if isinstance(self.error, NeverRun):  # raised by our check, and its text names the function
            return str(self.error)
        return f"{self.name} raised {describe(self.error)}"


def without(failures: Sequence[Failure], name: str) -> tuple[Failure, ...]:
    """Return the failures without those of the function ``name``, which is attached again."""
    return tuple(each for each in failures if each.name != name)


def describe(error: BaseException) -> str:
    """Return an error's type and text, or only its type if its own ``__str__`` raises."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001  part of the sink guard: an error that cannot be shown
        return type(error).__name__


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error)).strip()
    except Exception:  # noqa: BLE001  part of the sink guard: an error that cannot be shown
        return type(error).__name__
