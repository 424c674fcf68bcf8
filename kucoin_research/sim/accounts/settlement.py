"""Settlement of orders: coins set aside and returned, fills, fees and positions."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from kucoin_research.sim.accounts.account_book import ClosedPosition, FillRow
from kucoin_research.sim.accounts.futures_wallets import wallet_at_marks
from kucoin_research.sim.accounts.ledger import (
    ZERO,
    EndedPosition,
    Position,
    contract_value,
    fraction,
)
from kucoin_research.sim.accounts.members import AccountOrder, position_data
from kucoin_research.sim.accounts.order_units import price_of, size_of
from kucoin_research.sim.accounts.orders import Fill
from kucoin_research.sim.accounts.private_reports import PrivateReports
from kucoin_research.sim.accounts.venue import Venue
from kucoin_research.sim.engine.market import Trade

__all__ = ["Settlement"]

_MS = 1_000_000
_FINENESS = Decimal("1e-12")


class Settlement:
    """Moves the coins and contracts of accounts as their orders rest, fill and end.

    Parameters
    ----------
    venue
        The exchange.
    reports
        Sends each change to the account's listeners.
    """

    def __init__(self, venue: Venue, reports: PrivateReports) -> None:
        self._venue = venue
        self._reports = reports

    def hold(self, order: AccountOrder, now_ns: int) -> None:
        """Set aside the coins of a new spot order."""
        listing, wallet = order.engine.listing, order.member.spot
        currency = listing.quote if order.request.side == "buy" else listing.base
        change = wallet.change(currency, -order.hold, order.hold)
        self._reports.report_balance(order.member, change, "trade.hold", order.context, now_ns)

    def release(self, order: AccountOrder, amount: Decimal, now_ns: int) -> None:
        """Return coins that a spot order had set aside to the available balance."""
        listing, wallet = order.engine.listing, order.member.spot
        currency = listing.quote if order.request.side == "buy" else listing.base
        change = wallet.change(currency, amount, -amount)
        self._reports.report_balance(order.member, change, "trade.hold", order.context, now_ns)

    def fill(self, order: AccountOrder, trade: Trade, *, is_taker: bool) -> None:
        """Book one fill of an order: its fee, and the coins or contracts that change hands."""
        engine, listing = order.engine, order.engine.listing
        rate = fraction(listing.taker_fee if is_taker else listing.maker_fee)
        price = price_of(engine, trade.price_ticks)
        is_spot = listing.market == "spot"
        size = size_of(engine, trade.size)
        value = price * size if is_spot else abs(contract_value(listing, price, trade.size))
        fee = value * rate if is_spot else (value * rate).quantize(_FINENESS)
        if order.request.taken_over_at is not None:
            price, fee = order.request.taken_over_at, _closing_fee(order, trade.size)
            value = abs(contract_value(listing, price, trade.size))
        order.filled += trade.size
        order.value += value
        order.fees += fee
        order.updated_ns = trade.time_ns
        fill = Fill(
            trade.time_ns,
            order.symbol,
            order.order_id,
            trade.trade_id,
            order.request.side,
            price,
            trade.size,
            fee,
            is_taker,
        )
        self._reports.report_order(order, "match", trade.time_ns, trade=trade, is_taker=is_taker)
        closing_fee = ZERO
        if is_spot:
            self._settle_coins(order, trade, value, size, fee)
        else:
            closing_fee = self._settle_contracts(order, trade, price, fee)
        order.member.book.fills.add(
            FillRow(
                row_id=self._reports.next_event_id(),
                fill=fill,
                counter_order_id=trade.maker_order_id if is_taker else trade.taker_order_id,
                request=order.request,
                stop=order.stop.request.stop if order.stop is not None else "",
                margin_mode="" if is_spot else "CROSS" if order.is_cross else "ISOLATED",
                value=value,
                fee_rate=rate,
                closing_fee=closing_fee,
            )
        )

    def _settle_coins(
        self, order: AccountOrder, trade: Trade, value: Decimal, size: Decimal, fee: Decimal
    ) -> None:
        wallet, listing = order.member.spot, order.engine.listing
        if order.request.side == "sell":
            held = size
            changes = [wallet.change(listing.base, ZERO, -size)]
            changes.append(wallet.change(listing.quote, value - fee))
        else:
            held = value + fee
            if order.price_ticks is not None:
                with_fee = 1 + fraction(listing.taker_fee)
                held = price_of(order.engine, order.price_ticks) * size * with_fee
            changes = [wallet.change(listing.quote, held - value - fee, -held)]
            changes.append(wallet.change(listing.base, size))
        order.hold -= held
        context = order.context | {"tradeId": trade.trade_id}
        for change in changes:
            self._reports.report_balance(
                order.member,
                change,
                "trade.setted",
                context,
                trade.time_ns,
                fee=fee if change.currency == listing.quote else ZERO,
            )

    def _settle_contracts(
        self, order: AccountOrder, trade: Trade, price: Decimal, fee: Decimal
    ) -> Decimal:
        # Returns the part of the fee that belongs to closed lots.
        member, listing = order.member, order.engine.listing
        position = member.position_in(listing)
        if not position.quantity:
            position.is_cross = order.is_cross
            if order.is_cross:
                position.is_auto_deposit = False  # of an isolated position before
        # Cross margin has one leverage for the symbol, isolated margin one for each order.
        leverage = member.leverage(order.symbol) if position.is_cross else order.leverage
        time_ms = trade.time_ns // _MS
        booked = position.fill(
            order.request.side,
            price,
            trade.size,
            fee,
            time_ms,
            leverage,
            profit=_taken_over_profit(order, trade.size),
        )
        context = order.context | {"tradeId": trade.trade_id}
        self._reports.book_contracts(
            member,
            listing.settle,
            booked.profit - fee,
            "RealisedPNL",
            context,
            trade.time_ns,
            fee=fee,
        )
        if booked.ended is not None:
            self._note_end(order, position, booked.ended, time_ms)
        reason = "liquidation" if order.request.is_forced else "positionChange"
        mark = fraction(order.engine.mark_price(trade.time_ns))
        cross = ZERO
        if position.is_cross:
            cross = wallet_at_marks(self._venue, member, listing.settle, trade.time_ns).total_cross
        data = position_data(position, mark, time_ms, cross, reason)
        self._reports.report_position(member, order.symbol, "position.change", data, trade.time_ns)
        self._reports.report_wallet(member, listing.settle, trade.time_ns)
        return booked.closing_fee

    def _note_end(
        self, order: AccountOrder, position: Position, ended: EndedPosition, time_ms: int
    ) -> None:
        order.member.book.closed_positions.add(
            ClosedPosition(
                row_id=self._reports.next_event_id(),
                opened_ms=ended.opened_ms,
                closed_ms=time_ms,
                symbol=order.symbol,
                settle=order.engine.listing.settle,
                side="LONG" if ended.lots > 0 else "SHORT",
                is_liquidated=order.request.is_forced,
                margin_mode="CROSS" if position.is_cross else "ISOLATED",
                leverage=ended.leverage,
                entry_price=ended.entry_price,
                exit_price=ended.exit_price,
                gross_profit=ended.gross_profit,
                fees=ended.fees,
                funding=ended.funding,
                lots=abs(ended.lots),
            )
        )


def _taken_over_profit(order: AccountOrder, lots: int) -> Decimal | None:
    # The part of a fill: those of all fills add up exactly. None for other orders.
    request = order.request
    if request.taken_over_at is None:
        return None
    before = order.filled - lots
    reached, known = (
        (request.taken_over_profit * filled / order.size).quantize(_FINENESS, ROUND_CEILING)
        for filled in (order.filled, before)
    )
    return reached - known


def _closing_fee(order: AccountOrder, lots: int) -> Decimal:
    # The exchange takes an isolated position over for the closing fee that its margin has set
    # aside, if any. What the market pays above or below the price is the insurance fund's.
    # (trading reference, section 4.5) Cross margin is lost as a whole by the price.
    position = order.member.positions[order.symbol]
    if position.is_cross:
        return ZERO
    fee = position.margin.commission * lots / abs(position.quantity)
    return fee.quantize(_FINENESS)
