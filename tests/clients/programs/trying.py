"""Tries the calls of a client and prints how each went, a line of JSON each.

For the programs beside it, which run in an environment of their client's own and know nothing of
this project: ``PROGRAM FUTURES_URL SPOT_URL``, with the key of the demo account.
"""

import asyncio
import inspect
import json
import os
import sys

FUTURES, SPOT = sys.argv[1:3]
KEY = "demo00000000000000000000"
SECRET = "demo-secret-for-the-simulated-exchange"
PASSPHRASE = "demo-passphrase"
PAIR, CONTRACT = "BTC-USDT", "XBTUSDTM"
PATIENCE = 30.0  # seconds for the frame of a socket
ORDERS = 10


def say(call, error=""):
    print(json.dumps({"call": call, "error": error}), flush=True)


def attempt(call, function, check=bool):
    """Call a function and say how it went; its result if it passes the check, else None."""
    try:
        return judge(call, function(), check)
    except Exception as error:
        say(call, why(error))


async def attempt_async(call, function, check=bool):
    """Do the same with a function whose result may have to be waited for."""
    try:
        result = function()
        return judge(call, await result if inspect.isawaitable(result) else result, check)
    except Exception as error:
        say(call, why(error))


def judge(call, result, check):
    if not check(result):
        say(call, f"unexpected answer: {str(result)[:200]}")
        return None
    say(call)
    return result


def why(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def below(bid):
    """A price two per cent below the best bid, in whole dollars: an order that rests."""
    return str(int(float(bid) * 0.98))


class Frames:
    """Waits for frames by what they are about; `put` may be called from any thread."""

    def __init__(self):
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Condition()
        self._frames = []

    async def put(self, frame):
        async with self._news:
            self._frames.append(frame)
            self._news.notify_all()

    def put_from_a_thread(self, frame):
        asyncio.run_coroutine_threadsafe(self.put(frame), self._loop)

    async def wait(self, *words, patience=PATIENCE):
        """Wait for a frame whose text has all these words."""
        return await asyncio.wait_for(self._wait(words), patience)

    async def _wait(self, words):
        async with self._news:
            await self._news.wait_for(lambda: self._with(words))
            return self._with(words)[0]

    def _with(self, words):
        return [frame for frame in self._frames if all(word in str(frame) for word in words)]


async def own_order(frames, place_and_cancel, *words):
    """Place orders and cancel them until a frame with the id of one and these words comes.

    Some clients do not say when the exchange has acknowledged a topic, so that an order may be too
    early for it.
    """
    for _ in range(ORDERS):
        order_id = place_and_cancel()
        if inspect.isawaitable(order_id):
            order_id = await order_id
        try:
            return await frames.wait(order_id, *words, patience=PATIENCE / ORDERS)
        except TimeoutError:
            continue
    raise AssertionError(f"no frame of {ORDERS} orders came")


def leave():
    """End at once: some clients have threads or tasks that never end."""
    sys.stdout.flush()
    os._exit(0)
