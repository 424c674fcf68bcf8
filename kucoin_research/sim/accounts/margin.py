"""Margin accounts on spot: borrowing, repaying, and the reports on their streams.

Shapes from the protocol reference, section 8.2. No interest accrues, and margin accounts do not
trade here.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from kucoin_research.sim.accounts.amounts import check_amount
from kucoin_research.sim.accounts.ledger import ZERO, CoinWallet, decimal_text
from kucoin_research.sim.accounts.members import Debtor, Member
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.accounts.private_reports import PrivateReports
from kucoin_research.sim.engine.catalog import DOLLARS, Listing
from kucoin_research.sim.engine.fundamental_value import BASES, FundamentalValue, coin_of

__all__ = ["DEBT_LIMIT", "MarginLender"]

_MS = 1_000_000
_PERIOD_NS = 4_000_000_000
#: Debts as a fraction of assets from which a margin account is frozen.
DEBT_LIMIT = Decimal("0.97")


class MarginLender:
    """Lends coins to margin accounts.

    Parameters
    ----------
    reports
        Sends the private frames.
    seed
        The exchange's seed: coins have the values of its markets.
    listings
        The symbols on offer, some with price models of their own.
    """

    def __init__(self, reports: PrivateReports, seed: int, listings: Iterable[Listing]) -> None:
        self._reports = reports
        models = {
            coin_of(row.base): row.price_model
            for row in listings
            if row.price_model and row.quote in DOLLARS
        }
        self._values = {
            coin: FundamentalValue(seed, coin, models.get(coin)) for coin in BASES | models
        }

    @staticmethod
    def is_in_debt(member: Member) -> bool:
        """Return whether cross margin owes anything: only its ratio is reported again and again."""
        return member.margin.is_in_debt

    def borrow(
        self, member: Member, currency: str, amount: Decimal, symbol: str, now_ns: int
    ) -> None:
        """Lend coins: to cross margin, or to the isolated margin of a symbol."""
        if amount <= 0:
            raise OrderRefused("400100", f"amount {amount} must be above zero")
        owned = self._debtor(member, symbol).wallet.total(currency)
        check_amount(amount, owned, code="400100")
        self._move(member, currency, amount, symbol, now_ns)

    def repay(
        self, member: Member, currency: str, amount: Decimal, symbol: str, now_ns: int
    ) -> None:
        """Take back borrowed coins, at most the debt."""
        debtor = self._debtor(member, symbol)
        check_amount(amount, debtor.wallet.total(currency), code="400100")
        owed = debtor.debts[currency]
        if not 0 < amount <= min(owed, debtor.wallet.available(currency)):
            raise OrderRefused("400100", f"{amount} {currency} cannot be repaid: {owed} are owed")
        self._move(member, currency, -amount, symbol, now_ns)

    def on_grid(self, member: Member, now_ns: int) -> None:
        """Report the debt ratio about every 4 s while there is debt."""
        if not now_ns % _PERIOD_NS and member.margin.is_in_debt:
            self._report_ratio(member, now_ns)

    def value(self, coin: str, now_ns: int) -> Decimal:
        """Return the value of a coin in USDT by the exchange's markets; 1 for dollars."""
        found = self._values.get(coin_of(coin))
        return Decimal(1) if found is None else Decimal(repr(round(found.at(now_ns), 8)))

    def _move(
        self, member: Member, currency: str, amount: Decimal, symbol: str, now_ns: int
    ) -> None:
        debtor = self._debtor(member, symbol)
        debtor.debts[currency] += amount
        change = debtor.wallet.change(currency, amount)
        event = f"isolated_{symbol}.other" if symbol else "margin.other"
        self._reports.report_balance(member, change, event, {}, now_ns)
        if symbol:
            self._report_isolated(member, symbol, debtor, now_ns)
        else:
            self._report_ratio(member, now_ns)

    @staticmethod
    def _debtor(member: Member, symbol: str) -> Debtor:
        if not symbol:
            return member.margin
        return member.isolated.setdefault(symbol, Debtor(CoinWallet({})))

    def _report_ratio(self, member: Member, now_ns: int) -> None:
        debtor, topic = member.margin, "/margin/position"

        def value(coin: str) -> Decimal:
            return self.value(coin, now_ns)

        assets, debts = (worth / value("BTC") for worth in debtor.worth(value))
        ratio = debts / assets if assets else ZERO
        assets_btc = decimal_text(round(assets, 16))
        wallet = debtor.wallet
        data: dict[str, Any] = {
            "debtRatio": round(float(ratio), 8),
            # In BTC, as on KuCoin.
            "totalAsset": float(assets_btc),
            "marginCoefficientTotalAsset": assets_btc,
            "totalDebt": decimal_text(round(debts, 16)),
            "assetList": {
                coin: {
                    "total": decimal_text(wallet.total(coin)),
                    "available": decimal_text(wallet.available(coin)),
                    "hold": decimal_text(wallet.hold(coin)),
                }
                for coin in wallet.currencies
            },
            "debtList": {coin: decimal_text(owed) for coin, owed in debtor.debts.items()},
            "timestamp": now_ns // _MS,
        }
        self._reports.send(member, "spot", topic, "debt.ratio", data, now_ns)
        if (ratio >= DEBT_LIMIT) != debtor.is_frozen:
            debtor.is_frozen = not debtor.is_frozen
            kind = "FROZEN_FL" if debtor.is_frozen else "UNFROZEN_FL"
            status = {"type": kind, "timestamp": now_ns // _MS}
            self._reports.send(member, "spot", topic, "position.status", status, now_ns)

    def _report_isolated(self, member: Member, symbol: str, debtor: Debtor, now_ns: int) -> None:
        wallet = debtor.wallet
        status = "DEBT" if debtor.is_in_debt else "CLEAR"
        data = {
            "tag": symbol,
            "status": status,
            "statusBizType": "DEFAULT_DEBT" if debtor.is_in_debt else "DEFAULT_CLEAR",
            "accumulatedPrincipal": decimal_text(sum(debtor.debts.values(), ZERO)),
            "changeAssets": {
                coin: {
                    "total": decimal_text(wallet.total(coin)),
                    "hold": decimal_text(wallet.hold(coin)),
                    "liabilityPrincipal": decimal_text(debtor.debts[coin]),
                    "liabilityInterest": "0",
                }
                for coin in symbol.split("-")
            },
            "timestamp": now_ns // _MS,
        }
        topic = f"/margin/isolatedPosition:{symbol}"
        self._reports.send(member, "spot", topic, "positionChange", data, now_ns)
