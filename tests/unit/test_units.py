"""Times of any unit become nanoseconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.errors import InvalidInput, MessageBroken
from kucoin_research.units import LARGEST_NS, refuse_future, to_ns, told_apart

# 2001-09-09 to 2262-04-11: where each unit's numbers stay within its magnitude.
SECONDS = st.integers(10**9, LARGEST_NS // 10**9 - 1)


@given(SECONDS)
def test_the_same_instant_in_every_unit_is_the_same_time(seconds):
    ns = seconds * 10**9

    assert [to_ns(seconds * unit) for unit in (1, 10**3, 10**6, 10**9)] == [ns] * 4


@given(st.integers(10**17, LARGEST_NS))
def test_nanoseconds_are_kept_exactly(value):
    assert to_ns(value) == value


@given(st.integers(0, LARGEST_NS))
def test_every_value_gives_a_time_within_range_or_is_refused(value):
    try:
        ns = to_ns(value)
    except MessageBroken:
        assert value < 10**17
    else:
        assert 0 <= ns <= LARGEST_NS


@pytest.mark.parametrize(
    ("value", "ns"),
    [
        (0, 0),
        (1_729_260_030, 1_729_260_030_000_000_000),
        (1_729_260_030_774, 1_729_260_030_774_000_000),
        (1_790_113_097_236_506, 1_790_113_097_236_506_000),
        (1_729_163_001_780_000_001, 1_729_163_001_780_000_001),
        (10**11, 10**17),
        (10**14, 10**17),
        (10**17, 10**17),
        (LARGEST_NS, LARGEST_NS),
    ],
)
def test_magnitude_tells_the_unit(value, ns):
    assert to_ns(value) == ns


@pytest.mark.parametrize("value", [-1, 2**63, 10**11 - 1, 10**14 - 1, 10**17 - 1, 10**30])
def test_a_time_outside_64_bits_of_nanoseconds_is_refused(value):
    with pytest.raises(MessageBroken, match=str(value)):
        to_ns(value)


@given(st.lists(st.integers(0, 10**18), min_size=1, max_size=3), st.integers(0, 10**9))
def test_times_are_told_apart_in_order_by_as_few_decimals_as_it_takes(times, more):
    times = sorted({*times, times[0] + more})
    texts = told_apart(*times)

    assert texts == sorted(set(texts))
    assert len({len(text) for text in texts}) == 1
    if len({each // 10**9 for each in times}) == len(times):
        assert "." not in texts[0]


def test_a_future_of_less_than_a_second_is_told_from_the_present():
    with pytest.raises(InvalidInput, match=r"start=.* 22:13:20.294 lies .* it is .* 22:13:20.260"):
        refuse_future(1_700_000_000_294_000_000, 1_700_000_000_260_000_000)
