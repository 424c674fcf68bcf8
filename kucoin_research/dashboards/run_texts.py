"""The texts of a strategy in a dashboard: its account, its decisions, and the moment of one."""

from __future__ import annotations

from typing import Any

from kucoin_research.dashboards import formatting
from kucoin_research.dashboards.formatting import DASH, compact, duration
from kucoin_research.dashboards.panel import TradeTape
from kucoin_research.figures.time_axis import Zone
from kucoin_research.model.records import Record
from kucoin_research.strategy.journal import Moment
from kucoin_research.strategy.paper import PaperTrading

__all__ = ["RunTexts"]

_ROWS = 200  # decisions that are listed
_NEAR_NS = 1_000  # between a mark on the axis, which counts in floats, and its moment
_DIGITS = ",.10g"
_ROW, _WHOLE = 200, 20_000  # most characters of a note in the list, and in its moment


class RunTexts:
    """Describes a run in words, for the refresh thread.

    Parameters
    ----------
    run
        The run.
    symbol
        The symbol whose position is shown.
    zone
        Time zone of the times.

    Attributes
    ----------
    chosen
        Number of the moment that is described, counted from 0; None if none is chosen.
    """

    def __init__(self, run: PaperTrading, symbol: str, zone: Zone) -> None:
        self.run = run
        self.chosen: int | None = None
        self._symbol = symbol
        self._zone = zone
        self._account: list[list[str]] = []
        self._listed = TradeTape(0, [])

    def texts(self) -> dict[str, Any]:
        """Return the texts by name."""
        return {
            "run": [self.run.name, self._state()],
            "account": self._facts(),
            "decisions": self._decisions(),
        }

    def _state(self) -> str:
        run = self.run
        records = f"{run.records:,} records"
        if run.ended is not None:
            return f"{records} · ended: {run.ended}"
        return f"{records} · {run.source.state if run.is_running else 'over'}"

    def _facts(self) -> list[list[str]]:
        # A strategy that takes long holds the lock; the screen must not wait for it.
        if self.run.lock.acquire(blocking=False):
            try:
                self._account = self._read_account()
            finally:
                self.run.lock.release()
        return self._account

    def _read_account(self) -> list[list[str]]:
        run = self.run
        currency, start = run.options.currency, run.initial_equity
        gain = None if start is None else run.broker.equity - start
        return [
            *self._position(),
            [f"equity {currency}", f"{run.broker.equity:,.2f}", ""],
            ["gain", *_money(gain)],
            ["gain %", *_money(100 * gain / start if gain is not None and start else None, 3)],
            ["fills", compact(run.fill_count), ""],
            ["open orders", compact(len(run.broker.orders())), ""],
        ]

    def _position(self) -> list[list[str]]:
        if self._symbol not in self.run.facts.channels:  # the run has other symbols
            return [["position", DASH, ""], ["entry", DASH, ""], ["unrealised", *_money(None)]]
        position = self.run.broker.position(self._symbol)
        return [
            ["position", f"{position.size:{_DIGITS}}", _tone(position.size)],
            ["entry", _number(position.entry_price), ""],
            ["unrealised", *_money(position.unrealised)],
        ]

    def _decisions(self) -> TradeTape:
        journal = self.run.journal
        count = len(journal.moments) if journal.is_placed else 0  # before, their times would change
        # Behind a restart, the list is another one: no row of it continues the one before.
        total = self.run.restarts * 10**12 + count
        if total == self._listed.total:
            return self._listed
        first = max(count - _ROWS, 0)
        rows = [
            self._row(number, each)
            for number, each in enumerate(journal.moments[first:count], first)
        ]
        self._listed = TradeTape(total, rows)
        return self._listed

    def _row(self, number: int, each: Moment) -> list[str]:
        time = formatting.moment(each.timestamp, self._zone)[11:]
        if each.fill is None:
            return [str(number), time, "note", "", "", _shortened(each.text, _ROW)]
        fill = each.fill
        words = _shortened(each.text or fill.tag, _ROW)
        numbers = [f"{value:{_DIGITS}}" for value in (fill.price, fill.size)]
        return [str(number), time, fill.side, *numbers, words]

    # -- one moment --------------------------------------------------------------------------------

    def choose(self, number: int) -> None:
        """Describe a moment from now on, if there is one of that number."""
        self.chosen = number if 0 <= number < len(self.run.journal.moments) else None

    def choose_at(self, time_ns: int, price: float) -> None:
        """Describe the moment whose mark stands at a place of the chart.

        Parameters
        ----------
        time_ns
            On the exchange's clock, ns UTC.
        price
            Decides between several at that time.
        """
        near = [
            (abs(each.timestamp - time_ns) > _NEAR_NS, abs((each.price or 0.0) - price), number)
            for number, each in enumerate(self.run.journal.moments)
            if each.symbol in (self._symbol, None)
        ]
        if near:
            self.chosen = min(near)[2]

    def moment(self) -> dict[str, Any]:
        """Describe the moment that is chosen; empty if none is."""
        moments = self.run.journal.moments
        if self.chosen is None or self.chosen >= len(moments):
            return {}
        each = moments[self.chosen]
        return {
            "number": self.chosen,
            "title": f"{self.chosen + 1:,} of {len(moments):,}",
            "facts": [*self._of_fill(each), *self._of_order(each), *self._of_account(each)],
            "record": [] if each.record is None else _record_rows(each.record, self._zone),
            "book": [
                [[f"{price:{_DIGITS}}", f"{size:{_DIGITS}}"] for price, size in side]
                for side in (each.bids, each.asks)
            ],
        }

    def _of_fill(self, each: Moment) -> list[list[str]]:
        rows = [["time", formatting.moment(each.timestamp, self._zone)]]
        if each.fill is None:
            return [*rows, ["note", _shortened(each.text, _WHOLE)], ["mid", _number(each.price)]]
        fill = each.fill
        rows.append(["fill", f"{fill.side} {fill.size:{_DIGITS}} at {fill.price:{_DIGITS}}"])
        rows.append(["fee", f"{fill.fee:{_DIGITS}} {fill.fee_currency} ({fill.liquidity})"])
        if each.text is not None and each.noted is not None:
            before = duration((each.local_timestamp - each.noted) / 1e9)
            rows.append(["note", f"{_shortened(each.text, _WHOLE)} ({before} before)"])
        return rows

    @staticmethod
    def _of_order(each: Moment) -> list[list[str]]:
        order = each.order
        if order is None:
            return []
        limit = "" if order.limit is None else f" at {order.limit:{_DIGITS}}"
        waited = duration((each.local_timestamp - order.submitted) / 1e9)
        tag = f", tag {_shortened(order.tag, _ROW)}" if order.tag else ""
        what = f"{order.type} {order.side} {order.size:{_DIGITS}}{limit}"
        return [["order", f"{order.order_id}: {what}, sent {waited} before{tag}"]]

    @staticmethod
    def _of_account(each: Moment) -> list[list[str]]:
        equity = DASH if each.equity is None else f"{each.equity:,.2f}"
        return [["position", f"{each.position:{_DIGITS}}"], ["equity", equity]]


def _record_rows(record: Record, zone: Zone) -> list[list[str]]:
    rows = [["record", type(record).__name__]]
    for name, value in zip(record._fields, record, strict=True):
        if value is None or isinstance(value, tuple | list):  # the book is beside it
            continue
        if name.endswith("timestamp"):
            rows.append([name, formatting.moment(int(value), zone)])
        elif isinstance(value, float):
            rows.append([name, f"{value:{_DIGITS}}"])
        else:
            rows.append([name, str(value)])
    return rows


def _shortened(text: str | None, most: int) -> str:
    text = text or ""
    return text if len(text) <= most else f"{text[:most]}…"


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:{_DIGITS}}"


def _money(value: float | None, decimals: int = 2) -> list[str]:
    text = formatting.fixed(value, decimals, sign=True)
    return [text, "" if value is None or not float(text.replace(",", "")) else _tone(value)]


def _tone(value: float) -> str:
    return "up" if value > 0 else "down" if value < 0 else ""
