"""Sessions that tests of several wings play."""

import kucoin_research as kr
from tests.exchanges import simulate


def a_minute(folder, speed):
    """Record a minute of the simulated exchange, which runs ``speed`` times as fast."""
    with simulate(seed=11, speed=speed) as x:
        run = kr.record(
            "XBTUSDTM",
            ["ticker", "trade", "mark_price"],
            root=folder,
            seconds=60,
            venue=x.venue,
            progress=False,
        )
        with run:
            pass
        return run.session()
