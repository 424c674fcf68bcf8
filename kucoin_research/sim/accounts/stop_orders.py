"""Stop orders: they wait for a price, then become orders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from kucoin_research.sim.accounts.members import Member, StopOrder
from kucoin_research.sim.accounts.order_checks import check_order
from kucoin_research.sim.accounts.orders import OrderRefused, OrderRequest
from kucoin_research.sim.accounts.private_reports import PrivateReports
from kucoin_research.sim.accounts.venue import Venue
from kucoin_research.sim.engine.market import Market

__all__ = ["StopOrders"]

_MS = 1_000_000


class StopOrders:
    """Keeps the stop orders of all accounts, and places the order of each that is triggered.

    Parameters
    ----------
    venue
        The exchange.
    reports
        Sends each event to the account's listeners.
    place
        Places the order that a stop order becomes, and links the two.
    before
        Called with each stop order that is about to be triggered.
    """

    def __init__(
        self,
        venue: Venue,
        reports: PrivateReports,
        place: Callable[[Member, OrderRequest, StopOrder], str],
        before: Callable[[StopOrder], None],
    ) -> None:
        self._venue = venue
        self._reports = reports
        self._place = place
        self._before = before
        self._stops: dict[str, dict[str, StopOrder]] = {}
        self._random = Random(f"{venue.seed}:desk")

    @property
    def symbols(self) -> set[str]:
        """Symbols on which a stop order waits."""
        return {symbol for symbol, stops in self._stops.items() if stops}

    def act(self, symbol: str, now_ns: int) -> None:
        """Trigger the stop orders of a symbol whose price is reached."""
        for stop in list(self._stops.get(symbol, {}).values()):
            if stop.is_active:  # the trigger of another one may have canceled it
                self._trigger_if_reached(stop, now_ns)

    def place(self, member: Member, request: OrderRequest, engine: Market, size: int) -> str:
        """Let an order of this many units wait for its price; return the stop order's id."""
        bits = self._random.getrandbits(110)
        is_futures = engine.listing.market == "futures"
        order_id = f"2406{bits % 10**14:014d}" if is_futures else f"vs{_base36(bits):0>22}"
        stop = StopOrder(
            member=member,
            engine=engine,
            request=request,
            order_id=order_id,
            size=size,
            time_ns=engine.now_ns // _MS * _MS,
        )
        member.stops[order_id] = stop
        member.archive.add(stop)
        self._stops.setdefault(request.symbol, {})[order_id] = stop
        self._reports.report_stop(stop, "open", stop.time_ns)
        self._venue.watch()
        return order_id

    def drop(self, stop: StopOrder, event: str, error: str = "") -> None:
        """Remove a stop order; ``event`` is ``"cancel"`` or ``"triggered"``, perhaps with error."""
        del stop.member.stops[stop.order_id]
        del self._stops[stop.request.symbol][stop.order_id]
        stop.ended_ns = stop.engine.now_ns // _MS * _MS
        stop.is_triggered, stop.error = event == "triggered", error
        stop.member.archive.end(stop)
        self._reports.report_stop(stop, event, stop.ended_ns, error)
        self._venue.watch()

    def _trigger_if_reached(self, stop: StopOrder, now_ns: int) -> None:
        engine, kind = stop.engine, stop.request.stop_price_type
        if kind == "MP":
            price = engine.mark_price(now_ns)
        elif kind == "IP":
            price = engine.index_price(now_ns)
        elif engine.last_trade is None:
            return
        else:
            price = engine.price(engine.last_trade.price_ticks)
        if not stop.is_reached(price):
            return
        self._before(stop)
        error = ""
        request = _without_stop(stop.request)
        # The trigger is reported before the new order, and says whether that can be placed. So the
        # request is checked first, and once more when it is placed.
        try:
            check_order(self._venue, stop.member, request, engine)
        except OrderRefused as refused:
            error = str(refused)
        self.drop(stop, "triggered", error)
        if not error:
            self._place(stop.member, request, stop)


def _without_stop(request: OrderRequest) -> OrderRequest:
    return replace(request, stop="", stop_price=None)


def _base36(value: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while value:
        value, rest = divmod(value, 36)
        text = digits[rest] + text
    return text or "0"
