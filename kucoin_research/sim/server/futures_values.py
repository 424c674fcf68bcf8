"""The checked values of a signed futures call: its contract, words, switches and lists.

Each refusal has KuCoin's code and one sentence (trading reference, section 5.2).
"""

from __future__ import annotations

import json
from collections.abc import Collection

from kucoin_research.errors import shown
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.routes import Site

__all__ = [
    "INVALID",
    "asked_contract",
    "chosen_contract",
    "contract",
    "switch",
    "text",
    "texts",
    "word",
]

#: KuCoin's code of a parameter that makes no sense.
INVALID = "100001"

_UNKNOWN = {
    "100003": "Contract parameter invalid",
    "200003": "The symbol parameter is invalid.",
}


def text(values: Values, name: str) -> str:
    """Read a value that must be there."""
    found = values.get(name, "").strip()
    if not found:
        raise OrderRefused(INVALID, f"{name} is missing")
    return found


def word(values: Values, name: str, known: Collection[str], usual: str = "") -> str:
    """Read one of some known words; `usual` if it is left out."""
    found = values.get(name, "").strip() or usual
    if found != usual and found not in known:
        raise OrderRefused(INVALID, f"no {name} {shown(found)} here; known: {', '.join(known)}")
    return found


def switch(values: Values, name: str) -> bool:
    """Read true or false; false if it is left out."""
    return word(values, name, ("true", "false"), "false") == "true"


def texts(values: Values, name: str) -> list[str]:
    """Read a list of texts, spelled as JSON or with commas; empty if it is left out."""
    spelled = values.get(name, "").strip()
    if not spelled.startswith("["):
        return [part.strip() for part in spelled.split(",") if part.strip()]
    try:
        found = json.loads(spelled)
    except ValueError:
        raise OrderRefused(INVALID, f"{name} is no list of texts") from None
    if not all(isinstance(one, str) for one in found):
        raise OrderRefused(INVALID, f"{name} must be a list of texts only")
    return list(found)


def contract(site: Site, symbol: str, code: str = "200003") -> Listing:
    """Return the contract of a symbol.

    Raises
    ------
    OrderRefused
        With `code` if there is none; orders have 100003.
    """
    if not symbol:
        raise OrderRefused(INVALID, "symbol is missing: name a contract")
    listing = site.listings.get(symbol)
    if listing is None:
        known = (
            "Contract parameter invalid" if code == "100003" else "The symbol parameter is invalid."
        )
        raise OrderRefused(code, f"{known} (no contract {shown(symbol)})")
    return listing


def asked_contract(site: Site, values: Values) -> Listing:
    """Return the contract that a call is about; see `contract`."""
    return contract(site, values.get("symbol", "").strip())


def chosen_contract(site: Site, values: Values) -> str:
    """Read the symbol by which a list is chosen; empty if it is left out, for all."""
    symbol = values.get("symbol", "").strip()
    if symbol:
        contract(site, symbol)
    return symbol
