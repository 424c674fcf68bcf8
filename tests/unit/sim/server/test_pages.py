from decimal import Decimal

import pytest

from kucoin_research.sim import OrderRefused
from kucoin_research.sim.server.pages import (
    amount,
    between,
    last_rows,
    numbered_page,
    optional_amount,
)

ROWS = list(range(100, 0, -1))  # newest first; each is its own time in ms


def page(**values):
    return numbered_page(values, ROWS, lambda row: {"row": row})


def test_pages_together_are_all_rows():
    pages = [page(currentPage=str(number), pageSize="30") for number in (1, 2, 3, 4, 5)]
    assert [row["row"] for each in pages for row in each["items"]] == ROWS
    assert {(each["totalNum"], each["totalPage"], each["pageSize"]) for each in pages} == {
        (100, 4, 30)
    }
    assert [len(each["items"]) for each in pages] == [30, 30, 30, 10, 0]


@pytest.mark.parametrize(("size", "rows"), [("", 50), ("0", 50), ("x", 50), ("1000", 100)])
def test_the_size_of_a_page_has_bounds(size, rows):
    assert len(page(pageSize=size)["items"]) == rows


def test_rows_are_chosen_by_time():
    def time_ns(row):
        return row * 1_000_000

    assert between({"startAt": "98"}, ROWS, time_ns) == [100, 99, 98]
    assert between({"endAt": "2"}, ROWS, time_ns) == [2, 1]
    assert between({"startAt": "4", "endAt": "5"}, ROWS, time_ns) == [5, 4]
    assert between({"startAt": "0", "endAt": ""}, ROWS, time_ns) == ROWS


def test_rows_go_on_from_the_last_one():
    def row_id(row):
        return row

    first = last_rows({"limit": "40"}, ROWS, row_id)
    assert first == ROWS[:40]
    assert last_rows({"limit": "40", "lastId": str(first[-1])}, ROWS, row_id) == ROWS[40:80]
    assert len(last_rows({}, ROWS, row_id)) == 20
    assert len(last_rows({"limit": "1000"}, ROWS, row_id)) == 100


def test_amounts_are_exact_and_refused_by_name():
    assert amount({"size": "0.10"}, "size", "1") == Decimal("0.10")
    assert optional_amount({}, "size", "1") is None
    for text in ("x", "NaN", "Infinity", "1e99999999", "1e-99999999"):
        with pytest.raises(OrderRefused, match="size") as refused:
            amount({"size": text}, "size", "100001")
        assert refused.value.code == "100001"
    with pytest.raises(OrderRefused, match="size is missing"):
        amount({}, "size", "100001")
