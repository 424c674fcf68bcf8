"""A recording served as an exchange: its rows as frames, REST answers and books.

`ReplayExchange` uses the doors of the simulated exchange with another core behind them. Modules
here import the rest of ``kucoin_research.sim`` and ``kucoin_research.errors``.
"""
