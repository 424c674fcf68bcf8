"""List KuCoin's REST calls, served by the simulated exchange or not, in docs/calls.md.

``python scripts/calls.py`` prints the page, ``--write`` brings the file up to date.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from kucoin_research.sim.server.not_served import Call, calls
from kucoin_research.sim.server.rest import ROUTES
from kucoin_research.sim.server.routes import Route

PAGE = Path(__file__).parents[1] / "docs" / "calls.md"
_HEAD = """\
# The REST calls of the simulated exchange

KuCoin's REST calls by address and subject: those that `kucoin-research simulate` serves, with 🔑
where they need a key, and those that it does not. A call that it does not serve is answered with
KuCoin's 404, whose `msg` says so in a sentence; so is a call at the wrong one of the two addresses.
A recording (`kucoin-research serve`) serves the public market data of its rows.

`python scripts/calls.py --write` makes this page from the exchange's own tables.
"""


def page() -> str:
    """Write the page."""
    return "\n".join([_HEAD, *_addresses()]) + "\n"


def _addresses() -> Iterator[str]:
    for market in ("spot", "futures"):
        known = [call for call in calls() if call.market == market]
        served = _served(market)
        yield f"## The {market} address\n"
        yield "### Served\n"
        yield from _subjects([call for call in known if _key(call) in served], served)
        yield "### Not served\n"
        yield from _subjects([call for call in known if _key(call) not in served], {})


def _served(market: str) -> dict[tuple[str, str], bool]:
    """Return the method and path of each call that is served, and whether it needs a key."""
    return {_key(route): route.is_private for _, route in ROUTES[market]}


def _key(call: Call | Route) -> tuple[str, str]:
    return call.method, re.sub(r"\{\w+\}", "{}", call.path)


def _subjects(chosen: list[Call], needs_key: dict[tuple[str, str], bool]) -> Iterator[str]:
    for subject in dict.fromkeys(call.subject for call in chosen):
        yield f"**{subject}**\n"
        for call in chosen:
            if call.subject == subject:
                mark = " 🔑" if needs_key.get(_key(call)) else ""
                yield f"- `{call.method} {call.path}`{mark}"
        yield ""


def main() -> None:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="bring docs/calls.md up to date")
    if parser.parse_args().write:
        PAGE.write_text(page())
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
