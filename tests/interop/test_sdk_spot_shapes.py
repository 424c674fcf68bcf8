"""The signed spot calls have every field of the samples that KuCoin's own SDK is tested with.

The samples are read from the SDK where it is installed; none of them is kept here.
"""

import json
import re
from functools import cache

import pytest

from tests.unit.sim.calls import let_pass, still_exchange

PACKAGE = "lib/python*/site-packages/kucoin_universal_sdk/generate"
PAIR = {"symbol": "BTC-USDT"}
LIMIT = PAIR | {"side": "buy", "type": "limit", "price": "80000", "size": "0.001"}
FAST, CLASSIC, OLD = "/api/v1/hf/orders", "/api/v1/orders", "/api/v1/order/client-order"
STOPS, OCO = "/api/v1/stop-order", "/api/v3/oco"
MOVE = {"currency": "USDT", "amount": "1", "clientOid": "a move"}
OCO_ORDER = LIMIT | {"stopPrice": "90000", "limitPrice": "90100"}
TRANSFER = MOVE | {
    "type": "INTERNAL", "fromAccountType": "TRADE", "toAccountType": "MARGIN", "clientOid": "b",
}  # fmt: skip


@pytest.fixture(scope="module")
def samples(python):
    """Find a sample reply by the file and the name of the SDK's test of it."""
    # Not resolved: the interpreter itself is a link that leads out of the environment.
    [root] = python.parent.parent.glob(PACKAGE)

    @cache
    def text(path):
        return (root / path).read_text()

    def sample(path, name):
        found = re.search(rf'def test_{name}\(self\):.*?data = (["\'])(.*?)\1\n', text(path), re.S)
        assert found, f"the SDK has no test {name}"
        return json.loads(
            json.loads(f'"{found[2]}"', strict=False) if found[1] == '"' else found[2]
        )

    return sample


@pytest.fixture(scope="module")
def desk():
    """An account that has one of everything: orders and stops in every state, fills, transfers."""
    with still_exchange() as (exchange, caller):
        for number, price in enumerate(("80000", "80000", "85100")):
            caller.post(FAST, **LIMIT | {"price": price, "clientOid": f"order-{number}"})
        stop = caller.post(STOPS, **LIMIT, stopPrice="82000", clientOid="stop-1")["orderId"]
        pair = caller.post(f"{OCO}/order", **OCO_ORDER, clientOid="pair-1")["orderId"]
        caller.post("/api/v3/accounts/universal-transfer", **TRANSFER)
        exchange.demo_account.borrow("USDT", 5, symbol="BTC-USDT")
        caller.post(f"{FAST}/dead-cancel-all", timeout=5000)
        let_pass(exchange, 1)
        ids = {
            "open": caller.get(f"{FAST}/client-order/order-0", **PAIR)["id"],
            "stop": stop,
            "pair": pair,
            "account": caller.get("/api/v1/accounts")[0]["id"],
        }
        yield caller, ids


def shape(value):
    """The names of all fields, at every depth; lists have the fields of their first row."""
    if isinstance(value, dict):
        return {name: shape(found) for name, found in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value and isinstance(value[0], dict | list) else []
    return None


def lacking(wanted, found, path="data"):
    """The fields of a shape that another one has not."""
    if isinstance(wanted, dict):
        if not isinstance(found, dict):
            return [path]
        return [
            each
            for name, inner in wanted.items()
            for each in (
                lacking(inner, found[name], f"{path}.{name}")
                if name in found
                else [f"{path}.{name}"]
            )
        ]
    if isinstance(wanted, list) and wanted:
        return lacking(wanted[0], found[0], f"{path}[]") if found else [f"{path}[]"]
    return []


ORDERS = "spot/order/api_order_test.py"
ACCOUNT, MOVES = "account/account/api_account_test.py", "account/transfer/api_transfer_test.py"
FEES = "account/fee/api_fee_test.py"
READS = [
    (ORDERS, "get_order_by_order_id_resp_model", f"{FAST}/{{open}}", PAIR),
    (ORDERS, "get_order_by_client_oid_resp_model", f"{FAST}/client-order/order-0", PAIR),
    (ORDERS, "get_symbols_with_open_order_resp_model", f"{FAST}/active/symbols", {}),
    (ORDERS, "get_open_orders_resp_model", f"{FAST}/active", PAIR),
    (ORDERS, "get_open_orders_by_page_resp_model", f"{FAST}/active/page", PAIR),
    (ORDERS, "get_closed_orders_resp_model", f"{FAST}/done", PAIR),
    (ORDERS, "get_trade_history_resp_model", "/api/v1/hf/fills", PAIR),
    (ORDERS, "get_dcp_resp_model", f"{FAST}/dead-cancel-all/query", {}),
    (ORDERS, "get_stop_orders_list_resp_model", STOPS, {}),
    (ORDERS, "get_stop_order_by_order_id_resp_model", f"{STOPS}/{{stop}}", {}),
    (
        ORDERS,
        "get_stop_order_by_client_oid_resp_model",
        f"{STOPS}/queryOrderByClientOid",
        {"clientOid": "stop-1"},
    ),
    (ORDERS, "get_oco_order_by_order_id_resp_model", f"{OCO}/order/{{pair}}", {}),
    (ORDERS, "get_oco_order_by_client_oid_resp_model", f"{OCO}/client-order/pair-1", {}),
    (ORDERS, "get_oco_order_detail_by_order_id_resp_model", f"{OCO}/order/details/{{pair}}", {}),
    (ORDERS, "get_oco_order_list_resp_model", f"{OCO}/orders", {}),
    (ORDERS, "get_orders_list_old_resp_model", CLASSIC, {}),
    (ORDERS, "get_recent_orders_list_old_resp_model", "/api/v1/limit/orders", {}),
    (ORDERS, "get_order_by_order_id_old_resp_model", f"{CLASSIC}/{{open}}", {}),
    (ORDERS, "get_order_by_client_oid_old_resp_model", f"{OLD}/order-0", {}),
    (ORDERS, "get_trade_history_old_resp_model", "/api/v1/fills", {}),
    (ORDERS, "get_recent_trade_history_old_resp_model", "/api/v1/limit/fills", {}),
    (ACCOUNT, "get_spot_account_list_resp_model", "/api/v1/accounts", {}),
    (ACCOUNT, "get_spot_account_detail_resp_model", "/api/v1/accounts/{account}", {}),
    (ACCOUNT, "get_cross_margin_account_resp_model", "/api/v3/margin/accounts", {}),
    (ACCOUNT, "get_isolated_margin_account_resp_model", "/api/v3/isolated/accounts", {}),
    (ACCOUNT, "get_spot_ledger_resp_model", "/api/v1/accounts/ledgers", {}),
    (ACCOUNT, "get_spot_hf_ledger_resp_model", "/api/v1/hf/accounts/ledgers", {}),
    (ACCOUNT, "get_margin_hf_ledger_resp_model", "/api/v3/hf/margin/account/ledgers", {}),
    (ACCOUNT, "get_margin_account_detail_resp_model", "/api/v1/margin/account", {}),
    (ACCOUNT, "get_isolated_margin_account_list_v1_resp_model", "/api/v1/isolated/accounts", {}),
    (
        ACCOUNT,
        "get_isolated_margin_account_detail_v1_resp_model",
        "/api/v1/isolated/account/BTC-USDT",
        {},
    ),
    (
        MOVES,
        "get_transfer_quotas_resp_model",
        "/api/v1/accounts/transferable",
        {"currency": "USDT", "type": "TRADE"},
    ),
    (FEES, "get_basic_fee_resp_model", "/api/v1/base-fee", {}),
    (FEES, "get_spot_actual_fee_resp_model", "/api/v1/trade-fees", {"symbols": "BTC-USDT"}),
]


@pytest.mark.parametrize(("path", "name", "call", "values"), READS, ids=[one[1] for one in READS])
def test_reads_have_every_field_of_the_samples(desk, samples, path, name, call, values):
    caller, ids = desk

    found = caller.get(call.format(**ids), **values)

    assert lacking(shape(samples(path, name)["data"]), shape(found)) == []


# The last part names what is placed first, if anything: the call is about that.
WRITES = [
    ("add_order_resp_model", "POST", FAST, LIMIT, None),
    ("add_order_sync_resp_model", "POST", f"{FAST}/sync", LIMIT, None),
    ("add_order_test_resp_model", "POST", f"{FAST}/test", LIMIT, None),
    ("batch_add_orders_resp_model", "POST", f"{FAST}/multi", {"orderList": [LIMIT]}, None),
    (
        "batch_add_orders_sync_resp_model",
        "POST",
        f"{FAST}/multi/sync",
        {"orderList": [LIMIT]},
        None,
    ),
    ("cancel_order_by_order_id_resp_model", "DELETE", f"{FAST}/{{orderId}}", PAIR, FAST),
    ("cancel_order_by_order_id_sync_resp_model", "DELETE", f"{FAST}/sync/{{orderId}}", PAIR, FAST),
    (
        "cancel_order_by_client_oid_resp_model",
        "DELETE",
        f"{FAST}/client-order/{{orderId}}",
        PAIR,
        FAST,
    ),
    (
        "cancel_order_by_client_oid_sync_resp_model",
        "DELETE",
        f"{FAST}/sync/client-order/{{orderId}}",
        PAIR,
        FAST,
    ),
    (
        "cancel_partial_order_resp_model",
        "DELETE",
        f"{FAST}/cancel/{{orderId}}",
        PAIR | {"cancelSize": "0.0005"},
        FAST,
    ),
    ("cancel_all_orders_by_symbol_resp_model", "DELETE", FAST, {"symbol": "ETH-BTC"}, None),
    ("cancel_order_by_order_id_old_resp_model", "DELETE", f"{CLASSIC}/{{orderId}}", {}, CLASSIC),
    ("cancel_order_by_client_oid_old_resp_model", "DELETE", f"{OLD}/{{orderId}}", {}, CLASSIC),
    ("batch_cancel_order_old_resp_model", "DELETE", CLASSIC, {"symbol": "ETH-BTC"}, None),
    ("add_order_old_resp_model", "POST", CLASSIC, LIMIT, None),
    ("add_order_test_old_resp_model", "POST", f"{CLASSIC}/test", LIMIT, None),
    (
        "batch_add_orders_old_resp_model",
        "POST",
        f"{CLASSIC}/multi",
        PAIR | {"orderList": [LIMIT]},
        None,
    ),
    ("add_stop_order_resp_model", "POST", STOPS, LIMIT | {"stopPrice": "82000"}, None),
    ("cancel_stop_order_by_order_id_resp_model", "DELETE", f"{STOPS}/{{orderId}}", {}, STOPS),
    (
        "batch_cancel_stop_order_resp_model",
        "DELETE",
        f"{STOPS}/cancel",
        {"symbol": "ETH-BTC"},
        None,
    ),
    (
        "cancel_stop_order_by_client_oid_resp_model",
        "DELETE",
        f"{STOPS}/cancelOrderByClientOid",
        {"clientOid": "{orderId}"},
        STOPS,
    ),
    ("add_oco_order_resp_model", "POST", f"{OCO}/order", OCO_ORDER, None),
    ("cancel_oco_order_by_order_id_resp_model", "DELETE", f"{OCO}/order/{{orderId}}", {}, OCO),
    ("batch_cancel_oco_orders_resp_model", "DELETE", f"{OCO}/orders", {"symbol": "ETH-BTC"}, None),
    ("modify_order_resp_model", "POST", f"{FAST}/alter", PAIR | {"newPrice": "80001"}, FAST),
    ("set_dcp_resp_model", "POST", f"{FAST}/dead-cancel-all", {"timeout": 5000}, None),
]
FIRST = {
    FAST: (FAST, LIMIT),
    CLASSIC: (CLASSIC, LIMIT),
    STOPS: (STOPS, LIMIT | {"stopPrice": "82000"}),
    OCO: (f"{OCO}/order", OCO_ORDER),
}


@pytest.mark.parametrize(
    ("name", "method", "call", "values", "first"), WRITES, ids=[one[0] for one in WRITES]
)
def test_writes_have_every_field_of_the_samples(desk, samples, name, method, call, values, first):
    caller, _ = desk
    values, made = dict(values), {"orderId": ""}
    if first is not None:
        path, order = FIRST[first]
        made = caller.post(path, **order)
        if first == FAST and "alter" in call:
            values["orderId"] = made["orderId"]
        elif "clientOid" in values:
            values["clientOid"] = made["orderId"]

    found = caller.data(method, call.format(**made), **values)

    assert lacking(shape(samples(ORDERS, name)["data"]), shape(found)) == []


@pytest.mark.parametrize(
    ("name", "path", "values"),
    [
        (
            "flex_transfer_resp_model",
            "/api/v3/accounts/universal-transfer",
            TRANSFER | {"clientOid": "c"},
        ),
        (
            "inner_transfer_resp_model",
            "/api/v2/accounts/inner-transfer",
            MOVE | {"from": "trade", "to": "main"},
        ),
    ],
)
def test_transfers_have_every_field_of_the_samples(desk, samples, name, path, values):
    caller, _ = desk

    assert caller.post(path, **values).keys() >= samples(MOVES, name)["data"].keys()
