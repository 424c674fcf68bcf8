"""The bytes of a frame, as servers send it (RFC 6455, 5.2)."""

from decimal import Decimal

import pytest

from kucoin_research.sim.server.wire_frames import json_bytes, text_frame


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_text_frames_have_the_header_of_their_size(size):
    frame = text_frame(b"x" * size)

    assert frame[0] == 0x81
    assert frame.endswith(b"x" * size)
    assert len(frame) - size == (2 if size < 126 else 4 if size < 65_536 else 10)


def test_a_decimal_is_a_number_with_all_its_digits():
    message = {"a": [Decimal("9998.855103211724000"), Decimal("1E-12")], "b": {"é": Decimal(0)}}

    assert json_bytes(message).decode() == '{"a":[9998.855103211724,0.000000000001],"b":{"é":0}}'


def test_what_is_no_json_is_an_error():
    with pytest.raises(TypeError):
        json_bytes({"a": [Decimal(1), object()]})
