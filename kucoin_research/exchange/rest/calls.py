"""One REST call: its request, its weight in the quota, its reply or its failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple
from urllib.parse import quote, urlencode

from kucoin_research.errors import (
    KucoinResearchError,
    UnknownSymbol,
    shown,
)
from kucoin_research.exchange.credentials import Credentials
from kucoin_research.exchange.rest.transport import (
    Request,
)
from kucoin_research.exchange.signing import SECRET_HEADERS
from kucoin_research.foundation.hidden import Hidden, masked
from kucoin_research.model.channels import Market, market_of

__all__ = [
    "MOST_OF_A_LIST",
    "Call",
    "CallFailure",
    "CallReply",
    "RequestSigner",
    "market_of_symbol",
    "path_part",
]

# The most bytes of a reply, unpacked. The list of futures has 2 MB.
_MOST = 16_000_000
#: The same for a list of instruments, which grows with every listing.
MOST_OF_A_LIST = 64_000_000
# The weight of a call, which KuCoin takes from the quota, by the beginning of the path.
_FUTURES_WEIGHTS = {
    "/api/v1/bullet-": 10, "/api/v1/contracts/": 3, "/api/v1/allTickers": 5,
    "/api/v1/level2/snapshot": 3, "/api/v1/level2/depth": 5, "/api/v1/trade/history": 5,
    "/api/v1/kline/query": 3, "/api/v1/mark-price/": 3, "/api/v1/index/query": 2,
    "/api/v1/premium/query": 3, "/api/v1/contract/funding-rates": 5, "/api/v1/timestamp": 2,
    "/api/v1/status": 4,
}  # fmt: skip
_SPOT_WEIGHTS = {
    "/api/v1/bullet-": 10, "/api/v2/symbols": 4, "/api/v1/market/allTickers": 15,
    "/api/v1/market/stats": 15, "/api/v1/market/orderbook/": 2, "/api/v1/market/histories": 3,
    "/api/v1/market/candles": 3, "/api/v3/market/orderbook/level2": 3, "/api/v1/timestamp": 3,
    "/api/v1/status": 3,
}  # fmt: skip
_WEIGHTS = {Market.FUTURES: _FUTURES_WEIGHTS, Market.SPOT: _SPOT_WEIGHTS}
_USUAL_WEIGHT = 5


class RequestSigner:
    """Signs one request at the moment that ``requests`` sends it.

    So no variable of ours ever holds the signed headers, which a traceback could show.

    Parameters
    ----------
    credentials
        The key that signs.
    sign
        Returns the headers to add.
    """

    __slots__ = ("_credentials", "_secrets", "_sign")

    def __init__(self, credentials: Credentials, sign: Callable[[], dict[str, str]]) -> None:
        self._credentials = credentials
        self._sign = sign
        self._secrets: tuple[Hidden[str], ...] = ()

    def __call__(self, request: Request) -> Request:
        """Add the headers to a request that is about to be sent."""
        request.headers.update(self._sign())
        self._secrets = tuple(Hidden(request.headers[name]) for name in SECRET_HEADERS)
        return request

    def mask(self, text: str) -> str:
        """Replace by ``***`` the key and its signatures, which a server may have sent back."""
        return masked(self._credentials.mask(text), self._secrets)


class Call(NamedTuple):
    """One call: what to ask for, how to send it, and how errors name it."""

    market: Market
    path: str
    what: str  # the subject of an error's sentence
    params: Mapping[str, str | int] = {}
    method: str = "GET"
    symbol: str | None = None
    is_signed: bool = False
    most: int = _MOST
    is_read_by_field: bool = False  # then a reply with a malformed field is still of use
    proof: RequestSigner | None = None  # of this try, if the call is signed

    @property
    def holds_secrets(self) -> bool:
        """Whether its request or its reply holds a secret: then no error keeps their frames."""
        return self.is_signed or self.is_urgent

    @property
    def weight(self) -> int:
        """The units that KuCoin takes from the quota for it."""
        known = _WEIGHTS[self.market].items()
        return next((each for path, each in known if self.path.startswith(path)), _USUAL_WEIGHT)

    @property
    def is_urgent(self) -> bool:
        """Whether a connection waits for it: it asks for a token."""
        return "/bullet-" in self.path

    @property
    def target(self) -> str:
        """The path with its query, as it is sent and signed."""
        return f"{self.path}?{urlencode(self.params)}" if self.params else self.path

    def mask(self, text: str) -> str:
        """Replace by ``***`` the parts of a key that it has sent."""
        return text if self.proof is None else self.proof.mask(text)


class CallReply(NamedTuple):
    """The data of a call that succeeded, and when its request was sent and its reply came."""

    data: Hidden[bytes]  # hidden: a token opens a connection
    sent_at_ns: int  # on the steady clock
    received_at_ns: int
    received_ns: int  # UTC


class CallFailure(NamedTuple):
    """A try that failed: the error to raise, and whether and when to try again."""

    error: KucoinResearchError
    may_pass: bool = False
    wait: float | None = None  # seconds that the exchange asked for
    cause: BaseException | None = None
    refuses: Literal["", "pool", "host"] = ""  # who is refused for a while: the pool, or all


def market_of_symbol(symbol: object, market: Market | str | None) -> Market:
    """Return the market of a symbol: the given one, or the one that its spelling shows.

    Raises
    ------
    UnknownSymbol
        If the symbol is no text, or blank.
    """
    if not isinstance(symbol, str) or not symbol.strip():
        raise UnknownSymbol(
            f"a symbol is text such as 'XBTUSDTM' or 'BTC-USDT', not {shown(symbol)}"
        )
    return market_of(symbol, market)


def path_part(symbol: str) -> str:
    """Quote a symbol so that it stays one part of a path."""
    market_of_symbol(symbol, None)
    # "." and ".." would climb the path instead of naming a symbol.
    return quote(symbol, safe="") if symbol.strip(".") else "%2E" * len(symbol)
