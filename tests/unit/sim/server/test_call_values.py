import pytest

from kucoin_research.sim.server.call_values import BODY, BadBody, body_values, flag, rows


def test_a_body_becomes_text_and_keeps_the_digits():
    body = b'{"size":1.10,"id":12345678901234567890,"x":1E-7,"on":true,"off":false,"gone":null}'
    assert body_values(body) == {
        "size": "1.10",
        "id": "12345678901234567890",
        "x": "1E-7",
        "on": "true",
        "off": "false",
    }
    assert flag(body_values(body), "on")
    assert not flag(body_values(body), "off")
    assert not flag({}, "on")


def test_lists_of_orders_are_read_one_by_one():
    orders = [{"size": "1", "hidden": "false"}, {"size": "0.30"}]
    assert (
        rows(body_values(b'{"orderList":[{"size":1,"hidden":false},{"size":0.30}]}'), "orderList")
        == orders
    )
    assert rows(body_values(b'[{"size":1,"hidden":false},{"size":0.30}]'), BODY) == orders
    assert rows({}, BODY) is None
    assert rows({"orderList": "[1, 2]"}, "orderList") is None
    assert rows({"orderList": "{}"}, "orderList") is None


@pytest.mark.parametrize(
    "body", [b"size=1", b'"text"', b"1", b"\xff\xfe", b'{"x":NaN}', b"{", b"[" * 100_000]
)
def test_other_bodies_are_refused(body):
    with pytest.raises(BadBody):
        body_values(body)


def test_an_empty_body_has_no_values():
    assert body_values(b"") == body_values(b" \n") == {}
