"""A KuCoin in a box: REST and WebSocket on this machine, deterministic, on its own clock.

Faithful enough for other people's KuCoin clients. Shares no code with the client in this package,
so that the two cannot share a mistake.

Examples
--------
>>> with Exchange(seed=7, speed=60.0) as x:
...     x.futures_url
'http://127.0.0.1:...'
"""

from kucoin_research.sim.accounts.keys import DEMO_ACCOUNT, Account
from kucoin_research.sim.accounts.orders import Fill, OrderRefused
from kucoin_research.sim.accounts.trading_account import Balance, TradingAccount
from kucoin_research.sim.engine.likeness import Alike, Likeness, RecordedMarket
from kucoin_research.sim.engine.market_traits import BookSample, MarketTraits, Takers, traits_of
from kucoin_research.sim.engine.offers import Offer
from kucoin_research.sim.faults.chaos import CHAOS_FAULTS, Chaos, Planned
from kucoin_research.sim.faults.kinds import FAULTS, Applied, Fault, Published, Withheld
from kucoin_research.sim.recorded.exchange import ReplayExchange
from kucoin_research.sim.server.exchange import Exchange, markets_like
from kucoin_research.sim.server.settings import Settings
from kucoin_research.sim.server.tape import Tape

__all__ = [
    "CHAOS_FAULTS",
    "DEMO_ACCOUNT",
    "FAULTS",
    "Account",
    "Alike",
    "Applied",
    "Balance",
    "BookSample",
    "Chaos",
    "Exchange",
    "Fault",
    "Fill",
    "Likeness",
    "MarketTraits",
    "Offer",
    "OrderRefused",
    "Planned",
    "Published",
    "RecordedMarket",
    "ReplayExchange",
    "Settings",
    "Takers",
    "Tape",
    "TradingAccount",
    "Withheld",
    "markets_like",
    "traits_of",
]
