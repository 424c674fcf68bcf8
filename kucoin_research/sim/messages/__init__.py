"""The topics and data frames of KuCoin's classic and pro feeds, as the exchange spells them.

One feed per topic and symbol turns the engine's events into JSON text. Modules here import only
``kucoin_research.sim.engine``.
"""
