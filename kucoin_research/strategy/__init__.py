"""Strategies: the paper broker, backtests, and their results.

A strategy is a function of a record and a broker, and knows neither a file nor a network. It may
import ``errors``, ``foundation``, ``model``, ``frames`` and ``sessions``. A result that is drawn
imports ``figures`` by name, late: runs need no plotly.
"""
