"""The times between recorded sessions that are shown as one: nothing was recorded in them."""

from __future__ import annotations

from kucoin_research.figures.gaps import BETWEEN, GapMark
from kucoin_research.model.source import is_replay
from kucoin_research.sessions.files.manifest_values import from_iso
from kucoin_research.sessions.session import Session

__all__ = ["SessionBreaks", "breaks_of"]


def breaks_of(source: object) -> list[GapMark]:
    """Return the times between the recordings of a session, or of the one that a replay plays.

    A recording that was not closed has no end: its break is the moment before the next one
    begins. Recordings that overlap have no break between them.
    """
    session = source.session if is_replay(source) else source
    if not isinstance(session, Session):
        return []
    found: list[GapMark] = []
    before, until = "", 0  # the recording before, and the end of all before; 0: not known
    for start, end, name in _recordings(session):
        begin = until or start - 1
        if before and begin <= start:
            found.append(GapMark(BETWEEN, begin, start, f"{before} ended, {name} began"))
        before, until = name, max(until, end) if end else 0
    return found


def _recordings(session: Session) -> list[tuple[int, int, str]]:
    """List start, end (0: not known) and name of each recording, the first one first."""
    return sorted(
        (from_iso(meta["start"]), from_iso(meta["end"]) if meta.get("end") else 0, path.name)
        for meta, path in zip(session.metas, session.paths, strict=True)
        if meta.get("start")
    )


class SessionBreaks:
    """The breaks that a source has reached; a replay reaches them one by one.

    Parameters
    ----------
    source
        Any source; only a replay of several sessions has breaks.
    """

    def __init__(self, source: object) -> None:
        self._source = source
        self._all = breaks_of(source)

    @property
    def reached(self) -> list[GapMark]:
        """The breaks that lie behind the source's place, or at it."""
        if not self._all or not is_replay(self._source):
            return []
        position = self._source.position_ns or 0
        return [each for each in self._all if each.begin <= position]
