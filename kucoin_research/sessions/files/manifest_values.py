"""The form of times, instruments and losses in a ``session.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from kucoin_research.errors import InvalidInput, shown
from kucoin_research.model.damage import Loss
from kucoin_research.model.instruments import Instrument, RiskTier
from kucoin_research.model.units import EPOCH, datetime_of

__all__ = [
    "LOSS_FIELDS",
    "from_iso",
    "instrument_of",
    "instruments_from",
    "instruments_to",
    "iso",
    "losses_from",
    "losses_to",
]

LOSS_FIELDS = ("file", "channel", "symbol", "reason")  # the optional fields of a loss


def iso(ns: int) -> str:
    """Write a time, ns UTC, as ISO 8601 text with all nine digits."""
    return f"{datetime_of(ns):%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09d}Z"


def from_iso(text: str) -> int:
    """Read a text that ``iso`` wrote, as ns UTC.

    Raises
    ------
    InvalidInput
        If it is no such text.
    """
    whole, _, digits = text.removesuffix("Z").partition(".")
    try:
        moment = datetime.fromisoformat(whole).replace(tzinfo=UTC)
        return (moment - EPOCH) // timedelta(seconds=1) * 10**9 + int(digits[:9].ljust(9, "0"))
    except ValueError:
        raise InvalidInput(
            f"{shown(text)} is no time such as 2026-11-25T19:21:17.000000000Z"
        ) from None


def instruments_to(instruments: Iterable[Instrument]) -> list[dict[str, Any]]:
    """Turn instruments into their form in ``session.json``."""
    return [
        asdict(each)
        | {
            "market": str(each.market),
            "risk_tiers": [tier._asdict() for tier in each.risk_tiers],
        }
        for each in instruments
    ]


def instruments_from(content: Mapping[str, Any]) -> dict[str, Instrument]:
    """Read the instruments of a ``session.json``, by symbol; ignore fields of newer versions."""
    found = map(instrument_of, content.get("instruments") or ())
    return {instrument.symbol: instrument for instrument in found}


def instrument_of(listed: Mapping[str, Any]) -> Instrument:
    """Make an instrument of its form in ``session.json``.

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """
    known = {field.name for field in fields(Instrument)}
    facts = {key: value for key, value in listed.items() if key in known}
    if "risk_tiers" in facts:
        facts["risk_tiers"] = tuple(map(_tier_of, facts["risk_tiers"]))
    return Instrument(**facts)


def _tier_of(listed: Any) -> RiskTier:
    if not isinstance(listed, Mapping):
        raise TypeError(f"{shown(listed)} is no risk tier")
    return RiskTier(**{key: value for key, value in listed.items() if key in RiskTier._fields})


def losses_to(losses: Iterable[Loss]) -> list[dict[str, Any]]:
    """Turn losses into their form in ``session.json``, its ``dropped``."""
    return [
        {"began": iso(loss.began), "ended": iso(loss.ended), "rows": loss.rows}
        | {key: value for key, value in loss._asdict().items() if key in LOSS_FIELDS and value}
        for loss in losses
    ]


def losses_from(content: Mapping[str, Any]) -> list[Loss]:
    """Read the losses from a ``session.json``."""
    return [
        Loss(
            from_iso(each["began"]),
            from_iso(each["ended"]),
            each["rows"],
            **{key: each.get(key) for key in LOSS_FIELDS},
        )
        for each in content.get("dropped") or ()
    ]
