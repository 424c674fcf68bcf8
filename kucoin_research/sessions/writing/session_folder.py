"""The folder that a recorder writes to: made, marked as its own, and found again when it moves.

A folder is known by its device and inode. So another folder of the same name is not mistaken for
it, and one that was renamed is written to in its new place.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kucoin_research.sessions.files.folder_lock import FolderLock, identity_of

__all__ = ["SessionFolder"]

_DELETED = " (deleted)"


class SessionFolder:
    """A new folder, locked while it is written to. Not thread-safe.

    Parameters
    ----------
    root
        The folder to make it in.
    name
        Its name; if that is taken, a number is added.

    Raises
    ------
    OSError
        If it cannot be made.
    """

    def __init__(self, root: Path, name: str) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._make(root / name)

    def _make(self, wanted: Path) -> None:
        self.path = _new_folder(wanted)
        self._identity = identity_of(self.path)
        self._lock = FolderLock(self.path)

    @property
    def is_in_place(self) -> bool:
        """Whether the folder at its path is the one that was made."""
        return identity_of(self.path) == self._identity

    def look_after(self) -> str | None:
        """Follow the folder, or make it anew, and mark it again if the mark was removed.

        Returns
        -------
        str | None
            The change, in a sentence; None if all was in order.

        Raises
        ------
        OSError
            If neither is possible now; ``BlockingIOError`` if another process has taken the folder
            for abandoned and works on it.
        """
        change = None if self.is_in_place else self._find_or_make()
        if not self._lock.is_in_place:
            self._lock.drop()
            self._lock = FolderLock(self.path)
            change = change or (
                f"the mark by which others see that {self.path} is being recorded was removed; "
                "it is there again"
            )
        return change

    def _find_or_make(self) -> str:
        old = self.path
        found = next(filter(self._is_it, self._candidates()), None)
        if found is not None:
            self.path = found
            self._lock.move_to(found)
            return f"the folder {old} was renamed while recording; it is written on as {found}"
        self._lock.drop()
        old.parent.mkdir(parents=True, exist_ok=True)
        self._make(old)
        return (
            f"the folder {old} was removed or moved away while recording; rows go to a new one, "
            f"{self.path}"
        )

    def _is_it(self, path: Path) -> bool:
        return path.is_dir() and identity_of(path) == self._identity

    def _candidates(self) -> Iterable[Path]:
        # Linux reports where an open file is now. Elsewhere, only a new name in the same place is
        # found.
        place = self._lock.place
        if place is not None:
            yield Path(str(place).removesuffix(_DELETED)).parent
        try:
            yield from self.path.parent.iterdir()
        except OSError:
            return

    def release(self) -> None:
        """Release the folder; may be called twice."""
        self._lock.release()


def _new_folder(wanted: Path) -> Path:
    number = 1
    while True:
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder
