"""Routes of REST calls: paths, weights, replies, and the market that answers.

Shapes from the protocol reference, section 2.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.server.call_values import Values

if TYPE_CHECKING:
    from kucoin_research.sim.accounts.members import Member
    from kucoin_research.sim.server.market_core import MarketCore

__all__ = [
    "BULLETS",
    "INVALID_SYMBOL",
    "MS",
    "TRADES_PER_REPLY",
    "AccountAnswer",
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
    "for_account",
    "for_symbol",
    "integer",
    "not_found",
    "ok",
    "path_pattern",
    "route_table",
    "spelled_number",
    "status",
    "timestamp",
    "touches_all",
    "touches_none",
]

MS = 1_000_000  # ns
TRADES_PER_REPLY = 100


class Reply(NamedTuple):
    """HTTP status and the object that becomes the JSON body."""

    status: int
    body: dict[str, Any]


class BaseSite(ABC):
    """One market as REST sees it, whatever the data's source."""

    def __init__(self, market: str) -> None:
        self.market = market
        self.status = "open"

    @property
    @abstractmethod
    def now_ns(self) -> int:
        """The exchange's own time, ns UTC."""

    @property
    def now_ms(self) -> int:
        """The exchange's own time, ms UTC."""
        return self.now_ns // MS


class Site(BaseSite):
    """One simulated market as REST sees it: listings, engines, and virtual time.

    Attributes
    ----------
    sites
        Both markets of the exchange by name: some calls at one address are about the other.
    """

    def __init__(self, core: MarketCore, market: str) -> None:
        super().__init__(market)
        self.core = core
        self.sites: dict[str, Site] = {market: self}
        self.listings: dict[str, Listing] = {
            symbol: row for symbol, row in core.listings.items() if row.market == market
        }

    @property
    def now_ns(self) -> int:
        """Virtual time, ns UTC."""
        return self.core.clock.now_ns

    def engine(self, symbol: str) -> Market:
        """Return a listed symbol's engine at the current virtual time."""
        return self.core.caught_up(symbol)

    def listed(self, symbol: str) -> Market:
        """Return a listed symbol's engine as it last moved, for lists of all symbols.

        An engine without listeners may be behind: at a high speed, bringing all of them to the
        present would never end.
        """
        return self.core.engine(symbol)

    def sequence(self, engine: Market) -> int:
        """Return the sequence of the engine's book on the wire, as the stream numbers it."""
        return self.core.book_sequence(engine)


# Longer work is cut into steps, so that the sockets get their turns.
Work: TypeAlias = Generator[None, None, Reply]
# Each table of routes has its own kind of `BaseSite`.
Answer: TypeAlias = Callable[[Any, Values], Reply | Work]
AccountAnswer: TypeAlias = "Callable[[Any, Values, Member], Reply]"
Touch: TypeAlias = Callable[[Any, Values], Iterable[str]]


def touches_symbol(site: Site, values: Values) -> Iterable[str]:
    """Name the symbol that the call asks about, if it is on offer."""
    symbol = values.get("symbol", "")
    return [symbol] if symbol in site.listings else []


def touches_all(site: Site, _values: Values) -> Iterable[str]:
    """Name all symbols of the market."""
    return site.listings


def touches_none(_site: BaseSite, _values: Values) -> Iterable[str]:
    """Name no symbol: the call needs no engine."""
    return ()


@dataclass(frozen=True)
class Route:
    """One REST call: its path, its price in quota, and the function that answers it.

    Attributes
    ----------
    path
        The path, with ``{names}`` for the parts that are values.
    weight
        Weight taken from the quota (reference, section 2.4).
    answer
        Makes the reply.
    touches
        Names the symbols whose engines the answer needs.
    method
        Its HTTP method; another call of the same path can have another one.
    is_private
        Whether it needs a key.
    shows_quota
        Whether its replies carry the quota headers.
    account_answer
        Makes the reply if that depends on the account that asks. An `OrderRefused` that it raises
        becomes KuCoin's reply with that code.
    """

    path: str
    weight: int
    answer: Answer
    touches: Touch = touches_symbol
    method: str = "GET"
    is_private: bool = False
    shows_quota: bool = True
    account_answer: AccountAnswer | None = None

    def is_list(self, symbols: Sequence[str]) -> bool:
        """Return whether a reply about these symbols lists them; each may be at another instant."""
        return self.touches is touches_all or (len(symbols) > 1 and not self.is_private)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


RouteTable: TypeAlias = list[tuple[re.Pattern[str], Route]]


def find_route(
    table: RouteTable, path: str, method: str = "GET"
) -> tuple[Route | None, dict[str, str]]:
    """Find the route of a path, and the values in it; None if there is no such path.

    One path can have several methods; if it has others only, one of those is returned.
    """
    other: tuple[Route | None, dict[str, str]] = None, {}
    for pattern, route in table:
        match = pattern.fullmatch(path)
        if match and route.method == method:
            return route, match.groupdict()
        if match and other[0] is None:
            other = route, match.groupdict()
    return other


def error(status: int, code: str, message: str) -> Reply:
    """Build an error reply, with ``msg`` first as the futures gateway writes it."""
    return Reply(status, {"msg": message, "code": code})


def ok(data: Any) -> Reply:
    """Build a reply with data, in KuCoin's envelope."""
    return Reply(200, {"code": "200000", "data": data})


def spelled_number(value: float) -> float | int:
    """Return a number as KuCoin spells it: 66968, not 66968.0."""
    return int(value) if value == int(value) else value


def integer(values: Values, name: str) -> int | None:
    """Read a whole number of up to 19 digits from a call's values; None if it is no such number."""
    text = values.get(name, "")
    return int(text) if re.fullmatch(r"\d{1,19}", text) else None


INVALID_SYMBOL = error(200, "200003", "Invalid symbol.")


def not_found(_site: BaseSite, _values: Values) -> Reply:
    """Answer 404: never seen, since the server answers such calls itself or by `account_answer`."""
    return error(404, "404", "Not Found")


def for_account(
    method: str, path: str, weight: int, answer: AccountAnswer, touches: Touch = touches_symbol
) -> Route:
    """Make the route of a signed call whose reply depends on the account."""
    return Route(
        path,
        weight,
        not_found,
        touches,
        method=method,
        is_private=True,
        account_answer=answer,
    )


def for_symbol(answer: Callable[[Site, Market, Values], Any], unknown: Reply) -> Answer:
    """Make the answer of a call about one symbol; other symbols get the reply `unknown`."""

    def look_up(site: Site, values: Values) -> Reply:
        symbol = values.get("symbol", "")
        if symbol not in site.listings:
            return unknown
        return ok(answer(site, site.engine(symbol), values))

    return look_up


def route_table(routes: Iterable[Route]) -> RouteTable:
    """Prepare routes for `find_route`, which takes the first match."""
    return [(path_pattern(one.path), one) for one in routes]


def path_pattern(path: str) -> re.Pattern[str]:
    """Return the pattern of a path, in which ``{names}`` stand for parts that are values."""
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))


def timestamp(site: BaseSite, _values: Values) -> Reply:
    """Answer with the exchange's time."""
    return ok(site.now_ms)


def status(site: BaseSite, _values: Values) -> Reply:
    """Answer whether the market is open."""
    return ok({"status": site.status, "msg": ""})


#: The token calls of both markets.
BULLETS = (
    Route("/api/v1/bullet-public", 10, not_found, touches_none, method="POST"),
    Route("/api/v1/bullet-private", 10, not_found, touches_none, method="POST", is_private=True),
)
