import json
from dataclasses import asdict

import pytest

from kucoin_research.model.instruments import Instrument
from kucoin_research.sessions.files.manifest import read_manifest
from kucoin_research.sessions.files.manifest_values import instruments_from, losses_from

XBT = Instrument(
    symbol="XBTUSDTM", market="futures", base="XBT", quote="USDT", settle="USDT", tick_size=0.1,
    lot_size=1.0,
)  # fmt: skip


TIER = {
    "max_notional": 100_000, "max_leverage": 125, "initial_margin": 0.008,
    "maintenance_margin": 0.004,
}  # fmt: skip


def test_an_instrument_with_risk_tiers_and_novel_fields_has_no_fault(tmp_path):
    tiers = [TIER | {"novel": "x"}, TIER | {"max_notional": 500_000}]
    told = faults_of(
        tmp_path, SOUND | {"instruments": [asdict(XBT) | {"risk_tiers": tiers, "novel": [1]}]}
    )

    (found,) = instruments_from(read_manifest(tmp_path)).values()

    assert told == []
    assert [tier.max_notional for tier in found.risk_tiers] == [100_000, 500_000]


def test_a_field_that_is_told_twice_is_told(tmp_path):
    text = json.dumps(SOUND).replace('"rows": 5', '"rows": 4, "rows": 5', 1)
    (tmp_path / "session.json").write_text(text)

    (fault,) = read_manifest(tmp_path).faults

    assert "'rows' is told twice" in str(fault)


@pytest.mark.parametrize("value", [2**63, "\ud800", "x" * 100_000])
def test_what_no_row_can_hold_is_told_in_a_short_sentence(value, tmp_path):
    faults = faults_of(tmp_path, SOUND | {"rows": value})

    assert len(faults) == 1
    assert len(faults[0]) < 200


def test_of_many_faults_the_first_are_told(tmp_path):
    files = {f"S{number}_trade_2024-02-26.csv": {} for number in range(5_000)}

    faults = faults_of(tmp_path, SOUND | {"files": files})

    assert len(faults) == 1_001
    assert "there is more" in faults[-1]


SOUND = {
    "format": 1, "package": "0.1.0", "venue": None, "market": "futures", "symbols": ["XBTUSDTM"],
    "channels": ["ticker", "candle:1min"], "instruments": [], "start": "2026-11-26T01:19:17.2Z",
    "end": None, "state": "closed", "compression": None, "rows": 5, "refused": 0,
    "dropped": [
        {"began": "2026-11-26T01:19:17.2Z", "ended": "2026-11-26T01:19:18.2Z", "rows": 3},
    ],
    "files": {
        "XBTUSDTM_ticker_2026-11-25.csv": {
            "channel": "ticker", "symbol": "XBTUSDTM", "day": "2026-11-25", "rows": 5, "bytes": 9,
            "sha256": "0" * 64,
        },
    },
}  # fmt: skip


WRONG = [5, -1, 2.5, True, None, "x", "5", [], [5], {}, {"a": 1}]


FIELDS = [key for key in SOUND if key != "files"]


ENTRY_FIELDS = list(next(iter(SOUND["files"].values())))


def faults_of(tmp_path, content):
    (tmp_path / "session.json").write_text(json.dumps(content))
    found = read_manifest(tmp_path)
    instruments_from(found)
    losses_from(found)
    return [f"{each.file}: {each.detail}" for each in found.faults]


def test_a_manifest_as_recorders_write_it_has_no_fault(tmp_path):
    assert faults_of(tmp_path, SOUND) == []
    assert read_manifest(tmp_path) == SOUND


@pytest.mark.parametrize("key", FIELDS)
def test_fields_of_another_type_are_told_and_left_out(tmp_path, key):
    for value in WRONG:
        if (type(value) is type(SOUND[key]) and value in ([], 5)) or key == "venue":
            continue
        if (value is None and SOUND[key] is None) or key == "market":
            continue
        if (key, value) in (("start", None), ("package", "x"), ("package", "5"), ("rows", 5),
                            ("refused", 5), ("format", 5)):  # fmt: skip
            continue
        told = faults_of(tmp_path, SOUND | {key: value})
        assert told, (key, value)
        assert all(each.startswith(f"session.json: {key} ") for each in told)


@pytest.mark.parametrize("key", ENTRY_FIELDS)
def test_fields_of_a_file_of_another_type_are_told_and_left_out(tmp_path, key):
    ((name, entry),) = SOUND["files"].items()
    for value in WRONG:
        is_fine = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        if key in ("rows", "bytes") and is_fine:
            continue
        if (key == "symbol" and (value is None or isinstance(value, str))) or (
            key == "day" and isinstance(value, str)
        ):
            continue
        told = faults_of(tmp_path, SOUND | {"files": {name: entry | {key: value}}})
        assert told, (key, value)
        assert all(each.startswith(name) for each in told)


@pytest.mark.parametrize("key", ["rows", "bytes", "sha256"])
def test_what_is_to_be_compared_must_be_told(tmp_path, key):
    ((name, entry),) = SOUND["files"].items()
    left = {each: value for each, value in entry.items() if each != key}

    (told,) = faults_of(tmp_path, SOUND | {"files": {name: left}})

    assert told.startswith(f"{name}: {key} is not told")


@pytest.mark.parametrize(
    "instrument",
    [5, {}, {"symbol": 5}, asdict(XBT) | {"tick_size": "0.1"}, asdict(XBT) | {"tick_size": 0},
     asdict(XBT) | {"is_inverse": 1}, asdict(XBT) | {"min_funds": "0.1"},
     asdict(XBT) | {"risk_tiers": 5}, asdict(XBT) | {"risk_tiers": [[1, 2, 3, 4]]},
     asdict(XBT) | {"risk_tiers": [{"max_notional": 1}]},
     asdict(XBT) | {"risk_tiers": [TIER | {"max_leverage": "125"}]}],
    ids=str,
)  # fmt: skip
def test_an_instrument_that_is_none_is_told_and_left_out(tmp_path, instrument):
    (told,) = faults_of(tmp_path, SOUND | {"instruments": [asdict(XBT), instrument]})

    assert "instruments holds" in told
    assert list(instruments_from(read_manifest(tmp_path))) == ["XBTUSDTM"]
