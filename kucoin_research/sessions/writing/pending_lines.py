"""Lines that wait to be written to a file of a session."""

from __future__ import annotations

from kucoin_research.sessions.files.compression import pack

__all__ = ["PendingLines", "joined_span"]

# Small pieces compress badly, so compressed text is collected for a while: less than a second,
# because the documented flush is each second.
_GATHER_SECONDS = 0.4
_GATHER_BYTES = 1 << 20


class PendingLines:
    """Lines that wait to be written to one file.

    Attributes
    ----------
    rows
        Their number.
    span
        The first and last arrival of them, ns UTC; None without any.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.span: tuple[int, int] | None = None
        self._lines: list[bytes] = []
        self._bytes = 0
        self._since: float | None = None  # set by the first call of is_ripe after they came
        self._packed: bytes | None = None

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, lines: bytes, rows: int, span: tuple[int, int]) -> None:
        """Add lines behind the others."""
        if not self._lines:
            self._since = None
        self._lines.append(lines)
        self._bytes += len(lines)
        self.rows += rows
        self.span = joined_span(self.span, span)
        self._packed = None

    def is_ripe(self, now: float) -> bool:
        """Whether they are old or large enough to be compressed together."""
        if self._since is None:
            self._since = now
        return now - self._since >= _GATHER_SECONDS or self._bytes >= _GATHER_BYTES

    def packed(self, beginning: bytes, compression: str | None) -> bytes:
        """Return the bytes to append: a beginning and the lines, compressed.

        They are kept for the next attempt, since a file that is stuck is tried each second.
        """
        if self._packed is None:
            self._packed = pack(beginning + b"".join(self._lines), compression)
        return self._packed

    def repack(self) -> None:
        """Pack anew at the next attempt, because the file needs another beginning."""
        self._packed = None

    def clear(self) -> int:
        """Remove all lines; return how many rows they were."""
        rows, self.rows = self.rows, 0
        self._lines, self._bytes = [], 0
        self.span = self._packed = None
        return rows


def joined_span(first: tuple[int, int] | None, then: tuple[int, int]) -> tuple[int, int]:
    """Return the span that covers both; the first may be None."""
    return then if first is None else (min(first[0], then[0]), max(first[1], then[1]))
