"""Instruments, with their price steps, sizes and fees, and the spelling of their symbols."""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from operator import attrgetter
from typing import Literal, NamedTuple, TypeAlias

import polars as pl

from kucoin_research.errors import InvalidInput, SymbolNotTrading, UnknownSymbol, shown
from kucoin_research.foundation.arguments import explains_itself, is_number
from kucoin_research.model.channels import Market, market_of

__all__ = [
    "Direction",
    "Instrument",
    "RiskTier",
    "check_trading",
    "resolve_symbol",
    "spelling_hint",
    "symbol_frame",
]

Direction: TypeAlias = Literal["nearest", "down", "up"]

_ROUNDINGS = {"nearest": ROUND_HALF_UP, "down": ROUND_FLOOR, "up": ROUND_CEILING}

# A float has at most 17 significant digits. With 60 digits, the quotient of two floats cannot be
# rounded to a whole number by mistake; the 28 digits that Decimal has by default are too few.
_EXACT = Context(prec=60)


class RiskTier(NamedTuple):
    """A tier of the risk limits of isolated margin: the worth of a position decides which one.

    Attributes
    ----------
    max_notional
        The highest worth of a position in this tier, in the settlement currency, inclusive.
    max_leverage
        The highest leverage in this tier.
    initial_margin, maintenance_margin
        Fractions of the whole worth of the position.
    """

    max_notional: float
    max_leverage: float
    initial_margin: float
    maintenance_margin: float


@explains_itself
@dataclass(frozen=True, kw_only=True)
class Instrument:
    """A contract or a trading pair, as the exchange describes it.

    Sizes count contracts (lots) on futures and base coins on spot. Unknown values are ``None``. The
    fields are those of KuCoin's lists of symbols, hence their number.

    Attributes
    ----------
    symbol, market
        The symbol as the exchange spells it; ``futures`` or ``spot``.
    base, quote, settle
        The currencies that are traded, that prices are in, and that profits are paid in.
    tick_size, lot_size
        The smallest step of the price and of the size.
    min_size, max_size
        The smallest and largest size of one order.
    contract_multiplier
        Base units per contract; 1.0 on spot. Inverse contracts have -1.0, as KuCoin sends it.
    is_inverse
        Whether a contract is worth one unit of the quote currency and is settled in the base.
    maker_fee, taker_fee
        Fractions of the notional, rebates negative, at the lowest fee level and without discounts.
    status
        ``Open``, or the reason why it does not trade: on futures KuCoin's own word. ``None`` if
        unknown.
    max_leverage
        The highest leverage; futures only.
    funding_interval_ms
        Time between two fundings; perpetual contracts only.
    index_symbol
        The index behind the mark price; futures only.
    expires
        When a dated contract ends, ns UTC.
    display_name
        The exchange's name for people; it can change while the symbol stays.
    max_price
        The highest price of an order; futures only.
    market_max_size
        The largest size of one market order; futures only.
    min_funds
        The smallest worth of an order, price times size in the quote currency; spot only.
    price_limit_rate
        How far, as a fraction, the price of a buy order may lie above the reference price, and that
        of a sell order below it. The reference is the mark price on futures, and on spot the best
        price. On futures it follows from the limits at the moment of listing; ``None`` if those
        are not at equal distances from the mark price.
    initial_margin, maintenance_margin
        Fractions of the notional in the first tier of the risk limits; futures only.
    mmr_limit, mmr_size, mmr_leverage_constant
        The maintenance margin of cross margin grows with the position. For ``Q`` base coins it is
        the fraction ``min(mmr_limit, (1 + Q / mmr_size) / (2 * mmr_leverage_constant))``. Futures
        only.
    risk_tiers
        The tiers of isolated margin, lowest first. KuCoin sends them apart from its lists of
        symbols, so they are empty unless someone passes them.
    """

    symbol: str
    market: Market
    base: str
    quote: str
    settle: str
    tick_size: float
    lot_size: float
    min_size: float | None = None
    max_size: float | None = None
    contract_multiplier: float = 1.0
    is_inverse: bool = False
    maker_fee: float | None = None
    taker_fee: float | None = None
    status: str | None = "Open"
    max_leverage: float | None = None
    funding_interval_ms: int | None = None
    index_symbol: str | None = None
    expires: int | None = None
    display_name: str | None = None
    max_price: float | None = None
    market_max_size: float | None = None
    min_funds: float | None = None
    price_limit_rate: float | None = None
    initial_margin: float | None = None
    maintenance_margin: float | None = None
    mmr_limit: float | None = None
    mmr_size: float | None = None
    mmr_leverage_constant: float | None = None
    risk_tiers: tuple[RiskTier, ...] = ()

    def __post_init__(self) -> None:
        _check_text(self.symbol)
        object.__setattr__(self, "market", market_of(self.symbol, self.market))
        for name in ("tick_size", "lot_size"):
            step = getattr(self, name)
            # The types first, since a list may have 300,000 instruments, all with these types.
            is_one = type(step) in (float, int) or is_number(step)
            if not (is_one and math.isfinite(step) and step > 0):
                raise InvalidInput(f"{self.symbol}: {name} must be above 0, not {shown(step)}")
        worth = self.contract_multiplier
        is_one = type(worth) in (float, int) or is_number(worth)
        if not (is_one and math.isfinite(worth) and worth):
            raise InvalidInput(f"{self.symbol}: contract_multiplier cannot be {shown(worth)}")
        if self.risk_tiers != ():
            object.__setattr__(self, "risk_tiers", _tiers_of(self.symbol, self.risk_tiers))

    @property
    def is_open(self) -> bool:
        """Whether it can be traded now; false if the status is unknown."""
        return self.status == "Open"

    def round_price(self, price: float, direction: Direction = "nearest") -> float:
        """Round a price to a whole number of ticks.

        Parameters
        ----------
        price
            Any finite number, for example a price difference.
        direction
            ``nearest`` (halves away from zero), ``down`` or ``up`` the number line.

        Returns
        -------
        float
            The float whose shortest text is the rounded price: 0.3, never 0.30000000000000004. The
            argument is read in the same way, so ``round_price(0.3, "down")`` stays 0.3.

        Raises
        ------
        InvalidInput
            If the price is not finite, or the direction is not one of the three.
        """
        rounding = _ROUNDINGS.get(direction)
        if rounding is None:
            raise InvalidInput(
                f"direction must be one of {', '.join(_ROUNDINGS)}, not {shown(direction)}"
            )
        return _round_to(_finite(price, "price"), self.tick_size, rounding)

    def round_size(self, size: float) -> float:
        """Round a size to whole lots, towards zero, so that it never grows.

        Raises
        ------
        InvalidInput
            If the size is not finite.
        """
        return _round_to(_finite(size, "size"), self.lot_size, ROUND_DOWN)

    def notional(self, size: float, price: float) -> float:
        """Compute the worth of a size at a price, in the settlement currency.

        Parameters
        ----------
        size
            Contracts on futures, base coins on spot; a negative size has a negative worth.
        price
            In the quote currency.

        Returns
        -------
        float
            ``size * price * contract_multiplier`` in the quote currency, or ``size / price`` in
            base coins if the contract is inverse.

        Raises
        ------
        InvalidInput
            If a number is not finite, or an inverse contract's price is not above 0.
        """
        size, price = _finite(size, "size"), _finite(price, "price")
        if not self.is_inverse:
            return size * price * self.contract_multiplier
        if price <= 0:
            raise InvalidInput(
                f"{self.symbol} is inverse, so its price must be above 0, not {price}"
            )
        return size / price


def _tiers_of(symbol: str, tiers: object) -> tuple[RiskTier, ...]:
    """Check risk tiers, which may also be sequences of their four numbers."""
    try:
        found = tuple(RiskTier(*each) for each in tiers)  # type: ignore[attr-defined]  # caught
    except TypeError:
        raise InvalidInput(f"{symbol}: risk_tiers cannot be {shown(tiers)}") from None
    for tier in found:
        if not all(is_number(each) and math.isfinite(each) and each > 0 for each in tier):
            raise InvalidInput(f"{symbol}: the numbers of {shown(tier)} must be above 0")
    if any(low.max_notional >= high.max_notional for low, high in itertools.pairwise(found)):
        raise InvalidInput(f"{symbol}: risk_tiers must be in order of max_notional, lowest first")
    return found


def _finite(value: float, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput(f"{name} must be a finite number, not {shown(value)}")
    return number


def _round_to(value: float, step: float, rounding: str) -> float:
    # `repr` writes the shortest text that reads back as the float, which is the number as the
    # exchange wrote it.
    exact_step = Decimal(repr(float(step)))
    steps = _EXACT.divide(Decimal(repr(value)), exact_step).to_integral_value(rounding)
    return float(_EXACT.multiply(steps, exact_step)) + 0.0  # `+ 0.0` turns -0.0 into 0.0


_FRAME_TYPES: dict[str, pl.DataType] = {
    "symbol": pl.Categorical(),
    "tick_size": pl.Float64(),
    "lot_size": pl.Float64(),
    "min_size": pl.Float64(),
    "max_size": pl.Float64(),
    "contract_multiplier": pl.Float64(),
    "is_inverse": pl.Boolean(),
    "maker_fee": pl.Float64(),
    "taker_fee": pl.Float64(),
    "max_leverage": pl.Float64(),
    "funding_interval_ms": pl.Int64(),
    "expires": pl.Datetime("ns", "UTC"),
    "max_price": pl.Float64(),
    "market_max_size": pl.Float64(),
    "min_funds": pl.Float64(),
    "price_limit_rate": pl.Float64(),
    "initial_margin": pl.Float64(),
    "maintenance_margin": pl.Float64(),
    "mmr_limit": pl.Float64(),
    "mmr_size": pl.Float64(),
    "mmr_leverage_constant": pl.Float64(),
}
# Several of them belong to one symbol, and KuCoin's lists have none.
_NO_COLUMN = "risk_tiers"


def symbol_frame(instruments: Iterable[Instrument]) -> pl.DataFrame:
    """Return a frame of instruments.

    Returns
    -------
    pl.DataFrame
        One row per instrument, in the given order; one column per field of ``Instrument``, except
        its ``risk_tiers``. ``symbol`` has the same type as in frames of records, so that they can
        be joined.
    """
    names = [field.name for field in fields(Instrument) if field.name != _NO_COLUMN]
    schema = {name: _FRAME_TYPES.get(name, pl.String()) for name in names}
    listed = list(instruments)
    columns = {name: list(map(attrgetter(name), listed)) for name in schema}
    columns["market"] = list(map(str, columns["market"]))
    return pl.DataFrame(columns, schema=schema)


def resolve_symbol(symbol: str, known: Iterable[str], market: Market | str | None = None) -> str:
    """Check that a symbol exists.

    Parameters
    ----------
    symbol
        As the user typed it.
    known
        The symbols of that market.
    market
        ``futures`` or ``spot``; if ``None``, the hyphen decides.

    Returns
    -------
    str
        The same symbol. Nothing is corrected silently, since recordings are named by it.

    Raises
    ------
    UnknownSymbol
        If it does not exist; the message has the spelling that was probably meant.
    """
    _check_text(symbol)
    market = market_of(symbol, market)
    known = set(known)
    if symbol in known:
        return symbol
    unified = _UNIFIED.fullmatch(symbol.strip().upper())
    if unified is not None:
        spelled = _of_unified(market, *unified.groups())
        raise UnknownSymbol(f"no {market} symbol {shown(symbol)}: {spelled}")
    dated = _DATED.fullmatch(symbol.strip().upper())
    if dated is not None:
        spelled = _of_dated(known, *dated.groups())
        raise UnknownSymbol(f"no {market} symbol {shown(symbol)}: {spelled}")
    guess, why = _guess(symbol, market)
    if guess in known:
        raise UnknownSymbol(_sentence(symbol, market, why, guess))
    # Sorted, so that equally near names are suggested in the same order each time.
    close = difflib.get_close_matches(guess, sorted(_comparable(guess, known)), n=3, cutoff=0.6)
    listed = f'kr.symbols(market="{market}") lists them all'
    if not close:
        raise UnknownSymbol(f"no {market} symbol {shown(symbol)}; {listed}")
    names = " or ".join(repr(name) for name in close)
    raise UnknownSymbol(f"no {market} symbol {shown(symbol)}; did you mean {names}? {listed}")


# No market lists more symbols; comparing a name with this many takes milliseconds.
_MOST_COMPARED = 5_000


def _comparable(guess: str, known: set[str]) -> Iterable[str]:
    if len(known) <= _MOST_COMPARED:
        return known
    return itertools.islice(
        (name for name in sorted(known) if name[:2] == guess[:2]), _MOST_COMPARED
    )


# The statuses whose streams stay silent. On futures they are KuCoin's words; a spot pair is
# `Closed`. `Init` is not listed, since it opens by itself, nor `CancelOnly`, which still moves.
_SILENT = {
    "BeingSettled": "its last settlement is being made",
    "Settled": "it has expired or was delisted",
    "Paused": "the exchange has halted it",
    "Closed": "the exchange has closed it",
}


def check_trading(instrument: Instrument) -> None:
    """Refuse an instrument whose stream would stay silent.

    Raises
    ------
    SymbolNotTrading
        If it is being settled, or is settled, paused or closed.
    """
    status = instrument.status
    if status is not None and status in _SILENT:
        raise SymbolNotTrading(
            f"{instrument.symbol} is {status}: {_SILENT[status]}, so streaming it would stay "
            f'silent; kr.get_active_symbols("{instrument.market}") lists what trades, and '
            "kr.candles may still have its history",
            status=status,
        )


def spelling_hint(symbol: str, market: Market | str | None = None) -> str:
    """Suggest another spelling of a symbol, without a list of the symbols that exist.

    Returns
    -------
    str
        Half a sentence with the likely spelling; ``""`` if the spelling looks right.
    """
    market = market_of(symbol, market)
    unified = _UNIFIED.fullmatch(symbol)
    if unified is not None:
        return _of_unified(market, *unified.groups())
    dated = _DATED.fullmatch(symbol)
    if dated is not None:
        return _of_dated((), *dated.groups())
    guess, why = _guess(symbol, market)
    return "" if guess == symbol else f"{why}use {shown(guess)}"


def _check_text(symbol: object) -> None:
    if not isinstance(symbol, str):
        raise UnknownSymbol(
            f"a symbol is text such as 'XBTUSDTM' or 'BTC-USDT', not {type(symbol).__name__}"
        )
    if not symbol.strip():
        raise UnknownSymbol(
            "a symbol is missing: the text is empty; examples: 'XBTUSDTM', 'BTC-USDT'"
        )


def _sentence(symbol: str, market: Market, why: str, guess: str) -> str:
    other = Market.SPOT if market is Market.FUTURES else Market.FUTURES
    # A user who types the other market's symbol may mean the other market.
    alternative = f", or market={str(other)!r}" if why == _WRONG_MARKET[market] else ""
    return f"no {market} symbol {shown(symbol)}: {why}use {guess!r}{alternative}"


# The symbols of ccxt and others: BTC/USDT, and BTC/USDT:USDT with the settlement currency.
_UNIFIED = re.compile(r"([A-Z0-9]+)/([A-Z0-9]+)(?::([A-Z0-9]+))?")


def _of_unified(market: Market, base: str, quote: str, settle: str | None) -> str:
    pair, contract = f"{base}-{quote}", f"{'XBT' if base == 'BTC' else base}{quote}M"
    names = {Market.FUTURES: contract} if settle else {Market.SPOT: pair, Market.FUTURES: contract}
    here = names.pop(market, None)
    others = [f"{shown(name)} on {other}" for other, name in names.items()]
    return "use " + ", or ".join([*([shown(here)] if here else []), *others])


# The same for a contract that ends, such as BTC/USD:BTC-261225; options have the strike behind it.
_DATED = re.compile(r"([A-Z0-9]+)/([A-Z0-9]+):[A-Z0-9]+-(\d\d)(\d\d)\d\d(?:-.*)?")
_MONTHS = "FGHJKMNQUVXZ"  # the letters of futures exchanges for January to December


def _of_dated(known: Collection[str], base: str, quote: str, year: str, month: str) -> str:
    """Suggest KuCoin's contract of that month, such as XBTMZ26, if it is among the known ones."""
    name = "XBT" if base == "BTC" else base
    code = _MONTHS[int(month) - 1] if 1 <= int(month) <= len(_MONTHS) else "?"
    ends = f"M{code}{year}"
    # A contract without a currency in its name is priced in USD.
    likely = [f"{name}{quote}{ends}", *([f"{name}{ends}"] if quote == "USD" else [])]
    here = [each for each in likely if each in known]
    if here:
        return f"use {shown(here[0])}"
    return (
        f"that is a contract of {base} in {quote} that ends in 20{year}-{month}; "
        'kr.symbols(market="futures") lists those that KuCoin has'
    )


_WRONG_MARKET = {
    Market.FUTURES: "a hyphen means spot, futures have none: ",
    Market.SPOT: "that looks like a futures symbol, spot symbols have a hyphen: ",
}
_BITCOIN = {
    Market.FUTURES: "KuCoin futures call Bitcoin XBT: ",
    Market.SPOT: "KuCoin spot calls Bitcoin BTC: ",
}
_QUOTES = ("USDT", "USDC", "USD1", "USD", "BTC", "ETH", "KCS", "EUR")
# Endings of perpetual contracts: linear in USDT or USDC, inverse in USD.
_CONTRACT_ENDINGS = ("USDTM", "USDCM", "USDM")


def _guess(symbol: str, market: Market) -> tuple[str, str]:
    # Returns the likely spelling on that market, and the mistake in half a sentence.
    text = symbol.strip().upper().replace("/", "-").replace("_", "-")
    return _guess_contract(symbol, text) if market is Market.FUTURES else _guess_pair(text)


def _guess_contract(symbol: str, text: str) -> tuple[str, str]:
    why = _WRONG_MARKET[Market.FUTURES] if "-" in symbol else ""
    guess = text.replace("-", "")
    if guess.startswith("BTC"):
        guess = "XBT" + guess.removeprefix("BTC")
        why = why or _BITCOIN[Market.FUTURES]
    if guess.endswith(("USDT", "USDC", "USD")):
        guess += "M"
        why = why or "contracts end in M: "
    return guess, why


def _guess_pair(text: str) -> tuple[str, str]:
    why = ""
    if "-" not in text:
        if text.endswith(_CONTRACT_ENDINGS):
            why = _WRONG_MARKET[Market.SPOT]
            text = text.removesuffix("M")
            if text.endswith("USD"):
                text += "T"  # spot has hardly any USD pairs; USDT comes nearest
        quote = next((quote for quote in _QUOTES if text.endswith(quote)), None)
        if quote and text != quote:
            text = f"{text.removesuffix(quote)}-{quote}"
            why = why or "spot symbols have a hyphen: "
    base, hyphen, quote = text.partition("-")
    if "XBT" in (base, quote):
        why = why or _BITCOIN[Market.SPOT]
        base, quote = (("BTC" if name == "XBT" else name) for name in (base, quote))
    return f"{base}{hyphen}{quote}", why
