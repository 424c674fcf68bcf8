"""A trading day over REST by two clients at once, and everything that it left reconciled.

``python -m tests.interop.trading_day --hours 24 --speed 60 --orders 30`` runs a simulated exchange
in a process of its own. KuCoin's kucoin-universal-sdk and ccxt trade on one account there, each a
process of its own, on both markets. Then balances, positions, fills, ledgers, orders, private
topics and the public tape are compared to the last digit by ``books.py``. It ends with what was
compared, and with status 1 if anything does not agree.

``--orders`` are orders of each client per virtual minute.
"""

import argparse
import collections
import contextlib
import re
import sys
from decimal import Decimal

from kucoin_research.sim import DEMO_ACCOUNT
from tests.conftest import wait_until
from tests.environments import python_of
from tests.interop.books import Books, Complaints, Listener, reconcile_futures, reconcile_spot
from tests.interop.processes import client_process, held_exchange, message

CONTRACT, PAIR, SETTLE = "XBTUSDTM", "BTC-USDT", "USDT"
MULTIPLIER = Decimal("0.001")
LOGIN = (DEMO_ACCOUNT.key, DEMO_ACCOUNT.secret, DEMO_ACCOUNT.passphrase)
START = "2026-01-05T07:58:00Z"  # two minutes before funding is settled
FUTURES_PRIVATE = [
    "/contractMarket/tradeOrders",
    "/contract/positionAll",
    "/contractAccount/wallet",
]
SPOT_PRIVATE = ["/spotMarket/tradeOrdersV2", "/account/balance"]
_NUMBER = re.compile(r"\d[\d.]*")  # one refusal, whatever its amount
PATIENCE = 120.0  # seconds for the last frames


def trade(python, addresses, plan):
    """Let both clients trade; returns the orders taken by market, and the refusals counted."""
    orders, refusals = collections.defaultdict(list), collections.Counter()
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(
                client_process(python, script, "trade", addresses, plan | {"seed": number})
            )
            for number, script in enumerate(("day_sdk.py", "day_ccxt.py"))
        ]
        for client in clients:
            while (line := message(client)) is not None and line["call"] != "done":
                if line["call"] == "order":
                    orders[line["market"]].append(line["id"])
                else:
                    refusals[line["code"], _NUMBER.sub("…", line["text"]).split("(")[0][:60]] += 1
            assert line is not None, f"a client ended early ({client.wait()})\n{client.stderr}"
    return orders, refusals


def run(python, *, hours, speed, orders_per_minute):
    """Trade for some virtual hours and reconcile; returns what was compared and what differs."""
    plan = {
        "login": LOGIN,
        "contract": CONTRACT,
        "pair": PAIR,
        "unified_contract": "BTC/USDT:USDT",
        "unified_pair": "BTC/USDT",
        "orders": int(hours * 60 * orders_per_minute),
        "pace": 60 / orders_per_minute / speed,
    }
    with held_exchange(
        "simulate",
        speed=speed,
        start=START,
        rate_limit=10**9,
        private_rate_limit=10**9,
        symbols=[CONTRACT, PAIR],
    ) as exchange:
        books = Books(exchange.addresses, LOGIN)
        coins = books.coins()
        overview = books.call("futures", "GET", "/api/v1/account-overview", currency=SETTLE)
        balance = Decimal(str(overview["marginBalance"]))
        executions = f"/contractMarket/execution:{CONTRACT}"
        with (
            listening(books, "futures", FUTURES_PRIVATE, [executions]) as futures,
            listening(books, "spot", SPOT_PRIVATE, [f"/market/match:{PAIR}"]) as spot,
        ):
            exchange.go()
            orders, refusals = trade(python, exchange.addresses, plan)
            books.call("futures", "DELETE", "/api/v1/stopOrders")
            books.call("futures", "DELETE", "/api/v3/orders", symbol=CONTRACT)
            books.call("spot", "DELETE", "/api/v1/orders", symbol=PAIR, tradeType="TRADE")
            exchange.forward(5)  # and time stands
            wait_for_the_end(futures, "symbolOrderChange")
            wait_for_the_end(spot, "orderChange")
            complaints = Complaints()
            reconcile_spot(books, coins, spot.snapshot(), orders["spot"], PAIR, complaints)
            reconcile_futures(
                books, balance, futures.snapshot(), orders["futures"], CONTRACT, SETTLE,
                MULTIPLIER, complaints,
            )  # fmt: skip
    return orders, refusals, complaints


@contextlib.contextmanager
def listening(books, market, private, public):
    with contextlib.closing(Listener(books, market, private, public)) as listener:
        yield listener


def wait_for_the_end(listener, subject):
    """Wait until the socket has the end of every order that it has heard of."""

    def has_ended():
        rows = [frame["data"] for frame in listener.snapshot() if frame["subject"] == subject]
        ended = {row["orderId"] for row in rows if row["type"] in ("filled", "canceled")}
        return {row["orderId"] for row in rows} <= ended

    wait_until(has_ended, PATIENCE, progress=lambda: len(listener.snapshot()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hours", type=float, default=24.0, help="virtual hours (24)")
    parser.add_argument("--speed", type=float, default=60.0, help="virtual seconds a second (60)")
    parser.add_argument("--orders", type=float, default=30.0, help="orders a virtual minute (30)")
    chosen = parser.parse_args()
    python = python_of("interop")
    if python is None:
        sys.exit("no .venv-interop: run `make interop`")
    orders, refusals, complaints = run(
        python, hours=chosen.hours, speed=chosen.speed, orders_per_minute=chosen.orders
    )
    for market, ids in orders.items():
        print(f"{len(ids):>8} orders on {market}")
    for (code, text), count in refusals.most_common():
        print(f"{count:>8} refused: {code} {text}")
    for what, count in sorted(complaints.compared.items()):
        print(f"{count:>8} compared: {what}")
    for complaint in complaints[:50]:
        print("DIFFERS ", complaint)
    print(f"{len(complaints)} of {sum(complaints.compared.values())} differ")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
