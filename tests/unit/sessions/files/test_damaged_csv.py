import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_research.model.records import CHANNELS, Trade, columns_of
from kucoin_research.sessions.files.csv_codec import encode
from kucoin_research.sessions.files.csv_lines import LONGEST_RECORD, shape_of
from kucoin_research.sessions.files.damaged_csv import pieces, readable, unreadable
from tests.unit.rows import ticker


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
