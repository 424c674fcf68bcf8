"""Recording: a stream's rows go to CSV files, on a thread of its own.

The feed only puts its rows into a queue. Four times a second, the recorder's thread empties it,
sorts the rows by file, formats them and appends whole lines. A file never keeps half a line: a
write that fails is cut back at once or, if even that fails, before the next one. A file that cannot
be written is stuck by itself: its rows are kept, up to a bound, and tried again each second, while
all others go on. ``session.json`` lists the rows that are lost, with their time and the reason.
"""

from __future__ import annotations

import atexit
import html
import inspect
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation import clocks
from kucoin_research.foundation.arguments import (
    explains_itself,
    folder_to_write,
    listed_texts,
    only_known,
)
from kucoin_research.foundation.interrupts import arrived, hold, join
from kucoin_research.foundation.regular_files import worded
from kucoin_research.model.damage import Damage, Loss
from kucoin_research.model.instruments import Instrument
from kucoin_research.model.records import Record
from kucoin_research.sessions.files.file_names import folder_name
from kucoin_research.sessions.files.manifest_values import instruments_to
from kucoin_research.sessions.writing.csv_writer import CsvWriter
from kucoin_research.sessions.writing.loss_log import RefusalLog
from kucoin_research.sessions.writing.manifest_writer import ManifestWriter, RecordingFacts
from kucoin_research.sessions.writing.recording_loop import RETRY, RecordingLoop
from kucoin_research.sessions.writing.row_queue import RowQueue
from kucoin_research.sessions.writing.session_folder import SessionFolder
from kucoin_research.sessions.writing.trouble_reporter import (
    OnTrouble,
    TroubleReporter,
    name_files,
)

__all__ = [
    "COMPRESSIONS",
    "FSYNC_POLICIES",
    "QUEUE_ROWS",
    "Recorder",
    "check_options",
    "recorder_for",
]

COMPRESSIONS = (None, "zstd", "gzip")
FSYNC_POLICIES = ("never", "rotate", "second")
#: The most rows that wait; about 300 MB of tickers.
QUEUE_ROWS = 1_000_000


@explains_itself
class Recorder:
    """Writes rows to a new session folder until it is closed.

    Parameters
    ----------
    root
        The folder of all sessions. The new folder is named by the start in UTC and the symbols. If
        the name is taken, a number is added, so that nothing is ever overwritten.
    symbols, channels
        The recorded ones, for the name and ``session.json``.
    venue, market, instruments
        Likewise for ``session.json``.
    compression
        None, ``"zstd"`` or ``"gzip"``: one frame or member for each flush.
    fsync
        ``"never"`` leaves it to the system when bytes reach the disk (a crash of the process loses
        nothing, one of the machine may cost its last seconds), ``"rotate"`` makes sure of each
        day's files and of the end, ``"second"`` of everything, each second.
    queue_rows
        The most rows kept in memory while they cannot be written; for one file that is stuck while
        others are written, 100,000. Further rows are dropped, counted and reported.
    on_trouble
        Called with an event's name and one sentence, on the recorder's thread:
        ``recording_failed``, ``recording_resumed``, ``recording_dropped``, ``recording_refused``,
        ``recording_changed``.
    on_cycle
        Called four times a second, on the recorder's thread.
    damage, losses
        The rows known to be missing from the start, if the rows are those of another recording;
        ``session.json`` lists them, and so does the session's report.
    start_ns
        Now when left out, ns UTC.
    ends_itself
        Whether the ``stopped`` row at the end of a stream's rows ends the recording.
    clock
        The clock that it lives by; the machine's own when left out.

    Raises
    ------
    InvalidInput
        If compression, policy or bound are none of these.
    OSError
        If the folder cannot be made or written to; of the kind that the system raises.

    Notes
    -----
    ``take`` is for one thread at a time, in order, as under a stream's delivery lock; everything
    else may be called from any thread. A ``stopped`` row of the stream ends the recording.

    Others may rename, replace, cut or delete files and the folder meanwhile. The recorder notices
    that before it appends anything, and reports it (``recording_changed``, or ``recording_failed``
    if rows are lost); ``session.json`` lists the lost rows. A folder that was renamed is written to
    in its new place, see ``path``.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "data/sessions",
        *,
        symbols: Sequence[str] = (),
        channels: Sequence[str] = (),
        venue: Mapping[str, str | None] | str | None = None,
        market: str | None = None,
        instruments: Iterable[Instrument] = (),
        compression: str | None = None,
        fsync: str = "never",
        queue_rows: int = QUEUE_ROWS,
        on_trouble: OnTrouble | None = None,
        on_cycle: Callable[[], object] | None = None,
        damage: Iterable[Damage] = (),
        losses: Iterable[Loss] = (),
        start_ns: int | None = None,
        ends_itself: bool = True,
        clock: clocks.Clock | None = None,
    ) -> None:
        self._clock = clocks.current() if clock is None else clock
        policy = check_options(compression, fsync, queue_rows)
        start_ns = self._clock.wall_ns() if start_ns is None else start_ns
        symbols, channels = listed_texts(symbols, "symbols"), listed_texts(channels, "channels")
        about = {
            "venue": venue,
            "market": market,
            "symbols": symbols,
            "channels": channels,
            "instruments": instruments_to(instruments),
        }
        noted = [each.to_manifest() for each in damage]
        facts = RecordingFacts(about, start_ns, compression, noted, list(losses))
        self._folder = _new_folder(folder_to_write(root, "root"), folder_name(start_ns, symbols))
        self._files = CsvWriter(self._folder.path, compression)
        self._closed = self._clock.event()
        self._queue = RowQueue(queue_rows, self._closed.is_set)
        self._refusals = RefusalLog()
        self._manifest = ManifestWriter(
            facts, self._folder, self._files, self._queue, self._refusals
        )
        self._loop = RecordingLoop(
            self._folder,
            self._files,
            self._queue,
            refusals=self._refusals,
            manifest=self._manifest,
            reporter=TroubleReporter(self._folder, queue_rows, on_trouble),
            bound=queue_rows,
            fsync=policy,
            ends_itself=ends_itself,
            on_cycle=on_cycle,
            detach=self._detach,
            closed=self._closed,
            clock=self._clock,
        )
        self._before_close: list[Callable[[], object]] = []
        self._pid = os.getpid()
        try:
            self._manifest.write("recording", None)
        except OSError as error:
            self._folder.release()
            raise _cannot_record(self.path, error) from error
        self._thread = self._clock.thread(self._loop.run, f"kucoin-recorder-{self.path.name}")
        self._thread.start()
        atexit.register(self.close)

    def take(self, rows: Sequence[Record]) -> None:
        """Put rows into the queue; never blocks and never raises.

        Parameters
        ----------
        rows
            Of all channels, in order; must not change afterwards.
        """
        if rows:
            self._queue.put(rows)

    @property
    def path(self) -> Path:
        """The session's folder; its present place, if it was renamed."""
        return self._folder.path

    @property
    def rows(self) -> int:
        """Rows written."""
        return self._files.rows

    @property
    def bytes(self) -> int:
        """Bytes written, as they are on the disk."""
        return self._files.size

    @property
    def waiting(self) -> int:
        """Rows in memory that are not written yet."""
        return self._queue.waiting

    @property
    def room(self) -> int:
        """Rows that may wait besides those in memory."""
        return self._queue.room

    @property
    def dropped(self) -> int:
        """Rows that are lost: they found no room while they could not be written, or were removed.

        ``session.json`` says when and why, and so does the session's report.
        """
        return self._queue.dropped + self._files.lost

    @property
    def refused(self) -> int:
        """Rows that cannot be written, such as those with a number that is not finite.

        ``session.json`` says when and why, and so does the session's report.
        """
        return self._refusals.rows

    @property
    def rate(self) -> float:
        """Rows written per second, over the last five seconds."""
        return self._loop.rate

    @property
    def error(self) -> OSError | None:
        """The error that keeps rows from being written now, of any file; None when all is well."""
        return self._loop.error

    @property
    def stuck(self) -> dict[str, OSError]:
        """The files that cannot be written now, by name, and why; all others go on."""
        return self._files.stuck

    @property
    def free(self) -> int | None:
        """Bytes free on the disk; None where the system does not say."""
        try:
            return shutil.disk_usage(self.path).free
        except OSError:
            return None

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will be written."""
        return self._closed.is_set()

    def __str__(self) -> str:
        free, dropped, stuck, error = self.free, self.dropped, list(self.stuck), self.error
        parts = [
            f"{self.rows:,} rows",
            _size(self.bytes),
            f"{self.rate:,.0f} rows/s",
            *([f"{dropped:,} dropped"] if dropped else []),
            *([f"{self.refused:,} refused"] if self.refused else []),
            *([f"{_size(free)} free"] if free is not None else []),
            *([f"{name_files(stuck)} stuck"] if stuck else []),
            *([str(error)] if error is not None else []),
        ]
        return " · ".join(parts)

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "recording"
        return f"<Recorder {state} {self.path}: {self}>"

    def _repr_html_(self) -> str:
        state = "closed" if self.is_closed else "recording"
        return (
            f"<div><b>{html.escape(self.path.name)}</b> ({state})<br>{html.escape(str(self))}"
            f"<br><small>{html.escape(str(self.path))}</small></div>"
        )

    def include(
        self, subscriptions: Iterable[Any], instruments: Iterable[Instrument]
    ) -> Callable[[Sequence[Any]], None]:
        """Record further symbols and channels, which ``session.json`` lists before their rows.

        Parameters
        ----------
        subscriptions
            Each with ``symbol``, ``channel`` and ``market``.
        instruments
            The facts of the symbols.

        Returns
        -------
        Callable[[Sequence[Any]], None]
            Takes it back but for some of the subscriptions, if they are not streamed after all.
        """
        before, facts = self._manifest.about, list(instruments)
        self._manifest.about = _with(before, list(subscriptions), facts)
        self._loop.announce()

        def take_back(kept: Sequence[Any]) -> None:
            symbols = {each.symbol for each in kept}
            known = [each for each in facts if each.symbol in symbols]
            self._manifest.about = _with(before, kept, known)
            self._loop.announce()

        return take_back

    def before_close(self, action: Callable[[], object]) -> None:
        """Add a function to be called when closing begins, such as the detaching from a stream."""
        self._before_close.append(action)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the recording has ended; return False if the time passed first."""
        return self._closed.wait(timeout)

    @hold(passes_on=True)
    def close(self, timeout: float = 10.0) -> bool:
        """Write the waiting rows and the final ``session.json``; may be called twice.

        Not for a thread that holds the stream's delivery lock: the final reports need it.

        Parameters
        ----------
        timeout
            Seconds. While the disk accepts nothing, each second brings another attempt until then.

        Returns
        -------
        bool
            Whether everything is on the disk. If not, ``error`` says why, and the rows are lost:
            ``session.json`` lists them as ``dropped``, if it can be written, and its state stays
            ``recording``.
        """
        # a forked child has no recorder thread, and must not end its parent's recording
        if self._pid != os.getpid():
            return False
        seen = arrived()
        if not self._loop.is_closing:
            self._detach()
            self._loop.begin_close(timeout)
        atexit.unregister(self.close)
        if self._thread is not threading.current_thread():
            join([self._thread], timeout + RETRY, seen=seen, clock=self._clock)
        return self._closed.is_set() and self.error is None

    def _detach(self) -> None:
        while self._before_close:
            self._before_close.pop()()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Recordable(Protocol):
    """A stream, as far as a recorder needs it."""

    @property
    def subscriptions(self) -> Sequence[Any]:
        """The streamed channels: each with ``symbol``, ``channel`` and ``market``."""

    @property
    def origin(self) -> Mapping[str, str | None] | str | None:
        """The origin of the data, for ``session.json``."""

    def note(self, event: str, detail: str) -> None:
        """Put a status row into the flow."""


def recorder_for(
    stream: Recordable,
    root: str | os.PathLike[str],
    options: Mapping[str, Any],
    own: Mapping[str, Any],
) -> Recorder:
    """Make a recorder that knows about a stream, but does not receive its rows yet.

    Parameters
    ----------
    stream
        The recorder reports its troubles in the stream's ``status`` channel.
    root
        See ``Recorder``.
    options
        Further ones of ``Recorder``, as passed by the user.
    own
        Options that the user may not pass, besides those that follow from the stream.

    Raises
    ------
    InvalidInput
        If an option is unknown, or has no valid value.
    OSError
        If the folder cannot be made.
    """
    subscriptions = stream.subscriptions
    markets = dict.fromkeys(str(each.market) for each in subscriptions)
    about = {
        "symbols": list(dict.fromkeys(each.symbol for each in subscriptions)),
        "channels": list(dict.fromkeys(str(each.channel) for each in subscriptions)),
        "venue": stream.origin,
        "market": "+".join(markets),
        "on_trouble": stream.note,
        **own,
    }
    for name in ("symbols", "channels"):
        if name in options:
            raise InvalidInput(
                f"record takes no {name}=: it records all of a stream; start another stream of "
                "these alone"
            )
    only_known(options, [name for name in _OPTIONS if name not in about], "record")
    return Recorder(root, **about, **options)


_OPTIONS = [name for name in inspect.signature(Recorder).parameters if name != "root"]


def _with(
    about: Mapping[str, Any], subscriptions: Sequence[Any], instruments: Iterable[Instrument]
) -> dict[str, Any]:
    """Add subscriptions and the facts of their symbols to the head of ``session.json``."""
    markets = [*(about["market"] or "").split("+"), *(str(each.market) for each in subscriptions)]
    channels = (str(each.channel) for each in subscriptions)
    facts = {each["symbol"]: each for each in about["instruments"]}
    facts |= {each["symbol"]: each for each in instruments_to(instruments)}
    return {
        **about,
        "market": "+".join(filter(None, dict.fromkeys(markets))) or None,
        "symbols": [*dict.fromkeys((*about["symbols"], *(s.symbol for s in subscriptions)))],
        "channels": [*dict.fromkeys((*about["channels"], *channels))],
        "instruments": list(facts.values()),
    }


def _new_folder(root: Path, name: str) -> SessionFolder:
    try:
        return SessionFolder(root, name)
    except OSError as error:
        raise _cannot_record(root, error) from error


def _cannot_record(path: Path, error: OSError) -> OSError:
    return worded(error, f"{path} cannot be recorded to", "choose another folder with root=")


def check_options(compression: str | None, fsync: str, queue_rows: int) -> str:
    """Check a recorder's options; return the policy's name.

    Raises
    ------
    InvalidInput
        Naming the valid values.
    """
    if not isinstance(compression, str | None) or compression not in COMPRESSIONS:
        raise InvalidInput(f"compression must be None, 'zstd' or 'gzip', not {shown(compression)}")
    policy = "second" if isinstance(fsync, str) and fsync == "each second" else fsync
    if not isinstance(policy, str) or policy not in FSYNC_POLICIES:
        raise InvalidInput(f"fsync must be 'never', 'rotate' or 'second', not {shown(fsync)}")
    if isinstance(queue_rows, bool) or not isinstance(queue_rows, int) or queue_rows < 1:
        raise InvalidInput(f"queue_rows must be a whole number above 0, not {shown(queue_rows)}")
    return policy


def _size(count: int) -> str:
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"
