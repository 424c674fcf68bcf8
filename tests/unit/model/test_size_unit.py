"""The units of sizes: each size is converted at its own price, if its worth is known."""

import numpy as np
import pytest

from kucoin_research.model.instruments import Instrument
from kucoin_research.model.size_unit import Unit, native_unit, units_of


def contract(symbol="XBTUSDTM", **facts):
    named = {"market": "futures", "base": "XBT", "quote": "USDT", "settle": "USDT"}
    return Instrument(
        symbol=symbol,
        tick_size=0.1,
        lot_size=1.0,
        **{**named, "contract_multiplier": 0.001, **facts},
    )


def of(units, kind, size, price):
    return units[kind].of(np.array([size]), np.array([price])).tolist()


def test_a_linear_contract_is_a_multiple_of_coins():
    units = units_of("XBTUSDTM", contract())

    assert [each.name for each in units.values()] == ["contracts", "XBT", "USDT"]
    assert of(units, Unit.CONTRACTS, 3.0, 50_000.0) == [3.0]
    assert of(units, Unit.COINS, 3.0, 50_000.0) == [0.003]
    assert of(units, Unit.QUOTE, 3.0, 50_000.0) == [150.0]


def test_an_inverse_contract_is_worth_a_unit_of_the_quote_currency():
    inverse = contract(
        "XBTUSDM", quote="USD", settle="XBT", contract_multiplier=-1.0, is_inverse=True
    )
    units = units_of("XBTUSDM", inverse)

    assert of(units, Unit.COINS, 100.0, 50_000.0) == [0.002]
    assert of(units, Unit.QUOTE, 100.0, 50_000.0) == [100.0]


def test_of_a_pair_the_symbol_names_both_currencies():
    units = units_of("BTC-USDT")

    assert [each.name for each in units.values()] == ["BTC", "USDT"]
    assert of(units, Unit.QUOTE, 0.5, 50_000.0) == [25_000.0]


def test_a_contract_whose_worth_is_not_known_is_not_converted():
    assert list(units_of("XBTUSDTM")) == [Unit.CONTRACTS]


@pytest.mark.parametrize("symbol", ["XBTUSDTM", "BTC-USDT"])
def test_the_unit_of_the_exchange_leaves_sizes_as_they_are(symbol):
    sizes = np.array([1.0, 0.1])

    assert native_unit(symbol).is_native
    assert native_unit(symbol).of(sizes, sizes) is sizes
