"""Progress bars for the terminal and the notebook."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import Any, Self

__all__ = ["Download", "quiet_tqdm"]


def quiet_tqdm(**options: Any) -> Any:
    """Make a bar of ``tqdm.auto`` with these options, without its warnings."""
    with warnings.catch_warnings():
        # Without ipywidgets tqdm warns and falls back to text, which is fine.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm

        return tqdm(**options)


class Download:
    """Shows the progress of a download of several pages; a download of one page shows no bar.

    Call it with the share that is done, 0 to 1, and the number of rows so far.

    Parameters
    ----------
    name
        The bar's label.
    shown
        Whether to show a bar.
    """

    def __init__(self, name: str, *, shown: bool) -> None:
        self._name = name
        self._shown = shown
        self._bar: Any = None
        self._share = 0.0
        self._rows = 0

    def __call__(self, share: float, rows: int) -> None:
        """Move the bar; a share below the last one leaves it where it is."""
        share = self._share = max(share, self._share)
        self._rows = rows
        if self._bar is None and share >= 1.0:
            return
        bar = self._its_bar()
        if bar is not None:
            bar.set_postfix_str(f"{rows:,} rows", refresh=False)
            bar.update(share - bar.n)

    def waits(self, seconds: float, error: Exception) -> None:
        """Show that the download waits before it asks again, and the error that made it wait."""
        bar = self._its_bar()
        if bar is not None:
            bar.set_postfix_str(f"{self._rows:,} rows, asks again in {seconds:.0f} s: {error}")

    def _its_bar(self) -> Any:
        if self._bar is None and self._shown:
            form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
            self._bar = quiet_tqdm(total=1.0, desc=self._name, bar_format=form, mininterval=0.1)
        return self._bar

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if isinstance(error, KeyboardInterrupt):
            error.add_note(
                f"{self._name}: interrupted at {self._share:.0%}; nothing is returned, "
                f"{self._rows:,} rows are dropped; fetch a shorter span"
            )
