"""One account at work: its wallets, positions and orders, and the figures derived from them.

Shapes from the protocol reference, sections 8.1 and 8.2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple

from kucoin_research.sim.accounts.account_book import AccountBook
from kucoin_research.sim.accounts.cross_margin import CrossPrices, cross_prices
from kucoin_research.sim.accounts.keys import Account
from kucoin_research.sim.accounts.ledger import (
    ZERO,
    CoinWallet,
    MarginRules,
    MarginUse,
    Position,
    contract_value,
    decimal_text,
    fraction,
    margin_use,
)
from kucoin_research.sim.accounts.order_archive import OrderArchive
from kucoin_research.sim.accounts.orders import Fill, OrderRequest
from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.messages.feed import number

__all__ = [
    "AccountOrder",
    "Debtor",
    "FuturesWallet",
    "Member",
    "StopOrder",
    "position_data",
    "position_mark_data",
    "position_reply",
]

_DEFAULT_LEVERAGE = Decimal(10)


@dataclass(slots=True, kw_only=True, eq=False)
class AccountOrder:
    """One order of an account, open or done.

    Attributes
    ----------
    size, filled, canceled
        In units.
    value, fees
        Sums of its fills, in the quote or settlement currency.
    hold
        On spot: what the order still sets aside.
    ended_ns
        When it was filled or canceled; None while it is open.
    stop
        The stop order that it was.
    """

    member: Member
    engine: Market
    request: OrderRequest
    order_id: str
    price_ticks: int | None
    size: int
    time_ns: int
    filled: int = 0
    canceled: int = 0
    value: Decimal = ZERO
    fees: Decimal = ZERO
    hold: Decimal = ZERO
    is_cross: bool = False
    leverage: Decimal = Decimal(1)
    ended_ns: int | None = None
    updated_ns: int = 0
    stop: StopOrder | None = None

    @property
    def market(self) -> str:
        """``"futures"`` or ``"spot"``."""
        return self.engine.listing.market

    @property
    def is_active(self) -> bool:
        """Whether it is neither filled nor canceled."""
        return self.ended_ns is None

    @property
    def symbol(self) -> str:
        """The symbol."""
        return self.request.symbol

    @property
    def context(self) -> dict[str, str]:
        """The ``relationContext`` of the balance changes that it causes."""
        return {"symbol": self.symbol, "orderId": self.order_id}

    @property
    def unused_funds(self) -> Decimal:
        """The part of its funds that its fills were not worth; zero for an order of a size."""
        return ZERO if self.request.funds is None else self.request.funds - self.value

    @property
    def was_cut_short(self) -> bool:
        """Whether any of its size or funds was canceled."""
        return self.canceled > 0 or (not self.is_active and self.unused_funds > 0)

    @property
    def remaining(self) -> int:
        """The size that is neither filled nor canceled, in units."""
        return self.size - self.filled - self.canceled


@dataclass(slots=True, kw_only=True, eq=False)
class StopOrder:
    """One order that waits for a price, or waited for it.

    Attributes
    ----------
    ended_ns
        When it was triggered or canceled; None while it waits.
    error
        Why no order could be placed when it was triggered.
    order
        The order that it became.
    """

    member: Member
    engine: Market
    request: OrderRequest
    order_id: str
    size: int
    time_ns: int
    ended_ns: int | None = None
    is_triggered: bool = False
    error: str = ""
    order: AccountOrder | None = None

    @property
    def market(self) -> str:
        """``"futures"`` or ``"spot"``."""
        return self.engine.listing.market

    @property
    def symbol(self) -> str:
        """The symbol."""
        return self.request.symbol

    @property
    def is_active(self) -> bool:
        """Whether it still waits."""
        return self.ended_ns is None

    def is_reached(self, price: float) -> bool:
        """Return whether a price triggers the order."""
        assert self.request.stop_price is not None, "a stop has a stop price"
        stop_price = float(self.request.stop_price)
        rises = self.request.stop in ("up", "entry")
        return price >= stop_price if rises else price <= stop_price


class FuturesWallet(NamedTuple):
    """A futures balance and the margins it is bound by; sums as in the sample of section 8.1.

    ``order_fees`` is what the open orders will pay for opening. KuCoin's sample has it in what is
    available, yet it must not be spent on anything else.
    """

    balance: Decimal
    isolated_position: Decimal
    isolated_order: Decimal
    cross_position: Decimal
    cross_order: Decimal
    isolated_pnl: Decimal
    cross_pnl: Decimal
    isolated_funding: Decimal = ZERO
    order_fees: Decimal = ZERO

    @property
    def total_cross(self) -> Decimal:
        """The amount that cross margin can use."""
        return self.balance - self.isolated_position - self.isolated_order + self.cross_pnl

    @property
    def available(self) -> Decimal:
        """The amount that no margin binds."""
        return self.total_cross - self.cross_position - self.cross_order

    @property
    def free(self) -> Decimal:
        """The amount that new orders can bind."""
        return self.available - self.order_fees

    @property
    def withdrawable(self) -> Decimal:
        """The amount that can be moved out: unrealised profit is margin, but stays."""
        return max(ZERO, self.free - max(ZERO, self.cross_pnl))

    @property
    def equity(self) -> Decimal:
        """The balance after closing all positions at the mark prices."""
        return self.balance + self.isolated_pnl + self.cross_pnl

    def data(self, currency: str, version: int, now_ms: int) -> dict[str, str]:
        """Build the data of ``walletBalance.change``: all values are text."""
        amounts = {
            "crossPosMargin": self.cross_position,
            "isolatedOrderMargin": self.isolated_order,
            "holdBalance": ZERO,
            "equity": self.equity,
            "availableBalance": self.available,
            "isolatedPosMargin": self.isolated_position,
            "walletBalance": self.balance,
            "isolatedFundingFeeMargin": self.isolated_funding,
            "maxWithdrawAmount": self.withdrawable,
            "crossUnPnl": self.cross_pnl,
            "totalCrossMargin": self.total_cross,
            "isolatedUnPnl": self.isolated_pnl,
            "crossOrderMargin": self.cross_order,
        }
        texts = {name: decimal_text(amount) for name, amount in amounts.items()}
        return texts | {"version": str(version), "currency": currency, "timestamp": str(now_ms)}


class Debtor:
    """A margin account: its coins and its debts."""

    def __init__(self, wallet: CoinWallet) -> None:
        self.wallet = wallet
        self.debts: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.is_frozen = False

    @property
    def is_in_debt(self) -> bool:
        """Whether anything is owed."""
        return any(self.debts.values())

    def worth(self, value: Callable[[str], Decimal]) -> tuple[Decimal, Decimal]:
        """Return assets and debts in USDT, by the USDT value of each coin."""
        wallet = self.wallet
        assets = sum((wallet.total(coin) * value(coin) for coin in wallet.currencies), ZERO)
        debts = sum((owed * value(coin) for coin, owed in self.debts.items()), ZERO)
        return assets, debts


class Member:
    """Holds the state of one account.

    Parameters
    ----------
    account
        Key and opening balances.
    margin_rules
        The exchange's rules of isolated margin.
    """

    def __init__(self, account: Account, margin_rules: MarginRules = "2025-05") -> None:
        self.account = account
        self._margin_rules: MarginRules = margin_rules
        self.user_id = account.user_id
        self.main = CoinWallet(account.main)
        self.spot = CoinWallet(account.spot)
        self.futures = defaultdict(Decimal, {c: Decimal(t) for c, t in account.futures.items()})
        self.versions: defaultdict[str, int] = defaultdict(int)
        self.reported: dict[str, FuturesWallet] = {}
        self.margin = Debtor(CoinWallet(account.margin))
        self.isolated: dict[str, Debtor] = {}
        self.orders: dict[str, AccountOrder] = {}
        self.stops: dict[str, StopOrder] = {}
        self.positions: dict[str, Position] = {}
        self.archive: OrderArchive[AccountOrder | StopOrder] = OrderArchive()
        self.book = AccountBook()
        self._cross: set[str] = set()
        self._leverages: dict[str, Decimal] = {}
        self._risk_levels: dict[str, int] = {}

    @property
    def fills(self) -> list[Fill]:
        """The newest 100 000 fills, oldest first."""
        return [row.fill for row in self.book.fills]

    def coins(self, wallet: str) -> CoinWallet:
        """Return the ``"main"``, ``"trade"`` or ``"margin"`` wallet."""
        return {"main": self.main, "trade": self.spot, "margin": self.margin.wallet}[wallet]

    def margin_mode(self, symbol: str) -> str:
        """Return the margin mode of a symbol: ``"ISOLATED"`` or ``"CROSS"``."""
        return "CROSS" if symbol in self._cross else "ISOLATED"

    def set_margin_mode(self, symbol: str, mode: str) -> None:
        """Choose the mode of the next position."""
        (self._cross.add if mode == "CROSS" else self._cross.discard)(symbol)

    def leverage(self, symbol: str) -> Decimal:
        """Return the leverage of the next order."""
        return self._leverages.get(symbol, _DEFAULT_LEVERAGE)

    def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Choose the leverage of the next order; cross orders and positions take it at once."""
        self._leverages[symbol] = leverage
        for order in self.orders_of(symbol):
            if order.is_cross:
                order.leverage = leverage
        position = self.positions.get(symbol)
        if position is not None and position.is_cross:
            position.leverage = leverage

    def risk_level(self, symbol: str) -> int | None:
        """Return the risk tier chosen for isolated margin; None for the lowest that is enough."""
        return self._risk_levels.get(symbol)

    def set_risk_level(self, symbol: str, level: int) -> None:
        """Choose the risk tier of a symbol's isolated margin; a position takes it at once."""
        self._risk_levels[symbol] = level
        if symbol in self.positions:
            self.positions[symbol].risk_level = level

    def orders_of(self, symbol: str) -> list[AccountOrder]:
        """List the open orders of a symbol, oldest first."""
        return [order for order in self.orders.values() if order.symbol == symbol]

    def position_in(self, listing: Listing) -> Position:
        """Return the position in a contract; flat at first."""
        known = self.positions.get(listing.symbol)
        if known is None:
            known = Position(
                listing, self._margin_rules, risk_level=self.risk_level(listing.symbol)
            )
            self.positions[listing.symbol] = known
        return known

    def margin_use(self, listing: Listing, value: Decimal, leverage: Decimal) -> MarginUse:
        """Return the margin that a value in a contract would bind at a leverage."""
        return margin_use(listing, self._margin_rules, value, leverage)

    def shown_position(self, listing: Listing) -> Position:
        """Return the position in a contract; a flat one has the symbol's present settings."""
        symbol = listing.symbol
        known = self.positions.get(symbol) or Position(listing, self._margin_rules)
        is_cross = self.margin_mode(symbol) == "CROSS"
        if known.quantity or (symbol in self.positions and known.is_cross == is_cross):
            return known
        return replace(
            known,
            is_cross=is_cross,
            leverage=self.leverage(symbol),
            risk_level=self.risk_level(symbol),
            is_auto_deposit=False,
        )

    def closable(self, symbol: str, side: str) -> int:
        """Return the number of lots that an order of that side could close."""
        position = self.positions.get(symbol)
        quantity = position.quantity if position is not None else 0
        return max(0, -quantity if side == "buy" else quantity)

    def positions_in(self, currency: str) -> list[Position]:
        """List the open positions that settle in a currency."""
        return [
            position
            for position in self.positions.values()
            if position.quantity and position.listing.settle == currency
        ]

    def opening_parts(self, currency: str) -> list[tuple[AccountOrder, int]]:
        """List the open orders that settle in a currency, each with the lots that it would open.

        The part of an order that only closes a position binds no margin.
        """
        closable = {
            (symbol, position.closing_side): abs(position.quantity)
            for symbol, position in self.positions.items()
        }
        parts = []
        for order in self.orders.values():
            listing = order.engine.listing
            if listing.market == "futures" and listing.settle == currency:
                key = order.symbol, order.request.side
                if order.request.force_hold:
                    parts.append((order, order.remaining))
                    continue
                closing = min(closable.get(key, 0), order.remaining)
                closable[key] = closable.get(key, 0) - closing
                parts.append((order, order.remaining - closing))
        return parts

    def futures_wallet(self, currency: str, mark: Callable[[str], Decimal]) -> FuturesWallet:
        """Add up one settlement currency; ``mark`` returns the mark price of a symbol."""
        margins = {False: ZERO, True: ZERO}
        profits = {False: ZERO, True: ZERO}
        funding = ZERO
        for position in self.positions_in(currency):
            funding += position.margin_funding
            margins[position.is_cross] += position.margin.total
            profits[position.is_cross] += position.unrealised(mark(position.listing.symbol))
        isolated = fees = ZERO
        sides: defaultdict[str, dict[str, Decimal]] = defaultdict(_no_margins)
        for order, size in self.opening_parts(currency):
            margin = self._order_margin(order, size)
            fees += _opening_fee(order, size)
            if order.is_cross:
                sides[order.symbol][order.request.side] += margin
            else:
                isolated += margin
        # Cross margin binds the larger side of a symbol's open orders. (trading reference, 4.3)
        cross = sum((max(both.values()) for both in sides.values()), ZERO)
        return FuturesWallet(
            self.futures.get(currency, ZERO),
            margins[False],
            isolated,
            margins[True],
            cross,
            profits[False],
            profits[True],
            funding,
            fees,
        )

    def order_margins(self, symbol: str) -> dict[str, Decimal]:
        """Return the margin that each side of a symbol's open orders needs, by side."""
        sides = _no_margins()
        orders = self.orders_of(symbol)
        for order, size in self.opening_parts(orders[0].engine.listing.settle) if orders else ():
            if order.symbol == symbol:
                sides[order.request.side] += self._order_margin(order, size)
        return sides

    def _order_margin(self, order: AccountOrder, size: int) -> Decimal:
        value = _opened_value(order, size)
        return (value / order.leverage).quantize(Decimal("1e-12"))


def _opened_value(order: AccountOrder, size: int) -> Decimal:
    assert order.price_ticks is not None, "only limit orders rest"
    price = Decimal(order.engine.price_text(order.price_ticks))
    return abs(contract_value(order.engine.listing, price, size))


def _opening_fee(order: AccountOrder, size: int) -> Decimal:
    # An order that rests is filled as a maker.
    rate = max(ZERO, fraction(order.engine.listing.maker_fee))
    return _opened_value(order, size) * rate


def _no_margins() -> dict[str, Decimal]:
    return {"buy": ZERO, "sell": ZERO}


def _figure(amount: Decimal, digits: int = 10) -> Any:
    # A number that JSON spells as KuCoin does: 0, not 0.0.
    text = number(round(float(amount), digits))
    return float(text) if "." in text or "e" in text else int(text)


def _moving_fields(position: Position, mark: Decimal, now_ms: int) -> dict[str, Any]:
    # The fields that change with the mark price alone.
    value, profit = position.value(mark), position.unrealised(mark)
    cost, margin = abs(position.cost), position.margin
    return_on_equity = profit / margin.initial if margin.initial else ZERO
    fields = {
        "markPrice": _figure(mark),
        "markValue": _figure(value),
        "unrealisedPnl": _figure(profit),
        "unrealisedPnlPcnt": _figure(profit / cost if cost else ZERO, 4),
        "unrealisedRoePcnt": _figure(return_on_equity, 4),
        # Rank in the queue for auto-deleveraging: more profit ranks nearer to the front.
        "delevPercentage": _figure(max(ZERO, min(Decimal(1), (1 + return_on_equity) / 2)), 2),
        "currentTimestamp": now_ms,
        "settleCurrency": position.listing.settle,
    }
    if not position.is_cross:
        left = margin.initial + profit
        fields["maintMargin"] = _figure(margin.total + profit)
        fields["realLeverage"] = _figure(abs(value) / left if left > 0 else position.leverage)
    return fields


def position_mark_data(position: Position, mark: Decimal, now_ms: int) -> dict[str, Any]:
    """Build the partial data of a ``markPriceChange`` frame: it has no quantity."""
    return {
        "symbol": position.listing.symbol,
        **_moving_fields(position, mark, now_ms),
        "changeReason": "markPriceChange",
    }


def position_data(
    position: Position,
    mark: Decimal,
    now_ms: int,
    cross: Decimal,
    reason: str = "positionChange",
) -> dict[str, Any]:
    """Build the full data of a ``position.change`` frame.

    Parameters
    ----------
    position, mark, now_ms
        What it is about, at which mark price and when.
    cross
        The total margin of the settlement currency's cross positions.
    reason
        The ``changeReason``.
    """
    cost, margin = position.cost, position.margin
    gross_cost = -position.gross_pnl
    realised_cost = gross_cost + position.fees - position.funding
    entry = position.entry_price
    prices = CrossPrices(position.bankruptcy_price, position.liquidation_price)
    if position.is_cross:
        prices = cross_prices(position, mark, cross)
    moving = _moving_fields(position, mark, now_ms)
    data = {
        "symbol": position.listing.symbol,
        "maintMarginReq": _figure(position.maintenance_rate(mark)),
        "crossMode": position.is_cross,
        "openingTimestamp": position.opened_ms,
        "currentQty": position.quantity,
        "currentCost": _figure(cost + gross_cost),
        "currentComm": _figure(position.fees),
        "unrealisedCost": _figure(cost),
        "realisedCost": _figure(realised_cost),
        "isOpen": bool(position.quantity),
        "posCost": _figure(cost),
        "posInit": _figure(margin.initial),
        "posMargin": _figure(margin.total),
        "posMaint": _figure(position.maintenance(mark)),
        "avgEntryPrice": _figure(entry),
        "liquidationPrice": _figure(prices.liquidation),
        "bankruptPrice": _figure(prices.bankruptcy),
        "changeReason": reason,
        "realisedGrossCost": _figure(gross_cost),
        "realisedGrossPnl": _figure(position.gross_pnl),
        "realisedPnl": _figure(-realised_cost),
        # What the realised profit is made of, beside that of the prices.
        "dealComm": _figure(-position.fees),
        "fundingFee": _figure(position.funding),
        "tax": 0,
        "leverage": moving.get("realLeverage", _figure(position.leverage)),
        "marginMode": "CROSS" if position.is_cross else "ISOLATED",
        "positionSide": "BOTH",
        **moving,
    }
    if not position.is_cross:
        data |= {
            "autoDeposit": position.is_auto_deposit,
            "riskLimit": position.risk_tier.limit,
            "riskLimitLevel": position.risk_tier.level,
            "posCross": _figure(margin.added),
            "posComm": _figure(margin.commission),
            "posLoss": _figure(-margin.funding),
            "posFunding": _figure(position.funding),
            # The share of its value that the position must keep.
            "aggRate": _figure(position.kept_rate),
        }
    return data


def position_reply(
    position: Position, mark: Decimal, now_ms: int, cross: Decimal, position_id: str
) -> dict[str, Any]:
    """Build the row of a position as the REST calls return it; parameters as ``position_data``."""
    frame = position_data(position, mark, now_ms, cross)
    only_in_frames = ("changeReason", "dealComm", "fundingFee", "tax", "aggRate")
    row = {name: value for name, value in frame.items() if name not in only_in_frames}
    row |= {
        "id": position_id,
        "isInverse": position.listing.is_inverse,
        "maintainMargin": frame["maintMarginReq"],
    }
    if not position.is_cross:
        row |= {"posCrossMargin": 0, "posCommCommon": frame["posComm"]}
    return row
