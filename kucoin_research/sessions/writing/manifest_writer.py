"""Writing the ``session.json`` of a recording, first, in between and last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from kucoin_research.model.damage import Loss
from kucoin_research.sessions.files.manifest import FORMAT, package_version, write_manifest
from kucoin_research.sessions.files.manifest_values import iso, losses_to
from kucoin_research.sessions.writing.csv_writer import CsvWriter
from kucoin_research.sessions.writing.loss_log import RefusalLog
from kucoin_research.sessions.writing.row_queue import RowQueue
from kucoin_research.sessions.writing.session_folder import SessionFolder

__all__ = ["ManifestWriter", "RecordingFacts"]


class RecordingFacts(NamedTuple):
    """The facts about a recording at its start.

    ``about`` holds its venue, market, symbols, channels and instruments; ``damage`` and ``losses``
    are what the rows lack from the start.
    """

    about: dict[str, Any]
    start_ns: int
    compression: str | None
    damage: Sequence[dict[str, Any]] = ()
    losses: Sequence[Loss] = ()


class ManifestWriter:
    """Composes the ``session.json`` of a recording from its parts, and writes it.

    Attributes
    ----------
    about
        Venue, market, symbols, channels and instruments. Any thread may replace it as a whole.
    """

    def __init__(
        self,
        facts: RecordingFacts,
        folder: SessionFolder,
        files: CsvWriter,
        queue: RowQueue,
        refusals: RefusalLog,
    ) -> None:
        self.about = facts.about
        self._facts = facts
        self._folder = folder
        self._files = files
        self._queue = queue
        self._refusals = refusals

    def write(self, state: str, end_ns: int | None) -> None:
        """Replace ``session.json`` in the folder, wherever that is now.

        Parameters
        ----------
        state
            ``"recording"`` or ``"closed"``.
        end_ns
            The end, ns UTC; None while it goes on.

        Raises
        ------
        OSError
            If it could not be written; the old one stays.
        """
        write_manifest(self._folder.path, self._content(state, end_ns))

    def _content(self, state: str, end_ns: int | None) -> dict[str, Any]:
        facts, files = self._facts, self._files
        losses = [*facts.losses, *self._queue.losses(), *self._refusals.losses, *files.losses]
        return {
            "format": FORMAT,
            "package": package_version(),
            **self.about,
            "start": iso(facts.start_ns),
            "end": None if end_ns is None else iso(end_ns),
            "state": state,
            "compression": facts.compression,
            "rows": files.rows,
            "refused": self._refusals.rows,
            "dropped": losses_to(losses),
            **({"damage": list(facts.damage)} if facts.damage else {}),
            "columns": files.columns,
            "files": files.manifest(),
        }
