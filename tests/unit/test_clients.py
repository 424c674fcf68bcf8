"""The harness of other people's clients, and the table that it has written."""

from tests.clients import harness
from tests.clients.harness import CLIENTS, KNOWN, Row, read_table, table, written

SDK = CLIENTS[0]
KUCOIN_2021 = next(each for each in CLIENTS if each.package == "python-kucoin")
CALL, WHY = next(iter(KNOWN[KUCOIN_2021.name].items()))


def test_the_table_is_that_of_the_clients():
    text = harness.PAGE.read_text(encoding="utf-8")

    assert read_table(text) == [(each.name, each.version) for each in CLIENTS]


def test_every_client_has_a_program_and_pins():
    assert [each.name for each in CLIENTS if not (harness.PROGRAMS / each.program).is_file()] == []
    assert [each.name for each in CLIENTS if not each.pins.is_file()] == []
    assert set(KNOWN) <= {each.name for each in CLIENTS}


def test_a_row_says_what_failed_and_why():
    row = Row(SDK, {"time": "", "book": "Oops: no | book", "trades": "Oops: no | book"})

    *_, line = table([row]).splitlines()
    assert line.endswith("| 3 | 1 | book, trades: Oops: no / book |")
    assert set(row.unexpected) == {"book", "trades"}


def test_a_failure_that_is_known_is_expected_and_has_its_reason():
    row = Row(KUCOIN_2021, {CALL: "Exception: 400008", "time": ""})

    assert row.unexpected == {}
    assert f"{CALL}: {WHY}" in table([row])


def test_a_known_failure_that_passes_is_unexpected():
    assert Row(KUCOIN_2021, {CALL: ""}).unexpected == {CALL: ""}


def test_the_table_takes_the_place_of_the_one_before():
    page = f"before\n{harness.BEGIN}old\n{harness.END}\nafter\n"

    assert written(page, "new\n") == f"before\n{harness.BEGIN}new\n{harness.END}\nafter\n"
