import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kucoin_research.errors import InvalidInput
from kucoin_research.model.instruments import Instrument
from kucoin_research.sessions.files.manifest_values import (
    from_iso,
    instruments_from,
    instruments_to,
    iso,
)


@given(st.integers(-(2**63), 2**63 - 1))
def test_times_come_back_from_text(ns):
    assert from_iso(iso(ns)) == ns


def test_a_text_that_is_no_time_is_refused():
    with pytest.raises(InvalidInput):
        from_iso("yesterday")


def test_instruments_come_back_and_fields_of_newer_versions_are_left():
    instrument = Instrument(
        symbol="XBTUSDTM", market="futures", base="XBT", quote="USDT", settle="USDT",
        tick_size=0.1, lot_size=1.0, maker_fee=0.0002,
    )  # fmt: skip
    listed = json.loads(json.dumps(instruments_to([instrument])))
    listed[0]["novel"] = 1

    assert instruments_from({"instruments": listed}) == {"XBTUSDTM": instrument}
