"""``kr.screener``: all symbols of a market in one live table.

>>> import kucoin_research as kr
>>> kr.screener()                       # all contracts; a press on a row opens its dashboard
>>> kr.screener().frame()               # the same figures as a polars frame
"""

from __future__ import annotations

from collections.abc import Callable

from kucoin_research.api.screening import Screener
from kucoin_research.dashboards.screener_view import ScreenerView
from kucoin_research.exchange.venues import Venue
from kucoin_research.figures.notebook_cells import replace_in_cell
from kucoin_research.foundation.arguments import plain_function

__all__ = ["screener"]


def screener(
    venue: Venue | str | None = None,
    market: str = "futures",
    *,
    live: bool = False,
    every: float | None = None,
    on_press: Callable[[str], object] | None = None,
) -> Screener:
    """Show all symbols of a market: prices, the last 24 hours, spread, funding, basis, interest.

    In a notebook it is a live table, which sorts by any column, and filters by text and by a lowest
    value. A press on a row opens the dashboard of its symbol below. Elsewhere ``print`` shows the
    symbols of the largest turnover, and ``frame`` returns all. Nothing is asked of the exchange
    before that.

    Parameters
    ----------
    venue
        See ``find_venue``.
    market
        ``"futures"`` or ``"spot"``; the latter has no funding, basis and open interest.
    live
        Whether to stream the best prices of all symbols, rather than only ask for them. All of
        KuCoin's contracts are about 700 topics on several connections, and take the traffic and the
        computing time of that many streams.
    every
        Seconds between two calls for all prices; left out: 1 on futures, 3 on spot, 10 with
        ``live``. At least 0.5 on futures and 1.5 on spot, a sixth of KuCoin's quota. The other
        figures are asked for every 5 s, on spot every 15 s.
    on_press
        Called with the symbol of a row that is pressed, instead of opening its dashboard.

    Returns
    -------
    Screener
        ``frame()`` returns the newest figures, ``close()`` ends it; running its cell again does the
        same. The columns of the frame, null where the exchange lists nothing:

        - ``symbol``; ``last_price``, quote currency;
        - ``price_change_pct``, of 24 hours, a fraction; ``volume``, of 24 hours, base coins (of
          inverse contracts that is the listed turnover); ``turnover``, of 24 hours, quote currency
          (of inverse contracts, ``volume`` at the last price);
        - ``best_bid_price``, ``best_bid_size``, ``best_ask_price``, ``best_ask_size``: quote
          currency, and contracts on futures, base coins on spot;
        - ``spread_bps``: 1e-4 of the mid; ``imbalance``: difference of the best sizes over their
          sum, from -1 (asks only) to 1 (bids only);
        - ``funding_rate``: estimate for the coming settlement, a fraction of the notional;
          ``next_funding``: its time, UTC; ``funding_in_s``: seconds from ``facts_timestamp`` to it,
          by the exchange's clock;
        - ``mark_price``, ``index_price``, quote currency; ``basis_bps``: mark over index, 1e-4;
        - ``open_interest``, contracts; ``open_interest_value``, quote currency, at the mark price;
        - ``local_timestamp``: arrival of the best prices, UTC, ns; ``facts_timestamp``: of the 24
          hours, funding, mark and interest; ``age_s``: seconds since ``local_timestamp``.

    Raises
    ------
    InvalidInput
        If an argument is invalid.
    UnknownVenue
        If the venue is none.

    Notes
    -----
    The clock of a simulated exchange that was made with ``start=`` stands still until something is
    subscribed to, or ``resume()`` is called; so do the figures.

    Examples
    --------
    >>> screener(venue="demo").frame().columns[:2]
    ['symbol', 'last_price']
    """
    if on_press is not None:
        plain_function(on_press, "screener", "symbol")
    # A widget that is made and never shown would stay in the kernel until `close`.
    made = Screener(
        venue, market, live=live, every=every, make_view=lambda s: ScreenerView(s, on_press)
    )
    replace_in_cell(made)
    return made
