"""Symbol lists on disk: whole or not at all, and never trusted blindly."""

import json
from pathlib import Path

import pytest

from kucoin_research.exchange.rest.symbol_cache import Listing, ListingFiles, cache_folder
from kucoin_research.model.channels import Market
from kucoin_research.model.instruments import Instrument

URL = "https://api-futures.kucoin.com"


def contract(symbol="XBTUSDTM", **facts):
    return Instrument(
        **({
            "symbol": symbol, "market": Market.FUTURES, "base": "XBT", "quote": "USDT",
            "settle": "USDT", "tick_size": 0.1, "lot_size": 1.0,
        } | facts)
    )  # fmt: skip


def listing(*instruments, read_at=1_790_000_000_000_000_000):
    return Listing(read_at, {each.symbol: each for each in instruments})


def test_what_is_stored_is_read_back_equal(tmp_path):
    files = ListingFiles(tmp_path / "deep" / "folder")
    kept = listing(contract(), contract("XBTUSDM", is_inverse=True, contract_multiplier=-1.0))

    files.store(URL, Market.FUTURES, kept)

    assert files.load(URL, Market.FUTURES) == kept
    assert [each.name for each in (tmp_path / "deep" / "folder").iterdir()] == [
        "symbols_futures_api-futures.kucoin.com.json"
    ]


def test_each_exchange_and_market_has_its_own_file(tmp_path):
    files = ListingFiles(tmp_path)

    files.store(URL, Market.FUTURES, listing(contract()))

    assert files.load(URL, Market.SPOT) is None
    assert files.load("https://api.kucoin.example", Market.FUTURES) is None


def whole(tmp_path):
    files = ListingFiles(tmp_path)
    files.store(URL, Market.FUTURES, listing(contract()))
    path = files.path(URL, Market.FUTURES)
    return files, path, path.read_bytes()


def test_a_torn_file_counts_as_missing_wherever_it_is_torn(tmp_path):
    files, path, content = whole(tmp_path)

    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert files.load(URL, Market.FUTURES) is None


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"url": "https://elsewhere.example"},
        {"market": "spot"},
        {"read_at": "yesterday"},
        {"instruments": [{"symbol": "XBTUSDTM"}]},
    ],
)
def test_a_file_that_is_not_what_it_should_be_counts_as_missing(tmp_path, change):
    files, path, content = whole(tmp_path)

    path.write_text(json.dumps(json.loads(content) | change))

    assert files.load(URL, Market.FUTURES) is None


@pytest.mark.parametrize("content", [b"", b"null", b"\xff\xfe", b"[" * 100_000])
def test_rubbish_counts_as_missing_and_is_written_over(tmp_path, content):
    files, path, whole_content = whole(tmp_path)
    path.write_bytes(content)

    assert files.load(URL, Market.FUTURES) is None
    files.store(URL, Market.FUTURES, listing(contract()))

    assert path.read_bytes() == whole_content


def test_an_impossible_tick_size_counts_as_missing(tmp_path):
    files, path, content = whole(tmp_path)

    path.write_bytes(content.replace(b'"tick_size":0.1', b'"tick_size":0'))

    assert files.load(URL, Market.FUTURES) is None


def test_a_folder_that_cannot_be_made_is_logged_not_raised(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")

    ListingFiles(tmp_path / "file").store(URL, Market.FUTURES, listing(contract()))

    assert "could not be kept" in caplog.text


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({"XDG_CACHE_HOME": "/var/cache/me"}, "linux", "/var/cache/me/kucoin_research"),
        ({"XDG_CACHE_HOME": "relative"}, "linux", "HOME/.cache/kucoin_research"),
        ({}, "linux", "HOME/.cache/kucoin_research"),
        ({}, "darwin", "HOME/Library/Caches/kucoin_research"),
        ({"LOCALAPPDATA": "/c/local"}, "win32", "/c/local/kucoin_research"),
        ({}, "win32", "HOME/AppData/Local/kucoin_research"),
    ],
)
def test_the_folder_is_the_platforms_own(environ, platform, expected):
    expected = expected.replace("HOME", str(Path.home()))

    assert cache_folder(environ, platform) == Path(expected)
