"""Simulated exchanges whose time does not depend on the moment at which the tests run."""

import kucoin_research as kr

__all__ = ["START", "simulate"]

#: The virtual time at which exchanges of tests stand until their first subscription.
START = "2026-01-05"


def simulate(**options):
    """Start an exchange as ``kr.simulate`` does; its first rows are the same in each run."""
    return kr.simulate(**({"start": START} | options))
