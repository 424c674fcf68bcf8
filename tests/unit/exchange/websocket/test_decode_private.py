"""The account's own messages: each documented sample, and positions told in part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kucoin_research.exchange.topics import Topic
from kucoin_research.exchange.websocket.decode_classic import Broken, Decoder
from kucoin_research.exchange.websocket.decode_private import AccountNews, Positions
from kucoin_research.model.channels import Market, Subscription, parse_channel
from kucoin_research.model.records import (
    Balance,
    Fill,
    Leverage,
    Margin,
    Order,
    Position,
    StopOrder,
)
from kucoin_research.streaming.feed_handler import FeedHandler

PAYLOADS = Path(__file__).parents[3] / "payloads" / "ws"
LOCAL = 1_790_000_000_000_000_001
MS = 1_000_000
FUTURES, SPOT = Market.FUTURES, Market.SPOT

ORDER = {
    "symbol": "XBTUSDTM", "side": "buy", "order_id": "247899236673269761", "price": 91670.0,
    "order_time": 1731916985768138917, "margin_mode": "ISOLATED", "liquidity": "maker",
    "size": 1.0, "canceled_size": 0.0,
}  # fmt: skip
SPOT_ORDER = {
    "symbol": "BTC-USDT", "side": "buy", "order_id": "6720da3fa30a360007f5f832",
    "client_oid": "5c52e11203aa677f33e493fc", "order_type": "market",
    "order_time": 1730206271588 * MS,
}  # fmt: skip
DEBT = {
    "timestamp": 1729912435657 * MS, "event": "debt.ratio", "debt_ratio": 0.0,
    "total_asset": 0.0005243177228408, "margin_coefficient_total_asset": 0.0005243177228408,
    "total_debt": 0.0,
}  # fmt: skip
ISOLATED = {
    "timestamp": 1730121097742 * MS, "symbol": "BTC-USDT", "event": "positionChange",
    "status": "DEBT", "status_biz_type": "DEFAULT_DEBT", "accumulated_principal": 5.01,
}  # fmt: skip
FUTURES_BALANCE = {"market": "futures", "timestamp": 1553842862614 * MS}

# What is not null of each record, the arrival left out.
GOLDEN = {
    "private_futures/order_open": [
        (Order, ORDER | {"timestamp": 1731916985789000000, "type": "open", "status": "open",
                         "filled_size": 0.0, "remain_size": 1.0}),
    ],
    "private_futures/order_match": [
        (Order, ORDER | {
            "timestamp": 1731916990000000000, "type": "match", "status": "match",
            "order_type": "limit", "client_oid": "5c52e11203aa677f33e493fb", "filled_size": 1.0,
            "remain_size": 0.0, "match_price": 91670.0, "match_size": 1.0,
            "trade_id": "1794100537695", "fee_type": "makerFee", "position_side": "BOTH",
            "trade_type": "trade",
        }),
        (Fill, {
            "timestamp": 1731916990000000000, "symbol": "XBTUSDTM",
            "order_id": "247899236673269761", "client_oid": "5c52e11203aa677f33e493fb",
            "trade_id": "1794100537695", "side": "buy", "price": 91670.0, "size": 1.0,
            "liquidity": "maker", "fee_type": "makerFee",
        }),
    ],
    "private_futures/order_update": [
        (Order, {
            "timestamp": 1731916990000000001, "symbol": "XBTUSDTM", "type": "update",
            "status": "open", "order_id": "247899236673269762", "side": "sell",
            "order_type": "limit", "price": 91670.0, "size": 2.0, "old_size": 3.0,
            "filled_size": 0.0, "canceled_size": 1.0, "remain_size": 2.0,
            "order_time": 1731916985768 * MS, "margin_mode": "CROSS",
        }),
    ],
    "private_futures/wallet": [
        (Balance, {
            "timestamp": 1731916996764 * MS, "market": "futures", "event": "walletBalance.change",
            "currency": "USDT", "total": 81.072921258, "available": 26.144281178, "hold": 0.0,
            "version": 1337, "equity": 81.273621258, "total_cross_margin": 26.144281178,
            "cross_pos_margin": 0.0, "cross_order_margin": 0.0, "cross_un_pnl": 0.0,
            "isolated_pos_margin": 36.80984008, "isolated_order_margin": 18.1188,
            "isolated_un_pnl": 0.2007, "isolated_funding_fee_margin": 0.0,
        }),
    ],
    "private_futures/wallet_available_balance": [
        (Balance, FUTURES_BALANCE | {"event": "availableBalance.change", "currency": "USDT",
                                     "available": 5923.0, "hold": 2312.0}),
    ],
    "private_futures/wallet_order_margin": [
        (Balance, FUTURES_BALANCE | {"event": "orderMargin.change", "currency": "USDT",
                                     "order_margin": 5923.0}),
    ],
    "private_futures/wallet_withdraw_hold": [
        (Balance, FUTURES_BALANCE | {"event": "withdrawHold.change", "currency": "USDT",
                                     "withdraw_hold": 5923.0}),
    ],
    "private_futures/position_change": [
        (Position, {
            "timestamp": 1731924561514 * MS, "symbol": "XBTUSDTM", "event": "change",
            "change_reason": "positionChange", "margin_mode": "ISOLATED", "position_side": "BOTH",
            "settle_currency": "USDT", "current_qty": 1.0, "avg_entry_price": 91694.5,
            "mark_price": 91839.79, "mark_value": 91.83979, "leverage": 4.9685590767,
            "real_leverage": 4.9685590767, "liquidation_price": 73853.0426625,
            "bankrupt_price": 73355.6, "unrealised_pnl": 0.14529, "unrealised_pnl_pcnt": 0.0016,
            "unrealised_roe_pcnt": 0.0079, "realised_pnl": 0.07210716,
            "realised_gross_pnl": 0.1639, "realised_gross_cost": -0.1639,
            "realised_cost": -0.07210716, "unrealised_cost": 91.6945, "current_cost": 91.5306,
            "current_comm": 0.09179284, "pos_cost": 91.6945, "pos_cross": 0.0,
            "pos_init": 18.3389, "pos_comm": 0.06602004, "pos_loss": 0.0,
            "pos_margin": 18.40492004, "pos_funding": 0.0, "pos_maint": 0.5634627025,
            "maint_margin": 18.55021004, "maint_margin_req": 0.005, "delev_percentage": 0.1,
            "risk_limit": 500000.0, "risk_limit_level": 2, "auto_deposit": True, "is_open": True,
            "opening_timestamp": 1731916913097 * MS,
        }),
    ],
    "private_futures/position_mark_price": [
        (Position, {
            "timestamp": 1731924562514 * MS, "symbol": "XBTUSDTM", "event": "change",
            "change_reason": "markPriceChange", "settle_currency": "USDT", "mark_price": 91900.5,
            "mark_value": 91.9005, "real_leverage": 4.97, "unrealised_pnl": 0.206,
            "unrealised_pnl_pcnt": 0.0022, "unrealised_roe_pcnt": 0.0112,
            "maint_margin": 18.61092004, "delev_percentage": 0.1,
        }),
    ],
    "private_futures/position_settlement": [
        (Position, {
            "timestamp": 1547697294838004923, "symbol": "XBTUSDTM", "event": "settlement",
            "settle_currency": "XBT", "current_qty": 100.0, "mark_price": 3610.85,
            "funding_time": 1551770400000 * MS, "funding_rate": -0.002966, "funding_fee": -296.0,
        }),
    ],
    "private_futures/position_risk_limit": [
        (Position, {"symbol": "XBTUSDTM", "event": "risk_limit", "risk_limit_level": 1,
                    "success": True}),
    ],
    "private_futures/stop_order": [
        (StopOrder, {
            "timestamp": 1730194206843133000, "symbol": "XBTUSDTM", "type": "open",
            "order_id": "240673378116083712", "side": "buy", "order_type": "stop", "size": 1.0,
            "order_price": 0.1, "stop": "down", "stop_price": 1000.0, "stop_price_type": "TP",
            "margin_mode": "ISOLATED", "created_at": 1730194206837 * MS,
        }),
    ],
    "private_futures/margin_mode": [
        (Leverage, {"symbol": "ETHUSDTM", "margin_mode": "ISOLATED"}),
        (Leverage, {"symbol": "SOLUSDTM", "margin_mode": "CROSS"}),
    ],
    "private_futures/cross_leverage": [
        (Leverage, {"symbol": "ETHUSDTM", "leverage": 8.0}),
    ],
    "private_spot/order_received": [
        (Order, SPOT_ORDER | {"timestamp": 1730206271616000000, "type": "received",
                              "status": "new", "origin_size": 0.00001}),
    ],
    "private_spot/order_match": [
        (Order, SPOT_ORDER | {
            "timestamp": 1730206271616000001, "type": "match", "status": "match",
            "filled_size": 0.00001, "canceled_size": 0.0, "match_price": 71171.9,
            "match_size": 0.00001, "trade_id": "11116472408358913", "liquidity": "taker",
            "fee_type": "takerFee", "origin_funds": 1.0, "remain_funds": 0.3,
            "canceled_funds": 0.0,
        }),
        (Fill, {
            "timestamp": 1730206271616000001, "symbol": "BTC-USDT",
            "order_id": "6720da3fa30a360007f5f832", "client_oid": "5c52e11203aa677f33e493fc",
            "trade_id": "11116472408358913", "side": "buy", "price": 71171.9, "size": 0.00001,
            "liquidity": "taker", "fee_type": "takerFee",
        }),
    ],
    "private_spot/balance": [
        (Balance, {
            "timestamp": 1730269283892 * MS, "market": "spot", "event": "account.balance",
            "currency": "USDT", "total": 21.133773386762, "available": 20.132773386762,
            "hold": 1.001, "available_change": -0.5005, "hold_change": 0.5005,
            "account_id": "548674591753", "relation_event": "trade.hold",
            "relation_event_id": "354689988084000", "relation_symbol": "BTC-USDT",
            "relation_order_id": "6721d0632db25b0007071fdc",
        }),
    ],
    "private_spot/stop_order": [
        (StopOrder, {
            "timestamp": 1742305928091268493, "symbol": "BTC-USDT", "type": "open",
            "order_id": "vs93gpupfa48anof003u85mb", "side": "buy", "order_type": "stop",
            "size": 0.00007142, "order_price": 70000.0, "stop": "loss", "stop_price": 71000.0,
            "trade_type": "TRADE", "created_at": 1742305928064 * MS,
        }),
    ],
    "private_spot/debt_ratio": [
        (Margin, DEBT | {"currency": "BTC", "total": 0.00002, "available": 0.0, "hold": 0.00002,
                         "debt": 0.0}),
        (Margin, DEBT | {"currency": "USDT", "total": 33.68, "available": 15.01, "hold": 18.67,
                         "debt": 10.0}),
    ],
    "private_spot/position_status": [
        (Margin, {"timestamp": 1729912435657 * MS, "event": "position.status",
                  "type": "FROZEN_FL"}),
    ],
    "private_spot/isolated_position": [
        (Margin, ISOLATED | {"currency": "BTC", "total": 0.00043478, "hold": 0.0,
                             "liability_principal": 0.0, "liability_interest": 0.0}),
        (Margin, ISOLATED | {"currency": "USDT", "total": 0.98, "hold": 0.0,
                             "liability_principal": 26.0, "liability_interest": 0.00025644}),
    ],
}  # fmt: skip


def payload(name):
    return (PAYLOADS / f"{name}.json").read_bytes().strip()


def decode(name):
    market = FUTURES if "futures" in name else SPOT
    return Decoder(market).decode(payload(name), LOCAL)


def told(record):
    values = record._asdict()
    assert values.pop("local_timestamp") == LOCAL
    return type(record), {name: value for name, value in values.items() if value is not None}


@pytest.mark.parametrize("name", GOLDEN)
def test_documented_sample_becomes_its_records(name):
    news = decode(name)

    assert isinstance(news, AccountNews), news
    assert [told(record) for record in news.records] == GOLDEN[name]


def test_every_private_payload_has_its_expected_records():
    files = {str(path.relative_to(PAYLOADS).with_suffix("")) for path in
             PAYLOADS.glob("private_*/*.json")}  # fmt: skip

    assert files == set(GOLDEN)


def variation(name, **data):
    message = json.loads(payload(name))
    message["data"].update(data)
    return json.dumps(message, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"side": "long"}, "a side is 'buy' or 'sell'"),
        ({"price": "nan"}, "Expected"),
        ({"size": [1]}, "Expected `float`"),
        ({"ts": -5}, "is no time"),
        ({"type": 7}, "Expected `str`"),
        ({"clientOid": True}, "Expected `str`"),
    ],
)
def test_broken_order_is_told_with_its_topic(data, reason):
    item = Decoder(FUTURES).decode(variation("private_futures/order_open", **data), LOCAL)

    assert isinstance(item, Broken)
    assert reason in item.reason
    assert item.topic == "/contractMarket/tradeOrders:XBTUSDTM"


@pytest.mark.parametrize("zero", ["0", 0, "0.0", ""])
def test_a_price_of_zero_is_none_while_a_size_of_zero_is_zero(zero):
    """A market order and a flat position have no price."""
    order = variation("private_futures/order_open", price=zero, filledSize="0")
    flat = {"avgEntryPrice": zero, "liquidationPrice": zero, "currentQty": 0, "markPrice": "7"}
    position = variation("private_futures/position_change", **flat)
    decoder = Decoder(FUTURES)
    (order,) = decoder.decode(order, LOCAL).records
    (position,) = decoder.decode(position, LOCAL).records

    assert (order.price, order.filled_size) == (None, 0.0)
    assert (position.avg_entry_price, position.liquidation_price) == (None, None)
    assert (position.current_qty, position.mark_price) == (0.0, 7.0)


def test_zero_in_scientific_form_is_zero():
    sample = payload("private_futures/position_change")
    message = sample.replace(b'"posFunding":0,', b'"posFunding":0E-8,')
    assert message != sample

    (row,) = Decoder(FUTURES).decode(message, LOCAL).records

    assert row.pos_funding == 0.0


def test_cross_frame_leaves_the_isolated_columns_null():
    message = json.loads(payload("private_futures/position_change"))
    for name in ("autoDeposit", "riskLimit", "posCross", "maintMargin", "marginMode"):
        del message["data"][name]
    message["data"]["crossMode"] = True

    (row,) = Decoder(FUTURES).decode(json.dumps(message).encode(), LOCAL).records

    assert (row.auto_deposit, row.risk_limit, row.maint_margin) == (None, None, None)
    assert row.margin_mode == "CROSS"
    assert row.current_qty == 1.0


def test_position_that_names_no_symbol_is_broken():
    message = json.loads(payload("private_futures/position_mark_price"))
    message["topic"] = "/contract/positionAll"

    item = Decoder(FUTURES).decode(json.dumps(message).encode(), LOCAL)

    assert isinstance(item, Broken)
    assert "symbol" in item.reason


def test_unknown_subject_of_a_position_brings_no_record():
    message = json.loads(payload("private_futures/position_change")) | {"subject": "position.new"}

    assert Decoder(FUTURES).decode(json.dumps(message).encode(), LOCAL) == AccountNews(())


# -- partial positions -----------------------------------------------------------------------------


def position(**values):
    columns = dict.fromkeys(Position._fields) | {
        "timestamp": 1, "local_timestamp": 2, "symbol": "XBTUSDTM", "event": "change",
        "change_reason": "positionChange",
    }  # fmt: skip
    return Position(**(columns | values))


def moved(**values):
    return position(change_reason="markPriceChange", **values)


def test_partial_frame_keeps_what_it_leaves_out():
    positions = Positions()
    positions.complete(position(current_qty=-3.0, mark_price=10.0, leverage=5.0))

    row, is_blind = positions.complete(moved(timestamp=9, mark_price=11.0))

    assert (row.current_qty, row.leverage, row.mark_price) == (-3.0, 5.0, 11.0)
    assert (row.timestamp, row.change_reason, is_blind) == (9, "markPriceChange", False)


def test_partial_frames_add_up():
    positions = Positions()
    positions.complete(position(current_qty=1.0, mark_price=10.0))
    positions.complete(moved(mark_price=11.0))

    row, _ = positions.complete(moved(unrealised_pnl=4.0))

    assert (row.current_qty, row.mark_price, row.unrealised_pnl) == (1.0, 11.0, 4.0)


def test_partial_frame_before_any_full_one_is_null_and_told_once():
    positions = Positions()

    first = positions.complete(moved(mark_price=11.0))
    second = positions.complete(moved(mark_price=12.0))

    assert (first[0].current_qty, first[1]) == (None, True)
    assert (second[0].current_qty, second[1]) == (None, False)


def test_full_frame_replaces_all():
    positions = Positions()
    positions.complete(position(current_qty=1.0, auto_deposit=True))

    row, _ = positions.complete(position(current_qty=0.0))

    assert (row.current_qty, row.auto_deposit) == (0.0, None)
    assert positions.complete(moved())[0].auto_deposit is None


def test_settlement_neither_takes_nor_gives():
    positions = Positions()
    positions.complete(position(current_qty=1.0, leverage=5.0))

    row, _ = positions.complete(position(event="settlement", current_qty=7.0))

    assert row.leverage is None
    assert positions.complete(moved())[0].current_qty == 1.0


def test_symbols_are_kept_apart():
    positions = Positions()
    positions.complete(position(current_qty=1.0))

    row, is_blind = positions.complete(moved(symbol="ETHUSDTM"))

    assert (row.current_qty, is_blind) == (None, True)


def test_nothing_is_known_any_more_after_an_outage():
    positions = Positions()
    positions.complete(position(current_qty=1.0))
    positions.forget()

    assert positions.complete(moved())[0].current_qty is None


# -- from messages to rows -------------------------------------------------------------------------


def handler(*channels, symbol="XBTUSDTM", market=FUTURES):
    return FeedHandler(Subscription(parse_channel(name), symbol, market) for name in channels)


def take(into, *names, market=FUTURES):
    return into.take([payload(name) for name in names], Decoder(market), LOCAL).rows


def test_blind_partial_frame_is_told_in_the_status_channel_once():
    first = payload("private_futures/position_mark_price")
    moved = json.loads(first)
    moved["data"]["markValue"] += 1.0
    into = handler("position")

    rows = into.take([first, json.dumps(moved).encode()], Decoder(FUTURES), LOCAL).rows

    assert [type(row).__name__ for row in rows] == ["Position", "Status", "Position"]
    assert (rows[1].event, rows[1].channel, rows[1].symbol) == ("partial", "position", "XBTUSDTM")
    assert [row.local_timestamp for row in rows] == [LOCAL, LOCAL + 1, LOCAL + 2]


def test_a_lost_connection_forgets_positions():
    into = handler("position")
    take(into, "private_futures/position_change")
    into.begin_outage([Topic("/contract/positionAll", "")], 1, 1)

    rows = take(into, "private_futures/position_mark_price")

    assert rows[0].current_qty is None
    assert rows[1].event == "partial"


def test_match_gives_an_order_and_a_fill_where_both_are_asked_for():
    name = "private_futures/order_match"

    assert [type(r) for r in take(handler("order", "fill"), name)] == [Order, Fill]
    assert [type(r) for r in take(handler("order"), name)] == [Order]
    assert [type(r) for r in take(handler("fill"), name)] == [Fill]


def test_symbols_not_asked_for_are_left_out_and_a_star_asks_for_all():
    name = "private_futures/order_match"

    assert take(handler("order", symbol="ETHUSDTM"), name) == []
    assert len(take(handler("order", symbol="*"), name)) == 1


def test_balance_belongs_to_no_symbol_and_is_kept_whatever_was_asked_for():
    (row,) = take(handler("balance", symbol="ETHUSDTM"), "private_futures/wallet")

    assert row.symbol is None


def test_repeated_events_are_dropped_and_counted():
    into = handler("order", "fill")
    rows = take(into, *["private_futures/order_match"] * 3)

    assert len(rows) == 2
    assert [tally.duplicates for tally in into.ledger.tallies] == [2, 2]


def test_equal_wallets_of_other_times_are_no_repeats():
    into = handler("balance")
    other = variation("private_futures/wallet", timestamp="1731916996765")

    rows = into.take([payload("private_futures/wallet"), other], Decoder(FUTURES), LOCAL).rows

    assert len(rows) == 2


def test_one_message_of_two_settings_gives_rows_with_their_own_stamps():
    rows = take(handler("leverage", symbol="*"), "private_futures/margin_mode")

    assert [row.local_timestamp for row in rows] == [LOCAL, LOCAL + 1]


def test_broken_private_message_is_laid_to_its_channels():
    into = handler("order", "fill")
    into.take([variation("private_futures/order_open", side="?")], Decoder(FUTURES), LOCAL)

    assert [tally.broken for tally in into.ledger.tallies] == [1, 1]


def test_an_outage_counts_though_no_event_had_come():
    into = handler("order")
    into.end_outage([Topic("/contractMarket/tradeOrders", "")], 1, 2, "disconnected")

    assert len(into.ledger.tallies[0].gaps) == 1
