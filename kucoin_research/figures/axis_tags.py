"""Tags on an axis of prices: the last price, the best bid and ask, the time left of a candle.

They are parts of the layout that plotly does not draw, in its ``meta``. The browser places them by
itself (``axis_tags.js``): they move with each drawing, and a shape of plotly would cost the whole
list of shapes each time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kucoin_research.figures.decimals import Decimals
from kucoin_research.figures.time_axis import Floats, Times

__all__ = ["META", "PriceTags", "RunningCandle"]

#: The begin of the paths of what the browser draws itself.
META = "meta."
_PATH, _CANDLE = f"{META}tags", f"{META}candle"


class RunningCandle(NamedTuple):
    """The newest candle, whose time may not be over.

    Attributes
    ----------
    end, length
        ms UTC, and ms.
    now
        The exchange's clock at the newest row, ms UTC.
    low, high
        The places of its open and its end on the time axis.
    """

    end: float
    length: float
    now: float
    low: float
    high: float


class PriceTags:
    """Keeps the newest price and quote of a chart, whatever part of the time it shows.

    Rows of before, which a gap's end or a longer history brings, do not change them.
    """

    def __init__(self) -> None:
        self._decimals = Decimals()
        self._last: float | None = None
        self._tone = ""  # of the last move
        self._quote: dict[str, float] = {}
        self._last_at = self._quote_at = 0  # ns; no row is older than 1970

    def take_prices(self, times: Times, prices: Floats) -> None:
        """Add prices of trades, or closes of candles, in order of arrival."""
        known = np.isfinite(prices)
        times, prices = times[known], prices[known]
        if not times.size or int(times.max()) < self._last_at:
            return
        times, prices = _in_order(times, prices)
        self._last_at = int(times[-1])
        self._decimals.learn(prices)
        last = float(prices[-1])
        others = np.flatnonzero(prices != last)
        before = float(prices[others[-1]]) if others.size else self._last
        if before is not None and before != last:
            self._tone = "up" if last > before else "down"
        self._last = last

    def take_quotes(self, times: Times, bid: Floats, ask: Floats) -> None:
        """Add best bids and asks, in order of arrival; one may be missing."""
        if not times.size or int(times.max()) < self._quote_at:
            return
        place = int(np.flatnonzero(times == times.max())[-1])
        self._quote_at = int(times[place])
        sides = {"ask": float(ask[place]), "bid": float(bid[place])}
        self._quote = {side: price for side, price in sides.items() if np.isfinite(price)}
        self._decimals.learn(np.array(list(self._quote.values())))

    def parts(self, *, is_out: bool, candle: RunningCandle | None = None) -> dict[str, Any]:
        """Return the parts of the layout, by path.

        Parameters
        ----------
        is_out
            Whether rows are missing now, so that the prices are old.
        candle
            The one whose time left is counted.

        Returns
        -------
        dict
            ``rows`` has kind, price, text and tone (``up``, ``down`` or none) of each tag.
        """
        prices: dict[str, float | None] = {**self._quote, "last": self._last}
        tones, decimals = {"last": self._tone}, self._decimals.count
        rows = [
            [kind, price, f"{price:,.{decimals}f}", tones.get(kind, "")]
            for kind in ("ask", "last", "bid")
            if (price := prices.get(kind)) is not None
        ]
        return {
            _PATH: {"rows": rows, "is_out": is_out},
            _CANDLE: None if candle is None else candle._asdict(),
        }


def _in_order(times: Times, prices: Floats) -> tuple[Times, Floats]:
    if (times[1:] >= times[:-1]).all():
        return times, prices
    order = np.argsort(times, kind="stable")
    return times[order], prices[order]
