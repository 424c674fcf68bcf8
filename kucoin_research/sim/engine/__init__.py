"""The simulated markets: value, order flow, matching, candles, funding, and the virtual clock.

May import `errors` only.
"""
