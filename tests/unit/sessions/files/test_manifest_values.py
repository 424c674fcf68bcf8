import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.errors import InvalidInput
from kucoin_research.model.instruments import Instrument, RiskTier
from kucoin_research.sessions.files.manifest_values import (
    from_iso,
    instruments_from,
    instruments_to,
    iso,
)


@given(st.integers(-(2**63), 2**63 - 1))
def test_times_come_back_from_text(ns):
    assert from_iso(iso(ns)) == ns


def test_a_text_that_is_no_time_is_refused():
    with pytest.raises(InvalidInput):
        from_iso("yesterday")


def test_instruments_come_back_and_fields_of_newer_versions_are_left():
    instrument = Instrument(
        symbol="XBTUSDTM", market="futures", base="XBT", quote="USDT", settle="USDT",
        tick_size=0.1, lot_size=1.0, maker_fee=0.0002,
    )  # fmt: skip
    listed = json.loads(json.dumps(instruments_to([instrument])))
    listed[0]["novel"] = 1

    assert instruments_from({"instruments": listed}) == {"XBTUSDTM": instrument}


def test_facts_and_risk_tiers_come_back_and_novel_fields_of_a_tier_are_left():
    instrument = Instrument(
        symbol="XBTUSDTM", market="futures", base="XBT", quote="USDT", settle="USDT",
        tick_size=0.1, lot_size=1.0, max_price=1e6, market_max_size=1e6, price_limit_rate=0.05,
        initial_margin=0.008, maintenance_margin=0.004, mmr_limit=0.3, mmr_size=300.0,
        mmr_leverage_constant=125.0,
        risk_tiers=(RiskTier(1e5, 125, 0.008, 0.004), RiskTier(5e5, 100, 0.01, 0.005)),
    )  # fmt: skip
    listed = json.loads(json.dumps(instruments_to([instrument])))
    listed[0]["risk_tiers"][0]["novel"] = 1

    (found,) = instruments_from({"instruments": listed}).values()

    assert found == instrument
    assert {type(tier) for tier in found.risk_tiers} == {RiskTier}
    assert listed[0]["risk_tiers"][1] == {
        "max_notional": 5e5, "max_leverage": 100, "initial_margin": 0.01,
        "maintenance_margin": 0.005,
    }  # fmt: skip


def test_an_instrument_of_an_older_version_comes_back_without_later_facts():
    names = (
        "symbol", "market", "base", "quote", "settle", "tick_size", "lot_size", "min_size",
        "max_size", "contract_multiplier", "is_inverse", "maker_fee", "taker_fee", "status",
        "max_leverage", "funding_interval_ms", "index_symbol", "expires", "display_name",
    )  # fmt: skip
    instrument = Instrument(
        symbol="BTC-USDT", market="spot", base="BTC", quote="USDT", settle="USDT", tick_size=0.1,
        lot_size=1e-8, min_size=1e-5,
    )  # fmt: skip
    (listed,) = json.loads(json.dumps(instruments_to([instrument])))

    old = {name: listed[name] for name in names}

    assert instruments_from({"instruments": [old]}) == {"BTC-USDT": instrument}
