"""The private streams: what happens to an account, as frames to its listeners.

Shapes from the protocol reference, sections 8.1 (futures) and 8.2 (spot).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from kucoin_research.sim.accounts.account_book import LedgerRow, WalletName
from kucoin_research.sim.accounts.futures_wallets import wallet_at_marks
from kucoin_research.sim.accounts.ledger import (
    ZERO,
    BalanceChange,
    account_number,
    decimal_text,
)
from kucoin_research.sim.accounts.members import AccountOrder, Member, StopOrder
from kucoin_research.sim.accounts.order_messages import (
    OrderEvent,
    futures_order_data,
    spot_order_data,
    spot_order_v1,
    stop_order_data,
)
from kucoin_research.sim.accounts.venue import Venue
from kucoin_research.sim.engine.market import Trade

__all__ = ["PrivateReports"]

_MS = 1_000_000
_FIRST_EVENT_ID = 354_689_988_084_000
# Isolated margin accounts have no ledger here.
_WALLETS: dict[str, WalletName] = {"main": "main", "trade": "trade", "margin": "margin"}


class PrivateReports:
    """Sends the private frames of all accounts, and enters balance changes in their ledgers.

    Parameters
    ----------
    venue
        Sends each frame to the listeners of its topic.
    """

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._event_id = _FIRST_EVENT_ID

    def send(
        self,
        member: Member,
        market: str,
        topic: str,
        subject: str,
        data: dict[str, Any],
        now_ns: int,
        *,
        frame_id: str = "",
    ) -> None:
        """Send one private frame to the listeners of a topic."""
        frame = {"topic": topic, "type": "message", "subject": subject}
        if frame_id:
            frame["id"] = frame_id
        whole = frame | {"userId": member.user_id, "channelType": "private", "data": data}
        self._venue.emit_private(member.user_id, market, topic, whole, now_ns)

    def report_order(
        self,
        order: AccountOrder,
        event: OrderEvent,
        now_ns: int,
        *,
        trade: Trade | None = None,
        is_taker: bool = False,
        old_size: int | None = None,
    ) -> None:
        """Report one event of an order on the topics of its market."""
        member = order.member
        is_futures = order.engine.listing.market == "futures"
        build = futures_order_data if is_futures else spot_order_data
        data = build(order, event, now_ns, trade=trade, is_taker=is_taker, old_size=old_size)
        if not is_futures:
            topic = "/spotMarket/tradeOrders"
            self.send(member, "spot", f"{topic}V2", "orderChange", data, now_ns)
            if event != "received":
                self.send(member, "spot", topic, "orderChange", spot_order_v1(data), now_ns)
            return
        # Each push carries the topic subscribed to: KuCoin's own SDK finds its callback by it.
        for topic in (
            f"/contractMarket/tradeOrders:{order.symbol}",
            "/contractMarket/tradeOrders",
        ):
            self.send(member, "futures", topic, "symbolOrderChange", data, now_ns)

    def report_stop(self, stop: StopOrder, event: str, now_ns: int, error: str = "") -> None:
        """Report one event of a stop order; ``event`` is KuCoin's ``type``."""
        market = stop.engine.listing.market
        topic = "/contractMarket" if market == "futures" else "/spotMarket"
        self.send(
            stop.member,
            market,
            f"{topic}/advancedOrders",
            "stopOrder",
            stop_order_data(stop, event, now_ns, error),
            now_ns,
            frame_id=self._venue.frame_id(f"{stop.order_id} {event}", now_ns),
        )

    def report_position(
        self, member: Member, symbol: str, subject: str, data: dict[str, Any], now_ns: int
    ) -> None:
        """Report a position on the topic of its symbol and on that of all positions."""
        for topic in (f"/contract/position:{symbol}", "/contract/positionAll"):
            self.send(member, "futures", topic, subject, data, now_ns)

    def report_wallet(
        self, member: Member, currency: str, now_ns: int, *, is_new_version: bool = True
    ) -> None:
        """Report a futures balance if it differs from the one reported last."""
        wallet = wallet_at_marks(self._venue, member, currency, now_ns)
        if member.reported.get(currency) == wallet:
            return
        member.reported[currency] = wallet
        member.versions[currency] += is_new_version
        version = member.versions[currency]
        self.send(
            member,
            "futures",
            "/contractAccount/wallet",
            "walletBalance.change",
            wallet.data(currency, version, now_ns // _MS),
            now_ns,
            frame_id=self._venue.frame_id(f"{member.user_id} {currency} {version}", now_ns),
        )

    def next_event_id(self) -> int:
        """Return the number of the next change: later ones have greater numbers."""
        self._event_id += 1
        return self._event_id

    def book_contracts(
        self,
        member: Member,
        currency: str,
        amount: Decimal,
        event: str,
        context: dict[str, str],
        now_ns: int,
        *,
        fee: Decimal = ZERO,
    ) -> None:
        """Add to a futures balance, the fee already taken; `report_wallet` reports it.

        ``event`` is KuCoin's ``type`` of the transaction history.
        """
        member.futures[currency] += amount
        balance = member.futures[currency]
        number = self.next_event_id()
        member.book.ledger.add(
            LedgerRow(number, now_ns, "futures", currency, amount, fee, balance, event, context)
        )

    def report_balance(
        self,
        member: Member,
        change: BalanceChange,
        event: str,
        context: dict[str, str],
        now_ns: int,
        *,
        fee: Decimal = ZERO,
    ) -> None:
        """Enter a change of coins in the ledger and report it.

        ``event`` is KuCoin's ``relationEvent``; ``fee`` is taken from the available amount.
        """
        number = self.next_event_id()
        event_id, kind = str(number), event.partition(".")[0]
        account = account_number(member.user_id, kind, change.currency)
        total, amount = change.available + change.hold, change.available_change + change.hold_change
        wallet = _WALLETS.get(kind)
        if amount and wallet is not None:
            row = (number, now_ns, wallet, change.currency, amount, fee, total, event, context)
            member.book.ledger.add(LedgerRow(*row))
        data = {
            "accountId": str(account),
            "currency": change.currency,
            "total": decimal_text(total),
            "available": decimal_text(change.available),
            "hold": decimal_text(change.hold),
            "availableChange": decimal_text(change.available_change),
            "holdChange": decimal_text(change.hold_change),
            "relationContext": context,
            "relationEvent": event,
            "relationEventId": event_id,
            # Milliseconds as text. (reference, section 8.2)
            "time": str(now_ns // _MS),
        }
        topic = "/account/balance"
        self.send(member, "spot", topic, "account.balance", data, now_ns, frame_id=event_id)
