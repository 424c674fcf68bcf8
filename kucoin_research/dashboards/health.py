"""Whether the charts can be trusted: a colour, a word, and the reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from kucoin_research.dashboards.formatting import duration, size

__all__ = ["Colour", "Health", "Screen", "Vitals", "judge"]

_LAG_MS = (500.0, 2_000.0)  # amber from the first on, red from the second
# Silence that is amber, and red: multiple of the usual pause between rows, and the least seconds.
_SILENCE = ((10.0, 3.0), (30.0, 10.0))
_BUSY = (1.0, 10.0)  # s; from the second on, the reason adds that buttons wait
_SLOW_START = 10.0  # s
_OLD = 1.5  # s; the age from which on a screen no longer shows the data that the badge judges
_LITTLE_DISK = 1_000_000_000  # bytes, amber
_ROOM_ENDS = 100_000_000  # bytes, red


class Colour(StrEnum):
    """From good to bad; ``grey``: nothing runs."""

    GREY = "grey"
    GREEN = "green"
    AMBER = "amber"
    RED = "red"


_ORDER = list(Colour)


class Screen(NamedTuple):
    """The part of a page that has fallen behind most: its name, and its age in seconds."""

    what: str
    age: float


@dataclass(frozen=True)
class Vitals:
    """All measurements by which the health of a dashboard is judged.

    It has many fields because it is a record: one for each fact that some rule of ``judge`` reads.

    Attributes
    ----------
    state
        Of the stream (``connecting``, ``live``, ``reconnecting``, ``failed``, ``stopped``), of a
        replay (``playing``, ``paused``, ``ended``), or ``idle``.
    since
        Seconds in this state.
    messages_per_second, lag_p50_ms, lag_p95_ms
        As in ``StreamStatus``.
    age, usual
        Seconds since the newest row arrived, and the usual pause between two; ``None``: unknown.
    gaps, recent_gaps
        All gaps since the start, and those of the last minute that nothing has filled.
    silent
        The stream's report of a silent topic (``silent for …``) within the last minute, if any.
    reconnects, rows
        Counters: connections made anew, rows in memory.
    recorded
        Bytes written, ``None`` where nothing is recorded.
    recorder_error, recorder_lost, disk_free
        The files that cannot be written and why, rows missing in the recording, bytes free.
    error
        The present error of the stream.
    recent_broken, recent_dropped
        Messages that did not decode, and records that attached functions missed, in a minute.
    refresh_error
        The exception of the last refresh of a chart or of the dashboard.
    busy, was_busy
        Seconds that the kernel has been busy by now; and its longest busy time of the last seconds.
    book
        The reason why there is no order book, where one is streamed.
    failed
        Attached functions that have raised and are called no more, in words.
    screen
        The part of the page with the oldest data; ``None`` where nobody looks.
    """

    state: str = "idle"
    since: float = 0.0
    messages_per_second: float = 0.0
    lag_p50_ms: float | None = None
    lag_p95_ms: float | None = None
    age: float | None = None
    usual: float | None = None
    gaps: int = 0
    recent_gaps: int = 0
    silent: str | None = None
    reconnects: int = 0
    rows: int = 0
    recorded: int | None = None
    recorder_error: str | None = None
    recorder_lost: int = 0
    disk_free: int | None = None
    error: str | None = None
    recent_broken: int = 0
    recent_dropped: int = 0
    refresh_error: str | None = None
    busy: float = 0.0
    was_busy: float = 0.0
    book: str | None = None
    failed: tuple[str, ...] = ()
    screen: Screen | None = None

    @property
    def is_live(self) -> bool:
        """Whether rows are expected now."""
        return self.state == "live"

    @property
    def is_off(self) -> bool:
        """Whether nothing runs."""
        return self.state in ("idle", "stopped")


@dataclass(frozen=True)
class Health:
    """A judgement: ``print(dashboard.health)`` says it in one line.

    Attributes
    ----------
    colour
        That of the worst reason.
    word
        The state in a word or two.
    reasons
        Sentences, the worst first; none when all is well.
    vitals
        The measurements that were judged.
    """

    colour: Colour
    word: str
    reasons: tuple[str, ...]
    vitals: Vitals

    def __str__(self) -> str:
        return f"{self.colour}: {self.word}" + "".join(f"; {each}" for each in self.reasons)


Finding = tuple[Colour, str] | None


def judge(vitals: Vitals) -> Health:
    """Judge by all rules; the worst colour counts, and every reason is listed."""
    found = [finding for rule in _RULES if (finding := rule(vitals)) is not None]
    found.sort(key=lambda finding: -_ORDER.index(finding[0]))
    colour = found[0][0] if found else _base(vitals)
    return Health(colour, vitals.state, tuple(text for _, text in found), vitals)


def _base(vitals: Vitals) -> Colour:
    is_on = vitals.state in ("live", "playing", "paused", "ended")
    return Colour.GREEN if is_on else Colour.GREY


def _connection(vitals: Vitals) -> Finding:
    because = f": {vitals.error}" if vitals.error else ""
    if vitals.state == "failed":
        return Colour.RED, f"the stream has failed{because}"
    if vitals.state == "reconnecting":
        return Colour.RED, f"no connection for {duration(vitals.since)}{because}"
    if vitals.state == "connecting":
        if vitals.error or vitals.since > _SLOW_START:
            return Colour.RED, f"no connection after {duration(vitals.since)}{because}"
        return Colour.AMBER, "connecting"
    if vitals.error and not vitals.is_off:
        return Colour.AMBER, str(vitals.error)
    return None


def _silence(vitals: Vitals) -> Finding:
    if not vitals.is_live or vitals.age is None:
        return None
    usual = vitals.usual or 0.0
    (soon, soonest), (late, latest) = _SILENCE
    if vitals.age > max(late * usual, latest):
        return Colour.RED, f"no message for {duration(vitals.age)}{_instead_of(usual)}"
    if vitals.age > max(soon * usual, soonest):
        return Colour.AMBER, f"no message for {duration(vitals.age)}{_instead_of(usual)}"
    return None


def _instead_of(usual: float) -> str:
    return f", where one comes every {duration(usual)}" if usual else ""


def _lag(vitals: Vitals) -> Finding:
    lag = vitals.lag_p95_ms
    if lag is None or not vitals.is_live or lag < _LAG_MS[0]:
        return None
    colour = Colour.RED if lag >= _LAG_MS[1] else Colour.AMBER
    return colour, f"messages arrive late: 5 in 100 by more than {duration(lag / 1e3)}"


def _gaps(vitals: Vitals) -> Finding:
    count = vitals.recent_gaps
    if not count or vitals.is_off:
        return None
    return Colour.AMBER, f"{count} gap{'s' * (count > 1)} in the last minute; rows are missing"


def _topic(vitals: Vitals) -> Finding:
    if vitals.silent is None or vitals.is_off:
        return None
    return Colour.AMBER, f"a topic was {vitals.silent}"


def _losses(vitals: Vitals) -> Finding:
    if vitals.is_off:
        return None
    if vitals.recent_broken:
        return Colour.AMBER, f"{vitals.recent_broken} messages did not decode and were left out"
    if vitals.recent_dropped:
        return Colour.AMBER, f"attached functions are too slow: missed {vitals.recent_dropped} rows"
    return None


def _functions(vitals: Vitals) -> Finding:
    if not vitals.failed or vitals.is_off:
        return None
    first, *others = vitals.failed
    more = f", and {len(others)} more" if others else ""
    return Colour.AMBER, f"{first}; it is called no more{more}"


def _recorder(vitals: Vitals) -> Finding:
    if vitals.recorded is None:
        return None
    if vitals.recorder_error:
        return Colour.RED, vitals.recorder_error
    if vitals.recorder_lost:
        return Colour.RED, f"the recording lacks {vitals.recorder_lost:,} rows"
    free = vitals.disk_free
    if free is not None and free < _LITTLE_DISK:
        colour = Colour.RED if free < _ROOM_ENDS else Colour.AMBER
        return colour, f"the disk is filling: {size(free)} left"
    return None


def _book(vitals: Vitals) -> Finding:
    if vitals.book is None or not vitals.is_live or vitals.since < _BUSY[0]:
        return None
    return Colour.AMBER, vitals.book


def _kernel(vitals: Vitals) -> Finding:
    if vitals.busy >= _BUSY[1]:
        return Colour.AMBER, f"the kernel has been busy for {duration(vitals.busy)}; buttons wait"
    if vitals.busy >= _BUSY[0]:
        return Colour.AMBER, f"the kernel has been busy for {duration(vitals.busy)}"
    if vitals.was_busy >= _BUSY[0]:
        return Colour.AMBER, f"the kernel was busy for {duration(vitals.was_busy)}"
    return None


def _screen(vitals: Vitals) -> Finding:
    if vitals.screen is None or vitals.is_off or vitals.screen.age < _OLD:
        return None
    what, age = vitals.screen
    return Colour.AMBER, f"the screen shows {what} of {duration(age)} ago"


def _refresh(vitals: Vitals) -> Finding:
    if vitals.refresh_error is None:
        return None
    return Colour.AMBER, f"the last refresh failed: {vitals.refresh_error}"


# Among reasons of one colour the first is shown. So rules about lost data stand before rules about
# late data, and the busy kernel before the delays that it causes.
_RULES: tuple[Callable[[Vitals], Finding], ...] = (
    _connection, _recorder, _functions, _silence, _gaps, _topic, _losses, _kernel, _lag, _book,
    _screen, _refresh,
)  # fmt: skip
