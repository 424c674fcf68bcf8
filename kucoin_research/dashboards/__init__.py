"""The dashboard of a notebook: controls, live charts, health, and a replay bar.

``kr.dashboard`` is in ``front``, the class it makes in ``notebook_dashboard``. This wing may import
every other one except ``cli`` and ``compat``; only the package's own front page imports it.
"""

from kucoin_research.dashboards.alert import Alert, Firing
from kucoin_research.dashboards.front import dashboard
from kucoin_research.dashboards.health import Colour, Health, Vitals, judge
from kucoin_research.dashboards.notebook_dashboard import Dashboard

__all__ = [
    "Alert",
    "Colour",
    "Dashboard",
    "Firing",
    "Health",
    "Vitals",
    "dashboard",
    "judge",
]
