"""FrameReader: what it returns, what it refuses, and that pieces do not matter.

Frames are built by hand from RFC 6455, section 5.2 (https://www.rfc-editor.org/rfc/rfc6455).
"""

from __future__ import annotations

import time

import pytest
import websocket
from hypothesis import example, given
from hypothesis import strategies as st

from kucoin_research.errors import ProtocolViolation
from kucoin_research.exchange.websocket.wire import (
    NO_STATUS,
    PING,
    PONG,
    Close,
    ControlFrame,
    FrameReader,
)

CONTINUATION, TEXT, BINARY, CLOSE = 0x0, 0x1, 0x2, 0x8
MASKED = 0x80
WIDTHS = {0: 0, 126: 2, 127: 8}


def frame(payload=b"", *, opcode=TEXT, final=True, rsv=0, masked=False, width=None):
    """Build one frame; `width` forces how its length is written (0, 126 or 127)."""
    if width is None:
        width = 0 if len(payload) < 126 else 126 if len(payload) < 65536 else 127
    first = final << 7 | rsv << 4 | opcode
    second = (width or len(payload)) | (MASKED if masked else 0)
    length = len(payload).to_bytes(WIDTHS[width], "big") if width else b""
    return bytes([first, second]) + length + (bytes(4) if masked else b"") + payload


def close_frame(code=1000, reason=b""):
    return frame(code.to_bytes(2, "big") + reason, opcode=CLOSE)


def read(*pieces, **settings):
    """Feed the pieces to a new reader; return all messages, all controls and the ending."""
    reader = FrameReader(**settings)
    messages, controls = [], []
    for piece in pieces:
        some_messages, some_controls = reader.feed(piece)
        messages += some_messages
        controls += some_controls
    return messages, controls, reader.ending


def fault(*pieces, **settings):
    """Feed the pieces, expect a violation, and return its close code."""
    ending = read(*pieces, **settings)[2]
    assert isinstance(ending, ProtocolViolation)
    return ending.close_code


# -- data ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 125, 126, 127, 300, 65535, 65536, 200_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_message_of_any_size_comes_back_whole(size, opcode):
    payload = bytes(range(256)) * (size // 256 + 1)
    payload = payload[:size]

    messages, controls, ending = read(frame(payload, opcode=opcode))

    assert (messages, controls, ending) == ([payload], [], None)
    assert type(messages[0]) is bytes


def test_messages_keep_their_order_across_paths():
    payloads = [b"a", b"b" * 300, b"c" * 70_000, b"", b"d" * 126]

    messages, _, _ = read(b"".join(frame(payload) for payload in payloads))

    assert messages == payloads


def test_partial_frame_waits_for_its_rest():
    whole = frame(b"x" * 300)

    reader = FrameReader()

    assert reader.feed(frame(b"first") + whole[:200])[0] == [b"first"]
    assert reader.feed(whole[200:] + frame(b"last"))[0] == [b"x" * 300, b"last"]


def test_text_that_is_not_utf8_is_left_to_the_decoder():
    assert read(frame(b"\xff\xfe"))[0] == [b"\xff\xfe"]


def test_fragments_join_into_one_message():
    stream = (
        frame(b"one ", final=False)
        + frame(b"", opcode=CONTINUATION, final=False)
        + frame(b"two", opcode=CONTINUATION)
        + frame(b"next")
    )

    assert read(stream)[0] == [b"one two", b"next"]


def test_empty_first_fragment_still_opens_a_message():
    stream = frame(b"", opcode=BINARY, final=False) + frame(b"rest", opcode=CONTINUATION)

    assert read(stream)[0] == [b"rest"]


def test_large_frame_in_small_pieces_takes_linear_time():
    payload = bytes(12_000_000)
    stream = frame(payload)
    reader = FrameReader()
    started = time.process_time()

    for start in range(0, len(stream), 1000):
        messages, _ = reader.feed(stream[start : start + 1000])

    # About 10 ms; copying what is held at every piece would move 72 GB.
    assert time.process_time() - started < 2
    assert messages == [payload]


# -- control frames --------------------------------------------------------------------------


def test_ping_and_pong_tell_how_many_messages_came_before():
    stream = frame(b"a") + frame(b"hi", opcode=PING) + frame(b"b") + frame(b"", opcode=PONG)

    messages, controls, _ = read(stream)

    assert messages == [b"a", b"b"]
    assert controls == [ControlFrame(PING, b"hi", 1), ControlFrame(PONG, b"", 2)]


def test_ping_between_fragments_does_not_disturb_them():
    stream = (
        frame(b"one ", final=False) + frame(b"p", opcode=PING) + frame(b"two", opcode=CONTINUATION)
    )

    assert read(stream) == ([b"one two"], [ControlFrame(PING, b"p", 0)], None)


def test_close_frame_tells_code_and_reason():
    assert read(close_frame(1001, "bye é".encode()))[2] == Close(1001, "bye é")


def test_empty_close_frame_has_no_status():
    assert read(frame(opcode=CLOSE))[2] == Close(NO_STATUS, "")


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1011, 1012, 1014, 3000, 4999])
def test_permitted_close_code_is_told(code):
    assert read(close_frame(code))[2] == Close(code, "")


def test_nothing_is_read_after_a_close_frame():
    messages, controls, ending = read(
        frame(b"before") + close_frame() + frame(b"after"), frame(b"later") + frame(opcode=PING)
    )

    assert (messages, controls, ending) == ([b"before"], [], Close(1000, ""))


def test_close_frame_inside_a_fragmented_message_ends_the_stream():
    messages, _, ending = read(frame(b"one", final=False) + close_frame())

    assert (messages, ending) == ([], Close(1000, ""))


# -- faults ----------------------------------------------------------------------------------

FAULTS = {
    "rsv1": frame(b"x", rsv=4),
    "rsv2": frame(b"x", rsv=2),
    "rsv3": frame(b"x" * 300, rsv=1),
    "masked": frame(b"x", masked=True),
    "masked, 16-bit length": frame(b"x" * 300, masked=True, width=126),
    "opcode 3": frame(b"x", opcode=3),
    "opcode 7": frame(b"x" * 300, opcode=7),
    "opcode 11": frame(b"x", opcode=11),
    "ping in fragments": frame(b"x", opcode=PING, final=False),
    "close in fragments": frame(b"", opcode=CLOSE, final=False),
    "ping of 126 bytes": frame(b"x" * 126, opcode=PING),
    "pong of 65536 bytes": frame(b"x" * 65536, opcode=PONG),
    "close of 126 bytes": close_frame(1000, b"x" * 124),
    "continuation of nothing": frame(b"x", opcode=CONTINUATION),
    "final continuation twice": frame(b"x", final=False) + frame(b"y", opcode=CONTINUATION) * 2,
    "message inside a message": frame(b"x", final=False) + frame(b"y"),
    "start inside a message": frame(b"x", final=False) * 2,
    "16-bit length of 125": frame(b"x" * 125, width=126),
    "16-bit length of 0": frame(b"", width=126),
    "64-bit length of 65535": frame(b"x" * 65535, width=127),
    "64-bit length with the top bit": b"\x82\x7f\x80" + bytes(7),
    "half a close code": frame(b"\x03", opcode=CLOSE),
}


@pytest.mark.parametrize("stream", FAULTS.values(), ids=FAULTS)
def test_fault_closes_with_1002_after_the_messages_before_it(stream):
    messages, _, ending = read(frame(b"before") + stream + frame(b"after"))

    assert isinstance(ending, ProtocolViolation)
    assert ending.close_code == 1002
    assert b"after" not in messages
    assert messages[0] == b"before"


@pytest.mark.parametrize(
    "code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65535]
)
def test_close_code_that_must_not_be_sent_is_a_fault(code):
    assert fault(close_frame(code)) == 1002


@pytest.mark.parametrize("reason", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"ok\xf5"])
def test_close_reason_that_is_not_utf8_closes_with_1007(reason):
    assert fault(close_frame(1000, reason)) == 1007


@pytest.mark.parametrize("limit", [10, 200, 65_535, 70_000])
def test_message_at_the_limit_passes_and_one_byte_more_closes_with_1009(limit):
    assert read(frame(b"x" * limit), max_message=limit)[0] == [b"x" * limit]
    assert fault(frame(b"x" * (limit + 1)), max_message=limit) == 1009


def test_too_large_message_is_refused_by_its_header_alone():
    header = frame(b"x" * 1001)[:4]

    assert fault(header, max_message=1000) == 1009


def test_fragments_count_together_towards_the_limit():
    start = frame(b"x" * 600, final=False)

    assert fault(start, frame(b"x" * 401, opcode=CONTINUATION), max_message=1000) == 1009
    assert read(start, frame(b"x" * 400, opcode=CONTINUATION), max_message=1000)[0]


def test_control_frames_do_not_count_towards_the_limit():
    stream = frame(b"x" * 9, final=False) + frame(b"p" * 125, opcode=PING)

    assert len(read(stream, max_message=10)[1]) == 1


def test_nothing_is_read_after_a_fault():
    assert read(frame(b"x", rsv=1), frame(b"y"), close_frame())[0] == []


# -- properties ------------------------------------------------------------------------------

payloads = st.binary(max_size=200) | st.sampled_from([b"x" * 126, b"y" * 300, b"z" * 65536])
pings = st.builds(frame, st.binary(max_size=125), opcode=st.sampled_from([PING, PONG]))


@st.composite
def message_frames(draw):
    """Draw one message as one frame, or as fragments with pings between them."""
    pieces = draw(st.lists(payloads, min_size=1, max_size=4))
    stream = b""
    for number, piece in enumerate(pieces):
        opcode = draw(st.sampled_from([TEXT, BINARY])) if number == 0 else CONTINUATION
        stream += frame(piece, opcode=opcode, final=number == len(pieces) - 1)
        if draw(st.booleans()):
            stream += draw(pings)
    return b"".join(pieces), stream


closes = st.just(b"") | st.builds(close_frame, st.sampled_from([1000, 1011, 3000, 4999]))
conversations = st.tuples(st.lists(message_frames() | pings.map(lambda f: (None, f))), closes)


def cut(stream, places):
    places = sorted({place % (len(stream) + 1) for place in places})
    return [
        stream[start:stop] for start, stop in zip([0, *places], [*places, len(stream)], strict=True)
    ]


def without_positions(result):
    messages, controls, ending = result
    kind = (ending.close_code, str(ending)) if isinstance(ending, ProtocolViolation) else ending
    return messages, [(control.opcode, control.payload) for control in controls], kind


@given(conversations, st.lists(st.integers(min_value=0, max_value=1 << 20), max_size=20))
def test_any_splitting_of_a_valid_stream_gives_its_messages(conversation, places):
    drawn, close = conversation
    stream = b"".join(frames for _, frames in drawn) + close

    messages, _, ending = read(*cut(stream, places))

    assert messages == [message for message, _ in drawn if message is not None]
    assert (ending is None) == (close == b"")


@st.composite
def broken_streams(draw):
    """Draw a valid conversation with up to three bytes replaced, or plain noise."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=300))
    drawn, close = draw(conversations)
    stream = bytearray(b"".join(frames for _, frames in drawn) + close)
    for _ in range(draw(st.integers(0, 3)) if stream else 0):
        # Most of a long stream is payload: aim at the first bytes, where the headers are.
        place = draw(st.integers(0, min(len(stream), 600) - 1))
        stream[place] = draw(st.integers(0, 255))
    return bytes(stream)


@given(broken_streams(), st.lists(st.integers(min_value=0, max_value=1 << 20), max_size=20))
def test_any_splitting_of_any_bytes_gives_the_same_result(stream, places):
    pieces = cut(stream, places)

    assert without_positions(read(*pieces)) == without_positions(read(stream))


@given(broken_streams())
def test_byte_by_byte_equals_all_at_once(stream):
    stream = stream[:1000]

    assert without_positions(read(*(bytes([b]) for b in stream))) == without_positions(read(stream))


# -- against websocket-client's own parser -----------------------------------------------------

# Where ours refuses what websocket-client 1.9 takes, with the section of RFC 6455 that says so.
STRICTER = {
    "a server must not mask its frames": "5.1",
    "a length that was not written in the shortest way": "5.2",
    "a length with its top bit set": "5.2; it waits for 2**63 bytes",
    "a control frame must not be fragmented": "5.5; it checks pings only",
    "a control frame holds at most 125 bytes": "5.5; it takes long pongs, and reads others whole",
    "a message of at least": "10.4; it has no limit",
    "a close reason that is not UTF-8": "5.5.1; unchecked with skip_utf8_validation",
}
# Both refuse these; ours at the header, websocket-client once the payload is there.
EARLIER = (
    "a reserved bit is set",
    "unknown opcode",
    "a continuation without a message to continue",
    "a new message began inside a fragmented one",
)


class Wire:
    """A socket for websocket-client that plays bytes and swallows what is sent."""

    def __init__(self, stream):
        self.stream = stream

    def recv(self, size):
        data, self.stream = self.stream[:size], self.stream[size:]
        return data

    def send(self, data):
        return len(data)

    def gettimeout(self):
        return 1.0

    def close(self):
        pass


def read_with_websocket_client(stream):
    """Return messages and controls in order, and how it ended: close, refused or open."""
    client = websocket.WebSocket(skip_utf8_validation=True)
    client.sock = Wire(stream)
    messages, controls = [], []
    while True:
        try:
            opcode, received = client.recv_data_frame(control_frame=True)
        except websocket.WebSocketConnectionClosedException:
            return messages, controls, "open"
        except websocket.WebSocketProtocolException:
            return messages, controls, "refused"
        if opcode == CLOSE:
            return messages, controls, bytes(received.data)
        if opcode in (PING, PONG):
            controls.append((opcode, bytes(received.data)))
        else:
            messages.append(bytes(received.data))


@example(frame(b"x", masked=True))
@example(frame(b"x" * 126, opcode=PONG) + frame(b"x"))
@example(frame(b"x", opcode=PONG, final=False))
@example(frame(b"x" * 10, width=126))
@example(close_frame(1000, b"\xff"))
@example(close_frame(1012))
@example(b"\x83\x7e\x01")
@given(broken_streams())
def test_reads_what_websocket_client_reads_or_is_stricter_for_a_listed_reason(stream):
    messages, controls, ending = read(stream)
    their_messages, their_controls, their_ending = read_with_websocket_client(stream)
    controls = [(control.opcode, control.payload) for control in controls]

    if isinstance(ending, ProtocolViolation) and their_ending != "refused":
        reasons = (*STRICTER, *EARLIER) if their_ending == "open" else STRICTER
        assert str(ending).startswith(tuple(reasons))
        # What ours took before the fault, theirs took too.
        assert their_messages[: len(messages)] == messages
        assert their_controls[: len(controls)] == controls
    elif isinstance(ending, ProtocolViolation):
        assert their_messages[: len(messages)] == messages
    else:
        assert (messages, controls) == (their_messages, their_controls)
        if isinstance(ending, Close):
            code = b"" if ending.code == NO_STATUS else ending.code.to_bytes(2, "big")
            assert their_ending == code + ending.reason.encode()
        else:
            assert their_ending == "open"
