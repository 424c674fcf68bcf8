"""The most redraws per second that a user allows: fewer suit a slow machine or a remote link."""

from __future__ import annotations

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.foundation.hidden import surroundings

__all__ = ["REDRAWS", "redraws_per_second"]

#: The environment variable with the number.
REDRAWS = "KUCOIN_RESEARCH_REDRAWS"

# The slowest pace of all: a page that is looked at is never more than a second behind.
_LEAST = 1.0


def redraws_per_second(own: float) -> float:
    """Return how often a widget may be drawn: as often as its kind may, or less where asked for.

    Parameters
    ----------
    own
        Redraws per second that its kind is made for; ``KUCOIN_RESEARCH_REDRAWS`` may lower them.

    Raises
    ------
    InvalidInput
        If the variable is set to anything but a number of 1 or more.
    """
    text = surroundings(REDRAWS.__eq__).get(REDRAWS, "").strip()
    if not text:
        return own
    try:
        wanted = float(text)
    except ValueError:
        wanted = 0.0
    if not wanted >= _LEAST:
        raise InvalidInput(
            f"{REDRAWS}={shown(text)} in the environment: set it to the most redraws per second, "
            "a number of 1 or more such as 4, or remove it"
        )
    return min(own, wanted)
