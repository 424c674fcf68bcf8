"""The accounts of the simulated exchange: keys, wallets, orders, margin and private reports.

May import `errors`, `sim.engine`, and from `sim.messages` the spelling of numbers.
"""
