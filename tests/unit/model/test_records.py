"""Records: columns and their types."""

from __future__ import annotations

import polars as pl
import pytest

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


def test_columns_know_the_kind_of_their_values():
    assert columns_of(Ticker)["side"] is Column.SIDE
    assert columns_of(Depth50)["ask_sizes"] is Column.NUMBERS
