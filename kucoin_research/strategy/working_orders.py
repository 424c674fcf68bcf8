"""Orders at the paper exchange: their rest, and their place in the queue."""

from __future__ import annotations

from dataclasses import dataclass

from kucoin_research.strategy.fixed_point import fixed
from kucoin_research.strategy.orders import Order

__all__ = ["QUEUES", "WorkingOrder"]

#: The names of the queue models.
QUEUES = ("risk_averse", "proportional", "none")


@dataclass(slots=True, eq=False)
class WorkingOrder:
    """An order as the exchange keeps it; all amounts are multiples of 10**-18.

    The fields are what matching an order needs, and no more.

    Attributes
    ----------
    order
        The order as it was sent.
    left
        The size that can still be filled.
    limit
        The limit price as a float, to compare with records; None for a market order.
    hold
        The amount or the coins bound for it.
    ahead
        The displayed size before it in the queue at its price; None while the price is not visible.
    displayed, traded
        The displayed size when it was last seen, and the size traded there since.
    filled, value
        The size filled, and its value.
    stop_is_up
        Whether its stop is reached from below; None if it has no stop, or has passed it.
    since
        When it was sent, or its stop was reached by a mark or index price: it meets the candles
        that open from then on.
    arrived
        When it came to the exchange, ns UTC.
    number
        Counts accepted orders: the earlier of two at one price comes first.
    is_accepted, is_over
        Where it is in its life.
    has_met
        Where only candles or trades are played: whether it has met one yet.
    takes
        Where only trades are played: whether it takes from prints, since it does not rest yet.
    """

    order: Order
    left: int
    limit: float | None
    hold: int = 0
    ahead: int | None = None
    displayed: int = 0
    traded: int = 0
    filled: int = 0
    value: int = 0
    stop_is_up: bool | None = None
    since: int = 0
    arrived: int = 0
    number: int = 0
    is_accepted: bool = False
    has_met: bool = False
    takes: bool = False
    is_over: bool = False

    @classmethod
    def of(cls, order: Order, reference: float | None) -> WorkingOrder:
        """Begin to work on an order.

        Parameters
        ----------
        reference
            The price that reaches its stop, as it was known when the order was sent: KuCoin is sent
            the direction, so a stop that the market passes on its way is reached at once.
        """
        is_up = None if order.stop is None else _is_up(order, order.stop, reference)
        return cls(order, fixed(order.size), order.limit, stop_is_up=is_up, since=order.submitted)

    @property
    def sign(self) -> int:
        """1 to buy, -1 to sell."""
        return 1 if self.order.side == "buy" else -1

    @property
    def must_not_rest(self) -> bool:
        """Whether the part that is not filled at once is cancelled."""
        return self.limit is None or self.order.time_in_force in ("IOC", "FOK")

    def crosses(self, price: float) -> bool:
        """Whether the order accepts a price of the other side."""
        if self.limit is None:
            return True
        return price <= self.limit if self.order.side == "buy" else price >= self.limit

    def is_beyond(self, price: float) -> bool:
        """Whether a price of the other side is better than the order's limit."""
        return self.crosses(price) and price != self.limit

    def accepts(self, size: int) -> bool:
        """Whether the order may be filled by a size: FOK takes all of it or nothing."""
        return self.order.time_in_force != "FOK" or size >= self.left

    def lose_place(self) -> None:
        """Go to the back of the queue, as it will be displayed next."""
        self.ahead, self.traded = None, 0

    def see_displayed(self, size: int, model: str, lot: int) -> None:
        """Take a new displayed size at its price into its place in the queue.

        Risk-averse: only trades move the order forward, and no more can be before it than is
        displayed. Proportional: cancelled sizes were before and behind it in proportion, in whole
        lots, since no order has a part of one.
        """
        if self.ahead is not None and size == self.displayed:
            return  # what traded there has not come off the displayed size yet
        if model == "none":
            self.ahead = 0
        elif self.ahead is None:
            self.ahead = size
        elif model == "proportional" and (there := self.displayed - self.traded) > 0:
            cancelled = max(0, there - size)
            gone = cancelled * self.ahead // there
            self.ahead = min(self.ahead - gone // lot * lot, size)
        else:
            self.ahead = min(self.ahead, size)
        self.displayed, self.traded = size, 0

    def let_trade(self, size: int, used: int) -> int:
        """Let a print at its price pass through the queue.

        Parameters
        ----------
        size
            Of the print.
        used
            What earlier orders of this account took of it.

        Returns
        -------
        int
            The rest for this order.
        """
        if self.ahead is None:
            return 0
        before, self.ahead = self.ahead, max(0, self.ahead - size)
        self.traded += size
        return max(0, min(self.left, size - before - used))


def _is_up(order: Order, stop: float, reference: float | None) -> bool:
    # Before there is a price, a buy is taken to wait for a rise and a sell for a fall.
    if reference is None or reference == stop:
        return order.side == "buy"
    return stop > reference
