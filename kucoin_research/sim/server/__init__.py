"""The simulated exchange as a program: REST and WebSocket on two ports, one thread, one core.

The core (topics, faults, time) knows no sockets; the doors drive it and serve its clients. Modules
here import the rest of ``kucoin_research.sim`` except ``recorded``, and ``kucoin_research.errors``.
"""
