"""Everything that can go wrong at the exchange: the kinds of faults, schedules, and the delivery.

`Delivery` takes each message through the faults to its readers and logs the losses. Modules here
import only ``kucoin_research.sim.engine`` and ``kucoin_research.errors``.
"""
