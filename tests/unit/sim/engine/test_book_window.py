"""The window of the best levels: what it tells is what a comparison of all levels would tell."""

from random import Random

import pytest

from kucoin_research.sim.engine.book_window import Window
from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.market import BookChange, Market

START = 1_700_000_000_000_000_000
MS = 1_000_000
SIDES = ("buy", "sell")


def compared(before, after):
    """Tell the changes from one list of levels to another."""
    had, has = dict(before), dict(after)
    changed = [level for level in after if had.get(level[0]) != level[1]]
    return changed + [(ticks, 0) for ticks, _ in before if ticks not in has]


def something(engine, random):
    """Let something happen, mostly the crowd's; orders sweep levels and leave thin sides behind."""
    what = random.random()
    if what < 0.02:
        return engine.cross().events
    if what < 0.05:
        return engine.uncross().events
    if what < 0.1:
        side = random.choice(SIDES)
        return engine.submit(side, random.choice([1, 10_000, 10**7]), time_in_force="IOC").events
    return engine.advance(engine.now_ns + random.choice([1, 10, 10, 10, 1_000]) * MS)


@pytest.mark.parametrize("depth", [1, 7, 500, 5_000])
@pytest.mark.parametrize("symbol", ["XBTUSDTM", "ETH-BTC"])
def test_changes_are_those_of_a_comparison_of_all_levels(symbol, depth):
    engine, random = Market(LISTINGS[symbol], 7, START), Random(f"{symbol} {depth}")
    windows = {side: Window(engine, side, depth) for side in SIDES}
    known = {side: engine.levels(side, depth) for side in SIDES}
    told = dict.fromkeys(SIDES, 0)

    for _ in range(2_500):
        for event in something(engine, random):
            if isinstance(event, BookChange):
                windows[event.side].touch(event.price_ticks)
        for side in SIDES:
            before, known[side] = known[side], engine.levels(side, depth)
            changes = windows[side].changes()
            assert changes == compared(before, known[side])
            assert windows[side].levels() == known[side]
            told[side] += len(changes)

    assert min(told.values()) > 30


def test_nothing_that_was_not_touched_is_told():
    engine = Market(LISTINGS["XBTUSDTM"], 7, START)
    window = Window(engine, "buy", 500)
    engine.advance(START + 1_000 * MS)

    assert window.changes() == []
