"""Lists of lost rows: those that found no room, and those that were refused."""

from __future__ import annotations

from kucoin_research.model.damage import Loss

__all__ = ["LossLog", "RefusalLog"]

_ONE_REFUSAL_NS = 10 * 10**9  # refusals of one file within this time are one loss


class LossLog:
    """Keeps the losses of a queue or a file, and counts the rows to report.

    Rows that are dropped one after the other are one loss, which grows until ``end_drop``.

    Attributes
    ----------
    losses
        All of them, in order.
    is_dropping
        Whether the last loss still grows.
    unreported
        Dropped rows that were not reported yet.
    """

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self.is_dropping = False
        self.unreported = 0

    @property
    def rows(self) -> int:
        """Rows of all losses."""
        # A copy, because another thread may be adding one.
        return sum(loss.rows for loss in tuple(self.losses))

    def add(self, loss: Loss) -> None:
        """Add a loss of its own; rows that are dropped later begin another one."""
        self.losses.append(loss)
        self.is_dropping = False

    def drop(self, loss: Loss) -> None:
        """Add rows that found no room to the loss that grows, or begin one."""
        if self.is_dropping:
            last = self.losses[-1]
            self.losses[-1] = last._replace(rows=last.rows + loss.rows, ended=loss.ended)
        else:
            self.is_dropping = True
            self.losses.append(loss)
        self.unreported += loss.rows

    def end_drop(self) -> None:
        """End the loss that grows: the next dropped rows begin another one."""
        self.is_dropping = False

    def take_unreported(self) -> int:
        """Return the dropped rows since the last call."""
        rows, self.unreported = self.unreported, 0
        return rows


class RefusalLog:
    """Keeps the losses of rows that cannot be written because of a value in them.

    Attributes
    ----------
    losses
        One for each file and stretch of time.
    rows
        Rows of all of them.
    """

    def __init__(self) -> None:
        self.losses: list[Loss] = []
        self.rows = 0

    def add(self, loss: Loss) -> None:
        """Add refused rows; refusals of one file that follow each other are one loss."""
        self.rows += loss.rows
        for place in range(len(self.losses) - 1, -1, -1):
            last = self.losses[place]
            if last.file == loss.file:
                if loss.began - last.ended <= _ONE_REFUSAL_NS:
                    rows, ended = last.rows + loss.rows, max(last.ended, loss.ended)
                    self.losses[place] = last._replace(rows=rows, ended=ended)
                    return
                break
        self.losses.append(loss)
