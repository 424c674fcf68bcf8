"""What the two clients of tests/interop/trading_day.py share: their pace, and what they print."""

import json
import sys
import time


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def trade(make_trader, tell_refusal):
    """Act as often as the plan says; `tell_refusal` calls each action and prints what
    the exchange refused.

    The arguments of the process are those that tests/interop gives: FUTURES, SPOT and the PLAN.
    """
    _, futures_url, spot_url, text = sys.argv[1:]
    plan = json.loads(text)
    trader = make_trader(futures_url, spot_url, plan)
    begin = time.monotonic()
    for number in range(plan["orders"]):
        # The pace of a trader, on the wall's clock.
        time.sleep(max(0.0, begin + number * plan["pace"] - time.monotonic()))
        tell_refusal(trader.act)
    say(call="done")
