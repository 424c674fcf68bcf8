"""Every private WebSocket call of KuCoin's own SDK, beside our streams of the same account."""

import polars as pl
import pytest

from tests.interop.compare import MS, rows_of, same
from tests.interop.conftest import CONTRACT, PAIR

CLIENT = "universal-sdk"


def camel(name):
    first, *others = name.split("_")
    return first + "".join(word.title() for word in others)


def to_ns(value):
    """Read a time in ms or ns; this exchange lives in the 2020s."""
    time = int(value)
    return time if time > 10**17 else time * MS


def read(value, dtype):
    if value is None or value == "":
        return None
    if isinstance(dtype, pl.Datetime):
        return to_ns(value)
    if dtype.is_float():
        return float(value)
    if dtype.is_integer():
        return int(value)
    return value


def row_of(data, schema, **given):
    """Every column of ours that they have a field for, by its name in camelCase."""
    known = {name: data[camel(name)] for name in schema if camel(name) in data} | given
    row = {name: read(value, schema[name]) for name, value in known.items()}
    # A price of 0 is none, here: of a market order, or of a flat position.
    return {n: None if n.endswith("price") and not value else value for n, value in row.items()}


def agree_on_events(theirs, ours, *keys, is_partial=False):
    """Find each of their rows among ours of the same key, equal in every field.

    Events may share a key, so one of ours must agree in full. Where `is_partial`, what they lack
    says nothing: our client fills it from the frame before.
    """
    found = {}
    for row in rows_of(ours):
        found.setdefault(tuple(row[key] for key in keys), []).append(row)
    for row in theirs:
        candidates = found.get(tuple(row[key] for key in keys), [])
        told = {n: v for n, v in row.items() if v is not None} if is_partial else row
        wrong = [
            {n: (v, known[n]) for n, v in told.items() if not same(v, known[n])}
            for known in candidates
        ]
        assert any(not each for each in wrong), f"of {row} they have, and we have: {wrong}"
    return len(theirs)


def orders(lines, frames, lacking=()):
    schema = frames["order"].schema
    rows = [row_of(line["data"], schema, timestamp=line["data"]["ts"]) for line in lines]
    assert {row["type"] for row in rows} >= {"open", "match", "filled", "canceled"}
    assert {row[name] for row in rows for name in lacking} <= {None}
    theirs = [{n: v for n, v in row.items() if n not in lacking} for row in rows]
    return agree_on_events(theirs, frames["order"], "symbol", "order_id", "timestamp", "type")


def orders_v1(lines, frames):
    return orders(lines, frames, lacking=("origin_size", "canceled_size"))


def stop_orders(lines, frames):
    schema = frames["stop_order"].schema
    rows = [row_of(line["data"], schema, timestamp=line["data"]["ts"]) for line in lines]
    return agree_on_events(rows, frames["stop_order"], "symbol", "order_id", "timestamp", "type")


def position(line, schema):
    d = line["data"]
    if line["subject"] == "position.settlement":
        given = {"event": "settlement", "timestamp": d["ts"], "current_qty": d["qty"]}
    else:
        assert line["subject"] == "position.change"
        given = {"event": "change", "timestamp": d["currentTimestamp"]}
    return row_of(d, schema, **given)


def positions(lines, frames):
    rows = [position(line, frames["position"].schema) for line in lines]
    assert any(row.get("current_qty") for row in rows)
    return agree_on_events(
        rows, frames["position"], "symbol", "timestamp", "event", is_partial=True
    )


def futures_balance(lines, frames):
    rows = [
        row_of(
            d, frames["balance"].schema, market="futures", event=line["subject"],
            total=d["walletBalance"], available=d["availableBalance"], hold=d["holdBalance"],
        )
        for line in lines
        for d in [line["data"]]
    ]  # fmt: skip
    return agree_on_events(rows, frames["balance"], "currency", "timestamp")


def spot_balance(lines, frames):
    rows = [
        row_of(
            d, frames["balance"].schema, market="spot", event=line["subject"],
            timestamp=d["time"],
            relation_symbol=(d["relationContext"] or {}).get("symbol"),
            relation_order_id=(d["relationContext"] or {}).get("orderId"),
        )
        for line in lines
        for d in [line["data"]]
    ]  # fmt: skip
    return agree_on_events(rows, frames["balance"], "currency", "timestamp")


def of_the_contract(compare):
    def narrowed(lines, frames):
        assert {line["data"]["symbol"] for line in lines} == {CONTRACT}
        return compare(lines, frames)

    return narrowed


CALLS = {
    "futures_private.all_order": orders,
    "futures_private.order": of_the_contract(orders),
    "futures_private.all_position": positions,
    "futures_private.position": of_the_contract(positions),
    "futures_private.balance": futures_balance,
    "futures_private.stop_orders": stop_orders,
    "spot_private.order_v1": orders_v1,
    "spot_private.order_v2": orders,
    "spot_private.account": spot_balance,
    "spot_private.stop_order": stop_orders,
}
# The trader changes no setting and borrows nothing; the exchange has no call for it either.
ACKNOWLEDGED = (
    "futures_private.cross_leverage",
    "futures_private.margin_mode",
    "margin_private.cross_margin_position",
    "margin_private.isolated_margin_position",
)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("client", [CLIENT])
def test_events_are_ours_field_by_field(client, call, private, row):
    lines = private.sdk.get(call, [])
    frames = private.futures if call.startswith("futures") else private.spot

    assert call not in private.sdk.get("late", [{"data": {}}])[0]["data"]
    row(CALLS[call](lines, frames))


@pytest.mark.parametrize("call", ACKNOWLEDGED)
@pytest.mark.parametrize("client", [CLIENT])
def test_topics_without_news_are_acknowledged(client, call, private, row):
    assert call not in private.sdk

    row(sum(line["data"] == call for line in private.sdk["acked"]), "acknowledged, then silent")


def test_the_sdk_complains_of_nothing_private_but_what_it_cannot_read(private):
    # KuCoin documents the type "triggered" for stop orders; the SDK's own list of types lacks it.
    known = [
        text
        for text in private.sdk["events"][0]["data"]
        if "StopOrderEvent" in text and "input_value='triggered'" in text
    ]

    assert private.sdk["events"][0]["data"] == known
    assert "late" not in private.sdk


def test_every_private_call_of_the_sdk_is_in_the_table(private):
    lifecycle = {
        f"{market}_private.{name}"
        for market in ("futures", "spot", "margin")
        for name in ("start", "stop", "unsubscribe")
    }

    assert set(private.sdk["offered"][0]["data"]) == {*CALLS, *ACKNOWLEDGED} | lifecycle


def test_our_own_streams_broke_no_message(private):
    for report in private.reports:
        for entry in report.channels:
            assert entry.broken == 0, entry
    assert PAIR in set(private.spot["order"]["symbol"])
