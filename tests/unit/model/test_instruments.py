"""Instruments: rounding, notional, the frame, and the spelling of symbols."""

import dataclasses
import math
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.errors import InvalidInput, UnknownSymbol
from kucoin_research.model.channels import Market
from kucoin_research.model.instruments import (
    Instrument,
    RiskTier,
    resolve_symbol,
    spelling_hint,
    symbol_frame,
)
from kucoin_research.model.records import Trade, schema_of

FUTURES = ["XBTUSDTM", "XBTUSDM", "ETHUSDTM", "SOLUSDTM", "XBTMZ26"]
SPOT = ["BTC-USDT", "ETH-USDT", "KCS-BTC", "SOL-USDT"]

TICKS = st.sampled_from(["0.1", "0.01", "0.00000001", "1E-8", "0.05", "0.25", "1", "5", "1000"])
PRICES = st.floats(-1e9, 1e9, allow_nan=False)
# Prices with a hundred million ticks of 1e-8 and more need all digits of a float.
DIRECTIONS = st.sampled_from(["nearest", "down", "up"])


def contract(**facts):
    usual = {
        "symbol": "XBTUSDTM", "market": Market.FUTURES, "base": "XBT", "quote": "USDT",
        "settle": "USDT", "tick_size": 0.1, "lot_size": 1.0, "contract_multiplier": 0.001,
    }  # fmt: skip
    return Instrument(**(usual | facts))


def exact(value):
    return Decimal(repr(float(value)))


@given(PRICES, TICKS, DIRECTIONS)
def test_a_rounded_price_is_the_float_of_a_whole_number_of_ticks(price, tick, direction):
    rounded = contract(tick_size=float(tick)).round_price(price, direction)

    steps = (exact(rounded) / exact(tick)).to_integral_value()
    assert rounded == float(steps * exact(tick))


@given(PRICES, TICKS, DIRECTIONS)
def test_rounding_twice_changes_nothing(price, tick, direction):
    traded = contract(tick_size=float(tick))
    rounded = traded.round_price(price, direction)

    # Near 1e9 not every tick of 1e-8 is a float; then the result is the nearest float.
    if exact(rounded) % exact(tick) == 0:
        assert traded.round_price(rounded, direction) == rounded


@given(
    st.integers(-(10**7), 10**7).map(lambda cents: cents / 100),
    TICKS.filter(lambda t: "E" not in t),
)
def test_a_price_lies_between_down_and_up_which_are_at_most_a_tick_apart(price, tick):
    traded = contract(tick_size=float(tick))
    down, nearest, up = (traded.round_price(price, way) for way in ("down", "nearest", "up"))

    assert down <= price <= up
    assert nearest in (down, up)
    assert exact(up) - exact(down) in (0, exact(tick))
    assert abs(exact(nearest) - exact(price)) <= exact(tick) / 2


@pytest.mark.parametrize(
    ("price", "direction", "rounded"),
    [
        (0.3, "down", 0.3),
        (0.3, "up", 0.3),
        (86378.69, "nearest", 86378.7),
        (86378.69, "down", 86378.6),
        (86378.61, "up", 86378.7),
        (0.25, "nearest", 0.3),
        (-0.25, "nearest", -0.3),
        (-0.21, "down", -0.3),
        (7, "nearest", 7.0),
    ],
)
def test_prices_round_as_on_paper(price, direction, rounded):
    assert contract().round_price(price, direction) == rounded


def test_zero_has_no_sign():
    assert math.copysign(1.0, contract().round_price(-0.01)) == 1.0


@given(st.floats(0, 1e6), st.sampled_from([1.0, 0.001, 0.00000001]))
def test_a_rounded_size_is_never_more_than_was_asked_for(size, lot):
    rounded = contract(lot_size=lot).round_size(size)

    assert exact(size) - exact(lot) < exact(rounded) + exact(size) * Decimal("1e-15")
    assert rounded <= size


@pytest.mark.parametrize(("size", "rounded"), [(7.9, 7.0), (0.9, 0.0), (-7.9, -7.0), (8, 8.0)])
def test_sizes_round_towards_zero(size, rounded):
    assert contract().round_size(size) == rounded


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, None, "x", 10**400])
def test_what_is_not_a_finite_number_is_refused(number):
    traded = contract()

    for use in (traded.round_price, traded.round_size, lambda n: traded.notional(n, 1.0)):
        with pytest.raises(InvalidInput, match="finite"):
            use(number)


def test_an_unknown_direction_is_answered_with_the_three():
    with pytest.raises(InvalidInput, match="nearest, down, up"):
        contract().round_price(1.0, "floor")


def test_notional_of_a_linear_contract_counts_its_multiplier():
    assert contract().notional(2, 86_000.0) == pytest.approx(172.0)


def test_notional_of_an_inverse_contract_is_in_coins():
    inverse = contract(contract_multiplier=-1.0, is_inverse=True, settle="XBT")

    assert inverse.notional(86_000, 86_000.0) == 1.0
    with pytest.raises(InvalidInput, match="above 0"):
        inverse.notional(1, 0.0)


def test_notional_on_spot_is_price_times_size():
    assert contract(market="spot", contract_multiplier=1.0).notional(0.5, 100.0) == 50.0


@pytest.mark.parametrize(
    "facts",
    [{"tick_size": 0.0}, {"lot_size": -1.0}, {"tick_size": math.nan}, {"contract_multiplier": 0.0}],
)
def test_an_instrument_that_cannot_be_rounded_is_refused(facts):
    with pytest.raises(InvalidInput, match=next(iter(facts))):
        contract(**facts)


def test_an_instrument_survives_being_written_as_a_dict():
    traded = contract(funding_interval_ms=28_800_000)

    stored = dataclasses.asdict(traded) | {"market": "futures"}

    assert Instrument(**stored) == traded
    assert Instrument(**stored).market is Market.FUTURES


def test_the_frame_has_one_column_per_field_and_keeps_the_order():
    frame = symbol_frame([contract(), contract(symbol="AUSDTM", expires=1_798_185_600_000_000_000)])

    names = [field.name for field in dataclasses.fields(Instrument)]
    assert frame.columns == [name for name in names if name != "risk_tiers"]
    assert frame["symbol"].to_list() == ["XBTUSDTM", "AUSDTM"]
    assert frame["market"].to_list() == ["futures", "futures"]
    assert frame["expires"].dtype == pl.Datetime("ns", "UTC")


FACTS = (
    "max_price", "market_max_size", "min_funds", "price_limit_rate", "initial_margin",
    "maintenance_margin", "mmr_limit", "mmr_size", "mmr_leverage_constant",
)  # fmt: skip


def test_what_is_not_known_of_an_instrument_is_none_and_a_number_in_frames():
    unknown, known = contract(), contract(symbol="AUSDTM", **dict.fromkeys(FACTS, 0.5))

    frame = symbol_frame([unknown, known]).select(FACTS)

    assert (unknown.risk_tiers, {getattr(unknown, name) for name in FACTS}) == ((), {None})
    assert set(frame.dtypes) == {pl.Float64}
    assert frame.rows() == [(None,) * len(FACTS), (0.5,) * len(FACTS)]


def test_risk_tiers_may_be_rows_of_numbers_and_survive_being_written_as_a_dict():
    traded = contract(risk_tiers=[[100_000, 125, 0.008, 0.004], (500_000, 100, 0.01, 0.005)])

    assert traded.risk_tiers[1] == RiskTier(500_000, 100, 0.01, 0.005)
    assert traded.risk_tiers[1].maintenance_margin == 0.005
    assert Instrument(**dataclasses.asdict(traded)) == traded
    assert hash(traded) != hash(contract())


@pytest.mark.parametrize(
    "tiers",
    [
        5, None, [5], [(1, 2, 3)], [(100_000, 125, 0.008, None)], [(math.nan, 1, 1, 1)],
        [(100_000, 125, 0.008, 0)], [(2, 1, 1, 1), (1, 1, 1, 1)], [(2, 1, 1, 1), (2, 1, 1, 1)],
    ],
    ids=str,
)  # fmt: skip
def test_risk_tiers_that_are_none_or_out_of_order_are_refused(tiers):
    with pytest.raises(InvalidInput, match="XBTUSDTM: "):
        contract(risk_tiers=tiers)


def test_rows_can_be_joined_to_it():
    rows = pl.DataFrame({"symbol": ["XBTUSDTM"]}, schema={"symbol": schema_of(Trade)["symbol"]})

    joined = rows.join(symbol_frame([contract()]), on="symbol", how="left")

    assert joined["tick_size"].to_list() == [contract().tick_size]


def test_an_empty_frame_has_the_same_schema():
    assert symbol_frame([]).schema == symbol_frame([contract()]).schema


@pytest.mark.parametrize(("symbol", "known"), [("XBTUSDTM", FUTURES), ("BTC-USDT", SPOT)])
def test_a_known_symbol_is_kept(symbol, known):
    assert resolve_symbol(symbol, iter(known)) == symbol


@pytest.mark.parametrize(
    ("symbol", "market", "said"),
    [
        ("BTCUSDTM", "futures", "KuCoin futures call Bitcoin XBT: use 'XBTUSDTM'"),
        ("BTCUSDT", "futures", "KuCoin futures call Bitcoin XBT: use 'XBTUSDTM'"),
        ("BTCUSDM", "futures", "KuCoin futures call Bitcoin XBT: use 'XBTUSDM'"),
        ("xbtusdtm", "futures", "use 'XBTUSDTM'"),
        (" XBTUSDTM ", "futures", "use 'XBTUSDTM'"),
        ("ETHUSDT", "futures", "contracts end in M: use 'ETHUSDTM'"),
        ("BTC-USDT", "futures", "a hyphen means spot.*use 'XBTUSDTM', or market='spot'"),
        ("XBT-USDT", "spot", "KuCoin spot calls Bitcoin BTC: use 'BTC-USDT'"),
        ("btc-usdt", "spot", "use 'BTC-USDT'"),
        ("BTC/USDT", "spot", "use 'BTC-USDT', or 'XBTUSDTM' on futures"),
        ("btc/usdt", "futures", "use 'XBTUSDTM', or 'BTC-USDT' on spot"),
        ("BTC/USDT:USDT", "futures", "use 'XBTUSDTM'$"),
        ("BTC/USD:BTC", "spot", "use 'XBTUSDM' on futures$"),
        ("BTCUSDT", "spot", "spot symbols have a hyphen: use 'BTC-USDT'"),
        ("XBTUSDTM", "spot", "looks like a futures symbol.*use 'BTC-USDT', or market='futures'"),
        ("XBTUSDM", "spot", "use 'BTC-USDT'"),
        ("KCS-XBT", "spot", "use 'KCS-BTC'"),
        ("SOLLUSDTM", "futures", "did you mean 'SOLUSDTM'"),
        ("ETH-USTD", "spot", "did you mean 'ETH-USDT'"),
        ("QQQQQQ", "futures", r'kr.symbols\(market="futures"\)'),
        ("USDT", "spot", r'kr.symbols\(market="spot"\)'),
    ],
)
def test_an_unknown_symbol_is_answered_with_what_was_probably_meant(symbol, market, said):
    known = FUTURES if market == "futures" else SPOT

    with pytest.raises(UnknownSymbol, match=said):
        resolve_symbol(symbol, known, market)


@pytest.mark.parametrize("junk", ["", "  ", None, 7])
def test_what_is_no_text_is_refused(junk):
    with pytest.raises(UnknownSymbol, match="symbol is"):
        resolve_symbol(junk, FUTURES, "futures")


@given(st.text(max_size=12), st.sampled_from(["futures", "spot", None]))
def test_any_text_is_either_known_or_refused_with_a_sentence(symbol, market):
    known = SPOT + FUTURES

    if symbol in known:
        assert resolve_symbol(symbol, known, market) == symbol
    else:
        with pytest.raises(UnknownSymbol, match=r"\w"):
            resolve_symbol(symbol, known, market)


def test_only_the_hint_needs_no_list():
    assert "use 'XBTUSDTM'" in spelling_hint("BTCUSDTM")
    assert spelling_hint("XBTUSDTM") == ""
    assert spelling_hint("BTC-USDT") == ""


@pytest.mark.parametrize(
    ("symbol", "hint"),
    [
        ("BTC/USD:BTC-261225", "use 'XBTMZ26'"),
        ("btc/usd:btc-261225", "use 'XBTMZ26'"),
        ("BTC/USDT:USDT-261225", "of BTC in USDT that ends in 2026-12; kr.symbols"),
        ("BTC/USD:BTC-260327", "of BTC in USD that ends in 2026-03; kr.symbols"),
        ("BTC/USD:BTC-261399", "that ends in 2026-13; kr.symbols"),
    ],
)
@pytest.mark.parametrize("market", [None, "futures"])
def test_a_contract_that_ends_is_named_as_kucoin_does(symbol, hint, market):
    with pytest.raises(UnknownSymbol, match="no futures symbol") as caught:
        resolve_symbol(symbol, FUTURES, market)

    assert hint in str(caught.value)


def test_a_contract_that_ends_is_known_by_its_spelling_alone():
    assert "kr.symbols" in spelling_hint("BTC/USDT:USDT-260327")
