"""The alerts of a dashboard: they look at each new row, whether or not a page is open."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kucoin_research.dashboards.alert import Alert, Firing
from kucoin_research.dashboards.alert_calls import AlertCalls
from kucoin_research.dashboards.alert_conditions import Expression, condition_of
from kucoin_research.dashboards.alert_watch import OVER, AlertWatch
from kucoin_research.dashboards.formatting import moment
from kucoin_research.dashboards.idle import Idle
from kucoin_research.dashboards.panel import TradeTape
from kucoin_research.errors import InvalidInput, KucoinResearchError
from kucoin_research.figures.refresh import Ticket, refresher
from kucoin_research.figures.time_axis import Zone
from kucoin_research.foundation import clocks
from kucoin_research.foundation.callbacks import describe
from kucoin_research.model.source import LiveSource, is_stream

__all__ = ["MOST_ALERTS", "Alerts"]

log = logging.getLogger(__name__)

#: Alerts of one dashboard, at most.
MOST_ALERTS = 50

_EVERY = 0.1  # s between looks
_SHOWN = 40  # moments in the list


class Alerts:
    """Keeps alerts, looks for their moments, and reports them.

    Parameters
    ----------
    source
        A stream, a replay or an idle source.
    zone
        Time zone of the texts.
    send
        Called with each message for the pages; also while none is looked at, since a hidden page
        can show a notification.

    Attributes
    ----------
    unseen
        How many moments nobody has looked at.
    of_pages
        Condition and symbol of those that a page had set, once all are closed.

    Notes
    -----
    ``add``, ``all`` and ``close`` may be called from any thread.
    """

    def __init__(
        self, source: LiveSource, zone: Zone, send: Callable[[dict[str, Any]], object]
    ) -> None:
        self.unseen = 0
        self.of_pages: list[tuple[str, str]] = []
        self._source, self._zone, self._send = source, zone, send
        self._lock = threading.Lock()  # guards what follows, but not the looking
        self._watches: dict[Alert, AlertWatch] = {}
        self._calls: dict[Alert, AlertCalls] = {}
        self._numbers: dict[Alert, int] = {}
        self._next = 1
        self._told: deque[list[str]] = deque(maxlen=_SHOWN)
        self._total = 0
        self._ticket: Ticket | None = None
        self._is_closed = False

    # -- for users -------------------------------------------------------------------------------

    @property
    def all(self) -> tuple[Alert, ...]:
        """All alerts, in the order in which they were set."""
        with self._lock:
            return tuple(self._watches)

    def add(
        self,
        condition: object,
        symbol: str,
        call: Callable[[Firing], object] | None = None,
        *,
        channel: str | None = None,
        is_once: bool = False,
        rest_s: float = 60.0,
        is_of_page: bool = False,
    ) -> Alert:
        """Set an alert; it fires at once if its condition holds for the newest row.

        Raises
        ------
        InvalidInput
            If the condition is not understood, or there are 50 alerts.
        """
        rule = condition_of(condition, channel)
        if call is not None and not callable(call):
            raise InvalidInput(
                f"an alert calls a function with each moment; {type(call).__name__} is none"
            )
        alert = Alert(rule, symbol, call, is_once=is_once, rest_s=rest_s, remove=self._remove)
        alert.is_of_page = is_of_page
        with self._lock:
            if self._is_closed:
                raise InvalidInput("this dashboard is closed; its alerts have ended")
            if len(self._watches) >= MOST_ALERTS:
                raise InvalidInput(f"{MOST_ALERTS} alerts are set; remove one first")
            watch = AlertWatch(alert, self._source)
            watch.check()
            # Now, since rows that come before the refresh thread looks are news.
            first = [] if isinstance(self._source, Idle) else watch.look()
            self._watches[alert] = watch
            self._numbers[alert] = self._next
            self._next += 1
            if self._ticket is None:
                self._ticket = refresher().add(self.look, every=_EVERY)
        self._take(alert, first)
        return alert

    def _remove(self, alert: Alert) -> None:
        with self._lock:
            self._watches.pop(alert, None)
            self._numbers.pop(alert, None)
            calls = self._calls.pop(alert, None)
            ticket = None if self._watches else self._ticket
            if ticket is not None:
                self._ticket = None
        if calls is not None:
            calls.close()
        if ticket is not None:
            ticket.cancel()

    def close(self) -> None:
        """End all alerts; their moments can still be read."""
        with self._lock:
            self._is_closed = True
            ticket, self._ticket = self._ticket, None
            self.of_pages = [
                (each.condition, each.symbol) for each in self._watches if each.is_of_page
            ]
            self._watches.clear()
            calls = list(self._calls.values())
            self._calls.clear()
        if ticket is not None:
            ticket.cancel()
        for each in calls:
            each.close()

    # -- for the dashboard -----------------------------------------------------------------------

    def inherit(self, of_pages: Iterable[tuple[str, str]]) -> None:
        """Set those of pages in the dashboard that this one replaces: its ``of_pages``."""
        for condition, symbol in of_pages:
            self.add(condition, symbol, is_of_page=True)

    def show(self, source: LiveSource) -> None:
        """Look at another source from now on; an alert stays with its symbol."""
        with self._lock:
            if source is self._source:
                return
            self._source = source
            is_new = not isinstance(source, Idle) and str(source.state) not in OVER
            for alert in self._watches:
                if isinstance(alert.rule, Expression):
                    alert.rule.forget_rows()
                self._watches[alert] = AlertWatch(alert, source, is_new=is_new)

    def look(self, _: float = 0.0) -> None:
        """Look for new moments, and report them."""
        with self._lock:
            watches = list(self._watches.items())
        for alert, watch in watches:
            if alert.is_over or isinstance(watch.source, Idle):
                continue
            try:
                found = watch.look()
            except Exception as error:  # it ends; the others go on
                is_ours = isinstance(error, KucoinResearchError)
                if not is_ours:
                    log.exception("an alert met an unexpected error, and has ended")
                alert.error = str(error) if is_ours else describe(error)
                told = f"{alert.symbol} {alert.condition} ended: {alert.error}"
                self._say(_now_ns(watch.source), told)
                continue
            self._take(alert, found)

    def _take(self, alert: Alert, found: Sequence[Firing]) -> None:
        for firing in found:
            if alert.take(firing):
                self._report(alert, firing)

    def _report(self, alert: Alert, firing: Firing) -> None:
        self._say(firing.time_ns, str(firing))
        if alert.call is not None:
            with self._lock:
                calls = self._calls.setdefault(alert, AlertCalls(self._on_failure))
            calls.put(alert, firing)

    def _on_failure(self, alert: Alert, firing: Firing) -> None:
        self._say(firing.time_ns, f"{alert.failure}, and is called no more")

    def _say(self, time_ns: int, text: str) -> None:
        at = moment(time_ns, self._zone)
        with self._lock:
            self._told.append([at, text])
            self._total += 1
            self.unseen += 1
            number = self._total
        self._send({"kind": "alarm", "at": at, "text": text, "number": number})

    def do(self, kind: str, message: dict[str, Any], symbol: str) -> None:
        """Do what a page asks for: set an alert, take one away, or note that all are seen."""
        if kind == "alert":
            self.add(str(message["text"]), symbol, is_of_page=True)
        elif kind == "unalert":
            number = int(message["number"])
            for alert in self.all:
                if self._numbers.get(alert) == number:
                    alert.remove()
        self.unseen = 0

    def texts(self, *, is_open: bool) -> dict[str, Any]:
        """Return what the panel shows: the flag, and the lists while they are open."""
        newest = self._told[-1][1] if self._told else ""
        texts: dict[str, Any] = {"flag": [0 if is_open else self.unseen, newest]}
        if is_open:
            self.unseen = 0
            texts["alerts"] = [
                [
                    self._numbers.get(each, 0), each.symbol, each.condition, each.state,
                    each.count, each.muted, each.failure is not None or each.error is not None,
                ]
                for each in self.all
            ]  # fmt: skip
            texts["alarms"] = TradeTape(self._total, list(self._told))
        return texts


def _now_ns(source: LiveSource) -> int:
    return source.now_ns() if is_stream(source) else clocks.current().wall_ns()
