"""The REST calls of both markets.

Shapes from the protocol reference, sections 2 (common), 3 (futures) and 4 (spot).
"""

from __future__ import annotations

from kucoin_research.sim.server.currencies_rest import CURRENCY_ROUTES
from kucoin_research.sim.server.futures_rest import FUTURES_ROUTES
from kucoin_research.sim.server.margin_rest import MARGIN_ROUTES
from kucoin_research.sim.server.routes import RouteTable, route_table
from kucoin_research.sim.server.spot_rest import SPOT_ROUTES
from kucoin_research.sim.server.unified_rest import UNIFIED_ROUTES
from kucoin_research.sim.server.user_rest import USER_ROUTES

__all__ = ["ROUTES"]

#: By market.
ROUTES: dict[str, RouteTable] = {
    "futures": route_table(FUTURES_ROUTES),
    "spot": route_table(
        (*SPOT_ROUTES, *CURRENCY_ROUTES, *MARGIN_ROUTES, *USER_ROUTES, *UNIFIED_ROUTES)
    ),
}
