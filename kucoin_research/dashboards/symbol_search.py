"""The symbol that a user means by a few letters in the symbol box."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kucoin_research.model.channels import Market

__all__ = ["Found", "find_symbol"]

_MOST_NAMED = 8
# KuCoin's futures say XBT, its spot pairs BTC.
_BITCOIN = {Market.FUTURES: ("BTC", "XBT"), Market.SPOT: ("XBT", "BTC")}
_DEFAULT_END = {Market.FUTURES: "USDTM", Market.SPOT: "USDT"}
_ENDS = re.compile(r"(USDTM|USDCM|USDM|USDT|USDC|USD)$")


class Found(NamedTuple):
    """The result of a search.

    Attributes
    ----------
    symbol
        The one symbol that fits, in the exchange's spelling; ``None`` if there are none or several.
    near
        The symbols that fit where there are several, the likeliest first.
    """

    symbol: str | None
    near: tuple[str, ...] = ()

    def sentence(self, text: str) -> str:
        """Name the symbols that fit, for the user to choose from."""
        named = ", ".join(self.near[:_MOST_NAMED])
        more = len(self.near) - _MOST_NAMED
        return (
            f"{len(self.near)} symbols fit {text!r}: {named}"
            f"{f' and {more} more' if more > 0 else ''}; type one of them"
        )


def find_symbol(text: str, listed: Sequence[str], market: Market) -> Found:
    """Find the symbol that a text means: a base currency, a part of a symbol, or another spelling.

    Parameters
    ----------
    text
        As typed; upper and lower case, hyphens and slashes do not matter.
    listed
        The symbols to choose from.
    market
        Decides the quote of a base currency that stands alone: ``SOL`` means the perpetual
        contract ``SOLUSDTM`` on futures and the pair ``SOL-USDT`` on spot.

    Returns
    -------
    Found
        An exact symbol is found as it is. Otherwise a base currency with the market's usual quote
        comes first, then symbols that begin with the text, then those that contain it.
    """
    if text in listed:
        return Found(text)
    wanted = _spellings(_bare(text), market)
    if not wanted:
        return Found(None)
    bare = {symbol: _bare(symbol) for symbol in listed}
    for end in ("", "M", _DEFAULT_END[market]):
        for spelling in wanted:
            same = [symbol for symbol, name in bare.items() if name == spelling + end]
            if same:
                return Found(same[0])
    begins = [symbol for symbol, name in bare.items() if name.startswith(wanted)]
    fits = begins or [
        symbol for symbol, name in bare.items() if any(each in name for each in wanted)
    ]
    if len(fits) == 1:
        return Found(fits[0])
    return Found(None, tuple(_likeliest_first(fits, market)))


def _spellings(bare: str, market: Market) -> tuple[str, ...]:
    """Return a text as typed, and with the market's name of bitcoin: ``BTCDOM`` is none of it."""
    theirs, ours = _BITCOIN[market]
    if not bare.startswith(theirs):
        return (bare,) if bare else ()
    return bare, ours + bare.removeprefix(theirs)


def _bare(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", text.upper())


def _likeliest_first(symbols: Iterable[str], market: Market) -> list[str]:
    usual = _DEFAULT_END[market]

    def rank(symbol: str) -> tuple[bool, int, str]:
        name = _bare(symbol)
        return not name.endswith(usual), len(_ENDS.sub("", name)), name

    return sorted(symbols, key=rank)
