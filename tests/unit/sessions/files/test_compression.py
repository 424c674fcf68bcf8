import gzip
import io
import random

import polars as pl
import pytest

from kucoin_research.sessions.files import compression
from kucoin_research.sessions.files.compressed_members import walk
from kucoin_research.sessions.files.compression import compression_of, open_whole, pack

PIECES = [b"a,b\n" * 50, b"1,2\n", bytes(range(256)) * 700]


def unpack(data, compression):
    """Give the text of the whole members, and where the last of them ends."""
    whole, text, end = b"", b"", 0
    for piece, member in walk(io.BytesIO(data), compression, len(data)):
        text += piece
        if member is not None:
            whole, end = (whole + text, member.end) if member.is_whole else (whole, end)
            text = b""
    return whole, end


@pytest.mark.parametrize("compression", ["zstd", "gzip", None])
def test_a_cut_file_reads_up_to_its_last_whole_piece(compression):
    packed = [pack(piece, compression) for piece in PIECES]
    data = b"".join(packed)
    ends = [sum(map(len, packed[:count])) for count in range(len(packed) + 1)]

    for cut in [*range(0, len(data), 97), *ends, *(end - 1 for end in ends[1:])]:
        text, size = unpack(data[:cut], compression)
        if compression is None:
            assert text == data[:cut]
        else:
            count = max(n for n, end in enumerate(ends) if end <= cut)
            assert (text, size) == (b"".join(PIECES[:count]), ends[count])


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_other_programs_read_the_pieces_as_one_text(compression, tmp_path):
    data = pack(b"a,b\n1,2\n", compression) + pack(b"3,4\n", compression)
    path = tmp_path / "x.csv.gz"
    path.write_bytes(data)

    assert pl.read_csv(path).rows() == [(1, 2), (3, 4)]
    if compression == "gzip":
        assert gzip.decompress(data) == b"a,b\n1,2\n3,4\n"


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_damaged_bytes_are_left_out(compression):
    data = pack(b"one\n", compression)

    assert unpack(data + b"\x28\xb5\x2f\xfd\xff\xff\xff", compression) == (b"one\n", len(data))
    assert unpack(b"plain text", compression) == (b"", 0)


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_damaged_piece_costs_no_other(compression, broken, tmp_path):
    packed = [bytearray(pack(piece, compression)) for piece in [*PIECES[:2], b"3,4\n"]]
    # A frame of zstd may well be read with other bytes in it, but for those it begins with.
    packed[broken][0 if compression == "zstd" else len(packed[broken]) // 2] ^= 0xFF
    path = tmp_path / "x"
    path.write_bytes(b"".join(packed))

    kept = [piece for at, piece in enumerate([*PIECES[:2], b"3,4\n"]) if at != broken]
    end = len(path.read_bytes()) if broken < 2 else sum(map(len, packed[:2]))
    assert unpack(path.read_bytes(), compression) == (b"".join(kept), end)
    with open_whole(path, path.stat().st_size, compression) as file:
        assert file.read() == b"".join(kept)


def test_the_name_tells_the_compression():
    names = ["a.csv", "a.csv.gz", "a.csv.zst"]

    assert [compression_of(name) for name in names] == [None, "gzip", "zstd"]


class Counting(io.BytesIO):
    """A file that counts how often it is read."""

    reads = 0

    def read(self, size=-1):
        self.reads += 1
        return super().read(size)


def frames_within_frames(count, blocks):
    """Lay out beginnings of frames that share one long chain of empty blocks without an end."""
    size = 9 * count
    beginnings = (
        b"\x28\xb5\x2f\xfd\x20\0" + (size - 9 * at << 3).to_bytes(3, "little")
        for at in range(1, count + 1)
    )
    return b"".join(beginnings) + bytes(3 * blocks)


def test_frames_that_share_their_blocks_are_not_followed_without_end():
    data = frames_within_frames(200, 5_000)
    file = Counting(data)

    assert b"".join(text for text, _ in walk(file, "zstd", len(data))) == b""
    assert file.reads < 5_000  # of a million blocks


def test_small_frames_are_decompressed_together(monkeypatch):
    opened = []
    made = compression.pa.CompressedInputStream
    monkeypatch.setattr(
        compression.pa, "CompressedInputStream", lambda *args: opened.append(1) or made(*args)
    )
    data = pack(b"a,1\n", "zstd") * 1_000

    assert b"".join(text for text, _ in walk(io.BytesIO(data), "zstd", len(data))) == (
        b"a,1\n" * 1_000
    )
    assert len(opened) < 50


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("seed", range(5))
def test_damage_among_small_pieces_costs_those_that_are_hit(compression, seed):
    chance = random.Random(seed)
    lines = [b"%d,%d\n" % (number, chance.randrange(10**9)) for number in range(400)]
    pieces = [bytearray(pack(line, compression)) for line in lines]
    hit = set(chance.sample(range(400), 7))
    for number in hit:
        pieces[number][0] ^= 0xFF
    data = b"".join(pieces)
    text, held = b"", b""
    for piece, member in walk(io.BytesIO(data), compression, len(data)):
        held += piece
        if member is not None:
            text += held if member.is_whole else b""
            held = b""

    assert text == b"".join(line for number, line in enumerate(lines) if number not in hit)
