"""Several threads may decode a new type at the same time."""

import sys

import msgspec
import pytest

from kucoin_research.foundation.typed_json import decoder
from tests.processes import run

# With msgspec.json.decode in place of `decode`, this crashes the process sooner or later.
CHILD = """
import sys, threading
import msgspec
from kucoin_research.foundation.typed_json import decoder

def decode(kind, start):
    start.wait()
    decoder(kind).decode(b'{"inner": {"items": [{}], "by_name": {}}, "more": [], "last": {}}')

sys.setswitchinterval(1e-5)
for _ in range(300):
    class Leaf(msgspec.Struct):
        number: int = 0
        names: list[str] = []
    class Inner(msgspec.Struct):
        items: list[Leaf]
        by_name: dict[str, Leaf]
    class Outer(msgspec.Struct):
        inner: Inner
        more: list[Inner]
        last: Leaf
    start = threading.Barrier(4)
    threads = [threading.Thread(target=decode, args=(Outer, start)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("decoded")
"""

REAL_TIME = True  # threads of a process of its own


def test_four_threads_may_decode_a_new_type_at_once():
    done = run(sys.executable, "-c", CHILD)

    assert (done.returncode, done.stdout) == (0, "decoded\n")


def test_a_decoder_is_made_once_for_each_type_and_strictness():
    assert decoder(list[int]) is decoder(list[int])
    assert decoder(list[int], strict=False).decode(b'["1"]') == [1]
    with pytest.raises(msgspec.ValidationError):
        decoder(list[int]).decode(b'["1"]')
