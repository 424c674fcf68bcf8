"""The calls about coins in the spellings of earlier years, which older clients still use.

Shapes from the docstrings of kucoin-python 1.0.26 and the sources of kucoin-node-sdk 1.1.1.
"""

from __future__ import annotations

from typing import Any

from kucoin_research.sim.server.routes import Reply, Route, Site, Values, error, ok, touches_none
from kucoin_research.sim.server.spot_rest import currency_row

__all__ = ["CURRENCY_ROUTES"]

_NO_COIN = error(200, "400100", "The currency does not exist.")
_OF_COIN = (
    "currency",
    "name",
    "fullName",
    "precision",
    "confirms",
    "contractAddress",
    "isMarginEnabled",
    "isDebitEnabled",
)
_OF_CHAIN = ("withdrawalMinSize", "withdrawalMinFee", "isWithdrawEnabled", "isDepositEnabled")


def _flat_row(coin: str) -> dict[str, Any]:
    """Return a coin as version 1 does: without its chains, with the figures of the first."""
    row = currency_row(coin)
    chain = row["chains"][0]
    return {name: row[name] for name in _OF_COIN} | {name: chain[name] for name in _OF_CHAIN}


def _coins(site: Site) -> list[str]:
    return list({coin: None for row in site.listings.values() for coin in (row.base, row.quote)})


def _all(site: Site, _values: Values) -> Reply:
    return ok([_flat_row(coin) for coin in _coins(site)])


def _flat(site: Site, values: Values) -> Reply:
    coin = values["currency"]
    return ok(_flat_row(coin)) if coin in _coins(site) else _NO_COIN


def _chained(site: Site, values: Values) -> Reply:
    coin = values["currency"]
    return ok(currency_row(coin)) if coin in _coins(site) else _NO_COIN


CURRENCY_ROUTES: tuple[Route, ...] = (
    Route("/api/v1/currencies", 3, _all, touches_none),
    Route("/api/v1/currencies/{currency}", 3, _flat, touches_none),
    Route("/api/v2/currencies/{currency}", 3, _chained, touches_none),
)
