"""Random faults from a seed: a schedule in virtual time, made before the exchange starts.

`CHAOS_FAULTS` is the mix; each of its recipes draws the options of one fault. ``delist`` is not in
it, since only healing would end it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.sim.engine.clock import is_number
from kucoin_research.sim.faults.kinds import FAULTS, Fault, make_fault

__all__ = ["CHAOS_FAULTS", "Chaos", "Planned"]

_GRID_NS = 10_000_000
_Recipe: TypeAlias = Callable[[Random], dict[str, Any]]


def _nothing(_rng: Random) -> dict[str, Any]:
    return {}


def _one_topic(rng: Random) -> dict[str, Any]:
    return {"pick": rng.randrange(1_000), "count": rng.randint(1, 10)}


def _one_symbol(rng: Random) -> dict[str, Any]:
    return {"pick": rng.randrange(1_000)}


def _once(_rng: Random) -> dict[str, Any]:
    return {"count": 1}


def _late(rng: Random) -> dict[str, Any]:
    return {"count": rng.randint(1, 3), "delay": round(rng.uniform(0.2, 2.0), 2)}


def _repeats(rng: Random) -> dict[str, Any]:
    every = rng.choice((1, rng.randint(2, 5)))
    return {
        "count": rng.randint(1, 50),
        "every": every,
        "after": rng.choice((0, rng.randint(1, 9))),
    }


def _stall(rng: Random) -> dict[str, Any]:
    # Not until="heal": a schedule never heals.
    return {"pick": rng.randrange(1_000), "until": rng.choice(("resubscribe", "reconnect"))}


#: The default mix: each fault's weight, and the recipe that draws its options.
CHAOS_FAULTS: Mapping[str, tuple[int, _Recipe]] = MappingProxyType(
    {
        "abort": (3, _nothing),
        "bye": (3, _nothing),
        "crossed_book": (2, _one_symbol),
        "drop": (4, _one_topic),
        "duplicate": (4, _one_topic),
        "end_of_day": (1, _nothing),
        "expire_token": (2, _nothing),
        "half_frame": (2, _nothing),
        "html_error": (2, _once),
        "late_pong": (2, _late),
        "maintenance": (1, lambda rng: {"delay": round(rng.uniform(0.5, 3.0), 2)}),
        "malformed": (2, _one_topic),
        "mute_pong": (1, _once),
        "old_shape": (3, _one_topic),
        "overload": (2, _once),
        "rate_limit": (2, _late),
        "rebase": (1, _one_symbol),
        "refuse_upgrade": (
            2,
            lambda rng: {"count": rng.randint(1, 2), "status": rng.choice((401, 403, 429))},
        ),
        "reject_token": (2, _once),
        "reorder": (3, _one_topic),
        "repeat_executions": (3, _repeats),
        "slow_reader": (1, lambda rng: {"count": rng.randint(10, 200)}),
        "slow_reply": (2, _late),
        "stall": (2, _stall),
        "stall_socket": (1, _nothing),
        "truncate": (2, _once),
    }
)


class Planned(NamedTuple):
    """One fault of a schedule; ``after_ns`` is virtual time since the first subscription."""

    after_ns: int
    fault: Fault

    def __str__(self) -> str:
        return f"{self.after_ns / 1e9:10.2f} s  {self.fault}"


@dataclass(frozen=True, kw_only=True)
class Chaos:
    """Settings of a reproducible schedule of faults: equal settings make equal schedules.

    Attributes
    ----------
    seed
        Seed of all random choices.
    rate
        Faults per virtual minute, on average; the times between them are exponential.
    faults
        Names to draw from, each equally likely; None for the mix of ``CHAOS_FAULTS``.
    quiet
        Virtual seconds after the first subscription without any fault.
    seconds
        Virtual seconds after the first subscription at which the schedule ends.

    Examples
    --------
    >>> Chaos(seed=3).schedule() == Chaos(seed=3).schedule()
    True
    """

    seed: int
    rate: float = 6.0
    faults: tuple[str, ...] | None = None
    quiet: float = 5.0
    seconds: float = 3_600.0

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int) or isinstance(self.seed, bool):
            raise InvalidInput(f"chaos needs a whole number as its seed, not {shown(self.seed)}")
        for name in ("rate", "quiet", "seconds"):
            if not is_number(getattr(self, name)):
                raise InvalidInput(f"{name} must be a number, not {shown(getattr(self, name))}")
        if not 0 < self.rate <= 6_000:
            raise InvalidInput(f"rate {self.rate} must be above 0, at most 6000 per minute")
        if self.quiet < 0 or not 0 < self.seconds <= 86_400 * 7:
            raise InvalidInput("quiet must be 0 or more, seconds above 0 and within a week")
        self._check_faults()

    def _check_faults(self) -> None:
        if isinstance(self.faults, str) or not isinstance(self.faults, Iterable | None):
            raise InvalidInput(f"faults must be a list of names, not {shown(self.faults)}")
        if self.faults is not None:
            object.__setattr__(self, "faults", tuple(self.faults))
        for name in self.faults or ():
            if name not in FAULTS:
                raise InvalidInput(f"no fault {shown(name)}; faults: {', '.join(FAULTS)}")
        if self.faults == ():
            raise InvalidInput("no faults: leave `faults` out for the usual mix")

    def schedule(self) -> list[Planned]:
        """Make the schedule, in order of time, on whole 10 ms."""
        rng = Random(f"chaos:{self.seed}")
        names = list(CHAOS_FAULTS) if self.faults is None else list(self.faults)
        weights = [CHAOS_FAULTS[name][0] for name in names] if self.faults is None else None
        planned = []
        now = self.quiet + rng.expovariate(self.rate / 60)
        while now < self.seconds:
            [name] = rng.choices(names, weights)
            _, recipe = CHAOS_FAULTS.get(name, (1, _one_symbol))
            fault = make_fault(name, **recipe(rng))
            planned.append(Planned(int(now * 1e9) // _GRID_NS * _GRID_NS, fault))
            now += rng.expovariate(self.rate / 60)
        return planned
