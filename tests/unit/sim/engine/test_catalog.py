import json
from decimal import Decimal

import pytest

from kucoin_research.sim.engine.catalog import LISTINGS
from kucoin_research.sim.engine.fundamental_value import BASES
from kucoin_research.sim.engine.market import Market
from kucoin_research.sim.messages.instrument_rows import contract_row, symbol_row
from tests.unit.sim.reply_fields import FIELDS

START = 1_767_571_200 * 10**9
FUTURES = [listing for listing in LISTINGS.values() if listing.market == "futures"]
SPOT = [listing for listing in LISTINGS.values() if listing.market == "spot"]


def test_contract_row_has_every_field_with_and_without_a_market():
    listing = LISTINGS["XBTUSDTM"]
    market = Market(listing, 7, START)

    for row in (contract_row(listing, None, START), contract_row(listing, market, START)):
        assert sorted(row) == sorted(FIELDS["contract"])
        json.dumps(row, allow_nan=False)


def test_contract_row_has_kucoins_types():
    listing = LISTINGS["XBTUSDTM"]

    row = contract_row(listing, Market(listing, 7, START), START)

    assert row["openInterest"].isdigit()
    assert isinstance(row["lotSize"], int)
    assert row["tickSize"] == 0.1
    assert row["multiplier"] == 0.001
    assert (row["displaySymbol"], row["displayBaseCurrency"]) == ("XBTUSDTM", "XBT")
    assert isinstance(row["markPrice"], float)


def test_curve_of_cross_margin_is_the_one_of_kucoins_samples():
    rows = [contract_row(LISTINGS[symbol], None, START) for symbol in ("XBTUSDTM", "ETHUSDTM")]

    assert [row["m"] for row in rows] == [300, 4110]
    assert [row["mmrLevConstant"] for row in rows] == [125, 100]
    assert (rows[0]["k"], rows[0]["mmrLimit"]) == (490, 0.3)
    # The position of 12.102 coins in the samples has this rate.
    rate = LISTINGS["XBTUSDTM"].cross_maintenance(Decimal("12.102"))
    assert rate == Decimal("0.00416136")
    assert LISTINGS["XBTUSDTM"].cross_maintenance(Decimal(10**6)) == Decimal("0.3")


@pytest.mark.parametrize("listing", FUTURES, ids=lambda listing: listing.symbol)
def test_price_band_of_a_row_is_that_of_the_listing_around_its_mark(listing):
    row = contract_row(listing, Market(listing, 7, START), START)

    lowest, highest = listing.price_limits(Decimal(repr(row["markPrice"])))

    assert (row["sellLimit"], row["buyLimit"]) == (float(lowest), float(highest))
    tick = Decimal(listing.tick_size)
    for limit, share in ((highest, "1.05"), (lowest, "0.95")):
        assert limit % tick == 0
        assert abs(limit - Decimal(repr(row["markPrice"])) * Decimal(share)) <= tick / 2


def test_a_row_names_the_series_that_are_served():
    row = contract_row(LISTINGS["KCSUSDTM"], None, START)

    assert row["fundingRateGranularity"] == 4 * 3_600_000
    assert row["fundingRateSymbol"] == ".KCSUSDTMFPI8H"  # as on KuCoin, whatever the interval
    assert row["premiumsSymbol8H"] == ".KCSUSDTMPI8H"


@pytest.mark.parametrize("listing", FUTURES, ids=lambda listing: listing.symbol)
def test_limits_of_a_row_are_those_that_orders_are_held_to(listing):
    row = contract_row(listing, None, START)

    assert row["orderPriceRange"] == 0.05
    assert row["crossRiskLimit"] == listing.cross_risk_limit
    assert row["crossRiskLimit"] > listing.risk_tiers[-1].limit


def test_next_funding_time_is_a_countdown():
    now = START + 3_600 * 10**9

    row = contract_row(LISTINGS["XBTUSDTM"], None, now)

    assert row["nextFundingRateTime"] == 7 * 3_600_000
    assert row["nextFundingRateDateTime"] == now // 10**6 + 7 * 3_600_000


def test_inverse_contract_counts_dollars():
    row = contract_row(LISTINGS["XBTUSDM"], None, START)

    assert row["isInverse"] is True
    assert row["multiplier"] == -1
    assert row["settleCurrency"] == "XBT"


@pytest.mark.parametrize("listing", SPOT, ids=lambda listing: listing.symbol)
def test_symbol_row_has_every_field_as_text(listing):
    row = symbol_row(listing)

    assert sorted(row) == sorted(FIELDS["pair"])
    assert row["baseIncrement"] == listing.lot_size
    assert Decimal(row["baseMinSize"]) >= Decimal(row["baseIncrement"])


@pytest.mark.parametrize("listing", LISTINGS.values(), ids=lambda listing: listing.symbol)
def test_listing_is_consistent(listing):
    is_spot = "-" in listing.symbol

    assert listing.market == ("spot" if is_spot else "futures")
    assert Decimal(listing.tick_size) == Decimal(listing.tick_units).scaleb(-listing.price_decimals)
    assert is_spot or listing.lot_size == "1"
    assert is_spot or listing.index_symbol.startswith(".")
    if listing.quote != "BTC":
        assert listing.start_price == BASES[listing.base.replace("BTC", "XBT")].start_price


@pytest.mark.parametrize("listing", LISTINGS.values(), ids=lambda listing: listing.symbol)
def test_an_index_price_has_digits_for_a_fifth_of_a_basis_point(listing):
    assert 10.0**-listing.index_decimals / listing.start_price < 2e-5
