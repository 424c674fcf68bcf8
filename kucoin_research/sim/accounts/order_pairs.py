"""Pairs of orders of which one cancels the other: OCO on spot, take profit and stop loss.

KuCoin documents the calls but not every rule. Where it is silent these hold: the first fill of one
order of an OCO pair cancels the other, the trigger of one stop of a pair cancels the other, and the
stops of a position end with the position.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random

from kucoin_research.sim.accounts.members import AccountOrder, Member, StopOrder
from kucoin_research.sim.accounts.order_bounds import check_form_of_client_oid
from kucoin_research.sim.accounts.orders import OrderRefused, OrderRequest
from kucoin_research.sim.accounts.venue import OrderPlacer, Venue

__all__ = ["Oco", "OrderPairs"]


@dataclass(slots=True, kw_only=True, eq=False)
class Oco:
    """A limit order and a stop order on spot of which at most one is executed.

    Attributes
    ----------
    pair_id, client_oid
        The exchange's id of the pair, and the client's own.
    limit, stop
        The two orders, open or done.
    """

    member: Member
    pair_id: str
    client_oid: str
    limit: AccountOrder
    stop: StopOrder
    time_ns: int

    @property
    def symbol(self) -> str:
        """The symbol."""
        return self.limit.symbol

    @property
    def is_active(self) -> bool:
        """Whether both orders are open."""
        return self.limit.is_active and self.stop.is_active

    @property
    def status(self) -> str:
        """KuCoin's word: ``NEW``, ``TRIGGERED``, ``DONE`` or ``CANCELLED``."""
        if self.is_active:
            return "NEW"
        if self.stop.is_triggered:
            return "TRIGGERED"
        return "DONE" if self.limit.filled else "CANCELLED"


class OrderPairs:
    """Keeps the pairs of all accounts, and cancels what the other order of a pair makes void.

    Parameters
    ----------
    venue
        The exchange.
    orders
        Places and cancels.
    wait
        Lets a stop order wait without a check, and returns its id: a fill must not fail because
        there are too many stops.
    """

    def __init__(
        self, venue: Venue, orders: OrderPlacer, wait: Callable[[Member, OrderRequest], str]
    ) -> None:
        self._venue = venue
        self._orders = orders
        self._wait = wait
        self._random = Random(f"{venue.seed}:pairs")
        # By the user, then by the pair's id or the client's own; kept as long as both orders are.
        self._ocos: defaultdict[str, dict[str, Oco]] = defaultdict(dict)
        self._by_client_oid: dict[tuple[str, str], Oco] = {}
        self._oco_of: dict[str, Oco] = {}  # by the id of either order
        self._open_oco_of: dict[str, Oco] = {}  # until one of the two orders is filled or ends
        # By the id of an order to be filled first: the stops that its first fill places.
        self._attached: dict[str, tuple[OrderRequest, ...]] = {}
        self._stops: dict[str, set[str]] = {}  # the other stops of each of these

    # OCO

    def place_oco(
        self, member: Member, limit: OrderRequest, stop: OrderRequest, client_oid: str = ""
    ) -> Oco:
        """Place a limit order and a stop order of which the first fill cancels the other.

        Raises
        ------
        OrderRefused
            400100 if the limit price and the stop price lie on one side of the last price, or the
            client's id is not new; and where one of the orders would be refused.
        """
        check_form_of_client_oid(client_oid, self._venue.caught_up(limit.symbol).listing)
        self._check_sides(limit, stop)
        is_repeated = limit.client_oid and limit.client_oid == stop.client_oid
        if is_repeated or (client_oid and self.find_oco(member, client_oid=client_oid) is not None):
            raise OrderRefused("400100", "validation.createOrder.clientOidDuplicated")
        # Checked ahead of the limit order, so that a refusal leaves nothing behind. Only the coins
        # are not: the limit order binds them until the trigger.
        self._orders.test(member, stop)
        limit_id = self._orders.place(member, limit)
        stop_id = self._orders.place(member, stop)
        placed, waiting = (member.archive.find("spot", one) for one in (limit_id, stop_id))
        assert isinstance(placed, AccountOrder)
        assert isinstance(waiting, StopOrder)
        pair = Oco(
            member=member,
            pair_id=f"{self._random.getrandbits(96):024x}",
            client_oid=client_oid,
            limit=placed,
            stop=waiting,
            time_ns=waiting.time_ns,
        )
        self._keep(pair)
        if placed.filled or not placed.is_active:
            self._cancel_if_active(waiting)
        return pair

    def ocos(self, member: Member) -> Iterator[Oco]:
        """Go through the account's pairs from the newest to the oldest."""
        return reversed(self._ocos[member.user_id].values())

    def find_oco(self, member: Member, pair_id: str = "", client_oid: str = "") -> Oco | None:
        """Return the account's pair of an id, or of its own id; None if there is none."""
        found = self._ocos[member.user_id].get(pair_id)
        return found or self._by_client_oid.get((member.user_id, client_oid))

    def oco_of(self, order_id: str) -> Oco | None:
        """Return the pair of which an order is one; None if it belongs to none."""
        return self._oco_of.get(order_id)

    def cancel_oco(self, pair: Oco) -> list[str]:
        """Cancel both orders of a pair; return the ids of those that were open."""
        open_ones = [one for one in (pair.limit, pair.stop) if one.is_active]
        for one in open_ones:
            self._cancel_if_active(one)
        return [one.order_id for one in open_ones]

    def forget(self, order: AccountOrder | StopOrder) -> None:
        """Forget the pair of an order that is so old that nothing finds it any more."""
        pair = self._oco_of.get(order.order_id)
        if pair is None:
            return
        for one in (pair.limit, pair.stop):
            del self._oco_of[one.order_id]
        del self._ocos[pair.member.user_id][pair.pair_id]
        self._by_client_oid.pop((pair.member.user_id, pair.client_oid), None)

    def _keep(self, pair: Oco) -> None:
        self._ocos[pair.member.user_id][pair.pair_id] = pair
        if pair.client_oid:
            self._by_client_oid[pair.member.user_id, pair.client_oid] = pair
        for one in (pair.limit, pair.stop):
            self._oco_of[one.order_id] = self._open_oco_of[one.order_id] = pair

    # Take profit and stop loss

    def attach(
        self,
        member: Member,
        request: OrderRequest,
        up: Decimal | None,
        down: Decimal | None,
        price_type: str = "TP",
    ) -> str:
        """Place a futures order whose first fill places stops that close its position.

        Parameters
        ----------
        member, request
            Who asks for what.
        up, down
            Prices at which, when the market has risen or fallen there, the position is closed at
            the market's price; None for no such stop.
        price_type
            Which price it is: ``"TP"``, ``"MP"`` or ``"IP"``.

        Returns
        -------
        str
            The order's id.

        Raises
        ------
        OrderRefused
            100001 without either price; and where the order or a stop would be refused.
        """
        if up is None and down is None:
            raise OrderRefused("100001", "a take profit or stop loss order needs a trigger price")
        closing = OrderRequest(
            symbol=request.symbol,
            side="sell" if request.side == "buy" else "buy",
            size=request.size,
            close_order=True,
            margin_mode=request.margin_mode,
            stop_price_type=price_type,
        )
        stops = [
            replace(closing, stop=stop, stop_price=price)
            for stop, price in (("up", up), ("down", down))
            if price is not None
        ]
        for stop in stops:
            self._orders.test(member, stop)
        order_id = self._orders.place(member, request)
        order = member.archive.find("futures", order_id)
        assert isinstance(order, AccountOrder), "a request without a stop becomes an order"
        self._attached[order_id] = tuple(stops)
        if order.filled:
            self.on_fill(order)
        elif not order.is_active:
            self.on_end(order)
        return order_id

    # What happens to their orders

    def on_fill(self, order: AccountOrder) -> None:
        """Take note of a fill: it cancels the other order, and places attached stops."""
        pair = self._dissolved(order.order_id)
        if pair is not None and order is pair.limit:
            self._cancel_if_active(pair.stop)
        stops = self._attached.pop(order.order_id, ())
        if stops:
            ids = {self._wait(order.member, stop) for stop in stops}
            for each in ids:
                self._stops[each] = ids - {each}
        if order.market == "futures":
            self._drop_if_ended(order.member, order.symbol)

    def on_reached(self, stop: StopOrder) -> None:
        """Take note that a stop is about to be triggered: the other order is canceled first."""
        pair = self._dissolved(stop.order_id)
        if pair is not None:
            self._cancel_if_active(pair.limit)
        for other in self._stops.pop(stop.order_id, ()):
            self._cancel_by_id(stop.member, other)

    def on_end(self, order: AccountOrder | StopOrder) -> None:
        """Take note that an order is done: the other order of an OCO pair ends with it."""
        self._attached.pop(order.order_id, None)
        self._stops.pop(order.order_id, None)
        pair = self._dissolved(order.order_id)
        if pair is not None:
            self._cancel_if_active(pair.stop if order is pair.limit else pair.limit)

    def _dissolved(self, order_id: str) -> Oco | None:
        # What happens to the other order from now on does not come back to this one.
        pair = self._open_oco_of.pop(order_id, None)
        if pair is not None:
            for one in (pair.limit, pair.stop):
                self._open_oco_of.pop(one.order_id, None)
        return pair

    def _drop_if_ended(self, member: Member, symbol: str) -> None:
        # The stops of a position end with it: when it is flat, or on the other side.
        for stop in [one for one in member.stops.values() if one.symbol == symbol]:
            if stop.order_id in self._stops and not member.closable(symbol, stop.request.side):
                del self._stops[stop.order_id]
                self._cancel_if_active(stop)

    def _check_sides(self, limit: OrderRequest, stop: OrderRequest) -> None:
        last = self._venue.caught_up(limit.symbol).last_trade
        assert limit.price is not None, "a limit order has a price"
        assert stop.stop_price is not None, "a stop order has a stop price"
        if last is None:
            return
        price = Decimal(self._venue.engine(limit.symbol).price_text(last.price_ticks))
        lower, upper = sorted((limit.price, stop.stop_price))
        is_sell = limit.side == "sell"
        if not lower < price < upper or (limit.price == upper) != is_sell:
            order = "above" if is_sell else "below"
            raise OrderRefused(
                "400100",
                f"the limit price of an OCO {limit.side} must lie {order} the last price {price}, "
                "and the stop price on its other side",
            )

    def _cancel_by_id(self, member: Member, order_id: str) -> None:
        stop = member.stops.get(order_id)
        if stop is not None:
            self._stops.pop(order_id, None)
            self._cancel_if_active(stop)

    def _cancel_if_active(self, order: AccountOrder | StopOrder) -> None:
        if order.is_active:
            self._orders.cancel(order.member, order.order_id)
