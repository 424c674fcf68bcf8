"""Calls functions that users attach, guards against their errors, and names them in messages."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Sequence
from threading import Event
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

from kucoin_research.errors import InvalidInput

__all__ = [
    "Attachment",
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


class _Caller(Protocol):
    """A stream or a replay, which calls functions."""

    name: str

    @property
    def failures(self) -> tuple[Failure, ...]: ...
    @property
    def stopping(self) -> Event: ...


class Attachment:
    """An attached function; call it to detach that function.

    It says in a notebook's output which function is called with what, or why no more.

    Parameters
    ----------
    name
        The function's name.
    rows
        What it is called with, such as ``"each record of trade"``.
    caller
        The stream or replay that calls it.
    detach
        Detaches it; may be called twice.
    """

    def __init__(self, name: str, rows: str, caller: _Caller, detach: Callable[[], object]) -> None:
        self._name, self._rows = name, rows
        self._caller, self._detach = caller, detach
        self._is_detached = False

    def __call__(self) -> None:
        """Detach the function; a second call does nothing."""
        self._detach()
        self._is_detached = True

    def __repr__(self) -> str:
        name, caller = self._name, self._caller.name
        if self._is_detached:
            return f"<{name} is detached from {caller!r}>"
        for failure in self._caller.failures:
            if failure.name == name:
                return f"<{failure}; {caller!r} calls it no more>"
        if self._caller.stopping.is_set():
            return f"<{caller!r} was stopped; {name} is called no more>"
        return f"<{name} is called with {self._rows} of {caller!r}; call this object to detach it>"


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
