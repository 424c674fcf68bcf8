"""Whatever accounts do, the money adds up, and no order does more than was asked for."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.sim.audit import Audit
from tests.unit.sim.random_trading import STARTS, Trading, random_plan

patient = settings(deadline=None, suppress_health_check=list(HealthCheck))
any_trading = given(
    start=st.sampled_from(STARTS), seed=st.sampled_from((0, 7)), number=st.integers(0, 2**32)
)


def trade(start, seed, plan):
    trading = Trading(start, seed)
    audit = Audit(trading)
    for action in plan:
        trading.do(action)
        audit.check()
    trading.clean_up()
    audit.check_clean()
    audit.finish()


def failure_of(start, seed, plan):
    try:
        trade(start, seed, plan)
    except Exception as error:  # noqa: BLE001 - the shortest plan that fails raises it again
        return error
    return None


def shortest(start, seed, plan):
    """Leave out actions as long as trading still fails in the same way."""
    kind, width = type(failure_of(start, seed, plan)), len(plan) // 2
    while width:
        for first in range(len(plan) - width, -1, -width):
            shorter = plan[:first] + plan[first + width :]
            if type(failure_of(start, seed, shorter)) is kind:
                plan = shorter
        width //= 2
    return plan


def trade_at_random(start, seed, number):
    plan = random_plan(Random(number))
    if failure_of(start, seed, plan) is not None:
        plan = shortest(start, seed, plan)
        print("trade(", repr(start), ",", seed, ", [", *plan, "])", sep="\n")
        trade(start, seed, plan)


# The same examples in each run: a failure is one of the change at hand.
@settings(patient, max_examples=24, derandomize=True, database=None)
@any_trading
def test_the_money_adds_up_whatever_is_done(start, seed, number):
    trade_at_random(start, seed, number)


@pytest.mark.soak
@settings(patient, max_examples=3_000, database=None)
@any_trading
def test_the_money_adds_up_whatever_is_done_for_long(start, seed, number):
    trade_at_random(start, seed, number)
