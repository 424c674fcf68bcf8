"""The transfers between the wallets of one account, as the spot calls make them.

There are no sub-accounts. Shapes and weights from KuCoin's documents of the calls.
"""

from __future__ import annotations

from kucoin_research.errors import shown
from kucoin_research.sim.accounts.account_book import Transfer, WalletName
from kucoin_research.sim.accounts.ledger import decimal_text
from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.pages import amount
from kucoin_research.sim.server.routes import Reply, Route, Site, for_account, ok, touches_none
from kucoin_research.sim.server.spot_order_requests import INVALID, text_value, word

__all__ = ["TRANSFER_ROUTES"]

# By KuCoin's names in lower case, old and new.
_WALLETS: dict[str, WalletName] = {
    "main": "main",
    "trade": "trade",
    "trade_hf": "trade",
    "margin": "margin",
    "margin_v2": "margin",
    "contract": "futures",
}
_CONTRACT_COINS = {row.settle for row in LISTINGS.values() if row.market == "futures"} | {"BTC"}


def _wallet(values: Values, name: str) -> WalletName:
    found = text_value(values, name)
    wallet = _WALLETS.get(found.lower())
    if wallet is None:
        known = ", ".join(one.upper() for one in _WALLETS)
        raise OrderRefused(INVALID, f"{name} {shown(found)} is no account here; known: {known}")
    return wallet


def _currency(site: Site, values: Values, *wallets: WalletName) -> str:
    currency = text_value(values, "currency")
    rows = site.core.listings.values()
    coins = _CONTRACT_COINS | {row.settle for row in rows if row.market == "futures"}
    if "futures" in wallets and currency not in coins:
        known = ", ".join(sorted(coins))
        raise OrderRefused(INVALID, f"no contract settles in {shown(currency)}; coins: {known}")
    return currency


def _universal(site: Site, values: Values, member: Member) -> Reply:
    if word(values, "type", ("INTERNAL", "PARENT_TO_SUB", "SUB_TO_PARENT")) != "INTERNAL":
        raise OrderRefused(INVALID, "there are no sub-accounts here: type must be INTERNAL")
    return _move(site, values, member, "fromAccountType", "toAccountType")


def _inner(site: Site, values: Values, member: Member) -> Reply:
    return _move(site, values, member, "from", "to")


def _move(site: Site, values: Values, member: Member, from_name: str, to_name: str) -> Reply:
    source, target = _wallet(values, from_name), _wallet(values, to_name)
    currency = _currency(site, values, source, target)
    done = site.core.order_entry.transfers.move(
        member,
        source,
        target,
        currency,
        amount(values, "amount", INVALID),
        text_value(values, "clientOid"),
    )
    return ok({"orderId": _transfer_id(site, done)})


def _transfer_id(site: Site, done: Transfer) -> str:
    return site.core.frame_id(f"transfer {done.row_id}", done.time_ns)


def _transferable(site: Site, values: Values, member: Member) -> Reply:
    wallet = _wallet(values, "type")
    currency = _currency(site, values, wallet)
    entry = site.core.order_entry
    free = entry.transfers.transferable(member, wallet, currency)
    if wallet == "futures":
        coin = "XBT" if currency == "BTC" else currency
        found = entry.futures_wallet(member, coin)
        total, available = found.balance, found.available
    else:
        coins = member.coins(wallet)
        total, available = coins.total(currency), coins.available(currency)
    return ok(
        {
            "currency": currency,
            "balance": decimal_text(total),
            "available": decimal_text(available),
            "holds": decimal_text(total - available),
            "transferable": decimal_text(free),
        }
    )


TRANSFER_ROUTES: tuple[Route, ...] = (
    for_account("POST", "/api/v3/accounts/universal-transfer", 4, _universal, touches_none),
    for_account("POST", "/api/v2/accounts/inner-transfer", 10, _inner, touches_none),
    for_account("GET", "/api/v1/accounts/transferable", 20, _transferable, touches_none),
)
