"""Transfers between the wallets of an account."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

from kucoin_research.sim.accounts.account_book import Transfer, WalletName
from kucoin_research.sim.accounts.amounts import check_amount, movable
from kucoin_research.sim.accounts.futures_wallets import wallet_at_marks
from kucoin_research.sim.accounts.margin import MarginLender
from kucoin_research.sim.accounts.members import FuturesWallet, Member
from kucoin_research.sim.accounts.orders import OrderRefused
from kucoin_research.sim.accounts.private_reports import PrivateReports
from kucoin_research.sim.accounts.venue import Venue

__all__ = ["Transfers"]

# Only bitcoin has another name in the futures wallet. (protocol reference, section 1.2)
_TO_FUTURES = {"BTC": "XBT"}
_FROM_FUTURES = {"XBT": "BTC"}
_MOST_DEBT = Decimal("0.6")  # debts to assets of cross margin, beyond which nothing leaves it
_FINENESS = Decimal("1e-8")


class Transfers:
    """Moves coins between the wallets of an account.

    Parameters
    ----------
    venue
        The exchange.
    reports
        Enters each change in the ledgers and sends it to the account's listeners.
    lender
        Knows what coins are worth beside the debts of cross margin.
    """

    def __init__(self, venue: Venue, reports: PrivateReports, lender: MarginLender) -> None:
        self._venue = venue
        self._reports = reports
        self._lender = lender

    def transferable(self, member: Member, wallet: WalletName, currency: str) -> Decimal:
        """Return how much of a coin may leave a wallet now."""
        if wallet != "futures":
            coin = _FROM_FUTURES.get(currency, currency)
            available = movable(member.coins(wallet).available(coin))
            return (
                min(available, self._beyond_debts(member, coin))
                if wallet == "margin"
                else available
            )
        coin = _TO_FUTURES.get(currency, currency)
        return movable(self._futures(member, coin).withdrawable)

    def _beyond_debts(self, member: Member, coin: str) -> Decimal:
        # What may leave cross margin while anything is owed. (trading reference, section 6)
        debtor, now_ns = member.margin, self._venue.clock.reached_ns
        if not debtor.is_in_debt:
            return debtor.wallet.available(coin)
        assets, debts = debtor.worth(lambda one: self._lender.value(one, now_ns))
        spare = (assets - debts / _MOST_DEBT) / self._lender.value(coin, now_ns)
        return max(Decimal(0), spare.quantize(_FINENESS, ROUND_DOWN))

    def move(
        self,
        member: Member,
        source: WalletName,
        target: WalletName,
        currency: str,
        amount: Decimal,
        client_oid: str = "",
    ) -> Transfer:
        """Move coins from one wallet to another; BTC and XBT name the same coin.

        A transfer with a known `client_oid` is not made again: the first one is returned.

        Raises
        ------
        OrderRefused
            260200 for an amount that is not above zero, is too fine or too large, 260210 for two
            equal wallets, 230003 if too little is available.
        """
        if client_oid:
            for row in member.book.transfers.newest_first():
                if row.client_oid == client_oid:
                    return row
        if amount <= 0:
            raise OrderRefused("260200", f"amount {amount} must be above zero")
        if source == target:
            raise OrderRefused("260210", f"a transfer needs two wallets, not {source} twice")
        check_amount(amount, self._owned(member, target, currency), code="260200")
        if amount > self.transferable(member, source, currency):
            raise OrderRefused("230003", "Balance insufficient!")
        now_ns = self._venue.clock.reached_ns
        self._change(member, source, currency, -amount, f"to {target}", now_ns)
        self._change(member, target, currency, amount, f"from {source}", now_ns)
        number = self._reports.next_event_id()
        done = Transfer(number, now_ns, source, target, currency, amount, client_oid)
        member.book.transfers.add(done)
        return done

    def _futures(self, member: Member, coin: str) -> FuturesWallet:
        return wallet_at_marks(self._venue, member, coin, self._venue.clock.reached_ns)

    def _owned(self, member: Member, wallet: WalletName, currency: str) -> Decimal:
        if wallet == "futures":
            return self._futures(member, _TO_FUTURES.get(currency, currency)).balance
        return member.coins(wallet).total(_FROM_FUTURES.get(currency, currency))

    def _change(
        self,
        member: Member,
        wallet: WalletName,
        currency: str,
        amount: Decimal,
        remark: str,
        now_ns: int,
    ) -> None:
        if wallet == "futures":
            coin = _TO_FUTURES.get(currency, currency)
            event = "TransferIn" if amount > 0 else "TransferOut"
            context = {"remark": remark}
            self._reports.book_contracts(member, coin, amount, event, context, now_ns)
            self._reports.report_wallet(member, coin, now_ns)
            return
        change = member.coins(wallet).change(_FROM_FUTURES.get(currency, currency), amount)
        self._reports.report_balance(member, change, f"{wallet}.transfer", {}, now_ns)
