"""The margin accounts of spot, cross and isolated: their coins and debts.

Python code can lend coins to them, a call cannot: nothing can be borrowed over REST. No interest
accrues. Shapes and weights from KuCoin's documents of the calls.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from kucoin_research.sim.accounts.ledger import ZERO, CoinWallet, decimal_text
from kucoin_research.sim.accounts.members import Debtor, Member
from kucoin_research.sim.server.call_values import Values
from kucoin_research.sim.server.routes import Reply, Route, Site, for_account, ok, touches_none
from kucoin_research.sim.server.spot_order_requests import spot_symbol, word

__all__ = ["MARGIN_ACCOUNT_ROUTES"]

_QUOTES = ("USDT", "KCS", "BTC")
_FINENESS = 8


def _value_in(site: Site, quote: str) -> Callable[[str], Decimal]:
    # The value of a coin in another one.
    lender, now_ns = site.core.order_entry.lender, site.now_ns
    return lambda coin: lender.value(coin, now_ns) / lender.value(quote, now_ns)


def _rounded(value: Decimal) -> str:
    return decimal_text(round(value, _FINENESS))


def _ratio(assets: Decimal, debts: Decimal) -> str:
    return _rounded(debts / assets) if assets else "0"


def _coins(debtor: Debtor) -> list[str]:
    return list(dict.fromkeys((*debtor.wallet.currencies, *debtor.debts)))


def _asset(debtor: Debtor, coin: str) -> dict[str, Any]:
    wallet, owed = debtor.wallet, decimal_text(debtor.debts.get(coin, ZERO))
    return {
        "currency": coin,
        "total": decimal_text(wallet.total(coin)),
        "available": decimal_text(wallet.available(coin)),
        "hold": decimal_text(wallet.hold(coin)),
        "liability": owed,
        "liabilityPrincipal": owed,
        "liabilityInterest": "0",
        "maxBorrowSize": "0",
        "borrowEnabled": False,
        "transferInEnabled": True,
    }


def _cross(site: Site, values: Values, member: Member) -> Reply:
    quote, debtor = word(values, "quoteCurrency", _QUOTES, "USDT"), member.margin
    assets, debts = debtor.worth(_value_in(site, quote))
    return ok(
        {
            "totalAssetOfQuoteCurrency": _rounded(assets),
            "totalLiabilityOfQuoteCurrency": _rounded(debts),
            "debtRatio": _ratio(assets, debts),
            "status": "LIQUIDATION" if debtor.is_frozen else "EFFECTIVE",
            "accounts": [_asset(debtor, coin) for coin in _coins(debtor)],
        }
    )


def _old_cross(site: Site, _values: Values, member: Member) -> Reply:
    debtor = member.margin
    ratio = _ratio(*debtor.worth(_value_in(site, "USDT")))
    rows = [_asset(debtor, coin) for coin in _coins(debtor)]
    return ok(
        {
            "debtRatio": ratio,
            "accounts": [
                {
                    "currency": row["currency"],
                    "totalBalance": row["total"],
                    "availableBalance": row["available"],
                    "holdBalance": row["hold"],
                    "liability": row["liability"],
                    "maxBorrowSize": row["maxBorrowSize"],
                }
                for row in rows
            ],
        }
    )


def _isolated_debtors(site: Site, values: Values, member: Member) -> dict[str, Debtor]:
    # Those that have ever borrowed; the one that a call names may be empty.
    symbol = spot_symbol(site, values, is_needed=False)
    if not symbol:
        return member.isolated
    return {symbol: member.isolated.get(symbol) or Debtor(CoinWallet({}))}


def _isolated(site: Site, values: Values, member: Member) -> Reply:
    quote = word(values, "quoteCurrency", _QUOTES, "USDT")
    value = _value_in(site, quote)
    debtors = _isolated_debtors(site, values, member)
    worths = {symbol: debtor.worth(value) for symbol, debtor in debtors.items()}
    return ok(
        {
            "totalAssetOfQuoteCurrency": _rounded(sum((a for a, _ in worths.values()), ZERO)),
            "totalLiabilityOfQuoteCurrency": _rounded(sum((d for _, d in worths.values()), ZERO)),
            "timestamp": site.now_ms,
            "assets": [
                {
                    "symbol": symbol,
                    "status": "EFFECTIVE",
                    "debtRatio": _ratio(*worths[symbol]),
                    "baseAsset": _asset(debtor, symbol.partition("-")[0]),
                    "quoteAsset": _asset(debtor, symbol.partition("-")[2]),
                }
                for symbol, debtor in debtors.items()
            ],
        }
    )


def _old_isolated(site: Site, values: Values, member: Member) -> Reply:
    quote = word(values, "balanceCurrency", _QUOTES, "USDT")
    value = _value_in(site, quote)
    worths = [debtor.worth(value) for debtor in member.isolated.values()]
    return ok(
        {
            "totalConversionBalance": _rounded(sum((assets for assets, _ in worths), ZERO)),
            "liabilityConversionBalance": _rounded(sum((debts for _, debts in worths), ZERO)),
            "assets": [_old_row(site, *one) for one in member.isolated.items()],
        }
    )


def _old_isolated_one(site: Site, values: Values, member: Member) -> Reply:
    ((symbol, debtor),) = _isolated_debtors(site, values, member).items()
    return ok(_old_row(site, symbol, debtor))


def _old_row(site: Site, symbol: str, debtor: Debtor) -> dict[str, Any]:
    base, _, quote = symbol.partition("-")
    return {
        "symbol": symbol,
        "status": "DEBT" if debtor.is_in_debt else "CLEAR",
        "debtRatio": _ratio(*debtor.worth(_value_in(site, "USDT"))),
        "baseAsset": _old_asset(debtor, base),
        "quoteAsset": _old_asset(debtor, quote),
    }


def _old_asset(debtor: Debtor, coin: str) -> dict[str, Any]:
    row = _asset(debtor, coin)
    return {
        "currency": coin,
        "totalBalance": row["total"],
        "holdBalance": row["hold"],
        "availableBalance": row["available"],
        "liability": row["liability"],
        "interest": row["liabilityInterest"],
        "borrowableAmount": row["maxBorrowSize"],
    }


MARGIN_ACCOUNT_ROUTES: tuple[Route, ...] = (
    for_account("GET", "/api/v3/margin/accounts", 15, _cross, touches_none),
    for_account("GET", "/api/v1/margin/account", 40, _old_cross, touches_none),
    for_account("GET", "/api/v3/isolated/accounts", 15, _isolated, touches_none),
    for_account("GET", "/api/v1/isolated/accounts", 50, _old_isolated, touches_none),
    for_account("GET", "/api/v1/isolated/account/{symbol}", 50, _old_isolated_one, touches_none),
)
