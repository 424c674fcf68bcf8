"""An exchange in a process of its own, whose time stands until it is told otherwise.

Started by tests/interop: ``python -m tests.interop.exchange simulate|serve OPTIONS``. OPTIONS are
JSON: those of ``kucoin_research.simulate`` or ``serve``; ``paths`` is what is served, ``trader``
how many orders a minute the demo account places. It prints its addresses as a line of JSON, does
what each line of stdin says, and answers each when it is done:

``forward SECONDS`` lets that much virtual time pass; ``go`` lets time pass from now on.
"""

import json
import sys
import threading

import kucoin_research as kr
from tests.exchanges import simulate


def say(**line):
    print(json.dumps(line), flush=True)


def make(kind, options):
    if kind == "serve":
        return kr.serve(options.pop("paths"), is_held=True, **options)
    orders_per_minute = options.pop("trader", None)
    exchange = simulate(**options)
    exchange.pause()
    if orders_per_minute is not None:
        exchange.start_trader(orders_per_minute=orders_per_minute)
    return exchange


def forward(exchange, seconds):
    end_ns, pause = exchange.now_ns + int(seconds * 1e9), threading.Event()
    exchange.resume()
    while exchange.now_ns < end_ns:
        pause.wait(0.005)
    exchange.pause()


def main():
    kind, options = sys.argv[1:]
    with make(kind, json.loads(options)) as exchange:
        say(futures=exchange.futures_url, spot=exchange.spot_url)
        for line in sys.stdin:
            word, *values = line.split()
            if word == "forward":
                forward(exchange, *map(float, values))
            else:
                exchange.resume()
            say(done=line.strip())


main()
