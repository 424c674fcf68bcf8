"""The calls about the coin accounts of spot: balances, fees, deposits and withdrawals.

Nothing can be deposited or withdrawn on the wire, so those lists are empty. Shapes and weights from
KuCoin's documents of the calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kucoin_research.sim.accounts.account_book import WalletName
from kucoin_research.sim.accounts.ledger import account_number, decimal_text, fraction
from kucoin_research.sim.accounts.members import Member
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.pages import numbered_page
from kucoin_research.sim.server.routes import Reply, Route, Site, for_account, ok, touches_none
from kucoin_research.sim.server.spot_order_requests import (
    INVALID,
    spot_symbol,
    text_value,
    word,
)

__all__ = ["ACCOUNT_BY_ID", "SPOT_ACCOUNT_ROUTES"]

_WALLETS: tuple[WalletName, ...] = ("main", "trade", "margin")
# Those of a market without discounts. (trading reference, section 2)
_BASE_FEE = "0.001"
_MOST_SYMBOLS = 10


def _accounts(member: Member) -> Iterator[dict[str, Any]]:
    for kind in _WALLETS:
        wallet = member.coins(kind)
        for coin in wallet.currencies:
            yield {
                "id": str(account_number(member.user_id, kind, coin)),
                "currency": coin,
                "type": kind,
                "balance": decimal_text(wallet.total(coin)),
                "available": decimal_text(wallet.available(coin)),
                "holds": decimal_text(wallet.hold(coin)),
            }


def _list(_site: Site, values: Values, member: Member) -> Reply:
    asked, coin = values.get("type", ""), values.get("currency", "")
    # The trade account is that of the high-frequency calls too, and has the name that is asked for.
    # Margin accounts are abandoned here, says the official SDK, and it takes no row of that type.
    kinds = {"": ("main", "trade"), "trade_hf": ("trade",)}.get(asked, (asked,))
    return ok(
        [
            row | {"type": asked or row["type"]}
            for row in _accounts(member)
            if row["type"] in kinds and coin in ("", row["currency"])
        ]
    )


def _account(_site: Site, values: Values, member: Member) -> Reply:
    for row in _accounts(member):
        if row["id"] == values["accountId"]:
            wanted = ("currency", "balance", "available", "holds")
            return ok({name: row[name] for name in wanted})
    raise OrderRefused(INVALID, "account not exist: take an id from the list of accounts")


def _base_fee(_site: Site, values: Values, _member: Member) -> Reply:
    word(values, "currencyType", ("0", "1"), "0")
    return ok({"takerFeeRate": _BASE_FEE, "makerFeeRate": _BASE_FEE})


def _trade_fees(site: Site, values: Values, _member: Member) -> Reply:
    symbols = [one.strip() for one in text_value(values, "symbols").split(",") if one.strip()]
    if len(symbols) > _MOST_SYMBOLS:
        raise OrderRefused(INVALID, f"{len(symbols)} symbols: {_MOST_SYMBOLS} are the most")
    listings = [site.listings[spot_symbol(site, {"symbol": symbol})] for symbol in symbols]
    return ok(
        [
            {
                "symbol": listing.symbol,
                "takerFeeRate": decimal_text(fraction(listing.taker_fee)),
                "makerFeeRate": decimal_text(fraction(listing.maker_fee)),
            }
            for listing in listings
        ]
    )


def _empty_page(_site: Site, values: Values, _member: Member) -> Reply:
    return ok(numbered_page(values, [], dict))


SPOT_ACCOUNT_ROUTES: tuple[Route, ...] = (
    for_account("GET", "/api/v1/accounts", 5, _list, touches_none),
    for_account("GET", "/api/v1/base-fee", 3, _base_fee, touches_none),
    for_account("GET", "/api/v1/trade-fees", 3, _trade_fees, touches_none),
    for_account("GET", "/api/v1/deposits", 5, _empty_page, touches_none),
    for_account("GET", "/api/v1/hist-deposits", 5, _empty_page, touches_none),
    for_account("GET", "/api/v1/withdrawals", 20, _empty_page, touches_none),
    for_account("GET", "/api/v1/hist-withdrawals", 20, _empty_page, touches_none),
)

#: Behind all other calls of this form, of which it would take the last part for an id.
ACCOUNT_BY_ID = for_account("GET", "/api/v1/accounts/{accountId}", 5, _account, touches_none)
