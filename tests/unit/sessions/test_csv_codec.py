import io
import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_research.model.records import (
    CHANNELS,
    Balance,
    Depth50,
    Ticker,
    Trade,
    columns_of,
    schema_of,
)
from kucoin_research.sessions import csv_codec
from kucoin_research.sessions.csv_codec import encode, header_of, read_rows
from kucoin_research.sessions.csv_lines import LONGEST_RECORD, chunks, shape_of, whole
from kucoin_research.sessions.damaged_csv import pieces, readable, unreadable
from tests.unit.rows import NOON, TEXTS, plain, records, shown, ticker


def back(record, lines):
    return read_rows(record, header_of(record) + lines)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("few", [True, False], ids=["by column", "by polars"])
def test_records_come_back_from_csv_to_the_bit(channel, few, monkeypatch):
    monkeypatch.setattr(csv_codec, "_POLARS_ROWS", 10**6 if few else 1)
    monkeypatch.setattr(csv_codec, "_POLARS_ROWS_OF_LISTS", 10**6 if few else 1)

    @settings(max_examples=25, deadline=None)
    @given(records(channel))
    def check(rows):
        encoded = encode(CHANNELS[channel], rows)
        frame = back(CHANNELS[channel], encoded.lines)

        assert encoded.rows == len(rows)
        assert encoded.refused == 0
        assert frame.schema == schema_of(CHANNELS[channel])
        assert plain(frame) == shown(rows)

    check()


def test_a_file_looks_as_documented():
    rows = [
        Trade(NOON, NOON + 1, "XBTUSDTM", 5, "", "buy", 0.1, 1e-7),
        Trade(NOON, NOON + 2, "XBTUSDTM", None, None, None, 80000.0, None),
    ]

    assert (
        header_of(Trade) == b"timestamp,local_timestamp,symbol,sequence,trade_id,side,price,size\n"
    )
    assert encode(Trade, rows).lines.decode().splitlines() == [
        f'{NOON},{NOON + 1},XBTUSDTM,5,"",buy,0.1,1e-7',
        f"{NOON},{NOON + 2},XBTUSDTM,,,,80000.0,",
    ]


def test_a_list_is_its_numbers_with_spaces_and_an_empty_one_differs_from_none():
    row = Depth50(NOON, NOON, "S", 1, (1.5, 2.0), (), None, (3.0,))

    assert encode(Depth50, [row]).lines == f'{NOON},{NOON},S,1,1.5 2.0,"",,3.0\n'.encode()
    assert plain(back(Depth50, encode(Depth50, [row]).lines)) == shown([row])


@pytest.mark.parametrize(
    "wrong",
    [
        {"price": math.nan}, {"price": math.inf}, {"price": "1.0"}, {"price": True},
        {"sequence": 1.5}, {"sequence": 2**63}, {"side": "bid"}, {"symbol": "\ud800"},
        {"symbol": 5},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("count", [3, 200])
def test_a_value_that_does_not_fit_is_refused_and_the_other_rows_stay(wrong, count):
    rows = [ticker(number) for number in range(count)]
    rows[1] = rows[1]._replace(**wrong)

    encoded = encode(Ticker, rows)

    assert (encoded.rows, encoded.refused) == (count - 1, 1)
    assert f"Ticker.{next(iter(wrong))}" in encoded.reason
    assert plain(back(Ticker, encoded.lines)) == shown(rows[:1] + rows[2:])


@pytest.mark.parametrize("bad", [(1.0, math.nan), (1.0, None), (math.inf, -math.inf)])
@pytest.mark.parametrize("count", [1, 40])
def test_a_list_with_a_number_that_is_none_is_refused(bad, count):
    rows = [Depth50(NOON, NOON + n, "S", 1, (1e308, 1e308), (1.0,), (), ()) for n in range(count)]

    encoded = encode(Depth50, [*rows, rows[0]._replace(ask_sizes=bad)])

    assert (encoded.rows, encoded.refused) == (count, 1)


def test_both_ways_of_formatting_write_the_same_numbers(monkeypatch):
    rows = [ticker(n, price=p) for n, p in enumerate([0.1, 1e-5, 1e-7, 1e22, -0.0, 1e15, 1e17])]
    by_column = encode(Ticker, rows).lines
    monkeypatch.setattr(csv_codec, "_POLARS_ROWS", 1)

    # 1e-5 and 0.00001 are the same number, and both as short as can be.
    assert plain(back(Ticker, encode(Ticker, rows).lines)) == plain(back(Ticker, by_column))


@given(st.lists(TEXTS, min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_whole_finds_the_last_line_end_outside_quotes_wherever_a_file_is_cut(texts):
    rows = [Trade(NOON, NOON + n, "S", n, text, None, 1.0, 1.0) for n, text in enumerate(texts)]
    lines = [header_of(Trade), *(encode(Trade, [row]).lines for row in rows)]
    data = b"".join(lines)
    ends = [sum(map(len, lines[:count])) for count in range(len(lines) + 1)]

    for cut in range(len(data) + 1):
        found = whole(io.BytesIO(data), cut)
        sound = max(end for end in ends if end <= cut)
        assert (found.size, found.records) == (sound, ends.index(sound))
    assert b"".join(chunks(io.BytesIO(data), 5)) == data


def test_shape_counts_fields_and_lines_past_quoted_commas_and_line_breaks():
    shape = shape_of(b'a,b\n"x,\ny",1\nz,2,3\n')

    assert list(shape.fields) == [2, 2, 3]
    assert list(shape.lines) == [1, 2, 4]
    assert list(shape.records(b'a,b\n"x,\ny",1\nz,2,3\n')) == [b"a,b", b'"x,\ny",1', b"z,2,3"]


def test_columns_that_a_file_lacks_are_null_and_unknown_ones_are_left_out():
    text = b"timestamp,local_timestamp,symbol,currency,novel\n1,2,,USDT,x\n"

    frame = read_rows(
        Balance, text, ["timestamp", "local_timestamp", "symbol", "currency", "novel"]
    )

    assert frame.schema == schema_of(Balance)
    assert frame.select(pl.col("currency").cast(pl.String), "total").rows() == [("USDT", None)]


# -- whatever is in a file -------------------------------------------------------------------------


def taken(data, columns, **options):
    found = list(pieces(io.BytesIO(data), columns, **options))
    text = b"".join(piece.text for piece in found)
    lines = [int(line) for piece in found for line in piece.lines]
    return text, lines, [wrong for piece in found for wrong in piece.wrong]


LINE = st.sampled_from([b"1,2", b"3,4", b'5,"6,7"', b'8,"9\n,"', b"1", b"", b"1,2,3"])
SOUND = {b"1,2", b"3,4", b'5,"6,7"', b'8,"9\n,"'}


@settings(deadline=None)
@given(st.lists(LINE, max_size=12), st.integers(1, 20))
def test_pieces_are_the_records_and_name_the_lines_between_them(lines, most):
    data = b"".join(line + b"\n" for line in lines)

    text, numbers, wrong = taken(data, 2, most=most)

    assert text == b"".join(line + b"\n" for line in lines if line in SOUND)
    starts = [
        1 + b"".join(each + b"\n" for each in lines[:at]).count(b"\n") for at in range(len(lines))
    ]
    assert numbers == [at for at, line in zip(starts, lines, strict=True) if line in SOUND]
    assert [each.line for each in wrong] == [
        at for at, line in zip(starts, lines, strict=True) if line not in SOUND
    ]


@settings(deadline=None)
@given(st.integers(0, 39), st.sampled_from([b"", b',"x,\ny"']), st.integers(1, 200))
def test_a_stray_quote_costs_its_line_and_no_other(at, text, most):
    rows = [b"%d,b%s\n" % (10 + number, text) for number in range(40)]
    columns = 3 if text else 2
    spoiled = [*rows[:at], b'"' + rows[at][1:], *rows[at + 1 :]]

    found, _, wrong = taken(b"".join(spoiled), columns, most=most)

    assert b"".join(rows[:at] + rows[at + 1 :]) == found
    assert wrong


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text('1,"\n', max_size=60).map(str.encode), st.integers(1, 50))
def test_pieces_end_on_any_bytes_and_give_records_only(data, most):
    text, lines, _ = taken(data, 2, most=most)

    assert data.count(b"\n") >= len(lines)
    shape = shape_of(text)
    assert all(count == 2 for count in shape.fields)
    assert len(shape.offsets) == len(lines)


def test_pieces_are_bounded_whatever_a_quote_makes_one_record():
    rows = b"1234567,89\n" * 100_000
    middle = len(rows) // 2
    spoiled = rows[:middle] + b'"' + rows[middle + 1 :]

    class Watched(io.BytesIO):
        most = 0

        def read(self, size=-1):
            self.most = max(self.most, size)
            return super().read(size)

    file = Watched(spoiled)
    found = list(pieces(file, 2, most=1 << 16))

    assert sum(len(piece.lines) for piece in found) == 99_999
    assert max(len(piece.text) for piece in found) <= 2 * LONGEST_RECORD
    assert file.most <= 2 * LONGEST_RECORD


@pytest.mark.parametrize("channel", ["ticker", "trade"])
def test_what_can_be_read_of_a_damaged_file_is_given(channel):
    record = CHANNELS[channel]
    row = ticker(0) if channel == "ticker" else Trade(1, 2, "X", 3, "4", "buy", 5.0, 6.0)
    line = encode(record, [row]).lines
    bad = line.replace(b".", b"?", 1)

    given = b"".join(readable(record, io.BytesIO(line * 5 + bad + line * 3 + bad + line), most=200))

    assert given == line * 9


CELLS = st.sampled_from(
    [b"", b'""', b"1", b"+1", b" 1", b"1 ", b" ", b"\t", b"1.5", b"1e999", b"nan", b"x", b"9" * 30,
     b"true", b"True", b"1 2", b"1  2", b"1 x", b"buy", b"Buy", b"\xff", b'"a,b"', b'"\n"', b"\x00"]
)  # fmt: skip


@settings(deadline=None)
@given(
    st.sampled_from(["trade", "depth5", "status", "level2"]),
    st.lists(st.lists(st.tuples(st.integers(0, 5), CELLS), max_size=2), min_size=1, max_size=4),
)
def test_the_records_that_cannot_be_read_are_those_that_cannot_by_themselves(channel, given):
    record = CHANNELS[channel]
    rows = []
    for cells in given:
        row = [b""] * len(columns_of(record))
        for place, cell in cells:
            row[place] = cell
        rows.append(b",".join(row))

    alone = [
        at for at, row in enumerate(rows) if not list(readable(record, io.BytesIO(row + b"\n")))
    ]

    assert sorted(unreadable(record, b"".join(row + b"\n" for row in rows))) == alone


def test_lines_that_all_have_a_stray_quote_are_taken_by_themselves():
    data = b'1,2,"\n' * 3_000 + b"3,4\n" * 5

    found = list(pieces(io.BytesIO(data), 2))

    assert b"".join(piece.text for piece in found) == b"3,4\n" * 5
    assert sum(piece.wrongs for piece in found) == 3_000


def test_a_line_that_is_too_long_is_told_and_those_behind_it_are_read():
    data = b"1,2\n" + b"x" * (5 << 20) + b"\n3,4\n"

    found = list(pieces(io.BytesIO(data), 2))

    assert b"".join(piece.text for piece in found) == b"1,2\n3,4\n"
    (wrong,) = (wrong for piece in found for wrong in piece.wrong)
    assert (wrong.line, wrong.is_too_long) == (2, True)
    assert [int(line) for piece in found for line in piece.lines] == [1, 3]
