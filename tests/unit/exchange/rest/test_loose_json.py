"""JSON is taken apart as a decoder takes it apart, also where a decoder gives up."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.exchange.rest.loose_json import UNREADABLE, elements, members, read_fields

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
spaces = st.sampled_from([None, 0, 3])


@given(st.lists(values, max_size=5), spaces, st.booleans())
def test_a_list_is_taken_apart_into_its_elements(content, indent, is_ascii):
    raw = json.dumps(content, indent=indent, ensure_ascii=is_ascii).encode()

    assert [json.loads(piece) for piece in elements(raw)] == content


@given(st.dictionaries(texts, values, max_size=5), spaces, st.booleans())
def test_an_object_is_taken_apart_into_its_members(content, indent, is_ascii):
    raw = json.dumps(content, indent=indent, ensure_ascii=is_ascii).encode()

    assert {name: json.loads(piece) for name, piece in members(raw).items()} == content


@given(st.dictionaries(texts, values, min_size=1, max_size=5), st.data())
def test_what_is_cut_short_is_refused(content, data):
    raw = json.dumps(content).encode()
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]

    with pytest.raises(ValueError):  # noqa: PT011
        members(cut)


@pytest.mark.parametrize(
    "raw", [b"", b"1", b"{}", b"[1,]", b"[,1]", b"[1] 2", b"[1", b'["a', b"]", b"[1]]", b"null"]
)
def test_what_is_no_list_is_refused(raw):
    with pytest.raises(ValueError):  # noqa: PT011
        elements(raw)


@pytest.mark.parametrize("raw", [b"[]", b"{1}", b'{"a"}', b'{"a":}', b'{"a" 1 2}', b'{"a":1,}'])
def test_what_is_no_object_is_refused(raw):
    with pytest.raises(ValueError):  # noqa: PT011
        members(raw)


class Row(msgspec.Struct, rename="camel"):
    first_name: str
    how_many: int | None = None
    rest: msgspec.Raw = msgspec.Raw(b"null")


def test_a_field_that_is_odd_has_its_default_and_is_named():
    deep = b"[" * 5_000 + b"]" * 5_000

    row, odd = read_fields(b'{"firstName": "a", "howMany": 1e999, "rest": %s}' % deep, Row)

    assert (row.first_name, row.how_many, bytes(row.rest), odd) == ("a", None, deep, ["howMany"])


@pytest.mark.parametrize("raw", [b'{"howMany": "x"}', b'{"firstName": 1e999}', b"[]", b"-"])
def test_a_field_that_is_needed_is_insisted_on(raw):
    with pytest.raises(UNREADABLE):
        read_fields(raw, Row)


def test_quotes_that_never_end_are_read_once():
    raw = b'{"a": "' + b'\\"' * 1_000_000

    with pytest.raises(ValueError, match="cut short"):
        members(raw)
