"""The bytes of a frame, as servers send it (RFC 6455, 5.2)."""

import pytest

from kucoin_research.sim.server.wire_frames import text_frame


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_text_frames_have_the_header_of_their_size(size):
    frame = text_frame(b"x" * size)

    assert frame[0] == 0x81
    assert frame.endswith(b"x" * size)
    assert len(frame) - size == (2 if size < 126 else 4 if size < 65_536 else 10)
