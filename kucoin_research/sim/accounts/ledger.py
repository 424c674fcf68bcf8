"""The assets of an account: coins on spot, contracts and their margin on futures.

All amounts are `Decimal` and are added exactly, so that balances add up to the last digit.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal, NamedTuple, TypeAlias

from kucoin_research.sim.engine.catalog import Listing
from kucoin_research.sim.engine.matching import Side
from kucoin_research.sim.engine.risk_tiers import RiskTier

__all__ = [
    "MARGIN_RULES",
    "ZERO",
    "BalanceChange",
    "BookedFill",
    "CoinWallet",
    "EndedPosition",
    "MarginRules",
    "MarginUse",
    "Position",
    "account_number",
    "base_coins",
    "contract_value",
    "cross_maintenance",
    "decimal_text",
    "fraction",
    "margin_use",
    "read_amount",
]

#: KuCoin's rules of isolated margin since 2025-05-22, and those before.
MarginRules: TypeAlias = Literal["2025-05", "legacy"]
MARGIN_RULES: tuple[MarginRules, ...] = ("2025-05", "legacy")
ZERO = Decimal(0)
_FINENESS = Decimal("1e-12")
_DIGITS_BEFORE_POINT = 14
_DIGITS = 28


def decimal_text(amount: Decimal) -> str:
    """Spell an amount without exponent and trailing zeros."""
    text = f"{amount:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def read_amount(text: str) -> Decimal | None:
    """Read a decimal number; None if it is none, or has more digits than sums here keep exactly.

    It may have 14 digits before the point, and 28 in all: amounts of KuCoin have fewer, and decimal
    arithmetic rounds beyond that.
    """
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    if not found.is_finite():
        return None
    exponent = found.as_tuple().exponent
    assert isinstance(exponent, int), "a finite number has one"
    digits = max(0, found.adjusted() + 1) + max(0, -exponent)
    return found if found.adjusted() < _DIGITS_BEFORE_POINT and digits <= _DIGITS else None


def fraction(value: float) -> Decimal:
    """Convert a rate or price to the decimal that it prints as."""
    return Decimal(repr(value))


def account_number(user_id: str, kind: str, currency: str) -> int:
    """Return the number of a user's account of one coin: about 12 digits, the same in every run."""
    name = f"{user_id} {kind} {currency}"
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=5).digest(), "big")


class BalanceChange(NamedTuple):
    """One change of one coin's balance, and the balance after it."""

    currency: str
    available: Decimal
    hold: Decimal
    available_change: Decimal
    hold_change: Decimal


class CoinWallet:
    """Holds coins, each partly available and partly on hold for open orders.

    Parameters
    ----------
    amounts
        Currency to decimal text.
    """

    def __init__(self, amounts: Mapping[str, str]) -> None:
        self._available = defaultdict(Decimal, {c: Decimal(text) for c, text in amounts.items()})
        self._hold: defaultdict[str, Decimal] = defaultdict(Decimal)

    @property
    def currencies(self) -> list[str]:
        """All coins that were ever in the wallet."""
        return list(dict.fromkeys((*self._available, *self._hold)))

    def available(self, currency: str) -> Decimal:
        """Return the amount that can be spent."""
        return self._available.get(currency, ZERO)

    def hold(self, currency: str) -> Decimal:
        """Return the amount that open orders have set aside."""
        return self._hold.get(currency, ZERO)

    def total(self, currency: str) -> Decimal:
        """Return the amount owned: available and on hold."""
        return self.available(currency) + self.hold(currency)

    def change(self, currency: str, available: Decimal, hold: Decimal = ZERO) -> BalanceChange:
        """Add to both parts; neither may become negative."""
        self._available[currency] += available
        self._hold[currency] += hold
        left, held = self._available[currency], self._hold[currency]
        assert left >= 0, f"{currency}: {left} available"
        assert held >= 0, f"{currency}: {held} on hold"
        return BalanceChange(currency, left, held, available, hold)


def contract_value(listing: Listing, price: Decimal, quantity: int) -> Decimal:
    """Return the value of signed lots in the settlement currency; negative for inverse longs.

    With this sign (reference, section 1.3: multiplier -1) the profit of a position is its present
    value minus its value at entry, on both kinds of contract.
    """
    if not quantity:
        return ZERO
    multiplier = fraction(listing.multiplier)
    if listing.is_inverse:
        return (quantity * multiplier / price).quantize(_FINENESS)
    return quantity * multiplier * price


def cross_maintenance(listing: Listing, quantity: int, price: Decimal) -> Decimal:
    """Return the maintenance margin of lots in cross margin, as a fraction of their value.

    It grows with the size in base coins (trading reference, section 4.3).
    """
    return listing.cross_maintenance(base_coins(listing, quantity, price))


def base_coins(listing: Listing, quantity: int, price: Decimal) -> Decimal:
    """Return the size of lots in base coins, which on inverse contracts depends on the price."""
    if listing.is_inverse:
        return abs(contract_value(listing, price, quantity))
    return abs(quantity) * fraction(listing.multiplier)


class MarginUse(NamedTuple):
    """The margin that a position or an order binds.

    ``commission`` is the closing fee that the rules before 2025-05-22 set aside at the opening;
    ``added`` is what the account has added to isolated margin by hand.
    """

    initial: Decimal
    commission: Decimal
    funding: Decimal = ZERO
    added: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """All of it; with isolated margin, funding is the one settled since the opening."""
        return self.initial + self.commission + self.funding + self.added


def margin_use(
    listing: Listing, rules: MarginRules, value: Decimal, leverage: Decimal
) -> MarginUse:
    """Return the margin that an opened value binds."""
    initial, fee = value / leverage, ZERO
    if rules == "legacy":
        # The fee of closing at the bankruptcy price, as in the sample of section 8.1.
        fee = value * fraction(listing.taker_fee) * (1 + 1 / leverage)
    return MarginUse(initial.quantize(_FINENESS), fee.quantize(_FINENESS))


class EndedPosition(NamedTuple):
    """The sums of a position that has been closed; ``lots`` are signed."""

    opened_ms: int
    lots: int
    leverage: Decimal
    entry_price: Decimal
    exit_price: Decimal
    gross_profit: Decimal
    fees: Decimal
    funding: Decimal


class BookedFill(NamedTuple):
    """What a fill has done to a position.

    Attributes
    ----------
    profit
        The realised profit before the fee.
    closing_fee
        The part of the fee that belongs to closed lots.
    ended
        The position that it has closed; None if it is still open.
    """

    profit: Decimal
    closing_fee: Decimal
    ended: EndedPosition | None


@dataclass(slots=True)
class Position:
    """The contracts of one symbol that an account holds.

    ``cost`` is the signed value of the open lots at their average entry; ``gross_pnl``, ``fees``
    and ``funding`` are sums since the position was last opened, ``funding`` as received. The part
    of it that belongs to the isolated margin of the open lots is ``margin_funding``;
    ``added_margin`` was added to that margin by hand, or by itself with ``is_auto_deposit``.
    ``closed_lots``, ``closed_value`` and ``closed_cost`` are sums of the closed lots, with the sign
    of the position: their value at the exit and at the entry. ``risk_level`` is the risk tier that
    the account has chosen; without one, it is the lowest that holds the position.

    Isolated margin follows ``margin_rules``. Since 2025-05-22 a position must keep its value at the
    mark price times the maintenance margin of its risk tier and the liquidation fee's rate, which
    is not published: the taker's is taken. Before, it had to keep a fraction of its value at entry,
    and the closing fee that was set aside at the opening. (trading reference, section 4.2)
    """

    listing: Listing
    margin_rules: MarginRules = "2025-05"
    quantity: int = 0
    cost: Decimal = ZERO
    gross_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    opened_ms: int = 0
    is_cross: bool = False
    leverage: Decimal = Decimal(1)
    margin_funding: Decimal = ZERO
    added_margin: Decimal = ZERO
    closed_lots: int = 0
    closed_value: Decimal = ZERO
    closed_cost: Decimal = ZERO
    is_auto_deposit: bool = False
    risk_level: int | None = None

    def fill(
        self,
        side: Side,
        price: Decimal,
        size: int,
        fee: Decimal,
        time_ms: int,
        leverage: Decimal | None = None,
        profit: Decimal | None = None,
    ) -> BookedFill:
        """Book one fill.

        What it opens has the leverage of its order, None for the position's. The position then has
        the leverage by which its initial margin is the sum of both. The fee of a fill that closes
        the position and opens the opposite one is shared by lots. What it closes realises `profit`,
        None for the one at its price.
        """
        signed = size if side == "buy" else -size
        if not self.quantity:
            self._open(time_ms)
        closing = 0
        if self.quantity and (self.quantity > 0) != (signed > 0):
            closing = min(size, abs(self.quantity)) * (1 if signed > 0 else -1)
        closing_fee = (fee * abs(closing) / size).quantize(_FINENESS) if closing != signed else fee
        realised, ended = ZERO, None
        if closing:
            realised = self._close(closing, price, profit)
            self.fees += closing_fee
            ended = self._ended() if not self.quantity else None
        opening = signed - closing
        if opening:
            if closing:
                # The fill closed the position and opened the opposite one, whose sums start here.
                self._open(time_ms)
            self._add(opening, price, leverage or self.leverage)
            self.fees += fee - closing_fee
        return BookedFill(realised, closing_fee if closing else ZERO, ended)

    def value(self, price: Decimal) -> Decimal:
        """Return the signed value of the open lots at a price."""
        return contract_value(self.listing, price, self.quantity)

    def unrealised(self, price: Decimal) -> Decimal:
        """Return the profit that closing at a price would realise."""
        return self.value(price) - self.cost

    @property
    def margin(self) -> MarginUse:
        """The margin that the position binds: initial margin, closing fee, settled funding."""
        used = margin_use(self.listing, self.margin_rules, abs(self.cost), self.leverage)
        return used._replace(funding=self.margin_funding, added=self.added_margin)

    @property
    def risk_tier(self) -> RiskTier:
        """The risk tier that the account has chosen, or else that of the value at entry."""
        if self.risk_level is not None:
            return self.listing.risk_tiers[self.risk_level - 1]
        return self.listing.risk_tier(self.cost) or self.listing.risk_tiers[-1]

    def maintenance_rate(self, mark: Decimal) -> Decimal:
        """Return the maintenance margin as a fraction of the value, without the fee of closing."""
        if not self.is_cross:
            return self.risk_tier.maintenance_margin
        return cross_maintenance(self.listing, self.quantity, mark)

    @property
    def kept_rate(self) -> Decimal:
        """The share of its value that an isolated position must keep, with the closing fee."""
        return self.risk_tier.maintenance_margin + self._taker_fee

    def maintenance(self, mark: Decimal) -> Decimal:
        """Return the margin that the position must keep at a mark price, with the closing fee."""
        rate = self.maintenance_rate(mark)
        if self.margin_rules == "legacy" and not self.is_cross:
            return abs(self.cost) * rate + self.margin.commission
        return abs(self.value(mark)) * (rate + self._taker_fee)

    @property
    def closing_side(self) -> Side:
        """The side of an order that reduces it; of no use when flat."""
        return "sell" if self.quantity > 0 else "buy"

    @property
    def lost(self) -> Decimal:
        """The isolated margin that a liquidation costs, without the closing fee."""
        return self.margin.initial + self.margin_funding + self.added_margin

    @property
    def bankruptcy_price(self) -> Decimal:
        """The price at which isolated margin, without the closing fee, is lost; zero when flat."""
        return self.price_of_value(self.cost - self.lost)

    @property
    def covered_price(self) -> Decimal:
        """The worst price at which isolated margin covers the loss and the fee of closing as taker.

        Zero if there is no such price, or no position.
        """
        lost = self.price_of_value(self.cost - self.margin.total)
        return self.price_keeping(lost, self._taker_fee)

    @property
    def liquidation_price(self) -> Decimal:
        """The mark price at which an isolated position is liquidated; zero when flat."""
        rate = self.risk_tier.maintenance_margin
        if self.margin_rules == "legacy":
            kept = abs(self.cost) * rate
            return self.price_of_value(self.cost + kept - self.lost)
        return self.price_keeping(self.bankruptcy_price, rate + self._taker_fee)

    def price_keeping(self, bankruptcy_price: Decimal, rate: Decimal) -> Decimal:
        """Return the price at which a fraction of the value is left of the margin.

        Parameters
        ----------
        bankruptcy_price
            The price at which nothing is left of it.
        rate
            The fraction of the value at the price that is returned.
        """
        signed = rate if self.quantity > 0 else -rate
        if self.listing.is_inverse:
            return bankruptcy_price * (1 + signed)
        return bankruptcy_price / (1 - signed)

    def price_of_value(self, value: Decimal) -> Decimal:
        """Return the price at which the open lots have a signed value; zero if there is none."""
        return self._price(value, self.quantity)

    def _price(self, value: Decimal, lots: int) -> Decimal:
        multiplier = fraction(self.listing.multiplier)
        if not lots or not value:
            return ZERO
        if self.listing.is_inverse:
            return max(ZERO, lots * multiplier / value)
        return max(ZERO, value / (lots * multiplier))

    @property
    def entry_price(self) -> Decimal:
        """Average entry price of the open lots; zero when flat."""
        return self.price_of_value(self.cost)

    def receive_funding(self, amount: Decimal) -> None:
        """Book a settled funding, negative if paid; it is part of isolated margin."""
        self.funding += amount
        if not self.is_cross:
            self.margin_funding += amount

    def add_margin(self, amount: Decimal) -> None:
        """Add to isolated margin by hand; a negative amount takes away."""
        self.added_margin += amount

    def _ended(self) -> EndedPosition:
        lots = self.closed_lots
        return EndedPosition(
            self.opened_ms,
            lots,
            self.leverage,
            self._price(self.closed_cost, lots),
            self._price(self.closed_value, lots),
            self.gross_pnl,
            self.fees,
            self.funding,
        )

    @property
    def _taker_fee(self) -> Decimal:
        return fraction(self.listing.taker_fee)

    def _open(self, time_ms: int) -> None:
        self.gross_pnl = self.fees = self.funding = self.margin_funding = ZERO
        self.added_margin = self.closed_value = self.closed_cost = ZERO
        self.closed_lots = 0
        self.opened_ms = time_ms

    def _add(self, opening: int, price: Decimal, leverage: Decimal) -> None:
        value = contract_value(self.listing, price, opening)
        if not self.quantity:
            self.leverage = leverage
        elif leverage != self.leverage:
            initial = self.cost / self.leverage + value / leverage
            self.leverage = (self.cost + value) / initial
        self.quantity += opening
        self.cost += value

    def _close(self, closing: int, price: Decimal, profit: Decimal | None) -> Decimal:
        # The cost of the closed lots. Closing all takes the whole cost: rounding loses nothing.
        cost, funding, added = self.cost, self.margin_funding, self.added_margin
        if closing != -self.quantity:
            cost = (self.cost * closing / -self.quantity).quantize(_FINENESS)
            funding = (self.margin_funding * closing / -self.quantity).quantize(_FINENESS)
            added = (self.added_margin * closing / -self.quantity).quantize(_FINENESS)
        if profit is None:
            profit = (contract_value(self.listing, price, -closing) - cost).quantize(_FINENESS)
        self.quantity += closing
        self.cost -= cost
        self.margin_funding -= funding
        self.added_margin -= added
        self.gross_pnl += profit
        self.closed_lots -= closing
        self.closed_value += cost + profit
        self.closed_cost += cost
        return profit
