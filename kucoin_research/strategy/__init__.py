"""Strategies: the paper broker, backtests, and their results."""
