"""The options of a run, checked, and the models that they name."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import polars as pl

from kucoin_research.errors import InvalidInput, StopStrategy, shown
from kucoin_research.foundation.arguments import (
    has_columns,
    is_number,
    number,
    only_known,
    plain_function,
    positive,
)
from kucoin_research.model.instruments import Instrument
from kucoin_research.strategy.broker import Broker
from kucoin_research.strategy.contracts import Fees
from kucoin_research.strategy.matching import LIQUIDITIES
from kucoin_research.strategy.working_orders import QUEUES

__all__ = ["Cash", "FeesOf", "Latency", "RunOptions", "StopStrategy", "Strategy", "instruments_of"]

#: What a user writes: called with each record and the broker.
Strategy: TypeAlias = Callable[[Any, Broker], object]
Cash: TypeAlias = float | Mapping[str, float]
Latency: TypeAlias = float | tuple[float, float] | Literal["recorded"]
FeesOf: TypeAlias = tuple[float, float] | Mapping[str, tuple[float, float]] | None

_MARGIN_MODES = ("isolated", "cross")
_MARGIN_RULES = ("2025-05", "legacy")
_LONGEST = 3_600.0
_OURS = ("strategy", "caller")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run trades; one field per option of ``backtest``.

    Attributes
    ----------
    cash
        By currency.
    latency
        Entry and response latency in ns; None to take them from the recording.
    fees
        By symbol; the key ``*`` stands for all.
    funding
        Whether recorded settlements are paid.
    given_funding
        Settlements that the user gave: by symbol, pairs of time (ns UTC) and rate.
    """

    cash: Mapping[str, float]
    currency: str
    latency: tuple[int, int] | None
    fees: Mapping[str, Fees]
    queue: str
    leverage: float
    is_cross: bool
    margin_rules: str
    funding: bool
    given_funding: Mapping[str, list[tuple[int, float]]]
    liquidity: str
    instruments: Mapping[str, Instrument]
    seed: int
    progress: bool
    name: str

    @classmethod
    def of(cls, strategy: Strategy, **options: Any) -> RunOptions:
        """Read options as a user passed them on; those left out are as ``backtest`` has them.

        Raises
        ------
        InvalidInput
            If there is no such option, or it is none of those that it can be.
        """
        known = inspect.signature(cls.read).parameters
        only_known(options, [each for each in known if each not in _OURS], "paper")
        return cls.read(strategy, caller="paper", **options)

    @classmethod
    def read(
        cls,
        strategy: Strategy,
        *,
        caller: str = "backtest",
        cash: Cash = 10_000.0,
        currency: str = "USDT",
        latency: Latency = 0.05,
        fees: FeesOf = None,
        queue: str = "risk_averse",
        leverage: float = 1.0,
        margin_mode: str = "isolated",
        margin_rules: str = "2025-05",
        funding: str | pl.DataFrame | None = "recorded",
        liquidity: str = "depth",
        instruments: Iterable[Instrument] | Mapping[str, Instrument] | Instrument | None = None,
        seed: int = 0,
        progress: bool = True,
        name: str | None = None,
    ) -> RunOptions:
        """Check the options of a user.

        Raises
        ------
        InvalidInput
            If an option is none of those that it can be.
        """
        check_strategy(strategy, caller)
        if not isinstance(currency, str) or not currency:
            raise InvalidInput(f"currency must be a name such as 'USDT', not {shown(currency)}")
        for option, value, known in (
            ("queue", queue, QUEUES),
            ("liquidity", liquidity, LIQUIDITIES),
            ("margin_mode", margin_mode, _MARGIN_MODES),
            ("margin_rules", margin_rules, _MARGIN_RULES),
        ):
            if value not in known:
                raise InvalidInput(
                    f"{option} must be one of {', '.join(known)}, not {shown(value)}"
                )
        is_recorded, given = _funding_of(funding)
        return cls(
            cash=_cash_of(cash, currency),
            currency=currency,
            latency=_latency_of(latency),
            fees=_fees_of(fees),
            queue=queue,
            leverage=positive(leverage, "leverage", "times the margin"),
            is_cross=margin_mode == "cross",
            margin_rules=margin_rules,
            funding=is_recorded,
            given_funding=given,
            liquidity=liquidity,
            instruments=instruments_of(instruments),
            seed=int(number(seed, "seed", "a whole number")),
            progress=bool(progress),
            name=str(name or _name_of(strategy)),
        )


def check_strategy(strategy: object, caller: str) -> None:
    """Check that a value can be called with a record and a broker.

    Raises
    ------
    InvalidInput
        If it is a class, takes other arguments, or is async.
    """
    if not callable(strategy):
        raise InvalidInput(
            f"{caller} wants a strategy, a function of a record and a broker, not {shown(strategy)}"
        )
    name = _name_of(strategy)
    if isinstance(strategy, type):
        raise InvalidInput(f"{strategy.__name__} is a class; pass one: {strategy.__name__}()")
    plain_function(strategy, caller, "record, broker")
    try:
        inspect.signature(strategy).bind(None, None)
    except TypeError:
        raise InvalidInput(
            f"{name} cannot be called with a record and a broker: write it as "
            "strategy(record, broker)"
        ) from None
    except ValueError:
        return  # a function of C, which does not say what it takes


def _name_of(strategy: object) -> str:
    while isinstance(strategy, partial):
        strategy = strategy.func
    return str(getattr(strategy, "__name__", type(strategy).__name__))


def _cash_of(cash: Cash, currency: str) -> dict[str, float]:
    amounts = dict(cash) if isinstance(cash, Mapping) else {currency: cash}
    for held, amount in amounts.items():
        if not isinstance(held, str) or not is_number(amount) or not math.isfinite(amount):
            raise InvalidInput(
                "cash must be an amount, or a mapping of currencies to amounts such as "
                f'{{"USDT": 10_000}}, not {shown(cash)}'
            )
        if amount < 0:
            raise InvalidInput(f"cash cannot be negative: {amount:,} {held}")
    if not any(amounts.values()):
        raise InvalidInput("cash is 0, so nothing could be traded")
    return {held: float(amount) for held, amount in amounts.items()}


def _latency_of(latency: Latency) -> tuple[int, int] | None:
    if isinstance(latency, str):
        if latency != "recorded":
            raise InvalidInput(f'latency must be seconds or "recorded", not {shown(latency)}')
        return None
    pair = latency if isinstance(latency, tuple | list) else (latency, latency)
    if len(pair) != 2:
        raise InvalidInput(f"latency must be seconds or (entry, response), not {shown(latency)}")
    for each in pair:
        if not is_number(each) or not 0 <= each <= _LONGEST:
            raise InvalidInput(f"latency must be 0 to 3,600 seconds, not {shown(each)}")
    entry, response = (round(each * 1e9) for each in pair)
    return entry, response


def _fees_of(fees: FeesOf) -> dict[str, Fees]:
    if fees is None:
        return {}
    pairs = fees if isinstance(fees, Mapping) else {"*": fees}
    return {symbol: _pair_of(pair, fees) for symbol, pair in pairs.items()}


def _pair_of(pair: object, fees: object) -> Fees:
    if isinstance(pair, tuple | list) and len(pair) == 2:
        maker, taker = pair
        if all(is_number(each) and abs(each) < 1 for each in pair):
            return Fees(float(maker), float(taker))
    raise InvalidInput(
        "fees must be (maker, taker) as fractions such as (0.0002, 0.0006), or a mapping of "
        f"symbols to such pairs, not {shown(fees)}"
    )


def _funding_of(
    funding: str | pl.DataFrame | None,
) -> tuple[bool, dict[str, list[tuple[int, float]]]]:
    if funding is None or (isinstance(funding, str) and funding in ("recorded", "none")):
        return funding == "recorded", {}
    if not isinstance(funding, pl.DataFrame):
        raise InvalidInput(
            'funding must be "recorded", "none" or a frame as kr.funding_rates returns it, '
            f"not {shown(funding)}"
        )
    has_columns(funding, ("timestamp", "symbol", "funding_rate"), "the frame of funding")
    given: dict[str, list[tuple[int, float]]] = {}
    rows = funding.select(
        pl.col("symbol").cast(pl.String),
        pl.col("timestamp").cast(pl.Datetime("ns", "UTC")).to_physical(),
        pl.col("funding_rate").cast(pl.Float64),
    )
    for symbol, when, rate in rows.drop_nulls().sort("timestamp").iter_rows():
        given.setdefault(symbol, []).append((when, rate))
    return False, given


def instruments_of(
    instruments: Iterable[Instrument] | Mapping[str, Instrument] | Instrument | None,
) -> dict[str, Instrument]:
    """Read instruments as a user may pass them: one, several, or a mapping."""
    if instruments is None:
        return {}
    if isinstance(instruments, Instrument):
        instruments = [instruments]
    listed = instruments.values() if isinstance(instruments, Mapping) else instruments
    if isinstance(listed, str) or not isinstance(listed, Iterable):
        raise InvalidInput(f"instruments must be Instrument objects, not {shown(instruments)}")
    found = {}
    for each in listed:
        if not isinstance(each, Instrument):
            raise InvalidInput(f"instruments must be Instrument objects, not {shown(each)}")
        found[each.symbol] = each
    return found
