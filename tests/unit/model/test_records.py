"""Records: columns and their types, channel names, markets, and the arrival clock."""

from __future__ import annotations

from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.errors import InvalidInput, UnknownChannel
from kucoin_research.model.arrival_clock import ArrivalClock
from kucoin_research.model.channels import (
    CANDLE_INTERVALS,
    Channel,
    Market,
    market_of,
    parse_channel,
)
from kucoin_research.model.records import CHANNELS, Column, Depth50, Ticker, columns_of, schema_of

# The contract of design.md, section 4, after timestamp, local_timestamp and symbol.
COLUMNS = {
    "ticker": "sequence price size side best_bid_price best_bid_size best_ask_price best_ask_size",
    "bbo": "sequence best_bid_price best_bid_size best_ask_price best_ask_size",
    "trade": "sequence trade_id side price size",
    "candle": "interval open high low close volume turnover",
    "level2": "sequence is_snapshot side price size",
    "depth5": "sequence "
    + " ".join(
        f"{side}_{kind}_{level}"
        for side in ("bid", "ask")
        for kind in ("price", "size")
        for level in range(1, 6)
    ),
    "depth50": "sequence bid_prices bid_sizes ask_prices ask_sizes",
    "mark_price": "mark_price index_price",
    "funding_rate": "funding_rate granularity_ms",
    "snapshot": "last_price high low volume turnover price_change price_change_pct",
    "order": (
        "type status order_id client_oid side order_type price size filled_size canceled_size "
        "remain_size match_price match_size trade_id liquidity fee_type old_size order_time "
        "origin_size origin_funds remain_funds canceled_funds margin_mode position_side "
        "trade_type"
    ),
    "fill": "order_id client_oid trade_id side price size liquidity fee_type",
    "balance": (
        "market event currency total available hold available_change hold_change account_id "
        "relation_event relation_event_id relation_symbol relation_order_id relation_trade_id "
        "version equity total_cross_margin cross_pos_margin cross_order_margin cross_un_pnl "
        "isolated_pos_margin isolated_order_margin isolated_un_pnl "
        "isolated_funding_fee_margin order_margin withdraw_hold"
    ),
    "position": (
        "event change_reason margin_mode position_side settle_currency current_qty "
        "avg_entry_price mark_price mark_value leverage real_leverage liquidation_price "
        "bankrupt_price unrealised_pnl unrealised_pnl_pcnt unrealised_roe_pcnt realised_pnl "
        "realised_gross_pnl realised_gross_cost realised_cost unrealised_cost current_cost "
        "current_comm pos_cost pos_cross pos_init pos_comm pos_loss pos_margin pos_funding "
        "pos_maint maint_margin maint_margin_req delev_percentage risk_limit risk_limit_level "
        "auto_deposit is_open opening_timestamp funding_time funding_rate funding_fee success "
        "msg"
    ),
    "stop_order": (
        "type order_id client_oid side order_type size order_price stop stop_price "
        "stop_price_type margin_mode trade_type trigger_success error created_at"
    ),
    "margin": (
        "event type status status_biz_type debt_ratio total_asset total_debt "
        "margin_coefficient_total_asset accumulated_principal currency total available hold "
        "debt liability_principal liability_interest"
    ),
    "leverage": "margin_mode leverage",
    "status": "event channel detail first_sequence last_sequence",
}
DTYPES = {
    "timestamp": pl.Datetime("ns", "UTC"),
    "local_timestamp": pl.Datetime("ns", "UTC"),
    "sequence": pl.Int64(),
    "first_sequence": pl.Int64(),
    "last_sequence": pl.Int64(),
    "granularity_ms": pl.Int64(),
    "side": pl.Enum(["buy", "sell"]),
    "symbol": pl.Categorical(),
    "interval": pl.Categorical(),
    "event": pl.Categorical(),
    "channel": pl.Categorical(),
    "trade_id": pl.String(),
    "detail": pl.String(),
    "is_snapshot": pl.Boolean(),
    **dict.fromkeys(["auto_deposit", "is_open", "success", "trigger_success"], pl.Boolean()),
    **dict.fromkeys(["version", "risk_limit_level"], pl.Int64()),
    **dict.fromkeys(
        ["order_time", "created_at", "opening_timestamp", "funding_time"],
        pl.Datetime("ns", "UTC"),
    ),
    **dict.fromkeys(
        [
            "order_id",
            "client_oid",
            "account_id",
            "relation_event_id",
            "relation_order_id",
            "relation_trade_id",
            "msg",
            "error",
        ],
        pl.String(),
    ),
    **dict.fromkeys(
        [
            "type",
            "status",
            "order_type",
            "liquidity",
            "fee_type",
            "margin_mode",
            "position_side",
            "trade_type",
            "market",
            "currency",
            "relation_event",
            "relation_symbol",
            "change_reason",
            "settle_currency",
            "stop",
            "stop_price_type",
            "status_biz_type",
        ],
        pl.Categorical(),
    ),
    **dict.fromkeys(["bid_prices", "bid_sizes", "ask_prices", "ask_sizes"], pl.List(pl.Float64())),
}


def test_channels_are_those_of_the_contract():
    assert list(CHANNELS) == list(COLUMNS)


@pytest.mark.parametrize("channel", CHANNELS)
def test_schema_has_the_contracts_columns_in_order(channel):
    names = schema_of(CHANNELS[channel]).names()

    assert names == ["timestamp", "local_timestamp", "symbol", *COLUMNS[channel].split()]


@pytest.mark.parametrize("channel", CHANNELS)
def test_schema_has_the_contracts_dtypes(channel):
    schema = schema_of(CHANNELS[channel])

    assert {name: DTYPES.get(name, pl.Float64()) for name in schema} == dict(schema)


@pytest.mark.parametrize("channel", CHANNELS)
def test_columns_are_the_records_fields(channel):
    record = CHANNELS[channel]

    assert tuple(columns_of(record)) == record._fields


def test_columns_tell_what_they_hold():
    assert columns_of(Ticker)["side"] is Column.SIDE
    assert columns_of(Depth50)["ask_sizes"] is Column.NUMBERS


# Markets


@pytest.mark.parametrize(
    ("symbol", "market", "expected"),
    [
        ("XBTUSDTM", None, Market.FUTURES),
        ("BTC-USDT", None, Market.SPOT),
        (".KXBTUSDT", None, Market.FUTURES),
        ("BTC-USDT", "futures", Market.FUTURES),
        ("XBTUSDTM", "Spot", Market.SPOT),
        ("XBTUSDTM", Market.SPOT, Market.SPOT),
    ],
)
def test_hyphen_tells_the_market_unless_told_otherwise(symbol, market, expected):
    assert market_of(symbol, market) is expected


@pytest.mark.parametrize("market", ["", "margin", 5])
def test_unknown_market_is_refused(market):
    with pytest.raises(InvalidInput, match="market must be 'futures' or 'spot', not"):
        market_of("XBTUSDTM", market)


# Channel names


@pytest.mark.parametrize("name", [name for name in CHANNELS if name != "candle"])
def test_channel_is_read_by_its_name(name):
    assert parse_channel(name) == Channel(name)
    assert parse_channel(f" {name.upper()} ") == Channel(name)
    assert str(parse_channel(name)) == name


@pytest.mark.parametrize(
    ("alias", "channel"),
    [
        ("depth", Channel("level2")),
        ("level1", Channel("bbo")),
        ("trades", Channel("trade")),
        ("candles", Channel("candle", "1min")),
        ("candle", Channel("candle", "1min")),
        ("candles:1hour", Channel("candle", "1hour")),
        ("Candle:5MIN", Channel("candle", "5min")),
    ],
)
def test_aliases_are_read(alias, channel):
    assert parse_channel(alias) == channel


@pytest.mark.parametrize("interval", CANDLE_INTERVALS)
def test_candle_reads_back_its_own_text(interval):
    channel = Channel("candle", interval)

    assert parse_channel(str(channel)) == channel


@pytest.mark.parametrize("text", ["5m", "5 min", "5 minutes", "300s", "5MIN"])
def test_a_candles_interval_may_be_written_in_many_ways(text):
    assert parse_channel(f"candle:{text}") == parse_channel("candle:5min")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tiker", "no channel 'tiker'; did you mean 'ticker'? channels: ticker, bbo, trade,"),
        ("depth20", "no channel 'depth20'; did you mean 'depth"),
        ("mark-price", "did you mean 'mark_price'?"),
        ("xyzzy", "no channel 'xyzzy'; channels: ticker,"),
        ("", "no channel ''; channels: ticker,"),
        ("candle:5mn", "no candle interval '5mn'; did you mean '5min'? intervals: 1min, 3min,"),
        ("candle:7m", "no candle interval '7m'; intervals: 1min, 3min,"),
        ("candle:", "no candle interval ''; intervals: 1min,"),
        ("candle:1min:2", "no candle interval '1min:2'"),
        ("trade:5min", "channel 'trade' takes no interval, so 'trade:5min' means nothing"),
        ("trade:", "channel 'trade' takes no interval"),
        (None, "a channel is named by a string, not by NoneType None"),
        (["ticker"], "a channel is named by a string, not by list ['ticker']"),
    ],
)
def test_unknown_channel_names_near_matches(text, message):
    with pytest.raises(UnknownChannel) as caught:
        parse_channel(text)

    assert message in str(caught.value)


@given(st.text())
def test_any_text_is_a_channel_or_refused(text):
    try:
        channel = parse_channel(text)
    except UnknownChannel:
        return
    assert parse_channel(str(channel)) == channel


# The arrival clock


@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 5)), max_size=20))
def test_stamps_increase_strictly_however_the_clock_jumps(batches):
    clock = ArrivalClock()
    stamps = []

    for now, rows in batches:
        first = clock.begin(now)
        stamps.extend(range(first, first + rows))
        clock.end(first + rows)

    assert all(earlier < later for earlier, later in pairwise(stamps))


def test_stamps_are_the_clocks_while_it_runs_forward():
    clock = ArrivalClock()

    first = clock.begin(100)
    clock.end(first + 3)

    assert (first, clock.begin(200)) == (100, 200)


def test_stamps_go_on_from_the_last_when_the_clock_jumps_back():
    clock = ArrivalClock()
    clock.end(clock.begin(100) + 3)

    assert clock.begin(50) == 103


def test_empty_batch_uses_no_stamp():
    clock = ArrivalClock()

    clock.end(clock.begin(100))

    assert clock.begin(100) == 100
