"""What a REST call is: its route, its weight, its reply, and the market that it asks about."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Market

if TYPE_CHECKING:
    from kucoin_research.sim.accounts.members import Member
    from kucoin_research.sim.server.market_core import MarketCore

__all__ = [
    "Answer",
    "BaseSite",
    "Reply",
    "Route",
    "RouteTable",
    "Site",
    "Values",
    "Work",
    "error",
    "find_route",
    "route_table",
]

_MS = 1_000_000


Values: TypeAlias = Mapping[str, str]


class Reply(NamedTuple):
    """HTTP status and the object that becomes the JSON body."""

    status: int
    body: dict[str, Any]


class BaseSite(ABC):
    """What REST knows of one market, whatever its data come from."""

    def __init__(self, market: str) -> None:
        self.market = market
        self.status = "open"

    @property
    @abstractmethod
    def now_ns(self) -> int:
        """The time that the exchange tells, ns UTC."""

    @property
    def now_ms(self) -> int:
        """The time that the exchange tells, ms UTC."""
        return self.now_ns // _MS


class Site(BaseSite):
    """One simulated market: listings, engines at the current virtual time, and the time."""

    def __init__(self, core: MarketCore, market: str) -> None:
        super().__init__(market)
        self.core = core
        self.listings: dict[str, Listing] = {
            symbol: row for symbol, row in core.listings.items() if row.market == market
        }

    @property
    def now_ns(self) -> int:
        """Virtual time, ns UTC."""
        return self.core.clock.now_ns

    def engine(self, symbol: str) -> Market:
        """Give a listed symbol's engine at the current virtual time."""
        return self.core.caught_up(symbol)

    def listed(self, symbol: str) -> Market:
        """Give a listed symbol's engine as it last moved, for lists of all of them.

        One that nobody listens to may stand still in the past: at a high speed there would be no
        end to bringing them all to the present.
        """
        return self.core.engine(symbol)

    def sequence(self, engine: Market) -> int:
        """Give the wire's number of the engine's book, the one that the stream uses."""
        return self.core.book_sequence(engine)


# Work that takes longer than a moment is cut into steps, so that the sockets get their turns.
Work: TypeAlias = Generator[None, None, Reply]


# Each table of routes has its own kind of `BaseSite`.
Answer: TypeAlias = Callable[[Any, Values], Reply | Work]


AccountAnswer: TypeAlias = "Callable[[Any, Values, Member], Reply]"


Touch: TypeAlias = Callable[[Any, Values], Iterable[str]]


def _touches_symbol(site: Site, values: Values) -> Iterable[str]:
    symbol = values.get("symbol", "")
    return [symbol] if symbol in site.listings else []


def _touches_all(site: Site, _values: Values) -> Iterable[str]:
    return site.listings


def _touches_none(_site: Site, _values: Values) -> Iterable[str]:
    return ()


@dataclass(frozen=True)
class Route:
    """One call.

    Attributes
    ----------
    path
        With ``{names}`` for the parts that are values.
    weight
        What it takes from the quota (reference, section 2.4).
    answer
        Makes the reply.
    touches
        Names the symbols whose engines it needs.
    method
        The only one allowed.
    is_private
        Whether it needs a key.
    shows_quota
        Whether its replies carry the quota headers.
    account_answer
        Makes the reply where that depends on who asks.
    """

    path: str
    weight: int
    answer: Answer
    touches: Touch = _touches_symbol
    method: str = "GET"
    is_private: bool = False
    shows_quota: bool = True
    account_answer: AccountAnswer | None = None

    @property
    def is_list(self) -> bool:
        """Whether it tells of all symbols, which need not be at the very same instant then."""
        return self.touches is _touches_all

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


RouteTable: TypeAlias = list[tuple[re.Pattern[str], Route]]


def find_route(table: RouteTable, path: str) -> tuple[Route | None, dict[str, str]]:
    """Find the route of a path, and the values in it; None if there is no such path."""
    for pattern, route in table:
        match = pattern.fullmatch(path)
        if match:
            return route, match.groupdict()
    return None, {}


def error(status: int, code: str, message: str) -> Reply:
    """Build an error reply; ``msg`` first, as the futures gateway writes it."""
    return Reply(status, {"msg": message, "code": code})


def _ok(data: Any) -> Reply:
    return Reply(200, {"code": "200000", "data": data})


def _number(value: float) -> float | int:
    # As KuCoin spells them: 66968, not 66968.0.
    return int(value) if value == int(value) else value


def _integer(values: Values, name: str) -> int | None:
    text = values.get(name, "")
    return int(text) if re.fullmatch(r"\d{1,19}", text) else None


_INVALID_SYMBOL = error(200, "200003", "Invalid symbol.")


def _refused(_site: Site, _values: Values) -> Reply:
    # The server answers token calls before it gets here, and accounts have answers of their own.
    return error(404, "404", "Not Found")


def _for_symbol(answer: Callable[[Site, Market, Values], Any], unknown: Reply) -> Answer:
    def look_up(site: Site, values: Values) -> Reply:
        symbol = values.get("symbol", "")
        if symbol not in site.listings:
            return unknown
        return _ok(answer(site, site.engine(symbol), values))

    return look_up


def route_table(routes: Iterable[Route]) -> RouteTable:
    """Prepare routes for `find_route`, which takes the first that fits."""
    return [(re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", one.path)), one) for one in routes]
