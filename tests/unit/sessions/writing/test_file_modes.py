"""Files with rows of one's account are for their owner only, whatever is done with them."""

from __future__ import annotations

import os
import stat

import pytest

import kucoin_research as kr
from kucoin_research.model.records import CHANNELS, PRIVATE_CHANNELS, columns_of, file_mode
from kucoin_research.sessions.writing.recorder import Recorder
from tests.conftest import wait_until
from tests.unit.rows import NOON, ticker

pytestmark = pytest.mark.skipif(os.name != "posix", reason="permissions are Unix's")

SYMBOL = "XBTUSDTM"


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def row_of(channel):
    """Make a row of a channel with a time and a symbol only."""
    record = CHANNELS[channel]
    told = {"timestamp": NOON, "local_timestamp": NOON, "symbol": SYMBOL}
    return record(*(told.get(column) for column in columns_of(record)))


def recorded(root, compression=None):
    channels = sorted(PRIVATE_CHANNELS)
    made = Recorder(root, symbols=[SYMBOL], channels=["ticker", *channels], compression=compression)
    made.take([ticker(0)])
    for channel in channels:
        made.take([row_of(channel)])
    assert made.close()
    return made.path


def modes(folder):
    """Give the permissions of each file, by its path."""
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
        if path.is_file()
    }


def split(found):
    """Split permissions by whether a file's name is of a private channel."""
    own = {mode for name, mode in found.items() if any(each in name for each in PRIVATE_CHANNELS)}
    return own, {mode for name, mode in found.items()} - own


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_what_is_recorded_of_an_account_is_its_owners(tmp_path, umask, compression):
    found = modes(recorded(tmp_path, compression))

    own, others = split(found)
    assert len([name for name in found if any(each in name for each in PRIVATE_CHANNELS)]) == len(
        PRIVATE_CHANNELS
    )
    assert own == {0o600}
    assert others == {0o644 & ~umask} - own


def test_what_repair_keeps_is_its_owners(tmp_path, umask):
    path = recorded(tmp_path)
    for name in modes(path):
        if name.endswith(".csv"):
            with (path / name).open("ab") as file:
                file.write(b"123,half a row")

    assert kr.repair(path).actions

    found = modes(path)
    assert sum(name.endswith(".orig") for name in found) > len(PRIVATE_CHANNELS)
    assert split(found)[0] == {0o600}


def test_what_is_converted_is_its_owners(tmp_path, umask):
    session = kr.load(recorded(tmp_path / "session"))

    kr.convert(session, tmp_path / "parquet")

    own, others = split(modes(tmp_path / "parquet"))
    assert own == {0o600}
    assert others == {0o644 & ~umask} - own


def test_what_others_did_to_a_file_meanwhile_is_kept_for_its_owner(tmp_path, umask):
    made = Recorder(tmp_path, symbols=[SYMBOL], channels=["order"])
    made.take([row_of("order")])
    wait_until(lambda: list(made.path.glob("*_order_*")) and not made.waiting)
    (path,) = made.path.glob("*_order_*")
    with path.open("ab") as file:
        file.write(b"somebody else's\n")
    made.take([row_of("order")])
    assert made.close()

    assert split(modes(made.path))[0] == {0o600}
    assert len(list(made.path.glob("*_order_*"))) == 2


def test_only_private_channels_are(umask):
    assert {name for name in CHANNELS if file_mode(name) == 0o600} == PRIVATE_CHANNELS
    assert file_mode("candle:1min") == 0o644
