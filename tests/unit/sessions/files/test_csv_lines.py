import io

from hypothesis import given, settings
from hypothesis import strategies as st

from kucoin_research.model.records import Trade
from kucoin_research.sessions.files.csv_codec import encode, header_of
from kucoin_research.sessions.files.csv_lines import chunks, shape_of, whole
from tests.unit.rows import NOON, TEXTS


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
